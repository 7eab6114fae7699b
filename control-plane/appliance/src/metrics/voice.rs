//! How voices were heard, leg by leg, as their reports tell at the end.

use media_core::{
    order::LegReport,
    quality::{Model, Sound},
};
use prometheus::{Histogram, HistogramOpts, Registry};

/// The histograms. What two models say is never in one.
#[derive(Debug)]
pub(super) struct Voices {
    listening: [Histogram; Model::ALL.len()],
    conversation: [Histogram; Model::ALL.len()],
    loss: Histogram,
    concealed: Histogram,
    jitter: Histogram,
    buffer: Histogram,
    round_trip: Histogram,
}

impl Voices {
    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        // 1.0 to 4.5 in tenths.
        let scores: Vec<f64> = (10..=45).map(|tenths| f64::from(tenths) / 10.0).collect();
        let scores = |name, help| -> prometheus::Result<[Histogram; Model::ALL.len()]> {
            let both = super::histograms(registry, (name, help), &scores, &["model"])?;
            Ok(Model::ALL.map(|model| both.with_label_values(&[model.label()])))
        };
        let one = |name, help, buckets: &[f64]| -> prometheus::Result<Histogram> {
            let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
            super::registered(registry, Histogram::with_opts(opts)?)
        };
        let shares = [0.0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5];
        Ok(Self {
            listening: scores(
                "clavija_rtp_mos",
                "Estimated mean opinion score of listening, of each leg at its end (ITU-T G.107, \
                 G.107.1).",
            )?,
            conversation: scores(
                "clavija_rtp_mos_conversation",
                "The same of a conversation, delay included, where a round trip is known.",
            )?,
            loss: one(
                "clavija_rtp_loss_ratio",
                "Share of the packets of each leg that were never heard: lost, too late or not \
                 to be played.",
                &shares,
            )?,
            concealed: one(
                "clavija_concealed_samples_ratio",
                "Share of what was heard of each leg that was made up, pauses left out.",
                &shares,
            )?,
            jitter: one(
                "clavija_rtp_jitter_seconds",
                "Interarrival jitter of each leg at its end (RFC 3550).",
                &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2],
            )?,
            buffer: one(
                "clavija_jitter_buffer_seconds",
                "How long packets of each leg waited for late ones at its end.",
                &[0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2],
            )?,
            round_trip: one(
                "clavija_rtp_round_trip_seconds",
                "Round trip of each leg at its end, by RTCP, where the far side reports.",
                &[0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0],
            )?,
        })
    }

    /// A leg has ended. One of which next to nothing came says nothing.
    pub(super) fn observe(&self, report: &LegReport) {
        let sound = Sound::of(report);
        let Some(verdict) = sound.mos else { return };
        let place = match verdict.model {
            Model::Narrowband => 0,
            Model::Wideband => 1,
        };
        self.listening[place].observe(verdict.lq);
        if let Some(cq) = verdict.cq {
            self.conversation[place].observe(cq);
        }
        self.loss.observe(sound.loss_ratio + sound.discard_ratio);
        self.jitter.observe(sound.jitter_ms / 1_000.0);
        self.buffer.observe(sound.buffer_ms / 1_000.0);
        if report.frames_heard > 0 {
            self.concealed.observe(sound.concealed_ratio);
        }
        if let Some(round_trip_ms) = sound.round_trip_ms {
            self.round_trip.observe(round_trip_ms / 1_000.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_core::quality::Coding;
    use prometheus::TextEncoder;

    #[test]
    fn a_narrow_and_a_wide_voice_are_in_histograms_of_their_own() {
        let registry = Registry::new();
        let voices = Voices::register(&registry).unwrap();
        let narrow = LegReport { packets_received: 1_000, ..LegReport::default() };
        let wide = LegReport { coding: Coding::G722, round_trip_us: Some(40_000), ..narrow };

        voices.observe(&narrow);
        voices.observe(&wide);
        voices.observe(&LegReport { packets_received: 5, ..narrow });

        let mut text = String::new();
        TextEncoder::new().encode_utf8(&registry.gather(), &mut text).unwrap();
        for line in [
            "clavija_rtp_mos_bucket{model=\"narrowband\",le=\"4.4\"} 0",
            "clavija_rtp_mos_bucket{model=\"narrowband\",le=\"4.5\"} 1",
            "clavija_rtp_mos_bucket{model=\"wideband\",le=\"4.3\"} 0",
            "clavija_rtp_mos_bucket{model=\"wideband\",le=\"4.4\"} 1",
            "clavija_rtp_mos_conversation_count{model=\"narrowband\"} 0",
            "clavija_rtp_mos_conversation_count{model=\"wideband\"} 1",
            "clavija_rtp_loss_ratio_count 2",
            "clavija_rtp_round_trip_seconds_count 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
