//! How the sides of a call were heard, as its record tells it.

use crate::fact::{Quality, Side};
use media_core::{
    order::LegReport,
    quality::{Band, Model, Sound, Verdict},
};
use serde::{Deserialize, Serialize, Serializer};

/// One side of a call: how its voice came, and what was counted. Ratios are 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideQuality {
    /// Whose voice it is.
    pub side: Side,
    pub loss_ratio: f64,
    pub discard_ratio: f64,
    pub concealed_ratio: f64,
    pub burst_ratio: f64,
    pub jitter_ms: f64,
    pub round_trip_ms: Option<f64>,
    pub buffer_ms: f64,
    /// How late our own thread was at worst, and how often by 20 ms or more.
    pub late_ms: f64,
    pub stalls: u32,
    pub mos: Option<Mos>,
    pub report: LegReport,
}

/// An estimated mean opinion score, as exact as it can be: two digits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mos {
    pub lq: f64,
    pub cq: Option<f64>,
    pub model: Model,
    pub r: f64,
    pub band: Band,
}

/// The side of a call that sounded worst.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    pub side: Side,
    #[serde(flatten)]
    pub mos: Mos,
}

impl From<&Quality> for SideQuality {
    fn from(quality: &Quality) -> Self {
        let sound = Sound::of(&quality.report);
        Self {
            side: quality.side,
            loss_ratio: rounded(sound.loss_ratio, 5),
            discard_ratio: rounded(sound.discard_ratio, 5),
            concealed_ratio: rounded(sound.concealed_ratio, 5),
            burst_ratio: rounded(sound.burst_ratio, 2),
            jitter_ms: rounded(sound.jitter_ms, 2),
            round_trip_ms: sound.round_trip_ms.map(|ms| rounded(ms, 2)),
            buffer_ms: rounded(sound.buffer_ms, 2),
            late_ms: rounded(sound.late_ms, 2),
            stalls: sound.stalls,
            mos: sound.mos.map(Mos::from),
            report: quality.report,
        }
    }
}

impl From<Verdict> for Mos {
    fn from(verdict: Verdict) -> Self {
        Self {
            lq: rounded(verdict.lq, 2),
            cq: verdict.cq.map(|cq| rounded(cq, 2)),
            model: verdict.model,
            r: rounded(verdict.r, 1),
            band: verdict.band,
        }
    }
}

impl Worst {
    /// By the rating on the scale of 0 to 100, which both models have.
    pub fn of(sides: &[Quality]) -> Option<Self> {
        let judged = sides.iter().filter_map(|quality| {
            Sound::of(&quality.report).mos.map(|verdict| (quality.side, verdict))
        });
        let (side, verdict) = judged.min_by(|(_, one), (_, other)| one.r.total_cmp(&other.r))?;
        Some(Self { side, mos: verdict.into() })
    }
}

/// A record has the figures beside what was counted; read back, they follow from it.
pub(crate) fn with_figures<S: Serializer>(
    sides: &[Quality],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(sides.iter().map(SideQuality::from))
}

/// To so many digits: what is measured is not more exact.
fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quality(side: Side, packets_lost: u64) -> Quality {
        let report = LegReport { packets_received: 1_000, packets_lost, ..LegReport::default() };
        Quality { side, report }
    }

    #[test]
    fn each_side_tells_its_figures_beside_what_was_counted() {
        let shown = serde_json::to_value(SideQuality::from(&quality(Side::Agent, 10))).unwrap();

        assert_eq!(shown["side"], "agent");
        assert_eq!(shown["loss_ratio"], 0.0099);
        assert_eq!(shown["round_trip_ms"], serde_json::Value::Null);
        assert_eq!(shown["mos"]["lq"], 4.33);
        assert_eq!(shown["mos"]["cq"], serde_json::Value::Null);
        assert_eq!(shown["mos"]["model"], "narrowband");
        assert_eq!(shown["mos"]["band"], "satisfied");
        assert_eq!(shown["report"]["packets_lost"], 10);
    }

    #[test]
    fn a_call_sounded_as_its_worst_side_and_one_nobody_heard_as_nothing() {
        let sides = [quality(Side::Caller, 10), quality(Side::Agent, 100)];

        let worst = Worst::of(&sides).unwrap();

        assert_eq!(worst.side, Side::Agent);
        assert_eq!(worst.mos, SideQuality::from(&sides[1]).mos.unwrap());
        assert_eq!(Worst::of(&[]), None);
        let silent = Quality { side: Side::Caller, report: LegReport::default() };
        assert_eq!(Worst::of(&[silent]), None);
    }
}
