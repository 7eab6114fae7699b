//! The one log: every input of the switchboard, in order, each line chained to the one before.
//!
//! A segment begins with a snapshot of the board (and the plan its numbers mean), so it can be
//! read alone. Text, one line a record, so that an operator can read it too:
//! `checksum {"Record":{"seq":…,"at":…,"input":…}}`. No datagrams, no keys, no digests.

use crate::{
    cdr::{CallRecord, Ledger},
    ids::CallId,
    switchboard::{Input, Switchboard},
    time::Stamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// One input and when it was decided on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub seq: u64,
    pub at: Stamp,
    pub input: Input,
}

#[derive(Serialize)]
enum LineOut<'a> {
    Snapshot { board: &'a Switchboard, active: &'a BTreeMap<CallId, CallRecord> },
    Record(&'a Record),
}

#[derive(Deserialize)]
enum LineIn {
    Snapshot { board: Box<Switchboard>, active: BTreeMap<CallId, CallRecord> },
    Record(Record),
}

/// Writes lines; each checksum covers the one before it, so a line cannot vanish unseen.
#[derive(Debug, Default)]
pub struct Chain {
    last: u32,
}

impl Chain {
    /// The first line of a segment.
    pub fn snapshot(&mut self, board: &Switchboard, ledger: &Ledger, into: &mut Vec<u8>) {
        self.line(&LineOut::Snapshot { board, active: ledger.records() }, into);
    }

    pub fn record(&mut self, record: &Record, into: &mut Vec<u8>) {
        self.line(&LineOut::Record(record), into);
    }

    fn line(&mut self, line: &LineOut<'_>, into: &mut Vec<u8>) {
        let json = serde_json::to_string(line).expect("plain data with string keys always encodes");
        self.last = checksum(self.last, json.as_bytes());
        into.extend_from_slice(format!("{:08x} {json}\n", self.last).as_bytes());
    }
}

/// What a segment says.
#[derive(Debug)]
pub struct Segment {
    /// The board as it was when the segment began.
    pub board: Switchboard,
    /// The stories that were being told then.
    pub active: BTreeMap<CallId, CallRecord>,
    pub records: Vec<Record>,
    /// Bytes that are whole; what follows was cut by a crash, or never written.
    pub whole_bytes: usize,
    /// The bytes after the last whole line are something else than unwritten space.
    pub torn: bool,
}

/// Why a segment cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("it does not begin with a whole snapshot")]
    NoSnapshot,
}

/// Reads as far as the lines are whole: a crash may cut the last one.
pub fn read(bytes: &[u8]) -> Result<Segment, Unusable> {
    let mut chain = 0;
    let mut at = 0;
    let mut start = None;
    let mut records = Vec::new();
    while let Some((line, after)) = next_line(bytes, at, chain) {
        match (line, &start) {
            (LineIn::Snapshot { board, active }, None) => start = Some((*board, active)),
            (LineIn::Record(record), Some(_)) => records.push(record),
            (LineIn::Snapshot { .. }, Some(_)) | (LineIn::Record(_), None) => break,
        }
        (at, chain) = after;
    }
    let torn = bytes[at..].iter().any(|&byte| byte != 0);
    let (board, active) = start.ok_or(Unusable::NoSnapshot)?;
    Ok(Segment { board, active, records, whole_bytes: at, torn })
}

/// The line at `at`, and where and with which checksum the next one begins.
fn next_line(bytes: &[u8], at: usize, chain: u32) -> Option<(LineIn, (usize, u32))> {
    let rest = bytes.get(at..)?;
    let length = rest.iter().position(|&byte| byte == b'\n' || byte == 0)?;
    let (written, json) = rest.get(..length)?.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = checksum(chain, json);
    if written != format!("{sum:08x}").as_bytes() || rest.get(length) != Some(&b'\n') {
        return None;
    }
    let line = serde_json::from_slice(json).ok()?;
    Some((line, (at + length + 1, sum)))
}

fn checksum(before: u32, line: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&before.to_be_bytes());
    hasher.update(line);
    hasher.finalize()
}

/// A day lived again.
#[derive(Debug)]
pub struct Past {
    pub board: Switchboard,
    pub ledger: Ledger,
    /// The calls that ended on the way.
    pub ended: Vec<CallRecord>,
}

/// Lives a segment again: the board as it was at the end, and every story on the way. Outputs are
/// dropped, they were carried out then.
pub fn replay(segment: Segment) -> Past {
    let Segment { board, active, records, .. } = segment;
    let ledger = Ledger::restore(Arc::clone(board.plan()), active);
    let mut past = Past { board, ledger, ended: Vec::new() };
    for record in &records {
        past.live(&record.input, record.seq, record.at);
    }
    past
}

impl Past {
    /// The process that wrote this journal is gone: every story gets its end, dated at the last
    /// moment it is known to have lived.
    pub fn bury(&mut self) {
        let (seq, at) = (self.board.seq() + 1, self.board.now());
        self.live(&Input::Lost, seq, at);
    }

    fn live(&mut self, input: &Input, seq: u64, at: Stamp) {
        self.board.handle(input, seq, at);
        while self.board.poll_output().is_some() {}
        while let Some(fact) = self.board.poll_fact() {
            self.ended.extend(self.ledger.apply(&fact));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Destination, NumberRow, Plan, SeatPlan, Team},
        ids::{SeatId, TeamId},
        switchboard::{Media, Output},
    };
    use sip_stack::{
        event::{Cause, Source},
        ids::{LegId, TrunkId},
    };
    use std::time::Duration;

    fn plan() -> Plan {
        let seat = SeatPlan { name: "ana".into(), extension: "1001".into(), fixed: true };
        let team = Team {
            name: "support".into(),
            seats: vec![SeatId(0)],
            music: None,
            ring: Duration::from_secs(20),
            wrap_up: Duration::ZERO,
            set_aside: None,
            record: true,
            answer: crate::config::AnswerMode::AtOnce,
        };
        let row = NumberRow {
            pattern: "100".into(),
            to: Destination::Team(TeamId(0)),
            from: vec![],
            record: None,
        };
        Plan {
            trunks: vec![],
            seats: vec![seat],
            teams: vec![team],
            numbers: vec![row],
            gone: Default::default(),
        }
    }

    /// A call that is being talked when the segment begins and ends in it, and one that is left.
    fn a_day() -> Vec<u8> {
        let plan = Arc::new(plan());
        let mut past = Past {
            board: Switchboard::new(Arc::clone(&plan)),
            ledger: Ledger::new(plan),
            ended: vec![],
        };
        let mut offers = Vec::new();
        let mut feed = |past: &mut Past, input: Input| -> Record {
            let record = Record {
                seq: past.board.seq() + 1,
                at: Stamp(past.board.seq() * 1_000_000),
                input,
            };
            past.board.handle(&record.input, record.seq, record.at);
            while let Some(output) = past.board.poll_output() {
                if let Output::DialSeat { offer, .. } = output {
                    offers.push(offer);
                }
            }
            while let Some(fact) = past.board.poll_fact() {
                past.ended.extend(past.ledger.apply(&fact));
            }
            record
        };
        let arrived = |leg| Input::Arrived {
            leg: LegId(leg),
            source: Source::Trunk(TrunkId(0)),
            from: "+5411".into(),
            from_display: Some("Ñandú \"x\"".into()),
            number: "100".into(),
            sip_call_id: format!("{leg}@test"),
            max_forwards: 70,
            media: Media::Agreed,
        };
        feed(&mut past, Input::SignedIn(SeatId(0)));
        feed(&mut past, arrived(1));
        let dialled = Input::Dialled { offer: crate::ids::OfferId(1), legs: vec![LegId(2)] };
        feed(&mut past, dialled);
        let (mut chain, mut bytes) = (Chain::default(), Vec::new());
        chain.snapshot(&past.board, &past.ledger, &mut bytes);
        let call = CallId(1);
        let inputs = [
            Input::LegAnswered(LegId(2)),
            Input::Bridged { call, at: Stamp(3_500_000) },
            arrived(3),
            Input::LegEnded { leg: LegId(2), cause: Cause::Bye },
            Input::MediaEnded { call, at: Stamp(7_000_000), recorded: None, quality: vec![] },
            Input::LegEnded { leg: LegId(1), cause: Cause::Released },
        ];
        for input in inputs {
            let record = feed(&mut past, input);
            chain.record(&record, &mut bytes);
        }
        assert_eq!(offers.len(), 2, "the second caller is offered when the agent is free");
        bytes
    }

    #[test]
    fn a_segment_read_alone_tells_the_whole_story_of_a_call_that_began_before_it() {
        let past = replay(read(&a_day()).unwrap());

        assert_eq!(past.ended.len(), 1);
        let record = &past.ended[0];
        assert_eq!((record.id.as_str(), record.talk_seconds), ("call-00000001", 3.5));
        let told: Vec<_> = record.events.iter().map(|step| step.event.as_str()).collect();
        assert_eq!(told[..3], ["arrived", "routed", "answered"]);
        assert_eq!(told.last(), Some(&"ended"));
    }

    #[test]
    fn who_was_waiting_when_the_process_died_gets_a_record_that_says_so() {
        let mut past = replay(read(&a_day()).unwrap());

        past.bury();

        let lost = past.ended.last().unwrap();
        assert_eq!(
            (lost.id.as_str(), lost.end_reason.as_deref()),
            ("call-00000002", Some("restart"))
        );
        assert!(past.board.is_idle());
    }

    #[test]
    fn a_segment_cut_anywhere_reads_as_far_as_its_lines_are_whole() {
        let bytes = a_day();
        let snapshot = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;

        for cut in 0..bytes.len() {
            match read(&bytes[..cut]) {
                Ok(segment) => {
                    assert!(cut >= snapshot && segment.whole_bytes <= cut);
                    assert_eq!(segment.torn, segment.whole_bytes < cut);
                }
                Err(Unusable::NoSnapshot) => assert!(cut < snapshot, "{cut}"),
            }
        }
    }

    #[test]
    fn room_that_was_never_written_is_not_a_torn_line() {
        let mut bytes = a_day();
        let whole = bytes.len();
        bytes.resize(whole + 4096, 0);

        let segment = read(&bytes).unwrap();

        assert_eq!((segment.whole_bytes, segment.torn), (whole, false));
    }

    #[test]
    fn a_flipped_bit_ends_the_segment_there_and_is_seen() {
        let bytes = a_day();
        let snapshot = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;

        for place in snapshot..bytes.len() {
            let mut spoilt = bytes.clone();
            spoilt[place] ^= 1 << (place % 8);
            let segment = read(&spoilt).unwrap();
            assert!(segment.whole_bytes <= place && segment.torn, "{place}");
        }
    }
}
