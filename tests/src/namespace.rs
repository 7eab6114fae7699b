//! A network of a test's own: its threads and processes see no other, and no other sees theirs.

use crate::{folder::TestFolder, wait};
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

/// A router with two addresses for one box: what is sent to the outer one reaches it, and what it sends
/// out comes from there (RFC 2663 §4.1.1, static). Neither the box nor whoever is beyond knows of it.
#[derive(Debug)]
pub struct OneToOne {
    _room: Room,
    /// Where the outer address is the box.
    pub beyond: Room,
}

impl OneToOne {
    /// The outer address.
    pub const PUBLIC: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));

    /// Between this thread's network, where the box is 10.1.0.2, and one beyond it, where a peer is
    /// 203.0.113.2 on `eth0`.
    ///
    /// # Panics
    /// If the networks cannot be made.
    pub fn start() -> Self {
        let (room, beyond) = (Room::new(), Room::new());
        room.cable(("wan0", "10.1.0.2/24"), ("in0", "10.1.0.1/24"));
        ip(&["route", "add", "203.0.113.0/24", "via", "10.1.0.1"]);
        let public = format!("{}/24", Self::PUBLIC);
        room.run(|| {
            beyond.cable(("out0", &public), ("eth0", "203.0.113.2/24"));
            fs::write("/proc/sys/net/ipv4/ip_forward", "1").expect("root may say who forwards");
            nft("add table ip static");
            nft("add chain ip static in { type nat hook prerouting priority -100 ; }");
            nft(&format!("add rule ip static in ip daddr {} dnat to 10.1.0.2", Self::PUBLIC));
            nft("add chain ip static out { type nat hook postrouting priority 100 ; }");
            nft(&format!("add rule ip static out ip saddr 10.1.0.2 snat to {}", Self::PUBLIC));
        });
        Self { _room: room, beyond }
    }
}

/// All that passes an interface of this thread's network, kept in a file until it is stopped.
#[derive(Debug)]
pub struct Capture {
    child: Child,
    folder: TestFolder,
}

impl Capture {
    /// # Panics
    /// If `tcpdump` is missing or does not begin.
    pub fn start(interface: &str) -> Self {
        let folder = TestFolder::new("capture");
        let file = folder.join("all.pcap");
        let log = File::create(folder.join("log.txt")).expect("the test's folder can be written");
        let child = Command::new("tcpdump")
            .args(["-i", interface, "-U", "-n", "-s", "0", "-Z", "root", "-w"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("tcpdump is missing: apt-get install tcpdump");
        wait::until("tcpdump to listen", || {
            fs::metadata(&file).ok().filter(|about| about.len() >= 24).map(drop)
        });
        Self { child, folder }
    }

    /// What was kept, as pcap: what was said stands in it as it was.
    ///
    /// # Panics
    /// If it has not run until now.
    pub fn stop(mut self) -> Vec<u8> {
        let running = self.child.try_wait().expect("our own child can be asked");
        assert!(running.is_none(), "tcpdump has ended: {running:?}");
        self.end();
        fs::read(self.folder.join("all.pcap")).expect("tcpdump wrote it")
    }

    fn end(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
    }
}

/// IPv6 addresses of interfaces that this thread's network gets from now on can be used at once: nobody is
/// asked whether they are somebody else's.
///
/// # Panics
/// Without the right to.
pub fn addresses_at_once() {
    let written = fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    written.expect("root may say what the kernel waits for");
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
