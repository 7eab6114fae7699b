//! The unit, its companions and what the daemon tells systemd: judged by systemd's own tools, without booting it.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{appliance::binary, folder::TestFolder, wait};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs,
    io::Write,
    net::{TcpListener, UdpSocket},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// Tenths of exposure, of ten: conventions call the unit of a media plane good at 1.5.
const EXPOSURE_MAX: &str = "15";

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("systemd").join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(shipped(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Runs one of systemd's tools; it is the peer of these tests, and its absence fails them by name.
fn run(tool: &str, words: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(tool)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{tool}: {error}; apt install systemd"));
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The unit with the binary under test in place of the installed one.
fn unit(folder: &TestFolder) -> PathBuf {
    let unit = folder.join("clavija.service");
    let binary = binary().display().to_string();
    fs::write(&unit, read("clavija.service").replace("/usr/bin/clavija", &binary)).unwrap();
    unit
}

#[test]
fn systemd_understands_every_line_of_the_unit() {
    let folder = TestFolder::new("unit-verify");
    let unit = unit(&folder);

    let output = run("systemd-analyze", &["verify", "--man=no", unit.to_str().unwrap()], "");

    // An unknown key is printed and forgiven.
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

#[test]
fn the_unit_is_exposed_at_most_1_5_without_any_capability() {
    let folder = TestFolder::new("unit-security");
    let unit = unit(&folder);
    let threshold = format!("--threshold={EXPOSURE_MAX}");
    let words = ["security", "--offline=true", "--no-pager", &threshold, unit.to_str().unwrap()];

    let output = run("systemd-analyze", &words, "");

    assert!(output.status.success(), "{}", said(&output));
    let text = read("clavija.service");
    for line in ["CapabilityBoundingSet=", "AmbientCapabilities=", "NoNewPrivileges=yes"] {
        assert!(text.lines().any(|own| own == line), "the unit has no line {line}");
    }
}

#[test]
fn users_and_folders_are_understood_and_make_what_the_unit_needs() {
    let root = TestFolder::new("unit-users");
    let at = format!("--root={}", root.path().display());

    fs::create_dir(root.join("etc")).unwrap();
    let users = run("systemd-sysusers", &[&at, "-"], &read("sysusers.conf"));
    assert!(users.status.success(), "{}", said(&users));
    // Nothing lies below the prefix: every line is read and none carried out, so that it needs no root.
    let words = [&at, "--create", "--prefix=/nowhere", "-"];
    let folders = run("systemd-tmpfiles", &words, &read("tmpfiles.conf"));
    assert!(folders.status.success() && said(&folders).is_empty(), "{}", said(&folders));

    let made = fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(made.contains("clavija:") && made.contains("/usr/sbin/nologin"), "{made}");
    let unit = read("clavija.service");
    assert!(unit.contains("\nUser=clavija\n"));
    for writable in unit.lines().filter_map(|line| line.strip_prefix("ReadWritePaths=")) {
        let line = format!("d {writable} 0750 clavija clavija -");
        assert!(read("tmpfiles.conf").lines().any(|own| own == line), "nobody makes {writable}");
    }
}

#[test]
fn the_kernels_knobs_are_known_and_keep_the_media_ports_of_the_shipped_configuration() {
    let node: toml::Table = read("etc/node.toml").parse().unwrap();
    let ports = node["media"]["ports"].as_str().unwrap();
    let sysctl = read("sysctl.conf");
    let mut knobs = 0;
    for line in sysctl.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (key, value) = line.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
        knobs += 1;
        assert!(!value.is_empty(), "{line}");
        // A namespace shows only its own part of these.
        let known = ["net.core.", "net.ipv4.ip_local_reserved_ports"];
        assert!(known.iter().any(|known| key.starts_with(known)), "{key}");
        assert!(!key.ends_with("reserved_ports") || value.contains(ports), "{line}");
    }
    assert_eq!(knobs, 4);
}

#[test]
fn the_shipped_configuration_is_valid_and_opens_nothing_beyond_this_host() {
    let folder = TestFolder::new("unit-config");
    let here = folder.path().display().to_string();
    for name in ["node.toml", "site.toml"] {
        let text = read(&format!("etc/{name}")).replace("/etc/clavija", &here);
        fs::write(folder.join(name), text).unwrap();
    }

    let node = folder.join("node.toml");
    let output = run(binary().to_str().unwrap(), &["config", "check", node.to_str().unwrap()], "");

    assert!(output.status.success(), "{}", said(&output));
    let table: toml::Table = read("etc/node.toml").parse().unwrap();
    for (section, key) in [("sip", "udp"), ("media", "address"), ("http", "admin")] {
        let address = table[section][key].as_str().unwrap();
        assert!(address.starts_with("127.0.0.1"), "{section}.{key} is {address}");
    }
    let paths = [("node", "data_dir"), ("node", "site"), ("http", "admin_token_file")];
    for (section, key) in paths.into_iter().chain([("recording", "dir")]) {
        let path = table[section][key].as_str().unwrap();
        assert!(path.starts_with('/'), "{section}.{key} would lie below /etc: {path}");
    }
    let site: toml::Table = read("etc/site.toml").parse().unwrap();
    assert_eq!(site.keys().collect::<Vec<_>>(), ["schema"], "somebody may call by default");
}

/// The daemon with a socket where systemd's would be.
struct Notified {
    child: Child,
    socket: UnixDatagram,
    _folder: TestFolder,
}

impl Notified {
    /// `last`: the number of its media address, which is its own.
    fn start(name: &str, last: u8) -> Self {
        let folder = TestFolder::new(name);
        let here = folder.path().display().to_string();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let node = read("etc/node.toml")
            .replace("/etc/clavija", &here)
            .replace("/var/lib/clavija", &format!("{here}/data"))
            .replace("/var/spool/clavija", &here)
            .replace("127.0.0.1:5060", &udp.to_string())
            .replace("127.0.0.1:8080", &tcp.to_string())
            .replace("20000-29999", "20000-20031")
            .replace("address = \"127.0.0.1\"", &format!("address = \"127.81.0.{last}\""));
        fs::write(folder.join("node.toml"), node).unwrap();
        fs::write(folder.join("site.toml"), read("etc/site.toml")).unwrap();
        let socket = UnixDatagram::bind(folder.join("notify")).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let child = Command::new(binary())
            .args(["run", "--config", "node.toml"])
            .current_dir(folder.path())
            .env("NOTIFY_SOCKET", folder.join("notify"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.join("log.txt")).unwrap())
            .spawn()
            .unwrap();
        Self { child, socket, _folder: folder }
    }

    /// The next message with this line in it; those before are gone.
    fn await_line(&self, wanted: &str) -> String {
        wait::until(&format!("systemd to be told {wanted}"), || {
            self.next().filter(|message| message.lines().any(|line| line.starts_with(wanted)))
        })
    }

    fn next(&self) -> Option<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8_lossy(&message[..length]).into_owned())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Notified {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn systemd_is_told_of_readiness_of_every_living_second_and_of_the_way_down() {
    let mut daemon = Notified::start("notify-life", 1);

    let first = wait::until("the first word to systemd", || daemon.next());
    assert!(first.lines().any(|line| line == "READY=1"), "ready is the first word: {first}");
    assert!(first.contains("STATUS=calls=0 agents=0/0"), "{first}");
    daemon.await_line("WATCHDOG=1");
    daemon.await_line("WATCHDOG=1");
    daemon.signal(Signal::SIGTERM);
    let last = daemon.await_line("STOPPING=1");
    assert!(last.contains("EXTEND_TIMEOUT_USEC="), "{last}");
    let status = wait::until("the end", || daemon.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
}

#[test]
fn a_process_that_stands_still_feeds_no_watchdog() {
    let daemon = Notified::start("notify-still", 2);
    daemon.await_line("WATCHDOG=1");

    daemon.signal(Signal::SIGSTOP);
    // What was under way when the signal came.
    while daemon.next().is_some() {}
    let until = Instant::now() + Duration::from_secs(3);
    let fed = std::iter::from_fn(|| (Instant::now() < until).then(|| daemon.next())).flatten();
    assert_eq!(fed.count(), 0);

    daemon.signal(Signal::SIGCONT);
    daemon.await_line("WATCHDOG=1");
}
