//! What the ends say where their packets are not looked into on the way: speech made beforehand in any
//! format, and impulses whose way through a box that decodes can be timed.

use crate::load::sip::Format;
use opus::{Application, Bitrate, Channels, Signal};
use std::{error::Error, f64::consts::TAU, sync::Arc, time::Duration};

/// What an end says.
#[derive(Clone, Debug)]
pub enum Voice {
    /// Number and time in every packet: for who passes on what came.
    Stamped,
    Canned(Arc<Canned>),
}

/// Packets made beforehand, said round and round.
#[derive(Debug)]
pub struct Canned {
    packets: Vec<Vec<u8>>,
    /// The first packet of a round has an impulse, so far behind its beginning once it is decoded.
    impulse: Option<Duration>,
}

/// Packets of a round of speech: 4 s.
const SPEECH: usize = 200;
/// An impulse every half second.
const BETWEEN: usize = 25;
/// Samples of 20 ms at 8 and at 16 kHz.
const NARROW: usize = 160;
const WIDE: usize = 320;
/// In a frame of 16 kHz: where the impulse begins and how long it is.
const IMPULSE_AT: usize = 160;
const IMPULSE_LONG: usize = 80;
const LOUD: i16 = 20_000;
/// Louder than a quarter of that, in code words of A-law: 64 of 127.
const HEARD: u8 = 0x50;

impl Canned {
    pub fn speech(format: Format) -> Result<Arc<Self>, Box<dyn Error>> {
        let packets = match format {
            Format::G711 => speech(8_000, SPEECH * NARROW)
                .chunks_exact(NARROW)
                .map(|said| said.iter().map(|&s| a_law(s)).collect())
                .collect(),
            // Any byte is a code: what is said does not change what it costs.
            Format::G722 => {
                let mut dice = 7_u32;
                let mut byte = || {
                    dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    dice.to_be_bytes()[0]
                };
                (0..SPEECH).map(|_| (0..NARROW).map(|_| byte()).collect()).collect()
            }
            Format::Opus => opus_packets(&speech(16_000, SPEECH * WIDE))?,
        };
        Ok(Arc::new(Self { packets, impulse: None }))
    }

    /// Silence with an impulse every half second; not in G.722.
    pub fn impulses(format: Format) -> Result<Arc<Self>, Box<dyn Error>> {
        let mut wide = vec![0; BETWEEN * WIDE];
        wide[IMPULSE_AT..IMPULSE_AT + IMPULSE_LONG].fill(LOUD);
        let (packets, offset) = match format {
            Format::G711 => {
                let narrow: Vec<u8> = wide.iter().step_by(2).map(|&sample| a_law(sample)).collect();
                (narrow.chunks_exact(NARROW).map(<[u8]>::to_vec).collect(), IMPULSE_AT)
            }
            Format::Opus => {
                let packets = opus_packets(&wide.repeat(2))?.split_off(BETWEEN);
                let offset = first_loud(&packets)?;
                (packets, offset)
            }
            Format::G722 => return Err("no impulses in G.722".into()),
        };
        let impulse = Some(Duration::from_secs(1) * u32::try_from(offset)? / 16_000);
        Ok(Arc::new(Self { packets, impulse }))
    }

    pub fn silence(format: Format) -> Result<Arc<Self>, Box<dyn Error>> {
        let packets = match format {
            Format::G711 => vec![vec![0xD5; NARROW]],
            // Steps of nothing in both bands.
            Format::G722 => vec![vec![0xFA; NARROW]],
            Format::Opus => opus_packets(&[0; BETWEEN * WIDE])?,
        };
        Ok(Arc::new(Self { packets, impulse: None }))
    }

    /// The n-th packet of the end; and where its impulse will be.
    pub(super) fn packet(&self, number: u32) -> (&[u8], Option<Duration>) {
        let place = number as usize % self.packets.len();
        (&self.packets[place], self.impulse.filter(|_| place == 0))
    }

    pub fn packets(&self) -> &[Vec<u8>] {
        &self.packets
    }
}

/// Where in a packet of A-law an impulse begins.
pub(super) fn impulse(audio: &[u8]) -> Option<Duration> {
    let place = audio.iter().position(|code| (code ^ 0x55) & 0x7F >= HEARD)?;
    Some(Duration::from_secs(1) * u32::try_from(place).ok()? / 8_000)
}

/// The encoder as the box has it for who wishes for nothing: 16 kHz, 24 kbit/s, complexity 5.
pub fn opus_encoder() -> Result<opus::Encoder, opus::Error> {
    let mut encoder = opus::Encoder::new(16_000, Channels::Mono, Application::Voip)?;
    encoder.set_bitrate(Bitrate::Bits(24_000))?;
    encoder.set_signal(Signal::Voice)?;
    encoder.set_complexity(5)?;
    Ok(encoder)
}

fn opus_packets(wide: &[i16]) -> Result<Vec<Vec<u8>>, opus::Error> {
    let mut encoder = opus_encoder()?;
    wide.chunks_exact(WIDE).map(|frame| encoder.encode_vec(frame, 400)).collect()
}

/// The first sample of what comes out of a decoder that is loud enough to be told.
fn first_loud(packets: &[Vec<u8>]) -> Result<usize, Box<dyn Error>> {
    let mut decoder = opus::Decoder::new(16_000, Channels::Mono)?;
    let mut decoded = Vec::new();
    for packet in packets {
        let mut frame = [0; WIDE];
        let length = decoder.decode(packet, &mut frame, false)?;
        decoded.extend_from_slice(&frame[..length]);
    }
    let loud = |sample: &i16| (a_law(*sample) ^ 0x55) & 0x7F >= HEARD;
    Ok(decoded.iter().position(loud).ok_or("the impulse does not come through Opus")?)
}

/// Something like speech: voiced syllables of changing pitch and pauses. The same every time.
pub fn speech(rate: usize, samples: usize) -> Vec<i16> {
    let mut turn = 0.0_f64;
    let sample = |n: usize| {
        let time = n as f64 / rate as f64;
        let syllable = (time * 4.0).fract();
        let pitch = 120.0 + 30.0 * (TAU * time * 0.7).sin();
        turn = (turn + pitch / rate as f64).fract();
        let formant = 600.0 + 400.0 * (TAU * time * 1.3).sin();
        let harmonic = |k: f64| {
            let near = (-((k * pitch - formant) / 300.0).powi(2)).exp() + 0.2 / k;
            near * (TAU * turn * k).sin()
        };
        let voice: f64 = (1..20).map(|k| harmonic(f64::from(k))).sum();
        // Every fourth syllable is a pause.
        let is_pause = n * 4 / rate % 4 == 3;
        let envelope = if is_pause { 0.0 } else { (std::f64::consts::PI * syllable).sin() };
        narrow(3_000.0 * envelope * voice)
    };
    (0..samples).map(sample).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
const fn narrow(sample: f64) -> i16 {
    sample as i16
}

/// ITU-T G.711, A-law, written down a second time: the generator shares no code with the box.
#[expect(clippy::cast_possible_truncation, reason = "a segment and four bits are seven")]
fn a_law(sample: i16) -> u8 {
    let sign = if sample >= 0 { 0x80 } else { 0 };
    let magnitude = u32::from(sample.unsigned_abs()).min(32_767) >> 4;
    let segment = (32 - (magnitude >> 4).leading_zeros()).min(7);
    let step = if segment < 2 { magnitude } else { magnitude >> (segment - 1) };
    let code = (segment << 4) as u8 | (step & 0x0F) as u8;
    (code | sign) ^ 0x55
}

/// A WAV of 8 kHz.
pub fn wav(samples: &[i16]) -> Vec<u8> {
    let bytes = u32::try_from(2 * samples.len()).unwrap_or(u32::MAX);
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + bytes).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1F\0\0\x80\x3E\0\0\x02\0\x10\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    wav
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_law_of_the_generator_gives_the_codes_of_the_recommendation() {
        use media_core::{codec::g711, order::Law};
        for sample in (i16::MIN + 1..=i16::MAX).step_by(7) {
            let (ours, theirs) = (a_law(sample), g711::encode(Law::A, sample));
            let apart =
                i32::from(g711::decode(Law::A, ours)) - i32::from(g711::decode(Law::A, theirs));
            assert!(apart.abs() <= i32::from(sample).abs() / 16 + 16, "{sample}: {ours} {theirs}");
        }
    }

    #[test]
    fn an_impulse_is_found_in_the_packet_that_has_it_and_in_no_other() {
        let canned = Canned::impulses(Format::G711).expect("G.711");
        let found: Vec<_> = canned.packets().iter().map(|packet| impulse(packet)).collect();

        assert_eq!(found[0], Some(Duration::from_millis(10)));
        assert!(found[1..].iter().all(Option::is_none));
    }

    #[test]
    fn an_impulse_in_opus_comes_later_by_what_the_codec_looks_ahead() {
        let canned = Canned::impulses(Format::Opus).expect("libopus");

        let (_, offset) = canned.packet(0);

        let late = offset.expect("the first has it") - Duration::from_millis(10);
        assert!(late < Duration::from_millis(10), "{late:?}");
    }
}
