//! Another tune takes the place of one while it is heard: the stream goes on, the old one fades.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::*;
use media_core::{
    codec::g711,
    coder::Scrap,
    engine::EngineConfig,
    music::Tune,
    order::{Law, OnDigit, Order, PromptEnd, PromptName, Source, TuneId},
};
use std::sync::Arc;

const MUSIC: Source = Source::Music(TuneId(0));

/// A second of a tone that begins and ends in silence, at 8 kHz.
fn tune(hertz: f32) -> Arc<Tune> {
    tune_of(8_000, hertz)
}

fn tune_of(samples: u16, hertz: f32) -> Arc<Tune> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = std::io::Cursor::new(vec![]);
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for n in 0..samples {
        let angle = f32::from(n) / 8_000.0 * hertz * std::f32::consts::TAU;
        #[expect(clippy::cast_possible_truncation, reason = "at most 8,000")]
        writer.write_sample((angle.sin() * 8_000.0) as i16).unwrap();
    }
    writer.finalize().unwrap();
    Arc::new(Tune::import(&file.into_inner()).unwrap().tune)
}

fn bench(legs: u16) -> Bench {
    let tunes = vec![tune(400.0), tune(1_100.0)];
    let mut bench = Bench::with(EngineConfig { tunes, ..config(Tune::test_tone()) });
    for n in 1..=legs {
        bench.party(n, Law::A);
        bench.hear(n, MUSIC);
    }
    bench
}

/// What a leg was sent, as samples, and that nothing is missing in it.
fn heard(bench: &Bench, n: u16) -> Vec<i16> {
    let packets = bench.heard(n);
    for pair in packets.windows(2) {
        let (before, after) = (&pair[0].1, &pair[1].1);
        assert_eq!(after.sequence, before.sequence.wrapping_add(1));
        assert_eq!(after.timestamp, before.timestamp.wrapping_add(160));
        assert_eq!(after.ssrc, before.ssrc);
    }
    let codes = packets.iter().flat_map(|(.., said)| said.iter());
    codes.map(|code| g711::decode(Law::A, *code)).collect()
}

/// Share of a frequency in the power of these samples.
fn share(samples: &[i16], hertz: f64) -> f64 {
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let (angle, sample) = (n as f64 / 8e3 * hertz * std::f64::consts::TAU, f64::from(*sample));
        re += sample * angle.cos();
        im += sample * angle.sin();
        power += sample * sample;
    }
    2.0 * (re * re + im * im) / (power * samples.len() as f64)
}

fn scrap(bench: &mut Bench) -> usize {
    std::iter::from_fn(|| bench.engine.poll_scrap())
        .inspect(|scrap| assert!(matches!(scrap, Scrap::Tune(_))))
        .count()
}

#[test]
fn whoever_waits_hears_the_new_tune_in_the_stream_they_have_without_a_click() {
    let mut bench = bench(20);
    bench.run_ms(2_003);
    bench.engine.replace_tune(TuneId(0), tune(2_300.0), bench.now);
    bench.run_ms(2_000);

    for n in 1..=20 {
        let heard = heard(&bench, n);
        let (before, after) = (&heard[4_000..14_000], &heard[18_000..30_000]);
        assert!(share(before, 400.0) > 0.95, "{n}");
        assert!(share(after, 2_300.0) > 0.95, "{n}");
        // Neither tone steps further from one sample to the next than its waves are steep.
        let steepest = heard.windows(2).map(|pair| pair[0].abs_diff(pair[1])).max().unwrap();
        let alone = 8_000.0 * 2.0 * (std::f64::consts::PI * 2_300.0 / 8e3).sin();
        assert!(f64::from(steepest) < 1.05 * alone, "{n}: {steepest} of {alone:.0}");
        // And the old one is still heard within the frame in which the new one begins.
        let joint = heard.as_chunks::<160>().0.iter().find(|frame| share(*frame, 400.0) < 0.9);
        assert!(share(&joint.unwrap()[..20], 400.0) > 0.5, "{n}: it fades");
    }
    assert_eq!(bench.engine.counters().phases_skipped, 0);
}

#[test]
fn the_old_tune_is_given_back_once_nobody_can_hear_it_any_more() {
    let mut bench = bench(1);
    bench.run_ms(100);
    let (second, third) = (tune(2_300.0), tune(600.0));
    let kept = Arc::downgrade(&second);

    bench.engine.replace_tune(TuneId(0), second, bench.now);
    bench.run_ms(100);
    assert_eq!(scrap(&mut bench), 0, "it may still be fading");
    bench.run_ms(150);
    assert_eq!(scrap(&mut bench), 1, "the first");

    bench.engine.replace_tune(TuneId(0), third, bench.now);
    bench.engine.replace_tune(TuneId(0), tune(900.0), bench.now);
    assert_eq!(scrap(&mut bench), 1, "the second, at once: the third has taken its place");
    assert_eq!(kept.strong_count(), 0);
    bench.run_ms(300);
    assert_eq!(scrap(&mut bench), 1, "the third");
    let heard = heard(&bench, 1);
    assert!(share(&heard[heard.len() - 1_600..], 900.0) > 0.95);
}

#[test]
fn a_tune_for_a_number_that_nobody_has_is_given_back() {
    let mut bench = bench(1);
    bench.engine.replace_tune(TuneId(2), tune(2_300.0), bench.now);
    assert_eq!(scrap(&mut bench), 1);
}

#[test]
fn a_prompt_whose_tune_is_replaced_goes_on_in_its_place_and_ends_with_the_new_one() {
    let mut bench = bench(1);
    let (tune_id, on_digit) = (TuneId(1), OnDigit::Stop);
    bench.order(Order::Play { leg: leg(1), prompt: PromptName(7), tune: tune_id, on_digit });
    bench.run_ms(500);
    // Shorter than what was said of the old one.
    bench.engine.replace_tune(tune_id, tune_of(800, 2_300.0), bench.now);
    bench.run_ms(500);

    let ended = bench.events.iter().find_map(|event| {
        let media_core::order::Event::PromptEnded { how, .. } = event else { return None };
        Some(*how)
    });
    assert_eq!(ended, Some(PromptEnd::Played));
    let heard = heard(&bench, 1);
    assert!(share(&heard[400..3_600], 1_100.0) > 0.95);
    assert!(share(&heard[heard.len() - 3_200..], 400.0) > 0.95, "music again");
}
