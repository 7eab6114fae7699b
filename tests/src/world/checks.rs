//! The promises, held against what the peers went through and what the box says of itself.

use super::{SEAT_BACK, World, site};
use crate::sip_peer::{
    SipPeer,
    dialog::{Dialog, Stage},
};
use control_plane::{
    call::State,
    cdr::CallRecord,
    fact::{AgentState, Fact, Step, What},
    ids::SeatId,
};
use std::time::Duration;

/// What a living peer has to say within is repeated for 64*T1, after the media plane has missed it.
const HEARD_WITHIN: Duration = Duration::from_secs(40);

impl World {
    /// What must hold at every moment.
    pub(super) fn check_now(&self) -> Result<(), String> {
        if self.exchange.double_claims() > 0 {
            return Err("the legs found a double claim".to_owned());
        }
        if !self.exchange.board().is_sound() {
            return Err("what the board says of itself contradicts itself".to_owned());
        }
        if let Some((due, why)) = self.exchange.poll_timeout().filter(|(due, _)| *due < self.now) {
            return Err(format!("`{why}` is due {:?} ago", self.now - due));
        }
        self.media.pairs().try_for_each(|pair| self.model.check_pair(pair, true))?;
        self.check_nobody_waits_in_vain()
    }

    /// Who is given up must be gone: a living peer always answers in time.
    pub(super) fn check_given_up(&self, fact: &Fact) -> Result<(), String> {
        let What::Call(call, step) = &fact.what else { return Ok(()) };
        let Step::Requeued = step else { return Ok(()) };
        let name = call.to_string();
        let phones = self.phones.iter().flat_map(|phone| phone.peer.dialogs());
        // A phone that answered an earlier offer into a dead network is not the one given up.
        let talks = |dialog: &&Dialog| {
            let of_call = dialog.call_name.as_deref() == Some(&name);
            let heard = !self.net.may_have_failed(dialog.rtp.ip(), self.now - HEARD_WITHIN);
            heard
                && dialog.stage == Stage::Answered
                && of_call
                && self.model.was_bridged(&dialog.call_id)
        };
        match phones.filter(|dialog| !dialog.is_over()).find(talks) {
            Some(dialog) => Err(format!("{call}: {} lives and was given up", dialog.call_id)),
            None => Ok(()),
        }
    }

    /// The same for a caller.
    pub(super) fn check_lost_caller(&self, cdr: &CallRecord) -> Result<(), String> {
        let mut dialogs = self.carriers.iter().flat_map(SipPeer::dialogs);
        let caller = dialogs.find(|dialog| dialog.call_id == cdr.sip_call_id);
        let lives = caller.is_some_and(|caller| {
            let heard = !self.net.may_have_failed(caller.rtp.ip(), self.now - HEARD_WITHIN);
            heard && caller.stage == Stage::Answered && caller.acks()
        });
        match cdr.end_reason.as_deref() == Some("caller_lost") && lives {
            true => Err(format!("{}: its caller lives and was given up", cdr.id)),
            false => Ok(()),
        }
    }

    /// One agent, one call, however many phones they have.
    pub(super) fn check_agent(&self, seat: SeatId) -> Result<(), String> {
        let phones = self.phones.iter().enumerate();
        let phones = phones.filter(|(place, _)| self.site.seat_of(*place) == seat);
        let dialogs = phones.flat_map(|(_, phone)| phone.peer.dialogs());
        let mut alive = dialogs.filter(|dialog| {
            dialog.is_alive()
                && !self.model.was_never_heard(&dialog.call_id, self.now)
                && !self.model.was_never_told(&dialog.call_id, self.now)
        });
        let Some(first) = alive.next() else { return Ok(()) };
        // All their phones, and all places one of them is registered at, ring at once.
        let offer = self.model.offer(&first.call_id);
        match alive.find(|other| self.model.offer(&other.call_id) != offer) {
            Some(other) => {
                Err(format!("agent {} has {} and {} at once", seat.0, name(first), name(other)))
            }
            None => Ok(()),
        }
    }

    /// The leak check in the middle of the storm: what is known to be over must not hold a seat.
    pub(super) fn check_known_over(&self) -> Result<(), String> {
        for seat in self.site.seats() {
            let Some(call) = self.exchange.board().seat_view(seat).call else { continue };
            let over = self.cdrs.iter().find(|(cdr, _)| cdr.id == call.to_string());
            // A new process begins anew with what is left.
            let over = over.map(|&(_, since)| self.restarted.map_or(since, |at| at.max(since)));
            if let Some(since) = over.filter(|since| *since + SEAT_BACK < self.now) {
                let held = self.now - since;
                return Err(format!("seat {} is still held {held:?} after {call}", seat.0));
            }
        }
        Ok(())
    }

    /// Leaks: after all that, nothing is left of it.
    pub(super) fn check_nothing_left(&mut self) -> Result<(), String> {
        self.model.check_records()?;
        self.model.check_answers()?;
        if !self.exchange.is_idle() {
            let (board, legs) = (self.exchange.board(), self.exchange.endpoint().legs());
            let calls: Vec<_> = board.calls().map(|(call, of)| (call, of.state)).collect();
            return Err(format!(
                "not idle at the end: board idle {}, calls {calls:?}, SIP idle {}, {legs} SIP legs, {} ports",
                board.is_idle(),
                self.exchange.endpoint().is_idle(),
                self.exchange.ports_taken(),
            ));
        }
        if !self.media.is_idle() {
            return Err(format!("the media plane still has something: {:?}", self.media));
        }
        for phone in &self.phones {
            if let Some(dialog) = phone.peer.dialogs().iter().find(|dialog| dialog.is_alive()) {
                return Err(format!("{} still has {}", phone.peer.name, dialog.call_id));
            }
        }
        self.site.seats().try_for_each(|seat| self.check_seat(seat))
    }

    pub(super) fn check_served(&self, queued: &[String]) -> Result<(), String> {
        match queued.iter().find(|call_id| !self.model.was_served(call_id)) {
            Some(call_id) => Err(format!("{call_id} waited and was sent away")),
            None => Ok(()),
        }
    }

    /// No agent of the team is free while somebody waits for the team.
    fn check_nobody_waits_in_vain(&self) -> Result<(), String> {
        let board = self.exchange.board();
        let waiting = board.calls().find(|(_, call)| call.state == State::Waiting);
        let Some((call, _)) = waiting else { return Ok(()) };
        let free = |seat: &SeatId| board.seat_view(*seat).state == AgentState::Available;
        match site::TEAM_SEATS.iter().find(|seat| free(seat)) {
            Some(seat) => Err(format!("{call} waits and agent {} is free", seat.0)),
            None => Ok(()),
        }
    }

    fn check_seat(&self, seat: SeatId) -> Result<(), String> {
        let expected = match self.model.is_paused(seat) {
            true => AgentState::Paused,
            false => AgentState::Available,
        };
        let view = self.exchange.board().seat_view(seat);
        match view.state == expected {
            true => Ok(()),
            false => Err(format!("seat {} is {view:?} at the end, not {expected:?}", seat.0)),
        }
    }
}

/// The call as a phone knows it.
fn name(dialog: &Dialog) -> String {
    let call = dialog.call_name.as_deref().unwrap_or("a call");
    format!("{call} [{}]", dialog.call_id)
}
