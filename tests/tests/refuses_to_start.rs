//! What an operator got wrong is said in words that help to mend it, by an exit code scripts can tell apart, and nothing is half started.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{appliance, folder::TestFolder, tone, wait};
use nix::fcntl::{Flock, FlockArg};
use std::{
    fs::{self, File},
    net::{TcpListener, UdpSocket},
    process::{Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

/// Contract §1: what `config check` can see.
const INVALID: i32 = 6;
/// What only the start can see.
const FAILED: i32 = 1;

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let site = Site::new().edit("site.toml", "ring_seconds = 20", "ring_second = 20");

    for verb in [["config", "check"], ["run", "--config"]] {
        let said = site.refuses(&verb, INVALID);

        assert!(said.contains("ring_second") && said.contains("ring_seconds"), "{said}");
        assert!(said.contains("site.toml:"), "the file and the line: {said}");
    }
}

#[test]
fn a_music_file_that_is_not_there_is_named() {
    let site = Site::new();
    fs::remove_file(site.folder.join("music/waltz.wav")).unwrap();

    let said = site.refuses(&["config", "check"], INVALID);

    assert!(said.contains("waltz.wav"), "{said}");
}

#[test]
fn a_music_file_that_is_no_wav_is_named() {
    let site = Site::new();
    fs::write(site.folder.join("music/waltz.wav"), "RIFF but not really").unwrap();

    let said = site.refuses(&["config", "check"], INVALID);

    assert!(said.contains("waltz.wav"), "{said}");
}

#[test]
fn a_port_range_without_room_for_a_call_is_refused() {
    let site = Site::with_the_contracts_own_ports().edit("node.toml", "20000-29999", "20000-20001");

    let said = site.refuses(&["config", "check"], INVALID);

    assert!(said.contains("20000-20001"), "{said}");
}

#[test]
fn a_name_that_leads_nowhere_is_refused() {
    let site = Site::new().edit("site.toml", "agents = [\"desk\"]", "agents = [\"desc\"]");

    let said = site.refuses(&["config", "check"], INVALID);

    assert!(said.contains("desc") && said.contains("desk"), "the name and a known one: {said}");
}

#[test]
fn a_sip_port_in_use_is_named_at_the_start() {
    let site = Site::new();
    let _taken = UdpSocket::bind(&site.udp).unwrap();

    let said = site.refuses(&["run", "--config"], FAILED);

    assert!(said.contains(&site.udp), "{said}");
}

#[test]
fn an_admin_port_in_use_is_named_at_the_start() {
    let site = Site::new();
    let _taken = TcpListener::bind(&site.tcp).unwrap();

    let said = site.refuses(&["run", "--config"], FAILED);

    assert!(said.contains(&site.tcp), "{said}");
}

#[test]
fn a_data_folder_that_cannot_be_written_is_named_at_the_start() {
    // A file stands in the way: that stops the superuser too.
    let site =
        Site::new().edit("node.toml", "data_dir = \"data\"", "data_dir = \"music/waltz.wav/data\"");

    let said = site.refuses(&["run", "--config"], FAILED);

    assert!(said.contains("waltz.wav/data"), "{said}");
}

#[test]
fn a_data_folder_of_another_appliance_is_left_to_it() {
    let site = Site::new();
    fs::create_dir(site.folder.join("data")).unwrap();
    let lock = File::create(site.folder.join("data/lock")).unwrap();
    let _theirs = Flock::lock(lock, FlockArg::LockExclusiveNonblock).unwrap();

    let said = site.refuses(&["run", "--config"], FAILED);

    assert!(said.contains("data") && said.contains("another appliance"), "{said}");
}

#[test]
fn what_the_host_lacks_ends_the_start_so_that_it_is_tried_again_and_a_fault_of_the_file_does_not() {
    let unit =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../systemd/clavija.service"));
    let unit = unit.unwrap();
    assert!(unit.contains("\nRestart=on-failure\n"), "{unit}");
    let never = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    let never: Vec<i32> = never.unwrap().split(' ').map(|status| status.parse().unwrap()).collect();
    assert!(never.contains(&INVALID) && !never.contains(&FAILED), "{never:?}");

    let anywhere = Site::new();
    let port = anywhere.udp.rsplit_once(':').unwrap().1.to_owned();
    let (own, all) = (format!("udp = \"{}\"", anywhere.udp), format!("udp = \"0.0.0.0:{port}\""));
    let anywhere = anywhere.edit("node.toml", &own, &all);
    let several = ["192.0.2.1", "192.0.2.2"];

    // A boot at which the network is late, or brings more than it did.
    for (addresses, says) in [(&[][..], "no address but"), (&several[..], "192.0.2.1 or 192.0.2.2")]
    {
        let (code, said) = anywhere.run_where(addresses, &["run", "--config"]);
        assert_eq!(code, Some(FAILED), "{addresses:?}: {said}");
        assert!(said.contains(says) && said.contains("sip.advertise"), "{said}");
        assert!(!anywhere.folder.join("data/generations").exists(), "nothing was decided");
    }
    let (code, said) = anywhere.run_where(&several, &["config", "check"]);
    assert_eq!(code, Some(INVALID), "it can be mended by whoever looks: {said}");
    let (code, said) = anywhere.run_where(&[], &["config", "check"]);
    assert_eq!(code, Some(0), "a file is no worse for the host it is checked on: {said}");
    assert!(said.contains("warning: ") && said.contains("no address but"), "{said}");

    // An interface that is not there.
    let missing = Site::new();
    let own = format!("udp = \"{}\"", missing.udp);
    let missing = missing.edit("node.toml", &own, "udp = \"192.0.2.77:5060\"");
    assert!(missing.refuses(&["run", "--config"], FAILED).contains("192.0.2.77:5060"));

    let wrong = Site::new().edit("node.toml", "threads = 1", "threads = \"one\"");
    assert!(wrong.refuses(&["run", "--config"], INVALID).contains("threads"));
}

#[test]
fn the_contracts_files_are_valid_as_they_stand_and_a_listener_to_come_is_warned_about() {
    let site = Site::with_the_contracts_own_ports();

    let (code, said) = site.run(&["config", "check"]);

    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("http.public") && !said.contains("sip.tcp"), "{said}");
}

fn contract_folder() -> TestFolder {
    let folder = TestFolder::new("bad");
    for name in ["node.toml", "site.toml"] {
        let from = format!("{}/contract/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::copy(from, folder.join(name)).unwrap();
    }
    fs::create_dir(folder.join("music")).unwrap();
    tone::write_wav(&folder.join("music/waltz.wav"), 1, 8_000, &tone::sine(425.0, 0, 8_000));
    folder
}

/// The contract's files in a folder of their own, then one thing wrong.
struct Site {
    folder: TestFolder,
    udp: String,
    tcp: String,
}

/// Each site has a hundred media ports to itself.
static MEDIA: AtomicU16 = AtomicU16::new(13_000);

impl Site {
    /// With ports that nobody else has, so that only what the test breaks is broken.
    fn new() -> Self {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        // Both are held until each has a port of its own.
        let tcp = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let [sip, tcp] = tcp.map(|socket| socket.local_addr().unwrap().to_string());
        let first = MEDIA.fetch_add(100, Ordering::Relaxed);
        let media = format!("{first}-{}", first + 99);
        Self { folder: contract_folder(), udp: udp.clone(), tcp: tcp.clone() }
            .edit("node.toml", "udp = \"127.0.0.1:5060\"", &format!("udp = \"{udp}\""))
            .edit("node.toml", "tcp = \"127.0.0.1:5060\"", &format!("tcp = \"{sip}\""))
            .edit("node.toml", "admin = \"127.0.0.1:8080\"", &format!("admin = \"{tcp}\""))
            .edit("node.toml", "20000-29999", &media)
    }

    fn with_the_contracts_own_ports() -> Self {
        let (udp, tcp) = ("127.0.0.1:5060".to_owned(), "127.0.0.1:8080".to_owned());
        Self { folder: contract_folder(), udp, tcp }
    }

    fn edit(self, file: &str, from: &str, to: &str) -> Self {
        let path = self.folder.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        self
    }

    /// Runs the verb on `node.toml`; it must end by itself with this code. Gives what was said on stderr.
    fn refuses(&self, verb: &[&str], code: i32) -> String {
        let (ended, said) = self.run(verb);
        assert_eq!(ended, Some(code), "{verb:?} said: {said}");
        assert!(!said.lines().any(|line| line.starts_with("ready ")), "{said}");
        assert!(!said.contains("panicked"), "{said}");
        let faults =
            said.lines().filter(|line| !line.contains("WARN") && !line.contains("warning:"));
        assert_eq!(faults.count(), 1, "one thing is wrong, one line says so: {said}");
        said
    }

    fn run(&self, verb: &[&str]) -> (Option<i32>, String) {
        self.run_command(Command::new(appliance::binary()).args(verb))
    }

    /// The same on a host that has these addresses and loopback.
    fn run_where(&self, addresses: &[&str], verb: &[&str]) -> (Option<i32>, String) {
        let add = |address: &&str| format!("ip address add {address}/32 dev lo && ");
        let host: String = addresses.iter().map(add).collect();
        let script = format!("ip link set lo up && {host} exec \"$0\" \"$@\"");
        let mut command = Command::new("unshare");
        command.args(["-n", "sh", "-c", &script]).arg(appliance::binary()).args(verb);
        self.run_command(&mut command)
    }

    fn run_command(&self, command: &mut Command) -> (Option<i32>, String) {
        let said = File::create(self.folder.join("said.txt")).unwrap();
        let mut child = command
            .arg("node.toml")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap();
        let status = wait::within(wait::PATIENCE, || child.try_wait().unwrap());
        // Whatever it is doing instead of ending.
        drop(child.kill());
        drop(child.wait());
        let said = fs::read_to_string(self.folder.join("said.txt")).unwrap();
        (status.and_then(|status| status.code()), said)
    }
}
