//! One talk: who hears whom, and the tap of its recording.
//!
//! Two parties that speak G.711 hear each other without anything being decoded: a packet is cut
//! or gathered into frames of 20 ms, translated by table if the laws differ, and leaves at once
//! in the listener's own stream.

use crate::{
    clock::Clock,
    codec::g711,
    counters::Dropped,
    engine::Out,
    leg::{Digit, Leg, PAYLOAD_MAX, send::Wire, shelf::Arranged},
    order::{Law, LegName},
    record::{Side, Tape},
};
use std::time::Instant;

/// One conversation, from the first bridge to the end of the call.
#[derive(Debug)]
pub(crate) struct Talk {
    /// The two of the last bridge.
    pub(crate) caller: LegName,
    pub(crate) other: LegName,
    pub(crate) recording: Option<Recording>,
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

impl Talk {
    pub(crate) fn tape(&mut self) -> Option<&mut Tape> {
        self.recording.as_mut().map(|recording| &mut recording.tape)
    }
}

impl Pair<'_> {
    /// What was said goes on in order, at once unless one before it is waited for.
    pub(crate) fn pass_audio(
        &mut self,
        payload: &[u8],
        sequence: u16,
        clock: &Clock,
        now: Instant,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let mut arranged = self.speaker.receive.arrange(sequence, payload, now);
        if arranged == Arranged::Full {
            self.pass_held(true, clock, now, wire);
            arranged = self.speaker.receive.arrange(sequence, payload, now);
        }
        match arranged {
            Arranged::Now { lost } => self.speak(payload, lost, clock, now, wire),
            Arranged::Late => self.count_dropped(Dropped::Late, wire),
            Arranged::Held | Arranged::Full => {}
        }
        self.pass_held(false, clock, now, wire);
    }

    /// A key that was pressed goes to the listener if it agreed on events.
    pub(crate) fn pass_digit(
        &mut self,
        digit: &Digit,
        clock: &Clock,
        now: Instant,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let place = clock.frame(self.listener.phase, now);
        let sent = match self.listener.path() {
            Some(path) => self.listener.send.relay_digit(digit, place, &path, wire),
            None => Err(Dropped::TelephoneEvent),
        };
        if let Err(reason) = sent {
            self.count_dropped(reason, wire);
        }
    }

    /// Once a frame: puts in what the speaker did not send in time.
    pub(crate) fn fill(&mut self, clock: &Clock, now: Instant, wire: &mut Wire<'_, impl Out>) {
        self.pass_held(false, clock, now, wire);
        let Some(path) = self.listener.path() else {
            self.listener.send.pause();
            return;
        };
        let place = clock.frame(self.listener.phase, now);
        let law = self.speaker.codec().map_or(Law::A, |codec| codec.law);
        let table = g711::translation(law, path.codec.law);
        // Who waits in vain for one packet gets the ones behind it, not silence.
        if self.listener.send.starving(place, wire.counters) > 0 {
            self.pass_held(true, clock, now, wire);
        }
        for _ in 0..self.listener.send.starving(place, wire.counters) {
            let begun = self.speaker.receive.flush(law);
            if let (Some(tape), Some(frame)) = (&mut self.tape, &begun) {
                tape.hear(self.side, law, frame);
            }
            self.listener.send.insert(begun.as_ref(), table, &path, wire);
        }
    }

    fn pass_held(&mut self, all: bool, clock: &Clock, now: Instant, wire: &mut Wire<'_, impl Out>) {
        let mut payload = [0; PAYLOAD_MAX];
        while let Some((lost, length)) = self.speaker.receive.take(all, now, &mut payload) {
            self.speak(payload.get(..length).unwrap_or_default(), lost, clock, now, wire);
        }
    }

    /// To the listener, and to the tape whether or not the listener may be sent it.
    fn speak(
        &mut self,
        payload: &[u8],
        lost: u16,
        clock: &Clock,
        now: Instant,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let Self { speaker, listener, side, tape } = self;
        let Some(codec) = speaker.codec() else { return };
        let path = listener.path();
        let table = path.and_then(|path| g711::translation(codec.law, path.codec.law));
        let place = clock.frame(listener.phase, now);
        let mut ahead = 0;
        speaker.receive.frames(payload, lost, codec.law, |frame, kind| {
            if let Some(tape) = tape {
                tape.hear(*side, codec.law, frame);
            }
            if let Some(path) = &path {
                let sent = listener.send.relay(frame, kind, table, place, path, wire);
                ahead += u64::from(sent.is_err());
            }
        });
        (0..ahead).for_each(|_| self.count_dropped(Dropped::Ahead, wire));
    }

    fn count_dropped(&mut self, reason: Dropped, wire: &mut Wire<'_, impl Out>) {
        self.speaker.count_dropped();
        wire.counters.drop_packet(reason);
    }
}
