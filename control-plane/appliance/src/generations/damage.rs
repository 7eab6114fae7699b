//! What is damaged is put aside, like a damaged journal, and never keeps a box from starting: the
//! newest generation that is whole holds, or the one with the same content.

use super::{By, Clocks, Generations, Link, Meta, NUMBER_MAX, New, hash, number, sync};
use std::{
    fs,
    io::{self, ErrorKind},
    path::PathBuf,
    time::SystemTime,
};

/// What was put aside ends in this and a number that tells it from others.
const ASIDE: &str = ".damaged-";
/// So many are kept for whoever wants to look.
const ASIDE_KEPT: usize = 20;

impl Meta {
    fn says_the_same_as(&self, other: &Self) -> bool {
        (&self.hash, &self.node, &self.site) == (&other.hash, &other.node, &other.site)
    }
}

impl Generations {
    /// From here on the folder holds whole generations, and the link leads to one of them if there
    /// is any.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        self.sweep_hidden()?;
        let (found, link, noted) = (self.numbers()?, self.link(), self.noted());
        for &number in &found {
            if let Err(error) = self.whole(number) {
                self.damaged += 1;
                let noted = noted.as_ref().filter(|meta| meta.generation == number);
                if !noted.is_some_and(|meta| self.restored(meta)) {
                    self.put_aside(&number.to_string(), &error.to_string())?;
                }
            }
        }
        let numbers = self.numbers()?;
        match link {
            Link::To(holds) => {
                // What was made after it never held; unless the link leads nowhere.
                let later = numbers.iter().filter(|number| **number > holds);
                for number in later.filter(|_| found.contains(&holds)) {
                    fs::remove_dir_all(self.folder(*number))?;
                }
                if !numbers.contains(&holds) {
                    self.damaged += u64::from(!found.contains(&holds));
                    tracing::error!("generation {holds}, which held, cannot be read");
                    self.replace(noted.as_ref().filter(|meta| meta.generation == holds))?;
                }
            }
            Link::None if numbers.is_empty() => {}
            // The very first one never held if nothing says so.
            Link::None if numbers == [1] && noted.is_none() => {
                fs::remove_dir_all(self.folder(1))?;
            }
            Link::Damaged | Link::None => {
                self.damaged += 1;
                match link {
                    Link::Damaged => self.put_aside("current", "it is no link to a generation")?,
                    Link::None | Link::To(_) => {
                        tracing::error!("nothing says which generation holds")
                    }
                }
                match &noted {
                    Some(meta) if numbers.contains(&meta.generation) => {
                        tracing::error!("generation {} was the last to hold", meta.generation);
                        self.switch(meta.generation)?;
                    }
                    Some(meta) => self.replace(Some(meta))?,
                    None => self.adopt()?,
                }
            }
        }
        if let Some(current) = self.current()?
            && noted.as_ref() != Some(&current)
        {
            self.note(&current);
        }
        Ok(())
    }

    fn sweep_hidden(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Everything of it can be read and is what was written.
    fn whole(&self, number: u64) -> io::Result<Meta> {
        let meta = self.meta(number)?;
        let sources = self.sources(&meta)?;
        if meta.generation != number || hash(&sources) != meta.hash {
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "its files are not what was written",
            ));
        }
        Ok(meta)
    }

    /// Whether its texts are whole, so that only what was known of them had to be written again.
    fn restored(&mut self, noted: &Meta) -> bool {
        if !self.sources(noted).is_ok_and(|sources| hash(&sources) == noted.hash) {
            return false;
        }
        let number = noted.generation;
        let (file, name) = (format!("{number}/meta.json"), format!("{number}.meta"));
        if self.dir.join(&file).symlink_metadata().is_ok()
            && self.put_aside_as(&file, &name, "it is not what was written").is_err()
        {
            return false;
        }
        tracing::error!(generation = number, "its meta.json is written again; it holds");
        self.rewrite(noted).is_ok()
    }

    fn put_aside(&self, name: &str, why: &str) -> io::Result<()> {
        self.put_aside_as(name, name, why)
    }

    fn put_aside_as(&self, what: &str, name: &str, why: &str) -> io::Result<()> {
        let free = (1_u32..).map(|count| self.dir.join(format!("{name}{ASIDE}{count}")));
        let mut free = free.filter(|path| path.symlink_metadata().is_err());
        let to = free.next().unwrap_or_else(|| self.dir.join(format!("{name}{ASIDE}0")));
        tracing::error!(what, why, kept = %to.display(), "what is damaged is put aside");
        fs::rename(self.dir.join(what), to)?;
        sync(&self.dir)
    }

    /// In place of one that held and is lost: its content again if another has it, as after a
    /// rollback; else the one it followed, else the newest. Never what it was gone back from, if that
    /// can be known.
    fn replace(&self, lost: Option<&Meta>) -> io::Result<()> {
        let history = self.history()?;
        if let Some(lost) = lost
            && let Some(same) = history.iter().find(|meta| meta.says_the_same_as(lost))
        {
            return self.hold_again(same, lost.clone());
        }
        let before = lost.and_then(|lost| lost.before);
        let before = history.iter().find(|meta| Some(meta.generation) == before);
        let steady = |meta: &&Meta| meta.confirm.is_none();
        let came_up = |meta: &&Meta| steady(meta) && self.came_up(meta.generation);
        let next = before.filter(steady).or_else(|| history.iter().find(came_up));
        let next = next.or_else(|| history.iter().find(steady));
        let Some(next) = next.or_else(|| history.first()) else {
            return match self.link() {
                Link::None => Ok(()),
                Link::To(_) | Link::Damaged => {
                    self.put_aside("current", "no generation can be read")
                }
            };
        };
        self.hold_again(next, Meta { by: By::Fallback, ..next.clone() })
    }

    fn hold_again(&self, old: &Meta, as_if: Meta) -> io::Result<()> {
        let new = New {
            by: as_if.by,
            sources: &self.sources(old)?,
            plan: self.plan(old.generation),
            seen: as_if.seen,
            before: as_if.before,
            of: Some(old.generation),
            confirm: as_if.confirm,
        };
        let meta = self.prepare(&new, Clocks::now())?;
        tracing::error!(generation = meta.generation, of = old.generation, "holds in its place");
        self.switch(meta.generation)
    }

    /// Where nothing says which one held: the newest, and one that waits for its confirmation only if
    /// there is no other.
    fn adopt(&self) -> io::Result<()> {
        let history = self.history()?;
        let newest = history.iter().find(|meta| meta.confirm.is_none()).or_else(|| history.first());
        let Some(newest) = newest else { return Ok(()) };
        tracing::error!(generation = newest.generation, "the newest whole generation holds");
        self.switch(newest.generation)
    }

    fn aside(&self) -> io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().contains(ASIDE) {
                found.push(entry.path());
            }
        }
        Ok(found)
    }

    /// The greatest number that was put aside.
    pub(super) fn last_aside(&self) -> io::Result<Option<u64>> {
        let aside = self.aside()?.into_iter();
        let names = aside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        let numbers = names.filter_map(|name| number(name.split_once(ASIDE)?.0));
        // A folder that somebody put there must not use the numbers up.
        Ok(numbers.filter(|number| *number < NUMBER_MAX / 2).max())
    }

    /// Keeps the newest of what was put aside.
    pub(super) fn prune_aside(&self) -> io::Result<()> {
        let mut aside = self.aside()?;
        aside.sort_by_cached_key(|path| {
            let about = path.symlink_metadata().and_then(|about| about.modified());
            std::cmp::Reverse(about.unwrap_or(SystemTime::UNIX_EPOCH))
        });
        for path in aside.into_iter().skip(ASIDE_KEPT) {
            match path.symlink_metadata()?.is_dir() {
                true => fs::remove_dir_all(path)?,
                false => fs::remove_file(path)?,
            }
        }
        Ok(())
    }
}
