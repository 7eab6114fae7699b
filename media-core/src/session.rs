//! One talk: who hears whom, and the tap of its recording.
//!
//! On an even network two parties that speak G.711 hear each other without anything being
//! decoded: a packet is cut or gathered into frames of 20 ms, translated by table if the laws
//! differ, and leaves at once in the listener's own stream. Where packets come late they wait and
//! leave by the listener's clock; what never comes is made up. The recording is told the same
//! frames at the same places in time as the listener.

use crate::{
    clock::Clock,
    codec::g711,
    counters::Dropped,
    engine::Out,
    frame::{Packed, SAMPLES},
    jitter::{Kind, Order, Put, Speech, is_quiet},
    leg::{
        Leg,
        send::{Path, Wire},
    },
    order::{Coding, Law, LegName, TalkName},
    record::{Side, Tape},
    room::Room,
};
use std::time::Instant;

/// One conversation, from the first bridge to the end of the call.
#[derive(Debug)]
pub(crate) struct Talk {
    /// The two of the last bridge.
    pub(crate) caller: LegName,
    pub(crate) other: LegName,
    pub(crate) recording: Option<Recording>,
    /// All who are in it, once they are more than the two.
    pub(crate) room: Room,
}

/// A tape, and the millisecond of the 20 ms frame at which it runs on.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) tape: Tape,
    pub(crate) phase: u64,
}

/// The two of a bridge, one of whom speaks.
pub(crate) struct Pair<'a> {
    pub(crate) speaker: &'a mut Leg,
    pub(crate) listener: &'a mut Leg,
    /// Which of the two the speaker is.
    pub(crate) side: Side,
    pub(crate) tape: Option<&'a mut Tape>,
}

/// How frames of the speaker become packets of the listener.
#[derive(Clone, Copy)]
struct Way {
    law: Law,
    table: Option<&'static [u8; 256]>,
    /// None while the listener may be sent nothing; time passes all the same.
    path: Option<Path>,
    now: Instant,
    /// The same as a frame of the listener's, and in samples.
    place: u64,
    samples: u32,
}

impl Talk {
    /// Nobody's, for room that is taken at the start.
    pub(crate) const fn blank(now: Instant) -> Self {
        let recording = Some(Recording { tape: Tape::new(TalkName(0), now), phase: 0 });
        Self { caller: LegName(0), other: LegName(0), recording, room: Room::EMPTY }
    }

    pub(crate) fn tape(&mut self) -> Option<&mut Tape> {
        self.recording.as_mut().map(|recording| &mut recording.tape)
    }
}

impl Pair<'_> {
    /// What was said goes on, at once unless packets of this speaker wait for late ones.
    pub(crate) fn pass_audio(
        &mut self,
        speech: &Speech<'_>,
        clock: &Clock,
        now: Instant,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let Some(way) = self.way(clock, now) else {
            return self.pass_opaque(speech, clock, now, wire);
        };
        let at_once =
            !self.listener.send.tells() && self.listener.send.may_lead(way.place, wire.counters);
        match self.speaker.receive.put(way.law, speech, at_once) {
            Put::Passes => {
                if let Ok(frame) = speech.payload.try_into() {
                    self.deliver(frame, Kind::Said, &way, wire);
                }
                return;
            }
            Put::Kept => {}
            Put::Late => return self.count_dropped(Dropped::Late, wire),
            Put::Crowded => self.count_dropped(Dropped::Ahead, wire),
        }
        if !self.speaker.receive.waits() {
            self.pass_ready(-LEAD, &way, wire);
        }
    }

    /// Once a frame: what is due by the listener's clock, keys before audio.
    pub(crate) fn fill(&mut self, clock: &Clock, now: Instant, wire: &mut Wire<'_, impl Out>) {
        let Some(way) = self.way(clock, now) else {
            return self.keep_time(clock, now, wire);
        };
        let mut frame = [0; SAMPLES];
        if self.listener.send.lag(way.place, wire.counters) > 0
            && self.listener.send.tell_next(way.path.as_ref(), way.place, wire)
        {
            // What is said meanwhile is left out, not said later.
            self.speaker.receive.leave_out(way.law, &mut frame);
            return;
        }
        if self.listener.send.tells() {
            return;
        }
        let slack = if self.speaker.receive.waits() {
            0
        } else {
            self.pass_ready(0, &way, wire);
            let slack = self.speaker.receive.packet_frames() + LAG;
            // A source whose clock is slow: a frame is put in where nobody notices.
            let lag = self.listener.send.lag(way.place, wire.counters);
            slack - i64::from(lag == slack && self.speaker.receive.is_quiet(way.law))
        };
        for _ in 0..self.listener.send.due(slack, way.place, wire.counters) {
            let kind = self.speaker.receive.next_in_time(way.law, way.samples, &mut frame);
            self.deliver(&frame, kind, &way, wire);
        }
    }

    /// What nobody here reads goes over as it is, at once.
    fn pass_opaque(
        &mut self,
        speech: &Speech<'_>,
        clock: &Clock,
        now: Instant,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let Some(opaque) = self.speaker.opaque() else { return };
        self.speaker.receive.pass(speech);
        if speech.order == Order::Behind {
            return self.count_dropped(Dropped::Late, wire);
        }
        let Some(path) = self.listener.path() else { return };
        // What is said while a key is told is left out.
        if path.codec.coding != Coding::Opaque(opaque) || self.listener.send.tells() {
            return;
        }
        let place = clock.frame(self.listener.phase, now);
        if !self.listener.send.pass_opaque(speech, place, &path, wire) {
            self.speaker.receive.crowd();
            self.count_dropped(Dropped::Ahead, wire);
        }
    }

    /// Keys are told and time goes on; nobody here has anything to say in what nobody reads.
    fn keep_time(&mut self, clock: &Clock, now: Instant, wire: &mut Wire<'_, impl Out>) {
        let path = self.listener.path();
        match path.filter(|path| path.codec.is_opaque() && self.speaker.opaque().is_some()) {
            Some(path) => {
                let place = clock.frame(self.listener.phase, now);
                self.listener.send.keep_time(place, &path, wire);
            }
            None => self.listener.send.pause(wire.counters),
        }
    }

    /// Frames that are ready leave as long as the stream's lag is above this.
    fn pass_ready(&mut self, above: i64, way: &Way, wire: &mut Wire<'_, impl Out>) {
        let mut frame = [0; SAMPLES];
        while !self.listener.send.tells()
            && self.listener.send.lag(way.place, wire.counters) > above
            && let Some(kind) = self.speaker.receive.next_at_once(way.law, way.samples, &mut frame)
        {
            self.deliver(&frame, kind, way, wire);
        }
    }

    /// To the listener, and to the tape whether or not the listener may be sent it.
    fn deliver(&mut self, frame: &Packed, kind: Kind, way: &Way, wire: &mut Wire<'_, impl Out>) {
        let Self { speaker, listener, side, tape } = self;
        // A source whose clock is fast: a frame nobody misses is left out.
        if kind == Kind::Said
            && listener.send.leads(speaker.receive.packet_frames(), way.place, wire.counters)
            && is_quiet(way.law, frame.iter().copied())
        {
            return;
        }
        if let (Some(tape), Some(place)) = (tape, listener.send.place()) {
            tape.hear(*side, way.law, frame, place, way.now, wire.counters);
        }
        listener.send.relay(frame, kind, way.table, way.place, way.path.as_ref(), wire);
    }

    /// None: the speaker was never connected. Inlined, as what is handed over by way of memory in
    /// one size and read in another costs more than all that is computed here.
    #[inline]
    fn way(&self, clock: &Clock, now: Instant) -> Option<Way> {
        let law = self.speaker.law()?;
        let path = self.listener.path();
        let heard = path.and_then(|path| path.codec.bare());
        let table = heard.and_then(|heard| g711::translation(law, heard));
        let place = clock.frame(self.listener.phase, now);
        Some(Way { law, table, path, now, place, samples: clock.samples(now) })
    }

    fn count_dropped(&mut self, reason: Dropped, wire: &mut Wire<'_, impl Out>) {
        self.speaker.count_dropped();
        wire.counters.drop_packet(reason);
    }
}

/// How far a listener's stream may run ahead of real time, in frames.
const LEAD: i64 = 3;

/// How far it may lag behind beyond a packet before something is put in, in frames.
const LAG: i64 = 1;
