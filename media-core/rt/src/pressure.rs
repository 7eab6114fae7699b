//! How hard a media thread works, and what its encoders may spend for it.

use crate::tick::TICK;
use media_core::order::Effort;
use std::time::Duration;

/// The share of its time that one thread works, of the last second or so.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    mean_ns: i64,
    effort: Effort,
}

impl Pressure {
    /// Takes how long one wake worked; gives what encoders may spend from here on.
    pub(crate) fn take(&mut self, worked: Duration) -> Effort {
        let worked_ns = i64::try_from(worked.as_nanos()).unwrap_or(i64::MAX).min(WORKED_NS_MAX);
        self.mean_ns += (worked_ns - self.mean_ns) / WAKES;
        self.effort = match self.effort {
            Effort::Usual if self.mean_ns > percent_of_tick(HARD_PERCENT) => Effort::Least,
            Effort::Least if self.mean_ns < percent_of_tick(EASY_PERCENT) => Effort::Usual,
            effort @ (Effort::Usual | Effort::Least) => effort,
        };
        self.effort
    }
}

fn percent_of_tick(percent: i64) -> i64 {
    i64::try_from(TICK.as_nanos()).unwrap_or(i64::MAX) / 100 * percent
}

/// Wakes over which the mean is taken: a second of them.
const WAKES: i64 = 1_024;

/// One wake that stood for a second is no second of work.
const WORKED_NS_MAX: i64 = 20_000_000;

/// At complexity 5 a voice of Opus costs three times what it costs at 0 (measured): where half of the time
/// is used the cheaper one leaves room for twice the calls, and it is given back well below that.
const HARD_PERCENT: i64 = 50;
const EASY_PERCENT: i64 = 15;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(pressure: &mut Pressure, wakes: u32, worked_us: u64) -> Effort {
        let last = (0..wakes).map(|_| pressure.take(Duration::from_micros(worked_us))).last();
        last.unwrap()
    }

    #[test]
    fn a_thread_that_works_hard_for_a_while_spares_its_encoders_until_it_is_well_below() {
        let mut pressure = Pressure::default();

        assert_eq!(after(&mut pressure, 5_000, 400), Effort::Usual);
        assert_eq!(after(&mut pressure, 5_000, 700), Effort::Least);
        assert_eq!(after(&mut pressure, 5_000, 300), Effort::Least, "it does not flap");
        assert_eq!(after(&mut pressure, 5_000, 100), Effort::Usual);
    }

    #[test]
    fn one_long_wake_is_no_pressure() {
        let mut pressure = Pressure::default();

        assert_eq!(pressure.take(Duration::from_secs(5)), Effort::Usual);
        assert_eq!(after(&mut pressure, 10, 5_000), Effort::Usual);
    }
}
