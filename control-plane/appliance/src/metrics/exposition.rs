//! The Prometheus text format (version 0.0.4), for numbers that others have counted.

use media_rt::counters::{BUCKETS_US, Durations};
use std::fmt::{Display, Write};

/// What a family of samples is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Counter,
    Gauge,
}

/// Text under construction.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn into_string(self) -> String {
        self.0
    }

    /// A family of one sample.
    pub(super) fn one(&mut self, name: &str, help: &str, kind: Kind, value: impl Display) {
        self.family(name, help, kind);
        self.sample(name, &[], value);
    }

    /// Begins a family; its samples follow.
    pub(super) fn family(&mut self, name: &str, help: &str, kind: Kind) {
        self.head(
            name,
            help,
            match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
            },
        );
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<_> =
            labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        if labels.is_empty() {
            self.line(format_args!("{name} {value}"));
        } else {
            self.line(format_args!("{name}{{{}}} {value}", labels.join(",")));
        }
    }

    pub(super) fn histogram(&mut self, name: &str, help: &str, durations: &Durations) {
        self.head(name, help, "histogram");
        let bucket = format!("{name}_bucket");
        let mut below = 0;
        for (edge_us, count) in BUCKETS_US.iter().zip(durations.counts) {
            below += count;
            let edge = std::time::Duration::from_micros(*edge_us).as_secs_f64().to_string();
            self.sample(&bucket, &[("le", &edge)], below);
        }
        let all: u64 = durations.counts.iter().sum();
        self.sample(&bucket, &[("le", "+Inf")], all);
        self.sample(&format!("{name}_sum"), &[], durations.sum.as_secs_f64());
        self.sample(&format!("{name}_count"), &[], all);
    }

    fn head(&mut self, name: &str, help: &str, kind: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("writing into a String cannot fail");
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_family_is_its_help_its_type_and_its_samples() {
        let mut text = Text::default();

        text.family("up", "Whether.", Kind::Gauge);
        text.sample("up", &[("trunk", "a\"b\\c\nd"), ("of", "x")], 1);

        let wanted =
            "# HELP up Whether.\n# TYPE up gauge\nup{trunk=\"a\\\"b\\\\c\\nd\",of=\"x\"} 1\n";
        assert_eq!(text.into_string(), wanted);
    }

    #[test]
    fn buckets_are_cumulative_and_the_last_holds_all() {
        let mut text = Text::default();
        let counts = [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4];

        text.histogram("late", "How.", &Durations { counts, sum: Duration::from_millis(1_500) });

        let text = text.into_string();
        for line in [
            "late_bucket{le=\"0.00005\"} 1",
            "late_bucket{le=\"0.05\"} 3",
            "late_bucket{le=\"+Inf\"} 7",
            "late_sum 1.5",
            "late_count 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }
}
