//! What an operator asks of a running appliance on the command line: where phones are, whether trunks are there.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::{Appliance, binary},
    namespace,
    party::{Caller, loopback, register},
    rtp_peer::Heard,
    sipp::{Script, Sipp},
    tone::{self, Law},
};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    ops::Range,
    process::{Command, Output},
};

fn clavija(appliance: &Appliance, line: &str) -> Output {
    Command::new(binary())
        .args(line.split(' '))
        .args(["--config", "node.toml"])
        .current_dir(appliance.folder())
        .output()
        .unwrap()
}

fn json(appliance: &Appliance, line: &str) -> Value {
    let output = clavija(appliance, &format!("{line} -o json"));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{line}: {error}: {}", String::from_utf8_lossy(&output.stderr))
    })
}

/// The exit code and what was said about it.
fn refused(appliance: &Appliance, line: &str) -> (i32, String) {
    let output = clavija(appliance, line);
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap().trim().to_owned())
}

#[test]
fn agent_show_says_where_the_phones_are_and_goes_on_saying_it_after_a_crash() {
    namespace::inside(|| {
        let mut appliance = Appliance::on_contract_files();
        register(appliance.sip(), "1001", "only-for-tests-1001", loopback(21, 5061), 120);
        appliance.await_agent("ana", "available");

        let ana = json(&appliance, "agent show ana");
        let [phone] = ana["contacts"].as_array().unwrap().as_slice() else { panic!("{ana:#}") };
        assert_eq!((&ana["name"], &ana["state"]), (&"ana".into(), &"available".into()));
        assert_eq!(phone["address"], "127.0.0.21:5061");
        assert_eq!(phone["source"], "127.0.0.21:5061");
        assert_eq!((&phone["transport"], &phone["flow"]), (&"udp".into(), &"contact".into()));
        assert_eq!((&phone["digest"], &phone["user_agent"]), (&"MD5".into(), &"SIPp".into()));
        let expires = phone["expires_seconds"].as_u64().unwrap();
        assert!((60..=120).contains(&expires), "{expires}");
        let table = clavija(&appliance, "agent show ana");
        let table = String::from_utf8(table.stdout).unwrap();
        assert!(table.contains("USER AGENT") && table.contains("127.0.0.21:5061"), "{table}");
        let desk = json(&appliance, "agent show desk");
        assert_eq!(desk["contacts"][0]["flow"], "fixed");
        assert_eq!(json(&appliance, "agent show bruno")["contacts"], Value::Array(vec![]));

        appliance.kill_and_start_again();

        appliance.await_agent("ana", "available");
        let ana = json(&appliance, "agent show ana");
        assert_eq!(ana["contacts"][0]["address"], "127.0.0.21:5061");
        register(appliance.sip(), "1001", "only-for-tests-1001", loopback(21, 5061), 0);
        appliance.await_agent("ana", "offline");
        assert_eq!(json(&appliance, "agent show ana")["contacts"], Value::Array(vec![]));
        appliance.stop();
    });
}

#[test]
fn trunk_test_asks_the_trunk_and_its_answer_decides_the_exit_code() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();

        let (code, said) = refused(&appliance, "trunk test pbx");
        assert_eq!((code, said.as_str()), (1, "trunk `pbx` cannot be called as it is: silent"));

        let switch = Script::new("trunk_uas", loopback(11, 5080)).audio(40_000, &[Law::A]);
        let switch = Sipp::start(switch);
        // It leaves with the first who asks.
        let answered = clavija(&appliance, "trunk test pbx -o json");
        let tested: Value = serde_json::from_slice(&answered.stdout).unwrap();
        assert_eq!(answered.status.code(), Some(0), "{tested:#}");
        assert_eq!((&tested["result"], &tested["code"]), (&"answered".into(), &200.into()));
        assert_eq!((&tested["ok"], &tested["address"]), (&true.into(), &"127.0.0.11:5080".into()));
        drop(switch);
        appliance.stop();
    });
}

#[test]
fn a_name_that_is_not_there_is_answered_with_the_nearest_one() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();

        for (line, wanted) in [
            ("agent show anna", (3, "no agent is named `anna`; the nearest name is `ana`")),
            ("agent pause burno", (3, "no agent is named `burno`; the nearest name is `bruno`")),
            ("trunk test carier", (3, "no trunk is named `carier`; the nearest name is `carrier`")),
            (
                "trunk test carrier",
                (4, "the trunk has no `address`, so it only calls us; give it one to test it"),
            ),
        ] {
            let (code, said) = refused(&appliance, line);
            assert_eq!((code, said.as_str()), wanted, "{line}");
        }
        appliance.stop();
    });
}

/// A second, in packets.
const SECOND: usize = 50;
/// Enough to tell tunes apart, and a little before it.
const PART: usize = SECOND + SECOND / 10;

/// The customer's music at another pitch: a file, and what a telephone hears of it.
fn higher(appliance: &Appliance, name: &str) -> Vec<i16> {
    let waltz = tone::waltz(16_000);
    tone::write_wav(&appliance.folder().join(name), 2, 22_050, &waltz);
    tone::to_telephone(&waltz, 22_050)
}

fn likeness(heard: &Heard, part: Range<usize>, tune: &[i16]) -> f64 {
    let pcm = heard.pcm(part);
    tone::likeness(&pcm[pcm.len() - 8_000..], tune)
}

#[test]
fn a_tune_that_is_uploaded_is_heard_by_who_waits_in_the_stream_they_have_and_after_a_crash() {
    namespace::inside(|| {
        // Each of the two waits on a thread of their own.
        let mut appliance = Appliance::on_contract_files_with_threads(2);
        let (old, new) = (appliance.music(), higher(&appliance, "higher.wav"));
        register(appliance.sip(), "1001", "only-for-tests-1001", loopback(21, 5061), 600);
        appliance.await_agent("ana", "available");
        // It rings, as far as anybody knows, and nobody takes the call.
        let _deaf = UdpSocket::bind(loopback(21, 5061)).unwrap();
        let dial = |appliance: &Appliance, port, law| {
            let number = "+541155550100";
            let mut caller =
                Caller::dial(appliance.sip(), loopback(2, port), number, &[law], 425.0);
            caller.await_answer();
            caller
        };
        let callers =
            [(5062, Law::A), (5064, Law::Mu)].map(|(port, law)| dial(&appliance, port, law));
        let listen = |packets| {
            let first = callers[0].audio.listen(packets);
            let now = callers[1].audio.heard();
            [first, now - packets..now]
        };
        callers[1].audio.listen(SECOND / 5);
        let before = listen(PART);

        fs::write(appliance.folder().join("no.wav"), "this is not RIFF").unwrap();
        let (code, said) = refused(&appliance, "music put waltz no.wav");
        assert_eq!(code, 1);
        let why = "no.wav: format: it is not audio of a known kind; write WAV (PCM";
        assert!(said.starts_with(why), "{said}");
        let put = json(&appliance, "music put waltz higher.wav");
        assert_eq!((&put["source"], &put["coding"]), (&"uploaded".into(), &"WAV".into()));
        assert_eq!(put["team_names"], serde_json::json!(["support", "front"]));
        let _joint = listen(SECOND / 4);
        let after = listen(PART);
        let heard = callers.map(|caller| {
            caller.hang_up();
            caller.finish().1
        });

        for ((heard, before), after) in heard.iter().zip(before).zip(after) {
            assert_eq!(heard.breaks(), [""; 0], "one stream from one tune to the other");
            assert!(likeness(heard, before, &old) > 0.9, "the configured one first");
            let (is, was) = (likeness(heard, after.clone(), &new), likeness(heard, after, &old));
            assert!(is > 0.9 && was < 0.7, "then the new one: {is}, and the old one {was}");
        }

        appliance.kill_and_start_again();
        let listed = json(&appliance, "music list");
        assert_eq!(listed["items"][0]["source"], "uploaded");
        let caller = dial(&appliance, 5066, Law::A);
        let waiting = caller.audio.listen(PART);
        let reset = json(&appliance, "music reset waltz");
        assert_eq!(reset["source"], "configured");
        let _joint = caller.audio.listen(SECOND / 4);
        let again = caller.audio.listen(PART);
        caller.hang_up();
        let (_, heard) = caller.finish();
        assert!(likeness(&heard, waiting, &new) > 0.9, "it is kept");
        assert!(likeness(&heard, again, &old) > 0.9, "until it is taken away");
        assert_eq!(heard.breaks(), [""; 0]);
        appliance.stop();
    });
}

#[test]
fn a_disk_that_is_full_is_named_the_old_tune_stays_and_what_fits_is_taken() {
    namespace::inside(|| {
        let mut appliance = Appliance::on_contract_files();
        appliance.kill_and_start_on(|folder| namespace::small_disk(&folder.join("data/music"), 64));
        higher(&appliance, "higher.wav");
        let small = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/fuzz/tune/mp3");

        let (code, said) = refused(&appliance, "music put waltz higher.wav");

        assert_eq!(code, 1);
        let full = "waltz.audio.new: No space left on device (os error 28); the tune is as it was";
        assert!(said.ends_with(full), "{said}");
        assert_eq!(json(&appliance, "music list")["items"][0]["source"], "configured");
        let put = json(&appliance, &format!("music put waltz {small}"));
        assert_eq!((&put["source"], &put["coding"]), (&"uploaded".into(), &"MP3".into()));
        appliance.stop();
    });
}

#[test]
fn sixty_megabytes_that_are_no_music_take_no_memory_of_the_box() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();
        fs::write(appliance.folder().join("long.mp3"), vec![1; 60 << 20]).unwrap();
        let before = appliance.resident_bytes_peak();

        let (code, said) = refused(&appliance, "music put waltz long.mp3");

        assert_eq!(code, 1);
        assert!(said.starts_with("long.mp3: format: it is not audio of a known kind"), "{said}");
        let taken = appliance.resident_bytes_peak() - before;
        assert!(taken < 16 << 20, "{taken} bytes more than ever before");
        assert!(fs::read_dir(appliance.folder().join("data/music")).unwrap().next().is_none());
        appliance.stop();
    });
}

#[test]
fn a_large_upload_that_is_refused_at_once_is_told_why_by_whoever_sends_it() {
    namespace::inside(|| {
        let appliance = Appliance::on_contract_files();
        fs::write(appliance.folder().join("long.mp3"), vec![1; 60 << 20]).unwrap();

        // One that reads no answer before all of it has been sent, as many do.
        for (path, token, status) in
            [("waltz", "wrong", 401), ("polka", appliance.token().as_str(), 404)]
        {
            let mut stream = TcpStream::connect(appliance.http()).unwrap();
            let head = format!(
                "PUT /api/v1/music/{path} HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer {token}\r\n\
                 Connection: close\r\nContent-Length: {}\r\n\r\n",
                60 << 20
            );
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&vec![1; 60 << 20]).unwrap();
            let mut said = String::new();
            stream.read_to_string(&mut said).unwrap();
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
        }

        // And the command line, whose writes and reads race.
        for _ in 0..10 {
            let (code, said) = refused(&appliance, "music put polka long.mp3");
            assert_eq!(code, 3, "{said}");
            assert!(said.contains("polka") && !said.contains("reset"), "{said}");
        }
        appliance.stop();
    });
}
