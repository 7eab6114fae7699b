//! What the demo's two people say and how it is known what they heard: tones, and the share of
//! power at one.

use media_core::frame::{FRAME_MS, SAMPLES};
use std::f64::consts::TAU;

const RATE: f64 = 8_000.0;
/// Samples of a tenth of a second.
const TENTH: usize = 800;
/// A quarter of full scale.
const LOUDNESS: f64 = 8_000.0;
/// Below it is silence: one step of G.711, and the noise of its rounding.
const SILENCE_POWER: f64 = 2_500.0;

/// A sine that goes on from frame to frame.
#[derive(Debug)]
pub(crate) struct Tone {
    hz: f64,
    sample: u32,
}

impl Tone {
    pub(crate) fn new(hz: f64) -> Self {
        Self { hz, sample: 0 }
    }

    /// The next 20 ms.
    pub(crate) fn frame(&mut self) -> [i16; SAMPLES] {
        std::array::from_fn(|_| {
            let seconds = f64::from(self.sample) / RATE;
            // Whole hertz begin anew every second.
            self.sample = (self.sample + 1) % 8_000;
            to_sample(LOUDNESS * (TAU * self.hz * seconds).sin())
        })
    }
}

/// Whether anything at all is heard.
pub(crate) fn is_audible(pcm: &[i16]) -> bool {
    let power: f64 = pcm.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    power > SILENCE_POWER * count(pcm)
}

/// Which part of all power lies at `hz`: near 1 for a pure tone, near 0 without it (Goertzel).
pub(crate) fn share(pcm: &[i16], hz: f64) -> f64 {
    let turn = 2.0 * (TAU * hz / RATE).cos();
    let (mut last, mut before, mut total) = (0.0, 0.0, 0.0);
    for &sample in pcm {
        let sample = f64::from(sample);
        total += sample * sample;
        (last, before) = (sample + turn * last - before, last);
    }
    let power = last * last + before * before - turn * last * before;
    power / (total * count(pcm) / 2.0 + 1.0)
}

/// The share in the middling tenth of a second: a gap or a jump of the phase, as a busy host makes
/// them, spoils its own tenth and no other.
pub(crate) fn usual_share(pcm: &[i16], hz: f64) -> f64 {
    let mut shares: Vec<f64> = pcm.chunks(TENTH).map(|tenth| share(tenth, hz)).collect();
    shares.sort_by(f64::total_cmp);
    shares.get(shares.len() / 2).copied().unwrap_or_default()
}

/// Milliseconds of audio in so many samples.
pub(crate) fn millis(samples: usize) -> u64 {
    u64::try_from(samples / SAMPLES).unwrap_or(u64::MAX).saturating_mul(FRAME_MS)
}

/// A short melody that repeats, as a 16-bit mono WAV at 8 kHz: what a site would bring as its own.
pub(crate) fn melody_wav() -> Vec<u8> {
    const NOTES: [f64; 8] = [392.0, 494.0, 587.0, 494.0, 523.0, 440.0, 494.0, 392.0];
    const NOTE_SAMPLES: u32 = 2_400;
    let note = |hz: f64| {
        (0..NOTE_SAMPLES).map(move |at| {
            let place = f64::from(at) / f64::from(NOTE_SAMPLES);
            let swell = (std::f64::consts::PI * place).sin();
            to_sample(0.6 * LOUDNESS * swell * (TAU * hz * f64::from(at) / RATE).sin())
        })
    };
    let samples: Vec<u8> = NOTES.into_iter().flat_map(note).flat_map(i16::to_le_bytes).collect();
    let length = u32::try_from(samples.len()).expect("a melody of seconds");
    let mut wav = b"RIFF".to_vec();
    wav.extend((36 + length).to_le_bytes());
    // PCM, one channel, 8000 samples and 16000 bytes a second, 2 bytes and 16 bits a sample.
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data");
    wav.extend(length.to_le_bytes());
    wav.extend(samples);
    wav
}

fn count(pcm: &[i16]) -> f64 {
    f64::from(u32::try_from(pcm.len()).unwrap_or(u32::MAX))
}

fn to_sample(value: f64) -> i16 {
    #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
    let sample = value.round() as i16;
    sample
}

#[cfg(test)]
mod tests {
    use super::*;
    use media_core::music::Tune;

    fn second_of(hz: f64) -> Vec<i16> {
        let mut tone = Tone::new(hz);
        (0..50).flat_map(|_| tone.frame()).collect()
    }

    #[test]
    fn a_tone_is_told_from_another_and_from_silence() {
        let tone = second_of(440.0);

        assert!(share(&tone, 440.0) > 0.9 && share(&tone, 660.0) < 0.1);
        assert!(is_audible(&tone) && !is_audible(&[8; 8_000]) && !is_audible(&[]));
        assert_eq!(millis(tone.len()), 1_000);
    }

    #[test]
    fn a_gap_and_a_jump_of_the_phase_spoil_their_tenth_of_a_second_only() {
        let mut tone = second_of(440.0);
        tone[1_000..1_160].fill(0);
        tone.drain(4_000..4_009);

        assert!(share(&tone, 440.0) < 0.8, "the whole is out of phase with itself");
        assert!(usual_share(&tone, 440.0) > 0.9 && usual_share(&tone, 660.0) < 0.1);
        assert_eq!(usual_share(&[], 440.0), 0.0);
    }

    #[test]
    fn two_tones_at_once_are_heard_as_half_each() {
        let both: Vec<i16> =
            second_of(440.0).iter().zip(second_of(660.0)).map(|(a, b)| a / 2 + b / 2).collect();

        assert!((share(&both, 440.0) - 0.5).abs() < 0.1);
    }

    #[test]
    fn the_melody_is_a_file_the_appliance_can_play() {
        let tune = Tune::import(&melody_wav()).unwrap().tune;

        assert_eq!(tune.frames(), 8 * 2_400 / 160);
    }
}
