//! How a voice sounds: the E-model of ITU-T G.107 and its wideband form G.107.1.
//!
//! Plain arithmetic: total for any input, also for infinities and what is no number, and the same
//! figures everywhere, in reports to the far side, records and metrics.

mod sound;

pub use sound::{Sound, Verdict};

use serde::{Deserialize, Serialize};

/// What a voice was coded with, as far as the model tells codings apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coding {
    /// Either law, with what is lost made up.
    #[default]
    G711,
    /// The same with silence in place of what is lost.
    G711Bare,
    G729a,
    G722,
    /// Opus that carries no more than 4 kHz.
    OpusNarrow,
    /// Opus that carries 8 kHz or more.
    Opus,
    /// Linear samples at 16 kHz or more.
    Linear,
    /// Nobody has figures for it, so it is not judged.
    Unrated,
}

/// The two scales. A figure on one says nothing on the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    Narrowband,
    Wideband,
}

/// What a rating means to who hears it (G.107 annex B, table B.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Band {
    #[serde(rename = "unusable")]
    Unusable,
    #[serde(rename = "nearly all dissatisfied")]
    NearlyAllDissatisfied,
    #[serde(rename = "many dissatisfied")]
    ManyDissatisfied,
    #[serde(rename = "some dissatisfied")]
    SomeDissatisfied,
    #[serde(rename = "satisfied")]
    Satisfied,
    #[serde(rename = "very satisfied")]
    VerySatisfied,
}

/// What became of packets on their way to the ear.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loss {
    /// Never heard, of what was sent, after the jitter buffer: 0 to 100.
    pub percent: f64,
    /// Mean length of the gaps over that of random loss: 1 is random (G.107 §7.2).
    pub burst_ratio: f64,
}

/// The model's rating factor, on the scale of its own model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rating {
    pub model: Model,
    pub r: f64,
}

/// What of a coding the model knows.
struct Impairment {
    model: Model,
    /// Ie or Ie,wb: what it costs without loss.
    equipment: f64,
    /// Bpl or Bpl,wb: how well it bears loss.
    robustness: f64,
    lookahead_ms: f64,
}

impl Coding {
    pub const fn model(self) -> Model {
        self.impairment().model
    }

    /// Beyond the packet itself.
    pub const fn lookahead_ms(self) -> f64 {
        self.impairment().lookahead_ms
    }

    /// Where the figures come from stands in docs/adr/0020: G.113 appendix I for the first three,
    /// G.113 appendix IV for Ie,wb of G.722, a fit by others for Opus. No figure of loss exists for
    /// G.722 and linear samples: the one that G.113 has for a wideband codec stands in for it.
    const fn impairment(self) -> Impairment {
        let (model, equipment, robustness, lookahead_ms) = match self {
            Self::G711 | Self::Unrated => (Model::Narrowband, 0.0, 25.1, 0.0),
            Self::G711Bare => (Model::Narrowband, 0.0, 4.3, 0.0),
            Self::G729a => (Model::Narrowband, 11.0, 19.0, 5.0),
            Self::OpusNarrow => (Model::Narrowband, 2.0, 16.0, 6.5),
            Self::G722 => (Model::Wideband, 13.0, 4.3, 1.5),
            Self::Opus => (Model::Wideband, 18.1, 18.7, 6.5),
            Self::Linear => (Model::Wideband, 0.0, 4.3, 0.0),
        };
        Impairment { model, equipment, robustness, lookahead_ms }
    }
}

impl Model {
    pub const ALL: [Self; 2] = [Self::Narrowband, Self::Wideband];

    /// The value of the label `model`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Narrowband => "narrowband",
            Self::Wideband => "wideband",
        }
    }

    /// The rating of a way that costs nothing (G.107 §7.7, G.107.1 §7.1).
    const fn best(self) -> f64 {
        match self {
            Self::Narrowband => 93.2,
            Self::Wideband => 129.0,
        }
    }

    /// How much longer its scale is than that of 0 to 100 (G.107.1 annex A).
    const fn stretch(self) -> f64 {
        match self {
            Self::Narrowband => 1.0,
            Self::Wideband => 1.29,
        }
    }
}

impl Loss {
    pub const NONE: Self = Self { percent: 0.0, burst_ratio: 1.0 };
}

impl Rating {
    /// `one_way_ms`: mouth to ear; 0 rates the listening alone.
    pub fn new(coding: Coding, loss: Loss, one_way_ms: f64) -> Self {
        let Impairment { model, equipment, robustness, .. } = coding.impairment();
        let percent = within(loss.percent, 0.0, 100.0);
        // G.107 table 3: what the model was made for.
        let burst_ratio = within(loss.burst_ratio, 1.0, BURST_RATIO_MAX);
        let share = percent / (percent / burst_ratio + robustness);
        let loss = equipment + (95.0 - equipment) * share;
        let delay = delay_impairment(within(one_way_ms, 0.0, ONE_WAY_MS_MAX)) * model.stretch();
        Self { model, r: model.best() - delay - loss }
    }

    /// On the scale of 0 to 100, where the bands lie.
    pub fn of_hundred(self) -> f64 {
        within(self.r / self.model.stretch(), 0.0, 100.0)
    }

    /// Mean opinion score, 1 to 4.5 (G.107 annex B, G.107.1 annex A).
    pub fn mos(self) -> f64 {
        let r = self.of_hundred();
        (1.0 + 0.035 * r + 7e-6 * r * (r - 60.0) * (100.0 - r)).clamp(1.0, 4.5)
    }

    pub fn band(self) -> Band {
        let floors = [
            (90.0, Band::VerySatisfied),
            (80.0, Band::Satisfied),
            (70.0, Band::SomeDissatisfied),
            (60.0, Band::ManyDissatisfied),
            (50.0, Band::NearlyAllDissatisfied),
        ];
        let r = self.of_hundred();
        floors.into_iter().find(|(floor, _)| r >= *floor).map_or(Band::Unusable, |(_, band)| band)
    }
}

/// Idd, the whole curve (G.107 §7.4.2): none up to 100 ms.
fn delay_impairment(one_way_ms: f64) -> f64 {
    if one_way_ms <= 100.0 {
        return 0.0;
    }
    let x = (one_way_ms / 100.0).log2();
    let sixth = |y: f64| (1.0 + y.powi(6)).powf(1.0 / 6.0);
    25.0 * (sixth(x) - 3.0 * sixth(x / 3.0) + 2.0)
}

/// What is no number is the lower bound.
fn within(value: f64, low: f64, high: f64) -> f64 {
    if value.is_nan() { low } else { value.clamp(low, high) }
}

const BURST_RATIO_MAX: f64 = 8.0;
/// A minute; nobody talks over that.
const ONE_WAY_MS_MAX: f64 = 60_000.0;

#[cfg(test)]
mod tests;
