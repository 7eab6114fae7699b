//! When datagrams came that waited in their socket: the kernel's stamps, as instants.

use std::time::{Duration, Instant, SystemTime};

/// Both clocks at one moment, and how far a wake has come.
pub(crate) struct Arrivals {
    /// Nothing that is read came later.
    now: Instant,
    at: Instant,
    /// The system's clock then, since 1970.
    real: Duration,
}

impl Arrivals {
    pub(crate) fn at(now: Instant) -> Self {
        let real = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self { now, at: Instant::now(), real }
    }

    /// The instant at which what is stamped so came. A system's clock that was set meanwhile puts it off by
    /// [`AGE_MAX`] at most.
    pub(crate) fn instant(&self, came: Duration) -> Instant {
        let age = self.real.saturating_sub(came).min(AGE_MAX);
        self.at.checked_sub(age).map_or(self.now, |came| came.min(self.now))
    }
}

/// Nothing waits longer, unless the thread itself was late.
const AGE_MAX: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_came_as_long_ago_as_its_stamp_says_and_never_after_the_wake_or_long_before() {
        let ms = Duration::from_millis;
        let now = Instant::now() + ms(10_000);
        let arrivals = Arrivals { now, at: now + ms(1), real: ms(1_000_000) };
        let ago = |stamp: u64| now - arrivals.instant(ms(stamp));

        assert_eq!([ago(999_981), ago(999_961), ago(999_941)], [ms(18), ms(38), ms(58)]);
        assert_eq!(ago(1_000_000), ms(0), "it came since the wake");
        assert_eq!([ago(2_000_000), ago(0)], [ms(0), ms(99)], "somebody set the clock");
    }
}
