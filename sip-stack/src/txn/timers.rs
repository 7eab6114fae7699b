//! The timers of RFC 3261 Table 4, and what follows from T1. Over TCP A, E and G do not run, and D, I,
//! J and K are 0.

use std::time::{Duration, Instant};

/// RFC 3261 §17.1.1.1: estimate of the round trip.
pub const T1: Duration = Duration::from_millis(500);
/// §17.1.2.2: longest gap between repeats of a non-INVITE request or of a final response.
pub const T2: Duration = Duration::from_secs(4);
/// §17.1.2.2: how long a message may stay in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64*T1: Timers B, F, H, J, L and M, and how long a 2xx waits for its ACK (§13.3.1.4).
pub const GIVE_UP: Duration = Duration::from_secs(32);
/// §17.1.1.2, Timer D: at least 32 s over an unreliable transport.
pub const ABSORB_FINAL: Duration = Duration::from_secs(32);

/// The gap after `gap` where repeats slow down until T2.
pub fn slower(gap: Duration) -> Duration {
    gap.saturating_mul(2).min(T2)
}

/// The RFC's letters; L and M are RFC 6026's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    A,
    B,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
    L,
    M,
}

impl Timer {
    /// Why the endpoint wants to be woken.
    pub const fn why(self) -> &'static str {
        match self {
            Self::A => "timer A: repeat the INVITE",
            Self::B => "timer B: give the INVITE up",
            Self::D => "timer D: absorb repeated final responses",
            Self::E => "timer E: repeat the request",
            Self::F => "timer F: give the request up",
            Self::G => "timer G: repeat the final response",
            Self::H => "timer H: give the ACK up",
            Self::I => "timer I: absorb repeated ACKs",
            Self::J => "timer J: absorb repeated requests",
            Self::K => "timer K: absorb repeated responses",
            Self::L => "timer L: absorb repeated INVITEs",
            Self::M => "timer M: wait for 2xx of other forks",
        }
    }
}

/// The timers of one transaction. No state of any of the four machines has more than two.
#[derive(Debug, Default)]
pub struct Timers {
    armed: [Option<(Instant, Timer)>; 2],
}

impl Timers {
    /// Arms `timer`, moving it when it runs already.
    pub fn arm(&mut self, timer: Timer, at: Instant) {
        self.stop(timer);
        let free = self.armed.iter_mut().find(|slot| slot.is_none());
        debug_assert!(free.is_some(), "no state has more than two timers");
        if let Some(slot) = free {
            *slot = Some((at, timer));
        }
    }

    pub fn stop(&mut self, timer: Timer) {
        for slot in &mut self.armed {
            if slot.is_some_and(|(_, armed)| armed == timer) {
                *slot = None;
            }
        }
    }

    pub fn stop_all(&mut self) {
        self.armed = [None; 2];
    }

    pub fn next(&self) -> Option<(Instant, Timer)> {
        self.armed.iter().flatten().copied().min_by_key(|&(at, _)| at)
    }

    /// The earliest timer that is due, which stops by being taken.
    pub fn take_due(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = self.next()?;
        if at > now {
            return None;
        }
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_due_timer_is_taken_once_and_the_other_stays() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.arm(Timer::B, start + GIVE_UP);
        timers.arm(Timer::A, start + T1);

        assert_eq!(timers.take_due(start), None);
        assert_eq!(timers.take_due(start + T1), Some(Timer::A));
        assert_eq!(timers.take_due(start + T1), None);
        assert_eq!(timers.next(), Some((start + GIVE_UP, Timer::B)));
    }

    #[test]
    fn arming_a_running_timer_moves_it() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.arm(Timer::E, start + T1);
        timers.arm(Timer::E, start + T2);

        assert_eq!(timers.next(), Some((start + T2, Timer::E)));
    }

    #[test]
    fn gaps_double_until_t2() {
        let gaps: Vec<_> = std::iter::successors(Some(T1), |&gap| Some(slower(gap)))
            .take(6)
            .map(|gap| gap.as_millis())
            .collect();

        assert_eq!(gaps, [500, 1000, 2000, 4000, 4000, 4000]);
    }
}
