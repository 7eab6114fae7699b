//! Packets that nobody here reads, in the one outgoing stream: its own name and numbers, the payload as it came.

use super::{BURST_MAX, Path, Send, Wire, fill, step};
use crate::{
    engine::Out,
    jitter::{Order, Speech},
    leg::PAYLOAD_MAX,
    rtp::header,
};

/// Where what passes through stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    /// From the other side's time stamps to ours.
    ahead: Option<u32>,
    /// Time stamp of what left last, a key's beginning included.
    last: u32,
    /// How far its time stamps were before the clock when the last left, less what has passed since.
    before: i64,
    /// Packets that may leave at once, and since which frame.
    credit: u64,
    since: u64,
}

impl Passing {
    pub(super) const NOTHING: Self =
        Self { ahead: None, last: 0, before: 0, credit: CREDIT_MAX, since: 0 };

    /// One more packet leaves in this frame. False: there were too many.
    fn take(&mut self, now: u64, step: u32) -> bool {
        let frames = now.saturating_sub(self.since);
        let given = frames.saturating_mul(PACKETS);
        // Clocks of far sides that are a little fast may stay so.
        let passed = i64::try_from(frames.saturating_mul(step.into())).unwrap_or(i64::MAX);
        self.before = self.before.saturating_sub(passed).saturating_sub(passed / 64);
        self.since = self.since.max(now);
        let credit = self.credit.saturating_add(given).min(CREDIT_MAX);
        self.credit = credit.saturating_sub(1);
        credit > 0
    }

    /// How far this time stamp would be before the clock. None: too far for any packet held up on its way.
    fn before(&self, timestamp: u32, step: u32) -> Option<i64> {
        let further = timestamp.wrapping_sub(self.last).cast_signed();
        let before = self.before + self.ahead.map_or(0, |_| i64::from(further));
        (before <= i64::from(JUMP * step)).then_some(before)
    }
}

impl Send {
    /// A packet as it came. Its time goes on from where this stream is, and with the source's clock from there.
    /// False: more come than any codec has, or of more time than passes, and this one goes no further.
    pub(crate) fn pass_opaque(
        &mut self,
        speech: &Speech<'_>,
        now: u64,
        path: &Path,
        wire: &mut Wire<'_, impl Out>,
    ) -> bool {
        let step = step(path);
        if !self.passing.take(now, step) {
            return false;
        }
        self.lag(now, wire.counters);
        let here = self.stream.timestamp;
        let said = speech.timestamp.wrapping_mul(path.codec.coding.clock_factor());
        let Passing { ahead, last, .. } = self.passing;
        let goes_on = ahead.map(|ahead| said.wrapping_add(ahead)).filter(|timestamp| {
            let off = timestamp.wrapping_sub(here).cast_signed().unsigned_abs();
            let forward = timestamp.wrapping_sub(last).cast_signed() > 0;
            let in_time = self.passing.before(*timestamp, step).is_some();
            speech.order != Order::First && forward && off <= JUMP * step && in_time
        });
        let timestamp = goes_on.unwrap_or(here);
        let Some(before) = self.passing.before(timestamp, step) else { return false };
        self.passing.before = before.max(0);
        self.passing.ahead = Some(timestamp.wrapping_sub(said));
        self.passing.last = timestamp;
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
        true
    }

    /// Tells the keys that are due, and lets the time pass in which nothing came.
    pub(crate) fn keep_time(&mut self, now: u64, path: &Path, wire: &mut Wire<'_, impl Out>) {
        let due = self.lag(now, wire.counters).clamp(0, BURST_MAX);
        for left in (1..=due).rev() {
            if self.tell_next(Some(path), now, wire) {
                self.passing.last = self.key_began;
                continue;
            }
            // The packet of the last frame may be on its way.
            if left > 1 {
                self.skip_frame(step(path));
                self.teller.rested();
            }
        }
    }
}

/// Frames that a source's time may be off from ours before it is another time: 2 s.
const JUMP: u32 = 100;

/// Packets a frame, twice as many as of the shortest that G.729 and AMR are sent in; so many may come at
/// once after a network held them up.
const PACKETS: u64 = 4;
const CREDIT_MAX: u64 = 4 * PACKETS;
