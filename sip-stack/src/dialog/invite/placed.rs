//! The answers to the INVITE of a leg of ours: ringing, the first 2xx, forks, refusals.

use super::{
    super::{
        Dialog, body,
        desk::Desk,
        setup::{Calling, Setup},
        talk::{Stage, Talk, usable_answer},
    },
    Leg,
};
use crate::{
    event::{Cause, Event},
    txn::StatusClass,
    wire::{Request, Response},
};
use std::net::SocketAddr;

/// Dialogs of one INVITE; no forking proxy makes so many. A phone that answers with one tag after
/// the other has its answers dropped beyond.
const TALKS_MAX: usize = 16;

impl Leg {
    pub(super) fn handle_invite_response(
        &mut self,
        response: Response,
        from: Option<SocketAddr>,
        desk: &mut Desk<'_>,
    ) {
        match StatusClass::of(response.status) {
            StatusClass::Provisional => self.handle_provisional(&response, desk),
            StatusClass::Success => self.handle_success(&response, from, desk),
            StatusClass::Failure if self.ask_anew(&response, desk) => {}
            StatusClass::Failure => {
                self.cause.get_or_insert(Cause::Refused { status: response.status });
                self.setup = Setup::Done;
                self.conclude(desk);
            }
        }
    }

    /// RFC 4028 §7.3: somebody finds the life that was asked for too brief. True: the INVITE went once more, and asks for
    /// another.
    fn ask_anew(&mut self, response: &Response, desk: &mut Desk<'_>) -> bool {
        let (Setup::Calling(calling), Some(invite)) = (&self.setup, &mut self.placed) else {
            return false;
        };
        if response.status != 422
            || calling.is_withdrawn()
            || self.offer.is_empty()
            || !self.asks.raise(&response.headers)
        {
            return false;
        }
        let sequence = invite.headers.cseq().map_or(1, |(sequence, _)| sequence);
        let to = self.peer.flow;
        let headers = &mut invite.headers;
        headers.set("Via", desk.stationery(to.transport).via());
        headers.set("CSeq", format!("{} INVITE", sequence + 1));
        headers.remove("Session-Expires");
        headers.remove("Min-SE");
        self.asks.write(headers);
        let again = Request { body: self.offer.clone(), ..invite.clone() };
        let txn = desk.request(again, to, self.id);
        self.setup = Setup::Calling(Calling::new(txn));
        true
    }

    fn handle_provisional(&mut self, response: &Response, desk: &mut Desk<'_>) {
        let Setup::Calling(calling) = &mut self.setup else { return };
        calling.heard(self.id, self.peer, desk);
        if calling.is_withdrawn() || !(180..190).contains(&response.status) {
            return;
        }
        let early = body::session(&response.headers, &response.body).ok().flatten();
        if calling.rings && (early.is_none() || early == calling.early) {
            return;
        }
        calling.rings = true;
        if early.is_some() {
            calling.early.clone_from(&early);
        }
        desk.say(Event::Ringing { leg: self.id, early });
    }

    /// §13.2.2.4: every 2xx gets its ACK, a repeat the same one again; the first makes the call
    /// and any other fork is ended at once. Also a 2xx that comes when all is over.
    pub(crate) fn handle_success(
        &mut self,
        response: &Response,
        from: Option<SocketAddr>,
        desk: &mut Desk<'_>,
    ) {
        let Some(invite) = &self.placed else { return };
        let sequence = response.headers.cseq().map_or(0, |(sequence, _)| sequence);
        let Some(dialog) = Dialog::accepted_by(invite, response, self.sequence_used) else {
            return;
        };
        let known = |talk: &&mut Talk| talk.dialog.remote_tag() == dialog.remote_tag();
        if let Some(talk) = self.talks.iter_mut().find(known) {
            return talk.acknowledge(sequence, desk);
        }
        if self.talks.len() >= TALKS_MAX {
            desk.counters.stray_responses += 1;
            return;
        }
        let mut talk = Talk::new(self.id, self.peer, dialog, &self.local_tag);
        talk.stage = Stage::Up;
        talk.is_placed = true;
        talk.acknowledge(sequence, desk);
        let first = self.talks.is_empty() && !self.ended;
        if first {
            let (offer, asks) = (std::mem::take(&mut self.offer), self.asks);
            talk.refreshing.begin(offer, asks, response, desk.now);
        }
        let setup = std::mem::replace(&mut self.setup, Setup::Done);
        self.talks.push(talk);
        match setup {
            Setup::Calling(calling) if first => self.handle_first(calling, response, from, desk),
            Setup::Calling(_) | Setup::Alerting(_) | Setup::Done => self.end_fork(desk),
        }
        self.conclude(desk);
    }

    fn handle_first(
        &mut self,
        calling: Calling,
        response: &Response,
        from: Option<SocketAddr>,
        desk: &mut Desk<'_>,
    ) {
        let remote_tag = response.headers.to().ok();
        let remote_tag = remote_tag.as_ref().and_then(|to| to.tag()).unwrap_or_default();
        if calling.is_gone(remote_tag) {
            self.cause.get_or_insert(Cause::Bye);
            return self.talks.iter_mut().for_each(|talk| talk.close(desk));
        }
        match usable_answer(response, calling.early) {
            Some(answer) => {
                let from = from.unwrap_or(self.peer.flow.remote);
                desk.say(Event::Answered { leg: self.id, from, answer });
            }
            None => {
                self.cause.get_or_insert(Cause::Failed);
            }
        }
        if self.cause.is_some() {
            self.hang_up_talks(desk);
        }
    }

    /// The newest talk is a fork that nobody waits for.
    fn end_fork(&mut self, desk: &mut Desk<'_>) {
        let why = self.why;
        if let Some(talk) = self.talks.last_mut() {
            talk.hang_up(why, desk);
        }
    }
}
