//! Legs of every codec in one engine, each with a far side that speaks its own tone and listens for the others'.

use super::*;
use crate::{
    engine::{Channel, Engine, EngineConfig, Out},
    jitter::{Delay, Order as Place, Speech},
    music::{Gain, Tune},
    order::{
        Event, Law, LegName, LegReport, Opus, PortName, RecordFrame, Remote, Role, Source, Stream,
        TalkName, TuneId,
    },
    record::unpack,
    rtp::header::{Header, Packet},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

mod joints;
mod networks;

const TALK: TalkName = TalkName(9);

fn coded(coding: Coding, payload_type: u8, packet_ms: u8) -> Codec {
    let event_factor = if matches!(coding, Coding::Opus(_)) { 6 } else { 1 };
    Codec { coding, payload_type, packet_ms, event_factor }
}

fn opus_at(rate: Rate) -> Opus {
    let bitrate = match rate {
        Rate::Hz8000 => 16_000,
        Rate::Hz16000 => 24_000,
        Rate::Hz48000 => 64_000,
    };
    Opus { rate, bitrate, fec: true, dtx: false, complexity: 5 }
}

/// Every way we can speak: each coding, and packets from 10 to 60 ms.
fn all_codecs() -> Vec<Codec> {
    vec![
        Codec::g711(Law::A, 8),
        Codec::g711(Law::Mu, 0),
        coded(Coding::G711(Law::A), 8, 30),
        coded(Coding::G711(Law::Mu), 0, 10),
        coded(Coding::G722, 9, 20),
        coded(Coding::G722, 9, 60),
        coded(Coding::L16(Rate::Hz16000), 96, 20),
        coded(Coding::L16(Rate::Hz8000), 97, 40),
        coded(Coding::L16(Rate::Hz48000), 98, 20),
        coded(Coding::Opus(opus_at(Rate::Hz16000)), 111, 20),
        coded(Coding::Opus(opus_at(Rate::Hz8000)), 111, 60),
        coded(Coding::Opus(opus_at(Rate::Hz48000)), 111, 10),
    ]
}

/// A far side: its own encoder and decoder, and everything it was sent.
struct Far {
    n: u16,
    codec: Codec,
    packer: Packer,
    hearing: Hearing,
    scale: Scale,
    delay: Delay,
    hertz: f64,
    spoken: usize,
    next: Header,
    heard: Vec<i16>,
    sent: Vec<(Header, usize)>,
    lose: fn(u16) -> bool,
    speaks: Speaks,
}

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Nothing,
    Tone,
    Voice,
}

impl Far {
    fn new(n: u16, codec: Codec, hertz: f64) -> Self {
        let ssrc = u32::from(n);
        let payload_type = codec.payload_type;
        Self {
            n,
            codec,
            packer: Packer::new(Encoder::new(codec.coding).unwrap(), codec),
            hearing: Hearing::new(codec.coding).unwrap(),
            scale: Scale::new(codec.coding.clock_factor()),
            delay: Delay::default(),
            hertz,
            spoken: 0,
            next: Header { marker: false, payload_type, sequence: 65_500, timestamp: 7, ssrc },
            heard: vec![],
            sent: vec![],
            lose: |_| false,
            speaks: Speaks::Tone,
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
    /// 20 ms of its tone, in however many packets.
    fn say(&mut self) -> Vec<Vec<u8>> {
        let rate = self.codec.coding.rate();
        let frame: Vec<_> = (0..rate.samples())
            .map(|_| {
                let turn = self.spoken as f64 * self.hertz / f64::from(rate.hertz());
                self.spoken += 1;
                let tone = (turn * std::f64::consts::TAU).sin() * 8_000.0;
                match self.speaks {
                    Speaks::Nothing => 0,
                    Speaks::Tone => tone as i16,
                    // Saw teeth that swell four times a second: a voice to an encoder that looks for one.
                    Speaks::Voice => {
                        let swell = (turn / self.hertz * 4.0 * std::f64::consts::TAU).sin() + 1.0;
                        ((turn.fract() * 2.0 - 1.0) * 6_000.0 * swell) as i16
                    }
                }
            })
            .collect();
        let factor = self.codec.coding.clock_factor();
        let (mut header, mut packets) = (self.next, vec![]);
        self.packer.take(&frame, |packet| {
            let back = packet.before * factor.cast_signed();
            let timestamp = header.timestamp.wrapping_add_signed(-back);
            let bytes = Header { timestamp, ..header }.bytes();
            if !(self.lose)(header.sequence) {
                packets.push([&bytes[..], packet.payload].concat());
            }
            header.sequence = header.sequence.wrapping_add(1);
        });
        header.timestamp = header.timestamp.wrapping_add(160 * factor);
        self.next = header;
        packets
    }

    fn take(&mut self, bytes: &[u8], now: u32) {
        let packet = Packet::parse(bytes).unwrap();
        self.sent.push((packet.header, packet.payload.len()));
        if packet.header.payload_type != self.codec.payload_type {
            return;
        }
        let timestamp = self.scale.take(packet.header.timestamp);
        let order = if self.sent.len() == 1 { Place::First } else { Place::Next { lost: 0 } };
        let speech = Speech { timestamp, payload: packet.payload, arrival: now, order };
        self.hearing.put(&speech, &mut self.delay);
        self.delay.take(timestamp, now);
    }

    fn listen(&mut self, now: u32) {
        let mut frame = vec![0; self.codec.coding.rate().samples()];
        self.hearing.take(&self.delay, 480, now, &mut frame);
        self.heard.extend(frame);
    }

    /// The share of the last second's loudness that lies at this frequency.
    fn share(&self, hertz: f64) -> f64 {
        let rate = self.codec.coding.rate();
        let heard = &self.heard[self.heard.len() - rate.hertz() as usize..];
        share(heard, rate, hertz)
    }
}

fn share(heard: &[i16], rate: Rate, hertz: f64) -> f64 {
    let (mut sine, mut cosine, mut all) = (0.0, 0.0, 1.0);
    for (n, sample) in heard.iter().enumerate() {
        let turn = n as f64 * hertz / f64::from(rate.hertz()) * std::f64::consts::TAU;
        sine += f64::from(*sample) * turn.sin();
        cosine += f64::from(*sample) * turn.cos();
        all += f64::from(*sample).powi(2);
    }
    (sine.powi(2) + cosine.powi(2)) * 2.0 / heard.len() as f64 / all
}

struct Bench {
    engine: Engine,
    now: Instant,
    ms: u64,
    wire: Wire,
    far: Vec<Far>,
    events: Vec<Event>,
    scrap: usize,
}

#[derive(Default)]
struct Wire {
    sent: Vec<(PortName, Vec<u8>)>,
    recorded: Vec<RecordFrame>,
}

impl Out for Wire {
    fn send(&mut self, port: PortName, channel: Channel, _to: SocketAddr, bytes: &[u8]) {
        if channel == Channel::Rtp {
            self.sent.push((port, bytes.to_vec()));
        }
    }

    fn record(&mut self, frame: &RecordFrame) -> bool {
        self.recorded.push(*frame);
        true
    }
}

fn name(n: u16) -> LegName {
    LegName(n.into())
}

fn port(n: u16) -> PortName {
    PortName(20_000 + 2 * n)
}

fn address(n: u16) -> SocketAddr {
    format!("192.0.2.{n}:4000").parse().unwrap()
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        let config = EngineConfig {
            legs_max: 40,
            talks_max: 10,
            silent_after: Duration::from_secs(10),
            tunes: vec![Arc::new(Tune::test_tone())],
            rtcp_interval: Duration::from_secs(5),
            cname: "media@192.0.2.100".into(),
            shared: all_codecs().iter().map(|codec| codec.coding).collect(),
            ntp_epoch: 0,
        };
        Self {
            engine: Engine::new(config, now),
            now,
            ms: 0,
            wire: Wire::default(),
            far: vec![],
            events: vec![],
            scrap: 0,
        }
    }

    fn order(&mut self, order: Order) {
        self.engine.handle_order(Command::equip(order), self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(event) = self.engine.poll_event() {
            assert!(!matches!(event, Event::Refused { .. }), "{event:?}");
            self.events.push(event);
        }
        while self.engine.poll_scrap().is_some() {
            self.scrap += 1;
        }
    }

    fn party(&mut self, codec: Codec, hertz: f64) -> u16 {
        let n = u16::try_from(self.far.len()).unwrap() + 1;
        let stream = Stream { ssrc: n.into(), sequence: 65_530, timestamp: u32::MAX - 1_000 };
        self.order(Order::Open { leg: name(n), port: port(n), stream, talk: TalkName(0) });
        self.connect(n, codec);
        self.far.push(Far::new(n, codec, hertz));
        n
    }

    fn connect(&mut self, n: u16, codec: Codec) {
        let (rtp, signalling) = (address(n), address(n).ip());
        let remote = Remote { rtp, rtcp: rtp, signalling };
        let telephone_event = Some(101);
        let leg = name(n);
        let (sends, receives) = (true, true);
        self.order(Order::Connect { leg, remote, codec, telephone_event, sends, receives });
    }

    fn renew(&mut self, n: u16, sends: bool) {
        let (rtp, signalling) = (address(n), address(n).ip());
        let remote = Remote { rtp, rtcp: rtp, signalling };
        let (leg, telephone_event, receives) = (name(n), Some(101), true);
        self.order(Order::Renew { leg, remote, telephone_event, sends, receives });
    }

    fn bridge(&mut self, caller: u16, other: u16) {
        let (caller, other) = (name(caller), name(other));
        self.order(Order::Bridge { talk: TALK, caller, other, record: true });
    }

    fn run(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += Duration::from_millis(1);
            self.ms += 1;
            let samples = u32::try_from(self.ms * 8).unwrap();
            for far in &mut self.far {
                if (self.ms + u64::from(far.n) * 7).is_multiple_of(20) {
                    for packet in far.say() {
                        let Self { engine, wire, now, .. } = self;
                        let (port, from) = (port(far.n), address(far.n));
                        engine.handle_packet(port, Channel::Rtp, from, &packet, *now, wire);
                    }
                }
            }
            self.engine.tick(self.now, &mut self.wire);
            for (port, bytes) in std::mem::take(&mut self.wire.sent) {
                let n = (port.0 - 20_000) / 2;
                self.far[usize::from(n) - 1].take(&bytes, samples);
            }
            for far in &mut self.far {
                if (self.ms + u64::from(far.n) * 3).is_multiple_of(20) {
                    far.listen(samples);
                }
            }
            self.drain();
        }
    }

    fn far(&self, n: u16) -> &Far {
        &self.far[usize::from(n) - 1]
    }

    /// Sequence +1, the same name, time stamps as far apart as the packets are long.
    fn assert_whole(&self, n: u16) {
        let far = self.far(n);
        let factor = far.codec.coding.clock_factor();
        let step = 8 * factor * u32::from(pack::tens(far.codec)) * 10;
        for pair in far.sent.windows(2) {
            let (first, second) = (pair[0].0, pair[1].0);
            assert_eq!(second.ssrc, first.ssrc);
            assert_eq!(second.sequence, first.sequence.wrapping_add(1), "party {n}");
            let way = second.timestamp.wrapping_sub(first.timestamp);
            assert_eq!(way, step, "party {n} {:?}", far.codec);
        }
    }

    fn close(&mut self, n: u16) -> LegReport {
        self.order(Order::Close { leg: name(n) });
        let closed = self.events.iter().rev().find_map(|event| {
            let Event::Closed { leg, report } = event else { return None };
            (*leg == name(n)).then_some(*report)
        });
        closed.unwrap()
    }

    /// One track of the recording.
    fn recorded(&self, right: usize) -> Vec<i16> {
        let frames = self.wire.recorded.iter();
        let audio = frames.filter(|frame| frame.kind == crate::order::RecordKind::Audio);
        audio.flat_map(|frame| unpack(&frame.tracks).map(|pair| pair[right])).collect()
    }
}

#[test]
fn whoever_speaks_whatever_is_heard_by_whoever_listens_in_whatever_and_recorded() {
    for caller in all_codecs() {
        for other in all_codecs() {
            let mut bench = Bench::new();
            let (one, two) = (bench.party(caller, 440.0), bench.party(other, 1_300.0));
            bench.bridge(one, two);

            bench.run(2_500);

            let heard = (bench.far(one).share(1_300.0), bench.far(two).share(440.0));
            assert!(heard.0 > 0.95 && heard.1 > 0.95, "{caller:?} {other:?}: {heard:?}");
            for n in [one, two] {
                bench.assert_whole(n);
                let sent = bench.far(n).sent.len();
                let wanted = 2_400 / 10 / usize::from(pack::tens(bench.far(n).codec));
                assert!(sent >= wanted - 3, "{caller:?} {other:?}: {sent} of {wanted}");
            }
            for (right, hertz) in [(0, 440.0), (1, 1_300.0)] {
                let track = bench.recorded(right);
                let track = &track[track.len() - 8_000..];
                let found = share(track, Rate::Hz8000, hertz);
                assert!(found > 0.95, "{caller:?} {other:?} track {right}: {found}");
            }
            let reports = [bench.close(one), bench.close(two)];
            for report in reports {
                assert_eq!((report.packets_dropped, report.packets_lost), (0, 0), "{caller:?}");
                assert!(report.frames_concealed <= 2, "{caller:?} {other:?}: {report:?}");
            }
        }
    }
}

#[test]
fn a_conference_of_all_rates_hears_everybody_but_oneself() {
    let tones = [400.0, 700.0, 1_000.0, 1_300.0];
    let codecs = [
        Codec::g711(Law::A, 8),
        coded(Coding::G722, 9, 20),
        coded(Coding::Opus(opus_at(Rate::Hz48000)), 111, 20),
        coded(Coding::Opus(opus_at(Rate::Hz8000)), 111, 20),
    ];
    let mut bench = Bench::new();
    let all: Vec<_> =
        codecs.iter().zip(tones).map(|(codec, hertz)| bench.party(*codec, hertz)).collect();
    bench.bridge(all[0], all[1]);
    for n in &all[2..] {
        bench.order(Order::Join { talk: TALK, leg: name(*n), role: Role::Speaks });
    }

    bench.run(2_500);

    for (listener, own) in all.iter().zip(tones) {
        for hertz in tones {
            let found = bench.far(*listener).share(hertz);
            if hertz == own {
                assert!(found < 0.01, "{listener} hears itself: {found}");
            } else {
                assert!((0.25..0.42).contains(&found), "{listener} at {hertz}: {found}");
            }
        }
        bench.assert_whole(*listener);
    }
    bench.order(Order::Leave { leg: name(all[2]), hears: Source::Silence });
    bench.order(Order::Leave { leg: name(all[3]), hears: Source::Silence });
    bench.run(1_500);
    assert!(bench.far(all[0]).share(700.0) > 0.95 && bench.far(all[1]).share(400.0) > 0.95);
    assert!(bench.far(all[2]).share(400.0) < 0.01);
}

#[test]
fn a_codec_may_change_in_the_middle_of_a_talk() {
    let mut bench = Bench::new();
    let (one, two) =
        (bench.party(Codec::g711(Law::A, 8), 440.0), bench.party(Codec::g711(Law::Mu, 0), 1_300.0));
    bench.bridge(one, two);
    bench.run(1_000);

    for codec in [
        coded(Coding::Opus(opus_at(Rate::Hz16000)), 111, 20),
        coded(Coding::G722, 9, 20),
        Codec::g711(Law::A, 8),
    ] {
        bench.connect(one, codec);
        let mut far = Far::new(one, codec, 440.0);
        (far.next.sequence, far.next.timestamp) = (bench.far(one).next.sequence, 77);
        bench.far[0] = far;
        bench.run(2_000);

        let heard = (bench.far(one).share(1_300.0), bench.far(two).share(440.0));
        assert!(heard.0 > 0.95 && heard.1 > 0.95, "{codec:?}: {heard:?}");
        bench.assert_whole(one);
    }
    bench.assert_whole(two);
    assert_eq!(bench.scrap, 2, "the coders that were left are given back");
    bench.close(one);
    bench.close(two);
    assert!(bench.engine.counters().frames_concealed < 20);
}

#[test]
fn a_session_that_is_refreshed_keeps_its_coder_and_what_waits_in_it() {
    let mut bench = Bench::new();
    let codec = coded(Coding::Opus(opus_at(Rate::Hz16000)), 111, 20);
    let (one, two) = (bench.party(codec, 440.0), bench.party(Codec::g711(Law::A, 8), 1_300.0));
    bench.bridge(one, two);
    bench.run(1_500);

    bench.connect(one, codec);
    bench.run(1_500);

    assert!(bench.far(two).share(440.0) > 0.98);
    assert_eq!(bench.scrap, 1, "the new coder is not wanted");
    assert_eq!(bench.close(one).frames_concealed, 0);
}

#[test]
fn who_waits_hears_music_in_their_own_codec() {
    for codec in all_codecs() {
        let mut bench = Bench::new();
        let one = bench.party(codec, 440.0);
        bench.order(Order::Hear { leg: name(one), source: Source::Music(TuneId(0)) });

        bench.run(2_500);

        let music = (bench.far(one).share(440.0), bench.far(one).share(550.0));
        assert!(music.0 > 0.4 && music.1 > 0.25, "{codec:?}: {music:?}");
        bench.assert_whole(one);
    }
}

#[test]
fn keys_go_over_between_clocks_of_8_and_48_khz_with_their_length() {
    let opus = coded(Coding::Opus(opus_at(Rate::Hz16000)), 111, 20);
    for (from, to) in [(opus, Codec::g711(Law::A, 8)), (Codec::g711(Law::A, 8), opus)] {
        let mut bench = Bench::new();
        let (one, two) = (bench.party(from, 440.0), bench.party(to, 1_300.0));
        bench.bridge(one, two);
        bench.run(500);
        let told = bench.far(two).sent.len();

        let mut header = bench.far(one).next;
        header.payload_type = 101;
        for n in 1..=10_u16 {
            let duration = n * 160 * u16::from(from.event_factor);
            let end = if n == 10 { 0x80 } else { 0 };
            let [high, low] = duration.to_be_bytes();
            let packet = [&header.bytes()[..], &[5, end | 10, high, low]].concat();
            let Bench { engine, wire, now, .. } = &mut bench;
            engine.handle_packet(port(one), Channel::Rtp, address(one), &packet, *now, wire);
            header.sequence = header.sequence.wrapping_add(1);
            bench.far[0].next.sequence = header.sequence;
            bench.far[0].speaks = Speaks::Nothing;
            bench.run(20);
            header.sequence = bench.far(one).next.sequence;
        }
        bench.run(400);

        let pressed = bench.events.iter().filter_map(|event| {
            let Event::Digit { digit, duration, .. } = event else { return None };
            Some((digit.key(), duration.as_millis()))
        });
        let pressed: Vec<_> = pressed.collect();
        assert_eq!(pressed, [('5', 200)]);
        let keys: Vec<_> =
            bench.far(two).sent[told..].iter().filter(|sent| sent.0.payload_type == 101).collect();
        assert!(keys.len() > 8, "{}", keys.len());
        let far = bench.far(two);
        for pair in far.sent.windows(2) {
            assert_eq!(pair[1].0.sequence, pair[0].0.sequence.wrapping_add(1));
        }
    }
}

#[test]
fn an_order_for_a_codec_without_its_coder_is_refused_by_name() {
    let mut bench = Bench::new();
    let n = bench.party(Codec::g711(Law::A, 8), 440.0);
    let remote = Remote { rtp: address(n), rtcp: address(n), signalling: address(n).ip() };
    let order = Order::Connect {
        leg: name(n),
        remote,
        codec: coded(Coding::G722, 9, 20),
        telephone_event: None,
        sends: true,
        receives: true,
    };

    bench.engine.handle_order(order, bench.now);

    let what = "connect: not the coder of this codec";
    assert_eq!(bench.engine.poll_event(), Some(Event::Refused { leg: name(n), what }));
    bench.run(200);
}

#[test]
fn what_is_agreed_again_makes_nothing_and_what_a_coder_has_come_to_goes_on() {
    for coding in [Coding::G722, Coding::Opus(opus_at(Rate::Hz16000))] {
        let mut bench = Bench::new();
        let one = bench.party(coded(coding, 99, 20), 440.0);
        let two = bench.party(Codec::g711(Law::A, 8), 1_300.0);
        bench.bridge(one, two);
        bench.run(1_500);
        let before = bench.engine.coder_of(name(one));
        assert!(before.is_some());

        bench.renew(one, true);
        bench.run(500);
        let heard = bench.far(one).sent.len();
        bench.renew(one, false);
        bench.run(500);
        assert_eq!(bench.far(one).sent.len(), heard, "who wants nothing is sent nothing");
        bench.renew(one, true);
        bench.run(1_500);

        assert_eq!((bench.engine.coder_of(name(one)), bench.scrap), (before, 0));
        bench.assert_whole(one);
        assert!(bench.far(one).share(1_300.0) > 0.9, "{coding:?}");
        assert!(bench.far(two).share(440.0) > 0.9, "{coding:?}");
    }
}

#[test]
fn what_was_never_agreed_is_not_agreed_again() {
    let mut bench = Bench::new();
    let stream = Stream { ssrc: 1, sequence: 0, timestamp: 0 };
    bench.order(Order::Open { leg: name(1), port: port(1), stream, talk: TalkName(0) });

    for (leg, what) in
        [(name(1), "renew: this leg was never connected"), (name(9), "renew: no such leg")]
    {
        let remote = Remote { rtp: address(1), rtcp: address(1), signalling: address(1).ip() };
        let (telephone_event, sends, receives) = (None, true, true);
        let order = Order::Renew { leg, remote, telephone_event, sends, receives };
        bench.engine.handle_order(order, bench.now);
        assert_eq!(bench.engine.poll_event(), Some(Event::Refused { leg, what }));
    }
}

#[test]
fn thirty_who_wait_in_one_codec_take_one_encoder() {
    for coding in [Coding::G722, Coding::Opus(opus_at(Rate::Hz16000))] {
        let codec = coded(coding, 99, 20);
        let mut bench = Bench::new();
        for _ in 0..30 {
            let one = bench.party(codec, 440.0);
            bench.order(Order::Hear { leg: name(one), source: Source::Music(TuneId(0)) });
        }
        bench.run(1_000);
        let before = bench.engine.counters().frames_encoded;

        bench.run(2_000);

        let encoded = bench.engine.counters().frames_encoded - before;
        assert!((99..=101).contains(&encoded), "{coding:?}: {encoded}");
        for n in 1..=30 {
            assert!(bench.far(n).share(440.0) > 0.4, "{coding:?}: {n}");
            bench.assert_whole(n);
        }
    }
}

#[test]
fn encoders_spend_less_under_pressure_and_who_comes_then_does_too() {
    let complexity = |bench: &mut Bench, n: u16| {
        let slot = bench.far(n).n;
        bench.engine.complexity_of(name(slot))
    };
    let codec = coded(Coding::Opus(opus_at(Rate::Hz16000)), 111, 20);
    let mut bench = Bench::new();
    let one = bench.party(codec, 440.0);
    assert_eq!(complexity(&mut bench, one), Some(5));

    bench.engine.set_effort(Effort::Least);
    let two = bench.party(codec, 1_300.0);
    assert_eq!((complexity(&mut bench, one), complexity(&mut bench, two)), (Some(0), Some(0)));
    bench.bridge(one, two);
    bench.run(1_500);
    assert!(bench.far(one).share(1_300.0) > 0.9 && bench.far(two).share(440.0) > 0.9);

    bench.engine.set_effort(Effort::Usual);
    assert_eq!(complexity(&mut bench, two), Some(5));
}
