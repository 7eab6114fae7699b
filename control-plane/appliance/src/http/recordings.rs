//! `/api/v1/recordings`: the files of `recording.dir`, joined with what is known of their calls.

use super::{
    State,
    api::{call_id, now},
    problem::{Problem, ProblemBody},
    ranges::{self, Source},
    types::{Items, Recording, RecordingsQuery},
};
use crate::{
    pump::read,
    recording::{self, Condition, Form, OnDisk, Sound, Unread, Verified},
    view::View,
};
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
use media_core::record::seal::Flaw;
use media_rt::sealed::{SealedError, SealedFile};
use std::{io, path::Path as FilePath, sync::Arc, time::Duration};
use tower_http::services::ServeFile;

const LIMIT: usize = 1_000;
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
    let found = apart(move || newest(&dir, limit)).await?.map_err(unreadable)?;
    let view = read(state.handle.view());
    let items = found.iter().map(|(call, file)| describe(&view, *call, file)).collect();
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
    let (call, file) = find(&state, &id).await?;
    let with_length = apart(move || Measured::new(file)).await?.map_err(unreadable)?;
    Ok(Json(describe(&read(state.handle.view()), call, &with_length)))
}

/// The sound: left what the caller said, right what people said to the caller. A sealed recording is
/// opened while it is sent, and nothing is sent whose seal does not fit.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/audio",
    params(("id" = String, Path, example = "call-0000001d"),
        ("Range" = Option<String>, Header, description = "One range of bytes (RFC 9110 §14)")),
    responses((status = 200, content(([u8] = "audio/wav"), ([u8] = "audio/ogg"))),
        (status = 206, content(([u8] = "audio/wav"), ([u8] = "audio/ogg"))),
        (status = 404, body = ProblemBody), (status = 409, body = ProblemBody), (status = 416)))]
pub(super) async fn audio(
    Of(state): Of<Arc<State>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    let (call, file) = find(&state, &id).await?;
    until_written(&state, call, &file).await;
    match file.form {
        Form::Wav | Form::Opus => in_the_open(&id, file, request).await,
        Form::Sealed => {
            let opened = apart(move || file.open_sealed(state.seal_key.as_ref())).await?;
            let opened = Opened(opened.map_err(|why| unread(&id, why))?);
            let Sound { media_type, .. } = Sound::of(opened.0.content());
            let served = ranges::serve(opened, request.headers(), media_type).await;
            served.map_err(|why| Problem::failed(format!("{id}: {why}")))
        }
    }
}

async fn in_the_open(id: &str, file: OnDisk, request: Request) -> Result<Response, Problem> {
    let Sound { media_type, .. } = file.sound().map_err(unreadable)?;
    let mut server = ServeFile::new(file.path);
    let served = server.try_call(request).await.map_err(unreadable)?;
    let mut response = served.map(Body::new).into_response();
    if response.status() == StatusCode::NOT_FOUND {
        return Err(no_such_recording(id));
    }
    if response.status().is_success() {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    Ok(response)
}

/// What a player draws: the least and the most of every 100 ms of both channels, in the JSON form of
/// audiowaveform.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/peaks",
    params(("id" = String, Path, example = "call-0000001d")),
    responses((status = 200, body = Object), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub(super) async fn peaks(
    Of(state): Of<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (call, file) = find(&state, &id).await?;
    until_written(&state, call, &file).await;
    // A file that has grown meanwhile is looked at as it is now.
    let (_, file) = find(&state, &id).await?;
    let json = apart(move || file.peaks(state.seal_key.as_ref())).await?;
    let json = json.map_err(|why| unread(&id, why))?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response())
}

/// Looks at all of a recording: header and length, or every seal.
#[utoipa::path(get, path = "/api/v1/recordings/{id}/verify",
    params(("id" = String, Path, example = "call-0000001d")),
    responses((status = 200, body = Verified), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody)))]
pub(super) async fn verify(
    Of(state): Of<Arc<State>>,
    Path(id): Path<String>,
) -> Result<Json<Verified>, Problem> {
    let (call, file) = find(&state, &id).await?;
    until_written(&state, call, &file).await;
    let (_, file) = find(&state, &id).await?;
    let record = read(state.handle.view()).call(call);
    let active = record.as_deref().is_some_and(|record| record.state != CallState::Ended);
    let told = record.as_deref().and_then(|record| record.recording);
    let key = state.seal_key.clone();
    let verified = apart(move || file.verify(key.as_ref())).await?;
    let mut verified = verified.map_err(|why| unread(&id, why))?;
    if active && verified.condition == Condition::Cut {
        verified.condition = Condition::Growing;
        verified.detail = format!("its call goes on; {:.2} s are there", verified.seconds);
    }
    let missing = told.filter(|told| recording::seconds(told.frames) > verified.seconds);
    if let (Some(told), Condition::Whole) = (missing, verified.condition) {
        let whole = recording::seconds(told.frames);
        verified.condition = Condition::Cut;
        verified.detail = format!("its call's record says that it is {whole:.2} s long");
    }
    Ok(Json(verified))
}

/// Files are read where that may take its time.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::failed(error.to_string()))
}

struct Opened(SealedFile);

impl Source for Opened {
    fn length(&self) -> u64 {
        self.0.sound_bytes()
    }

    fn piece(&mut self, at: u64) -> io::Result<Vec<u8>> {
        Ok(self.0.sound(at)?)
    }
}

/// A recording, its length, and what it is given out as.
struct Measured {
    file: OnDisk,
    frames: u64,
    sound: Sound,
}

impl Measured {
    fn new(file: OnDisk) -> io::Result<Self> {
        Ok(Self { frames: file.frames()?, sound: file.sound()?, file })
    }
}

/// The file of a call. Its name is made from the parsed id, so that no path can be smuggled in.
async fn find(state: &State, id: &str) -> Result<(CallId, OnDisk), Problem> {
    let call = call_id(id).map_err(|_| no_such_recording(id))?;
    let dir = state.recordings.clone();
    let found = apart(move || recording::find(&dir, &call.to_string())).await?;
    let found = found.map_err(unreadable)?.ok_or_else(|| no_such_recording(id))?;
    Ok((call, found))
}

/// A call that has just ended may have its last second still on the way to the disk.
async fn until_written(state: &State, call: CallId, file: &OnDisk) {
    let record = read(state.handle.view()).call(call);
    let length = record.as_ref().and_then(|record| Some((record.recording?, record.ended_at?)));
    let Some((length, ended)) = length.filter(|(_, ended)| now().since(*ended) < WRITTEN_WITHIN)
    else {
        return;
    };
    while now().since(ended) < WRITTEN_WITHIN {
        let file = file.clone();
        match apart(move || file.has_all(length.frames)).await {
            Ok(Ok(false)) => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(Ok(true) | Err(_)) | Err(_) => return,
        }
    }
}

/// The calls with the highest numbers that have a file, and its length.
fn newest(dir: &FilePath, limit: usize) -> io::Result<Vec<(CallId, Measured)>> {
    let mut calls = recording::all(dir)?;
    calls.sort_unstable();
    calls.reverse();
    let with_length = |call: CallId| {
        let found = recording::find(dir, &call.to_string()).ok()??;
        Some((call, Measured::new(found).ok()?))
    };
    Ok(calls.into_iter().filter_map(with_length).take(limit).collect())
}

fn describe(view: &View, call: CallId, measured: &Measured) -> Recording {
    let id = call.to_string();
    let record = view.call(call);
    let record = record.as_deref();
    let started_at = record.and_then(|record| record.bridged_at).map(to_rfc3339);
    let length = record.and_then(|record| record.recording);
    let frames = length.map_or(measured.frames, |length| length.frames);
    Recording {
        call_id: id.clone(),
        id,
        started_at,
        seconds: recording::seconds(frames),
        bytes: measured.file.bytes,
        format: measured.sound.word.to_owned(),
        sealed: measured.file.form == Form::Sealed,
        frames_lost: length.and_then(|length| length.frames_lost),
        frames_paused: length.map(|length| length.frames_paused),
        active: record.is_some_and(|record| record.state != CallState::Ended),
    }
}

fn no_such_recording(id: &str) -> Problem {
    Problem::not_found("no-such-recording", format!("there is no recording of {id}"))
}

fn unread(id: &str, why: Unread) -> Problem {
    let detail = format!("{id}: {why}");
    match why {
        Unread::NoKey | Unread::Sealed(SealedError::Flaw(Flaw::WrongKey { .. })) => {
            Problem::conflict("another-seal-key", detail)
        }
        Unread::OtherName(_) | Unread::Sealed(_) | Unread::Io(_) => Problem::failed(detail),
    }
}

fn unreadable(error: io::Error) -> Problem {
    Problem::failed(format!("recording.dir cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::test_plan;
    use std::fs;

    #[test]
    fn only_files_named_by_a_call_are_recordings_and_the_newest_comes_first() {
        let dir = std::env::temp_dir().join(format!("clavija-list-{}", std::process::id()));
        fs::create_dir_all(dir.join("call-00000009.wav")).unwrap();
        for (name, bytes) in [
            ("call-00000001.wav", 44),
            ("call-00000001.peaks.json", 9),
            ("call-0000000a.sealed", 150),
            ("call-0000001d.wav", 684),
            ("notes.wav", 1),
            ("call-1.wav", 1),
        ] {
            fs::write(dir.join(name), vec![0; bytes]).unwrap();
        }

        let found = |limit| {
            let newest = newest(&dir, limit).unwrap();
            newest.iter().map(|(call, it)| (call.0, it.file.bytes, it.frames)).collect::<Vec<_>>()
        };

        assert_eq!(found(10), [(29, 684, 1), (10, 150, 0), (1, 44, 0)]);
        assert_eq!(found(1), [(29, 684, 1)]);
        fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_recording_knows_its_length_from_its_call_or_else_from_its_file() {
        let mut view = View::new(Arc::new(test_plan::plan()));
        test_plan::whole_call(CallId(1)).iter().for_each(|fact| drop(view.apply(fact)));

        let measured = |frames| {
            let file = OnDisk { path: "x.wav".into(), form: Form::Wav, bytes: 44 + frames * 640 };
            Measured { file, frames, sound: Sound::WAV }
        };
        let known = describe(&view, CallId(1), &measured(0));
        let unknown = describe(&view, CallId(2), &measured(100));

        assert_eq!((known.seconds, known.frames_lost, known.active), (1.0, Some(0), false));
        assert!(known.started_at.is_some());
        assert_eq!((unknown.seconds, unknown.started_at), (2.0, None));
    }
}
