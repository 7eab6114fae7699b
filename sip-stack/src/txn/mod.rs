//! The table of transactions: who a message belongs to (RFC 3261 §17.1.3, §17.2.3), and when
//! which machine wants to be woken.
//!
//! No sockets, no clock. After every call drain `poll_event`, then `poll_transmit`.

pub mod client_invite;
pub mod client_other;
pub mod server_invite;
pub mod server_other;
pub mod timers;

use crate::{
    event::ProbeId,
    flow::{ConnId, Flow},
    ids::LegId,
    wire::{Headers, Method, Request, Response},
};
use client_invite::ClientInvite;
use client_other::ClientOther;
use server_invite::{AckFor, ServerInvite};
use server_other::ServerOther;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};
use timers::Timer;

/// A transaction of this endpoint. Never reused while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TxnId(u64);

/// Who hears what becomes of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Leg(LegId),
    Probe(ProbeId),
    Nobody,
}

impl Owner {
    pub fn leg(self) -> Option<LegId> {
        match self {
            Self::Leg(leg) => Some(leg),
            Self::Probe(_) | Self::Nobody => None,
        }
    }
}

/// What a transaction tells its owner.
#[derive(Debug, PartialEq)]
pub struct Told {
    pub txn: TxnId,
    pub owner: Owner,
    pub what: What,
}

/// A message that is to leave, and whose it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub to: Flow,
    pub bytes: Vec<u8>,
    /// `None`: if it does not arrive, nobody waits for it.
    pub txn: Option<TxnId>,
    /// If its connection is gone it is worth another.
    pub connects: bool,
}

#[derive(Debug, PartialEq)]
pub enum What {
    /// To a request of ours. For other methods than INVITE only the final one. A 503 may be ours:
    /// the INVITE could not be sent (RFC 3261 §8.1.3.1).
    Response(Response),
    /// No final response, or no ACK, in 64*T1.
    TimedOut,
    /// Another request than INVITE could not be sent.
    Unreachable,
    /// Our refusal of an INVITE got its ACK.
    Acked,
}

/// The three classes that the machines tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusClass {
    Provisional,
    Success,
    Failure,
}

impl StatusClass {
    pub const fn of(status: u16) -> Self {
        match status {
            0..=199 => Self::Provisional,
            200..=299 => Self::Success,
            300.. => Self::Failure,
        }
    }
}

/// Whether a request is new to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    New,
    /// A repeat; its transaction has answered as it must.
    Repeat,
    /// The same request by another path (§8.2.2.2): owes a 482.
    Merged,
}

#[derive(Debug)]
enum Machine {
    ClientInvite(ClientInvite),
    ClientOther(ClientOther),
    ServerInvite(ServerInvite),
    ServerOther(ServerOther),
}

#[derive(Debug)]
enum Key {
    Client(String),
    Server { key: String, merge: Option<String> },
}

#[derive(Debug)]
struct Entry {
    machine: Machine,
    to: Flow,
    owner: Owner,
    key: Key,
    due: Option<Instant>,
    /// The connection its last message went by.
    by: Option<ConnId>,
    /// It has gone by a second connection; by a third it does not.
    again: bool,
}

#[derive(Debug, Default)]
pub struct Transactions {
    issued: u64,
    entries: BTreeMap<TxnId, Entry>,
    by_client: BTreeMap<String, TxnId>,
    by_server: BTreeMap<String, TxnId>,
    /// Requests without a To tag, by what a second path cannot change.
    by_merge: BTreeMap<String, TxnId>,
    deadlines: BTreeSet<(Instant, TxnId)>,
    /// Transactions whose message went by a connection.
    by_conn: BTreeSet<(ConnId, TxnId)>,
    transmits: VecDeque<Outgoing>,
    events: VecDeque<Told>,
    /// Messages sent again, by us or because the peer sent its own again.
    pub retransmissions: u64,
    /// Responses that a transaction was too old for.
    pub stray_responses: u64,
}

impl Transactions {
    // ---- client side ----

    /// Sends a request of `owner`. ACK for 2xx is not one: it goes by [`Self::send`].
    pub fn request(&mut self, request: Request, to: Flow, owner: Owner, now: Instant) -> TxnId {
        let key = client_key(&request.headers, &request.method).unwrap_or_default();
        let machine = if request.method == Method::Invite {
            Machine::ClientInvite(ClientInvite::new(request, to.is_reliable(), now))
        } else {
            Machine::ClientOther(ClientOther::new(&request, to.is_reliable(), now))
        };
        let txn = self.insert(machine, to, owner, Key::Client(key.clone()));
        self.by_client.insert(key, txn);
        self.settle(txn);
        txn
    }

    /// Goes on with an INVITE that another process sent: see [`ClientInvite::restored`].
    pub fn resume(
        &mut self,
        invite: Request,
        to: Flow,
        leg: LegId,
        heard: bool,
        now: Instant,
    ) -> TxnId {
        let key = client_key(&invite.headers, &Method::Invite).unwrap_or_default();
        let machine = ClientInvite::restored(invite, to.is_reliable(), heard, now);
        let machine = Machine::ClientInvite(machine);
        let txn = self.insert(machine, to, Owner::Leg(leg), Key::Client(key.clone()));
        self.by_client.insert(key, txn);
        self.settle(txn);
        txn
    }

    /// Where the request went that this response answers, and whose it was.
    pub fn asked(&self, response: &Response) -> Option<(Flow, Option<LegId>)> {
        let (_, method) = response.headers.cseq().ok()?;
        let txn = self.by_client.get(&client_key(&response.headers, &method)?)?;
        self.entries.get(txn).map(|entry| (entry.to, entry.owner.leg()))
    }

    /// Hands a response to its transaction, or back when there is none.
    pub fn handle_response(&mut self, response: Response, now: Instant) -> Result<(), Response> {
        let method = response.headers.cseq().map(|(_, method)| method);
        let key = method.ok().and_then(|method| client_key(&response.headers, &method));
        let found = key.and_then(|key| self.by_client.get(&key).copied());
        let Some((txn, entry)) = found.and_then(|txn| Some((txn, self.entries.get_mut(&txn)?)))
        else {
            return Err(response);
        };
        match &mut entry.machine {
            Machine::ClientInvite(machine) => {
                let before = machine.stray_responses();
                machine.handle_response(response, now);
                self.stray_responses += machine.stray_responses() - before;
            }
            Machine::ClientOther(machine) => {
                let before = machine.stray_responses();
                machine.handle_response(response, now);
                self.stray_responses += machine.stray_responses() - before;
            }
            Machine::ServerInvite(_) | Machine::ServerOther(_) => return Err(response),
        }
        self.settle(txn);
        Ok(())
    }

    /// The INVITE of a client transaction that still runs.
    pub fn invite(&self, txn: TxnId) -> Option<&Request> {
        match &self.entries.get(&txn)?.machine {
            Machine::ClientInvite(machine) => Some(machine.invite()),
            Machine::ClientOther(_) | Machine::ServerInvite(_) | Machine::ServerOther(_) => None,
        }
    }

    /// Forgets a transaction whose answer cannot matter (§9.1: 64*T1 after the CANCEL).
    pub fn abandon(&mut self, txn: TxnId) {
        self.remove(txn);
    }

    // ---- server side ----

    /// Absorbs what is not new. Neither ACK nor CANCEL comes here: they have no answer of their
    /// own in this sense.
    pub fn recognise(&mut self, request: &Request) -> Match {
        if let Some(&txn) = self.by_server.get(&server_key(&request.headers, &request.method)) {
            self.repeat(txn);
            return Match::Repeat;
        }
        match merge_key(request).is_some_and(|key| self.by_merge.contains_key(&key)) {
            true => Match::Merged,
            false => Match::New,
        }
    }

    /// Whether the request that this answers is being served already.
    pub fn serves(&self, answer: &Response) -> bool {
        let method = answer.headers.cseq().ok().map(|(_, method)| method);
        method.is_some_and(|method| {
            self.by_server.contains_key(&server_key(&answer.headers, &method))
        })
    }

    /// A new server transaction for this request, whose answers go to `to`.
    pub fn accept(&mut self, request: &Request, to: Flow, leg: Option<LegId>) -> TxnId {
        let machine = if request.method == Method::Invite {
            Machine::ServerInvite(ServerInvite::proceeding(to.is_reliable()))
        } else {
            Machine::ServerOther(ServerOther::trying(to.is_reliable()))
        };
        let key = server_key(&request.headers, &request.method);
        let merge = merge_key(request);
        let owner = leg.map_or(Owner::Nobody, Owner::Leg);
        let txn =
            self.insert(machine, to, owner, Key::Server { key: key.clone(), merge: merge.clone() });
        self.by_server.insert(key, txn);
        if let Some(merge) = merge {
            self.by_merge.entry(merge).or_insert(txn);
        }
        txn
    }

    fn forget_merge(&mut self, txn: TxnId) {
        if let Some(Entry { key: Key::Server { merge, .. }, .. }) = self.entries.get_mut(&txn)
            && let Some(merge) = merge.take()
        {
            forget(&mut self.by_merge, &merge, txn);
        }
    }

    /// The INVITE that this CANCEL or ACK names (§9.2, §17.2.3), and its leg.
    pub fn invite_named_by(&self, request: &Request) -> Option<(TxnId, Option<LegId>)> {
        let txn = *self.by_server.get(&server_key(&request.headers, &Method::Invite))?;
        Some((txn, self.entries.get(&txn)?.owner.leg()))
    }

    pub fn handle_ack(&mut self, txn: TxnId, now: Instant) -> AckFor {
        let whose = match self.entries.get_mut(&txn).map(|entry| &mut entry.machine) {
            Some(Machine::ServerInvite(machine)) => machine.handle_ack(now),
            Some(Machine::ClientInvite(_) | Machine::ClientOther(_) | Machine::ServerOther(_))
            | None => AckFor::Dialog,
        };
        self.settle(txn);
        whose
    }

    pub fn respond(&mut self, txn: TxnId, response: &Response, now: Instant) {
        match self.entries.get_mut(&txn).map(|entry| &mut entry.machine) {
            Some(Machine::ServerInvite(machine)) => {
                machine.respond(response, now);
                // What a proxy sends anew after a refusal is no other path of the same request.
                if response.status >= 300 {
                    self.forget_merge(txn);
                }
            }
            Some(Machine::ServerOther(machine)) => machine.respond(response, now),
            Some(Machine::ClientInvite(_) | Machine::ClientOther(_)) | None => {}
        }
        self.settle(txn);
    }

    // ---- both ----

    /// Sends what belongs to no transaction: ACKs of 2xx, answers without state.
    pub fn send(&mut self, to: Flow, bytes: Vec<u8>, connects: bool) {
        self.transmits.push_back(Outgoing { to, bytes, txn: None, connects });
    }

    /// The transaction's message went by this connection.
    pub fn went_by(&mut self, txn: TxnId, conn: ConnId) {
        let Some(entry) = self.entries.get_mut(&txn) else { return };
        if let Some(before) = entry.by.replace(conn) {
            self.by_conn.remove(&(before, txn));
        }
        self.by_conn.insert((conn, txn));
    }

    /// The transaction's message could not be sent at all.
    pub fn handle_unreachable(&mut self, txn: TxnId, now: Instant) {
        match self.entries.get_mut(&txn).map(|entry| &mut entry.machine) {
            Some(Machine::ClientInvite(machine)) => machine.handle_unreachable(now),
            Some(Machine::ClientOther(machine)) => machine.handle_unreachable(now),
            // §17.2.4: the peer may ask again, or the timers end it.
            Some(Machine::ServerInvite(_) | Machine::ServerOther(_)) | None => {}
        }
        self.settle(txn);
    }

    /// A connection is gone. Whoever asked over it and has heard nothing asks again over a new one,
    /// once, if the old one had stood; else it hears that nobody can be reached.
    pub fn handle_closed(&mut self, conn: ConnId, stood: bool, now: Instant) {
        let all = (conn, TxnId(0))..=(conn, TxnId(u64::MAX));
        let txns: Vec<_> = self.by_conn.range(all).map(|&(_, txn)| txn).collect();
        for txn in txns {
            self.by_conn.remove(&(conn, txn));
            let Some(entry) = self.entries.get_mut(&txn) else { continue };
            entry.by = None;
            let first = stood && !std::mem::replace(&mut entry.again, true);
            let sent = match &mut entry.machine {
                Machine::ClientInvite(machine) if first => machine.send_again(),
                Machine::ClientOther(machine) if first => machine.send_again(),
                Machine::ClientInvite(_) | Machine::ClientOther(_) => false,
                Machine::ServerInvite(_) | Machine::ServerOther(_) => continue,
            };
            if sent {
                self.settle(txn);
            } else {
                self.handle_unreachable(txn, now);
            }
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(&(at, txn)) = self.deadlines.first() {
            if at > now {
                return;
            }
            match self.entries.get_mut(&txn).map(|entry| &mut entry.machine) {
                Some(Machine::ClientInvite(machine)) => machine.handle_timeout(now),
                Some(Machine::ClientOther(machine)) => machine.handle_timeout(now),
                Some(Machine::ServerInvite(machine)) => machine.handle_timeout(now),
                Some(Machine::ServerOther(machine)) => machine.handle_timeout(now),
                None => _ = self.deadlines.remove(&(at, txn)),
            }
            self.retransmissions += self.settle(txn);
        }
    }

    pub fn poll_transmit(&mut self) -> Option<Outgoing> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Told> {
        self.events.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let &(at, txn) = self.deadlines.first()?;
        let timer = self.entries.get(&txn).and_then(|entry| entry.machine.timeout());
        Some((at, timer.map_or("transaction", |(_, timer)| timer.why())))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, machine: Machine, to: Flow, owner: Owner, key: Key) -> TxnId {
        self.issued += 1;
        let txn = TxnId(self.issued);
        let entry = Entry { machine, to, owner, key, due: None, by: None, again: false };
        self.entries.insert(txn, entry);
        txn
    }

    fn repeat(&mut self, txn: TxnId) {
        match self.entries.get_mut(&txn).map(|entry| &mut entry.machine) {
            Some(Machine::ServerInvite(machine)) => machine.handle_repeat(),
            Some(Machine::ServerOther(machine)) => machine.handle_repeat(),
            Some(Machine::ClientInvite(_) | Machine::ClientOther(_)) | None => {}
        }
        self.retransmissions += self.settle(txn);
    }

    /// Drains one machine and schedules it anew. How many messages it sent.
    fn settle(&mut self, txn: TxnId) -> u64 {
        let Some(entry) = self.entries.get_mut(&txn) else { return 0 };
        let mut sent = 0;
        while let Some(bytes) = entry.machine.transmit() {
            let (to, txn) = (entry.to, Some(txn));
            self.transmits.push_back(Outgoing { to, bytes, txn, connects: true });
            sent += 1;
        }
        while let Some(what) = entry.machine.event() {
            let owner = entry.owner;
            self.events.extend((owner != Owner::Nobody).then_some(Told { txn, owner, what }));
        }
        if let Some(due) = entry.due.take() {
            self.deadlines.remove(&(due, txn));
        }
        if entry.machine.is_over() {
            self.remove(txn);
        } else if let Some((at, _)) = entry.machine.timeout() {
            entry.due = Some(at);
            self.deadlines.insert((at, txn));
        }
        sent
    }

    fn remove(&mut self, txn: TxnId) {
        let Some(entry) = self.entries.remove(&txn) else { return };
        if let Some(due) = entry.due {
            self.deadlines.remove(&(due, txn));
        }
        if let Some(conn) = entry.by {
            self.by_conn.remove(&(conn, txn));
        }
        match entry.key {
            Key::Client(key) => forget(&mut self.by_client, &key, txn),
            Key::Server { key, merge } => {
                forget(&mut self.by_server, &key, txn);
                if let Some(merge) = merge {
                    forget(&mut self.by_merge, &merge, txn);
                }
            }
        }
    }
}

/// Takes a row away unless it has become another transaction's.
fn forget(index: &mut BTreeMap<String, TxnId>, key: &str, txn: TxnId) {
    if index.get(key) == Some(&txn) {
        index.remove(key);
    }
}

impl Machine {
    fn transmit(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::ClientInvite(machine) => machine.poll_transmit(),
            Self::ClientOther(machine) => machine.poll_transmit(),
            Self::ServerInvite(machine) => machine.poll_transmit(),
            Self::ServerOther(machine) => machine.poll_transmit(),
        }
    }

    fn event(&mut self) -> Option<What> {
        match self {
            Self::ClientInvite(machine) => machine.poll_event().map(|event| match event {
                client_invite::Event::Response(response) => What::Response(response),
                client_invite::Event::TimedOut => What::TimedOut,
            }),
            Self::ClientOther(machine) => machine.poll_event().map(|event| match event {
                client_other::Event::Response(response) => What::Response(response),
                client_other::Event::TimedOut => What::TimedOut,
                client_other::Event::Unreachable => What::Unreachable,
            }),
            Self::ServerInvite(machine) => machine.poll_event().map(|event| match event {
                server_invite::Event::Acked => What::Acked,
                server_invite::Event::TimedOut => What::TimedOut,
            }),
            Self::ServerOther(_) => None,
        }
    }

    fn timeout(&self) -> Option<(Instant, Timer)> {
        match self {
            Self::ClientInvite(machine) => machine.poll_timeout(),
            Self::ClientOther(machine) => machine.poll_timeout(),
            Self::ServerInvite(machine) => machine.poll_timeout(),
            Self::ServerOther(machine) => machine.poll_timeout(),
        }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::ClientInvite(machine) => machine.state() == client_invite::State::Terminated,
            Self::ClientOther(machine) => machine.state() == client_other::State::Terminated,
            Self::ServerInvite(machine) => machine.state() == server_invite::State::Terminated,
            Self::ServerOther(machine) => machine.state() == server_other::State::Terminated,
        }
    }
}

/// §17.1.3: the branch of the top Via, which we chose, and the method in CSeq.
fn client_key(headers: &Headers, method: &Method) -> Option<String> {
    Some(format!("{method} {}", headers.top_via().ok()?.branch?))
}

/// §17.2.3: branch, sent-by and method; for peers from before RFC 3261 what stands for them.
/// No part but the last can hold a line end, so no two requests share a key by accident.
fn server_key(headers: &Headers, method: &Method) -> String {
    match headers.top_via() {
        Ok(via) if via.branch.as_deref().is_some_and(is_rfc3261_branch) => {
            let (port, branch) = (via.port.unwrap_or(5060), via.branch.unwrap_or_default());
            // `received` is ours to write: nobody takes another host's place by guessing its branch.
            let host = via.host.to_ascii_lowercase();
            let source = via.received.map(|address| address.to_string()).unwrap_or_default();
            format!("{method}\n{host}\n{port}\n{source}\n{branch}")
        }
        Ok(_) | Err(_) => {
            let via = headers.list("Via").first().map_or(vec![], |via| via.to_vec());
            format!("{method}\n{}\n{}", dialog_part(headers), String::from_utf8_lossy(&via))
        }
    }
}

/// RFC 3261 §8.1.1.7. A bare cookie tells nothing apart.
fn is_rfc3261_branch(branch: &str) -> bool {
    branch.strip_prefix("z9hG4bK").is_some_and(|rest| !rest.is_empty())
}

/// §8.2.2.2: a request without a To tag that differs by its path alone.
fn merge_key(request: &Request) -> Option<String> {
    let tagged = request.headers.to().ok()?.tag().is_some();
    (!tagged).then(|| format!("{}\n{}", request.method, dialog_part(&request.headers)))
}

fn dialog_part(headers: &Headers) -> String {
    let sequence = headers.cseq().map_or(0, |(sequence, _)| sequence);
    let from = headers.from().ok();
    let tag = from.as_ref().and_then(|from| from.tag()).unwrap_or_default();
    format!("{}\n{sequence}\n{tag}", headers.call_id().unwrap_or_default())
}

#[cfg(test)]
pub(crate) mod samples {
    //! Messages for the machines' own tests.

    use crate::wire::{Message, Request, Response, parse, response_to};

    pub(crate) fn request(method: &str) -> Request {
        request_with(method, "z9hG4bK1", "a1")
    }

    pub(crate) fn request_with(method: &str, branch: &str, from_tag: &str) -> Request {
        let text = format!(
            "{method} sip:1001@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch={branch}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:a@192.0.2.1>;tag={from_tag}\r\n\
             To: <sip:1001@192.0.2.2>\r\nCall-ID: c1\r\nCSeq: 1 {method}\r\n\
             Content-Length: 0\r\n\r\n"
        );
        match parse(text.as_bytes()) {
            Ok(Message::Request(request)) => request,
            other => panic!("a sample is a request: {other:?}"),
        }
    }

    pub(crate) fn response(status: u16) -> Response {
        response_to(&request("INVITE"), status, Some("b1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "192.0.2.1:5060";

    fn peer() -> Flow {
        Flow::udp(PEER.parse().unwrap())
    }

    #[test]
    fn a_response_finds_its_request_by_branch_and_method() {
        let now = Instant::now();
        let mut txns = Transactions::default();
        let txn = txns.request(samples::request("INVITE"), peer(), Owner::Leg(LegId(7)), now);

        let other_method = response_to_bye(200);
        assert!(txns.handle_response(other_method, now).is_err());
        assert_eq!(txns.handle_response(samples::response(180), now), Ok(()));

        let told = txns.poll_event().unwrap();
        assert_eq!((told.txn, told.owner), (txn, Owner::Leg(LegId(7))));
    }

    fn response_to_bye(status: u16) -> Response {
        crate::wire::response_to(&samples::request("BYE"), status, None)
    }

    #[test]
    fn a_repeated_request_is_answered_by_its_transaction() {
        let now = Instant::now();
        let mut txns = Transactions::default();
        let request = samples::request("OPTIONS");
        assert_eq!(txns.recognise(&request), Match::New);
        let txn = txns.accept(&request, peer(), None);
        txns.respond(txn, &crate::wire::response_to(&request, 200, Some("t")), now);
        assert_eq!(txns.recognise(&request), Match::Repeat);

        let sent: Vec<_> = std::iter::from_fn(|| txns.poll_transmit()).collect();
        assert_eq!(sent.len(), 2);
        assert_eq!(sent[0], sent[1]);
        assert_eq!(txns.retransmissions, 1);
    }

    #[test]
    fn the_same_request_by_another_path_is_merged_and_another_caller_is_not() {
        let mut txns = Transactions::default();
        txns.accept(&samples::request("INVITE"), peer(), None);

        let other_path = samples::request_with("INVITE", "z9hG4bK2", "a1");
        let other_caller = samples::request_with("INVITE", "z9hG4bK3", "a2");
        assert_eq!(txns.recognise(&other_path), Match::Merged);
        assert_eq!(txns.recognise(&other_caller), Match::New);
    }

    #[test]
    fn a_peer_without_branches_is_matched_by_its_headers() {
        let mut txns = Transactions::default();
        let old = samples::request_with("INVITE", "1", "a1");
        txns.accept(&old, peer(), None);

        assert_eq!(txns.recognise(&old), Match::Repeat);
        let ack = samples::request_with("ACK", "1", "a1");
        assert!(txns.invite_named_by(&ack).is_some());
    }

    #[test]
    fn a_finished_transaction_leaves_nothing_behind() {
        let mut now = Instant::now();
        let mut txns = Transactions::default();
        txns.request(samples::request("BYE"), peer(), Owner::Leg(LegId(1)), now);
        let options = samples::request("OPTIONS");
        let served = txns.accept(&options, peer(), None);
        txns.respond(served, &crate::wire::response_to(&options, 200, Some("t")), now);

        while let Some((due, _)) = txns.poll_timeout() {
            now = due;
            txns.handle_timeout(now);
            assert!(txns.poll_timeout().is_none_or(|(next, _)| next > now));
        }

        assert!(txns.is_empty());
        let indexes = [&txns.by_client, &txns.by_server, &txns.by_merge];
        assert!(indexes.iter().all(|index| index.is_empty()));
    }
}
