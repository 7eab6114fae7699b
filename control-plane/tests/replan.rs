//! The configuration changes again and again in the middle of calls: no agent ever has two, no
//! caller is lost, nothing is left, and the journal tells the same story.
#![allow(clippy::unwrap_used)]

use control_plane::{
    call::State,
    cdr::{CallRecord, Ledger},
    config::{AnswerMode, Destination, NumberRow, Plan, SeatPlan, Team, Trunk},
    fact::{AgentState, Step, What},
    ids::{CallId, SeatId, TeamId},
    journal::{self, Chain, Past, Record},
    switchboard::{Input, Media, Output, Switchboard},
    time::Stamp,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sip_stack::{
    event::{Cause, Source},
    ids::{LegId, TrunkId, UserId},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

const AGENTS: [&str; 7] = ["ana", "bruno", "carla", "dora", "eva", "fede", "gala"];
const TEAMS: [&str; 3] = ["front", "sales", "support"];

/// What a leg of the model is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leg {
    Caller,
    Rings,
    Talks,
    /// We hung up; its end is on the way.
    Ending,
}

struct Day {
    dice: ChaCha20Rng,
    board: Switchboard,
    ledger: Ledger,
    ended: Vec<CallRecord>,
    arrived: usize,
    chain: Chain,
    journal: Vec<u8>,
    now: Stamp,
    next_leg: u64,
    legs: BTreeMap<LegId, Leg>,
    /// What each seat's phones have, counted apart from the board.
    on_phone: BTreeMap<SeatId, (CallId, BTreeSet<LegId>)>,
    media_owed: BTreeSet<CallId>,
    /// By name: a phone stays registered only as long as its agent is configured.
    registered: BTreeSet<String>,
    replans: usize,
}

impl Day {
    fn new(seed: u64) -> Self {
        let mut dice = ChaCha20Rng::seed_from_u64(seed);
        let empty = Plan {
            trunks: vec![],
            seats: vec![],
            teams: vec![],
            numbers: vec![],
            gone: Default::default(),
        };
        let plan = Arc::new(empty.succeeded_by(&some_plan(&mut dice)).unwrap().plan);
        let board = Switchboard::new(Arc::clone(&plan));
        let ledger = Ledger::new(Arc::clone(&plan));
        let (mut chain, mut journal) = (Chain::default(), vec![]);
        chain.snapshot(Past::none(&plan).moment(), &mut journal);
        let mut day = Self {
            dice,
            board,
            ledger,
            ended: vec![],
            arrived: 0,
            chain,
            journal,
            now: Stamp(1_000_000),
            next_leg: 1,
            legs: BTreeMap::new(),
            on_phone: BTreeMap::new(),
            media_owed: BTreeSet::new(),
            registered: BTreeSet::new(),
            replans: 0,
        };
        day.sign_in_who_is_there();
        day
    }

    fn leg(&mut self, is: Leg) -> LegId {
        self.next_leg += 1;
        self.legs.insert(LegId(self.next_leg), is);
        LegId(self.next_leg)
    }

    fn feed(&mut self, input: Input) {
        let (seq, at) = (self.board.seq() + 1, self.now);
        self.board.handle(&input, seq, at);
        self.chain.record(&Record { seq, at, input }, &mut self.journal);
        let outputs: Vec<Output> = std::iter::from_fn(|| self.board.poll_output()).collect();
        while let Some(fact) = self.board.poll_fact() {
            if let What::Call(_, Step::Arrived { .. }) = fact.what {
                self.arrived += 1;
            }
            self.ended.extend(self.ledger.apply(&fact));
        }
        for output in outputs {
            self.carry_out(output);
        }
        self.check();
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::DialSeat { offer, call, seat, .. } => {
                assert!(!self.board.plan().gone.seats.contains(&seat), "{seat:?} is gone and rung");
                let taken = self.on_phone.get(&seat).map(|(call, _)| *call);
                assert!(
                    taken.is_none_or(|other| other == call),
                    "{seat:?} has {taken:?} and {call}"
                );
                let leg = self.leg(Leg::Rings);
                self.on_phone.entry(seat).or_insert((call, BTreeSet::new())).1.insert(leg);
                self.feed(Input::Dialled { offer, legs: vec![leg] });
            }
            Output::DialTrunk { offer, .. } => {
                let leg = self.leg(Leg::Rings);
                self.feed(Input::Dialled { offer, legs: vec![leg] });
            }
            Output::EndMedia { call } => _ = self.media_owed.insert(call),
            Output::HangUp { leg, .. } | Output::Refuse { leg, .. } => {
                if let Some(is) = self.legs.get_mut(&leg) {
                    *is = Leg::Ending;
                }
            }
            Output::Answer { .. }
            | Output::Bridge { .. }
            | Output::Check { .. }
            | Output::Hear { .. }
            | Output::Part { .. }
            | Output::Progress { .. }
            | Output::Ring { .. } => {}
        }
    }

    fn ends(&mut self, leg: LegId, cause: Cause) {
        if self.legs.remove(&leg).is_none() {
            return;
        }
        self.on_phone.retain(|_, (_, legs)| {
            legs.remove(&leg);
            !legs.is_empty()
        });
        self.feed(Input::LegEnded { leg, cause });
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> Option<T> {
        (!all.is_empty()).then(|| all[self.dice.random_range(0..all.len())])
    }

    fn legs_that(&self, wanted: Leg) -> Vec<LegId> {
        self.legs.iter().filter(|(_, is)| **is == wanted).map(|(&leg, _)| leg).collect()
    }

    /// Something happens.
    fn step(&mut self) {
        let millis = self.dice.random_range(0..3_000);
        self.now = self.now + Duration::from_millis(millis);
        while self.board.poll_timeout().is_some_and(|(due, _)| due <= self.now) {
            self.feed(Input::TimeCame);
        }
        match self.dice.random_range(0..100) {
            0..30 => self.somebody_calls(),
            30..50 => {
                let ringing = self.legs_that(Leg::Rings);
                if let Some(leg) = self.one_of(&ringing) {
                    if let Some(is) = self.legs.get_mut(&leg) {
                        *is = Leg::Talks;
                    }
                    self.feed(Input::LegAnswered(leg));
                }
            }
            50..58 => {
                let ringing = self.legs_that(Leg::Rings);
                let leg = self.one_of(&ringing);
                leg.into_iter().for_each(|leg| self.ends(leg, Cause::Refused { status: 486 }));
            }
            58..70 => {
                let mut talking = self.legs_that(Leg::Talks);
                talking.extend(self.legs_that(Leg::Caller));
                let leg = self.one_of(&talking);
                let lost = self.dice.random_bool(0.3);
                let cause = if lost { Cause::Lost } else { Cause::Bye };
                leg.into_iter().for_each(|leg| self.ends(leg, cause));
            }
            70..85 => self.something_owed_comes(),
            85..92 => {
                let plan = some_plan(&mut self.dice);
                self.replan(&plan);
            }
            _ => {
                let place = self.dice.random_range(0..self.board.plan().seats.len());
                self.phone_comes_or_goes(SeatId(u16::try_from(place).unwrap()));
            }
        }
    }

    fn somebody_calls(&mut self) {
        let plan = Arc::clone(self.board.plan());
        let numbers: Vec<&str> = plan.numbers.iter().map(|row| row.pattern.as_str()).collect();
        let number = self.one_of(&numbers).unwrap_or("nobody's").to_owned();
        let phones = (0..).map(SeatId).take(plan.seats.len());
        let phones: Vec<SeatId> =
            phones.filter(|&seat| self.board.seats().is_signed_in(seat)).collect();
        let phone = self.one_of(&phones).filter(|_| self.dice.random_bool(0.2));
        let leg = self.leg(Leg::Caller);
        let source = phone.map_or(Source::Trunk(TrunkId(0)), |seat| Source::Phone(UserId(seat.0)));
        self.feed(Input::Arrived {
            leg,
            source,
            from: "5411".into(),
            from_display: None,
            number,
            sip_call_id: format!("{leg}@test"),
            max_forwards: 70,
            media: Media::Agreed,
        });
        let call = self.board.calls().find(|(_, call)| call.caller == leg);
        let call = call.filter(|(_, call)| call.state != State::Over).map(|(id, _)| id);
        if let (Some(seat), Some(call)) = (phone, call) {
            let taken = self.on_phone.get(&seat).map(|(call, _)| *call);
            assert!(taken.is_none_or(|other| other == call), "{seat:?} has {taken:?} and {call}");
            self.on_phone.entry(seat).or_insert((call, BTreeSet::new())).1.insert(leg);
        }
    }

    /// The end of a leg that was hung up, or a late answer to it, or the media plane's last word.
    fn something_owed_comes(&mut self) {
        let ending = self.legs_that(Leg::Ending);
        if let Some(leg) = self.one_of(&ending) {
            if self.dice.random_bool(0.2) {
                self.feed(Input::LegAnswered(leg));
            }
            self.ends(leg, Cause::Released);
        }
        if let Some(call) = self.media_owed.pop_first() {
            let at = self.now;
            self.feed(Input::MediaEnded { call, at, recorded: None, quality: vec![] });
        }
    }

    fn phone_comes_or_goes(&mut self, seat: SeatId) {
        let plan = Arc::clone(self.board.plan());
        if plan.gone.seats.contains(&seat) {
            return;
        }
        let name = &plan.seats[usize::from(seat.0)].name;
        if self.registered.remove(name) {
            self.feed(Input::SignedOut(seat));
        } else {
            self.registered.insert(name.clone());
            self.feed(Input::SignedIn(seat));
        }
    }

    fn replan(&mut self, next: &Plan) {
        let next = Arc::new(self.board.plan().succeeded_by(next).unwrap().plan);
        let gone = next.gone.seats.iter().map(|seat| &next.seats[usize::from(seat.0)].name);
        for name in gone {
            self.registered.remove(name);
        }
        self.replans += 1;
        self.feed(Input::Replan(next));
        self.sign_in_who_is_there();
    }

    /// As the exchange does: who has a contact, and whose phone is registered.
    fn sign_in_who_is_there(&mut self) {
        let plan = Arc::clone(self.board.plan());
        for (seat, id) in plan.seats.iter().zip((0..).map(SeatId)) {
            let reachable = seat.fixed || self.registered.contains(&seat.name);
            if reachable && !plan.gone.seats.contains(&id) && !self.board.seats().is_signed_in(id) {
                self.feed(Input::SignedIn(id));
            }
        }
    }

    /// Nobody waits for a team in which nobody could ever answer.
    fn check(&self) {
        for (id, call) in self.board.calls().filter(|(_, call)| call.state == State::Waiting) {
            let team =
                call.team().and_then(|team| self.board.plan().teams.get(usize::from(team.0)));
            assert!(team.is_none_or(|team| !team.seats.is_empty()), "{id} waits for nobody");
        }
    }

    /// Everybody goes home; nothing may be left.
    fn end(&mut self) {
        while let Some((&leg, _)) = self.legs.first_key_value() {
            self.ends(leg, Cause::Bye);
        }
        while !self.media_owed.is_empty() || !self.legs.is_empty() {
            let legs: Vec<_> = self.legs.keys().copied().collect();
            legs.into_iter().for_each(|leg| self.ends(leg, Cause::Released));
            self.something_owed_comes();
        }
        assert!(self.board.is_idle(), "{:?}", self.board);
        assert_eq!(self.ended.len(), self.arrived, "every caller has one record");
        for seat in (0..).map(SeatId).take(self.board.plan().seats.len()) {
            let state = self.board.seat_view(seat).state;
            assert!(!matches!(state, AgentState::Offered | AgentState::Busy), "{seat:?} {state:?}");
            let gone = self.board.plan().gone.seats.contains(&seat);
            assert!(!gone || state == AgentState::Offline, "{seat:?} is gone and {state:?}");
        }
    }
}

fn some_plan(dice: &mut ChaCha20Rng) -> Plan {
    let trunk = |name: &str| Trunk {
        name: name.into(),
        address: "192.0.2.1:5060".parse().ok(),
        transport: sip_stack::Transport::Udp,
        pstn: false,
    };
    let mut seats: Vec<SeatPlan> = vec![];
    for name in AGENTS {
        if dice.random_bool(0.6) {
            let fixed = dice.random_bool(0.5);
            seats.push(SeatPlan { name: name.into(), extension: name.into(), fixed });
        }
    }
    if seats.is_empty() {
        seats.push(SeatPlan { name: "ana".into(), extension: "ana".into(), fixed: true });
    }
    let places: Vec<SeatId> = (0..).map(SeatId).take(seats.len()).collect();
    let (mut teams, mut numbers) = (vec![], vec![]);
    let row =
        |pattern: &str, to| NumberRow { pattern: pattern.into(), to, from: vec![], record: None };
    for name in TEAMS {
        if dice.random_bool(0.7) {
            let some = places.iter().copied().filter(|_| dice.random_bool(0.5));
            let mut members: Vec<SeatId> = some.collect();
            if members.is_empty() {
                members.push(SeatId(0));
            }
            numbers.push(row(name, Destination::Team(TeamId(u16::try_from(teams.len()).unwrap()))));
            let seconds = |dice: &mut ChaCha20Rng| Duration::from_secs(dice.random_range(1..20));
            teams.push(Team {
                name: name.into(),
                seats: members,
                music: None,
                ring: seconds(dice),
                wrap_up: seconds(dice),
                set_aside: Some(seconds(dice)),
                record: false,
                answer: AnswerMode::AtOnce,
            });
        }
    }
    numbers.push(row("direct", Destination::Seat(SeatId(0))));
    numbers.push(row("out", Destination::Trunk(TrunkId(1))));
    let gone = Default::default();
    Plan { trunks: vec![trunk("carrier"), trunk("pbx")], seats, teams, numbers, gone }
}

#[test]
fn swaps_of_the_plan_in_the_middle_of_calls_never_give_an_agent_two_nor_lose_a_caller() {
    let (mut replans, mut calls, mut talked) = (0, 0, 0);
    for seed in 0..150 {
        let mut day = Day::new(seed);
        for _ in 0..400 {
            day.step();
        }
        day.end();

        let past = journal::replay(journal::read(&day.journal).unwrap());

        assert_eq!(past.ended, day.ended, "seed {seed}: the journal tells another story");
        assert_eq!(past.board.plan(), day.board.plan());
        (replans, calls) = (replans + day.replans, calls + day.arrived);
        talked += day.ended.iter().filter(|record| record.agent.is_some()).count();
    }
    assert!(replans > 2_000 && calls > 10_000 && talked > 1_000, "{replans} {calls} {talked}");
}
