//! Legs, offers and calls end. Only the end of an offer's last leg gives its seat back.

use super::{Due, Hears, Output, Owner, SET_ASIDE, Switchboard, arrive::RETRY_AFTER_SECONDS};
use crate::{
    call::{Callee, Passing, Phase, State, Then},
    config::Terms,
    fact::{End, OfferEnd, Party, Quality, Reason, Step},
    ids::{CallId, OfferId},
    seats::{After, PauseReason},
    time::Stamp,
};
use media_core::order::Recorded;
use sip_stack::{
    event::{Cause, HangUp, Limit},
    ids::LegId,
};
use std::fmt::Write;

impl Switchboard {
    pub(super) fn leg_ended(&mut self, leg: LegId, cause: Cause) {
        self.silent.remove(&leg);
        match self.legs.remove(&leg) {
            Some(Owner::Caller { call, own }) => {
                self.caller_ended(call, cause);
                if let Some(own) = own {
                    self.end_own_claim(own, leg, cause);
                }
            }
            Some(Owner::Offer(offer)) => self.callee_ended(offer, leg, cause),
            None => {}
        }
    }

    /// Whoever talks to this leg is free now; its seat only when the leg has ended.
    pub(super) fn leg_left(&mut self, leg: LegId, cause: Cause) {
        match self.legs.get(&leg) {
            Some(&Owner::Caller { call, .. }) => self.caller_ended(call, cause),
            Some(&Owner::Offer(offer)) => {
                let phase = self.offers.get(&offer).map(|offer| offer.phase);
                if phase == Some(Phase::Answered { leg }) {
                    self.talking_leg_ended(offer, cause);
                }
            }
            None => {}
        }
    }

    fn caller_ended(&mut self, call_id: CallId, cause: Cause) {
        if let Some(call) = self.calls.get(&call_id) {
            let end = match call.state {
                State::Talking { .. } => Some(End::Completed),
                State::Offered { .. } | State::Waiting => Some(End::Abandoned),
                // There was nobody whom they could have waited for.
                State::Hearing { .. } => Some(End::Unreachable),
                State::Over => None,
            };
            if let Some(end) = end {
                let reason = match cause {
                    Cause::Lost | Cause::Failed => Reason::CallerLost,
                    Cause::Bye
                    | Cause::Cancelled
                    | Cause::Full { .. }
                    | Cause::Released
                    | Cause::Refused { .. } => Reason::CallerHungUp,
                };
                self.end_call(call_id, end, reason, None);
            }
        }
    }

    /// The caller was an agent: their own seat is given back now.
    fn end_own_claim(&mut self, own: OfferId, leg: LegId, cause: Cause) {
        if let Some(offer) = self.offers.get_mut(&own) {
            offer.legs.insert(leg, Some(cause));
            offer.phase = Phase::Ending(Then::AsBefore);
            self.settle(own);
        }
    }

    fn callee_ended(&mut self, offer_id: OfferId, leg: LegId, cause: Cause) {
        let Some(offer) = self.offers.get_mut(&offer_id) else { return };
        offer.legs.insert(leg, Some(cause));
        match offer.phase {
            Phase::Answered { leg: talking } if talking == leg => {
                self.talking_leg_ended(offer_id, cause);
            }
            Phase::Ringing { .. } if offer.live_legs().is_empty() => {
                let passes = self.calls.get(&offer.call).is_some_and(|call| call.passing.is_some());
                let how = why_nobody_answered(offer.legs.values().flatten(), passes);
                self.offer_failed(offer_id, how);
            }
            Phase::Answered { .. } | Phase::Dialling | Phase::Ending(_) | Phase::Ringing { .. } => {
            }
        }
        self.settle(offer_id);
    }

    fn talking_leg_ended(&mut self, offer_id: OfferId, cause: Cause) {
        let Some(offer) = self.offers.get_mut(&offer_id) else { return };
        let (call_id, callee) = (offer.call, offer.callee);
        let lost = matches!(cause, Cause::Lost | Cause::Failed);
        let then = if lost { Then::SetAside(PauseReason::Unreachable) } else { Then::WrapUp };
        offer.phase = Phase::Ending(then);
        let queued = self.calls.get(&call_id).is_some_and(|call| call.team().is_some());
        match (callee, lost) {
            (Callee::Seat, true) if queued => self.back_to_the_queue(call_id),
            (Callee::Seat | Callee::Caller, false) => {
                self.end_call(call_id, End::Completed, Reason::AgentHungUp, None);
            }
            (Callee::Trunk(_) | Callee::GoneTrunk, false) => {
                self.end_call(call_id, End::Completed, Reason::CalleeHungUp, None);
            }
            (Callee::Seat | Callee::Caller | Callee::Trunk(_) | Callee::GoneTrunk, true) => {
                self.end_call(call_id, End::Completed, Reason::CalleeLost, None);
            }
        }
    }

    /// The agent was lost, not the caller: music again, and the place their arrival gives them.
    fn back_to_the_queue(&mut self, call_id: CallId) {
        let caller_hears = self.music(call_id);
        self.outputs.push_back(Output::Part {
            call: call_id,
            caller_hears,
            other_hears: Hears::Silence,
        });
        self.tell(call_id, Step::Requeued);
        self.join_queue(call_id);
    }

    /// An agent who does not answer is set aside; the caller keeps their place.
    pub(super) fn offer_lapsed(&mut self, offer_id: OfferId) {
        let ringing = self
            .offers
            .get(&offer_id)
            .is_some_and(|offer| matches!(offer.phase, Phase::Ringing { .. }));
        if ringing {
            self.offer_failed(offer_id, OfferEnd::Lapsed);
        }
    }

    /// Somebody has picked up, and the two lay their packets out in different ways.
    pub(super) fn leg_unfit(&mut self, leg: LegId, why: &str) {
        let Some(&Owner::Offer(offer_id)) = self.legs.get(&leg) else { return };
        let Some(offer) = self.offers.get(&offer_id) else { return };
        if !matches!(offer.phase, Phase::Ringing { .. }) {
            self.outputs.push_back(Output::HangUp { leg, why: HangUp::ElsewhereAnswered });
            return;
        }
        let call = self.calls.get_mut(&offer.call);
        if let Some(Passing { warning: (_, text), .. }) =
            call.and_then(|call| call.passing.as_mut())
        {
            _ = write!(text, "; passed through, the answer was: {why}");
        }
        self.offer_failed(offer_id, OfferEnd::Unfit { status: None });
    }

    /// Nobody took this offer. The caller goes on at once; the seat only when its legs have ended.
    pub(super) fn offer_failed(&mut self, offer_id: OfferId, how: OfferEnd) {
        let Some(offer) = self.offers.get(&offer_id) else { return };
        let call_id = offer.call;
        let to = self.party(offer);
        if let Some(to) = to {
            self.tell(call_id, Step::OfferEnded { offer: offer_id, to, how });
        }
        let then = match how {
            OfferEnd::CallerLeft | OfferEnd::Lapsed => Then::SetAside(PauseReason::NoAnswer),
            OfferEnd::Declined { .. } => Then::SetAside(PauseReason::Declined),
            // Of a box that is full too, so that it does not try the same agent over and over.
            OfferEnd::Full { .. } | OfferEnd::Unreachable { .. } => {
                Then::SetAside(PauseReason::Unreachable)
            }
            // The caller's parameters were at fault, not the agent; no queue tries it again.
            OfferEnd::Unfit { .. } => Then::AsBefore,
        };
        self.withdraw(offer_id, then, HangUp::Normal);
        if self.calls.get(&call_id).is_none_or(|call| call.state == State::Over) {
            return;
        }
        if self.calls.get(&call_id).is_some_and(|call| call.team().is_some()) {
            self.join_queue(call_id);
        } else {
            let (end, reason, status) = what_the_caller_is_told(how, to);
            let warning = self.warning_of(call_id, how);
            self.end_call_telling(call_id, end, reason, (Some(status), warning));
        }
    }

    /// What the caller is told beside the status.
    fn warning_of(&self, call_id: CallId, how: OfferEnd) -> Option<(u16, String)> {
        let OfferEnd::Unfit { status } = how else { return None };
        let (code, mut text) = self.calls.get(&call_id)?.passing.clone()?.warning;
        if let Some(status) = status {
            _ = write!(text, "; passed through, who is called refuses it ({status})");
        }
        Some((code, text))
    }

    /// A wish, not a fact: the claim stays with the offer until its legs have ended.
    pub(super) fn withdraw(&mut self, offer_id: OfferId, then: Then, why: HangUp) {
        let Some(offer) = self.offers.get_mut(&offer_id) else { return };
        if let Phase::Ringing { until } = offer.phase {
            self.deadlines.remove(&(until, Due::Offer(offer_id)));
        }
        let dialling = offer.phase == Phase::Dialling && offer.legs.is_empty();
        offer.phase = Phase::Ending(then);
        self.hang_up_legs(offer_id, why);
        // Legs that are being made at this moment are still to come; `dialled` settles then.
        if !dialling {
            self.settle(offer_id);
        }
    }

    pub(super) fn hang_up_legs(&mut self, offer_id: OfferId, why: HangUp) {
        let legs = self.offers.get(&offer_id).map(crate::call::Offer::live_legs);
        for leg in legs.unwrap_or_default() {
            self.outputs.push_back(Output::HangUp { leg, why });
        }
    }

    /// Gives the seat back if, and only if, every leg of a withdrawn or finished offer has ended.
    pub(super) fn settle(&mut self, offer_id: OfferId) {
        let Some(offer) = self.offers.get(&offer_id) else { return };
        let Phase::Ending(then) = offer.phase else { return };
        if !offer.live_legs().is_empty() {
            return;
        }
        let after = self.after(then, offer.terms);
        let Some(offer) = self.offers.remove(&offer_id) else { return };
        if let Some(claim) = offer.claim {
            self.touch_all_at(claim.phones());
            if let Some(seat) = claim.seat() {
                self.claimed_for.remove(&seat);
                self.touch(seat);
            }
            self.seats.release(claim, after, self.now);
        }
    }

    fn after(&self, then: Then, terms: Option<Terms>) -> After {
        match then {
            Then::AsBefore => After::AsBefore,
            Then::SetAside(reason) => {
                let set_aside = terms.map_or(Some(SET_ASIDE), |terms| terms.set_aside);
                After::Paused { reason, until: set_aside.map(|span| self.now + span) }
            }
            Then::WrapUp => match terms.map(|terms| terms.wrap_up) {
                Some(span) if !span.is_zero() => After::WrapUp { until: self.now + span },
                Some(_) | None => After::Free,
            },
        }
    }

    /// Decides that a call is over. Its legs are told; its story ends when the media plane has
    /// said its last word.
    pub(super) fn end_call(
        &mut self,
        call_id: CallId,
        end: End,
        reason: Reason,
        status: Option<u16>,
    ) {
        self.end_call_telling(call_id, end, reason, (status, None));
    }

    /// The same with the status and the `Warning` of a caller who has no answer yet.
    fn end_call_telling(
        &mut self,
        call_id: CallId,
        end: End,
        reason: Reason,
        (status, warning): (Option<u16>, Option<(u16, String)>),
    ) {
        let Some(call) = self.calls.get(&call_id).filter(|call| call.state != State::Over) else {
            return;
        };
        let (caller, answered, state) = (call.caller, call.answered, call.state);
        self.leave_queue(call_id);
        self.set_state(call_id, State::Over);
        self.tell(call_id, Step::Over { end, reason });
        self.outputs.push_back(Output::EndMedia { call: call_id });
        if self.legs.contains_key(&caller) {
            self.outputs.push_back(match answered {
                true => Output::HangUp { leg: caller, why: HangUp::Normal },
                false => Output::Refuse {
                    leg: caller,
                    status: status.unwrap_or(480),
                    retry_after_seconds: reason.is_for_a_while().then_some(RETRY_AFTER_SECONDS),
                    warning,
                },
            });
        }
        match state {
            State::Offered { offer } => self.caller_left_an_offer(offer),
            State::Talking { offer, .. } => self.withdraw_talk(offer),
            State::Hearing { until, .. } => {
                _ = self.deadlines.remove(&(until, Due::Message(call_id)))
            }
            State::Over | State::Waiting => {}
        }
    }

    /// The seat stays claimed: its phone is ringing, or answering at this very moment.
    fn caller_left_an_offer(&mut self, offer_id: OfferId) {
        let Some(offer) = self.offers.get(&offer_id) else { return };
        if matches!(offer.phase, Phase::Ending(_)) {
            return;
        }
        let (call, to) = (offer.call, self.party(offer));
        if let Some(to) = to {
            self.tell(call, Step::OfferEnded { offer: offer_id, to, how: OfferEnd::CallerLeft });
        }
        self.withdraw(offer_id, Then::AsBefore, HangUp::Normal);
    }

    fn withdraw_talk(&mut self, offer_id: OfferId) {
        let phase = self.offers.get(&offer_id).map(|offer| offer.phase);
        if matches!(phase, Some(Phase::Answered { .. })) {
            self.withdraw(offer_id, Then::WrapUp, HangUp::Normal);
        }
    }

    pub(super) fn hang_up(&mut self, call_id: CallId) {
        let Some(call) = self.call(call_id) else { return };
        let talking = matches!(call.state, State::Talking { .. });
        let end = if talking { End::Completed } else { End::Rejected };
        self.end_call(call_id, end, Reason::ApiHungUp, Some(480));
    }

    pub(super) fn stop(&mut self) {
        let live: Vec<_> = self.calls.keys().copied().collect();
        for call in live {
            self.end_call(call, End::Failed, Reason::Shutdown, Some(503));
        }
    }

    pub(super) fn media_ended(
        &mut self,
        call_id: CallId,
        at: Stamp,
        recorded: Option<Recorded>,
        quality: &[Quality],
    ) {
        if self.calls.remove(&call_id).is_some() {
            let quality = quality.to_vec();
            self.tell_at(at, call_id, Step::Ended { recorded, quality });
        }
    }
}

/// Several phones of one agent may have said different things; a person who declined outweighs a
/// phone that does not take what passes through, and that one a phone that could not be reached.
fn why_nobody_answered<'a>(causes: impl Iterator<Item = &'a Cause>, passes: bool) -> OfferEnd {
    let mut how = OfferEnd::Unreachable { status: None };
    for cause in causes {
        match *cause {
            Cause::Refused { status: status @ (486 | 600 | 603) } => {
                return OfferEnd::Declined { status };
            }
            Cause::Refused { status: status @ (415 | 488 | 606) } if passes => {
                how = OfferEnd::Unfit { status: Some(status) };
            }
            Cause::Refused { .. } | Cause::Full { .. } if matches!(how, OfferEnd::Unfit { .. }) => {
            }
            Cause::Refused { status } => how = OfferEnd::Unreachable { status: Some(status) },
            Cause::Full { limit } => how = OfferEnd::Full { limit },
            Cause::Bye | Cause::Cancelled | Cause::Failed | Cause::Lost | Cause::Released => {}
        }
    }
    how
}

/// How a call ends that has no queue to go back to, and the status of its 4xx-6xx.
fn what_the_caller_is_told(how: OfferEnd, to: Option<Party>) -> (End, Reason, u16) {
    match (to, how) {
        (_, OfferEnd::Unfit { .. }) => (End::Rejected, Reason::NoCodec, 488),
        (Some(Party::Trunk(_)), OfferEnd::Declined { status }) => {
            (End::Busy, Reason::TrunkRefused { status }, status)
        }
        (Some(Party::Trunk(_)), OfferEnd::Unreachable { status: Some(status) }) => {
            // A trunk's own 401 or 5xx is our trouble, not the caller's: they should try
            // another way, and 503 makes them.
            let told = match status {
                404 | 410 | 480 | 484 | 488 | 604 | 606 => status,
                _ => 503,
            };
            (End::Unreachable, Reason::TrunkRefused { status }, told)
        }
        (Some(Party::Trunk(_)) | None, OfferEnd::Unreachable { .. }) => {
            (End::Unreachable, Reason::Unreachable, 503)
        }
        (Some(Party::Seat(_)) | None, OfferEnd::Declined { .. }) => {
            (End::Busy, Reason::Declined, 486)
        }
        (Some(Party::Seat(_)), OfferEnd::Unreachable { .. }) => {
            (End::Unreachable, Reason::Unreachable, 480)
        }
        (_, OfferEnd::Full { limit: Limit::Legs }) => (End::Congestion, Reason::BoxFull, 503),
        (_, OfferEnd::Full { limit: Limit::TrunkCalls | Limit::TrunkRate }) => {
            (End::Congestion, Reason::TrunkFull, 503)
        }
        (_, OfferEnd::CallerLeft | OfferEnd::Lapsed) => (End::NoAnswer, Reason::NoAnswer, 480),
    }
}
