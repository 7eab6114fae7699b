//! One party: what it agreed on, its receive half, its send half, its reports.

pub(crate) mod allowance;
pub(crate) mod keys;
pub(crate) mod prompts;
pub(crate) mod receive;
pub(crate) mod reports;
pub(crate) mod send;
mod service;
pub(crate) mod vigil;
mod voice;

use self::{
    keys::Keys,
    prompts::{Part, Program, Prompts},
    receive::Receive,
    reports::Reports,
    send::{Path, Send, Wire},
    service::Service,
    vigil::Vigil,
};
use crate::{
    broadcast::Broadcast,
    clock::Clock,
    coder::{Coder, Packed, Scale},
    counters::{Counters, Dropped},
    digits::{Reader, Told},
    engine::Out,
    frame::{Frame, Rate, SAMPLES, SAMPLES_MAX, SILENCE},
    jitter::{self, Kind, Put, Speech},
    order::{
        By, Codec, Coding, Law, LegName, LegReport, Opaque, PortName, Remote, Source, Stream,
        TuneId,
    },
    quality,
    record::Side,
    room::{self, Gain, Voice},
    rtp::{
        header::{self, Packet},
        latch::{Latch, Verdict},
        rtcp::Compound,
    },
    tunes::Tunes,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// One party's media, from `Open` to `Close`.
///
/// Of its 8 KB a packet and a tick need 1 KB. `repr(C)`, here and in what it holds, keeps that
/// together and the large arrays behind it: with hundreds of legs the cache is what a packet waits
/// for.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Leg {
    line: Option<Line>,
    /// None: its packets are frames of G.711 and leave as they come.
    pub(crate) coder: Option<Box<Coder>>,
    pub(crate) name: LegName,
    pub(crate) port: PortName,
    /// The millisecond of the 20 ms frame at which it is served.
    pub(crate) phase: u64,
    pub(crate) mode: Mode,
    dropped: u64,
    service: Service,
    pub(crate) vigil: Vigil,
    reports: Reports,
    pub(crate) reader: Reader,
    /// Time stamps of the far side to samples of 8 kHz.
    scale: Scale,
    pub(crate) receive: Receive,
    pub(crate) send: Send,
    pub(crate) prompts: Prompts,
    pub(crate) gain: Gain,
    pub(crate) voice: Voice,
    pub(crate) keys: Keys,
    /// Silence may reach the far side as comfort noise.
    pub(crate) comforts: bool,
}

/// Where what a leg hears comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Hear(Source),
    /// Slots of the other party and of the talk, and which of the two this one is.
    Bridged {
        peer: usize,
        talk: usize,
        side: Side,
    },
    /// More than the two are in this talk.
    Room {
        talk: usize,
    },
}

/// What was agreed with the far side, but for where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) codec: Codec,
    pub(crate) telephone_event: Option<u8>,
    /// The far side wants to be sent something, and sends something itself.
    pub(crate) sends: bool,
    pub(crate) receives: bool,
}

/// The far side as it is known.
#[derive(Debug)]
struct Line {
    latch: Latch,
    agreed: Agreed,
}

/// A packet that was heard.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Heard<'a> {
    Audio(Speech<'a>),
    Digit(Told),
}

impl Leg {
    pub(crate) fn new(name: LegName, port: PortName, phase: u64, stream: Stream) -> Self {
        Self {
            name,
            port,
            phase,
            mode: Mode::Hear(Source::Nothing),
            receive: Receive::new(),
            send: Send::new(stream),
            prompts: Prompts::NONE,
            reader: Reader::NEW,
            scale: Scale::new(1),
            service: Service::default(),
            vigil: Vigil::default(),
            line: None,
            coder: None,
            reports: Reports::default(),
            dropped: 0,
            gain: Gain::OPEN,
            voice: Voice::NONE,
            keys: Keys::NEW,
            comforts: false,
        }
    }

    /// Nobody's, for room that is taken at the start.
    pub(crate) fn blank() -> Self {
        let stream = Stream { ssrc: 0, sequence: 0, timestamp: 0 };
        Self::new(LegName(0), PortName(0), 0, stream)
    }

    /// Takes what was agreed, as [`Self::renew`] does. Gives back the coder it has no use for.
    pub(crate) fn connect(
        &mut self,
        remote: Remote,
        agreed: Agreed,
        mut coder: Option<Box<Coder>>,
        now: Instant,
    ) -> Option<Box<Coder>> {
        if self.codec() != Some(agreed.codec) {
            self.forget_heard();
            std::mem::swap(&mut self.coder, &mut coder);
            self.scale = Scale::new(agreed.codec.coding.clock_factor());
        }
        self.renew(remote, agreed, now);
        coder
    }

    /// Takes what was agreed once more, its codec as before. A far side that did not move keeps the source
    /// that was learned, and what waits of it if it sends as it did: a session is refreshed unheard (RFC 4028).
    pub(crate) fn renew(&mut self, remote: Remote, agreed: Agreed, now: Instant) {
        let before = self.line.take();
        let is_elsewhere = before.as_ref().is_some_and(|line| *line.latch.remote() != remote);
        if let Some(coder) = self.coder.as_mut().filter(|_| is_elsewhere) {
            coder.hearing.forget_decoded();
        }
        let unmoved = before.filter(|_| !is_elsewhere);
        if unmoved.as_ref().is_none_or(|line| line.agreed.receives != agreed.receives) {
            self.forget_heard();
        }
        let mut latch = unmoved.map_or_else(|| Latch::new(remote, now), |line| line.latch);
        latch.renew(now);
        self.vigil.connected(agreed.sends, agreed.receives, now);
        self.line = Some(Line { latch, agreed });
    }

    /// Somebody else listens: what waits is forgotten.
    pub(crate) fn forget_heard(&mut self) {
        self.receive.forget();
        if let Some(coder) = &mut self.coder {
            coder.hearing.forget();
        }
    }

    /// A datagram from there may be this leg's; of one that is not connected nobody knows.
    pub(crate) fn is_near(&self, from: SocketAddr) -> bool {
        self.line.as_ref().is_none_or(|line| line.latch.is_near(from))
    }

    /// Nobody hears what it said until now, at whatever rate.
    pub(crate) fn forget_said(&mut self) {
        self.voice.forget();
        if let Some(coder) = &mut self.coder {
            coder.said.forget();
        }
    }

    /// What its frames are written by, if they need no coder.
    pub(crate) fn law(&self) -> Option<Law> {
        self.codec()?.bare()
    }

    /// What it speaks that nobody here reads.
    pub(crate) fn opaque(&self) -> Option<Opaque> {
        match self.codec()?.coding {
            Coding::Opaque(opaque) => Some(opaque),
            Coding::G711(_) | Coding::G722 | Coding::L16(_) | Coding::Opus(_) => None,
        }
    }

    pub(crate) fn codec(&self) -> Option<Codec> {
        self.line.as_ref().map(|line| line.agreed.codec)
    }

    /// How audio leaves; none while the far side wants none.
    pub(crate) fn path(&self) -> Option<Path> {
        let line = self.line.as_ref().filter(|line| line.agreed.sends)?;
        let to = reachable(line.latch.rtp())?;
        let Agreed { codec, telephone_event, .. } = line.agreed;
        // Tones are audio, and that is nothing we can write.
        let tones = self.keys.told_by == By::Tones && !codec.is_opaque();
        let comforts = self.comforts;
        Some(Path { port: self.port, to, codec, telephone_event, tones, comforts })
    }

    /// Keys can be told to the far side in its stream.
    pub(crate) fn takes_keys(&self) -> bool {
        self.keys.told_by != By::Signalling
            && self.path().is_some_and(|path| path.tones || path.telephone_event.is_some())
    }

    /// Keys can be told to the far side, there or by its signalling.
    pub(crate) fn can_be_told(&self) -> bool {
        self.keys.told_by == By::Signalling || self.takes_keys()
    }

    /// Takes an RTP datagram in, or says why not. Inlined with what it calls, as
    /// [`crate::session::Pair`] says.
    #[inline]
    pub(crate) fn hear<'a>(
        &mut self,
        from: SocketAddr,
        bytes: &'a [u8],
        clock: &Clock,
        now: Instant,
    ) -> Result<Heard<'a>, Dropped> {
        let heard = self.judge(from, bytes, clock, now);
        self.dropped += u64::from(heard.is_err());
        heard
    }

    /// Takes audio in that is heard by the clock. False: nobody will.
    pub(crate) fn put_by(&mut self, speech: &Speech<'_>, counters: &mut Counters) -> bool {
        let put = match (&mut self.coder, self.line.as_ref().and_then(Line::law)) {
            (Some(coder), _) => self.receive.put_coded(&mut coder.hearing, speech),
            (None, Some(law)) => self.receive.put(law, speech, false),
            (None, None) => return false,
        };
        let reason = match put {
            Put::Passes | Put::Kept => return true,
            Put::Late => Dropped::Late,
            Put::Crowded => Dropped::Ahead,
        };
        self.count_dropped();
        counters.drop_packet(reason);
        put == Put::Crowded
    }

    /// Takes the frame it says next, into its voice too; at 8 kHz, and whether it was said. None: nothing was agreed.
    pub(crate) fn say(&mut self, place: u64, samples: u32) -> Option<(Frame, Kind)> {
        let (frame, kind) = match (&mut self.coder, self.line.as_ref().and_then(Line::law)) {
            (Some(coder), _) => {
                let mut wide = [0; SAMPLES_MAX];
                let wide = wide.get_mut(..coder.rate().samples()).unwrap_or_default();
                let kind = self.receive.next_coded(&mut coder.hearing, samples, wide);
                coder.said.say(place, wide);
                (coder.narrow(wide), kind)
            }
            (None, Some(law)) => {
                let mut packed = [0; SAMPLES];
                let kind = self.receive.next_by_clock(law, samples, &mut packed);
                (room::unpack(law, &packed), kind)
            }
            (None, None) => return None,
        };
        self.voice.say(place, &frame);
        if kind != Kind::Silent {
            self.voice.has_word(place);
        }
        Some((frame, kind))
    }

    /// What it said at this place is silence for all who hear it.
    pub(crate) fn unsay(&mut self, place: u64) {
        self.voice.say(place, &SILENCE);
        if let Some(coder) = &mut self.coder {
            coder.said.say(place, &[0; SAMPLES_MAX]);
        }
    }

    /// As [`Receive::next_due`], with a coder or without.
    pub(crate) fn next_due(&self, now: u32) -> Option<u32> {
        match &self.coder {
            Some(coder) => self.receive.next_coded_due(&coder.hearing, now),
            None => self.receive.next_due(now),
        }
    }

    /// Sends a frame at the rate of its coder, which is none of a key.
    pub(crate) fn speak(
        &mut self,
        frame: &[i16],
        now: u64,
        path: Option<&Path>,
        wire: &mut Wire<'_, impl Out>,
    ) {
        self.encode(frame, now, path, wire);
        if path.is_some() {
            self.send.rest();
        }
    }

    fn encode(
        &mut self,
        frame: &[i16],
        now: u64,
        path: Option<&Path>,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let Self { coder: Some(coder), send, .. } = self else { return };
        coder.music = 0;
        match path {
            Some(path) => {
                wire.counters.frames_encoded += 1;
                coder.pack.take(frame, |packet| send.emit_packet(packet, path, wire));
            }
            None => coder.pack.leave_out(),
        }
        send.pass_coded(now, path);
    }

    /// Sends what is due by now of a source that is clocked here, by its coder.
    pub(crate) fn play_coded(
        &mut self,
        program: &mut Program<'_>,
        broadcasts: &mut [Broadcast],
        now: u64,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) {
        let Some(rate) = self.coder.as_ref().map(|coder| coder.rate()) else { return };
        if self.send.packets() == 0 && program.is_nothing() {
            return;
        }
        for _ in 0..self.send.due_mixed(now, wire.counters) {
            let place = self.send.place().unwrap_or(now);
            if self.tell_next(Some(path), now, wire) {
                continue;
            }
            let music = program.only_music();
            let part = program.next(place);
            if let Some(tune) = music
                && self.play_with_others(tune, program.tunes, broadcasts, place, now, path, wire)
            {
                continue;
            }
            let mut frame = [0; SAMPLES_MAX];
            let frame = frame.get_mut(..rate.samples()).unwrap_or_default();
            self.play_part(&part, rate, frame);
            let said = self.coder.as_ref().map_or(0, |coder| coder.music);
            self.speak(frame, now, Some(path), wire);
            if let Some(coder) = self.coder.as_mut().filter(|_| music.is_some()) {
                coder.music = said.saturating_add(1);
            }
        }
    }

    /// A frame of what is heard at the rate of the coder; tunes hold 16 kHz at most.
    fn play_part(&mut self, part: &Part<'_>, rate: Rate, frame: &mut [i16]) {
        if rate != Rate::Hz48000 {
            return part.linear(rate, frame);
        }
        let mut wide = [0; SAMPLES * 2];
        part.linear(Rate::Hz16000, &mut wide);
        if let Some(coder) = &mut self.coder {
            coder.widen(Rate::Hz16000, true, &wide, frame);
        }
    }

    /// A frame of music that is encoded once for all who wait in this codec. False: this leg's own encoder has
    /// to say it.
    #[expect(clippy::too_many_arguments, reason = "a frame's whole way from the tune to the wire")]
    fn play_with_others(
        &mut self,
        tune: TuneId,
        tunes: &Tunes,
        broadcasts: &mut [Broadcast],
        place: u64,
        now: u64,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) -> bool {
        let Self { coder: Some(coder), send, .. } = self else { return false };
        // The far side's decoder first comes to where everybody's is.
        if coder.music < OWN_FRAMES || !coder.pack.is_even() {
            return false;
        }
        let coding = path.codec.coding;
        let Some(all) = broadcasts.iter_mut().find(|all| all.is_of(tune, coding)) else {
            return false;
        };
        let Some((sent, is_new)) = all.frame(tunes, place) else { return false };
        wire.counters.frames_encoded += u64::from(is_new);
        send.emit_packet(Packed { payload: sent.payload(), before: 0 }, path, wire);
        send.pass_coded(now, Some(path));
        send.rest();
        coder.pack.follow(sent.after());
        true
    }

    /// As [`Send::tell_next`]; what a coder has gathered is left out.
    pub(crate) fn tell_next(
        &mut self,
        path: Option<&Path>,
        now: u64,
        wire: &mut Wire<'_, impl Out>,
    ) -> bool {
        if let Some(path) = path.filter(|path| path.tones)
            && let Some(rate) = self.coder.as_ref().map(|coder| coder.rate())
        {
            let mut frame = [0; SAMPLES_MAX];
            let frame = frame.get_mut(..rate.samples()).unwrap_or_default();
            let tells = self.send.sound(rate, frame, wire.counters);
            if tells {
                self.encode(frame, now, Some(path), wire);
            }
            return tells;
        }
        let tells = self.send.tell_next(path, now, wire);
        if let Some(coder) = self.coder.as_mut().filter(|_| tells) {
            coder.pack.leave_out();
        }
        tells
    }

    /// The far side wants nothing, or nobody knows yet what it is.
    pub(crate) fn pause(&mut self, counters: &mut Counters) {
        self.send.pause(counters);
        if let Some(coder) = &mut self.coder {
            coder.pack.leave_out();
        }
    }

    /// A frame of this leg's that went no further after all.
    pub(crate) const fn count_dropped(&mut self) {
        self.dropped += 1;
    }

    /// True: an RTCP datagram from this source is believed. Counts as a sign of life.
    pub(crate) fn believes_report(&mut self, from: SocketAddr, now: Instant) -> bool {
        let believed = self.line.as_ref().is_some_and(|line| line.latch.believes_report(from));
        if believed {
            self.vigil.sign_of_life(now);
        }
        believed
    }

    /// Takes a believed RTCP datagram in: how many of its values cannot be. None: it cannot be read.
    pub(crate) fn hear_report(&mut self, bytes: &[u8], clock: &Clock, now: Instant) -> Option<u64> {
        let impossible =
            self.reports.take(bytes, self.send.ssrc(), self.receive.ssrc(), clock, now);
        if let (Some(coder), Some(percent)) = (&mut self.coder, self.reports.take_far_loss()) {
            coder.expect_loss(percent);
        }
        impossible
    }

    /// Whether the far side is told how its voice sounds here.
    pub(crate) const fn rate(&mut self, tells: bool) {
        self.reports.rates = tells;
    }

    /// This leg's turn in its frame has come.
    pub(crate) fn serve(&mut self, now: Instant) {
        self.service.serve(now);
    }

    /// The report that is due, if one is, and where it goes.
    pub(crate) fn poll_report(
        &mut self,
        every: Duration,
        cname: &str,
        clock: &Clock,
        now: Instant,
    ) -> Option<(SocketAddr, Compound)> {
        let to = reachable(self.line.as_ref()?.latch.rtcp())?;
        if !self.reports.is_due(every, self.phase, now) {
            return None;
        }
        Some((to, self.compose(cname, clock, now)))
    }

    /// The last report with its BYE (RFC 3550 §6.6); none if nothing was ever sent.
    pub(crate) fn farewell(
        &mut self,
        cname: &str,
        clock: &Clock,
        now: Instant,
    ) -> Option<(SocketAddr, Compound)> {
        let to = reachable(self.line.as_ref()?.latch.rtcp())?;
        if self.send.packets() == 0 {
            return None;
        }
        let mut compound = self.compose(cname, clock, now);
        compound.bye(self.send.ssrc());
        Some((to, compound))
    }

    pub(crate) fn report(&self) -> LegReport {
        let mut report = LegReport {
            packets_sent: self.send.packets(),
            packets_dropped: self.dropped,
            frames_inserted: self.send.inserted(),
            round_trip_us: self.reports.round_trip_us(),
            far_packets_lost: self.reports.far_packets_lost(),
            far_voice: self.reports.far_voice(),
            coding: self.codec().map_or(quality::Coding::G711, |codec| codec.coding.judged()),
            late_us: self.service.late_us(),
            stalls: self.service.stalls(),
            ..LegReport::default()
        };
        self.receive.fill(&mut report);
        if let Some(coder) = &self.coder {
            report.packets_unplayable += coder.hearing.undecodable();
            report.frames_recovered = coder.hearing.recovered();
        }
        report
    }

    #[inline]
    fn judge<'a>(
        &mut self,
        from: SocketAddr,
        bytes: &'a [u8],
        clock: &Clock,
        now: Instant,
    ) -> Result<Heard<'a>, Dropped> {
        let line = self.line.as_mut().ok_or(Dropped::NotConnected)?;
        if header::is_rtcp(bytes) {
            return Err(Dropped::RtcpOnRtp);
        }
        let mut packet = Packet::parse(bytes).map_err(|_| Dropped::Malformed)?;
        let kind = line.kind(packet.header.payload_type);
        let plausible = kind != Meaning::Unknown;
        match line.latch.judge(from, &packet.header, plausible, now) {
            Verdict::Own => {}
            Verdict::Learning => return Err(Dropped::Learning),
            Verdict::Locked => return Err(Dropped::SourceLock),
            Verdict::Stranger => return Err(Dropped::Source),
        }
        let event_factor = line.agreed.codec.event_factor;
        packet.header.timestamp = self.scale.take(packet.header.timestamp);
        match kind {
            Meaning::Audio => self.audio(&packet, clock, now),
            Meaning::Digit => {
                let Packet { header, payload } = packet;
                let told = Told::parse(header.ssrc, header.timestamp, payload);
                let told = told.ok_or(Dropped::Malformed)?.at_8_khz(event_factor);
                self.receive.place_other(&header)?;
                self.receive.afford(clock.samples(now))?;
                self.vigil.spoke(now);
                Ok(Heard::Digit(told))
            }
            Meaning::ComfortNoise => {
                self.receive.place_other(&packet.header)?;
                self.receive.take_comfort(packet.payload);
                self.vigil.comforted(now);
                Err(Dropped::ComfortNoise)
            }
            Meaning::Unknown => {
                self.vigil.sign_of_life(now);
                self.receive.place_other(&packet.header)?;
                self.receive.miss(&packet.header);
                Err(Dropped::PayloadType)
            }
        }
    }

    #[inline]
    fn audio<'a>(
        &mut self,
        packet: &Packet<'a>,
        clock: &Clock,
        now: Instant,
    ) -> Result<Heard<'a>, Dropped> {
        let Packet { header, payload } = *packet;
        let arrival = clock.samples(now);
        let order = self.receive.place_audio(&header, arrival)?;
        let playable = match &self.coder {
            None => (1..=PAYLOAD_MAX).contains(&payload.len()),
            Some(coder) => coder.hearing.duration(payload).is_some(),
        };
        if !playable {
            self.receive.miss(&header);
            return Err(Dropped::Length);
        }
        // Only what can be heard is a word: no number said again, no length that cannot be taken,
        // nothing that may have come too late.
        match self.opaque() {
            _ if order == jitter::Order::Behind => {}
            // Its background (Annex B), told only when it changes: it says that it says nothing.
            Some(Opaque::G729) if payload.len() % G729_FRAME == G729_SID => {
                self.vigil.comforted(now);
            }
            Some(_) | None => self.vigil.spoke(now),
        }
        if matches!(self.mode, Mode::Hear(_)) {
            self.receive.measure(header.timestamp, arrival, order);
            if order == jitter::Order::Behind {
                return Err(Dropped::Late);
            }
        }
        Ok(Heard::Audio(Speech { timestamp: header.timestamp, payload, arrival, order }))
    }

    fn compose(&mut self, cname: &str, clock: &Clock, now: Instant) -> Compound {
        let mut compound = Compound::new();
        let ssrc = self.send.ssrc();
        let last = self.reports.last_sender(now);
        let reception = self.receive.reception();
        let heard = reception.as_ref().map(|reception| (reception, last));
        let factor = self.codec().map_or(1, |codec| codec.coding.clock_factor());
        match self.send.info(factor, self.phase, clock, now) {
            Some(info) => compound.sender(ssrc, &info, heard),
            None => compound.receiver(ssrc, heard),
        }
        compound.canonical_name(ssrc, cname);
        if let Some(heard) = self.receive.ssrc().filter(|_| self.reports.rates) {
            compound.voice(ssrc, &voice::metrics(heard, &self.report(), self.receive.burstiness()));
        }
        compound
    }
}

/// What a payload type means on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Audio,
    ComfortNoise,
    Digit,
    Unknown,
}

impl Line {
    const fn law(&self) -> Option<Law> {
        self.agreed.codec.bare()
    }

    fn kind(&self, payload_type: u8) -> Meaning {
        if payload_type == self.agreed.codec.payload_type {
            Meaning::Audio
        } else if Some(payload_type) == self.agreed.telephone_event {
            Meaning::Digit
        } else if payload_type == COMFORT_NOISE {
            Meaning::ComfortNoise
        } else {
            Meaning::Unknown
        }
    }
}

/// An address that something can be sent to: a held far side may have written none.
fn reachable(address: SocketAddr) -> Option<SocketAddr> {
    let nowhere = address.port() == 0
        || match address.ip() {
            IpAddr::V4(ip) => ip.is_unspecified(),
            IpAddr::V6(ip) => ip.is_unspecified(),
        };
    (!nowhere).then_some(address)
}

/// RFC 3389 §4: the static payload type.
const COMFORT_NOISE: u8 = 13;

/// Frames of music after which a far side's decoder has forgotten what was before: 200 ms.
const OWN_FRAMES: u32 = 10;

/// RFC 3551 §4.5.6: bytes of a frame of 10 ms, and of the background that may stand behind the last.
const G729_FRAME: usize = 10;
const G729_SID: usize = 2;

/// 60 ms of G.711.
pub(crate) const PAYLOAD_MAX: usize = 480;

#[cfg(test)]
mod tests;
