//! After start nothing allocates: orders, packets and ticks, whatever the legs are doing.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]
#![expect(unsafe_code, reason = "an allocator that counts has to be an allocator")]

use media_core::{
    engine::{Channel, Engine, EngineConfig, Out},
    music::Tune,
    order::{
        Codec, Event, Law, LegName, Order, PortName, RecordFrame, Remote, Source, Stream, TalkName,
        TuneId,
    },
    rtp::{
        header::Header,
        rtcp::{Compound, LastSender},
        stats::Reception,
    },
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

fn open(engine: &mut Engine, n: u16, now: Instant) {
    let stream = Stream { ssrc: u32::from(n), sequence: 1, timestamp: 1 };
    engine.handle_order(Order::Open { leg: leg(n), port: port(n), stream }, now);
    let rtcp = SocketAddr::new(phone(n).ip(), 4001);
    let remote = Remote { rtp: phone(n), rtcp, signalling: phone(n).ip() };
    let payload_type = if law(n) == Law::A { 8 } else { 0 };
    let codec = Codec { law: law(n), payload_type };
    let telephone_event = Some(101);
    let connect = Order::Connect { leg: leg(n), remote, codec, telephone_event, sends: true };
    engine.handle_order(connect, now);
    engine.handle_order(Order::Hear { leg: leg(n), source: Source::Music(TuneId(0)) }, now);
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
        let length = 12 + if digit { 4 } else { usize::from(packet_ms) * 8 };
        engine.handle_packet(port(n), Channel::Rtp, phone(n), &bytes[..length], now, out);
        if count % 100 == 9 {
            let block =
                Reception { ssrc: u32::from(n), fraction_lost: 0, lost: 0, highest: 0, jitter: 0 };
            let mut report = Compound::new();
            report.receiver(header.ssrc, Some((&block, LastSender::default())));
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
            1_500 => {
                let (caller_hears, other_hears) = (Source::Music(TuneId(0)), Source::Silence);
                engine.handle_order(Order::Part { talk: talk(n), caller_hears, other_hears }, now);
            }
            3_500 => engine.handle_order(Order::EndTalk { talk: talk(n) }, now),
            3_600 => engine.handle_order(Order::Close { leg: other }, now),
            3_700 => open(engine, n + 1, now),
            _ => {}
        }
    }
}

#[test]
fn nothing_allocates_on_hold_bridged_translating_recording_reporting_or_closing() {
    let mut now = Instant::now();
    let config = EngineConfig {
        legs_max: usize::from(LEGS),
        talks_max: usize::from(LEGS),
        silent_after: Duration::from_millis(300),
        tunes: vec![Arc::new(Tune::test_tone())],
        rtcp_interval: Duration::from_secs(5),
        cname: "media@192.0.2.100".into(),
        ntp_epoch: 0,
    };
    let mut engine = Engine::new(config, now);
    let mut out = Tally::default();
    let (mut bridged, mut ended, mut closed) = (0, 0, 0);
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
                Event::Silent { .. } | Event::Heard { .. } | Event::Refused { .. } => {}
            }
        }
        now += Duration::from_millis(if ms % 3_000 == 999 { 400 } else { 1 });
    }
    let touched = TOUCHED.get() - before;

    assert_eq!(touched, 0, "allocations and releases");
    // It proves nothing unless all of it happened.
    assert!(bridged > 200 && ended > 100 && closed > 100, "{bridged} {ended} {closed}");
    assert!(out.rtp > 50_000 && out.rtcp > 200 && out.recorded > 10_000);
    let counters = engine.counters();
    assert!(counters.frames_inserted > 500 && counters.stalls > 100, "{counters:?}");
    assert!(counters.all_dropped().any(|(_, count)| count > 100));
}

#[test]
fn the_allocator_of_this_test_counts() {
    let before = TOUCHED.get();
    drop(std::hint::black_box(Box::new(7)));

    assert_eq!(TOUCHED.get() - before, 2);
}
