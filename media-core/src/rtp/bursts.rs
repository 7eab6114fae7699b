//! How losses come: alone or in bursts (RFC 3611 §4.7.2 and the counts of its appendix A.2).

/// Gaps in one source's packets, from gap to gap. A packet that comes in order costs one look.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Bursts {
    /// Missing before the newest packet, and how many had come then: a straggler may still fill
    /// it, so it is counted when the next packet has come.
    hole: u16,
    hole_at: u32,
    /// How many packets had come at the last gap.
    since: u32,
    missed: u32,
    runs: u32,
    /// In the burst that goes on.
    in_burst: u32,
    /// Changes of state, by RFC 3611's numbers: 1 heard in a gap, 4 lost alone in a gap, 2 heard and
    /// 3 lost in a burst.
    c11: u32,
    c13: u32,
    c14: u32,
    c22: u32,
    c23: u32,
    c33: u32,
}

/// What RFC 3611 says of bursts, by packets.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Burstiness {
    /// Share of packets lost within bursts, and between them.
    pub burst_density: f64,
    pub gap_density: f64,
    /// Mean lengths, in packets.
    pub burst_packets: f64,
    pub gap_packets: f64,
}

impl Bursts {
    pub const NONE: Self = Self {
        hole: 0,
        hole_at: 0,
        since: 0,
        missed: 0,
        runs: 0,
        in_burst: 0,
        c11: 0,
        c13: 0,
        c14: 0,
        c22: 0,
        c23: 0,
        c33: 0,
    };

    /// A packet came in order, so many missing before it. `came`: packets that came before it.
    #[inline]
    pub fn next(&mut self, missing: u16, came: u64) {
        if self.hole != 0 || missing != 0 {
            self.settle();
            (self.hole, self.hole_at) = (missing, low(came));
        }
    }

    /// A straggler came in time to be heard.
    pub const fn fill(&mut self) {
        self.hole = self.hole.saturating_sub(1);
    }

    /// A packet came that cannot be heard. `came`: packets that came before it.
    pub fn unheard(&mut self, came: u64) {
        self.settle();
        self.gap(1, low(came));
        self.since = self.since.wrapping_add(1);
    }

    /// No straggler is waited for any more.
    pub fn settle(&mut self) {
        let hole = std::mem::take(&mut self.hole);
        if hole > 0 {
            self.gap(hole.into(), self.hole_at);
        }
    }

    /// Packets missed, those included whose place may still be filled.
    pub fn missed(&self) -> u32 {
        self.missed.saturating_add(self.hole.into())
    }

    /// Rows of missed packets with none heard between.
    pub fn runs(&self) -> u32 {
        self.runs.saturating_add(u32::from(self.hole > 0))
    }

    /// RFC 3611 appendix A.2. `came`: packets that came in all.
    pub fn burstiness(&self, came: u64) -> Burstiness {
        let heard = f64::from(low(came).wrapping_sub(self.since));
        let c13 = self.c13.saturating_add(u32::from(self.in_burst > 1));
        let c14 = self.c14.saturating_add(u32::from(self.in_burst == 1));
        let [c11, c13, c14, c22, c23, c33] =
            [self.c11, c13, c14, self.c22, self.c23, self.c33].map(f64::from);
        // Begun and ended as often.
        let (c31, c32) = (c13, c23);
        let of = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let p32 = of(c32, c31 + c32 + c33);
        let p23 = 1.0 - of(c22, c22 + c23);
        let gaps = c11 + c14 + heard;
        let gap_packets = of(gaps + c13, c13.max(1.0));
        let bursts = c22 + c23 + c31 + c32 + c33;
        Burstiness {
            burst_density: if bursts > 0.0 { of(p23, p23 + p32) } else { 0.0 },
            gap_density: of(c14, gaps),
            burst_packets: of(bursts, c13),
            gap_packets,
        }
    }

    fn gap(&mut self, missed: u32, came: u32) {
        let heard = came.wrapping_sub(self.since);
        self.since = came;
        self.missed = self.missed.saturating_add(missed);
        // A stream begins well.
        if heard >= u32::from(GAP_MIN) || self.in_burst == 0 {
            // What was before was a burst, or one lost alone.
            let ended = if self.in_burst > 1 { &mut self.c13 } else { &mut self.c14 };
            *ended = ended.saturating_add(u32::from(self.in_burst > 0));
            self.in_burst = 1;
            self.c11 = self.c11.saturating_add(heard);
        } else {
            self.in_burst = self.in_burst.saturating_add(1);
            if heard == 0 {
                self.c33 = self.c33.saturating_add(1);
            } else {
                self.c23 = self.c23.saturating_add(1);
                self.c22 = self.c22.saturating_add(heard - 1);
            }
        }
        if heard > 0 || self.runs == 0 {
            self.runs = self.runs.saturating_add(1);
        }
        self.in_burst = self.in_burst.saturating_add(missed - 1);
        self.c33 = self.c33.saturating_add(missed - 1);
    }
}

/// Wraps, as all differences of it do.
fn low(count: u64) -> u32 {
    crate::clock::low_half(count)
}

/// Gmin: so many heard in a row end a burst (RFC 3611 §4.7.2 recommends 16).
pub const GAP_MIN: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream, packet by packet: true is lost.
    fn hear(stream: impl IntoIterator<Item = bool>) -> (Bursts, u64) {
        let (mut bursts, mut came, mut missing) = (Bursts::NONE, 0, 0);
        for lost in stream {
            if lost {
                missing += 1;
            } else {
                bursts.next(std::mem::take(&mut missing), came);
                came += 1;
            }
        }
        bursts.settle();
        (bursts, came)
    }

    fn of(text: &str) -> (Bursts, u64) {
        hear(text.chars().map(|packet| packet == 'x'))
    }

    #[test]
    fn rows_of_lost_packets_are_counted_not_packets() {
        let (bursts, _) = of("....x....xxx..xx.");

        assert_eq!((bursts.missed(), bursts.runs()), (6, 3));
    }

    #[test]
    fn a_straggler_that_is_heard_leaves_no_gap_and_one_too_late_does() {
        let mut bursts = Bursts::NONE;
        bursts.next(0, 0);
        bursts.next(1, 1);
        assert_eq!((bursts.missed(), bursts.runs()), (1, 1));
        bursts.fill();
        bursts.next(0, 3);
        assert_eq!((bursts.missed(), bursts.runs()), (0, 0));

        bursts.next(2, 4);
        bursts.fill();
        bursts.next(0, 6);
        bursts.fill();
        assert_eq!((bursts.missed(), bursts.runs()), (1, 1));
        bursts.unheard(7);
        assert_eq!((bursts.missed(), bursts.runs()), (2, 2));
    }

    #[test]
    fn a_burst_is_told_from_what_is_lost_alone() {
        let well = ".".repeat(100);
        // A burst of eight, half of it lost, between gaps with two losses alone.
        let (bursts, came) = of(&format!("{well}x{well}x.x.x.xx{well}x{well}{well}"));

        let told = bursts.burstiness(came);

        assert!((0.4..=0.8).contains(&told.burst_density), "{told:?}");
        assert!((6.0..=9.0).contains(&told.burst_packets), "{told:?}");
        assert!((0.002..=0.006).contains(&told.gap_density), "{told:?}");
        assert!(told.gap_packets > 200.0, "{told:?}");
    }

    #[test]
    fn a_stream_without_loss_is_one_gap() {
        let (bursts, came) = of(&".".repeat(1_000));

        let told = bursts.burstiness(came);

        assert_eq!((told.burst_density, told.gap_density, told.burst_packets), (0.0, 0.0, 0.0));
        assert_eq!(told.gap_packets, 1_000.0);
    }

    #[test]
    fn everything_lost_and_counts_that_wrap_say_no_nonsense() {
        for stream in ["x.", "xxxxxxxxxxxxxxxxxxxx.", "x.x.x.x.x.x.x.x.x.x."] {
            let (bursts, came) = of(stream);
            let told = bursts.burstiness(came);
            for share in [told.burst_density, told.gap_density] {
                assert!((0.0..=1.0).contains(&share), "{stream}: {told:?}");
            }
            assert!(told.burst_packets.is_finite() && told.gap_packets.is_finite());
        }
        let mut bursts = Bursts::NONE;
        bursts.next(0, u64::from(u32::MAX) - 2);
        bursts.next(u16::MAX, u64::from(u32::MAX));
        bursts.next(3, u64::from(u32::MAX) + 5);
        bursts.settle();
        assert_eq!((bursts.missed(), bursts.runs()), (65_538, 2));
    }
}
