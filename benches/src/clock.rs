//! The monotonic clock, and sleeping until a moment of it.

use nix::{
    errno::Errno,
    sys::time::TimeSpec,
    time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep},
};
use std::time::Duration;

/// The monotonic clock.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux always has a monotonic clock").into()
}

/// Sleeps until this moment of [`now`]; not at all if it has passed.
pub fn wait_until(moment: Duration) {
    let moment = TimeSpec::from_duration(moment);
    let absolute = ClockNanosleepFlags::TIMER_ABSTIME;
    while clock_nanosleep(ClockId::CLOCK_MONOTONIC, absolute, &moment) == Err(Errno::EINTR) {}
}
