//! Two hundred recorded calls through the real threads while the disk does not answer.
//! `STALL_SECONDS` says for how long.

use super::*;
use crate::{
    ports::PortPool,
    recorder::{Format, Seal},
    test_folder::TestFolder,
    wav::HEADER_BYTES,
};
use media_core::order::{Codec, Law, LegName, PortName, Remote, Source, Stream, TalkName};
use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    os::unix::fs::FileExt,
    sync::{Condvar, Mutex},
    thread,
    time::Duration,
};

const CALLS: u16 = 200;
const FIRST_PORT: u16 = 22_000;
const BOX: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 77, 8, 1));
/// Frames of both before the disk stops, and after it has begun to answer again.
const BEFORE: u32 = 50;
const AFTER: u32 = 100;

/// A disk that takes a write and does not come back.
static STALLED: Mutex<bool> = Mutex::new(false);
static ANSWERS: Condvar = Condvar::new();

fn stall(stalled: bool) {
    *STALLED.lock().unwrap() = stalled;
    ANSWERS.notify_all();
}

const DISK: Disk = Disk {
    create: Disk::REAL.create,
    write: |file, bytes, at| {
        drop(ANSWERS.wait_while(STALLED.lock().unwrap(), |stalled| *stalled).unwrap());
        file.write_all_at(bytes, at)
    },
};

/// Answers again when the test ends, however it does: the threads are waited for.
struct Answers;

impl Drop for Answers {
    fn drop(&mut self) {
        stall(false);
    }
}

/// Both sides of one call, at one socket: they are told apart by the ports that they speak to.
struct Call {
    address: IpAddr,
    number: u16,
    socket: UdpSocket,
    said: u32,
    /// What each side heard: the last sequence number, packets, and those that were the other's own.
    heard: [(Option<u16>, u32, u32); 2],
}

impl Call {
    fn new(address: IpAddr, number: u16) -> Self {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { address, number, socket, said: 0, heard: [(None, 0, 0); 2] }
    }

    fn port(&self, side: u16) -> u16 {
        FIRST_PORT + 4 * self.number + 2 * side
    }

    fn leg(&self, side: u16) -> LegName {
        LegName(u64::from(2 * self.number + side))
    }

    const fn talk(&self) -> TalkName {
        TalkName(self.number as u64)
    }

    fn orders(&self) -> Vec<Order> {
        let rtp = self.socket.local_addr().unwrap();
        let rtcp = SocketAddr::new(self.address, 9);
        let remote = Remote { rtp, rtcp, signalling: self.address };
        let side = |side| {
            let (leg, port) = (self.leg(side), PortName(self.port(side)));
            let stream = Stream { ssrc: self.port(side).into(), sequence: 0, timestamp: 0 };
            let codec = Codec::g711(Law::A, 8);
            [
                Order::Open { leg, port, stream, talk: self.talk() },
                Order::Connect {
                    leg,
                    remote,
                    codec,
                    telephone_event: None,
                    sends: true,
                    receives: true,
                },
                Order::Hear { leg, source: Source::Silence },
            ]
        };
        let (talk, [caller, other]) = (self.talk(), [0, 1].map(|side| self.leg(side)));
        let bridge = Order::Bridge { talk, caller, other, record: true };
        [side(0).as_slice(), &side(1), &[bridge]].concat()
    }

    /// A code of each side's own, loud enough to be told from silence.
    const fn code(side: u16) -> u8 {
        [0x2A, 0x3A][side as usize]
    }

    fn step(&mut self) {
        for side in 0..2 {
            let mut packet = [Self::code(side); 172];
            packet[..2].copy_from_slice(&[0x80, 8]);
            packet[2..4].copy_from_slice(&u16::try_from(self.said % 65_536).unwrap().to_be_bytes());
            packet[4..8].copy_from_slice(&(self.said * 160).to_be_bytes());
            packet[8..12].copy_from_slice(&u32::from(side).to_be_bytes());
            self.socket.send_to(&packet, (self.address, self.port(side))).unwrap();
        }
        self.said += 1;
        self.listen();
    }

    /// # Panics
    /// If a stream is not one stream.
    fn listen(&mut self) {
        let mut packet = [0; 256];
        while let Ok((length, from)) = self.socket.recv_from(&mut packet) {
            assert_eq!(length, 172);
            let side = (from.port() - FIRST_PORT) / 2 % 2;
            let (last, packets, own) = &mut self.heard[usize::from(side)];
            let sequence = u16::from_be_bytes([packet[2], packet[3]]);
            let next = last.replace(sequence).map_or(sequence, |last| last.wrapping_add(1));
            assert_eq!(sequence, next, "call {}, side {side}", self.number);
            *packets += 1;
            *own += u32::from(packet[12..172].iter().all(|code| *code == Self::code(1 - side)));
        }
    }
}

fn media(address: IpAddr, calls: u16, folder: &TestFolder) -> Media {
    let ports = PortPool::open(address, FIRST_PORT..=FIRST_PORT + 4 * calls - 1).unwrap();
    let engine = EngineConfig {
        legs_max: usize::from(2 * CALLS),
        talks_max: CALLS.into(),
        silent_after: Duration::from_secs(60),
        tunes: vec![],
        rtcp_interval: Duration::from_secs(5),
        cname: "tests".into(),
        shared: vec![],
        ntp_epoch: 0,
    };
    let name = |talk: TalkName| format!("{:03}", talk.0);
    let recorder = RecorderConfig {
        dir: folder.path().to_path_buf(),
        name,
        format: Format::Wav,
        seal: Seal::Off,
    };
    // Less than a second of 200 calls.
    let rings = RingSizes { record_frames: 8_192, ..RingSizes::USUAL };
    let config =
        MediaConfig { ports, engine, recorder, rings, real_time: false, threads: 1, cores: vec![] };
    Media::start_on(config, DISK).unwrap()
}

#[test]
fn who_has_waited_for_moves_rings_though_there_were_none() {
    let folder = TestFolder::new("rings");
    let mut media = media([127, 77, 8, 2].into(), 1, &folder);
    let _strokes = media.bell.read();

    media.await_moves();

    assert!(media.bell.read().is_ok(), "nobody would come to poll what was heard");
}

#[test]
fn the_last_words_of_a_voice_are_read_though_they_came_two_at_once() {
    let folder = TestFolder::new("two-at-once");
    let address = [127, 77, 8, 3].into();
    let mut media = media(address, 1, &folder);
    let mut call = Call::new(address, 0);
    call.orders().into_iter().for_each(|order| media.push(order).unwrap());
    wait("a call", || {
        std::iter::from_fn(|| media.poll_event())
            .any(|event| matches!(event, Event::Bridged { .. }))
    });

    // Long enough to be known for coming when it should.
    let begun = Instant::now();
    for at in 1..40 {
        call.step();
        let next = begun + Duration::from_millis(20) * at;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    call.step();
    call.step();

    wait("last packets", || media.counters().engine.packets_in >= u64::from(2 * call.said));
}

/// The bound is only there so that a fault is not a hang.
fn wait(what: &str, mut there: impl FnMut() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(60);
    while !there() {
        assert!(Instant::now() < give_up, "no {what}");
        thread::yield_now();
    }
}

#[test]
fn a_disk_that_stands_still_costs_recordings_frames_and_the_two_hundred_calls_nothing() {
    let stall_seconds =
        std::env::var("STALL_SECONDS").map_or(2, |text| text.parse::<u32>().unwrap());
    let folder = TestFolder::new("stalled-disk");
    let mut media = media(BOX, CALLS, &folder);
    let _answers = Answers;
    let mut calls: Vec<_> = (0..CALLS).map(|number| Call::new(BOX, number)).collect();
    for call in &calls {
        call.orders().into_iter().for_each(|order| {
            while media.push(order).is_err() {
                thread::yield_now();
            }
        });
    }
    let mut bridged = 0;
    wait("calls", || {
        let met = std::iter::from_fn(|| media.poll_event());
        bridged += met.filter(|event| matches!(event, Event::Bridged { .. })).count();
        bridged == usize::from(CALLS)
    });
    let frames = BEFORE + 50 * stall_seconds + AFTER;
    let begun = Instant::now();

    // A slice of the calls speaks every millisecond.
    for at in 0..frames * 20 {
        match at {
            at if at == BEFORE * 20 => stall(true),
            at if at == (BEFORE + 50 * stall_seconds) * 20 => {
                assert!(media.counters().engine.record_frames_refused > 0, "the ring is full");
                stall(false);
            }
            _ => {}
        }
        calls.iter_mut().skip(usize::try_from(at % 20).unwrap()).step_by(20).for_each(Call::step);
        while media.poll_event().is_some() {}
        let next = begun + Duration::from_millis(1) * (at + 1);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let said = u64::from(frames) * u64::from(2 * CALLS);
    wait("last packets", || media.counters().engine.packets_in >= said);
    for call in &calls {
        let [one, two] = [0, 1].map(|side| call.leg(side));
        let ends = [
            Order::EndTalk { talk: call.talk() },
            Order::Close { leg: one },
            Order::Close { leg: two },
        ];
        ends.into_iter().for_each(|order| media.push(order).unwrap());
    }
    let mut finished = BTreeMap::new();
    wait("whole recordings", || {
        while media.poll_event().is_some() {}
        if let Some(RecorderEvent::Finished { talk, path, frames, lost, .. }) =
            media.poll_recorder_event()
        {
            finished.insert(talk, (path, frames, lost));
        }
        finished.len() == usize::from(CALLS)
    });
    calls.iter_mut().for_each(Call::listen);

    let counters = media.counters();
    assert_eq!((counters.send_errors, counters.panics, counters.engine.packets_in), (0, 0, said));
    let lost: u64 = finished.values().map(|(_, _, lost)| lost).sum();
    assert!(lost >= counters.engine.record_frames_refused, "{lost} of {counters:?}");
    assert_eq!(media.recorder_counters().frames_lost, lost);
    for call in &calls {
        for (_, packets, own) in call.heard {
            assert!(packets + 5 >= frames, "{packets} of {frames}");
            // What this test itself is late with is made up.
            assert!(own * 10 >= frames * 8, "{own} of {frames}");
        }
        let (path, length, lost) = &finished[&call.talk()];
        assert!(length + 10 >= frames.into(), "{length} frames of {frames}");
        assert!(*lost > 0 && *lost < *length, "{lost} of {length}");
        let file = fs::read(path).unwrap();
        let samples = usize::try_from(HEADER_BYTES).unwrap();
        assert_eq!(file.len(), samples + usize::try_from(length * 640).unwrap());
        let last = &file[file.len() - 640 * 20..];
        let silent = last.as_chunks::<2>().0.iter().filter(|pair| **pair == [0, 0]).count();
        assert!(silent < last.len() / 4, "it is heard again at the end: {silent} silent");
    }
    media.stop();
}
