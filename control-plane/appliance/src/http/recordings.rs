//! `/api/v1/recordings`: the files of `recording.dir`, joined with what is known of their calls.

use super::{
    State,
    api::{call_id, now},
    problem::{Problem, ProblemBody},
    types::{Items, Recording, RecordingsQuery},
};
use crate::{pump::read, view::View};
use axum::{
    Json,
    body::Body,
    extract::{Path, Query, Request, State as Of, rejection::QueryRejection},
    http::{HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use control_plane::{
    cdr::{CallState, to_rfc3339},
    ids::CallId,
};
use std::{
    fs, io,
    path::{Path as FilePath, PathBuf},
    sync::Arc,
    time::Duration,
};
use tower_http::services::ServeFile;

const LIMIT: usize = 1_000;
/// 20 ms of two channels of 16 bits at 8 kHz.
const FRAME_BYTES: u64 = 640;
const FRAME_SECONDS: f64 = 0.02;
const HEADER_BYTES: u64 = 44;
/// The recorder writes several times a second; one that takes longer has given up.
const WRITTEN_WITHIN: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Recordings, newest first.
#[utoipa::path(get, path = "/api/v1/recordings", params(RecordingsQuery),
    responses((status = 200, body = Items<Recording>), (status = 400, body = ProblemBody)))]
pub(super) async fn list(
    Of(state): Of<Arc<State>>,
    query: Result<Query<RecordingsQuery>, QueryRejection>,
) -> Result<Json<Items<Recording>>, Problem> {
    let Query(query) = query.map_err(|no| Problem::bad_request(no.body_text()))?;
    let limit = query.limit.unwrap_or(LIMIT);
    let dir = state.recordings.clone();
    let found = tokio::task::spawn_blocking(move || newest(&dir, limit)).await;
    let found = found.map_err(|error| Problem::failed(error.to_string()))?.map_err(unreadable)?;
    let view = read(state.handle.view());
    let items = found.into_iter().map(|(call, bytes)| describe(&view, call, bytes)).collect();
    Ok(Json(Items { items }))
}

/// What is known of one recording.
#[utoipa::path(get, path = "/api/v1/recordings/{id}",
    params(("id" = String, Path, example = "call-0000001d")),
    responses((status = 200, body = Recording), (status = 404, body = ProblemBody)))]
pub(super) async fn one(
    Of(state): Of<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Recording>, Problem> {
    let (call, _, bytes) = find(&state, &id).await?;
    Ok(Json(describe(&read(state.handle.view()), call, bytes)))
}

/// The sound: left what the caller said, right what people said to the caller.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/audio",
    params(("id" = String, Path, example = "call-0000001d"),
        ("Range" = Option<String>, Header, description = "One range of bytes (RFC 9110 §14)")),
    responses((status = 200, content_type = "audio/wav", body = [u8]),
        (status = 206, content_type = "audio/wav", body = [u8]),
        (status = 404, body = ProblemBody), (status = 416)))]
pub(super) async fn audio(
    Of(state): Of<Arc<State>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (call, file, _) = find(&state, &id).await?;
    until_written(&state, call, &file).await;
    let mut server = ServeFile::new(file);
    let served = server.try_call(request).await.map_err(unreadable)?;
    let mut response = served.map(Body::new).into_response();
    if response.status() == StatusCode::NOT_FOUND {
        return Err(no_such_recording(&id));
    }
    if response.status().is_success() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    }
    Ok(response)
}

/// The file of a call and its length. Its name is made from the parsed id, so that no path can be
/// smuggled in.
async fn find(state: &State, id: &str) -> Result<(CallId, PathBuf, u64), Problem> {
    let call = call_id(id).map_err(|_| no_such_recording(id))?;
    let file = state.recordings.join(format!("{call}.wav"));
    match tokio::fs::symlink_metadata(&file).await {
        Ok(found) if found.is_file() => Ok((call, file, found.len())),
        Ok(_) => Err(no_such_recording(id)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(no_such_recording(id)),
        Err(error) => Err(unreadable(error)),
    }
}

/// A call that has just ended may have its last second still on the way to the disk.
async fn until_written(state: &State, call: CallId, file: &FilePath) {
    let record = read(state.handle.view()).call(call);
    let length = record.as_ref().and_then(|record| Some((record.recording?, record.ended_at?)));
    let Some((length, ended)) = length.filter(|(_, ended)| now().since(*ended) < WRITTEN_WITHIN)
    else {
        return;
    };
    let whole = HEADER_BYTES + length.frames * FRAME_BYTES;
    while now().since(ended) < WRITTEN_WITHIN {
        match tokio::fs::metadata(file).await {
            Ok(found) if found.len() < whole => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(_) | Err(_) => return,
        }
    }
}

/// The calls with the highest numbers that have a file, and its length.
fn newest(dir: &FilePath, limit: usize) -> io::Result<Vec<(CallId, u64)>> {
    let mut calls = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let call = name.to_str().and_then(|name| name.strip_suffix(".wav")?.parse::<CallId>().ok());
        calls.extend(call);
    }
    calls.sort_unstable();
    calls.reverse();
    let with_length = |call: CallId| {
        let found = fs::symlink_metadata(dir.join(format!("{call}.wav"))).ok()?;
        found.is_file().then_some((call, found.len()))
    };
    Ok(calls.into_iter().filter_map(with_length).take(limit).collect())
}

fn describe(view: &View, call: CallId, bytes: u64) -> Recording {
    let id = call.to_string();
    let record = view.call(call);
    let record = record.as_deref();
    let started_at = record.and_then(|record| record.bridged_at).map(to_rfc3339);
    let length = record.and_then(|record| record.recording);
    let in_file = bytes.saturating_sub(HEADER_BYTES) / FRAME_BYTES;
    let frames = length.map_or(in_file, |length| length.frames);
    #[expect(clippy::cast_precision_loss, reason = "37 hours have far fewer than 2^53 frames")]
    let seconds = frames as f64 * FRAME_SECONDS;
    Recording {
        call_id: id.clone(),
        id,
        started_at,
        seconds,
        bytes,
        frames_lost: length.and_then(|length| length.frames_lost),
        active: record.is_some_and(|record| record.state != CallState::Ended),
    }
}

fn no_such_recording(id: &str) -> Problem {
    Problem::not_found("no-such-recording", format!("there is no recording of {id}"))
}

fn unreadable(error: io::Error) -> Problem {
    Problem::failed(format!("recording.dir cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::test_plan;

    #[test]
    fn only_files_named_by_a_call_are_recordings_and_the_newest_comes_first() {
        let dir = std::env::temp_dir().join(format!("clavija-list-{}", std::process::id()));
        fs::create_dir_all(dir.join("call-00000009.wav")).unwrap();
        for (name, bytes) in [
            ("call-00000001.wav", 44),
            ("call-0000001d.wav", 684),
            ("notes.wav", 1),
            ("call-1.wav", 1),
        ] {
            fs::write(dir.join(name), vec![0; bytes]).unwrap();
        }

        let found = newest(&dir, 10).unwrap();

        assert_eq!(found, [(CallId(29), 684), (CallId(1), 44)]);
        assert_eq!(newest(&dir, 1).unwrap(), [(CallId(29), 684)]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_recording_knows_its_length_from_its_call_or_else_from_its_file() {
        let mut view = View::new(Arc::new(test_plan::plan()));
        test_plan::whole_call(CallId(1)).iter().for_each(|fact| drop(view.apply(fact)));

        let known = describe(&view, CallId(1), 44);
        let unknown = describe(&view, CallId(2), 44 + 64_000);

        assert_eq!((known.seconds, known.frames_lost, known.active), (1.0, Some(0), false));
        assert!(known.started_at.is_some());
        assert_eq!((unknown.seconds, unknown.started_at), (2.0, None));
    }
}
