//! Whether the audio of a trunk or of an agent's phones is encrypted.

use crate::{check::one_of, fault::Reported, reader::Section};

/// What is wanted of the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Srtp {
    #[default]
    Off,
    /// Where the other side offers it.
    Optional,
    Required,
}

impl Srtp {
    /// As it is written.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Optional => "optional",
            Self::Required => "required",
        }
    }
}

/// Left out: off.
pub(crate) fn read(section: &mut Section<'_>) -> Result<Srtp, Reported> {
    let words = [Srtp::Off, Srtp::Optional, Srtp::Required].map(|srtp| (srtp.word(), srtp));
    let given = section.parsed("srtp", "optional", |word| one_of(word, &words))?;
    Ok(given.map(|at| at.value).unwrap_or_default())
}
