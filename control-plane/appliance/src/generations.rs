//! Every configuration that held on this box, on disk: `data_dir/generations/N/`, and the link
//! `current`, whose switch is the one moment at which another one holds.
//!
//! Nothing is changed in a generation once it was made, except that it was confirmed. A rollback is a
//! new generation with an old content, so the greatest number is always the one that holds.

use control_plane::{cdr::to_rfc3339, config::Plan, time::Stamp};
use firmware_config::{Config, Host, Source, Sources, from_sources};
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

/// Older ones are removed.
const KEPT: usize = 50;

/// How a generation came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The operator's file, found new at a start.
    Start,
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
    pub plan: &'a Plan,
    pub seen: String,
    pub before: Option<u64>,
    pub of: Option<u64>,
    pub confirm: Option<Confirm>,
}

/// The folder of them all. One process's, like the data folder it lies in.
#[derive(Debug)]
pub struct Generations {
    dir: PathBuf,
}

impl Generations {
    /// Also sweeps away what a crash left half made: whatever never became the current one.
    pub fn open(data_dir: &Path) -> io::Result<Self> {
        let dir = data_dir.join("generations");
        DirBuilder::new().recursive(true).mode(0o750).create(&dir)?;
        let all = Self { dir };
        let current = all.current_number()?;
        for entry in fs::read_dir(&all.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.parse::<u64>().ok());
            let half = match number {
                Some(number) => current.is_none_or(|current| number > current),
                None => name.to_string_lossy().starts_with('.'),
            };
            if half && entry.path().is_dir() {
                fs::remove_dir_all(entry.path())?;
            } else if half {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(all)
    }

    /// The one that holds; none on a new box.
    pub fn current(&self) -> io::Result<Option<Meta>> {
        self.current_number()?.map(|number| self.meta(number)).transpose()
    }

    fn current_number(&self) -> io::Result<Option<u64>> {
        match fs::read_link(self.dir.join("current")) {
            Ok(to) => Ok(to.to_str().and_then(|to| to.parse().ok())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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
        let mut numbers: Vec<u64> = names.filter_map(|name| name.parse().ok()).collect();
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
        let number = self.numbers()?.last().map_or(1, |last| last + 1);
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
        write(&half.join("plan.json"), &json(serde_json::to_value(new.plan)?)?)?;
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
        sync(&self.dir)
    }

    /// Takes back what was prepared and could not be carried out.
    pub fn undo(&self, prepared: u64, holds: u64) -> io::Result<()> {
        self.switch(holds)?;
        fs::remove_dir_all(self.folder(prepared))
    }

    /// Somebody has said that the box can be reached.
    pub fn confirmed(&self, meta: &Meta) -> io::Result<Meta> {
        let meta = Meta { confirm: None, ..meta.clone() };
        let folder = self.folder(meta.generation);
        let half = folder.join(".meta.new");
        write(&half, &serde_json::to_vec_pretty(&meta).map_err(io::Error::other)?)?;
        fs::rename(&half, folder.join("meta.json"))?;
        sync(&folder)?;
        Ok(meta)
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
        Ok(())
    }

    fn folder(&self, number: u64) -> PathBuf {
        self.dir.join(number.to_string())
    }
}

/// The configuration that holds in this data folder, for who may read it; the folder is left as it is.
pub fn held(data_dir: &Path, host: &Host) -> Option<Config> {
    let all = Generations { dir: data_dir.join("generations") };
    let sources = all.sources(&all.current().ok()??).ok()?;
    from_sources(&sources, host).ok().map(|loaded| loaded.config)
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
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const NOON: Clocks = Clocks { unix_ms: 1_800_000_000_000, boot_ms: 60_000 };

    struct Bench {
        dir: PathBuf,
        all: Generations,
    }

    impl Bench {
        fn new(name: &str) -> Self {
            let dir =
                std::env::temp_dir().join(format!("clavija-gen-{name}-{}", std::process::id()));
            let all = Generations::open(&dir).unwrap();
            Self { dir, all }
        }

        fn prepare(&self, text: &str) -> Meta {
            let source = |text: &str| Source {
                name: "x.toml".into(),
                folder: "/etc/clavija".into(),
                text: text.into(),
            };
            let sources = Sources { node: source("node"), site: Some(source(text)) };
            let plan = Plan {
                trunks: vec![],
                seats: vec![],
                teams: vec![],
                numbers: vec![],
                gone: Default::default(),
            };
            let new = New {
                by: By::Apply,
                sources: &sources,
                plan: &plan,
                seen: hash(&sources),
                before: None,
                of: None,
                confirm: None,
            };
            self.all.prepare(&new, NOON).unwrap()
        }

        fn hold(&self, text: &str) -> Meta {
            let meta = self.prepare(text);
            self.all.switch(meta.generation).unwrap();
            meta
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.dir).unwrap();
        }
    }

    #[test]
    fn a_crash_between_prepare_and_switch_leaves_the_old_generation_whole() {
        let bench = Bench::new("crash");
        let old = bench.hold("one");
        bench.prepare("two");
        fs::create_dir(bench.dir.join("generations/.7.new")).unwrap();
        symlink("9", bench.dir.join("generations/.current.new")).unwrap();

        let again = Generations::open(&bench.dir).unwrap();

        assert_eq!(again.current().unwrap(), Some(old.clone()));
        assert_eq!(again.sources(&old).unwrap().site.unwrap().text, "one");
        assert_eq!(again.history().unwrap().len(), 1, "what was half made is gone");
        let left = fs::read_dir(bench.dir.join("generations")).unwrap().count();
        assert_eq!(left, 2, "the generation and the link");
    }

    #[test]
    fn a_generation_is_for_the_operator_and_their_group() {
        let bench = Bench::new("modes");
        bench.hold("one");
        let mode = |path: &str| {
            let about = fs::metadata(bench.dir.join("generations").join(path)).unwrap();
            about.permissions().mode() & 0o777
        };

        assert_eq!((mode("1"), mode("1/site.toml"), mode("1/meta.json")), (0o750, 0o640, 0o640));
    }

    #[test]
    fn so_many_are_kept_and_never_is_the_one_lost_that_may_be_gone_back_to() {
        let bench = Bench::new("prune");
        for _ in 0..KEPT + 5 {
            bench.hold("x");
        }
        let confirm = Confirm::new(2, Duration::from_secs(60), NOON);
        let current = Meta { confirm: Some(confirm), ..bench.all.current().unwrap().unwrap() };

        bench.all.prune(&current).unwrap();

        let numbers = bench.all.numbers().unwrap();
        assert_eq!((numbers.len(), numbers[0], numbers[1]), (KEPT + 1, 2, 6));
    }

    #[test]
    fn time_to_confirm_runs_out_whatever_is_done_to_the_wall_clock() {
        let confirm = Confirm::new(1, Duration::from_secs(600), NOON);
        let at = |unix: i64, boot: u64| Clocks {
            unix_ms: NOON.unix_ms.saturating_add_signed(unix),
            boot_ms: boot,
        };

        assert!(!confirm.is_due(at(599_000, 659_000)));
        assert!(confirm.is_due(at(600_000, 10)), "after another boot the wall clock counts");
        assert!(confirm.is_due(at(-86_400_000, 660_000)), "a wall clock set back gives nothing");
    }

    #[test]
    fn what_was_confirmed_stays_so() {
        let bench = Bench::new("confirm");
        let held = bench.hold("one");
        let confirm = Some(Confirm::new(1, Duration::from_secs(1), NOON));

        bench.all.confirmed(&Meta { confirm, ..held }).unwrap();

        assert_eq!(bench.all.current().unwrap().unwrap().confirm, None);
    }
}
