//! The times of a recording in which nothing is to be recorded.
//!
//! What is said in a pause is not kept at all. As a stream may lag, the last moments before a pause
//! and the first after it may be silent too: rather those than a word that was not meant for it.

/// Of one recording, in frames of its time line.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pauses {
    /// The one that goes on: where it began.
    begun: Option<u64>,
    /// The last one that ended: from, to. Those before it have been written.
    last: Option<(u64, u64)>,
    /// Frames of all that have ended.
    ended: u64,
}

impl Pauses {
    pub(crate) const NONE: Self = Self { begun: None, last: None, ended: 0 };

    pub(crate) const fn goes_on(&self) -> bool {
        self.begun.is_some()
    }

    /// From this frame on; the line is written up to `written`.
    pub(crate) fn begin(&mut self, at: u64, written: u64) {
        if self.begun.is_some() {
            return;
        }
        let at = at.max(written);
        // One that ended a moment ago and is not written yet goes on: only one is remembered.
        self.begun = match self.last.take() {
            Some((from, to)) if to > written => {
                self.ended -= to - from;
                Some(from)
            }
            Some(_) | None => Some(at),
        };
    }

    /// Up to this frame.
    pub(crate) fn end(&mut self, at: u64) {
        let Some(from) = self.begun.take() else { return };
        let to = at.max(from);
        self.ended += to - from;
        self.last = Some((from, to));
    }

    pub(crate) fn holds(&self, frame: u64) -> bool {
        let goes_on = self.begun.is_some_and(|from| frame >= from);
        goes_on || self.last.is_some_and(|(from, to)| (from..to).contains(&frame))
    }

    /// All of them, in a line that ends here.
    pub(crate) fn frames(&self, end: u64) -> u64 {
        self.ended + self.begun.map_or(0, |from| end.saturating_sub(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_told_frame_by_frame_and_counted_once() {
        let mut pauses = Pauses::NONE;
        pauses.begin(10, 4);
        pauses.begin(15, 4);
        assert_eq!((pauses.goes_on(), pauses.frames(12)), (true, 2));
        pauses.end(20);
        pauses.end(25);
        let held: Vec<u64> = (0..30).filter(|&frame| pauses.holds(frame)).collect();
        assert_eq!((held, pauses.frames(30)), ((10..20).collect(), 10));

        pauses.begin(22, 19);
        assert!(pauses.holds(21), "the one before is not written yet: it goes on");
        pauses.end(24);
        assert_eq!(pauses.frames(30), 14);

        pauses.begin(40, 34);
        assert!(!pauses.holds(39) && pauses.holds(41));
        assert_eq!(pauses.frames(45), 19);
    }
}
