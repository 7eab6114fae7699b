//! A token bucket: so many a second and so many at once, with nothing to wake up for.

use std::time::{Duration, Instant};

/// Thousandths of a token, so that slow rates lose nothing to rounding.
const TOKEN: u64 = 1_000;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// What was taken and has not been filled up since.
    missing: u64,
    at: Option<Instant>,
}

impl Bucket {
    /// Takes one, or says that there is none.
    pub(crate) fn take(&mut self, per_second: u32, at_once: u32, now: Instant) -> bool {
        let free = self.has_room(per_second, at_once, now);
        self.missing += if free { TOKEN } else { 0 };
        free
    }

    /// There is one to take.
    pub(crate) fn has_room(&mut self, per_second: u32, at_once: u32, now: Instant) -> bool {
        self.fill(per_second, now);
        self.missing + TOKEN <= u64::from(at_once) * TOKEN
    }

    /// Nobody has taken anything for so long that it is full.
    pub(crate) fn is_full(&mut self, per_second: u32, now: Instant) -> bool {
        self.fill(per_second, now);
        self.missing == 0
    }

    fn fill(&mut self, per_second: u32, now: Instant) {
        let since = *self.at.get_or_insert(now);
        let elapsed_ms = u64::try_from(now.saturating_duration_since(since).as_millis());
        let Ok(elapsed_ms @ 1..) = elapsed_ms else { return };
        self.missing =
            self.missing.saturating_sub(elapsed_ms.saturating_mul(u64::from(per_second)));
        // What is left of a millisecond counts next time.
        self.at = Some(since + Duration::from_millis(elapsed_ms));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bucket: &mut Bucket, times: u32, now: Instant) -> usize {
        (0..times).filter(|_| bucket.take(10, 5, now)).count()
    }

    #[test]
    fn as_many_at_once_as_it_holds_then_as_many_as_flow_in() {
        let start = Instant::now();
        let mut bucket = Bucket::default();

        assert_eq!(taken(&mut bucket, 9, start), 5);
        assert_eq!(taken(&mut bucket, 9, start + Duration::from_millis(99)), 0);
        assert_eq!(taken(&mut bucket, 9, start + Duration::from_millis(200)), 2);
        assert!(!bucket.is_full(10, start + Duration::from_millis(600)));
        assert!(bucket.is_full(10, start + Duration::from_secs(60)));
        assert_eq!(taken(&mut bucket, 9, start + Duration::from_secs(60)), 5);
    }

    #[test]
    fn over_a_long_time_no_more_is_taken_than_flows_in() {
        let start = Instant::now();
        let mut bucket = Bucket::default();
        let ms = |at: u64| start + Duration::from_micros(at * 300);

        let taken = (0..10_000).filter(|&at| bucket.take(10, 5, ms(at))).count();

        assert!((30..=35).contains(&taken), "{taken} in three seconds");
    }
}
