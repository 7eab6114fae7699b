//! A phone that nobody here wrote speaks SRTP with keys by SDES, and its other side does not.
//!
//! Each test has a network of its own, so the contract's fixed ports are free and nothing leaves the machine.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::{Appliance, epoch_ms},
    baresip::{Account, Baresip},
    namespace,
    party::{Caller, Phone, dial_in_vain, loopback},
    tone::{self, Law, RATE},
    wait,
};
use serde_json::Value;
use std::fs;

const CALLER_HZ: f64 = 425.0;
const AGENT_HZ: f64 = 725.0;
const SWITCH_HZ: f64 = 1_350.0;
const SECOND: usize = 50;

/// baresip that refuses to speak plainly.
fn ana(appliance: &Appliance) -> Baresip {
    let account = Account {
        user: "1001",
        password: "only-for-tests-1001",
        codec: "PCMU",
        transport: "udp",
        listen: loopback(31, 6_000),
        registrar: appliance.sip(),
        register_seconds: 60,
        hz: AGENT_HZ,
    };
    let phone = Baresip::start_with(&account, ";mediaenc=srtp-mand");
    appliance.await_agent("ana", "available");
    phone
}

#[test]
fn an_encrypted_phone_is_called_by_a_plain_caller_holds_and_is_recorded() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files_with_srtp(namespace::LAN, "1001", "required");
        let mut ana = ana(&appliance);
        let mut caller = Caller::dial(
            appliance.sip(),
            loopback(2, 5062),
            "+541155550100",
            &[Law::Mu],
            CALLER_HZ,
        );
        caller.await_answer();
        ana.wait_for("CALL_INCOMING");
        ana.tell("accept", "");
        ana.wait_for("CALL_ESTABLISHED");
        appliance.await_call("talking");
        let first = caller.audio.listen(3 * SECOND);
        // A re-INVITE with the same keys.
        ana.tell("hold", "");
        caller.audio.listen(SECOND);
        ana.tell("resume", "");
        let second = caller.audio.listen(3 * SECOND);
        caller.hang_up();
        ana.wait_for("CALL_CLOSED");
        let (_, by_caller) = caller.finish();
        let by_agent = ana.finish();

        for part in [first, second] {
            let later = part.start + part.len() / 2..part.end;
            let heard = by_caller.mostly(later, AGENT_HZ);
            assert!(heard > 0.9, "the agent is heard: {heard}");
        }
        assert_eq!(by_caller.breaks(), [""; 0], "one stream");
        let middle = by_agent.len() / 3..by_agent.len() / 3 + usize::try_from(RATE).unwrap() / 2;
        assert!(tone::share(&by_agent[middle], CALLER_HZ) > 0.5, "the phone hears the caller");
        let record = appliance.await_ended(1).remove(0);
        assert_recording(&appliance, &record);
        assert_nothing_was_forged(&appliance);
        appliance.stop();
    });
}

#[test]
fn an_encrypted_phone_calls_a_plain_switch() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files_with_srtp(namespace::LAN, "1001", "optional");
        let mut ana = ana(&appliance);
        let mut switch = Phone::wait_at("trunk_uas", loopback(11, 5080), Law::Mu, SWITCH_HZ);

        ana.tell("dial", "sip:900001@clavija.test");
        let invite = switch.ring();
        switch.answer();
        ana.wait_for("CALL_ESTABLISHED");
        let at_switch = switch.audio.listen(3 * SECOND);
        ana.tell("hangup", "");
        ana.wait_for("CALL_CLOSED");
        let (_, by_switch) = switch.finish();
        let by_agent = ana.finish();

        assert!(!invite.text.contains("crypto"), "the keys are the phone's alone");
        let later = at_switch.start + at_switch.len() / 2..at_switch.end;
        let heard = by_switch.mostly(later, AGENT_HZ);
        assert!(heard > 0.9, "the agent is heard: {heard}");
        let middle = by_agent.len() / 3..by_agent.len() / 3 + usize::try_from(RATE).unwrap() / 2;
        assert!(tone::share(&by_agent[middle], SWITCH_HZ) > 0.5, "the phone hears the switch");
        appliance.await_ended(1);
        assert_nothing_was_forged(&appliance);
        appliance.stop();
    });
}

#[test]
fn a_plain_caller_of_a_trunk_that_requires_keys_is_refused_with_both_sides_named() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files_with(namespace::LAN, |text| {
            text.replace("name = \"carrier\"\n", "name = \"carrier\"\nsrtp = \"required\"\n")
        });

        let refusal = dial_in_vain(appliance.sip(), loopback(2, 5062), "+541155550101", "8");

        assert_eq!(refusal.status(), Some(488));
        let warning = refusal.header("Warning").unwrap();
        assert!(warning.contains("RTP/AVP offered, RTP/SAVP allowed"), "{warning}");
        appliance.stop();
    });
}

fn assert_nothing_was_forged(appliance: &Appliance) {
    let metrics = appliance.metrics();
    for reason in ["srtp_auth", "replay"] {
        let dropped = metrics.sum("clavija_rtp_dropped_total", &[("reason", reason)]);
        assert_eq!(dropped, 0.0, "{reason}");
    }
    // What is written down or logged of the call has none of its keys.
    for text in [appliance.log(), journal(appliance)] {
        assert!(!text.contains("inline:") && !text.contains("crypto"), "no key is written down");
    }
}

fn journal(appliance: &Appliance) -> String {
    let files = fs::read_dir(appliance.folder().join("data/journal")).unwrap();
    let text: String = files
        .map(|file| String::from_utf8_lossy(&fs::read(file.unwrap().path()).unwrap()).into_owned())
        .collect();
    assert!(text.contains("1001"), "this is the journal");
    text
}

/// Left the caller, right the agent.
fn assert_recording(appliance: &Appliance, record: &Value) {
    let id = record["recording_id"].as_str().expect("the call was recorded");
    let talk_ms = epoch_ms(&record["ended_at"]) - epoch_ms(&record["bridged_at"]);
    let recording = wait::until("the recording to be written", || {
        let bytes = appliance.get_bytes(&format!("recordings/{id}/audio"));
        Some(tone::read_recording(&bytes)).filter(|r| r.length_ms() >= talk_ms - 20.0)
    });
    // The first of the talk, before the hold.
    let early = |side: &[i16]| side[side.len() / 8..side.len() / 3].to_vec();
    let (left, right) = (early(&recording.left), early(&recording.right));
    assert!(tone::best_half_second(&left, CALLER_HZ) > 0.9, "the caller stands left");
    assert!(tone::best_half_second(&right, AGENT_HZ) > 0.9, "the agent stands right");
    assert!(tone::share(&right, CALLER_HZ) < 0.01, "the caller does not stand right");
}
