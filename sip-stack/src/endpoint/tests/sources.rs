//! Who may speak: trunks, phones and strangers; limits, draining, registration.

use super::*;

pub(super) fn register(lines: &str, sequence: u32) -> String {
    format!(
        "REGISTER sip:clavija.test SIP/2.0\r\n\
         Via: SIP/2.0/UDP 100.64.0.1:5060;branch=z9hG4bKr{sequence};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:1001@clavija.test>;tag=r\r\nTo: <sip:1001@clavija.test>\r\nCall-ID: reg1\r\n\
         CSeq: {sequence} REGISTER\r\nContact: <sip:1001@100.64.0.1:5060>\r\n{lines}\
         Content-Length: 0\r\n\r\n"
    )
}

/// REGISTER as SIPp does it: first without, then with MD5.
pub(super) fn signed(challenge: &Response, lines: &str) -> String {
    let value = challenge.headers.text("WWW-Authenticate").unwrap();
    let (_, rest) = value.split_once("nonce=\"").unwrap();
    let nonce = rest.split('"').next().unwrap();
    let bare = format!(
        "Digest username=\"1001\", realm=\"clavija.test\", nonce=\"{nonce}\", \
         uri=\"sip:198.51.100.1:5060\", qop=auth, nc=00000001, cnonce=\"x\", algorithm=MD5"
    );
    let unsigned = crate::digest::Credentials::parse(&format!("{bare}, response=\"\"")).unwrap();
    let response = unsigned.expected_response("REGISTER", "secret", b"");
    register(&format!("{lines}Authorization: {bare}, response=\"{response}\"\r\n"), 2)
}

#[test]
fn a_stranger_hears_nothing_whatever_it_says() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    let said = [
        invite().replace("z9hG4bKi1", "z9hG4bKs1"),
        request("OPTIONS", "s2", "", 1, ""),
        in_dialog("BYE", &tag, 2, ""),
        request("CANCEL", "i1", "", 1, ""),
        "SIP/2.0 200 OK\r\n\r\n".into(),
        "garbage".into(),
    ];

    for text in &said {
        assert_eq!(bench.feed(STRANGER, text), [], "{text}");
    }
    assert_eq!(bench.endpoint.counters().rejected["unknown_source"], 6);
    assert!(bench.events().is_empty());
}

#[test]
fn a_stranger_may_register_and_is_then_a_phone() {
    let mut bench = Bench::new();
    let challenge = response_in(&bench.feed(STRANGER, &register("", 1)));
    assert_eq!(challenge.status, 401);
    assert!(bench.endpoint.is_idle(), "a challenge costs no state");

    let signed = signed(&challenge, "");
    let ok = response_in(&bench.feed(STRANGER, &signed));
    assert_eq!(ok.status, 200);
    assert_eq!(ok.headers.text("Contact"), Some("<sip:1001@100.64.0.1:5060>;expires=3600"));
    assert_eq!(response_in(&bench.feed(STRANGER, &signed)), ok, "a repeat gets the same");
    assert_eq!(bench.events(), [Event::Registered { user: UserId(0), contacts: 1 }]);

    bench.feed(STRANGER, &invite());
    let Event::Invited { source, .. } = bench.event() else { panic!() };
    assert_eq!(source, Source::Phone(UserId(0)));
    assert_eq!(bench.endpoint.contacts(UserId(0)).len(), 1);
}

#[test]
fn a_registration_ends_and_the_phone_is_a_stranger_again() {
    let mut bench = Bench::new();
    let challenge = response_in(&bench.feed(STRANGER, &register("", 1)));
    bench.feed(STRANGER, &signed(&challenge, "Expires: 30\r\n"));
    bench.events();

    bench.pass(Duration::from_secs(30));

    assert_eq!(bench.events(), [Event::Unregistered { user: UserId(0) }]);
    assert_eq!(bench.feed(STRANGER, &request("OPTIONS", "o", "", 1, "")), []);
}

#[test]
fn a_phone_whose_registration_ended_may_still_end_its_call() {
    let mut bench = Bench::new();
    let challenge = response_in(&bench.feed(STRANGER, &register("", 1)));
    bench.feed(STRANGER, &signed(&challenge, "Expires: 30\r\n"));
    bench.events();
    let leg = bench.invited(STRANGER, &invite());
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    let tag = to_tag(&response_in(&bench.sent()));
    bench.feed(STRANGER, &in_dialog("ACK", &tag, 1, ""));
    bench.pass(Duration::from_secs(60));
    bench.events();

    // Its NAT has given it another port by then.
    let sent = bench.feed("100.64.0.1:6099", &in_dialog("BYE", &tag, 2, ""));

    assert_eq!(statuses(&sent), [200]);
    assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Bye }]);
}

#[test]
fn a_phones_exact_address_is_that_phone_and_its_host_is_not() {
    let mut bench = Bench::new();
    bench.feed(PHONE, &invite());
    let Event::Invited { source, .. } = bench.event() else { panic!() };

    assert_eq!(source, Source::Phone(UserId(1)));
    let mut other = Bench::new();
    assert_eq!(other.feed("203.0.113.7:5071", &invite()), []);
}

#[test]
fn a_phone_inside_a_trunks_network_is_the_phone() {
    let mut settings = config(BOX, "203.0.113.0/24", 1);
    settings.trunks[0].calls_max = 0;
    let mut bench = Bench { endpoint: Endpoint::new(settings), now: Instant::now() };

    bench.feed(PHONE, &invite());

    assert!(matches!(
        bench.events()[..],
        [Event::Invited { source: Source::Phone(UserId(1)), .. }]
    ));
}

#[test]
fn a_full_trunk_refuses_calls_in_both_directions_until_one_ends() {
    let mut bench = Bench::new();
    let call = |at: u32| {
        let text = invite().replace("Call-ID: call@", &format!("Call-ID: call{at}@"));
        text.replace("z9hG4bKi1", &format!("z9hG4bKi{at}"))
    };
    let first = bench.invited(CARRIER, &call(1));
    bench.invited(CARRIER, &call(2));
    let ours = bench.endpoint.invite(call_to(CARRIER, Some(TrunkId(0))), bench.now);
    bench.sent();

    let load = TrunkLoad { calls: 3, calls_max: 3 };
    assert_eq!(bench.endpoint.trunk_loads(), [load]);
    let full = response_in(&bench.feed(CARRIER, &call(3)));
    assert_eq!((full.status, full.headers.text("Retry-After")), (503, Some("5")));
    let refused = bench.endpoint.invite(call_to(CARRIER, Some(TrunkId(0))), bench.now);
    let cause = Cause::Full { limit: Limit::TrunkCalls };
    assert_eq!(bench.events(), [Event::Ended { leg: refused, cause }]);
    assert!(bench.sent().is_empty() && ours != refused);

    bench.feed(CARRIER, &request("CANCEL", "i1", "", 1, "").replace("call@", "call1@"));
    assert_eq!(bench.events(), [Event::Ended { leg: first, cause: Cause::Cancelled }]);
    assert_eq!(statuses(&bench.feed(CARRIER, &call(4))), [100]);
}

#[test]
fn while_draining_new_calls_are_refused_before_they_ring_and_others_go_on() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    bench.endpoint.set_draining(true);

    let fresh = invite().replace("call@", "new@").replace("Ki1", "Ki2");
    let refused = response_in(&bench.feed(CARRIER, &fresh));
    let options = bench.feed(CARRIER, &request("OPTIONS", "o1", "", 1, ""));

    assert_eq!(refused.status, 503);
    assert!(refused.headers.text("Retry-After").is_some());
    assert_eq!(statuses(&options), [503]);
    assert_eq!(statuses(&bench.feed(CARRIER, &in_dialog("BYE", &tag, 2, ""))), [200]);
}

#[test]
fn legs_and_transactions_are_bounded_and_say_so() {
    let mut bench = Bench::new();
    let call = |at: usize| {
        let text = invite().replace("Call-ID: call@", &format!("Call-ID: call{at}@"));
        text.replace("z9hG4bKi1", &format!("z9hG4bKi{at}"))
    };
    for at in 0..8 {
        assert_eq!(statuses(&bench.feed(PHONE, &call(at))), [100]);
    }
    assert_eq!(statuses(&bench.feed(PHONE, &call(8))), [503]);
    assert_eq!(bench.endpoint.counters().rejected["legs_max"], 1);

    for at in 0..100 {
        bench.feed(PHONE, &request("OPTIONS", &format!("o{at}"), "", at, ""));
    }
    assert!(bench.endpoint.txns.len() <= 50);
}

#[test]
fn options_say_what_we_can_do() {
    let mut bench = Bench::new();

    let ok = response_in(&bench.feed(CARRIER, &request("OPTIONS", "o1", "", 1, "")));

    assert_eq!(ok.status, 200);
    for name in ["Allow", "Accept", "Supported", "Server", "Contact"] {
        assert!(ok.headers.text(name).is_some(), "{name}");
    }
}

#[test]
fn other_requests_outside_calls_are_answered_sanely() {
    let cases =
        [("BYE", 481), ("INFO", 481), ("MESSAGE", 405), ("SUBSCRIBE", 405), ("NONSENSE", 501)];
    let mut bench = Bench::new();

    for (method, status) in cases {
        let sent = bench.feed(CARRIER, &request(method, &format!("x{method}"), "", 1, ""));
        assert_eq!(statuses(&sent), [status], "{method}");
    }
}

#[test]
fn what_is_malformed_is_told_to_peers_and_to_nobody_else() {
    let mut bench = Bench::new();
    let broken = request("OPTIONS", "o1", "", 1, "").replace("CSeq: 1 OPTIONS", "CSeq: x");

    let told = response_in(&bench.feed(CARRIER, &broken));
    assert_eq!((told.status, told.reason.as_str()), (400, "Bad Or Missing CSeq"));
    assert_eq!(bench.feed(STRANGER, &broken), []);
    let register = register("", 1).replace("CSeq: 1 REGISTER", "CSeq: x");
    assert_eq!(bench.feed(STRANGER, &register), []);
    assert_eq!(bench.endpoint.counters().parse_errors["cseq"], 2);
}

#[test]
fn a_message_that_is_too_long_is_told_so() {
    let mut settings = config(BOX, "192.0.2.0/24", 1);
    settings.limits.message_bytes = 600;
    let mut bench = Bench { endpoint: Endpoint::new(settings), now: Instant::now() };
    let long = request("OPTIONS", "o1", "", 1, &format!("Subject: {}\r\n", "x".repeat(600)));

    assert_eq!(statuses(&bench.feed(CARRIER, &long)), [513]);
}

#[test]
fn keep_alives_are_counted_and_answered_by_nobody() {
    let mut bench = Bench::new();

    assert_eq!(bench.feed(STRANGER, "\r\n\r\n"), []);
    assert_eq!(bench.endpoint.counters().keep_alives, 1);
}

#[test]
fn answers_go_where_rport_says() {
    let mut bench = Bench::new();
    let from = address("192.0.2.5:9999");
    bench.endpoint.handle_datagram(from, request("OPTIONS", "o1", "", 1, "").as_bytes(), bench.now);

    let sent = bench.endpoint.poll_transmit().unwrap();

    assert_eq!(sent.to, from);
    let text = String::from_utf8(sent.bytes).unwrap();
    assert!(text.contains("rport=9999") && text.contains("received=192.0.2.5"), "{text}");
}

#[test]
fn a_call_from_behind_a_proxy_goes_back_through_it() {
    let mut bench = Bench::new();
    let routed =
        invite().replace("Max-Forwards", "Record-Route: <sip:192.0.2.66:5066;lr>\r\nMax-Forwards");
    let leg = bench.invited("192.0.2.66:5066", &routed);
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    let ok = response_in(&bench.sent());
    assert_eq!(ok.headers.text("Record-Route"), Some("<sip:192.0.2.66:5066;lr>"));
    bench.feed("192.0.2.66:5066", &in_dialog("ACK", &to_tag(&ok), 1, ""));
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);

    let bye = bench.endpoint.poll_transmit().unwrap();

    assert_eq!(bye.to, address("192.0.2.66:5066"));
    let text = String::from_utf8(bye.bytes).unwrap();
    assert!(text.contains("Route: <sip:192.0.2.66:5066;lr>\r\n"), "{text}");
    assert!(text.starts_with("BYE sip:192.0.2.1:5060 "), "{text}");
}

#[test]
fn a_guest_is_known_by_its_socket_and_only_while_it_is_let_in() {
    let (guest, neighbour) = ("100.64.0.1:6000", "100.64.0.1:6001");
    let mut bench = Bench::new();
    let phone = Target {
        uri: "sip:selftest@100.64.0.1:6002".into(),
        to: Flow::udp(address("100.64.0.1:6002")),
    };
    let guests = |trunk, user| Guests { trunk, caller: address(guest), user, phone: phone.clone() };
    let (own_trunk, own_user) = (TrunkId(0), UserId(0));

    assert_eq!(bench.feed(guest, &invite()), []);
    bench.endpoint.admit(Some(guests(own_trunk, own_user)));
    assert_eq!(bench.feed(neighbour, &invite()), [], "the host alone is nobody");
    bench.feed(guest, &invite());
    let events = bench.events();
    assert!(matches!(
        events.as_slice(),
        [Event::Invited { source: Source::Trunk(trunk), .. }] if *trunk == own_trunk
    ));
    assert_eq!(bench.endpoint.contacts(own_user), std::slice::from_ref(&phone));

    let conn = bench.endpoint.handle_accepted(address(guest), bench.now).unwrap();
    let other = invite().replace("z9hG4bKi1", "z9hG4bKi8").replace("Call-ID: ", "Call-ID: y");
    bench.endpoint.handle_stream(conn, other.as_bytes(), bench.now);
    assert_eq!(bench.events(), [], "the same address over TCP is another socket");

    bench.endpoint.admit(None);
    let again = invite().replace("z9hG4bKi1", "z9hG4bKi9").replace("Call-ID: ", "Call-ID: x");
    bench.feed(guest, &again);
    assert_eq!((bench.events(), bench.endpoint.contacts(own_user)), (vec![], vec![]));
}

fn call_number(at: u32) -> String {
    let text = invite().replace("Call-ID: call@", &format!("Call-ID: call{at}@"));
    text.replace("z9hG4bKi1", &format!("z9hG4bKi{at}"))
}

#[test]
fn a_trunk_of_which_thousands_of_calls_come_to_nothing_is_put_off_before_one_more_leaves_a_record()
{
    let mut settings = config(BOX, "192.0.2.0/24", 1);
    settings.limits = Limits::STANDARD;
    let mut bench = Bench { endpoint: Endpoint::new(settings), now: Instant::now() };
    let unknown = Refusal { status: 404, retry_after_seconds: None, warning: None };
    for at in 0..2_000 {
        let leg = bench.invited(CARRIER, &call_number(at));
        bench.endpoint.refuse(leg, unknown.clone(), bench.now);
        assert_eq!(bench.events(), [Event::Ended { leg, cause: Cause::Released }]);
        bench.endpoint.note_fruitless(TrunkId(0), bench.now);
    }
    bench.sent();

    let no = response_in(&bench.feed(CARRIER, &call_number(2_001)));
    assert_eq!((no.status, no.headers.text("Retry-After")), (503, Some("1")));
    assert_eq!(bench.events(), []);
    assert_eq!(bench.endpoint.counters().rejected["fruitless_rate"], 1);

    bench.pass(Duration::from_millis(5));
    bench.invited(CARRIER, &call_number(2_002));
}

#[test]
fn a_trunk_over_its_calls_a_second_is_told_so_before_anything_rings() {
    let mut settings = config(BOX, "192.0.2.0/24", 1);
    settings.trunks[0].calls_per_second_max = Some(2);
    let mut bench = Bench { endpoint: Endpoint::new(settings), now: Instant::now() };
    bench.invited(CARRIER, &call_number(1));
    bench.invited(CARRIER, &call_number(2));

    let no = response_in(&bench.feed(CARRIER, &call_number(3)));
    assert_eq!((no.status, no.headers.text("Retry-After")), (503, Some("1")));
    bench.endpoint.invite(call_to(CARRIER, Some(TrunkId(0))), bench.now);
    assert!(matches!(
        bench.event(),
        Event::Ended { cause: Cause::Full { limit: Limit::TrunkRate }, .. }
    ));
    assert_eq!(bench.endpoint.counters().rejected["calls_per_second_max"], 2);

    bench.pass(Duration::from_secs(1));
    bench.invited(CARRIER, &call_number(4));
}

#[test]
fn a_late_box_refuses_new_calls_and_lets_the_others_go_on() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();
    bench.endpoint.was_late(Duration::from_secs(3), bench.now);

    let no = response_in(&bench.feed(CARRIER, &call_number(2)));
    assert_eq!((no.status, no.headers.text("Retry-After")), (503, Some("5")));
    assert_eq!(statuses(&bench.feed(CARRIER, &in_dialog("BYE", &tag, 2, ""))), [200]);
    assert_eq!(bench.endpoint.counters().rejected["late"], 1);
    bench.events();

    bench.pass(Duration::from_secs(1));
    bench.invited(CARRIER, &call_number(3));
}

#[test]
fn who_guesses_passwords_is_banned_for_longer_than_a_minute_and_heard_when_let_off() {
    let mut bench = Bench::new();
    let heard = (0..30).filter(|&at| guess(&mut bench, STRANGER, at) > 0).count();

    assert_eq!(heard, 20);
    let bans = bench.endpoint.bans(bench.now);
    assert_eq!((bans.len(), bans[0].address), (1, address(STRANGER).ip()));
    bench.pass(Duration::from_secs(500));
    assert_eq!(guess(&mut bench, STRANGER, 40), 0);
    assert!(bench.endpoint.lift_ban(address(STRANGER).ip(), bench.now));
    assert_eq!(guess(&mut bench, STRANGER, 41), 1);
}

#[test]
fn who_is_let_off_is_heard_at_once_and_may_guess_as_often_as_anybody() {
    let mut bench = Bench::new();
    let heard = (0..30).filter(|&at| guess(&mut bench, STRANGER, at) > 0).count();
    assert_eq!(heard, 20);

    assert!(bench.endpoint.lift_ban(address(STRANGER).ip(), bench.now));

    let again = (50..80).filter(|&at| guess(&mut bench, STRANGER, at) > 0).count();
    assert_eq!(again, 20);
}

/// One wrong password from there; how many answers it got.
fn guess(bench: &mut Bench, from: &str, at: usize) -> usize {
    let ask = request("REGISTER", &format!("g{at}"), "", 1, "");
    let challenge = bench.feed(from, &ask);
    let [Message::Response(challenge)] = &challenge[..] else { return challenge.len() };
    let nonce = challenge.headers.text("WWW-Authenticate").unwrap();
    let nonce = nonce.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let wrong = format!(
        "Authorization: Digest username=\"1001\", realm=\"clavija.test\", nonce=\"{nonce}\", \
             uri=\"sip:clavija.test\", response=\"00\"\r\n"
    );
    bench.pass(Duration::from_millis(200));
    bench.feed(from, &request("REGISTER", &format!("h{at}"), "", 2, &wrong)).len()
}
