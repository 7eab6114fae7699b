//! The tones of a key, sample by sample.

use super::{FREQUENCIES, place};
use crate::order::Digit;
use std::f64::consts::TAU;

/// Makes the two tones of a key, at any rate. Allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tones {
    rows: [Swing; 2],
    /// Samples over which a tone comes and goes.
    ramp: usize,
    began: bool,
}

/// A tone, one sample after the other: a number that turns.
#[derive(Clone, Copy, Debug)]
struct Swing {
    at: (f64, f64),
    step: (f64, f64),
}

impl Tones {
    pub(crate) fn new(digit: Digit, rate: u32) -> Self {
        let (row, column) = place(digit);
        let swing = |at: usize, amplitude: f64| {
            let angle = TAU * FREQUENCIES.get(at).copied().unwrap_or_default() / f64::from(rate);
            Swing { at: (0.0, amplitude), step: angle.sin_cos() }
        };
        let ramp = usize::try_from(rate / 1000).unwrap_or(8);
        Self { rows: [swing(row, LOW), swing(column, HIGH)], ramp, began: false }
    }

    /// The next samples; `last`: the key is let go at their end.
    pub(crate) fn fill(&mut self, audio: &mut [i16], last: bool) {
        let length = audio.len();
        for (n, sample) in audio.iter_mut().enumerate() {
            let sum: f64 = self.rows.iter_mut().map(Swing::next).sum();
            let from_end = if last { length - n } else { usize::MAX };
            let from_begin = if self.began { usize::MAX } else { n + 1 };
            let near = from_begin.min(from_end).min(self.ramp + 1);
            let gain = near as f64 / (self.ramp + 1) as f64;
            #[expect(clippy::cast_possible_truncation, reason = "22,000 at most")]
            let value = (sum * gain).round() as i16;
            *sample = value;
        }
        self.began = true;
    }
}

impl Swing {
    fn next(&mut self) -> f64 {
        let ((sine, cosine), (by_sine, by_cosine)) = (self.at, self.step);
        self.at = (sine * by_cosine + cosine * by_sine, cosine * by_cosine - sine * by_sine);
        sine
    }
}

/// -9 and -7 dBm0.
pub(super) const LOW: f64 = 8_100.0;
pub(super) const HIGH: f64 = 10_200.0;
