//! Any one datagram, or any two, may be lost or doubled: both ends come to the same end.

use super::*;

type Script = &'static [(u64, usize, Act)];

/// The caller hangs up.
const CALLER_ENDS: Script = &[
    (1000, 1, Act::Ring),
    (3000, 1, Act::Answer),
    (6000, 0, Act::Check),
    (20_000, 0, Act::HangUp),
];
/// The called side hangs up.
const CALLED_ENDS: Script = &[
    (1000, 1, Act::Ring),
    (3000, 1, Act::Answer),
    (6000, 1, Act::Check),
    (20_000, 1, Act::HangUp),
];
/// The called side hangs up before the ACK of its 200 can have come.
const ENDS_UNACKED: Script = &[(1000, 1, Act::Answer), (1001, 1, Act::HangUp)];
const BOTH_END: Script =
    &[(1000, 1, Act::Ring), (3000, 1, Act::Answer), (9000, 0, Act::HangUp), (9000, 1, Act::HangUp)];
const WITHDRAWN: Script = &[(1000, 1, Act::Ring), (5000, 0, Act::HangUp), (60_000, 1, Act::HangUp)];
const WITHDRAWN_AT_ONCE: Script = &[(0, 0, Act::HangUp), (60_000, 1, Act::HangUp)];
/// The CANCEL leaves 5 ms before the 200 does, and takes 10.
const CROSSING: Script = &[
    (1000, 1, Act::Ring),
    (5000, 0, Act::HangUp),
    (5005, 1, Act::Answer),
    (90_000, 1, Act::HangUp),
];
const REFUSED: Script = &[(1000, 1, Act::Ring), (3000, 1, Act::Refuse)];

const ALL: [(&str, Script); 8] = [
    ("caller ends", CALLER_ENDS),
    ("called ends", CALLED_ENDS),
    ("ends unacked", ENDS_UNACKED),
    ("both end", BOTH_END),
    ("withdrawn", WITHDRAWN),
    ("withdrawn at once", WITHDRAWN_AT_ONCE),
    ("crossing", CROSSING),
    ("refused", REFUSED),
];

fn run(script: Script, dropped: &[u64], copies: u32) -> World {
    let mut world = World::new(dropped, copies);
    world.run(script);
    world.assert_over();
    world
}

#[test]
fn without_a_loss_both_ends_say_why_it_ended() {
    let expected = [
        (Cause::Released, Cause::Bye),
        (Cause::Bye, Cause::Released),
        (Cause::Bye, Cause::Released),
        (Cause::Released, Cause::Released),
        (Cause::Released, Cause::Cancelled),
        (Cause::Released, Cause::Cancelled),
        (Cause::Released, Cause::Bye),
        (Cause::Refused { status: 486 }, Cause::Released),
    ];

    for ((name, script), (caller, called)) in ALL.into_iter().zip(expected) {
        let world = run(script, &[], 1);
        let ends = (world.ends_of(0), world.ends_of(1));
        assert_eq!(ends, (vec![caller], vec![called]), "{name}\n{}", world.ladder);
    }
}

#[test]
fn any_one_datagram_may_be_lost() {
    for (_, script) in ALL {
        for lost in 0..40 {
            run(script, &[lost], 1);
        }
    }
}

#[test]
fn any_two_datagrams_may_be_lost() {
    for (_, script) in ALL {
        for first in 0..14 {
            for second in first + 1..15 {
                run(script, &[first, second], 1);
            }
        }
    }
}

#[test]
fn everything_may_come_twice_or_three_times() {
    for (name, script) in ALL {
        let once = run(script, &[], 1);
        for copies in [2, 3] {
            let world = run(script, &[], copies);
            for end in 0..2 {
                assert_eq!(world.ends_of(end), once.ends_of(end), "{name}\n{}", world.ladder);
            }
            for lost in 0..20 {
                run(script, &[lost], copies);
            }
        }
    }
}

/// What the world is for must be reached, or it proves nothing.
#[test]
fn a_cancel_crosses_a_200_and_the_late_answer_is_ended_by_itself() {
    let world = run(CROSSING, &[], 1);

    let heard: Vec<_> = world.events[0].iter().map(brief).collect();
    assert_eq!(heard, ["Ringing", "Answered", "Ended Released"], "{}", world.ladder);
    assert!(world.ladder.contains("CANCEL") && world.ladder.contains("BYE"));
}

#[test]
fn a_peer_that_vanishes_at_any_moment_is_given_up() {
    for (_, script) in ALL {
        for silent_from in 0..16 {
            let lost: Vec<_> = (silent_from..400).collect();
            run_until_given_up(script, &lost);
        }
    }
}

/// Everything is lost from some datagram on; who still talks must hang up in the end.
fn run_until_given_up(script: Script, lost: &[u64]) {
    let mut world = World::new(lost, 1);
    world.run(script);
    for end in 0..2 {
        world.act(end, Act::HangUp);
    }
    let end = world.now + Duration::from_secs(600);
    world.run_until(end);
    world.assert_over();
}

#[test]
fn equal_inputs_make_equal_bytes() {
    let ladders = [0, 1].map(|_| run(CALLER_ENDS, &[3], 2).ladder);

    assert_eq!(ladders[0], ladders[1]);
}
