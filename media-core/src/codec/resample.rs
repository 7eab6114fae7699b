//! From one rate to another, frame by frame: a polyphase low pass. Allocates nothing after it is made.
//!
//! Up by K: each of K phases of the filter sees the same 24 samples. Down by K: one phase sees 24 K. What
//! lies above 0.93 of the lower rate's half is cut; the delay is half the filter, 1.5 ms at 8 kHz.

use crate::frame::{Rate, SAMPLES_MAX};

/// One stream from one rate to another.
#[derive(Clone, Debug)]
pub(crate) struct Resampler {
    way: Way,
    /// Of each phase 24, times [`ONE`]. Longest for 8 to 48 kHz.
    weights: [[i16; TAPS]; FACTOR_MAX],
    /// What came last, then the frame that comes.
    line: [i16; PAST_MAX + SAMPLES_MAX],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Same,
    Up(usize),
    Down(usize),
}

impl Resampler {
    pub(crate) fn new(from: Rate, to: Rate) -> Self {
        let (from, to) = (from.factor(), to.factor());
        let way = match (from.checked_div(to), to.checked_div(from)) {
            (Some(1), _) => Way::Same,
            (Some(0), Some(factor)) => Way::Up(factor),
            (Some(factor), _) => Way::Down(factor),
            (None, _) => Way::Same,
        };
        let factor = match way {
            Way::Same => 1,
            Way::Up(factor) | Way::Down(factor) => factor,
        };
        let line = [0; PAST_MAX + SAMPLES_MAX];
        Self { way, weights: weights(factor, matches!(way, Way::Down(_))), line }
    }

    /// A frame of 20 ms, whole on both sides: what has no room in `to` is lost.
    pub(crate) fn run(&mut self, from: &[i16], to: &mut [i16]) {
        let past = match self.way {
            Way::Same => return copy(from, to),
            Way::Up(_) => TAPS - 1,
            Way::Down(factor) => TAPS * factor - 1,
        };
        let length = from.len().min(SAMPLES_MAX);
        copy(from, self.line.get_mut(past..past + length).unwrap_or_default());
        match self.way {
            Way::Same => {}
            Way::Up(factor) => self.up(factor, to),
            Way::Down(factor) => self.down(factor, to),
        }
        self.line.copy_within(length..length + past, 0);
    }

    /// Nothing of what came before is heard any more.
    pub(crate) fn forget(&mut self) {
        self.line = [0; PAST_MAX + SAMPLES_MAX];
    }

    fn up(&self, factor: usize, to: &mut [i16]) {
        for (heard, outputs) in self.line.windows(TAPS).zip(to.chunks_exact_mut(factor)) {
            for (weights, output) in self.weights.iter().zip(outputs) {
                *output = rounded(product(heard, weights));
            }
        }
    }

    fn down(&self, factor: usize, to: &mut [i16]) {
        let heard = self.line.windows(TAPS * factor).step_by(factor);
        for (heard, output) in heard.zip(to) {
            let parts = heard.as_chunks::<TAPS>().0.iter().zip(&self.weights);
            *output = rounded(parts.map(|(heard, weights)| product(heard, weights)).sum());
        }
    }
}

/// The filter in the order in which [`Resampler::up`] and [`Resampler::down`] read it.
fn weights(factor: usize, down: bool) -> [[i16; TAPS]; FACTOR_MAX] {
    let mut weights = [[0; TAPS]; FACTOR_MAX];
    let length = TAPS * factor;
    // Each phase has a sum of one (up), or all of them together have (down).
    let gain = if down { 1.0 } else { real(factor) };
    let total: f64 = (0..length).map(|n| impulse(n, factor)).sum();
    for n in 0..length {
        #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
        let weight = (impulse(n, factor) * gain / total * f64::from(ONE)).round() as i16;
        // A phase of the way up meets every K-th weight, newest sample first; the way down meets all in turn.
        let (phase, place) =
            if down { (n / TAPS, n % TAPS) } else { (n % factor, TAPS - 1 - n / factor) };
        if let Some(place) = weights.get_mut(phase).and_then(|phase| phase.get_mut(place)) {
            *place = weight;
        }
    }
    weights
}

/// A windowed sinc (Kaiser, beta 5): 54 dB down from 1.2 of the lower rate's half on.
fn impulse(n: usize, factor: usize) -> f64 {
    let half = real(TAPS * factor) / 2.0;
    let from_middle = real(n) + 0.5 - half;
    let turns = from_middle * CUT / real(factor);
    let sinc = if turns.abs() < 1e-9 { 1.0 } else { (turns * PI).sin() / (turns * PI) };
    let place = from_middle / half;
    sinc * bessel(BETA * (1.0 - place * place).max(0.0).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of order zero, by its series.
fn bessel(x: f64) -> f64 {
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..30 {
        term *= (x / 2.0 / f64::from(n)).powi(2);
        sum += term;
    }
    sum
}

fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn product(heard: &[i16], weights: &[i16; TAPS]) -> i32 {
    heard.iter().zip(weights).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

fn rounded(sum: i32) -> i16 {
    let sample = (sum + ONE / 2) >> ONE_BITS;
    i16::try_from(sample.clamp(i16::MIN.into(), i16::MAX.into())).unwrap_or_default()
}

fn copy(from: &[i16], to: &mut [i16]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

use std::f64::consts::PI;

/// Samples of the lower rate that one output sample is made of.
const TAPS: usize = 24;
const FACTOR_MAX: usize = 6;
const PAST_MAX: usize = TAPS * FACTOR_MAX;

/// What is let through, of the lower rate's half.
const CUT: f64 = 0.93;
const BETA: f64 = 5.0;

/// A weight of one. Sums of a filter's weights stay below 2, so 32 bits hold every sum.
const ONE_BITS: u32 = 14;
const ONE: i32 = 1 << ONE_BITS;

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: [Rate; 3] = [Rate::Hz8000, Rate::Hz16000, Rate::Hz48000];

    #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
    fn tone(rate: Rate, hertz: f64, n: usize) -> i16 {
        ((real(n) * hertz * 2.0 * PI / f64::from(rate.hertz())).sin() * 16_000.0) as i16
    }

    /// Amplitude of a tone at this frequency, of full scale.
    fn strength(rate: Rate, samples: &[i16], hertz: f64) -> f64 {
        let (mut sine, mut cosine) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            let turn = real(n) * hertz * 2.0 * PI / f64::from(rate.hertz());
            sine += f64::from(*sample) * turn.sin();
            cosine += f64::from(*sample) * turn.cos();
        }
        sine.hypot(cosine) * 2.0 / real(samples.len()) / 32_768.0
    }

    fn passed(from: Rate, to: Rate, hertz: f64) -> Vec<i16> {
        let mut resampler = Resampler::new(from, to);
        let mut all = vec![];
        for frame in 0..50 {
            let input: Vec<_> = (0..from.samples())
                .map(|n| tone(from, hertz, frame * from.samples() + n))
                .collect();
            let mut output = vec![0; to.samples()];
            resampler.run(&input, &mut output);
            all.extend(output);
        }
        all.split_off(to.samples() * 2)
    }

    #[test]
    fn a_voice_passes_between_all_rates_as_it_was() {
        for (from, to) in RATES.iter().flat_map(|from| RATES.map(|to| (*from, to))) {
            for hertz in [300.0, 1_000.0, 2_000.0, 3_000.0] {
                let heard = strength(to, &passed(from, to, hertz), hertz);
                let decibels = 20.0 * (heard / (16_000.0 / 32_768.0)).log10();
                assert!(decibels.abs() < 0.25, "{from:?} to {to:?} at {hertz}: {decibels:.2} dB");
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_not_heard_as_something_else() {
        for (from, to, high) in [
            (Rate::Hz16000, Rate::Hz8000, 5_000.0),
            (Rate::Hz48000, Rate::Hz8000, 5_000.0),
            (Rate::Hz48000, Rate::Hz8000, 19_000.0),
            (Rate::Hz48000, Rate::Hz16000, 10_000.0),
        ] {
            let heard = passed(from, to, high);
            let loudest = heard.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
            assert!(loudest < 16_000 / 300, "{from:?} to {to:?}: {loudest}");
        }
    }

    #[test]
    fn no_image_of_a_voice_is_added_on_the_way_up() {
        for (to, images) in
            [(Rate::Hz16000, vec![6_000.0]), (Rate::Hz48000, vec![6_000.0, 10_000.0])]
        {
            let heard = passed(Rate::Hz8000, to, 2_000.0);
            for image in images {
                assert!(strength(to, &heard, image) < 0.5 / 400.0, "{to:?} at {image}");
            }
        }
    }

    #[test]
    fn full_scale_never_wraps_round() {
        for (from, to) in RATES.iter().flat_map(|from| RATES.map(|to| (*from, to))) {
            let mut resampler = Resampler::new(from, to);
            let mut output = vec![0; to.samples()];
            for frame in 0..6 {
                let sample = if frame < 3 { i16::MAX } else { i16::MIN };
                resampler.run(&vec![sample; from.samples()], &mut output);
            }
            assert!(output.iter().all(|sample| *sample < -32_000), "{from:?} to {to:?}");
        }
    }

    #[test]
    fn what_is_forgotten_is_silence() {
        let mut resampler = Resampler::new(Rate::Hz16000, Rate::Hz8000);
        let mut output = [0; 160];
        resampler.run(&[9_000; 320], &mut output);

        resampler.forget();
        resampler.run(&[0; 320], &mut output);

        assert_eq!(output, [0; 160]);
    }
}
