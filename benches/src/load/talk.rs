//! The audio of bridged calls: each end sends numbered, stamped packets 50 times a second at its own
//! phase, and looks at what the other end's became.
//!
//! Callers share one socket and so do those they call: what comes is told apart by where it comes from.
//! Who is due together is sent by one system call, and nobody waits for that: whoever wakes for each packet
//! would find several at once, and cost less than among telephones.

mod end;
mod seen;

pub use seen::Seen;

use crate::load::{sip::Format, street::Street, voice::Voice};
use crate::{clock, cpu::Thread};
use end::{End, FRAME};
use media_core::srtp::MasterKey;
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    ops::Range,
    time::Duration,
};

/// Between two looks at what has come, at least: ten packets of 400 calls.
const LOOK_EVERY: Duration = Duration::from_micros(250);

/// Both ends of some calls, served by one thread; ends 2n and 2n+1 talk to each other.
pub struct Talk {
    ends: Vec<End>,
    streets: [Street; 2],
    addresses: [SocketAddrV4; 2],
    /// Whom what comes from there is for, of each street.
    known: [HashMap<SocketAddrV4, usize>; 2],
    seen: Seen,
    /// Numbers that are measured, of every end.
    numbers: Range<u32>,
    /// Who speaks when in a frame, in that order.
    phases: Vec<(Duration, usize)>,
    /// When the next frame begins.
    frame_at: Duration,
    /// How late a packet ever was.
    latest: Duration,
    /// When it was looked last at what has come.
    looked_at: Duration,
}

impl Talk {
    pub fn new(address: Ipv4Addr, calls: u16, first_port: u16) -> io::Result<Self> {
        let addresses = [first_port, first_port + 2].map(|port| SocketAddrV4::new(address, port));
        let [callers, called] = addresses;
        Ok(Self {
            ends: (0..2 * calls).map(End::new).collect(),
            streets: [Street::open(callers)?, Street::open(called)?],
            addresses,
            known: Default::default(),
            seen: Seen::default(),
            numbers: u32::MAX..u32::MAX,
            phases: phases(2 * usize::from(calls)),
            frame_at: Duration::ZERO,
            latest: Duration::ZERO,
            looked_at: Duration::ZERO,
        })
    }

    /// Where each end, in their order, wants to be spoken to.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        (0..self.ends.len()).map(|place| self.addresses[place % 2].into()).collect()
    }

    /// Tells each end where it speaks to. It hears what comes from there.
    pub fn aim(&mut self, targets: impl IntoIterator<Item = SocketAddr>) -> io::Result<()> {
        for (place, target) in (0..self.ends.len()).zip(targets) {
            let SocketAddr::V4(target) = target else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            self.ends[place].to = Some(target);
            if self.known[place % 2].insert(target, place).is_some() {
                let told = format!("two ends of one socket are told to speak to {target}");
                return Err(io::Error::other(told));
            }
        }
        Ok(())
    }

    /// The ends, from the first on, have these voices in turn.
    pub fn voices(&mut self, voices: &[(Format, Voice)]) {
        for (end, (format, voice)) in self.ends.iter_mut().zip(voices.iter().cycle()) {
            end.speak_as(*format, voice.clone());
        }
    }

    /// The ends, from the first on, encrypt with the first of these and are spoken to in the second.
    pub fn encrypt(&mut self, keys: impl IntoIterator<Item = [MasterKey; 2]>) {
        for (end, [own, theirs]) in self.ends.iter_mut().zip(keys) {
            end.encrypt(&own, &theirs);
        }
    }

    /// Ends talk in groups of so many, and all hear the impulses of the first.
    pub fn group(&mut self, of: usize) {
        for (place, end) in self.ends.iter_mut().enumerate() {
            end.hears = place - place % of;
        }
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
        self.seen = Seen { late_before: self.latest, ..Seen::default() };
        self.ends.iter_mut().for_each(|end| end.begin(&self.numbers));
        let own = Thread::this();
        let (before, own_before) = (probe(), own.cpu());
        self.speak_in_turns(rounds)?;
        let (own_after, after) = (own.cpu(), probe());
        // What is under way arrives; what is said meanwhile is not measured.
        let measured = (self.seen.sent, self.seen.came);
        self.speak_in_turns(10)?;
        let mut seen = std::mem::take(&mut self.seen);
        (seen.sent, seen.came) = measured;
        seen.heard = self.ends.iter().map(End::heard).sum();
        seen.lost = seen.sent.saturating_sub(seen.heard);
        seen.own = own_after.saturating_sub(own_before);
        self.numbers = u32::MAX..u32::MAX;
        Ok(([before, after], seen))
    }

    fn speak_in_turns(&mut self, rounds: u32) -> io::Result<()> {
        // From one span to the next without a break. After a real one, and at first, from now on: a
        // frame begun too late is a burst, and whoever evens out jitter would remember it.
        if clock::now().saturating_sub(self.frame_at) > FRAME {
            // What came meanwhile is heard first: it would make the first frames late.
            while self.listen()? {}
            self.frame_at = clock::now();
        }
        for _ in 0..rounds {
            let mut turn = 0;
            while let Some(&(phase, _)) = self.phases.get(turn) {
                clock::wait_until(self.frame_at + phase);
                turn = self.speak(turn)?;
                let now = clock::now();
                if now.saturating_sub(self.looked_at) >= LOOK_EVERY {
                    self.looked_at = now;
                    self.listen()?;
                }
            }
            self.frame_at += FRAME;
        }
        self.listen().map(drop)
    }

    /// Everybody from this turn on whose moment has come speaks. Whose turn is next.
    fn speak(&mut self, from: usize) -> io::Result<usize> {
        let Self { ends, streets, seen, latest, phases, frame_at, .. } = self;
        let now = clock::now();
        let turns = phases.iter().skip(from);
        let due =
            turns.map_while(|&(phase, place)| Some((now.checked_sub(*frame_at + phase)?, place)));
        let mut next = from;
        for (late, place) in due {
            next += 1;
            let end = &mut ends[place];
            if let Some(to) = end.to {
                *latest = late.max(*latest);
                seen.late.add(late);
                seen.sent += streets[place % 2].post(to, |room| end.speak(room))?;
            }
        }
        for street in streets {
            seen.sent += street.send()?;
        }
        Ok(next)
    }

    /// After having spoken and never woken by a packet: nobody who sends here pays for it. The kernel
    /// has written down when each came. True: there may be more.
    fn listen(&mut self) -> io::Result<bool> {
        let Self { ends, streets, known, seen, numbers, .. } = self;
        let mut more = false;
        for (street, known) in streets.iter_mut().zip(known) {
            more |= street.receive(|from, at, bytes| {
                seen.came += 1;
                let Some(&place) = known.get(&from) else {
                    seen.put_in += 1;
                    return;
                };
                let hears = ends[place].hears;
                let said_at = (hears != place).then(|| ends[hears].impulse_at);
                ends[place].hear(bytes, at, said_at, numbers, seen);
            })?;
        }
        Ok(more)
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

fn rounds(span: Duration) -> u32 {
    u32::try_from(span.as_nanos() / FRAME.as_nanos()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
