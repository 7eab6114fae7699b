//! The operator's own text without the secrets in it.

use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// Keys whose text nobody else may read.
const SECRET: [&str; 4] = ["access_token", "app_secret", "password", "verify_token"];

/// The text with stars for every secret that stands in it. Text that is no TOML is not shown at all:
/// nobody can say what of it is secret.
pub fn masked(text: &str) -> String {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return String::new();
    }
    let mut places = Vec::new();
    in_table(table.get_ref(), &mut places);
    places.sort_by_key(|place: &Range<usize>| std::cmp::Reverse(place.start));
    let mut shown = text.to_owned();
    for place in places {
        shown.replace_range(place, "\"***\"");
    }
    shown
}

fn in_table(table: &DeTable<'_>, places: &mut Vec<Range<usize>>) {
    for (key, value) in table {
        let secret = SECRET.contains(&key.get_ref().as_ref());
        match value.get_ref() {
            DeValue::Table(inner) => in_table(inner, places),
            DeValue::Array(items) if !secret => {
                for item in items {
                    if let DeValue::Table(inner) = item.get_ref() {
                        in_table(inner, places);
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
                    places.push(value.span());
                }
            }
        }
    }
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
}
