//! Addresses, networks and port ranges as operators write them, and what the host can answer for them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    str::FromStr,
};

/// RFC 3261 §19.1.2: the port of a SIP URI that names none.
const SIP_PORT: u16 = 5060;

/// What the files are checked against besides themselves; gathered by the caller.
#[derive(Clone, Debug)]
pub struct Host {
    /// Every address of the host's interfaces, loopback included.
    pub addresses: Vec<IpAddr>,
    /// Where systemd put the credentials (`$CREDENTIALS_DIRECTORY`), if it did.
    pub credentials: Option<PathBuf>,
}

impl Host {
    /// Takes the credentials folder from the environment systemd gives.
    pub fn with_addresses(addresses: Vec<IpAddr>) -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { addresses, credentials }
    }

    /// The one address peers can reach when `bound` is a wildcard, or all there are to choose from.
    pub(crate) fn address_behind(&self, bound: IpAddr) -> Result<IpAddr, Vec<IpAddr>> {
        if !bound.is_unspecified() {
            return Ok(bound);
        }
        let mut outside: Vec<IpAddr> =
            self.addresses.iter().copied().filter(|address| is_outside(*address, bound)).collect();
        outside.sort_unstable();
        outside.dedup();
        match outside.as_slice() {
            [] => Ok(loopback_like(bound)),
            [only] => Ok(*only),
            _ => Err(outside),
        }
    }
}

/// An IPv6 wildcard hears IPv4 too; link-local addresses need a scope no peer could write.
fn is_outside(address: IpAddr, bound: IpAddr) -> bool {
    let family = bound.is_ipv6() || address.is_ipv4();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    family && !link_local && !address.is_loopback()
}

fn loopback_like(bound: IpAddr) -> IpAddr {
    match bound {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Who may call on a trunk without a challenge: one address or a network, from any port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    network: IpAddr,
    prefix_bits: u8,
}

impl Peer {
    /// The address, or the network's first one.
    pub fn network(&self) -> IpAddr {
        self.network
    }

    /// 32 or 128 for a single address.
    pub fn prefix_bits(&self) -> u8 {
        self.prefix_bits
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                first_of_network(address, self.prefix_bits) == self.network
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    /// True if some address belongs to both.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.contains(other.network) || other.contains(self.network)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix_bits == bits_of(self.network) {
            write!(f, "{}", self.network)
        } else {
            write!(f, "{}/{}", self.network, self.prefix_bits)
        }
    }
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LIKE: &str = "write it like 203.0.113.7 or 203.0.113.0/24";
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let Ok(network) = address.parse::<IpAddr>() else {
            return Err(format!("is not an address or network; {LIKE}"));
        };
        let bits = bits_of(network);
        let prefix_bits = match prefix.map(str::parse::<u8>) {
            None => bits,
            Some(Ok(prefix)) if prefix <= bits => prefix,
            Some(_) => {
                return Err(format!("has no prefix from 0 to {bits} after the slash; {LIKE}"));
            }
        };
        let first = first_of_network(network, prefix_bits);
        if first != network {
            return Err(format!("has bits behind its prefix; write {first}/{prefix_bits}"));
        }
        Ok(Self { network, prefix_bits })
    }
}

fn bits_of(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn first_of_network(address: IpAddr, prefix_bits: u8) -> IpAddr {
    let host_bits = u32::from(bits_of(address) - prefix_bits);
    // A shift by the whole width has no value: a prefix of 0 keeps no bit.
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(host_bits).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// Where to listen: an address of this host, or a wildcard, with its port. `like` is one that would do.
pub(crate) fn listener(text: &str, like: SocketAddr) -> Result<SocketAddr, String> {
    let Ok(address) = text.parse::<SocketAddr>() else {
        return Err(match text.parse::<IpAddr>() {
            Ok(ip) => format!("has no port; write it like {}", SocketAddr::new(ip, like.port())),
            Err(_) => format!("is not an address; write it like {like}"),
        });
    };
    match address {
        address if address.port() == 0 => {
            Err(format!("has port 0, which nobody could find again; write it like {like}"))
        }
        address if address.ip().is_multicast() => {
            Err(format!("is a multicast address; write it like {like}"))
        }
        address => Ok(address),
    }
}

/// Where media ports are opened.
pub(crate) fn bound_ip(text: &str) -> Result<IpAddr, String> {
    const LIKE: &str = "write it like 192.0.2.10";
    match text.parse::<IpAddr>() {
        Ok(ip) if ip.is_multicast() => Err(format!("is a multicast address; {LIKE}")),
        Ok(ip) => Ok(ip),
        Err(_) if text.parse::<SocketAddr>().is_ok() => {
            Err(format!("has a port, and media.ports says which; {LIKE}"))
        }
        Err(_) => Err(format!("is not an address; {LIKE}")),
    }
}

/// An address that peers send to: never a wildcard.
pub(crate) fn reachable_ip(text: &str) -> Result<IpAddr, String> {
    let ip = bound_ip(text)?;
    if ip.is_unspecified() {
        return Err("is a wildcard, which nobody can send to; write it like 192.0.2.10".to_owned());
    }
    Ok(ip)
}

/// An address that peers send to, with a port if it is not `default_port`.
pub(crate) fn reachable(text: &str, default_port: u16) -> Result<SocketAddr, String> {
    const LIKE: &str = "write it like 192.0.2.10:5060";
    let address = match text.parse::<IpAddr>() {
        Ok(ip) => SocketAddr::new(ip, default_port),
        Err(_) => match text.parse::<SocketAddr>() {
            Ok(address) => address,
            Err(_) => return Err(format!("is not an address; {LIKE}")),
        },
    };
    let ip = address.ip();
    if ip.is_unspecified() || ip.is_multicast() || address.port() == 0 {
        return Err(format!("is not where one party can be reached; {LIKE}"));
    }
    Ok(address)
}

/// Where SIP requests are sent, with the port of RFC 3261 §19.1.2 if none is written.
pub(crate) fn sip_target(text: &str) -> Result<SocketAddr, String> {
    reachable(text, SIP_PORT)
}

/// `20000-29999`, both ends included, as written.
pub(crate) fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    const LIKE: &str = "write it like 20000-29999";
    let ends: Option<(u16, u16)> = text.split_once('-').and_then(|(first, last)| {
        let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        (first > 0).then_some((first, last))
    });
    match ends {
        None => Err(format!("is not a range of ports from 1 to 65535; {LIKE}")),
        Some((first, last)) if first > last => {
            // What is written like it should not be warned about in its turn.
            let (even, odd) = (last.max(1).next_multiple_of(2), (first - 1) | 1);
            let like = if even < odd { format!("write it like {even}-{odd}") } else { LIKE.into() };
            Err(format!("runs backwards; {like}"))
        }
        Some((first, last)) => Ok(first..=last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(addresses: &[&str]) -> Host {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        Host { addresses, credentials: None }
    }

    fn behind(wildcard: &str, addresses: &[&str]) -> Result<IpAddr, Vec<IpAddr>> {
        host(addresses).address_behind(wildcard.parse().unwrap())
    }

    #[test]
    fn a_wildcard_stands_for_the_only_address_the_host_has() {
        let only = behind("0.0.0.0", &["127.0.0.1", "::1", "fe80::1", "2001:db8::1", "192.0.2.1"]);
        assert_eq!(only, Ok("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn a_wildcard_on_a_host_with_nothing_but_loopback_is_loopback() {
        assert_eq!(behind("0.0.0.0", &["127.0.0.1"]), Ok("127.0.0.1".parse().unwrap()));
        assert_eq!(behind("::", &[]), Ok("::1".parse().unwrap()));
    }

    #[test]
    fn a_wildcard_on_a_host_with_several_addresses_is_a_choice_left_to_the_operator() {
        let choice = behind("0.0.0.0", &["192.0.2.1", "10.0.0.1", "192.0.2.1"]).unwrap_err();
        assert_eq!(choice.len(), 2);
    }

    #[test]
    fn an_address_or_network_holds_its_own_and_nobody_else() {
        for (peer, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("0.0.0.0/0", "198.51.100.1", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("::/0", "2001:db8::1", true),
        ] {
            let parsed: Peer = peer.parse().unwrap();
            assert_eq!(parsed.contains(address.parse().unwrap()), inside, "{peer} {address}");
            assert_eq!(parsed.to_string(), peer);
        }
    }

    #[test]
    fn networks_meet_when_one_lies_in_the_other() {
        let peer = |text: &str| text.parse::<Peer>().unwrap();
        assert!(peer("10.0.0.0/8").meets(&peer("10.1.0.0/16")));
        assert!(peer("10.1.0.0/16").meets(&peer("10.0.0.0/8")));
        assert!(!peer("10.1.0.0/16").meets(&peer("10.2.0.0/16")));
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_would_be_one() {
        for (text, says) in [
            ("carrier.example", "203.0.113.7 or 203.0.113.0/24"),
            ("10.0.0.0/33", "from 0 to 32"),
            ("10.0.0.0/-1", "from 0 to 32"),
            ("10.0.0.0/", "from 0 to 32"),
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("127.0.0.1:5060", "not an address or network"),
        ] {
            let why = text.parse::<Peer>().unwrap_err();
            assert!(why.contains(says), "{text}: {why}");
        }
    }

    #[test]
    fn a_range_of_ports_is_two_ports_in_order() {
        assert_eq!(port_range("20000-29999"), Ok(20000..=29999));
        for text in ["20000", "0-10", "1-65536", "a-b", "", "-", "20000–29999"] {
            assert!(port_range(text).unwrap_err().contains("20000-29999"), "{text}");
        }
    }

    #[test]
    fn a_range_that_runs_backwards_is_given_back_from_an_even_port_to_an_odd_one() {
        for (text, like) in [
            ("20010-20001", "20002-20009"),
            ("20011-20000", "20000-20011"),
            ("65535-65534", "65534-65535"),
            ("5-0", "2-5"),
            ("20002-20001", "20000-29999"),
        ] {
            let why = port_range(text).unwrap_err();
            assert_eq!(why, format!("runs backwards; write it like {like}"), "{text}");
        }
    }

    #[test]
    fn a_listener_needs_address_and_port() {
        let listener = |text| listener(text, "0.0.0.0:5060".parse().unwrap());
        assert!(listener("[::]:5060").is_ok());
        assert!(listener("192.0.2.1").unwrap_err().contains("192.0.2.1:5060"));
        for text in ["banana", "0.0.0.0:0", "224.0.0.1:5060", "localhost:5060", ""] {
            assert!(listener(text).unwrap_err().contains("0.0.0.0:5060"), "{text}");
        }
    }
}
