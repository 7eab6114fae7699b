//! Codecs that nobody here reads pass through: the payload as it came, in one stream of our own.

mod bench;

use bench::{Bench, Speaker, leg, phone, port, stream};
use media_core::{
    counters::Dropped,
    order::{
        Codec, Coding, Digit, Event, Law, LegName, Opaque, Order, PortName, Remote, Source,
        TalkName, TuneId,
    },
    quality::Sound,
    rtp::header::Header,
};
use std::time::Duration;

fn connect(n: u16, opaque: Opaque, payload_type: u8, sends: bool) -> Order {
    let remote = Remote { rtp: phone(n), rtcp: phone(n), signalling: phone(n).ip() };
    let coding = Coding::Opaque(opaque);
    let event_factor = if opaque == Opaque::AmrWb { 2 } else { 1 };
    let codec = Codec { coding, payload_type, packet_ms: 20, event_factor };
    let telephone_event = Some(101);
    Order::Connect { leg: leg(n), remote, codec, telephone_event, sends, receives: true }
}

fn party(bench: &mut Bench, n: u16, opaque: Opaque, payload_type: u8) {
    let (leg, port, stream): (LegName, PortName, _) = (leg(n), port(n), stream(n));
    bench.order(Order::Open { leg, port, stream, talk: TalkName(0) });
    bench.order(connect(n, opaque, payload_type, true));
}

/// A bridge of two who speak this, by other numbers.
fn bridged(opaque: Opaque) -> (Bench, Speaker) {
    let mut bench = Bench::new();
    party(&mut bench, 1, opaque, 18);
    party(&mut bench, 2, opaque, 96);
    bench.bridge(1, 2, false);
    let mut caller = Speaker::new(1, Law::A);
    caller.header.payload_type = 18;
    caller.samples = if opaque == Opaque::AmrWb { 320 } else { 160 };
    (bench, caller)
}

/// Fails unless these are one stream with our name and numbers.
fn assert_ours(n: u16, heard: &[(u64, Header, Vec<u8>)]) {
    for ((_, header, _), place) in heard.iter().zip(0_u16..) {
        assert_eq!(header.ssrc, stream(n).ssrc);
        assert_eq!(header.sequence, stream(n).sequence.wrapping_add(place));
    }
}

#[test]
fn a_packet_goes_over_as_it_came_at_once_and_its_time_goes_on() {
    for opaque in [Opaque::G729, Opaque::Amr, Opaque::AmrWb] {
        let (mut bench, mut caller) = bridged(opaque);
        bench.run(2_000, |bench, ms| {
            if ms % 20 == 3 {
                let (header, n) = (caller.next(), u8::try_from(ms / 20).unwrap());
                bench.rtp(1, &header, &[n; 20]);
            }
        });

        let heard = bench.heard(2);
        assert_ours(2, &heard);
        assert_eq!(heard.len(), 100, "{opaque:?}");
        for ((at_ms, header, payload), n) in heard.iter().zip(0_u8..) {
            assert_eq!((*at_ms, payload), (u64::from(n) * 20 + 3, &vec![n; 20]));
            assert_eq!((header.payload_type, header.marker), (96, n == 0));
            let since = header.timestamp.wrapping_sub(heard[0].1.timestamp);
            assert_eq!(since, u32::from(n) * caller.samples, "{opaque:?}");
        }
        bench.order(Order::Close { leg: leg(1) });
        let report = bench.events.iter().find_map(|event| {
            let Event::Closed { report, .. } = event else { return None };
            Some(*report)
        });
        let sound = Sound::of(&report.unwrap());
        assert_eq!(sound.mos.is_some(), opaque == Opaque::G729, "no figures, no judgement");
    }
}

#[test]
fn a_pause_is_a_pause_and_another_source_goes_on_where_the_stream_is() {
    let (mut bench, mut caller) = bridged(Opaque::G729);
    bench.run(6_000, |bench, ms| {
        if ms % 20 != 3 {
            return;
        }
        let header = caller.next();
        match ms {
            // Nothing is said: its time goes on, its numbers do not.
            2_000..4_000 => caller.header.sequence = header.sequence,
            4_003 => {
                caller.header.ssrc ^= 1;
                caller.header.timestamp ^= 0x5555_0000;
                bench.rtp(1, &header, &[1; 20]);
            }
            _ => bench.rtp(1, &header, &[1; 20]),
        }
    });

    let heard = bench.heard(2);
    assert_ours(2, &heard);
    assert_eq!(
        heard.len(),
        199,
        "all but the first of another source, which might have been forged"
    );
    for (at_ms, header, _) in &heard {
        let said = header.timestamp.wrapping_sub(heard[0].1.timestamp);
        let clock = u32::try_from((at_ms - heard[0].0) * 8).unwrap();
        assert!(said.abs_diff(clock) <= 320, "{at_ms} ms: {said} at {clock}");
    }
    assert_eq!(bench.engine.counters().stalls, 0);
}

#[test]
fn what_is_late_or_no_packet_of_any_codec_goes_no_further() {
    let (mut bench, mut caller) = bridged(Opaque::Amr);
    let say = |bench: &mut Bench, caller: &mut Speaker, length: usize| {
        let header = caller.next();
        bench.rtp(1, &header, &vec![7; length]);
        bench.run_ms(20);
        header
    };
    let first = say(&mut bench, &mut caller, 32);
    let held_up = caller.next();
    say(&mut bench, &mut caller, 32);
    bench.rtp(1, &held_up, &[7; 32]);
    bench.rtp(1, &first, &[7; 32]);
    say(&mut bench, &mut caller, 0);
    say(&mut bench, &mut caller, 481);
    say(&mut bench, &mut caller, 480);

    let heard = bench.heard(2);
    assert_ours(2, &heard);
    assert_eq!(heard.len(), 3);
    let dropped = |why| bench.engine.counters().dropped(why);
    assert_eq!((dropped(Dropped::Late), dropped(Dropped::Duplicate)), (1, 1));
    assert_eq!(dropped(Dropped::Length), 2);
}

#[test]
fn keys_go_over_as_keys_and_nobody_is_played_anything() {
    let (mut bench, mut caller) = bridged(Opaque::G729);
    let mut tell = Header { payload_type: 101, ..caller.header };
    bench.run(1_000, |bench, ms| {
        if ms % 20 != 3 {
            return;
        }
        let header = caller.next();
        let place = ms / 20;
        if (10..20).contains(&place) {
            tell = Header {
                timestamp: if place == 10 { header.timestamp } else { tell.timestamp },
                ..tell
            };
            let duration = u16::try_from((place - 9) * 160).unwrap().to_be_bytes();
            let end = if place == 19 { 0x8A } else { 0x0A };
            bench.rtp(
                1,
                &Header { sequence: header.sequence, ..tell },
                &[5, end, duration[0], duration[1]],
            );
        } else {
            bench.rtp(1, &header, &[1; 20]);
        }
    });
    let keys = bench.heard(2).iter().filter(|(_, header, _)| header.payload_type == 101).count();
    assert!(keys >= 10, "{keys}");
    assert!(bench.events.iter().any(|event| matches!(event, Event::Digit { .. })));
    assert_ours(2, &bench.heard(2));

    let before = bench.heard(2).len();
    bench.part(Source::Music(TuneId(0)));
    bench.run_ms(1_000);
    assert_eq!(bench.heard(2).len(), before, "no music that nobody could read");
    bench.bridge(1, 2, false);
    let header = caller.next();
    bench.rtp(1, &header, &[1; 20]);
    assert_eq!(bench.heard(2).len(), before + 1);
    assert_ours(2, &bench.heard(2));
}

#[test]
fn who_asked_to_be_sent_nothing_is_sent_nothing_and_then_again() {
    let (mut bench, mut caller) = bridged(Opaque::G729);
    let mut said = [0; 3];
    for (round, sends) in [true, false, true].into_iter().enumerate() {
        bench.order(connect(2, Opaque::G729, 96, sends));
        let before = bench.heard(2).len();
        for _ in 0..10 {
            caller.header.payload_type = 18;
            let header = caller.next();
            bench.rtp(1, &header, &[1; 20]);
            bench.run_ms(20);
        }
        said[round] = bench.heard(2).len() - before;
    }

    assert_eq!(said, [10, 0, 10]);
    assert_ours(2, &bench.heard(2));
}

#[test]
fn nothing_that_is_not_read_gets_into_an_ear_that_reads_something_else() {
    for other in [Some(Opaque::Amr), None] {
        let mut bench = Bench::new();
        party(&mut bench, 1, Opaque::G729, 18);
        match other {
            Some(other) => party(&mut bench, 2, other, 96),
            None => bench.party(2, Law::A),
        }
        bench.bridge(1, 2, false);
        let (mut caller, mut agent) = (Speaker::new(1, Law::A), Speaker::new(2, Law::A));
        caller.header.payload_type = 18;
        agent.header.payload_type = if other.is_some() { 96 } else { 8 };
        bench.run(1_000, |bench, ms| {
            if ms % 20 == 3 {
                let header = caller.next();
                bench.rtp(1, &header, &[0x77; 20]);
                agent.say(bench, 2, 0x11);
            }
        });

        assert!(bench.heard(1).is_empty(), "{other:?}");
        let heard = bench.heard(2);
        assert!(heard.iter().all(|(_, _, payload)| !payload.contains(&0x77)), "{other:?}");
    }
}

/// Time stamps of what was heard, since the first.
fn stamps(heard: &[(u64, Header, Vec<u8>)]) -> Vec<i32> {
    let since = |header: &Header| header.timestamp.wrapping_sub(heard[0].1.timestamp);
    heard.iter().map(|(_, header, _)| since(header).cast_signed()).collect()
}

#[test]
fn no_more_goes_over_than_any_codec_sends_and_a_network_that_held_packets_up_is_heard_whole() {
    let (mut bench, mut caller) = bridged(Opaque::Amr);
    bench.run(1_000, |bench, _| {
        for _ in 0..64 {
            let header = caller.next();
            bench.rtp(1, &header, &[7; 480]);
        }
    });

    let flood = bench.heard(2).len();
    // The second that passes and the two that ours may be before it.
    assert!((100..=160).contains(&flood), "{flood}");
    let dropped = [Dropped::Ahead, Dropped::Rate].map(|why| bench.engine.counters().dropped(why));
    assert_eq!(dropped.iter().sum::<u64>(), 64_000 - flood as u64);
    assert!((63_500..=63_600).contains(&dropped[1]), "more than is looked at at all: {dropped:?}");
    // Whoever has been before the clock comes back to it slowly.
    bench.run_ms(30_000);
    // 300 ms that come at once, then each in its time.
    for _ in 0..15 {
        let header = caller.next();
        bench.rtp(1, &header, &[7; 32]);
    }
    caller.samples = 80;
    bench.run(1_000, |bench, ms| {
        if ms % 10 == 3 {
            let header = caller.next();
            bench.rtp(1, &header, &[7; 32]);
        }
    });
    assert_eq!(bench.heard(2).len(), flood + 115);
    let after = [Dropped::Ahead, Dropped::Rate].map(|why| bench.engine.counters().dropped(why));
    assert_eq!(after, dropped);
    assert_ours(2, &bench.heard(2));
}

#[test]
fn our_time_goes_forward_wherever_that_of_the_source_goes() {
    let (mut bench, mut caller) = bridged(Opaque::G729);
    bench.run(3_000, |bench, ms| {
        if ms % 20 != 3 {
            return;
        }
        match ms {
            1_003 => caller.header.timestamp = caller.header.timestamp.wrapping_sub(8_000),
            1_503 => caller.header.timestamp = caller.header.timestamp.wrapping_sub(160),
            2_003 => caller.header.timestamp = caller.header.timestamp.wrapping_add(4_000),
            _ => {}
        }
        let header = caller.next();
        bench.rtp(1, &header, &[1; 20]);
    });

    let heard = bench.heard(2);
    let stamps = stamps(&heard);
    assert_eq!(heard.len(), 150);
    assert!(stamps.windows(2).all(|pair| pair[1] > pair[0]), "{stamps:?}");
    assert_eq!(stamps.last(), Some(&(149 * 160 + 4_000)), "and with it where it goes forward");
}

#[test]
fn a_source_whose_time_runs_takes_ours_two_seconds_before_the_clock_and_no_further() {
    let (mut bench, mut caller) = bridged(Opaque::G729);
    bench.run(20_000, |bench, ms| {
        if ms % 5 == 3 {
            let header = caller.next();
            caller.header.timestamp = header.timestamp + 15_900;
            bench.rtp(1, &header, &[7; 20]);
        }
    });

    let heard = bench.heard(2);
    assert_ours(2, &heard);
    let from = heard[0].0;
    assert!(heard.len() > 900, "{}", heard.len());
    for (at, header, _) in &heard {
        let told = header.timestamp.wrapping_sub(heard[0].1.timestamp);
        let before = i64::from(told / 8) - i64::try_from(at - from).unwrap();
        assert!(before <= 2_600, "{before} ms before the clock after {at} ms");
    }
    bench.run_ms(10_000);
    let left = bench.heard(2).len();
    bench.run(1_000, |bench, ms| {
        if ms % 20 == 3 {
            let header = caller.next();
            bench.rtp(1, &header, &[7; 20]);
        }
    });
    assert_eq!(bench.heard(2).len() - left, 50, "an even source goes over again");
}

#[test]
fn a_late_packet_is_missed_by_the_ear_and_in_the_report() {
    let (mut bench, mut caller) = bridged(Opaque::G729);
    let mut held_up = None;
    bench.run(10_000, |bench, ms| {
        if ms % 20 != 3 {
            return;
        }
        let header = caller.next();
        if ms % 200 == 3 {
            held_up = Some(header);
            return;
        }
        bench.rtp(1, &header, &[1; 20]);
        if let Some(late) = held_up.take() {
            bench.rtp(1, &late, &[1; 20]);
        }
    });

    assert_eq!(bench.heard(2).len(), 450);
    bench.order(Order::Close { leg: leg(1) });
    let report = bench.events.iter().find_map(|event| {
        let Event::Closed { report, .. } = event else { return None };
        Some(*report)
    });
    let report = report.unwrap();
    // The very first is before the source began.
    assert_eq!((report.packets_late, report.packets_missed, report.loss_runs), (50, 49, 49));
    assert!(Sound::of(&report).mos.unwrap().lq < 3.5);
}

#[test]
fn a_key_is_told_while_somebody_speaks_whenever_their_packets_come() {
    for offset in 0..20 {
        let (mut bench, mut caller) = bridged(Opaque::G729);
        bench.run(1_000, |bench, ms| {
            if ms % 20 == offset {
                let header = caller.next();
                bench.rtp(1, &header, &[1; 20]);
            }
            if ms == 500 {
                let digit = Digit::try_from('5').unwrap();
                let duration = Duration::from_millis(100);
                bench.order(Order::Pressed { leg: leg(1), digit, duration });
            }
        });

        let heard = bench.heard(2);
        assert_ours(2, &heard);
        let keys: Vec<_> = heard.iter().filter(|(_, key, _)| key.payload_type == 101).collect();
        assert_eq!(keys.len(), 7, "{offset}: five frames, the last of them said three times");
        assert!((500..=540).contains(&keys[0].0) && keys[6].0 <= 640, "{offset}: {}", keys[0].0);
        let meanwhile = |at_ms: u64| (keys[0].0..keys[6].0).contains(&at_ms);
        let audio = heard.iter().filter(|(_, header, _)| header.payload_type == 96);
        assert_eq!(audio.filter(|(at_ms, ..)| meanwhile(*at_ms)).count(), 0, "{offset}");
        assert!(stamps(&heard).is_sorted(), "{offset}");
    }
}

#[test]
fn keys_are_told_one_after_the_other_where_nobody_speaks() {
    let (mut bench, mut caller) = bridged(Opaque::G729);
    bench.run(2_000, |bench, ms| {
        if ms % 20 == 3 && ms < 400 {
            let header = caller.next();
            bench.rtp(1, &header, &[1; 20]);
        }
        if ms == 1_000 || ms == 1_010 {
            let digit = Digit::try_from('5').unwrap();
            let duration = Duration::from_millis(100);
            bench.order(Order::Pressed { leg: leg(1), digit, duration });
        }
    });

    let heard = bench.heard(2);
    let mut keys: Vec<_> = heard.iter().filter(|(_, key, _)| key.payload_type == 101).collect();
    assert_eq!(keys.len(), 14);
    assert!(keys[13].0 <= 1_300, "{}", keys[13].0);
    keys.dedup_by_key(|(_, key, _)| key.timestamp);
    assert_eq!(keys.len(), 2);
}

#[test]
fn who_pauses_in_g729_with_its_background_told_is_not_one_way() {
    for (opaque, length, one_way) in [
        (Opaque::G729, 2, false),
        (Opaque::G729, 12, false),
        (Opaque::G729, 10, true),
        (Opaque::Amr, 12, true),
    ] {
        let (mut bench, mut caller) = bridged(opaque);
        let mut other = Speaker::new(2, Law::A);
        other.header.payload_type = 96;
        bench.run(10_000, |bench, ms| {
            if ms % 20 != 3 {
                return;
            }
            let header = other.next();
            bench.rtp(2, &header, &[1; 20]);
            if ms < 3_000 {
                let header = caller.next();
                bench.rtp(1, &header, &vec![1; if ms < 2_980 { 20 } else { length }]);
            }
        });

        let said = bench.events.iter().any(|event| matches!(event, Event::OneWay { .. }));
        assert_eq!(said, one_way, "{opaque:?} {length}");
    }
}
