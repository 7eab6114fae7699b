//! The whole box without IO: SIP endpoint, legs and switchboard behind the methods of every core.
//!
//! After every `handle_*`, drain `poll_record` and `poll_note` first (the journal), then `poll_order`,
//! `poll_transmit`, `poll_fact` and `poll_cdr`; then sleep until `poll_timeout`.

mod restart;

use crate::{
    calendar::Hours,
    cdr::{CallRecord, Ledger},
    config::{Plan, SELF_TEST_NUMBER},
    fact::{End, Fact, Reason, Step, What},
    headroom::{Headroom, Limits, Measured},
    ids::{CallId, OfferId, SeatId},
    journal::{Memory, Note, Record},
    legs::{
        media::MediaLegs,
        sip::{Dial, SipLegs},
    },
    ports::Ports,
    switchboard::{Input, Output, Restarted, Switchboard},
    time::{Ahead, Clock, Stamp},
};
use media_core::order::{self, LegName, OnDigit, Order, PortName, PromptEnd, PromptName, TalkName};
use sip_stack::{
    Endpoint, Guests,
    event::{Closed, Contact, Event, ProbeId, Probed, Target, Transmit},
    flow::{ConnId, Far, Flow},
    ids::{LegId, TrunkId, UserId},
    keys::Press,
    note,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

/// What an exchange starts from.
pub struct Start {
    /// `first_leg` is overwritten by what the board says.
    pub sip: sip_stack::Config,
    /// A fresh board, or one that was rebuilt from a journal.
    pub board: Switchboard,
    pub ports: Vec<PortName>,
    /// The address session descriptions name.
    pub media_address: IpAddr,
    /// The same of the networks behind the first, in the order of `sip.networks`.
    pub networks: Vec<MediaNetwork>,
    /// For SSRCs and the like; from the operating system, or from the world's seed.
    pub seed: [u8; 32],
    /// What the wall clock says now.
    pub wall: Stamp,
    /// Marks in the journal by which login a phone registered, so that the next process can tell a
    /// changed password. The same for every process of a box, and known to nobody else.
    pub login_key: [u8; 32],
    /// Beyond these the media plane takes no new call.
    pub headroom: Limits,
    /// What an encoder of Opus may spend, 0 to 10, while nothing presses.
    pub opus_complexity: u8,
    /// `None`: nothing has ever happened on this box.
    pub restart: Option<Restart>,
}

/// Where audio comes and goes in one more network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaNetwork {
    /// The address session descriptions name there.
    pub address: IpAddr,
    /// Ports that are bound there; no two networks have one.
    pub ports: Vec<PortName>,
}

/// What is left of the process before, besides its board: see [`crate::journal::Past::restart`].
#[derive(Debug)]
pub struct Restart {
    pub(crate) ledger: Ledger,
    pub(crate) memory: Memory,
    pub(crate) restarted: Restarted,
}

/// What somebody outside asks of a running box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Available(SeatId),
    HangUp(CallId),
    Hold(CallId),
    /// Nothing is to be recorded until `RecordResume`.
    RecordPause(CallId),
    RecordResume(CallId),
    /// With words for people, at most [`WORD_MAX`] bytes of them.
    Pause(SeatId, Option<String>),
    Resume(CallId),
}

/// Less than this between the wall clock and what the box goes by is nobody's step: two clocks are never read
/// at once.
const WALL_CLOCK_STEP: Duration = Duration::from_secs(1);

/// A leg is said one thing at most.
const MESSAGE: PromptName = PromptName(0);

/// Longest reason of a pause, in bytes.
pub const WORD_MAX: usize = 64;

/// Why a request is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("no such call is active")]
    NoSuchCall,
    #[error("no such agent")]
    NoSuchAgent,
    #[error("nothing of this call is recorded, or not yet")]
    NotRecorded,
    #[error(
        "the codec of this call passes through: nobody here can play anything in it, so nobody can be put on hold"
    )]
    PassesThrough,
    #[error("the reason is too long; write at most {WORD_MAX} bytes")]
    WordTooLong,
    #[error("the call is {is}; it can be {can} only while it is {only}")]
    WrongState { is: &'static str, can: &'static str, only: &'static str },
}

/// The box.
pub struct Exchange {
    endpoint: Endpoint,
    board: Switchboard,
    sip: SipLegs,
    media: MediaLegs,
    clock: Clock,
    login_key: [u8; 32],
    inbox: VecDeque<Input>,
    records: VecDeque<Record>,
    notes: VecDeque<Note>,
    /// Whose telephones may be elsewhere than the board knows.
    moved: BTreeSet<UserId>,
    facts: VecDeque<Fact>,
    ledger: Ledger,
    cdrs: VecDeque<CallRecord>,
    media_refusals: u64,
    headroom: Headroom,
    refused_for_load: u64,
    probed: VecDeque<(ProbeId, Probed)>,
    /// Whose phones are elsewhere than when somebody last asked.
    relisted: BTreeSet<SeatId>,
}

impl Exchange {
    pub fn new(start: Start, now: Instant) -> Self {
        let Start {
            mut sip,
            board,
            ports,
            media_address,
            networks,
            seed,
            wall,
            login_key,
            headroom,
            opus_complexity,
            restart,
        } = start;
        sip.first_leg = board.next_leg();
        let last = restart.as_ref().map_or_else(|| board.now(), |restart| restart.restarted.last);
        let clock = Clock::new(now, wall.max(board.now()).max(last));
        let ledger = Ledger::new(Arc::clone(board.plan()));
        let plan = restart.as_ref().map_or_else(|| board.plan(), |restart| &restart.restarted.plan);
        let phones = plan.phones();
        let (addresses, ports): (Vec<_>, Vec<_>) = [MediaNetwork { address: media_address, ports }]
            .into_iter()
            .chain(networks)
            .map(|network| (network.address, Ports::new(network.ports, phones)))
            .unzip();
        let sip_legs = SipLegs::new(addresses, opus_complexity, plan);
        let mut exchange = Self {
            endpoint: Endpoint::new(sip),
            board,
            sip: sip_legs,
            media: MediaLegs::new(ports, seed),
            clock,
            login_key,
            inbox: VecDeque::new(),
            records: VecDeque::new(),
            notes: VecDeque::new(),
            moved: BTreeSet::new(),
            facts: VecDeque::new(),
            ledger,
            cdrs: VecDeque::new(),
            media_refusals: 0,
            headroom: Headroom::new(headroom),
            refused_for_load: 0,
            probed: VecDeque::new(),
            relisted: BTreeSet::new(),
        };
        if let Some(restart) = restart {
            exchange.go_on_after(restart, now);
        }
        let fixed = exchange.plan().seats.iter().zip(0..).filter(|(seat, _)| seat.fixed);
        let fixed: Vec<_> = fixed.map(|(_, place)| Input::SignedIn(SeatId(place))).collect();
        exchange.inbox.extend(fixed);
        exchange.all_relisted();
        exchange.handle_wall_clock(wall, now);
        exchange.work(now);
        exchange.time_may_have_come(now);
        exchange.work(now);
        exchange
    }

    /// What the wall clock says now; to be asked every second. Only what differs by more than a second
    /// from what the box goes by is an input: somebody has set it, or it has been led away slowly.
    pub fn handle_wall_clock(&mut self, wall: Stamp, now: Instant) {
        let ahead = Ahead::between(wall, self.clock.stamp(now));
        if ahead.apart(self.board.ahead()) > WALL_CLOCK_STEP {
            self.inbox.push_back(Input::WallClock { ahead });
            self.work(now);
        }
    }

    /// One datagram of the first network.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.handle_datagram_of(from.into(), bytes, now);
    }

    /// One of any network.
    pub fn handle_datagram_of(&mut self, from: Far, bytes: &[u8], now: Instant) {
        self.endpoint.handle_datagram_of(from, bytes, now);
        self.work(now);
    }

    /// Somebody has connected; `None`: they may not stay.
    pub fn handle_accepted(&mut self, from: impl Into<Far>, now: Instant) -> Option<ConnId> {
        let conn = self.endpoint.handle_accepted(from, now);
        self.work(now);
        conn
    }

    /// A connection the endpoint asked for stands.
    pub fn handle_connected(&mut self, conn: ConnId, now: Instant) {
        self.endpoint.handle_connected(conn, now);
        self.work(now);
    }

    pub fn handle_stream(&mut self, conn: ConnId, bytes: &[u8], now: Instant) {
        self.endpoint.handle_stream(conn, bytes, now);
        self.work(now);
    }

    pub fn handle_closed(&mut self, conn: ConnId, why: Closed, now: Instant) {
        self.endpoint.handle_closed(conn, why, now);
        self.work(now);
    }

    /// Asks a trunk whether it is there: [`Self::poll_probed`] says. `None`: it has no address.
    pub fn probe(&mut self, trunk: TrunkId, now: Instant) -> Option<ProbeId> {
        let to = self.plan().trunks.get(usize::from(trunk.0))?.flow()?;
        let probe = self.endpoint.probe(to, now);
        self.work(now);
        Some(probe)
    }

    pub fn poll_probed(&mut self) -> Option<(ProbeId, Probed)> {
        self.probed.pop_front()
    }

    /// An agent whose phones may be elsewhere than they were: [`Self::contacts`] says where. Known
    /// once [`Self::poll_note`] has been drained.
    pub fn poll_relisted(&mut self) -> Option<SeatId> {
        self.relisted.pop_first()
    }

    /// Where this agent's phones are.
    pub fn contacts(&self, seat: SeatId) -> Vec<Contact> {
        self.endpoint.listed(UserId(seat.0))
    }

    fn all_relisted(&mut self) {
        self.relisted.extend((0..).map(SeatId).take(self.plan().seats.len()));
    }

    pub fn handle_media(&mut self, event: order::Event, now: Instant) {
        use order::Event::*;
        let input = match event {
            Bridged { talk, at } => {
                Some(Input::Bridged { call: CallId(talk.0), at: self.clock.stamp(at) })
            }
            TalkEnded { talk, at, recorded } => {
                self.media.talk_ended(talk, self.clock.stamp(at), recorded)
            }
            Closed { leg, report } => self.media.closed(leg, report, now),
            Silent { leg, at: _ } => Some(Input::LegSilent(LegId(leg.0))),
            Heard { leg, at: _ } => Some(Input::LegHeard(LegId(leg.0))),
            Digit { leg, digit, duration, at } => Some(Input::LegDigit {
                leg: LegId(leg.0),
                // Before it is journaled.
                digit: Some(digit).filter(|_| !self.sip.masks(LegId(leg.0))),
                duration_ms: u32::try_from(duration.as_millis()).unwrap_or(u32::MAX),
                at: self.clock.stamp(at),
            }),
            OneWay { leg, since } => {
                Some(Input::LegOneWay { leg: LegId(leg.0), since: self.clock.stamp(since) })
            }
            BothWays { leg, at: _ } => Some(Input::LegBothWays(LegId(leg.0))),
            PromptEnded { leg, prompt: _, how } => {
                self.message_ended(LegId(leg.0), how == PromptEnd::Played)
            }
            Tell { leg, digit, duration } => {
                let press = Press { key: digit.key(), duration };
                self.endpoint.tell_key(LegId(leg.0), press, now);
                None
            }
            Refused { leg, what: _ } => {
                self.media_refusals += 1;
                self.sip.refused(LegId(leg.0));
                // Whatever it was, it is not heard now.
                self.message_ended(LegId(leg.0), false)
            }
        };
        self.inbox.extend(input);
        self.work(now);
    }

    /// Of nobody else's prompt, nor of one that is over for another reason, the board need hear.
    fn message_ended(&self, leg: LegId, whole: bool) -> Option<Input> {
        self.board.is_hearing(leg).then_some(Input::MessageEnded { leg, whole })
    }

    /// The recorder gave one up: the call goes on, its story says so.
    pub fn handle_recording_failed(
        &mut self,
        talk: TalkName,
        what: String,
        no_file: bool,
        now: Instant,
    ) {
        self.inbox.push_back(Input::RecordingFailed { call: CallId(talk.0), what, no_file });
        self.work(now);
    }

    /// A recording's file has been made, as every call's is. It is an input only where it had been
    /// given up.
    pub fn handle_recording_began(&mut self, talk: TalkName, now: Instant) {
        let call = CallId(talk.0);
        if self.board.call(call).is_some_and(|of| of.taping.no_file) {
            self.inbox.push_back(Input::RecordingBegan(call));
            self.work(now);
        }
    }

    /// What each media thread measured of itself, once a second. Only what changes by it is an input.
    pub fn handle_headroom(&mut self, threads: &[Measured], now: Instant) {
        let Some((on, best)) = self.headroom.judge(threads) else { return };
        let lateness_us = u32::try_from(best.lateness_p999.as_micros()).unwrap_or(u32::MAX);
        let Measured { used_permille, used_p99_permille, .. } = best;
        let overload = Input::Overload { on, lateness_us, used_permille, used_p99_permille };
        self.inbox.push_back(overload);
        self.work(now);
    }

    pub fn handle_request(&mut self, request: Request, now: Instant) -> Result<(), Problem> {
        let input = self.admit(request)?;
        self.inbox.push_back(input);
        self.work(now);
        Ok(())
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.endpoint.handle_timeout(now);
        self.time_may_have_come(now);
        self.work(now);
    }

    fn time_may_have_come(&mut self, now: Instant) {
        let stamp = self.clock.stamp(now);
        if self.board.poll_timeout().is_some_and(|(due, _)| due <= stamp) {
            self.inbox.push_back(Input::TimeCame);
        }
    }

    /// What is configured changes while calls go on: they keep what they started with. `plan` was
    /// made by [`Plan::succeeded_by`] from the plan that holds now; `sip` has its trunks and users
    /// at the ids of that plan.
    pub fn reconfigure(&mut self, plan: Arc<Plan>, sip: sip_stack::Config, now: Instant) {
        self.endpoint.reconfigure(sip);
        // Phones that are gone sign their agents out before anybody is offered anything.
        self.work(now);
        let seats = (0..).map(SeatId).take(plan.seats.len());
        self.media.set_phones(plan.phones());
        self.sip.reconfigure(&plan);
        self.inbox.push_back(Input::Replan(plan));
        self.work(now);
        self.all_relisted();
        for seat in seats {
            let reachable = !self.endpoint.contacts(UserId(seat.0)).is_empty();
            let gone = self.plan().gone.seats.contains(&seat);
            if reachable && !gone && !self.board.seats().is_signed_in(seat) {
                self.inbox.push_back(Input::SignedIn(seat));
            }
        }
        self.work(now);
    }

    /// What is known of the clocks that the calendars go by, from now on.
    pub fn renew_hours(&mut self, hours: Vec<Hours>, now: Instant) {
        let plan = Plan { hours, ..Plan::clone(self.plan()) };
        self.inbox.push_back(Input::Replan(Arc::new(plan)));
        self.work(now);
    }

    /// Lets in a self-test's caller and phone, by their sockets, or out again. Its agent is signed
    /// in for as long.
    pub fn let_in(&mut self, caller_and_phone: Option<(SocketAddr, SocketAddr)>, now: Instant) {
        let Some((trunk, seat)) = self.plan().self_test() else { return };
        let guests = caller_and_phone.map(|(caller, phone)| Guests {
            trunk,
            caller,
            user: UserId(seat.0),
            phone: Target { uri: format!("sip:{SELF_TEST_NUMBER}@{phone}"), to: Flow::udp(phone) },
        });
        let inputs = match &guests {
            // An earlier test may have left it set aside.
            Some(_) => vec![Input::SignedIn(seat), Input::Available(seat)],
            None => vec![Input::SignedOut(seat)],
        };
        self.endpoint.admit(guests);
        self.inbox.extend(inputs);
        self.work(now);
    }

    /// The loop round this exchange was so late at what it had to do.
    pub fn was_late(&mut self, late: Duration, now: Instant) {
        self.endpoint.was_late(late, now);
    }

    /// Hears a source again. Whether it was banned.
    pub fn lift_ban(&mut self, address: IpAddr, now: Instant) -> bool {
        self.endpoint.lift_ban(address, now)
    }

    /// New calls are refused from here on; those that are here go on.
    pub fn set_draining(&mut self, draining: bool) {
        self.endpoint.set_draining(draining);
    }

    /// The end of draining: what is left is hung up.
    pub fn stop(&mut self, now: Instant) {
        self.inbox.push_back(Input::Stop);
        self.work(now);
    }

    /// What must be in the journal before anything else leaves.
    pub fn poll_record(&mut self) -> Option<Record> {
        self.records.pop_front()
    }

    /// What else must be, for the process that comes after this one.
    pub fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop_front().or_else(|| {
            let note = self.endpoint.poll_note()?;
            if let note::Note::Bindings { user, .. } = note {
                self.relisted.insert(SeatId(user.0));
            }
            Some(self.noted(note))
        })
    }

    pub fn poll_order(&mut self) -> Option<Order> {
        self.media.poll_order()
    }

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.endpoint.poll_transmit()
    }

    pub fn poll_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    /// The record of a call that has ended.
    pub fn poll_cdr(&mut self) -> Option<CallRecord> {
        self.cdrs.pop_front()
    }

    /// The stories being told, for a snapshot.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let board = self.board.poll_timeout().map(|(at, why)| (self.clock.instant(at), why));
        [board, self.endpoint.poll_timeout()].into_iter().flatten().min_by_key(|&(at, _)| at)
    }

    pub fn board(&self) -> &Switchboard {
        &self.board
    }

    pub fn plan(&self) -> &Arc<Plan> {
        self.board.plan()
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// How often the legs found that the switchboard had promised one agent to two calls.
    pub fn double_claims(&self) -> u64 {
        self.sip.double_claims()
    }

    /// Orders the media plane could not carry out.
    pub fn media_refusals(&self) -> u64 {
        self.media_refusals
    }

    /// Calls refused because the media plane had no room for them.
    pub fn refused_for_load(&self) -> u64 {
        self.refused_for_load
    }

    /// Port pairs in use.
    pub fn ports_taken(&self) -> usize {
        self.media.ports_taken()
    }

    /// No call, leg, offer, transaction or port is left.
    pub fn is_idle(&self) -> bool {
        let legs_idle = self.sip.is_idle() && self.media.is_idle();
        self.board.is_idle() && self.endpoint.is_idle() && legs_idle
    }

    /// Says no before anything is journaled, so that the journal holds only what happened.
    fn admit(&self, request: Request) -> Result<Input, Problem> {
        use crate::call::State;
        let call_state = |call| self.board.call(call).map(|call| call.state);
        let seat = |seat| self.board.seats().seat(seat).ok_or(Problem::NoSuchAgent);
        match request {
            Request::Available(id) => seat(id).map(|_| Input::Available(id)),
            Request::Pause(id, word) => {
                if word.as_ref().is_some_and(|word| word.len() > WORD_MAX) {
                    return Err(Problem::WordTooLong);
                }
                seat(id).map(|_| Input::Pause { seat: id, word })
            }
            Request::HangUp(call) => match call_state(call) {
                Some(_) => Ok(Input::HangUp(call)),
                None => Err(Problem::NoSuchCall),
            },
            Request::Hold(call) => {
                let state = call_state(call).ok_or(Problem::NoSuchCall)?;
                if !matches!(state, State::Talking { held: false, .. }) {
                    return Err(wrong_state(state, "held", "talking"));
                }
                if self.sip.passes(call) {
                    return Err(Problem::PassesThrough);
                }
                Ok(Input::Hold(call))
            }
            Request::RecordPause(call) => self.recorded(call).map(|()| Input::RecordPause(call)),
            Request::RecordResume(call) => self.recorded(call).map(|()| Input::RecordResume(call)),
            Request::Resume(call) => {
                let state = call_state(call).ok_or(Problem::NoSuchCall)?;
                if !matches!(state, State::Talking { held: true, .. }) {
                    return Err(wrong_state(state, "resumed", "held"));
                }
                Ok(Input::Resume(call))
            }
        }
    }

    /// Whether this call has a recording that goes on.
    fn recorded(&self, call: CallId) -> Result<(), Problem> {
        let of = self.board.call(call).ok_or(Problem::NoSuchCall)?;
        if of.taping.begun { Ok(()) } else { Err(Problem::NotRecorded) }
    }

    /// Works until nothing that is known is undone.
    fn work(&mut self, now: Instant) {
        loop {
            self.tell_who_moved(now);
            while let Some(input) = self.inbox.pop_front() {
                self.feed(input, now);
            }
            let Some(event) = self.endpoint.poll_event() else { return };
            if let Event::Probed { probe, outcome } = event {
                self.probed.push_back((probe, outcome));
                continue;
            }
            let left = if let Event::Left { leg, .. } = event { Some(leg) } else { None };
            let gone = match event {
                Event::Ended { leg, .. } => Some(leg),
                Event::Invited { .. }
                | Event::Ringing { .. }
                | Event::Answered { .. }
                | Event::Established { .. }
                | Event::Reoffered { .. }
                | Event::Checked { .. }
                | Event::Pressed { .. }
                | Event::Left { .. }
                | Event::Registered { .. }
                | Event::Unregistered { .. }
                | Event::Probed { .. } => None,
            };
            let input = self.sip.handle_event(event, &mut self.endpoint, &mut self.media, now);
            if let Some(leg) = gone {
                self.sip.leave_seat(leg);
            }
            if let Some(input) = input {
                self.feed(input, now);
            }
            if let Some(leg) = left {
                self.media.close(LegName(leg.0));
            }
            if let Some(leg) = gone {
                self.sip.forget(leg, &mut self.media);
            }
        }
    }

    /// Before anything else is decided, the board knows every telephone that could be called.
    fn tell_who_moved(&mut self, now: Instant) {
        while let Some(user) = self.endpoint.poll_moved() {
            self.moved.insert(user);
        }
        let mut moved = BTreeMap::new();
        // Who is new in a configuration is told once the board has heard of that.
        for user in std::mem::take(&mut self.moved) {
            let Some(known) = self.board.seats().phones(SeatId(user.0)) else {
                self.moved.insert(user);
                continue;
            };
            let phones = self.endpoint.contacts(user).iter().map(Target::place).collect();
            if *known != phones {
                moved.insert(SeatId(user.0), phones);
            }
        }
        if !moved.is_empty() {
            self.feed(Input::Phones(moved), now);
        }
    }

    /// Journal, decide, carry out.
    fn feed(&mut self, input: Input, now: Instant) {
        let at = self.clock.stamp(now);
        let seq = self.board.seq() + 1;
        self.board.handle(&input, seq, at);
        let arrived = input.caller();
        self.records.push_back(Record { seq, at, input });
        if let Some((leg, call)) = arrived.and_then(|leg| Some((leg, self.board.call_of(leg)?)))
            && self.board.call(call).is_some()
        {
            let masked = self.board.masks_digits(call);
            self.sip.admit(leg, call, masked, &self.endpoint, &mut self.media, now);
        }
        while let Some(output) = self.board.poll_output() {
            self.carry_out(output, now);
        }
        while let Some(fact) = self.board.poll_fact() {
            if let What::Call(_, Step::Over { reason: Reason::Overloaded, .. }) = fact.what {
                self.refused_for_load += 1;
            }
            if let Some(record) = self.ledger.apply(&fact) {
                self.count_fruitless(&record, now);
                self.cdrs.push_back(record);
            }
            self.facts.push_back(fact);
        }
    }

    /// Whatever way it came to nothing, refused, given up or answered by the queue alone: it has left a
    /// record, and the trunk it came from has a bound for those.
    fn count_fruitless(&mut self, record: &CallRecord, now: Instant) {
        let fruitful = record.end == Some(End::Completed);
        let Some(trunk) = record.trunk.as_deref().filter(|_| !fruitful) else { return };
        let place = self.plan().trunks.iter().position(|known| known.name == trunk);
        if let Some(trunk) = place.and_then(|place| u16::try_from(place).ok()) {
            self.endpoint.note_fruitless(TrunkId(trunk), now);
        }
    }

    fn carry_out(&mut self, output: Output, now: Instant) {
        match output {
            Output::Bridge { call, caller, other, record } => self.media.order(Order::Bridge {
                talk: TalkName(call.0),
                caller: LegName(caller.0),
                other: LegName(other.0),
                record,
            }),
            Output::DialSeat { offer, call, seat, grant } => {
                self.dial(offer, call, |sip, dial, _, endpoint, media| {
                    sip.dial_seat(dial, seat, grant, endpoint, media, now)
                });
            }
            Output::DialTrunk { offer, call, trunk } => {
                self.dial(offer, call, |sip, dial, plan, endpoint, media| {
                    sip.dial_trunk(dial, trunk, plan, endpoint, media, now)
                });
            }
            Output::EndMedia { call } => {
                let last_word = self.media.end(call, self.clock.stamp(now));
                self.inbox.extend(last_word);
            }
            Output::Hear { leg, source } => {
                self.media.order(Order::Hear { leg: LegName(leg.0), source });
            }
            Output::Part { call, caller_hears, other_hears } => {
                self.media.order(Order::Part { talk: TalkName(call.0), caller_hears, other_hears })
            }
            Output::Play { leg, tune } => self.media.order(Order::Play {
                leg: LegName(leg.0),
                prompt: MESSAGE,
                tune,
                // Who presses a key has heard no choice.
                on_digit: OnDigit::GoOn,
            }),
            Output::RecordPause { call } => {
                self.media.order(Order::RecordPause { talk: TalkName(call.0) });
            }
            Output::RecordResume { call } => {
                self.media.order(Order::RecordResume { talk: TalkName(call.0) });
            }
            Output::Answer { .. }
            | Output::Check { .. }
            | Output::HangUp { .. }
            | Output::Progress { .. }
            | Output::Refuse { .. }
            | Output::Ring { .. } => {
                self.sip.carry_out(output, &mut self.endpoint, &mut self.media, now);
            }
        }
    }

    /// Before any other input: an offer's legs are known as soon as they exist.
    fn dial(
        &mut self,
        offer: OfferId,
        call: CallId,
        with: impl FnOnce(&mut SipLegs, &Dial<'_>, &Plan, &mut Endpoint, &mut MediaLegs) -> Input,
    ) {
        let plan = Arc::clone(self.board.plan());
        let Some(of) = self.board.call_until_the_end(call) else { return };
        let dial = Dial {
            offer,
            call,
            from: &of.from,
            from_display: of.from_display.as_deref(),
            number: &of.number,
            max_forwards: of.max_forwards.saturating_sub(1),
            masked: self.board.masks_digits(call),
            passes: of.passing.as_ref().map(|passing| passing.codec),
        };
        let dialled = with(&mut self.sip, &dial, &plan, &mut self.endpoint, &mut self.media);
        self.inbox.push_front(dialled);
    }
}

fn wrong_state(state: crate::call::State, can: &'static str, only: &'static str) -> Problem {
    use crate::call::State;
    let is = match state {
        State::Hearing { .. } => "hearing that nobody is there",
        State::Offered { .. } => "offered",
        State::Over => "over",
        State::Talking { held: true, .. } => "held",
        State::Talking { held: false, .. } => "talking",
        State::Waiting => "waiting",
    };
    Problem::WrongState { is, can, only }
}
