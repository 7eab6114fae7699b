//! Comfort noise (RFC 3389): what is heard while a far side says that it says nothing.
//!
//! Its level is kept, and its spectrum where the far side tells it; else it is white.

use crate::{codec::g711, order::Law};

/// The background of one source. Allocates nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Comfort {
    /// Largest sample of the noise while it is white; 0: silence.
    loudest: u16,
    state: u32,
    /// Of its spectrum; 0: white.
    order: usize,
    spectrum: [Stage; ORDER_MAX],
}

/// One stage of a normalised lattice: a rotation, which gives no more energy than it takes. Whatever a far
/// side writes, and however often it writes something else, the noise is no louder than it says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stage {
    sine: f32,
    cosine: f32,
    delayed: f32,
}

impl Stage {
    const NONE: Self = Self { sine: 0.0, cosine: 1.0, delayed: 0.0 };
}

impl Comfort {
    pub(crate) const SILENCE: Self =
        Self { loudest: 0, state: 0x9E37_79B9, order: 0, spectrum: [Stage::NONE; ORDER_MAX] };

    /// Takes what a packet says: its first byte is the level in -dBov (§3.1), 127 the softest; those behind
    /// are reflection coefficients (§3.2), of which a receiver may leave out the last ones.
    pub(crate) fn take(&mut self, payload: &[u8]) {
        let Some((&level, told)) = payload.split_first() else { return };
        // 6 dB are a factor of two, and even noise of this height is 4.8 dB softer than a square wave.
        let below = u32::from(level & 0x7F).saturating_sub(5);
        let height = STEPS.get(below as usize % 6).copied().unwrap_or(0);
        self.loudest = height.checked_shr(below / 6).unwrap_or(0);
        let told = told.iter().copied().take_while(|index| *index != RESERVED);
        let mut told = told.take(ORDER_MAX);
        self.order = 0;
        for stage in &mut self.spectrum {
            match told.next() {
                Some(index) => {
                    self.order += 1;
                    stage.sine = (f32::from(index) - 127.0) * (258.0 / 32_768.0);
                    stage.cosine = (1.0 - stage.sine * stage.sine).sqrt();
                }
                None => *stage = Stage::NONE,
            }
        }
    }

    /// The next code word.
    pub(crate) fn code(&mut self, law: Law) -> u8 {
        if self.loudest == 0 {
            return g711::silence(law)[0];
        }
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        let [a, b, ..] = self.state.to_le_bytes();
        let random = i16::from_le_bytes([a, b]);
        let white = f32::from(random) * f32::from(self.loudest) / 32_768.0;
        #[expect(clippy::cast_possible_truncation, reason = "a cast from a float stays in range")]
        let sample = self.shaped(white) as i16;
        g711::encode(law, sample)
    }

    /// As loud as what goes in, in the spectrum that was told.
    fn shaped(&mut self, white: f32) -> f32 {
        let mut forward = white;
        let mut backward_to: Option<&mut f32> = None;
        for Stage { sine, cosine, delayed } in self.spectrum.iter_mut().take(self.order).rev() {
            let backward = *sine * forward + *cosine * *delayed;
            forward = *cosine * forward - *sine * *delayed;
            if let Some(above) = backward_to.replace(delayed) {
                *above = backward;
            }
        }
        if let Some(first) = backward_to {
            *first = forward;
        }
        forward
    }
}

/// Full scale, and 1 to 5 dB below it.
const STEPS: [u16; 6] = [32_767, 29_204, 26_028, 23_197, 20_675, 18_426];

/// Ten coefficients are what G.711 Appendix II tells, twelve what browsers do at most.
const ORDER_MAX: usize = 12;

/// §3.2: an index kept for later; its coefficient would be beyond one.
const RESERVED: u8 = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(comfort: &mut Comfort, samples: usize) -> Vec<f64> {
        let mut next = || f64::from(g711::decode(Law::Mu, comfort.code(Law::Mu))) / 32_768.0;
        (0..samples).map(|_| next()).collect()
    }

    /// In decibels below a full square wave.
    fn below_full(samples: &[f64]) -> f64 {
        let power: f64 = samples.iter().map(|sample| sample.powi(2)).sum();
        -10.0 * (power / samples.len() as f64).log10()
    }

    fn level(payload: &[u8]) -> f64 {
        let mut comfort = Comfort::SILENCE;
        comfort.take(payload);
        below_full(&heard(&mut comfort, 8_000))
    }

    /// How like what comes `by` samples later is, from -1 to 1.
    fn likeness(samples: &[f64], by: usize) -> f64 {
        let of = |by: usize| -> f64 {
            samples.iter().zip(&samples[by..]).map(|(one, other)| one * other).sum()
        };
        of(by) / of(0)
    }

    /// The index of a coefficient.
    fn index(coefficient: f64) -> u8 {
        let index = (127.0 + coefficient * 32_768.0 / 258.0).round();
        let off = |known: &u8| (f64::from(*known) - index).abs();
        (0..=254).min_by(|one, other| off(one).total_cmp(&off(other))).unwrap()
    }

    #[test]
    fn the_noise_has_the_spectrum_the_far_side_tells_and_is_as_loud_as_without() {
        // A sender's first coefficient is the negative likeness of neighbours; the second is what is left.
        for (first, second) in [(-0.9, 0.0), (0.7, 0.0), (-0.5, 0.4), (0.0, -0.6)] {
            let mut comfort = Comfort::SILENCE;
            comfort.take(&[30, index(first), index(second)]);
            let heard = heard(&mut comfort, 40_000);

            let one = likeness(&heard, 1);
            assert!((one + first).abs() < 0.05, "{first} {second}: {one:.2}");
            let two = -first * -first * (1.0 + second) - second;
            assert!((likeness(&heard, 2) - two).abs() < 0.06, "{first} {second}");
            assert!((below_full(&heard) - 30.0).abs() < 1.5, "{first} {second}");
        }
        let mut comfort = Comfort::SILENCE;
        comfort.take(&[30, index(-0.9)]);
        comfort.take(&[30]);
        assert!(
            likeness(&heard(&mut comfort, 8_000), 1).abs() < 0.05,
            "and white where it tells none"
        );
    }

    #[test]
    fn no_spectrum_makes_the_noise_louder_than_it_is_said_to_be() {
        let edges: [&[u8]; 6] = [
            &[0; 12],
            &[254; 12],
            &[0, 254, 0, 254, 0, 254, 0, 254],
            &[255; 12],
            &[127, 255],
            &[7; 1_400],
        ];
        let loudest = |comfort: &mut Comfort, told: &[u8]| {
            comfort.take(&[&[40], told].concat());
            let heard = heard(comfort, 160);
            heard.iter().fold(0.0_f64, |most, sample| most.max(sample.abs()))
        };
        for told in edges {
            let mut comfort = Comfort::SILENCE;
            for _ in 0..200 {
                assert!(loudest(&mut comfort, told) < 0.2, "{told:?}");
            }
        }
        let mut comfort = Comfort::SILENCE;
        for n in 0..2_000 {
            assert!(loudest(&mut comfort, edges[n % 6]) < 0.2, "one after the other: {n}");
        }
        assert!(below_full(&heard(&mut comfort, 8_000)).is_finite());
    }

    #[test]
    fn the_noise_is_as_loud_as_the_far_side_says() {
        for told in [10, 20, 33, 45, 55] {
            let heard = level(&[told]);
            assert!((heard - f64::from(told)).abs() < 1.5, "{told}: {heard:.1}");
        }
        assert!(level(&[0x80 | 20]) > 18.0, "the first bit is reserved");
    }

    #[test]
    fn the_softest_is_silence_and_an_empty_packet_changes_nothing() {
        assert!(level(&[127]) > 70.0 && level(&[]) > 70.0);
    }
}
