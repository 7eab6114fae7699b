//! What the host must be for the media to be on time: facts in, findings out. Whoever gathers the
//! facts reads files; nothing here does.

use crate::Config;
use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf};

/// What was read of the host; `None` is what could not be.
#[derive(Clone, Debug, Default)]
pub struct HostFacts {
    /// Like `6.1.0-28-amd64`.
    pub kernel: Option<String>,
    pub rmem_max: Option<u64>,
    pub wmem_max: Option<u64>,
    pub netdev_max_backlog: Option<u64>,
    /// Where the kernel takes ports from for whoever asks for none.
    pub local_ports: Option<RangeInclusive<u16>>,
    /// As `/proc` writes it: `20000-29999,40000`.
    pub reserved_ports: Option<String>,
    /// Soft or hard, whichever the process may have; `u64::MAX` is no limit.
    pub nofile: Option<u64>,
    pub rtprio: Option<u64>,
    pub memlock: Option<u64>,
    pub clock_source: Option<String>,
    pub clock_synchronised: Option<bool>,
    pub governor: Option<String>,
    /// UDP ports that are open; none where they are the appliance's own.
    pub open_ports: BTreeSet<u16>,
    pub folders: Vec<FolderFacts>,
}

/// Of a folder, or of the one it would be made in.
#[derive(Clone, Debug)]
pub struct FolderFacts {
    pub key: &'static str,
    pub path: PathBuf,
    pub writable: bool,
    pub free_bytes: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Bad,
    /// It could not be read.
    Unknown,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub check: String,
    pub verdict: Verdict,
    pub found: String,
    pub wanted: String,
    /// The line to write and where; of what is bad.
    pub set: Option<String>,
}

const BUFFER_BYTES: u64 = 8 * 1024 * 1024;
const BACKLOG_PACKETS: u64 = 4096;
/// The media thread's priority and what the unit allows.
const RTPRIO: u64 = 20;
/// Debian 12's.
const KERNEL: (u64, u64) = (6, 1);
/// A day of 200 recorded calls is about 550 GB; below this a box is nearly full.
const FREE_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Read by the processor itself, in some tens of nanoseconds.
const FAST_CLOCKS: [&str; 5] =
    ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "xen"];
const SYSCTL: &str = "/etc/sysctl.d/61-clavija-local.conf, then `sysctl --system`";
const UNIT: &str = "`systemctl edit clavija`, under [Service]";

/// Everything that was looked at, good or bad.
pub fn evaluate(facts: &HostFacts, config: &Config) -> Vec<Finding> {
    let sysctl = |key: &str, found: Option<u64>, least: u64| {
        at_least(key, found, least, &format!("{key} = {least} in {SYSCTL}"))
    };
    let media = &config.media.ports;
    let sockets = u64::try_from(media.len()).unwrap_or(u64::MAX) + 1024;
    let files = sockets.next_power_of_two().max(262_144);
    let no_limit =
        |key: &str, found, unit: &str| at_least(key, found, u64::MAX, &format!("{unit} in {UNIT}"));
    let mut all = vec![
        kernel(facts.kernel.as_deref()),
        sysctl("net.core.rmem_max", facts.rmem_max, BUFFER_BYTES),
        sysctl("net.core.wmem_max", facts.wmem_max, BUFFER_BYTES),
        sysctl("net.core.netdev_max_backlog", facts.netdev_max_backlog, BACKLOG_PACKETS),
        reserved(facts, media),
        at_least(
            "limit of open files",
            facts.nofile,
            sockets,
            &format!("LimitNOFILE={files} in {UNIT}"),
        ),
        at_least(
            "limit of real-time priority",
            facts.rtprio,
            RTPRIO,
            &format!("LimitRTPRIO={RTPRIO} in {UNIT}"),
        ),
        no_limit("limit of locked memory", facts.memlock, "LimitMEMLOCK=infinity"),
        clock(facts.clock_source.as_deref()),
        synchronised(facts.clock_synchronised),
        governor(facts.governor.as_deref()),
        ports(facts, config),
    ];
    all.extend(facts.folders.iter().map(folder));
    all
}

fn finding(check: &str, good: Option<bool>, found: String, wanted: &str, set: &str) -> Finding {
    let verdict = match good {
        Some(true) => Verdict::Good,
        Some(false) => Verdict::Bad,
        None => Verdict::Unknown,
    };
    let set = (verdict == Verdict::Bad).then(|| set.to_owned());
    Finding { check: check.to_owned(), verdict, found, wanted: wanted.to_owned(), set }
}

fn words(number: u64) -> String {
    if number == u64::MAX { "unlimited".to_owned() } else { number.to_string() }
}

fn at_least(check: &str, found: Option<u64>, least: u64, set: &str) -> Finding {
    let wanted = match least {
        u64::MAX => "unlimited".to_owned(),
        least => format!("{least} or more"),
    };
    let shown = found.map_or_else(|| "-".to_owned(), words);
    finding(check, found.map(|found| found >= least), shown, &wanted, set)
}

fn kernel(release: Option<&str>) -> Finding {
    let numbers = release.map(|release| {
        let mut parts = release.split(|c: char| !c.is_ascii_digit());
        let mut next = || parts.next().and_then(|part| part.parse::<u64>().ok()).unwrap_or(0);
        (next(), next())
    });
    let good = numbers.map(|numbers| numbers >= KERNEL);
    let shown = release.unwrap_or("-").to_owned();
    finding("kernel", good, shown, "6.1 or later", "install Debian 12 or later, or its kernel")
}

/// A port the kernel lends to somebody else for a moment is missing when a call needs it.
fn reserved(facts: &HostFacts, media: &RangeInclusive<u16>) -> Finding {
    const KEY: &str = "net.ipv4.ip_local_reserved_ports";
    let range = format!("{}-{}", media.start(), media.end());
    // The line takes the place of the shipped one, which keeps the ports of SIP too.
    let set = format!("{KEY} = 5060-5061,{range} in {SYSCTL}");
    let wanted = format!("holds {range}, or net.ipv4.ip_local_port_range is apart from it");
    let (Some(lent), Some(reserved)) = (&facts.local_ports, &facts.reserved_ports) else {
        return finding(KEY, None, "-".to_owned(), &wanted, &set);
    };
    let kept = |port: u16| {
        reserved.split(',').any(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let ends = first.trim().parse::<u16>().ok().zip(last.trim().parse::<u16>().ok());
            ends.is_some_and(|(first, last)| (first..=last).contains(&port))
        })
    };
    let lost = media.clone().filter(|port| lent.contains(port) && !kept(*port)).count();
    let found = format!("{lost} of {} media ports may be lent to others", media.len());
    finding(KEY, Some(lost == 0), found, &wanted, &set)
}

fn clock(source: Option<&str>) -> Finding {
    let good = source.map(|source| FAST_CLOCKS.contains(&source));
    let set = "clocksource=tsc on the kernel's command line, if `dmesg | grep -i tsc` does not speak \
               against it";
    let shown = source.unwrap_or("-").to_owned();
    finding("clock source", good, shown, &FAST_CLOCKS.join(", "), set)
}

fn synchronised(good: Option<bool>) -> Finding {
    let shown = match good {
        Some(true) => "synchronised",
        Some(false) => "not synchronised",
        None => "-",
    };
    let set = "apt install chrony; CDRs carry the wall clock's time";
    finding(
        "wall clock",
        good,
        shown.to_owned(),
        "synchronised by chrony or systemd-timesyncd",
        set,
    )
}

fn governor(found: Option<&str>) -> Finding {
    // Virtual machines have none.
    let good = found.is_none_or(|governor| governor == "performance");
    let set = "`cpupower frequency-set -g performance`, at each boot";
    let shown = found.unwrap_or("none").to_owned();
    finding("CPU governor", Some(good), shown, "performance, or none", set)
}

fn ports(facts: &HostFacts, config: &Config) -> Finding {
    let sip: BTreeSet<_> = config.networks.iter().map(|network| network.sip.port()).collect();
    let wanted = |port: &&u16| config.media.ports.contains(*port) || sip.contains(*port);
    let taken: Vec<String> =
        facts.open_ports.iter().filter(wanted).map(ToString::to_string).collect();
    let found = match taken.as_slice() {
        [] => "all free".to_owned(),
        taken => format!("taken: {}", taken.join(", ")),
    };
    let set = "`ss -ulpn` says by whom; stop it, or write another sip.udp or media.ports";
    finding("UDP ports", Some(taken.is_empty()), found, "free, or the appliance's own", set)
}

fn folder(folder: &FolderFacts) -> Finding {
    let (path, free) = (folder.path.display(), folder.free_bytes);
    let enough = free.is_none_or(|free| free >= FREE_BYTES);
    let free = free.map_or_else(|| "-".to_owned(), |free| format!("{} MB", free / 1_000_000));
    let how = if folder.writable { "writable" } else { "not writable" };
    let set = match folder.writable {
        false => format!("chown clavija:clavija {path}; run the check as the appliance's user"),
        true => format!("remove old recordings, or name a larger disk in {}", folder.key),
    };
    let found = format!("{path}: {how}, {free} free");
    let good = Some(folder.writable && enough);
    finding(folder.key, good, found, "writable, 2 GB free or more", &set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Host, from_strings};
    use std::path::Path;

    fn config() -> Config {
        let node =
            include_str!("../../tests/contract/node.toml").replace("site = \"site.toml\"", "");
        let host = Host { addresses: vec![], credentials: None };
        from_strings(&node, None, Path::new("/nowhere"), &host).unwrap().config
    }

    /// What the shipped sysctl and unit make of Debian 12.
    fn tuned() -> HostFacts {
        HostFacts {
            kernel: Some("6.1.0-28-amd64".to_owned()),
            rmem_max: Some(8_388_608),
            wmem_max: Some(8_388_608),
            netdev_max_backlog: Some(4096),
            local_ports: Some(32768..=60999),
            reserved_ports: Some(String::new()),
            nofile: Some(262_144),
            rtprio: Some(20),
            memlock: Some(u64::MAX),
            clock_source: Some("kvm-clock".to_owned()),
            clock_synchronised: Some(true),
            governor: None,
            open_ports: BTreeSet::from([22, 53]),
            folders: vec![FolderFacts {
                key: "node.data_dir",
                path: "/var/lib/clavija".into(),
                writable: true,
                free_bytes: Some(50_000_000_000),
            }],
        }
    }

    fn bad(facts: &HostFacts) -> Vec<(String, String)> {
        let all = evaluate(facts, &config()).into_iter();
        let bad = all.filter(|one| one.verdict == Verdict::Bad);
        bad.map(|one| (one.check, one.set.unwrap())).collect()
    }

    #[test]
    fn a_host_as_it_is_shipped_has_nothing_bad() {
        assert_eq!(bad(&tuned()), []);
    }

    #[test]
    fn each_thing_that_is_wrong_is_said_with_the_line_that_mends_it() {
        type Spoil = fn(&mut HostFacts);
        let spoils: [(Spoil, &str, &str); 13] = [
            (|f| f.kernel = Some("5.10.0".into()), "kernel", "Debian 12"),
            (|f| f.rmem_max = Some(212_992), "rmem_max", "net.core.rmem_max = 8388608 in /etc"),
            (|f| f.wmem_max = Some(212_992), "wmem_max", "net.core.wmem_max = 8388608"),
            (|f| f.netdev_max_backlog = Some(1000), "backlog", "= 4096"),
            (|f| f.local_ports = Some(29_000..=60_999), "reserved", "= 5060-5061,20000-29999"),
            (|f| f.nofile = Some(1024), "files", "LimitNOFILE=262144"),
            (|f| f.rtprio = Some(0), "priority", "LimitRTPRIO=20"),
            (|f| f.memlock = Some(65_536), "memory", "LimitMEMLOCK=infinity"),
            (|f| f.clock_source = Some("hpet".into()), "clock source", "clocksource=tsc"),
            (|f| f.clock_synchronised = Some(false), "wall clock", "chrony"),
            (|f| f.governor = Some("powersave".into()), "governor", "performance"),
            (|f| _ = f.open_ports.insert(20_003), "UDP ports", "ss -ulpn"),
            (|f| f.folders[0].writable = false, "data_dir", "chown"),
        ];
        for (spoil, check, set) in spoils {
            let mut facts = tuned();
            spoil(&mut facts);
            let found = bad(&facts);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].0.contains(check) && found[0].1.contains(set), "{found:?}");
        }
    }

    #[test]
    fn reserved_ports_hold_what_the_kernel_may_lend() {
        let mut facts = tuned();
        facts.local_ports = Some(10_000..=60_999);
        for (reserved, good) in [
            ("20000-29999", true),
            ("5000,20000-25000,25001-29999", true),
            ("20000-29998", false),
            ("", false),
        ] {
            facts.reserved_ports = Some(reserved.to_owned());
            assert_eq!(bad(&facts).is_empty(), good, "{reserved}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_unknown_and_not_bad() {
        let found = evaluate(&HostFacts::default(), &config());

        assert!(found.iter().all(|one| one.verdict != Verdict::Bad), "{found:#?}");
        assert!(found.iter().filter(|one| one.verdict == Verdict::Unknown).count() >= 8);
    }
}
