//! Start: everything that can fail is tried before anything runs, so that a box is started whole
//! or not at all.

use crate::{
    address,
    choice::{Kept, OnDiskAtStart},
    drain::Running,
    follower::{self, CdrCounts, Follower},
    http,
    live::Live,
    log, login_key,
    metrics::Metrics,
    music::{self, Reader},
    plan,
    pump::{Handle, Pump},
    recording,
    selftest::SelfTest,
    store::{self, Store, StoreCounts, StoreError},
    view::View,
};
use control_plane::{
    cdr::CallRecord,
    config::Plan,
    exchange::{Exchange, MediaNetwork, Start},
    fact::What,
    headroom::Limits,
    ids::CallId,
    journal::Past,
    legs::shared_codings,
    switchboard::Cut,
    time::Stamp,
};
use firmware_config::{Config, Hours};
use media_core::{
    engine::EngineConfig,
    music::Tune,
    order::{PortName, Recorded, TalkName},
};
use media_rt::{
    handle::{Media, MediaConfig, RingSizes},
    ports::{PortError, PortPool, Share},
    recorder::{FolderError, RecorderConfig, check_folder},
    wav,
};
use nix::{
    errno::Errno,
    fcntl::{Flock, FlockArg},
};
use rand::{TryRng, rngs::SysRng};
use sip_net::{
    tcp,
    udp::{self, BindError},
};
use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File},
    io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, RwLock, mpsc},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::net::TcpListener;

/// Turns of the pump that may be on their way to the follower.
const TURNS: usize = 8192;
/// No packet for so long, after there were some: is the far side still there?
const SILENT_AFTER: Duration = Duration::from_secs(20);
/// RFC 3550 §6.2.
const RTCP_INTERVAL: Duration = Duration::from_secs(5);
/// A media thread that has not run after so long will not.
const FIRST_TICK_WITHIN: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// From 1900, where NTP begins, to 1970 (RFC 5905 §6), in seconds.
const NTP_TO_UNIX_SECONDS: u64 = 2_208_988_800;

/// Why the appliance did not start. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("http.admin {address}: {source}; write a free address of this host")]
    Http { address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Journal(#[from] StoreError),
    #[error(transparent)]
    Media(#[from] media_rt::handle::StartError),
    #[error("a media thread has not run once in {} s", FIRST_TICK_WITHIN.as_secs())]
    NoTick,
    #[error(transparent)]
    Ports(#[from] PortError),
    #[error("no randomness from the system: {0}")]
    Random(String),
    #[error("the pump's thread: {0}")]
    Thread(io::Error),
    #[error("{key} {source}")]
    Sip { key: String, source: BindError },
    #[error("http.admin_token_file {}: {source}; name a file this user may write", file.display())]
    Token { file: PathBuf, source: io::Error },
    #[error("node.data_dir {}: {source}; name a folder this user may write to", dir.display())]
    DataDir { dir: PathBuf, source: io::Error },
    #[error(
        "node.data_dir {}: another appliance uses it; stop that one, or name a folder of its own",
        dir.display()
    )]
    InUse { dir: PathBuf },
}

/// The appliance.
pub struct Appliance;

impl Appliance {
    /// Starts it all, without files: the configuration stays as it is. Calls can be taken when this
    /// returns. `reader`: who decodes what is uploaded.
    pub async fn start(config: Config, reader: Reader) -> Result<Running, StartError> {
        Self::start_kept(config, None, reader).await
    }

    /// The same with what was kept of earlier configurations.
    pub async fn start_kept(
        config: Config,
        kept: Option<Kept>,
        reader: Reader,
    ) -> Result<Running, StartError> {
        let plan = Arc::new(plan::plan(&config, wall()));
        let http_listener = bind_http(config.http.admin).await?;
        let sockets = config.networks.iter().map(bind_sip).collect::<Result<Vec<_>, _>>()?;
        let ports = PortPool::open_shares(&shares(&config))?;
        for taken in ports.taken() {
            tracing::warn!(port = taken.port, why = %taken.why, "a media port is left out");
        }
        let (data_dir, kept) = match kept {
            Some(kept) => kept.unlock(),
            None => (take_data_dir(&config.node.data_dir)?, None),
        };
        let token = http::auth::token(&config.http.admin_token_file).map_err(|source| {
            StartError::Token { file: config.http.admin_token_file.clone(), source }
        })?;
        check_folder(&config.recording.dir).map_err(media_rt::handle::StartError::Folder)?;
        let journal = Arc::new(StoreCounts::default());
        let history = History::read(&config, &plan, &journal)?;
        let journal_dir = config.node.data_dir.join("journal");
        let store = Store::begin(&journal_dir, history.past.moment(), Arc::clone(&journal))?;
        let (names, networks) = media_networks(&config, &ports.names());
        let fail = |source| StartError::DataDir { dir: config.node.data_dir.clone(), source };
        let music = music::AtStart::read(&config, reader).await;
        let media = start_media(&config, &plan, ports, music.tunes())?;
        let view = Arc::new(RwLock::new(history.view(&plan)));
        let cut = cut_off(&history.past, &config.recording.dir);
        mend_recordings(history.recordings)?;
        for condition in media.conditions() {
            tracing::info!(%condition, "a media thread runs");
        }
        for warning in media.warnings() {
            tracing::warn!(%warning, "a media thread runs without");
        }

        let metrics = Arc::new(Metrics::new(&plan));
        let cdr_counts = Arc::new(CdrCounts::default());
        let (turns, heard) = mpsc::sync_channel(TURNS);
        let follower = Follower::new(
            heard,
            Arc::clone(&view),
            Arc::clone(&metrics),
            Arc::clone(&journal),
            Arc::clone(&cdr_counts),
            config.node.name.clone(),
            history.cdr_dir.clone(),
        );
        let now = Instant::now();
        let (board, restart) = history.past.restart(Arc::clone(&plan), cut);
        let start = Start {
            sip: plan::sip(&config, config.sip.tcp, seed()?),
            board,
            ports: names,
            media_address: config.media.advertise,
            networks,
            seed: seed()?,
            wall: wall(),
            login_key: login_key::of(&config.node.data_dir, seed()?),
            opus_complexity: config.media.opus_complexity,
            headroom: Limits {
                lateness_max: config.media.lateness_max,
                used_permille_max: config.media.load_percent_max * 10,
            },
            restart: (!history.is_first).then_some(restart),
        };
        let mut exchange = Exchange::new(start, now);
        // The calls that ended with the last process get their records like any other.
        let first = first_turn(&mut exchange, history.unpaid, &history.cdr_dir, &view)?;
        turns.try_send(first).map_err(|_| StartError::Thread(io::ErrorKind::BrokenPipe.into()))?;
        let parts = Parts {
            exchange,
            store,
            media,
            sockets,
            turns,
            view,
            journal,
            hours: config.hours.clone(),
        };
        let kept = kept.map(OnDiskAtStart::hold).transpose().map_err(fail)?;
        address::write(&config.node.data_dir, &config.http).map_err(fail)?;
        let (handle, pump) = spawn_pump(parts)?;
        let follower = thread::Builder::new()
            .name("follower".to_owned())
            .spawn(move || follower.run())
            .map_err(StartError::Thread)?;
        let live = Arc::new(Live::new(handle.clone(), config.clone(), kept));
        let self_test = Arc::new(SelfTest::new(handle.clone(), &config));
        let server = http::serve(
            http_listener,
            http::State {
                handle: handle.clone(),
                live: Arc::clone(&live),
                music: music.run(handle.clone()),
                metrics,
                cdr_counts,
                self_test,
                token: token.into(),
                recordings: config.recording.dir.clone(),
                seal_key: recording::key(&config),
                node: config.node.name.clone(),
                loopback: config.http.admin.ip().is_loopback(),
            },
        );
        handle.ready();
        Ok(Running::new(handle, live, pump, follower, server, data_dir, &config))
    }
}

/// The sockets of SIP in one network.
fn bind_sip(network: &firmware_config::Network) -> Result<(udp::Bound, tcp::Bound), StartError> {
    let key = |own: &str| match &network.name {
        Some(name) => format!("network.{name}.sip"),
        None => own.to_owned(),
    };
    let interface = network.interface.as_deref();
    let udp = udp::bind_to(network.sip, interface)
        .map_err(|source| StartError::Sip { key: key("sip.udp"), source })?;
    let tcp = tcp::bind_to(network.tcp, interface)
        .map_err(|source| StartError::Sip { key: key("sip.tcp"), source })?;
    Ok((udp, tcp))
}

/// Which ports are bound where.
fn shares(config: &Config) -> Vec<Share> {
    let share = |(place, network): (usize, &firmware_config::Network)| Share {
        address: network.media,
        interface: network.interface.clone(),
        range: config.ports_of(place),
    };
    config.networks.iter().enumerate().map(share).collect()
}

/// The ports of the first network, and the others.
fn media_networks(config: &Config, names: &[PortName]) -> (Vec<PortName>, Vec<MediaNetwork>) {
    let ports = |place: usize| {
        let own = config.ports_of(place);
        names.iter().copied().filter(|name| own.contains(&name.0)).collect()
    };
    let others = config.networks.iter().enumerate().skip(1);
    let others = others.map(|(place, network)| MediaNetwork {
        address: network.media_advertise,
        ports: ports(place),
    });
    (ports(0), others.collect())
}

/// What goes to the pump's thread.
struct Parts {
    exchange: Exchange,
    store: Store,
    media: Media,
    sockets: Vec<(udp::Bound, tcp::Bound)>,
    turns: mpsc::SyncSender<follower::Turn>,
    view: crate::pump::SharedView,
    journal: Arc<StoreCounts>,
    hours: Vec<Hours>,
}

/// The pump has a thread and a runtime of its own: no request can stand in a call's way.
fn spawn_pump(parts: Parts) -> Result<(Handle, thread::JoinHandle<io::Result<()>>), StartError> {
    let Parts { exchange, store, media, sockets, turns, view, journal, hours } = parts;
    let (pump, handle) = Pump::new(exchange, store, media, turns, view, journal);
    let pump = pump.with_hours(hours, wall());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let thread = thread::Builder::new()
        .name("pump".to_owned())
        .spawn(move || runtime.block_on(pump.run(sockets)))
        .map_err(StartError::Thread)?;
    Ok((handle, thread))
}

fn start_media(
    config: &Config,
    plan: &Plan,
    ports: PortPool,
    tunes: Vec<Arc<Tune>>,
) -> Result<Media, StartError> {
    let pairs = ports.names().len();
    let media = MediaConfig {
        ports,
        engine: EngineConfig {
            legs_max: pairs,
            talks_max: pairs,
            silent_after: SILENT_AFTER,
            tunes,
            shared: shared_codings(plan, config.media.opus_complexity),
            rtcp_interval: RTCP_INTERVAL,
            cname: cname()?,
            ntp_epoch: ntp(wall()),
        },
        recorder: RecorderConfig {
            dir: config.recording.dir.clone(),
            name: recording_name,
            format: recording::format(config),
            seal: recording::seal(config),
        },
        rings: RingSizes::USUAL,
        real_time: true,
        threads: usize::try_from(config.media.threads).unwrap_or(1),
        cores: config.media.cpus.clone(),
    };
    let media = Media::start(media)?;
    await_first_tick(&media)?;
    Ok(media)
}

/// Nobody may be told that calls are taken before the threads that carry them have run.
fn await_first_tick(media: &Media) -> Result<(), StartError> {
    let looks = FIRST_TICK_WITHIN.as_millis() / LOOK_EVERY.as_millis();
    for _ in 0..looks {
        if media.ticks().iter().all(|ticks| *ticks > 0) {
            return Ok(());
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(StartError::NoTick)
}

/// Mends what a crash left of recordings, beside the calls: there may be years of them, and new
/// ones have names of their own.
fn mend_recordings(files: Vec<PathBuf>) -> Result<(), StartError> {
    let mend = move || {
        for file in wav::repair(files).mended {
            tracing::info!(file = %file.display(), "a recording cut by a crash was mended");
        }
    };
    let mender = thread::Builder::new().name("mender".to_owned()).spawn(mend);
    mender.map(drop).map_err(StartError::Thread)
}

/// What the last process left.
struct History {
    past: Past,
    /// There was no process before.
    is_first: bool,
    /// Calls that had ended and whose record could not be put into the files yet.
    unpaid: Vec<CallRecord>,
    records: Vec<CallRecord>,
    cdr_dir: PathBuf,
    recordings: Vec<PathBuf>,
}

impl History {
    fn read(config: &Config, plan: &Arc<Plan>, counts: &StoreCounts) -> Result<Self, StartError> {
        let cdr_dir = config.node.data_dir.join("cdr");
        let fail = |source| StartError::DataDir { dir: config.node.data_dir.clone(), source };
        let mut records = follower::load(&cdr_dir).map_err(fail)?;
        let past = store::past(&config.node.data_dir.join("journal"), counts)?;
        let is_first = past.is_none();
        let mut past = past.unwrap_or_else(|| Past::none(plan));
        // A journal that was lost or thrown away must not cost a recording its name.
        let named = records.iter().filter_map(|record| record.id.parse().ok());
        let recordings = wav::files(&config.recording.dir).map_err(|source| {
            let dir = config.recording.dir.clone();
            media_rt::handle::StartError::Folder(FolderError { dir, source })
        })?;
        let recorded = recording::all(&config.recording.dir).map_err(|source| {
            let dir = config.recording.dir.clone();
            media_rt::handle::StartError::Folder(FolderError { dir, source })
        })?;
        for call in named.chain(recorded) {
            past.board.never_again(call);
        }
        let ended = std::mem::take(&mut past.ended);
        let owed = follower::unwritten(&cdr_dir, ended).map_err(fail)?;
        let (paid, unpaid) = follower::pay(&cdr_dir, &config.node.name, owed);
        records.extend(paid);
        Ok(Self { past, is_first, unpaid, records, cdr_dir, recordings })
    }

    fn view(&self, plan: &Arc<Plan>) -> View {
        let mut view = View::new(Arc::clone(plan));
        for record in &self.records {
            view.load_ended(record.clone());
        }
        view
    }
}

/// What the end of the last process has brought about before anything else could happen. The
/// steps of its calls were numbered by its own configuration and are in their records; of the facts
/// only the seats are news.
fn first_turn(
    exchange: &mut Exchange,
    unpaid: Vec<CallRecord>,
    cdr_dir: &Path,
    view: &crate::pump::SharedView,
) -> Result<follower::Turn, StartError> {
    let facts = std::iter::from_fn(|| exchange.poll_fact());
    let facts =
        facts.filter(|fact| matches!(fact.what, What::Hours(..) | What::Seat(..))).collect();
    let mut ended = unpaid;
    // A journal that could be used only in part may take a call for one that was cut off which has
    // ended since, and was told.
    let cut_off = std::iter::from_fn(|| exchange.poll_cdr()).collect();
    let fail = |source| StartError::DataDir { dir: cdr_dir.to_owned(), source };
    ended.extend(follower::unwritten(cdr_dir, cut_off).map_err(fail)?);
    let mut view = view.write().unwrap_or_else(std::sync::PoisonError::into_inner);
    for record in &ended {
        view.load_ended(record.clone());
    }
    let legs = usize::try_from(exchange.endpoint().orphans().found).unwrap_or(usize::MAX);
    log::tell_what_was_left(legs, &ended);
    Ok(follower::Turn { facts, ended, contacts: vec![] })
}

/// The data folder is one process's: two would write one journal. Let go when the process ends,
/// however it does.
pub(crate) fn take_data_dir(dir: &Path) -> Result<Flock<File>, StartError> {
    let fail = |source| StartError::DataDir { dir: dir.to_owned(), source };
    make_folder(dir).map_err(fail)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o640)
        .open(dir.join("lock"))
        .map_err(fail)?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| {
        if errno == Errno::EWOULDBLOCK {
            return StartError::InUse { dir: dir.to_owned() };
        }
        fail(errno.into())
    })
}

/// Who calls whom is for the operator and their group, whatever the umask.
pub(crate) fn make_folder(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(dir)
}

/// What is left of the media of calls that were cut off: their recordings, which nobody could end.
/// The journal's last word about a call may be older than its recording's.
fn cut_off(past: &Past, dir: &Path) -> BTreeMap<CallId, Cut> {
    let found = past.ledger.active().filter_map(|(call, record)| {
        let frames = recording::find(dir, &record.id).ok()??.frames().ok()?;
        let heard_until = record.bridged_at? + Duration::from_millis(20 * frames);
        Some((call, Cut { heard_until, recorded: Some(Recorded { frames, lost: 0, paused: 0 }) }))
    });
    found.collect()
}

async fn bind_http(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Http { address, source })
}

fn recording_name(talk: TalkName) -> String {
    CallId(talk.0).to_string()
}

/// RFC 7022 §4.2: 96 random bits, for the life of the process. An address would be one of some network,
/// told in all of them.
fn cname() -> Result<String, StartError> {
    Ok(seed()?.iter().take(12).map(|byte| format!("{byte:02x}")).collect())
}

fn seed() -> Result<[u8; 32], StartError> {
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed).map_err(|error| StartError::Random(error.to_string()))?;
    Ok(seed)
}

/// What the wall clock of this machine says now.
pub(crate) fn wall() -> Stamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Stamp::default() + since
}

/// 32 bits of seconds, 32 of fraction (RFC 5905 §6).
fn ntp(wall: Stamp) -> u64 {
    let seconds = wall.0 / 1_000_000 + NTP_TO_UNIX_SECONDS;
    let fraction = (wall.0 % 1_000_000) * (1 << 32) / 1_000_000;
    (seconds << 32) | fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_plane::fact::{Fact, Step};
    use sip_stack::{Source, TrunkId};
    use std::fs;

    #[test]
    fn a_call_cut_off_by_a_crash_lasted_as_long_as_its_recording() {
        let plan = Plan {
            trunks: vec![],
            seats: vec![],
            teams: vec![],
            numbers: vec![],
            ..Plan::default()
        };
        let mut past = Past::none(&Arc::new(plan));
        let mut tell = |at, step| {
            past.ledger.apply(&Fact { seq: 1, at: Stamp(at), what: What::Call(CallId(7), step) })
        };
        let source = Source::Trunk(TrunkId(0));
        let (from, number, sip_call_id) = ("1".into(), "2".into(), "3".into());
        tell(1_000_000, Step::Arrived { source, from, number, sip_call_id });
        tell(2_000_000, Step::Bridged);
        let dir = std::env::temp_dir().join(format!("clavija-start-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("call-00000007.wav"), vec![0; 44 + 100 * 640]).unwrap();

        let cut = cut_off(&past, &dir);

        fs::remove_dir_all(&dir).unwrap();
        let recorded = Some(Recorded { frames: 100, lost: 0, paused: 0 });
        assert_eq!(cut[&CallId(7)], Cut { heard_until: Stamp(4_000_000), recorded });
    }
}
