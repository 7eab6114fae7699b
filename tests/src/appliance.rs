//! Runs the real `clavija` binary in a folder of its own and asks it what an operator would ask.

use crate::{folder::TestFolder, metrics::Metrics, tone, wait};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::{linux::net::SocketAddrExt, unix::net},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::Duration,
};

/// The rate the test's own music file has: not the telephone's, so that it must be resampled.
pub const MUSIC_RATE: u32 = 44_100;

/// A running appliance. Dropped, it is ended: this process and no other.
#[derive(Debug)]
pub struct Appliance {
    child: Child,
    folder: TestFolder,
    sip: SocketAddr,
    http: SocketAddr,
    client: reqwest::blocking::Client,
    /// Held as long as the fixed ports of the contract are in use.
    _ports: Option<ContractPorts>,
}

impl Appliance {
    /// On the contract's two files as they stand, with a WAV at `music/waltz.wav`.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn on_contract_files() -> Self {
        Self::on_contract_files_with_media_at(Ipv4Addr::LOCALHOST.into())
    }

    /// The same, but session descriptions name another address of this host: a phone that never speaks from a loopback address would
    /// be a stranger to a box that has no other.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn on_contract_files_with_media_at(media: IpAddr) -> Self {
        let media = format!("address = \"{media}\"");
        Self::on_edited_contract_files(|text| text.replace("address = \"127.0.0.1\"", &media))
    }

    /// The same again, and the agent with this extension has `srtp` as given.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn on_contract_files_with_srtp(media: IpAddr, extension: &str, srtp: &str) -> Self {
        let plain = format!("extension = \"{extension}\"\n");
        let safe = format!("{plain}srtp = \"{srtp}\"\n");
        Self::on_contract_files_with(media, |text| text.replace(&plain, &safe))
    }

    /// The same again with any change to the text of both.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn on_contract_files_with(media: IpAddr, edit: impl Fn(&str) -> String) -> Self {
        let media = format!("address = \"{media}\"");
        Self::on_edited_contract_files(|text| {
            edit(&text.replace("address = \"127.0.0.1\"", &media))
        })
    }

    /// The same with so many media threads.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn on_contract_files_with_threads(threads: u32) -> Self {
        // Tests run on machines that do other things.
        let media = format!("threads = {threads}\nlateness_ms_max = 1000\nload_percent_max = 100");
        Self::on_edited_contract_files(|text| text.replace("threads = 1", &media))
    }

    /// The contract's files, changed.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn on_edited_contract_files(edit: impl Fn(&str) -> String) -> Self {
        let ports = ContractPorts::take();
        let folder = TestFolder::new("contract");
        for name in ["node.toml", "site.toml"] {
            let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("contract").join(name);
            let text =
                fs::read_to_string(from).expect("the contract's files are in tests/contract");
            let text =
                edit(&text).replace("threads = 1\n", &format!("threads = {}\n", usual_threads()));
            fs::write(folder.join(name), text).expect("the test's folder can be written");
        }
        Self::start(folder, Some(ports))
    }

    /// The contract's files again, but everything but the administrator's HTTP is at this address.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn on_contract_files_at(address: IpAddr) -> Self {
        let moved = format!("\"{address}");
        Self::on_edited_contract_files(|text| {
            text.replace("address = \"127.0.0.1", &format!("address = {moved}"))
                .replace("udp = \"127.0.0.1", &format!("udp = {moved}"))
                .replace("tcp = \"127.0.0.1", &format!("tcp = {moved}"))
        })
    }

    /// On a site of the test's own, at free ports of 127.0.0.1; media takes `ports`.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn on_site(site: &str, ports: &str) -> Self {
        Self::on_site_with_threads(site, ports, usual_threads())
    }

    /// The same with so many media threads.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn on_site_with_threads(site: &str, ports: &str, threads: u32) -> Self {
        let folder = TestFolder::new("site");
        let udp = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        // Both are held until each has a port of its own.
        let tcp = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a TCP port is free"));
        let [sip, http] = tcp.map(|socket| socket.local_addr().expect("it is bound"));
        let node = format!(
            "schema = \"clavija/v1\"\n\
             [node]\nname = \"test\"\ndata_dir = \"data\"\nsite = \"site.toml\"\n\
             [sip]\nudp = \"{}\"\ntcp = \"{sip}\"\ndomain = \"clavija.test\"\n\
             [media]\naddress = \"127.0.0.1\"\nports = \"{ports}\"\nthreads = {threads}\n\
             lateness_ms_max = 1000\nload_percent_max = 100\n\
             [http]\nadmin = \"{http}\"\nadmin_token_file = \"data/admin.token\"\n\
             [recording]\ndir = \"data/recordings\"\n",
            udp.expect("a UDP port is free"),
        );
        fs::write(folder.join("node.toml"), node).expect("the test's folder can be written");
        fs::write(folder.join("site.toml"), site).expect("the test's folder can be written");
        Self::start(folder, None)
    }

    fn start(folder: TestFolder, ports: Option<ContractPorts>) -> Self {
        fs::create_dir(folder.join("music")).expect("the test's folder can be written");
        let music = folder.join("music/waltz.wav");
        tone::write_wav(&music, 2, MUSIC_RATE, &tone::waltz(MUSIC_RATE));
        let child = spawn(&folder);
        let mut appliance = Self {
            child,
            folder,
            sip: unset(),
            http: unset(),
            client: reqwest::blocking::Client::new(),
            _ports: ports,
        };
        appliance.await_ready();
        appliance
    }

    fn await_ready(&mut self) {
        let lines = read_lines(self.child.stdout.take().expect("stdout was piped"));
        let ready = wait_for_ready(&lines);
        let ready = ready.unwrap_or_else(|| panic!("clavija did not get ready\n{}", self.log()));
        (self.sip, self.http) = (named(&ready, "sip="), named(&ready, "http="));
    }

    /// Kills it as a crash would (SIGKILL) and starts it again on what it left.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn kill_and_start_again(&mut self) {
        self.kill_and_start_on(|_| {});
    }

    /// The same; `change` has its folder in between.
    ///
    /// # Panics
    /// If it does not get ready; says what it logged.
    pub fn kill_and_start_on(&mut self, change: impl FnOnce(&Path)) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
        change(self.folder.path());
        self.child = spawn(&self.folder);
        self.await_ready();
    }

    /// Kills it as a crash would (SIGKILL) and leaves it so.
    ///
    /// # Panics
    /// If it has gone already.
    pub fn kill(mut self) {
        self.child.kill().expect("our own child can be killed");
        self.child.wait().expect("our own child can be waited for");
    }

    /// Where it takes calls.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// Where the administrator is answered.
    pub fn http(&self) -> SocketAddr {
        self.http
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The customer's music as a telephone would carry it.
    pub fn music(&self) -> Vec<i16> {
        tone::to_telephone(&tone::waltz(MUSIC_RATE), MUSIC_RATE)
    }

    /// Memory it holds (`man 5 proc`, VmRSS).
    ///
    /// # Panics
    /// If it has gone.
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most it ever held (VmHWM).
    ///
    /// # Panics
    /// If it has gone.
    pub fn resident_bytes_peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, which: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("our own child runs");
        let line = status.lines().find_map(|line| line.strip_prefix(which));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.expect("a running process has a resident set") * 1_024
    }

    /// Descriptors it holds (`man 5 proc`, fd).
    ///
    /// # Panics
    /// If it has gone.
    pub fn open_files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        files.expect("our own child runs").count()
    }

    /// What it wrote to its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default()
    }

    /// `GET /api/v1/{path}` with the administrator's token.
    ///
    /// # Panics
    /// Unless the answer is 200 with JSON.
    pub fn get(&self, path: &str) -> Value {
        let bytes = self.get_bytes(path);
        serde_json::from_slice(&bytes).unwrap_or_else(|error| panic!("{path} is not JSON: {error}"))
    }

    /// `items` of a list.
    ///
    /// # Panics
    /// Unless the answer is 200 with a list.
    pub fn items(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path);
        answer["items"].as_array().unwrap_or_else(|| panic!("no items in {path}: {answer}")).clone()
    }

    /// The raw body of a `GET /api/v1/{path}`.
    ///
    /// # Panics
    /// Unless the answer is 200.
    pub fn get_bytes(&self, path: &str) -> Vec<u8> {
        let url = format!("http://{}/api/v1/{path}", self.http);
        let answer = self.client.get(&url).bearer_auth(self.token()).send();
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}\n{}", self.log()));
        assert_eq!(answer.status().as_u16(), 200, "{url}");
        answer.bytes().expect("the body can be read").to_vec()
    }

    /// The same for one range of bytes; gives the status too.
    ///
    /// # Panics
    /// If there is no answer at all.
    pub fn get_range(&self, path: &str, range: &str) -> (u16, Vec<u8>) {
        let url = format!("http://{}/api/v1/{path}", self.http);
        let request = self.client.get(&url).bearer_auth(self.token()).header("Range", range);
        let answer = request.send().unwrap_or_else(|error| panic!("{url}: {error}"));
        let status = answer.status().as_u16();
        (status, answer.bytes().expect("the body can be read").to_vec())
    }

    /// Of the answer to a `GET /api/v1/{path}`, its media type.
    ///
    /// # Panics
    /// If there is no answer that says it.
    pub fn content_type(&self, path: &str) -> String {
        let url = format!("http://{}/api/v1/{path}", self.http);
        let answer = self.client.get(&url).bearer_auth(self.token()).send();
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        let said = answer.headers().get("Content-Type").and_then(|said| said.to_str().ok());
        said.unwrap_or_else(|| panic!("{url} has no media type")).to_owned()
    }

    /// `POST /api/v1/{path}`; gives the status.
    ///
    /// # Panics
    /// If there is no answer at all.
    pub fn post(&self, path: &str, body: &Value) -> u16 {
        let url = format!("http://{}/api/v1/{path}", self.http);
        let request = self.client.post(&url).bearer_auth(self.token()).json(body);
        let answer =
            request.send().unwrap_or_else(|error| panic!("{url}: {error}\n{}", self.log()));
        answer.status().as_u16()
    }

    /// `GET /{path}` without a token; gives the status.
    ///
    /// # Panics
    /// If there is no answer at all.
    pub fn status_of(&self, path: &str) -> u16 {
        let url = format!("http://{}/{path}", self.http);
        self.client
            .get(&url)
            .send()
            .unwrap_or_else(|error| panic!("{url}: {error}"))
            .status()
            .as_u16()
    }

    /// All metrics of this moment.
    ///
    /// # Panics
    /// Unless the answer is 200.
    pub fn metrics(&self) -> Metrics {
        let url = format!("http://{}/metrics", self.http);
        let answer = self.client.get(&url).send().unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(answer.status().as_u16(), 200, "{url}");
        Metrics::parse(&answer.text().expect("metrics are text"))
    }

    /// One agent, as the API shows it.
    ///
    /// # Panics
    /// If there is no agent of that name.
    pub fn agent(&self, name: &str) -> Value {
        let found = self.items("agents").into_iter().find(|agent| agent["name"] == name);
        found.unwrap_or_else(|| panic!("there is no agent {name}"))
    }

    /// Waits until this agent is in this state.
    ///
    /// # Panics
    /// If it does not get there.
    pub fn await_agent(&self, name: &str, state: &str) {
        wait::until(&format!("agent {name} to be {state}"), || {
            (self.agent(name)["state"] == state).then_some(())
        });
    }

    /// Waits until exactly one call is going on, in this state, and gives it.
    ///
    /// # Panics
    /// If it does not get there.
    pub fn await_call(&self, state: &str) -> Value {
        wait::until(&format!("one call to be {state}"), || {
            let mut calls = self.items("calls?state=active");
            (calls.len() == 1 && calls[0]["state"] == state).then(|| calls.remove(0))
        })
    }

    /// Waits until so many calls have ended and nothing is going on, and gives their records, oldest first.
    ///
    /// # Panics
    /// If it does not get there, or the list of calls and the records differ.
    pub fn await_ended(&self, count: usize) -> Vec<Value> {
        wait::until(&format!("{count} ended calls with a record each"), || {
            let ended = self.items("calls?state=ended").len();
            let active = self.items("calls?state=active").len();
            let records = self.items("cdrs");
            (ended >= count && active == 0 && records.len() >= count).then_some(records)
        })
    }

    /// SIGTERM: it drains.
    ///
    /// # Panics
    /// If it has gone already.
    pub fn terminate(&self) {
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("our own child can be signalled");
    }

    /// Drains it and holds it to a clean end.
    ///
    /// # Panics
    /// If it does not exit with 0, or has logged an error.
    pub fn stop(mut self) {
        self.terminate();
        self.await_exit();
    }

    /// Waits for the end that was asked for.
    ///
    /// # Panics
    /// As [`Self::stop`].
    pub fn await_exit(&mut self) {
        let status: ExitStatus = wait::until("clavija to exit after SIGTERM", || {
            self.child.try_wait().expect("our own child can be waited for")
        });
        assert_eq!(status.code(), Some(0), "exit after a drain\n{}", self.log());
        let log = self.log();
        let wrong = log.lines().find(|line| line.contains("ERROR") || line.contains("panicked at"));
        assert_eq!(wrong, None, "an error was logged\n{log}");
    }

    /// The administrator's.
    ///
    /// # Panics
    /// If it was not made.
    pub fn token(&self) -> String {
        let file = self.folder.join("data/admin.token");
        let token = fs::read_to_string(&file).expect("the administrator's token was made at start");
        token.trim().to_owned()
    }
}

/// The binary on the folder's `node.toml`; its log is added to what is there.
/// Media threads of an appliance whose test does not say how many: `CLAVIJA_TEST_MEDIA_THREADS`, or one.
fn usual_threads() -> u32 {
    let told = std::env::var("CLAVIJA_TEST_MEDIA_THREADS");
    told.map_or(1, |text| text.parse().expect("CLAVIJA_TEST_MEDIA_THREADS is a number"))
}

fn spawn(folder: &TestFolder) -> Child {
    let log = File::options().create(true).append(true).open(folder.join("log.txt"));
    Command::new(binary())
        .args(["run", "--config", "node.toml"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log.expect("the test's folder can be written"))
        .spawn()
        .expect("the binary can be started")
}

impl Drop for Appliance {
    fn drop(&mut self) {
        if thread::panicking() {
            let end = self
                .log()
                .lines()
                .rev()
                .take(40)
                .map(|line| format!("  {line}\n"))
                .collect::<Vec<_>>();
            let end: String = end.into_iter().rev().collect();
            // Where a failing test looks first.
            #[expect(clippy::print_stderr, reason = "the log belongs to the report of the failure")]
            {
                eprintln!(
                    "the end of clavija's log (all in {}):\n{end}",
                    self.folder.path().display()
                );
            }
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The ports in the contract's files exist once on a machine: one test at a time, whatever process it is in.
#[derive(Debug)]
struct ContractPorts {
    _name: net::UnixListener,
}

impl ContractPorts {
    /// An abstract socket (`man 7 unix`): the kernel frees the name when its owner is gone.
    fn take() -> Self {
        let address = net::SocketAddr::from_abstract_name("clavija-contract-ports");
        let address = address.expect("the name is short");
        let patience = Duration::from_secs(1_200);
        let name = wait::within(patience, || net::UnixListener::bind_addr(&address).ok());
        Self { _name: name.expect("another test holds the contract's ports for ever") }
    }
}

/// `CLAVIJA_BIN`, or what `make test` has built.
///
/// # Panics
/// If there is none, saying how to build it.
pub fn binary() -> PathBuf {
    if let Some(named) = std::env::var_os("CLAVIJA_BIN") {
        return named.into();
    }
    let me = std::env::current_exe().expect("a test knows its own path");
    let built = me.ancestors().nth(3).map(|target| target.join("fast/clavija"));
    let built = built.expect("a test lies in target/PROFILE/deps");
    assert!(
        built.exists(),
        "{} is missing: cargo build --profile fast -p clavija, or name one in CLAVIJA_BIN",
        built.display()
    );
    built
}

/// Reads on for ever, so that the appliance never waits for us.
fn read_lines(stdout: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            // The test reads the first line only.
            drop(sender.send(line));
        }
    });
    receiver
}

/// `ready sip=127.0.0.1:5060 http=127.0.0.1:8080`, or nothing when it ends or hangs before.
fn wait_for_ready(lines: &Receiver<String>) -> Option<String> {
    while let Ok(line) = lines.recv_timeout(wait::PATIENCE) {
        if line.starts_with("ready ") {
            return Some(line);
        }
    }
    None
}

fn named(ready: &str, name: &str) -> SocketAddr {
    let word = ready.split_whitespace().find_map(|word| word.strip_prefix(name));
    let address = word.and_then(|word| word.parse().ok());
    address.unwrap_or_else(|| panic!("no {name} in the line {ready:?}"))
}

fn unset() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

/// Milliseconds since 1970 of an RFC 3339 time in UTC, such as `2026-11-20T11:07:00.388505Z`.
///
/// # Panics
/// If it is not such a time.
pub fn epoch_ms(time: &Value) -> f64 {
    let text = time.as_str().unwrap_or_else(|| panic!("{time} is not a time"));
    parse_time(text)
        .unwrap_or_else(|| panic!("{text:?} is not a time like 2026-11-20T11:07:00.388Z"))
}

fn parse_time(text: &str) -> Option<f64> {
    let (date, clock) =
        text.strip_suffix('Z').or_else(|| text.strip_suffix("+00:00"))?.split_once('T')?;
    let mut date = date.split('-').map(|part| part.parse::<u32>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let mut clock = clock.split(':');
    let (hour, minute) = (clock.next()?.parse::<u32>().ok()?, clock.next()?.parse::<u32>().ok()?);
    let seconds: f64 = clock.next()?.parse().ok()?;
    let minutes = (days_since_1970(year, month, day)? * 24 + hour) * 60 + minute;
    Some((f64::from(minutes) * 60.0 + seconds) * 1_000.0)
}

fn days_since_1970(year: u32, month: u32, day: u32) -> Option<u32> {
    let leap = |year: u32| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let february = if leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let before = months.get(..usize::try_from(month.checked_sub(1)?).ok()?)?;
    let years: u32 = (1970..year).map(|year| if leap(year) { 366 } else { 365 }).sum();
    Some(years + before.iter().sum::<u32>() + day.checked_sub(1)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_to_the_microsecond_across_leap_years() {
        assert_eq!(parse_time("1970-01-01T00:00:00Z"), Some(0.0));
        assert_eq!(parse_time("2024-03-01T00:00:01.5Z"), Some(1_709_251_201_500.0));
        assert_eq!(parse_time("2026-11-20T11:07:00+00:00"), Some(1_795_172_820_000.0));
        assert_eq!(parse_time("yesterday"), None);
    }
}
