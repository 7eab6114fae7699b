//! One decision: a caller arrives and an agent is offered, with more agents and more who wait.

use clavija_benches::{cpu, race};
use control_plane::{
    config::{Destination, NumberRow, Plan, SeatPlan, Team, Trunk},
    ids::{SeatId, TeamId},
    switchboard::{Input, Media, Output, Switchboard},
    time::Stamp,
};
use sip_stack::{
    event::Source,
    ids::{LegId, TrunkId},
};
use std::{hint::black_box, sync::Arc, time::Duration};

/// Agents of this team are free.
const SUPPORT: &str = "100";

/// The one agent of this team is paused, so its callers wait.
const SALES: &str = "200";

/// Decisions on one board before it is made anew: half of the agents at most are taken.
const DECISIONS: u64 = 50;

/// A board, its journal place and its clock.
struct Bench {
    board: Switchboard,
    seq: u64,
}

impl Bench {
    fn new(plan: &Arc<Plan>, waiting: u64) -> Self {
        let mut bench = Self { board: Switchboard::new(plan.clone()), seq: 0 };
        let seats = u16::try_from(plan.seats.len()).expect("a few");
        (0..seats).for_each(|seat| _ = bench.feed(&Input::SignedIn(SeatId(seat))));
        bench.feed(&Input::Pause { seat: SeatId(seats - 1), word: None });
        for leg in 0..waiting {
            let offers = bench.feed(&arrived(1_000_000 + leg, SALES));
            assert_eq!(offers, 0, "this caller waits");
        }
        bench
    }

    /// Returns how many agents are rung.
    fn feed(&mut self, input: &Input) -> u64 {
        self.seq += 1;
        self.board.handle(input, self.seq, Stamp(1_000_000 + self.seq));
        let mut offers = 0;
        while let Some(output) = self.board.poll_output() {
            offers += u64::from(matches!(black_box(output), Output::DialSeat { .. }));
        }
        while let Some(fact) = self.board.poll_fact() {
            black_box(fact);
        }
        offers
    }
}

fn arrived(leg: u64, number: &str) -> Input {
    Input::Arrived {
        leg: LegId(leg),
        source: Source::Trunk(TrunkId(0)),
        from: "+541144440001".to_owned(),
        from_display: None,
        number: number.to_owned(),
        sip_call_id: format!("{leg}@192.0.2.1"),
        max_forwards: 70,
        media: Media::Agreed,
    }
}

/// So many agents in one team, and one more in another.
fn plan(agents: u16) -> Arc<Plan> {
    let seat = |number: u16| SeatPlan {
        extension: format!("{}", 10_000 + u32::from(number)),
        ..SeatPlan::named(format!("agent-{number}"))
    };
    let team = |name: &str, seats: Vec<SeatId>| Team {
        seats,
        wrap_up: Duration::from_secs(10),
        set_aside: None,
        record: true,
        ..Team::named(name)
    };
    let row = |pattern: &str, team| NumberRow {
        from: Vec::new(),
        ..NumberRow::new(pattern, Destination::Team(TeamId(team)))
    };
    Arc::new(Plan {
        trunks: vec![Trunk::named("carrier")],
        seats: (0..=agents).map(seat).collect(),
        teams: vec![
            team("support", (0..agents).map(SeatId).collect()),
            team("sales", vec![SeatId(agents)]),
        ],
        numbers: vec![row(SUPPORT, 0), row(SALES, 1)],
        ..Plan::default()
    })
}

/// Times of arrivals alone; boards are made between.
fn arrivals(agents: u16, waiting: u64) -> impl FnMut(u64) -> Duration {
    let plan = plan(agents);
    move |times| {
        let (mut left, mut took) = (times, Duration::ZERO);
        while left > 0 {
            let mut bench = Bench::new(&plan, waiting);
            let inputs: Vec<Input> =
                (0..left.min(DECISIONS)).map(|n| arrived(n, SUPPORT)).collect();
            let mut offers = 0;
            took += cpu::span(|| inputs.iter().for_each(|input| offers += bench.feed(input)));
            assert_eq!(offers, left.min(DECISIONS), "each of them is offered");
            left -= offers;
        }
        took
    }
}

/// Who waits longest is offered to an agent who comes back, while so many wait.
fn returns(agents: u16, waiting: u64) -> impl FnMut(u64) -> Duration {
    let plan = plan(agents);
    move |times| {
        let (mut left, mut took) = (times, Duration::ZERO);
        while left > 0 {
            let mut bench = Bench::new(&plan, 0);
            let batch = u16::try_from(left.min(DECISIONS)).expect("at most DECISIONS");
            (0..agents)
                .for_each(|seat| _ = bench.feed(&Input::Pause { seat: SeatId(seat), word: None }));
            for leg in 0..waiting + u64::from(batch) {
                assert_eq!(bench.feed(&arrived(leg, SUPPORT)), 0, "this caller waits");
            }
            let mut offers = 0;
            took += cpu::span(|| {
                (0..batch).for_each(|n| offers += bench.feed(&Input::Available(SeatId(n))));
            });
            assert_eq!(offers, u64::from(batch), "each of them is offered a caller");
            left -= offers;
        }
        took
    }
}

fn main() {
    let mut criterion = race::criterion();
    race::Race::new("a caller arrives and is offered")
        .add_timed("100 agents, nobody waits", arrivals(100, 0))
        .add_timed("100 agents, 1,000 wait elsewhere", arrivals(100, 1_000))
        .add_timed("1,000 agents, nobody waits", arrivals(1_000, 0))
        .add_timed("1,000 agents, 1,000 wait elsewhere", arrivals(1_000, 1_000))
        .run(&mut criterion);
    race::Race::new("an agent comes back and is offered who waits longest")
        .add_timed("100 agents, one to fifty wait", returns(100, 0))
        .add_timed("100 agents, 1,000 wait", returns(100, 1_000))
        .add_timed("1,000 agents, 1,000 wait", returns(1_000, 1_000))
        .run(&mut criterion);
    criterion.final_summary();
}
