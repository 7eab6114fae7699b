//! Recordings that only the key opens, through the real binary: cut by kill -9, whole, and paused.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::{Appliance, binary},
    folder::TestFolder,
    party::{Caller, Phone, loopback, talk_to_desk},
    tone::{self, Law},
};
use serde_json::Value;
use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

const CALLER_HZ: f64 = 425.0;
const DESK_HZ: f64 = 950.0;
const NUMBER: &str = "+541155550101";
/// A second, in packets.
const SECOND: usize = 50;

fn recording(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("recording").args(arguments).args(["--config", "node.toml"]).current_dir(folder);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[test]
fn a_sealed_recording_cut_by_kill_9_is_read_without_the_box_and_one_that_ended_is_whole() {
    let keys = TestFolder::new("keys");
    let key = keys.join("seal.key");
    fs::write(&key, "0123456789abcdef".repeat(4) + "\n").unwrap();
    fs::write(keys.join("other.key"), "f".repeat(64)).unwrap();
    let mut appliance = Appliance::on_edited_contract_files(|text| {
        let sealed = format!("[recording]\nseal_key = {{ file = {key:?} }}\n");
        text.replace("[recording]\n", &sealed)
    });
    let (first, desk, caller) = talk_to_desk(&appliance, CALLER_HZ, DESK_HZ);
    caller.audio.listen(3 * SECOND);
    let growing = appliance.get(&format!("recordings/{first}/verify"));
    assert_eq!((&growing["condition"], &growing["form"]), (&"growing".into(), &"sealed".into()));

    let mut by_file = vec![];
    appliance.kill_and_start_on(|folder| {
        let file = format!("data/recordings/{first}.sealed");
        let got = recording(folder, &["get", &file, "--to", "got.wav"]);
        assert_eq!(got.status.code(), Some(0), "{}", said(&got));
        assert!(said(&got).contains("the end is missing"), "{}", said(&got));
        by_file = fs::read(folder.join("got.wav")).unwrap();
        let verified = recording(folder, &["verify", &file]);
        assert_eq!(verified.status.code(), Some(1), "{}", said(&verified));
        assert!(said(&verified).contains("the end is missing"), "{}", said(&verified));
        let other = keys.join("other.key");
        let wrong = recording(folder, &["get", &file, "--key", other.to_str().unwrap()]);
        assert_eq!(wrong.status.code(), Some(7), "{}", said(&wrong));
        assert!(said(&wrong).contains("it is sealed with the key "), "{}", said(&wrong));
        let none = recording(folder, &["verify", "data/recordings/call-0fffffff.sealed"]);
        assert_eq!(none.status.code(), Some(3), "{}", said(&none));
    });
    desk.finish();
    caller.finish();
    let cut = &appliance.await_ended(1)[0];
    let (second, desk, caller) = talk_to_desk(&appliance, CALLER_HZ, DESK_HZ);
    caller.audio.listen(2 * SECOND);
    caller.hang_up();
    desk.finish();
    caller.finish();
    appliance.await_ended(2);

    let heard = tone::read_recording(&by_file);
    assert!(heard.length_ms() > 1_500.0, "{} ms", heard.length_ms());
    let tail = heard.left.len() - 8_000;
    assert!(tone::mostly(&heard.left[tail..], CALLER_HZ) > 0.9);
    assert!(tone::mostly(&heard.right[tail..], DESK_HZ) > 0.9);
    assert_eq!(cut["recording"]["frames"].as_u64().unwrap(), (by_file.len() as u64 - 44) / 640);
    let audio = |call: &str| appliance.get_bytes(&format!("recordings/{call}/audio"));
    assert!(audio(&first) == by_file, "by the API it is the same");
    let cut = appliance.get(&format!("recordings/{first}/verify"));
    assert_eq!(cut["condition"], "cut", "{cut}");

    let whole = appliance.get(&format!("recordings/{second}/verify"));
    assert!(whole["condition"] == "whole" && whole["frames_lost"].is_u64(), "{whole}");
    let bytes = audio(&second);
    assert!(tone::mostly(&tone::read_recording(&bytes).left[4_000..12_000], CALLER_HZ) > 0.9);
    let path = format!("recordings/{second}/audio");
    for (range, expected) in [
        ("bytes=0-99", &bytes[..100]),
        ("bytes=20000-60000", &bytes[20_000..=60_000]),
        ("bytes=-1000", &bytes[bytes.len() - 1_000..]),
    ] {
        let (status, part) = appliance.get_range(&path, range);
        assert!(status == 206 && part == expected, "{range}: {status}, {} bytes", part.len());
    }
    let peaks = appliance.get(&format!("recordings/{second}/peaks"));
    assert_loud(&peaks, bytes.len());
    let on_disk: Vec<_> =
        fs::read_dir(appliance.folder().join("data/recordings")).unwrap().collect();
    let names: Vec<_> = on_disk.into_iter().map(|it| it.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name.to_str().unwrap().ends_with(".sealed")), "{names:?}");
    appliance.stop();
}

/// Ten pixels a second of both channels, and they are not flat.
fn assert_loud(peaks: &Value, wav_bytes: usize) {
    let frames = (wav_bytes - 44) / 640;
    assert_eq!(peaks["length"].as_u64().unwrap(), frames.div_ceil(5) as u64);
    let data = peaks["data"].as_array().unwrap();
    assert_eq!(data.len(), 4 * frames.div_ceil(5));
    let middle = &data[20..24];
    assert!(middle.iter().all(|peak| peak.as_i64().unwrap().abs() > 3), "{middle:?}");
}

#[test]
fn a_paused_recording_is_silent_in_between_as_long_as_the_talk_and_the_story_says_so() {
    let appliance = Appliance::on_contract_files();
    let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, DESK_HZ);
    let mut caller = Caller::dial(appliance.sip(), loopback(2, 5062), NUMBER, &[Law::A], CALLER_HZ);
    caller.await_answer();
    let waiting = appliance.items("calls?state=active")[0]["id"].as_str().unwrap().to_owned();
    let act = |call: &str, action: &str| {
        appliance.post(&format!("calls/{call}/actions/{action}"), &Value::Null)
    };
    assert_eq!(act(&waiting, "record_pause"), 409, "nothing is recorded yet");
    desk.answer();
    let call = appliance.await_call("talking")["id"].as_str().unwrap().to_owned();
    caller.audio.listen(2 * SECOND);

    assert_eq!((act(&call, "record_pause"), act(&call, "record_pause")), (202, 202));
    caller.audio.listen(2 * SECOND);
    assert_eq!((act(&call, "record_resume"), act(&call, "record_resume")), (202, 202));
    caller.audio.listen(2 * SECOND);
    caller.hang_up();
    desk.finish();
    caller.finish();
    let record = &appliance.await_ended(1)[0];

    assert_eq!(act(&call, "record_pause"), 409, "it has ended");
    assert_eq!(act("call-0fffffff", "record_pause"), 404);
    let bytes = appliance.get_bytes(&format!("recordings/{call}/audio"));
    let heard = tone::read_recording(&bytes);
    let paused = usize::try_from(record["recording"]["frames_paused"].as_u64().unwrap()).unwrap();
    let frames = usize::try_from(record["recording"]["frames"].as_u64().unwrap()).unwrap();
    assert_eq!(heard.left.len(), frames * 160, "the line goes on");
    assert!(frames > paused + 150 && paused > 80, "{paused} of {frames} frames are paused");
    let silent = |side: &[i16]| side.chunks(160).filter(|it| it.iter().all(|&s| s == 0)).count();
    for (side, hz) in [(&heard.left, CALLER_HZ), (&heard.right, DESK_HZ)] {
        assert!((paused..paused + 40).contains(&silent(side)), "{} of {paused}", silent(side));
        let first =
            side.chunks(160).skip(20).position(|it| it.iter().all(|&s| s == 0)).unwrap() + 20;
        let inside = &side[(first + 8) * 160..(first + paused - 8) * 160];
        assert!(inside.iter().all(|&sample| sample == 0), "not a word in between");
        assert!(tone::mostly(&side[4_000..12_000], hz) > 0.9, "before");
        assert!(tone::mostly(&side[side.len() - 9_600..side.len() - 1_600], hz) > 0.9, "after");
    }
    let story = appliance.get(&format!("calls/{call}"));
    let told = |event: &str| {
        let events = story["events"].as_array().unwrap().iter();
        events.filter(|step| step["event"] == event).count()
    };
    assert_eq!((told("record_paused"), told("record_resumed")), (1, 1), "{story}");
    let verified = appliance.get(&format!("recordings/{call}/verify"));
    assert_eq!((&verified["condition"], &verified["form"]), (&"whole".into(), &"wav".into()));
    let peaks = appliance.get(&format!("recordings/{call}/peaks"));
    assert_loud(&peaks, bytes.len());
    let beside = appliance.folder().join(format!("data/recordings/{call}.peaks.json"));
    let kept: Value = serde_json::from_slice(&fs::read(&beside).unwrap()).unwrap();
    fs::remove_file(beside).unwrap();
    assert!(kept == peaks && appliance.get(&format!("recordings/{call}/peaks")) == kept);
    appliance.stop();
}

#[test]
fn a_call_that_should_have_been_sealed_and_has_no_key_names_no_recording_anywhere() {
    let keys = TestFolder::new("no-keys");
    let key = keys.join("seal.key");
    fs::write(&key, "0123456789abcdef".repeat(4) + "\n").unwrap();
    let mut appliance = Appliance::on_edited_contract_files(|text| {
        let sealed = format!("[recording]\nformat = \"opus\"\nseal_key = {{ file = {key:?} }}\n");
        text.replace("[recording]\n", &sealed)
    });
    appliance.kill_and_start_on(|_| fs::remove_file(&key).unwrap());
    let (call, desk, caller) = talk_to_desk(&appliance, CALLER_HZ, DESK_HZ);
    caller.audio.listen(SECOND);
    caller.hang_up();
    desk.finish();
    caller.finish();

    let record = appliance.await_ended(1)[0].clone();

    let why = "recording.seal_key cannot be had: nothing is recorded";
    let api = appliance.get(&format!("calls/{call}"));
    for told in [&record, &api] {
        assert_eq!((&told["recording_id"], &told["recording"]), (&Value::Null, &Value::Null));
        assert_eq!(told["recording_failed"], why);
    }
    let last = api["events"].as_array().unwrap().last().unwrap();
    assert!(last["detail"].as_str().unwrap().ends_with(&format!("not recorded: {why}")), "{last}");
    assert_eq!(fs::read_dir(appliance.folder().join("data/recordings")).unwrap().count(), 0);

    // And so it is told after a crash, from the journal alone.
    appliance.kill_and_start_on(|_| ());
    assert_eq!(appliance.get(&format!("calls/{call}")), api);
}
