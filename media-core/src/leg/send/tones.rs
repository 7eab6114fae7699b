//! Keys told as tones, in place of the audio that would leave.

use super::{Path, Send, Wire};
use crate::{
    counters::Counters,
    digits::{Say, tones::Tones},
    engine::Out,
    frame::{Rate, SILENCE},
    order::Digit,
    room::pack,
};

impl Send {
    /// In place of the frame that leaves next: what is due of a key. False: no key is due.
    pub(super) fn sound_next(
        &mut self,
        path: &Path,
        now: u64,
        wire: &mut Wire<'_, impl Out>,
    ) -> bool {
        let Some(law) = path.codec.bare() else { return false };
        let mut frame = SILENCE;
        if !self.sound(Rate::Hz8000, &mut frame, wire.counters) {
            return false;
        }
        self.left = now;
        self.emit(&pack(law, &frame), None, path, wire);
        true
    }

    /// The tones that are due of a key, as audio of this rate. False: no key is due.
    pub(in crate::leg) fn sound(
        &mut self,
        rate: Rate,
        frame: &mut [i16],
        counters: &mut Counters,
    ) -> bool {
        let Some(Say { payload: [event, ..], first, last }) = self.teller.next() else {
            return false;
        };
        self.quiet.end();
        if first {
            self.tones = Digit::from_event(event).map(|digit| Tones::new(digit, rate.hertz()));
            counters.digits_out += 1;
        }
        if let Some(tones) = &mut self.tones {
            tones.fill(frame, last);
        }
        true
    }
}
