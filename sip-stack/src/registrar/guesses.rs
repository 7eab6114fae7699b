//! Wrong passwords, by where they came from: after a few nothing more is looked at from there.
//!
//! Only who answers to a nonce that was sent to their address is counted, so nobody can have
//! another's address shut out.

use crate::guard::network_of;
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long a source is remembered after its first wrong answer.
const WINDOW: Duration = Duration::from_secs(60);
/// Sources remembered at once.
const SOURCES_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Guesses {
    /// Wrong answers that are looked at in one window.
    most: u32,
    wrong: BTreeMap<IpAddr, (Instant, u32)>,
}

impl Guesses {
    pub(super) fn new(most: u32) -> Self {
        Self { most, wrong: BTreeMap::new() }
    }

    pub(super) fn are_spent(&self, from: IpAddr, now: Instant) -> bool {
        let known = self.wrong.get(&from.to_canonical());
        known.is_some_and(|&(since, count)| count >= self.most && now < since + WINDOW)
    }

    /// An operator trusts that source again; of IPv6 its /64, as it was banned.
    pub(super) fn forget(&mut self, from: IpAddr) {
        let source = network_of(from);
        self.wrong.retain(|&host, _| network_of(host) != source);
    }

    /// Whether that was the last one that is looked at.
    pub(super) fn count(&mut self, from: IpAddr, now: Instant) -> bool {
        if self.wrong.len() >= SOURCES_MAX {
            self.wrong.retain(|_, &mut (since, _)| now < since + WINDOW);
        }
        if self.wrong.len() >= SOURCES_MAX {
            self.wrong.pop_first();
        }
        let (since, count) = self.wrong.entry(from.to_canonical()).or_insert((now, 0));
        if now >= *since + WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count == self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUESSES_MAX: u32 = 20;
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    #[test]
    fn a_source_is_shut_out_for_the_rest_of_a_minute_and_no_other_is() {
        let start = Instant::now();
        let mut guesses = Guesses::new(GUESSES_MAX);
        for _ in 0..GUESSES_MAX {
            assert!(!guesses.are_spent(HERE, start));
            guesses.count(HERE, start);
        }

        assert!(guesses.are_spent(HERE, start));
        assert!(!guesses.are_spent("192.0.2.2".parse().unwrap(), start));
        assert!(!guesses.are_spent(HERE, start + WINDOW));
        guesses.count(HERE, start + WINDOW);
        assert!(!guesses.are_spent(HERE, start + WINDOW));
    }

    #[test]
    fn a_crowd_of_sources_costs_no_more_than_its_limit() {
        let now = Instant::now();
        let mut guesses = Guesses::new(GUESSES_MAX);

        for host in 0..u32::try_from(SOURCES_MAX * 2).unwrap() {
            guesses.count(IpAddr::V4(host.into()), now);
        }

        assert_eq!(guesses.wrong.len(), SOURCES_MAX);
    }
}
