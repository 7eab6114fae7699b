//! What a call costs before it is taken, and how often it may come round.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

mod common;

use common::{CARRIER, SDP, contact, desk, inside, said, sip, user};
use control_plane::exchange::Exchange;
use media_core::order::{Event, LegReport, Order};
use sip_stack::User;
use std::{sync::Arc, time::Instant};

fn exchange(ports: u16, now: Instant) -> Exchange {
    common::exchange(common::plan(vec![desk()]), ports, now)
}

fn invite(number: &str, at: u32, forwards: u8) -> String {
    common::invite(number, at, forwards, SDP)
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
    let mut next = common::plan(vec![desk()]);
    next.seats[0].name = "counter".into();
    let next = exchange.plan().succeeded_by(&next).unwrap();
    let mut config = sip(vec![user()], 1);
    let gone = User { name: "1003".into(), password: None, contact: None };
    config.users[0].contact = Some(contact("203.0.113.8:5070"));
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
            let text = inside(method, at, sequence, to, "");
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
