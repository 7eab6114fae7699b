//! What a leg may cost: so many packets of its far end are taken in full. Nobody speaks faster than real time for
//! long, but what a network has held back comes at once.

/// Of real time that a packet uses up, in samples of 8 kHz: 5 ms, so 200 packets a second, twice what the shortest
/// packets (10 ms) make.
const COST: u32 = 40;

/// How far in samples packets may be ahead of real time: 250 of them, two and a half seconds of the shortest,
/// more than a receive buffer holds.
const AHEAD_MAX: u32 = 250 * COST;

/// Until when, in samples, the far end has used up what it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allowance {
    until: u32,
}

impl Allowance {
    /// For one packet that came then. False: it is more than anybody says.
    pub(crate) const fn spend(&mut self, arrival: u32) -> bool {
        let ahead = self.until.wrapping_sub(arrival);
        // Beyond it lies what is long past, whatever the clock's wraps make of it.
        let ahead = if ahead <= AHEAD_MAX + BEFORE_MAX { ahead } else { 0 };
        let may = ahead < AHEAD_MAX;
        if may {
            self.until = arrival.wrapping_add(ahead + COST);
        }
        may
    }
}

/// A packet that waited to be read came before what was heard last, by less than this.
const BEFORE_MAX: u32 = 1_600;

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(allowance: &mut Allowance, arrival: u32) -> usize {
        (0..1_000).filter(|_| allowance.spend(arrival)).count()
    }

    #[test]
    fn two_and_a_half_seconds_of_the_shortest_packets_may_come_at_once_and_then_twice_real_time() {
        // Also where the clock wraps.
        for begin in [0, u32::MAX - 9_000, 1 << 31] {
            let (mut allowance, mut now) = (Allowance::default(), begin);
            spent(&mut allowance, now.wrapping_sub(80_000));
            assert_eq!(spent(&mut allowance, now), 250);

            for _ in 0..50 {
                now = now.wrapping_add(160);
                assert_eq!(spent(&mut allowance, now), 4);
            }
            assert_eq!(spent(&mut allowance, now.wrapping_sub(800)), 0, "it waited to be read");
            now = now.wrapping_add(80_000);
            assert_eq!(spent(&mut allowance, now), 250, "and no more is saved");
        }
    }
}
