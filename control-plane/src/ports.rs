//! Which media ports are free. The media shell opened them; this hands out their names.

use media_core::order::PortName;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How long a port rests before it is used again (contract §3), so that a late packet of the old
/// call finds nobody.
pub const REST: Duration = Duration::from_secs(5);

/// The pool of names.
#[derive(Debug)]
pub struct Ports {
    /// The port that has rested longest stands first.
    free: VecDeque<PortName>,
    /// How many callers may not take: those who wait must not keep the agents' phones from ringing.
    reserve: usize,
    resting: VecDeque<(Instant, PortName)>,
    taken: usize,
}

impl Ports {
    /// `phones`: how many agents may have to be reached while callers wait. Up to that many pairs,
    /// but never more than half of all, are kept from callers.
    pub fn new(names: impl IntoIterator<Item = PortName>, phones: usize) -> Self {
        let free: VecDeque<_> = names.into_iter().collect();
        let mut ports = Self { free, reserve: 0, resting: VecDeque::new(), taken: 0 };
        ports.set_phones(phones);
        ports
    }

    /// There are more agents now, or fewer.
    pub fn set_phones(&mut self, phones: usize) {
        let all = self.left() + self.taken;
        self.reserve = phones.min(all / 2);
    }

    /// For a caller; `None`: what is left is for the agents' phones.
    pub fn take_for_caller(&mut self, now: Instant) -> Option<PortName> {
        if self.left_for_callers(now) { self.take(now) } else { None }
    }

    /// `None`: all are in use or at rest.
    pub fn take(&mut self, now: Instant) -> Option<PortName> {
        self.wake(now);
        let port = self.free.pop_front()?;
        self.taken += 1;
        Some(port)
    }

    /// Whether a caller would get one.
    pub fn left_for_callers(&mut self, now: Instant) -> bool {
        self.wake(now);
        self.free.len() > self.reserve
    }

    /// Ports that have rested are free.
    fn wake(&mut self, now: Instant) {
        while let Some(&(until, port)) = self.resting.front() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.free.push_back(port);
        }
    }

    /// The media plane has closed it.
    pub fn give_back(&mut self, port: PortName, now: Instant) {
        self.taken = self.taken.saturating_sub(1);
        self.resting.push_back((now + REST, port));
    }

    /// How many are in use.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// How many are free or at rest.
    pub fn left(&self) -> usize {
        self.free.len() + self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_rests_five_seconds_before_it_is_used_again() {
        let start = Instant::now();
        let mut ports = Ports::new([PortName(20000)], 0);

        let port = ports.take(start).unwrap();
        assert_eq!(ports.take(start), None);
        ports.give_back(port, start);

        assert_eq!(ports.take(start + Duration::from_millis(4_999)), None);
        assert_eq!(ports.take(start + REST), Some(port));
    }

    #[test]
    fn callers_leave_ports_for_the_phones_that_are_to_answer_them() {
        let start = Instant::now();
        let names = [20000, 20002, 20004, 20006].map(PortName);
        let mut ports = Ports::new(names, 3);

        let callers: Vec<_> = std::iter::from_fn(|| ports.take_for_caller(start)).collect();

        assert_eq!(callers, names[..2]);
        assert_eq!(ports.take(start), Some(names[2]));
    }
}
