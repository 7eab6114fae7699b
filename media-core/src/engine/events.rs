//! What the engine has to say, until it is fetched: answers have their place, news may be lost.

use crate::{
    leg::prompts::PROMPTS_MAX,
    order::{Event, LegName, LegReport},
    touch,
};
use std::collections::VecDeque;

/// A queue of fixed size.
#[derive(Debug)]
pub(super) struct Events {
    queue: VecDeque<(Place, Event)>,
    news: usize,
    legs: usize,
    talks: usize,
    prompts: usize,
}

/// Which part of the queue an event takes room of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Leg,
    News,
    Prompt,
    Talk,
}

impl Events {
    pub(super) fn new(legs_max: usize, talks_max: usize) -> Self {
        let queue =
            VecDeque::with_capacity(legs_max + talks_max + prompts_max(legs_max) + NEWS_MAX);
        let blank = || Event::Closed { leg: LegName(0), report: LegReport::default() };
        let queue = touch::queue(queue, || (Place::Leg, blank()));
        Self { queue, news: 0, legs: 0, talks: 0, prompts: 0 }
    }

    /// The answer of a leg that has gone. Its room is kept: see [`Self::legs`].
    pub(super) fn leg(&mut self, event: Event) {
        self.legs += 1;
        self.queue.push_back((Place::Leg, event));
    }

    /// The answer of a talk that has ended. Its room is kept: see [`Self::talks`].
    pub(super) fn talk(&mut self, event: Event) {
        self.talks += 1;
        self.queue.push_back((Place::Talk, event));
    }

    /// The end of a prompt. Its room is kept: see [`Self::prompts`].
    pub(super) fn prompt(&mut self, event: Event) {
        self.prompts += 1;
        self.queue.push_back((Place::Prompt, event));
    }

    /// Anything else. False: there was no room for it.
    pub(super) fn news(&mut self, event: Event) -> bool {
        let room = self.news < NEWS_MAX;
        if room {
            self.news += 1;
            self.queue.push_back((Place::News, event));
        }
        room
    }

    /// Legs that have gone and whose answer nobody has fetched. They count towards the most legs
    /// there may be, so that every answer has room.
    pub(super) const fn legs(&self) -> usize {
        self.legs
    }

    /// The same for talks.
    pub(super) const fn talks(&self) -> usize {
        self.talks
    }

    /// The same for prompts: with those that wait they are [`prompts_max`] at most.
    pub(super) const fn prompts(&self) -> usize {
        self.prompts
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn poll(&mut self) -> Option<Event> {
        let (place, event) = self.queue.pop_front()?;
        match place {
            Place::Leg => self.legs -= 1,
            Place::News => self.news -= 1,
            Place::Prompt => self.prompts -= 1,
            Place::Talk => self.talks -= 1,
        }
        Some(event)
    }
}

/// Prompts that may wait over all legs, those included whose end nobody has fetched.
pub(super) const fn prompts_max(legs_max: usize) -> usize {
    legs_max * 2 + PROMPTS_MAX
}

/// Events without a place of their own that may wait.
const NEWS_MAX: usize = 1024;
