//! `clavija recording …`.

use super::output::{Column, Output};
use crate::{
    client::{Client, segment},
    error::Failure,
};
use clap::Subcommand;
use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Recordings, newest first.
    List,
    /// Writes a recording as WAV.
    Get {
        id: String,
        /// Where to; `-` is standard output [default: ID.wav].
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
}

const COLUMNS: [Column; 6] = [
    ("ID", "id"),
    ("STARTED", "started_at"),
    ("SECONDS", "seconds"),
    ("BYTES", "bytes"),
    ("FRAMES LOST", "frames_lost"),
    ("ACTIVE", "active"),
];

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => out.list(&client.get("/api/v1/recordings").await?, &COLUMNS),
        Verb::Get { id, to } => {
            let path = format!("/api/v1/recordings/{}", segment(&id));
            // Nothing is written for a recording that is not there, and `id` is a file name then.
            client.get(&path).await?;
            let audio = format!("{path}/audio");
            match to {
                Some(to) if to == Path::new("-") => {
                    client.download(&audio, out.bytes()).await?;
                    Ok(out.bytes().flush()?)
                }
                Some(to) => download(client, &audio, &to, out).await,
                None => download(client, &audio, &PathBuf::from(format!("{id}.wav")), out).await,
            }
        }
    }
}

async fn download(
    client: &Client,
    audio: &str,
    to: &Path,
    out: &mut Output,
) -> Result<(), Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o640).open(to);
    let mut file = made.map_err(|error| {
        let what = format!("{}: {error}", to.display());
        if error.kind() == io::ErrorKind::AlreadyExists {
            Failure::Conflict(what)
        } else {
            Failure::Failed(what)
        }
    })?;
    let bytes = client.download(audio, &mut file).await?;
    file.sync_all()?;
    out.say(&format!("{} ({bytes} bytes)", to.display()))
}
