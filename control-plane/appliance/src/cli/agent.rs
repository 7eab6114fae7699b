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
    /// One agent.
    Show { name: String },
    /// No more calls for this agent, until told.
    Pause { name: String },
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

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => out.list(&client.get("/api/v1/agents").await?, &COLUMNS),
        Verb::Show { name } => {
            let agent = client.get(&format!("/api/v1/agents/{}", segment(&name))).await?;
            out.one(&agent, &COLUMNS)
        }
        Verb::Pause { name } => set(&name, "paused", client, out).await,
        Verb::Resume { name } => set(&name, "available", client, out).await,
    }
}

async fn set(name: &str, state: &str, client: &Client, out: &mut Output) -> Result<(), Failure> {
    let path = format!("/api/v1/agents/{}/state", segment(name));
    client.post(&path, &json!({ "state": state })).await?;
    out.say(&format!("{name}: {state} accepted"))
}
