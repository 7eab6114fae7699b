//! `clavija host check`: reads what the host is, lets `firmware-config` judge it.

use super::{
    output::{Column, Output},
    target::{Target, load, reachable},
};
use crate::error::Failure;
use clap::Subcommand;
use firmware_config::{Config, FolderFacts, HostFacts, Verdict, evaluate};
use nix::{
    sys::{
        resource::{Resource, getrlimit},
        stat::{major, minor},
        statvfs::statvfs,
    },
    unistd::{AccessFlags, User, access, geteuid},
};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs, io,
    net::TcpStream,
    ops::RangeInclusive,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Whether anybody listens there.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Says what is wrong with this host and the line that mends it.
    Check {
        /// Whose limits are looked at: by default the service's, or those of this command.
        #[arg(long, value_name = "PID")]
        pid: Option<u32>,
    },
}

const COLUMNS: [Column; 5] = [
    ("VERDICT", "verdict"),
    ("CHECK", "check"),
    ("FOUND", "found"),
    ("WANTED", "wanted"),
    ("SET", "set"),
];

pub(super) fn run(verb: &Verb, target: &Target, out: &mut Output) -> Result<(), Failure> {
    let Verb::Check { pid } = verb;
    let config = load(&target.file()?)?.config;
    let found = evaluate(&facts(&config, *pid), &config);
    let bad = found.iter().filter(|one| one.verdict == Verdict::Bad).count();
    let items: Vec<_> = found
        .into_iter()
        .map(|one| {
            json!({
                "check": one.check,
                "verdict": one.verdict.word(),
                "found": one.found,
                "wanted": one.wanted,
                "set": one.set,
            })
        })
        .collect();
    out.list(&json!({ "items": items }), &COLUMNS)?;
    match bad {
        0 => Ok(()),
        bad => Err(Failure::Failed(format!("{bad} of them are bad"))),
    }
}

fn facts(config: &Config, pid: Option<u32>) -> HostFacts {
    let sysctl = |key: &str| text(&format!("/proc/sys/{key}"));
    let number = |key: &str| sysctl(key)?.parse().ok();
    let running = unit("MainPID").and_then(|pid| pid.parse().ok()).filter(|pid| *pid > 0);
    let limits = Limits::of(pid.or(running));
    let user = unit("User").and_then(|name| User::from_name(&name).ok().flatten());
    let cpu = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    let clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    HostFacts {
        kernel: sysctl("kernel/osrelease"),
        rmem_max: number("net/core/rmem_max"),
        wmem_max: number("net/core/wmem_max"),
        netdev_max_backlog: number("net/core/netdev_max_backlog"),
        local_ports: sysctl("net/ipv4/ip_local_port_range").and_then(|text| range(&text)),
        reserved_ports: sysctl("net/ipv4/ip_local_reserved_ports"),
        nofile: limits.nofile,
        rtprio: limits.rtprio,
        memlock: limits.memlock,
        clock_source: text(clock),
        clock_synchronised: synchronised(),
        governor: text(cpu),
        open_ports: if runs(config, running) { BTreeSet::new() } else { open_ports() },
        folders: vec![
            folder("node.data_dir", &config.node.data_dir, user.as_ref()),
            folder("recording.dir", &config.recording.dir, user.as_ref()),
        ],
    }
}

fn text(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once(char::is_whitespace)?;
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

/// The hard limits: the appliance raises the soft ones.
struct Limits {
    nofile: Option<u64>,
    rtprio: Option<u64>,
    memlock: Option<u64>,
}

impl Limits {
    fn of(pid: Option<u32>) -> Self {
        if let Some(text) = pid.and_then(|pid| text(&format!("/proc/{pid}/limits"))) {
            let hard = |name: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(name))?;
                match line.split_whitespace().nth(1)? {
                    "unlimited" => Some(u64::MAX),
                    number => number.parse().ok(),
                }
            };
            return Self {
                nofile: hard("Max open files"),
                rtprio: hard("Max realtime priority"),
                memlock: hard("Max locked memory"),
            };
        }
        // A unit that is stopped has the limits it will be started with, not those of who asks.
        if let Some(nofile) = unit("LimitNOFILE") {
            let limit = |text: String| match text.as_str() {
                "infinity" => Some(u64::MAX),
                number => number.parse().ok(),
            };
            return Self {
                nofile: limit(nofile),
                rtprio: unit("LimitRTPRIO").and_then(limit),
                memlock: unit("LimitMEMLOCK").and_then(limit),
            };
        }
        let hard = |what| getrlimit(what).ok().map(|(_, hard)| hard);
        Self {
            nofile: hard(Resource::RLIMIT_NOFILE),
            rtprio: hard(Resource::RLIMIT_RTPRIO),
            memlock: hard(Resource::RLIMIT_MEMLOCK),
        }
    }
}

/// What systemd says of the unit, where there is one.
fn unit(property: &str) -> Option<String> {
    let ask = |property: &str| {
        let words = ["show", "--property", property, "--value", "clavija"];
        let output = Command::new("systemctl").args(words).output().ok()?;
        let said = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        output.status.success().then_some(said)
    };
    // Of a unit that is not there it says defaults.
    (ask("LoadState")? == "loaded").then(|| ask(property))?
}

/// By what systemd-timesyncd leaves behind, or by asking chrony, or systemd.
fn synchronised() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    let asked = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    if let Some(said) = asked("chronyc", &["-n", "tracking"]) {
        return Some(
            said.lines()
                .any(|line| line.starts_with("Leap status") && !line.contains("Not synchronised")),
        );
    }
    let said = asked("timedatectl", &["show", "--property=NTPSynchronized", "--value"])?;
    Some(said.trim() == "yes")
}

/// Whether the ports are the appliance's own.
fn runs(config: &Config, unit: Option<u32>) -> bool {
    // Who may not look into the folder sees no lock there.
    if unit.is_some() {
        return true;
    }
    // What is locked elsewhere, in another container say, is not in this host's list; nor has every file
    // system one number for itself.
    let answers =
        || TcpStream::connect_timeout(&reachable(config.http.admin), ANSWER_WITHIN).is_ok();
    match fs::metadata(config.node.data_dir.join("lock")) {
        // Looked up, not tried: a box that starts in this moment would find it taken.
        Ok(lock) => text("/proc/locks").is_some_and(|locks| is_locked(&locks, &lock)) || answers(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => answers(),
        Err(_) => false,
    }
}

/// By the list of proc_locks(5): `1: FLOCK ADVISORY WRITE 708 fe:00:1234 0 EOF`.
fn is_locked(locks: &str, file: &fs::Metadata) -> bool {
    let place = format!("{:02x}:{:02x}:{}", major(file.dev()), minor(file.dev()), file.ino());
    locks.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.get(1) == Some(&"FLOCK") && words.get(5) == Some(&place.as_str())
    })
}

/// Local ports of every UDP socket, as the kernel lists them.
fn open_ports() -> BTreeSet<u16> {
    let lists = ["/proc/net/udp", "/proc/net/udp6"].into_iter().filter_map(text);
    let mut ports = BTreeSet::new();
    for list in lists {
        let local = list.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1));
        let port = |local: &str| u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok();
        ports.extend(local.filter_map(port));
    }
    ports
}

/// As the unit's user sees it, whoever asks: root may write anywhere.
fn folder(key: &'static str, path: &Path, user: Option<&User>) -> FolderFacts {
    let mut there: PathBuf = path.to_owned();
    while !there.exists() && there.pop() {}
    let free = statvfs(&there);
    let free = free.ok().map(|disk| disk.blocks_available().saturating_mul(disk.fragment_size()));
    let may = match user.filter(|_| geteuid().is_root()) {
        Some(user) => fs::metadata(&there).is_ok_and(|about| may_write(user, &about)),
        None => access(&there, AccessFlags::W_OK).is_ok(),
    };
    let writable = there.is_dir() && may;
    FolderFacts { key, path: path.to_owned(), writable, free_bytes: free }
}

/// By owner, the user's own group and the others (path_resolution(7)).
fn may_write(user: &User, about: &fs::Metadata) -> bool {
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    let bit = match (about.uid() == uid, about.gid() == gid) {
        (true, _) => 0o200,
        (false, true) => 0o020,
        (false, false) => 0o002,
    };
    uid == 0 || about.mode() & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_box_that_runs_is_known_by_its_lock_without_taking_it() {
        let dir = std::env::temp_dir().join(format!("clavija-lock-{}", std::process::id()));
        let lock = crate::start::take_data_dir(&dir).unwrap();
        let file = fs::metadata(dir.join("lock")).unwrap();
        let locks = || fs::read_to_string("/proc/locks").unwrap();
        let runs = || is_locked(&locks(), &file);

        assert!(runs());
        let elsewhere = locks().replace(&format!(":{}", file.ino()), ":0");
        assert!(!is_locked(&elsewhere, &file));
        let (major, minor) = (major(file.dev()), minor(file.dev()));
        let same_number =
            locks().replace(&format!("{major:02x}:{minor:02x}:"), &format!("{major:02x}:ff:"));
        assert!(!is_locked(&same_number, &file), "of another disk");
        drop(lock);
        assert!(!runs());
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_folder_is_judged_as_the_units_user_sees_it_and_not_as_root() {
        let dir = std::env::temp_dir().join(format!("clavija-host-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let about = |mode| {
            fs::set_permissions(&dir, fs::Permissions::from_mode(mode)).unwrap();
            fs::metadata(&dir).unwrap()
        };
        let mut user = User::from_uid(geteuid()).unwrap().unwrap();
        let (own, group) = (about(0o755).uid(), about(0o755).gid());
        let mut may = |uid: u32, gid: u32, mode| {
            (user.uid, user.gid) = (uid.into(), gid.into());
            may_write(&user, &about(mode))
        };

        let another = own + 1;
        assert!(may(another, group + 1, 0o777) && !may(another, group + 1, 0o775));
        assert!(may(another, group, 0o775) && !may(another, group, 0o757));
        assert!(may(own, group, 0o755));
        fs::remove_dir(&dir).unwrap();
    }
}
