//! A small site for tests of the exchange: a carrier, a PBX, one desk with a fixed contact, one team.
#![allow(dead_code, reason = "each test takes what it needs, and one takes all")]

use control_plane::{
    config::{Destination, NumberRow, Plan, SeatPlan, Team, Trunk},
    exchange::{Exchange, Restart, Start},
    ids::{SeatId, TeamId},
    switchboard::Switchboard,
    time::Stamp,
};
use media_core::order::PortName;
use sip_stack::{Config, Limits, Target, User, ids::TrunkId};
use std::{net::SocketAddr, sync::Arc, time::Instant};

pub(crate) const BOX: &str = "198.51.100.1:5060";
pub(crate) const CARRIER: &str = "192.0.2.1:5060";
pub(crate) const PBX: &str = "192.0.2.2:5080";
pub(crate) const DESK: &str = "203.0.113.7:5070";
/// A caller in A-law.
pub(crate) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Of the carrier and the PBX, and of these users.
pub(crate) fn sip(users: Vec<User>, seed: u8) -> Config {
    let trunk = |name: &str, peer: &str, address| sip_stack::Trunk {
        peers: vec![peer.parse().unwrap()],
        address,
        calls_max: 100,
        ..sip_stack::Trunk::named(name)
    };
    let pbx = Some(address(PBX));
    Config {
        local: address(BOX),
        advertise: address(BOX),
        advertise_tcp: address(BOX),
        networks: vec![],
        domain: "clavija.test".into(),
        user_agent: "x".into(),
        trunks: vec![trunk("carrier", "192.0.2.1", None), trunk("pbx", "192.0.2.2", pbx)],
        users,
        first_leg: 1,
        seed: [seed; 32],
        limits: Limits::STANDARD,
    }
}

/// The desk's.
pub(crate) fn user() -> User {
    User { name: "1003".into(), password: None, contact: Some(contact(DESK)) }
}

pub(crate) fn contact(at: &str) -> Target {
    Target { uri: format!("sip:1003@{at}"), to: sip_stack::Flow::udp(address(at)) }
}

fn trunk(name: &str, address: Option<SocketAddr>, pstn: bool) -> Trunk {
    Trunk { address, pstn, ..Trunk::named(name) }
}

/// Calls to 100 reach these seats, calls to 9* the PBX.
pub(crate) fn plan(seats: Vec<SeatPlan>) -> Plan {
    let row = |pattern: &str, to| NumberRow::new(pattern, to);
    Plan {
        trunks: vec![trunk("carrier", None, true), trunk("pbx", Some(address(PBX)), false)],
        teams: vec![Team {
            seats: (0..).take(seats.len()).map(SeatId).collect(),
            set_aside: None,
            ..Team::named("front")
        }],
        seats,
        numbers: vec![
            row("100", Destination::Team(TeamId(0))),
            row("9*", Destination::Trunk(TrunkId(1))),
        ],
        ..Plan::default()
    }
}

pub(crate) fn seat(name: &str, extension: &str, fixed: bool) -> SeatPlan {
    SeatPlan { extension: extension.into(), fixed, ..SeatPlan::named(name) }
}

/// The one desk.
pub(crate) fn desk() -> SeatPlan {
    seat("desk", "1003", true)
}

/// A box of the desk alone that goes by this plan, with so many pairs of ports.
pub(crate) fn exchange(plan: Plan, ports: u16, now: Instant) -> Exchange {
    let board = Switchboard::new(Arc::new(plan));
    Exchange::new(start(sip(vec![user()], 1), board, ports, None), now)
}

/// What a process begins with. Its seeds and its time go by the seed of its SIP side.
pub(crate) fn start(
    sip: Config,
    board: Switchboard,
    ports: u16,
    restart: Option<Restart>,
) -> Start {
    let seed = sip.seed[0];
    Start {
        sip,
        board,
        ports: (0..ports).map(|pair| PortName(20_000 + 2 * pair)).collect(),
        media_address: address(BOX).ip(),
        networks: vec![],
        seed: [seed.wrapping_add(1); 32],
        wall: Stamp(1_000_000 + u64::from(seed)),
        login_key: [3; 32],
        opus_complexity: 5,
        headroom: control_plane::headroom::Limits::USUAL,
        restart,
    }
}

/// What the box has sent since it was asked last.
pub(crate) fn said(exchange: &mut Exchange) -> Vec<String> {
    let all = std::iter::from_fn(|| exchange.poll_transmit());
    all.map(|transmit| String::from_utf8(transmit.bytes).unwrap()).collect()
}

/// The carrier's INVITE of its call `c{at}` to that number.
pub(crate) fn invite(number: &str, at: u32, forwards: u8, sdp: &str) -> String {
    format!(
        "INVITE sip:{number}@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{at}\r\n\
        Max-Forwards: {forwards}\r\nFrom: <sip:1@192.0.2.1>;tag=f{at}\r\nTo: <sip:{number}@198.51.100.1>\r\n\
        Call-ID: c{at}\r\nCSeq: 1 INVITE\r\nContact: <sip:{CARRIER}>\r\nContent-Type: application/sdp\r\n\
        Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

/// A request of the carrier inside that call; `to` is the line of our answer, `rest` further headers and a
/// body.
pub(crate) fn inside(method: &str, at: u32, sequence: u32, to: &str, rest: &str) -> String {
    let rest = if rest.is_empty() { "Content-Length: 0\r\n\r\n" } else { rest };
    format!(
        "{method} sip:{BOX} SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{method}{at}-{sequence}\r\n\
        Max-Forwards: 70\r\nFrom: <sip:1@192.0.2.1>;tag=f{at}\r\n{to}\r\nCall-ID: c{at}\r\n\
        CSeq: {sequence} {method}\r\n{rest}"
    )
}
