//! The log: to stderr, one line an event, what follows calls by their id.
//!
//! Numbers, names and audio never above DEBUG.

use crate::view::View;
use control_plane::{
    cdr::CallRecord,
    fact::{Fact, Step, What},
};
use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};
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

/// Lines of one-way audio in a minute: when a network fails, every call of it has one.
const ONE_WAY_LINES_MAX: u32 = 20;

/// What was written of one-way audio lately.
#[derive(Debug, Default)]
pub struct OneWayLines {
    minute: Option<Instant>,
    written: u32,
    left_out: u64,
}

impl OneWayLines {
    /// Whether one more may be written, and how many were left out since the last one.
    fn next(&mut self, now: Instant) -> Option<u64> {
        let begun = self.minute.filter(|begun| now - *begun < Duration::from_secs(60));
        if begun.is_none() {
            (self.minute, self.written) = (Some(now), 0);
        }
        if self.written == ONE_WAY_LINES_MAX {
            self.left_out += 1;
            return None;
        }
        self.written += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// What a fact looks like in the log. Made while the view is held, written when it is not: whoever
/// reads the log may be slow.
#[derive(Debug)]
pub struct Line {
    fact: Fact,
    /// Event and detail, as the story of the call has them.
    step: Option<(String, String)>,
}

impl Line {
    /// To be called when the view has taken the fact in.
    pub fn of(fact: &Fact, view: &View, ended: Option<&CallRecord>) -> Self {
        let step = match &fact.what {
            What::Call(call, _) => {
                let record = ended.or_else(|| view.active_call(*call));
                let step = record.and_then(|record| record.events.last());
                step.map(|step| (step.event.clone(), step.detail.clone()))
            }
            What::Claim(_) | What::Plan(_) | What::Seat(..) => None,
        };
        Self { fact: fact.clone(), step }
    }

    pub fn write(&self, one_way: &mut OneWayLines, now: Instant) {
        let seq = self.fact.seq;
        match &self.fact.what {
            What::Call(call, Step::OneWayAudio { side, .. }) => {
                let Some(left_out) = one_way.next(now) else { return };
                let side = side.label();
                tracing::warn!(%call, seq, side, left_out, "one_way_audio: nothing is heard of one side");
            }
            What::Call(call, _) => {
                let Some((event, detail)) = &self.step else { return };
                tracing::info!(%call, seq, "{event}");
                if !detail.is_empty() {
                    tracing::debug!(%call, seq, detail, "{event}");
                }
            }
            What::Claim(result) => tracing::debug!(seq, ?result, "claim"),
            What::Plan(plan) => {
                let agents = plan.seats.len() - plan.gone.seats.len();
                let trunks = plan.trunks.len() - plan.gone.trunks.len();
                tracing::info!(
                    seq,
                    agents,
                    trunks,
                    numbers = plan.numbers.len(),
                    "calls flow as configured now; those that go on keep what they began with"
                );
            }
            What::Seat(seat, is) => {
                let call = is.call.map(tracing::field::display);
                tracing::debug!(seq, seat = seat.0, state = is.state.label(), call, "seat");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::test_plan;
    use control_plane::{fact::Side, ids::CallId, time::Stamp};
    use std::sync::{Arc, Mutex};
    use tracing_subscriber::fmt::MakeWriter;

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Page {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    fn logged(level: &str, write: impl FnOnce()) -> String {
        let page = Page::default();
        let log = tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(level))
            .with_ansi(false)
            .with_writer(page.clone())
            .finish();
        tracing::subscriber::with_default(log, write);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_call_can_be_followed_by_its_id_and_numbers_and_names_are_for_debug_only() {
        let write = || {
            let mut view = View::new(Arc::new(test_plan::plan()));
            for fact in test_plan::whole_call(CallId(29)) {
                let ended = view.apply(&fact);
                let line = Line::of(&fact, &view, ended.as_ref());
                line.write(&mut OneWayLines::default(), Instant::now());
            }
        };
        let (usual, debug) = (logged("info", write), logged("debug", write));

        for step in ["arrived", "queued", "bridged", "ended"] {
            let has = |line: &str| line.contains("call=call-0000001d") && line.contains(step);
            assert!(usual.lines().any(has), "{step} in\n{usual}");
        }
        for secret in ["+12025550123", "+541155550100", "ana"] {
            assert!(!usual.contains(secret) && debug.contains(secret), "{secret}");
        }
    }

    #[test]
    fn one_way_audio_is_a_warning_with_call_and_side_and_a_crowd_of_them_is_cut_and_counted() {
        let now = Instant::now();
        let log = logged("warn", || {
            let view = View::new(Arc::new(test_plan::plan()));
            let mut one_way = OneWayLines::default();
            for n in 0..121_u32 {
                let side = if n == 0 { Side::Agent } else { Side::Caller };
                let step = Step::OneWayAudio { side, since: Stamp(1) };
                let (seq, what) = (n.into(), What::Call(CallId(29), step));
                let line = Line::of(&Fact { seq, at: Stamp(1), what }, &view, None);
                // Sixty of them in the first minute, then one a second.
                line.write(&mut one_way, now + Duration::from_secs(n.saturating_sub(60).into()));
            }
        });

        let lines: Vec<_> = log.lines().collect();
        assert_eq!(lines.len(), 21, "{log}");
        let first = ["WARN", "one_way_audio", "call=call-0000001d", "side=\"agent\"", "left_out=0"];
        assert!(first.iter().all(|word| lines[0].contains(word)), "{}", lines[0]);
        assert!(lines[1].contains("side=\"caller\""), "{}", lines[1]);
        assert!(lines[20].contains("left_out=100"), "{}", lines[20]);
    }
}
