//! Comfort noise in the place of silence (RFC 3389 §5): the same stream, its time going on, one small packet
//! every 200 ms.

use super::{Path, Send, Wire, fill};
use crate::{
    codec::g711,
    engine::Out,
    frame::{Packed, STEP},
    order::Law,
    rtp::header,
};

/// How long there has been nothing to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    /// Frames on end, as many of them as matter.
    frames: u8,
    /// The far side was told last that nothing is said.
    is_told: bool,
}

impl Quiet {
    pub(super) const NOT: Self = Self { frames: 0, is_told: false };

    /// Something is said.
    pub(super) const fn end(&mut self) {
        self.frames = 0;
    }

    /// One more frame of nothing. None: it is sent like any other; else whether it is time to say how soft.
    const fn go_on(&mut self) -> Option<bool> {
        self.frames += 1;
        if self.frames <= BEFORE {
            return None;
        }
        let tells = self.frames == BEFORE + 1;
        if self.frames == BEFORE + EVERY {
            self.frames = BEFORE;
        }
        self.is_told = true;
        Some(tells)
    }
}

impl Send {
    /// A frame of silence passes as comfort noise. False: it has to be sent as a frame, for the far side has not
    /// agreed, or it has not been silent for long.
    pub(super) fn comfort(
        &mut self,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
        level: impl FnOnce() -> u8,
    ) -> bool {
        if !path.comforts || path.codec.bare().is_none() {
            self.quiet.end();
            return false;
        }
        let Some(tells) = self.quiet.go_on() else { return false };
        if tells {
            // RFC 3389 §4: the marker stands where speech begins, not here.
            let header = self.header(PAYLOAD_TYPE, false, self.stream.timestamp);
            let mut bytes = [0; header::LENGTH + 1];
            fill(&mut bytes, &header, |into| into.copy_from_slice(&[level()]));
            self.hand_over(&bytes, path, wire);
        }
        self.skip_frame(STEP);
        true
    }

    /// The packet that leaves next is the first one, or the first after comfort noise (RFC 3551 §4.1).
    pub(super) const fn begins(&mut self) -> bool {
        let after_comfort = std::mem::replace(&mut self.quiet.is_told, false);
        self.packets == 0 || after_comfort
    }
}

/// How loud a frame of background is, in decibels below a full square wave (RFC 3389 §3.1).
pub(super) fn level(law: Law, frame: &Packed, table: Option<&[u8; 256]>) -> u8 {
    let heard = |code: &u8| table.map_or(*code, |table| table[usize::from(*code)]);
    let energy = |code: &u8| i64::from(g711::decode(law, heard(code))).pow(2);
    let power = frame.iter().map(energy).sum::<i64>() / frame.len().max(1) as i64;
    // A-law has no softer word than eight.
    if power <= 64 {
        return SOFTEST;
    }
    // A full square wave has 2^30; 3.01 dB are a factor of two.
    let below = FULL / f64::from(u32::try_from(power).unwrap_or(u32::MAX));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a cast from a float stays in range"
    )]
    let level = (10.0 * below.log10()).round() as u8;
    level.min(SOFTEST)
}

/// Nothing is softer.
pub(super) const SOFTEST: u8 = 127;

const FULL: f64 = (1_u32 << 30) as f64;

/// RFC 3551 §6.
const PAYLOAD_TYPE: u8 = 13;

/// Frames of silence that are sent as such first, so that a breath is none: 200 ms.
const BEFORE: u8 = 10;

/// Frames from one packet to the next: 200 ms, so that no binding in a NAT and no far side's patience ends.
const EVERY: u8 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_loud_as_a_far_side_would_make_it() {
        let of = |sample: i16| {
            let frame = [g711::encode(Law::Mu, sample); 160];
            level(Law::Mu, &frame, None)
        };

        assert_eq!((of(32_000), of(3_276), of(327), of(0)), (0, 20, 40, SOFTEST));
        assert_eq!(level(Law::A, g711::silence(Law::A), None), SOFTEST);
        let table = g711::translation(Law::A, Law::Mu).unwrap();
        let soft = [g711::encode(Law::A, 327); 160];
        assert_eq!(level(Law::Mu, &soft, Some(table)), 40);
    }
}
