//! One process ends, the next goes on: what is written down for it, and what it makes of that.

use super::{Exchange, Restart};
use crate::{
    config::SeatPlan,
    ids::SeatId,
    journal::{Binding, Finished, Memory, Note, Registered},
    switchboard::Input,
};
use sip_stack::{
    event::{Cause, HangUp, Refusal},
    ids::{LegId, UserId},
    note,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

/// A caller of whom the board knows nothing: the process ended before it could be told.
const GONE: Refusal = Refusal { status: 503, retry_after_seconds: Some(5), warning: None };

impl Exchange {
    /// What a snapshot holds besides board and stories.
    pub fn memory(&self, now: Instant) -> Memory {
        let mut memory = Memory::default();
        for note in self.notes.iter().cloned() {
            memory.take(note);
        }
        for leg in self.endpoint.leg_notes() {
            memory.take(Note::Leg(Box::new(leg)));
        }
        for finished in self.endpoint.finished_notes(now) {
            memory.take(Note::Finished(Finished::of(finished, self.clock)));
        }
        for (user, bindings) in self.endpoint.binding_notes() {
            memory.take(self.noted(note::Note::Bindings { user, bindings }));
        }
        memory
    }

    /// A sign of life, so that it is known how long a call went on in which nothing happened.
    pub fn alive(&self, now: Instant) -> Option<Note> {
        (!self.board.is_idle()).then(|| Note::Alive(self.clock.stamp(now)))
    }

    /// In the journal's language: names and stamps mean the same to the next process.
    pub(super) fn noted(&self, note: note::Note) -> Note {
        match note {
            note::Note::Leg(leg) => Note::Leg(leg),
            note::Note::LegMoved(moved) => Note::LegMoved(moved),
            note::Note::LegOver(leg) => Note::LegOver(leg),
            note::Note::LegGone(leg) => Note::LegGone(leg),
            note::Note::Finished(note) => Note::Finished(Finished::of(note, self.clock)),
            note::Note::Bindings { user, bindings } => {
                let seat = self.plan().seats.get(usize::from(user.0));
                let name = |of: fn(&SeatPlan) -> &String| seat.map(of).cloned().unwrap_or_default();
                let bindings = bindings.into_iter().map(|note| Binding::of(note, self.clock));
                let extension = name(|seat| &seat.extension);
                let login = self.endpoint.login_mark(user, &self.login_key);
                let at = Registered { extension, login, bindings: bindings.collect() };
                Note::Registered { agent: name(|seat| &seat.name), at }
            }
        }
    }

    /// Takes up dialogs and bindings, ends every call, and orders every leg to end.
    pub(super) fn go_on_after(&mut self, restart: Restart, now: Instant) {
        let Restart { ledger, memory, mut restarted } = restart;
        self.ledger = ledger;
        let finished = memory.finished().map(|finished| finished.note(self.clock));
        self.endpoint.restore_finished(finished, now);
        let strays: Vec<LegId> = {
            let known: BTreeSet<LegId> = self.board.live_legs().collect();
            memory.legs().map(|note| note.leg).filter(|leg| !known.contains(leg)).collect()
        };
        self.endpoint.restore_legs(memory.legs(), now);
        let places = memory.legs().filter_map(|note| Some((note.leg, note.place()?)));
        restarted.phones = places.collect();
        self.feed(Input::Restarted(restarted), now);
        for (claim, call, legs) in self.board.claims() {
            self.sip.take_up(claim, call, &legs);
        }
        self.end_what_only_one_side_knows(&strays, now);
        self.take_up_bindings(&memory, now);
    }

    /// The last line of a journal may be cut: a leg of which only the board knows was never heard of
    /// outside, and one of which only the endpoint knows has nobody who waits for it.
    fn end_what_only_one_side_knows(&mut self, strays: &[LegId], now: Instant) {
        let known: Vec<LegId> = self.board.live_legs().collect();
        for &leg in known.iter().filter(|&&leg| !self.endpoint.is_live(leg)) {
            self.sip.leave_seat(leg);
            self.sip.forget(leg, &mut self.media);
            self.inbox.push_back(Input::LegEnded { leg, cause: Cause::Lost });
        }
        for &leg in strays {
            self.endpoint.refuse(leg, GONE, now);
            self.endpoint.hang_up(leg, HangUp::Failed, now);
        }
    }

    /// A binding is its agent's: it lives on if they still register with that name and password. One
    /// that does not say with which (a journal before version 3) is not shown to be, and is dropped.
    fn take_up_bindings(&mut self, memory: &Memory, now: Instant) {
        let plan = Arc::clone(self.plan());
        let places: BTreeMap<_, _> =
            plan.seats.iter().map(|seat| &seat.name).zip(0_u16..).collect();
        for (agent, at) in memory.registered() {
            let seat = places.get(agent).filter(|&&place| {
                let login = self.endpoint.login_mark(UserId(place), &self.login_key);
                let same = |seat: &SeatPlan| seat.extension == at.extension;
                let known = plan.seats.get(usize::from(place)).is_some_and(same);
                known && login.is_some() && login == at.login
            });
            let Some(&place) = seat else {
                let at = Registered::default();
                self.notes.push_back(Note::Registered { agent: agent.clone(), at });
                continue;
            };
            let notes: Vec<_> = at.bindings.iter().map(|b| b.note(self.clock)).collect();
            self.endpoint.restore_bindings(UserId(place), &notes, now);
        }
        for (seat, place) in plan.seats.iter().zip(0_u16..) {
            let unreachable = !seat.fixed && self.endpoint.contacts(UserId(place)).is_empty();
            if unreachable && self.board.seats().is_signed_in(SeatId(place)) {
                self.inbox.push_back(Input::SignedOut(SeatId(place)));
            }
        }
    }
}
