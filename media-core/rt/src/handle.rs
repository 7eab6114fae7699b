//! The control side: orders in, events out. Nothing here waits but `start` and `stop`.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use media_core::{
    coder::{Command, Scrap},
    engine::{Engine, EngineConfig},
    order::{Event, LegName, Order, RecordFrame, RecordKind, TalkName},
};
use nix::sys::eventfd::{EfdFlags, EventFd};
use ringbuf::{
    HeapCons, HeapProd, HeapRb,
    traits::{Consumer, Producer, Split},
};

use crate::{
    clerk::Clerk,
    counters::{MediaCount, MediaCounters, RecorderCount, RecorderCounters},
    headroom::{Headroom, Window},
    ports::PortPool,
    real_time::{self, Condition},
    recorder::{FolderError, Recorder, RecorderConfig, RecorderEvent, Writer, check_folder},
    socket::Sockets,
    tape::Disk,
    thread::{MediaThread, Rings},
};

/// Coders on their way back; what has no room waits on the media thread's side.
const SCRAP: usize = 256;

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
    /// The cores the media threads are to run on, one each; a thread without one runs on any.
    pub cores: Vec<u16>,
}

/// How many of each kind may be on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingSizes {
    pub orders: usize,
    pub events: usize,
    /// 672 bytes each. A stalled disk costs nothing for this many frames: at 50 a second for each
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
    orders: HeapProd<Command>,
    scrap: HeapCons<Scrap>,
    events: HeapCons<Event>,
    recorder_events: HeapCons<RecorderEvent>,
    bell: Arc<EventFd>,
    media: Worker<MediaThread>,
    recorder: Worker<Recorder>,
    media_count: Arc<MediaCount>,
    recorder_count: Arc<RecorderCount>,
    window: Window,
    conditions: Vec<Condition>,
    warnings: Vec<String>,
}

impl Media {
    /// Starts both threads and returns when the media thread is about to tick.
    pub fn start(config: MediaConfig) -> Result<Self, StartError> {
        check_folder(&config.recorder.dir)?;
        let flags = EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC;
        let bell = Arc::new(EventFd::from_flags(flags).map_err(system("eventfd"))?);
        let sockets = Sockets::new(config.ports.into_pairs()).map_err(system("epoll"))?;
        let (orders, taken_orders) = HeapRb::new(config.rings.orders).split();
        let (mut told_events, mut events) = HeapRb::new(config.rings.events).split();
        touch(&mut told_events, &mut events, BLANK_EVENT);
        let (mut tapped, mut frames) = HeapRb::new(config.rings.record_frames).split();
        touch(&mut tapped, &mut frames, BLANK_FRAME);
        let (told_recordings, recorder_events) = HeapRb::new(config.rings.events).split();
        let media_count = Arc::new(MediaCount::default());
        let recorder_count = Arc::new(RecorderCount::default());

        let writer = Writer::new(
            config.recorder,
            Disk::REAL,
            Clerk::start().map_err(system("thread"))?,
            recorder_count.clone(),
        );
        let recorder_bell = bell.clone();
        let recorder = Worker::spawn("recorder", move |stop| {
            Recorder { writer, frames, events: told_recordings, bell: recorder_bell, stop }.run()
        })?;

        let locked = if config.real_time { real_time::lock_memory() } else { Err(String::new()) };
        let memory_locked = locked.is_ok();
        let mut warnings: Vec<_> = locked.err().filter(|_| config.real_time).into_iter().collect();
        let epoch = EngineConfig { ntp_epoch: ntp_now(), ..config.engine };
        let engine = Engine::new(epoch, Instant::now());
        let (thrown, scrap) = HeapRb::new(SCRAP).split();
        let rings =
            Rings { orders: taken_orders, events: told_events, frames: tapped, scrap: thrown };
        let (count, media_bell) = (media_count.clone(), bell.clone());
        let (ready, started) = mpsc::channel();
        let media = Worker::spawn("media-0", move |stop| {
            let thread = MediaThread::new(engine, sockets, rings, count, media_bell, stop);
            let (core, real_time) = (config.cores.first().copied(), config.real_time);
            let got = real_time::prepare_thread("media-0", core, real_time, memory_locked);
            // Nobody listens only if `start` has failed, and then the wish to stop is there.
            let _heard = ready.send(got);
            drop(ready);
            thread.run()
        })?;
        let ended = |_| system("media-0")(io::Error::other("it panicked at its start"));
        let (condition, refused) = started.recv().map_err(ended)?;
        warnings.extend(refused);
        Ok(Self {
            orders,
            scrap,
            events,
            recorder_events,
            bell,
            media,
            recorder,
            media_count,
            recorder_count,
            window: Window::default(),
            conditions: vec![condition],
            warnings,
        })
    }

    /// Gives an order, and makes what it needs. A full ring gives it back; then the media thread is dead or far
    /// behind.
    pub fn push(&mut self, order: Order) -> Result<(), Order> {
        self.drop_scrap();
        self.orders.try_push(Command::equip(order)).map_err(|command| *command.order())
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.drop_scrap();
        self.events.try_pop()
    }

    /// What the media thread has no use for any more gives its memory back here.
    fn drop_scrap(&mut self) {
        while self.scrap.try_pop().is_some() {}
    }

    pub fn poll_recorder_event(&mut self) -> Option<RecorderEvent> {
        self.recorder_events.try_pop()
    }

    /// Rings when there is something to poll.
    pub fn bell(&self) -> io::Result<Bell> {
        Ok(Bell(self.bell.as_fd().try_clone_to_owned()?))
    }

    pub fn counters(&self) -> MediaCounters {
        self.media_count.read()
    }

    /// How much room each media thread had over the last seconds. To be asked once a second.
    pub fn headroom(&mut self) -> Vec<Headroom> {
        let count = &self.media_count;
        let ticks = count.ticks.read() + count.ticks_skipped.read();
        vec![self.window.look(&count.effort, ticks)]
    }

    pub fn recorder_counters(&self) -> RecorderCounters {
        self.recorder_count.read()
    }

    /// False once either thread has given up or ended. A thread that stalls is alive; its `ticks`
    /// stand still.
    pub fn is_alive(&self) -> bool {
        let given_up = self.media_count.dead.load(Ordering::Acquire);
        !given_up && self.media.is_running() && self.recorder.is_running()
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
        self.media.stop();
        // After the media thread: its last frames are still written.
        self.recorder.stop();
    }
}

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

/// A thread that gives its belongings back when it ends. Dropping it waits for that.
struct Worker<T> {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<T>>,
}

impl<T: Send + 'static> Worker<T> {
    fn spawn(
        name: &'static str,
        work: impl FnOnce(Arc<AtomicBool>) -> T + Send + 'static,
    ) -> Result<Self, StartError> {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(told))
            .map_err(system("thread"))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl<T> Worker<T> {
    fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn stop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // What the thread owned is dropped here. A panic of it has been printed.
            drop(thread.join());
        }
    }
}

impl<T> Drop for Worker<T> {
    fn drop(&mut self) {
        self.stop();
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

/// Walks once round the ring, so that its pages exist before the media thread writes to them: a page
/// fault is a wait.
fn touch<T: Copy>(one_end: &mut HeapProd<T>, other_end: &mut HeapCons<T>, blank: T) {
    while one_end.try_push(blank).is_ok() {}
    other_end.clear();
}

const BLANK_FRAME: RecordFrame =
    RecordFrame { talk: TalkName(0), kind: RecordKind::Audio, index: 0, samples: [0; 320] };

const BLANK_EVENT: Event = Event::Refused { leg: LegName(0), what: "" };

fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> StartError {
    move |source| StartError::System { what, source: source.into() }
}
