//! How much room a media thread has: how late its ticks begin, and how much of its time it works.
//!
//! The thread counts in spreads that only grow. What was so over a while is the difference of two
//! readings, taken on the control side: nothing is reset, nobody waits.

use std::{collections::VecDeque, time::Duration};

use crate::counters::Counter;

/// Below 16 us one bucket each, then eight to the doubling up to a second, and one for what is above.
const BUCKETS: usize = 16 + 16 * 8 + 1;

/// Readings that say how late ticks are: one a second, so this many seconds.
const LATENESS_READINGS: usize = 10;

/// Readings that say how much of its time the thread works. Fewer, so that a rush of calls is seen
/// before it is over.
const USED_READINGS: usize = 2;

/// How often something took how long, to an eighth; one writer.
#[derive(Debug)]
pub(crate) struct Spread([Counter; BUCKETS]);

impl Default for Spread {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl Spread {
    pub(crate) fn observe(&self, took: Duration) {
        self.0[bucket(took)].bump();
    }

    fn read(&self) -> Counts {
        Counts(std::array::from_fn(|bucket| self.0[bucket].read()))
    }
}

/// What the thread writes.
#[derive(Debug, Default)]
pub(crate) struct Effort {
    /// Deadline to wake.
    pub(crate) lateness: Spread,
    /// Wake to the end of its work.
    pub(crate) busy: Spread,
    pub(crate) busy_ns: Counter,
}

impl Effort {
    pub(crate) fn worked(&self, busy: Duration) {
        self.busy.observe(busy);
        self.busy_ns.add(u64::try_from(busy.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// How much room a thread had over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headroom {
    /// Ticks that were due in the time that the lateness is of.
    pub ticks: u64,
    /// Of a thousand ticks one began later than this.
    pub lateness_p999: Duration,
    /// Thousandths of its time that the thread worked.
    pub used_permille: u32,
    /// Of a hundred ticks one took more than these thousandths of a tick's time.
    pub used_p99_permille: u32,
}

/// The last seconds of one thread.
#[derive(Debug, Default)]
pub(crate) struct Window(VecDeque<Reading>);

#[derive(Clone, Debug)]
struct Reading {
    lateness: Counts,
    busy: Counts,
    busy_ns: u64,
    /// Ticks that were due, those included that a stall left out.
    ticks: u64,
}

impl Window {
    /// Takes one more reading, a second after the last, and says what was so since the oldest. `ticks`:
    /// all that were due since the start.
    pub(crate) fn look(&mut self, effort: &Effort, ticks: u64) -> Headroom {
        self.0.push_back(Reading {
            lateness: effort.lateness.read(),
            busy: effort.busy.read(),
            busy_ns: effort.busy_ns.read(),
            ticks,
        });
        while self.0.len() > LATENESS_READINGS + 1 {
            self.0.pop_front();
        }
        let newest = self.0.len() - 1;
        let (Some(now), Some(oldest)) = (self.0.get(newest), self.0.front()) else {
            return Headroom::default();
        };
        let Some(before) = self.0.get(newest.saturating_sub(USED_READINGS)) else {
            return Headroom::default();
        };
        let lateness = now.lateness.since(&oldest.lateness);
        let due_ns = (now.ticks - before.ticks) * 1_000_000;
        let used = (now.busy_ns - before.busy_ns).saturating_mul(1_000) / due_ns.max(1);
        Headroom {
            ticks: now.ticks - oldest.ticks,
            lateness_p999: lateness.quantile(999, 1_000),
            used_permille: u32::try_from(used).unwrap_or(u32::MAX),
            // A microsecond is a thousandth of a tick.
            used_p99_permille: micros(now.busy.since(&before.busy).quantile(99, 100)),
        }
    }
}

/// A spread at one moment, or what was added to it from one to another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts([u64; BUCKETS]);

impl Counts {
    fn since(&self, before: &Self) -> Self {
        Self(std::array::from_fn(|bucket| self.0[bucket].wrapping_sub(before.0[bucket])))
    }

    fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// What so many of so many did not exceed, rounded up to the bucket's edge.
    fn quantile(&self, of: u64, all: u64) -> Duration {
        let rank = (self.total() * of).div_ceil(all);
        let mut below = 0;
        let reached = self.0.iter().position(|count| {
            below += count;
            below >= rank && below > 0
        });
        reached.map_or(Duration::ZERO, edge)
    }
}

fn bucket(took: Duration) -> usize {
    let us = micros(took);
    if us < 16 {
        return us as usize;
    }
    let doubling = us.ilog2();
    let eighth = (us >> (doubling - 3)) & 7;
    (16 + (doubling as usize - 4) * 8 + eighth as usize).min(BUCKETS - 1)
}

/// The longest that falls into a bucket; of the last one its beginning.
fn edge(bucket: usize) -> Duration {
    let us = match bucket.checked_sub(16) {
        None => bucket as u64,
        Some(above) if bucket == BUCKETS - 1 => 8 << (above / 8 + 1),
        Some(above) => ((9 + above as u64 % 8) << (above / 8 + 1)) - 1,
    };
    Duration::from_micros(us)
}

fn micros(took: Duration) -> u32 {
    u32::try_from(took.as_micros()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(us: u64) -> Duration {
        Duration::from_micros(us)
    }

    #[test]
    fn every_duration_is_told_to_an_eighth_and_never_as_less_than_it_was() {
        for took in (0..5_000).chain((5_000..1_048_000).step_by(97)) {
            let told = edge(bucket(us(took)));
            assert!(told >= us(took) && told <= us(took + took / 8), "{took} us as {told:?}");
        }
        for long in [1_048_576, 50_000_000, u64::MAX] {
            assert_eq!(edge(bucket(us(long))), us(1_048_576), "a second and more is a second");
        }
    }

    #[test]
    fn one_late_tick_of_a_thousand_is_left_out_and_two_are_not() {
        let told = |late: u64| {
            let (effort, mut window) = (Effort::default(), Window::default());
            window.look(&effort, 0);
            (0..1_000 - late).for_each(|_| effort.lateness.observe(us(7)));
            (0..late).for_each(|_| effort.lateness.observe(us(10)));
            window.look(&effort, 1_000)
        };

        assert_eq!((told(0).ticks, told(0).lateness_p999), (1_000, us(7)));
        assert_eq!(told(1).lateness_p999, us(7));
        assert_eq!(told(2).lateness_p999, us(10));
    }

    #[test]
    fn lateness_is_that_of_ten_seconds_and_load_that_of_two() {
        let (effort, mut window) = (Effort::default(), Window::default());
        let mut second = 0;
        let mut pass = |late, busy| {
            (0..1_000).for_each(|_| effort.lateness.observe(us(late)));
            (0..1_000).for_each(|_| effort.worked(us(busy)));
            second += 1;
            window.look(&effort, second * 1_000)
        };
        pass(1, 100);

        let busy = pass(10, 900);
        assert_eq!((busy.lateness_p999, busy.used_permille), (us(10), 900));
        assert!((900..=1_012).contains(&busy.used_p99_permille), "{busy:?}");
        assert_eq!(pass(1, 100).used_permille, 500);
        for _ in 0..8 {
            let calm = pass(1, 100);
            assert_eq!((calm.lateness_p999, calm.used_permille), (us(10), 100));
        }
        assert_eq!(pass(1, 100).lateness_p999, us(1), "the eleventh second has forgotten it");
        assert_eq!(pass(1, 100).ticks, 10_000);
    }

    #[test]
    fn a_thread_that_stood_still_has_not_worked_meanwhile() {
        let (effort, mut window) = (Effort::default(), Window::default());
        window.look(&effort, 0);
        (0..500).for_each(|_| effort.worked(us(400)));

        assert_eq!(
            window.look(&effort, 1_000).used_permille,
            200,
            "half of the ticks were left out"
        );
        assert_eq!(window.look(&effort, 1_000).used_permille, 200);
        let none = window.look(&effort, 1_000);
        assert_eq!((none.used_permille, none.used_p99_permille), (0, 0));
        assert_eq!(none.ticks, 1_000, "what was due was due");
    }
}
