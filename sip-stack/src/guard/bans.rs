//! Sources that are not heard for a while, each for a reason, twice as long each time.
//!
//! A ban for wrong passwords can be had by nobody else: the guesses answered a nonce that was sent to
//! that address. The source of a flood may be forged, so its ban is short and does not grow.

use crate::guard::network_of;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Sources remembered at once; beyond, the one that would be free first is.
const BANS_MAX: usize = 1_024;
/// How long a ban that is over is remembered, for the next to be longer.
const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);
/// How long a flood is not heard.
const FLOOD: Duration = Duration::from_secs(60);

/// Why a source is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misdeed {
    Flood,
    Passwords,
}

impl Misdeed {
    pub fn label(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::Passwords => "passwords",
        }
    }
}

/// A source that is not heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ban {
    /// The address; of IPv6 the first of its /64.
    pub address: IpAddr,
    pub why: Misdeed,
    pub until: Instant,
    /// Which ban of this source it is.
    pub times: u32,
    /// Grows with every ban of this endpoint, so that each is reported once.
    pub serial: u64,
}

#[derive(Debug)]
pub(crate) struct Bans {
    first: Duration,
    longest: Duration,
    bans: BTreeMap<IpAddr, Ban>,
    serial: u64,
}

impl Bans {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, bans: BTreeMap::new(), serial: 0 }
    }

    pub(crate) fn holds(&self, from: IpAddr, now: Instant) -> bool {
        !self.bans.is_empty() && self.bans.get(&network_of(from)).is_some_and(|ban| now < ban.until)
    }

    pub(crate) fn ban(&mut self, from: IpAddr, why: Misdeed, now: Instant) {
        let address = network_of(from);
        self.make_room(address, now);
        let before = self.bans.get(&address).map_or(0, |ban| ban.times);
        let doubled = self.first.saturating_mul(1 << before.min(16)).min(self.longest);
        let (span, times) = match why {
            Misdeed::Passwords => (doubled, before + 1),
            Misdeed::Flood => (FLOOD, before),
        };
        self.serial += 1;
        let ban = Ban { address, why, until: now + span, times, serial: self.serial };
        self.bans.insert(address, ban);
    }

    /// Whether there was one.
    pub(crate) fn lift(&mut self, address: IpAddr, now: Instant) -> bool {
        self.bans.remove(&network_of(address)).is_some_and(|ban| now < ban.until)
    }

    /// Who is not heard at this moment.
    pub(crate) fn list(&self, now: Instant) -> Vec<Ban> {
        self.bans.values().filter(|ban| now < ban.until).copied().collect()
    }

    /// How many there have ever been.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    fn make_room(&mut self, address: IpAddr, now: Instant) {
        if self.bans.len() < BANS_MAX || self.bans.contains_key(&address) {
            return;
        }
        self.bans.retain(|_, ban| now < ban.until + REMEMBERED);
        if self.bans.len() >= BANS_MAX {
            let soonest = self.bans.values().min_by_key(|ban| ban.until).map(|ban| ban.address);
            soonest.map(|address| self.bans.remove(&address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_MINUTES: Duration = Duration::from_secs(600);
    const HERE: &str = "192.0.2.1";

    fn bans() -> Bans {
        Bans::new(TEN_MINUTES, Duration::from_secs(2_000))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_ban_ends_and_the_next_is_twice_as_long_up_to_the_longest() {
        let mut now = Instant::now();
        let mut bans = bans();
        for seconds in [600, 1_200, 2_000, 2_000] {
            bans.ban(ip(HERE), Misdeed::Passwords, now);
            let last = Duration::from_millis(seconds * 1_000 - 1);
            assert!(bans.holds(ip(HERE), now + last) && !bans.holds(ip("192.0.2.2"), now));
            now += Duration::from_secs(seconds);
            assert!(!bans.holds(ip(HERE), now));
        }
        assert_eq!((bans.serial(), bans.list(now).len()), (4, 0));
    }

    #[test]
    fn the_ban_of_a_flood_is_short_and_does_not_grow() {
        let mut now = Instant::now();
        let mut bans = bans();
        for _ in 0..3 {
            bans.ban(ip(HERE), Misdeed::Flood, now);
            assert!(bans.holds(ip(HERE), now) && !bans.holds(ip(HERE), now + FLOOD));
            now += FLOOD;
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_source_and_a_mapped_address_is_its_own() {
        let now = Instant::now();
        let mut bans = bans();
        bans.ban(ip("2001:db8:1:2:3::4"), Misdeed::Passwords, now);
        bans.ban(ip("::ffff:192.0.2.9"), Misdeed::Passwords, now);

        assert!(bans.holds(ip("2001:db8:1:2:ffff::1"), now));
        assert!(!bans.holds(ip("2001:db8:1:3::4"), now));
        assert!(bans.holds(ip("192.0.2.9"), now));
    }

    #[test]
    fn an_operator_lifts_a_ban() {
        let now = Instant::now();
        let mut bans = bans();
        bans.ban(ip(HERE), Misdeed::Passwords, now);

        assert!(bans.lift(ip(HERE), now) && !bans.lift(ip(HERE), now));
        assert!(!bans.holds(ip(HERE), now));
    }

    #[test]
    fn a_crowd_of_sources_costs_no_more_than_its_limit_and_the_longest_bans_stay() {
        let now = Instant::now();
        let mut bans = bans();
        bans.ban(ip(HERE), Misdeed::Passwords, now);
        for host in 0..u32::try_from(BANS_MAX * 2).unwrap() {
            bans.ban(IpAddr::V4((0x0a00_0000 + host).into()), Misdeed::Flood, now);
        }

        assert_eq!(bans.list(now).len(), BANS_MAX);
        assert!(bans.holds(ip(HERE), now));
    }
}
