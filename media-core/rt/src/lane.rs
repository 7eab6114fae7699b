//! One media thread as the control side sees it: its rings, its counters, its end.

use std::{
    io,
    sync::{Arc, atomic::Ordering, mpsc},
    time::Instant,
};

use media_core::{
    coder::Scrap,
    engine::{Engine, EngineConfig, moving::Traveller},
    music::Tune,
    order::{Event, LegName, RecordFrame, RecordKind, TalkName, TuneId},
};
use nix::sys::eventfd::EventFd;
use ringbuf::{
    HeapCons, HeapProd, HeapRb,
    traits::{Consumer, Observer, Producer, Split},
};

use crate::{
    counters::{MediaCount, MediaCounters},
    handle::{RingSizes, StartError, system},
    headroom::{Headroom, Window},
    ports::Pairs,
    real_time::{self, Condition},
    router::{MOVES_MAX, Said, Task},
    socket::Sockets,
    thread::{Doors, Job, MediaThread, Moving, Rings},
    worker::Worker,
};

/// What all media threads are made with.
pub(crate) struct Common {
    pub(crate) engine: EngineConfig,
    /// Of every engine, so that a place in time is the same for all.
    pub(crate) epoch: Instant,
    pub(crate) pairs: Arc<Pairs>,
    pub(crate) bell: Arc<EventFd>,
    pub(crate) rings: RingSizes,
    pub(crate) real_time: bool,
    pub(crate) memory_locked: bool,
}

/// What is one thread's own.
pub(crate) struct Own {
    pub(crate) number: usize,
    pub(crate) core: Option<u16>,
    pub(crate) frames: HeapProd<RecordFrame>,
    pub(crate) doors: Doors,
}

/// A running media thread.
pub(crate) struct Lane {
    jobs: HeapProd<Job>,
    scrap: HeapCons<Scrap>,
    said: HeapCons<Said>,
    thread: Worker<MediaThread>,
    count: Arc<MediaCount>,
    window: Window,
    pub(crate) condition: Condition,
    /// What the system refused it.
    pub(crate) refused: Vec<String>,
}

impl Lane {
    /// Starts it and returns when it is about to tick.
    pub(crate) fn start(common: &Common, own: Own) -> Result<Self, StartError> {
        let Own { number, core, frames, doors } = own;
        let sockets = Sockets::new(Arc::clone(&common.pairs)).map_err(system("epoll"))?;
        let (jobs, taken) = HeapRb::new(common.rings.orders).split();
        let (thrown, scrap) = HeapRb::new(SCRAP).split();
        let (mut told, mut said) = HeapRb::new(common.rings.events).split();
        touch(&mut told, &mut said, || BLANK_WORD);
        let engine = Engine::new(common.engine.clone(), common.epoch);
        let rings = Rings { jobs: taken, said: told, frames, scrap: thrown, doors };
        let count = Arc::new(MediaCount::default());
        let (counters, bell) = (Arc::clone(&count), Arc::clone(&common.bell));
        let (real_time, memory_locked) = (common.real_time, common.memory_locked);
        let (ready, started) = mpsc::channel();
        let name = format!("media-{number}");
        let of = name.clone();
        let work = move |stop| {
            let thread = MediaThread::new(engine, sockets, rings, counters, bell, stop);
            let got = real_time::prepare_thread(&of, core, real_time, memory_locked);
            // Nobody listens only if the start has failed, and then the wish to stop is there.
            let _heard = ready.send(got);
            drop(ready);
            thread.run()
        };
        let thread = Worker::spawn(&name, work).map_err(system("thread"))?;
        let ended = |_| system("media thread")(io::Error::other("it panicked at its start"));
        let (condition, refused) = started.recv().map_err(ended)?;
        let window = Window::default();
        Ok(Self { jobs, scrap, said, thread, count, window, condition, refused })
    }

    /// Tasks for which there is room.
    pub(crate) fn room(&self) -> usize {
        self.jobs.vacant_len()
    }

    /// Makes what the task needs and gives it. False: there is no room.
    pub(crate) fn give(&mut self, task: Task) -> bool {
        self.jobs.try_push(task.into()).is_ok()
    }

    /// The same for another tune under a number.
    pub(crate) fn replace_tune(&mut self, tune: TuneId, by: Arc<Tune>) -> bool {
        self.jobs.try_push(Job::Replace { tune, by }).is_ok()
    }

    /// What the thread has no use for any more gives its memory back here.
    pub(crate) fn drop_scrap(&mut self) -> usize {
        self.scrap.pop_iter().count()
    }

    pub(crate) fn hear(&mut self) -> Option<Said> {
        self.said.try_pop()
    }

    pub(crate) fn counters(&self) -> MediaCounters {
        self.count.read()
    }

    pub(crate) fn ticks(&self) -> u64 {
        self.count.ticks.read()
    }

    pub(crate) fn headroom(&mut self) -> Headroom {
        let ticks = self.count.ticks.read() + self.count.ticks_skipped.read();
        self.window.look(&self.count.effort, ticks)
    }

    pub(crate) fn is_alive(&self) -> bool {
        !self.count.dead.load(Ordering::Acquire) && self.thread.is_running()
    }

    pub(crate) fn wish_to_stop(&self) {
        self.thread.wish_to_stop();
    }

    pub(crate) fn stop(&mut self) {
        self.thread.stop();
    }
}

/// Coders, keys and tunes on their way back; while they have no room the media thread takes no orders.
const SCRAP: usize = 256;

/// A way from each of so many threads to each other one.
pub(crate) fn doors(threads: usize) -> Vec<Doors> {
    let mut all: Vec<Doors> = std::iter::repeat_with(Doors::default).take(threads).collect();
    for from in 0..threads {
        for to in 0..threads {
            let way = (from != to).then(|| {
                let (mut enter, mut leave) = HeapRb::new(MOVES_MAX).split();
                touch(&mut enter, &mut leave, || Moving {
                    traveller: Traveller::nobody(),
                    listens: false,
                });
                all[to].from.push(leave);
                enter
            });
            all[from].to.push(way);
        }
    }
    all
}

/// A ring for frames on their way to the recorder.
pub(crate) fn frames(size: usize) -> (HeapProd<RecordFrame>, HeapCons<RecordFrame>) {
    let (mut tapped, mut frames) = HeapRb::new(size).split();
    touch(&mut tapped, &mut frames, || BLANK_FRAME);
    (tapped, frames)
}

/// Walks once round the ring, so that its pages exist before the media thread writes to them: a page
/// fault is a wait.
fn touch<T>(one_end: &mut HeapProd<T>, other_end: &mut HeapCons<T>, blank: impl Fn() -> T) {
    while one_end.try_push(blank()).is_ok() {}
    other_end.clear();
}

/// What the ring's size is said by; see [`RingSizes`].
const _: () = assert!(size_of::<RecordFrame>() == 336);

const BLANK_FRAME: RecordFrame =
    RecordFrame { talk: TalkName(0), kind: RecordKind::Audio, index: 0, tracks: [None; 2] };

const BLANK_WORD: Said = Said::Event(Event::Refused { leg: LegName(0), what: "" });

#[cfg(test)]
mod tests;
