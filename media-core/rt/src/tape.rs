//! One recording on its way into its file: what has been written, what waits, what was lost.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use media_core::{
    order::Track,
    record::{peaks::Peaks, unpack},
};

use crate::{
    form::{Form, Length},
    wav::{FRAME_BYTES, FRAMES_MAX},
};

/// A write never grows beyond this, however far the writer is behind.
const PENDING_FRAMES_MAX: usize = 100;

/// Of the file beside a WAV in which a player finds what it draws.
pub const PEAKS_EXTENSION: &str = "peaks.json";

/// After a fault the file is left alone this long.
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A talk has a frame every 20 ms, also on hold.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// The two operations a full or broken disk refuses.
#[derive(Clone, Copy)]
pub(crate) struct Disk {
    pub(crate) create: fn(&Path) -> io::Result<File>,
    pub(crate) write: fn(&File, &[u8], u64) -> io::Result<()>,
}

impl Disk {
    pub(crate) const REAL: Self =
        Self { create, write: |file, bytes, at| file.write_all_at(bytes, at) };
}

fn create(path: &Path) -> io::Result<File> {
    // `create_new` is O_EXCL: a recording never overwrites another.
    OpenOptions::new().write(true).create_new(true).mode(0o640).open(path)
}

/// A recording.
pub(crate) struct Tape {
    path: PathBuf,
    form: Form,
    peaks: Peaks,
    disk: Disk,
    file: Option<Arc<File>>,
    /// The file is new in its folder, and nobody has made its name durable.
    made: bool,
    /// Where on the talk's time line `pending` begins.
    pending_at: u32,
    pending: Vec<[Track; 2]>,
    pending_since: Instant,
    written: u64,
    lost: u64,
    paused: u64,
    fault: Fault,
    /// The first fault, until it is told.
    alarm: Option<String>,
    told: bool,
    ended: bool,
    /// The file has been brought to the line's length after its end.
    settled: bool,
    dirty: bool,
    synced_at: Instant,
    heard_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Until(Instant),
    ForGood,
}

impl Tape {
    /// Makes the file, with a header that promises nothing. A failure is told by
    /// [`take_alarm`](Self::take_alarm) and tried again when there is something to write.
    pub(crate) fn new(path: PathBuf, form: Form, disk: Disk, now: Instant) -> Self {
        let mut tape = Self {
            path,
            form,
            peaks: Peaks::default(),
            disk,
            file: None,
            made: false,
            pending_at: 0,
            pending: Vec::new(),
            pending_since: now,
            written: 0,
            lost: 0,
            paused: 0,
            fault: Fault::None,
            alarm: None,
            told: false,
            ended: false,
            settled: false,
            dirty: false,
            synced_at: now,
            heard_at: now,
        };
        if let Err(error) = tape.make_file() {
            tape.fail(&error, now);
        }
        tape
    }

    /// Takes one frame of the time line in which nothing was to be recorded.
    pub(crate) fn append_pause(&mut self, index: u32, now: Instant) {
        if self.append(index, [None; 2], now) {
            self.paused += 1;
        }
    }

    /// Takes one frame of the time line. What is left out before it is silence, and lost. False: it
    /// came too late.
    pub(crate) fn append(&mut self, index: u32, tracks: [Track; 2], now: Instant) -> bool {
        self.heard_at = now;
        let next = self.next();
        if index < next || index >= FRAMES_MAX {
            self.refuse(index, now);
            return false;
        }
        if index > next || self.pending.len() >= PENDING_FRAMES_MAX {
            self.write_out(now);
            self.skip_to(index);
        }
        if self.pending.is_empty() {
            self.pending_since = now;
        }
        self.pending.push(tracks);
        true
    }

    /// The line has ended. What is missing up to its length is silence, and lost.
    pub(crate) fn end(&mut self, length: u32, now: Instant) {
        self.write_out(now);
        self.skip_to(length.min(FRAMES_MAX));
        self.ended = true;
    }

    /// Ends the line if nothing has come for so long that its end must have been lost.
    pub(crate) fn end_if_forgotten(&mut self, now: Instant) {
        if now.saturating_duration_since(self.heard_at) >= FORGOTTEN_AFTER {
            self.end_here(now);
        }
    }

    /// Ends the line where it is: the appliance stops.
    pub(crate) fn end_here(&mut self, now: Instant) {
        if !self.ended {
            self.end(self.next(), now);
        }
    }

    /// Writes what has waited long enough.
    pub(crate) fn write_due(&mut self, now: Instant) {
        if now.saturating_duration_since(self.pending_since) >= self.form.write_after() {
            self.write_out(now);
        }
    }

    /// Brings the file to the line's length, once, after the end.
    pub(crate) fn settle(&mut self, now: Instant) {
        if !self.ended || std::mem::replace(&mut self.settled, true) {
            return;
        }
        let (lost, paused) = (self.lost, self.paused);
        let length = Length { frames: self.next(), lost, paused };
        let peaks = std::mem::take(&mut self.peaks);
        let beside = self.form.peaks_beside(length.frames, &peaks);
        let settled = match self.file.as_deref() {
            None => Ok(()),
            Some(file) => self.form.end(self.disk, file, length, peaks),
        };
        if let Some(json) = beside.filter(|_| self.file.is_some() && settled.is_ok()) {
            self.keep_peaks(&json);
        }
        self.dirty = true;
        if let Err(error) = settled {
            self.fail(&error, now);
        }
    }

    /// The file, to be made durable, and whether what stands in it now is its end.
    pub(crate) fn hand_over(&mut self) -> (Option<Arc<File>>, bool) {
        self.dirty = false;
        (self.file.clone(), self.settled)
    }

    /// What was written when it was handed over has been made durable, or could not be.
    pub(crate) fn synced(&mut self, result: &io::Result<()>, now: Instant) {
        self.synced_at = now;
        if let Err(error) = result {
            self.fail(error, now);
        }
        self.look_for_file(now);
    }

    /// Tells of a fault that does not keep samples out of the file.
    pub(crate) fn raise_alarm(&mut self, what: &io::Error) {
        if !std::mem::replace(&mut self.told, true) {
            self.alarm = Some(what.to_string());
        }
    }

    /// What went wrong first, once.
    pub(crate) fn take_alarm(&mut self) -> Option<String> {
        self.alarm.take()
    }

    /// Whether the file has been made since this was asked last.
    pub(crate) fn take_made(&mut self) -> bool {
        std::mem::take(&mut self.made)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> Option<&File> {
        self.file.as_deref()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Something was written since it was durable last.
    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(crate) fn synced_at(&self) -> Instant {
        self.synced_at
    }

    /// Length of the time line so far, gaps included.
    pub(crate) fn next(&self) -> u32 {
        self.pending_at + self.frames_pending()
    }

    /// Length of the finished file.
    pub(crate) fn bytes(&self) -> u64 {
        self.form.bytes(self.next())
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    fn refuse(&mut self, index: u32, now: Instant) {
        self.lost += 1;
        if index >= FRAMES_MAX {
            self.fail(&io::Error::other("a recording cannot be longer than 37 hours"), now);
        }
    }

    fn skip_to(&mut self, index: u32) {
        let gap = index.saturating_sub(self.pending_at);
        self.lost += u64::from(gap);
        self.pending_at += gap;
    }

    /// Writes what waits, or counts it as lost. Afterwards nothing waits.
    fn write_out(&mut self, now: Instant) {
        let frames = self.frames_pending();
        if frames == 0 {
            return;
        }
        let result = if self.may_write(now) { self.write() } else { Ok(false) };
        match result {
            Ok(true) => self.written += u64::from(frames),
            Ok(false) => self.lost += u64::from(frames),
            Err(error) => {
                self.lost += u64::from(frames);
                self.fail(&error, now);
            }
        }
        self.pending_at += frames;
        self.pending.clear();
    }

    fn may_write(&self, now: Instant) -> bool {
        match self.fault {
            Fault::None => true,
            Fault::Until(again) => now >= again,
            Fault::ForGood => false,
        }
    }

    fn write(&mut self) -> io::Result<bool> {
        self.make_file()?;
        let Some(file) = &self.file else { return Ok(false) };
        let samples = self.samples_pending();
        self.form.write(self.disk, file, self.pending_at, &samples)?;
        self.peaks.hear(self.pending_at, &samples);
        self.dirty = true;
        self.fault = Fault::None;
        Ok(true)
    }

    /// What waits, as it stands in a file.
    fn samples_pending(&self) -> Vec<u8> {
        let mut samples = Vec::with_capacity(self.pending.len() * FRAME_BYTES as usize);
        for tracks in &self.pending {
            let pairs = unpack(tracks).map(|[left, right]| {
                let ([a, b], [c, d]) = (left.to_le_bytes(), right.to_le_bytes());
                [a, b, c, d]
            });
            samples.extend_from_slice(pairs.as_flattened());
        }
        samples
    }

    fn frames_pending(&self) -> u32 {
        u32::try_from(self.pending.len()).expect("few frames wait at a time")
    }

    fn make_file(&mut self) -> io::Result<()> {
        if self.file.is_some() {
            return Ok(());
        }
        self.form.allowed()?;
        let file = self.file.insert(Arc::new((self.disk.create)(&self.path)?));
        (self.dirty, self.made) = (true, true);
        self.form.begin(self.disk, file)
    }

    /// They can be made anew from the recording: a disk that does not take them is no fault.
    fn keep_peaks(&self, json: &str) {
        let path = self.path.with_extension(PEAKS_EXTENSION);
        let _kept =
            (self.disk.create)(&path).and_then(|file| (self.disk.write)(&file, json.as_bytes(), 0));
    }

    fn fail(&mut self, error: &io::Error, now: Instant) {
        let lasting = matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::Other);
        self.fault = if lasting { Fault::ForGood } else { Fault::Until(now + TRY_AGAIN_AFTER) };
        self.raise_alarm(error);
    }

    /// A file nobody can find any more takes samples without complaint.
    fn look_for_file(&mut self, now: Instant) {
        let links = self.file.as_ref().and_then(|file| file.metadata().ok()).map(|it| it.nlink());
        if links == Some(0) {
            self.file = None;
            self.fail(&io::Error::other("the file was deleted while it was written"), now);
        }
    }
}
