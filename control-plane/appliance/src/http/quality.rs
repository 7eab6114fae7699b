//! How the sides of a call were heard, under the names of the API.

use control_plane::{fact::Side, voice};
use media_core::{
    order::LegReport,
    quality::{Band, Model},
};
use serde::Serialize;
use utoipa::ToSchema;

/// One side of a call: how its voice came, and what was counted. Ratios are 0 to 1.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SideQuality {
    /// `caller`, `agent` or `callee`: whose voice it is.
    #[schema(value_type = String)]
    side: Side,
    /// Of its packets, those that never came.
    loss_ratio: f64,
    /// Of its packets, those that came too late or could not be played.
    discard_ratio: f64,
    /// Of what was heard of it, what was made up; pauses are left out.
    concealed_ratio: f64,
    /// How losses came: 1 alone, more in bursts (ITU-T G.107).
    burst_ratio: f64,
    jitter_ms: f64,
    /// Null unless the far side sends RTCP.
    round_trip_ms: Option<f64>,
    /// How long packets waited for late ones, at the end.
    buffer_ms: f64,
    /// How late the appliance itself served this side at worst.
    late_ms: f64,
    /// How often that was 20 ms or more.
    stalls: u32,
    /// Null if it said next to nothing.
    mos: Option<Mos>,
    /// What was counted.
    #[schema(value_type = Object)]
    report: LegReport,
}

/// An estimated mean opinion score (ITU-T G.107 or, of wideband, G.107.1).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Mos {
    /// Of listening alone, 1 to 4.5.
    lq: f64,
    /// Of a conversation, delay included; null without a round trip.
    cq: Option<f64>,
    /// `narrowband` or `wideband`: figures of the two cannot be compared.
    #[schema(value_type = String)]
    model: Model,
    /// 0 to 100: of the conversation if it is known, else of listening.
    r: f64,
    /// `very satisfied`, `satisfied`, `some dissatisfied`, `many dissatisfied`,
    /// `nearly all dissatisfied` or `unusable`.
    #[schema(value_type = String)]
    band: Band,
}

/// The side of a call that sounded worst.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Worst {
    #[schema(value_type = String)]
    side: Side,
    #[serde(flatten)]
    mos: Mos,
}

impl From<voice::SideQuality> for SideQuality {
    fn from(of: voice::SideQuality) -> Self {
        Self {
            side: of.side,
            loss_ratio: of.loss_ratio,
            discard_ratio: of.discard_ratio,
            concealed_ratio: of.concealed_ratio,
            burst_ratio: of.burst_ratio,
            jitter_ms: of.jitter_ms,
            round_trip_ms: of.round_trip_ms,
            buffer_ms: of.buffer_ms,
            late_ms: of.late_ms,
            stalls: of.stalls,
            mos: of.mos.map(Mos::from),
            report: of.report,
        }
    }
}

impl From<voice::Mos> for Mos {
    fn from(of: voice::Mos) -> Self {
        Self { lq: of.lq, cq: of.cq, model: of.model, r: of.r, band: of.band }
    }
}

impl From<voice::Worst> for Worst {
    fn from(of: voice::Worst) -> Self {
        Self { side: of.side, mos: of.mos.into() }
    }
}
