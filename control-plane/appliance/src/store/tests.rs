//! The journal on disk, on disks that fill, break and are slow.

use super::*;
use control_plane::{
    cdr::Ledger,
    config::{Destination, NumberRow, Plan, SeatPlan},
    ids::SeatId,
    journal::{Binding, Memory, Registered},
    switchboard::{Input, Media, Switchboard},
    time::Stamp,
};
use sip_stack::{
    event::Source,
    ids::{LegId, TrunkId},
};
use std::{
    os::unix::fs::{PermissionsExt, symlink},
    process,
};

/// A board, its journal on disk, and a clock that the test moves.
struct Bench {
    dir: PathBuf,
    board: Switchboard,
    ledger: Ledger,
    memory: Memory,
    /// `None` once closed.
    open: Option<Store>,
    counts: Arc<StoreCounts>,
    now: Instant,
}

impl Bench {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("clavija-store-{}-{name}", process::id()));
        drop(fs::remove_dir_all(&dir));
        let seat = SeatPlan { extension: "1001".into(), ..SeatPlan::named("ana") };
        let row = NumberRow::new("100", Destination::Seat(SeatId(0)));
        let plan = Plan {
            trunks: vec![],
            seats: vec![seat],
            teams: vec![],
            numbers: vec![row],
            ..Plan::default()
        };
        let plan = Arc::new(plan);
        let board = Switchboard::new(Arc::clone(&plan));
        let ledger = Ledger::new(plan);
        let counts = Arc::new(StoreCounts::default());
        let memory = Memory::default();
        let moment = Moment { board: &board, ledger: &ledger, memory: &memory };
        let open = Some(Store::begin(&dir, moment, Arc::clone(&counts)).unwrap());
        Self { dir, board, ledger, memory, open, counts, now: Instant::now() }
    }

    /// One input goes all the way: decided, then written.
    fn turn(&mut self, input: Input) {
        let seq = self.board.seq() + 1;
        let record = Record { seq, at: Stamp(seq), input };
        self.board.handle(&record.input, seq, record.at);
        self.append(Lines { records: vec![record], notes: vec![] });
    }

    fn append(&mut self, lines: Lines) {
        let Self { board, ledger, memory, open, now, .. } = self;
        lines.notes.iter().cloned().for_each(|note| memory.take(note));
        let moment = Moment { board, ledger, memory };
        let snapshot = |chain: &mut Chain, into: &mut Vec<u8>| chain.snapshot(moment, into);
        open.as_mut().unwrap().append(&lines, &snapshot, *now);
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
        past(&self.dir, &self.counts).unwrap().expect("a segment was begun")
    }

    /// Makes every write fail, as a disk does that is gone.
    fn break_disk(&mut self) {
        let number = self.store().number;
        let path = segment(&self.dir, number);
        self.store().file = Arc::new(File::open(path).unwrap());
        fs::create_dir(segment(&self.dir, number + 1)).unwrap();
    }

    fn arrive(&mut self, leg: u64) {
        self.turn(Input::Arrived {
            leg: LegId(leg),
            source: Source::Trunk(TrunkId(0)),
            from: "+5411".into(),
            from_display: None,
            number: "100".into(),
            sip_call_id: format!("{leg}@test"),
            media: Media::Agreed,
            max_forwards: 70,
        });
    }

    /// Fills the disk: no snapshot can be written, and no room lies ready.
    fn fill_disk(&mut self) {
        self.wait_for_room();
        fs::remove_file(reserve(&self.dir)).unwrap();
        let number = self.store().number;
        self.store().file = Arc::new(File::open(segment(&self.dir, number)).unwrap());
        symlink("/dev/full", segment(&self.dir, number + 1)).unwrap();
    }

    fn wait_for_room(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while fs::metadata(reserve(&self.dir)).map_or(0, |room| room.len()) < SEGMENT_BYTES {
            assert!(Instant::now() < deadline, "no room was taken");
            thread::yield_now();
        }
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
fn a_turn_of_notes_alone_is_found_too_also_after_the_next_segment_has_begun() {
    let mut bench = Bench::new("notes");
    let binding = Binding {
        uri: "sip:1001@203.0.113.7".into(),
        to: "203.0.113.7:5060".parse().unwrap(),
        source: "203.0.113.7:5060".parse().unwrap(),
        call_id: "r".into(),
        sequence: 2,
        expires: Stamp(99),
    };
    let at = Registered { extension: "1001".into(), login: None, bindings: vec![binding] };
    let note = Note::Registered { agent: "ana".into(), at: at.clone() };

    bench.append(Lines { records: vec![], notes: vec![note] });
    assert_eq!(bench.found().memory.registered()["ana"], at);
    bench.store().room = 0;
    bench.pause();

    assert_eq!(bench.store().number, 2);
    assert_eq!(bench.found().memory.registered()["ana"], at);
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
fn a_new_process_gives_back_room_that_the_last_segment_did_not_use_and_loses_nothing() {
    let mut bench = Bench::new("trim");
    bench.turn(Input::SignedIn(SeatId(0)));
    bench.close();

    let Bench { dir, board, ledger, memory, counts, .. } = &bench;
    let moment = Moment { board, ledger, memory };
    let next = Store::begin(dir, moment, Arc::clone(counts)).unwrap();

    let first = fs::read(segment(dir, 1)).unwrap();
    assert_eq!(first.last(), Some(&b'\n'));
    assert_eq!(journal::read(&first).unwrap().records.len(), 1);
    next.close();
}

#[test]
fn a_file_without_a_number_is_no_segment() {
    let mut bench = Bench::new("stray");
    bench.turn(Input::SignedIn(SeatId(0)));
    for stray in ["copy.journal", "0000000001 (copy).journal", "9.txt"] {
        fs::write(bench.dir.join(stray), b"stray").unwrap();
    }
    bench.close();

    let Bench { dir, board, ledger, memory, counts, .. } = &bench;
    let moment = Moment { board, ledger, memory };
    let next = Store::begin(dir, moment, Arc::clone(counts)).unwrap();

    assert_eq!(next.number, 2);
    assert_eq!(segments(dir).unwrap().len(), 2);
    next.close();
}

#[test]
fn a_call_that_arrives_as_the_log_heals_is_lived_once() {
    let mut bench = Bench::new("once");
    bench.turn(Input::SignedIn(SeatId(0)));
    bench.break_disk();
    bench.arrive(1);
    bench.mend_disk();
    bench.now += TRY_AGAIN;

    bench.arrive(2);

    assert_eq!(bench.found().board.calls().count(), 2);
    assert_eq!(bench.counts.lost_seq.load(Ordering::Relaxed), 3, "its story is in no segment");
}

#[test]
fn tries_on_a_full_disk_leave_one_segment_and_displace_none() {
    let mut bench = Bench::new("full");
    bench.turn(Input::SignedIn(SeatId(0)));
    bench.fill_disk();
    for _ in 0..SEGMENTS_KEPT * 2 {
        bench.pause();
        bench.now += TRY_AGAIN;
    }

    fs::remove_file(segment(&bench.dir, 2)).unwrap();
    assert_eq!(bench.found().board.seq(), 1);
    bench.pause();

    assert_eq!(bench.store().number, 2);
    bench.close();
    assert_eq!(segments(&bench.dir).unwrap().len(), 2);
    assert_eq!(bench.found().board.seq(), bench.board.seq());
}

#[test]
fn a_segment_that_could_not_be_synced_is_left_for_a_new_one() {
    let mut bench = Bench::new("unsynced");
    bench.turn(Input::SignedIn(SeatId(0)));
    bench.counts.failed_syncs.fetch_add(1, Ordering::Release);

    bench.pause();

    assert_eq!(bench.store().number, 2);
    assert_eq!(bench.counts.lost_seq.load(Ordering::Relaxed), 2);
    bench.pause();
    assert_eq!(bench.store().number, 2);
    assert_eq!(bench.found().board.seq(), 3);
}

#[test]
fn a_slow_disk_is_asked_every_200_ms_and_no_sync_overtakes_an_older_segments() {
    let mut bench = Bench::new("slow");
    let (clerk, errands) = mpsc::sync_channel(1);
    bench.store().clerk = clerk;
    bench.store().room = 0;
    bench.turn(Input::SignedIn(SeatId(0)));
    bench.pause();
    let mut now = bench.store().next_sync().unwrap();

    bench.store().sync_if_due(now);
    assert_eq!(bench.store().next_sync(), Some(now + SYNC_EVERY), "and not at once");

    let mut done = Vec::new();
    for _ in 0..4 {
        done.extend(errands.try_iter().map(|errand| match errand {
            Errand::Sync { seq, .. } => seq,
            Errand::MakeRoom { .. } => 0,
        }));
        now += SYNC_EVERY;
        bench.store().sync_if_due(now);
    }
    assert_eq!(done, [1, 0, 2]);
}

#[test]
fn room_is_also_taken_where_the_file_system_cannot_allocate() {
    let bench = Bench::new("zeros");
    bench.wait_for_room();
    let path = bench.dir.join("zeros");

    fill_with_zeros(&mut File::create(&path).unwrap()).unwrap();

    assert_eq!(fs::read(path).unwrap(), fs::read(reserve(&bench.dir)).unwrap());
}

#[test]
fn a_segment_whose_snapshot_was_cut_is_passed_over_for_the_one_before() {
    let mut bench = Bench::new("cut");
    bench.turn(Input::SignedIn(SeatId(0)));

    fs::write(segment(&bench.dir, 99), b"0badc0de {\"Snap").unwrap();

    assert_eq!(bench.found().board.seq(), 1);
    assert!(segment(&bench.dir, 99).with_extension(ASIDE).exists(), "kept aside");
}

#[test]
fn only_the_last_unusable_segments_are_kept_and_none_that_was_never_written() {
    let mut bench = Bench::new("aside");
    bench.turn(Input::SignedIn(SeatId(0)));
    bench.wait_for_room(); // Old segments have been tidied away; the next ones are ours.
    for number in 90..95 {
        fs::write(segment(&bench.dir, number), b"nonsense").unwrap();
    }
    fs::write(segment(&bench.dir, 99), [0; 4096]).unwrap();

    bench.found();

    let kept = |number| segment(&bench.dir, number).with_extension(ASIDE).exists();
    let kept: Vec<_> = (90..100).filter(|&number| kept(number)).collect();
    assert_eq!(kept, [93, 94]);
    assert_eq!(segments(&bench.dir).unwrap().len(), 1);
}

#[test]
fn a_journal_of_which_nothing_can_be_read_is_kept_aside_and_the_next_process_begins_anew() {
    let bench = Bench::new("nothing");
    let line = b"0badc0de {\"Snapshot\":{\"version\":1}}\n";
    fs::write(segment(&bench.dir, 1), line).unwrap();

    assert!(past(&bench.dir, &bench.counts).unwrap().is_none());
    let aside = fs::read(segment(&bench.dir, 1).with_extension(ASIDE)).unwrap();
    assert_eq!(aside, line);
}

#[test]
fn a_record_that_cannot_be_is_the_end_of_its_segment_which_is_used_up_to_there_and_kept() {
    let mut bench = Bench::new("spoilt");
    bench.turn(Input::SignedIn(SeatId(0)));
    bench.turn(Input::Arrived {
        leg: LegId(u64::MAX),
        source: Source::Trunk(TrunkId(0)),
        from: "1".into(),
        from_display: None,
        number: "nobody's".into(),
        sip_call_id: "x".into(),
        max_forwards: 70,
        media: Media::Agreed,
    });
    let number = bench.store().number;

    assert_eq!(bench.found().board.seq(), 1);

    assert!(segment(&bench.dir, number).exists(), "until the next one has begun");
    assert!(segment(&bench.dir, number).with_extension(ASIDE).exists());
    assert_eq!(bench.counts.unusable.load(Ordering::Relaxed), 1);
}

#[test]
fn a_journal_of_a_newer_version_is_counted_and_a_copy_of_it_is_kept() {
    let bench = Bench::new("newer");
    let path = segment(&bench.dir, 1);
    let text = fs::read_to_string(&path).unwrap();
    let json = text.lines().next().unwrap()[9..].replace("\"version\":", "\"version\":1");
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[0; 4]);
    sum.update(json.as_bytes());
    fs::write(&path, format!("{:08x} {json}\n", sum.finalize())).unwrap();

    assert_eq!(bench.found().board.seq(), 0);

    assert!(path.exists(), "until the next one has begun");
    assert!(path.with_extension(ASIDE).exists());
    assert_eq!(bench.counts.unusable.load(Ordering::Relaxed), 1);
}

#[test]
fn a_record_that_panics_keeps_no_process_from_starting() {
    /// As a defect would have it: a pause cannot be lived.
    fn defective(segment: Segment, lived: &mut usize) -> Past {
        *lived = segment.records.iter().take_while(|r| !is_pause(&r.input)).count();
        assert!(!segment.records.iter().any(|record| is_pause(&record.input)), "a planted defect");
        journal::replay(segment)
    }
    fn is_pause(input: &Input) -> bool {
        matches!(input, Input::Pause { .. })
    }
    let mut bench = Bench::new("panics");
    bench.turn(Input::SignedIn(SeatId(0)));
    bench.turn(Input::SignedOut(SeatId(0)));
    bench.pause();
    bench.turn(Input::SignedIn(SeatId(0)));
    let number = bench.store().number;
    let bytes = fs::read(segment(&bench.dir, number)).unwrap();

    let lived = live_again(&bytes, defective).unwrap();

    assert_eq!(lived.past.board.seq(), 2);
    assert!(matches!(lived.end, End::Spoilt { at: 2 }));
    let always = |_: Segment, _: &mut usize| -> Past { panic!("a planted defect") };
    assert!(matches!(live_again(&bytes, always), Err(Unusable::Unlivable)));
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
fn nobody_but_the_operator_and_their_group_reads_who_called_whom() {
    let mut bench = Bench::new("mode");
    bench.turn(Input::SignedIn(SeatId(0)));

    for file in segments(&bench.dir).unwrap() {
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o007, 0, "{}: {mode:o}", file.display());
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named_with_what_would_be_accepted() {
    let refused =
        past(Path::new("/dev/null/journal"), &StoreCounts::default()).unwrap_err().to_string();

    assert!(refused.contains("/dev/null/journal"), "{refused}");
    assert!(refused.contains("may write to"), "{refused}");
}
