//! Every configuration that held on this box, on disk: `data_dir/generations/N/`, and the link
//! `current`, whose switch is the one moment at which another one holds.
//!
//! Nothing is changed in a generation once it was made, except that it was confirmed. A rollback is a
//! new generation with an old content, so the greatest number is always the one that holds.

mod damage;

use crate::start::make_folder;
use control_plane::{cdr::to_rfc3339, config::Plan, time::Stamp};
use firmware_config::{Http, Source, Sources, glimpse};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use utoipa::ToSchema;

/// Beyond it no number is a generation's: JSON carries those up to here exactly, and none comes near.
const NUMBER_MAX: u64 = 1 << 53;
/// A second copy of what is known of the one that holds.
const NOTE: &str = "holds.json";
/// Lies in every generation the box ran by.
const CAME_UP: &str = "came-up";
/// Older ones are removed.
const KEPT: usize = 50;

/// How a generation came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The operator's file, found new at a start.
    Start,
    /// A start at which the one that was meant could not be had: the next one that can.
    Fallback,
    Apply,
    Reload,
    Rollback,
    /// Nobody confirmed in time.
    Unconfirmed,
}

/// What is known of a generation besides its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    pub generation: u64,
    /// RFC 3339.
    pub made_at: String,
    pub by: By,
    /// SHA-256 of its files.
    pub hash: String,
    node: Place,
    site: Option<Place>,
    /// What the operator's own files were then. As long as they stay so, this generation counts.
    pub seen: String,
    /// The one to go back to.
    pub before: Option<u64>,
    /// Whose content it has again.
    pub of: Option<u64>,
    pub confirm: Option<Confirm>,
}

impl Meta {
    /// The operator's file it was made from.
    pub fn file(&self) -> &str {
        &self.node.name
    }
}

/// Where a file of the operator's came from: messages name it, relative paths are read from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Place {
    name: String,
    folder: PathBuf,
}

/// Until when somebody has to say that they can still reach the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirm {
    pub back_to: u64,
    deadline_unix_ms: u64,
    /// By the clock that counts from the boot: a wall clock that is set back gives nobody more time.
    /// After another boot it stands at less, and reaches this only when as much time has passed.
    deadline_boot_ms: u64,
}

/// What both clocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    pub unix_ms: u64,
    pub boot_ms: u64,
}

impl Clocks {
    pub fn now() -> Self {
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { unix_ms: ms(unix), boot_ms: ms(boot) }
    }

    fn stamp(self) -> String {
        to_rfc3339(Stamp(self.unix_ms.saturating_mul(1_000)))
    }
}

impl Confirm {
    pub fn new(back_to: u64, within: Duration, now: Clocks) -> Self {
        let ms = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
        Self {
            back_to,
            deadline_unix_ms: now.unix_ms.saturating_add(ms),
            deadline_boot_ms: now.boot_ms.saturating_add(ms),
        }
    }

    pub fn is_due(&self, now: Clocks) -> bool {
        now.unix_ms >= self.deadline_unix_ms || now.boot_ms >= self.deadline_boot_ms
    }

    /// RFC 3339.
    pub fn until(&self) -> String {
        to_rfc3339(Stamp(self.deadline_unix_ms.saturating_mul(1_000)))
    }
}

/// What a new generation is made from.
pub struct New<'a> {
    pub by: By,
    pub sources: &'a Sources,
    pub plan: PlanText,
    pub seen: String,
    pub before: Option<u64>,
    pub of: Option<u64>,
    pub confirm: Option<Confirm>,
}

/// What a generation means for calls, for people to read.
pub struct PlanText(Vec<u8>);

impl PlanText {
    pub fn of(plan: &Plan) -> io::Result<Self> {
        Ok(Self(serde_json::to_vec_pretty(plan).map_err(io::Error::other)?))
    }
}

/// The folder of them all. One process's, like the data folder it lies in.
#[derive(Debug)]
pub struct Generations {
    dir: PathBuf,
    /// What was found damaged and put aside.
    damaged: u64,
}

impl Generations {
    /// Also sweeps away what a crash left half made: whatever never became the current one. What
    /// cannot be read is put aside, and something that can be holds.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("generations");
        make_folder(&dir)?;
        let mut all = Self { dir, damaged: 0 };
        all.mend()?;
        Ok(all)
    }

    /// Whether a box ran with this data folder before.
    pub fn are_in(data_dir: &Path) -> bool {
        let all = Self::at(data_dir);
        all.dir.join("current").symlink_metadata().is_ok()
            || all.numbers().is_ok_and(|numbers| !numbers.is_empty())
    }

    fn at(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("generations"), damaged: 0 }
    }

    /// How much was found damaged at the start; a generation and the link to it are one.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// The one that holds; none on a new box.
    pub fn current(&self) -> io::Result<Option<Meta>> {
        match self.link() {
            Link::To(number) => self.meta(number).map(Some),
            Link::None | Link::Damaged => Ok(None),
        }
    }

    fn link(&self) -> Link {
        match fs::read_link(self.dir.join("current")) {
            Ok(to) => {
                let number = to.to_str().and_then(number);
                number.map_or(Link::Damaged, Link::To)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Link::None,
            Err(_) => Link::Damaged,
        }
    }

    /// This one and, from it back, those that others took the place of: first as they followed each
    /// other, then what else was kept and waits for no confirmation, newest first; but with which the
    /// box never came up, after all the others.
    pub fn back_from(&self, first: u64) -> io::Result<Vec<Meta>> {
        let mut rest = self.history()?;
        rest.retain(|meta| meta.generation <= first);
        let mut found: Vec<Meta> = Vec::new();
        let mut next = Some(first);
        while let Some(at) =
            next.and_then(|number| rest.iter().position(|m| m.generation == number))
        {
            let meta = rest.remove(at);
            next = meta.before;
            found.push(meta);
        }
        found.extend(rest);
        let waits = |meta: &Meta| meta.generation != first && meta.confirm.is_some();
        found.retain(|meta| !waits(meta));
        found.sort_by_key(|meta| meta.generation != first && !self.came_up(meta.generation));
        Ok(found)
    }

    pub fn meta(&self, number: u64) -> io::Result<Meta> {
        let bytes = fs::read(self.folder(number).join("meta.json"))?;
        serde_json::from_slice(&bytes).map_err(io::Error::other)
    }

    /// Newest first.
    pub fn history(&self) -> io::Result<Vec<Meta>> {
        let mut numbers = self.numbers()?;
        numbers.reverse();
        Ok(numbers.into_iter().filter_map(|number| self.meta(number).ok()).collect())
    }

    fn numbers(&self) -> io::Result<Vec<u64>> {
        let entries = fs::read_dir(&self.dir)?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut numbers: Vec<u64> = names.filter_map(|name| number(&name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The texts of a generation, read from where they were written.
    pub fn sources(&self, meta: &Meta) -> io::Result<Sources> {
        let folder = self.folder(meta.generation);
        let read = |place: &Place, file: &str| {
            let text = fs::read_to_string(folder.join(file))?;
            Ok::<_, io::Error>(Source {
                name: place.name.clone(),
                folder: place.folder.clone(),
                text,
            })
        };
        let site = meta.site.as_ref().map(|place| read(place, "site.toml")).transpose()?;
        Ok(Sources { node: read(&meta.node, "node.toml")?, site })
    }

    /// Writes a generation whole. It does not hold before [`Self::switch`].
    pub fn prepare(&self, new: &New<'_>, now: Clocks) -> io::Result<Meta> {
        // A number that was put aside or got lost is not given twice.
        let noted = self.noted().map(|meta| meta.generation);
        let last = self.numbers()?.last().copied().max(self.last_aside()?).max(noted);
        let number = last.map_or(1, |last| last.saturating_add(1));
        if number >= NUMBER_MAX {
            return Err(io::Error::other(format!("there is no number after {number}")));
        }
        let meta = Meta {
            generation: number,
            made_at: now.stamp(),
            by: new.by,
            hash: hash(new.sources),
            node: place(&new.sources.node),
            site: new.sources.site.as_ref().map(place),
            seen: new.seen.clone(),
            before: new.before,
            of: new.of,
            confirm: new.confirm,
        };
        let half = self.dir.join(format!(".{number}.new"));
        if half.exists() {
            fs::remove_dir_all(&half)?;
        }
        DirBuilder::new().mode(0o750).create(&half)?;
        write(&half.join("node.toml"), new.sources.node.text.as_bytes())?;
        if let Some(site) = &new.sources.site {
            write(&half.join("site.toml"), site.text.as_bytes())?;
        }
        let json = |value| serde_json::to_vec_pretty(&value).map_err(io::Error::other);
        write(&half.join("plan.json"), &new.plan.0)?;
        write(&half.join("meta.json"), &json(serde_json::to_value(&meta)?)?)?;
        sync(&half)?;
        fs::rename(&half, self.folder(number))?;
        sync(&self.dir)?;
        Ok(meta)
    }

    /// From here on this one holds, after a crash too.
    pub fn switch(&self, to: u64) -> io::Result<()> {
        let link = self.dir.join(".current.new");
        if link.symlink_metadata().is_ok() {
            fs::remove_file(&link)?;
        }
        symlink(to.to_string(), &link)?;
        fs::rename(&link, self.dir.join("current"))?;
        sync(&self.dir)?;
        if let Ok(meta) = self.meta(to) {
            self.note(&meta);
        }
        Ok(())
    }

    /// Once more outside of the generation, for when that is damaged. It holds without, too.
    fn note(&self, meta: &Meta) {
        let half = self.dir.join(".holds.new");
        let json = serde_json::to_vec_pretty(meta).map_err(io::Error::other);
        let noted = json.and_then(|json| {
            write(&half, &json)?;
            fs::rename(&half, self.dir.join(NOTE))?;
            sync(&self.dir)
        });
        if let Err(error) = noted {
            tracing::warn!(%error, "what is known of the generation that holds stands in it alone");
        }
    }

    /// What held when that was last written down; older versions did not.
    fn noted(&self) -> Option<Meta> {
        let meta: Meta = serde_json::from_slice(&fs::read(self.dir.join(NOTE)).ok()?).ok()?;
        (meta.generation < NUMBER_MAX).then_some(meta)
    }

    /// The plan of one, as it was written.
    pub fn plan(&self, number: u64) -> PlanText {
        PlanText(fs::read(self.folder(number).join("plan.json")).unwrap_or_default())
    }

    /// The box runs by it.
    pub fn comes_up(&self, number: u64) {
        if let Err(error) = write(&self.folder(number).join(CAME_UP), b"") {
            tracing::warn!(number, %error, "that the box came up with it is not written down");
        }
    }

    /// Whether the box ever ran by it; older versions did not write that down.
    fn came_up(&self, number: u64) -> bool {
        self.folder(number).join(CAME_UP).is_file()
    }

    /// Takes back what was prepared and could not be carried out.
    pub fn undo(&self, prepared: u64, holds: u64) -> io::Result<()> {
        self.switch(holds)?;
        fs::remove_dir_all(self.folder(prepared))
    }

    /// Somebody has said that the box can be reached.
    pub fn confirmed(&self, meta: &Meta) -> io::Result<Meta> {
        let meta = Meta { confirm: None, ..meta.clone() };
        self.rewrite(&meta)?;
        self.note(&meta);
        Ok(meta)
    }

    fn rewrite(&self, meta: &Meta) -> io::Result<()> {
        let folder = self.folder(meta.generation);
        let half = folder.join(".meta.new");
        write(&half, &serde_json::to_vec_pretty(meta).map_err(io::Error::other)?)?;
        fs::rename(&half, folder.join("meta.json"))?;
        sync(&folder)
    }

    /// Removes the oldest beyond the fifty newest, but none that may be gone back to by itself.
    pub fn prune(&self, current: &Meta) -> io::Result<()> {
        let numbers = self.numbers()?;
        let beyond = numbers.len().saturating_sub(KEPT);
        let needed = current.confirm.map(|confirm| confirm.back_to);
        for number in numbers.into_iter().take(beyond) {
            if number != current.generation && Some(number) != needed {
                fs::remove_dir_all(self.folder(number))?;
            }
        }
        self.prune_aside()
    }

    fn folder(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
    }
}

/// What the link says.
enum Link {
    /// There is none.
    None,
    To(u64),
    /// It is no link, or to something else.
    Damaged,
}

/// A generation's folder is named by its number and nothing else.
fn number(name: &str) -> Option<u64> {
    let number: u64 = name.parse().ok()?;
    ((1..NUMBER_MAX).contains(&number) && number.to_string() == name).then_some(number)
}

/// Where the box is asked that is started on this data folder; the folder is left as it is.
pub fn held(data_dir: &Path) -> Option<Http> {
    let all = Generations::at(data_dir);
    let sources = all.sources(&all.current().ok()??).ok()?;
    glimpse(&sources.node).map(|glimpse| glimpse.http)
}

/// SHA-256 of both texts.
pub fn hash(sources: &Sources) -> String {
    let mut hasher = Sha256::new();
    hasher.update(sources.node.text.as_bytes());
    hasher.update([0]);
    hasher.update(sources.site.as_ref().map_or("", |site| &site.text).as_bytes());
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place(source: &Source) -> Place {
    Place { name: source.name.clone(), folder: source.folder.clone() }
}

/// Passwords may stand in it: for the operator and their group.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

pub(crate) fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests;
