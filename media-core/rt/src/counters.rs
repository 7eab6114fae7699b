//! What the two threads count: one writer each, read at scrape, and no locked instruction on the
//! media thread.

use std::{
    ops::AddAssign,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use media_core::counters::{Counters, Dropped};

use crate::headroom::Effort;

/// Upper edges of the buckets of both histograms, in microseconds; a last bucket has no edge.
pub const BUCKETS_US: [u64; 10] = [50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000];

/// How often something took how long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Not cumulative: each counts what lies above the edge before it, up to its own in
    /// [`BUCKETS_US`]; the last what lies above them all.
    pub counts: [u64; BUCKETS_US.len() + 1],
    pub sum: Duration,
}

/// What one media thread, or all of them together, counted since start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MediaCounters {
    pub ticks: u64,
    /// Ticks that began a whole tick or more after their deadline.
    pub ticks_late: u64,
    /// Ticks left out after a stall.
    pub ticks_skipped: u64,
    /// Deadline to wake.
    pub lateness: Durations,
    /// From the wake that read a packet to the return of the call that sent it on, for packets
    /// that are relayed without decoding.
    pub forward_latency: Durations,
    pub datagrams_received: u64,
    pub datagrams_sent: u64,
    /// Longer than 2,048 bytes, dropped.
    pub datagrams_cut: u64,
    /// RTP and RTCP that the kernel dropped at a leg's sockets, because more lay there than it keeps. As old as each
    /// leg's last turn, which comes after as many milliseconds as its thread has legs, and 64 ms.
    pub datagrams_dropped: u64,
    /// The kernel could not give us what came, or said an earlier send had failed.
    pub receive_errors: u64,
    /// The kernel did not take what we sent: no route, no room, no permission.
    pub send_errors: u64,
    /// An order for a port that is not in the pool, or whose socket could not be made to listen.
    pub ports_refused: u64,
    /// Wakes that ended with an event still waiting for room in the ring.
    pub events_delayed: u64,
    /// Wakes in which our own code panicked.
    pub panics: u64,
    pub engine: EngineCounters,
}

/// What the engine counted, a few milliseconds old. The names are those of
/// [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineCounters {
    pub packets_in: u64,
    pub packets_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub reports_in: u64,
    pub reports_out: u64,
    pub reports_refused: u64,
    pub reports_malformed: u64,
    pub reports_impossible: u64,
    pub packets_lost: u64,
    pub packets_reordered: u64,
    pub frames_inserted: u64,
    pub frames_concealed: u64,
    pub frames_encoded: u64,
    pub digits_in: u64,
    pub digits_out: u64,
    pub digits_doubled: u64,
    pub digits_lost: u64,
    pub stalls: u64,
    pub phases_skipped: u64,
    pub record_frames: u64,
    pub record_frames_lost: u64,
    pub record_frames_refused: u64,
    pub recordings_unfinished: u64,
    pub events_lost: u64,
    /// In the order of [`Dropped::ALL`].
    pub dropped: [u64; Dropped::ALL.len()],
}

impl AddAssign for Durations {
    fn add_assign(&mut self, other: Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.sum += other.sum;
    }
}

impl AddAssign for MediaCounters {
    fn add_assign(&mut self, other: Self) {
        self.ticks += other.ticks;
        self.ticks_late += other.ticks_late;
        self.ticks_skipped += other.ticks_skipped;
        self.datagrams_received += other.datagrams_received;
        self.datagrams_sent += other.datagrams_sent;
        self.datagrams_cut += other.datagrams_cut;
        self.datagrams_dropped += other.datagrams_dropped;
        self.receive_errors += other.receive_errors;
        self.send_errors += other.send_errors;
        self.ports_refused += other.ports_refused;
        self.events_delayed += other.events_delayed;
        self.panics += other.panics;
        self.lateness += other.lateness;
        self.forward_latency += other.forward_latency;
        self.engine += other.engine;
    }
}

impl AddAssign for EngineCounters {
    fn add_assign(&mut self, other: Self) {
        // By name, so that one that is not summed up does not compile.
        let Self {
            packets_in,
            packets_out,
            bytes_in,
            bytes_out,
            reports_in,
            reports_out,
            reports_refused,
            reports_malformed,
            reports_impossible,
            packets_lost,
            packets_reordered,
            frames_inserted,
            frames_concealed,
            frames_encoded,
            digits_in,
            digits_out,
            digits_doubled,
            digits_lost,
            stalls,
            phases_skipped,
            record_frames,
            record_frames_lost,
            record_frames_refused,
            recordings_unfinished,
            events_lost,
            dropped,
        } = other;
        self.packets_in += packets_in;
        self.packets_out += packets_out;
        self.bytes_in += bytes_in;
        self.bytes_out += bytes_out;
        self.reports_in += reports_in;
        self.reports_out += reports_out;
        self.reports_refused += reports_refused;
        self.reports_malformed += reports_malformed;
        self.reports_impossible += reports_impossible;
        self.packets_lost += packets_lost;
        self.packets_reordered += packets_reordered;
        self.frames_inserted += frames_inserted;
        self.frames_concealed += frames_concealed;
        self.frames_encoded += frames_encoded;
        self.digits_in += digits_in;
        self.digits_out += digits_out;
        self.digits_doubled += digits_doubled;
        self.digits_lost += digits_lost;
        self.stalls += stalls;
        self.phases_skipped += phases_skipped;
        self.record_frames += record_frames;
        self.record_frames_lost += record_frames_lost;
        self.record_frames_refused += record_frames_refused;
        self.recordings_unfinished += recordings_unfinished;
        self.events_lost += events_lost;
        self.dropped.iter_mut().zip(dropped).for_each(|(sum, count)| *sum += count);
    }
}

impl EngineCounters {
    /// Of the dropped: those that came twice, too late, and more than may wait.
    pub fn duplicate_late_discarded(&self) -> (u64, u64, u64) {
        let of = |reason: Dropped| self.dropped[reason as usize];
        (of(Dropped::Duplicate), of(Dropped::Late), of(Dropped::Ahead))
    }

    /// Every reason with its label and count.
    pub fn all_dropped(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Dropped::ALL.into_iter().map(Dropped::label).zip(self.dropped)
    }
}

/// What the recorder's thread counted since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecorderCounters {
    /// Files open.
    pub active: u64,
    /// Frames that are in files.
    pub frames_written: u64,
    /// Frames that should be in files and are not, those that did not fit into the ring included.
    pub frames_lost: u64,
    /// Events nobody took in time.
    pub events_lost: u64,
    /// Passes in which our own code panicked.
    pub panics: u64,
}

/// One number with one writer.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// A plain load and store: there is only one writer.
    pub(crate) fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    pub(crate) fn bump(&self) {
        self.add(1);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Durations with one writer.
#[derive(Debug, Default)]
pub(crate) struct DurationCounter {
    counts: [Counter; BUCKETS_US.len() + 1],
    sum_ns: Counter,
}

impl DurationCounter {
    pub(crate) fn observe(&self, took: Duration, times: u64) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.iter().position(|edge| took_ns <= edge * 1_000);
        self.counts[bucket.unwrap_or(BUCKETS_US.len())].add(times);
        self.sum_ns.add(took_ns.saturating_mul(times));
    }

    fn read(&self) -> Durations {
        let counts = std::array::from_fn(|bucket| self.counts[bucket].read());
        Durations { counts, sum: Duration::from_nanos(self.sum_ns.read()) }
    }
}

/// Written by the media thread alone; aligned so that no other thread's data shares its lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct MediaCount {
    pub(crate) ticks: Counter,
    pub(crate) ticks_late: Counter,
    pub(crate) ticks_skipped: Counter,
    pub(crate) lateness: DurationCounter,
    pub(crate) effort: Effort,
    pub(crate) forward_latency: DurationCounter,
    pub(crate) datagrams_received: Counter,
    pub(crate) datagrams_sent: Counter,
    pub(crate) datagrams_cut: Counter,
    pub(crate) datagrams_dropped: Counter,
    pub(crate) receive_errors: Counter,
    pub(crate) send_errors: Counter,
    pub(crate) ports_refused: Counter,
    pub(crate) events_delayed: Counter,
    pub(crate) panics: Counter,
    engine: EngineCount,
    /// The thread has given up or ended.
    pub(crate) dead: AtomicBool,
}

impl MediaCount {
    pub(crate) fn read(&self) -> MediaCounters {
        MediaCounters {
            ticks: self.ticks.read(),
            ticks_late: self.ticks_late.read(),
            ticks_skipped: self.ticks_skipped.read(),
            lateness: self.lateness.read(),
            forward_latency: self.forward_latency.read(),
            datagrams_received: self.datagrams_received.read(),
            datagrams_sent: self.datagrams_sent.read(),
            datagrams_cut: self.datagrams_cut.read(),
            datagrams_dropped: self.datagrams_dropped.read(),
            receive_errors: self.receive_errors.read(),
            send_errors: self.send_errors.read(),
            ports_refused: self.ports_refused.read(),
            events_delayed: self.events_delayed.read(),
            panics: self.panics.read(),
            engine: self.engine.read(),
        }
    }

    /// Copies the engine's own numbers to where other threads may read them.
    pub(crate) fn publish(&self, counters: &Counters) {
        self.engine.set(counters);
    }
}

/// The engine's numbers, as the media thread copied them last.
#[derive(Debug, Default)]
struct EngineCount {
    packets_in: Counter,
    packets_out: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    reports_in: Counter,
    reports_out: Counter,
    reports_refused: Counter,
    reports_malformed: Counter,
    reports_impossible: Counter,
    packets_lost: Counter,
    packets_reordered: Counter,
    frames_inserted: Counter,
    frames_concealed: Counter,
    frames_encoded: Counter,
    digits_in: Counter,
    digits_out: Counter,
    digits_doubled: Counter,
    digits_lost: Counter,
    stalls: Counter,
    phases_skipped: Counter,
    record_frames: Counter,
    record_frames_lost: Counter,
    record_frames_refused: Counter,
    recordings_unfinished: Counter,
    events_lost: Counter,
    dropped: [Counter; Dropped::ALL.len()],
}

impl EngineCount {
    fn set(&self, from: &Counters) {
        self.packets_in.set(from.packets_in);
        self.packets_out.set(from.packets_out);
        self.bytes_in.set(from.bytes_in);
        self.bytes_out.set(from.bytes_out);
        self.reports_in.set(from.reports_in);
        self.reports_out.set(from.reports_out);
        self.reports_refused.set(from.reports_refused);
        self.reports_malformed.set(from.reports_malformed);
        self.reports_impossible.set(from.reports_impossible);
        self.packets_lost.set(from.packets_lost);
        self.packets_reordered.set(from.packets_reordered);
        self.frames_inserted.set(from.frames_inserted);
        self.frames_concealed.set(from.frames_concealed);
        self.frames_encoded.set(from.frames_encoded);
        self.digits_in.set(from.digits_in);
        self.digits_out.set(from.digits_out);
        self.digits_doubled.set(from.digits_doubled);
        self.digits_lost.set(from.digits_lost);
        self.stalls.set(from.stalls);
        self.phases_skipped.set(from.phases_skipped);
        self.record_frames.set(from.record_frames);
        self.record_frames_lost.set(from.record_frames_lost);
        self.record_frames_refused.set(from.record_frames_refused);
        self.recordings_unfinished.set(from.recordings_unfinished);
        self.events_lost.set(from.events_lost);
        for (counter, reason) in self.dropped.iter().zip(Dropped::ALL) {
            counter.set(from.dropped(reason));
        }
    }

    fn read(&self) -> EngineCounters {
        EngineCounters {
            packets_in: self.packets_in.read(),
            packets_out: self.packets_out.read(),
            bytes_in: self.bytes_in.read(),
            bytes_out: self.bytes_out.read(),
            reports_in: self.reports_in.read(),
            reports_out: self.reports_out.read(),
            reports_refused: self.reports_refused.read(),
            reports_malformed: self.reports_malformed.read(),
            reports_impossible: self.reports_impossible.read(),
            packets_lost: self.packets_lost.read(),
            packets_reordered: self.packets_reordered.read(),
            frames_inserted: self.frames_inserted.read(),
            frames_concealed: self.frames_concealed.read(),
            frames_encoded: self.frames_encoded.read(),
            digits_in: self.digits_in.read(),
            digits_out: self.digits_out.read(),
            digits_doubled: self.digits_doubled.read(),
            digits_lost: self.digits_lost.read(),
            stalls: self.stalls.read(),
            phases_skipped: self.phases_skipped.read(),
            record_frames: self.record_frames.read(),
            record_frames_lost: self.record_frames_lost.read(),
            record_frames_refused: self.record_frames_refused.read(),
            recordings_unfinished: self.recordings_unfinished.read(),
            events_lost: self.events_lost.read(),
            dropped: std::array::from_fn(|reason| self.dropped[reason].read()),
        }
    }
}

/// Written by the recorder's thread alone.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct RecorderCount {
    pub(crate) active: Counter,
    pub(crate) frames_written: Counter,
    pub(crate) frames_lost: Counter,
    pub(crate) events_lost: Counter,
    pub(crate) panics: Counter,
}

impl RecorderCount {
    pub(crate) fn read(&self) -> RecorderCounters {
        RecorderCounters {
            active: self.active.read(),
            frames_written: self.frames_written.read(),
            frames_lost: self.frames_lost.read(),
            events_lost: self.events_lost.read(),
            panics: self.panics.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_whose_edge_it_does_not_exceed() {
        let counter = DurationCounter::default();

        for us in [0, 50, 51, 1_000, 50_000, 50_001] {
            counter.observe(Duration::from_micros(us), 1);
        }

        let read = counter.read();
        assert_eq!(read.counts, [2, 1, 0, 0, 1, 0, 0, 0, 0, 1, 1]);
        assert_eq!(read.sum, Duration::from_micros(101_102));
    }

    #[test]
    fn threads_together_have_all_that_each_counted() {
        let one = EngineCounters {
            packets_in: 1,
            bytes_in: 2,
            bytes_out: 3,
            reports_impossible: 4,
            frames_encoded: 5,
            digits_doubled: 6,
            dropped: [7; Dropped::ALL.len()],
            ..EngineCounters::default()
        };
        let mut sum = EngineCounters::default();

        sum += one;

        assert_eq!(sum, one);
    }
}
