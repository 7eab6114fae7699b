//! What is damaged is put aside, like a damaged journal, and never keeps a box from starting: the
//! newest generation that is whole holds.

use super::{Generations, Link, Meta, hash, number, sync};
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

impl Generations {
    /// From here on the folder holds whole generations, and the link leads to one of them if there
    /// is any.
    pub(super) fn mend(&mut self) -> io::Result<()> {
        self.sweep_hidden()?;
        let found = self.numbers()?;
        for &number in &found {
            if let Err(error) = self.whole(number) {
                self.put_aside(&number.to_string(), &error.to_string())?;
            }
        }
        let numbers = self.numbers()?;
        match self.link() {
            Link::To(holds) => {
                // What was made after it never held; unless the link leads nowhere.
                let later = numbers.iter().filter(|number| **number > holds);
                for number in later.filter(|_| found.contains(&holds)) {
                    fs::remove_dir_all(self.folder(*number))?;
                }
                if !numbers.contains(&holds) {
                    self.put_aside("current", &format!("generation {holds} cannot be read"))?;
                    self.adopt()?;
                }
                Ok(())
            }
            Link::Damaged => {
                self.put_aside("current", "it is no link to a generation")?;
                self.adopt()
            }
            // The very first one never held if nothing says so.
            Link::None if numbers == [1] => fs::remove_dir_all(self.folder(1)),
            Link::None if numbers.is_empty() => Ok(()),
            Link::None => {
                self.damaged += 1;
                tracing::error!("nothing says which generation holds");
                self.adopt()
            }
        }
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

    fn put_aside(&mut self, name: &str, why: &str) -> io::Result<()> {
        self.damaged += 1;
        let free = (1_u32..).map(|count| self.dir.join(format!("{name}{ASIDE}{count}")));
        let mut free = free.filter(|path| path.symlink_metadata().is_err());
        let to = free.next().unwrap_or_else(|| self.dir.join(format!("{name}{ASIDE}0")));
        tracing::error!(what = name, why, kept = %to.display(), "a damaged generation is put aside");
        fs::rename(self.dir.join(name), to)?;
        sync(&self.dir)
    }

    /// The newest that is whole holds from now on; one that waits for its confirmation only if there is
    /// no other.
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
        Ok(names.filter_map(|name| number(name.split_once(ASIDE)?.0)).max())
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
