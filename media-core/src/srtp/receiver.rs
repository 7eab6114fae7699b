//! Opens what a peer sends: nothing is believed, and nothing remembered, before its tag is right.

use super::{
    MasterKey, Refused,
    cipher::Cipher,
    derive::{Kind, SessionKeys},
    envelope::{Envelope, RTCP_CLEAR, reporter},
    sender::{ENCRYPTED, rtcp_place, rtp_place},
    sources::Sources,
    window::Window,
};
use std::fmt;

/// Sequence numbers in which a stream whose beginning we missed is tried as having wrapped already.
const JOINED_LATE: u16 = 0x1000;

/// The receiving half of a leg's SRTP.
pub struct Receiver {
    rtp: Cipher,
    rtcp: Cipher,
    streams: Sources,
    reporters: Sources,
}

impl Receiver {
    pub fn new(master: &MasterKey) -> Self {
        let [rtp, rtcp] = [Kind::Rtp, Kind::Rtcp]
            .map(|kind| Cipher::new(master.suite(), kind, &SessionKeys::of(master, kind)));
        Self { rtp, rtcp, streams: Sources::new(), reporters: Sources::new() }
    }

    /// Opens an SRTP packet where it lies; gives the length of the RTP packet it then begins with.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let envelope = Envelope::of(packet)?;
        let length = packet.len().checked_sub(self.rtp.tag_bytes());
        let length = length.filter(|length| *length >= envelope.clear).ok_or(Refused::Short)?;
        let window = self.streams.window(envelope.ssrc)?;
        let index = window.estimate(envelope.sequence)?;
        window.check(index)?;
        let (body, tag) = packet.split_at_mut(length);
        let mut opens = |index| self.rtp.open(body, &rtp_place(&envelope, index), tag);
        // RFC 3711 §3.3.1 lets a sender start near 2^16, though it warns of it: if all before the
        // wrap was lost, or came before we listened, this stream is in its second round.
        let wrapped = index + (1 << 16);
        let late = window == Window::default() && envelope.sequence < JOINED_LATE;
        let index = if opens(index) {
            index
        } else if late && opens(wrapped) {
            wrapped
        } else {
            return Err(Refused::Tag);
        };
        self.streams.accept(envelope.ssrc, index);
        Ok(length)
    }

    /// Opens an SRTCP packet where it lies; gives the length of the RTCP packet it then begins with.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let ssrc = reporter(packet)?;
        let tag_bytes = self.rtcp.tag_bytes();
        let length = packet.len().checked_sub(tag_bytes + 4);
        let length = length.filter(|length| *length >= RTCP_CLEAR).ok_or(Refused::Short)?;
        let (body, trailer) = packet.split_at_mut(length);
        let (word, tag) = if self.rtcp.tag_before_index() {
            let (tag, word) = trailer.split_at(tag_bytes);
            (word, tag)
        } else {
            trailer.split_at(4)
        };
        let word = word.first_chunk::<4>().map_or(0, |word| u32::from_be_bytes(*word));
        if word & ENCRYPTED == 0 {
            return Err(Refused::Unencrypted);
        }
        let index = word & !ENCRYPTED;
        self.reporters.window(ssrc)?.check(u64::from(index))?;
        if !self.rtcp.open(body, &rtcp_place(ssrc, index), tag) {
            return Err(Refused::Tag);
        }
        self.reporters.accept(ssrc, u64::from(index));
        Ok(length)
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
