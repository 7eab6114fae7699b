//! What is made up: alike at first, silent in the end, joined without a click.

use super::*;

/// A voice of so many samples a period, with a few harmonics.
fn voice(period: usize, place: usize) -> i16 {
    let turn = std::f64::consts::TAU * place as f64 / period as f64;
    let sample = 6_000.0 * turn.sin() + 3_000.0 * (2.0 * turn).sin() + 1_500.0 * (3.0 * turn).cos();
    #[expect(clippy::cast_possible_truncation, reason = "at most 10,500")]
    let sample = sample.round() as i32;
    narrow(sample)
}

fn begun(period: usize) -> Conceal {
    let mut conceal = Conceal::IDLE;
    let said = (0..PAST).map(|n| g711::encode(Law::A, voice(period, n)));
    conceal.begin(Law::A, said);
    conceal
}

#[test]
fn the_period_of_a_voice_is_found_from_66_to_200_hz() {
    for period in PERIOD_MIN..=PERIOD_MAX {
        let found = begun(period).voice.period();
        assert!(found.is_multiple_of(period) || found.abs_diff(period) <= 1, "{period}: {found}");
    }
}

#[test]
fn for_10_ms_a_steady_voice_goes_on_as_if_nothing_were_missing() {
    for period in [45, 61, 80, 113] {
        let mut conceal = begun(period);
        let (mut error, mut strength) = (0.0, 0.0);
        for n in 0..80 {
            let expected = f64::from(voice(period, PAST + n));
            error += (f64::from(conceal.next()) - expected).powi(2);
            strength += expected.powi(2);
        }
        let ratio_db = 10.0 * f64::log10(strength / error);
        assert!(ratio_db > 15.0, "{period}: {ratio_db}");
    }
}

#[test]
fn it_grows_softer_from_10_ms_on_and_is_silent_after_60() {
    let mut conceal = begun(70);
    let loudest: Vec<i32> =
        (0..8).map(|_| (0..80).map(|_| i32::from(conceal.next()).abs()).max().unwrap()).collect();

    assert!(loudest[0] > 7_000, "{loudest:?}");
    assert!(loudest.windows(2).all(|pair| pair[1] < pair[0] || pair[0] == 0), "{loudest:?}");
    assert!(loudest[2] > loudest[0] / 2 && loudest[6] == 0, "{loudest:?}");
    assert!(conceal.is_mute());
}

#[test]
fn it_begins_and_ends_without_a_click() {
    for period in [43, 77, 120] {
        for lost in [80, 160, 320] {
            let mut conceal = begun(period);
            let mut heard: Vec<i16> = (PAST - 40..PAST).map(|n| voice(period, n)).collect();
            heard.extend((0..lost).map(|_| conceal.next()));
            let mut back: Vec<u8> = (PAST + lost..PAST + lost + 160)
                .map(|n| g711::encode(Law::A, voice(period, n)))
                .collect();
            conceal.end(Law::A, &mut back);
            heard.extend(back.iter().map(|code| g711::decode(Law::A, *code)));

            let step = |all: &[i16]| {
                all.windows(2).map(|two| i32::from(two[1]) - i32::from(two[0])).map(i32::abs).max()
            };
            let own: Vec<i16> = (0..PAST).map(|n| voice(period, n)).collect();
            assert!(step(&heard) <= step(&own).map(|step| step * 3 / 2), "{period} {lost}");
        }
    }
}

#[test]
fn silence_is_made_up_of_silence() {
    let mut conceal = Conceal::IDLE;
    conceal.begin(Law::Mu, std::iter::repeat_n(0xFF, PAST));

    assert!((0..160).all(|_| conceal.next() == 0));
}

/// A voice that rises and grows softer: sample n of it, its turn so far.
fn gliding() -> Vec<i16> {
    let mut turn = 0.0_f64;
    let sample = |n: u32| {
        turn += 1.0 / (82.0 - f64::from(n) * 0.03);
        let angle = std::f64::consts::TAU * turn;
        let loud = 9_000.0 - 12.0 * f64::from(n);
        #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
        let sample = (loud * (angle.sin() + 0.4 * (2.0 * angle).sin()) / 1.4) as i16;
        sample
    };
    (0..600).map(sample).collect()
}

fn codes(said: &[i16]) -> impl Iterator<Item = u8> {
    said.iter().map(|sample| g711::encode(Law::A, *sample))
}

/// What is made up of a gap of so many samples, and how far that is from what was said, in dB below it.
fn filled(said: &[i16], lost: usize, met: bool) -> (Vec<i16>, f64) {
    let mut conceal = Conceal::IDLE;
    conceal.begin(Law::A, codes(&said[..PAST]));
    if met {
        conceal.meet(Law::A, lost, codes(&said[PAST + lost..]).take(LEAD));
    }
    let made: Vec<i16> = (0..lost).map(|_| conceal.next()).collect();
    let (mut error, mut strength) = (0.0, 0.0);
    for (made, said) in made.iter().zip(&said[PAST..]) {
        error += (f64::from(*made) - f64::from(*said)).powi(2);
        strength += f64::from(*said).powi(2);
    }
    (made, 10.0 * f64::log10(strength / error))
}

#[test]
fn what_stands_behind_a_gap_is_led_up_to_and_stays_as_it_was_said() {
    let said = gliding();
    for lost in [40, 80, 160, 240] {
        let ((_, alone), (made, met)) = (filled(&said, lost, false), filled(&said, lost, true));
        let far_db = if lost <= 160 { 8.0 } else { 5.0 };
        assert!(met > alone + 3.0 && met > far_db, "{lost}: {alone:.1} and {met:.1} dB");

        let mut conceal = Conceal::IDLE;
        conceal.begin(Law::A, codes(&said[..PAST]));
        conceal.meet(Law::A, lost, codes(&said[PAST + lost..]).take(LEAD));
        (0..lost).for_each(|_| _ = conceal.next());
        let behind: Vec<u8> = codes(&said[PAST + lost..]).take(160).collect();
        let mut back = behind.clone();
        conceal.end(Law::A, &mut back);

        assert_eq!(back, behind, "{lost}");
        assert!(!conceal.is_busy());
        let step = i32::from(*made.last().unwrap()) - i32::from(said[PAST + lost]);
        assert!(step.abs() < 2_000, "{lost}: {step}");
    }
}

#[test]
fn what_comes_behind_a_long_silence_is_led_up_to_too() {
    let said = gliding();
    let mut conceal = begun(70);
    (0..MUTE).for_each(|_| _ = conceal.next());
    assert!(conceal.is_mute());

    conceal.meet(Law::A, 160, codes(&said).take(LEAD));

    assert!(!conceal.is_mute());
    let loudest: Vec<u16> =
        (0..4).map(|_| (0..40).map(|_| conceal.next().unsigned_abs()).max().unwrap()).collect();
    assert!(loudest.is_sorted() && loudest[3] > 4_000, "{loudest:?}");
}

#[test]
fn a_gap_that_grows_shorter_or_has_nothing_behind_it_any_more_is_still_made_up() {
    let said = gliding();
    let mut conceal = Conceal::IDLE;
    conceal.begin(Law::A, codes(&said[..PAST]));
    conceal.meet(Law::A, 320, codes(&said[PAST + 320..]).take(LEAD));
    (0..100).for_each(|_| _ = conceal.next());
    assert_eq!(conceal.left(), 220);

    conceal.meet(Law::A, 60, codes(&said[PAST + 160..]).take(LEAD));
    (0..60).for_each(|_| _ = conceal.next());
    assert_eq!(conceal.left(), 0);
    // One sample more than the gap had: what comes is not led up to any more.
    conceal.next();
    let behind: Vec<u8> = codes(&said[PAST + 161..]).take(160).collect();
    let mut back = behind.clone();
    conceal.end(Law::A, &mut back);
    assert_ne!(back, behind);

    conceal.begin(Law::A, codes(&said[..PAST]));
    conceal.meet(Law::A, 100, codes(&said[PAST + 100..]).take(SAID_MIN - 1));
    assert_eq!(conceal.left(), 0, "too little");
}

#[test]
fn what_comes_into_a_gap_before_its_end_is_faded_into_from_the_voice_alone() {
    let said = gliding();
    let [met, alone] = [true, false].map(|met| {
        let mut conceal = Conceal::IDLE;
        conceal.begin(Law::A, codes(&said[..PAST]));
        if met {
            conceal.meet(Law::A, 160, codes(&said[PAST + 160..]).take(LEAD));
        }
        (0..80).for_each(|_| _ = conceal.next());
        let mut back: Vec<u8> = codes(&said[PAST + 80..]).take(80).collect();
        conceal.end(Law::A, &mut back);
        back
    });

    assert_eq!(met, alone);
}

#[test]
fn whatever_was_said_nothing_that_is_made_up_grows_louder_than_it() {
    let mut dice = 1_u32;
    let mut noise = move || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        dice.to_le_bytes()[3]
    };
    let random: Vec<u8> = (0..PAST).map(|_| noise()).collect();
    let patterns: [Vec<u8>; 6] = [
        random,
        (0..PAST).map(|n| if n % 2 == 0 { 0xAA } else { 0x2A }).collect(),
        (0..PAST).map(|n| if n / 40 % 2 == 0 { 0xAA } else { 0x2A }).collect(),
        (0..PAST).map(|n| if n == PAST - 1 { 0xAA } else { 0xD5 }).collect(),
        (0..PAST).map(|n| if n < PAST - 1 { 0xAA } else { 0xD5 }).collect(),
        vec![0xAA; PAST],
    ];
    for said in patterns {
        let loud = |code: &u8| u32::from(g711::decode(Law::A, *code).unsigned_abs());
        let loudness = said.iter().map(loud).max().unwrap();
        let mut conceal = Conceal::IDLE;
        conceal.begin(Law::A, said.iter().copied());
        conceal.meet(Law::A, 480, said.iter().copied().take(LEAD));

        let made: Vec<u32> = (0..480).map(|_| conceal.next().unsigned_abs().into()).collect();

        let strength = |all: &mut dyn Iterator<Item = u32>| {
            let (sum, count) =
                all.fold((0.0, 0.0), |all, n| (all.0 + f64::from(n).powi(2), all.1 + 1.0));
            f64::sqrt(sum / count)
        };
        let before = strength(&mut said.iter().map(loud));
        let after = strength(&mut made.iter().copied());
        assert!(after <= before.max(f64::from(loudness) / 4.0) * 1.5, "{before} {after}");
        assert!(made.iter().all(|sample| *sample <= loudness * 2), "{loudness}: {made:?}");
    }
}
