//! The recorder's tap: two tracks on the monotonic clock, not by arrival.

use crate::{
    clock,
    codec::g711,
    counters::Counters,
    engine::Out,
    frame::{FRAME_US, Packed},
    order::{Law, RecordFrame, RecordKind, Recorded, TalkName},
};
use std::time::Instant;

/// One talk's recording: frame i covers the 20 ms from `start + 20 ms * i`.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    talk: TalkName,
    start: Instant,
    /// The recorder knows of this talk.
    opened: bool,
    /// Frames of the time line handed over or lost.
    written: u64,
    lost: u64,
    /// What the caller said.
    left: Track,
    /// What people said to the caller.
    right: Track,
}

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Caller,
    Other,
}

impl Side {
    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::Caller => Self::Other,
            Self::Other => Self::Caller,
        }
    }
}

impl Tape {
    pub(crate) const fn new(talk: TalkName, start: Instant) -> Self {
        let (left, right) = (Track::EMPTY, Track::EMPTY);
        Self { talk, start, opened: false, written: 0, lost: 0, left, right }
    }

    /// A frame that one of the two said.
    pub(crate) fn hear(&mut self, side: Side, law: Law, frame: &Packed) {
        match side {
            Side::Caller => self.left.push(law, frame),
            Side::Other => self.right.push(law, frame),
        }
    }

    /// Hands over the frames that are complete, a few at a time after a stall.
    pub(crate) fn run(&mut self, now: Instant, out: &mut impl Out, counters: &mut Counters) {
        self.open(out);
        let complete = self.elapsed_us(now) / FRAME_US;
        for _ in 0..complete.saturating_sub(self.written).min(FRAMES_AT_ONCE) {
            self.write(out, counters);
        }
    }

    /// What the recording has become if it ends at this instant: as many frames as 20 ms fit
    /// into its time, rounded.
    pub(crate) fn recorded(&self, end: Instant) -> Recorded {
        let frames = (self.elapsed_us(end) + FRAME_US / 2) / FRAME_US;
        Recorded { frames: frames.max(self.written), lost: self.lost }
    }

    /// Hands over what is missing up to `frames`, then the end. False: the recorder has no room,
    /// call again.
    pub(crate) fn end(&mut self, frames: u64, out: &mut impl Out, counters: &mut Counters) -> bool {
        self.open(out);
        let mut left = FRAMES_AT_ONCE;
        while self.written < frames && left > 0 {
            self.write(out, counters);
            left -= 1;
        }
        self.opened && self.written >= frames && out.record(&self.mark(RecordKind::End, frames))
    }

    fn elapsed_us(&self, now: Instant) -> u64 {
        clock::micros(now.saturating_duration_since(self.start))
    }

    /// A recorder that was full at the first frame hears of the talk as soon as it has room.
    fn open(&mut self, out: &mut impl Out) {
        self.opened = self.opened || out.record(&self.mark(RecordKind::Start, 0));
    }

    fn write(&mut self, out: &mut impl Out, counters: &mut Counters) {
        let mut frame = self.mark(RecordKind::Audio, self.written);
        let (left, right) = (self.left.pop(), self.right.pop());
        for (pair, place) in frame.samples.as_chunks_mut::<2>().0.iter_mut().zip(0..) {
            *pair = [sample(left.as_ref(), place), sample(right.as_ref(), place)];
        }
        self.written += 1;
        if self.opened && out.record(&frame) {
            counters.record_frames += 1;
        } else {
            self.lost += 1;
            counters.record_frames_lost += 1;
        }
    }

    fn mark(&self, kind: RecordKind, index: u64) -> RecordFrame {
        // 2^32 frames are 994 days.
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        RecordFrame { talk: self.talk, kind, index, samples: [0; 320] }
    }
}

/// What came of one direction and was not written yet: evens out a little jitter.
#[derive(Clone, Copy, Debug)]
struct Track {
    frames: [(Law, Packed); DEPTH],
    first: usize,
    length: usize,
    /// The least that was left over after a frame was taken, and over how many takings.
    spare: usize,
    takings: u32,
}

impl Track {
    const EMPTY: Self =
        Self { frames: [(Law::A, [0; 160]); DEPTH], first: 0, length: 0, spare: DEPTH, takings: 0 };

    /// Full: the oldest goes, or what was said would be written ever later.
    fn push(&mut self, law: Law, frame: &Packed) {
        if self.length == DEPTH {
            self.skip();
        }
        if let Some(place) = self.frames.get_mut((self.first + self.length) % DEPTH) {
            *place = (law, *frame);
            self.length += 1;
        }
    }

    fn pop(&mut self) -> Option<(Law, Packed)> {
        let frame = self.frames.get(self.first).copied().filter(|_| self.length > 0);
        self.skip();
        self.shed_delay();
        frame
    }

    fn skip(&mut self) {
        if self.length > 0 {
            self.first = (self.first + 1) % DEPTH;
            self.length -= 1;
        }
    }

    /// A frame that was never needed for two seconds is only delay: one late packet must not
    /// shift the rest of the recording.
    fn shed_delay(&mut self) {
        self.spare = self.spare.min(self.length);
        self.takings += 1;
        if self.takings >= TAKINGS {
            if self.spare > 0 {
                self.skip();
            }
            (self.spare, self.takings) = (DEPTH, 0);
        }
    }
}

fn sample(frame: Option<&(Law, Packed)>, place: usize) -> i16 {
    let code = frame.and_then(|(law, packed)| Some((*law, *packed.get(place)?)));
    code.map_or(0, |(law, code)| g711::decode(law, code))
}

/// Frames of one direction that may wait: 100 ms.
const DEPTH: usize = 5;

/// Two seconds.
const TAKINGS: u32 = 100;

/// After a stall the missing frames follow eight per 20 ms.
const FRAMES_AT_ONCE: u64 = 8;
