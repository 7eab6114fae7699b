//! The end of a day: the faults stop, everybody is served, everybody goes home.

use super::{PATIENCE, Party, SETTLED, World, site};
use crate::sip_peer::{
    SipPeer,
    dialog::{Role, Stage},
};
use control_plane::exchange::Request;
use std::time::Duration;

impl World {
    /// The faults stop and the agents work.
    pub(super) fn calm_down(&mut self) -> Result<(), String> {
        self.calm = true;
        self.net.calm_down(self.now);
        self.thief = None;
        self.deeds.clear();
        for place in 0..self.phones.len() {
            if self.phones[place].is_dead() {
                self.phones[place].boot(self.now);
            }
            self.phones[place].stay(self.now);
            self.phones[place].peer.calm_down(self.now);
            self.flush(Party::Phone(place));
        }
        for place in 0..self.carriers.len() {
            self.carriers[place].calm_down(self.now);
            self.flush(Party::Carrier(place));
        }
        for seat in site::WORKING {
            self.make_available(seat)?;
        }
        Ok(())
    }

    /// Liveness: every caller still there talks to somebody.
    pub(super) fn serve_everybody(&mut self) -> Result<(), String> {
        let end = self.now + PATIENCE;
        while self.now < end && !self.waiting().is_empty() {
            self.pass_until(self.now + Duration::from_secs(1))?;
        }
        let waiting = self.waiting();
        if !waiting.is_empty() {
            return Err(format!("never served: {waiting:?}"));
        }
        // The media plane says a little later who has met.
        self.pass_until(self.now + Duration::from_secs(1))
    }

    pub(super) fn go_home(&mut self) {
        for place in 0..self.carriers.len() {
            self.carriers[place].hang_up_all(self.now);
            self.flush(Party::Carrier(place));
        }
        for place in 0..self.phones.len() {
            self.phones[place].peer.hang_up_all(self.now);
            self.flush(Party::Phone(place));
        }
    }

    /// Who falls silent, answers for it once and then vanishes is missed by nobody, and neither is
    /// a phone that dies before its first packet. If both ends go so, somebody has to look.
    pub(super) fn end_what_nobody_can(&mut self) -> Result<(), String> {
        let vanished = |leg: &str| {
            let mut dialogs = self.carriers.iter().flat_map(SipPeer::dialogs);
            dialogs.any(|dialog| dialog.vanished && dialog.from_user == leg)
        };
        let calls = self.exchange.board().calls();
        let dead: Vec<_> =
            calls.filter(|(_, call)| vanished(&call.from)).map(|(call, _)| call).collect();
        if dead.is_empty() {
            return Ok(());
        }
        for call in dead {
            self.reached.ended_by_hand += 1;
            self.model.asked_to_hang_up(call);
            self.ask(Request::HangUp(call))?;
        }
        self.pass_until(self.now + SETTLED)
    }

    /// Who has a place in the queue and is still there.
    pub(super) fn in_the_queue(&self) -> Vec<String> {
        let dialogs = self.carriers.iter().flat_map(SipPeer::dialogs);
        dialogs
            .filter(|dialog| dialog.role == Role::Calling)
            .filter(|dialog| matches!(dialog.stage, Stage::Ringing | Stage::Answered))
            .filter(|dialog| dialog.dialled == site::TEAM)
            .filter(|dialog| !self.model.was_cut_off(&dialog.call_id))
            .filter(|dialog| !self.model.was_dismissed(&dialog.call_id))
            .filter(|dialog| !self.model.was_told(&dialog.call_id))
            .map(|dialog| dialog.call_id.clone())
            .collect()
    }

    /// Callers on the line who hear nobody.
    fn waiting(&self) -> Vec<&str> {
        let talking: Vec<_> = self.media.pairs().map(|pair| pair.caller.0).collect();
        let dialogs = self.carriers.iter().flat_map(SipPeer::dialogs);
        dialogs
            .filter(|dialog| !self.model.was_never_told(&dialog.call_id, self.now))
            .filter(|dialog| self.callers.contains_key(&dialog.from_user) && !dialog.is_over())
            .filter(|dialog| dialog.hears.is_none_or(|port| !talking.contains(&port)))
            .filter(|dialog| dialog.role == Role::Calling)
            .map(|dialog| dialog.call_id.as_str())
            .collect()
    }
}
