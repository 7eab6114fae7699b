//! A process begins with the journal of one that had calls up: reading, living again, ending all. And
//! what a new segment's snapshot costs the loop of the one that lives.

use clavija_benches::{cpu, race};
use clavija_tests::crowd::Crowd;
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

fn main() {
    let mut criterion = race::criterion();
    let now = Instant::now();
    let crowds = [1_000, 10_000].map(|calls| Crowd::talking(calls, now));
    let snapshots = crowds.each_ref().map(Crowd::snapshot);
    let rebuild = |bytes: Vec<u8>| {
        move |times: u64| -> Duration {
            (0..times).map(|_| cpu::span(|| Crowd::next_process(black_box(&bytes), now))).sum()
        }
    };
    let [few, many] = snapshots.each_ref().map(|snapshot| snapshot.bytes().to_vec());
    race::Race::new("the next process begins")
        .add_timed("after 1,000 calls", rebuild(few))
        .add_timed("after 10,000 calls", rebuild(many))
        .run(&mut criterion);
    let written = |crowd: Crowd| {
        move |times: u64| -> Duration {
            (0..times).map(|_| cpu::span(|| black_box(crowd.snapshot()))).sum()
        }
    };
    let [few, many] = crowds.map(written);
    race::Race::new("a snapshot is written")
        .add_timed("of 1,000 calls", few)
        .add_timed("of 10,000 calls", many)
        .run(&mut criterion);
    criterion.final_summary();
}
