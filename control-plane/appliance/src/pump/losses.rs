//! Whether recordings lose frames now, said once for each spell of it.

use std::time::{Duration, Instant};

/// A spell is over when so long nothing was lost.
const OVER_AFTER: Duration = Duration::from_secs(60);

/// Of all recordings together.
#[derive(Debug, Default)]
pub(super) struct Losses {
    seen: u64,
    spell: Option<Spell>,
}

#[derive(Clone, Copy, Debug)]
struct Spell {
    /// Lost before it.
    before: u64,
    last: Instant,
}

/// What is to be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Began,
    /// And how many frames it took.
    Over(u64),
}

impl Losses {
    /// Frames lost since the start, as they are now.
    pub(super) fn look(&mut self, lost: u64, now: Instant) -> Option<Change> {
        let before = std::mem::replace(&mut self.seen, lost);
        if lost > before {
            let began = self.spell.is_none();
            self.spell.get_or_insert(Spell { before, last: now }).last = now;
            return began.then_some(Change::Began);
        }
        let over = self.spell.take_if(|spell| now.duration_since(spell.last) >= OVER_AFTER)?;
        Some(Change::Over(lost - over.before))
    }

    pub(super) const fn go_on(&self) -> bool {
        self.spell.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spell_of_losses_is_told_when_it_begins_and_when_nothing_was_lost_for_a_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut losses = Losses::default();

        assert_eq!(losses.look(0, at(0)), None);
        assert!(!losses.go_on());
        assert_eq!(losses.look(7, at(1)), Some(Change::Began));
        assert_eq!(losses.look(9, at(2)), None, "once");
        assert_eq!(losses.look(9, at(61)), None);
        assert!(losses.go_on());
        assert_eq!(losses.look(9, at(62)), Some(Change::Over(9)));
        assert!(!losses.go_on());
        assert_eq!(losses.look(10, at(90)), Some(Change::Began), "another one");
    }
}
