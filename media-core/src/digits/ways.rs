//! One press is one key, in however many ways a phone tells it.
//!
//! Many phones send a key as an event and leave its tone in the audio, some send an INFO beside either.
//! What comes in another way while that key is down, or within [`WINDOW`] after it, is the same press;
//! the same key in the same way is the next one.

use super::{Key, Pressed};
use crate::order::Digit;
use std::time::{Duration, Instant};

/// How a key came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Means {
    /// RFC 4733.
    Events,
    /// Two tones in the audio.
    Tones,
    /// SIP INFO, say.
    Signalling,
}

/// Presses of late, and in which ways each was told. Allocates nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Once {
    presses: [Option<Press>; REMEMBERED],
    oldest: usize,
    /// The key that is down in this way is known from another.
    known: [bool; 3],
}

#[derive(Clone, Copy, Debug)]
struct Press {
    digit: Digit,
    ways: [bool; 3],
    first: Means,
    /// When it was let go, as far as the way that told it first says.
    over: Option<Instant>,
}

impl Once {
    pub(crate) const NEW: Self = Self { presses: [None; REMEMBERED], oldest: 0, known: [false; 3] };

    /// False: another way has told this press already.
    pub(crate) fn is_news(&mut self, way: Means, key: &Key, now: Instant) -> bool {
        match key {
            Key::Down(digit) => {
                let known = self.presses.iter_mut().flatten().find(|press| {
                    let fresh = |over| now.saturating_duration_since(over) < WINDOW;
                    press.digit == *digit
                        && !press.ways[way as usize]
                        && press.over.is_none_or(fresh)
                });
                self.known[way as usize] = known.is_some();
                match known {
                    Some(press) => press.ways[way as usize] = true,
                    None => self.remember(way, *digit),
                }
            }
            Key::Up(Pressed { digit, .. }) => {
                let open = self.presses.iter_mut().flatten().filter(|press| {
                    press.digit == *digit && press.first == way && press.over.is_none()
                });
                open.for_each(|press| press.over = Some(now));
            }
        }
        !self.known[way as usize]
    }

    /// The key that is down in this way is known from another.
    pub(crate) const fn is_known(&self, way: Means) -> bool {
        self.known[way as usize]
    }

    fn remember(&mut self, way: Means, digit: Digit) {
        let mut ways = [false; 3];
        ways[way as usize] = true;
        if let Some(place) = self.presses.get_mut(self.oldest) {
            *place = Some(Press { digit, ways, first: way, over: None });
        }
        self.oldest = (self.oldest + 1) % REMEMBERED;
    }
}

/// How long after a key was let go it may still be told in another way: a tone is known 40 ms late, an
/// INFO that was lost is sent again after half a second.
pub(crate) const WINDOW: Duration = Duration::from_millis(700);

/// At 16 keys a second more than come within the window.
const REMEMBERED: usize = 16;

#[cfg(test)]
mod tests {
    use super::{Means::*, *};

    /// What is news of `way key(down|up) at ms`.
    fn news(told: &[(Means, char, u64, u64)]) -> String {
        let (start, mut once) = (Instant::now(), Once::NEW);
        let at = |ms| start + Duration::from_millis(ms);
        let mut all = vec![];
        for (way, key, down, up) in told {
            let digit = Digit::try_from(*key).unwrap();
            let duration = Duration::from_millis(up - down);
            all.push((*down, *way, Key::Down(digit)));
            all.push((*up, *way, Key::Up(Pressed { digit, duration, at: at(*down) })));
        }
        all.sort_by_key(|(ms, ..)| *ms);
        let mut said = String::new();
        for (ms, way, key) in all {
            match key {
                _ if !once.is_news(way, &key, at(ms)) => {}
                Key::Down(digit) => said.push(digit.key()),
                Key::Up(_) => said.push('.'),
            }
        }
        said
    }

    #[test]
    fn a_press_that_is_told_in_three_ways_is_one_key() {
        for order in
            [[Events, Tones, Signalling], [Signalling, Events, Tones], [Tones, Signalling, Events]]
        {
            let told: Vec<_> =
                (0..).zip(order).map(|(n, way)| (way, '5', n * 40, 100 + n * 90)).collect();
            assert_eq!(news(&told), "5.", "{order:?}");
        }
    }

    #[test]
    fn the_same_key_pressed_twice_is_two_keys_in_whatever_order_the_ways_come() {
        let one_way = [(Events, '1', 0, 80), (Events, '1', 160, 240)];
        assert_eq!(news(&one_way), "1.1.");
        let two_ways = [
            (Events, '1', 0, 80),
            (Tones, '1', 40, 120),
            (Events, '1', 160, 240),
            (Tones, '1', 200, 280),
        ];
        assert_eq!(news(&two_ways), "1.1.");
        let second_way_first = [
            (Events, '1', 0, 80),
            (Tones, '1', 40, 120),
            (Tones, '1', 160, 240),
            (Events, '1', 170, 250),
        ];
        assert_eq!(news(&second_way_first), "1.1.");
        let first_was_lost =
            [(Tones, '1', 40, 120), (Events, '1', 160, 240), (Tones, '1', 200, 280)];
        assert_eq!(news(&first_was_lost), "1.1.");
    }

    #[test]
    fn what_comes_much_later_or_is_another_key_is_news() {
        assert_eq!(news(&[(Events, '1', 0, 80), (Signalling, '1', 790, 791)]), "1.1.");
        assert_eq!(news(&[(Events, '1', 0, 3_000), (Signalling, '1', 3_500, 3_501)]), "1.");
        assert_eq!(news(&[(Events, '1', 0, 80), (Signalling, '2', 90, 91)]), "1.2.");
    }

    #[test]
    fn a_key_of_one_way_that_is_held_does_not_hide_others() {
        let told = [(Events, '1', 0, 2_000), (Tones, '2', 100, 200), (Signalling, '3', 300, 301)];
        assert_eq!(news(&told), "12.3..");
    }
}
