//! Doors that open and close under a board: who comes through, who hears what, and who stays.

use super::*;
use crate::{
    calendar::{Exception, Holiday, Hours, Offset, Span, Weekly, Why, Zone},
    door::{Closed, Door, Found, Passed},
    ids::HoursId,
    time::Ahead,
};

const OFFICE: HoursId = HoursId(0);
const NOTE: TuneId = TuneId(3);
/// 2026-12-01T08:00:00Z, a Tuesday: nine o'clock where the office is.
const NINE: Stamp = Stamp(1_796_112_000_000_000);
const HOUR: u64 = 3_600;

/// From nine to six on weekdays, an hour east of Greenwich.
fn office() -> Hours {
    let open = Span::new((9, 0), (18, 0)).unwrap();
    let offsets = vec![Offset { from: Stamp(0), seconds: 3_600 }];
    Hours {
        name: "office".into(),
        zone: Zone { name: "Europe/Berlin".into(), offsets },
        weekly: (0..5).map(|day| Weekly { day, open }).collect(),
        holidays: vec![],
        exceptions: vec![],
    }
}

/// The team's door; what it says is heard.
fn door(closed: Option<Closed>) -> Door {
    Door { hours: Some(OFFICE), closed }
}

fn with_door(of_team: Door, answer: AnswerMode) -> Plan {
    let mut plan = Plan { hours: vec![office()], ..plan() };
    (plan.teams[0].door, plan.teams[0].answer) = (of_team, answer);
    plan
}

/// Ana is signed in, and it is so many seconds after nine.
fn bench(plan: Plan, after_nine: i64) -> Bench {
    let mut bench = Bench::with_plan(plan);
    bench.now = Stamp(NINE.0.saturating_add_signed(after_nine * 1_000_000));
    bench.feed(Input::SignedIn(ANA));
    bench
}

/// What is played.
fn hears(outputs: &[Output]) -> Option<TuneId> {
    outputs.iter().find_map(
        |output| {
            if let Output::Play { tune, .. } = output { Some(*tune) } else { None }
        },
    )
}

fn is_offered(outputs: &[Output]) -> bool {
    !dialled(outputs).is_empty()
}

fn is_told(bench: &Bench, step: &Step) -> bool {
    bench.steps().contains(&step)
}

#[test]
fn a_team_opens_and_closes_at_its_hours_and_says_so_once() {
    let mut bench = bench(with_door(door(None), AnswerMode::AtOnce), -1);

    let (_, early) = bench.calls(SUPPORT);
    assert_eq!(refused_with(&early), Some(480));
    let over = Step::Over { end: End::Unreachable, reason: Reason::Closed };
    assert!(is_told(&bench, &over));
    bench.pass(1);
    assert!(is_offered(&bench.calls(SUPPORT).1), "at nine sharp");
    let said = bench.facts.iter().filter_map(|fact| {
        let What::Hours(OFFICE, verdict) = &fact.what else { return None };
        Some((fact.at, verdict.open, verdict.until))
    });
    let said: Vec<_> = said.collect();
    let second = Duration::from_secs(1);
    let six = NINE + Duration::from_secs(9 * HOUR);
    assert_eq!(said, [(NINE - second, false, Some(NINE)), (NINE, true, Some(six))]);
}

#[test]
fn a_call_that_comes_before_the_loop_was_woken_finds_the_door_shut_all_the_same() {
    let mut bench = bench(with_door(door(None), AnswerMode::AtOnce), 60);

    // Nobody says that time came.
    bench.now = NINE + Duration::from_secs(9 * HOUR);

    assert_eq!(refused_with(&bench.calls(SUPPORT).1), Some(480));
}

#[test]
fn who_waits_when_it_closes_stays_and_is_served() {
    let mut bench = bench(with_door(door(Some(Closed::Hears(NOTE))), AnswerMode::AtOnce), 60);
    bench.feed(Input::Pause { seat: ANA, word: None });
    let (waiting, _) = bench.calls(SUPPORT);

    bench.pass(9 * HOUR);
    let late = bench.calls(SUPPORT).1;
    let back = bench.feed(Input::Available(ANA));

    assert_eq!(hears(&late), Some(NOTE));
    assert!(is_offered(&back), "who came in time is offered: {waiting:?} {back:?}");
}

#[test]
fn a_closed_message_is_heard_by_the_answer_of_the_team_and_then_the_call_is_let_go() {
    for (answer, answered) in [(AnswerMode::AtOnce, true), (AnswerMode::WithAgent, false)] {
        let mut bench = bench(with_door(door(Some(Closed::Hears(NOTE))), answer), -60);

        let (leg, heard) = bench.calls(SUPPORT);

        let progress = heard.contains(&Output::Progress { leg });
        let answer = heard.contains(&Output::Answer { leg });
        assert_eq!((answer, progress), (answered, !answered), "{heard:?}");
        assert_eq!(heard.last(), Some(&Output::Play { leg, tune: NOTE }), "media is ready first");
        assert_eq!(bench.pass(50), [], "it is as long as it is");
        assert_eq!(bench.feed(Input::MessageEnded { leg, whole: true }), []);
        let end = bench.pass(1);
        match answered {
            true => assert!(end.contains(&Output::HangUp { leg, why: HangUp::Normal }), "{end:?}"),
            false => assert_eq!(refused_with(&end), Some(480)),
        }
        assert!(is_told(&bench, &Step::Heard { whole: true }));
        let over = Step::Over { end: End::Unreachable, reason: Reason::Closed };
        assert!(is_told(&bench, &over), "{:?}", bench.steps());
    }
}

#[test]
fn what_never_ends_is_not_waited_for_longer_than_five_minutes() {
    let mut bench = bench(with_door(door(Some(Closed::Hears(NOTE))), AnswerMode::AtOnce), -7_200);
    let (leg, _) = bench.calls(SUPPORT);

    assert_eq!(bench.pass(299), []);
    assert!(bench.pass(1).contains(&Output::HangUp { leg, why: HangUp::Normal }));
}

#[test]
fn who_hangs_up_while_they_are_told_has_abandoned_nobody_and_leaves_no_deadline() {
    let mut bench = bench(with_door(door(Some(Closed::Hears(NOTE))), AnswerMode::AtOnce), -7_200);
    let (leg, _) = bench.calls(SUPPORT);

    bench.feed(Input::LegEnded { leg, cause: Cause::Bye });

    let over = Step::Over { end: End::Unreachable, reason: Reason::CallerHungUp };
    assert!(is_told(&bench, &over));
    bench.feed(Input::MessageEnded { leg, whole: false });
    assert_eq!(bench.pass(600), []);
}

#[test]
fn nobody_signed_in_hears_the_message_and_the_story_says_which_it_was() {
    let mut bench = bench(with_door(door(Some(Closed::Hears(NOTE))), AnswerMode::AtOnce), 60);
    bench.feed(Input::SignedOut(ANA));

    let (leg, heard) = bench.calls(SUPPORT);
    bench.feed(Input::MessageEnded { leg, whole: true });
    bench.pass(1);

    assert_eq!(hears(&heard), Some(NOTE));
    let team = Some(TeamId(0));
    let nobody = Step::Door(Passed { team, found: Found::NobodySignedIn });
    let over = Step::Over { end: End::Unreachable, reason: Reason::NobodySignedIn };
    assert!(is_told(&bench, &nobody) && is_told(&bench, &over), "{:?}", bench.steps());
}

#[test]
fn a_number_of_its_own_hours_sends_its_calls_elsewhere_at_night() {
    let mut plan = with_door(Door::default(), AnswerMode::AtOnce);
    plan.numbers[0].door = door(Some(Closed::Goes(Destination::Seat(BRUNO))));
    let mut bench = bench(plan, -60);
    bench.feed(Input::SignedIn(BRUNO));

    let (_, night) = bench.calls(SUPPORT);

    assert_eq!(dialled(&night).iter().map(|(_, seat)| *seat).collect::<Vec<_>>(), [BRUNO]);
    let routed = Step::Routed { to: Destination::Seat(BRUNO) };
    assert!(is_told(&bench, &routed));
}

#[test]
fn a_clock_that_is_set_opens_or_closes_at_once_and_says_when_it_changes_next() {
    let mut bench = bench(with_door(door(None), AnswerMode::AtOnce), 60);
    assert_eq!(bench.board.verdicts()[0].until, Some(NINE + Duration::from_secs(9 * HOUR)));

    // It is four in the morning after all.
    let ahead = Ahead(-5 * 3_600_000_000);
    bench.feed(Input::WallClock { ahead });

    assert!(!bench.board.verdicts()[0].open);
    assert_eq!(refused_with(&bench.calls(SUPPORT).1), Some(480));
    let due = bench.board.poll_timeout().map(|(due, _)| due);
    assert_eq!(due, Some(ahead.line(NINE)));
    bench.pass(5 * HOUR);
    assert!(is_offered(&bench.calls(SUPPORT).1));
}

#[test]
fn another_plan_is_looked_at_at_once_and_a_door_that_is_gone_shuts_nobody_out() {
    let mut bench = bench(with_door(door(None), AnswerMode::AtOnce), 60);
    let mut holiday = office();
    holiday.holidays.push(Holiday { year: None, month: 12, day: 1, name: "h".into() });
    let closed = Plan { hours: vec![holiday], ..with_door(door(None), AnswerMode::AtOnce) };

    bench.feed(Input::Replan(Arc::new(closed)));

    assert_eq!(bench.board.verdicts()[0].why, Why::Holiday("h".into()));
    assert_eq!(refused_with(&bench.calls(SUPPORT).1), Some(480));
    bench.feed(Input::Replan(Arc::new(plan())));
    assert_eq!(bench.board.verdicts(), []);
    assert!(is_offered(&bench.calls(SUPPORT).1));
}

#[test]
fn a_snapshot_goes_on_with_the_same_verdicts_and_deadlines() {
    let mut one = bench(with_door(door(Some(Closed::Hears(NOTE))), AnswerMode::AtOnce), -60);
    one.calls(SUPPORT);
    let text = serde_json::to_string(&one.board).unwrap();
    let board: Switchboard = serde_json::from_str(&text).unwrap();

    assert!(board.is_sound());
    assert_eq!(board.poll_timeout(), one.board.poll_timeout());
    assert_eq!(board.verdicts(), one.board.verdicts());
}

#[test]
fn a_plan_whose_doors_lead_nowhere_is_not_sound() {
    let sound =
        with_door(door(Some(Closed::Goes(Destination::Team(TeamId(0))))), AnswerMode::AtOnce);
    assert!(sound.is_sound());
    let mut bad = vec![sound.clone(); 4];
    bad[0].hours.clear();
    bad[1].teams[0].door.closed = Some(Closed::Goes(Destination::Trunk(TrunkId(99))));
    bad[2].numbers[0].door.hours = Some(HoursId(7));
    let date = crate::calendar::Date { year: 2026, month: 13, day: 1 };
    bad[3].hours[0].exceptions.push(Exception { date, open: vec![], name: String::new() });
    for (place, plan) in bad.iter().enumerate() {
        assert!(!plan.is_sound(), "{place}");
    }
}
