//! Hold music: read once from a WAV file, packed in both laws, shared by all who wait.

mod resample;

use self::resample::Resample;
use crate::{
    codec::g711,
    frame::{Packed, SAMPLES},
    order::Law,
};
use hound::{SampleFormat, WavReader, WavSpec};
use std::io::Cursor;

/// A tune at 8 kHz, mono, in whole frames of either law. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tune {
    a: Vec<u8>,
    mu: Vec<u8>,
}

/// Why a file is no tune, and what would be one.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTune {
    #[error("not a WAV file that can be read: {0}")]
    NotWav(String),
    #[error("its coding is not supported; write it as PCM of 8, 16, 24 or 32 bits or 32-bit float")]
    Coding,
    #[error("its sample rate is {rate} Hz; {RATE_MIN} to {RATE_MAX} Hz can be played")]
    Rate { rate: u32 },
    #[error("it has no samples; one frame of audio is the least")]
    Empty,
    #[error("it lasts {minutes} minutes; {MINUTES_MAX} minutes is the most")]
    TooLong { minutes: u64 },
    #[error("it ends after {present} of the {promised} samples its header promises")]
    CutShort { present: u32, promised: u32 },
}

impl Tune {
    /// Reads a whole WAV file: any rate, any number of channels (mixed to one), integers of 8 to
    /// 32 bits or 32-bit floats. Takes memory for the result only, 16 kB a second.
    pub fn from_wav(bytes: &[u8]) -> Result<Self, BadTune> {
        let mut reader = WavReader::new(Cursor::new(bytes)).map_err(explain)?;
        let spec = reader.spec();
        check(&spec, reader.duration())?;
        let mut tune = Self { a: vec![], mu: vec![] };
        let mut resampler = Resample::new(spec.sample_rate)?;
        match spec.sample_format {
            SampleFormat::Float => {
                let samples = reader.samples::<f32>();
                tune.take(samples, 1.0, spec.channels, &mut resampler)?;
            }
            SampleFormat::Int => {
                let scale = 0.5_f32.powi(i32::from(spec.bits_per_sample) - 1);
                let samples =
                    reader.samples::<i32>().map(|sample| sample.map(|sample| sample as f32));
                tune.take(samples, scale, spec.channels, &mut resampler)?;
            }
        }
        tune.finish()
    }

    /// A soft major third that swells and fades every two seconds, for a box that has no music.
    pub fn test_tone() -> Self {
        let mut tune = Self { a: vec![], mu: vec![] };
        for n in 0..4 * 8000_u16 {
            let seconds = f32::from(n) / 8000.0;
            let tone = |hertz: f32| (seconds * hertz * std::f32::consts::TAU).sin();
            let swell = (seconds * 0.5 * std::f32::consts::TAU).cos().mul_add(-0.35, 0.65);
            tune.push((tone(440.0) + 0.8 * tone(550.0)) * 0.15 * swell);
        }
        tune
    }

    /// The frame that is due at this place of an endless loop.
    pub fn frame(&self, law: Law, index: u64) -> &Packed {
        let bytes = match law {
            Law::A => &self.a,
            Law::Mu => &self.mu,
        };
        let frames = bytes.as_chunks::<SAMPLES>().0;
        let place = index.checked_rem(self.frames()).unwrap_or(0);
        let frame = usize::try_from(place).ok().and_then(|place| frames.get(place));
        frame.unwrap_or_else(|| g711::silence(law))
    }

    /// Length of the loop in frames of 20 ms.
    pub fn frames(&self) -> u64 {
        self.a.as_chunks::<SAMPLES>().0.len() as u64
    }

    fn take(
        &mut self,
        samples: impl ExactSizeIterator<Item = hound::Result<f32>>,
        scale: f32,
        channels: u16,
        resampler: &mut Resample,
    ) -> Result<(), BadTune> {
        let promised = u32::try_from(samples.len()).unwrap_or(u32::MAX);
        let share = f32::from(channels).recip();
        let (mut sum, mut summed) = (0.0, 0);
        for (present, sample) in (0..).zip(samples) {
            let sample = sample.map_err(|error| {
                let cut_short = matches!(error, hound::Error::IoError(_));
                if cut_short { BadTune::CutShort { present, promised } } else { explain(error) }
            })?;
            // A float may be any number: beyond full scale is full scale, as for whoever plays it, and
            // none is so great that a filter's sums are no number.
            sum += if sample.is_finite() { (sample * scale).clamp(-1.0, 1.0) * share } else { 0.0 };
            summed += 1;
            if summed == channels {
                resampler.take(sum, |sample| self.push(sample))?;
                (sum, summed) = (0.0, 0);
            }
        }
        resampler.finish(|sample| self.push(sample))
    }

    /// One sample at 8 kHz, full scale 1.
    fn push(&mut self, sample: f32) {
        #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
        let sample = (sample * 32_767.0).round() as i16;
        self.a.push(g711::encode(Law::A, sample));
        self.mu.push(g711::encode(Law::Mu, sample));
    }

    /// Fills the last frame from the beginning, so that the loop has no hole.
    fn finish(mut self) -> Result<Self, BadTune> {
        if self.a.is_empty() {
            return Err(BadTune::Empty);
        }
        let whole = self.a.len().next_multiple_of(SAMPLES);
        for bytes in [&mut self.a, &mut self.mu] {
            let length = bytes.len();
            for place in length..whole {
                bytes.extend(bytes.get(place - length).copied());
            }
            bytes.shrink_to_fit();
        }
        Ok(self)
    }
}

fn explain(error: hound::Error) -> BadTune {
    match error {
        hound::Error::Unsupported => BadTune::Coding,
        hound::Error::IoError(_) => BadTune::NotWav("it ends within its header".into()),
        hound::Error::FormatError(what) => BadTune::NotWav(what.into()),
        other @ (hound::Error::TooWide
        | hound::Error::UnfinishedSample
        | hound::Error::InvalidSampleFormat) => BadTune::NotWav(other.to_string()),
    }
}

fn check(spec: &WavSpec, samples: u32) -> Result<(), BadTune> {
    if !(RATE_MIN..=RATE_MAX).contains(&spec.sample_rate) {
        return Err(BadTune::Rate { rate: spec.sample_rate });
    }
    if !(1..=32).contains(&spec.bits_per_sample) {
        return Err(BadTune::Coding);
    }
    let seconds = u64::from(samples) / u64::from(spec.sample_rate);
    if seconds > MINUTES_MAX * 60 {
        return Err(BadTune::TooLong { minutes: seconds / 60 });
    }
    Ok(())
}

const RATE_MIN: u32 = 4_000;
const RATE_MAX: u32 = 384_000;
const MINUTES_MAX: u64 = 60;

#[cfg(test)]
mod tests;
