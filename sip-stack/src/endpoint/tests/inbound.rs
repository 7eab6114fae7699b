//! Calls that come: ringing, answering, refusing, withdrawing, and requests inside them.

use super::*;

fn events_of(bench: &mut Bench) -> Vec<String> {
    bench.events().iter().map(brief).collect()
}

#[test]
fn a_call_is_said_to_be_tried_at_once_and_told_with_all_it_says() {
    let mut bench = Bench::new();

    let sent = bench.feed(CARRIER, &invite());

    assert_eq!(statuses(&sent), [100]);
    let Event::Invited { leg, source, from, from_user, from_display, to_user, offer, .. } =
        bench.event()
    else {
        panic!("one call")
    };
    assert_eq!((leg, source, from), (LegId(100), Source::Trunk(TrunkId(0)), address(CARRIER)));
    assert_eq!((from_user.as_str(), to_user.as_str()), ("+34600", "+5411"));
    assert_eq!(from_display.as_deref(), Some("Car"));
    assert!(offer.is_some());
}

#[test]
fn repeated_invites_get_the_newest_provisional_answer_and_make_no_second_leg() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    assert_eq!(statuses(&bench.feed(CARRIER, &invite())), [100]);
    bench.endpoint.ring(leg, bench.now);
    assert_eq!(statuses(&bench.sent()), [180]);

    assert_eq!(statuses(&bench.feed(CARRIER, &invite())), [180]);
    assert!(bench.events().is_empty());
    assert_eq!(bench.endpoint.legs(), 1);
}

#[test]
fn a_torn_repeat_of_an_invite_is_not_refused_in_its_name() {
    let mut bench = Bench::new();
    let torn = invite();
    let torn = &torn[..torn.find("Content-Type").unwrap()];
    assert_eq!(statuses(&bench.feed(CARRIER, torn)), [400], "alone it is refused");
    bench.invited(CARRIER, &invite());

    assert_eq!(bench.feed(CARRIER, torn), [], "the caller would take its call for refused");
}

#[test]
fn the_same_invite_by_another_path_is_a_loop() {
    let mut bench = Bench::new();
    bench.invited(CARRIER, &invite());

    let other_path = invite().replace("z9hG4bKi1", "z9hG4bKother");

    assert_eq!(statuses(&bench.feed(CARRIER, &other_path)), [482]);
    assert!(bench.events().is_empty());
}

#[test]
fn an_invite_that_was_underway_for_half_a_minute_makes_no_second_call() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    bench.pass(Duration::from_secs(33));
    bench.events();

    let straggler = bench.feed(CARRIER, &invite());

    assert_eq!(statuses(&straggler), [482], "its call waits for the answer to our BYE");
    assert!(bench.events().is_empty());
    let anew = invite().replace("CSeq: 1 ", "CSeq: 2 ").replace("z9hG4bKi1", "z9hG4bKi2");
    assert_eq!(statuses(&bench.feed(CARRIER, &anew)), [100], "the next attempt is a call");
}

#[test]
fn the_200_is_sent_until_its_ack_with_gaps_from_half_a_second_to_four() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    let ok = response_in(&bench.sent());

    let again = bench.pass(Duration::from_secs(10));
    let at: Vec<_> = again.iter().map(|(at, _)| *at).collect();
    bench.feed(CARRIER, &in_dialog("ACK", &to_tag(&ok), 1, ""));

    assert_eq!(at, [500, 1500, 3500, 7500]);
    assert!(again.iter().all(|(_, message)| *message == Message::Response(ok.clone())));
    assert_eq!(events_of(&mut bench), ["Established"]);
    assert_eq!(bench.pass(Duration::from_secs(60)), []);
}

#[test]
fn a_200_without_ack_for_32_s_ends_in_a_bye() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    bench.sent();

    let sent = bench.pass(Duration::from_millis(32_100));

    let (at, last) = sent.last().unwrap();
    assert_eq!((*at, methods(std::slice::from_ref(last))), (32_000, vec!["BYE".to_owned()]));
    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Lost }]);
    bench.assert_idle_after(Duration::from_secs(64));
}

#[test]
fn a_phone_whose_ack_never_came_may_have_the_call_until_it_answers_the_bye() {
    let mut bench = Bench::new();
    let leg = bench.invited(PHONE, &invite());
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    bench.sent();

    let sent = bench.pass(Duration::from_millis(32_100));

    assert_eq!(bench.events(), [Event::Left { leg, cause: Cause::Lost }]);
    let (_, Message::Request(bye)) = sent.last().unwrap() else { panic!("{sent:?}") };
    bench.feed(PHONE, &answer_to(bye, 200, "theirs", ""));
    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Lost }]);
    bench.assert_idle_after(Duration::from_secs(64));
}

#[test]
fn who_is_hung_up_on_before_the_ack_gets_the_bye_after_it() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    let tag = to_tag(&response_in(&bench.sent()));
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    assert!(bench.sent().is_empty());

    let sent = bench.feed(CARRIER, &in_dialog("ACK", &tag, 1, ""));

    let bye = request_in(&sent, "BYE");
    assert!(bye.headers.text("Reason").is_some_and(|reason| reason.contains("16")));
    assert_eq!(events_of(&mut bench), ["Established"]);
    bench.feed(CARRIER, &answer_to(&bye, 200, "x", ""));
    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Released }]);
}

#[test]
fn a_bye_before_the_ack_ends_the_call_and_the_repeats() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    let tag = to_tag(&response_in(&bench.sent()));

    let sent = bench.feed(CARRIER, &in_dialog("BYE", &tag, 2, ""));

    assert_eq!(statuses(&sent), [200]);
    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Bye }]);
    assert_eq!(bench.pass(Duration::from_secs(64)), []);
    bench.assert_idle_after(Duration::ZERO);
}

#[test]
fn a_repeated_bye_gets_the_same_answer_and_a_later_one_481() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    let bye = in_dialog("BYE", &tag, 2, "");

    let first = bench.feed(CARRIER, &bye);
    let again = bench.feed(CARRIER, &bye);

    assert_eq!((statuses(&first), &first), (vec![200], &again));
    assert_eq!(statuses(&bench.feed(CARRIER, &in_dialog("BYE", &tag, 3, ""))), [481]);
    assert_eq!(events_of(&mut bench), ["Ended Bye"]);
}

#[test]
fn a_caller_who_withdraws_is_told_so_twice_and_is_gone() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    bench.endpoint.ring(leg, bench.now);
    let tag = to_tag(&response_in(&bench.sent()));

    let sent = bench.feed(CARRIER, &request("CANCEL", "i1", "", 1, ""));

    assert_eq!(statuses(&sent), [200, 487]);
    assert_eq!(to_tag(&response_in(&sent)), tag, "one dialog, one tag (RFC 3261 §9.2)");
    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Cancelled }]);
    assert_eq!(statuses(&bench.feed(CARRIER, &request("CANCEL", "i1", "", 1, ""))), [200]);
    bench.feed(CARRIER, &request("ACK", "i1", &tag, 1, ""));
    assert_eq!(bench.pass(Duration::from_secs(2)), []);
    bench.assert_idle_after(Duration::from_secs(40));
}

#[test]
fn a_cancel_after_the_200_is_answered_and_changes_nothing() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    bench.sent();

    assert_eq!(statuses(&bench.feed(CARRIER, &request("CANCEL", "i1", "", 1, ""))), [200]);
    assert!(bench.events().is_empty());
    assert_eq!(bench.endpoint.legs(), 1);
}

#[test]
fn a_cancel_of_nothing_is_told_so() {
    let mut bench = Bench::new();

    assert_eq!(statuses(&bench.feed(CARRIER, &request("CANCEL", "no", "", 1, ""))), [481]);
}

#[test]
fn a_refusal_says_what_it_was_told_to_and_is_repeated_until_its_ack() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    let refusal = Refusal {
        status: 488,
        retry_after_seconds: Some(7),
        warning: Some((305, "they offer G729, we \"allow\" PCMA".into())),
    };
    bench.endpoint.refuse(leg, refusal, bench.now);
    let no = response_in(&bench.sent());
    let value = |name| no.headers.text(name).unwrap();

    assert_eq!((no.status, value("Retry-After")), (488, "7"));
    let warning = "305 clavija.test \"they offer G729, we \\\"allow\\\" PCMA\"";
    assert_eq!(value("Warning"), warning);
    assert_eq!(bench.pass(Duration::from_millis(600)).len(), 1);
    bench.feed(CARRIER, &request("ACK", "i1", &to_tag(&no), 1, ""));
    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Released }]);
    bench.assert_idle_after(Duration::from_secs(10));
}

#[test]
fn a_phone_that_is_refused_still_calls_until_its_ack() {
    let mut bench = Bench::new();
    let leg = bench.invited(PHONE, &invite());
    let busy = Refusal { status: 486, retry_after_seconds: None, warning: None };
    bench.endpoint.refuse(leg, busy, bench.now);
    let no = response_in(&bench.sent());
    assert!(bench.events().is_empty());

    bench.feed(PHONE, &request("ACK", "i1", &to_tag(&no), 1, ""));

    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Released }]);
}

#[test]
fn a_refusal_is_over_even_if_its_ack_has_a_branch_of_its_own() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    let tag = to_tag(&response_in(&bench.sent()));

    bench.feed(CARRIER, &in_dialog("ACK", &tag, 1, ""));

    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Released }]);
    assert_eq!(bench.pass(Duration::from_secs(4)), []);
}

#[test]
fn a_call_hung_up_before_any_answer_is_refused() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());

    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);

    assert_eq!(statuses(&bench.sent()), [480]);
}

#[test]
fn a_delayed_offer_is_ours_and_its_answer_comes_with_the_ack() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &request("INVITE", "i1", "", 1, ""));
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    let tag = to_tag(&response_in(&bench.sent()));

    bench.feed(CARRIER, &in_dialog("ACK", &tag, 1, &with_sdp("")));

    let Event::Established { answer, .. } = bench.event() else { panic!("established") };
    assert!(answer.is_some());
}

#[test]
fn an_ack_that_owes_an_answer_and_has_none_ends_the_call() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &request("INVITE", "i1", "", 1, ""));
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    let tag = to_tag(&response_in(&bench.sent()));

    let bye = request_in(&bench.feed(CARRIER, &in_dialog("ACK", &tag, 1, "")), "BYE");
    bench.feed(CARRIER, &answer_to(&bye, 200, "x", ""));

    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Failed }]);
}

#[test]
fn a_ringing_caller_is_reminded_every_minute() {
    let mut bench = Bench::new();
    let leg = bench.invited(CARRIER, &invite());
    bench.endpoint.ring(leg, bench.now);
    bench.sent();

    let at: Vec<_> = bench.pass(Duration::from_secs(130)).iter().map(|(at, _)| *at).collect();

    assert_eq!(at, [60_000, 120_000]);
}

// ---- inside the call ----

#[test]
fn a_reinvite_is_the_layer_aboves_to_answer_and_its_200_waits_for_the_ack() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established();

    let trying = bench.feed(CARRIER, &in_dialog("INVITE", &tag, 2, &with_sdp("")));
    assert_eq!(statuses(&trying), [100]);
    assert!(matches!(bench.events()[..], [Event::Reoffered { offer: Some(_), .. }]));
    bench.endpoint.answer_reoffer(leg, Ok(SDP.into()), bench.now);
    assert_eq!(statuses(&bench.sent()), [200]);
    assert_eq!(bench.pass(Duration::from_millis(600)).len(), 1);
    bench.feed(CARRIER, &in_dialog("ACK", &tag, 2, ""));

    assert!(bench.events().is_empty(), "the first ACK alone establishes");
    assert_eq!(bench.pass(Duration::from_secs(5)), []);
}

#[test]
fn a_second_reinvite_waits_and_one_before_the_first_ack_collides() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established();
    bench.feed(CARRIER, &in_dialog("INVITE", &tag, 2, &with_sdp("")));

    let second = response_in(&bench.feed(CARRIER, &in_dialog("INVITE", &tag, 3, &with_sdp(""))));
    assert_eq!(second.status, 500);
    let wait: u32 = second.headers.text("Retry-After").unwrap().parse().unwrap();
    assert!(wait <= 10);

    bench.endpoint.answer_reoffer(leg, Ok(SDP.into()), bench.now);
    bench.sent();
    let third = bench.feed(CARRIER, &in_dialog("INVITE", &tag, 4, &with_sdp("")));
    assert_eq!(statuses(&third), [491]);
}

#[test]
fn a_refused_reinvite_leaves_the_call_as_it_is() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established();
    bench.feed(CARRIER, &in_dialog("INVITE", &tag, 2, &with_sdp("")));
    let no = Refusal { status: 488, retry_after_seconds: None, warning: None };
    bench.endpoint.answer_reoffer(leg, Err(no), bench.now);
    assert_eq!(statuses(&bench.sent()), [488]);
    bench.feed(CARRIER, &request("ACK", "INVITE2", &tag, 2, ""));
    bench.events();

    bench.pass(Duration::from_secs(60));

    assert!(bench.events().is_empty());
    assert_eq!(bench.endpoint.legs(), 1);
}

#[test]
fn a_reinvite_moves_the_target_of_what_we_send_next() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established();
    let moved = in_dialog("INVITE", &tag, 2, &with_sdp(""))
        .replace("Contact: <sip:192.0.2.1:5060>", "Contact: <sip:gw@192.0.2.8:5088>");
    bench.feed(CARRIER, &moved);
    bench.endpoint.answer_reoffer(leg, Ok(SDP.into()), bench.now);
    bench.feed(CARRIER, &in_dialog("ACK", &tag, 2, ""));

    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    let bye = bench.endpoint.poll_transmit().unwrap();

    // The 200 of the re-INVITE was drained with the ACK.
    assert!(bye.bytes.starts_with(b"BYE sip:gw@192.0.2.8:5088 "));
    assert_eq!(bye.to, address("192.0.2.8:5088"));
}

#[test]
fn a_reinvite_that_is_pending_when_the_call_ends_gets_487() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    bench.feed(CARRIER, &in_dialog("INVITE", &tag, 2, &with_sdp("")));

    let sent = bench.feed(CARRIER, &in_dialog("BYE", &tag, 3, ""));

    assert_eq!(statuses(&sent), [200, 487]);
}

#[test]
fn an_update_with_an_offer_is_asked_upwards_and_one_without_is_just_answered() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established();

    assert_eq!(statuses(&bench.feed(CARRIER, &in_dialog("UPDATE", &tag, 2, ""))), [200]);
    assert!(bench.events().is_empty());
    bench.feed(CARRIER, &in_dialog("UPDATE", &tag, 3, &with_sdp("")));
    assert_eq!(events_of(&mut bench), ["Reoffered"]);
    bench.endpoint.answer_reoffer(leg, Ok(SDP.into()), bench.now);
    let ok = response_in(&bench.sent());
    assert_eq!((ok.status, ok.body), (200, SDP.as_bytes().to_vec()));
}

#[test]
fn other_requests_in_a_call_are_answered_sanely() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    let cases = [
        ("INFO", 200),
        ("OPTIONS", 200),
        ("MESSAGE", 405),
        ("NOTIFY", 405),
        ("REFER", 405),
        ("PRACK", 481),
        ("NONSENSE", 501),
    ];

    for ((method, status), sequence) in cases.into_iter().zip(2..) {
        let sent = bench.feed(CARRIER, &in_dialog(method, &tag, sequence, ""));
        assert_eq!(statuses(&sent), [status], "{method}");
        let allowed = response_in(&sent).headers.text("Allow").is_some();
        assert_eq!(allowed, status == 405 || method == "OPTIONS", "{method}");
    }
    assert_eq!(bench.endpoint.counters().requests_in["INFO"], 1);
    assert_eq!(bench.endpoint.legs(), 1);
}

#[test]
fn an_older_request_in_a_call_is_refused() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    bench.feed(CARRIER, &in_dialog("INFO", &tag, 9, ""));

    assert_eq!(statuses(&bench.feed(CARRIER, &in_dialog("BYE", &tag, 8, ""))), [500]);
    assert_eq!(bench.endpoint.legs(), 1);
}

#[test]
fn an_extension_we_do_not_have_is_named() {
    let mut bench = Bench::new();

    let sent =
        bench.feed(CARRIER, &request("INVITE", "i1", "", 1, &with_sdp("Require: 100rel, x\r\n")));

    let no = response_in(&sent);
    assert_eq!((no.status, no.headers.text("Unsupported")), (420, Some("100rel, x")));
    assert!(bench.events().is_empty());
}

#[test]
fn a_bye_of_another_dialog_is_of_nobody() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    let other_caller = in_dialog("BYE", &tag, 2, "").replace("tag=theirs", "tag=forged");
    let other_call = in_dialog("BYE", &tag, 3, "").replace("call@", "other@");

    for bye in [other_caller, other_call, in_dialog("BYE", "wrong", 4, "")] {
        assert_eq!(statuses(&bench.feed(CARRIER, &bye)), [481]);
    }
    assert!(bench.events().is_empty());
}

#[test]
fn all_ids_right_from_another_peer_is_a_forgery() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    let bye = in_dialog("BYE", &tag, 2, "");

    assert_eq!(bench.feed(STRANGER, &bye), []);
    assert_eq!(statuses(&bench.feed(PHONE, &bye)), [481]);
    assert!(bench.events().is_empty());
    // Another address of the same trunk is the same peer.
    let other_branch = bye.replace("z9hG4bKBYE2", "z9hG4bKBYE3");
    assert_eq!(statuses(&bench.feed("192.0.2.99:5060", &other_branch)), [200]);
}

#[test]
fn what_is_no_session_description_is_refused_before_anybody_hears_of_it() {
    let mut bench = Bench::new();
    let text = format!("Content-Type: text/plain\r\n{BODY}hello");
    let broken = format!("Content-Type: application/sdp\r\n{BODY}v=nothing");

    let other_type = response_in(&bench.feed(CARRIER, &request("INVITE", "a", "", 1, &text)));
    let no_sdp = bench.feed(CARRIER, &request("INVITE", "b", "", 2, &broken));

    assert_eq!((other_type.status, other_type.headers.text("Accept")), (415, Some(body_type())));
    assert_eq!(statuses(&no_sdp), [400]);
    assert!(bench.events().is_empty());
}

fn body_type() -> &'static str {
    crate::dialog::body::SDP
}

#[test]
fn a_scheme_we_cannot_call_is_refused() {
    let mut bench = Bench::new();
    let to =
        |uri: &str| invite().replace("INVITE sip:+5411@198.51.100.1 ", &format!("INVITE {uri} "));

    assert_eq!(statuses(&bench.feed(CARRIER, &to("mailto:a@b"))), [416]);
    let tel = to("tel:+5411").replace("CSeq: 1", "CSeq: 2").replace("Ki1", "Ki2");
    assert_eq!(statuses(&bench.feed(CARRIER, &tel)), [100]);
}

#[test]
fn more_streams_than_we_take_are_not_acceptable_and_no_bad_request() {
    let mut bench = Bench::new();
    let many = SDP.to_owned() + &"m=audio 4002 RTP/AVP 8\r\n".repeat(1000);
    let lines = format!("Content-Type: application/sdp\r\n{BODY}{many}");

    let no = response_in(&bench.feed(CARRIER, &request("INVITE", "i1", "", 1, &lines)));

    assert_eq!(no.status, 488);
    assert_eq!(no.headers.text("Warning"), Some("399 clavija.test \"more than 128 m= lines\""));
    assert_eq!(bench.endpoint.counters().parse_errors["sdp_media_count"], 1);
}
