//! A far end that sends far more than anybody says, and one whose network has held it back.

mod bench;

use bench::*;
use media_core::{counters::Dropped, order::Law};

/// Two in a bridge, heard for a second.
fn talking() -> (Bench, Speaker, Speaker) {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    bench.bridge(1, 2, false);
    let (mut one, mut two) = (Speaker::new(1, Law::A), Speaker::new(2, Law::A));
    bench.run(1_000, |bench, ms| {
        if ms % 20 == 0 {
            one.say(bench, 1, 1);
            two.say(bench, 2, 2);
        }
    });
    (bench, one, two)
}

fn too_many(bench: &Bench) -> u64 {
    bench.engine.counters().dropped(Dropped::Rate)
}

#[test]
fn of_two_thousand_packets_a_second_two_hundred_are_taken_and_the_other_side_is_heard() {
    let (mut bench, mut one, mut two) = talking();
    let before = bench.heard(1).len();

    bench.run(5_000, |bench, ms| {
        one.say(bench, 1, 1);
        one.say(bench, 1, 1);
        if ms % 20 == 0 {
            two.say(bench, 2, 2);
        }
    });

    let taken = 10_000 - too_many(&bench);
    assert!((1_200..=1_300).contains(&taken), "{taken} taken of what was saved and five seconds");
    let heard = bench.heard(1);
    assert!(heard.len() - before >= 249, "{} packets", heard.len() - before);
    assert!(heard[before..].iter().all(|(_, _, said)| *said == [2; 160]), "all of it said");
    assert_one_stream(2, &bench.heard(2));
}

#[test]
fn a_voice_that_was_held_back_for_two_seconds_is_all_taken_and_so_is_the_next_one() {
    let (mut bench, mut one, _) = talking();
    one.samples = 80;

    for _ in 0..2 {
        bench.run_ms(2_000);
        for _ in 0..200 {
            one.say(&mut bench, 1, 1);
        }
        bench.run(1_000, |bench, ms| {
            if ms % 10 == 0 {
                one.say(bench, 1, 1);
            }
        });
    }

    assert_eq!(too_many(&bench), 0);
}

#[test]
fn what_a_forger_sends_in_its_name_costs_a_voice_nothing_of_its_share() {
    let (mut bench, mut one, _) = talking();
    let before = bench.heard(2).len();
    let mut forged = Speaker::new(3, Law::A);

    bench.run(5_000, |bench, ms| {
        for _ in 0..2 {
            // Never two in a row, which would be a source that begins anew.
            forged.header.sequence = forged.header.sequence.wrapping_add(7);
            let header = forged.next();
            bench.rtp(1, &header, &[9; 160]);
        }
        if ms % 20 == 0 {
            one.say(bench, 1, 1);
        }
    });

    assert_eq!(too_many(&bench), 0);
    let heard = bench.heard(2);
    assert!(heard.len() - before >= 249, "{} packets", heard.len() - before);
    assert!(heard[before..].iter().all(|(_, _, said)| *said == [1; 160]));
}

#[test]
fn keys_by_the_thousand_are_taken_no_oftener_than_packets_of_a_voice() {
    let (mut bench, mut one, _) = talking();
    one.header.payload_type = 101;

    bench.run(1_000, |bench, ms| {
        for key in 0..5_u8 {
            // Each a key of its own: another time stamp, and already up.
            let mut header = one.next();
            header.timestamp = u32::try_from(ms * 5 + u64::from(key)).unwrap() * 1_600;
            bench.rtp(1, &header, &[key, 0x80, 0x06, 0x40]);
        }
    });

    let taken = 5_000 - too_many(&bench);
    assert!((430..=470).contains(&taken), "{taken} taken of what was saved and a second");
}
