//! Reads the text a monitoring system scrapes.

/// One line of a scrape.
#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// One scrape.
#[derive(Clone, Debug)]
pub struct Metrics {
    samples: Vec<Sample>,
}

impl Metrics {
    /// What is no sample (comments, empty lines) is passed over.
    pub fn parse(text: &str) -> Self {
        Self { samples: text.lines().filter_map(parse_line).collect() }
    }

    /// The sum of all samples of this name that have these labels.
    ///
    /// # Panics
    /// If there is no sample of this name at all: a metric that is missing is not zero.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        assert!(self.has(name), "there is no metric {name}");
        let fits = |sample: &&Sample| {
            labels
                .iter()
                .all(|(key, value)| sample.labels.iter().any(|(k, v)| k == key && v == value))
        };
        self.samples.iter().filter(|sample| sample.name == name).filter(fits).map(|s| s.value).sum()
    }

    /// Whether this word is the value of any label.
    pub fn names(&self, word: &str) -> bool {
        self.samples.iter().any(|sample| sample.labels.iter().any(|(_, value)| value == word))
    }

    pub fn has(&self, name: &str) -> bool {
        self.samples.iter().any(|sample| sample.name == name)
    }
}

/// `name{key="value",…} 1.5`
fn parse_line(line: &str) -> Option<Sample> {
    if line.starts_with('#') {
        return None;
    }
    let (series, value) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}')?.split("\",").filter_map(parse_label).collect();
    Some(Sample { name: name.to_owned(), labels, value: value.parse().ok()? })
}

fn parse_label(label: &str) -> Option<(String, String)> {
    let (key, value) = label.split_once("=\"")?;
    Some((key.to_owned(), value.trim_end_matches('"').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_summed_over_the_labels_not_named() {
        let metrics = Metrics::parse(
            "# HELP a b\nended{end=\"busy\",channel=\"sip\"} 2\nended{end=\"completed\",channel=\"sip\"} 3\nup 1\n",
        );

        assert_eq!(metrics.sum("ended", &[]), 5.0);
        assert_eq!(metrics.sum("ended", &[("end", "busy")]), 2.0);
        assert_eq!(metrics.sum("up", &[]), 1.0);
    }
}
