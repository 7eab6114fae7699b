//! The RTP fixed header (RFC 3550 §5.1): a borrowed view of what came, a writer of what leaves.

/// Bytes of a header without contributing sources and extension.
pub const LENGTH: usize = 12;

/// What of the fixed header means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
}

/// A packet that came, seen where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    pub header: Header,
    /// Without contributing sources, extension and padding. May be empty.
    pub payload: &'a [u8],
}

/// Why bytes are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPacket {
    #[error("shorter than its header")]
    Short,
    #[error("not RTP version 2")]
    Version,
    #[error("shorter than its contributing sources")]
    Sources,
    #[error("shorter than its header extension")]
    Extension,
    #[error("padding longer than what it pads, or none")]
    Padding,
}

impl<'a> Packet<'a> {
    /// Reads a datagram. Total: any bytes give a packet or the reason why not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BadPacket> {
        let (fixed, rest) = bytes.split_first_chunk::<LENGTH>().ok_or(BadPacket::Short)?;
        let [first, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *fixed;
        if first >> 6 != 2 {
            return Err(BadPacket::Version);
        }
        let rest = rest.get(usize::from(first & 0x0F) * 4..).ok_or(BadPacket::Sources)?;
        let rest = if first & 0x10 == 0 { rest } else { skip_extension(rest)? };
        let payload = if first & 0x20 == 0 { rest } else { strip_padding(rest)? };
        let header = Header {
            marker: second & 0x80 != 0,
            payload_type: second & 0x7F,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
        };
        Ok(Self { header, payload })
    }
}

impl Header {
    /// The header as it stands on the wire: no padding, no extension, no contributing sources.
    pub const fn bytes(&self) -> [u8; LENGTH] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.to_be_bytes();
        let [i0, i1, i2, i3] = self.ssrc.to_be_bytes();
        let marker = if self.marker { 0x80 } else { 0 };
        let second = marker | (self.payload_type & 0x7F);
        [0x80, second, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3]
    }
}

/// RTCP that came on an RTP port (RFC 5761 §4): packet types 192 to 223.
pub fn is_rtcp(bytes: &[u8]) -> bool {
    matches!(bytes, [first, 192..=223, ..] if first >> 6 == 2)
}

/// RFC 3550 §5.3.1: 16 bits of profile, then the length in words.
fn skip_extension(bytes: &[u8]) -> Result<&[u8], BadPacket> {
    let ([_, _, high, low], rest) = bytes.split_first_chunk::<4>().ok_or(BadPacket::Extension)?;
    let words = usize::from(u16::from_be_bytes([*high, *low]));
    rest.get(words * 4..).ok_or(BadPacket::Extension)
}

/// RFC 3550 §5.1: the last byte says how many are padding, itself included.
fn strip_padding(bytes: &[u8]) -> Result<&[u8], BadPacket> {
    let padding = bytes.last().copied().map(usize::from).filter(|&padding| padding > 0);
    let kept = padding.and_then(|padding| bytes.len().checked_sub(padding));
    kept.and_then(|kept| bytes.get(..kept)).ok_or(BadPacket::Padding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use webrtc_util::marshal::{Marshal, Unmarshal};

    const HEADER: Header = Header {
        marker: true,
        payload_type: 8,
        sequence: 0x1234,
        timestamp: 0xDEAD_BEEF,
        ssrc: 0xCA11_0001,
    };

    #[test]
    fn a_header_stands_on_the_wire_as_figure_1_draws_it() {
        let bytes = HEADER.bytes();

        assert_eq!(bytes, [0x80, 0x88, 0x12, 0x34, 0xDE, 0xAD, 0xBE, 0xEF, 0xCA, 0x11, 0, 1]);
        assert_eq!(Packet::parse(&bytes), Ok(Packet { header: HEADER, payload: &[] }));
    }

    #[test]
    fn the_crate_rtp_reads_what_we_write_and_we_read_what_it_writes() {
        for (marker, payload_type, sequence) in [(false, 0, 0), (true, 127, u16::MAX)] {
            let ours = Header { marker, payload_type, sequence, ..HEADER };
            let bytes = [&ours.bytes()[..], b"voice"].concat();

            let theirs = rtp::packet::Packet::unmarshal(&mut &bytes[..]).unwrap();
            let header = &theirs.header;
            assert_eq!((header.marker, header.payload_type), (marker, payload_type));
            assert_eq!((header.sequence_number, header.timestamp), (sequence, ours.timestamp));
            assert_eq!((header.ssrc, &theirs.payload[..]), (ours.ssrc, &b"voice"[..]));

            let written = theirs.marshal().unwrap();
            assert_eq!(Packet::parse(&written), Ok(Packet { header: ours, payload: b"voice" }));
        }
    }

    #[test]
    fn sources_extension_and_padding_are_no_payload() {
        let mut bytes = HEADER.bytes().to_vec();
        bytes[0] |= 0x20 | 0x10 | 2;
        bytes.extend([0; 8]); // Two contributing sources.
        bytes.extend([0xBE, 0xDE, 0, 1, 9, 9, 9, 9]); // An extension of one word.
        bytes.extend(b"voice");
        bytes.extend([0, 0, 3]); // Three bytes of padding.

        let packet = Packet::parse(&bytes).unwrap();

        assert_eq!(packet.payload, b"voice");
        assert_eq!(packet.header, HEADER);
    }

    #[test]
    fn what_is_shorter_than_it_says_is_refused_by_reason() {
        let with = |first: u8, rest: &[u8]| {
            let mut bytes = HEADER.bytes().to_vec();
            bytes[0] = first;
            bytes.extend(rest);
            Packet::parse(&bytes).map(|packet| packet.payload.len())
        };

        assert_eq!(Packet::parse(&[0x80; 11]), Err(BadPacket::Short));
        assert_eq!(with(0x40, &[]), Err(BadPacket::Version));
        assert_eq!(with(0x8F, &[0; 59]), Err(BadPacket::Sources));
        assert_eq!(with(0x90, &[0, 0, 0]), Err(BadPacket::Extension));
        assert_eq!(with(0x90, &[0, 0, 0xFF, 0xFF, 1]), Err(BadPacket::Extension));
        assert_eq!(with(0xA0, &[]), Err(BadPacket::Padding));
        assert_eq!(with(0xA0, &[1, 2, 0]), Err(BadPacket::Padding));
        assert_eq!(with(0xA0, &[1, 2, 4]), Err(BadPacket::Padding));
        assert_eq!(with(0xA0, &[1, 2, 3]), Ok(0));
    }

    #[test]
    fn no_bytes_make_the_reader_fail() {
        let mut state = 1_u32;
        let mut bytes = [0; 40];
        for length in (0..=40).cycle().take(50_000) {
            for byte in &mut bytes {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = state.to_be_bytes()[0];
            }
            bytes[0] = 0x80 | (bytes[0] & 0x3F);
            let read = Packet::parse(&bytes[..length]);
            assert_eq!(read.is_err() && length < LENGTH, length < LENGTH);
        }
    }
}
