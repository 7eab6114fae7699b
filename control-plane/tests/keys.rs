//! Keys between SIP, media plane and story: in which way they go, and that masked ones are written nowhere.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

mod common;

use common::{CARRIER, desk, inside, said};
use control_plane::{
    config::Dtmf,
    exchange::Exchange,
    fact::{Side, Step},
    switchboard::Input,
};
use media_core::order::{By, Digit, Event, LegName, Order};
use std::time::{Duration, Instant};

fn exchange(dtmf: Dtmf, mask_digits: bool, now: Instant) -> Exchange {
    let mut plan = common::plan(vec![desk()]);
    plan.trunks[0].dtmf = dtmf;
    plan.teams[0].mask_digits = mask_digits;
    common::exchange(plan, 10, now)
}

/// With telephone-event.
fn invite() -> String {
    let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
    common::invite("100", 1, 70, sdp)
}

/// A caller who waits: the 200 they got, their leg, and the media orders so far.
fn caller(exchange: &mut Exchange, now: Instant) -> (String, LegName, Vec<Order>) {
    exchange.handle_datagram(CARRIER.parse().unwrap(), invite().as_bytes(), now);
    let ok = said(exchange).into_iter().find(|text| text.starts_with("SIP/2.0 200 ")).unwrap();
    let to = ok.lines().find(|line| line.starts_with("To: ")).unwrap();
    exchange.handle_datagram(CARRIER.parse().unwrap(), inside("ACK", 1, 1, to, "").as_bytes(), now);
    said(exchange);
    let orders: Vec<Order> = std::iter::from_fn(|| exchange.poll_order()).collect();
    let leg = orders
        .iter()
        .find_map(|order| if let Order::Connect { leg, .. } = order { Some(*leg) } else { None });
    (ok, leg.unwrap(), orders)
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

    let info = inside("INFO", 1, 2, to, &rest);
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
