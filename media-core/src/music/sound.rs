//! What an operator wants to know of a tune before a caller hears it.

use std::fmt;

/// What a file held.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Like `MP3`.
    pub coding: &'static str,
    pub rate_hz: u32,
    pub channels: usize,
    pub seconds: f32,
    /// Root mean square of what is heard on the telephone, pauses left out; a square wave of full scale
    /// is 0, a sine -3. None: nothing can be heard.
    pub loudness_dbfs: Option<f32>,
    /// The greatest sample of the file. Compressed files may go beyond 0.
    pub peak_dbfs: f32,
    pub warnings: Vec<Warning>,
}

/// What is played all the same, and should be looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warning {
    Silent,
    Quiet {
        dbfs: f32,
    },
    Loud {
        dbfs: f32,
    },
    /// Share of its samples, in percent.
    Clipped {
        percent: f32,
    },
    /// Of full scale, in percent.
    Offset {
        percent: f32,
    },
    /// Left and right have opposite signs: mixed to one, little is left.
    Cancels {
        db: f32,
    },
    Damaged {
        bad: u64,
        packets: u64,
    },
    /// Samples at 16 kHz that its gain cut off, and the gain with which there are none.
    Gained {
        samples: u64,
        db: f32,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(f, "nothing can be heard in it: it is silent"),
            Self::Quiet { dbfs } => write!(
                f,
                "it is quiet, {dbfs:.0} dBFS: beside speech it is hardly heard; {LOUDNESS} is usual"
            ),
            Self::Loud { dbfs } => write!(
                f,
                "it is loud, {dbfs:.0} dBFS: louder than who speaks after it; {LOUDNESS} is usual"
            ),
            Self::Clipped { percent } => {
                write!(f, "{percent:.1} % of it is clipped, which sounds harsh; write it softer")
            }
            Self::Offset { percent } => write!(
                f,
                "it has a direct current of {percent:.0} % of full scale, which clicks where it \
                 begins and ends"
            ),
            Self::Cancels { db } => write!(
                f,
                "its two channels cancel each other out: mixed to one it is {db:.0} dB softer; turn \
                 one of them over"
            ),
            Self::Damaged { bad, packets } => {
                write!(f, "{bad} of its {packets} packets are damaged and left out")
            }
            Self::Gained { samples, db } => write!(
                f,
                "its gain cuts off {samples} of its samples, which sounds harsh; with {db:.1} dB it \
                 cuts off none"
            ),
        }
    }
}

/// Measures while a file is read.
#[derive(Debug)]
pub(super) struct Meter {
    /// Of the file's own samples, all channels: squares, and how many.
    power: f64,
    count: u64,
    peak: f32,
    /// Samples at full scale that stand side by side, by channel.
    run: Vec<u8>,
    clipped: u64,
    /// Of the mix.
    mix_sum: f64,
    mix_power: f64,
    mixed: u64,
}

impl Meter {
    pub(super) fn new(channels: usize) -> Self {
        let run = vec![0; channels];
        Self {
            power: 0.0,
            count: 0,
            peak: 0.0,
            run,
            clipped: 0,
            mix_sum: 0.0,
            mix_power: 0.0,
            mixed: 0,
        }
    }

    pub(super) fn take(&mut self, channel: usize, sample: f32) {
        self.count += 1;
        self.power += f64::from(sample).powi(2);
        self.peak = self.peak.max(sample.abs());
        let Some(run) = self.run.get_mut(channel) else { return };
        *run = if sample.abs() >= FULL { run.saturating_add(1) } else { 0 };
        self.clipped += match *run {
            0..RUN => 0,
            RUN => u64::from(RUN),
            _ => 1,
        };
    }

    pub(super) fn take_mix(&mut self, sample: f32) {
        self.mixed += 1;
        self.mix_sum += f64::from(sample);
        self.mix_power += f64::from(sample).powi(2);
    }

    /// `heard`: what became of it, at 8 kHz.
    pub(super) fn sound(&self, coding: &'static str, rate_hz: u32, heard: &[i16]) -> Sound {
        let loudness_dbfs = loudness(heard);
        let seconds = share(self.mixed as f64, f64::from(rate_hz));
        let peak_dbfs = decibels(f64::from(self.peak).powi(2));
        let channels = self.run.len();
        let warnings = self.warnings(loudness_dbfs);
        Sound { coding, rate_hz, channels, seconds, loudness_dbfs, peak_dbfs, warnings }
    }

    fn warnings(&self, loudness: Option<f32>) -> Vec<Warning> {
        let clipped = 100.0 * share(self.clipped as f64, self.count as f64);
        let offset = 100.0 * share(self.mix_sum.abs(), self.mixed as f64);
        let power = self.power / (self.count.max(1) as f64);
        let lost = decibels(power) - decibels(self.mix_power / (self.mixed.max(1) as f64));
        let level = match loudness {
            None => Some(Warning::Silent),
            Some(dbfs) if dbfs < QUIET_DBFS => Some(Warning::Quiet { dbfs }),
            Some(dbfs) if dbfs > LOUD_DBFS => Some(Warning::Loud { dbfs }),
            Some(_) => None,
        };
        let cancels = self.run.len() == 2 && lost > CANCELS_DB && decibels(power) > -GATE_DB;
        [
            level,
            (clipped > CLIPPED_PERCENT).then_some(Warning::Clipped { percent: clipped }),
            (offset > OFFSET_PERCENT).then_some(Warning::Offset { percent: offset }),
            cancels.then_some(Warning::Cancels { db: lost }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Gated as ITU-R BS.1770 has it, without its weighting, which is made for a room: blocks of 400 ms above
/// -60 dBFS, and of those the ones not 10 dB below their mean.
fn loudness(samples: &[i16]) -> Option<f32> {
    let power = |block: &[i16]| {
        let sum: f64 = block.iter().map(|sample| (f64::from(*sample) / 32_768.0).powi(2)).sum();
        sum / block.len() as f64
    };
    let mean = |floor: f64| {
        let loud = samples.chunks(BLOCK).map(power).filter(|power| *power > floor);
        let (sum, count) = loud.fold((0.0, 0_u32), |(sum, count), power| (sum + power, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    };
    let floor = 10_f64.powf(-f64::from(GATE_DB) / 10.0);
    let first = mean(floor)?;
    mean(floor.max(first / 10.0)).map(decibels)
}

fn decibels(power: f64) -> f32 {
    // The square of half a step of 24 bits.
    #[expect(clippy::cast_possible_truncation, reason = "a float of fewer digits is enough")]
    let decibels = 10.0 * power.max(1e-15).log10() as f32;
    decibels
}

fn share(part: f64, whole: f64) -> f32 {
    #[expect(clippy::cast_possible_truncation, reason = "a float of fewer digits is enough")]
    let share = if whole > 0.0 { (part / whole) as f32 } else { 0.0 };
    share
}

/// What hold music and speech usually have.
const LOUDNESS: &str = "-26 to -16 dBFS";
const QUIET_DBFS: f32 = -36.0;
const LOUD_DBFS: f32 = -11.0;

/// 400 ms at 8 kHz.
const BLOCK: usize = 3_200;
const GATE_DB: f32 = 60.0;

/// One sample at full scale is a peak, three side by side were cut off.
const RUN: u8 = 3;
const FULL: f32 = 0.999;
const CLIPPED_PERCENT: f32 = 0.1;
const OFFSET_PERCENT: f32 = 3.0;
/// Two channels that have nothing in common lose 3 dB.
const CANCELS_DB: f32 = 9.0;
