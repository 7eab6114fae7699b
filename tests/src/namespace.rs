//! A network of a test's own: its threads and processes see no other, and no other sees theirs.

use nix::sched::{CloneFlags, unshare};
use std::{
    net::{IpAddr, Ipv4Addr},
    process::Command,
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
