//! `/metrics`, and the count of every answered request.

use super::{State, api::now};
use crate::{
    metrics::{Config, Shown},
    pump::read,
};
use axum::{
    extract::{MatchedPath, Request, State as Of},
    http::{Method, header::CONTENT_TYPE},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::sync::Arc;

/// Every metric, in the Prometheus text format.
#[utoipa::path(get, path = "/metrics",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(super) async fn metrics(Of(state): Of<Arc<State>>) -> Response {
    let counts = state.handle.counts();
    let held = state.live.shown();
    let config = Config { generation: held.generation, hash: held.hash, alarms: held.alarms };
    let text = {
        let view = read(state.handle.view());
        state.metrics.render(&Shown {
            view: &view,
            counts: &counts,
            journal: state.handle.journal(),
            cdrs: &state.cdr_counts,
            state: state.handle.state(),
            config: &config,
            now: now(),
        })
    };
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

pub(super) async fn count(Of(state): Of<Arc<State>>, request: Request, next: Next) -> Response {
    let method = method_label(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = route.as_ref().map_or("unknown", MatchedPath::as_str);
    state.metrics.http_request(route, method, response.status().as_u16());
    response
}

/// A method is any token somebody sends (RFC 9110 §9.1); a label must not be.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::DELETE => "DELETE",
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::POST => "POST",
        Method::PUT => "PUT",
        _ => "other",
    }
}
