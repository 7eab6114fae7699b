//! The bodies of the API: what of the view is shown, under the names of contract §4.

use super::quality::{SideQuality, Worst};
use control_plane::{
    cdr::{CallRecord, Channel, Direction, StoryStep, to_rfc3339},
    fact::End,
    time::Stamp,
    voice,
};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use utoipa::{IntoParams, ToSchema};

/// A list; other members may be added to it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
}

/// A source that is not heard.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Ban {
    /// Of IPv6 the first of its /64.
    #[schema(example = "192.0.2.1")]
    pub(super) address: String,
    /// `flood` or `passwords`.
    pub(super) reason: &'static str,
    pub(super) seconds_left: u64,
    /// Which ban for wrong passwords it is; each is twice as long as the one before.
    pub(super) times: u32,
}

impl Ban {
    pub(super) fn at(ban: &sip_stack::Ban, now: Instant) -> Self {
        Self {
            address: ban.address.to_string(),
            reason: ban.why.label(),
            seconds_left: ban.until.saturating_duration_since(now).as_secs(),
            times: ban.times,
        }
    }
}

/// A call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Call {
    #[schema(example = "call-0000001d")]
    id: String,
    /// `sip`.
    #[schema(value_type = String)]
    channel: Channel,
    /// `inbound`, `outbound` or `internal`.
    #[schema(value_type = String)]
    direction: Direction,
    from: String,
    to: String,
    /// The number dialled.
    number: String,
    /// The trunk it came in by.
    trunk: Option<String>,
    /// The trunk it was to go out by.
    trunk_out: Option<String>,
    team: Option<String>,
    /// Who talked to the caller last, or is being offered the call.
    agent: Option<String>,
    /// `ringing`, `flow` (it hears that nobody is there), `queued`, `offered`, `talking`, `held` or `ended`.
    #[schema(value_type = String)]
    state: control_plane::cdr::CallState,
    started_at: Option<String>,
    answered_at: Option<String>,
    /// When two people first heard each other.
    bridged_at: Option<String>,
    ended_at: Option<String>,
    /// `completed`, `abandoned`, `busy`, `no_answer`, `rejected`, `unreachable`, `congestion` or
    /// `failed`.
    #[schema(value_type = Option<String>)]
    end: Option<End>,
    end_reason: Option<String>,
    /// Null also where it should have been recorded and there is no file.
    recording_id: Option<String>,
    /// What went wrong with the recording first; with a `recording_id` parts of it are there.
    recording_failed: Option<String>,
    recording: Option<RecordingLength>,
    /// How each side was heard, once the call has ended: the caller first.
    quality: Vec<SideQuality>,
    /// Of the sides the one that sounded worst.
    worst: Option<Worst>,
    /// From the first ring to the first bridge, or to the end.
    wait_seconds: f64,
    /// From the first bridge to the end.
    talk_seconds: f64,
    sip_call_id: String,
    /// The last journal record this is derived from.
    seq: u64,
    /// Whether that record had reached the disk when this became a CDR; null until then.
    durable: Option<bool>,
}

/// How long a recording is.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct RecordingLength {
    /// 20 ms each, lost ones included.
    frames: u64,
    /// Absent if the recorder failed: the log and the metrics say how many.
    frames_lost: Option<u64>,
    /// Those that are silence because somebody asked for it.
    frames_paused: u64,
}

/// A call with every step of its story.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct CallStory {
    #[serde(flatten)]
    call: Call,
    events: Vec<Event>,
}

/// One step of a call's story.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Event {
    at: Option<String>,
    event: String,
    detail: String,
}

/// The one record of an ended call, as it stands in `data_dir/cdr/YYYY-MM-DD.jsonl`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Cdr {
    /// `clavija/cdr/v1`.
    schema: &'static str,
    /// The box that wrote it.
    node: String,
    #[serde(flatten)]
    story: CallStory,
}

/// Records of ended calls, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Cdrs {
    pub(super) items: Vec<Cdr>,
    /// What to give as `since` to get what comes after these; null without items.
    pub(super) next: Option<u64>,
}

/// A recording.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct Recording {
    /// The call's id.
    pub(super) id: String,
    pub(super) call_id: String,
    /// The first bridge of its call, if that is still known.
    pub(super) started_at: Option<String>,
    /// Length of the sound.
    pub(super) seconds: f64,
    /// Of the file.
    pub(super) bytes: u64,
    /// What its sound is given out as: `wav` or `opus` (in Ogg).
    pub(super) format: String,
    /// Only the seal key opens it.
    pub(super) sealed: bool,
    /// Frames of 20 ms that were lost and are silence; null if the call is not known any more.
    pub(super) frames_lost: Option<u64>,
    /// Frames of 20 ms that are silence because somebody asked for it; null if the call is not known.
    pub(super) frames_paused: Option<u64>,
    /// The call goes on and so does the recording.
    pub(super) active: bool,
}

/// What the box is at this moment.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(super) struct Status {
    pub(super) node: String,
    pub(super) version: String,
    /// `starting`, `ready`, `draining` or `stopped`.
    pub(super) state: String,
    pub(super) calls_active: usize,
    pub(super) calls_talking: usize,
    pub(super) callers_waiting: usize,
    pub(super) agents_signed_in: usize,
    pub(super) agents_available: usize,
    pub(super) recordings_active: u64,
    /// Double claims ever detected on this run; 0.
    pub(super) double_claims: u64,
    /// New calls are refused because the media threads have no room.
    pub(super) overloaded: bool,
    /// What each media thread got of what makes it punctual, and how much of its time it works.
    pub(super) media_threads: Vec<String>,
    /// As `/readyz` has them.
    pub(super) alarms: Vec<String>,
}

/// The answer of `/livez` and `/readyz`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `starting`, `ready`, `draining` or `stopped`.
    pub(super) state: String,
    /// What is not as the operator meant it: `config-file-refused`, `config-fallback`,
    /// `config-incomplete`, `config-damaged`, of which `GET /api/v1/config` says why; and
    /// `recording-frames-lost` while the disk of `recording.dir` does not keep up.
    pub(super) alarms: Vec<&'static str>,
}

/// What an agent is asked to be.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedState {
    /// `paused` or `available`.
    pub(super) state: String,
    /// Words for people, at most 64 bytes: shown as the agent's `reason`.
    #[serde(default)]
    pub(super) reason: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CallsQuery {
    /// `active` (oldest first) or `ended` (newest first); both without.
    pub(super) state: Option<String>,
    /// At most so many; 1000 without.
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct CdrsQuery {
    /// A journal number (what comes after it) or an RFC 3339 time (what ended then or later).
    pub(super) since: Option<String>,
    /// At most so many; 10000 without.
    pub(super) limit: Option<usize>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct RecordingsQuery {
    /// At most so many, newest first; 1000 without.
    pub(super) limit: Option<usize>,
}

impl From<&CallRecord> for Call {
    fn from(record: &CallRecord) -> Self {
        let time = |stamp: Option<Stamp>| stamp.map(to_rfc3339);
        Self {
            id: record.id.clone(),
            channel: record.channel,
            direction: record.direction,
            from: record.from.clone(),
            to: record.to.clone(),
            number: record.number.clone(),
            trunk: record.trunk.clone(),
            trunk_out: record.trunk_out.clone(),
            team: record.team.clone(),
            agent: record.agent.clone(),
            state: record.state,
            started_at: time(record.started_at),
            answered_at: time(record.answered_at),
            bridged_at: time(record.bridged_at),
            ended_at: time(record.ended_at),
            end: record.end,
            end_reason: record.end_reason.clone(),
            recording_id: record.recording_id.clone(),
            recording_failed: record.recording_failed.as_ref().map(|fault| fault.what.clone()),
            recording: record.recording.map(|recording| RecordingLength {
                frames: recording.frames,
                frames_lost: recording.frames_lost,
                frames_paused: recording.frames_paused,
            }),
            quality: record.quality.iter().map(|of| voice::SideQuality::from(of).into()).collect(),
            worst: record.worst.map(Worst::from),
            wait_seconds: record.wait_seconds,
            talk_seconds: record.talk_seconds,
            sip_call_id: record.sip_call_id.clone(),
            seq: record.seq,
            durable: record.durable,
        }
    }
}

impl From<&CallRecord> for CallStory {
    fn from(record: &CallRecord) -> Self {
        Self { call: record.into(), events: record.events.iter().map(Event::from).collect() }
    }
}

impl From<&StoryStep> for Event {
    fn from(step: &StoryStep) -> Self {
        Self { at: step.at.map(to_rfc3339), event: step.event.clone(), detail: step.detail.clone() }
    }
}

impl Cdr {
    pub(super) fn new(node: &str, record: &CallRecord) -> Self {
        Self { schema: "clavija/cdr/v1", node: node.to_owned(), story: record.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{View, test_plan};
    use control_plane::ids::CallId;
    use std::sync::Arc;

    #[test]
    fn the_story_of_a_call_is_its_record_field_by_field() {
        let mut view = View::new(Arc::new(test_plan::plan()));
        let facts = test_plan::whole_call(CallId(29));
        let record = facts.iter().filter_map(|fact| view.apply(fact)).next().unwrap();

        let shown = serde_json::to_value(CallStory::from(&record)).unwrap();

        assert_eq!(shown, serde_json::to_value(&record).unwrap());
        assert_eq!(shown["id"], "call-0000001d");
        assert_eq!(shown["end"], "completed");
    }
}
