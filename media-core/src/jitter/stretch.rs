//! A period of the voice once more, or once less: how the distance to the source is kept.

use super::{Jitter, at, is_quiet, low};
use crate::{
    codec::g711,
    conceal::{PERIOD_MAX, PERIOD_MIN, mix, narrow},
    frame::SAMPLES,
    order::Law,
};

impl Jitter {
    /// Says a period of what was heard last once more: the cursor steps back, and what comes
    /// fades into what was. Where no period fits and somebody speaks, nothing changes.
    pub(super) fn say_again(&mut self, law: Law) {
        let Some(line) = self.line.filter(|line| line.heard) else { return };
        let shifts = |shift| line.cursor.wrapping_sub(low(shift));
        let Some(period) = self.fitting(law, line.cursor, shifts, PERIOD_MAX, false) else {
            return;
        };
        let back = shifts(period);
        self.fade(law, line.cursor, back, period);
        self.come.set(back, period);
        if let Some(line) = &mut self.line {
            line.cursor = back;
        }
        self.rest = REST;
    }

    /// Leaves a period of `longest` at most out: what comes fades into what comes a period later.
    /// `at_any_rate`: also where one will hear it.
    pub(super) fn cut(&mut self, law: Law, longest: usize, at_any_rate: bool) {
        let Some(line) = self.line else { return };
        let room = SAMPLES + longest;
        if self.conceal.is_busy() || self.come.run(line.cursor, room, true) < room {
            return;
        }
        let shifts = |shift| line.cursor.wrapping_add(low(shift));
        let Some(period) = self.fitting(law, line.cursor, shifts, longest, at_any_rate) else {
            return;
        };
        self.fade(law, line.cursor, shifts(period), period);
        self.skip(period);
        self.rest = if at_any_rate { 1 } else { REST };
    }

    /// Writes to `to` what begins as what lies at `from` and ends as what lay there.
    fn fade(&mut self, law: Law, from: u32, to: u32, length: usize) {
        for n in 0..length {
            let place = to.wrapping_add(low(n));
            let first = self.sample(law, from.wrapping_add(low(n)));
            let last = self.sample(law, place);
            let code = g711::encode(law, narrow(mix(first, last, n + 1, length + 1)));
            self.write_one(place, code);
        }
    }

    /// The shift at which what lies there is most like what lies at `here`; none if no shift is
    /// like enough to go unnoticed, for which the next look waits a little.
    fn fitting(
        &mut self,
        law: Law,
        here: u32,
        shifted: impl Fn(usize) -> u32,
        longest: usize,
        at_any_rate: bool,
    ) -> Option<usize> {
        self.rest = LOOK_AGAIN;
        let likeness = |shift| self.likeness(law, here, shifted(shift));
        let best = (PERIOD_MIN..=longest).step_by(2).map(|shift| (likeness(shift), shift)).max()?;
        let quiet =
            || is_quiet(law, (0..low(SAMPLES)).map(|n| at(&self.ring, here.wrapping_add(n))));
        (best.0 >= ALIKE || at_any_rate || quiet()).then_some(best.1)
    }

    /// The squared correlation of two stretches, signed, in 1024ths. Every second sample counts.
    fn likeness(&self, law: Law, one: u32, other: u32) -> i64 {
        let (mut product, mut first, mut second) = (0_i64, 0_i64, 0_i64);
        for n in (0..COMPARED).step_by(2) {
            let a = i64::from(self.sample(law, one.wrapping_add(n)));
            let b = i64::from(self.sample(law, other.wrapping_add(n)));
            product += a * b;
            first += a * a;
            second += b * b;
        }
        // Sixty products of 16 bits are 36 bits: 29 of them may be squared.
        let (product, first, second) = (product >> 8, first >> 8, second >> 8);
        product * product.abs() / ((first * second) >> 10).max(1)
    }

    fn sample(&self, law: Law, timestamp: u32) -> i32 {
        i32::from(g711::decode(law, at(&self.ring, timestamp)))
    }
}

/// Samples that are compared: one of the longest periods.
const COMPARED: u32 = 120;

/// A correlation of 0.7, squared: vowels and tones have it, consonants do not.
const ALIKE: i64 = 500;

/// Frames between two changes: 200 ms.
pub(super) const REST: u32 = 10;

/// Frames until the next look for a place that fits: 40 ms.
const LOOK_AGAIN: u32 = 2;
