//! kill -9 in the middle of a recorded call: what is left of it, and what comes after.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance,
    party::{Caller, Phone, loopback, register},
    rtp_peer::{RtpPeer, Says},
    sipp::{Script, Sipp},
    tone::{self, Law},
    trace::{Message, Way, ladder, second_call},
    wait,
};
use serde_json::Value;
use std::{collections::BTreeSet, fs, time::Instant};

const CALLER_HZ: f64 = 425.0;
const DESK_HZ: f64 = 950.0;
const NUMBER: &str = "+541155550101";
/// A second, in packets.
const SECOND: usize = 50;

#[test]
fn a_call_cut_off_by_kill_9_keeps_its_recording_and_has_one_record_that_says_so() {
    let mut appliance = Appliance::on_contract_files();
    let (first, desk, caller) = talk(&appliance, 2 * SECOND);

    appliance.kill_and_start_again();
    let ended = appliance.await_ended(1);
    // Both are hung up on: their scenarios end.
    desk.finish();
    caller.finish();
    let (second, desk, caller) = talk(&appliance, SECOND);
    appliance.kill_and_start_again();
    let all = appliance.await_ended(2);
    desk.finish();
    caller.finish();

    assert_eq!((&ended[0]["id"], &ended[0]["end"]), (&first, &"failed".into()));
    assert_eq!(ended[0]["end_reason"], "restart");
    assert_ne!(first, second, "a call's name is never given again");
    assert_eq!(all.len(), 2, "one record a call, however often the box starts: {all:?}");
    for call in [&first, &second] {
        let file = appliance.folder().join("data/recordings").join(call.as_str().unwrap());
        let recording = tone::read_recording(&fs::read(file.with_extension("wav")).unwrap());
        assert!(recording.length_ms() > 500.0, "{} ms of {call}", recording.length_ms());
        let (left, right) = (&recording.left[1600..], &recording.right[1600..]);
        assert!(
            tone::mostly(left, CALLER_HZ) > 0.9 && tone::mostly(right, DESK_HZ) > 0.9,
            "{call}"
        );
    }
}

#[test]
fn a_call_that_was_told_is_not_told_again_by_a_start_that_finds_only_an_older_journal() {
    let mut appliance = Appliance::on_contract_files();
    let (call, desk, caller) = talk(&appliance, SECOND);
    let journal = appliance.folder().join("data/journal/0000000001.journal");
    let in_the_call = fs::read(&journal).unwrap();
    appliance.post(&format!("calls/{}/actions/hangup", call.as_str().unwrap()), &Value::Null);
    desk.finish();
    caller.finish();
    let told = appliance.await_ended(1);

    appliance.kill_and_start_on(|_| fs::write(&journal, in_the_call).unwrap());

    let found = appliance.items("calls?state=ended");
    assert_eq!(found.len(), 1);
    assert_ne!(found[0]["end_reason"], "restart");
    assert_eq!(found[0]["end_reason"], told[0]["end_reason"]);
    assert_eq!(appliance.await_ended(1), told);
}

/// A call that is being talked: its name, who was called, who calls.
fn talk(appliance: &Appliance, packets: usize) -> (Value, Phone, Caller) {
    let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, DESK_HZ);
    let mut caller = Caller::dial(appliance.sip(), loopback(2, 5062), NUMBER, &[Law::A], CALLER_HZ);
    caller.await_answer();
    desk.answer();
    let call = appliance.await_call("talking");
    caller.audio.listen(packets);
    (call["id"].clone(), desk, caller)
}

// ---- ten calls at once, again and again ----

const CALLS: u8 = 10;

/// How often the box is killed: `CRASHES`, or twice.
fn crashes() -> usize {
    std::env::var("CRASHES").map_or(2, |times| times.parse().expect("CRASHES is a number"))
}

#[test]
fn ten_recorded_calls_survive_kill_9_as_recordings_records_and_byes_and_nobody_has_two() {
    let mut appliance = Appliance::on_site(&ten_agents(), "14000-14999");
    let mut desks: Vec<Desk> = (0..CALLS).map(|desk| Desk::sign_in(&appliance, desk)).collect();
    let mut told: Vec<Value> = vec![];

    for round in 0..crashes() {
        let asked = Instant::now();
        let callers: Vec<Caller> = (0..CALLS).map(|line| dial(&appliance, line)).collect();
        let callers = callers.into_iter().map(|mut caller| {
            caller.await_answer();
            caller
        });
        let callers: Vec<Caller> = callers.collect();
        desks.iter_mut().for_each(|desk| desk.take_call(round));
        let talking = Instant::now();
        callers[0].audio.listen(2 * SECOND);
        let longest = asked.elapsed().as_secs_f64();
        let shortest = talking.elapsed().as_secs_f64();

        appliance.kill_and_start_again();

        // Each side's own scenario ends well: by a BYE that it answers.
        for caller in callers {
            let (trace, _) = caller.finish();
            assert!(trace.iter().any(|m| m.is_request(Way::Received, "BYE")), "a caller hears BYE");
        }
        desks.iter_mut().for_each(|desk| desk.is_hung_up_on(round));
        let records = appliance.await_ended(usize::from(CALLS) * (round + 1));
        assert_eq!(
            records.len(),
            usize::from(CALLS) * (round + 1),
            "one record a call: {records:#?}"
        );
        for record in &records[told.len()..] {
            assert_eq!(
                (&record["end"], &record["end_reason"]),
                (&"failed".into(), &"restart".into())
            );
            let talked = record["talk_seconds"].as_f64().unwrap();
            assert!(
                talked > shortest - 1.0 && talked < longest,
                "{shortest} < {talked} < {longest}"
            );
            assert_recorded(&appliance, record, shortest);
        }
        told.extend(records[told.len()..].iter().map(|record| record["id"].clone()));
        wait::until("every phone to have let go", || {
            let agents = appliance.items("agents");
            agents.iter().all(|agent| agent["state"] == "available").then_some(())
        });
        let metrics = appliance.metrics();
        let orphans =
            |result: &str| metrics.sum("clavija_restart_orphans_total", &[("result", result)]);
        assert_eq!((orphans("found"), orphans("answered")), (20.0, 20.0));
        assert_eq!(metrics.sum("clavija_agent_double_claim_detected_total", &[]), 0.0);
    }

    for desk in &desks {
        let trace = desk.sipp.trace();
        let second = second_call(&trace);
        assert_eq!(second, None, "{} got a second call:\n{}", desk.name, ladder(&trace));
        assert_eq!(desk.sipp.surprises(), "", "{} met what no phone should", desk.name);
    }
    let names: BTreeSet<_> = told.iter().filter_map(Value::as_str).collect();
    assert_eq!(names.len(), usize::from(CALLS) * crashes(), "a call's name is never given again");
}

/// A phone that answers whatever comes, and the voice of who sits there.
struct Desk {
    name: String,
    sipp: Sipp,
    audio: RtpPeer,
}

impl Desk {
    /// Once: it never registers again.
    fn sign_in(appliance: &Appliance, desk: u8) -> Self {
        let (local, name) = (loopback(60 + desk, 5060), format!("agent{desk}"));
        let extension = format!("11{desk:02}");
        register(appliance.sip(), &extension, &format!("only-for-tests-{extension}"), local, 3_600);
        let audio = RtpPeer::open(local.ip(), Law::A, Says::Tone { hz: DESK_HZ });
        let script = Script::new("phone_talk", local).calls(1_000_000).arg("-l").arg("50");
        let sipp = Sipp::start(script.audio(audio.port(), &[Law::A]));
        appliance.await_agent(&name, "available");
        Self { name, sipp, audio }
    }

    /// Waits for the call of this round and begins to speak.
    fn take_call(&mut self, round: usize) {
        let nth = |trace: &[Message], method: &str| {
            trace.iter().filter(|m| m.is_request(Way::Received, method)).nth(round).cloned()
        };
        let invite = self.sipp.look_for("call of this round", |trace| nth(trace, "INVITE"));
        self.sipp.look_for("ACK of this round", |trace| nth(trace, "ACK"));
        self.audio.speak_to(invite.audio().expect("the INVITE has an offer").0);
    }

    fn is_hung_up_on(&mut self, round: usize) {
        let (name, sipp) = (&self.name, &mut self.sipp);
        sipp.look_for(&format!("BYE to {name}"), |trace| {
            trace.iter().filter(|m| m.is_request(Way::Received, "BYE")).nth(round).map(drop)
        });
    }
}

fn dial(appliance: &Appliance, line: u8) -> Caller {
    let local = loopback(3, 5060 + 10 * u16::from(line));
    Caller::dial(appliance.sip(), local, "+541155550100", &[Law::A], CALLER_HZ)
}

/// The recording opens, holds both sides, and misses less than a second of what was said.
fn assert_recorded(appliance: &Appliance, record: &Value, said_seconds: f64) {
    let id = record["id"].as_str().unwrap();
    let file = appliance.folder().join("data/recordings").join(id).with_extension("wav");
    let recording = tone::read_recording(&fs::read(&file).unwrap());
    let seconds = recording.length_ms() / 1_000.0;
    assert!(seconds > said_seconds - 1.0, "{id}: {seconds} s of {said_seconds} s are recorded");
    assert_eq!(record["recording_id"], id, "the record names its recording");
    let frames = record["recording"]["frames"].as_f64().unwrap();
    assert!((frames / 50.0 - seconds).abs() < 0.05, "{frames} frames, {seconds} s");
    // The last second before the kill, both sides.
    let last = recording.left.len().saturating_sub(8_000);
    let (left, right) = (&recording.left[last..], &recording.right[last..]);
    assert!(tone::best_half_second(left, CALLER_HZ) > 0.8, "{id}: the caller to the end");
    assert!(tone::best_half_second(right, DESK_HZ) > 0.8, "{id}: the agent to the end");
}

fn ten_agents() -> String {
    let names = (0..CALLS).map(|desk| format!("\"agent{desk}\"")).collect::<Vec<_>>().join(", ");
    let agents = (0..CALLS).map(|desk| {
        format!(
            "[[agent]]\nname = \"agent{desk}\"\nextension = \"11{desk:02}\"\n\
             password = \"only-for-tests-11{desk:02}\"\n"
        )
    });
    format!(
        "schema = \"clavija/v1\"\n\
         [[trunk]]\nname = \"carrier\"\npeers = [\"127.0.0.3\"]\ncalls_max = 200\npstn = true\n\
         {}\
         [[music]]\nname = \"waltz\"\nfile = \"music/waltz.wav\"\n\
         [[team]]\nname = \"support\"\nagents = [{names}]\nchannels = [\"sip\"]\n\
         strategy = \"longest-idle\"\nmusic = \"waltz\"\nring_seconds = 20\nwrap_up_seconds = 0\n\
         record = true\n\
         [[number]]\nnumber = \"+541155550100\"\nteam = \"support\"\n",
        agents.collect::<String>()
    )
}
