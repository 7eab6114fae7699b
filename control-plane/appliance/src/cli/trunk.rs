//! `clavija trunk …`.

use super::output::{Column, Output};
use crate::{
    client::{Client, segment},
    error::Failure,
};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Every trunk.
    List,
    /// Asks a trunk whether it is there (OPTIONS), and says what it answered and what to do.
    Test { name: String },
}

const COLUMNS: [Column; 6] = [
    ("NAME", "name"),
    ("ADDRESS", "address"),
    ("TRANSPORT", "transport"),
    ("PSTN", "pstn"),
    ("CALLS", "calls_active"),
    ("CALLS MAX", "calls_max"),
];

const TEST_COLUMNS: [Column; 7] = [
    ("TRUNK", "trunk"),
    ("ADDRESS", "address"),
    ("TRANSPORT", "transport"),
    ("RESULT", "result"),
    ("CODE", "code"),
    ("TIME (ms)", "milliseconds"),
    ("ADVICE", "advice"),
];

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => out.list(&client.get("/api/v1/trunks").await?, &COLUMNS),
        Verb::Test { name } => {
            let path = format!("/api/v1/trunks/{}/actions/test", segment(&name));
            let tested = client.post_for(&path, &json!({})).await?;
            out.one(&tested, &TEST_COLUMNS)?;
            judge(&tested)
        }
    }
}

/// The exit code is for scripts: 0 means that calls may be sent there.
fn judge(tested: &Value) -> Result<(), Failure> {
    if tested["ok"] == true {
        return Ok(());
    }
    let (trunk, result) = (&tested["trunk"], &tested["result"]);
    let said = tested["code"].as_u64().map_or_else(String::new, |code| format!(" with {code}"));
    let [trunk, result] = [trunk, result].map(|text| text.as_str().unwrap_or_default());
    Err(Failure::Failed(format!("trunk `{trunk}` cannot be called as it is: {result}{said}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_that_takes_no_calls_fails_the_verb_with_what_it_said() {
        assert!(judge(&json!({"ok": true, "trunk": "pbx", "result": "answered"})).is_ok());

        let no = json!({"ok": false, "trunk": "pbx", "result": "answered", "code": 503});
        let failure = judge(&no).unwrap_err();

        assert_eq!(failure.exit_code(), 1);
        assert_eq!(failure.to_string(), "trunk `pbx` cannot be called as it is: answered with 503");
    }
}
