//! How one party's keys come besides RFC 4733, and how it is told those of others.

use super::PAYLOAD_MAX;
use crate::{
    codec::g711,
    digits::{Key, tones::Detector, ways::Once},
    frame::{Frame, STEP},
    jitter::{Kind, Order, Speech},
    order::{By, Law},
};
use std::time::{Duration, Instant};

/// Keys of one leg. Allocates nothing.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) told_by: By,
    /// What it presses is in no recording.
    pub(crate) masked: bool,
    /// Keys are looked for in what it says.
    hears: bool,
    pub(crate) once: Once,
    /// Time stamp of the audio that comes next, and when the last came.
    next: Option<u32>,
    last: Option<Instant>,
    detector: Detector,
}

impl Keys {
    pub(crate) const NEW: Self = Self {
        told_by: By::Events,
        masked: false,
        hears: false,
        once: Once::NEW,
        next: None,
        last: None,
        detector: Detector::NEW,
    };

    /// Gives the end of a key that nobody listens for any more.
    pub(crate) fn set(&mut self, hears_tones: bool, told_by: By, masked: bool) -> Option<Key> {
        (self.hears, self.told_by, self.masked) = (hears_tones, told_by, masked);
        if hears_tones { None } else { self.stop() }
    }

    pub(crate) const fn hears(&self) -> bool {
        self.hears
    }

    /// A key is down in the packet that was heard last.
    pub(crate) fn is_down(&self) -> bool {
        self.detector.is_down()
    }

    /// Takes a packet in: what it ends and begins. One that comes behind another says nothing.
    pub(crate) fn hear(&mut self, law: Law, speech: &Speech<'_>, now: Instant) -> [Option<Key>; 3] {
        let Speech { timestamp, payload, order, .. } = *speech;
        let gap = self.next.map_or(0, |next| timestamp.wrapping_sub(next).cast_signed());
        let ended = match order {
            Order::Behind => return [None; 3],
            Order::First => self.stop(),
            Order::Next { .. } if gap == 0 => None,
            Order::Next { lost: 1.. } if (1..LONGEST_HOLE).contains(&gap) => {
                self.detector.skip(gap.unsigned_abs());
                None
            }
            // It said nothing for a while, or nobody knows what.
            Order::Next { .. } => self.stop(),
        };
        let length = u32::try_from(payload.len()).unwrap_or(0);
        (self.next, self.last) = (Some(timestamp.wrapping_add(length)), Some(now));
        let mut audio = [0; PAYLOAD_MAX];
        for (sample, code) in audio.iter_mut().zip(payload) {
            *sample = g711::decode(law, *code);
        }
        let heard = audio.get(..payload.len()).unwrap_or(&audio);
        let [first, second] = self.detector.take(heard, now);
        [ended, first, second]
    }

    /// As [`Self::hear`], of a frame that a coder has said.
    pub(crate) fn hear_said(
        &mut self,
        frame: &Frame,
        kind: Kind,
        now: Instant,
    ) -> [Option<Key>; 2] {
        (self.next, self.last) = (None, Some(now));
        // What is made up of a tone is more of it.
        if kind == Kind::Concealed {
            self.detector.skip(STEP);
            return [None; 2];
        }
        self.detector.take(frame, now)
    }

    /// The key that is down although nothing comes any more.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Key> {
        let last = self.last?;
        if now.saturating_duration_since(last) < FORGOTTEN { None } else { self.stop() }
    }

    fn stop(&mut self) -> Option<Key> {
        (self.next, self.last) = (None, None);
        self.detector.stop()
    }
}

/// In samples: 200 ms.
const LONGEST_HOLE: i32 = 1_600;

/// As for keys whose packets stop.
const FORGOTTEN: Duration = Duration::from_millis(350);
