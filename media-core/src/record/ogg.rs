//! Ogg pages (RFC 3533) of one stream, each of whole packets: written, and read back.
//!
//! Written here and not by a crate: a page that the disk did not take is made anew with the same
//! number.

/// What a page begins with, before its lacing (§6).
pub const HEAD_BYTES: usize = 27;

/// Lacing values of one page, and so packets of at most 254 bytes.
const SEGMENTS_MAX: usize = 255;

/// §6: in the head's sixth byte.
const FIRST: u8 = 2;
const LAST: u8 = 4;

const CRC_AT: usize = 22;

/// Where a page stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    First,
    Between,
    Last,
}

/// The head of a page to be written.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    pub stands: Stands,
    /// Position of the last sample that ends on this page.
    pub granule: u64,
    pub serial: u32,
    pub sequence: u32,
}

/// Packets on their way to a page.
#[derive(Clone, Debug, Default)]
pub struct Packets {
    lacing: Vec<u8>,
    body: Vec<u8>,
}

impl Packets {
    /// False: the page has no room for it, or no page has.
    pub fn add(&mut self, packet: &[u8]) -> bool {
        let segments = packet.len() / 255 + 1;
        if self.lacing.len() + segments > SEGMENTS_MAX {
            return false;
        }
        // §5: as many 255s as there are whole ones, and what is left, though it is nothing.
        self.lacing.extend(std::iter::repeat_n(255, segments - 1));
        self.lacing.push((packet.len() % 255).to_le_bytes()[0]);
        self.body.extend_from_slice(packet);
        true
    }

    pub fn is_empty(&self) -> bool {
        self.lacing.is_empty()
    }

    /// Writes the page; no packet waits then.
    pub fn write(&mut self, head: Head, into: &mut Vec<u8>) {
        let start = into.len();
        let flags = match head.stands {
            Stands::First => FIRST,
            Stands::Between => 0,
            Stands::Last => LAST,
        };
        into.extend_from_slice(b"OggS\0");
        into.push(flags);
        into.extend_from_slice(&head.granule.to_le_bytes());
        into.extend_from_slice(&head.serial.to_le_bytes());
        into.extend_from_slice(&head.sequence.to_le_bytes());
        into.extend_from_slice(&[0; 4]);
        into.push(self.lacing.len().to_le_bytes()[0]);
        into.append(&mut self.lacing);
        into.append(&mut self.body);
        let Some(page) = into.get_mut(start..) else { return };
        let sum = crc(page).to_le_bytes();
        if let Some(place) = page.get_mut(CRC_AT..CRC_AT + 4) {
            place.copy_from_slice(&sum);
        }
    }
}

/// A page whose sum fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    pub stands: Stands,
    pub granule: u64,
    pub serial: u32,
    pub sequence: u32,
    lacing: &'a [u8],
    body: &'a [u8],
}

/// What stands where a page should begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// And how many bytes it is long.
    Page(Page<'a>, usize),
    /// It may be one: at least so many bytes are needed to tell.
    Needs(usize),
    /// It is none of ours.
    No,
}

/// Reads a page at the beginning of these bytes. A page that begins or ends within a packet is none
/// of ours.
pub fn read(bytes: &[u8]) -> Read<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        let begins = b"OggS\0".iter().zip(bytes).all(|(ours, found)| ours == found);
        return if begins { Read::Needs(HEAD_BYTES) } else { Read::No };
    };
    if head[..5] != *b"OggS\0" {
        return Read::No;
    }
    let stands = match head[5] {
        FIRST => Stands::First,
        0 => Stands::Between,
        LAST => Stands::Last,
        _ => return Read::No,
    };
    let segments = usize::from(head[26]);
    let Some((lacing, rest)) = rest.split_at_checked(segments) else {
        return Read::Needs(HEAD_BYTES + segments);
    };
    let length = lacing.iter().map(|&length| usize::from(length)).sum();
    let whole = HEAD_BYTES + segments + length;
    let Some(page) = bytes.get(..whole) else { return Read::Needs(whole) };
    let body = rest.get(..length).unwrap_or_default();
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if lacing.last() == Some(&255) || crc(page) != number(CRC_AT) {
        return Read::No;
    }
    let granule = u64::from(number(6)) | u64::from(number(10)) << 32;
    let (serial, sequence) = (number(14), number(18));
    Read::Page(Page { stands, granule, serial, sequence, lacing, body }, whole)
}

impl<'a> Page<'a> {
    pub fn packets(&self) -> impl Iterator<Item = &'a [u8]> {
        let Self { lacing, mut body, .. } = *self;
        lacing.split_inclusive(|&length| length < 255).filter_map(move |lengths| {
            let length = lengths.iter().map(|&length| usize::from(length)).sum();
            let (packet, rest) = body.split_at_checked(length)?;
            body = rest;
            Some(packet)
        })
    }
}

/// §6: the sum of the page with its own place empty; no bit is turned round, unlike in most others.
fn crc(page: &[u8]) -> u32 {
    let own = CRC_AT..CRC_AT + 4;
    page.iter().enumerate().fold(0, |sum: u32, (at, &byte)| {
        let byte = if own.contains(&at) { 0 } else { byte };
        sum << 8 ^ TABLE[usize::from(sum.to_be_bytes()[0] ^ byte)]
    })
}

static TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "counts to 255")]
        let mut sum = (at as u32) << 24;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum >> 31 == 1 { sum << 1 ^ 0x04C1_1DB7 } else { sum << 1 };
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn page(packets: &[&[u8]]) -> Vec<u8> {
        let mut waiting = Packets::default();
        assert!(packets.iter().all(|packet| waiting.add(packet)));
        let mut bytes = vec![];
        let head = Head { stands: Stands::Between, granule: 1 << 33, serial: 7, sequence: 3 };
        waiting.write(head, &mut bytes);
        assert!(waiting.is_empty());
        bytes
    }

    #[test]
    fn packets_of_every_length_come_back_as_they_went() {
        let long = [5; 600];
        let packets: [&[u8]; 6] = [b"", b"a", &long[..254], &long[..255], &long[..510], &long];
        let bytes = page(&packets);

        let Read::Page(read, length) = read(&bytes) else { panic!("{:?}", read(&bytes)) };

        assert_eq!(
            (length, read.granule, read.serial, read.sequence),
            (bytes.len(), 1 << 33, 7, 3)
        );
        assert_eq!(read.packets().collect::<Vec<_>>(), packets);
    }

    /// The first page of a file of opusenc 0.2.
    #[test]
    fn the_sum_is_the_one_that_others_write() {
        let bytes = b"OggS\0\x02\0\0\0\0\0\0\0\0\xa9\x59\xa6\x40\0\0\0\0\xc0\xb7\x1e\x13\x01\x13\
            OpusHead\x01\x01\x38\x01\x40\x1f\0\0\0\0\0";
        assert!(matches!(read(bytes), Read::Page(page, 47) if page.stands == Stands::First));
    }

    #[test]
    fn a_page_has_room_for_255_lacing_values_and_no_more() {
        let mut waiting = Packets::default();
        assert!((0..255).all(|_| waiting.add(&[1; 254])));
        assert!(!waiting.add(b""));
        assert!(!Packets::default().add(&[0; 255 * 255]));
    }

    #[test]
    fn one_changed_bit_or_a_missing_byte_is_no_page() {
        let bytes = page(&[b"what was said", b"and then"]);
        for at in 0..bytes.len() {
            assert!(!matches!(read(&bytes[..at]), Read::Page(..) | Read::No), "cut at {at}");
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(!matches!(read(&changed), Read::Page(..)), "bit {bit} of {at}");
            }
        }
    }
}
