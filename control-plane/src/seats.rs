//! Owner of seats: one seat, one slot, one proof. An agent cannot have two calls because the
//! second claim cannot be made.
//!
//! A claim takes the seat and the telephones that are its agent's at that moment. Names, extensions
//! and contacts may change hands while a telephone is in a call: whose it is then is not free.

use crate::{
    ids::{CallId, SeatId},
    time::Stamp,
};
use serde::{Deserialize, Serialize};
use sip_stack::event::Place;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// What a seat is at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seat {
    /// No phone of the agent is registered.
    Away,
    Claimed {
        by: CallId,
    },
    Free {
        since: Stamp,
    },
    /// Signed in, and not to be offered calls; `None`: until told.
    Paused {
        reason: PauseReason,
        until: Option<Stamp>,
    },
    WrapUp {
        until: Stamp,
    },
}

/// Why an agent is not offered calls although signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PauseReason {
    /// The agent's phone said no (486, 600, 603).
    Declined,
    /// The offer lapsed.
    NoAnswer,
    /// The agent, or somebody for them, asked for it.
    Requested,
    /// The agent's phone gave no usable answer, or was lost in a call.
    Unreachable,
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Declined => "declined",
            Self::NoAnswer => "no_answer",
            Self::Requested => "requested",
            Self::Unreachable => "unreachable",
        })
    }
}

/// Proof that one call holds one seat. Give it back with [`SeatTable::release`].
///
/// It can neither be copied nor be made outside this file.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a lost claim leaves its seat busy for ever"]
pub struct SeatClaim {
    /// `None`: of an agent who is no more, whose telephones are still in the call.
    seat: Option<SeatId>,
    /// Grows with every claim on this box: whoever makes the leg refuses an older one.
    grant: u64,
    /// The telephones nobody else may be called on meanwhile.
    phones: BTreeSet<Place>,
}

impl SeatClaim {
    pub fn seat(&self) -> Option<SeatId> {
        self.seat
    }

    pub fn phones(&self) -> &BTreeSet<Place> {
        &self.phones
    }

    pub fn grant(&self) -> u64 {
        self.grant
    }
}

/// Why a seat cannot be claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("signed out")]
    Away,
    #[error("no such seat")]
    NoSuchSeat,
    #[error("on {0}")]
    OnAnotherCall(CallId),
    #[error("paused ({0})")]
    Paused(PauseReason),
    /// One of their telephones is, under the name of somebody else.
    #[error("on {0}, on a telephone of another agent's")]
    PhoneTaken(CallId),
    #[error("wrapping up")]
    WrappingUp,
}

/// Where a seat goes when its claim is given back, unless it was signed out or paused meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum After {
    /// Back to where it stood in the line of the idle: the offer was not the agent's to take.
    AsBefore,
    Free,
    Paused {
        reason: PauseReason,
        until: Option<Stamp>,
    },
    WrapUp {
        until: Stamp,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Slot {
    seat: Seat,
    signed_in: bool,
    /// What it was when it was claimed, for [`After::AsBefore`].
    before: Seat,
    /// A pause asked for during a call: it begins when the claim is given back.
    pause_next: bool,
    /// What was said when a pause was asked for.
    word: Option<String>,
    /// Where its agent is called.
    #[serde(default)]
    phones: BTreeSet<Place>,
}

/// A telephone that is somebody's, or in a call.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Phone {
    seats: BTreeSet<SeatId>,
    /// By the grant of each claim that holds it. More than one there can only be after a journal that
    /// was cut: what rings there is found by the end of its legs.
    taken: BTreeMap<u64, CallId>,
}

/// All seats of this box. Only the switchboard holds one.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct SeatTable {
    slots: Vec<Slot>,
    grants: u64,
    #[serde(default)]
    phones: BTreeMap<Place, Phone>,
}

impl SeatTable {
    pub fn new(seats: usize) -> Self {
        let away = Slot {
            seat: Seat::Away,
            signed_in: false,
            before: Seat::Away,
            pause_next: false,
            word: None,
            phones: BTreeSet::new(),
        };
        Self { slots: vec![away; seats], grants: 0, phones: BTreeMap::new() }
    }

    /// More agents: the new ones are away. There are never fewer.
    pub fn grow(&mut self, seats: usize) {
        let Self { slots: more, .. } = Self::new(seats.saturating_sub(self.slots.len()));
        self.slots.extend(more);
    }

    /// The agent is not configured any more. A claim stays until its legs have ended.
    pub fn retire(&mut self, seat: SeatId) {
        let Some(slot) = self.slot(seat) else { return };
        (slot.signed_in, slot.pause_next, slot.word) = (false, false, None);
        slot.before = Seat::Away;
        if !matches!(slot.seat, Seat::Claimed { .. }) {
            slot.seat = Seat::Away;
        }
    }

    /// The same people in another order: `places` says where each seat of old stands now. Where their
    /// telephones are is to be said anew; those in a call stay taken.
    pub(crate) fn moved(self, places: &[Option<SeatId>], seats: usize) -> Self {
        let taken = |(place, phone): (Place, Phone)| {
            let Phone { taken, .. } = phone;
            (!taken.is_empty()).then_some((place, Phone { seats: BTreeSet::new(), taken }))
        };
        let phones = self.phones.into_iter().filter_map(taken).collect();
        let mut next = Self { grants: self.grants, phones, ..Self::new(seats) };
        for (slot, place) in self.slots.into_iter().zip(places) {
            if let Some(new) = place.and_then(|place| next.slot(place)) {
                *new = Slot { phones: BTreeSet::new(), ..slot };
            }
        }
        next
    }

    /// The claim of a seat that [`Self::moved`] has moved. Of a seat that is gone it holds the
    /// telephones.
    pub(crate) fn moved_claim(claim: SeatClaim, places: &[Option<SeatId>]) -> SeatClaim {
        let moved = |seat: SeatId| places.get(usize::from(seat.0)).copied().flatten();
        SeatClaim { seat: claim.seat.and_then(moved), ..claim }
    }

    /// A telephone is found in a call of this claim, whether it was known to be its agent's or not.
    pub(crate) fn found(&mut self, claim: &mut SeatClaim, call: CallId, place: &Place) {
        self.phones.entry(place.clone()).or_default().taken.insert(claim.grant, call);
        claim.phones.insert(place.clone());
    }

    /// For a telephone that is found in a call nobody here knows of.
    pub(crate) fn claim_of_nobody(&mut self) -> SeatClaim {
        self.grants += 1;
        SeatClaim { seat: None, grant: self.grants, phones: BTreeSet::new() }
    }

    /// The telephones of this agent are there, and nowhere else.
    pub fn set_phones(&mut self, seat: SeatId, phones: &BTreeSet<Place>) {
        let Some(slot) = self.slot(seat) else { return };
        let before = std::mem::replace(&mut slot.phones, phones.clone());
        for place in &before {
            if let Some(phone) = self.phones.get_mut(place) {
                phone.seats.remove(&seat);
            }
            self.forget_nobodys(place);
        }
        for place in phones {
            self.phones.entry(place.clone()).or_default().seats.insert(seat);
        }
    }

    /// Where this agent is called.
    pub fn phones(&self, seat: SeatId) -> Option<&BTreeSet<Place>> {
        self.slots.get(usize::from(seat.0)).map(|slot| &slot.phones)
    }

    /// Everybody whose telephone one of these is.
    pub(crate) fn seats_at(&self, phones: &BTreeSet<Place>) -> BTreeSet<SeatId> {
        phones
            .iter()
            .filter_map(|place| self.phones.get(place))
            .flat_map(|p| &p.seats)
            .copied()
            .collect()
    }

    /// The table says of this claim what the claim says of itself.
    pub(crate) fn is_held_by(&self, claim: &SeatClaim, call: CallId) -> bool {
        let mut phones = claim.phones.iter().map(|place| self.phones.get(place));
        let seat =
            claim.seat.is_none_or(|seat| self.seat(seat) == Some(Seat::Claimed { by: call }));
        let taken = |phone: Option<&Phone>| phone?.taken.get(&claim.grant).copied();
        seat && claim.grant <= self.grants && phones.all(|phone| taken(phone) == Some(call))
    }

    /// How often a telephone is held.
    pub(crate) fn taken(&self) -> usize {
        self.phones.values().map(|phone| phone.taken.len()).sum()
    }

    fn forget_nobodys(&mut self, place: &Place) {
        if self.phones.get(place).is_some_and(|p| p.seats.is_empty() && p.taken.is_empty()) {
            self.phones.remove(place);
        }
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub fn seat(&self, seat: SeatId) -> Option<Seat> {
        self.slots.get(usize::from(seat.0)).map(|slot| slot.seat)
    }

    pub fn is_signed_in(&self, seat: SeatId) -> bool {
        self.slots.get(usize::from(seat.0)).is_some_and(|slot| slot.signed_in)
    }

    /// Somebody who has asked for a pause during a call, which begins after it.
    pub fn pauses_next(&self, seat: SeatId) -> bool {
        self.slots.get(usize::from(seat.0)).is_some_and(|slot| slot.pause_next)
    }

    /// Asked for, and to begin when the agent is back, or when the call or the offer is over.
    pub fn pause_is_pending(&self, seat: SeatId) -> bool {
        let waits = |slot: &Slot| {
            let asked = matches!(slot.before, Seat::Paused { reason: PauseReason::Requested, .. });
            slot.pause_next || (asked && matches!(slot.seat, Seat::Claimed { .. }))
        };
        self.slots.get(usize::from(seat.0)).is_some_and(waits)
    }

    /// Since when this seat is free, or why it is not: the one place that says so.
    pub fn free_since(&self, seat: SeatId) -> Result<Stamp, Refusal> {
        match self.seat(seat).ok_or(Refusal::NoSuchSeat)? {
            Seat::Free { since } => self.phones_are_free(seat).map(|()| since),
            Seat::Away => Err(Refusal::Away),
            Seat::Claimed { by } => Err(Refusal::OnAnotherCall(by)),
            Seat::Paused { reason, .. } => Err(Refusal::Paused(reason)),
            Seat::WrapUp { .. } => Err(Refusal::WrappingUp),
        }
    }

    /// Takes a free seat for a call, with the telephones it has.
    pub fn claim(&mut self, seat: SeatId, call: CallId) -> Result<SeatClaim, Refusal> {
        self.free_since(seat)?;
        Ok(self.grant(seat, call))
    }

    /// Takes the agent's own seat for a call they place: a pause or wrap-up keeps others away,
    /// not themselves. Only a call they already have is in the way.
    pub fn claim_own(&mut self, seat: SeatId, call: CallId) -> Result<SeatClaim, Refusal> {
        match self.seat(seat).ok_or(Refusal::NoSuchSeat)? {
            Seat::Away | Seat::Free { .. } | Seat::Paused { .. } | Seat::WrapUp { .. } => {
                self.phones_are_free(seat)?;
                Ok(self.grant(seat, call))
            }
            Seat::Claimed { by } => Err(Refusal::OnAnotherCall(by)),
        }
    }

    fn phones_are_free(&self, seat: SeatId) -> Result<(), Refusal> {
        let phones = self.phones(seat).into_iter().flatten();
        let mut taken = phones.filter_map(|place| self.phones.get(place)?.taken.values().next());
        taken.next().map_or(Ok(()), |&by| Err(Refusal::PhoneTaken(by)))
    }

    /// Consumes the proof, so a call cannot use its seat after giving it back.
    pub fn release(&mut self, claim: SeatClaim, after: After, now: Stamp) {
        for place in &claim.phones {
            if let Some(phone) = self.phones.get_mut(place) {
                phone.taken.remove(&claim.grant);
            }
            self.forget_nobodys(place);
        }
        let Some(seat) = claim.seat else { return };
        let slot = self.slot(seat).expect("a claim is only made for a seat that exists");
        assert!(matches!(slot.seat, Seat::Claimed { .. }), "claimed seat was {:?}", slot.seat);
        let asked = matches!(slot.before, Seat::Paused { reason: PauseReason::Requested, .. });
        if after == After::AsBefore && asked {
            slot.pause_next = true;
        }
        if !slot.signed_in {
            // A pause that was asked for waits for the phone to come back.
            slot.seat = Seat::Away;
            return;
        }
        let pause_next = std::mem::take(&mut slot.pause_next);
        slot.seat = match after {
            _ if pause_next => Seat::Paused { reason: PauseReason::Requested, until: None },
            After::AsBefore => match slot.before {
                Seat::Away | Seat::Claimed { .. } => Seat::Free { since: now },
                Seat::Paused { until: Some(until), .. } | Seat::WrapUp { until }
                    if until <= now =>
                {
                    Seat::Free { since: now }
                }
                before @ (Seat::Free { .. } | Seat::Paused { .. } | Seat::WrapUp { .. }) => before,
            },
            After::Free => Seat::Free { since: now },
            After::Paused { reason, until } => Seat::Paused { reason, until },
            After::WrapUp { until } => Seat::WrapUp { until },
        };
    }

    /// A phone of the agent registered, or the agent has a fixed contact.
    pub fn sign_in(&mut self, seat: SeatId, now: Stamp) {
        let Some(slot) = self.slot(seat) else { return };
        slot.signed_in = true;
        match slot.seat {
            Seat::Away if slot.pause_next => {
                slot.pause_next = false;
                slot.seat = Seat::Paused { reason: PauseReason::Requested, until: None };
            }
            Seat::Away => slot.seat = Seat::Free { since: now },
            Seat::Claimed { .. }
            | Seat::Free { .. }
            | Seat::Paused { .. }
            | Seat::WrapUp { .. } => {}
        }
    }

    /// The agent's last phone is gone. A claim stays: it ends with the legs it was made for.
    pub fn sign_out(&mut self, seat: SeatId) {
        let Some(slot) = self.slot(seat) else { return };
        slot.signed_in = false;
        match slot.seat {
            // A pause that was asked for outlives a phone that reboots; being set aside does not.
            Seat::Paused { reason: PauseReason::Requested, .. } => {
                slot.pause_next = true;
                slot.seat = Seat::Away;
            }
            Seat::Away | Seat::Free { .. } | Seat::Paused { .. } | Seat::WrapUp { .. } => {
                slot.seat = Seat::Away;
            }
            Seat::Claimed { .. } => {}
        }
    }

    /// What was said when this agent's pause was asked for.
    pub fn pause_word(&self, seat: SeatId) -> Option<&str> {
        self.slots.get(usize::from(seat.0))?.word.as_deref()
    }

    /// From now on no offers; during a call: from its end on. `word` is for people: "lunch".
    pub fn pause(&mut self, seat: SeatId, word: Option<&str>) {
        let Some(slot) = self.slot(seat) else { return };
        slot.word = word.map(str::to_owned);
        match slot.seat {
            Seat::Free { .. } | Seat::Paused { .. } | Seat::WrapUp { .. } => {
                slot.seat = Seat::Paused { reason: PauseReason::Requested, until: None };
            }
            Seat::Away | Seat::Claimed { .. } => slot.pause_next = true,
        }
    }

    /// Ends a pause, being set aside, or wrap-up.
    pub fn make_available(&mut self, seat: SeatId, now: Stamp) {
        let Some(slot) = self.slot(seat) else { return };
        slot.pause_next = false;
        match slot.seat {
            Seat::Paused { .. } | Seat::WrapUp { .. } => slot.seat = Seat::Free { since: now },
            // Told during the agent's own call: there is no pause to go back to.
            Seat::Claimed { .. } => slot.before = Seat::Free { since: now },
            Seat::Away | Seat::Free { .. } => {}
        }
    }

    /// When this seat changes by itself.
    pub fn due(&self, seat: SeatId) -> Option<Stamp> {
        match self.seat(seat)? {
            Seat::Paused { until, .. } => until,
            Seat::WrapUp { until } => Some(until),
            Seat::Away | Seat::Claimed { .. } | Seat::Free { .. } => None,
        }
    }

    /// How many claims were made on this box, ever.
    pub fn grants(&self) -> u64 {
        self.grants
    }

    /// The only place where a claim is made.
    fn grant(&mut self, seat: SeatId, call: CallId) -> SeatClaim {
        self.grants += 1;
        let grant = self.grants;
        let slot = self.slot(seat).expect("both callers have looked the seat up");
        slot.before = slot.seat;
        slot.seat = Seat::Claimed { by: call };
        let phones = slot.phones.clone();
        for place in &phones {
            self.phones.entry(place.clone()).or_default().taken.insert(grant, call);
        }
        SeatClaim { seat: Some(seat), grant, phones }
    }

    fn slot(&mut self, seat: SeatId) -> Option<&mut Slot> {
        self.slots.get_mut(usize::from(seat.0))
    }
}

/// How a claim goes into a snapshot and comes back: a snapshot holds the table and the claims of
/// one moment together, so no proof is made that was not made before.
pub(crate) mod snapshot {
    use super::{BTreeSet, Place, SeatClaim, SeatId};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Written {
        WithPhones(Option<SeatId>, u64, BTreeSet<Place>),
        /// By a version that did not know of telephones.
        Seat(SeatId, u64),
    }

    pub(crate) fn serialize<S: Serializer>(
        claim: &Option<SeatClaim>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let written =
            |claim: &SeatClaim| Written::WithPhones(claim.seat, claim.grant, claim.phones.clone());
        claim.as_ref().map(written).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SeatClaim>, D::Error> {
        let written = Option::<Written>::deserialize(deserializer)?;
        Ok(written.map(|written| match written {
            Written::WithPhones(seat, grant, phones) => SeatClaim { seat, grant, phones },
            Written::Seat(seat, grant) => {
                SeatClaim { seat: Some(seat), grant, phones: BTreeSet::new() }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANA: SeatId = SeatId(0);
    const NOON: Stamp = Stamp(43_200_000_000);

    #[test]
    fn a_telephone_that_is_found_in_a_call_is_free_with_its_claim() {
        let mut table = table();
        let call = CallId(7);
        let place = Place::at("192.0.2.7:5060".parse::<std::net::SocketAddr>().unwrap());
        let mut claim = table.claim(ANA, call).unwrap();

        table.found(&mut claim, call, &place);
        assert_eq!((table.taken(), table.is_held_by(&claim, call)), (1, true));
        table.release(claim, After::AsBefore, NOON);

        assert_eq!(table.taken(), 0);
    }

    fn table() -> SeatTable {
        let mut table = SeatTable::new(1);
        table.sign_in(ANA, NOON);
        table
    }

    #[test]
    fn second_call_to_a_busy_seat_is_refused_by_name() {
        let mut table = table();

        let claim = table.claim(ANA, CallId(1)).unwrap();

        assert_eq!(table.claim(ANA, CallId(2)), Err(Refusal::OnAnotherCall(CallId(1))));
        table.release(claim, After::Free, NOON);
        let claim = table.claim(ANA, CallId(2)).unwrap();
        assert_eq!(claim.grant(), 2);
        table.release(claim, After::Free, NOON);
    }

    #[test]
    fn an_offer_that_was_not_the_agents_to_take_keeps_their_place_among_the_idle() {
        let mut table = table();

        let claim = table.claim(ANA, CallId(1)).unwrap();
        table.release(claim, After::AsBefore, Stamp(NOON.0 + 9));

        assert_eq!(table.seat(ANA), Some(Seat::Free { since: NOON }));
    }

    #[test]
    fn who_is_taken_out_in_a_call_keeps_the_claim_and_comes_back_without_a_past() {
        let mut table = table();
        let claim = table.claim(ANA, CallId(1)).unwrap();
        table.pause(ANA, Some("lunch"));

        table.retire(ANA);
        assert_eq!(table.claim(ANA, CallId(2)), Err(Refusal::OnAnotherCall(CallId(1))));
        table.release(claim, After::Free, NOON);
        assert_eq!(table.seat(ANA), Some(Seat::Away));

        table.sign_in(ANA, NOON);
        assert_eq!(
            (table.seat(ANA), table.pause_word(ANA)),
            (Some(Seat::Free { since: NOON }), None)
        );
    }

    #[test]
    fn a_paused_agent_may_place_a_call_and_is_paused_again_after_it() {
        let mut table = table();
        table.pause(ANA, None);
        let paused = table.seat(ANA);

        assert_eq!(table.claim(ANA, CallId(1)), Err(Refusal::Paused(PauseReason::Requested)));
        let claim = table.claim_own(ANA, CallId(1)).unwrap();
        assert_eq!(table.claim_own(ANA, CallId(2)), Err(Refusal::OnAnotherCall(CallId(1))));
        table.release(claim, After::AsBefore, NOON);

        assert_eq!(table.seat(ANA), paused);
    }

    #[test]
    fn who_is_made_available_during_their_own_call_is_not_paused_after_it() {
        let mut table = table();
        table.pause(ANA, None);
        let claim = table.claim_own(ANA, CallId(1)).unwrap();

        table.make_available(ANA, NOON);
        table.release(claim, After::AsBefore, NOON);

        assert_eq!(table.seat(ANA), Some(Seat::Free { since: NOON }));
    }

    #[test]
    fn a_pause_asked_for_in_a_call_outlives_a_phone_that_is_gone_before_the_call_ends() {
        let paused = Seat::Paused { reason: PauseReason::Requested, until: None };
        for paused_before in [true, false] {
            let mut table = table();
            if paused_before {
                table.pause(ANA, None);
            }
            let claim = table.claim_own(ANA, CallId(1)).unwrap();
            if !paused_before {
                table.pause(ANA, None);
            }

            table.sign_out(ANA);
            table.release(claim, After::AsBefore, NOON);
            table.sign_in(ANA, NOON);

            assert_eq!(table.seat(ANA), Some(paused));
        }
    }

    #[test]
    fn a_wrap_up_that_ran_out_during_the_agents_own_call_does_not_come_back() {
        let mut table = table();
        let claim = table.claim(ANA, CallId(1)).unwrap();
        table.release(claim, After::WrapUp { until: Stamp(NOON.0 + 5) }, NOON);
        let claim = table.claim_own(ANA, CallId(2)).unwrap();

        let later = Stamp(NOON.0 + 5);
        table.release(claim, After::AsBefore, later);

        assert_eq!(table.seat(ANA), Some(Seat::Free { since: later }));
    }

    #[test]
    fn who_signs_out_in_a_call_keeps_the_claim_until_it_is_given_back() {
        let mut table = table();
        let claim = table.claim(ANA, CallId(1)).unwrap();

        table.sign_out(ANA);

        assert_eq!(table.claim(ANA, CallId(2)), Err(Refusal::OnAnotherCall(CallId(1))));
        table.release(claim, After::Free, NOON);
        assert_eq!(table.seat(ANA), Some(Seat::Away));
    }

    #[test]
    fn a_pause_asked_for_in_a_call_begins_after_it_and_outlives_a_reboot_of_the_phone() {
        let mut table = table();
        let claim = table.claim(ANA, CallId(1)).unwrap();

        table.pause(ANA, None);
        table.release(claim, After::Free, NOON);
        table.sign_out(ANA);
        table.sign_in(ANA, NOON);

        let paused = Seat::Paused { reason: PauseReason::Requested, until: None };
        assert_eq!(table.seat(ANA), Some(paused));
        table.make_available(ANA, NOON);
        assert_eq!(table.seat(ANA), Some(Seat::Free { since: NOON }));
    }

    #[test]
    fn being_set_aside_ends_when_the_phone_registers_anew() {
        let mut table = table();
        let claim = table.claim(ANA, CallId(1)).unwrap();
        let after = After::Paused { reason: PauseReason::NoAnswer, until: None };

        table.release(claim, after, NOON);
        table.sign_out(ANA);
        table.sign_in(ANA, NOON);

        assert_eq!(table.seat(ANA), Some(Seat::Free { since: NOON }));
    }
}
