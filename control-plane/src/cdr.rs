//! The story of each call, and the one record that is left of it: folded from facts alone.

use crate::{
    config::{Destination, Plan},
    door::{Found, Passed},
    fact::{End, Fact, OfferEnd, Party, Quality, Reason, Side, Step, What},
    ids::CallId,
    time::Stamp,
    voice::{self, Worst},
};
use media_core::order::{Digit, Recorded};
use serde::{Deserialize, Serialize, Serializer};
use sip_stack::event::Source;
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// A call as the outside sees it: while it lives through the API, then as its CDR.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    pub id: String,
    pub channel: Channel,
    pub direction: Direction,
    pub from: String,
    /// The number dialled.
    pub to: String,
    pub number: String,
    /// The trunk it came in by.
    pub trunk: Option<String>,
    /// The trunk it was to go out by.
    #[serde(default)]
    pub trunk_out: Option<String>,
    pub team: Option<String>,
    /// Who talked to the caller last, or is being offered the call.
    pub agent: Option<String>,
    pub state: CallState,
    #[serde(with = "rfc3339")]
    pub started_at: Option<Stamp>,
    #[serde(with = "rfc3339")]
    pub answered_at: Option<Stamp>,
    /// The media thread's stamp.
    #[serde(with = "rfc3339")]
    pub bridged_at: Option<Stamp>,
    /// The media thread's stamp, if the call had media.
    #[serde(with = "rfc3339")]
    pub ended_at: Option<Stamp>,
    pub end: Option<End>,
    pub end_reason: Option<String>,
    /// Of the file that holds it; `None` also where it should have been recorded and there is none.
    pub recording_id: Option<String>,
    /// What went wrong with the recording first.
    #[serde(default)]
    pub recording_failed: Option<Fault>,
    pub recording: Option<Recording>,
    #[serde(serialize_with = "voice::with_figures")]
    pub quality: Vec<Quality>,
    /// Of the sides the one that sounded worst.
    #[serde(default)]
    pub worst: Option<Worst>,
    /// From the first ring to the first bridge, or to the end; by the monotonic clock.
    pub wait_seconds: f64,
    /// From the first bridge to the end; by the monotonic clock.
    pub talk_seconds: f64,
    pub sip_call_id: String,
    pub events: Vec<StoryStep>,
    /// The last journal record this is derived from.
    pub seq: u64,
    /// Whether that record had reached the disk when this became a CDR; unset until then.
    pub durable: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    Sip,
}

impl Channel {
    pub fn label(self) -> &'static str {
        match self {
            Self::Sip => "sip",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    Inbound,
    Outbound,
    Internal,
}

impl Direction {
    pub fn label(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
            Self::Internal => "internal",
        }
    }
}

impl CallRecord {
    /// The process ended under it.
    pub fn was_cut_off(&self) -> bool {
        self.end_reason == Some(reason_text(Reason::Restart))
    }
}

/// The states of contract §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    Ringing,
    /// It hears what is said where nobody is there.
    Flow,
    Queued,
    Offered,
    Talking,
    Held,
    Ended,
}

/// One line of a call's story.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoryStep {
    #[serde(with = "rfc3339")]
    pub at: Option<Stamp>,
    pub event: String,
    pub detail: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recording {
    /// 20 ms each, lost ones included.
    pub frames: u64,
    /// `None`: the recorder failed, and says in its log and counter how many.
    pub frames_lost: Option<u64>,
    /// Those that are silence because somebody asked for it.
    #[serde(default)]
    pub frames_paused: u64,
}

/// Why a recording is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub what: String,
    /// Nothing of it can be heard.
    pub no_file: bool,
}

/// All calls that have not ended, as the facts tell them.
#[derive(Debug)]
pub struct Ledger {
    plan: Arc<Plan>,
    active: BTreeMap<CallId, CallRecord>,
}

impl Ledger {
    pub fn new(plan: Arc<Plan>) -> Self {
        Self { plan, active: BTreeMap::new() }
    }

    /// Goes on from a snapshot.
    pub fn restore(plan: Arc<Plan>, active: BTreeMap<CallId, CallRecord>) -> Self {
        Self { plan, active }
    }

    /// What a snapshot keeps.
    pub fn records(&self) -> &BTreeMap<CallId, CallRecord> {
        &self.active
    }

    pub fn active(&self) -> impl Iterator<Item = (CallId, &CallRecord)> {
        self.active.iter().map(|(&call, record)| (call, record))
    }

    pub fn call(&self, call: CallId) -> Option<&CallRecord> {
        self.active.get(&call)
    }

    /// Takes one fact in; gives the record of a call that ended with it.
    pub fn apply(&mut self, fact: &Fact) -> Option<CallRecord> {
        let (call, step) = match &fact.what {
            What::Call(call, step) => (call, step),
            What::Plan(plan) => {
                self.plan = Arc::clone(plan);
                return None;
            }
            What::Claim(_) | What::Hours(..) | What::Seat(..) => return None,
        };
        if let Step::Arrived { source, from, number, sip_call_id } = step {
            let record = self.arrived(*call, *source, from, number, sip_call_id);
            self.active.insert(*call, record);
        }
        let (event, mut detail) = self.describe(step);
        let plan = Arc::clone(&self.plan);
        let record = self.active.get_mut(call)?;
        if let Step::Ended { recorded: Some(Recorded { frames, .. }), .. } = step
            && let Some(Fault { what, no_file }) = &record.recording_failed
        {
            // The media thread has counted what it handed on, not what was written.
            detail = match no_file {
                true => format!("{frames} frames of talk, not recorded: {what}"),
                false => format!("{frames} frames of talk; the recording failed"),
            };
        }
        record.seq = fact.seq;
        tell(record, step, StoryStep { at: Some(fact.at), event: event.to_owned(), detail });
        take_in(record, step, fact.at, &plan);
        if matches!(step, Step::Ended { .. }) {
            return self.active.remove(call);
        }
        None
    }

    fn arrived(
        &self,
        call: CallId,
        source: Source,
        from: &str,
        number: &str,
        sip_call_id: &str,
    ) -> CallRecord {
        let trunk = match source {
            Source::Trunk(trunk) => self.plan.trunks.get(usize::from(trunk.0)),
            Source::Phone(_) => None,
        };
        let direction = if trunk.is_some() { Direction::Inbound } else { Direction::Internal };
        CallRecord {
            id: call.to_string(),
            channel: Channel::Sip,
            direction,
            from: from.to_owned(),
            to: number.to_owned(),
            number: number.to_owned(),
            trunk: trunk.map(|trunk| trunk.name.clone()),
            trunk_out: None,
            team: None,
            agent: None,
            state: CallState::Ringing,
            started_at: None,
            answered_at: None,
            bridged_at: None,
            ended_at: None,
            end: None,
            end_reason: None,
            recording_id: None,
            recording_failed: None,
            recording: None,
            quality: Vec::new(),
            worst: None,
            wait_seconds: 0.0,
            talk_seconds: 0.0,
            sip_call_id: sip_call_id.to_owned(),
            events: Vec::new(),
            seq: 0,
            durable: None,
        }
    }

    /// Name and detail of a step, as they stand in the story; but for the end of a call whose recording failed,
    /// which only the record knows.
    pub fn describe(&self, step: &Step) -> (&'static str, String) {
        (name(step), self.detail(step))
    }

    fn detail(&self, step: &Step) -> String {
        let plan = &self.plan;
        match step {
            Step::Arrived { source, from, number, .. } => {
                format!("{from} dialled {number}, by {}", source_name(plan, *source))
            }
            Step::Routed { to } => format!("to {}", destination_name(plan, *to)),
            Step::Door(passed) => door_text(plan, passed),
            Step::Heard { whole: true } => "to its last sample".to_owned(),
            Step::Heard { whole: false } => "not to its end".to_owned(),
            Step::Queued { team } => {
                format!("for {}", destination_name(plan, Destination::Team(*team)))
            }
            Step::Offered { to, .. } | Step::Accepted { to, .. } => {
                format!("to {}", party_name(plan, *to))
            }
            Step::AnsweredTooLate { to, .. } => {
                format!("by {}; it was let go", party_name(plan, *to))
            }
            Step::OfferEnded { to, how, .. } => {
                format!("to {}: {}", party_name(plan, *to), how_text(*how))
            }
            Step::Silent { side } => format!("nothing is heard from the {}", side_name(*side)),
            Step::Digit { side, digit, duration_ms } => {
                let key = digit.map_or('•', Digit::key);
                format!("{key} by the {} for {duration_ms} ms", side_name(*side))
            }
            Step::OneWayAudio { side, since } => {
                let since = to_rfc3339(*since);
                format!("nothing comes from the {} since {since}", side_name(*side))
            }
            Step::TwoWayAudio { side } => format!("the {} is heard", side_name(*side)),
            Step::RecordingFailed { what, .. } => what.clone(),
            Step::Over { end, reason } => format!("{}: {}", end.label(), reason_text(*reason)),
            Step::RecordResumed { paused_ms } => {
                format!(
                    "nothing was recorded for {}.{} s",
                    paused_ms / 1_000,
                    paused_ms % 1_000 / 100
                )
            }
            Step::Ended { recorded: Some(Recorded { frames, lost, paused: 0 }), .. } => {
                format!("recorded {frames} frames, {lost} lost")
            }
            Step::Ended { recorded: Some(Recorded { frames, lost, paused }), .. } => {
                format!("recorded {frames} frames, {lost} lost, {paused} paused")
            }
            Step::Answered
            | Step::Bridged
            | Step::Ended { recorded: None, .. }
            | Step::Hearing
            | Step::Held
            | Step::RecordPaused
            | Step::RecordingBegan
            | Step::Requeued
            | Step::Resumed
            | Step::Ringing { .. } => String::new(),
        }
    }
}

/// A story is in the order of time. What the media thread has heard comes a moment later with the time
/// at which it was so. Its end stands last, with the time of the last sound.
fn tell(record: &mut CallRecord, step: &Step, line: StoryStep) {
    let events = &mut record.events;
    let place = if matches!(step, Step::Ended { .. }) {
        events.len()
    } else {
        events.partition_point(|told| told.at <= line.at)
    };
    events.insert(place, line);
}

/// What a step changes in the record.
fn take_in(record: &mut CallRecord, step: &Step, at: Stamp, plan: &Plan) {
    match step {
        Step::Arrived { .. } => record.started_at = Some(at),
        Step::Routed { to } => {
            record.team = team_name(plan, *to);
            if record.trunk.is_none() && matches!(to, Destination::Trunk(_)) {
                record.direction = Direction::Outbound;
            }
        }
        Step::Door(Passed { team, .. }) => {
            if let Some(team) = team {
                record.team = team_name(plan, Destination::Team(*team));
            }
        }
        Step::Hearing => record.state = CallState::Flow,
        Step::Answered => record.answered_at = Some(at),
        Step::Queued { .. } | Step::Requeued => {
            record.state = CallState::Queued;
            record.agent = None;
        }
        Step::Offered { to, .. } => {
            record.state = CallState::Offered;
            record.agent = agent_name(plan, *to);
            if let Party::Trunk(_) = to {
                record.trunk_out = trunk_name(plan, *to);
            }
        }
        Step::OfferEnded { .. } => {
            record.agent = None;
            let queued = record.team.is_some();
            record.state = if queued { CallState::Queued } else { CallState::Ringing };
        }
        Step::Accepted { to, .. } => {
            record.state = CallState::Talking;
            record.agent = agent_name(plan, *to);
        }
        Step::Bridged => record.bridged_at = Some(at),
        Step::Held => record.state = CallState::Held,
        Step::Resumed => record.state = CallState::Talking,
        Step::Over { end, reason } => {
            record.end = Some(*end);
            record.end_reason = Some(reason_text(*reason));
        }
        Step::RecordingFailed { what, no_file } => {
            record.recording_failed = Some(Fault { what: what.clone(), no_file: *no_file });
        }
        Step::RecordingBegan => {
            if let Some(fault) = &mut record.recording_failed {
                fault.no_file = false;
            }
        }
        Step::Ended { recorded, quality } => ended(record, *recorded, quality, at),
        Step::AnsweredTooLate { .. }
        | Step::Digit { .. }
        | Step::Heard { .. }
        | Step::OneWayAudio { .. }
        | Step::TwoWayAudio { .. }
        | Step::RecordPaused
        | Step::RecordResumed { .. }
        | Step::Ringing { .. }
        | Step::Silent { .. } => {}
    }
}

fn ended(record: &mut CallRecord, recorded: Option<Recorded>, quality: &[Quality], at: Stamp) {
    record.state = CallState::Ended;
    record.ended_at = Some(at);
    record.quality = quality.to_vec();
    record.worst = Worst::of(quality);
    let fault = record.recording_failed.as_ref();
    if let Some(recorded) = recorded.filter(|_| fault.is_none_or(|fault| !fault.no_file)) {
        let frames_lost = fault.is_none().then_some(recorded.lost);
        record.recording_id = Some(record.id.clone());
        let Recorded { frames, paused, .. } = recorded;
        record.recording = Some(Recording { frames, frames_lost, frames_paused: paused });
    }
    let started = record.started_at.unwrap_or(at);
    let bridged = record.bridged_at.unwrap_or(at);
    record.wait_seconds = bridged.since(started).as_secs_f64();
    record.talk_seconds = at.since(bridged).as_secs_f64();
}

/// The step's name in the API and in logs.
fn name(step: &Step) -> &'static str {
    match step {
        Step::Arrived { .. } => "arrived",
        Step::Door(_) => "door",
        Step::Hearing => "hearing",
        Step::Heard { .. } => "heard",
        Step::Routed { .. } => "routed",
        Step::Answered => "answered",
        Step::Queued { .. } => "queued",
        Step::Offered { .. } => "offered",
        Step::Ringing { .. } => "ringing",
        Step::OfferEnded { .. } => "offer_ended",
        Step::Accepted { .. } => "accepted",
        Step::AnsweredTooLate { .. } => "answered_too_late",
        Step::Bridged => "bridged",
        Step::Held => "held",
        Step::Resumed => "resumed",
        Step::Silent { .. } => "silent",
        Step::Digit { .. } => "digit",
        Step::OneWayAudio { .. } => "one_way_audio",
        Step::TwoWayAudio { .. } => "two_way_audio",
        Step::Requeued => "requeued",
        Step::RecordPaused => "record_paused",
        Step::RecordResumed { .. } => "record_resumed",
        Step::RecordingBegan => "recording_began",
        Step::RecordingFailed { .. } => "recording_failed",
        Step::Over { .. } => "over",
        Step::Ended { .. } => "ended",
    }
}

/// Whose door it was, and what was found: `team front: office is closed until 2026-12-02T12:00:00Z, by its week`.
pub(crate) fn door_text(plan: &Plan, Passed { team, found }: &Passed) -> String {
    let whose = match team {
        Some(team) => destination_name(plan, Destination::Team(*team)),
        None => "the number".to_owned(),
    };
    let (hours, by, is) = match found {
        Found::NobodySignedIn => return format!("{whose}: nobody is signed in"),
        Found::Closed { hours, by } => (hours, by, "closed"),
        Found::Open { hours, by } => (hours, by, "open"),
    };
    let hours = plan.hours.get(usize::from(hours.0)).map_or("?", |hours| &hours.name);
    let until = by.until.map(|until| format!(" until {}", to_rfc3339(until)));
    format!("{whose}: {hours} is {is}{}, by {}", until.unwrap_or_default(), by.why)
}

pub(crate) fn source_name(plan: &Plan, source: Source) -> String {
    match source {
        Source::Trunk(trunk) => party_name(plan, Party::Trunk(trunk)),
        Source::Phone(user) => party_name(plan, Party::Seat(crate::ids::SeatId(user.0))),
    }
}

pub(crate) fn destination_name(plan: &Plan, to: Destination) -> String {
    match to {
        Destination::Team(team) => {
            let team = plan.teams.get(usize::from(team.0));
            format!("team {}", team.map_or("?", |team| &team.name))
        }
        Destination::Seat(seat) => party_name(plan, Party::Seat(seat)),
        Destination::Trunk(trunk) => party_name(plan, Party::Trunk(trunk)),
    }
}

fn party_name(plan: &Plan, party: Party) -> String {
    match party {
        Party::Seat(_) => format!("agent {}", agent_name(plan, party).unwrap_or_default()),
        Party::Trunk(trunk) => {
            let trunk = plan.trunks.get(usize::from(trunk.0));
            format!("trunk {}", trunk.map_or("?", |trunk| &trunk.name))
        }
    }
}

fn agent_name(plan: &Plan, party: Party) -> Option<String> {
    match party {
        Party::Seat(seat) => plan.seats.get(usize::from(seat.0)).map(|seat| seat.name.clone()),
        Party::Trunk(_) => None,
    }
}

fn trunk_name(plan: &Plan, party: Party) -> Option<String> {
    match party {
        Party::Seat(_) => None,
        Party::Trunk(trunk) => {
            plan.trunks.get(usize::from(trunk.0)).map(|trunk| trunk.name.clone())
        }
    }
}

fn team_name(plan: &Plan, to: Destination) -> Option<String> {
    match to {
        Destination::Team(team) => {
            plan.teams.get(usize::from(team.0)).map(|team| team.name.clone())
        }
        Destination::Seat(_) | Destination::Trunk(_) => None,
    }
}

fn how_text(how: OfferEnd) -> String {
    match how {
        OfferEnd::CallerLeft => "the call was over first".to_owned(),
        OfferEnd::Declined { status } => format!("declined ({status})"),
        OfferEnd::Full { limit } => format!("not sent, {} is reached", limit.label()),
        OfferEnd::Lapsed => "not answered in time".to_owned(),
        OfferEnd::Unfit { status: Some(status) } => format!("does not take the codec ({status})"),
        OfferEnd::Unfit { status: None } => "does not take the codec".to_owned(),
        OfferEnd::Unreachable { status: Some(status) } => format!("unreachable ({status})"),
        OfferEnd::Unreachable { status: None } => "unreachable".to_owned(),
    }
}

/// How an offer came to nothing, in one word.
pub fn offer_end_word(how: OfferEnd) -> String {
    match how {
        OfferEnd::CallerLeft => "caller_left".to_owned(),
        OfferEnd::Declined { status } => format!("declined_{status}"),
        OfferEnd::Full { limit } => limit.label().to_owned(),
        OfferEnd::Lapsed => "lapsed".to_owned(),
        OfferEnd::Unfit { status: Some(status) } => format!("no_codec_{status}"),
        OfferEnd::Unfit { status: None } => "no_codec".to_owned(),
        OfferEnd::Unreachable { status: Some(status) } => format!("unreachable_{status}"),
        OfferEnd::Unreachable { status: None } => "unreachable".to_owned(),
    }
}

fn side_name(side: Side) -> &'static str {
    match side {
        Side::Agent => "agent",
        Side::Api => "api",
        Side::Box => "box",
        Side::Callee => "callee",
        Side::Caller => "caller",
    }
}

fn reason_text(reason: Reason) -> String {
    let word = match reason {
        Reason::AgentBusy => "agent_busy",
        Reason::AgentHungUp => "agent_hung_up",
        Reason::AgentOffline => "agent_offline",
        Reason::ApiHungUp => "api_hung_up",
        Reason::BoxFull => "box_full",
        Reason::CalleeHungUp => "callee_hung_up",
        Reason::CalleeLost => "callee_lost",
        Reason::CallerHungUp => "caller_hung_up",
        Reason::CallerLost => "caller_lost",
        Reason::Closed => "closed",
        Reason::Declined => "declined",
        Reason::NoAnswer => "no_answer",
        Reason::NoCodec => "no_codec",
        Reason::NoPorts => "no_ports",
        Reason::NoSuchNumber => "no_such_number",
        Reason::NobodySignedIn => "nobody_signed_in",
        Reason::Overloaded => "overloaded",
        Reason::Restart => "restart",
        Reason::Shutdown => "shutdown",
        Reason::TeamRemoved => "team_removed",
        Reason::TooManyHops => "too_many_hops",
        Reason::TrunkFull => "trunk_full",
        Reason::TrunkRefused { status } => return format!("trunk_refused_{status}"),
        Reason::Unreachable => "unreachable",
    };
    word.to_owned()
}

/// RFC 3339 in UTC, as people and their tools read it. That has four digits for the year: what lies
/// beyond is the last moment it can say.
pub fn to_rfc3339(stamp: Stamp) -> String {
    let time = UNIX_EPOCH + Duration::from_micros(stamp.0).min(LAST_DAY);
    humantime::format_rfc3339_micros(time).to_string()
}

/// From 1970 to the last microsecond of the year 9999.
const LAST_DAY: Duration = Duration::from_micros(253_402_300_799_999_999);

mod rfc3339 {
    use super::{Duration, Serialize, Serializer, Stamp, UNIX_EPOCH, to_rfc3339};
    use serde::{Deserialize, Deserializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        stamp: &Option<Stamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        stamp.map(to_rfc3339).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Stamp>, D::Error> {
        let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
        let time = humantime::parse_rfc3339(&text).map_err(D::Error::custom)?;
        let since: Duration = time.duration_since(UNIX_EPOCH).map_err(D::Error::custom)?;
        Ok(Some(Stamp::default() + since))
    }
}
