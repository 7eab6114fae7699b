//! What the endpoint is asked and what it says: plain data between SIP and the layer above.

use crate::{
    digest::Algorithm,
    flow::{ConnId, Far, Flow, NETWORK},
    ids::{LegId, NetworkId, TrunkId, UserId},
    keys::Press,
    sdp,
    wire::Uri,
};
use serde::{Deserialize, Serialize};
use std::{net::SocketAddr, time::Instant};

/// RFC 3261 §19.1.2.
const DEFAULT_PORT: u16 = 5060;

/// Bytes to send, and where to; or what becomes of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// The far end, whatever the way.
    pub to: SocketAddr,
    /// Empty where a connection is opened or closed.
    pub bytes: Vec<u8>,
    pub way: Way,
    /// By which of our networks it leaves.
    pub network: NetworkId,
}

/// What a [`Transmit`] asks of the sockets. In the order they are said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Datagram,
    /// Behind what this connection was given before; kept until it stands.
    Stream(ConnId),
    /// A new connection to `to`, by this name. Owes `handle_connected` or `handle_closed`.
    Connect(ConnId),
    /// The endpoint knows this connection no more. Whatever can be written at once still is.
    Close(ConnId),
}

/// Why the shell says that a connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// The far side has ended it, or its half of it.
    ByPeer,
    /// It was reset, or broke in some other way.
    Broken,
    /// It never stood: refused, no route, no answer.
    Refused,
    /// The far side does not read, and more waits for it than we keep.
    Unread,
}

impl Closed {
    /// Label for metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ByPeer => "by_peer",
            Self::Broken => "broken",
            Self::Refused => "refused",
            Self::Unread => "unread",
        }
    }
}

/// One question to a trunk whether it is there ([`crate::Endpoint::probe`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProbeId(pub u64);

/// What became of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probed {
    Answered {
        status: u16,
    },
    /// 64*T1 without a final answer.
    Silent,
    /// No connection to there.
    Unreachable,
}

/// Who a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    Trunk(TrunkId),
    Phone(UserId),
}

/// Where a request goes: the Request-URI as it is written, and the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub uri: String,
    pub to: Flow,
}

impl Target {
    /// Which telephone that is.
    pub fn place(&self) -> Place {
        let network = self.to.network;
        let remote = self.to.remote.to_string();
        let Ok(uri) = Uri::parse(&self.uri) else { return Place::of(remote, network) };
        let port = uri.port.unwrap_or(DEFAULT_PORT);
        let named = match uri.host_ip() {
            Some(host) => SocketAddr::new(host, port).to_string(),
            None => format!("{}:{port}", uri.host.to_ascii_lowercase()),
        };
        let at = if named == remote {
            remote
        } else if self.to.is_reliable() {
            // A connection that came through a NAT or a proxy has another port the next time.
            format!("{} {named}", self.to.remote.ip())
        } else {
            format!("{remote} {named}")
        };
        let Some(user) = uri.user else { return Place::of(at, network) };
        Place::of(format!("{user}@{at}"), network)
    }
}

/// One telephone, by where it is: the address requests to it go to and, where that is a NAT's or a
/// proxy's, host and port of its contact too; and the user part of its contact, for many telephones
/// stand behind the one address of a gateway; and, where it is not the first, the network of that
/// address. Who registered it, and by which transport, makes no
/// other telephone of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place(String);

impl Place {
    /// What is known of a telephone of which only the address is.
    pub fn at(far: impl Into<Far>) -> Self {
        let Far { network, address } = far.into();
        Self::of(address.to_string(), network)
    }

    fn of(text: String, network: NetworkId) -> Self {
        if network.is_first() { Self(text) } else { Self(format!("{NETWORK}{}/{text}", network.0)) }
    }
}

/// One place where a user is, for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    pub uri: String,
    /// Where calls are sent.
    pub to: Flow,
    /// Where its REGISTER came from; `None`: a fixed contact.
    pub source: Option<SocketAddr>,
    /// `None`: never.
    pub expires_at: Option<Instant>,
    /// Only the way its REGISTER came leads there.
    pub behind_nat: bool,
    /// What the phone says it is. It and the next are not known of who registered with a process before.
    pub user_agent: Option<String>,
    /// By which it proved who it is.
    pub digest: Option<Algorithm>,
}

/// A call we place.
#[derive(Clone, Debug)]
pub struct Invite {
    pub target: Target,
    /// The trunk it is counted against; `None` for an agent's phone.
    pub trunk: Option<TrunkId>,
    /// User part of From: the caller's number or extension.
    pub from_user: String,
    pub from_display: Option<String>,
    /// User part of To.
    pub to_user: String,
    pub offer: Vec<u8>,
    /// How many more hops it may take (RFC 3261 §8.1.1.6): 70 for a call of our own, one less than
    /// it came with for one that is passed on.
    pub max_forwards: u8,
    /// Written as `X-Clavija-Call`, so that a trace can name the call. A token.
    pub call_name: Option<String>,
}

/// A "no" to an INVITE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 400 to 699.
    pub status: u16,
    pub retry_after_seconds: Option<u32>,
    /// Code and text of a `Warning` header (RFC 3261 §20.43).
    pub warning: Option<(u16, String)>,
}

/// Why we end a leg; decides the `Reason` header (RFC 3326).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HangUp {
    Normal,
    /// Another phone took the call: `Reason: SIP;cause=200;text="Call completed elsewhere"`.
    ElsewhereAnswered,
    Failed,
}

/// How a leg ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// The peer sent BYE.
    Bye,
    /// The peer withdrew its INVITE before the answer (CANCEL).
    Cancelled,
    /// Our own `hang_up` or `refuse` was carried out, and confirmed where it matters.
    Released,
    /// A final answer other than 2xx to our INVITE.
    Refused { status: u16 },
    /// No answer of any kind until the transaction's timer, or no ACK within 64*T1.
    Lost,
    /// The peer's answer could not be used (malformed, no session description).
    Failed,
    /// A limit of our own was in the way: nothing was sent.
    Full { limit: Limit },
}

/// A limit of our own on the calls we place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Legs of the whole box.
    Legs,
    /// Calls of the trunk at once.
    TrunkCalls,
    /// New calls of the trunk in a second.
    TrunkRate,
}

impl Limit {
    /// As it is configured, and counted.
    pub fn label(self) -> &'static str {
        match self {
            Self::Legs => "legs_max",
            Self::TrunkCalls => "calls_max",
            Self::TrunkRate => "calls_per_second_max",
        }
    }
}

/// What the endpoint has to say.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Somebody calls. A 100 has been sent; nothing else is until `ring`, `answer` or `refuse`.
    Invited {
        leg: LegId,
        source: Source,
        /// Where the request came from: the host whose media may be learned.
        from: SocketAddr,
        /// User part of From; a phone's own name, whatever it claims.
        from_user: String,
        from_display: Option<String>,
        /// User part of the Request-URI: the number dialled.
        to_user: String,
        sip_call_id: String,
        /// 70 if the request did not say.
        max_forwards: u8,
        /// `None`: the offer is ours to make in the 200 (RFC 3264, delayed offer).
        offer: Option<sdp::Session>,
    },
    /// A 18x to our INVITE.
    Ringing { leg: LegId, early: Option<sdp::Session> },
    /// The first 2xx to our INVITE; its ACK has been sent. Said also when we had already hung up
    /// (the endpoint sends the BYE by itself): the layer above decides by its own state what a
    /// late answer means.
    Answered { leg: LegId, from: SocketAddr, answer: sdp::Session },
    /// The ACK of our 200 came. `answer`: the peer's, when the offer was ours.
    Established { leg: LegId, answer: Option<sdp::Session> },
    /// A re-INVITE, or an UPDATE with a session description. Owes `answer_reoffer`.
    Reoffered { leg: LegId, from: SocketAddr, offer: Option<sdp::Session> },
    /// An INFO told a key that was pressed there. It has been answered.
    Pressed { leg: LegId, press: Press },
    /// The far side answered our `check`.
    Checked { leg: LegId },
    /// The far side has hung up or is lost, while something of the leg may still be out there: its
    /// BYE that nobody has answered, or another branch of its INVITE. Who talks to it should be
    /// freed now; `Ended` follows. At most once, and not at all when nothing is left.
    Left { leg: LegId, cause: Cause },
    /// Exactly once per leg, and the last thing said about it. For a leg that we called, only
    /// when its phone can have nothing of it left: a final non-2xx; CANCEL and its 487; a late
    /// 200, our ACK, and the final answer to our BYE; a BYE received; or the transaction's timer.
    Ended { leg: LegId, cause: Cause },
    /// The first binding of a user appeared, or their number changed.
    Registered { user: UserId, contacts: usize },
    /// A user's last binding expired, was removed, or died with its connection.
    Unregistered { user: UserId },
    /// What became of a probe.
    Probed { probe: ProbeId, outcome: Probed },
}
