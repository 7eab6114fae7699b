//! Packets that nobody here reads, in the one outgoing stream: its own name and numbers, the payload as it came.

use super::{BURST_MAX, Path, Send, Wire, fill, step};
use crate::{
    engine::Out,
    jitter::{Order, Speech},
    leg::PAYLOAD_MAX,
    rtp::header,
};

impl Send {
    /// A packet as it came. Its time goes on from where this stream is, and with the source's clock from there.
    pub(crate) fn pass_opaque(
        &mut self,
        speech: &Speech<'_>,
        now: u64,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) {
        self.lag(now, wire.counters);
        let (step, here) = (step(path), self.stream.timestamp);
        let said = speech.timestamp.wrapping_mul(path.codec.coding.clock_factor());
        let goes_on = self.ahead.map(|ahead| said.wrapping_add(ahead)).filter(|timestamp| {
            let off = timestamp.wrapping_sub(here).cast_signed().unsigned_abs();
            speech.order != Order::First && off <= JUMP * step
        });
        let timestamp = goes_on.unwrap_or(here);
        self.ahead = Some(timestamp.wrapping_sub(said));
        let marker = self.begins() || goes_on.is_none();
        let header = self.header(path.codec.payload_type, marker, timestamp);
        let mut bytes = [0; header::LENGTH + PAYLOAD_MAX];
        let length = speech.payload.len().min(PAYLOAD_MAX);
        fill(&mut bytes, &header, |into| {
            for (to, from) in into.iter_mut().zip(speech.payload) {
                *to = *from;
            }
        });
        self.hand_over(bytes.get(..header::LENGTH + length).unwrap_or_default(), path, wire);
        self.stream.timestamp = timestamp.wrapping_add(step);
        (self.starved, self.left, self.next) = (0, now, Some(now + 1));
        self.teller.rested();
    }

    /// Tells the keys that are due, and lets the time pass in which nothing came.
    pub(crate) fn keep_time(&mut self, now: u64, path: &Path, wire: &mut Wire<'_, impl Out>) {
        let due = self.lag(now, wire.counters).clamp(0, BURST_MAX);
        for left in (1..=due).rev() {
            if self.tell_next(Some(path), now, wire) {
                continue;
            }
            // The packet of the last frame may be on its way.
            if left > 1 {
                self.skip_frame(step(path));
            }
        }
    }
}

/// Frames that a source's time may be off from ours before it is another time: 2 s.
const JUMP: u32 = 100;
