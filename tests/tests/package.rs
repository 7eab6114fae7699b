//! The Debian package as an archive: what is in it, what it asks for, what its scripts call. Its life is lived in `make test-systemd`.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{appliance::binary, folder::TestFolder};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a tool says on stdout; its absence or failure fails the test by its name.
fn said(tool: &str, words: &[&str]) -> String {
    let output = Command::new(tool).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{tool}: {error}"));
    assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// This machine's, in Debian's words.
fn architecture() -> String {
    said("dpkg", &["--print-architecture"]).trim().to_owned()
}

fn package(folder: &TestFolder) -> String {
    let tool = root().join("tools/make-deb.sh").display().to_string();
    let (binary, output) = (binary().display().to_string(), folder.path().display().to_string());
    said(&tool, &[&binary, &output, &architecture(), "9.8.7"]).trim().to_owned()
}

#[test]
fn the_archive_holds_what_the_manifest_says_and_nothing_else() {
    let folder = TestFolder::new("package");
    let package = package(&folder);

    let list = said("dpkg-deb", &["-c", &package]);

    // Folders are the system's, except our own below /etc.
    let found: BTreeSet<String> = list
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            assert_eq!(words[1], "root/root", "{line}");
            let path = words[5].trim_start_matches("./").trim_end_matches('/');
            let ours = !line.starts_with('d') || path == "etc/clavija";
            ours.then(|| format!("{} {path}", words[0]))
        })
        .collect();
    let manifest = read("packaging/manifest.txt");
    let wanted = manifest.lines().filter(|line| !line.starts_with('#')).map(str::to_owned);
    assert_eq!(found, wanted.collect());
    let field = |name: &str| said("dpkg-deb", &["-f", &package, name]).trim().to_owned();
    assert_eq!((field("Version"), field("Architecture")), ("9.8.7".into(), architecture()));
    let needs = field("Depends");
    assert!(needs.contains("libc6 (>= 2.") && needs.contains("systemd (>= 252)"), "{needs}");
    assert_eq!(said("dpkg-deb", &["-I", &package, "conffiles"]).lines().count(), 2);
}

#[test]
fn the_scripts_are_sound_and_an_upgrade_restarts_without_stopping_first() {
    for script in ["postinst", "prerm", "postrm"] {
        let file = root().join("packaging/debian").join(script);
        said("sh", &["-n", file.to_str().unwrap()]);
        let text = read(&format!("packaging/debian/{script}"));
        assert!(text.starts_with("#!/bin/sh\n# ") && text.contains("\nset -e\n"), "{script}");
    }
    let (postinst, prerm) = (read("packaging/debian/postinst"), read("packaging/debian/prerm"));
    assert!(postinst.contains("action=restart") && !postinst.contains("stop clavija"));
    assert!(prerm.contains(r#"[ "$1" = remove ]"#), "an upgrade must not stop it");
    let postrm = read("packaging/debian/postrm");
    let (_, purge) = postrm.split_once(r#"[ "$1" = purge ]; then"#).unwrap();
    assert!(purge.contains("/var/lib/clavija"), "data goes with a purge");
}

#[test]
fn the_manual_knows_every_verb_and_every_key() {
    let help = said(binary().to_str().unwrap(), &["help"]);
    let (_, verbs) = help.split_once("Commands:\n").unwrap();
    let manual = read("packaging/man/clavija.1");
    let mut known = 0;
    for verb in verbs.lines().take_while(|line| !line.is_empty()) {
        let verb = verb.split_whitespace().next().unwrap();
        known += 1;
        assert!(
            manual.contains(&format!("\n.TP\n.B {verb}\n")),
            "clavija.1 says nothing of {verb}"
        );
    }
    assert!(known > 8, "{verbs}");

    let script = root().join("packaging/man/config.awk").display().to_string();
    let page = root().join("docs/config.md").display().to_string();
    let made = said("awk", &["-v", "version=9.8.7", "-f", &script, &page]);
    assert!(!made.contains("firmware"), "the package has no file of the sources' folders");
    let schema = said(binary().to_str().unwrap(), &["config", "schema"]);
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let mut keys = BTreeSet::new();
    gather_keys(&schema, &mut keys);
    assert!(keys.len() > 50, "{keys:?}");
    // As the page writes them: in bold, alone, behind the table they stand in, or in brackets.
    let bold = made.split("\\fB").skip(1).filter_map(|rest| Some(rest.split_once("\\fR")?.0));
    let words: BTreeSet<&str> =
        bold.flat_map(|bold| bold.split(|c: char| !c.is_ascii_lowercase() && c != '_')).collect();
    for key in keys {
        assert!(words.contains(key.as_str()), "clavija.toml.5 says nothing of {key}");
    }
}

/// The names of all properties of a JSON schema, of tables and of what is in them.
fn gather_keys(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    match schema {
        serde_json::Value::Object(object) => {
            if let Some(serde_json::Value::Object(properties)) = object.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            object.values().for_each(|value| gather_keys(value, keys));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| gather_keys(item, keys)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}
