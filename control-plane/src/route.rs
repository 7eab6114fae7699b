//! Called number to destination: exact rows first, then the pattern with most literal digits.

use crate::{
    config::{Destination, NumberRow, Plan, SELF_TEST, SeatPlan},
    door::Door,
    ids::SeatId,
};
use serde::{Deserialize, Serialize};
use sip_stack::{event::Source, ids::TrunkId};

/// Where a call goes, and whether the number says something about recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    pub to: Destination,
    /// `None`: as the team says.
    pub record: Option<bool>,
}

/// The row that won.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// In the plan's list; `None`: an extension.
    pub place: Option<usize>,
    pub route: Route,
    pub door: Door,
    /// Trunks it names.
    pub from: Vec<TrunkId>,
}

/// Where this number leads while everybody is there. `None`: it is not ours, or not open to this source. Both
/// are a 404, so that nobody learns which numbers exist.
pub fn route(plan: &Plan, source: Source, number: &str) -> Option<Row> {
    let open = |row: &NumberRow| is_open_to(plan, row, source);
    // `max_by_key` takes the last of equals, and the first row written should win: backwards.
    let rows = || plan.numbers.iter().enumerate().rev().filter(|(_, row)| open(row));
    let exact = rows()
        .filter(|(_, row)| is_literal(&row.pattern) && row.pattern == number)
        .max_by_key(|(_, row)| is_for_some(row));
    let best = || {
        rows()
            .filter(|(_, row)| !is_literal(&row.pattern) && matches(&row.pattern, number))
            .max_by_key(|(_, row)| (literal_digits(&row.pattern), is_for_some(row)))
    };
    let row = exact.or_else(best).map(|(place, row)| Row {
        place: Some(place),
        route: Route { to: row.to, record: row.record },
        door: row.door,
        from: row.from.clone(),
    });
    row.or_else(|| extension(plan, source, number))
}

/// An agent reaches another by extension; nobody from outside does.
fn extension(plan: &Plan, source: Source, number: &str) -> Option<Row> {
    let Source::Phone(_) = source else { return None };
    let mut seats = plan.seats.iter().zip((0_u16..).map(SeatId));
    let reached =
        |seat: &SeatPlan, id: &SeatId| seat.name != SELF_TEST && !plan.gone.seats.contains(id);
    let (_, seat) = seats.find(|(seat, id)| seat.extension == number && reached(seat, id))?;
    let route = Route { to: Destination::Seat(seat), record: None };
    Some(Row { place: None, route, door: Door::default(), from: Vec::new() })
}

/// Contract §2: `from` limits who may dial; a row to a trunk that breaks out to the telephone
/// network is open to agents only, unless `from` names trunks. Agents may dial every row without
/// a `from`.
fn is_open_to(plan: &Plan, row: &NumberRow, source: Source) -> bool {
    let Source::Trunk(trunk) = source else { return row.from.is_empty() };
    if !row.from.is_empty() {
        return row.from.contains(&trunk);
    }
    match row.to {
        Destination::Trunk(to) => !breaks_out(plan, to),
        Destination::Seat(_) | Destination::Team(_) => true,
    }
}

fn breaks_out(plan: &Plan, trunk: TrunkId) -> bool {
    plan.trunks.get(usize::from(trunk.0)).is_none_or(|trunk| trunk.pstn)
}

/// A row that names who may dial it stands before one that is open to all.
fn is_for_some(row: &NumberRow) -> bool {
    !row.from.is_empty()
}

fn is_literal(pattern: &str) -> bool {
    !pattern.contains(['?', '*'])
}

fn literal_digits(pattern: &str) -> usize {
    pattern.chars().filter(char::is_ascii_digit).count()
}

fn matches(pattern: &str, number: &str) -> bool {
    let mut rest = number.chars();
    for wanted in pattern.chars() {
        match wanted {
            '*' => return rest.all(|digit| digit.is_ascii_digit()),
            '?' if rest.next().is_some_and(|digit| digit.is_ascii_digit()) => {}
            '?' => return false,
            literal if rest.next() == Some(literal) => {}
            _ => return false,
        }
    }
    rest.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{SELF_TEST_NUMBER, Trunk},
        ids::TeamId,
    };
    use sip_stack::ids::UserId;

    const CARRIER: Source = Source::Trunk(TrunkId(0));
    const PBX: Source = Source::Trunk(TrunkId(1));
    const ANA: Source = Source::Phone(UserId(0));

    fn plan(rows: &[(&str, Destination, &[TrunkId])]) -> Plan {
        let trunk = |name: &str, pstn| Trunk { pstn, ..Trunk::named(name) };
        let seat = |name: &str, extension: &str| SeatPlan {
            extension: extension.into(),
            ..SeatPlan::named(name)
        };
        let row = |(pattern, to, from): &(&str, Destination, &[TrunkId])| NumberRow {
            from: from.to_vec(),
            ..NumberRow::new(*pattern, *to)
        };
        Plan {
            trunks: vec![trunk("carrier", true), trunk("pbx", false)],
            seats: vec![seat("ana", "1001"), seat("bruno", "1002")],
            teams: vec![],
            numbers: rows.iter().map(row).collect(),
            ..Plan::default()
        }
    }

    fn to(plan: &Plan, source: Source, number: &str) -> Option<Destination> {
        route(plan, source, number).map(|row| row.route.to)
    }

    fn team(number: u16) -> Destination {
        Destination::Team(TeamId(number))
    }

    #[test]
    fn an_exact_row_wins_then_the_pattern_with_most_literal_digits() {
        let plan = plan(&[
            ("*", team(0), &[]),
            ("9?????", team(1), &[]),
            ("90????", team(2), &[]),
            ("900001", team(3), &[]),
        ]);

        let cases = [("1", 0), ("912345", 1), ("901234", 2), ("900001", 3), ("9123456", 0)];
        for (number, wanted) in cases {
            assert_eq!(to(&plan, CARRIER, number), Some(team(wanted)), "{number}");
        }
    }

    #[test]
    fn a_question_mark_is_one_digit_and_nothing_else() {
        let plan = plan(&[("9?", team(0), &[])]);

        for number in ["9", "9a", "9*", "900", "", "+9"] {
            assert_eq!(to(&plan, CARRIER, number), None, "{number}");
        }
    }

    #[test]
    fn a_star_takes_digits_only_so_that_no_address_slips_through() {
        let plan = plan(&[("9*", team(0), &[])]);

        assert_eq!(to(&plan, CARRIER, "9"), Some(team(0)));
        assert_eq!(to(&plan, CARRIER, "9;ext=1"), None);
    }

    #[test]
    fn a_row_to_the_telephone_network_is_open_to_agents_only_unless_from_names_trunks() {
        let out = Destination::Trunk(TrunkId(0));
        let closed = plan(&[("0*", out, &[])]);
        let opened = plan(&[("0*", out, &[TrunkId(1)])]);

        assert_eq!(to(&closed, PBX, "01"), None);
        assert_eq!(to(&closed, ANA, "01"), Some(out));
        assert_eq!(to(&opened, PBX, "01"), Some(out));
        assert_eq!(to(&opened, CARRIER, "01"), None);
        assert_eq!(to(&opened, ANA, "01"), None);
    }

    #[test]
    fn of_two_rows_for_one_number_the_one_that_names_the_caller_wins() {
        let plan = plan(&[("1?", team(0), &[]), ("1?", team(1), &[TrunkId(0)])]);

        assert_eq!(to(&plan, CARRIER, "10"), Some(team(1)));
        assert_eq!(to(&plan, PBX, "10"), Some(team(0)));
    }

    #[test]
    fn the_number_of_the_self_test_is_open_to_its_own_trunk_and_its_phone_to_no_extension() {
        let own = TrunkId(2);
        let mut plan = plan(&[(SELF_TEST_NUMBER, team(0), &[own])]);
        plan.trunks.push(Trunk::named(SELF_TEST));
        plan.seats.push(SeatPlan { extension: SELF_TEST.into(), ..SeatPlan::named(SELF_TEST) });

        assert_eq!(plan.self_test(), Some((own, SeatId(2))));
        assert_eq!(to(&plan, Source::Trunk(own), SELF_TEST_NUMBER), Some(team(0)));
        for source in [CARRIER, PBX, ANA] {
            assert_eq!(to(&plan, source, SELF_TEST_NUMBER), None, "{source:?}");
            assert_eq!(to(&plan, source, SELF_TEST), None, "{source:?}");
        }
    }

    #[test]
    fn extensions_are_for_phones_of_the_house() {
        let plan = plan(&[]);

        assert_eq!(to(&plan, ANA, "1002"), Some(Destination::Seat(SeatId(1))));
        assert_eq!(to(&plan, CARRIER, "1002"), None);
    }
}
