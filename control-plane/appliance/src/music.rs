//! What callers wait to: the tunes of the configuration, and files that were uploaded in their place.
//!
//! `data_dir/music/NAME.audio` is such a file as it was sent. It is read at every start, by the same
//! checks, and is heard in the place of the one that the configuration names until it is taken away.

mod reader;
mod shelf;

pub(crate) use reader::decode;
pub use reader::{Heard, Reader};

use crate::pump::{Handle, RequestError};
use firmware_config::{Config, nearest};
use media_core::{
    music::{Gain, Tune},
    order::TuneId,
};
use reader::NotRead;
use shelf::{Found, Half, Shelf};
use std::{
    borrow::Cow,
    io,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, SystemTime},
};
use tokio::{
    io::AsyncWriteExt,
    sync::{
        Mutex, OwnedMutexGuard,
        mpsc::{UnboundedReceiver, unbounded_channel},
    },
    time::{Instant, timeout_at},
};

/// An hour of MP3, a quarter of an hour of FLAC.
pub const UPLOAD_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why nothing was changed; or, of [`Unchanged::Pump`], heard.
#[derive(Debug, thiserror::Error)]
pub enum Unchanged {
    #[error("{0}")]
    NoSuchTune(String),
    #[error("nothing was uploaded for tune {0}")]
    NotUploaded(String),
    #[error("another tune is being changed; try again")]
    Busy,
    #[error("length: the file is empty; one frame of audio is the least")]
    Empty,
    #[error(
        "size: the file is {0}; {UPLOAD_BYTES_MAX} bytes ({most} MiB) is the most. MP3, Ogg or FLAC of one \
         channel is smaller, and sounds no worse on the telephone",
        most = UPLOAD_BYTES_MAX >> 20
    )]
    TooLarge(String),
    #[error("{check}: {why}")]
    Bad { check: Cow<'static, str>, why: String },
    #[error("{}: {error}; the tune is as it was", path.display())]
    Disk { path: PathBuf, error: io::Error },
    #[error(
        "{}: {error}; what is heard is as it was, and the next start finds what the disk has kept",
        path.display()
    )]
    Unsure { path: PathBuf, error: io::Error },
    #[error("the change is on disk, and is heard from the next start on: {0}")]
    Pump(#[from] RequestError),
    #[error("{0}; the tune is as it was")]
    NotDecoded(String),
    #[error("whoever looked at it gave up: {0}")]
    GaveUp(String),
}

impl From<NotRead> for Unchanged {
    fn from(not_read: NotRead) -> Self {
        match not_read {
            NotRead::Refused { check, why } => Self::Bad { check, why },
            broken @ NotRead::Broken(_) => Self::NotDecoded(broken.to_string()),
        }
    }
}

/// All tunes, in the order in which the media threads have them.
pub struct Music {
    shelf: Shelf,
    reader: Reader,
    handle: Handle,
    tunes: RwLock<Vec<Played>>,
    /// One is changed at a time: each takes a process with its memory, and a while.
    changes: Arc<Mutex<()>>,
}

/// A tune of the configuration, and what is heard of it.
#[derive(Clone)]
pub struct Played {
    pub name: String,
    pub file: PathBuf,
    pub gain: Gain,
    /// What the configuration's file became at the start.
    configured: Arc<Tune>,
    /// None: that could not be had, and a built-in tone stands for it.
    pub configured_sound: Option<Heard>,
    pub uploaded: Uploaded,
}

/// What was sent in the place of a configured file.
#[derive(Clone, Default)]
pub enum Uploaded {
    #[default]
    Nothing,
    Heard {
        tune: Arc<Tune>,
        sound: Heard,
        bytes: u64,
        at: SystemTime,
    },
    /// It lies there and cannot be played.
    Refused(String),
}

impl Played {
    fn tune(&self) -> &Arc<Tune> {
        match &self.uploaded {
            Uploaded::Heard { tune, .. } => tune,
            Uploaded::Nothing | Uploaded::Refused(_) => &self.configured,
        }
    }
}

/// What a start finds: to be given to the media threads before anything runs.
pub(crate) struct AtStart {
    shelf: Shelf,
    reader: Reader,
    tunes: Vec<Played>,
    /// What takes longer to decode than a start waits, by the tune's place.
    late: Option<Late>,
}

impl AtStart {
    /// Looks what was uploaded. Calls do not wait for music: what is not decoded soon is heard when it is, and until
    /// then, as for what cannot be read or played, the configured file.
    pub(crate) async fn read(config: &Config, reader: Reader) -> Self {
        let of = |music: &firmware_config::Music| Played {
            name: music.name.clone(),
            file: music.file.clone(),
            gain: music.gain,
            configured: Arc::clone(&music.tune),
            configured_sound: music.sound.as_ref().map(Heard::from),
            uploaded: Uploaded::Nothing,
        };
        let mut tunes: Vec<_> = config.music.iter().map(of).collect();
        let shelf = Shelf::at(&config.node.data_dir);
        let names = shelf.sweep().and_then(|()| shelf.names()).unwrap_or_else(|error| {
            tracing::error!(
                %error,
                "uploaded music cannot be looked at; what the configuration names is heard"
            );
            vec![]
        });
        for name in names.iter().filter(|name| tunes.iter().all(|of| of.name != **name)) {
            tracing::warn!(
                name,
                "music was uploaded for a tune that the configuration does not name"
            );
        }
        let mut late = None;
        let mut left = names.iter().filter(|name| tunes.iter().any(|of| of.name == **name)).count();
        if left > 0 {
            let mut read = begin_to_read(&shelf, &reader, &tunes, &names);
            let until = Instant::now() + START_WAITS;
            while let Ok(Some((place, uploaded))) = timeout_at(until, read.recv()).await {
                if let Some(of) = tunes.get_mut(place) {
                    of.uploaded = uploaded;
                }
                left -= 1;
            }
            if left > 0 {
                tracing::warn!(
                    left,
                    "uploaded music is decoded while calls come; until then the configured one is heard"
                );
                late = Some(read);
            }
        }
        Self { shelf, reader, tunes, late }
    }

    pub(crate) fn tunes(&self) -> Vec<Arc<Tune>> {
        self.tunes.iter().map(|of| Arc::clone(of.tune())).collect()
    }

    pub(crate) fn run(self, handle: Handle) -> Arc<Music> {
        let Self { shelf, reader, tunes, late } = self;
        let changes = Arc::default();
        let music = Arc::new(Music { shelf, reader, handle, tunes: RwLock::new(tunes), changes });
        if let Some(late) = late
            && let Ok(only) = Arc::clone(&music.changes).try_lock_owned()
        {
            tokio::spawn(Arc::clone(&music).catch_up(late, only));
        }
        music
    }
}

/// What was uploaded, by the tune's place, as it is decoded.
type Late = UnboundedReceiver<(usize, Uploaded)>;

/// Decodes one file after the other, beside everything else.
fn begin_to_read(shelf: &Shelf, reader: &Reader, tunes: &[Played], names: &[String]) -> Late {
    let (tell, told) = unbounded_channel();
    let wanted = (0..).zip(tunes).filter(|(_, of)| names.contains(&of.name));
    let wanted: Vec<_> = wanted.map(|(place, of)| (place, of.name.clone(), of.gain)).collect();
    let (shelf, reader) = (shelf.clone(), reader.clone());
    let begun = thread::Builder::new().name("music".to_owned()).spawn(move || {
        for (place, name, gain) in wanted {
            if tell.send((place, uploaded(&shelf, &reader, &name, gain))).is_err() {
                return;
            }
        }
    });
    if let Err(error) = begun {
        tracing::error!(%error, "uploaded music cannot be read; what the configuration names is heard");
    }
    told
}

/// Most files of minutes are decoded by then; who waits after a start hears the right music at once.
const START_WAITS: Duration = Duration::from_secs(3);

fn uploaded(shelf: &Shelf, reader: &Reader, name: &str, gain: Gain) -> Uploaded {
    let refused = |why: String| {
        tracing::error!(name, why, "uploaded music cannot be played; the configured file is heard");
        Uploaded::Refused(why)
    };
    let Found { file, bytes, at } = match shelf.find(name) {
        Ok(Some(found)) => found,
        Ok(None) => return Uploaded::Nothing,
        Err(error) => return refused(error.to_string()),
    };
    match reader.read(file, gain) {
        Ok((tune, sound)) => Uploaded::Heard { tune: Arc::new(tune), sound, bytes, at },
        Err(not_read) => refused(not_read.to_string()),
    }
}

/// The right to change a tune, until it is dropped.
pub struct Change {
    place: usize,
    name: String,
    gain: Gain,
    /// Held, not looked at.
    only: OwnedMutexGuard<()>,
}

impl Change {
    /// In [`Music::all`].
    pub const fn place(&self) -> usize {
        self.place
    }
}

/// A file on its way to the disk. Dropped, it was never here.
pub struct Upload {
    half: Half,
    writer: tokio::fs::File,
    bytes: usize,
    /// Given up behind the file: the next one has the same name.
    change: Change,
}

impl Upload {
    /// In [`Music::all`].
    pub const fn place(&self) -> usize {
        self.change.place
    }

    /// The next bytes of it.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), Unchanged> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > UPLOAD_BYTES_MAX {
            return Err(Unchanged::TooLarge("longer".to_owned()));
        }
        let written = self.writer.write_all(bytes).await;
        written.map_err(|error| Unchanged::Disk { path: self.half.path().to_owned(), error })
    }
}

impl Music {
    /// What the start did not wait for. Nothing else is changed meanwhile.
    async fn catch_up(self: Arc<Self>, mut late: Late, mut only: OwnedMutexGuard<()>) {
        while let Some((place, uploaded)) = late.recv().await {
            let all = self.all();
            let Some(of) = all.get(place) else { continue };
            let change = Change { place, name: of.name.clone(), gain: of.gain, only };
            match self.hold(&change, uploaded).await {
                Ok(_) => tracing::info!(name = change.name, "uploaded music is heard from now on"),
                Err(error) => tracing::error!(name = change.name, %error, "uploaded music"),
            }
            only = change.only;
        }
    }

    /// As they are at this moment.
    pub fn all(&self) -> Vec<Played> {
        self.tunes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// To be had before the file is read: nobody sends for long what nobody takes.
    pub fn begin(&self, name: &str) -> Result<Change, Unchanged> {
        let all = self.all();
        let found = all.iter().enumerate().find(|(_, of)| of.name == name);
        let (place, of) = found.ok_or_else(|| no_such_tune(name, &all))?;
        let only = Arc::clone(&self.changes).try_lock_owned().map_err(|_| Unchanged::Busy)?;
        Ok(Change { place, name: of.name.clone(), gain: of.gain, only })
    }

    /// Makes room for a file. `said_bytes`: its length, where that is said.
    pub async fn receive(
        self: &Arc<Self>,
        change: Change,
        said_bytes: Option<u64>,
    ) -> Result<Upload, Unchanged> {
        if let Some(bytes) = said_bytes.filter(|bytes| *bytes > UPLOAD_BYTES_MAX as u64) {
            return Err(Unchanged::TooLarge(format!("{bytes} bytes")));
        }
        let (this, name) = (Arc::clone(self), change.name.clone());
        // The right to change goes along: whoever hangs up meanwhile gives it back when nothing is left of the file.
        let (half, writer, change) = apart(move || {
            let half = this.shelf.begin(&name)?;
            let writer = half.writer();
            let writer =
                writer.map_err(|error| Unchanged::Disk { path: half.path().to_owned(), error })?;
            Ok::<_, Unchanged>((half, writer, change))
        })
        .await??;
        Ok(Upload { half, writer: tokio::fs::File::from_std(writer), bytes: 0, change })
    }

    /// Checks a file, keeps it, and lets it be heard by who waits already and who comes. Once begun it goes on
    /// to its end, whoever has gone.
    pub async fn put(self: Arc<Self>, upload: Upload) -> Result<Played, Unchanged> {
        to_the_end(async move {
            let Upload { change, half, mut writer, bytes } = upload;
            if bytes == 0 {
                return Err(Unchanged::Empty);
            }
            let path = half.path().to_owned();
            let disk = move |error| Unchanged::Disk { path, error };
            if let Err(error) = writer.flush().await {
                return Err(disk(error));
            }
            let (this, gain) = (Arc::clone(&self), change.gain);
            let kept = apart(move || {
                let (tune, sound) = this.reader.read(half.reader().map_err(disk)?, gain)?;
                this.shelf.keep(&half)?;
                let (tune, at) = (Arc::new(tune), SystemTime::now());
                Ok::<_, Unchanged>(Uploaded::Heard { tune, sound, bytes: bytes as u64, at })
            });
            let uploaded = kept.await??;
            tracing::info!(
                name = change.name,
                bytes,
                "music was uploaded, and is heard from now on"
            );
            self.hold(&change, uploaded).await
        })
        .await
    }

    /// The file of the configuration is heard again, as it was at the start.
    pub async fn take_away(self: Arc<Self>, change: Change) -> Result<Played, Unchanged> {
        to_the_end(async move {
            let (this, name) = (Arc::clone(&self), change.name.clone());
            if !apart(move || this.shelf.remove(&name)).await?? {
                return Err(Unchanged::NotUploaded(change.name));
            }
            tracing::info!(name = change.name, "uploaded music was taken away");
            self.hold(&change, Uploaded::Nothing).await
        })
        .await
    }

    /// What is so on disk from here on is so for callers too.
    async fn hold(&self, change: &Change, uploaded: Uploaded) -> Result<Played, Unchanged> {
        let (played, before) = {
            let mut tunes = self.tunes.write().unwrap_or_else(PoisonError::into_inner);
            let of = tunes.get_mut(change.place);
            let of = of.ok_or_else(|| Unchanged::NoSuchTune(change.name.clone()))?;
            let before = std::mem::replace(&mut of.uploaded, uploaded);
            (of.clone(), before)
        };
        let number = TuneId(u16::try_from(change.place).unwrap_or(u16::MAX));
        let done = self.handle.replace_tune(number, Arc::clone(played.tune())).await;
        if let Uploaded::Heard { tune, .. } = before {
            tokio::spawn(let_go(tune));
        }
        Ok(done.map(|()| played)?)
    }
}

fn no_such_tune(name: &str, all: &[Played]) -> Unchanged {
    let names = || all.iter().map(|of| of.name.as_str());
    let near = nearest(name, names()).map(|near| format!("; did you mean {near:?}?"));
    let known = match all {
        [] => "there is none".to_owned(),
        _ => format!("there is {}", names().collect::<Vec<_>>().join(", ")),
    };
    Unchanged::NoSuchTune(format!(
        "{name:?} is no [[music]] of the configuration this appliance was started with: {known}{}",
        near.unwrap_or_default()
    ))
}

/// Gives the memory of a tune back here, when the media threads are done with it: some hundred MB take
/// longer than the pump should wait.
async fn let_go(tune: Arc<Tune>) {
    for _ in 0..LOOKS_MAX {
        if Arc::strong_count(&tune) == 1 {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // The runtime has ended if it is not dropped there.
    let _dropped = apart(move || drop(tune)).await;
}

const LOOK_EVERY: Duration = Duration::from_millis(100);
const LOOKS_MAX: u32 = 100;

/// Decoding and disks take their time.
async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unchanged> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Unchanged::GaveUp(error.to_string()))
}

/// Disk and callers must not differ because somebody hung up.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Unchanged>> + Send + 'static,
) -> Result<T, Unchanged> {
    tokio::spawn(work).await.map_err(|error| Unchanged::GaveUp(error.to_string()))?
}
