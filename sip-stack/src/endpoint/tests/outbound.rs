//! Calls we place, and that `Ended` is said only when the phone has nothing left of them.

use super::*;

/// A call to the phone; and its INVITE.
fn place(bench: &mut Bench) -> (LegId, Request) {
    let leg = bench.endpoint.invite(call_to(PHONE, None), bench.now);
    (leg, request_in(&bench.sent(), "INVITE"))
}

fn answered(bench: &mut Bench) -> (LegId, Request) {
    let (leg, invite) = place(bench);
    let sent = bench.feed(PHONE, &answer_to(&invite, 200, "phone", SDP));
    assert_eq!(methods(&sent), ["ACK"]);
    assert!(matches!(bench.events()[..], [Event::Answered { .. }]));
    (leg, invite)
}

fn ended(leg: LegId, cause: Cause) -> Event {
    Event::Ended { leg, cause }
}

#[test]
fn a_call_says_everything_a_phone_needs() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench);
    let value = |name| invite.headers.text(name).unwrap();

    assert_eq!(invite.uri, "sip:1003@203.0.113.7:5070");
    assert!(value("From").starts_with("\"Ana\" <sip:+5411555@clavija.test>;tag="));
    assert_eq!(value("Contact"), "<sip:198.51.100.1:5060>");
    assert_eq!(value("Max-Forwards"), "70");
    assert_eq!(value("User-Agent"), "Clavija/test");
    assert!(value("Allow").contains("UPDATE") && value("Via").ends_with(";rport"));
    assert_eq!(invite.body, SDP.as_bytes());
}

#[test]
fn ringing_is_told_once_and_again_only_with_early_media() {
    let mut bench = Bench::new();
    let (leg, invite) = place(&mut bench);
    for (status, body) in [(100, ""), (180, ""), (180, ""), (183, SDP), (183, SDP), (199, "")] {
        bench.feed(PHONE, &answer_to(&invite, status, "phone", body));
    }

    let told = bench.events();

    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(told[0], Event::Ringing { leg, early: None });
    assert!(matches!(told[1], Event::Ringing { early: Some(_), .. }));
}

#[test]
fn a_call_nobody_hears_of_ends_after_32_s() {
    let mut bench = Bench::new();
    let (leg, _) = place(&mut bench);

    let sent = bench.pass(Duration::from_secs(33));

    assert_eq!(sent.len(), 6);
    assert_eq!(bench.events(), [ended(leg, Cause::Lost)]);
    bench.assert_idle_after(Duration::from_secs(40));
}

#[test]
fn a_refused_call_ends_with_its_status() {
    let mut bench = Bench::new();
    let (leg, invite) = place(&mut bench);

    let sent = bench.feed(PHONE, &answer_to(&invite, 486, "phone", ""));

    assert_eq!(methods(&sent), ["ACK"]);
    assert_eq!(bench.events(), [ended(leg, Cause::Refused { status: 486 })]);
    bench.assert_idle_after(Duration::from_secs(40));
}

#[test]
fn hanging_up_before_anything_is_heard_waits_for_it_to_cancel() {
    let mut bench = Bench::new();
    let (leg, invite) = place(&mut bench);
    bench.endpoint.hang_up(leg, HangUp::ElsewhereAnswered, bench.now);
    assert_eq!(bench.sent(), []);

    let sent = bench.feed(PHONE, &answer_to(&invite, 180, "phone", ""));

    let cancel = request_in(&sent, "CANCEL");
    assert!(cancel.headers.text("Reason").is_some_and(|reason| reason.contains("elsewhere")));
    bench.feed(PHONE, &answer_to(&cancel, 200, "phone", ""));
    assert_eq!(bench.events(), [], "the phone still rings");
    bench.feed(PHONE, &answer_to(&invite, 487, "phone", ""));
    assert_eq!(bench.events(), [ended(leg, Cause::Released)]);
}

#[test]
fn a_ringing_phone_is_cancelled_at_once_and_only_once() {
    let mut bench = Bench::new();
    let (leg, invite) = place(&mut bench);
    bench.feed(PHONE, &answer_to(&invite, 180, "phone", ""));
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);

    assert_eq!(methods(&bench.sent()), ["CANCEL"]);
}

#[test]
fn a_phone_that_never_ends_a_cancelled_call_is_given_up_after_32_s() {
    let mut bench = Bench::new();
    let (leg, invite) = place(&mut bench);
    bench.feed(PHONE, &answer_to(&invite, 180, "phone", ""));
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    let cancel = request_in(&bench.sent(), "CANCEL");
    bench.feed(PHONE, &answer_to(&cancel, 200, "phone", ""));
    bench.events();

    bench.pass(Duration::from_millis(31_999));
    assert_eq!(bench.events(), []);
    bench.pass(Duration::from_millis(1));

    assert_eq!(bench.events(), [ended(leg, Cause::Released)]);
    // And if it answers even then, it is told that nobody is there.
    let late = bench.feed(PHONE, &answer_to(&invite, 200, "phone", SDP));
    assert_eq!(methods(&late), ["ACK", "BYE"]);
    assert_eq!(bench.events(), []);
    bench.assert_idle_after(Duration::from_secs(80));
}

#[test]
fn a_200_that_crosses_the_cancel_is_acknowledged_and_ended_by_itself() {
    let mut bench = Bench::new();
    let (leg, invite) = place(&mut bench);
    bench.feed(PHONE, &answer_to(&invite, 180, "phone", ""));
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    bench.sent();
    bench.events();

    let sent = bench.feed(PHONE, &answer_to(&invite, 200, "phone", SDP));

    assert_eq!(methods(&sent), ["ACK", "BYE"]);
    assert!(matches!(bench.events()[..], [Event::Answered { .. }]));
    // A repeat of the 200 after the BYE gets its ACK again and nothing else.
    let again = bench.feed(PHONE, &answer_to(&invite, 200, "phone", SDP));
    assert_eq!(methods(&again), ["ACK"]);
    assert_eq!(bench.events(), []);
    bench.feed(PHONE, &answer_to(&request_in(&sent, "BYE"), 200, "phone", ""));
    assert_eq!(bench.events(), [ended(leg, Cause::Released)]);
}

#[test]
fn a_bye_nobody_answers_ends_the_leg_after_32_s() {
    let mut bench = Bench::new();
    let (leg, _) = answered(&mut bench);
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);

    bench.pass(Duration::from_millis(31_999));
    assert_eq!(bench.events(), []);
    bench.pass(Duration::from_millis(1));

    assert_eq!(bench.events(), [ended(leg, Cause::Released)]);
    bench.assert_idle_after(Duration::from_secs(40));
}

#[test]
fn only_the_first_of_several_answers_is_the_call_and_the_others_are_ended() {
    let mut bench = Bench::new();
    let (leg, invite) = answered(&mut bench);

    let sent = bench.feed(PHONE, &answer_to(&invite, 200, "other", SDP));

    assert_eq!(methods(&sent), ["ACK", "BYE"]);
    let other_bye = request_in(&sent, "BYE");
    assert_eq!(other_bye.headers.to().unwrap().tag(), Some("other"));
    assert_eq!(bench.events(), []);
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    let bye = request_in(&bench.sent(), "BYE");
    bench.feed(PHONE, &answer_to(&bye, 200, "phone", ""));
    assert_eq!(bench.events(), [], "the fork has not said that it is gone");
    bench.feed(PHONE, &answer_to(&other_bye, 481, "other", ""));
    assert_eq!(bench.events(), [ended(leg, Cause::Released)]);
}

#[test]
fn a_fork_that_answers_when_the_call_is_over_is_ended_too() {
    let mut bench = Bench::new();
    let (leg, invite) = answered(&mut bench);
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    let bye = request_in(&bench.sent(), "BYE");
    bench.feed(PHONE, &answer_to(&bye, 200, "phone", ""));
    assert_eq!(bench.events(), [ended(leg, Cause::Released)]);

    let sent = bench.feed(PHONE, &answer_to(&invite, 200, "other", SDP));

    assert_eq!(methods(&sent), ["ACK", "BYE"]);
    assert_eq!(bench.events(), []);
    bench.assert_idle_after(Duration::from_secs(80));
}

#[test]
fn a_bye_that_overtakes_its_200_is_remembered() {
    let mut bench = Bench::new();
    let (leg, invite) = place(&mut bench);
    let local = invite.headers.from().unwrap().tag().unwrap().to_owned();
    let bye = bye_from_phone(&invite, "phone", &local);

    assert_eq!(statuses(&bench.feed(PHONE, &bye)), [200]);
    assert_eq!(bench.events(), []);
    let sent = bench.feed(PHONE, &answer_to(&invite, 200, "phone", SDP));

    assert_eq!(methods(&sent), ["ACK"]);
    assert_eq!(bench.events(), [ended(leg, Cause::Bye)]);
}

fn bye_from_phone(invite: &Request, tag: &str, local_tag: &str) -> String {
    let call_id = invite.headers.call_id().unwrap();
    format!(
        "BYE sip:198.51.100.1:5060 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 203.0.113.7:5070;branch=z9hG4bKbye{tag}\r\n\
         From: <sip:1003@203.0.113.7>;tag={tag}\r\nTo: <sip:x@clavija.test>;tag={local_tag}\r\n\
         Call-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn crossing_byes_end_the_leg_as_ours() {
    let mut bench = Bench::new();
    let (leg, invite) = answered(&mut bench);
    let local = invite.headers.from().unwrap().tag().unwrap().to_owned();
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    bench.sent();

    let sent = bench.feed(PHONE, &bye_from_phone(&invite, "phone", &local));

    assert_eq!(statuses(&sent), [200]);
    assert_eq!(bench.events(), [ended(leg, Cause::Released)]);
    bench.assert_idle_after(Duration::from_secs(80));
}

#[test]
fn an_answer_without_a_usable_session_ends_the_call_as_failed() {
    for body in ["", "v=nonsense"] {
        let mut bench = Bench::new();
        let (leg, invite) = place(&mut bench);

        let sent = bench.feed(PHONE, &answer_to(&invite, 200, "phone", body));

        assert_eq!(methods(&sent), ["ACK", "BYE"]);
        assert_eq!(bench.events(), [Event::Left { leg, cause: Cause::Failed }]);
        bench.feed(PHONE, &answer_to(&request_in(&sent, "BYE"), 200, "phone", ""));
        assert_eq!(bench.events(), [ended(leg, Cause::Failed)]);
    }
}

#[test]
fn an_answer_may_lean_on_the_early_session() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench);
    bench.feed(PHONE, &answer_to(&invite, 183, "phone", SDP));
    bench.events();

    bench.feed(PHONE, &answer_to(&invite, 200, "phone", ""));

    assert!(matches!(bench.events()[..], [Event::Answered { .. }]));
}

#[test]
fn a_phone_that_rings_for_three_minutes_is_withdrawn() {
    let mut bench = Bench::new();
    let (leg, invite) = place(&mut bench);
    bench.feed(PHONE, &answer_to(&invite, 180, "phone", ""));
    bench.events();

    let sent = bench.pass(Duration::from_millis(180_100));
    assert_eq!(methods(&[sent[0].1.clone()]), ["CANCEL"]);
    bench.feed(PHONE, &answer_to(&invite, 487, "phone", ""));

    assert_eq!(bench.events(), [ended(leg, Cause::Lost)]);
}

#[test]
fn a_check_tells_a_live_peer_from_a_lost_one() {
    for (status, expected, then) in [
        (200, Event::Checked { leg: LegId(100) }, &[][..]),
        (405, Event::Checked { leg: LegId(100) }, &[]),
        (481, ended(LegId(100), Cause::Lost), &[]),
        (408, ended(LegId(100), Cause::Lost), &["BYE"]),
    ] {
        let mut bench = Bench::new();
        let (leg, _) = answered(&mut bench);
        bench.endpoint.check(leg, bench.now);
        bench.endpoint.check(leg, bench.now);
        let sent = bench.sent();
        assert_eq!(methods(&sent), ["OPTIONS"]);

        let said =
            bench.feed(PHONE, &answer_to(&request_in(&sent, "OPTIONS"), status, "phone", ""));

        assert_eq!(methods(&said), then, "{status}");
        if let [Message::Request(bye)] = &said[..] {
            let left = Event::Left { leg, cause: Cause::Lost };
            assert_eq!(bench.events(), [left], "somebody is there, and may have the call");
            bench.feed(PHONE, &answer_to(bye, 200, "phone", ""));
        }
        assert_eq!(bench.events(), [expected]);
    }
}

#[test]
fn a_check_nobody_answers_frees_the_other_side_after_32_s_and_the_phone_after_its_bye() {
    let mut bench = Bench::new();
    let (leg, _) = answered(&mut bench);
    bench.endpoint.check(leg, bench.now);

    bench.pass(Duration::from_secs(32));
    assert_eq!(bench.events(), [Event::Left { leg, cause: Cause::Lost }]);
    bench.pass(Duration::from_secs(32));

    assert_eq!(bench.events(), [ended(leg, Cause::Lost)]);
    bench.assert_idle_after(Duration::from_secs(40));
}

#[test]
fn a_phone_that_comes_back_after_it_was_lost_is_told_so() {
    let mut bench = Bench::new();
    let (leg, _) = answered(&mut bench);
    bench.endpoint.check(leg, bench.now);
    bench.pass(Duration::from_secs(32));
    bench.events();

    let sent: Vec<_> = bench.pass(Duration::from_secs(5)).into_iter().map(|(_, it)| it).collect();

    bench.feed(PHONE, &answer_to(&request_in(&sent, "BYE"), 200, "phone", ""));
    assert_eq!(bench.events(), [ended(leg, Cause::Lost)]);
    bench.assert_idle_after(Duration::from_secs(32));
}

#[test]
fn a_phone_that_answers_with_tag_after_tag_costs_no_more_than_a_fork_does() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench);

    let sent: Vec<_> = (0..100)
        .flat_map(|tag| bench.feed(PHONE, &answer_to(&invite, 200, &format!("t{tag}"), SDP)))
        .collect();

    let byes = methods(&sent).iter().filter(|method| *method == "BYE").count();
    assert_eq!((byes, bench.events().len()), (15, 1));
}

#[test]
fn a_reinvite_while_our_invite_is_pending_collides() {
    let mut bench = Bench::new();
    let (_, invite) = place(&mut bench);
    let local = invite.headers.from().unwrap().tag().unwrap().to_owned();
    let reinvite = bye_from_phone(&invite, "phone", &local).replace("BYE", "INVITE");

    assert_eq!(statuses(&bench.feed(PHONE, &reinvite)), [491]);
}

#[test]
fn commands_on_a_leg_that_is_gone_do_nothing() {
    let mut bench = Bench::new();
    let (leg, invite) = place(&mut bench);
    bench.feed(PHONE, &answer_to(&invite, 603, "phone", ""));
    bench.events();
    bench.sent();

    bench.endpoint.ring(leg, bench.now);
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    bench.endpoint.check(LegId(999), bench.now);
    bench.endpoint.answer_reoffer(leg, Ok(vec![]), bench.now);

    assert_eq!((bench.sent(), bench.events()), (vec![], vec![]));
}
