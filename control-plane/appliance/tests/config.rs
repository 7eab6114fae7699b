//! Another configuration under the real appliance: swapped in, refused, confirmed, gone back from,
//! across kill -9 too; and nobody ever sees a secret.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

const MARKER: &str = "hush-91c2-marker";
/// The machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

static PICKING: Mutex<()> = Mutex::new(());

/// A folder with two files, and the appliance on them.
struct Site {
    folder: PathBuf,
    ports: u16,
    running: Option<Child>,
}

impl Site {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("clavija-live-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let site = Self { folder, ports: free_ports(), running: None };
        let ports = site.ports;
        site.write(
            "node.toml",
            &format!(
                "schema = \"clavija/v1\"\n[node]\nname = \"edge\"\ndata_dir = \"data\"\nsite = \"site.toml\"\n\
                 [sip]\nudp = \"127.0.0.1:{ports}\"\ntcp = \"127.0.0.1:{}\"\ndomain = \"clavija.test\"\n\
                 [media]\nports = \"{}-{}\"\n[http]\nadmin = \"127.0.0.1:{ports}\"\n",
                ports + 1,
                ports + 2,
                ports + 9
            ),
        );
        site.write("site.toml", &calls_flow(20, "ana"));
        site
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.folder.join(file), text).unwrap();
    }

    fn clavija(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clavija"));
        command.args(words).current_dir(&self.folder).env_remove("CLAVIJA_TOKEN");
        command
    }

    fn start(&mut self) {
        let mut command = self.clavija(&["run", "--config", "node.toml"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if !line.starts_with("ready ") {
            let mut said = String::new();
            child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            panic!("it did not start: {said}");
        }
        // Its log goes on being read, so that it never waits for us.
        let log = child.stderr.take().unwrap();
        let file = self.folder.join("log");
        thread::spawn(move || {
            let mut to = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
            std::io::copy(&mut { log }, &mut to).unwrap();
        });
        self.running = Some(child);
    }

    fn kill(&mut self) {
        let mut child = self.running.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn does(&self, words: &[&str]) -> (i32, String) {
        let Output { status, stdout, stderr } = self.clavija(words).output().unwrap();
        let said = [stdout, stderr].concat();
        (status.code().unwrap(), String::from_utf8(said).unwrap())
    }

    fn ok(&self, words: &[&str]) -> String {
        let (code, said) = self.does(words);
        assert_eq!(code, 0, "{words:?}: {said}");
        said
    }

    fn agents(&self) -> String {
        self.ok(&["agent", "list"])
    }

    fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(start.elapsed() < PATIENCE, "{what}; {}", self.log());
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn current(&self) -> PathBuf {
        fs::read_link(self.folder.join("data/generations/current")).unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// A team of one agent, whose phone has this password.
fn calls_flow(ring: u32, agent: &str) -> String {
    format!(
        "schema = \"clavija/v1\"\n[[trunk]]\nname = \"carrier\"\npeers = [\"127.0.0.9\"]\ncalls_max = 5\n\
         [[agent]]\nname = \"{agent}\"\nextension = \"1001\"\npassword = \"{MARKER}\"\n\
         [[team]]\nname = \"front\"\nagents = [\"{agent}\"]\nring_seconds = {ring}\n\
         [[number]]\nnumber = \"100\"\nteam = \"front\"\n"
    )
}

/// The first of ten that are free for both protocols.
fn free_ports() -> u16 {
    let _picking = PICKING.lock().unwrap();
    let mut first = 21_000 + u16::try_from(std::process::id() % 1_000).unwrap() * 10;
    loop {
        let free = |port| {
            UdpSocket::bind(("127.0.0.1", port)).is_ok()
                && TcpListener::bind(("127.0.0.1", port)).is_ok()
        };
        static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
        first += 10 * NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if (first..first + 10).all(free) {
            return first;
        }
    }
}

fn nobody_sees_the_secret(site: &Site, said: &[&str]) {
    for text in said.iter().copied().chain([site.log().as_str()]) {
        assert!(!text.contains(MARKER), "{text}");
    }
    for file in ["meta.json", "plan.json"] {
        let text = fs::read_to_string(site.folder.join("data/generations/current").join(file));
        assert!(!text.unwrap().contains(MARKER), "{file}");
    }
}

#[test]
fn an_edited_file_is_reloaded_under_the_running_box_and_every_generation_is_kept() {
    let mut site = Site::new("reload");
    site.start();
    assert!(site.agents().contains("ana"));
    site.write("site.toml", &calls_flow(7, "bruno"));

    let would = site.ok(&["config", "diff"]);
    let done = site.ok(&["config", "reload", "--wait"]);

    assert!(would.contains("team.front.ring_seconds") && would.contains("live"), "{would}");
    assert!(done.contains("generation 2 holds"), "{done}");
    site.until("Bruno instead of Ana", |site| {
        let agents = site.agents();
        agents.contains("bruno") && !agents.contains("ana ")
    });
    let (shown, rendered) =
        (site.ok(&["config", "show"]), site.ok(&["config", "show", "--rendered"]));
    assert!(
        shown.contains("\"***\"") && rendered.contains("ring_seconds = 7"),
        "{shown}{rendered}"
    );
    let history = site.ok(&["config", "history"]);
    assert!(history.contains("reload") && history.contains("start"), "{history}");
    let back = site.ok(&["config", "rollback"]);
    assert!(back.contains("generation 3 holds"), "{back}");
    site.until("Ana again", |site| site.agents().contains("ana "));
    nobody_sees_the_secret(&site, &[&would, &done, &shown, &rendered, &history, &back]);

    // What was gone back from does not come back by itself, although the file still says it.
    site.kill();
    site.start();
    assert!(site.agents().contains("ana "), "{}", site.ok(&["config", "history"]));
    // But a file that is edited again is the operator's last word.
    site.kill();
    site.write("site.toml", &calls_flow(9, "carla"));
    site.start();
    assert!(site.agents().contains("carla"));
}

#[test]
fn what_cannot_hold_is_refused_whole_and_changes_nothing() {
    let mut site = Site::new("refused");
    site.start();
    let holds = site.current();
    let twice = calls_flow(601, "ana").replace("calls_max", "call_max");
    site.write("bad.toml", &twice);
    let node = fs::read_to_string(site.folder.join("node.toml")).unwrap();
    site.write("node2.toml", &node.replace("site.toml", "bad.toml"));
    let (code, said) = site.does(&["config", "apply", "node2.toml"]);
    assert_eq!(code, 6, "{said}");
    assert!(
        said.contains("601") && said.contains("did you mean calls_max?"),
        "both faults: {said}"
    );

    site.write("node3.toml", &node.replace("clavija.test", "other.test"));
    let (code, said) = site.does(&["config", "apply", "node3.toml"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("sip.domain") && said.contains("--at-restart"), "{said}");

    let moved = node.replace("[media]", "advertise = \"192.0.2.1:5060\"\n[media]");
    site.write("node4.toml", &moved);
    let (code, said) = site.does(&["config", "apply", "node4.toml", "--at-restart"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("--confirm"), "{said}");

    assert_eq!(site.current(), holds);
    let dry = site.ok(&["config", "apply", "node3.toml", "--dry-run"]);
    assert!(dry.contains("restart") && dry.contains("other.test"), "{dry}");
    assert_eq!(site.current(), holds);
    assert_eq!(site.does(&["config", "confirm"]).0, 4);
    assert_eq!(site.does(&["config", "rollback", "77"]).0, 3);
}

#[test]
fn who_does_not_confirm_gets_the_old_configuration_back_and_who_does_keeps_the_new_one() {
    let mut site = Site::new("confirm");
    site.start();
    site.write("site.toml", &calls_flow(8, "bruno"));
    site.ok(&["config", "reload", "--confirm", "1s"]);
    site.until("gone back by itself", |site| site.agents().contains("ana "));
    assert!(site.ok(&["config", "history"]).contains("unconfirmed"));

    site.ok(&["config", "reload", "--confirm", "1h"]);
    let (code, said) = site.does(&["config", "reload"]);
    assert_eq!(code, 0, "nothing differs: {said}");
    site.write("site.toml", &calls_flow(9, "carla"));
    let (code, said) = site.does(&["config", "reload"]);
    assert_eq!(code, 4, "{said}");
    site.ok(&["config", "confirm"]);
    site.ok(&["config", "reload"]);
    site.until("confirmed and replaced", |site| site.agents().contains("carla"));
}

#[test]
fn a_daemon_killed_before_the_confirmation_comes_back_with_what_was_confirmed() {
    let mut site = Site::new("killed");
    site.start();
    site.write("site.toml", &calls_flow(8, "bruno"));
    site.ok(&["config", "reload", "--confirm", "2s"]);
    site.kill();
    let held = site.current();

    // The timer of systemd, for a daemon that is dead.
    site.until("gone back without a daemon", |site| {
        let said = site.ok(&["config", "rollback", "--unconfirmed"]);
        said.contains("gone back")
    });
    assert_ne!(site.current(), held);
    site.start();
    assert!(site.agents().contains("ana "));
    assert!(site.ok(&["config", "rollback", "--unconfirmed"]).contains("runs"));

    // The same at the start itself, before a port is open.
    site.ok(&["config", "reload", "--confirm", "1s"]);
    site.kill();
    thread::sleep(Duration::from_millis(1_100));
    site.start();
    assert!(site.agents().contains("ana "), "{}", site.ok(&["config", "history"]));
}

#[test]
fn the_schema_is_printed_without_a_box() {
    let site = Site::new("schema");
    let schema: serde_json::Value = serde_json::from_str(&site.ok(&["config", "schema"])).unwrap();

    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(Path::new(&site.folder).exists());
}
