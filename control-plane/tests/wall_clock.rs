//! The wall clock is set under a running box: an input like any other, and the line of time goes on.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

mod common;

use common::{desk, exchange, plan, start};
use control_plane::{
    cdr::Ledger,
    exchange::Exchange,
    journal::{self, Log, Memory, Moment, Past},
    switchboard::{Input, Switchboard},
    time::{Ahead, Stamp},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// 2026-11-30T12:00:00Z.
const NOON: Stamp = Stamp(1_796_040_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

/// What has been said of the wall clock since somebody asked last, and when.
fn said(exchange: &mut Exchange) -> Vec<(Stamp, Ahead)> {
    let records = std::iter::from_fn(|| exchange.poll_record());
    let clocks = records.filter_map(|record| {
        let Input::WallClock { ahead } = record.input else { return None };
        Some((record.at, ahead))
    });
    clocks.collect()
}

#[test]
fn a_clock_that_is_set_after_the_start_is_told_once_and_no_stamp_jumps() {
    let now = Instant::now();
    let mut exchange = exchange(plan(vec![desk()]), 8, now);
    let began = exchange.clock().stamp(now);
    assert_eq!(said(&mut exchange), [], "the clock of the start is the clock of the line");

    let synchronised = now + 5 * SECOND;
    exchange.handle_wall_clock(NOON, synchronised);

    let ahead = Ahead::between(NOON, began + 5 * SECOND);
    assert_eq!(said(&mut exchange), [(began + 5 * SECOND, ahead)]);
    for (after, more) in [(1, Duration::ZERO), (2, SECOND), (3, Duration::from_millis(400))] {
        exchange.handle_wall_clock(NOON + after * SECOND + more, synchronised + after * SECOND);
    }
    assert_eq!(said(&mut exchange), [], "within a second nobody has set it");
    assert_eq!(exchange.clock().stamp(now + 9 * SECOND), began + 9 * SECOND);
}

#[test]
fn a_clock_that_is_led_away_slowly_is_told_whenever_it_is_a_second_further() {
    let now = Instant::now();
    let mut exchange = exchange(plan(vec![desk()]), 8, now);
    let began = exchange.clock().stamp(now);
    said(&mut exchange);

    let told = (1_u32..=3_000).filter(|&second| {
        // A thousandth of each second is left out.
        let wall = began + second * SECOND - second * Duration::from_millis(1);
        exchange.handle_wall_clock(wall, now + second * SECOND);
        !said(&mut exchange).is_empty()
    });

    assert_eq!(told.collect::<Vec<_>>(), [1_001, 2_002]);
}

#[test]
fn the_next_process_knows_what_was_said_and_finds_out_what_has_changed_since() {
    let now = Instant::now();
    let plan = Arc::new(plan(vec![desk()]));
    let board = Switchboard::new(Arc::clone(&plan));
    let (ledger, memory) = (Ledger::new(Arc::clone(&plan)), Memory::default());
    let moment = Moment { board: &board, ledger: &ledger, memory: &memory };
    let mut log = Log::begin(moment);
    let mut first = exchange((*plan).clone(), 8, now);
    first.handle_wall_clock(NOON, now + SECOND);
    log.take_turn(&mut first);

    let past = journal::replay(journal::read(log.bytes()).unwrap());

    let ahead = past.board.ahead();
    assert_eq!(ahead, first.board().ahead());
    assert!(ahead.0 > 1_000_000_000_000, "{ahead:?}");
    let later = NOON + 60 * SECOND;
    let (known, mut next) = next(past, &plan, later, now + 61 * SECOND);
    assert_eq!(
        next.clock().stamp(now + 61 * SECOND),
        later,
        "its line begins with a clock that is right"
    );
    assert_eq!(said(&mut next), [(later, Ahead(0))]);
    let set_back = NOON - 3_600 * SECOND;
    let past = Past { board: known, ..Past::none(&plan) };
    let (_, mut last) = self::next(past, &plan, set_back, now + 62 * SECOND);
    let (at, ahead) = said(&mut last)[0];
    assert_eq!(ahead.wall(at), set_back, "no line runs backwards, and the time of day does");
}

/// The process after this one, which reads this clock at its start, and its board once more.
fn next(
    past: Past,
    plan: &Arc<control_plane::config::Plan>,
    wall: Stamp,
    now: Instant,
) -> (Switchboard, Exchange) {
    let (board, restart) = past.restart(Arc::clone(plan), BTreeMap::new());
    let start = control_plane::exchange::Start {
        wall,
        ..start(common::sip(vec![common::user()], 1), board, 8, Some(restart))
    };
    let exchange = Exchange::new(start, now);
    let again = serde_json::from_str(&serde_json::to_string(exchange.board()).unwrap()).unwrap();
    (again, exchange)
}
