//! `clavija recording …`.

use super::{
    output::{Column, Output},
    target::{self, Target},
};
use crate::{
    client::{Client, segment},
    error::Failure,
    recording::{self, Condition, Form, OnDisk, Unread, Verified},
};
use clap::Subcommand;
use control_plane::ids::CallId;
use media_core::record::seal::{Flaw, SealKey};
use media_rt::sealed::SealedError;
use serde_json::{Value, json};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Recordings, newest first.
    List,
    /// Writes a recording's sound: WAV, or Opus where it was recorded so.
    Get {
        /// A call's id; or a file, for which no appliance has to run.
        #[arg(value_name = "ID|FILE")]
        what: String,
        /// Where to; `-` is standard output [default: ID.wav or ID.opus].
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        #[command(flatten)]
        key: KeyFile,
    },
    /// Looks at all of a recording: header and length, or every seal.
    Verify {
        /// A call's id; or a file, for which no appliance has to run.
        #[arg(value_name = "ID|FILE")]
        what: String,
        #[command(flatten)]
        key: KeyFile,
    },
}

#[derive(clap::Args, Debug)]
pub(super) struct KeyFile {
    /// Of a sealed file: the key that opens it, if it is not the configuration's recording.seal_key.
    #[arg(long = "key", value_name = "FILE")]
    file: Option<PathBuf>,
}

const VERIFIED: [Column; 7] = [
    ("ID", "id"),
    ("FORM", "form"),
    ("CONDITION", "condition"),
    ("SECONDS", "seconds"),
    ("FRAMES LOST", "frames_lost"),
    ("FRAMES PAUSED", "frames_paused"),
    ("DETAIL", "detail"),
];

const COLUMNS: [Column; 8] = [
    ("ID", "id"),
    ("STARTED", "started_at"),
    ("SECONDS", "seconds"),
    ("BYTES", "bytes"),
    ("FORMAT", "format"),
    ("SEALED", "sealed"),
    ("FRAMES LOST", "frames_lost"),
    ("ACTIVE", "active"),
];

/// What needs no running appliance; gives back what does.
pub(super) fn offline(
    verb: Verb,
    target: &Target,
    out: &mut Output,
) -> Result<Option<Verb>, Failure> {
    match verb {
        Verb::Get { what, to, key } if is_file(&what) => {
            let file = named(&what)?;
            get_file(&file, to, key.opens(&file, target)?.as_ref(), out).map(|()| None)
        }
        Verb::Verify { what, key } if is_file(&what) => {
            let file = named(&what)?;
            let key = key.opens(&file, target)?;
            let verified = file.verify(key.as_ref()).map_err(|why| unread(&file, &why))?;
            tell_verified(&json!(verified), out).map(|()| None)
        }
        Verb::Get { key: KeyFile { file: Some(_) }, .. }
        | Verb::Verify { key: KeyFile { file: Some(_) }, .. } => {
            Err(Failure::Usage("--key is for a file; the appliance has its own key".to_owned()))
        }
        Verb::List | Verb::Get { .. } | Verb::Verify { .. } => Ok(Some(verb)),
    }
}

pub(super) async fn run(verb: Verb, client: &Client, out: &mut Output) -> Result<(), Failure> {
    match verb {
        Verb::List => out.list(&client.get("/api/v1/recordings").await?, &COLUMNS),
        Verb::Verify { what, .. } => {
            let path = format!("/api/v1/recordings/{}/verify", segment(&what));
            tell_verified(&client.get(&path).await?, out)
        }
        Verb::Get { what: id, to, .. } => {
            let path = format!("/api/v1/recordings/{}", segment(&id));
            // Nothing is written for a recording that is not there, and `id` is a file name then.
            let told = client.get(&path).await?;
            let ending = told["format"].as_str().unwrap_or("wav").to_owned();
            let audio = format!("{path}/audio");
            match to {
                Some(to) if to == Path::new("-") => {
                    client.download(&audio, out.bytes()).await?;
                    Ok(out.bytes().flush()?)
                }
                Some(to) => download(client, &audio, &to, out).await,
                None => {
                    let to = PathBuf::from(format!("{}.{ending}", segment(&id)));
                    download(client, &audio, &to, out).await
                }
            }
        }
    }
}

/// A call's id is never taken for a file, nor a file for an id.
fn is_file(what: &str) -> bool {
    what.parse::<CallId>().is_err()
        && (what.contains('/') || Form::of(Path::new(what)).is_some() || Path::new(what).is_file())
}

fn named(what: &str) -> Result<OnDisk, Failure> {
    match OnDisk::at(Path::new(what)) {
        Ok(Some(file)) => Ok(file),
        Ok(None) => {
            Err(Failure::Usage(format!("{what}: a recording ends in .wav, .opus or .sealed")))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Failure::NotFound(format!("{what}: {error}")))
        }
        Err(error) => Err(Failure::Failed(format!("{what}: {error}"))),
    }
}

impl KeyFile {
    /// What opens this file; none where it needs none.
    fn opens(&self, file: &OnDisk, target: &Target) -> Result<Option<SealKey>, Failure> {
        match (&self.file, file.form) {
            (_, Form::Wav | Form::Opus) => Ok(None),
            (None, Form::Sealed) => Ok(recording::key(&target::load(&target.file()?)?.config)),
            (Some(path), Form::Sealed) => {
                let wrong = |why: String| Failure::Failed(format!("{}: {why}", path.display()));
                let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
                let key = SealKey::from_hex(text.trim_end_matches(['\r', '\n']));
                key.map(Some).map_err(|error| wrong(error.to_string()))
            }
        }
    }
}

/// What can be believed of a file becomes one that any player opens. If that is not all of it, it is said, and by the
/// exit code if it is damage.
fn get_file(
    file: &OnDisk,
    to: Option<PathBuf>,
    key: Option<&SealKey>,
    out: &mut Output,
) -> Result<(), Failure> {
    let verified = file.verify(key).map_err(|why| unread(file, &why))?;
    let copy = |into: &mut dyn Write| file.copy(key, into).map_err(|why| unread(file, &why));
    if to.as_deref() == Some(Path::new("-")) {
        copy(out.bytes())?;
        out.bytes().flush()?;
    } else {
        let sound = file.sound().map_err(|error| unread(file, &error.into()))?;
        let to = to.unwrap_or_else(|| PathBuf::from(format!("{}.{}", verified.id, sound.word)));
        let mut made = create(&to)?;
        let bytes = copy(&mut made)?;
        made.sync_all()?;
        out.say(&format!("{} ({bytes} bytes)", to.display()))?;
    }
    match verified.condition {
        Condition::Whole | Condition::Growing => Ok(()),
        // For people beside what is on standard output.
        Condition::Cut => {
            let _unsaid = writeln!(io::stderr(), "{}: {}", file.path.display(), verified.detail);
            Ok(())
        }
        Condition::Damaged => Err(not_whole(&file.path.display().to_string(), &verified.detail)),
    }
}

fn tell_verified(answer: &Value, out: &mut Output) -> Result<(), Failure> {
    out.one(answer, &VERIFIED)?;
    let verified: Verified = serde_json::from_value(answer.clone())
        .map_err(|error| Failure::Failed(format!("the answer is not understood: {error}")))?;
    match verified.condition {
        Condition::Whole | Condition::Growing => Ok(()),
        Condition::Cut | Condition::Damaged => Err(not_whole(&verified.id, &verified.detail)),
    }
}

fn not_whole(what: &str, detail: &str) -> Failure {
    Failure::Failed(format!("{what}: {detail}"))
}

fn unread(file: &OnDisk, why: &Unread) -> Failure {
    let said = format!("{}: {why}", file.path.display());
    match why {
        Unread::NoKey | Unread::Sealed(SealedError::Flaw(Flaw::WrongKey { .. })) => {
            Failure::NotAllowed(said)
        }
        Unread::OtherName(_) | Unread::Sealed(_) | Unread::Io(_) => Failure::Failed(said),
    }
}

fn create(to: &Path) -> Result<File, Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o640).open(to);
    made.map_err(|error| {
        let to = to.display();
        if error.kind() == io::ErrorKind::AlreadyExists {
            Failure::Conflict(format!(
                "{to} is there already and is not overwritten; name another with --to FILE"
            ))
        } else {
            Failure::Failed(format!("{to}: {error}"))
        }
    })
}

async fn download(
    client: &Client,
    audio: &str,
    to: &Path,
    out: &mut Output,
) -> Result<(), Failure> {
    let mut file = create(to)?;
    let bytes = client.download(audio, &mut file).await?;
    file.sync_all()?;
    out.say(&format!("{} ({bytes} bytes)", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_not_overwritten_and_another_name_is_asked_for() {
        let there = std::env::temp_dir().join(format!("clavija-get-{}", std::process::id()));
        fs::write(&there, "heard").unwrap();

        let refused = create(&there).unwrap_err();

        assert!(matches!(refused, Failure::Conflict(_)), "{refused:?}");
        let said = "is there already and is not overwritten; name another with --to FILE";
        assert_eq!(refused.to_string(), format!("{} {said}", there.display()));
        assert_eq!(fs::read(&there).unwrap(), b"heard");
        fs::remove_file(there).unwrap();
    }
}
