//! Prompts of a leg: each is heard once, from its first sample to its last, one after the other, over
//! whatever the leg hears else.

use crate::{
    codec::g711,
    frame::{Packed, Rate, SAMPLES},
    music::Tune,
    order::{Law, OnDigit, PromptName, Source, TuneId},
    tunes::{Edition, Tunes},
};

/// What waits to be said to one leg. Allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompts {
    queue: [Option<Prompt>; PROMPTS_MAX],
    /// Frames of the first one that have left.
    said: u64,
    /// What the frame before came of.
    before: Option<Before>,
    /// Those that have been heard to their end and were not told yet.
    heard: [Option<PromptName>; HEARD_MAX],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) name: PromptName,
    pub(crate) tune: TuneId,
    pub(crate) on_digit: OnDigit,
}

/// A tune, and whether it is played round or once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Music(TuneId, Edition),
    /// The frame that would be next, while there is one.
    Prompt(TuneId, Edition, u64),
}

/// All that a leg hears which is clocked here.
pub(crate) struct Program<'a> {
    pub(crate) source: Source,
    pub(crate) prompts: &'a mut Prompts,
    pub(crate) tunes: &'a Tunes,
}

/// A frame of it.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    /// None: silence.
    of: Option<Piece<'a>>,
    /// What was heard until now and breaks off: it fades.
    fades: Option<Piece<'a>>,
    /// What is heard begins in its middle: it rises.
    rises: bool,
}

#[derive(Clone, Copy)]
enum Piece<'a> {
    Round(&'a Tune, u64),
    Once(&'a Tune, u64),
}

impl Prompts {
    pub(crate) const NONE: Self =
        Self { queue: [None; PROMPTS_MAX], said: 0, before: None, heard: [None; HEARD_MAX] };

    /// False: as many wait as may.
    pub(crate) fn add(&mut self, prompt: Prompt) -> bool {
        let free = self.queue.iter_mut().find(|place| place.is_none());
        let Some(free) = free else { return false };
        *free = Some(prompt);
        true
    }

    /// Leaves the first out, heard or not.
    pub(crate) fn drop_first(&mut self) -> Option<PromptName> {
        let first = self.queue.first_mut()?.take()?;
        self.queue.rotate_left(1);
        self.said = 0;
        Some(first.name)
    }

    /// The same, if a digit ends it.
    pub(crate) fn drop_for_digit(&mut self) -> Option<PromptName> {
        let stops = self.first().is_some_and(|first| first.on_digit == OnDigit::Stop);
        if stops { self.drop_first() } else { None }
    }

    /// One that was heard to its end, once.
    pub(crate) fn poll_heard(&mut self) -> Option<PromptName> {
        let heard = self.heard.first_mut()?.take();
        if heard.is_some() {
            self.heard.rotate_left(1);
        }
        heard
    }

    /// What is heard next comes from somewhere else.
    pub(crate) const fn interrupt(&mut self) {
        self.before = None;
    }

    fn first(&self) -> Option<&Prompt> {
        self.queue.first()?.as_ref()
    }

    fn finish_first(&mut self) {
        if let Some(name) = self.drop_first()
            && let Some(free) = self.heard.iter_mut().find(|place| place.is_none())
        {
            *free = Some(name);
        }
    }
}

impl<'a> Program<'a> {
    /// There is nothing to be heard.
    pub(crate) fn is_nothing(&self) -> bool {
        self.source == Source::Nothing && self.prompts.first().is_none()
    }

    /// A tune and nothing else, neither before this frame nor in it.
    pub(crate) fn only_music(&self) -> Option<TuneId> {
        let Source::Music(tune) = self.source else { return None };
        let quiet = self.prompts.first().is_none();
        let steady = !matches!(self.prompts.before, Some(Before::Prompt(..)));
        (quiet && steady).then_some(tune)
    }

    /// The frame that is due at this place in time.
    pub(crate) fn next(&mut self, place: u64) -> Part<'a> {
        let before = self.prompts.before.take();
        let Some(Prompt { tune, .. }) = self.prompts.first().copied() else {
            return self.without_prompt(before, place);
        };
        let Some((tune_of, edition)) = self.tunes.get(tune) else {
            self.prompts.finish_first();
            return Part::SILENCE;
        };
        let at = self.prompts.said;
        // Whoever was broken off; what has come to its end has no frame left.
        let (fades, rises) = match before {
            Some(Before::Music(music, heard)) => {
                (self.tunes.of_edition(music, heard).map(|tune| Piece::Round(tune, place)), false)
            }
            Some(Before::Prompt(was, heard, next)) if at == 0 => {
                (self.rest_of(was, heard, next), false)
            }
            // Another tune has taken its place under whoever hears it.
            Some(Before::Prompt(was, heard, next)) if heard != edition => {
                (self.rest_of(was, heard, next), true)
            }
            Some(Before::Prompt(..)) | None => (None, false),
        };
        self.prompts.said += 1;
        self.prompts.before = Some(Before::Prompt(tune, edition, at + 1));
        if at + 1 >= tune_of.frames() {
            self.prompts.finish_first();
        }
        Part { of: Some(Piece::Once(tune_of, at)), fades, rises }
    }

    fn without_prompt(&mut self, before: Option<Before>, place: u64) -> Part<'a> {
        let music = match self.source {
            Source::Music(id) => self.tunes.get(id).map(|(_, edition)| (id, edition)),
            Source::Nothing | Source::Silence => None,
        };
        self.prompts.before = music.map(|(id, edition)| Before::Music(id, edition));
        let heard = match (before, music) {
            (Some(Before::Music(was, heard)), Some((id, _))) if was == id => Some(heard),
            (Some(Before::Music(..) | Before::Prompt(..)) | None, _) => None,
        };
        let part = music.map(|(id, _)| Part::music(self.tunes, id, heard, place));
        let part = part.unwrap_or(Part::SILENCE);
        match before {
            Some(Before::Prompt(was, heard, next)) => {
                Part { fades: self.rest_of(was, heard, next), rises: true, ..part }
            }
            Some(Before::Music(..)) | None => part,
        }
    }

    fn rest_of(&self, id: TuneId, heard: Edition, next: u64) -> Option<Piece<'a>> {
        let tune = self.tunes.of_edition(id, heard)?;
        (next < tune.frames()).then_some(Piece::Once(tune, next))
    }
}

impl<'a> Part<'a> {
    const SILENCE: Self = Self { of: None, fades: None, rises: false };

    /// Music at this place in time. `heard`: the edition that was heard until now.
    pub(crate) fn music(tunes: &'a Tunes, id: TuneId, heard: Option<Edition>, place: u64) -> Self {
        let Some((tune, edition)) = tunes.get(id) else { return Self::SILENCE };
        let other = heard.filter(|heard| *heard != edition);
        let fades = other.and_then(|heard| tunes.of_edition(id, heard));
        Self {
            of: Some(Piece::Round(tune, place)),
            fades: fades.map(|tune| Piece::Round(tune, place)),
            rises: other.is_some(),
        }
    }

    /// In a law; as it was packed when the file was read, unless something fades or rises.
    pub(crate) fn packed<'s>(&self, law: Law, room: &'s mut Packed) -> &'s Packed
    where
        'a: 's,
    {
        if self.fades.is_none() && !self.rises {
            return self.of.and_then(|of| of.packed(law)).unwrap_or_else(|| g711::silence(law));
        }
        let mut samples = [0; SAMPLES];
        self.linear(Rate::Hz8000, &mut samples);
        *room = samples.map(|sample| g711::encode(law, sample));
        room
    }

    /// Nothing is heard in it.
    pub(crate) const fn is_silence(&self) -> bool {
        self.of.is_none() && self.fades.is_none()
    }

    /// Linear, at 8 or 16 kHz: as many samples as there is room for.
    pub(crate) fn linear(&self, rate: Rate, into: &mut [i16]) {
        let fade = into.len() / FADES_IN;
        into.fill(0);
        copy(self.of, rate, into, |n, sample| {
            if self.rises && n < fade { scale(sample, n, fade) } else { sample }
        });
        if let Some(head) = into.get_mut(..fade) {
            copy(self.fades, rate, head, |n, sample| scale(sample, fade - n, fade));
        }
    }
}

fn copy(
    piece: Option<Piece<'_>>,
    rate: Rate,
    into: &mut [i16],
    change: impl Fn(usize, i16) -> i16,
) {
    let samples = piece.and_then(|piece| piece.linear(rate)).unwrap_or_default();
    for ((n, to), from) in (0..).zip(into).zip(samples) {
        *to = to.saturating_add(change(n, *from));
    }
}

fn scale(sample: i16, part: usize, of: usize) -> i16 {
    let scaled = i64::from(sample) * part as i64 / (of.max(1) as i64);
    i16::try_from(scaled).unwrap_or(sample)
}

impl<'a> Piece<'a> {
    fn packed(self, law: Law) -> Option<&'a Packed> {
        match self {
            Self::Round(tune, index) => Some(tune.frame(law, index)),
            Self::Once(tune, index) => tune.frame_once(law, index),
        }
    }

    fn linear(self, rate: Rate) -> Option<&'a [i16]> {
        match self {
            Self::Round(tune, index) => Some(tune.pcm(rate, index)),
            Self::Once(tune, index) => tune.pcm_once(rate, index),
        }
    }
}

/// Prompts of a leg that may wait, the one that is heard included.
pub(crate) const PROMPTS_MAX: usize = 8;

/// Frames that leave at once are three at most, and no prompt is shorter than one.
const HEARD_MAX: usize = 4;

/// What breaks off fades within a quarter of a frame: 5 ms are no click, and nobody misses them.
const FADES_IN: usize = 4;
