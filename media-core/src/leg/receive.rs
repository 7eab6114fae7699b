//! The receive half of a leg: order and loss of its sources, and frames of 20 ms from any length.

use crate::{
    codec::g711,
    counters::Dropped,
    frame::{Packed, SAMPLES},
    leg::{
        PAYLOAD_MAX,
        shelf::{Arranged, Shelf},
    },
    order::{Law, LegReport},
    rtp::{
        header::Header,
        sequence::Place,
        stats::{Reception, Source},
    },
};
use std::time::Instant;

/// What one leg hears. Allocates nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Receive {
    source: Option<Source>,
    /// Lost of sources before this one.
    lost_before: u64,
    packets: u64,
    duplicates: u64,
    reordered: u64,
    shelf: Shelf,
    gather: Gather,
}

/// Whether a frame was said, or stands for one that never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Missing,
    Said,
}

impl Receive {
    /// Takes a packet in, for the statistics. `arrival` in samples of 8 kHz, for audio. True: it
    /// comes behind one that came before.
    pub(crate) fn place(&mut self, header: &Header, arrival: Option<u32>) -> Result<bool, Dropped> {
        self.packets += 1;
        let mut late = false;
        match self.source.as_mut().filter(|source| source.ssrc == header.ssrc) {
            None => {
                self.settle();
                self.source = Some(Source::new(header.ssrc, header.sequence));
            }
            Some(source) => {
                let before = source.lost();
                match source.take(header.sequence) {
                    Place::Next { .. } => {}
                    Place::Duplicate => {
                        self.duplicates += 1;
                        return Err(Dropped::Duplicate);
                    }
                    Place::Late => {
                        self.reordered += 1;
                        late = true;
                    }
                    Place::Jump => return Err(Dropped::SequenceJump),
                    Place::Restarted => {
                        self.lost_before += before;
                        self.restart();
                    }
                }
            }
        }
        if let (Some(source), Some(arrival)) = (&mut self.source, arrival) {
            source.measure_jitter(header, arrival);
        }
        Ok(late)
    }

    /// Whether a packet goes on, waits for one before it, or comes too late. What is no audio has
    /// its place in the order too, with an empty payload.
    pub(crate) fn arrange(&mut self, sequence: u16, payload: &[u8], now: Instant) -> Arranged {
        self.shelf.arrange(sequence, payload, now)
    }

    /// The next packet that has waited; see [`Shelf::take`].
    pub(crate) fn take(
        &mut self,
        all: bool,
        now: Instant,
        payload: &mut [u8; PAYLOAD_MAX],
    ) -> Option<(u16, usize)> {
        self.shelf.take(all, now, payload)
    }

    /// Nobody hears this packet: a bridge that begins takes up after it.
    pub(crate) const fn skip_to(&mut self, sequence: u16) {
        self.shelf.skip_to(sequence);
    }

    /// Frames of 20 ms out of a payload of any length; silence first where packets are missing.
    pub(crate) fn frames(
        &mut self,
        payload: &[u8],
        lost: u16,
        law: Law,
        mut each: impl FnMut(&Packed, Frame),
    ) {
        let mut missing = (usize::from(lost) * payload.len()).min(FILL_MAX);
        while missing > 0 {
            let piece = missing.min(SAMPLES);
            let silence = g711::silence(law).get(..piece).unwrap_or_default();
            self.gather.push(silence, |frame| each(frame, Frame::Missing));
            missing -= piece;
        }
        self.gather.push(payload, |frame| each(frame, Frame::Said));
    }

    /// What was gathered of a frame, filled up with silence: its rest did not come in time.
    pub(crate) fn flush(&mut self, law: Law) -> Option<Packed> {
        self.gather.flush(g711::silence(law))
    }

    /// Somebody else listens: what was begun or waits is forgotten.
    pub(crate) fn forget(&mut self) {
        self.shelf.clear();
        self.gather.clear();
    }

    /// SSRC of the source heard last.
    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    /// What the next report says; begins its next interval.
    pub(crate) fn reception(&mut self) -> Option<Reception> {
        self.source.as_mut().map(Source::report)
    }

    pub(crate) fn fill(&self, report: &mut LegReport) {
        let lost = self.source.as_ref().map_or(0, Source::lost);
        report.packets_received = self.packets;
        report.packets_lost = self.lost_before + lost;
        report.packets_duplicate = self.duplicates;
        report.packets_reordered = self.reordered;
        // 125 us a sample.
        report.jitter_us = self.source.map_or(0, |source| source.jitter().saturating_mul(125));
    }

    fn settle(&mut self) {
        self.lost_before += self.source.take().map_or(0, |source| source.lost());
        self.restart();
    }

    fn restart(&mut self) {
        self.shelf.restart();
        self.gather.clear();
    }
}

/// The beginning of a frame whose rest is in the next packet.
#[derive(Clone, Debug)]
struct Gather {
    bytes: Packed,
    filled: usize,
}

impl Gather {
    fn push(&mut self, payload: &[u8], mut each: impl FnMut(&Packed)) {
        let mut rest = payload;
        while !rest.is_empty() {
            if self.filled == 0
                && let Some((whole, tail)) = rest.split_first_chunk::<SAMPLES>()
            {
                each(whole);
                rest = tail;
                continue;
            }
            let room = self.bytes.get_mut(self.filled..).unwrap_or_default();
            let piece = room.len().min(rest.len());
            let (head, tail) = rest.split_at(piece);
            if let Some(room) = room.get_mut(..piece) {
                room.copy_from_slice(head);
            }
            self.filled += piece;
            rest = tail;
            if self.filled == SAMPLES {
                each(&self.bytes);
                self.filled = 0;
            }
        }
    }

    fn flush(&mut self, silence: &Packed) -> Option<Packed> {
        if self.filled == 0 {
            return None;
        }
        let (room, silence) = (self.bytes.get_mut(self.filled..)?, silence.get(self.filled..)?);
        room.copy_from_slice(silence);
        self.filled = 0;
        Some(self.bytes)
    }

    const fn clear(&mut self) {
        self.filled = 0;
    }
}

impl Default for Gather {
    fn default() -> Self {
        Self { bytes: [0; SAMPLES], filled: 0 }
    }
}

/// Silence put in for one gap: 60 ms. A longer hole is filled by the clock of who listens.
const FILL_MAX: usize = 3 * SAMPLES;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ssrc: u32, sequence: u16) -> Header {
        Header { marker: false, payload_type: 8, sequence, timestamp: 0, ssrc }
    }

    fn lengths(receive: &mut Receive, payload: &[u8], lost: u16) -> Vec<(u8, Frame)> {
        let mut frames = vec![];
        receive.frames(payload, lost, Law::A, |frame, kind| frames.push((frame[159], kind)));
        frames
    }

    #[test]
    fn any_packet_time_becomes_frames_of_20_ms() {
        let mut receive = Receive::default();
        let mut said = vec![];
        for (length, byte) in [(80, 1), (80, 2), (240, 3), (240, 4), (480, 5), (1, 6), (159, 7)] {
            receive.frames(&vec![byte; length], 0, Law::A, |frame, _| said.extend(*frame));
        }

        let expected: Vec<u8> = [(80, 1), (80, 2), (240, 3), (240, 4), (480, 5), (1, 6), (159, 7)]
            .into_iter()
            .flat_map(|(length, byte)| vec![byte; length])
            .collect();
        assert_eq!(said, expected);
        assert_eq!(receive.flush(Law::A), None);
    }

    #[test]
    fn missing_packets_become_silence_of_their_length() {
        let mut receive = Receive::default();

        assert_eq!(lengths(&mut receive, &[1; 160], 1), [(0xD5, Frame::Missing), (1, Frame::Said)]);
        assert_eq!(lengths(&mut receive, &[1; 80], 2), [(0xD5, Frame::Missing)]);
        assert_eq!(lengths(&mut receive, &[1; 80], 0), [(1, Frame::Said)]);
        assert_eq!(lengths(&mut receive, &[1; 160], 500).len(), 4);
    }

    #[test]
    fn half_a_frame_is_filled_up_with_silence() {
        let mut receive = Receive::default();
        assert_eq!(lengths(&mut receive, &[1; 240], 0).len(), 1);

        let frame = receive.flush(Law::Mu).unwrap();

        assert_eq!((frame[0], frame[79], frame[80], frame[159]), (1, 1, 0xFF, 0xFF));
        assert_eq!(receive.flush(Law::Mu), None);
    }

    #[test]
    fn a_new_source_is_heard_at_once_and_old_losses_stay_counted() {
        let mut receive = Receive::default();
        assert_eq!([1, 4].map(|n| receive.place(&header(1, n), None)), [Ok(false); 2]);
        assert_eq!([9, 11].map(|n| receive.place(&header(2, n), None)), [Ok(false); 2]);
        assert_eq!(receive.place(&header(2, 11), None), Err(Dropped::Duplicate));
        assert_eq!(receive.place(&header(2, 10), None), Ok(true));

        let mut report = LegReport::default();
        receive.fill(&mut report);

        assert_eq!((report.packets_received, report.packets_lost), (6, 2));
        assert_eq!((report.packets_duplicate, report.packets_reordered), (1, 1));
        assert_eq!(receive.ssrc(), Some(2));
    }
}
