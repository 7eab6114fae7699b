//! Many calls in a journal: all of them are there again, and all of them are ended. How long that takes
//! is `benches/benches/rebuild.rs`.

use clavija_tests::crowd::Crowd;
use std::time::Instant;

const CALLS: u32 = 10_000;

#[test]
fn ten_thousand_calls_are_found_again_from_a_snapshot_and_every_one_is_ended() {
    let now = Instant::now();
    let snapshot = {
        let crowd = Crowd::talking(CALLS, now);
        assert_eq!(crowd.exchange.endpoint().legs(), 2 * CALLS as usize);
        crowd.snapshot()
    };

    let mut next = Crowd::next_process(snapshot.bytes(), now);

    assert_eq!(next.endpoint().orphans().found, 2 * u64::from(CALLS));
    let cdrs: Vec<_> = std::iter::from_fn(|| next.poll_cdr()).collect();
    assert_eq!(cdrs.len(), CALLS as usize);
    assert!(cdrs.iter().all(|cdr| cdr.end_reason.as_deref() == Some("restart")));
    let byes = std::iter::from_fn(|| next.poll_transmit());
    assert_eq!(byes.filter(|said| said.bytes.starts_with(b"BYE ")).count(), 2 * CALLS as usize);
}

#[test]
fn what_is_written_of_a_call_does_not_grow_with_the_calls_beside_it() {
    let now = Instant::now();
    let bytes = |calls| Crowd::talking(calls, now).log.bytes().len();

    let (few, many) = (bytes(100), bytes(1_000));

    assert!(many < 11 * few, "{few} bytes of 100 calls, {many} of 1,000");
}
