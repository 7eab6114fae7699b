//! The way a message takes: transport, far address and, over TCP, which connection.

use crate::wire::{self, Headers};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{AddrParseError, SocketAddr},
    str::FromStr,
};

/// RFC 3261 §19.1.2.
const DEFAULT_PORT: u16 = 5060;

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

/// Where a message came from or goes to. Over TCP it goes on `conn` while that is open; else on a
/// connection to `remote`, which is opened if there is none.
///
/// A flow may be written into a journal, as `192.0.2.1:5060` or `tcp:192.0.2.1:5060`: transport and
/// address survive a restart of the box, the connection does not, because no connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Flow {
    pub remote: SocketAddr,
    pub transport: Transport,
    pub conn: Option<ConnId>,
}

impl Flow {
    pub const fn udp(remote: SocketAddr) -> Self {
        Self { remote, transport: Transport::Udp, conn: None }
    }

    /// On any connection to that address.
    pub const fn tcp(remote: SocketAddr) -> Self {
        Self { remote, transport: Transport::Tcp, conn: None }
    }

    /// On this connection.
    pub const fn on(conn: ConnId, remote: SocketAddr) -> Self {
        Self { remote, transport: Transport::Tcp, conn: Some(conn) }
    }

    pub const fn new(transport: Transport, remote: SocketAddr) -> Self {
        Self { remote, transport, conn: None }
    }

    /// The same, on whatever connection there will be.
    pub const fn without_conn(self) -> Self {
        Self { conn: None, ..self }
    }

    pub const fn is_reliable(self) -> bool {
        self.transport.is_reliable()
    }

    /// Where the answers to a request that came by this go (RFC 3261 §18.2.2): over TCP on its
    /// connection, and if that is gone on one to the port of sent-by at the address it came from.
    pub(crate) fn way_back(self, headers: &Headers) -> Self {
        match self.transport {
            Transport::Udp => Self::udp(wire::response_destination(headers, self.remote)),
            Transport::Tcp => {
                let port = headers.top_via().ok().and_then(|via| via.port).unwrap_or(DEFAULT_PORT);
                Self { remote: SocketAddr::new(self.remote.ip(), port), ..self }
            }
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            Transport::Udp => write!(f, "{}", self.remote),
            Transport::Tcp => write!(f, "tcp:{}", self.remote),
        }
    }
}

/// As [`Flow`] is written: `192.0.2.1:5060` goes by UDP, `tcp:192.0.2.1:5060` by TCP.
impl FromStr for Flow {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
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
}
