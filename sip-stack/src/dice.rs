//! Everything random in this crate: one cipher, seeded once, so that a seed replays.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use std::{fmt::Write, time::Duration};

#[derive(Debug)]
pub(crate) struct Dice(ChaCha20Rng);

impl Dice {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// RFC 3261 §8.1.1.7: unique over space and time, with the cookie.
    pub(crate) fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.token::<10>())
    }

    /// §19.3: at least 32 bits of randomness; these are 64, because a tag is also what a forged
    /// BYE would have to guess.
    pub(crate) fn tag(&mut self) -> String {
        self.token::<8>()
    }

    pub(crate) fn call_id(&mut self) -> String {
        self.token::<16>()
    }

    /// A key for the nonces.
    pub(crate) fn key(&mut self) -> [u8; 32] {
        let mut key = [0; 32];
        self.0.fill_bytes(&mut key);
        key
    }

    /// §14.2: seconds of a Retry-After, between 0 and 10.
    pub(crate) fn retry_seconds(&mut self) -> u32 {
        self.0.next_u32() % 11
    }

    /// §14.1: how long after a 491 an INVITE is sent again; whoever made the call waits longer.
    pub(crate) fn glare(&mut self, made_the_call: bool) -> Duration {
        let (least, steps) = if made_the_call { (2_100, 191) } else { (0, 201) };
        Duration::from_millis(least + u64::from(self.0.next_u32() % steps) * 10)
    }

    fn token<const BYTES: usize>(&mut self) -> String {
        let mut bytes = [0; BYTES];
        self.0.fill_bytes(&mut bytes);
        hex(&bytes)
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_say_equal_words_and_never_one_twice() {
        let (mut one, mut other) = (Dice::new([7; 32]), Dice::new([7; 32]));
        let words: Vec<_> = (0..100).map(|_| one.tag()).collect();
        let again: Vec<_> = (0..100).map(|_| other.tag()).collect();

        assert_eq!(words, again);
        assert_eq!(words.iter().collect::<std::collections::BTreeSet<_>>().len(), 100);
    }
}
