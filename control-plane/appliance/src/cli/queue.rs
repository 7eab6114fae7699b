//! `clavija queue …`.

use super::output::{Column, Output};
use crate::{client::Client, error::Failure};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Every team's queue.
    List,
}

const COLUMNS: [Column; 4] = [
    ("TEAM", "team"),
    ("WAITING", "waiting"),
    ("LONGEST WAIT (s)", "longest_wait_seconds"),
    ("AVAILABLE", "agents_available"),
];

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => out.list(&client.get("/api/v1/queues").await?, &COLUMNS),
    }
}
