//! The switchboard's rules, one by one. Whole days are simulated in the crate `tests`.

mod hours;
mod restarted;

use super::*;
use crate::{
    config::{AnswerMode, Destination, NumberRow, SeatPlan, Trunk},
    fact::{End, OfferEnd, Reason, Side},
    seats::PauseReason,
};
use media_core::order::TuneId;
use sip_stack::{Limit, ids::UserId};

const ANA: SeatId = SeatId(0);
const BRUNO: SeatId = SeatId(1);
const SUPPORT: &str = "100";
const DIRECT: &str = "200";
const PBX: &str = "300";

/// A board, its journal place and its clock.
struct Bench {
    board: Switchboard,
    seq: u64,
    now: Stamp,
    next_leg: u64,
    facts: Vec<Fact>,
}

impl Bench {
    fn new() -> Self {
        Self::with_plan(plan())
    }

    fn with_plan(plan: Plan) -> Self {
        let board = Switchboard::new(Arc::new(plan));
        Self { board, seq: 0, now: Stamp(1_000_000), next_leg: 1, facts: Vec::new() }
    }

    fn with_agents(agents: &[SeatId]) -> Self {
        let mut bench = Self::new();
        for &agent in agents {
            bench.pass(1);
            bench.feed(Input::SignedIn(agent));
        }
        bench
    }

    fn feed(&mut self, input: Input) -> Vec<Output> {
        self.seq += 1;
        self.board.handle(&input, self.seq, self.now);
        while let Some(fact) = self.board.poll_fact() {
            self.facts.push(fact);
        }
        std::iter::from_fn(|| self.board.poll_output()).collect()
    }

    /// Lets seconds pass and everything due happen.
    fn pass(&mut self, seconds: u64) -> Vec<Output> {
        let until = self.now + Duration::from_secs(seconds);
        let mut outputs = Vec::new();
        while let Some((due, why)) = self.board.poll_timeout().filter(|(due, _)| *due <= until) {
            self.now = due;
            outputs.extend(self.feed(Input::TimeCame));
            let again = self.board.poll_timeout().is_some_and(|(next, _)| next <= due);
            assert!(!again, "{why}, handled, is due again at once");
        }
        self.now = until;
        outputs
    }

    fn leg(&mut self) -> LegId {
        self.next_leg += 1;
        LegId(self.next_leg)
    }

    fn calls_from(&mut self, source: Source, number: &str) -> (LegId, Vec<Output>) {
        let leg = self.leg();
        let outputs = self.feed(Input::Arrived {
            leg,
            source,
            from: "+5411".into(),
            from_display: None,
            number: number.into(),
            sip_call_id: format!("{leg}@test"),
            max_forwards: 70,
            media: Media::Agreed,
        });
        (leg, outputs)
    }

    fn calls(&mut self, number: &str) -> (LegId, Vec<Output>) {
        self.calls_from(Source::Trunk(TrunkId(0)), number)
    }

    /// One phone rings for each offer in `outputs`.
    fn ring(&mut self, outputs: &[Output]) -> Vec<(SeatId, LegId)> {
        let mut rung = Vec::new();
        for (offer, seat) in dialled(outputs) {
            let leg = self.leg();
            self.feed(Input::Dialled { offer, legs: vec![leg] });
            rung.push((seat, leg));
        }
        rung
    }

    fn ends(&mut self, leg: LegId, cause: Cause) -> Vec<Output> {
        self.feed(Input::LegEnded { leg, cause })
    }

    fn media_ends(&mut self, call: CallId) {
        let at = self.now;
        self.feed(Input::MediaEnded { call, at, recorded: None, quality: Vec::new() });
    }

    fn steps(&self) -> Vec<&Step> {
        let steps = self.facts.iter().map(|fact| match &fact.what {
            What::Call(_, step) => Some(step),
            What::Claim(_) | What::Hours(..) | What::Plan(_) | What::Seat(..) => None,
        });
        steps.flatten().collect()
    }

    fn state(&self, seat: SeatId) -> AgentState {
        self.board.seat_view(seat).state
    }
}

fn plan() -> Plan {
    let seat = |name: &str| SeatPlan { extension: name.into(), ..SeatPlan::named(name) };
    let trunk = |name: &str, address: Option<&str>| Trunk {
        address: address.map(|address| address.parse().unwrap()),
        ..Trunk::named(name)
    };
    let row = |pattern: &str, to| NumberRow::new(pattern, to);
    Plan {
        trunks: vec![trunk("carrier", None), trunk("pbx", Some("127.0.0.11:5080"))],
        seats: vec![seat("ana"), seat("bruno")],
        teams: vec![Team {
            seats: vec![ANA, BRUNO],
            music: Some(TuneId(0)),
            wrap_up: Duration::from_secs(10),
            set_aside: Some(Duration::from_secs(30)),
            record: true,
            ..Team::named("support")
        }],
        numbers: vec![
            row(SUPPORT, Destination::Team(TeamId(0))),
            row(DIRECT, Destination::Seat(ANA)),
            row(PBX, Destination::Trunk(TrunkId(1))),
        ],
        ..Plan::default()
    }
}

fn dialled(outputs: &[Output]) -> Vec<(OfferId, SeatId)> {
    let dial = |output: &Output| {
        if let Output::DialSeat { offer, seat, .. } = output { Some((*offer, *seat)) } else { None }
    };
    outputs.iter().filter_map(dial).collect()
}

fn bridges(outputs: &[Output]) -> Vec<(LegId, LegId)> {
    let bridge = |output: &Output| {
        if let Output::Bridge { caller, other, .. } = output {
            Some((*caller, *other))
        } else {
            None
        }
    };
    outputs.iter().filter_map(bridge).collect()
}

fn hung_up(outputs: &[Output]) -> Vec<LegId> {
    let gone = |output: &Output| {
        if let Output::HangUp { leg, .. } = output { Some(*leg) } else { None }
    };
    outputs.iter().filter_map(gone).collect()
}

fn refused_with(outputs: &[Output]) -> Option<u16> {
    outputs.iter().find_map(|output| {
        if let Output::Refuse { status, .. } = output { Some(*status) } else { None }
    })
}

#[test]
fn a_caller_is_answered_with_music_and_offered_to_who_has_been_idle_longest() {
    let mut bench = Bench::with_agents(&[BRUNO, ANA]);

    let (leg, outputs) = bench.calls(SUPPORT);

    assert_eq!(outputs[0], Output::Ring { leg });
    assert_eq!(outputs[1], Output::Answer { leg });
    assert_eq!(outputs[2], Output::Hear { leg, source: Hears::Music(TuneId(0)) });
    assert_eq!(dialled(&outputs).iter().map(|(_, seat)| *seat).collect::<Vec<_>>(), [BRUNO]);
}

#[test]
fn where_waiting_is_not_billed_the_caller_hears_music_early_and_is_answered_with_the_agent() {
    let mut plan = plan();
    plan.teams[0].answer = AnswerMode::WithAgent;
    let mut bench = Bench::with_plan(plan);
    bench.feed(Input::SignedIn(ANA));

    let (leg, outputs) = bench.calls(SUPPORT);
    assert_eq!(outputs[0], Output::Progress { leg });
    assert_eq!(outputs[1], Output::Hear { leg, source: Hears::Music(TuneId(0)) });
    let phone = bench.ring(&outputs)[0].1;
    assert_eq!(bench.feed(Input::LegRinging(phone)), []);
    let outputs = bench.feed(Input::LegAnswered(phone));

    assert_eq!(outputs[0], Output::Answer { leg });
    assert_eq!(bridges(&outputs), [(leg, phone)]);
}

#[test]
fn nothing_is_promised_when_nobody_is_signed_in_or_the_number_is_not_ours() {
    let mut bench = Bench::new();

    for (number, status) in [(SUPPORT, 480), (DIRECT, 480), ("999", 404)] {
        let (_, outputs) = bench.calls(number);
        assert_eq!(refused_with(&outputs), Some(status), "{number}");
        assert!(!outputs.iter().any(|output| matches!(output, Output::Ring { .. })), "{number}");
    }
}

#[test]
fn a_paused_agent_still_counts_as_signed_in_so_the_caller_waits() {
    let mut bench = Bench::with_agents(&[ANA]);
    bench.feed(Input::Pause { seat: ANA, word: None });

    let (_, outputs) = bench.calls(SUPPORT);
    assert_eq!(refused_with(&outputs), None);
    assert_eq!(dialled(&outputs), []);

    let outputs = bench.feed(Input::Available(ANA));
    assert_eq!(dialled(&outputs).len(), 1);
}

#[test]
fn a_pause_shows_the_words_it_was_asked_for_with_and_being_set_aside_shows_none() {
    let mut bench = Bench::with_agents(&[ANA]);

    bench.feed(Input::Pause { seat: ANA, word: Some("lunch".into()) });
    assert_eq!(bench.board.seat_view(ANA).word.as_deref(), Some("lunch"));

    bench.feed(Input::Available(ANA));
    let (_, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.ends(phone, Cause::Refused { status: 603 });
    assert_eq!(bench.board.seat_view(ANA).word, None);
}

#[test]
fn a_lapsed_offer_gives_its_seat_back_only_when_the_phone_has_nothing_left() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (_, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;

    let outputs = bench.pass(20);
    assert_eq!(hung_up(&outputs), [phone]);
    assert_eq!(bench.state(ANA), AgentState::Offered, "its phone may be answering right now");
    bench.feed(Input::Available(ANA));
    assert_eq!(bench.state(ANA), AgentState::Offered, "nobody but the leg's end frees it");

    bench.ends(phone, Cause::Released);
    assert_eq!(bench.state(ANA), AgentState::Paused);
    assert_eq!(bench.board.seat_view(ANA).reason, Some(PauseReason::NoAnswer));
}

#[test]
fn who_is_set_aside_returns_after_the_teams_time_and_the_first_caller_is_still_first() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (first, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.pass(1);
    bench.calls(SUPPORT);

    bench.pass(20);
    bench.ends(phone, Cause::Released);
    let outputs = bench.pass(30);
    let phone = bench.ring(&outputs)[0].1;
    let outputs = bench.feed(Input::LegAnswered(phone));

    assert_eq!(bridges(&outputs), [(first, phone)]);
}

#[test]
fn a_late_answer_is_hung_up_and_hears_nobody_while_its_caller_talks_to_another() {
    let mut bench = Bench::with_agents(&[ANA, BRUNO]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let late = bench.ring(&outputs)[0].1;
    let outputs = bench.pass(20);
    let other = bench.ring(&outputs)[0].1;

    let outputs = bench.feed(Input::LegAnswered(late));
    assert_eq!((bridges(&outputs), hung_up(&outputs)), (vec![], vec![late]));
    let outputs = bench.feed(Input::LegAnswered(other));
    assert_eq!(bridges(&outputs), [(caller, other)]);
    assert!(bench.steps().iter().any(|step| matches!(step, Step::AnsweredTooLate { .. })));
}

#[test]
fn the_first_of_several_phones_wins_and_the_seat_waits_for_the_last_of_them() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let offer = dialled(&outputs)[0].0;
    let (desk, mobile) = (bench.leg(), bench.leg());
    bench.feed(Input::Dialled { offer, legs: vec![desk, mobile] });

    let outputs = bench.feed(Input::LegAnswered(mobile));
    assert_eq!((bridges(&outputs), hung_up(&outputs)), (vec![(caller, mobile)], vec![desk]));
    bench.ends(mobile, Cause::Bye);
    assert_eq!(bench.state(ANA), AgentState::Busy, "the desk phone has not confirmed");
    bench.ends(desk, Cause::Released);
    assert_eq!(bench.state(ANA), AgentState::WrapUp);
}

#[test]
fn who_leaves_while_a_phone_rings_does_not_free_the_seat_and_costs_the_agent_nothing() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;

    let outputs = bench.ends(caller, Cause::Bye);
    assert_eq!(hung_up(&outputs), [phone]);
    assert_eq!(bench.state(ANA), AgentState::Offered);
    bench.media_ends(CallId(1));
    let (_, outputs) = bench.calls(SUPPORT);
    assert_eq!(dialled(&outputs), []);

    let outputs = bench.ends(phone, Cause::Released);
    assert_eq!(dialled(&outputs).len(), 1, "free at once, for the next caller");
}

#[test]
fn who_declines_is_set_aside_as_declined_and_who_cannot_be_reached_as_unreachable() {
    let cases = [
        (Cause::Refused { status: 486 }, PauseReason::Declined),
        (Cause::Refused { status: 603 }, PauseReason::Declined),
        (Cause::Refused { status: 503 }, PauseReason::Unreachable),
        (Cause::Lost, PauseReason::Unreachable),
    ];
    for (cause, reason) in cases {
        let mut bench = Bench::with_agents(&[ANA]);
        let (_, outputs) = bench.calls(SUPPORT);
        let phone = bench.ring(&outputs)[0].1;

        bench.ends(phone, cause);

        assert_eq!(bench.board.seat_view(ANA).reason, Some(reason), "{cause:?}");
    }
}

#[test]
fn an_agent_without_a_phone_to_ring_is_unreachable_and_the_caller_goes_on() {
    let mut bench = Bench::with_agents(&[ANA, BRUNO]);
    let (_, outputs) = bench.calls(SUPPORT);
    let offer = dialled(&outputs)[0].0;

    let outputs = bench.feed(Input::Dialled { offer, legs: vec![] });

    assert_eq!(dialled(&outputs).iter().map(|(_, seat)| *seat).collect::<Vec<_>>(), [BRUNO]);
    assert_eq!(bench.board.seat_view(ANA).reason, Some(PauseReason::Unreachable));
}

#[test]
fn when_the_agent_hangs_up_the_caller_is_told_and_wrap_up_begins() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));

    let outputs = bench.ends(phone, Cause::Bye);

    assert_eq!(hung_up(&outputs), [caller]);
    assert!(outputs.contains(&Output::EndMedia { call: CallId(1) }));
    assert_eq!(bench.state(ANA), AgentState::WrapUp);
    bench.pass(10);
    assert_eq!(bench.state(ANA), AgentState::Available);
    let over = Step::Over { end: End::Completed, reason: Reason::AgentHungUp };
    assert!(bench.steps().contains(&&over));
}

#[test]
fn wrap_up_is_the_teams_even_if_the_phone_confirms_after_the_story_has_ended() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));

    bench.ends(caller, Cause::Bye);
    bench.media_ends(CallId(1));
    assert_eq!(bench.state(ANA), AgentState::Busy, "its BYE is not answered");
    bench.ends(phone, Cause::Released);

    assert_eq!(bench.state(ANA), AgentState::WrapUp);
    bench.pass(10);
    assert!(bench.board.is_idle());
}

#[test]
fn a_lost_agent_does_not_cost_the_caller_the_call() {
    let mut bench = Bench::with_agents(&[ANA, BRUNO]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));
    bench.feed(Input::LegSilent(phone));

    let outputs = bench.ends(phone, Cause::Lost);

    assert!(matches!(outputs[0], Output::Part { caller_hears: Hears::Music(_), .. }));
    assert_eq!(hung_up(&outputs), []);
    let next = bench.ring(&outputs)[0];
    assert_eq!(next.0, BRUNO);
    let outputs = bench.feed(Input::LegAnswered(next.1));
    assert_eq!(bridges(&outputs), [(caller, next.1)]);
}

#[test]
fn who_falls_silent_in_a_talk_is_asked_again_and_again_until_they_are_heard() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    assert_eq!(bench.feed(Input::LegSilent(caller)), [], "who waits may be silent");
    bench.feed(Input::LegHeard(caller));
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));

    let asked = Output::Check { leg: phone };
    assert_eq!(bench.feed(Input::LegSilent(phone)), std::slice::from_ref(&asked));
    assert_eq!(bench.pass(60), [asked.clone(), asked]);
    bench.feed(Input::LegHeard(phone));
    assert_eq!(bench.pass(60), []);
}

#[test]
fn a_caller_who_fell_silent_in_the_queue_is_asked_when_somebody_answers_them() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    bench.feed(Input::LegSilent(caller));
    let phone = bench.ring(&outputs)[0].1;

    let outputs = bench.feed(Input::LegAnswered(phone));

    assert!(outputs.contains(&Output::Check { leg: caller }), "{outputs:?}");
}

#[test]
fn a_phone_is_its_agent_whatever_it_writes_into_from() {
    let mut bench = Bench::with_agents(&[ANA, BRUNO]);

    bench.calls_from(Source::Phone(UserId(0)), "bruno");

    assert!(
        bench
            .steps()
            .iter()
            .any(|step| { matches!(step, Step::Arrived { from, .. } if from == "ana") })
    );
}

#[test]
fn who_talks_to_a_phone_that_is_lost_is_free_at_once_and_its_seat_when_it_has_let_go() {
    let mut bench = Bench::with_agents(&[ANA, BRUNO]);
    let (_, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));

    let outputs = bench.feed(Input::LegLeft { leg: phone, cause: Cause::Lost });
    assert_eq!(dialled(&outputs).iter().map(|(_, seat)| *seat).collect::<Vec<_>>(), [BRUNO]);
    assert_eq!(bench.state(ANA), AgentState::Busy);
    bench.ends(phone, Cause::Lost);

    assert_eq!(bench.state(ANA), AgentState::Paused);
}

#[test]
fn a_caller_who_left_ends_the_call_before_their_leg_has_ended() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));

    let outputs = bench.feed(Input::LegLeft { leg: caller, cause: Cause::Bye });

    assert!(hung_up(&outputs).contains(&phone));
    assert_eq!(bench.ends(caller, Cause::Bye), []);
}

#[test]
fn a_call_that_has_been_passed_on_too_often_goes_no_further() {
    let mut bench = Bench::new();
    let leg = bench.leg();

    let outputs = bench.feed(Input::Arrived {
        leg,
        source: Source::Trunk(TrunkId(0)),
        from: "1".into(),
        from_display: None,
        number: PBX.into(),
        sip_call_id: "x".into(),
        max_forwards: 0,
        media: Media::Agreed,
    });

    assert_eq!(refused_with(&outputs), Some(483));
}

#[test]
fn hold_plays_the_teams_music_and_resume_brings_the_same_two_together() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));

    let held = bench.feed(Input::Hold(CallId(1)));
    let resumed = bench.feed(Input::Resume(CallId(1)));

    let music = Hears::Music(TuneId(0));
    let part = Output::Part { call: CallId(1), caller_hears: music, other_hears: Hears::Silence };
    assert_eq!(held, [part]);
    assert_eq!(bridges(&resumed), [(caller, phone)]);
}

#[test]
fn a_recording_is_paused_once_and_resumed_once_and_the_story_says_for_how_long() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (_, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    let call = CallId(1);
    assert_eq!(bench.feed(Input::RecordPause(call)), [], "nothing is recorded yet");
    bench.feed(Input::LegAnswered(phone));

    assert_eq!(bench.feed(Input::RecordPause(call)), [Output::RecordPause { call }]);
    assert_eq!(bench.feed(Input::RecordPause(call)), []);
    bench.now = bench.now + Duration::from_millis(3_250);
    assert_eq!(bench.feed(Input::RecordResume(call)), [Output::RecordResume { call }]);
    assert_eq!(bench.feed(Input::RecordResume(call)), []);

    let told = bench.steps();
    let paused = told.iter().filter(|step| ***step == Step::RecordPaused).count();
    assert_eq!(paused, 1, "{told:?}");
    assert!(told.contains(&&Step::RecordResumed { paused_ms: 3_250 }), "{told:?}");
}

#[test]
fn a_call_passed_on_to_a_trunk_is_answered_when_the_trunk_answers() {
    let mut bench = Bench::new();
    let (caller, outputs) = bench.calls(PBX);
    let Some(Output::DialTrunk { offer, .. }) = outputs.first() else { panic!("{outputs:?}") };
    let callee = bench.leg();
    bench.feed(Input::Dialled { offer: *offer, legs: vec![callee] });

    let ringing = bench.feed(Input::LegRinging(callee));
    assert_eq!(ringing, [Output::Ring { leg: caller }]);
    let answered = bench.feed(Input::LegAnswered(callee));

    let record = false;
    let call = CallId(1);
    let bridge = Output::Bridge { call, caller, other: callee, record };
    assert_eq!(answered, [Output::Answer { leg: caller }, bridge]);
}

#[test]
fn a_trunks_own_no_is_passed_on_and_its_troubles_become_503() {
    for (status, told) in [(486, 486), (404, 404), (603, 603), (500, 503), (401, 503)] {
        let mut bench = Bench::new();
        let (_, outputs) = bench.calls(PBX);
        let Some(Output::DialTrunk { offer, .. }) = outputs.first() else { panic!() };
        let callee = bench.leg();
        bench.feed(Input::Dialled { offer: *offer, legs: vec![callee] });

        let outputs = bench.ends(callee, Cause::Refused { status });

        assert_eq!(refused_with(&outputs), Some(told));
    }
}

#[test]
fn a_limit_of_our_own_is_not_told_as_the_trunks_no_and_the_caller_is_told_to_wait() {
    for (limit, reason) in [
        (Limit::TrunkCalls, Reason::TrunkFull),
        (Limit::TrunkRate, Reason::TrunkFull),
        (Limit::Legs, Reason::BoxFull),
    ] {
        let mut bench = Bench::new();
        let (leg, outputs) = bench.calls(PBX);
        let Some(Output::DialTrunk { offer, .. }) = outputs.first() else { panic!() };
        let callee = bench.leg();
        bench.feed(Input::Dialled { offer: *offer, legs: vec![callee] });

        let outputs = bench.ends(callee, Cause::Full { limit });

        let retry_after_seconds = Some(5);
        let no = Output::Refuse { leg, status: 503, retry_after_seconds, warning: None };
        assert!(outputs.contains(&no), "{outputs:?}");
        let (how, to) = (OfferEnd::Full { limit }, Party::Trunk(TrunkId(1)));
        assert!(bench.steps().contains(&&Step::OfferEnded { offer: *offer, to, how }));
        assert!(bench.steps().contains(&&Step::Over { end: End::Congestion, reason }));
    }
}

#[test]
fn a_pause_that_has_not_begun_is_seen_with_its_word_until_it_has() {
    let pause = |bench: &mut Bench, word: &str| {
        bench.feed(Input::Pause { seat: ANA, word: Some(word.into()) });
    };
    let pending = |bench: &Bench| {
        let view = bench.board.seat_view(ANA);
        (view.state, view.pause_pending, view.word)
    };
    let mut bench = Bench::new();
    pause(&mut bench, "later");
    assert_eq!(pending(&bench), (AgentState::Offline, true, Some("later".into())));

    bench.feed(Input::SignedIn(ANA));
    assert_eq!(pending(&bench), (AgentState::Paused, false, Some("later".into())));

    bench.feed(Input::Available(ANA));
    let (caller, outputs) = bench.calls(DIRECT);
    let phone = bench.ring(&outputs)[0].1;
    assert_eq!(pending(&bench), (AgentState::Offered, false, None));
    pause(&mut bench, "lunch");
    assert_eq!(pending(&bench), (AgentState::Offered, true, Some("lunch".into())));
    bench.feed(Input::LegAnswered(phone));
    assert_eq!(pending(&bench), (AgentState::Busy, true, Some("lunch".into())));
    bench.ends(caller, Cause::Bye);
    bench.ends(phone, Cause::Released);
    assert_eq!(pending(&bench), (AgentState::Paused, false, Some("lunch".into())));

    bench.calls_from(Source::Phone(UserId(0)), SUPPORT);
    assert_eq!(pending(&bench), (AgentState::Busy, true, Some("lunch".into())), "their own call");
}

#[test]
fn a_number_of_one_agent_is_busy_while_they_talk_and_not_queued() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (_, outputs) = bench.calls(DIRECT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));

    let (_, outputs) = bench.calls(DIRECT);

    assert_eq!(refused_with(&outputs), Some(486));
}

#[test]
fn an_agent_who_dials_takes_their_own_seat_and_a_second_call_is_busy() {
    let mut bench = Bench::with_agents(&[ANA, BRUNO]);
    let phone = Source::Phone(UserId(0));

    let (leg, outputs) = bench.calls_from(phone, "bruno");
    assert_eq!(bench.state(ANA), AgentState::Busy);
    assert_eq!(bench.state(BRUNO), AgentState::Offered);
    assert_eq!(dialled(&outputs).len(), 1);
    let (_, second) = bench.calls_from(phone, SUPPORT);
    assert_eq!(refused_with(&second), Some(486));

    let other = bench.ring(&outputs)[0].1;
    bench.ends(leg, Cause::Cancelled);
    assert_eq!(bench.state(ANA), AgentState::Available);
    assert_eq!(bench.state(BRUNO), AgentState::Offered);
    bench.ends(other, Cause::Released);
    assert_eq!(bench.state(BRUNO), AgentState::Available);
}

#[test]
fn an_agent_who_dials_themselves_is_told_busy_and_is_free_again() {
    let mut bench = Bench::with_agents(&[ANA]);

    let (leg, outputs) = bench.calls_from(Source::Phone(UserId(0)), "ana");
    assert_eq!(refused_with(&outputs), Some(486));
    bench.ends(leg, Cause::Released);
    bench.media_ends(CallId(1));

    assert_eq!(bench.state(ANA), AgentState::Available);
    assert!(bench.board.is_idle());
}

#[test]
fn who_has_no_codec_in_common_hears_488_and_who_finds_no_port_503() {
    let mut bench = Bench::with_agents(&[ANA]);
    let medias = [
        (Media::NoCodec { code: 305, text: "they offer G729, we allow PCMA, PCMU".into() }, 488),
        (Media::NoPorts, 503),
    ];
    for (media, status) in medias {
        let leg = bench.leg();
        let outputs = bench.feed(Input::Arrived {
            leg,
            source: Source::Trunk(TrunkId(0)),
            from: "1".into(),
            from_display: None,
            number: SUPPORT.into(),
            sip_call_id: "x".into(),
            max_forwards: 70,
            media,
        });
        assert_eq!(refused_with(&outputs), Some(status));
    }
}

#[test]
fn without_room_in_the_media_plane_who_calls_is_told_so_and_who_waits_gets_their_agent() {
    let mut bench = Bench::new();
    bench.feed(Input::SignedIn(ANA));
    let (first, outputs) = bench.calls(SUPPORT);
    let (ana, leg) = bench.ring(&outputs)[0];
    let (second, _) = bench.calls(SUPPORT);
    let overload =
        |on| Input::Overload { on, lateness_us: 90, used_permille: 990, used_p99_permille: 995 };

    assert_eq!(bench.feed(overload(true)), []);
    for (source, number) in [
        (Source::Trunk(TrunkId(0)), SUPPORT),
        (Source::Trunk(TrunkId(0)), DIRECT),
        (Source::Phone(UserId(1)), PBX),
    ] {
        let (caller, outputs) = bench.calls_from(source, number);
        let (status, retry_after_seconds, warning) = (503, Some(5), None);
        let leg = caller;
        let refused = Output::Refuse { leg, status, retry_after_seconds, warning };
        assert_eq!(outputs[0], refused, "before anything rings, and no seat is taken");
        let (end, reason) = (End::Congestion, Reason::Overloaded);
        assert_eq!(bench.steps().last(), Some(&&Step::Over { end, reason }));
    }
    let (_, nowhere) = bench.calls("999");
    assert_eq!(refused_with(&nowhere), Some(404), "there is no room to be had for it");

    let bridged = bench.feed(Input::LegAnswered(leg));
    let is_theirs =
        |output: &Output| matches!(output, Output::Bridge { caller, .. } if *caller == first);
    assert!(bridged.iter().any(is_theirs), "{bridged:?}");
    bench.ends(first, Cause::Bye);
    let mut next = bench.ends(leg, Cause::Released);
    next.extend(bench.pass(60));
    assert_eq!((ana, dialled(&next).len()), (ANA, 1), "{second:?} is offered meanwhile: {next:?}");

    bench.feed(overload(false));
    let (_, taken) = bench.calls(SUPPORT);
    assert_eq!(refused_with(&taken), None);
}

#[test]
fn the_next_process_has_room_whatever_the_last_one_had() {
    let mut bench = Bench::with_agents(&[ANA]);
    bench.feed(Input::Overload {
        on: true,
        lateness_us: 90,
        used_permille: 990,
        used_p99_permille: 995,
    });

    let plan = Arc::clone(bench.board.plan());
    let (last, cut, phones) = (bench.now, BTreeMap::new(), BTreeMap::new());
    bench.feed(Input::Restarted(Restarted { last, cut, plan, phones }));

    assert!(!bench.board.is_overloaded());
    assert_eq!(refused_with(&bench.calls(SUPPORT).1), None);
}

#[test]
fn stopping_hangs_up_everybody_and_says_why() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;

    let outputs = bench.feed(Input::Stop);

    assert_eq!(hung_up(&outputs), [caller, phone]);
    let left = OfferEnd::CallerLeft;
    assert!(
        bench
            .steps()
            .iter()
            .any(|step| matches!(step, Step::OfferEnded { how, .. } if *how == left))
    );
}

/// The story's steps about keys and one-way audio, as they stand in it.
fn told(bench: &mut Bench) -> Vec<Step> {
    let steps = bench
        .facts
        .drain(..)
        .filter_map(|fact| if let What::Call(_, step) = fact.what { Some(step) } else { None });
    let of_voices = |step: &Step| {
        matches!(step, Step::Digit { .. } | Step::OneWayAudio { .. } | Step::TwoWayAudio { .. })
    };
    steps.filter(of_voices).collect()
}

fn digit(leg: LegId) -> Input {
    let digit = Digit::try_from('5').ok();
    Input::LegDigit { leg, digit, duration_ms: 100, at: Stamp(7) }
}

#[test]
fn keys_of_both_sides_are_in_the_story_also_of_who_waits_and_not_without_end() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    told(&mut bench);
    bench.feed(digit(caller));
    bench.feed(digit(phone));
    bench.feed(Input::LegAnswered(phone));
    bench.feed(digit(phone));

    let sides: Vec<_> = told(&mut bench)
        .into_iter()
        .map(|step| if let Step::Digit { side, .. } = step { side } else { panic!("{step:?}") })
        .collect();
    assert_eq!(sides, [Side::Caller, Side::Agent], "a phone that rings has no voice");

    (0..1_000).for_each(|_| _ = bench.feed(digit(caller)));
    assert_eq!(told(&mut bench).len(), 254);
    assert_eq!(bench.feed(digit(LegId(999))), []);
}

#[test]
fn one_way_audio_is_said_with_its_side_and_changes_nothing_else() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    assert_eq!(bench.feed(Input::LegOneWay { leg: caller, since: Stamp(1) }), []);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));
    told(&mut bench);

    assert_eq!(bench.feed(Input::LegOneWay { leg: phone, since: Stamp(3) }), []);
    assert_eq!(bench.feed(Input::LegBothWays(phone)), []);

    let (side, since) = (Side::Agent, Stamp(3));
    assert_eq!(told(&mut bench), [Step::OneWayAudio { side, since }, Step::TwoWayAudio { side }]);
}
