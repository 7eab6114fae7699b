//! The journal on disk: one write per turn of the pump, a sync beside the loop, and room that was
//! taken in advance, so that a full disk does not end the log before somebody can act.
//!
//! A segment is a file of fixed size that begins with a snapshot. The next one lies ready, its
//! blocks allocated; when a segment is full, or could not be written, the log goes on there.

use crate::start::make_folder;
use control_plane::journal::{self, Chain, Moment, Note, Past, Record, Segment};
use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
};
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Bytes allocated for a segment: some 10,000 calls.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Segments kept: the one in use, and older ones to read after a crash or for support.
const SEGMENTS_KEPT: usize = 4;
/// Segments a start may need: the newest, the one before it for the stories that ended there, and
/// one that a crash may have cut at its beginning. On a full disk the others go.
const SEGMENTS_NEEDED: usize = 3;
/// The journal says who called whom: it is for the operator and their group.
const READABLE_BY: u32 = 0o640;
/// Extension of a segment that could not be used.
const ASIDE: &str = "unusable";
/// How many of them are kept.
const ASIDE_KEPT: usize = 2;
/// How often the journal is synced at most; what a power cut may cost.
const SYNC_EVERY: Duration = Duration::from_millis(200);
/// How long after a failed write the next try.
const TRY_AGAIN: Duration = Duration::from_secs(1);
/// How long after room could not be taken the next try.
const ROOM_AGAIN: Duration = Duration::from_secs(10);

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("node.data_dir {}: {source}; name a folder this user may write to", dir.display())]
    Folder { dir: PathBuf, source: io::Error },
    #[error("journal {}: {source}", file.display())]
    File { file: PathBuf, source: io::Error },
}

/// Why a segment is passed over.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error(transparent)]
    Damaged(journal::Unusable),
    #[error(transparent)]
    Unreadable(io::Error),
    #[error("its snapshot cannot be lived on from: a defect of this version, please report it")]
    Unlivable,
}

/// What the journal counts; read by metrics.
#[derive(Debug, Default)]
pub struct StoreCounts {
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    pub failed_writes: AtomicU64,
    pub lost_records: AtomicU64,
    pub syncs: AtomicU64,
    pub failed_syncs: AtomicU64,
    /// Every record up to this one has reached the disk.
    pub durable_seq: AtomicU64,
    /// Segments that the start could not use, or not to their end.
    pub unusable: AtomicU64,
    /// The last record that was lost; what came before it is durable only by a later snapshot.
    pub lost_seq: AtomicU64,
}

/// What one turn of the pump writes.
#[derive(Debug, Default)]
pub struct Lines {
    pub records: Vec<Record>,
    pub notes: Vec<Note>,
}

/// Writes the snapshot of this moment.
pub type Snapshot<'a> = &'a dyn Fn(&mut Chain, &mut Vec<u8>);

/// Lives the newest usable segment again, and for the stories that ended in it the one before;
/// `None`: there is none. What cannot be used is kept aside, for somebody to look at.
pub fn past(dir: &Path, counts: &StoreCounts) -> Result<Option<Past>, StoreError> {
    let mut newest: Option<Past> = None;
    for file in segments(dir)?.into_iter().rev() {
        let bytes = fs::read(&file).map_err(Unusable::Unreadable);
        match bytes.and_then(|bytes| live_again(&bytes, journal::replay_counted)) {
            Ok(Lived { past, end }) => {
                match end {
                    End::Whole => {}
                    End::Cut { at } => tracing::warn!(file = %file.display(), at,
                        "the journal ends in a cut line; what came after it is lost"),
                    End::Spoilt { at } => {
                        tracing::error!(file = %file.display(), at,
                            "the journal says what cannot be; it is used up to there and kept aside");
                        keep_copy(dir, &file, counts);
                    }
                    End::Newer { version, at } => {
                        tracing::error!(file = %file.display(), version, at,
                            "a newer version has written the journal; it is used as far as this one \
                             knows it and kept aside");
                        keep_copy(dir, &file, counts);
                    }
                }
                let Some(mut newest) = newest else {
                    newest = Some(past);
                    continue;
                };
                newest.ended.splice(0..0, past.ended);
                return Ok(Some(newest));
            }
            Err(unusable) => {
                counts.unusable.fetch_add(1, Ordering::Relaxed);
                tracing::error!(file = %file.display(), %unusable,
                    "a journal segment cannot be used; the one before it is tried");
                // What cannot be read at the moment may be read later, where it is.
                if let Unusable::Damaged(_) | Unusable::Unlivable = unusable
                    && let Err(error) = keep_aside(dir, &file)
                {
                    tracing::error!(%error, file = %file.display(), "it cannot be kept aside");
                }
            }
        }
    }
    if newest.is_none() && fs::read_dir(dir).is_ok_and(|mut files| files.next().is_some()) {
        tracing::error!(dir = %dir.display(),
            "no journal can be read: the box starts with an empty board, and phones that are in a \
             call of the process before keep it until they hang up");
    }
    Ok(newest)
}

/// What could be made of a segment.
struct Lived {
    past: Past,
    end: End,
}

/// How far it could be used, in bytes or records.
enum End {
    Whole,
    /// By a crash.
    Cut {
        at: usize,
    },
    /// By what it says there.
    Spoilt {
        at: usize,
    },
    /// By what only a newer version knows; `None`: nothing of it was in the way.
    Newer {
        version: u32,
        at: Option<usize>,
    },
}

/// A record that cannot be lived would keep every process from starting. Like a line that says what
/// cannot be, it ends what is lived; of what comes after it only dialogs and registrations are taken.
fn live_again(bytes: &[u8], replay: fn(Segment, &mut usize) -> Past) -> Result<Lived, Unusable> {
    let read = || journal::read(bytes).map_err(Unusable::Damaged);
    let segment = read()?;
    let end = match (segment.newer, segment.spoilt_at) {
        (Some(version), at) => End::Newer { version, at },
        (None, Some(at)) => End::Spoilt { at },
        (None, None) if segment.torn => End::Cut { at: segment.whole_bytes },
        (None, None) => End::Whole,
    };
    let mut lived = 0;
    let live =
        |segment, lived: &mut usize| catch_unwind(AssertUnwindSafe(|| replay(segment, lived)));
    if let Ok(past) = live(segment, &mut lived) {
        return Ok(Lived { past, end });
    }
    let mut segment = read()?;
    segment.records.truncate(lived);
    let past = live(segment, &mut 0).map_err(|_| Unusable::Unlivable)?;
    let end = match end {
        End::Newer { version, .. } => End::Newer { version, at: Some(lived) },
        End::Whole | End::Cut { .. } | End::Spoilt { .. } => End::Spoilt { at: lived },
    };
    Ok(Lived { past, end })
}

fn keep_copy(dir: &Path, file: &Path, counts: &StoreCounts) {
    counts.unusable.fetch_add(1, Ordering::Relaxed);
    if let Err(error) = copy_aside(dir, file) {
        tracing::error!(%error, file = %file.display(), "no copy can be kept");
    }
}

/// For somebody to look at; what is usable of it stays where it is, until the next segment has begun.
fn copy_aside(dir: &Path, file: &Path) -> io::Result<()> {
    fs::copy(file, file.with_extension(ASIDE))?;
    keep_newest_aside(dir)
}

/// Out of the way of the next segments; of several only the newest are kept. One that was never
/// written to tells nothing.
fn keep_aside(dir: &Path, file: &Path) -> io::Result<()> {
    if fs::read(file).is_ok_and(|bytes| bytes.iter().all(|&byte| byte == 0)) {
        return fs::remove_file(file);
    }
    fs::rename(file, file.with_extension(ASIDE))?;
    keep_newest_aside(dir)
}

fn keep_newest_aside(dir: &Path) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(dir)? {
        kept.push(entry?.path());
    }
    kept.retain(|path| path.extension().is_some_and(|extension| extension == ASIDE));
    kept.sort();
    let old = kept.len().saturating_sub(ASIDE_KEPT);
    kept.iter().take(old).try_for_each(fs::remove_file)
}

/// The segments in a folder, oldest first. A file that has no number is none, whatever it ends in.
fn segments(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let fail = |source| StoreError::Folder { dir: dir.to_owned(), source };
    make_folder(dir).map_err(fail)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if let Some(number) = number(&path) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// The journal that is being written. Owned by the pump.
pub struct Store {
    dir: PathBuf,
    file: Arc<File>,
    number: u64,
    used: u64,
    room: u64,
    chain: Chain,
    buffer: Vec<u8>,
    counts: Arc<StoreCounts>,
    clerk: SyncSender<Errand>,
    /// Errands for which the clerk had no time yet, in order.
    owed: VecDeque<Errand>,
    clerk_thread: Option<JoinHandle<()>>,
    /// A write failed; nothing more goes into this segment.
    broken: bool,
    try_again: Option<Instant>,
    unsynced: Option<u64>,
    last_seq: u64,
    last_sync: Instant,
    failed_syncs: u64,
}

/// What is done beside the loop.
enum Errand {
    Sync {
        file: Arc<File>,
        seq: u64,
    },
    /// Keep a segment's worth of blocks ready, and only so many old segments, once the snapshot
    /// in the new one is durable.
    MakeRoom {
        dir: PathBuf,
        new: Arc<File>,
    },
}

impl Store {
    /// Begins a new segment with a snapshot. From here on `append` is the only way in.
    pub fn begin(
        dir: &Path,
        moment: Moment<'_>,
        counts: Arc<StoreCounts>,
    ) -> Result<Self, StoreError> {
        let newest = segments(dir)?.pop();
        if let Some(newest) = &newest
            && let Err(error) = give_back_room(newest)
        {
            tracing::warn!(%error, file = %newest.display(), "a segment keeps room it does not use");
        }
        let last = newest.and_then(|file| number(&file)).unwrap_or(0);
        let (clerk, errands) = mpsc::sync_channel(64);
        let clerk_counts = Arc::clone(&counts);
        let clerk_thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run_errands(&errands, &clerk_counts))
            .map_err(|source| StoreError::Folder { dir: dir.to_owned(), source })?;
        let fail = |file: PathBuf| move |source| StoreError::File { file, source };
        match make_room(dir) {
            Err(error) if is_full(&error) => {
                tracing::error!(%error, "no room could be taken for the journal in advance");
            }
            made => made.map_err(fail(reserve(dir)))?,
        }
        let (file, room) = take_room(dir, last + 1).map_err(fail(segment(dir, last + 1)))?;
        let failed_syncs = counts.failed_syncs.load(Ordering::Relaxed);
        let mut store = Self {
            dir: dir.to_owned(),
            file: Arc::new(file),
            number: last + 1,
            used: 0,
            room,
            chain: Chain::default(),
            buffer: Vec::new(),
            counts,
            clerk,
            owed: VecDeque::new(),
            clerk_thread: Some(clerk_thread),
            broken: false,
            try_again: None,
            unsynced: None,
            last_seq: moment.board.seq(),
            last_sync: Instant::now(),
            failed_syncs,
        };
        let file = Arc::clone(&store.file);
        let begun = store.write_snapshot(file, room, &|chain, into| chain.snapshot(moment, into));
        begun.and_then(|()| store.file.sync_data()).map_err(fail(segment(dir, last + 1)))?;
        store.run(Errand::MakeRoom { dir: dir.to_owned(), new: Arc::clone(&store.file) });
        Ok(store)
    }

    /// One turn of the pump: its lines in one write. A failure is counted and said; the calls
    /// go on.
    pub fn append(&mut self, lines: &Lines, snapshot: Snapshot<'_>, now: Instant) {
        let Lines { records, notes } = lines;
        if records.is_empty() && notes.is_empty() {
            return;
        }
        let written = records.len() + notes.len();
        self.last_seq = records.last().map_or(self.last_seq, |record| record.seq);
        self.counts.records.fetch_add(written as u64, Ordering::Relaxed);
        self.notice_failed_syncs();
        if self.broken {
            if self.mend(snapshot, now) {
                // The snapshot holds what these records did; written too, they would be lived
                // twice. Only the stories that they ended are nowhere.
                if !records.is_empty() {
                    self.counts.lost_seq.store(self.last_seq, Ordering::Release);
                }
                self.unsynced = Some(self.last_seq);
            } else {
                self.lose(written);
            }
            return;
        }
        self.buffer.clear();
        for record in records {
            self.chain.record(record, &mut self.buffer);
        }
        for note in notes {
            self.chain.note(note, &mut self.buffer);
        }
        match self.file.write_all_at(&self.buffer, self.used) {
            Ok(()) => {
                self.used += self.buffer.len() as u64;
                self.counts.bytes.fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
                self.unsynced = Some(self.last_seq);
                if self.used >= self.room {
                    self.go_on(snapshot);
                }
            }
            Err(error) => {
                tracing::error!(%error, segment = self.number,
                    "the journal cannot be written; calls go on, CDRs are not durable");
                self.broken = true;
                self.try_again = Some(now + TRY_AGAIN);
                self.lose(written);
            }
        }
    }

    /// Asks for a sync if one is due; the loop does not wait for it.
    pub fn sync_if_due(&mut self, now: Instant) {
        if self.next_sync().is_none_or(|due| now < due) {
            return;
        }
        // Also if the clerk has no time: what is due now is tried again then, not at once.
        self.last_sync = now;
        if self.hand_over()
            && let Some(seq) = self.unsynced.take()
        {
            self.run(Errand::Sync { file: Arc::clone(&self.file), seq });
        }
    }

    /// When `sync_if_due` next has something to do.
    pub fn next_sync(&self) -> Option<Instant> {
        let due = self.unsynced.is_some() || !self.owed.is_empty();
        due.then(|| self.last_sync + SYNC_EVERY)
    }

    /// The last syncs, waited for: the box stops.
    pub fn close(mut self) {
        let (closed, _) = mpsc::sync_channel(1);
        let clerk = std::mem::replace(&mut self.clerk, closed);
        for errand in self.owed.drain(..) {
            // A clerk that is gone has panicked, and that was printed.
            let _gone = clerk.send(errand);
        }
        drop(clerk);
        if let Some(clerk) = self.clerk_thread.take() {
            drop(clerk.join());
        }
        self.notice_failed_syncs();
        let synced = self.file.sync_data();
        if let (Ok(()), Some(seq), false) = (synced, self.unsynced, self.broken) {
            self.counts.durable_seq.fetch_max(seq, Ordering::Release);
        }
    }

    fn lose(&self, lines: usize) {
        self.counts.failed_writes.fetch_add(1, Ordering::Relaxed);
        self.counts.lost_records.fetch_add(lines as u64, Ordering::Relaxed);
        self.counts.lost_seq.store(self.last_seq, Ordering::Release);
    }

    /// After a failed write: a new segment, whose snapshot holds what was lost.
    fn mend(&mut self, snapshot: Snapshot<'_>, now: Instant) -> bool {
        if self.try_again.is_some_and(|at| now < at) {
            return false;
        }
        self.try_again = Some(now + TRY_AGAIN);
        let mended = self.rotate(snapshot).is_ok();
        if mended {
            tracing::warn!(segment = self.number, "the journal can be written again");
        }
        mended
    }

    /// After a failed sync the kernel may have thrown away what it could not write, and a later
    /// one would not say so: this segment is trusted no longer.
    fn notice_failed_syncs(&mut self) {
        let failed = self.counts.failed_syncs.load(Ordering::Acquire);
        if std::mem::replace(&mut self.failed_syncs, failed) != failed {
            self.broken = true;
        }
    }

    /// This segment is full. Its last sync is asked for first: a snapshot does not hold the
    /// stories that have ended.
    fn go_on(&mut self, snapshot: Snapshot<'_>) {
        let full = Arc::clone(&self.file);
        self.run(Errand::Sync { file: full, seq: self.last_seq });
        if let Err(error) = self.rotate(snapshot) {
            tracing::error!(%error, "the journal's next segment cannot be begun");
            self.broken = true;
        }
    }

    /// Goes on in the segment that lies ready. One whose snapshot could not be written has no
    /// number yet: it is tried again, and no row of empty ones displaces those that are needed.
    fn rotate(&mut self, snapshot: Snapshot<'_>) -> io::Result<()> {
        let (file, room) = take_room(&self.dir, self.number + 1)?;
        self.write_snapshot(Arc::new(file), room, snapshot)?;
        self.number += 1;
        self.broken = false;
        self.run(Errand::MakeRoom { dir: self.dir.clone(), new: Arc::clone(&self.file) });
        Ok(())
    }

    /// Begins a file with a snapshot, and only then goes on in it.
    fn write_snapshot(
        &mut self,
        file: Arc<File>,
        room: u64,
        snapshot: Snapshot<'_>,
    ) -> io::Result<()> {
        let mut chain = Chain::default();
        self.buffer.clear();
        snapshot(&mut chain, &mut self.buffer);
        file.write_all_at(&self.buffer, 0)?;
        (self.file, self.chain) = (file, chain);
        self.used = self.buffer.len() as u64;
        // A board too big for half a segment gets a longer one: otherwise every turn would rotate.
        self.room = room.max(self.used * 2);
        self.counts.bytes.fetch_add(self.used, Ordering::Relaxed);
        Ok(())
    }

    fn run(&mut self, errand: Errand) {
        self.owed.push_back(errand);
        self.hand_over();
    }

    /// Gives the clerk what is owed, in order: a sync must not overtake that of an older segment.
    /// False: the disk is slow, and some is left.
    fn hand_over(&mut self) -> bool {
        while let Some(errand) = self.owed.pop_front() {
            let (TrySendError::Full(errand) | TrySendError::Disconnected(errand)) =
                match self.clerk.try_send(errand) {
                    Ok(()) => continue,
                    Err(refused) => refused,
                };
            self.owed.push_front(errand);
            return false;
        }
        true
    }
}

/// What the clerk has in mind between two errands.
#[derive(Default)]
struct Clerk {
    /// A file that could not be synced: see [`Store::notice_failed_syncs`].
    failed: Option<Arc<File>>,
    /// Room that could not be taken, and when it is tried again.
    room: Option<(PathBuf, Instant)>,
}

fn run_errands(errands: &mpsc::Receiver<Errand>, counts: &StoreCounts) {
    let mut clerk = Clerk::default();
    loop {
        match errands.recv_timeout(ROOM_AGAIN) {
            Ok(Errand::Sync { file, seq }) => clerk.sync(file, seq, counts),
            Ok(Errand::MakeRoom { dir, new }) => {
                let tidied = new.sync_data().and_then(|()| drop_old(&dir, SEGMENTS_KEPT));
                if let Err(error) = tidied {
                    tracing::error!(%error, "old journal segments stay");
                }
                clerk.make_room(dir);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if clerk.room.as_ref().is_some_and(|(_, at)| *at <= Instant::now())
            && let Some((dir, _)) = clerk.room.take()
        {
            clerk.make_room(dir);
        }
    }
}

impl Clerk {
    fn sync(&mut self, file: Arc<File>, seq: u64, counts: &StoreCounts) {
        if self.failed.as_ref().is_some_and(|failed| Arc::ptr_eq(failed, &file)) {
            return;
        }
        match file.sync_data() {
            Ok(()) => {
                counts.syncs.fetch_add(1, Ordering::Relaxed);
                counts.durable_seq.fetch_max(seq, Ordering::Release);
            }
            Err(error) => {
                tracing::error!(%error, "the journal cannot be synced; it goes on in a new segment");
                self.failed = Some(file);
                counts.failed_syncs.fetch_add(1, Ordering::Release);
            }
        }
    }

    fn make_room(&mut self, dir: PathBuf) {
        if let Err(error) = make_room(&dir) {
            tracing::error!(%error, "no room could be taken for the journal's next segment");
            self.room = Some((dir, Instant::now() + ROOM_AGAIN));
        } else {
            self.room = None;
        }
    }
}

/// Takes room for a segment; on a full disk old segments make way.
fn make_room(dir: &Path) -> io::Result<()> {
    match prepare_room(dir) {
        Err(error) if is_full(&error) => {
            drop_old(dir, SEGMENTS_NEEDED)?;
            prepare_room(dir)
        }
        made => made,
    }
}

/// Gives back what the last process took in advance for its last segment and did not use: on a full
/// disk it is all the room there is.
fn give_back_room(segment: &Path) -> io::Result<()> {
    let bytes = fs::read(segment)?;
    let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    if used < bytes.len() {
        OpenOptions::new().write(true).open(segment)?.set_len(used as u64)?;
    }
    Ok(())
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Allocates the next segment's blocks under a name of their own.
fn prepare_room(dir: &Path) -> io::Result<()> {
    let path = reserve(dir);
    if fs::metadata(&path).is_ok_and(|reserve| reserve.len() >= SEGMENT_BYTES) {
        return Ok(());
    }
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(READABLE_BY).open(&path)?;
    let length = i64::try_from(SEGMENT_BYTES).expect("16 MiB fit");
    match fallocate(&file, FallocateFlags::empty(), 0, length) {
        // Not every file system can: zeros take the room as well.
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => fill_with_zeros(&mut file)?,
        allocated => allocated?,
    }
    file.sync_all()?;
    File::open(dir)?.sync_all()
}

fn fill_with_zeros(file: &mut File) -> io::Result<()> {
    const PIECE: usize = 64 << 10;
    (0..SEGMENT_BYTES / PIECE as u64).try_for_each(|_| file.write_all(&[0; PIECE]))
}

/// Turns the reserve into a segment. Without a reserve an empty file must do.
fn take_room(dir: &Path, number: u64) -> io::Result<(File, u64)> {
    let path = segment(dir, number);
    let room = match fs::rename(reserve(dir), &path) {
        Ok(()) => SEGMENT_BYTES,
        Err(error) if error.kind() == io::ErrorKind::NotFound => SEGMENT_BYTES,
        Err(error) => return Err(error),
    };
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(READABLE_BY)
        .open(path)?;
    Ok((file, room))
}

fn drop_old(dir: &Path, kept: usize) -> io::Result<()> {
    let found = segments(dir).map_err(io::Error::other)?;
    let old = found.len().saturating_sub(kept);
    found.iter().take(old).try_for_each(fs::remove_file)
}

fn reserve(dir: &Path) -> PathBuf {
    dir.join("reserve")
}

fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.journal"))
}

fn number(file: &Path) -> Option<u64> {
    file.file_name()?.to_str()?.strip_suffix(".journal")?.parse().ok()
}

#[cfg(test)]
mod tests;
