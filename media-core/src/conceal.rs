//! Speech that did not come, made up from what came before it and, where that is there, from what comes behind it.
//!
//! The voice goes on by linear prediction of what was said, driven by its last pitch period, ever softer, until
//! after 60 ms nothing is left. What stands behind the gap is led up to in the same way, told backwards, and over
//! the last 20 ms of the gap the one is faded into the other. Where nothing is there yet, what comes back is faded
//! into. What each of these is worth to P.862 stands in benches/README.md.

mod voice;

use self::voice::{SAID_MIN, Voice};
use crate::{codec::g711, order::Law};
pub(crate) use voice::{PERIOD_MAX, PERIOD_MIN};

/// Makes up what is missing. Allocates nothing. In the order of [`crate::leg::Leg`]'s note.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Conceal {
    /// Samples made up since something was said; 0: nothing is being made up.
    made: usize,
    /// Samples until what stands behind the gap; 0: nothing is there.
    left: usize,
    /// Over how many of them the voice is led up to it.
    leads: usize,
    /// The last sample that was made up leads into what stands behind the gap.
    joined: bool,
    voice: Voice,
    /// What leads up to it, the last sample first.
    lead: [i16; LEAD],
}

impl Conceal {
    pub(crate) const IDLE: Self =
        Self { made: 0, left: 0, leads: 0, joined: false, voice: Voice::NONE, lead: [0; LEAD] };

    /// Something is being made up.
    pub(crate) const fn is_busy(&self) -> bool {
        self.made > 0
    }

    /// Nothing is left of the voice, and nothing is led up to: silence is as good.
    pub(crate) const fn is_mute(&self) -> bool {
        self.made >= MUTE && self.left == 0 && !self.joined
    }

    /// Samples until what stands behind the gap, where that is led up to.
    pub(crate) const fn left(&self) -> usize {
        self.left
    }

    /// A gap begins. `said`: the code words heard last, oldest first.
    pub(crate) fn begin(&mut self, law: Law, said: impl Iterator<Item = u8>) {
        let mut past = [0; PAST];
        for (sample, code) in past.iter_mut().zip(said) {
            *sample = g711::decode(law, code);
        }
        self.voice = Voice::of(&past);
        self.stop();
    }

    /// The gap is `left` samples longer, and behind it stand these code words, oldest first.
    pub(crate) fn meet(&mut self, law: Law, left: usize, come: impl Iterator<Item = u8>) {
        let (mut backwards, mut length) = ([0; LEAD], 0);
        for (sample, code) in backwards.iter_mut().rev().zip(come) {
            *sample = g711::decode(law, code);
            length += 1;
        }
        let backwards = backwards.get(LEAD - length..).unwrap_or_default();
        if length < SAID_MIN {
            return self.miss();
        }
        (self.left, self.leads) = (left, left.min(LEAD));
        let mut voice = Voice::of(backwards);
        self.lead.iter_mut().take(self.leads).for_each(|sample| *sample = voice.next());
    }

    /// Nothing is there behind the gap yet.
    pub(crate) const fn miss(&mut self) {
        self.left = 0;
    }

    /// The next sample of the gap.
    pub(crate) fn next(&mut self) -> i16 {
        let softer = MUTE.saturating_sub(self.made.max(STAGE));
        let voice = fade(i32::from(self.voice.next()), softer, MUTE - STAGE);
        self.made = (self.made + 1).min(MUTE);
        self.joined = self.left == 1;
        let sample = if (1..=self.leads).contains(&self.left) {
            let lead = self.lead.get(self.left - 1).copied().map_or(0, i32::from);
            mix(voice, lead, 2 * (self.leads - self.left) + 1, 2 * self.leads)
        } else {
            voice
        };
        self.left = self.left.saturating_sub(1);
        narrow(sample)
    }

    /// Something is said again: fades into its beginning, in place, if it was not led up to.
    pub(crate) fn end(&mut self, law: Law, said: &mut [u8]) {
        if !self.joined {
            self.miss();
            let late = self.made.saturating_sub(STAGE) / STAGE;
            let length = (self.voice.period() / 4 + late * FADE_STEP).min(FADE_MAX).min(said.len());
            for (code, place) in said.iter_mut().take(length).zip(0..) {
                let voice = i32::from(self.next());
                let said = i32::from(g711::decode(law, *code));
                *code = g711::encode(law, narrow(mix(voice, said, place + 1, length + 1)));
            }
        }
        self.stop();
    }

    /// What is being made up is forgotten.
    pub(crate) const fn stop(&mut self) {
        (self.made, self.left, self.joined) = (0, 0, false);
    }
}

/// `part` of `whole` of the second, the rest of the first.
pub(crate) fn mix(first: i32, second: i32, part: usize, whole: usize) -> i32 {
    fade(first, whole - part.min(whole), whole) + fade(second, part, whole)
}

/// `part` of `whole` of a sample.
fn fade(sample: i32, part: usize, whole: usize) -> i32 {
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    sample * number(part) / number(whole.max(1))
}

pub(crate) fn narrow(sample: i32) -> i16 {
    i16::try_from(sample.clamp(i16::MIN.into(), i16::MAX.into())).unwrap_or_default()
}

/// Samples that are listened back to: what is compared, as far back as the longest period.
pub(crate) const PAST: usize = voice::WINDOW + PERIOD_MAX;

/// Samples of what stands behind a gap that are listened to, and that lead up to it: 20 ms.
pub(crate) const LEAD: usize = 160;

/// 10 ms: from then on the voice grows softer.
const STAGE: usize = 80;

/// After 60 ms nothing is left.
pub(crate) const MUTE: usize = 480;

/// The way back is 4 ms longer for every 10 ms of gap, up to 10 ms.
const FADE_STEP: usize = 32;
const FADE_MAX: usize = 80;

#[cfg(test)]
mod tests;
