//! Which samples of the ring have come.

use super::ROOM;

/// One bit a sample, by time stamp.
#[derive(Clone, Debug)]
pub(super) struct Presence([u64; WORDS]);

impl Presence {
    pub(super) const NONE: Self = Self([0; WORDS]);

    pub(super) fn set(&mut self, from: u32, length: usize) {
        self.each(from, length, |word, mask| *word |= mask);
    }

    pub(super) fn clear(&mut self, from: u32, length: usize) {
        self.each(from, length, |word, mask| *word &= !mask);
    }

    /// How many in a row from here on, `most` at most, have come; or have not.
    pub(super) fn run(&self, from: u32, most: usize, come: bool) -> usize {
        let mut run = 0;
        while run < most {
            let (word, bit) = place(from, run);
            let bits = self.0.get(word).copied().unwrap_or_default();
            let bits = if come { bits } else { !bits } >> bit;
            let alike = (bits.trailing_ones() as usize).min(64 - bit);
            run += alike;
            if bit + alike < 64 {
                break;
            }
        }
        run.min(most)
    }

    fn each(&mut self, from: u32, length: usize, change: impl Fn(&mut u64, u64)) {
        let (mut done, length) = (0, length.min(ROOM));
        while done < length {
            let (word, bit) = place(from, done);
            let bits = (64 - bit).min(length - done);
            let mask = (u64::MAX >> (64 - bits)) << bit;
            if let Some(word) = self.0.get_mut(word) {
                change(word, mask);
            }
            done += bits;
        }
    }
}

/// Word and bit of a sample.
const fn place(from: u32, after: usize) -> (usize, usize) {
    let at = (from as usize).wrapping_add(after) % ROOM;
    (at / 64, at % 64)
}

const WORDS: usize = ROOM / 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_found_over_words_and_the_end_of_the_ring() {
        let mut presence = Presence::NONE;
        let from = u32::MAX - 100;
        presence.set(from, 300);

        assert_eq!(presence.run(from, 1_000, true), 300);
        assert_eq!(presence.run(from.wrapping_add(1), 160, true), 160);
        assert_eq!(presence.run(from.wrapping_sub(50), 1_000, false), 50);
        presence.clear(from.wrapping_add(120), 7);
        assert_eq!(presence.run(from, 1_000, true), 120);
        assert_eq!(presence.run(from.wrapping_add(120), 1_000, false), 7);
        assert_eq!(presence.run(from.wrapping_add(127), 1_000, true), 173);
        assert_eq!(presence.run(from.wrapping_add(300), 500, false), 500);
    }
}
