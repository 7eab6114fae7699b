//! What of eight frequencies is in a piece of audio, with phase, and tables for it.

use super::{BLOCK, FREQUENCIES, RATE, TWIST_DOWN, TWIST_UP, WINDOW};
use std::f64::consts::TAU;

/// One complex number per frequency: rows, then columns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phasors {
    re: [f32; 8],
    im: [f32; 8],
}

/// What is in one of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Complex {
    pub(super) re: f32,
    pub(super) im: f32,
}

impl Phasors {
    pub(super) const ZERO: Self = Self { re: [0.0; 8], im: [0.0; 8] };

    /// A block, and all energy in it.
    pub(super) fn of(block: &[i16]) -> (Self, f32) {
        let mut sum = Self::ZERO;
        let mut energy = 0.0;
        for ((sample, cosines), sines) in block.iter().zip(&TABLE.0).zip(&TABLE.1) {
            let sample = f32::from(*sample);
            energy += sample * sample;
            for (re, cosine) in sum.re.iter_mut().zip(cosines) {
                *re += sample * cosine;
            }
            for (im, sine) in sum.im.iter_mut().zip(sines) {
                *im -= sample * sine;
            }
        }
        (sum, energy)
    }

    pub(super) fn at(&self, n: usize) -> Complex {
        let of = |part: &[f32; 8]| part.get(n).copied().unwrap_or_default();
        Complex { re: of(&self.re), im: of(&self.im) }
    }

    pub(super) fn plus(&self, other: &Self) -> Self {
        let mut sum = *self;
        for n in 0..8 {
            sum.re[n] += other.re[n];
            sum.im[n] += other.im[n];
        }
        sum
    }

    /// The phases these would have a block later.
    pub(super) fn turned(&self) -> Self {
        let mut turned = Self::ZERO;
        for n in 0..8 {
            turned.re[n] = self.re[n] * NEXT.0[n] - self.im[n] * NEXT.1[n];
            turned.im[n] = self.re[n] * NEXT.1[n] + self.im[n] * NEXT.0[n];
        }
        turned
    }

    /// Row and column, if two tones stand out of this window.
    pub(super) fn pair(&self, energy: f32) -> Option<(usize, usize)> {
        let (row, low) = self.strongest(0)?;
        let (column, high) = self.strongest(4)?;
        let share = (low + high) * 2.0 / WINDOW as f32;
        let twisted = high > low * TWIST_UP * 1.3 || high < low * TWIST_DOWN * 0.5;
        (share > SHARE_OF_WINDOW * energy && !twisted).then_some((row, column))
    }

    /// The strongest of four, if it is strong enough and stands out of them.
    fn strongest(&self, from: usize) -> Option<(usize, f32)> {
        let power = |n: usize| (n, self.at(n).power());
        let all = || (from..from + 4).map(power);
        let (best, power) = all().max_by(|one, other| one.1.total_cmp(&other.1))?;
        let alone = all().all(|(n, other)| n == best || other < power * NEIGHBOUR);
        (power > WEAKEST && alone).then_some((best, power))
    }
}

impl Complex {
    pub(super) fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self { re: self.re + other.re, im: self.im + other.im }
    }

    /// The angle between the two, as one number of that angle.
    pub(super) fn against(self, other: Self) -> Self {
        Self {
            re: self.re * other.re + self.im * other.im,
            im: self.im * other.re - self.re * other.im,
        }
    }
}

/// Power of one frequency in these samples (Goertzel), as the square of a correlation.
pub(super) fn goertzel(samples: &[i16], frequency: f64) -> f32 {
    let coefficient = narrow(2.0 * (TAU * frequency / RATE).cos());
    let (mut last, mut before) = (0.0_f32, 0.0_f32);
    for sample in samples {
        (last, before) = (f32::from(*sample) + coefficient * last - before, last);
    }
    last * last + before * before - coefficient * last * before
}

/// Of all energy in one window.
const SHARE_OF_WINDOW: f32 = 0.5;

/// Any other of a group has less than that of the strongest.
const NEIGHBOUR: f32 = 0.3;

/// -31 dBm0: 5 dB below what must be heard, as a tone off its frequency loses 2 dB. Full scale is 3.14 dBm0.
const WEAKEST: f32 = 640.0 * 640.0 * (WINDOW * WINDOW) as f32 / 4.0;

/// Cosines and sines of the eight frequencies over a block.
static TABLE: ([[f32; 8]; BLOCK], [[f32; 8]; BLOCK]) = table();

/// The angle by which each turns in a block.
static NEXT: ([f32; 8], [f32; 8]) = next();

const fn table() -> ([[f32; 8]; BLOCK], [[f32; 8]; BLOCK]) {
    let (mut cosines, mut sines) = ([[0.0; 8]; BLOCK], [[0.0; 8]; BLOCK]);
    let mut n = 0;
    while n < 8 {
        let mut sample = 0;
        while sample < BLOCK {
            let (cosine, sine) = turn(TAU * FREQUENCIES[n] / RATE, sample);
            (cosines[sample][n], sines[sample][n]) = (narrow(cosine), narrow(sine));
            sample += 1;
        }
        n += 1;
    }
    (cosines, sines)
}

const fn next() -> ([f32; 8], [f32; 8]) {
    let (mut cosines, mut sines) = ([0.0; 8], [0.0; 8]);
    let mut n = 0;
    while n < 8 {
        let (cosine, sine) = turn(TAU * FREQUENCIES[n] / RATE, BLOCK);
        (cosines[n], sines[n]) = (narrow(cosine), narrow(sine));
        n += 1;
    }
    (cosines, sines)
}

#[expect(clippy::cast_possible_truncation, reason = "24 bits are enough for 16")]
pub(super) const fn narrow(value: f64) -> f32 {
    value as f32
}

/// Cosine and sine of `times` the angle, which is below a right one: by their series, as the compiler
/// knows no other.
const fn turn(angle: f64, times: usize) -> (f64, f64) {
    let (mut cosine, mut sine, mut term, mut n) = (1.0, 0.0, 1.0, 1);
    while n < 24 {
        term = term * angle / n as f64;
        match n % 4 {
            0 => cosine += term,
            1 => sine += term,
            2 => cosine -= term,
            _ => sine -= term,
        }
        n += 1;
    }
    let (mut at, mut left) = ((1.0, 0.0), times);
    while left > 0 {
        at = (at.0 * cosine - at.1 * sine, at.0 * sine + at.1 * cosine);
        left -= 1;
    }
    at
}
