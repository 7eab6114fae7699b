//! What a recording is told: two tracks on the monotonic clock, from the first bridge to the end.

mod bench;

use bench::*;
use media_core::{
    codec::g711,
    order::{Event, Law, Order, RecordFrame, RecordKind, Recorded, Source, TalkName, TuneId},
    record::unpack,
};
use std::time::Duration;

const MUSIC: Source = Source::Music(TuneId(0));
const TALK: TalkName = TalkName(7);

/// A recorded bridge of a caller in mu-law and an agent in A-law.
fn recorded() -> (Bench, impl FnMut(&mut Bench, u64)) {
    let mut bench = Bench::new();
    bench.party(1, Law::Mu);
    bench.party(2, Law::A);
    bench.run_ms(33);
    bench.bridge(1, 2, true);
    let (mut caller, mut agent) = (Speaker::new(1, Law::Mu), Speaker::new(2, Law::A));
    let speak = move |bench: &mut Bench, ms: u64| {
        if ms % 20 == 8 {
            caller.say(bench, 1, 0x21);
        }
        if ms % 20 == 17 {
            agent.say(bench, 2, 0x42);
        }
    };
    (bench, speak)
}

fn end(bench: &mut Bench) -> Option<Recorded> {
    bench.order(Order::EndTalk { talk: TALK });
    match bench.events.last() {
        Some(Event::TalkEnded { talk: TALK, recorded, .. }) => *recorded,
        other => panic!("{other:?}"),
    }
}

fn sides(frame: &RecordFrame) -> (i16, i16) {
    let pairs = unpack(&frame.tracks);
    assert!(pairs.iter().all(|pair| *pair == pairs[0]));
    pairs[0].into()
}

/// Fails unless this is a start, every frame in order, and an end that says how many.
fn assert_whole(frames: &[RecordFrame], length: u32) {
    let kinds: Vec<_> = frames.iter().map(|frame| (frame.kind, frame.index)).collect();
    let mut expected = vec![(RecordKind::Start, 0)];
    expected.extend((0..length).map(|index| (RecordKind::Audio, index)));
    expected.push((RecordKind::End, length));
    assert_eq!(kinds, expected);
    assert!(frames.iter().all(|frame| frame.talk == TALK));
}

#[test]
fn the_caller_is_left_the_others_are_right_and_hold_is_silence() {
    let (mut bench, mut speak) = recorded();
    bench.run(1_000, &mut speak);
    bench.part(MUSIC);
    bench.run(1_000, &mut speak);
    bench.bridge(1, 2, true);
    bench.run(1_000, &mut speak);
    let recorded = end(&mut bench);
    bench.run_ms(1);

    assert_eq!(recorded, Some(Recorded { frames: 150, lost: 0, paused: 0 }));
    assert_whole(&bench.wire.recorded, 150);
    let audio: Vec<_> = bench.wire.recorded[1..151].iter().map(sides).collect();
    let both = (g711::decode(Law::Mu, 0x21), g711::decode(Law::A, 0x42));
    assert_eq!(audio[..50], [both; 50]);
    assert_eq!(audio[52..98], [(0, 0); 46]);
    assert_eq!(audio[102..150], [both; 48]);
}

#[test]
fn who_is_held_by_its_own_phone_is_still_recorded_as_heard() {
    let (mut bench, mut speak) = recorded();
    let Order::Connect { leg, remote, codec, telephone_event, .. } = connect(2, Law::A) else {
        unreachable!()
    };
    bench.order(Order::Connect {
        leg,
        remote,
        codec,
        telephone_event,
        sends: false,
        receives: true,
    });
    bench.run(400, &mut speak);

    assert_eq!(end(&mut bench).unwrap().frames, 20);
    bench.run_ms(1);
    let audio: Vec<_> = bench.wire.recorded[1..21].iter().map(sides).collect();
    assert!(audio[1..18].iter().all(|(left, _)| *left == g711::decode(Law::Mu, 0x21)));
}

#[test]
fn the_length_is_the_talk_time_rounded_to_frames() {
    for (ms, frames) in [(0, 0), (9, 0), (10, 1), (20, 1), (29, 1), (30, 2), (4_999, 250)] {
        let (mut bench, mut speak) = recorded();
        bench.run(ms, &mut speak);

        assert_eq!(end(&mut bench), Some(Recorded { frames, lost: 0, paused: 0 }), "{ms} ms");
        bench.run_ms(1);
        assert_whole(&bench.wire.recorded, u32::try_from(frames).unwrap());
    }
}

#[test]
fn a_stall_leaves_no_hole_in_the_time_line() {
    let (mut bench, mut speak) = recorded();
    bench.run(500, &mut speak);
    bench.stall_ms(2_000);
    bench.run(500, &mut speak);
    assert_eq!(end(&mut bench).unwrap().frames, 150);
    bench.run_ms(200);

    assert_whole(&bench.wire.recorded, 150);
}

#[test]
fn frames_without_room_are_counted_and_the_end_is_said_when_there_is_some() {
    let (mut bench, mut speak) = recorded();
    bench.run(1_001, &mut speak);
    bench.wire.full = true;
    bench.run(999, &mut speak);
    assert_eq!(end(&mut bench), Some(Recorded { frames: 100, lost: 49, paused: 0 }));
    bench.run_ms(3_000);
    assert!(!bench.engine.is_idle());

    bench.wire.full = false;
    bench.run_ms(1);

    let last = bench.wire.recorded.last().unwrap();
    assert_eq!((last.kind, last.index), (RecordKind::End, 100));
    // Six frames are held back for a stream that lags.
    assert_eq!(bench.wire.recorded.len(), 1 + 44 + 1);
    assert_eq!(bench.engine.counters().record_frames, 44);
    assert_eq!(bench.engine.counters().record_frames_lost, 56);
}

#[test]
fn a_recorder_full_at_the_first_frame_still_hears_of_the_talk() {
    let (mut bench, mut speak) = recorded();
    bench.wire.full = true;
    bench.run(201, &mut speak);
    bench.wire.full = false;
    bench.run(199, &mut speak);
    assert_eq!(end(&mut bench), Some(Recorded { frames: 20, lost: 4, paused: 0 }));
    bench.run_ms(1);

    let kinds: Vec<_> = bench.wire.recorded.iter().map(|f| (f.kind, f.index)).collect();
    assert_eq!(kinds[..2], [(RecordKind::Start, 0), (RecordKind::Audio, 4)]);
    assert_eq!(kinds.last(), Some(&(RecordKind::End, 20)));
}

#[test]
fn a_recorder_that_takes_nothing_for_ever_costs_no_call() {
    let mut bench = Bench::new();
    bench.wire.full = true;
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    for talk in 0..100 {
        let (talk, caller, other) = (TalkName(talk), leg(1), leg(2));
        bench.order(Order::Bridge { talk, caller, other, record: true });
        bench.run_ms(40);
        bench.order(Order::EndTalk { talk });
    }

    let ended = bench.events.iter().filter(|e| matches!(e, Event::TalkEnded { .. })).count();
    assert_eq!((ended, bench.engine.counters().recordings_unfinished), (100, 80));
    assert!(!bench.events.iter().any(|e| matches!(e, Event::Refused { .. })));
}

#[test]
fn a_late_burst_does_not_shift_the_rest_of_the_recording() {
    let (mut bench, mut speak) = recorded();
    bench.run(1_000, &mut speak);
    // 60 ms come late and at once; from then on all is even again.
    let mut held = vec![];
    bench.run(60, |_, ms| held.push(ms));
    held.into_iter().for_each(|ms| speak(&mut bench, ms));
    bench.run(6_000, &mut speak);
    let marked = bench.wire.recorded.len();
    bench.part(Source::Silence);
    bench.run_ms(200);

    let after = bench.wire.recorded[marked..].iter().map(sides);
    // What was said last is still held back for a stream that lags: six frames, and one begun.
    assert!(after.filter(|sides| *sides != (0, 0)).count() <= 7);
}

#[test]
fn what_is_not_asked_for_is_not_recorded() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    bench.bridge(1, 2, false);
    bench.run_ms(500);

    assert_eq!(end(&mut bench), None);
    bench.run_ms(500);
    assert!(bench.wire.recorded.is_empty());
}

#[test]
fn the_recording_starts_with_the_instant_of_the_bridge() {
    let (mut bench, mut speak) = recorded();
    let start = bench.now;
    bench.run(100, &mut speak);
    end(&mut bench);

    let bridged = Event::Bridged { talk: TALK, at: start };
    assert!(bench.events.contains(&bridged), "{:?}", bench.events);
    assert_eq!(start - bench.epoch, Duration::from_millis(33));
}

#[test]
fn a_transfer_goes_on_in_the_same_recording() {
    let (mut bench, mut speak) = recorded();
    bench.party(3, Law::A);
    bench.run(500, &mut speak);
    bench.order(Order::Close { leg: leg(2) });
    bench.run_ms(500);
    bench.bridge(1, 3, true);
    let mut third = Speaker::new(3, Law::A);
    bench.run(500, |bench, ms| {
        if ms % 20 == 4 {
            third.say(bench, 3, 0x33);
        }
    });

    assert_eq!(end(&mut bench).unwrap().frames, 75);
    bench.run_ms(1);
    assert_whole(&bench.wire.recorded, 75);
    let right: Vec<_> = bench.wire.recorded[1..76].iter().map(|frame| sides(frame).1).collect();
    assert!(right[1..24].iter().all(|said| *said == g711::decode(Law::A, 0x42)));
    assert!(right[27..49].iter().all(|said| *said == 0));
    assert!(right[52..].iter().all(|said| *said == g711::decode(Law::A, 0x33)));
}

#[test]
fn what_a_recording_cannot_place_after_a_stall_is_counted_and_said() {
    let (mut bench, mut speak) = recorded();
    bench.run(500, &mut speak);
    bench.stall_ms(2_000);
    bench.run(2_000, &mut speak);
    let recorded = end(&mut bench).unwrap();
    bench.run_ms(200);

    let quiet = |law, code| g711::decode(law, code).abs() <= 8;
    let heard = [(1, Law::Mu), (2, Law::A)].map(|(n, law)| {
        let heard = bench.heard(n);
        heard.iter().filter(|(_, _, said)| !quiet(law, said[80])).count() as u64
    });
    let mut kept = 0;
    for frame in bench.wire.recorded.iter().filter(|frame| frame.kind == RecordKind::Audio) {
        kept += unpack(&frame.tracks)[80].iter().filter(|said| said.abs() > 8).count() as u64;
    }
    assert!(recorded.lost > 0, "{recorded:?}");
    assert_eq!(kept + recorded.lost, heard.iter().sum::<u64>(), "{recorded:?}");
    assert_eq!(bench.engine.counters().record_frames_lost, recorded.lost);
}

#[test]
fn a_pause_is_silence_of_its_length_and_nothing_said_in_it_is_kept() {
    let (mut bench, mut speak) = recorded();
    bench.run(1_000, &mut speak);
    bench.order(Order::RecordPause { talk: TALK });
    bench.run(500, &mut speak);
    bench.order(Order::RecordPause { talk: TALK });
    bench.run(500, &mut speak);
    bench.order(Order::RecordResume { talk: TALK });
    bench.order(Order::RecordResume { talk: TALK });
    bench.run(1_000, &mut speak);
    bench.order(Order::RecordPause { talk: TALK });
    bench.run(200, &mut speak);
    let recorded = end(&mut bench);
    bench.run_ms(500);

    assert_eq!(recorded, Some(Recorded { frames: 160, lost: 0, paused: 60 }));
    let frames = &bench.wire.recorded;
    let audio: Vec<_> = frames[1..frames.len() - 1].iter().collect();
    let indices: Vec<_> = audio.iter().map(|frame| frame.index).collect();
    assert_eq!(indices, (0..160).collect::<Vec<_>>(), "the line goes on");
    for frame in audio {
        let paused = matches!(frame.index, 50..100 | 150..160);
        assert_eq!(frame.kind == RecordKind::Paused, paused, "{}", frame.index);
        let (caller, agent) = sides(frame);
        match frame.index {
            50..100 | 150..160 => assert_eq!((caller, agent), (0, 0), "{}", frame.index),
            // Streams lag by a frame or two at the joints, and there rather nothing is kept.
            2..48 | 102..148 => assert!(caller != 0 && agent != 0, "{}", frame.index),
            _ => {}
        }
    }
}

#[test]
fn what_is_not_recorded_cannot_be_paused() {
    let mut bench = Bench::new();
    bench.party(1, Law::Mu);
    bench.party(2, Law::A);
    bench.bridge(1, 2, false);

    bench.order(Order::RecordPause { talk: TALK });

    assert!(matches!(bench.events.last(), Some(Event::Refused { .. })), "{:?}", bench.events);
    bench.run_ms(100);
}
