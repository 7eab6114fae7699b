//! `/api/v1`: calls, agents, queues and CDRs. Reads use the view, never the pump.

use super::{
    State, health,
    problem::{Problem, ProblemBody},
    types::{Ban, Call, CallStory, CallsQuery, Cdr, Cdrs, CdrsQuery, Items, Status, WantedState},
};
use crate::{
    pump::{BoxState, Counts, read},
    view::{Agent, AgentAndPhones, Hours, Queue, Since, View, Which},
};
use axum::{
    Json,
    extract::{
        Path, Query, State as Of,
        rejection::{JsonRejection, QueryRejection},
    },
    http::StatusCode,
};
use control_plane::{exchange::Request, fact::AgentState, ids::CallId, time::Stamp};
use firmware_config::nearest;
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

pub(super) type Shared = Of<Arc<State>>;

const CALLS_LIMIT: usize = 1_000;
const CDRS_LIMIT: usize = 10_000;

/// What the box is at this moment.
#[utoipa::path(get, path = "/api/v1/status", responses((status = 200, body = Status)))]
pub(super) async fn status(Of(state): Shared) -> Json<Status> {
    let counts = state.handle.counts();
    let view = read(state.handle.view());
    let agents = view.agents();
    let offline = AgentState::Offline.label();
    let available = AgentState::Available.label();
    Json(Status {
        node: state.node.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        state: state_name(state.handle.state()).to_owned(),
        calls_active: view.active().count(),
        calls_talking: view.talking(),
        callers_waiting: view.queues(now()).iter().map(|queue| queue.waiting).sum(),
        agents_signed_in: agents.iter().filter(|agent| agent.state != offline).count(),
        agents_available: agents.iter().filter(|agent| agent.state == available).count(),
        recordings_active: counts.recorder.active,
        double_claims: counts.double_claims,
        overloaded: counts.overloaded,
        media_threads: media_threads(&counts),
        alarms: health::alarms(&state).into_iter().map(str::to_owned).collect(),
    })
}

fn media_threads(counts: &Counts) -> Vec<String> {
    let used = |number: usize| match counts.headroom.get(number) {
        Some(room) => format!("; {} % used", room.used_permille / 10),
        None => String::new(),
    };
    let threads = counts.conditions.iter().enumerate();
    threads.map(|(number, condition)| format!("{condition}{}", used(number))).collect()
}

/// Every agent of the configuration.
#[utoipa::path(get, path = "/api/v1/agents", responses((status = 200, body = Items<Agent>)))]
pub(super) async fn agents(Of(state): Shared) -> Json<Items<Agent>> {
    Json(Items { items: read(state.handle.view()).agents() })
}

/// One agent, and where their phones are.
#[utoipa::path(get, path = "/api/v1/agents/{name}",
    params(("name" = String, Path, description = "As configured")),
    responses((status = 200, body = AgentAndPhones), (status = 404, body = ProblemBody)))]
pub(super) async fn agent(
    Of(state): Shared,
    Path(name): Path<String>,
) -> Result<Json<AgentAndPhones>, Problem> {
    let view = read(state.handle.view());
    let agent = view.agent_and_phones(&name, Instant::now());
    agent.map(Json).ok_or_else(|| no_such_agent(&name, &view))
}

/// Pauses an agent or makes them available. It shows in the agent's state as soon as it is so.
#[utoipa::path(post, path = "/api/v1/agents/{name}/state", request_body = WantedState,
    params(("name" = String, Path, description = "As configured")),
    responses((status = 202), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn set_agent_state(
    Of(state): Shared,
    Path(name): Path<String>,
    wanted: Result<Json<WantedState>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let seat = {
        let view = read(state.handle.view());
        view.seat(&name).ok_or_else(|| no_such_agent(&name, &view))?
    };
    let Json(wanted) = wanted.map_err(|no| Problem::refused_body(no.status(), no.body_text()))?;
    let request = match wanted.state.as_str() {
        "available" => Request::Available(seat),
        "paused" => Request::Pause(seat, wanted.reason),
        other => {
            let detail = format!("state is `{other}`; write \"paused\" or \"available\"");
            return Err(Problem::bad_request(detail));
        }
    };
    state.handle.request(request).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Calls, without their stories.
#[utoipa::path(get, path = "/api/v1/calls", params(CallsQuery),
    responses((status = 200, body = Items<Call>), (status = 400, body = ProblemBody)))]
pub(super) async fn calls(
    Of(state): Shared,
    query: Result<Query<CallsQuery>, QueryRejection>,
) -> Result<Json<Items<Call>>, Problem> {
    let Query(query) = query.map_err(|no| Problem::bad_request(no.body_text()))?;
    let which = match query.state.as_deref() {
        None => Which::All,
        Some("active") => Which::Active,
        Some("ended") => Which::Ended,
        Some(other) => {
            let detail = format!("state is `{other}`; write active or ended");
            return Err(Problem::bad_request(detail));
        }
    };
    let limit = query.limit.unwrap_or(CALLS_LIMIT);
    let records = read(state.handle.view()).calls(which, limit);
    Ok(Json(Items { items: records.iter().map(|record| Call::from(&**record)).collect() }))
}

/// Places a call. Not served by this version.
#[utoipa::path(post, path = "/api/v1/calls", responses((status = 501, body = ProblemBody)))]
pub(super) async fn originate() -> Problem {
    Problem::NOT_SERVED
}

/// One call and every step of its story.
#[utoipa::path(get, path = "/api/v1/calls/{id}",
    params(("id" = String, Path, example = "call-0000001d")),
    responses((status = 200, body = CallStory), (status = 404, body = ProblemBody)))]
pub(super) async fn call(
    Of(state): Shared,
    Path(id): Path<String>,
) -> Result<Json<CallStory>, Problem> {
    let record = read(state.handle.view()).call(call_id(&id)?);
    let record = record.ok_or_else(|| no_such_call(&id))?;
    Ok(Json(CallStory::from(&*record)))
}

/// Acts on a call. It shows in the call's story as soon as it is done.
#[utoipa::path(post, path = "/api/v1/calls/{id}/actions/{action}",
    params(("id" = String, Path, example = "call-0000001d"),
        ("action" = String, Path, description = "hangup, hold, resume, record_pause or record_resume")),
    responses((status = 202), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 501, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(super) async fn act(
    Of(state): Shared,
    Path((id, action)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let request = match action.as_str() {
        "hangup" => Request::HangUp,
        "hold" => Request::Hold,
        "resume" => Request::Resume,
        "record_pause" => Request::RecordPause,
        "record_resume" => Request::RecordResume,
        "barge" | "listen" | "transfer" | "whisper" => {
            return Err(Problem::NOT_SERVED);
        }
        other => {
            let detail = format!(
                "there is no action `{other}`; use hangup, hold, resume, record_pause or record_resume"
            );
            return Err(Problem::not_found("no-such-action", detail));
        }
    };
    let call = call_id(&id)?;
    if read(state.handle.view()).call(call).is_some_and(|record| record.end.is_some()) {
        return Err(Problem::conflict("call-ended", format!("{id} has ended")));
    }
    state.handle.request(request(call)).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Records of ended calls, oldest first.
#[utoipa::path(get, path = "/api/v1/cdrs", params(CdrsQuery),
    responses((status = 200, body = Cdrs), (status = 400, body = ProblemBody)))]
pub(super) async fn cdrs(
    Of(state): Shared,
    query: Result<Query<CdrsQuery>, QueryRejection>,
) -> Result<Json<Cdrs>, Problem> {
    let Query(query) = query.map_err(|no| Problem::bad_request(no.body_text()))?;
    let since = query.since.as_deref().map_or(Ok(Since::Beginning), since)?;
    let records = read(state.handle.view()).cdrs(since, query.limit.unwrap_or(CDRS_LIMIT));
    let next = records.iter().map(|record| record.seq).max();
    let items = records.iter().map(|record| Cdr::new(&state.node, record)).collect();
    Ok(Json(Cdrs { items, next }))
}

/// Every team's queue.
#[utoipa::path(get, path = "/api/v1/queues", responses((status = 200, body = Items<Queue>)))]
pub(super) async fn queues(Of(state): Shared) -> Json<Items<Queue>> {
    Json(Items { items: read(state.handle.view()).queues(now()) })
}

/// Every calendar: whether it is open, until when, and whose calls go by it.
#[utoipa::path(get, path = "/api/v1/hours", responses((status = 200, body = Items<Hours>)))]
pub(super) async fn hours(Of(state): Shared) -> Json<Items<Hours>> {
    Json(Items { items: read(state.handle.view()).hours() })
}

/// Every source that is not heard at this moment.
#[utoipa::path(get, path = "/api/v1/bans", responses((status = 200, body = Items<Ban>)))]
pub(super) async fn bans(Of(state): Shared) -> Json<Items<Ban>> {
    let now = Instant::now();
    let bans = state.handle.counts();
    Json(Items { items: bans.bans.iter().map(|ban| Ban::at(ban, now)).collect() })
}

/// Hears a source again.
#[utoipa::path(post, path = "/api/v1/bans/{address}/actions/lift",
    params(("address" = String, Path, description = "As listed")),
    responses((status = 202), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn lift_ban(
    Of(state): Shared,
    Path(address): Path<String>,
) -> Result<StatusCode, Problem> {
    let Ok(parsed) = address.parse::<IpAddr>() else {
        return Err(Problem::bad_request(format!("`{address}` is no address")));
    };
    if state.handle.lift_ban(parsed).await? {
        Ok(StatusCode::ACCEPTED)
    } else {
        Err(Problem::not_found("no-such-ban", format!("{parsed} is not banned")))
    }
}

pub(super) fn state_name(state: BoxState) -> &'static str {
    match state {
        BoxState::Starting => "starting",
        BoxState::Ready => "ready",
        BoxState::Draining => "draining",
        BoxState::Stopped => "stopped",
    }
}

/// Good enough for how long somebody waits; a stamp of the box follows the wall clock of its start.
pub(crate) fn now() -> Stamp {
    Stamp::default() + SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

pub(super) fn call_id(id: &str) -> Result<CallId, Problem> {
    let no = |error: control_plane::ids::NotACallId| {
        Problem::not_found("no-such-call", error.to_string())
    };
    let call: CallId = id.parse().map_err(no)?;
    // `call-0000001D` and `call-00000000001d` would be other names of the same call.
    if call.to_string() == id { Ok(call) } else { Err(no_such_call(id)) }
}

fn no_such_call(id: &str) -> Problem {
    Problem::not_found("no-such-call", format!("no call {id} is known here"))
}

fn no_such_agent(name: &str, view: &View) -> Problem {
    let agents = view.agents();
    let names = agents.iter().map(|agent| agent.name.as_str());
    Problem::not_found("no-such-agent", nobody_named("agent", name, names))
}

/// With the name that was most likely meant.
pub(super) fn nobody_named<'a>(
    what: &str,
    name: &str,
    names: impl Iterator<Item = &'a str>,
) -> String {
    match nearest(name, names) {
        Some(meant) => format!("no {what} is named `{name}`; the nearest name is `{meant}`"),
        None => format!("no {what} is named `{name}`; none is configured"),
    }
}

fn since(text: &str) -> Result<Since, Problem> {
    if let Ok(seq) = text.parse() {
        return Ok(Since::Seq(seq));
    }
    let time = humantime::parse_rfc3339(text).ok();
    let after = time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    after.map(|after| Since::Time(Stamp::default() + after)).ok_or_else(|| {
        let detail = format!(
            "since is `{text}`; write a journal number like 1234 or a time like \
             2026-11-20T11:07:00Z"
        );
        Problem::bad_request(detail)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_journal_number_or_a_time_in_utc() {
        assert_eq!(since("1234"), Ok(Since::Seq(1234)));
        assert_eq!(since("1970-01-01T00:00:01.5Z"), Ok(Since::Time(Stamp(1_500_000))));
        for bad in ["", "-1", "yesterday", "2026-11-20", "1969-12-31T23:59:59Z"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_call_has_one_name() {
        assert_eq!(call_id("call-0000001d"), Ok(CallId(29)));
        for bad in ["call-0000001D", "call-00000000001d", "call-+000001d", "..", "call-1", "../x"] {
            assert!(call_id(bad).is_err(), "{bad}");
        }
    }
}
