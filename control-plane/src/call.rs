//! A call's states and the offers made for it: what each holds, and until when.

use crate::{
    config::{Destination, Terms},
    fact::Reason,
    ids::{CallId, OfferId, TeamId},
    route::Route,
    seats::{self, PauseReason, SeatClaim},
    time::Stamp,
};
use serde::{Deserialize, Serialize};
use sip_stack::{
    event::{Cause, Source},
    ids::{LegId, TrunkId},
    sdp::codec::Codec,
};
use std::{collections::BTreeMap, time::Duration};

/// One conversation, from the caller's INVITE to the last word of the media plane about it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Call {
    pub caller: LegId,
    pub source: Source,
    /// The caller's number or extension.
    pub from: String,
    pub from_display: Option<String>,
    /// The number dialled.
    pub number: String,
    /// `None`: the number led nowhere.
    pub route: Option<Route>,
    /// What its team promised when it came; `None`: it is for no team.
    #[serde(default)]
    pub terms: Option<Terms>,
    /// Its place in every queue, for the whole call.
    pub arrived: Stamp,
    /// How many more hops it may take (RFC 3261 §20.22).
    pub max_forwards: u8,
    /// The caller has been sent a 200.
    pub answered: bool,
    /// When two people first heard each other, by the media thread's clock.
    pub bridged: Option<Stamp>,
    pub state: State,
    /// Keys that are in its story.
    #[serde(default)]
    pub digits: u16,
    #[serde(default)]
    pub taping: Taping,
    /// What it passes through in; `None`: it is spoken here.
    #[serde(default)]
    pub passing: Option<Passing>,
}

/// A call in a codec nobody here speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passing {
    pub codec: Codec,
    /// Code and text of the `Warning` if who is called does not take it; the text names both sides.
    pub warning: (u16, String),
}

/// What is known of a call's recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taping {
    /// It has begun, and goes on to the end of the call.
    pub begun: bool,
    /// The recorder could not make its file, and tries again.
    #[serde(default)]
    pub no_file: bool,
    /// Since then nothing is to be kept.
    pub paused_since: Option<Stamp>,
    /// All pauses that have ended.
    pub paused: Duration,
}

impl Call {
    /// The team whose queue this call belongs in.
    pub fn team(&self) -> Option<TeamId> {
        match self.route?.to {
            Destination::Team(team) => Some(team),
            Destination::Seat(_) | Destination::Trunk(_) => None,
        }
    }

    /// The offer this call is waiting for or talking on.
    pub fn offer(&self) -> Option<OfferId> {
        match self.state {
            State::Offered { offer } | State::Talking { offer, .. } => Some(offer),
            State::Hearing { .. } | State::Over | State::Waiting => None,
        }
    }
}

/// Where a call is. An offer that is ending belongs to no state: the caller is free to be offered
/// to somebody else while the phone of the last one is still being told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// What is said where nobody is there; then it is let go, at this moment at the latest.
    Hearing {
        until: Stamp,
        why: Reason,
    },
    Offered {
        offer: OfferId,
    },
    /// Decided; waits for the media plane's last word.
    Over,
    Talking {
        offer: OfferId,
        held: bool,
    },
    /// In the queue of its team.
    Waiting,
}

/// One attempt to reach a party. It owns the claim until every leg of it has truly ended: a
/// withdrawal is a wish, and the phone may be answering at this moment.
#[derive(Debug, Serialize, Deserialize)]
pub struct Offer {
    pub call: CallId,
    /// The rules that hold for it; the call may be forgotten before its last leg has ended.
    #[serde(default)]
    pub terms: Option<Terms>,
    pub callee: Callee,
    /// `None` for a trunk: it takes any number of calls.
    #[serde(with = "seats::snapshot")]
    pub claim: Option<SeatClaim>,
    /// Every leg made for it; `Some` once it has ended.
    pub legs: BTreeMap<LegId, Option<Cause>>,
    pub phase: Phase,
    /// A phone has rung; said once.
    pub rang: bool,
    /// Somebody took it: the agent is busy, not offered.
    pub answered: bool,
}

impl Offer {
    pub fn live_legs(&self) -> Vec<LegId> {
        self.legs.iter().filter(|(_, ended)| ended.is_none()).map(|(&leg, _)| leg).collect()
    }
}

/// Who an offer is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Callee {
    Seat,
    Trunk(TrunkId),
    /// A trunk that was configured when the process before ended: the end of its leg is awaited.
    GoneTrunk,
    /// The agent who placed the call: their own seat, their own leg.
    Caller,
}

/// Where an offer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Asked for; the legs are not known yet.
    Dialling,
    Ringing {
        until: Stamp,
    },
    Answered {
        leg: LegId,
    },
    /// Withdrawn or over. Only the end of its last leg ends it.
    Ending(Then),
}

/// What becomes of a seat when its offer has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Then {
    /// The caller left, the agent's own call is over, or it came in a codec the agent's phone does not take.
    AsBefore,
    SetAside(PauseReason),
    WrapUp,
}
