//! Which media thread an order is for, and what has to be done first. Pure.
//!
//! A conversation and its legs live on one thread. Where legs of two threads are to meet, those that are
//! elsewhere go to the conversation's thread first; the order that makes them meet, and every order after
//! it that speaks of the same legs or talk, waits for that. Nothing else does.

use std::collections::{BTreeMap, VecDeque};

use media_core::order::{Event, LegName, Order, Role, TalkName};

use crate::{
    headroom::Headroom,
    placing::{self, Load},
};

/// Legs on their way at a time. A ring between two threads has room for all of them.
pub(crate) const MOVES_MAX: usize = 16;

/// Orders that may wait for legs on their way.
const WAITING_MAX: usize = 256;

/// Tasks one order can become: its own, and a move for each of two legs.
const TASKS_MAX: usize = 3;

/// What one media thread is given to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Task {
    Carry(Order),
    /// Hand this leg to that thread. `leaves`: out of its talk too.
    Move {
        leg: LegName,
        to: usize,
        leaves: bool,
    },
}

/// What one media thread says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Said {
    Event(Event),
    /// A leg has arrived.
    Moved(LegName),
    /// A leg that was to be handed on is not there, or may not leave.
    Stayed(LegName),
}

/// Where everybody is.
#[derive(Debug)]
pub(crate) struct Router {
    threads: Vec<Load>,
    legs: BTreeMap<LegName, usize>,
    talks: BTreeMap<TalkName, usize>,
    /// Legs on their way, and to where.
    moving: BTreeMap<LegName, usize>,
    /// In the order given.
    waiting: VecDeque<Order>,
    /// Did not come, as was just heard: the order it was to come for is refused where it is not.
    stayed: Option<LegName>,
    tasks: VecDeque<(usize, Task)>,
}

impl Router {
    pub(crate) fn new(threads: usize) -> Self {
        Self {
            threads: vec![Load::default(); threads.max(1)],
            legs: BTreeMap::new(),
            talks: BTreeMap::new(),
            moving: BTreeMap::new(),
            waiting: VecDeque::new(),
            stayed: None,
            tasks: VecDeque::new(),
        }
    }

    /// Takes an order; what follows from it is told by [`next`](Self::next). An error gives it back:
    /// too many wait.
    pub(crate) fn take(&mut self, order: Order) -> Result<(), Order> {
        if self.waiting.len() >= WAITING_MAX {
            return Err(order);
        }
        self.take_in_turn(order);
        Ok(())
    }

    /// Room that every ring of tasks must have before [`take`](Self::take), so that none is ever too
    /// full for what waits.
    pub(crate) fn room_needed(&self) -> usize {
        self.waiting.len() + self.tasks.len() + TASKS_MAX + MOVES_MAX
    }

    /// A task, and whose it is.
    pub(crate) fn next(&mut self) -> Option<(usize, Task)> {
        self.tasks.pop_front()
    }

    /// Takes what a thread said. What is for the world comes back.
    pub(crate) fn hear(&mut self, said: Said) -> Option<Event> {
        match said {
            Said::Event(event) => {
                self.forget(&event);
                return Some(event);
            }
            Said::Moved(leg) => {
                if let Some(to) = self.moving.remove(&leg) {
                    self.settle(leg, to);
                }
            }
            Said::Stayed(leg) => {
                self.moving.remove(&leg);
                self.stayed = Some(leg);
            }
        }
        for order in std::mem::take(&mut self.waiting) {
            self.take_in_turn(order);
        }
        self.stayed = None;
        None
    }

    pub(crate) fn measured(&mut self, rooms: &[Headroom]) {
        self.threads.iter_mut().zip(rooms).for_each(|(load, room)| load.measured(room));
    }

    /// No leg is on its way and no order waits for one.
    pub(crate) fn is_settled(&self) -> bool {
        self.moving.is_empty() && self.waiting.is_empty()
    }

    fn take_in_turn(&mut self, order: Order) {
        if self.must_wait(&order) || !self.carry(order) {
            self.waiting.push_back(order);
        }
    }

    /// It speaks of somebody on their way, or of whom an order speaks that waits already.
    fn must_wait(&self, order: &Order) -> bool {
        let names = Names::of(order);
        names.legs().any(|leg| self.moving.contains_key(&leg))
            || self.waiting.iter().any(|other| names.meet(&Names::of(other)))
    }

    /// False: legs go on their way first.
    fn carry(&mut self, order: Order) -> bool {
        let thread = match Names::of(&order) {
            Names::Opened(leg, talk) => {
                let lightest = placing::lightest(&self.threads);
                let thread = *self.talks.entry(talk).or_insert(lightest);
                // One that is open already is told so where it is.
                let thread = self.legs.get(&leg).copied().unwrap_or(thread);
                self.settle(leg, thread);
                thread
            }
            Names::Leg(leg) => self.of_leg(leg),
            Names::Bridged(talk, [caller, other]) => {
                let callers = self.of_leg(caller);
                let thread = *self.talks.entry(talk).or_insert(callers);
                if !self.gather(thread, &[caller, other], true) {
                    return false;
                }
                thread
            }
            Names::Joined { talk, leg, .. } => {
                let thread = self.talks.get(&talk).copied().unwrap_or_else(|| self.of_leg(leg));
                if !self.gather(thread, &[leg], false) {
                    return false;
                }
                thread
            }
            Names::Talk(talk) => self.talks.get(&talk).copied().unwrap_or(0),
        };
        self.tasks.push_back((thread, Task::Carry(order)));
        true
    }

    /// Sends those of these who are elsewhere on their way. True: there are none but who has just been
    /// found not to come.
    fn gather(&mut self, to: usize, legs: &[LegName], leaves: bool) -> bool {
        let mut here = true;
        for &leg in legs {
            let from = self.legs.get(&leg).copied().filter(|from| *from != to);
            let Some(from) = from.filter(|_| self.stayed != Some(leg)) else {
                self.stayed = self.stayed.filter(|stayed| *stayed != leg);
                continue;
            };
            here = false;
            if self.moving.len() < MOVES_MAX {
                self.moving.insert(leg, to);
                self.tasks.push_back((from, Task::Move { leg, to, leaves }));
            }
        }
        here
    }

    fn of_leg(&self, leg: LegName) -> usize {
        self.legs.get(&leg).copied().unwrap_or(0)
    }

    fn settle(&mut self, leg: LegName, thread: usize) {
        self.leave(leg);
        self.legs.insert(leg, thread);
        if let Some(load) = self.threads.get_mut(thread) {
            load.take();
        }
    }

    fn leave(&mut self, leg: LegName) {
        if let Some(load) = self.legs.remove(&leg).and_then(|from| self.threads.get_mut(from)) {
            load.legs -= 1;
        }
    }

    /// Names are never used again.
    fn forget(&mut self, event: &Event) {
        match *event {
            Event::Closed { leg, .. } => self.leave(leg),
            Event::TalkEnded { talk, .. } => _ = self.talks.remove(&talk),
            Event::Bridged { .. }
            | Event::PromptEnded { .. }
            | Event::Silent { .. }
            | Event::Tell { .. }
            | Event::Heard { .. }
            | Event::Digit { .. }
            | Event::OneWay { .. }
            | Event::BothWays { .. }
            | Event::Refused { .. } => {}
        }
    }
}

/// Whom an order speaks of.
pub(crate) enum Names {
    Opened(LegName, TalkName),
    Leg(LegName),
    Bridged(TalkName, [LegName; 2]),
    Joined { talk: TalkName, leg: LegName, whispers_to: Option<LegName> },
    Talk(TalkName),
}

impl Names {
    pub(crate) const fn of(order: &Order) -> Self {
        match *order {
            Order::Open { leg, talk, .. } => Self::Opened(leg, talk),
            Order::Comfort { leg, .. }
            | Order::Connect { leg, .. }
            | Order::Digits { leg, .. }
            | Order::Hear { leg, .. }
            | Order::Keys { leg, .. }
            | Order::Leave { leg, .. }
            | Order::Play { leg, .. }
            | Order::Pressed { leg, .. }
            | Order::Rate { leg, .. }
            | Order::Renew { leg, .. }
            | Order::Secure { leg, .. }
            | Order::StopPrompts { leg }
            | Order::Close { leg } => Self::Leg(leg),
            Order::Bridge { talk, caller, other, .. } => Self::Bridged(talk, [caller, other]),
            Order::Join { talk, leg, role } => {
                let whispers_to = match role {
                    Role::Whispers { to } => Some(to),
                    Role::Speaks | Role::Listens => None,
                };
                Self::Joined { talk, leg, whispers_to }
            }
            Order::Part { talk, .. }
            | Order::RecordPause { talk }
            | Order::RecordResume { talk }
            | Order::EndTalk { talk } => Self::Talk(talk),
        }
    }

    pub(crate) fn legs(&self) -> impl Iterator<Item = LegName> + use<> {
        let legs = match *self {
            Self::Opened(leg, _) | Self::Leg(leg) => [Some(leg), None],
            Self::Bridged(_, [caller, other]) => [Some(caller), Some(other)],
            Self::Joined { leg, whispers_to, .. } => [Some(leg), whispers_to],
            Self::Talk(_) => [None, None],
        };
        legs.into_iter().flatten()
    }

    const fn talk(&self) -> Option<TalkName> {
        match *self {
            Self::Opened(_, talk)
            | Self::Bridged(talk, _)
            | Self::Joined { talk, .. }
            | Self::Talk(talk) => Some(talk),
            Self::Leg(_) => None,
        }
    }

    fn meet(&self, other: &Self) -> bool {
        let talk = self.talk().is_some() && self.talk() == other.talk();
        talk || self.legs().any(|leg| other.legs().any(|another| leg == another))
    }
}

#[cfg(test)]
mod tests;
