//! The codec held against another implementation, and against itself.
//!
//! The checksums are those of what libg722 (the Python package G722 1.2) makes of the same samples and codes.

use super::*;

/// Noise, saw teeth and square waves of every loudness, in integers, so that anybody can make them.
fn signal() -> Vec<i16> {
    let mut state = 12_345_u32;
    (0..32_000_i32)
        .map(|n| {
            let noise = next(&mut state) - 16_384;
            let loud = n / 1_600 % 5;
            let saw = (n * (n / 4_000 * 37 + 97)) % 4_096 * 8 - 16_384;
            let sum = (saw * loud).div_euclid(4) + (noise * (4 - loud)).div_euclid(8);
            let square = if n / 40 % 2 == 1 { 32_767 } else { -32_768 };
            narrow(saturate(if n / 8_000 == 3 { square } else { sum }))
        })
        .collect()
}

fn next(state: &mut u32) -> i32 {
    *state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
    i32::try_from(*state >> 16 & 0x7FFF).unwrap()
}

fn checksum(samples: &[i16]) -> u32 {
    let bytes: Vec<_> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    crc32fast::hash(&bytes)
}

#[test]
fn every_code_and_sample_is_that_of_another_implementation() {
    let mut codes = vec![0; 16_000];
    Encoder::new().encode(&signal(), &mut codes);
    let mut samples = vec![0; 32_000];
    Decoder::new().decode(&codes, &mut samples);

    assert_eq!(codes[..8], [0x98, 0x2A, 0x8B, 0x28, 0x8C, 0x20, 0x04, 0x04]);
    assert_eq!((crc32fast::hash(&codes), checksum(&samples)), (0x819F_B714, 0x71F6_5573));
}

#[test]
fn codes_that_no_encoder_writes_are_decoded_as_elsewhere() {
    let mut state = 99;
    let codes: Vec<_> =
        (0..8_000).map(|_| u8::try_from(next(&mut state) & 0xFF).unwrap()).collect();
    let mut samples = vec![0; 16_000];

    Decoder::new().decode(&codes, &mut samples);

    assert_eq!(checksum(&samples), 0x824A_FD87);
}

#[test]
fn a_frame_at_a_time_is_the_same_as_all_at_once() {
    let (signal, mut whole, mut parts) = (signal(), vec![0; 16_000], vec![0; 16_000]);
    Encoder::new().encode(&signal, &mut whole);

    let mut encoder = Encoder::new();
    for (samples, codes) in signal.chunks(320).zip(parts.chunks_mut(160)) {
        encoder.encode(samples, codes);
    }

    assert_eq!(whole, parts);
}
