//! `clavija config …`.

use super::{
    output::{Column, Output},
    target::{Target, host, load},
};
use crate::{
    choice::{self, Own},
    client::Client,
    error::Failure,
    generations::Clocks,
    start::{StartError, take_data_dir},
};
use clap::{Args, Subcommand};
use firmware_config::{Source, Sources};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Says every fault with its place, and what would be accepted.
    Check { file: PathBuf },
    /// Says what a file would change, and when each line takes hold.
    Diff {
        /// The configuration named by --config, if left out.
        file: Option<PathBuf>,
        /// `running`, or `gen:N`.
        #[arg(long, default_value = "running", value_parser = against)]
        against: Against,
    },
    /// Lets a file take the place of what holds; calls keep what they began with.
    Apply {
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// Applies the files anew that the appliance was started with.
    Reload {
        #[command(flatten)]
        how: How,
        /// Until it holds. It always waits; systemd units say so.
        #[arg(long)]
        wait: bool,
    },
    /// Says that the appliance can still be reached after an apply with --confirm.
    Confirm,
    /// Back to the generation before, or to one of the history.
    Rollback {
        generation: Option<u64>,
        /// Goes to where it was if nobody confirms within this time, like 10m.
        #[arg(long, value_name = "TIME", value_parser = time_to_confirm)]
        confirm: Option<Duration>,
        /// With the next start, the live part of it too.
        #[arg(long)]
        at_restart: bool,
        /// Only if nobody confirmed in time and the appliance does not run.
        #[arg(long, conflicts_with_all = ["generation", "confirm", "at_restart"])]
        unconfirmed: bool,
    },
    /// Every configuration that held.
    History,
    /// What holds, without secrets.
    Show {
        /// Every key with its value, defaults too.
        #[arg(long)]
        rendered: bool,
    },
    /// The JSON Schema of both files.
    Schema,
}

#[derive(Args, Clone, Copy, Debug)]
pub(super) struct How {
    /// Only says what would change.
    #[arg(long)]
    dry_run: bool,
    /// Goes back by itself if nobody confirms within this time, like 10m.
    #[arg(long, value_name = "TIME", value_parser = time_to_confirm)]
    confirm: Option<Duration>,
    /// Holds from the next start on.
    #[arg(long)]
    at_restart: bool,
}

/// What a file is compared with; none is what runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Against(Option<u64>);

fn against(text: &str) -> Result<Against, String> {
    let generation = text.strip_prefix("gen:").and_then(|number| number.parse().ok());
    match (text, generation) {
        ("running", _) => Ok(Against(None)),
        (_, Some(number)) => Ok(Against(Some(number))),
        (_, None) => Err("write running or gen:N, like gen:7".to_owned()),
    }
}

fn time_to_confirm(text: &str) -> Result<Duration, String> {
    let day = Duration::from_secs(86_400);
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_secs(1)..=day).contains(&time) => Ok(time),
        Ok(_) => Err("write 1s to 24h".to_owned()),
        Err(error) => Err(format!("{error}; write it like 10m")),
    }
}

const DIFFERENCES: [Column; 4] =
    [("TAKES HOLD", "change"), ("KEY", "key"), ("WAS", "was"), ("IS", "is")];

const GENERATIONS: [Column; 8] = [
    ("GENERATION", "generation"),
    ("CURRENT", "current"),
    ("STAGED", "staged"),
    ("MADE", "made_at"),
    ("BY", "by"),
    ("OF", "of"),
    ("CONFIRM UNTIL", "confirm_until"),
    ("HASH", "hash"),
];

/// What needs no running appliance; gives back what does.
pub(super) fn offline(
    verb: Verb,
    target: &Target,
    out: &mut Output,
) -> Result<Option<Verb>, Failure> {
    match verb {
        Verb::Check { file } => check(&file, out).map(|()| None),
        Verb::Schema => {
            writeln!(out.bytes(), "{:#}", firmware_config::schema())?;
            Ok(None)
        }
        Verb::Rollback { unconfirmed: true, .. } => go_back_if_dead(target, out).map(|()| None),
        Verb::Apply { .. }
        | Verb::Confirm
        | Verb::Diff { .. }
        | Verb::History
        | Verb::Reload { .. }
        | Verb::Rollback { .. }
        | Verb::Show { .. } => Ok(Some(verb)),
    }
}

pub(super) async fn run(
    verb: Verb,
    target: &Target,
    client: &Client,
    out: &mut Output,
) -> Result<(), Failure> {
    match verb {
        Verb::Check { .. } | Verb::Schema => Ok(()),
        Verb::Diff { file, against } => {
            let file = file.map_or_else(|| target.file(), Ok)?;
            let mut body = files(&file)?;
            body["generation"] = json!(against.0);
            let found = client.post_for("/api/v1/config/diff", &body).await?;
            match found["items"].as_array() {
                Some(items) if items.is_empty() && !out.is_json() => out.say("nothing differs"),
                Some(_) | None => out.list(&found, &DIFFERENCES),
            }
        }
        Verb::Apply { file, how } => {
            let mut body = files(&file)?;
            how.write(&mut body);
            let done = client.post_for("/api/v1/config/apply", &body).await?;
            say(&done, out)
        }
        Verb::Reload { how, wait: _ } => {
            let mut body = json!({});
            how.write(&mut body);
            let done = client.post_for("/api/v1/config/reload", &body).await?;
            say(&done, out)
        }
        Verb::Confirm => {
            client.post("/api/v1/config/confirm", &json!({})).await?;
            out.say("confirmed")
        }
        Verb::Rollback { generation, confirm, at_restart, .. } => {
            let body = json!({
                "generation": generation,
                "confirm_seconds": confirm.map(|confirm| confirm.as_secs()),
                "at_restart": at_restart,
            });
            let done = client.post_for("/api/v1/config/rollback", &body).await?;
            say(&done, out)
        }
        Verb::History => out.list(&client.get("/api/v1/config/generations").await?, &GENERATIONS),
        Verb::Show { rendered } => show(&client.get("/api/v1/config").await?, rendered, out),
    }
}

fn check(file: &Path, out: &mut Output) -> Result<(), Failure> {
    let loaded = load(file)?;
    for warning in &loaded.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    let config = loaded.config;
    let counts = [
        (config.trunks.len(), "trunk"),
        (config.agents.len(), "agent"),
        (config.music.len(), "tune"),
        (config.teams.len(), "team"),
        (config.numbers.len(), "number"),
    ];
    let counts =
        counts.map(|(count, what)| format!("{count} {what}{}", if count == 1 { "" } else { "s" }));
    out.say(&format!("{} is valid: {}", file.display(), counts.join(", ")))
}

impl How {
    fn write(self, body: &mut Value) {
        body["dry_run"] = json!(self.dry_run);
        body["at_restart"] = json!(self.at_restart);
        body["confirm_seconds"] = json!(self.confirm.map(|confirm| confirm.as_secs()));
    }
}

/// The files as the appliance is sent them: it may not be allowed to read where they lie.
fn files(file: &Path) -> Result<Value, Failure> {
    let Sources { node, site } = firmware_config::sources(file).map_err(Failure::InvalidConfig)?;
    let one = |source: Source| json!({ "name": source.name, "folder": source.folder, "text": source.text });
    Ok(json!({ "node": one(node), "site": site.map(one) }))
}

fn say(done: &Value, out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.document(done);
    }
    let generation = &done["generation"];
    let again = done["of"].as_u64().map(|of| format!("; it is generation {of} again"));
    let again = again.unwrap_or_default();
    let differences = &done["differences"];
    let nothing = differences.as_array().is_none_or(Vec::is_empty);
    out.say(&match done["applied"].as_str() {
        Some("live") => format!("generation {generation} holds{again}"),
        Some("at_restart") => {
            format!("generation {generation} holds from the next start on{again}")
        }
        Some("dry_run") => "nothing was changed; this would change:".to_owned(),
        _ if !nothing => "nothing was changed; this takes hold at the restart:".to_owned(),
        _ => format!("nothing differs from generation {generation}"),
    })?;
    if let Some(until) = done["confirm_until"].as_str() {
        out.say(&format!("clavija config confirm, until {until}; else it is gone back from"))?;
    }
    if nothing {
        return Ok(());
    }
    out.list(&json!({ "items": differences }), &DIFFERENCES)
}

fn show(held: &Value, rendered: bool, out: &mut Output) -> Result<(), Failure> {
    if out.is_json() {
        return out.document(held);
    }
    if rendered {
        let text = held["rendered"].as_str().unwrap_or_default();
        return Ok(write!(out.bytes(), "{text}")?);
    }
    for file in held["files"].as_array().into_iter().flatten() {
        let (name, text) = (file["name"].as_str(), file["text"].as_str());
        let (name, text) = (name.unwrap_or_default(), text.unwrap_or_default());
        writeln!(out.bytes(), "# ---- {name}\n{text}")?;
    }
    Ok(())
}

/// What a timer of systemd asks for: an appliance that runs does it by itself, one that is dead
/// must not come back with what nobody confirmed.
fn go_back_if_dead(target: &Target, out: &mut Output) -> Result<(), Failure> {
    let own = Own::read(target.file()?, &host()?);
    let dir = own.data_dir()?;
    let lock = match take_data_dir(&dir) {
        Ok(lock) => lock,
        Err(StartError::InUse { .. }) => return out.say("the appliance runs and sees to it"),
        Err(error) => return Err(Failure::Failed(error.to_string())),
    };
    let went = choice::go_back_if_due(&own, &dir, Clocks::now())?;
    drop(lock);
    out.say(if went { "gone back to what was confirmed" } else { "nothing to go back from" })
}
