//! Starts SIPp with one of the scenarios of `tests/sipp`, steers it, and hears how it ended.

use crate::{
    folder::TestFolder,
    tone::Law,
    trace::{self, Message, Way},
    wait,
};
use std::{
    fs::{self, File},
    net::{IpAddr, SocketAddr, UdpSocket},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

/// SIPp gives up by itself after this; long before, a test has failed by name.
const TIMEOUT_SECONDS: u32 = 240;

/// What to run. Fill in what differs from [`Script::new`].
#[derive(Clone, Debug)]
pub struct Script {
    /// File under `tests/sipp`, without `.xml`.
    pub scenario: &'static str,
    pub local: SocketAddr,
    /// `None`: it waits for calls.
    pub remote: Option<SocketAddr>,
    /// It ends after so many calls.
    pub calls: u32,
    pub keys: Vec<(&'static str, String)>,
    /// Files it finds beside it, from `tests/sipp`.
    pub files: Vec<&'static str>,
    /// Further arguments, as they are.
    pub more: Vec<String>,
}

impl Script {
    pub fn new(scenario: &'static str, local: SocketAddr) -> Self {
        Self { scenario, local, remote: None, calls: 1, keys: vec![], files: vec![], more: vec![] }
    }

    pub fn to(mut self, remote: SocketAddr) -> Self {
        self.remote = Some(remote);
        self
    }

    pub fn calls(mut self, calls: u32) -> Self {
        self.calls = calls;
        self
    }

    pub fn key(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.keys.push((name, value.into()));
        self
    }

    pub fn file(mut self, name: &'static str) -> Self {
        self.files.push(name);
        self
    }

    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.more.push(argument.into());
        self
    }

    /// The audio line: the test's own port and the laws it offers or accepts, best first.
    pub fn audio(self, port: u16, laws: &[Law]) -> Self {
        let types = laws.iter().map(|law| format!("{} ", law.payload_type()));
        let maps = laws
            .iter()
            .map(|law| format!("\r\na=rtpmap:{} {}/8000", law.payload_type(), law.name()));
        let event = "\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15";
        let codecs: String =
            types.chain(["101".to_owned()]).chain(maps).chain([event.to_owned()]).collect();
        self.key("ap", port.to_string()).key("codecs", codecs)
    }
}

/// A running SIPp. Dropped, it is ended: this process and no other.
#[derive(Debug)]
pub struct Sipp {
    child: Child,
    folder: TestFolder,
    script: Script,
}

impl Sipp {
    /// Starts it and waits until it listens.
    ///
    /// # Panics
    /// If SIPp is missing, or ends before it listens.
    pub fn start(script: Script) -> Self {
        require_sipp();
        let folder = TestFolder::new(script.scenario);
        for name in &script.files {
            let from = scripts().join(name);
            fs::copy(from, folder.join(name)).expect("the file is in tests/sipp");
        }
        let out =
            File::create(folder.join("screen.txt")).expect("the test's folder can be written");
        let child = command(&script)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a file can be opened twice"))
            .stderr(out)
            .spawn()
            .expect("sipp can be started");
        let mut sipp = Self { child, folder, script };
        let what = format!("{} to listen on {}", sipp.script.scenario, sipp.script.local);
        wait::until(&what, || {
            (sipp.has_ended().is_some() || is_bound(sipp.script.local)).then_some(())
        });
        let failed = sipp.has_ended().is_some_and(|status| !status.success());
        assert!(!failed, "{} cannot run\n{}", sipp.script.scenario, sipp.story());
        sipp
    }

    /// All messages so far.
    pub fn trace(&self) -> Vec<Message> {
        let bytes = fs::read(self.folder.join("messages.log")).unwrap_or_default();
        trace::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Waits for a message like this.
    ///
    /// # Panics
    /// If SIPp ends without it, or nothing comes for a long time; the ladder says what happened instead.
    pub fn wait_for(&mut self, what: &str, like: impl Fn(&Message) -> bool) -> Message {
        self.look_for(what, |trace| trace.iter().find(|message| like(message)).cloned())
    }

    /// Waits until the trace has what `look` finds.
    ///
    /// # Panics
    /// As [`Self::wait_for`].
    pub fn look_for<T>(&mut self, what: &str, look: impl Fn(&[Message]) -> Option<T>) -> T {
        self.look_within(wait::PATIENCE, what, look)
    }

    /// As [`Self::look_for`], for what takes longer by itself.
    ///
    /// # Panics
    /// If the scenario ends without it, or after that patience.
    pub fn look_within<T>(
        &mut self,
        patience: Duration,
        what: &str,
        look: impl Fn(&[Message]) -> Option<T>,
    ) -> T {
        let found = wait::within(patience, || {
            let ended = self.has_ended().is_some();
            let found = look(&self.trace());
            (found.is_some() || ended).then_some(found)
        });
        found
            .flatten()
            .unwrap_or_else(|| panic!("{}: no {what}\n{}", self.script.scenario, self.story()))
    }

    /// Says one of the scenario's own words to it (`ANSWER`, `DECLINE`, `HANGUP`).
    ///
    /// A request of that name that repeats the headers of the INVITE received, or of the 200 to the INVITE sent: SIPp finds the call by
    /// its Call-ID, and what it copies from the last message received is right.
    ///
    /// # Panics
    /// If there is no call yet.
    pub fn tell(&self, word: &str) {
        let trace = self.trace();
        let start = trace
            .iter()
            .rev()
            .find(|m| {
                m.is_request(Way::Received, "INVITE") || m.is_response(Way::Received, "INVITE", 200)
            })
            .or_else(|| trace.iter().rev().find(|m| m.way == Way::Received))
            .unwrap_or_else(|| panic!("{} has no call to {word}", self.script.scenario));
        let head = start.text.split("\r\n\r\n").next().unwrap_or_default();
        let kept =
            head.lines().skip(1).filter(|line| !line.to_ascii_lowercase().starts_with("content-"));
        let headers: String = kept.map(|line| format!("{line}\r\n")).collect();
        let request = format!("{word} sip:test SIP/2.0\r\n{headers}Content-Length: 0\r\n\r\n");
        let socket = UdpSocket::bind((self.script.local.ip(), 0)).expect("a port is free");
        socket.send_to(request.as_bytes(), self.script.local).expect("sipp listens");
    }

    /// What came that its scenario does not foresee, in SIPp's own words.
    pub fn surprises(&self) -> String {
        let errors = fs::read_to_string(self.folder.join("errors.log")).unwrap_or_default();
        if errors.contains("unexpected") { errors } else { String::new() }
    }

    /// Waits for its end and gives the trace.
    ///
    /// # Panics
    /// If a call failed; says what SIPp says.
    pub fn finish(mut self) -> Vec<Message> {
        let status = self.await_end();
        assert!(status.success(), "{} failed: {status}\n{}", self.script.scenario, self.story());
        self.trace()
    }

    /// Waits for its end and gives the trace, also where calls failed.
    ///
    /// # Panics
    /// If it does not end.
    pub fn finish_whatever_failed(mut self) -> Vec<Message> {
        self.await_end();
        self.trace()
    }

    fn await_end(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.script.scenario);
        let patience = Duration::from_secs(TIMEOUT_SECONDS.into());
        wait::within(patience, || self.has_ended())
            .unwrap_or_else(|| panic!("waited in vain for {what}\n{}", self.story()))
    }

    fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("our own child can be waited for")
    }

    /// What to print when something went wrong.
    pub fn story(&self) -> String {
        let errors = fs::read_to_string(self.folder.join("errors.log")).unwrap_or_default();
        let screen = fs::read_to_string(self.folder.join("screen.txt")).unwrap_or_default();
        let screen =
            if errors.is_empty() && self.trace().is_empty() { screen } else { String::new() };
        format!(
            "{}{errors}{screen}(all in {})",
            trace::ladder(&self.trace()),
            self.folder.path().display()
        )
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        // It may have ended by itself; either way there is nothing left to report to.
        drop(self.child.kill());
        drop(self.child.wait());
        if thread::panicking() {
            let told = self.folder.join("story.txt");
            drop(fs::write(told, self.story()));
        }
    }
}

/// Fails by name when the peer is not installed: no test is ever skipped for that.
///
/// # Panics
/// If `sipp` cannot be started.
pub fn require_sipp() {
    let found = Command::new("sipp").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok(), "sipp is missing: apt-get install sip-tester");
}

fn command(script: &Script) -> Command {
    let mut command = Command::new("sipp");
    command.arg("-sf").arg(scenario_file(script.scenario));
    if let Some(remote) = script.remote {
        command.arg(remote.to_string());
    }
    let ip = script.local.ip().to_string();
    command.args(["-i", &ip, "-mi", &ip, "-p", &script.local.port().to_string()]);
    command.args(["-m", &script.calls.to_string(), "-timeout", &TIMEOUT_SECONDS.to_string()]);
    command.args(["-timeout_error", "-nostdin", "-aa", "-trace_err", "-error_file", "errors.log"]);
    command.args(["-trace_msg", "-message_file", "messages.log"]);
    for (name, value) in &script.keys {
        command.args(["-key", name, value]);
    }
    command.args(&script.more);
    command
}

fn scenario_file(name: &str) -> PathBuf {
    scripts().join(format!("{name}.xml"))
}

fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("sipp")
}

/// Whether a UDP or TCP socket of any process in this thread's network is bound there, as the kernel's table says (`man 5 proc`).
fn is_bound(address: SocketAddr) -> bool {
    // Words of the kernel's own byte order.
    let word = |octets: [u8; 4]| format!("{:08X}", u32::from_le_bytes(octets));
    let (ip, tables) = match address.ip() {
        IpAddr::V4(v4) => (word(v4.octets()), ["udp", "tcp"]),
        IpAddr::V6(v6) => {
            let words = v6
                .octets()
                .chunks_exact(4)
                .map(|four| [four[0], four[1], four[2], four[3]])
                .map(word)
                .collect();
            (words, ["udp6", "tcp6"])
        }
    };
    let wanted = format!(": {ip}:{:04X} ", address.port());
    tables.into_iter().any(|table| {
        let table = fs::read_to_string(format!("/proc/thread-self/net/{table}"));
        table.is_ok_and(|table| table.contains(&wanted))
    })
}
