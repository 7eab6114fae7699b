//! `/api/v1/config`: what holds, what would change, and another one under running calls.

use super::{
    State,
    problem::{FaultBody, Problem, ProblemBody},
    types::Items,
};
use crate::{
    generations::{By, Meta},
    live::{Alarms, Applied, Refused, Shown, Wish},
    notify::Reloading,
};
use axum::{
    Json,
    extract::{State as Of, rejection::JsonRejection},
};
use firmware_config::{Difference, Source, Sources};
use serde::{Deserialize, Serialize};
use std::{io, path::PathBuf, sync::Arc, time::Duration};
use utoipa::ToSchema;

type Shared = Of<Arc<State>>;

/// Longest time to confirm.
const CONFIRM_SECONDS_MAX: u32 = 86_400;

/// A file's text and where its relative paths are read from.
#[derive(Debug, Deserialize, ToSchema)]
pub(super) struct FileBody {
    name: String,
    #[schema(value_type = String)]
    folder: PathBuf,
    text: String,
}

/// A configuration to take the place of the one that holds.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplyBody {
    node: FileBody,
    site: Option<FileBody>,
    #[serde(default)]
    dry_run: bool,
    /// Gone back from if nobody confirms within so many seconds.
    confirm_seconds: Option<u32>,
    #[serde(default)]
    at_restart: bool,
}

/// How the operator's own file is taken.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReloadBody {
    #[serde(default)]
    dry_run: bool,
    confirm_seconds: Option<u32>,
    #[serde(default)]
    at_restart: bool,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RollbackBody {
    /// The generation before, if none is named.
    generation: Option<u64>,
    /// Gone back from if nobody confirms within so many seconds.
    confirm_seconds: Option<u32>,
    #[serde(default)]
    at_restart: bool,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DiffBody {
    node: FileBody,
    site: Option<FileBody>,
    /// A generation; what runs, if none is named.
    generation: Option<u64>,
}

/// One thing that changes. Secrets are `"***"`; `(changed)` follows where the words are the same.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DifferenceLine {
    #[schema(example = "trunk.carrier.calls_max")]
    key: String,
    was: Option<String>,
    is: Option<String>,
    /// `live` or `restart`.
    change: &'static str,
}

/// What has become of it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AppliedBody {
    generation: u64,
    hash: String,
    /// `live`, `at_restart`, `unchanged` or `dry_run`.
    applied: &'static str,
    confirm_until: Option<String>,
    /// Whose content the generation has again.
    of: Option<u64>,
    differences: Vec<DifferenceLine>,
}

/// What holds.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigBody {
    generation: u64,
    hash: String,
    confirm_until: Option<String>,
    /// Another one was applied for the next start.
    waits_for_restart: bool,
    /// That one.
    staged: Option<u64>,
    alarms: AlarmsBody,
    files: Vec<ShownFile>,
    /// Every key with the value that holds, in TOML.
    rendered: String,
}

/// What is not as the operator meant it, though calls are taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AlarmsBody {
    /// Why the operator's own file was refused when it was last read.
    file_refused: Option<String>,
    /// Why an older generation holds than was meant.
    fallback: Option<String>,
    /// Music and secrets the box started without, each with the key that names it.
    missing: Vec<String>,
    /// Generations and links found damaged at the start and put aside.
    damaged: u64,
}

/// One of the operator's files, without secrets.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShownFile {
    name: String,
    text: String,
}

/// One generation.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct GenerationLine {
    generation: u64,
    made_at: String,
    by: By,
    hash: String,
    /// Whose content it has again.
    of: Option<u64>,
    confirm_until: Option<String>,
    /// It holds.
    current: bool,
    /// It holds from the next start on.
    staged: bool,
}

/// What holds.
#[utoipa::path(get, path = "/api/v1/config", responses((status = 200, body = ConfigBody)))]
pub(super) async fn show(Of(state): Shared) -> Json<ConfigBody> {
    let shown = state.live.shown();
    let Alarms { file_refused, fallback, missing, damaged } = shown.alarms;
    let missing = missing.faults().map(ToString::to_string).collect();
    let files = shown.files.into_iter().map(|(name, text)| ShownFile { name, text });
    Json(ConfigBody {
        generation: shown.generation,
        hash: shown.hash,
        confirm_until: shown.confirm_until,
        waits_for_restart: shown.staged.is_some(),
        staged: shown.staged,
        alarms: AlarmsBody { file_refused, fallback, missing, damaged },
        files: files.collect(),
        rendered: shown.rendered,
    })
}

/// Every generation that is kept, newest first.
#[utoipa::path(get, path = "/api/v1/config/generations",
    responses((status = 200, body = Items<GenerationLine>), (status = 409, body = ProblemBody)))]
pub(super) async fn history(Of(state): Shared) -> Result<Json<Items<GenerationLine>>, Problem> {
    let Shown { generation: current, staged, .. } = state.live.shown();
    let line = |meta: Meta| GenerationLine {
        current: meta.generation == current,
        staged: Some(meta.generation) == staged,
        generation: meta.generation,
        made_at: meta.made_at,
        by: meta.by,
        hash: meta.hash,
        of: meta.of,
        confirm_until: meta.confirm.map(|confirm| confirm.until()),
    };
    let all = state.live.history().await?;
    Ok(Json(Items { items: all.into_iter().map(line).collect() }))
}

/// What would change.
#[utoipa::path(post, path = "/api/v1/config/diff", request_body = DiffBody,
    responses((status = 200, body = Items<DifferenceLine>), (status = 404, body = ProblemBody),
        (status = 422, body = ProblemBody)))]
pub(super) async fn diff(
    Of(state): Shared,
    body: Result<Json<DiffBody>, JsonRejection>,
) -> Result<Json<Items<DifferenceLine>>, Problem> {
    let DiffBody { node, site, generation } = taken(body)?;
    let found = state.live.compare(sources(node, site)?, generation).await?;
    Ok(Json(Items { items: lines(found) }))
}

/// Lets another configuration take the place of the one that holds. Calls keep what they began with.
#[utoipa::path(post, path = "/api/v1/config/apply", request_body = ApplyBody,
    responses((status = 200, body = AppliedBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn apply(
    Of(state): Shared,
    body: Result<Json<ApplyBody>, JsonRejection>,
) -> Result<Json<AppliedBody>, Problem> {
    let ApplyBody { node, site, dry_run, confirm_seconds, at_restart } = taken(body)?;
    let wish = wish(dry_run, confirm_seconds, at_restart)?;
    let (live, sources) = (Arc::clone(&state.live), sources(node, site)?);
    let apply = async move { live.apply(sources, wish).await };
    Ok(Json(to_the_end(apply).await?.into()))
}

/// Reads the files anew that the appliance was started with, and applies them.
#[utoipa::path(post, path = "/api/v1/config/reload", request_body = ReloadBody,
    responses((status = 200, body = AppliedBody), (status = 409, body = ProblemBody),
        (status = 422, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn reload(
    Of(state): Shared,
    body: Result<Json<ReloadBody>, JsonRejection>,
) -> Result<Json<AppliedBody>, Problem> {
    let ReloadBody { dry_run, confirm_seconds, at_restart } = taken(body)?;
    let wish = wish(dry_run, confirm_seconds, at_restart)?;
    let live = Arc::clone(&state.live);
    let reload = async move {
        let _reloading = Reloading::begin();
        live.reload(wish).await
    };
    Ok(Json(to_the_end(reload).await?.into()))
}

/// Says that the box can still be reached.
#[utoipa::path(post, path = "/api/v1/config/confirm",
    responses((status = 204), (status = 409, body = ProblemBody)))]
pub(super) async fn confirm(Of(state): Shared) -> Result<axum::http::StatusCode, Problem> {
    let live = Arc::clone(&state.live);
    to_the_end(async move { live.confirm().await }).await?;
    Ok(axum::http::StatusCode::NO_CONTENT)
}

/// Back to an earlier generation; it becomes a new one.
#[utoipa::path(post, path = "/api/v1/config/rollback", request_body = RollbackBody,
    responses((status = 200, body = AppliedBody), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn roll_back(
    Of(state): Shared,
    body: Result<Json<RollbackBody>, JsonRejection>,
) -> Result<Json<AppliedBody>, Problem> {
    let RollbackBody { generation, confirm_seconds, at_restart } = taken(body)?;
    let wish = wish(false, confirm_seconds, at_restart)?;
    let live = Arc::clone(&state.live);
    let roll_back = async move { live.roll_back(generation, wish).await };
    Ok(Json(to_the_end(roll_back).await?.into()))
}

/// Whoever asked may go away in the middle, or the answer may come too late for them: what has begun
/// is finished all the same, or disk and running calls would hold different configurations.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Result<T, Refused> {
    tokio::spawn(work).await.map_err(io::Error::other)?
}

fn taken<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    let Json(body) = body.map_err(|no| Problem::refused_body(no.status(), no.body_text()))?;
    Ok(body)
}

/// What a file names stands relative to its folder, which has to be a place on this host.
fn sources(node: FileBody, site: Option<FileBody>) -> Result<Sources, Problem> {
    let source = |file: FileBody| match file.folder.is_absolute() {
        true => Ok(Source { name: file.name, folder: file.folder, text: file.text }),
        false => Err(Problem::bad_request("folder: write an absolute path, like /etc/clavija")),
    };
    Ok(Sources { node: source(node)?, site: site.map(source).transpose()? })
}

fn wish(dry_run: bool, confirm: Option<u32>, at_restart: bool) -> Result<Wish, Problem> {
    if confirm.is_some_and(|seconds| !(1..=CONFIRM_SECONDS_MAX).contains(&seconds)) {
        let what = format!("confirm_seconds: write 1 to {CONFIRM_SECONDS_MAX}");
        return Err(Problem::bad_request(what));
    }
    let confirm = confirm.map(|seconds| Duration::from_secs(seconds.into()));
    Ok(Wish { dry_run, confirm, at_restart })
}

fn lines(found: Vec<Difference>) -> Vec<DifferenceLine> {
    let line = |one: Difference| DifferenceLine {
        key: one.key,
        was: one.was,
        is: one.is,
        change: one.change.word(),
    };
    found.into_iter().map(line).collect()
}

impl From<Applied> for AppliedBody {
    fn from(applied: Applied) -> Self {
        Self {
            generation: applied.generation,
            hash: applied.hash,
            applied: applied.how,
            confirm_until: applied.confirm_until,
            of: applied.of,
            differences: lines(applied.differences),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        match refused {
            Refused::Invalid(faults) => {
                let faults = faults.into_iter().map(|fault| FaultBody {
                    file: fault.file,
                    line: fault.line,
                    message: fault.message,
                });
                Self::invalid(detail, faults.collect())
            }
            Refused::Conflict { code, .. } => Self::conflict(code, detail),
            Refused::NoSuchGeneration(_) => Self::not_found("no-such-generation", detail),
            Refused::Disk(_) => Self::failed(detail),
            Refused::Pump(error) => error.into(),
        }
    }
}
