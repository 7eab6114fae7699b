//! The codecs an operator may name.

use crate::{
    check::one_of,
    fault::Reported,
    reader::{At, Given, Section},
    team::distinct,
};

/// How a trunk or a phone may write audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// Passed through only, like the other AMR and G.729.
    Amr,
    AmrWb,
    G722,
    G729,
    L16,
    /// Voices up to 8 kHz.
    Opus,
    /// Voices up to 20 kHz.
    OpusFullband,
    Pcma,
    Pcmu,
}

impl Codec {
    /// What may be agreed where nothing is said of it, of most worth first.
    pub const USUAL: [Self; 4] = [Self::Opus, Self::G722, Self::Pcma, Self::Pcmu];

    pub fn word(self) -> &'static str {
        match self {
            Self::Amr => "amr",
            Self::AmrWb => "amr-wb",
            Self::G722 => "g722",
            Self::G729 => "g729",
            Self::L16 => "l16",
            Self::Opus => "opus",
            Self::OpusFullband => "opus/48000",
            Self::Pcma => "pcma",
            Self::Pcmu => "pcmu",
        }
    }
}

pub(crate) const WORDS: &[&str] =
    &["opus", "opus/48000", "g722", "pcma", "pcmu", "l16", "g729", "amr", "amr-wb"];

const KNOWN: [(&str, Codec); 9] = [
    ("opus", Codec::Opus),
    ("opus/48000", Codec::OpusFullband),
    ("g722", Codec::G722),
    ("pcma", Codec::Pcma),
    ("pcmu", Codec::Pcmu),
    ("l16", Codec::L16),
    ("g729", Codec::G729),
    ("amr", Codec::Amr),
    ("amr-wb", Codec::AmrWb),
];

/// The key `codecs` of a trunk or an agent.
pub(crate) fn read(section: &mut Section<'_>) -> Result<Vec<Codec>, Reported> {
    let given: Given<_> = section.parsed_list("codecs", "pcma", |word| one_of(word, &KNOWN));
    match given? {
        Some(list) => {
            let named = distinct(section, "codecs", &list)?;
            one_opus(section, &list)?;
            one_spoken(section, &list)?;
            Ok(named)
        }
        None => Ok(Codec::USUAL.to_vec()),
    }
}

/// Who is only passed through to can be played nothing, and called by nobody who is heard here.
fn one_spoken(section: &mut Section<'_>, list: &[At<Codec>]) -> Result<(), Reported> {
    let spoken = |at: &At<Codec>| !matches!(at.value, Codec::Amr | Codec::AmrWb | Codec::G729);
    match list.first().filter(|_| !list.iter().any(spoken)) {
        Some(first) => {
            let what = "has only codecs that pass through; write one more that is spoken here, like \"pcma\"";
            Err(section.refuse(first.line, "codecs", what))
        }
        None => Ok(()),
    }
}

/// A description has one name for both, and could not say which is meant.
fn one_opus(section: &mut Section<'_>, list: &[At<Codec>]) -> Result<(), Reported> {
    let mut opus = list.iter().filter(|at| matches!(at.value, Codec::Opus | Codec::OpusFullband));
    match (opus.next(), opus.next()) {
        (Some(_), Some(other)) => {
            let what = "has \"opus\" and \"opus/48000\", which are one codec in two bands; write one of them";
            Err(section.refuse(other.line, "codecs", what))
        }
        (_, _) => Ok(()),
    }
}
