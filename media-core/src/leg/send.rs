//! The send half of a leg: one outgoing stream for its whole life, whatever feeds it.
//!
//! Same SSRC, sequence +1 for every packet, time stamp +160 for every frame. The stream keeps to
//! real time: `next` is the place, on the grid of the leg's phase, of the frame that leaves next.

use super::Digit;
use crate::{
    clock::Clock,
    codec::g711,
    counters::{Counters, Dropped},
    engine::{Channel, Out},
    frame::{Packed, SAMPLES, STEP},
    leg::receive::Frame,
    music::Tune,
    order::{Codec, PortName, Source, Stream},
    rtp::{
        header::{self, Header},
        rtcp::SenderInfo,
    },
};
use std::{net::SocketAddr, sync::Arc, time::Instant};

/// How audio leaves a leg.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) port: PortName,
    pub(crate) to: SocketAddr,
    pub(crate) codec: Codec,
    pub(crate) telephone_event: Option<u8>,
}

/// Where packets leave and are counted.
pub(crate) struct Wire<'a, O> {
    pub(crate) out: &'a mut O,
    pub(crate) counters: &'a mut Counters,
}

/// One outgoing stream.
#[derive(Clone, Debug)]
pub(crate) struct Send {
    /// Sequence and time stamp of the frame that leaves next.
    stream: Stream,
    /// The place in time of that frame. None: the clock stands, nothing is to be sent.
    next: Option<u64>,
    packets: u64,
    octets: u64,
    inserted: u64,
    /// Frames put in since the far side was last heard.
    starved: u32,
    digit: Option<Event>,
    packets_at_report: u64,
}

/// An RFC 4733 event on its way.
#[derive(Clone, Copy, Debug)]
struct Event {
    /// Its time stamp where it came from.
    theirs: u32,
    /// Its time stamp in our stream: when it began, held for all of its packets.
    ours: u32,
    /// When a packet of it was last sent, and how many within that frame.
    frame: u64,
    packets: u32,
}

impl Send {
    pub(crate) const fn new(stream: Stream) -> Self {
        Self {
            stream,
            next: None,
            packets: 0,
            octets: 0,
            inserted: 0,
            starved: 0,
            digit: None,
            packets_at_report: 0,
        }
    }

    pub(crate) const fn ssrc(&self) -> u32 {
        self.stream.ssrc
    }

    pub(crate) const fn packets(&self) -> u64 {
        self.packets
    }

    pub(crate) const fn inserted(&self) -> u64 {
        self.inserted
    }

    /// The far side wants nothing: the clock stands until it does, and the stream then goes on
    /// without a break in sequence or time stamp.
    pub(crate) const fn pause(&mut self) {
        self.next = None;
        self.digit = None;
        self.starved = 0;
    }

    /// Sends what is due by now of a source that is clocked here.
    pub(crate) fn play(
        &mut self,
        source: Source,
        tunes: &[Arc<Tune>],
        now: u64,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) {
        if source == Source::Nothing && self.packets == 0 {
            return;
        }
        self.digit = None;
        self.starved = 0;
        for _ in 0..self.lag(now, wire.counters).clamp(0, BURST_MAX) {
            let law = path.codec.law;
            let place = self.next.unwrap_or(now);
            let frame = match source {
                Source::Nothing | Source::Silence => g711::silence(law),
                Source::Music(tune) => tunes
                    .get(usize::from(tune.0))
                    .map_or_else(|| g711::silence(law), |tune| tune.frame(law, place)),
            };
            self.emit(frame, None, path, wire);
        }
    }

    /// Passes a frame on at once, unless the stream would run too far ahead of real time.
    pub(crate) fn relay(
        &mut self,
        frame: &Packed,
        kind: Frame,
        table: Option<&[u8; 256]>,
        now: u64,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) -> Result<(), Dropped> {
        let lead = -self.lag(now, wire.counters);
        match kind {
            // The room for what was said comes first.
            Frame::Missing if lead + 1 >= LEAD_MAX => return Ok(()),
            Frame::Missing => {
                self.inserted += 1;
                wire.counters.frames_inserted += 1;
            }
            Frame::Said if lead >= LEAD_MAX => return Err(Dropped::Ahead),
            Frame::Said => self.starved = 0,
        }
        self.emit(frame, table, path, wire);
        Ok(())
    }

    /// Frames to put in by now because the other side of a bridge sent too little. At first the
    /// lag that jitter needs is left alone; after 200 ms of nothing the stream catches up.
    pub(crate) fn starving(&mut self, now: u64, counters: &mut Counters) -> i64 {
        let lag = self.lag(now, counters);
        if self.digit.is_some_and(|digit| now.saturating_sub(digit.frame) <= EVENT_PAUSE_MAX) {
            (LAG_MAX..lag).for_each(|_| self.skip_frame());
            return 0;
        }
        let allowed = if self.starved < PATIENCE { LAG_MAX } else { 0 };
        (lag - allowed).clamp(0, 2)
    }

    /// Sends a frame in place of one that did not come: what was begun of it, or silence.
    pub(crate) fn insert(
        &mut self,
        begun: Option<&Packed>,
        table: Option<&[u8; 256]>,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) {
        self.inserted += 1;
        self.starved = self.starved.saturating_add(1);
        wire.counters.frames_inserted += 1;
        match begun {
            Some(frame) => self.emit(frame, table, path, wire),
            None => self.emit(g711::silence(path.codec.law), None, path, wire),
        }
    }

    /// Passes an event packet on in place of audio (RFC 4733 §2.5.1.2): the time stamp is that of
    /// the event's beginning, the marker stands on its first packet, and the time it covers is
    /// not filled with audio.
    pub(crate) fn relay_digit(
        &mut self,
        digit: &Digit,
        now: u64,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) -> Result<(), Dropped> {
        let payload_type = path.telephone_event.ok_or(Dropped::TelephoneEvent)?;
        self.lag(now, wire.counters);
        let known = self.digit.filter(|event| event.theirs == digit.timestamp);
        let packets =
            self.digit.filter(|event| event.frame == now).map_or(0, |event| event.packets);
        if packets >= EVENTS_PER_FRAME_MAX {
            return Err(Dropped::Ahead);
        }
        let ours = known.map_or(self.stream.timestamp, |event| event.ours);
        self.digit =
            Some(Event { theirs: digit.timestamp, ours, frame: now, packets: packets + 1 });
        let marker = known.is_none() || self.packets == 0;
        let header = self.header(payload_type, marker, ours);
        let mut bytes = [0; header::LENGTH + 4];
        fill(&mut bytes, &header, |payload| payload.copy_from_slice(&digit.event));
        self.hand_over(&bytes, path, wire);
        self.cover(digit, ours, now, wire.counters);
        Ok(())
    }

    /// What the stream has come to (RFC 3550 §6.4.1); none if nothing left since the last report.
    pub(crate) fn info(&mut self, phase: u64, clock: &Clock, now: Instant) -> Option<SenderInfo> {
        let next = self.next?;
        if self.packets == self.packets_at_report {
            return None;
        }
        self.packets_at_report = self.packets;
        let ahead_us = Clock::begin_us(phase, next) - clock.micros(now).cast_signed();
        let ahead = i32::try_from(ahead_us / 125).unwrap_or_default();
        Some(SenderInfo {
            ntp: clock.ntp(now),
            timestamp: self.stream.timestamp.wrapping_sub(ahead.cast_unsigned()),
            packets: crate::clock::low_half(self.packets),
            octets: crate::clock::low_half(self.octets),
        })
    }

    /// Frames due by `now` that have not left; negative while ahead. Starts the clock if it
    /// stands. After a stall of this thread time is skipped, not made up for in a burst.
    fn lag(&mut self, now: u64, counters: &mut Counters) -> i64 {
        let next = *self.next.get_or_insert(now);
        let lag = now.cast_signed() + 1 - next.cast_signed();
        if lag > STALL {
            self.next = Some(now);
            counters.stalls += 1;
            return 1;
        }
        lag
    }

    /// Lets the time an event covers pass, up to the lead that audio may have too.
    fn cover(&mut self, digit: &Digit, ours: u32, now: u64, counters: &mut Counters) {
        let [_, _, high, low] = digit.event;
        let duration = u32::from(u16::from_be_bytes([high, low]));
        while self.stream.timestamp.wrapping_sub(ours) < duration
            && -self.lag(now, counters) < LEAD_MAX
        {
            self.skip_frame();
        }
    }

    fn skip_frame(&mut self) {
        self.next = self.next.map(|next| next + 1);
        self.stream.timestamp = self.stream.timestamp.wrapping_add(STEP);
    }

    fn emit(
        &mut self,
        frame: &Packed,
        table: Option<&[u8; 256]>,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let timestamp = self.stream.timestamp;
        let header = self.header(path.codec.payload_type, self.packets == 0, timestamp);
        let mut bytes = [0; header::LENGTH + SAMPLES];
        fill(&mut bytes, &header, |payload| match table {
            None => payload.copy_from_slice(frame),
            Some(table) => translate(frame, table, payload),
        });
        self.skip_frame();
        self.hand_over(&bytes, path, wire);
    }

    const fn header(&self, payload_type: u8, marker: bool, timestamp: u32) -> Header {
        let Stream { ssrc, sequence, .. } = self.stream;
        Header { marker, payload_type, sequence, timestamp, ssrc }
    }

    fn hand_over(&mut self, bytes: &[u8], path: &Path, wire: &mut Wire<'_, impl Out>) {
        self.stream.sequence = self.stream.sequence.wrapping_add(1);
        self.packets += 1;
        self.octets += bytes.len().saturating_sub(header::LENGTH) as u64;
        wire.counters.packets_out += 1;
        wire.out.send(path.port, Channel::Rtp, path.to, bytes);
    }
}

fn fill(bytes: &mut [u8], header: &Header, payload: impl FnOnce(&mut [u8])) {
    if let Some((head, rest)) = bytes.split_first_chunk_mut::<{ header::LENGTH }>() {
        *head = header.bytes();
        payload(rest);
    }
}

fn translate(frame: &Packed, table: &[u8; 256], payload: &mut [u8]) {
    for (to, from) in payload.iter_mut().zip(frame) {
        *to = table[usize::from(*from)];
    }
}

/// How far a stream may run ahead of real time, in frames.
const LEAD_MAX: i64 = 3;

/// How far it may lag behind before silence is put in, in frames: 60 ms.
const LAG_MAX: i64 = 3;

/// A lag that only a late thread can cause, in frames.
const STALL: i64 = 5;

/// Frames sent at once to make up for a late tick.
const BURST_MAX: i64 = 3;

/// Frames put in one by one before a far side counts as sending nothing: 200 ms.
const PATIENCE: u32 = 10;

/// Frames without a packet of an event after which it is over (RFC 4733 §2.6.3: three periods).
const EVENT_PAUSE_MAX: u64 = 8;

/// An event has one packet a frame, and its end three at once (RFC 4733 §2.5.1.4).
const EVENTS_PER_FRAME_MAX: u32 = 5;
