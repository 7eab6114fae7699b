//! Calls placed with nobody between their ends: each is set up, heard, torn down, timed and told.

use super::*;

/// Callers and callees at an address of the test's own, with nobody between them.
fn direct(last: u8) -> Calls {
    let here = SocketAddr::from(([127, 88, 2, last], 0));
    let audio = SocketAddr::from(([127, 88, 2, last], 30_000));
    let mut calls = Calls::new([here, here], here, vec![[audio, audio]]).expect("two ports");
    calls.parties.target = calls.parties.callee;
    calls
}

#[test]
fn every_call_is_set_up_torn_down_and_timed() {
    let mut calls = direct(1);
    calls.measure();
    calls.pace(200, Some(Duration::from_millis(30)), 20);
    calls.run_until_talking().expect("loopback");
    calls.run_until_over().expect("loopback");

    let tally = calls.tally();
    assert_eq!((tally.placed, tally.whole), (20, 20));
    assert!(tally.failed.is_empty(), "{:?}", tally.failed);
    for delays in [&tally.passed_on, &tally.ring, &tally.answer, &tally.bye] {
        assert_eq!(delays.count(), 20);
    }
}

#[test]
fn both_ends_learn_where_the_other_wants_its_audio_and_talk_until_told() {
    let mut calls = direct(2);
    calls.pace(200, None, 3);
    calls.run_until_talking().expect("loopback");
    let told: Option<Vec<_>> = calls.told().into_iter().collect();
    assert_eq!(told.map(|told| told.len()), Some(3));

    calls.hang_up_all(200);
    calls.run_until_over().expect("loopback");
    assert!(calls.tally().failed.is_empty() && calls.live == 0);
}

#[test]
fn a_target_that_says_nothing_is_asked_again_and_then_a_failure() {
    let mut calls = direct(3);
    let hole = UdpSocket::bind("127.88.2.4:0").expect("a free port");
    calls.parties.target = hole.local_addr().expect("bound");
    calls.patience = T1 + T1 / 2;
    calls.pace(200, None, 1);
    calls.run_until_talking().expect("loopback");

    assert_eq!(calls.tally().failed.get("INVITE without an answer"), Some(&1));
    assert_eq!(calls.tally().said_again, 1);
}

#[test]
fn who_encrypts_tells_the_other_the_key_of_each_call() {
    let mut calls = direct(5);
    calls.encrypt();
    calls.pace(200, None, 2);
    calls.run_until_talking().expect("loopback");

    for (number, told) in calls.told().into_iter().enumerate() {
        let keys = told.map(|told| told.map(|told| told.key_and_salt));
        let wanted = [Side::Callee, Side::Caller].map(|side| Some(own_key(number, side)));
        assert!(keys == Some(wanted), "{number}");
    }
}
