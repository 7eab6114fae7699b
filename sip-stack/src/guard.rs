//! The look at a datagram before any work is done for it, and how much of each source is heard.
//!
//! Order of work: who it is (a phone, a trunk, nobody); is a nobody banned, or over their rate; only
//! then is anything read. A phone that is registered and a trunk have rates of their own, which no
//! stranger can use up, and what belongs to a dialog or repeats a request is not counted.

pub(crate) mod bans;
pub(crate) mod bucket;
pub(crate) mod strangers;

use crate::{
    config::Limits,
    event::Source,
    ids::{TrunkId, UserId},
};
use bans::{Bans, Misdeed};
use bucket::Bucket;
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};
use strangers::{Heard, Strangers};

/// New requests of one phone; what a person and their keys make is a hundredth of it.
const PHONE_PER_SECOND: u32 = 100;
/// New requests of one trunk: above what the box can carry, so that only a forger gets there.
const TRUNK_PER_SECOND: u32 = 2_000;
/// A loop this late sheds calls: who calls has sent the INVITE three times by now.
const LATE: Duration = Duration::from_secs(2);
/// How long it sheds after it was that late.
const SHED: Duration = Duration::from_secs(1);

/// What is heard of whom.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) bans: Bans,
    strangers: Strangers,
    /// By id, so bounded by the configuration.
    phones: BTreeMap<UserId, Bucket>,
    trunks: BTreeMap<TrunkId, Bucket>,
    shed_until: Option<Instant>,
}

impl Guard {
    pub(crate) fn new(limits: &Limits, key: u64) -> Self {
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        Self {
            bans: Bans::new(seconds(limits.ban_seconds), seconds(limits.ban_seconds_max)),
            strangers: Strangers::new(key, limits.strangers_per_second, limits.stranger_per_second),
            phones: BTreeMap::new(),
            trunks: BTreeMap::new(),
            shed_until: None,
        }
    }

    /// Why nothing of this stranger's datagram is read, if it is not.
    pub(crate) fn refuse_stranger(
        &mut self,
        from: IpAddr,
        datagram: &[u8],
        now: Instant,
    ) -> Option<&'static str> {
        if self.bans.holds(from, now) {
            return Some("banned");
        }
        let may_ask = may_come_from_anywhere(datagram);
        match self.strangers.hear(from, may_ask, now) {
            Heard::Yes | Heard::No if !may_ask => Some("unknown_source"),
            Heard::Yes => None,
            Heard::No => Some("rate"),
            Heard::Flood => {
                self.bans.ban(from, Misdeed::Flood, now);
                Some("banned")
            }
        }
    }

    /// Forgets what a source has done. Whether it was banned.
    pub(crate) fn lift(&mut self, from: IpAddr, now: Instant) -> bool {
        self.strangers.forget(from);
        self.bans.lift(from, now)
    }

    /// Whether a new request of somebody we know is taken.
    pub(crate) fn takes_request(&mut self, source: Source, now: Instant) -> bool {
        let (bucket, per_second) = match source {
            Source::Phone(user) => (self.phones.entry(user).or_default(), PHONE_PER_SECOND),
            Source::Trunk(trunk) => (self.trunks.entry(trunk).or_default(), TRUNK_PER_SECOND),
        };
        bucket.take(per_second, per_second * 2, now)
    }

    /// The loop was so late at what it had to do.
    pub(crate) fn was_late(&mut self, late: Duration, now: Instant) {
        if late >= LATE {
            self.shed_until = Some(now + SHED);
        }
    }

    /// New calls are refused until the loop is in time again.
    pub(crate) fn sheds(&self, now: Instant) -> bool {
        self.shed_until.is_some_and(|until| now < until)
    }
}

/// What counts as one source: an address, of IPv6 the /64 that one subscriber has.
pub(crate) fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(host) => IpAddr::V6(Ipv6Addr::from_bits(host.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Longest REGISTER of somebody we do not know; no phone needs a quarter of it.
const STRANGER_BYTES_MAX: usize = 8 * 1024;

/// Whether there is anything in it: phones keep their NAT open with line ends or zeros.
pub(crate) fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | b' ' | 0))
}

/// The one thing a stranger may ask (contract: REGISTER from anywhere is challenged).
pub(crate) fn may_come_from_anywhere(datagram: &[u8]) -> bool {
    let text = datagram.trim_ascii_start();
    datagram.len() <= STRANGER_BYTES_MAX && text.starts_with(b"REGISTER ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(&Limits::STANDARD, 7)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_stranger_who_floods_is_banned_and_the_next_one_is_heard() {
        let now = Instant::now();
        let mut guard = guard();
        let junk = (0..2_000).map(|_| guard.refuse_stranger(ip("192.0.2.1"), b"INVITE x", now));
        let last = junk.last().unwrap();

        assert_eq!(last, Some("banned"));
        let ask = b"REGISTER sip:clavija.test SIP/2.0\r\n";
        assert_eq!(guard.refuse_stranger(ip("192.0.2.1"), ask, now), Some("banned"));
        assert_eq!(guard.refuse_stranger(ip("192.0.2.2"), ask, now), None);
        let bans = guard.bans.list(now);
        assert_eq!((bans.len(), bans[0].why), (1, Misdeed::Flood));
    }

    #[test]
    fn what_one_trunk_sends_is_not_counted_against_another_or_a_phone() {
        let now = Instant::now();
        let mut guard = guard();
        let trunk = |guard: &mut Guard| guard.takes_request(Source::Trunk(TrunkId(0)), now);
        let taken = (0..10_000).filter(|_| trunk(&mut guard)).count();

        assert_eq!(taken, 4_000);
        assert!(guard.takes_request(Source::Trunk(TrunkId(1)), now));
        assert!(guard.takes_request(Source::Phone(UserId(0)), now));
    }

    #[test]
    fn a_loop_that_is_late_sheds_until_it_is_in_time_for_a_second() {
        let now = Instant::now();
        let mut guard = guard();
        guard.was_late(LATE - Duration::from_millis(1), now);
        assert!(!guard.sheds(now));

        guard.was_late(LATE, now);
        assert!(guard.sheds(now + SHED / 2) && !guard.sheds(now + SHED));
    }

    #[test]
    fn keep_alives_are_told_from_messages() {
        let nothing: [&[u8]; 4] = [b"", b"\r\n\r\n", b"\0\0\0\0", b" \r\n"];

        assert!(nothing.into_iter().all(is_keep_alive));
        assert!(!is_keep_alive(b"\r\n\r\nOPTIONS"));
    }

    #[test]
    fn a_stranger_may_register_and_nothing_else() {
        assert!(may_come_from_anywhere(b"REGISTER sip:clavija.test SIP/2.0\r\n"));
        assert!(may_come_from_anywhere(b"\r\n\r\nREGISTER sip:clavija.test SIP/2.0\r\n"));
        let others: [&[u8]; 4] =
            [b"INVITE sip:1@x SIP/2.0", b"SIP/2.0 200 OK", b"REGISTERED x", b"register x"];
        assert!(!others.into_iter().any(may_come_from_anywhere));
    }

    #[test]
    fn a_stranger_may_not_send_much() {
        let long = [b"REGISTER ".as_slice(), &[b'a'; STRANGER_BYTES_MAX]].concat();

        assert!(!may_come_from_anywhere(&long));
    }
}
