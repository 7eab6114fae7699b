//! Keys by INFO and as tones, of SIPp as a carrier and baresip as an agent's phone, each told in its own way.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance,
    baresip::{Account, Baresip},
    namespace,
    party::loopback,
    sipp::{Script, Sipp},
    trace::Way,
};
use std::{fs, net::SocketAddr, path::Path};

fn carrier() -> SocketAddr {
    loopback(2, 5062)
}

/// The contract's site at an address a phone may speak to, changed.
fn appliance(from: &str, to: &str) -> Appliance {
    let media = format!("address = \"{}\"", namespace::LAN);
    Appliance::on_edited_contract_files(|text| {
        text.replace("address = \"127.0.0.1\"", &media).replace(from, to)
    })
}

fn ana(registrar: SocketAddr) -> Account {
    Account {
        user: "1001",
        password: "only-for-tests-1001",
        codec: "PCMA",
        transport: "udp",
        listen: loopback(31, 6_000),
        registrar,
        register_seconds: 60,
        hz: 725.0,
    }
}

/// A carrier's call that ana has taken.
fn talk(scenario: &'static str, appliance: &Appliance) -> (Sipp, Baresip) {
    let mut ana = Baresip::start(&ana(appliance.sip()));
    appliance.await_agent("ana", "available");
    let script = Script::new(scenario, carrier()).to(appliance.sip()).file("tones.alaw");
    let arguments = ["-s", "+541155550100", "-mp", "41000"];
    let script = script.key("from", "+541144440000");
    let script = arguments.into_iter().fold(script, |script, argument| script.arg(argument));
    let mut caller = Sipp::start(script);
    caller.wait_for("200", |m| m.is_response(Way::Received, "INVITE", 200));
    ana.wait_for("CALL_INCOMING");
    ana.tell("accept", "");
    ana.wait_for("CALL_ESTABLISHED");
    appliance.await_call("talking");
    (caller, ana)
}

fn heard(ana: &mut Baresip, keys: usize) -> String {
    (0..keys)
        .map(|_| {
            let key = ana.wait_for("CALL_DTMF_START")["param"].as_str().unwrap().to_owned();
            ana.wait_for("CALL_DTMF_END");
            key
        })
        .collect()
}

/// Everything that was written there, recordings included.
fn text_below(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text_below(&path, text);
        } else {
            text.push_str(&String::from_utf8_lossy(&fs::read(&path).unwrap()));
        }
    }
}

/// Which keys the story of the one call has, and of whom.
fn told(appliance: &Appliance) -> Vec<String> {
    let record = appliance.await_ended(1).remove(0);
    let steps = record["events"].as_array().unwrap().iter();
    steps
        .filter(|step| step["event"] == "digit")
        .map(|step| step["detail"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn keys_by_info_reach_a_real_phone_as_events_and_its_events_reach_the_carrier_by_info() {
    namespace::inside(|| {
        let appliance = appliance(
            "calls_max = 2000\npstn = true",
            "calls_max = 2000\ndtmf = \"info\"\npstn = true",
        );
        let (mut caller, mut ana) = talk("carrier_info", &appliance);

        caller.tell("PRESS");
        assert_eq!(heard(&mut ana, 2), "1#");
        for key in ["5", "*"] {
            let before =
                caller.trace().iter().filter(|m| m.is_request(Way::Received, "INFO")).count();
            ana.tell("sndcode", key);
            ana.tell("sndcode", "\u{4}");
            caller.look_for("INFO", |trace| {
                let infos = trace.iter().filter(|m| m.is_request(Way::Received, "INFO")).count();
                (infos > before).then_some(())
            });
        }
        ana.wait_for("CALL_CLOSED");
        let signalled = caller.finish();

        let infos: Vec<_> =
            signalled.iter().filter(|m| m.is_request(Way::Received, "INFO")).collect();
        let signals: Vec<&str> = infos
            .iter()
            .map(|m| m.text.lines().find(|line| line.starts_with("Signal=")).unwrap().trim())
            .collect();
        assert_eq!(signals, ["Signal=5", "Signal=*"]);
        assert!(infos.iter().all(|m| m.header("Content-Type") == Some("application/dtmf-relay")));
        let told = told(&appliance);
        let keys: String = told.iter().map(|detail| &detail[..1]).collect();
        assert_eq!(keys, "1#5*", "{told:?}");
        let metrics = appliance.metrics();
        assert_eq!(metrics.sum("clavija_sip_keys_failed_total", &[]), 0.0);
        appliance.stop();
    });
}

#[test]
fn keys_as_tones_reach_a_real_phone_as_events() {
    namespace::inside(|| {
        let appliance = appliance("", "");
        let (caller, mut ana) = talk("carrier_tones", &appliance);

        caller.tell("PRESS");
        assert_eq!(heard(&mut ana, 5), "159##");
        caller.tell("HANGUP");
        ana.wait_for("CALL_CLOSED");
        caller.finish();

        let told = told(&appliance);
        let keys: String = told.iter().map(|detail| &detail[..1]).collect();
        assert_eq!(keys, "159##", "{told:?}");
        appliance.stop();
    });
}

#[test]
fn keys_of_a_team_that_masks_them_are_in_no_story_journal_or_log() {
    namespace::inside(|| {
        let appliance = appliance(
            "strategy = \"longest-idle\"",
            "strategy = \"longest-idle\"\nmask_digits = true",
        );
        let (caller, mut ana) = talk("carrier_tones", &appliance);

        caller.tell("PRESS");
        assert_eq!(heard(&mut ana, 5), "159##", "the phone is told them all the same");
        caller.tell("HANGUP");
        ana.wait_for("CALL_CLOSED");
        caller.finish();

        let told = told(&appliance);
        assert_eq!(told.len(), 5);
        assert!(told.iter().all(|detail| detail.starts_with("• by the caller for ")), "{told:?}");
        let mut written = appliance.log();
        text_below(&appliance.folder().join("data"), &mut written);
        assert!(written.contains("LegDigit") && written.contains("\"digit\":null"));
        assert!(!written.contains("\"digit\":\""), "a key stands in what was written");
        appliance.stop();
    });
}
