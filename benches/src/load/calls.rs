//! Caller and callee in one thread: dialogs placed at a steady pace over UDP, the delays both saw,
//! what failed, and how late the generator itself was.

use crate::clock;
use crate::load::{
    delays::Delays,
    sip::{self, Format, Request, Text},
};
use nix::{
    poll::{PollFd, PollFlags, ppoll},
    sys::{
        socket::{setsockopt, sockopt},
        time::TimeSpec,
    },
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
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
    caller_at: SocketAddr,
    callee_at: SocketAddr,
    target: SocketAddr,
    /// Where the audio of a call's two ends is wanted: of call n, the n-th, round and round.
    audio: Vec<[SocketAddr; 2]>,
    /// What callers and callees speak.
    formats: [Format; 2],
    /// They call a team nobody is there of, and wait.
    wait: bool,
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

/// What was seen since it was asked for last.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub placed: u64,
    /// Set up and torn down at both ends.
    pub whole: u64,
    /// By kind; a call counts once.
    pub failed: BTreeMap<String, u64>,
    /// From the caller's INVITE to the callee's.
    pub passed_on: Delays,
    /// To the 180 at the caller.
    pub ring: Delays,
    /// To the 200 at the caller; the callee answers at once.
    pub answer: Delays,
    /// From the caller's BYE to its 200.
    pub bye: Delays,
    /// Messages that had to be said again by us, and that were heard again.
    pub said_again: u64,
    pub heard_again: u64,
    /// How late a call was placed or hung up, by ourselves.
    pub late: Delays,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Calling,
    Proceeding,
    Talking,
    Leaving,
    Over,
}

/// Both ends of one call.
struct Call {
    stage: Stage,
    measured: bool,
    failed: bool,
    rang: bool,
    /// When its INVITE, and later its BYE, was said first.
    asked: Duration,
    hold: Option<Duration>,
    /// What is said again until it is answered.
    pending: Vec<u8>,
    ack: Vec<u8>,
    to: String,
    remote: String,
    routes: String,
    audio: Option<SocketAddr>,
    callee: Callee,
}

/// The end that is called.
#[derive(Default)]
struct Callee {
    invited: bool,
    acknowledged: bool,
    over: bool,
    /// Said again until it is acknowledged.
    answer: Vec<u8>,
    from: Option<SocketAddr>,
    audio: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    HangUp,
    /// The caller's INVITE (or BYE), said so many times already.
    SayAgain(Leg, u32),
    /// Nothing came of it.
    GiveUp(Leg),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Leg {
    Invite,
    Bye,
    Answer,
}

impl Calls {
    /// Callers at the first address, callees at the second, and who stands between them.
    pub fn new(
        [caller, callee]: [SocketAddr; 2],
        target: SocketAddr,
        audio: Vec<[SocketAddr; 2]>,
    ) -> io::Result<Self> {
        let (caller, callee) = (open(caller)?, open(callee)?);
        Ok(Self {
            caller_at: caller.local_addr()?,
            callee_at: callee.local_addr()?,
            caller,
            callee,
            target,
            audio,
            formats: [Format::G711; 2],
            wait: false,
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
        self.formats = formats;
    }

    /// From now on callers call a team nobody is there of: no callee hears of them.
    pub const fn wait(&mut self) {
        self.wait = true;
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

    /// Where each call's two ends were told to send their audio.
    pub fn told(&self) -> Vec<Option<[SocketAddr; 2]>> {
        let told = |call: &Call| Some([call.audio?, call.callee.audio?]);
        self.calls.iter().map(told).collect()
    }

    /// Where the callers were told to send their audio.
    pub fn callers_told(&self) -> Vec<Option<SocketAddr>> {
        self.calls.iter().map(|call| call.audio).collect()
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
        let [audio, _] = self.audio_of(number);
        let mut call = Call::new(now, self.measuring, hold);
        call.to = format!("<{}>", self.uri(number));
        let contact = format!("Contact: <sip:a@{}>\r\n", self.caller_at);
        call.pending = self
            .request("INVITE", number, &call, &contact, &sip::description(audio, self.formats[0]))
            .to_bytes();
        (call.callee.acknowledged, call.callee.over) = (self.wait, self.wait);
        self.tally.placed += u64::from(self.measuring);
        self.live += 1;
        self.say(&call.pending)?;
        self.calls.push(call);
        self.start_timers(number, Leg::Invite, now);
        Ok(())
    }

    fn audio_of(&self, number: usize) -> [SocketAddr; 2] {
        self.audio[number % self.audio.len()]
    }

    fn uri(&self, number: usize) -> String {
        let row = if self.wait { 8 } else { 9 };
        format!("sip:{row}{number:06}@{}", self.target)
    }

    /// One of the caller's requests, owned so that the call can change while it is made.
    fn request(
        &self,
        method: &'static str,
        number: usize,
        call: &Call,
        more: &str,
        body: &str,
    ) -> Owned {
        let invites = ["INVITE", "ACK"].contains(&method);
        Owned {
            method,
            via: self.caller_at,
            uri: if call.remote.is_empty() { self.uri(number) } else { call.remote.clone() },
            branch: format!("{method}{number}"),
            call_id: format!("{number}-{}", self.caller_at),
            from: format!("<sip:+54114444{number:06}@{}>;tag=a{number}", self.caller_at.ip()),
            to: call.to.clone(),
            sequence: if invites { 1 } else { 2 },
            more: call.routes.clone() + more,
            body: body.to_owned(),
        }
    }

    fn start_timers(&mut self, number: usize, leg: Leg, now: Duration) {
        self.timers.push(Reverse((now + T1, number, Timer::SayAgain(leg, 1))));
        self.timers.push(Reverse((now + self.patience, number, Timer::GiveUp(leg))));
    }

    fn say(&self, bytes: &[u8]) -> io::Result<()> {
        self.caller.send_to(bytes, self.target).map(drop)
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
        let bye = self.request("BYE", number, &self.calls[number], "", "").to_bytes();
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

    fn heard_by_callee(&mut self, bytes: &[u8], from: SocketAddr) -> io::Result<()> {
        let Some(request) = Text::read(bytes) else { return Ok(()) };
        let number = match request.tag_of_to() {
            Some(tag) => tag.strip_prefix('b').and_then(|number| number.parse().ok()),
            None => request.dialled().and_then(|user| user.strip_prefix('9')?.parse().ok()),
        };
        let number = number.filter(|&number: &usize| number < self.calls.len());
        match (request.method(), number) {
            (Some("INVITE"), Some(number)) => self.invited(number, &request, from),
            (Some("ACK"), Some(number)) => {
                self.calls[number].callee.acknowledged = true;
                Ok(())
            }
            (Some("BYE"), Some(number)) => {
                self.callee.send_to(&sip::response(&request, "200 OK", "", "", ""), from)?;
                self.callee_is_over(number);
                Ok(())
            }
            // A question whether we are there.
            (Some(_), _) => {
                let answer = sip::response(&request, "200 OK", "b", "", "");
                self.callee.send_to(&answer, from).map(drop)
            }
            (None, _) => Ok(()),
        }
    }

    fn invited(&mut self, number: usize, request: &Text<'_>, from: SocketAddr) -> io::Result<()> {
        let [_, audio] = self.audio_of(number);
        let call = &mut self.calls[number];
        if call.callee.invited {
            self.tally.heard_again += 1;
            return self.callee.send_to(&call.callee.answer, from).map(drop);
        }
        let now = clock::now();
        if call.measured {
            self.tally.passed_on.add(now - call.asked);
        }
        let (tag, contact) =
            (format!("b{number}"), format!("Contact: <sip:b@{}>\r\n", self.callee_at));
        let ringing = sip::response(request, "180 Ringing", &tag, &contact, "");
        let description = sip::description(audio, self.formats[1]);
        let answer = sip::response(request, "200 OK", &tag, &contact, &description);
        self.callee.send_to(&ringing, from)?;
        self.callee.send_to(&answer, from)?;
        let (from, audio) = (Some(from), request.audio());
        call.callee = Callee { invited: true, answer, from, audio, ..Callee::default() };
        self.start_timers(number, Leg::Answer, now);
        Ok(())
    }

    fn callee_is_over(&mut self, number: usize) {
        let call = &mut self.calls[number];
        if std::mem::replace(&mut call.callee.over, true) {
            self.tally.heard_again += u64::from(!call.failed);
        } else if call.is_over() {
            self.is_over(number);
        }
    }

    fn is_over(&mut self, number: usize) {
        self.live -= 1;
        let call = &mut self.calls[number];
        self.tally.whole += u64::from(call.measured);
        // Nothing of it is said again.
        (call.pending, call.ack, call.callee.answer) = Default::default();
    }

    fn heard_by_caller(&mut self, bytes: &[u8], from: SocketAddr) -> io::Result<()> {
        let Some(text) = Text::read(bytes) else { return Ok(()) };
        let number = text.header("Call-ID").and_then(|id| id.split('-').next()?.parse().ok());
        let number = number.filter(|&number: &usize| number < self.calls.len());
        match (text.status(), number) {
            (Some(status), Some(number)) => match text.answers() {
                "INVITE" => self.invite_answered(number, status, &text),
                "BYE" => {
                    self.bye_answered(number, status);
                    Ok(())
                }
                _ => Ok(()),
            },
            (None, number) => {
                self.caller.send_to(&sip::response(&text, "200 OK", "a", "", ""), from)?;
                if let (Some("BYE"), Some(number)) = (text.method(), number) {
                    self.fail(number, "hung up by who stands between");
                }
                Ok(())
            }
            (Some(_), None) => Ok(()),
        }
    }

    fn invite_answered(&mut self, number: usize, status: u16, text: &Text<'_>) -> io::Result<()> {
        let now = clock::now();
        let call = &mut self.calls[number];
        let waits = matches!(call.stage, Stage::Calling | Stage::Proceeding);
        let took = now - call.asked;
        match status {
            100..200 if waits => {
                call.stage = Stage::Proceeding;
                if status == 180 && !std::mem::replace(&mut call.rang, true) && call.measured {
                    self.tally.ring.add(took);
                }
                Ok(())
            }
            100..200 => Ok(()),
            200..300 if waits => {
                if call.measured {
                    self.tally.answer.add(took);
                }
                self.answered(number, text, now)
            }
            200..300 => {
                self.tally.heard_again += 1;
                self.say(&self.calls[number].ack)
            }
            _ => {
                call.to = text.header("To").unwrap_or_default().to_owned();
                let ack = self.request("ACK", number, &self.calls[number], "", "");
                // To what is no 2xx, the ACK belongs to the INVITE (RFC 3261 §17.1.1.3).
                self.say(&Owned { branch: format!("INVITE{number}"), ..ack }.to_bytes())?;
                self.fail(number, &format!("INVITE answered with {status}"));
                Ok(())
            }
        }
    }

    fn answered(&mut self, number: usize, text: &Text<'_>, now: Duration) -> io::Result<()> {
        let call = &mut self.calls[number];
        call.stage = Stage::Talking;
        call.to = text.header("To").unwrap_or_default().to_owned();
        call.remote = text.contact().unwrap_or_default().to_owned();
        call.routes = text.routes();
        call.audio = text.audio();
        let hold = call.hold;
        let ack = self.request("ACK", number, &self.calls[number], "", "").to_bytes();
        self.say(&ack)?;
        self.calls[number].ack = ack;
        if let Some(hold) = hold {
            self.timers.push(Reverse((now + hold, number, Timer::HangUp)));
        }
        Ok(())
    }

    fn bye_answered(&mut self, number: usize, status: u16) {
        let call = &mut self.calls[number];
        match status {
            _ if call.stage != Stage::Leaving => {
                self.tally.heard_again += u64::from(!call.failed);
            }
            100..200 => {}
            200..300 => {
                call.stage = Stage::Over;
                if call.measured {
                    self.tally.bye.add(clock::now() - call.asked);
                }
                if call.is_over() {
                    self.is_over(number);
                }
            }
            _ => self.fail(number, &format!("BYE answered with {status}")),
        }
    }
}

impl Call {
    fn new(now: Duration, measured: bool, hold: Option<Duration>) -> Self {
        Self {
            stage: Stage::Calling,
            measured,
            failed: false,
            rang: false,
            asked: now,
            hold,
            pending: Vec::new(),
            ack: Vec::new(),
            to: String::new(),
            remote: String::new(),
            routes: String::new(),
            audio: None,
            callee: Callee::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.stage == Stage::Over && self.callee.over
    }

    fn waits_for(&self, leg: Leg) -> bool {
        match leg {
            Leg::Invite => self.stage == Stage::Calling,
            Leg::Bye => self.stage == Stage::Leaving,
            Leg::Answer => !self.callee.acknowledged && !self.callee.over,
        }
    }
}

/// A request with words of its own.
struct Owned {
    method: &'static str,
    via: SocketAddr,
    uri: String,
    branch: String,
    call_id: String,
    from: String,
    to: String,
    sequence: u32,
    more: String,
    body: String,
}

impl Owned {
    fn to_bytes(&self) -> Vec<u8> {
        let Self { method, via, uri, branch, call_id, from, to, sequence, more, body } = self;
        let (via, sequence) = (*via, *sequence);
        Request { method, uri, via, branch, call_id, from, to, sequence, more, body }.to_bytes()
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
mod tests {
    use super::*;

    /// Callers and callees at an address of the test's own, with nobody between them.
    fn direct(last: u8) -> Calls {
        let here = SocketAddr::from(([127, 88, 2, last], 0));
        let audio = SocketAddr::from(([127, 88, 2, last], 30_000));
        let mut calls = Calls::new([here, here], here, vec![[audio, audio]]).expect("two ports");
        calls.target = calls.callee_at;
        calls
    }

    #[test]
    fn every_call_is_set_up_torn_down_and_timed() {
        let mut calls = direct(1);
        calls.measure();
        calls.pace(200, Some(Duration::from_millis(30)), 20);
        calls.run_until_talking().expect("loopback");
        calls.run_until_over().expect("loopback");

        let tally = calls.tally();
        assert_eq!((tally.placed, tally.whole), (20, 20));
        assert!(tally.failed.is_empty(), "{:?}", tally.failed);
        for delays in [&tally.passed_on, &tally.ring, &tally.answer, &tally.bye] {
            assert_eq!(delays.count(), 20);
        }
    }

    #[test]
    fn both_ends_learn_where_the_other_wants_its_audio_and_talk_until_told() {
        let mut calls = direct(2);
        calls.pace(200, None, 3);
        calls.run_until_talking().expect("loopback");
        let told: Option<Vec<_>> = calls.told().into_iter().collect();
        assert_eq!(told.map(|told| told.len()), Some(3));

        calls.hang_up_all(200);
        calls.run_until_over().expect("loopback");
        assert!(calls.tally().failed.is_empty() && calls.live == 0);
    }

    #[test]
    fn a_target_that_says_nothing_is_asked_again_and_then_a_failure() {
        let mut calls = direct(3);
        let hole = UdpSocket::bind("127.88.2.4:0").expect("a free port");
        calls.target = hole.local_addr().expect("bound");
        calls.patience = T1 + T1 / 2;
        calls.pace(200, None, 1);
        calls.run_until_talking().expect("loopback");

        assert_eq!(calls.tally().failed.get("INVITE without an answer"), Some(&1));
        assert_eq!(calls.tally().said_again, 1);
    }
}
