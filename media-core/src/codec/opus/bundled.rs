//! libopus as the crate `opus` brings it: built with us, linked into us.

use super::OpusError;
use opus::{Application, Bitrate, Channels, Signal};

#[derive(Debug)]
pub(super) struct Encoder(opus::Encoder);

#[derive(Debug)]
pub(super) struct Decoder(opus::Decoder);

impl Encoder {
    pub(super) fn new(hertz: u32) -> Result<Self, OpusError> {
        opus::Encoder::new(hertz, Channels::Mono, Application::Voip).map(Self).map_err(said)
    }

    /// Two voices, without the part of the coder that models one: of recordings.
    pub(super) fn two(hertz: u32) -> Result<Self, OpusError> {
        let mut encoder =
            opus::Encoder::new(hertz, Channels::Stereo, Application::LowDelay).map_err(said)?;
        encoder.set_force_channels(Some(Channels::Stereo)).map_err(said)?;
        Ok(Self(encoder))
    }

    /// Samples by which it lags.
    pub(super) fn delay(&mut self) -> Result<u16, OpusError> {
        let samples = self.0.get_lookahead().map_err(said)?;
        u16::try_from(samples).map_err(|_| OpusError(format!("it lags by {samples} samples")))
    }

    pub(super) fn set_bitrate(&mut self, bits: i32) -> Result<(), OpusError> {
        self.0.set_bitrate(Bitrate::Bits(bits)).map_err(said)
    }

    pub(super) fn set_vbr(&mut self, varies: bool) -> Result<(), OpusError> {
        self.0.set_vbr(varies).map_err(said)
    }

    pub(super) fn set_inband_fec(&mut self, tells: bool) -> Result<(), OpusError> {
        self.0.set_inband_fec(tells).map_err(said)
    }

    pub(super) fn set_dtx(&mut self, pauses: bool) -> Result<(), OpusError> {
        self.0.set_dtx(pauses).map_err(said)
    }

    pub(super) fn expect_voice(&mut self) -> Result<(), OpusError> {
        self.0.set_signal(Signal::Voice).map_err(said)
    }

    pub(super) fn expect_music(&mut self) -> Result<(), OpusError> {
        self.0.set_signal(Signal::Music).map_err(said)
    }

    pub(super) fn disable_prediction(&mut self) -> Result<(), OpusError> {
        self.0.set_prediction_disabled(true).map_err(said)
    }

    pub(super) fn set_complexity(&mut self, complexity: u8) -> Result<(), OpusError> {
        self.0.set_complexity(complexity.into()).map_err(said)
    }

    pub(super) fn set_loss_percent(&mut self, percent: u8) -> Result<(), OpusError> {
        self.0.set_packet_loss_perc(percent.into()).map_err(said)
    }

    pub(super) fn encode(&mut self, samples: &[i16], packet: &mut [u8]) -> Option<usize> {
        self.0.encode(samples, packet).ok()
    }

    pub(super) fn reset(&mut self) -> Result<(), OpusError> {
        self.0.reset_state().map_err(said)
    }
}

impl Decoder {
    pub(super) fn new(hertz: u32) -> Result<Self, OpusError> {
        opus::Decoder::new(hertz, Channels::Mono).map(Self).map_err(said)
    }

    pub(super) fn two(hertz: u32) -> Result<Self, OpusError> {
        opus::Decoder::new(hertz, Channels::Stereo).map(Self).map_err(said)
    }

    /// An empty packet is one that never came.
    pub(super) fn decode(
        &mut self,
        packet: &[u8],
        samples: &mut [i16],
        fec: bool,
    ) -> Option<usize> {
        self.0.decode(packet, samples, fec).ok()
    }

    pub(super) fn reset(&mut self) -> Result<(), OpusError> {
        self.0.reset_state().map_err(said)
    }
}

/// How many samples of 8 kHz a packet plays.
pub(super) fn samples(packet: &[u8]) -> Option<usize> {
    opus::packet::get_nb_samples(packet, 8_000).ok()
}

/// Which libopus this is.
pub(super) fn version() -> &'static str {
    opus::version()
}

fn said(error: opus::Error) -> OpusError {
    OpusError(error.to_string())
}
