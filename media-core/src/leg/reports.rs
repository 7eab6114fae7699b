//! A leg's RTCP: when the next report is due, and what the far side's reports say.

use crate::{
    clock::{self, Clock},
    order::FarVoice,
    rtp::{
        rtcp::{self, Block, LastSender, Report},
        xr::{Told, VoipMetrics},
    },
};
use std::time::{Duration, Instant};

/// The far side's last report, and what follows from it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reports {
    due: Option<Instant>,
    /// Middle of the NTP time stamp in the far side's last sender report, and when it came.
    sender: Option<(u32, Instant)>,
    round_trip_us: Option<u32>,
    far_packets_lost: Option<u32>,
    /// What it lost since its report before, in 256ths, until somebody asks.
    far_loss: Option<u8>,
    far_voice: Option<FarVoice>,
    /// The far side is told how its voice sounds here.
    pub(super) rates: bool,
}

impl Reports {
    /// True when a report is due; the first one half an interval after the first question, spread
    /// by the leg's phase.
    pub(crate) fn is_due(&mut self, every: Duration, phase: u64, now: Instant) -> bool {
        let spread = u32::try_from(phase).unwrap_or_default();
        let due = *self.due.get_or_insert(now + every * (10 + spread) / 40);
        let is_due = now >= due;
        if is_due {
            self.due = Some(now + every);
        }
        is_due
    }

    /// Takes a datagram in. `ours` and `theirs`: the SSRCs of the two streams. A report from
    /// another SSRC than the one we hear is not believed. How many of its values cannot be; none
    /// if it cannot be read.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        ours: u32,
        theirs: Option<u32>,
        clock: &Clock,
        now: Instant,
    ) -> Option<u64> {
        let reports = rtcp::parse(bytes).ok()?;
        let mut impossible = 0;
        let believed = |ssrc| theirs.is_none_or(|theirs| theirs == ssrc);
        for report in reports {
            match report {
                Report::Sender { ssrc, ntp, blocks } if believed(ssrc) => {
                    self.sender = Some((clock::middle(ntp), now));
                    self.learn(blocks.about(ours), clock, now);
                }
                Report::Receiver { ssrc, blocks } if believed(ssrc) => {
                    self.learn(blocks.about(ours), clock, now);
                }
                Report::Extended { ssrc, blocks } if believed(ssrc) => {
                    if let Some(told) = blocks.about(ours) {
                        impossible += u64::from(told.impossible);
                        self.far_voice = Some(far_voice(told));
                    }
                }
                Report::Sender { .. }
                | Report::Receiver { .. }
                | Report::Extended { .. }
                | Report::Other => {}
            }
        }
        Some(impossible)
    }

    pub(crate) fn last_sender(&self, now: Instant) -> LastSender {
        self.sender.map_or_else(LastSender::default, |(lsr, came)| LastSender {
            lsr,
            delay: clock::short_ntp(now.saturating_duration_since(came)),
        })
    }

    pub(crate) const fn round_trip_us(&self) -> Option<u32> {
        self.round_trip_us
    }

    pub(crate) const fn far_packets_lost(&self) -> Option<u32> {
        self.far_packets_lost
    }

    /// What the far side's newest report says it loses, in percent. Once.
    pub(crate) fn take_far_loss(&mut self) -> Option<u8> {
        let loss = u16::from(self.far_loss.take()?) * 100 / 256;
        u8::try_from(loss).ok()
    }

    /// How our voice sounds there, as told last.
    pub(crate) const fn far_voice(&self) -> Option<FarVoice> {
        self.far_voice
    }

    /// RFC 3550 §6.4.1: A - LSR - DLSR, in 1/65536 s.
    fn learn(&mut self, block: Option<Block>, clock: &Clock, now: Instant) {
        let Some(Block { fraction_lost, lost, last, .. }) = block else { return };
        self.far_loss = Some(fraction_lost);
        self.far_packets_lost = Some(u32::try_from(lost).unwrap_or(0));
        if last.lsr == 0 {
            return;
        }
        let trip = clock.ntp_middle(now).wrapping_sub(last.lsr).wrapping_sub(last.delay);
        // Beyond a minute, or negative, is a made-up report.
        if trip <= 60 << 16 {
            let micros = u64::from(trip) * 1_000_000 / 65_536;
            self.round_trip_us = u32::try_from(micros).ok();
        }
    }
}

const fn far_voice(told: Told) -> FarVoice {
    let VoipMetrics {
        loss_rate,
        discard_rate,
        round_trip_ms,
        end_system_ms,
        r_factor,
        mos_lq,
        mos_cq,
        ..
    } = told.metrics;
    FarVoice { loss_rate, discard_rate, round_trip_ms, end_system_ms, r_factor, mos_lq, mos_cq }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::{rtcp::Compound, stats::Reception};

    const OURS: u32 = 1;
    const THEIRS: u32 = 2;

    fn receiver_report(ssrc: u32, about: u32, last: LastSender) -> Compound {
        let block = Reception { ssrc: about, fraction_lost: 0, lost: 9, highest: 0, jitter: 0 };
        let mut compound = Compound::new();
        compound.receiver(ssrc, Some((&block, last)));
        compound
    }

    #[test]
    fn the_round_trip_is_what_neither_side_waited() {
        let epoch = Instant::now();
        let clock = Clock::new(epoch, 0x1234_5678_0000_0000);
        let lsr = clock.ntp_middle(epoch + Duration::from_secs(10));
        let last = LastSender { lsr, delay: clock::short_ntp(Duration::from_millis(2_000)) };
        let back = epoch + Duration::from_millis(12_050);
        let mut reports = Reports::default();

        let compound = receiver_report(THEIRS, OURS, last);
        assert_eq!(reports.take(compound.bytes(), OURS, None, &clock, back), Some(0));

        let trip = reports.round_trip_us().unwrap();
        assert!((49_900..=50_100).contains(&trip), "{trip}");
        assert_eq!(reports.far_packets_lost(), Some(9));
    }

    #[test]
    fn reports_of_others_and_of_impossible_times_say_nothing() {
        let epoch = Instant::now();
        let clock = Clock::new(epoch, 0);
        let now = epoch + Duration::from_secs(100);
        let future = LastSender { lsr: clock.ntp_middle(now) + 70_000, delay: 0 };
        let mut reports = Reports::default();
        let mut take = |ssrc, about, last| {
            let compound = receiver_report(ssrc, about, last);
            assert_eq!(reports.take(compound.bytes(), OURS, Some(THEIRS), &clock, now), Some(0));
            (reports.round_trip_us(), reports.far_packets_lost())
        };

        assert_eq!(take(77, OURS, LastSender { lsr: 5, delay: 0 }), (None, None));
        assert_eq!(take(THEIRS, 77, LastSender { lsr: 5, delay: 0 }), (None, None));
        assert_eq!(take(THEIRS, OURS, future), (None, Some(9)));
    }

    #[test]
    fn a_voice_is_believed_of_our_stream_from_the_stream_we_hear_and_nothing_that_cannot_be() {
        let now = Instant::now();
        let clock = Clock::new(now, 0);
        let mut reports = Reports::default();
        let mut take = |ssrc, about, loss_rate, mos_lq| {
            let mut compound = receiver_report(ssrc, about, LastSender::default());
            let metrics = VoipMetrics { ssrc: about, loss_rate, mos_lq, ..Default::default() };
            compound.voice(ssrc, &metrics);
            let impossible = reports.take(compound.bytes(), OURS, Some(THEIRS), &clock, now);
            (impossible, reports.far_voice().map(|voice| (voice.loss_rate, voice.mos_lq)))
        };

        assert_eq!(take(77, OURS, 9, Some(30)), (Some(0), None));
        assert_eq!(take(THEIRS, 77, 9, Some(30)), (Some(0), None));
        assert_eq!(take(THEIRS, OURS, 9, Some(30)), (Some(0), Some((9, Some(30)))));
        assert_eq!(take(THEIRS, OURS, 8, Some(200)), (Some(1), Some((8, None))));
        assert_eq!(take(77, OURS, 255, Some(10)), (Some(0), Some((8, None))));
    }

    #[test]
    fn reports_are_due_at_their_interval_spread_by_phase() {
        let epoch = Instant::now();
        let every = Duration::from_secs(4);
        let first = |phase| {
            let mut reports = Reports::default();
            (0..100_u64)
                .find(|n| reports.is_due(every, phase, epoch + Duration::from_millis(n * 100)))
        };

        assert_eq!((first(0), first(10), first(19)), (Some(10), Some(20), Some(29)));
        let mut reports = Reports::default();
        let due = (0..200_u64)
            .filter(|n| reports.is_due(every, 0, epoch + Duration::from_millis(n * 100)));
        assert_eq!(due.collect::<Vec<_>>(), [10, 50, 90, 130, 170]);
    }
}
