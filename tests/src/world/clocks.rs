//! The wall clock of the box is set while people talk: nobody notices, and the box knows what time it is.

use super::{World, day::Deed};
use crate::{dice::Dice, model::MORNING};
use control_plane::time::{Ahead, Clock};
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

    pub(super) fn set_clock(&mut self, ahead: Ahead) -> Result<(), String> {
        let wall = ahead.wall(Clock::new(self.epoch, MORNING).stamp(self.now));
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
