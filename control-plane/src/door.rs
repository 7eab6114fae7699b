//! Whether anybody is there for a call, and where it goes when nobody is: the doors of its number and of
//! the teams it comes to, one after the other.

use crate::{
    calendar::Verdict,
    config::{Destination, Plan},
    ids::{HoursId, TeamId},
    route::Row,
};
use media_core::order::TuneId;
use serde::{Deserialize, Serialize};
use sip_stack::event::Source;

/// When somebody is there, and where calls go when nobody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Door {
    /// `None`: always.
    pub hours: Option<HoursId>,
    /// `None`: 480.
    pub closed: Option<Closed>,
}

/// What is done with a call for which nobody is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Closed {
    Goes(Destination),
    /// It hears this to its end, and is let go.
    Hears(TuneId),
}

/// One door that a call came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// `None`: the number's own.
    pub team: Option<TeamId>,
    pub found: Found,
}

/// How it was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    Closed {
        hours: HoursId,
        by: Verdict,
    },
    /// By hours, or in them: whoever could answer is away.
    NobodySignedIn,
    Open {
        hours: HoursId,
        by: Verdict,
    },
}

/// Where a call comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Out {
    /// Whoever hears it: `team` says when it is answered; `None`: as early media.
    Hears {
        tune: TuneId,
        team: Option<TeamId>,
    },
    /// To a door that is shut, and says nothing.
    Shut,
    To(Destination),
}

/// Goes through the doors. `verdicts`: what each calendar says now; `anybody`: whether somebody of a team is
/// signed in.
pub fn go_through(
    plan: &Plan,
    (row, source): (&Row, Source),
    verdicts: &[Verdict],
    anybody: impl Fn(TeamId) -> bool,
) -> (Out, Vec<Passed>) {
    let mut passed: Vec<Passed> = Vec::new();
    let mut to = row.route.to;
    let mut own = Some(row.door);
    loop {
        let team = if let Destination::Team(team) = to { Some(team) } else { None };
        let at = if own.is_some() { None } else { team };
        let door = match own.take() {
            Some(door) => door,
            None => {
                let Some(team) = team else { return (Out::To(to), passed) };
                // Doors that send each other what comes at night have nobody behind them.
                if passed.iter().any(|before| before.team == Some(team) && before.is_shut()) {
                    return (Out::Shut, passed);
                }
                plan.teams.get(usize::from(team.0)).map(|team| team.door).unwrap_or_default()
            }
        };
        let found = at_hours(door, verdicts);
        let shut = matches!(found, Some(Found::Closed { .. }));
        passed.extend(found.map(|found| Passed { team: at, found }));
        let empty = !shut && at.is_some_and(|team| !anybody(team));
        if !shut && !empty {
            match at {
                // Behind the number's door stands the team's.
                None => continue,
                Some(_) => return (Out::To(to), passed),
            }
        }
        if empty && door.closed.is_some() {
            passed.push(Passed { team: at, found: Found::NobodySignedIn });
        }
        match door.closed {
            Some(Closed::Goes(next)) if may_go(plan, row, source, next) => to = next,
            Some(Closed::Hears(tune)) => return (Out::Hears { tune, team }, passed),
            Some(Closed::Goes(_)) => return (Out::Shut, passed),
            // Who is called says that they are away.
            None if empty => return (Out::To(to), passed),
            None => return (Out::Shut, passed),
        }
    }
}

impl Passed {
    fn is_shut(&self) -> bool {
        !matches!(self.found, Found::Open { .. })
    }
}

/// What hours a door has, and what they say.
fn at_hours(door: Door, verdicts: &[Verdict]) -> Option<Found> {
    let hours = door.hours?;
    let by = verdicts.get(usize::from(hours.0))?.clone();
    Some(if by.open { Found::Open { hours, by } } else { Found::Closed { hours, by } })
}

/// Contract §2 holds at night too: to a trunk that breaks out to the telephone network nobody from outside
/// is sent, unless the row names them.
fn may_go(plan: &Plan, row: &Row, source: Source, to: Destination) -> bool {
    let (Source::Trunk(from), Destination::Trunk(trunk)) = (source, to) else { return true };
    let pstn = plan.trunks.get(usize::from(trunk.0)).is_none_or(|trunk| trunk.pstn);
    !pstn || row.from.contains(&from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calendar::Why,
        config::{SeatPlan, Team, Trunk},
        ids::SeatId,
        route::Route,
    };
    use sip_stack::ids::{TrunkId, UserId};

    const CARRIER: Source = Source::Trunk(TrunkId(0));
    const DAY: HoursId = HoursId(0);
    const NIGHT: HoursId = HoursId(1);
    const FRONT: TeamId = TeamId(0);
    const LATE: TeamId = TeamId(1);
    const NOTE: TuneId = TuneId(7);

    fn door(hours: Option<HoursId>, closed: Option<Closed>) -> Door {
        Door { hours, closed }
    }

    /// Two teams behind these doors, a trunk that breaks out, and one that does not.
    fn plan(front: Door, late: Door) -> Plan {
        let team = |name: &str, door| Team { door, ..Team::named(name) };
        let trunk = |name: &str, pstn| Trunk { pstn, ..Trunk::named(name) };
        Plan {
            trunks: vec![trunk("carrier", true), trunk("pbx", false)],
            seats: vec![SeatPlan::named("ana")],
            teams: vec![team("front", front), team("late", late)],
            ..Plan::default()
        }
    }

    fn row(door: Door, to: Destination) -> Row {
        Row { place: None, route: Route { to, record: None }, door, from: vec![] }
    }

    fn verdict(open: bool) -> Verdict {
        Verdict { open, why: Why::Week, until: None }
    }

    /// Where it comes out, and what each door on the way was: its team, open or not.
    fn goes(
        plan: &Plan,
        row: &Row,
        open: [bool; 2],
        signed_in: &[TeamId],
    ) -> (Out, Vec<(Option<TeamId>, &'static str)>) {
        let anybody = |team| signed_in.contains(&team);
        let (out, passed) = go_through(plan, (row, CARRIER), &open.map(verdict), anybody);
        let word = |found: &Found| match found {
            Found::Closed { .. } => "closed",
            Found::NobodySignedIn => "nobody",
            Found::Open { .. } => "open",
        };
        (out, passed.iter().map(|passed| (passed.team, word(&passed.found))).collect())
    }

    #[test]
    fn a_number_and_its_team_have_a_door_each_and_both_must_be_open() {
        let to = Destination::Team(FRONT);
        let hears = |tune| Some(Closed::Hears(tune));
        let plan = plan(door(Some(DAY), hears(NOTE)), Door::default());
        let number = row(door(Some(NIGHT), hears(TuneId(8))), to);
        let all = [FRONT, LATE];

        let (through, shut) = ((None, "open"), (Some(FRONT), "closed"));
        let team = Some(FRONT);
        for (open, out, doors) in [
            ([true, true], Out::To(to), vec![through, (team, "open")]),
            ([false, true], Out::Hears { tune: NOTE, team }, vec![through, shut]),
            ([true, false], Out::Hears { tune: TuneId(8), team }, vec![(None, "closed")]),
        ] {
            assert_eq!(goes(&plan, &number, open, &all), (out, doors), "{open:?}");
        }
        assert_eq!(goes(&plan, &row(Door::default(), to), [true; 2], &all).0, Out::To(to));
    }

    #[test]
    fn a_closed_door_leads_to_a_team_an_agent_or_a_trunk_and_the_next_door_counts() {
        let to = Destination::Team(FRONT);
        for next in
            [Destination::Team(LATE), Destination::Seat(SeatId(0)), Destination::Trunk(TrunkId(1))]
        {
            let late = door(Some(NIGHT), Some(Closed::Hears(NOTE)));
            let plan = plan(door(Some(DAY), Some(Closed::Goes(next))), late);
            let number = row(Door::default(), to);

            assert_eq!(goes(&plan, &number, [false, true], &[LATE]).0, Out::To(next));
        }
        let late = door(Some(NIGHT), Some(Closed::Hears(NOTE)));
        let plan = plan(door(Some(DAY), Some(Closed::Goes(Destination::Team(LATE)))), late);
        let (out, doors) = goes(&plan, &row(Door::default(), to), [false, false], &[LATE]);
        assert_eq!(out, Out::Hears { tune: NOTE, team: Some(LATE) });
        assert_eq!(doors, [(Some(FRONT), "closed"), (Some(LATE), "closed")]);
    }

    #[test]
    fn nobody_signed_in_is_a_closed_door_for_who_has_something_to_say() {
        let to = Destination::Team(FRONT);
        let number = row(Door::default(), to);
        let says = plan(door(Some(DAY), Some(Closed::Hears(NOTE))), Door::default());

        let (out, doors) = goes(&says, &number, [true; 2], &[]);

        assert_eq!(out, Out::Hears { tune: NOTE, team: Some(FRONT) });
        assert_eq!(doors, [(Some(FRONT), "open"), (Some(FRONT), "nobody")]);
        let silent = plan(door(Some(DAY), None), Door::default());
        assert_eq!(goes(&silent, &number, [true; 2], &[]).0, Out::To(to), "they are told 480");
        assert_eq!(goes(&silent, &number, [false, true], &[FRONT]).0, Out::Shut);
    }

    #[test]
    fn doors_that_send_each_other_everybody_let_go_who_has_been_at_both() {
        let to = |team| Some(Closed::Goes(Destination::Team(team)));
        let plan = plan(door(Some(DAY), to(LATE)), door(Some(NIGHT), to(FRONT)));
        let number = row(Door::default(), Destination::Team(FRONT));

        assert_eq!(
            goes(&plan, &number, [false, true], &[LATE]).0,
            Out::To(Destination::Team(LATE))
        );
        let (out, doors) = goes(&plan, &number, [false, false], &[FRONT, LATE]);
        assert_eq!((out, doors.len()), (Out::Shut, 2));
    }

    #[test]
    fn nobody_from_outside_is_sent_out_again_at_night_unless_the_row_names_them() {
        let pstn = Destination::Trunk(TrunkId(0));
        let plan = plan(door(Some(DAY), Some(Closed::Goes(pstn))), Door::default());
        let number = row(Door::default(), Destination::Team(FRONT));
        let named = Row { from: vec![TrunkId(0)], ..number.clone() };
        let closed = [verdict(false), verdict(false)];
        let goes = |row: &Row, source| go_through(&plan, (row, source), &closed, |_| true).0;

        assert_eq!(goes(&number, CARRIER), Out::Shut);
        assert_eq!(goes(&named, CARRIER), Out::To(pstn));
        assert_eq!(goes(&number, Source::Phone(UserId(0))), Out::To(pstn));
    }
}
