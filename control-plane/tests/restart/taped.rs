//! A recording that could not be made, as the journal has it: what is known is what was told.

use super::Process;
use control_plane::{ids::CallId, journal};
use media_core::order::TalkName;

const CALL: CallId = CallId(1);
const TALK: TalkName = TalkName(1);

fn lived_and_told(process: &Process) {
    let past = journal::replay(journal::read(process.log.bytes()).unwrap());
    let lived = process.exchange.board().call(CALL).unwrap().taping;
    assert_eq!(past.board.call(CALL).unwrap().taping, lived);
    let told = past.ledger.call(CALL).unwrap().recording_failed.clone().unwrap();
    assert_eq!((told.what.as_str(), told.no_file), ("no room", lived.no_file));
}

#[test]
fn a_recording_that_is_not_made_and_one_that_is_made_late_are_told_from_the_journal_alone() {
    let mut process = Process::new();
    process.register();
    process.talk("one");
    let now = process.now;

    process.exchange.handle_recording_failed(TALK, "no room".into(), true, now);
    process.said();
    assert!(process.exchange.board().call(CALL).unwrap().taping.no_file);
    lived_and_told(&process);

    process.exchange.handle_recording_began(TALK, now);
    process.said();
    assert!(!process.exchange.board().call(CALL).unwrap().taping.no_file);
    lived_and_told(&process);
}

#[test]
fn a_recording_that_begins_as_it_should_is_no_step_of_its_call() {
    let mut process = Process::new();
    process.register();
    process.talk("one");

    let before = process.log.bytes().len();
    process.exchange.handle_recording_began(TALK, process.now);
    process.said();

    assert_eq!(process.log.bytes().len(), before, "nothing is written for it");
}
