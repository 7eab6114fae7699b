//! What a board makes of the end of its process.

use super::*;

impl Bench {
    fn restart(&mut self, last: Stamp, cut: BTreeMap<CallId, Cut>, plan: Plan) -> Vec<Output> {
        self.feed(Input::Restarted(Restarted {
            last,
            cut,
            plan: Arc::new(plan),
            phones: BTreeMap::new(),
        }))
    }

    /// When and how each story ended.
    fn endings(&self) -> Vec<(Stamp, Option<Recorded>)> {
        let ends = self.facts.iter().filter_map(|fact| match &fact.what {
            What::Call(_, Step::Ended { recorded, .. }) => Some((fact.at, *recorded)),
            What::Call(..) | What::Claim(_) | What::Hours(..) | What::Plan(_) | What::Seat(..) => {
                None
            }
        });
        ends.collect()
    }
}

#[test]
fn every_call_ends_when_it_was_last_heard_and_every_leg_is_told() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (talking, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));
    let (waiting, _) = bench.calls(SUPPORT);
    bench.pass(5);
    let last = bench.now;
    bench.pass(60);
    let recorded = Some(Recorded { frames: 400, lost: 0, paused: 0 });
    let heard_until = last + Duration::from_millis(300);
    let cut = BTreeMap::from([(CallId(1), Cut { heard_until, recorded })]);

    let outputs = bench.restart(last, cut, plan());

    assert_eq!(bench.endings(), [(heard_until, recorded), (last, None)]);
    let over = |fact: &&Fact| matches!(fact.what, What::Call(_, Step::Over { .. }));
    let over: Vec<_> = bench.facts.iter().filter(over).map(|fact| fact.at).collect();
    assert_eq!(over, [heard_until, last], "over when it ended, not when that was found");
    assert_eq!(hung_up(&outputs), [talking, phone, waiting]);
    assert_eq!(outputs.len(), 3, "nothing is ordered of media that is gone: {outputs:?}");
    let failed = |output: &Output| matches!(output, Output::HangUp { why: HangUp::Failed, .. });
    assert!(outputs.iter().all(failed), "{outputs:?}");
    assert_eq!(bench.state(ANA), AgentState::Busy, "until her phone has let go");
    bench.ends(phone, Cause::Released);
    assert_eq!(bench.state(ANA), AgentState::WrapUp);
    bench.ends(talking, Cause::Released);
    bench.ends(waiting, Cause::Released);
    assert!(bench.board.is_idle());
}

#[test]
fn what_was_not_to_be_recorded_when_the_process_died_is_counted_as_that() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (_, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));
    bench.pass(2);
    bench.feed(Input::RecordPause(CallId(1)));
    bench.pass(1);
    bench.feed(Input::RecordResume(CallId(1)));
    bench.pass(1);
    bench.feed(Input::RecordPause(CallId(1)));
    let heard_until = bench.now + Duration::from_secs(2);
    let recorded = Some(Recorded { frames: 300, lost: 0, paused: 0 });
    let cut = BTreeMap::from([(CallId(1), Cut { heard_until, recorded })]);

    bench.restart(bench.now, cut, plan());

    let recorded = Some(Recorded { frames: 300, lost: 0, paused: 150 });
    assert_eq!(bench.endings(), [(heard_until, recorded)]);
}

#[test]
fn a_caller_without_an_answer_hears_503_and_when_to_ask_again() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(DIRECT);
    bench.ring(&outputs);

    let outputs = bench.restart(bench.now, BTreeMap::new(), plan());

    let told = outputs.iter().any(|output| {
        matches!(output, Output::Refuse { leg, status: 503, retry_after_seconds: Some(_), .. }
            if *leg == caller)
    });
    assert!(told, "{outputs:?}");
    assert_eq!(bench.state(ANA), AgentState::Offered, "her phone may still ring");
}

#[test]
fn an_order_to_end_a_leg_that_may_have_come_to_nothing_is_given_again() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (_, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.pass(20);

    let outputs = bench.restart(bench.now, BTreeMap::new(), plan());

    assert!(hung_up(&outputs).contains(&phone), "{outputs:?}");
}

#[test]
fn who_was_asked_for_and_never_dialled_is_free() {
    let mut bench = Bench::with_agents(&[ANA]);
    bench.calls(SUPPORT);
    assert_eq!(bench.state(ANA), AgentState::Offered);

    bench.restart(bench.now, BTreeMap::new(), plan());

    assert_eq!(bench.state(ANA), AgentState::Available);
}

#[test]
fn a_call_that_was_over_keeps_its_reason() {
    let mut bench = Bench::with_agents(&[ANA]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));
    bench.ends(caller, Cause::Bye);

    bench.restart(bench.now, BTreeMap::new(), plan());

    let over: Vec<_> =
        bench.steps().into_iter().filter(|step| matches!(step, Step::Over { .. })).collect();
    assert_eq!(over, [&Step::Over { end: End::Completed, reason: Reason::CallerHungUp }]);
    assert_eq!(bench.endings().len(), 1);
}

#[test]
fn pauses_wrap_up_and_claims_are_their_agents_wherever_these_stand_in_the_next_plan() {
    let mut bench = Bench::with_agents(&[ANA, BRUNO]);
    bench.feed(Input::Pause { seat: BRUNO, word: Some("lunch".into()) });
    let (_, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));
    let mut other = plan();
    other.seats.reverse();
    other.teams.insert(0, Team { name: "sales".into(), seats: vec![], ..other.teams[0].clone() });

    bench.restart(bench.now, BTreeMap::new(), other);

    assert_eq!(
        (bench.state(SeatId(0)), bench.state(SeatId(1))),
        (AgentState::Paused, AgentState::Busy)
    );
    assert_eq!(bench.board.seat_view(SeatId(0)).word.as_deref(), Some("lunch"));
    bench.ends(phone, Cause::Released);
    assert_eq!(bench.state(SeatId(1)), AgentState::WrapUp, "by the rules of her own team");
    bench.pass(10);
    assert_eq!(bench.state(SeatId(1)), AgentState::Available);
}

#[test]
fn the_seat_of_an_agent_who_is_gone_goes_with_them() {
    let mut bench = Bench::with_agents(&[ANA, BRUNO]);
    let (caller, outputs) = bench.calls(SUPPORT);
    let phone = bench.ring(&outputs)[0].1;
    bench.feed(Input::LegAnswered(phone));
    let mut other = plan();
    other.seats.remove(0);
    other.teams[0].seats = vec![SeatId(0)];
    other.numbers.truncate(1);

    let outputs = bench.restart(bench.now, BTreeMap::new(), other);

    assert_eq!(hung_up(&outputs), [caller, phone], "both are told");
    assert_eq!(bench.state(SeatId(0)), AgentState::Available, "bruno");
    bench.ends(phone, Cause::Released);
    bench.ends(caller, Cause::Released);
    assert!(bench.board.is_idle());
}

#[test]
fn a_late_answer_is_of_the_trunk_of_that_name_and_of_nobody_if_that_is_gone() {
    let late = |next: fn(&mut Plan)| {
        let mut bench = Bench::with_agents(&[]);
        let (_, outputs) = bench.calls(PBX);
        let offer = outputs.iter().find_map(|output| {
            if let Output::DialTrunk { offer, .. } = output { Some(*offer) } else { None }
        });
        let leg = bench.leg();
        bench.feed(Input::Dialled { offer: offer.unwrap(), legs: vec![leg] });
        let mut other = plan();
        next(&mut other);
        bench.restart(bench.now, BTreeMap::new(), other);
        let before = bench.facts.len();
        bench.feed(Input::LegAnswered(leg));
        bench.ends(leg, Cause::Released);
        let told = bench.facts[before..].iter().filter_map(|fact| match fact.what {
            What::Call(_, Step::AnsweredTooLate { to, .. }) => Some(to),
            What::Call(..) | What::Claim(_) | What::Hours(..) | What::Plan(_) | What::Seat(..) => {
                None
            }
        });
        told.collect::<Vec<_>>()
    };

    let swapped = late(|plan| plan.trunks.swap(0, 1));
    let gone = late(|plan| plan.trunks[1].name = "another".into());

    assert_eq!(swapped, [Party::Trunk(TrunkId(0))], "pbx is first now");
    assert_eq!(gone, [], "what stands in its place is another trunk");
}
