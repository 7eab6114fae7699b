//! One media thread as the control side sees it: its rings, its counters, its end.

use std::{
    io,
    sync::{Arc, atomic::Ordering, mpsc},
    time::Instant,
};

use media_core::{
    coder::Scrap,
    engine::{Engine, EngineConfig, moving::Traveller},
    order::{Event, LegName, RecordFrame, RecordKind, TalkName},
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

/// Coders and keys on their way back; while they have no room the media thread takes no orders.
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

const BLANK_FRAME: RecordFrame =
    RecordFrame { talk: TalkName(0), kind: RecordKind::Audio, index: 0, samples: [0; 320] };

const BLANK_WORD: Said = Said::Event(Event::Refused { leg: LegName(0), what: "" });

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]

    use super::*;
    use crate::ports::PortPool;
    use media_core::{
        order::Order,
        srtp::{Keys, MasterKey, Suite},
    };
    use std::{net::IpAddr, time::Duration};

    fn lane() -> Lane {
        let ports = PortPool::open(IpAddr::from([127, 77, 9, 1]), 21_000..=21_007).unwrap();
        let engine = EngineConfig {
            legs_max: 8,
            talks_max: 4,
            silent_after: Duration::from_secs(30),
            tunes: vec![],
            rtcp_interval: Duration::from_secs(5),
            cname: "tests".into(),
            shared: vec![],
            ntp_epoch: 0,
        };
        let common = Common {
            engine,
            epoch: Instant::now(),
            pairs: Arc::new(ports.into_pairs()),
            bell: Arc::new(EventFd::new().unwrap()),
            rings: RingSizes::USUAL,
            real_time: false,
            memory_locked: false,
        };
        let (frames, _recorder) = frames(16);
        let doors = doors(1).remove(0);
        Lane::start(&common, Own { number: 0, core: None, frames, doors }).unwrap()
    }

    #[test]
    fn everything_that_is_done_with_comes_back_however_late_it_is_fetched() {
        let mut lane = lane();
        let suite = Suite::AesCm128HmacSha1_80;
        let master = || MasterKey::new(suite, &[7; 30]).unwrap();
        let given = 2 * SCRAP;

        for _ in 0..given {
            // Nobody has this leg, so the keys go back.
            let keys = Some(Keys { send: master(), receive: master() });
            assert!(lane.give(Task::Carry(Order::Secure { leg: LegName(1), keys })));
        }
        let seen = lane.ticks();
        while lane.ticks() < seen + 100 {
            std::thread::yield_now();
        }

        let mut back = 0;
        let until = lane.ticks() + 5_000;
        while back < given && lane.ticks() < until {
            back += lane.drop_scrap();
            std::thread::yield_now();
        }
        lane.stop();
        assert_eq!(back, given);
    }
}
