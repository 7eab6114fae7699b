//! The send half of a leg: one outgoing stream for its whole life, whatever feeds it.
//!
//! Same SSRC, sequence +1 for every packet, time stamp +160 for every frame. The stream keeps to
//! real time: `next` is the place, on the grid of the leg's phase, of the frame that leaves next.

mod comfort;
mod opaque;
mod tones;

use crate::{
    clock::Clock,
    coder::{self, Packed as Coded},
    counters::Counters,
    digits::{Key, Say, Teller, tones::Tones},
    engine::{Channel, Out},
    frame::{Packed, SAMPLES, STEP},
    jitter::Kind,
    leg::prompts::Program,
    order::{Codec, Digit, Digits, Law, PortName, Stream},
    rtp::{
        header::{self, Header},
        rtcp::SenderInfo,
    },
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How audio leaves a leg.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    pub(crate) port: PortName,
    pub(crate) to: SocketAddr,
    pub(crate) codec: Codec,
    pub(crate) telephone_event: Option<u8>,
    /// Keys are told as tones.
    pub(crate) tones: bool,
    /// Silence may be comfort noise.
    pub(crate) comforts: bool,
}

/// Where packets leave and are counted.
pub(crate) struct Wire<'a, O> {
    pub(crate) out: &'a mut O,
    pub(crate) counters: &'a mut Counters,
}

/// One outgoing stream. In the order of [`super::Leg`]'s note.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Send {
    /// Sequence and time stamp of the frame that leaves next.
    stream: Stream,
    /// The place in time of that frame. None: the clock stands, nothing is to be sent.
    next: Option<u64>,
    packets: u64,
    octets: u64,
    inserted: u64,
    /// Frames put in since the other side of a bridge was last heard.
    starved: u32,
    /// The frame in which something left last.
    left: u64,
    /// Time stamp of the key that is being told: when it began, held for all of its packets.
    key_began: u32,
    packets_at_report: u64,
    teller: Teller,
    quiet: comfort::Quiet,
    /// What passes through unread.
    passing: opaque::Passing,
    /// Those of the key that is being told.
    tones: Option<Tones>,
}

impl Send {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            next: None,
            packets: 0,
            octets: 0,
            inserted: 0,
            starved: 0,
            left: 0,
            key_began: 0,
            packets_at_report: 0,
            teller: Teller::NEW,
            quiet: comfort::Quiet::NOT,
            passing: opaque::Passing::NOTHING,
            tones: None,
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
    pub(crate) const fn pause(&mut self, counters: &mut Counters) {
        self.next = None;
        counters.digits_lost += self.teller.forget() as u64;
        self.starved = 0;
        self.quiet.end();
    }

    /// The place in time of the frame that leaves next.
    pub(crate) const fn place(&self) -> Option<u64> {
        self.next
    }

    /// Keys of our own. False: there are more than may wait.
    pub(crate) fn tell(&mut self, digits: &Digits) -> bool {
        self.teller.tell(digits)
    }

    /// Somebody else is heard: the key that is being told ends, none that waits is told.
    pub(crate) const fn stop_keys(&mut self, counters: &mut Counters) {
        counters.digits_lost += self.teller.stop() as u64;
    }

    /// A key of the other side of a bridge.
    pub(crate) fn pass_key(&mut self, key: Key, counters: &mut Counters) {
        match key {
            Key::Down(digit) => counters.digits_lost += u64::from(!self.teller.down(digit)),
            Key::Up(pressed) => self.teller.up(pressed.duration),
        }
    }

    /// A key that one of several has pressed.
    pub(crate) fn pass_pressed(
        &mut self,
        digit: Digit,
        duration: Duration,
        counters: &mut Counters,
    ) {
        counters.digits_lost += u64::from(!self.teller.pressed(digit, duration));
    }

    /// Who holds a key down has gone.
    pub(crate) fn let_go(&mut self) {
        self.teller.up(Duration::ZERO);
    }

    /// A key is being told or comes next: audio is left out.
    pub(crate) fn tells(&self) -> bool {
        self.teller.is_busy()
    }

    /// Sends what is due by now of what is clocked here.
    pub(crate) fn play(
        &mut self,
        law: Law,
        program: &mut Program<'_>,
        now: u64,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) {
        if self.packets == 0 && program.is_nothing() {
            return;
        }
        self.starved = 0;
        for _ in 0..self.lag(now, wire.counters).clamp(0, BURST_MAX) {
            let place = self.next.unwrap_or(now);
            if self.tell_next(Some(path), now, wire) {
                continue;
            }
            let mut room = [0; SAMPLES];
            let part = program.next(place);
            self.left = now;
            if part.is_silence() {
                if self.comfort(path, wire, || comfort::SOFTEST) {
                    continue;
                }
            } else {
                self.quiet.end();
            }
            self.emit(part.packed(law, &mut room), None, path, wire);
            self.teller.rested();
        }
    }

    /// Frames due by now of what is mixed here.
    pub(crate) fn due_mixed(&mut self, now: u64, counters: &mut Counters) -> i64 {
        self.starved = 0;
        self.lag(now, counters).clamp(0, BURST_MAX)
    }

    /// The stream may run ahead of real time by one more frame.
    pub(crate) fn may_lead(&mut self, now: u64, counters: &mut Counters) -> bool {
        self.lag(now, counters) > -LEAD_MAX
    }

    /// True: it runs so far ahead that a frame nobody misses is better left out. `packet`: frames
    /// that come at once.
    pub(crate) fn leads(&mut self, packet: i64, now: u64, counters: &mut Counters) -> bool {
        self.lag(now, counters) <= -packet
    }

    /// Passes a frame on. Without a path time passes and nothing is sent.
    pub(crate) fn relay(
        &mut self,
        frame: &Packed,
        kind: Kind,
        table: Option<&[u8; 256]>,
        now: u64,
        path: Option<&Path>,
        wire: &mut Wire<'_, impl Out>,
    ) {
        match kind {
            Kind::Said => {
                self.starved = 0;
                self.quiet.end();
            }
            Kind::Concealed | Kind::Silent => {
                self.starved = self.starved.saturating_add(1);
                let level = |law| comfort::level(law, frame, table);
                if kind == Kind::Concealed {
                    self.quiet.end();
                } else if let Some((path, law)) =
                    path.and_then(|path| Some((path, path.codec.bare()?)))
                    && self.comfort(path, wire, || level(law))
                {
                    self.left = now;
                    return;
                }
                if path.is_some() {
                    self.inserted += 1;
                    wire.counters.frames_inserted += 1;
                    wire.counters.frames_concealed += u64::from(kind == Kind::Concealed);
                }
            }
        }
        self.left = now;
        match path {
            Some(path) => {
                self.emit(frame, table, path, wire);
                self.teller.rested();
            }
            None => self.next = self.next.map(|next| next + 1),
        }
    }

    /// Passes a frame on that was mixed for this leg. `silent`: there is nothing in it.
    pub(crate) fn pass_mixed(
        &mut self,
        frame: &Packed,
        silent: bool,
        now: u64,
        path: Option<&Path>,
        wire: &mut Wire<'_, impl Out>,
    ) {
        (self.starved, self.left) = (0, now);
        if !silent {
            self.quiet.end();
        } else if path.is_some_and(|path| self.comfort(path, wire, || comfort::SOFTEST)) {
            return;
        }
        match path {
            Some(path) => {
                self.emit(frame, None, path, wire);
                self.teller.rested();
            }
            None => self.next = self.next.map(|next| next + 1),
        }
    }

    /// A frame passes that a coder has taken: `packets` come of it with [`Self::emit_packet`] before. Without a
    /// path time passes and nothing is sent.
    pub(crate) fn pass_coded(&mut self, now: u64, path: Option<&Path>) {
        (self.starved, self.left) = (0, now);
        match path {
            Some(path) => self.skip_frame(step(path)),
            None => self.next = self.next.map(|next| next + 1),
        }
    }

    /// What passed last was no key.
    pub(crate) const fn rest(&mut self) {
        self.teller.rested();
    }

    /// A packet of a coder, whose last frame is the one that leaves next.
    pub(crate) fn emit_packet(
        &mut self,
        packet: Coded<'_>,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let back = packet.before.wrapping_mul(path.codec.coding.clock_factor().cast_signed());
        let timestamp = self.stream.timestamp.wrapping_add_signed(back.wrapping_neg());
        let marker = self.begins();
        let header = self.header(path.codec.payload_type, marker, timestamp);
        let mut bytes = [0; header::LENGTH + coder::PAYLOAD_MAX];
        let length = packet.payload.len().min(coder::PAYLOAD_MAX);
        fill(&mut bytes, &header, |into| {
            for (to, from) in into.iter_mut().zip(packet.payload) {
                *to = *from;
            }
        });
        self.hand_over(bytes.get(..header::LENGTH + length).unwrap_or_default(), path, wire);
    }

    /// Frames due by now. `slack`: so many may be missing, and so many frames may pass without a
    /// packet, before something is put in their place; after 200 ms of nothing the stream catches
    /// up.
    pub(crate) fn due(&mut self, slack: i64, now: u64, counters: &mut Counters) -> i64 {
        let lag = self.lag(now, counters);
        let slack = if self.starved < PATIENCE { slack } else { 0 };
        let paused = now.saturating_sub(self.left).cast_signed() > slack && lag > -LEAD_MAX;
        (lag - slack).clamp(i64::from(paused), BURST_MAX)
    }

    /// In place of the frame that leaves next: what is due of a key (RFC 4733 §2.5.1.2). Its time
    /// stamp is that of the key's beginning, the marker stands on its first packet, and the time
    /// it covers is not filled with audio. Or the tones of the key are. False: no key is due.
    pub(crate) fn tell_next(
        &mut self,
        path: Option<&Path>,
        now: u64,
        wire: &mut Wire<'_, impl Out>,
    ) -> bool {
        if let Some(path) = path.filter(|path| path.tones) {
            return self.sound_next(path, now, wire);
        }
        let Some((path, payload_type)) = path.and_then(|p| Some((p, p.telephone_event?))) else {
            wire.counters.digits_lost += self.teller.forget() as u64;
            return false;
        };
        let Some(Say { payload, first, last }) = self.teller.next() else { return false };
        self.quiet.end();
        let payload = in_clock(payload, path.codec.event_factor);
        if first {
            self.key_began = self.stream.timestamp;
            wire.counters.digits_out += 1;
        }
        for copy in 0..if last { KEY_ENDS } else { 1 } {
            let marker = (first && copy == 0) || self.packets == 0;
            let header = self.header(payload_type, marker, self.key_began);
            let mut bytes = [0; header::LENGTH + 4];
            fill(&mut bytes, &header, |into| into.copy_from_slice(&payload));
            self.hand_over(&bytes, path, wire);
        }
        self.left = now;
        self.skip_frame(step(path));
        true
    }

    /// What the stream has come to (RFC 3550 §6.4.1); none if nothing left since the last report.
    /// `factor`: of the stream's clock.
    pub(crate) fn info(
        &mut self,
        factor: u32,
        phase: u64,
        clock: &Clock,
        now: Instant,
    ) -> Option<SenderInfo> {
        let next = self.next?;
        if self.packets == self.packets_at_report {
            return None;
        }
        self.packets_at_report = self.packets;
        let ahead_us = Clock::begin_us(phase, next) - clock.micros(now).cast_signed();
        let ahead = ahead_us * i64::from(factor) / 125;
        let ahead = i32::try_from(ahead).unwrap_or_default();
        Some(SenderInfo {
            ntp: clock.ntp(now),
            timestamp: self.stream.timestamp.wrapping_sub(ahead.cast_unsigned()),
            packets: crate::clock::low_half(self.packets),
            octets: crate::clock::low_half(self.octets),
        })
    }

    /// Frames due by `now` that have not left; negative while ahead. Starts the clock if it
    /// stands. After a stall of this thread time is skipped, not made up for in a burst.
    pub(crate) fn lag(&mut self, now: u64, counters: &mut Counters) -> i64 {
        let next = self.next.unwrap_or_else(|| {
            (self.next, self.left) = (Some(now), now);
            now
        });
        let lag = now.cast_signed() + 1 - next.cast_signed();
        if lag > STALL {
            self.next = Some(now);
            counters.stalls += 1;
            return 1;
        }
        lag
    }

    fn skip_frame(&mut self, step: u32) {
        self.next = self.next.map(|next| next + 1);
        self.stream.timestamp = self.stream.timestamp.wrapping_add(step);
    }

    fn emit(
        &mut self,
        frame: &Packed,
        table: Option<&[u8; 256]>,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let timestamp = self.stream.timestamp;
        let marker = self.begins();
        let header = self.header(path.codec.payload_type, marker, timestamp);
        let mut bytes = [0; header::LENGTH + SAMPLES];
        fill(&mut bytes, &header, |payload| match table {
            None => payload.copy_from_slice(frame),
            Some(table) => translate(frame, table, payload),
        });
        self.skip_frame(STEP);
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
        wire.counters.bytes_out += bytes.len() as u64;
        wire.out.send(path.port, Channel::Rtp, path.to, bytes);
    }
}

fn fill(bytes: &mut [u8], header: &Header, payload: impl FnOnce(&mut [u8])) {
    if let Some((head, rest)) = bytes.split_first_chunk_mut::<{ header::LENGTH }>() {
        *head = header.bytes();
        payload(rest);
    }
}

/// A frame as a step of the stream's time stamp.
const fn step(path: &Path) -> u32 {
    STEP * path.codec.coding.clock_factor()
}

/// A key's payload, its duration by the clock of its events.
fn in_clock(payload: [u8; 4], factor: u8) -> [u8; 4] {
    let [event, flags, high, low] = payload;
    let duration = u16::from_be_bytes([high, low]).saturating_mul(u16::from(factor));
    let [high, low] = duration.to_be_bytes();
    [event, flags, high, low]
}

fn translate(frame: &Packed, table: &[u8; 256], payload: &mut [u8]) {
    for (to, from) in payload.iter_mut().zip(frame) {
        *to = table[usize::from(*from)];
    }
}

/// How far a stream may run ahead of real time, in frames.
const LEAD_MAX: i64 = 3;

/// A lag that only a late thread can cause, in frames.
const STALL: i64 = 5;

/// Frames sent at once to make up for a late tick.
const BURST_MAX: i64 = 3;

/// Frames put in one by one before a far side counts as sending nothing: 200 ms.
const PATIENCE: u32 = 10;

/// The end of a key is said three times (RFC 4733 §2.5.1.4).
const KEY_ENDS: u32 = 3;
