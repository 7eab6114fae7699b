//! One party's audio: a UDP socket of the test's own that speaks every 20 ms and keeps all it hears.
//!
//! The RTP header is written and read here by hand, so that the product's own code is not its judge.

use crate::{
    dice::Dice,
    tone::{self, Law},
};
use std::{
    collections::{BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

const FRAME: Duration = Duration::from_millis(20);
/// Samples, and bytes of G.711, in 20 ms.
pub const FRAME_SAMPLES: usize = 160;
const FRAME_TIMESTAMP: u32 = 160;
/// RFC 3550 §5.1: version, payload type, sequence, timestamp, SSRC.
const HEADER_BYTES: usize = 12;

/// What a party says.
#[derive(Clone, Debug)]
pub enum Says {
    Nothing,
    Tone {
        hz: f64,
    },
    /// Bytes in the party's law, over and over.
    Encoded(Vec<u8>),
}

/// One RTP packet that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    pub from: SocketAddr,
    pub payload_type: u8,
    pub marker: bool,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: Vec<u8>,
}

impl Packet {
    /// `None` for what is not RTP version 2 without extension and contributing sources.
    fn parse(from: SocketAddr, bytes: &[u8]) -> Option<Self> {
        let (&[first, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3], payload) =
            bytes.split_first_chunk::<HEADER_BYTES>()?;
        (first == 0x80).then(|| Self {
            from,
            payload_type: second & 0x7f,
            marker: second & 0x80 != 0,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            payload: payload.to_vec(),
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let marker = if self.marker { 0x80 } else { 0 };
        let mut bytes = vec![0x80, marker | self.payload_type];
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.timestamp.to_be_bytes());
        bytes.extend(self.ssrc.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// What happens to packets between this party and the box, the same from the same seed.
#[derive(Clone, Copy, Debug)]
pub struct Trouble {
    pub seed: u64,
    /// Of a hundred packets.
    pub lost: u64,
    pub twice: u64,
    /// Frames of 20 ms by which a packet may be late, each by itself: they overtake each other.
    pub late: u64,
}

/// What the thread and the test both see.
#[derive(Debug)]
struct Shared {
    says: Says,
    to: Option<SocketAddr>,
    heard: Vec<Packet>,
    sent: u64,
    reports: u64,
    not_rtp: u64,
    trouble: Option<(Trouble, Dice)>,
    /// Packets on their way, and the frame in which they arrive.
    flying: Vec<(u64, Vec<u8>)>,
    /// Keys to be pressed (RFC 4733 events), five frames each and five between.
    keys: VecDeque<u8>,
    pressed: u16,
}

/// A party that listens and, once it knows where to, speaks.
#[derive(Debug)]
pub struct RtpPeer {
    address: SocketAddr,
    law: Law,
    shared: Arc<Mutex<Shared>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl RtpPeer {
    /// Opens an even port and the odd one above it on `ip` and begins to listen.
    ///
    /// # Panics
    /// If no pair of ports is free there.
    pub fn open(ip: IpAddr, law: Law, says: Says) -> Self {
        let (rtp, rtcp) = pair(ip);
        let address = rtp.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Mutex::new(Shared {
            says,
            to: None,
            heard: vec![],
            sent: 0,
            reports: 0,
            not_rtp: 0,
            trouble: None,
            flying: vec![],
            keys: VecDeque::new(),
            pressed: 0,
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let speaker =
            Speaker { rtp, rtcp, law, shared: Arc::clone(&shared), stop: Arc::clone(&stop) };
        let thread = thread::spawn(move || speaker.run());
        Self { address, law, shared, stop, thread: Some(thread) }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn law(&self) -> Law {
        self.law
    }

    /// Where to speak to: the far side's session description says so.
    pub fn speak_to(&self, to: SocketAddr) {
        self.shared().to = Some(to);
    }

    pub fn say(&self, says: Says) {
        self.shared().says = says;
    }

    /// From here on the way to the box is a bad one.
    pub fn trouble(&self, trouble: Trouble) {
        self.shared().trouble = Some((trouble, Dice::new(trouble.seed, 0)));
    }

    /// Presses these keys, one after the other, in place of what it says.
    ///
    /// # Panics
    /// If there is no such key.
    pub fn press(&self, keys: &str) {
        let event = |key| "0123456789*#ABCD".find(key).and_then(|event| u8::try_from(event).ok());
        self.shared().keys.extend(keys.chars().map(|key| event(key).expect("a telephone's key")));
    }

    /// How many packets were heard so far; a mark to cut the recording at.
    pub fn heard(&self) -> usize {
        self.shared().heard.len()
    }

    pub fn sent(&self) -> u64 {
        self.shared().sent
    }

    /// Waits for so many packets more and gives their place in all that was heard.
    pub fn listen(&self, packets: usize) -> Range<usize> {
        let start = self.heard();
        let what = format!("{packets} RTP packets more at {}", self.address);
        crate::wait::until(&what, || (self.heard() >= start + packets).then_some(()));
        start..start + packets
    }

    /// Ends the party and gives all it heard.
    pub fn stop(mut self) -> Heard {
        self.end();
        let shared = self.shared();
        Heard {
            law: self.law,
            packets: shared.heard.clone(),
            sent: shared.sent,
            reports: shared.reports,
            not_rtp: shared.not_rtp,
        }
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("the speaker does not panic")
    }
}

impl Drop for RtpPeer {
    fn drop(&mut self) {
        self.end();
    }
}

/// An even port and the next one, both free; the kernel proposes.
fn pair(ip: IpAddr) -> (UdpSocket, UdpSocket) {
    for _ in 0..200 {
        let Ok(rtp) = UdpSocket::bind((ip, 0)) else { continue };
        let port = rtp.local_addr().map_or(1, |address| address.port());
        if let (0, Ok(rtcp)) = (port % 2, UdpSocket::bind((ip, port | 1))) {
            return (rtp, rtcp);
        }
    }
    panic!("no free pair of UDP ports on {ip}");
}

/// The thread's side of a party.
struct Speaker {
    rtp: UdpSocket,
    rtcp: UdpSocket,
    law: Law,
    shared: Arc<Mutex<Shared>>,
    stop: Arc<AtomicBool>,
}

impl Speaker {
    /// Absolute deadlines, so that the party keeps its rate however late it is woken.
    fn run(self) {
        self.rtcp.set_nonblocking(true).expect("a UDP socket can be made non-blocking");
        let mut next = self.first_packet();
        let mut deadline = Instant::now() + FRAME;
        while !self.stop.load(Ordering::Relaxed) {
            self.listen_until(deadline);
            self.speak(&mut next);
            deadline += FRAME;
        }
    }

    /// Sequence and timestamp start shortly before they wrap round, SSRC names the port.
    fn first_packet(&self) -> Packet {
        let address = self.rtp.local_addr().expect("a bound socket has an address");
        Packet {
            from: address,
            payload_type: self.law.payload_type(),
            marker: true,
            sequence: u16::MAX - 50,
            timestamp: u32::MAX - 100 * FRAME_TIMESTAMP,
            ssrc: 0x7e57_0000 | u32::from(address.port()),
            payload: vec![],
        }
    }

    fn listen_until(&self, deadline: Instant) {
        let mut buffer = [0; 2_048];
        while let Some(left) =
            deadline.checked_duration_since(Instant::now()).filter(|d| !d.is_zero())
        {
            self.rtp.set_read_timeout(Some(left)).expect("the time left is not zero");
            let Ok((length, from)) = self.rtp.recv_from(&mut buffer) else { continue };
            let packet = Packet::parse(from, &buffer[..length]);
            let mut shared = self.shared.lock().expect("nobody panics with this lock");
            match packet {
                Some(packet) => shared.heard.push(packet),
                None => shared.not_rtp += 1,
            }
        }
        while self.rtcp.recv_from(&mut buffer).is_ok() {
            self.shared.lock().expect("nobody panics with this lock").reports += 1;
        }
    }

    fn speak(&self, next: &mut Packet) {
        let mut shared = self.shared.lock().expect("nobody panics with this lock");
        let Some(to) = shared.to else { return };
        let frame = shared.sent;
        next.payload = match &shared.says {
            Says::Nothing => return,
            Says::Tone { hz } => tone::sine(*hz, frame * 160, FRAME_SAMPLES)
                .into_iter()
                .map(|sample| self.law.encode(sample))
                .collect(),
            Says::Encoded(bytes) => {
                let start =
                    usize::try_from(frame).expect("a short test") * FRAME_SAMPLES % bytes.len();
                bytes.iter().cycle().skip(start).take(FRAME_SAMPLES).copied().collect()
            }
        };
        for packet in shared.press(next) {
            shared.send(packet);
        }
        let now = shared.sent;
        for (_, bytes) in shared.flying.extract_if(.., |(due, _)| *due <= now) {
            // A far side that has closed its port answers with an ICMP error; that is its business.
            drop(self.rtp.send_to(&bytes, to));
        }
        shared.sent += 1;
        next.marker = false;
        next.sequence = next.sequence.wrapping_add(1);
        next.timestamp = next.timestamp.wrapping_add(FRAME_TIMESTAMP);
    }
}

impl Shared {
    /// This frame's packets: what is said, or a key in place of it; its end three times.
    fn press(&mut self, next: &mut Packet) -> Vec<Vec<u8>> {
        let Some(&key) = self.keys.front() else { return vec![next.bytes()] };
        self.pressed += 1;
        let n = self.pressed;
        if n > KEY_FRAMES {
            if n == 2 * KEY_FRAMES {
                self.keys.pop_front();
                self.pressed = 0;
            }
            return vec![next.bytes()];
        }
        let end = n == KEY_FRAMES;
        let [high, low] = (n * 160).to_be_bytes();
        let payload = vec![key, if end { 0x8A } else { 10 }, high, low];
        let timestamp = next.timestamp.wrapping_sub(u32::from(n - 1) * FRAME_TIMESTAMP);
        let mut packets = vec![];
        for copy in 0..if end { 3 } else { 1 } {
            next.sequence = next.sequence.wrapping_add(u16::from(copy > 0));
            let (payload_type, marker) = (TELEPHONE_EVENT, n == 1);
            let key = Packet { payload_type, marker, timestamp, payload: payload.clone(), ..*next };
            packets.push(key.bytes());
        }
        packets
    }

    fn send(&mut self, packet: Vec<u8>) {
        let Some((Trouble { lost, twice, late, .. }, dice)) = &mut self.trouble else {
            return self.flying.push((self.sent, packet));
        };
        for _ in 0..1 + u8::from(dice.percent(*twice)) {
            let due = self.sent + dice.number(0..*late + 1);
            if !dice.percent(*lost) {
                self.flying.push((due, packet.clone()));
            }
        }
    }
}

/// Frames a key is held, and frames between two.
const KEY_FRAMES: u16 = 5;

/// What the scenarios of SIPp offer.
const TELEPHONE_EVENT: u8 = 101;

/// All that a party heard, in the order of arrival.
#[derive(Debug)]
pub struct Heard {
    pub law: Law,
    pub packets: Vec<Packet>,
    /// Packets this party sent itself.
    pub sent: u64,
    /// RTCP packets that came to the port above.
    pub reports: u64,
    pub not_rtp: u64,
}

impl Heard {
    /// The sound of these packets.
    pub fn pcm(&self, part: Range<usize>) -> Vec<i16> {
        let packets = self.packets.get(part).unwrap_or_default();
        packets.iter().flat_map(|p| &p.payload).map(|&byte| self.law.decode(byte)).collect()
    }

    /// Share of power of this tone in these packets.
    pub fn share(&self, part: Range<usize>, hz: f64) -> f64 {
        tone::share(&self.pcm(part), hz)
    }

    /// What most of these packets hold of this tone.
    pub fn mostly(&self, part: Range<usize>, hz: f64) -> f64 {
        tone::mostly(&self.pcm(part), hz)
    }

    /// Everything that breaks the promise of one continuous stream, in words; empty if it was kept.
    pub fn breaks(&self) -> Vec<String> {
        let mut breaks = vec![];
        for (at, pair) in (1..).zip(self.packets.windows(2)) {
            let [before, after] = pair else { continue };
            if after.ssrc != before.ssrc {
                breaks.push(format!(
                    "packet {at}: SSRC {:08x} follows {:08x}",
                    after.ssrc, before.ssrc
                ));
            }
            if after.sequence != before.sequence.wrapping_add(1) {
                breaks.push(format!(
                    "packet {at}: sequence {} follows {}",
                    after.sequence, before.sequence
                ));
            }
            if after.timestamp != before.timestamp.wrapping_add(FRAME_TIMESTAMP) {
                breaks.push(format!(
                    "packet {at}: timestamp {} follows {}",
                    after.timestamp, before.timestamp
                ));
            }
        }
        let odd = self.packets.iter().filter(|p| p.payload.len() != FRAME_SAMPLES).count();
        if odd > 0 {
            breaks.push(format!("{odd} packets are not of 20 ms"));
        }
        breaks
    }

    /// Whom the packets came from.
    pub fn sources(&self) -> BTreeSet<SocketAddr> {
        self.packets.iter().map(|packet| packet.from).collect()
    }

    pub fn payload_types(&self) -> BTreeSet<u8> {
        self.packets.iter().map(|packet| packet.payload_type).collect()
    }
}
