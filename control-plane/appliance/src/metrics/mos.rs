//! Estimates how a leg sounded: the E-model of ITU-T G.107 for G.711 with concealment.

use media_core::order::LegReport;

/// G.107: the rating of a connection without loss, delay or echo.
const R_MAX: f64 = 93.2;
/// G.113 appendix I, for G.711 whose gaps are concealed.
const LOSS_ROBUSTNESS: f64 = 25.1;
/// What our legs and a usual telephone add to the way through the network: one frame each.
const PROCESSING_MS: f64 = 40.0;

/// 1 (unusable) to 4.5, for what this leg's party said; `None` if too little was heard to judge.
pub(super) fn mos(report: &LegReport) -> Option<f64> {
    let came = report.packets_received.saturating_sub(report.packets_duplicate);
    let expected = came.saturating_add(report.packets_lost);
    if report.packets_received == 0 || expected < 50 {
        return None;
    }
    // What came too late or cannot be played was lost to the ear (G.107 §3.5: after the jitter
    // buffer).
    let unheard = report.packets_late.saturating_add(report.packets_unplayable);
    let missed = report.packets_lost.saturating_add(unheard).min(expected);
    let loss_percent = 100.0 * count(missed) / count(expected);
    // Without a round trip measured the way counts as short.
    let waited_ms = f64::from(report.delay_us) / 1_000.0;
    let one_way_ms =
        f64::from(report.round_trip_us.unwrap_or(0)) / 2_000.0 + PROCESSING_MS + waited_ms;
    Some(of_rating(rating(loss_percent, one_way_ms)))
}

fn rating(loss_percent: f64, one_way_ms: f64) -> f64 {
    let loss = 95.0 * loss_percent / (loss_percent + LOSS_ROBUSTNESS);
    R_MAX - delay_impairment(one_way_ms) - loss
}

/// G.107 §7.4, Idd.
fn delay_impairment(one_way_ms: f64) -> f64 {
    if one_way_ms <= 100.0 {
        return 0.0;
    }
    let x = (one_way_ms / 100.0).log2();
    let sixth = |y: f64| (1.0 + y.powi(6)).powf(1.0 / 6.0);
    25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}

/// G.107 annex B.
fn of_rating(r: f64) -> f64 {
    if r <= 0.0 {
        return 1.0;
    }
    (1.0 + 0.035 * r + 7e-6 * r * (r - 60.0) * (100.0 - r)).clamp(1.0, 4.5)
}

#[expect(clippy::cast_precision_loss, reason = "packets of one leg are far fewer than 2^53")]
fn count(packets: u64) -> f64 {
    packets as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_model_with_concealment() {
        for (loss_percent, wanted) in
            [(0.0, 4.41), (0.5, 4.37), (1.0, 4.33), (2.0, 4.23), (5.0, 3.92)]
        {
            let found = of_rating(rating(loss_percent, 50.0));
            assert!((found - wanted).abs() < 0.01, "{loss_percent} %: {found}, not {wanted}");
        }
    }

    #[test]
    fn a_long_way_costs_a_quarter_of_a_point() {
        let found = of_rating(rating(0.0, 250.0));

        assert!((found - 4.18).abs() < 0.02, "{found}");
    }

    #[test]
    fn a_leg_that_said_next_to_nothing_is_not_judged() {
        let report = |packets_received, packets_lost| LegReport {
            packets_received,
            packets_lost,
            ..LegReport::default()
        };

        assert_eq!(mos(&report(0, 1_000)), None);
        assert_eq!(mos(&report(49, 0)), None);
        assert!(mos(&report(50, 0)).unwrap() > 4.4);
        assert!(mos(&report(1, 1_000)).unwrap() < 1.6);
    }

    #[test]
    fn what_nobody_can_play_was_lost_to_the_ear_and_what_came_twice_was_said_once() {
        let well = LegReport { packets_received: 1_000, ..LegReport::default() };
        let unplayable = |packets_unplayable| LegReport { packets_unplayable, ..well };

        assert_eq!(mos(&well), mos(&unplayable(0)));
        let tenth = mos(&unplayable(100)).unwrap();
        let lost = LegReport { packets_received: 900, packets_lost: 100, ..LegReport::default() };
        assert_eq!(mos(&lost), Some(tenth));
        assert!(mos(&unplayable(1_000)).unwrap() < 1.6);
        // One packet a thousand times is no talk that could be judged.
        assert_eq!(mos(&LegReport { packets_duplicate: 999, ..well }), None);
    }
}
