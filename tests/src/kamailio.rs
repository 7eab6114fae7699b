//! A real carrier's proxy between the caller and the box: Kamailio, stateful, with Record-Route.

use crate::{folder::TestFolder, wait};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, File},
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// A running proxy. Dropped, it and the children it made are ended.
#[derive(Debug)]
pub struct Kamailio {
    child: Child,
    folder: TestFolder,
}

impl Kamailio {
    /// Starts a proxy at `listen` that passes every call on to `target` by UDP.
    ///
    /// # Panics
    /// If it is missing, or does not answer.
    pub fn start(listen: SocketAddr, target: SocketAddr) -> Self {
        Self::start_by("udp", listen, target)
    }

    /// The same by another transport.
    ///
    /// # Panics
    /// If it is missing, or does not answer.
    pub fn start_by(transport: &str, listen: SocketAddr, target: SocketAddr) -> Self {
        let words = [("@TO@", target.to_string()), ("@TRANSPORT@", transport.to_owned())];
        Self::run(TestFolder::new("kamailio"), "kamailio.cfg", listen, &words)
    }

    /// Starts a proxy at `listen` that gives calls to these boxes in turn, and to the next one when one fails.
    ///
    /// # Panics
    /// If it is missing, or does not answer.
    pub fn dispatch(listen: SocketAddr, boxes: &[SocketAddr]) -> Self {
        let folder = TestFolder::new("dispatcher");
        let list: String = boxes.iter().map(|at| format!("1 sip:{at}\n")).collect();
        fs::write(folder.join("boxes.list"), list).expect("the test's folder can be written");
        let words = [("@FOLDER@", folder.path().display().to_string())];
        Self::run(folder, "kamailio_dispatcher.cfg", listen, &words)
    }

    fn run(folder: TestFolder, name: &str, listen: SocketAddr, words: &[(&str, String)]) -> Self {
        let template = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers").join(name);
        let config =
            fs::read_to_string(template).expect("the proxy's configuration is in tests/peers");
        let config = config.replace("@LISTEN@", &listen.to_string());
        let config = words.iter().fold(config, |config, (word, to)| config.replace(word, to));
        fs::write(folder.join("kamailio.cfg"), config).expect("the test's folder can be written");
        let log = File::create(folder.join("log.txt")).expect("the test's folder can be written");
        let child = Command::new("kamailio")
            .args(["-DD", "-E", "-m", "64", "-M", "8", "-f"])
            .arg(folder.join("kamailio.cfg"))
            .arg("-Y")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be opened twice"))
            .stderr(log)
            .spawn()
            .expect("kamailio is missing: apt-get install kamailio");
        let proxy = Self { child, folder };
        proxy.await_answer(listen);
        proxy
    }

    /// A request with no hop left is answered by the proxy itself.
    fn await_answer(&self, listen: SocketAddr) {
        let probe = UdpSocket::bind((listen.ip(), 0)).expect("a port is free");
        probe.set_read_timeout(Some(Duration::from_millis(200))).expect("200 ms is a timeout");
        let here = probe.local_addr().expect("a bound socket has an address");
        let request = format!(
            "OPTIONS sip:probe@{listen} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKprobe\r\n\
             From: <sip:probe@{here}>;tag=1\r\nTo: <sip:probe@{listen}>\r\nCall-ID: probe@{here}\r\n\
             CSeq: 1 OPTIONS\r\nMax-Forwards: 0\r\nContent-Length: 0\r\n\r\n"
        );
        let answered = wait::within(wait::PATIENCE, || {
            probe.send_to(request.as_bytes(), listen).ok()?;
            let mut answer = [0; 2_048];
            probe.recv(&mut answer).ok()
        });
        let log = || fs::read_to_string(self.folder.join("log.txt")).unwrap_or_default();
        assert!(answered.is_some(), "kamailio does not answer\n{}", log());
    }
}

impl Drop for Kamailio {
    fn drop(&mut self) {
        // The main process ends its children itself; killed outright, it would leave them behind.
        let pid = i32::try_from(self.child.id()).expect("a process id fits");
        let _gone_already = kill(Pid::from_raw(pid), Signal::SIGTERM);
        drop(self.child.wait());
    }
}
