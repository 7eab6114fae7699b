//! A phone rings, answers, is put on hold: the middle of a call.

use super::{ASK_AGAIN, Due, Hears, Output, Owner, RING, Switchboard, TRUNK_ANSWER};
use crate::{
    call::{Callee, Phase, State},
    fact::{OfferEnd, Side, Step},
    ids::{CallId, OfferId},
    seats::SeatClaim,
    time::Stamp,
};
use media_core::order::Digit;
use sip_stack::{event::HangUp, ids::LegId};

impl Switchboard {
    /// The legs of an offer are known: from here on its phones ring, until the deadline.
    pub(super) fn dialled(&mut self, offer_id: OfferId, legs: &[LegId]) {
        for &leg in legs {
            self.own_leg(leg, Owner::Offer(offer_id));
        }
        let Some(offer) = self.offers.get_mut(&offer_id) else { return };
        offer.legs.extend(legs.iter().map(|&leg| (leg, None)));
        let ring = match offer.callee {
            Callee::Trunk(_) | Callee::GoneTrunk => TRUNK_ANSWER,
            Callee::Caller | Callee::Seat => offer.terms.map_or(RING, |terms| terms.ring),
        };
        let until = self.now + ring;
        match offer.phase {
            Phase::Dialling => {
                offer.phase = Phase::Ringing { until };
                self.deadlines.insert((until, Due::Offer(offer_id)));
                if legs.is_empty() {
                    self.offer_failed(offer_id, OfferEnd::Unreachable { status: None });
                }
            }
            // The call ended while the legs were being made: none of them is wanted.
            Phase::Ending(_) | Phase::Ringing { .. } | Phase::Answered { .. } => {
                self.hang_up_legs(offer_id, HangUp::Normal);
                self.settle(offer_id);
            }
        }
    }

    pub(super) fn leg_ringing(&mut self, leg: LegId) {
        let Some(&Owner::Offer(offer_id)) = self.legs.get(&leg) else { return };
        let Some(offer) = self.offers.get_mut(&offer_id) else { return };
        if offer.rang || !matches!(offer.phase, Phase::Ringing { .. }) {
            return;
        }
        offer.rang = true;
        let call = offer.call;
        self.tell(call, Step::Ringing { offer: offer_id });
        // Who already hears music as early media needs no ringing.
        if let Some(call) =
            self.calls.get(&call).filter(|call| !call.answered && call.team().is_none())
        {
            self.outputs.push_back(Output::Ring { leg: call.caller });
        }
    }

    /// The first phone of a standing offer wins. Any other answer is too late: its leg ends and
    /// hears nobody.
    pub(super) fn leg_answered(&mut self, leg: LegId) {
        let Some(&Owner::Offer(offer_id)) = self.legs.get(&leg) else { return };
        let Some(offer) = self.offers.get_mut(&offer_id) else { return };
        let call_id = offer.call;
        let Phase::Ringing { until } = offer.phase else {
            if offer.phase != (Phase::Answered { leg }) {
                if let Some(to) = self.party(&self.offers[&offer_id]) {
                    self.tell(call_id, Step::AnsweredTooLate { offer: offer_id, to });
                }
                self.outputs.push_back(Output::HangUp { leg, why: HangUp::ElsewhereAnswered });
            }
            return;
        };
        offer.phase = Phase::Answered { leg };
        offer.answered = true;
        let others: Vec<_> = offer.live_legs().into_iter().filter(|&other| other != leg).collect();
        if let Some(seat) = offer.claim.as_ref().and_then(SeatClaim::seat) {
            self.touch(seat);
        }
        self.deadlines.remove(&(until, Due::Offer(offer_id)));
        for other in others {
            self.outputs.push_back(Output::HangUp { leg: other, why: HangUp::ElsewhereAnswered });
        }
        if let Some(to) = self.party(&self.offers[&offer_id]) {
            self.tell(call_id, Step::Accepted { offer: offer_id, to });
        }
        self.answer_caller(call_id);
        self.set_state(call_id, State::Talking { offer: offer_id, held: false });
        self.bridge(call_id, leg);
    }

    fn bridge(&mut self, call_id: CallId, other: LegId) {
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        let by_team = call.terms.is_some_and(|terms| terms.record);
        let record = call.route.and_then(|route| route.record).unwrap_or(by_team);
        call.taping.begun |= record;
        let caller = call.caller;
        self.outputs.push_back(Output::Bridge { call: call_id, caller, other, record });
        // Who fell silent while nobody listened may be gone: nobody should talk into nothing.
        if self.silent.contains(&caller) {
            self.leg_silent(caller);
        }
    }

    pub(super) fn bridged(&mut self, call_id: CallId, at: Stamp) {
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        if call.bridged.is_none() {
            call.bridged = Some(at);
            self.tell_at(at, call_id, Step::Bridged);
        }
    }

    pub(super) fn hold(&mut self, call_id: CallId) {
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        let State::Talking { offer, held: false } = call.state else { return };
        call.state = State::Talking { offer, held: true };
        let caller_hears = self.music(call_id);
        self.outputs.push_back(Output::Part {
            call: call_id,
            caller_hears,
            other_hears: Hears::Silence,
        });
        self.tell(call_id, Step::Held);
    }

    pub(super) fn resume(&mut self, call_id: CallId) {
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        let State::Talking { offer, held: true } = call.state else { return };
        call.state = State::Talking { offer, held: false };
        let Some(Phase::Answered { leg }) = self.offers.get(&offer).map(|offer| offer.phase) else {
            return;
        };
        self.tell(call_id, Step::Resumed);
        self.bridge(call_id, leg);
    }

    /// Somebody talks into nothing: find out whether the other side is still there.
    pub(super) fn leg_silent(&mut self, leg: LegId) {
        if !self.legs.contains_key(&leg) {
            return;
        }
        self.silent.insert(leg);
        if let Some((call, side)) = self.talker(leg) {
            self.tell(call, Step::Silent { side });
            self.ask_a_silent_leg(leg);
        }
    }

    /// A key goes into the story, as long as that is of any use to who reads it.
    pub(super) fn leg_digit(
        &mut self,
        leg: LegId,
        digit: Option<Digit>,
        duration_ms: u32,
        at: Stamp,
    ) {
        let waits = match self.legs.get(&leg) {
            Some(Owner::Caller { call, .. }) => Some((*call, Side::Caller)),
            Some(Owner::Offer(_)) | None => None,
        };
        let Some((call_id, side)) = waits.or_else(|| self.talker(leg)) else { return };
        let Some(call) = self.calls.get_mut(&call_id).filter(|c| c.state != State::Over) else {
            return;
        };
        if call.digits < DIGITS_MAX {
            call.digits += 1;
            self.tell_at(at, call_id, Step::Digit { side, digit, duration_ms });
        }
    }

    pub(super) fn leg_one_way(&mut self, leg: LegId, since: Stamp) {
        if let Some((call, side)) = self.talker(leg) {
            self.tell(call, Step::OneWayAudio { side, since });
        }
    }

    pub(super) fn leg_both_ways(&mut self, leg: LegId) {
        if let Some((call, side)) = self.talker(leg) {
            self.tell(call, Step::TwoWayAudio { side });
        }
    }

    /// Asks now, and again as long as it says nothing.
    pub(super) fn ask_a_silent_leg(&mut self, leg: LegId) {
        if !self.silent.contains(&leg) {
            return;
        }
        if self.talker(leg).is_none() {
            return;
        }
        self.outputs.push_back(Output::Check { leg });
        self.deadlines.insert((self.now + ASK_AGAIN, Due::Silence(leg)));
    }

    /// The call in which this leg is one of the two who talk, and which one. A caller who only
    /// waits may be silent.
    fn talker(&self, leg: LegId) -> Option<(CallId, Side)> {
        let (call, side) = match self.legs.get(&leg)? {
            Owner::Caller { call, .. } => (*call, Side::Caller),
            Owner::Offer(offer) => {
                let offer = self.offers.get(offer)?;
                let side = match offer.callee {
                    Callee::Seat | Callee::Caller => Side::Agent,
                    Callee::Trunk(_) | Callee::GoneTrunk => Side::Callee,
                };
                (offer.phase == (Phase::Answered { leg })).then_some((offer.call, side))?
            }
        };
        matches!(self.calls.get(&call)?.state, State::Talking { .. }).then_some((call, side))
    }
}

/// Keys that go into the story of one call.
const DIGITS_MAX: u16 = 256;
