//! Silence sent as comfort noise (RFC 3389): the same stream, its time going on, where the far side agreed.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::{Bench, Speaker, connect, leg, stream};
use media_core::{
    codec::g711,
    order::{By, Digit, Digits, Law, Order, RecordKind, Role, Source, TalkName, TuneId},
    rtp::header::Header,
};

type Heard = Vec<(u64, Header, Vec<u8>)>;

const NOISE: u8 = 13;

fn comfort(bench: &mut Bench, n: u16, sends: bool) {
    bench.order(Order::Comfort { leg: leg(n), sends });
}

/// Fails unless these packets are one stream whose time stamps are those of the clock, with a marker where
/// audio begins and nowhere else.
fn assert_goes_on(n: u16, heard: &Heard) {
    let (first_ms, start) = (heard[0].0, stream(n));
    let mut before = NOISE;
    for ((at_ms, header, payload), place) in heard.iter().zip(0_u16..) {
        assert_eq!(header.ssrc, start.ssrc);
        assert_eq!(header.sequence, start.sequence.wrapping_add(place));
        let samples = header.timestamp.wrapping_sub(start.timestamp);
        let clock = u32::try_from((at_ms - first_ms) * 8).unwrap();
        assert!(samples.abs_diff(clock) <= 480, "{at_ms} ms: {samples} at {clock}");
        assert_eq!(samples % 160, 0);
        let audio = header.payload_type != NOISE;
        assert_eq!(header.marker, audio && before == NOISE, "{at_ms} ms");
        assert_eq!(payload.len(), if audio { 160 } else { 1 });
        before = header.payload_type;
    }
}

fn noises(heard: &Heard, from_ms: u64, until_ms: u64) -> Vec<u8> {
    let then = heard.iter().filter(|(ms, ..)| (from_ms..until_ms).contains(ms));
    let noises = then.filter(|(_, header, _)| header.payload_type == NOISE);
    noises.map(|(_, _, payload)| payload[0]).collect()
}

#[test]
fn who_waits_without_music_and_agreed_to_it_is_sent_comfort_noise_five_times_a_second() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    comfort(&mut bench, 1, true);
    bench.hear(1, Source::Music(TuneId(0)));
    bench.run_ms(500);
    bench.hear(1, Source::Silence);
    bench.run_ms(3_000);
    bench.hear(1, Source::Music(TuneId(0)));
    bench.run_ms(500);
    bench.hear(1, Source::Silence);
    bench.run_ms(140);
    bench.hear(1, Source::Music(TuneId(0)));
    bench.run_ms(500);

    let heard = bench.heard(1);
    assert_goes_on(1, &heard);
    let noises = noises(&heard, 0, 10_000);
    assert!((13..=15).contains(&noises.len()), "{}", noises.len());
    assert!(noises.iter().all(|level| *level == 127), "{noises:?}");
    let frames = heard.len() - noises.len();
    let silent_ms = 3_000;
    assert!((frames * 20).abs_diff(4_640 - silent_ms + 200) <= 60, "{frames} frames");
}

#[test]
fn who_has_not_agreed_or_no_longer_does_is_sent_every_frame() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, Source::Silence);
    bench.run_ms(1_000);
    comfort(&mut bench, 1, true);
    bench.run_ms(1_000);
    comfort(&mut bench, 1, false);
    bench.run_ms(1_000);

    let heard = bench.heard(1);
    let frames =
        |from: u64| heard.iter().filter(|(ms, ..)| (from..from + 1_000).contains(ms)).count();
    assert_eq!(noises(&heard, 0, 1_000), []);
    assert!((4..=5).contains(&noises(&heard, 1_000, 2_000).len()));
    assert_eq!(noises(&heard, 2_040, 3_000), []);
    assert!((49..=51).contains(&frames(0)) && (48..=51).contains(&frames(2_000)));
    assert_goes_on(1, &heard);
}

/// A caller who speaks, pauses with comfort noise of 30 dB, and speaks again: what the other is sent, and the
/// frames of the recording.
fn pause_of_a_caller(agrees: bool) -> (Heard, Vec<RecordKind>) {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::Mu);
    comfort(&mut bench, 2, agrees);
    bench.bridge(1, 2, true);
    let mut caller = Speaker::new(1, Law::A);
    bench.run(4_000, |bench, ms| {
        if ms % 20 != 3 {
            return;
        }
        let mut header = caller.next();
        match ms {
            0..1_000 | 3_000.. => bench.rtp(1, &header, &[0x21; 160]),
            1_000..1_020 => {
                header.payload_type = NOISE;
                bench.rtp(1, &header, &[30, 13]);
            }
            _ => caller.header.sequence = header.sequence,
        }
    });
    let kinds = bench.wire.recorded.iter().map(|frame| frame.kind).collect();
    (bench.heard(2), kinds)
}

#[test]
fn a_pause_of_one_side_is_told_the_other_and_the_recording_has_its_whole_time() {
    let (heard, recorded) = pause_of_a_caller(true);
    let (plain, all) = pause_of_a_caller(false);

    assert_goes_on(2, &heard);
    assert_eq!(noises(&heard, 0, 1_000), []);
    let told = noises(&heard, 1_000, 3_000);
    assert!((7..=10).contains(&told.len()), "{told:?}");
    assert!(told.iter().all(|level| level.abs_diff(30) <= 3), "{told:?}");
    assert_eq!(noises(&heard, 3_040, 4_000), [], "speech is audio at once");
    assert!(heard.len() + 60 < plain.len(), "{} of {}", heard.len(), plain.len());
    assert_eq!(recorded, all);
}

#[test]
fn a_talk_of_three_in_which_nobody_says_anything_is_comfort_noise_to_who_agreed() {
    let mut bench = Bench::new();
    for n in 1..=3 {
        bench.party(n, Law::A);
    }
    comfort(&mut bench, 2, true);
    bench.bridge(1, 2, false);
    let role = Role::Speaks;
    bench.order(Order::Join { talk: TalkName(7), leg: leg(3), role });
    let mut third = Speaker::new(3, Law::A);
    bench.run(3_000, |bench, ms| {
        if ms % 20 == 3 && !(500..2_500).contains(&ms) {
            third.say(bench, 3, 0x21);
        } else if ms % 20 == 3 {
            third.header.timestamp = third.header.timestamp.wrapping_add(160);
        }
    });

    let heard = bench.heard(2);
    assert_goes_on(2, &heard);
    let noises = noises(&heard, 0, 3_000);
    assert!((7..=10).contains(&noises.len()), "{noises:?}");
    let others = bench.heard(1);
    assert!(others.iter().all(|(_, header, _)| header.payload_type == 8));
    assert!(heard.len() + 60 < others.len(), "{} of {}", heard.len(), others.len());
}

#[test]
fn behind_a_key_silence_begins_anew_with_frames() {
    for told_by in [By::Tones, By::Events] {
        // Wherever in the 200 ms from one packet of noise to the next the key comes.
        for at_ms in (1_000..1_200).step_by(20) {
            let mut bench = Bench::new();
            bench.party(1, Law::A);
            comfort(&mut bench, 1, true);
            let (leg, hears_tones, masked) = (leg(1), false, false);
            bench.order(Order::Keys { leg, hears_tones, told_by, masked });
            bench.hear(1, Source::Silence);
            bench.run_ms(at_ms);
            let five = Digit::try_from('5').unwrap();
            bench.order(Order::Digits { leg, digits: Digits::new(&[five, five]).unwrap() });
            bench.run_ms(1_000);

            let heard = bench.heard(1);
            // Two keys of five frames, three frames between them, ten before the first noise.
            let (key, all) = if told_by == By::Tones { (8, 23) } else { (101, 27) };
            let then = heard.iter().filter(|(ms, ..)| *ms >= at_ms);
            let then: Vec<_> =
                then.skip_while(|(_, header, _)| header.payload_type == NOISE).collect();
            assert_eq!(then[0].1.payload_type, key);
            let gaps = then.windows(2).take(all - 1).map(|pair| pair[1].0 - pair[0].0);
            assert!(gaps.max().unwrap() <= 20, "{told_by:?} at {at_ms} ms");
            let rest = then.iter().take_while(|(_, header, _)| header.payload_type != NOISE);
            assert!(rest.count() >= all, "{told_by:?} at {at_ms} ms");
        }
    }
}

#[test]
fn behind_a_pause_of_the_stream_silence_begins_anew_with_frames() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    comfort(&mut bench, 1, true);
    bench.hear(1, Source::Silence);
    bench.run_ms(1_090);
    for resumes in [false, true] {
        let mut order = connect(1, Law::A);
        if let Order::Connect { sends, .. } = &mut order {
            *sends = resumes;
        }
        bench.order(order);
        bench.run_ms(500);
    }

    let heard = bench.heard(1);
    let frames = |ms: u64| (1_590..1_770).contains(&ms);
    let then: Vec<_> = heard.iter().filter(|(ms, ..)| frames(*ms)).collect();
    assert!(then.len() >= 8, "{}", then.len());
    assert!(then.iter().all(|(_, header, _)| header.payload_type == 8));
}

#[test]
fn however_many_listen_a_soft_voice_is_a_voice() {
    let mut bench = Bench::new();
    for n in 1..=14 {
        bench.party(n, Law::A);
    }
    comfort(&mut bench, 2, true);
    bench.bridge(1, 2, false);
    for n in 3..=14 {
        bench.order(Order::Join { talk: TalkName(7), leg: leg(n), role: Role::Listens });
    }
    let mut caller = Speaker::new(1, Law::A);
    bench.run(4_000, |bench, ms| {
        let header = caller.next();
        let soft = g711::encode(Law::A, if ms % 40 == 3 { 40 } else { -40 });
        match ms {
            0..2_000 if ms % 20 == 3 => bench.rtp(1, &header, &[soft; 160]),
            _ => caller.header = header,
        }
    });

    let heard = bench.heard(2);
    assert_eq!(noises(&heard, 0, 2_000), []);
    assert!(noises(&heard, 2_000, 4_000).len() >= 6, "and its pause is one");
}
