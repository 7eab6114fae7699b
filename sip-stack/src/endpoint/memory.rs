//! What the endpoint tells the journal, and what it takes back from it after a crash.

use super::Endpoint;
use crate::{
    counters::Orphans,
    dialog::invite::Leg,
    ids::{LegId, UserId},
    note::{BindingNote, FinishedNote, LegNote, Note},
};
use std::time::Instant;

impl Endpoint {
    /// What has to be written down before anything that is polled after it may leave.
    pub fn poll_note(&mut self) -> Option<Note> {
        if let Some(note) = self.legs.poll_note(&self.trunks) {
            return Some(note);
        }
        let user = self.registrar.take_changed()?;
        Some(Note::Bindings { user, bindings: self.registrar.note(user) })
    }

    /// Every leg of which something is left.
    pub fn leg_notes(&self) -> impl Iterator<Item = LegNote> {
        self.legs.notes(&self.trunks)
    }

    /// INVITEs whose calls are over and that may still come again.
    pub fn finished_notes(&self, now: Instant) -> impl Iterator<Item = FinishedNote> {
        self.legs.finished(now)
    }

    /// Takes up the INVITEs whose calls another process has ended, oldest first.
    pub fn restore_finished(
        &mut self,
        notes: impl IntoIterator<Item = FinishedNote>,
        now: Instant,
    ) {
        notes.into_iter().for_each(|note| self.legs.restore_finished(note, now));
    }

    /// Everybody who is registered, and where.
    pub fn binding_notes(&self) -> impl Iterator<Item = (UserId, Vec<BindingNote>)> {
        let all = self.registrar.users().map(|user| (user, self.registrar.note(user)));
        all.filter(|(_, bindings)| !bindings.is_empty())
    }

    /// Takes up the legs that another process left: whatever was being ended is ended anew, the
    /// others wait for `hang_up` or `refuse`. Nothing new may have happened here before.
    pub fn restore_legs<'a>(&mut self, notes: impl IntoIterator<Item = &'a LegNote>, now: Instant) {
        for note in notes {
            self.next_leg = self.next_leg.max(note.leg.0 + 1);
            let trunk = note.trunk.as_deref().and_then(|name| self.trunks.named(name));
            let leg = Leg::restore(note, trunk, &mut self.desk(note.address.network, now));
            self.legs.insert(leg, now);
        }
        self.settle(None, now);
    }

    /// What this user registers with, as the next process may compare it and nobody can read it: a MAC
    /// by a key that is no part of the journal. `None`: they cannot register.
    pub fn login_mark(&self, user: UserId, key: &[u8; 32]) -> Option<String> {
        self.registrar.login_mark(user, key)
    }

    /// Takes up the bindings of a user; those that have run out meanwhile are gone.
    pub fn restore_bindings(&mut self, user: UserId, notes: &[BindingNote], now: Instant) {
        let reached = |note: &&BindingNote| self.ours.knows(note.to.network);
        let notes: Vec<_> = notes.iter().filter(reached).cloned().collect();
        self.registrar.restore(user, &notes, now, &mut self.events);
    }

    /// Whether this leg's [`crate::Event::Ended`] is still to come.
    pub fn is_live(&self, leg: LegId) -> bool {
        self.legs.get(leg).is_some_and(|leg| !leg.has_ended())
    }

    /// What has become of the legs that another process left.
    pub fn orphans(&self) -> Orphans {
        self.legs.orphans()
    }
}
