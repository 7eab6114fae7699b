//! What happened in a simulated day, for humans: one line a message or decision, in virtual time.

use std::{cell::RefCell, fmt, time::Duration};

/// Lines in their order; costs nothing unless somebody wants to read it.
#[derive(Debug, Default)]
pub struct Ladder {
    lines: Option<RefCell<Vec<String>>>,
}

impl Ladder {
    pub fn kept() -> Self {
        Self { lines: Some(RefCell::default()) }
    }

    /// `after`: since the day began.
    pub fn note(&self, after: Duration, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let line = format!("{:>11.6}  {}", after.as_secs_f64(), line());
            lines.borrow_mut().push(line);
        }
    }

    pub fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    pub fn lines(&self) -> Vec<String> {
        self.lines.as_ref().map(|lines| lines.borrow().clone()).unwrap_or_default()
    }

    /// The last so many lines, for the message of a failed test.
    pub fn tail(&self, count: usize) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}

impl fmt::Display for Ladder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}
