//! One leg from music to a bridge to hold to a bridge: one stream, and no click.

use super::*;

#[test]
fn music_bridge_hold_and_bridge_are_one_stream() {
    for codec in all_codecs() {
        let mut bench = Bench::new();
        let (one, two) = (bench.party(codec, 440.0), bench.party(Codec::g711(Law::A, 8), 1_300.0));
        let music = Source::Music(TuneId(0));
        bench.order(Order::Hear { leg: name(one), source: music });
        bench.run(1_000);
        bench.bridge(one, two);
        bench.run(1_000);
        let (caller_hears, other_hears) = (music, Source::Silence);
        bench.order(Order::Part { talk: TALK, caller_hears, other_hears });
        bench.run(1_500);
        let held = bench.far(one).share(440.0);
        bench.bridge(one, two);
        bench.run(1_500);

        assert!(held > 0.4, "{codec:?}: {held}");
        assert!(bench.far(one).share(1_300.0) > 0.95, "{codec:?}");
        bench.assert_whole(one);
    }
}

/// What lies above 3 kHz, in no voice and no tune here: a step is heard there.
fn click(heard: &[i16], rate: Rate) -> f64 {
    click_within(heard, rate, heard.len() / rate.samples())
}

/// The same in so many frames at the end.
fn click_within(heard: &[i16], rate: Rate, frames: usize) -> f64 {
    let mut narrow = Resampler::new(rate, Rate::Hz16000);
    let mut wide = vec![];
    for frame in heard.chunks_exact(rate.samples()) {
        let mut out = [0; 320];
        narrow.run(frame, &mut out);
        wide.extend(out.map(f64::from));
    }
    let mut high = wide.split_off(wide.len() - frames * 320);
    // A sixth difference: at 1 kHz 49 dB down, at 3 kHz 7 dB, at 8 kHz 36 dB up; its gain at 5.3 kHz is 27.
    for _ in 0..6 {
        high = high.windows(2).map(|pair| (pair[1] - pair[0]) / 1.73).collect();
    }
    high.iter().fold(0.0, |most: f64, sample| most.max(sample.abs())) / 32_768.0
}

#[test]
fn no_joint_clicks_above_40_db_below_full_scale() {
    for codec in all_codecs() {
        let mut bench = Bench::new();
        let (one, two) = (bench.party(codec, 440.0), bench.party(Codec::g711(Law::A, 8), 0.0));
        bench.far[1].speaks = Speaks::Nothing;
        for _ in 0..4 {
            bench.order(Order::Hear { leg: name(one), source: Source::Silence });
            bench.run(407);
            bench.bridge(one, two);
            bench.run(613);
            bench.order(Order::EndTalk { talk: TALK });
        }
        let loudest = click(&bench.far(one).heard, codec.coding.rate());
        assert!(loudest < 0.01, "{codec:?}: {:.1} dBFS", 20.0 * loudest.log10());
    }
}

#[test]
fn who_waits_in_any_codec_hears_another_tune_take_the_place_of_theirs_without_a_break_or_click() {
    for codec in all_codecs() {
        let mut bench = Bench::new();
        let (one, two) = (bench.party(codec, 0.0), bench.party(codec, 0.0));
        let music = Source::Music(TuneId(0));
        bench.order(Order::Hear { leg: name(one), source: music });
        bench.run(1_507);
        // One who hears what all hear, one whose own encoder still speaks.
        bench.order(Order::Hear { leg: name(two), source: music });
        bench.run(180);
        let quiet = Gain::from_db(-3.0).unwrap();
        let wav = whistle();
        bench.engine.replace_tune(
            TuneId(0),
            Arc::new(Tune::import_at(&wav, quiet).unwrap().tune),
            bench.now,
        );
        bench.run(1_500);

        for n in [one, two] {
            let far = bench.far(n);
            assert!(far.share(700.0) > 0.9, "{codec:?}: {}", far.share(700.0));
            // From 60 ms before on: what it begins with is no joint of two tunes.
            let loudest = click_within(&far.heard, codec.coding.rate(), 78);
            assert!(loudest < 0.01, "{codec:?}: {:.1} dBFS", 20.0 * loudest.log10());
            bench.assert_whole(n);
        }
        assert_eq!(bench.scrap, 1, "the first tune is given back");
    }
}

/// A second of 700 Hz at 16 kHz, silent where it begins and ends.
fn whistle() -> Vec<u8> {
    let mut file = std::io::Cursor::new(vec![]);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    for n in 0..16_000_u16 {
        let sample = (f32::from(n) / 16_000.0 * 700.0 * std::f32::consts::TAU).sin() * 6_000.0;
        #[expect(clippy::cast_possible_truncation, reason = "at most 6,000")]
        writer.write_sample(sample as i16).unwrap();
    }
    writer.finalize().unwrap();
    file.into_inner()
}
