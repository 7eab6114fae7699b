//! The process before is gone: every call ends honestly, every leg is ordered to end, and the
//! board goes on under the plan of the day.
//!
//! Seats and telephones keep their claims: a phone may still be in the call of the process before, and
//! only the end of its leg says that it is not.

use super::{Cut, Output, Owner, Restarted, Switchboard, seat_id};
use crate::{
    call::{Callee, Phase, State, Then},
    config::Plan,
    fact::{End, Reason, What},
    ids::{CallId, OfferId, SeatId},
    queue::Queue,
    seats::{SeatClaim, SeatTable},
    time::Stamp,
};
use sip_stack::{
    event::{HangUp, Place},
    ids::{LegId, TrunkId},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

impl Switchboard {
    pub(super) fn restarted(&mut self, restarted: &Restarted) {
        let calls: Vec<_> = self.calls.keys().copied().collect();
        for call in calls {
            self.cut_off(call, restarted.last, restarted.cut.get(&call).copied());
        }
        self.end_every_leg();
        self.silent.clear();
        // Its media plane is gone; the new one has nothing to do yet.
        self.overloaded = false;
        self.deadlines.clear();
        let ending =
            self.offers.iter().filter(|(_, offer)| matches!(offer.phase, Phase::Ending(_)));
        let ending: Vec<_> = ending.map(|(&id, _)| id).collect();
        ending.into_iter().for_each(|offer| self.settle(offer));
        self.go_on_under(Arc::clone(&restarted.plan));
        self.hold_found_phones(&restarted.phones);
    }

    /// A call ends when it was last known to live. One that was over already keeps its reason; only the
    /// media plane's last word about it was never said.
    fn cut_off(&mut self, call_id: CallId, last: Stamp, cut: Option<Cut>) {
        let over = self.calls.get(&call_id).is_some_and(|call| call.state == State::Over);
        let heard_until = cut.map(|cut| cut.heard_until);
        let taping = self.calls.get(&call_id).map(|call| call.taping).unwrap_or_default();
        let recorded = cut.and_then(|cut| Some(taping.cut(cut.recorded?, cut.heard_until)));
        let at = match heard_until {
            Some(heard_until) if over => heard_until,
            Some(heard_until) => heard_until.max(last),
            None => last,
        };
        let before = self.facts.len();
        self.end_call(call_id, End::Failed, Reason::Restart, Some(503));
        // It was over then, not now that somebody finds out.
        self.facts.iter_mut().skip(before).for_each(|fact| fact.at = at);
        self.media_ended(call_id, at, recorded, &[]);
    }

    /// Orders the end of every leg, also of those that were being ended: that order may have come to
    /// nothing. Orders to media are void, it is gone.
    fn end_every_leg(&mut self) {
        let mut told = BTreeSet::new();
        let mut outputs = std::mem::take(&mut self.outputs);
        outputs.retain_mut(|output| match output {
            Output::HangUp { leg, why } => {
                *why = HangUp::Failed;
                told.insert(*leg)
            }
            Output::Refuse { leg, .. } => told.insert(*leg),
            Output::Answer { .. }
            | Output::Bridge { .. }
            | Output::Check { .. }
            | Output::DialSeat { .. }
            | Output::DialTrunk { .. }
            | Output::EndMedia { .. }
            | Output::Hear { .. }
            | Output::Part { .. }
            | Output::Play { .. }
            | Output::Progress { .. }
            | Output::RecordPause { .. }
            | Output::RecordResume { .. }
            | Output::Ring { .. } => false,
        });
        self.outputs = outputs;
        for &leg in self.legs.keys().filter(|leg| !told.contains(leg)) {
            self.outputs.push_back(Output::HangUp { leg, why: HangUp::Failed });
        }
    }

    /// Agents and trunks are who their names say, wherever they stand now; ids are given anew, and the
    /// graves of the plan before are left behind. Offers keep the terms of their calls. The claim of an
    /// agent who is no more still holds their telephones: they may be somebody else's by now.
    fn go_on_under(&mut self, plan: Arc<Plan>) {
        let before = std::mem::replace(&mut self.plan, plan);
        self.note(What::Plan(Arc::clone(&self.plan)));
        self.verdicts.clear();
        self.ask_calendars();
        let moves = Moves::between(&before, &self.plan);
        let seats = std::mem::take(&mut self.seats);
        self.seats = seats.moved(&moves.seats, self.plan.seats.len());
        self.claimed_for.clear();
        for (id, mut offer) in std::mem::take(&mut self.offers) {
            offer.claim = offer.claim.map(|claim| SeatTable::moved_claim(claim, &moves.seats));
            if let Callee::Trunk(trunk) = offer.callee {
                let now_at = moves.trunks.get(usize::from(trunk.0)).copied().flatten();
                offer.callee = now_at.map_or(Callee::GoneTrunk, Callee::Trunk);
            }
            if let Some(seat) = offer.claim.as_ref().and_then(SeatClaim::seat) {
                self.claimed_for.insert(seat, id);
            }
            self.offers.insert(id, offer);
        }
        self.queues = self.plan.teams.iter().map(|_| Queue::default()).collect();
        self.shown.clear();
        self.touched = (0..self.seats.len()).map(seat_id).collect();
    }

    /// A claim holds every telephone that was found in its call. A leg of which the board knows nothing
    /// gets a claim of nobody's, so that who is called there has to wait for its end too.
    fn hold_found_phones(&mut self, found: &BTreeMap<LegId, Place>) {
        for (&leg, place) in found {
            let offer = match self.legs.get(&leg) {
                Some(&Owner::Offer(offer) | &Owner::Caller { own: Some(offer), .. }) => offer,
                Some(Owner::Caller { own: None, .. }) => continue,
                None => self.offer_of_nobody(leg),
            };
            if let Some(offer) = self.offers.get_mut(&offer)
                && let Some(claim) = &mut offer.claim
            {
                self.seats.found(claim, offer.call, place);
            }
        }
    }

    fn offer_of_nobody(&mut self, leg: LegId) -> OfferId {
        let claim = self.seats.claim_of_nobody();
        let id = self.new_offer(CallId::NOBODYS, Callee::Seat, Some(claim));
        if let Some(offer) = self.offers.get_mut(&id) {
            offer.legs.insert(leg, None);
            offer.phase = Phase::Ending(Then::AsBefore);
        }
        self.own_leg(leg, Owner::Offer(id));
        id
    }

    /// Claims, with what an independent count needs to go on with.
    pub(crate) fn claims(&self) -> impl Iterator<Item = (&SeatClaim, CallId, Vec<LegId>)> {
        let all = self.offers.values();
        all.filter_map(|offer| Some((offer.claim.as_ref()?, offer.call, offer.live_legs())))
    }

    /// Legs whose end has not been heard of.
    pub(crate) fn live_legs(&self) -> impl Iterator<Item = LegId> {
        self.legs.keys().copied()
    }
}

/// Where everything of one plan stands in the next.
struct Moves {
    seats: Vec<Option<SeatId>>,
    trunks: Vec<Option<TrunkId>>,
}

impl Moves {
    fn between(old: &Plan, new: &Plan) -> Self {
        let seats = |plan: &Plan| -> Vec<_> { plan.seats.iter().map(|s| s.name.clone()).collect() };
        let trunks =
            |plan: &Plan| -> Vec<_> { plan.trunks.iter().map(|t| t.name.clone()).collect() };
        Self {
            seats: places(&seats(old), &seats(new), SeatId),
            trunks: places(&trunks(old), &trunks(new), TrunkId),
        }
    }
}

/// Where each old name stands among the new ones; nobody stands where another does.
fn places<T>(old: &[String], new: &[String], id: impl Fn(u16) -> T) -> Vec<Option<T>> {
    let mut by_name: BTreeMap<_, _> = new.iter().zip(0_u16..).collect();
    old.iter().map(|name| by_name.remove(name).map(&id)).collect()
}
