//! `clavija music …`.

use super::output::{Column, Output};
use crate::error::Failure;
use clap::Subcommand;
use firmware_config::import_music;
use media_core::music::{Gain, Imported, Sound};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

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
}

const SOUND: [Column; 6] = [
    ("CODING", "coding"),
    ("RATE HZ", "rate_hz"),
    ("CHANNELS", "channels"),
    ("SECONDS", "seconds"),
    ("LOUDNESS DBFS", "loudness_dbfs"),
    ("PEAK DBFS", "peak_dbfs"),
];

pub(super) fn run(verb: &Verb, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::Check { file, gain_db } => check(file, *gain_db, out),
    }
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
