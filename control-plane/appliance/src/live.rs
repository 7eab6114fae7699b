//! Another configuration under running calls: checked whole, compared, written down, swapped in at
//! one moment; and gone back from if nobody confirms it in time. Which one counts at a start is said
//! in `choice.rs`.

use crate::{
    choice::HeldAtStart,
    generations::{By, Clocks, Confirm, Generations, Meta, New, PlanText, hash},
    plan,
    pump::{Handle, RequestError},
    start::wall,
};
use firmware_config::{
    Change, Config, Difference, Fault, Missing, Sources, diff, from_sources, masked, render,
    sources,
};
use std::{
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{Mutex, Notify};

/// Who changes one of these may lock themselves out: they have to confirm that they did not.
const ACCESS: [&str; 6] =
    ["http.admin", "http.admin_token_file", "sip.advertise", "sip.tcp", "sip.tls", "sip.udp"];
/// How often the time to confirm is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// And again where there is nothing to go back to.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// Why a configuration does not take the place of the one that holds. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("{}", lines(.0))]
    Invalid(Vec<Fault>),
    #[error("{what}")]
    Conflict { code: &'static str, what: String },
    #[error("there is no generation {0}")]
    NoSuchGeneration(u64),
    #[error("the generations in node.data_dir cannot be written or read: {0}")]
    Disk(#[from] io::Error),
    #[error(transparent)]
    Pump(#[from] RequestError),
}

/// For an alarm, which is shown whenever somebody looks.
pub(crate) fn first_lines(faults: &[Fault]) -> String {
    const SHOWN: usize = 10;
    let mut said = lines(faults.get(..SHOWN).unwrap_or(faults));
    if let Some(more) = faults.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        said.push_str(&format!("\nand {more} more; `clavija config check` says all"));
    }
    said
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn conflict(code: &'static str, what: impl Into<String>) -> Refused {
    Refused::Conflict { code, what: what.into() }
}

/// How something is to be applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Only said, not done.
    pub dry_run: bool,
    pub confirm: Option<Duration>,
    /// Holds from the next start on, the live part of it too.
    pub at_restart: bool,
}

/// What has become of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub generation: u64,
    pub hash: String,
    /// `unchanged`, `dry_run`, `live` or `at_restart`.
    pub how: &'static str,
    /// RFC 3339.
    pub confirm_until: Option<String>,
    /// Whose content it has again.
    pub of: Option<u64>,
    pub differences: Vec<Difference>,
}

/// What metrics and `config show` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    pub generation: u64,
    pub hash: String,
    pub confirm_until: Option<String>,
    /// The generation that holds from the next start on.
    pub staged: Option<u64>,
    pub alarms: Alarms,
    pub rendered: String,
    /// Name and text of each file, without secrets.
    pub files: Vec<(String, String)>,
}

/// What is not as the operator meant it, though calls are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alarms {
    /// Why the operator's own file was refused when it was last read: the next start will not take it
    /// either.
    pub file_refused: Option<String>,
    /// Why an older generation holds than was meant.
    pub fallback: Option<String>,
    /// What the box started without.
    pub missing: Missing,
    /// Generations and links found damaged at the start.
    pub damaged: u64,
}

impl Alarms {
    pub fn is_incomplete(&self) -> bool {
        self.missing.faults().next().is_some()
    }

    /// One word each, for `/readyz`.
    pub fn words(&self) -> Vec<&'static str> {
        let all = [
            (self.file_refused.is_some(), "config-file-refused"),
            (self.fallback.is_some(), "config-fallback"),
            (self.is_incomplete(), "config-incomplete"),
            (self.damaged > 0, "config-damaged"),
        ];
        all.into_iter().filter(|(on, _)| *on).map(|(_, word)| word).collect()
    }
}

/// The configuration that holds, while the box runs.
pub struct Live {
    handle: Handle,
    inner: Mutex<Inner>,
    shown: RwLock<Shown>,
    must_restart: Notify,
}

struct Inner {
    /// What the box runs by.
    running: Config,
    /// The names of the tunes the media thread has, in its order.
    tunes: Vec<String>,
    disk: Option<OnDisk>,
}

struct OnDisk {
    generations: Generations,
    file: PathBuf,
    /// What the next start goes by.
    current: Meta,
    /// The generation the box runs by: another one while that waits for a restart.
    runs: u64,
}

impl OnDisk {
    fn waits_for_restart(&self) -> bool {
        self.current.generation != self.runs
    }

    /// Where a new one leads back to: by `rollback`, and where nobody confirms it.
    fn back(&self) -> (Option<u64>, u64) {
        match self.current.confirm {
            Some(confirm) => (self.current.before, confirm.back_to),
            None => (Some(self.runs), self.runs),
        }
    }
}

/// Also where the files lie: the same words in another folder name other music and other secrets.
pub(crate) fn seen(own: &Sources) -> String {
    let folder = own.node.folder.display();
    format!("{} in {folder}", hash(own))
}

impl Live {
    pub(crate) fn new(handle: Handle, running: Config, kept: Option<HeldAtStart>) -> Self {
        let tunes = running.music.iter().map(|music| music.name.clone()).collect();
        let mut shown = Shown { rendered: render(&running), ..Shown::default() };
        let disk = kept.map(|kept| {
            show(&mut shown, &kept.current, &kept.sources);
            let HeldAtStart { generations, file, current, sources: _, alarms } = kept;
            shown.alarms = alarms;
            let runs = current.generation;
            OnDisk { generations, file, current, runs }
        });
        Self {
            handle,
            inner: Mutex::new(Inner { running, tunes, disk }),
            shown: RwLock::new(shown),
            must_restart: Notify::new(),
        }
    }

    pub fn shown(&self) -> Shown {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Newest first.
    pub async fn history(&self) -> Result<Vec<Meta>, Refused> {
        let inner = self.inner.lock().await;
        Ok(inner.disk()?.generations.history()?)
    }

    /// What differs from what runs, or from a generation.
    pub async fn compare(
        &self,
        sources: Sources,
        against: Option<u64>,
    ) -> Result<Vec<Difference>, Refused> {
        let inner = self.inner.lock().await;
        let is = read(sources).await?;
        let was = match against {
            None => inner.running.clone(),
            Some(number) => inner.generation(number).await?.1,
        };
        Ok(diff(&was, &is))
    }

    /// The file the box was started with, read anew.
    pub async fn reload(&self, wish: Wish) -> Result<Applied, Refused> {
        let done = self.reload_own(wish).await;
        if let (Err(error), false) = (&done, wish.dry_run) {
            let error = match error {
                Refused::Invalid(faults) => first_lines(faults),
                Refused::Conflict { .. }
                | Refused::NoSuchGeneration(_)
                | Refused::Disk(_)
                | Refused::Pump(_) => error.to_string(),
            };
            tracing::error!(error, "the configuration is not reloaded and stays as it is");
        }
        done
    }

    async fn reload_own(&self, wish: Wish) -> Result<Applied, Refused> {
        let file = self.inner.lock().await.disk()?.file.clone();
        let own = own_sources(file).await?.map_err(|faults| {
            self.alarm(|alarms| alarms.file_refused = Some(first_lines(&faults)));
            Refused::Invalid(faults)
        })?;
        self.take(By::Reload, own, wish).await
    }

    fn alarm(&self, change: impl FnOnce(&mut Alarms)) {
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut shown.alarms);
    }

    pub async fn apply(&self, sources: Sources, wish: Wish) -> Result<Applied, Refused> {
        self.take(By::Apply, sources, wish).await
    }

    async fn take(&self, by: By, sources: Sources, wish: Wish) -> Result<Applied, Refused> {
        let mut inner = self.inner.lock().await;
        let read = read(sources.clone()).await;
        let own = own_sources(inner.disk()?.file.clone()).await?;
        if own.is_ok_and(|own| hash(&own) == hash(&sources)) {
            let refused = match &read {
                Err(Refused::Invalid(faults)) => Some(first_lines(faults)),
                Ok(_) | Err(_) => None,
            };
            self.alarm(|alarms| alarms.file_refused = refused);
        }
        let config = read?;
        let differences = diff(&inner.running, &config);
        let disk = inner.disk()?;
        if disk.waits_for_restart() && !wish.at_restart && !wish.dry_run {
            let what = format!(
                "generation {} waits for a restart; restart the appliance, roll back, or apply with \
                 --at-restart",
                disk.current.generation
            );
            return Err(conflict("restart-pending", what));
        }
        let nothing = differences.iter().all(comes_by_itself) && !disk.waits_for_restart();
        if wish.dry_run || nothing {
            let how = if nothing { "unchanged" } else { "dry_run" };
            return Ok(applied(&disk.current, how, differences));
        }
        may(&differences, wish, disk.current.confirm.is_some())?;
        let (before, back_to) = disk.back();
        let now = Clocks::now();
        let confirm = wish.confirm.map(|within| Confirm::new(back_to, within, now));
        let made = Made { by, before, of: None, confirm };
        self.hold(&mut inner, sources, config, made, wish.at_restart, differences).await
    }

    /// Makes a generation hold: on disk first, then under the calls.
    async fn hold(
        &self,
        inner: &mut Inner,
        sources: Sources,
        config: Config,
        made: Made,
        at_restart: bool,
        differences: Vec<Difference>,
    ) -> Result<Applied, Refused> {
        let tunes = inner.tunes.clone();
        let disk = inner.disk.as_mut().ok_or_else(no_files)?;
        let file = disk.file.clone();
        // The operator's own files as they are at this moment: what is decided now is decided with
        // them in view. Files that cannot be read have not been seen.
        let own = own_sources(file).await?;
        let new = New {
            by: made.by,
            sources: &sources,
            plan: PlanText::of(&plan::plan(&config, wall()))?,
            seen: own.map(|own| seen(&own)).unwrap_or_default(),
            before: made.before,
            of: made.of,
            confirm: made.confirm,
        };
        let holds = disk.current.generation;
        let meta = disk.generations.prepare(&new, Clocks::now())?;
        if let Err(error) = disk.generations.switch(meta.generation) {
            disk.generations.undo(meta.generation, holds)?;
            return Err(error.into());
        }
        if !at_restart && let Err(error) = self.handle.reconfigure(config.clone(), tunes).await {
            disk.generations.undo(meta.generation, holds)?;
            return Err(error.into());
        }
        disk.current = meta.clone();
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        shown.alarms.fallback = None;
        shown.confirm_until = meta.confirm.map(|confirm| confirm.until());
        shown.staged = at_restart.then_some(meta.generation);
        if !at_restart {
            disk.runs = meta.generation;
            disk.generations.comes_up(meta.generation);
            // All of it was read; but tunes are decoded at the start.
            shown.alarms.missing.secrets.clear();
            show(&mut shown, &meta, &sources);
            shown.rendered = render(&config);
        }
        drop(shown);
        let how = if at_restart { "at_restart" } else { "live" };
        if !at_restart {
            inner.running = with_the_tunes_of(&inner.running, config);
        }
        tracing::info!(generation = meta.generation, hash = meta.hash, how, "configuration");
        if let Some(disk) = &inner.disk
            && let Err(error) = disk.generations.prune(&meta)
        {
            tracing::warn!(%error, "old generations stay where they are");
        }
        Ok(applied(&meta, how, differences))
    }

    pub async fn confirm(&self) -> Result<u64, Refused> {
        let mut inner = self.inner.lock().await;
        let disk = inner.disk.as_mut().ok_or_else(no_files)?;
        if disk.current.confirm.is_none() {
            let what = format!("generation {} waits for no confirmation", disk.current.generation);
            return Err(conflict("nothing-to-confirm", what));
        }
        if disk.waits_for_restart() {
            let what = format!(
                "generation {} has not run yet: restart the appliance, look at it, and confirm then",
                disk.current.generation
            );
            return Err(conflict("restart-pending", what));
        }
        disk.current = disk.generations.confirmed(&disk.current)?;
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        shown.confirm_until = None;
        Ok(disk.current.generation)
    }

    /// To the generation before, or to that one.
    pub async fn roll_back(&self, to: Option<u64>, wish: Wish) -> Result<Applied, Refused> {
        let mut inner = self.inner.lock().await;
        let current = &inner.disk()?.current;
        let back = current.confirm.map(|confirm| confirm.back_to).or(current.before);
        let no_older = || conflict("no-older-generation", "there is no older generation");
        let to = to.or(back).ok_or_else(no_older)?;
        self.go_back(&mut inner, to, By::Rollback, wish).await
    }

    async fn go_back(
        &self,
        inner: &mut Inner,
        to: u64,
        by: By,
        wish: Wish,
    ) -> Result<Applied, Refused> {
        let (old, config, sources) = match inner.generation_with_sources(to).await {
            Err(why @ (Refused::Invalid(_) | Refused::Disk(_))) => {
                let what = format!("generation {to} cannot be had: {why}");
                let older = match inner.first_usable(to, 1).await? {
                    Some((older, _)) => format!("generation {older} can: config rollback {older}"),
                    None => "no older one can either".to_owned(),
                };
                return Err(conflict("generation-unusable", format!("{what}\n{older}")));
            }
            found => found?,
        };
        let differences = diff(&inner.running, &config);
        if by == By::Rollback {
            // From what waits for its confirmation one may always go back.
            may(&differences, wish, false)?;
        }
        let (_, back_to) = inner.disk()?.back();
        let confirm = wish.confirm.map(|within| Confirm::new(back_to, within, Clocks::now()));
        let made = Made { by, before: old.before, of: Some(to), confirm };
        self.hold(inner, sources, config, made, wish.at_restart, differences).await
    }

    /// Ends only when the process has to be started anew, because what it has to go back to only a
    /// start can bring.
    pub async fn watch_confirmation(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let mut inner = self.inner.lock().await;
            let Some(disk) = &inner.disk else { return std::future::pending().await };
            let Some(confirm) = disk.current.confirm.filter(|c| c.is_due(Clocks::now())) else {
                continue;
            };
            let unconfirmed = disk.current.generation;
            let waited = disk.waits_for_restart();
            tracing::warn!(
                unconfirmed,
                back_to = confirm.back_to,
                "nobody confirmed the configuration in time; the one before holds again"
            );
            let Some((to, old)) = inner.first_usable(confirm.back_to, 0).await.ok().flatten()
            else {
                let what = "nobody confirmed the configuration, and none before it can be had";
                tracing::error!("{what}; it stays");
                self.alarm(|alarms| alarms.fallback = Some(what.to_owned()));
                drop(inner);
                tokio::time::sleep(TRY_AGAIN).await;
                continue;
            };
            let needs_start = !waited && diff(&inner.running, &old).iter().any(is_for_a_start);
            let wish = Wish { at_restart: needs_start, ..Wish::default() };
            // A fallback is an alarm after the next start too.
            let by = if to == confirm.back_to { By::Unconfirmed } else { By::Fallback };
            match self.go_back(&mut inner, to, by, wish).await {
                Ok(_) if needs_start => {
                    self.must_restart.notify_one();
                    return;
                }
                Ok(_) => {}
                Err(error) => tracing::error!(%error, "the configuration before cannot be had"),
            }
            if to != confirm.back_to {
                let what = format!(
                    "generation {} cannot be had; generation {to} holds again",
                    confirm.back_to
                );
                tracing::error!("{what}");
                self.alarm(|alarms| alarms.fallback = Some(what));
            }
        }
    }
}

/// How a generation is made.
struct Made {
    by: By,
    before: Option<u64>,
    of: Option<u64>,
    confirm: Option<Confirm>,
}

impl Inner {
    fn disk(&self) -> Result<&OnDisk, Refused> {
        self.disk.as_ref().ok_or_else(no_files)
    }

    async fn generation(&self, number: u64) -> Result<(Meta, Config), Refused> {
        let (meta, config, _) = self.generation_with_sources(number).await?;
        Ok((meta, config))
    }

    async fn generation_with_sources(
        &self,
        number: u64,
    ) -> Result<(Meta, Config, Sources), Refused> {
        let generations = &self.disk()?.generations;
        let meta = generations.meta(number).map_err(|_| Refused::NoSuchGeneration(number))?;
        let sources = generations.sources(&meta)?;
        let config = read(sources.clone()).await?;
        Ok((meta, config, sources))
    }

    /// The first that can be had, from this one back; `skip` so many first.
    async fn first_usable(&self, from: u64, skip: usize) -> Result<Option<(u64, Config)>, Refused> {
        let found = self.disk()?.generations.back_from(from)?;
        for meta in found.into_iter().skip(skip) {
            if let Ok((_, config)) = self.generation(meta.generation).await {
                return Ok(Some((meta.generation, config)));
            }
        }
        Ok(None)
    }
}

/// The operator's own file as it is now, or why it cannot be read.
async fn own_sources(file: PathBuf) -> Result<Result<Sources, Vec<Fault>>, Refused> {
    let read = tokio::task::spawn_blocking(move || sources(&file)).await;
    Ok(read.map_err(io::Error::other)?)
}

/// Decoding tunes takes a while.
async fn read(sources: Sources) -> Result<Config, Refused> {
    let read = tokio::task::spawn_blocking(move || {
        let host = crate::cli::host().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(from_sources(&sources, &host))
    });
    let loaded: io::Result<_> = read.await.map_err(io::Error::other)?;
    Ok(loaded?.map_err(Refused::Invalid)?.config)
}

fn is_for_a_start(one: &Difference) -> bool {
    one.change == Change::Restart && !comes_by_itself(one)
}

/// A tune that was replaced under its name: the words hold already, the next start decodes it.
fn comes_by_itself(one: &Difference) -> bool {
    one.change == Change::Restart && one.behind
}

/// The media thread plays what was decoded at the start.
fn with_the_tunes_of(running: &Config, mut config: Config) -> Config {
    for music in &mut config.music {
        let old = running.music.iter().find(|old| old.name == music.name && old.file == music.file);
        if let Some(old) = old {
            music.tune = Arc::clone(&old.tune);
        }
    }
    config
}

/// Whether these may take hold as wished.
fn may(differences: &[Difference], wish: Wish, pending: bool) -> Result<(), Refused> {
    let keys = |wanted: &dyn Fn(&Difference) -> bool| -> Option<String> {
        let keys: Vec<&str> =
            differences.iter().filter(|one| wanted(one)).map(|one| one.key.as_str()).collect();
        (!keys.is_empty()).then(|| keys.join(", "))
    };
    if let Some(dir) = differences.iter().find(|one| one.key == "node.data_dir") {
        let [was, is] = [&dir.was, &dir.is].map(|dir| dir.as_deref().unwrap_or_default());
        let what = format!(
            "node.data_dir is {is}, and this appliance keeps its generations in {was}; write \
             data_dir = {was} (a relative path is read from the folder of its file), or, to move \
             the data, edit the appliance's own file and restart"
        );
        return Err(conflict("restart-needed", what));
    }
    if let Some(keys) = keys(&is_for_a_start).filter(|_| !wish.at_restart) {
        let what = format!(
            "only a restart can change {keys}; nothing was changed. Add --at-restart and \
             restart the appliance"
        );
        return Err(conflict("restart-needed", what));
    }
    if pending && wish.confirm.is_none() {
        let what = "the generation that holds waits for its confirmation; confirm or roll back, or \
                    apply with --confirm";
        return Err(conflict("confirm-pending", what));
    }
    let touched =
        keys(&|one| ACCESS.contains(&one.key.as_str()) || one.key.starts_with("network."));
    if let Some(keys) = touched.filter(|_| wish.confirm.is_none()) {
        let what =
            format!("{keys}: this may lock you out, so it must be confirmed; add --confirm 10m");
        return Err(conflict("confirm-needed", what));
    }
    Ok(())
}

fn no_files() -> Refused {
    conflict("no-files", "this appliance was started without files")
}

fn applied(meta: &Meta, how: &'static str, differences: Vec<Difference>) -> Applied {
    Applied {
        generation: meta.generation,
        hash: meta.hash.clone(),
        how,
        confirm_until: meta.confirm.map(|confirm| confirm.until()),
        of: meta.of,
        differences,
    }
}

fn show(shown: &mut Shown, meta: &Meta, sources: &Sources) {
    shown.generation = meta.generation;
    shown.hash.clone_from(&meta.hash);
    shown.confirm_until = meta.confirm.map(|confirm| confirm.until());
    let files = std::iter::once(&sources.node).chain(&sources.site);
    shown.files = files.map(|file| (file.name.clone(), masked(&file.text))).collect();
}

impl Live {
    /// Ready when the process has to be started anew.
    pub async fn must_restart(&self) {
        self.must_restart.notified().await;
    }
}
