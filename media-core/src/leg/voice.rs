//! What a leg tells its far side of how the voice sounds here (RFC 3611 §4.7).

use crate::{
    order::LegReport,
    quality::Sound,
    rtp::{bursts::Burstiness, xr::VoipMetrics},
};

/// The block about the stream of this SSRC.
pub(crate) fn metrics(ssrc: u32, report: &LegReport, bursts: Burstiness) -> VoipMetrics {
    let sound = Sound::of(report);
    let packet_ms = f64::from(report.packet_us) / 1_000.0;
    let tenths = |mos: f64| octet(mos * 10.0);
    VoipMetrics {
        ssrc,
        loss_rate: share(sound.loss_ratio),
        discard_rate: share(sound.discard_ratio),
        burst_density: share(bursts.burst_density),
        gap_density: share(bursts.gap_density),
        burst_ms: word(bursts.burst_packets * packet_ms),
        gap_ms: word(bursts.gap_packets * packet_ms),
        round_trip_ms: word(sound.round_trip_ms.unwrap_or(0.0)),
        // A packet is gathered on either way.
        end_system_ms: word(sound.buffer_ms + 2.0 * packet_ms),
        // §4.7.5: of a conversation, so not without a round trip.
        r_factor: sound.mos.filter(|verdict| verdict.cq.is_some()).map(|verdict| octet(verdict.r)),
        mos_lq: sound.mos.map(|verdict| tenths(verdict.lq)),
        mos_cq: sound.mos.and_then(|verdict| verdict.cq).map(tenths),
        buffer_ms: word(sound.buffer_ms),
        buffer_max_ms: BUFFER_MAX_MS,
    }
}

/// 256ths.
fn share(ratio: f64) -> u8 {
    octet((ratio * 256.0).floor())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within its bounds")]
fn octet(value: f64) -> u8 {
    value.round().clamp(0.0, 255.0) as u8
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within its bounds")]
fn word(value: f64) -> u16 {
    value.round().clamp(0.0, 65_535.0) as u16
}

/// What packets wait at most.
const BUFFER_MAX_MS: u16 = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measured_voice_is_told_in_the_units_of_the_wire() {
        let report = LegReport {
            packets_received: 900,
            packets_lost: 100,
            packets_late: 50,
            packet_us: 20_000,
            delay_us: 60_000,
            round_trip_us: Some(80_400),
            ..LegReport::default()
        };
        let bursts = Burstiness {
            burst_density: 0.5,
            gap_density: 0.01,
            burst_packets: 8.0,
            gap_packets: 400.0,
        };

        let told = metrics(9, &report, bursts);

        assert_eq!((told.ssrc, told.loss_rate, told.discard_rate), (9, 25, 12));
        assert_eq!((told.burst_density, told.gap_density), (128, 2));
        assert_eq!((told.burst_ms, told.gap_ms), (160, 8_000));
        assert_eq!((told.round_trip_ms, told.end_system_ms, told.buffer_ms), (80, 100, 60));
        // 15 % unheard: R is 93.2 - 95 * 15 / 40.1.
        assert_eq!((told.r_factor, told.mos_lq, told.mos_cq), (Some(58), Some(30), Some(30)));
    }

    #[test]
    fn what_is_not_known_is_told_as_not_known() {
        let short = LegReport { packets_received: 10, ..LegReport::default() };
        let told = metrics(9, &short, Burstiness::default());
        assert_eq!((told.r_factor, told.mos_lq, told.mos_cq), (None, None, None));

        let one_way = LegReport { packets_received: 1_000, ..LegReport::default() };
        let told = metrics(9, &one_way, Burstiness::default());
        assert_eq!((told.r_factor, told.mos_lq, told.mos_cq), (None, Some(44), None));
        assert_eq!(told.round_trip_ms, 0);
    }
}
