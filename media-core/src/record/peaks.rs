//! What a player draws of a recording: the least and the most of each channel, 100 ms at a time.

use std::fmt::Write;

/// Frames of 20 ms under one pixel.
pub const FRAMES_PER_PIXEL: u32 = 5;

/// Pairs of samples under one pixel.
pub const SAMPLES_PER_PIXEL: u32 = 160 * FRAMES_PER_PIXEL;

/// Bytes of one pixel: least and most of the left channel, then of the right one, in 8 bits.
pub const PIXEL_BYTES: usize = 4;

/// Is told frames and keeps pixels; what it is not told is silence.
#[derive(Clone, Debug, Default)]
pub struct Peaks {
    pixels: Vec<[i8; PIXEL_BYTES]>,
}

impl Peaks {
    /// Interleaved 16-bit samples of whole frames, the first of which is this one of the time line.
    pub fn hear(&mut self, frame: u32, samples: &[u8]) {
        for (frame, samples) in (frame..).zip(samples.chunks(640)) {
            let at = (frame / FRAMES_PER_PIXEL) as usize;
            if self.pixels.len() <= at {
                self.pixels.resize(at + 1, [0; PIXEL_BYTES]);
            }
            let Some([left_least, left_most, right_least, right_most]) = self.pixels.get_mut(at)
            else {
                continue;
            };
            // Byte by byte side by side, which compilers turn into few instructions.
            let (mut least, mut most) = ([0; 32], [0; 32]);
            for bytes in samples.as_chunks::<32>().0 {
                for ((least, most), byte) in least.iter_mut().zip(&mut most).zip(bytes) {
                    let byte = byte.cast_signed();
                    (*least, *most) = (byte.min(*least), byte.max(*most));
                }
            }
            // The upper byte of a little-endian sample: eight bits are what is drawn.
            for (&[_, left, _, right], &[_, most_left, _, most_right]) in
                least.as_chunks::<4>().0.iter().zip(most.as_chunks::<4>().0)
            {
                (*left_least, *left_most) = (left.min(*left_least), most_left.max(*left_most));
                (*right_least, *right_most) =
                    (right.min(*right_least), most_right.max(*right_most));
            }
        }
    }

    /// All pixels of a recording of so many frames.
    pub fn into_bytes(mut self, frames: u64) -> Vec<u8> {
        let pixels = frames.div_ceil(u64::from(FRAMES_PER_PIXEL));
        self.pixels.resize(usize::try_from(pixels).unwrap_or(0), [0; PIXEL_BYTES]);
        self.pixels.as_flattened().iter().map(|peak| peak.cast_unsigned()).collect()
    }
}

/// The same as players read them: the JSON form of audiowaveform, which wavesurfer takes too.
pub fn to_json(pixels: &[u8]) -> String {
    let length = pixels.len() / PIXEL_BYTES;
    let mut json = format!(
        r#"{{"version":2,"channels":2,"sample_rate":8000,"samples_per_pixel":{SAMPLES_PER_PIXEL},"bits":8,"length":{length},"data":["#
    );
    for (at, peak) in pixels.iter().take(length * PIXEL_BYTES).enumerate() {
        // Writing to a string cannot fail.
        let _written = write!(json, "{}{}", if at == 0 { "" } else { "," }, peak.cast_signed());
    }
    json.push_str("]}");
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(left: i16, right: i16) -> Vec<u8> {
        let mut bytes = vec![];
        for at in 0..160 {
            let sign = if at % 2 == 0 { 1 } else { -1 };
            bytes.extend((left * sign).to_le_bytes());
            bytes.extend((right * sign).to_le_bytes());
        }
        bytes
    }

    #[test]
    fn a_pixel_is_the_least_and_the_most_of_100_ms_of_each_channel_and_gaps_are_flat() {
        let mut peaks = Peaks::default();
        peaks.hear(0, &frame(256, 512));
        peaks.hear(4, &frame(2560, 0).repeat(2));
        peaks.hear(16, &frame(0, i16::MAX));

        let bytes = peaks.into_bytes(23);

        let pixels: Vec<[i8; 4]> =
            bytes.as_chunks().0.iter().map(|pixel: &[u8; 4]| pixel.map(u8::cast_signed)).collect();
        let json = to_json(&bytes[..8]);
        let (head, data) = json.split_once(",\"length\":2,\"data\":").unwrap();
        assert!(head.ends_with("\"samples_per_pixel\":800,\"bits\":8"), "{head}");
        assert_eq!(data, "[-10,10,-2,2,-10,10,0,0]}");
        assert_eq!(pixels, [[-10, 10, -2, 2], [-10, 10, 0, 0], [0; 4], [0, 0, -128, 127], [0; 4]]);
    }
}
