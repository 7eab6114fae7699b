//! What the compiler cannot say about this tree: who imports whom, what every file begins with, what is never written.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Who may import whom. A line added here is an architecture decision: write its ADR.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("sip-stack", &[]),
    ("media-core", &[]),
    ("sip-stack/net", &["sip-stack"]),
    ("media-core/rt", &["media-core"]),
    ("control-plane", &["sip-stack", "media-core"]),
    ("firmware-config", &["sip-stack", "media-core", "control-plane"]),
    (
        "control-plane/appliance",
        &["sip-stack", "sip-net", "media-core", "media-rt", "control-plane", "firmware-config"],
    ),
];

const PURE: [&str; 3] = ["sip-stack", "media-core", "control-plane"];
const SHELLS: [&str; 3] = ["sip-stack/net", "media-core/rt", "control-plane/appliance"];

/// The names of our own packages.
const OURS: [&str; 10] = [
    "sip-stack",
    "sip-net",
    "media-core",
    "media-rt",
    "control-plane",
    "clavija",
    "firmware-config",
    "clavija-probes",
    "clavija-tests",
    "clavija-benches",
];

/// Packages that open sockets or files, read clocks, start threads or print.
const IO: [&str; 16] = [
    "async-std",
    "axum",
    "crossbeam",
    "hyper",
    "libc",
    "mio",
    "nix",
    "parking_lot",
    "reqwest",
    "rusqlite",
    "smol",
    "socket2",
    "tokio",
    "tower-http",
    "tracing-subscriber",
    "webrtc",
];

/// What a pure crate's `clippy.toml` forbids.
const BANS: [&str; 6] = [
    "std::time::Instant::now",
    "std::time::SystemTime::now",
    "std::thread::spawn",
    "std::net::UdpSocket",
    "std::sync::Mutex",
    "std::collections::HashMap",
];

#[test]
fn crates_import_only_downwards_and_pure_crates_import_no_io() {
    for (folder, allowed) in MAY_IMPORT {
        let pure = PURE.contains(folder);
        for name in dependencies(&root().join(folder).join("Cargo.toml")) {
            let ours = OURS.contains(&name.as_str());
            assert!(!ours || allowed.contains(&name.as_str()), "{folder} may not import {name}");
            assert!(!pure || !IO.contains(&name.as_str()), "{folder} is pure, {name} is not");
        }
    }
}

#[test]
fn every_member_is_under_the_import_rule_or_a_test() {
    let manifest: toml::Table = read(&root().join("Cargo.toml")).parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    for member in members.iter().map(|member| member.as_str().unwrap()) {
        let ruled = MAY_IMPORT.iter().any(|(folder, _)| *folder == member);
        assert!(
            ruled || ["tests", "tests/probes", "benches"].contains(&member),
            "no import rule for {member}"
        );
    }
}

#[test]
fn every_member_takes_lints_and_versions_from_the_workspace() {
    for manifest in files(&["toml"]).iter().filter(|path| path.ends_with("Cargo.toml")) {
        let table: toml::Table = read(manifest).parse().unwrap();
        if table.contains_key("workspace") {
            continue;
        }
        let place = manifest.display();
        assert_eq!(table["lints"]["workspace"].as_bool(), Some(true), "{place}");
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, wanted) in
                table.get(kind).and_then(toml::Value::as_table).into_iter().flatten()
            {
                let shared = wanted.get("workspace").and_then(toml::Value::as_bool);
                assert_eq!(
                    shared,
                    Some(true),
                    "{place}: the version of {name} belongs into the workspace table"
                );
            }
        }
    }
}

#[test]
fn pure_crates_forbid_clocks_threads_and_sockets_and_their_shells_lift_the_ban() {
    for folder in PURE {
        let bans = read(&root().join(folder).join("clippy.toml"));
        for ban in BANS {
            assert!(
                bans.contains(&format!("\"{ban}\"")),
                "{folder}/clippy.toml does not forbid {ban}"
            );
        }
    }
    for folder in SHELLS {
        let own = read(&root().join(folder).join("clippy.toml"));
        assert!(!own.contains("disallowed"), "{folder} would inherit the ban of the folder above");
    }
}

#[test]
fn every_source_file_begins_by_saying_what_it_is() {
    for file in files(&["rs"]) {
        let text = read(&file);
        let first = text.lines().next().unwrap_or_default();
        let said = first.strip_prefix("//! ").is_some_and(|said| said.len() > 15);
        assert!(said, "{}: the first line is {first:?}", file.display());
    }
}

#[test]
fn nothing_is_left_to_do_and_no_test_is_left_out() {
    // Put together here, so that this file does not contain them.
    let never = [["to", "do!("], ["unimple", "mented!("], ["#[ig", "nore"], ["db", "g!("]]
        .map(|part| part.concat());
    for file in files(&["rs"]) {
        let text = read(&file);
        for words in &never {
            assert!(!text.contains(words), "{}: {words}", file.display());
        }
    }
}

#[test]
fn unsafe_code_stands_only_in_the_two_shells_that_need_it_and_in_an_allocator_that_counts() {
    let lifted = [
        "media-core/rt",
        "sip-stack/net",
        "benches/src/allocations.rs",
        "media-core/tests/tick_allocates_nothing.rs",
    ]
    .map(|place| root().join(place));
    for file in files(&["rs"]) {
        let here = lifted.iter().any(|place| file.starts_with(place));
        let lifts = ["allow", "expect"]
            .iter()
            .any(|word| read(&file).contains(&format!("{word}({}_code", "unsafe")));
        assert!(here || !lifts, "{}", file.display());
    }
}

#[test]
fn the_project_names_no_path_of_the_machine_it_was_written_on() {
    let foreign = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"]].map(|part| part.concat());
    for file in files(&["rs", "toml", "xml", "md", "yml", "sh", "service", "Makefile", "run"]) {
        let text = read(&file);
        for path in &foreign {
            assert!(!text.contains(path), "{} names {path}", file.display());
        }
    }
}

#[test]
fn no_word_of_the_makefile_runs_a_program_by_what_cargo_run_does_not_know() {
    // `cargo run` takes one package and knows no --workspace.
    let makefile = read(&root().join("Makefile"));
    let wrong = |line: &&str| line.contains("cargo run") && line.contains("$(FAST)");
    assert_eq!(makefile.lines().find(wrong), None);
}

#[test]
fn every_scenario_says_what_it_is_and_is_used() {
    let sources: String = files(&["rs"]).iter().map(|file| read(file)).collect();
    for file in files(&["xml"]) {
        let text = read(&file);
        let name = file.file_stem().unwrap().to_str().unwrap();
        assert!(
            text.lines().nth(1).is_some_and(|line| line.starts_with("<!-- ")),
            "{name} says nothing"
        );
        assert!(sources.contains(&format!("\"{name}\"")), "no test uses {name}.xml");
    }
}

fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let table: toml::Table = read(manifest).parse().unwrap();
    let named = table.get("dependencies").and_then(toml::Value::as_table);
    named.map(|named| named.keys().cloned().collect()).unwrap_or_default()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// All files of the project whose names end so, without what is built or kept by git.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let mut found = vec![];
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            if path.is_dir() && !["target", ".git", "node_modules"].contains(&name.as_str()) {
                folders.push(path);
            } else if path.is_file()
                && endings
                    .iter()
                    .any(|ending| name == *ending || name.ends_with(&format!(".{ending}")))
            {
                found.push(path);
            }
        }
    }
    assert!(!found.is_empty(), "no files ending in {endings:?}");
    found
}
