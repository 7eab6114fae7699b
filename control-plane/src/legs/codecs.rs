//! Which codecs may be agreed with whom, and what an agreement is to the media plane.

use crate::config::Plan;
use media_core::{
    frame::Rate,
    order::{self, Coding, Law, Opaque, Opus},
};
use sip_stack::{
    event::Source,
    ids::TrunkId,
    sdp::{
        answer::{Agreed, Allowed},
        codec::{Codec, OpusWishes},
    },
};
use std::collections::BTreeSet;

/// What each trunk and each agent may speak, by the places of a plan.
#[derive(Debug, Default)]
pub(super) struct Codecs {
    trunks: Vec<Named>,
    seats: Vec<Named>,
}

#[derive(Debug)]
struct Named {
    allowed: Allowed,
    /// What may pass through besides.
    passed: Vec<Codec>,
}

impl Codecs {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            trunks: (plan.trunks.iter())
                .map(|trunk| Named::new(&trunk.codecs, trunk.comfort_noise))
                .collect(),
            seats: (plan.seats.iter())
                .map(|seat| Named::new(&seat.codecs, seat.comfort_noise))
                .collect(),
        }
    }

    pub(super) fn allowed(&self, source: Source) -> Allowed {
        match source {
            Source::Phone(user) => self.allowed_for_seat(user.0),
            Source::Trunk(trunk) => self.allowed_for_trunk(trunk),
        }
    }

    pub(super) fn allowed_for_trunk(&self, trunk: TrunkId) -> Allowed {
        allowed(self.trunks.get(usize::from(trunk.0)))
    }

    pub(super) fn allowed_for_seat(&self, seat: u16) -> Allowed {
        allowed(self.seats.get(usize::from(seat)))
    }

    /// What this source's calls may pass through in.
    pub(super) fn passed(&self, source: Source) -> &[Codec] {
        let named = match source {
            Source::Phone(user) => self.seats.get(usize::from(user.0)),
            Source::Trunk(trunk) => self.trunks.get(usize::from(trunk.0)),
        };
        named.map_or(&[], |named| &named.passed)
    }
}

impl Named {
    fn new(codecs: &[Codec], comfort_noise: bool) -> Self {
        let codecs = if codecs.is_empty() { &Codec::USUAL } else { codecs };
        let (passed, codecs) = codecs.iter().partition(|codec| codec.is_passed());
        let allowed = Allowed { codecs, telephone_event: true, comfort_noise, passed: vec![] };
        Self { allowed, passed }
    }
}

fn allowed(named: Option<&Named>) -> Allowed {
    named.map_or_else(|| Named::new(&[], false).allowed, |named| named.allowed.clone())
}

/// The other side's codec first, where it may be agreed at all: frames of one codec need no decoding.
pub(super) fn prefer(mut allowed: Allowed, other: Option<Codec>) -> Allowed {
    let same = |codec: &Codec| other.is_some_and(|other| codec.is_written_as(other));
    let place = allowed.codecs.iter().position(same);
    if let Some(place) = place {
        let codec = allowed.codecs.remove(place);
        allowed.codecs.insert(0, codec);
    }
    allowed
}

/// As the media plane is told it. `complexity`: of Opus.
pub(super) fn codec(agreed: &Agreed, complexity: u8) -> order::Codec {
    let coding = match agreed.codec {
        Codec::Amr => Coding::Opaque(Opaque::Amr),
        Codec::AmrWb => Coding::Opaque(Opaque::AmrWb),
        Codec::G722 => Coding::G722,
        Codec::G729 => Coding::Opaque(Opaque::G729),
        Codec::L16 => Coding::L16(Rate::Hz16000),
        Codec::Opus | Codec::OpusFullband => {
            Coding::Opus(opus(agreed.codec, &agreed.opus, complexity))
        }
        Codec::Pcma => Coding::G711(Law::A),
        Codec::Pcmu => Coding::G711(Law::Mu),
    };
    let tens = (agreed.ptime_ms / 10).clamp(1, 6);
    order::Codec {
        coding,
        payload_type: agreed.payload_type,
        packet_ms: u8::try_from(tens * 10).unwrap_or(20),
        event_factor: u8::try_from(agreed.event_clock_hz / 8_000).unwrap_or(1).max(1),
    }
}

/// Codings in which many may wait to music at once: those that are agreed with who wishes for nothing.
/// `opus_complexity` as in [`crate::exchange::Start`].
pub fn shared_codings(plan: &Plan, opus_complexity: u8) -> Vec<Coding> {
    let trunks = plan.trunks.iter().flat_map(|trunk| &trunk.codecs);
    let all: BTreeSet<_> = trunks.chain(plan.seats.iter().flat_map(|seat| &seat.codecs)).collect();
    let shared = all.into_iter().filter_map(|codec| match codec {
        Codec::G722 => Some(Coding::G722),
        Codec::Opus | Codec::OpusFullband => {
            Some(Coding::Opus(opus(*codec, &OpusWishes::NONE, opus_complexity)))
        }
        Codec::L16 => Some(Coding::L16(Rate::Hz16000)),
        // Nobody is played anything in what passes through.
        Codec::Amr | Codec::AmrWb | Codec::G729 | Codec::Pcma | Codec::Pcmu => None,
    });
    shared.collect()
}

/// Voices at 16 kHz, or at 48 where that is allowed; at less where the far side plays less.
fn opus(codec: Codec, wishes: &OpusWishes, complexity: u8) -> Opus {
    let (rate, bitrate) = match (codec, wishes.playback_hz_max) {
        (_, ..16_000) => (Rate::Hz8000, 16_000),
        // RFC 7587 §3.1.1: where voices of the whole band sound well.
        (Codec::OpusFullband, 24_000..) => (Rate::Hz48000, 40_000),
        (_, 16_000..) => (Rate::Hz16000, 24_000),
    };
    Opus {
        rate,
        bitrate: wishes.bitrate_max.map_or(bitrate, |most| most.min(bitrate)),
        fec: wishes.fec,
        dtx: wishes.dtx,
        complexity,
    }
}
