//! A source's audio in order and in time: what came early waits, what never came is made up.
//!
//! Samples lie in a ring by time stamp, so packets of any length, out of order or twice fall into
//! their place. On an even network nothing waits: a frame leaves with the packet that completes
//! it. Where packets come late they are played by the listener's clock, behind the quickest by
//! what the late ones need ([`Delay`]); the distance is kept by saying a period of the voice once
//! more or once less.

mod delay;
mod presence;
mod stretch;
mod surplus;

use self::presence::Presence;
use crate::{
    codec::g711,
    comfort::Comfort,
    conceal::{self, Conceal, PERIOD_MAX},
    frame::{Packed, SAMPLES},
    order::Law,
};
pub(crate) use delay::Delay;
pub(crate) use surplus::Surplus;

/// What one source said and nobody heard yet. Allocates nothing. In the order of
/// [`crate::leg::Leg`]'s note.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Jitter {
    line: Option<Line>,
    /// Frames until the voice may be stretched or cut again.
    rest: u32,
    /// Frames in a row that left later than they need.
    excess: u32,
    surplus: Surplus,
    /// What is heard where nothing is left to be made up.
    comfort: Comfort,
    /// Frames made up where the source turned out to say nothing.
    paused: u32,
    /// By how many samples a pause may be longer than the time that has passed; used up by those that
    /// are, and given back by time. One budget for all that this leg hears, whatever begins anew.
    ahead: i32,
    conceal: Conceal,
    come: Presence,
    ring: [u8; ROOM],
}

/// Where a source's time line stands.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// Time stamp of the next sample to be heard.
    cursor: u32,
    /// One after the newest sample that came, and how many came with it.
    end: u32,
    packet: usize,
    /// When the newest packet came, in samples.
    arrival: u32,
    /// Samples made up while the cursor stood still.
    held: u32,
    /// Something of it was heard.
    heard: bool,
}

/// A packet of audio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speech<'a> {
    pub(crate) timestamp: u32,
    pub(crate) payload: &'a [u8],
    /// When it came, in samples of 8 kHz.
    pub(crate) arrival: u32,
    pub(crate) order: Order,
}

/// Where a packet stands among those of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// The first of a source, or of one that started anew.
    First,
    /// After all before it, so many of which are missing.
    Next { lost: u16 },
    /// Behind one that came before.
    Behind,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It is the next frame, whole, and nothing waits: it need not be kept.
    Passes,
    Kept,
    /// Its time has passed.
    Late,
    /// It is kept; something older had to make room.
    Crowded,
}

/// Whether a frame was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Said,
    /// Half of it or more was made up.
    Concealed,
    /// Nothing came for so long that nothing is left to be made up.
    Silent,
}

impl Jitter {
    pub(crate) const EMPTY: Self = Self {
        line: None,
        rest: 0,
        excess: 0,
        surplus: Surplus::NONE,
        comfort: Comfort::SILENCE,
        paused: 0,
        ahead: JUMP,
        conceal: Conceal::IDLE,
        come: Presence::NONE,
        ring: [0; ROOM],
    };

    /// Nobody has heard anything of this source.
    pub(crate) fn forget(&mut self) {
        self.paused = self.paused();
        self.come = Presence::NONE;
        self.line = None;
        self.conceal.stop();
        (self.rest, self.excess, self.surplus) = (0, 0, Surplus::NONE);
        self.comfort = Comfort::SILENCE;
    }

    /// What the source says of its background while it says nothing else (RFC 3389).
    pub(crate) fn take_comfort(&mut self, payload: &[u8]) {
        self.comfort.take(payload);
    }

    /// Takes a packet in. `at_once`: its frame may leave at once.
    pub(crate) fn put(
        &mut self,
        law: Law,
        speech: &Speech<'_>,
        delay: &mut Delay,
        at_once: bool,
    ) -> Put {
        let Speech { timestamp, payload, arrival, order } = *speech;
        let Some(line) = self.line else {
            self.start(law, speech, false);
            return Put::Kept;
        };
        let end = timestamp.wrapping_add(low(payload.len()));
        let mut put = Put::Kept;
        let elapsed = arrival.wrapping_sub(line.arrival).cast_signed();
        let most = elapsed.saturating_add(self.ahead);
        if order != Order::Behind {
            self.ahead = most.clamp(0, JUMP);
        }
        match order {
            Order::First => {
                self.begin_anew(law, speech, delay);
                return Put::Kept;
            }
            Order::Behind => return self.fill_hole(line, timestamp, payload),
            Order::Next { lost } => {
                let gap = signed(timestamp, line.end);
                // Numbers without a hole: the sender itself said nothing for a while.
                let paused = lost == 0 && gap > 0;
                let most = if paused { most } else { elapsed.saturating_add(JUMP) };
                if gap < 0 || gap > most {
                    self.begin_anew(law, speech, delay);
                    return Put::Kept;
                }
                self.line = Some(Line { end, packet: payload.len(), arrival, ..line });
                if self.make_room() {
                    put = Put::Crowded;
                }
                if paused {
                    self.ahead = most.saturating_sub(gap).min(JUMP);
                    self.pause(law, line.end, timestamp);
                }
            }
        }
        self.write(timestamp, payload);
        if let Some(line) = &mut self.line
            && line.cursor == timestamp
            && payload.len() == SAMPLES
            && at_once
            && line.heard
            && delay.target() == 0
            && !self.conceal.is_busy()
        {
            (line.cursor, line.held) = (end, 0);
            return Put::Passes;
        }
        self.come.set(timestamp, payload.len());
        put
    }

    /// The next frame if nothing is missing before it, or if something behind it came.
    fn ready(&self) -> bool {
        self.waiting() >= SAMPLES
    }

    /// Samples between what was heard last and the newest.
    fn waiting(&self) -> usize {
        let waiting = self.line.map_or(0, |line| signed(line.end, line.cursor));
        usize::try_from(waiting).unwrap_or(0)
    }

    /// Frames leave as they come: what is ready, in order. None: the next is not there.
    pub(crate) fn next_at_once(
        &mut self,
        law: Law,
        delay: &Delay,
        now: u32,
        frame: &mut Packed,
    ) -> Option<Kind> {
        self.jump_long_hole();
        if !self.ready() {
            return None;
        }
        // A source whose clock is fast, or one that was waited for: what need not wait should not.
        let waited = self.line.map_or(0, |line| delay.waited(line.cursor, now));
        self.excess = if waited > EXCESS { self.excess.saturating_add(1) } else { 0 };
        if waited > EXCESS && self.rest == 0 {
            // Where no place fits for seconds, in noise, one that will be heard is better.
            let at_any_rate = self.excess > PATIENCE;
            self.cut(law, PERIOD_MAX, at_any_rate);
            if at_any_rate {
                self.excess = PATIENCE - stretch::REST;
            }
        }
        Some(self.build(law, frame))
    }

    /// The frame that is due by the listener's clock, whatever is there. `target`: how long packets wait,
    /// in samples.
    pub(crate) fn next_in_time(
        &mut self,
        law: Law,
        delay: &Delay,
        target: u32,
        now: u32,
        frame: &mut Packed,
    ) -> Kind {
        let Some(line) = self.line else { return self.build(law, frame) };
        // How much longer than needed the next sample has waited.
        let last = line.cursor.wrapping_add(self.last_packet(SAMPLES));
        let spare = delay.waited(last, now).saturating_sub(target.cast_signed());
        let here = self.come.run(line.cursor, SAMPLES + PERIOD_MAX, true);
        let left = here.saturating_sub(SAMPLES);
        let last = line.cursor.wrapping_add(self.last_packet(SAMPLES + left));
        let waits = delay.waited(last, now) < target.cast_signed() - ROUNDED;
        // The packet behind has to wait a little, what is left of the one before has not.
        let rest = self.waiting().saturating_sub(SAMPLES) % line.packet.max(1);
        let surplus = self.surplus.take(if waits { left.min(rest) } else { left });
        if spare < -SLACK && (here == 0 || !line.heard) {
            // It may still come: the distance grows by what is made up.
            return self.stand(law, frame);
        }
        if here >= SAMPLES && self.rest == 0 {
            if spare < -SLACK {
                self.say_again(law);
            } else if spare > EXCESS || self.waiting() > CAPACITY - 2 * SAMPLES {
                self.cut(law, PERIOD_MAX, spare > GROSS);
            } else if let Some(surplus) = surplus {
                self.cut(law, surplus, false);
            }
        }
        self.build(law, frame)
    }

    /// How long what is heard next could have been here; none if nothing has come.
    pub(crate) fn waited(&self, delay: &Delay, now: u32) -> Option<i32> {
        let line = self.line?;
        Some(delay.waited(line.cursor.wrapping_add(self.last_packet(SAMPLES)), now))
    }

    /// Nothing came in time: a frame is made up.
    fn stand(&mut self, law: Law, frame: &mut Packed) -> Kind {
        self.prepare(law, 0);
        for code in frame.iter_mut() {
            *code = self.make_up(law);
        }
        if let Some(line) = &mut self.line {
            line.held = line.held.saturating_add(low(SAMPLES));
        }
        self.kind(SAMPLES)
    }

    /// A frame's time passes unheard.
    pub(crate) fn leave_out(&mut self, law: Law, frame: &mut Packed) {
        if self.ready() {
            self.build(law, frame);
        } else if let Some(line) = &mut self.line {
            line.held = line.held.saturating_add(low(SAMPLES));
        }
    }

    /// True: nobody said anything lately that one would miss.
    pub(crate) fn is_quiet(&self, law: Law) -> bool {
        let Some(line) = self.line else { return true };
        let from = line.cursor.wrapping_sub(low(SAMPLES));
        is_quiet(law, (0..low(SAMPLES)).map(|n| at(&self.ring, from.wrapping_add(n))))
    }

    /// The time line of this packet begins.
    fn start(&mut self, law: Law, speech: &Speech<'_>, heard: bool) {
        let Speech { timestamp, payload, arrival, .. } = *speech;
        self.come = Presence::NONE;
        if !heard {
            let silence = [g711::silence(law)[0]; conceal::PAST];
            self.write(timestamp.wrapping_sub(low(conceal::PAST)), &silence);
        }
        let end = timestamp.wrapping_add(low(payload.len()));
        self.line =
            Some(Line { cursor: timestamp, end, packet: payload.len(), arrival, held: 0, heard });
        self.write(timestamp, payload);
        self.come.set(timestamp, payload.len());
    }

    /// Another time line: what was heard last is kept for making up, the rest is forgotten.
    fn begin_anew(&mut self, law: Law, speech: &Speech<'_>, delay: &mut Delay) {
        let Some(line) = self.line else { return };
        delay.restart(speech.timestamp, speech.arrival);
        let mut past = [0; conceal::PAST];
        self.read(line.cursor.wrapping_sub(low(conceal::PAST)), &mut past);
        self.write(speech.timestamp.wrapping_sub(low(conceal::PAST)), &past);
        self.start(law, speech, line.heard);
    }

    /// A packet behind others: what of it was not heard yet takes its place.
    fn fill_hole(&mut self, line: Line, timestamp: u32, payload: &[u8]) -> Put {
        let heard = usize::try_from(signed(line.cursor, timestamp)).unwrap_or(0);
        let end = timestamp.wrapping_add(low(payload.len()));
        match payload.get(heard..) {
            Some(rest) if !rest.is_empty() && signed(end, line.end) <= 0 => {
                let from = timestamp.wrapping_add(low(heard));
                self.write(from, rest);
                self.come.set(from, rest.len());
                Put::Kept
            }
            Some(_) | None => Put::Late,
        }
    }

    /// The sender said nothing up to this time stamp: that is silence, not loss. What of it was
    /// made up already need not be heard again.
    fn pause(&mut self, law: Law, from: u32, until: u32) {
        let Some(line) = self.line else { return };
        let from = if signed(from, line.cursor) < 0 { line.cursor } else { from };
        let length = usize::try_from(signed(until, from)).unwrap_or(0).min(CAPACITY);
        for n in 0..low(length) {
            let code = self.comfort.code(law);
            self.write_one(from.wrapping_add(n), code);
        }
        self.come.set(from, length);
        if line.cursor == from {
            self.paused = self.paused.saturating_add(made_up(line.held.min(low(length))));
            self.skip_held(length);
        }
    }

    /// Frames that were made up where the source said nothing, those included behind which nothing
    /// has come yet: who stops speaking has lost nothing.
    pub(crate) fn paused(&self) -> u32 {
        let held = self.line.filter(|line| line.heard).map_or(0, |line| line.held);
        self.paused.saturating_add(made_up(held))
    }

    /// Drops the oldest that waits until the rest fits. True: somebody misses it.
    fn make_room(&mut self) -> bool {
        let Some(line) = self.line else { return false };
        let over = self.waiting().saturating_sub(CAPACITY);
        if over == 0 {
            return false;
        }
        let missed = self.come.run(line.cursor, over.min(ROOM), false) < over.min(ROOM);
        self.skip(over);
        if let Some(line) = &mut self.line {
            line.held = line.held.saturating_sub(low(over));
        }
        missed
    }

    /// 160 samples from the cursor on; what is missing is made up.
    pub(crate) fn build(&mut self, law: Law, frame: &mut Packed) -> Kind {
        self.rest = self.rest.saturating_sub(1);
        let (mut filled, mut made_up) = (0, 0);
        while filled < SAMPLES {
            let rest = frame.get_mut(filled..).unwrap_or_default();
            let Some(line) = self.line else {
                rest.fill(g711::silence(law)[0]);
                return Kind::Silent;
            };
            let here = self.come.run(line.cursor, rest.len(), true);
            if here > 0 {
                let piece = rest.get_mut(..here).unwrap_or_default();
                self.read(line.cursor, piece);
                if self.conceal.is_busy() {
                    self.conceal.end(law, piece);
                }
                self.skip(here);
                if let Some(line) = &mut self.line {
                    (line.heard, line.held) = (true, 0);
                }
                filled += here;
                continue;
            }
            let hole = self.come.run(line.cursor, self.waiting(), false);
            if self.skip_held(hole) {
                continue;
            }
            let piece = if hole > 0 { hole.min(rest.len()) } else { rest.len() };
            self.prepare(law, hole);
            for n in 0..piece {
                let code = self.make_up(law);
                if let Some(place) = frame.get_mut(filled + n) {
                    *place = code;
                }
                if hole > 0 {
                    self.write_one(line.cursor.wrapping_add(low(n)), code);
                }
            }
            if hole > 0 {
                self.skip(piece);
            } else if let Some(line) = &mut self.line {
                line.held = line.held.saturating_add(low(piece));
            }
            filled += piece;
            made_up += piece;
        }
        self.kind(made_up)
    }

    fn kind(&self, made_up: usize) -> Kind {
        if made_up < SAMPLES / 2 {
            Kind::Said
        } else if self.conceal.is_mute() {
            Kind::Silent
        } else {
            Kind::Concealed
        }
    }

    /// Before something is made up. `hole`: how much of it lies before what has come; 0: nothing has.
    fn prepare(&mut self, law: Law, hole: usize) {
        let Some(line) = self.line.filter(|line| line.heard) else { return };
        let ring = &self.ring;
        if !self.conceal.is_busy() {
            let from = line.cursor.wrapping_sub(low(conceal::PAST));
            let said = (0..low(conceal::PAST)).map(|n| at(ring, from.wrapping_add(n)));
            self.conceal.begin(law, said);
        }
        if hole == 0 {
            self.conceal.miss();
        } else if self.conceal.left() != hole {
            let end = line.cursor.wrapping_add(low(hole));
            let there = self.come.run(end, conceal::LEAD, true);
            let come = (0..low(there)).map(|n| at(ring, end.wrapping_add(n)));
            self.conceal.meet(law, hole, come);
        }
    }

    fn make_up(&mut self, law: Law) -> u8 {
        if self.line.is_none_or(|line| !line.heard) {
            return g711::silence(law)[0];
        }
        if self.conceal.is_mute() {
            return self.comfort.code(law);
        }
        g711::encode(law, self.conceal.next())
    }

    /// Of a gap 60 ms are made up, those included that were while nothing came; what stands
    /// behind a longer one is heard then.
    fn jump_long_hole(&mut self) {
        let Some(line) = self.line else { return };
        let held = line.held as usize;
        let hole = self.come.run(line.cursor, self.waiting(), false);
        let left = hole.saturating_sub(held);
        self.skip(left.saturating_sub(conceal::MUTE.saturating_sub(held)));
    }

    /// Of a hole of this length what was made up while nothing came is behind us.
    fn skip_held(&mut self, hole: usize) -> bool {
        let Some(line) = &mut self.line else { return false };
        let behind = low(hole).min(line.held);
        line.held -= behind;
        self.skip(behind as usize);
        behind > 0
    }

    /// How far behind the cursor the last packet begins of which the next so many samples need something.
    fn last_packet(&self, samples: usize) -> u32 {
        let packet = self.line.map_or(SAMPLES, |line| line.packet).max(1);
        let next = self.waiting() % packet;
        if next >= samples { 0 } else { low(next + (samples - 1 - next) / packet * packet) }
    }

    fn skip(&mut self, samples: usize) {
        if let Some(line) = &mut self.line {
            self.come.clear(line.cursor, samples);
            line.cursor = line.cursor.wrapping_add(low(samples));
        }
    }

    fn write(&mut self, timestamp: u32, payload: &[u8]) {
        let from = timestamp as usize % ROOM;
        let (head, tail) = payload.split_at(payload.len().min(ROOM - from));
        copy(self.ring.get_mut(from..), head);
        copy(self.ring.get_mut(..), tail);
    }

    fn read(&self, timestamp: u32, into: &mut [u8]) {
        let from = timestamp as usize % ROOM;
        let (head, tail) = into.split_at_mut(into.len().min(ROOM - from));
        copy(Some(head), self.ring.get(from..).unwrap_or_default());
        copy(Some(tail), &self.ring);
    }

    fn write_one(&mut self, timestamp: u32, code: u8) {
        if let Some(place) = self.ring.get_mut(timestamp as usize % ROOM) {
            *place = code;
        }
    }
}

/// Softer than a whisper: on average below -45 dB of full scale.
pub(crate) fn is_quiet(law: Law, said: impl Iterator<Item = u8>) -> bool {
    let loudness: u32 = said.map(|code| u32::from(g711::decode(law, code).unsigned_abs())).sum();
    loudness < QUIET * low(SAMPLES)
}

fn copy(into: Option<&mut [u8]>, from: &[u8]) {
    let into = into.unwrap_or_default();
    let length = into.len().min(from.len());
    if let (Some(into), Some(from)) = (into.get_mut(..length), from.get(..length)) {
        into.copy_from_slice(from);
    }
}

fn at(ring: &[u8; ROOM], timestamp: u32) -> u8 {
    ring.get(timestamp as usize % ROOM).copied().unwrap_or_default()
}

/// Frames of so many samples in which nothing came that were made up; from the one on in which the
/// voice has faded away they were silent.
fn made_up(held: u32) -> u32 {
    held.min(low(conceal::MUTE - 1)) / low(SAMPLES)
}

/// How far one time stamp is ahead of another.
const fn signed(one: u32, other: u32) -> i32 {
    one.wrapping_sub(other).cast_signed()
}

/// A length within the ring.
fn low(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Samples of the ring: half a second, a power of two.
const ROOM: usize = 4_096;

/// Samples that may wait; the rest of the ring is what was heard last, for making up.
const CAPACITY: usize = ROOM - 512 - SAMPLES;

/// A time stamp this much further ahead than time has passed is a new time line: 200 ms.
const JUMP: i32 = 1_600;

/// The distance may be so much too small, 5 ms, or too great, 25 ms, before the voice is
/// stretched or cut; 100 ms too much is cut at every frame.
const SLACK: i32 = 40;
const EXCESS: i32 = 200;
const GROSS: i32 = 800;

/// A frame is taken on a millisecond, a little after it could be.
const ROUNDED: i32 = 8;

/// Frames that may leave too late before the voice is cut where one will hear it: 3 s.
const PATIENCE: u32 = 150;

/// Average magnitude, of 32,768.
const QUIET: u32 = 180;

#[cfg(test)]
mod tests;
