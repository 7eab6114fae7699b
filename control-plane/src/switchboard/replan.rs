//! The configuration changes under running calls: what they started with they keep, and nobody is
//! offered to an agent who is gone, nor waits for a team in which nobody is left.

use super::{Switchboard, seat_id};
use crate::{
    config::Plan,
    fact::{End, Reason, What},
    ids::{CallId, SeatId},
    queue::Queue,
};
use std::sync::Arc;

impl Switchboard {
    /// Ids mean what they meant, and there are more of them.
    pub(super) fn replan(&mut self, plan: &Arc<Plan>) {
        let before = std::mem::replace(&mut self.plan, Arc::clone(plan));
        self.note(What::Plan(Arc::clone(plan)));
        self.ask_calendars();
        self.seats.grow(plan.seats.len());
        self.queues.resize_with(plan.teams.len().max(self.queues.len()), Queue::default);
        for seat in &plan.gone.seats {
            self.seats.retire(*seat);
        }
        for place in 0..plan.seats.len() {
            let seat = seat_id(place);
            // Who had a contact is signed in again as soon as a phone of theirs is known.
            let was_fixed = before.seats.get(place).is_some_and(|seat| seat.fixed);
            if was_fixed && !self.is_fixed(seat) {
                self.seats.sign_out(seat);
            }
            self.touch(seat);
        }
    }

    pub(super) fn is_fixed(&self, seat: SeatId) -> bool {
        self.plan.seats.get(usize::from(seat.0)).is_some_and(|seat| seat.fixed)
    }

    /// A team that is gone may have lost its last agent: its callers are told, not left to wait.
    pub(super) fn let_go_who_waits_for_nobody(&mut self) {
        if self.plan.gone.teams.is_empty() {
            return;
        }
        let plan = Arc::clone(&self.plan);
        for id in &plan.gone.teams {
            let place = usize::from(id.0);
            if plan.teams.get(place).is_some_and(|team| !team.seats.is_empty()) {
                continue;
            }
            let waiting: Vec<CallId> = self.queues.get(place).map(Queue::calls).unwrap_or_default();
            for call in waiting {
                self.end_call(call, End::Unreachable, Reason::TeamRemoved, Some(480));
            }
        }
    }
}
