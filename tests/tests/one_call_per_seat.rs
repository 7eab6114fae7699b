//! No agent ever has two calls, no caller is forgotten, nothing leaks: a thousand simulated days.
//!
//! `SEEDS=10000` lives more of them; `make sim SEED=n` lives one again and prints its ladder.

#![expect(clippy::print_stdout, reason = "the base of fresh seeds and what was reached are told")]

use clavija_tests::world::{Broken, Reached, World};
use std::{
    env,
    hash::{BuildHasher, RandomState},
    ops::Range,
    thread,
    time::Instant,
};

/// Seeds that broke a promise once, and why.
const ONCE_BROKEN: &[u64] = &[
    306,  // Made available during a call of their own, an agent was paused again after it.
    833,  // A pause asked for in a call was forgotten when the phone signed out before its end.
    2295, // After an agent's own call a pause came back that had ended meanwhile: due at once.
    2655, // The same after a request that was given up.
    6407, // The model took a phone that had answered into a dead network for the one given up.
    322,  // A torn repeat of an INVITE was refused in its name, and its call went on without it.
    1045, // An INVITE repeated for longer than its transaction made a second call.
    6952, // The late copy of an INVITE that was refused before a crash made a second call.
    8141, // After two crashes the second 200 of a fork got no ACK.
    8607, // After a crash the BYE of a fork had a CSeq that was used before.
    1_733_837_669_282, // A phone signed out, and its BYE, last heard by a process that died, got no answer.
    1_606_059_397_694, // The model held a call for one under load that the box had not heard when there was no room.
];
/// How often each thing must have happened over the fixed seeds: in so many of them once.
const REACHED_ONCE_IN: u64 = 10;
/// Needs both ends of a call to die in ways that nothing notices.
const BETTER_NEVER: &str = "ended_by_hand";
/// Seeds beyond this are fresh ones.
const FRESH_FROM: u64 = 1 << 40;
const FRESH: u64 = 200;

#[test]
fn no_day_ever_gives_an_agent_two_calls_or_forgets_a_caller() {
    let seeds = env::var("SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);

    let reached = live_in_parallel(0..seeds);

    for (name, count) in reached.all() {
        println!("{count:>9}  {name}");
        let enough = count >= seeds / REACHED_ONCE_IN || name == BETTER_NEVER;
        assert!(enough, "{name} was reached {count} times: this proves little");
    }
}

#[test]
fn fresh_days_are_no_different() {
    let base = FRESH_FROM + RandomState::new().hash_one("a fresh base") % FRESH_FROM;
    println!("fresh seeds from {base} on");

    live_in_parallel(base..base + FRESH);
}

#[test]
fn days_that_went_wrong_once_do_not_go_wrong_again() {
    for &seed in ONCE_BROKEN {
        live(seed);
    }
}

#[test]
fn a_seed_replays_to_the_same_ladder() {
    let ladder = |seed| {
        let mut world = World::new(seed, Instant::now()).with_ladder();
        world.live().unwrap();
        world.ladder().to_string()
    };

    assert_eq!(ladder(42), ladder(42));
    assert_ne!(ladder(42), ladder(43));
}

/// Two threads, each with every other seed.
fn live_in_parallel(seeds: Range<u64>) -> Reached {
    let half = |odd: u64| {
        let mine = seeds.clone().filter(move |seed| seed % 2 == odd);
        move || {
            let mut reached = Reached::default();
            mine.for_each(|seed| reached += live(seed));
            reached
        }
    };
    let other = thread::spawn(half(1));
    let mut reached = half(0)();
    reached += other.join().expect("a broken promise, told above");
    reached
}

fn live(seed: u64) -> Reached {
    let mut world = World::new(seed, Instant::now());
    match world.live() {
        Ok(()) => *world.reached(),
        Err(broken) => panic!("{}", explain(seed, &broken)),
    }
}

/// Lives the day again, to tell what led there.
fn explain(seed: u64, broken: &Broken) -> String {
    let mut world = World::new(seed, Instant::now()).with_ladder();
    let _ = world.live();
    format!(
        "{broken}\nmake sim SEED={seed} tells the whole day; it ended so:\n{}",
        world.ladder().tail(40)
    )
}
