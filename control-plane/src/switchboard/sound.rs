//! What a journal may say at all. Its checksums tell what a disk did to it, not what wrote it: a
//! line that no board could have written is refused before it is lived, so that what is rebuilt keeps
//! the promises and nothing in it stops the box from starting.

use super::{Input, Switchboard};
use crate::{
    calendar::Hours,
    config::{Destination, Plan},
    door::{Closed, Door},
    ids::{OfferId, SeatId},
    seats::{Seat, SeatClaim},
    time::Stamp,
};
use sip_stack::ids::LegId;
use std::collections::BTreeMap;

/// No box counts so far, and no clock goes so far: a hundred thousand years of microseconds.
const LINE_MAX: u64 = u64::MAX >> 2;
/// Of a board that has lived on from there.
const COUNT_MAX: u64 = u64::MAX >> 1;

impl Stamp {
    pub(crate) fn is_sound(self) -> bool {
        self.0 <= LINE_MAX
    }
}

pub(crate) fn is_sound_leg(leg: LegId) -> bool {
    leg.0 <= LINE_MAX
}

impl Plan {
    /// Every id of it is one of its places, and there are ids for them.
    pub(crate) fn is_sound(&self) -> bool {
        let (trunks, seats, teams) = (self.trunks.len(), self.seats.len(), self.teams.len());
        let hours = self.hours.len();
        let enough =
            [trunks, seats, teams, hours].into_iter().all(|many| many <= usize::from(u16::MAX));
        let is_in = |id: u16, of: usize| usize::from(id) < of;
        let members = self.teams.iter().all(|team| team.seats.iter().all(|s| is_in(s.0, seats)));
        let place = |to: Destination| match to {
            Destination::Seat(to) => is_in(to.0, seats),
            Destination::Team(to) => is_in(to.0, teams),
            Destination::Trunk(to) => is_in(to.0, trunks),
        };
        let door = |door: Door| {
            let closed = match door.closed {
                Some(Closed::Goes(to)) => place(to),
                Some(Closed::Hears(_)) | None => true,
            };
            closed && door.hours.is_none_or(|id| is_in(id.0, hours))
        };
        let rows = self.numbers.iter().all(|row| place(row.to) && door(row.door));
        let doors =
            self.teams.iter().all(|team| door(team.door)) && self.hours.iter().all(Hours::is_sound);
        let gone = self.gone.trunks.iter().all(|id| is_in(id.0, trunks))
            && self.gone.seats.iter().all(|id| is_in(id.0, seats))
            && self.gone.teams.iter().all(|id| is_in(id.0, teams));
        enough && members && rows && doors && gone
    }
}

impl Input {
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Arrived { leg, .. } => is_sound_leg(*leg),
            Self::Dialled { legs, .. } => legs.iter().copied().all(is_sound_leg),
            Self::Replan(plan) => plan.is_sound(),
            Self::Restarted(restarted) => {
                restarted.plan.is_sound() && restarted.phones.keys().copied().all(is_sound_leg)
            }
            Self::Available(_)
            | Self::Bridged { .. }
            | Self::HangUp(_)
            | Self::Hold(_)
            | Self::LegAnswered(_)
            | Self::LegBothWays(_)
            | Self::LegDigit { .. }
            | Self::LegEnded { .. }
            | Self::LegHeard(_)
            | Self::LegLeft { .. }
            | Self::LegOneWay { .. }
            | Self::LegRinging(_)
            | Self::LegSilent(_)
            | Self::LegUnfit { .. }
            | Self::MediaEnded { .. }
            | Self::MessageEnded { .. }
            | Self::Overload { .. }
            | Self::Pause { .. }
            | Self::Phones(_)
            | Self::RecordPause(_)
            | Self::RecordResume(_)
            | Self::RecordingBegan(_)
            | Self::RecordingFailed { .. }
            | Self::Resume(_)
            | Self::SignedIn(_)
            | Self::SignedOut(_)
            | Self::Stop
            | Self::TimeCame
            | Self::WallClock { .. } => true,
        }
    }
}

impl Switchboard {
    /// Whether a process may go on from this snapshot: it is sound, and there is room to count on.
    pub(crate) fn is_sound_beginning(&self) -> bool {
        self.counts().into_iter().all(|count| count <= LINE_MAX) && self.is_sound()
    }

    /// Whether all that is said here can be so at once: above all, that every seat in a call is in one
    /// call, and that somebody holds the proof.
    pub fn is_sound(&self) -> bool {
        let counted = self.counts().into_iter().all(|count| count <= COUNT_MAX)
            && self.calls.keys().all(|call| call.0 < self.next_call)
            && self.offers.keys().all(|offer| offer.0 < self.next_offer)
            && self.legs.keys().all(|leg| leg.0 < self.next_leg);
        counted
            && self.plan.is_sound()
            && self.seats.len() >= self.plan.seats.len()
            && self.queues.len() >= self.plan.teams.len()
            && self.every_claim_is_one()
    }

    fn counts(&self) -> [u64; 6] {
        let Self { next_call, next_offer, next_leg, seq, now, .. } = self;
        [*next_call, *next_offer, *next_leg, *seq, now.0, self.seats.grants()]
    }

    fn every_claim_is_one(&self) -> bool {
        let mut held = BTreeMap::<SeatId, OfferId>::new();
        for (&id, offer) in &self.offers {
            let Some(claim) = &offer.claim else { continue };
            if !self.seats.is_held_by(claim, offer.call) {
                return false;
            }
            let twice = claim.seat().and_then(|seat| held.insert(seat, id)).is_some();
            if twice {
                return false;
            }
        }
        let claimed = |seat| matches!(self.seats.seat(seat), Some(Seat::Claimed { .. }));
        let seats = (0..=u16::MAX).take(self.seats.len()).map(SeatId);
        held == self.claimed_for
            && seats.filter(|&seat| claimed(seat)).all(|seat| held.contains_key(&seat))
            && self.seats.taken() == self.offers.values().filter_map(phones_of).sum::<usize>()
    }
}

fn phones_of(offer: &crate::call::Offer) -> Option<usize> {
    offer.claim.as_ref().map(SeatClaim::phones).map(std::collections::BTreeSet::len)
}
