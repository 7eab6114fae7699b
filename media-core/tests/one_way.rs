//! One-way audio: said within three seconds, with the side, and only where something is wrong.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::*;
use media_core::order::{Event, Law, Order, Source};

/// What was said: which leg, and whether it began; in milliseconds since the start.
fn said(bench: &Bench) -> Vec<(u64, bool, u64)> {
    let ms = |at: std::time::Instant| u64::try_from((at - bench.epoch).as_millis()).unwrap();
    let mut said = vec![];
    for event in &bench.events {
        if let Event::OneWay { leg, since } = event {
            said.push((leg.0, true, ms(*since)));
        }
        if let Event::BothWays { leg, at } = event {
            said.push((leg.0, false, ms(*at)));
        }
    }
    said
}

/// A bridge in which each party speaks while its function says so.
fn talk(
    ms: u64,
    caller_speaks: impl Fn(u64) -> bool,
    agent_speaks: impl Fn(u64) -> bool,
    mut each: impl FnMut(&mut Bench, u64),
) -> (Bench, Option<u64>) {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    bench.bridge(1, 2, false);
    let (mut caller, mut agent) = (Speaker::new(1, Law::A), Speaker::new(2, Law::A));
    let mut first = None;
    bench.run(ms, |bench, now| {
        each(bench, now);
        if now % 20 == 3 && caller_speaks(now) {
            caller.say(bench, 1, 1);
        }
        if now % 20 == 9 && agent_speaks(now) {
            agent.say(bench, 2, 2);
        }
        if first.is_none() && !said(bench).is_empty() {
            first = Some(now);
        }
    });
    (bench, first)
}

#[test]
fn who_never_says_anything_is_said_within_three_seconds_of_the_bridge() {
    let (bench, first) = talk(10_000, |_| true, |_| false, |_, _| {});

    assert_eq!(said(&bench), [(2, true, 0)]);
    assert!(first.unwrap() < 3_000);
}

#[test]
fn who_stops_in_the_middle_is_said_once_and_its_return_too() {
    let (bench, first) = talk(20_000, |now| !(5_000..12_000).contains(&now), |_| true, |_, _| {});

    let said = said(&bench);
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!((said[0].0, said[0].1, said[1].1), (1, true, false));
    assert!(said[0].2.abs_diff(4_983) <= 20 && said[1].2.abs_diff(12_003) <= 20, "{said:?}");
    assert!(first.unwrap() < 8_000);
}

#[test]
fn two_who_both_say_nothing_are_not_one_way() {
    let (bench, _) = talk(10_000, |now| now < 3_000, |now| now < 3_200, |_, _| {});
    assert_eq!(said(&bench), []);
}

#[test]
fn a_held_phone_and_a_parted_talk_are_not_one_way() {
    let hold = |bench: &mut Bench, now: u64| {
        if now == 2_000 || now == 12_000 {
            let mut order = connect(2, Law::A);
            if let Order::Connect { sends, .. } = &mut order {
                *sends = now == 12_000;
            }
            bench.order(order);
        }
    };
    let (bench, _) = talk(20_000, |_| true, |now| !(2_000..13_000).contains(&now), hold);
    assert_eq!(said(&bench), [], "its own hold, and a second to come back");

    let part = |bench: &mut Bench, now: u64| {
        if now == 2_000 {
            bench.part(Source::Silence);
        }
    };
    let (bench, _) = talk(20_000, |_| true, |now| now < 2_000, part);
    assert_eq!(said(&bench), [], "ours");
}

#[test]
fn who_agreed_to_listen_only_is_not_one_way_and_is_waited_for_once_it_may_speak() {
    let change = |bench: &mut Bench, now: u64| {
        if now == 0 || now == 8_000 {
            let mut order = connect(2, Law::A);
            if let Order::Connect { receives, .. } = &mut order {
                *receives = now == 8_000;
            }
            bench.order(order);
        }
    };
    let (bench, first) = talk(12_000, |_| true, |_| false, change);

    assert_eq!(said(&bench), [(2, true, 8_000)]);
    assert!(first.unwrap() < 11_000);
}

#[test]
fn packets_that_nobody_can_hear_are_no_words() {
    for (samples, frozen, payload_type) in [(640, false, 8), (160, true, 8), (160, false, 111)] {
        let mut mute = Speaker::new(2, Law::A);
        (mute.samples, mute.header.payload_type) = (samples, payload_type);
        let send = |bench: &mut Bench, now: u64| {
            if now.is_multiple_of(20) {
                let sequence = mute.header.sequence;
                mute.say(bench, 2, 9);
                if frozen {
                    mute.header.sequence = sequence;
                }
            }
        };
        let (bench, first) = talk(32_000, |_| true, |_| false, send);

        let said = said(&bench);
        assert_eq!((said.len(), said[0].0), (1, 2), "{said:?}");
        assert!(first.unwrap() < 3_000);
        // Something is there, but not what was agreed: nobody need ask whether it lives.
        let silent = |event: &Event| matches!(event, Event::Silent { leg, .. } if leg.0 == 2);
        assert_eq!(bench.events.iter().any(silent), payload_type == 8);
    }
}

#[test]
fn who_said_with_comfort_noise_that_it_pauses_is_not_one_way() {
    let mut noise = Speaker::new(1, Law::A);
    let comfort = move |bench: &mut Bench, now: u64| {
        if now == 3_010 {
            noise.header.sequence += 150;
            let mut header = noise.next();
            header.payload_type = 13;
            bench.rtp(1, &header, &[60]);
        }
    };
    let (bench, _) = talk(20_000, |now| now < 3_000, |_| true, comfort);

    assert_eq!(said(&bench), []);
}
