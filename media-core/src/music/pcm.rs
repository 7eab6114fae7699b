//! What a file becomes before it is a tune: samples at both rates, which can go from who decodes it to who
//! plays it.

use super::{BadTune, Gain, MINUTES_MAX, Sound, WIDE, import};
use crate::frame::SAMPLES;

/// Mono, full scale as ever, not filled up to whole frames; at least one sample and as many frames at either
/// rate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcm {
    wide: Vec<i16>,
    narrow: Vec<i16>,
}

impl Pcm {
    /// The most that a file becomes, at 16 kHz: of an hour, and of the second in which it ends.
    pub const WIDE_MAX: usize = 16_000 * (MINUTES_MAX as usize * 60 + 1);

    /// Of samples at 16 and at 8 kHz. None: they are not of one file, none at all, or too many.
    pub fn new(wide: Vec<i16>, narrow: Vec<i16>) -> Option<Self> {
        let alike = wide.len().div_ceil(WIDE) == narrow.len().div_ceil(SAMPLES);
        let some = !wide.is_empty() && wide.len() <= Self::WIDE_MAX;
        (alike && some).then_some(Self { wide, narrow })
    }

    /// Reads a whole file, like [`super::Tune::import_at`], short of packing it.
    pub fn import(bytes: &[u8], gain: Gain) -> Result<(Self, Sound), BadTune> {
        import::import(bytes, gain)
    }

    /// At 16 kHz.
    pub fn wide(&self) -> &[i16] {
        &self.wide
    }

    /// At 8 kHz.
    pub fn narrow(&self) -> &[i16] {
        &self.narrow
    }

    pub(super) fn into_parts(self) -> (Vec<i16>, Vec<i16>) {
        (self.wide, self.narrow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_that_are_not_of_one_file_are_none() {
        for (wide, narrow, is) in [
            (1, 1, true),
            (320, 160, true),
            (321, 161, true),
            (321, 160, false),
            (320, 161, false),
            (0, 0, false),
            (Pcm::WIDE_MAX, Pcm::WIDE_MAX / 2, true),
            (Pcm::WIDE_MAX + 2, Pcm::WIDE_MAX / 2 + 1, false),
        ] {
            let made = Pcm::new(vec![0; wide], vec![0; narrow]);
            assert_eq!(made.is_some(), is, "{wide} and {narrow}");
        }
    }
}
