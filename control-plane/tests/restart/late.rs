//! What was on its way when the process died, and what hostile peers make the next one write.

use super::*;

/// A second branch of the fork at Ana's says 200 as well.
fn forked(invite: &Said, tag: &str) -> String {
    invite.answer(200, SDP).replace(";tag=phone", &format!(";tag={tag}"))
}

fn sequence(said: &Said) -> u32 {
    said.header("CSeq").split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn the_late_copy_of_an_invite_whose_call_was_over_before_the_crash_makes_no_second_call() {
    let mut process = Process::new();
    let said = process.call("one");
    let tag = one(&said, "SIP/2.0 480 ").to_tag();
    process.feed(CARRIER, &carrier_request("ACK", "one", &tag, 1, ""));

    let (process, _) = process.killed(SECOND, &ONE_ORDER);
    // A segment that begins meanwhile knows of it too.
    let (mut process, _) = process.killed(10 * SECOND, &ONE_ORDER);
    let said = process.call("one");

    one(&said, "SIP/2.0 482 ");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(process.exchange.board().is_idle() && process.cdrs.is_empty());
    process.pass(32 * SECOND);
    one(&process.call("one"), "SIP/2.0 480 ");
    assert_eq!(process.cdrs.len(), 1, "32 s after the end of its call it is a new one");
}

#[test]
fn without_a_crash_the_copy_of_an_invite_that_outlives_its_transaction_makes_no_second_call_either()
{
    let mut process = Process::new();
    let said = process.call("one");
    let tag = one(&said, "SIP/2.0 480 ").to_tag();
    process.feed(CARRIER, &carrier_request("ACK", "one", &tag, 1, ""));
    // RFC 3261 §17.2.1, Timer I: the transaction is gone.
    process.pass(6 * SECOND);

    let said = process.call("one");

    one(&said, "SIP/2.0 482 ");
    assert_eq!(process.cdrs.len(), 1);
}

#[test]
fn a_new_try_of_a_caller_who_was_refused_before_the_crash_is_taken() {
    let mut process = Process::new();
    let said = process.call("one");
    let tag = one(&said, "SIP/2.0 480 ").to_tag();
    process.feed(CARRIER, &carrier_request("ACK", "one", &tag, 1, ""));

    let (mut process, _) = process.killed(SECOND, &ONE_ORDER);
    let again = carrier_request("INVITE", "one", "", 2, SDP).replace("z9hG4bK", "z9hG4bKx");
    let said = process.feed(CARRIER, &again);

    one(&said, "SIP/2.0 480 ");
}

#[test]
fn the_second_200_of_a_fork_is_acknowledged_and_ended_by_the_second_process_after() {
    let mut process = Process::new();
    process.register();
    let invite = process.talk("one");
    let (mut process, said) = process.killed(SECOND, &ONE_ORDER);
    let bye = all(&said, "BYE ", ANA)[0].clone();
    process.feed(ANA, &bye.answer(200, ""));
    assert!(matches!(process.seat(0), Seat::Free { .. }));

    let (mut process, _) = process.killed(SECOND, &ONE_ORDER);
    let said = process.feed(ANA, &forked(&invite, "other"));

    assert_eq!((all(&said, "ACK ", ANA).len(), all(&said, "BYE ", ANA).len()), (1, 1), "{said:#?}");
    let bye = one(&said, "BYE ").clone();
    process.feed(ANA, &bye.answer(200, ""));
    process.pass(100 * SECOND);
    assert!(process.exchange.is_idle());
    assert_eq!(process.exchange.memory(process.now).legs().count(), 0);
}

#[test]
fn no_number_of_a_request_is_used_again_in_its_dialog_however_often_the_box_dies() {
    let mut process = Process::new();
    process.register();
    let invite = process.talk("one");
    let said = process.feed(ANA, &forked(&invite, "other"));
    let mut last = sequence(one(&said, "BYE "));

    for _ in 0..3 {
        let (next, said) = process.killed(SECOND, &ONE_ORDER);
        process = next;
        let said = match all(&said, "BYE ", ANA).iter().any(|bye| bye.to_tag() == "other") {
            true => said,
            // Its BYE was answered: only a late 200 brings it back.
            false => process.feed(ANA, &forked(&invite, "other")),
        };
        let byes = all(&said, "BYE ", ANA);
        let bye = (*byes.iter().find(|bye| bye.to_tag() == "other").unwrap()).clone();
        assert!(sequence(&bye) > last, "{} after {last}", sequence(&bye));
        last = sequence(&bye);
        process.feed(ANA, &bye.answer(200, ""));
    }
}

#[test]
fn a_caller_who_has_moved_gets_the_bye_of_the_next_process_there() {
    let mut process = Process::new();
    process.register();
    let ok = one(&process.call("one"), "SIP/2.0 200 ").clone();
    process.feed(CARRIER, &carrier_request("ACK", "one", &ok.to_tag(), 1, ""));
    let before = process.log.bytes().len();
    let update = carrier_request("UPDATE", "one", &ok.to_tag(), 2, "");
    let update = update.replace(&format!("Contact: <sip:{CARRIER}>"), "Contact: <sip:b@192.0.2.1>");
    one(&process.feed(CARRIER, &update), "SIP/2.0 200 ");
    let written = process.log.bytes().len() - before;
    assert!(written < update.len(), "{written} bytes for {}", update.len());

    let (_, said) = process.killed(SECOND, &ONE_ORDER);

    assert!(all(&said, "BYE ", CARRIER)[0].text.starts_with("BYE sip:b@192.0.2.1 "), "{said:#?}");
}

/// Bytes of journal for each byte that came, at most, whoever sends it and whatever.
const WRITTEN_FOR_EACH: f64 = 8.0;

#[test]
fn what_is_asked_inside_a_call_writes_next_to_nothing() {
    let mut process = Process::new();
    process.register();
    let ok = one(&process.call("one"), "SIP/2.0 200 ").clone();
    process.feed(CARRIER, &carrier_request("ACK", "one", &ok.to_tag(), 1, ""));
    let before = process.log.bytes().len();
    let mut came = 0;

    for sequence in 2..2_000 {
        let method = ["INFO", "OPTIONS", "UPDATE", "INVITE"][sequence as usize % 4];
        let body = if sequence % 4 == 3 { SDP } else { "" };
        let request = carrier_request(method, "one", &ok.to_tag(), sequence, body);
        let request = request.replace("branch=z9hG4bK", &format!("branch=z9hG4bK{sequence}"));
        let request = request.replace(
            &format!("Contact: <sip:{CARRIER}>"),
            &format!("Contact: <sip:{sequence}@{CARRIER}>"),
        );
        came += request.len();
        process.feed(CARRIER, &request);
        process.pass(SECOND / 20);
        process.feed(CARRIER, &carrier_request("ACK", "one", &ok.to_tag(), sequence, ""));
    }

    let written = process.log.bytes().len() - before;
    assert!(written * 2 < came, "{written} bytes for {came}");
}

/// Bytes of journal for each byte that comes in calls of which this is in every INVITE; the box ends
/// them by dying.
fn amplification(header: &str) -> f64 {
    let mut process = Process::new();
    process.register();
    let (mut came, mut written) = (0, 0);
    for call in 0..8 {
        let name = format!("call{call}");
        let invite = carrier_request("INVITE", &name, "", 1, SDP);
        let invite = invite.replace("Contact:", &format!("{header}Contact:"));
        let before = process.log.bytes().len();
        let ok = one(&process.feed(CARRIER, &invite), "SIP/2.0 200 ").clone();
        let ack = carrier_request("ACK", &name, &ok.to_tag(), 1, "");
        let bye = carrier_request("BYE", &name, &ok.to_tag(), 2, "");
        process.feed(CARRIER, &ack);
        if call % 2 == 0 {
            let call = process.exchange.board().calls().map(|(id, _)| id).max().unwrap();
            process.exchange.handle_request(Request::HangUp(call), process.now).unwrap();
            process.said();
        }
        process.feed(CARRIER, &bye);
        process.pass(SECOND);
        came += invite.len() + ack.len() + bye.len();
        written += process.log.bytes().len() - before;
    }
    written as f64 / came as f64
}

#[test]
fn whole_calls_write_no_more_than_so_many_times_what_came_also_with_headers_made_to_be_long() {
    // What JSON writes longest of all that may stand in a header.
    let long = format!("Record-Route: \"{}\" <sip:192.0.2.1;lr>\r\n", "\\\\".repeat(4_000));

    for header in ["", &long] {
        let written = amplification(header);
        assert!(written < WRITTEN_FOR_EACH, "{written} bytes for each of {header:.20}");
    }
}

#[test]
fn a_bye_that_only_the_dead_process_heard_is_answered_although_the_phone_has_signed_out_since() {
    let mut process = Process::new();
    process.register();
    let of_ana = |method: &str, tag: &str, sequence: u32, body: &str| {
        let request = carrier_request(method, "own", tag, sequence, body);
        request.replace(CARRIER, ANA).replace("sip:1@192.0.2.1", "sip:1001@192.0.2.1")
    };
    let said = process.feed(ANA, &of_ana("INVITE", "", 1, SDP));
    let tag = one(&said, "SIP/2.0 200 ").to_tag();
    process.feed(ANA, &of_ana("ACK", &tag, 1, ""));
    let bye = of_ana("BYE", &tag, 2, "");
    one(&process.feed(ANA, &bye), "SIP/2.0 200 ");

    let (mut process, _) = process.killed(SECOND, &["bruno"]);

    one(&process.feed(ANA, &bye), "SIP/2.0 481 ");
    let of_nobody = bye.replace("Call-ID: own", "Call-ID: other").replace("z9hG4bK", "z9hG4bKx");
    assert!(process.feed(ANA, &of_nobody).is_empty(), "strangers are told nothing");
    process.pass(32 * SECOND);
    assert!(process.feed(ANA, &bye).is_empty(), "nor is whoever was in a call once");
}

/// The same INVITE by another branch: a proxy tries the next place (RFC 3261 §16.7, step 5).
fn tried_next(name: &str) -> String {
    carrier_request("INVITE", name, "", 1, SDP).replace("z9hG4bK", "z9hG4bKnext")
}

#[test]
fn a_proxy_that_tries_the_next_number_after_a_refusal_is_taken_at_once_later_and_over_a_crash() {
    for (crash, wait) in [(false, 0), (false, 6), (true, 1)] {
        let mut process = Process::new();
        let elsewhere = carrier_request("INVITE", "one", "", 1, SDP).replace("sip:100@", "sip:5@");
        let tag = one(&process.feed(CARRIER, &elsewhere), "SIP/2.0 404 ").to_tag();
        process.feed(CARRIER, &carrier_request("ACK", "one", &tag, 1, ""));
        process.pass(wait * SECOND);
        let mut process = if crash { process.killed(SECOND, &ONE_ORDER).0 } else { process };
        process.register();

        let said = process.feed(CARRIER, &tried_next("one"));

        one(&said, "SIP/2.0 200 ");
        assert_eq!(all(&said, "INVITE ", ANA).len(), 1, "{said:#?}");
    }
}

#[test]
fn before_a_refusal_and_after_a_200_the_same_invite_by_another_branch_is_no_second_call() {
    let mut process = Process::new();
    process.register();
    let said = process.call("one");
    let (ok, invite) = (one(&said, "SIP/2.0 200 ").to_tag(), one(&said, "INVITE ").clone());
    one(&process.feed(CARRIER, &tried_next("one")), "SIP/2.0 482 ");
    process.feed(CARRIER, &carrier_request("ACK", "one", &ok, 1, ""));
    process.feed(ANA, &invite.answer(200, SDP));
    one(&process.feed(CARRIER, &tried_next("one").replace("next", "third")), "SIP/2.0 482 ");

    let (mut process, _) = process.killed(SECOND, &ONE_ORDER);

    one(&process.feed(CARRIER, &tried_next("one")), "SIP/2.0 482 ");
}
