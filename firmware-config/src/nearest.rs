//! The name an operator most likely meant.

/// The candidate most like `name`; none only if there are no candidates.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = |candidate: &str| strsim::jaro_winkler(&name, &candidate.to_lowercase());
    candidates.max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
}

/// `"a", "b" and 3 more`: enough to choose from, short enough for one line.
pub(crate) fn quoted_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 8;
    let names: Vec<String> = names.map(|name| format!("{name:?}")).collect();
    match names.get(..SHOWN) {
        Some(shown) if names.len() > SHOWN => {
            format!("{} and {} more", shown.join(", "), names.len() - SHOWN)
        }
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_finds_the_key_that_was_meant() {
        let keys = ["advertise", "domain", "tcp", "tls", "udp"];
        for (typed, meant) in
            [("upd", "udp"), ("UDP", "udp"), ("domian", "domain"), ("advertize", "advertise")]
        {
            assert_eq!(nearest(typed, keys.into_iter()), Some(meant), "{typed}");
        }
    }

    #[test]
    fn a_long_list_is_cut_and_says_how_many_are_left() {
        let names: Vec<String> = (0..10).map(|n| n.to_string()).collect();

        let list = quoted_list(names.iter().map(String::as_str));

        assert!(list.ends_with(r#""7" and 2 more"#), "{list}");
    }
}
