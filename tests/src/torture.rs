//! The torture set of `tests/corpus/torture`: messages byte for byte, and what each must get.

use std::{collections::BTreeSet, fs, path::PathBuf};

/// What the grammar says of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grammar {
    Valid,
    Invalid,
    /// Must be read, whatever another layer says of it.
    Readable,
    /// RFC 5118.
    Valid6,
    Invalid6,
}

/// What the sender gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The layer above is offered a call.
    Call,
    Status(u16),
    Silence,
}

/// One message and its row.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub grammar: Grammar,
    pub answer: Answer,
    /// What the standard names for it; empty if it leaves the choice.
    pub standard: Vec<Answer>,
    pub section: String,
    pub why: String,
    pub bytes: Vec<u8>,
}

/// All of it, in the order of the table.
///
/// # Panics
/// If the table and the files do not fit each other.
pub fn cases() -> Vec<Case> {
    let folder = folder();
    let table = fs::read_to_string(folder.join("table.txt")).expect("the table is committed");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    let cases: Vec<_> = rows.map(read_row).collect();
    let named: BTreeSet<_> = cases.iter().map(|case| format!("{}.sip", case.name)).collect();
    let files = fs::read_dir(&folder).expect("the corpus is committed").map(|entry| {
        entry.expect("it can be listed").file_name().into_string().expect("names are ASCII")
    });
    let files: BTreeSet<_> = files.filter(|name| name.ends_with(".sip")).collect();
    assert_eq!(named, files, "every row has its file and every file its row");
    cases
}

fn read_row(row: &str) -> Case {
    let fields: Vec<_> = row.split('|').map(str::trim).collect();
    let [name, grammar, answer, standard, section, why] = fields[..] else {
        panic!("six fields in {row}");
    };
    let grammar = match grammar {
        "valid" => Grammar::Valid,
        "invalid" => Grammar::Invalid,
        "readable" => Grammar::Readable,
        "valid6" => Grammar::Valid6,
        "invalid6" => Grammar::Invalid6,
        other => panic!("{name}: no grammar is {other}"),
    };
    let standard = standard.split('/').filter(|&code| code != "-").map(read_answer).collect();
    let file = folder().join(format!("{name}.sip"));
    let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    Case {
        name: name.to_owned(),
        grammar,
        answer: read_answer(answer),
        standard,
        section: section.to_owned(),
        why: why.to_owned(),
        bytes,
    }
}

fn read_answer(text: &str) -> Answer {
    match text {
        "call" => Answer::Call,
        "silence" => Answer::Silence,
        code => Answer::Status(code.parse().unwrap_or_else(|_| panic!("no status is {code}"))),
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus/torture")
}
