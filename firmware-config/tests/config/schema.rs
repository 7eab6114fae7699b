//! The schema and the reader know the same keys, and a validator that is not ours agrees.

use crate::folder::{Folder, contract};
use firmware_config::schema;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

/// The contract's file, and in the one that says what the box is one network more.
fn text_of(file: &str) -> String {
    let more = if file == "node.toml" {
        "\n[[network]]\nname = \"lan\"\nsip = \"192.0.2.1:5062\"\n"
    } else {
        ""
    };
    contract(file) + more
}

/// The tables of the contract's files, and in which file they stand.
fn tables() -> Vec<(&'static str, String, Value)> {
    let schema = schema();
    let known = schema["properties"].as_object().unwrap().clone();
    let with_keys = known.into_iter().filter_map(|(name, of)| {
        let one = if of["type"] == "array" { of["items"].clone() } else { of };
        let keys = one.get("properties")?.clone();
        let file = ["node.toml", "site.toml"].into_iter().find(|file| {
            let text = text_of(file);
            // The contract leaves this table out.
            let added = match name.as_str() {
                "limits" => *file == "node.toml",
                "hours" => *file == "site.toml",
                _ => false,
            };
            added || text.contains(&format!("[{name}]"))
        });
        Some((file.unwrap_or_else(|| panic!("{name} stands in no file")), name, keys))
    });
    with_keys.collect()
}

/// The contract with one more line in the first table of this name.
fn with_line(file: &str, table: &str, line: &str) -> Folder {
    let folder = Folder::with_contract();
    let text = text_of(file);
    let key = line.split(' ').next().unwrap();
    let header = format!("[{table}]");
    let text = match text.contains(&header) {
        true => text,
        false if table == "hours" => format!("{text}\n[{header}]\n"),
        false => format!("{text}\n{header}\n"),
    };
    let (before, after) = text.split_once(&header).unwrap();
    let (header, rest) = after.split_once('\n').unwrap();
    let (own, others) = rest.split_at(rest.find("\n[").unwrap_or(rest.len()));
    let kept = own.lines().filter(|old| !old.starts_with(&format!("{key} ")));
    let own = kept.collect::<Vec<_>>().join("\n");
    folder.write(file, format!("{before}[{table}]{header}\n{line}\n{own}{others}"));
    folder
}

fn names(keys: &Value) -> BTreeSet<String> {
    keys.as_object().unwrap().keys().cloned().collect()
}

/// What a fault about an unknown key lists.
fn taken(faults: &[String]) -> BTreeSet<String> {
    let fault = faults.iter().find(|fault| fault.contains("bogus is not a key here"));
    let fault = fault.unwrap_or_else(|| panic!("{faults:#?}"));
    let (_, list) = fault.rsplit_once(" takes ").unwrap();
    list.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_key_the_reader_knows_stands_in_the_schema_and_no_other() {
    for (file, table, keys) in tables() {
        let folder = with_line(file, &table, "bogus = 1");
        assert_eq!(taken(&folder.faults()), names(&keys), "{table}");
    }
    let folder = Folder::with_contract();
    folder.write("site.toml", format!("bogus = 1\n{}", contract("site.toml")));
    assert_eq!(taken(&folder.faults()), names(&schema()["properties"]), "the first level");
    let folder = Folder::with_contract();
    folder.edit("site.toml", "password = \"only-for-tests-1001\"", "password = { bogus = 1 }");
    assert_eq!(taken(&folder.faults()), BTreeSet::from(["file".into(), "credential".into()]));
}

#[test]
fn every_range_of_the_schema_is_the_readers() {
    let mut ranges = 0;
    for (file, table, keys) in tables() {
        for (key, of) in keys.as_object().unwrap() {
            let (Some(least), Some(most)) = (of["minimum"].as_i64(), of["maximum"].as_i64()) else {
                continue;
            };
            ranges += 1;
            for good in [least, most] {
                let folder = with_line(file, &table, &format!("{key} = {good}"));
                assert!(folder.load().is_ok(), "{table}.{key} = {good}: {:#?}", folder.faults());
            }
            for bad in [least - 1, most + 1] {
                let folder = with_line(file, &table, &format!("{key} = {bad}"));
                let faults = folder.faults();
                assert!(faults.iter().any(|fault| fault.contains(key)), "{table}.{key} = {bad}");
            }
        }
    }
    assert!(ranges >= 6, "only {ranges} ranges");
}

#[test]
fn every_default_and_every_word_of_the_schema_is_accepted() {
    for (file, table, keys) in tables() {
        for (key, of) in keys.as_object().unwrap() {
            let words = of["enum"].as_array().cloned().unwrap_or_default();
            // A list may not be empty where it is written; left out, nobody is in it.
            let default =
                of.get("default").cloned().filter(|default| *default != Value::from([(); 0]));
            for value in words.into_iter().chain(default) {
                let folder = with_line(file, &table, &format!("{key} = {value}"));
                assert!(folder.load().is_ok(), "{table}.{key} = {value}: {:#?}", folder.faults());
            }
        }
    }
}

/// Python's `jsonschema`, which nobody here wrote: prints how many faults each text has.
const VALIDATOR: &str = r"
import json, sys, tomllib
from jsonschema import Draft202012Validator
given = json.load(sys.stdin)
Draft202012Validator.check_schema(given['schema'])
validator = Draft202012Validator(given['schema'])
print(json.dumps([len(list(validator.iter_errors(tomllib.loads(text)))) for text in given['texts']]))
";

fn faults_found_elsewhere(texts: &[String]) -> Vec<u64> {
    let mut child = Command::new("python3")
        .args(["-c", VALIDATOR])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is missing: tools/install-prerequisites.sh peers");
    let given = serde_json::json!({ "schema": schema(), "texts": texts });
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "python3-jsonschema is missing or the schema is no schema: tools/install-prerequisites.sh peers"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_validator_that_is_not_ours_takes_what_the_reader_takes_and_refuses_what_it_refuses() {
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/dev-loopback.toml");
    let (node, site) = (contract("node.toml"), contract("site.toml"));
    let mut texts = vec![
        node.clone(),
        site.clone(),
        site.clone() + &contract("site-whatsapp.toml"),
        std::fs::read_to_string(profile).unwrap(),
    ];
    let good = texts.len();
    for (old, new) in [
        ("ring_seconds = 20", "ring_second = 20"),
        ("ring_seconds = 20", "ring_seconds = \"20\""),
        ("ring_seconds = 20", "ring_seconds = 601"),
        ("record = true", "record = 1"),
        ("strategy = \"longest-idle\"", "strategy = \"random\""),
        ("password = \"only-for-tests-1001\"", "password = { file = \"a\", credential = \"b\" }"),
        ("extension = \"1001\"", "extension = 1001"),
        ("schema = \"clavija/v1\"", "schema = \"clavija/v2\""),
        ("calls_max = 2000", ""),
        ("[[music]]", "[music]"),
    ] {
        assert!(site.contains(old), "{old}");
        texts.push(site.replacen(old, new, 1));
    }

    let found = faults_found_elsewhere(&texts);

    assert_eq!(found[..good], [0; 4]);
    for (text, faults) in texts.iter().zip(&found).skip(good) {
        assert!(*faults > 0, "{text}");
    }
}

#[test]
fn every_key_says_what_it_is_and_when_it_takes_hold() {
    for (_, table, keys) in tables() {
        for (key, of) in keys.as_object().unwrap() {
            let about = of["description"].as_str().unwrap();
            assert!(about.len() > 20 && about.contains("Changes: "), "{table}.{key}: {about}");
        }
    }
}
