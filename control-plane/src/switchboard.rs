//! Owner of calls: decides who is offered to whom, and alone changes calls and seats.
//!
//! Inputs are plain data and are journaled; outputs are orders to the legs and the media plane;
//! facts are what CDR, metrics and stories are made of. Waiting is always until a named moment.

mod answer;
mod arrive;
mod end;
mod hours;
mod replan;
mod restart;
mod sound;
mod taping;

use crate::{
    calendar::Verdict,
    call::{Call, Callee, Offer, Phase, State},
    config::{Plan, Team},
    fact::{AgentState, ClaimResult, Fact, Party, Quality, SeatView, Step, What},
    ids::{CallId, OfferId, SeatId, TeamId},
    queue::Queue,
    seats::{self, PauseReason, Seat, SeatClaim, SeatTable},
    time::{Ahead, Stamp},
};
use media_core::order::{Digit, Recorded, Source as Hears, TuneId};
use serde::{Deserialize, Serialize};
use sip_stack::{
    event::{Cause, HangUp, Place, Source},
    ids::{LegId, TrunkId},
    sdp::codec::Codec,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

/// Something happened outside. Journaled as is, so a day can be replayed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// Somebody calls.
    Arrived {
        leg: LegId,
        source: Source,
        from: String,
        from_display: Option<String>,
        number: String,
        sip_call_id: String,
        /// How many more hops the call may take.
        max_forwards: u8,
        media: Media,
    },
    /// Ends a pause, wrap-up or being set aside.
    Available(SeatId),
    /// What was said where nobody is there has ended; `whole`: with its last sample.
    MessageEnded {
        leg: LegId,
        whole: bool,
    },
    /// Two first heard each other, by the media thread's clock.
    Bridged {
        call: CallId,
        at: Stamp,
    },
    /// The legs made for an offer; none: there was nowhere to send it.
    Dialled {
        offer: OfferId,
        legs: Vec<LegId>,
    },
    HangUp(CallId),
    Hold(CallId),
    LegAnswered(LegId),
    /// The leg is gone and its phone has nothing left of it.
    LegEnded {
        leg: LegId,
        cause: Cause,
    },
    /// The far side has hung up or is lost; something of the leg may still be out there.
    LegLeft {
        leg: LegId,
        cause: Cause,
    },
    /// A key was pressed there, from this moment on.
    LegDigit {
        leg: LegId,
        /// None: it is masked.
        digit: Option<Digit>,
        duration_ms: u32,
        at: Stamp,
    },
    /// Since then nothing comes from it, while the one it talks to is heard.
    LegOneWay {
        leg: LegId,
        since: Stamp,
    },
    /// The end of that.
    LegBothWays(LegId),
    LegRinging(LegId),
    /// Who was called has answered, in nothing that can pass through to the caller.
    LegUnfit {
        leg: LegId,
        why: String,
    },
    /// Media comes from it again.
    LegHeard(LegId),
    /// No media has come from it for a while.
    LegSilent(LegId),
    /// The process that had these calls is gone, and with it all media; the SIP endpoint has taken
    /// its dialogs up again.
    Restarted(Restarted),
    /// The media plane's last word about a call.
    MediaEnded {
        call: CallId,
        at: Stamp,
        recorded: Option<Recorded>,
        quality: Vec<Quality>,
    },
    /// From here on the media plane has no room for another call, or has again. What its threads
    /// measured stands beside for who reads it.
    Overload {
        on: bool,
        lateness_us: u32,
        used_permille: u32,
        #[serde(default)]
        used_p99_permille: u32,
    },
    /// Where these agents are called from here on; nobody else has moved.
    Phones(BTreeMap<SeatId, BTreeSet<Place>>),
    /// `word` is for people: "lunch".
    Pause {
        seat: SeatId,
        word: Option<String>,
    },
    /// Nothing is to be recorded of this call until `RecordResume`.
    RecordPause(CallId),
    RecordResume(CallId),
    /// The file of a recording that had failed without one is there after all.
    RecordingBegan(CallId),
    RecordingFailed {
        call: CallId,
        what: String,
        /// There is none, until it has begun after all.
        #[serde(default)]
        no_file: bool,
    },
    /// From here on calls flow like this; made by [`Plan::succeeded_by`].
    Replan(Arc<Plan>),
    Resume(CallId),
    SignedIn(SeatId),
    SignedOut(SeatId),
    /// The box stops: what is left is hung up.
    Stop,
    /// A deadline has passed.
    TimeCame,
    /// From here on the wall clock is so far ahead of the box's own time line: somebody has set it.
    WallClock {
        ahead: Ahead,
    },
}

impl Input {
    /// The leg of a caller who arrives.
    pub(crate) fn caller(&self) -> Option<LegId> {
        if let Self::Arrived { leg, .. } = self { Some(*leg) } else { None }
    }
}

/// What the next process knows of the one before, and what it is told for itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Restarted {
    /// The last moment at which the process before is known to have lived.
    pub last: Stamp,
    /// What was found of the media of the calls that were cut off.
    pub cut: BTreeMap<CallId, Cut>,
    /// From here on.
    pub plan: Arc<Plan>,
    /// The telephones that had a leg of that process, also one that its board may not know of because
    /// the journal was cut before it was told.
    #[serde(default)]
    pub phones: BTreeMap<LegId, Place>,
}

/// What was found of a call that the media plane could not say its last word about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Media went on at least until then.
    pub heard_until: Stamp,
    pub recorded: Option<Recorded>,
}

/// What the legs could make of a caller's offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Media {
    Agreed,
    /// Names both sides.
    NoCodec {
        /// Of the `Warning` header (RFC 3261 §20.43).
        code: u16,
        text: String,
    },
    /// All ports are in use.
    NoPorts,
    /// Nothing that is spoken here, but this, which may pass through to who speaks it too. Beside it, what the
    /// caller is told where nobody does.
    Passes {
        codec: Codec,
        /// What else would do, in the order of the caller's wishes.
        #[serde(default)]
        also: Vec<Codec>,
        code: u16,
        text: String,
    },
}

/// Something must happen outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Answer the caller; media is ready first.
    Answer {
        leg: LegId,
    },
    Bridge {
        call: CallId,
        caller: LegId,
        other: LegId,
        record: bool,
    },
    /// Is the far side still there?
    Check {
        leg: LegId,
    },
    /// Ring this agent's phones and no others. Owes `Dialled`.
    DialSeat {
        offer: OfferId,
        call: CallId,
        seat: SeatId,
        grant: u64,
    },
    /// Owes `Dialled`.
    DialTrunk {
        offer: OfferId,
        call: CallId,
        trunk: TrunkId,
    },
    /// The call's media is over. Owes `MediaEnded`.
    EndMedia {
        call: CallId,
    },
    HangUp {
        leg: LegId,
        why: HangUp,
    },
    Hear {
        leg: LegId,
        source: Hears,
    },
    Part {
        call: CallId,
        caller_hears: Hears,
        other_hears: Hears,
    },
    RecordPause {
        call: CallId,
    },
    RecordResume {
        call: CallId,
    },
    /// Says this to a leg, once and to its end. Owes `MessageEnded`.
    Play {
        leg: LegId,
        tune: TuneId,
    },
    /// Early media for the caller; media is ready first.
    Progress {
        leg: LegId,
    },
    Refuse {
        leg: LegId,
        status: u16,
        retry_after_seconds: Option<u32>,
        warning: Option<(u16, String)>,
    },
    Ring {
        leg: LegId,
    },
}

/// Who a leg belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Owner {
    /// The caller of a call; `own`: the claim of the agent who placed it.
    Caller {
        call: CallId,
        own: Option<OfferId>,
    },
    Offer(OfferId),
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Due {
    /// What is said where nobody is there is not waited for any longer.
    Message(CallId),
    Offer(OfferId),
    Seat(SeatId),
    /// A leg that says nothing is asked again.
    Silence(LegId),
}

/// All calls, offers, queues and seats of this box.
#[derive(Debug, Serialize, Deserialize)]
pub struct Switchboard {
    plan: Arc<Plan>,
    seats: SeatTable,
    /// Whose claim a seat is, for telling *offered* from *busy*.
    claimed_for: BTreeMap<SeatId, OfferId>,
    calls: BTreeMap<CallId, Call>,
    offers: BTreeMap<OfferId, Offer>,
    legs: BTreeMap<LegId, Owner>,
    /// Legs that have fallen silent.
    silent: BTreeSet<LegId>,
    queues: Vec<Queue>,
    deadlines: BTreeSet<(Stamp, Due)>,
    next_call: u64,
    next_offer: u64,
    /// One more than the greatest leg ever seen here; the endpoint goes on from it.
    next_leg: u64,
    /// No new call is taken; those that are here go on, and so do the offers made for them.
    #[serde(default)]
    overloaded: bool,
    /// How far the wall clock is ahead of `now`, give or take a second.
    #[serde(default)]
    ahead: Ahead,
    /// What each calendar of the plan says.
    #[serde(default)]
    verdicts: Vec<Verdict>,
    /// When the first of them says otherwise.
    #[serde(default)]
    calendars_due: Option<Stamp>,
    now: Stamp,
    seq: u64,
    #[serde(skip)]
    outputs: VecDeque<Output>,
    #[serde(skip)]
    facts: VecDeque<Fact>,
    /// Seats whose view may have changed in this turn.
    #[serde(skip)]
    touched: BTreeSet<SeatId>,
    shown: BTreeMap<SeatId, SeatView>,
}

/// How long a seat that no team configured is set aside; the contract's default.
const SET_ASIDE: Duration = Duration::from_secs(30);
/// How long between two questions to a leg that says nothing.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// How long a phone rings when no team says so; the contract's default.
const RING: Duration = Duration::from_secs(20);
/// How long a trunk may take to answer: RFC 3261 §16.6 wants Timer C above three minutes.
const TRUNK_ANSWER: Duration = Duration::from_secs(185);

impl Switchboard {
    /// A board on which nothing has ever happened.
    pub fn new(plan: Arc<Plan>) -> Self {
        let queues = plan.teams.iter().map(|_| Queue::default()).collect();
        let seats = SeatTable::new(plan.seats.len());
        // They are asked before anything else.
        let calendars_due = (!plan.hours.is_empty()).then(Stamp::default);
        let touched =
            (0..u16::try_from(plan.seats.len()).unwrap_or(u16::MAX)).map(SeatId).collect();
        Self {
            plan,
            seats,
            claimed_for: BTreeMap::new(),
            calls: BTreeMap::new(),
            offers: BTreeMap::new(),
            legs: BTreeMap::new(),
            silent: BTreeSet::new(),
            queues,
            deadlines: BTreeSet::new(),
            next_call: 1,
            next_offer: 1,
            next_leg: 1,
            overloaded: false,
            ahead: Ahead::default(),
            verdicts: Vec::new(),
            calendars_due,
            now: Stamp::default(),
            seq: 0,
            outputs: VecDeque::new(),
            facts: VecDeque::new(),
            touched,
            shown: BTreeMap::new(),
        }
    }

    /// Something happened; decides everything it implies, at once. `seq` is its place in the
    /// journal.
    pub fn handle(&mut self, input: &Input, seq: u64, now: Stamp) {
        self.seq = seq;
        self.now = self.now.max(now);
        self.keep_hours(input);
        match input {
            Input::Arrived { .. } => self.arrived(input),
            Input::Available(seat) => self.seats.make_available(*seat, self.now),
            Input::Bridged { call, at } => self.bridged(*call, *at),
            Input::Dialled { offer, legs } => self.dialled(*offer, legs),
            Input::HangUp(call) => self.hang_up(*call),
            Input::Hold(call) => self.hold(*call),
            Input::LegAnswered(leg) => self.leg_answered(*leg),
            Input::LegEnded { leg, cause } => self.leg_ended(*leg, *cause),
            Input::LegDigit { leg, digit, duration_ms, at } => {
                self.leg_digit(*leg, *digit, *duration_ms, *at);
            }
            Input::LegOneWay { leg, since } => self.leg_one_way(*leg, *since),
            Input::LegBothWays(leg) => self.leg_both_ways(*leg),
            Input::LegRinging(leg) => self.leg_ringing(*leg),
            Input::LegHeard(leg) => _ = self.silent.remove(leg),
            Input::LegLeft { leg, cause } => self.leg_left(*leg, *cause),
            Input::LegSilent(leg) => self.leg_silent(*leg),
            Input::LegUnfit { leg, why } => self.leg_unfit(*leg, why),
            Input::MessageEnded { leg, whole } => self.message_ended(*leg, *whole),
            Input::Restarted(restarted) => self.restarted(restarted),
            Input::MediaEnded { call, at, recorded, quality } => {
                self.media_ended(*call, *at, *recorded, quality);
            }
            Input::Overload { on, .. } => self.overloaded = *on,
            Input::Phones(moved) => self.phones_moved(moved),
            Input::Pause { seat, word } => self.seats.pause(*seat, word.as_deref()),
            Input::RecordPause(call) => self.record_pause(*call),
            Input::RecordResume(call) => self.record_resume(*call),
            Input::RecordingBegan(call) => self.recording_began(*call),
            Input::RecordingFailed { call, what, no_file } => {
                self.recording_failed(*call, what, *no_file);
            }
            Input::Replan(plan) => self.replan(plan),
            Input::Resume(call) => self.resume(*call),
            Input::SignedIn(seat) => self.seats.sign_in(*seat, self.now),
            // Contract §2: who has a contact is always signed in, whatever else they registered.
            Input::SignedOut(seat) if self.is_fixed(*seat) => {}
            Input::SignedOut(seat) => self.seats.sign_out(*seat),
            Input::Stop => self.stop(),
            Input::TimeCame => self.time_came(),
            // Kept before anything else.
            Input::WallClock { .. } => {}
        }
        if let Input::Available(seat)
        | Input::Pause { seat, .. }
        | Input::SignedIn(seat)
        | Input::SignedOut(seat) = input
        {
            self.touch(*seat);
        }
        self.let_go_who_waits_for_nobody();
        self.match_callers_and_seats();
        self.show_seats();
    }

    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    pub fn poll_fact(&mut self) -> Option<Fact> {
        self.facts.pop_front()
    }

    /// When to feed `Input::TimeCame` next, and why.
    pub fn poll_timeout(&self) -> Option<(Stamp, &'static str)> {
        let calendars = self.calendars_due.map(|at| (at, "a calendar opens or closes"));
        self.next_deadline().into_iter().chain(calendars).min_by_key(|&(at, _)| at)
    }

    fn next_deadline(&self) -> Option<(Stamp, &'static str)> {
        let &(at, due) = self.deadlines.first()?;
        let why = match due {
            Due::Message(_) => "what is said has had its time",
            Due::Offer(_) => "an offer lapses",
            Due::Seat(_) => "an agent's pause or wrap-up ends",
            Due::Silence(_) => "a silent leg is asked again",
        };
        Some((at, why))
    }

    /// No call, no offer, no leg: nothing that could leak is left.
    pub fn is_idle(&self) -> bool {
        let queues_empty = self.queues.iter().all(Queue::is_empty);
        self.calls.is_empty() && self.offers.is_empty() && self.legs.is_empty() && queues_empty
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The media plane has no room for another call.
    pub fn is_overloaded(&self) -> bool {
        self.overloaded
    }

    /// Ids up to this one are in use somewhere, whatever the journal says: they are never given
    /// again.
    pub fn never_again(&mut self, call: CallId) {
        self.next_call = self.next_call.max(call.0.saturating_add(1));
    }

    /// Where the endpoint's leg numbers go on.
    pub fn next_leg(&self) -> u64 {
        self.next_leg
    }

    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The latest moment it has heard of.
    pub fn now(&self) -> Stamp {
        self.now
    }

    /// How far the wall clock is ahead of that, give or take a second.
    pub fn ahead(&self) -> Ahead {
        self.ahead
    }

    /// Its process lived at least until then, though nothing more happened.
    pub(crate) fn lived_until(&mut self, at: Stamp) {
        self.now = self.now.max(at);
    }

    /// What each calendar of the plan says now.
    pub fn verdicts(&self) -> &[Verdict] {
        &self.verdicts
    }

    /// A call that has not ended, for those who ask.
    pub fn call(&self, call: CallId) -> Option<&Call> {
        self.calls.get(&call).filter(|call| call.state != State::Over)
    }

    /// Whether keys that are pressed in this call are written nowhere.
    pub(crate) fn masks_digits(&self, call: CallId) -> bool {
        let terms = self.calls.get(&call).and_then(|call| call.terms);
        terms.is_some_and(|terms| terms.mask_digits)
    }

    /// A call until the media plane's last word about it.
    pub(crate) fn call_until_the_end(&self, call: CallId) -> Option<&Call> {
        self.calls.get(&call)
    }

    pub fn seats(&self) -> &SeatTable {
        &self.seats
    }

    /// The call whose caller this leg is.
    pub(crate) fn call_of(&self, leg: LegId) -> Option<CallId> {
        match self.legs.get(&leg)? {
            Owner::Caller { call, .. } => Some(*call),
            Owner::Offer(_) => None,
        }
    }

    pub fn calls(&self) -> impl Iterator<Item = (CallId, &Call)> {
        self.calls.iter().map(|(&id, call)| (id, call))
    }

    /// Who holds this seat now, as an agent would say it.
    pub fn seat_view(&self, seat: SeatId) -> SeatView {
        let pause_pending = self.seats.pause_is_pending(seat);
        let word = || self.seats.pause_word(seat).map(str::to_owned);
        let view = |state| SeatView {
            state,
            reason: None,
            word: pause_pending.then(word).flatten(),
            pause_pending,
            call: None,
        };
        match self.seats.seat(seat) {
            None | Some(Seat::Away) => view(AgentState::Offline),
            Some(Seat::Free { .. }) => match self.seats.free_since(seat) {
                Err(seats::Refusal::PhoneTaken(by)) => {
                    SeatView { call: by.known(), ..view(AgentState::Busy) }
                }
                Ok(_) | Err(_) => view(AgentState::Available),
            },
            Some(Seat::WrapUp { .. }) => view(AgentState::WrapUp),
            Some(Seat::Paused { reason, .. }) => {
                let word = match reason {
                    PauseReason::Requested => word(),
                    PauseReason::Declined | PauseReason::NoAnswer | PauseReason::Unreachable => {
                        None
                    }
                };
                SeatView { reason: Some(reason), word, ..view(AgentState::Paused) }
            }
            Some(Seat::Claimed { by }) => {
                let offer = self.claimed_for.get(&seat).and_then(|offer| self.offers.get(offer));
                let answered = offer.is_some_and(|offer| offer.answered);
                let state = if answered { AgentState::Busy } else { AgentState::Offered };
                SeatView { call: Some(by), ..view(state) }
            }
        }
    }

    /// As long as somebody waits and somebody in their team is free: the caller who came first
    /// gets the agent who has been idle longest. Each round claims a seat, so it ends.
    fn match_callers_and_seats(&mut self) {
        while let Some((call, seat)) = self.next_match() {
            self.offer_seat(call, seat);
        }
    }

    fn next_match(&self) -> Option<(CallId, SeatId)> {
        let heads = self.queues.iter().zip(&self.plan.teams);
        heads
            .filter_map(|(queue, team)| Some((queue.head()?, self.longest_idle(team)?)))
            .min_by_key(|(head, _)| *head)
            .map(|((_, call), seat)| (call, seat))
    }

    fn longest_idle(&self, team: &Team) -> Option<SeatId> {
        let since = |&seat: &SeatId| Some((self.seats.free_since(seat).ok()?, seat));
        let free = team.seats.iter().filter_map(since);
        free.min().map(|(_, seat)| seat)
    }

    /// Rings one agent for one caller.
    fn offer_seat(&mut self, call_id: CallId, seat: SeatId) {
        let Ok(claim) = self.seats.claim(seat, call_id) else {
            self.note(What::Claim(ClaimResult::Busy));
            return;
        };
        self.note(What::Claim(ClaimResult::Granted));
        self.touch_all_at(claim.phones());
        self.touch(seat);
        let grant = claim.grant();
        let offer = self.new_offer(call_id, Callee::Seat, Some(claim));
        self.claimed_for.insert(seat, offer);
        self.leave_queue(call_id);
        self.set_state(call_id, State::Offered { offer });
        self.tell(call_id, Step::Offered { offer, to: Party::Seat(seat) });
        self.outputs.push_back(Output::DialSeat { offer, call: call_id, seat, grant });
    }

    fn new_offer(&mut self, call: CallId, callee: Callee, claim: Option<SeatClaim>) -> OfferId {
        let id = OfferId(self.next_offer);
        self.next_offer += 1;
        let offer = Offer {
            call,
            terms: self.calls.get(&call).and_then(|call| call.terms),
            callee,
            claim,
            legs: BTreeMap::new(),
            phase: Phase::Dialling,
            rang: false,
            answered: false,
        };
        self.offers.insert(id, offer);
        id
    }

    fn join_queue(&mut self, call_id: CallId) {
        let Some(call) = self.calls.get_mut(&call_id) else { return };
        call.state = State::Waiting;
        let (arrived, team) = (call.arrived, call.team());
        if let Some(queue) = team.and_then(|team| self.queues.get_mut(usize::from(team.0))) {
            queue.insert(arrived, call_id);
        }
    }

    fn leave_queue(&mut self, call_id: CallId) {
        let Some(call) = self.calls.get(&call_id) else { return };
        let (arrived, team) = (call.arrived, call.team());
        if let Some(queue) = team.and_then(|team| self.queues.get_mut(usize::from(team.0))) {
            queue.remove(arrived, call_id);
        }
    }

    /// A deadline has passed: everything due at this moment is handled, nothing due is left.
    fn time_came(&mut self) {
        while let Some(&(at, due)) = self.deadlines.first() {
            if at > self.now {
                return;
            }
            self.deadlines.pop_first();
            match due {
                Due::Message(call) => self.message_over(call),
                Due::Offer(offer) => self.offer_lapsed(offer),
                Due::Silence(leg) => self.ask_a_silent_leg(leg),
                Due::Seat(seat) => {
                    // The deadline may be of an earlier pause; the seat knows its own.
                    if self.seats.due(seat).is_some_and(|due| due <= self.now) {
                        self.seats.make_available(seat, self.now);
                        self.touch(seat);
                    }
                }
            }
        }
    }

    /// Says what has become of the seats touched in this turn, and when they change by themselves.
    fn show_seats(&mut self) {
        while let Some(seat) = self.touched.pop_first() {
            if let Some(due) = self.seats.due(seat) {
                self.deadlines.insert((due, Due::Seat(seat)));
            }
            let view = self.seat_view(seat);
            if self.shown.insert(seat, view.clone()).as_ref() != Some(&view) {
                self.note(What::Seat(seat, view));
            }
        }
    }

    fn phones_moved(&mut self, moved: &BTreeMap<SeatId, BTreeSet<Place>>) {
        for (&seat, phones) in moved {
            self.seats.set_phones(seat, phones);
            self.touch(seat);
        }
    }

    /// Who shares a telephone with a call is not free.
    fn touch_all_at(&mut self, phones: &BTreeSet<Place>) {
        self.touched.extend(self.seats.seats_at(phones));
    }

    fn touch(&mut self, seat: SeatId) {
        self.touched.insert(seat);
    }

    fn set_state(&mut self, call: CallId, state: State) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.state = state;
        }
    }

    fn tell(&mut self, call: CallId, step: Step) {
        self.note(What::Call(call, step));
    }

    fn tell_at(&mut self, at: Stamp, call: CallId, step: Step) {
        self.facts.push_back(Fact { seq: self.seq, at, what: What::Call(call, step) });
    }

    fn note(&mut self, what: What) {
        self.facts.push_back(Fact { seq: self.seq, at: self.now, what });
    }

    fn team(&self, team: Option<TeamId>) -> Option<&Team> {
        self.plan.teams.get(usize::from(team?.0))
    }

    /// What this call's caller waits to.
    fn music(&self, call: CallId) -> Hears {
        let terms = self.calls.get(&call).and_then(|call| call.terms);
        terms.and_then(|terms| terms.music).map_or(Hears::Silence, Hears::Music)
    }

    /// `None`: they are configured no more.
    fn party(&self, offer: &Offer) -> Option<Party> {
        match offer.callee {
            Callee::Trunk(trunk) => Some(Party::Trunk(trunk)),
            Callee::Seat | Callee::Caller => offer.claim.as_ref()?.seat().map(Party::Seat),
            Callee::GoneTrunk => None,
        }
    }

    fn own_leg(&mut self, leg: LegId, owner: Owner) {
        self.next_leg = self.next_leg.max(leg.0 + 1);
        self.legs.insert(leg, owner);
    }
}

fn seat_id(place: usize) -> SeatId {
    SeatId(u16::try_from(place).expect("the configuration allows at most 65,535 agents"))
}

#[cfg(test)]
mod tests;
