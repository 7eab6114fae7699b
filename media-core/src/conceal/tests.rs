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
        let found = begun(period).period;
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
