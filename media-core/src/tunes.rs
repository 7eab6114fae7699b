//! The tunes an engine plays. Another may take the place of one while it is heard: who hears it hears
//! the old one fade.

use crate::{music::Tune, order::TuneId};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// All of them; their number is fixed.
#[derive(Debug)]
pub(crate) struct Tunes {
    shelf: Vec<Shelved>,
    /// How many have one before them that may still be heard.
    fading: usize,
}

#[derive(Debug)]
struct Shelved {
    tune: Arc<Tune>,
    edition: Edition,
    /// The one whose place it took, and until when it is kept.
    before: Option<(Arc<Tune>, Instant)>,
}

/// How often another took the place of a tune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edition(u32);

impl Tunes {
    pub(crate) fn new(tunes: Vec<Arc<Tune>>) -> Self {
        let shelved = |tune| Shelved { tune, edition: Edition(0), before: None };
        Self { shelf: tunes.into_iter().map(shelved).collect(), fading: 0 }
    }

    pub(crate) const fn len(&self) -> usize {
        self.shelf.len()
    }

    /// A tune as it is now.
    pub(crate) fn get(&self, id: TuneId) -> Option<(&Tune, Edition)> {
        self.shelf.get(usize::from(id.0)).map(|of| (&*of.tune, of.edition))
    }

    /// A tune as somebody has heard it until now, if it can still be had.
    pub(crate) fn of_edition(&self, id: TuneId, edition: Edition) -> Option<&Tune> {
        let of = self.shelf.get(usize::from(id.0))?;
        if of.edition == edition {
            return Some(&of.tune);
        }
        let last = of.edition.0.wrapping_sub(1) == edition.0;
        of.before.as_ref().filter(|_| last).map(|(tune, _)| &**tune)
    }

    /// Gives back what nobody has a use for any more: memory is released elsewhere.
    pub(crate) fn replace(
        &mut self,
        id: TuneId,
        tune: Arc<Tune>,
        now: Instant,
    ) -> Option<Arc<Tune>> {
        let Some(of) = self.shelf.get_mut(usize::from(id.0)) else { return Some(tune) };
        let old = std::mem::replace(&mut of.tune, tune);
        of.edition.0 = of.edition.0.wrapping_add(1);
        let older = of.before.replace((old, now + FADES_WITHIN));
        self.fading += usize::from(older.is_none());
        older.map(|(tune, _)| tune)
    }

    /// One that has faded everywhere by now.
    pub(crate) fn poll_faded(&mut self, now: Instant) -> Option<Arc<Tune>> {
        if self.fading == 0 {
            return None;
        }
        let over = |of: &&mut Shelved| of.before.as_ref().is_some_and(|(_, until)| *until <= now);
        let (tune, _) = self.shelf.iter_mut().find(over)?.before.take()?;
        self.fading -= 1;
        Some(tune)
    }
}

/// Every leg is served each 20 ms; this is for one that is late.
const FADES_WITHIN: Duration = Duration::from_millis(200);
