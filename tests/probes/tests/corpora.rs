//! Every input the fuzzers found worth keeping, and every one that once broke something, on stable.
#![allow(clippy::unwrap_used)]

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

#[test]
fn every_probe_has_a_target_and_every_target_a_probe() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
    let mut targets: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    targets.sort();

    assert_eq!(targets, PROBES.map(|(name, _)| name));
    let manifest = include_str!("../../fuzz/Cargo.toml");
    for (name, _) in PROBES {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in the manifest");
    }
}
