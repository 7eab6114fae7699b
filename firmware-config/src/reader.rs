//! Reads spanned TOML tables by name and type: every key is asked for, what was not asked for is a fault.

use crate::{
    fault::{Fault, Missing, Report, Reported},
    nearest::{nearest, quoted_list},
};
use std::{
    ops::RangeInclusive,
    path::{Component, Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

/// A key that may be absent (`Ok(None)`) or was refused and reported.
pub(crate) type Given<T> = Result<Option<T>, Reported>;

/// One file of the operator's.
pub(crate) struct SourceFile {
    /// As the operator named it, for messages.
    pub(crate) name: String,
    pub(crate) text: String,
    /// Where the file's relative paths are read from.
    pub(crate) folder: PathBuf,
    /// Byte offsets at which lines begin.
    line_starts: Vec<usize>,
}

impl SourceFile {
    pub(crate) fn new(name: String, text: String, folder: &Path) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_newlines).collect();
        Self { name, text, folder: folder.to_owned(), line_starts }
    }

    /// Parses the text; every syntax error is reported at its line.
    pub(crate) fn parse(&self, report: &mut Report) -> Result<DeTable<'_>, Reported> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        let mut refused = None;
        for error in errors {
            let line = error.span().map(|span| self.line(span.start));
            let mut what = error.message().replace('\n', " ");
            // Only this error's span is a key for sure; others may hold a secret.
            if what == "duplicate key"
                && let Some(key) = error.span().and_then(|span| self.text.get(span))
            {
                what = format!("{what} {key}; write it once");
            }
            refused = Some(report.fault(&self.name, line, &format!("not TOML: {what}")));
        }
        refused.map_or_else(|| Ok(table.into_inner()), Err)
    }

    /// Counted from 1.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= offset)
    }
}

/// A value and the line it stands on.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) line: usize,
}

/// One of several tables of a kind (`[[trunk]]`), in the order of the file.
pub(crate) struct Entry<T> {
    /// What its `name` key says, valid or not, so that others can be told apart from it.
    pub(crate) name: Option<At<String>>,
    pub(crate) content: Result<T, Reported>,
}

/// One table while it is read.
pub(crate) struct Section<'a> {
    pub(crate) file: &'a SourceFile,
    pub(crate) report: &'a mut Report,
    /// What stands before a key in messages: `sip.` or `trunk "carrier": `.
    label: String,
    /// What the table is called in messages.
    title: String,
    /// Where the table begins; none for the file itself or a table that is absent.
    line: Option<usize>,
    table: Option<&'a DeTable<'a>>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Reads a whole file; what `read` did not ask for is reported.
    pub(crate) fn read_root<T>(
        file: &'a SourceFile,
        table: &'a DeTable<'a>,
        report: &'a mut Report,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let root = Section {
            file,
            report,
            label: String::new(),
            title: "the first level".to_owned(),
            line: None,
            table: Some(table),
            asked: vec![],
        };
        root.read_and_finish(read)
    }

    /// Reads `[key]`; an absent table reads like an empty one.
    pub(crate) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let Some(value) = self.value(key) else {
            return self.child(format!("{key}."), format!("[{key}]"), None, None, read);
        };
        let line = self.file.line(value.span().start);
        let DeValue::Table(table) = value.get_ref() else {
            let what = format!("{} is not a table; write [{key}] above its keys", show(value));
            return Err(self.refuse(line, key, &what));
        };
        self.child(format!("{key}."), format!("[{key}]"), Some(line), Some(table), read)
    }

    /// Reads a table given as the value of `key`: `password = { file = "…" }`.
    pub(crate) fn inline<T>(
        &mut self,
        key: &'static str,
        table: &'a DeTable<'a>,
        line: usize,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let label = format!("{}{key}.", self.label);
        self.child(label, key.to_owned(), Some(line), Some(table), read)
    }

    /// Reads every `[[key]]`.
    pub(crate) fn each<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Section<'_>) -> Result<T, Reported>,
    ) -> Result<Vec<Entry<T>>, Reported> {
        let Some(value) = self.value(key) else { return Ok(vec![]) };
        let DeValue::Array(items) = value.get_ref() else {
            let line = self.file.line(value.span().start);
            let what = format!("is not a list of tables; write [[{key}]] above each one");
            return Err(self.refuse(line, key, &what));
        };
        Ok(items
            .iter()
            .enumerate()
            .map(|(at, item)| self.entry(key, at, item, &mut read))
            .collect())
    }

    fn entry<T>(
        &mut self,
        key: &'static str,
        at: usize,
        item: &'a Spanned<DeValue<'a>>,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Reported>,
    ) -> Entry<T> {
        let line = self.file.line(item.span().start);
        let DeValue::Table(table) = item.get_ref() else {
            let what = format!("{} is not a table; write [[{key}]] above its keys", show(item));
            return Entry { name: None, content: Err(self.refuse(line, key, &what)) };
        };
        // Rows of numbers have no name; their number tells them apart.
        let named = table.get("name").or_else(|| table.get("number"));
        let name = named.and_then(|value| {
            let line = self.file.line(value.span().start);
            Some(At { value: value.get_ref().as_str()?.to_owned(), line })
        });
        let label = match &name {
            Some(name) => format!("{key} {:?}: ", cut(&name.value)),
            None => format!("{key} {}: ", at + 1),
        };
        let content = self.child(label, format!("[[{key}]]"), Some(line), Some(table), read);
        Entry { name, content }
    }

    fn child<T>(
        &mut self,
        label: String,
        title: String,
        line: Option<usize>,
        table: Option<&DeTable<'_>>,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let child = Section {
            file: self.file,
            report: self.report,
            label,
            title,
            line,
            table,
            asked: vec![],
        };
        child.read_and_finish(read)
    }

    fn read_and_finish<T>(
        mut self,
        read: impl FnOnce(&mut Section<'_>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let content = read(&mut self);
        match self.refuse_unknown_keys() {
            Some(reported) => Err(reported),
            None => content,
        }
    }

    fn refuse_unknown_keys(&mut self) -> Option<Reported> {
        let table = self.table?;
        let mut unknown: Vec<_> =
            table.keys().filter(|key| !self.asked.contains(&key.get_ref().as_ref())).collect();
        unknown.sort_by_key(|key| key.span().start);
        self.asked.sort_unstable();
        self.asked.dedup();
        let mut last = None;
        for key in unknown {
            let (line, name) = (self.file.line(key.span().start), key.get_ref().as_ref());
            let near = nearest(name, self.asked.iter().copied()).unwrap_or_default();
            let what = format!(
                "{}{} is not a key here; did you mean {near}? {} takes {}",
                self.label,
                cut(name),
                self.title,
                self.asked.join(", ")
            );
            last = Some(self.report.fault(&self.file.name, Some(line), &what));
        }
        last
    }

    /// The value as it stands, for what the typed readers below do not cover.
    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table?.get(key)
    }

    pub(crate) fn text(&mut self, key: &'static str, like: &str) -> Given<At<String>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let line = self.file.line(value.span().start);
        match value.get_ref().as_str() {
            Some(text) => Ok(Some(At { value: text.to_owned(), line })),
            None => {
                Err(self.refuse_value(key, value, &format!("is not text; write it like {like:?}")))
            }
        }
    }

    /// Text that `parse` turns into a value, or says why not (`is not an address; write …`).
    pub(crate) fn parsed<T>(
        &mut self,
        key: &'static str,
        like: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Given<At<T>> {
        let Some(At { value: text, line }) = self.text(key, like)? else { return Ok(None) };
        match parse(&text) {
            Ok(value) => Ok(Some(At { value, line })),
            Err(why) => Err(self.refuse(line, key, &format!("{:?} {why}", cut(&text)))),
        }
    }

    /// A list of texts, each parsed; every bad one is reported.
    pub(crate) fn parsed_list<T>(
        &mut self,
        key: &'static str,
        like: &str,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Given<Vec<At<T>>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let DeValue::Array(items) = value.get_ref() else {
            let what = format!("is not a list; write it like [{like:?}]");
            return Err(self.refuse_value(key, value, &what));
        };
        self.items(key, items, like, &mut parse).map(Some)
    }

    fn items<T>(
        &mut self,
        key: &'static str,
        items: &DeArray<'_>,
        like: &str,
        parse: &mut impl FnMut(&str) -> Result<T, String>,
    ) -> Result<Vec<At<T>>, Reported> {
        let (mut list, mut refused) = (vec![], None);
        for item in items {
            let line = self.file.line(item.span().start);
            let parsed = match item.get_ref().as_str() {
                Some(text) => parse(text).map_err(|why| format!("{:?} {why}", cut(text))),
                None => Err(format!("{} is not text; write it like {like:?}", show(item))),
            };
            match parsed {
                Ok(value) => list.push(At { value, line }),
                Err(what) => refused = Some(self.refuse(line, key, &what)),
            }
        }
        refused.map_or(Ok(list), Err)
    }

    pub(crate) fn whole(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Given<At<u32>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        self.number(key, value, &range).map(Some)
    }

    /// A list of whole numbers; every bad one is reported.
    pub(crate) fn whole_list(
        &mut self,
        key: &'static str,
        like: &str,
        range: RangeInclusive<u32>,
    ) -> Given<At<Vec<u32>>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let line = self.file.line(value.span().start);
        let DeValue::Array(items) = value.get_ref() else {
            let what = format!("is not a list; write it like {like}");
            return Err(self.refuse_value(key, value, &what));
        };
        let (mut list, mut refused) = (vec![], None);
        for item in items {
            match self.number(key, item, &range) {
                Ok(number) => list.push(number.value),
                Err(reported) => refused = Some(reported),
            }
        }
        refused.map_or(Ok(Some(At { value: list, line })), Err)
    }

    fn number(
        &mut self,
        key: &'static str,
        value: &Spanned<DeValue<'_>>,
        range: &RangeInclusive<u32>,
    ) -> Result<At<u32>, Reported> {
        let line = self.file.line(value.span().start);
        let wanted = format!("write a whole number from {} to {}", range.start(), range.end());
        let Some(digits) = value.get_ref().as_integer() else {
            return Err(self.refuse_value(key, value, &format!("is not a whole number; {wanted}")));
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
        match number.and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n)) {
            Some(value) => Ok(At { value, line }),
            None => Err(self.refuse_value(key, value, &format!("is out of range; {wanted}"))),
        }
    }

    /// A number with or without a point.
    pub(crate) fn decimal(
        &mut self,
        key: &'static str,
        range: RangeInclusive<i16>,
    ) -> Given<At<f32>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let line = self.file.line(value.span().start);
        let (least, most) = (f32::from(*range.start()), f32::from(*range.end()));
        let wanted = format!("write a number from {least} to {most}");
        let number: Option<f32> = match value.get_ref() {
            DeValue::Integer(digits) => {
                let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
                // What is beyond its range is beyond ours.
                Some(number.and_then(|n| i16::try_from(n).ok()).map_or(f32::INFINITY, f32::from))
            }
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        match number {
            None => Err(self.refuse_value(key, value, &format!("is not a number; {wanted}"))),
            Some(number) if (least..=most).contains(&number) => {
                Ok(Some(At { value: number, line }))
            }
            Some(_) => Err(self.refuse_value(key, value, &format!("is out of range; {wanted}"))),
        }
    }

    pub(crate) fn flag(&mut self, key: &'static str) -> Given<bool> {
        let Some(value) = self.value(key) else { return Ok(None) };
        match value.get_ref().as_bool() {
            Some(flag) => Ok(Some(flag)),
            None => Err(self.refuse_value(key, value, "is not a yes or no; write true or false")),
        }
    }

    /// A path, read from the folder of the file that names it.
    pub(crate) fn path(&mut self, key: &'static str, like: &str) -> Given<At<PathBuf>> {
        let folder = self.file.folder.clone();
        self.parsed(key, like, |text| match text {
            "" => Err(format!("is no path; write it like {like:?}")),
            text => Ok(one_name(&folder.join(text))),
        })
    }

    /// An absent key that must be there becomes a fault.
    pub(crate) fn required<T>(
        &mut self,
        key: &str,
        given: Given<T>,
        like: &str,
    ) -> Result<T, Reported> {
        match given? {
            Some(value) => Ok(value),
            None => Err(self.refuse_table(&format!("{key} is missing; write it like {like}"))),
        }
    }

    /// `label.key: what`, at `line`.
    pub(crate) fn refuse(&mut self, line: usize, key: &str, what: &str) -> Reported {
        let message = format!("{}{key}: {what}", self.label);
        self.report.fault(&self.file.name, Some(line), &message)
    }

    /// `label.key: what`, at `line`, of a file that cannot be had.
    pub(crate) fn lack(
        &mut self,
        kind: fn(&mut Missing) -> &mut Vec<Fault>,
        (line, key): (usize, &str),
        what: &str,
    ) -> Result<(), Reported> {
        let message = format!("{}{key}: {what}", self.label);
        self.report.lack(kind, (&self.file.name, line), &message)
    }

    /// `label what`, where the table begins.
    pub(crate) fn refuse_table(&mut self, what: &str) -> Reported {
        let message = format!("{}{what}", self.label);
        self.report.fault(&self.file.name, self.line, &message)
    }

    /// `label what`, at this line.
    pub(crate) fn refuse_at(&mut self, line: usize, what: &str) -> Reported {
        let message = format!("{}{what}", self.label);
        self.report.fault(&self.file.name, Some(line), &message)
    }

    /// `label what`, where the table begins: of the host, not of what was written.
    pub(crate) fn refuse_for_host(&mut self, what: &str) -> Reported {
        let message = format!("{}{what}", self.label);
        self.report.fault_of_host(&self.file.name, self.line, &message)
    }

    pub(crate) fn warn_of_host(&mut self, what: &str) {
        let message = format!("{}{what}", self.label);
        self.report.warn_of_host(&self.file.name, self.line, &message);
    }

    pub(crate) fn warn(&mut self, line: usize, key: &str, what: &str) {
        let message = format!("{}{key}: {what}", self.label);
        self.report.warn(&self.file.name, Some(line), &message);
    }

    pub(crate) fn line_of(&self, value: &Spanned<DeValue<'_>>) -> usize {
        self.file.line(value.span().start)
    }

    /// `label.key: value what`, at the value.
    pub(crate) fn refuse_value(
        &mut self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        what: &str,
    ) -> Reported {
        let line = self.line_of(value);
        self.refuse(line, key, &format!("{} {what}", show(value)))
    }
}

/// Resolves names that one table gives to others.
pub(crate) struct Names {
    /// `agent`, `trunk`…
    what: &'static str,
    list: Vec<Option<String>>,
}

impl Names {
    /// Also reports every name that is given twice.
    pub(crate) fn of<T>(
        what: &'static str,
        entries: &[Entry<T>],
        file: &SourceFile,
        report: &mut Report,
    ) -> Self {
        refuse_twice(entries.iter().filter_map(|entry| entry.name.as_ref()), |twice, first| {
            let message = format!(
                "{what} {:?} is named twice, first on line {first}; give each its own name",
                cut(&twice.value)
            );
            report.fault(&file.name, Some(twice.line), &message);
        });
        let name = |entry: &Entry<T>| entry.name.as_ref().map(|name| name.value.clone());
        Self { what, list: entries.iter().map(name).collect() }
    }

    /// The place of `name` in the list, or why there is none.
    pub(crate) fn find(&self, name: &str) -> Result<usize, String> {
        let place = self.list.iter().position(|known| known.as_deref() == Some(name));
        place.ok_or_else(|| match nearest(name, self.list.iter().flatten().map(String::as_str)) {
            Some(near) => {
                let known = quoted_list(self.list.iter().flatten().map(String::as_str));
                format!("is no {}; did you mean {near:?}? There is {known}", self.what)
            }
            None => format!("is no {0}; there is no [[{0}]] at all", self.what),
        })
    }
}

/// Calls `refuse` with every value that was there before, and the line of the first.
pub(crate) fn refuse_twice<'v, K: Ord + 'v>(
    values: impl Iterator<Item = &'v At<K>>,
    mut refuse: impl FnMut(&At<K>, usize),
) {
    let mut first = std::collections::BTreeMap::new();
    for at in values {
        match first.get(&at.value) {
            Some(line) => refuse(at, *line),
            None => _ = first.insert(&at.value, at.line),
        }
    }
}

/// The value as the operator wrote it, short enough for one line.
fn show(value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::String(text) => format!("{:?}", cut(text)),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(date) => date.to_string(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn cut(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// A path without `.` and `..`, so that what lies there has one name. A link is followed only where
/// `..` leads out of what it leads to.
pub(crate) fn one_name(path: &Path) -> PathBuf {
    let mut whole = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if whole.is_symlink()
                    && let Ok(real) = whole.canonicalize()
                {
                    whole = real;
                }
                // Of a path that begins nowhere nobody knows what is above it; above the root is the root.
                if whole.as_os_str().is_empty() || whole.ends_with("..") {
                    whole.push(part);
                } else {
                    whole.pop();
                }
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => whole.push(part),
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_what_leads_out_of_where_nobody_knows_it_begins() {
        for (path, one) in [
            ("/var/./lib/../spool", "/var/spool"),
            ("/../etc", "/etc"),
            ("../music/a.wav", "../music/a.wav"),
            ("new/../../music", "../music"),
            ("../../a", "../../a"),
        ] {
            assert_eq!(one_name(Path::new(path)), Path::new(one), "{path}");
        }
    }
}
