//! Talks of more than two: who comes and goes, and the frames they hear.

use super::{Engine, Out, slots::Slots};
use crate::{
    clock::Clock,
    digits::{Key, Pressed},
    frame::{FRAME_MS, Frame, Rate, SAMPLES, SAMPLES_MAX, SILENCE},
    jitter::Kind,
    leg::{Leg, Mode, send::Wire},
    order::{Codec, Law, LegName, PromptEnd, Role, Source, TalkName},
    record::Side,
    room::{Mix, RAMP, Room, Taken, pack},
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
                leg.forget_heard();
                leg.forget_said();
                self.align(talk);
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
        self.align(talk);
    }

    /// Sets the grid on which each in a room is spoken to: a frame leaves when the last of those it is made of has
    /// been taken, and the others have waited least, or a little later where many are spoken to already. None leaves twice or late by more than a frame: the stream's
    /// place in time stays what it is.
    pub(super) fn align(&mut self, talk: usize) {
        let Some(room) = self.talks.get_mut(talk).map(|talk| talk.room) else { return };
        for (slot, _) in room.parties() {
            let Some((name, phase)) = self.legs.get_mut(slot).map(|leg| (leg.name, leg.phase))
            else {
                continue;
            };
            let mut taken = Taken::default();
            for speaker in room.heard_by(slot, name) {
                if let Some(voice) = self.legs.get_mut(speaker).map(|leg| &leg.voice) {
                    taken.add(voice);
                }
            }
            let others = |at| self.due_legs.count(at) - usize::from(at == phase);
            if let Some(better) = taken.better(phase, others) {
                self.set_phase(slot, better);
            }
        }
    }

    /// Speaks to a leg at another millisecond of the frame. What is due already by that leaves with the next tick.
    fn set_phase(&mut self, slot: usize, phase: u64) {
        let Some(leg) = self.legs.get_mut(slot) else { return };
        self.due_legs.remove(leg.phase, slot);
        leg.phase = phase;
        self.due_legs.add(phase, slot);
        if !self.arrived.contains(&slot) {
            self.arrived.push(slot);
        }
    }

    /// Sets the grid on which what a leg says is taken: a frame is taken as soon as it needs to wait no
    /// longer. Who has said nothing yet is given one with their first packet.
    pub(super) fn place_voice(&mut self, slot: usize, now: Instant) {
        self.stop_voice(slot);
        let Some(leg) = self.legs.get_mut(slot) else { return };
        let due = leg.next_due(self.clock.samples(now));
        let ahead_ms = due.map_or(0, |samples| samples.div_ceil(8));
        let phase = (self.clock.millis(now) + u64::from(ahead_ms)) % FRAME_MS;
        leg.forget_said();
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
            return self.align(talk);
        }
        match left {
            [Some(_), Some(_)] if self.needs_room(left) => self.align(talk),
            [Some(caller), Some(other)] => self.become_bridge(talk, [caller, other]),
            // Who of the two is alone hears nothing, as after a bridge.
            alone => {
                if let Some(state) = self.talks.get_mut(talk) {
                    state.room = Room::EMPTY;
                }
                for leg in alone.into_iter().flatten() {
                    self.stop_voice(leg);
                    self.listen(leg, Source::Silence);
                }
            }
        }
    }

    /// The two are alone, and each other's frames are theirs.
    fn become_bridge(&mut self, talk: usize, [caller, other]: [usize; 2]) {
        let Some(state) = self.talks.get_mut(talk) else { return };
        if state.room.len() == 0 {
            return;
        }
        state.room = Room::EMPTY;
        if let Some(tape) = state.tape() {
            tape.joined();
        }
        for (leg, peer, side) in [(caller, other, Side::Caller), (other, caller, Side::Other)] {
            self.stop_voice(leg);
            if let Some(leg) = self.legs.get_mut(leg) {
                leg.mode = Mode::Bridged { peer, talk, side };
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
            let Mode::Room { talk } = leg.mode else { continue };
            let (due, missed) = leg.voice.due(clock.frame(phase, now));
            if let Some(talk) = talks.get_mut(talk)
                && talk.caller == leg.name
                && let Some(tape) = talk.tape()
            {
                tape.miss(missed, counters);
            }
            for place in due {
                let said = self.legs.get_mut(slot).and_then(|leg| leg.say(place, samples));
                let Some((frame, kind)) = said else { break };
                self.counters.frames_concealed += u64::from(kind == Kind::Concealed);
                let hushed = self.take_said_tones(slot, &frame, kind, now);
                let Self { legs, talks, counters, .. } = self;
                let Some(leg) = legs.get_mut(slot) else { break };
                if hushed {
                    leg.unsay(place);
                }
                let frame = if hushed { SILENCE } else { frame };
                if let Some(talk) = talks.get_mut(talk)
                    && talk.caller == leg.name
                    && let Some(tape) = talk.tape()
                {
                    let law = leg.law().unwrap_or(TAPE_LAW);
                    tape.hear(Side::Caller, law, &pack(law, &frame), place, now, counters);
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
        if leg.codec().is_none_or(Codec::is_opaque) {
            return leg.pause(counters);
        }
        let (phase, path) = (leg.phase, leg.path());
        let now_place = clock.frame(phase, now);
        for _ in 0..leg.send.due_mixed(now_place, counters) {
            let Some(leg) = legs.get_mut(slot) else { return };
            let mut wire = Wire { out, counters };
            if leg.tell_next(path.as_ref(), now_place, &mut wire) {
                continue;
            }
            let place = leg.send.place().unwrap_or(now_place);
            let ms = u64::try_from(Clock::begin_us(phase, place) / 1000).unwrap_or(0);
            let mut wire = Wire { out, counters };
            let (law, packed) = match leg.law() {
                Some(law) => {
                    let frame = hear_narrow(&state.room, legs, slot, ms);
                    let silent = is_silent(&frame, &state.room, legs, slot, ms);
                    let packed = pack(law, &frame);
                    let Some(leg) = legs.get_mut(slot) else { return };
                    leg.send.pass_mixed(&packed, silent, now_place, path.as_ref(), &mut wire);
                    (law, packed)
                }
                None => {
                    let mut frame = [0; SAMPLES_MAX];
                    let length = hear_wide(&state.room, legs, slot, ms, &mut frame);
                    let frame = frame.get(..length).unwrap_or_default();
                    let Some(leg) = legs.get_mut(slot) else { return };
                    leg.speak(frame, now_place, path.as_ref(), &mut wire);
                    if state.caller != leg.name || state.recording.is_none() {
                        continue;
                    }
                    // The same mix for the tape: what it is made softer by has been decided for this frame.
                    let gain = leg.gain;
                    let narrow = hear_narrow(&state.room, legs, slot, ms);
                    let Some(leg) = legs.get_mut(slot) else { return };
                    leg.gain = gain;
                    (TAPE_LAW, pack(TAPE_LAW, &narrow))
                }
            };
            if let Some(leg) = legs.get_mut(slot)
                && state.caller == leg.name
                && let Some(tape) = state.tape()
            {
                tape.hear(Side::Other, law, &packed, place, now, counters);
            }
        }
    }

    /// The other party of a talk that is a room of two who hear each other.
    pub(super) fn only_other(&mut self, talk: usize, slot: usize) -> Option<usize> {
        let room = &self.talks.get_mut(talk)?.room;
        let mut parties = room.parties();
        let two = [parties.next()?, parties.next()?];
        let both_speak = two.iter().all(|(_, role)| *role == Role::Speaks);
        let alone = parties.next().is_none() && both_speak;
        let other = two.iter().map(|(at, _)| *at).find(|at| *at != slot)?;
        (alone && room.has(slot)).then_some(other)
    }

    /// Two whose frames need no coder are a bridge; all others are a room.
    pub(super) fn settle(&mut self, talk: usize, now: Instant) {
        let two = self.two_of(talk);
        let [Some(caller), Some(other)] = two else { return };
        if [caller, other].iter().any(|slot| self.talk_of(*slot) != Some(talk)) {
            return;
        }
        let joined = self.talks.get_mut(talk).map_or(0, |talk| {
            talk.room.parties().filter(|(at, _)| ![caller, other].contains(at)).count()
        });
        if joined > 0 || self.needs_room(two) {
            for slot in [caller, other] {
                self.enter_room(talk, slot, Role::Speaks, now);
            }
        } else {
            self.become_bridge(talk, [caller, other]);
        }
    }

    /// Somebody has a coder, or one of them speaks what the other does not and nobody here reads: nothing of
    /// that may get into anybody's ear.
    fn needs_room(&mut self, two: [Option<usize>; 2]) -> bool {
        let mut legs = two.into_iter().flatten();
        let mut next = || {
            let leg = self.legs.get_mut(legs.next()?)?;
            Some((leg.coder.is_some(), leg.opaque()))
        };
        let (one, other) = (next(), next());
        let opaque = |leg: Option<(bool, _)>| leg.and_then(|(_, opaque)| opaque);
        let coded = [one, other].into_iter().flatten().any(|(coded, _)| coded);
        coded || opaque(one) != opaque(other)
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
            if !hears || role != Role::Speaks {
                continue;
            }
            if leg.takes_keys() {
                leg.send.pass_pressed(digit, duration, &mut self.counters);
            } else if leg.can_be_told() {
                let name = leg.name;
                self.tell_above(name, digit, duration);
            }
        }
    }

    /// Slots of the two a talk was made for, as far as they are open.
    fn two_of(&mut self, talk: usize) -> [Option<usize>; 2] {
        let Some(talk) = self.talks.get_mut(talk) else { return [None; 2] };
        [talk.caller, talk.other].map(|name| self.legs.slot(name.0))
    }

    fn begin_to_hear(&mut self, slot: usize, now: Instant) {
        self.end_prompts(slot, PromptEnd::Left);
        if let Some(leg) = self.legs.get_mut(slot) {
            leg.forget_heard();
            leg.send.stop_keys(&mut self.counters);
            leg.vigil.bridged(Some(now));
        }
    }

    pub(super) fn stop_voice(&mut self, slot: usize) {
        if let Some(leg) = self.legs.get_mut(slot) {
            self.due_voices.remove(leg.voice.phase, slot);
        }
    }
}

/// What a party of G.711 hears at this millisecond.
fn hear_narrow(room: &Room, legs: &mut Slots<Leg>, slot: usize, ms: u64) -> Frame {
    let mut mix = Mix::<SAMPLES>::NOTHING;
    let Some((name, mut gain)) = legs.get_mut(slot).map(|leg| (leg.name, leg.gain)) else {
        return SILENCE;
    };
    for speaker in room.heard_by(slot, name) {
        if let Some(frame) = legs.get_mut(speaker).and_then(|leg| leg.voice.at(ms)) {
            mix.add(frame);
        }
    }
    let frame = mix.limited(&mut gain);
    if let Some(leg) = legs.get_mut(slot) {
        leg.gain = gain;
    }
    frame
}

/// What a party with a coder hears, at its own rate: voices of each rate are added up as they are and brought to it
/// once. Gives how many samples.
fn hear_wide(
    room: &Room,
    legs: &mut Slots<Leg>,
    slot: usize,
    ms: u64,
    frame: &mut [i16; SAMPLES_MAX],
) -> usize {
    let known = legs.get_mut(slot).and_then(|leg| Some((leg.name, leg.coder.as_ref()?.rate())));
    let Some((name, rate)) = known else { return 0 };
    let mut mixes = RATES.map(|_| Mix::<SAMPLES_MAX>::NOTHING);
    for speaker in room.heard_by(slot, name) {
        let Some(leg) = legs.get_mut(speaker) else { continue };
        let Some(place) = leg.voice.heard_at(ms) else { continue };
        let (spoken, voice) = match &mut leg.coder {
            Some(coder) => {
                let spoken = coder.rate();
                (spoken, coder.said.at(place).map(<[i16; SAMPLES_MAX]>::as_slice))
            }
            None => (Rate::Hz8000, leg.voice.at(ms).map(<[i16; SAMPLES]>::as_slice)),
        };
        let mix = RATES.iter().zip(&mut mixes).find(|(rate, _)| **rate == spoken);
        if let (Some((_, mix)), Some(voice)) = (mix, voice) {
            mix.add(voice.get(..spoken.samples()).unwrap_or_default());
        }
    }
    let mut sum = Mix::<SAMPLES_MAX>::NOTHING;
    let Some(leg) = legs.get_mut(slot) else { return 0 };
    let Some(coder) = &mut leg.coder else { return 0 };
    for (from, mix) in RATES.into_iter().zip(&mixes) {
        if from == rate {
            sum.add_sum(mix);
            continue;
        }
        let (mut voice, mut brought) = ([0; SAMPLES_MAX], [0; SAMPLES_MAX]);
        mix.halved(&mut voice);
        let voice = voice.get(..from.samples()).unwrap_or_default();
        if coder.widen(from, mix.voices() > 0, voice, &mut brought) {
            sum.add_doubled(&brought, mix.voices());
        }
    }
    let ramp = RAMP * i32::try_from(rate.factor()).unwrap_or(1);
    sum.limit(&mut leg.gain, ramp, frame.get_mut(..rate.samples()).unwrap_or_default());
    rate.samples()
}

/// Nobody whom this party hears says anything at this millisecond, nor has a background: A-law has no word for
/// nothing but plus and minus eight. What somebody says is not judged, however soft it is.
fn is_silent(frame: &Frame, room: &Room, legs: &mut Slots<Leg>, slot: usize, ms: u64) -> bool {
    let Some(name) = legs.get_mut(slot).map(|leg| leg.name) else { return true };
    let mut heard = 0;
    for speaker in room.heard_by(slot, name) {
        if legs.get_mut(speaker).is_some_and(|leg| leg.voice.says_at(ms)) {
            return false;
        }
        heard += 1;
    }
    frame.iter().all(|sample| sample.unsigned_abs() <= 8 * heard)
}

const RATES: [Rate; 3] = [Rate::Hz8000, Rate::Hz16000, Rate::Hz48000];

/// How what is not said in G.711 lies on a recording's way.
const TAPE_LAW: Law = Law::A;
