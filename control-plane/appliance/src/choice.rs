//! Which configuration counts at a start (ADR 0016): the operator's own files, if they have changed
//! since the box last decided; else the current generation.
//!
//! A box that ran before starts again: where the operator's file is refused, the current generation
//! counts, without the music and the secrets that are gone; where it cannot be had, the next older one
//! that can. Each is an error in the log and an alarm. What the host lacks for the moment, like an address, is waited for, not gone back from.

use crate::{
    generations::{By, Clocks, Generations, Meta, New, PlanText},
    live::{Alarms, Refused, first_lines, seen},
    plan,
    start::wall,
};
use firmware_config::{
    Config, Fault, Host, Missing, Sources, Warning, from_sources, from_sources_without,
    glimpse_file, sources,
};
use nix::fcntl::Flock;
use std::{
    env,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// Where the package keeps both.
const PACKAGED: (&str, &str) = ("/etc/clavija/node.toml", "/var/lib/clavija");

/// What a start found: which configuration counts, and where others are kept.
pub struct Kept {
    pub(crate) lock: Flock<File>,
    pub(crate) on_disk: OnDiskAtStart,
}

/// The same without the lock, which the running box holds.
pub(crate) struct OnDiskAtStart {
    pub(crate) generations: Generations,
    /// The operator's own file.
    pub(crate) file: PathBuf,
    pub(crate) chosen: Chosen,
    pub(crate) sources: Sources,
    pub(crate) alarms: Alarms,
}

/// What a start goes by.
pub(crate) enum Chosen {
    Kept(Meta),
    /// The operator's file, found new: a generation once the box has come up with it.
    New {
        plan: PlanText,
        seen: String,
        before: Option<u64>,
    },
}

/// The same once it holds.
pub(crate) struct HeldAtStart {
    pub(crate) generations: Generations,
    pub(crate) file: PathBuf,
    pub(crate) current: Meta,
    pub(crate) sources: Sources,
    pub(crate) alarms: Alarms,
}

impl OnDiskAtStart {
    /// What an operator has to look at if the start fails.
    pub(crate) fn named(&self) -> String {
        match &self.chosen {
            Chosen::New { .. } => self.file.display().to_string(),
            Chosen::Kept(meta) => format!("generation {} of {}", meta.generation, meta.file()),
        }
    }

    /// Everything that can fail has been done: from here on this one holds.
    pub(crate) fn hold(self) -> io::Result<HeldAtStart> {
        let Self { generations, file, chosen, sources, alarms } = self;
        let current = match chosen {
            Chosen::Kept(current) => current,
            Chosen::New { plan, seen, before } => {
                let (by, sources) = (By::Start, &sources);
                let new = New { by, sources, plan, seen, before, of: None, confirm: None };
                let current = generations.prepare(&new, Clocks::now())?;
                generations.switch(current.generation)?;
                if let Err(error) = generations.prune(&current) {
                    tracing::warn!(%error, "old generations stay where they are");
                }
                current
            }
        };
        generations.comes_up(current.generation);
        Ok(HeldAtStart { generations, file, current, sources, alarms })
    }
}

impl Kept {
    pub(crate) fn unlock(self) -> (Flock<File>, Option<OnDiskAtStart>) {
        (self.lock, Some(self.on_disk))
    }
}

/// The operator's own files as a start finds them.
pub(crate) struct Own {
    file: PathBuf,
    /// None: they cannot be read.
    sources: Option<Sources>,
    config: Result<Config, Vec<Fault>>,
    pub(crate) warnings: Vec<Warning>,
}

impl Own {
    pub(crate) fn read(file: PathBuf, host: &Host) -> Self {
        let read = sources(&file);
        let loaded = read.clone().and_then(|sources| from_sources(&sources, host));
        let (config, warnings) = match loaded {
            Ok(loaded) => (Ok(loaded.config), loaded.warnings),
            Err(faults) => (Err(faults), vec![]),
        };
        let config = config.and_then(|config| present(config, &warnings));
        Self { file, sources: read.ok(), config, warnings }
    }

    /// The data folder; where the file does not say it, the one of a box that ran before.
    pub(crate) fn data_dir(&self) -> Result<PathBuf, Refused> {
        match &self.config {
            Ok(config) => Ok(config.node.data_dir.clone()),
            Err(faults) => kept_for(&self.file).ok_or_else(|| Refused::Invalid(faults.clone())),
        }
    }

    pub(crate) fn seen(&self) -> Option<String> {
        self.sources.as_ref().map(seen)
    }
}

/// Where generations of a file are that cannot be read to its end.
pub(crate) fn kept_for(file: &Path) -> Option<PathBuf> {
    let written = glimpse_file(file).map(|glimpse| glimpse.data_dir);
    // systemd.exec(5): the folder of StateDirectory=.
    let state = env::var_os("STATE_DIRECTORY");
    let state = state.and_then(|state| env::split_paths(&state).next());
    let packaged = (file == Path::new(PACKAGED.0)).then(|| PathBuf::from(PACKAGED.1));
    let all = [written, state, packaged].into_iter().flatten();
    all.into_iter().find(|dir| Generations::are_in(dir))
}

/// What the host lacks is a fault for whoever wants to start now.
fn present(config: Config, warnings: &[Warning]) -> Result<Config, Vec<Fault>> {
    let lacks = warnings.iter().filter(|warning| warning.of_host).cloned();
    let lacks: Vec<Fault> = lacks.map(Fault::from).collect();
    if lacks.is_empty() { Ok(config) } else { Err(lacks) }
}

fn is_of_host(faults: &[Fault]) -> bool {
    !faults.is_empty() && faults.iter().all(|fault| fault.of_host)
}

/// Decides, before any port is open. `lock` is that of the data folder `dir`.
pub(crate) fn choose(
    own: Own,
    dir: &Path,
    lock: Flock<File>,
    host: &Host,
    now: Clocks,
) -> Result<(Config, Kept), Refused> {
    let generations = Generations::open(dir)?;
    let mut current = generations.current()?;
    if let Some(due) = current.as_ref().filter(|meta| is_due(meta, now)) {
        current = go_back(&generations, due, own.seen(), now)?.or(current);
    }
    if let Some(unconfirmed) = current.as_ref().filter(|meta| meta.confirm.is_some())
        && let Err(Refused::Invalid(faults)) = usable(&generations, unconfirmed, dir, host)
        && is_of_host(&faults)
    {
        let (number, file) = (unconfirmed.generation, unconfirmed.file());
        tracing::error!("generation {number} of {file}: {}", first_lines(&faults));
        current = go_back(&generations, unconfirmed, own.seen(), now)?.or(current);
    }
    let mut alarms = Alarms { damaged: generations.damaged(), ..Alarms::default() };
    let decided = current.as_ref().is_some_and(|meta| own.seen().as_ref() == Some(&meta.seen));
    let Own { file, sources, config, warnings: _ } = own;
    let own_seen = match (&config, &sources) {
        (Ok(_), Some(sources)) => Some(seen(sources)),
        (Err(faults), _) if is_of_host(faults) && !decided => {
            return Err(Refused::Invalid(faults.clone()));
        }
        // A file that is refused has not been seen: mended, it counts.
        (Ok(_) | Err(_), _) => None,
    };
    if let Err(faults) = &config {
        let faults = first_lines(faults);
        tracing::error!(file = %file.display(), "the configuration is refused: {faults}");
        alarms.file_refused = Some(faults);
    }
    let number = current.as_ref().map(|meta| meta.generation);
    let mut why = None;
    if let Some(number) = number.filter(|_| decided || config.is_err()) {
        for meta in generations.back_from(number)? {
            let (sources, config, missing) = match usable(&generations, &meta, dir, host) {
                Ok(found) => found,
                Err(Refused::Invalid(faults)) if is_of_host(&faults) => {
                    return Err(Refused::Invalid(faults));
                }
                Err(refused) => {
                    tracing::error!(generation = meta.generation, "cannot be had: {refused}");
                    why.get_or_insert_with(|| refused.to_string());
                    continue;
                }
            };
            for fault in missing.faults() {
                tracing::error!("the box starts without: {fault}");
            }
            alarms.missing = missing;
            let current = match &why {
                None => {
                    alarms.fallback = (meta.by == By::Fallback).then(|| fell_back(&meta));
                    meta
                }
                Some(why) => {
                    let what = format!(
                        "generation {number} cannot be had: {why}\ngeneration {} holds again",
                        meta.generation
                    );
                    tracing::error!("{what}");
                    alarms.fallback = Some(what);
                    let plan = PlanText::of(&plan::plan(&config, wall()))?;
                    let seen = own_seen.unwrap_or_default();
                    again(&generations, &meta, By::Fallback, (plan, seen), now)?
                }
            };
            tracing::info!(generation = current.generation, hash = current.hash, "configuration");
            let chosen = Chosen::Kept(current);
            let on_disk = OnDiskAtStart { generations, file, chosen, sources, alarms };
            return Ok((config, Kept { lock, on_disk }));
        }
    }
    let (Ok(config), Some(sources)) = (&config, sources) else {
        return Err(Refused::Invalid(config.err().unwrap_or_default()));
    };
    if let Some(why) = why {
        let what = format!("generation {}: {why}", number.unwrap_or_default());
        alarms.fallback =
            Some(format!("no generation can be had; {} holds\n{what}", file.display()));
    }
    let plan = PlanText::of(&plan::plan(config, wall()))?;
    let chosen = Chosen::New { plan, seen: own_seen.unwrap_or_default(), before: number };
    let on_disk = OnDiskAtStart { generations, file, chosen, sources, alarms };
    Ok((config.clone(), Kept { lock, on_disk }))
}

/// For as long as it holds, over every start.
fn fell_back(meta: &Meta) -> String {
    let Meta { generation, made_at, .. } = meta;
    let of = meta.of.unwrap_or(*generation);
    format!(
        "generation {of} holds again, as {generation}: what was meant could not be had at {made_at}; \
         the log of that moment says why"
    )
}

/// A generation's configuration, if a box can be started with it, and what it is started without.
fn usable(
    generations: &Generations,
    meta: &Meta,
    dir: &Path,
    host: &Host,
) -> Result<(Sources, Config, Missing), Refused> {
    let sources = generations.sources(meta)?;
    let (loaded, missing) = from_sources_without(&sources, host).map_err(Refused::Invalid)?;
    let config = present(loaded.config, &loaded.warnings).map_err(Refused::Invalid)?;
    let same = |dir: &Path| fs::canonicalize(dir).ok();
    if same(&config.node.data_dir) != same(dir) {
        let there = config.node.data_dir.display();
        let what = format!("node.data_dir is {there}, and the generations lie elsewhere");
        return Err(Refused::Conflict { code: "restart-needed", what });
    }
    Ok((sources, config, missing))
}

/// A new generation with an old one's content, from here on the one that holds.
fn again(
    generations: &Generations,
    old: &Meta,
    by: By,
    (plan, seen): (PlanText, String),
    now: Clocks,
) -> Result<Meta, Refused> {
    let sources = generations.sources(old)?;
    let new = New {
        by,
        sources: &sources,
        plan,
        seen,
        before: old.before,
        of: Some(old.generation),
        confirm: None,
    };
    let meta = generations.prepare(&new, now)?;
    generations.switch(meta.generation)?;
    Ok(meta)
}

/// For a box that does not run: goes back from what nobody confirmed in time. True if it did.
pub(crate) fn go_back_if_due(own: &Own, dir: &Path, now: Clocks) -> Result<bool, Refused> {
    let generations = Generations::open(dir)?;
    let Some(due) = generations.current()?.filter(|meta| is_due(meta, now)) else {
        return Ok(false);
    };
    Ok(go_back(&generations, &due, own.seen(), now)?.is_some())
}

/// After a start that failed: goes back from what nobody has confirmed yet. True if it did.
pub(crate) fn go_back_if_unconfirmed(
    dir: &Path,
    seen: Option<String>,
    now: Clocks,
) -> Result<bool, Refused> {
    let generations = Generations::open(dir)?;
    let Some(current) = generations.current()?.filter(|meta| meta.confirm.is_some()) else {
        return Ok(false);
    };
    Ok(go_back(&generations, &current, seen, now)?.is_some())
}

fn is_due(meta: &Meta, now: Clocks) -> bool {
    meta.confirm.is_some_and(|confirm| confirm.is_due(now))
}

/// Whether what it goes back to can be had is for the start to see, which has the credentials. None if
/// there is nothing to go back to.
fn go_back(
    generations: &Generations,
    from: &Meta,
    seen: Option<String>,
    now: Clocks,
) -> Result<Option<Meta>, Refused> {
    let back_to = from.confirm.map_or(from.generation, |confirm| confirm.back_to);
    let Some(old) = generations.back_from(back_to)?.into_iter().next() else {
        tracing::error!(
            unconfirmed = from.generation,
            "nobody confirmed the configuration, and there is none before it; it stays"
        );
        return Ok(None);
    };
    let (plan, seen) = (generations.plan(old.generation), seen.unwrap_or_default());
    let meta = again(generations, &old, By::Unconfirmed, (plan, seen), now)?;
    tracing::warn!(
        unconfirmed = from.generation,
        generation = meta.generation,
        "nobody has confirmed the configuration; generation {} holds again",
        old.generation
    );
    Ok(Some(meta))
}
