//! The log: to stderr, one line an event, what follows calls by their id.
//!
//! Numbers, names and audio never above DEBUG.

use crate::view::View;
use control_plane::{
    cdr::{CallRecord, offer_end_word, to_rfc3339},
    config::{SELF_TEST, SELF_TEST_NUMBER},
    fact::{End, Fact, Step, What},
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
    step: Option<(&'static str, String)>,
    /// What it says of an end: how, and why in one word.
    end: Option<&'static str>,
    reason: Option<String>,
}

impl Line {
    /// To be called when the view has taken the fact in.
    pub fn of(fact: &Fact, view: &View, ended: Option<&CallRecord>) -> Self {
        let line = Self { fact: fact.clone(), step: None, end: None, reason: None };
        let What::Call(call, step) = &fact.what else { return line };
        let (event, told) = view.describe(step);
        // The end of a call is told with what went before, which is known to its record.
        let last = ended.and_then(|record| record.events.last());
        let detail = last.map_or(told, |last| last.detail.clone());
        let line = Self { step: Some((event, detail)), ..line };
        match step {
            Step::Over { .. } | Step::Ended { .. } => {
                let record = ended.or_else(|| view.active_call(*call));
                let end = record.and_then(|record| record.end).map(End::label);
                Self { end, reason: record.and_then(|record| record.end_reason.clone()), ..line }
            }
            Step::OfferEnded { how, .. } => Self { reason: Some(offer_end_word(*how)), ..line },
            Step::Accepted { .. }
            | Step::Answered
            | Step::AnsweredTooLate { .. }
            | Step::Arrived { .. }
            | Step::Bridged
            | Step::Digit { .. }
            | Step::Held
            | Step::Offered { .. }
            | Step::OneWayAudio { .. }
            | Step::Queued { .. }
            | Step::RecordPaused
            | Step::RecordResumed { .. }
            | Step::RecordingBegan
            | Step::RecordingFailed { .. }
            | Step::Requeued
            | Step::Resumed
            | Step::Ringing { .. }
            | Step::Door(_)
            | Step::Heard { .. }
            | Step::Hearing
            | Step::Routed { .. }
            | Step::Silent { .. }
            | Step::TwoWayAudio { .. } => line,
        }
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
                let (end, reason) = (self.end, self.reason.as_deref());
                tracing::info!(%call, seq, end, reason, "{event}");
                if !detail.is_empty() {
                    tracing::debug!(%call, seq, detail, "{event}");
                }
            }
            What::Claim(result) => tracing::debug!(seq, ?result, "claim"),
            What::Hours(id, verdict) => {
                let (open, by) = (verdict.open, verdict.why.to_string());
                let until = verdict.until.map(to_rfc3339);
                tracing::info!(seq, hours = id.0, open, by, until, "a calendar opens or closes");
            }
            What::Plan(plan) => {
                // The self-test's own are not configured.
                let agents = plan.seats.iter().filter(|seat| seat.name != SELF_TEST).count();
                let trunks = plan.trunks.iter().filter(|trunk| trunk.name != SELF_TEST).count();
                let numbers = plan.numbers.iter().filter(|row| row.pattern != SELF_TEST_NUMBER);
                tracing::info!(
                    seq,
                    agents = agents - plan.gone.seats.len(),
                    trunks = trunks - plan.gone.trunks.len(),
                    numbers = numbers.count(),
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

/// What a start found of the calls of the process before, and of legs that it still has to end. Legs of
/// calls that had ended, waiting for what may come late, were cut from nobody.
pub(crate) fn tell_what_was_left(legs: usize, ended: &[CallRecord]) {
    let cut: Vec<_> = ended.iter().filter(|record| record.was_cut_off()).collect();
    for record in &cut {
        tracing::warn!(call = %record.id, talk_seconds = record.talk_seconds,
            "a call ended with the process before");
    }
    if !cut.is_empty() {
        tracing::warn!(
            legs,
            calls = cut.len(),
            "the process before ended under its calls: every phone and trunk in them is told"
        );
    } else if legs > 0 {
        tracing::info!(
            legs,
            "legs of calls that had ended before the start are brought to their end"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::test_plan;
    use control_plane::{
        config::{Destination, NumberRow},
        fact::{OfferEnd, Party, Side},
        ids::{CallId, OfferId, SeatId},
        time::Stamp,
    };
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
    fn the_end_of_a_call_and_of_an_offer_say_how_and_why() {
        let log = logged("info", || {
            let mut view = View::new(Arc::new(test_plan::plan()));
            let mut story = test_plan::Story::new(CallId(29), Stamp(1));
            let (offer, to) = (OfferId(1), Party::Seat(SeatId(0)));
            let how = OfferEnd::Declined { status: 486 };
            let declined = [story.tell(Step::OfferEnded { offer, to, how })];
            for fact in [story.queued(), declined.into(), story.ended()].concat() {
                let ended = view.apply(&fact);
                let line = Line::of(&fact, &view, ended.as_ref());
                line.write(&mut OneWayLines::default(), Instant::now());
            }
        });

        for words in [
            ["offer_ended", "reason=\"declined_486\"", ""],
            [" over", "end=\"completed\"", "reason=\"caller_hung_up\""],
            [" ended", "end=\"completed\"", "reason=\"caller_hung_up\""],
        ] {
            let all = |line: &str| words.iter().all(|word| line.contains(word));
            assert!(log.lines().any(all), "{words:?} in\n{log}");
        }
    }

    #[test]
    fn the_end_of_a_call_whose_recording_failed_is_told_as_in_its_story() {
        let log = logged("debug", || {
            let mut view = View::new(Arc::new(test_plan::plan()));
            let mut story = test_plan::Story::new(CallId(29), Stamp(1));
            let failed =
                [story.tell(Step::RecordingFailed { what: "no key".to_owned(), no_file: false })];
            for fact in [story.queued(), failed.into(), story.ended()].concat() {
                let ended = view.apply(&fact);
                let line = Line::of(&fact, &view, ended.as_ref());
                line.write(&mut OneWayLines::default(), Instant::now());
            }
        });

        assert!(log.contains("50 frames of talk; the recording failed"), "{log}");
        assert!(!log.contains("recorded 50 frames"), "{log}");
    }

    #[test]
    fn a_change_of_the_plan_counts_what_is_configured_and_not_the_self_tests_own() {
        let mut plan = test_plan::plan();
        plan.seats[1].name = SELF_TEST.to_owned();
        plan.trunks[1].name = SELF_TEST.to_owned();
        let row = |pattern: &str| NumberRow::new(pattern, Destination::Seat(SeatId(0)));
        plan.numbers = vec![row("100"), row(SELF_TEST_NUMBER)];

        let log = logged("info", || {
            let plan = Arc::new(plan);
            let view = View::new(Arc::clone(&plan));
            let fact = Fact { seq: 1, at: Stamp(1), what: What::Plan(plan) };
            Line::of(&fact, &view, None).write(&mut OneWayLines::default(), Instant::now());
        });

        assert!(log.contains("agents=1 trunks=1 numbers=1"), "{log}");
    }

    #[test]
    fn a_start_warns_of_calls_that_were_cut_off_and_not_of_legs_of_calls_that_had_ended() {
        let mut view = View::new(Arc::new(test_plan::plan()));
        let facts = test_plan::whole_call(CallId(29));
        let over = facts.iter().find_map(|fact| view.apply(fact)).unwrap();
        let cut = CallRecord { end_reason: Some("restart".to_owned()), ..over.clone() };

        assert_eq!(logged("warn", || tell_what_was_left(2, &[])), "");
        assert_eq!(logged("warn", || tell_what_was_left(2, std::slice::from_ref(&over))), "");
        let told = logged("warn", || tell_what_was_left(2, &[over.clone(), cut]));
        assert!(told.contains("legs=2 calls=1"), "{told}");
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
