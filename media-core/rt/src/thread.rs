//! The media thread: every millisecond it takes orders, drains the sockets that have something,
//! lets the engine tick, and says what happened. It waits for nobody and allocates nothing.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use media_core::{
    coder::{Command, Scrap},
    engine::{Behind, Channel, Engine, Out, moving::Traveller},
    music::Tune,
    order::{LegName, Order, PortName, RecordFrame, RecordKind, TuneId},
};
use nix::sys::eventfd::EventFd;
use ringbuf::{
    HeapCons, HeapProd,
    traits::{Consumer, Observer, Producer},
};

use crate::{
    arrivals::Arrivals,
    counters::MediaCount,
    outbox::Outbox,
    pressure::Pressure,
    router::{MOVES_MAX, Names, Said, Task},
    share::{Share, Then},
    socket::{Ask, Name, Sockets},
    sys::{BATCH, Inbox},
    tick::{TICK, Ticker, Wake},
};

/// Orders one wake carries out; the others have a millisecond to wait.
const ORDERS_MAX: usize = 64;

/// Events one wake says.
const EVENTS_MAX: usize = 256;

/// Wakes between two copies of the engine's counters.
const PUBLISH_EVERY: u64 = 64;

/// So many panics in a row mean that the thread can do nothing useful any more. One that comes
/// with a leg's phase, every 20 ms, is not in a row: the other legs are still served.
const PANICS_MAX: u32 = 50;

/// The thread's half of every ring.
pub(crate) struct Rings {
    pub(crate) jobs: HeapCons<Job>,
    pub(crate) said: HeapProd<Said>,
    pub(crate) frames: HeapProd<RecordFrame>,
    /// Coders, keys and tunes nobody has a use for: memory is given back on the other side.
    pub(crate) scrap: HeapProd<Scrap>,
    pub(crate) doors: Doors,
}

/// A task with what it needs.
pub(crate) enum Job {
    Carry(Command),
    Move {
        leg: LegName,
        to: usize,
        leaves: bool,
    },
    /// Another tune under a number.
    Replace {
        tune: TuneId,
        by: Arc<Tune>,
    },
}

impl From<Task> for Job {
    /// Takes memory, and for some codecs time.
    fn from(task: Task) -> Self {
        match task {
            Task::Carry(order) => Self::Carry(Command::equip(order)),
            Task::Move { leg, to, leaves } => Self::Move { leg, to, leaves },
        }
    }
}

/// The ways to the other media threads and from them, by their numbers; none to itself.
#[derive(Default)]
pub(crate) struct Doors {
    pub(crate) to: Vec<Option<HeapProd<Moving>>>,
    pub(crate) from: Vec<HeapCons<Moving>>,
}

/// A leg on its way from one thread to another.
pub(crate) struct Moving {
    pub(crate) traveller: Traveller,
    /// Its sockets listen: they could be opened.
    pub(crate) listens: bool,
}

/// All that the thread owns. It is made and dropped on the control side.
pub(crate) struct MediaThread {
    engine: Engine,
    sockets: Sockets,
    inbox: Inbox,
    outbox: Outbox,
    rings: Rings,
    /// What is to be said for which the ring had no room.
    delayed: Option<Said>,
    /// Legs that came or stayed, of whom nobody has been told.
    moved: VecDeque<Said>,
    counters: Arc<MediaCount>,
    bell: Arc<EventFd>,
    stop: Arc<AtomicBool>,
    /// What its encoders may spend.
    pressure: Pressure,
}

impl MediaThread {
    pub(crate) fn new(
        engine: Engine,
        sockets: Sockets,
        rings: Rings,
        counters: Arc<MediaCount>,
        bell: Arc<EventFd>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let (inbox, outbox) = (Inbox::new(), Outbox::new());
        let moved = VecDeque::with_capacity(2 * MOVES_MAX);
        let pressure = Pressure::default();
        Self {
            engine,
            sockets,
            inbox,
            outbox,
            rings,
            delayed: None,
            moved,
            pressure,
            counters,
            bell,
            stop,
        }
    }

    /// Runs until it is told to stop. Gives everything back, to be dropped where it was made.
    pub(crate) fn run(mut self) -> Self {
        let mut ticker = Ticker::new();
        let mut patience = Patience::default();
        loop {
            let wake = ticker.wait();
            // Before the wake: orders given before the wish to stop are still carried out.
            let stopping = self.stop.load(Ordering::Acquire);
            self.count(wake);
            let panicked = patience.guard(|| self.wake());
            self.counters.panics.add(panicked.into());
            if stopping || patience.is_over() {
                break;
            }
        }
        self.publish();
        self.counters.dead.store(true, Ordering::Release);
        self.ring();
        self
    }

    fn count(&self, wake: Wake) {
        self.counters.ticks.bump();
        self.counters.lateness.observe(wake.late, 1);
        self.counters.effort.lateness.observe(wake.late);
        if wake.late >= TICK {
            self.counters.ticks_late.bump();
        }
        self.counters.ticks_skipped.add(wake.skipped.into());
    }

    fn wake(&mut self) {
        let now = Instant::now();
        self.take_in();
        self.take_orders(now);
        self.receive(now);
        let (engine, mut outlet) = self.outlet(None);
        engine.tick(now, &mut outlet);
        self.outbox.flush(&self.sockets, &self.counters);
        self.tell();
        if self.counters.ticks.read().is_multiple_of(PUBLISH_EVERY) {
            self.publish();
        }
        let worked = now.elapsed();
        self.counters.effort.worked(worked);
        self.engine.set_effort(self.pressure.take(worked));
    }

    fn publish(&self) {
        self.counters.publish(self.engine.counters());
        self.counters.datagrams_dropped.set(self.sockets.dropped());
    }

    fn take_orders(&mut self, now: Instant) {
        for _ in 0..ORDERS_MAX {
            self.throw_scrap();
            // Orders wait until what is done with has been fetched: memory is not given back here.
            if self.engine.has_scrap() {
                return;
            }
            let Some(job) = self.rings.jobs.try_pop() else { return };
            let command = match job {
                Job::Carry(command) => command,
                Job::Move { leg, to, leaves } => {
                    self.hand_over(leg, to, leaves, now);
                    continue;
                }
                Job::Replace { tune, by } => {
                    self.engine.replace_tune(tune, by, now);
                    continue;
                }
            };
            // What waits to be read of the legs it names is of the time before it.
            for leg in Names::of(command.order()).legs() {
                self.hear_out(leg, now);
            }
            match command.order() {
                // The engine says no to a port somebody has; one that cannot listen is counted.
                Order::Open { leg, port, .. } => {
                    if !self.sockets.open(*leg, *port, &mut self.inbox) {
                        self.counters.ports_refused.bump();
                    }
                }
                Order::Close { leg } => self.sockets.close(*leg, &mut self.inbox),
                Order::Comfort { .. }
                | Order::Connect { .. }
                | Order::Secure { .. }
                | Order::Digits { .. }
                | Order::Play { .. }
                | Order::StopPrompts { .. }
                | Order::Keys { .. }
                | Order::Pressed { .. }
                | Order::Hear { .. }
                | Order::Rate { .. }
                | Order::Renew { .. }
                | Order::Bridge { .. }
                | Order::Join { .. }
                | Order::Leave { .. }
                | Order::Part { .. }
                | Order::RecordPause { .. }
                | Order::RecordResume { .. }
                | Order::EndTalk { .. } => {}
            }
            self.engine.handle_order(command, now);
        }
        self.throw_scrap();
    }

    /// Reads what waits in a leg's socket.
    fn hear_out(&mut self, leg: LegName, now: Instant) {
        if let Some(port) = self.engine.port(leg)
            && self.sockets.rouse(port)
        {
            let name = Name { port, channel: Channel::Rtp };
            let _read = self.take(name, Ask::Waited, BATCH, now);
            self.outbox.flush(&self.sockets, &self.counters);
        }
    }

    fn throw_scrap(&mut self) {
        while !self.rings.scrap.is_full()
            && let Some(scrap) = self.engine.poll_scrap()
        {
            // It has room: nobody else pushes.
            let _pushed = self.rings.scrap.try_push(scrap);
        }
    }

    /// A leg goes to another thread with its sockets. What comes for it meanwhile waits in them.
    fn hand_over(&mut self, leg: LegName, to: usize, leaves: bool, now: Instant) {
        self.hear_out(leg, now);
        let door = self.rings.doors.to.get_mut(to).and_then(Option::as_mut);
        // There is room for all that may be on their way at a time.
        let door = door.filter(|door| !door.is_full());
        let taken = door.and_then(|door| Some((door, self.engine.take_out(leg, leaves)?)));
        let Some((door, traveller)) = taken else {
            self.moved.push_back(Said::Stayed(leg));
            return;
        };
        let listens = self.sockets.let_go(leg);
        let handed = door.try_push(Moving { traveller, listens });
        debug_assert!(handed.is_ok(), "there was room");
    }

    /// Legs that other threads have handed over.
    fn take_in(&mut self) {
        for door in &mut self.rings.doors.from {
            while let Some(Moving { traveller, listens }) = door.try_pop() {
                let (leg, port) = (traveller.leg(), traveller.port());
                let there = self.engine.put_in(traveller);
                if listens && there && !self.sockets.take_over(leg, port, &mut self.inbox) {
                    self.counters.ports_refused.bump();
                } else if listens && !there {
                    self.sockets.abandon(port, &mut self.inbox);
                }
                self.moved.push_back(Said::Moved(leg));
            }
        }
    }

    /// One batch at most of every socket that has something, and a few batches of all: a flood takes its share and
    /// leaves the others theirs.
    fn receive(&mut self, now: Instant) {
        let mut share = Share::new();
        for place in 0..self.sockets.look() {
            let Some((name, ask)) = self.sockets.ready(place) else { continue };
            let worth = ask.worth();
            let asked = share.first(worth);
            let (count, mut behind) = self.take(name, ask, asked, now);
            let mut then = share.then(worth, asked, count, behind);
            if let Then::More(asked) = then {
                let (count, last) = self.take(name, ask, asked, now);
                (then, behind) = (share.at_last(asked, count), last);
            }
            match (then, behind) {
                (Then::Leave, _) => self.sockets.leave(name),
                (Then::Done | Then::More(_), Behind::Unheard) => self.sockets.let_wait(name),
                (Then::Done | Then::More(_), Behind::Nothing | Behind::Perhaps) => {}
            }
        }
        self.outbox.flush(&self.sockets, &self.counters);
    }

    /// Takes this many datagrams of a socket at most: how many there were, and what is behind them.
    fn take(&mut self, name: Name, ask: Ask, most: usize, now: Instant) -> (usize, Behind) {
        let Some(socket) = self.sockets.socket(name) else { return (0, Behind::Nothing) };
        let received = match ask {
            Ask::Told | Ask::Left => self.inbox.receive(socket.as_fd(), most),
            Ask::Waited => self.inbox.receive_stamped(socket.as_fd(), most),
        };
        let count = match received {
            Ok(count) => count,
            Err(error) => {
                if error.kind() != io::ErrorKind::WouldBlock {
                    // An error is told in place of a datagram, and there may be some behind it.
                    self.counters.receive_errors.bump();
                    self.sockets.leave(name);
                }
                return (0, Behind::Nothing);
            }
        };
        self.counters.datagrams_received.add(count as u64);
        let arrivals = (ask == Ask::Waited).then(|| Arrivals::at(now));
        (count, self.hand_on(name, arrivals.as_ref(), now))
    }

    fn hand_on(&mut self, name: Name, arrivals: Option<&Arrivals>, now: Instant) -> Behind {
        let mut behind = Behind::Perhaps;
        let Self { engine, sockets, inbox, outbox, rings, counters, .. } = self;
        let frames = &mut rings.frames;
        let mut outlet = Outlet { sockets, outbox, frames, counters, read_at: Some(now) };
        for datagram in inbox.datagrams() {
            match datagram.from {
                Some(from) if !datagram.cut => {
                    let Name { port, channel } = name;
                    let bytes = datagram.bytes;
                    let arrived = arrivals.zip(datagram.came);
                    let now = arrived.map_or(now, |(arrivals, came)| arrivals.instant(came));
                    behind = engine.handle_packet(port, channel, from, bytes, now, &mut outlet);
                }
                Some(_) | None => {
                    behind = Behind::Perhaps;
                    counters.datagrams_cut.bump();
                }
            }
        }
        behind
    }

    fn outlet(&mut self, read_at: Option<Instant>) -> (&mut Engine, Outlet<'_>) {
        let Self { engine, sockets, outbox, rings, counters, .. } = self;
        let frames = &mut rings.frames;
        (engine, Outlet { sockets, outbox, frames, counters, read_at })
    }

    /// Events into their ring, and one stroke of the bell for all of them. What has no room waits
    /// here and in the engine.
    fn tell(&mut self) {
        let mut told = false;
        for _ in 0..EVENTS_MAX {
            let waiting = self.delayed.take().or_else(|| self.moved.pop_front());
            let said = waiting.or_else(|| self.engine.poll_event().map(Said::Event));
            let Some(said) = said else { break };
            if let Err(said) = self.rings.said.try_push(said) {
                self.delayed = Some(said);
                self.counters.events_delayed.bump();
                break;
            }
            told = true;
        }
        if told {
            self.ring();
        }
    }

    fn ring(&self) {
        // It fails only when the count would overflow, and then the bell rings already.
        let _rung = self.bell.write(1);
    }
}

/// A panic costs the wake it comes in, until too many come in a row.
#[derive(Default)]
struct Patience {
    panics_in_a_row: u32,
}

impl Patience {
    /// True: it panicked, and the panic hook has said so.
    fn guard(&mut self, work: impl FnOnce()) -> bool {
        let panicked = catch_unwind(AssertUnwindSafe(work)).is_err();
        self.panics_in_a_row = if panicked { self.panics_in_a_row + 1 } else { 0 };
        panicked
    }

    fn is_over(&self) -> bool {
        self.panics_in_a_row >= PANICS_MAX
    }
}

/// Where the engine's packets and frames go.
struct Outlet<'a> {
    sockets: &'a Sockets,
    outbox: &'a mut Outbox,
    frames: &'a mut HeapProd<RecordFrame>,
    counters: &'a MediaCount,
    /// When what is relayed was read.
    read_at: Option<Instant>,
}

impl Out for Outlet<'_> {
    fn send(&mut self, port: PortName, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        let from = Name { port, channel };
        self.outbox.put(from, to, bytes, self.read_at, self.sockets, self.counters);
    }

    fn record(&mut self, frame: &RecordFrame) -> bool {
        // Audio leaves a little room, so that a recording's start and end get through when frames
        // are being lost.
        let reserve = match frame.kind {
            RecordKind::Audio | RecordKind::Paused => self.frames.capacity().get() / 64,
            RecordKind::Start | RecordKind::End => 0,
        };
        self.frames.vacant_len() > reserve && self.frames.try_push(*frame).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::Pairs;
    use media_core::order::TalkName;
    use ringbuf::{HeapRb, traits::Split};

    #[test]
    fn a_recording_can_end_when_the_ring_has_no_room_for_audio() {
        let (mut frames, _recorder) = HeapRb::new(128).split();
        let pairs = Arc::new(Pairs::default());
        let (sockets, counters) = (Sockets::new(pairs).unwrap(), MediaCount::default());
        let mut outbox = Outbox::new();
        let mut outlet = Outlet {
            sockets: &sockets,
            outbox: &mut outbox,
            frames: &mut frames,
            counters: &counters,
            read_at: None,
        };
        let frame = |kind| RecordFrame { talk: TalkName(1), kind, index: 0, tracks: [None; 2] };

        let taken = (0..128).filter(|_| outlet.record(&frame(RecordKind::Audio))).count();

        assert_eq!(taken, 126);
        assert!(outlet.record(&frame(RecordKind::End)) && outlet.record(&frame(RecordKind::Start)));
        assert!(!outlet.record(&frame(RecordKind::End)), "and no more than that");
    }

    #[test]
    fn single_panics_are_survived_and_fifty_in_a_row_are_not() {
        let mut patience = Patience::default();
        let fault = || panic!("planted");

        for _ in 0..PANICS_MAX {
            assert!(patience.guard(fault));
            assert!(!patience.guard(|| {}));
        }
        assert!(!patience.is_over());
        for _ in 0..PANICS_MAX {
            assert!(!patience.is_over());
            patience.guard(fault);
        }
        assert!(patience.is_over());
    }
}
