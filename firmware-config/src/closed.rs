//! Where calls go while nobody is there.

use crate::{
    fault::{Report, Reported},
    number::{Known, callable_trunk},
    reader::{At, Entry, Given, Section, SourceFile},
};
use toml::de::DeValue;

/// A place in the list of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    Agent(usize),
    /// In [`Config::music`](crate::Config::music): it is heard to its end.
    Message(usize),
    Team(usize),
    Trunk(usize),
}

/// What was written, before all names are known.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    way: &'static str,
    name: String,
    line: usize,
}

/// The keys of which one is written.
pub(crate) const WAYS: [&str; 4] = ["agent", "message", "team", "trunk"];

/// Reads `{ team = "night" }` and its like.
pub(crate) fn read(section: &mut Section<'_>) -> Given<Written> {
    const KEY: &str = "closed";
    const LIKE: &str =
        "write { message = \"…\" }, { team = \"…\" }, { agent = \"…\" } or { trunk = \"…\" }";
    let Some(value) = section.value(KEY) else { return Ok(None) };
    let line = section.line_of(value);
    let DeValue::Table(table) = value.get_ref() else {
        return Err(section.refuse_value(KEY, value, &format!("leads nowhere; {LIKE}")));
    };
    let written = section.inline(KEY, table, line, |inner| {
        let mut ways = Vec::new();
        for way in WAYS {
            ways.extend(inner.text(way, "night")?.map(|at: At<String>| (way, at)));
        }
        Ok(ways)
    })?;
    let mut written = written.into_iter();
    match (written.next(), written.next()) {
        (Some((way, At { value: name, line })), None) => Ok(Some(Written { way, name, line })),
        (None, _) => Err(section.refuse(line, KEY, &format!("leads nowhere; {LIKE}"))),
        (Some(_), Some(_)) => {
            Err(section.refuse(line, KEY, &format!("leads to more than one; {LIKE}")))
        }
    }
}

impl Written {
    pub(crate) fn find(&self, known: &Known<'_>) -> Result<Closed, String> {
        let name = self.name.as_str();
        let found = match self.way {
            "agent" => known.agents.find(name).map(Closed::Agent),
            "message" => known.music.find(name).map(Closed::Message),
            "team" => known.teams.find(name).map(Closed::Team),
            _ => callable_trunk(name, known).map(Closed::Trunk),
        };
        found.map_err(|why| format!("closed.{}: {name:?} {why}", self.way))
    }

    /// The same for a row of numbers, where all names are known already.
    pub(crate) fn found(
        &self,
        section: &mut Section<'_>,
        known: &Known<'_>,
    ) -> Result<Closed, Reported> {
        self.find(known).map_err(|why| section.refuse_at(self.line, &why))
    }
}

/// Finds what the teams have written, now that all of them are known.
pub(crate) fn resolve<T>(
    teams: &mut [Entry<T>],
    known: &Known<'_>,
    (file, report): (&SourceFile, &mut Report),
    parts: impl Fn(&mut T) -> (Option<Written>, &mut Option<Closed>),
) {
    for (place, entry) in teams.iter_mut().enumerate() {
        let Ok(team) = &mut entry.content else { continue };
        let (Some(written), closed) = parts(team) else { continue };
        let found = written.find(known).and_then(|found| match found {
            Closed::Team(to) if to == place => {
                Err("closed.team: leads back to the same team; write another one".to_owned())
            }
            Closed::Agent(_) | Closed::Message(_) | Closed::Team(_) | Closed::Trunk(_) => Ok(found),
        });
        match found {
            Ok(found) => *closed = Some(found),
            Err(why) => {
                let name = entry.name.as_ref().map(|name| name.value.as_str()).unwrap_or_default();
                let message = format!("team {name:?}: {why}");
                entry.content = Err(report.fault(&file.name, Some(written.line), &message));
            }
        }
    }
}
