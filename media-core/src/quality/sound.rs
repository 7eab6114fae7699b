//! What a leg's report says about how its party was heard.

use super::{Band, Coding, Loss, Model, Rating};
use crate::order::LegReport;

/// One party's voice, as it came to who listened. Shares are 0 to 1 of what was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sound {
    /// Never came.
    pub loss_ratio: f64,
    /// Came and could not be heard: too late, more than may wait, or nothing that can be played.
    pub discard_ratio: f64,
    /// Of the frames that were heard, those made up, but for what turned out to be a pause.
    pub concealed_ratio: f64,
    /// Mean length of the gaps over that of random loss; 1 is random.
    pub burst_ratio: f64,
    pub jitter_ms: f64,
    pub round_trip_ms: Option<f64>,
    /// How long packets waited for late ones.
    pub buffer_ms: f64,
    /// Mouth to ear as far as this leg is concerned; none without a round trip.
    pub one_way_ms: Option<f64>,
    /// How late our own thread was at worst.
    pub late_ms: f64,
    /// How often it was late by a whole frame or more.
    pub stalls: u32,
    /// None if too little was sent to be judged.
    pub mos: Option<Verdict>,
}

/// A mean opinion score and what it means.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    pub model: Model,
    /// Of listening alone, 1 to 4.5.
    pub lq: f64,
    /// Of a conversation, which delay spoils; none without a round trip.
    pub cq: Option<f64>,
    /// Of the conversation if it is known, else of listening; on a scale of 0 to 100.
    pub r: f64,
    pub band: Band,
}

impl Sound {
    pub fn of(report: &LegReport) -> Self {
        let came = report.packets_received.saturating_sub(report.packets_duplicate);
        let expected = came.saturating_add(report.packets_lost);
        let unheard = report
            .packets_late
            .saturating_add(report.packets_discarded)
            .saturating_add(report.packets_unplayable);
        let made_up = report.frames_concealed.saturating_sub(report.frames_paused);
        let loss_ratio = share(report.packets_lost, expected);
        let discard_ratio = share(unheard, expected).min(1.0 - loss_ratio);
        let concealed_ratio = share(made_up, report.frames_heard);
        let buffer_ms = f64::from(report.delay_us) / 1_000.0;
        let round_trip_ms = report.round_trip_us.map(|us| f64::from(us) / 1_000.0);
        let here_ms =
            buffer_ms + f64::from(report.packet_us) / 1_000.0 + report.coding.lookahead_ms();
        let mut sound = Self {
            loss_ratio,
            discard_ratio,
            concealed_ratio,
            burst_ratio: burst_ratio(report, expected),
            jitter_ms: f64::from(report.jitter_us) / 1_000.0,
            round_trip_ms,
            buffer_ms,
            one_way_ms: round_trip_ms.map(|round_trip| round_trip / 2.0 + here_ms),
            late_ms: f64::from(report.late_us) / 1_000.0,
            stalls: report.stalls,
            mos: None,
        };
        if came > 0 && expected >= JUDGED_MIN && report.coding != Coding::Unrated {
            // What was made up was not heard, whether or not its packet came after all; a short
            // talk in a long wait is no measure of it.
            let made_up = if report.frames_heard >= JUDGED_MIN { concealed_ratio } else { 0.0 };
            let percent = 100.0 * (loss_ratio + discard_ratio).max(made_up);
            let loss = Loss { percent, burst_ratio: sound.burst_ratio };
            let listening = Rating::new(report.coding, loss, 0.0);
            let talking = sound.one_way_ms.map(|ms| Rating::new(report.coding, loss, ms));
            let rated = talking.unwrap_or(listening);
            sound.mos = Some(Verdict {
                model: rated.model,
                lq: listening.mos(),
                cq: talking.map(Rating::mos),
                r: rated.of_hundred(),
                band: rated.band(),
            });
        }
        sound
    }
}

/// Mean length of a row of missed packets over what it is under random loss (G.107 §7.2), within
/// what the model was made for.
fn burst_ratio(report: &LegReport, expected: u64) -> f64 {
    if report.loss_runs == 0 {
        return 1.0;
    }
    let mean = count(report.packets_missed) / count(report.loss_runs);
    let heard = 1.0 - share(report.packets_missed, expected);
    (mean * heard).clamp(1.0, super::BURST_RATIO_MAX)
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (count(part) / count(whole)).min(1.0) }
}

#[expect(clippy::cast_precision_loss, reason = "packets of one leg are far fewer than 2^53")]
fn count(packets: u64) -> f64 {
    packets as f64
}

/// Packets, or frames, of which less is no talk that could be judged: a second.
const JUDGED_MIN: u64 = 50;

#[cfg(test)]
mod tests {
    use super::*;

    /// A thousand packets of 20 ms, well heard.
    fn well() -> LegReport {
        LegReport { packets_received: 1_000, packet_us: 20_000, ..LegReport::default() }
    }

    fn lq(report: &LegReport) -> f64 {
        Sound::of(report).mos.unwrap().lq
    }

    #[test]
    fn a_leg_that_said_next_to_nothing_is_not_judged() {
        let report = |packets_received, packets_lost| LegReport {
            packets_received,
            packets_lost,
            ..LegReport::default()
        };

        assert_eq!(Sound::of(&report(0, 1_000)).mos, None);
        assert_eq!(Sound::of(&report(49, 0)).mos, None);
        assert!(lq(&report(50, 0)) > 4.4);
        assert!(lq(&report(1, 1_000)) < 1.6);
        // One packet a thousand times is no talk that could be judged.
        assert_eq!(Sound::of(&LegReport { packets_duplicate: 999, ..well() }).mos, None);
    }

    #[test]
    fn what_nobody_heard_was_lost_to_the_ear_whatever_the_reason() {
        let lost = LegReport { packets_received: 900, packets_lost: 100, ..well() };
        let late = LegReport { packets_late: 100, ..well() };
        let unplayable = LegReport { packets_unplayable: 100, ..well() };
        let discarded = LegReport { packets_discarded: 100, ..well() };
        let made_up = LegReport { frames_heard: 1_000, frames_concealed: 100, ..well() };

        for report in [late, unplayable, discarded, made_up] {
            assert_eq!(lq(&report), lq(&lost), "{report:?}");
        }
        assert!(lq(&lost) < lq(&well()) - 0.5);
        // Lost and therefore made up is one loss, not two.
        let both = LegReport { frames_heard: 1_000, frames_concealed: 100, ..lost };
        assert_eq!(lq(&both), lq(&lost));
    }

    #[test]
    fn a_pause_that_was_made_up_for_is_no_loss() {
        let pauses =
            LegReport { frames_heard: 1_000, frames_concealed: 100, frames_paused: 100, ..well() };

        assert_eq!(lq(&pauses), lq(&well()));
        assert_eq!(Sound::of(&pauses).concealed_ratio, 0.0);
    }

    #[test]
    fn loss_in_bursts_costs_more_than_the_same_loss_alone() {
        let alone =
            LegReport { packets_received: 950, packets_lost: 50, packets_missed: 50, ..well() };
        let random = LegReport { loss_runs: 48, ..alone };
        let bursts = LegReport { loss_runs: 10, ..alone };

        assert_eq!(Sound::of(&random).burst_ratio, 1.0);
        assert!((Sound::of(&bursts).burst_ratio - 4.75).abs() < 1e-9);
        assert!(lq(&bursts) < lq(&random));
    }

    #[test]
    fn a_conversation_is_judged_with_its_delay_and_not_without_a_round_trip() {
        let report = LegReport { round_trip_us: Some(400_000), delay_us: 60_000, ..well() };

        let (sound, near) = (Sound::of(&report), Sound::of(&well()));

        assert_eq!((near.one_way_ms, near.mos.unwrap().cq), (None, None));
        assert_eq!(sound.one_way_ms, Some(280.0));
        let verdict = sound.mos.unwrap();
        assert!((verdict.lq - 4.41).abs() < 0.01);
        assert!(verdict.cq.unwrap() < 4.15 && verdict.cq.unwrap() > 4.0, "{verdict:?}");
        assert_eq!(near.mos.unwrap().band, Band::VerySatisfied);
        assert_eq!(verdict.band, Band::Satisfied);
        assert!(verdict.r < near.mos.unwrap().r);
    }

    #[test]
    fn a_wide_voice_is_judged_on_its_own_scale() {
        let wide = LegReport { coding: Coding::G722, ..well() };

        assert_eq!(Sound::of(&wide).mos.unwrap().model, Model::Wideband);
        assert_eq!(Sound::of(&well()).mos.unwrap().model, Model::Narrowband);
    }

    #[test]
    fn counts_that_cannot_be_give_shares_all_the_same() {
        let all = u64::MAX;
        let absurd = LegReport {
            packets_received: all,
            packets_lost: all,
            packets_late: all,
            packets_discarded: all,
            packets_unplayable: all,
            frames_heard: 1,
            frames_concealed: all,
            packets_missed: all,
            loss_runs: 1,
            round_trip_us: Some(u32::MAX),
            delay_us: u32::MAX,
            ..LegReport::default()
        };

        let sound = Sound::of(&absurd);

        for share in [sound.loss_ratio, sound.discard_ratio, sound.concealed_ratio] {
            assert!((0.0..=1.0).contains(&share), "{sound:?}");
        }
        assert!(sound.mos.unwrap().lq < 1.3, "{sound:?}");
    }
}
