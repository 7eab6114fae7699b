//! Twenty milliseconds of telephone audio: the one unit everything here counts in.

use serde::{Deserialize, Serialize};

/// Samples in a frame: 20 ms at 8 kHz.
pub const SAMPLES: usize = 160;

/// The same as a step of an RTP timestamp (RFC 3551 §4.5.14: the clock is 8000 Hz).
pub const STEP: u32 = 160;

/// How long a frame lasts.
pub const FRAME_MS: u64 = 20;

/// How long a frame lasts.
pub const FRAME_US: u64 = 20_000;

/// 20 ms of mono linear PCM at 8 kHz, 320 bytes.
pub type Frame = [i16; SAMPLES];

/// 20 ms of G.711, 160 bytes.
pub type Packed = [u8; SAMPLES];

/// Nobody says anything.
pub const SILENCE: Frame = [0; SAMPLES];

/// How many samples a second audio has between decoding and encoding. Mono, 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Rate {
    /// Narrowband: G.711 and what recordings hold.
    Hz8000,
    /// Wideband: G.722, and what Opus is spoken at by default.
    Hz16000,
    /// Fullband.
    Hz48000,
}

impl Rate {
    /// Samples of one frame of 20 ms.
    pub const fn samples(self) -> usize {
        SAMPLES * self.factor()
    }

    /// Samples while one passes at 8 kHz.
    pub const fn factor(self) -> usize {
        match self {
            Self::Hz8000 => 1,
            Self::Hz16000 => 2,
            Self::Hz48000 => 6,
        }
    }

    pub const fn hertz(self) -> u32 {
        match self {
            Self::Hz8000 => 8_000,
            Self::Hz16000 => 16_000,
            Self::Hz48000 => 48_000,
        }
    }
}

/// Samples of the longest frame: 20 ms at 48 kHz.
pub const SAMPLES_MAX: usize = 960;
