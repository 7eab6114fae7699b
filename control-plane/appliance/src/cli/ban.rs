//! `clavija ban …`.

use super::output::{Column, Output};
use crate::{
    client::{Client, segment},
    error::Failure,
};
use clap::Subcommand;
use serde_json::json;
use std::net::IpAddr;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Every source that is not heard at this moment.
    List,
    /// Hears a source again.
    Lift { address: IpAddr },
}

const COLUMNS: [Column; 4] = [
    ("ADDRESS", "address"),
    ("REASON", "reason"),
    ("SECONDS LEFT", "seconds_left"),
    ("TIMES", "times"),
];

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => out.list(&client.get("/api/v1/bans").await?, &COLUMNS),
        Verb::Lift { address } => {
            let path = format!("/api/v1/bans/{}/actions/lift", segment(&address.to_string()));
            client.post(&path, &json!({})).await?;
            out.say(&format!("{address}: heard again"))
        }
    }
}
