//! What facts do to the metrics, and that the manual lists them all.

use super::*;
use crate::view::test_plan::{self, Story};
use control_plane::fact::Reason;
use media_rt::{counters::MediaCounters, headroom::Headroom};
use std::collections::BTreeSet;

/// One family: name, type and labels (those of histograms without `le`), and its help.
type Family = (String, String, BTreeSet<String>, String);

/// Metrics and view fed alike.
struct Box {
    metrics: Metrics,
    view: View,
}

impl Box {
    fn new() -> Self {
        let plan = test_plan::plan();
        Self { metrics: Metrics::new(&plan), view: View::new(plan.into()) }
    }

    fn take(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            let ended = self.view.apply(&fact);
            self.metrics.apply(&fact, ended.as_ref());
        }
    }

    fn text(&self) -> String {
        self.text_with(MediaCounters::default())
    }

    fn text_with(&self, media: MediaCounters) -> String {
        self.metrics.render(&Shown {
            view: &self.view,
            counts: &Counts { media, headroom: vec![Headroom::default()], ..Counts::default() },
            journal: &StoreCounts::default(),
            cdrs: &CdrCounts::default(),
            state: BoxState::Ready,
            config: &Config::default(),
            now: Stamp(1_800_000_000_000_000),
        })
    }

    fn has(&self, line: &str) -> bool {
        self.text().lines().any(|found| found == line)
    }
}

#[test]
fn a_call_is_active_until_it_is_counted_as_ended() {
    let mut the = Box::new();
    let mut story = Story::new(CallId(1), Stamp(1_000_000));

    the.take([story.queued(), story.offered()].concat());
    assert!(the.has("clavija_calls_active{direction=\"inbound\",channel=\"sip\"} 1"));
    assert!(the.has("clavija_queue_waiting{queue=\"support\"} 1"));
    the.take([story.talking(), story.ended()].concat());

    assert!(the.has("clavija_calls_active{direction=\"inbound\",channel=\"sip\"} 0"));
    assert!(the.has(
        "clavija_calls_ended_total{channel=\"sip\",direction=\"inbound\",end=\"completed\"} 1"
    ));
    assert!(the.has("clavija_call_duration_seconds_count{direction=\"inbound\"} 1"));
    assert!(the.has("clavija_rtp_mos_count{model=\"narrowband\"} 1"));
    assert!(the.metrics.following().is_empty(), "nothing of an ended call is kept");
}

#[test]
fn setup_is_from_the_invite_to_the_200_and_waiting_from_the_queue_to_a_voice() {
    let mut the = Box::new();
    let mut story = Story::new(CallId(1), Stamp(1_000_000));

    the.take([story.queued(), story.offered(), story.talking()].concat());

    let setup = "clavija_call_setup_seconds_sum{direction=\"inbound\",trunk=\"carrier\"} 2";
    assert!(the.has(setup));
    let wait = "clavija_queue_wait_seconds_sum{outcome=\"answered\",queue=\"support\"} 3";
    assert!(the.has(wait));
}

#[test]
fn who_leaves_the_queue_is_counted_as_abandoned_once() {
    let mut the = Box::new();
    let mut story = Story::new(CallId(1), Stamp(1_000_000));

    the.take(story.queued());
    let over = Step::Over { end: End::Abandoned, reason: Reason::CallerHungUp };
    the.take(vec![story.tell(over)]);
    the.take(vec![story.tell(Step::Ended { recorded: None, quality: vec![] })]);

    let count = |outcome: &str| {
        format!("clavija_queue_wait_seconds_count{{outcome=\"{outcome}\",queue=\"support\"}}")
    };
    assert!(the.has(&format!("{} 1", count("abandoned"))));
    assert!(the.has(&format!("{} 0", count("answered"))));
}

#[test]
fn a_caller_whose_agent_was_lost_waits_anew() {
    let mut the = Box::new();
    let mut story = Story::new(CallId(1), Stamp(1_000_000));

    the.take([story.queued(), story.offered(), story.talking()].concat());
    the.take(vec![story.tell(Step::Requeued)]);
    assert!(the.has("clavija_queue_waiting{queue=\"support\"} 1"));
    the.take([story.offered(), story.talking()].concat());

    assert!(
        the.has("clavija_queue_wait_seconds_sum{outcome=\"answered\",queue=\"support\"} 6"),
        "three seconds each time"
    );
}

#[test]
fn claims_are_counted_by_their_result() {
    let mut the = Box::new();
    let fact = |what| Fact { seq: 1, at: Stamp(1), what };

    the.take(vec![
        fact(What::Claim(ClaimResult::Granted)),
        fact(What::Claim(ClaimResult::Granted)),
        fact(What::Claim(ClaimResult::Busy)),
    ]);

    assert!(the.has("clavija_agent_claims_total{result=\"granted\"} 2"));
    assert!(the.has("clavija_agent_claims_total{result=\"busy\"} 1"));
    assert!(the.has("clavija_agent_double_claim_detected_total 0"));
}

#[test]
fn datagrams_that_no_leg_saw_stand_among_the_dropped_by_their_reason() {
    let media =
        MediaCounters { datagrams_dropped: 3, datagrams_cut: 2, ..MediaCounters::default() };

    let text = Box::new().text_with(media);

    let dropped = text.lines().filter_map(|line| line.strip_prefix("clavija_rtp_dropped_total{"));
    let dropped: BTreeSet<_> = dropped.filter(|line| !line.ends_with(" 0")).collect();
    assert_eq!(dropped, ["reason=\"buffer_full\"} 3", "reason=\"too_long\"} 2"].into());
}

#[test]
fn every_series_exists_before_anything_has_happened() {
    let the = Box::new();
    the.metrics.http_request("/livez", "GET", 200);

    for (name, kind, _, _) in families(&the.text()) {
        let sample = if kind == "histogram" { format!("{name}_count") } else { name.clone() };
        let has = the.text().lines().any(|line| line.starts_with(&sample));
        assert!(has, "{name} has no sample");
    }
}

#[test]
fn the_manual_lists_every_metric_with_its_type_its_labels_and_its_meaning() {
    let the = Box::new();
    the.metrics.http_request("/livez", "GET", 200);
    let row = |(name, kind, labels, help): Family| {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        format!("| `{name}` | {kind} | {} | {help} |", labels.join(" "))
    };
    let wanted: BTreeSet<String> = families(&the.text()).into_iter().map(row).collect();

    let manual = include_str!("../../../../docs/metrics.md");
    let found: BTreeSet<String> =
        manual.lines().filter(|line| line.starts_with("| `")).map(str::to_owned).collect();

    let missing: Vec<_> = wanted.difference(&found).collect();
    let stale: Vec<_> = found.difference(&wanted).collect();
    assert!(missing.is_empty() && stale.is_empty(), "write {missing:#?}\nremove {stale:#?}");
}

fn families(text: &str) -> Vec<Family> {
    let heads = text.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
    heads
        .map(|(name, help)| {
            let kind = format!("# TYPE {name} ");
            let kind = text.lines().find_map(|line| line.strip_prefix(&kind)).unwrap();
            (name.to_owned(), kind.to_owned(), labels(text, name), help.to_owned())
        })
        .collect()
}

/// The labels of the first sample of this family.
fn labels(text: &str, name: &str) -> BTreeSet<String> {
    let names = [name.to_owned(), format!("{name}_bucket")];
    let of_family = |line: &&str| names.iter().any(|n| line.split(['{', ' ']).next() == Some(n));
    let sample = text.lines().find(of_family).unwrap_or_default();
    let inside = sample.split_once('{').and_then(|(_, rest)| rest.rsplit_once('}'));
    let pairs = inside.map_or("", |(inside, _)| inside).split("\",");
    let keys = pairs.filter_map(|pair| Some(pair.split_once('=')?.0.to_owned()));
    keys.filter(|key| key != "le").collect()
}
