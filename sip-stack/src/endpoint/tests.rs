//! Two endpoints on a wire in memory, with time that is a number: calls, losses, forgeries.

mod forged;
mod inbound;
mod keys;
mod loss;
mod mutation;
mod networks;
mod outbound;
mod pace;
mod sessions;
mod sources;
mod streams;

use super::*;
use crate::{
    config::{Limits, Secret, User},
    ids::TrunkId,
    trunk::Trunk,
    wire::{Message, Request, Response, parse},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    time::Duration,
};

/// The box under test; its trunk 0 is `CARRIER`'s network, its phones are at `PHONE`.
const BOX: &str = "198.51.100.1:5060";
const CARRIER: &str = "192.0.2.1:5060";
const PHONE: &str = "203.0.113.7:5070";
const STRANGER: &str = "100.64.0.1:5060";

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn config(own: &str, peers: &str, seed: u8) -> Config {
    let phone = Target { uri: "sip:1003@203.0.113.7:5070".into(), to: Flow::udp(address(PHONE)) };
    let user = |name: &str, password: Option<&str>, contact| User {
        name: name.into(),
        password: password.map(Secret::new),
        contact,
    };
    Config {
        local: address(own),
        advertise: address(own),
        advertise_tcp: address(own),
        networks: vec![],
        domain: "clavija.test".into(),
        user_agent: "Clavija/test".into(),
        trunks: vec![Trunk {
            peers: vec![peers.parse().unwrap()],
            address: Some(address(CARRIER)),
            calls_max: 3,
            ..Trunk::named("carrier")
        }],
        users: vec![user("1001", Some("secret"), None), user("1003", None, Some(phone))],
        first_leg: 100,
        seed: [seed; 32],
        limits: Limits { transactions_max: 50, legs_max: 8, ..Limits::STANDARD },
    }
}

fn call_to(to: &str, trunk: Option<TrunkId>) -> Invite {
    Invite {
        target: Target { uri: format!("sip:1003@{to}"), to: Flow::udp(address(to)) },
        trunk,
        from_user: "+5411555".into(),
        from_display: Some("Ana".into()),
        to_user: "1003".into(),
        offer: SDP.into(),
        max_forwards: 70,
        call_name: Some("call-1".into()),
    }
}

// ---- one endpoint and a peer made of text ----

struct Bench {
    endpoint: Endpoint,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        Self { endpoint: Endpoint::new(config(BOX, "192.0.2.0/24", 1)), now: Instant::now() }
    }

    fn feed(&mut self, from: &str, text: &str) -> Vec<Message> {
        self.endpoint.handle_datagram(address(from), text.as_bytes(), self.now);
        self.sent()
    }

    fn sent(&mut self) -> Vec<Message> {
        let all = std::iter::from_fn(|| self.endpoint.poll_transmit());
        all.map(|transmit| parse(&transmit.bytes).expect("what we send can be read")).collect()
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.endpoint.poll_event()).collect()
    }

    fn event(&mut self) -> Event {
        let [event] = <[Event; 1]>::try_from(self.events()).expect("one event");
        event
    }

    /// Time passes, all deadlines in between at their moment. What was sent, and when, in ms.
    fn pass(&mut self, span: Duration) -> Vec<(u128, Message)> {
        let (start, end) = (self.now, self.now + span);
        let mut sent = vec![];
        while let Some((due, why)) = self.endpoint.poll_timeout().filter(|&(due, _)| due <= end) {
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            let again = self.endpoint.poll_timeout().is_some_and(|(next, _)| next <= self.now);
            assert!(!again, "{why}, handled, is due again at once");
            let at = (self.now - start).as_millis();
            sent.extend(self.sent().into_iter().map(|message| (at, message)));
        }
        self.now = end;
        sent
    }

    fn invited(&mut self, from: &str, text: &str) -> LegId {
        self.feed(from, text);
        match self.events().as_slice() {
            [Event::Invited { leg, .. }] => *leg,
            other => panic!("an INVITE makes one leg: {other:?}"),
        }
    }

    /// A call from the carrier, answered and acknowledged; and our tag.
    fn established(&mut self) -> (LegId, String) {
        let leg = self.invited(CARRIER, &invite());
        self.endpoint.answer(leg, SDP.into(), self.now);
        let ok = response_in(&self.sent());
        let tag = to_tag(&ok);
        self.feed(CARRIER, &in_dialog("ACK", &tag, 1, ""));
        self.events();
        (leg, tag)
    }

    fn assert_idle_after(&mut self, span: Duration) {
        self.pass(span);
        assert!(self.endpoint.is_idle(), "{:?}", self.endpoint);
        assert_eq!(self.endpoint.legs(), 0);
    }
}

/// Stands between header lines and body in what [`request`] is given.
const BODY: &str = "|";

/// A request of the carrier; headers as most of them send.
fn request(method: &str, branch: &str, to_tag: &str, sequence: u32, extra: &str) -> String {
    let (lines, body) = extra.split_once(BODY).unwrap_or((extra, ""));
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let mut text = format!(
        "{method} sip:+5411@198.51.100.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{branch};rport\r\nMax-Forwards: 70\r\n\
         From: \"Car\" <sip:+34600@192.0.2.1>;tag=theirs\r\nTo: <sip:+5411@198.51.100.1>{tag}\r\n\
         Call-ID: call@192.0.2.1\r\nCSeq: {sequence} {method}\r\nContact: <sip:192.0.2.1:5060>\r\n"
    );
    text += lines;
    write!(text, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    text
}

fn with_sdp(lines: &str) -> String {
    format!("{lines}Content-Type: application/sdp\r\n{BODY}{SDP}")
}

fn invite() -> String {
    request("INVITE", "i1", "", 1, &with_sdp(""))
}

fn in_dialog(method: &str, to_tag: &str, sequence: u32, extra: &str) -> String {
    request(method, &format!("{method}{sequence}"), to_tag, sequence, extra)
}

fn to_tag(response: &Response) -> String {
    response.headers.to().unwrap().tag().expect("a dialog has a tag").to_owned()
}

/// The last response among what was sent.
fn response_in(sent: &[Message]) -> Response {
    let mut responses = sent.iter().filter_map(|message| match message {
        Message::Response(response) => Some(response.clone()),
        Message::Request(_) => None,
    });
    responses.next_back().unwrap_or_else(|| panic!("no response in {sent:?}"))
}

fn statuses(sent: &[Message]) -> Vec<u16> {
    let all = sent.iter().filter_map(|message| match message {
        Message::Response(response) => Some(response.status),
        Message::Request(_) => None,
    });
    all.collect()
}

fn methods(sent: &[Message]) -> Vec<String> {
    let all = sent.iter().filter_map(|message| match message {
        Message::Request(request) => Some(request.method.to_string()),
        Message::Response(_) => None,
    });
    all.collect()
}

fn request_in(sent: &[Message], method: &str) -> Request {
    let found = sent.iter().find_map(|message| match message {
        Message::Request(request) if request.method.as_str() == method => Some(request.clone()),
        Message::Request(_) | Message::Response(_) => None,
    });
    found.unwrap_or_else(|| panic!("no {method} in {sent:?}"))
}

/// What the peer says to a request of ours.
fn answer_to(request: &Request, status: u16, tag: &str, body: &str) -> String {
    let mut response = crate::wire::response_to(request, status, Some(tag));
    response.headers.push("Contact", "<sip:1003@203.0.113.7:5070>");
    if !body.is_empty() {
        response.headers.push("Content-Type", "application/sdp");
        response.body = body.into();
    }
    String::from_utf8(response.to_bytes()).unwrap()
}

// ---- two endpoints and a wire ----

/// How long a datagram takes.
const FLIGHT: Duration = Duration::from_millis(10);

/// What one side does at a moment; offsets are from the start.
#[derive(Clone, Copy, Debug)]
enum Act {
    Ring,
    Answer,
    Refuse,
    HangUp,
    Check,
}

struct World {
    ends: [Endpoint; 2],
    now: Instant,
    start: Instant,
    flight: BTreeMap<(Instant, u64), (usize, Vec<u8>)>,
    sent: u64,
    dropped: BTreeSet<u64>,
    copies: u32,
    /// What happened, for whoever reads a failure.
    ladder: String,
    events: [Vec<Event>; 2],
    legs: [BTreeSet<LegId>; 2],
}

const ENDS: [&str; 2] = ["192.0.2.1:5060", "192.0.2.2:5060"];

impl World {
    fn new(dropped: &[u64], copies: u32) -> Self {
        let start = Instant::now();
        let end = |own, seed| Endpoint::new(config(own, "192.0.2.0/24", seed));
        Self {
            ends: [end(ENDS[0], 10), end(ENDS[1], 11)],
            now: start,
            start,
            flight: BTreeMap::new(),
            sent: 0,
            dropped: dropped.iter().copied().collect(),
            copies,
            ladder: String::new(),
            events: [vec![], vec![]],
            legs: [BTreeSet::new(), BTreeSet::new()],
        }
    }

    /// End 0 calls end 1; then the script, and all the time it takes until nothing moves.
    fn run(&mut self, script: &[(u64, usize, Act)]) {
        let invite = call_to(ENDS[1], Some(TrunkId(0)));
        let leg = self.ends[0].invite(invite, self.now);
        self.legs[0].insert(leg);
        self.drain();
        for &(at_ms, end, act) in script {
            self.run_until(self.start + Duration::from_millis(at_ms));
            self.act(end, act);
        }
        self.run_until(self.start + Duration::from_secs(3600));
    }

    fn act(&mut self, end: usize, act: Act) {
        for leg in self.legs[end].clone() {
            match act {
                Act::Ring => self.ends[end].ring(leg, self.now),
                Act::Answer => self.ends[end].answer(leg, SDP.into(), self.now),
                Act::Refuse => {
                    let no = Refusal { status: 486, retry_after_seconds: None, warning: None };
                    self.ends[end].refuse(leg, no, self.now);
                }
                Act::HangUp => self.ends[end].hang_up(leg, HangUp::Normal, self.now),
                Act::Check => self.ends[end].check(leg, self.now),
            }
        }
        writeln!(self.ladder, "{:>6} {end} {act:?}", self.ms()).unwrap();
        self.drain();
    }

    fn run_until(&mut self, end: Instant) {
        loop {
            let arrival = self.flight.first_key_value().map(|(&(at, _), _)| at);
            let due = self.ends.iter().filter_map(|end| Some(end.poll_timeout()?.0)).min();
            let Some(next) = arrival.into_iter().chain(due).min().filter(|&at| at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            while let Some(entry) = self.flight.first_entry().filter(|e| e.key().0 <= self.now) {
                let (to, bytes) = entry.remove();
                self.ends[to].handle_datagram(address(ENDS[1 - to]), &bytes, self.now);
                self.drain();
            }
            for at in 0..2 {
                if self.ends[at].poll_timeout().is_some_and(|(due, _)| due <= self.now) {
                    self.ends[at].handle_timeout(self.now);
                    let again = self.ends[at].poll_timeout();
                    assert!(again.is_none_or(|(next, _)| next > self.now), "{again:?}");
                }
            }
            self.drain();
        }
    }

    fn drain(&mut self) {
        for at in 0..2 {
            while let Some(transmit) = self.ends[at].poll_transmit() {
                self.put_on_wire(at, transmit);
            }
            while let Some(event) = self.ends[at].poll_event() {
                writeln!(self.ladder, "{:>6} {at} {}", self.ms(), brief(&event)).unwrap();
                if let Event::Invited { leg, .. } = event {
                    self.legs[at].insert(leg);
                }
                self.events[at].push(event);
            }
        }
    }

    fn put_on_wire(&mut self, from: usize, transmit: Transmit) {
        let lost = self.dropped.contains(&self.sent);
        let line = String::from_utf8_lossy(&transmit.bytes);
        let line = line.lines().next().unwrap_or_default().to_owned();
        let fate = if lost { "LOST " } else { "" };
        writeln!(self.ladder, "{:>6} {from} {fate}{line} #{}", self.ms(), self.sent).unwrap();
        assert_eq!(transmit.to, address(ENDS[1 - from]), "{line}");
        if !lost {
            for copy in 0..self.copies {
                let key = (self.now + FLIGHT * (1 + copy), self.sent * 8 + u64::from(copy));
                self.flight.insert(key, (1 - from, transmit.bytes.clone()));
            }
        }
        self.sent += 1;
    }

    fn ms(&self) -> u128 {
        (self.now - self.start).as_millis()
    }

    fn ends_of(&self, end: usize) -> Vec<Cause> {
        let ended = self.events[end].iter().filter_map(|event| match event {
            Event::Ended { cause, .. } => Some(*cause),
            Event::Invited { .. }
            | Event::Ringing { .. }
            | Event::Answered { .. }
            | Event::Established { .. }
            | Event::Reoffered { .. }
            | Event::Checked { .. }
            | Event::Pressed { .. }
            | Event::Left { .. }
            | Event::Registered { .. }
            | Event::Unregistered { .. }
            | Event::Probed { .. } => None,
        });
        ended.collect()
    }

    /// Every leg said `Ended` once and last, and nothing is left anywhere.
    fn assert_over(&self) {
        for at in 0..2 {
            assert!(self.ends[at].is_idle(), "end {at} holds something\n{}", self.ladder);
            assert_eq!(self.ends[at].legs(), 0, "{}", self.ladder);
            let ends = self.ends_of(at).len();
            assert_eq!(
                ends,
                self.legs[at].len(),
                "end {at} said Ended {ends} times\n{}",
                self.ladder
            );
            let last = self.events[at].last();
            let silent = self.legs[at].is_empty() && last.is_none();
            assert!(silent || matches!(last, Some(Event::Ended { .. })), "{at}\n{}", self.ladder);
        }
    }
}

fn brief(event: &Event) -> String {
    let text = format!("{event:?}");
    text.split(['{', '(']).next().unwrap_or_default().trim().to_owned()
        + if let Event::Ended { cause, .. } = event { format!(" {cause:?}") } else { String::new() }
            .as_str()
}
