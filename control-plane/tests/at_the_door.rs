//! What a call costs before it is taken, and how often it may come round.
#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

use control_plane::{
    config::{AnswerMode, Destination, NumberRow, Plan, SeatPlan, Team, Trunk},
    exchange::{Exchange, Start},
    ids::{SeatId, TeamId},
    switchboard::Switchboard,
    time::Stamp,
};
use media_core::order::{Event, LegReport, Order, PortName};
use sip_stack::{Config, Limits, Target, User, ids::TrunkId};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

const BOX: &str = "198.51.100.1:5060";
const CARRIER: &str = "192.0.2.1:5060";
const PBX: &str = "192.0.2.2:5080";

fn sip() -> Config {
    let to: SocketAddr = "203.0.113.7:5070".parse().unwrap();
    let trunk = |name: &str, peer: &str, address| sip_stack::Trunk {
        name: name.into(),
        peers: vec![peer.parse().unwrap()],
        address,
        calls_max: 100,
        calls_per_second_max: None,
    };
    let pbx: SocketAddr = PBX.parse().unwrap();
    Config {
        local: BOX.parse().unwrap(),
        advertise: BOX.parse().unwrap(),
        advertise_tcp: BOX.parse().unwrap(),
        domain: "clavija.test".into(),
        user_agent: "x".into(),
        trunks: vec![trunk("carrier", "192.0.2.1", None), trunk("pbx", "192.0.2.2", Some(pbx))],
        users: vec![User {
            name: "1003".into(),
            password: None,
            contact: Some(Target { uri: format!("sip:1003@{to}"), to: sip_stack::Flow::udp(to) }),
        }],
        first_leg: 1,
        seed: [1; 32],
        limits: Limits::STANDARD,
    }
}

fn plan() -> Plan {
    let pbx = PBX.parse().unwrap();
    let row =
        |pattern: &str, to| NumberRow { pattern: pattern.into(), to, from: vec![], record: None };
    Plan {
        trunks: vec![
            Trunk {
                dtmf: Default::default(),
                name: "carrier".into(),
                address: None,
                transport: sip_stack::Transport::Udp,
                pstn: true,
                codecs: vec![],
                srtp: Default::default(),
            },
            Trunk {
                dtmf: Default::default(),
                name: "pbx".into(),
                address: Some(pbx),
                transport: sip_stack::Transport::Udp,
                pstn: false,
                codecs: vec![],
                srtp: Default::default(),
            },
        ],
        seats: vec![SeatPlan {
            dtmf: Default::default(),
            name: "desk".into(),
            extension: "1003".into(),
            fixed: true,
            codecs: vec![],
            srtp: Default::default(),
        }],
        teams: vec![Team {
            mask_digits: false,
            name: "front".into(),
            seats: vec![SeatId(0)],
            music: None,
            ring: Duration::from_secs(20),
            wrap_up: Duration::ZERO,
            set_aside: None,
            record: false,
            answer: AnswerMode::AtOnce,
        }],
        numbers: vec![
            row("100", Destination::Team(TeamId(0))),
            row("9*", Destination::Trunk(TrunkId(1))),
        ],
        gone: Default::default(),
    }
}

fn exchange(ports: u16, now: Instant) -> Exchange {
    let board = Switchboard::new(Arc::new(plan()));
    let ports = (0..ports).map(|pair| PortName(20_000 + 2 * pair)).collect();
    Exchange::new(
        Start {
            sip: sip(),
            board,
            ports,
            media_address: "198.51.100.1".parse().unwrap(),
            seed: [2; 32],
            wall: Stamp(1),
            login_key: [3; 32],
            headroom: control_plane::headroom::Limits::USUAL,
            restart: None,
        },
        now,
    )
}

fn invite(number: &str, at: u32, forwards: u8) -> String {
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
    format!(
        "INVITE sip:{number}@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{at}\r\n\
        Max-Forwards: {forwards}\r\nFrom: <sip:1@192.0.2.1>;tag=f{at}\r\nTo: <sip:{number}@198.51.100.1>\r\n\
        Call-ID: c{at}\r\nCSeq: 1 INVITE\r\nContact: <sip:{CARRIER}>\r\nContent-Type: application/sdp\r\n\
        Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

fn said(exchange: &mut Exchange) -> Vec<String> {
    let all = std::iter::from_fn(|| exchange.poll_transmit());
    all.map(|transmit| String::from_utf8(transmit.bytes).unwrap()).collect()
}

#[test]
fn calls_that_lead_nowhere_take_no_port_from_those_that_do() {
    let now = Instant::now();
    let mut exchange = exchange(3, now);
    for at in 0..50 {
        exchange.handle_datagram(CARRIER.parse().unwrap(), invite("555", at, 70).as_bytes(), now);
    }
    said(&mut exchange);

    exchange.handle_datagram(CARRIER.parse().unwrap(), invite("100", 99, 70).as_bytes(), now);

    let said = said(&mut exchange);
    assert!(said.iter().any(|text| text.starts_with("SIP/2.0 200 ")), "{said:?}"); // is 503 today
}

#[test]
fn a_call_passed_on_has_one_forward_less_and_one_without_any_goes_no_further() {
    let now = Instant::now();
    let mut exchange = exchange(10, now);
    exchange.handle_datagram(CARRIER.parse().unwrap(), invite("900001", 1, 5).as_bytes(), now);
    let passed_on = said(&mut exchange);
    assert!(
        passed_on
            .iter()
            .any(|text| text.starts_with("INVITE ") && text.contains("Max-Forwards: 4\r\n")),
        "{passed_on:?}"
    );

    exchange.handle_datagram(CARRIER.parse().unwrap(), invite("900001", 2, 0).as_bytes(), now);
    assert!(said(&mut exchange).iter().any(|text| text.starts_with("SIP/2.0 483 ")));
}

#[test]
fn an_agent_who_is_taken_out_is_rung_no_more_and_the_call_that_rings_them_goes_on() {
    let now = Instant::now();
    let mut exchange = exchange(10, now);
    exchange.handle_datagram(CARRIER.parse().unwrap(), invite("100", 1, 70).as_bytes(), now);
    let rung = said(&mut exchange);
    assert!(rung.iter().any(|text| text.starts_with("INVITE sip:1003@203.0.113.7:5070")));

    // Another agent at another desk instead, with the same extension, in the same team.
    let mut next = plan();
    next.seats[0].name = "counter".into();
    let to: SocketAddr = "203.0.113.8:5070".parse().unwrap();
    let next = exchange.plan().succeeded_by(&next).unwrap();
    let mut config = sip();
    let gone = User { name: "1003".into(), password: None, contact: None };
    config.users[0].contact =
        Some(Target { uri: format!("sip:1003@{to}"), to: sip_stack::Flow::udp(to) });
    config.users.insert(0, gone);
    exchange.reconfigure(Arc::new(next.plan), config, now);

    assert_eq!(said(&mut exchange), Vec::<String>::new(), "the first desk goes on ringing");
    assert_eq!(exchange.board().calls().count(), 1);
    exchange.handle_datagram(CARRIER.parse().unwrap(), invite("100", 2, 70).as_bytes(), now);
    let rung = said(&mut exchange);
    let invites: Vec<_> = rung.iter().filter(|text| text.starts_with("INVITE ")).collect();
    assert_eq!(invites.len(), 1);
    assert!(invites[0].starts_with("INVITE sip:1003@203.0.113.8:5070"), "{invites:?}");
    assert_eq!(exchange.double_claims(), 0);
}

#[test]
fn calls_that_only_the_queue_has_answered_count_as_fruitless() {
    let now = Instant::now();
    let mut exchange = exchange(3_000, now);
    let carrier = CARRIER.parse().unwrap();
    for at in 0..2_000 {
        exchange.handle_datagram(carrier, invite("100", at, 70).as_bytes(), now);
        let all = said(&mut exchange);
        let ok =
            all.iter().find(|text| text.starts_with("SIP/2.0 200 ")).expect("the queue answers");
        let to = ok.lines().find(|line| line.starts_with("To: ")).unwrap();
        for (method, sequence) in [("ACK", 1), ("BYE", 2)] {
            let text = format!(
                "{method} sip:{BOX} SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{method}{at}\r\n\
                Max-Forwards: 70\r\nFrom: <sip:1@192.0.2.1>;tag=f{at}\r\n{to}\r\nCall-ID: c{at}\r\n\
                CSeq: {sequence} {method}\r\nContent-Length: 0\r\n\r\n"
            );
            exchange.handle_datagram(carrier, text.as_bytes(), now);
        }
        media_does_as_told(&mut exchange, now);
        said(&mut exchange);
    }
    let abandoned = std::iter::from_fn(|| exchange.poll_cdr()).filter(|one| one.trunk.is_some());
    assert_eq!(abandoned.count(), 2_000);

    exchange.handle_datagram(carrier, invite("100", 9_999, 70).as_bytes(), now);

    let said = said(&mut exchange);
    assert!(said.iter().any(|text| text.starts_with("SIP/2.0 503 ")), "{said:?}");
    assert_eq!(exchange.endpoint().counters().rejected["fruitless_rate"], 1);
}

/// Legs close and talks end as soon as they are told to.
fn media_does_as_told(exchange: &mut Exchange, now: Instant) {
    while let Some(order) = exchange.poll_order() {
        if let Order::Close { leg } = order {
            exchange.handle_media(Event::Closed { leg, report: LegReport::default() }, now);
        } else if let Order::EndTalk { talk } = order {
            exchange.handle_media(Event::TalkEnded { talk, at: now, recorded: None }, now);
        }
    }
}
