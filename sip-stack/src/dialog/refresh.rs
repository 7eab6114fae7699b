//! Refreshing a session (RFC 4028 §7.4, §10): an UPDATE without a body where the peer takes one, else a re-INVITE that
//! describes what holds. It changes nothing of what anybody hears.

use super::{
    body,
    desk::{ALLOW, Desk, SUPPORTED},
    session_timer::{Asks, Due, SessionTimer},
    talk::{Stage, Talk, says_gone},
};
use crate::{
    event::{Cause, Event, HangUp},
    txn::{StatusClass, Told, TxnId, What},
    wire::{Headers, Method, Response},
};
use std::time::{Duration, Instant};

/// One session's timer, and what of a refresh is on its way.
#[derive(Debug, Default)]
pub(super) struct Refreshing {
    pub(super) timer: SessionTimer,
    /// The request that waits for its answer.
    now: Option<Asked>,
    /// The re-INVITE whose 2xx may come again.
    acknowledged: Option<(TxnId, u32)>,
    /// The peer says that it takes UPDATE.
    takes_updates: bool,
    /// How we last described the session.
    pub(super) session: Vec<u8>,
    /// How they last did.
    pub(super) remote: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    txn: TxnId,
    sequence: u32,
    invite: bool,
}

impl Refreshing {
    /// Their 2xx to the INVITE that made the call: what we offered and asked for in it, and what they say.
    pub(super) fn begin(&mut self, offer: Vec<u8>, asks: Asks, response: &Response, now: Instant) {
        self.timer = SessionTimer::asking(asks);
        self.timer.granted(&response.headers, now);
        self.hear_allowed(&response.headers);
        (self.session, self.remote) = (offer, response.body.clone());
    }

    /// What a message of the peer's allows. One that says nothing changes nothing.
    pub(super) fn hear_allowed(&mut self, headers: &Headers) {
        if headers.get("Allow").is_some() {
            let allowed = headers.list("Allow");
            self.takes_updates = allowed.iter().any(|method| method.trim_ascii() == b"UPDATE");
        }
    }

    /// A re-INVITE of ours waits for its answer (RFC 3261 §14.2).
    pub(super) fn is_inviting(&self) -> bool {
        self.now.is_some_and(|asked| asked.invite)
    }

    /// Whether a told answer is one of these.
    pub(super) fn asked(&self, txn: TxnId) -> bool {
        self.now.is_some_and(|asked| asked.txn == txn)
            || self.acknowledged.is_some_and(|(its, _)| its == txn)
    }
}

impl Talk {
    /// What the session's timer says. `Some`: its life is over.
    pub(super) fn handle_session_timeout(&mut self, desk: &mut Desk<'_>) -> Option<Cause> {
        match self.refreshing.timer.take_due(desk.now)? {
            Due::Refresh => self.refresh(desk),
            Due::End if self.stage == Stage::Up => {
                desk.counters.sessions_expired += 1;
                self.hang_up(HangUp::Failed, desk);
                return Some(Cause::Lost);
            }
            Due::End => {}
        }
        None
    }

    fn refresh(&mut self, desk: &mut Desk<'_>) {
        if self.stage != Stage::Up {
            return;
        }
        // Their own request is under way, and refreshes it too; or ours is.
        if self.is_busy() || self.refreshing.now.is_some() {
            return self.refreshing.timer.try_again(SOON, desk.now);
        }
        let invite = !self.refreshing.takes_updates;
        if invite && self.refreshing.session.is_empty() {
            return;
        }
        let method = if invite { Method::Invite } else { Method::Update };
        let to = self.hop(desk);
        let mut request = self.dialog.request(method, &mut desk.stationery(to.transport));
        request.headers.push("Allow", ALLOW);
        request.headers.push("Supported", SUPPORTED);
        self.refreshing.timer.write(&mut request.headers);
        if invite {
            request.headers.push("Content-Type", body::SDP);
            request.body.clone_from(&self.refreshing.session);
        }
        let sequence = self.dialog.local_sequence();
        let txn = desk.request(request, to, self.leg);
        self.refreshing.now = Some(Asked { txn, sequence, invite });
    }

    /// The answer to a refresh. `Some`: the dialog is lost.
    pub(super) fn handle_refreshed(&mut self, told: &Told, desk: &mut Desk<'_>) -> Option<Cause> {
        let Some(asked) = self.refreshing.now.take_if(|asked| asked.txn == told.txn) else {
            // Its 2xx came once more: our ACK was lost.
            let again = self.refreshing.acknowledged.filter(|(txn, _)| *txn == told.txn);
            if let (Some((_, sequence)), What::Response(_)) = (again, &told.what) {
                self.acknowledge(sequence, desk);
            }
            return None;
        };
        let response = match &told.what {
            What::Response(response) => response,
            // §10: as if it had said 408.
            What::TimedOut => return self.lose(false, desk),
            What::Unreachable | What::Acked => {
                self.refreshing.timer.try_again(LATER, desk.now);
                return None;
            }
        };
        match StatusClass::of(response.status) {
            StatusClass::Provisional => self.refreshing.now = Some(asked),
            StatusClass::Success => self.take_success(asked, response, desk),
            StatusClass::Failure => return self.take_failure(asked, told, response, desk),
        }
        None
    }

    fn take_success(&mut self, asked: Asked, response: &Response, desk: &mut Desk<'_>) {
        if asked.invite {
            self.refreshing.acknowledged = Some((asked.txn, asked.sequence));
            self.acknowledge(asked.sequence, desk);
        }
        if self.stage != Stage::Up {
            return;
        }
        self.dialog.refresh_target(&response.headers);
        self.refreshing.hear_allowed(&response.headers);
        self.refreshing.timer.granted(&response.headers, desk.now);
        desk.counters.sessions_refreshed += 1;
        // An answer is worth taking up only where it says something else.
        if asked.invite && response.body != self.refreshing.remote {
            let answer = body::session(&response.headers, &response.body).ok().flatten();
            if answer.is_some() {
                self.refreshing.remote.clone_from(&response.body);
                desk.say(Event::Established { leg: self.leg, answer });
            }
        }
        self.tell_next(desk);
    }

    fn take_failure(
        &mut self,
        asked: Asked,
        told: &Told,
        response: &Response,
        desk: &mut Desk<'_>,
    ) -> Option<Cause> {
        let after = match response.status {
            // §10, RFC 3261 §12.2.1.2.
            408 | 481 => return self.lose(says_gone(&told.what), desk),
            422 if self.refreshing.timer.raise(&response.headers) => Duration::ZERO,
            // It does not take what it allowed.
            405 | 501 if !asked.invite => {
                self.refreshing.takes_updates = false;
                Duration::ZERO
            }
            // RFC 3261 §14.1: whoever made the call waits longer.
            491 => desk.dice.glare(self.is_placed),
            // Somebody else may still be well; until the end of its life the session goes on.
            _ => LATER,
        };
        self.refreshing.timer.try_again(after, desk.now);
        None
    }

    fn lose(&mut self, gone: bool, desk: &mut Desk<'_>) -> Option<Cause> {
        if self.stage != Stage::Up {
            return None;
        }
        if gone {
            self.close(desk);
        } else {
            self.hang_up(HangUp::Failed, desk);
        }
        Some(Cause::Lost)
    }
}

/// After which a refresh that another exchange was in the way of is tried again.
const SOON: Duration = Duration::from_secs(2);
/// After which one that failed is.
const LATER: Duration = Duration::from_secs(10);
