//! What follows the journal: the view that HTTP reads, the metrics, and the CDR files.
//!
//! It runs beside the pump and is fed through a bounded channel; a slow disk or a long read makes
//! it late, never the calls.

use crate::{log, metrics::Metrics, pump::SharedView, start::make_folder, store::StoreCounts};
use control_plane::{
    cdr::{self, CallRecord},
    fact::Fact,
    ids::SeatId,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::OpenOptionsExt,
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
    /// Where the phones of agents are whose phones have moved.
    pub(crate) contacts: Vec<(SeatId, Vec<sip_stack::Contact>)>,
}

impl Turn {
    pub(crate) fn is_empty(&self) -> bool {
        let Self { facts, ended, contacts } = self;
        facts.is_empty() && ended.is_empty() && contacts.is_empty()
    }
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
    one_way: log::OneWayLines,
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
        let (waiting, complained, one_way) = (VecDeque::new(), false, log::OneWayLines::default());
        Self { turns, view, metrics, journal, counts, node, dir, waiting, complained, one_way }
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
            for (seat, contacts) in turn.contacts {
                view.set_contacts(seat, contacts);
            }
        }
        lines.iter().for_each(|line| line.write(&mut self.one_way, now));
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
    let path = dir.join(file_name(record));
    // Who called whom is for the operator and their group.
    let mut file = OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    let whole = file.metadata()?.len();
    if let Err(error) = file.write_all(&bytes) {
        // Half a line would spoil the next one.
        file.set_len(whole)?;
        return Err(error);
    }
    Ok(())
}

fn file_name(record: &CallRecord) -> String {
    let ended = cdr::to_rfc3339(record.ended_at.unwrap_or_default());
    format!("{}.jsonl", ended.split('T').next().unwrap_or("unknown"))
}

/// What is in the files already: the records of the last days, oldest first.
pub(crate) fn load(dir: &Path) -> io::Result<Vec<CallRecord>> {
    make_folder(dir)?;
    let mut files = files(dir)?;
    let newest = files.len().saturating_sub(FILES_READ);
    let mut records = Vec::new();
    for path in files.drain(newest..) {
        cut_half_line(&path)?;
        for line in BufReader::new(File::open(&path)?).split(b'\n') {
            match serde_json::from_slice::<CallRecord>(&line?) {
                Ok(record) => records.push(record),
                Err(error) => {
                    tracing::warn!(%error, file = %path.display(), "a CDR line is no CDR")
                }
            }
        }
    }
    Ok(records)
}

/// The CDR files, oldest first.
fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = fs::read_dir(dir)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    Ok(files)
}

/// A crash may cut the last line; the next one must not be glued to it. The journal still has the
/// call, so that its record is written again.
fn cut_half_line(path: &Path) -> io::Result<()> {
    let bytes = fs::read(path)?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    if whole == bytes.len() {
        return Ok(());
    }
    tracing::warn!(file = %path.display(), "the last CDR was cut by a crash; it is written again");
    OpenOptions::new().write(true).open(path)?.set_len(whole as u64)
}

/// Of the calls that the journal has seen end, those that are in no file. A day's file that is
/// gone while there are later ones was taken away by the operator, and stays away.
pub(crate) fn unwritten(dir: &Path, ended: Vec<CallRecord>) -> io::Result<Vec<CallRecord>> {
    let files = files(dir)?;
    let mut days: BTreeMap<String, Vec<CallRecord>> = BTreeMap::new();
    for record in ended {
        days.entry(file_name(&record)).or_default().push(record);
    }
    let mut unwritten = Vec::new();
    for (name, mut records) in days {
        let path = dir.join(name);
        if files.contains(&path) {
            let written = ids(&path)?;
            records.retain(|record| !written.contains(&record.id));
        } else if files.last().is_some_and(|newest| *newest > path) {
            continue;
        }
        unwritten.append(&mut records);
    }
    Ok(unwritten)
}

/// The calls whose records are in a file.
fn ids(path: &Path) -> io::Result<BTreeSet<String>> {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    let lines = BufReader::new(File::open(path)?).split(b'\n');
    let mut ids = BTreeSet::new();
    for line in lines {
        ids.extend(serde_json::from_slice(&line?).map(|Id { id }| id));
    }
    Ok(ids)
}

/// Writes what the last process owed, before a new segment of the journal hides it: a process that
/// is killed again at once must not owe it for ever. What could not be written comes second.
pub(crate) fn pay(
    dir: &Path,
    node: &str,
    owed: Vec<CallRecord>,
) -> (Vec<CallRecord>, Vec<CallRecord>) {
    let (mut paid, mut left) = (Vec::new(), Vec::new());
    for mut record in owed {
        record.durable = Some(true);
        match append(dir, node, &record) {
            Ok(()) => paid.push(record),
            Err(error) => {
                if left.is_empty() {
                    tracing::error!(%error, dir = %dir.display(), call = %record.id,
                        "CDRs of the last run cannot be written; they are tried again");
                }
                left.push(CallRecord { durable: None, ..record });
            }
        }
    }
    let names: BTreeSet<_> = paid.iter().map(file_name).collect();
    let sync = |path: PathBuf| File::open(path).and_then(|file| file.sync_all());
    let synced = names.iter().try_for_each(|name| sync(dir.join(name)));
    if let Err(error) = synced.and_then(|()| sync(dir.to_owned())) {
        tracing::error!(%error, dir = %dir.display(), "CDRs of the last run may not be durable");
    }
    (paid, left)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::process;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("clavija-cdr-{}-{name}", process::id()));
            drop(fs::remove_dir_all(&dir));
            fs::create_dir(&dir).unwrap();
            Self(dir)
        }

        fn write(&self, record: &CallRecord) {
            append(&self.0, "test", record).unwrap();
        }

        fn ids(&self) -> Vec<String> {
            load(&self.0).unwrap().into_iter().map(|record| record.id).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    /// A call that ended at noon of a day of November.
    fn call(number: u64, day: u32) -> CallRecord {
        let at = format!("2026-11-{day:02}T12:00:00Z");
        serde_json::from_value(json!({
            "id": format!("call-{number:08x}"), "channel": "sip", "direction": "inbound",
            "from": "1", "to": "2", "number": "2", "trunk": null, "team": null, "agent": null,
            "state": "ended", "started_at": at, "answered_at": null, "bridged_at": null,
            "ended_at": at, "end": "completed", "end_reason": null, "recording_id": null,
            "recording": null, "quality": [], "wait_seconds": 0.0, "talk_seconds": 0.0,
            "sip_call_id": "x", "events": [], "seq": number, "durable": null
        }))
        .unwrap()
    }

    #[test]
    fn a_cdr_cut_by_a_crash_is_taken_away_and_written_again() {
        let folder = Folder::new("cut");
        folder.write(&call(1, 5));
        folder.write(&call(2, 5));
        let path = folder.0.join("2026-11-05.jsonl");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();

        assert_eq!(folder.ids(), ["call-00000001"]);
        let owed = unwritten(&folder.0, vec![call(1, 5), call(2, 5)]).unwrap();
        let (paid, left) = pay(&folder.0, "test", owed);

        assert_eq!((paid.len(), left.len()), (1, 0));
        assert_eq!(folder.ids(), ["call-00000001", "call-00000002"]);
        assert_eq!(load(&folder.0).unwrap()[1].durable, Some(true));
    }

    #[test]
    fn a_line_that_is_no_text_is_passed_over() {
        let folder = Folder::new("bytes");
        folder.write(&call(1, 5));
        let path = folder.0.join("2026-11-05.jsonl");
        let garbage = [&fs::read(&path).unwrap()[..], b"\xFF\xFE\0\n"].concat();
        fs::write(&path, garbage).unwrap();
        folder.write(&call(2, 5));

        assert_eq!(folder.ids(), ["call-00000001", "call-00000002"]);
    }

    #[test]
    fn a_call_is_written_once_however_old_its_file_is() {
        let folder = Folder::new("old");
        let days = 1..=u32::try_from(FILES_READ).unwrap() + 3;
        days.clone().for_each(|day| folder.write(&call(day.into(), day)));

        let ended = days.map(|day| call(day.into(), day)).chain([call(99, 2)]).collect();
        let owed = unwritten(&folder.0, ended).unwrap();

        assert_eq!(owed.iter().map(|record| record.seq).collect::<Vec<_>>(), [99]);
    }

    #[test]
    fn a_day_that_the_operator_took_away_stays_away_and_a_new_one_is_begun() {
        let folder = Folder::new("away");
        folder.write(&call(2, 6));

        let owed = unwritten(&folder.0, vec![call(1, 5), call(2, 6), call(3, 7)]).unwrap();

        assert_eq!(owed.iter().map(|record| record.seq).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn what_cannot_be_written_at_the_start_is_left_for_later() {
        let folder = Folder::new("later");
        fs::create_dir(folder.0.join("2026-11-05.jsonl")).unwrap();

        let (paid, left) = pay(&folder.0, "test", vec![call(1, 5), call(2, 6)]);

        assert_eq!((paid.len(), left.len()), (1, 1));
        assert_eq!((paid[0].seq, left[0].durable), (2, None));
    }
}
