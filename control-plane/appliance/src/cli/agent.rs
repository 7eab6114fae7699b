//! `clavija agent …`.

use super::output::{Column, Output};
use crate::{
    client::{Client, segment},
    error::Failure,
};
use clap::Subcommand;
use serde_json::json;

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
        Verb::List => out.list(&client.get("/api/v1/agents").await?, &COLUMNS),
        Verb::Show { name } => {
            let agent = client.get(&format!("/api/v1/agents/{}", segment(&name))).await?;
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
