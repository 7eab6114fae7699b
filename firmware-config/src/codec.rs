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
    G722,
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
            Self::G722 => "g722",
            Self::L16 => "l16",
            Self::Opus => "opus",
            Self::OpusFullband => "opus/48000",
            Self::Pcma => "pcma",
            Self::Pcmu => "pcmu",
        }
    }
}

pub(crate) const WORDS: &[&str] = &["opus", "opus/48000", "g722", "pcma", "pcmu", "l16"];

const KNOWN: [(&str, Codec); 6] = [
    ("opus", Codec::Opus),
    ("opus/48000", Codec::OpusFullband),
    ("g722", Codec::G722),
    ("pcma", Codec::Pcma),
    ("pcmu", Codec::Pcmu),
    ("l16", Codec::L16),
];

/// The key `codecs` of a trunk or an agent.
pub(crate) fn read(section: &mut Section<'_>) -> Result<Vec<Codec>, Reported> {
    let given: Given<_> = section.parsed_list("codecs", "pcma", |word| one_of(word, &KNOWN));
    match given? {
        Some(list) => {
            let named = distinct(section, "codecs", &list)?;
            one_opus(section, &list)?;
            Ok(named)
        }
        None => Ok(Codec::USUAL.to_vec()),
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
