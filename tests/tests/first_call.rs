//! The box's main job on the contract's own files: real binary, real SIPp peers, real audio in real time.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::{Appliance, epoch_ms},
    party::{Caller, Phone, dial_in_vain, loopback, register, whoever_rings},
    rtp_peer::Heard,
    tone::{self, Law},
    trace::Way,
    wait,
};
use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, UdpSocket},
    ops::Range,
};

const CALLER_HZ: f64 = 425.0;
const ANA_HZ: f64 = 725.0;
const BRUNO_HZ: f64 = 1_150.0;
const DESK_HZ: f64 = 950.0;
const SWITCH_HZ: f64 = 1_350.0;

/// A second, in packets.
const SECOND: usize = 50;

fn carrier() -> SocketAddr {
    loopback(2, 5062)
}
fn ana() -> SocketAddr {
    loopback(21, 5060)
}
fn bruno() -> SocketAddr {
    loopback(22, 5060)
}

#[test]
fn a_caller_waits_to_the_customers_music_reaches_one_free_agent_and_is_recorded_and_accounted_for()
{
    for threads in [1, 2] {
        let appliance = Appliance::on_contract_files_with_threads(threads);
        sign_in_both(&appliance);
        let phones = both_phones();
        let mut caller = Caller::dial(
            appliance.sip(),
            carrier(),
            "+541155550100",
            &[Law::A, Law::Mu],
            CALLER_HZ,
        );

        caller.await_answer();
        let waiting = caller.audio.listen(2 * SECOND);
        let (mut agent, idle) = whoever_rings(phones.0, phones.1);
        agent.answer();
        let call = appliance.await_call("talking");
        let (at_caller, at_agent) = listen_both(&caller, &agent);
        caller.hang_up();
        let (_, by_caller) = caller.finish();
        let (_, by_agent) = agent.finish();

        let hz = if call["agent"] == "ana" { ANA_HZ } else { BRUNO_HZ };
        assert!(!idle.is_called(), "one caller, one agent");
        assert_hears_music(&appliance, &by_caller, waiting);
        assert_hears(&by_caller, at_caller, hz, CALLER_HZ);
        assert_hears(&by_agent, at_agent, CALLER_HZ, hz);
        assert_eq!(by_caller.breaks(), [""; 0], "one stream from the first note to the last word");
        let record = assert_accounts_agree(
            &appliance,
            &json!({
                "number": "+541155550100", "team": "support", "agent": call["agent"],
                "from": "+541144440000", "end": "completed", "state": "ended", "direction": "inbound",
            }),
        );
        assert_recording(&appliance, &record, hz);
        assert_eq!(record["id"], call["id"]);
        appliance.stop();
    }
}

#[test]
fn a_phone_that_does_not_register_is_reached_at_its_contact() {
    let appliance = Appliance::on_contract_files();
    let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, DESK_HZ);
    // The caller speaks the other law: this call is heard through a decoder and an encoder.
    let mut caller =
        Caller::dial(appliance.sip(), carrier(), "+541155550101", &[Law::Mu], CALLER_HZ);

    caller.await_answer();
    let waiting = caller.audio.listen(2 * SECOND);
    desk.answer();
    let call = appliance.await_call("talking");
    let (at_caller, at_desk) = listen_both(&caller, &desk);
    desk.hang_up();
    let (signalled, by_caller) = caller.finish();
    let (_, by_desk) = desk.finish();

    assert_eq!(call["agent"], "desk");
    assert!(signalled.iter().any(|m| m.is_request(Way::Received, "BYE")), "the desk hung up");
    assert_hears_music(&appliance, &by_caller, waiting);
    assert_hears(&by_caller, at_caller, DESK_HZ, CALLER_HZ);
    assert_hears(&by_desk, at_desk, CALLER_HZ, DESK_HZ);
    assert_eq!(by_caller.breaks(), [""; 0]);
    let record = assert_accounts_agree(
        &appliance,
        &json!({
            "number": "+541155550101", "team": "front", "agent": "desk", "end": "completed",
        }),
    );
    assert_recording(&appliance, &record, DESK_HZ);
    appliance.stop();
}

#[test]
fn a_number_of_the_other_switch_is_passed_on_to_its_trunk_and_not_recorded() {
    let appliance = Appliance::on_contract_files();
    let mut switch = Phone::wait_at("trunk_uas", loopback(11, 5080), Law::Mu, SWITCH_HZ);
    let mut caller =
        Caller::dial(appliance.sip(), carrier(), "900001", &[Law::A, Law::Mu], CALLER_HZ);

    let invite = switch.ring();
    switch.answer();
    caller.await_answer();
    let (at_caller, at_switch) = listen_both(&caller, &switch);
    caller.hang_up();
    let (_, by_caller) = caller.finish();
    let (_, by_switch) = switch.finish();

    assert!(invite.first_line().contains("sip:900001@"), "{}", invite.first_line());
    assert_hears(&by_caller, at_caller, SWITCH_HZ, CALLER_HZ);
    assert_hears(&by_switch, at_switch, CALLER_HZ, SWITCH_HZ);
    let record = assert_accounts_agree(
        &appliance,
        &json!({
            "number": "900001", "agent": null, "team": null, "end": "completed", "recording_id": null,
        }),
    );
    assert_eq!(record["recording_id"], Value::Null);
    assert_eq!(appliance.items("recordings"), Vec::<Value>::new(), "nothing was recorded");
    appliance.stop();
}

#[test]
fn a_call_over_tcp_reaches_an_agent_over_udp_and_ends_by_its_own_connection() {
    let appliance = Appliance::on_contract_files();
    let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, DESK_HZ);
    let mut caller =
        Caller::dial_over_tcp(appliance.sip(), carrier(), "+541155550101", Law::A, CALLER_HZ);

    caller.await_answer();
    desk.answer();
    appliance.await_call("talking");
    let (at_caller, at_desk) = listen_both(&caller, &desk);
    let accepted = appliance
        .metrics()
        .sum("clavija_sip_connections_total", &[("direction", "in"), ("transport", "tcp")]);
    desk.hang_up();
    let (signalled, by_caller) = caller.finish();
    let (_, by_desk) = desk.finish();

    assert_eq!(accepted, 1.0);
    assert!(signalled.iter().any(|m| m.is_request(Way::Received, "BYE")), "by its connection");
    let invites = signalled.iter().filter(|m| m.is_request(Way::Sent, "INVITE")).count();
    assert_eq!(invites, 1, "over TCP nothing is sent twice");
    assert_hears(&by_caller, at_caller, DESK_HZ, CALLER_HZ);
    assert_hears(&by_desk, at_desk, CALLER_HZ, DESK_HZ);
    assert_accounts_agree(&appliance, &json!({ "number": "+541155550101", "end": "completed" }));
    appliance.stop();
}

#[test]
fn a_caller_who_gives_up_while_the_trunk_rings_takes_the_ringing_away() {
    let appliance = Appliance::on_contract_files();
    let mut switch = Phone::wait_at("trunk_uas", loopback(11, 5080), Law::A, SWITCH_HZ);
    let mut caller = Caller::dial_as(
        "carrier_cancel",
        appliance.sip(),
        carrier(),
        "900001",
        &[Law::A],
        CALLER_HZ,
    );
    switch.ring();
    caller.await_progress(180);

    caller.hang_up();

    let (by_caller, _) = caller.finish();
    let (by_switch, _) = switch.finish();
    assert!(by_caller.iter().any(|m| m.is_response(Way::Received, "INVITE", 487)));
    assert!(by_switch.iter().any(|m| m.is_request(Way::Received, "CANCEL")));
    assert_accounts_agree(&appliance, &json!({ "number": "900001", "end": "abandoned" }));
    appliance.stop();
}

#[test]
fn music_bridge_hold_music_and_bridge_again_are_one_stream() {
    for threads in [1, 2] {
        let appliance = Appliance::on_contract_files_with_threads(threads);
        sign_in_both(&appliance);
        let phones = both_phones();
        let mut caller =
            Caller::dial(appliance.sip(), carrier(), "+541155550100", &[Law::A], CALLER_HZ);
        caller.await_answer();
        let waiting = caller.audio.listen(2 * SECOND);
        let (mut agent, _idle) = whoever_rings(phones.0, phones.1);
        agent.answer();
        let call = appliance.await_call("talking");
        let id = call["id"].as_str().unwrap().to_owned();
        let hz = if call["agent"] == "ana" { ANA_HZ } else { BRUNO_HZ };

        let (first_talk, _) = listen_both(&caller, &agent);
        assert_eq!(appliance.post(&format!("calls/{id}/actions/hold"), &json!({})), 202);
        appliance.await_call("held");
        let (held, agent_alone) = listen_both(&caller, &agent);
        assert_eq!(appliance.post(&format!("calls/{id}/actions/resume"), &json!({})), 202);
        appliance.await_call("talking");
        let (second_talk, _) = listen_both(&caller, &agent);
        caller.hang_up();
        let (_, by_caller) = caller.finish();
        let (by_phone, by_agent) = agent.finish();

        assert_hears_music(&appliance, &by_caller, waiting);
        assert_hears(&by_caller, first_talk, hz, CALLER_HZ);
        assert_hears_music(&appliance, &by_caller, held);
        assert_hears(&by_caller, second_talk, hz, CALLER_HZ);
        assert!(by_agent.share(agent_alone, CALLER_HZ) < 0.05, "a held caller is not heard");
        assert_eq!(
            by_caller.breaks(),
            [""; 0],
            "same SSRC, sequence +1, timestamp +160 throughout"
        );
        assert_eq!(by_caller.sources().len(), 1);
        assert_eq!(by_agent.breaks(), [""; 0]);
        let invites = by_phone.iter().filter(|m| m.is_request(Way::Received, "INVITE")).count();
        assert_eq!(invites, 1, "nobody is sent a re-INVITE to hold");
        appliance.stop();
    }
}

#[test]
fn who_declines_is_set_aside_and_the_next_agent_is_offered_while_the_music_goes_on() {
    let appliance = Appliance::on_contract_files();
    sign_in_both(&appliance);
    let phones = both_phones();
    let mut caller =
        Caller::dial(appliance.sip(), carrier(), "+541155550100", &[Law::A], CALLER_HZ);
    caller.await_answer();
    let (mut unwilling, mut willing) = whoever_rings(phones.0, phones.1);

    unwilling.decline();
    willing.ring();
    let waiting = caller.audio.listen(2 * SECOND);
    willing.answer();
    let call = appliance.await_call("talking");
    let other = if call["agent"] == "ana" { "bruno" } else { "ana" };
    let set_aside = appliance.agent(other);
    willing.hang_up();
    let (_, by_caller) = caller.finish();
    let (declined, _) = unwilling.finish();
    willing.finish();

    assert_eq!((&set_aside["state"], &set_aside["reason"]), (&json!("paused"), &json!("declined")));
    assert!(declined.iter().any(|m| m.is_response(Way::Sent, "INVITE", 486)));
    assert_hears_music(&appliance, &by_caller, waiting);
    assert_eq!(by_caller.breaks(), [""; 0]);
    appliance.stop();
}

#[test]
fn what_cannot_be_put_through_is_refused_by_its_own_code() {
    let appliance = Appliance::on_contract_files();

    let unknown = dial_in_vain(appliance.sip(), carrier(), "+541155559999", "8 0");
    let nobody_in = dial_in_vain(appliance.sip(), carrier(), "+541155550100", "8 0");
    sign_in_both(&appliance);
    let no_codec =
        dial_in_vain(appliance.sip(), carrier(), "+541155550100", "18\r\na=rtpmap:18 G729/8000");

    assert_eq!(unknown.status(), Some(404));
    assert_eq!(nobody_in.status(), Some(480));
    assert_eq!(no_codec.status(), Some(488));
    let warning = no_codec.header("Warning").unwrap_or_default();
    assert!(warning.contains("G729") && warning.contains("PCMA"), "names both sides: {warning:?}");
    appliance.stop();
}

#[test]
fn a_stranger_gets_no_answer_at_all() {
    let appliance = Appliance::on_contract_files();
    let stranger = UdpSocket::bind(loopback(66, 0)).unwrap();
    let known = UdpSocket::bind(loopback(2, 0)).unwrap();
    known.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    let before = appliance.metrics().sum("clavija_sip_rejected_total", &[]);

    for (number, method) in (1..).zip(["INVITE", "OPTIONS", "BYE", "NOTIFY", "NONSENSE"]) {
        stranger.send_to(request(method, &stranger, number).as_bytes(), appliance.sip()).unwrap();
    }
    known.send_to(request("OPTIONS", &known, 9).as_bytes(), appliance.sip()).unwrap();

    // Datagrams are taken in order: when the known peer is answered, the stranger has had its turn.
    let mut answer = [0; 4_096];
    let (length, _) = known.recv_from(&mut answer).unwrap();
    assert!(answer[..length].starts_with(b"SIP/2.0 200"), "{}", String::from_utf8_lossy(&answer));
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv_from(&mut answer).is_err(), "{}", String::from_utf8_lossy(&answer));
    wait::until("every one of the five to be counted", || {
        let now = appliance.metrics().sum("clavija_sip_rejected_total", &[]);
        (now - before >= 5.0).then_some(())
    });
    appliance.stop();
}

#[test]
fn a_drain_refuses_new_calls_and_lets_the_live_one_finish() {
    let mut appliance = Appliance::on_contract_files();
    let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, DESK_HZ);
    let mut caller =
        Caller::dial(appliance.sip(), carrier(), "+541155550101", &[Law::A], CALLER_HZ);
    caller.await_answer();
    desk.answer();
    appliance.await_call("talking");

    appliance.terminate();
    wait::until("the box to say that it is not ready", || {
        (appliance.status_of("readyz") == 503).then_some(())
    });
    let refused = dial_in_vain(appliance.sip(), loopback(2, 5064), "+541155550101", "8 0");
    let (at_caller, at_desk) = listen_both(&caller, &desk);
    caller.hang_up();
    let (_, by_caller) = caller.finish();
    let (_, by_desk) = desk.finish();
    appliance.await_exit();

    assert_eq!(refused.status(), Some(503));
    assert!(refused.header("Retry-After").is_some());
    assert_hears(&by_caller, at_caller, DESK_HZ, CALLER_HZ);
    assert_hears(&by_desk, at_desk, CALLER_HZ, DESK_HZ);
}

/// Both agents' phones register, as themselves, and are signed in.
fn sign_in_both(appliance: &Appliance) {
    register(appliance.sip(), "1001", "only-for-tests-1001", ana(), 600);
    register(appliance.sip(), "1002", "only-for-tests-1002", bruno(), 600);
    appliance.await_agent("ana", "available");
    appliance.await_agent("bruno", "available");
}

fn both_phones() -> (Phone, Phone) {
    (
        Phone::wait_at("phone_answer", ana(), Law::A, ANA_HZ),
        Phone::wait_at("phone_answer", bruno(), Law::A, BRUNO_HZ),
    )
}

/// Two seconds at each end, after half a second that the change may take to get there.
fn listen_both(caller: &Caller, other: &Phone) -> (Range<usize>, Range<usize>) {
    caller.audio.listen(SECOND / 2);
    other.audio.listen(SECOND / 2);
    (caller.audio.listen(2 * SECOND), other.audio.listen(2 * SECOND))
}

fn assert_hears(heard: &Heard, part: Range<usize>, other_hz: f64, own_hz: f64) {
    let (other, own) = (heard.mostly(part.clone(), other_hz), heard.share(part, own_hz));
    assert!(other > 0.9, "the other's {other_hz} Hz has a share of {other}");
    assert!(own < 0.01, "the own {own_hz} Hz comes back with a share of {own}");
}

fn assert_hears_music(appliance: &Appliance, heard: &Heard, part: Range<usize>) {
    let pcm = heard.pcm(part);
    let end = &pcm[pcm.len() - 8_000..];
    let likeness = tone::likeness(end, &appliance.music());
    assert!(likeness > 0.9, "what is heard is the customer's music only to {likeness}");
}

/// The list of calls, the call records and the metrics tell the same of the one call there was.
fn assert_accounts_agree(appliance: &Appliance, expected: &Value) -> Value {
    let records = appliance.await_ended(1);
    let calls = appliance.items("calls?state=ended");
    assert_eq!((calls.len(), records.len()), (1, 1));
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&calls[0][key], value, "`{key}` of the call {}", calls[0]);
        if key != "state" {
            assert_eq!(&records[0][key], value, "`{key}` of the record {}", records[0]);
        }
    }
    for key in ["id", "started_at", "answered_at", "bridged_at", "ended_at", "recording_id"] {
        assert_eq!(calls[0][key], records[0][key], "`{key}` of call and record");
    }
    assert_eq!(cdr_files(appliance), records, "the files hold what the API says");
    let end = expected["end"].as_str().unwrap();
    let metrics = appliance.metrics();
    assert_eq!(metrics.sum("clavija_calls_ended_total", &[]), 1.0);
    assert_eq!(metrics.sum("clavija_calls_ended_total", &[("end", end), ("channel", "sip")]), 1.0);
    assert_eq!(metrics.sum("clavija_calls_active", &[]), 0.0);
    assert_eq!(metrics.sum("clavija_recordings_active", &[]), 0.0);
    assert_eq!(metrics.sum("clavija_agent_double_claim_detected_total", &[]), 0.0);
    records[0].clone()
}

/// The lines of `data_dir/cdr/YYYY-MM-DD.jsonl`.
fn cdr_files(appliance: &Appliance) -> Vec<Value> {
    let mut files: Vec<_> =
        fs::read_dir(appliance.folder().join("data/cdr")).unwrap().map(Result::unwrap).collect();
    files.sort_by_key(fs::DirEntry::file_name);
    let text: String = files.iter().map(|file| fs::read_to_string(file.path()).unwrap()).collect();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Stereo, the caller left, the agent right, as long as they talked.
fn assert_recording(appliance: &Appliance, record: &Value, agent_hz: f64) {
    let id = record["recording_id"].as_str().expect("the call was recorded");
    let talk_ms = epoch_ms(&record["ended_at"]) - epoch_ms(&record["bridged_at"]);
    // The writer has a thread of its own and may still be at the last quarter of a second.
    let recording = wait::until("the recording to be written", || {
        let bytes = appliance.get_bytes(&format!("recordings/{id}/audio"));
        Some(tone::read_recording(&bytes)).filter(|r| r.length_ms() >= talk_ms - 20.0)
    });
    let length_ms = recording.length_ms();
    assert!((length_ms - talk_ms).abs() <= 20.0, "{length_ms} ms recorded of {talk_ms} ms");
    let middle = |side: &[i16]| side[side.len() / 3..side.len() * 2 / 3].to_vec();
    let (left, right) = (middle(&recording.left), middle(&recording.right));
    assert!(tone::mostly(&left, CALLER_HZ) > 0.9, "the caller stands left");
    assert!(tone::share(&left, agent_hz) < 0.01, "the agent does not stand left");
    assert!(tone::mostly(&right, agent_hz) > 0.9, "the agent stands right");
    assert!(tone::share(&right, CALLER_HZ) < 0.01, "the caller does not stand right");
}

fn request(method: &str, from: &UdpSocket, number: u32) -> String {
    let local = from.local_addr().unwrap();
    format!(
        "{method} sip:+541155550101@127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {local};branch=z9hG4bK-known-{number}\r\n\
         From: <sip:somebody@{local}>;tag=a{number}\r\n\
         To: <sip:+541155550101@127.0.0.1>\r\n\
         Call-ID: {number}-{local}\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:somebody@{local}>\r\n\
         Max-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    )
}
