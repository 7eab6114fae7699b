//! Unwanted SIP from everywhere, at a rate: requests of strangers, guessed passwords, garbage, huge
//! session descriptions, responses to nothing.

use std::{
    fmt::Write,
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Addresses it comes from; the first few guess passwords.
const SOURCES: u8 = 200;
const GUESSERS: usize = 4;
/// How often it sends a handful.
const BEAT: Duration = Duration::from_millis(10);

/// A flood that goes on by itself.
#[derive(Debug)]
pub struct Flood {
    thread: JoinHandle<u64>,
}

impl Flood {
    /// `per_second` messages to `to` for so long, whatever the machine's load: who is late catches up.
    ///
    /// # Panics
    /// If its sockets cannot be had.
    pub fn start(to: SocketAddr, per_second: u32, span: Duration) -> Self {
        let address = |number: u8| IpAddr::V4(Ipv4Addr::new(127, 66, number % 7, number + 1));
        let sockets: Vec<_> = (0..SOURCES)
            .map(|number| {
                let socket = UdpSocket::bind((address(number), 0)).expect("127/8 is all ours");
                socket.set_nonblocking(true).expect("a UDP socket can be made non-blocking");
                socket
            })
            .collect();
        Self { thread: thread::spawn(move || run(&sockets, to, per_second, span)) }
    }

    /// Waits for its end; how many messages were sent.
    ///
    /// # Panics
    /// If it failed.
    pub fn finish(self) -> u64 {
        self.thread.join().expect("the flood does not panic")
    }
}

fn run(sockets: &[UdpSocket], to: SocketAddr, per_second: u32, span: Duration) -> u64 {
    let start = Instant::now();
    let (mut sent, mut nonces) = (0_u64, vec![String::new(); GUESSERS]);
    loop {
        let elapsed = start.elapsed().min(span);
        let due = u64::try_from(elapsed.as_millis()).unwrap_or(0) * u64::from(per_second) / 1_000;
        while sent < due {
            let at = usize::try_from(sent).unwrap_or(0) % sockets.len();
            let nonce = nonces.get(at).map_or("made-up", String::as_str);
            // A full buffer of ours or its ICMP: a flood does not care.
            drop(sockets[at].send_to(&message(sent, nonce), to));
            sent += 1;
        }
        for (socket, nonce) in sockets.iter().zip(&mut nonces) {
            hear(socket, nonce);
        }
        if elapsed == span {
            return sent;
        }
        thread::sleep(BEAT);
    }
}

/// The newest nonce it was challenged with.
fn hear(socket: &UdpSocket, nonce: &mut String) {
    let mut buffer = [0; 4_096];
    while let Ok(length) = socket.recv(&mut buffer) {
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if let Some((given, _)) = text.split_once("nonce=\"").and_then(|(_, n)| n.split_once('"')) {
            given.clone_into(nonce);
        }
    }
}

fn message(number: u64, nonce: &str) -> Vec<u8> {
    let method = ["INVITE", "REGISTER", "OPTIONS", "REGISTER", "BYE", "SUBSCRIBE"];
    let kind = number / u64::from(SOURCES);
    match kind % 10 {
        8 => {
            return (0..200)
                .map(|at| u8::try_from((number * 31 + at * 7) % 256).unwrap_or(0))
                .collect();
        }
        9 => return request("SIP/2.0 200 OK", "INVITE", number, ""),
        _ => {}
    }
    let method = method[usize::try_from(kind % 6).unwrap_or(0)];
    let mut more = String::new();
    if kind % 6 == 3 || (method == "REGISTER" && nonce != "made-up") {
        _ = write!(
            more,
            "Authorization: Digest username=\"1001\", realm=\"clavija.test\", nonce=\"{nonce}\", \
             uri=\"sip:clavija.test\", response=\"{number:032x}\", algorithm=MD5, qop=auth, \
             cnonce=\"x\", nc={number:08x}\r\n"
        );
    }
    if kind % 10 == 7 {
        _ = write!(more, "X-Large: {}\r\n", "m=audio 4000 RTP/AVP 0 ".repeat(300));
    }
    request(&format!("{method} sip:+541155550100@clavija.test SIP/2.0"), method, number, &more)
}

fn request(line: &str, method: &str, number: u64, more: &str) -> Vec<u8> {
    format!(
        "{line}\r\nVia: SIP/2.0/UDP 127.66.0.1:5060;branch=z9hG4bKflood{number};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1001@clavija.test>;tag=f{number}\r\n\
         To: <sip:1001@clavija.test>\r\nCall-ID: flood{number}\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:1001@127.66.0.1:5060>\r\n{more}Content-Length: 0\r\n\r\n"
    )
    .into_bytes()
}
