//! What can still be seen in a file that does not hold: half edited, it must not hide where the box's
//! data lies and where the box is asked.

use crate::{
    Source,
    node::{ADMIN, Http},
    reader::one_name,
};
use std::{
    fs,
    path::{Path, PathBuf, absolute},
};
use toml::de::DeTable;

/// A few values of a `node.toml`, whatever is wrong with the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glimpse {
    pub data_dir: PathBuf,
    pub http: Http,
}

/// None if not even `node.data_dir` can be seen.
pub fn glimpse(node: &Source) -> Option<Glimpse> {
    let (table, _errors) = DeTable::parse_recoverable(&node.text);
    let text = |section: &str, key: &str| {
        let inside = table.get_ref().get(section).and_then(|inside| inside.get_ref().as_table());
        let whole = inside.and_then(|inside| text_of(inside, key));
        whole.or_else(|| on_a_line(&node.text, section, key))
    };
    let data_dir = one_name(&node.folder.join(text("node", "data_dir")?));
    let admin = text("http", "admin").and_then(|text| text.parse().ok()).unwrap_or(ADMIN);
    let admin_token_file = match text("http", "admin_token_file") {
        Some(file) => one_name(&node.folder.join(file)),
        None => data_dir.join("admin.token"),
    };
    Some(Glimpse { data_dir, http: Http { admin, admin_token_file } })
}

fn text_of(table: &DeTable<'_>, key: &str) -> Option<String> {
    let text = table.get(key)?.get_ref().as_str()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// What recovers from an error may leave out the lines behind it; a line of its own may be whole.
fn on_a_line(text: &str, section: &str, key: &str) -> Option<String> {
    let head = format!("[{section}]");
    let behind = text.lines().skip_while(|line| !line.trim_start().starts_with(&head)).skip(1);
    let mut lines = behind.take_while(|line| !line.trim_start().starts_with('['));
    lines.find_map(|line| {
        let (table, errors) = DeTable::parse_recoverable(line);
        errors.is_empty().then(|| text_of(table.get_ref(), key))?
    })
}

/// The same of a file on disk.
pub fn glimpse_file(path: &Path) -> Option<Glimpse> {
    let bytes = fs::read(path).ok()?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    glimpse(&Source {
        name: path.display().to_string(),
        folder: absolute(folder.join(".")).ok()?,
        text: String::from_utf8_lossy(&bytes).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Option<Glimpse> {
        glimpse(&Source { name: "node.toml".into(), folder: "/etc/x".into(), text: text.into() })
    }

    #[test]
    fn a_half_edited_file_still_says_where_the_data_lies_and_who_is_asked() {
        let whole = "[node]\nname = \"n\"\ndata_dir = \"data\"\n[sip]\nudp = \"127.0.0.1:5060\"\n\
                     [http]\nadmin = \"127.0.0.1:99\"\nadmin_token_file = \"t\"\n";
        for (from, to) in [
            ("name = \"n\"", "name = "),
            ("name = \"n\"", "nam"),
            ("udp = \"127.0.0.1:5060\"", "udp = \"127.0"),
            ("[sip]", "[si"),
            ("[sip]", "<<<<<<< mine"),
        ] {
            let glimpse = seen(&whole.replace(from, to)).unwrap_or_else(|| panic!("{to}"));

            assert_eq!(glimpse.data_dir, Path::new("/etc/x/data"), "{to}");
            assert_eq!(glimpse.http.admin.port(), 99, "{to}");
            assert_eq!(glimpse.http.admin_token_file, Path::new("/etc/x/t"), "{to}");
        }
    }

    #[test]
    fn what_is_cut_off_has_its_default_and_without_a_data_folder_there_is_nothing_to_see() {
        let cut = seen("[node]\ndata_dir = \"/d\"\n[http]\nadm").unwrap();

        assert_eq!(cut.http.admin, ADMIN);
        assert_eq!(cut.http.admin_token_file, Path::new("/d/admin.token"));
        assert_eq!(seen(""), None);
        assert_eq!(seen("[node]\nname = \"n\"\n"), None);
    }
}
