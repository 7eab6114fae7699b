//! Sockets of voices that nobody hears: what comes waits in them, to be read several at a time.

use std::collections::VecDeque;

use media_core::order::PortName;

/// Which sockets may wait, and whose turn comes when.
pub(crate) struct Unheard {
    /// By a pair's place.
    of: Vec<State>,
    /// The look of each turn; those of sockets that were roused meanwhile too.
    turns: VecDeque<(u32, PortName)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Heard,
    /// The next that comes may wait.
    Unheard,
    /// Something waits in it until this look; how often it was told of since.
    Waits { turn: u32, told: u8 },
}

/// What to do with a socket in which something may lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Nobody lets it wait.
    No,
    Yes,
    /// No longer: more came than a voice says.
    Enough,
}

impl Unheard {
    pub(crate) fn new(pairs: usize) -> Self {
        Self { of: vec![State::Heard; pairs], turns: VecDeque::with_capacity(pairs) }
    }

    /// What came last was heard by nobody.
    pub(crate) fn may_wait(&mut self, place: usize) {
        if let Some(state) = self.of.get_mut(place) {
            *state = State::Unheard;
        }
    }

    /// Something may lie there at this look; `told`: something came.
    pub(crate) fn wait(&mut self, place: usize, port: PortName, look: u32, told: bool) -> Wait {
        let Some(state) = self.of.get_mut(place) else { return Wait::No };
        match state {
            State::Heard => Wait::No,
            // A flood would fill the socket long before its turn.
            State::Waits { told: TOLD_MAX, .. } if told => {
                *state = State::Heard;
                Wait::Enough
            }
            State::Waits { told: count, .. } => {
                *count += u8::from(told);
                Wait::Yes
            }
            // Turns of those who were roused take room too, and who finds none does not wait.
            State::Unheard if self.turns.len() == self.turns.capacity() => Wait::No,
            State::Unheard => {
                let turn = look.wrapping_add(LOOKS);
                self.turns.push_back((turn, port));
                *state = State::Waits { turn, told: u8::from(told) };
                Wait::Yes
            }
        }
    }

    /// Nothing may wait any longer. True: something may have.
    pub(crate) fn rouse(&mut self, place: usize) -> bool {
        self.of.get_mut(place).is_some_and(|state| std::mem::take(state) != State::Heard)
    }

    /// The next whose turn has come by this look. `place`: where its pair stands.
    pub(crate) fn due(
        &mut self,
        look: u32,
        place: impl Fn(PortName) -> Option<usize>,
    ) -> Option<PortName> {
        loop {
            let (turn, port) = *self.turns.front()?;
            if look.wrapping_sub(turn) > u32::MAX / 2 {
                return None;
            }
            let _turn = self.turns.pop_front();
            let state = place(port).and_then(|place| self.of.get_mut(place));
            if let Some(state) = state
                && matches!(state, State::Waits { turn: its, .. } if *its == turn)
            {
                *state = State::Heard;
                return Some(port);
            }
        }
    }
}

/// Looks, of a millisecond each, that a packet may wait: three of a voice are read at once, and a key is heard before
/// whoever pressed it expects an answer.
const LOOKS: u32 = 60;

/// In that time a voice is told of six times, by packets of 10 ms. A flood is told of at every look, and a socket holds
/// some 200 packets of a call.
const TOLD_MAX: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    const PORTS: [PortName; 2] = [PortName(10), PortName(12)];

    fn place(port: PortName) -> Option<usize> {
        PORTS.iter().position(|known| *known == port)
    }

    #[test]
    fn what_comes_for_nobody_waits_sixty_looks_for_those_behind_it() {
        let mut unheard = Unheard::new(2);
        assert_eq!(unheard.wait(0, PORTS[0], 1, true), Wait::No, "nothing is known of it");

        unheard.may_wait(0);
        for look in [5, 15, 25, 35, 45, 55] {
            assert_eq!(unheard.wait(0, PORTS[0], look, true), Wait::Yes);
        }
        assert_eq!(unheard.wait(1, PORTS[1], 25, true), Wait::No, "another one");

        assert_eq!(unheard.due(64, place), None);
        assert_eq!(unheard.due(65, place), Some(PORTS[0]));
        assert_eq!(unheard.due(65, place), None, "once");
        assert_eq!(unheard.wait(0, PORTS[0], 66, true), Wait::No, "somebody may hear it by now");
    }

    #[test]
    fn what_comes_oftener_than_a_voice_does_not_wait_for_its_turn() {
        let mut unheard = Unheard::new(1);
        unheard.may_wait(0);
        for look in 0..u32::from(TOLD_MAX) {
            assert_eq!(unheard.wait(0, PORTS[0], look, true), Wait::Yes, "{look}");
            assert_eq!(unheard.wait(0, PORTS[0], look, false), Wait::Yes, "its turn of all");
        }

        assert_eq!(unheard.wait(0, PORTS[0], 9, true), Wait::Enough);
        assert_eq!(unheard.wait(0, PORTS[0], 10, true), Wait::No);
        assert_eq!(unheard.due(100, place), None);
    }

    #[test]
    fn a_turn_comes_at_its_look_though_the_count_of_looks_starts_anew() {
        let mut unheard = Unheard::new(1);
        unheard.may_wait(0);
        assert_eq!(unheard.wait(0, PORTS[0], u32::MAX - 9, true), Wait::Yes);

        assert_eq!(unheard.due(LOOKS - 11, place), None);
        assert_eq!(unheard.due(LOOKS - 10, place), Some(PORTS[0]));
    }

    #[test]
    fn who_is_roused_has_no_turn_and_the_turns_of_the_roused_keep_nobody_for_ever() {
        let mut unheard = Unheard::new(2);
        let room = unheard.turns.capacity();
        for look in 0..u32::try_from(room).unwrap() {
            unheard.may_wait(0);
            assert_eq!(unheard.wait(0, PORTS[0], look, true), Wait::Yes);
            assert!(unheard.rouse(0) && !unheard.rouse(0));
        }

        unheard.may_wait(1);
        assert_eq!(
            unheard.wait(1, PORTS[1], 20, true),
            Wait::No,
            "there is no room to wait, so it is read at once"
        );
        assert_eq!(unheard.due(LOOKS, place), None);
        assert_eq!(unheard.wait(1, PORTS[1], LOOKS, true), Wait::Yes);
        assert_eq!(unheard.due(2 * LOOKS, place), Some(PORTS[1]));
    }
}
