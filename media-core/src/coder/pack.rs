//! Frames of 20 ms to packets of 10 to 60.

use super::{Encoder, PACKET_SAMPLES_MAX, PAYLOAD_MAX, units};
use crate::{
    codec::g722,
    frame::{Rate, SAMPLES},
    order::{Codec, Coding},
};

/// The send side of a coder. Takes its memory when it is made.
#[derive(Debug)]
pub(crate) struct Packer {
    encoder: Encoder,
    rate: Rate,
    /// Samples of a packet.
    packet: usize,
    /// A packet of so few bytes says nothing, and is not sent (RFC 7587 §3.1.3).
    silent: usize,
    gathered: usize,
    /// The far side has heard others since this encoder spoke.
    is_stale: bool,
    samples: Vec<i16>,
    payload: Vec<u8>,
}

/// A packet that is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed<'a> {
    pub(crate) payload: &'a [u8],
    /// How far before the frame given last it begins, in samples of 8 kHz; negative: behind its beginning.
    pub(crate) before: i32,
}

impl Packer {
    pub(super) fn new(encoder: Encoder, codec: Codec) -> Self {
        let rate = codec.coding.rate();
        let packet = usize::from(tens(codec)) * rate.samples() / 2;
        let silent = match codec.coding {
            Coding::Opus(how) if how.dtx => 2,
            Coding::G711(_)
            | Coding::G722
            | Coding::L16(_)
            | Coding::Opaque(_)
            | Coding::Opus(_) => 0,
        };
        Self {
            encoder,
            rate,
            packet,
            silent,
            gathered: 0,
            is_stale: false,
            samples: vec![0; PACKET_SAMPLES_MAX],
            payload: vec![0; PAYLOAD_MAX],
        }
    }

    /// Takes a frame and gives the packets that are complete with it.
    pub(crate) fn take(&mut self, frame: &[i16], mut give: impl FnMut(Packed<'_>)) {
        if std::mem::take(&mut self.is_stale) {
            self.encoder.forget();
        }
        let mut before = i32::try_from(units(self.gathered, self.rate)).unwrap_or(0);
        let mut rest = frame;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.packet - self.gathered));
            let to = self.samples.get_mut(self.gathered..self.gathered + now.len());
            to.unwrap_or_default().copy_from_slice(now);
            self.gathered += now.len();
            rest = later;
            if self.gathered < self.packet {
                return;
            }
            let samples = self.samples.get(..self.packet).unwrap_or_default();
            let length = self.encoder.encode(samples, &mut self.payload);
            if length > self.silent {
                let payload = self.payload.get(..length).unwrap_or_default();
                give(Packed { payload, before });
            }
            before -= i32::try_from(units(self.packet, self.rate)).unwrap_or(0);
            self.gathered = 0;
        }
    }

    /// Something else is heard in place of what is gathered.
    pub(crate) const fn leave_out(&mut self) {
        self.gathered = 0;
    }

    /// One frame is one packet, and nothing of another is gathered.
    pub(crate) const fn is_even(&self) -> bool {
        self.packet == SAMPLES * self.rate.factor() && self.gathered == 0
    }

    pub(crate) fn set_complexity(&mut self, complexity: u8) {
        self.encoder.set_complexity(complexity);
    }

    #[cfg(test)]
    pub(crate) const fn complexity(&self) -> Option<u8> {
        match &self.encoder {
            Encoder::Opus(encoder) => Some(encoder.complexity()),
            Encoder::G711(_) | Encoder::G722(_) | Encoder::L16 => None,
        }
    }

    pub(crate) fn expect_loss(&mut self, percent: u8) {
        self.encoder.expect_loss(percent);
    }

    /// The far side has heard somebody else's packets; `after`: what its decoder has come to with them.
    pub(crate) fn follow(&mut self, after: Option<&g722::Encoder>) {
        self.encoder.follow(after);
        self.is_stale = true;
    }
}

/// Tens of milliseconds in a packet: what was agreed, or the most below it that the codec can write.
pub(super) fn tens(codec: Codec) -> u8 {
    let tens = codec.packet_ms.clamp(10, 60) / 10;
    match (codec.coding, tens) {
        (Coding::Opus(_), 3) => 2,
        (Coding::Opus(_), 5) => 4,
        (Coding::L16(rate), tens) => {
            let bytes = rate.samples();
            let most = (1..=6).take_while(|tens| usize::from(*tens) * bytes <= PAYLOAD_MAX);
            tens.min(most.last().unwrap_or(1))
        }
        (Coding::G711(_) | Coding::G722 | Coding::Opaque(_) | Coding::Opus(_), tens) => tens,
    }
}

#[cfg(test)]
mod tests;
