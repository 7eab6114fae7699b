//! How a trunk or a phone sends keys and is told them.

use crate::{check::one_of, fault::Reported, reader::Section};

/// The ways keys go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dtmf {
    /// Events of RFC 4733 where both agree on them, tones in the audio otherwise.
    #[default]
    Auto,
    /// Events or nothing.
    Rfc4733,
    /// SIP INFO to it; no events are offered.
    Info,
    /// Tones in the audio, both ways; no events are offered.
    InBand,
}

/// As they are written, the default first.
pub(crate) const WORDS: [(&str, Dtmf); 4] = [
    ("auto", Dtmf::Auto),
    ("rfc4733", Dtmf::Rfc4733),
    ("info", Dtmf::Info),
    ("inband", Dtmf::InBand),
];

impl Dtmf {
    pub(crate) fn word(self) -> &'static str {
        WORDS.iter().find(|(_, known)| *known == self).map_or("auto", |(word, _)| word)
    }
}

pub(crate) fn read(section: &mut Section<'_>) -> Result<Dtmf, Reported> {
    let given = section.parsed("dtmf", "auto", |word| one_of(word, &WORDS))?;
    Ok(given.map_or(Dtmf::Auto, |at| at.value))
}
