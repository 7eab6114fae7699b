//! The endpoint over TCP: what its connections bring, what leaves by them, and what it means that
//! one is gone (RFC 3261 §18, RFC 5626).

use super::{Endpoint, connections::Overdue};
use crate::{
    event::{Closed, Transmit, Way},
    flow::{ConnId, Far, Flow, Transport},
    wire::{self, Fault, Message, Method, stream::Piece},
};
use std::time::Instant;

/// RFC 5626 §4.4.1: what a ping gets.
const PONG: &[u8] = b"\r\n";
/// What keeps a NAT open over UDP: nothing that anybody answers.
const KEEP_ALIVE: &[u8] = b"\r\n\r\n";

impl Endpoint {
    // ---- what happened ----

    /// Somebody has connected. `None`: they may not stay, and hear nothing.
    pub fn handle_accepted(&mut self, from: impl Into<Far>, now: Instant) -> Option<ConnId> {
        let far @ Far { network, address: from } = from.into();
        let flow = Flow::tcp(from).within(network);
        let known = self.trunk_at(flow).is_some() || self.registrar.knows(flow);
        let banned = !known && self.guard.bans.holds(from.ip(), now);
        if banned && !self.legs.knows_host(flow.host(), now) {
            self.counters.connection_closed("banned");
            return None;
        }
        match self.connections.accept(far, known, now) {
            Ok(conn) => {
                self.counters.connections_accepted += 1;
                if let Some(oldest) = self.connections.crowded_out() {
                    self.close(oldest, "crowded_out", now);
                    self.settle(None, now);
                }
                Some(conn)
            }
            Err(why) => {
                self.counters.connection_closed(why);
                None
            }
        }
    }

    /// A connection that [`Way::Connect`] asked for stands.
    pub fn handle_connected(&mut self, conn: ConnId, now: Instant) {
        self.connections.stands(conn, now);
    }

    /// Bytes of a connection, cut anywhere.
    pub fn handle_stream(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        let Some(Far { network, address: remote }) = self.connections.far(conn) else { return };
        let from = Flow::on(conn, remote).within(network);
        self.connections.push(conn, bytes, now);
        let mut pongs = Vec::new();
        // Whoever is closed on the way has no next piece.
        while let Some(piece) = self.connections.next(conn, now) {
            match piece {
                Piece::Ping => {
                    self.counters.keep_alives += 1;
                    pongs.extend_from_slice(PONG);
                }
                Piece::Message(message) => {
                    self.receive(from, &message, now);
                    self.settle(Some(remote), now);
                    if self.connections.is_strange(conn) && self.registrar.uses(conn) {
                        self.connections.prove(conn, now);
                    }
                }
                Piece::Broken { fault, head } => {
                    self.refuse_stream(fault, head.as_deref(), from);
                    self.settle(Some(remote), now);
                    self.close(conn, "unreadable", now);
                }
            }
        }
        if !pongs.is_empty() && self.connections.far(conn).is_some() {
            self.transmits.push_back(Transmit {
                to: remote,
                bytes: pongs,
                way: Way::Stream(conn),
                network,
            });
        }
        self.settle(None, now);
    }

    /// A connection is gone, says the shell.
    pub fn handle_closed(&mut self, conn: ConnId, why: Closed, now: Instant) {
        self.close(conn, why.label(), now);
        self.settle(None, now);
    }

    // ---- inside ----

    /// §18.3: behind a length that cannot be right nothing can be told apart. Whoever we know hears
    /// what was wrong.
    fn refuse_stream(&mut self, fault: Fault, head: Option<&[u8]>, from: Flow) {
        self.counters.parse_error(fault.label());
        let Some(head) = head.filter(|_| self.source(from, "").is_some()) else { return };
        let answer = match wire::parse(head) {
            Ok(Message::Request(request)) if request.method != Method::Ack => {
                let tag = self.dice.tag();
                Some(wire::response_to(&request, fault.status(), Some(&tag)))
            }
            Ok(Message::Request(_) | Message::Response(_)) => None,
            Err(malformed) => malformed.answer().cloned(),
        };
        if let Some(mut answer) = answer {
            answer.status = fault.status();
            fault.phrase().clone_into(&mut answer.reason);
            self.send_malformed(answer, from);
        }
    }

    /// Closes a connection, or notes that it is gone: nobody is reached by it any more.
    pub(super) fn close(&mut self, conn: ConnId, why: &'static str, now: Instant) {
        let Some(gone) = self.connections.remove(conn) else { return };
        self.counters.connection_closed(why);
        let Far { network, address: to } = gone.far;
        self.transmits.push_back(Transmit { to, bytes: vec![], way: Way::Close(conn), network });
        self.registrar.handle_closed(conn, &mut self.events);
        if gone.ours && !gone.stood {
            let to = Flow::tcp(to).within(network);
            self.registrar.handle_unreachable(to, &mut self.events);
        }
        self.txns.handle_closed(conn, gone.stood, now);
    }

    /// Finds every message its way.
    pub(super) fn route(&mut self, now: Instant) {
        while let Some(outgoing) = self.txns.poll_transmit() {
            let Far { network, address: to } = outgoing.to.far();
            if !self.ours.knows(network) {
                self.counters.reject("no_network");
                if let Some(txn) = outgoing.txn {
                    self.txns.handle_unreachable(txn, now);
                }
                continue;
            }
            let bytes = outgoing.bytes;
            if outgoing.to.transport == Transport::Udp {
                self.transmits.push_back(Transmit { to, bytes, way: Way::Datagram, network });
                continue;
            }
            let open = self.connections.find(outgoing.to);
            let conn = match open {
                None if outgoing.connects => self.connect(outgoing.to.far(), now),
                found => found,
            };
            match (conn, outgoing.txn) {
                (Some(conn), txn) => {
                    if let Some(txn) = txn {
                        self.txns.went_by(txn, conn);
                    }
                    let way = Way::Stream(conn);
                    self.transmits.push_back(Transmit { to, bytes, way, network });
                }
                (None, Some(txn)) => self.txns.handle_unreachable(txn, now),
                (None, None) => self.counters.reject("no_connection"),
            }
        }
    }

    fn connect(&mut self, far: Far, now: Instant) -> Option<ConnId> {
        let conn = self.connections.connect(far, now);
        match conn {
            Some(conn) => {
                self.counters.connections_opened += 1;
                let Far { network, address: to } = far;
                let way = Way::Connect(conn);
                self.transmits.push_back(Transmit { to, bytes: vec![], way, network });
            }
            None => self.counters.connection_closed("connections_max"),
        }
        conn
    }

    pub(super) fn handle_connection_timeouts(&mut self, now: Instant) {
        while let Some((conn, why)) = self.connections.take_due(now) {
            let used = || self.registrar.uses(conn) || self.legs.knows_conn(conn);
            match why {
                Overdue::Stranger | Overdue::Idle if used() => self.connections.spare(conn, now),
                Overdue::Connecting | Overdue::HalfMessage | Overdue::Stranger | Overdue::Idle => {
                    self.close(conn, why.label(), now);
                }
            }
        }
    }

    /// The line ends that are due for phones behind NATs.
    pub(super) fn send_keep_alives(&mut self) {
        while let Some(to) = self.registrar.poll_keep_alive() {
            self.counters.keep_alives_sent += 1;
            self.transmits.push_back(Transmit {
                to: to.remote,
                bytes: KEEP_ALIVE.to_vec(),
                way: Way::Datagram,
                network: to.network,
            });
        }
    }
}
