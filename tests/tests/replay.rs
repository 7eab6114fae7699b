//! The journal of a day tells the same day again; cut or damaged, it tells it as far as it is whole.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{dice::Dice, world::World};
use control_plane::{
    cdr::CallRecord,
    journal::{self, Log, Record},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// 64*T1 for an ACK or a late provisional answer, again for the BYE or CANCEL, and a late 2xx is
/// awaited as long; nobody answers.
const PHONES_LET_GO: Duration = Duration::from_secs(200);

fn day(seed: u64) -> (Vec<u8>, Vec<CallRecord>) {
    let mut world = World::new(seed, Instant::now()).with_journal().without_crashes();
    world.live().unwrap();
    (world.journal()[0].clone(), world.cdrs().cloned().collect())
}

/// Where each line of a journal ends.
fn line_ends(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    ends.map(|(at, _)| at + 1).collect()
}

/// How many of the whole lines before `cut` are records; the others are the snapshot and notes.
fn records_before(bytes: &[u8], cut: usize) -> usize {
    let whole = bytes[..cut].split_inclusive(|&byte| byte == b'\n');
    let whole = whole.filter(|line| line.ends_with(b"\n"));
    whole.filter(|line| line[9..].starts_with(b"{\"Record\"")).count()
}

fn records(bytes: &[u8]) -> Vec<Record> {
    journal::read(bytes).unwrap().records
}

#[test]
fn a_journal_gives_the_cdrs_that_the_day_gave() {
    let mut processes = 0;
    for seed in 0..30 {
        let mut world = World::new(seed, Instant::now()).with_journal();
        world.live().unwrap();
        let cdrs: Vec<_> = world.cdrs().cloned().collect();

        let segments = world.journal().iter().map(|bytes| journal::read(bytes).unwrap());
        let pasts: Vec<_> = segments.map(journal::replay).collect();

        let ended: Vec<_> = pasts.iter().flat_map(|past| &past.ended).cloned().collect();
        assert!(cdrs.len() > 10, "seed {seed} is hardly a day: {} calls", cdrs.len());
        assert_eq!(ended, cdrs, "seed {seed}");
        let last = pasts.last().unwrap();
        assert!(last.board.is_idle() && last.ledger.records().is_empty(), "seed {seed}");
        processes += pasts.len();
    }
    assert!(processes > 30, "on some of these days the box died");
}

#[test]
fn a_process_that_begins_anywhere_in_a_day_ends_its_calls_and_frees_its_seats() {
    let (bytes, cdrs) = day(7);
    let ends = line_ends(&bytes);
    let mut dice = Dice::new(7, 0);

    for _ in 0..50 {
        let cut = ends[dice.place(ends.len())];
        let past = journal::replay(journal::read(&bytes[..cut]).unwrap());
        let whole = past.ended.len();
        assert_eq!(past.ended, cdrs[..whole], "cut at {cut}");
        let open: Vec<_> = past.ledger.records().keys().copied().collect();

        let plan = Arc::clone(past.board.plan());
        let mut log = Log::begin(past.moment());
        let (board, restart) = past.restart(plan, BTreeMap::new());
        let mut next = World::next_process(board, restart, cut as u64, Instant::now());
        log.take_turn(&mut next);

        let cut_off = std::iter::from_fn(|| next.poll_cdr()).map(|cdr| cdr.id);
        let expected: Vec<_> = open.iter().map(ToString::to_string).collect();
        assert_eq!(cut_off.collect::<Vec<_>>(), expected, "cut at {cut}: each story gets its end");
        let again = journal::replay(journal::read(log.bytes()).unwrap());
        assert_eq!(again.ended.len(), expected.len(), "cut at {cut}: and is not told twice");
        let deadline = next.clock().instant(next.board().now()) + PHONES_LET_GO;
        while let Some((due, _)) = next.poll_timeout().filter(|(due, _)| *due <= deadline) {
            next.handle_timeout(due);
            while next.poll_transmit().is_some() || next.poll_order().is_some() {}
        }
        assert!(next.is_idle(), "cut at {cut}: {:?}", next.board());
    }
}

#[test]
fn cut_at_any_byte_it_reads_as_far_as_its_lines_are_whole() {
    let (bytes, _) = day(1);
    let ends = line_ends(&bytes);
    let all = records(&bytes);
    // Around three line ends every byte, elsewhere some.
    let mut cuts: Vec<_> = [1, 2, ends.len() - 1]
        .iter()
        .flat_map(|&line| ends[line] - 40..=(ends[line] + 40).min(bytes.len()))
        .collect();
    let mut dice = Dice::new(1, 0);
    cuts.extend((0..100).map(|_| ends[0] + dice.place(bytes.len() - ends[0])));

    for cut in cuts {
        let segment = journal::read(&bytes[..cut]).unwrap();

        let whole = ends.iter().filter(|&&end| end <= cut).count();
        let last = ends[whole - 1];
        assert_eq!((segment.whole_bytes, segment.torn), (last, cut > last), "cut at {cut}");
        assert_eq!(segment.records, all[..records_before(&bytes, cut)], "cut at {cut}");
    }
    assert!(journal::read(&bytes[..ends[0] - 1]).is_err(), "without its snapshot it is nothing");
}

#[test]
fn one_flipped_byte_ends_it_there() {
    let (bytes, _) = day(2);
    let ends = line_ends(&bytes);
    let all = records(&bytes);
    let mut dice = Dice::new(2, 0);

    for _ in 0..200 {
        let at = ends[0] + dice.place(bytes.len() - ends[0]);
        let mut damaged = bytes.clone();
        damaged[at] = !damaged[at];

        let segment = journal::read(&damaged).unwrap();

        let before = ends.iter().filter(|&&end| end <= at).count();
        assert_eq!(segment.whole_bytes, ends[before - 1], "flipped at {at}");
        assert!(segment.torn, "flipped at {at}");
        assert_eq!(segment.records, all[..records_before(&bytes, at)], "flipped at {at}");
    }
}
