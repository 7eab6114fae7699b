//! `clavija agent …`.

use super::output::{Column, Output};
use crate::{
    client::{Client, segment},
    error::Failure,
};
use clap::Subcommand;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Every agent.
    List,
    /// One agent, and where their phones are.
    Show { name: String },
    /// No more calls for this agent, until told.
    Pause {
        name: String,
        /// Words for people, like "lunch"
        #[arg(long)]
        reason: Option<String>,
    },
    /// Calls for this agent again.
    Resume { name: String },
}

const COLUMNS: [Column; 7] = [
    ("NAME", "name"),
    ("EXTENSION", "extension"),
    ("STATE", "state"),
    ("REASON", "reason"),
    ("CALL", "call_id"),
    ("SINCE", "since"),
    ("TEAMS", "team_names"),
];

const CONTACT_COLUMNS: [Column; 7] = [
    ("CONTACT", "uri"),
    ("ADDRESS", "address"),
    ("TRANSPORT", "transport"),
    ("FLOW", "flow"),
    ("EXPIRES (s)", "expires_seconds"),
    ("DIGEST", "digest"),
    ("USER AGENT", "user_agent"),
];

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => {
            let mut agents = client.get("/api/v1/agents").await?;
            if out.is_for_people() {
                agents["items"].as_array_mut().into_iter().flatten().for_each(say_what_comes);
            }
            out.list(&agents, &COLUMNS)
        }
        Verb::Show { name } => {
            let mut agent = client.get(&format!("/api/v1/agents/{}", segment(&name))).await?;
            if out.is_for_people() {
                say_what_comes(&mut agent);
            }
            out.one(&agent, &COLUMNS)?;
            out.more(&agent["contacts"], &CONTACT_COLUMNS)
        }
        Verb::Pause { name, reason } => set(&name, "paused", reason.as_deref(), client, out).await,
        Verb::Resume { name } => set(&name, "available", None, client, out).await,
    }
}

async fn set(
    name: &str,
    state: &str,
    reason: Option<&str>,
    client: &Client,
    out: &mut Output,
) -> Result<(), Failure> {
    let path = format!("/api/v1/agents/{}/state", segment(name));
    client.post(&path, &json!({ "state": state, "reason": reason })).await?;
    out.say(&format!("{name}: {state} accepted"))
}

/// A pause that has not begun stands where its reason will: `(then lunch)`.
fn say_what_comes(agent: &mut Value) {
    if let Some(next) = agent["pause_pending"].as_str() {
        agent["reason"] = format!("(then {next})").into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_that_has_not_begun_stands_where_its_reason_will() {
        let mut agent = json!({"state": "busy", "reason": null, "pause_pending": "lunch"});
        let mut paused = json!({"state": "paused", "reason": "lunch", "pause_pending": null});

        say_what_comes(&mut agent);
        say_what_comes(&mut paused);

        assert_eq!(
            (&agent["reason"], &paused["reason"]),
            (&"(then lunch)".into(), &"lunch".into())
        );
    }
}
