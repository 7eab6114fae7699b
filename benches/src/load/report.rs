//! Figures with their spread: a table to read and a file to compare.

use serde_json::{Map, Value, json};

/// What was measured round after round.
#[derive(Default)]
pub struct Report {
    figures: Vec<Figure>,
    /// Runs that do not count, and why.
    set_aside: Vec<String>,
    facts: Map<String, Value>,
}

struct Figure {
    name: String,
    unit: &'static str,
    values: Vec<f64>,
}

/// Least, middle and most of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub least: f64,
    pub median: f64,
    pub most: f64,
}

impl Report {
    /// One more value of a figure; values of one round stand at the same place.
    pub fn add(&mut self, name: &str, unit: &'static str, value: f64) {
        match self.figures.iter_mut().find(|figure| figure.name == name) {
            Some(figure) => figure.values.push(value),
            None => self.figures.push(Figure { name: name.to_owned(), unit, values: vec![value] }),
        }
    }

    pub fn set_aside(&mut self, why: String) {
        self.set_aside.push(why);
    }

    pub fn fact(&mut self, name: &str, value: impl Into<Value>) {
        self.facts.insert(name.to_owned(), value.into());
    }

    /// A ratio taken within each round: what both suffered from does not show.
    pub fn ratio(&mut self, name: &str, of: &str, to: &str) {
        let pairs: Vec<f64> =
            self.values(of).iter().zip(self.values(to)).map(|(of, to)| of / to).collect();
        pairs.into_iter().for_each(|ratio| self.add(name, "", ratio));
    }

    fn values(&self, name: &str) -> &[f64] {
        self.figures.iter().find(|figure| figure.name == name).map_or(&[], |figure| &figure.values)
    }

    pub fn table(&self) -> String {
        let mut table = format!("{:<58} {:>10}  {:<22} unit\n", "figure", "median", "least - most");
        for figure in &self.figures {
            let Some(Spread { least, median, most }) = spread(&figure.values) else { continue };
            let range = format!("{} - {}", short(least), short(most));
            table += &format!(
                "{:<58} {:>10}  {range:<22} {}\n",
                figure.name,
                short(median),
                figure.unit
            );
        }
        for why in &self.set_aside {
            table += &format!("set aside: {why}\n");
        }
        table
    }

    /// Rows for a page: the figures whose names have one of these words.
    pub fn rows(&self, words: &[&str]) -> String {
        let mut rows =
            String::from("| figure | median | least - most | unit |\n| --- | --- | --- | --- |\n");
        let wanted = |figure: &&Figure| words.iter().any(|word| figure.name.contains(word));
        for figure in self.figures.iter().filter(wanted) {
            let Some(Spread { least, median, most }) = spread(&figure.values) else { continue };
            let (least, median, most) = (short(least), short(median), short(most));
            rows +=
                &format!("| {} | {median} | {least} - {most} | {} |\n", figure.name, figure.unit);
        }
        rows
    }

    pub fn json(&self) -> Value {
        let figure = |figure: &Figure| {
            let Spread { least, median, most } = spread(&figure.values)?;
            let (name, unit, values) = (&figure.name, figure.unit, &figure.values);
            Some(
                json!({ "name": name, "unit": unit, "median": median, "least": least, "most": most, "values": values }),
            )
        };
        let figures: Vec<Value> = self.figures.iter().filter_map(figure).collect();
        json!({ "facts": self.facts, "figures": figures, "set_aside": self.set_aside })
    }
}

fn spread(values: &[f64]) -> Option<Spread> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let half = sorted.len() / 2;
    let median =
        if sorted.len() % 2 == 1 { sorted[half] } else { (sorted[half - 1] + sorted[half]) / 2.0 };
    Some(Spread { least, median, most })
}

/// Three digits say all that was measured.
pub fn short(value: f64) -> String {
    match value.abs() {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_round_by_round_and_not_of_the_medians() {
        let mut report = Report::default();
        for (ours, theirs) in [(1.0, 2.0), (10.0, 5.0), (3.0, 3.0)] {
            report.add("ours", "ms", ours);
            report.add("theirs", "ms", theirs);
        }

        report.ratio("ours to theirs", "ours", "theirs");

        let ratio = spread(report.values("ours to theirs"));
        assert_eq!(ratio, Some(Spread { least: 0.5, median: 1.0, most: 2.0 }));
        assert_eq!(report.json()["figures"][2]["median"], 1.0);
    }

    #[test]
    fn a_page_gets_the_figures_it_asks_for() {
        let mut report = Report::default();
        report.add("ratio: a to b", "", 0.5);
        report.add("calls", "", 7.0);

        let rows = report.rows(&["ratio"]);

        assert!(rows.ends_with("| ratio: a to b | 0.50 | 0.50 - 0.50 |  |\n"), "{rows}");
        assert_eq!(rows.lines().count(), 3);
    }

    #[test]
    fn the_median_of_two_lies_between_them_and_nothing_has_none() {
        assert_eq!(spread(&[4.0, 1.0]).map(|spread| spread.median), Some(2.5));
        assert_eq!(spread(&[]), None);
    }
}
