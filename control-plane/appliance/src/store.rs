//! The journal on disk: one write per turn of the pump, a sync beside the loop, and room that was
//! taken in advance, so that a full disk does not end the log before somebody can act.
//!
//! A segment is a file of fixed size that begins with a snapshot. The next one lies ready, its
//! blocks allocated; when a segment is full, or could not be written, the log goes on there.

use control_plane::{
    cdr::Ledger,
    journal::{self, Chain, Past, Record},
    switchboard::Switchboard,
};
use nix::fcntl::{FallocateFlags, fallocate};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, RecvTimeoutError, SyncSender, TrySendError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Bytes allocated for a segment: some 30,000 calls.
const SEGMENT_BYTES: u64 = 16 << 20;
/// Segments kept: the one in use, and older ones to read after a crash or for support.
const SEGMENTS_KEPT: usize = 4;
/// How often the journal is synced at most; what a power cut may cost.
const SYNC_EVERY: Duration = Duration::from_millis(200);
/// How long after a failed write the next try.
const TRY_AGAIN: Duration = Duration::from_secs(1);

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
}

/// What the journal counts; read by metrics.
#[derive(Debug, Default)]
pub struct StoreCounts {
    pub records: AtomicU64,
    pub bytes: AtomicU64,
    pub failed_writes: AtomicU64,
    pub lost_records: AtomicU64,
    pub syncs: AtomicU64,
    /// Every record up to this one has reached the disk.
    pub durable_seq: AtomicU64,
    /// The last record that was lost; what came before it is durable only by a later snapshot.
    pub lost_seq: AtomicU64,
}

/// Lives the newest usable segment again, and for the stories that ended in it the one before;
/// `None`: there is none.
pub fn past(dir: &Path) -> Result<Option<Past>, StoreError> {
    let mut newest: Option<Past> = None;
    for file in segments(dir)?.into_iter().rev() {
        let segment = fs::read(&file).map_err(Unusable::Unreadable);
        match segment.and_then(|bytes| journal::read(&bytes).map_err(Unusable::Damaged)) {
            Ok(segment) => {
                if segment.torn {
                    tracing::warn!(file = %file.display(), at = segment.whole_bytes,
                        "the journal ends in a cut line; what came after it is lost");
                }
                let past = journal::replay(segment);
                let Some(mut newest) = newest else {
                    newest = Some(past);
                    continue;
                };
                newest.ended.splice(0..0, past.ended);
                return Ok(Some(newest));
            }
            Err(unusable) => {
                tracing::error!(file = %file.display(), %unusable,
                    "a journal segment cannot be used; the one before it is tried");
            }
        }
    }
    Ok(newest)
}

/// The segments in a folder, oldest first.
fn segments(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let fail = |source| StoreError::Folder { dir: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(fail)?;
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        if path.extension().is_some_and(|extension| extension == "journal") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
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
    clerk_thread: Option<JoinHandle<()>>,
    /// A write failed; nothing more goes into this segment.
    broken: bool,
    try_again: Option<Instant>,
    unsynced: Option<u64>,
    last_sync: Instant,
}

/// What is done beside the loop.
enum Errand {
    Sync {
        file: Arc<File>,
        seq: u64,
    },
    /// Keep a segment's worth of blocks ready, and only so many old segments.
    MakeRoom {
        dir: PathBuf,
    },
}

impl Store {
    /// Begins a new segment with a snapshot of `board`. From here on `append` is the only way in.
    pub fn begin(
        dir: &Path,
        board: &Switchboard,
        ledger: &Ledger,
        counts: Arc<StoreCounts>,
    ) -> Result<Self, StoreError> {
        let last = segments(dir)?.last().and_then(|file| number(file)).unwrap_or(0);
        let (clerk, errands) = mpsc::sync_channel(64);
        let clerk_counts = Arc::clone(&counts);
        let clerk_thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || run_errands(&errands, &clerk_counts))
            .map_err(|source| StoreError::Folder { dir: dir.to_owned(), source })?;
        let fail = |file: PathBuf| move |source| StoreError::File { file, source };
        prepare_room(dir).map_err(fail(reserve(dir)))?;
        let (file, room) = take_room(dir, last + 1).map_err(fail(segment(dir, last + 1)))?;
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
            clerk_thread: Some(clerk_thread),
            broken: false,
            try_again: None,
            unsynced: None,
            last_sync: Instant::now(),
        };
        store.write_snapshot(board, ledger).map_err(fail(segment(dir, last + 1)))?;
        store.file.sync_data().map_err(fail(segment(dir, last + 1)))?;
        store.run(Errand::MakeRoom { dir: dir.to_owned() });
        Ok(store)
    }

    /// One turn of the pump: its records in one write. A failure is counted and said; the calls
    /// go on.
    pub fn append(
        &mut self,
        records: &[Record],
        board: &Switchboard,
        ledger: &Ledger,
        now: Instant,
    ) {
        let Some(last) = records.last() else { return };
        self.counts.records.fetch_add(records.len() as u64, Ordering::Relaxed);
        if self.broken && !self.mend(board, ledger, now) {
            self.lose(records.len(), last.seq);
            return;
        }
        self.buffer.clear();
        for record in records {
            self.chain.record(record, &mut self.buffer);
        }
        match self.file.write_all_at(&self.buffer, self.used) {
            Ok(()) => {
                self.used += self.buffer.len() as u64;
                self.counts.bytes.fetch_add(self.buffer.len() as u64, Ordering::Relaxed);
                self.unsynced = Some(last.seq);
                if self.used >= self.room {
                    self.go_on(board, ledger, last.seq);
                }
            }
            Err(error) => {
                tracing::error!(%error, segment = self.number,
                    "the journal cannot be written; calls go on, CDRs are not durable");
                self.broken = true;
                self.try_again = Some(now + TRY_AGAIN);
                self.lose(records.len(), last.seq);
            }
        }
    }

    /// Asks for a sync if one is due; the loop does not wait for it.
    pub fn sync_if_due(&mut self, now: Instant) {
        let Some(seq) = self.unsynced else { return };
        if now.duration_since(self.last_sync) < SYNC_EVERY {
            return;
        }
        let errand = Errand::Sync { file: Arc::clone(&self.file), seq };
        if self.run(errand) {
            self.unsynced = None;
            self.last_sync = now;
        }
    }

    /// When `sync_if_due` next has something to do.
    pub fn next_sync(&self) -> Option<Instant> {
        self.unsynced.map(|_| self.last_sync + SYNC_EVERY)
    }

    /// The last sync, waited for: the box stops.
    pub fn close(mut self) {
        let synced = self.file.sync_data();
        if let (Ok(()), Some(seq)) = (synced, self.unsynced) {
            self.counts.durable_seq.fetch_max(seq, Ordering::Release);
        }
        let (closed, _) = mpsc::sync_channel(1);
        drop(std::mem::replace(&mut self.clerk, closed));
        if let Some(clerk) = self.clerk_thread.take() {
            drop(clerk.join());
        }
    }

    fn lose(&self, records: usize, last: u64) {
        self.counts.failed_writes.fetch_add(1, Ordering::Relaxed);
        self.counts.lost_records.fetch_add(records as u64, Ordering::Relaxed);
        self.counts.lost_seq.store(last, Ordering::Release);
    }

    /// After a failed write: a new segment, whose snapshot holds what was lost.
    fn mend(&mut self, board: &Switchboard, ledger: &Ledger, now: Instant) -> bool {
        if self.try_again.is_some_and(|at| now < at) {
            return false;
        }
        self.try_again = Some(now + TRY_AGAIN);
        let mended = self.rotate(board, ledger).is_ok();
        if mended {
            tracing::warn!(segment = self.number, "the journal can be written again");
        }
        mended
    }

    /// This segment is full. Its last sync is asked for first: a snapshot does not hold the
    /// stories that have ended.
    fn go_on(&mut self, board: &Switchboard, ledger: &Ledger, seq: u64) {
        let full = Arc::clone(&self.file);
        self.run(Errand::Sync { file: full, seq });
        if let Err(error) = self.rotate(board, ledger) {
            tracing::error!(%error, "the journal's next segment cannot be begun");
            self.broken = true;
        }
    }

    /// Goes on in the segment that lies ready.
    fn rotate(&mut self, board: &Switchboard, ledger: &Ledger) -> io::Result<()> {
        let (file, room) = take_room(&self.dir, self.number + 1)?;
        self.number += 1;
        self.file = Arc::new(file);
        self.room = room;
        self.used = 0;
        self.chain = Chain::default();
        self.broken = false;
        let written = self.write_snapshot(board, ledger);
        if let Err(error) = &written {
            tracing::error!(%error, segment = self.number, "a snapshot cannot be written");
            self.broken = true;
        }
        let dir = self.dir.clone();
        self.run(Errand::MakeRoom { dir });
        written
    }

    fn write_snapshot(&mut self, board: &Switchboard, ledger: &Ledger) -> io::Result<()> {
        self.buffer.clear();
        self.chain.snapshot(board, ledger, &mut self.buffer);
        self.file.write_all_at(&self.buffer, 0)?;
        self.used = self.buffer.len() as u64;
        // A board too big for half a segment gets a longer one: otherwise every turn would rotate.
        self.room = self.room.max(self.used * 2);
        self.counts.bytes.fetch_add(self.used, Ordering::Relaxed);
        Ok(())
    }

    fn run(&self, errand: Errand) -> bool {
        match self.clerk.try_send(errand) {
            Ok(()) => true,
            // The disk is slow: what is due now will be due again.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn run_errands(errands: &mpsc::Receiver<Errand>, counts: &StoreCounts) {
    loop {
        match errands.recv_timeout(Duration::from_secs(3600)) {
            Ok(Errand::Sync { file, seq }) => match file.sync_data() {
                Ok(()) => {
                    counts.syncs.fetch_add(1, Ordering::Relaxed);
                    counts.durable_seq.fetch_max(seq, Ordering::Release);
                }
                Err(error) => tracing::error!(%error, "the journal cannot be synced"),
            },
            Ok(Errand::MakeRoom { dir }) => {
                if let Err(error) = prepare_room(&dir).and_then(|()| drop_old(&dir)) {
                    tracing::error!(%error, "no room could be taken for the journal's next segment");
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Allocates the next segment's blocks under a name of their own.
fn prepare_room(dir: &Path) -> io::Result<()> {
    let path = reserve(dir);
    if fs::metadata(&path).is_ok_and(|reserve| reserve.len() >= SEGMENT_BYTES) {
        return Ok(());
    }
    let file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    let length = i64::try_from(SEGMENT_BYTES).expect("16 MiB fit");
    fallocate(&file, FallocateFlags::empty(), 0, length)?;
    file.sync_all()?;
    File::open(dir)?.sync_all()
}

/// Turns the reserve into a segment. Without a reserve an empty file must do.
fn take_room(dir: &Path, number: u64) -> io::Result<(File, u64)> {
    let path = segment(dir, number);
    let room = match fs::rename(reserve(dir), &path) {
        Ok(()) => SEGMENT_BYTES,
        Err(error) if error.kind() == io::ErrorKind::NotFound => SEGMENT_BYTES,
        Err(error) => return Err(error),
    };
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    Ok((file, room))
}

fn drop_old(dir: &Path) -> io::Result<()> {
    let found = segments(dir).map_err(io::Error::other)?;
    let old = found.len().saturating_sub(SEGMENTS_KEPT);
    found.iter().take(old).try_for_each(fs::remove_file)
}

fn reserve(dir: &Path) -> PathBuf {
    dir.join("reserve")
}

fn segment(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:010}.journal"))
}

fn number(file: &Path) -> Option<u64> {
    file.file_stem()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use control_plane::{
        config::{Plan, SeatPlan},
        ids::SeatId,
        switchboard::Input,
        time::Stamp,
    };
    use std::process;

    /// A board, its journal on disk, and a clock that the test moves.
    struct Bench {
        dir: PathBuf,
        board: Switchboard,
        ledger: Ledger,
        /// `None` once closed.
        open: Option<Store>,
        counts: Arc<StoreCounts>,
        now: Instant,
    }

    impl Bench {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("clavija-store-{}-{name}", process::id()));
            drop(fs::remove_dir_all(&dir));
            let seat = SeatPlan { name: "ana".into(), extension: "1001".into(), fixed: false };
            let plan = Plan { trunks: vec![], seats: vec![seat], teams: vec![], numbers: vec![] };
            let plan = Arc::new(plan);
            let board = Switchboard::new(Arc::clone(&plan));
            let ledger = Ledger::new(plan);
            let counts = Arc::new(StoreCounts::default());
            let open = Some(Store::begin(&dir, &board, &ledger, Arc::clone(&counts)).unwrap());
            Self { dir, board, ledger, open, counts, now: Instant::now() }
        }

        /// One input goes all the way: decided, then written.
        fn turn(&mut self, input: Input) {
            let seq = self.board.seq() + 1;
            let record = Record { seq, at: Stamp(seq), input };
            self.board.handle(&record.input, seq, record.at);
            let store = self.open.as_mut().unwrap();
            store.append(&[record], &self.board, &self.ledger, self.now);
        }

        fn store(&mut self) -> &mut Store {
            self.open.as_mut().unwrap()
        }

        fn close(&mut self) {
            self.open.take().unwrap().close();
        }

        fn pause(&mut self) {
            self.turn(Input::Pause { seat: SeatId(0), word: None });
        }

        /// What a process that starts now would find.
        fn found(&self) -> Past {
            past(&self.dir).unwrap().expect("a segment was begun")
        }

        /// Makes every write fail, as a disk does that is gone.
        fn break_disk(&mut self) {
            let number = self.store().number;
            let path = segment(&self.dir, number);
            self.store().file = Arc::new(File::open(path).unwrap());
            fs::create_dir(segment(&self.dir, number + 1)).unwrap();
        }

        fn mend_disk(&mut self) {
            let next = self.store().number + 1;
            fs::remove_dir(segment(&self.dir, next)).unwrap();
        }
    }

    impl Drop for Bench {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.dir));
        }
    }

    #[test]
    fn what_was_appended_is_found_by_the_next_process_without_any_sync() {
        let mut bench = Bench::new("found");

        bench.turn(Input::SignedIn(SeatId(0)));
        bench.pause();

        let found = bench.found();
        assert_eq!(found.board.seq(), 2);
        assert_eq!(found.board.seat_view(SeatId(0)), bench.board.seat_view(SeatId(0)));
    }

    #[test]
    fn a_full_segment_is_followed_by_one_that_begins_with_a_snapshot_and_old_ones_go() {
        let mut bench = Bench::new("rotate");
        bench.turn(Input::SignedIn(SeatId(0)));

        for _ in 0..SEGMENTS_KEPT * 2 {
            bench.store().room = bench.store().used;
            bench.pause();
        }

        let last = bench.store().number;
        assert_eq!(last, 1 + SEGMENTS_KEPT as u64 * 2);
        assert_eq!(bench.found().board.seq(), bench.board.seq());
        bench.close();
        let left = segments(&bench.dir).unwrap();
        assert!(left.len() <= SEGMENTS_KEPT, "{left:?}");
        assert_eq!(left.last().and_then(|file| number(file)), Some(last));
    }

    #[test]
    fn a_write_that_fails_is_counted_and_the_log_heals_when_the_disk_does() {
        let mut bench = Bench::new("heal");
        bench.turn(Input::SignedIn(SeatId(0)));
        bench.break_disk();

        bench.pause();
        assert_eq!(bench.counts.lost_records.load(Ordering::Relaxed), 1);
        assert_eq!(bench.counts.lost_seq.load(Ordering::Relaxed), 2);
        assert_eq!(bench.found().board.seq(), 1);
        bench.mend_disk();
        bench.pause();
        assert_eq!(bench.counts.lost_records.load(Ordering::Relaxed), 2, "tried once a second");
        bench.now += TRY_AGAIN;
        bench.pause();

        assert_eq!(bench.counts.lost_records.load(Ordering::Relaxed), 2);
        assert_eq!(bench.found().board.seq(), 4);
        assert_eq!(bench.found().board.seat_view(SeatId(0)), bench.board.seat_view(SeatId(0)));
    }

    #[test]
    fn a_segment_whose_snapshot_was_cut_is_passed_over_for_the_one_before() {
        let mut bench = Bench::new("cut");
        bench.turn(Input::SignedIn(SeatId(0)));

        fs::write(segment(&bench.dir, 99), b"0badc0de {\"Snap").unwrap();

        assert_eq!(bench.found().board.seq(), 1);
    }

    #[test]
    fn a_sync_is_asked_for_at_most_every_200_ms_and_says_how_far_the_log_is_durable() {
        let mut bench = Bench::new("sync");
        bench.turn(Input::SignedIn(SeatId(0)));
        let due = bench.store().next_sync().unwrap();

        bench.store().sync_if_due(due - Duration::from_millis(1));
        assert!(bench.store().next_sync().is_some());
        bench.store().sync_if_due(due);
        assert_eq!(bench.store().next_sync(), None);
        bench.close();

        assert_eq!(bench.counts.durable_seq.load(Ordering::Acquire), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named_with_what_would_be_accepted() {
        let refused = past(Path::new("/dev/null/journal")).unwrap_err().to_string();

        assert!(refused.contains("/dev/null/journal"), "{refused}");
        assert!(refused.contains("may write to"), "{refused}");
    }
}
