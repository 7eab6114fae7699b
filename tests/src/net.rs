//! The network between the box and its peers: loses, delays, duplicates and reorders by seed.
//! No sockets, no clock.

use crate::dice::Dice;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// One datagram on its way.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// How bad it is, in percent of all datagrams.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    /// Held up so long that later ones overtake it.
    pub late: u64,
}

/// What became of a datagram that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Duplicated,
    Lost,
    Underway,
}

/// Every datagram between being sent and being received.
#[derive(Debug)]
pub struct Net {
    dice: Dice,
    faults: Faults,
    underway: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
    /// Until then nothing gets through.
    down_until: Option<Instant>,
}

/// One way, when nothing is wrong.
const DELAY_MS: std::ops::Range<u64> = 1..30;
/// A repeat or a straggler comes at most this much later. Far below the five seconds for which a
/// finished transaction remembers (RFC 3261 §17.2.1, Timer I).
const LATE_MS: std::ops::Range<u64> = 30..900;

impl Net {
    pub fn new(dice: Dice, faults: Faults) -> Self {
        Self { dice, faults, underway: BTreeMap::new(), sent: 0, down_until: None }
    }

    /// From here on nothing goes wrong with what is sent.
    pub fn calm_down(&mut self) {
        self.faults = Faults { lost: 0, duplicated: 0, late: 0 };
        self.down_until = None;
    }

    /// The cable is pulled.
    pub fn go_down(&mut self, until: Instant) {
        self.down_until = Some(until);
    }

    pub fn send(&mut self, datagram: Datagram, now: Instant) -> Fate {
        let down = self.down_until.is_some_and(|until| now < until);
        if down || self.dice.percent(self.faults.lost) {
            return Fate::Lost;
        }
        let mut delay = self.dice.millis(DELAY_MS);
        if self.dice.percent(self.faults.late) {
            delay += self.dice.millis(LATE_MS);
        }
        let duplicated = self.dice.percent(self.faults.duplicated);
        if duplicated {
            let again = delay + self.dice.millis(LATE_MS);
            self.put(datagram.clone(), now + again);
        }
        self.put(datagram, now + delay);
        if duplicated { Fate::Duplicated } else { Fate::Underway }
    }

    /// When the next one arrives.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.underway.first_key_value().map(|(&(at, _), _)| at)
    }

    /// The next one that has arrived by now.
    pub fn poll_arrival(&mut self, now: Instant) -> Option<Datagram> {
        let first = self.underway.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }

    fn put(&mut self, datagram: Datagram, at: Instant) {
        self.sent += 1;
        self.underway.insert((at, self.sent), datagram);
    }

    /// The longest a datagram that was not lost may be underway.
    pub fn slowest() -> Duration {
        Duration::from_millis(DELAY_MS.end + 2 * LATE_MS.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(seed: u64, faults: Faults) -> Vec<(Duration, Vec<u8>)> {
        let start = Instant::now();
        let mut net = Net::new(Dice::new(seed, 0), faults);
        let address = "10.0.0.1:5060".parse().expect("an address");
        for number in 0..200 {
            net.send(Datagram { from: address, to: address, bytes: vec![number] }, start);
        }
        let mut all = vec![];
        while let Some(at) = net.poll_timeout() {
            let arrived = net.poll_arrival(at).expect("it said so");
            all.push((at - start, arrived.bytes));
        }
        all
    }

    #[test]
    fn a_bad_network_loses_repeats_and_reorders_and_a_calm_one_loses_nothing() {
        let bad = arrivals(1, Faults { lost: 10, duplicated: 10, late: 10 });
        let calm = arrivals(1, Faults { lost: 0, duplicated: 0, late: 0 });

        let mut distinct: Vec<_> = bad.iter().map(|(_, bytes)| bytes).collect();
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() < 200 && distinct.len() > 150, "{}", distinct.len());
        assert!(bad.len() > distinct.len(), "some came twice");
        assert_eq!(calm.len(), 200);
        assert!(bad.iter().all(|(after, _)| *after <= Net::slowest()));
    }

    #[test]
    fn the_same_seed_gives_the_same_network() {
        let faults = Faults { lost: 10, duplicated: 10, late: 10 };

        assert_eq!(arrivals(7, faults), arrivals(7, faults));
        assert_ne!(arrivals(7, faults), arrivals(8, faults));
    }
}
