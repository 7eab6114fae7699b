//! What is said to a leg once: queued, heard, broken off, and told how it ended.

use super::{Engine, events::prompts_max};
use crate::{
    digits::Key,
    leg::prompts::{Prompt, Prompts},
    order::{Event, LegName, OnDigit, PromptEnd, PromptName, TuneId},
};

impl Engine {
    pub(super) fn play(
        &mut self,
        name: LegName,
        prompt: PromptName,
        tune: TuneId,
        on_digit: OnDigit,
    ) {
        let Some(slot) = self.legs.slot(name.0) else {
            return self.refuse(name, "play: no such leg");
        };
        if usize::from(tune.0) >= self.tunes.len() {
            return self.refuse(name, "play: no such tune");
        }
        if self.talk_of(slot).is_some() {
            return self.refuse(name, "play: this leg is in a talk");
        }
        // Every end has its place among the events.
        if self.prompts_waiting + self.events.prompts() >= prompts_max(self.legs_max) {
            return self.refuse(name, "play: no room for another prompt");
        }
        let Some(leg) = self.legs.get_mut(slot) else { return };
        if !leg.prompts.add(Prompt { name: prompt, tune, on_digit }) {
            return self.refuse(name, "play: 8 prompts wait on this leg, which is the most");
        }
        self.prompts_waiting += 1;
    }

    pub(super) fn stop_prompts(&mut self, name: LegName) {
        match self.legs.slot(name.0) {
            Some(slot) => self.end_all(slot, PromptEnd::Stopped, Prompts::drop_first),
            None => self.refuse(name, "stop prompts: no such leg"),
        }
    }

    /// The leg hears somebody from now on, or nobody any more.
    pub(super) fn end_prompts(&mut self, slot: usize, how: PromptEnd) {
        self.end_all(slot, how, Prompts::drop_first);
        if let Some(leg) = self.legs.get_mut(slot) {
            leg.prompts.interrupt();
        }
    }

    /// A key that goes down ends what it may, before it is up: whoever presses it has heard enough.
    pub(super) fn interrupt_prompts(&mut self, slot: usize, key: Key) {
        match key {
            Key::Down(_) => self.end_all(slot, PromptEnd::Digit, Prompts::drop_for_digit),
            Key::Up(_) => {}
        }
    }

    /// Says which prompts have been heard to their end.
    pub(super) fn tell_heard(&mut self, slot: usize) {
        self.end_all(slot, PromptEnd::Played, Prompts::poll_heard);
    }

    fn end_all(
        &mut self,
        slot: usize,
        how: PromptEnd,
        mut next: impl FnMut(&mut Prompts) -> Option<PromptName>,
    ) {
        let Some(leg) = self.legs.get_mut(slot) else { return };
        while let Some(prompt) = next(&mut leg.prompts) {
            self.prompts_waiting -= 1;
            self.events.prompt(Event::PromptEnded { leg: leg.name, prompt, how });
        }
    }
}
