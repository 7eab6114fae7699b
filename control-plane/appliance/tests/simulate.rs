//! `clavija simulate` on files alone: nothing runs, and nothing is touched.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const FILE: &str = r#"
schema = "clavija/v1"
[node]
name = "edge"
data_dir = "data"
[sip]
udp = "127.0.0.1:5060"
domain = "clavija.test"
[[trunk]]
name = "carrier"
peers = ["192.0.2.1"]
calls_max = 10
[[trunk]]
name = "other"
peers = ["192.0.2.2"]
calls_max = 10
[[agent]]
name = "ana"
extension = "1001"
contact = "sip:1001@127.0.0.1:5070"
[[agent]]
name = "bruno"
extension = "1002"
contact = "sip:1002@127.0.0.1:5071"
[[hours]]
name = "office"
time_zone = "America/Argentina/Buenos_Aires"
weekly = ["mon-fri 09:00-18:00"]
exceptions = ["2026-12-24 09:00-12:00 Christmas Eve"]
[[team]]
name = "day"
agents = ["ana"]
hours = "office"
closed = { team = "night" }
[[team]]
name = "night"
agents = ["bruno"]
[[number]]
number = "+541155550100"
team = "day"
from = ["carrier"]
"#;

fn folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("clavija-simulate-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("node.toml"), FILE).unwrap();
    folder
}

fn simulate(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clavija"));
    let command = command.current_dir(folder).arg("simulate").args(["--config", "node.toml"]);
    command.args(words).output().unwrap()
}

/// Each way that is answered for: by whom, where to, and with which status.
fn ways(folder: &Path, words: &[&str]) -> Vec<(String, Value, Value)> {
    let output = simulate(folder, &[&["-o", "json"], words].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let way = |item: &Value| {
        (item["by"].as_str().unwrap().to_owned(), item["goes_to"].clone(), item["status"].clone())
    };
    answer["items"].as_array().unwrap().iter().map(way).collect()
}

#[test]
fn a_call_that_nobody_makes_goes_where_one_would_go_at_that_time() {
    let folder = folder("goes");
    let to = ["--from", "+5491155551234", "--to", "+541155550100", "--at"];
    let at = |time: &'static str| ways(&folder, &[&to[..], &[time]].concat());
    let none = Value::Null;
    let row = |goes: &str, status: u16| match status {
        0 => ("trunk carrier".to_owned(), Value::from(goes), none.clone()),
        _ => ("trunk other".to_owned(), none.clone(), status.into()),
    };

    assert_eq!(at("2026-12-23T13:00:00-03:00"), [row("team day", 0), row("", 404)]);
    assert_eq!(at("2026-12-24T16:00:00Z"), [row("team night", 0), row("", 404)]);
    let ana = ways(&folder, &["--from", "1001", "--to", "1002"]);
    assert_eq!(ana, [("agent ana".to_owned(), "agent bruno".into(), none)]);
    let left: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["node.toml"], "nothing is touched");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn people_are_told_each_door_and_which_rule_it_was() {
    let folder = folder("why");
    let words = ["--from", "1", "--to", "+541155550100", "--trunk", "carrier", "--at"];

    let told = simulate(&folder, &[&words[..], &["2026-12-24T16:00:00Z"]].concat());

    let told = String::from_utf8(told.stdout).unwrap();
    for line in [
        "1 dialled +541155550100, by trunk carrier",
        "the row \"+541155550100\" leads to team day",
        "team day: office is closed until 2026-12-25T12:00:00.000000Z, by an exception (Christmas Eve)",
        "it goes to team night",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_not_there_or_no_time_ends_with_the_code_of_the_contract() {
    let folder = folder("codes");
    let code = |words: &[&str]| {
        let output = simulate(&folder, words);
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let call = ["--from", "1", "--to", "2"];

    let (status, said) = code(&[&call[..], &["--trunk", "carier"]].concat());
    assert_eq!(status, Some(3));
    assert!(said.contains("did you mean \"carrier\"?"), "{said}");
    let (status, said) = code(&[&call[..], &["--at", "noon"]].concat());
    assert_eq!(status, Some(2));
    assert!(said.contains("2026-12-24T18:00:00Z"), "{said}");
    assert_eq!(code(&["--from", "1"]).0, Some(2));
    fs::write(folder.join("node.toml"), FILE.replace("Buenos_Aires", "Buenos_Airs")).unwrap();
    let (status, said) = code(&call);
    assert_eq!(status, Some(6));
    assert!(said.contains("America/Argentina/Buenos_Aires"), "{said}");
    fs::remove_dir_all(folder).unwrap();
}
