//! Figures by round, and rows that judge them: nothing is met while the generator was the limit.

use clavija_benches::load::report::short;
use std::{collections::BTreeMap, fmt::Write as _};

/// What was measured, round after round.
#[derive(Debug, Default)]
pub(crate) struct Table {
    figures: BTreeMap<String, Vec<Value>>,
    round: usize,
    set_aside: Vec<String>,
    notes: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Value {
    round: usize,
    value: f64,
    /// The generator was on time.
    valid: bool,
}

/// One line of the table: a figure of ours, what it is put beside, and what is asked of it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) here: String,
    pub(crate) unit: &'static str,
    pub(crate) against: Against,
    /// The most the ratio, or the figure where there is none, may be.
    pub(crate) target: Option<f64>,
}

#[derive(Clone, Debug)]
pub(crate) enum Against {
    /// The figure speaks for itself.
    Nothing,
    /// The ratio to this one, taken within each round.
    Figure(String),
}

/// What is said of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    NoTarget,
    Met,
    Missed,
    /// In half of the rounds or more the generator was late, or nothing was measured.
    NotJudged,
}

impl Table {
    pub(crate) const fn begin_round(&mut self) {
        self.round += 1;
    }

    pub(crate) fn add(&mut self, name: &str, value: f64, valid: bool) {
        let round = self.round;
        self.figures.entry(name.to_owned()).or_default().push(Value { round, value, valid });
    }

    pub(crate) fn set_aside(&mut self, who: &str) {
        self.set_aside.push(format!("round {}: {who}: the generator was late", self.round));
    }

    pub(crate) fn note(&mut self, what: String) {
        if !self.notes.contains(&what) {
            self.notes.push(what);
        }
    }

    fn at(&self, name: &str, round: usize) -> Option<Value> {
        self.figures.get(name)?.iter().find(|value| value.round == round).copied()
    }

    /// Of each round: the figure, or its ratio.
    fn judged(&self, row: &Row) -> Vec<Value> {
        let value = |round| {
            let here = self.at(&row.here, round)?;
            match &row.against {
                Against::Nothing => Some(here),
                Against::Figure(beside) => {
                    let beside = self.at(beside, round)?;
                    let (value, valid) = (here.value / beside.value, here.valid && beside.valid);
                    Some(Value { round, value, valid })
                }
            }
        };
        (1..=self.round).filter_map(value).collect()
    }

    fn verdict(&self, row: &Row, judged: &[Value]) -> Verdict {
        let Some(target) = row.target else { return Verdict::NoTarget };
        let valid: Vec<Value> = judged.iter().filter(|value| value.valid).copied().collect();
        match median(&valid) {
            Some(middle) if 2 * valid.len() > self.round => {
                if middle <= target {
                    Verdict::Met
                } else {
                    Verdict::Missed
                }
            }
            Some(_) | None => Verdict::NotJudged,
        }
    }

    pub(crate) fn print(&self, rows: &[Row]) -> String {
        let mut text = String::from(
            "| figure | here | beside | ratio (least - most) | target | |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        for row in rows {
            let judged = self.judged(row);
            if judged.is_empty() {
                continue;
            }
            let all = |name: &str| self.figures.get(name).map_or(&[][..], Vec::as_slice);
            let beside = match &row.against {
                Against::Nothing => String::new(),
                Against::Figure(name) => {
                    format!("{name}: {} {}", middle_of(all(name)), row.unit)
                }
            };
            let ratio = match row.against {
                Against::Nothing => String::new(),
                Against::Figure(_) => middle_of(&judged),
            };
            let target =
                row.target.map_or_else(String::new, |target| format!("<= {}", short(target)));
            let verdict = match self.verdict(row, &judged) {
                Verdict::NoTarget => "",
                Verdict::Met => "met",
                Verdict::Missed => "**missed**",
                Verdict::NotJudged => "not judged: the generator was the limit",
            };
            let (name, here, unit) = (&row.name, middle_of(all(&row.here)), row.unit);
            // Writing to a String cannot fail.
            _ = writeln!(
                text,
                "| {name} | {here} {unit} | {beside} | {ratio} | {target} | {verdict} |"
            );
        }
        if !self.set_aside.is_empty() {
            _ = writeln!(text, "\nSet aside, {}:", self.set_aside.len());
        }
        for line in self.set_aside.iter().chain(&self.notes) {
            _ = writeln!(text, "- {line}");
        }
        text
    }
}

/// The median of those that are valid, or of all when none is, with the spread.
fn middle_of(values: &[Value]) -> String {
    let valid: Vec<Value> = values.iter().filter(|value| value.valid).copied().collect();
    let (values, mark) = if valid.is_empty() { (values, " (late)") } else { (&valid[..], "") };
    let least = values.iter().map(|value| value.value).fold(f64::INFINITY, f64::min);
    let most = values.iter().map(|value| value.value).fold(f64::NEG_INFINITY, f64::max);
    median(values).map_or_else(String::new, |middle| {
        format!("{} ({} - {}){mark}", short(middle), short(least), short(most))
    })
}

fn median(values: &[Value]) -> Option<f64> {
    let mut sorted: Vec<f64> = values.iter().map(|value| value.value).collect();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    let upper = *sorted.get(half)?;
    let lower = if sorted.len() % 2 == 1 { upper } else { sorted[half - 1] };
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(target: f64) -> Row {
        Row {
            name: "ours over theirs".to_owned(),
            here: "ours".to_owned(),
            unit: "us",
            against: Against::Figure("theirs".to_owned()),
            target: Some(target),
        }
    }

    fn table(rounds: &[(f64, f64, bool)]) -> Table {
        let mut table = Table::default();
        for &(ours, theirs, valid) in rounds {
            table.begin_round();
            table.add("ours", ours, valid);
            table.add("theirs", theirs, true);
        }
        table
    }

    fn verdict(table: &Table, target: f64) -> Verdict {
        table.verdict(&row(target), &table.judged(&row(target)))
    }

    #[test]
    fn a_ratio_is_judged_by_the_median_of_the_rounds_and_not_by_the_best() {
        let table = table(&[(1.0, 2.0, true), (3.0, 2.0, true), (2.0, 2.0, true)]);

        assert_eq!(verdict(&table, 1.0), Verdict::Met);
        assert_eq!(verdict(&table, 0.9), Verdict::Missed);
    }

    #[test]
    fn nothing_is_met_when_the_generator_was_late_in_half_of_the_rounds() {
        let table = table(&[(1.0, 2.0, true), (1.0, 2.0, false)]);

        assert_eq!(verdict(&table, 1.0), Verdict::NotJudged);
        assert!(table.print(&[row(1.0)]).contains("not judged"));
    }

    #[test]
    fn a_late_round_does_not_count_among_those_that_were_not() {
        let table = table(&[(1.0, 2.0, true), (1.0, 2.0, true), (90.0, 2.0, false)]);

        assert_eq!(verdict(&table, 0.5), Verdict::Met);
    }

    #[test]
    fn what_was_not_measured_has_no_row() {
        assert_eq!(Table::default().print(&[row(1.0)]).lines().count(), 2);
    }
}
