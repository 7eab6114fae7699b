//! Hold music: read once from a WAV file, packed in both laws, shared by all who wait.

use crate::{
    codec::g711,
    frame::{Packed, SAMPLES},
    order::Law,
};
use hound::{SampleFormat, WavReader, WavSpec};
use rubato::{Fft, FixedSync, Indexing, Resampler, audioadapter_buffers::direct::InterleavedSlice};
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

/// Any rate to 8 kHz, a block at a time, so that an hour of music needs no hour of floats.
struct Resample {
    /// None at 8 kHz.
    fft: Option<Fft<f32>>,
    rate: u64,
    input: Vec<f32>,
    output: Vec<f32>,
    /// Samples of the filter's own delay that are still to be cut off.
    delay: usize,
    taken: u64,
    given: u64,
}

impl Resample {
    fn new(rate: u32) -> Result<Self, BadTune> {
        let fft = match rate {
            8000 => None,
            rate => {
                let from = usize::try_from(rate).unwrap_or(usize::MAX);
                let made = Fft::new(from, 8000, 4096, 1, FixedSync::Input);
                Some(made.map_err(|error| BadTune::NotWav(error.to_string()))?)
            }
        };
        let output = fft.as_ref().map_or(0, Resampler::output_frames_max);
        Ok(Self {
            delay: fft.as_ref().map_or(0, Resampler::output_delay),
            input: Vec::with_capacity(fft.as_ref().map_or(0, Resampler::input_frames_next)),
            output: vec![0.0; output],
            rate: u64::from(rate),
            fft,
            taken: 0,
            given: 0,
        })
    }

    fn take(&mut self, sample: f32, mut give: impl FnMut(f32)) -> Result<(), BadTune> {
        self.taken += 1;
        match &self.fft {
            None => give(sample),
            Some(fft) => {
                let block = fft.input_frames_next();
                self.input.push(sample);
                if self.input.len() >= block {
                    self.run(u64::MAX, &mut give)?;
                }
            }
        }
        Ok(())
    }

    /// Pushes the filter's tail out, up to the length the input asks for.
    fn finish(&mut self, mut give: impl FnMut(f32)) -> Result<(), BadTune> {
        let owed = (self.taken * 8000).div_ceil(self.rate);
        while self.fft.is_some() && self.given < owed {
            self.run(owed, &mut give)?;
        }
        Ok(())
    }

    /// Resamples what has gathered (a short block is filled up with silence).
    fn run(&mut self, owed: u64, give: &mut impl FnMut(f32)) -> Result<(), BadTune> {
        let Some(fft) = &mut self.fft else { return Ok(()) };
        let (input, output) = (self.input.len(), self.output.len());
        let failed = |error: &dyn std::error::Error| BadTune::NotWav(error.to_string());
        let source =
            InterleavedSlice::new(&self.input, 1, input).map_err(|error| failed(&error))?;
        let mut sink = InterleavedSlice::new_mut(&mut self.output, 1, output)
            .map_err(|error| failed(&error))?;
        let partial = Indexing { partial_len: Some(input), ..Indexing::default() };
        let (_, made) = fft
            .process_into_buffer(&source, &mut sink, Some(&partial))
            .map_err(|error| failed(&error))?;
        self.input.clear();
        let cut = made.min(self.delay);
        self.delay -= cut;
        for &sample in self.output.get(cut..made).unwrap_or_default() {
            if self.given < owed {
                give(sample);
                self.given += 1;
            }
        }
        Ok(())
    }
}

const RATE_MIN: u32 = 4_000;
const RATE_MAX: u32 = 384_000;
const MINUTES_MAX: u64 = 60;

#[cfg(test)]
mod tests;
