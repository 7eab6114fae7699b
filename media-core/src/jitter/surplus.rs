//! Whether more of a voice has come than is heard, for a while.

/// The least that was left over after a frame, over the frames of a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surplus {
    least: u16,
    frames: u8,
}

impl Surplus {
    pub(crate) const NONE: Self = Self { least: u16::MAX, frames: 0 };

    /// After this frame so many samples are left that need not wait. How many may be left out so that the voice is
    /// nearer by them and no frame of the last second would have missed one: told once a second, if it is worth it.
    pub(crate) fn take(&mut self, left: usize) -> Option<usize> {
        self.least = self.least.min(u16::try_from(left).unwrap_or(u16::MAX));
        self.frames += 1;
        if self.frames < SECOND {
            return None;
        }
        let least = usize::from(std::mem::replace(self, Self::NONE).least);
        (least >= WORTH).then_some(least)
    }
}

const SECOND: u8 = 50;

/// 5 ms: of less, no period of a low voice could be left out.
const WORTH: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_left_over_for_a_whole_second_is_too_much() {
        let mut surplus = Surplus::NONE;
        let mut second = |left: fn(usize) -> usize| -> Vec<Option<usize>> {
            (0..50).map(|n| surplus.take(left(n))).collect()
        };

        let steady = second(|_| 150);
        assert!(steady[..49].iter().all(Option::is_none));
        assert_eq!(steady[49], Some(150));
        assert_eq!(second(|n| if n == 20 { 40 } else { 150 })[49], Some(40));
        assert_eq!(second(|n| if n == 20 { 39 } else { 150 })[49], None);
        assert_eq!(second(|n| if n == 20 { 0 } else { 150 })[49], None);
        assert_eq!(second(|_| 9_000_000)[49], Some(65_535));
    }
}
