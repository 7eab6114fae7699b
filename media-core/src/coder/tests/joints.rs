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
    let mut narrow = Resampler::new(rate, Rate::Hz16000);
    let mut wide = vec![];
    for frame in heard.chunks_exact(rate.samples()) {
        let mut out = [0; 320];
        narrow.run(frame, &mut out);
        wide.extend(out.map(f64::from));
    }
    // A sixth difference: at 1 kHz 49 dB down, at 3 kHz 7 dB, at 8 kHz 36 dB up; its gain at 5.3 kHz is 27.
    let mut high = wide;
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
