//! The recorder's tap: two tracks on the monotonic clock, not by arrival.
//!
//! A frame lies where the listener's stream had it, whenever it came: what is recorded is what was
//! heard, concealed frames included, sample by sample.

pub mod ogg;
pub mod opus;
mod pause;
pub mod peaks;
pub mod seal;

use crate::{
    clock,
    codec::g711,
    counters::Counters,
    engine::Out,
    frame::{FRAME_US, Packed, SAMPLES},
    order::{self, Law, RecordFrame, RecordKind, Recorded, TalkName},
};
use pause::Pauses;
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
    pauses: Pauses,
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
        Self { talk, start, opened: false, written: 0, lost: 0, pauses: Pauses::NONE, left, right }
    }

    /// A frame that one of the two said, and its place in the stream of who heard it. One that
    /// stands too far from where the recording is, as after a stall of this thread, is lost.
    pub(crate) fn hear(
        &mut self,
        side: Side,
        law: Law,
        frame: &Packed,
        place: u64,
        now: Instant,
        counters: &mut Counters,
    ) {
        if self.pauses.goes_on() {
            return;
        }
        let index = self.elapsed_us(now) / FRAME_US;
        let written = self.written;
        let track = match side {
            Side::Caller => &mut self.left,
            Side::Other => &mut self.right,
        };
        if !track.put(law, frame, place, index, written) {
            self.lost += 1;
            counters.record_frames_lost += 1;
        }
    }

    /// What this side said last and what it says in the next frames is silence in the file.
    pub(crate) fn hush(&mut self, side: Side, frames: u64) {
        match side {
            Side::Caller => self.left.hush(frames),
            Side::Other => self.right.hush(frames),
        }
    }

    /// Frames that one said and nobody took: silence in the file.
    pub(crate) const fn miss(&mut self, frames: u64, counters: &mut Counters) {
        self.lost += frames;
        counters.record_frames_lost += frames;
    }

    /// Nothing is kept from now on; the line goes on in silence.
    pub(crate) fn pause(&mut self, now: Instant) {
        self.pauses.begin(self.elapsed_us(now) / FRAME_US, self.written);
    }

    /// What is said from now on is kept again.
    pub(crate) fn resume(&mut self, now: Instant) {
        self.pauses.end(self.elapsed_us(now) / FRAME_US);
    }

    /// Others hear each other from now on: their places are their own.
    pub(crate) const fn joined(&mut self) {
        (self.left.begins, self.right.begins) = (None, None);
    }

    /// Hands over the frames that are complete, a few at a time after a stall.
    pub(crate) fn run(&mut self, now: Instant, out: &mut impl Out, counters: &mut Counters) {
        self.open(out);
        // A stream may lag: a frame is complete when nothing can come for it any more.
        let complete = (self.elapsed_us(now) / FRAME_US).saturating_sub(HOLD);
        for _ in 0..complete.saturating_sub(self.written).min(FRAMES_AT_ONCE) {
            self.write(out, counters);
        }
    }

    /// What the recording has become if it ends at this instant: as many frames as 20 ms fit
    /// into its time, rounded.
    pub(crate) fn recorded(&self, end: Instant) -> Recorded {
        let frames = (self.elapsed_us(end) + FRAME_US / 2) / FRAME_US;
        let frames = frames.max(self.written);
        Recorded { frames, lost: self.lost, paused: self.pauses.frames(frames) }
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
        let tracks = [self.left.take(self.written), self.right.take(self.written)];
        if self.pauses.holds(self.written) {
            frame.kind = RecordKind::Paused;
        } else {
            frame.tracks = tracks;
        }
        self.written += 1;
        if self.opened && out.record(&frame) {
            counters.record_frames += 1;
        } else {
            self.lost += 1;
            counters.record_frames_lost += 1;
            counters.record_frames_refused += 1;
        }
    }

    fn mark(&self, kind: RecordKind, index: u64) -> RecordFrame {
        // 2^32 frames are 994 days.
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        RecordFrame { talk: self.talk, kind, index, tracks: [None; 2] }
    }
}

/// What came of one direction and was not written yet, by place on the time line.
#[derive(Clone, Copy, Debug)]
struct Track {
    frames: [Option<(u64, Law, Packed)>; DEPTH],
    /// Place 0 of the listener's stream on the time line of the recording.
    begins: Option<i64>,
    /// The first frame of the time line for which nothing has come.
    next: u64,
    /// So many of the next are silence.
    hushed: u64,
}

impl Track {
    const EMPTY: Self = Self { frames: [None; DEPTH], begins: None, next: 0, hushed: 0 };

    fn hush(&mut self, frames: u64) {
        for at in self.next.saturating_sub(HUSHED)..self.next {
            if let Some(Some((index, law, frame))) = self.slot(at)
                && *index == at
            {
                *frame = *g711::silence(*law);
            }
        }
        self.hushed = frames;
    }

    /// `index`: where on the time line it is now; `written`: how far it has been handed over.
    /// False: there is no place for it, or somebody else's frame had to give way.
    fn put(&mut self, law: Law, frame: &Packed, place: u64, index: u64, written: u64) -> bool {
        let place = place.cast_signed();
        // On another grid what is heard now may fall where the last frame stands: it follows that one.
        let first = index.max(self.next);
        let begins = *self.begins.get_or_insert_with(|| first.cast_signed() - place);
        let at = u64::try_from(begins + place).unwrap_or(0);
        let room = (written..written + DEPTH as u64).contains(&at);
        if room {
            self.next = self.next.max(at + 1);
        }
        let said = if self.hushed > 0 { g711::silence(law) } else { frame };
        self.hushed = self.hushed.saturating_sub(1);
        let Some(slot) = self.slot(at).filter(|_| room) else { return false };
        slot.replace((at, law, *said)).is_none()
    }

    fn take(&mut self, at: u64) -> order::Track {
        let (index, law, frame) = self.slot(at)?.take()?;
        (index == at).then_some((law, frame))
    }

    fn slot(&mut self, at: u64) -> Option<&mut Option<(u64, Law, Packed)>> {
        self.frames.get_mut(usize::try_from(at % DEPTH as u64).ok()?)
    }
}

/// One frame as pairs of samples, left before right: what recordings hold. For the recorder's
/// thread: the media thread hands frames over packed, half as many bytes for its caches.
pub fn unpack(tracks: &[order::Track; 2]) -> [[i16; 2]; SAMPLES] {
    let mut pairs = [[0; 2]; SAMPLES];
    for (side, track) in tracks.iter().enumerate() {
        let Some((law, packed)) = track else { continue };
        for (pair, code) in pairs.iter_mut().zip(packed) {
            pair[side] = g711::decode(*law, *code);
        }
    }
    pairs
}

/// Frames by which a stream may lag behind real time, and one of the grids' difference: 120 ms.
const HOLD: u64 = 6;

/// Frames back in which a key may have begun that is known only now: 40 ms and a frame.
const HUSHED: u64 = 3;

/// Frames of one direction that may wait: those, and what runs ahead.
const DEPTH: usize = 16;

/// After a stall the missing frames follow 32 per 20 ms.
const FRAMES_AT_ONCE: u64 = 32;
