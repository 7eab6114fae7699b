//! An engine with a hand-turned clock, and parties that speak to it.

#![allow(dead_code, reason = "each test file uses its own part of the bench")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

pub(crate) mod speech;

use media_core::{
    engine::{Behind, Channel, Engine, EngineConfig, Out},
    music::Tune,
    order::{
        Codec, Event, Law, LegName, Order, PortName, RecordFrame, Remote, Source, Stream, TalkName,
    },
    rtp::header::{Header, Packet},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) epoch: Instant,
    pub(crate) now: Instant,
    pub(crate) wire: Wire,
    pub(crate) events: Vec<Event>,
}

/// Everything that left.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) now_ms: u64,
    pub(crate) sent: Vec<Sent>,
    pub(crate) recorded: Vec<RecordFrame>,
    /// The recorder's ring has no room.
    pub(crate) full: bool,
}

pub(crate) struct Sent {
    pub(crate) at_ms: u64,
    pub(crate) port: PortName,
    pub(crate) channel: Channel,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Out for Wire {
    fn send(&mut self, port: PortName, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        let (at_ms, bytes) = (self.now_ms, bytes.to_vec());
        self.sent.push(Sent { at_ms, port, channel, to, bytes });
    }

    fn record(&mut self, frame: &RecordFrame) -> bool {
        if !self.full {
            self.recorded.push(*frame);
        }
        !self.full
    }
}

pub(crate) const NTP_EPOCH: u64 = 0xEE00_0000_0000_0000;

pub(crate) fn config(tune: Tune) -> EngineConfig {
    EngineConfig {
        legs_max: 40,
        talks_max: 20,
        silent_after: Duration::from_secs(10),
        tunes: vec![Arc::new(tune)],
        rtcp_interval: Duration::from_secs(5),
        cname: "media@192.0.2.100".into(),
        shared: vec![],
        ntp_epoch: NTP_EPOCH,
    }
}

/// The n-th party of a test: its leg, its port, the address of its phone.
pub(crate) fn leg(n: u16) -> LegName {
    LegName(u64::from(n))
}

pub(crate) fn port(n: u16) -> PortName {
    PortName(20_000 + 2 * n)
}

pub(crate) fn phone(n: u16) -> SocketAddr {
    format!("192.0.2.{n}:4000").parse().unwrap()
}

pub(crate) fn stream(n: u16) -> Stream {
    Stream { ssrc: 0xA000 + u32::from(n), sequence: 65_530, timestamp: u32::MAX - 1_000 }
}

pub(crate) fn payload_type(law: Law) -> u8 {
    match law {
        Law::A => 8,
        Law::Mu => 0,
    }
}

pub(crate) fn connect(n: u16, law: Law) -> Order {
    let remote = Remote {
        rtp: phone(n),
        rtcp: SocketAddr::new(phone(n).ip(), 4001),
        signalling: phone(n).ip(),
    };
    let codec = Codec::g711(law, payload_type(law));
    Order::Connect {
        leg: leg(n),
        remote,
        codec,
        telephone_event: Some(101),
        sends: true,
        receives: true,
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(config(Tune::test_tone()))
    }

    pub(crate) fn with(config: EngineConfig) -> Self {
        let epoch = Instant::now();
        let engine = Engine::new(config, epoch);
        Self { engine, epoch, now: epoch, wire: Wire::default(), events: vec![] }
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.engine.handle_order(order, self.now);
        self.drain();
    }

    /// Opens and connects a party.
    pub(crate) fn party(&mut self, n: u16, law: Law) {
        self.order(Order::Open {
            leg: leg(n),
            port: port(n),
            stream: stream(n),
            talk: TalkName(0),
        });
        self.order(connect(n, law));
    }

    pub(crate) fn hear(&mut self, n: u16, source: Source) {
        self.order(Order::Hear { leg: leg(n), source });
    }

    pub(crate) fn bridge(&mut self, caller: u16, other: u16, record: bool) {
        let (talk, caller, other) = (TalkName(7), leg(caller), leg(other));
        self.order(Order::Bridge { talk, caller, other, record });
    }

    pub(crate) fn part(&mut self, hears: Source) {
        self.order(Order::Part { talk: TalkName(7), caller_hears: hears, other_hears: hears });
    }

    /// Ticks every millisecond.
    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run(ms, |_, _| {});
    }

    /// Ticks every millisecond; before each tick `speak` may say something.
    pub(crate) fn run(&mut self, ms: u64, mut speak: impl FnMut(&mut Self, u64)) {
        for n in 0..ms {
            speak(self, n);
            self.tick();
            self.now += Duration::from_millis(1);
        }
    }

    pub(crate) fn tick(&mut self) {
        self.wire.now_ms = self.now_ms();
        self.engine.tick(self.now, &mut self.wire);
        self.drain();
    }

    /// This thread was somewhere else.
    pub(crate) fn stall_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from((self.now - self.epoch).as_millis()).unwrap()
    }

    pub(crate) fn datagram(
        &mut self,
        n: u16,
        channel: Channel,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Behind {
        self.datagram_of(0, n, channel, from, bytes)
    }

    /// One that came so many milliseconds ago and waited in its socket.
    pub(crate) fn datagram_of(
        &mut self,
        ms_ago: u64,
        n: u16,
        channel: Channel,
        from: SocketAddr,
        bytes: &[u8],
    ) -> Behind {
        self.wire.now_ms = self.now_ms();
        let (wire, came) = (&mut self.wire, self.now - Duration::from_millis(ms_ago));
        let behind = self.engine.handle_packet(port(n), channel, from, bytes, came, wire);
        self.drain();
        behind
    }

    pub(crate) fn rtp(&mut self, n: u16, header: &Header, payload: &[u8]) {
        self.rtp_from(phone(n), n, header, payload);
    }

    pub(crate) fn rtp_from(&mut self, from: SocketAddr, n: u16, header: &Header, payload: &[u8]) {
        let bytes = [&header.bytes(), payload].concat();
        self.datagram(n, Channel::Rtp, from, &bytes);
    }

    /// RTP that a leg sent: when, header and payload.
    pub(crate) fn heard(&self, n: u16) -> Vec<(u64, Header, Vec<u8>)> {
        let sent = self.wire.sent.iter();
        sent.filter(|sent| sent.port == port(n) && sent.channel == Channel::Rtp)
            .map(|sent| {
                let packet = Packet::parse(&sent.bytes).unwrap();
                (sent.at_ms, packet.header, packet.payload.to_vec())
            })
            .collect()
    }

    /// RTCP that a leg sent.
    pub(crate) fn reports(&self, n: u16) -> Vec<&Sent> {
        let sent = self.wire.sent.iter();
        sent.filter(|sent| sent.port == port(n) && sent.channel == Channel::Rtcp).collect()
    }

    fn drain(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            self.events.push(event);
        }
    }
}

/// Audio packets of one phone, in order, every byte the same.
pub(crate) struct Speaker {
    pub(crate) header: Header,
    pub(crate) samples: u32,
}

impl Speaker {
    pub(crate) fn new(n: u16, law: Law) -> Self {
        let payload_type = payload_type(law);
        let (sequence, timestamp, ssrc) = (100 * n, 16_000, 0xB000 + u32::from(n));
        let header = Header { marker: false, payload_type, sequence, timestamp, ssrc };
        Self { header, samples: 160 }
    }

    /// The header of the next packet.
    pub(crate) fn next(&mut self) -> Header {
        let header = self.header;
        self.header.sequence = header.sequence.wrapping_add(1);
        self.header.timestamp = header.timestamp.wrapping_add(self.samples);
        header
    }

    pub(crate) fn say(&mut self, bench: &mut Bench, n: u16, byte: u8) {
        let header = self.next();
        bench.rtp(n, &header, &vec![byte; self.samples as usize]);
    }
}

/// Fails unless these packets are one stream: same SSRC, sequence +1, time stamp +160, one marker
/// at its very beginning.
pub(crate) fn assert_one_stream(n: u16, heard: &[(u64, Header, Vec<u8>)]) {
    let start = stream(n);
    for (place, (at_ms, header, _)) in (0_u32..).zip(heard) {
        let expected = Header {
            marker: place == 0,
            payload_type: header.payload_type,
            sequence: start.sequence.wrapping_add(u16::try_from(place & 0xFFFF).unwrap()),
            timestamp: start.timestamp.wrapping_add(place.wrapping_mul(160)),
            ssrc: start.ssrc,
        };
        assert_eq!(*header, expected, "packet {place} of party {n} at {at_ms} ms");
    }
}

/// The longest time between two packets.
pub(crate) fn longest_gap_ms(heard: &[(u64, Header, Vec<u8>)]) -> u64 {
    heard.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(0)
}

/// A generator for tests: repeats from its seed.
pub(crate) struct Dice(pub u64);

impl Dice {
    /// 0 to `below - 1`.
    pub(crate) fn roll(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}
