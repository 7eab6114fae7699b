//! What the view makes of facts.

use super::{
    test_plan::{self, Story},
    *,
};
use control_plane::{
    config::Destination,
    fact::{End, OfferEnd, Party, Reason, Side},
    ids::OfferId,
};
use media_core::order::Digit;
use sip_stack::Limit;
use std::time::Duration;

fn view() -> View {
    View::new(Arc::new(test_plan::plan()))
}

fn seat(state: AgentState, reason: Option<PauseReason>, call: Option<CallId>) -> What {
    What::Seat(SeatId(0), SeatView { state, reason, word: None, pause_pending: false, call })
}

fn fact(at: u64, what: What) -> Fact {
    Fact { seq: at, at: Stamp(at), what }
}

#[test]
fn an_agent_nobody_has_heard_of_is_offline_since_never() {
    let agent = view().agent("ana").unwrap();

    assert_eq!((agent.state, agent.since), ("offline", None));
    assert_eq!(agent.team_names, ["support"]);
    assert_eq!(view().agent("nobody"), None);
}

#[test]
fn an_agents_since_moves_only_when_something_changes() {
    let mut view = view();
    let paused = || seat(AgentState::Paused, Some(PauseReason::NoAnswer), None);

    view.apply(&fact(1_000_000, paused()));
    view.apply(&fact(2_000_000, paused()));

    let agent = view.agent("ana").unwrap();
    assert_eq!(agent.reason.as_deref(), Some("no_answer"));
    assert_eq!(agent.since.as_deref(), Some("1970-01-01T00:00:01.000000Z"));
}

#[test]
fn a_pause_that_has_not_begun_is_shown_beside_the_state_which_goes_on() {
    let mut view = view();
    let busy = |word: Option<&str>, pause_pending| {
        let (call, word) = (Some(CallId(7)), word.map(str::to_owned));
        let is = SeatView { state: AgentState::Busy, reason: None, word, pause_pending, call };
        What::Seat(SeatId(0), is)
    };
    let shown = |view: &View| {
        let agent = view.agent("ana").unwrap();
        assert_eq!((agent.state, agent.reason), ("busy", None));
        assert_eq!(agent.since.as_deref(), Some("1970-01-01T00:00:01.000000Z"));
        agent.pause_pending
    };

    view.apply(&fact(1_000_000, busy(None, false)));
    assert_eq!(shown(&view), None);
    view.apply(&fact(2_000_000, busy(Some("lunch"), true)));
    assert_eq!(shown(&view).as_deref(), Some("lunch"));
    view.apply(&fact(3_000_000, busy(None, true)));
    assert_eq!(shown(&view).as_deref(), Some("requested"));
}

#[test]
fn a_caller_waits_from_the_queue_to_a_voice() {
    let mut view = view();
    let mut story = Story::new(CallId(1), Stamp(10_000_000));
    let waiting = |view: &View, now| {
        let queue = view.queues(now).remove(0);
        (queue.waiting, queue.longest_wait_seconds)
    };

    story.queued().into_iter().for_each(|fact| drop(view.apply(&fact)));
    let now = story.at() + Duration::from_secs(5);
    assert_eq!(waiting(&view, now), (1, 5.0));
    story.offered().into_iter().for_each(|fact| drop(view.apply(&fact)));
    assert_eq!(waiting(&view, now).0, 1, "an offer is no voice");
    story.talking().into_iter().for_each(|fact| drop(view.apply(&fact)));
    assert_eq!(waiting(&view, now), (0, 0.0));
    assert_eq!(view.talking(), 1);
    view.apply(&story.tell(Step::Requeued));
    assert_eq!(waiting(&view, story.at() + Duration::from_secs(2)), (1, 2.0), "the agent was lost");
}

#[test]
fn an_ended_call_leaves_the_active_ones_and_is_found_by_its_id() {
    let mut view = view();
    let ended = test_plan::whole_call(CallId(7)).iter().filter_map(|fact| view.apply(fact)).count();

    assert_eq!(ended, 1);
    assert!(view.calls(Which::Active, 10).is_empty());
    assert_eq!(view.calls(Which::Ended, 10).len(), 1);
    assert_eq!(view.call(CallId(7)).unwrap().id, "call-00000007");
    assert_eq!(view.call(CallId(8)), None);
}

#[test]
fn records_that_are_written_are_asked_for_after_a_journal_record_or_from_a_time_on() {
    let mut view = view();
    for call in 1..=4 {
        test_plan::whole_call(CallId(call)).iter().for_each(|fact| drop(view.apply(fact)));
    }
    for id in ["call-00000001", "call-00000002", "call-00000003"] {
        view.set_durable(id, true);
    }
    let ids = |since| -> Vec<String> {
        view.cdrs(since, 10).iter().map(|record| record.id.clone()).collect()
    };
    let all = view.cdrs(Since::Beginning, 10);

    assert_eq!(ids(Since::Beginning), ["call-00000001", "call-00000002", "call-00000003"]);
    assert_eq!(ids(Since::Seq(all[1].seq)), ["call-00000003"]);
    assert_eq!(ids(Since::Time(all[1].ended_at.unwrap())), ["call-00000002", "call-00000003"]);
    assert_eq!(view.cdrs(Since::Beginning, 2).len(), 2);
}

#[test]
fn a_call_says_by_which_trunk_it_came_and_by_which_it_went_and_that_our_own_limit_ended_it() {
    let mut view = view();
    let mut story = Story::new(CallId(1), Stamp(10_000_000));
    let (offer, to) = (OfferId(1), Party::Trunk(TrunkId(1)));
    let how = OfferEnd::Full { limit: Limit::TrunkCalls };
    story.queued().into_iter().take(1).for_each(|fact| drop(view.apply(&fact)));
    for step in [
        Step::Routed { to: Destination::Trunk(TrunkId(1)) },
        Step::Offered { offer, to },
        Step::OfferEnded { offer, to, how },
        Step::Over { end: End::Congestion, reason: Reason::TrunkFull },
    ] {
        view.apply(&story.tell(step));
    }

    let record = view.call(CallId(1)).unwrap();

    let trunks = (record.trunk.as_deref(), record.trunk_out.as_deref());
    assert_eq!(trunks, (Some("carrier"), Some("pbx")));
    assert_eq!(record.events[3].detail, "to trunk pbx: not sent, calls_max is reached");
    assert_eq!(record.end_reason.as_deref(), Some("trunk_full"));
}

#[test]
fn a_trunk_shows_what_its_limit_counts_and_the_limit() {
    let loads = [3, 1].map(|calls| TrunkLoad { calls, calls_max: 30 });

    let shown = view().trunks(&loads);

    let counts: Vec<_> = shown.iter().map(|t| (t.calls_active, t.calls_max)).collect();
    assert_eq!(counts, [(3, 30), (1, 30)]);
}

#[test]
fn a_story_is_in_order_of_time_whenever_its_steps_were_heard_of() {
    let mut view = view();
    let mut story = Story::new(CallId(1), Stamp(10_000_000));
    story.queued().into_iter().for_each(|fact| drop(view.apply(&fact)));
    let held = story.tell(Step::Held);
    let pressed = Stamp(held.at.0 - 40_000);
    let side = Side::Caller;
    let key = story.tell(Step::Digit { side, digit: Digit::try_from('5').ok(), duration_ms: 80 });
    let key = Fact { at: pressed, ..key };
    let over = story.tell(Step::Over { end: End::Completed, reason: Reason::CallerHungUp });
    let ended = story.tell(Step::Ended { recorded: None, quality: vec![] });
    let last_sound = Stamp(over.at.0 - 200_000);
    let ended = Fact { at: last_sound, ..ended };
    for fact in [held, key, over, ended] {
        view.apply(&fact);
    }

    let record = view.call(CallId(1)).unwrap();

    let told: Vec<_> = record.events[4..].iter().map(|step| step.event.as_str()).collect();
    assert_eq!(told, ["digit", "held", "over", "ended"]);
    assert!(record.events[..record.events.len() - 1].is_sorted_by_key(|step| step.at));
    let end = record.events.last().and_then(|step| step.at);
    assert_eq!((end, record.ended_at), (Some(last_sound), Some(last_sound)), "the last sound's");
}

#[test]
fn only_so_many_ended_calls_are_kept_and_the_oldest_goes_first() {
    let mut view = view();
    let facts = test_plan::whole_call(CallId(1));
    let ended: Vec<_> = facts.iter().filter_map(|fact| view.apply(fact)).collect();
    let record = CallRecord { durable: Some(true), ..ended[0].clone() };

    for call in 0..ENDED_MAX as u64 {
        let id = CallId(100 + call).to_string();
        view.load_ended(CallRecord { id, seq: 1_000 + call, ..record.clone() });
    }

    let kept = view.cdrs(Since::Beginning, usize::MAX);
    assert_eq!((kept.len(), kept[0].seq), (ENDED_MAX, 1_000));
    assert_eq!(view.call(CallId(1)), None, "the oldest");
    assert_eq!(view.call(CallId(100)).unwrap().seq, 1_000);
    assert_eq!(view.call(CallId(10_099)).unwrap().seq, 10_999);
}

#[test]
fn who_is_taken_out_is_shown_until_their_call_has_ended_and_who_is_new_at_once() {
    let mut view = view();
    let mut next = test_plan::plan();
    next.seats[0].name = "anabel".to_owned();
    next.trunks.pop();
    let next = Arc::new(view.plan().succeeded_by(&next).unwrap().plan);
    view.apply(&fact(1, seat(AgentState::Busy, None, Some(CallId(7)))));

    view.apply(&fact(2, What::Plan(next)));

    let names = |view: &View| -> Vec<String> {
        view.agents().into_iter().map(|agent| agent.name).collect()
    };
    assert_eq!(names(&view), ["ana", "bruno", "anabel"]);
    assert_eq!(view.seat("anabel"), Some(SeatId(2)));
    assert_eq!(view.trunks(&[]).len(), 1);
    view.apply(&fact(3, seat(AgentState::Offline, None, None)));
    assert_eq!(names(&view), ["bruno", "anabel"]);
    assert_eq!((view.agent("ana"), view.seat("ana")), (None, None));
}
