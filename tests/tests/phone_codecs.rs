//! Real phones in every codec, each bridged to each: tones both ways, and the recording right.
//!
//! Both are baresip: one calls from a carrier's address, the other is an agent's phone. They share no line of code with
//! our codecs but libopus itself.

use clavija_tests::{
    appliance::Appliance,
    baresip::{Account, Baresip},
    namespace,
    party::loopback,
    tone::{self, best_half_second},
    wait,
};
use std::{thread, time::Duration};

const CALLER_HZ: f64 = 425.0;
const AGENT_HZ: f64 = 725.0;

fn phone(user: &'static str, host: u8, codec: &'static str, appliance: &Appliance) -> Account {
    let is_agent = user == "1001";
    Account {
        user,
        password: "only-for-tests-1001",
        codec,
        transport: "udp",
        listen: loopback(host, 6_000 + u16::from(host) * 10),
        registrar: appliance.sip(),
        register_seconds: if is_agent { 60 } else { 0 },
        hz: if is_agent { AGENT_HZ } else { CALLER_HZ },
    }
}

/// Every codec of the caller with this one of the agent's phone.
fn each_calls_a_phone_of(codec: &'static str) {
    each_calls_a_phone_with(codec, "");
}

/// The same where more is said of the agent.
fn each_calls_a_phone_with(codec: &'static str, key: &str) {
    let extension = "extension = \"1001\"\n";
    for caller in ["PCMU", "PCMA", "G722", "opus"] {
        let appliance = Appliance::on_contract_files_with(namespace::LAN, |text| {
            text.replace(extension, &format!("{extension}{key}"))
        });
        let mut ana = Baresip::start(&phone("1001", 31, codec, &appliance));
        appliance.await_agent("ana", "available");
        let mut carrier = Baresip::start(&phone("541144440000", 2, caller, &appliance));

        carrier.tell("dial", "sip:+541155550100@clavija.test");
        ana.wait_for("CALL_INCOMING");
        ana.tell("accept", "");
        ana.wait_for("CALL_ESTABLISHED");
        let call = appliance.await_call("talking");
        thread::sleep(Duration::from_secs(3));
        ana.tell("hangup", "");
        carrier.wait_for("CALL_CLOSED");
        let (by_caller, by_agent) = (carrier.finish(), ana.finish());

        assert_eq!(call["agent"], "ana");
        let (caller_heard, agent_heard) =
            (best_half_second(&by_caller, AGENT_HZ), best_half_second(&by_agent, CALLER_HZ));
        assert!(caller_heard > 0.9, "{caller} of {codec} hears {caller_heard}");
        assert!(agent_heard > 0.9, "{codec} of {caller} hears {agent_heard}");
        let record = appliance.await_ended(1).remove(0);
        assert_recording(&appliance, &record, &format!("{caller} and {codec}"));
        appliance.stop();
    }
}

fn assert_recording(appliance: &Appliance, record: &serde_json::Value, who: &str) {
    let id = record["recording_id"].as_str().expect("the call was recorded");
    let recording = wait::until("the recording to be written", || {
        let bytes = appliance.get_bytes(&format!("recordings/{id}/audio"));
        Some(tone::read_recording(&bytes)).filter(|recording| recording.length_ms() >= 2_500.0)
    });
    let middle = |side: &[i16]| side[side.len() / 3..side.len() * 2 / 3].to_vec();
    let (left, right) = (middle(&recording.left), middle(&recording.right));
    let own = best_half_second(&recording.left, CALLER_HZ);
    let other = best_half_second(&recording.right, AGENT_HZ);
    assert!(own > 0.9 && other > 0.9, "{who}: caller left {own}, agent right {other}");
    let (wrong, crossed) = (tone::share(&left, AGENT_HZ), tone::share(&right, CALLER_HZ));
    assert!(wrong < 0.01 && crossed < 0.01, "{who}: {wrong}, {crossed}");
}

#[test]
fn pcmu_is_called_from_every_codec() {
    namespace::inside(|| each_calls_a_phone_of("PCMU"));
}

#[test]
fn pcma_is_called_from_every_codec() {
    namespace::inside(|| each_calls_a_phone_of("PCMA"));
}

#[test]
fn g722_is_called_from_every_codec() {
    namespace::inside(|| each_calls_a_phone_of("G722"));
}

#[test]
fn opus_is_called_from_every_codec() {
    namespace::inside(|| each_calls_a_phone_of("opus"));
}

#[test]
fn opus_of_48_khz_is_called_from_every_codec() {
    let key = "codecs = [\"opus/48000\"]\n";
    namespace::inside(|| each_calls_a_phone_with("opus", key));
}
