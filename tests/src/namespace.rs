//! A network of a test's own: its threads and processes see no other, and no other sees theirs.

use crate::wait;
use nix::sched::{CloneFlags, setns, unshare};
use std::{
    ffi::OsStr,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
};

/// An address that is not of the loopback network: some phones refuse to speak from one of those.
pub const LAN: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 99, 0, 1));

/// Runs a test in a network namespace with a loopback interface of its own, which has [`LAN`] too.
///
/// The namespace belongs to the thread that runs `test`, to threads and processes started by it, and ends with them.
///
/// # Panics
/// If `test` does, or without the right to make one (root, or `CAP_SYS_ADMIN`), or without `ip`.
pub fn inside(test: impl FnOnce() + Send + 'static) {
    let run = thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)
            .expect("this test makes a network namespace: run it as root");
        ip(&["link", "set", "dev", "lo", "up"]);
        ip(&["address", "add", &format!("{LAN}/32"), "dev", "lo"]);
        test();
    });
    if let Err(panic) = run.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Lays an empty disk of so many kB over a folder, for this thread and whatever it starts from now on.
///
/// # Panics
/// Without the right to (root, or `CAP_SYS_ADMIN`), or without `mount` of util-linux.
pub fn small_disk(folder: &Path, kilobytes: u32) {
    unshare(CloneFlags::CLONE_NEWNS).expect("this test mounts a disk of its own: run it as root");
    let mount = |arguments: &[&OsStr]| {
        let done = Command::new("mount").args(arguments).status();
        assert!(done.expect("mount is missing: apt-get install util-linux").success());
    };
    mount(&["--make-rprivate".as_ref(), "/".as_ref()]);
    let size = format!("size={kilobytes}k");
    let of_memory = ["-t", "tmpfs", "-o", &size, "tmpfs"].map(OsStr::new);
    mount(&[&of_memory[..], &[folder.as_os_str()]].concat());
}

/// A further network beside the test's own, held by a process that does nothing. Dropped, it ends.
#[derive(Debug)]
pub struct Room {
    holder: Child,
}

impl Room {
    /// # Panics
    /// Without the right to make one, or without `unshare` of util-linux.
    pub fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "--", "sleep", "3600"]).stdin(Stdio::null());
        let holder = command.spawn().expect("unshare is missing: apt-get install util-linux");
        let room = Self { holder };
        let ours = fs::read_link("/proc/thread-self/ns/net").expect("a thread has a network");
        wait::until("a network of its own", || {
            let theirs = fs::read_link(format!("/proc/{}/ns/net", room.holder.id())).ok()?;
            (theirs != ours).then_some(())
        });
        room.run(|| ip(&["link", "set", "dev", "lo", "up"]));
        room
    }

    /// Does something in there. Sockets and processes that come of it stay there.
    ///
    /// # Panics
    /// If `work` does, or without the right to enter.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = File::open(format!("/proc/{}/ns/net", self.holder.id()));
        let network = network.expect("its holder runs");
        let there = || {
            setns(&network, CloneFlags::CLONE_NEWNET).expect("a network can be entered as root");
            work()
        };
        let done = thread::scope(|scope| scope.spawn(there).join());
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Lays a cable from this thread's network into this one, with an address at each end.
    ///
    /// # Panics
    /// If `ip` refuses.
    pub fn cable(&self, here: (&str, &str), there: (&str, &str)) {
        let holder = self.holder.id().to_string();
        ip(&["link", "add", here.0, "type", "veth", "peer", "name", there.0, "netns", &holder]);
        plug(here);
        self.run(|| plug(there));
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // It sleeps; it may have been ended already.
        drop(self.holder.kill());
        drop(self.holder.wait());
    }
}

/// A home's router between this thread's network and a telephone's: it lends its own address to whoever
/// speaks out through it.
#[derive(Debug)]
pub struct Router {
    room: Room,
    /// Where the telephone is.
    pub home: Room,
}

impl Router {
    /// This side of it, where the box is.
    pub const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    /// The one address of everybody behind it.
    pub const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2));
    /// Of the telephone behind it; no way leads there.
    pub const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));

    /// Its ports towards the box are of this range.
    ///
    /// # Panics
    /// If the networks cannot be made.
    pub fn start(ports: &str) -> Self {
        let router = Self { room: Room::new(), home: Room::new() };
        let (outside, public) = (format!("{}/24", Self::OUTSIDE), format!("{}/24", Self::PUBLIC));
        router.room.cable(("wan0", &outside), ("wan1", &public));
        let inside = format!("{}/24", Self::INSIDE);
        router.room.run(|| {
            router.home.cable(("lan0", "10.0.0.1/24"), ("lan1", &inside));
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("root may say who forwards");
        });
        router.home.run(|| ip(&["route", "add", "default", "via", "10.0.0.1"]));
        router.masquerade(ports);
        router
    }

    /// As after a power cut: nothing is known of who spoke through it, and its ports are of another range.
    ///
    /// # Panics
    /// If `nft` or `ip` refuse.
    pub fn restart(&self, ports: &str) {
        self.room.run(|| {
            nft("flush ruleset");
            // Whom it lent an address on an interface that is down is forgotten.
            ip(&["link", "set", "dev", "wan1", "down"]);
            ip(&["link", "set", "dev", "wan1", "up"]);
        });
        self.masquerade(ports);
    }

    fn masquerade(&self, ports: &str) {
        self.room.run(|| {
            nft("add table ip home");
            nft("add chain ip home out { type nat hook postrouting priority 100 ; }");
            nft(&format!(
                "add rule ip home out oifname wan1 meta l4proto {{ tcp, udp }} masquerade to :{ports}"
            ));
        });
    }
}

fn plug((name, address): (&str, &str)) {
    ip(&["address", "add", address, "dev", name]);
    ip(&["link", "set", "dev", name, "up"]);
}

/// `nft` of nftables, in the namespace of this thread.
fn nft(line: &str) {
    let done = Command::new("nft").arg(line).output();
    let done = done.expect("nft is missing: apt-get install nftables");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "nft {line}: {said}");
}

/// `ip` of iproute2, in the namespace of this thread.
///
/// # Panics
/// If it is missing or refuses.
fn ip(arguments: &[&str]) {
    let done = Command::new("ip").args(arguments).output();
    let done = done.expect("ip is missing: apt-get install iproute2");
    assert!(
        done.status.success(),
        "ip {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&done.stderr)
    );
}
