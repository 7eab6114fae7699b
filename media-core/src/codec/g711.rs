//! ITU-T G.711, both laws, and the way from one law to the other, by table.

use crate::{
    frame::{Packed, SAMPLES},
    order::Law,
};

/// 16-bit linear PCM of one code word.
pub const fn decode(law: Law, code: u8) -> i16 {
    match law {
        Law::A => DECODE_A[code as usize],
        Law::Mu => DECODE_MU[code as usize],
    }
}

/// The code word of a 16-bit linear sample.
pub const fn encode(law: Law, sample: i16) -> u8 {
    match law {
        Law::A => encode_a(sample),
        Law::Mu => encode_mu(sample),
    }
}

/// The table that turns code words of one law into the other's; none where nothing changes.
pub const fn translation(from: Law, to: Law) -> Option<&'static [u8; 256]> {
    match (from, to) {
        (Law::A, Law::A) | (Law::Mu, Law::Mu) => None,
        (Law::A, Law::Mu) => Some(&A_TO_MU),
        (Law::Mu, Law::A) => Some(&MU_TO_A),
    }
}

/// 20 ms in which nobody says anything.
pub const fn silence(law: Law) -> &'static Packed {
    match law {
        Law::A => &[SILENCE_A; SAMPLES],
        Law::Mu => &[SILENCE_MU; SAMPLES],
    }
}

const SILENCE_A: u8 = 0xD5;
const SILENCE_MU: u8 = 0xFF;

static DECODE_A: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = expand_a(byte(code));
        code += 1;
    }
    table
};

static DECODE_MU: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = expand_mu(byte(code));
        code += 1;
    }
    table
};

static A_TO_MU: [u8; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = encode_mu(expand_a(byte(code)));
        code += 1;
    }
    table
};

static MU_TO_A: [u8; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        table[code] = encode_a(expand_mu(byte(code)));
        code += 1;
    }
    // Both laws have their own silence; a decoded mu-law zero would be A-law's smallest step.
    table[SILENCE_MU as usize] = SILENCE_A;
    table
};

#[expect(clippy::cast_possible_truncation, reason = "callers count from 0 to 255")]
const fn byte(code: usize) -> u8 {
    code as u8
}

/// ITU-T G.711 table 1: even bits inverted, sign, three bits of segment, four of place.
const fn expand_a(code: u8) -> i16 {
    let code = code ^ 0x55;
    let place = ((code & 0x0F) as i16) << 4;
    let magnitude = match (code & 0x70) >> 4 {
        0 => place + 0x08,
        segment => (place + 0x108) << (segment - 1),
    };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

/// ITU-T G.711 table 2: all bits inverted; segments begin at a bias of 132.
const fn expand_mu(code: u8) -> i16 {
    let code = !code;
    let biased = (((code & 0x0F) as i16) << 3) + MU_BIAS;
    let magnitude = (biased << ((code & 0x70) >> 4)) - MU_BIAS;
    if code & 0x80 != 0 { -magnitude } else { magnitude }
}

const MU_BIAS: i16 = 0x84;

/// Beyond this a biased sample would leave the last segment.
const MU_CLIP: u16 = 32_635;

const fn encode_a(sample: i16) -> u8 {
    let (sign, magnitude) =
        if sample >= 0 { (0x80, sample.unsigned_abs()) } else { (0, !sample.cast_unsigned()) };
    let magnitude = magnitude >> 4; // 0..=2047: twelve bits and a sign are all the law knows.
    let code = if magnitude < 16 {
        magnitude
    } else {
        let segment = 12 - magnitude.leading_zeros();
        place(segment, magnitude >> (segment - 1))
    };
    (sign | low_byte(code)) ^ 0x55
}

const fn encode_mu(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x80 } else { 0 };
    let magnitude = sample.unsigned_abs();
    let clipped = if magnitude > MU_CLIP { MU_CLIP } else { magnitude };
    let biased = clipped + MU_BIAS.cast_unsigned();
    let segment = 8 - biased.leading_zeros();
    !(sign | low_byte(place(segment, biased >> (segment + 3))))
}

/// Segment and place within it as the low seven bits of a code word.
#[expect(clippy::cast_possible_truncation, reason = "a segment is 0 to 7")]
const fn place(segment: u32, steps: u16) -> u16 {
    ((segment as u16) << 4) | (steps & 0x0F)
}

const fn low_byte(word: u16) -> u8 {
    word.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_word_survives_decoding_and_encoding() {
        for code in 0..=255 {
            assert_eq!(encode(Law::A, decode(Law::A, code)), code, "A {code:#x}");
            // 0x7F and 0xFF are both zero in mu-law; the positive one is written.
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(encode(Law::Mu, decode(Law::Mu, code)), expected, "mu {code:#x}");
        }
    }

    /// Points of ITU-T G.711 tables 1a, 1b, 2a and 2b, scaled to 16 bits.
    #[test]
    fn known_points_of_the_recommendation_hold() {
        for (code, sample) in
            [(0xD5, 8), (0x55, -8), (0xAA, 32_256), (0x2A, -32_256), (0x80, 5_504)]
        {
            assert_eq!(decode(Law::A, code), sample, "A {code:#x}");
        }
        for (code, sample) in [(0xFF, 0), (0xFE, 8), (0x80, 32_124), (0x00, -32_124), (0xF0, 120)] {
            assert_eq!(decode(Law::Mu, code), sample, "mu {code:#x}");
        }
        assert_eq!((encode(Law::A, i16::MAX), encode(Law::A, i16::MIN)), (0xAA, 0x2A));
        assert_eq!((encode(Law::Mu, i16::MAX), encode(Law::Mu, i16::MIN)), (0x80, 0x00));
        assert_eq!((encode(Law::A, 0), encode(Law::Mu, 0)), (0xD5, 0xFF));
    }

    #[test]
    fn encoding_errs_by_at_most_half_a_step() {
        for sample in (i16::MIN..=i16::MAX).step_by(7) {
            for law in [Law::A, Law::Mu] {
                let error = i32::from(decode(law, encode(law, sample))) - i32::from(sample);
                // The widest step is 1024; mu-law clips up to 644 above its last level.
                let allowed = 16 + i32::from(sample).abs() / 31;
                assert!(error.abs() <= allowed, "{law:?} {sample}: {error}");
            }
        }
    }

    #[test]
    fn translating_there_and_back_stays_within_a_step() {
        for code in 0..=255_u8 {
            let there = translation(Law::A, Law::Mu).unwrap()[usize::from(code)];
            let back = translation(Law::Mu, Law::A).unwrap()[usize::from(there)];
            let (a, b) = (i32::from(decode(Law::A, code)), i32::from(decode(Law::A, back)));
            assert!((a - b).abs() <= 16 + a.abs() / 16, "{code:#x} became {back:#x}");
        }
        assert_eq!(translation(Law::Mu, Law::A).unwrap()[0xFF], 0xD5);
        assert!(translation(Law::A, Law::A).is_none());
    }
}
