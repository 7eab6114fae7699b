//! The media engine without a system: packets relayed, ticks, hold music, against a bare copy.

use clavija_benches::race::{self, Race};
use media_core::{
    engine::{Channel, Engine, EngineConfig, Out},
    music::Tune,
    order::{
        Codec, Law, LegName, Order, PortName, RecordFrame, Remote, Role, Source, Stream, TalkName,
        TuneId,
    },
};
use std::{
    hint::black_box,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

const PACKET_BYTES: usize = 172;
const FRAME: Duration = Duration::from_millis(20);
const TICK: Duration = Duration::from_millis(1);

/// Takes what leaves, looks at it and forgets it.
#[derive(Default)]
struct Sink {
    sent: u64,
    recorded: u64,
}

impl Out for Sink {
    fn send(&mut self, _: PortName, channel: Channel, _: SocketAddr, bytes: &[u8]) {
        self.sent += u64::from(channel == Channel::Rtp);
        black_box(bytes);
    }

    fn record(&mut self, frame: &RecordFrame) -> bool {
        self.recorded += 1;
        black_box(frame);
        true
    }
}

/// One stream of packets, each as the one before with the next numbers.
struct Speech {
    packet: [u8; PACKET_BYTES],
    sequence: u16,
    timestamp: u32,
}

impl Speech {
    fn new(law: Law, ssrc: u32) -> Self {
        let mut packet = [0x55; PACKET_BYTES];
        packet[..2].copy_from_slice(&[0x80, payload_type(law)]);
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        Self { packet, sequence: 0, timestamp: 0 }
    }

    fn next(&mut self) -> &[u8; PACKET_BYTES] {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        &self.packet
    }
}

fn payload_type(law: Law) -> u8 {
    match law {
        Law::A => 8,
        Law::Mu => 0,
    }
}

/// An engine, its clock, and what its parties say.
struct Bench {
    engine: Engine,
    now: Instant,
    out: Sink,
    speech: Vec<Speech>,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let config = EngineConfig {
            legs_max: 256,
            talks_max: 128,
            silent_after: Duration::from_secs(30),
            tunes: vec![Arc::new(Tune::test_tone())],
            rtcp_interval: Duration::from_secs(5),
            cname: "media@192.0.2.100".to_owned(),
            shared: vec![],
            ntp_epoch: 0,
        };
        Self {
            engine: Engine::new(config, now),
            now,
            out: Sink::default(),
            speech: vec![Speech::new(Law::A, 1), Speech::new(Law::A, 2)],
        }
    }

    /// Two who hear each other.
    fn bridged(laws: [Law; 2], record: bool) -> Self {
        let mut bench = Self::new();
        bench.speech = vec![Speech::new(laws[0], 1), Speech::new(laws[1], 2)];
        bench.open(0, laws[0], Source::Silence);
        bench.open(1, laws[1], Source::Silence);
        let (talk, caller, other) = (TalkName(1), leg(0), leg(1));
        bench.engine.handle_order(Order::Bridge { talk, caller, other, record }, bench.now);
        bench
    }

    /// So many who hear each other, three at least.
    fn room(parties: u16) -> Self {
        let mut bench = Self::bridged([Law::A, Law::A], false);
        for number in 2..parties {
            bench.speech.push(Speech::new(Law::A, 1 + u32::from(number)));
            bench.open(number, Law::A, Source::Silence);
            let join = Order::Join { talk: TalkName(1), leg: leg(number), role: Role::Speaks };
            bench.engine.handle_order(join, bench.now);
        }
        bench
    }

    /// So many who hear the same.
    fn hearing(legs: u16, source: Source) -> Self {
        let mut bench = Self::new();
        (0..legs).for_each(|number| bench.open(number, Law::A, source));
        bench
    }

    fn open(&mut self, number: u16, law: Law, source: Source) {
        let (leg, port) = (leg(number), port(number));
        let from = phone(number);
        let remote = Remote {
            rtp: from,
            rtcp: SocketAddr::new(from.ip(), from.port() + 1),
            signalling: from.ip(),
        };
        let stream = Stream { ssrc: 1_000 + u32::from(number), sequence: 1, timestamp: 1 };
        let codec = Codec::g711(law, payload_type(law));
        let connect = Order::Connect {
            leg,
            remote,
            codec,
            telephone_event: None,
            sends: true,
            receives: true,
        };
        for order in [
            Order::Open { leg, port, stream, talk: TalkName(0) },
            connect,
            Order::Hear { leg, source },
        ] {
            self.engine.handle_order(order, self.now);
        }
    }

    /// 20 ms of a call without its ticks: a packet each way.
    fn packets(&mut self) {
        self.now += FRAME;
        self.say(0);
        self.say(1);
    }

    /// 20 ms of a call as the media thread does it: a packet of everybody and twenty ticks.
    fn frame(&mut self) {
        (0..).zip(0..self.speech.len()).for_each(|(party, _)| self.say(party));
        self.ticks();
    }

    fn ticks(&mut self) {
        for _ in 0..20 {
            self.tick();
        }
    }

    fn tick(&mut self) {
        self.now += TICK;
        self.engine.tick(self.now, &mut self.out);
        while let Some(event) = self.engine.poll_event() {
            black_box(event);
        }
    }

    fn say(&mut self, party: u16) {
        let bytes = self.speech[usize::from(party)].next();
        let (port, from) = (port(party), phone(party));
        self.engine.handle_packet(port, Channel::Rtp, from, bytes, self.now, &mut self.out);
    }
}

fn leg(number: u16) -> LegName {
    LegName(u64::from(number) + 1)
}

fn port(number: u16) -> PortName {
    PortName(20_000 + 2 * number)
}

fn phone(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, number.to_be_bytes()[1]], 4_000))
}

/// What relaying comes to without any of its questions: the payload copied behind a new header.
struct Copying {
    speech: [Speech; 2],
    stream: Stream,
}

impl Copying {
    fn new() -> Self {
        let stream = Stream { ssrc: 1, sequence: 1, timestamp: 1 };
        Self { speech: [Speech::new(Law::A, 1), Speech::new(Law::A, 2)], stream }
    }

    fn packets(&mut self) {
        for speech in &mut self.speech {
            let packet = black_box(speech.next());
            let mut copy = [0; PACKET_BYTES];
            copy[..2].copy_from_slice(&[0x80, 8]);
            copy[2..4].copy_from_slice(&self.stream.sequence.to_be_bytes());
            copy[4..8].copy_from_slice(&self.stream.timestamp.to_be_bytes());
            copy[8..12].copy_from_slice(&self.stream.ssrc.to_be_bytes());
            copy[12..].copy_from_slice(&packet[12..]);
            self.stream.sequence = self.stream.sequence.wrapping_add(1);
            self.stream.timestamp = self.stream.timestamp.wrapping_add(160);
            black_box(&copy);
        }
    }
}

/// A figure for packets that were dropped would be a figure for nothing.
fn check_that_it_happens() {
    let mut bridged = [
        Bench::bridged([Law::A, Law::A], false),
        Bench::bridged([Law::A, Law::Mu], false),
        Bench::bridged([Law::A, Law::A], true),
    ];
    for bench in &mut bridged {
        (0..500).for_each(|_| bench.frame());
        assert!((995..=1_000).contains(&bench.out.sent), "{}", bench.out.sent);
    }
    assert!(bridged[2].out.recorded >= 495, "{}", bridged[2].out.recorded);
    for parties in [3, 32] {
        let mut room = Bench::room(parties);
        (0..500).for_each(|_| room.frame());
        let parties = u64::from(parties);
        // Each by its own grid: one more where that has just begun.
        assert!((495 * parties..=501 * parties).contains(&room.out.sent), "{}", room.out.sent);
    }
    let mut packets = Bench::bridged([Law::A, Law::A], false);
    (0..500).for_each(|_| packets.packets());
    assert_eq!(packets.out.sent, 1_000);
    let mut music = Bench::hearing(100, Source::Music(TuneId(0)));
    (0..500).for_each(|_| music.ticks());
    assert!((49_900..=50_100).contains(&music.out.sent), "{}", music.out.sent);
    let mut idle = Bench::hearing(100, Source::Nothing);
    (0..500).for_each(|_| idle.ticks());
    assert_eq!(idle.out.sent, 0);
}

fn main() {
    let mut criterion = race::criterion();
    check_that_it_happens();
    let mut copying = Copying::new();
    let mut same = Bench::bridged([Law::A, Law::A], false);
    let mut other = Bench::bridged([Law::A, Law::Mu], false);
    Race::new("relay two packets")
        .add("copied behind a new header", || copying.packets())
        .add("same law", || same.packets())
        .add("other law", || other.packets())
        .run(&mut criterion);

    let mut copying = Copying::new();
    let mut empty = Bench::new();
    let mut plain = Bench::bridged([Law::A, Law::A], false);
    let mut other = Bench::bridged([Law::A, Law::Mu], false);
    let mut recorded = Bench::bridged([Law::A, Law::A], true);
    Race::new("20 ms of a call: two packets and twenty ticks")
        .add("two packets copied, no ticks", || copying.packets())
        .add("twenty ticks of an engine without legs", || empty.ticks())
        .add("same law", || plain.frame())
        .add("other law", || other.frame())
        .add("same law, recorded", || recorded.frame())
        .run(&mut criterion);

    let mut plain = Bench::bridged([Law::A, Law::A], false);
    let (mut three, mut many) = (Bench::room(3), Bench::room(32));
    Race::new("20 ms of a room: a packet of everybody and twenty ticks")
        .add("a bridge of two", || plain.frame())
        .add("three", || three.frame())
        .add("32", || many.frame())
        .run(&mut criterion);

    let mut copying = Copying::new();
    let mut idle = Bench::hearing(200, Source::Nothing);
    let mut music = Bench::hearing(200, Source::Music(TuneId(0)));
    // One tick serves the ten legs of its phase.
    Race::new("one tick of 200 legs, ten of them due")
        .add("ten packets copied", || (0..5).for_each(|_| copying.packets()))
        .add("idle legs", || idle.tick())
        .add("legs that hear music", || music.tick())
        .run(&mut criterion);
    criterion.final_summary();
}
