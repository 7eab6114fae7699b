//! RTCP reports (RFC 3550 §6): a writer that allocates nothing, a reader that is total.

use super::{
    stats::Reception,
    xr::{self, VoipMetrics, XrBlocks},
};
use crate::srtp::GROWTH_MAX;

/// A compound packet being written. Large enough for all we ever say at once.
#[derive(Clone, Copy, Debug)]
pub struct Compound {
    bytes: [u8; CAPACITY],
    length: usize,
}

/// What a sender says of its own stream (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderInfo {
    /// 32.32 bits.
    pub ntp: u64,
    /// The same instant in units of the stream.
    pub timestamp: u32,
    pub packets: u32,
    /// Of payload.
    pub octets: u32,
}

/// What a receiver knows of a sender's last report (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastSender {
    /// Middle 32 bits of its NTP time stamp; 0 if none came.
    pub lsr: u32,
    /// Since it came, in 1/65536 s.
    pub delay: u32,
}

impl Compound {
    pub const fn new() -> Self {
        Self { bytes: [0; CAPACITY], length: 0 }
    }

    /// What was written so far.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Lets somebody protect what was written, in place: given the bytes with room behind them and
    /// the length, it gives the new length. False: it could not.
    pub(crate) fn protect(&mut self, by: impl FnOnce(&mut [u8], usize) -> Option<usize>) -> bool {
        let length = by(&mut self.bytes, self.length);
        self.length = length.unwrap_or(0);
        length.is_some()
    }

    /// A sender report, with at most one block of reception (§6.4.1).
    pub fn sender(
        &mut self,
        ssrc: u32,
        info: &SenderInfo,
        heard: Option<(&Reception, LastSender)>,
    ) {
        self.header(SENDER_REPORT, heard.is_some(), if heard.is_some() { 12 } else { 6 });
        self.word(ssrc);
        self.put(&info.ntp.to_be_bytes());
        self.word(info.timestamp);
        self.word(info.packets);
        self.word(info.octets);
        self.reception(heard);
    }

    /// A receiver report, with at most one block (§6.4.2).
    pub fn receiver(&mut self, ssrc: u32, heard: Option<(&Reception, LastSender)>) {
        self.header(RECEIVER_REPORT, heard.is_some(), if heard.is_some() { 7 } else { 1 });
        self.word(ssrc);
        self.reception(heard);
    }

    /// A source description of one item, the canonical name (§6.5.1).
    pub fn canonical_name(&mut self, ssrc: u32, name: &str) {
        let name = name.as_bytes();
        let name = name.get(..CNAME_MAX).unwrap_or(name);
        // Chunk: SSRC, type, length, text, then at least one zero up to the next word.
        let words = (2 + name.len()) / 4 + 1;
        self.header(SOURCE_DESCRIPTION, true, 1 + u8::try_from(words).unwrap_or(0));
        self.word(ssrc);
        self.put(&[CNAME, u8::try_from(name.len()).unwrap_or(0)]);
        self.put(name);
        self.put([0; 4].get(..words * 4 - 2 - name.len()).unwrap_or_default());
    }

    /// What the voice that is heard sounds like (RFC 3611 §2, §4.7).
    pub fn voice(&mut self, ssrc: u32, metrics: &VoipMetrics) {
        let words = 1 + xr::BLOCK / 4;
        self.header(EXTENDED_REPORT, false, u8::try_from(words).unwrap_or(0));
        self.word(ssrc);
        self.put(&metrics.bytes());
    }

    /// The end of a source (§6.6).
    pub fn bye(&mut self, ssrc: u32) {
        self.header(BYE, true, 1);
        self.word(ssrc);
    }

    /// `words` after the header's own; every packet of ours counts one item or none.
    fn header(&mut self, kind: u8, one: bool, words: u8) {
        self.put(&[0x80 | u8::from(one), kind, 0, words]);
    }

    fn reception(&mut self, heard: Option<(&Reception, LastSender)>) {
        let Some((reception, last)) = heard else { return };
        self.word(reception.ssrc);
        let [_, high, middle, low] = reception.lost.to_be_bytes();
        self.put(&[reception.fraction_lost, high, middle, low]);
        for word in [reception.highest, reception.jitter, last.lsr, last.delay] {
            self.word(word);
        }
    }

    fn word(&mut self, word: u32) {
        self.put(&word.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if let Some(place) = self.bytes.get_mut(self.length..end) {
            place.copy_from_slice(bytes);
            self.length = end;
        }
    }
}

impl Default for Compound {
    fn default() -> Self {
        Self::new()
    }
}

/// One packet of a compound that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report<'a> {
    Sender {
        ssrc: u32,
        ntp: u64,
        blocks: Blocks<'a>,
    },
    Receiver {
        ssrc: u32,
        blocks: Blocks<'a>,
    },
    /// RFC 3611.
    Extended {
        ssrc: u32,
        blocks: XrBlocks<'a>,
    },
    /// A description, a BYE or anything else: nothing follows from it.
    Other,
}

/// What a far side says it received from one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Whose stream it is about.
    pub ssrc: u32,
    /// Lost since the report before, in 256ths.
    pub fraction_lost: u8,
    /// Cumulative; negative if duplicates outnumber losses.
    pub lost: i32,
    pub last: LastSender,
}

/// Why bytes are no compound packet (RFC 3550 §A.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no RTCP compound packet")]
pub struct Malformed;

/// Reads a datagram: checked whole before anything of it is believed (§A.2).
pub fn parse(bytes: &[u8]) -> Result<impl Iterator<Item = Report<'_>>, Malformed> {
    if !matches!(bytes, [_, SENDER_REPORT | RECEIVER_REPORT, ..]) {
        return Err(Malformed);
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        (_, rest) = split(rest).ok_or(Malformed)?;
    }
    let mut rest = bytes;
    Ok(std::iter::from_fn(move || {
        let (report, next) = split(rest)?;
        rest = next;
        Some(report)
    }))
}

/// The report blocks of one packet, 24 bytes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks<'a>(&'a [[u8; BLOCK]]);

impl Blocks<'_> {
    /// What the far side says of this stream of ours.
    pub fn about(&self, ssrc: u32) -> Option<Block> {
        self.0.iter().map(read_block).find(|block| block.ssrc == ssrc)
    }
}

/// The first packet and what follows it; none if it is shorter than it says.
fn split(bytes: &[u8]) -> Option<(Report<'_>, &[u8])> {
    let ([first, kind, high, low], rest) = bytes.split_first_chunk::<4>()?;
    if first >> 6 != 2 {
        return None;
    }
    let words = usize::from(u16::from_be_bytes([*high, *low]));
    let (body, rest) = rest.split_at_checked(words * 4)?;
    let count = usize::from(first & 0x1F);
    let report = match *kind {
        SENDER_REPORT => {
            let (ssrc, body) = body.split_first_chunk::<4>()?;
            let (ntp, body) = body.split_first_chunk::<8>()?;
            let blocks = blocks(body.get(12..)?, count)?;
            let (ssrc, ntp) = (u32::from_be_bytes(*ssrc), u64::from_be_bytes(*ntp));
            Report::Sender { ssrc, ntp, blocks }
        }
        RECEIVER_REPORT => {
            let (ssrc, body) = body.split_first_chunk::<4>()?;
            Report::Receiver { ssrc: u32::from_be_bytes(*ssrc), blocks: blocks(body, count)? }
        }
        EXTENDED_REPORT => {
            let (ssrc, body) = body.split_first_chunk::<4>()?;
            Report::Extended { ssrc: u32::from_be_bytes(*ssrc), blocks: XrBlocks(body) }
        }
        _ => Report::Other,
    };
    Some((report, rest))
}

/// What follows the blocks is a profile's extension and passed over (§6.4.3).
fn blocks(bytes: &[u8], count: usize) -> Option<Blocks<'_>> {
    Some(Blocks(bytes.as_chunks::<BLOCK>().0.get(..count)?))
}

fn read_block(bytes: &[u8; BLOCK]) -> Block {
    let word = |place: usize| {
        let word = bytes.as_chunks::<4>().0.get(place).copied().unwrap_or_default();
        u32::from_be_bytes(word)
    };
    // Sign-extends the 24 bits below the fraction.
    let lost = (word(1) << 8).cast_signed() >> 8;
    let [fraction_lost, ..] = word(1).to_be_bytes();
    Block { ssrc: word(0), fraction_lost, lost, last: LastSender { lsr: word(4), delay: word(5) } }
}

/// A sender report with a block, a description with the longest name, an extended report, and a
/// BYE, protected.
const CAPACITY: usize = 52 + 8 + 4 + 2 + CNAME_MAX + 4 + 8 + xr::BLOCK + 8 + GROWTH_MAX;

/// Longest canonical name we write.
pub const CNAME_MAX: usize = 64;

const BLOCK: usize = 24;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const EXTENDED_REPORT: u8 = 207;
const CNAME: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const HEARD: Reception =
        Reception { ssrc: 0xBEEF, fraction_lost: 64, lost: -2, highest: 0x1_0005, jitter: 17 };
    const LAST: LastSender = LastSender { lsr: 0x1234_5678, delay: 0x8000 };
    const INFO: SenderInfo =
        SenderInfo { ntp: 0xDEAD_BEEF_8000_0000, timestamp: 160, packets: 3, octets: 480 };

    #[test]
    fn what_we_write_we_read() {
        let mut compound = Compound::new();
        compound.sender(0xCAFE, &INFO, Some((&HEARD, LAST)));
        compound.canonical_name(0xCAFE, "media@clavija");
        compound.bye(0xCAFE);

        let reports: Vec<_> = parse(compound.bytes()).unwrap().collect();

        let Report::Sender { ssrc, ntp, blocks } = reports[0] else { panic!("{reports:?}") };
        assert_eq!((ssrc, ntp), (0xCAFE, INFO.ntp));
        assert_eq!(
            blocks.about(0xBEEF),
            Some(Block { ssrc: 0xBEEF, fraction_lost: 64, lost: -2, last: LAST })
        );
        assert_eq!(blocks.about(1), None);
        assert_eq!(reports[1..], [Report::Other, Report::Other]);
    }

    #[test]
    fn names_of_every_length_end_on_a_word() {
        for length in 0..=70 {
            let mut compound = Compound::new();
            compound.receiver(1, None);
            compound.canonical_name(1, &"n".repeat(length));
            compound.bye(1);

            assert_eq!(compound.bytes().len() % 4, 0);
            assert_eq!(parse(compound.bytes()).unwrap().count(), 3, "name of {length}");
        }
    }

    #[test]
    fn the_largest_compound_fits() {
        let mut compound = Compound::new();
        compound.sender(1, &INFO, Some((&HEARD, LAST)));
        compound.canonical_name(1, &"n".repeat(CNAME_MAX));
        compound.voice(1, &VoipMetrics { ssrc: 9, ..VoipMetrics::default() });
        compound.bye(1);

        let reports: Vec<_> = parse(compound.bytes()).unwrap().collect();
        assert_eq!(reports.len(), 4);
        let Report::Extended { ssrc: 1, blocks } = reports[2] else { panic!("{reports:?}") };
        assert!(blocks.about(9).is_some() && blocks.about(1).is_none());
    }

    #[test]
    fn what_lies_about_its_length_is_refused_whole() {
        let mut compound = Compound::new();
        compound.sender(1, &INFO, Some((&HEARD, LAST)));
        let good = compound.bytes().to_vec();
        let with = |place: usize, byte: u8| {
            let mut bytes = good.clone();
            bytes[place] = byte;
            parse(&bytes).is_err()
        };

        assert!((0..good.len()).all(|length| parse(&good[..length]).is_err()));
        assert!(with(0, 0x41) && with(0, 0x82) && with(1, 203) && with(3, 13) && with(3, 11));
        assert!(parse(&good).is_ok());
    }

    #[test]
    fn no_bytes_make_the_reader_fail() {
        let mut state = 7_u32;
        let mut bytes = [0; 64];
        for length in (0..=64).cycle().take(50_000) {
            for byte in &mut bytes {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = state.to_be_bytes()[0];
            }
            (bytes[0], bytes[1], bytes[2]) = (0x80 | bytes[0] & 0x1F, 200 | bytes[1] & 1, 0);
            bytes[3] &= 0x0F;
            if let Ok(reports) = parse(&bytes[..length]) {
                assert!(reports.count() >= 1);
            }
        }
    }
}
