//! Known peers that lie: right ids from the wrong address, addresses of others, floods in another's
//! name.

use super::*;

/// Another machine of the same trunk's network is the trunk; this is another phone.
const OTHER: &str = "203.0.113.99:5060";

fn with_other_trunk() -> Bench {
    let mut settings = config(BOX, "192.0.2.0/24", 1);
    let other = Trunk {
        peers: vec!["203.0.113.99".parse().unwrap()],
        calls_max: 3,
        ..Trunk::named("other")
    };
    settings.trunks.push(other);
    Bench { endpoint: Endpoint::new(settings), now: Instant::now() }
}

fn call(at: u32) -> String {
    let text = invite().replace("Call-ID: call@", &format!("Call-ID: call{at}@"));
    text.replace("z9hG4bKi1", &format!("z9hG4bKi{at}"))
}

#[test]
fn a_response_counts_only_from_where_the_request_went() {
    let mut bench = with_other_trunk();
    let leg = bench.endpoint.invite(call_to(PHONE, None), bench.now);
    let invite = request_in(&bench.sent(), "INVITE");

    for status in [180, 200, 486] {
        assert_eq!(bench.feed(OTHER, &answer_to(&invite, status, "forged", SDP)), []);
    }
    assert_eq!(bench.events(), []);
    assert_eq!(bench.endpoint.counters().rejected["forged_response"], 3);

    bench.feed(PHONE, &answer_to(&invite, 486, "phone", ""));
    let cause = Cause::Refused { status: 486 };
    assert_eq!(bench.events(), [Event::Ended { leg, cause }]);
}

#[test]
fn a_late_answer_counts_only_from_where_the_request_went() {
    let mut bench = with_other_trunk();
    bench.endpoint.invite(call_to(PHONE, None), bench.now);
    let invite = request_in(&bench.sent(), "INVITE");
    bench.pass(Duration::from_secs(33));

    assert_eq!(bench.feed(OTHER, &answer_to(&invite, 200, "forged", SDP)), []);
    assert_eq!(methods(&bench.feed(PHONE, &answer_to(&invite, 200, "x", SDP))), ["ACK", "BYE"]);
}

#[test]
fn whoever_of_the_trunk_answers_is_the_trunk() {
    let mut bench = Bench::new();
    bench.endpoint.invite(call_to(CARRIER, Some(TrunkId(0))), bench.now);
    let invite = request_in(&bench.sent(), "INVITE");

    bench.feed("192.0.2.77:5060", &answer_to(&invite, 180, "x", ""));

    assert_eq!(bench.events(), [Event::Ringing { leg: LegId(100), early: None }]);
}

#[test]
fn a_guessed_branch_takes_nobodys_place() {
    let mut bench = with_other_trunk();
    let before = invite().replace("Call-ID: call", "Call-ID: other");
    bench.feed(OTHER, &before);
    bench.events();

    assert_eq!(statuses(&bench.feed(CARRIER, &invite())), [100]);
    assert_eq!(events(&mut bench), ["Invited"]);
}

fn events(bench: &mut Bench) -> Vec<String> {
    bench.events().iter().map(brief).collect()
}

#[test]
fn nothing_is_sent_to_a_contact_or_route_outside_the_trunk() {
    for (named, instead) in [
        ("Contact: <sip:192.0.2.1:5060>", "Contact: <sip:victim@100.64.0.9:5060>"),
        ("Max-Forwards: 70", "Record-Route: <sip:100.64.0.9;lr>\r\nMax-Forwards: 70"),
    ] {
        let mut bench = Bench::new();
        let leg = bench.invited(CARRIER, &invite().replace(named, instead));
        bench.endpoint.answer(leg, SDP.into(), bench.now);
        let tag = to_tag(&response_in(&bench.sent()));
        bench.feed(CARRIER, &in_dialog("ACK", &tag, 1, ""));

        bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);

        let bye = bench.endpoint.poll_transmit().unwrap();
        assert!(bye.bytes.starts_with(b"BYE ") && bye.to == address(CARRIER), "{instead}");
    }
}

#[test]
fn a_phone_is_who_it_proved_to_be_whatever_its_from_claims() {
    let mut bench = Bench::new();
    bench.feed(PHONE, &invite());

    let Event::Invited { from_user, .. } = bench.event() else { panic!() };

    assert_eq!(from_user, "1003");
}

#[test]
fn refusals_that_nobody_acknowledges_do_not_fill_the_trunk() {
    let mut bench = Bench::new();
    for at in 0..20 {
        let leg = bench.invited(CARRIER, &call(at));
        let unknown = Refusal { status: 404, retry_after_seconds: None, warning: None };
        bench.endpoint.refuse(leg, unknown, bench.now);
        assert_eq!(events(&mut bench), ["Ended Released"]);
    }

    assert_eq!(bench.endpoint.legs(), 0);
    bench.invited(CARRIER, &call(99));
}

#[test]
fn questions_leave_room_for_calls() {
    let mut bench = Bench::new();
    for at in 0..200 {
        let branch = format!("o{at}");
        assert_eq!(statuses(&bench.feed(CARRIER, &request("OPTIONS", &branch, "", at, ""))), [200]);
    }

    bench.invited(CARRIER, &invite());
}
