//! What a leg borrows of the endpoint while it acts: transactions, events, dice, letterhead.

use super::{
    body::{self, Unusable},
    session_timer::MIN_SE,
};
use crate::{
    config::Network,
    counters::Counters,
    dice::Dice,
    event::Event,
    flow::{Flow, Transport},
    ids::{LegId, NetworkId},
    keys::{self, NoKey},
    trunk::Trunks,
    txn::{Owner, Transactions, TxnId},
    wire::{self, Method, Request, Response},
};
use std::{collections::VecDeque, net::SocketAddr, time::Instant};

/// What we do inside and outside dialogs (RFC 3261 §20.5).
pub(crate) const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE";

/// RFC 6228: a 199 is taken for what it is, a provisional answer. RFC 4028: sessions have a life.
pub(crate) const SUPPORTED: &str = "199, timer";

/// How we present ourselves in one network.
#[derive(Clone, Debug)]
pub(crate) struct Ours {
    pub(crate) advertise: SocketAddr,
    pub(crate) advertise_tcp: SocketAddr,
    pub(crate) domain: String,
    pub(crate) user_agent: String,
}

/// The same in each network.
#[derive(Debug)]
pub(crate) struct Letterheads {
    first: Ours,
    others: Vec<Ours>,
}

impl Letterheads {
    pub(crate) fn of(&self, network: NetworkId) -> &Ours {
        self.get(network).unwrap_or(&self.first)
    }

    /// Whether we are there; a journal may speak of networks that were taken away since.
    pub(crate) fn knows(&self, network: NetworkId) -> bool {
        self.get(network).is_some()
    }

    fn get(&self, network: NetworkId) -> Option<&Ours> {
        match usize::from(network.0).checked_sub(1) {
            None => Some(&self.first),
            Some(place) => self.others.get(place),
        }
    }

    pub(crate) fn new(first: Ours, others: &[Network]) -> Self {
        let other = |network: &Network| Ours {
            advertise: network.advertise,
            advertise_tcp: network.advertise_tcp,
            ..first.clone()
        };
        Self { others: others.iter().map(other).collect(), first }
    }
}

impl Ours {
    fn address(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Udp => self.advertise,
            Transport::Tcp => self.advertise_tcp,
        }
    }

    /// Where requests inside the dialog reach us: the way this message goes (RFC 3263 §4.1: without
    /// a word it would be UDP).
    pub(crate) fn contact(&self, transport: Transport) -> String {
        match transport {
            Transport::Udp => format!("<sip:{}>", self.address(transport)),
            Transport::Tcp => format!("<sip:{};transport=tcp>", self.address(transport)),
        }
    }
}

/// What writing a request takes.
pub(crate) struct Stationery<'a> {
    pub(crate) ours: &'a Ours,
    pub(crate) dice: &'a mut Dice,
    /// What the message will go by.
    pub(crate) transport: Transport,
}

impl Stationery<'_> {
    /// §8.1.1.7, and RFC 3581: answers come back the way we sent.
    pub(crate) fn via(&mut self) -> String {
        let (name, address) = (self.transport.via(), self.ours.address(self.transport));
        format!("SIP/2.0/{name} {address};branch={};rport", self.dice.branch())
    }

    pub(crate) fn contact(&self) -> String {
        self.ours.contact(self.transport)
    }
}

pub(crate) struct Desk<'a> {
    pub(crate) txns: &'a mut Transactions,
    pub(crate) events: &'a mut VecDeque<Event>,
    pub(crate) dice: &'a mut Dice,
    pub(crate) counters: &'a mut Counters,
    pub(crate) trunks: &'a mut Trunks,
    /// In the network of whom the leg leads to.
    pub(crate) ours: &'a Ours,
    pub(crate) now: Instant,
}

impl Desk<'_> {
    pub(crate) fn stationery(&mut self, transport: Transport) -> Stationery<'_> {
        Stationery { ours: self.ours, dice: self.dice, transport }
    }

    pub(crate) fn say(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Sends a request of `leg`.
    pub(crate) fn request(&mut self, request: Request, to: Flow, leg: LegId) -> TxnId {
        self.counters.request_out(&request.method);
        self.txns.request(request, to, Owner::Leg(leg), self.now)
    }

    /// Sends an ACK of a 2xx: the one request that is no transaction.
    pub(crate) fn acknowledge(&mut self, to: Flow, ack: Vec<u8>) {
        self.counters.request_out(&Method::Ack);
        self.txns.send(to, ack, true);
    }

    pub(crate) fn respond(&mut self, txn: TxnId, response: &Response) {
        self.counters.response_out(response);
        self.txns.respond(txn, response, self.now);
    }

    /// Answers with nothing but a status.
    pub(crate) fn reply(&mut self, txn: TxnId, request: &Request, status: u16, to_tag: &str) {
        let response = self.response(request, status, to_tag);
        self.respond(txn, &response);
    }

    /// A response with our letterhead.
    pub(crate) fn response(&self, request: &Request, status: u16, to_tag: &str) -> Response {
        letterhead(self.ours, request, status, to_tag)
    }

    /// §14.2, RFC 3311 §5.2: ask again in a while.
    pub(crate) fn ask_again(&mut self, txn: TxnId, request: &Request, to_tag: &str) {
        let mut response = self.response(request, 500, to_tag);
        response.headers.push("Retry-After", self.dice.retry_seconds().to_string());
        self.respond(txn, &response);
    }
}

/// The refusal of a body, which says why (RFC 3261 §20.43, code 399).
pub(crate) fn refuse_body(ours: &Ours, request: &Request, why: Unusable, to_tag: &str) -> Response {
    let mut response = letterhead(ours, request, why.status(), to_tag);
    response.headers.push("Warning", format!("399 {} \"{why}\"", ours.domain));
    response
}

/// The refusal of a life that is too brief for a session (RFC 4028 §9).
pub(crate) fn refuse_brief(ours: &Ours, request: &Request, to_tag: &str) -> Response {
    let mut response = letterhead(ours, request, 422, to_tag);
    response.headers.push("Min-SE", MIN_SE.to_string());
    response
}

/// The refusal of an INFO that tells no key.
pub(crate) fn refuse_key(ours: &Ours, request: &Request, why: NoKey, to_tag: &str) -> Response {
    let mut response = letterhead(ours, request, why.status(), to_tag);
    response.headers.push("Warning", format!("399 {} \"{why}\"", ours.domain));
    response
}

/// What the request says it came by; it gets our address there.
fn came_by(request: &Request) -> Transport {
    let named = request.headers.top_via().ok();
    named.and_then(|via| Transport::from_name(&via.transport)).unwrap_or(Transport::Udp)
}

/// A response that says who we are, and where it is due what we can do (§8.2.6, §11.2, §12.1.1,
/// §13.3.1, §21.4.6, §21.4.13).
pub(crate) fn letterhead(ours: &Ours, request: &Request, status: u16, to_tag: &str) -> Response {
    let mut response = wire::response_to(request, status, Some(to_tag));
    let success = (200..300).contains(&status);
    let headers = &mut response.headers;
    let makes_dialog = matches!(request.method, Method::Invite | Method::Update);
    let describes = success && (makes_dialog || request.method == Method::Options);
    if describes || (makes_dialog && (101..200).contains(&status)) {
        headers.push("Contact", ours.contact(came_by(request)));
    }
    if describes || status == 405 {
        headers.push("Allow", ALLOW);
    }
    if describes {
        headers.push("Supported", SUPPORTED);
    }
    if status == 415 && request.method == Method::Info {
        headers.push("Accept", keys::TYPES);
    } else if status == 415 || (success && request.method == Method::Options) {
        headers.push("Accept", body::SDP);
    }
    headers.push("Server", ours.user_agent.as_str());
    response
}
