//! Caller and callee in one thread: dialogs placed at a steady pace over UDP, the delays both saw,
//! what failed, and how late the generator itself was.

mod call;
mod hear;
mod parties;
mod tally;

pub use parties::{Side, Told, own_key};
pub use tally::Tally;

use crate::clock;
use crate::load::sip::Format;
use call::{Call, Leg, Stage};
use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        socket::{setsockopt, sockopt},
        time::TimeSpec,
    },
};
use parties::Parties;
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
    time::Duration,
};

/// RFC 3261 §17.1.1.1.
const T1: Duration = Duration::from_millis(500);
/// A call that is not answered, or not ended, for so long has failed.
const PATIENCE: Duration = Duration::from_secs(5);
/// Datagrams taken from one socket before the clock is looked at again.
const AT_ONCE: usize = 32;
/// What both sockets ask of the kernel, so that a burst is not lost here.
const BUFFER_BYTES: usize = 8 << 20;

/// Callers, callees and what became of their calls.
pub struct Calls {
    caller: UdpSocket,
    callee: UdpSocket,
    parties: Parties,
    pace: Option<Pace>,
    calls: Vec<Call>,
    timers: BinaryHeap<Reverse<(Duration, usize, Timer)>>,
    /// Calls of which one end or the other is not over.
    live: usize,
    patience: Duration,
    measuring: bool,
    tally: Tally,
}

/// When the next call is placed and how long it lasts.
#[derive(Clone, Copy, Debug)]
struct Pace {
    due: Duration,
    gap: Duration,
    hold: Option<Duration>,
    left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    HangUp,
    /// The caller's INVITE (or BYE), said so many times already.
    SayAgain(Leg, u32),
    /// Nothing came of it.
    GiveUp(Leg),
}

impl Calls {
    /// Callers at the first address, callees at the second, and who stands between them.
    pub fn new(
        [caller, callee]: [SocketAddr; 2],
        target: SocketAddr,
        audio: Vec<[SocketAddr; 2]>,
    ) -> io::Result<Self> {
        let (caller, callee) = (open(caller)?, open(callee)?);
        let parties = Parties {
            caller: caller.local_addr()?,
            callee: callee.local_addr()?,
            target,
            audio,
            formats: [Format::G711; 2],
            encrypt: false,
            wait: false,
        };
        Ok(Self {
            caller,
            callee,
            parties,
            pace: None,
            calls: Vec::new(),
            timers: BinaryHeap::new(),
            live: 0,
            patience: PATIENCE,
            measuring: false,
            tally: Tally::default(),
        })
    }

    /// What both ends speak from now on.
    pub const fn speak(&mut self, formats: [Format; 2]) {
        self.parties.formats = formats;
    }

    /// From now on both ends wish for SRTP.
    pub const fn encrypt(&mut self) {
        self.parties.encrypt = true;
    }

    /// From now on callers call a team nobody is there of: no callee hears of them.
    pub const fn wait(&mut self) {
        self.parties.wait = true;
    }

    /// From now on calls are placed at this rate, each for so long; without end if so.
    pub fn pace(&mut self, per_second: u32, hold: Option<Duration>, count: usize) {
        let gap = Duration::from_secs(1) / per_second.max(1);
        self.pace = Some(Pace { due: clock::now(), gap, hold, left: count });
    }

    pub fn stop_placing(&mut self) {
        self.pace = None;
        self.measuring = false;
    }

    /// What follows is measured; the calls under way are not.
    pub fn measure(&mut self) {
        let failed = std::mem::take(&mut self.tally.failed);
        self.tally = Tally { failed, ..Tally::default() };
        self.measuring = true;
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Where each call's two ends were told to send their audio, and how.
    pub fn told(&self) -> Vec<Option<[Told; 2]>> {
        let told = |call: &Call| Some([call.told?, call.callee.told?]);
        self.calls.iter().map(told).collect()
    }

    /// Where the callers were told to send their audio.
    pub fn callers_told(&self) -> Vec<Option<SocketAddr>> {
        self.calls.iter().map(|call| Some(call.told?.audio)).collect()
    }

    /// Lives on until this moment.
    pub fn run_until(&mut self, end: Duration) -> io::Result<()> {
        loop {
            let now = clock::now();
            self.place_due(now)?;
            self.fire_due(now)?;
            if now >= end {
                return Ok(());
            }
            self.hear(end)?;
        }
    }

    pub fn run_for(&mut self, span: Duration) -> io::Result<()> {
        self.run_until(clock::now() + span)
    }

    /// Until every placed call talks or has failed, or patience ends.
    pub fn run_until_talking(&mut self) -> io::Result<()> {
        let waits = |call: &Call| {
            let talks = call.stage == Stage::Talking && call.callee.acknowledged;
            !talks && call.stage != Stage::Over
        };
        let end = clock::now() + 2 * self.patience;
        while self.pace.is_some_and(|pace| pace.left > 0) || self.calls.iter().any(waits) {
            if clock::now() >= end {
                break;
            }
            self.run_for(Duration::from_millis(20))?;
        }
        Ok(())
    }

    /// Until every call is over at both ends; what is not is a failure.
    pub fn run_until_over(&mut self) -> io::Result<()> {
        let end = clock::now() + self.patience + T1;
        while self.live > 0 && clock::now() < end {
            self.run_for(Duration::from_millis(20))?;
        }
        for number in 0..self.calls.len() {
            if !self.calls[number].is_over() {
                self.fail(number, "the callee was never told that it is over");
            }
        }
        Ok(())
    }

    /// The callers hang up, at this pace.
    pub fn hang_up_all(&mut self, per_second: u32) {
        let (gap, now) = (Duration::from_secs(1) / per_second.max(1), clock::now());
        for (place, number) in (0_u32..).zip(0..self.calls.len()) {
            self.timers.push(Reverse((now + gap * place, number, Timer::HangUp)));
        }
    }

    fn place_due(&mut self, now: Duration) -> io::Result<()> {
        while let Some(pace) = self.pace.filter(|pace| pace.left > 0 && pace.due <= now) {
            self.late_by(now.saturating_sub(pace.due));
            self.pace = Some(Pace { due: pace.due + pace.gap, left: pace.left - 1, ..pace });
            self.place(pace.hold)?;
        }
        Ok(())
    }

    fn late_by(&mut self, late: Duration) {
        if self.measuring {
            self.tally.late.add(late);
        }
    }

    fn place(&mut self, hold: Option<Duration>) -> io::Result<()> {
        let number = self.calls.len();
        let now = clock::now();
        let mut call = Call::new(now, self.measuring, hold, &self.parties.dialled(number));
        call.pending = self.parties.invite(number, &call);
        (call.callee.acknowledged, call.callee.over) = (self.parties.wait, self.parties.wait);
        self.tally.placed += u64::from(self.measuring);
        self.live += 1;
        self.say(&call.pending)?;
        self.calls.push(call);
        self.start_timers(number, Leg::Invite, now);
        Ok(())
    }

    fn start_timers(&mut self, number: usize, leg: Leg, now: Duration) {
        self.timers.push(Reverse((now + T1, number, Timer::SayAgain(leg, 1))));
        self.timers.push(Reverse((now + self.patience, number, Timer::GiveUp(leg))));
    }

    fn say(&self, bytes: &[u8]) -> io::Result<()> {
        self.caller.send_to(bytes, self.parties.target).map(drop)
    }

    fn fire_due(&mut self, now: Duration) -> io::Result<()> {
        while let Some(&Reverse((due, number, timer))) = self.timers.peek() {
            if due > now {
                break;
            }
            self.timers.pop();
            match timer {
                Timer::HangUp => {
                    self.late_by(now.saturating_sub(due));
                    self.hang_up(number)?;
                }
                Timer::SayAgain(leg, times) => self.say_again(number, leg, times, now)?,
                Timer::GiveUp(leg) => self.give_up(number, leg),
            }
        }
        Ok(())
    }

    fn hang_up(&mut self, number: usize) -> io::Result<()> {
        if self.calls[number].stage != Stage::Talking {
            return Ok(());
        }
        let now = clock::now();
        let bye = self.parties.bye(number, &self.calls[number]);
        let call = &mut self.calls[number];
        (call.stage, call.asked, call.pending) = (Stage::Leaving, now, bye);
        self.say(&self.calls[number].pending)?;
        self.start_timers(number, Leg::Bye, now);
        Ok(())
    }

    fn say_again(&mut self, number: usize, leg: Leg, times: u32, now: Duration) -> io::Result<()> {
        let call = &self.calls[number];
        if !call.waits_for(leg) {
            return Ok(());
        }
        match (leg, call.callee.from) {
            (Leg::Invite | Leg::Bye, _) => self.say(&call.pending)?,
            (Leg::Answer, Some(from)) => drop(self.callee.send_to(&call.callee.answer, from)?),
            (Leg::Answer, None) => {}
        }
        self.tally.said_again += 1;
        let next = now + T1 * (1 << times.min(3));
        self.timers.push(Reverse((next, number, Timer::SayAgain(leg, times + 1))));
        Ok(())
    }

    fn give_up(&mut self, number: usize, leg: Leg) {
        let call = &self.calls[number];
        // What is being worked on has had its chance too.
        let stuck = leg == Leg::Invite && call.stage == Stage::Proceeding;
        if call.waits_for(leg) || stuck {
            self.fail(
                number,
                match leg {
                    Leg::Invite => "INVITE without an answer",
                    Leg::Bye => "BYE without an answer",
                    Leg::Answer => "200 without an ACK",
                },
            );
        }
    }

    fn fail(&mut self, number: usize, why: &str) {
        let call = &mut self.calls[number];
        if !call.is_over() {
            self.live -= 1;
        }
        (call.stage, call.callee.over) = (Stage::Over, true);
        if !std::mem::replace(&mut call.failed, true) {
            *self.tally.failed.entry(why.to_owned()).or_default() += 1;
        }
    }

    /// Waits for what comes first: a datagram, a call to place, a timer.
    fn hear(&mut self, end: Duration) -> io::Result<()> {
        let timer = self.timers.peek().map(|Reverse((due, ..))| *due);
        let pace = self.pace.filter(|pace| pace.left > 0).map(|pace| pace.due);
        let next = [timer, pace].into_iter().flatten().fold(end, Duration::min);
        let wait = TimeSpec::from_duration(next.saturating_sub(clock::now()));
        let mut sockets = [&self.caller, &self.callee]
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        ppoll(&mut sockets, Some(wait), None)?;
        let [caller, callee] = sockets.map(|socket| socket.any().unwrap_or(false));
        let mut buffer = [0; 4_096];
        for _ in 0..AT_ONCE * usize::from(callee) {
            let Ok((length, from)) = self.callee.recv_from(&mut buffer) else { break };
            self.heard_by_callee(&buffer[..length], from)?;
        }
        for _ in 0..AT_ONCE * usize::from(caller) {
            let Ok((length, from)) = self.caller.recv_from(&mut buffer) else { break };
            self.heard_by_caller(&buffer[..length], from)?;
        }
        Ok(())
    }
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let socket = UdpSocket::bind(address).map_err(named)?;
    socket.set_nonblocking(true)?;
    // A smaller buffer carries calls too, and what it loses shows as said again.
    _ = setsockopt(&socket, sockopt::RcvBuf, &BUFFER_BYTES);
    Ok(socket)
}

#[cfg(test)]
mod tests;
