//! Another configuration under the real appliance: swapped in, refused, confirmed, gone back from,
//! across kill -9 too; and nobody ever sees a secret.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
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
    /// As systemd would, it is told where its data lies.
    state_directory: bool,
    /// It is started with a umask that takes nothing away.
    open_umask: bool,
}

impl Site {
    fn new(name: &str) -> Self {
        let folder =
            std::env::temp_dir().join(format!("clavija-live-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let ports = free_ports();
        let site = Self { folder, ports, running: None, state_directory: false, open_umask: false };
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
        if self.open_umask {
            command = Command::new("sh");
            command.args(["-c", "umask 0; exec \"$0\" run --config node.toml"]);
            command.arg(env!("CARGO_BIN_EXE_clavija")).current_dir(&self.folder);
        }
        if self.state_directory {
            command.env("STATE_DIRECTORY", self.folder.join("data"));
        }
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
        // Opened before, or it may be made in a folder that is being removed.
        let mut to = fs::OpenOptions::new().create(true).append(true).open(file).unwrap();
        thread::spawn(move || std::io::copy(&mut { log }, &mut to).unwrap());
        self.running = Some(child);
    }

    /// It must not start; gives its exit code and what it said.
    fn refuses(&self) -> (i32, String) {
        self.does(&["run", "--config", "node.toml"])
    }

    /// `GET` without a token, from the box itself.
    fn get(&self, path: &str) -> String {
        let mut socket = self.send("GET", path, "");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A request, and the connection its answer will come by.
    fn send(&self, method: &str, path: &str, body: &str) -> TcpStream {
        let token = fs::read_to_string(self.folder.join("data/admin.token")).unwrap();
        let mut socket = TcpStream::connect(("127.0.0.1", self.ports)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n",
            token.trim()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body.as_bytes()).unwrap();
        socket
    }

    /// What the running box says it goes by.
    fn runs_by(&self) -> String {
        let history: Value =
            serde_json::from_str(&self.ok(&["config", "history", "-o", "json"])).unwrap();
        let mut items = history["items"].as_array().unwrap().iter();
        items.find(|line| line["current"] == true).unwrap()["generation"].to_string()
    }

    /// The value of a metric without labels.
    fn metric(&self, name: &str) -> String {
        let text = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
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
    let meta = site.folder.join("data/generations/current/meta.json");
    let meta: Value = serde_json::from_slice(&fs::read(meta).unwrap()).unwrap();
    let deadline = meta["confirm"]["deadline_unix_ms"].as_u64().unwrap();
    site.until("its time to confirm is over", |_| {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() > u128::from(deadline)
    });
    site.start();
    assert!(site.agents().contains("ana "), "{}", site.ok(&["config", "history"]));
}

#[test]
fn the_schema_is_printed_without_a_box() {
    let site = Site::new("schema");
    let schema: Value = serde_json::from_str(&site.ok(&["config", "schema"])).unwrap();

    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert!(Path::new(&site.folder).exists());
}

/// A thousand agents, so that taking hold takes a moment.
fn a_large_site(agent: &str) -> String {
    let many = (0..1_000).map(|at| {
        format!(
            "[[agent]]\nname = \"{agent}-{at}\"\nextension = \"{}\"\npassword = \"{MARKER}\"\n",
            20_000 + at
        )
    });
    let names: Vec<String> = (0..1_000).map(|at| format!("\"{agent}-{at}\"")).collect();
    let team = format!(
        "[[team]]\nname = \"front\"\nagents = [{}]\n[[number]]\nnumber = \"100\"\nteam = \"front\"\n",
        names.join(",")
    );
    format!("schema = \"clavija/v1\"\n{}{team}", many.collect::<String>())
}

#[test]
fn an_apply_whose_client_goes_away_in_the_middle_is_carried_out_and_its_time_to_confirm_holds() {
    let mut site = Site::new("gone");
    site.start();
    let node = fs::read_to_string(site.folder.join("node.toml")).unwrap();
    let file =
        |name: &str, text: &str| json!({ "name": name, "folder": site.folder, "text": text });
    let body = |agent: &str, confirm: Option<u32>| {
        let body = json!({
            "node": file("node.toml", &node),
            "site": file("site.toml", &a_large_site(agent)),
            "confirm_seconds": confirm,
        });
        body.to_string()
    };
    // Goes away in the very moment in which the disk has the new one and the calls have not.
    let apply_and_go = |body: &str| {
        let before = site.current();
        let socket = site.send("POST", "/api/v1/config/apply", body);
        let start = Instant::now();
        while site.current() == before {
            assert!(start.elapsed() < PATIENCE, "the disk has no new one; {}", site.log());
        }
        drop(socket);
    };

    for turn in 0..5 {
        let agent = format!("turn{turn}");
        apply_and_go(&body(&agent, None));

        site.until("disk and box go by the same", |site| {
            Path::new(&site.runs_by()) == site.current()
        });
        site.until("the calls go by it too", |site| {
            site.does(&["agent", "show", &format!("{agent}-999")]).0 == 0
        });
    }
    let confirmed = site.current();
    apply_and_go(&body("unconfirmed", Some(1)));
    site.until("gone back by itself", |site| {
        site.does(&["agent", "show", "turn4-999"]).0 == 0
            && site.ok(&["config", "history"]).contains("unconfirmed")
    });
    assert_ne!(site.current(), confirmed, "the one before, in a generation of its own");
    assert_eq!(Path::new(&site.runs_by()), site.current());
}

#[test]
fn a_box_that_died_starts_by_what_it_ran_by_when_the_operators_file_is_half_edited() {
    let mut site = Site::new("half");
    let whole = calls_flow(20, "ana");
    let node = fs::read_to_string(site.folder.join("node.toml")).unwrap();
    site.start();
    assert_eq!(site.metric("clavija_config_file_refused"), "0");
    for (file, text, word) in [
        ("site.toml", whole.replace("\nring_seconds = 20", "\nring_sec"), "site.toml:13"),
        ("site.toml", whole.replace("[\"ana\"]", "[\"anna\"]"), "anna"),
        ("site.toml", String::new(), "site.toml"),
        ("node.toml", node.replace("[media]", "[med"), "node.toml:10"),
        ("node.toml", node.replace("clavija.test", "not a domain"), "not a domain"),
    ] {
        site.kill();
        site.write(file, &text);
        site.start();

        assert!(site.agents().contains("ana "), "{file}: {text}");
        site.until("it is in the log", |site| site.log().contains("the configuration is refused"));
        let ready = site.get("/readyz");
        assert!(
            ready.starts_with("HTTP/1.1 200") && ready.contains("config-file-refused"),
            "{ready}"
        );
        assert_eq!(site.metric("clavija_config_file_refused"), "1");
        let why: Value =
            serde_json::from_str(site.get("/api/v1/config").split_once("\r\n\r\n").unwrap().1)
                .unwrap();
        assert!(why["alarms"]["file_refused"].as_str().unwrap().contains(word), "{word}: {why}");
        let (code, said) = site.does(&["config", "check", "node.toml"]);
        assert_eq!(code, 6, "{said}");
        assert!(said.contains(word), "{word}: {said}");
        let (code, said) = site.does(&["config", "reload"]);
        assert_eq!(code, 6, "{said}");
        site.write("site.toml", &whole);
        site.write("node.toml", &node);
        // Mended, it is said so at the next look.
        site.ok(&["config", "reload"]);
        assert_eq!(site.metric("clavija_config_file_refused"), "0");
    }
    // Mended while the box was dead, it counts.
    site.kill();
    site.write("site.toml", "half");
    site.start();
    site.kill();
    site.write("site.toml", &calls_flow(20, "bruno"));
    site.start();
    assert!(site.agents().contains("bruno"));
    assert!(!site.get("/readyz").contains("config-"));
}

#[test]
fn an_empty_file_does_not_keep_down_a_box_whose_data_folder_systemd_names() {
    let mut site = Site::new("empty");
    site.start();
    site.kill();
    site.write("node.toml", "");
    let (code, said) = site.refuses();
    assert_eq!(code, 6, "nobody knows where the data lies: {said}");

    site.state_directory = true;
    site.start();

    assert!(site.get("/readyz").contains("config-file-refused"));
}

#[test]
fn a_first_start_with_a_file_that_is_refused_is_none() {
    let site = Site::new("first");
    site.write("site.toml", "half");

    let (code, said) = site.refuses();

    assert_eq!(code, 6, "{said}");
    assert!(said.contains("site.toml:1"), "{said}");
    assert!(!site.folder.join("data").exists(), "nothing was made");
}

#[test]
fn a_file_of_music_is_checked_without_an_appliance() {
    let site = Site::new("check-music");
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/fuzz/tune");
    let check = |file: &Path, more: &[&str]| {
        site.does(&[&["music", "check", file.to_str().unwrap()], more].concat())
    };

    let (code, said) = check(&corpus.join("mp3_tagged"), &["-o", "json"]);
    let answer: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &answer["coding"], &answer["rate_hz"]), (0, &json!("MP3"), &json!(22_050)));
    assert_eq!(answer["warnings"], json!([]));
    let (code, said) = check(&corpus.join("flac"), &[]);
    assert!(code == 0 && said.contains("LOUDNESS DBFS  -12.0"), "{said}");
    let silent = site.folder.join("silent.wav");
    with_music(&site, "silent.wav", 5);
    let (code, said) = check(&silent, &[]);
    assert!(code == 0 && said.contains("warning: nothing can be heard in it"), "{said}");
    let (code, said) = check(&corpus.join("opus"), &[]);
    assert!(code == 1 && said.contains("opus is no music: it is Opus, which is not"), "{said}");
    let (code, said) = check(&site.folder.join("nothing.wav"), &[]);
    assert!(code == 1 && said.contains("cannot be found"), "{said}");
}

/// A site with a tune of this name.
fn with_music(site: &Site, name: &str, ring: u32) -> String {
    let mut wav = b"RIFF\x24\x10\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\x10\0\0".to_vec();
    wav.resize(44 + 0x1000, 0);
    fs::write(site.folder.join(name), wav).unwrap();
    let music = format!("[[music]]\nname = \"waltz\"\nfile = \"{name}\"\n[[trunk]]");
    calls_flow(ring, "ana").replace("[[trunk]]", &music)
}

#[test]
fn a_rollback_to_a_generation_whose_files_are_gone_names_the_next_older_one() {
    let mut site = Site::new("music");
    let [old, gone, newest] = [("old.wav", 5), ("gone.wav", 6), ("new.wav", 7)]
        .map(|(name, ring)| with_music(&site, name, ring));
    for text in [&old, &gone, &newest] {
        site.write("site.toml", text);
        site.start();
        site.kill();
    }
    site.start();
    assert_eq!(site.runs_by(), "3");
    fs::remove_file(site.folder.join("gone.wav")).unwrap();

    let (code, said) = site.does(&["config", "rollback", "--at-restart"]);

    assert_eq!(code, 4, "{said}");
    assert!(said.contains("generation 2 cannot be had") && said.contains("gone.wav"), "{said}");
    assert!(said.contains("generation 1 can"), "{said}");
    assert_eq!(site.runs_by(), "3", "nothing was changed");
}

#[test]
fn a_box_that_ran_before_starts_without_the_music_and_the_secret_that_are_gone_and_a_new_one_does_not()
 {
    let mut site = Site::new("without");
    let by_file = format!("\"{MARKER}\"");
    let text = with_music(&site, "waltz.wav", 7).replace(&by_file, "{ file = \"ana\" }");
    let (waltz, ana) = (site.folder.join("waltz.wav"), site.folder.join("ana"));
    site.write("site.toml", &text);
    let (code, said) = site.refuses();
    assert_eq!(code, 6, "a first start needs what its file names: {said}");
    fs::write(&ana, MARKER).unwrap();
    site.start();
    assert_eq!(site.metric("clavija_config_incomplete"), "0");

    for damage in ["gone", "cut short"] {
        site.kill();
        fs::remove_file(&ana).unwrap();
        match damage {
            "gone" => fs::remove_file(&waltz).unwrap(),
            _ => fs::write(&waltz, "RIFF").unwrap(),
        }

        site.start();

        assert_eq!(site.runs_by(), "1", "{damage}: the same generation, no older one");
        let ready = site.get("/readyz");
        assert!(ready.starts_with("HTTP/1.1 200"), "{damage}: {ready}");
        assert!(ready.contains("config-incomplete"), "{damage}: {ready}");
        assert!(!ready.contains("config-fallback"), "{damage}: {ready}");
        assert_eq!(site.metric("clavija_config_incomplete"), "1");
        let said = site.get("/api/v1/config");
        let why: Value = serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap();
        let missing = why["alarms"]["missing"].to_string();
        assert!(
            missing.contains("waltz.wav") && missing.contains("agent \\\"ana\\\""),
            "{missing}"
        );
        site.until("it is in the log", |site| {
            let log = site.log();
            log.contains("the box starts without") && log.contains("waltz.wav")
        });
        assert!(site.agents().contains("ana "), "{damage}: she is there all the same");

        // The secret is back with a reload, the music with a start.
        with_music(&site, "waltz.wav", 7);
        fs::write(&ana, MARKER).unwrap();
        assert!(site.ok(&["config", "reload"]).contains("agent.ana.password"));
        let said = site.get("/api/v1/config");
        let why: Value = serde_json::from_str(said.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(why["alarms"]["missing"].as_array().unwrap().len(), 1, "{why}");
        site.kill();
        site.start();
        assert!(!site.get("/readyz").contains("config-"), "{damage}");
        site.kill();
        fs::remove_dir_all(site.folder.join("data")).unwrap();
        site.start();
    }
}

/// A generation as an older version may have left it: whole, and refused by this one.
fn of_an_older_version(site: &Site, number: u64) {
    let folder = site.folder.join(format!("data/generations/{number}"));
    let (site_file, meta_file) = (folder.join("site.toml"), folder.join("meta.json"));
    let text = fs::read_to_string(&site_file).unwrap() + "\n[gone]\n";
    fs::write(&site_file, &text).unwrap();
    let node = fs::read_to_string(folder.join("node.toml")).unwrap();
    let mut meta: Value = serde_json::from_str(&fs::read_to_string(&meta_file).unwrap()).unwrap();
    meta["hash"] = hash_of(&node, &text).into();
    fs::write(&meta_file, meta.to_string()).unwrap();
}

/// As `sha256sum` has it, of both texts with a zero byte between.
fn hash_of(node: &str, site: &str) -> String {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let bytes = [node.as_bytes(), &[0], site.as_bytes()].concat();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let out = child.wait_with_output().unwrap().stdout;
    String::from_utf8(out).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn an_unconfirmed_change_goes_back_further_where_the_one_before_cannot_be_had() {
    let mut site = Site::new("further");
    site.start();
    site.write("site.toml", &calls_flow(6, "ana"));
    site.ok(&["config", "reload"]);
    site.write("site.toml", &calls_flow(8, "ana"));
    site.ok(&["config", "reload", "--confirm", "2s"]);
    site.kill();
    of_an_older_version(&site, 2);
    site.until("gone back without a daemon", |site| {
        site.ok(&["config", "rollback", "--unconfirmed"]).contains("gone back")
    });

    site.start();

    assert!(site.ok(&["config", "show", "--rendered"]).contains("ring_seconds = 20"));
    assert_eq!(site.metric("clavija_config_fallback"), "1");
}

#[test]
fn a_fallback_leads_past_what_the_box_never_came_up_with() {
    let mut site = Site::new("never");
    site.start();
    site.write("site.toml", &calls_flow(6, "ana"));
    site.ok(&["config", "reload", "--at-restart"]);
    site.kill();
    site.write("site.toml", &calls_flow(8, "ana"));
    site.start();
    assert_eq!(site.runs_by(), "3");
    site.kill();
    of_an_older_version(&site, 3);
    site.write("site.toml", "half");

    site.start();

    assert!(site.ok(&["config", "show", "--rendered"]).contains("ring_seconds = 20"));
    assert!(site.get("/readyz").contains("config-fallback"));
}

#[test]
fn a_fallback_is_an_alarm_for_as_long_as_it_holds_over_every_start() {
    let mut site = Site::new("fallback");
    site.start();
    site.write("site.toml", &calls_flow(7, "bruno"));
    site.ok(&["config", "reload"]);
    site.kill();
    of_an_older_version(&site, 2);
    site.write("site.toml", "half");

    for start in ["the first", "the next"] {
        site.start();

        assert_eq!(site.runs_by(), "3", "{start}");
        assert!(site.agents().contains("ana "), "{start}");
        assert!(site.get("/readyz").contains("config-fallback"), "{start}");
        assert_eq!(site.metric("clavija_config_fallback"), "1", "{start}");
        site.kill();
    }
    site.until("it is in the log", |site| site.log().contains("generation 2 cannot be had"));

    // Mended, the file counts, and nothing is fallen back from any more.
    site.write("site.toml", &calls_flow(8, "clara"));
    site.start();
    assert!(site.agents().contains("clara "));
    assert_eq!(site.metric("clavija_config_fallback"), "0");
}

#[test]
fn a_damaged_generation_is_put_aside_and_the_box_starts() {
    let mut site = Site::new("damaged");
    site.start();
    site.write("site.toml", &calls_flow(8, "bruno"));
    site.ok(&["config", "reload"]);
    site.kill();
    let meta = site.folder.join("data/generations/2/meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    fs::write(&meta, text.get(..40).unwrap()).unwrap();

    site.start();

    assert!(site.agents().contains("bruno"), "its texts are whole");
    assert!(site.folder.join("data/generations/2.meta.damaged-1").exists());
    assert_eq!(site.metric("clavija_config_damaged_total"), "1");
    assert!(site.get("/readyz").contains("config-damaged"));
}

#[test]
fn nothing_in_the_data_folder_is_for_everybody_whatever_the_umask() {
    let mut site = Site::new("umask");
    site.open_umask = true;
    site.start();
    site.write("site.toml", &calls_flow(8, "bruno"));
    site.ok(&["config", "reload"]);
    site.ok(&["selftest"]);

    let mut folders = vec![site.folder.join("data")];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let mode = |path: &Path| fs::symlink_metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&folder) & 0o007, 0, "{}", folder.display());
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() {
                continue;
            }
            seen += 1;
            assert_eq!(mode(&path) & 0o007, 0, "{}: {:o}", path.display(), mode(&path));
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    assert!(seen > 12, "journal, CDRs, recordings, generations, token, lock: {seen}");
}

/// The same node with another admin address, in a file of its own.
fn with_admin(site: &Site, file: &str, port: u16) {
    let node = fs::read_to_string(site.folder.join("node.toml")).unwrap();
    let (own, other) =
        (format!("admin = \"127.0.0.1:{}\"", site.ports), format!("admin = \"127.0.0.1:{port}\""));
    site.write(file, &node.replace(&own, &other));
}

#[test]
fn the_running_box_is_asked_where_it_listens_whatever_waits_for_the_restart() {
    let mut site = Site::new("staged");
    site.start();
    let (first, second) = (site.ports, site.ports + 9);
    with_admin(&site, "moved.toml", second);

    site.ok(&["config", "apply", "moved.toml", "--at-restart", "--confirm", "1h"]);

    site.ok(&["status"]);
    site.ok(&["--config", "moved.toml", "status"]);
    assert_eq!(site.runs_by(), "1");
    let history: Value =
        serde_json::from_str(&site.ok(&["config", "history", "-o", "json"])).unwrap();
    let staged = |at: usize| history["items"][at]["staged"] == true;
    assert!(staged(0) && !staged(1), "{history}");
    assert!(site.get("/metrics").contains("clavija_config_info{generation=\"1\""));
    let shown = site.get("/api/v1/config");
    assert!(shown.contains("\"generation\":1,") && shown.contains("\"staged\":2,"), "{shown}");
    // Nobody has seen it run: there is nothing to be sure of.
    let (code, said) = site.does(&["config", "confirm"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("generation 2 has not run yet"), "{said}");

    site.kill();
    site.ports = second;
    site.start();
    site.ok(&["config", "confirm"]);
    assert_eq!(site.runs_by(), "2");

    // Back to where it was may lock out like any other change of the address.
    let (code, said) = site.does(&["config", "rollback", "--at-restart"]);
    assert_eq!(code, 4, "{said}");
    assert!(said.contains("http.admin") && said.contains("--confirm"), "{said}");
    site.ok(&["config", "rollback", "--at-restart", "--confirm", "1h"]);
    assert_eq!(site.runs_by(), "2");
    site.kill();
    site.ports = first;
    site.start();
    assert_eq!(site.runs_by(), "3");
    site.ok(&["config", "confirm"]);
}

#[test]
fn a_start_that_fails_by_what_nobody_has_confirmed_comes_up_by_what_was_before() {
    let mut site = Site::new("taken");
    site.start();
    let second = site.ports + 9;
    with_admin(&site, "moved.toml", second);
    site.ok(&["config", "apply", "moved.toml", "--at-restart", "--confirm", "1h"]);
    site.kill();
    let _taken = TcpListener::bind(("127.0.0.1", second)).unwrap();

    site.start();

    assert_eq!(site.runs_by(), "3");
    let history = site.ok(&["config", "history"]);
    assert!(history.contains("unconfirmed"), "{history}");
    site.until("it is in the log", |site| site.log().contains("generation 2 of moved.toml"));
    // An address that is not this host's.
    let node = fs::read_to_string(site.folder.join("moved.toml")).unwrap();
    site.write("moved.toml", &node.replace("127.0.0.1:", "192.0.2.77:"));
    let site_port = format!("admin = \"192.0.2.77:{second}\"");
    let own = fs::read_to_string(site.folder.join("node.toml")).unwrap();
    let admin = format!("admin = \"127.0.0.1:{}\"", site.ports);
    site.write("node.toml", &own.replace(&admin, &site_port));
    site.ok(&["config", "reload", "--at-restart", "--confirm", "1h"]);
    site.kill();
    site.start();
    assert_eq!(site.runs_by(), "5");
}

#[test]
fn a_configuration_that_never_came_up_is_no_generation() {
    let mut site = Site::new("nowhere");
    let taken = UdpSocket::bind(("127.0.0.1", site.ports)).unwrap();

    let (code, said) = site.refuses();

    assert_eq!(code, 1, "{said}");
    assert!(said.contains("node.toml: sip.udp"), "{said}");
    assert!(!site.folder.join("data/generations/current").is_symlink());
    assert!(!site.folder.join("data/generations/1").exists());
    drop(taken);
    site.start();
    // Edited so that it cannot come up: the history knows only what ran.
    let taken = TcpListener::bind(("127.0.0.1", site.ports + 9)).unwrap();
    let own = fs::read_to_string(site.folder.join("node.toml")).unwrap();
    with_admin(&site, "node.toml", site.ports + 9);
    site.kill();
    let (code, said) = site.refuses();
    assert_eq!(code, 1, "{said}");
    assert_eq!(site.current(), Path::new("1"));
    drop(taken);
    site.write("node.toml", &own);
    site.start();
    assert_eq!(site.runs_by(), "1");
}

#[test]
fn a_tune_that_was_replaced_is_noticed_and_keeps_no_live_change_waiting() {
    let mut site = Site::new("tune");
    let text = with_music(&site, "waltz.wav", 5);
    site.write("site.toml", &text);
    site.start();
    let mut wav = fs::read(site.folder.join("waltz.wav")).unwrap();
    *wav.last_mut().unwrap() = 0x40;
    fs::write(site.folder.join("waltz.wav"), wav).unwrap();

    let would = site.ok(&["config", "diff"]);
    let reloaded = site.ok(&["config", "reload"]);

    for said in [&would, &reloaded] {
        let line = said.lines().find(|line| line.contains("music.waltz.file")).unwrap();
        assert!(line.starts_with("restart") && line.ends_with("(changed)"), "{said}");
    }
    assert!(reloaded.contains("takes hold at the restart"), "{reloaded}");
    assert_eq!(site.runs_by(), "1");
    site.write("site.toml", &text.replace("ring_seconds = 5", "ring_seconds = 6"));
    assert!(site.ok(&["config", "reload"]).contains("generation 2 holds"));
    assert!(site.ok(&["config", "diff"]).contains("music.waltz.file"), "until the restart");
    site.kill();
    site.start();
    assert_eq!(site.ok(&["config", "diff"]).trim(), "nothing differs");
}

#[test]
fn a_file_in_another_folder_may_name_the_same_data_folder_in_other_words() {
    let mut site = Site::new("folder");
    site.start();
    fs::create_dir(site.folder.join("new")).unwrap();
    let node = fs::read_to_string(site.folder.join("node.toml")).unwrap();
    site.write("new/site.toml", &calls_flow(7, "bruno"));
    site.write("new/node.toml", &node);

    let (code, said) = site.does(&["config", "apply", "new/node.toml"]);
    assert_eq!(code, 4, "{said}");
    let write = format!("write data_dir = \"{}\"", site.folder.join("data").display());
    assert!(said.contains(&write), "{said}");
    site.write("new/node.toml", &node.replace("\"data\"", "\"../data\""));
    site.ok(&["config", "apply", "new/node.toml"]);

    site.until("Bruno", |site| site.agents().contains("bruno"));
}

#[test]
fn what_is_wrong_with_the_configuration_is_said_by_every_verb_that_shows_it_and_by_the_log() {
    let mut site = Site::new("said");
    site.start();
    site.write("site.toml", "half");

    assert_eq!(site.does(&["config", "reload"]).0, 6);

    site.until("it is in the log", |site| site.log().contains("is not reloaded"));
    let shown: Value = serde_json::from_str(&site.ok(&["-o", "json", "config", "show"])).unwrap();
    assert!(shown["alarms"]["file_refused"].as_str().unwrap().contains("site.toml:1"), "{shown}");
    assert!(site.ok(&["status"]).contains("config-file-refused"));

    // Whatever is wrong with a secret or beside it, what is said of it does not repeat it.
    let sound = calls_flow(7, "ana");
    let secret = format!("password = \"{MARKER}\"");
    for unsound in [
        sound.replace(&secret, &format!("password = \"{MARKER}")),
        sound.replace(&secret, &format!("password = [\"{MARKER}\"]")),
        sound.replace(&secret, &format!("pasword = \"{MARKER}\"")),
        sound.replace(&secret, &format!("{secret} {secret}")),
    ] {
        assert_ne!(unsound, sound);
        site.write("site.toml", &unsound);
        let (code, said) = site.does(&["config", "reload"]);
        assert_eq!(code, 6, "{said}");
        nobody_sees_the_secret(&site, &[&said, &site.ok(&["status"])]);
    }
    site.write("site.toml", &format!("{sound}{}", "x = 1\n[[agent]]\n".repeat(2_000)));
    assert_eq!(site.does(&["config", "reload"]).0, 6);
    site.until("it is cut", |site| site.log().contains("says all"));
    nobody_sees_the_secret(&site, &[&shown.to_string()]);
}

#[test]
fn people_are_told_what_a_verb_did_and_programs_the_whole_answer() {
    let mut site = Site::new("words");
    site.start();
    assert_eq!(site.ok(&["config", "diff"]).trim(), "nothing differs");
    site.write("site.toml", &calls_flow(20, "ana").replace(MARKER, "hush-other"));
    let line = site.ok(&["config", "diff"]);
    assert!(line.contains("\"***\" (changed)") && !line.contains("hush"), "{line}");
    let done: Value = serde_json::from_str(&site.ok(&["-o", "json", "config", "reload"])).unwrap();
    assert_eq!((&done["generation"], &done["applied"]), (&json!(2), &json!("live")));

    assert!(
        site.ok(&["config", "rollback"]).contains("generation 3 holds; it is generation 1 again")
    );

    for time in ["0s", "25h", "soon"] {
        let (code, said) = site.does(&["config", "reload", "--confirm", time]);
        assert_eq!(code, 2, "{said}");
    }
}

#[test]
fn the_token_is_told_the_appliance_and_no_proxy_of_the_environment() {
    let mut site = Site::new("proxy");
    site.start();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let at = format!("http://{}", proxy.local_addr().unwrap());

    let asked = site
        .clavija(&["status"])
        .envs(["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"].map(|name| (name, &at)))
        .output();

    assert!(asked.unwrap().status.success());
    assert!(proxy.accept().is_err(), "nobody came");
}

#[test]
fn who_stops_reading_is_no_fault() {
    let mut site = Site::new("head");
    site.start();
    for words in [&["config", "show"][..], &["-o", "json", "config", "show"], &["config", "schema"]]
    {
        let mut verb = site.clavija(words);
        let mut verb = verb.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(verb.stdout.take());
        let Output { status, stderr, .. } = verb.wait_with_output().unwrap();
        assert!(status.success() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));
    }
}

#[test]
fn a_check_counts_what_is_configured_and_one_of_a_kind_is_one() {
    let site = Site::new("counts");

    let (code, said) = site.does(&["config", "check", "node.toml"]);

    assert_eq!(code, 0, "{said}");
    let counts = "node.toml is valid: 1 trunk, 1 agent, 0 tunes, 1 team, 1 number\n";
    assert!(said.contains(counts), "{said}");
}

#[test]
fn an_address_without_a_configuration_or_a_token_is_told_to_need_one_of_them() {
    let site = Site::new("needs");
    fs::remove_file(site.folder.join("node.toml")).unwrap();

    let (code, said) = site.does(&["--url", "http://127.0.0.1:1", "status"]);
    let (_, without) = site.does(&["status"]);

    assert_eq!(code, 2, "{said}");
    let asked = "name one with --config, or put the appliance's token into CLAVIJA_TOKEN";
    assert!(said.contains(asked), "{said}");
    assert!(without.contains("name one with --config\n"), "a token says no address: {without}");
}

#[test]
fn the_token_of_the_box_is_told_to_no_other_address() {
    let mut site = Site::new("token");
    site.start();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let url = format!("http://{}", other.local_addr().unwrap());

    let (code, said) = site.does(&["--url", &url, "status"]);

    assert_eq!(code, 2, "{said}");
    assert!(said.contains("CLAVIJA_TOKEN"), "{said}");
    assert!(other.accept().is_err(), "nobody has come");
    site.ok(&["--url", &format!("http://localhost:{}/", site.ports), "status"]);
}
