//! `clavija status`.

use super::output::{Column, Output};
use crate::{client::Client, error::Failure};

const ROWS: [Column; 13] = [
    ("node", "node"),
    ("version", "version"),
    ("state", "state"),
    ("calls", "calls_active"),
    ("talking", "calls_talking"),
    ("waiting", "callers_waiting"),
    ("agents signed in", "agents_signed_in"),
    ("agents available", "agents_available"),
    ("recordings", "recordings_active"),
    ("double claims", "double_claims"),
    ("overloaded", "overloaded"),
    ("media threads", "media_threads"),
    ("alarms", "alarms"),
];

pub(super) async fn status(client: &Client, out: &mut Output) -> Result<(), Failure> {
    out.one(&client.get("/api/v1/status").await?, &ROWS)
}
