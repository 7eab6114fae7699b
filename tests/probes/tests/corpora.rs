//! Every input the fuzzers found worth keeping, and every one that once broke something, on stable.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_probes::{PROBES, Probe};
use std::{fs, path::PathBuf};

fn corpus(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../corpus/fuzz").join(name)
}

fn replay(name: &str, probe: Probe) {
    let folders = if name == "message" { vec![name, "../torture"] } else { vec![name] };
    let mut inputs: Vec<_> = folders
        .into_iter()
        .flat_map(|folder| {
            fs::read_dir(corpus(folder))
                .unwrap_or_else(|error| panic!("the corpus of {name}: {error}"))
                .map(|entry| entry.unwrap().path())
        })
        .collect();
    inputs.sort();
    assert!(inputs.len() >= 5, "{name} has {} inputs", inputs.len());
    for input in inputs {
        #[expect(clippy::print_stdout, reason = "the last line before a panic names its input")]
        {
            println!("{}", input.display());
        }
        probe(&fs::read(&input).unwrap());
    }
}

#[test]
fn every_input_of_every_corpus_keeps_every_promise() {
    for (name, probe) in PROBES {
        replay(name, probe);
    }
}

/// One number after the other of every journal is made greater than any box counts, one line after the
/// other left out and said twice: each is lived on from, or refused.
#[test]
fn a_process_begins_with_any_journal_that_says_what_cannot_be() {
    let (mut tried, mut lived_on) = (0, 0);
    for entry in fs::read_dir(corpus("journal")).unwrap() {
        let text = String::from_utf8_lossy(&fs::read(entry.unwrap().path()).unwrap()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let mut variants: Vec<Vec<String>> = vec![];
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        for at in 0..lines.len() {
            let (mut without, mut twice): (Vec<String>, Vec<String>) =
                (owned(&lines), owned(&lines));
            without.remove(at);
            twice.insert(at, lines[at].to_owned());
            variants.extend([without, twice]);
            for (start, number) in numbers(lines[at]) {
                for other in
                    ["0", "1", "65535", "4294967295", "9223372036854775807", "18446744073709551615"]
                {
                    let mut changed: Vec<String> = owned(&lines);
                    changed[at].replace_range(start..start + number.len(), other);
                    variants.push(changed);
                }
            }
        }
        for variant in variants {
            tried += 1;
            let bytes = (variant.join("\n") + "\n").into_bytes();
            lived_on += u32::from(clavija_probes::journal_lived_on(&bytes));
        }
    }
    assert!(tried > 3_000, "only {tried}");
    // What is refused at its first line proves nothing of what is lived.
    assert!(lived_on * 3 > tried * 2, "only {lived_on} of {tried} were lived on from");
}

/// Every number that is a value or a key, and where it stands.
fn numbers(line: &str) -> Vec<(usize, &str)> {
    let json = line.get(9..).unwrap_or_default();
    let mut found = vec![];
    let mut at = 0;
    while let Some(start) = json[at..].find(|c: char| c.is_ascii_digit()).map(|n| n + at) {
        let rest = &json[start..];
        let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if json[..start].ends_with([':', '[', ',', '"']) {
            found.push((start + 9, &rest[..length]));
        }
        at = start + length;
    }
    found
}

#[test]
fn every_probe_has_a_target_and_every_target_a_probe() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut targets: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();

    assert_eq!(targets, PROBES.map(|(name, _)| name));
    let manifest: toml::Table = toml::from_str(include_str!("../../fuzz/Cargo.toml")).unwrap();
    let binaries: Vec<_> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|binary| ["name", "path"].map(|key| binary[key].as_str().unwrap().to_owned()))
        .collect();
    let wanted =
        PROBES.map(|(name, _)| [name.to_owned(), format!("fuzz_targets/{name}.rs")]).to_vec();
    assert_eq!(binaries, wanted);
}
