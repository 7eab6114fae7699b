//! Codecs that only pass through: the formats of one side are offered the other, and its answer is ours.
//!
//! Nobody here reads what is said in it, so what its parameters mean is between the two; only those that change
//! how a packet is laid out must be the same on both sides.

use super::{
    Media, Session,
    answer::{Agreed, NoAnswer, shortened},
    codec::Codec,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// A format of a call that passes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub codec: Codec,
    /// Its `a=fmtp`, as who speaks it wrote it.
    pub parameters: Option<String>,
    /// What they said of the length of packets: nothing is packed anew here.
    pub ptime_ms: Option<u16>,
    pub ptime_ms_max: Option<u16>,
}

impl Passed {
    /// The formats of an offer that are one of these, in its order: of those that are laid out alike the first.
    pub fn offered(offer: &Session, named: &[Codec]) -> Vec<Self> {
        let audio = offer.media.iter().filter(|media| media.kind == "audio" && media.port != 0);
        for media in audio {
            let mut formats: Vec<Self> = Vec::new();
            for number in media.different_payload_types() {
                let codec = media.named(number, named);
                let Some(format) = codec.and_then(|codec| Self::of(media, number, codec)) else {
                    continue;
                };
                let of_codec = formats.iter().filter(|other| other.codec == format.codec);
                if of_codec.count() < FORMS_MAX && !formats.iter().any(|other| other.fits(&format))
                {
                    formats.push(format);
                }
            }
            if !formats.is_empty() {
                return formats;
            }
        }
        Vec::new()
    }

    /// What was agreed, with the parameters of who wrote this description.
    pub fn agreed(session: &Session, agreed: &Agreed) -> Option<Self> {
        let mut audio =
            session.media.iter().filter(|media| media.kind == "audio" && media.port != 0);
        audio.find_map(|media| {
            let codec = media.named(agreed.payload_type, &[agreed.codec])?;
            Self::of(media, agreed.payload_type, codec)
        })
    }

    fn of(media: &Media, number: u8, codec: Codec) -> Option<Self> {
        let parameters = media.parameters.get(&number).filter(|said| !said.is_empty()).cloned();
        let (ptime_ms, ptime_ms_max) = (media.ptime_ms, media.ptime_ms_max);
        parameters.as_deref().is_none_or(is_plain).then_some(Self {
            codec,
            parameters,
            ptime_ms,
            ptime_ms_max,
        })
    }

    /// What one writes the other can read.
    pub fn fits(&self, other: &Self) -> bool {
        self.codec == other.codec && self.layout() == other.layout()
    }

    /// This number in somebody's description is this format, laid out in the same way.
    pub(super) fn is_in(&self, media: &Media, number: u8) -> bool {
        media.named(number, &[self.codec]).is_some()
            && Self::of(media, number, self.codec).is_some_and(|other| self.fits(&other))
    }

    /// Somebody speaks again in the call, who has `said` what they can hear and was `told` what the other side
    /// can. That one is not asked anew, so nothing may be wanted of it that it has not heard of (RFC 4867 §8.3.1,
    /// RFC 7261 §3).
    pub fn goes_on(&self, said: &Self, told: &[Self]) -> Result<(), NoAnswer> {
        let known: BTreeSet<_> = told.iter().chain([said]).flat_map(Self::wishes).collect();
        if self.wishes().all(|wish| known.contains(&wish)) {
            return Ok(());
        }
        let (offered, allowed) = (self.to_string(), format!("{said} passed through"));
        Err(NoAnswer::NoCommonCodec { offered: shortened(&offered), allowed: shortened(&allowed) })
    }

    /// Every parameter besides the layout, which is compared by itself, that is not what holds anyway.
    fn wishes(&self) -> impl Iterator<Item = (String, String)> {
        self.said().filter_map(|(key, value)| {
            let value: String = value.split_ascii_whitespace().collect();
            let holds_anyway = key == "annexb" && value.eq_ignore_ascii_case("yes");
            (!holds_anyway && !LAYOUT.contains(&key.as_str())).then_some((key, value))
        })
    }

    fn said(&self) -> impl Iterator<Item = (String, &str)> {
        let said = self.parameters.iter().flat_map(|text| text.split(';'));
        let said = said.filter_map(|part| part.split_once('='));
        said.map(|(key, value)| (key.trim().to_ascii_lowercase(), value.trim()))
    }

    /// What of the parameters says how a packet is laid out (RFC 4867 §8.1); all of them are 0 where they are not
    /// said. G.729 has none: its frames tell themselves apart by their length.
    fn layout(&self) -> BTreeMap<&'static str, &str> {
        let known: &[&'static str] = match self.codec {
            Codec::Amr | Codec::AmrWb => &LAYOUT,
            Codec::G722
            | Codec::G729
            | Codec::L16
            | Codec::Opus
            | Codec::OpusFullband
            | Codec::Pcma
            | Codec::Pcmu => &[],
        };
        let mut layout: BTreeMap<_, _> = self
            .said()
            .filter_map(|(key, value)| {
                let known = known.iter().find(|known| **known == key)?;
                (value != "0").then_some((*known, value))
            })
            .collect();
        // Each of the others implies it.
        if !layout.is_empty() {
            layout.insert(LAYOUT[0], "1");
        }
        layout
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.parameters {
            Some(parameters) => write!(f, "{} ({parameters})", self.codec),
            None => write!(f, "{}", self.codec),
        }
    }
}

/// RFC 4867 §8.1.
const LAYOUT: [&str; 4] = ["octet-align", "crc", "robust-sorting", "interleaving"];

/// Forms of one codec that are offered on.
pub(super) const FORMS_MAX: usize = 4;

/// It goes into a description of ours: plain characters, and not many.
fn is_plain(parameters: &str) -> bool {
    parameters.len() <= PARAMETERS_BYTES_MAX
        && parameters.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

const PARAMETERS_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests;
