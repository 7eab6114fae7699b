//! A leg goes from one media thread to another between two ticks, whole: its stream, what waits of its
//! voice, its keys, what it learned of its far side, its reports.
//!
//! All engines of a process have one epoch, so that a place in time is the same place for each.

use super::{Engine, Out, secure::Held};
use crate::{
    coder::Scrap,
    leg::Leg,
    order::{LegName, PortName, PromptEnd},
};
use std::time::Instant;

/// A leg between two engines, and its keys.
#[derive(Debug)]
pub struct Traveller {
    leg: Leg,
    held: Held,
}

impl Traveller {
    /// Nobody, for room that is taken at the start.
    pub fn nobody() -> Self {
        Self { leg: Leg::blank(), held: Held::Plain }
    }

    pub const fn leg(&self) -> LegName {
        self.leg.name
    }

    pub const fn port(&self) -> PortName {
        self.leg.port
    }
}

impl Engine {
    /// Takes a leg out. `leaves`: out of its talk too, as a bridge with somebody else does; else one
    /// that is in a talk stays. None: it stays, or there is none of this name.
    pub fn take_out(&mut self, name: LegName, leaves: bool) -> Option<Traveller> {
        let slot = self.legs.slot(name.0)?;
        if self.talk_of(slot).is_some() {
            if !leaves {
                return None;
            }
            self.leave(slot);
        }
        // What waits to be said is known by this engine alone.
        self.end_prompts(slot, PromptEnd::Left);
        let (_, leg) = self.legs.remove(name.0)?;
        let held = self.securities.take_held(leg.port);
        self.ports.set(leg.port, None);
        self.due_legs.remove(leg.phase, slot);
        Some(Traveller { leg, held })
    }

    /// Puts a leg in that was taken out of another engine of the same epoch. What of its stream came
    /// due on the way leaves with the next tick. False: it is gone, which is said; its name or its port
    /// is there already, or there is no room, and neither can be where every port has one leg and
    /// every engine room for all.
    pub fn put_in(&mut self, traveller: Traveller) -> bool {
        let Traveller { mut leg, held } = traveller;
        let (name, port, phase) = (leg.name, leg.port, leg.phase);
        let room = self.legs.len() + self.events.legs() < self.legs_max;
        let free = room && self.ports.slot(port).is_none();
        if !free || self.legs.slot(name.0).is_some() {
            self.throw_away(leg.coder.take());
            if let Held::Keyed(context) = held {
                self.throw(Some(Scrap::Srtp(context)));
            }
            self.refuse(name, "move: no room for this leg");
            return false;
        }
        if let Some(coder) = &mut leg.coder {
            coder.set_effort(self.effort);
        }
        let left = self.securities.put_held(port, held);
        self.throw(left.map(Scrap::Srtp));
        let Some(slot) = self.legs.insert(name.0, leg) else { return false };
        self.ports.set(port, Some(slot));
        self.due_legs.add(phase, slot);
        self.arrived.push(slot);
        true
    }

    /// Its phase may have been served here while it was on its way.
    pub(super) fn serve_arrived(&mut self, now: Instant, out: &mut impl Out) {
        while let Some(slot) = self.arrived.pop() {
            self.feed(slot, now, out);
        }
    }
}
