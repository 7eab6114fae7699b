//! What the documents say is so: every test a promise names exists, every page a page names is there.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Every file below a folder with this ending, without what was built.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            files(&path, ending, found);
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
}

/// Words in backquotes that look like the name of a test: words joined by underscores.
fn tests_named_in(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_sentence = |word: &&str| {
        word.matches('_').count() >= 3
            && word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
    };
    quoted.filter(is_sentence).filter(|word| !word.starts_with("clavija_")).collect()
}

#[test]
fn every_test_that_holds_a_promise_exists() {
    let mut sources = Vec::new();
    files(&root(), ".rs", &mut sources);
    let code: String = sources.iter().map(|file| read(file)).collect();

    let specification = read(&root().join("SPECIFICATION.md"));
    let named = tests_named_in(&specification);

    assert!(named.len() > 40, "only {} tests are named", named.len());
    for test in named {
        assert!(
            code.contains(&format!("fn {test}(")),
            "SPECIFICATION.md names {test}, which is no test"
        );
    }
}

#[test]
fn every_page_that_a_page_points_at_is_there() {
    let mut pages = Vec::new();
    files(&root(), ".md", &mut pages);
    let mut followed = 0;
    for page in pages {
        let text = read(&page);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            followed += 1;
            let there = page.parent().unwrap().join(target);
            assert!(there.exists(), "{} points at {target}, which is not there", page.display());
        }
    }
    assert!(followed > 10, "only {followed} links were followed");
}

#[test]
fn every_decision_has_its_parts() {
    let mut decisions = Vec::new();
    files(&root().join("docs/adr"), ".md", &mut decisions);
    decisions.retain(|page| !page.ends_with("README.md"));
    assert!(decisions.len() > 5);
    for page in decisions {
        let text = read(&page);
        for part in
            ["Status", "## Context", "## Decision", "## Consequences", "## Looked at", "## Proof"]
        {
            assert!(text.contains(part), "{} has no {part}", page.display());
        }
    }
}

#[test]
fn the_manual_of_the_configuration_knows_every_key_of_the_contracts_files() {
    let manual = read(&root().join("docs/config.md"));
    for file in ["node.toml", "site.toml"] {
        let text = read(&root().join("tests/contract").join(file));
        for line in text.lines() {
            let Some((key, _)) = line.split_once('=') else { continue };
            let key = key.trim().trim_start_matches('#').trim();
            assert!(manual.contains(key), "docs/config.md says nothing of `{key}` in {file}");
        }
    }
}

#[test]
fn every_code_of_a_problem_stands_in_the_manual_of_the_api() {
    let mut sources = Vec::new();
    files(&root().join("control-plane/appliance/src"), ".rs", &mut sources);
    let manual = read(&root().join("docs/api.md"));
    let mut seen = 0;
    for source in sources {
        let text = read(&source);
        for call in ["conflict(\"", "not_found(\"", "unavailable(\""] {
            for code in text.split(call).skip(1).filter_map(|rest| rest.split('"').next()) {
                seen += 1;
                assert!(manual.contains(&format!("`{code}`")), "docs/api.md does not know {code}");
            }
        }
    }
    assert!(seen > 20, "only {seen} were found");
}

#[test]
fn every_label_of_a_metric_has_a_row_that_says_its_values() {
    let manual = read(&root().join("docs/metrics.md"));
    let rows: Vec<Vec<&str>> = manual
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(str::trim).collect())
        .collect();
    let known: BTreeSet<&str> =
        rows.iter().filter(|row| row.len() == 4).flat_map(|row| row[1].split(", ")).collect();
    let metrics = rows.iter().filter(|row| row.len() == 6 && row[1].starts_with("`clavija_"));
    for row in metrics {
        for label in row[3].split('`').skip(1).step_by(2) {
            assert!(known.contains(label), "{label} of {} has no row", row[1]);
        }
    }
    assert!(known.contains("side"));
}
