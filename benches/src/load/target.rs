//! Who is measured: each is started in the foreground with a configuration of the bench's own, on a
//! core of its own, watched through /proc, and ended.

use crate::cpu;
use crate::load::{ng::Ng, voice};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Addresses of this bench's own: nobody else's ports are in the way.
pub const BOX: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 88, 0, 1));
pub const CALLER: Ipv4Addr = Ipv4Addr::new(127, 88, 0, 2);
pub const CALLEE: Ipv4Addr = Ipv4Addr::new(127, 88, 0, 3);
pub const SIP_PORT: u16 = 5_060;
const NG_PORT: u16 = 2_223;

/// The target has the first core, the generator the second.
pub const TARGET_CORE: usize = 0;
pub const GENERATOR_CORE: usize = 1;
/// Below the media thread's own priority and the generator's.
const PRIORITY: u8 = 5;
/// Media ports of the box: the usual range, and its first port.
const FIRST_PORT: u64 = 10_000;
const USUAL_PAIRS: u64 = 4_000;
/// How a trunk of the configuration says that its audio is not encrypted.
const PLAIN: &str = "srtp = \"off\"";
/// More than this are not needed by any rate that is tried.
const PAIRS_MAX: u64 = 20_000;
/// Samples a second of the tune callers wait to.
const RATE: usize = 8_000;
/// How long a target may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Clavija { ports: Ports, record: bool, srtp: bool },
    Kamailio,
    Rtpengine,
}

/// How many media ports the box has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    Usual,
    /// As many as this system's limit of open files allows: a call has two pairs while it lasts,
    /// and they rest for 5 s after it.
    Many,
}

/// A running one. Dropped, it is ended, and its folder is gone.
pub struct Target {
    kind: Kind,
    child: Child,
    /// It and its children.
    ids: Vec<u32>,
    admin: Option<SocketAddr>,
    folder: Folder,
}

/// CPU time so far: of all, and of each thread by name.
#[derive(Clone, Debug, Default)]
pub struct Used {
    pub all: Duration,
    pub threads: BTreeMap<String, Duration>,
}

impl Kind {
    pub const CALLS: Self = Self::Clavija { ports: Ports::Many, record: false, srtp: false };
    pub const TALKS: Self = Self::Clavija { ports: Ports::Usual, record: false, srtp: false };
    pub const RECORDED: Self = Self::Clavija { ports: Ports::Usual, record: true, srtp: false };
    /// Both sides of every call are encrypted.
    pub const SECURED: Self = Self::Clavija { ports: Ports::Usual, record: false, srtp: true };

    pub fn program(self) -> PathBuf {
        match self {
            Self::Clavija { .. } => clavija(),
            Self::Kamailio => "kamailio".into(),
            Self::Rtpengine => "rtpengine".into(),
        }
    }

    /// The Debian package it is in.
    fn package(self) -> &'static str {
        match self {
            Self::Clavija { .. } => "none: cargo build --release -p clavija",
            Self::Kamailio => "kamailio",
            Self::Rtpengine => "rtpengine-daemon",
        }
    }

    /// What it says of its version, in a word or two.
    pub fn version(self) -> Result<String, String> {
        let word = if self == Self::Kamailio { "-v" } else { "--version" };
        let said = Command::new(self.program()).arg(word).stdin(Stdio::null()).output();
        let said = said.map_err(|error| {
            format!("{} is missing ({error}); package {}", self.program().display(), self.package())
        })?;
        let text = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().next().unwrap_or_default().replace("version: ", ""))
    }

    fn command(self, folder: &Path) -> io::Result<Command> {
        let mut command = Command::new(self.program());
        match self {
            Self::Clavija { ports, record, srtp } => {
                write_clavija(folder, ports, record, srtp)?;
                command.arg("run").arg("--config").arg(folder.join("node.toml"));
            }
            Self::Kamailio => {
                let file = folder.join("kamailio.cfg");
                fs::write(&file, include_str!("kamailio.cfg"))?;
                // A quarter of what it needs at a thousand calls a second was too little for it.
                command.args(["-DD", "-E", "-m", "1024", "-M", "16", "-f"]).arg(file);
                command.arg("-Y").arg(folder).arg("-P").arg(folder.join("pid"));
            }
            Self::Rtpengine => {
                command.args(["--config-file=none", "--foreground", "--table=-1"]);
                command.args(["--log-stderr", "--log-level=3", "--num-threads=1"]);
                command.args(["--port-min=20000", "--port-max=29999", "--delete-delay=0"]);
                command
                    .arg(format!("--interface={BOX}"))
                    .arg(format!("--listen-ng={BOX}:{NG_PORT}"));
            }
        }
        Ok(command)
    }
}

impl Target {
    /// Started, and ready for calls.
    pub fn start(kind: Kind) -> Result<Self, String> {
        let program = kind.program();
        Self::try_start(kind).map_err(|error| format!("{}: {error}", program.display()))
    }

    fn try_start(kind: Kind) -> io::Result<Self> {
        let folder = Folder::new()?;
        let log = fs::File::create(folder.0.join("log"))?;
        let mut command = on_its_core(&kind.command(&folder.0)?);
        let said = fs::File::create(folder.0.join("said"))?;
        command.current_dir(&folder.0).stdin(Stdio::null()).stderr(log).stdout(said);
        let child = command.spawn()?;
        let mut target = Self { kind, ids: vec![child.id()], child, admin: None, folder };
        if let Err(error) = target.await_ready() {
            let log = fs::read_to_string(target.folder.0.join("log")).unwrap_or_default();
            let end: Vec<&str> = log.lines().rev().take(5).collect();
            return Err(io::Error::other(format!("{error}; its log ends (newest first): {end:?}")));
        }
        target.ids = family(target.child.id())?;
        Ok(target)
    }

    fn await_ready(&mut self) -> io::Result<()> {
        match self.kind {
            Kind::Clavija { .. } => {
                let said = self.folder.0.join("said");
                let mut admin = None;
                self.until(|| {
                    admin = admin_address(&fs::read_to_string(&said).unwrap_or_default());
                    admin.is_some()
                })?;
                self.admin = admin;
                Ok(())
            }
            Kind::Kamailio => self.until(|| answers_options().is_ok()),
            Kind::Rtpengine => {
                let mut ng = ng()?;
                self.until(|| ng.is_there())
            }
        }
    }

    fn until(&mut self, mut ready: impl FnMut() -> bool) -> io::Result<()> {
        let end = Instant::now() + PATIENCE;
        while !ready() {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("it ended with {status}")));
            }
            if Instant::now() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    pub fn used(&self) -> Used {
        let mut used = Used::default();
        for &id in &self.ids {
            used.all += cpu::of_process(id).unwrap_or_default();
            for (name, time) in threads(id) {
                *used.threads.entry(name).or_default() += time;
            }
        }
        used
    }

    /// Memory that is in RAM, in KiB.
    pub fn resident_kib(&self) -> u64 {
        let resident = |id: &u32| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        self.ids.iter().filter_map(resident).sum()
    }

    /// Asks for its own counters, on a thread of its own: whoever sends packets must not wait.
    pub fn counters(&self) -> JoinHandle<io::Result<Counters>> {
        let admin = self.admin;
        thread::spawn(move || admin.map_or(Ok(Counters::new()), read_counters))
    }
}

/// By name, all labels together; none of who has none.
pub type Counters = BTreeMap<String, f64>;

fn read_counters(admin: SocketAddr) -> io::Result<Counters> {
    let mut stream = TcpStream::connect(admin)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let mut counters = Counters::new();
    for line in text.lines().filter(|line| line.starts_with("clavija_")) {
        let Some((name, value)) = line.rsplit_once(' ') else { continue };
        let name = name.split('{').next().unwrap_or(name);
        let value: f64 = value.parse().unwrap_or(0.0);
        *counters.entry(name.to_owned()).or_insert(0.0) += value;
    }
    Ok(counters)
}

impl Used {
    pub fn since(&self, before: &Self) -> Self {
        let earlier = |name| before.threads.get(name).copied().unwrap_or_default();
        let threads = self
            .threads
            .iter()
            .map(|(name, &time)| (name.clone(), time.saturating_sub(earlier(name))));
        Self { all: self.all.saturating_sub(before.all), threads: threads.collect() }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).map(Pid::from_raw);
        // Asked first, so that what it started ends with it.
        _ = id.map(|id| kill(id, Signal::SIGTERM));
        let end = Instant::now() + Duration::from_secs(5);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        // It has ended already, unless it would not.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A connection to the running rtpengine.
pub fn ng() -> io::Result<Ng> {
    Ng::new(CALLER.into(), SocketAddr::new(BOX, NG_PORT))
}

/// Whether the system lets us run before everything usual.
pub fn may_be_real_time() -> bool {
    let mut chrt = Command::new("chrt");
    chrt.args(["--rr", "5", "true"]).stderr(Stdio::null());
    chrt.status().is_ok_and(|status| status.success())
}

/// The same command, pinned, and real-time where that is allowed: who waits for the core finds
/// several packets when it runs, and looks cheaper than it is.
fn on_its_core(command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", &TARGET_CORE.to_string()]);
    if may_be_real_time() {
        pinned.args(["chrt", "--rr", &PRIORITY.to_string()]);
    }
    pinned.arg(command.get_program()).args(command.get_args());
    pinned
}

/// `CLAVIJA_BIN`, or the one that was built beside this program.
fn clavija() -> PathBuf {
    env::var_os("CLAVIJA_BIN").map(PathBuf::from).unwrap_or_else(|| {
        let me = env::current_exe().unwrap_or_default();
        me.parent().unwrap_or_else(|| Path::new(".")).join("clavija")
    })
}

impl Ports {
    pub fn pairs(self) -> io::Result<u64> {
        if self == Self::Usual {
            return Ok(USUAL_PAIRS);
        }
        let limits = fs::read_to_string("/proc/self/limits")?;
        let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let hard = files.and_then(|line| line.split_whitespace().nth(1));
        let hard = hard.and_then(|hard| hard.parse::<u64>().ok()).unwrap_or(4_096);
        // Two sockets a pair, a file for every two pairs, and 256 for what else there is.
        Ok((hard.saturating_sub(256) * 2 / 5).min(PAIRS_MAX))
    }
}

fn write_clavija(folder: &Path, ports: Ports, record: bool, srtp: bool) -> io::Result<()> {
    let last = FIRST_PORT + 2 * ports.pairs()? - 1;
    let node = include_str!("node.toml").replace("PORTS", &format!("{FIRST_PORT}-{last}"));
    fs::write(folder.join("node.toml"), node)?;
    fs::write(folder.join("tune.wav"), voice::wav(&voice::speech(RATE, 10 * RATE)))?;
    let site = include_str!("site.toml").replace("record = false", &format!("record = {record}"));
    let site = if srtp { site.replace(PLAIN, "srtp = \"required\"") } else { site };
    fs::write(folder.join("site.toml"), site)
}

/// From `ready sip=127.0.0.1:5060 http=127.0.0.1:8080`.
fn admin_address(said: &str) -> Option<SocketAddr> {
    let ready = said.lines().find(|line| line.starts_with("ready "))?;
    ready.split_whitespace().find_map(|word| word.strip_prefix("http="))?.parse().ok()
}

fn answers_options() -> io::Result<()> {
    let socket = UdpSocket::bind((CALLER, 0))?;
    let here = socket.local_addr()?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    let asked = format!(
        "OPTIONS sip:{BOX}:{SIP_PORT} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKo;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@{here}>;tag=o\r\nTo: <sip:{BOX}>\r\nCall-ID: o-{here}\r\n\
         CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send_to(asked.as_bytes(), (BOX, SIP_PORT))?;
    socket.recv(&mut [0; 2_048]).map(drop)
}

/// A process, its children, and theirs.
fn family(id: u32) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // Who ends meanwhile is not one of ours.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        // The name may hold anything; behind it come the state and the parent.
        let parent =
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        parents.extend(parent.map(|parent: u32| (parent, id)));
    }
    let mut family = vec![id];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        family.extend(parents.iter().filter(|&&(of, _)| of == parent).map(|&(_, id)| id));
        next += 1;
    }
    Ok(family)
}

/// CPU time of each thread, by name.
fn threads(id: u32) -> Vec<(String, Duration)> {
    let Ok(entries) = fs::read_dir(format!("/proc/{id}/task")) else { return Vec::new() };
    let read = |path: PathBuf| {
        let name = fs::read_to_string(path.join("comm")).ok()?;
        let ran = fs::read_to_string(path.join("schedstat")).ok()?;
        let ran = ran.split(' ').next()?.parse().ok()?;
        Some((name.trim_end().to_owned(), Duration::from_nanos(ran)))
    };
    entries.flatten().filter_map(|entry| read(entry.path())).collect()
}

/// Where a target lives, gone when this is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let name = format!("clavija-load-{}", std::process::id());
        let folder = Self(env::temp_dir().join(name));
        fs::create_dir_all(&folder.0)?;
        Ok(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nobody misses it.
        _ = fs::remove_dir_all(&self.0);
    }
}
