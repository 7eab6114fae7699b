//! Unwanted SIP from everywhere, at a rate: requests of strangers of every method, guessed passwords, garbage, huge headers
//! and session descriptions, responses to nothing, and a trunk's scans; some of it over TCP, in halves.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Addresses it comes from; the first few guess passwords.
const SOURCES: u8 = 200;
const GUESSERS: usize = 4;
/// How often it sends a handful.
const BEAT: Duration = Duration::from_millis(10);
/// Of a hundred messages one opens a connection of its own.
const CONNECTING: u64 = 100;
/// Connections that it holds at once; each is closed, half said, when it is the oldest.
const HELD_MAX: usize = 100;

/// Everything that anybody may ask, and what nobody has heard of.
const METHODS: [&str; 12] = [
    "INVITE",
    "REGISTER",
    "OPTIONS",
    "REGISTER",
    "BYE",
    "SUBSCRIBE",
    "CANCEL",
    "REFER",
    "NOTIFY",
    "PRACK",
    "MESSAGE",
    "FLOOD",
];

/// A flood that goes on by itself.
#[derive(Debug)]
pub struct Flood {
    thread: JoinHandle<u64>,
}

impl Flood {
    /// `per_second` messages to `to` for so long, whatever the machine's load: who is late catches up. One in two hundred
    /// comes from `trunk`.
    ///
    /// # Panics
    /// If its sockets cannot be had.
    pub fn start(to: SocketAddr, trunk: IpAddr, per_second: u32, span: Duration) -> Self {
        let address = |number: u8| match number {
            0 => trunk,
            _ => IpAddr::V4(Ipv4Addr::new(127, 66, number % 7, number + 1)),
        };
        // The trunk is no guesser: it is the last.
        let sockets: Vec<_> = (0..SOURCES)
            .rev()
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
    let mut held = VecDeque::new();
    loop {
        let elapsed = start.elapsed().min(span);
        let due = u64::try_from(elapsed.as_millis()).unwrap_or(0) * u64::from(per_second) / 1_000;
        while sent < due {
            let at = usize::try_from(sent).unwrap_or(0) % sockets.len();
            let nonce = nonces.get(at).map_or("made-up", String::as_str);
            let message = message(sent, nonce);
            // A full buffer of ours or its ICMP, a connection refused: a flood does not care.
            if sent % CONNECTING == 0 {
                held.extend(half_said(&message, to));
            } else {
                drop(sockets[at].send_to(&message, to));
            }
            sent += 1;
        }
        held.drain(..held.len().saturating_sub(HELD_MAX));
        for (socket, nonce) in sockets.iter().zip(&mut nonces) {
            hear(socket, nonce);
        }
        if elapsed == span {
            return sent;
        }
        thread::sleep(BEAT);
    }
}

/// A connection on which so much of a message was said.
fn half_said(message: &[u8], to: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(to).ok()?;
    stream.write_all(&message[..message.len() / 2]).ok().map(|()| stream)
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
    let at = usize::try_from(kind % 120).unwrap_or(0) % METHODS.len();
    let method = METHODS[at];
    let mut more = String::new();
    if at == 3 || (method == "REGISTER" && nonce != "made-up") {
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
    // A trunk may call our numbers: it scans for others.
    let user = if number % u64::from(SOURCES) == u64::from(SOURCES) - 1 {
        "+1000"
    } else {
        "+541155550100"
    };
    request(&format!("{method} sip:{user}@clavija.test SIP/2.0"), method, number, &more)
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
