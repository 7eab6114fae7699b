//! A hundred callers at once for two agents who answer, decline, ignore and hang up as they please.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance,
    namespace,
    party::{loopback, register},
    sipp::{Script, Sipp},
    tone::Law,
    trace::{Message, Way, ladder, second_call},
    wait,
};
use serde_json::Value;
use std::net::{SocketAddr, UdpSocket};

const CALLERS: u32 = 100;
const AGENTS: [(&str, &str, u8); 2] = [("ana", "1001", 31), ("bruno", "1002", 32)];

const SITE: &str = r#"
schema = "clavija/v1"

[[trunk]]
name = "carrier"
peers = ["127.0.0.3"]
calls_max = 200
pstn = true

[[agent]]
name = "ana"
extension = "1001"
password = "only-for-tests-1001"

[[agent]]
name = "bruno"
extension = "1002"
password = "only-for-tests-1002"

[[music]]
name = "waltz"
file = "music/waltz.wav"

[[team]]
name = "support"
agents = ["ana", "bruno"]
channels = ["sip"]
strategy = "longest-idle"
music = "waltz"
ring_seconds = 2
wrap_up_seconds = 0
set_aside_seconds = 1
record = true

[[number]]
number = "+541155550100"
team = "support"
"#;

#[test]
fn no_agent_ever_has_two_of_a_hundred_callers_and_every_caller_is_served_or_leaves_by_choice() {
    namespace::inside(|| a_hundred_call(1));
}

#[test]
fn with_two_media_threads_too_no_agent_ever_has_two_of_a_hundred_callers() {
    namespace::inside(|| a_hundred_call(2));
}

fn a_hundred_call(threads: u32) {
    let appliance = Appliance::on_site_with_threads(SITE, "12000-12999", threads);
    let phones: Vec<Sipp> = AGENTS.iter().map(|agent| phone_of(&appliance, agent)).collect();
    let ear = UdpSocket::bind(loopback(3, 0)).unwrap();

    let callers = Sipp::start(
        Script::new("carrier_crowd", loopback(3, 5060))
            .to(appliance.sip())
            .calls(CALLERS)
            .key("from", "+541144440000")
            .audio(ear.local_addr().unwrap().port(), &[Law::A])
            .arg("-s")
            .arg("+541155550100")
            .arg("-r")
            .arg(CALLERS.to_string())
            .arg("-l")
            .arg(CALLERS.to_string()),
    );
    // Every caller's own scenario ends well: answered, then gone by choice or hung up on.
    callers.finish();
    let records = appliance.await_ended(CALLERS.try_into().unwrap());

    for (phone, (name, ..)) in phones.iter().zip(AGENTS) {
        assert_one_call_at_a_time(name, &phone.trace());
        assert_eq!(phone.surprises(), "", "{name}'s phone met what no phone should");
    }
    assert_enough_happened(&phones, &records);
    assert_nothing_leaked(&appliance);
    assert!(!hears_anything_new(&ear), "music after the end of the last call");
    appliance.stop();
}

/// Registers and then takes whatever comes: more calls at once than any phone should get.
fn phone_of(appliance: &Appliance, &(name, extension, last): &(&str, &str, u8)) -> Sipp {
    let local: SocketAddr = loopback(last, 5060);
    register(appliance.sip(), extension, &format!("only-for-tests-{extension}"), local, 3_600);
    let script = Script::new("phone_random", local).calls(1_000_000).arg("-l").arg("50");
    let phone = Sipp::start(script.audio(40_000 + u16::from(last) * 2, &[Law::A]));
    appliance.await_agent(name, "available");
    phone
}

/// Seen from the phone: its own trace, not what the box says of itself.
fn assert_one_call_at_a_time(name: &str, trace: &[Message]) {
    if let Some(at) = second_call(trace) {
        panic!("{name} got a second call:\n{}", ladder(&trace[..=at]));
    }
}

/// A run that did not reach the interesting states proves nothing.
fn assert_enough_happened(phones: &[Sipp], records: &[Value]) {
    let traces: Vec<Vec<Message>> = phones.iter().map(Sipp::trace).collect();
    let sent = |method: &str, status: u16| -> usize {
        traces.iter().flatten().filter(|m| m.is_response(Way::Sent, method, status)).count()
    };
    let answers = records.iter().filter(|record| !record["bridged_at"].is_null()).count();
    let lapses: usize = records.iter().map(lapses_of).sum();
    let declines = sent("INVITE", 486) + sent("INVITE", 603);
    assert!(answers >= 20, "only {answers} answers, {lapses} lapses, {declines} declines");
    assert!(lapses >= 20, "only {lapses} lapses, {answers} answers, {declines} declines");
    assert!(declines >= 1, "only {declines} declines, {answers} answers, {lapses} lapses");
}

/// How often an agent let this caller's offer lapse, as the story of the call has it.
fn lapses_of(record: &Value) -> usize {
    let lapsed = |event: &&Value| {
        event["event"] == "offer_ended"
            && event["detail"].as_str().unwrap().ends_with("not answered in time")
    };
    record["events"].as_array().unwrap().iter().filter(lapsed).count()
}

fn assert_nothing_leaked(appliance: &Appliance) {
    wait::until("both agents to be free", || {
        let agents = appliance.items("agents");
        agents.iter().all(|agent| agent["state"] == "available").then_some(())
    });
    wait::until("every port to be given back", || {
        let taken = appliance.metrics().sum("clavija_rtp_ports", &[("state", "taken")]);
        (taken == 0.0).then_some(())
    });
    let metrics = appliance.metrics();
    let ended = |end: &str| metrics.sum("clavija_calls_ended_total", &[("end", end)]);
    assert_eq!(ended("completed") + ended("abandoned"), f64::from(CALLERS));
    assert_eq!(metrics.sum("clavija_agent_double_claim_detected_total", &[]), 0.0);
    assert_eq!(metrics.sum("clavija_panics_total", &[]), 0.0);
    assert_eq!(metrics.sum("clavija_calls_active", &[]), 0.0);
    assert_eq!(metrics.sum("clavija_recordings_active", &[]), 0.0);
    assert_eq!(metrics.sum("clavija_queue_waiting", &[]), 0.0);
    assert_eq!(metrics.sum("clavija_recording_frames_dropped_total", &[]), 0.0);
}

/// Empties the socket, then looks whether anything still arrives.
fn hears_anything_new(ear: &UdpSocket) -> bool {
    ear.set_nonblocking(true).unwrap();
    let mut packet = [0; 2_048];
    while ear.recv_from(&mut packet).is_ok() {}
    let patience = std::time::Duration::from_millis(500);
    wait::within(patience, || ear.recv_from(&mut packet).ok()).is_some()
}
