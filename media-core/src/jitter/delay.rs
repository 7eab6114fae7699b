//! How long a source's packets must wait so that the late ones still come in time.

/// What the way of one source's packets is like: the quickest and the slowest of the last ten
/// seconds. All in samples of 8 kHz.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Delay {
    anchor: Option<u32>,
    /// The window that is being filled, and when it began.
    this: Window,
    began: u32,
    last: Option<Window>,
    /// When the last two gaps were seen, the newer last.
    gaps: [Option<u32>; 2],
    target: u32,
}

/// Ways relative to the anchor.
#[derive(Clone, Copy, Debug)]
struct Window {
    quickest: i32,
    slowest: i32,
    /// One straggler alone is concealed, not waited for.
    second: i32,
}

impl Delay {
    /// A packet came. Arrival and time stamp in samples.
    pub(crate) fn take(&mut self, timestamp: u32, arrival: u32) {
        let way = arrival.wrapping_sub(timestamp);
        let Some(anchor) = self.anchor else {
            (self.anchor, self.began) = (Some(way), arrival);
            self.this = Window { quickest: 0, slowest: 0, second: 0 };
            return;
        };
        if arrival.wrapping_sub(self.began) >= WINDOW {
            self.last = Some(self.this);
            (self.this, self.began) = (Window::default(), arrival);
        }
        let mut way = way.wrapping_sub(anchor).cast_signed();
        if self.quickest().abs_diff(way) > ANOTHER_LINE {
            self.restart(timestamp, arrival);
            way = self.quickest();
        }
        self.this.take(way);
        let spread = self.spread();
        let calm = if self.target == 0 { CALM } else { CALM_AGAIN };
        self.target = if self.loses(arrival) {
            (spread + MARGIN_EVEN + FRAME).min(TARGET_MAX)
        } else if spread <= calm {
            0
        } else {
            (spread + MARGIN).clamp(TARGET_MIN, TARGET_MAX)
        };
    }

    /// So many packets are missing before the one that came.
    pub(crate) fn miss(&mut self, lost: u16, arrival: u32) {
        if (1..=LOST_MAX).contains(&lost) {
            self.gaps = [self.gaps[1], Some(arrival)];
        }
    }

    /// A packet was not missing but late, or out of order.
    pub(crate) fn find(&mut self) {
        self.gaps = [None, self.gaps[0]];
    }

    /// Packets are lost at present, and what comes behind a gap is worth waiting for.
    fn loses(&mut self, now: u32) -> bool {
        for gap in &mut self.gaps {
            *gap = gap.filter(|at| now.wrapping_sub(*at) < LOSS_FORGOTTEN);
        }
        self.gaps.iter().all(Option::is_some)
    }

    /// Another time line of the same network: what is known of its jitter is kept.
    pub(crate) fn restart(&mut self, timestamp: u32, arrival: u32) {
        if self.anchor.is_some() {
            let way = arrival.wrapping_sub(timestamp);
            self.anchor = Some(way.wrapping_sub(self.quickest().cast_unsigned()));
        }
    }

    /// How long a packet should wait if it came as quickly as any. 0: packets come evenly, none
    /// waits.
    pub(crate) const fn target(&self) -> u32 {
        self.target
    }

    /// The same for who takes frames by a clock: even packets that come within 20 ms of each other's time
    /// have to wait for the slower ones then.
    pub(crate) fn spread_target(&self) -> u32 {
        let even = if self.anchor.is_some() { self.spread() + MARGIN_EVEN } else { MARGIN_EVEN };
        self.target.max(even.min(TARGET_MAX))
    }

    /// How long before `now` the sample of this time stamp could have come.
    pub(crate) fn waited(&self, timestamp: u32, now: u32) -> i32 {
        let Some(anchor) = self.anchor else { return 0 };
        now.wrapping_sub(timestamp).wrapping_sub(anchor).cast_signed().wrapping_sub(self.quickest())
    }

    fn quickest(&self) -> i32 {
        self.last.map_or(self.this.quickest, |last| last.quickest.min(self.this.quickest))
    }

    fn spread(&self) -> u32 {
        let second = self.last.map_or(self.this.second, |last| last.second.max(self.this.second));
        u32::try_from(i64::from(second) - i64::from(self.quickest())).unwrap_or(0)
    }
}

impl Window {
    fn take(&mut self, way: i32) {
        self.quickest = self.quickest.min(way);
        if way > self.slowest {
            self.second = self.slowest;
            self.slowest = way;
        } else {
            self.second = self.second.max(way);
        }
    }
}

impl Default for Window {
    fn default() -> Self {
        Self { quickest: i32::MAX, slowest: i32::MIN, second: i32::MIN }
    }
}

/// Five seconds: what was slow is forgotten after five to ten.
const WINDOW: u32 = 40_000;

/// Two gaps in ten seconds are waited for, each of 60 ms at most: what is longer is silent however well it ends.
const LOSS_FORGOTTEN: u32 = 80_000;
const LOST_MAX: u16 = 3;

/// Where packets are lost, what stands behind the frame that is next has come too.
const FRAME: u32 = 160;

/// Packets that come within 20 ms of each other's time wait for nothing.
const CALM: u32 = 160;

/// Who began to wait stops when it is well below that.
const CALM_AGAIN: u32 = 120;

/// Two seconds between two packets' ways are a new time line of the sender, not jitter.
const ANOTHER_LINE: u32 = 16_000;

/// A little more than the slowest took.
const MARGIN: u32 = 40;

/// The same where they come evenly: 2 ms.
const MARGIN_EVEN: u32 = 16;

/// 20 ms to 200 ms.
const TARGET_MIN: u32 = 160;
const TARGET_MAX: u32 = 1_600;

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 20 ms for so many seconds, each late by what `late` says.
    fn run(delay: &mut Delay, from: u32, seconds: u32, late: impl Fn(u32) -> u32) -> u32 {
        for n in from * 50..(from + seconds) * 50 {
            delay.take(n * 160, 7_000 + n * 160 + late(n));
        }
        delay.target()
    }

    #[test]
    fn even_packets_wait_for_nothing() {
        assert_eq!(run(&mut Delay::default(), 0, 60, |n| n % 7 * 20), 0);
    }

    #[test]
    fn jitter_is_waited_for_at_its_second_late_packet_and_forgotten_slowly() {
        let mut delay = Delay::default();
        assert_eq!(run(&mut delay, 0, 10, |_| 0), 0);

        assert_eq!(run(&mut delay, 10, 1, |n| if n == 520 { 800 } else { 0 }), 0, "one straggler");
        assert_eq!(run(&mut delay, 11, 1, |n| if n == 560 { 800 } else { 0 }), 840);
        assert_eq!(run(&mut delay, 12, 4, |_| 0), 840);
        assert_eq!(run(&mut delay, 16, 7, |_| 0), 0);
    }

    #[test]
    fn a_frame_more_is_waited_for_while_packets_are_lost() {
        let mut delay = Delay::default();
        run(&mut delay, 0, 5, |_| 0);
        let mut lose = |lost, second: u32| {
            delay.miss(lost, 7_000 + second * 8_000);
            run(&mut delay, second, 1, |n| n % 2 * 80)
        };

        assert_eq!(lose(1, 5), 0, "one gap");
        assert_eq!(lose(9, 6), 0, "an outage is silent anyway");
        assert_eq!(lose(2, 14), 80 + MARGIN_EVEN + FRAME);
        assert_eq!(run(&mut delay, 15, 1, |_| 0), 0, "ten seconds after the first of two");
        delay.miss(1, 7_000 + 16 * 8_000);
        assert!(run(&mut delay, 16, 1, |_| 0) > FRAME);
        delay.find();
        assert_eq!(run(&mut delay, 17, 1, |_| 0), 0, "it was out of order");
    }

    #[test]
    fn nobody_waits_longer_than_200_ms() {
        assert_eq!(run(&mut Delay::default(), 0, 2, |n| n % 3 * 4_000), 1_600);
    }

    #[test]
    fn a_longer_way_is_no_jitter_for_long() {
        let mut delay = Delay::default();
        run(&mut delay, 0, 20, |_| 0);
        assert_eq!(run(&mut delay, 20, 2, |_| 640), 680);

        assert_eq!(run(&mut delay, 22, 10, |_| 640), 0);
        assert_eq!(delay.waited(32 * 8_000, 7_000 + 32 * 8_000 + 640), 0);
    }

    #[test]
    fn a_clock_that_is_off_is_followed() {
        let mut delay = Delay::default();

        assert_eq!(run(&mut delay, 0, 3_600, |n| n / 31), 0, "200 millionths slow");
        let way = 3_600 * 50 / 31;
        let waited = delay.waited(3_600 * 8_000, 7_000 + 3_600 * 8_000 + way);
        assert!((0..=20).contains(&waited), "{waited}");
    }

    #[test]
    fn a_new_time_line_keeps_what_is_known_of_the_network() {
        let mut delay = Delay::default();
        run(&mut delay, 0, 5, |n| n % 2 * 400);

        delay.restart(1_000_000, 90_000);

        assert_eq!(delay.target(), 440);
        assert_eq!(delay.waited(1_000_000, 90_000), 0);
    }
}
