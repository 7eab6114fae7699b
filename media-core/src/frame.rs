//! Twenty milliseconds of telephone audio: the one unit everything here counts in.

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
