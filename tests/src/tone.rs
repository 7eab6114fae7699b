//! Makes and judges test audio: tones, G.711, shares of power, likeness to a reference.
//!
//! Nothing here is shared with the product, so that a wrong table there is heard here.

use std::{f64::consts::TAU, path::Path};

/// Samples per second of all telephone audio here.
pub const RATE: u32 = 8_000;

/// The two laws of ITU-T G.711.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Law {
    A,
    Mu,
}

impl Law {
    /// RFC 3551 §6.
    pub fn payload_type(self) -> u8 {
        match self {
            Self::A => 8,
            Self::Mu => 0,
        }
    }

    /// One sample to its eight bits.
    pub fn encode(self, sample: i16) -> u8 {
        match self {
            Self::A => encode_a(sample),
            Self::Mu => encode_mu(sample),
        }
    }

    /// Eight bits to the middle of their interval.
    pub fn decode(self, byte: u8) -> i16 {
        match self {
            Self::A => decode_a(byte),
            Self::Mu => decode_mu(byte),
        }
    }

    /// The name in an `a=rtpmap` line.
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "PCMA",
            Self::Mu => "PCMU",
        }
    }
}

/// G.711 §3.1: 12 bits of magnitude, sixteen steps in each of eight segments, even bits inverted.
fn encode_a(sample: i16) -> u8 {
    let positive = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = u32::from(if sample >= 0 { sample } else { !sample }.unsigned_abs()) >> 3;
    let code = if magnitude < 32 {
        magnitude >> 1
    } else {
        let segment = magnitude.ilog2() - 4;
        (segment << 4) | ((magnitude >> segment) & 15)
    };
    (positive | low_byte(code)) ^ 0x55
}

fn decode_a(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let (segment, step) = (u32::from(code >> 4) & 7, i32::from(code & 15));
    let magnitude = match segment {
        0 => 2 * step + 1,
        _ => (2 * step + 33) << (segment - 1),
    };
    saturate(if code & 0x80 != 0 { magnitude * 8 } else { -magnitude * 8 })
}

/// G.711 §3.2: 13 bits of magnitude with a bias of 33, all bits inverted.
fn encode_mu(sample: i16) -> u8 {
    let negative = if sample < 0 { 0x80 } else { 0 };
    let magnitude = (u32::from(sample.unsigned_abs()) >> 2).min(8_158) + 33;
    let segment = magnitude.ilog2() - 5;
    let step = (magnitude >> (segment + 1)) & 15;
    !(negative | low_byte((segment << 4) | step))
}

fn decode_mu(byte: u8) -> i16 {
    let code = !byte;
    let (segment, step) = (u32::from(code >> 4) & 7, i32::from(code & 15));
    let magnitude = (((2 * step + 33) << segment) - 33) * 4;
    saturate(if code & 0x80 == 0 { magnitude } else { -magnitude })
}

fn low_byte(code: u32) -> u8 {
    u8::try_from(code).expect("segment and step are seven bits")
}

fn saturate(value: i32) -> i16 {
    i16::try_from(value).unwrap_or(if value < 0 { i16::MIN } else { i16::MAX })
}

/// A sample out of a calculation; what does not fit is clipped.
fn to_sample(value: f64) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "a float cast to i16 saturates")]
    let sample = value.round() as i16;
    sample
}

/// A pure tone, a third of full scale, that starts at sample `from` of an endless one.
pub fn sine(hz: f64, from: u64, samples: usize) -> Vec<i16> {
    (from..).take(samples).map(|at| to_sample(10_000.0 * (TAU * hz * phase(at)).sin())).collect()
}

/// A second of the same at another rate, to be said over and over: the tone has whole hertz.
pub fn second_at(rate: u32, hz: f64) -> Vec<i16> {
    let turn = |at: u32| TAU * hz * f64::from(at) / f64::from(rate);
    (0..rate).map(|at| to_sample(10_000.0 * turn(at).sin())).collect()
}

/// Seconds at this sample, modulo one: whole numbers of hertz stay exact for ever.
fn phase(at: u64) -> f64 {
    let within = u32::try_from(at % u64::from(RATE)).expect("less than the rate");
    f64::from(within) / f64::from(RATE)
}

/// The share of a tone in the half second that has most of it: where a peer or this machine was late, what is made up
/// fits the rest of no tone.
pub fn best_half_second(pcm: &[i16], hz: f64) -> f64 {
    let half = usize::try_from(RATE / 2).expect("a rate fits");
    pcm.chunks_exact(half).map(|part| share(part, hz)).fold(0.0, f64::max)
}

/// What most of it holds of this tone: the median over tenths of a second. A gap, or a leap in phase where a peer or this
/// machine stood still, is one window's and not the whole's.
pub fn mostly(pcm: &[i16], hz: f64) -> f64 {
    let tenth = usize::try_from(RATE / 10).expect("a rate fits");
    let mut shares: Vec<f64> = pcm.chunks_exact(tenth).map(|part| share(part, hz)).collect();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied().unwrap_or(0.0)
}

/// Mean power against full scale, in decibels; -120 for silence.
pub fn level_dbfs(pcm: &[i16]) -> f64 {
    let power: f64 = pcm.iter().map(|&s| (f64::from(s) / 32_768.0).powi(2)).sum();
    10.0 * (power / count(pcm) + 1e-12).log10()
}

fn count(pcm: &[i16]) -> f64 {
    f64::from(u32::try_from(pcm.len().max(1)).expect("hours of audio"))
}

/// Which part of all power lies at `hz`: about 1 for a pure tone, about 0 without it (Goertzel, Hann window).
pub fn share(pcm: &[i16], hz: f64) -> f64 {
    let turn = 2.0 * (TAU * hz / f64::from(RATE)).cos();
    let (mut last, mut before, mut total) = (0.0, 0.0, 0.0);
    let length = count(pcm);
    for (at, &sample) in (0_u32..).zip(pcm) {
        let windowed = f64::from(sample) * (0.5 - 0.5 * (TAU * f64::from(at) / length).cos());
        total += windowed * windowed;
        (last, before) = (windowed + turn * last - before, last);
    }
    (last * last + before * before - turn * last * before) / (total * length / 3.0 + 1e-9)
}

/// How alike `heard` is to the best fitting place of the endlessly repeated `tune`, 1 for a copy.
///
/// Normalised cross-correlation over every lag; the level does not matter, the place is found.
pub fn likeness(heard: &[i16], tune: &[i16]) -> f64 {
    let heard: Vec<f32> = heard.iter().map(|&s| f32::from(s)).collect();
    let looped: Vec<f32> =
        tune.iter().cycle().take(tune.len() + heard.len()).map(|&s| f32::from(s)).collect();
    let power = |part: &[f32]| part.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>();
    let of_heard = power(&heard);
    let mut of_window = looped.get(..heard.len()).map_or(0.0, power);
    let mut best = 0.0_f64;
    for (window, lag) in looped.windows(heard.len()).zip(0..tune.len()) {
        let product: f32 = window.iter().zip(&heard).map(|(a, b)| a * b).sum();
        best = best.max(f64::from(product) / (of_heard * of_window + 1.0).sqrt());
        of_window += f64::from(looped[lag + heard.len()]).powi(2) - f64::from(looped[lag]).powi(2);
    }
    best
}

/// A tune that no part of repeats within its six seconds, so that a place in it can be found.
///
/// Interleaved stereo of any rate, the bass left and the melody right; nothing above 1.8 kHz.
pub fn waltz(rate: u32) -> Vec<i16> {
    const MELODY: [f64; 18] = [
        523.0, 659.0, 784.0, 740.0, 587.0, 494.0, 440.0, 554.0, 880.0, 831.0, 698.0, 466.0, 392.0,
        622.0, 571.0, 530.0, 415.0, 605.0,
    ];
    let frame = |at: u32| {
        let seconds = f64::from(at) / f64::from(rate);
        let beat = usize::try_from(at / (rate / 3)).expect("a small number") % MELODY.len();
        let swell = 0.6 + 0.4 * (TAU * 3.0 * seconds).cos();
        let melody =
            (TAU * MELODY[beat] * seconds).sin() + 0.3 * (TAU * 2.0 * MELODY[beat] * seconds).sin();
        let bass = (TAU * MELODY[beat / 3] / 2.0 * seconds).sin();
        [to_sample(9_000.0 * bass), to_sample(9_000.0 * swell * melody)]
    };
    (0..rate * 6).flat_map(frame).collect()
}

/// Stereo of any rate to mono at 8 kHz, by averaging and straight lines: for tunes without treble.
pub fn to_telephone(stereo: &[i16], rate: u32) -> Vec<i16> {
    let mono: Vec<f64> = stereo
        .chunks_exact(2)
        .map(|pair| (f64::from(pair[0]) + f64::from(pair[1])) / 2.0)
        .collect();
    let samples =
        mono.len() * usize::try_from(RATE).expect("fits") / usize::try_from(rate).expect("fits");
    (0_u32..)
        .take(samples)
        .map(|at| {
            let place = u64::from(at) * u64::from(rate);
            let index = usize::try_from(place / u64::from(RATE)).expect("within the tune");
            let part = phase(place);
            let next = mono.get(index + 1).unwrap_or(&mono[0]);
            to_sample(mono[index] * (1.0 - part) + next * part)
        })
        .collect()
}

/// Writes 16-bit PCM.
///
/// # Panics
/// If the file cannot be written.
pub fn write_wav(path: &Path, channels: u16, rate: u32, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = hound::WavWriter::create(path, spec).expect("the test's folder can be written");
    samples.iter().for_each(|&s| file.write_sample(s).expect("the test's folder can be written"));
    file.finalize().expect("the test's folder can be written");
}

/// A recording taken apart: what stands left, what stands right.
#[derive(Debug)]
pub struct Stereo {
    pub left: Vec<i16>,
    pub right: Vec<i16>,
}

impl Stereo {
    /// Milliseconds of audio at the telephone's rate.
    pub fn length_ms(&self) -> f64 {
        count(&self.left) * 1_000.0 / f64::from(RATE)
    }
}

/// Reads a recording as any player would.
///
/// # Panics
/// If the bytes are not a WAV file of two channels at 8 kHz, 16 bits.
pub fn read_recording(bytes: &[u8]) -> Stereo {
    let mut file = hound::WavReader::new(bytes).expect("a recording is a WAV file");
    assert_eq!(file.spec().channels, 2, "a recording is stereo");
    assert_eq!(file.spec().sample_rate, RATE, "a recording has the telephone's rate");
    let samples: Vec<i16> =
        file.samples().collect::<Result<_, _>>().expect("a recording holds what its header says");
    let side = |offset| samples.iter().skip(offset).step_by(2).copied().collect();
    Stereo { left: side(0), right: side(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_laws_have_the_values_of_the_standard() {
        // G.711 tables 1a and 2a, first and last value of a few segments, positive and negative.
        let a =
            [(0xd5, 8), (0x55, -8), (0xaa, 32_256), (0x2a, -32_256), (0xc5, 264), (0x80, 5_504)];
        let mu =
            [(0xff, 0), (0x80, 32_124), (0x00, -32_124), (0xef, 132), (0x6f, -132), (0xf0, 120)];

        for (byte, value) in a {
            assert_eq!(Law::A.decode(byte), value, "A-law {byte:#x}");
        }
        for (byte, value) in mu {
            assert_eq!(Law::Mu.decode(byte), value, "mu-law {byte:#x}");
        }
    }

    #[test]
    fn every_code_survives_decoding_and_encoding() {
        for byte in 0..=u8::MAX {
            assert_eq!(Law::A.encode(Law::A.decode(byte)), byte);
            // Negative zero of the mu-law has no linear value of its own.
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(Law::Mu.encode(Law::Mu.decode(byte)), expected);
        }
    }

    #[test]
    fn a_companded_tone_is_found_and_no_other() {
        for law in [Law::A, Law::Mu] {
            let heard: Vec<i16> =
                sine(425.0, 0, 8_000).into_iter().map(|s| law.decode(law.encode(s))).collect();

            assert!(share(&heard, 425.0) > 0.95, "{law:?}: {}", share(&heard, 425.0));
            assert!(share(&heard, 700.0) < 0.01, "{law:?}: {}", share(&heard, 700.0));
        }
    }

    #[test]
    fn a_leap_in_phase_is_no_other_tone_and_half_a_talk_is_not_most_of_it() {
        let leap = [sine(425.0, 0, 4_000), sine(425.0, 0, 4_000)].concat();
        let half = [sine(425.0, 0, 4_000), sine(700.0, 4_000, 4_800)].concat();

        assert!(share(&leap, 425.0) < 0.9, "{}", share(&leap, 425.0));
        assert!(mostly(&leap, 425.0) > 0.95, "{}", mostly(&leap, 425.0));
        assert!(mostly(&half, 425.0) < 0.01, "{}", mostly(&half, 425.0));
        assert!(mostly(&leap[..700], 425.0) < 0.01, "less than a window holds nothing");
    }

    #[test]
    fn silence_has_no_share_of_any_tone() {
        assert!(share(&[0; 4_000], 425.0) < 0.01);
        assert!(level_dbfs(&[0; 4_000]) < -100.0);
    }

    #[test]
    fn a_tune_is_known_again_from_any_second_and_at_any_level() {
        let tune = to_telephone(&waltz(44_100), 44_100);
        let second: Vec<i16> = tune.iter().skip(20_123).take(8_000).map(|&s| s / 3).collect();
        let wrapped: Vec<i16> = tune.iter().cycle().skip(44_000).take(8_000).copied().collect();

        assert!(likeness(&second, &tune) > 0.99);
        assert!(likeness(&wrapped, &tune) > 0.99);
    }

    #[test]
    fn another_tune_a_tone_and_silence_are_not_taken_for_the_tune() {
        let tune = to_telephone(&waltz(44_100), 44_100);
        let slower = to_telephone(&waltz(44_100), 40_000);

        for (name, other) in
            [("slower", slower), ("tone", sine(523.0, 0, 8_000)), ("silence", vec![0; 8_000])]
        {
            let found = likeness(&other[..8_000], &tune);
            assert!(found < 0.7, "{name}: {found}");
        }
    }
}
