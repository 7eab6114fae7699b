//! The rings alone, with two and three threads at their ends: what `make test-memory` looks at under Miri.

use super::*;
use media_core::coder::Scrap;
use std::thread::{scope, yield_now};

/// Miri is some hundred times slower, and tries many orders of the same steps instead.
const ROUNDS: u32 = if cfg!(miri) { 40 } else { 20_000 };

fn push<T>(ring: &mut HeapProd<T>, mut item: T) {
    while let Err(back) = ring.try_push(item) {
        item = back;
        yield_now();
    }
}

fn pop<T>(ring: &mut HeapCons<T>) -> T {
    loop {
        if let Some(item) = ring.try_pop() {
            return item;
        }
        yield_now();
    }
}

#[test]
fn frames_come_out_whole_once_and_in_order_however_often_the_ring_is_full() {
    let (mut tap, mut taken) = frames(3);
    let frame = |index| RecordFrame { talk: TalkName(!u64::from(index)), index, ..BLANK_FRAME };

    scope(|threads| {
        threads.spawn(move || (0..ROUNDS).for_each(|index| push(&mut tap, frame(index))));
        for index in 0..ROUNDS {
            assert_eq!(pop(&mut taken), frame(index));
        }
    });

    assert!(taken.is_empty());
}

#[test]
fn what_an_order_brings_along_comes_back_once_and_what_lies_in_a_ring_at_the_end_is_freed() {
    let (mut jobs, mut taken) = HeapRb::new(2).split();
    let (mut thrown, mut scrap) = HeapRb::new(2).split();
    let suite = Suite::AesCm128HmacSha1_80;
    let keys = || {
        let master = || MasterKey::new(suite, &[7; 30]).unwrap();
        Some(Keys { send: master(), receive: master() })
    };
    let job = |leg| Job::from(Task::Carry(Order::Secure { leg: LegName(leg), keys: keys() }));
    // Making keys is what takes long under Miri.
    let rounds = u64::from(ROUNDS.min(2_000) / 5);
    let now = Instant::now();

    scope(|threads| {
        threads.spawn(move || {
            // Nobody has these legs: what is for them goes back.
            let mut engine = Engine::new(config(), now);
            for _ in 0..rounds {
                if let Job::Carry(command) = pop(&mut taken) {
                    engine.handle_order(command, now);
                }
                while let Some(scrap) = engine.poll_scrap() {
                    push(&mut thrown, scrap);
                }
                while engine.poll_event().is_some() {}
            }
        });
        let mut back = 0;
        for leg in 0..rounds {
            push(&mut jobs, job(leg));
            back += scrap.pop_iter().count() as u64;
        }
        while back < rounds {
            assert!(matches!(pop(&mut scrap), Scrap::Srtp(_)));
            back += 1;
        }
        push(&mut jobs, job(rounds));
    });
}

#[test]
fn a_leg_goes_from_thread_to_thread_through_every_door() {
    const THREADS: usize = 3;
    let mut all = doors(THREADS);
    let legs = move |listens| Moving { traveller: Traveller::nobody(), listens };
    let rounds = ROUNDS.min(1_000) / 10;

    scope(|threads| {
        for (number, mut own) in all.drain(..).enumerate() {
            threads.spawn(move || {
                for round in 0..rounds {
                    for to in own.to.iter_mut().flatten() {
                        push(to, legs(round % 2 == 0));
                    }
                    for from in &mut own.from {
                        assert_eq!(pop(from).listens, round % 2 == 0, "thread {number}");
                    }
                }
            });
        }
    });
}
