//! The wall clock of the box is set while people talk: nobody notices, and the box knows what time it is.

use super::{World, day::Deed, site::AWAY};
use crate::{dice::Dice, model::MORNING};
use control_plane::time::{Ahead, Clock, Stamp};
use std::time::Duration;

/// What the box goes by may be so far from what the clock says.
const NEAR: Duration = Duration::from_secs(1);

impl World {
    /// On every fourth day on which the box lives on, with dice of its own: the other days stay as they were.
    pub(super) fn plan_clocks(&mut self) {
        let mut dice = Dice::new(self.seed, 5);
        if self.journal.is_some() || !dice.percent(25) {
            return;
        }
        for _ in 0..dice.number(1..4) {
            let at = self.epoch + dice.millis(1_000..120_000);
            // From a box that thinks it is some days ago to one that is some hours late, and steps too small to tell.
            let ahead = match dice.percent(70) {
                true => dice.number(0..5 * 86_400_000_000).cast_signed() - 2 * 86_400_000_000,
                false => dice.number(0..3_000_000).cast_signed() - 1_500_000,
            };
            self.plan(at, Deed::SetClock { ahead: Ahead(ahead) });
        }
    }

    fn wall(&self) -> Stamp {
        self.ahead.wall(Clock::new(self.epoch, MORNING).stamp(self.now))
    }

    /// Whether the team is away now, read from the clock on the wall. `None`: it opens or closes just now.
    pub(super) fn is_closed(&self) -> Option<bool> {
        let wall = self.wall();
        let minute = |at: Stamp| u16::try_from(at.0 / 60_000_000 % 60).unwrap_or_default();
        let near = |at: Stamp| minute(at) == minute(wall);
        let settled = near(wall + 2 * NEAR) && near(wall - 2 * NEAR);
        settled.then(|| self.site.closes && minute(wall) == AWAY)
    }

    pub(super) fn set_clock(&mut self, ahead: Ahead) -> Result<(), String> {
        self.ahead = ahead;
        let wall = self.wall();
        self.exchange.handle_wall_clock(wall, self.now);
        self.drain()?;
        self.reached.clock_set += 1;
        let off = ahead.apart(self.exchange.board().ahead());
        match off <= NEAR {
            true => Ok(()),
            false => Err(format!("the box goes by a clock that is {off:?} off")),
        }
    }
}
