//! `/api/v1/music`: what callers wait to, and a file in the place of the configured one.

use super::{
    State,
    problem::{Problem, ProblemBody},
    types::Items,
};
use crate::{
    music::{Heard, Played, Unchanged, Uploaded},
    pump::read,
    view::View,
};
use axum::{
    Json,
    extract::{Path, Request, State as Of},
    http::{HeaderMap, StatusCode, header::CONTENT_LENGTH},
};
use control_plane::{cdr::to_rfc3339, config::SELF_TEST, ids::TeamId, time::Stamp};
use futures_core::Stream;
use media_core::order::TuneId;
use serde::Serialize;
use std::{borrow::Cow, future::poll_fn, io, pin::pin, sync::Arc, time::UNIX_EPOCH};
use utoipa::ToSchema;

type Shared = Of<Arc<State>>;

/// A tune, and what is heard of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TuneLine {
    #[schema(example = "waltz")]
    name: String,
    /// The one that the configuration names.
    file: String,
    /// What is heard: `configured`, `uploaded`, or `built_in` where the file cannot be had.
    source: &'static str,
    /// Of what was uploaded.
    uploaded_at: Option<String>,
    uploaded_bytes: Option<u64>,
    /// Why what was uploaded is not heard.
    upload_refused: Option<String>,
    gain_db: f32,
    /// Like `MP3`. This and what follows is of what is heard; null of the built-in tone.
    coding: Option<Cow<'static, str>>,
    rate_hz: Option<u32>,
    channels: Option<usize>,
    seconds: Option<f64>,
    /// Of what the telephone hears, after its gain; null too where nothing can be heard.
    loudness_dbfs: Option<f64>,
    /// Of the file.
    peak_dbfs: Option<f64>,
    /// What should be looked at though it is played.
    warnings: Vec<String>,
    /// Whose callers wait to it.
    team_names: Vec<String>,
}

impl TuneLine {
    fn new(place: usize, of: Played, view: &View) -> Self {
        let (source, sound, uploaded, upload_refused) = match of.uploaded {
            Uploaded::Heard { sound, bytes, at, .. } => {
                ("uploaded", Some(sound), Some((bytes, at)), None)
            }
            Uploaded::Refused(why) => {
                (configured(&of.configured_sound), of.configured_sound, None, Some(why))
            }
            Uploaded::Nothing => {
                (configured(&of.configured_sound), of.configured_sound, None, None)
            }
        };
        let stamp = |at: std::time::SystemTime| {
            to_rfc3339(Stamp::default() + at.duration_since(UNIX_EPOCH).unwrap_or_default())
        };
        let of_sound = sound.as_ref();
        Self {
            source,
            uploaded_at: uploaded.map(|(_, at)| stamp(at)),
            uploaded_bytes: uploaded.map(|(bytes, _)| bytes),
            upload_refused,
            gain_db: of.gain.db(),
            coding: of_sound.map(|sound| sound.coding.clone()),
            rate_hz: of_sound.map(|sound| sound.rate_hz),
            channels: of_sound.map(|sound| sound.channels),
            seconds: of_sound.map(|sound| tenth(sound.seconds)),
            loudness_dbfs: of_sound.and_then(|sound| sound.loudness_dbfs).map(tenth),
            peak_dbfs: of_sound.map(|sound| tenth(sound.peak_dbfs)),
            warnings: of_sound.map(|sound| sound.warnings.clone()).unwrap_or_default(),
            team_names: teams(place, view),
            name: of.name,
            file: of.file.display().to_string(),
        }
    }
}

fn configured(sound: &Option<Heard>) -> &'static str {
    if sound.is_some() { "configured" } else { "built_in" }
}

/// As much as anybody hears.
fn tenth(figure: f32) -> f64 {
    (f64::from(figure) * 10.0).round() / 10.0
}

fn teams(place: usize, view: &View) -> Vec<String> {
    let plan = view.plan();
    let plays = plan.teams.iter().zip((0..).map(TeamId)).filter(|(team, id)| {
        let here = team.music == u16::try_from(place).ok().map(TuneId);
        here && team.name != SELF_TEST && !plan.gone.teams.contains(id)
    });
    plays.map(|(team, _)| team.name.clone()).collect()
}

/// Every tune of the configuration.
#[utoipa::path(get, path = "/api/v1/music", responses((status = 200, body = Items<TuneLine>)))]
pub(super) async fn list(Of(state): Shared) -> Json<Items<TuneLine>> {
    let view = read(state.handle.view());
    let all = state.music.all().into_iter().enumerate();
    Json(Items { items: all.map(|(place, of)| TuneLine::new(place, of, &view)).collect() })
}

/// A file in the place of the configured one, from now on: for who waits already and who comes. It stays
/// over starts.
#[utoipa::path(put, path = "/api/v1/music/{name}",
    params(("name" = String, Path, description = "As configured")),
    request_body(content = Vec<u8>, content_type = "application/octet-stream",
        description = "A WAV, MP3, FLAC or Ogg file, 64 MiB at the most"),
    responses((status = 200, body = TuneLine), (status = 400, body = ProblemBody),
        (status = 404, body = ProblemBody), (status = 413, body = ProblemBody),
        (status = 415, body = ProblemBody), (status = 422, body = ProblemBody),
        (status = 500, body = ProblemBody), (status = 503, body = ProblemBody),
        (status = 507, body = ProblemBody)))]
pub(super) async fn put(
    Of(state): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Json<TuneLine>, Problem> {
    let change = state.music.begin(&name)?;
    let mut upload = state.music.receive(change, said_bytes(request.headers())).await?;
    let mut body = pin!(request.into_body().into_data_stream());
    while let Some(bytes) = poll_fn(|context| body.as_mut().poll_next(context)).await {
        let bytes = bytes.map_err(|error| {
            let what = format!("the upload was cut off, and nothing was changed: {error}");
            Problem::bad_request(what)
        })?;
        upload.write(&bytes).await?;
    }
    let place = upload.place();
    let played = Arc::clone(&state.music).put(upload).await?;
    Ok(Json(TuneLine::new(place, played, &read(state.handle.view()))))
}

fn said_bytes(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The configured file is heard again, as it was at the start.
#[utoipa::path(delete, path = "/api/v1/music/{name}",
    params(("name" = String, Path, description = "As configured")),
    responses((status = 200, body = TuneLine), (status = 404, body = ProblemBody),
        (status = 500, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn take_away(
    Of(state): Shared,
    Path(name): Path<String>,
) -> Result<Json<TuneLine>, Problem> {
    let change = state.music.begin(&name)?;
    let place = change.place();
    let played = Arc::clone(&state.music).take_away(change).await?;
    Ok(Json(TuneLine::new(place, played, &read(state.handle.view()))))
}

impl From<Unchanged> for Problem {
    fn from(unchanged: Unchanged) -> Self {
        let detail = unchanged.to_string();
        match unchanged {
            Unchanged::NoSuchTune(_) => Self::not_found("no-such-tune", detail),
            Unchanged::NotUploaded(_) => Self::not_found("no-such-upload", detail),
            Unchanged::Busy => Self::unavailable("busy", detail),
            Unchanged::Empty => Self::music(StatusCode::UNPROCESSABLE_ENTITY, detail),
            Unchanged::TooLarge(_) => Self::music(StatusCode::PAYLOAD_TOO_LARGE, detail),
            Unchanged::Bad { check, .. } if check == "format" => {
                Self::music(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
            }
            Unchanged::Bad { .. } => Self::music(StatusCode::UNPROCESSABLE_ENTITY, detail),
            Unchanged::Disk { error, .. } if is_full(&error) => Self::disk_full(detail),
            Unchanged::Disk { .. }
            | Unchanged::Unsure { .. }
            | Unchanged::NotDecoded(_)
            | Unchanged::GaveUp(_) => Self::failed(detail),
            Unchanged::Pump(_) => Self::unavailable("stopped", detail),
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use std::path::PathBuf;

    #[test]
    fn a_disk_without_room_has_a_status_of_its_own_and_any_other_fault_of_it_has_not() {
        let status = |error: io::Error| {
            let disk = Unchanged::Disk { path: PathBuf::from("waltz.audio"), error };
            Problem::from(disk).into_response().status().as_u16()
        };

        // ENOSPC, EDQUOT, EIO (errno(3)).
        let all = [28, 122, 5].map(|errno| status(io::Error::from_raw_os_error(errno)));
        assert_eq!(all, [507, 507, 500]);
    }
}
