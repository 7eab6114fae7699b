//! Numbers: what can be dialled, by whom, and where it leads.

use crate::{
    closed::{self, Closed},
    fault::{Report, Reported},
    reader::{At, Entry, Given, Names, Section, SourceFile},
    team::distinct,
    trunk,
};

/// One row of what can be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// Digits, perhaps after a `+`; `?` is one digit, a final `*` any rest.
    pub number: String,
    pub leads_to: Destination,
    /// Places in [`Config::trunks`](crate::Config::trunks) of who may dial it; none if the row does not say.
    pub from: Option<Vec<usize>>,
    /// None leaves it to the team.
    pub record: Option<bool>,
    /// Place in [`Config::hours`](crate::Config::hours); none is always.
    pub hours: Option<usize>,
    /// Where its calls go out of hours.
    pub closed: Option<Closed>,
}

/// Where a number leads: a place in the list of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    Agent(usize),
    Team(usize),
    Trunk(usize),
}

/// The names a row may use.
pub(crate) struct Known<'a> {
    pub(crate) agents: &'a Names,
    pub(crate) hours: &'a Names,
    pub(crate) music: &'a Names,
    pub(crate) teams: &'a Names,
    pub(crate) trunks: &'a Names,
    pub(crate) trunk_tables: &'a [Entry<trunk::Placed>],
}

pub(crate) fn read(section: &mut Section<'_>, known: &Known<'_>) -> Result<Number, Reported> {
    let number = section.parsed("number", "+541155550100", pattern);
    let number = section.required("number", number, r#""+541155550100""#);
    let from = section.parsed_list("from", "carrier", |text| known.trunks.find(text));
    let from = from.and_then(|given| match given {
        Some(list) => distinct(section, "from", &list).map(Some),
        None => Ok(None),
    });
    let record = section.flag("record");
    let leads_to = leads_to(section, known);
    let hours = section.parsed("hours", "office", |text| known.hours.find(text));
    let closed = closed::read(section).and_then(|written| match written {
        Some(written) => written.found(section, known).map(Some),
        None => Ok(None),
    });
    let (hours, closed) = (hours?.map(|at| at.value), closed?);
    if hours.is_none() && closed.is_some() {
        let what =
            "says where calls go when it is closed, and not when that is; write hours = \"office\"";
        return Err(section.refuse_table(what));
    }
    let (number, leads_to, from, record) = (number?.value, leads_to?, from?, record?);
    Ok(Number { number, leads_to, from, record, hours, closed })
}

fn leads_to(section: &mut Section<'_>, known: &Known<'_>) -> Result<Destination, Reported> {
    let team = section.parsed("team", "support", |text| known.teams.find(text));
    let agent = section.parsed("agent", "ana", |text| known.agents.find(text));
    let trunk = section.parsed("trunk", "carrier", |text| callable_trunk(text, known));
    let flow = section.text("flow", "menu").and_then(|given| match given {
        Some(at) => {
            let what = "flows are not served by this version; write team, agent or trunk";
            Err(section.refuse(at.line, "flow", what))
        }
        None => Ok(None::<Destination>),
    });
    let at = |given: Given<At<usize>>, kind: fn(usize) -> Destination| {
        given.map(|given| given.map(|at| kind(at.value)))
    };
    let ways = [
        at(team, Destination::Team),
        at(agent, Destination::Agent),
        at(trunk, Destination::Trunk),
        flow,
    ];
    let mut named = ways.into_iter().filter_map(Result::transpose);
    match (named.next(), named.next()) {
        (Some(only), None) => only,
        (Some(_), Some(_)) => {
            Err(section
                .refuse_table("leads to more than one; write exactly one of team, agent, trunk"))
        }
        (None, _) => {
            Err(section.refuse_table("leads nowhere; write exactly one of team, agent, trunk"))
        }
    }
}

/// A trunk calls can be sent to.
pub(crate) fn callable_trunk(text: &str, known: &Known<'_>) -> Result<usize, String> {
    let place = known.trunks.find(text)?;
    let table = known.trunk_tables.get(place).and_then(|entry| entry.content.as_ref().ok());
    if table.is_some_and(|placed| placed.trunk.address.is_none()) {
        return Err(format!(
            "has no address, so no call can be sent to it; write address = \"203.0.113.7:5060\" in \
             trunk {text:?}"
        ));
    }
    Ok(place)
}

fn pattern(text: &str) -> Result<String, String> {
    const LONGEST: usize = 32;
    let digits = text.strip_prefix('+').unwrap_or(text);
    let before_rest = digits.strip_suffix('*').unwrap_or(digits);
    let well_formed = before_rest.bytes().all(|b| b.is_ascii_digit() || b == b'?');
    if !digits.is_empty() && text.len() <= LONGEST && well_formed {
        return Ok(text.to_owned());
    }
    Err(format!(
        "is not a number; write up to {LONGEST} digits, perhaps after a +, where ? may stand for one \
         digit and a last * for any rest, like \"+541155550100\" or \"9?????\""
    ))
}

/// Two rows for the same number must be told apart by who dials.
pub(crate) fn refuse_same(numbers: &[Entry<Number>], file: &SourceFile, report: &mut Report) {
    let read = |entry: &'_ Entry<Number>| {
        let row = entry.content.as_ref().ok()?;
        Some((row.clone(), entry.name.as_ref()?.line))
    };
    let rows: Vec<(Number, usize)> = numbers.iter().filter_map(read).collect();
    for (at, (row, line)) in rows.iter().enumerate() {
        let before = rows.iter().take(at);
        if let Some((_, first)) = before.into_iter().find(|(other, _)| same_caller(other, row)) {
            let message = format!(
                "number {:?} has a row on line {first} already; write one row, or different trunks \
                 in their from",
                row.number
            );
            report.fault(&file.name, Some(*line), &message);
        }
    }
}

fn same_caller(a: &Number, b: &Number) -> bool {
    let met = match (&a.from, &b.from) {
        (Some(a), Some(b)) => a.iter().any(|trunk| b.contains(trunk)),
        (None, None) => true,
        // The row that names trunks is the exception to the one that does not.
        (Some(_), None) | (None, Some(_)) => false,
    };
    a.number == b.number && met
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_a_plus_before_and_holes_behind() {
        for good in ["+541155550100", "9?????", "0*", "*", "+54*", "911", "?"] {
            assert!(pattern(good).is_ok(), "{good}");
        }
        for bad in ["", "+", "54+1", "*9", "9**", "12-34", "ana", "９", &"1".repeat(33)] {
            assert!(pattern(bad).is_err(), "{bad}");
        }
    }
}
