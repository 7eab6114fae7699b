//! The absolute 1 ms deadline: lateness never adds up into drift, and a stall is skipped, counted.

use std::time::Duration;

use nix::{
    errno::Errno,
    sys::time::TimeSpec,
    time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep},
};

pub(crate) const TICK: Duration = Duration::from_millis(1);

/// More ticks behind than this are not made up for: a burst after a stall helps nobody.
const BEHIND_MAX: u32 = 4;

/// Wakes on a grid of the monotonic clock.
#[derive(Debug)]
pub(crate) struct Ticker {
    deadline: Duration,
}

/// How one wake came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wake {
    /// After the deadline.
    pub(crate) late: Duration,
    /// Ticks left out because too many were due at once.
    pub(crate) skipped: u32,
}

impl Ticker {
    pub(crate) fn new() -> Self {
        Self { deadline: monotonic() + TICK }
    }

    /// Waits for the next deadline.
    pub(crate) fn wait(&mut self) -> Wake {
        let deadline = TimeSpec::from_duration(self.deadline);
        let absolute = ClockNanosleepFlags::TIMER_ABSTIME;
        while clock_nanosleep(ClockId::CLOCK_MONOTONIC, absolute, &deadline) == Err(Errno::EINTR) {}
        self.woken(monotonic())
    }

    fn woken(&mut self, now: Duration) -> Wake {
        let late = now.saturating_sub(self.deadline);
        let behind = u32::try_from(late.as_nanos() / TICK.as_nanos()).unwrap_or(u32::MAX);
        let skipped = if behind > BEHIND_MAX { behind } else { 0 };
        self.deadline += TICK * skipped + TICK;
        Wake { late, skipped }
    }
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
    Duration::from(now.expect("Linux always has a monotonic clock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn deadlines_stay_on_the_grid_however_late_a_wake_is() {
        let mut ticker = Ticker { deadline: ms(100) };

        assert_eq!(ticker.woken(ms(100)), Wake::default());
        let late = Duration::from_micros(101_700);
        assert_eq!(ticker.woken(late), Wake { late: late - ms(101), skipped: 0 });
        assert_eq!(ticker.deadline, ms(102));
    }

    #[test]
    fn a_few_ticks_behind_are_made_up_for_one_by_one() {
        let mut ticker = Ticker { deadline: ms(100) };

        for late in [4, 3, 2, 1, 0] {
            assert_eq!(ticker.woken(ms(104)), Wake { late: ms(late), skipped: 0 });
        }
        assert_eq!(ticker.deadline, ms(105));
    }

    #[test]
    fn a_stall_is_skipped_and_counted() {
        let mut ticker = Ticker { deadline: ms(100) };

        assert_eq!(ticker.woken(ms(350)), Wake { late: ms(250), skipped: 250 });
        assert_eq!(ticker.woken(ms(351)), Wake::default());
    }

    #[test]
    fn waiting_never_wakes_before_the_deadline() {
        let mut ticker = Ticker::new();

        for _ in 0..5 {
            let deadline = ticker.deadline;
            ticker.wait();
            assert!(monotonic() >= deadline);
        }
    }
}
