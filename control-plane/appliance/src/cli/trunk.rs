//! `clavija trunk …`.

use super::output::{Column, Output};
use crate::{client::Client, error::Failure};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Every trunk.
    List,
}

const COLUMNS: [Column; 4] =
    [("NAME", "name"), ("ADDRESS", "address"), ("PSTN", "pstn"), ("CALLS", "calls_active")];

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => out.list(&client.get("/api/v1/trunks").await?, &COLUMNS),
    }
}
