//! `clavija config check`.

use super::{output::Output, target::load};
use crate::error::Failure;
use std::{
    io::{self, Write},
    path::Path,
};

pub(super) fn check(file: &Path, out: &mut Output) -> Result<(), Failure> {
    let loaded = load(file)?;
    for warning in &loaded.warnings {
        writeln!(io::stderr(), "warning: {warning}")?;
    }
    let config = loaded.config;
    out.say(&format!(
        "{} is valid: {} trunks, {} agents, {} teams, {} numbers",
        file.display(),
        config.trunks.len(),
        config.agents.len(),
        config.teams.len(),
        config.numbers.len()
    ))
}
