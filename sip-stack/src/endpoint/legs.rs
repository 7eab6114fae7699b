//! The table of legs: by id, by dialog, by deadline, and the hosts they lead to.

use crate::{
    counters::Orphans,
    dialog::invite::{Leg, Orphan},
    flow::ConnId,
    ids::LegId,
    wire::Request,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Instant,
};

#[derive(Debug)]
struct Slot {
    leg: Leg,
    due: Option<Instant>,
    ended: bool,
    /// What its note was made of when it was last looked at; `None`: nothing was left.
    mark: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Legs {
    slots: BTreeMap<LegId, Slot>,
    /// Call-ID and our tag.
    by_dialog: BTreeMap<(String, String), LegId>,
    deadlines: BTreeSet<(Instant, LegId)>,
    /// How many legs lead to a host: it may speak although it is no trunk and no phone.
    hosts: BTreeMap<IpAddr, usize>,
    live: usize,
    /// Legs whose note is not what was last said of them, and whether something was.
    changed: BTreeMap<LegId, Said>,
    orphans: Orphans,
}

/// Whether a leg has ever been noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Before,
    Nothing,
}

impl Legs {
    pub(super) fn insert(&mut self, leg: Leg) {
        let id = leg.id();
        self.by_dialog.insert(leg.key(), id);
        *self.hosts.entry(leg.peer().flow.remote.ip()).or_default() += 1;
        self.live += usize::from(!leg.has_ended());
        self.orphans.found += u64::from(leg.orphan().is_some());
        let ended = leg.has_ended();
        // Of another process's leg something was noted, though not what it is now.
        let mark = leg.orphan().map(|_| 0);
        self.slots.insert(id, Slot { leg, due: None, ended, mark });
        self.settle(id);
    }

    pub(super) fn with(&mut self, id: LegId, act: impl FnOnce(&mut Leg)) {
        if let Some(slot) = self.slots.get_mut(&id) {
            act(&mut slot.leg);
            self.settle(id);
        }
    }

    pub(super) fn find(&self, call_id: &str, local_tag: &str) -> Option<&Leg> {
        let id = self.by_dialog.get(&(call_id.to_owned(), local_tag.to_owned()))?;
        self.get(*id)
    }

    /// Whether a call that is not over yet began with this very INVITE.
    pub(super) fn began_with(&self, invite: &Request) -> bool {
        let call_id = invite.headers.call_id().unwrap_or_default();
        let of_call = self.by_dialog.range((call_id.to_owned(), String::new())..);
        let of_call = of_call.take_while(|((other, _), _)| other == call_id);
        of_call.filter_map(|(_, id)| self.get(*id)).any(|leg| leg.began_with(invite))
    }

    pub(super) fn get(&self, id: LegId) -> Option<&Leg> {
        self.slots.get(&id).map(|slot| &slot.leg)
    }

    pub(super) fn knows_host(&self, host: IpAddr) -> bool {
        self.hosts.contains_key(&host)
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

    /// A leg whose note has changed.
    pub(super) fn take_changed(&mut self) -> Option<(LegId, Said)> {
        self.changed.pop_first()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Leg> {
        self.slots.values().map(|slot| &slot.leg)
    }

    pub(super) fn orphans(&self) -> Orphans {
        self.orphans
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    fn settle(&mut self, id: LegId) {
        let Some(slot) = self.slots.get_mut(&id) else { return };
        if slot.leg.has_ended() && !slot.ended {
            slot.ended = true;
            self.live -= 1;
        }
        if let Some(due) = slot.due.take() {
            self.deadlines.remove(&(due, id));
        }
        let mark = (!slot.leg.is_done()).then(|| slot.leg.mark());
        if slot.mark != mark {
            let said = if slot.mark.is_some() { Said::Before } else { Said::Nothing };
            self.changed.entry(id).or_insert(said);
            slot.mark = mark;
            if mark.is_none() {
                match slot.leg.orphan() {
                    Some(Orphan::Answering) => self.orphans.answered += 1,
                    Some(Orphan::Silent) => self.orphans.given_up += 1,
                    None => {}
                }
            }
        }
        if slot.leg.is_over() {
            self.remove(id);
        } else if let Some(due) = slot.leg.poll_timeout() {
            slot.due = Some(due);
            self.deadlines.insert((due, id));
        }
    }

    fn remove(&mut self, id: LegId) {
        let Some(Slot { leg, .. }) = self.slots.remove(&id) else { return };
        self.by_dialog.remove(&leg.key());
        let host = leg.peer().flow.remote.ip();
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
    }
}
