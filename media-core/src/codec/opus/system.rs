//! libopus as the distribution has it, by the crate `audiopus`.

use super::OpusError;
use audiopus::{
    Application, Bitrate, Channels, MutSignals, SampleRate, Signal,
    coder::{self, GenericCtl},
    packet::{self, Packet},
};

#[derive(Debug)]
pub(super) struct Encoder(coder::Encoder);

#[derive(Debug)]
pub(super) struct Decoder(coder::Decoder);

impl Encoder {
    pub(super) fn new(hertz: u32) -> Result<Self, OpusError> {
        let encoder = coder::Encoder::new(rate(hertz)?, Channels::Mono, Application::Voip);
        encoder.map(Self).map_err(said)
    }

    /// Two voices, without the part of the coder that models one: of recordings.
    pub(super) fn two(hertz: u32) -> Result<Self, OpusError> {
        let encoder = coder::Encoder::new(rate(hertz)?, Channels::Stereo, Application::LowDelay);
        let mut encoder = encoder.map_err(said)?;
        encoder.set_force_channels(Channels::Stereo).map_err(said)?;
        Ok(Self(encoder))
    }

    /// Samples by which it lags.
    pub(super) fn delay(&mut self) -> Result<u16, OpusError> {
        let samples = self.0.lookahead().map_err(said)?;
        u16::try_from(samples).map_err(|_| OpusError(format!("it lags by {samples} samples")))
    }

    pub(super) fn set_bitrate(&mut self, bits: i32) -> Result<(), OpusError> {
        self.0.set_bitrate(Bitrate::BitsPerSecond(bits)).map_err(said)
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
        self.0.set_complexity(complexity).map_err(said)
    }

    pub(super) fn set_loss_percent(&mut self, percent: u8) -> Result<(), OpusError> {
        self.0.set_packet_loss_perc(percent).map_err(said)
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
        coder::Decoder::new(rate(hertz)?, Channels::Mono).map(Self).map_err(said)
    }

    pub(super) fn two(hertz: u32) -> Result<Self, OpusError> {
        coder::Decoder::new(rate(hertz)?, Channels::Stereo).map(Self).map_err(said)
    }

    /// An empty packet is one that never came.
    pub(super) fn decode(
        &mut self,
        packet: &[u8],
        samples: &mut [i16],
        fec: bool,
    ) -> Option<usize> {
        let came = if packet.is_empty() { None } else { Some(Packet::try_from(packet).ok()?) };
        self.0.decode(came, MutSignals::try_from(samples).ok()?, fec).ok()
    }

    pub(super) fn reset(&mut self) -> Result<(), OpusError> {
        self.0.reset_state().map_err(said)
    }
}

/// How many samples of 8 kHz a packet plays.
pub(super) fn samples(packet: &[u8]) -> Option<usize> {
    packet::nb_samples(Packet::try_from(packet).ok()?, SampleRate::Hz8000).ok()
}

/// Which libopus this is.
pub(super) fn version() -> &'static str {
    audiopus::version()
}

fn rate(hertz: u32) -> Result<SampleRate, OpusError> {
    i32::try_from(hertz)
        .ok()
        .and_then(|hertz| SampleRate::try_from(hertz).ok())
        .ok_or_else(|| OpusError(format!("no rate of {hertz} Hz")))
}

fn said(error: audiopus::Error) -> OpusError {
    OpusError(error.to_string())
}
