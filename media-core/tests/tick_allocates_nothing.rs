//! After start nothing allocates: orders, packets and ticks, whatever the legs are doing.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
#![expect(unsafe_code, reason = "an allocator that counts has to be an allocator")]

use media_core::{
    codec::g711,
    coder::Command,
    engine::{Channel, Engine, EngineConfig, Out},
    frame::Rate,
    music::Tune,
    order::{
        By, Codec, Coding, Digit, Digits, Event, Law, LegName, LegReport, OnDigit, Opaque, Opus,
        Order, PortName, PromptEnd, PromptName, RecordFrame, Recorded, Remote, Role, Source,
        Stream, TalkName, TuneId,
    },
    rtp::{
        header::{Header, Packet},
        rtcp::{Compound, LastSender},
        stats::Reception,
        xr::VoipMetrics,
    },
    srtp::{GROWTH_MAX, Keys, MasterKey, Receiver, Sender, Suite},
};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

struct Counting;

thread_local! {
    /// Allocations and releases of this thread. The test's own harness runs on others.
    static TOUCHED: Cell<u64> = const { Cell::new(0) };
}

fn touch() {
    // Unreachable only while the thread is being torn down.
    _ = TOUCHED.try_with(|touched| touched.set(touched.get() + 1));
}

// SAFETY: every call is handed on to the system's allocator unchanged; counting touches a
// thread-local that needs no allocation and no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        touch();
        // SAFETY: the caller's promises are the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        touch();
        // SAFETY: as above; `pointer` came from `alloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        touch();
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Counts what leaves and keeps nothing.
#[derive(Default)]
struct Tally {
    rtp: u64,
    rtcp: u64,
    recorded: u64,
}

impl Out for Tally {
    fn send(&mut self, _: PortName, channel: Channel, _: SocketAddr, _: &[u8]) {
        match channel {
            Channel::Rtp => self.rtp += 1,
            Channel::Rtcp => self.rtcp += 1,
        }
    }

    fn record(&mut self, _: &RecordFrame) -> bool {
        self.recorded += 1;
        true
    }
}

const LEGS: u16 = 100;

fn phone(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, u8::try_from(n).unwrap()], 4000))
}

fn port(n: u16) -> PortName {
    PortName(20_000 + 2 * n)
}

fn leg(n: u16) -> LegName {
    LegName(u64::from(n))
}

fn law(n: u16) -> Law {
    if n.is_multiple_of(3) { Law::Mu } else { Law::A }
}

/// A prompt of half a second.
fn short() -> Tune {
    let flac = include_bytes!("../../tests/corpus/fuzz/tune/flac");
    Tune::import(flac).unwrap().tune
}

fn open(engine: &mut Engine, n: u16, now: Instant) {
    let stream = Stream { ssrc: u32::from(n), sequence: 1, timestamp: 1 };
    engine.handle_order(Order::Open { leg: leg(n), port: port(n), stream, talk: TalkName(0) }, now);
    let rtcp = SocketAddr::new(phone(n).ip(), 4001);
    let remote = Remote { rtp: phone(n), rtcp, signalling: phone(n).ip() };
    let payload_type = if law(n) == Law::A { 8 } else { 0 };
    let codec = Codec::g711(law(n), payload_type);
    let telephone_event = Some(101);
    let connect =
        Order::Connect { leg: leg(n), remote, codec, telephone_event, sends: true, receives: true };
    engine.handle_order(connect, now);
    engine.handle_order(Order::Rate { leg: leg(n), tells: n.is_multiple_of(2) }, now);
    engine.handle_order(Order::Comfort { leg: leg(n), sends: n % 4 > 1 }, now);
    engine.handle_order(Order::Hear { leg: leg(n), source: Source::Music(TuneId(0)) }, now);
    if n % 5 == 3 {
        let told_by = [By::Events, By::Tones, By::Signalling][usize::from(n % 3)];
        let masked = n.is_multiple_of(2);
        let keys = Order::Keys { leg: leg(n), hears_tones: true, told_by, masked };
        engine.handle_order(keys, now);
    }
}

/// 60 ms of the key 5.
fn tones(law: Law, into: &mut [u8]) {
    for (code, at) in into.iter_mut().zip(0_u32..) {
        let turn = std::f64::consts::TAU * f64::from(at) / 8_000.0;
        let sample = 6_000.0 * ((770.0 * turn).sin() + (1_336.0 * turn).sin());
        #[expect(clippy::cast_possible_truncation, reason = "at most 12,000")]
        let sample = sample as i16;
        *code = g711::encode(law, sample);
    }
}

fn talk(n: u16) -> TalkName {
    TalkName(u64::from(n))
}

/// One millisecond: every phone speaks in its own packet time, with losses, digits and reports.
fn speak(engine: &mut Engine, ms: u64, now: Instant, out: &mut Tally) {
    for n in 0..LEGS {
        let packet_ms = [10_u16, 20, 30, 60][usize::from(n % 4)];
        if ms % u64::from(packet_ms) != u64::from(n) % u64::from(packet_ms) {
            continue;
        }
        let count = ms / u64::from(packet_ms);
        if count % 37 == 5 {
            continue; // Lost.
        }
        let digit = count % 50 < 4;
        let audio = if law(n) == Law::A { 8 } else { 0 };
        let header = Header {
            marker: false,
            payload_type: if digit { 101 } else { audio },
            sequence: u16::try_from(count & 0xFFFF).unwrap(),
            timestamp: u32::try_from(count).unwrap() * u32::from(packet_ms) * 8,
            ssrc: 1_000 + u32::from(n),
        };
        let mut bytes = [n.to_be_bytes()[1]; 12 + 480];
        bytes[..12].copy_from_slice(&header.bytes());
        if n % 5 == 3 && !digit && count % 20 < 10 {
            tones(law(n), &mut bytes[12..]);
        }
        let length = 12 + if digit { 4 } else { usize::from(packet_ms) * 8 };
        engine.handle_packet(port(n), Channel::Rtp, phone(n), &bytes[..length], now, out);
        if count % 100 == 9 {
            let block =
                Reception { ssrc: u32::from(n), fraction_lost: 0, lost: 0, highest: 0, jitter: 0 };
            let mut report = Compound::new();
            report.receiver(header.ssrc, Some((&block, LastSender::default())));
            report.voice(header.ssrc, &VoipMetrics { ssrc: block.ssrc, ..VoipMetrics::default() });
            let from = SocketAddr::new(phone(n).ip(), 4001);
            engine.handle_packet(port(n), Channel::Rtcp, from, report.bytes(), now, out);
        }
    }
}

/// What is ordered at this millisecond: bridges, holds, transfers, ends, closes and new calls.
fn give_orders(engine: &mut Engine, ms: u64, now: Instant) {
    for n in (0..LEGS).step_by(2) {
        let (caller, other) = (leg(n), leg(n + 1));
        match (ms + u64::from(n) * 7) % 4_000 {
            500 | 2_000 => {
                let record = n % 4 == 0;
                engine.handle_order(Order::Bridge { talk: talk(n), caller, other, record }, now);
            }
            700 => {
                let keys = Digits::new(&[Digit::try_from('#').unwrap(); 3]).unwrap();
                engine.handle_order(Order::Digits { leg: caller, digits: keys }, now);
            }
            900 => {
                let (digit, duration) = (Digit::try_from('1').unwrap(), Duration::from_millis(90));
                engine.handle_order(Order::Pressed { leg: other, digit, duration }, now);
            }
            // A supervisor of the next talk, and then a third party, until the call is parted.
            800 if n % 4 == 0 => {
                let role = Role::Whispers { to: other };
                engine.handle_order(Order::Join { talk: talk(n), leg: leg(n + 2), role }, now);
            }
            1_000 if n % 4 == 0 => {
                let role = Role::Speaks;
                engine.handle_order(Order::Join { talk: talk(n), leg: leg(n + 2), role }, now);
            }
            1_400 if n % 4 == 0 => {
                let hears = Source::Silence;
                engine.handle_order(Order::Leave { leg: leg(n + 2), hears }, now);
            }
            1_500 => {
                let (caller_hears, other_hears) = (Source::Music(TuneId(0)), Source::Silence);
                engine.handle_order(Order::Part { talk: talk(n), caller_hears, other_hears }, now);
            }
            // A short one and two long ones that a key may stop, over what the leg hears.
            1_550 | 3_550 => {
                for (name, on_digit) in [(0, OnDigit::GoOn), (1, OnDigit::Stop), (2, OnDigit::Stop)]
                {
                    let (prompt, tune) = (PromptName(name), TuneId(u16::from(name == 0)));
                    engine.handle_order(Order::Play { leg: caller, prompt, tune, on_digit }, now);
                }
            }
            450 => engine.handle_order(Order::StopPrompts { leg: caller }, now),
            3_500 => engine.handle_order(Order::EndTalk { talk: talk(n) }, now),
            3_600 => engine.handle_order(Order::Close { leg: other }, now),
            3_700 => open(engine, n + 1, now),
            _ => {}
        }
    }
}

#[test]
fn nothing_allocates_on_hold_bridged_mixing_translating_recording_reporting_or_closing() {
    let mut now = Instant::now();
    let config = EngineConfig {
        legs_max: usize::from(LEGS),
        talks_max: usize::from(LEGS),
        silent_after: Duration::from_millis(300),
        tunes: vec![Arc::new(Tune::test_tone()), Arc::new(short())],
        rtcp_interval: Duration::from_secs(5),
        cname: "media@192.0.2.100".into(),
        shared: vec![],
        ntp_epoch: 0,
    };
    let mut engine = Engine::new(config, now);
    let mut out = Tally::default();
    let (mut bridged, mut ended, mut closed, mut told) = (0, 0, 0, 0);
    let (mut played, mut interrupted) = (0, 0);
    let before = TOUCHED.get();

    (0..LEGS).for_each(|n| open(&mut engine, n, now));
    for ms in 0..12_000 {
        give_orders(&mut engine, ms, now);
        speak(&mut engine, ms, now, &mut out);
        engine.tick(now, &mut out);
        while let Some(event) = engine.poll_event() {
            match event {
                Event::Bridged { .. } => bridged += 1,
                Event::TalkEnded { .. } => ended += 1,
                Event::Closed { .. } => closed += 1,
                Event::PromptEnded { how: PromptEnd::Digit, .. } => interrupted += 1,
                Event::PromptEnded { how: PromptEnd::Played, .. } => played += 1,
                Event::BothWays { .. }
                | Event::Digit { .. }
                | Event::Heard { .. }
                | Event::OneWay { .. }
                | Event::PromptEnded { how: PromptEnd::Left | PromptEnd::Stopped, .. }
                | Event::Refused { .. }
                | Event::Silent { .. } => {}
                Event::Tell { .. } => told += 1,
            }
        }
        now += Duration::from_millis(if ms % 3_000 == 999 { 400 } else { 1 });
    }
    let touched = TOUCHED.get() - before;

    assert_eq!(touched, 0, "allocations and releases");
    // It proves nothing unless all of it happened.
    assert!(bridged > 200 && ended > 100 && closed > 100, "{bridged} {ended} {closed}");
    assert!(played > 100 && interrupted > 10, "{played} {interrupted}");
    assert!(out.rtp > 50_000 && out.rtcp > 200 && out.recorded > 10_000);
    let counters = engine.counters();
    assert!(counters.frames_inserted > 500 && counters.stalls > 100, "{counters:?}");
    assert!(counters.frames_concealed > 100, "{counters:?}");
    assert!(counters.digits_in > 100 && counters.digits_out > 100, "{counters:?}");
    assert!(told > 10 && counters.digits_doubled > 0, "{told} {counters:?}");
    assert!(counters.all_dropped().any(|(_, count)| count > 100));
}

/// Phones that send back what they were sent, with losses.
struct Echo {
    sent: Vec<(PortName, Vec<u8>, usize)>,
    waiting: usize,
    recorded: u64,
    payload_types: [u64; 128],
}

impl Out for Echo {
    fn send(&mut self, port: PortName, channel: Channel, _: SocketAddr, bytes: &[u8]) {
        if channel == Channel::Rtcp {
            return;
        }
        self.payload_types[usize::from(bytes[1] & 0x7F)] += 1;
        let Some((at, copy, length)) = self.sent.get_mut(self.waiting) else { return };
        copy[..bytes.len()].copy_from_slice(bytes);
        (*at, *length) = (port, bytes.len());
        self.waiting += 1;
    }

    fn record(&mut self, _: &RecordFrame) -> bool {
        self.recorded += 1;
        true
    }
}

fn codecs() -> Vec<Codec> {
    let opus = |rate, packet_ms, fec| {
        let opus = Opus { rate, bitrate: 24_000, fec, dtx: !fec, complexity: 5 };
        (Coding::Opus(opus), packet_ms)
    };
    let all = [
        (Coding::G711(Law::A), 20),
        (Coding::G711(Law::Mu), 30),
        (Coding::G722, 20),
        (Coding::L16(Rate::Hz16000), 40),
        opus(Rate::Hz16000, 20, true),
        opus(Rate::Hz8000, 60, false),
        opus(Rate::Hz48000, 10, true),
    ];
    (96..)
        .zip(all)
        .map(|(payload_type, (coding, packet_ms))| {
            let event_factor = if matches!(coding, Coding::Opus(_)) { 6 } else { 1 };
            Codec { coding, payload_type, packet_ms, event_factor }
        })
        .collect()
}

fn connect(n: u16, codec: Codec) -> Command {
    let remote = Remote { rtp: phone(n), rtcp: phone(n), signalling: phone(n).ip() };
    let (leg, telephone_event, sends, receives) = (leg(n), Some(127), true, true);
    Command::equip(Order::Connect { leg, remote, codec, telephone_event, sends, receives })
}

#[test]
fn nothing_allocates_between_any_two_codecs_in_music_talk_and_conference() {
    let codecs = codecs();
    let mut now = Instant::now();
    let config = EngineConfig {
        legs_max: 20,
        talks_max: 20,
        silent_after: Duration::from_secs(5),
        tunes: vec![Arc::new(Tune::test_tone())],
        rtcp_interval: Duration::from_secs(5),
        cname: "media@192.0.2.100".into(),
        shared: codecs.iter().map(|codec| codec.coding).collect(),
        ntp_epoch: 0,
    };
    let mut engine = Engine::new(config, now);
    let sent = vec![(PortName(0), vec![0; 2_000], 0); 2_000];
    let mut out = Echo { sent, waiting: 0, recorded: 0, payload_types: [0; 128] };
    let legs = u16::try_from(codecs.len()).unwrap();
    let turns = u64::from(legs) * 2;
    // What the control side makes before it gives an order.
    let mut coders: Vec<_> =
        (0..turns * 2).flat_map(|_| codecs.iter().copied()).zip((0..legs).cycle()).collect();
    let mut made: Vec<_> = coders.drain(..).map(|(codec, n)| connect(n, codec)).collect();
    let mut scrap = Vec::with_capacity(1_000);
    let before = TOUCHED.get();

    for turn in 0..turns {
        for n in 0..legs {
            let stream = Stream { ssrc: n.into(), sequence: 1, timestamp: 1 };
            engine.handle_order(
                Order::Open { leg: leg(n), port: port(n), stream, talk: TalkName(0) },
                now,
            );
        }
        for _ in 0..legs {
            engine.handle_order(made.pop().unwrap(), now);
        }
        for n in 0..legs {
            engine.handle_order(Order::Hear { leg: leg(n), source: Source::Music(TuneId(0)) }, now);
        }
        for ms in 0..1_500_u64 {
            let other = u16::try_from(turn % u64::from(legs - 1)).unwrap() + 1;
            match ms {
                400 => {
                    let (caller, other) = (leg(0), leg(other));
                    let record = true;
                    engine
                        .handle_order(Order::Bridge { talk: talk(1), caller, other, record }, now);
                }
                900 => {
                    for n in (1..legs).filter(|n| *n != other) {
                        let role = Role::Speaks;
                        engine.handle_order(Order::Join { talk: talk(1), leg: leg(n), role }, now);
                    }
                }
                1_400 => engine.handle_order(Order::EndTalk { talk: talk(1) }, now),
                _ => {}
            }
            for place in 0..std::mem::take(&mut out.waiting) {
                let (port, length) = (out.sent[place].0, out.sent[place].2);
                let bytes = std::mem::take(&mut out.sent[place].1);
                let n = (port.0 - 20_000) / 2;
                if !(ms + place as u64).is_multiple_of(17) {
                    let from = phone(n);
                    let channel = Channel::Rtp;
                    engine.handle_packet(port, channel, from, &bytes[..length], now, &mut out);
                }
                out.sent[place].1 = bytes;
            }
            engine.tick(now, &mut out);
            while engine.poll_event().is_some() {}
            scrap.extend(std::iter::from_fn(|| engine.poll_scrap()));
            now += Duration::from_millis(1);
        }
        (0..legs).for_each(|n| engine.handle_order(Order::Close { leg: leg(n) }, now));
        scrap.extend(std::iter::from_fn(|| engine.poll_scrap()));
        while engine.poll_event().is_some() {}
    }
    let touched = TOUCHED.get() - before;

    assert_eq!(touched, 0, "allocations and releases");
    for codec in &codecs {
        let packets = out.payload_types[usize::from(codec.payload_type)];
        assert!(packets > 100, "{codec:?}: {packets}");
    }
    let counters = engine.counters();
    assert!(counters.frames_encoded > 1_000 && counters.frames_concealed > 50, "{counters:?}");
    assert!(out.recorded > 500 && scrap.len() > 50, "{} {}", out.recorded, scrap.len());
}

/// What one listener hears of an hour: one stream in time, and how late each click of it is.
#[derive(Clone, Copy, Default)]
struct Hour {
    packets: u64,
    next: Option<(u16, u32)>,
    last_ms: u64,
    longest_gap_ms: u64,
    /// Microseconds between two clicks of who speaks.
    every_us: u64,
    clicks: u64,
    latest_us: u64,
    /// Sum and number of the delays of every six minutes.
    tenths: [(u64, u64); 10],
}

struct Hours {
    now_ms: u64,
    of: [Hour; 2],
}

impl Out for Hours {
    fn send(&mut self, at: PortName, channel: Channel, _: SocketAddr, bytes: &[u8]) {
        let Some(hour) = self.of.get_mut(usize::from(at != port(0))) else { return };
        let Ok(Packet { header, payload }) = Packet::parse(bytes) else { return };
        if channel == Channel::Rtcp {
            return;
        }
        let expected = hour.next.unwrap_or((header.sequence, header.timestamp));
        assert_eq!((header.sequence, header.timestamp), expected, "at {} ms", self.now_ms);
        hour.next = Some((expected.0.wrapping_add(1), expected.1.wrapping_add(160)));
        if hour.packets > 0 {
            hour.longest_gap_ms = hour.longest_gap_ms.max(self.now_ms - hour.last_ms);
        }
        (hour.packets, hour.last_ms) = (hour.packets + 1, self.now_ms);
        let click = |code: &u8| g711::decode(Law::A, *code).unsigned_abs() > 20_000;
        if let Some(place) = payload.iter().position(click) {
            let heard_us = self.now_ms * 1_000 + u64::try_from(place).unwrap() * 125;
            let late_us = heard_us % hour.every_us;
            // A click may be cut in two by the end of a frame.
            if late_us < hour.every_us / 2 {
                (hour.clicks, hour.latest_us) = (hour.clicks + 1, hour.latest_us.max(late_us));
                let tenth = usize::try_from(self.now_ms / 360_000).unwrap().min(9);
                hour.tenths[tenth].0 += late_us;
                hour.tenths[tenth].1 += 1;
            }
        }
    }

    fn record(&mut self, _: &RecordFrame) -> bool {
        true
    }
}

/// One direction of an hour: who speaks, its clock, and what is on its way.
struct Way {
    from: u16,
    period_us: u64,
    sent: u64,
    /// When it arrives, and its number.
    flying: [Option<(u64, u64)>; 16],
    dice: u64,
    network: Network,
    losing: bool,
}

/// What happens to packets on their way.
#[derive(Clone, Copy)]
struct Network {
    lost_in_1000: u64,
    jitter_ms: u64,
    /// Packets lost in a row, on average; 1: each by itself.
    burst: u64,
}

impl Way {
    fn roll(&mut self, below: u64) -> u64 {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % below
    }

    /// 1 % twice, 20 ms and up to the jitter more, each by itself.
    fn send(&mut self, ms: u64) {
        while self.sent * self.period_us <= ms * 1_000 {
            let Network { lost_in_1000, jitter_ms, burst } = self.network;
            let copies = 1 + u64::from(self.roll(100) == 0);
            // A row of losses begins so much more seldom, and goes on with this chance.
            let goes_on = self.losing && self.roll(burst) > 0;
            self.losing = goes_on || self.roll(1_000 * burst) < lost_in_1000;
            for _ in 0..copies {
                let (lost, at) = (self.losing, ms + 20 + self.roll(jitter_ms + 1));
                if let Some(free) = self.flying.iter_mut().find(|f| f.is_none() && !lost) {
                    *free = Some((at, self.sent));
                }
            }
            self.sent += 1;
        }
    }
}

#[test]
fn an_hour_of_a_bad_network_and_a_clock_that_is_off() {
    let (out, report, _) = an_hour(Network { lost_in_1000: 20, jitter_ms: 30, burst: 1 });

    for hour in &out.of {
        assert!(hour.longest_gap_ms <= 60, "{}", hour.longest_gap_ms);
        assert!(hour.clicks > 3_400, "{} of 3,600", hour.clicks);
        assert!(hour.latest_us < 200_000, "{}", hour.latest_us);
    }
    let made_up = report.frames_concealed * 1_000 / report.frames_heard;
    assert!((15..=30).contains(&made_up), "{made_up} of 1,000 for 20 lost: {report:?}");
}

#[test]
fn an_hour_of_losses_in_rows_and_60_ms_of_jitter_is_recorded_to_the_frame_and_not_delayed() {
    let (out, report, recorded) = an_hour(Network { lost_in_1000: 50, jitter_ms: 60, burst: 3 });

    for hour in &out.of {
        assert!(hour.longest_gap_ms <= 60, "{}", hour.longest_gap_ms);
        assert!(hour.clicks > 3_200, "{} of 3,600", hour.clicks);
        assert!(hour.latest_us < 250_000, "{}", hour.latest_us);
    }
    // 20 ms of an hour by the monotonic clock.
    assert!(recorded.frames.abs_diff(180_000) <= 1, "{recorded:?}");
    assert_eq!(recorded.lost, 0);
    let made_up = report.frames_concealed * 1_000 / report.frames_heard;
    assert!((30..=80).contains(&made_up), "{made_up} of 1,000 for 50 lost: {report:?}");
}

/// What each heard of an hour, what the caller's leg went through, and the recording.
fn an_hour(network: Network) -> (Hours, LegReport, Recorded) {
    // A second of a voice: 600 ms of vowel, 400 ms of pause; the click stands in the pause.
    let voice: Vec<u8> = (0..8_000_u32)
        .map(|n| {
            let turn = std::f64::consts::TAU * f64::from(n) / 8_000.0;
            let vowel = 3_000.0 * (140.0 * turn).sin() + 1_500.0 * (700.0 * turn).sin();
            #[expect(clippy::cast_possible_truncation, reason = "at most 4,500")]
            let vowel = if (1_600..6_400).contains(&n) { vowel as i16 } else { 0 };
            g711::encode(Law::A, if n < 16 { 30_000 } else { vowel })
        })
        .collect();
    let epoch = Instant::now();
    let config = EngineConfig {
        legs_max: 2,
        talks_max: 1,
        silent_after: Duration::from_secs(20),
        tunes: vec![],
        rtcp_interval: Duration::from_secs(5),
        cname: "media@192.0.2.100".into(),
        shared: vec![],
        ntp_epoch: 0,
    };
    let mut engine = Engine::new(config, epoch);
    for n in 0..2 {
        let stream = Stream { ssrc: u32::from(n), sequence: 1, timestamp: 1 };
        engine.handle_order(
            Order::Open { leg: leg(n), port: port(n), stream, talk: TalkName(0) },
            epoch,
        );
        let remote = Remote { rtp: phone(n), rtcp: phone(n), signalling: phone(n).ip() };
        let codec = Codec::g711(Law::A, 8);
        let order = Order::Connect {
            leg: leg(n),
            remote,
            codec,
            telephone_event: None,
            sends: true,
            receives: true,
        };
        engine.handle_order(order, epoch);
    }
    let (caller, other) = (leg(0), leg(1));
    engine.handle_order(Order::Bridge { talk: talk(0), caller, other, record: true }, epoch);
    // 200 millionths fast and slow.
    let way = |from, period_us| Way {
        from,
        period_us,
        sent: 0,
        flying: [None; 16],
        dice: 7,
        network,
        losing: false,
    };
    let mut ways = [way(0, 19_996), way(1, 20_004)];
    let hour = |period_us: u64| Hour { every_us: 50 * period_us, ..Hour::default() };
    let mut out = Hours { now_ms: 0, of: [hour(20_004), hour(19_996)] };
    let before = TOUCHED.get();

    for ms in 0..3_600_000_u64 {
        let now = epoch + Duration::from_millis(ms);
        out.now_ms = ms;
        for way in &mut ways {
            way.send(ms);
            for place in 0..way.flying.len() {
                let Some((_, n)) = way.flying[place].filter(|(at, _)| *at <= ms) else { continue };
                way.flying[place] = None;
                let header = Header {
                    marker: false,
                    payload_type: 8,
                    sequence: u16::try_from(n & 0xFFFF).unwrap(),
                    timestamp: u32::try_from(n * 160).unwrap(),
                    ssrc: 9 + u32::from(way.from),
                };
                let mut bytes = [0; 172];
                bytes[..12].copy_from_slice(&header.bytes());
                let said = usize::try_from(n % 50).unwrap() * 160;
                bytes[12..].copy_from_slice(&voice[said..said + 160]);
                let (port, from) = (port(way.from), phone(way.from));
                engine.handle_packet(port, Channel::Rtp, from, &bytes, now, &mut out);
            }
        }
        engine.tick(now, &mut out);
        while engine.poll_event().is_some() {}
    }
    assert_eq!(TOUCHED.get() - before, 0, "allocations and releases");

    for hour in &out.of {
        assert!(hour.packets.abs_diff(180_000) <= 5, "{}", hour.packets);
        let mean = |(sum, count): (u64, u64)| sum / count;
        let means = hour.tenths.map(mean);
        assert!(means.iter().all(|mean| mean.abs_diff(means[0]) < 20_000), "{means:?}");
    }
    let end = epoch + Duration::from_secs(3_600);
    engine.handle_order(Order::EndTalk { talk: talk(0) }, end);
    let Some(Event::TalkEnded { recorded: Some(recorded), .. }) = engine.poll_event() else {
        panic!("it was recorded")
    };
    engine.handle_order(Order::Close { leg: leg(0) }, end);
    let Some(Event::Closed { report, .. }) = engine.poll_event() else { panic!("it closes") };
    (out, report, recorded)
}

#[test]
fn nothing_allocates_where_packets_pass_through_unread() {
    let mut now = Instant::now();
    let config = EngineConfig {
        legs_max: 2,
        talks_max: 1,
        silent_after: Duration::from_secs(20),
        tunes: vec![],
        rtcp_interval: Duration::from_millis(200),
        cname: "media@192.0.2.100".into(),
        shared: vec![],
        ntp_epoch: 0,
    };
    let mut engine = Engine::new(config, now);
    let mut out = Tally::default();
    let before = TOUCHED.get();

    for n in 0..2 {
        open(&mut engine, n, now);
        let remote = Remote { rtp: phone(n), rtcp: phone(n), signalling: phone(n).ip() };
        let coding = Coding::Opaque(Opaque::AmrWb);
        let codec = Codec { coding, payload_type: 97, packet_ms: 20, event_factor: 2 };
        let (leg, telephone_event) = (leg(n), Some(101));
        let (sends, receives) = (true, true);
        let order = Order::Connect { leg, remote, codec, telephone_event, sends, receives };
        engine.handle_order(order, now);
    }
    let (caller, other) = (leg(0), leg(1));
    engine.handle_order(Order::Bridge { talk: talk(0), caller, other, record: true }, now);
    for ms in 0..2_000_u16 {
        for n in (0..2).filter(|n| ms % 20 == 3 * n) {
            let payload_type = if ms > 1_000 && ms < 1_200 { 101 } else { 97 };
            let (sequence, timestamp) = (ms / 20, u32::from(ms) * 16);
            let header =
                Header { marker: false, payload_type, sequence, timestamp, ssrc: n.into() };
            let mut packet = [5; 12 + 61];
            packet[..12].copy_from_slice(&header.bytes());
            engine.handle_packet(port(n), Channel::Rtp, phone(n), &packet, now, &mut out);
        }
        now += Duration::from_millis(1);
        engine.tick(now, &mut out);
        while engine.poll_event().is_some() {}
    }

    assert_eq!(TOUCHED.get() - before, 0, "allocations and releases");
    assert!(out.rtp > 180, "{}", out.rtp);
}

#[test]
fn srtp_allocates_nothing_once_its_keys_are_made() {
    for suite in Suite::ALL {
        let bytes = vec![7; suite.key_bytes() + suite.salt_bytes()];
        let master = MasterKey::new(suite, &bytes).unwrap();
        let (mut sender, mut receiver) = (Sender::new(&master), Receiver::new(&master));
        let before = TOUCHED.get();

        for sequence in 0..1_000 {
            let header = Header { marker: false, payload_type: 8, sequence, timestamp: 0, ssrc: 3 };
            let mut packet = [0xD5; 172 + GROWTH_MAX];
            packet[..12].copy_from_slice(&header.bytes());
            let length = sender.protect_rtp(&mut packet, 172).unwrap();
            let mut forged = packet;
            forged[100] ^= 1;
            assert!(receiver.unprotect_rtp(&mut forged[..length]).is_err());
            assert_eq!(receiver.unprotect_rtp(&mut packet[..length]), Ok(172));
            assert!(receiver.unprotect_rtp(&mut packet[..length]).is_err());
            let mut report = [0; 8 + GROWTH_MAX];
            report[..8].copy_from_slice(&[0x80, 201, 0, 1, 0, 0, 0, 3]);
            let length = sender.protect_rtcp(&mut report, 8).unwrap();
            assert_eq!(receiver.unprotect_rtcp(&mut report[..length]), Ok(8));
        }

        assert_eq!(TOUCHED.get() - before, 0, "allocations and releases, {suite:?}");
    }
}

#[test]
fn nothing_allocates_where_legs_speak_srtp_are_keyed_anew_and_close() {
    let mut now = Instant::now();
    let config = EngineConfig {
        legs_max: 4,
        talks_max: 2,
        silent_after: Duration::from_secs(20),
        shared: vec![],
        tunes: vec![Arc::new(Tune::test_tone())],
        rtcp_interval: Duration::from_millis(200),
        cname: "media@192.0.2.100".into(),
        ntp_epoch: 0,
    };
    let mut engine = Engine::new(config, now);
    let master = |suite: Suite, byte| {
        MasterKey::new(suite, &vec![byte; suite.key_bytes() + suite.salt_bytes()]).unwrap()
    };
    let keys = [Suite::AesCm128HmacSha1_80, Suite::AeadAes256Gcm]
        .map(|suite| Keys { send: master(suite, 1), receive: master(suite, 2) });
    let mut out = Tally::default();
    // Made, and dropped, where memory may be taken.
    let mut commands: Vec<_> = keys
        .iter()
        .rev()
        .flat_map(|keys| [1, 0].map(|n| Order::Secure { leg: leg(n), keys: Some(*keys) }))
        .map(Command::equip)
        .collect();
    let mut scrap = Vec::with_capacity(8);
    let before = TOUCHED.get();

    for keys in keys {
        let mut phones = [0, 1].map(|_| Sender::new(&keys.receive));
        for n in 0..2 {
            open(&mut engine, n, now);
            engine.handle_order(commands.pop().unwrap(), now);
        }
        let (caller, other) = (leg(0), leg(1));
        engine.handle_order(Order::Bridge { talk: talk(0), caller, other, record: true }, now);
        for ms in 0..2_000_u16 {
            for (n, phone_keys) in (0..2).zip(&mut phones).filter(|_| ms % 20 == 0) {
                let payload_type = if law(n) == Law::A { 8 } else { 0 };
                let sequence = 65_500_u16.wrapping_add(ms / 20);
                let timestamp = u32::from(ms) * 8;
                let header =
                    Header { marker: false, payload_type, sequence, timestamp, ssrc: n.into() };
                let mut packet = [0xD5; 172 + GROWTH_MAX];
                packet[..12].copy_from_slice(&header.bytes());
                let length = phone_keys.protect_rtp(&mut packet, 172).unwrap();
                let (port, from) = (port(n), phone(n));
                engine.handle_packet(port, Channel::Rtp, from, &packet[..length], now, &mut out);
                // And again: refused.
                engine.handle_packet(port, Channel::Rtp, from, &packet[..length], now, &mut out);
            }
            engine.tick(now, &mut out);
            now += Duration::from_millis(1);
        }
        engine.handle_order(Order::EndTalk { talk: talk(0) }, now);
        (0..2).for_each(|n| engine.handle_order(Order::Close { leg: leg(n) }, now));
        engine.tick(now, &mut out);
        while engine.poll_event().is_some() {}
        scrap.extend(std::iter::from_fn(|| engine.poll_scrap()));
    }

    assert_eq!(TOUCHED.get() - before, 0, "allocations and releases");
    assert_eq!(scrap.len(), 4, "the keys are given back");
    assert!(out.rtp > 390 && out.rtcp > 30, "{} {}", out.rtp, out.rtcp);
    assert_eq!(engine.counters().dropped(media_core::counters::Dropped::Replay), 400);
    assert_eq!(engine.counters().dropped(media_core::counters::Dropped::SrtpAuth), 0);
}

#[test]
fn nothing_allocates_or_is_given_back_where_another_tune_takes_the_place_of_one_that_is_heard() {
    let mut now = Instant::now();
    let opus = Opus { rate: Rate::Hz48000, bitrate: 24_000, fec: true, dtx: false, complexity: 5 };
    let config = EngineConfig {
        legs_max: 8,
        talks_max: 2,
        silent_after: Duration::from_secs(20),
        shared: vec![Coding::G722, Coding::Opus(opus)],
        tunes: vec![Arc::new(Tune::test_tone()), Arc::new(short())],
        rtcp_interval: Duration::from_secs(5),
        cname: "media@192.0.2.100".into(),
        ntp_epoch: 0,
    };
    let mut engine = Engine::new(config, now);
    let coded = |coding| Codec { coding, payload_type: 99, packet_ms: 20, event_factor: 1 };
    (0..6).for_each(|n| open(&mut engine, n, now));
    for (n, coding) in [(2, Coding::G722), (3, Coding::Opus(opus))] {
        engine.handle_order(connect(n, coded(coding)), now);
    }
    let mut out = Tally::default();
    // Made, and dropped, where memory may be taken.
    let mut others: Vec<_> = (0..12).map(|_| Arc::new(short())).collect();
    let mut scrap = Vec::with_capacity(16);
    let before = TOUCHED.get();

    for ms in 0..3_000_u16 {
        if ms.is_multiple_of(250) {
            engine.replace_tune(TuneId(u16::from(ms % 500 == 0)), others.pop().unwrap(), now);
        }
        engine.tick(now, &mut out);
        while engine.poll_event().is_some() {}
        while let Some(left) = engine.poll_scrap() {
            scrap.push(left);
        }
        now += Duration::from_millis(1);
    }

    assert_eq!(TOUCHED.get() - before, 0, "allocations and releases");
    assert_eq!(scrap.len(), 12, "each tune that was replaced is given back");
    assert!(out.rtp > 890, "{}", out.rtp);
}

#[test]
fn the_allocator_of_this_test_counts() {
    let before = TOUCHED.get();
    drop(std::hint::black_box(Box::new(7)));

    assert_eq!(TOUCHED.get() - before, 2);
}
