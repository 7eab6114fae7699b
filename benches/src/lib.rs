//! What the benches share: CPU clocks, contenders that run in turns, bare relays, callers.
//!
//! Speed is a ratio here, against a peer or a floor in the same run, in CPU time: other work on
//! the machine makes everything slower and changes little between two that take turns.

pub mod allocations;
pub mod callers;
pub mod clock;
pub mod cpu;
pub mod floor;
pub mod load;
pub mod race;

use std::{env, time::Duration};

/// How long one window of what is measured in real time lasts: `BENCH_SECONDS`, or 5.
///
/// # Panics
/// If it is not a whole number of seconds.
pub fn window() -> Duration {
    let seconds = env::var("BENCH_SECONDS").map_or(5, |text| {
        text.parse().unwrap_or_else(|_| panic!("BENCH_SECONDS is {text:?}; write a whole number"))
    });
    Duration::from_secs(seconds)
}

/// How often everybody has a turn: `BENCH_ROUNDS`, or 5.
///
/// # Panics
/// If it is not a whole number, or none.
pub fn rounds() -> usize {
    env::var("BENCH_ROUNDS").map_or(5, |text| {
        let rounds = text.parse().ok().filter(|&rounds: &usize| rounds > 0);
        rounds.unwrap_or_else(|| panic!("BENCH_ROUNDS is {text:?}; write a whole number"))
    })
}
