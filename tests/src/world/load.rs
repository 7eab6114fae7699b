//! The media threads have no room left for a while: who calls then is told so before anything rings, and
//! nobody who is here notices.

use super::{World, day::Deed};
use crate::dice::Dice;
use control_plane::headroom::Measured;
use std::time::Duration;

/// Times in a row that room must be measured before it is believed, and one more.
const LOOKS: usize = 4;

impl World {
    /// On every third day, with dice of its own: the other days stay as they were.
    pub(super) fn plan_loads(&mut self) {
        let mut dice = Dice::new(self.seed, 4);
        if !dice.percent(33) {
            return;
        }
        for _ in 0..dice.number(1..4) {
            let begins = self.epoch + dice.millis(5_000..105_000);
            let ends = begins + dice.millis(500..20_000);
            self.plan(begins, Deed::Load { on: true });
            self.plan(ends, Deed::Load { on: false });
        }
    }

    pub(super) fn load(&mut self, on: bool) -> Result<(), String> {
        let used_permille = if on { 990 } else { 10 };
        let measured = Measured {
            ticks: 10_000,
            lateness_p999: Duration::from_micros(90),
            used_permille,
            used_p99_permille: used_permille,
        };
        // Whoever measures has measured before and will again.
        let doomed = std::mem::take(&mut self.doomed);
        for _ in 0..LOOKS {
            self.exchange.handle_headroom(&[measured], self.now);
            self.model.loaded(on);
            self.drain()?;
        }
        self.doomed = doomed;
        match self.exchange.board().is_overloaded() == on {
            true => Ok(()),
            false => {
                Err(format!("measured {used_permille} in a thousand, and overload is not {on}"))
            }
        }
    }
}
