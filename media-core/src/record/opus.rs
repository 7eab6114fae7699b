//! Recordings as Opus in Ogg (RFC 7845): two channels, left what the caller said, right what people
//! said to the caller, which the coder keeps apart.
//!
//! Every packet is a frame of 20 ms of the time line, so that times in the file are those of the talk;
//! what was lost is coded as silence. Pages are only ever appended, and hold whole packets: a file that
//! was cut plays to its last whole page. For the recorder's thread, never the media thread.

use super::ogg::{Head, Packets, Page, Stands};
use crate::{
    codec::opus::{OpusError, StereoDecoder, StereoEncoder},
    frame::SAMPLES,
};

/// 20 ms of two channels of 16 bits at 8 kHz, as they are coded and as they come back.
pub const FRAME_BYTES: usize = 640;

/// One page: at most a second.
const FRAMES_IN_PAGE: usize = 50;

/// Longer than any packet at this rate; also what bounds a page.
const PACKET_MAX: usize = 320;

/// No page is longer.
pub const PAGE_MAX: usize = super::ogg::HEAD_BYTES + FRAMES_IN_PAGE * (PACKET_MAX + 2);

/// RFC 7845 §4: positions count samples of 48 kHz, whatever was coded.
const GRANULES: u64 = 960;

/// Twenty milliseconds of two channels in one frame of CELT that holds nothing (RFC 6716 §3.1): what a decoder
/// makes up. Only where libopus has refused to code.
const NOTHING: [u8; 1] = [19 << 3 | 4];

/// Codes one recording, page by page. A page that could not be written is given up with
/// [`give_up`](Self::give_up).
pub struct Coder {
    encoder: StereoEncoder,
    serial: u32,
    place: Place,
}

/// How far a file has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    sequence: u32,
    /// Of the time line, in frames.
    pub frame: u64,
}

impl Coder {
    /// `serial`: the stream's number, which no other in the same file has.
    pub fn new(serial: u32) -> Result<Self, OpusError> {
        Ok(Self { encoder: StereoEncoder::new()?, serial, place: Place::default() })
    }

    /// The same, but the pages' lengths tell nothing of what is said: for who encrypts them.
    pub fn of_one_length(serial: u32) -> Result<Self, OpusError> {
        let encoder = StereoEncoder::of_one_length()?;
        Ok(Self { encoder, serial, place: Place::default() })
    }

    /// Where the next page stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Back to where a page was that did not get into the file.
    pub fn give_up(&mut self, place: Place) {
        self.place = place;
    }

    /// What the file begins with: what it is, and by whom (§5), a page each.
    pub fn head(&mut self, into: &mut Vec<u8>) {
        let mut what = *b"OpusHead\x01\x02__\x40\x1f\0\0\0\0\0";
        what[10..12].copy_from_slice(&self.skip().to_le_bytes());
        let mut packets = Packets::default();
        packets.add(&what);
        self.page(Stands::First, 0, &mut packets, into);
        let vendor = crate::codec::opus::version();
        let mut tags = b"OpusTags".to_vec();
        for text in [vendor, "ENCODER=clavija"] {
            let length = u32::try_from(text.len()).unwrap_or(0);
            tags.extend_from_slice(&length.to_le_bytes());
            tags.extend_from_slice(text.as_bytes());
            // Behind the vendor stands how many comments there are.
            if text == vendor {
                tags.extend_from_slice(&1_u32.to_le_bytes());
            }
        }
        packets.add(&tags);
        self.page(Stands::Between, 0, &mut packets, into);
    }

    /// Whole frames of interleaved 16-bit PCM, little-endian.
    pub fn audio(&mut self, samples: &[u8], into: &mut Vec<u8>) {
        let mut frames = samples.chunks_exact(FRAME_BYTES).peekable();
        while frames.peek().is_some() {
            self.frames(frames.by_ref().take(FRAMES_IN_PAGE), into);
        }
    }

    /// So many frames are not there: they are silence.
    pub fn silence(&mut self, frames: u64, into: &mut Vec<u8>) {
        let mut left = frames;
        while left > 0 {
            let some = left.min(FRAMES_IN_PAGE as u64);
            self.frames((0..some).map(|_| &[0; FRAME_BYTES][..]), into);
            left -= some;
        }
    }

    /// Nothing comes behind this. The coder's delay is fetched with one packet more, of which as much is
    /// played as makes the line whole (§4.4).
    pub fn end(&mut self, into: &mut Vec<u8>) {
        let mut packets = Packets::default();
        self.code(&[0; FRAME_BYTES], &mut packets);
        let granule = self.place.frame * GRANULES + u64::from(self.skip());
        self.page(Stands::Last, granule, &mut packets, into);
    }

    fn frames<'a>(&mut self, frames: impl Iterator<Item = &'a [u8]>, into: &mut Vec<u8>) {
        let mut packets = Packets::default();
        for frame in frames {
            self.code(frame, &mut packets);
            self.place.frame += 1;
        }
        self.page(Stands::Between, self.place.frame * GRANULES, &mut packets, into);
    }

    fn code(&mut self, frame: &[u8], packets: &mut Packets) {
        let mut samples = [0; 2 * SAMPLES];
        for (sample, bytes) in samples.iter_mut().zip(frame.as_chunks::<2>().0) {
            *sample = i16::from_le_bytes(*bytes);
        }
        let mut packet = [0; PACKET_MAX];
        let length = self.encoder.encode(&samples, &mut packet);
        let packet = packet.get(..length).filter(|packet| !packet.is_empty()).unwrap_or(&NOTHING);
        // Fifty of them take a hundred lacing values, of which a page has 255.
        packets.add(packet);
    }

    fn page(&mut self, stands: Stands, granule: u64, packets: &mut Packets, into: &mut Vec<u8>) {
        let Self { serial, place, .. } = self;
        packets.write(Head { stands, granule, serial: *serial, sequence: place.sequence }, into);
        place.sequence += 1;
    }

    /// Samples of 48 kHz by which what is heard lags behind what was coded (§5.1).
    fn skip(&self) -> u16 {
        self.encoder.delay() * 6
    }
}

/// What the first page says of the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    skip: u16,
    serial: u32,
}

impl Told {
    /// None: it is no recording of ours.
    pub fn by(first: &Page<'_>) -> Option<Self> {
        let packet = first.packets().next()?;
        let (what, rest) = packet.split_first_chunk::<10>()?;
        let skip = u16::from_le_bytes(*rest.first_chunk()?);
        let ours = *what == *b"OpusHead\x01\x02" && first.stands == Stands::First;
        ours.then_some(Self { skip, serial: first.serial })
    }

    /// Whole frames that are played up to the end of this page.
    pub fn frames(&self, page: &Page<'_>) -> u64 {
        page.granule.saturating_sub(self.skip.into()) / GRANULES
    }

    pub fn is_of(&self, page: &Page<'_>) -> bool {
        page.serial == self.serial
    }
}

/// Gives packets back as samples: for who draws them.
pub struct Player {
    decoder: StereoDecoder,
    /// Bytes of samples that are nobody's: the coder's delay.
    skip: usize,
    left: Vec<u8>,
}

impl Player {
    pub fn new(told: Told) -> Result<Self, OpusError> {
        let skip = usize::from(told.skip) / 6 * 4;
        Ok(Self { decoder: StereoDecoder::new()?, skip, left: vec![] })
    }

    /// Appends whole frames of interleaved 16-bit PCM, little-endian.
    pub fn play(&mut self, page: &Page<'_>, into: &mut Vec<u8>) {
        for packet in page.packets() {
            let mut samples = [0; 2 * SAMPLES];
            // What is no Opus is as long, and silent.
            let _heard = self.decoder.decode(packet, &mut samples);
            self.left.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
        }
        let skipped = self.skip.min(self.left.len());
        self.skip -= skipped;
        let whole = (self.left.len() - skipped) / FRAME_BYTES * FRAME_BYTES;
        into.extend(self.left.drain(..skipped + whole).skip(skipped));
    }
}

#[cfg(test)]
mod tests;
