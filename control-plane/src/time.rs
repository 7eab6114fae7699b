//! The box's own time line: monotonic, goes on over restarts, readable as a date.

use serde::{Deserialize, Serialize};
use std::{
    ops::{Add, Sub},
    time::{Duration, Instant},
};

/// Microseconds since 1970-01-01T00:00:00Z as this box counts them: the wall clock is read once
/// when the process starts, from there the monotonic clock goes on. A stamp never runs backwards,
/// and the distance of two stamps of one run is a true duration whatever the wall clock did.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Stamp(pub u64);

impl Stamp {
    /// How long after `earlier`; zero if it was not.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Stamp {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Stamp {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// Turns the instants of the cores below into stamps and back.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
    at: Stamp,
}

impl Clock {
    /// `at` is what the wall clock said at `epoch`, or the journal's last stamp if that is later.
    pub fn new(epoch: Instant, at: Stamp) -> Self {
        Self { epoch, at }
    }

    pub fn stamp(&self, now: Instant) -> Stamp {
        match now.checked_duration_since(self.epoch) {
            Some(after) => self.at + after,
            None => self.at - self.epoch.saturating_duration_since(now),
        }
    }

    /// The first instant at which `stamp` has been reached; the epoch for older ones.
    pub fn instant(&self, stamp: Stamp) -> Instant {
        self.epoch + stamp.since(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_survives_the_way_through_an_instant() {
        let epoch = Instant::now();
        let clock = Clock::new(epoch, Stamp(1_000_000));

        let later = Stamp(1_000_000) + Duration::from_micros(1_234_567);

        assert_eq!(clock.stamp(clock.instant(later)), later);
        assert_eq!(clock.stamp(epoch - Duration::from_millis(1)), Stamp(999_000));
    }
}
