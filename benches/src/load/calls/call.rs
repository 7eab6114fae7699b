//! One call: how far the caller's end and the other one are, and what each would say again.

use super::parties::Told;
use std::{net::SocketAddr, time::Duration};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Calling,
    Proceeding,
    Talking,
    Leaving,
    Over,
}

/// Both ends of one call.
pub(super) struct Call {
    pub(super) stage: Stage,
    pub(super) measured: bool,
    pub(super) failed: bool,
    pub(super) rang: bool,
    /// When its INVITE, and later its BYE, was said first.
    pub(super) asked: Duration,
    pub(super) hold: Option<Duration>,
    /// What is said again until it is answered.
    pub(super) pending: Vec<u8>,
    pub(super) ack: Vec<u8>,
    pub(super) to: String,
    pub(super) remote: String,
    pub(super) routes: String,
    pub(super) told: Option<Told>,
    pub(super) callee: Callee,
}

/// The end that is called.
#[derive(Default)]
pub(super) struct Callee {
    pub(super) invited: bool,
    pub(super) acknowledged: bool,
    pub(super) over: bool,
    /// Said again until it is acknowledged.
    pub(super) answer: Vec<u8>,
    pub(super) from: Option<SocketAddr>,
    pub(super) told: Option<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Leg {
    Invite,
    Bye,
    Answer,
}

impl Call {
    pub(super) fn new(
        now: Duration,
        measured: bool,
        hold: Option<Duration>,
        dialled: &str,
    ) -> Self {
        Self {
            stage: Stage::Calling,
            measured,
            failed: false,
            rang: false,
            asked: now,
            hold,
            pending: Vec::new(),
            ack: Vec::new(),
            to: format!("<{dialled}>"),
            remote: String::new(),
            routes: String::new(),
            told: None,
            callee: Callee::default(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over && self.callee.over
    }

    pub(super) fn waits_for(&self, leg: Leg) -> bool {
        match leg {
            Leg::Invite => self.stage == Stage::Calling,
            Leg::Bye => self.stage == Stage::Leaving,
            Leg::Answer => !self.callee.acknowledged && !self.callee.over,
        }
    }
}
