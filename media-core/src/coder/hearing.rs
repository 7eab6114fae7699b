//! What one far side says in packets that must be decoded: in order, in time, and whole where nothing came.
//!
//! Packets wait as they came, decoded when their time is there, so that a late one finds its place and the
//! one behind a hole can tell what stood in it. The distance to the source is kept as in
//! [`crate::jitter`], on samples. All times are in samples of 8 kHz.

use super::{
    echo::{self, Echo},
    queue::{Queue, Waiting, signed},
};
use crate::{
    codec::{
        g711, g722,
        opus::{self, OpusError},
    },
    conceal::{self, mix, narrow},
    frame::SAMPLES,
    jitter::{Delay, Kind, Order, Put, Speech, Surplus},
    order::{Coding, Law},
};

/// The receive side of a coder. Takes its memory when it is made.
#[derive(Debug)]
pub(crate) struct Hearing {
    decoder: Decoder,
    /// Samples while one passes at 8 kHz.
    factor: usize,
    queue: Queue,
    line: Option<Line>,
    /// Frames until the voice may be stretched or cut again.
    rest: u32,
    surplus: Surplus,
    echo: Echo,
    /// Made up since something was said.
    made: usize,
    /// Frames that were said to be made up since something was said.
    blamed: u64,
    /// Frames until nobody waits for what the packet behind a hole tells.
    waits: u32,
    /// Frames that never came and were told by the packet behind them.
    recovered: u64,
    excused: u64,
    /// Packets that were no packets of this codec.
    undecodable: u64,
    /// What was heard last, `past` samples of it, then what is decoded and was not heard.
    samples: Vec<i16>,
    past: usize,
    ready: usize,
}

/// Where the source's time line stands.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// Time stamp of what is decoded next.
    next: u32,
    /// One after the newest that came, how much came with it, and when.
    end: u32,
    packet: u32,
    arrival: u32,
    /// Made up while the line stood still.
    held: u32,
    heard: bool,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it lies in a box, and is never moved")]
enum Decoder {
    G711(Law),
    G722(g722::Decoder),
    L16,
    Opus(opus::Decoder),
}

impl Hearing {
    pub(super) fn new(coding: Coding) -> Result<Self, OpusError> {
        let rate = coding.rate();
        let (decoder, slot_bytes) = match coding {
            Coding::G711(law) => (Decoder::G711(law), 60 * 8),
            Coding::G722 => (Decoder::G722(g722::Decoder::new()), 60 * 8),
            // What is opaque has no coder, and nobody asks.
            Coding::L16(_) | Coding::Opaque(_) => (Decoder::L16, super::PAYLOAD_MAX),
            Coding::Opus(_) => (Decoder::Opus(opus::Decoder::new(rate)?), OPUS_BYTES_MAX),
        };
        let factor = rate.factor();
        let past = echo::past_samples(factor);
        Ok(Self {
            decoder,
            factor,
            queue: Queue::new(slot_bytes),
            line: None,
            rest: 0,
            surplus: Surplus::NONE,
            echo: Echo::new(factor),
            made: 0,
            blamed: 0,
            waits: 0,
            recovered: 0,
            excused: 0,
            undecodable: 0,
            samples: vec![0; past + (READY_MAX + PACKET_MAX) * factor],
            past,
            ready: 0,
        })
    }

    /// Nobody has heard anything of this source.
    pub(crate) fn forget(&mut self) {
        self.queue.forget();
        self.line = None;
        self.echo.stop();
        self.surplus = Surplus::NONE;
        (self.rest, self.ready, self.made, self.blamed, self.waits) = (0, 0, 0, 0, 0);
    }

    /// Another decoder speaks there, or the same from somewhere else: what it had come to is nothing to go
    /// on from.
    pub(crate) fn forget_decoded(&mut self) {
        self.decoder.forget();
    }

    /// How long a payload plays. None: no decoder would take it.
    pub(crate) fn duration(&self, payload: &[u8]) -> Option<u32> {
        let plays = match self.decoder {
            Decoder::G711(_) | Decoder::G722(_) => u32::try_from(payload.len()).ok()?,
            Decoder::L16 if payload.len().is_multiple_of(2 * self.factor) => {
                u32::try_from(payload.len() / 2 / self.factor).ok()?
            }
            Decoder::L16 => return None,
            Decoder::Opus(_) => opus::duration(payload)?,
        };
        (plays > 0 && payload.len() <= self.queue.payload_max()).then_some(plays)
    }

    /// Takes a packet in.
    pub(crate) fn put(&mut self, speech: &Speech<'_>, delay: &mut Delay) -> Put {
        let Some(duration) = self.duration(speech.payload) else { return Put::Late };
        let Speech { timestamp, payload, arrival, order } = *speech;
        let end = timestamp.wrapping_add(duration);
        let Some(line) = self.line else {
            self.begin(speech, duration, false);
            return Put::Kept;
        };
        let mut put = Put::Kept;
        let mut paused = false;
        match order {
            Order::First => {
                self.begin_anew(speech, duration, line, delay);
                return Put::Kept;
            }
            Order::Behind if signed(end, line.end) > 0 || !is_worth(duration, end, line.next) => {
                return Put::Late;
            }
            Order::Behind => {}
            Order::Next { lost } => {
                let gap = signed(timestamp, line.end);
                let elapsed = arrival.wrapping_sub(line.arrival).cast_signed();
                if gap < 0 || gap > elapsed.saturating_add(JUMP) {
                    self.begin_anew(speech, duration, line, delay);
                    return Put::Kept;
                }
                paused = lost == 0 && gap > 0;
                if lost > 0 && self.tells_of_before(payload) {
                    self.waits = WAITS;
                }
                self.line = Some(Line { end, packet: duration, arrival, ..line });
                if self.make_room() {
                    put = Put::Crowded;
                }
            }
        }
        if self.queue.put(timestamp, duration, paused, payload) { put } else { Put::Crowded }
    }

    /// The frame that is due, whatever is there. `target`: how long packets wait.
    pub(crate) fn take(&mut self, delay: &Delay, target: u32, now: u32, frame: &mut [i16]) -> Kind {
        self.rest = self.rest.saturating_sub(1);
        self.waits = self.waits.saturating_sub(1);
        let Some(line) = self.line else {
            frame.fill(0);
            return Kind::Silent;
        };
        let target = self.patient(target);
        let spare = self.waited(delay, now).unwrap_or(0).saturating_sub(target.cast_signed());
        let there = self.there(&line);
        let left = there.saturating_sub(SAMPLES).min(conceal::PERIOD_MAX);
        let last = self.last_packet(&line, SAMPLES + left);
        let waits = delay.waited(last, now) < target.cast_signed() - ROUNDED;
        // The packet behind has to wait a little, what is left of the one before has not.
        let rest = there.saturating_sub(SAMPLES) % line.packet.max(1) as usize;
        let surplus = self.surplus.take(if waits { left.min(rest) } else { left });
        let mut made_up = 0;
        if spare < -SLACK && (there == 0 || !line.heard) {
            // It may still come: the distance grows by what is made up.
            made_up = frame.len();
            self.stand(frame.len());
        } else {
            self.jump_long_hole();
            if there >= SAMPLES && self.rest == 0 {
                if spare < -SLACK {
                    self.say_again();
                } else if spare > EXCESS || self.waiting() > FULL {
                    self.cut(conceal::PERIOD_MAX, spare > GROSS);
                } else if let Some(surplus) = surplus {
                    self.cut(surplus, false);
                }
            }
        }
        while self.ready < frame.len() {
            made_up += self.decode_next(frame.len() - self.ready);
        }
        self.hand_over(frame);
        let kind = self.kind(made_up, frame.len());
        self.blamed += u64::from(kind == Kind::Concealed);
        kind
    }

    /// Frames that counted as made up before a packet said that nothing was said there. Asked once.
    pub(crate) fn take_excused(&mut self) -> u64 {
        std::mem::take(&mut self.excused)
    }

    /// Where packets are lost and the one behind tells of them, that one is waited for.
    const fn patient(&self, target: u32) -> u32 {
        match self.line {
            Some(line) if self.waits > 0 => target + line.packet,
            Some(_) | None => target,
        }
    }

    fn tells_of_before(&self, payload: &[u8]) -> bool {
        matches!(self.decoder, Decoder::Opus(_)) && opus::has_redundancy(payload)
    }

    /// How long from now on until the frame that is next has waited as long as it needs; none if nothing
    /// has come yet.
    pub(crate) fn next_due(&self, delay: &Delay, target: u32, now: u32) -> Option<u32> {
        let (target, waited) = (self.patient(target), self.waited(delay, now)?);
        Some(u32::try_from(target.cast_signed().saturating_sub(waited)).unwrap_or(0))
    }

    pub(crate) const fn recovered(&self) -> u64 {
        self.recovered
    }

    pub(crate) const fn undecodable(&self) -> u64 {
        self.undecodable
    }

    fn begin(&mut self, speech: &Speech<'_>, duration: u32, heard: bool) {
        let Speech { timestamp, payload, arrival, .. } = *speech;
        self.queue.forget();
        let end = timestamp.wrapping_add(duration);
        let line = Line { next: timestamp, end, packet: duration, arrival, held: 0, heard };
        self.line = Some(line);
        self.queue.put(timestamp, duration, false, payload);
    }

    /// Another time line: what was decoded is still heard, what waits is forgotten.
    fn begin_anew(&mut self, speech: &Speech<'_>, duration: u32, line: Line, delay: &mut Delay) {
        delay.restart(speech.timestamp, speech.arrival);
        self.begin(speech, duration, line.heard);
        self.decoder.forget();
    }

    /// How long what is heard next could have been here.
    fn waited(&self, delay: &Delay, now: u32) -> Option<i32> {
        let line = self.line?;
        Some(delay.waited(self.last_packet(&line, SAMPLES), now))
    }

    /// The time stamp of the last packet of which so many samples need something.
    fn last_packet(&self, line: &Line, samples: usize) -> u32 {
        let needs = samples.saturating_sub(self.ready / self.factor);
        match u32::try_from(needs) {
            Ok(needs @ 1..) => line.next.wrapping_add((needs - 1) / line.packet * line.packet),
            Ok(0) | Err(_) => self.cursor(line),
        }
    }

    /// Time stamp of what is heard next.
    fn cursor(&self, line: &Line) -> u32 {
        line.next.wrapping_sub(low(self.ready / self.factor))
    }

    /// What is there without a hole.
    fn there(&self, line: &Line) -> usize {
        self.ready / self.factor + self.queue.run_from(line.next) as usize
    }

    fn waiting(&self) -> usize {
        let waits = self.line.map_or(0, |line| signed(line.end, self.cursor(&line)));
        usize::try_from(waits).unwrap_or(0)
    }

    /// Drops the oldest that waits until the rest fits. True: somebody misses it.
    fn make_room(&mut self) -> bool {
        let over = self.waiting().saturating_sub(CAPACITY);
        let Some(line) = self.line.as_mut().filter(|_| over > 0) else { return false };
        line.next = line.next.wrapping_add(low(over));
        let had = self.queue.run_from(line.next.wrapping_sub(low(over))) > 0;
        self.queue.drop_before(line.next);
        had
    }

    /// Of a gap 60 ms are made up, those included that were while nothing came.
    fn jump_long_hole(&mut self) {
        let Some(line) = &mut self.line else { return };
        let Some(next) = self.queue.first_after(line.next).filter(|next| !next.paused) else {
            return;
        };
        let hole = u32::try_from(signed(next.timestamp, line.next)).unwrap_or(0);
        let left = hole.saturating_sub(line.held);
        let over = left.saturating_sub(low(conceal::MUTE).saturating_sub(line.held));
        line.next = line.next.wrapping_add(over);
    }

    /// Decodes or makes up at least one sample, `need` of them if that is no more trouble; how many were made up.
    fn decode_next(&mut self, need: usize) -> usize {
        let Some(line) = self.line else {
            return self.silence(need);
        };
        match self.queue.first_after(line.next) {
            Some(next) if signed(next.timestamp, line.next) <= 0 => {
                self.decode(&next, line);
                0
            }
            Some(next) => self.fill_hole(&next, line, need),
            None => {
                let length = self.make_up(need);
                self.hold(length);
                length
            }
        }
    }

    fn decode(&mut self, next: &Waiting, line: Line) {
        let from = self.past + self.ready;
        let room = self.samples.get_mut(from..).unwrap_or_default();
        let payload = self.queue.payload(next);
        let decoded = self.decoder.decode(payload, room, next.duration as usize * self.factor);
        self.queue.drop_before(next.end());
        let Some(length) = decoded else {
            // A hole like any other: it is made up.
            self.undecodable += 1;
            return;
        };
        // Its beginning may have been made up already.
        let behind = usize::try_from(signed(line.next, next.timestamp)).unwrap_or(0) * self.factor;
        let behind = behind.min(length);
        self.samples.copy_within(from + behind..from + length, from);
        if self.echo.is_busy() {
            let said = self.samples.get_mut(from..from + length - behind).unwrap_or_default();
            self.echo.end(said);
        }
        self.ready += length - behind;
        (self.made, self.blamed) = (0, 0);
        self.line = Some(Line { next: next.end(), held: 0, heard: true, ..line });
    }

    /// What is missing before a packet that is there.
    fn fill_hole(&mut self, next: &Waiting, line: Line, need: usize) -> usize {
        let hole = u32::try_from(signed(next.timestamp, line.next)).unwrap_or(0);
        let behind = hole.min(line.held);
        if behind > 0 {
            if next.paused {
                self.excused += std::mem::take(&mut self.blamed);
            }
            let next = line.next.wrapping_add(behind);
            self.line = Some(Line { next, held: line.held - behind, ..line });
            return 0;
        }
        if next.paused {
            self.excused += std::mem::take(&mut self.blamed);
            let length = self.pause(need.min(hole as usize * self.factor));
            self.advance(length);
            return 0;
        }
        if self.recover(next, hole) {
            self.advance(hole as usize * self.factor);
            self.recovered += 1;
            self.made = 0;
            return 0;
        }
        let length = self.make_up(need.min(hole as usize * self.factor));
        self.advance(length);
        length
    }

    /// What the packet behind a hole tells of it.
    fn recover(&mut self, next: &Waiting, hole: u32) -> bool {
        let length = hole as usize * self.factor;
        let fits = hole <= next.duration && hole.is_multiple_of(GRAIN);
        let fits = fits && self.tells_of_before(self.queue.payload(next));
        let from = self.past + self.ready;
        let room = self.samples.get_mut(from..from + length);
        let (Some(room), Decoder::Opus(decoder), true) = (room, &mut self.decoder, fits) else {
            return false;
        };
        let recovered = decoder.recover(self.queue.payload(next), room);
        if recovered {
            self.ready += length;
        }
        recovered
    }

    /// The sender said nothing on purpose.
    fn pause(&mut self, need: usize) -> usize {
        let need = need.max(self.factor);
        match &self.decoder {
            Decoder::Opus(_) => self.background(need),
            Decoder::G711(_) | Decoder::G722(_) | Decoder::L16 => self.silence(need),
        }
    }

    /// Something that never came; how much of it.
    fn make_up(&mut self, need: usize) -> usize {
        let need = need.max(self.factor);
        let heard = self.line.is_some_and(|line| line.heard);
        let mute = self.made / self.factor;
        let length = match &self.decoder {
            _ if !heard => return self.silence(need),
            // Who pauses on purpose tells its background every 400 ms (RFC 7587 §3.1.3), and libopus knows it.
            Decoder::Opus(_) if mute < BACKGROUND => self.background(need),
            Decoder::G711(_) | Decoder::G722(_) | Decoder::L16 if mute < conceal::MUTE => {
                self.echo(need)
            }
            Decoder::G711(_) | Decoder::G722(_) | Decoder::L16 | Decoder::Opus(_) => {
                return self.silence(need);
            }
        };
        self.made = self.made.saturating_add(length);
        length
    }

    /// What libopus makes up: the voice, or the background if that was all.
    fn background(&mut self, need: usize) -> usize {
        let grain = GRAIN as usize * self.factor;
        let length = need.next_multiple_of(grain).min(SAMPLES * self.factor);
        let from = self.past + self.ready;
        let Decoder::Opus(decoder) = &mut self.decoder else { return self.silence(need) };
        let room = self.samples.get_mut(from..from + length);
        let Some(room) = room.filter(|_| length > 0) else { return self.silence(need) };
        if !decoder.conceal(room) {
            return self.silence(need);
        }
        // A voice that stands still is a tone: what is no background fades after 60 ms like any other.
        if self.made >= conceal::MUTE * self.factor && !is_quiet(room) {
            for (sample, place) in room.iter_mut().zip(0..) {
                *sample = narrow(mix((*sample).into(), 0, place, length));
            }
            self.made = BACKGROUND * self.factor;
        }
        self.ready += length;
        length
    }

    fn echo(&mut self, need: usize) -> usize {
        let from = self.past + self.ready;
        let middle = from.min(self.samples.len());
        let (said, room) = self.samples.split_at_mut(middle);
        if !self.echo.is_busy() {
            self.echo.begin(said);
        }
        let need = need.min(room.len());
        self.echo.go_on(room.get_mut(..need).unwrap_or_default());
        self.ready += need;
        need
    }

    fn silence(&mut self, need: usize) -> usize {
        let from = self.past + self.ready;
        let need = need.min(self.samples.len().saturating_sub(from));
        self.samples.get_mut(from..from + need).unwrap_or_default().fill(0);
        self.ready += need;
        need
    }

    /// A frame is made up while the line stands still.
    fn stand(&mut self, length: usize) {
        while self.ready < length {
            let made = self.make_up(length - self.ready);
            self.hold(made);
        }
    }

    fn hold(&mut self, samples: usize) {
        if let Some(line) = &mut self.line {
            line.held = line.held.saturating_add(low(samples / self.factor));
        }
    }

    fn advance(&mut self, samples: usize) {
        if let Some(line) = &mut self.line {
            line.next = line.next.wrapping_add(low(samples / self.factor));
        }
    }

    fn hand_over(&mut self, frame: &mut [i16]) {
        let length = frame.len().min(self.ready);
        let from = self.past..self.past + length;
        if let Some(heard) = self.samples.get(from).filter(|heard| heard.len() == frame.len()) {
            frame.copy_from_slice(heard);
        }
        self.ready -= length;
        self.samples.copy_within(length..self.past + length + self.ready, 0);
    }

    fn kind(&self, made_up: usize, of: usize) -> Kind {
        if made_up < of / 2 {
            Kind::Said
        } else if self.made == 0 || self.made >= conceal::MUTE * self.factor {
            Kind::Silent
        } else {
            Kind::Concealed
        }
    }

    /// Says a period of what was heard last once more: it begins as what comes and ends as it was.
    fn say_again(&mut self) {
        if !self.line.is_some_and(|line| line.heard) || !self.decode_ahead(COMPARED) {
            return;
        }
        let Some(period) = self.fitting(conceal::PERIOD_MAX, false, |past, shift| past - shift)
        else {
            return;
        };
        let back = self.past - period;
        self.fade(self.past, back, period);
        let end = self.past + self.ready;
        self.samples.copy_within(..end, period);
        self.ready += period;
        self.rest = REST;
    }

    /// Leaves a period of `longest` at most out: what comes fades into what comes a period later. `at_any_rate`:
    /// also where one will hear it.
    fn cut(&mut self, longest: usize, at_any_rate: bool) {
        if self.echo.is_busy() || !self.decode_ahead(SAMPLES + longest) {
            return;
        }
        let fitting = self.fitting(longest, at_any_rate, |past, shift| past + shift);
        let Some(period) = fitting else { return };
        self.fade(self.past, self.past + period, period);
        let end = self.past + self.ready;
        self.samples.copy_within(self.past + period..end, self.past);
        self.ready -= period;
        self.rest = if at_any_rate { 1 } else { REST };
    }

    /// Decodes what is there without a hole until so much is ready. False: there is less.
    fn decode_ahead(&mut self, samples: usize) -> bool {
        let wanted = samples * self.factor;
        while self.ready < wanted {
            let Some(line) = self.line else { return false };
            let next = self.queue.first_after(line.next);
            let Some(next) = next.filter(|next| signed(next.timestamp, line.next) <= 0) else {
                return false;
            };
            self.decode(&next, line);
        }
        true
    }

    /// Writes to `to` what begins as what lies at `from` and ends as what lay there.
    fn fade(&mut self, from: usize, to: usize, length: usize) {
        let sample = |samples: &[i16], at: usize| samples.get(at).copied().map_or(0, i32::from);
        for n in 0..length {
            let (first, last) = (sample(&self.samples, from + n), sample(&self.samples, to + n));
            if let Some(place) = self.samples.get_mut(to + n) {
                *place = narrow(mix(first, last, n + 1, length + 1));
            }
        }
    }

    /// The shift at which what lies there is most like what comes next; none if no shift is like enough
    /// to go unnoticed.
    fn fitting(
        &mut self,
        longest: usize,
        at_any_rate: bool,
        shifted: impl Fn(usize, usize) -> usize,
    ) -> Option<usize> {
        self.rest = LOOK_AGAIN;
        let here = self.samples.get(self.past..self.past + COMPARED * self.factor)?;
        let likeness = |shift: usize| {
            let there = self.samples.get(shifted(self.past, shift)..).unwrap_or_default();
            echo::likeness(here, there, 2 * self.factor)
        };
        let shifts = (conceal::PERIOD_MIN..=longest).step_by(2);
        let all = shifts.map(|shift| shift * self.factor).map(|shift| (likeness(shift), shift));
        let best = all.max_by(|one, other| one.0.total_cmp(&other.0))?;
        (best.0 >= ALIKE || at_any_rate || is_quiet(here)).then_some(best.1)
    }
}

impl Decoder {
    /// A packet to samples; how many. None: it is no packet of this codec.
    fn decode(&mut self, payload: &[u8], samples: &mut [i16], length: usize) -> Option<usize> {
        match self {
            Self::G711(law) => {
                for (sample, code) in samples.iter_mut().zip(payload) {
                    *sample = g711::decode(*law, *code);
                }
            }
            Self::G722(decoder) => decoder.decode(payload, samples),
            Self::L16 => {
                for (sample, bytes) in samples.iter_mut().zip(payload.as_chunks::<2>().0) {
                    *sample = i16::from_be_bytes(*bytes);
                }
            }
            Self::Opus(decoder) => {
                let decoded = decoder.decode(payload, samples)?;
                return (decoded == length).then_some(length);
            }
        }
        (length <= samples.len()).then_some(length)
    }

    fn forget(&mut self) {
        match self {
            Self::Opus(decoder) => decoder.forget(),
            Self::G722(decoder) => *decoder = g722::Decoder::new(),
            Self::G711(_) | Self::L16 => {}
        }
    }
}

/// Something of a packet behind others can still be heard, and it does not cost more to decode than that.
fn is_worth(duration: u32, end: u32, next: u32) -> bool {
    let left = u32::try_from(signed(end, next)).unwrap_or(0);
    left > 0 && (left >= duration / 2 || duration <= low(SAMPLES))
}

/// Softer than a whisper: on average below -45 dB of full scale.
fn is_quiet(samples: &[i16]) -> bool {
    let loudness: u32 = samples.iter().map(|sample| u32::from(sample.unsigned_abs())).sum();
    loudness < QUIET * low(samples.len())
}

fn low(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// libopus works in steps of 2.5 ms.
const GRAIN: u32 = 20;

/// What libopus makes up of a background before it is silence: 1 s.
const BACKGROUND: usize = 8_000;

/// Frames after a loss for which the packet behind a hole is waited for: 10 s.
const WAITS: u32 = 500;

/// RFC 6716 §3.4: the longest frame.
const OPUS_BYTES_MAX: usize = 1_275;

/// What may be decoded ahead, and the longest packet, 120 ms.
const READY_MAX: usize = 960;
const PACKET_MAX: usize = 960;

/// What may wait: 400 ms, and when it is time to cut.
const CAPACITY: usize = 3_200;
const FULL: usize = 2_880;

/// As in [`crate::jitter`]: a jump of the time line; the distance too small, too great, far too great; on which millisecond
/// a frame is taken.
const JUMP: i32 = 1_600;
const SLACK: i32 = 40;
const EXCESS: i32 = 200;
const GROSS: i32 = 800;
const ROUNDED: i32 = 8;

/// Samples that are compared, a correlation of 0.7 squared, the average magnitude of what nobody misses,
/// frames between two changes and until the next look.
const COMPARED: usize = 120;
const ALIKE: f32 = 0.49;
const QUIET: u32 = 180;
const REST: u32 = 10;
const LOOK_AGAIN: u32 = 2;

#[cfg(test)]
mod tests;
