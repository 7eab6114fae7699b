//! What the outside may read of the running box: folded from facts, never asked of the pump.

use control_plane::{
    calendar::Verdict,
    cdr::{CallRecord, CallState, Ledger, to_rfc3339},
    config::{self, Plan, SELF_TEST},
    fact::{AgentState, Fact, SeatView, Step, What},
    ids::{CallId, HoursId, SeatId, TeamId},
    seats::PauseReason,
    time::Stamp,
};
use serde::Serialize;
use sip_stack::{TrunkId, TrunkLoad};
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};
use utoipa::ToSchema;

mod contact;

pub use contact::{AgentAndPhones, Contact};

/// Ended calls kept in memory; the CDR files have them all.
pub const ENDED_MAX: usize = 10_000;

/// Calls, agents and queues as the facts tell them.
#[derive(Debug)]
pub struct View {
    plan: Arc<Plan>,
    ledger: Ledger,
    /// In the order of the plan's seats.
    seats: Vec<SeatLine>,
    /// Where the phones of each are.
    contacts: BTreeMap<SeatId, Vec<sip_stack::Contact>>,
    /// The team each call was queued for, and since when its caller waits for a voice.
    queued: BTreeMap<CallId, (TeamId, Option<Stamp>)>,
    /// What each calendar says.
    verdicts: BTreeMap<HoursId, Verdict>,
    ended: Ended,
}

/// An agent, as `GET /api/v1/agents` shows them.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Agent {
    pub name: String,
    pub extension: String,
    /// `offline`, `available`, `offered`, `busy`, `wrap_up` or `paused`.
    pub state: &'static str,
    /// Why a paused agent is paused: `declined`, `no_answer`, `requested` or `unreachable`.
    pub reason: Option<String>,
    /// Of a pause that was asked for and begins when the agent is back, or their call is over.
    pub pause_pending: Option<String>,
    /// The call the agent is offered or in.
    pub call_id: Option<String>,
    /// RFC 3339; null while nothing has been heard of the agent's phone.
    pub since: Option<String>,
    pub team_names: Vec<String>,
}

/// A team's queue, as `GET /api/v1/queues` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Queue {
    pub team: String,
    /// Callers who have no voice yet, those being offered to an agent included.
    pub waiting: usize,
    pub longest_wait_seconds: f64,
    pub agents_available: usize,
}

/// A calendar, as `GET /api/v1/hours` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Hours {
    pub name: String,
    /// Whose clock it goes by.
    pub time_zone: String,
    /// `open` or `closed`.
    pub state: &'static str,
    /// By which rule: its week, a holiday or an exception, with its name.
    pub by: String,
    /// RFC 3339; null if nothing changes in the next 400 days.
    pub until: Option<String>,
    /// Whose calls go by it.
    pub numbers: Vec<String>,
    pub team_names: Vec<String>,
}

/// A trunk, as `GET /api/v1/trunks` shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Trunk {
    pub name: String,
    /// Where calls to it are sent; null if it only calls us.
    pub address: Option<String>,
    /// What they go by: `udp` or `tcp`; null if it only calls us.
    pub transport: Option<&'static str>,
    /// It breaks out to the telephone network.
    pub pstn: bool,
    /// Calls by it at this moment, those that came in and those that went out.
    pub calls_active: u32,
    /// How many there may be.
    pub calls_max: u32,
}

/// Which calls are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Oldest first.
    Active,
    /// Active ones, then ended ones.
    All,
    /// Newest first.
    Ended,
}

/// From where records are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    Beginning,
    /// After this journal record.
    Seq(u64),
    /// Ended at this moment or later.
    Time(Stamp),
}

/// The last calls that ended, found by their ids.
#[derive(Debug, Default)]
struct Ended {
    /// Oldest first.
    records: VecDeque<Arc<CallRecord>>,
    /// How many have come before the oldest.
    forgotten: usize,
    /// How many had come before each.
    places: HashMap<String, usize>,
}

impl Ended {
    fn push(&mut self, record: CallRecord) {
        if self.records.len() >= ENDED_MAX
            && let Some(oldest) = self.records.pop_front()
        {
            self.places.remove(&oldest.id);
            self.forgotten += 1;
        }
        self.places.insert(record.id.clone(), self.forgotten + self.records.len());
        self.records.push_back(Arc::new(record));
    }

    fn get(&self, id: &str) -> Option<&Arc<CallRecord>> {
        self.records.get(self.places.get(id)?.checked_sub(self.forgotten)?)
    }

    fn get_mut(&mut self, id: &str) -> Option<&mut Arc<CallRecord>> {
        self.records.get_mut(self.places.get(id)?.checked_sub(self.forgotten)?)
    }
}

#[derive(Clone, Debug)]
struct SeatLine {
    is: SeatView,
    since: Option<Stamp>,
}

const OFFLINE: SeatLine = SeatLine {
    is: SeatView {
        state: AgentState::Offline,
        reason: None,
        word: None,
        pause_pending: false,
        call: None,
    },
    since: None,
};

impl View {
    pub fn new(plan: Arc<Plan>) -> Self {
        Self {
            ledger: Ledger::new(Arc::clone(&plan)),
            seats: vec![OFFLINE; plan.seats.len()],
            contacts: BTreeMap::new(),
            queued: BTreeMap::new(),
            verdicts: BTreeMap::new(),
            ended: Ended::default(),
            plan,
        }
    }

    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// A record of an earlier run; to be given oldest first.
    pub fn load_ended(&mut self, record: CallRecord) {
        self.ended.push(record);
    }

    /// Takes one fact in; gives the record of a call that ended with it.
    pub fn apply(&mut self, fact: &Fact) -> Option<CallRecord> {
        match &fact.what {
            What::Call(call, step) => self.follow_waiting(*call, step, fact.at),
            What::Claim(_) => {}
            What::Hours(id, verdict) => _ = self.verdicts.insert(*id, verdict.clone()),
            What::Plan(plan) => {
                self.seats.resize(plan.seats.len(), OFFLINE);
                self.verdicts.retain(|id, _| usize::from(id.0) < plan.hours.len());
                self.plan = Arc::clone(plan);
            }
            What::Seat(seat, is) => self.follow_seat(*seat, is.clone(), fact.at),
        }
        let record = self.ledger.apply(fact)?;
        self.load_ended(record.clone());
        Some(record)
    }

    /// The record of this call stands in the CDR file, which says whether it is durable.
    pub fn set_durable(&mut self, id: &str, durable: bool) {
        if let Some(record) = self.ended.get_mut(id) {
            Arc::make_mut(record).durable = Some(durable);
        }
    }

    /// Where an agent's phones are from now on.
    pub fn set_contacts(&mut self, seat: SeatId, contacts: Vec<sip_stack::Contact>) {
        if contacts.is_empty() {
            self.contacts.remove(&seat);
        } else {
            self.contacts.insert(seat, contacts);
        }
    }

    fn follow_seat(&mut self, seat: SeatId, is: SeatView, at: Stamp) {
        let Some(line) = self.seats.get_mut(usize::from(seat.0)) else { return };
        // A pause that has not begun changes nothing yet.
        let same = |a: &SeatView, b: &SeatView| {
            let words = a.word == b.word || a.state != AgentState::Paused;
            (a.state, a.reason, a.call, words) == (b.state, b.reason, b.call, true)
        };
        let since = if same(&line.is, &is) { line.since.or(Some(at)) } else { Some(at) };
        *line = SeatLine { is, since };
    }

    fn follow_waiting(&mut self, call: CallId, step: &Step, at: Stamp) {
        match step {
            Step::Queued { team } => {
                self.queued.insert(call, (*team, Some(at)));
            }
            Step::Requeued => {
                if let Some((_, since)) = self.queued.get_mut(&call) {
                    *since = Some(at);
                }
            }
            Step::Accepted { .. } => {
                if let Some((_, since)) = self.queued.get_mut(&call) {
                    *since = None;
                }
            }
            Step::Ended { .. } | Step::Over { .. } => {
                self.queued.remove(&call);
            }
            Step::Answered
            | Step::AnsweredTooLate { .. }
            | Step::Arrived { .. }
            | Step::Bridged
            | Step::Digit { .. }
            | Step::Door(_)
            | Step::Heard { .. }
            | Step::Hearing
            | Step::Held
            | Step::OfferEnded { .. }
            | Step::Offered { .. }
            | Step::RecordPaused
            | Step::RecordResumed { .. }
            | Step::RecordingBegan
            | Step::RecordingFailed { .. }
            | Step::Resumed
            | Step::Ringing { .. }
            | Step::Routed { .. }
            | Step::OneWayAudio { .. }
            | Step::Silent { .. }
            | Step::TwoWayAudio { .. } => {}
        }
    }

    /// Everybody who was configured.
    pub fn agents(&self) -> Vec<Agent> {
        let all = (0..self.seats.len()).filter_map(|place| self.agent_at(place));
        all.filter(|agent| agent.name != SELF_TEST).collect()
    }

    /// An agent who is not configured any more is shown until their last call has ended.
    fn is_there(&self, place: usize, line: &SeatLine) -> bool {
        let gone = self.plan.gone.seats.iter().any(|seat| usize::from(seat.0) == place);
        !gone || line.is.state != AgentState::Offline
    }

    pub fn agent(&self, name: &str) -> Option<Agent> {
        self.agent_at(usize::from(self.seat(name)?.0))
    }

    /// An agent and where their phones are.
    pub fn agent_and_phones(&self, name: &str, now: Instant) -> Option<AgentAndPhones> {
        let seat = self.seat(name)?;
        let contacts = self.contacts.get(&seat).into_iter().flatten();
        Some(AgentAndPhones {
            agent: self.agent_at(usize::from(seat.0))?,
            contacts: contacts.map(|contact| Contact::at(contact, now)).collect(),
        })
    }

    /// The seat of an agent's name.
    pub fn seat(&self, name: &str) -> Option<SeatId> {
        let named = |seat: &config::SeatPlan| seat.name == name && name != SELF_TEST;
        let place = self.plan.seats.iter().position(named)?;
        let seat = u16::try_from(place).ok().map(SeatId)?;
        self.is_there(place, self.seats.get(place)?).then_some(seat)
    }

    fn agent_at(&self, place: usize) -> Option<Agent> {
        let (plan, line) = (self.plan.seats.get(place)?, self.seats.get(place)?);
        if !self.is_there(place, line) {
            return None;
        }
        let mine = |seat: &SeatId| usize::from(seat.0) == place;
        let teams = self.plan.teams.iter().filter(|team| team.seats.iter().any(mine));
        let asked = || line.is.pause_pending.then_some(PauseReason::Requested);
        let reason = || line.is.reason.or_else(asked).map(|reason| reason.to_string());
        let said = line.is.word.clone().or_else(reason);
        Some(Agent {
            name: plan.name.clone(),
            extension: plan.extension.clone(),
            state: line.is.state.label(),
            reason: said.clone().filter(|_| line.is.state == AgentState::Paused),
            pause_pending: said.filter(|_| line.is.pause_pending),
            call_id: line.is.call.map(|call| call.to_string()),
            since: line.since.map(to_rfc3339),
            team_names: teams.map(|team| team.name.clone()).collect(),
        })
    }

    /// How many agents of a team are in this state.
    pub fn agents_in(&self, team: TeamId, state: AgentState) -> usize {
        let Some(team) = self.plan.teams.get(usize::from(team.0)) else { return 0 };
        let lines = team.seats.iter().filter_map(|seat| self.seats.get(usize::from(seat.0)));
        lines.filter(|line| line.is.state == state).count()
    }

    /// At most `limit` records.
    pub fn calls(&self, which: Which, limit: usize) -> Vec<Arc<CallRecord>> {
        let active = self.ledger.active().map(|(_, record)| Arc::new(record.clone()));
        let ended = self.ended.records.iter().rev().cloned();
        match which {
            Which::Active => active.take(limit).collect(),
            Which::All => active.chain(ended).take(limit).collect(),
            Which::Ended => ended.take(limit).collect(),
        }
    }

    /// Every call that has not ended.
    pub fn active(&self) -> impl Iterator<Item = &CallRecord> {
        self.ledger.active().map(|(_, record)| record)
    }

    /// A call that has not ended.
    pub fn active_call(&self, call: CallId) -> Option<&CallRecord> {
        self.ledger.call(call)
    }

    /// Name and detail of a step, as they stand in the story of its call.
    pub fn describe(&self, step: &Step) -> (&'static str, String) {
        self.ledger.describe(step)
    }

    pub fn call(&self, call: CallId) -> Option<Arc<CallRecord>> {
        if let Some(record) = self.ledger.call(call) {
            return Some(Arc::new(record.clone()));
        }
        self.ended.get(&call.to_string()).cloned()
    }

    /// Records of ended calls that stand in the CDR files, oldest first, at most `limit`.
    pub fn cdrs(&self, since: Since, limit: usize) -> Vec<Arc<CallRecord>> {
        let wanted = |record: &&Arc<CallRecord>| match since {
            Since::Beginning => true,
            Since::Seq(seq) => record.seq > seq,
            Since::Time(time) => record.ended_at.is_some_and(|ended| ended >= time),
        };
        let written = self.ended.records.iter().filter(|record| record.durable.is_some());
        written.filter(wanted).take(limit).cloned().collect()
    }

    pub fn queues(&self, now: Stamp) -> Vec<Queue> {
        let teams = self.plan.teams.iter().zip((0..).map(TeamId));
        let teams = teams.filter(|(team, _)| team.name != SELF_TEST);
        let queues = teams.map(|(team, id)| (id, self.queue(&team.name, id, now)));
        // A team that is not configured any more is shown until nobody waits for it.
        let there =
            |(id, queue): &(TeamId, Queue)| queue.waiting > 0 || !self.plan.gone.teams.contains(id);
        queues.filter(there).map(|(_, queue)| queue).collect()
    }

    fn queue(&self, name: &str, team: TeamId, now: Stamp) -> Queue {
        let waiting =
            || self.queued.values().filter(|(of, _)| *of == team).filter_map(|(_, since)| *since);
        let longest = waiting().map(|since| now.since(since).as_secs_f64());
        Queue {
            team: name.to_owned(),
            waiting: waiting().count(),
            longest_wait_seconds: longest.fold(0.0, f64::max),
            agents_available: self.agents_in(team, AgentState::Available),
        }
    }

    /// Every calendar, and whose calls go by it.
    pub fn hours(&self) -> Vec<Hours> {
        let all = self.plan.hours.iter().zip((0..).map(HoursId));
        all.filter_map(|(hours, id)| {
            let verdict = self.verdicts.get(&id)?;
            let numbers = self.plan.numbers.iter().filter(|row| row.door.hours == Some(id));
            let teams = self.plan.teams.iter().filter(|team| team.door.hours == Some(id));
            Some(Hours {
                name: hours.name.clone(),
                time_zone: hours.zone.name.clone(),
                state: if verdict.open { "open" } else { "closed" },
                by: verdict.why.to_string(),
                until: verdict.until.map(to_rfc3339),
                numbers: numbers.map(|row| row.pattern.clone()).collect(),
                team_names: teams.map(|team| team.name.clone()).collect(),
            })
        })
        .collect()
    }

    /// The trunk of this name, if it is configured.
    pub fn trunk(&self, name: &str) -> Option<TrunkId> {
        let named = |(trunk, id): &(&config::Trunk, TrunkId)| {
            trunk.name == name && name != SELF_TEST && !self.plan.gone.trunks.contains(id)
        };
        self.plan.trunks.iter().zip((0..).map(TrunkId)).find(named).map(|(_, id)| id)
    }

    /// `loads`: of each trunk, by its id.
    pub fn trunks(&self, loads: &[TrunkLoad]) -> Vec<Trunk> {
        let load = |id: TrunkId| loads.get(usize::from(id.0)).copied().unwrap_or_default();
        let trunks = self.plan.trunks.iter().zip((0..).map(TrunkId));
        let there = |(trunk, id): &(&config::Trunk, TrunkId)| {
            let there = !self.plan.gone.trunks.contains(id) || load(*id).calls > 0;
            there && trunk.name != SELF_TEST
        };
        trunks
            .filter(there)
            .map(|(trunk, id)| Trunk {
                name: trunk.name.clone(),
                address: trunk.address.map(|address| address.to_string()),
                transport: trunk.address.map(|_| trunk.transport.label()),
                pstn: trunk.pstn,
                calls_active: load(id).calls,
                calls_max: load(id).calls_max,
            })
            .collect()
    }

    /// Calls in which two people are connected, on hold or not.
    pub fn talking(&self) -> usize {
        let talking = |record: &&CallRecord| match record.state {
            CallState::Held | CallState::Talking => true,
            CallState::Ended
            | CallState::Flow
            | CallState::Offered
            | CallState::Queued
            | CallState::Ringing => false,
        };
        self.active().filter(talking).count()
    }
}

#[cfg(test)]
pub(crate) mod test_plan;
#[cfg(test)]
mod tests;
