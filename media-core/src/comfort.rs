//! Comfort noise (RFC 3389): what is heard while a far side says that it says nothing.
//!
//! Its level is kept; its spectrum, which few senders tell, is white here.

use crate::{codec::g711, order::Law};

/// The background of one source. Allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comfort {
    /// Largest sample of the noise; 0: silence.
    loudest: u16,
    state: u32,
}

impl Comfort {
    pub(crate) const SILENCE: Self = Self { loudest: 0, state: 0x9E37_79B9 };

    /// Takes what a packet says: its first byte is the level in -dBov (§3.1), 127 the softest.
    pub(crate) fn take(&mut self, payload: &[u8]) {
        let Some(&level) = payload.first() else { return };
        // 6 dB are a factor of two, and even noise of this height is 4.8 dB softer than a square wave.
        let below = u32::from(level & 0x7F).saturating_sub(5);
        let height = STEPS.get(below as usize % 6).copied().unwrap_or(0);
        self.loudest = height.checked_shr(below / 6).unwrap_or(0);
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
        let random = i32::from(i16::from_le_bytes([a, b]));
        let sample = random * i32::from(self.loudest) / 32_768;
        g711::encode(law, i16::try_from(sample).unwrap_or(0))
    }
}

/// Full scale, and 1 to 5 dB below it.
const STEPS: [u16; 6] = [32_767, 29_204, 26_028, 23_197, 20_675, 18_426];

#[cfg(test)]
mod tests {
    use super::*;

    /// In decibels below a full square wave.
    fn level(payload: &[u8]) -> f64 {
        let mut comfort = Comfort::SILENCE;
        comfort.take(payload);
        let power: f64 = (0..8_000)
            .map(|_| (f64::from(g711::decode(Law::Mu, comfort.code(Law::Mu))) / 32_768.0).powi(2))
            .sum();
        -10.0 * (power / 8_000.0).log10()
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
