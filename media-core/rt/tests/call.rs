//! A call through the real threads: both hear each other, and the recording has both.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod common;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use common::{CALLER, Folder, OTHER, Party, Said, TALK, give, media, share, talk};
use media_core::order::{Event, Order, Source};
use media_rt::{
    handle::{Bell, Media},
    recorder::RecorderEvent,
};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};

const CALLER_HERTZ: f64 = 400.0;
const OTHER_HERTZ: f64 = 1_000.0;
const LATER_HERTZ: f64 = 1_600.0;

/// Everything holds with one media thread and where the two begin on one each.
fn each(test: impl Fn(usize)) {
    [1, 2].into_iter().for_each(test);
}

fn address(threads: usize, last: u8) -> IpAddr {
    IpAddr::from([127, 77, 3, last + 10 * u8::try_from(threads).unwrap()])
}

/// Two whose legs are open and who hear silence.
struct Scene {
    folder: Folder,
    media: Media,
    caller: Party,
    other: Party,
    said: Said,
}

fn scene(name: &str, threads: usize, last: u8) -> Scene {
    let folder = Folder::new(&format!("{name}-{threads}"));
    let address = address(threads, last);
    let mut media = media(threads, address, &folder);
    let caller = Party::new(SocketAddr::new(address, 21_000), CALLER_HERTZ, 1);
    let other = Party::new(SocketAddr::new(address, 21_002), OTHER_HERTZ, 2);
    give(&mut media, caller.orders(CALLER));
    give(&mut media, other.orders(OTHER));
    Scene { folder, media, caller, other, said: Said::default() }
}

#[test]
fn two_parties_hear_each_other_and_are_recorded_apart() {
    each(|threads| {
        let Scene { folder, mut media, mut caller, mut other, mut said } =
            scene("call", threads, 1);
        give(
            &mut media,
            [Order::Bridge { talk: TALK, caller: CALLER, other: OTHER, record: true }],
        );
        talk(&mut media, &mut said, [&mut caller, &mut other], 100);
        give(
            &mut media,
            [
                Order::EndTalk { talk: TALK },
                Order::Close { leg: CALLER },
                Order::Close { leg: OTHER },
            ],
        );
        said.wait(&mut media, "end", |said| {
            said.closed(CALLER) && said.closed(OTHER) && said.finished().is_some()
        });
        for party in [&mut caller, &mut other] {
            party.listen();
        }

        let bridged = |event: &&Event| matches!(event, Event::Bridged { talk: TALK, .. });
        assert_eq!(said.events.iter().filter(bridged).count(), 1);
        hears(&caller.heard, OTHER_HERTZ, CALLER_HERTZ);
        hears(&other.heard, CALLER_HERTZ, OTHER_HERTZ);
        check_recording(&folder, &said);
        let counters = media.counters();
        assert!(
            counters.engine.packets_in >= 150 && counters.datagrams_sent >= 150,
            "{counters:?}"
        );
        assert_eq!((counters.panics, counters.send_errors, counters.ports_refused), (0, 0, 0));
        assert!(media.is_alive());
        media.stop();
        assert!(!media.is_alive());
    });
}

/// The last second holds this tone and not the other.
fn hears(heard: &[i16], tone: f64, not: f64) {
    assert!(heard.len() >= 60 * 160, "only {} samples", heard.len());
    let last = &heard[heard.len() - 8_000..];
    let (tone, not) = (share(last, tone), share(last, not));
    assert!(tone > 0.5 && not < 0.1, "{tone} of the tone, {not} of its own");
}

fn check_recording(folder: &Folder, said: &Said) {
    let path = folder.path().join("call-0000001d.wav");
    let started = RecorderEvent::Started { talk: TALK, path: path.clone() };
    assert_eq!(said.recorder.first(), Some(&started));
    let recorded = said.events.iter().find_map(|event| match event {
        Event::TalkEnded { recorded, .. } => *recorded,
        Event::BothWays { .. }
        | Event::Bridged { .. }
        | Event::Closed { .. }
        | Event::Digit { .. }
        | Event::OneWay { .. }
        | Event::PromptEnded { .. }
        | Event::Silent { .. }
        | Event::Tell { .. }
        | Event::Heard { .. }
        | Event::Refused { .. } => None,
    });
    let Some(&RecorderEvent::Finished { bytes, frames, lost, .. }) = said.finished() else {
        panic!("{:?}", said.recorder);
    };
    let reader = hound::WavReader::open(&path).unwrap();
    assert_eq!(u64::from(reader.duration()), frames * 160);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes);
    assert_eq!(recorded.map(|recorded| (recorded.frames, recorded.lost)), Some((frames, lost)));
    assert!(frames >= 90, "{frames} frames");

    let samples: Vec<i16> = reader.into_samples().map(Result::unwrap).collect();
    let track = |offset: usize| -> Vec<i16> {
        let track: Vec<i16> = samples.iter().skip(offset).step_by(2).copied().collect();
        track[track.len() - 12_000..track.len() - 4_000].to_vec()
    };
    let (left, right) = (track(0), track(1));
    assert!(share(&left, CALLER_HERTZ) > 0.5 && share(&left, OTHER_HERTZ) < 0.1);
    assert!(share(&right, OTHER_HERTZ) > 0.5 && share(&right, CALLER_HERTZ) < 0.1);
}

#[test]
fn a_thread_says_how_much_room_it_has() {
    each(|threads| {
        let Scene { folder: _folder, mut media, mut caller, mut other, mut said } =
            scene("headroom", threads, 5);
        let before = media.headroom();

        talk(&mut media, &mut said, [&mut caller, &mut other], 20);

        let after = media.headroom();
        assert_eq!(
            (before.len(), after.len(), media.conditions().len()),
            (threads, threads, threads)
        );
        let (before, after) = (before[0], after[0]);
        assert_eq!((before.ticks, before.used_permille), (0, 0), "of one reading nothing follows");
        assert!(after.ticks > 0 && after.used_p99_permille > 0, "{after:?}");
        assert_eq!(media.conditions()[0].thread, "media-0");
    });
}

#[test]
fn who_is_bridged_after_waiting_is_heard_from_then_on_and_not_with_what_waited_to_be_read() {
    each(|threads| {
        let Scene { folder: _folder, mut media, mut caller, mut other, mut said } =
            scene("waited", threads, 7);
        talk(&mut media, &mut said, [&mut caller, &mut other], 53);

        give(
            &mut media,
            [Order::Bridge { talk: TALK, caller: CALLER, other: OTHER, record: false }],
        );
        said.wait(&mut media, "bridge", |said| {
            said.events.iter().any(|event| matches!(event, Event::Bridged { .. }))
        });
        caller.hertz(LATER_HERTZ);
        talk(&mut media, &mut said, [&mut caller, &mut other], 30);

        let frames = || other.heard.chunks_exact(160);
        assert!(frames().any(|frame| share(frame, LATER_HERTZ) > 0.5));
        let of_before = frames().filter(|frame| share(frame, CALLER_HERTZ) > 0.2).count();
        assert_eq!(of_before, 0, "of {} frames", frames().count());
    });
}

/// Interarrival jitter (RFC 3550 §A.8) of packets 20 ms long that came so, in microseconds.
fn jitter_us(came: &[Instant]) -> f64 {
    came.windows(2).fold(0.0, |jitter, pair| {
        let apart = (pair[1] - pair[0]).as_secs_f64() * 1e6;
        jitter + ((apart - 20_000.0).abs() - jitter) / 16.0
    })
}

#[test]
fn the_jitter_of_who_waits_is_that_of_their_packets_and_not_of_their_reading() {
    each(|threads| {
        let Scene { folder: _folder, mut media, mut caller, other: _other, mut said } =
            scene("jitter", threads, 8);
        // Whoever speaks listens.
        while caller.heard.is_empty() {
            caller.listen();
        }
        let begun = Instant::now();
        let mut came = vec![];
        for frame in 1..=75 {
            caller.step();
            came.push(Instant::now());
            let next = begun + Duration::from_millis(20) * frame;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }

        give(&mut media, [Order::Close { leg: CALLER }]);
        said.wait(&mut media, "end", |said| said.closed(CALLER));

        let Some(Event::Closed { report, .. }) = said.events.last() else {
            panic!("{:?}", said.events)
        };
        assert_eq!((report.packets_received, report.packets_lost), (75, 0));
        // Three read at once would have 20 ms more.
        let (measured, sent) = (f64::from(report.jitter_us), jitter_us(&came));
        assert!((measured - sent).abs() < 8_000.0, "{measured} us where {sent} were sent");
    });
}

#[test]
fn stopping_in_the_middle_of_a_call_keeps_the_recording_whole() {
    each(|threads| {
        let Scene { folder, mut media, mut caller, mut other, mut said } =
            scene("stop-in-call", threads, 2);
        give(
            &mut media,
            [Order::Bridge { talk: TALK, caller: CALLER, other: OTHER, record: true }],
        );
        talk(&mut media, &mut said, [&mut caller, &mut other], 20);

        media.stop();

        said.poll(&mut media);
        let Some(&RecorderEvent::Finished { frames, .. }) = said.finished() else {
            panic!("{:?}", said.recorder);
        };
        let reader = hound::WavReader::open(folder.path().join("call-0000001d.wav")).unwrap();
        assert_eq!(u64::from(reader.duration()), frames * 160);
        assert!(frames >= 10, "{frames}");
    });
}

#[test]
fn every_datagram_of_a_flood_is_read_or_counted_as_dropped() {
    each(|threads| {
        let folder = Folder::new(&format!("flood-{threads}"));
        let address = address(threads, 6);
        let mut media = media(threads, address, &folder);
        let mut said = Said::default();
        for (leg, port) in [(CALLER, 21_000), (OTHER, 21_002)] {
            let mut party = Party::new(SocketAddr::new(address, port), CALLER_HERTZ, 1);
            give(&mut media, party.orders(leg));
            // Whoever speaks listens.
            while party.heard.is_empty() {
                party.listen();
            }
        }
        let stranger = UdpSocket::bind((address, 0)).unwrap();
        let mut sent = 0;

        // The bound is only there so that a fault is not a hang.
        let give_up = Instant::now() + Duration::from_secs(20);
        while media.counters().datagrams_dropped == 0 {
            assert!(Instant::now() < give_up, "none of {sent} was dropped");
            for port in 21_000..21_004 {
                for _ in 0..500 {
                    stranger.send_to(&[0; 1_000], (address, port)).unwrap();
                    sent += 1;
                }
            }
        }

        said.wait_for(&mut media, "end of the flood", |media, _| {
            let counters = media.counters();
            counters.datagrams_received + counters.datagrams_dropped == sent
        });
    });
}

#[test]
fn the_bell_rings_for_what_is_said_and_is_silent_once_cleared() {
    each(|threads| {
        let folder = Folder::new(&format!("bell-{threads}"));
        let address = address(threads, 3);
        let mut media = media(threads, address, &folder);
        let bell = media.bell().unwrap();
        bell.clear();
        assert!(!readable(&bell, 0));

        // A talk that was never bridged ends too.
        give(&mut media, [Order::EndTalk { talk: TALK }]);

        assert!(readable(&bell, 20_000));
        bell.clear();
        assert!(matches!(media.poll_event(), Some(Event::TalkEnded { talk: TALK, .. })));
        assert!(!readable(&bell, 0));
    });
}

#[test]
fn orders_given_before_a_stop_are_carried_out_and_later_ones_come_back() {
    each(|threads| {
        let folder = Folder::new(&format!("orders-{threads}"));
        let address = address(threads, 4);
        let mut media = media(threads, address, &folder);
        let party = Party::new(SocketAddr::new(address, 21_000), CALLER_HERTZ, 1);
        give(&mut media, party.orders(CALLER));
        give(&mut media, [Order::Close { leg: CALLER }]);

        media.stop();

        let mut said = Said::default();
        said.poll(&mut media);
        assert!(said.closed(CALLER), "{:?}", said.events);
        let order = Order::Hear { leg: CALLER, source: Source::Silence };
        let refused = (0..1_000_000).find_map(|_| media.push(order).err());
        assert_eq!(refused, Some(order));
    });
}

fn readable(bell: &Bell, timeout_ms: u16) -> bool {
    let epoll = Epoll::new(EpollCreateFlags::empty()).unwrap();
    epoll.add(bell, EpollEvent::new(EpollFlags::EPOLLIN, 0)).unwrap();
    let mut events = [EpollEvent::empty()];
    epoll.wait(&mut events, timeout_ms).unwrap() == 1
}
