//! Trunks: who may call without a challenge, and how many calls at once.

use crate::{
    flow::Host,
    guard::bucket::Bucket,
    ids::{NetworkId, TrunkId},
};
use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Instant,
};

/// Calls of one trunk that come to nothing in a second: twice what the box carries of calls. Each leaves
/// a record on disk, so beyond it a new one is put off before it leaves any.
const FRUITLESS_PER_SECOND: u32 = 200;
const FRUITLESS_AT_ONCE: u32 = 2_000;

/// A peer known by its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trunk {
    pub name: String,
    /// Where its addresses are: from elsewhere they are somebody else's.
    pub network: NetworkId,
    /// Who may call; any port.
    pub peers: Vec<Cidr>,
    /// Where calls to it are sent. `None`: it only calls us.
    pub address: Option<SocketAddr>,
    /// Calls at once, in both directions.
    pub calls_max: u32,
    /// New calls a second, in both directions; none: as many as come.
    pub calls_per_second_max: Option<u32>,
}

impl Trunk {
    /// One from which nobody may call yet, and that may have no call.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            network: NetworkId::FIRST,
            peers: Vec::new(),
            address: None,
            calls_max: 0,
            calls_per_second_max: None,
        }
    }
}

/// How many calls a trunk has at once, in both directions, and how many it may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrunkLoad {
    pub calls: u32,
    pub calls_max: u32,
}

/// One address or a network of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// One address.
    fn host(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(host)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                net.to_bits() & mask == host.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(host)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                net.to_bits() & mask == host.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// What is wrong with the text of a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither an address nor a network; write it like 203.0.113.7 or 10.0.0.0/8")]
pub struct BadCidr(pub String);

impl FromStr for Cidr {
    type Err = BadCidr;

    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let bad = || BadCidr(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let widest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(digits) => digits.parse().map_err(|_| bad())?,
            None => widest,
        };
        if prefix > widest {
            return Err(bad());
        }
        Ok(Self { address, prefix })
    }
}

/// All trunks and their calls.
#[derive(Debug)]
pub(crate) struct Trunks {
    trunks: Vec<Trunk>,
    calls: Vec<u32>,
    rates: Vec<Bucket>,
    fruitless: Vec<Bucket>,
    /// Where the peers of running calls were until the configuration changed: what belongs to such a
    /// call may still come from there, a new call may not.
    former: Vec<Vec<(NetworkId, Cidr)>>,
}

impl Trunks {
    pub(crate) fn new(trunks: Vec<Trunk>) -> Self {
        let (calls, former) = (vec![0; trunks.len()], vec![vec![]; trunks.len()]);
        let rates = vec![Bucket::default(); trunks.len()];
        Self { fruitless: rates.clone(), trunks, calls, rates, former }
    }

    /// The trunks as they are from now on, at the ids they have. Calls go on.
    pub(crate) fn reconfigure(&mut self, trunks: Vec<Trunk>) {
        let old = std::mem::replace(&mut self.trunks, trunks);
        self.calls.resize(self.trunks.len().max(old.len()), 0);
        self.former.resize(self.calls.len(), vec![]);
        self.rates.resize(self.calls.len(), Bucket::default());
        self.fruitless.resize(self.calls.len(), Bucket::default());
        let used = old.into_iter().zip(&mut self.former).zip(&self.calls);
        for ((trunk, former), _) in used.filter(|(_, calls)| **calls > 0) {
            let own = trunk.address.map(|own| Cidr::host(own.ip()));
            for peer in trunk.peers.into_iter().chain(own).map(|peer| (trunk.network, peer)) {
                if !former.contains(&peer) {
                    former.push(peer);
                }
            }
        }
    }

    /// Whether a trunk is there, or was when a call began that still goes on. Where one is called it
    /// may only answer.
    pub(crate) fn knows(&self, host: Host) -> bool {
        let called = |trunk: &Trunk| {
            trunk.network == host.network && trunk.address.is_some_and(|own| own.ip() == host.ip)
        };
        let former = || self.former.iter().flatten().any(|former| was_at(former, host));
        self.of(host).is_some() || self.trunks.iter().any(called) || former()
    }

    /// The trunk this address belongs to: the narrowest block wins, then the first trunk.
    pub(crate) fn of(&self, host: Host) -> Option<TrunkId> {
        let here = (0_u16..).zip(&self.trunks).filter(|(_, trunk)| trunk.network == host.network);
        let matching = here.flat_map(|(id, trunk)| {
            trunk
                .peers
                .iter()
                .filter(move |peer| peer.contains(host.ip))
                .map(move |peer| (id, peer))
        });
        let (id, _) = matching.min_by_key(|&(id, peer)| (u8::MAX - peer.prefix, id))?;
        Some(TrunkId(id))
    }

    /// Whether packets of this trunk's calls may come from here.
    pub(crate) fn owns(&self, trunk: TrunkId, host: Host) -> bool {
        let at = usize::from(trunk.0);
        let former = self.former.get(at).into_iter().flatten();
        let now = self.trunks.get(at).is_some_and(|trunk| {
            let peers = || trunk.peers.iter().any(|peer| peer.contains(host.ip));
            let called = || trunk.address.is_some_and(|own| own.ip() == host.ip);
            trunk.network == host.network && (peers() || called())
        });
        now || former.into_iter().any(|former| was_at(former, host))
    }

    /// Whether this second has room for one more new call.
    pub(crate) fn take_turn(&mut self, trunk: TrunkId, now: Instant) -> bool {
        let at = usize::from(trunk.0);
        let most = self.trunks.get(at).and_then(|trunk| trunk.calls_per_second_max);
        match (most, self.rates.get_mut(at)) {
            (Some(most), Some(rate)) => rate.take(most, most, now),
            (None, _) | (Some(_), None) => true,
        }
    }

    /// A call of it came to nothing.
    pub(crate) fn note_fruitless(&mut self, trunk: TrunkId, now: Instant) {
        if let Some(fruitless) = self.fruitless.get_mut(usize::from(trunk.0)) {
            fruitless.take(FRUITLESS_PER_SECOND, FRUITLESS_AT_ONCE, now);
        }
    }

    /// So many of its calls came to nothing that the next one is put off.
    pub(crate) fn is_fruitless(&mut self, trunk: TrunkId, now: Instant) -> bool {
        let fruitless = self.fruitless.get_mut(usize::from(trunk.0));
        fruitless
            .is_some_and(|bucket| !bucket.has_room(FRUITLESS_PER_SECOND, FRUITLESS_AT_ONCE, now))
    }

    /// Counts one more call, or says no.
    pub(crate) fn take_call(&mut self, trunk: TrunkId) -> bool {
        let at = usize::from(trunk.0);
        let (Some(known), Some(calls)) = (self.trunks.get(at), self.calls.get_mut(at)) else {
            return false;
        };
        let free = *calls < known.calls_max;
        *calls += u32::from(free);
        free
    }

    /// Counts a call that another process had taken, whatever the limit says now.
    pub(crate) fn retake_call(&mut self, trunk: TrunkId) {
        if let Some(calls) = self.calls.get_mut(usize::from(trunk.0)) {
            *calls += 1;
        }
    }

    /// Each trunk's calls, by its id.
    pub(crate) fn loads(&self) -> Vec<TrunkLoad> {
        let both = self.trunks.iter().zip(&self.calls);
        both.map(|(trunk, &calls)| TrunkLoad { calls, calls_max: trunk.calls_max }).collect()
    }

    pub(crate) fn named(&self, name: &str) -> Option<TrunkId> {
        let place = self.trunks.iter().position(|trunk| trunk.name == name)?;
        u16::try_from(place).ok().map(TrunkId)
    }

    pub(crate) fn name(&self, trunk: TrunkId) -> Option<&str> {
        self.trunks.get(usize::from(trunk.0)).map(|trunk| trunk.name.as_str())
    }

    pub(crate) fn give_call_back(&mut self, trunk: TrunkId) {
        let at = usize::from(trunk.0);
        let Some(calls) = self.calls.get_mut(at) else { return };
        *calls = calls.saturating_sub(1);
        if *calls == 0
            && let Some(former) = self.former.get_mut(at)
        {
            former.clear();
        }
    }
}

fn was_at(&(network, peer): &(NetworkId, Cidr), host: Host) -> bool {
    network == host.network && peer.contains(host.ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(ip: &str) -> Host {
        Host { network: NetworkId::FIRST, ip: ip.parse().unwrap() }
    }

    fn trunk(peers: &[&str], calls_max: u32) -> Trunk {
        let peers = peers.iter().map(|peer| peer.parse().unwrap()).collect();
        Trunk { peers, calls_max, ..Trunk::named("t") }
    }

    fn contains(network: &str, address: &str) -> bool {
        network.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn networks_contain_their_addresses_and_no_others() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("127.0.0.1", "127.0.0.1") && !contains("127.0.0.1", "127.0.0.2"));
        assert!(contains("0.0.0.0/0", "192.0.2.1") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1") && contains("::/0", "::1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_refused_by_name() {
        for text in ["", "10.0.0.0/33", "10.0.0/8", "carrier.example", "::/129", "1.2.3.4/", "/8"] {
            assert_eq!(text.parse::<Cidr>(), Err(BadCidr(text.into())));
        }
    }

    #[test]
    fn the_narrowest_network_names_the_trunk() {
        let trunks = Trunks::new(vec![trunk(&["10.0.0.0/8"], 1), trunk(&["10.1.0.0/16"], 1)]);

        assert_eq!(trunks.of(host("10.1.2.3")), Some(TrunkId(1)));
        assert_eq!(trunks.of(host("10.2.2.3")), Some(TrunkId(0)));
        assert_eq!(trunks.of(host("192.0.2.1")), None);
    }

    #[test]
    fn an_address_is_a_trunks_in_its_network_alone_and_may_be_anothers_elsewhere() {
        let other = NetworkId(1);
        let there = Trunk { network: other, ..trunk(&["10.0.0.0/8"], 1) };
        let mut trunks = Trunks::new(vec![trunk(&["10.1.0.0/16"], 1), there]);
        let near = host("10.1.2.3");
        let far = Host { network: other, ..near };

        assert_eq!((trunks.of(near), trunks.of(far)), (Some(TrunkId(0)), Some(TrunkId(1))));
        assert!(trunks.owns(TrunkId(1), far) && !trunks.owns(TrunkId(1), near));
        assert!(!trunks.knows(Host { network: NetworkId(2), ..near }));

        assert!(trunks.take_call(TrunkId(1)));
        trunks.reconfigure(vec![trunk(&[], 1), trunk(&[], 1)]);
        assert!(trunks.owns(TrunkId(1), far) && !trunks.owns(TrunkId(1), near), "its call goes on");
    }

    #[test]
    fn a_call_that_goes_on_keeps_the_peers_it_began_with_and_a_new_one_does_not_get_them() {
        let (old, new) = (host("192.0.2.1"), host("192.0.2.2"));
        let mut trunks = Trunks::new(vec![trunk(&["192.0.2.1"], 2)]);
        assert!(trunks.take_call(TrunkId(0)));

        trunks.reconfigure(vec![trunk(&["192.0.2.2"], 1)]);

        assert!(trunks.owns(TrunkId(0), old) && trunks.knows(old), "the call goes on");
        assert_eq!((trunks.of(old), trunks.of(new)), (None, Some(TrunkId(0))));
        assert!(!trunks.take_call(TrunkId(0)), "the new bound counts the old call");
        trunks.give_call_back(TrunkId(0));
        assert!(!trunks.owns(TrunkId(0), old) && !trunks.knows(old), "nobody is left of it");
    }

    #[test]
    fn a_trunk_takes_no_more_new_calls_in_a_second_than_it_may() {
        let now = Instant::now();
        let paced = Trunk { calls_per_second_max: Some(3), ..trunk(&[], 100) };
        let mut trunks = Trunks::new(vec![paced, trunk(&[], 100)]);
        let turns = |trunks: &mut Trunks, id, at| {
            (0..9).filter(|_| trunks.take_turn(TrunkId(id), at)).count()
        };

        assert_eq!((turns(&mut trunks, 0, now), turns(&mut trunks, 1, now)), (3, 9));
        assert_eq!(turns(&mut trunks, 0, now + std::time::Duration::from_secs(1)), 3);
    }

    #[test]
    fn a_full_trunk_takes_no_call_until_one_ends() {
        let mut trunks = Trunks::new(vec![trunk(&[], 2)]);
        let taken: Vec<_> = (0..3).map(|_| trunks.take_call(TrunkId(0))).collect();
        trunks.give_call_back(TrunkId(0));

        assert_eq!(taken, [true, true, false]);
        assert!(trunks.take_call(TrunkId(0)));
        assert!(!trunks.take_call(TrunkId(9)));
    }
}
