//! `clavija selftest` against the running binary: what it checks, what it leaves alone, and how it says what is broken.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::{Appliance, binary},
    tone, wait,
};
use serde_json::Value;
use std::{
    fs,
    os::unix::fs::symlink,
    process::{Command, Output},
    thread::sleep,
    time::Duration,
};

const SITE: &str = "schema = \"clavija/v1\"\n\
    [[trunk]]\nname = \"carrier\"\npeers = [\"127.0.0.1\"]\ncalls_max = 1\npstn = true\n\
    [[agent]]\nname = \"desk\"\nextension = \"1003\"\ncontact = \"sip:1003@127.0.0.99:5070\"\n\
    [[team]]\nname = \"front\"\nagents = [\"desk\"]\nchannels = [\"sip\"]\nrecord = true\n\
    [[number]]\nnumber = \"100\"\nteam = \"front\"\n";

const STEPS: [&str; 13] = [
    "a caller and a phone are let in",
    "the appliance takes the call",
    "the caller hears the appliance while waiting",
    "the phone rings and answers",
    "the phone hears the caller",
    "the caller hears the phone",
    "digits of the caller reach the phone",
    "digits of the phone reach the caller",
    "on hold neither hears the other",
    "after the hold both hear each other again",
    "both are told of the end",
    "the call is accounted for",
    "the recording holds both voices",
];

fn selftest(appliance: &Appliance, words: &[&str]) -> Output {
    Command::new(binary())
        .arg("selftest")
        .args(words)
        .args(["--config", "node.toml"])
        .current_dir(appliance.folder())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn start(ports: &str) -> Appliance {
    Appliance::on_site(SITE, ports)
}

#[test]
fn a_healthy_appliance_passes_its_self_test_step_by_step_and_keeps_the_recording() {
    let appliance = start("21300-21331");

    let output = selftest(&appliance, &[]);

    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}\n{}", text(&output.stderr), appliance.log());
    let steps: Vec<_> = said.lines().filter_map(|line| line.strip_prefix("ok      ")).collect();
    assert_eq!(steps.len(), STEPS.len(), "{said}");
    for (step, wanted) in steps.iter().zip(STEPS) {
        assert!(step.starts_with(wanted), "{step:?} where {wanted:?} should be");
    }
    let id = said.lines().last().unwrap().strip_prefix("recording ").unwrap().to_owned();
    let file = appliance.folder().join("data/recordings").join(&id).with_extension("wav");
    assert!(tone::read_recording(&fs::read(file).unwrap()).length_ms() > 1_500.0);
    // Its record can be told from a customer's.
    let records = appliance.await_ended(1);
    assert_eq!(records[0]["id"], id.as_str());
    for member in ["trunk", "team", "agent"] {
        assert_eq!(records[0][member], "(self-test)", "{}", records[0]);
    }
    appliance.stop();
}

#[test]
fn a_self_test_is_in_no_list_no_queue_and_no_statistics_and_takes_nobodys_seat() {
    let appliance = start("21340-21371");
    let names = |path: &str, member: &str| -> Vec<Value> {
        appliance.items(path).iter().map(|item| item[member].clone()).collect()
    };

    let output = selftest(&appliance, &["-o", "json"]);

    assert!(output.status.success(), "{}", text(&output.stdout));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["state"], &report["call_id"]), (&"ok".into(), &report["recording_id"]));
    assert_eq!(names("agents", "name"), ["desk"]);
    assert_eq!(names("queues", "team"), ["front"]);
    assert_eq!(names("trunks", "name"), ["carrier"]);
    assert_eq!(appliance.agent("desk")["state"], "available", "no seat was taken");
    let metrics = appliance.metrics();
    assert!(metrics.names("carrier") && !metrics.names("(self-test)"));
    assert_eq!(metrics.sum("clavija_calls_ended_total", &[]), 0.0);
    assert_eq!(metrics.sum("clavija_calls_active", &[]), 0.0);
    appliance.stop();
}

#[test]
fn a_recording_folder_that_cannot_be_written_is_the_step_that_fails() {
    let appliance = start("21380-21411");
    let folder = appliance.folder().join("data/recordings");
    fs::remove_dir_all(&folder).unwrap();
    symlink("nowhere/at/all", &folder).unwrap();

    let output = selftest(&appliance, &[]);

    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    let said = text(&output.stderr);
    assert!(said.contains("failed at \"the recording holds both voices\""), "{said}");
    // And it can be tried again at once.
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    let again = selftest(&appliance, &[]);
    assert!(again.status.success(), "{}{}", text(&again.stdout), text(&again.stderr));
}

#[test]
fn one_self_test_runs_at_a_time_and_none_where_no_appliance_is() {
    let mut appliance = start("21420-21451");
    assert_eq!(appliance.post("selftest", &Value::Null), 202);

    let second = selftest(&appliance, &[]);
    assert_eq!(second.status.code(), Some(4), "{}", text(&second.stderr));

    appliance.terminate();
    appliance.await_exit();
    let third = selftest(&appliance, &[]);
    assert_eq!(third.status.code(), Some(5), "{}", text(&third.stderr));
}

#[test]
fn a_stop_in_the_middle_lets_the_self_test_end_and_be_read() {
    let mut appliance = start("21460-21491");
    assert_eq!(appliance.post("selftest", &Value::Null), 202);
    let state = || appliance.get("selftest")["state"].clone();
    wait::until("the phone to answer", || appliance.log().contains(" bridged call=").then_some(()));

    appliance.terminate();
    wait::until("the call to end", || appliance.log().contains(" ended call=").then_some(()));
    // Its last steps come after the call, and the asker is slow.
    sleep(Duration::from_millis(400));
    let ended =
        wait::until("the self-test to end", || Some(state()).filter(|state| state != "running"));
    assert_eq!(ended, "ok", "{}", appliance.log());
    appliance.await_exit();
}

#[test]
fn a_self_test_that_fails_in_the_middle_leaves_no_call_up() {
    let appliance = start("21500-21531");
    assert_eq!(appliance.post("selftest", &serde_json::json!({})), 202);
    let call = appliance.await_call("talking");
    // Whoever holds its call takes the voices away that it waits for.
    let hold = format!("calls/{}/actions/hold", call["id"].as_str().unwrap());
    assert_eq!(appliance.post(&hold, &serde_json::json!({})), 202);

    let output = wait::until("the self-test to fail", || {
        let shown = appliance.get("selftest");
        (shown["state"] == "failed").then_some(shown)
    });

    let record = wait::within(Duration::from_secs(5), || appliance.items("cdrs").pop());
    let record = record.unwrap_or_else(|| panic!("the call is still up after {output:#}"));
    assert_eq!((&record["end"], &record["id"]), (&"completed".into(), &call["id"]));
    assert_eq!(appliance.items("calls?state=active"), [Value::Null; 0]);
    appliance.stop();
}
