//! How much is heard of sources nobody knows: all of them together, and each of them.
//!
//! A table of fixed size, found by a keyed hash: nothing is allocated, nothing is evicted, and nobody
//! can choose whose place they share.

use super::{bucket::Bucket, network_of};
use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    net::IpAddr,
    time::{Duration, Instant},
};

/// Places; many more strangers than that are bounded by what they may send together.
const PLACES: usize = 4_096;
/// So many datagrams over its rate within [`FLOOD_WINDOW`], and a source is a flood.
const FLOOD: u32 = 500;
const FLOOD_WINDOW: Duration = Duration::from_secs(10);

/// What becomes of a stranger's datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Yes,
    /// Over its rate, or all strangers together are.
    No,
    /// So far over its rate that it need not be looked at for a while.
    Flood,
}

#[derive(Debug)]
pub(crate) struct Strangers {
    key: u64,
    together_per_second: u32,
    each_per_second: u32,
    together: Bucket,
    places: Vec<Place>,
}

/// Shared by whoever the hash brings here; accused is only who holds it.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    bucket: Bucket,
    holder: Option<IpAddr>,
    over: u32,
    since: Option<Instant>,
}

impl Strangers {
    pub(crate) fn new(key: u64, together_per_second: u32, each_per_second: u32) -> Self {
        let places = vec![Place::default(); PLACES];
        Self { key, together_per_second, each_per_second, together: Bucket::default(), places }
    }

    /// `answered`: it would cost an answer, not only this look.
    pub(crate) fn hear(&mut self, from: IpAddr, answered: bool, now: Instant) -> Heard {
        let source = network_of(from);
        let each = self.each_per_second;
        let at = self.place_of(source);
        let Some(place) = self.places.get_mut(at) else { return Heard::No };
        if place.holder != Some(source) && place.bucket.is_full(each, now) {
            *place = Place { holder: Some(source), ..Place::default() };
        }
        if !place.bucket.take(each, each.saturating_mul(2), now) {
            return place.over_its_rate(source, now);
        }
        let together = self.together_per_second;
        let free = !answered || self.together.take(together, together, now);
        if free { Heard::Yes } else { Heard::No }
    }

    /// It begins anew, and whoever shares its place.
    pub(crate) fn forget(&mut self, from: IpAddr) {
        let at = self.place_of(network_of(from));
        if let Some(place) = self.places.get_mut(at) {
            *place = Place::default();
        }
    }

    fn place_of(&self, source: IpAddr) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.key, source).hash(&mut hasher);
        usize::try_from(hasher.finish() % PLACES as u64).unwrap_or(0)
    }
}

impl Place {
    fn over_its_rate(&mut self, source: IpAddr, now: Instant) -> Heard {
        if self.holder != Some(source) {
            return Heard::No;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) > FLOOD_WINDOW {
            (self.since, self.over) = (Some(now), 0);
        }
        self.over += 1;
        if self.over < FLOOD {
            return Heard::No;
        }
        self.over = 0;
        Heard::Flood
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(host: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + host).into())
    }

    fn heard(strangers: &mut Strangers, from: IpAddr, times: u32, now: Instant) -> usize {
        (0..times).filter(|_| strangers.hear(from, true, now) == Heard::Yes).count()
    }

    #[test]
    fn one_source_is_heard_at_its_rate_and_another_is_not_the_worse_for_it() {
        let now = Instant::now();
        let mut strangers = Strangers::new(7, 1_000, 20);

        assert_eq!(heard(&mut strangers, ip(1), 400, now), 40);
        assert_eq!(heard(&mut strangers, ip(2), 40, now), 40);
        assert_eq!(heard(&mut strangers, ip(1), 400, now + Duration::from_secs(1)), 20);
    }

    #[test]
    fn a_source_that_is_forgotten_begins_anew() {
        let now = Instant::now();
        let mut strangers = Strangers::new(7, 1_000, 20);
        assert_eq!(heard(&mut strangers, ip(1), 400, now), 40);

        strangers.forget(ip(1));

        assert_eq!(heard(&mut strangers, ip(1), 400, now), 40);
    }

    #[test]
    fn all_together_are_heard_at_their_rate() {
        let now = Instant::now();
        let mut strangers = Strangers::new(7, 100, 20);

        let sum: usize = (0..1_000).map(|host| heard(&mut strangers, ip(host), 1, now)).sum();

        assert_eq!(sum, 100);
        assert_eq!(strangers.hear(ip(2_000), false, now), Heard::Yes, "a look costs no answer");
    }

    #[test]
    fn a_source_far_over_its_rate_is_a_flood_and_one_that_is_slow_never_is() {
        let start = Instant::now();
        let mut strangers = Strangers::new(7, 1_000, 20);
        let flood = (0..1_000).any(|_| strangers.hear(ip(1), false, start) == Heard::Flood);
        assert!(flood);

        // 50 a second are over the rate and no flood.
        for at in 0..10_000_u64 {
            let now = start + Duration::from_millis(at * 20);
            assert_ne!(strangers.hear(ip(2), false, now), Heard::Flood);
        }
    }

    #[test]
    fn a_crowd_of_sources_takes_no_memory_and_accuses_nobody() {
        let now = Instant::now();
        let mut strangers = Strangers::new(7, 1_000, 20);

        for host in 0..1_000_000 {
            assert_ne!(strangers.hear(ip(host % 200_000), false, now), Heard::Flood);
        }
        assert_eq!(strangers.places.len(), PLACES);
    }
}
