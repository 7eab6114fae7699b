//! The configuration changes again and again in the middle of calls, and the process dies: agents are
//! renamed, extensions and contacts change hands, telephones are shared. No agent and no telephone
//! ever has two calls, no caller is lost, nothing is left, and the journal tells the same story.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use control_plane::{
    call::State,
    cdr::{CallRecord, Ledger},
    config::{Destination, NumberRow, Plan, SeatPlan, Team, Trunk},
    fact::{AgentState, Step, What},
    ids::{CallId, SeatId, TeamId},
    journal::{self, Chain, Past, Record},
    seats::Refusal,
    switchboard::{Input, Media, Output, Restarted, Switchboard},
    time::Stamp,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sip_stack::{
    event::{Cause, Place, Source},
    ids::{LegId, TrunkId, UserId},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

const AGENTS: [&str; 7] = ["ana", "bruno", "carla", "dora", "eva", "fede", "gala"];
const TEAMS: [&str; 3] = ["front", "sales", "support"];
const EXTENSIONS: [&str; 7] = ["1001", "1002", "1003", "1004", "1005", "1006", "1007"];
/// Telephones by their place in this list, each with the extensions it registers with: two of them
/// have two, and two extensions have two telephones.
const PHONES: [&[&str]; 9] = [
    &["1001"],
    &["1002"],
    &["1003", "1004"],
    &["1004"],
    &["1005"],
    &["1006", "1001"],
    &["1007"],
    &["1001"],
    &["1002"],
];

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
    /// What each seat has, counted apart from the board.
    on_seat: BTreeMap<SeatId, (CallId, BTreeSet<LegId>)>,
    /// What each telephone has, whoever's it is: seen from there.
    on_phone: BTreeMap<usize, LegId>,
    media_owed: BTreeSet<CallId>,
    /// Where who is registered, by name: for as long as the agent has that extension.
    bound: BTreeMap<String, BTreeSet<usize>>,
    /// Contacts of the configuration, by name.
    fixed: BTreeMap<String, usize>,
    replans: usize,
    crashes: usize,
    /// Somebody was not called because somebody else's call was on their telephone.
    kept_away: usize,
}

impl Day {
    fn new(seed: u64) -> Self {
        let mut dice = ChaCha20Rng::seed_from_u64(seed);
        let empty = Plan {
            trunks: vec![],
            seats: vec![],
            teams: vec![],
            numbers: vec![],
            ..Plan::default()
        };
        let (plan, fixed) = some_plan(&mut dice);
        let plan = Arc::new(empty.succeeded_by(&plan).unwrap().plan);
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
            on_seat: BTreeMap::new(),
            on_phone: BTreeMap::new(),
            media_owed: BTreeSet::new(),
            bound: BTreeMap::new(),
            fixed,
            replans: 0,
            crashes: 0,
            kept_away: 0,
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
        self.tell_who_moved();
        self.feed_only(input);
    }

    /// As the exchange does before anything else is decided.
    fn tell_who_moved(&mut self) {
        let seats = (0..).map(SeatId).take(self.board.seats().len());
        let moved: BTreeMap<_, _> = seats
            .map(|seat| (seat, self.phones_of(seat).into_iter().map(place).collect()))
            .filter(|(seat, phones)| self.board.seats().phones(*seat) != Some(phones))
            .collect();
        if !moved.is_empty() {
            self.feed_only(Input::Phones(moved));
        }
    }

    /// Where this agent is called: as the registrar has it.
    fn phones_of(&self, seat: SeatId) -> BTreeSet<usize> {
        let plan = self.board.plan();
        if plan.gone.seats.contains(&seat) {
            return BTreeSet::new();
        }
        let name = &plan.seats[usize::from(seat.0)].name;
        match self.bound.get(name).filter(|bound| !bound.is_empty()) {
            Some(bound) => bound.clone(),
            None => self.fixed.get(name).copied().into_iter().collect(),
        }
    }

    fn feed_only(&mut self, input: Input) {
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
                let mut legs = vec![];
                for phone in self.phones_of(seat) {
                    let leg = self.leg(Leg::Rings);
                    self.gets(seat, phone, call, leg);
                    legs.push(leg);
                }
                self.feed(Input::Dialled { offer, legs });
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
            | Output::Play { .. }
            | Output::Progress { .. }
            | Output::RecordPause { .. }
            | Output::RecordResume { .. }
            | Output::Ring { .. } => {}
        }
    }

    fn ends(&mut self, leg: LegId, cause: Cause) {
        if self.legs.remove(&leg).is_none() {
            return;
        }
        self.on_phone.retain(|_, there| *there != leg);
        self.on_seat.retain(|_, (_, legs)| {
            legs.remove(&leg);
            !legs.is_empty()
        });
        self.feed(Input::LegEnded { leg, cause });
    }

    /// Seen from the telephone, and from its agent.
    fn gets(&mut self, seat: SeatId, phone: usize, call: CallId, leg: LegId) {
        let other = self.on_phone.insert(phone, leg);
        assert_eq!(
            other, None,
            "telephone {phone} of {seat:?} has {other:?} and {leg:?} of {call}"
        );
        let has = self.on_seat.entry(seat).or_insert((call, BTreeSet::new()));
        assert_eq!(has.0, call, "{seat:?} has two");
        has.1.insert(leg);
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
            85..90 => self.replan(),
            90 => self.crash(),
            _ => self.phone_comes_or_goes(),
        }
    }

    fn somebody_calls(&mut self) {
        let plan = Arc::clone(self.board.plan());
        let numbers: Vec<&str> = plan.numbers.iter().map(|row| row.pattern.as_str()).collect();
        let number = self.one_of(&numbers).unwrap_or("nobody's").to_owned();
        let mut phones = vec![];
        for seat in (0..).map(SeatId).take(plan.seats.len()) {
            let free = self.phones_of(seat).into_iter();
            let free = free.filter(|phone| !self.on_phone.contains_key(phone));
            phones.extend(free.map(|phone| (seat, phone)));
        }
        let phone = self.one_of(&phones).filter(|_| self.dice.random_bool(0.2));
        let leg = self.leg(Leg::Caller);
        let source =
            phone.map_or(Source::Trunk(TrunkId(0)), |(seat, _)| Source::Phone(UserId(seat.0)));
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
        if let (Some((seat, phone)), Some(call)) = (phone, call) {
            self.gets(seat, phone, call, leg);
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

    /// A telephone registers with one of its extensions, or ends that.
    fn phone_comes_or_goes(&mut self) {
        let phone = self.dice.random_range(0..PHONES.len());
        let extension = self.one_of(PHONES[phone]).unwrap();
        let plan = Arc::clone(self.board.plan());
        let ids = (0..).map(SeatId).zip(&plan.seats);
        let owner = ids.filter(|(id, _)| !plan.gone.seats.contains(id));
        let Some((seat, agent)) = owner.into_iter().find(|(_, s)| s.extension == extension) else {
            return;
        };
        let bound = self.bound.entry(agent.name.clone()).or_default();
        if bound.remove(&phone) {
            if bound.is_empty() {
                self.feed(Input::SignedOut(seat));
            }
        } else {
            bound.insert(phone);
            self.feed(Input::SignedIn(seat));
        }
    }

    /// Who has another extension, or is gone, has to register anew.
    fn unbind(&mut self, before: &Plan, next: &Plan) {
        let extension = |plan: &Plan, name: &str| {
            let seats = plan.seats.iter().zip((0..).map(SeatId));
            let mut live = seats.filter(|(_, id)| !plan.gone.seats.contains(id));
            live.find(|(seat, _)| seat.name == name).map(|(seat, _)| seat.extension.clone())
        };
        self.bound.retain(|name, _| {
            let now = extension(next, name);
            now.is_some() && now == extension(before, name)
        });
    }

    /// In the order of the exchange: telephones first, then who signs out with theirs, then the plan.
    fn replan(&mut self) {
        let before = Arc::clone(self.board.plan());
        let (next, fixed) = some_plan(&mut self.dice);
        let next = Arc::new(before.succeeded_by(&next).unwrap().plan);
        self.fixed = fixed;
        let bound: Vec<String> = self.bound.keys().cloned().collect();
        self.unbind(&before, &next);
        for (seat, id) in before.seats.iter().zip((0..).map(SeatId)) {
            if bound.contains(&seat.name) && !self.bound.contains_key(&seat.name) {
                self.feed(Input::SignedOut(id));
            }
        }
        self.replans += 1;
        self.feed(Input::Replan(next));
        self.sign_in_who_is_there();
    }

    /// The process dies and the next one begins, perhaps with another configuration: with the board
    /// of its journal, and where the endpoint finds the legs.
    fn crash(&mut self) {
        self.crashes += 1;
        let past = journal::replay(journal::read(&self.journal).unwrap());
        let told = self.ended.len() - past.ended.len();
        assert_eq!(past.ended, self.ended[told..], "the journal tells another story");
        self.chain = Chain::default();
        self.journal.clear();
        self.chain.snapshot(past.moment(), &mut self.journal);
        let Past { board, ledger, last, .. } = past;
        (self.board, self.ledger) = (board, ledger);
        self.media_owed.clear();
        let before = Arc::clone(self.board.plan());
        let (next, fixed) = some_plan(&mut self.dice);
        (self.fixed, self.now) = (fixed, self.now + Duration::from_secs(1));
        let plan = Arc::new(next);
        let phones = self.on_phone.iter().map(|(&phone, &leg)| (leg, place(phone))).collect();
        let restarted = Restarted { last, cut: BTreeMap::new(), plan, phones };
        // Ids are given anew; who has what is known again when the board says so.
        let seats = std::mem::take(&mut self.on_seat);
        self.feed_only(Input::Restarted(restarted));
        let plan = Arc::clone(self.board.plan());
        for (seat, has) in seats {
            let name = &before.seats[usize::from(seat.0)].name;
            let now_at = plan.seats.iter().position(|seat| seat.name == *name);
            if let Some(now_at) = now_at {
                self.on_seat.insert(SeatId(u16::try_from(now_at).unwrap()), has);
            }
        }
        self.unbind(&before, &plan);
        for (seat, id) in plan.seats.iter().zip((0..).map(SeatId)) {
            if !seat.fixed
                && !self.bound.contains_key(&seat.name)
                && self.board.seats().is_signed_in(id)
            {
                self.feed(Input::SignedOut(id));
            }
        }
        self.sign_in_who_is_there();
    }

    /// As the exchange does: who has a contact, and whose phone is registered.
    fn sign_in_who_is_there(&mut self) {
        let plan = Arc::clone(self.board.plan());
        for id in (0..).map(SeatId).take(plan.seats.len()) {
            let reachable = !self.phones_of(id).is_empty();
            if reachable && !self.board.seats().is_signed_in(id) {
                self.feed(Input::SignedIn(id));
            }
        }
    }

    /// Nobody waits for a team in which nobody could ever answer, or while somebody is free.
    fn check(&mut self) {
        assert!(self.board.is_sound(), "{:?}", self.board);
        let seats = (0..).map(SeatId).take(self.board.seats().len());
        let kept_away = |seat: &SeatId| {
            matches!(self.board.seats().free_since(*seat), Err(Refusal::PhoneTaken(_)))
        };
        self.kept_away += seats.filter(kept_away).count();
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

fn place(phone: usize) -> Place {
    Place::at(SocketAddr::new([192, 0, 2, u8::try_from(phone).unwrap()].into(), 5060))
}

/// Names and extensions are dealt anew each time; so are the contacts of those who have one.
fn some_plan(dice: &mut ChaCha20Rng) -> (Plan, BTreeMap<String, usize>) {
    let trunk = |name: &str| Trunk { address: "192.0.2.1:5060".parse().ok(), ..Trunk::named(name) };
    let mut extensions = EXTENSIONS.to_vec();
    // Mostly somebody else has one of them, seldom everybody.
    for _ in 0..dice.random_range(0..4) {
        let (one, other) = (dice.random_range(0..7), dice.random_range(0..7));
        extensions.swap(one, other);
    }
    let mut contacts: Vec<usize> = (0..PHONES.len()).collect();
    let mut fixed = BTreeMap::new();
    let mut seats: Vec<SeatPlan> = vec![];
    for (name, extension) in AGENTS.into_iter().zip(extensions) {
        if dice.random_bool(0.6) || seats.is_empty() && name == "gala" {
            let is_fixed = dice.random_bool(0.4);
            if is_fixed {
                let at = dice.random_range(0..contacts.len());
                fixed.insert(name.to_owned(), contacts.swap_remove(at));
            }
            let extension = extension.into();
            seats.push(SeatPlan { extension, fixed: is_fixed, ..SeatPlan::named(name) });
        }
    }
    let places: Vec<SeatId> = (0..).map(SeatId).take(seats.len()).collect();
    let (mut teams, mut numbers) = (vec![], vec![]);
    let row = |pattern: &str, to| NumberRow::new(pattern, to);
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
                seats: members,
                ring: seconds(dice),
                wrap_up: seconds(dice),
                set_aside: Some(seconds(dice)),
                ..Team::named(name)
            });
        }
    }
    numbers.push(row("direct", Destination::Seat(SeatId(0))));
    numbers.push(row("out", Destination::Trunk(TrunkId(1))));
    let trunks = vec![trunk("carrier"), trunk("pbx")];
    (Plan { trunks, seats, teams, numbers, ..Plan::default() }, fixed)
}

#[test]
fn swaps_of_the_plan_in_the_middle_of_calls_never_give_an_agent_two_nor_lose_a_caller() {
    let (mut replans, mut crashes, mut calls, mut talked, mut kept_away) = (0, 0, 0, 0, 0);
    for seed in 0..150 {
        let mut day = Day::new(seed);
        for _ in 0..400 {
            day.step();
        }
        day.end();

        let past = journal::replay(journal::read(&day.journal).unwrap());

        let told = day.ended.len() - past.ended.len();
        assert_eq!(past.ended, day.ended[told..], "seed {seed}: the journal tells another story");
        assert_eq!(past.board.plan(), day.board.plan());
        (replans, calls) = (replans + day.replans, calls + day.arrived);
        (crashes, kept_away) = (crashes + day.crashes, kept_away + day.kept_away);
        talked += day.ended.iter().filter(|record| record.agent.is_some()).count();
    }
    assert!(replans > 2_000 && calls > 10_000 && talked > 1_000, "{replans} {calls} {talked}");
    assert!(crashes > 300 && kept_away > 1_000, "{crashes} {kept_away}");
}
