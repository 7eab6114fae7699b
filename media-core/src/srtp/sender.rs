//! Protects what one leg sends: one stream, its reports, and numbers that never come twice.

use super::{
    MasterKey, Refused,
    cipher::{Cipher, Place},
    derive::{Kind, SessionKeys},
    envelope::{Envelope, RTCP_CLEAR, reporter},
    window::Window,
};
use std::fmt;

/// RFC 3711 §3.4: the index of SRTCP has 31 bits, the bit above says that the packet is encrypted.
pub(super) const ENCRYPTED: u32 = 1 << 31;

/// The sending half of a leg's SRTP. The first packet decides whose stream it is.
pub struct Sender {
    rtp: Cipher,
    rtcp: Cipher,
    ssrc: Option<u32>,
    sent: Window,
    /// The highest index sent.
    last: Option<u64>,
    /// Index of the next report.
    report: u32,
}

impl Sender {
    pub fn new(master: &MasterKey) -> Self {
        let [rtp, rtcp] = [Kind::Rtp, Kind::Rtcp]
            .map(|kind| Cipher::new(master.suite(), kind, &SessionKeys::of(master, kind)));
        Self { rtp, rtcp, ssrc: None, sent: Window::default(), last: None, report: 0 }
    }

    /// Protects the packet that is the first `length` bytes of `buffer`; gives its new length.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Refused> {
        let (packet, room) = buffer.split_at_mut_checked(length).ok_or(Refused::Room)?;
        let envelope = Envelope::of(packet)?;
        self.own(envelope.ssrc)?;
        let index = match self.sent.estimate(envelope.sequence) {
            Err(Refused::Exhausted) => return Err(Refused::Exhausted),
            // Before the first of them all.
            Err(_) => return Err(Refused::Sent),
            Ok(index) => index,
        };
        if self.last.is_some_and(|last| index <= last) {
            return Err(Refused::Sent);
        }
        let room = room.get_mut(..self.rtp.tag_bytes()).ok_or(Refused::Room)?;
        let place = rtp_place(&envelope, index);
        let tag = self.rtp.seal(packet, &place).ok_or(Refused::Room)?;
        room.copy_from_slice(tag.bytes());
        self.ssrc = Some(envelope.ssrc);
        self.sent.accept(index);
        self.last = Some(index);
        Ok(length + tag.bytes().len())
    }

    /// Protects the compound RTCP packet that is the first `length` bytes of `buffer`; gives its new length.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Refused> {
        let (packet, room) = buffer.split_at_mut_checked(length).ok_or(Refused::Room)?;
        let ssrc = reporter(packet)?;
        self.own(ssrc)?;
        if self.report >= ENCRYPTED {
            return Err(Refused::Exhausted);
        }
        let tag_bytes = self.rtcp.tag_bytes();
        let room = room.get_mut(..tag_bytes + 4).ok_or(Refused::Room)?;
        let place = rtcp_place(ssrc, self.report);
        let tag = self.rtcp.seal(packet, &place).ok_or(Refused::Room)?;
        if self.rtcp.tag_before_index() {
            let (first, last) = room.split_at_mut(tag_bytes);
            first.copy_from_slice(tag.bytes());
            last.copy_from_slice(&place.word);
        } else {
            let (first, last) = room.split_at_mut(4);
            first.copy_from_slice(&place.word);
            last.copy_from_slice(tag.bytes());
        }
        self.ssrc = Some(ssrc);
        self.report += 1;
        Ok(length + room.len())
    }

    fn own(&self, ssrc: u32) -> Result<(), Refused> {
        if self.ssrc.is_none_or(|own| own == ssrc) { Ok(()) } else { Err(Refused::Sent) }
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("ssrc", &self.ssrc).finish_non_exhaustive()
    }
}

/// RFC 3711 §4.2: with the tag of RTP go the rollovers.
pub(super) fn rtp_place(envelope: &Envelope, index: u64) -> Place {
    let [.., r0, r1, r2, r3, _, _] = index.to_be_bytes();
    let word = [r0, r1, r2, r3];
    Place { ssrc: envelope.ssrc, index, clear: envelope.clear, word }
}

pub(super) fn rtcp_place(ssrc: u32, index: u32) -> Place {
    let word = (index | ENCRYPTED).to_be_bytes();
    Place { ssrc, index: u64::from(index), clear: RTCP_CLEAR, word }
}
