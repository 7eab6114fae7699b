//! Keys in the audio and by signalling, told each leg in its own way, through the engine.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod bench;

use bench::{Bench, Dice, Speaker, assert_one_stream, connect, leg};
use media_core::{
    codec::g711,
    coder::Command,
    music::Tune,
    order::{
        By, Codec, Coding, Digit, Digits, Event, Law, OnDigit, Order, PromptEnd, PromptName,
        RecordKind, Role, Source, TalkName, TuneId,
    },
    record::unpack,
    rtp::header::Header,
};
use std::{f64::consts::TAU, time::Duration};

const KEYS: [[char; 4]; 4] =
    [['1', '2', '3', 'A'], ['4', '5', '6', 'B'], ['7', '8', '9', 'C'], ['*', '0', '#', 'D']];
const ROWS: [f64; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f64; 4] = [1_209.0, 1_336.0, 1_477.0, 1_633.0];

fn frequencies(key: char) -> [f64; 2] {
    let at = (0..16).find(|n| KEYS[n / 4][n % 4] == key).unwrap();
    [ROWS[at / 4], COLUMNS[at % 4]]
}

fn sine(frequency: f64, n: usize, amplitude: f64) -> f64 {
    amplitude * (TAU * frequency * n as f64 / 8_000.0).sin()
}

#[expect(clippy::cast_possible_truncation, reason = "at most 13,000")]
fn whole(sample: f64) -> i16 {
    sample as i16
}

/// What a phone says, sample by sample: a soft voice of 300 Hz, and keys with their tones.
fn audio(keys: &[(usize, usize, char)], samples: usize) -> Vec<i16> {
    let mut audio: Vec<i16> = (0..samples).map(|n| whole(sine(300.0, n, 3_000.0))).collect();
    for (from_ms, to_ms, key) in keys {
        let [row, column] = frequencies(*key);
        let (from, to) = (from_ms * 8, to_ms * 8);
        for (sample, n) in audio[from..to].iter_mut().zip(from..) {
            *sample = whole(sine(row, n, 6_000.0) + sine(column, n, 7_000.0));
        }
    }
    audio
}

fn frame(law: Law, audio: &[i16], n: usize) -> Vec<u8> {
    audio[n * 160..][..160].iter().map(|sample| g711::encode(law, *sample)).collect()
}

/// How much of one frequency is in what these packets say: an amplitude.
fn level(law: Law, packets: &[(u64, Header, Vec<u8>)], frequency: f64) -> f64 {
    let pcm: Vec<f64> = packets
        .iter()
        .flat_map(|(.., payload)| payload.iter().map(|code| f64::from(g711::decode(law, *code))))
        .collect();
    amplitude(&pcm, frequency)
}

fn amplitude(pcm: &[f64], frequency: f64) -> f64 {
    let part = |shift: f64| -> f64 {
        pcm.iter()
            .enumerate()
            .map(|(n, sample)| sample * (TAU * frequency * n as f64 / 8_000.0 + shift).cos())
            .sum()
    };
    part(0.0).hypot(part(TAU / 4.0)) * 2.0 / pcm.len().max(1) as f64
}

/// Milliseconds of these packets in which both tones of this key are.
fn sounds_ms(law: Law, packets: &[(u64, Header, Vec<u8>)], key: char) -> usize {
    let pcm: Vec<f64> = packets
        .iter()
        .filter(|(_, header, _)| matches!(header.payload_type, 0 | 8))
        .flat_map(|(.., payload)| payload.iter().map(|code| f64::from(g711::decode(law, *code))))
        .collect();
    let both = |piece: &[f64]| {
        frequencies(key).iter().all(|frequency| amplitude(piece, *frequency) > 2_000.0)
    };
    pcm.chunks(80).filter(|piece| both(piece)).count() * 10
}

fn keys(n: u16, hears_tones: bool, told_by: By) -> Order {
    Order::Keys { leg: leg(n), hears_tones, told_by, masked: false }
}

fn said(bench: &Bench) -> Vec<(u64, char, u64)> {
    bench
        .events
        .iter()
        .filter_map(|event| {
            let Event::Digit { leg, digit, duration, .. } = event else { return None };
            Some((leg.0, digit.key(), u64::try_from(duration.as_millis()).unwrap()))
        })
        .collect()
}

fn told_above(bench: &Bench) -> Vec<(u64, char, u64)> {
    bench
        .events
        .iter()
        .filter_map(|event| {
            let Event::Tell { leg, digit, duration } = event else { return None };
            Some((leg.0, digit.key(), u64::try_from(duration.as_millis()).unwrap()))
        })
        .collect()
}

/// Keys that a leg was told as events: one character each.
fn events(packets: &[(u64, Header, Vec<u8>)]) -> String {
    packets
        .iter()
        .filter(|(_, header, _)| header.payload_type == 101 && header.marker)
        .map(|(.., payload)| Digit::from_event(payload[0]).unwrap().key())
        .collect()
}

fn without_events(n: u16, law: Law) -> Order {
    let mut order = connect(n, law);
    if let Order::Connect { telephone_event, .. } = &mut order {
        *telephone_event = None;
    }
    order
}

/// Two who talk: a caller with tones in its audio and an agent.
fn bridged(caller: Law, agent: Law, record: bool) -> (Bench, Speaker, Speaker) {
    let mut bench = Bench::new();
    bench.party(1, caller);
    bench.order(without_events(1, caller));
    bench.party(2, agent);
    bench.bridge(1, 2, record);
    (bench, Speaker::new(1, caller), Speaker::new(2, agent))
}

/// The caller says this.
fn talk(bench: &mut Bench, speaker: &mut Speaker, n: u16, law: Law, audio: &[i16]) {
    let frames = audio.len() / 160;
    bench.run(frames as u64 * 20, |bench, ms| {
        if ms % 20 == 3 {
            let header = speaker.next();
            bench.rtp(n, &header, &frame(law, audio, (ms / 20) as usize));
        }
    });
}

#[test]
fn a_tone_of_one_is_an_event_of_the_other_and_no_more_than_40_ms_of_it_are_heard() {
    for law in [Law::A, Law::Mu] {
        for begin in [200, 205, 211, 219] {
            let (mut bench, mut caller, _) = bridged(law, Law::A, false);
            bench.order(keys(1, true, By::Events));
            let audio = audio(&[(begin, begin + 120, '5'), (500, 640, '#')], 8_000);
            talk(&mut bench, &mut caller, 1, law, &audio);

            let heard = bench.heard(2);
            assert_eq!(events(&heard), "5#", "{law:?} {begin}");
            for key in ['5', '#'] {
                let ms = sounds_ms(Law::A, &heard, key);
                assert!(ms <= 40, "{law:?} {begin}: {ms} ms of {key}");
            }
            let said = said(&bench);
            let [(1, '5', five), (1, '#', hash)] = said[..] else { panic!("{said:?}") };
            assert!(five.abs_diff(120) <= 15 && hash.abs_diff(140) <= 15, "{said:?}");
            // The voice is there before and after.
            let of = |from, to| -> Vec<_> {
                heard.iter().filter(|(at, ..)| (from..to).contains(at)).cloned().collect()
            };
            assert!(level(Law::A, &of(0, 190), 300.0) > 2_500.0);
            assert!(level(Law::A, &of(800, 1_000), 300.0) > 2_500.0);
        }
    }
}

#[test]
fn nobody_who_is_not_asked_to_listens_for_tones() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A, false);
    let audio = audio(&[(200, 400, '5')], 8_000);
    talk(&mut bench, &mut caller, 1, Law::A, &audio);

    assert_eq!(said(&bench), []);
    assert!(sounds_ms(Law::A, &bench.heard(2), '5') >= 180);
}

#[test]
fn an_event_of_one_is_a_tone_in_the_stream_of_the_other() {
    for law in [Law::A, Law::Mu] {
        let mut bench = Bench::new();
        bench.party(1, Law::A);
        bench.party(2, law);
        bench.order(without_events(2, law));
        bench.order(keys(2, true, By::Tones));
        bench.bridge(1, 2, false);
        let mut caller = Speaker::new(1, Law::A);
        let audio = audio(&[], 16_000);
        bench.run(2_000, |bench, ms| {
            if ms % 20 != 3 {
                return;
            }
            let n = ms / 20;
            let key = [(20..25, 4), (30..35, 4), (40..45, 13)]
                .into_iter()
                .find(|(at, _)| at.contains(&n));
            let Some((at, event)) = key else {
                let header = caller.next();
                return bench.rtp(1, &header, &frame(Law::A, &audio, n as usize));
            };
            let place = u16::try_from(n - at.start).unwrap();
            let mut header = caller.next();
            header.timestamp = header.timestamp.wrapping_sub(u32::from(place) * 160);
            (header.payload_type, header.marker) = (101, place == 0);
            let [high, low] = ((place + 1) * 160).to_be_bytes();
            bench.rtp(1, &header, &[event, if place == 4 { 0x8A } else { 0x0A }, high, low]);
        });

        let heard = bench.heard(2);
        assert_one_stream(2, &heard);
        assert_eq!(events(&heard), "");
        let (four, b) = (sounds_ms(law, &heard, '4'), sounds_ms(law, &heard, 'B'));
        assert!((180..=220).contains(&four) && (90..=110).contains(&b), "{law:?}: {four} {b}");
        assert_eq!(said(&bench).iter().map(|(_, key, _)| *key).collect::<String>(), "44B");
        assert_eq!(bench.engine.counters().digits_out, 3);
    }
}

#[test]
fn tones_we_make_are_heard_as_those_keys_by_our_own_ear() {
    // What leg 2 is told goes out as tones, comes back as the voice of leg 3, and is read there.
    let mut bench = Bench::new();
    for n in [2, 3] {
        bench.party(n, Law::A);
        bench.order(without_events(n, Law::A));
        bench.order(keys(n, true, By::Tones));
    }
    bench.hear(2, Source::Music(TuneId(0)));
    let all: Vec<_> = "0123456789*#ABCD".chars().map(|key| Digit::try_from(key).unwrap()).collect();
    bench.order(Order::Digits { leg: leg(2), digits: Digits::new(&all).unwrap() });
    bench.run_ms(4_000);

    let heard = bench.heard(2);
    assert_one_stream(2, &heard);
    let mut echo = Speaker::new(3, Law::A);
    for (.., payload) in heard {
        let header = echo.next();
        bench.rtp(3, &header, &payload);
        bench.run_ms(20);
    }

    let said = said(&bench);
    assert_eq!(said.iter().map(|(_, key, _)| *key).collect::<String>(), "0123456789*#ABCD");
    assert!(said.iter().all(|(_, _, ms)| ms.abs_diff(100) <= 10), "{said:?}");
}

#[test]
fn who_is_told_by_tones_hears_those_of_the_other_as_they_are_and_only_once() {
    let (mut bench, mut caller, _) = bridged(Law::Mu, Law::A, false);
    bench.order(keys(1, true, By::Events));
    bench.order(keys(2, false, By::Tones));
    let audio = audio(&[(200, 320, '5')], 8_000);
    talk(&mut bench, &mut caller, 1, Law::Mu, &audio);

    let heard = bench.heard(2);
    let ms = sounds_ms(Law::A, &heard, '5');
    assert!((100..=130).contains(&ms), "{ms}");
    assert_eq!(said(&bench).len(), 1);
    assert_eq!(bench.engine.counters().digits_out, 0);
}

#[test]
fn a_phone_that_sends_events_and_tones_and_an_info_too_has_pressed_one_key() {
    for told_by in [By::Events, By::Tones, By::Signalling] {
        let mut bench = Bench::new();
        bench.party(1, Law::A);
        bench.party(2, Law::A);
        bench.bridge(1, 2, false);
        bench.order(keys(1, true, By::Events));
        bench.order(keys(2, false, told_by));
        let mut caller = Speaker::new(1, Law::A);
        let audio = audio(&[(400, 500, '7'), (700, 800, '7')], 12_800);
        bench.run(1_600, |bench, ms| {
            let n = ms / 20;
            if ms % 20 == 3 {
                let header = caller.next();
                bench.rtp(1, &header, &frame(Law::A, &audio, n as usize));
            }
            // Under a name of its own, beside the voice.
            let press = [20_u64, 35].into_iter().find(|at| (*at..at + 5).contains(&n));
            if let Some(at) = press
                && ms % 20 == 9
            {
                let place = u16::try_from(n - at).unwrap();
                let (ssrc, timestamp) = (77, u32::try_from(at * 160).unwrap());
                let sequence = u16::try_from(n).unwrap();
                let header =
                    Header { marker: place == 0, payload_type: 101, sequence, timestamp, ssrc };
                let [high, low] = ((place + 1) * 160).to_be_bytes();
                bench.rtp(1, &header, &[7, if place == 4 { 0x8A } else { 0x0A }, high, low]);
            }
            if ms == 540 || ms == 850 {
                let digit = Digit::try_from('7').unwrap();
                let duration = Duration::from_millis(100);
                bench.order(Order::Pressed { leg: leg(1), digit, duration });
            }
        });

        assert_eq!(
            said(&bench).iter().map(|(_, key, _)| *key).collect::<String>(),
            "77",
            "{told_by:?}"
        );
        assert_eq!(bench.engine.counters().digits_doubled, 4, "{told_by:?}");
        let heard = bench.heard(2);
        match told_by {
            By::Events => assert_eq!(events(&heard), "77"),
            By::Tones => {
                let ms = sounds_ms(Law::A, &heard, '7');
                assert!((180..=260).contains(&ms), "{ms}");
            }
            By::Signalling => assert_eq!(told_above(&bench).len(), 2),
        }
        if told_by != By::Tones {
            let ms = sounds_ms(Law::A, &heard, '7');
            assert!(ms <= 80, "{told_by:?}: {ms}");
        }
    }
}

#[test]
fn who_is_told_by_signalling_is_asked_for_above_and_hears_no_tone() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A, false);
    bench.order(keys(1, true, By::Events));
    bench.order(keys(2, false, By::Signalling));
    let audio = audio(&[(200, 320, '9')], 8_000);
    talk(&mut bench, &mut caller, 1, Law::A, &audio);

    let told = told_above(&bench);
    let [(2, '9', ms)] = told[..] else { panic!("{told:?}") };
    assert!(ms.abs_diff(120) <= 15, "{ms}");
    assert_eq!(events(&bench.heard(2)), "");
    assert!(sounds_ms(Law::A, &bench.heard(2), '9') <= 40);
    let one = Digits::new(&[Digit::try_from('1').unwrap()]).unwrap();
    bench.order(Order::Digits { leg: leg(2), digits: one });
    assert_eq!(told_above(&bench).last(), Some(&(2, '1', 100)));
}

#[test]
fn a_key_told_by_signalling_goes_to_the_other_as_an_event() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A, false);
    bench.run(1_000, |bench, ms| {
        if ms % 20 == 3 {
            caller.say(bench, 1, 9);
        }
        if ms == 300 {
            for key in ['1', '2'] {
                let digit = Digit::try_from(key).unwrap();
                let duration = Duration::from_millis(160);
                bench.order(Order::Pressed { leg: leg(1), digit, duration });
            }
        }
    });

    assert_eq!(events(&bench.heard(2)), "12");
    assert_eq!(said(&bench), [(1, '1', 160), (1, '2', 160)]);
}

#[test]
fn a_flood_of_keys_by_signalling_is_cut() {
    let (mut bench, ..) = bridged(Law::A, Law::A, false);
    for _ in 0..1_000 {
        let (digit, duration) = (Digit::try_from('1').unwrap(), Duration::from_secs(9));
        bench.order(Order::Pressed { leg: leg(1), digit, duration });
    }

    assert_eq!(said(&bench).len(), 16);
    let refused =
        bench.events.iter().filter(|event| matches!(event, Event::Refused { .. })).count();
    assert_eq!(refused, 984);
}

#[test]
fn a_caller_who_waits_is_heard_pressing_tones() {
    let mut bench = Bench::new();
    bench.party(1, Law::Mu);
    bench.order(keys(1, true, By::Events));
    bench.hear(1, Source::Music(TuneId(0)));
    let audio = audio(&[(200, 320, '5'), (400, 500, '5')], 8_000);
    talk(&mut bench, &mut Speaker::new(1, Law::Mu), 1, Law::Mu, &audio);

    assert_eq!(said(&bench).iter().map(|(_, key, _)| *key).collect::<String>(), "55");
    assert_one_stream(1, &bench.heard(1));
}

#[test]
fn a_tone_whose_packets_stop_is_a_key_that_is_up() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A, false);
    bench.order(keys(1, true, By::Events));
    let audio = audio(&[(200, 400, '5')], 400 * 8);
    talk(&mut bench, &mut caller, 1, Law::A, &audio);
    assert_eq!(said(&bench), []);
    bench.run_ms(600);

    let said = said(&bench);
    let [(1, '5', ms)] = said[..] else { panic!("{said:?}") };
    assert!(ms.abs_diff(200) <= 15, "{ms}");
}

#[test]
fn tones_are_keys_where_packets_are_lost_late_and_long() {
    for samples in [80_u32, 160, 240, 480] {
        let (mut bench, mut caller, _) = bridged(Law::A, Law::A, false);
        caller.samples = samples;
        bench.order(keys(1, true, By::Events));
        let mut dice = Dice(5);
        let presses: Vec<_> =
            (0..20).map(|n| (500 + n * 300, 620 + n * 300, KEYS[n % 4][n / 4 % 4])).collect();
        let audio = audio(&presses, 60_000);
        let mut flying = vec![];
        for n in 0..audio.len() / samples as usize {
            let header = caller.next();
            let at = n as u64 * u64::from(samples) / 8;
            let payload: Vec<u8> = audio[n * samples as usize..][..samples as usize]
                .iter()
                .map(|sample| g711::encode(Law::A, *sample))
                .collect();
            // One in thirty is lost; the others come in order.
            if dice.roll(30) != 0 {
                flying.push((at + dice.roll(8), header, payload));
            }
        }
        bench.run(7_600, |bench, ms| {
            for (_, header, payload) in
                flying.extract_if(.., |(at, ..)| *at == ms).collect::<Vec<_>>()
            {
                bench.rtp(1, &header, &payload);
            }
        });

        let pressed: String = presses.iter().map(|(.., key)| *key).collect();
        let said: String = said(&bench).iter().map(|(_, key, _)| *key).collect();
        if samples < 480 {
            assert_eq!(said, pressed, "{samples}");
        } else {
            // A lost packet may leave too little of a press; none becomes two or another.
            let mut of = pressed.chars();
            assert!(said.len() >= 18 && said.chars().all(|key| of.any(|o| o == key)), "{said}");
        }
    }
}

#[test]
fn in_a_room_every_one_is_told_in_its_own_way() {
    let mut bench = Bench::new();
    for n in 1..=4 {
        bench.party(n, Law::A);
    }
    bench.order(keys(1, true, By::Events));
    bench.order(keys(3, false, By::Tones));
    bench.order(keys(4, false, By::Signalling));
    bench.bridge(1, 2, false);
    for n in [3, 4] {
        bench.order(Order::Join { talk: TalkName(7), leg: leg(n), role: Role::Speaks });
    }
    let audio = audio(&[(300, 420, '8')], 12_000);
    talk(&mut bench, &mut Speaker::new(1, Law::A), 1, Law::A, &audio);

    assert_eq!(events(&bench.heard(2)), "8");
    let ms = sounds_ms(Law::A, &bench.heard(3), '8');
    assert!((100..=170).contains(&ms), "{ms}");
    assert!(sounds_ms(Law::A, &bench.heard(2), '8') <= 40);
    assert_eq!(
        told_above(&bench).iter().map(|(n, key, _)| (*n, *key)).collect::<Vec<_>>(),
        [(4, '8')]
    );
    assert_eq!(said(&bench).len(), 1);
}

#[test]
fn what_is_masked_is_in_no_recording_not_even_its_beginning() {
    for (told_by, masked) in
        [(By::Events, true), (By::Tones, true), (By::Tones, false), (By::Events, false)]
    {
        let (mut bench, mut caller, mut agent) = bridged(Law::A, Law::A, true);
        bench.order(Order::Keys { leg: leg(1), hears_tones: true, told_by: By::Events, masked });
        bench.order(keys(2, false, told_by));
        let audio = audio(&[(405, 600, '5')], 16_000);
        bench.run(2_000, |bench, ms| {
            if ms % 20 == 3 {
                let header = caller.next();
                bench.rtp(1, &header, &frame(Law::A, &audio, (ms / 20) as usize));
                agent.say(bench, 2, 0xD5);
            }
        });
        bench.order(Order::EndTalk { talk: TalkName(7) });
        bench.run_ms(100);

        let left: Vec<f64> = bench
            .wire
            .recorded
            .iter()
            .filter(|frame| frame.kind == RecordKind::Audio)
            .flat_map(|frame| unpack(&frame.tracks))
            .map(|pair| f64::from(pair[0]))
            .collect();
        let tone = |piece: &&[f64]| {
            frequencies('5').iter().any(|frequency| amplitude(piece, *frequency) > 800.0)
        };
        let ms = left.chunks(40).filter(tone).count() * 5;
        match (told_by, masked) {
            (_, true) => assert_eq!(ms, 0, "{told_by:?}"),
            (By::Tones, false) => assert!(ms > 180, "{ms}"),
            (_, false) => assert!((5..=45).contains(&ms), "{ms}"),
        }
        assert!(amplitude(&left[..8 * 300], 300.0) > 2_500.0, "the voice is recorded");
        let told = sounds_ms(Law::A, &bench.heard(2), '5');
        assert!(told_by == By::Events || told >= 150, "the other is told all the same: {told}");
    }
}

#[test]
fn an_engine_that_is_told_nonsense_says_so() {
    let mut bench = Bench::with(bench::config(Tune::test_tone()));
    bench.order(keys(9, true, By::Tones));
    let digit = Digit::try_from('1').unwrap();
    bench.order(Order::Pressed { leg: leg(9), digit, duration: Duration::ZERO });

    assert_eq!(bench.events.iter().filter(|e| matches!(e, Event::Refused { .. })).count(), 2);
}

/// Its packets of 40 ms go through a coder.
fn long_packets(n: u16) -> Command {
    let mut order = without_events(n, Law::A);
    if let Order::Connect { codec, .. } = &mut order {
        *codec =
            Codec { coding: Coding::G711(Law::A), payload_type: 8, packet_ms: 40, event_factor: 1 };
    }
    Command::equip(order)
}

#[test]
fn keys_of_a_leg_with_a_coder_are_heard_in_its_audio_and_told_as_tones() {
    for told_by in [By::Events, By::Signalling, By::Tones] {
        let mut bench = Bench::new();
        bench.party(1, Law::A);
        bench.engine.handle_order(long_packets(1), bench.now);
        bench.order(keys(1, true, By::Tones));
        bench.party(2, Law::A);
        bench.order(keys(2, false, told_by));
        bench.bridge(1, 2, false);
        let mut caller = Speaker::new(1, Law::A);
        let audio = audio(&[(400, 600, '5')], 8_000);
        talk(&mut bench, &mut caller, 1, Law::A, &audio);
        bench.order(Order::Digits {
            leg: leg(1),
            digits: Digits::new(&[Digit::try_from('B').unwrap()]).unwrap(),
        });
        bench.run_ms(400);

        let said = said(&bench);
        assert!(matches!(said[..], [(1, '5', 160..=240)]), "{told_by:?} {said:?}");
        let heard = bench.heard(2);
        // The packets of an event have one time stamp.
        if told_by != By::Events {
            assert_one_stream(2, &heard);
        }
        let (in_audio, above) = (sounds_ms(Law::A, &heard, '5'), told_above(&bench).len());
        match told_by {
            By::Events => assert!(events(&heard) == "5" && in_audio <= 60 && above == 0),
            By::Signalling => assert!(events(&heard).is_empty() && in_audio <= 60 && above == 1),
            By::Tones => assert!((160..=300).contains(&in_audio), "{in_audio}"),
        }
        let told = sounds_ms(Law::A, &bench.heard(1), 'B');
        assert!((80..=120).contains(&told), "{told_by:?} {told}");
    }
}

#[test]
fn a_key_in_any_way_ends_a_prompt_that_may_be_ended() {
    for by_signalling in [false, true] {
        let mut bench = Bench::new();
        bench.party(1, Law::A);
        bench.order(keys(1, true, By::Tones));
        bench.hear(1, Source::Silence);
        let (prompt, tune, on_digit) = (PromptName(7), TuneId(0), OnDigit::Stop);
        bench.order(Order::Play { leg: leg(1), prompt, tune, on_digit });
        if by_signalling {
            bench.run_ms(40);
            let (digit, duration) = (Digit::try_from('5').unwrap(), Duration::from_millis(100));
            bench.order(Order::Pressed { leg: leg(1), digit, duration });
        } else {
            let mut caller = Speaker::new(1, Law::A);
            let audio = audio(&[(100, 200, '5')], 4_000);
            talk(&mut bench, &mut caller, 1, Law::A, &audio);
        }
        let ended = Event::PromptEnded { leg: leg(1), prompt, how: PromptEnd::Digit };
        assert!(bench.events.contains(&ended), "{by_signalling} {:?}", bench.events);
    }
}
