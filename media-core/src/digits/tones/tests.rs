//! Keys heard in audio and made as audio, after the limits of ITU-T Q.24.

#![expect(clippy::cast_possible_truncation, reason = "sounds are made of small numbers")]

use super::{
    make::{HIGH, LOW},
    *,
};
use crate::{
    codec::g711,
    conceal::{self, Conceal},
    frame::SAMPLES,
    order::Law,
};
use std::f64::consts::TAU;

/// Amplitude of a sine of 0 dBm0.
const ZERO_DBM0: f64 = 22_820.0;

const KEYS: &str = "0123456789*#ABCD";

/// Dice that fall the same way every time.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// With a variance of one, near enough to a normal distribution.
    fn noise(&mut self) -> f64 {
        (0..12).map(|_| self.next()).sum::<f64>() - 6.0
    }
}

#[derive(Clone, Copy)]
struct Sound {
    row_dbm0: f64,
    column_dbm0: f64,
    /// Parts of the frequency.
    row_off: f64,
    column_off: f64,
    ms: usize,
    pause_ms: usize,
}

const PLAIN: Sound = Sound {
    row_dbm0: -9.0,
    column_dbm0: -7.0,
    row_off: 0.0,
    column_off: 0.0,
    ms: 40,
    pause_ms: 40,
};

impl Sound {
    /// The keys one after the other, beginning at any place in a frame.
    fn of(self, keys: &str, dice: &mut Dice) -> Vec<f64> {
        let mut audio = vec![0.0; 400 + (dice.next() * 160.0) as usize];
        for key in keys.chars() {
            let (row, column) = place(Digit::try_from(key).unwrap());
            let tone = |at: usize, off: f64, dbm0: f64, phase: f64| {
                let turn = TAU * FREQUENCIES[at] * (1.0 + off) / RATE;
                let amplitude = ZERO_DBM0 * 10_f64.powf(dbm0 / 20.0);
                move |n: usize| amplitude * (turn * n as f64 + phase).sin()
            };
            let low = tone(row, self.row_off, self.row_dbm0, dice.next() * TAU);
            let high = tone(column, self.column_off, self.column_dbm0, dice.next() * TAU);
            audio.extend((0..self.ms * 8).map(|n| low(n) + high(n)));
            audio.extend(std::iter::repeat_n(0.0, self.pause_ms * 8));
        }
        audio.resize(audio.len() + 1_600, 0.0);
        audio
    }
}

fn add_noise(audio: &mut [f64], dbm0: f64, dice: &mut Dice) {
    let deviation = ZERO_DBM0 * 10_f64.powf(dbm0 / 20.0) / 2_f64.sqrt();
    audio.iter_mut().for_each(|sample| *sample += deviation * dice.noise());
}

fn pcm(audio: &[f64]) -> Vec<i16> {
    audio.iter().map(|sample| sample.clamp(-32_124.0, 32_124.0).round() as i16).collect()
}

fn through(law: Law, audio: &[i16]) -> Vec<i16> {
    audio.iter().map(|sample| g711::decode(law, g711::encode(law, *sample))).collect()
}

/// What is heard: keys, and how long each lasted in milliseconds.
fn heard(audio: &[i16]) -> Vec<(char, u64)> {
    let (mut detector, mut now) = (Detector::NEW, Instant::now());
    let mut said = vec![];
    let mut down = None;
    for frame in audio.chunks(SAMPLES) {
        now += Duration::from_millis(20);
        for key in detector.take(frame, now).into_iter().flatten() {
            match key {
                Key::Down(digit) => assert_eq!(down.replace(digit), None),
                Key::Up(Pressed { digit, duration, .. }) => {
                    assert_eq!(down.take(), Some(digit));
                    said.push((digit.key(), duration.as_millis() as u64));
                }
            }
        }
    }
    assert_eq!(down, None);
    said
}

fn keys(audio: &[i16]) -> String {
    heard(audio).iter().map(|(key, _)| key).collect()
}

#[test]
fn every_key_is_heard_once_at_any_level_twist_and_frequency_that_q24_allows() {
    let mut dice = Dice(1);
    for (row, column) in
        [(0.0, 0.0), (-3.0, -3.0), (-9.0, -7.0), (-25.0, -25.0), (-25.0, -21.0), (-17.0, -25.0)]
    {
        for off in [-0.015, 0.0, 0.015] {
            for law in [Law::A, Law::Mu] {
                let sound = Sound {
                    row_dbm0: row,
                    column_dbm0: column,
                    row_off: off,
                    column_off: -off,
                    ..PLAIN
                };
                let said = keys(&through(law, &pcm(&sound.of(KEYS, &mut dice))));
                assert_eq!(said, KEYS, "{row} {column} dBm0, {off}, {law:?}");
                let said = keys(&through(
                    law,
                    &pcm(&Sound { column_off: off, ..sound }.of(KEYS, &mut dice)),
                ));
                assert_eq!(said, KEYS, "{row} {column} dBm0, both {off}, {law:?}");
            }
        }
    }
}

#[test]
fn a_key_is_heard_wherever_its_tone_begins_and_as_long_as_it_is() {
    let mut dice = Dice(2);
    for ms in [40, 50, 65, 100, 250, 1_000] {
        for _ in 0..40 {
            let said = heard(&pcm(&Sound { ms, ..PLAIN }.of("5", &mut dice)));
            let [('5', lasted)] = said[..] else { panic!("{ms} ms: {said:?}") };
            assert!(lasted.abs_diff(ms as u64) <= 10, "{ms} ms: {lasted}");
        }
    }
}

#[test]
fn the_same_key_again_after_40_ms_is_another_press_and_a_hole_of_10_ms_is_none() {
    let mut dice = Dice(3);
    for _ in 0..40 {
        assert_eq!(keys(&pcm(&PLAIN.of("77777777", &mut dice))), "77777777");
        let mut hole = pcm(&Sound { ms: 120, ..PLAIN }.of("7", &mut dice));
        let middle = hole.len() - 1_600 - 320 - 480;
        hole[middle - 40..middle + 40].fill(0);
        assert_eq!(keys(&hole), "7");
    }
}

#[test]
fn keys_are_heard_in_noise_15_db_below_them() {
    let mut dice = Dice(4);
    for level in [-25.0, -9.0] {
        for off in [-0.015, 0.0, 0.015] {
            let sound = Sound {
                row_dbm0: level,
                column_dbm0: level,
                row_off: off,
                column_off: off,
                ms: 50,
                pause_ms: 50,
            };
            let mut wrong = 0;
            for _ in 0..20 {
                let mut audio = sound.of(KEYS, &mut dice);
                // The two together have 3 dB more than one.
                add_noise(&mut audio, level + 3.0 - 15.0, &mut dice);
                let said = keys(&through(Law::A, &pcm(&audio)));
                wrong += usize::from(said != KEYS);
            }
            assert_eq!(wrong, 0, "{level} dBm0, {off}");
        }
    }
}

#[test]
fn what_is_shorter_than_23_ms_is_no_key() {
    let mut dice = Dice(5);
    for ms in [10, 15, 20, 22] {
        for _ in 0..60 {
            let said = keys(&pcm(&Sound { ms, pause_ms: 60, ..PLAIN }.of(KEYS, &mut dice)));
            assert_eq!(said, "", "{ms} ms");
        }
    }
}

#[test]
fn what_is_off_its_frequency_by_3_5_percent_is_no_key() {
    let mut dice = Dice(6);
    // Farther off it would stand on its neighbour.
    for off in [-0.06, -0.05, -0.045, -0.035, 0.035, 0.045, 0.05, 0.06] {
        for (row_off, column_off) in [(off, 0.0), (0.0, off), (off, off)] {
            let sound = Sound { row_off, column_off, ms: 100, ..PLAIN };
            let said = keys(&pcm(&sound.of(KEYS, &mut dice)));
            assert_eq!(said, "", "{row_off} {column_off}");
        }
    }
}

#[test]
fn too_much_twist_too_little_level_and_one_tone_alone_are_no_key() {
    let mut dice = Dice(7);
    for (row_dbm0, column_dbm0) in
        [(-20.0, -11.0), (-7.0, -20.0), (-40.0, -40.0), (-9.0, -90.0), (-90.0, -9.0)]
    {
        let sound = Sound { row_dbm0, column_dbm0, ms: 100, ..PLAIN };
        let said = keys(&pcm(&sound.of(KEYS, &mut dice)));
        assert_eq!(said, "", "{row_dbm0} {column_dbm0} dBm0");
    }
}

/// Sines of these frequencies, all as loud.
fn sines(frequencies: &[f64], seconds: usize) -> Vec<i16> {
    let sample = |n: usize| {
        let phase = |frequency: &f64| (TAU * frequency * n as f64 / RATE).sin();
        frequencies.iter().map(phase).sum::<f64>() * ZERO_DBM0 * 0.2
    };
    pcm(&(0..seconds * 8_000).map(sample).collect::<Vec<_>>())
}

#[test]
fn what_an_exchange_says_is_no_key() {
    for tones in [
        &[425.0][..],
        &[350.0, 440.0],
        &[440.0, 480.0],
        &[480.0, 620.0],
        &[950.0],
        &[1_400.0],
        &[1_800.0],
        &[1_100.0],
        &[2_100.0],
        &[697.0, 770.0],
        &[1_209.0, 1_336.0],
        &[697.0, 1_209.0, 1_477.0],
        &[697.0, 941.0, 1_336.0],
    ] {
        assert_eq!(keys(&sines(tones, 2)), "", "{tones:?}");
    }
    assert_eq!(keys(&[0; 16_000]), "");
}

#[test]
fn what_has_an_overtone_is_no_key() {
    let sound = |overtone: f64| {
        let sample = |n: usize| {
            let turn = |frequency: f64| (TAU * frequency * n as f64 / RATE).sin();
            (turn(770.0) + turn(1_336.0) + overtone * turn(2.0 * 1_336.0)) * ZERO_DBM0 * 0.2
        };
        pcm(&(0..16_000).map(|n| if n < 14_400 { sample(n) } else { 0.0 }).collect::<Vec<_>>())
    };
    assert_eq!(keys(&sound(0.0)), "5");
    assert_eq!(keys(&sound(0.3)), "");
}

/// A voice: pulses of a pitch that glides, through three resonances that move from vowel to vowel.
fn voice(dice: &mut Dice, seconds: usize) -> Vec<i16> {
    const VOWELS: [[f64; 3]; 6] = [
        [730.0, 1_090.0, 2_440.0],
        [270.0, 2_290.0, 3_010.0],
        [300.0, 870.0, 2_240.0],
        [530.0, 1_840.0, 2_480.0],
        [570.0, 840.0, 2_410.0],
        [660.0, 1_400.0, 2_500.0],
    ];
    let (mut phase, mut pitch, mut glide) = (0.0, 90.0 + dice.next() * 200.0, 0.0);
    let (mut now, mut to) = (VOWELS[0], VOWELS[1]);
    let mut state = [[0.0_f64; 2]; 3];
    let mut audio = vec![];
    for n in 0..seconds * 8_000 {
        if n % 1_200 == 0 {
            to = VOWELS[(dice.next() * 6.0) as usize].map(|f| f * (0.85 + 0.3 * dice.next()));
            // Some sing: the pitch stands.
            glide = if dice.next() < 0.4 { 0.0 } else { (dice.next() - 0.5) * 0.02 };
        }
        pitch = (pitch + glide).clamp(70.0, 400.0);
        phase += pitch / RATE;
        let mut pulse = dice.noise() * 0.002;
        if phase >= 1.0 {
            phase -= 1.0;
            pulse += 1.0;
        }
        let mut out = pulse;
        for (at, (now, to)) in state.iter_mut().zip(now.iter_mut().zip(to)) {
            *now += (to - *now) * 0.002;
            let (radius, angle) = ((-TAU * 40.0 / RATE).exp(), TAU * *now / RATE);
            let next = out + 2.0 * radius * angle.cos() * at[0] - radius * radius * at[1];
            *at = [next, at[0]];
            out = next * (1.0 - radius);
        }
        audio.push(out);
    }
    audio.resize(audio.len() + 800, 0.0);
    let loudest = audio.iter().fold(0.0_f64, |most, sample| most.max(sample.abs()));
    pcm(&audio.iter().map(|sample| sample / loudest * 20_000.0).collect::<Vec<_>>())
}

#[test]
fn an_hour_of_voices_that_only_sing_vowels_says_hardly_a_key() {
    let mut dice = Dice(8);
    let said: Vec<_> = (0..120).flat_map(|_| heard(&voice(&mut dice, 30))).collect();
    // Their first two resonances lie where the tones do, and nothing else is in them.
    assert!(said.len() <= 5, "{said:?}");
}

#[test]
fn a_voice_with_overtones_on_two_frequencies_says_no_key() {
    // The seventh and the twelfth of 110 Hz, held for as long as anybody sings.
    for pitch in 1_000..1_600 {
        let pitch = f64::from(pitch) / 10.0;
        let overtones: Vec<f64> =
            (1..30).map(|n| pitch * f64::from(n)).filter(|f| *f < 3_400.0).collect();
        let audio: Vec<i16> = sines(&overtones, 1).iter().map(|sample| sample / 6).collect();
        assert_eq!(keys(&audio), "", "{pitch}");
    }
}

#[test]
fn keys_are_heard_where_frames_were_lost_or_made_up() {
    let mut dice = Dice(9);
    let sound = Sound { ms: 100, pause_ms: 100, ..PLAIN };
    for law in [Law::A, Law::Mu] {
        let (mut made_up, mut skipped, mut of) = (0, 0, 0);
        for _ in 0..40 {
            let audio = through(law, &pcm(&sound.of(KEYS, &mut dice)));
            let mut concealed = audio.clone();
            let (mut detector, mut now) = (Detector::NEW, Instant::now());
            let (mut said, mut conceal) = (String::new(), Conceal::IDLE);
            for at in (0..audio.len() - SAMPLES).step_by(SAMPLES) {
                now += Duration::from_millis(20);
                let lost = at >= conceal::PAST && dice.next() < 0.05;
                if lost {
                    let past: Vec<_> = concealed[at - conceal::PAST..at].to_vec();
                    conceal.begin(law, past.iter().map(|sample| g711::encode(law, *sample)));
                    concealed[at..at + SAMPLES].fill_with(|| conceal.next());
                    conceal.stop();
                    detector.skip(160);
                    continue;
                }
                for key in detector.take(&audio[at..at + SAMPLES], now).into_iter().flatten() {
                    if let Key::Down(digit) = key {
                        said.push(digit.key());
                    }
                }
            }
            of += KEYS.len();
            for (said, count) in [(keys(&concealed), &mut made_up), (said, &mut skipped)] {
                let mut pressed = KEYS.chars();
                assert!(said.chars().all(|key| pressed.any(|other| other == key)), "{said}");
                *count += said.len();
            }
        }
        // Of two frames in a row of a press too little may be left.
        let enough = |count: usize| count * 100 >= of * 99;
        assert!(enough(made_up) && enough(skipped), "{law:?}: {made_up} {skipped} of {of}");
    }
}

#[test]
fn tones_that_are_made_are_heard_and_have_no_click() {
    for rate in [8_000, 16_000, 48_000_u32] {
        for key in KEYS.chars() {
            let mut tones = Tones::new(Digit::try_from(key).unwrap(), rate);
            let samples = (rate / 50) as usize;
            let mut audio = vec![0; samples];
            for n in 0..5 {
                let mut frame = vec![0; samples];
                tones.fill(&mut frame, n == 4);
                audio.extend(frame);
            }
            audio.resize(audio.len() + 4 * samples, 0);
            assert!(
                audio[samples].unsigned_abs() < 3_000
                    && audio[6 * samples - 1].unsigned_abs() < 3_000
            );
            let every = (rate / 8_000) as usize;
            let narrow: Vec<i16> = audio.iter().copied().step_by(every).collect();
            let said = heard(&narrow);
            let [(same, lasted)] = said[..] else { panic!("{key} at {rate}: {said:?}") };
            assert!(same == key && (90..=110).contains(&lasted), "{key} at {rate}: {said:?}");
        }
    }
}

#[test]
fn tones_that_are_made_stand_exactly_where_they_should_even_after_seconds() {
    let mut tones = Tones::new(Digit::try_from('D').unwrap(), 8_000);
    let mut last = [0; 160];
    (0..400).for_each(|n| tones.fill(&mut last, n == 399));
    let mut whole = [0; 160];
    let mut tones = Tones::new(Digit::try_from('D').unwrap(), 8_000);
    (0..399).for_each(|_| tones.fill(&mut whole, false));
    let at = |n: usize, frequency: f64, amplitude: f64| {
        amplitude * (TAU * frequency * (n as f64) / RATE).sin()
    };
    for (n, sample) in whole.iter().enumerate() {
        let n = n + 398 * 160;
        let exact = at(n, 941.0, LOW) + at(n, 1_633.0, HIGH);
        assert!((exact - f64::from(*sample)).abs() < 1.0, "{n}");
    }
}

#[test]
fn whatever_comes_nothing_breaks() {
    let mut dice = Dice(10);
    let mut detector = Detector::NEW;
    let now = Instant::now();
    for _ in 0..2_000 {
        let loud = dice.next() * 32_767.0;
        let length = (dice.next() * 480.0) as usize;
        let audio: Vec<i16> =
            (0..length).map(|_| ((dice.next() * 2.0 - 1.0) * loud) as i16).collect();
        detector.take(&audio, now);
        detector.skip((dice.next() * 4e9) as u32);
    }
    detector.take(&[i16::MIN; 480], now);
    assert_eq!(detector.stop(), None);
}
