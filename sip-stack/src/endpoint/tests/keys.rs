//! Keys by INFO: read, refused with a reason, and told one after the other.

use super::*;
use crate::keys::Press;

const RELAY: &str = "application/dtmf-relay";

/// An INFO inside the carrier's call with this body.
fn info(tag: &str, sequence: u32, media_type: &str, body: &str) -> String {
    in_dialog("INFO", tag, sequence, &format!("Content-Type: {media_type}\r\n{BODY}{body}"))
}

fn press(key: char) -> Press {
    Press { key, duration: Duration::from_millis(160) }
}

#[test]
fn a_key_is_answered_200_and_said_once_however_often_it_is_sent() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established();
    let first = info(&tag, 2, RELAY, "Signal=5\r\nDuration=160\r\n");

    for _ in 0..3 {
        assert_eq!(statuses(&bench.feed(CARRIER, &first)), [200]);
    }
    bench.feed(CARRIER, &info(&tag, 3, "Application/DTMF; x=y", "#"));

    let hash = Press { key: '#', duration: Duration::from_millis(250) };
    let said = |press| Event::Pressed { leg, press };
    assert_eq!(bench.events(), [said(press('5')), said(hash)]);
}

#[test]
fn what_tells_no_key_is_refused_with_its_reason() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    for (sequence, (media_type, body, status, why)) in (2..).zip([
        (RELAY, "Duration=160\r\n", 400, "no Signal"),
        (RELAY, "Signal=Z\r\n", 400, "a Signal that is no key"),
        ("application/dtmf", "123456", 400, "a Signal that is no key"),
        ("application/media_control+xml", "<x/>", 415, "a body that tells no key"),
    ]) {
        let refusal = response_in(&bench.feed(CARRIER, &info(&tag, sequence, media_type, body)));
        assert_eq!(refusal.status, status, "{body:?}");
        let warning = refusal.headers.text("Warning").unwrap();
        assert!(warning.contains(why), "{warning}");
        let accept = refusal.headers.text("Accept");
        assert_eq!(accept.is_some_and(|types| types.contains(RELAY)), status == 415);
    }

    assert_eq!(bench.events(), []);
    assert_eq!(bench.endpoint.counters().parse_errors["dtmf"], 3);
    let elsewhere = info("nobody", 9, RELAY, "Signal=5\r\n");
    assert_eq!(statuses(&bench.feed(CARRIER, &elsewhere)), [481]);
}

#[test]
fn a_flash_and_an_info_without_a_body_are_answered_and_tell_nothing() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();

    assert_eq!(statuses(&bench.feed(CARRIER, &in_dialog("INFO", &tag, 2, ""))), [200]);
    assert_eq!(statuses(&bench.feed(CARRIER, &info(&tag, 3, RELAY, "Signal=16\r\n"))), [200]);
    assert_eq!(bench.events(), []);
}

#[test]
fn keys_are_told_one_after_the_other_each_when_the_one_before_is_answered() {
    let mut bench = Bench::new();
    let (leg, _) = bench.established();
    for key in ['1', '2', '#'] {
        bench.endpoint.tell_key(leg, press(key), bench.now);
    }

    let mut told = vec![];
    let mut sent = bench.sent();
    for status in [200, 488, 200] {
        assert_eq!(methods(&sent), ["INFO"]);
        let request = request_in(&sent, "INFO");
        assert_eq!(request.headers.text("Content-Type"), Some(RELAY));
        told.push(String::from_utf8(request.body.clone()).unwrap());
        sent = bench.feed(CARRIER, &answer_to(&request, status, "", ""));
    }

    assert!(sent.is_empty());
    let body = |key| format!("Signal={key}\r\nDuration=160\r\n");
    assert_eq!(told, ['1', '2', '#'].map(body));
    assert_eq!(bench.endpoint.counters().keys_failed, 1, "that was refused");
}

#[test]
fn a_key_that_is_not_answered_is_counted_and_whether_the_call_is_there_is_asked() {
    let mut bench = Bench::new();
    let (leg, _) = bench.established();
    bench.endpoint.tell_key(leg, press('1'), bench.now);
    bench.sent();

    let sent = bench.pass(Duration::from_secs(33));

    let sent: Vec<_> = sent.into_iter().map(|(_, message)| message).collect();
    assert!(methods(&sent).contains(&"OPTIONS".to_owned()), "{:?}", methods(&sent));
    assert_eq!(bench.endpoint.counters().keys_failed, 1);
}

#[test]
fn more_keys_than_may_wait_and_those_of_a_call_that_is_over_are_counted() {
    let mut bench = Bench::new();
    let (leg, _) = bench.established();
    for _ in 0..70 {
        bench.endpoint.tell_key(leg, press('1'), bench.now);
    }
    assert_eq!(bench.endpoint.counters().keys_failed, 5, "one is on its way, 64 wait");

    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    bench.endpoint.tell_key(leg, press('1'), bench.now);

    assert_eq!(bench.endpoint.counters().keys_failed, 5 + 64 + 1);
}
