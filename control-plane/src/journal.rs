//! The one log: every input of the switchboard, in order, each line chained to the one before, and
//! between them what the next process must know of dialogs and registrations.
//!
//! A segment begins with a snapshot of the board (and the plan its numbers mean), so it can be
//! read alone. Text, one line a record, so that an operator can read it too:
//! `checksum {"Record":{"seq":…,"at":…,"input":…}}`. No datagrams, no keys, no digests.

mod memory;

pub use memory::{Binding, Finished, Memory, Note, Registered};

use crate::{
    cdr::{CallRecord, Ledger},
    config::Plan,
    exchange::{Exchange, Restart},
    ids::CallId,
    switchboard::{Cut, Input, Restarted, Switchboard},
    time::Stamp,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// Of what a snapshot holds. 1: board and stories; 2: also dialogs and registrations; 3: also calls
/// that are over, notes of what changed in a dialog, which telephones are whose and taken, and by
/// which login a phone registered; 4: also how far the wall clock is ahead.
const VERSION: u32 = 4;

/// One input and when it was decided on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub seq: u64,
    pub at: Stamp,
    pub input: Input,
}

impl Record {
    fn is_sound(&self) -> bool {
        Stamp(self.seq).is_sound() && self.at.is_sound() && self.input.is_sound()
    }
}

/// What a snapshot is made of.
#[derive(Clone, Copy)]
pub struct Moment<'a> {
    pub board: &'a Switchboard,
    pub ledger: &'a Ledger,
    pub memory: &'a Memory,
}

#[derive(Serialize)]
enum LineOut<'a> {
    Snapshot {
        version: u32,
        board: &'a Switchboard,
        active: &'a BTreeMap<CallId, CallRecord>,
        memory: &'a Memory,
    },
    Record(&'a Record),
    Note(&'a Note),
}

#[derive(Deserialize)]
enum LineIn {
    Snapshot {
        board: Box<Switchboard>,
        active: BTreeMap<CallId, CallRecord>,
        #[serde(default)]
        memory: Memory,
    },
    Record(Box<Record>),
    Note(Note),
}

/// The first line of a segment of any version.
#[derive(Deserialize)]
enum FirstLine {
    Snapshot {
        #[serde(default)]
        version: u32,
    },
}

/// Writes lines; each checksum covers the one before it, so a line cannot vanish unseen.
#[derive(Debug, Default)]
pub struct Chain {
    last: u32,
}

impl Chain {
    /// The first line of a segment.
    pub fn snapshot(&mut self, moment: Moment<'_>, into: &mut Vec<u8>) {
        let Moment { board, ledger, memory } = moment;
        let active = ledger.records();
        self.line(&LineOut::Snapshot { version: VERSION, board, active, memory }, into);
    }

    pub fn record(&mut self, record: &Record, into: &mut Vec<u8>) {
        self.line(&LineOut::Record(record), into);
    }

    pub fn note(&mut self, note: &Note, into: &mut Vec<u8>) {
        self.line(&LineOut::Note(note), into);
    }

    fn line(&mut self, line: &LineOut<'_>, into: &mut Vec<u8>) {
        const SUM_AND_BLANK: usize = 9;
        let start = into.len();
        into.extend_from_slice(&[b' '; SUM_AND_BLANK]);
        serde_json::to_writer(&mut *into, line)
            .expect("plain data with string keys always encodes");
        let json = start + SUM_AND_BLANK;
        self.last = checksum(self.last, &into[json..]);
        into[start..json - 1].copy_from_slice(format!("{:08x}", self.last).as_bytes());
        into.push(b'\n');
    }
}

/// A journal in memory, as a disk would hold it: for simulated days, in which a process ends at any
/// moment and the next one begins with these bytes.
#[derive(Debug)]
pub struct Log {
    chain: Chain,
    bytes: Vec<u8>,
}

impl Log {
    /// Begins with what the process that writes it begins with.
    pub fn begin(moment: Moment<'_>) -> Self {
        let mut log = Self { chain: Chain::default(), bytes: Vec::new() };
        log.chain.snapshot(moment, &mut log.bytes);
        log
    }

    /// Takes what must be written before anything else is polled.
    pub fn take_turn(&mut self, exchange: &mut Exchange) {
        while let Some(record) = exchange.poll_record() {
            self.chain.record(&record, &mut self.bytes);
        }
        while let Some(note) = exchange.poll_note() {
            self.chain.note(&note, &mut self.bytes);
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
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
    /// Dialogs and registrations as they were at the end.
    pub memory: Memory,
    /// The last moment at which the process that wrote it is known to have lived.
    pub last: Stamp,
    /// Bytes that are whole; what follows was cut by a crash, or never written.
    pub whole_bytes: usize,
    /// The bytes after the last whole line are something else than unwritten space.
    pub torn: bool,
    /// Where a line is whole and says what cannot be, or what this version does not know. No record
    /// behind it is lived; dialogs and registrations are taken, so that everybody out there is told.
    pub spoilt_at: Option<usize>,
    /// The version that wrote it, if that is newer than this one.
    pub newer: Option<u32>,
}

/// Why a segment cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    #[error("a newer version has written it ({0}; this one reads up to {VERSION})")]
    Newer(u32),
    #[error("it does not begin with a whole snapshot")]
    NoSnapshot,
    #[error("its snapshot contradicts itself")]
    Unsound,
}

/// Reads as far as the lines are whole: a crash may cut the last one.
pub fn read(bytes: &[u8]) -> Result<Segment, Unusable> {
    let (json, mut after) = next_line(bytes, 0, 0).ok_or(Unusable::NoSnapshot)?;
    let Ok(FirstLine::Snapshot { version }) = serde_json::from_slice(json) else {
        return Err(Unusable::NoSnapshot);
    };
    // What a newer version adds is passed over in silence by who reads it: it has to be said.
    let newer = (version > VERSION).then_some(version);
    let or_newer = |why| newer.map_or(why, Unusable::Newer);
    let Ok(LineIn::Snapshot { board, active, memory }) = serde_json::from_slice(json) else {
        return Err(or_newer(Unusable::NoSnapshot));
    };
    if !board.is_sound_beginning() || !memory.is_sound() {
        return Err(or_newer(Unusable::Unsound));
    }
    let mut segment = Segment {
        last: board.now(),
        board: *board,
        active,
        records: Vec::new(),
        memory,
        whole_bytes: after.0,
        torn: false,
        spoilt_at: None,
        newer,
    };
    while let Some((json, next)) = next_line(bytes, after.0, after.1) {
        match serde_json::from_slice(json) {
            Ok(LineIn::Record(record)) if record.is_sound() => {
                segment.last = segment.last.max(record.at);
                // Without one that came before it, it may not be lived.
                if segment.spoilt_at.is_none() {
                    segment.records.push(*record);
                }
            }
            Ok(LineIn::Note(Note::Alive(at))) if at.is_sound() => {
                segment.last = segment.last.max(at);
            }
            Ok(LineIn::Note(note)) if note.is_sound() => segment.memory.take(note),
            Ok(LineIn::Snapshot { .. } | LineIn::Record(_) | LineIn::Note(_)) | Err(_) => {
                segment.spoilt_at.get_or_insert(after.0);
            }
        }
        after = next;
    }
    segment.whole_bytes = after.0;
    segment.torn = bytes[after.0..].iter().any(|&byte| byte != 0);
    Ok(segment)
}

/// The line at `at` without its checksum, and where and with which checksum the next one begins.
fn next_line(bytes: &[u8], at: usize, chain: u32) -> Option<(&[u8], (usize, u32))> {
    let rest = bytes.get(at..)?;
    let length = rest.iter().position(|&byte| byte == b'\n' || byte == 0)?;
    let (written, json) = rest.get(..length)?.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = checksum(chain, json);
    if written != format!("{sum:08x}").as_bytes() || rest.get(length) != Some(&b'\n') {
        return None;
    }
    Some((json, (at + length + 1, sum)))
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
    /// Dialogs and registrations as they were at the end.
    pub memory: Memory,
    /// The last moment at which the process that wrote it is known to have lived.
    pub last: Stamp,
    /// The calls that ended on the way.
    pub ended: Vec<CallRecord>,
}

/// Lives a segment again: the board as it was at the end, and every story on the way. Outputs are
/// dropped, they were carried out then.
pub fn replay(segment: Segment) -> Past {
    replay_counted(segment, &mut 0)
}

/// The same; `lived` are the records that have been, so that who catches a panic knows which one it was.
pub fn replay_counted(segment: Segment, lived: &mut usize) -> Past {
    let Segment { board, active, records, memory, last, .. } = segment;
    let ledger = Ledger::restore(Arc::clone(board.plan()), active);
    let mut past = Past { board, ledger, memory, last, ended: Vec::new() };
    for record in &records {
        past.live(record);
        *lived += 1;
    }
    // A snapshot of it must not forget the signs of life that came after the last input.
    past.board.lived_until(last);
    past
}

impl Past {
    /// Of a box on which nothing has ever happened.
    pub fn none(plan: &Arc<Plan>) -> Self {
        let (board, ledger) = (Switchboard::new(Arc::clone(plan)), Ledger::new(Arc::clone(plan)));
        let (memory, last) = (Memory::default(), Stamp::default());
        Self { board, ledger, memory, last, ended: Vec::new() }
    }

    /// What a snapshot of it holds.
    pub fn moment(&self) -> Moment<'_> {
        Moment { board: &self.board, ledger: &self.ledger, memory: &self.memory }
    }

    /// What the next process starts from: [`crate::exchange::Start::board`] and `restart`. `cut`: what was
    /// found of the media of calls that were cut off. `plan`: from now on; agents, teams and trunks are
    /// who their names say.
    pub fn restart(self, plan: Arc<Plan>, cut: BTreeMap<CallId, Cut>) -> (Switchboard, Restart) {
        let Self { board, ledger, memory, last, .. } = self;
        // The endpoint says where it finds them.
        let phones = BTreeMap::new();
        (board, Restart { ledger, memory, restarted: Restarted { last, cut, plan, phones } })
    }

    fn live(&mut self, record: &Record) {
        self.board.handle(&record.input, record.seq, record.at);
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

    fn plan() -> Plan {
        let seat = SeatPlan { extension: "1001".into(), fixed: true, ..SeatPlan::named("ana") };
        let team = Team {
            seats: vec![SeatId(0)],
            set_aside: None,
            record: true,
            answer: crate::config::AnswerMode::AtOnce,
            ..Team::named("support")
        };
        let row = NumberRow::new("100", Destination::Team(TeamId(0)));
        Plan {
            trunks: vec![],
            seats: vec![seat],
            teams: vec![team],
            numbers: vec![row],
            ..Plan::default()
        }
    }

    /// A call that is being talked when the segment begins and ends in it, and one that is left.
    fn a_day() -> Vec<u8> {
        let plan = Arc::new(plan());
        let mut past = Past {
            board: Switchboard::new(Arc::clone(&plan)),
            ledger: Ledger::new(plan),
            memory: Memory::default(),
            last: Stamp::default(),
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
        chain.snapshot(past.moment(), &mut bytes);
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

        let seq = past.board.seq() + 1;
        let input = Input::Restarted(Restarted {
            last: past.last,
            cut: BTreeMap::new(),
            plan: Arc::clone(past.board.plan()),
            phones: BTreeMap::new(),
        });
        past.live(&Record { seq, at: Stamp(90_000_000), input });

        let lost = past.ended.last().unwrap();
        assert_eq!(
            (lost.id.as_str(), lost.end_reason.as_deref()),
            ("call-00000002", Some("restart"))
        );
        assert_eq!(lost.ended_at, Some(past.last), "nobody knows of anything later");
        assert_eq!(past.board.calls().count(), 0);
    }

    #[test]
    fn a_process_that_dies_before_it_has_written_anything_keeps_the_last_sign_of_life_before_it() {
        let (bytes, last) = (a_day(), Stamp(50_000_000));
        let whole = &bytes[..bytes.len() - 1];
        let sum = &whole[whole.iter().rposition(|&byte| byte == b'\n').unwrap() + 1..][..8];
        let sum = u32::from_str_radix(std::str::from_utf8(sum).unwrap(), 16).unwrap();
        let (mut chain, mut bytes) = (Chain { last: sum }, bytes);
        chain.note(&Note::Alive(last), &mut bytes);

        let past = replay(read(&bytes).unwrap());
        let next = Log::begin(past.moment());

        assert_eq!(read(next.bytes()).unwrap().last, last);
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
                Err(unusable) => assert!(cut < snapshot, "{cut}: {unusable}"),
            }
        }
    }

    #[test]
    fn a_moment_beyond_every_calendar_is_told_as_the_last_there_is() {
        let mut bytes = a_day();
        let after = read(&bytes).unwrap().records.last().unwrap().seq + 1;
        let mut chain = Chain { last: last_sum(&bytes) };
        let input = Input::Bridged { call: CallId(2), at: Stamp(u64::MAX) };
        chain.record(&Record { seq: after, at: Stamp(8_000_000), input }, &mut bytes);

        let past = replay(read(&bytes).unwrap());
        chain.snapshot(past.moment(), &mut Vec::new());

        let told = crate::cdr::to_rfc3339(Stamp(u64::MAX));
        assert_eq!(told, "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn a_line_that_says_what_cannot_be_ends_what_is_lived_and_is_no_cut() {
        let mut bytes = a_day();
        let whole = bytes.len();
        let lived = read(&bytes).unwrap().records.len();
        let mut chain = Chain { last: last_sum(&bytes) };
        let input = Input::Dialled { offer: crate::ids::OfferId(9), legs: vec![LegId(u64::MAX)] };
        chain.record(&Record { seq: 99, at: Stamp(8_000_000), input }, &mut bytes);
        let input = Input::SignedOut(SeatId(0));
        chain.record(&Record { seq: 100, at: Stamp(9_000_000), input }, &mut bytes);
        let at = Registered { extension: "1001".into(), login: None, bindings: vec![binding()] };
        chain.note(&Note::Registered { agent: "ana".into(), at }, &mut bytes);

        let segment = read(&bytes).unwrap();

        assert_eq!((segment.spoilt_at, segment.torn), (Some(whole), false));
        assert_eq!((segment.records.len(), segment.whole_bytes), (lived, bytes.len()));
        assert_eq!(segment.last, Stamp(9_000_000), "the process lived on");
        assert!(segment.memory.registered().contains_key("ana"), "and wrote down who registered");
    }

    fn binding() -> Binding {
        let here = sip_stack::flow::Flow::udp(std::net::SocketAddr::from(([192, 0, 2, 7], 5060)));
        let (uri, call_id) = ("sip:1001@192.0.2.7".to_owned(), "r".to_owned());
        Binding { uri, to: here, source: here, call_id, sequence: 1, expires: Stamp(1) }
    }

    #[test]
    fn a_journal_of_a_newer_version_is_known_as_one_whether_it_can_be_used_or_not() {
        let text = String::from_utf8(a_day()).unwrap();
        let snapshot = text.lines().next().unwrap()[9..].to_owned();
        let (ours, next) =
            (format!("\"version\":{VERSION}"), format!("\"version\":{}", VERSION + 1));
        let newer = snapshot.replace(&ours, &next);
        let strange = newer.replace("\"next_call\"", "\"call_to_come\"");
        let unsound = newer.replace("\"next_call\":2", "\"next_call\":1");

        assert_eq!(read(&sealed(&snapshot)).unwrap().newer, None);
        assert_eq!(read(&sealed(&newer)).unwrap().newer, Some(VERSION + 1));
        assert!(matches!(read(&sealed(&strange)), Err(Unusable::Newer(_))));
        assert!(matches!(read(&sealed(&unsound)), Err(Unusable::Newer(_))));
    }

    #[test]
    fn a_call_that_was_over_before_its_host_was_noted_is_read_too() {
        let line = r#"{"Note":{"Finished":{"call_id":"a","from_tag":"b","sequence":1,"until":9}}}"#;

        assert!(matches!(serde_json::from_str(line), Ok(LineIn::Note(Note::Finished(_)))));
    }

    /// The first line of a segment with a checksum that is right.
    fn sealed(json: &str) -> Vec<u8> {
        format!("{:08x} {json}\n", checksum(0, json.as_bytes())).into_bytes()
    }

    #[test]
    fn two_claims_of_one_seat_are_no_beginning() {
        let text = String::from_utf8(a_day()).unwrap();
        let snapshot = text.lines().next().unwrap()[9..].to_owned();
        let held = "\"offers\":{\"1\":";
        let offer = snapshot.split(held).nth(1).unwrap().split("},\"legs\":{\"1\"").next().unwrap();
        let twice = snapshot.replace(held, &format!("\"offers\":{{\"0\":{offer},\"1\":"));

        assert!(read(&sealed(&snapshot)).is_ok());
        assert!(matches!(read(&sealed(&twice)), Err(Unusable::Unsound)), "{twice}");
    }

    fn last_sum(bytes: &[u8]) -> u32 {
        let text = String::from_utf8_lossy(bytes);
        u32::from_str_radix(&text.lines().last().unwrap()[..8], 16).unwrap()
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
