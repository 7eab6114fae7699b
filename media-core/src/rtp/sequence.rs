//! The order of a source's packets: RFC 3550 §A.1, with duplicates told from late ones.

use crate::clock::low_half;

/// Where a packet stands among those of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// After everything heard so far; `lost` numbers before it are missing.
    Next { lost: u16 },
    /// Heard before.
    Duplicate,
    /// Behind something heard before.
    Late,
    /// So far off that it says nothing until the one after it comes (§A.1, `bad_seq`).
    Jump,
    /// The second in order after a jump: the source has started anew.
    Restarted,
}

/// Sequence numbers of one source.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    base: u16,
    highest: u16,
    /// Times the number has wrapped around.
    cycles: u64,
    /// What would come next if the source had restarted.
    restart: Option<u16>,
    /// Bit n: `highest - n` was heard.
    heard: u128,
}

impl Sequence {
    pub const fn new(first: u16) -> Self {
        Self { base: first, highest: first, cycles: 0, restart: None, heard: 1 }
    }

    /// Takes the next packet's number in.
    pub fn take(&mut self, number: u16) -> Place {
        let ahead = number.wrapping_sub(self.highest);
        let behind = self.highest.wrapping_sub(number);
        if ahead == 0 {
            return Place::Duplicate;
        }
        if ahead < DROPOUT_MAX {
            self.advance(number, ahead);
            return Place::Next { lost: ahead - 1 };
        }
        if behind < MISORDER_MAX {
            return self.fill(behind);
        }
        if self.restart == Some(number) {
            *self = Self::new(number);
            return Place::Restarted;
        }
        self.restart = Some(number.wrapping_add(1));
        Place::Jump
    }

    /// Extended highest sequence number (§6.4.1).
    pub fn extended(&self) -> u32 {
        (low_half(self.cycles) << 16) | u32::from(self.highest)
    }

    /// Packets that should have come by now (§A.3).
    pub fn expected(&self) -> u64 {
        ((self.cycles << 16) + u64::from(self.highest) + 1).saturating_sub(self.base.into())
    }

    fn advance(&mut self, number: u16, ahead: u16) {
        if number < self.highest {
            // Never back to none: whoever steps by thousands comes to 2^32 within hours.
            self.cycles += 1;
        }
        self.highest = number;
        self.restart = None;
        self.heard = self.heard.checked_shl(u32::from(ahead)).unwrap_or(0) | 1;
    }

    fn fill(&mut self, behind: u16) -> Place {
        let bit = 1_u128 << behind;
        if self.heard & bit != 0 {
            return Place::Duplicate;
        }
        self.heard |= bit;
        Place::Late
    }
}

/// RFC 3550 §A.1, `MAX_DROPOUT`: a minute of 20 ms packets.
const DROPOUT_MAX: u16 = 3000;

/// RFC 3550 §A.1, `MAX_MISORDER`: two seconds of 20 ms packets.
const MISORDER_MAX: u16 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_gaps_duplicates_and_late_ones_are_told_apart() {
        let mut sequence = Sequence::new(10);

        assert_eq!(sequence.take(11), Place::Next { lost: 0 });
        assert_eq!(sequence.take(14), Place::Next { lost: 2 });
        assert_eq!(sequence.take(14), Place::Duplicate);
        assert_eq!(sequence.take(12), Place::Late);
        assert_eq!(sequence.take(12), Place::Duplicate);
        assert_eq!(sequence.take(10), Place::Duplicate);
        assert_eq!(sequence.expected(), 5);
    }

    #[test]
    fn numbers_wrap_around() {
        let mut sequence = Sequence::new(65_534);

        assert_eq!(sequence.take(65_535), Place::Next { lost: 0 });
        assert_eq!(sequence.take(1), Place::Next { lost: 1 });
        assert_eq!(sequence.take(0), Place::Late);
        assert_eq!(sequence.expected(), 4);
        assert_eq!(sequence.extended(), 0x1_0001);
    }

    #[test]
    fn a_source_that_steps_by_thousands_for_hours_is_counted_on() {
        let (mut sequence, mut number) = (Sequence::new(60_000), 60_000_u16);
        for _ in 0..1_500_000 {
            number = number.wrapping_add(2_999);
            assert_eq!(sequence.take(number), Place::Next { lost: 2_998 });
        }

        let expected = 1_500_000 * 2_999 + 1;
        assert_eq!(sequence.expected(), expected);
        assert_eq!(sequence.extended(), low_half(expected + 59_999));
    }

    #[test]
    fn a_jump_is_believed_at_its_second_packet() {
        let mut sequence = Sequence::new(100);

        assert_eq!(sequence.take(20_000), Place::Jump);
        assert_eq!(sequence.take(101), Place::Next { lost: 0 });
        assert_eq!(sequence.take(20_001), Place::Jump);
        assert_eq!(sequence.take(20_002), Place::Restarted);
        assert_eq!(sequence.take(20_003), Place::Next { lost: 0 });
        assert_eq!(sequence.expected(), 2);
    }

    #[test]
    fn the_edges_of_the_windows_are_those_of_the_rfc() {
        let at = |number| Sequence::new(10_000).take(number);

        assert_eq!(at(12_999), Place::Next { lost: 2998 });
        assert_eq!(at(13_000), Place::Jump);
        assert_eq!(at(9_901), Place::Late);
        assert_eq!(at(9_900), Place::Jump);
    }
}
