//! The log: to stderr, one line an event, what follows calls by their id.
//!
//! Numbers, names and audio never above DEBUG.

use crate::view::View;
use control_plane::{
    cdr::CallRecord,
    fact::{Fact, What},
};
use std::io::{self, IsTerminal};
use tracing_subscriber::EnvFilter;

/// Without `RUST_LOG`: what an operator looks at, and nothing of the libraries below warnings.
const USUAL: &str = "warn,clavija=info,media_rt=info,sip_net=info";

/// Starts the log at the level of `RUST_LOG`. A second call changes nothing.
pub fn init() {
    start(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(USUAL)));
}

/// For commands that speak for themselves: only what went wrong, unless `RUST_LOG` asks for more.
pub fn init_quiet() {
    start(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("error")));
}

fn start(filter: EnvFilter) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    // Somebody else's subscriber stays: in tests there is one already.
    let _is_set = log.try_init();
}

/// Says what became so. To be called when the view has taken the fact in.
pub fn fact(fact: &Fact, view: &View, ended: Option<&CallRecord>) {
    match &fact.what {
        What::Call(call, _) => {
            let Some(record) = ended.or_else(|| view.active_call(*call)) else { return };
            let Some(step) = record.events.last() else { return };
            tracing::info!(%call, seq = fact.seq, "{}", step.event);
            if !step.detail.is_empty() {
                tracing::debug!(%call, detail = step.detail, "{}", step.event);
            }
        }
        What::Claim(result) => tracing::debug!(seq = fact.seq, ?result, "claim"),
        What::Seat(seat, is) => {
            let call = is.call.map(tracing::field::display);
            tracing::debug!(seat = seat.0, state = is.state.label(), call, "seat");
        }
    }
}
