//! The control side: orders in, events out. Nothing here waits but `start` and `stop`.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use media_core::{
    engine::EngineConfig,
    music::Tune,
    order::{Event, Order, TuneId},
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::eventfd::{EfdFlags, EventFd},
};
use ringbuf::{
    HeapCons, HeapRb,
    traits::{Consumer, Split},
};

use crate::{
    clerk::Clerk,
    counters::{MediaCounters, RecorderCount, RecorderCounters},
    headroom::Headroom,
    lane::{self, Common, Lane, Own},
    ports::PortPool,
    real_time::{self, Condition},
    recorder::{FolderError, Recorder, RecorderConfig, RecorderEvent, Writer, check_folder},
    router::Router,
    tape::Disk,
    worker::Worker,
};

/// What the media plane is made of.
#[derive(Debug)]
pub struct MediaConfig {
    pub ports: PortPool,
    /// Its `ntp_epoch` is set by [`Media::start`].
    pub engine: EngineConfig,
    pub recorder: RecorderConfig,
    pub rings: RingSizes,
    /// Ask for SCHED_FIFO and for memory that is never swapped. A refusal is a warning.
    pub real_time: bool,
    /// How many media threads; a conversation and its legs live on one.
    pub threads: usize,
    /// The cores the media threads are to run on, one each; a thread without one runs on any.
    pub cores: Vec<u16>,
}

/// How many of each kind may be on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSizes {
    pub orders: usize,
    pub events: usize,
    /// 336 bytes each. A stalled disk costs nothing for this many frames: at 50 a second for each
    /// recording, ten seconds for 65 of them with 32,768.
    pub record_frames: usize,
}

impl RingSizes {
    pub const USUAL: Self = Self { orders: 4096, events: 4096, record_frames: 32_768 };
}

/// Why the media plane did not start; nothing of it runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Folder(#[from] FolderError),
    #[error("media: {what}: {source}")]
    System { what: &'static str, source: io::Error },
}

/// The running media plane. Dropping it stops it.
pub struct Media {
    lanes: Vec<Lane>,
    router: Router,
    /// Heard while something else was waited for.
    heard: VecDeque<Event>,
    recorder_events: HeapCons<RecorderEvent>,
    bell: Arc<EventFd>,
    recorder: Worker<Recorder>,
    recorder_count: Arc<RecorderCount>,
    conditions: Vec<Condition>,
    warnings: Vec<String>,
}

impl Media {
    /// Starts all threads and returns when the media threads are about to tick.
    pub fn start(config: MediaConfig) -> Result<Self, StartError> {
        Self::start_on(config, Disk::REAL)
    }

    fn start_on(config: MediaConfig, disk: Disk) -> Result<Self, StartError> {
        check_folder(&config.recorder.dir)?;
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let bell = Arc::new(EventFd::from_flags(flags).map_err(system("eventfd"))?);
        let (told_recordings, recorder_events) = HeapRb::new(config.rings.events).split();
        let recorder_count = Arc::new(RecorderCount::default());
        let threads = config.threads.max(1);
        let size = config.rings.record_frames / threads;
        let (taps, frames): (Vec<_>, Vec<_>) = (0..threads).map(|_| lane::frames(size)).unzip();

        let writer = Writer::new(
            config.recorder,
            disk,
            Clerk::start().map_err(system("thread"))?,
            recorder_count.clone(),
        );
        let recorder_bell = bell.clone();
        let recorder = Worker::spawn("recorder", move |stop| {
            Recorder { writer, frames, events: told_recordings, bell: recorder_bell, stop }.run()
        })
        .map_err(system("thread"))?;

        let locked = if config.real_time { real_time::lock_memory() } else { Err(String::new()) };
        let memory_locked = locked.is_ok();
        let mut warnings: Vec<_> = locked.err().filter(|_| config.real_time).into_iter().collect();
        let common = Common {
            engine: EngineConfig { ntp_epoch: ntp_now(), ..config.engine },
            epoch: Instant::now(),
            pairs: Arc::new(config.ports.into_pairs()),
            bell: bell.clone(),
            rings: config.rings,
            real_time: config.real_time,
            memory_locked,
        };
        let mut lanes = Vec::with_capacity(threads);
        for ((number, frames), doors) in taps.into_iter().enumerate().zip(lane::doors(threads)) {
            let core = config.cores.get(number).copied();
            let mut lane = Lane::start(&common, Own { number, core, frames, doors })?;
            warnings.append(&mut lane.refused);
            lanes.push(lane);
        }
        Ok(Self {
            conditions: lanes.iter().map(|lane| lane.condition.clone()).collect(),
            router: Router::new(threads),
            lanes,
            heard: VecDeque::new(),
            recorder_events,
            bell,
            recorder,
            recorder_count,
            warnings,
        })
    }

    /// Gives an order, and makes what it needs. A full ring gives it back; then a media thread is dead or
    /// far behind.
    pub fn push(&mut self, order: Order) -> Result<(), Order> {
        self.drop_scrap();
        let room = self.router.room_needed();
        if self.lanes.iter().any(|lane| lane.room() < room) {
            return Err(order);
        }
        self.router.take(order)?;
        self.give();
        Ok(())
    }

    /// From the threads' next wake on another tune has this number: who hears it goes on in the stream they
    /// have. False: a ring has no room, and nothing was changed.
    pub fn replace_tune(&mut self, tune: TuneId, by: &Arc<Tune>) -> bool {
        self.drop_scrap();
        // It takes the room that an order would, and leaves what waits its own.
        let room = self.router.room_needed();
        if self.lanes.iter().any(|lane| lane.room() < room) {
            return false;
        }
        self.lanes.iter_mut().all(|lane| lane.replace_tune(tune, Arc::clone(by)))
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.heard.pop_front().or_else(|| self.hear())
    }

    fn drop_scrap(&mut self) {
        for lane in &mut self.lanes {
            lane.drop_scrap();
        }
    }

    fn hear(&mut self) -> Option<Event> {
        self.drop_scrap();
        for thread in 0..self.lanes.len() {
            while let Some(said) = self.lanes[thread].hear() {
                let event = self.router.hear(said);
                self.give();
                if event.is_some() {
                    return event;
                }
            }
        }
        None
    }

    /// There is room for all that can wait: see [`Router::room_needed`].
    fn give(&mut self) {
        while let Some((thread, task)) = self.router.next() {
            let given = self.lanes.get_mut(thread).is_some_and(|lane| lane.give(task));
            debug_assert!(given, "no room for {task:?}");
        }
    }

    pub fn poll_recorder_event(&mut self) -> Option<RecorderEvent> {
        self.recorder_events.try_pop()
    }

    /// Rings when there is something to poll.
    pub fn bell(&self) -> io::Result<Bell> {
        Ok(Bell(self.bell.as_fd().try_clone_to_owned()?))
    }

    /// Of all media threads together.
    pub fn counters(&self) -> MediaCounters {
        let mut all = MediaCounters::default();
        self.lanes.iter().for_each(|lane| all += lane.counters());
        all
    }

    /// Of each media thread: one that stands still is seen by it.
    pub fn ticks(&self) -> Vec<u64> {
        self.lanes.iter().map(Lane::ticks).collect()
    }

    /// How much room each media thread had over the last seconds. To be asked once a second: new
    /// conversations begin where there is most.
    pub fn headroom(&mut self) -> Vec<Headroom> {
        let rooms: Vec<_> = self.lanes.iter_mut().map(Lane::headroom).collect();
        self.router.measured(&rooms);
        rooms
    }

    pub fn recorder_counters(&self) -> RecorderCounters {
        self.recorder_count.read()
    }

    /// False once any thread has given up or ended. A thread that stalls is alive; its `ticks`
    /// stand still.
    pub fn is_alive(&self) -> bool {
        self.lanes.iter().all(Lane::is_alive) && self.recorder.is_running()
    }

    /// What each media thread got of what makes it punctual.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// What the system refused at the start, for one warning each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Carries out the orders given so far, ends the threads, and closes every recording at the
    /// length it has. Their last events can be polled afterwards.
    pub fn stop(&mut self) {
        self.await_moves();
        self.lanes.iter().for_each(Lane::wish_to_stop);
        self.lanes.iter_mut().for_each(Lane::stop);
        // After the media threads: their last frames are still written.
        self.recorder.stop();
    }
}

impl Media {
    /// Orders that wait for legs on their way are given before the threads are told to stop.
    fn await_moves(&mut self) {
        let until = Instant::now() + MOVES_TAKE_MAX;
        while !self.router.is_settled() && self.is_alive() && Instant::now() < until {
            // A thread that takes a leg rings, as for every event: cleared first, no stroke is missed.
            let _strokes = self.bell.read();
            while let Some(event) = self.hear() {
                self.heard.push_back(event);
            }
            if !self.router.is_settled() {
                let mut bell = [PollFd::new(self.bell.as_fd(), PollFlags::POLLIN)];
                // A signal or a thread that ended: the next look sees it.
                let _rang = poll(&mut bell, PollTimeout::from(MOVE_LOOK_MS));
            }
        }
        // Whoever polls afterwards is to find what was heard here.
        let _rung = self.bell.write(1);
    }
}

/// Legs on their way arrive within a tick or two; this is a thread that says nothing, however often others ring.
const MOVES_TAKE_MAX: Duration = Duration::from_millis(500);
const MOVE_LOOK_MS: u8 = 10;

/// An eventfd that becomes readable when there is something to poll. Each is a descriptor of its
/// own, but all share one count: [`clear`](Self::clear) it, then poll until there is nothing.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// Makes it wait for the next stroke. To be called before polling, so that no stroke is missed.
    pub fn clear(&self) {
        // It fails only if it has not rung.
        let _strokes = nix::unistd::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What tokio's `AsyncFd` asks for.
impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// The wall clock as RTCP reports write it: seconds since 1900 and their fraction, 32.32 bits
/// (RFC 3550 §4).
fn ntp_now() -> u64 {
    const FROM_1900_TO_1970_SECONDS: u64 = 2_208_988_800;
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_1970.as_secs() + FROM_1900_TO_1970_SECONDS;
    // Only the low 32 bits of the seconds have room: the era of 2036 begins again at 0.
    let fraction = (u64::from(since_1970.subsec_nanos()) << 32) / 1_000_000_000;
    (seconds << 32) | fraction
}

pub(crate) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> StartError {
    move |source| StartError::System { what, source: source.into() }
}

#[cfg(test)]
mod tests;
