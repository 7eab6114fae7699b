//! A number for which nobody is there: what a real caller hears of it, and what the box says.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance,
    party::{Caller, loopback},
    rtp_peer::Heard,
    tone::{self, Law},
    trace::Way,
};
use serde_json::Value;

/// The waltz lasts six seconds.
const MESSAGE: usize = 300;
/// What a far side has not played yet, and what two threads may be late.
const TAIL: std::ops::Range<usize> = 10..40;

/// Nobody is ever there.
fn site(answer: &str) -> String {
    format!(
        r#"
schema = "clavija/v1"
[[trunk]]
name = "carrier"
peers = ["127.0.0.2"]
calls_max = 10
[[agent]]
name = "desk"
extension = "1003"
contact = "sip:1003@127.0.0.12:5070"
[[music]]
name = "closed"
file = "music/waltz.wav"
[[hours]]
name = "never"
time_zone = "America/Argentina/Buenos_Aires"
[[team]]
name = "front"
agents = ["desk"]
answer = "{answer}"
hours = "never"
closed = {{ message = "closed" }}
[[number]]
number = "100"
team = "front"
"#
    )
}

/// All of the message from its first sample to its last, once, and silence behind it.
fn assert_hears_the_message(appliance: &Appliance, heard: &Heard) {
    let music = appliance.music();
    let packets = heard.packets.len();
    let all = tone::likeness(&heard.pcm(0..MESSAGE), &music);
    let last = music.len() - 25 * 160;
    let end = tone::likeness(&heard.pcm(MESSAGE - 25..MESSAGE), &music[last..]);
    assert!(all > 0.9 && end > 0.9, "like the message: {all:.3}, its last half second: {end:.3}");
    let tail = heard.pcm(MESSAGE..packets);
    assert!(tail.iter().all(|sample| sample.abs() < 64), "something is heard behind it");
    assert!(TAIL.contains(&(packets - MESSAGE)), "{packets} packets came");
    assert_eq!(heard.breaks(), [""; 0]);
}

/// Its story, from the first step that is about the door.
fn story(appliance: &Appliance, id: &Value) -> Vec<String> {
    let call = appliance.get(&format!("calls/{}", id.as_str().unwrap()));
    let word = |event: &Value| event["event"].as_str().unwrap().to_owned();
    let all: Vec<_> = call["events"].as_array().unwrap().iter().map(word).collect();
    let door = all.iter().position(|event| event == "door").unwrap();
    all[door..].to_vec()
}

#[test]
fn a_closed_number_is_answered_heard_to_the_last_sample_of_its_message_and_hung_up() {
    let appliance = Appliance::on_site(&site("at_once"), "26000-26019");
    let hours = &appliance.items("hours")[0];
    assert_eq!((&hours["state"], &hours["until"]), (&"closed".into(), &Value::Null));
    assert_eq!((&hours["team_names"][0], &hours["by"]), (&"front".into(), &"its week".into()));

    let mut caller = Caller::dial(appliance.sip(), loopback(2, 5072), "100", &[Law::A], 425.0);
    caller.await_answer();
    assert_eq!(appliance.await_call("flow")["team"], "front");
    let (signalled, heard) = caller.finish();

    assert!(signalled.iter().any(|m| m.is_request(Way::Received, "BYE")), "it is let go");
    assert_hears_the_message(&appliance, &heard);
    let record = &appliance.await_ended(1)[0];
    assert_eq!((&record["end"], &record["end_reason"]), (&"unreachable".into(), &"closed".into()));
    assert!(record["answered_at"].is_string() && record["bridged_at"].is_null(), "{record}");
    let steps = ["door", "answered", "hearing", "heard", "over", "ended"];
    assert_eq!(story(&appliance, &record["id"]), steps);
    appliance.stop();
}

#[test]
fn a_closed_number_that_answers_with_its_agent_is_heard_before_the_answer_and_refused() {
    let appliance = Appliance::on_site(&site("with_agent"), "26020-26039");

    let caller = Caller::dial_as(
        "carrier_refused",
        appliance.sip(),
        loopback(2, 5073),
        "100",
        &[Law::A],
        425.0,
    );
    let (signalled, heard) = caller.finish();

    let answers = signalled.iter().filter(|m| m.way == Way::Received && m.status() > Some(100));
    let answers: Vec<_> = answers.filter_map(|m| m.status()).collect();
    assert_eq!((answers.first(), answers.last()), (Some(&183), Some(&480)), "{answers:?}");
    assert_hears_the_message(&appliance, &heard);
    let record = &appliance.await_ended(1)[0];
    assert!(record["answered_at"].is_null(), "waiting for nobody is not billed: {record}");
    assert_eq!(record["end_reason"], "closed");
    appliance.stop();
}
