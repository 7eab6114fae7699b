//! What the story and the record of a call say of its recording.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod common;

use control_plane::{
    cdr::{CallRecord, Ledger},
    fact::{End, Fact, Reason, Step, What},
    ids::CallId,
    time::Stamp,
};
use media_core::order::Recorded;
use sip_stack::{event::Source, ids::TrunkId};
use std::sync::Arc;

/// A call that was recorded, or should have been, with this in the middle of it.
fn ended(middle: Vec<Step>) -> CallRecord {
    let mut ledger = Ledger::new(Arc::new(common::plan(vec![common::desk()])));
    let arrived = Step::Arrived {
        source: Source::Trunk(TrunkId(0)),
        from: "200".into(),
        number: "100".into(),
        sip_call_id: "x".into(),
    };
    let recorded = Some(Recorded { frames: 196, lost: 0, paused: 0 });
    let over = Step::Over { end: End::Completed, reason: Reason::CallerHungUp };
    let end = [over, Step::Ended { recorded, quality: vec![] }];
    let steps = [arrived, Step::Bridged].into_iter().chain(middle).chain(end);
    let facts = steps.zip(1..).map(|(step, seq)| Fact {
        seq,
        at: Stamp(seq),
        what: What::Call(CallId(29), step),
    });
    facts.filter_map(|fact| ledger.apply(&fact)).last().unwrap()
}

fn failing(no_file: bool) -> Step {
    Step::RecordingFailed { what: "no key".into(), no_file }
}

#[test]
fn the_end_of_a_call_whose_recording_failed_claims_no_recorded_frames() {
    let whole = ended(vec![]);
    let failed = ended(vec![failing(false)]);

    let last = |record: &CallRecord| record.events.last().unwrap().detail.clone();
    assert_eq!(last(&whole), "recorded 196 frames, 0 lost");
    assert_eq!(last(&failed), "196 frames of talk; the recording failed");
    let lost = |record: &CallRecord| record.recording.unwrap().frames_lost;
    assert_eq!((lost(&whole), lost(&failed)), (Some(0), None));
}

#[test]
fn a_call_whose_recording_never_began_names_none_and_says_why() {
    let whole = ended(vec![]);
    let partly = ended(vec![failing(false)]);
    let never = ended(vec![failing(true)]);

    let named = |record: &CallRecord| record.recording_id.is_some() && record.recording.is_some();
    assert_eq!((named(&whole), named(&partly)), (true, true));
    assert_eq!((&never.recording_id, never.recording), (&None, None));
    assert_eq!(never.recording_failed.unwrap().what, "no key");
    let last = never.events.last().unwrap();
    assert_eq!(last.detail, "196 frames of talk, not recorded: no key");
}

#[test]
fn a_recording_that_began_late_is_named_and_says_what_was_wrong_before() {
    let late = ended(vec![failing(true), Step::RecordingBegan]);

    assert_eq!(late.recording_id.as_ref(), Some(&late.id));
    assert_eq!(late.recording.unwrap().frames_lost, None);
    assert_eq!(late.recording_failed.unwrap().what, "no key");
    let told: Vec<_> = late.events.iter().map(|step| step.event.as_str()).collect();
    assert_eq!(told[2..4], ["recording_failed", "recording_began"]);
}
