//! Prompts: each heard once and whole, one after the other, over what the leg hears else.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::*;
use media_core::{
    codec::g711,
    engine::EngineConfig,
    music::Tune,
    order::{
        Digit, Event, Law, OnDigit, Order, PromptEnd, PromptName, Role, Source, TalkName, TuneId,
    },
    rtp::header::Header,
};
use std::sync::Arc;

const MUSIC: Source = Source::Music(TuneId(0));
/// 90 ms: four frames and a half.
const SHORT: TuneId = TuneId(1);
/// Two seconds.
const LONG: TuneId = TuneId(2);

/// A tone of a whole number of waves, quiet where it begins and ends.
fn tone(samples: u16, hertz: f32) -> Vec<i16> {
    (0..samples)
        .map(|n| {
            let angle = f32::from(n) / 8_000.0 * hertz * std::f32::consts::TAU;
            #[expect(clippy::cast_possible_truncation, reason = "at most 8,000")]
            let sample = (angle.sin() * 8_000.0) as i16;
            sample
        })
        .collect()
}

fn tune(samples: &[i16]) -> Tune {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = std::io::Cursor::new(vec![]);
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    samples.iter().for_each(|sample| writer.write_sample(*sample).unwrap());
    writer.finalize().unwrap();
    Tune::import(&file.into_inner()).unwrap().tune
}

fn bench() -> Bench {
    let tunes = vec![
        Arc::new(Tune::test_tone()),
        Arc::new(tune(&tone(720, 1_000.0))),
        Arc::new(tune(&tone(16_000, 500.0))),
    ];
    let mut bench = Bench::with(EngineConfig { tunes, ..config(Tune::test_tone()) });
    bench.party(1, Law::A);
    bench
}

fn play(bench: &mut Bench, prompt: u32, tune: TuneId, on_digit: OnDigit) {
    bench.order(Order::Play { leg: leg(1), prompt: PromptName(prompt), tune, on_digit });
}

/// What became of the prompts, in the order in which it was said.
fn ended(bench: &Bench) -> Vec<(u32, PromptEnd)> {
    let ended = bench.events.iter().filter_map(|event| match event {
        Event::PromptEnded { leg: of, prompt, how } if *of == leg(1) => Some((prompt.0, *how)),
        Event::BothWays { .. }
        | Event::Bridged { .. }
        | Event::Closed { .. }
        | Event::Digit { .. }
        | Event::Heard { .. }
        | Event::OneWay { .. }
        | Event::PromptEnded { .. }
        | Event::Refused { .. }
        | Event::Silent { .. }
        | Event::TalkEnded { .. }
        | Event::Tell { .. } => None,
    });
    ended.collect()
}

fn refused(bench: &Bench) -> Vec<&'static str> {
    let refused = bench.events.iter().filter_map(|event| match event {
        Event::Refused { what, .. } => Some(*what),
        Event::BothWays { .. }
        | Event::Bridged { .. }
        | Event::Closed { .. }
        | Event::Digit { .. }
        | Event::Heard { .. }
        | Event::OneWay { .. }
        | Event::PromptEnded { .. }
        | Event::Silent { .. }
        | Event::TalkEnded { .. }
        | Event::Tell { .. } => None,
    });
    refused.collect()
}

fn decoded(heard: &[(u64, Header, Vec<u8>)], law: Law) -> Vec<i16> {
    heard.iter().flat_map(|(.., said)| said.iter().map(|code| g711::decode(law, *code))).collect()
}

/// As it comes out of the law.
fn through(samples: &[i16], law: Law) -> Vec<i16> {
    samples.iter().map(|sample| g711::decode(law, g711::encode(law, *sample))).collect()
}

/// A key that is pressed for 60 ms from now on.
fn press(bench: &mut Bench, speaker: &mut Speaker) {
    let began = speaker.header.timestamp;
    for n in 1..=3_u16 {
        let mut header = speaker.next();
        (header.payload_type, header.timestamp) = (101, began);
        let [high, low] = (n * 160).to_be_bytes();
        bench.rtp(1, &header, &[7, if n == 3 { 0x8A } else { 0x0A }, high, low]);
        bench.run_ms(20);
    }
}

#[test]
fn prompts_are_heard_one_after_the_other_to_their_last_sample() {
    for law in [Law::A, Law::Mu] {
        let mut bench = bench();
        bench.order(connect(1, law));
        play(&mut bench, 7, SHORT, OnDigit::GoOn);
        play(&mut bench, 8, LONG, OnDigit::GoOn);
        play(&mut bench, 9, SHORT, OnDigit::GoOn);
        bench.run_ms(3_000);

        let heard = bench.heard(1);
        assert_one_stream(1, &heard);
        let (short, long) = (tone(720, 1_000.0), tone(16_000, 500.0));
        let expected = [&short[..], &[0; 80], &long, &short, &[0; 80]].concat();
        let said = decoded(&heard, law);
        // A-law has no zero: what is silent in a file is its smallest step.
        let close = |(one, other): (&i16, &i16)| one.abs_diff(*other) <= 16;
        assert!(said.iter().zip(&through(&expected, law)).all(close), "{law:?}");
        assert_eq!(expected.len(), 110 * 160);
        assert!(
            heard.len() > 110 && heard[110..].iter().all(|(.., s)| s[..] == g711::silence(law)[..])
        );
        assert_eq!(ended(&bench), [7, 8, 9].map(|name| (name, PromptEnd::Played)));
        assert_eq!(bench.engine.counters().stalls, 0);
    }
}

#[test]
fn the_music_goes_on_underneath_in_its_own_time() {
    let mut bench = bench();
    bench.hear(1, MUSIC);
    bench.run_ms(1_000);
    play(&mut bench, 1, LONG, OnDigit::GoOn);
    bench.run_ms(4_000);

    let heard = bench.heard(1);
    assert_one_stream(1, &heard);
    assert!(longest_gap_ms(&heard) <= 21);
    let music = Tune::test_tone();
    let is_music = |n: usize| heard[n].2[..] == music.frame(Law::A, n as u64 + 1)[..];
    assert!((0..50).all(is_music) && !(50..151).any(is_music) && (151..heard.len()).all(is_music));
    // What is changed of the tune is its first 5 ms, under which the music fades.
    let said = through(&tone(16_000, 500.0), Law::A);
    let samples = decoded(&heard, Law::A);
    assert_eq!(samples[50 * 160 + 40..150 * 160], said[40..]);
}

#[test]
fn a_key_stops_the_prompt_it_may_stop_and_those_behind_up_to_one_that_goes_on() {
    let mut bench = bench();
    bench.hear(1, MUSIC);
    let mut speaker = Speaker::new(1, Law::A);
    speaker.say(&mut bench, 1, 9);
    play(&mut bench, 1, LONG, OnDigit::Stop);
    play(&mut bench, 2, LONG, OnDigit::Stop);
    play(&mut bench, 3, SHORT, OnDigit::GoOn);
    play(&mut bench, 4, LONG, OnDigit::Stop);
    bench.run_ms(500);

    press(&mut bench, &mut speaker);

    let stopped = [(1, PromptEnd::Digit), (2, PromptEnd::Digit)];
    assert_eq!(ended(&bench), stopped);
    let key = |event: &Event| matches!(event, Event::Digit { digit, .. } if digit.key() == '7');
    assert_eq!(bench.events.iter().filter(|event| key(event)).count(), 1, "and it is told");
    bench.run_ms(3_000);
    let rest = [(3, PromptEnd::Played), (4, PromptEnd::Played)];
    assert_eq!(ended(&bench), [stopped, rest].concat());
    let heard = bench.heard(1);
    assert_one_stream(1, &heard);
    // The third begins with the next frame after the key went down.
    let begun = &decoded(&heard[25..29], Law::A)[40..];
    assert_eq!(*begun, through(&tone(720, 1_000.0), Law::A)[40..640]);
}

#[test]
fn a_key_changes_nothing_of_a_prompt_that_goes_on_and_is_told() {
    let mut bench = bench();
    let mut speaker = Speaker::new(1, Law::A);
    speaker.say(&mut bench, 1, 9);
    play(&mut bench, 1, LONG, OnDigit::GoOn);
    play(&mut bench, 2, LONG, OnDigit::Stop);
    bench.run_ms(500);

    press(&mut bench, &mut speaker);
    bench.run_ms(5_000);

    assert_eq!(ended(&bench), [(1, PromptEnd::Played), (2, PromptEnd::Played)]);
    let keys = bench.events.iter().filter(|event| matches!(event, Event::Digit { .. }));
    assert_eq!(keys.count(), 1);
}

#[test]
fn stopped_prompts_end_at_once_and_others_may_follow() {
    let mut bench = bench();
    play(&mut bench, 1, LONG, OnDigit::GoOn);
    play(&mut bench, 2, SHORT, OnDigit::Stop);
    bench.run_ms(400);

    bench.order(Order::StopPrompts { leg: leg(1) });
    assert_eq!(ended(&bench), [(1, PromptEnd::Stopped), (2, PromptEnd::Stopped)]);
    play(&mut bench, 3, SHORT, OnDigit::Stop);
    bench.run_ms(400);

    assert_eq!(ended(&bench)[2..], [(3, PromptEnd::Played)]);
    bench.order(Order::StopPrompts { leg: leg(1) });
    assert_eq!(ended(&bench).len(), 3, "nothing is left to stop");
    assert_one_stream(1, &bench.heard(1));
}

#[test]
fn who_meets_somebody_or_goes_has_left_their_prompts() {
    let waiting = || {
        let mut bench = bench();
        bench.party(2, Law::A);
        bench.party(3, Law::A);
        play(&mut bench, 1, LONG, OnDigit::GoOn);
        play(&mut bench, 2, SHORT, OnDigit::Stop);
        bench.run_ms(400);
        bench
    };
    let left = [(1, PromptEnd::Left), (2, PromptEnd::Left)];

    let mut bridged = waiting();
    bridged.bridge(2, 1, false);
    assert_eq!(ended(&bridged), left);
    play(&mut bridged, 3, SHORT, OnDigit::Stop);
    assert_eq!(refused(&bridged), ["play: this leg is in a talk"]);
    bridged.part(MUSIC);
    play(&mut bridged, 4, SHORT, OnDigit::Stop);
    bridged.run_ms(400);
    assert_eq!(ended(&bridged)[2..], [(4, PromptEnd::Played)]);
    assert_one_stream(1, &bridged.heard(1));

    let mut joined = waiting();
    joined.bridge(2, 3, false);
    joined.order(Order::Join { talk: TalkName(7), leg: leg(1), role: Role::Speaks });
    assert_eq!(ended(&joined), left);

    let mut closed = waiting();
    closed.order(Order::Close { leg: leg(1) });
    assert_eq!(ended(&closed), left);
    assert!(matches!(closed.events.last(), Some(Event::Closed { .. })), "and then it is closed");
}

#[test]
fn keys_of_ours_and_a_far_side_on_hold_make_a_prompt_wait_and_cut_nothing_of_it() {
    let mut bench = bench();
    play(&mut bench, 1, LONG, OnDigit::GoOn);
    bench.run_ms(400);
    let keys = media_core::order::Digits::new(&[Digit::try_from('1').unwrap()]).unwrap();
    bench.order(Order::Digits { leg: leg(1), digits: keys });
    bench.run_ms(400);
    let mut hold = connect(1, Law::A);
    if let Order::Connect { sends, .. } = &mut hold {
        *sends = false;
    }
    bench.order(hold);
    bench.run_ms(1_000);
    bench.order(connect(1, Law::A));
    bench.run_ms(2_000);

    let heard = bench.heard(1);
    let audio: Vec<_> = heard.into_iter().filter(|(_, h, _)| h.payload_type == 8).collect();
    let said = decoded(&audio, Law::A);
    assert_eq!(said[..16_000], through(&tone(16_000, 500.0), Law::A));
    assert_eq!(ended(&bench), [(1, PromptEnd::Played)]);
}

#[test]
fn what_breaks_off_fades_and_what_begins_in_its_middle_rises_without_a_click() {
    // Neither is at the same place of its wave at the end of every frame.
    let softer = |sample: &i16| sample / 2;
    let music: Vec<_> = tone(16_000, 105.0).iter().map(softer).collect();
    let tunes = [music, tone(720, 1_000.0), tone(16_000, 165.0)];
    let tunes = tunes.iter().map(|samples| Arc::new(tune(samples))).collect();
    let mut bench = Bench::with(EngineConfig { tunes, ..config(Tune::test_tone()) });
    bench.party(1, Law::A);
    bench.hear(1, MUSIC);
    let mut speaker = Speaker::new(1, Law::A);
    speaker.say(&mut bench, 1, 9);
    for round in 0..10 {
        bench.run_ms(300);
        play(&mut bench, round, LONG, OnDigit::Stop);
        bench.run_ms(360 + 20 * u64::from(round));
        if round % 2 == 0 {
            press(&mut bench, &mut speaker);
        } else {
            bench.order(Order::StopPrompts { leg: leg(1) });
        }
    }
    bench.run_ms(300);

    // The steepest of the tones is 1,036 and 206 a sample, what fades adds 200, and the law errs by 128
    // twice. A tone that is cut would be up to 7,600.
    let said = decoded(&bench.heard(1), Law::A);
    let steps = said.windows(2).map(|pair| pair[0].abs_diff(pair[1])).enumerate();
    let steepest = steps.max_by_key(|(_, step)| *step).unwrap();
    assert!(steepest.1 < 1_700, "{steepest:?}");
    assert_eq!(ended(&bench).len(), 10);
}

#[test]
fn what_cannot_be_played_is_refused_by_name() {
    let mut bench = bench();
    let order = |of, tune| Order::Play {
        leg: leg(of),
        prompt: PromptName(1),
        tune,
        on_digit: OnDigit::GoOn,
    };
    bench.order(order(5, SHORT));
    bench.order(order(1, TuneId(3)));
    bench.order(Order::StopPrompts { leg: leg(5) });
    (0..9).for_each(|n| play(&mut bench, n, LONG, OnDigit::GoOn));

    assert_eq!(
        refused(&bench),
        [
            "play: no such leg",
            "play: no such tune",
            "stop prompts: no such leg",
            "play: 8 prompts wait on this leg, which is the most"
        ]
    );
    bench.order(Order::StopPrompts { leg: leg(1) });
    assert_eq!(ended(&bench).len(), 8);
}

#[test]
fn every_end_of_a_prompt_is_told_even_if_nobody_listens_for_long() {
    let mut bench = bench();
    let mut told = vec![];
    // 40 legs at a time: 88 prompts may wait or be told.
    for n in 0..200 {
        let order = Order::Play {
            leg: leg(1),
            prompt: PromptName(n),
            tune: SHORT,
            on_digit: OnDigit::GoOn,
        };
        bench.engine.handle_order(order, bench.now);
        bench.engine.handle_order(Order::StopPrompts { leg: leg(1) }, bench.now);
    }
    for _ in 0..2_000 {
        bench.engine.handle_order(Order::StopPrompts { leg: leg(9) }, bench.now);
    }
    while let Some(event) = bench.engine.poll_event() {
        if let Event::PromptEnded { prompt, .. } = event {
            told.push(prompt.0);
        }
    }

    assert_eq!(told, (0..88).collect::<Vec<_>>());
    play(&mut bench, 500, SHORT, OnDigit::GoOn);
    bench.run_ms(200);
    assert_eq!(ended(&bench), [(500, PromptEnd::Played)], "there is room again");
    bench.order(Order::Close { leg: leg(1) });
    bench.run_ms(1);
    assert!(bench.engine.is_idle());
}

#[test]
fn a_stall_of_this_thread_costs_a_prompt_nothing() {
    let mut bench = bench();
    play(&mut bench, 1, LONG, OnDigit::GoOn);
    bench.run_ms(300);
    bench.stall_ms(400);
    bench.run_ms(2_500);

    let said = decoded(&bench.heard(1), Law::A);
    assert_eq!(said[..16_000], through(&tone(16_000, 500.0), Law::A));
}
