//! `/api/v1/selftest`: begins a self-test, and says how the last one went or goes.

use super::{State, problem::Problem, problem::ProblemBody};
use crate::selftest::{Refused, Report};
use axum::{Json, extract::State as Of, http::StatusCode};
use std::sync::Arc;

/// Places a call of the box's own through everything. How it goes is read with GET.
#[utoipa::path(post, path = "/api/v1/selftest",
    responses((status = 202), (status = 409, body = ProblemBody),
        (status = 503, body = ProblemBody)))]
pub(super) async fn begin(Of(state): Of<Arc<State>>) -> Result<StatusCode, Problem> {
    match state.self_test.begin() {
        Ok(()) => Ok(StatusCode::ACCEPTED),
        Err(Refused::Running) => {
            Err(Problem::conflict("selftest-running", "a self-test is under way"))
        }
        Err(Refused::NotReady) => {
            Err(Problem::unavailable("not-ready", "the box takes no new calls at present"))
        }
    }
}

/// The last self-test, step by step.
#[utoipa::path(get, path = "/api/v1/selftest", responses((status = 200, body = Report)))]
pub(super) async fn report(Of(state): Of<Arc<State>>) -> Json<Report> {
    Json(state.self_test.report())
}
