//! `/api/v1/trunks`: every trunk, and whether one is there.

use super::{
    api::{Shared, nobody_named},
    problem::{Problem, ProblemBody},
    types::Items,
};
use crate::{
    pump::{Tested, read},
    view::Trunk,
};
use axum::{
    Json,
    extract::{Path, State as Of},
};
use serde::Serialize;
use sip_stack::{Probed, Transport};
use std::time::Duration;
use utoipa::ToSchema;

/// How long an answer is waited for: five repeats over UDP, and less than a request may take.
const PATIENCE: Duration = Duration::from_secs(8);

/// What a trunk said to the question whether it is there.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct TrunkTest {
    trunk: String,
    /// Where the question (OPTIONS, RFC 3261 §11) was sent.
    address: String,
    /// `udp` or `tcp`.
    transport: &'static str,
    /// `answered`, `silent` or `unreachable`.
    result: &'static str,
    /// Whether calls may be sent there.
    ok: bool,
    /// The status of its answer.
    code: Option<u16>,
    /// From the question to the answer, or to when it was given up.
    milliseconds: f64,
    /// What it means and what to do.
    advice: String,
}

/// Every trunk.
#[utoipa::path(get, path = "/api/v1/trunks", responses((status = 200, body = Items<Trunk>)))]
pub(super) async fn list(Of(state): Shared) -> Json<Items<Trunk>> {
    let counts = state.handle.counts();
    Json(Items { items: read(state.handle.view()).trunks(&counts.trunks) })
}

/// Asks a trunk whether it is there. Takes up to 8 s.
#[utoipa::path(post, path = "/api/v1/trunks/{name}/actions/test",
    params(("name" = String, Path, description = "As configured")),
    responses((status = 200, body = TrunkTest), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
pub(super) async fn test(
    Of(state): Shared,
    Path(name): Path<String>,
) -> Result<Json<TrunkTest>, Problem> {
    let trunk = {
        let view = read(state.handle.view());
        let trunks = view.trunks(&[]);
        let names = trunks.iter().map(|trunk| trunk.name.as_str());
        let unknown = || Problem::not_found("no-such-trunk", nobody_named("trunk", &name, names));
        view.trunk(&name).ok_or_else(unknown)?
    };
    let tested = state.handle.probe(trunk, PATIENCE).await?;
    Ok(Json(TrunkTest::new(name, &tested)))
}

impl TrunkTest {
    fn new(trunk: String, tested: &Tested) -> Self {
        let Tested { to, outcome, after } = *tested;
        let address = to.remote.to_string();
        let (result, code, (ok, advice)) = match outcome {
            Probed::Answered { status } => ("answered", Some(status), meaning(status)),
            Probed::Silent => ("silent", None, (false, silence(to.transport))),
            Probed::Unreachable => ("unreachable", None, (false, NO_CONNECTION)),
        };
        Self {
            trunk,
            address,
            transport: to.transport.label(),
            result,
            ok,
            code,
            milliseconds: after.as_secs_f64() * 1_000.0,
            advice: advice.to_owned(),
        }
    }
}

/// Whether calls may be sent to who answers so, and what to do.
fn meaning(status: u16) -> (bool, &'static str) {
    match status {
        ..=299 => (true, "it is there and in order"),
        300..=399 => {
            (true, "it is there and names another address: ask whether `address` is right")
        }
        401 | 407 => (
            false,
            "it asks for a password, which this version does not give: have it admit this box by \
             its address (sip.advertise)",
        ),
        403 => (false, "it does not admit this box: have it admit the address in sip.advertise"),
        408 | 500 | 502..=599 => {
            (false, "it is there and out of order: ask whoever runs it, and test again")
        }
        _ => (true, "it is there; that it takes no OPTIONS for itself says nothing about calls"),
    }
}

const NO_CONNECTION: &str = "no connection: nobody listens at `address` by TCP, or something between refuses it; is \
     `transport` right?";

fn silence(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => {
            "nothing came back: check `address` and `transport`, the firewalls between, and that it \
             admits this box (sip.advertise); many answer only whom they know"
        }
        Transport::Tcp => {
            "nothing came back: check `address`, the firewalls between, and that it admits this box \
             (sip.advertise)"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip_stack::Flow;

    #[test]
    fn what_a_trunk_answers_says_whether_it_can_be_called() {
        let ok = |status| meaning(status).0;

        assert!([200, 302, 404, 405, 480, 486, 501].into_iter().all(ok));
        assert!(![401, 403, 407, 408, 500, 503, 504].into_iter().any(ok));
    }

    #[test]
    fn a_test_says_where_it_was_sent_what_came_and_after_how_long() {
        let to = Flow::tcp("192.0.2.1:5060".parse().unwrap());
        let tested = |outcome| Tested { to, outcome, after: Duration::from_micros(1_500) };
        let shown = |outcome| {
            serde_json::to_value(TrunkTest::new("pbx".to_owned(), &tested(outcome))).unwrap()
        };

        let answered = shown(Probed::Answered { status: 200 });

        assert_eq!((&answered["code"], &answered["milliseconds"]), (&200.into(), &1.5.into()));
        assert_eq!(
            (&answered["address"], &answered["transport"]),
            (&"192.0.2.1:5060".into(), &"tcp".into())
        );
        assert_eq!(shown(Probed::Unreachable)["result"], "unreachable");
        assert_eq!(shown(Probed::Silent)["code"], serde_json::Value::Null);
    }
}
