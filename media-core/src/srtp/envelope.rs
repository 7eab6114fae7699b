//! What of a protected packet lies open: the number, the source, and where the encrypted part begins.

use super::Refused;
use crate::rtp::header::LENGTH;

/// RFC 3711 §3.4: of an RTCP packet the first header and its sender stay open.
pub(super) const RTCP_CLEAR: usize = 8;

/// The open part of an RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Envelope {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    /// Bytes of header, contributing sources and extension, all within the packet.
    pub(super) clear: usize,
}

impl Envelope {
    /// Padding stays where it is: it is encrypted with the rest (RFC 3711 §3.1).
    pub(super) fn of(packet: &[u8]) -> Result<Self, Refused> {
        let (fixed, _) = packet.split_first_chunk::<LENGTH>().ok_or(Refused::Short)?;
        let [first, _, s0, s1, _, _, _, _, i0, i1, i2, i3] = *fixed;
        if first >> 6 != 2 {
            return Err(Refused::Short);
        }
        let mut clear = LENGTH + usize::from(first & 0x0F) * 4;
        if first & 0x10 != 0 {
            // RFC 3550 §5.3.1: 16 bits of profile, then the length in words.
            let words = match packet.get(clear..clear + 4) {
                Some([_, _, high, low]) => usize::from(u16::from_be_bytes([*high, *low])),
                Some(_) | None => return Err(Refused::Short),
            };
            clear += 4 + words * 4;
        }
        if clear > packet.len() {
            return Err(Refused::Short);
        }
        let (ssrc, sequence) = (u32::from_be_bytes([i0, i1, i2, i3]), u16::from_be_bytes([s0, s1]));
        Ok(Self { ssrc, sequence, clear })
    }
}

/// Who sent an RTCP packet.
pub(super) fn reporter(packet: &[u8]) -> Result<u32, Refused> {
    let (open, _) = packet.split_first_chunk::<RTCP_CLEAR>().ok_or(Refused::Short)?;
    let [first, _, _, _, i0, i1, i2, i3] = *open;
    (first >> 6 == 2).then_some(u32::from_be_bytes([i0, i1, i2, i3])).ok_or(Refused::Short)
}
