//! Broken datagrams of every kind, into an endpoint with calls going on: no panic, no harm.

use super::*;
use crate::dice::Dice;

/// As many as a debug build does in a second or two; the long fuzzing is elsewhere.
const ROUNDS: usize = 6_000;

fn number(dice: &mut Dice, below: usize) -> usize {
    let word = u64::from_str_radix(&dice.tag(), 16).unwrap();
    usize::try_from(word % (below.max(1) as u64)).unwrap()
}

/// One to four changes: a byte, a cut, a doubled part, a word that means something.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>) {
    const WORDS: [&[u8]; 12] = [
        b"\r\n",
        b"\r\n\r\n",
        b"tag=",
        b";",
        b"z9hG4bK",
        b"4294967296",
        b"-1",
        b"\0",
        b"<",
        b"\"",
        b"Require: x\r\n",
        b"To: <sip:a@b>;tag=1\r\n",
    ];
    for _ in 0..=number(dice, 4) {
        let at = number(dice, bytes.len());
        match number(dice, 5) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(number(dice, 256)).unwrap();
                }
            }
            1 => bytes.truncate(at),
            2 => {
                let part = bytes[at..(at + number(dice, 80)).min(bytes.len())].to_vec();
                bytes.splice(at..at, part);
            }
            3 => drop(bytes.drain(at..(at + number(dice, 40)).min(bytes.len()))),
            _ => {
                let word = WORDS[number(dice, WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
    }
}

#[test]
fn no_mutation_of_any_message_panics_or_ends_a_call() {
    let mut bench = Bench::new();
    let mut dice = Dice::new([77; 32]);
    let (inbound, tag) = bench.established();
    let outbound = bench.endpoint.invite(call_to(PHONE, None), bench.now);
    let placed = request_in(&bench.sent(), "INVITE");
    bench.feed(PHONE, &answer_to(&placed, 200, "phone", SDP));
    bench.events();
    let corpus = [
        invite(),
        in_dialog("OPTIONS", &tag, 9, ""),
        in_dialog("INVITE", &tag, 10, &with_sdp("")),
        in_dialog("UPDATE", &tag, 11, &with_sdp("")),
        in_dialog("INFO", &tag, 12, ""),
        in_dialog("ACK", &tag, 10, ""),
        request("CANCEL", "i1", "", 1, ""),
        request("REGISTER", "r1", "", 1, "Authorization: Digest username=\"1001\"\r\n"),
        answer_to(&placed, 200, "phone", SDP),
        answer_to(&placed, 180, "other", ""),
    ];

    for round in 0..ROUNDS {
        let mut bytes = corpus[round % corpus.len()].clone().into_bytes();
        mutate(&mut dice, &mut bytes);
        let from = [CARRIER, PHONE, STRANGER][number(&mut dice, 3)];
        bench.endpoint.handle_datagram(address(from), &bytes, bench.now);
        bench.sent();
        for event in bench.events() {
            settle(&mut bench, event, [inbound, outbound]);
        }
        bench.pass(Duration::from_millis(200));
        assert!(bench.endpoint.txns.len() <= 100, "transactions are bounded");
    }

    assert!(bench.endpoint.counters().parse_errors.values().sum::<u64>() > 100);
    bench.endpoint.hang_up(inbound, HangUp::Normal, bench.now);
    bench.endpoint.hang_up(outbound, HangUp::Normal, bench.now);
    bench.assert_idle_after(Duration::from_secs(200));
}

/// Whatever a mutation asks for that is legal is granted; our two calls must not end.
fn settle(bench: &mut Bench, event: Event, ours: [LegId; 2]) {
    match event {
        Event::Invited { leg, .. } => bench.endpoint.hang_up(leg, HangUp::Normal, bench.now),
        Event::Reoffered { leg, .. } => {
            bench.endpoint.answer_reoffer(leg, Ok(SDP.into()), bench.now);
            // Its ACK may never come: a peer that answers keeps the call.
            let sent = bench.sent();
            for message in sent {
                if let Message::Response(response) = message
                    && response.headers.cseq().is_ok_and(|(_, method)| method.as_str() == "INVITE")
                {
                    let sequence = response.headers.cseq().unwrap().0;
                    bench.feed(CARRIER, &in_dialog("ACK", &to_tag(&response), sequence, ""));
                }
            }
        }
        Event::Ended { leg, cause } => assert!(!ours.contains(&leg), "{leg} ended: {cause:?}"),
        Event::Ringing { .. }
        | Event::Answered { .. }
        | Event::Established { .. }
        | Event::Checked { .. }
        | Event::Pressed { .. }
        | Event::Left { .. }
        | Event::Registered { .. }
        | Event::Unregistered { .. }
        | Event::Probed { .. } => {}
    }
}
