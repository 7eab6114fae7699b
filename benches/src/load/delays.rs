//! How long things took: every one is kept, so that a percentile is one that happened.

use std::time::Duration;

/// Microseconds, in the order they came.
#[derive(Clone, Debug, Default)]
pub struct Delays(Vec<u32>);

impl Delays {
    pub fn add(&mut self, took: Duration) {
        self.0.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds, for these shares of all; 1.0 is the longest. Nothing of nothing.
    pub fn ms<const N: usize>(&self, shares: [f64; N]) -> Option<[f64; N]> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a place in a list of fewer than 2^32"
        )]
        let at = |share: f64| sorted[((last as f64 * share).ceil() as usize).min(last)];
        Some(shares.map(|share| f64::from(at(share)) / 1_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_delays_that_happened_and_the_last_is_the_longest() {
        let mut delays = Delays::default();
        assert_eq!(delays.ms([0.5]), None);
        (1..=1_000).rev().for_each(|us| delays.add(Duration::from_micros(us)));

        assert_eq!(delays.ms([0.0, 0.5, 0.99, 1.0]), Some([0.001, 0.501, 0.991, 1.0]));
    }
}
