//! Vectors of the RFCs, streams over many wraps, and what is refused.

mod refused;
mod streams;
mod vectors;

use super::*;

/// A packet with room behind it.
#[derive(Clone)]
struct Bytes {
    buffer: [u8; 512],
    length: usize,
}

impl Bytes {
    fn of(packet: &[u8]) -> Self {
        let mut buffer = [0; 512];
        buffer[..packet.len()].copy_from_slice(packet);
        Self { buffer, length: packet.len() }
    }

    fn rtp(ssrc: u32, sequence: u16) -> Self {
        let header = crate::rtp::header::Header {
            marker: false,
            payload_type: 8,
            sequence,
            timestamp: u32::from(sequence) * 160,
            ssrc,
        };
        Self::of(&[&header.bytes()[..], &[0x5A; 160]].concat())
    }

    /// A receiver report of nobody.
    fn rtcp(ssrc: u32) -> Self {
        let mut packet = [0x80, 201, 0, 1, 0, 0, 0, 0, 0x81, 202, 0, 2, 1, 2, 3, 4, 1, 0, 0, 0];
        packet[4..8].copy_from_slice(&ssrc.to_be_bytes());
        Self::of(&packet)
    }

    fn bytes(&self) -> &[u8] {
        &self.buffer[..self.length]
    }

    fn protected(mut self, sender: &mut Sender) -> Self {
        self.length = sender.protect_rtp(&mut self.buffer, self.length).unwrap();
        self
    }

    fn protected_report(mut self, sender: &mut Sender) -> Self {
        self.length = sender.protect_rtcp(&mut self.buffer, self.length).unwrap();
        self
    }

    fn opened(mut self, receiver: &mut Receiver) -> Result<Self, Refused> {
        self.length = receiver.unprotect_rtp(&mut self.buffer[..self.length])?;
        Ok(self)
    }

    fn opened_report(mut self, receiver: &mut Receiver) -> Result<Self, Refused> {
        self.length = receiver.unprotect_rtcp(&mut self.buffer[..self.length])?;
        Ok(self)
    }
}

fn master(suite: Suite) -> MasterKey {
    let bytes: Vec<u8> = (7..).take(suite.key_bytes() + suite.salt_bytes()).collect();
    MasterKey::new(suite, &bytes).unwrap()
}

fn pair(suite: Suite) -> (Sender, Receiver) {
    (Sender::new(&master(suite)), Receiver::new(&master(suite)))
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .chars()
        .filter_map(|c| c.to_digit(16))
        .map(|digit| u8::try_from(digit).unwrap())
        .collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}
