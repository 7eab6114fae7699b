//! How much louder or softer a tune is made when its file is read.

use super::linear;

/// In decibels, -30 to 12; 0 changes nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gain(f32);

impl Gain {
    pub const NONE: Self = Self(0.0);
    pub const DB_MIN: i16 = -30;
    pub const DB_MAX: i16 = 12;

    /// None: it is less or more than may be.
    pub fn from_db(db: f32) -> Option<Self> {
        let range = f32::from(Self::DB_MIN)..=f32::from(Self::DB_MAX);
        // There are two zeros, and only one is written well.
        range.contains(&db).then_some(Self(db + 0.0))
    }

    pub const fn db(self) -> f32 {
        self.0
    }
}

/// Brings samples to their level, and counts what does not fit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    factor: f32,
    /// The greatest sample before.
    peak: f32,
    cut_off: u64,
}

impl Level {
    pub(super) fn new(gain: Gain) -> Self {
        Self { factor: 10_f32.powf(gain.db() / 20.0), peak: 0.0, cut_off: 0 }
    }

    pub(super) fn take(&mut self, sample: f32) -> i16 {
        let louder = sample * self.factor;
        self.peak = self.peak.max(sample.abs());
        // What was beyond full scale before is not the gain's doing.
        self.cut_off += u64::from(sample.abs() <= 1.0 && louder.abs() > 1.0);
        linear(louder)
    }

    /// How many samples were cut off, and with how much gain none would have been.
    pub(super) fn cut_off(&self) -> Option<(u64, f32)> {
        let most_db = -20.0 * self.peak.max(1e-4).log10();
        // Rounded down: what is advised is enough.
        (self.cut_off > 0).then_some((self.cut_off, (most_db * 10.0).floor().max(0.0) / 10.0))
    }
}
