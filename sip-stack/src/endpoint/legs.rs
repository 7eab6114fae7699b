//! The table of legs: by id, by dialog, by deadline, and the hosts they lead to.

use super::finished::Finished;
use crate::{
    counters::Orphans,
    dialog::invite::{Leg, Orphan},
    flow::{ConnId, Host},
    ids::LegId,
    note::{FinishedNote, LegNote, Note},
    trunk::Trunks,
    wire::Request,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

#[derive(Debug)]
struct Slot {
    leg: Leg,
    due: Option<Instant>,
    ended: bool,
    /// What is to be written of it, as it was when it was last looked at.
    state: State,
}

#[derive(Debug, Default)]
pub(super) struct Legs {
    slots: BTreeMap<LegId, Slot>,
    /// Call-ID and our tag.
    by_dialog: BTreeMap<(String, String), LegId>,
    deadlines: BTreeSet<(Instant, LegId)>,
    /// How many legs lead to a host: it may speak although it is no trunk and no phone.
    hosts: BTreeMap<Host, usize>,
    live: usize,
    /// Legs of which something else is to be written than what was, and what was.
    changed: BTreeMap<LegId, State>,
    orphans: Orphans,
    finished: Finished,
}

/// What the next process has to know of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing: it is not there yet, or no more.
    Nothing,
    /// All of it: [`Leg::mark`] and [`Leg::moved_mark`].
    Leg { mark: u64, moved: u64 },
    /// That a late 2xx may come.
    Over,
}

impl State {
    fn of(leg: &Leg) -> Self {
        match (leg.is_over(), leg.is_done()) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Over,
            (false, false) => Self::Leg { mark: leg.mark(), moved: leg.moved_mark() },
        }
    }
}

impl Legs {
    pub(super) fn insert(&mut self, leg: Leg, now: Instant) {
        let id = leg.id();
        self.by_dialog.insert(leg.key(), id);
        *self.hosts.entry(leg.peer().flow.host()).or_default() += 1;
        self.live += usize::from(!leg.has_ended());
        self.orphans.found += u64::from(leg.orphan().is_some());
        let ended = leg.has_ended();
        // Of another process's leg something was noted, though not what it is now.
        let state = match (leg.orphan(), leg.is_done()) {
            (Some(_), _) => State::Leg { mark: 0, moved: 0 },
            (None, true) => State::Over,
            (None, false) => State::Nothing,
        };
        self.slots.insert(id, Slot { leg, due: None, ended, state });
        self.settle(id, now);
    }

    pub(super) fn with(&mut self, id: LegId, now: Instant, act: impl FnOnce(&mut Leg)) {
        if let Some(slot) = self.slots.get_mut(&id) {
            act(&mut slot.leg);
            self.settle(id, now);
        }
    }

    pub(super) fn find(&self, call_id: &str, local_tag: &str) -> Option<&Leg> {
        let id = self.by_dialog.get(&(call_id.to_owned(), local_tag.to_owned()))?;
        self.get(*id)
    }

    /// Whether a call began with this very INVITE that is not over, or has not been for long.
    pub(super) fn began_with(&self, invite: &Request, now: Instant) -> bool {
        if self.finished.began_with(invite, now) {
            return true;
        }
        let call_id = invite.headers.call_id().unwrap_or_default();
        let of_call = self.by_dialog.range((call_id.to_owned(), String::new())..);
        let of_call = of_call.take_while(|((other, _), _)| other == call_id);
        of_call.filter_map(|(_, id)| self.get(*id)).any(|leg| leg.began_with(invite))
    }

    /// Whether this is of a call they began, that is over and has not been for long.
    pub(super) fn knew(&self, request: &Request, now: Instant) -> bool {
        self.finished.is_of(request, now)
    }

    /// Whether this leg listens to another request of its far side.
    pub(super) fn takes(&mut self, id: LegId, request: &Request, now: Instant) -> bool {
        self.slots.get_mut(&id).is_some_and(|slot| slot.leg.takes(request, now))
    }

    pub(super) fn get(&self, id: LegId) -> Option<&Leg> {
        self.slots.get(&id).map(|slot| &slot.leg)
    }

    pub(super) fn knows_host(&self, host: Host, now: Instant) -> bool {
        // Of what is over only the address is remembered: it lets somebody be heard, and no more.
        self.hosts.contains_key(&host) || self.finished.knows_host(host.ip, now)
    }

    /// Whether anybody talks by this connection.
    pub(super) fn knows_conn(&self, conn: ConnId) -> bool {
        self.slots.values().any(|slot| slot.leg.peer().flow.conn == Some(conn))
    }

    /// A leg whose moment has come; its deadline is taken with it.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<LegId> {
        let &(at, id) = self.deadlines.first().filter(|&&(at, _)| at <= now)?;
        self.deadlines.remove(&(at, id));
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.due = None;
        }
        Some(id)
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|&(at, _)| at)
    }

    /// Legs that have not ended.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// What has to be written down next. An INVITE whose call is over comes before the end of its
    /// leg: a crash between the two must not lose both.
    pub(super) fn poll_note(&mut self, trunks: &Trunks) -> Option<Note> {
        if let Some(finished) = self.finished.poll_note() {
            return Some(Note::Finished(finished));
        }
        while let Some((id, before)) = self.changed.pop_first() {
            let leg = self.slots.get(&id).map(|slot| &slot.leg);
            let now = leg.map_or(State::Nothing, State::of);
            return Some(match (leg, before, now) {
                // It came and went in one turn: nobody has heard of it.
                (None, State::Nothing, _) => continue,
                (None, State::Leg { .. } | State::Over, _) => Note::LegGone(id),
                (Some(_), State::Leg { .. } | State::Over, State::Over) => Note::LegOver(id),
                (Some(leg), State::Leg { mark: old, .. }, State::Leg { mark, .. })
                    if old == mark =>
                {
                    let Some(moved) = leg.moved() else { continue };
                    Note::LegMoved(moved)
                }
                (Some(leg), _, _) => Note::Leg(Box::new(leg.note(trunks))),
            });
        }
        None
    }

    /// What a snapshot holds: every leg of which something is left.
    pub(super) fn notes(&self, trunks: &Trunks) -> impl Iterator<Item = LegNote> {
        self.slots.values().map(|slot| slot.leg.note(trunks))
    }

    /// The same of INVITEs whose calls are over.
    pub(super) fn finished(&self, now: Instant) -> impl Iterator<Item = FinishedNote> {
        self.finished.notes(now)
    }

    /// Takes up what another process knew of an INVITE whose call is over.
    pub(super) fn restore_finished(&mut self, note: FinishedNote, now: Instant) {
        self.finished.insert(note, now);
    }

    pub(super) fn orphans(&self) -> Orphans {
        self.orphans
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn settle(&mut self, id: LegId, now: Instant) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.leg.has_ended() && !slot.ended {
            slot.ended = true;
            self.live -= 1;
        }
        if let Some(due) = slot.due.take() {
            self.deadlines.remove(&(due, id));
        }
        let state = State::of(&slot.leg);
        let before = std::mem::replace(&mut slot.state, state);
        if before != state {
            self.changed.entry(id).or_insert(before);
        }
        if slot.leg.is_done() {
            match slot.leg.take_orphan() {
                Some(Orphan::Answering) => self.orphans.answered += 1,
                Some(Orphan::Silent) => self.orphans.given_up += 1,
                None => {}
            }
        }
        if slot.leg.is_over() {
            self.remove(id, now);
        } else if let Some(due) = slot.leg.poll_timeout() {
            slot.due = Some(due);
            self.deadlines.insert((due, id));
        }
    }

    fn remove(&mut self, id: LegId, now: Instant) {
        let Some(Slot { leg, .. }) = self.slots.remove(&id) else { return };
        self.by_dialog.remove(&leg.key());
        let host = leg.peer().flow.host();
        if let Some(invite) = leg.made_by() {
            self.finished.finish(invite, now);
        }
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
    }
}
