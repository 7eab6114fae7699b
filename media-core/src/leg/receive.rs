//! The receive half of a leg: order and loss of its source, and what of it waits to be heard.

use super::allowance::Allowance;
use crate::{
    coder::Hearing,
    counters::{Counters, Dropped},
    frame::{Packed, SAMPLES, STEP},
    jitter::{Delay, Jitter, Kind, Order, Put, Speech},
    order::{Law, LegReport},
    rtp::{
        bursts::{Burstiness, Bursts},
        header::Header,
        sequence::Place,
        stats::{Reception, Source},
    },
};

/// What one leg hears. Allocates nothing. In the order of [`super::Leg`]'s note.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Receive {
    source: Option<Source>,
    /// When its last packet came, in samples.
    heard_at: u32,
    allowance: Allowance,
    /// Another source that would take its place: its name and what comes next of it.
    other: Option<(u32, u16)>,
    /// Lost of sources before this one.
    lost_before: u64,
    /// Of the lost and the reordered, those the engine's counters know.
    lost_told: u64,
    reordered_told: u64,
    packets: u64,
    duplicates: u64,
    reordered: u64,
    late: u64,
    unplayable: u64,
    crowded: u64,
    bursts: Bursts,
    frames: u64,
    concealed: u64,
    packet_frames: i64,
    delay: Delay,
    jitter: Jitter,
}

impl Receive {
    pub(crate) fn new() -> Self {
        Self {
            source: None,
            heard_at: 0,
            allowance: Allowance::default(),
            other: None,
            lost_before: 0,
            lost_told: 0,
            reordered_told: 0,
            packets: 0,
            duplicates: 0,
            reordered: 0,
            late: 0,
            unplayable: 0,
            crowded: 0,
            bursts: Bursts::NONE,
            frames: 0,
            concealed: 0,
            packet_frames: 1,
            delay: Delay::default(),
            jitter: Jitter::EMPTY,
        }
    }

    /// Takes a packet of audio in, for order and statistics. `arrival` in samples of 8 kHz. Another source than the one
    /// that speaks takes its place with two packets in a row between which that one said nothing (RFC 3550 §A.1,
    /// `MIN_SEQUENTIAL`): no single datagram ends what somebody says.
    pub(crate) fn place_audio(&mut self, header: &Header, arrival: u32) -> Result<Order, Dropped> {
        let came = self.packets;
        self.packets += 1;
        if self.is_cut_in_on(header, arrival) {
            return Err(Dropped::SequenceJump);
        }
        let order = match self.source.as_mut().filter(|source| source.ssrc == header.ssrc) {
            None => {
                self.lost_before += self.source.take().map_or(0, |source| source.lost());
                self.source = Some(Source::new(header.ssrc, header.sequence));
                self.delay.restart(header.timestamp, arrival);
                Order::First
            }
            Some(source) => {
                let before = source.lost();
                match source.take(header.sequence) {
                    Place::Next { lost } => {
                        self.bursts.next(lost, came);
                        Order::Next { lost }
                    }
                    Place::Duplicate => {
                        self.duplicates += 1;
                        return Err(Dropped::Duplicate);
                    }
                    Place::Late => {
                        self.reordered += 1;
                        Order::Behind
                    }
                    Place::Jump => return Err(Dropped::SequenceJump),
                    Place::Restarted => {
                        self.lost_before += before;
                        Order::First
                    }
                }
            }
        };
        if let Some(source) = &mut self.source {
            source.measure_jitter(header, arrival);
        }
        (self.heard_at, self.other) = (arrival, None);
        self.afford(arrival)?;
        Ok(order)
    }

    /// Whether one more may come. Asked only of what its source says in order: a forger beside it takes nothing of
    /// its share.
    #[inline]
    pub(crate) fn afford(&mut self, arrival: u32) -> Result<(), Dropped> {
        if self.allowance.spend(arrival) {
            return Ok(());
        }
        self.crowd();
        Err(Dropped::Rate)
    }

    /// A source that nobody knows yet speaks into what another says.
    fn is_cut_in_on(&mut self, header: &Header, arrival: u32) -> bool {
        let speaks = self.source.as_ref().is_some_and(|source| source.ssrc != header.ssrc)
            && arrival.wrapping_sub(self.heard_at) < SILENT;
        if !speaks || self.other == Some((header.ssrc, header.sequence)) {
            return false;
        }
        self.other = Some((header.ssrc, header.sequence.wrapping_add(1)));
        true
    }

    /// Takes a packet in that is no audio: it has a place among those of its source. One of
    /// another source than the audio's changes nothing: some tell keys under a name of their own.
    pub(crate) fn place_other(&mut self, header: &Header) -> Result<(), Dropped> {
        let came = self.packets;
        self.packets += 1;
        let Some(source) = self.source.as_mut().filter(|source| source.ssrc == header.ssrc) else {
            return Ok(());
        };
        let before = source.lost();
        match source.take(header.sequence) {
            Place::Duplicate => {
                self.duplicates += 1;
                return Err(Dropped::Duplicate);
            }
            Place::Late => {
                self.reordered += 1;
                self.bursts.fill();
            }
            Place::Restarted => self.lost_before += before,
            Place::Next { lost } => self.bursts.next(lost, came),
            Place::Jump => {}
        }
        Ok(())
    }

    /// The background of a source that says nothing for a while.
    pub(crate) fn take_comfort(&mut self, payload: &[u8]) {
        self.jitter.take_comfort(payload);
    }

    /// What stands in a packet's place cannot be played. One of another source than the audio's
    /// leaves no gap in it.
    pub(crate) fn miss(&mut self, header: &Header) {
        let own = self.source.is_none_or(|source| source.ssrc == header.ssrc);
        if own {
            self.unplayable += 1;
            self.bursts.unheard(self.packets.saturating_sub(1));
        }
    }

    /// Nobody hears this audio; what it says of the network is kept.
    pub(crate) fn measure(&mut self, timestamp: u32, arrival: u32, order: Order) {
        if order == Order::Behind {
            self.bursts.fill();
        }
        self.delay.take(timestamp, arrival);
    }

    /// It is the next of its source and came about as quickly as any does: had another lain behind it, it would have
    /// come later.
    pub(crate) fn is_punctual(&self, speech: &Speech<'_>) -> bool {
        speech.order == Order::Next { lost: 0 }
            && self.delay.waited(speech.timestamp, speech.arrival) <= PUNCTUAL
    }

    /// Takes audio in that goes over as it is; one behind others goes no further.
    pub(crate) fn pass(&mut self, speech: &Speech<'_>) {
        self.late += u64::from(speech.order == Order::Behind);
        self.delay.take(speech.timestamp, speech.arrival);
    }

    /// More came than anybody can be given.
    pub(crate) fn crowd(&mut self) {
        self.crowded += 1;
        self.bursts.unheard(self.packets.saturating_sub(1));
    }

    /// Takes audio in that somebody hears. `at_once`: it may leave at once.
    pub(crate) fn put(&mut self, law: Law, speech: &Speech<'_>, at_once: bool) -> Put {
        self.packet_frames = i64::try_from(speech.payload.len().div_ceil(SAMPLES)).unwrap_or(1);
        match speech.order {
            Order::First => {}
            Order::Next { lost } => self.delay.miss(lost, speech.arrival),
            Order::Behind => self.delay.find(),
        }
        let put = self.jitter.put(law, speech, &mut self.delay, at_once);
        self.delay.take(speech.timestamp, speech.arrival);
        self.count_put(put, speech.order);
        put
    }

    fn count_put(&mut self, put: Put, order: Order) {
        match put {
            Put::Passes => self.frames += 1,
            Put::Late => self.late += 1,
            Put::Kept if order == Order::Behind => self.bursts.fill(),
            Put::Kept => {}
            Put::Crowded => self.crowd(),
        }
    }

    /// True: packets come so unevenly that they wait, and leave by the listener's clock.
    pub(crate) const fn waits(&self) -> bool {
        self.delay.target() > 0
    }

    /// What is ready, in order.
    pub(crate) fn next_at_once(&mut self, law: Law, now: u32, frame: &mut Packed) -> Option<Kind> {
        let kind = self.jitter.next_at_once(law, &self.delay, now, frame)?;
        Some(self.count(kind))
    }

    /// The frame that is due by the listener's clock. `now` in samples of 8 kHz.
    pub(crate) fn next_in_time(&mut self, law: Law, now: u32, frame: &mut Packed) -> Kind {
        let kind = if self.waits() {
            self.jitter.next_in_time(law, &self.delay, self.delay.target(), now, frame)
        } else {
            self.jitter.build(law, frame)
        };
        self.count(kind)
    }

    /// The frame that is due by the clock of whoever takes one every 20 ms.
    pub(crate) fn next_by_clock(&mut self, law: Law, now: u32, frame: &mut Packed) -> Kind {
        let target = self.delay.spread_target();
        let kind = self.jitter.next_in_time(law, &self.delay, target, now, frame);
        self.count(kind)
    }

    /// Takes audio in that a coder must decode.
    pub(crate) fn put_coded(&mut self, hearing: &mut Hearing, speech: &Speech<'_>) -> Put {
        let plays = hearing.duration(speech.payload).unwrap_or(STEP);
        self.packet_frames = i64::from(plays.div_ceil(STEP));
        let put = hearing.put(speech, &mut self.delay);
        self.delay.take(speech.timestamp, speech.arrival);
        self.count_put(put, speech.order);
        put
    }

    /// The frame of a coder's that is due by the clock of whoever takes one every 20 ms.
    pub(crate) fn next_coded(&mut self, hearing: &mut Hearing, now: u32, to: &mut [i16]) -> Kind {
        let kind = hearing.take(&self.delay, self.delay.spread_target(), now, to);
        self.concealed = self.concealed.saturating_sub(hearing.take_excused());
        self.count(kind)
    }

    /// As [`Self::next_due`], of what a coder has.
    pub(crate) fn next_coded_due(&self, hearing: &Hearing, now: u32) -> Option<u32> {
        hearing.next_due(&self.delay, self.delay.spread_target(), now)
    }

    /// Frames of this source that may wait at the moment, rounded up.
    pub(crate) fn waiting_frames(&self) -> u64 {
        let target = self.delay.spread_target().max(self.delay.target());
        u64::from(target).div_ceil(SAMPLES as u64) + 1
    }

    /// How long from now on, in samples, until the frame that is next has waited as long as it needs;
    /// none if nothing has come yet.
    pub(crate) fn next_due(&self, now: u32) -> Option<u32> {
        let target = self.delay.spread_target().cast_signed();
        let waited = self.jitter.waited(&self.delay, now)?;
        Some(u32::try_from(target.saturating_sub(waited)).unwrap_or(0))
    }

    /// Frames that come at once with a packet, rounded up.
    pub(crate) const fn packet_frames(&self) -> i64 {
        self.packet_frames
    }

    /// A frame's time is spent on something else.
    pub(crate) fn leave_out(&mut self, law: Law, frame: &mut Packed) {
        self.jitter.leave_out(law, frame);
    }

    /// Nothing was said lately that one would miss.
    pub(crate) fn is_quiet(&self, law: Law) -> bool {
        self.jitter.is_quiet(law)
    }

    /// Somebody else listens: what waits is forgotten.
    pub(crate) fn forget(&mut self) {
        self.jitter.forget();
    }

    /// SSRC of the source heard last.
    pub(crate) fn ssrc(&self) -> Option<u32> {
        self.source.map(|source| source.ssrc)
    }

    /// What the next report says; begins its next interval.
    pub(crate) fn reception(&mut self) -> Option<Reception> {
        self.source.as_mut().map(Source::report)
    }

    /// Counts what was lost and reordered since this was asked last. One that comes after all is
    /// not taken back.
    pub(crate) fn settle(&mut self, counters: &mut Counters) {
        let lost = self.lost().saturating_sub(self.lost_told);
        let reordered = self.reordered - self.reordered_told;
        self.lost_told += lost;
        self.reordered_told = self.reordered;
        counters.packets_lost += lost;
        counters.packets_reordered += reordered;
    }

    pub(crate) fn fill(&self, report: &mut LegReport) {
        report.packets_received = self.packets;
        report.packets_lost = self.lost();
        report.packets_duplicate = self.duplicates;
        report.packets_reordered = self.reordered;
        report.packets_late = self.late;
        report.packets_unplayable = self.unplayable;
        report.frames_heard = self.frames;
        report.frames_concealed = self.concealed;
        // 125 us a sample.
        report.jitter_us = self.source.map_or(0, |source| source.jitter().saturating_mul(125));
        report.delay_us = self.delay.target().saturating_mul(125);
        report.packet_us = u32::try_from(self.packet_frames * FRAME_US).unwrap_or(0);
        report.packets_discarded = self.crowded;
        report.frames_paused = self.jitter.paused().into();
        report.packets_missed = self.bursts.missed().into();
        report.loss_runs = self.bursts.runs().into();
    }

    /// How losses came, in packets.
    pub(crate) fn burstiness(&self) -> Burstiness {
        self.bursts.burstiness(self.packets)
    }

    fn lost(&self) -> u64 {
        self.lost_before + self.source.as_ref().map_or(0, Source::lost)
    }

    const fn count(&mut self, kind: Kind) -> Kind {
        match kind {
            Kind::Said => self.frames += 1,
            Kind::Concealed => {
                self.frames += 1;
                self.concealed += 1;
            }
            Kind::Silent => {}
        }
        kind
    }
}

const FRAME_US: i64 = crate::frame::FRAME_US.cast_signed();

/// In samples, 5 ms: less than the shortest packet time.
const PUNCTUAL: i32 = 40;

/// In samples, 200 ms: who has said nothing for so long does not speak. Longer than any packet time.
const SILENT: u32 = 1_600;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(ssrc: u32, sequence: u16) -> Header {
        Header { marker: false, payload_type: 8, sequence, timestamp: 0, ssrc }
    }

    #[test]
    fn a_new_source_is_heard_at_once_when_the_old_one_has_gone_and_old_losses_stay_counted() {
        let mut receive = Receive::new();
        let mut place =
            |ssrc, n| receive.place_audio(&header(ssrc, n), u32::from(ssrc == 2) * SILENT);
        assert_eq!([place(1, 1), place(1, 4)], [Ok(Order::First), Ok(Order::Next { lost: 2 })]);
        assert_eq!([place(2, 9), place(2, 11)], [Ok(Order::First), Ok(Order::Next { lost: 1 })]);
        assert_eq!(place(2, 11), Err(Dropped::Duplicate));
        let mut counters = Counters::default();
        receive.settle(&mut counters);
        assert_eq!((counters.packets_lost, counters.packets_reordered), (3, 0));
        assert_eq!(receive.place_audio(&header(2, 10), SILENT), Ok(Order::Behind));

        let mut report = LegReport::default();
        receive.fill(&mut report);

        assert_eq!((report.packets_received, report.packets_lost), (6, 2));
        assert_eq!((report.packets_duplicate, report.packets_reordered), (1, 1));
        receive.settle(&mut counters);
        assert_eq!((counters.packets_lost, counters.packets_reordered), (3, 1));
        assert_eq!(receive.ssrc(), Some(2));
    }

    #[test]
    fn nobody_cuts_in_on_a_source_that_speaks_but_with_two_packets_in_a_row() {
        let mut receive = Receive::new();
        let mut place = |ssrc, n| receive.place_audio(&header(ssrc, n), u32::from(n) * 160);
        assert_eq!(place(1, 1), Ok(Order::First));
        for n in 2..20 {
            assert_eq!(place(700 + u32::from(n), n), Err(Dropped::SequenceJump), "forged {n}");
            assert_eq!(place(9, n), Err(Dropped::SequenceJump), "beside it {n}");
            assert_eq!(place(1, n), Ok(Order::Next { lost: 0 }));
        }

        assert_eq!(place(9, 20), Err(Dropped::SequenceJump));
        assert_eq!(place(9, 21), Ok(Order::First), "it has taken its place");
        assert_eq!(place(1, 22), Err(Dropped::SequenceJump));
        assert_eq!(place(9, 22), Ok(Order::Next { lost: 0 }));
    }

    #[test]
    fn keys_told_under_another_name_do_not_interrupt_the_voice() {
        let mut receive = Receive::new();
        assert_eq!(receive.place_audio(&header(1, 1), 0), Ok(Order::First));

        assert_eq!(receive.place_other(&header(9, 50)), Ok(()));
        assert_eq!(receive.place_audio(&header(1, 2), 0), Ok(Order::Next { lost: 0 }));
        assert_eq!(receive.place_other(&header(1, 3)), Ok(()));
        assert_eq!(receive.place_other(&header(1, 3)), Err(Dropped::Duplicate));
        assert_eq!(receive.place_audio(&header(1, 4), 0), Ok(Order::Next { lost: 0 }));
    }
}
