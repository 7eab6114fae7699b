//! Opus: voices to packets and back (RFC 6716, RFC 7587). States are made and dropped on the control side;
//! between that nothing allocates.
//!
//! libopus comes bundled, or is the distribution's: never both, for neither says so to the linker.

#[cfg(feature = "audiopus")]
#[path = "opus/system.rs"]
mod lib;
#[cfg(not(feature = "audiopus"))]
#[path = "opus/bundled.rs"]
mod lib;

#[cfg(all(feature = "opus", feature = "audiopus"))]
compile_error!(
    "features opus and audiopus exclude each other: with two of libopus the older one wins"
);
#[cfg(not(any(feature = "opus", feature = "audiopus")))]
compile_error!("choose libopus: feature opus (bundled) or audiopus (the distribution's)");

use crate::{frame::Rate, order::Opus};

/// One voice to packets.
#[derive(Debug)]
pub(crate) struct Encoder {
    state: lib::Encoder,
    complexity: u8,
    loss_percent: u8,
    loss_floor: u8,
}

/// Packets to one voice.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: lib::Decoder,
}

/// libopus did not take what it was given; in words fit for a log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("libopus: {0}")]
pub struct OpusError(String);

impl Encoder {
    pub(crate) fn new(how: Opus) -> Result<Self, OpusError> {
        let mut state = lib::Encoder::new(how.rate.hertz())?;
        let bitrate = how.bitrate.clamp(BITRATE_MIN, BITRATE_MAX);
        state.set_bitrate(i32::try_from(bitrate).unwrap_or(i32::MAX))?;
        state.set_inband_fec(how.fec)?;
        state.set_dtx(how.dtx)?;
        state.expect_voice()?;
        // Without a word of loss libopus sends no redundancy; the far side's reports say more later.
        let loss_floor = if how.fec { LOSS_EXPECTED } else { 0 };
        let mut encoder = Self { state, complexity: u8::MAX, loss_percent: u8::MAX, loss_floor };
        encoder.set_complexity(how.complexity);
        encoder.expect_loss(loss_floor);
        Ok(encoder)
    }

    /// Music that many hear: frames that hardly lean on each other, so that one may come and go anywhere.
    pub(crate) fn for_many(how: Opus) -> Result<Self, OpusError> {
        let mut encoder = Self::new(Opus { fec: false, dtx: false, ..how })?;
        encoder.state.disable_prediction()?;
        encoder.state.expect_music()?;
        Ok(encoder)
    }

    /// One packet of 10, 20, 40 or 60 ms; its length. 0: it could not be written.
    pub(crate) fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> usize {
        self.state.encode(samples, packet).unwrap_or(0)
    }

    pub(crate) fn set_complexity(&mut self, complexity: u8) {
        if self.complexity != complexity {
            self.complexity = complexity;
            // It refuses only what is beyond ten.
            let _refused = self.state.set_complexity(complexity.min(10));
        }
    }

    #[cfg(test)]
    pub(crate) const fn complexity(&self) -> u8 {
        self.complexity
    }

    /// What of our packets the far side says it loses: how much redundancy they carry.
    pub(crate) fn expect_loss(&mut self, percent: u8) {
        let percent = percent.clamp(self.loss_floor, LOSS_MAX);
        if self.loss_percent != percent {
            self.loss_percent = percent;
            let _refused = self.state.set_loss_percent(percent);
        }
    }

    /// What was said before is no part of what follows.
    pub(crate) fn forget(&mut self) {
        let _never_fails = self.state.reset();
    }
}

impl Decoder {
    pub(crate) fn new(rate: Rate) -> Result<Self, OpusError> {
        Ok(Self { state: lib::Decoder::new(rate.hertz())? })
    }

    /// A packet to samples; how many. None: it is no Opus, or longer than `samples`.
    pub(crate) fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Option<usize> {
        if packet.is_empty() {
            return None;
        }
        self.state.decode(packet, samples, false)
    }

    /// What stood before this packet, by the redundancy it carries: as many samples as `samples` has room for,
    /// a multiple of 2.5 ms.
    pub(crate) fn recover(&mut self, packet: &[u8], samples: &mut [i16]) -> bool {
        !packet.is_empty() && self.state.decode(packet, samples, true).is_some()
    }

    /// What never came, made up: as many samples as `samples` has room for, a multiple of 2.5 ms.
    pub(crate) fn conceal(&mut self, samples: &mut [i16]) -> bool {
        self.state.decode(&[], samples, false).is_some()
    }

    pub(crate) fn forget(&mut self) {
        let _never_fails = self.state.reset();
    }
}

/// Two voices to packets, which the coder keeps apart: of recordings.
pub(crate) struct StereoEncoder {
    state: lib::Encoder,
    delay: u16,
}

impl StereoEncoder {
    /// Of 8 kHz.
    ///
    /// CELT alone at 40 kbit/s: half the work of SILK at 32, and who is silent is silent where the
    /// other talks (measured with both, docs/adr/0025).
    pub(crate) fn new() -> Result<Self, OpusError> {
        let mut state = lib::Encoder::two(Rate::Hz8000.hertz())?;
        state.set_bitrate(STEREO_BITRATE)?;
        state.set_complexity(0)?;
        let delay = state.delay()?;
        Ok(Self { state, delay })
    }

    /// Of which every packet is as long as the others, whatever is said: the length of what is encrypted
    /// would tell of it (RFC 6562 §3).
    pub(crate) fn of_one_length() -> Result<Self, OpusError> {
        let mut encoder = Self::new()?;
        encoder.state.set_vbr(false)?;
        Ok(encoder)
    }

    /// 20 ms of pairs; its length. 0: it could not be written.
    pub(crate) fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> usize {
        self.state.encode(samples, packet).unwrap_or(0)
    }

    /// Samples of 8 kHz by which it lags.
    pub(crate) const fn delay(&self) -> u16 {
        self.delay
    }
}

/// Packets to two voices.
pub(crate) struct StereoDecoder {
    state: lib::Decoder,
}

impl StereoDecoder {
    /// To 8 kHz.
    pub(crate) fn new() -> Result<Self, OpusError> {
        Ok(Self { state: lib::Decoder::two(Rate::Hz8000.hertz())? })
    }

    /// A packet to pairs of samples; how many. None: it is no Opus, or longer than `samples`.
    pub(crate) fn decode(&mut self, packet: &[u8], samples: &mut [i16]) -> Option<usize> {
        (!packet.is_empty()).then(|| self.state.decode(packet, samples, false)).flatten()
    }
}

/// How long a packet plays, in samples of 8 kHz (RFC 6716 §3.1). None: no decoder would take it.
pub(crate) fn duration(packet: &[u8]) -> Option<u32> {
    u32::try_from(lib::samples(packet)?).ok().filter(|samples| (1..=DURATION_MAX).contains(samples))
}

/// True: it tells of the packet before it too (RFC 6716 §4.2.4: the flag behind the voice activity of each 20 ms).
/// Packed in several parts it may, and nobody looks.
pub(crate) fn has_redundancy(packet: &[u8]) -> bool {
    let [toc, first, ..] = *packet else { return false };
    let config = toc >> 3;
    // §3.1: from 16 on there is no SILK part, and only that is told twice.
    if config >= 16 {
        return false;
    }
    let frames = match (config < 12, config % 4) {
        (true, 2) => 2,
        (true, 3) => 3,
        (true, _) | (false, _) => 1,
    };
    toc & 3 > 1 || first >> (7 - frames) & 1 == 1
}

/// Which libopus is in this binary.
pub fn version() -> &'static str {
    lib::version()
}

const BITRATE_MIN: u32 = 6_000;
const BITRATE_MAX: u32 = 128_000;
const STEREO_BITRATE: i32 = 40_000;
/// Below a tenth libopus tells nothing twice at 24 kbit/s (measured, 1.6.1).
const LOSS_EXPECTED: u8 = 10;
const LOSS_MAX: u8 = 30;

/// 120 ms, the longest packet (RFC 6716 §3.1).
const DURATION_MAX: u32 = 960;
