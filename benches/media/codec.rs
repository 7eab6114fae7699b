//! What libopus alone asks for: one frame of 20 ms encoded and one decoded, of the same speech.

use clavija_benches::{
    cpu,
    load::{sip::Format, voice},
};
use opus::{Channels, Decoder};
use std::{error::Error, hint::black_box};

const WIDE: usize = 320;
/// Frames of one turn: 20 s of speech.
const FRAMES: usize = 1_000;

/// CPU time of a frame each way, in nanoseconds.
pub(crate) fn opus_ns() -> Result<f64, Box<dyn Error>> {
    let speech = voice::speech(16_000, 200 * WIDE);
    let canned = voice::Canned::speech(Format::Opus)?;
    let mut encoder = voice::opus_encoder()?;
    let mut decoder = Decoder::new(16_000, Channels::Mono)?;
    let (mut packet, mut frame) = ([0; 400], [0; WIDE]);
    let mut turn = |frames: usize| {
        cpu::span(|| {
            let said = speech.chunks_exact(WIDE).cycle().zip(canned.packets().iter().cycle());
            for (samples, came) in said.take(frames) {
                // Frames of the right length and packets of libopus's own: it refuses none.
                _ = black_box(encoder.encode(samples, &mut packet));
                _ = black_box(decoder.decode(came, &mut frame, false));
            }
        })
    };
    turn(FRAMES / 5);
    Ok(turn(FRAMES).as_secs_f64() * 1e9 / FRAMES as f64)
}
