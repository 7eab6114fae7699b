//! What follows the journal: the view that HTTP reads, the metrics, and the CDR files.
//!
//! It runs beside the pump and is fed through a bounded channel; a slow disk or a long read makes
//! it late, never the calls.

use crate::{log, metrics::Metrics, pump::SharedView, store::StoreCounts};
use control_plane::{
    cdr::{self, CallRecord},
    fact::Fact,
};
use serde::Serialize;
use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How long a finished call waits for its last record to reach the disk before its CDR says that
/// it is not durable.
const DURABLE_WITHIN: Duration = Duration::from_secs(5);
/// CDR files read at start, so that the view shows the calls of the last days.
const FILES_READ: usize = 7;
/// CDRs that wait while their file cannot be written.
const WAITING_MAX: usize = 10_000;

/// One turn of the pump.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) facts: Vec<Fact>,
    pub(crate) ended: Vec<CallRecord>,
}

/// The lines of the CDR files, counted.
#[derive(Debug, Default)]
pub struct CdrCounts {
    pub written: AtomicU64,
    pub failed_writes: AtomicU64,
    pub lost: AtomicU64,
}

/// A call's record as it stands in the file.
#[derive(Serialize)]
struct Line<'a> {
    schema: &'static str,
    node: &'a str,
    #[serde(flatten)]
    record: &'a CallRecord,
}

/// The thread that follows.
pub(crate) struct Follower {
    pub(crate) turns: Receiver<Turn>,
    pub(crate) view: SharedView,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) journal: Arc<StoreCounts>,
    pub(crate) counts: Arc<CdrCounts>,
    pub(crate) node: String,
    pub(crate) dir: PathBuf,
    waiting: VecDeque<(Instant, CallRecord)>,
    complained: bool,
}

impl Follower {
    pub(crate) fn new(
        turns: Receiver<Turn>,
        view: SharedView,
        metrics: Arc<Metrics>,
        journal: Arc<StoreCounts>,
        counts: Arc<CdrCounts>,
        node: String,
        dir: PathBuf,
    ) -> Self {
        let (waiting, complained) = (VecDeque::new(), false);
        Self { turns, view, metrics, journal, counts, node, dir, waiting, complained }
    }

    /// Until the pump is gone and everything it said has been written.
    pub(crate) fn run(mut self) {
        loop {
            let patience = if self.waiting.is_empty() { 1_000 } else { 20 };
            match self.turns.recv_timeout(Duration::from_millis(patience)) {
                Ok(turn) => self.take(turn, Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.write_what_is_durable(Instant::now());
        }
        // The pump has synced the journal before it went.
        self.write_what_is_durable(Instant::now() + DURABLE_WITHIN);
    }

    fn take(&mut self, turn: Turn, now: Instant) {
        let mut lines = Vec::with_capacity(turn.facts.len());
        {
            let mut view = self.view.write().unwrap_or_else(std::sync::PoisonError::into_inner);
            for fact in &turn.facts {
                let ended = view.apply(fact);
                self.metrics.apply(fact, ended.as_ref());
                lines.push(log::Line::of(fact, &view, ended.as_ref()));
            }
        }
        lines.iter().for_each(log::Line::write);
        self.waiting.extend(turn.ended.into_iter().map(|record| (now, record)));
        while self.waiting.len() > WAITING_MAX {
            self.waiting.pop_front();
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn write_what_is_durable(&mut self, now: Instant) {
        let durable_seq = self.journal.durable_seq.load(Ordering::Acquire);
        let lost_seq = self.journal.lost_seq.load(Ordering::Acquire);
        while let Some((since, record)) = self.waiting.front_mut() {
            let durable = record.seq <= durable_seq && record.seq > lost_seq;
            let hopeless = record.seq <= lost_seq || now.duration_since(*since) >= DURABLE_WITHIN;
            if !durable && !hopeless {
                return;
            }
            record.durable = Some(durable);
            match append(&self.dir, &self.node, record) {
                Ok(()) => {
                    self.complained = false;
                    self.counts.written.fetch_add(1, Ordering::Relaxed);
                    let mut view =
                        self.view.write().unwrap_or_else(std::sync::PoisonError::into_inner);
                    view.set_durable(&record.id, durable);
                    drop(view);
                    self.waiting.pop_front();
                }
                Err(error) => {
                    self.counts.failed_writes.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut self.complained, true) {
                        tracing::error!(%error, dir = %self.dir.display(),
                            "CDRs cannot be written; they wait in memory and are tried again");
                    }
                    return;
                }
            }
        }
    }
}

/// One line into the file of the day on which the call ended (UTC).
fn append(dir: &Path, node: &str, record: &CallRecord) -> io::Result<()> {
    let line = Line { schema: "clavija/cdr/v1", node, record };
    let mut bytes = serde_json::to_vec(&line).map_err(io::Error::other)?;
    bytes.push(b'\n');
    let ended = cdr::to_rfc3339(record.ended_at.unwrap_or_default());
    let day = ended.split('T').next().unwrap_or("unknown");
    let path = dir.join(format!("{day}.jsonl"));
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let whole = file.metadata()?.len();
    if let Err(error) = file.write_all(&bytes) {
        // Half a line would spoil the next one.
        file.set_len(whole)?;
        return Err(error);
    }
    Ok(())
}

/// What is in the files already: the records of the last days, oldest first.
pub(crate) fn load(dir: &Path) -> io::Result<Vec<CallRecord>> {
    fs::create_dir_all(dir)?;
    let mut files: Vec<_> = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let newest = files.len().saturating_sub(FILES_READ);
    let mut records = Vec::new();
    for path in files.drain(newest..) {
        for line in BufReader::new(File::open(&path)?).lines() {
            match serde_json::from_str::<CallRecord>(&line?) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(%error, file = %path.display(), "a CDR line is no CDR")
                }
            }
        }
    }
    Ok(records)
}
