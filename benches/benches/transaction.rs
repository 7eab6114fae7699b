//! A whole inbound call through the endpoint, against reading and writing its messages alone.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use clavija_benches::{
    allocations,
    race::{self, Race},
};
use sip_stack::{
    Config, Endpoint, Event, LegId, Limits, Trunk,
    wire::{Message, Response, parse},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// Stands where the number of the call is written, eight digits.
const NUMBER: &str = "########";

/// Stands where the endpoint's tag is written, as long as that is.
const TAG: &str = "????????????????";

/// Between two calls: a hundred a second. What ends lingers for 32 s, so some 3,200 calls' worth
/// of transactions are there at any time, as they would be on a busy box.
const GAP: Duration = Duration::from_millis(10);

/// A message with places to fill in.
struct Form {
    bytes: Vec<u8>,
    numbers: Vec<usize>,
    tags: Vec<usize>,
}

impl Form {
    fn new(text: String) -> Self {
        let places = |word| text.match_indices(word).map(|(place, _)| place).collect();
        Self { numbers: places(NUMBER), tags: places(TAG), bytes: text.into() }
    }

    fn fill(&mut self, number: &[u8; NUMBER.len()], tag: &[u8; TAG.len()]) -> &[u8] {
        for &place in &self.numbers {
            self.bytes[place..place + NUMBER.len()].copy_from_slice(number);
        }
        for &place in &self.tags {
            self.bytes[place..place + TAG.len()].copy_from_slice(tag);
        }
        &self.bytes
    }
}

/// A request as carriers send it.
fn request(method: &str, tag: &str, sequence: u32, body: &str) -> Form {
    let sdp = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    Form::new(format!(
        "{method} sip:+541155550100@198.51.100.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{method}{NUMBER};rport\r\n\
         Max-Forwards: 70\r\n\
         From: \"Ana\" <sip:+541144440001@192.0.2.1>;tag=theirs{NUMBER}\r\n\
         To: <sip:+541155550100@198.51.100.1>{tag}\r\n\
         Call-ID: {NUMBER}@192.0.2.1\r\n\
         CSeq: {sequence} {method}\r\n\
         Contact: <sip:192.0.2.1:5060>\r\n\
         User-Agent: Carrier SBC 7.4\r\n{sdp}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A carrier that calls again and again, and the endpoint it calls.
struct Bench {
    endpoint: Endpoint,
    carrier: SocketAddr,
    now: Instant,
    calls: u32,
    invite: Form,
    ack: Form,
    bye: Form,
    /// What the endpoint said in the last call.
    sent: Vec<Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let address = |text: &str| text.parse().expect("written here");
        let tagged = format!(";tag={TAG}");
        Self {
            endpoint: Endpoint::new(Config {
                local: address("198.51.100.1:5060"),
                advertise: address("198.51.100.1:5060"),
                advertise_tcp: address("198.51.100.1:5060"),
                networks: vec![],
                domain: "clavija.test".to_owned(),
                user_agent: "Clavija/bench".to_owned(),
                trunks: vec![Trunk {
                    peers: vec!["192.0.2.0/24".parse().expect("written here")],
                    calls_max: 100,
                    ..Trunk::named("carrier")
                }],
                users: Vec::new(),
                first_leg: 1,
                seed: [7; 32],
                limits: Limits::STANDARD,
            }),
            carrier: address("192.0.2.1:5060"),
            now: Instant::now(),
            calls: 0,
            invite: request("INVITE", "", 1, SDP),
            ack: request("ACK", &tagged, 1, ""),
            bye: request("BYE", &tagged, 2, ""),
            sent: Vec::with_capacity(4),
        }
    }

    /// INVITE, 100, 180, 200, ACK, BYE, 200; then the time until the next caller.
    fn call(&mut self) {
        self.sent.clear();
        let number = eight_digits(self.calls);
        self.calls += 1;
        self.endpoint.handle_datagram(
            self.carrier,
            self.invite.fill(&number, &[0; TAG.len()]),
            self.now,
        );
        let leg = self.invited();
        self.collect();
        self.endpoint.ring(leg, self.now);
        self.collect();
        self.endpoint.answer(leg, SDP.into(), self.now);
        self.collect();
        let tag = our_tag(&self.sent[1]);
        self.endpoint.handle_datagram(self.carrier, self.ack.fill(&number, &tag), self.now);
        self.endpoint.handle_datagram(self.carrier, self.bye.fill(&number, &tag), self.now);
        self.collect();
        self.finish();
        self.now += GAP;
        while self.endpoint.poll_timeout().is_some_and(|(due, _)| due <= self.now) {
            self.endpoint.handle_timeout(self.now);
        }
    }

    fn invited(&mut self) -> LegId {
        match self.endpoint.poll_event() {
            Some(Event::Invited { leg, .. }) => leg,
            other => panic!("a call, not {other:?}"),
        }
    }

    fn finish(&mut self) {
        assert!(matches!(self.endpoint.poll_event(), Some(Event::Established { .. })));
        assert!(matches!(self.endpoint.poll_event(), Some(Event::Ended { .. })));
        assert_eq!(self.sent.len(), 4, "100, 180, 200 and the 200 to the BYE");
    }

    fn collect(&mut self) {
        self.sent.extend(std::iter::from_fn(|| self.endpoint.poll_transmit()).map(|out| out.bytes));
    }
}

/// The same messages without anybody who understands them.
struct Bytes {
    received: Vec<Vec<u8>>,
    sent: Vec<Response>,
}

impl Bytes {
    fn of(bench: &mut Bench) -> Self {
        bench.call();
        let sent = bench.sent.iter().map(|bytes| match parse(bytes) {
            Ok(Message::Response(response)) => response,
            other => panic!("a response, not {other:?}"),
        });
        let received = [&bench.invite, &bench.ack, &bench.bye].map(|form| form.bytes.clone());
        Self { received: received.into(), sent: sent.collect() }
    }

    fn read_and_write(&self) -> usize {
        let read = self.received.iter().filter(|bytes| parse(bytes).is_ok()).count();
        let written: usize = self.sent.iter().map(|response| response.to_bytes().len()).sum();
        assert_eq!(read, 3);
        written
    }
}

fn eight_digits(number: u32) -> [u8; NUMBER.len()] {
    let mut left = number;
    let mut digits = [b'0'; NUMBER.len()];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(left % 10).expect("a digit");
        left /= 10;
    }
    digits
}

/// The tag behind To, as the carrier would learn it.
fn our_tag(ringing: &[u8]) -> [u8; TAG.len()] {
    let to = ringing.windows(6).position(|word| word == b"\r\nTo: ").expect("a To");
    let line = ringing[to + 2..].split(|byte| *byte == b'\r').next().expect("a line");
    let tag = line.last_chunk().expect("a tag");
    assert_eq!(&line[line.len() - TAG.len() - 5..line.len() - TAG.len()], b";tag=");
    *tag
}

fn main() {
    let mut criterion = race::criterion();
    let mut bench = Bench::new();
    let bytes = Bytes::of(&mut bench);
    // Until what lingers is as much as it ever is.
    (0..4_000).for_each(|_| bench.call());
    let whole = allocations::count(|| bench.call());
    let floor = allocations::count(|| bytes.read_and_write());
    Race::new("set up and tear down an inbound call")
        .add("its messages read and written, no state", || bytes.read_and_write())
        .add("the whole call through the endpoint", || bench.call())
        .run(&mut criterion);
    println!("allocations for a call: {whole}, of which its messages alone {floor}\n");
    criterion.final_summary();
}
