//! Keys through the engine: said above once, passed through a bridge, told in the leg's stream.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::*;
use media_core::{
    counters::Dropped,
    order::{Digit, Digits, Event, Law, Order, Source, TuneId},
    rtp::header::Header,
};
use std::time::Duration;

fn digit(key: char) -> Digit {
    Digit::try_from(key).unwrap()
}

fn digits(keys: &str) -> Digits {
    Digits::new(&keys.chars().map(digit).collect::<Vec<_>>()).unwrap()
}

/// What was said above: keys with their durations in milliseconds.
fn said(bench: &Bench) -> Vec<(u64, char, u64)> {
    let mut said = vec![];
    for event in &bench.events {
        if let Event::Digit { leg, digit, duration, .. } = event {
            said.push((leg.0, digit.key(), u64::try_from(duration.as_millis()).unwrap()));
        }
    }
    said
}

fn bridged() -> (Bench, Speaker, Speaker) {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    bench.bridge(1, 2, false);
    (bench, Speaker::new(1, Law::A), Speaker::new(2, Law::A))
}

/// 20 ms of a key in place of audio: the n-th packet of `of`, the last three times.
fn press(bench: &mut Bench, caller: &mut Speaker, event: u8, n: u16, of: u16) {
    let began = caller.header.timestamp.wrapping_sub(u32::from(n) * 160);
    let [high, low] = ((n + 1) * 160).to_be_bytes();
    let last = n + 1 == of;
    for copy in 0..if last { 3 } else { 1 } {
        let mut header = caller.header;
        (header.payload_type, header.timestamp) = (101, began);
        header.marker = n == 0 && copy == 0;
        caller.header.sequence = header.sequence.wrapping_add(1);
        bench.rtp(1, &header, &[event, if last { 0x8A } else { 0x0A }, high, low]);
    }
    caller.header.timestamp = caller.header.timestamp.wrapping_add(160);
}

fn assert_whole_key(keys: &[&(u64, Header, Vec<u8>)], event: u8, frames: u16) {
    let began = keys[0].1.timestamp;
    assert!(keys.iter().all(|(_, header, _)| header.timestamp == began));
    assert!(keys[0].1.marker && keys[1..].iter().all(|(_, header, _)| !header.marker));
    let durations: Vec<u16> = keys.iter().map(|(.., p)| u16::from_be_bytes([p[2], p[3]])).collect();
    let ends = keys.iter().filter(|(.., payload)| payload[1] & 0x80 != 0).count();
    assert!(durations.is_sorted() && ends == 3, "{durations:?}");
    assert_eq!(durations.last(), Some(&(frames * 160)));
    assert!(keys.iter().all(|(.., payload)| payload[0] == event));
}

#[test]
fn a_key_goes_through_a_bridge_as_a_key_of_the_listeners_own_stream() {
    let (mut bench, mut caller, _) = bridged();
    let mut connect = connect(2, Law::A);
    if let Order::Connect { telephone_event, .. } = &mut connect {
        *telephone_event = Some(96);
    }
    bench.order(connect);
    bench.run(1_000, |bench, ms| {
        if ms % 20 == 3 {
            match ms / 20 {
                n @ 20..25 => press(bench, &mut caller, 5, u16::try_from(n - 20).unwrap(), 5),
                _ => caller.say(bench, 1, 9),
            }
        }
    });

    let heard = bench.heard(2);
    let keys: Vec<_> = heard.iter().filter(|(_, header, _)| header.payload_type == 96).collect();
    assert_whole_key(&keys, 5, 5);
    assert!(heard.windows(2).all(|two| two[1].1.sequence == two[0].1.sequence.wrapping_add(1)));
    // The key begins where audio stops, audio goes on where it ends, and nothing is doubled.
    let at = heard.iter().position(|(_, header, _)| header.payload_type == 96).unwrap();
    let step = |a: &Header, b: &Header| b.timestamp.wrapping_sub(a.timestamp);
    assert_eq!(step(&heard[at - 1].1, &heard[at].1), 160);
    assert_eq!(step(&heard[at].1, &heard[at + keys.len()].1), 800);
    let audio = heard.len() - keys.len();
    assert!((44..=46).contains(&audio), "{audio}");
    assert_eq!(said(&bench), [(1, '5', 100)]);
    assert!(bench.heard(1).iter().all(|(_, header, _)| header.payload_type == 8));
}

#[test]
fn keys_under_another_name_beside_the_voice_are_heard_and_the_voice_is_not_interrupted() {
    let (mut bench, mut caller, _) = bridged();
    // SIPp: its own SSRC, numbers two apart, no marker, the voice goes on all the while.
    let mut sequence = 1_u16;
    bench.run(2_000, |bench, ms| {
        if ms % 20 == 3 {
            caller.say(bench, 1, 9);
        }
        let n = ms / 20;
        if ms % 20 == 11 && (20..70).contains(&n) && n % 10 < 7 {
            let (ssrc, timestamp) = (0x0102_0304, 24_000 + u32::try_from(n / 10).unwrap() * 3_200);
            let header = Header { marker: false, payload_type: 101, sequence, timestamp, ssrc };
            sequence += 2;
            let end = if n % 10 >= 4 { 0x80 } else { 0 };
            let duration = u16::try_from((n % 10 + 1).min(5)).unwrap() * 160;
            let [high, low] = duration.to_be_bytes();
            bench.rtp(1, &header, &[u8::try_from(n / 10).unwrap(), end | 10, high, low]);
        }
    });

    let keys: String = said(&bench).iter().map(|(_, key, _)| *key).collect();
    assert_eq!(keys, "23456");
    let heard = bench.heard(2);
    let told = heard.iter().filter(|(_, header, _)| header.payload_type == 101);
    let starts = told.filter(|(_, header, _)| header.marker).count();
    assert_eq!(starts, 5);
    assert!(longest_gap_ms(&heard) <= 60);
    bench.order(Order::Close { leg: leg(1) });
    let Some(Event::Closed { report, .. }) = bench.events.last() else { panic!() };
    assert_eq!((report.packets_lost, report.frames_concealed), (0, 0));
}

#[test]
fn a_key_that_is_down_when_the_bridge_ends_is_ended_and_audio_goes_on() {
    for bridged_again in [false, true] {
        let (mut bench, mut caller, _) = bridged();
        bench.run(1_000, |bench, ms| {
            if ms % 20 == 3 {
                match ms / 20 {
                    n @ 20..26 => press(bench, &mut caller, 5, u16::try_from(n - 20).unwrap(), 99),
                    _ if bridged_again => caller.say(bench, 1, 9),
                    _ => {}
                }
            }
            if ms == 510 {
                bench.part(Source::Music(TuneId(0)));
                if bridged_again {
                    bench.bridge(1, 2, false);
                }
            }
        });

        let heard = bench.heard(2);
        let keys: Vec<_> = heard.iter().filter(|(_, h, _)| h.payload_type == 101).collect();
        assert!((8..=9).contains(&keys.len()), "{}", keys.len());
        assert_whole_key(&keys, 5, u16::try_from(keys.len() - 2).unwrap());
        let audio = heard.iter().filter(|(at, h, _)| *at >= 560 && h.payload_type == 8).count();
        assert!(audio >= 20, "{audio}");
    }
}

#[test]
fn a_caller_who_waits_is_heard_pressing_keys() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, Source::Music(TuneId(0)));
    let mut caller = Speaker::new(1, Law::A);
    bench.run(200, |bench, ms| {
        if ms % 20 == 0 && ms < 100 {
            press(bench, &mut caller, 11, u16::try_from(ms / 20).unwrap(), 5);
        }
    });

    assert_eq!(said(&bench), [(1, '#', 100)]);
    let at = bench.events.iter().find_map(|event| {
        if let Event::Digit { at, .. } = event { Some(*at - bench.epoch) } else { None }
    });
    assert_eq!(at, Some(Duration::ZERO), "when it went down");
    assert_one_stream(1, &bench.heard(1));
}

#[test]
fn a_key_whose_ends_were_lost_is_said_and_ended_all_the_same() {
    let (mut bench, mut caller, _) = bridged();
    bench.run(1_000, |bench, ms| {
        if ms % 20 == 3 {
            match ms / 20 {
                n @ 10..14 => press(bench, &mut caller, 1, u16::try_from(n - 10).unwrap(), 9),
                _ => caller.say(bench, 1, 9),
            }
        }
    });

    assert_eq!(said(&bench), [(1, '1', 80)]);
    let heard = bench.heard(2);
    let ends = heard.iter().filter(|(_, header, p)| header.payload_type == 101 && p[1] & 0x80 != 0);
    assert_eq!(ends.count(), 3);
    assert_eq!(heard.last().unwrap().1.payload_type, 8, "audio goes on");
}

#[test]
fn who_agreed_on_no_keys_is_sent_none_and_they_are_counted() {
    let (mut bench, mut caller, _) = bridged();
    let mut connect = connect(2, Law::A);
    if let Order::Connect { telephone_event, .. } = &mut connect {
        *telephone_event = None;
    }
    bench.order(connect);
    (0..5).for_each(|n| press(&mut bench, &mut caller, 5, n, 5));
    bench.run_ms(200);

    assert_eq!(bench.engine.counters().dropped(Dropped::TelephoneEvent), 7);
    assert!(bench.heard(2).iter().all(|(_, header, _)| header.payload_type == 8));
    assert_eq!(said(&bench), [(1, '5', 100)], "they are said above all the same");
    bench.order(Order::Digits { leg: leg(2), digits: digits("1") });
    assert!(matches!(bench.events.last(), Some(Event::Refused { .. })));
}

#[test]
fn a_flood_of_keys_is_cut() {
    let (mut bench, mut caller, _) = bridged();
    caller.header.payload_type = 101;
    for _ in 0..1_000 {
        let header = caller.next();
        bench.rtp(1, &header, &[5, 10, 0xFF, 0xFF]);
    }
    bench.run_ms(30_000);

    assert_eq!(said(&bench).len(), 16);
    assert_eq!(bench.engine.counters().digits_out, 16);
    let (at, header, _) = bench.heard(2).last().cloned().unwrap();
    assert!(at > 29_900 && header.payload_type == 8, "and then it is over");
}

#[test]
fn keys_of_ours_are_told_over_music_and_in_a_bridge_in_the_legs_one_stream() {
    for bridge in [false, true] {
        let (mut bench, _, mut agent) = bridged();
        if !bridge {
            bench.part(Source::Music(TuneId(0)));
        }
        bench.run(3_000, |bench, ms| {
            if ms % 20 == 5 && bridge {
                agent.say(bench, 2, 9);
            }
            if ms == 500 {
                bench.order(Order::Digits { leg: leg(1), digits: digits("4*D") });
            }
        });

        let heard = bench.heard(1);
        assert!(heard.windows(2).all(|two| two[1].1.sequence == two[0].1.sequence.wrapping_add(1)));
        let keys: Vec<_> =
            heard.iter().filter(|(_, header, _)| header.payload_type == 101).collect();
        assert_eq!(keys.len(), 3 * 7);
        for (key, event) in keys.chunks(7).zip([4, 10, 15]) {
            assert_whole_key(key, event, 5);
        }
        // Time passes as if nothing had been said beside it.
        let (first, last) = (heard[0].1.timestamp, heard.last().unwrap().1.timestamp);
        let frames = last.wrapping_sub(first) / 160 + 1;
        assert!((147..=151).contains(&frames), "{frames}");
        let audio = u32::try_from(heard.len() - keys.len()).unwrap();
        assert_eq!(audio, frames - 15);
        assert_eq!(bench.engine.counters().digits_out, 3);
    }
}

#[test]
fn keys_that_come_faster_than_they_can_be_told_wait_and_the_rest_are_counted() {
    let (mut bench, mut caller, _) = bridged();
    let flood = |bench: &mut Bench, caller: &mut Speaker, ms: u64| {
        bench.run(ms, |bench, ms| {
            // One packet a key, 16 a second: each ends 40 ms after it began.
            if ms % 62 == 3 {
                let header = Header { payload_type: 101, ..caller.next() };
                bench.rtp(1, &header, &[5, 0x8A, 1, 0x40]);
            }
        });
    };
    flood(&mut bench, &mut caller, 9_000);
    assert_eq!(bench.engine.counters().digits_lost, 0, "a burst waits");
    flood(&mut bench, &mut caller, 21_000);
    bench.run_ms(8_000);

    let counters = *bench.engine.counters();
    assert!((480..=490).contains(&counters.digits_in), "{counters:?}");
    assert!(counters.digits_lost > 100, "{counters:?}");
    assert_eq!(counters.digits_out + counters.digits_lost, counters.digits_in);
    // 64 waited when the last one came, each of them took 100 ms.
    let last = bench.heard(2).iter().rfind(|(_, h, _)| h.payload_type == 101).unwrap().0;
    assert!((36_000..=36_700).contains(&last), "{last}");
}

#[test]
fn keys_that_wait_when_their_listener_goes_are_counted() {
    for leaves in [0, 1, 2] {
        let (mut bench, mut caller, _) = bridged();
        for event in 1..=9 {
            let header = Header { payload_type: 101, ..caller.next() };
            bench.rtp(1, &header, &[event, 0x8A, 1, 0x40]);
        }
        bench.run_ms(150);
        match leaves {
            0 => bench.part(Source::Silence),
            1 => bench.order(Order::Close { leg: leg(2) }),
            _ => {
                let mut order = connect(2, Law::A);
                if let Order::Connect { sends, .. } = &mut order {
                    *sends = false;
                }
                bench.order(order);
            }
        }
        bench.run_ms(2_000);

        let counters = bench.engine.counters();
        assert_eq!((counters.digits_in, counters.digits_out + counters.digits_lost), (9, 9));
        assert_eq!(counters.digits_out, 2, "{leaves}");
    }
}
