//! Which path leads where, and what every request passes on its way.

use super::{
    State, api, auth, config,
    health::{self, Pulse},
    metrics, music, openapi,
    problem::Problem,
    recordings, rest, selftest, trunks,
};
use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post, put},
};
use std::{sync::Arc, time::Duration};

type Route = MethodRouter<Arc<State>>;

/// Nothing that is sent here is longer.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Both files of a site with ten thousand agents.
const FILES_BYTES_MAX: usize = 8 * 1024 * 1024;
/// From the whole request to the head of its answer. Every answer is made from memory or from a
/// few system calls.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Where files are read and tunes are decoded. What has begun then goes on (`to_the_end`).
const CHANGED_WITHIN: Duration = Duration::from_secs(120);
/// The same where the file itself is sent: 64 MiB at 2 Mbit/s.
const UPLOADED_WITHIN: Duration = Duration::from_secs(300);

/// Every path that is served, and by what.
fn routes() -> [(&'static str, Route); 33] {
    [
        ("/api/v1/agents", get(api::agents)),
        ("/api/v1/agents/{name}", get(api::agent)),
        ("/api/v1/agents/{name}/state", post(api::set_agent_state)),
        ("/api/v1/bans", get(api::bans)),
        ("/api/v1/bans/{address}/actions/lift", post(api::lift_ban)),
        ("/api/v1/calls", get(api::calls).post(api::originate)),
        ("/api/v1/calls/{id}", get(api::call)),
        ("/api/v1/calls/{id}/actions/{action}", post(api::act)),
        ("/api/v1/cdrs", get(api::cdrs)),
        ("/api/v1/config", get(config::show)),
        ("/api/v1/config/apply", files(post(config::apply))),
        ("/api/v1/config/confirm", post(config::confirm)),
        ("/api/v1/config/diff", files(post(config::diff))),
        ("/api/v1/config/generations", get(config::history)),
        ("/api/v1/config/reload", post(config::reload)),
        ("/api/v1/config/rollback", post(config::roll_back)),
        ("/api/v1/hours", get(api::hours)),
        ("/api/v1/music", get(music::list)),
        ("/api/v1/music/{name}", put(music::put).delete(music::take_away)),
        ("/api/v1/openapi.json", get(openapi::document)),
        ("/api/v1/queues", get(api::queues)),
        ("/api/v1/recordings", get(recordings::list)),
        ("/api/v1/recordings/{id}", get(recordings::one)),
        ("/api/v1/recordings/{id}/audio", get(recordings::audio)),
        ("/api/v1/recordings/{id}/peaks", get(recordings::peaks)),
        ("/api/v1/recordings/{id}/verify", get(recordings::verify)),
        ("/api/v1/selftest", get(selftest::report).post(selftest::begin)),
        ("/api/v1/status", get(api::status)),
        ("/api/v1/trunks", get(trunks::list)),
        ("/api/v1/trunks/{name}/actions/test", post(trunks::test)),
        ("/livez", get(health::livez)),
        ("/metrics", get(metrics::metrics)),
        ("/readyz", get(health::readyz)),
    ]
}

/// For bodies that carry the operator's files.
fn files(route: Route) -> Route {
    route.layer(DefaultBodyLimit::max(FILES_BYTES_MAX))
}

pub(super) fn router(state: Arc<State>) -> Router {
    let mut router = Router::new();
    for (path, route) in routes() {
        router = router.route(path, route);
    }
    router
        .fallback(async || Problem::NO_SUCH_PATH)
        .method_not_allowed_fallback(async || Problem::METHOD)
        .layer(from_fn(in_time))
        .layer(from_fn_with_state(Arc::clone(&state), auth::guard))
        .layer(from_fn_with_state(Arc::clone(&state), metrics::count))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(Extension(Arc::new(Pulse::new())))
        .layer(from_fn(rest::taken))
        .with_state(state)
}

async fn in_time(request: Request, next: Next) -> Response {
    let (within, late) = match request.uri().path() {
        path if path.starts_with("/api/v1/config/") => (CHANGED_WITHIN, Problem::GOES_ON),
        path if path.starts_with("/api/v1/music/") => (UPLOADED_WITHIN, Problem::UPLOAD_LATE),
        _ => (ANSWER_WITHIN, Problem::TIMEOUT),
    };
    answered(within, late, next.run(request)).await
}

async fn answered(
    within: Duration,
    late: Problem,
    answer: impl Future<Output = Response>,
) -> Response {
    let answer = tokio::time::timeout(within, answer).await;
    answer.unwrap_or_else(|_| late.into_response())
}

/// For the tests of what describes them.
#[cfg(test)]
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    routes().into_iter().map(|(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::config::to_the_end;
    use axum::http::StatusCode;
    use tokio::sync::oneshot;

    #[tokio::test(flavor = "current_thread")]
    async fn a_change_goes_on_when_its_answer_comes_too_late() {
        let (let_it, may) = oneshot::channel();
        let (done, is_done) = oneshot::channel();
        let change = async move {
            let changed = to_the_end(async move {
                may.await.unwrap();
                done.send(()).unwrap();
                Ok(())
            });
            changed.await.map_or_else(|_| StatusCode::CONFLICT, |()| StatusCode::OK).into_response()
        };

        let answer = answered(Duration::from_millis(1), Problem::GOES_ON, change).await;
        let_it.send(()).unwrap();

        assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(is_done.await, Ok(()));
    }
}
