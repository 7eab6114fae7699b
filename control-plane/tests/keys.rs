//! Keys between SIP, media plane and story: in which way they go, and that masked ones are written nowhere.
#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

use control_plane::{
    config::{AnswerMode, Destination, Dtmf, NumberRow, Plan, SeatPlan, Team, Trunk},
    exchange::{Exchange, Start},
    fact::{Side, Step},
    ids::{SeatId, TeamId},
    switchboard::{Input, Switchboard},
    time::Stamp,
};
use media_core::order::{By, Digit, Event, LegName, Order, PortName};
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

fn plan(dtmf: Dtmf, mask_digits: bool) -> Plan {
    let pbx = PBX.parse().unwrap();
    let row =
        |pattern: &str, to| NumberRow { pattern: pattern.into(), to, from: vec![], record: None };
    Plan {
        trunks: vec![
            Trunk {
                dtmf,
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
            mask_digits,
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

fn exchange(dtmf: Dtmf, mask_digits: bool, now: Instant) -> Exchange {
    let board = Switchboard::new(Arc::new(plan(dtmf, mask_digits)));
    let ports = (0..10).map(|pair| PortName(20_000 + 2 * pair)).collect();
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

/// With telephone-event.
fn invite() -> String {
    let (number, at, forwards) = ("100", 1, 70);
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
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

/// A caller who waits: the 200 they got, their leg, and the media orders so far.
fn caller(exchange: &mut Exchange, now: Instant) -> (String, LegName, Vec<Order>) {
    exchange.handle_datagram(CARRIER.parse().unwrap(), invite().as_bytes(), now);
    let ok = said(exchange).into_iter().find(|text| text.starts_with("SIP/2.0 200 ")).unwrap();
    let to = ok.lines().find(|line| line.starts_with("To: ")).unwrap();
    exchange.handle_datagram(CARRIER.parse().unwrap(), inside("ACK", 1, to, "").as_bytes(), now);
    said(exchange);
    let orders: Vec<Order> = std::iter::from_fn(|| exchange.poll_order()).collect();
    let leg = orders
        .iter()
        .find_map(|order| if let Order::Connect { leg, .. } = order { Some(*leg) } else { None });
    (ok, leg.unwrap(), orders)
}

/// A request of the carrier inside that call; `rest`: further headers and a body.
fn inside(method: &str, sequence: u32, to: &str, rest: &str) -> String {
    let rest = if rest.is_empty() { "Content-Length: 0\r\n\r\n" } else { rest };
    format!(
        "{method} sip:{BOX} SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{method}{sequence}\r\n\
        Max-Forwards: 70\r\nFrom: <sip:1@192.0.2.1>;tag=f1\r\n{to}\r\nCall-ID: c1\r\n\
        CSeq: {sequence} {method}\r\n{rest}"
    )
}

fn ways(orders: &[Order]) -> Vec<(bool, By, bool)> {
    orders
        .iter()
        .filter_map(|order| {
            let Order::Keys { hears_tones, told_by, masked, .. } = order else { return None };
            Some((*hears_tones, *told_by, *masked))
        })
        .collect()
}

#[test]
fn what_is_configured_decides_whether_events_are_agreed_on_and_what_is_used_instead() {
    let now = Instant::now();
    for (dtmf, agreed, told) in [
        (Dtmf::Auto, true, vec![]),
        (Dtmf::Rfc4733, true, vec![]),
        (Dtmf::Info, false, vec![(false, By::Signalling, false)]),
        (Dtmf::InBand, false, vec![(true, By::Tones, false)]),
    ] {
        let mut exchange = exchange(dtmf, false, now);
        let (ok, _, orders) = caller(&mut exchange, now);

        assert_eq!(ok.contains("telephone-event"), agreed, "{dtmf:?}");
        assert_eq!(ways(&orders), told, "{dtmf:?}");
    }
}

#[test]
fn a_key_by_info_goes_to_the_media_plane_and_one_for_who_is_told_by_info_leaves_as_info() {
    let now = Instant::now();
    let mut exchange = exchange(Dtmf::Info, false, now);
    let (ok, leg, _) = caller(&mut exchange, now);
    let to = ok.lines().find(|line| line.starts_with("To: ")).unwrap();
    let body = "Signal=5\r\nDuration=160\r\n";
    let rest = format!(
        "Content-Type: application/dtmf-relay\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );

    let info = inside("INFO", 2, to, &rest);
    exchange.handle_datagram(CARRIER.parse().unwrap(), info.as_bytes(), now);

    assert!(said(&mut exchange)[0].starts_with("SIP/2.0 200 "));
    let digit = Digit::try_from('5').unwrap();
    let duration = Duration::from_millis(160);
    let orders: Vec<Order> = std::iter::from_fn(|| exchange.poll_order()).collect();
    assert_eq!(orders, [Order::Pressed { leg, digit, duration }]);

    exchange.handle_media(Event::Tell { leg, digit, duration }, now);

    let info = &said(&mut exchange)[0];
    assert!(info.starts_with("INFO sip:192.0.2.1:5060 ") && info.ends_with(body), "{info}");
}

#[test]
fn a_key_of_a_team_that_masks_them_is_journaled_without_its_name() {
    let now = Instant::now();
    for masks in [false, true] {
        let mut exchange = exchange(Dtmf::Auto, masks, now);
        let (_, leg, orders) = caller(&mut exchange, now);
        let way = (true, By::Events, true);
        assert_eq!(ways(&orders), if masks { vec![way] } else { vec![] });
        while exchange.poll_record().is_some() {}

        let digit = Digit::try_from('7').unwrap();
        let duration = Duration::from_millis(100);
        exchange.handle_media(Event::Digit { leg, digit, duration, at: now }, now);

        let record = exchange.poll_record().unwrap();
        let Input::LegDigit { digit: journaled, .. } = &record.input else { panic!("{record:?}") };
        assert_eq!(*journaled, (!masks).then_some(digit));
        let step = Step::Digit { side: Side::Caller, digit: *journaled, duration_ms: 100 };
        let shown =
            if masks { "• by the caller for 100 ms" } else { "7 by the caller for 100 ms" };
        assert_eq!(exchange.ledger().describe(&step).1, shown);
    }
}
