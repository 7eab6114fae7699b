//! Something like speech, made from nothing: voiced syllables, hisses and pauses.

#![allow(clippy::cast_possible_truncation, reason = "figures of a few thousand")]

use super::Dice;

/// So many samples of it. The same seed says the same.
pub(crate) fn speech(samples: usize, seed: u64) -> Vec<i16> {
    let mut dice = Dice(seed);
    let mut said = Vec::with_capacity(samples);
    let mut turn = 0.0_f64;
    while said.len() < samples {
        // A syllable of 120 to 300 ms; one in six is a hiss, one in five is followed by a pause.
        let length = 960 + dice.roll(1_440) as usize;
        let (pitch, glide) = (90.0 + dice.roll(90) as f64, dice.roll(40) as f64 - 20.0);
        let formants = [300.0 + dice.roll(500) as f64, 900.0 + dice.roll(1_300) as f64];
        let hiss = dice.roll(6) == 0;
        let strengths: [f64; 23] = std::array::from_fn(|n| {
            let harmonic = (n + 1) as f64;
            let near = |formant: f64| (-((harmonic * pitch - formant) / 250.0).powi(2)).exp();
            2_500.0 * (0.15 / harmonic + formants.iter().map(|f| near(*f)).sum::<f64>())
        });
        for n in 0..length {
            let part = n as f64 / length as f64;
            let envelope = (std::f64::consts::PI * part).sin().sqrt();
            turn += (pitch + glide * part) / 8_000.0;
            let sample = if hiss {
                1_500.0 * (dice.roll(2_001) as f64 / 1_000.0 - 1.0)
            } else {
                let phases = (1..24).map(|n| std::f64::consts::TAU * turn.fract() * f64::from(n));
                strengths.iter().zip(phases).map(|(strength, phase)| strength * phase.sin()).sum()
            };
            said.push((envelope * sample) as i16);
        }
        if dice.roll(5) == 0 {
            said.extend(std::iter::repeat_n(0, 800 + dice.roll(3_200) as usize));
        }
    }
    said.truncate(samples);
    said
}

/// Segmental signal-to-noise ratio: the mean over 20 ms of speech, each between -10 and 35 dB.
pub(crate) fn segmental_snr_db(said: &[i16], heard: &[i16]) -> f64 {
    let power = |all: &mut dyn Iterator<Item = f64>| all.map(|x| x * x).sum::<f64>();
    mean(said.chunks(160).zip(heard.chunks(160)).filter_map(|(said, heard)| {
        let signal = power(&mut said.iter().map(|s| f64::from(*s)));
        let noise = power(&mut said.iter().zip(heard).map(|(s, h)| f64::from(*s) - f64::from(*h)));
        let speaks = signal > 160.0 * 200.0 * 200.0;
        speaks.then(|| (10.0 * (signal / noise.max(1.0)).log10()).clamp(-10.0, 35.0))
    }))
}

/// Log-spectral distance: how far the spectra of 20 ms of speech are apart, in dB.
pub(crate) fn spectral_distance_db(said: &[i16], heard: &[i16]) -> f64 {
    mean(said.chunks_exact(160).zip(heard.chunks_exact(160)).filter_map(|(said, heard)| {
        let (said, heard) = (spectrum(said), spectrum(heard));
        let speaks = said.iter().sum::<f64>() > 40.0 * 200.0 * 200.0;
        let squares = said.iter().zip(heard).map(|(s, h)| (10.0 * (s / h).log10()).powi(2));
        speaks.then(|| (squares.sum::<f64>() / 39.0).sqrt())
    }))
}

/// Power in 39 bands of 100 Hz, never less than that of a whisper.
fn spectrum(frame: &[i16]) -> [f64; 39] {
    std::array::from_fn(|band| {
        let step = std::f64::consts::TAU * 100.0 * (band + 1) as f64 / 8_000.0;
        let (mut real, mut imaginary) = (0.0, 0.0);
        for (n, sample) in frame.iter().enumerate() {
            let (turn, sample) = (step * n as f64, f64::from(*sample));
            real += sample * turn.cos();
            imaginary += sample * turn.sin();
        }
        ((real * real + imaginary * imaginary) / 160.0).max(1_000.0)
    })
}

fn mean(all: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = all.fold((0.0, 0.0), |(sum, count), one| (sum + one, count + 1.0));
    sum / count
}
