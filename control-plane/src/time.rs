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

/// How far the wall clock is ahead of the box's own time line, in microseconds; behind it if negative.
/// What people call the time of day is a stamp and this.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead(pub i64);

impl Ahead {
    /// The wall clock says this while the box's own line is there.
    pub fn between(wall: Stamp, line: Stamp) -> Self {
        let ahead = i128::from(wall.0) - i128::from(line.0);
        Self(i64::try_from(ahead).unwrap_or(if ahead < 0 { i64::MIN } else { i64::MAX }))
    }

    /// What the wall clock says at this moment of the box's own line.
    pub fn wall(self, line: Stamp) -> Stamp {
        Stamp(line.0.saturating_add_signed(self.0))
    }

    /// When it is, on the box's own line, that the wall clock says this.
    pub fn line(self, wall: Stamp) -> Stamp {
        Stamp(wall.0.saturating_add_signed(self.0.saturating_neg()))
    }

    /// How far apart the two say that the wall clock is.
    pub fn apart(self, other: Self) -> Duration {
        Duration::from_micros(self.0.abs_diff(other.0))
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

    #[test]
    fn a_wall_clock_ahead_or_behind_is_found_again_from_either_side_and_nothing_overflows() {
        for (wall, line, ahead) in [(70, 10, 60), (10, 70, -60), (5, 5, 0)] {
            let said = Ahead::between(Stamp(wall), Stamp(line));

            assert_eq!(said, Ahead(ahead));
            assert_eq!(
                (said.wall(Stamp(line)), said.line(Stamp(wall))),
                (Stamp(wall), Stamp(line))
            );
        }
        let (first, last) = (Stamp(0), Stamp(u64::MAX));
        assert_eq!(Ahead::between(last, first), Ahead(i64::MAX));
        assert_eq!(Ahead::between(first, last), Ahead(i64::MIN));
        assert_eq!((Ahead(i64::MAX).wall(last), Ahead(i64::MIN).line(last)), (last, last));
        assert_eq!(Ahead(i64::MIN).apart(Ahead(i64::MAX)), Duration::from_micros(u64::MAX));
    }
}
