//! The legs that speak SRTP: what comes is opened before anybody judges it, what leaves is protected last.

use super::{Channel, Engine, Out};
use crate::{
    coder::Scrap,
    counters::Dropped,
    order::{LegName, PortName, RecordFrame},
    rtp::rtcp::Compound,
    srtp::{Context, GROWTH_MAX, Keys, Refused},
};
use std::net::SocketAddr;

/// Longest datagram that is protected or opened: 60 ms of L16 at 16 kHz, and a header.
const DATAGRAM_MAX: usize = 2_048;

/// Where a datagram is opened and protected: the caller's own bytes stay as they are.
pub(super) const ROOM: [u8; DATAGRAM_MAX + GROWTH_MAX] = [0; DATAGRAM_MAX + GROWTH_MAX];

/// What stands in the table for a leg that must not speak plainly and has no room for its keys.
const SHUT: u16 = u16::MAX;

/// Contexts by port pair; they come and go with orders.
#[derive(Debug, Default)]
pub(super) struct Securities {
    /// 0: this pair is plain; n: it has context n - 1.
    by_port: Vec<u16>,
    contexts: Vec<Option<Box<Context>>>,
    free: Vec<u16>,
    /// Packets that could not be protected since somebody asked.
    unsent: u64,
}

/// What there is at a port that is not plain; what is shut opens and protects nothing.
pub(super) enum Found<'a> {
    Shut,
    Keyed(&'a mut Context),
}

/// What a leg takes along to another engine.
#[derive(Debug)]
pub(super) enum Held {
    Plain,
    Shut,
    Keyed(Box<Context>),
}

impl Securities {
    /// Takes what a pair has, to be put elsewhere.
    pub(super) fn take_held(&mut self, port: PortName) -> Held {
        if self.of(port).is_none() {
            return Held::Plain;
        }
        self.take(port).map_or(Held::Shut, Held::Keyed)
    }

    /// Puts it there. What finds no room is given back, and the pair is shut.
    pub(super) fn put_held(&mut self, port: PortName, held: Held) -> Option<Box<Context>> {
        let context = match held {
            Held::Plain => return None,
            Held::Shut => {
                self.put(port, SHUT);
                return None;
            }
            Held::Keyed(context) => context,
        };
        let place = self.free.pop();
        match place.and_then(|place| self.contexts.get_mut(usize::from(place))) {
            Some(entry) => {
                *entry = Some(context);
                self.put(port, place.map_or(SHUT, |place| place + 1));
                None
            }
            None => {
                self.put(port, SHUT);
                Some(context)
            }
        }
    }

    /// Room for so many legs.
    pub(super) fn new(legs: usize) -> Self {
        let legs = u16::try_from(legs).unwrap_or(SHUT - 1).min(SHUT - 1);
        Self {
            by_port: vec![0; 1 << 15],
            contexts: std::iter::repeat_with(|| None).take(legs.into()).collect(),
            free: (0..legs).rev().collect(),
            unsent: 0,
        }
    }

    /// None: the pair is plain.
    #[inline]
    pub(super) fn of(&mut self, port: PortName) -> Option<Found<'_>> {
        match self.by_port.get(usize::from(port.0 >> 1)) {
            None | Some(0) => None,
            Some(n) => {
                let context = self.contexts.get_mut(usize::from(n - 1));
                let context = context.and_then(Option::as_mut);
                Some(context.map_or(Found::Shut, |context| Found::Keyed(context)))
            }
        }
    }

    /// What is not wanted any more, and whether the pair is as it was ordered; if not it is shut until it
    /// has other keys or is given back.
    fn set(
        &mut self,
        port: PortName,
        keys: Option<Keys>,
        context: Option<Box<Context>>,
    ) -> ([Option<Box<Context>>; 2], bool) {
        let Some(keys) = keys else { return ([self.take(port), context], true) };
        let mut context = match context {
            Some(context) if *context.keys() == keys => context,
            Some(_) | None => {
                let left = self.take(port);
                self.put(port, SHUT);
                return ([left, context], false);
            }
        };
        if let Some(Found::Keyed(own)) = self.of(port) {
            own.renew(&mut context);
            return ([Some(context), None], true);
        }
        let place = self.free.pop();
        match place.and_then(|place| self.contexts.get_mut(usize::from(place))) {
            Some(entry) => {
                *entry = Some(context);
                self.put(port, place.map_or(SHUT, |place| place + 1));
                ([None, None], true)
            }
            None => {
                self.put(port, SHUT);
                ([Some(context), None], false)
            }
        }
    }

    fn put(&mut self, port: PortName, place: u16) {
        if let Some(entry) = self.by_port.get_mut(usize::from(port.0 >> 1)) {
            *entry = place;
        }
    }

    /// A report that leaves when its leg has gone. False: it must not.
    pub(super) fn protect_farewell(&mut self, port: PortName, compound: &mut Compound) -> bool {
        match self.of(port) {
            None => true,
            Some(Found::Shut) => false,
            Some(Found::Keyed(Context { sender, .. })) => {
                compound.protect(|bytes, length| sender.protect_rtcp(bytes, length).ok())
            }
        }
    }

    /// The pair is plain from here on; gives what it had.
    pub(super) fn take(&mut self, port: PortName) -> Option<Box<Context>> {
        let entry = self.by_port.get_mut(usize::from(port.0 >> 1))?;
        let place = std::mem::take(entry).checked_sub(1)?;
        let context = self.contexts.get_mut(usize::from(place))?.take();
        self.free.push(place);
        context
    }
}

impl Found<'_> {
    /// The plain datagram, in `room`.
    pub(super) fn open<'r>(
        self,
        channel: Channel,
        bytes: &[u8],
        room: &'r mut [u8; DATAGRAM_MAX + GROWTH_MAX],
    ) -> Result<&'r [u8], Dropped> {
        let Self::Keyed(context) = self else { return Err(Dropped::SrtpAuth) };
        let packet = room.get_mut(..bytes.len()).ok_or(Dropped::Malformed)?;
        packet.copy_from_slice(bytes);
        let length = match channel {
            Channel::Rtp => context.receiver.unprotect_rtp(packet),
            Channel::Rtcp => context.receiver.unprotect_rtcp(packet),
        };
        let length = length.map_err(reason)?;
        room.get(..length).ok_or(Dropped::Malformed)
    }

    fn protect<'r>(
        self,
        channel: Channel,
        bytes: &[u8],
        room: &'r mut [u8; DATAGRAM_MAX + GROWTH_MAX],
    ) -> Option<&'r [u8]> {
        let Self::Keyed(context) = self else { return None };
        room.get_mut(..bytes.len())?.copy_from_slice(bytes);
        let length = match channel {
            Channel::Rtp => context.sender.protect_rtp(room, bytes.len()),
            Channel::Rtcp => context.sender.protect_rtcp(room, bytes.len()),
        };
        room.get(..length.ok()?)
    }
}

/// The name under which a packet is counted that does not open.
const fn reason(refused: Refused) -> Dropped {
    match refused {
        Refused::Replayed | Refused::Late => Dropped::Replay,
        Refused::Short
        | Refused::Tag
        | Refused::Unencrypted
        | Refused::Sources
        | Refused::Exhausted
        | Refused::Sent
        | Refused::Room => Dropped::SrtpAuth,
    }
}

/// The way out, past the keys.
pub(super) struct Guarded<'a, O> {
    pub(super) out: &'a mut O,
    pub(super) securities: &'a mut Securities,
}

impl<O: Out> Out for Guarded<'_, O> {
    #[inline]
    fn send(&mut self, port: PortName, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        let Some(found) = self.securities.of(port) else {
            return self.out.send(port, channel, to, bytes);
        };
        let mut room = ROOM;
        match found.protect(channel, bytes, &mut room) {
            Some(protected) => self.out.send(port, channel, to, protected),
            None => self.securities.unsent += 1,
        }
    }

    #[inline]
    fn record(&mut self, frame: &RecordFrame) -> bool {
        self.out.record(frame)
    }
}

impl Engine {
    pub(super) fn secure(
        &mut self,
        name: LegName,
        keys: Option<Keys>,
        context: Option<Box<Context>>,
    ) {
        let Some(port) = self.leg_mut(name).map(|leg| leg.port) else {
            self.throw(context.map(Scrap::Srtp));
            return self.refuse(name, "secure: no such leg");
        };
        let (left, keyed) = self.securities.set(port, keys, context);
        left.into_iter().for_each(|left| self.throw(left.map(Scrap::Srtp)));
        if !keyed {
            self.refuse(name, "secure: not the keys of this order; the leg hears and says nothing");
        }
    }

    /// A packet that its leg's keys do not prove: it has no source, and opens nothing.
    pub(super) fn refuse_rtp(&mut self, port: PortName, why: Dropped) {
        self.counters.packets_in += 1;
        let slot = self.ports.slot(port);
        if let Some(leg) = slot.and_then(|slot| self.legs.get_mut(slot)) {
            leg.count_dropped();
        }
        self.counters.drop_packet(why);
    }

    /// After the work: what was lent for its time, and what could not leave.
    pub(super) fn take_back(&mut self, mut securities: Securities) {
        for _ in 0..std::mem::take(&mut securities.unsent) {
            self.counters.drop_packet(Dropped::SrtpAuth);
        }
        self.securities = securities;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leg_with_keys_takes_no_more_than_it_says() {
        let bytes = size_of::<Context>();

        assert!((4_000..=7_000).contains(&bytes), "{bytes}");
    }
}
