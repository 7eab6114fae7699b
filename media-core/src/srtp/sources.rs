//! The streams that came under one key: few at a time, each with its window, none ever twice.

use super::{Refused, window::Window};

/// Streams that are followed at a time.
const LIVE: usize = 4;
/// Streams that were left and may not come again: their replays could not be told.
pub(super) const RETIRED_MAX: usize = 124;

/// Only what was authenticated gets in here, so a stranger cannot fill it.
pub(super) struct Sources {
    /// The latest heard first.
    live: [Option<(u32, Window)>; LIVE],
    retired: [u32; RETIRED_MAX],
    retired_count: usize,
}

impl Sources {
    pub(super) const fn new() -> Self {
        Self { live: [None; LIVE], retired: [0; RETIRED_MAX], retired_count: 0 }
    }

    /// What is known of a source; an empty window for one that is new and may come.
    pub(super) fn window(&self, ssrc: u32) -> Result<Window, Refused> {
        for (known, window) in self.live.iter().flatten() {
            if *known == ssrc {
                return Ok(*window);
            }
        }
        let full = self.retired_count == RETIRED_MAX && self.live.iter().all(Option::is_some);
        let left = self.retired.iter().take(self.retired_count).any(|retired| *retired == ssrc);
        if full || left { Err(Refused::Sources) } else { Ok(Window::default()) }
    }

    /// Remembers a packet that was authenticated.
    pub(super) fn accept(&mut self, ssrc: u32, index: u64) {
        let known = |entry: &Option<(u32, Window)>| entry.is_some_and(|(known, _)| known == ssrc);
        let at = self.live.iter().position(known);
        let at = at.unwrap_or_else(|| self.make_room());
        if let Some(up_to) = self.live.get_mut(..=at) {
            up_to.rotate_right(1);
        }
        let [first, ..] = &mut self.live;
        match first {
            Some((known, window)) if *known == ssrc => window.accept(index),
            Some(_) | None => {
                let mut window = Window::default();
                window.accept(index);
                *first = Some((ssrc, window));
            }
        }
    }

    /// The place that may be written over: a free one, or that of the stream unheard for longest.
    fn make_room(&mut self) -> usize {
        if let Some(free) = self.live.iter().position(Option::is_none) {
            return free;
        }
        let [.., last] = &mut self.live;
        if let Some((ssrc, _)) = last.take()
            && let Some(place) = self.retired.get_mut(self.retired_count)
        {
            *place = ssrc;
            self.retired_count += 1;
        }
        LIVE - 1
    }
}
