//! `/livez` and `/readyz`: what a supervisor and a load balancer ask, without a token.

use super::{State, api::state_name, types::Health};
use crate::pump::BoxState;
use axum::{Extension, Json, extract::State as Of, http::StatusCode};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A loop that has not turned for so long is stuck: it turns every 250 ms with nothing to do.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// When the pump was last seen turning.
#[derive(Debug)]
pub(super) struct Pulse(Mutex<(u64, Instant)>);

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Mutex::new((0, Instant::now())))
    }

    /// Whether the loop has turned since the last question, or that was only a moment ago.
    fn beats(&self, turns: u64, now: Instant) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last_turns, since) = *seen;
        if turns != last_turns {
            *seen = (turns, now);
            return true;
        }
        now.duration_since(since) < STUCK_AFTER
    }
}

/// Whether the process turns.
#[utoipa::path(get, path = "/livez", security(()),
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(super) async fn livez(
    Of(state): Of<Arc<State>>,
    Extension(pulse): Extension<Arc<Pulse>>,
) -> (StatusCode, Json<Health>) {
    let beats = pulse.beats(state.handle.turns(), Instant::now());
    answer(beats, &state)
}

/// Whether new calls are taken.
#[utoipa::path(get, path = "/readyz", security(()),
    responses((status = 200, body = Health), (status = 503, body = Health)))]
pub(super) async fn readyz(Of(state): Of<Arc<State>>) -> (StatusCode, Json<Health>) {
    answer(state.handle.state() == BoxState::Ready, &state)
}

/// What somebody should look at.
pub(super) fn alarms(state: &State) -> Vec<&'static str> {
    let mut words = state.live.shown().alarms.words();
    if state.handle.counts().recordings_lose_frames {
        words.push("recording-frames-lost");
    }
    words
}

fn answer(good: bool, state: &State) -> (StatusCode, Json<Health>) {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let name = state_name(state.handle.state()).to_owned();
    (status, Json(Health { state: name, alarms: alarms(state) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_turn_is_alive_for_five_seconds_and_again_when_it_turns() {
        let pulse = Pulse::new();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);

        assert!(pulse.beats(7, start));
        assert!(pulse.beats(7, after(4)));
        assert!(!pulse.beats(7, after(5)));
        assert!(pulse.beats(8, after(60)));
    }
}
