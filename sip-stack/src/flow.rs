//! The way a message takes: network, transport, far address and, over TCP, which connection.

use crate::{
    ids::NetworkId,
    wire::{self, Headers},
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{AddrParseError, IpAddr, SocketAddr},
    str::FromStr,
};

/// RFC 3261 §19.1.2.
const DEFAULT_PORT: u16 = 5060;
/// Before the number of a network that is not the first.
pub(crate) const NETWORK: &str = "net";

/// One TCP connection, whoever opened it. Named by the endpoint; never reused while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conn-{:x}", self.0)
    }
}

/// How bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    /// As a Via names it (RFC 3261 §20.42).
    pub const fn via(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// Label for metrics and the API.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }

    /// Of a `transport` parameter or a Via; `None` for what we do not speak.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Udp, Self::Tcp].into_iter().find(|known| name.eq_ignore_ascii_case(known.label()))
    }

    /// Nothing is lost or doubled on the way, so nothing is repeated (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        matches!(self, Self::Tcp)
    }
}

/// A far end: the same address in two networks is two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Far {
    pub network: NetworkId,
    pub address: SocketAddr,
}

/// In the first network.
impl From<SocketAddr> for Far {
    fn from(address: SocketAddr) -> Self {
        Self { network: NetworkId::FIRST, address }
    }
}

/// A host, whatever port it speaks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Host {
    pub(crate) network: NetworkId,
    pub(crate) ip: IpAddr,
}

impl Host {
    /// The same, however its address is written.
    pub(crate) fn to_canonical(self) -> Self {
        Self { ip: self.ip.to_canonical(), ..self }
    }
}

/// Where a message came from or goes to, and by which of our networks. Over TCP it goes on `conn` while that is open; else on a
/// connection to `remote`, which is opened if there is none.
///
/// A flow may be written into a journal, as `192.0.2.1:5060` or `tcp:192.0.2.1:5060`: transport and
/// address survive a restart of the box, the connection does not, because no connection does. Where
/// it is not the first, the network stands before them: `net1/192.0.2.1:5060`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Flow {
    pub remote: SocketAddr,
    pub transport: Transport,
    pub conn: Option<ConnId>,
    pub network: NetworkId,
}

/// In the first network, unless [`Self::within`] says another.
impl Flow {
    pub const fn udp(remote: SocketAddr) -> Self {
        Self::new(Transport::Udp, remote)
    }

    /// On any connection to that address.
    pub const fn tcp(remote: SocketAddr) -> Self {
        Self::new(Transport::Tcp, remote)
    }

    /// On this connection.
    pub const fn on(conn: ConnId, remote: SocketAddr) -> Self {
        Self { conn: Some(conn), ..Self::tcp(remote) }
    }

    pub const fn new(transport: Transport, remote: SocketAddr) -> Self {
        Self { remote, transport, conn: None, network: NetworkId::FIRST }
    }

    /// The same in this network.
    pub const fn within(self, network: NetworkId) -> Self {
        Self { network, ..self }
    }

    /// The same, on whatever connection there will be.
    pub const fn without_conn(self) -> Self {
        Self { conn: None, ..self }
    }

    pub const fn far(self) -> Far {
        Far { network: self.network, address: self.remote }
    }

    pub(crate) const fn host(self) -> Host {
        Host { network: self.network, ip: self.remote.ip() }
    }

    pub const fn is_reliable(self) -> bool {
        self.transport.is_reliable()
    }

    /// Where the answers to a request that came by this go (RFC 3261 §18.2.2): over TCP on its
    /// connection, and if that is gone on one to the port of sent-by at the address it came from.
    pub(crate) fn way_back(self, headers: &Headers) -> Self {
        match self.transport {
            Transport::Udp => {
                Self { remote: wire::response_destination(headers, self.remote), ..self }
            }
            Transport::Tcp => {
                let port = headers.top_via().ok().and_then(|via| via.port).unwrap_or(DEFAULT_PORT);
                Self { remote: SocketAddr::new(self.remote.ip(), port), ..self }
            }
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.network.is_first() {
            write!(f, "{NETWORK}{}/", self.network.0)?;
        }
        match self.transport {
            Transport::Udp => write!(f, "{}", self.remote),
            Transport::Tcp => write!(f, "tcp:{}", self.remote),
        }
    }
}

/// As [`Flow`] is written: `192.0.2.1:5060` goes by UDP, `tcp:192.0.2.1:5060` by TCP, and
/// `net1/tcp:192.0.2.1:5060` by TCP in the second network.
impl FromStr for Flow {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let named = text.strip_prefix(NETWORK).and_then(|rest| rest.split_once('/'));
        if let Some((number, rest)) = named
            && let Ok(network) = number.parse().map(NetworkId)
        {
            return rest.parse().map(|flow: Self| flow.within(network));
        }
        match text.strip_prefix("tcp:") {
            Some(remote) => remote.parse().map(Self::tcp),
            None => text.parse().map(Self::udp),
        }
    }
}

impl TryFrom<String> for Flow {
    type Error = AddrParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Flow> for String {
    fn from(flow: Flow) -> Self {
        flow.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transports_are_known_by_their_names_in_any_case() {
        let known = ["udp", "UDP", "Tcp", "TCP"].map(Transport::from_name);

        assert_eq!(
            known.map(|transport| transport.map(Transport::via)),
            [Some("UDP"), Some("UDP"), Some("TCP"), Some("TCP")]
        );
        assert!(["tls", "ws", "sctp", ""].iter().all(|name| Transport::from_name(name).is_none()));
    }

    #[test]
    fn a_flow_is_read_back_as_it_is_written_in_whatever_network() {
        let written = ["192.0.2.1:5060", "net1/192.0.2.1:5060", "net255/tcp:[2001:db8::1]:5061"];
        let flows = written.map(|text| text.parse::<Flow>().unwrap());

        assert_eq!(flows.map(|flow| flow.network), [0, 1, 255].map(NetworkId));
        assert_eq!(flows.map(|flow| flow.to_string()), written);
        assert!(
            ["net256/192.0.2.1:1", "net/192.0.2.1:1", "net1/", "net1/net2", "tcp:net1/192.0.2.1:1"]
                .iter()
                .all(|text| text.parse::<Flow>().is_err())
        );
    }
}
