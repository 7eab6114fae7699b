//! One monotonic clock in the units of RTP: frames of a phase, 8 kHz samples, NTP time stamps.

use crate::frame::{FRAME_MS, FRAME_US};
use std::time::{Duration, Instant};

/// Phases of the 20 ms frame over which legs and recordings are spread, 1 ms each.
pub const PHASES: u64 = FRAME_MS;

/// Turns instants into the units of RTP. Reads no clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    epoch: Instant,
    /// NTP time stamp (32.32) of `epoch`.
    ntp_epoch: u64,
}

impl Clock {
    /// `ntp_epoch`: the NTP time stamp, 32.32 bits (RFC 3550 §4), of `epoch`.
    pub const fn new(epoch: Instant, ntp_epoch: u64) -> Self {
        Self { epoch, ntp_epoch }
    }

    /// Microseconds since the epoch; 0 for what was before.
    pub fn micros(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.epoch))
    }

    /// Milliseconds since the epoch.
    pub fn millis(&self, now: Instant) -> u64 {
        self.micros(now) / 1000
    }

    /// The frame that is being played at `now` on the grid of this phase (0..20). It began at
    /// [`Self::begin_us`].
    pub fn frame(&self, phase: u64, now: Instant) -> u64 {
        (self.millis(now) + PHASES - phase.min(PHASES)) / FRAME_MS
    }

    /// Microseconds since the epoch at which a frame of a phase begins; negative before the epoch.
    pub const fn begin_us(phase: u64, frame: u64) -> i64 {
        frame.cast_signed() * FRAME_US.cast_signed() + (phase.cast_signed() - 20) * 1000
    }

    /// 8 kHz samples since the epoch, wrapping, for jitter (RFC 3550 §A.8).
    pub fn samples(&self, now: Instant) -> u32 {
        low_half(self.micros(now) / 125)
    }

    /// NTP time stamp, 32.32 bits (RFC 3550 §4).
    pub fn ntp(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.epoch);
        let fraction = (u64::from(elapsed.subsec_nanos()) << 32) / 1_000_000_000;
        self.ntp_epoch.wrapping_add((elapsed.as_secs() << 32) | fraction)
    }

    /// The middle 32 bits of the NTP time stamp, units of 1/65536 s (RFC 3550 §6.4.1).
    pub fn ntp_middle(&self, now: Instant) -> u32 {
        middle(self.ntp(now))
    }
}

/// The middle 32 bits of an NTP time stamp (RFC 3550 §6.4.1, LSR).
pub fn middle(ntp: u64) -> u32 {
    low_half(ntp >> 16)
}

/// A duration in units of 1/65536 s (RFC 3550 §6.4.1, DLSR); saturates after 18 hours.
pub fn short_ntp(duration: Duration) -> u32 {
    let whole = u128::from(micros(duration)) * 65_536 / 1_000_000;
    u32::try_from(whole).unwrap_or(u32::MAX)
}

/// Whole microseconds, saturating after half a million years.
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The low 32 bits of a number that is meant to wrap.
pub(crate) fn low_half(number: u64) -> u32 {
    u32::try_from(number & 0xFFFF_FFFF).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_phase_change_at_its_millisecond() {
        let epoch = Instant::now();
        let clock = Clock::new(epoch, 0);
        let at = |ms| clock.frame(7, epoch + Duration::from_millis(ms));

        assert_eq!([at(0), at(6), at(7), at(26), at(27)], [0, 0, 1, 1, 2]);
        assert_eq!(Clock::begin_us(7, 1), 7_000);
        assert_eq!(Clock::begin_us(7, 0), -13_000);
    }

    #[test]
    fn ntp_runs_with_the_monotonic_clock() {
        let epoch = Instant::now();
        let clock = Clock::new(epoch, 0xDEAD_BEEF_0000_0000);

        assert_eq!(clock.ntp(epoch + Duration::from_millis(1500)), 0xDEAD_BEF0_8000_0000);
        assert_eq!(clock.ntp_middle(epoch + Duration::from_millis(1500)), 0xBEF0_8000);
        assert_eq!(short_ntp(Duration::from_millis(250)), 0x4000);
    }
}
