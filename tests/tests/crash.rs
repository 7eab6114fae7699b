//! kill -9 in the middle of a recorded call: what is left of it, and what comes after.
#![allow(clippy::unwrap_used)]

use clavija_tests::{
    appliance::Appliance,
    party::{Caller, Phone, loopback},
    tone::{self, Law},
};
use std::fs;

const CALLER_HZ: f64 = 425.0;
const DESK_HZ: f64 = 950.0;
const NUMBER: &str = "+541155550101";
/// A second, in packets.
const SECOND: usize = 50;

#[test]
fn a_call_cut_off_by_kill_9_keeps_its_recording_and_has_one_record_that_says_so() {
    let mut appliance = Appliance::on_contract_files();
    let first = talk(&appliance, 2 * SECOND);

    appliance.kill_and_start_again();
    let ended = appliance.await_ended(1);
    let second = talk(&appliance, SECOND);
    appliance.kill_and_start_again();
    let all = appliance.await_ended(2);

    assert_eq!((&ended[0]["id"], &ended[0]["end"]), (&first, &"failed".into()));
    assert_eq!(ended[0]["end_reason"], "restart");
    assert_ne!(first, second, "a call's name is never given again");
    assert_eq!(all.len(), 2, "one record a call, however often the box starts: {all:?}");
    for call in [&first, &second] {
        let file = appliance.folder().join("data/recordings").join(call.as_str().unwrap());
        let recording = tone::read_recording(&fs::read(file.with_extension("wav")).unwrap());
        assert!(recording.length_ms() > 500.0, "{} ms of {call}", recording.length_ms());
        let (left, right) = (&recording.left[1600..], &recording.right[1600..]);
        assert!(tone::share(left, CALLER_HZ) > 0.9 && tone::share(right, DESK_HZ) > 0.9, "{call}");
    }
}

/// A call that is being talked; the peers vanish with the box. Gives the call's name.
fn talk(appliance: &Appliance, packets: usize) -> serde_json::Value {
    let mut desk = Phone::wait_at("phone_answer", loopback(12, 5070), Law::A, DESK_HZ);
    let mut caller = Caller::dial(appliance.sip(), loopback(2, 5062), NUMBER, &[Law::A], CALLER_HZ);
    caller.await_answer();
    desk.answer();
    let call = appliance.await_call("talking");
    caller.audio.listen(packets);
    call["id"].clone()
}
