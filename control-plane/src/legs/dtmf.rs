//! In which way each leg's keys come, and in which it is told those of others.

use crate::{
    config::{Dtmf, Plan},
    ids::SeatId,
};
use media_core::order::{By, LegName, Order};
use sip_stack::{event::Source, ids::TrunkId};

/// What was configured of trunks and agents, by id.
#[derive(Debug, Default)]
pub(crate) struct Ways {
    trunks: Vec<Dtmf>,
    seats: Vec<Dtmf>,
}

/// What the media plane was told of one leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keys {
    hears_tones: bool,
    told_by: By,
    masked: bool,
}

impl Ways {
    pub(crate) fn of(plan: &Plan) -> Self {
        Self {
            trunks: plan.trunks.iter().map(|trunk| trunk.dtmf).collect(),
            seats: plan.seats.iter().map(|seat| seat.dtmf).collect(),
        }
    }

    pub(crate) fn trunk(&self, trunk: TrunkId) -> Dtmf {
        self.trunks.get(usize::from(trunk.0)).copied().unwrap_or_default()
    }

    pub(crate) fn seat(&self, seat: SeatId) -> Dtmf {
        self.seats.get(usize::from(seat.0)).copied().unwrap_or_default()
    }

    pub(crate) fn source(&self, source: Source) -> Dtmf {
        match source {
            Source::Phone(user) => self.seat(SeatId(user.0)),
            Source::Trunk(trunk) => self.trunk(trunk),
        }
    }
}

impl Dtmf {
    /// Events may be agreed on.
    pub(crate) const fn offers_events(self) -> bool {
        matches!(self, Self::Auto | Self::Rfc4733)
    }
}

impl Keys {
    /// What holds in the media plane until it is told otherwise.
    pub(crate) const UNSAID: Self = Self { hears_tones: false, told_by: By::Events, masked: false };

    /// `events`: they were agreed on. Where keys are masked tones are looked for in any case: a phone
    /// may leave them in its audio beside its events.
    pub(crate) fn of(dtmf: Dtmf, events: bool, masked: bool) -> Self {
        let (hears_tones, told_by) = match dtmf {
            Dtmf::Auto | Dtmf::Rfc4733 if events => (false, By::Events),
            Dtmf::Rfc4733 => (false, By::Events),
            Dtmf::Auto | Dtmf::InBand => (true, By::Tones),
            Dtmf::Info => (false, By::Signalling),
        };
        Self { hears_tones: hears_tones || masked, told_by, masked }
    }

    pub(crate) fn order(self, leg: LegName) -> Order {
        let Self { hears_tones, told_by, masked } = self;
        Order::Keys { leg, hears_tones, told_by, masked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_way_follows_from_what_is_configured_and_what_was_agreed() {
        for (dtmf, events, hears_tones, told_by) in [
            (Dtmf::Auto, true, false, By::Events),
            (Dtmf::Auto, false, true, By::Tones),
            (Dtmf::Rfc4733, true, false, By::Events),
            (Dtmf::Rfc4733, false, false, By::Events),
            (Dtmf::Info, false, false, By::Signalling),
            (Dtmf::InBand, false, true, By::Tones),
        ] {
            let keys = Keys::of(dtmf, events, false);
            assert_eq!(keys, Keys { hears_tones, told_by, masked: false }, "{dtmf:?} {events}");
            let masked = Keys::of(dtmf, events, true);
            assert_eq!(masked, Keys { hears_tones: true, told_by, masked: true });
        }
        assert!(!Dtmf::Info.offers_events() && !Dtmf::InBand.offers_events());
    }
}
