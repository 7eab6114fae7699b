//! Dice that fall the same way for the same seed.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{ops::Range, time::Duration};

/// A source of everything that is left to chance in a simulated day.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// `stream` tells apart the dice of one seed, so that one party's throws do not move another's.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        dice.set_stream(stream);
        Self(dice)
    }

    pub fn number(&mut self, range: Range<u64>) -> u64 {
        self.0.random_range(range)
    }

    /// A place in a list of this length.
    pub fn place(&mut self, len: usize) -> usize {
        self.0.random_range(0..len)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.place(from.len())]
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.number(0..100) < chance
    }

    /// Whole microseconds, so that nothing is lost on the way through a stamp.
    pub fn span(&mut self, range: Range<Duration>) -> Duration {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.number(micros(range.start)..micros(range.end)))
    }

    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        self.span(Duration::from_millis(range.start)..Duration::from_millis(range.end))
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.0.random()).collect()
    }

    pub fn seed(&mut self) -> [u8; 32] {
        self.0.random()
    }
}
