//! `clavija call …`.

use super::output::{Column, Output};
use crate::{
    client::{Client, segment},
    error::Failure,
};
use clap::Subcommand;
use serde_json::json;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Calls that go on, or have ended.
    List {
        /// The last calls that have ended.
        #[arg(long)]
        ended: bool,
    },
    /// One call and its story.
    Show { id: String },
    /// Ends a call.
    Hangup { id: String },
    /// Lets the caller wait to music.
    Hold { id: String },
    /// Ends a hold.
    Resume { id: String },
}

const COLUMNS: [Column; 8] = [
    ("ID", "id"),
    ("STATE", "state"),
    ("FROM", "from"),
    ("NUMBER", "number"),
    ("TEAM", "team"),
    ("AGENT", "agent"),
    ("SINCE", "started_at"),
    ("END", "end"),
];

const ROWS: [Column; 17] = [
    ("id", "id"),
    ("state", "state"),
    ("direction", "direction"),
    ("from", "from"),
    ("number", "number"),
    ("trunk", "trunk"),
    ("trunk out", "trunk_out"),
    ("team", "team"),
    ("agent", "agent"),
    ("started", "started_at"),
    ("answered", "answered_at"),
    ("bridged", "bridged_at"),
    ("ended", "ended_at"),
    ("end", "end"),
    ("reason", "end_reason"),
    ("recording", "recording_id"),
    ("talk seconds", "talk_seconds"),
];

const EVENTS: [Column; 3] = [("AT", "at"), ("EVENT", "event"), ("DETAIL", "detail")];

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List { ended } => {
            let state = if ended { "ended" } else { "active" };
            out.list(&client.get(&format!("/api/v1/calls?state={state}")).await?, &COLUMNS)
        }
        Verb::Show { id } => {
            let call = client.get(&format!("/api/v1/calls/{}", segment(&id))).await?;
            out.one(&call, &ROWS)?;
            out.more(&call["events"], &EVENTS)
        }
        Verb::Hangup { id } => act(&id, "hangup", client, out).await,
        Verb::Hold { id } => act(&id, "hold", client, out).await,
        Verb::Resume { id } => act(&id, "resume", client, out).await,
    }
}

async fn act(id: &str, action: &str, client: &Client, out: &mut Output) -> Result<(), Failure> {
    let path = format!("/api/v1/calls/{}/actions/{action}", segment(id));
    client.post(&path, &json!({})).await?;
    out.say(&format!("{id}: {action} accepted"))
}
