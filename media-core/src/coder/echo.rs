//! Speech that did not come, made up at any rate from what came before it: [`crate::conceal`] for linear samples.

use crate::conceal::{self, mix, narrow};

/// Makes up what is missing. Takes its memory when it is made.
#[derive(Debug)]
pub(super) struct Echo {
    /// Samples at this rate while one passes at 8 kHz.
    factor: usize,
    /// Samples made up since something was said; 0: nothing is being made up.
    made: usize,
    period: usize,
    place: usize,
    /// What was said last, oldest first.
    past: Vec<i16>,
}

impl Echo {
    pub(super) fn new(factor: usize) -> Self {
        Self { factor, made: 0, period: 1, place: 0, past: vec![0; past_samples(factor)] }
    }

    pub(super) const fn is_busy(&self) -> bool {
        self.made > 0
    }

    /// A gap begins. `said`: what was said last, oldest first, as much as [`past_samples`].
    pub(super) fn begin(&mut self, said: &[i16]) {
        let length = self.past.len().min(said.len());
        if let (Some(past), Some(said)) =
            (self.past.get_mut(..length), said.get(said.len() - length..))
        {
            past.copy_from_slice(said);
        }
        self.period = period(&self.past, self.factor);
        (self.place, self.made) = (0, 0);
    }

    /// More of the gap.
    pub(super) fn go_on(&mut self, samples: &mut [i16]) {
        let (stage, mute) = (STAGE * self.factor, conceal::MUTE * self.factor);
        for sample in samples {
            let voice = self.voice(self.place);
            let left = mute.saturating_sub(self.made.max(stage));
            *sample = narrow(mix(0, voice, left, mute - stage));
            self.place = (self.place + 1) % self.period;
            self.made = (self.made + 1).min(mute);
        }
    }

    /// Something is said again: fades into its beginning, in place.
    pub(super) fn end(&mut self, said: &mut [i16]) {
        let length = (self.period / 2).clamp(1, FADE_MAX * self.factor).min(said.len());
        let mut fading = [0; FADE_MAX * FACTOR_MAX];
        let fading = fading.get_mut(..length).unwrap_or_default();
        self.go_on(fading);
        for ((sample, voice), place) in said.iter_mut().zip(fading).zip(1..) {
            *sample = narrow(mix((*voice).into(), (*sample).into(), place, length + 1));
        }
        self.made = 0;
    }

    pub(super) const fn stop(&mut self) {
        self.made = 0;
    }

    /// A sample of the last period said in a circle, its end faded into what stood before its beginning.
    fn voice(&self, place: usize) -> i32 {
        let left = self.period - place.min(self.period - 1);
        let quarter = self.period / 4;
        if left > quarter {
            return self.past(left);
        }
        mix(self.past(left), self.past(self.period + left), quarter + 1 - left, quarter + 1)
    }

    /// The n-th sample from the end, from 1.
    fn past(&self, n: usize) -> i32 {
        self.past.get(self.past.len().wrapping_sub(n)).copied().map_or(0, i32::from)
    }
}

/// The shift, in samples, at which the end of what was said is most like what was said before it.
pub(super) fn period(past: &[i16], factor: usize) -> usize {
    let (shortest, longest) = (conceal::PERIOD_MIN * factor, conceal::PERIOD_MAX * factor);
    let window = WINDOW * factor;
    // At the resolution of 4 kHz the neighbourhood is found; the neighbours decide.
    let coarse = best(past, (shortest..=longest).step_by(2 * factor), window, 2 * factor);
    let near = coarse.saturating_sub(2 * factor).max(shortest)..=(coarse + 2 * factor).min(longest);
    best(past, near.step_by(factor.div_ceil(2)), window, factor)
}

fn best(past: &[i16], shifts: impl Iterator<Item = usize>, window: usize, step: usize) -> usize {
    let end = past.len();
    let likeness = |shift: usize| {
        let here = past.get(end.saturating_sub(window)..).unwrap_or_default();
        let from = end.saturating_sub(window + shift);
        likeness(here, past.get(from..).unwrap_or_default(), step)
    };
    let all = shifts.map(|shift| (likeness(shift), shift));
    all.max_by(|one, other| one.0.total_cmp(&other.0)).map_or(1, |best| best.1)
}

/// The product of two stretches, signed and squared, over the strength of both: 1 where they are one tone.
pub(super) fn likeness(here: &[i16], there: &[i16], step: usize) -> f32 {
    let (mut product, mut first, mut second) = (0_i64, 1_i64, 1_i64);
    for (here, there) in here.iter().zip(there).step_by(step) {
        let (here, there) = (i64::from(*here), i64::from(*there));
        product += here * there;
        first += here * here;
        second += there * there;
    }
    #[expect(clippy::cast_precision_loss, reason = "a likeness needs three digits")]
    let (product, strength) = (product as f32, first as f32 * second as f32);
    product * product.abs() / strength
}

/// Samples that are listened back to: two of the longest periods and what is compared.
pub(super) const fn past_samples(factor: usize) -> usize {
    (2 * conceal::PERIOD_MAX + WINDOW) * factor
}

/// In samples of 8 kHz: over how much two periods are compared, 20 ms; after how much the voice grows
/// softer, 10 ms; the longest way back, 5 ms.
const WINDOW: usize = 160;
const STAGE: usize = 80;
const FADE_MAX: usize = 40;
const FACTOR_MAX: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
    fn tone(factor: usize, from: usize, length: usize) -> Vec<i16> {
        let step = std::f64::consts::TAU * 200.0 / 8_000.0 / factor as f64;
        (from..from + length).map(|n| ((n as f64 * step).sin() * 9_000.0) as i16).collect()
    }

    #[test]
    fn a_gap_goes_on_as_the_voice_did_and_fades_to_nothing_in_60_ms() {
        for factor in [1, 2, 6] {
            let past = past_samples(factor);
            let mut echo = Echo::new(factor);
            echo.begin(&tone(factor, 0, past));
            let mut gap = vec![0; 600 * factor];

            echo.go_on(&mut gap);

            let hoped = tone(factor, past, 80 * factor);
            let worst = gap.iter().zip(&hoped).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            assert!(worst < 900, "factor {factor}: {worst}");
            assert!(gap[conceal::MUTE * factor..].iter().all(|sample| *sample == 0));
            assert!(echo.is_busy());
        }
    }

    #[test]
    fn speech_that_comes_back_is_joined_without_a_step() {
        let mut echo = Echo::new(2);
        let past = past_samples(2);
        echo.begin(&tone(2, 0, past));
        let mut all = vec![0; 320];
        echo.go_on(&mut all);
        let mut back = tone(2, past + 320 + 37, 320);
        echo.end(&mut back);
        all.extend(back);

        let steepest = all.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap();
        assert!(steepest < 2_000, "{steepest}");
        assert!(!echo.is_busy());
    }

    #[test]
    fn the_period_of_a_voice_is_found_at_any_rate() {
        for factor in [1, 2, 6] {
            let found = period(&tone(factor, 11, past_samples(factor)), factor);
            assert!(
                found.abs_diff(40 * factor) <= factor
                    || found.abs_diff(80 * factor) <= factor
                    || found.abs_diff(120 * factor) <= factor,
                "{factor}: {found}"
            );
        }
    }
}
