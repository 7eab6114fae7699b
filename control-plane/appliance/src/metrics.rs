//! Every metric of the box: what facts say is counted here, what others count is shown.
//!
//! The only file that knows the crate `prometheus`. Labels are enums or names from the
//! configuration; `docs/metrics.md` lists all of it, and a test compares the two.

mod exposition;
mod shown;
mod voice;

use self::voice::Voices;
use crate::{
    follower::CdrCounts,
    live::Alarms,
    pump::{BoxState, Counts},
    store::StoreCounts,
    view::View,
};
use control_plane::{
    cdr::{CallRecord, Direction},
    config::{Destination, Plan, SELF_TEST},
    fact::{ClaimResult, End, Fact, Side, Step, What},
    ids::{CallId, TeamId},
    time::Stamp,
};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry, TextEncoder,
    core::Collector,
};
use sip_stack::event::Source;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// All that is counted here. Children of configured names exist from the start.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    calls_ended: IntCounterVec,
    call_duration: HistogramVec,
    setup: HistogramVec,
    queue_wait: HistogramVec,
    /// Children of names that the plan of this moment has.
    named: Mutex<Named>,
    claims_busy: IntCounter,
    claims_granted: IntCounter,
    voices: Voices,
    one_way_audio: IntCounterVec,
    http_requests: IntCounterVec,
    following: Mutex<BTreeMap<CallId, Following>>,
}

/// One moment of everything that is counted elsewhere.
pub struct Shown<'a> {
    pub view: &'a View,
    pub counts: &'a Counts,
    pub journal: &'a StoreCounts,
    pub cdrs: &'a CdrCounts,
    pub state: BoxState,
    pub config: &'a Config,
    pub now: Stamp,
}

/// Which configuration holds.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub generation: u64,
    pub hash: String,
    pub alarms: Alarms,
}

/// Children by the names of the plan, which may change; what was counted of a name stays.
#[derive(Debug)]
struct Named {
    setup: Setup,
    /// In the order of the plan's teams.
    queue_waits: Vec<Option<QueueWait>>,
}

/// Children of `clavija_call_setup_seconds`.
#[derive(Debug)]
struct Setup {
    /// In the order of the plan's trunks; the self-test's is not measured.
    inbound: Vec<Option<Histogram>>,
    outbound: Vec<Option<Histogram>>,
    internal: Histogram,
}

#[derive(Debug)]
struct QueueWait {
    answered: Histogram,
    abandoned: Histogram,
}

/// What must be remembered of a call until it is measured.
#[derive(Debug)]
struct Following {
    arrived: Stamp,
    direction: Direction,
    /// The trunk it came in by, else the one it goes out by.
    trunk: Option<usize>,
    /// The team it was queued for, and since when its caller waits for a voice.
    team: Option<TeamId>,
    waits: Option<Stamp>,
}

const DIRECTIONS: [Direction; 3] = [Direction::Inbound, Direction::Outbound, Direction::Internal];

const ENDS: [End; 8] = [
    End::Abandoned,
    End::Busy,
    End::Completed,
    End::Congestion,
    End::Failed,
    End::NoAnswer,
    End::Rejected,
    End::Unreachable,
];

impl Metrics {
    pub fn new(plan: &Plan) -> Self {
        Self::register(plan).expect("each metric is registered once, in this function")
    }

    fn register(plan: &Plan) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let calls_ended = counters(
            &registry,
            ("clavija_calls_ended_total", "Calls that ended, by direction, channel and how."),
            &["direction", "channel", "end"],
        )?;
        let call_duration = histograms(
            &registry,
            ("clavija_call_duration_seconds", "From the first bridge to the end of the call."),
            &[5.0, 30.0, 60.0, 180.0, 600.0, 1_800.0, 7_200.0],
            &["direction"],
        )?;
        for direction in DIRECTIONS {
            call_duration.with_label_values(&[direction.label()]);
            for end in ENDS {
                calls_ended.with_label_values(&[direction.label(), "sip", end.label()]);
            }
        }
        let claims = counters(
            &registry,
            ("clavija_agent_claims_total", "Tries to claim an agent's seat, by how they went."),
            &["result"],
        )?;
        let voices = Voices::register(&registry)?;
        let one_way_audio = counters(
            &registry,
            ("clavija_one_way_audio_total", "Times one side of a talk was not heard, by side."),
            &["side"],
        )?;
        for side in Side::PEOPLE {
            one_way_audio.with_label_values(&[side.label()]);
        }
        let http_requests = counters(
            &registry,
            ("clavija_http_requests_total", "HTTP requests answered, by route template."),
            &["route", "method", "code"],
        )?;
        let setup = histograms(
            &registry,
            ("clavija_call_setup_seconds", "From the caller's INVITE to its 200."),
            &[0.01, 0.05, 0.1, 0.5, 1.0, 3.0, 10.0, 30.0, 60.0],
            &["direction", "trunk"],
        )?;
        let queue_wait = histograms(
            &registry,
            ("clavija_queue_wait_seconds", "From the queue to a voice, or to leaving."),
            // 3 s is one ring; 20 s is the usual service level; 300 s is a lost caller.
            &[0.5, 1.0, 3.0, 5.0, 10.0, 20.0, 60.0, 300.0],
            &["queue", "outcome"],
        )?;
        Ok(Self {
            named: Mutex::new(Named::new(plan, &setup, &queue_wait)),
            setup,
            queue_wait,
            calls_ended,
            call_duration,
            claims_busy: claims.with_label_values(&["busy"]),
            claims_granted: claims.with_label_values(&["granted"]),
            voices,
            one_way_audio,
            http_requests,
            following: Mutex::default(),
            registry,
        })
    }

    /// Takes one fact in, and the record of the call that ended with it.
    pub fn apply(&self, fact: &Fact, ended: Option<&CallRecord>) {
        match &fact.what {
            What::Call(call, step) => self.follow(*call, step, fact.at),
            What::Claim(ClaimResult::Busy) => self.claims_busy.inc(),
            What::Claim(ClaimResult::Granted) => self.claims_granted.inc(),
            What::Plan(plan) => self.replan(plan),
            What::Hours(..) | What::Seat(..) => {}
        }
        if let Some(record) = ended {
            self.call_ended(record);
        }
    }

    /// One answered request. `route` is a template of ours, never a path somebody sent.
    pub fn http_request(&self, route: &str, method: &'static str, code: u16) {
        self.http_requests.with_label_values(&[route, method, &code.to_string()]).inc();
    }

    /// Everything, as a monitoring system reads it.
    pub fn render(&self, shown: &Shown<'_>) -> String {
        let mut text = String::new();
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), &mut text)
            .expect("what is registered has names and samples");
        text.push_str(&shown::text(shown));
        text
    }

    fn follow(&self, call: CallId, step: &Step, at: Stamp) {
        let mut following = self.following();
        if let Step::Arrived { source, .. } = step {
            following.insert(call, Following::new(*source, at));
        }
        if let Some(of) = following.get_mut(&call) {
            self.measure(of, step, at);
        }
        if matches!(step, Step::Ended { .. }) {
            following.remove(&call);
        }
    }

    fn measure(&self, of: &mut Following, step: &Step, at: Stamp) {
        match step {
            Step::Routed { to: Destination::Trunk(to) } if of.trunk.is_none() => {
                of.direction = Direction::Outbound;
                of.trunk = Some(usize::from(to.0));
            }
            Step::Answered => {
                if let Some(setup) = self.named().setup.of(of.direction, of.trunk) {
                    setup.observe(at.since(of.arrived).as_secs_f64());
                }
            }
            Step::Queued { team } => (of.team, of.waits) = (Some(*team), Some(at)),
            Step::Requeued => of.waits = Some(at),
            Step::Accepted { .. } => self.waited(of, at, |wait| &wait.answered),
            Step::OneWayAudio { side, .. } => {
                self.one_way_audio.with_label_values(&[side.label()]).inc();
            }
            Step::Over { .. } => self.waited(of, at, |wait| &wait.abandoned),
            Step::AnsweredTooLate { .. }
            | Step::Arrived { .. }
            | Step::Bridged
            | Step::Digit { .. }
            | Step::Ended { .. }
            | Step::Held
            | Step::OfferEnded { .. }
            | Step::Offered { .. }
            | Step::RecordPaused
            | Step::RecordResumed { .. }
            | Step::RecordingBegan
            | Step::RecordingFailed { .. }
            | Step::Resumed
            | Step::Ringing { .. }
            | Step::Door(_)
            | Step::Heard { .. }
            | Step::Hearing
            | Step::Routed { .. }
            | Step::Silent { .. }
            | Step::TwoWayAudio { .. } => {}
        }
    }

    fn waited(
        &self,
        of: &mut Following,
        at: Stamp,
        outcome: impl FnOnce(&QueueWait) -> &Histogram,
    ) {
        let (Some(team), Some(since)) = (of.team, of.waits.take()) else { return };
        if let Some(Some(wait)) = self.named().queue_waits.get(usize::from(team.0)) {
            outcome(wait).observe(at.since(since).as_secs_f64());
        }
    }

    fn call_ended(&self, record: &CallRecord) {
        if is_self_test(record) {
            return;
        }
        let direction = record.direction.label();
        let end = record.end.unwrap_or(End::Failed).label();
        self.calls_ended.with_label_values(&[direction, record.channel.label(), end]).inc();
        if record.bridged_at.is_some() {
            self.call_duration.with_label_values(&[direction]).observe(record.talk_seconds);
        }
        record.quality.iter().for_each(|quality| self.voices.observe(&quality.report));
    }

    fn replan(&self, plan: &Plan) {
        *self.named() = Named::new(plan, &self.setup, &self.queue_wait);
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each fact is taken in whole, so a panic elsewhere leaves nothing half done.
    fn following(&self) -> MutexGuard<'_, BTreeMap<CallId, Following>> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Named {
    fn new(plan: &Plan, setup: &HistogramVec, queue_wait: &HistogramVec) -> Self {
        // The self-test's own are in no statistics.
        let counted = |name: &str| name != SELF_TEST;
        let each = |direction: Direction| -> Vec<Option<Histogram>> {
            let of = |trunk: &str| setup.with_label_values(&[direction.label(), trunk]);
            let names = plan.trunks.iter().map(|trunk| trunk.name.as_str());
            names.map(|trunk| counted(trunk).then(|| of(trunk))).collect()
        };
        let of = |outcome: &str, team: &str| queue_wait.with_label_values(&[team, outcome]);
        let wait = |team: &str| {
            let both = || (of("answered", team), of("abandoned", team));
            counted(team).then(both).map(|(answered, abandoned)| QueueWait { answered, abandoned })
        };
        let teams = plan.teams.iter().map(|team| team.name.as_str());
        Self {
            setup: Setup {
                inbound: each(Direction::Inbound),
                outbound: each(Direction::Outbound),
                internal: setup.with_label_values(&[Direction::Internal.label(), "none"]),
            },
            queue_waits: teams.map(wait).collect(),
        }
    }
}

impl Setup {
    fn of(&self, direction: Direction, trunk: Option<usize>) -> Option<&Histogram> {
        match direction {
            Direction::Inbound => self.inbound.get(trunk?)?.as_ref(),
            Direction::Internal => Some(&self.internal),
            Direction::Outbound => self.outbound.get(trunk?)?.as_ref(),
        }
    }
}

impl Following {
    /// A call from a phone is internal until it is routed to a trunk.
    fn new(source: Source, arrived: Stamp) -> Self {
        let (direction, trunk) = match source {
            Source::Trunk(trunk) => (Direction::Inbound, Some(usize::from(trunk.0))),
            Source::Phone(_) => (Direction::Internal, None),
        };
        Self { arrived, direction, trunk, team: None, waits: None }
    }
}

/// Calls of the box's own are in no statistics.
fn is_self_test(record: &CallRecord) -> bool {
    record.trunk.as_deref() == Some(SELF_TEST)
}

fn counters(
    registry: &Registry,
    (name, help): (&str, &str),
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn histograms(
    registry: &Registry,
    (name, help): (&str, &str),
    buckets: &[f64],
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let opts = HistogramOpts::new(name, help).buckets(buckets.to_vec());
    registered(registry, HistogramVec::new(opts, labels)?)
}

fn registered<M: Collector + Clone + 'static>(
    registry: &Registry,
    metric: M,
) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

#[cfg(test)]
mod tests;
