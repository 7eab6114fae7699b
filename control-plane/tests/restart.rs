//! The box is killed at a moment of a call and goes on from its journal: who hears what.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

mod common;

use common::{CARRIER, SDP, address};
use control_plane::{
    cdr::CallRecord,
    config::{Plan, SeatPlan},
    exchange::{Exchange, Request},
    fact::{AgentState, End},
    ids::SeatId,
    journal::{self, Chain, Log, Memory, Note, Past, Registered},
    seats::Seat,
    switchboard::Switchboard,
};
use sip_stack::{Config, Secret, User, digest::Credentials};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

#[path = "restart/late.rs"]
mod late;
#[path = "restart/taped.rs"]
mod taped;

const ANA: &str = "203.0.113.7:5070";
const SECOND: Duration = Duration::from_secs(1);

/// The agents of this site, in the order its configuration names them.
const ONE_ORDER: [&str; 2] = ["ana", "bruno"];
const OTHER_ORDER: [&str; 2] = ["bruno", "ana"];

/// An agent with another extension than usual is written `name=extension`.
fn extension(agent: &str) -> &str {
    match agent.split_once('=') {
        Some((_, extension)) => extension,
        None if agent == "bruno" => "1002",
        None => "1001",
    }
}

fn name(agent: &str) -> &str {
    agent.split_once('=').map_or(agent, |(name, _)| name)
}

fn plan(agents: &[&str]) -> Arc<Plan> {
    let seat = |agent: &&str| -> SeatPlan { common::seat(name(agent), extension(agent), false) };
    Arc::new(common::plan(agents.iter().map(seat).collect()))
}

fn sip(agents: &[&str], password: &str, seed: u8) -> Config {
    let user = |name: &&str| User {
        name: extension(name).into(),
        password: Some(Secret::new(password)),
        contact: None,
    };
    common::sip(agents.iter().map(user).collect(), seed)
}

/// A process and what it has written.
struct Process {
    exchange: Exchange,
    log: Log,
    now: Instant,
    seed: u8,
    /// Of every agent.
    password: &'static str,
    registers: u32,
    cdrs: Vec<CallRecord>,
}

impl Process {
    fn new() -> Self {
        let board = Switchboard::new(plan(&ONE_ORDER));
        Self::begin(board, None, &ONE_ORDER, "secret", Instant::now(), 1)
    }

    fn begin(
        board: Switchboard,
        restart: Option<control_plane::exchange::Restart>,
        agents: &[&str],
        password: &'static str,
        now: Instant,
        seed: u8,
    ) -> Self {
        let ledger = control_plane::cdr::Ledger::new(Arc::clone(board.plan()));
        let memory = Memory::default();
        let fresh = Log::begin(journal::Moment { board: &board, ledger: &ledger, memory: &memory });
        let start = common::start(sip(agents, password, seed), board, 20, restart);
        let exchange = Exchange::new(start, now);
        Self { exchange, log: fresh, now, seed, password, registers: 0, cdrs: vec![] }
    }

    /// kill -9; the next process starts so much later, perhaps with other agents. What it says at once.
    fn killed(self, down: Duration, agents: &[&str]) -> (Self, Vec<Said>) {
        let journal = self.log.bytes().to_vec();
        self.killed_with(&journal, down, agents)
    }

    /// The same, and this is what can be read of its journal.
    fn killed_with(self, journal: &[u8], down: Duration, agents: &[&str]) -> (Self, Vec<Said>) {
        let past = journal::replay(journal::read(journal).unwrap());
        let log = Log::begin(past.moment());
        let (board, restart) = past.restart(plan(agents), BTreeMap::new());
        let now = self.now + down;
        let mut next = Self::begin(board, Some(restart), agents, self.password, now, self.seed + 1);
        next.log = log;
        let said = next.said();
        (next, said)
    }

    fn feed(&mut self, from: &str, text: &str) -> Vec<Said> {
        self.exchange.handle_datagram(address(from), text.as_bytes(), self.now);
        self.said()
    }

    fn said(&mut self) -> Vec<Said> {
        self.log.take_turn(&mut self.exchange);
        while self.exchange.poll_order().is_some() {}
        while self.exchange.poll_fact().is_some() {}
        self.cdrs.extend(std::iter::from_fn(|| self.exchange.poll_cdr()));
        let all = std::iter::from_fn(|| self.exchange.poll_transmit());
        all.map(|transmit| Said {
            to: transmit.to,
            text: String::from_utf8(transmit.bytes).unwrap(),
        })
        .collect()
    }

    /// Time passes, all deadlines in between at their moment.
    fn pass(&mut self, span: Duration) -> Vec<Said> {
        let end = self.now + span;
        let mut said = vec![];
        while let Some((due, _)) = self.exchange.poll_timeout().filter(|(due, _)| *due <= end) {
            self.now = self.now.max(due);
            self.exchange.handle_timeout(self.now);
            said.extend(self.said());
        }
        self.now = end;
        said
    }

    /// The configuration changes under the running process.
    fn apply(&mut self, agents: &[&str]) -> Vec<Said> {
        let next = self.exchange.plan().succeeded_by(&plan(agents)).unwrap();
        let mut config = sip(agents, self.password, 0);
        let nobody = User { name: "gone".into(), password: None, contact: None };
        let mut users = vec![nobody; next.plan.seats.len()];
        for (user, id) in config.users.into_iter().zip(next.seats) {
            users[usize::from(id.0)] = user;
        }
        config.users = users;
        self.exchange.reconfigure(Arc::new(next.plan), config, self.now);
        self.said()
    }

    /// Ana's phone registers for an hour.
    fn register(&mut self) {
        self.register_as("1001", ANA);
    }

    /// This phone registers with that extension. What is said besides.
    fn register_as(&mut self, extension: &str, phone: &str) -> Vec<Said> {
        self.register_line(extension, extension, phone)
    }

    /// Its contact is that line of what stands at the address.
    fn register_line(&mut self, extension: &str, line_name: &str, phone: &str) -> Vec<Said> {
        self.registers += 1;
        let name = format!("{extension}{}{}", self.seed, self.registers);
        let request = |line: &str, sequence: u32| {
            let branch = format!("{name}{sequence}");
            format!(
                "REGISTER sip:clavija.test SIP/2.0\r\nVia: SIP/2.0/UDP {phone};branch=z9hG4bKr{branch};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:{extension}@clavija.test>;tag=r\r\n\
                 To: <sip:{extension}@clavija.test>\r\n\
                 Call-ID: reg{name}\r\nCSeq: {sequence} REGISTER\r\nContact: <sip:{line_name}@{phone}>\r\n\
                 Expires: 3600\r\n{line}Content-Length: 0\r\n\r\n"
            )
        };
        let first = request("", 1);
        let challenge = self.feed(phone, &first);
        let nonce = challenge[0].text.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
        let answer = |response: &str| {
            format!(
                "Digest username=\"{extension}\", realm=\"clavija.test\", nonce=\"{nonce}\", \
                 uri=\"sip:clavija.test\", response=\"{response}\", algorithm=MD5"
            )
        };
        let dummy = Credentials::parse(&answer("00000000000000000000000000000000")).unwrap();
        let response = dummy.expected_response("REGISTER", self.password, b"");
        let line = format!("Authorization: {}\r\n", answer(&response));
        let again = request(&line, 2);
        let mut said = self.feed(phone, &again);
        let at = said.iter().position(|said| said.text.starts_with("SIP/2.0 200 "));
        said.remove(at.unwrap_or_else(|| panic!("not registered: {said:?}")));
        said
    }

    /// The carrier calls the team. What is said.
    fn call(&mut self, name: &str) -> Vec<Said> {
        self.feed(CARRIER, &carrier_request("INVITE", name, "", 1, SDP))
    }

    /// A call that the carrier and Ana's phone are in; the INVITE that her phone got.
    fn talk(&mut self, name: &str) -> Said {
        let said = self.call(name);
        let ok = one(&said, "SIP/2.0 200 ");
        let invite = one(&said, "INVITE ").clone();
        let tag = ok.to_tag();
        self.feed(CARRIER, &carrier_request("ACK", name, &tag, 1, ""));
        let said = self.feed(ANA, &invite.answer(200, SDP));
        assert!(one(&said, "ACK ").to == address(ANA));
        invite
    }

    fn seat(&self, seat: u16) -> Seat {
        self.exchange.board().seats().seat(SeatId(seat)).unwrap()
    }

    fn is_claimed(&self, seat: u16) -> bool {
        matches!(self.seat(seat), Seat::Claimed { .. })
    }

    fn ended(&self) -> Vec<(&str, Option<End>, Option<&str>)> {
        let ended = self.cdrs.iter();
        ended.map(|cdr| (cdr.id.as_str(), cdr.end, cdr.end_reason.as_deref())).collect()
    }
}

/// A message of the box.
#[derive(Clone, Debug)]
struct Said {
    to: SocketAddr,
    text: String,
}

impl Said {
    fn header(&self, name: &str) -> &str {
        let line = self.text.lines().find(|line| line.starts_with(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.text)).split_once(": ").unwrap().1
    }

    fn to_tag(&self) -> String {
        self.header("To").split(";tag=").nth(1).unwrap().to_owned()
    }

    /// The phone's answer to this request.
    fn answer(&self, status: u16, body: &str) -> String {
        let to = self.header("To");
        let to = if to.contains(";tag=") { to.to_owned() } else { format!("{to};tag=phone") };
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "SIP/2.0 {status} X\r\nVia: {}\r\nFrom: {}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {}\r\n\
             Contact: <sip:1001@{ANA}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
            self.header("Via"),
            self.header("From"),
            self.header("Call-ID"),
            self.header("CSeq"),
            body.len()
        )
    }
}

fn carrier_request(method: &str, name: &str, to_tag: &str, sequence: u32, body: &str) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:100@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{name}{method}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1@192.0.2.1>;tag={name}\r\nTo: <sip:100@198.51.100.1>{tag}\r\n\
         Call-ID: {name}\r\nCSeq: {sequence} {method}\r\nContact: <sip:{CARRIER}>\r\n{kind}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn all<'a>(said: &'a [Said], start: &str, to: &str) -> Vec<&'a Said> {
    let to = address(to);
    said.iter().filter(|said| said.to == to && said.text.starts_with(start)).collect()
}

fn one<'a>(said: &'a [Said], start: &str) -> &'a Said {
    let found: Vec<_> = said.iter().filter(|said| said.text.starts_with(start)).collect();
    assert_eq!(found.len(), 1, "{start}: {said:#?}");
    found[0]
}

#[test]
fn a_talk_cut_off_by_a_crash_is_ended_on_both_sides_and_its_seat_waits_for_the_phone() {
    let mut process = Process::new();
    process.register();
    process.talk("one");
    process.pass(5 * SECOND);

    let (mut process, said) = process.killed(2 * SECOND, &ONE_ORDER);

    let (to_carrier, to_ana) = (all(&said, "BYE ", CARRIER), all(&said, "BYE ", ANA));
    assert_eq!((to_carrier.len(), to_ana.len()), (1, 1), "{said:#?}");
    assert!(to_carrier[0].header("Reason").contains("cause=41"));
    assert_eq!(to_carrier[0].header("Call-ID"), "one");
    assert_eq!(process.ended(), [("call-00000001", Some(End::Failed), Some("restart"))]);
    assert!(process.is_claimed(0), "its phone has not said that it let go");
    let waiting = process.call("two");
    assert!(all(&waiting, "INVITE ", ANA).is_empty(), "{waiting:#?}");

    let bye = to_ana[0].clone();
    let offered = process.feed(ANA, &bye.answer(200, ""));

    assert_eq!(all(&offered, "INVITE ", ANA).len(), 1, "without registering anew: {offered:#?}");
    process.feed(CARRIER, &to_carrier[0].answer(200, ""));
    let orphans = process.exchange.endpoint().orphans();
    assert_eq!((orphans.found, orphans.answered, orphans.given_up), (2, 2, 0));
    assert_eq!(process.exchange.double_claims(), 0);
}

#[test]
fn a_phone_that_never_answers_its_bye_frees_its_seat_after_32_s() {
    let mut process = Process::new();
    process.register();
    process.talk("one");
    let (mut process, _) = process.killed(SECOND, &ONE_ORDER);

    process.pass(Duration::from_millis(31_999));
    assert!(process.is_claimed(0));
    process.pass(Duration::from_millis(1));

    assert!(matches!(process.seat(0), Seat::Free { .. }), "{:?}", process.seat(0));
    assert_eq!(process.exchange.endpoint().orphans().given_up, 2);
    process.pass(64 * SECOND);
    assert!(process.exchange.is_idle());
}

#[test]
fn killed_twice_in_a_row_both_sides_still_get_their_bye_and_one_record_is_written() {
    let mut process = Process::new();
    process.register();
    process.talk("one");
    let (process, _) = process.killed(SECOND, &ONE_ORDER);

    let (mut process, said) = process.killed(SECOND, &ONE_ORDER);

    assert_eq!((all(&said, "BYE ", CARRIER).len(), all(&said, "BYE ", ANA).len()), (1, 1));
    assert_eq!(process.cdrs, [], "its record was written by the process before");
    assert!(process.is_claimed(0));
    let bye = all(&said, "BYE ", ANA)[0].clone();
    process.feed(ANA, &bye.answer(481, ""));
    assert!(matches!(process.seat(0), Seat::Free { .. }));
}

#[test]
fn a_ringing_phone_is_cancelled_and_its_late_answer_is_acknowledged_and_ended() {
    let mut process = Process::new();
    process.register();
    let said = process.call("one");
    let invite = one(&said, "INVITE ").clone();
    process.feed(ANA, &invite.answer(180, ""));

    let (mut process, said) = process.killed(SECOND, &ONE_ORDER);

    let cancel = one(&said, "CANCEL ");
    assert_eq!(
        cancel.header("Via").split("branch=").nth(1),
        invite.header("Via").split("branch=").nth(1)
    );
    process.feed(ANA, &cancel.answer(200, ""));
    let said = process.feed(ANA, &invite.answer(200, SDP));
    assert_eq!(all(&said, "ACK ", ANA).len(), 1, "{said:#?}");
    let bye = one(&said, "BYE ").clone();
    assert!(process.is_claimed(0));
    process.feed(ANA, &bye.answer(200, ""));

    assert!(matches!(process.seat(0), Seat::Free { .. }));
}

#[test]
fn a_phone_that_may_not_have_heard_of_its_call_yet_is_asked_and_then_cancelled() {
    let mut process = Process::new();
    process.register();
    let invite = one(&process.call("one"), "INVITE ").clone();

    let (mut process, said) = process.killed(SECOND, &ONE_ORDER);

    let again = one(&said, "INVITE ");
    assert_eq!(again.header("Via"), invite.header("Via"), "a repeat, not a second call");
    assert!(all(&said, "CANCEL ", ANA).is_empty(), "RFC 3261 §9.1");
    let said = process.feed(ANA, &invite.answer(180, ""));
    assert_eq!(all(&said, "CANCEL ", ANA).len(), 1, "{said:#?}");
    let said = process.feed(ANA, &invite.answer(487, ""));
    assert_eq!(all(&said, "ACK ", ANA).len(), 1);

    assert!(matches!(process.seat(0), Seat::Free { .. }));
}

#[test]
fn a_caller_who_was_answered_and_had_not_said_so_is_waited_for_and_then_ended() {
    let mut process = Process::new();
    process.register();
    let ok = one(&process.call("one"), "SIP/2.0 200 ").clone();

    let (mut process, said) = process.killed(SECOND, &ONE_ORDER);

    let again = one(&said, "SIP/2.0 200 ");
    assert_eq!((again.to_tag(), again.header("CSeq")), (ok.to_tag(), "1 INVITE"));
    assert!(all(&said, "BYE ", CARRIER).is_empty(), "RFC 3261 §15.1.1");
    let said = process.feed(CARRIER, &carrier_request("ACK", "one", &ok.to_tag(), 1, ""));
    assert_eq!(all(&said, "BYE ", CARRIER).len(), 1, "{said:#?}");
    assert_eq!(process.ended()[0].2, Some("restart"));
}

#[test]
fn a_binding_lives_on_for_the_time_it_had_left() {
    let mut process = Process::new();
    process.register();
    let before = process.exchange.memory(process.now);
    let (process, _) = process.killed(10 * SECOND, &ONE_ORDER);
    assert_eq!(process.exchange.memory(process.now), before);
    assert!(matches!(process.seat(0), Seat::Free { .. }));

    let (mut process, _) = process.killed(10 * SECOND, &ONE_ORDER);
    process.pass(Duration::from_secs(3600));

    assert_eq!(process.seat(0), Seat::Away);
    assert!(process.exchange.memory(process.now).registered().is_empty());
}

#[test]
fn agents_who_stand_elsewhere_in_the_next_configuration_keep_phone_and_claim_by_name() {
    let mut process = Process::new();
    process.register();
    process.talk("one");

    let (mut process, said) = process.killed(SECOND, &OTHER_ORDER);

    assert!(process.is_claimed(1) && !process.is_claimed(0), "ana is second now");
    assert!(all(&process.call("two"), "INVITE ", ANA).is_empty());
    let bye = all(&said, "BYE ", ANA)[0].clone();
    let offered = process.feed(ANA, &bye.answer(200, ""));
    assert_eq!(all(&offered, "INVITE ", ANA).len(), 1, "{offered:#?}");
    assert_eq!(process.cdrs[0].agent.as_deref(), Some("ana"));
}

#[test]
fn an_agent_who_is_gone_takes_seat_and_binding_along_and_their_phone_still_gets_its_bye() {
    let mut process = Process::new();
    process.register();
    process.talk("one");

    let (mut process, said) = process.killed(SECOND, &["bruno"]);

    assert_eq!(all(&said, "BYE ", ANA).len(), 1);
    assert!(process.exchange.memory(process.now).registered().is_empty());
    process.pass(200 * SECOND);
    assert!(process.exchange.is_idle());
}

#[test]
fn a_name_that_is_no_text_is_in_the_bye_as_it_came() {
    let mut process = Process::new();
    let invite = carrier_request("INVITE", "one", "", 1, SDP);
    let invite = invite.replace("From: <", "From: \"Zo\u{eb}\u{20ac}\" <");
    let said = process.feed(CARRIER, &invite);
    let refused = one(&said, "SIP/2.0 480 ");
    assert!(refused.header("From").contains("Zo\u{eb}\u{20ac}"));

    let (_, said) = process.killed(SECOND, &ONE_ORDER);

    let again = one(&said, "SIP/2.0 480 ");
    assert_eq!(again.header("From"), refused.header("From"));
}

#[test]
fn an_orderly_end_keeps_registrations_too() {
    let mut process = Process::new();
    process.register();
    process.exchange.stop(process.now);
    process.said();

    let (mut process, said) = process.killed(SECOND, &ONE_ORDER);

    assert!(said.is_empty() && process.cdrs.is_empty());
    assert_eq!(all(&process.call("one"), "INVITE ", ANA).len(), 1);
}

/// Ana under another name: the same extension, password and phone.
const RENAMED: [&str; 2] = ["anna", "bruno"];

/// Ends the call on Ana's phone; who waits may be offered to it then, and not before.
#[track_caller]
fn is_called_only_after_the_call_on_that_phone(process: &mut Process, carrier_leaves: &str) {
    assert!(all(&process.call("two"), "INVITE ", ANA).is_empty(), "a second call on one phone");
    let said = process.feed(CARRIER, carrier_leaves);
    assert!(all(&said, "INVITE ", ANA).is_empty(), "its phone has not let go: {said:#?}");
    let bye = one(&said, "BYE ").clone();
    assert_eq!(bye.to, address(ANA));
    let offered = process.feed(ANA, &bye.answer(200, ""));
    assert_eq!(all(&offered, "INVITE ", ANA).len(), 1, "{offered:#?}");
    assert_eq!(process.exchange.double_claims(), 0);
}

/// A call on Ana's phone; gives the carrier's BYE for it.
fn talk_and_its_bye(process: &mut Process) -> String {
    let said = process.call("one");
    let (tag, invite) = (one(&said, "SIP/2.0 200 ").to_tag(), one(&said, "INVITE ").clone());
    process.feed(CARRIER, &carrier_request("ACK", "one", &tag, 1, ""));
    process.feed(ANA, &invite.answer(200, SDP));
    carrier_request("BYE", "one", &tag, 2, "")
}

#[test]
fn an_agent_renamed_by_an_apply_gets_no_second_call_on_the_same_phone() {
    let mut process = Process::new();
    process.register();
    let bye = talk_and_its_bye(&mut process);

    process.apply(&RENAMED);
    process.register();

    assert!(matches!(process.seat(2), Seat::Free { .. }), "anna is signed in, with ana's phone");
    is_called_only_after_the_call_on_that_phone(&mut process, &bye);
}

#[test]
fn extensions_swapped_by_an_apply_bring_no_second_call_to_the_same_phone() {
    let mut process = Process::new();
    process.register();
    let bye = talk_and_its_bye(&mut process);

    process.apply(&["ana=1002", "bruno=1001"]);
    process.register();

    assert!(process.is_claimed(0) && matches!(process.seat(1), Seat::Free { .. }));
    is_called_only_after_the_call_on_that_phone(&mut process, &bye);
}

#[test]
fn an_extension_given_to_another_agent_brings_no_second_call_to_the_same_phone() {
    let mut process = Process::new();
    process.register();
    let bye = talk_and_its_bye(&mut process);

    process.apply(&["bruno=1001"]);
    process.register();

    is_called_only_after_the_call_on_that_phone(&mut process, &bye);
}

#[test]
fn two_agents_at_one_phone_have_one_call_there() {
    let mut process = Process::new();
    process.register();
    process.register_line("1002", "1001", ANA);
    let bye = talk_and_its_bye(&mut process);

    assert!(matches!(process.seat(1), Seat::Free { .. }), "only his phone is taken");
    is_called_only_after_the_call_on_that_phone(&mut process, &bye);
    // Nor may he call from it as himself.
    let invite = carrier_request("INVITE", "three", "", 1, SDP).replace(CARRIER, ANA);
    let said = process.feed(ANA, &invite.replace("sip:1@192.0.2.1", "sip:1002@192.0.2.1"));
    assert_eq!(all(&said, "SIP/2.0 486 ", ANA).len(), 1, "{said:#?}");
}

#[test]
fn agents_at_two_lines_of_one_gateway_have_a_call_each() {
    let mut process = Process::new();
    process.register();
    process.register_as("1002", ANA);
    process.talk("one");

    let said = process.call("two");

    assert!(one(&said, "INVITE ").text.starts_with("INVITE sip:1002@"), "{said:#?}");
    assert_eq!(process.exchange.double_claims(), 0);
}

#[test]
fn an_agent_renamed_before_the_next_start_gets_no_second_call_on_the_same_phone() {
    let mut process = Process::new();
    process.register();
    process.talk("one");

    let (mut process, said) = process.killed(SECOND, &RENAMED);
    process.register();

    assert!(matches!(process.seat(0), Seat::Free { .. }), "anna is signed in, with ana's phone");
    assert!(all(&process.call("two"), "INVITE ", ANA).is_empty(), "a second call on one phone");
    let bye = all(&said, "BYE ", ANA)[0].clone();
    let offered = process.feed(ANA, &bye.answer(200, ""));
    assert_eq!(all(&offered, "INVITE ", ANA).len(), 1, "{offered:#?}");
    assert_eq!(process.exchange.double_claims(), 0);
}

#[test]
fn the_phone_of_a_renamed_agent_waits_for_its_call_over_a_second_crash_too() {
    let mut process = Process::new();
    process.register();
    process.talk("one");
    let (mut process, _) = process.killed(SECOND, &RENAMED);
    process.register();

    let (mut process, said) = process.killed(SECOND, &RENAMED);

    assert!(all(&process.call("two"), "INVITE ", ANA).is_empty(), "a second call on one phone");
    let bye = all(&said, "BYE ", ANA)[0].clone();
    let offered = process.feed(ANA, &bye.answer(200, ""));
    assert_eq!(all(&offered, "INVITE ", ANA).len(), 1, "{offered:#?}");
}

/// A journal of the dialogs and registrations of this moment, and of no call.
fn journal_of(process: &Process, registered: impl Fn(Registered) -> Registered) -> Vec<u8> {
    let (mut chain, mut journal) = (Chain::default(), vec![]);
    chain.snapshot(Past::none(&plan(&ONE_ORDER)).moment(), &mut journal);
    let memory = process.exchange.memory(process.now);
    for leg in memory.legs() {
        chain.note(&Note::Leg(Box::new(leg.clone())), &mut journal);
    }
    for (agent, at) in memory.registered() {
        let at = registered(at.clone());
        chain.note(&Note::Registered { agent: agent.clone(), at }, &mut journal);
    }
    journal
}

#[test]
fn a_phone_in_a_call_that_the_journal_does_not_know_of_gets_no_second_one() {
    let mut process = Process::new();
    process.register();
    process.talk("one");
    let journal = journal_of(&process, |registered| registered);

    let (mut process, said) = process.killed_with(&journal, SECOND, &ONE_ORDER);

    assert!(matches!(process.seat(0), Seat::Free { .. }));
    let shown = process.exchange.board().seat_view(SeatId(0));
    assert_eq!((shown.state, shown.call), (AgentState::Busy, None), "in a call without a name");
    assert!(all(&process.call("two"), "INVITE ", ANA).is_empty(), "a second call on one phone");
    let bye = all(&said, "BYE ", ANA)[0].clone();
    let offered = process.feed(ANA, &bye.answer(200, ""));
    assert_eq!(all(&offered, "INVITE ", ANA).len(), 1, "{offered:#?}");
}

/// As a newer version would have written it: one kind of line has another name.
fn of_a_newer_version(journal: &[u8], line: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(journal);
    assert!(text.contains(line), "{text}");
    let text = text.replacen("\"version\":", "\"version\":1", 1).replace(line, "NewToUs");
    let (mut sum, mut sealed) = (0_u32, vec![]);
    for json in text.lines().map(|line| &line[9..]) {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&sum.to_be_bytes());
        hasher.update(json.as_bytes());
        sum = hasher.finalize();
        sealed.extend(format!("{sum:08x} {json}\n").into_bytes());
    }
    sealed
}

#[test]
fn a_call_behind_what_only_a_newer_version_knows_is_ended_on_both_sides_and_its_seat_waits() {
    for (line, record) in [("SignedIn", 0), ("LegAnswered", 1)] {
        let mut process = Process::new();
        process.register();
        process.talk("one");
        let journal = of_a_newer_version(process.log.bytes(), line);

        let (mut process, said) = process.killed_with(&journal, SECOND, &ONE_ORDER);

        assert_eq!(all(&said, "BYE ", CARRIER).len(), 1, "{line}: {said:#?}");
        let bye = all(&said, "BYE ", ANA)[0].clone();
        assert!(all(&process.call("two"), "INVITE ", ANA).is_empty(), "a second call on one phone");
        let known = process.ended().iter().filter(|call| call.2 == Some("restart")).count();
        assert_eq!(known, record, "{line}: what was known of the call is told");
        let offered = process.feed(ANA, &bye.answer(200, ""));
        assert_eq!(
            all(&offered, "INVITE ", ANA).len(),
            1,
            "{line}: still registered: {offered:#?}"
        );
    }
}

#[test]
fn who_has_another_password_since_the_crash_has_to_register_anew() {
    let mut process = Process::new();
    process.register();
    process.password = "another";

    let (mut process, _) = process.killed(SECOND, &ONE_ORDER);

    assert_eq!(process.seat(0), Seat::Away);
    assert!(process.exchange.memory(process.now).registered().is_empty());
    assert!(all(&process.call("one"), "INVITE ", ANA).is_empty());
    process.register();
    let (process, _) = process.killed(SECOND, &ONE_ORDER);
    assert!(matches!(process.seat(0), Seat::Free { .. }), "by the password of today");
}

#[test]
fn a_registration_that_does_not_say_by_which_password_is_not_taken_up() {
    let mut process = Process::new();
    process.register();
    let journal = journal_of(&process, |registered| Registered { login: None, ..registered });

    let (process, _) = process.killed_with(&journal, SECOND, &ONE_ORDER);

    assert_eq!(process.seat(0), Seat::Away);
}

#[test]
fn no_password_is_in_the_journal_nor_what_could_be_compared_without_the_key() {
    let mut process = Process::new();
    process.register();

    let journal = String::from_utf8(process.log.bytes().to_vec()).unwrap();

    assert!(journal.contains("\"login\":\""), "its mark is there");
    assert!(!journal.contains("secret"), "{journal}");
    let mark = |key| process.exchange.endpoint().login_mark(sip_stack::UserId(0), &[key; 32]);
    assert!(journal.contains(&mark(3).unwrap()) && mark(4) != mark(3));
}
