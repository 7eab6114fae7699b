//! A file's rate to one of ours.

use super::BadTune;
use rubato::{Fft, FixedSync, Indexing, Resampler, audioadapter_buffers::direct::InterleavedSlice};

/// Any rate to another, a block at a time, so that an hour of music needs no hour of floats.
pub(super) struct Resample {
    /// None where the rates are the same.
    fft: Option<Fft<f32>>,
    from: u64,
    to: u64,
    input: Vec<f32>,
    output: Vec<f32>,
    /// Samples of the filter's own delay that are still to be cut off.
    delay: usize,
    taken: u64,
    given: u64,
}

impl Resample {
    pub(super) fn new(from: u32, to: u32) -> Result<Self, BadTune> {
        let size = |rate: u32| usize::try_from(rate).unwrap_or(usize::MAX);
        let fft = if from == to {
            None
        } else {
            let made = Fft::new(size(from), size(to), 4096, 1, FixedSync::Input);
            Some(made.map_err(|error| BadTune::Unreadable(error.to_string()))?)
        };
        let output = fft.as_ref().map_or(0, Resampler::output_frames_max);
        Ok(Self {
            delay: fft.as_ref().map_or(0, Resampler::output_delay),
            input: Vec::with_capacity(fft.as_ref().map_or(0, Resampler::input_frames_next)),
            output: vec![0.0; output],
            from: u64::from(from),
            to: u64::from(to),
            fft,
            taken: 0,
            given: 0,
        })
    }

    pub(super) fn take(&mut self, sample: f32, mut give: impl FnMut(f32)) -> Result<(), BadTune> {
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
    pub(super) fn finish(&mut self, mut give: impl FnMut(f32)) -> Result<(), BadTune> {
        let owed = (self.taken * self.to).div_ceil(self.from);
        while self.fft.is_some() && self.given < owed {
            self.run(owed, &mut give)?;
        }
        Ok(())
    }

    /// Resamples what has gathered (a short block is filled up with silence).
    fn run(&mut self, owed: u64, give: &mut impl FnMut(f32)) -> Result<(), BadTune> {
        let Some(fft) = &mut self.fft else { return Ok(()) };
        let (input, output) = (self.input.len(), self.output.len());
        let failed = |error: &dyn std::error::Error| BadTune::Unreadable(error.to_string());
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
