//! The loop that owns the exchange: one clock, one waiting, orders before anything new is heard.
//!
//! A turn: take what has come (time first), let the exchange decide, write the journal, and only
//! then let orders, datagrams and facts leave. Nothing in a turn waits for anybody.

use crate::{
    follower::Turn,
    plan,
    start::wall,
    store::{Lines, Store, StoreCounts},
    view::View,
};
use control_plane::{
    exchange::{Exchange, Problem, Request},
    headroom::Measured,
    journal::{Chain, Moment},
    succession::NoIdLeft,
    time::Stamp,
};
use firmware_config::{Config, Hours};
use media_core::{
    music::Tune,
    order::{Order, TuneId},
};
use media_rt::{
    counters::{MediaCounters, RecorderCounters},
    handle::Media,
    headroom::Headroom,
    real_time::Condition,
    recorder::RecorderEvent,
};
use sip_net::{
    tcp::{self, News, Tcp},
    udp::{self, Udp, UdpCounts},
};
use sip_stack::{Ban, Far, NetworkId, Probed, TrunkId, TrunkLoad, event::Way};
use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU8, AtomicU64, Ordering},
        mpsc::{SyncSender, TrySendError},
    },
    task::Poll,
    time::{Duration, Instant},
};
use tokio::{
    net::unix::pipe,
    sync::{mpsc, oneshot, watch},
    time::sleep_until,
};

mod calendars;
mod losses;
mod probes;

use calendars::Calendars;
use losses::{Change, Losses};
use probes::Probes;
pub use probes::Tested;

/// What the API reads; written by the follower only.
pub type SharedView = Arc<RwLock<View>>;

/// Datagrams taken in one turn before the journal is written and answers leave.
const DATAGRAMS_PER_TURN: usize = 64;
/// Things heard of connections in one turn, for the same reason.
const NEWS_PER_TURN: usize = 64;
/// Media events taken in one turn; the others have the next.
const EVENTS_PER_TURN: usize = 1024;
/// So many looks at the counts, [`COUNT_EVERY`] apart, without a tick of a media thread, and it
/// will never tick again. Looks, not time: a box that was frozen whole must not be ended for it.
const LOOKS_WITHOUT_TICK: u32 = 20;
/// Orders that wait for room in the ring; more, and the media plane is dead.
const ORDERS_WAITING_MAX: usize = 100_000;
/// Facts that wait for the follower.
const TURNS_WAITING_MAX: usize = 100_000;
/// How often the counts are shown to metrics.
const COUNT_EVERY: Duration = Duration::from_millis(250);
/// How often the media threads are asked how much room they had.
const HEADROOM_EVERY: Duration = Duration::from_secs(1);
/// How soon a full ring is tried again.
const RETRY: Duration = Duration::from_millis(1);
/// Bans that get a line at one look at the counts.
const BANS_LOGGED_MAX: usize = 20;
/// With nothing due the loop still turns, for the watchdog and the counts.
const A_WHILE: Duration = Duration::from_secs(1);

/// Where the box is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BoxState {
    Starting,
    Ready,
    Draining,
    Stopped,
}

/// What metrics show of the pump; a copy of one moment.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    pub sip: sip_stack::Counters,
    pub legs: usize,
    /// By id, as `calls_max` counts.
    pub trunks: Vec<TrunkLoad>,
    /// Legs of the process before.
    pub orphans: sip_stack::Orphans,
    pub double_claims: u64,
    pub ports_taken: usize,
    pub media_refusals: u64,
    pub media: MediaCounters,
    /// Of each media thread: its ticks so far, how much room it had over the last seconds, and what it
    /// got at the start.
    pub ticks: Vec<u64>,
    pub headroom: Vec<Headroom>,
    pub conditions: Arc<[Condition]>,
    /// No new call is taken for want of room, and how many have not been.
    pub overloaded: bool,
    pub refused_for_load: u64,
    pub recorder: RecorderCounters,
    pub recordings_failed: u64,
    /// They lose frames now, or did a moment ago: the disk does not keep up.
    pub recordings_lose_frames: bool,
    pub turns_lost: u64,
    pub datagrams_refused: u64,
    pub udp: UdpCounts,
    /// Sources that are not heard, by address, and how many there have ever been.
    pub bans: Arc<Vec<Ban>>,
    pub bans_total: u64,
    /// TCP connections that stand or are being made.
    pub connections: usize,
    /// Times the kernel had no descriptor for one.
    pub connections_not_accepted: u64,
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Problem(#[from] Problem),
    #[error(transparent)]
    NoIdLeft(#[from] NoIdLeft),
    #[error("the trunk has no `address`, so it only calls us; give it one to test it")]
    NoAddress,
    #[error("too many requests are waiting; try again")]
    Busy,
    #[error("the box has stopped")]
    Gone,
}

/// What somebody asks of the pump.
enum Ask {
    Request(Request, oneshot::Sender<Result<(), Problem>>),
    /// Another configuration, and the names of the tunes the media thread has.
    Reconfigure(Box<Config>, Vec<String>, oneshot::Sender<Result<(), NoIdLeft>>),
    /// A self-test's caller and phone; answered when they are in, or out.
    Admit(Option<(SocketAddr, SocketAddr)>, oneshot::Sender<()>),
    /// Whether it was banned.
    LiftBan(IpAddr, oneshot::Sender<bool>),
    ReplaceTune(Replacement),
    /// Whether a trunk is there.
    Probe(TrunkId, probes::Answer),
    /// Answered when no new call can come in and the calls that are here have been counted.
    Drain(oneshot::Sender<()>),
    Stop,
}

/// Another tune under a number; answered when the media threads have it before them.
struct Replacement {
    tune: TuneId,
    by: Arc<Tune>,
    answer: oneshot::Sender<()>,
}

/// What HTTP and drain hold of the running box. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    asks: mpsc::Sender<Ask>,
    counts: watch::Receiver<Arc<Counts>>,
    state: Arc<AtomicU8>,
    turns: Arc<AtomicU64>,
    calls: watch::Receiver<usize>,
    view: SharedView,
    journal: Arc<StoreCounts>,
}

impl Handle {
    pub async fn request(&self, request: Request) -> Result<(), RequestError> {
        let (answer, answered) = oneshot::channel();
        self.asks.try_send(Ask::Request(request, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::Busy,
            mpsc::error::TrySendError::Closed(_) => RequestError::Gone,
        })?;
        Ok(answered.await.map_err(|_| RequestError::Gone)??)
    }

    /// From the answer on calls flow by this configuration; it was checked, and differs in nothing
    /// that only a start can change.
    pub async fn reconfigure(
        &self,
        config: Config,
        tunes: Vec<String>,
    ) -> Result<(), RequestError> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::Reconfigure(Box::new(config), tunes, answer);
        self.asks.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::Busy,
            mpsc::error::TrySendError::Closed(_) => RequestError::Gone,
        })?;
        Ok(answered.await.map_err(|_| RequestError::Gone)??)
    }

    /// Hears a source again. Whether it was banned.
    pub async fn lift_ban(&self, address: IpAddr) -> Result<bool, RequestError> {
        let (answer, answered) = oneshot::channel();
        self.asks.try_send(Ask::LiftBan(address, answer)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::Busy,
            mpsc::error::TrySendError::Closed(_) => RequestError::Gone,
        })?;
        answered.await.map_err(|_| RequestError::Gone)
    }

    /// From the answer on whoever hears this tune hears that one, in the stream they have.
    pub(crate) async fn replace_tune(
        &self,
        tune: TuneId,
        by: Arc<Tune>,
    ) -> Result<(), RequestError> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::ReplaceTune(Replacement { tune, by, answer });
        // It is on disk already: better late than at the next start.
        self.asks.send(ask).await.map_err(|_| RequestError::Gone)?;
        answered.await.map_err(|_| RequestError::Gone)
    }

    /// Asks a trunk whether it is there, and waits so long for its answer.
    pub async fn probe(&self, trunk: TrunkId, patience: Duration) -> Result<Tested, RequestError> {
        let (answer, asked) = oneshot::channel();
        let ask = Ask::Probe(trunk, answer);
        self.asks.try_send(ask).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => RequestError::Busy,
            mpsc::error::TrySendError::Closed(_) => RequestError::Gone,
        })?;
        let (to, answered) = asked.await.map_err(|_| RequestError::Gone)??;
        match tokio::time::timeout(patience, answered).await {
            Ok(tested) => tested.map_err(|_| RequestError::Gone),
            Err(_) => Ok(Tested { to, outcome: Probed::Silent, after: patience }),
        }
    }

    pub fn counts(&self) -> Arc<Counts> {
        self.counts.borrow().clone()
    }

    /// Shown anew by every look of the loop at itself and its media thread.
    pub(crate) fn watch_counts(&self) -> watch::Receiver<Arc<Counts>> {
        self.counts.clone()
    }

    pub fn journal(&self) -> &StoreCounts {
        &self.journal
    }

    pub fn state(&self) -> BoxState {
        match self.state.load(Ordering::Acquire) {
            0 => BoxState::Starting,
            1 => BoxState::Ready,
            2 => BoxState::Draining,
            _ => BoxState::Stopped,
        }
    }

    pub fn view(&self) -> &SharedView {
        &self.view
    }

    /// Grows while the loop turns.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// Refuses new calls from here on.
    pub async fn drain(&self) {
        self.state.fetch_max(BoxState::Draining as u8, Ordering::AcqRel);
        let (answer, answered) = oneshot::channel();
        // A pump that is gone has nothing left to drain.
        if self.asks.send(Ask::Drain(answer)).await.is_ok() {
            let _gone = answered.await;
        }
    }

    /// Until no call is left.
    pub async fn no_calls(&self) {
        let mut calls = self.calls.clone();
        // The sender is gone only with the pump, and with it the calls.
        let _gone = calls.wait_for(|&calls| calls == 0).await;
    }

    /// Lets a self-test's caller and phone in by their sockets, or out again.
    pub(crate) async fn admit(&self, caller_and_phone: Option<(SocketAddr, SocketAddr)>) {
        let (answer, answered) = oneshot::channel();
        // Without a pump the test fails at its next step.
        if self.asks.send(Ask::Admit(caller_and_phone, answer)).await.is_ok() {
            let _gone = answered.await;
        }
    }

    /// Hangs up what is left and ends the pump.
    pub async fn stop(&self) {
        let _gone = self.asks.send(Ask::Stop).await;
    }

    pub(crate) fn ready(&self) {
        self.state.fetch_max(BoxState::Ready as u8, Ordering::AcqRel);
    }
}

/// The sockets of the SIP side.
struct Sockets {
    /// By network.
    udps: Vec<Udp>,
    tcps: Vec<Tcp>,
}

impl Sockets {
    fn listen(bound: Vec<(udp::Bound, tcp::Bound)>) -> io::Result<Self> {
        let (mut udps, mut tcps) = (vec![], vec![]);
        for (udp, tcp) in bound {
            udps.push(udp.listen()?);
            tcps.push(tcp.listen()?);
        }
        Ok(Self { udps, tcps })
    }
}

/// Each network's, by its name.
fn by_network<T>(all: &mut [T]) -> impl Iterator<Item = (NetworkId, &mut T)> {
    (0..).map(NetworkId).zip(all)
}

/// Until there may be something to receive in some network.
async fn readable(udps: &[Udp]) -> io::Result<()> {
    poll_fn(|context| {
        let mut any = Poll::Pending;
        // Whoever is not asked does not wake us.
        for udp in udps {
            match udp.poll_readable(context) {
                Poll::Ready(Ok(())) => any = Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {}
            }
        }
        any
    })
    .await
}

/// The next thing that happens to a connection, and in which network.
async fn next_news(tcps: &mut [Tcp]) -> (NetworkId, News) {
    poll_fn(|context| {
        for (network, tcp) in by_network(tcps) {
            if let Poll::Ready(news) = tcp.poll_next(context) {
                return Poll::Ready((network, news));
            }
        }
        Poll::Pending
    })
    .await
}

/// The loop and what it owns.
pub(crate) struct Pump {
    exchange: Exchange,
    store: Store,
    media: Media,
    asks: mpsc::Receiver<Ask>,
    followers: SyncSender<Turn>,
    turns_waiting: VecDeque<Turn>,
    orders_waiting: VecDeque<Order>,
    tunes_waiting: VecDeque<Replacement>,
    probes: Probes,
    counts: watch::Sender<Arc<Counts>>,
    calls: watch::Sender<usize>,
    state: Arc<AtomicU8>,
    turns: Arc<AtomicU64>,
    counted: Instant,
    /// When the journal last got a line that says that the process lives.
    wrote: Instant,
    /// Something of the process before is still being ended.
    orphans_left: bool,
    /// More media events wait than one turn takes.
    media_waits: bool,
    /// Ticks of each media thread at the last look, and how many looks they have stood still.
    ticks: Vec<(u64, u32)>,
    headroom: Vec<Headroom>,
    measured: Instant,
    conditions: Arc<[Condition]>,
    recordings_failed: u64,
    losses: Losses,
    turns_lost: u64,
    datagrams_refused: u64,
    /// As they were shown last.
    bans: Arc<Vec<Ban>>,
    bans_logged: u64,
    connections_not_accepted: u64,
    calendars: Calendars,
    /// Calls were told to end; the loop ends when they have, or at this moment.
    stopping: Option<Instant>,
}

/// With calls up, how long the journal may say nothing: how exactly the end of a call is known that was
/// cut off.
const ALIVE_EVERY: Duration = Duration::from_millis(500);

/// How long the last BYEs may take when the box stops.
const LAST_WORDS: Duration = Duration::from_secs(2);

impl Pump {
    pub(crate) fn new(
        exchange: Exchange,
        store: Store,
        media: Media,
        followers: SyncSender<Turn>,
        view: SharedView,
        journal: Arc<StoreCounts>,
    ) -> (Self, Handle) {
        let (ask, asks) = mpsc::channel(1024);
        let (counts, seen_counts) = watch::channel(Arc::default());
        let (calls, seen_calls) = watch::channel(0);
        let state = Arc::new(AtomicU8::new(BoxState::Starting as u8));
        let turns = Arc::new(AtomicU64::new(0));
        let handle = Handle {
            asks: ask,
            counts: seen_counts,
            state: Arc::clone(&state),
            turns: Arc::clone(&turns),
            calls: seen_calls,
            view,
            journal,
        };
        let pump = Self {
            conditions: media.conditions().into(),
            headroom: media.conditions().iter().map(|_| Headroom::default()).collect(),
            orphans_left: exchange.endpoint().orphans().left() > 0,
            exchange,
            store,
            media,
            asks,
            followers,
            turns_waiting: VecDeque::new(),
            orders_waiting: VecDeque::new(),
            tunes_waiting: VecDeque::new(),
            probes: Probes::default(),
            counts,
            calls,
            state,
            turns,
            counted: Instant::now(),
            wrote: Instant::now(),
            media_waits: false,
            ticks: vec![],
            measured: Instant::now(),
            recordings_failed: 0,
            losses: Losses::default(),
            turns_lost: 0,
            datagrams_refused: 0,
            bans: Arc::default(),
            bans_logged: 0,
            connections_not_accepted: 0,
            calendars: Calendars::default(),
            stopping: None,
        };
        (pump, handle)
    }

    /// Keeps what the plan knows of these up to date; it was made while the wall clock said this.
    pub(crate) fn with_hours(self, hours: Vec<Hours>, made_at: Stamp) -> Self {
        Self { calendars: Calendars { hours, made_at }, ..self }
    }

    /// Until `stop` was asked for and the last words are said.
    pub(crate) async fn run(mut self, bound: Vec<(udp::Bound, tcp::Bound)>) -> io::Result<()> {
        // An eventfd waits and reads like a pipe; this is the runtime's safe way to wait for one.
        let bell = self.media.bell()?.as_fd().try_clone_to_owned()?;
        let bell = pipe::Receiver::from_owned_fd_unchecked(bell)?;
        let mut sip = Sockets::listen(bound)?;
        self.show_counts(None);
        loop {
            self.finish_turn(&mut sip, Instant::now());
            if self.is_done(Instant::now()) {
                break;
            }
            if let Some(what) = self.media_fault() {
                tracing::error!(what, "the media plane is dead: the process must be started anew");
                // Dropping it would wait for a thread that may never end.
                std::mem::forget(self.media);
                return Err(io::Error::other(what));
            }
            let wake = tokio::time::Instant::from_std(self.wake_at(Instant::now()));
            tokio::select! {
                biased; // Time first: what is due is decided before what is new.
                () = sleep_until(wake) => if self.media_waits { self.hear_media() },
                rung = bell.readable() => {
                    rung?;
                    // Before polling, so that no stroke is missed. It fails only if it has not
                    // rung.
                    let _strokes = bell.try_read(&mut [0; 8]);
                    self.hear_media();
                }
                ask = self.asks.recv() => self.answer(ask),
                readable = readable(&sip.udps) => {
                    readable?;
                    self.hear_datagrams(&mut sip.udps).await;
                }
                (network, news) = next_news(&mut sip.tcps) => {
                    self.hear_connection(network, news, &mut sip.tcps);
                }
            }
            let now = Instant::now();
            if let Some((due, _why)) = self.exchange.poll_timeout() {
                self.exchange.was_late(now.saturating_duration_since(due), now);
            }
            // Whatever woke us: nobody who speaks over TCP waits for a flood over UDP to end.
            self.hear_connections(&mut sip.tcps);
            self.exchange.handle_timeout(Instant::now());
        }
        self.finish(&mut sip);
        Ok(())
    }

    /// Journal first; then what it was about may leave.
    fn finish_turn(&mut self, sip: &mut Sockets, now: Instant) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.write_journal(now);
        self.store.sync_if_due(now);
        while let Some(order) = self.exchange.poll_order() {
            self.orders_waiting.push_back(order);
        }
        self.give_orders();
        self.give_tunes();
        while let Some(transmit) = self.exchange.poll_transmit() {
            // The endpoint knows no network that has no sockets.
            let network = usize::from(transmit.network.0);
            if transmit.way != Way::Datagram {
                if let Some(tcp) = sip.tcps.get_mut(network) {
                    tcp.send(&transmit);
                }
            } else if sip.udps.get(network).is_none_or(|udp| udp.try_send(&transmit).is_err()) {
                // UDP promises nothing; what matters is sent again by its transaction.
                self.datagrams_refused += 1;
            }
        }
        self.tell_follower();
        self.probes.answer(&mut self.exchange, now);
        if now.duration_since(self.counted) >= COUNT_EVERY {
            self.counted = now;
            sip.tcps.iter_mut().for_each(|tcp| tcp.check(now));
            self.measure(now);
            self.show_counts(Some(&sip.udps));
        }
    }

    fn write_journal(&mut self, now: Instant) {
        let mut lines = Lines::default();
        while let Some(record) = self.exchange.poll_record() {
            lines.records.push(record);
        }
        while let Some(note) = self.exchange.poll_note() {
            lines.notes.push(note);
        }
        if lines.records.is_empty() && now.duration_since(self.wrote) >= ALIVE_EVERY {
            lines.notes.extend(self.exchange.alive(now));
        }
        if !lines.records.is_empty() || !lines.notes.is_empty() {
            self.wrote = now;
        }
        let exchange = &self.exchange;
        let snapshot = |chain: &mut Chain, into: &mut Vec<u8>| {
            let (board, ledger) = (exchange.board(), exchange.ledger());
            chain.snapshot(Moment { board, ledger, memory: &exchange.memory(now) }, into);
        };
        self.store.append(&lines, &snapshot, now);
    }

    fn give_orders(&mut self) {
        while let Some(order) = self.orders_waiting.pop_front() {
            if let Err(order) = self.media.push(order) {
                self.orders_waiting.push_front(order);
                break;
            }
        }
        assert!(
            self.orders_waiting.len() < ORDERS_WAITING_MAX,
            "the media plane takes no orders: the process must be started anew"
        );
    }

    fn give_tunes(&mut self) {
        while let Some(Replacement { tune, by, answer }) = self.tunes_waiting.pop_front() {
            if !self.media.replace_tune(tune, &by) {
                self.tunes_waiting.push_front(Replacement { tune, by, answer });
                break;
            }
            // Whoever asked may have gone.
            let _gone = answer.send(());
        }
    }

    fn tell_follower(&mut self) {
        let mut turn = Turn::default();
        while let Some(fact) = self.exchange.poll_fact() {
            turn.facts.push(fact);
        }
        while let Some(record) = self.exchange.poll_cdr() {
            turn.ended.push(record);
        }
        while let Some(seat) = self.exchange.poll_relisted() {
            turn.contacts.push((seat, self.exchange.contacts(seat)));
        }
        if !turn.is_empty() {
            self.turns_waiting.push_back(turn);
        }
        while let Some(turn) = self.turns_waiting.pop_front() {
            match self.followers.try_send(turn) {
                Ok(()) => {}
                Err(TrySendError::Full(turn)) => {
                    self.turns_waiting.push_front(turn);
                    break;
                }
                Err(TrySendError::Disconnected(_)) => self.turns_lost += 1,
            }
        }
        while self.turns_waiting.len() > TURNS_WAITING_MAX {
            self.turns_waiting.pop_front();
            self.turns_lost += 1;
        }
    }

    /// Of all networks: a flood in one is not heard before what comes in another.
    async fn hear_datagrams(&mut self, udps: &mut [Udp]) {
        let now = Instant::now();
        let exchange = &mut self.exchange;
        let mut more = false;
        for (network, udp) in by_network(udps) {
            let taken = udp.receive(DATAGRAMS_PER_TURN, |address, bytes| {
                exchange.handle_datagram_of(Far { network, address }, bytes, now);
            });
            more |= taken == DATAGRAMS_PER_TURN;
        }
        if more {
            // There is more, and the tasks that read connections have had no turn of their own.
            tokio::task::yield_now().await;
        }
    }

    fn hear_connections(&mut self, tcps: &mut [Tcp]) {
        for place in 0..tcps.len() {
            for _ in 0..NEWS_PER_TURN {
                let news = by_network(tcps).nth(place);
                let Some((network, news)) = news.and_then(|(at, tcp)| Some((at, tcp.try_next()?)))
                else {
                    break;
                };
                self.hear_connection(network, news, tcps);
            }
        }
    }

    fn hear_connection(&mut self, network: NetworkId, news: News, tcps: &mut [Tcp]) {
        let now = Instant::now();
        match news {
            News::Accepted(stream, address) => {
                let from = Far { network, address };
                if let (Some(conn), Some(tcp)) =
                    (self.exchange.handle_accepted(from, now), tcps.get_mut(usize::from(network.0)))
                {
                    tcp.take(conn, stream);
                }
            }
            News::NotAccepted => self.connections_not_accepted += 1,
            News::Connected(conn) => self.exchange.handle_connected(conn, now),
            News::Heard(conn, bytes) => self.exchange.handle_stream(conn, &bytes, now),
            News::Closed(conn, why) => self.exchange.handle_closed(conn, why, now),
        }
    }

    /// What the media plane says. The bell does not ring again for what is left.
    fn hear_media(&mut self) {
        let now = Instant::now();
        // First: the end of a call names the recording only if there is one.
        while let Some(event) = self.media.poll_recorder_event() {
            match event {
                RecorderEvent::Started { talk, .. } => {
                    self.exchange.handle_recording_began(talk, now);
                }
                RecorderEvent::Finished { path, frames, lost, .. } if lost > 0 => {
                    tracing::warn!(file = %path.display(), frames, lost,
                        "a recording has frames of silence where audio was lost");
                }
                RecorderEvent::Finished { .. } => {}
                RecorderEvent::Failed { talk, path, what, no_file } => {
                    self.recordings_failed += 1;
                    tracing::error!(file = %path.display(), %what,
                        "a recording cannot be written; the call goes on");
                    self.exchange.handle_recording_failed(talk, what, no_file, now);
                }
            }
        }
        let mut heard = 0;
        while heard < EVENTS_PER_TURN
            && let Some(event) = self.media.poll_event()
        {
            self.exchange.handle_media(event, now);
            heard += 1;
        }
        self.media_waits = heard == EVENTS_PER_TURN;
    }

    fn answer(&mut self, ask: Option<Ask>) {
        let now = Instant::now();
        match ask {
            Some(Ask::Request(request, answer)) => {
                let done = self.exchange.handle_request(request, now);
                // Whoever asked may have gone.
                let _gone = answer.send(done);
            }
            Some(Ask::Reconfigure(config, tunes, answer)) => {
                let wall = wall();
                let next = plan::successor(self.exchange.plan(), &config, &tunes, wall);
                let done = next.map(|(plan, sip)| {
                    self.exchange.reconfigure(Arc::new(plan), sip, now);
                    self.calendars = Calendars { hours: config.hours, made_at: wall };
                });
                self.show_counts(None);
                // Whoever asked may have gone.
                let _gone = answer.send(done);
            }
            Some(Ask::Admit(caller_and_phone, answer)) => {
                self.exchange.let_in(caller_and_phone, now);
                // Whoever asked may have gone.
                let _gone = answer.send(());
            }
            Some(Ask::LiftBan(address, answer)) => {
                let was_banned = self.exchange.lift_ban(address, now);
                self.show_counts(None);
                // Whoever asked may have gone.
                let _gone = answer.send(was_banned);
            }
            // The turn that ends now gives it.
            Some(Ask::ReplaceTune(replacement)) => self.tunes_waiting.push_back(replacement),
            Some(Ask::Probe(trunk, answer)) => {
                let asked = self.probes.ask(trunk, &mut self.exchange, now);
                // Whoever asked may have gone.
                let _gone = answer.send(asked);
            }
            Some(Ask::Drain(answer)) => {
                self.exchange.set_draining(true);
                self.show_counts(None);
                // Whoever asked may have gone.
                let _gone = answer.send(());
            }
            Some(Ask::Stop) => {
                self.exchange.set_draining(true);
                self.exchange.stop(now);
                self.stopping = Some(now + LAST_WORDS);
            }
            // Every handle is gone: nobody could stop it any more.
            None => self.stopping = self.stopping.or(Some(now)),
        }
    }

    /// Asks the media threads how much room they had, and says so once when new calls are no longer
    /// taken for that, or are again.
    fn measure(&mut self, now: Instant) {
        if now.duration_since(self.measured) < HEADROOM_EVERY {
            return;
        }
        self.measured = now;
        self.tell_losses(now);
        self.look_at_the_wall_clock();
        self.headroom = self.media.headroom();
        let measured: Vec<_> = self.headroom.iter().map(measured).collect();
        let before = self.exchange.board().is_overloaded();
        self.exchange.handle_headroom(&measured, now);
        let overloaded = self.exchange.board().is_overloaded();
        if overloaded != before {
            let lateness = measured.iter().map(|thread| thread.lateness_p999).max();
            let used = measured.iter().map(|thread| thread.used_permille / 10).max();
            let longest = measured.iter().map(|thread| thread.used_p99_permille / 10).max();
            let (lateness, used_percent) = (lateness.unwrap_or_default(), used.unwrap_or_default());
            let tick_p99_percent = longest.unwrap_or_default();
            match overloaded {
                true => tracing::warn!(
                    ?lateness,
                    used_percent,
                    tick_p99_percent,
                    "the media threads have no room left: new calls are refused"
                ),
                false => {
                    tracing::info!(
                        ?lateness,
                        used_percent,
                        tick_p99_percent,
                        "new calls are taken again"
                    );
                }
            }
        }
    }

    /// A box may boot without a clock and be told the time later, or run for months.
    fn look_at_the_wall_clock(&mut self) {
        let before = self.exchange.board().ahead();
        let (wall, now) = (wall(), Instant::now());
        self.exchange.handle_wall_clock(wall, now);
        if let Some(hours) = self.calendars.look(wall) {
            self.exchange.renew_hours(hours, now);
        }
        let after = self.exchange.board().ahead();
        if before != after {
            let seconds = after.0 / 1_000_000;
            tracing::info!(
                seconds,
                "the wall clock has been set: so far it is ahead of the box's time line"
            );
        }
    }

    /// A stalled disk is heard of by the ring that has no room, a full one by the recorder, which counts the
    /// others too when it reads on: all that matters here is that it goes on.
    fn tell_losses(&mut self, now: Instant) {
        let recorder = self.media.recorder_counters().frames_lost;
        let lost = self.media.counters().engine.record_frames_refused + recorder;
        match self.losses.look(lost, now) {
            Some(Change::Began) => tracing::error!(
                "recordings lose frames: the disk of recording.dir does not keep up; calls go on undisturbed"
            ),
            Some(Change::Over(_)) => {
                tracing::info!(frames_lost = recorder, "no recording has lost a frame for a minute")
            }
            None => {}
        }
    }

    /// A media thread that has ended or stands still takes every call's voice with it, and nothing
    /// but a new process can help.
    fn media_fault(&self) -> Option<&'static str> {
        if !self.media.is_alive() {
            return Some("a media thread has ended");
        }
        let stands = self.ticks.iter().any(|(_, still)| *still >= LOOKS_WITHOUT_TICK);
        stands.then_some("a media thread stands still")
    }

    fn wake_at(&self, now: Instant) -> Instant {
        let due = self.exchange.poll_timeout().map(|(at, _why)| at);
        let ring_full = !self.orders_waiting.is_empty()
            || !self.tunes_waiting.is_empty()
            || !self.turns_waiting.is_empty();
        let retry = ring_full.then(|| now + RETRY);
        let waits = self.media_waits.then_some(now);
        let counts = Some(self.counted + COUNT_EVERY);
        let all = [due, retry, waits, self.store.next_sync(), self.stopping, counts];
        all.into_iter().flatten().min().unwrap_or(now + A_WHILE)
    }

    /// Who was hung up has said so. Transactions that wait only for a retransmission are not worth
    /// a wait.
    fn is_done(&self, now: Instant) -> bool {
        let nobody = || self.exchange.board().is_idle() && self.exchange.endpoint().legs() == 0;
        self.stopping.is_some_and(|at| at <= now || nobody())
    }

    /// One line a ban, however many packets it is for; of a crowd only the first.
    fn tell_bans(&mut self) {
        let total = self.exchange.endpoint().bans_total();
        let now = Instant::now();
        let bans = self.exchange.endpoint().bans(now);
        let new = bans.iter().filter(|ban| ban.serial > self.bans_logged);
        for ban in new.take(BANS_LOGGED_MAX) {
            let seconds = ban.until.saturating_duration_since(now).as_secs();
            tracing::warn!(address = %ban.address, reason = ban.why.label(), seconds, "not heard");
        }
        self.bans_logged = total;
        if *self.bans != bans {
            self.bans = Arc::new(bans);
        }
    }

    fn show_counts(&mut self, udps: Option<&[Udp]>) {
        self.tell_bans();
        let udp = match udps {
            Some(udps) => udps.iter().map(Udp::counts).fold(UdpCounts::default(), UdpCounts::with),
            None => self.counts.borrow().udp,
        };
        let calls = self.exchange.board().calls().count();
        self.calls.send_if_modified(|shown| std::mem::replace(shown, calls) != calls);
        let media = self.media.counters();
        let ticks = self.media.ticks();
        self.ticks.resize(ticks.len(), (0, 0));
        for ((before, still), now) in self.ticks.iter_mut().zip(&ticks) {
            *still = if before == now { *still + 1 } else { 0 };
            *before = *now;
        }
        let orphans = self.exchange.endpoint().orphans();
        if self.orphans_left && orphans.left() == 0 {
            self.orphans_left = false;
            tracing::info!(
                found = orphans.found,
                answered = orphans.answered,
                given_up = orphans.given_up,
                "everything that the process before left has ended"
            );
        }
        self.counts.send_replace(Arc::new(Counts {
            sip: self.exchange.endpoint().counters().clone(),
            legs: self.exchange.endpoint().legs(),
            trunks: self.exchange.endpoint().trunk_loads(),
            orphans,
            double_claims: self.exchange.double_claims(),
            ports_taken: self.exchange.ports_taken(),
            media_refusals: self.exchange.media_refusals(),
            media,
            ticks,
            headroom: self.headroom.clone(),
            conditions: Arc::clone(&self.conditions),
            overloaded: self.exchange.board().is_overloaded(),
            refused_for_load: self.exchange.refused_for_load(),
            recorder: self.media.recorder_counters(),
            recordings_failed: self.recordings_failed,
            recordings_lose_frames: self.losses.go_on(),
            turns_lost: self.turns_lost,
            datagrams_refused: self.datagrams_refused,
            udp,
            bans: Arc::clone(&self.bans),
            bans_total: self.bans_logged,
            connections: self.exchange.endpoint().connections(),
            connections_not_accepted: self.connections_not_accepted,
        }));
    }

    /// The media plane stops after its last order, the journal closes after the last record.
    fn finish(mut self, sip: &mut Sockets) {
        self.media.stop();
        let now = Instant::now();
        while let Some(event) = self.media.poll_event() {
            self.exchange.handle_media(event, now);
        }
        self.finish_turn(sip, now);
        self.show_counts(Some(&sip.udps));
        self.state.store(BoxState::Stopped as u8, Ordering::Release);
        self.store.close();
    }
}

fn measured(headroom: &Headroom) -> Measured {
    let Headroom { ticks, lateness_p999, used_permille, used_p99_permille } = *headroom;
    Measured { ticks, lateness_p999, used_permille, used_p99_permille }
}

/// The view, whatever became of who held it last: it is only read.
pub fn read(view: &SharedView) -> std::sync::RwLockReadGuard<'_, View> {
    view.read().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
