//! One party: what it agreed on, its receive half, its send half, its reports.

pub(crate) mod receive;
pub(crate) mod reports;
pub(crate) mod send;
pub(crate) mod vigil;

use self::{
    receive::Receive,
    reports::Reports,
    send::{Path, Send},
    vigil::Vigil,
};
use crate::{
    clock::Clock,
    counters::{Counters, Dropped},
    digits::{Reader, Told},
    jitter::{self, Put, Speech},
    order::{Codec, LegName, LegReport, PortName, Remote, Source, Stream},
    record::Side,
    room::{Gain, Voice},
    rtp::{
        header::{self, Packet},
        latch::{Latch, Verdict},
        rtcp::Compound,
    },
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
    pub(crate) name: LegName,
    pub(crate) port: PortName,
    /// The millisecond of the 20 ms frame at which it is served.
    pub(crate) phase: u64,
    pub(crate) mode: Mode,
    dropped: u64,
    pub(crate) vigil: Vigil,
    reports: Reports,
    pub(crate) reader: Reader,
    pub(crate) receive: Receive,
    pub(crate) send: Send,
    pub(crate) gain: Gain,
    pub(crate) voice: Voice,
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
            reader: Reader::NEW,
            vigil: Vigil::default(),
            line: None,
            reports: Reports::default(),
            dropped: 0,
            gain: Gain::OPEN,
            voice: Voice::NONE,
        }
    }

    /// Takes what was agreed. A far side that did not move keeps the source that was learned, and
    /// what waits of it if its audio goes on as it was: a session is refreshed unheard (RFC 4028).
    pub(crate) fn connect(&mut self, remote: Remote, agreed: Agreed, now: Instant) {
        let unmoved = self.line.take().filter(|line| *line.latch.remote() == remote);
        if !unmoved.as_ref().is_some_and(|line| line.agreed.goes_on_as(&agreed)) {
            self.receive.forget();
        }
        let mut latch = unmoved.map_or_else(|| Latch::new(remote, now), |line| line.latch);
        latch.renew(now);
        self.vigil.connected(agreed.sends, agreed.receives, now);
        self.line = Some(Line { latch, agreed });
    }

    pub(crate) fn codec(&self) -> Option<Codec> {
        self.line.as_ref().map(|line| line.agreed.codec)
    }

    /// How audio leaves; none while the far side wants none.
    pub(crate) fn path(&self) -> Option<Path> {
        let line = self.line.as_ref().filter(|line| line.agreed.sends)?;
        let to = reachable(line.latch.rtp())?;
        let Agreed { codec, telephone_event, .. } = line.agreed;
        Some(Path { port: self.port, to, codec, telephone_event })
    }

    /// Keys can be told to the far side.
    pub(crate) fn takes_keys(&self) -> bool {
        self.path().is_some_and(|path| path.telephone_event.is_some())
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

    /// Takes audio in that is heard by the clock.
    pub(crate) fn put_by(&mut self, speech: &Speech<'_>, counters: &mut Counters) {
        let Some(law) = self.codec().map(|codec| codec.law) else { return };
        let reason = match self.receive.put(law, speech, false) {
            Put::Passes | Put::Kept => return,
            Put::Late => Dropped::Late,
            Put::Crowded => Dropped::Ahead,
        };
        self.count_dropped();
        counters.drop_packet(reason);
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

    /// Takes a believed RTCP datagram in. False: it cannot be read.
    pub(crate) fn hear_report(&mut self, bytes: &[u8], clock: &Clock, now: Instant) -> bool {
        self.reports.take(bytes, self.send.ssrc(), self.receive.ssrc(), clock, now)
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
            ..LegReport::default()
        };
        self.receive.fill(&mut report);
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
        let packet = Packet::parse(bytes).map_err(|_| Dropped::Malformed)?;
        let kind = line.kind(packet.header.payload_type);
        let plausible = kind != Kind::Unknown;
        match line.latch.judge(from, &packet.header, plausible, now) {
            Verdict::Own => {}
            Verdict::Learning => return Err(Dropped::Learning),
            Verdict::Locked => return Err(Dropped::SourceLock),
            Verdict::Stranger => return Err(Dropped::Source),
        }
        match kind {
            Kind::Audio => self.audio(&packet, clock, now),
            Kind::Digit => {
                let Packet { header, payload } = packet;
                let told = Told::parse(header.ssrc, header.timestamp, payload);
                let told = told.ok_or(Dropped::Malformed)?;
                self.receive.place_other(&header)?;
                self.vigil.spoke(now);
                Ok(Heard::Digit(told))
            }
            Kind::ComfortNoise => {
                self.receive.place_other(&packet.header)?;
                self.vigil.comforted(now);
                Err(Dropped::ComfortNoise)
            }
            Kind::Unknown => {
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
        if !(1..=PAYLOAD_MAX).contains(&payload.len()) {
            self.receive.miss(&header);
            return Err(Dropped::Length);
        }
        // Only what can be heard is a word: no number said again, no length that cannot be taken,
        // nothing that may have come too late.
        if order != jitter::Order::Behind {
            self.vigil.spoke(now);
        }
        if matches!(self.mode, Mode::Hear(_)) {
            self.receive.measure(header.timestamp, arrival);
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
        match self.send.info(self.phase, clock, now) {
            Some(info) => compound.sender(ssrc, &info, heard),
            None => compound.receiver(ssrc, heard),
        }
        compound.canonical_name(ssrc, cname);
        compound
    }
}

/// What a payload type means on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Audio,
    ComfortNoise,
    Digit,
    Unknown,
}

impl Agreed {
    /// The audio does; how keys are told is no part of it.
    fn goes_on_as(&self, other: &Self) -> bool {
        let audio = |agreed: &Self| (agreed.codec, agreed.sends, agreed.receives);
        audio(self) == audio(other)
    }
}

impl Line {
    fn kind(&self, payload_type: u8) -> Kind {
        if payload_type == self.agreed.codec.payload_type {
            Kind::Audio
        } else if Some(payload_type) == self.agreed.telephone_event {
            Kind::Digit
        } else if payload_type == COMFORT_NOISE {
            Kind::ComfortNoise
        } else {
            Kind::Unknown
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

/// 60 ms of G.711.
pub(crate) const PAYLOAD_MAX: usize = 480;
