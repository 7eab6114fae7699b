//! Keys that come in the audio or from above, and who is told them in which way.

use super::{Engine, Out};
use crate::{
    codec::g711,
    digits::{Key, Pressed, ways::Means},
    frame::Frame,
    jitter::{Kind, Speech},
    leg::{Mode, PAYLOAD_MAX},
    order::{By, Digit, Event, LegName},
    record::Side,
};
use std::time::{Duration, Instant};

impl Engine {
    /// How a leg's keys come and go from now on.
    pub(super) fn set_keys(
        &mut self,
        name: LegName,
        hears_tones: bool,
        told_by: By,
        masked: bool,
        now: Instant,
    ) {
        let slot = self.legs.slot(name.0);
        let Some((slot, leg)) = slot.and_then(|slot| Some((slot, self.legs.get_mut(slot)?))) else {
            return self.refuse(name, "keys: no such leg");
        };
        if let Some(key) = leg.keys.set(hears_tones, told_by, masked) {
            self.pass_key(slot, key, Means::Tones, now);
        }
    }

    /// A key that the far side has told by its signalling.
    pub(super) fn take_pressed(
        &mut self,
        name: LegName,
        digit: Digit,
        duration: Duration,
        now: Instant,
    ) {
        let slot = self.legs.slot(name.0);
        let Some((slot, leg)) = slot.and_then(|slot| Some((slot, self.legs.get_mut(slot)?))) else {
            return self.refuse(name, "pressed: no such leg");
        };
        if !leg.reader.afford(now) {
            return self.refuse(name, "pressed: more keys than anybody presses");
        }
        for key in [Key::Down(digit), Key::Up(Pressed { digit, duration, at: now })] {
            self.pass_key(slot, key, Means::Signalling, now);
        }
    }

    /// Audio of a leg in which keys are looked for. Where those who hear it are told them as keys, their
    /// tones go no further.
    pub(super) fn take_tones(
        &mut self,
        slot: usize,
        speech: &Speech<'_>,
        now: Instant,
        out: &mut impl Out,
    ) {
        let Some(leg) = self.legs.get_mut(slot) else { return };
        let Some(law) = leg.law() else { return self.take_audio(slot, speech, now, out) };
        let keys = leg.keys.hear(law, speech, now);
        let down = leg.keys.is_down();
        for key in keys.into_iter().flatten() {
            self.pass_key(slot, key, Means::Tones, now);
        }
        let silence = [g711::silence(law)[0]; PAYLOAD_MAX];
        let silent = silence.get(..speech.payload.len()).filter(|_| down && self.is_told(slot));
        let payload = silent.unwrap_or(speech.payload);
        self.take_audio(slot, &Speech { payload, ..*speech }, now, out);
    }

    /// As [`Self::take_tones`], of a frame that a leg with a coder has said in a room. True: it goes no
    /// further.
    pub(super) fn take_said_tones(
        &mut self,
        slot: usize,
        frame: &Frame,
        kind: Kind,
        now: Instant,
    ) -> bool {
        let Some(leg) = self.legs.get_mut(slot) else { return false };
        if leg.coder.is_none() || !leg.keys.hears() {
            return false;
        }
        let keys = leg.keys.hear_said(frame, kind, now);
        let down = leg.keys.is_down();
        for key in keys.into_iter().flatten() {
            self.pass_key(slot, key, Means::Tones, now);
        }
        down && self.is_told(slot)
    }

    /// Those who hear this leg know the key that is down: its tone must not say it again.
    fn is_told(&mut self, slot: usize) -> bool {
        let Some(leg) = self.legs.get_mut(slot) else { return false };
        let (mode, masked, known) =
            (leg.mode, leg.keys.masked, leg.keys.once.is_known(Means::Tones));
        let told = match mode {
            Mode::Bridged { peer, .. } => self
                .legs
                .get_mut(peer)
                .is_some_and(|peer| peer.keys.told_by != By::Tones && peer.can_be_told()),
            // There they are told by tones of ours too.
            Mode::Room { talk } => match self.only_other(talk, slot) {
                Some(other) => self.legs.get_mut(other).is_some_and(|leg| leg.can_be_told()),
                None => true,
            },
            Mode::Hear(_) => return false,
        };
        masked || known || told
    }

    /// What this leg said last, and what of it is still on its way, stands in no recording.
    pub(super) fn hush(&mut self, slot: usize) {
        let Some(leg) = self.legs.get_mut(slot) else { return };
        let (name, mode, waiting) = (leg.name, leg.mode, leg.receive.waiting_frames());
        let Some(talk) = self.talk_of(slot).and_then(|talk| self.talks.get_mut(talk)) else {
            return;
        };
        let side = match mode {
            Mode::Bridged { side, .. } => side,
            Mode::Room { .. } | Mode::Hear(_) if talk.caller == name => Side::Caller,
            Mode::Room { .. } | Mode::Hear(_) => Side::Other,
        };
        if let Some(tape) = talk.tape() {
            tape.hush(side, waiting);
        }
    }

    /// Keys for a far side that is told by its signalling: whoever does that hears of them.
    pub(super) fn tell_above(&mut self, leg: LegName, digit: Digit, duration: Duration) {
        self.tell(Event::Tell { leg, digit, duration });
    }
}
