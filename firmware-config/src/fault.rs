//! What is wrong or worth knowing in the operator's files: place, value, and what would be accepted.

use std::{error, fmt};

/// One thing that makes the configuration unusable. Prints as `node.toml:7: sip.udp: …`, one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file as the operator named it.
    pub file: String,
    /// Counted from 1; none when the whole file is meant.
    pub line: Option<usize>,
    pub message: String,
    /// Nothing that was written is wrong: this host is not, or not yet, what it needs.
    pub of_host: bool,
}

/// One thing that is accepted and should still be looked at. Prints like a [`Fault`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file as the operator named it.
    pub file: String,
    /// Counted from 1; none when the whole file is meant.
    pub line: Option<usize>,
    pub message: String,
    /// Of this host as it is at the moment, not of what was written.
    pub of_host: bool,
}

impl From<Warning> for Fault {
    fn from(Warning { file, line, message, of_host }: Warning) -> Self {
        Self { file, line, message, of_host }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_placed(f, &self.file, self.line, &self.message)
    }
}

impl error::Error for Fault {}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_placed(f, &self.file, self.line, &self.message)
    }
}

fn write_placed(
    f: &mut fmt::Formatter<'_>,
    file: &str,
    line: Option<usize>,
    message: &str,
) -> fmt::Result {
    match line {
        Some(line) => write!(f, "{file}:{line}: {message}"),
        None => write!(f, "{file}: {message}"),
    }
}

/// Files a configuration names that cannot be had: a box that ran before starts without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Its callers hear the built-in tone.
    pub music: Vec<Fault>,
    /// Its agents cannot register, and nothing is recorded that should be sealed.
    pub secrets: Vec<Fault>,
}

impl Missing {
    /// First the music, then the secrets.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.music.iter().chain(&self.secrets)
    }
}

/// Proof that a fault was written down: who holds one need not explain again why a value is missing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported(());

/// Everything found so far, over both files.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) faults: Vec<Fault>,
    pub(crate) warnings: Vec<Warning>,
    /// None: a file that cannot be had is a fault.
    pub(crate) missing: Option<Missing>,
}

impl Report {
    /// A file that cannot be had: a fault, unless the reading goes on without.
    pub(crate) fn lack(
        &mut self,
        kind: fn(&mut Missing) -> &mut Vec<Fault>,
        (file, line): (&str, usize),
        message: &str,
    ) -> Result<(), Reported> {
        let Some(missing) = &mut self.missing else {
            return Err(self.fault(file, Some(line), message));
        };
        let (file, line, message) = (file.to_owned(), Some(line), one_line(message));
        kind(missing).push(Fault { file, line, message, of_host: false });
        Ok(())
    }

    pub(crate) fn fault(&mut self, file: &str, line: Option<usize>, message: &str) -> Reported {
        let (file, message) = (file.to_owned(), one_line(message));
        self.faults.push(Fault { file, line, message, of_host: false });
        Reported(())
    }

    pub(crate) fn fault_of_host(
        &mut self,
        file: &str,
        line: Option<usize>,
        message: &str,
    ) -> Reported {
        let (file, message) = (file.to_owned(), one_line(message));
        self.faults.push(Fault { file, line, message, of_host: true });
        Reported(())
    }

    pub(crate) fn warn(&mut self, file: &str, line: Option<usize>, message: &str) {
        let (file, message) = (file.to_owned(), one_line(message));
        self.warnings.push(Warning { file, line, message, of_host: false });
    }

    pub(crate) fn warn_of_host(&mut self, file: &str, line: Option<usize>, message: &str) {
        let (file, message) = (file.to_owned(), one_line(message));
        self.warnings.push(Warning { file, line, message, of_host: true });
    }
}

/// Paths and quoted keys may hold line ends and terminal escapes; a message does not.
fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}
