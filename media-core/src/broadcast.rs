//! Tunes as packets that many hear: each frame is encoded once for all who wait in one codec.
//!
//! Its encoder is nobody's. A far side that has heard the same music from its leg's own encoder for a
//! while has a decoder in the same state, near enough; who leaves takes the state along.

use crate::{
    codec::{g722, resample::Resampler},
    coder::{Encoder, PAYLOAD_MAX},
    frame::{Rate, SAMPLES, SAMPLES_MAX},
    leg::prompts::Part,
    order::{Coding, Opus, TuneId},
    tunes::{Edition, Tunes},
};

/// One tune in one codec, in packets of 20 ms.
#[derive(Debug)]
pub(crate) struct Broadcast {
    tune: TuneId,
    /// Of the frame encoded last.
    edition: Option<Edition>,
    coding: Coding,
    encoder: Encoder,
    widen: Resampler,
    frames: [Sent; DEPTH],
    /// The place of the frame encoded last.
    last: Option<u64>,
}

/// One frame of a tune as a packet.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    place: u64,
    length: usize,
    payload: [u8; PAYLOAD_MAX],
    /// What the far side's predictor has come to with it.
    after: Option<g722::Encoder>,
}

impl Sent {
    const NOTHING: Self = Self { place: 0, length: 0, payload: [0; PAYLOAD_MAX], after: None };

    pub(crate) fn payload(&self) -> &[u8] {
        self.payload.get(..self.length).unwrap_or_default()
    }

    pub(crate) const fn after(&self) -> Option<&g722::Encoder> {
        self.after.as_ref()
    }
}

impl Broadcast {
    /// Every tune in every coding; takes all memory. What libopus makes no encoder for has none: its
    /// listeners use their own.
    pub(crate) fn all(tunes: usize, codings: &[Coding]) -> Vec<Self> {
        let tunes = (0..u16::try_from(tunes).unwrap_or(u16::MAX)).map(TuneId);
        let all = tunes.flat_map(|tune| codings.iter().map(move |coding| (tune, *coding)));
        all.filter_map(|(tune, coding)| Self::new(tune, coding)).collect()
    }

    fn new(tune: TuneId, coding: Coding) -> Option<Self> {
        Some(Self {
            tune,
            edition: None,
            coding: key(coding),
            encoder: Encoder::for_many(coding).ok()?,
            widen: Resampler::new(Rate::Hz16000, coding.rate()),
            frames: [Sent::NOTHING; DEPTH],
            last: None,
        })
    }

    /// What is heard of this tune by legs of this coding.
    pub(crate) fn is_of(&self, tune: TuneId, coding: Coding) -> bool {
        self.tune == tune && self.coding == key(coding)
    }

    /// The frame of this place, encoded if nobody has asked for it yet; true with it if so. None: its time
    /// has passed, for a leg that is late.
    pub(crate) fn frame(&mut self, tunes: &Tunes, place: u64) -> Option<(&Sent, bool)> {
        let last = self.last.unwrap_or_else(|| place.saturating_sub(1));
        if place + (DEPTH as u64) <= last {
            return None;
        }
        let is_new = self.last.is_none() || place > last;
        if is_new {
            // Nobody listened for a while: what was said then is no part of this.
            if self.last.is_none() || place - last > DEPTH as u64 {
                self.encoder.forget();
                self.widen.forget();
                self.edition = None;
                self.encode(tunes, place);
            } else {
                (last + 1..=place).for_each(|place| self.encode(tunes, place));
            }
        }
        let at = usize::try_from(place % DEPTH as u64).ok()?;
        let sent = self.frames.get(at).filter(|sent| sent.place == place && sent.length > 0)?;
        Some((sent, is_new))
    }

    fn encode(&mut self, tunes: &Tunes, place: u64) {
        let mut frame = [0; SAMPLES_MAX];
        let rate = self.coding.rate();
        let frame = frame.get_mut(..rate.samples()).unwrap_or_default();
        let part = Part::music(tunes, self.tune, self.edition, place);
        self.edition = tunes.get(self.tune).map(|(_, edition)| edition);
        match rate {
            // A tune holds 16 kHz at most.
            Rate::Hz48000 => {
                let mut wide = [0; SAMPLES * 2];
                part.linear(Rate::Hz16000, &mut wide);
                self.widen.run(&wide, frame);
            }
            Rate::Hz8000 | Rate::Hz16000 => part.linear(rate, frame),
        }
        let at = usize::try_from(place % DEPTH as u64).unwrap_or(0);
        if let Some(sent) = self.frames.get_mut(at) {
            sent.place = place;
            sent.length = self.encoder.encode(frame, &mut sent.payload);
            sent.after = self.encoder.state().cloned();
        }
        self.last = Some(place);
    }
}

/// What decides how a frame is written: what one far side wishes besides does not.
fn key(coding: Coding) -> Coding {
    match coding {
        Coding::Opus(Opus { rate, bitrate, .. }) => {
            Coding::Opus(Opus { rate, bitrate, fec: false, dtx: false, complexity: 0 })
        }
        Coding::G711(_) | Coding::G722 | Coding::L16(_) | Coding::Opaque(_) => coding,
    }
}

/// Frames that legs of different phases may be apart, and one for a leg that is late.
const DEPTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::music::Tune;
    use std::sync::Arc;

    #[test]
    fn a_frame_is_encoded_once_whoever_asks_in_whatever_order() {
        let tunes = Tunes::new(vec![Arc::new(Tune::test_tone())]);
        let mut broadcast = Broadcast::new(TuneId(0), Coding::G722).unwrap();
        assert!(broadcast.frame(&tunes, 10).is_some_and(|(_, is_new)| is_new));
        let mut encoded = 0;

        for place in 11..21 {
            for asked in [place, place - 1, place, place - 1] {
                let (sent, is_new) = broadcast.frame(&tunes, asked).unwrap();
                assert_eq!(sent.payload().len(), 160);
                encoded += usize::from(is_new);
            }
        }

        assert_eq!(encoded, 10);
        assert!(broadcast.frame(&tunes, 9).is_none(), "long ago");
        assert!(broadcast.frame(&tunes, 900).is_some_and(|(_, is_new)| is_new));
        assert!(broadcast.frame(&tunes, 899).is_none(), "what lies there is another frame");
    }
}
