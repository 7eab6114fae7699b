//! On which media thread a conversation begins: the rule, and nothing else.

use std::time::Duration;

use crate::headroom::Headroom;

/// What is known of one media thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Load {
    /// Legs it has, those included that are on their way to it.
    pub(crate) legs: usize,
    /// How hard it had it over the last seconds, in steps so coarse that chance makes none.
    pub(crate) strain: u32,
    /// Legs that came since, whose weight no measurement knows.
    pub(crate) came: u32,
}

impl Load {
    pub(crate) fn take(&mut self) {
        self.legs += 1;
        self.came = self.came.saturating_add(1);
    }

    /// What was measured, and what those who came since may make of it.
    fn expected(&self) -> u32 {
        self.strain.saturating_add(self.came / LEGS_STEP)
    }

    pub(crate) fn measured(&mut self, room: &Headroom) {
        self.came = 0;
        let steps_late = room.lateness_p999.as_micros() / LATENESS_STEP.as_micros();
        let steps_used = room.used_permille / USED_STEP_PERMILLE;
        self.strain = u32::try_from(steps_late).unwrap_or(u32::MAX).saturating_add(steps_used);
    }
}

/// The thread for a conversation that is on none yet: the one that has it easiest, of several the one
/// with fewest legs, of several the first.
pub(crate) fn lightest(threads: &[Load]) -> usize {
    let by_load = threads.iter().enumerate().min_by_key(|(_, load)| (load.expected(), load.legs));
    by_load.map_or(0, |(thread, _)| thread)
}

/// Legs of Opus that take a tenth of a core at complexity 5 are sixteen (measured): the dearest there are.
const LEGS_STEP: u32 = 16;
const USED_STEP_PERMILLE: u32 = 100;
const LATENESS_STEP: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn load(legs: usize, used_permille: u32, lateness_ms: u64) -> Load {
        let mut load = Load { legs, strain: 0, came: 0 };
        let lateness_p999 = Duration::from_millis(lateness_ms);
        load.measured(&Headroom { used_permille, lateness_p999, ..Headroom::default() });
        load
    }

    #[test]
    fn a_conversation_begins_where_fewest_legs_are() {
        assert_eq!(lightest(&[load(4, 0, 0), load(2, 0, 0), load(2, 0, 0)]), 1);
        assert_eq!(lightest(&[load(0, 0, 0)]), 0);
        assert_eq!(lightest(&[load(4, 90, 4), load(2, 10, 0)]), 1, "nor does chance decide");
        assert_eq!(lightest(&[load(2, 90, 4), load(4, 10, 0)]), 0);
    }

    #[test]
    fn a_rush_between_two_measurements_is_shared() {
        let mut threads = [load(20, 110, 0), load(10, 90, 0)];

        for _ in 0..120 {
            let lightest = lightest(&threads);
            threads[lightest].take();
        }

        let came = threads.map(|thread| thread.came);
        assert!(came.iter().all(|came| *came > 40), "{came:?}");
    }

    #[test]
    fn a_thread_that_has_it_harder_gets_none_however_few_legs_it_has() {
        assert_eq!(lightest(&[load(2, 600, 0), load(40, 200, 0)]), 1, "they record, or translate");
        assert_eq!(lightest(&[load(2, 100, 30), load(40, 200, 0)]), 1, "its core is not its own");
    }
}
