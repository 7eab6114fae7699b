//! Music and prompts: a file read once, kept at two rates and in both laws, shared by all who hear it.

mod format;
mod gain;
mod import;
mod pcm;
mod resample;
mod sound;

pub use self::{
    gain::Gain,
    pcm::Pcm,
    sound::{Sound, Warning},
};
use crate::{
    codec::g711,
    frame::{Packed, Rate, SAMPLES},
    order::Law,
};

/// Mono, in whole frames of 20 ms, of which there is at least one. 64 kB a second: linear at 16 and
/// 8 kHz, and packed in either law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tune {
    wide: Vec<i16>,
    narrow: Vec<i16>,
    a: Vec<u8>,
    mu: Vec<u8>,
    /// For who hears it once: the last frame with silence after the last sample. Everywhere else it is
    /// filled from the beginning.
    last: Box<Last>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Last {
    wide: [i16; WIDE],
    narrow: [i16; SAMPLES],
    a: Packed,
    mu: Packed,
}

/// A file that has become a tune.
#[derive(Debug)]
pub struct Imported {
    pub tune: Tune,
    pub sound: Sound,
}

/// Why a file is no tune, and what would be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTune {
    #[error("it is not audio of a known kind; write {ACCEPTED}")]
    NotAudio,
    #[error("it is {coding}, which is not supported; write {ACCEPTED}")]
    Coding { coding: &'static str },
    #[error("it cannot be read: {0}; write it anew from where it comes from")]
    Unreadable(String),
    #[error("{bad} of its {packets} packets are damaged; write it anew from where it comes from")]
    Damaged { bad: u64, packets: u64 },
    #[error("several recordings stand in it one after the other; write it as one")]
    Several,
    #[error("its sample rate is {rate} Hz; {RATE_MIN} to {RATE_MAX} Hz can be played")]
    Rate { rate: u32 },
    #[error("it has no samples; one frame of audio is the least")]
    Empty,
    #[error("it lasts {minutes} minutes or more; {MINUTES_MAX} minutes is the most")]
    TooLong { minutes: u64 },
    #[error(
        "it ends after {present} of the {promised} samples its header promises; copy it once more, whole"
    )]
    CutShort { present: u64, promised: u64 },
    #[error("it ends in the middle, {seconds} s from its beginning; copy it once more, whole")]
    NoEnd { seconds: u64 },
}

impl BadTune {
    /// Which check it failed.
    pub const fn check(&self) -> &'static str {
        match self {
            Self::NotAudio | Self::Coding { .. } => "format",
            Self::Unreadable(_) | Self::Damaged { .. } => "damage",
            Self::Several | Self::Empty | Self::TooLong { .. } => "length",
            Self::Rate { .. } => "rate",
            Self::CutShort { .. } | Self::NoEnd { .. } => "end",
        }
    }
}

impl Tune {
    /// Reads a whole file: WAV, MP3, FLAC, Ogg with Vorbis or FLAC in it; any rate from 4 to 384 kHz,
    /// any number of channels (mixed to one). Takes memory for the result and one packet.
    pub fn import(bytes: &[u8]) -> Result<Imported, BadTune> {
        Self::import_at(bytes, Gain::NONE)
    }

    /// The same, made louder or softer.
    pub fn import_at(bytes: &[u8], gain: Gain) -> Result<Imported, BadTune> {
        let (pcm, sound) = Pcm::import(bytes, gain)?;
        Ok(Imported { tune: pcm.into(), sound })
    }

    /// A soft major third that swells and fades every two seconds, for a box that has no music.
    pub fn test_tone() -> Self {
        let tone = |rate: u16| {
            (0..u32::from(rate) * 4).map(move |n| {
                let seconds = n as f32 / f32::from(rate);
                let sine = |hertz: f32| (seconds * hertz * std::f32::consts::TAU).sin();
                let swell = (seconds * 0.5 * std::f32::consts::TAU).cos().mul_add(-0.35, 0.65);
                linear((sine(440.0) + 0.8 * sine(550.0)) * 0.15 * swell)
            })
        };
        Self::of(tone(16_000).collect(), tone(8_000).collect())
    }

    /// The frame that is due at this place of an endless loop.
    pub fn frame(&self, law: Law, index: u64) -> &Packed {
        let frames = self.packed(law).as_chunks::<SAMPLES>().0;
        self.at(frames, index).unwrap_or_else(|| g711::silence(law))
    }

    /// The same linear. What a tune holds ends at 16 kHz: for 48 kHz too that is what is given.
    pub fn pcm(&self, rate: Rate, index: u64) -> &[i16] {
        match rate {
            Rate::Hz8000 => self.at(self.narrow.as_chunks::<SAMPLES>().0, index).map(|f| &f[..]),
            Rate::Hz16000 | Rate::Hz48000 => {
                self.at(self.wide.as_chunks::<WIDE>().0, index).map(|f| &f[..])
            }
        }
        .unwrap_or_default()
    }

    /// This frame for who hears it once, from the first sample to the last; none after that.
    pub fn frame_once(&self, law: Law, index: u64) -> Option<&Packed> {
        if index < self.frames().saturating_sub(1) {
            return Some(self.frame(law, index));
        }
        let last = match law {
            Law::A => &self.last.a,
            Law::Mu => &self.last.mu,
        };
        (index < self.frames()).then_some(last)
    }

    /// The same linear, as [`Self::pcm`].
    pub fn pcm_once(&self, rate: Rate, index: u64) -> Option<&[i16]> {
        if index < self.frames().saturating_sub(1) {
            return Some(self.pcm(rate, index));
        }
        let last = match rate {
            Rate::Hz8000 => &self.last.narrow[..],
            Rate::Hz16000 | Rate::Hz48000 => &self.last.wide[..],
        };
        (index < self.frames()).then_some(last)
    }

    /// Length in frames of 20 ms.
    pub fn frames(&self) -> u64 {
        self.a.as_chunks::<SAMPLES>().0.len() as u64
    }

    /// Of samples at 16 and at 8 kHz, which are as many frames.
    fn of(mut wide: Vec<i16>, mut narrow: Vec<i16>) -> Self {
        let pack = |law: Law, samples: &[i16]| -> Vec<u8> {
            samples.iter().map(|sample| g711::encode(law, *sample)).collect()
        };
        let last = Box::new(Last::of(&wide, &narrow));
        fill_up(&mut wide, WIDE);
        fill_up(&mut narrow, SAMPLES);
        let (a, mu) = (pack(Law::A, &narrow), pack(Law::Mu, &narrow));
        Self { wide, narrow, a, mu, last }
    }

    fn packed(&self, law: Law) -> &[u8] {
        match law {
            Law::A => &self.a,
            Law::Mu => &self.mu,
        }
    }

    fn at<'a, T>(&self, frames: &'a [T], index: u64) -> Option<&'a T> {
        let place = index.checked_rem(self.frames())?;
        frames.get(usize::try_from(place).ok()?)
    }
}

impl From<Pcm> for Tune {
    /// Packs it in both laws.
    fn from(pcm: Pcm) -> Self {
        let (wide, narrow) = pcm.into_parts();
        Self::of(wide, narrow)
    }
}

impl Last {
    fn of(wide: &[i16], narrow: &[i16]) -> Self {
        let narrow = rest(narrow);
        let pack = |law| {
            let mut packed = *g711::silence(law);
            // Silence is not a code word of zero in A-law: what was never there stays silence.
            for (code, sample) in packed.iter_mut().zip(narrow).filter(|(_, sample)| *sample != 0) {
                *code = g711::encode(law, sample);
            }
            packed
        };
        Self { wide: rest(wide), narrow, a: pack(Law::A), mu: pack(Law::Mu) }
    }
}

/// The samples of the last frame, and silence after them.
fn rest<const N: usize>(samples: &[i16]) -> [i16; N] {
    let mut last = [0; N];
    let begun = samples.len().next_multiple_of(N).saturating_sub(N);
    let rest = samples.get(begun..).unwrap_or_default();
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    last
}

/// Fills the last frame from the beginning, so that a loop has no hole.
fn fill_up(samples: &mut Vec<i16>, frame: usize) {
    let length = samples.len();
    for place in length..length.next_multiple_of(frame) {
        samples.extend(samples.get(place - length).copied());
    }
    samples.shrink_to_fit();
}

/// Full scale is 1.
fn linear(sample: f32) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
    let sample = (sample * 32_768.0).round() as i16;
    sample
}

/// 20 ms at 16 kHz.
const WIDE: usize = 320;

const RATE_MIN: u32 = 4_000;
const RATE_MAX: u32 = 384_000;
const MINUTES_MAX: u16 = 60;

/// Said wherever something else was given.
const ACCEPTED: &str = "WAV (PCM, float, A-law or mu-law), MP3, FLAC, or Ogg with Vorbis or FLAC";

#[cfg(test)]
mod tests;
