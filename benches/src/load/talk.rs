//! The audio of bridged calls: each end sends numbered, stamped packets 50 times a second at its own
//! phase, and looks at what the other end's became.

use crate::load::{
    delays::Delays,
    sip::Format,
    voice::{self, Voice},
};
use crate::{callers::PACKET_BYTES, clock};
use nix::{
    errno::Errno,
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, setsockopt,
            sockopt::ReceiveTimestampns,
        },
        time::TimeSpec,
    },
    time::{ClockId, clock_gettime},
};
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

/// How often each end speaks.
const FRAME: Duration = Duration::from_millis(20);
/// RFC 3550 §5.1.
const HEADER_BYTES: usize = 12;
/// Begins the audio of every packet of ours: what does not have it was put in by somebody else.
const MARK: [u8; 4] = *b"load";
/// Packets one look takes; there is rarely more than one.
const AT_ONCE: usize = 8;
/// Mark, number, time: what the first bytes of the audio hold.
const STAMP_BYTES: usize = MARK.len() + 4 + 8;

/// Both ends of some calls, served by one thread; ends 2n and 2n+1 talk to each other.
pub struct Talk {
    ends: Vec<End>,
    headers: MultiHeaders<()>,
    buffers: Vec<[u8; 2 * PACKET_BYTES]>,
    seen: Seen,
    /// Numbers that are measured, of every end.
    numbers: std::ops::Range<u32>,
    /// Who speaks when in a frame, in that order.
    phases: Vec<(Duration, usize)>,
    /// When the next frame begins.
    frame_at: Duration,
    /// Each end speaks in one frame of so many.
    speaks_every: u32,
}

/// What became of the packets of a span.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub sent: u64,
    pub heard: u64,
    /// Sent and never heard.
    pub lost: u64,
    pub doubled: u64,
    /// Heard after one with a higher number.
    pub overtaken: u64,
    /// Steps of the RTP sequence that were not +1, as the far end counts them.
    pub gaps: u64,
    /// Audio that is not ours: silence or music put in.
    pub put_in: u64,
    /// All that came, whatever was in it.
    pub came: u64,
    /// From the sender's call to the kernel until the packet lay in the receiver's socket.
    pub latency: Delays,
    /// From when an impulse was to be heard at the sender's until it was at the receiver's.
    pub travel: Delays,
    /// How far from 20 ms a packet came after the one before it.
    pub spacing: Delays,
    /// How late a packet was sent, by ourselves.
    pub late: Delays,
}

struct End {
    rtp: UdpSocket,
    /// Open so that reports find somebody; never read.
    _rtcp: UdpSocket,
    to: Option<SocketAddr>,
    packet: Vec<u8>,
    format: Format,
    voice: Voice,
    /// Whose impulses it hears.
    hears: usize,
    /// When its last impulse was to be heard.
    impulse_at: Duration,
    last_travel: Duration,
    last_at: Option<Duration>,
    number: u32,
    sequence: u16,
    /// Which of the other end's measured numbers were heard.
    ticked: Vec<bool>,
    highest: u32,
    last_sequence: Option<u16>,
}

impl Talk {
    pub fn new(address: IpAddr, calls: u16, first_port: u16) -> io::Result<Self> {
        let ends = (0..2 * calls).map(|place| End::new(address, first_port + 2 * place, place));
        Ok(Self {
            ends: ends.collect::<io::Result<_>>()?,
            headers: MultiHeaders::preallocate(AT_ONCE, Some(nix::cmsg_space!(TimeSpec))),
            buffers: vec![[0; 2 * PACKET_BYTES]; AT_ONCE],
            seen: Seen::default(),
            numbers: u32::MAX..u32::MAX,
            phases: phases(2 * usize::from(calls)),
            frame_at: Duration::ZERO,
            speaks_every: 1,
        })
    }

    /// Where each call's two ends want to be spoken to.
    pub fn addresses(&self) -> io::Result<Vec<[SocketAddr; 2]>> {
        let pair = |pair: &[End]| Ok([pair[0].rtp.local_addr()?, pair[1].rtp.local_addr()?]);
        self.ends.chunks_exact(2).map(pair).collect()
    }

    /// Tells each end where it speaks to.
    pub fn aim(&mut self, targets: impl IntoIterator<Item = SocketAddr>) {
        for (end, target) in self.ends.iter_mut().zip(targets) {
            end.to = Some(target);
        }
    }

    /// The ends, from the first on, have these voices in turn.
    pub fn voices(&mut self, voices: &[(Format, Voice)]) {
        for (end, (format, voice)) in self.ends.iter_mut().zip(voices.iter().cycle()) {
            end.packet.truncate(HEADER_BYTES);
            end.packet.resize(PACKET_BYTES, 0xD5);
            (end.format, end.voice) = (*format, voice.clone());
        }
    }

    /// Ends talk in groups of so many, and all hear the impulses of the first.
    pub fn group(&mut self, of: usize) {
        for (place, end) in self.ends.iter_mut().enumerate() {
            end.hears = place - place % of;
        }
    }

    /// Each end speaks only in one frame of so many.
    pub const fn speak_every(&mut self, frames: u32) {
        self.speaks_every = frames;
    }

    /// All speak and listen for so long, unmeasured.
    pub fn warm_up(&mut self, span: Duration) -> io::Result<()> {
        let rounds = rounds(span);
        self.speak_in_turns(rounds)
    }

    /// All speak and listen for so long; `probe` is asked at the beginning and at the end.
    pub fn measure<T>(
        &mut self,
        span: Duration,
        mut probe: impl FnMut() -> T,
    ) -> io::Result<([T; 2], Seen)> {
        let rounds = rounds(span);
        let first = self.ends.first().map_or(0, |end| end.number);
        self.numbers = first..first + rounds;
        self.seen = Seen::default();
        for end in &mut self.ends {
            end.ticked = vec![false; rounds as usize];
            (end.highest, end.last_sequence, end.last_at) = (0, None, None);
        }
        let before = probe();
        self.speak_in_turns(rounds)?;
        let after = probe();
        // What is under way arrives; what is said meanwhile is not measured.
        let measured = (self.seen.sent, self.seen.came);
        self.speak_in_turns(10)?;
        let mut seen = std::mem::take(&mut self.seen);
        (seen.sent, seen.came) = measured;
        seen.heard =
            self.ends.iter().flat_map(|end| &end.ticked).filter(|&&heard| heard).count() as u64;
        seen.lost = seen.sent.saturating_sub(seen.heard);
        self.numbers = u32::MAX..u32::MAX;
        Ok(([before, after], seen))
    }

    fn speak_in_turns(&mut self, rounds: u32) -> io::Result<()> {
        // From one span to the next without a break. After a real one, and at first, from now on: a
        // frame begun too late is a burst, and whoever evens out jitter would remember it.
        let now = clock::now();
        if now.saturating_sub(self.frame_at) > FRAME {
            self.frame_at = now;
        }
        for round in 0..rounds {
            for turn in 0..self.phases.len() {
                let (phase, place) = self.phases[turn];
                let due = self.frame_at + phase;
                clock::wait_until(due);
                self.seen.late.add(clock::now().saturating_sub(due));
                let every = self.speaks_every as usize;
                if round as usize % every == place % every {
                    self.seen.sent += u64::from(self.ends[place].speak());
                }
                self.listen(place)?;
            }
            self.frame_at += FRAME;
        }
        Ok(())
    }

    /// After its own packet and never woken by one: nobody who sends here pays for it. The kernel
    /// has written down when each came.
    fn listen(&mut self, place: usize) -> io::Result<()> {
        let Self { ends, headers, buffers, seen, numbers, .. } = self;
        let hears = ends[place].hears;
        let impulse_at = ends[hears].impulse_at;
        let end = &mut ends[place];
        let mut slices: [[IoSliceMut<'_>; 1]; AT_ONCE] = {
            let mut left = buffers.iter_mut();
            std::array::from_fn(|_| [IoSliceMut::new(left.next().map_or(&mut [], |buffer| buffer))])
        };
        let flags = MsgFlags::MSG_DONTWAIT;
        let came = match recvmmsg(end.rtp.as_raw_fd(), headers, slices.iter_mut(), flags, None) {
            Ok(came) => came,
            Err(Errno::EAGAIN | Errno::ECONNREFUSED) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for message in came {
            let at = message.cmsgs()?.find_map(|said| {
                let ControlMessageOwned::ScmTimestampns(at) = said else { return None };
                Some(Duration::from(at))
            });
            let bytes = message.iovs().next().unwrap_or_default();
            let at = at.unwrap_or_default();
            seen.came += 1;
            end.came(at, seen);
            if hears != place {
                end.hear_impulse(bytes, at, impulse_at, seen);
            }
            end.hear(bytes, at, numbers, seen);
        }
        Ok(())
    }
}

impl End {
    fn new(address: IpAddr, port: u16, place: u16) -> io::Result<Self> {
        let open = |port| {
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{address}:{port}: {error}"))
            };
            UdpSocket::bind((address, port)).map_err(named)
        };
        let (rtp, rtcp) = (open(port)?, open(port + 1)?);
        rtp.set_nonblocking(true)?;
        setsockopt(&rtp, ReceiveTimestampns, &true)?;
        let mut packet = vec![0xD5; PACKET_BYTES];
        packet[..HEADER_BYTES].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet[10..HEADER_BYTES].copy_from_slice(&place.to_be_bytes());
        Ok(Self {
            rtp,
            _rtcp: rtcp,
            to: None,
            packet,
            format: Format::G711,
            voice: Voice::Stamped,
            hears: usize::from(place ^ 1),
            impulse_at: Duration::ZERO,
            last_travel: Duration::ZERO,
            last_at: None,
            number: 0,
            sequence: 0,
            ticked: Vec::new(),
            highest: 0,
            last_sequence: None,
        })
    }

    fn speak(&mut self) -> bool {
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        let timestamp = self.number.wrapping_mul(self.format.step());
        self.packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        match &self.voice {
            Voice::Stamped => {
                let stamp = &mut self.packet[HEADER_BYTES..HEADER_BYTES + STAMP_BYTES];
                stamp[..4].copy_from_slice(&MARK);
                stamp[4..8].copy_from_slice(&self.number.to_be_bytes());
                stamp[8..].copy_from_slice(&nanoseconds(wall()).to_be_bytes());
            }
            Voice::Canned(canned) => {
                let (said, impulse) = canned.packet(self.number);
                self.packet[1] = self.format.payload_type();
                self.packet.truncate(HEADER_BYTES);
                self.packet.extend_from_slice(said);
                if let Some(offset) = impulse {
                    self.impulse_at = wall() + offset;
                }
            }
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.number += 1;
        self.to.is_some_and(|to| self.rtp.send_to(&self.packet, to).is_ok())
    }

    fn came(&mut self, at: Duration, seen: &mut Seen) {
        if let Some(last) = self.last_at.replace(at) {
            // A pause of the talk itself is no distance.
            let distance = at.saturating_sub(last);
            if distance < 10 * FRAME {
                seen.spacing.add(distance.abs_diff(FRAME));
            }
        }
    }

    fn hear_impulse(&mut self, bytes: &[u8], at: Duration, said_at: Duration, seen: &mut Seen) {
        let Some(offset) = bytes.get(HEADER_BYTES..).and_then(voice::impulse) else { return };
        // One impulse may ring on into the next packet.
        if self.format == Format::G711 && said_at > self.last_travel {
            self.last_travel = said_at;
            seen.travel.add((at + offset).saturating_sub(said_at));
        }
    }

    fn hear(
        &mut self,
        bytes: &[u8],
        at: Duration,
        numbers: &std::ops::Range<u32>,
        seen: &mut Seen,
    ) {
        let Some((number, sent_at)) = read_stamp(bytes) else {
            seen.put_in += 1;
            return;
        };
        let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
        let expected = self.last_sequence.replace(sequence).map(|last| last.wrapping_add(1));
        seen.gaps += u64::from(expected.is_some_and(|expected| expected != sequence));
        seen.overtaken += u64::from(number < self.highest);
        self.highest = self.highest.max(number);
        if numbers.contains(&number) {
            let ticked = &mut self.ticked[(number - numbers.start) as usize];
            seen.doubled += u64::from(std::mem::replace(ticked, true));
            seen.latency.add(at.saturating_sub(sent_at));
        }
    }
}

/// Telephones know nothing of each other: their phases fall anywhere in a frame, some together and
/// some apart. The same ones every time.
fn phases(ends: usize) -> Vec<(Duration, usize)> {
    let mut random = 0x9E37_79B9_u32;
    let mut phases: Vec<_> = (0..ends)
        .map(|place| {
            // Marsaglia's xorshift.
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            (FRAME.mul_f64(f64::from(random) / f64::from(u32::MAX)), place)
        })
        .collect();
    phases.sort();
    phases
}

/// The number of a packet of ours and when it was sent.
fn read_stamp(packet: &[u8]) -> Option<(u32, Duration)> {
    let stamp = packet.get(HEADER_BYTES..)?.first_chunk::<STAMP_BYTES>()?;
    let &[a, b, c, d, n0, n1, n2, n3, t0, t1, t2, t3, t4, t5, t6, t7] = stamp;
    let sent_at = Duration::from_nanos(u64::from_be_bytes([t0, t1, t2, t3, t4, t5, t6, t7]));
    ([a, b, c, d] == MARK).then(|| (u32::from_be_bytes([n0, n1, n2, n3]), sent_at))
}

fn rounds(span: Duration) -> u32 {
    u32::try_from(span.as_nanos() / FRAME.as_nanos()).unwrap_or(u32::MAX)
}

/// The clock the kernel stamps arrivals with.
fn wall() -> Duration {
    clock_gettime(ClockId::CLOCK_REALTIME).expect("Linux always has a wall clock").into()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn what_two_ends_say_to_each_other_is_all_heard_and_silence_put_in_is_told_apart() {
        let mut talk =
            Talk::new(IpAddr::V4(Ipv4Addr::new(127, 88, 1, 1)), 1, 20_000).expect("two ends");
        let [a, b] = talk.addresses().expect("bound")[0];
        talk.aim([b, a]);
        let stranger = UdpSocket::bind("127.88.1.2:0").expect("a port is free");
        stranger.send_to(&[0x80; PACKET_BYTES], a).expect("loopback");

        let ([before, after], seen) =
            talk.measure(Duration::from_millis(100), || 7).expect("measured");

        assert_eq!((before, after), (7, 7));
        assert_eq!((seen.sent, seen.heard, seen.lost, seen.put_in), (10, 10, 0, 1));
        assert_eq!((seen.doubled, seen.overtaken, seen.gaps), (0, 0, 0));
        let longest = seen.latency.ms([1.0]);
        assert!(longest.is_some_and(|[ms]| ms < 5_000.0), "{longest:?}");
    }

    #[test]
    fn who_is_not_passed_on_is_lost() {
        let mut talk =
            Talk::new(IpAddr::V4(Ipv4Addr::new(127, 88, 1, 3)), 1, 20_000).expect("two ends");
        let hole = UdpSocket::bind("127.88.1.2:0").expect("a port is free");
        let [a, _] = talk.addresses().expect("bound")[0];
        talk.aim([hole.local_addr().expect("bound"), a]);

        let (_, seen) = talk.measure(Duration::from_millis(60), || ()).expect("measured");

        assert_eq!((seen.sent, seen.heard, seen.lost), (6, 3, 3));
    }
}
