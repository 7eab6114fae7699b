//! What a plan wants of each peer's audio, and the keys of session descriptions as media keys.

use crate::{config::Plan, ids::SeatId};
use media_core::srtp::{Keys, MasterKey, Suite};
use sip_stack::{
    event::Source,
    ids::TrunkId,
    sdp::{
        crypto::{self, Key},
        secure::{Secured, Srtp},
    },
};

/// The wish of every trunk and every agent, by their ids.
#[derive(Default)]
pub(crate) struct Wishes {
    trunks: Vec<Srtp>,
    seats: Vec<Srtp>,
}

impl Wishes {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            trunks: plan.trunks.iter().map(|trunk| trunk.srtp).collect(),
            seats: plan.seats.iter().map(|seat| seat.srtp).collect(),
        }
    }

    pub(crate) fn trunk(&self, trunk: TrunkId) -> Srtp {
        self.trunks.get(usize::from(trunk.0)).copied().unwrap_or_default()
    }

    pub(crate) fn seat(&self, seat: SeatId) -> Srtp {
        self.seats.get(usize::from(seat.0)).copied().unwrap_or_default()
    }

    pub(crate) fn source(&self, source: Source) -> Srtp {
        match source {
            Source::Phone(user) => self.seat(SeatId(user.0)),
            Source::Trunk(trunk) => self.trunk(trunk),
        }
    }
}

/// `None`: no media can be made of them, and none may be plain.
pub(crate) fn keys(secured: &Secured) -> Option<Keys> {
    Some(Keys { send: master(&secured.ours.key)?, receive: master(&secured.theirs.key)? })
}

fn master(key: &Key) -> Option<MasterKey> {
    let suite = match key.suite() {
        crypto::Suite::AesCm128HmacSha1_80 => Suite::AesCm128HmacSha1_80,
        crypto::Suite::AesCm128HmacSha1_32 => Suite::AesCm128HmacSha1_32,
        crypto::Suite::AeadAes128Gcm => Suite::AeadAes128Gcm,
        crypto::Suite::AeadAes256Gcm => Suite::AeadAes256Gcm,
    };
    MasterKey::new(suite, key.reveal()).ok()
}
