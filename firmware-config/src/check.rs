//! Small checks that several tables share: names, digits, hosts, choices.

/// Names end up in URLs, metric labels and logs, so they are plain.
pub(crate) fn name(text: &str) -> Result<String, String> {
    const LONGEST: usize = 64;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=LONGEST).contains(&text.len()) && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "is not a name; write 1 to {LONGEST} of the letters a to z, digits, dot, dash and underscore"
    ))
}

/// What an agent's phone registers as and is dialled by.
pub(crate) fn extension(text: &str) -> Result<String, String> {
    if (1..=15).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err("is not an extension; write 1 to 15 digits, like \"1001\"".to_owned())
}

/// RFC 1123 §2.1 host name or an address, without a port.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_owned());
    }
    Err("is not a domain; write it like \"pbx.example.com\", without a port".to_owned())
}

/// One of a fixed set of words.
pub(crate) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, String> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let known = choices(words.iter().map(|(word, _)| format!("{word:?}")));
        format!("is not known; write {known}")
    })
}

/// `a, b or c`.
pub(crate) fn choices(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_enough_for_urls_and_labels() {
        for good in ["ana", "edge-1", "a.b_c", "X"] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "josé", "a\n", "\"", &"x".repeat(65)] {
            assert!(name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn domains_are_host_names_without_ports() {
        for good in ["clavija.test", "pbx", "127.0.0.1"] {
            assert!(host_name(good).is_ok(), "{good}");
        }
        for bad in ["", "a..b", "-a.b", "a.b:5060", "sip:a", "a b", ".", &"x".repeat(64)] {
            assert!(host_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn choices_read_like_a_sentence() {
        let list = |items: &[&str]| choices(items.iter().map(ToString::to_string));
        assert_eq!(list(&["a", "b", "c"]), "a, b or c");
        assert_eq!(list(&["a"]), "a");
    }
}
