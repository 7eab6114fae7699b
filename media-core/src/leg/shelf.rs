//! Puts packets back in order where the network shuffles them, and costs nothing where it does not.
//!
//! A packet goes on at once, a hole before it becomes silence at once, until one comes too late:
//! then, for a while, what stands behind a hole waits a little for what is missing.

use crate::leg::PAYLOAD_MAX;
use std::time::{Duration, Instant};

/// Packets that wait for one before them. Allocates nothing.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    held: [Held; ROOM],
    /// The last number that went on.
    passed: Option<u16>,
    /// Until then a hole is waited for.
    wary_until: Option<Instant>,
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arranged {
    /// It goes on; so many are missing before it.
    Now { lost: u16 },
    /// It waits.
    Held,
    /// What stands behind it has gone on.
    Late,
    /// There is no room to wait: take what is held, then ask again.
    Full,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    came: Option<Instant>,
    sequence: u16,
    length: usize,
    payload: [u8; PAYLOAD_MAX],
}

impl Shelf {
    /// Takes the next packet of a bridged leg in, unless it goes on at once.
    pub(super) fn arrange(&mut self, sequence: u16, payload: &[u8], now: Instant) -> Arranged {
        let Some(passed) = self.passed else { return self.pass(sequence, 0) };
        let ahead = sequence.wrapping_sub(passed);
        if ahead == 0 || ahead > u16::MAX / 2 {
            self.wary_until = Some(now + WARY);
            return Arranged::Late;
        }
        let wary = self.wary_until.is_some_and(|until| now < until);
        let waits = ahead > 1 && (wary || self.held.iter().any(|held| held.came.is_some()));
        if !waits {
            return self.pass(sequence, ahead - 1);
        }
        let Some(free) = self.held.iter_mut().find(|held| held.came.is_none()) else {
            return Arranged::Full;
        };
        let length = payload.len().min(PAYLOAD_MAX);
        if let (Some(to), Some(from)) = (free.payload.get_mut(..length), payload.get(..length)) {
            to.copy_from_slice(from);
        }
        (free.came, free.sequence, free.length) = (Some(now), sequence, length);
        Arranged::Held
    }

    /// The next packet that need not wait any more, copied into `payload`: how many are missing
    /// before it, and its length. `all`: nothing waits any more.
    pub(super) fn take(
        &mut self,
        all: bool,
        now: Instant,
        payload: &mut [u8; PAYLOAD_MAX],
    ) -> Option<(u16, usize)> {
        let passed = self.passed?;
        let waiting = self.held.iter_mut().filter(|held| held.came.is_some());
        let first = waiting.min_by_key(|held| held.sequence.wrapping_sub(passed))?;
        let ahead = first.sequence.wrapping_sub(passed);
        let over = first.came.is_some_and(|came| now.saturating_duration_since(came) >= PATIENCE);
        if ahead != 1 && !over && !all {
            return None;
        }
        first.came = None;
        self.passed = Some(first.sequence);
        *payload = first.payload;
        Some((ahead.saturating_sub(1), first.length))
    }

    /// This number needs nothing to go on.
    pub(super) const fn skip_to(&mut self, sequence: u16) {
        self.passed = Some(sequence);
    }

    /// A new source, or a new listener: nothing waits. What went on is kept for the latter.
    pub(super) fn clear(&mut self) {
        self.held.iter_mut().for_each(|held| held.came = None);
    }

    /// Another source, with numbers of its own.
    pub(super) fn restart(&mut self) {
        self.clear();
        self.passed = None;
    }

    const fn pass(&mut self, sequence: u16, lost: u16) -> Arranged {
        self.passed = Some(sequence);
        Arranged::Now { lost }
    }
}

impl Default for Shelf {
    fn default() -> Self {
        let empty = Held { came: None, sequence: 0, length: 0, payload: [0; PAYLOAD_MAX] };
        Self { held: [empty; ROOM], passed: None, wary_until: None }
    }
}

/// Packets that may wait.
const ROOM: usize = 8;

/// How long a packet waits for one before it. With the frame until somebody looks it stays within
/// what a stream may lead and lag: 120 ms.
const PATIENCE: Duration = Duration::from_millis(80);

/// How long after a late packet the next one is expected.
const WARY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Arranged = Arranged::Now { lost: 0 };

    fn shelf(now: Instant) -> Shelf {
        let mut shelf = Shelf::default();
        assert_eq!([10, 12, 11].map(|n| shelf.arrange(n, &[1], now)).last(), Some(&Arranged::Late));
        shelf
    }

    fn take(shelf: &mut Shelf, all: bool, now: Instant) -> Option<(u16, usize, u8)> {
        let mut payload = [0; PAYLOAD_MAX];
        let (lost, length) = shelf.take(all, now, &mut payload)?;
        Some((lost, length, payload[0]))
    }

    #[test]
    fn an_orderly_source_waits_for_nothing() {
        let (mut shelf, now) = (Shelf::default(), Instant::now());

        assert_eq!([65_535, 0, 1].map(|n| shelf.arrange(n, &[1], now)), [NOW; 3]);
        assert_eq!(shelf.arrange(4, &[1], now), Arranged::Now { lost: 2 });
        assert_eq!(take(&mut shelf, true, now), None);
    }

    #[test]
    fn after_a_late_packet_a_hole_is_waited_for_and_filled_in_order() {
        let now = Instant::now();
        let mut shelf = shelf(now);

        assert_eq!(shelf.arrange(15, &[15], now), Arranged::Held);
        assert_eq!(shelf.arrange(14, &[14, 14], now), Arranged::Held);
        assert_eq!(take(&mut shelf, false, now), None);
        assert_eq!(shelf.arrange(13, &[13], now), NOW);
        assert_eq!(take(&mut shelf, false, now), Some((0, 2, 14)));
        assert_eq!(take(&mut shelf, false, now), Some((0, 1, 15)));
        assert_eq!(take(&mut shelf, false, now), None);
    }

    #[test]
    fn what_never_comes_is_given_up_after_80_ms() {
        let now = Instant::now();
        let mut shelf = shelf(now);
        assert_eq!(shelf.arrange(15, &[15], now), Arranged::Held);

        assert_eq!(take(&mut shelf, false, now + Duration::from_millis(79)), None);
        let then = now + Duration::from_millis(80);
        assert_eq!(take(&mut shelf, false, then), Some((2, 1, 15)));
        assert_eq!(shelf.arrange(14, &[14], then), Arranged::Late);
    }

    #[test]
    fn a_full_shelf_says_so_and_is_emptied_in_order() {
        let now = Instant::now();
        let mut shelf = shelf(now);
        assert!((14..22).rev().all(|n| shelf.arrange(n, &[1], now) == Arranged::Held));
        assert_eq!(shelf.arrange(22, &[1], now), Arranged::Full);

        let lost: Vec<_> = std::iter::from_fn(|| take(&mut shelf, true, now)).collect();

        assert_eq!(lost[0].0, 1);
        assert_eq!((lost.len(), lost[1..].iter().all(|taken| taken.0 == 0)), (8, true));
        assert_eq!(shelf.arrange(22, &[1], now), NOW);
    }

    #[test]
    fn caution_ends_after_ten_orderly_seconds() {
        let now = Instant::now();
        let mut shelf = shelf(now);

        let then = now + Duration::from_secs(10);
        assert_eq!(shelf.arrange(15, &[1], then), Arranged::Now { lost: 2 });
    }
}
