//! Where a call would go, and why: the way of a call without a call.

use crate::{
    calendar::Verdict,
    cdr::{destination_name, door_text, source_name},
    config::{AnswerMode, Destination, Plan},
    door::{Out, go_through},
    route::{Row, route},
    time::Stamp,
};
use media_core::order::TuneId;
use sip_stack::event::Source;

/// What would become of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    pub end: End,
    /// Each decision on the way, in words.
    pub why: Vec<String>,
}

/// Where it comes out, as if everybody were signed in and free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Goes(Destination),
    /// It hears this, answered or as early media, and is let go.
    Hears {
        tune: TuneId,
        answered: bool,
    },
    /// It is refused with this status.
    Refused(u16),
}

/// A call from there to that number, at this moment of the wall clock.
pub fn explain(
    plan: &Plan,
    source: Source,
    (from, number): (&str, &str),
    wall: Stamp,
) -> Explained {
    let mut why = vec![format!("{from} dialled {number}, by {}", source_name(plan, source))];
    let Some(row) = route(plan, source, number) else {
        why.push("no number and no extension that is open to it: 404".to_owned());
        return Explained { end: End::Refused(404), why };
    };
    why.push(rule(plan, &row));
    let verdicts: Vec<Verdict> = plan.hours.iter().map(|hours| hours.at(wall)).collect();
    let (out, passed) = go_through(plan, (&row, source), &verdicts, |_| true);
    why.extend(passed.iter().map(|passed| door_text(plan, passed)));
    let end = match out {
        Out::To(to) => {
            why.push(format!("it goes to {}", destination_name(plan, to)));
            End::Goes(to)
        }
        Out::Shut => {
            why.push("there is no message and nowhere to go from there: 480".to_owned());
            End::Refused(480)
        }
        Out::Hears { tune, team } => {
            let team = team.and_then(|team| plan.teams.get(usize::from(team.0)));
            let answered = team.is_some_and(|team| team.answer == AnswerMode::AtOnce);
            why.push(match answered {
                true => "it is answered, hears the message to its end, and is hung up".to_owned(),
                false => "it hears the message to its end before any answer, then 480".to_owned(),
            });
            End::Hears { tune, answered }
        }
    };
    Explained { end, why }
}

fn rule(plan: &Plan, row: &Row) -> String {
    let to = destination_name(plan, row.route.to);
    match row.place.and_then(|place| plan.numbers.get(place)) {
        Some(number) => format!("the row {:?} leads to {to}", number.pattern),
        None => format!("as an extension it is {to}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        calendar::{Hours, Span, Weekly, Zone},
        config::{NumberRow, SeatPlan, Team, Trunk},
        door::{Closed, Door},
        ids::{HoursId, SeatId, TeamId},
    };
    use sip_stack::ids::{TrunkId, UserId};

    const CARRIER: Source = Source::Trunk(TrunkId(0));
    /// 2026-12-01T12:00:00Z, a Tuesday.
    const NOON: Stamp = Stamp(1_796_126_400_000_000);
    const NIGHT: Stamp = Stamp(NOON.0 + 10 * 3_600 * 1_000_000);

    fn plan() -> Plan {
        let open = Span::new((9, 0), (18, 0)).unwrap();
        let weekly = (0..5).map(|day| Weekly { day, open }).collect();
        let hours = Hours {
            name: "office".into(),
            zone: Zone::utc(),
            weekly,
            holidays: vec![],
            exceptions: vec![],
        };
        let door = Door { hours: Some(HoursId(0)), closed: Some(Closed::Hears(TuneId(2))) };
        Plan {
            trunks: vec![Trunk::named("carrier")],
            seats: vec![SeatPlan { extension: "1001".into(), ..SeatPlan::named("ana") }],
            teams: vec![Team { seats: vec![SeatId(0)], door, ..Team::named("front") }],
            numbers: vec![NumberRow::new("10?", Destination::Team(TeamId(0)))],
            hours: vec![hours],
            ..Plan::default()
        }
    }

    #[test]
    fn a_number_is_explained_by_its_row_its_doors_and_its_end() {
        let open = explain(&plan(), CARRIER, ("1", "100"), NOON);
        assert_eq!(open.end, End::Goes(Destination::Team(TeamId(0))));
        let words = [
            "1 dialled 100, by trunk carrier",
            "the row \"10?\" leads to team front",
            "team front: office is open until 2026-12-01T18:00:00.000000Z, by its week",
            "it goes to team front",
        ];
        assert_eq!(open.why, words);

        let closed = explain(&plan(), CARRIER, ("1", "100"), NIGHT);
        assert_eq!(closed.end, End::Hears { tune: TuneId(2), answered: true });
        let said = "team front: office is closed until 2026-12-02T09:00:00.000000Z, by its week";
        assert_eq!(closed.why[2], said);
    }

    #[test]
    fn what_is_nobodys_or_shut_is_refused_as_a_call_would_be() {
        assert_eq!(explain(&plan(), CARRIER, ("1", "1001"), NOON).end, End::Refused(404));
        let ana = explain(&plan(), Source::Phone(UserId(0)), ("1001", "1001"), NOON);
        assert_eq!(ana.end, End::Goes(Destination::Seat(SeatId(0))));
        let mut silent = plan();
        silent.teams[0].door.closed = None;
        assert_eq!(explain(&silent, CARRIER, ("1", "100"), NIGHT).end, End::Refused(480));
    }
}
