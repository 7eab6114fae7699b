//! `clavija hours …`.

use super::output::{Column, Output};
use crate::{client::Client, error::Failure};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Every calendar: open or closed, until when, and whose calls go by it.
    List,
}

const COLUMNS: [Column; 7] = [
    ("HOURS", "name"),
    ("STATE", "state"),
    ("UNTIL", "until"),
    ("BY", "by"),
    ("TIME ZONE", "time_zone"),
    ("NUMBERS", "numbers"),
    ("TEAMS", "team_names"),
];

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => out.list(&client.get("/api/v1/hours").await?, &COLUMNS),
    }
}
