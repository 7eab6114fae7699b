//! Talks of more than two: who comes and goes, and the frames they hear.

use super::{Engine, Out};
use crate::{
    clock::Clock,
    digits::{Key, Pressed},
    frame::{FRAME_MS, SAMPLES},
    jitter::Kind,
    leg::{Mode, send::Wire},
    order::{LegName, Role, Source, TalkName},
    record::Side,
    room::{Mix, pack, unpack},
};
use std::time::Instant;

impl Engine {
    /// Somebody joins a talk, or takes part in it in another way.
    pub(super) fn join_room(&mut self, name: TalkName, leg: LegName, role: Role, now: Instant) {
        let Some(talk) = self.talks.slot(name.0) else {
            return self.refuse(leg, "join: no such talk");
        };
        let Some(slot) = self.legs.slot(leg.0) else {
            return self.refuse(leg, "join: no such leg");
        };
        if let Role::Whispers { to } = role {
            let there = self.legs.slot(to.0).and_then(|to| self.talk_of(to)) == Some(talk);
            if to == leg || !there {
                return self.refuse(leg, "join: whom it whispers to is not in the talk");
            }
        }
        let two = self.two_of(talk);
        if two.contains(&Some(slot)) {
            return self.refuse(leg, "join: this leg is one of the talk's two");
        }
        if self.talk_of(slot).is_some_and(|other| other != talk) {
            return self.refuse(leg, "join: this leg is in another talk");
        }
        let room = self.talks.get_mut(talk).map(|talk| &mut talk.room);
        // Room for the two is kept: they may be parted at the moment.
        let full = room.is_some_and(|room| {
            let joined = room.parties().filter(|(at, _)| !two.contains(&Some(*at)));
            !room.has(slot) && joined.count() + 2 >= crate::room::PARTIES_MAX
        });
        if full {
            return self.refuse(leg, "join: 32 are in this talk, which is the most");
        }
        for slot in two.into_iter().flatten() {
            if self.talk_of(slot) == Some(talk) {
                self.enter_room(talk, slot, Role::Speaks, now);
            }
        }
        if self.talk_of(slot).is_none() {
            self.begin_to_hear(slot, now);
        }
        self.enter_room(talk, slot, role, now);
    }

    /// One who has joined goes again.
    pub(super) fn leave_room(&mut self, name: LegName, hears: Source) {
        let Some(slot) = self.legs.slot(name.0) else {
            return self.refuse(name, "leave: no such leg");
        };
        let Some(Mode::Room { talk }) = self.legs.get_mut(slot).map(|leg| leg.mode) else {
            return self.refuse(name, "leave: this leg has joined no talk");
        };
        if self.two_of(talk).contains(&Some(slot)) {
            return self.refuse(name, "leave: one of the talk's two; part the talk");
        }
        self.leave(slot);
        self.listen(slot, hears);
    }

    /// Takes a leg into the room of its talk. What waits of its voice is not lost.
    pub(super) fn enter_room(&mut self, talk: usize, slot: usize, role: Role, now: Instant) {
        let Some(room) = self.talks.get_mut(talk).map(|talk| &mut talk.room) else { return };
        let before = room.parties().find(|(at, _)| *at == slot).map(|(_, role)| role);
        let entered = room.enter(slot, role);
        let Some(leg) = self.legs.get_mut(slot).filter(|_| entered) else { return };
        if leg.mode == (Mode::Room { talk }) {
            if before != Some(role) {
                // What was said to one is not for all, nor what still waits of it.
                leg.receive.forget();
                leg.voice.forget();
            }
            return;
        }
        leg.mode = Mode::Room { talk };
        let name = leg.name;
        self.place_voice(slot, now);
        if let Some(talk) = self.talks.get_mut(talk)
            && [talk.caller, talk.other].contains(&name)
            && let Some(tape) = talk.tape()
        {
            tape.joined();
        }
    }

    /// Sets the grid on which what a leg says is taken: a frame is taken as soon as it needs to wait no
    /// longer. Who has said nothing yet is given one with their first packet.
    pub(super) fn place_voice(&mut self, slot: usize, now: Instant) {
        self.stop_voice(slot);
        let Some(leg) = self.legs.get_mut(slot) else { return };
        let due = leg.receive.next_due(self.clock.samples(now));
        let ahead_ms = due.map_or(0, |samples| samples.div_ceil(8));
        let phase = (self.clock.millis(now) + u64::from(ahead_ms)) % FRAME_MS;
        leg.voice.begin(phase, due.is_some());
        self.due_voices.add(phase, slot);
    }

    /// Takes a leg out of a room. Where only the two are left they are a bridge again.
    pub(super) fn go_out(&mut self, talk: usize, slot: usize) {
        let two = self.two_of(talk);
        let Some(state) = self.talks.get_mut(talk) else { return };
        state.room.leave(slot);
        let only_two = state.room.parties().all(|(at, _)| two.contains(&Some(at)));
        let left = [0, 1].map(|n| two.get(n).copied().flatten().filter(|at| state.room.has(*at)));
        self.stop_voice(slot);
        // A key that went down while they were a bridge may be held by who goes.
        let all = self.talks.get_mut(talk).map(|talk| talk.room);
        for (other, _) in all.iter().flat_map(|room| room.parties()) {
            if let Some(leg) = self.legs.get_mut(other) {
                leg.send.let_go();
            }
        }
        if !only_two {
            return;
        }
        if let Some(state) = self.talks.get_mut(talk) {
            state.room = crate::room::Room::EMPTY;
        }
        match left {
            [Some(caller), Some(other)] => {
                for (leg, peer, side) in
                    [(caller, other, Side::Caller), (other, caller, Side::Other)]
                {
                    self.stop_voice(leg);
                    if let Some(leg) = self.legs.get_mut(leg) {
                        leg.mode = Mode::Bridged { peer, talk, side };
                    }
                }
                if let Some(tape) = self.talks.get_mut(talk).and_then(|talk| talk.tape()) {
                    tape.joined();
                }
            }
            // Who of the two is alone hears nothing, as after a bridge.
            alone => {
                for leg in alone.into_iter().flatten() {
                    self.stop_voice(leg);
                    self.listen(leg, Source::Silence);
                }
            }
        }
    }

    /// The talk is over for all who have joined it.
    pub(super) fn empty_room(&mut self, talk: usize) {
        while let Some((slot, _)) =
            self.talks.get_mut(talk).and_then(|talk| talk.room.parties().next())
        {
            self.leave(slot);
        }
    }

    /// Takes what those of this phase say.
    pub(super) fn take_voices(&mut self, phase: u64, now: Instant) {
        let samples = self.clock.samples(now);
        let mut n = 0;
        while let Some(slot) = self.due_voices.get(phase, n) {
            n += 1;
            let Self { clock, legs, talks, counters, .. } = self;
            let Some(leg) = legs.get_mut(slot) else { continue };
            let (Mode::Room { talk }, Some(codec)) = (leg.mode, leg.codec()) else { continue };
            let mut packed = [0; SAMPLES];
            let (due, missed) = leg.voice.due(clock.frame(phase, now));
            if let Some(talk) = talks.get_mut(talk)
                && talk.caller == leg.name
                && let Some(tape) = talk.tape()
            {
                tape.miss(missed, counters);
            }
            for place in due {
                let kind = leg.receive.next_by_clock(codec.law, samples, &mut packed);
                counters.frames_concealed += u64::from(kind == Kind::Concealed);
                leg.voice.say(place, unpack(codec.law, &packed));
                if let Some(talk) = talks.get_mut(talk)
                    && talk.caller == leg.name
                    && let Some(tape) = talk.tape()
                {
                    tape.hear(Side::Caller, codec.law, &packed, place, now, counters);
                }
            }
        }
    }

    /// Sends a leg what it hears of the others, or a key in its place.
    pub(super) fn feed_from_room(
        &mut self,
        slot: usize,
        talk: usize,
        now: Instant,
        out: &mut impl Out,
    ) {
        let Self { clock, legs, talks, counters, .. } = self;
        let Some(state) = talks.get_mut(talk) else { return };
        let Some(leg) = legs.get_mut(slot) else { return };
        let Some(codec) = leg.codec() else { return leg.send.pause(counters) };
        let (phase, path) = (leg.phase, leg.path());
        let now_place = clock.frame(phase, now);
        for _ in 0..leg.send.due_mixed(now_place, counters) {
            let Some(leg) = legs.get_mut(slot) else { return };
            let mut wire = Wire { out, counters };
            if leg.send.tell_next(path.as_ref(), now_place, &mut wire) {
                continue;
            }
            let place = leg.send.place().unwrap_or(now_place);
            let ms = u64::try_from(Clock::begin_us(phase, place) / 1000).unwrap_or(0);
            let mut mix = Mix::NOTHING;
            for speaker in state.room.heard_by(slot, leg.name) {
                if let Some(frame) = legs.get_mut(speaker).and_then(|leg| leg.voice.at(ms)) {
                    mix.add(frame);
                }
            }
            let Some(leg) = legs.get_mut(slot) else { return };
            let packed = pack(codec.law, &mix.limited(&mut leg.gain));
            if state.caller == leg.name
                && let Some(tape) = state.tape()
            {
                tape.hear(Side::Other, codec.law, &packed, place, now, counters);
            }
            let mut wire = Wire { out, counters };
            leg.send.relay(&packed, Kind::Said, None, now_place, path.as_ref(), &mut wire);
        }
    }

    /// A key that one has pressed is told all who hear that one, speak and can be told. Once it is up: two
    /// may press at once, and who goes with a key down has pressed none.
    pub(super) fn pass_key_round(&mut self, talk: usize, from: usize, key: Key) {
        let Key::Up(Pressed { digit, duration, .. }) = key else { return };
        let room = self.talks.get_mut(talk).map(|talk| talk.room);
        let Some(room) = room else { return };
        for (slot, role) in room.parties() {
            let Some(leg) = self.legs.get_mut(slot) else { continue };
            let hears = room.heard_by(slot, leg.name).any(|speaker| speaker == from);
            if hears && role == Role::Speaks && leg.takes_keys() {
                leg.send.pass_pressed(digit, duration, &mut self.counters);
            }
        }
    }

    /// Slots of the two a talk was made for, as far as they are open.
    fn two_of(&mut self, talk: usize) -> [Option<usize>; 2] {
        let Some(talk) = self.talks.get_mut(talk) else { return [None; 2] };
        [talk.caller, talk.other].map(|name| self.legs.slot(name.0))
    }

    fn begin_to_hear(&mut self, slot: usize, now: Instant) {
        if let Some(leg) = self.legs.get_mut(slot) {
            leg.receive.forget();
            leg.send.stop_keys(&mut self.counters);
            leg.vigil.bridged(Some(now));
        }
    }

    fn stop_voice(&mut self, slot: usize) {
        if let Some(leg) = self.legs.get_mut(slot) {
            self.due_voices.remove(leg.voice.phase, slot);
        }
    }
}
