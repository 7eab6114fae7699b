//! Whether the media plane has room for one more call: decided by what its threads measured, with a
//! margin between *no more* and *again*, so that it does not flap.

use std::time::Duration;

/// Beyond these no new call is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How late one tick of a thousand may be.
    pub lateness_max: Duration,
    /// Thousandths of its time that a media thread may work.
    pub used_permille_max: u32,
}

impl Limits {
    /// The defaults of the configuration.
    pub const USUAL: Self =
        Self { lateness_max: Duration::from_millis(20), used_permille_max: 700 };
}

/// What one media thread measured of itself over the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Ticks that were due in the time that the lateness is of.
    pub ticks: u64,
    /// Of a thousand ticks one began later than this.
    pub lateness_p999: Duration,
    /// Thousandths of its time that it worked.
    pub used_permille: u32,
    /// Of a hundred ticks one worked longer than these thousandths of a tick.
    pub used_p99_permille: u32,
}

/// The judge; once a second it hears what was measured.
#[derive(Debug)]
pub(crate) struct Headroom {
    limits: Limits,
    overloaded: bool,
    /// Times in a row that there was room again.
    calm: u32,
    /// Times in a row that it was not beyond its limits.
    within: u32,
}

impl Headroom {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, overloaded: false, calm: 0, within: 0 }
    }

    /// Says what is from now on so, if it is not as before: the thread with most room has none, or
    /// has some again. A thread that has room takes what the others cannot.
    pub(crate) fn judge(&mut self, threads: &[Measured]) -> Option<(bool, Measured)> {
        let best = threads.iter().min_by_key(|thread| self.strain(thread)).copied()?;
        let strain = self.strain(&best);
        if !self.overloaded {
            (self.calm, self.within) = (0, 0);
            self.overloaded = strain > FULL;
            return self.overloaded.then_some((true, best));
        }
        self.calm = if strain <= ROOMY { self.calm + 1 } else { 0 };
        // What is measured stands in steps: who rests just below the limit may never be seen well below it.
        self.within = if strain <= FULL { self.within + 1 } else { 0 };
        self.overloaded = self.calm < CALM_LOOKS && self.within < WITHIN_LOOKS;
        (!self.overloaded).then_some((false, best))
    }

    /// How near a thread is to what it may, the nearest of all, in thousandths of that.
    fn strain(&self, thread: &Measured) -> u64 {
        let known = thread.ticks >= TICKS_MIN;
        let late = u64::try_from(thread.lateness_p999.as_micros()).unwrap_or(u64::MAX);
        let late_max = u64::try_from(self.limits.lateness_max.as_micros()).unwrap_or(u64::MAX);
        let lateness = per_mille(late, late_max);
        // A microsecond is a thousandth of a tick.
        let longest_max = (late_max / LATENESS_PER_TICK).max(TICK);
        let longest = per_mille(thread.used_p99_permille.into(), longest_max);
        let tails = if known { lateness.max(longest) } else { 0 };
        let used = per_mille(thread.used_permille.into(), self.limits.used_permille_max.into());
        tails.max(used)
    }
}

fn per_mille(part: u64, whole: u64) -> u64 {
    part.saturating_mul(1_000) / whole.max(1)
}

/// A tick that works longer makes the next one late, and whoever is served last in it. Of a mean nothing is
/// seen of that where one phase has far more to do than the others.
const TICK: u64 = 1_000;

/// Whoever allows lateness beyond the usual, on a machine that other programs use, allows ticks as much longer.
const LATENESS_PER_TICK: u64 = 20;

/// At the limit.
const FULL: u64 = 1_000;

/// So far below it there is room again: what a new call brings must not fill it at once.
const ROOMY: u64 = 850;

/// Looks in a row with room before it is believed.
const CALM_LOOKS: u32 = 3;

/// Looks in a row within the limits after which they are believed too.
const WITHIN_LOOKS: u32 = 60;

/// Of fewer ticks a single late or long one says too much: a start is no overload.
const TICKS_MIN: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(lateness_ms: u64, used_permille: u32) -> Measured {
        let lateness_p999 = Duration::from_millis(lateness_ms);
        Measured { ticks: 10_000, lateness_p999, used_permille, used_p99_permille: used_permille }
    }

    /// Hardly late, with a third of its time used, and this by the longest of its ticks.
    fn uneven(used_p99_permille: u32) -> Measured {
        Measured { used_p99_permille, ..thread(1, 350) }
    }

    /// What is said at each look.
    fn said(looks: &[&[Measured]]) -> Vec<Option<bool>> {
        said_within(Limits::USUAL, looks)
    }

    fn said_within(limits: Limits, looks: &[&[Measured]]) -> Vec<Option<bool>> {
        let mut headroom = Headroom::new(limits);
        looks.iter().map(|threads| headroom.judge(threads).map(|(on, _)| on)).collect()
    }

    #[test]
    fn too_late_or_too_busy_is_overload_and_at_the_limit_is_not() {
        for (measured, overloaded) in [
            (thread(20, 700), None),
            (thread(21, 0), Some(true)),
            (thread(0, 701), Some(true)),
            (thread(50, 900), Some(true)),
            (uneven(1_000), None),
            (uneven(1_001), Some(true)),
        ] {
            assert_eq!(said(&[&[measured]]), [overloaded], "{measured:?}");
        }
    }

    #[test]
    fn it_is_over_after_three_looks_with_a_margin_and_said_once() {
        let (full, near, calm) = ([thread(0, 800)], [thread(0, 650)], [thread(0, 500)]);

        let looks: [&[Measured]; 9] =
            [&full, &full, &calm, &calm, &near, &calm, &calm, &calm, &calm];

        let none = None;
        let expected = [Some(true), none, none, none, none, none, none, Some(false), none];
        assert_eq!(said(&looks), expected);
    }

    #[test]
    fn values_about_the_limit_do_not_flap() {
        let looks: Vec<_> = (0..60).map(|n| [thread(19 + n % 3, 690 + (n % 20) as u32)]).collect();
        let looks: Vec<&[Measured]> = looks.iter().map(|look| &look[..]).collect();

        assert_eq!(said(&looks).into_iter().flatten().collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn ticks_that_are_longer_than_a_tick_are_overload_until_they_fit_with_a_margin() {
        let (long, near, fit) = ([uneven(1_300)], [uneven(900)], [uneven(850)]);

        let looks: [&[Measured]; 8] = [&long, &near, &fit, &fit, &near, &fit, &fit, &fit];

        let mut expected = [None; 8];
        (expected[0], expected[7]) = (Some(true), Some(false));
        assert_eq!(said(&looks), expected);
        let about: Vec<_> = (0..59).map(|n| [uneven(960 + n % 3 * 40)]).collect();
        let about: Vec<&[Measured]> = about.iter().map(|look| &look[..]).collect();
        assert_eq!(said(&about).into_iter().flatten().collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn who_allows_more_lateness_allows_longer_ticks_and_nobody_less_than_a_whole_one() {
        for (lateness_ms, longest, overloaded) in
            [(60, 3_000, None), (60, 3_003, Some(true)), (1, 1_000, None), (1, 1_001, Some(true))]
        {
            let lateness_max = Duration::from_millis(lateness_ms);
            let limits = Limits { lateness_max, ..Limits::USUAL };
            let said = said_within(limits, &[&[uneven(longest)]]);
            assert_eq!(said, [overloaded], "{lateness_ms} ms and {longest}");
        }
    }

    #[test]
    fn while_one_thread_has_room_calls_are_taken() {
        let (full, roomy) = (thread(40, 900), thread(1, 100));

        assert_eq!(said(&[&[full, roomy], &[full, full]]), [None, Some(true)]);
    }

    #[test]
    fn lateness_and_long_ticks_of_the_first_seconds_and_of_no_threads_say_nothing() {
        let starting = |thread| Measured { ticks: 999, ..thread };
        let (late, long) = (starting(thread(300, 100)), starting(uneven(5_000)));
        let busy = starting(thread(300, 900));

        assert_eq!(said(&[&[late], &[long], &[], &[busy]]), [None, None, None, Some(true)]);
    }

    #[test]
    fn who_stays_just_within_the_limits_for_a_minute_has_room_again() {
        let near = [thread(19, 100)];
        let mut looks: Vec<&[Measured]> = vec![&[]; 0];
        let late = [thread(30, 100)];
        looks.push(&late);
        looks.extend((0..60).map(|_| &near[..]));

        let said = said(&looks);

        assert_eq!(said.first(), Some(&Some(true)));
        assert_eq!(said.iter().position(|said| *said == Some(false)), Some(60));
    }
}
