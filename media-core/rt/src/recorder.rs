//! The recorder: takes frames from its ring and keeps a file for each talk, WAV or Opus that opens at any
//! instant, or either of them sealed. A slow disk makes it slow; nobody waits for it.

use std::{
    collections::{BTreeMap, VecDeque},
    fs::{self, DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use media_core::{
    order::{RecordFrame, RecordKind, TalkName},
    record::seal::SealKey,
};
use nix::sys::eventfd::EventFd;
use ringbuf::{
    HeapCons, HeapProd,
    traits::{Consumer, Observer, Producer},
};

pub use crate::tape::PEAKS_EXTENSION;
use crate::{
    clerk::{Clerk, Errand},
    counters::RecorderCount,
    form::Form,
    opus, sealed,
    tape::{Disk, Tape},
    wav,
};

/// Where recordings go.
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// Made if it is not there.
    pub dir: PathBuf,
    /// A talk's file name without its ending: its call's id.
    pub name: fn(TalkName) -> String,
    pub format: Format,
    pub seal: Seal,
}

/// What a recording's sound is, sealed or in the open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Wav,
    /// In Ogg: a sixth as large, and many times the work.
    Opus,
}

/// Whether recordings are readable by whoever has the disk.
#[derive(Clone, Debug)]
pub enum Seal {
    /// Files that players open.
    Off,
    /// Sealed files: nothing of what was said is ever on the disk without the key.
    With {
        key: SealKey,
        /// Fills with randomness of the system, for each file's own key.
        random: fn(&mut [u8]) -> io::Result<()>,
    },
    /// They should be sealed and the key cannot be had: no recording is made, and each is alarmed.
    KeyMissing,
}

impl Seal {
    /// Of the files' names.
    pub fn extension(&self, format: Format) -> &'static str {
        match self {
            Self::Off => match format {
                Format::Wav => wav::EXTENSION,
                Format::Opus => opus::EXTENSION,
            },
            Self::With { .. } | Self::KeyMissing => sealed::EXTENSION,
        }
    }
}

/// What the recorder has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecorderEvent {
    /// The file is there and its name is durable; after a failure too, if the disk takes it at last.
    Started { talk: TalkName, path: PathBuf },
    /// Once for every file: it is whole, closed, and holds `frames` of 20 ms of which `lost` are
    /// silence because the frame did not get here or the disk did not take it.
    Finished { talk: TalkName, path: PathBuf, bytes: u64, frames: u64, lost: u64 },
    /// An alarm, at most once a talk, with what went wrong first. A full disk is tried again
    /// every second; what comes meanwhile is lost and counted. With `no_file` nothing is there that could be
    /// heard, until it has started.
    Failed { talk: TalkName, path: PathBuf, what: String, no_file: bool },
}

/// Why there can be no recordings at all.
#[derive(Debug, thiserror::Error)]
#[error("recording.dir {}: {source}; name a folder this user may write to", dir.display())]
pub struct FolderError {
    pub dir: PathBuf,
    pub source: io::Error,
}

/// Makes the folder if need be, and makes sure that files can be made in it.
pub fn check_folder(dir: &Path) -> Result<(), FolderError> {
    let refuse = |source| FolderError { dir: dir.to_path_buf(), source };
    DirBuilder::new().recursive(true).mode(0o750).create(dir).map_err(refuse)?;
    let probe = dir.join(format!(".writable-{}", std::process::id()));
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(&probe)
        .map_err(refuse)?;
    fs::remove_file(&probe).map_err(refuse)
}

/// How often the ring is emptied.
const PASS: Duration = Duration::from_millis(50);

/// What a power cut may take, if the disk keeps up.
const SYNC_AFTER: Duration = Duration::from_secs(1);

/// Events that wait while nobody takes them; further ones are counted.
const BACKLOG_MAX: usize = 4096;

/// The thread around a [`Writer`].
pub(crate) struct Recorder {
    pub(crate) writer: Writer,
    /// One ring of each media thread; a talk is in one of them from start to end.
    pub(crate) frames: Vec<HeapCons<RecordFrame>>,
    pub(crate) events: HeapProd<RecorderEvent>,
    pub(crate) bell: Arc<EventFd>,
    pub(crate) stop: Arc<AtomicBool>,
}

impl Recorder {
    /// Runs until it is told to stop and the ring is empty. Gives itself back, so that the rings
    /// are dropped where they were made.
    pub(crate) fn run(mut self) -> Self {
        loop {
            // Before the pass: what came before the wish to stop is still written.
            let stopping = self.stop.load(Ordering::Acquire);
            self.guarded(|recorder| recorder.pass(Instant::now()));
            if stopping {
                self.guarded(|recorder| recorder.writer.close_all(Instant::now()));
                self.hand_over_events();
                return self;
            }
            thread::park_timeout(PASS);
        }
    }

    /// A panic costs this pass; the other recordings go on with the next.
    fn guarded(&mut self, work: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| work(self))).is_err() {
            self.writer.counters.panics.bump();
        }
    }

    fn pass(&mut self, now: Instant) {
        // One ring's worth at most, so that files are also written when frames never stop coming.
        for frames in &mut self.frames {
            for _ in 0..frames.capacity().get() {
                let Some(frame) = frames.try_pop() else { break };
                self.writer.handle_frame(&frame, now);
            }
        }
        self.writer.write(now);
        self.hand_over_events();
    }

    fn hand_over_events(&mut self) {
        let mut rang = false;
        while let Some(event) = self.writer.events.pop_front() {
            if let Err(event) = self.events.try_push(event) {
                self.writer.events.push_front(event);
                break;
            }
            rang = true;
        }
        if rang {
            // It fails only when the count would overflow, and then the bell rings already.
            let _rung = self.bell.write(1);
        }
    }
}

/// All recordings under way.
pub(crate) struct Writer {
    config: RecorderConfig,
    disk: Disk,
    tapes: BTreeMap<TalkName, Tape>,
    clerk: Clerk,
    events: VecDeque<RecorderEvent>,
    counters: Arc<RecorderCount>,
    /// Of the tapes that are gone.
    written: u64,
    lost: u64,
}

impl Writer {
    pub(crate) fn new(
        config: RecorderConfig,
        disk: Disk,
        clerk: Clerk,
        counters: Arc<RecorderCount>,
    ) -> Self {
        Self {
            config,
            disk,
            tapes: BTreeMap::new(),
            clerk,
            events: VecDeque::new(),
            counters,
            written: 0,
            lost: 0,
        }
    }

    pub(crate) fn handle_frame(&mut self, frame: &RecordFrame, now: Instant) {
        let tape = self.tape(frame.talk, now);
        match frame.kind {
            RecordKind::Start => {}
            RecordKind::Audio => _ = tape.append(frame.index, frame.tracks, now),
            RecordKind::Paused => tape.append_pause(frame.index, now),
            RecordKind::End => tape.end(frame.index, now),
        }
    }

    /// Writes what is due, has made durable what is due, and says what happened.
    pub(crate) fn write(&mut self, now: Instant) {
        for tape in self.tapes.values_mut() {
            tape.write_due(now);
            tape.end_if_forgotten(now);
            tape.settle(now);
        }
        self.hear_clerk(now);
        self.send_clerk(now);
        self.hear_clerk(now);
        self.alarm();
        self.count();
    }

    /// Ends every recording where it is, and waits until that is durable: nothing comes after it.
    pub(crate) fn close_all(&mut self, now: Instant) {
        for tape in self.tapes.values_mut() {
            tape.end_here(now);
            tape.settle(now);
        }
        self.clerk.wait();
        self.hear_clerk(now);
        self.send_clerk(now);
        self.clerk.wait();
        self.hear_clerk(now);
        self.alarm();
        self.count();
    }

    /// Also for a talk whose start did not get here: better late than not at all.
    fn tape(&mut self, talk: TalkName, now: Instant) -> &mut Tape {
        self.tapes.entry(talk).or_insert_with(|| {
            let RecorderConfig { dir, name, format, seal } = &self.config;
            let name = name(talk);
            let form = Form::of(seal, *format, &name);
            let path = dir.join(name + "." + seal.extension(*format));
            Tape::new(path, form, self.disk, now)
        })
    }

    /// Gives the clerk what has waited long enough or has ended, and the folder if files are new in
    /// it. A disk takes its time: meanwhile samples go on into the files.
    fn send_clerk(&mut self, now: Instant) {
        if self.clerk.is_busy() {
            return;
        }
        let due = |tape: &Tape| {
            let waited = now.saturating_duration_since(tape.synced_at());
            tape.has_ended() || tape.is_dirty() && waited >= SYNC_AFTER
        };
        let tapes = self.tapes.iter_mut().filter(|(_, tape)| due(tape));
        let files: Vec<_> = tapes.map(|(&talk, tape)| (talk, tape.hand_over())).collect();
        let made =
            self.tapes.iter_mut().filter_map(|(&talk, tape)| tape.take_made().then_some(talk));
        let made: Vec<_> = made.collect();
        if !files.is_empty() || !made.is_empty() {
            self.clerk.send(Errand { folder: self.config.dir.clone(), made, files });
        }
    }

    /// What the clerk has done since: the names of new files, and what was written before it went.
    fn hear_clerk(&mut self, now: Instant) {
        while let Some(done) = self.clerk.hear() {
            for talk in done.made {
                let Some(tape) = self.tapes.get_mut(&talk) else { continue };
                if tape.file().is_none() {
                    continue;
                }
                let path = tape.path().to_path_buf();
                if let Err(error) = &done.folder {
                    tape.raise_alarm(error);
                }
                self.tell(RecorderEvent::Started { talk, path });
            }
            for (talk, was_settled, result) in done.files {
                let Some(tape) = self.tapes.get_mut(&talk) else { continue };
                tape.synced(&result, now);
                if was_settled {
                    self.finish(talk);
                }
            }
        }
    }

    fn finish(&mut self, talk: TalkName) {
        let Some(mut tape) = self.tapes.remove(&talk) else { return };
        self.written += tape.written();
        self.lost += tape.lost();
        let path = tape.path().to_path_buf();
        if let Some(what) = tape.take_alarm() {
            let no_file = tape.file().is_none();
            self.tell(RecorderEvent::Failed { talk, path: path.clone(), what, no_file });
        }
        if tape.file().is_some() {
            let (bytes, frames, lost) = (tape.bytes(), u64::from(tape.next()), tape.lost());
            self.tell(RecorderEvent::Finished { talk, path, bytes, frames, lost });
        }
    }

    fn alarm(&mut self) {
        let alarms = self.tapes.iter_mut().filter_map(|(&talk, tape)| {
            let what = tape.take_alarm()?;
            let (path, no_file) = (tape.path().into(), tape.file().is_none());
            Some(RecorderEvent::Failed { talk, path, what, no_file })
        });
        for alarm in alarms.collect::<Vec<_>>() {
            self.tell(alarm);
        }
    }

    fn tell(&mut self, event: RecorderEvent) {
        if self.events.len() < BACKLOG_MAX {
            self.events.push_back(event);
        } else {
            self.counters.events_lost.bump();
        }
    }

    fn count(&self) {
        let tapes = || self.tapes.values();
        self.counters.active.set(tapes().filter(|tape| tape.file().is_some()).count() as u64);
        self.counters.frames_written.set(self.written + tapes().map(Tape::written).sum::<u64>());
        self.counters.frames_lost.set(self.lost + tapes().map(Tape::lost).sum::<u64>());
    }
}

#[cfg(test)]
impl Writer {
    /// A pass, and what the clerk has to do for it.
    pub(crate) fn write_and_wait(&mut self, now: Instant) {
        self.write(now);
        while self.clerk.is_busy() {
            self.clerk.wait();
            self.write(now);
        }
    }

    pub(crate) fn take_events(&mut self) -> Vec<RecorderEvent> {
        self.events.drain(..).collect()
    }

    pub(crate) fn frames_lost(&self) -> u64 {
        self.counters.read().frames_lost
    }
}

#[cfg(test)]
mod tests;
