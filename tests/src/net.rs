//! The network between the box and its peers: loses, delays, duplicates, reorders and parts them
//! by seed. No sockets, no clock.

use crate::dice::Dice;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::Range,
    time::Instant,
};

/// One datagram on its way.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// How bad it is, in percent of all datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    pub lost: u64,
    pub duplicated: u64,
    /// Held up so long that later ones overtake it.
    pub late: u64,
    /// One way, when nothing else is wrong: milliseconds.
    pub delay_ms: Range<u64>,
}

impl Faults {
    /// A network in which nothing goes wrong.
    pub const NONE: Self = Self { lost: 0, duplicated: 0, late: 0, delay_ms: 1..30 };

    /// The character of a day's network: mostly a little of everything, sometimes much of one thing.
    pub fn of_the_day(dice: &mut Dice) -> Self {
        let mut faults = Self {
            lost: dice.number(0..10),
            duplicated: dice.number(0..8),
            late: dice.number(0..8),
            ..Self::NONE
        };
        match dice.number(0..10) {
            0 => faults = Self::NONE,
            1 => faults.lost = dice.number(10..21),
            2 => faults.duplicated = dice.number(10..30),
            3 => faults.late = dice.number(10..40),
            // By satellite.
            4 => faults.delay_ms = 200..400,
            _ => {}
        }
        faults
    }

    /// Little enough is lost that repetition brings everything through in time.
    pub fn are_survived(&self) -> bool {
        self.lost < 10
    }
}

/// What became of a datagram that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Duplicated,
    Lost,
    Underway,
}

/// Which way a cable is cut, as seen from its far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Both,
    /// It sends in vain, and hears.
    From,
    /// It hears nothing, and is heard.
    To,
}

/// Nothing gets through between one host, or all, and the rest.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// `None`: all of them.
    host: Option<IpAddr>,
    way: Way,
    from: Instant,
    until: Instant,
}

impl Cut {
    fn hits(&self, datagram: &Datagram, now: Instant) -> bool {
        let is = |address: SocketAddr| self.host.is_none_or(|host| host == address.ip());
        let here = match self.way {
            Way::Both => is(datagram.from) || is(datagram.to),
            Way::From => is(datagram.from),
            Way::To => is(datagram.to),
        };
        here && self.from <= now && now < self.until
    }
}

/// Every datagram between being sent and being received.
#[derive(Debug)]
pub struct Net {
    dice: Dice,
    faults: Faults,
    underway: BTreeMap<(Instant, u64), Datagram>,
    sent: u64,
    cuts: Vec<Cut>,
}

/// A repeat or a straggler comes at most this much later. Far below the five seconds for which a
/// finished transaction remembers (RFC 3261 §17.2.1, Timer I).
const LATE_MS: Range<u64> = 30..900;

impl Net {
    pub fn new(dice: Dice, faults: Faults) -> Self {
        Self { dice, faults, underway: BTreeMap::new(), sent: 0, cuts: vec![] }
    }

    /// From here on nothing goes wrong with what is sent.
    pub fn calm_down(&mut self, now: Instant) {
        for cut in &mut self.cuts {
            cut.until = cut.until.min(now);
        }
        if !self.faults.are_survived() {
            self.cuts.push(Cut { host: None, way: Way::Both, from: now, until: now });
        }
        self.faults = Faults::NONE;
    }

    /// The cable of a host, or of everybody, is pulled.
    pub fn cut(&mut self, host: Option<IpAddr>, way: Way, now: Instant, until: Instant) {
        self.cuts.push(Cut { host, way, from: now, until });
    }

    /// What this host had to say, or to hear, may not have come through since then, however often
    /// it was repeated.
    pub fn may_have_failed(&self, host: IpAddr, since: Instant) -> bool {
        let cut = |cut: &&Cut| cut.host.is_none_or(|cut| cut == host) && since < cut.until;
        !self.faults.are_survived() || self.cuts.iter().any(|one| cut(&one))
    }

    pub fn send(&mut self, datagram: Datagram, now: Instant) -> Fate {
        let cut = self.cuts.iter().any(|cut| cut.hits(&datagram, now));
        if cut || self.dice.percent(self.faults.lost) {
            return Fate::Lost;
        }
        let mut delay = self.dice.millis(self.faults.delay_ms.clone());
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const BAD: Faults = Faults { lost: 10, duplicated: 10, late: 10, ..Faults::NONE };

    fn address(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 5060))
    }

    fn arrivals(seed: u64, faults: Faults) -> Vec<(Duration, Vec<u8>)> {
        let start = Instant::now();
        let mut net = Net::new(Dice::new(seed, 0), faults);
        for number in 0..200 {
            let datagram = Datagram { from: address(1), to: address(2), bytes: vec![number] };
            net.send(datagram, start);
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
        let bad = arrivals(1, BAD);
        let calm = arrivals(1, Faults::NONE);

        let mut distinct: Vec<_> = bad.iter().map(|(_, bytes)| bytes).collect();
        distinct.sort();
        distinct.dedup();
        assert!(distinct.len() < 200 && distinct.len() > 150, "{}", distinct.len());
        assert!(bad.len() > distinct.len(), "some came twice");
        assert_eq!(calm.len(), 200);
        let slowest = Duration::from_millis(BAD.delay_ms.end + 2 * LATE_MS.end);
        assert!(bad.iter().all(|(after, _)| *after <= slowest));
    }

    #[test]
    fn the_same_seed_gives_the_same_network() {
        assert_eq!(arrivals(7, BAD), arrivals(7, BAD));
        assert_ne!(arrivals(7, BAD), arrivals(8, BAD));
    }

    #[test]
    fn a_cut_parts_one_host_in_its_ways_until_it_heals() {
        let start = Instant::now();
        let heals = start + Duration::from_secs(10);
        let passes = |way, from, to, at| {
            let mut net = Net::new(Dice::new(1, 0), Faults::NONE);
            net.cut(Some(address(1).ip()), way, start, heals);
            let datagram = Datagram { from: address(from), to: address(to), bytes: vec![] };
            net.send(datagram, at) != Fate::Lost
        };

        for (way, says, hears) in
            [(Way::Both, false, false), (Way::From, false, true), (Way::To, true, false)]
        {
            assert_eq!((passes(way, 1, 9, start), passes(way, 9, 1, start)), (says, hears));
            assert!(passes(way, 2, 9, start) && passes(way, 9, 2, start), "others are not cut");
            assert!(passes(way, 1, 9, heals) && passes(way, 9, 1, heals));
        }
    }
}
