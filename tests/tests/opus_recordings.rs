//! Recordings as Opus in Ogg, through the real binary, as the tools of opus-tools read them.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::{Appliance, binary},
    folder::TestFolder,
    party::talk_to_desk,
    tone::{self, Stereo},
};
use serde_json::Value;
use std::{fs, path::Path, process::Command};

const CALLER_HZ: f64 = 425.0;
const DESK_HZ: f64 = 950.0;
/// A second, in packets.
const SECOND: usize = 50;

/// What a program says, which must have done well.
fn said(program: impl AsRef<Path>, arguments: &[&str], folder: &Path) -> String {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| {
        panic!("{}: {error}; run tools/install-prerequisites.sh peers", program.display())
    });
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{}: {all}", program.display());
    all
}

/// The file as opusdec plays it.
fn played(file: &Path, folder: &Path) -> Stereo {
    let file = file.to_str().unwrap();
    said("opusdec", &["--quiet", "--no-dither", "--rate", "8000", file, "played.wav"], folder);
    tone::read_recording(&fs::read(folder.join("played.wav")).unwrap())
}

/// Each has their own side to themselves.
fn assert_apart(left: &[i16], right: &[i16]) {
    assert!(tone::mostly(left, CALLER_HZ) > 0.9 && tone::mostly(right, DESK_HZ) > 0.9);
    assert!(tone::share(left, DESK_HZ) < 0.01 && tone::share(right, CALLER_HZ) < 0.01);
}

#[test]
fn an_opus_recording_cut_by_kill_9_plays_and_one_that_ended_is_as_long_as_the_talk() {
    let folder = TestFolder::new("played");
    let scratch = folder.path();
    let mut appliance = Appliance::on_edited_contract_files(|text| {
        text.replace("[recording]\n", "[recording]\nformat = \"opus\"\n")
    });
    let (first, desk, caller) = talk_to_desk(&appliance, CALLER_HZ, DESK_HZ);
    caller.audio.listen(3 * SECOND);
    let growing = appliance.get(&format!("recordings/{first}/verify"));
    assert_eq!((&growing["condition"], &growing["form"]), (&"growing".into(), &"opus".into()));

    let file = |appliance: &Appliance, call: &str| {
        appliance.folder().join(format!("data/recordings/{call}.opus"))
    };
    appliance.kill_and_start_on(|_| {});
    desk.finish();
    caller.finish();
    let cut = &appliance.await_ended(1)[0];
    let heard = played(&file(&appliance, &first), scratch);
    assert!(heard.length_ms() > 1_500.0, "{} ms", heard.length_ms());
    let tail = heard.left.len() - 8_000;
    assert_apart(&heard.left[tail..], &heard.right[tail..]);
    let frames = cut["recording"]["frames"].as_f64().unwrap();
    assert!((heard.length_ms() - frames * 20.0).abs() < 21.0, "{frames}, {}", heard.length_ms());
    let verified = appliance.get(&format!("recordings/{first}/verify"));
    assert_eq!(verified["condition"], "cut", "{verified}");

    let (second, desk, caller) = talk_to_desk(&appliance, CALLER_HZ, DESK_HZ);
    caller.audio.listen(2 * SECOND);
    let act =
        |action: &str| appliance.post(&format!("calls/{second}/actions/{action}"), &Value::Null);
    assert_eq!(act("record_pause"), 202);
    caller.audio.listen(SECOND);
    assert_eq!(act("record_resume"), 202);
    caller.audio.listen(2 * SECOND);
    caller.hang_up();
    desk.finish();
    caller.finish();
    let record = &appliance.await_ended(2)[1];

    let bytes = appliance.get_bytes(&format!("recordings/{second}/audio"));
    let whole = appliance.get(&format!("recordings/{second}/verify"));
    assert_eq!((&whole["condition"], &whole["form"]), (&"whole".into(), &"opus".into()), "{whole}");
    let on_disk = file(&appliance, &second);
    assert!(bytes == fs::read(&on_disk).unwrap(), "given out as it is");
    let told = said("opusinfo", &[on_disk.to_str().unwrap()], scratch);
    assert!(!told.contains("WARNING") && told.contains("Channels: 2"), "{told}");
    let heard = played(&on_disk, scratch);
    let frames = usize::try_from(record["recording"]["frames"].as_u64().unwrap()).unwrap();
    assert!(heard.left.len().abs_diff(frames * 160) <= 1, "{} of {frames}", heard.left.len());
    let end = heard.left.len() - 1_600;
    for part in [4_000..12_000, end - 8_000..end] {
        assert_apart(&heard.left[part.clone()], &heard.right[part]);
    }
    let paused = usize::try_from(record["recording"]["frames_paused"].as_u64().unwrap()).unwrap();
    let silent =
        |side: &[i16]| side.chunks(160).filter(|it| it.iter().all(|s| s.abs() < 80)).count();
    for side in [&heard.left, &heard.right] {
        assert!((paused - 2..paused + 40).contains(&silent(side)), "{} {paused}", silent(side));
    }
    let path = format!("recordings/{second}/audio");
    let (status, part) = appliance.get_range(&path, "bytes=100-299");
    assert!(status == 206 && part == bytes[100..300], "{status}, {} bytes", part.len());
    assert!(bytes.len() < frames * 640 / 6, "{} bytes for {frames} frames", bytes.len());

    let node = appliance.folder().join("node.toml");
    let config = ["--config", node.to_str().unwrap()];
    said(binary(), &[&["recording", "get", &second][..], &config].concat(), scratch);
    assert!(fs::read(scratch.join(format!("{second}.opus"))).unwrap() == bytes);
    let listed = appliance.get(&format!("recordings/{second}"));
    assert_eq!((&listed["format"], &listed["sealed"]), (&"opus".into(), &false.into()));

    let peaks = appliance.get(&format!("recordings/{second}/peaks"));
    assert_eq!(peaks["length"].as_u64().unwrap(), frames.div_ceil(5) as u64);
    fs::remove_file(on_disk.with_extension("peaks.json")).unwrap();
    let anew = appliance.get(&format!("recordings/{second}/peaks"));
    let loud = |peaks: &Value| peaks["data"].as_array().unwrap()[20..24].to_vec();
    assert_eq!(anew["length"], peaks["length"]);
    let close = |(a, b): (&Value, &Value)| a.as_i64().unwrap().abs_diff(b.as_i64().unwrap()) < 8;
    assert!(loud(&anew).iter().zip(&loud(&peaks)).all(close), "{anew}");
    appliance.stop();
}

/// Sealed with a key that lies in a folder of its own.
fn sealed_opus(key: &Path) -> Appliance {
    fs::write(key, KEY).unwrap();
    Appliance::on_edited_contract_files(|text| {
        let sealed = format!("[recording]\nformat = \"opus\"\nseal_key = {{ file = {key:?} }}\n");
        text.replace("[recording]\n", &sealed)
    })
}

const KEY: &str = "fedcba98fedcba98fedcba98fedcba98fedcba98fedcba98fedcba98fedcba98";

#[test]
fn a_sealed_opus_recording_cut_by_kill_9_plays_and_one_that_ended_is_as_long_as_the_talk() {
    let scratch = TestFolder::new("sealed-opus");
    let mut appliance = sealed_opus(&scratch.join("seal.key"));
    let (first, desk, caller) = talk_to_desk(&appliance, CALLER_HZ, DESK_HZ);
    caller.audio.listen(3 * SECOND);

    let mut by_file = vec![];
    appliance.kill_and_start_on(|folder| {
        let file = format!("data/recordings/{first}.sealed");
        let got = said(binary(), &["recording", "get", &file, "--config", "node.toml"], folder);
        assert!(got.contains("the end is missing"), "{got}");
        let got = folder.join(format!("{first}.opus"));
        by_file = fs::read(&got).unwrap();
        let heard = played(&got, folder);
        assert!(heard.length_ms() > 1_500.0, "{} ms", heard.length_ms());
        let tail = heard.left.len() - 8_000;
        assert_apart(&heard.left[tail..], &heard.right[tail..]);
        fs::rename(got, scratch.join("cut.opus")).unwrap();
    });
    desk.finish();
    caller.finish();
    let cut = &appliance.await_ended(1)[0];
    let frames = cut["recording"]["frames"].as_f64().unwrap();
    let heard = played(&scratch.join("cut.opus"), scratch.path());
    assert!((heard.length_ms() - frames * 20.0).abs() < 21.0, "{frames}, {}", heard.length_ms());
    let audio = |call: &str| appliance.get_bytes(&format!("recordings/{call}/audio"));
    assert!(audio(&first) == by_file, "by the API it is the same");
    let verified = appliance.get(&format!("recordings/{first}/verify"));
    assert_eq!((&verified["condition"], &verified["form"]), (&"cut".into(), &"sealed".into()));
    let peaks = appliance.get(&format!("recordings/{first}/peaks"));
    assert_loud(&peaks);

    let (second, desk, caller) = talk_to_desk(&appliance, CALLER_HZ, DESK_HZ);
    let act =
        |action: &str| appliance.post(&format!("calls/{second}/actions/{action}"), &Value::Null);
    caller.audio.listen(SECOND);
    assert_eq!(act("record_pause"), 202);
    caller.audio.listen(SECOND);
    assert_eq!(act("record_resume"), 202);
    caller.audio.listen(3 * SECOND / 2);
    caller.hang_up();
    desk.finish();
    caller.finish();
    let record = &appliance.await_ended(2)[1];

    let listed = appliance.get(&format!("recordings/{second}"));
    assert_eq!((&listed["format"], &listed["sealed"]), (&"opus".into(), &true.into()));
    let whole = appliance.get(&format!("recordings/{second}/verify"));
    let (frames, paused) = (&record["recording"]["frames"], &record["recording"]["frames_paused"]);
    assert_eq!((&whole["condition"], &whole["frames_paused"]), (&"whole".into(), paused));
    let frames = usize::try_from(frames.as_u64().unwrap()).unwrap();
    let bytes = audio(&second);
    fs::write(scratch.join("whole.opus"), &bytes).unwrap();
    let told = said("opusinfo", &["whole.opus"], scratch.path());
    assert!(!told.contains("WARNING") && told.contains("Channels: 2"), "{told}");
    let heard = played(&scratch.join("whole.opus"), scratch.path());
    assert!(heard.left.len().abs_diff(frames * 160) <= 1, "{} of {frames}", heard.left.len());
    let end = heard.left.len() - 1_600;
    assert_apart(&heard.left[end - 4_000..end], &heard.right[end - 4_000..end]);
    let paused = usize::try_from(paused.as_u64().unwrap()).unwrap();
    let silent =
        |side: &[i16]| side.chunks(160).filter(|it| it.iter().all(|s| s.abs() < 80)).count();
    for side in [&heard.left, &heard.right] {
        assert!((paused - 2..paused + 40).contains(&silent(side)), "{} {paused}", silent(side));
    }
    let path = format!("recordings/{second}/audio");
    assert_eq!(appliance.content_type(&path), "audio/ogg");
    let all = bytes.len();
    for (range, expected) in [
        ("bytes=100-299".to_owned(), &bytes[100..300]),
        (format!("bytes=1500-{}", all - 1_500), &bytes[1_500..=all - 1_500]),
        ("bytes=-1000".to_owned(), &bytes[all - 1_000..]),
    ] {
        let (status, part) = appliance.get_range(&path, &range);
        assert!(status == 206 && part == expected, "{range}: {status}, {} bytes", part.len());
    }
    let peaks = appliance.get(&format!("recordings/{second}/peaks"));
    assert_eq!(peaks["length"].as_u64().unwrap(), frames.div_ceil(5) as u64);
    assert_loud(&peaks);
    for entry in fs::read_dir(appliance.folder().join("data/recordings")).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.extension().unwrap() == "sealed", "{} in the clear", path.display());
        let bytes = fs::read(&path).unwrap();
        assert!(!bytes.windows(4).any(|four| four == b"OggS"), "pages in the clear");
    }
    assert!(!appliance.log().contains(&KEY[..16]), "the key is in the log");
    appliance.stop();
}

/// Half a second in, both sides are.
fn assert_loud(peaks: &Value) {
    let middle = &peaks["data"].as_array().unwrap()[20..24];
    assert!(middle.iter().all(|peak| peak.as_i64().unwrap().abs() > 3), "{middle:?}");
}

#[test]
fn the_self_test_hears_both_voices_in_a_recording_that_is_opus_and_sealed() {
    let keys = TestFolder::new("keys");
    let appliance = sealed_opus(&keys.join("seal.key"));
    let node = appliance.folder().join("node.toml");

    let told =
        said(binary(), &["selftest", "--config", node.to_str().unwrap()], appliance.folder());

    assert!(told.contains(".sealed"), "{told}");
    appliance.stop();
}
