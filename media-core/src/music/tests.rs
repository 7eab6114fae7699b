//! What becomes a tune, what does not, and that it sounds as it did.

use super::*;
use hound::{SampleFormat, WavSpec, WavWriter};
use std::io::Cursor;

mod imported;

/// A WAV of a sine on the first channel and silence on the others.
#[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
fn wav(spec: WavSpec, seconds: f32, hertz: f32) -> Vec<u8> {
    let mut file = Cursor::new(vec![]);
    let mut writer = WavWriter::new(&mut file, spec).unwrap();
    let samples = (seconds * spec.sample_rate as f32) as u32;
    for n in 0..samples {
        let angle = n as f32 / spec.sample_rate as f32 * hertz * std::f32::consts::TAU;
        let value = 0.5 * angle.sin() * f32::from(spec.channels);
        for channel in 0..spec.channels {
            let value = if channel == 0 { value } else { 0.0 };
            match spec.sample_format {
                SampleFormat::Float => writer.write_sample(value).unwrap(),
                SampleFormat::Int => {
                    let full = 2_f32.powi(i32::from(spec.bits_per_sample) - 1) - 1.0;
                    writer.write_sample((value.clamp(-1.0, 1.0) * full) as i32).unwrap();
                }
            }
        }
    }
    writer.finalize().unwrap();
    file.into_inner()
}

fn read(bytes: &[u8]) -> Result<Tune, BadTune> {
    Tune::import(bytes).map(|imported| imported.tune)
}

fn int(sample_rate: u32, channels: u16, bits_per_sample: u16) -> WavSpec {
    WavSpec { channels, sample_rate, bits_per_sample, sample_format: SampleFormat::Int }
}

fn samples(tune: &Tune, law: Law) -> Vec<f32> {
    let frames = (0..tune.frames()).flat_map(|n| *tune.frame(law, n));
    frames.map(|code| f32::from(g711::decode(law, code)) / 32_768.0).collect()
}

/// Share of a frequency in the power of a signal.
fn share(samples: &[f32], hertz: f32) -> f32 {
    let (mut re, mut im, mut power) = (0.0, 0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        let angle = n as f32 / 8000.0 * hertz * std::f32::consts::TAU;
        re += sample * angle.cos();
        im += sample * angle.sin();
        power += sample * sample;
    }
    2.0 * (re * re + im * im) / (power * samples.len() as f32)
}

#[test]
fn every_rate_depth_and_number_of_channels_keeps_its_tone_and_length() {
    let float = WavSpec { sample_format: SampleFormat::Float, ..int(48_000, 2, 32) };
    let specs = [
        int(8_000, 1, 16),
        int(8_000, 2, 8),
        int(11_025, 1, 16),
        int(16_000, 1, 24),
        int(22_050, 1, 8),
        int(44_100, 2, 16),
        int(48_000, 2, 24),
        int(96_000, 1, 32),
        int(44_101, 1, 16),
        float,
    ];
    for spec in specs {
        let tune = read(&wav(spec, 1.0, 700.0)).unwrap();

        assert_eq!(tune.frames(), 50, "{spec:?}");
        for law in [Law::A, Law::Mu] {
            let samples = samples(&tune, law);
            assert!(share(&samples, 700.0) > 0.95, "{spec:?} {law:?}");
            let power = samples.iter().map(|s| s * s).sum::<f32>() / 8000.0;
            // Two channels cannot be twice as loud as full scale: 0.5 on each side of the mix.
            assert!((0.1..0.15).contains(&power), "{spec:?} {law:?}: {power}");
        }
    }
}

#[test]
fn what_the_telephone_cannot_carry_does_not_come_back_as_another_tone() {
    let tune = read(&wav(int(48_000, 1, 16), 1.0, 7_000.0)).unwrap();

    // 7 kHz would alias to 1 kHz.
    let loudest = samples(&tune, Law::A)[400..7600].iter().fold(0.0_f32, |a, s| a.max(s.abs()));
    assert!(loudest < 0.01, "{loudest}");
}

#[test]
fn the_last_frame_is_filled_from_the_beginning() {
    let tune = read(&wav(int(8_000, 1, 16), 0.03, 50.0)).unwrap();

    assert_eq!(tune.frames(), 2);
    assert_eq!(tune.frame(Law::A, 1)[80..], tune.frame(Law::A, 0)[..80]);
    assert_eq!(tune.frame(Law::Mu, 7), tune.frame(Law::Mu, 1));

    let short = read(&wav(int(8_000, 1, 16), 0.005, 200.0)).unwrap();
    assert_eq!(short.frame(Law::Mu, 0)[40..80], short.frame(Law::Mu, 0)[..40]);
}

#[test]
fn what_is_no_tune_is_refused_by_reason() {
    let good = wav(int(16_000, 1, 16), 0.1, 440.0);
    let reason = |bytes: &[u8]| read(bytes).unwrap_err().to_string();

    assert_eq!(read(&wav(int(8_000, 1, 16), 0.0, 1.0)), Err(BadTune::Empty));
    assert_eq!(read(b""), Err(BadTune::NotAudio));
    assert!(reason(b"This is a text.").ends_with(
        "write WAV (PCM, float, A-law or mu-law), MP3, FLAC, or Ogg with Vorbis or FLAC"
    ));
    let said =
        "it cannot be read: it ends within its header; write it anew from where it comes from";
    assert_eq!(reason(&good[..30]), said);
    assert_eq!(
        read(&good[..good.len() - 100]),
        Err(BadTune::CutShort { present: 1550, promised: 1600 })
    );
    assert_eq!(read(&wav(int(2_000, 1, 16), 0.1, 50.0)), Err(BadTune::Rate { rate: 2_000 }));
}

#[test]
fn more_than_an_hour_is_refused_before_it_is_read() {
    let mut long = wav(int(8_000, 1, 8), 0.1, 440.0);
    let length = 8_000_u32 * 60 * 61;
    let data = long.len() - 800 - 4;
    long[data..data + 4].copy_from_slice(&length.to_le_bytes());

    assert_eq!(read(&long), Err(BadTune::TooLong { minutes: 61 }));
}

#[test]
fn no_damage_to_a_file_makes_the_reader_fail() {
    let good = wav(int(8_000, 2, 16), 0.01, 440.0);
    let mut state = 3_u32;
    for _ in 0..5_000 {
        let mut bytes = good.clone();
        for _ in 0..3 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let [place, _, _, byte] = state.to_be_bytes();
            bytes[usize::from(place) % 60] = byte;
        }
        if let Ok(tune) = read(&bytes) {
            assert!(tune.frames() > 0);
        }
    }
}

#[test]
fn floats_beyond_full_scale_are_full_scale_however_great_and_no_number_is_silence() {
    let spec = WavSpec { sample_format: SampleFormat::Float, ..int(16_000, 1, 32) };
    let mut file = Cursor::new(vec![]);
    let mut writer = WavWriter::new(&mut file, spec).unwrap();
    for n in 0..16_000 {
        writer.write_sample([f32::MAX, f32::NAN, f32::MIN, f32::INFINITY][n / 8 % 4]).unwrap();
    }
    writer.finalize().unwrap();

    let tune = read(&file.into_inner()).unwrap();

    assert_eq!(tune.frames(), 50);
    // 500 Hz: up, nothing, down, nothing, each for half a millisecond.
    assert!(share(&samples(&tune, Law::A), 500.0) > 0.7);
}

#[test]
fn the_built_in_tone_is_a_third_and_loops_without_a_click() {
    let tune = Tune::test_tone();
    let samples = samples(&tune, Law::Mu);

    assert_eq!(tune.frames(), 200);
    assert!(share(&samples, 440.0) > 0.3 && share(&samples, 550.0) > 0.2);
    let seam = (samples[0] - samples[samples.len() - 1]).abs();
    assert!(seam < 0.12, "{seam}");
}
