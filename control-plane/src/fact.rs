//! What the switchboard decided and why: the language of CDR, metrics, events and the story of a
//! call. Facts follow from the inputs alone, so a journal gives the same ones again.

use crate::{
    calendar::Verdict,
    config::{Destination, Plan},
    door::Passed,
    ids::{CallId, HoursId, OfferId, SeatId, TeamId},
    seats::PauseReason,
    time::Stamp,
};
use media_core::order::{Digit, LegReport, Recorded};
use serde::{Deserialize, Serialize};
use sip_stack::event::{Limit, Source};
use std::sync::Arc;

/// One thing that is so, from a moment on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fact {
    /// The journal record it follows from.
    pub seq: u64,
    pub at: Stamp,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum What {
    Call(CallId, Step),
    /// A try to claim a seat.
    Claim(ClaimResult),
    /// What a calendar says from here on.
    Hours(HoursId, Verdict),
    /// What ids mean from here on; none that was given means anything else.
    Plan(Arc<Plan>),
    Seat(SeatId, SeatView),
}

/// How a claim went; the values of the label `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimResult {
    Busy,
    Granted,
}

/// What an agent's seat looks like from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeatView {
    pub state: AgentState,
    pub reason: Option<PauseReason>,
    /// What was said when the pause was asked for.
    pub word: Option<String>,
    /// A pause was asked for that has not begun.
    #[serde(default)]
    pub pause_pending: bool,
    pub call: Option<CallId>,
}

/// The states of contract §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    Offline,
    Available,
    Offered,
    Busy,
    WrapUp,
    Paused,
}

impl AgentState {
    pub const ALL: [Self; 6] =
        [Self::Offline, Self::Available, Self::Offered, Self::Busy, Self::WrapUp, Self::Paused];

    pub fn label(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Available => "available",
            Self::Offered => "offered",
            Self::Busy => "busy",
            Self::WrapUp => "wrap_up",
            Self::Paused => "paused",
        }
    }
}

/// One step in the story of a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Step {
    Arrived {
        source: Source,
        from: String,
        number: String,
        sip_call_id: String,
    },
    Routed {
        to: Destination,
    },
    /// It came to a door: of its number or of a team.
    Door(Passed),
    /// It hears what is said where nobody is there.
    Hearing,
    /// To the last sample, or not.
    Heard {
        whole: bool,
    },
    /// The caller got a 200.
    Answered,
    Queued {
        team: TeamId,
    },
    Offered {
        offer: OfferId,
        to: Party,
    },
    Ringing {
        offer: OfferId,
    },
    OfferEnded {
        offer: OfferId,
        to: Party,
        how: OfferEnd,
    },
    Accepted {
        offer: OfferId,
        to: Party,
    },
    /// A phone answered an offer that was no longer standing; it got its BYE and heard nobody.
    AnsweredTooLate {
        offer: OfferId,
        to: Party,
    },
    /// Two people hear each other; the stamp is the media thread's.
    Bridged,
    Held,
    Resumed,
    /// The media of one side stopped coming.
    Silent {
        side: Side,
    },
    /// A key was pressed. The only place of a story that says which; where keys are masked it does
    /// not.
    Digit {
        side: Side,
        digit: Option<Digit>,
        duration_ms: u32,
    },
    /// Nothing is heard of one side while the other one speaks, since then.
    OneWayAudio {
        side: Side,
        since: Stamp,
    },
    /// The end of that.
    TwoWayAudio {
        side: Side,
    },
    /// The agent was lost in the middle of the call; the caller is first in line.
    Requeued,
    /// Nothing is recorded from here on.
    RecordPaused,
    RecordResumed {
        paused_ms: u64,
    },
    /// There is a file after all, with what comes from here on.
    RecordingBegan,
    RecordingFailed {
        what: String,
        /// There is none: nothing can be heard.
        #[serde(default)]
        no_file: bool,
    },
    Over {
        end: End,
        reason: Reason,
    },
    /// Nothing more will be said about this call. The stamp is the media thread's.
    Ended {
        recorded: Option<Recorded>,
        quality: Vec<Quality>,
    },
}

/// Who an offer goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Party {
    Seat(SeatId),
    Trunk(sip_stack::ids::TrunkId),
}

/// How an offer came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OfferEnd {
    CallerLeft,
    Declined {
        status: u16,
    },
    /// A limit of our own was in the way: nothing was sent.
    Full {
        limit: Limit,
    },
    Lapsed,
    /// What would have passed through is not taken there: refused with this status, or answered otherwise.
    Unfit {
        status: Option<u16>,
    },
    /// `None`: no answer at all, or nowhere to send it.
    Unreachable {
        status: Option<u16>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Agent,
    Api,
    Box,
    Callee,
    Caller,
}

impl Side {
    /// Those who have a voice.
    pub const PEOPLE: [Self; 3] = [Self::Agent, Self::Callee, Self::Caller];

    pub fn label(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Api => "api",
            Self::Box => "box",
            Self::Callee => "callee",
            Self::Caller => "caller",
        }
    }
}

/// What the media plane measured on one side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    pub side: Side,
    pub report: LegReport,
}

/// How a call ended: the only values of the label `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    Abandoned,
    Busy,
    Completed,
    Congestion,
    Failed,
    NoAnswer,
    Rejected,
    Unreachable,
}

impl End {
    pub fn label(self) -> &'static str {
        match self {
            Self::Abandoned => "abandoned",
            Self::Busy => "busy",
            Self::Completed => "completed",
            Self::Congestion => "congestion",
            Self::Failed => "failed",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::Unreachable => "unreachable",
        }
    }
}

/// Why a call ended, in one word per cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    AgentHungUp,
    AgentBusy,
    AgentOffline,
    ApiHungUp,
    /// The box has as many legs as it may.
    BoxFull,
    CalleeHungUp,
    CalleeLost,
    CallerHungUp,
    CallerLost,
    /// By the hours of its number or its team.
    Closed,
    Declined,
    NoAnswer,
    NoCodec,
    NoPorts,
    NoSuchNumber,
    NobodySignedIn,
    /// The media plane had no room for one more.
    Overloaded,
    /// The process ended under the call.
    Restart,
    Shutdown,
    /// The team was taken out of the configuration, and nobody of it is left to answer.
    TeamRemoved,
    /// It has been passed on too often: a loop.
    TooManyHops,
    /// A limit of ours for the trunk it should have gone out by.
    TrunkFull,
    TrunkRefused {
        status: u16,
    },
    Unreachable,
}

impl Reason {
    /// It may be otherwise in a few seconds: who is told to wait (`Retry-After`) may call again.
    pub(crate) fn is_for_a_while(self) -> bool {
        matches!(self, Self::BoxFull | Self::Restart | Self::TrunkFull)
    }
}
