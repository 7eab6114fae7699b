//! A box that is closed: what it orders, and how a message ends that is heard, cannot be played or never is.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

mod common;

use common::{CARRIER, SDP, address, desk, exchange, invite, plan, said, seat};
use control_plane::{
    calendar::{Hours, Zone},
    config::{AnswerMode, Plan},
    door::{Closed, Door},
    exchange::Exchange,
    ids::HoursId,
};
use media_core::order::{Event, LegName, OnDigit, Order, PromptEnd, PromptName, TuneId};
use std::time::{Duration, Instant};

/// What a far side has still to play of the message.
const TAIL: Duration = Duration::from_millis(300);

/// Never open; its team says so.
fn closed(answer: AnswerMode) -> Plan {
    let mut plan = plan(vec![desk()]);
    let (name, zone) = ("never".to_owned(), Zone::utc());
    plan.hours = vec![Hours { name, zone, weekly: vec![], holidays: vec![], exceptions: vec![] }];
    let closed = Some(Closed::Hears(TuneId(4)));
    plan.teams[0].door = Door { hours: Some(HoursId(0)), closed };
    plan.teams[0].answer = answer;
    plan
}

fn call(answer: AnswerMode, now: Instant) -> (Exchange, LegName, Vec<Order>) {
    let mut exchange = exchange(closed(answer), 8, now);
    said(&mut exchange);
    exchange.handle_datagram(address(CARRIER), invite("100", 1, 70, SDP).as_bytes(), now);
    let orders: Vec<_> = std::iter::from_fn(|| exchange.poll_order()).collect();
    let played = orders
        .iter()
        .find_map(|order| if let Order::Play { leg, .. } = order { Some(*leg) } else { None });
    (exchange, played.unwrap(), orders)
}

fn starts(said: &[String]) -> Vec<&str> {
    said.iter().filter_map(|message| message.lines().next()).collect()
}

#[test]
fn a_message_is_ordered_once_media_is_connected_and_no_key_ends_it() {
    for (answer, status) in [
        (AnswerMode::AtOnce, "SIP/2.0 200 OK"),
        (AnswerMode::WithAgent, "SIP/2.0 183 Session Progress"),
    ] {
        let (mut exchange, leg, orders) = call(answer, Instant::now());

        let (prompt, tune, on_digit) = (PromptName(0), TuneId(4), OnDigit::GoOn);
        assert_eq!(orders.last(), Some(&Order::Play { leg, prompt, tune, on_digit }));
        let connected = orders.iter().any(|order| matches!(order, Order::Connect { .. }));
        assert!(connected, "{orders:?}");
        let said = said(&mut exchange);
        assert_eq!(starts(&said).last(), Some(&status), "{said:#?}");
    }
}

#[test]
fn whatever_ends_a_message_the_call_ends_when_its_last_sample_has_been_played() {
    let prompt = PromptName(0);
    for how in [Some(PromptEnd::Played), Some(PromptEnd::Stopped), None] {
        let now = Instant::now();
        let (mut exchange, leg, _) = call(AnswerMode::WithAgent, now);
        said(&mut exchange);

        let event = match how {
            Some(how) => Event::PromptEnded { leg, prompt, how },
            None => Event::Refused { leg, what: "play: no room for another prompt" },
        };
        exchange.handle_media(event, now);
        exchange.handle_timeout(now + TAIL - Duration::from_millis(1));
        let early = said(&mut exchange);
        exchange.handle_timeout(now + TAIL);

        assert!(!starts(&early).iter().any(|line| line.contains("480")), "{how:?}: {early:#?}");
        let late = said(&mut exchange);
        let refusal = "SIP/2.0 480 Temporarily Unavailable";
        assert!(starts(&late).contains(&refusal), "{how:?}: {late:#?}");
    }
}

#[test]
fn a_box_on_which_nothing_has_happened_knows_whether_it_is_open() {
    let now = Instant::now();
    let mut plan = closed(AnswerMode::AtOnce);
    plan.seats = vec![seat("ana", "1001", false)];

    let exchange = exchange(plan, 8, now);

    assert_eq!(
        exchange.board().verdicts().iter().map(|said| said.open).collect::<Vec<_>>(),
        [false]
    );
    assert!(exchange.poll_timeout().is_some_and(|(due, _)| due > now), "it is not due at once");
}
