//! What answers look like: a table for people, JSON for programs.

use crate::error::Failure;
use clap::ValueEnum;
use serde_json::Value;
use std::io::{self, Write};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Json,
    Table,
}

/// Where answers go.
pub(super) struct Output {
    format: Format,
    into: Box<dyn Write>,
}

/// Written for whom it may concern: who stops reading, like `head`, is no fault.
pub(super) struct WhileRead<W>(pub(super) W);

impl<W: Write> Write for WhileRead<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(bytes.len()),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0.flush() {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            flushed => flushed,
        }
    }
}

/// A heading, and the member shown under it.
pub(super) type Column = (&'static str, &'static str);

impl Output {
    pub(super) fn new(format: Format) -> Self {
        Self { format, into: Box::new(WhileRead(io::stdout())) }
    }

    pub(super) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    pub(super) fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// `items` of a list, one a line.
    pub(super) fn list(&mut self, answer: &Value, columns: &[Column]) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(answer),
            Format::Table => {
                let items = answer["items"].as_array().map_or(&[][..], Vec::as_slice);
                let rows = items
                    .iter()
                    .map(|item| columns.iter().map(|(_, member)| words(&item[*member])).collect());
                let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
                self.lines(&table([heads].into_iter().chain(rows).collect()))
            }
        }
    }

    /// The members of one thing, one a line.
    pub(super) fn one(&mut self, answer: &Value, rows: &[Column]) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(answer),
            Format::Table => {
                let row =
                    |(head, member): &Column| vec![(*head).to_owned(), words(&answer[*member])];
                self.lines(&table(rows.iter().map(row).collect()))
            }
        }
    }

    /// Said to programs only; people were told line by line.
    pub(super) fn document(&mut self, answer: &Value) -> Result<(), Failure> {
        match self.format {
            Format::Json => self.json(answer),
            Format::Table => Ok(()),
        }
    }

    /// Said to people only; JSON stays JSON.
    pub(super) fn say(&mut self, line: &str) -> Result<(), Failure> {
        match self.format {
            Format::Json => Ok(()),
            Format::Table => self.lines(&[line.to_owned()]),
        }
    }

    /// Under a table: a list that belongs to what was shown.
    pub(super) fn more(&mut self, items: &Value, columns: &[Column]) -> Result<(), Failure> {
        match self.format {
            Format::Json => Ok(()),
            Format::Table => {
                self.lines(&[String::new()])?;
                self.list(&serde_json::json!({ "items": items }), columns)
            }
        }
    }

    pub(super) fn bytes(&mut self) -> &mut dyn Write {
        &mut self.into
    }

    fn json(&mut self, answer: &Value) -> Result<(), Failure> {
        self.lines(&[format!("{answer:#}")])
    }

    fn lines(&mut self, lines: &[String]) -> Result<(), Failure> {
        lines.iter().try_for_each(|line| writeln!(self.into, "{line}"))?;
        Ok(self.into.flush()?)
    }
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "-".to_owned(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(","),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => format!("{float:.1}"),
            Some(_) | None => number.to_string(),
        },
        Value::Bool(_) | Value::Object(_) => value.to_string(),
    }
}

/// Cells in columns as wide as their widest.
fn table(rows: Vec<Vec<String>>) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| Some(row.get(column)?.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();

        let lines = table(vec![row(["NAME", "STATE"]), row(["ana", "available"])]);

        assert_eq!(lines, ["NAME  STATE", "ana   available"]);
        assert!(table(vec![]).is_empty());
    }

    #[test]
    fn values_are_written_for_people() {
        for (value, wanted) in [
            (json!(null), "-"),
            (json!("x"), "x"),
            (json!(["a", "b"]), "a,b"),
            (json!(1.25), "1.2"),
            (json!(7), "7"),
            (json!(true), "true"),
        ] {
            assert_eq!(words(&value), wanted);
        }
    }
}
