//! How much a far side may ask inside one call, and what is written down of it.

use super::*;
use crate::note::Note;

fn notes(bench: &mut Bench) -> Vec<Note> {
    std::iter::from_fn(|| bench.endpoint.poll_note()).collect()
}

#[test]
fn too_many_requests_inside_a_call_are_told_to_wait_and_its_end_is_always_heard() {
    let mut bench = Bench::new();
    let (_, tag) = bench.established();

    let answers: Vec<_> = (2..62)
        .map(|sequence| response_in(&bench.feed(CARRIER, &in_dialog("INFO", &tag, sequence, ""))))
        .collect();

    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    let told_to_wait = answers.iter().filter(|answer| {
        answer.status == 500 && answer.headers.get("Retry-After") == Some(&b"1"[..])
    });
    assert_eq!((taken, told_to_wait.count()), (40, 20));
    assert_eq!(bench.endpoint.counters().rejected["dialog_rate"], 20);
    bench.now += Duration::from_millis(50);
    assert_eq!(statuses(&bench.feed(CARRIER, &in_dialog("INFO", &tag, 63, ""))), [200]);
    assert_eq!(statuses(&bench.feed(CARRIER, &in_dialog("INFO", &tag, 64, ""))), [500]);

    assert_eq!(statuses(&bench.feed(CARRIER, &in_dialog("BYE", &tag, 65, ""))), [200]);
    assert!(matches!(bench.event(), Event::Ended { cause: Cause::Bye, .. }));
}

#[test]
fn what_is_asked_inside_a_call_is_no_note_and_a_far_side_that_moves_is_a_short_one() {
    let mut bench = Bench::new();
    let (leg, tag) = bench.established();
    assert!(matches!(notes(&mut bench).as_slice(), [Note::Leg(_)]));

    for (sequence, method) in (2..).zip(["INFO", "OPTIONS", "UPDATE"]) {
        bench.feed(CARRIER, &in_dialog(method, &tag, sequence, ""));
        assert_eq!(notes(&mut bench), [], "{method}");
    }
    let update =
        in_dialog("UPDATE", &tag, 5, "").replace("<sip:192.0.2.1:5060>", "<sip:b@192.0.2.2>");
    bench.feed(CARRIER, &update);

    let moved = notes(&mut bench);
    let [Note::LegMoved(moved)] = moved.as_slice() else { panic!("{moved:?}") };
    assert_eq!((moved.leg, moved.target.as_str()), (leg, "sip:b@192.0.2.2"));
}

#[test]
fn our_own_requests_are_numbers_that_were_written_before_in_one_note_for_many() {
    let mut bench = Bench::new();
    let (leg, _) = bench.established();
    let [Note::Leg(first)] = &notes(&mut bench)[..] else { panic!("one note") };
    let mut written = first.sequence_max;
    let mut told = 0;

    for _ in 0..100 {
        bench.endpoint.check(leg, bench.now);
        for note in notes(&mut bench) {
            let Note::Leg(note) = note else { panic!("{note:?}") };
            (written, told) = (note.sequence_max, told + 1);
        }
        let options = request_in(&bench.sent(), "OPTIONS");
        let (sequence, _) = options.headers.cseq().unwrap();
        assert!(sequence <= written, "{sequence} was not written: {written}");
        bench.feed(CARRIER, &answer_to(&options, 200, "", ""));
        bench.events();
    }

    assert!((3..=4).contains(&told), "{told} notes");
}
