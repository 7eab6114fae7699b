//! What a leg has besides its halves when its packets are not frames of G.711: decoder, encoder, and what
//! waits between them.
//!
//! Made and dropped on the control side, where memory may be taken; it travels with the order that
//! connects the leg. Every rate it must speak to is in it: its own, and 8 kHz, which narrow listeners,
//! recordings and detectors of keys share.

mod echo;
mod hearing;
mod pack;
mod queue;

use crate::{
    codec::{
        g711, g722,
        opus::{self, OpusError},
        resample::Resampler,
    },
    frame::{Frame, Rate, SAMPLES, SAMPLES_MAX, SILENCE},
    music::Tune,
    order::{Codec, Coding, Effort, Order},
    room::Line,
    srtp::Context,
};
pub(crate) use hearing::Hearing;
pub(crate) use pack::{Packed, Packer};
pub(crate) use queue::Scale;
use std::sync::Arc;

/// The coder of one leg.
#[derive(Debug)]
pub struct Coder {
    codec: Codec,
    pub(crate) hearing: Hearing,
    pub(crate) pack: Packer,
    /// Frames of music its own encoder has said on end.
    pub(crate) music: u32,
    /// What it says, at its own rate, for who listens at that.
    pub(crate) said: Line<SAMPLES_MAX>,
    to_narrow: Resampler,
    /// What voices of each rate are brought to this leg's by, and for how many frames they still sound on.
    from: [(Resampler, u8); 3],
}

/// An order and what it needs besides itself, made where memory may be taken.
#[derive(Debug)]
pub struct Command {
    pub(crate) order: Order,
    pub(crate) coder: Option<Box<Coder>>,
    pub(crate) srtp: Option<Box<Context>>,
}

/// What nobody has a use for any more; to be dropped where memory may be given back.
#[derive(Debug)]
pub enum Scrap {
    Coder(Box<Coder>),
    Srtp(Box<Context>),
    Tune(Arc<Tune>),
}

impl Command {
    /// Makes what the order needs. Where libopus says no the order goes alone, and is refused by name.
    pub fn equip(order: Order) -> Self {
        let coder = if let Order::Connect { codec, .. } = order {
            Coder::new(codec).ok().flatten()
        } else {
            None
        };
        let srtp = if let Order::Secure { keys: Some(keys), .. } = order {
            Some(Box::new(Context::new(keys)))
        } else {
            None
        };
        Self { order, coder, srtp }
    }

    pub const fn order(&self) -> &Order {
        &self.order
    }

    /// True: memory was taken for a decoder and an encoder.
    pub const fn has_coder(&self) -> bool {
        self.coder.is_some()
    }
}

impl From<Order> for Command {
    fn from(order: Order) -> Self {
        Self { order, coder: None, srtp: None }
    }
}

impl Coder {
    /// None: legs of this codec need no coder. Takes all memory it will ever need, and some time: half a
    /// millisecond for Opus.
    pub fn new(codec: Codec) -> Result<Option<Box<Self>>, OpusError> {
        if !codec.needs_coder() {
            return Ok(None);
        }
        let rate = codec.coding.rate();
        Ok(Some(Box::new(Self {
            codec,
            hearing: Hearing::new(codec.coding)?,
            pack: Packer::new(Encoder::new(codec.coding)?, codec),
            said: Line::NONE,
            music: 0,
            to_narrow: Resampler::new(rate, Rate::Hz8000),
            from: RATES.map(|from| (Resampler::new(from, rate), 0)),
        })))
    }

    pub(crate) const fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) const fn rate(&self) -> Rate {
        self.codec.coding.rate()
    }

    pub(crate) fn set_effort(&mut self, effort: Effort) {
        let Coding::Opus(how) = self.codec.coding else { return };
        self.pack.set_complexity(match effort {
            Effort::Usual => how.complexity,
            Effort::Least => 0,
        });
    }

    #[cfg(test)]
    pub(crate) const fn complexity(&self) -> Option<u8> {
        self.pack.complexity()
    }

    /// What of our packets the far side says it loses.
    pub(crate) fn expect_loss(&mut self, percent: u8) {
        if matches!(self.codec.coding, Coding::Opus(how) if how.fec) {
            self.pack.expect_loss(percent);
        }
    }

    /// A frame this leg said, at 8 kHz.
    pub(crate) fn narrow(&mut self, frame: &[i16]) -> Frame {
        let mut narrow = SILENCE;
        self.to_narrow.run(frame, &mut narrow);
        narrow
    }

    /// A frame at another rate, as this leg hears it. False: nobody speaks at that rate, and nothing of them is
    /// left to be heard.
    pub(crate) fn widen(
        &mut self,
        from: Rate,
        spoken: bool,
        frame: &[i16],
        to: &mut [i16],
    ) -> bool {
        let mut all = RATES.iter().zip(&mut self.from);
        let Some((_, (resampler, rest))) = all.find(|(rate, _)| **rate == from) else {
            return false;
        };
        *rest = if spoken { SOUNDS_ON } else { rest.saturating_sub(1) };
        let sounds = *rest > 0;
        if sounds {
            resampler.run(frame, to);
        }
        sounds
    }
}

/// The other half of a codec: one voice to packets.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lies in a box, and is never moved")]
pub(crate) enum Encoder {
    G711(crate::order::Law),
    G722(g722::Encoder),
    L16,
    Opus(opus::Encoder),
}

impl Encoder {
    fn new(coding: Coding) -> Result<Self, OpusError> {
        Ok(match coding {
            Coding::G711(law) => Self::G711(law),
            Coding::G722 => Self::G722(g722::Encoder::new()),
            // What is opaque has no coder, and nobody asks.
            Coding::L16(_) | Coding::Opaque(_) => Self::L16,
            Coding::Opus(how) => Self::Opus(opus::Encoder::new(how)?),
        })
    }

    /// For frames that many hear.
    pub(crate) fn for_many(coding: Coding) -> Result<Self, OpusError> {
        match coding {
            Coding::Opus(how) => Ok(Self::Opus(opus::Encoder::for_many(how)?)),
            Coding::G711(_) | Coding::G722 | Coding::L16(_) | Coding::Opaque(_) => {
                Self::new(coding)
            }
        }
    }

    /// Writes a packet; its length, 0 if it could not be written.
    pub(crate) fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> usize {
        match self {
            Self::G711(law) => {
                for (code, sample) in packet.iter_mut().zip(samples) {
                    *code = g711::encode(*law, *sample);
                }
                samples.len().min(packet.len())
            }
            Self::G722(encoder) => {
                encoder.encode(samples, packet);
                (samples.len() / 2).min(packet.len())
            }
            Self::L16 => {
                for (bytes, sample) in packet.as_chunks_mut::<2>().0.iter_mut().zip(samples) {
                    *bytes = sample.to_be_bytes();
                }
                (samples.len() * 2).min(packet.len())
            }
            Self::Opus(encoder) => encoder.encode(samples, packet),
        }
    }

    pub(crate) fn set_complexity(&mut self, complexity: u8) {
        match self {
            Self::Opus(encoder) => encoder.set_complexity(complexity),
            Self::G711(_) | Self::G722(_) | Self::L16 => {}
        }
    }

    pub(crate) fn expect_loss(&mut self, percent: u8) {
        match self {
            Self::Opus(encoder) => encoder.expect_loss(percent),
            Self::G711(_) | Self::G722(_) | Self::L16 => {}
        }
    }

    /// What the far side's decoder has come to, where that must be known to go on.
    pub(crate) const fn state(&self) -> Option<&g722::Encoder> {
        match self {
            Self::G722(encoder) => Some(encoder),
            Self::G711(_) | Self::L16 | Self::Opus(_) => None,
        }
    }

    /// The far side has heard somebody else's packets; `after`: what its decoder has come to with them.
    pub(crate) fn follow(&mut self, after: Option<&g722::Encoder>) {
        match (self, after) {
            (Self::G722(encoder), Some(after)) => encoder.clone_from(after),
            (Self::G711(_) | Self::G722(_) | Self::L16 | Self::Opus(_), _) => {}
        }
    }

    /// What was said before is no part of what follows, as far as the far side's decoder bears it.
    pub(crate) fn forget(&mut self) {
        match self {
            Self::Opus(encoder) => encoder.forget(),
            // The far side's predictor goes on from where it is, and so must this one.
            Self::G711(_) | Self::G722(_) | Self::L16 => {}
        }
    }
}

/// Frames of silence after which a filter has nothing left.
const SOUNDS_ON: u8 = 3;

const RATES: [Rate; 3] = [Rate::Hz8000, Rate::Hz16000, Rate::Hz48000];

/// As many samples of 8 kHz as a length at this rate covers.
pub(crate) const fn units(samples: usize, rate: Rate) -> usize {
    samples / rate.factor()
}

/// The longest packet we write: 60 ms at 48 kHz.
pub(crate) const PACKET_SAMPLES_MAX: usize = 3 * SAMPLES_MAX;

/// 60 ms of L16 at 16 kHz is 1,920 bytes; what is longer fits into no datagram that is not cut up.
pub(crate) const PAYLOAD_MAX: usize = 1_440;

const _: () = assert!(SAMPLES * 6 == SAMPLES_MAX);

#[cfg(test)]
mod tests;
