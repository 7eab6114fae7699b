//! Keys by INFO inside a dialog: those of the far side, and ours to it, one at a time.

use super::{
    body,
    desk::{Desk, refuse_key},
    talk::{Stage, Talk},
};
use crate::{
    event::{Cause, Event},
    keys::{self, Press},
    txn::{Told, TxnId, What},
    wire::{Method, Request},
};
use std::collections::VecDeque;

/// Keys on their way to one far side.
#[derive(Debug, Default)]
pub(super) struct Telling {
    waiting: VecDeque<Press>,
    /// The INFO that waits for its answer.
    now: Option<TxnId>,
}

impl Telling {
    /// Nobody is left to hear them.
    pub(super) fn forget(&mut self, desk: &mut Desk<'_>) {
        desk.counters.keys_failed += self.waiting.len() as u64;
        self.waiting.clear();
    }
}

impl Talk {
    /// Tells the far side a key, behind those that wait.
    pub(super) fn tell_key(&mut self, press: Press, desk: &mut Desk<'_>) {
        if self.stage != Stage::Up || self.telling.waiting.len() >= WAITING_MAX {
            desk.counters.keys_failed += 1;
            return;
        }
        self.telling.waiting.push_back(press);
        self.tell_next(desk);
    }

    /// The next key, if nothing is in its way: a second INFO might overtake the first.
    pub(super) fn tell_next(&mut self, desk: &mut Desk<'_>) {
        if self.stage != Stage::Up || self.telling.now.is_some() || self.awaits_first_ack() {
            return;
        }
        let Some(press) = self.telling.waiting.pop_front() else { return };
        let to = self.hop(desk);
        let mut info = self.dialog.request(Method::Info, &mut desk.stationery(to.transport));
        info.headers.push("Content-Type", keys::RELAY);
        info.body = keys::write(press);
        self.telling.now = Some(desk.request(info, to, self.leg));
    }

    /// The answer to an INFO of ours. False: this is none.
    pub(super) fn handle_key_told(&mut self, told: &Told, desk: &mut Desk<'_>) -> bool {
        if self.telling.now != Some(told.txn) {
            return false;
        }
        self.telling.now = None;
        let status = match &told.what {
            What::Response(response) => Some(response.status),
            What::TimedOut | What::Unreachable | What::Acked => None,
        };
        if status.is_none_or(|status| status >= 300) {
            desk.counters.keys_failed += 1;
        }
        // RFC 3261 §12.2.1.2: it may have lost the call; it is asked.
        if status.is_none_or(|status| matches!(status, 408 | 481)) {
            self.check(desk);
        }
        self.tell_next(desk);
        true
    }

    /// An INFO of the far side: a key, or nothing that we have to know.
    pub(super) fn handle_info(
        &mut self,
        request: &Request,
        txn: TxnId,
        desk: &mut Desk<'_>,
    ) -> Option<Cause> {
        match body::key(&request.headers, &request.body) {
            Ok(press) => {
                desk.reply(txn, request, 200, &self.local_tag);
                if let Some(press) = press.filter(|_| !matches!(self.stage, Stage::Ending(_))) {
                    desk.say(Event::Pressed { leg: self.leg, press });
                }
            }
            Err(why) => {
                desk.counters.parse_error(why.reason());
                let response = refuse_key(desk.ours, request, why, &self.local_tag);
                desk.respond(txn, &response);
            }
        }
        None
    }
}

/// As many as anybody presses while one INFO is lost.
const WAITING_MAX: usize = 64;
