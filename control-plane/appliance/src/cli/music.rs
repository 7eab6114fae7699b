//! `clavija music …`.

use super::output::{Column, Output};
use crate::{
    client::{Client, ClientError, segment},
    error::Failure,
    music::{UPLOAD_BYTES_MAX, Unchanged, decode},
};
use clap::Subcommand;
use firmware_config::import_music;
use media_core::music::{Gain, Imported, Sound};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Says whether callers can be played a file, and how it will sound. Needs no running appliance.
    Check {
        file: PathBuf,
        /// As `gain_db` of its `[[music]]`.
        #[arg(long, value_name = "DB", allow_negative_numbers = true, value_parser = gain,
            default_value = "0")]
        gain_db: Gain,
    },
    /// What the appliance starts for each file that is sent to it: the file is standard input.
    #[command(hide = true)]
    Decode {
        #[arg(long, allow_negative_numbers = true, value_parser = gain)]
        gain_db: Gain,
    },
    /// Every tune of the running appliance: what is heard of it, and which teams play it.
    List,
    /// Sends a file to be heard in the place of the configured one, by who waits already too.
    Put { name: String, file: PathBuf },
    /// Takes such a file away: the configured one is heard again.
    Reset { name: String },
}

const SOUND: [Column; 6] = [
    ("CODING", "coding"),
    ("RATE HZ", "rate_hz"),
    ("CHANNELS", "channels"),
    ("SECONDS", "seconds"),
    ("LOUDNESS DBFS", "loudness_dbfs"),
    ("PEAK DBFS", "peak_dbfs"),
];

const COLUMNS: [Column; 7] = [
    ("NAME", "name"),
    ("HEARD", "source"),
    ("CODING", "coding"),
    ("SECONDS", "seconds"),
    ("LOUDNESS DBFS", "loudness_dbfs"),
    ("GAIN DB", "gain_db"),
    ("TEAMS", "team_names"),
];

/// What needs no running appliance; gives back what does.
pub(super) fn offline(verb: Verb, out: &mut Output) -> Result<Option<Verb>, Failure> {
    match verb {
        Verb::Check { file, gain_db } => check(&file, gain_db, out).map(|()| None),
        Verb::Decode { gain_db } => Ok(decode(gain_db).map(|()| None)?),
        Verb::List | Verb::Put { .. } | Verb::Reset { .. } => Ok(Some(verb)),
    }
}

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    let path = |name: &str| format!("/api/v1/music/{}", segment(name));
    match verb {
        Verb::Check { file, gain_db } => check(&file, gain_db, out),
        Verb::Decode { gain_db } => Ok(decode(gain_db)?),
        Verb::List => {
            let all = client.get("/api/v1/music").await?;
            out.list(&all, &COLUMNS)?;
            let items = all["items"].as_array().map_or(&[][..], Vec::as_slice);
            items.iter().try_for_each(|item| remark(item, out))
        }
        Verb::Put { name, file } => {
            let heard = client.put(&path(&name), read(&file)?).await.map_err(|no| match no {
                ClientError::Refused { status: 413 | 415 | 422, detail } => {
                    Failure::Failed(format!("{}: {detail}", file.display()))
                }
                no @ (ClientError::Refused { .. }
                | ClientError::NotReached { .. }
                | ClientError::NotUnderstood { .. }) => no.into(),
            })?;
            tell(&heard, out)
        }
        Verb::Reset { name } => tell(&client.delete(&path(&name)).await?, out),
    }
}

/// What an appliance would refuse for its length is not sent.
fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let wrong = |why: String| Failure::Failed(format!("{}: {why}", file.display()));
    let about = fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    if !about.is_file() {
        return Err(wrong("is not a file".to_owned()));
    }
    if about.len() > UPLOAD_BYTES_MAX as u64 {
        let bytes = format!("{} bytes", about.len());
        return Err(wrong(Unchanged::TooLarge(bytes).to_string()));
    }
    fs::read(file).map_err(|error| wrong(error.to_string()))
}

fn tell(heard: &Value, out: &mut Output) -> Result<(), Failure> {
    out.one(heard, &COLUMNS)?;
    remark(heard, out)
}

/// What should be looked at, below the table.
fn remark(heard: &Value, out: &mut Output) -> Result<(), Failure> {
    let name = heard["name"].as_str().unwrap_or_default();
    if let Some(why) = heard["upload_refused"].as_str() {
        out.say(&format!("{name}: what was uploaded is not heard: {why}"))?;
    }
    let warnings = heard["warnings"].as_array().map_or(&[][..], Vec::as_slice);
    let mut said = warnings.iter().filter_map(Value::as_str);
    said.try_for_each(|warning| out.say(&format!("{name}: warning: {warning}")))
}

fn gain(text: &str) -> Result<Gain, String> {
    let gain = text.parse().ok().and_then(Gain::from_db);
    gain.ok_or_else(|| format!("write a number from {} to {}", Gain::DB_MIN, Gain::DB_MAX))
}

fn check(file: &Path, gain: Gain, out: &mut Output) -> Result<(), Failure> {
    let imported = import_music(file, gain);
    let Imported { tune: _, sound } =
        imported.map_err(|why| Failure::Failed(format!("{} {why}", file.display())))?;
    let answer = document(&sound);
    out.one(&answer, &SOUND)?;
    sound.warnings.iter().try_for_each(|warning| out.say(&format!("warning: {warning}")))
}

fn document(sound: &Sound) -> Value {
    // A tenth is as much as anybody hears.
    let tenth = |figure: f32| (f64::from(figure) * 10.0).round() / 10.0;
    let warnings: Vec<String> = sound.warnings.iter().map(ToString::to_string).collect();
    json!({
        "coding": sound.coding,
        "rate_hz": sound.rate_hz,
        "channels": sound.channels,
        "seconds": tenth(sound.seconds),
        "loudness_dbfs": sound.loudness_dbfs.map(tenth),
        "peak_dbfs": tenth(sound.peak_dbfs),
        "warnings": warnings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_refused_here_in_the_words_of_the_api() {
        let large = std::env::temp_dir().join(format!("clavija-put-{}", std::process::id()));
        fs::File::create(&large).unwrap().set_len(UPLOAD_BYTES_MAX as u64 + 1).unwrap();

        let said = read(&large).unwrap_err().to_string();

        let words = "size: the file is 67108865 bytes; 67108864 bytes (64 MiB) is the most";
        assert!(said.starts_with(&format!("{}: {words}", large.display())), "{said}");
        fs::remove_file(large).unwrap();
    }
}
