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
    resting: VecDeque<(Instant, PortName)>,
    taken: usize,
}

impl Ports {
    pub fn new(names: impl IntoIterator<Item = PortName>) -> Self {
        Self { free: names.into_iter().collect(), resting: VecDeque::new(), taken: 0 }
    }

    /// `None`: all are in use or at rest.
    pub fn take(&mut self, now: Instant) -> Option<PortName> {
        while let Some(&(until, port)) = self.resting.front() {
            if until > now {
                break;
            }
            self.resting.pop_front();
            self.free.push_back(port);
        }
        let port = self.free.pop_front()?;
        self.taken += 1;
        Some(port)
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
        let mut ports = Ports::new([PortName(20000)]);

        let port = ports.take(start).unwrap();
        assert_eq!(ports.take(start), None);
        ports.give_back(port, start);

        assert_eq!(ports.take(start + Duration::from_millis(4_999)), None);
        assert_eq!(ports.take(start + REST), Some(port));
    }
}
