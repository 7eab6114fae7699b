//! How far the making of a call has come: ours that rings somewhere, or theirs that rings here.

use super::{
    body,
    desk::Desk,
    invite::{Peer, reason},
};
use crate::{
    event::HangUp,
    ids::LegId,
    sdp,
    txn::{TxnId, timers::GIVE_UP},
    wire::{self, Request},
};
use std::time::{Duration, Instant};

/// RFC 3261 §16.6, Timer C: longest that a call of ours may ring anywhere.
const RING_MAX: Duration = Duration::from_secs(180);
/// §13.3.1.1: a ringing call says so every minute, or proxies give it up.
const REMIND: Duration = Duration::from_secs(60);
/// Dialogs whose BYE may come before their 200; no forking proxy has so many.
const GONE_MAX: usize = 8;

#[derive(Debug)]
pub(super) enum Setup {
    Calling(Calling),
    Alerting(Alerting),
    /// The INVITE has had its final answer, or will have none.
    Done,
}

/// Our INVITE without a final answer.
#[derive(Debug)]
pub(super) struct Calling {
    pub(super) txn: TxnId,
    progress: Progress,
    /// Answers without a session description mean this one.
    pub(super) early: Option<sdp::Session>,
    pub(super) rings: bool,
    /// Peers' tags whose BYE overtook their 200.
    gone: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// No answer of any kind: a CANCEL would overtake the INVITE (§9.1).
    Sent,
    /// To be withdrawn as soon as anything is heard.
    Unwanted(HangUp),
    Proceeding {
        until: Instant,
    },
    /// §9.1: a peer that never ends the INVITE after its CANCEL is given up.
    Cancelled {
        until: Instant,
    },
}

impl Calling {
    pub(super) fn new(txn: TxnId) -> Self {
        Self { txn, progress: Progress::Sent, early: None, rings: false, gone: vec![] }
    }

    /// Of an INVITE that another process sent.
    pub(super) fn restored(txn: TxnId, heard: bool, now: Instant) -> Self {
        let until = now + RING_MAX;
        let progress = if heard { Progress::Proceeding { until } } else { Progress::Sent };
        Self { progress, ..Self::new(txn) }
    }

    /// Whether a CANCEL may go.
    pub(super) fn is_heard(&self) -> bool {
        match self.progress {
            Progress::Sent | Progress::Unwanted(_) => false,
            Progress::Proceeding { .. } | Progress::Cancelled { .. } => true,
        }
    }

    /// A provisional answer came.
    pub(super) fn heard(&mut self, leg: LegId, peer: Peer, desk: &mut Desk<'_>) {
        match self.progress {
            Progress::Sent => self.progress = Progress::Proceeding { until: desk.now + RING_MAX },
            Progress::Unwanted(why) => self.cancel(leg, peer, why, desk),
            Progress::Proceeding { .. } | Progress::Cancelled { .. } => {}
        }
    }

    /// CANCEL now, or as soon as it may be sent.
    pub(super) fn withdraw(&mut self, leg: LegId, peer: Peer, why: HangUp, desk: &mut Desk<'_>) {
        match self.progress {
            Progress::Sent => self.progress = Progress::Unwanted(why),
            Progress::Proceeding { .. } => self.cancel(leg, peer, why, desk),
            Progress::Unwanted(_) | Progress::Cancelled { .. } => {}
        }
    }

    fn cancel(&mut self, leg: LegId, peer: Peer, why: HangUp, desk: &mut Desk<'_>) {
        self.progress = Progress::Cancelled { until: desk.now + GIVE_UP };
        if let Some(invite) = desk.txns.invite(self.txn) {
            let mut cancel = wire::cancel_for(invite);
            cancel.headers.push("Reason", reason(why));
            desk.request(cancel, peer.flow, leg);
        }
    }

    /// Whether nobody wants an answer any more.
    pub(super) fn is_withdrawn(&self) -> bool {
        matches!(self.progress, Progress::Unwanted(_) | Progress::Cancelled { .. })
    }

    pub(super) fn remember_gone(&mut self, remote_tag: &str) {
        if self.gone.len() < GONE_MAX {
            self.gone.push(remote_tag.to_owned());
        }
    }

    pub(super) fn is_gone(&self, remote_tag: &str) -> bool {
        self.gone.iter().any(|tag| tag == remote_tag)
    }

    /// What is due: it rang too long, or its CANCEL was of no use.
    pub(super) fn due(&self, now: Instant) -> Option<Due> {
        match self.progress {
            Progress::Proceeding { until } if until <= now => Some(Due::RangTooLong),
            Progress::Cancelled { until } if until <= now => Some(Due::CancelUnheard),
            Progress::Sent
            | Progress::Unwanted(_)
            | Progress::Proceeding { .. }
            | Progress::Cancelled { .. } => None,
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self.progress {
            // The transaction's Timer B ends these.
            Progress::Sent | Progress::Unwanted(_) => None,
            Progress::Proceeding { until } | Progress::Cancelled { until } => Some(until),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    RangTooLong,
    CancelUnheard,
}

/// Their INVITE without a final answer of ours, or with a refusal that waits for its ACK.
#[derive(Debug)]
pub(super) struct Alerting {
    pub(super) txn: TxnId,
    pub(super) invite: Request,
    /// With which status; its ACK has not come.
    pub(super) refused: Option<u16>,
    /// What a 183 described; once there is early media, reminders repeat it.
    early: Option<Vec<u8>>,
    remind_at: Option<Instant>,
}

impl Alerting {
    pub(super) fn new(txn: TxnId, invite: Request) -> Self {
        Self { txn, invite, refused: None, early: None, remind_at: None }
    }

    pub(super) fn ring(&mut self, local_tag: &str, desk: &mut Desk<'_>) {
        if self.refused.is_some() {
            return;
        }
        match &self.early {
            None => desk.reply(self.txn, &self.invite, 180, local_tag),
            Some(session) => {
                let mut response = desk.response(&self.invite, 183, local_tag);
                response.headers.push("Content-Type", body::SDP);
                response.body.clone_from(session);
                desk.respond(self.txn, &response);
            }
        }
        self.remind_at = Some(desk.now + REMIND);
    }

    /// 183 with a session description. To an INVITE without an offer there is nothing to describe
    /// before the 200 (RFC 3261 §13.2.1): it gets its 180.
    pub(super) fn progress(&mut self, session: Vec<u8>, local_tag: &str, desk: &mut Desk<'_>) {
        if !self.invite.body.is_empty() {
            self.early = Some(session);
        }
        self.ring(local_tag, desk);
    }

    pub(super) fn handle_timeout(&mut self, local_tag: &str, desk: &mut Desk<'_>) {
        if self.remind_at.is_some_and(|at| at <= desk.now) {
            self.ring(local_tag, desk);
        }
    }

    /// The final answer is given: no more reminders.
    pub(super) fn refuse(&mut self, status: u16) {
        self.refused = Some(status);
        self.remind_at = None;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.remind_at
    }
}
