//! How orders change the engine. One that cannot be carried out is said so, and changes nothing.

use super::{Ending, Engine, Farewell, SCRAP_MAX, phase_of};
use crate::{
    coder::{Coder, Command, Scrap},
    leg::{Agreed, Leg, Mode},
    order::{
        By, Digits, Event, LegName, LegReport, Order, PortName, PromptEnd, Remote, Source, Stream,
        TalkName,
    },
    record::{Side, Tape},
    room::Room,
    session::{Recording, Talk},
};
use std::time::{Duration, Instant};

impl Engine {
    /// Carries out one order, whole. Legal at any instant, whatever came before. What an order needs besides itself
    /// is made by [`Command::equip`].
    pub fn handle_order(&mut self, command: impl Into<Command>, now: Instant) {
        let Command { order, coder, srtp } = command.into();
        match order {
            Order::Open { leg, port, stream, talk: _ } => self.open(leg, port, stream),
            Order::Connect { leg, remote, codec, telephone_event, sends, receives } => {
                let agreed = Agreed { codec, telephone_event, sends, receives };
                self.connect(leg, remote, agreed, coder, now);
            }
            Order::Renew { leg, remote, telephone_event, sends, receives } => {
                self.renew(leg, remote, telephone_event, (sends, receives), now);
            }
            Order::Comfort { leg, sends } => match self.leg_mut(leg) {
                Some(leg) => leg.comforts = sends,
                None => self.refuse(leg, "comfort: no such leg"),
            },
            Order::Rate { leg, tells } => match self.leg_mut(leg) {
                Some(leg) => leg.rate(tells),
                None => self.refuse(leg, "rate: no such leg"),
            },
            Order::Secure { leg, keys } => self.secure(leg, keys, srtp),
            Order::Hear { leg, source } => self.hear(leg, source),
            Order::Bridge { talk, caller, other, record } => {
                self.bridge(talk, caller, other, record, now);
            }
            Order::Part { talk, caller_hears, other_hears } => {
                self.part(talk, caller_hears, other_hears);
            }
            Order::Join { talk, leg, role } => self.join_room(talk, leg, role, now),
            Order::Leave { leg, hears } => self.leave_room(leg, hears),
            Order::Play { leg, prompt, tune, on_digit } => self.play(leg, prompt, tune, on_digit),
            Order::StopPrompts { leg } => self.stop_prompts(leg),
            Order::Digits { leg, digits } => self.tell_digits(leg, &digits),
            Order::RecordPause { talk } => self.on_tape(talk, |tape| tape.pause(now)),
            Order::RecordResume { talk } => self.on_tape(talk, |tape| tape.resume(now)),
            Order::Keys { leg, hears_tones, told_by, masked } => {
                self.set_keys(leg, hears_tones, told_by, masked, now);
            }
            Order::Pressed { leg, digit, duration } => {
                self.take_pressed(leg, digit, duration, now);
            }
            Order::EndTalk { talk } => self.end_talk(talk, now),
            Order::Close { leg } => self.close(leg, now),
        }
    }

    fn open(&mut self, name: LegName, port: PortName, stream: Stream) {
        if port.0 & 1 != 0 {
            return self.refuse(name, "open: a pair begins with an even port");
        }
        if self.ports.slot(port).is_some() {
            return self.refuse(name, "open: this port is in use");
        }
        if self.legs.slot(name.0).is_some() {
            return self.refuse(name, "open: this leg is open");
        }
        if self.legs.len() + self.events.legs() >= self.legs_max {
            return self.refuse(name, "open: no room for another leg");
        }
        let phase = self.due_legs.lightest();
        let Some(slot) = self.legs.insert(name.0, Leg::new(name, port, phase, stream)) else {
            return self.refuse(name, "open: no room for another leg");
        };
        self.ports.set(port, Some(slot));
        self.due_legs.add(phase, slot);
    }

    fn connect(
        &mut self,
        name: LegName,
        remote: Remote,
        agreed: Agreed,
        coder: Option<Box<Coder>>,
        now: Instant,
    ) {
        let codec = coder.as_ref().map(|coder| coder.codec());
        let Some(slot) = self.legs.slot(name.0) else {
            self.throw_away(coder);
            return self.refuse(name, "connect: no such leg");
        };
        if codec != Some(agreed.codec).filter(|codec| codec.needs_coder()) {
            self.throw_away(coder);
            return self.refuse(name, "connect: not the coder of this codec");
        }
        let Some(leg) = self.legs.get_mut(slot) else { return };
        let left_over = leg.connect(remote, agreed, coder, now);
        if let Some(coder) = &mut leg.coder {
            coder.set_effort(self.effort);
        }
        self.throw_away(left_over);
        if let Some(talk) = self.talk_of(slot) {
            self.settle(talk, now);
        }
    }

    fn renew(
        &mut self,
        name: LegName,
        remote: Remote,
        telephone_event: Option<u8>,
        (sends, receives): (bool, bool),
        now: Instant,
    ) {
        let Some(slot) = self.legs.slot(name.0) else {
            return self.refuse(name, "renew: no such leg");
        };
        let leg = self.legs.get_mut(slot).and_then(|leg| Some((leg.codec()?, leg)));
        let Some((codec, leg)) = leg else {
            return self.refuse(name, "renew: this leg was never connected");
        };
        leg.renew(remote, Agreed { codec, telephone_event, sends, receives }, now);
        if let Some(talk) = self.talk_of(slot) {
            self.settle(talk, now);
        }
    }

    /// Memory is given back elsewhere.
    pub(super) fn throw_away(&mut self, coder: Option<Box<Coder>>) {
        self.throw(coder.map(Scrap::Coder));
    }

    pub(super) fn throw(&mut self, scrap: Option<Scrap>) {
        if self.scrap.len() < SCRAP_MAX {
            self.scrap.extend(scrap);
        }
    }

    fn hear(&mut self, name: LegName, source: Source) {
        let Some(slot) = self.legs.slot(name.0) else {
            return self.refuse(name, "hear: no such leg");
        };
        if self.talk_of(slot).is_some() {
            return self
                .refuse(name, "hear: this leg is in a talk; part the talk or let it leave first");
        }
        self.listen(slot, source);
    }

    fn tell_digits(&mut self, name: LegName, digits: &Digits) {
        match self.leg_mut(name) {
            None => self.refuse(name, "digits: no such leg"),
            Some(leg) if leg.keys.told_by == By::Signalling => {
                digits.iter().for_each(|digit| self.tell_above(name, digit, HELD));
            }
            Some(leg) if !leg.takes_keys() => {
                self.refuse(name, "digits: the far side agreed on no way to hear them");
            }
            Some(leg) => {
                if !leg.send.tell(digits) {
                    self.refuse(name, "digits: more than may wait");
                }
            }
        }
    }

    fn bridge(
        &mut self,
        name: TalkName,
        caller: LegName,
        other: LegName,
        record: bool,
        now: Instant,
    ) {
        let slots = (self.legs.slot(caller.0), self.legs.slot(other.0));
        let (caller_slot, other_slot) = match slots {
            (Some(one), Some(two)) if one != two => (one, two),
            (Some(_), Some(_)) => return self.refuse(caller, "bridge: a leg with itself"),
            (None, _) => return self.refuse(caller, "bridge: no such caller's leg"),
            (_, None) => return self.refuse(other, "bridge: no such other leg"),
        };
        let Some(talk) = self.talk(name, caller, other) else {
            return self.refuse(caller, "bridge: no room for another talk");
        };
        self.separate(talk);
        self.leave(caller_slot);
        self.leave(other_slot);
        self.join(caller_slot, other_slot, talk, Side::Caller, now);
        self.join(other_slot, caller_slot, talk, Side::Other, now);
        if let Some(state) = self.talks.get_mut(talk) {
            (state.caller, state.other) = (caller, other);
        }
        self.settle(talk, now);
        if let Some(state) = self.talks.get_mut(talk) {
            if let Some(tape) = state.tape() {
                tape.joined();
            }
            if record && state.recording.is_none() {
                let phase = phase_of(&self.clock, now);
                state.recording = Some(Recording { tape: Tape::new(name, now), phase });
                self.due_talks.add(phase, talk);
            }
        }
        self.tell(Event::Bridged { talk: name, at: now });
    }

    fn part(&mut self, name: TalkName, caller_hears: Source, other_hears: Source) {
        let slot = self.talks.slot(name.0);
        let Some((slot, talk)) = slot.and_then(|slot| Some((slot, self.talks.get_mut(slot)?)))
        else {
            // There is no leg to name: zero is never given to one.
            return self.refuse(LegName(0), "part: no such talk");
        };
        let (caller, other) = (talk.caller, talk.other);
        self.separate(slot);
        for (name, source) in [(caller, caller_hears), (other, other_hears)] {
            // One that has closed, or that meets somebody else by now, is left alone.
            if let Some(leg) = self.legs.slot(name.0)
                && self.talk_of(leg).is_none()
            {
                self.listen(leg, source);
            }
        }
    }

    fn on_tape(&mut self, name: TalkName, order: impl FnOnce(&mut Tape)) {
        let talk = self.talks.slot(name.0).and_then(|slot| self.talks.get_mut(slot));
        match talk.and_then(Talk::tape) {
            Some(tape) => order(tape),
            // There is no leg to name: zero is never given to one.
            None => self.refuse(LegName(0), "record: this talk is not recorded"),
        }
    }

    fn end_talk(&mut self, name: TalkName, now: Instant) {
        let Some(slot) = self.talks.slot(name.0) else {
            return self.tell(Event::TalkEnded { talk: name, at: now, recorded: None });
        };
        self.separate(slot);
        self.empty_room(slot);
        let Some((_, talk)) = self.talks.remove(name.0) else { return };
        let recorded = talk.recording.map(|Recording { tape, phase }| {
            self.due_talks.remove(phase, slot);
            let recorded = tape.recorded(now);
            if self.endings.len() >= self.talks_max {
                self.endings.pop_front();
                self.counters.recordings_unfinished += 1;
            }
            self.endings.push_back(Ending { tape, frames: recorded.frames });
            recorded
        });
        self.events.talk(Event::TalkEnded { talk: name, at: now, recorded });
    }

    fn close(&mut self, name: LegName, now: Instant) {
        let Some(slot) = self.legs.slot(name.0) else {
            return self.tell(Event::Closed { leg: name, report: LegReport::default() });
        };
        self.leave(slot);
        self.end_prompts(slot, PromptEnd::Left);
        let Some((_, mut leg)) = self.legs.remove(name.0) else { return };
        leg.receive.settle(&mut self.counters);
        leg.send.stop_keys(&mut self.counters);
        self.ports.set(leg.port, None);
        self.due_legs.remove(leg.phase, slot);
        let last = leg.farewell(&self.cname, &self.clock, now);
        if let Some((to, mut compound)) = last
            && self.farewells.len() < self.legs_max
            && self.securities.protect_farewell(leg.port, &mut compound)
        {
            self.farewells.push(Farewell { port: leg.port, to, compound });
        }
        let srtp = self.securities.take(leg.port);
        self.throw(srtp.map(Scrap::Srtp));
        self.events.leg(Event::Closed { leg: name, report: leg.report() });
        self.throw_away(leg.coder.take());
    }

    /// The slot of this talk, a new one if it has none.
    fn talk(&mut self, name: TalkName, caller: LegName, other: LegName) -> Option<usize> {
        if let Some(slot) = self.talks.slot(name.0) {
            return Some(slot);
        }
        if self.talks.len() + self.events.talks() >= self.talks_max {
            return None;
        }
        self.talks.insert(name.0, Talk { caller, other, recording: None, room: Room::EMPTY })
    }

    /// Ends the bridge of a talk, if there is one. Who has joined stays.
    fn separate(&mut self, talk: usize) {
        let Some(state) = self.talks.get_mut(talk) else { return };
        for name in [state.caller, state.other] {
            let leg = self.legs.slot(name.0);
            if let Some(leg) = leg.filter(|leg| self.talk_of(*leg) == Some(talk)) {
                self.leave(leg);
            }
        }
    }

    /// Takes a leg out of its talk, if it is in one. It hears silence, and so does the other of a
    /// bridge.
    pub(super) fn leave(&mut self, leg: usize) {
        match self.legs.get_mut(leg).map(|leg| leg.mode) {
            Some(Mode::Bridged { peer, .. }) => {
                self.listen(leg, Source::Silence);
                self.listen(peer, Source::Silence);
            }
            Some(Mode::Room { talk }) => {
                self.go_out(talk, leg);
                self.listen(leg, Source::Silence);
            }
            Some(Mode::Hear(_)) | None => {}
        }
    }

    /// The talk a leg is in.
    pub(super) fn talk_of(&mut self, leg: usize) -> Option<usize> {
        match self.legs.get_mut(leg)?.mode {
            Mode::Bridged { talk, .. } | Mode::Room { talk } => Some(talk),
            Mode::Hear(_) => None,
        }
    }

    fn join(&mut self, leg: usize, peer: usize, talk: usize, side: Side, now: Instant) {
        self.end_prompts(leg, PromptEnd::Left);
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.forget_heard();
            leg.send.stop_keys(&mut self.counters);
            leg.vigil.bridged(Some(now));
            leg.mode = Mode::Bridged { peer, talk, side };
        }
    }

    pub(super) fn listen(&mut self, leg: usize, source: Source) {
        let known = match source {
            Source::Music(tune) => usize::from(tune.0) < self.tunes.len(),
            Source::Nothing | Source::Silence => true,
        };
        let Some(leg) = self.legs.get_mut(leg) else { return };
        leg.forget_heard();
        if leg.mode != Mode::Hear(source) {
            leg.send.stop_keys(&mut self.counters);
        }
        leg.vigil.bridged(None);
        leg.mode = Mode::Hear(source);
        let name = leg.name;
        if !known {
            self.refuse(name, "hear: no such tune, silence instead");
        }
    }

    pub(super) fn leg_mut(&mut self, name: LegName) -> Option<&mut Leg> {
        let slot = self.legs.slot(name.0)?;
        self.legs.get_mut(slot)
    }

    pub(super) fn refuse(&mut self, leg: LegName, what: &'static str) {
        self.tell(Event::Refused { leg, what });
    }
}

/// How long a key of ours is held that somebody else tells.
const HELD: Duration = Duration::from_millis(100);
