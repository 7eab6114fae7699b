//! How late our own thread is, as one leg sees it.

use crate::frame::FRAME_US;
use std::time::Instant;

/// When a leg was served, which should be every 20 ms.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Service {
    last: Option<Instant>,
    late_us: u32,
    stalls: u32,
}

impl Service {
    /// The leg's turn has come.
    pub(crate) fn serve(&mut self, now: Instant) {
        let Some(last) = self.last.replace(now) else { return };
        let gap_us = crate::clock::micros(now.saturating_duration_since(last));
        let late_us = u32::try_from(gap_us.saturating_sub(FRAME_US)).unwrap_or(u32::MAX);
        self.late_us = self.late_us.max(late_us);
        self.stalls += u32::from(u64::from(late_us) >= FRAME_US);
    }

    /// At worst.
    pub(crate) const fn late_us(&self) -> u32 {
        self.late_us
    }

    /// How often it was a whole frame or more.
    pub(crate) const fn stalls(&self) -> u32 {
        self.stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_is_served_in_time_is_never_late_and_a_stall_is_as_long_as_it_was() {
        let start = Instant::now();
        let mut service = Service::default();
        let mut serve = |ms| {
            service.serve(start + Duration::from_millis(ms));
            (service.late_us(), service.stalls())
        };

        assert_eq!([serve(7), serve(27), serve(47)], [(0, 0); 3]);
        assert_eq!(serve(70), (3_000, 0));
        // In time again after being late: nothing more to say.
        assert_eq!(serve(87), (3_000, 0));
        assert_eq!(serve(207), (100_000, 1));
        assert_eq!(serve(247), (100_000, 2));
    }
}
