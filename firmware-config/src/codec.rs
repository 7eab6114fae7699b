//! The codecs an operator may name.

use crate::{
    check::one_of,
    fault::Reported,
    reader::{Given, Section},
    team::distinct,
};

/// How a trunk or a phone may write audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    G722,
    L16,
    Opus,
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
            Self::Pcma => "pcma",
            Self::Pcmu => "pcmu",
        }
    }
}

pub(crate) const WORDS: &[&str] = &["opus", "g722", "pcma", "pcmu", "l16"];

const KNOWN: [(&str, Codec); 5] = [
    ("opus", Codec::Opus),
    ("g722", Codec::G722),
    ("pcma", Codec::Pcma),
    ("pcmu", Codec::Pcmu),
    ("l16", Codec::L16),
];

/// The key `codecs` of a trunk or an agent.
pub(crate) fn read(section: &mut Section<'_>) -> Result<Vec<Codec>, Reported> {
    let given: Given<_> = section.parsed_list("codecs", "pcma", |word| one_of(word, &KNOWN));
    match given? {
        Some(list) => distinct(section, "codecs", &list),
        None => Ok(Codec::USUAL.to_vec()),
    }
}
