//! Secrets: where they may be written, and a type that does not show them.

use crate::{
    address::Host,
    fault::Reported,
    reader::{Given, Section},
};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};
use toml::de::DeValue;

/// A password or key. Never shown by `Debug`, never part of a fault.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// None: the file that holds it cannot be had.
    text: Option<String>,
    place: Place,
}

/// Where a secret was found.
#[derive(Clone, PartialEq, Eq)]
enum Place {
    /// In the configuration itself.
    Here,
    File(PathBuf),
    /// By this name, wherever systemd put it.
    Credential(String),
}

impl Secret {
    /// The key and the value by which the configuration points at it; none if it stands there itself.
    pub(crate) fn place(&self) -> Option<(&'static str, String)> {
        match &self.place {
            Place::Here => None,
            Place::File(file) => Some(("file", file.to_string_lossy().into_owned())),
            Place::Credential(name) => Some(("credential", name.clone())),
        }
    }

    /// The one way to the text, so that every use can be found. None: it cannot be had, and nobody
    /// proves that they know it.
    pub fn reveal(&self) -> Option<&str> {
        self.text.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A secret and whether it stood in the configuration itself.
pub(crate) struct Read {
    pub(crate) secret: Secret,
    pub(crate) line: usize,
    /// The line it stood on.
    pub(crate) plain_at: Option<usize>,
}

/// Reads `"…"`, `{ file = "…" }` or `{ credential = "…" }`.
pub(crate) fn read(section: &mut Section<'_>, key: &'static str, host: &Host) -> Given<Read> {
    const LIKE: &str = r#"write { file = "…" }, { credential = "…" } or text"#;
    let Some(value) = section.value(key) else { return Ok(None) };
    let line = section.line_of(value);
    match value.get_ref() {
        DeValue::String(text) if text.is_empty() => {
            Err(section.refuse(line, key, &format!("is empty; {LIKE}")))
        }
        DeValue::String(text) => {
            let text = Some(text.clone().into_owned());
            let secret = Secret { text, place: Place::Here };
            Ok(Some(Read { secret, line, plain_at: Some(line) }))
        }
        DeValue::Table(table) => {
            let (path, place) = section.inline(key, table, line, |inner| place(inner, host))?;
            let text = match path.as_deref().map(|path| (path, from_file(path))) {
                None => None,
                Some((_, Ok(text))) => Some(text),
                Some((path, Err(why))) => {
                    let what = format!("{} {why}", path.display());
                    section.lack(|missing| &mut missing.secrets, (line, key), &what)?;
                    None
                }
            };
            Ok(Some(Read { secret: Secret { text, place }, line, plain_at: None }))
        }
        // The value is not repeated: a secret of the wrong type is a secret still.
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => {
            Err(section.refuse(line, key, &format!("is neither text nor a table; {LIKE}")))
        }
    }
}

/// Without a path where systemd put it nowhere.
fn place(inner: &mut Section<'_>, host: &Host) -> Result<(Option<PathBuf>, Place), Reported> {
    let file = inner.path("file", "secrets/ana");
    let credential = inner.parsed("credential", "ana", credential_name);
    match (file?, credential?) {
        (Some(file), None) => Ok((Some(file.value.clone()), Place::File(file.value))),
        (None, Some(credential)) => match &host.credentials {
            Some(folder) => {
                Ok((Some(folder.join(&credential.value)), Place::Credential(credential.value)))
            }
            None => {
                let what = "needs the service to be started by systemd with LoadCredential=, which \
                            sets CREDENTIALS_DIRECTORY; write { file = \"…\" } without it";
                let at = (credential.line, "credential");
                inner.lack(|missing| &mut missing.secrets, at, what)?;
                Ok((None, Place::Credential(credential.value)))
            }
        },
        (Some(_), Some(credential)) => {
            let what = "stands beside file; write exactly one of the two";
            Err(inner.refuse(credential.line, "credential", what))
        }
        (None, None) => {
            Err(inner.refuse_table("file is missing; write exactly one of file and credential"))
        }
    }
}

/// systemd.exec(5), `LoadCredential=`: a credential's name is a file name.
fn credential_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text == "." || text == ".." || text.contains(['/', '\0']) {
        return Err("is not the name of a credential; write it like \"ana\"".to_owned());
    }
    Ok(text.to_owned())
}

/// The content of the file without the line ends editors leave behind it.
fn from_file(path: &Path) -> Result<String, String> {
    const LIKE: &str = "write the path of a file that holds the secret and nothing else";
    if !path.is_file() {
        return Err(format!("is not there; {LIKE}"));
    }
    let text =
        fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}; {LIKE}"))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(format!("is empty; {LIKE}")),
        secret if secret.contains(['\r', '\n', '\0']) => {
            Err(format!("has more than one line; {LIKE}"))
        }
        secret => Ok(secret.to_owned()),
    }
}
