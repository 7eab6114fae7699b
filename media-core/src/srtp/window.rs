//! The numbers of one stream that were seen: rollover by estimate (RFC 3711 §3.3.1), replays by a window (§3.3.2).

use super::Refused;

/// Numbers behind the highest that are remembered.
pub(super) const WINDOW: u64 = 128;
/// RFC 3711 §3.2.1: 32 bits of rollovers and 16 of sequence.
pub(super) const RTP_INDEXES: u64 = 1 << 48;

/// Starts empty: everything is new to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Window {
    /// One more than the highest number seen; 0: none.
    next: u64,
    /// Bit n: the number n behind the highest was seen.
    seen: u128,
}

impl Window {
    /// The index a sequence number most likely has.
    pub(super) fn estimate(&self, sequence: u16) -> Result<u64, Refused> {
        let Some(highest) = self.next.checked_sub(1) else { return Ok(u64::from(sequence)) };
        let (rollovers, last) = (highest >> 16, highest & 0xFFFF);
        let sequence = u64::from(sequence);
        let rollovers = if last < 0x8000 {
            let before = sequence > last + 0x8000;
            if before { rollovers.checked_sub(1).ok_or(Refused::Late)? } else { rollovers }
        } else {
            let after = last - 0x8000 > sequence;
            if after { rollovers + 1 } else { rollovers }
        };
        let index = rollovers << 16 | sequence;
        if index < RTP_INDEXES { Ok(index) } else { Err(Refused::Exhausted) }
    }

    /// Whether a packet of this index may be looked at.
    pub(super) fn check(&self, index: u64) -> Result<(), Refused> {
        let Some(highest) = self.next.checked_sub(1) else { return Ok(()) };
        match highest.checked_sub(index) {
            None => Ok(()),
            Some(behind) if behind >= WINDOW => Err(Refused::Late),
            Some(behind) if self.seen >> behind & 1 == 1 => Err(Refused::Replayed),
            Some(_) => Ok(()),
        }
    }

    /// Remembers an index that was checked and authenticated.
    pub(super) fn accept(&mut self, index: u64) {
        let highest = self.next.saturating_sub(1);
        if self.next == 0 || index > highest {
            let ahead = u32::try_from(index - highest).unwrap_or(u32::MAX);
            let kept = if self.next == 0 { 0 } else { self.seen.checked_shl(ahead).unwrap_or(0) };
            *self = Self { next: index + 1, seen: kept | 1 };
        } else {
            self.seen |=
                1_u128.checked_shl(u32::try_from(highest - index).unwrap_or(u32::MAX)).unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(highest: u64) -> Window {
        let mut window = Window::default();
        window.accept(highest);
        window
    }

    #[test]
    fn a_sequence_number_belongs_to_the_rollover_that_brings_it_nearest() {
        for (highest, sequence, index) in [
            (0, 0x8000, Ok(0x8000)),
            (0, 0x8001, Err(Refused::Late)),
            (0xFFFF, 0, Ok(0x1_0000)),
            (0x8000, 0, Ok(0)),
            (0x8001, 0, Ok(0x1_0000)),
            (0x1_0000, 0xFFFF, Ok(0xFFFF)),
            (0x1_7FFF, 0xFFFF, Ok(0x1_FFFF)),
            (0x1_7FFE, 0xFFFF, Ok(0xFFFF)),
            (0x7_FFFF, 5, Ok(0x8_0005)),
            (RTP_INDEXES - 1, 0xFFF0, Ok(RTP_INDEXES - 16)),
            (RTP_INDEXES - 1, 0, Err(Refused::Exhausted)),
        ] {
            assert_eq!(at(highest).estimate(sequence), index, "{highest:#x} {sequence:#x}");
        }
        assert_eq!(Window::default().estimate(65_535), Ok(65_535));
    }

    #[test]
    fn each_number_of_the_window_is_taken_once_and_older_ones_never() {
        let mut window = at(1_000);
        for behind in 1..WINDOW {
            assert_eq!(window.check(1_000 - behind), Ok(()), "{behind}");
            window.accept(1_000 - behind);
            assert_eq!(window.check(1_000 - behind), Err(Refused::Replayed), "{behind}");
        }
        assert_eq!(window.check(1_000 - WINDOW), Err(Refused::Late));
        assert_eq!(window.check(1_000), Err(Refused::Replayed));
    }

    #[test]
    fn a_leap_forgets_what_is_out_of_the_window() {
        let mut window = at(10);
        window.accept(10 + WINDOW - 1);
        assert_eq!(window.check(10), Err(Refused::Replayed));
        assert_eq!(window.check(11), Ok(()));

        window.accept(RTP_INDEXES - 1);
        assert_eq!(window.check(10), Err(Refused::Late));
        assert_eq!(window.check(RTP_INDEXES - 2), Ok(()));
    }
}
