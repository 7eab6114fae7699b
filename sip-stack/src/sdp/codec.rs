//! The codecs a description may name that we can speak, and how each is written (RFC 3551 §6, RFC 7587 §7).

use super::{Media, parse};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fmt::{self, Write},
};

/// A codec that may be agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Passed through only, like the other AMR and G.729: see [`super::passed`].
    Amr,
    #[serde(rename = "amr-wb")]
    AmrWb,
    G722,
    G729,
    /// Linear samples of 16 bits, mono, at 16 kHz.
    L16,
    Opus,
    /// The same where the far side is told that we speak up to 20 kHz. Descriptions write it as they do
    /// the other.
    #[serde(rename = "opus/48000")]
    OpusFullband,
    /// G.711, A-law.
    Pcma,
    /// G.711, mu-law.
    Pcmu,
}

/// What a peer's `a=fmtp` of Opus asks of what it is sent (RFC 7587 §6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpusWishes {
    /// It plays nothing above this rate.
    pub playback_hz_max: u32,
    pub bitrate_max: Option<u32>,
    /// It can use what a packet tells of the one before it.
    pub fec: bool,
    /// It wishes to be sent nothing while nothing is said.
    pub dtx: bool,
}

impl Codec {
    /// All that we can speak and a description can name.
    pub const ALL: [Self; 5] = [Self::Opus, Self::G722, Self::Pcma, Self::Pcmu, Self::L16];

    /// What a box without a word about it allows: what every telephone network has.
    pub const USUAL: [Self; 2] = [Self::Pcma, Self::Pcmu];

    /// As a description writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amr => "AMR",
            Self::AmrWb => "AMR-WB",
            Self::G722 => "G722",
            Self::G729 => "G729",
            Self::L16 => "L16",
            Self::Opus | Self::OpusFullband => "opus",
            Self::Pcma => "PCMA",
            Self::Pcmu => "PCMU",
        }
    }

    /// The clock of its time stamps. That of G.722 is half its rate (RFC 3551 §4.5.2).
    pub const fn clock_hz(self) -> u32 {
        match self {
            Self::Amr | Self::G722 | Self::G729 | Self::Pcma | Self::Pcmu => 8_000,
            Self::AmrWb | Self::L16 => 16_000,
            Self::Opus | Self::OpusFullband => 48_000,
        }
    }

    /// Channels as its `a=rtpmap` counts them; Opus always says two (RFC 7587 §7).
    const fn channels(self) -> u8 {
        match self {
            Self::Opus | Self::OpusFullband => 2,
            Self::Amr
            | Self::AmrWb
            | Self::G722
            | Self::G729
            | Self::L16
            | Self::Pcma
            | Self::Pcmu => 1,
        }
    }

    /// The number in our own offers: that of RFC 3551 §6, or one of the dynamic ones.
    pub(super) const fn our_number(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            Self::G729 => 18,
            Self::Amr => 97,
            Self::AmrWb => 98,
            Self::L16 => 96,
            Self::Opus | Self::OpusFullband => 111,
        }
    }

    /// The number that needs no rtpmap.
    const fn static_number(self) -> Option<u8> {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 | Self::G729 => Some(self.our_number()),
            Self::Amr | Self::AmrWb | Self::L16 | Self::Opus | Self::OpusFullband => None,
        }
    }

    /// Its `a=rtpmap`, and what more there is to say of it.
    pub(super) fn write(self, number: u8, text: &mut String) {
        let (name, clock_hz) = (self.name(), self.clock_hz());
        let channels = if self.channels() > 1 { "/2" } else { "" };
        _ = write!(text, "a=rtpmap:{number} {name}/{clock_hz}{channels}\r\n");
        let ours = match self {
            Self::Opus => OUR_OPUS,
            Self::OpusFullband => OUR_OPUS_FULLBAND,
            Self::Amr
            | Self::AmrWb
            | Self::G722
            | Self::G729
            | Self::L16
            | Self::Pcma
            | Self::Pcmu => return,
        };
        _ = write!(text, "a=fmtp:{number} {ours}\r\n");
    }

    /// What a description calls so is one codec, however we speak it.
    pub fn is_written_as(self, other: Self) -> bool {
        self == other || self.is_opus() && other.is_opus()
    }

    /// Nobody here reads it.
    pub const fn is_passed(self) -> bool {
        matches!(self, Self::Amr | Self::AmrWb | Self::G729)
    }

    /// Comfort noise of 8 kHz belongs to no other here.
    pub(super) const fn is_g711(self) -> bool {
        matches!(self, Self::Pcma | Self::Pcmu)
    }

    const fn is_opus(self) -> bool {
        matches!(self, Self::Opus | Self::OpusFullband)
    }
}

/// We decode at 16 kHz and to one channel, and use redundancy where it is told.
const OUR_OPUS: &str = "maxplaybackrate=16000;sprop-maxcapturerate=16000;useinbandfec=1";
/// The same at 48 kHz.
const OUR_OPUS_FULLBAND: &str = "maxplaybackrate=48000;sprop-maxcapturerate=48000;useinbandfec=1";

/// RFC 3551 §6.
pub(super) const COMFORT_NOISE: u8 = 13;

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl OpusWishes {
    /// What a peer wishes that says nothing.
    pub const NONE: Self =
        Self { playback_hz_max: 48_000, bitrate_max: None, fec: false, dtx: false };

    /// What cannot be read counts as not said: every one of these is a wish.
    pub(super) fn read(parameters: &str) -> Self {
        let mut wishes = Self::NONE;
        for (key, value) in parameters.split(';').filter_map(|part| part.split_once('=')) {
            let (key, value) = (key.trim(), value.trim());
            let is = |name: &str| key.eq_ignore_ascii_case(name);
            if is("maxplaybackrate") {
                wishes.playback_hz_max =
                    value.parse().ok().filter(|hz| *hz >= 8_000).unwrap_or(48_000);
            } else if is("maxaveragebitrate") {
                wishes.bitrate_max = value.parse().ok().filter(|bits| *bits >= 6_000);
            } else if is("useinbandfec") {
                wishes.fec = value == "1";
            } else if is("usedtx") {
                wishes.dtx = value == "1";
            }
        }
        wishes
    }
}

impl Media {
    pub(super) fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats.iter().filter_map(|format| parse::payload_type(format))
    }

    /// Each once, however often a peer writes it.
    pub(super) fn different_payload_types(&self) -> impl Iterator<Item = u8> {
        let mut seen = BTreeSet::new();
        self.payload_types().filter(move |number| seen.insert(*number))
    }

    /// By its rtpmap, or by RFC 3551 if it has none.
    pub(super) fn codec(&self, number: u8) -> Option<Codec> {
        self.named(number, &Codec::ALL)
    }

    /// The same among these.
    pub(super) fn named(&self, number: u8, among: &[Codec]) -> Option<Codec> {
        let mut all = among.iter().copied();
        let Some(map) = self.codecs.get(&number) else {
            return all.find(|codec| codec.static_number() == Some(number));
        };
        all.find(|codec| {
            // Some phones say opus/48000 or G722/16000: neither can be meant otherwise.
            let sloppy = match codec {
                Codec::Opus => map.channels == 1 && map.clock_hz == 48_000,
                Codec::G722 => map.channels == 1 && map.clock_hz == 16_000,
                Codec::Amr
                | Codec::AmrWb
                | Codec::G729
                | Codec::L16
                | Codec::OpusFullband
                | Codec::Pcma
                | Codec::Pcmu => false,
            };
            let same = map.clock_hz == codec.clock_hz() && map.channels == codec.channels();
            map.name.eq_ignore_ascii_case(codec.name()) && (same || sloppy)
        })
    }

    /// RFC 3389 §4: the static number, which needs no rtpmap and may be meant for nothing else.
    pub(super) fn takes_comfort_noise(&self) -> bool {
        self.payload_types().any(|number| number == COMFORT_NOISE)
            && self.codecs.get(&COMFORT_NOISE).is_none_or(|map| {
                map.name.eq_ignore_ascii_case("CN") && (map.clock_hz, map.channels) == (8_000, 1)
            })
    }

    /// What the peer wishes of the format with this number, if it is Opus.
    pub(super) fn opus_wishes(&self, number: u8) -> OpusWishes {
        self.parameters.get(&number).map_or(OpusWishes::NONE, |text| OpusWishes::read(text))
    }

    pub(super) fn describe(&self, number: u8) -> String {
        let codec = self.codec(number).or_else(|| self.named(number, &[Codec::G729]));
        match (self.codecs.get(&number), codec) {
            (Some(codec), _) => format!("{}/{}", codec.name, codec.clock_hz),
            (None, Some(codec)) => codec.name().to_owned(),
            (None, None) => format!("payload {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_read_whatever_else_stands_beside_them() {
        let read = OpusWishes::read(
            "minptime=10; useinbandfec=1;usedtx=1; maxplaybackrate=8000;maxaveragebitrate=20000;x",
        );
        assert_eq!(
            read,
            OpusWishes { playback_hz_max: 8_000, bitrate_max: Some(20_000), fec: true, dtx: true }
        );
        for nothing in ["", ";;;=", "maxplaybackrate=0", "useinbandfec=yes", "maxaveragebitrate=-1"]
        {
            assert_eq!(OpusWishes::read(nothing), OpusWishes::NONE, "{nothing}");
        }
    }
}
