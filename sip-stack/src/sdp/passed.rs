//! Codecs that only pass through: one format of one side is offered the other, and its answer is ours.
//!
//! Nobody here reads what is said in it, so what its parameters mean is between the two; only those that change
//! how a packet is laid out must be the same on both sides.

use super::{Media, Session, answer::Agreed, codec::Codec};
use std::collections::BTreeMap;

/// The one format of a call that passes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    pub codec: Codec,
    /// Its `a=fmtp`, as who speaks it wrote it.
    pub parameters: Option<String>,
}

impl Passed {
    /// The first format of an offer that is one of these.
    pub fn offered(offer: &Session, named: &[Codec]) -> Option<Self> {
        let mut audio = offer.media.iter().filter(|media| media.kind == "audio" && media.port != 0);
        audio.find_map(|media| {
            media.payload_types().find_map(|number| {
                let codec = media.named(number, named)?;
                Self::of(media, number, codec)
            })
        })
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
        parameters.as_deref().is_none_or(fits).then_some(Self { codec, parameters })
    }

    /// The number of this format in somebody's description, if it is there and laid out in the same way.
    pub(super) fn number_in(&self, media: &Media) -> Option<u8> {
        media.payload_types().find(|number| {
            media.named(*number, &[self.codec]).is_some()
                && Self::of(media, *number, self.codec)
                    .is_some_and(|other| other.layout() == self.layout())
        })
    }

    /// What of the parameters says how a packet is laid out (RFC 4867 §8.1); all of them are 0 where they are not
    /// said. G.729 has none: its frames tell themselves apart by their length.
    fn layout(&self) -> BTreeMap<&'static str, String> {
        let known: &[&'static str] = match self.codec {
            Codec::Amr | Codec::AmrWb => &["octet-align", "crc", "robust-sorting", "interleaving"],
            Codec::G722
            | Codec::G729
            | Codec::L16
            | Codec::Opus
            | Codec::OpusFullband
            | Codec::Pcma
            | Codec::Pcmu => &[],
        };
        let said = self.parameters.iter().flat_map(|text| text.split(';'));
        let said = said.filter_map(|part| part.split_once('='));
        let said = said.map(|(key, value)| (key.trim(), value.trim()));
        said.filter_map(|(key, value)| {
            let known = known.iter().find(|known| known.eq_ignore_ascii_case(key))?;
            (value != "0").then(|| (*known, value.to_owned()))
        })
        .collect()
    }
}

/// It goes into a description of ours: plain characters, and not many.
fn fits(parameters: &str) -> bool {
    parameters.len() <= PARAMETERS_BYTES_MAX
        && parameters.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
}

const PARAMETERS_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests;
