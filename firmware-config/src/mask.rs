//! The operator's own text without the secrets in it, in comments neither.

use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Keys whose text nobody else may read.
const SECRET: [&str; 5] = ["access_token", "app_secret", "password", "seal_key", "verify_token"];
/// A shorter secret stands in too many words by chance; its key gives it away all the same.
const TELLING_BYTES: usize = 4;

/// The text with stars for every secret that stands in it, commented out too. Text that is no TOML is
/// not shown at all: nobody can say what of it is secret.
pub fn masked(text: &str) -> String {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return String::new();
    }
    let mut found = Found::default();
    in_table(table.get_ref(), &mut found);
    let mut places: Vec<_> = found.places.into_iter().map(|place| (place, "\"***\"")).collect();
    places.extend(in_comments(text, &found.texts).into_iter().map(|place| (place, " ***")));
    places.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    let mut shown = text.to_owned();
    for (place, stars) in places {
        shown.replace_range(place, stars);
    }
    shown
}

/// Where secrets stand, and what they are.
#[derive(Default)]
struct Found {
    places: Vec<Range<usize>>,
    texts: Vec<String>,
}

fn in_table(table: &DeTable<'_>, found: &mut Found) {
    for (key, value) in table {
        let secret = SECRET.contains(&key.get_ref().as_ref());
        match value.get_ref() {
            DeValue::Table(inner) => in_table(inner, found),
            DeValue::Array(items) if !secret => {
                for item in items {
                    if let DeValue::Table(inner) = item.get_ref() {
                        in_table(inner, found);
                    }
                }
            }
            DeValue::Array(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Float(_)
            | DeValue::Integer(_)
            | DeValue::String(_) => {
                if secret {
                    found.places.push(value.span());
                    let text = value.get_ref().as_str().filter(|text| text.len() >= TELLING_BYTES);
                    found.texts.extend(text.map(str::to_owned));
                }
            }
        }
    }
}

/// What of comments is hidden: everything behind the name of a secret's key, with the lines that go on
/// with its text; and comments that hold a secret in other words.
fn in_comments(text: &str, secrets: &[String]) -> Vec<Range<usize>> {
    let mut hidden = Vec::new();
    // The quotes that end a text of several lines which was commented out.
    let mut goes_on: Option<&str> = None;
    let mut last_end = 0;
    for comment in comments(text) {
        let said = text.get(comment.clone()).unwrap_or_default();
        let follows = text.get(last_end..comment.start).is_some_and(|gap| gap.trim().is_empty());
        last_end = comment.end;
        if let Some(quotes) = goes_on.filter(|_| follows) {
            hidden.push(comment.start + 1..comment.end);
            goes_on = (!said.contains(quotes)).then_some(quotes);
            continue;
        }
        goes_on = None;
        let lower = said.to_ascii_lowercase();
        let behind = SECRET.iter().filter_map(|key| Some(lower.find(key)? + key.len())).min();
        if let Some(behind) = behind {
            let rest = said.get(behind..).unwrap_or_default();
            goes_on =
                ["\"\"\"", "'''"].into_iter().find(|quotes| rest.matches(quotes).count() == 1);
            hidden.push(comment.start + behind..comment.end);
        } else if secrets.iter().any(|secret| said.contains(secret.as_str())) {
            hidden.push(comment.start + 1..comment.end);
        }
    }
    hidden.retain(|place| !place.is_empty());
    hidden
}

/// Every comment of a text that is TOML, from its `#` to the end of its line.
fn comments(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let quotes =
            ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quotes| rest.starts_with(quotes));
        at += match quotes {
            Some(quotes) => quoted(rest, quotes),
            None if rest.starts_with('#') => {
                let line = rest.find('\n').unwrap_or(rest.len());
                let length = rest.get(..line).map_or(line, |line| line.trim_end().len());
                found.push(at..at + length);
                line
            }
            None => rest.chars().next().map_or(1, char::len_utf8),
        };
    }
    found
}

/// How many bytes a text in these quotes takes.
fn quoted(rest: &str, quotes: &str) -> usize {
    let escapes = quotes.starts_with('"');
    let mut at = quotes.len();
    while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
        if escapes && tail.starts_with('\\') {
            at += 1 + tail.chars().nth(1).map_or(0, char::len_utf8);
        } else if tail.starts_with(quotes) {
            at += quotes.len();
            // Up to two more quotes before the closing three are the text's own (TOML 1.0, String).
            let one = quotes.get(..1).unwrap_or_default();
            while quotes.len() == 3 && rest.get(at..).is_some_and(|tail| tail.starts_with(one)) {
                at += 1;
            }
            return at;
        } else {
            at += tail.chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_stars_however_they_are_written_and_the_rest_is_as_it_was() {
        let text = "# x\n[[agent]]\nname = \"ana\" # y\npassword = \"hu\\u0073h\"\n[[agent]]\n\
                    password = '''\nhush'''\n[[agent]]\npassword = { file = \"secrets/ana\" }\n\
                    [[whatsapp]]\napp_secret = \"hush\"\n";

        let shown = masked(text);

        assert!(!shown.contains("hush") && !shown.contains("u0073"), "{shown}");
        assert_eq!(shown.matches("\"***\"").count(), 3, "{shown}");
        assert!(shown.contains("# x") && shown.contains("# y") && shown.contains("secrets/ana"));
        assert_eq!(masked("password = \"hush"), "");
    }

    #[test]
    fn a_secret_in_a_comment_is_not_shown_either() {
        for comment in [
            "#password = \"hush\"",
            "# password = 'hush' # since May",
            "#\t\"Password\"=\"hush\"",
            "name = \"ana\" # app_secret: hush",
            "# { name = \"b\", verify_token = \"hush\" }",
            "# password = \"\"\"\n# hush\n#hush\"\"\"",
            "# password = '''\n\n  # hush\n# '''",
            "# was open-sesame until May\npassword = \"open-sesame\"",
            "a = '\\' # password hush\nb = \"\\\"\" # password hush\nc = \"\"\"\"\" # \"\"\"\"\" # password hush",
        ] {
            let shown = masked(comment);

            assert!(!shown.contains("hush") && !shown.contains("sesame"), "{comment}: {shown}");
            assert!(shown.contains("***"), "{comment}: {shown}");
        }
    }

    #[test]
    fn comments_without_a_secret_and_texts_that_look_like_comments_stay() {
        let text =
            "# the front desk\nname = \"a # password b\" # é\nfile = '''# password\n'''\n# end";

        assert_eq!(masked(text), text);
    }
}
