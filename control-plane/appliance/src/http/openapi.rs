//! `/api/v1/openapi.json`: OpenAPI 3.1, made from the handlers and the types they answer with.

use super::{api, config, health, metrics, music, recordings, selftest, trunks};
use axum::Json;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

#[derive(OpenApi)]
#[openapi(
    info(title = "Clavija", description = "What a running appliance tells and does."),
    paths(
        api::status,
        api::agents,
        api::agent,
        api::set_agent_state,
        api::bans,
        api::lift_ban,
        api::calls,
        api::originate,
        api::call,
        api::act,
        api::cdrs,
        api::hours,
        api::queues,
        config::show,
        config::history,
        config::diff,
        config::apply,
        config::reload,
        config::confirm,
        config::roll_back,
        music::list,
        music::put,
        music::take_away,
        recordings::list,
        recordings::one,
        recordings::audio,
        recordings::peaks,
        recordings::verify,
        selftest::begin,
        selftest::report,
        trunks::list,
        trunks::test,
        health::livez,
        health::readyz,
        metrics::metrics,
        document
    ),
    modifiers(&Bearer),
    security(("bearer" = []))
)]
struct Document;

/// RFC 6750.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", responses((status = 200, body = Object)))]
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::router;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn described() -> BTreeSet<String> {
        let document = serde_json::to_value(Document::openapi()).unwrap();
        let Value::Object(paths) = document["paths"].clone() else { panic!("no paths") };
        paths.keys().cloned().collect()
    }

    #[test]
    fn every_path_that_is_served_is_described_and_no_other() {
        let served: BTreeSet<String> = router::paths().map(str::to_owned).collect();

        assert_eq!(described(), served);
    }

    #[test]
    fn every_path_that_is_served_stands_in_the_manual_and_no_other() {
        let manual = include_str!("../../../../docs/api.md");
        let rows = manual.lines().filter_map(|line| line.strip_prefix("| `"));
        let named = rows.filter_map(|row| {
            let (request, _) = row.split_once('`')?;
            let (_method, path) = request.split_once(' ')?;
            path.split('?').next().map(str::to_owned)
        });

        assert_eq!(named.collect::<BTreeSet<_>>(), described());
    }

    #[test]
    fn the_document_is_openapi_3_1_and_asks_for_a_token() {
        let document = serde_json::to_value(Document::openapi()).unwrap();

        assert!(
            document["openapi"].as_str().unwrap().starts_with("3.1"),
            "{}",
            document["openapi"]
        );
        assert_eq!(document["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
        for schema in ["Agent", "Call", "CallStory", "Cdr", "Queue", "Recording", "ProblemBody"] {
            assert!(document["components"]["schemas"][schema].is_object(), "{schema}");
        }
    }
}
