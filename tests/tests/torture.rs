//! RFC 4475, RFC 5118 and the field: every message of the corpus through the parser, through a whole
//! endpoint and at the real binary.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_tests::{
    appliance::Appliance,
    party::loopback,
    torture::{Answer, Case, Grammar, cases},
    wait,
};
use sip_stack::{
    Config, Endpoint, Event, Limits, Refusal, Secret, Trunk, User,
    wire::{Message, parse},
};
use std::{
    collections::BTreeMap,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

const CARRIER: ([u8; 4], u16) = ([192, 0, 2, 1], 5060);
const STRANGER: ([u8; 4], u16) = ([100, 64, 0, 1], 5060);
const T1_64: Duration = Duration::from_secs(32);

const PROBE: &str = "OPTIONS sip:clavija.test SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKprobe@;rport\r\nMax-Forwards: 70\r\n\
    From: <sip:probe@carrier.example>;tag=p\r\nTo: <sip:clavija.test>\r\n\
    Call-ID: probe-@@carrier.example\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";

fn count(cases: &[Case], grammar: Grammar, good: impl Fn(&Case) -> bool) -> (usize, usize) {
    let all: Vec<_> = cases.iter().filter(|case| case.grammar == grammar).collect();
    (all.iter().filter(|case| good(case)).count(), all.len())
}

#[test]
fn every_valid_message_is_read_and_every_invalid_one_is_caught() {
    let cases = cases();
    let read = |case: &Case| parse(&case.bytes).is_ok();
    for case in &cases {
        let expected = match case.grammar {
            Grammar::Valid | Grammar::Valid6 => true,
            Grammar::Invalid | Grammar::Invalid6 => false,
            // Some of these another parser would read and leave to the layer above: either will do.
            Grammar::Readable => read(case),
        };
        assert_eq!(read(case), expected, "{} ({}): {:?}", case.name, case.why, parse(&case.bytes));
    }

    assert_eq!(count(&cases, Grammar::Valid, read), (28, 28));
    assert_eq!(count(&cases, Grammar::Invalid, |case| !read(case)), (22, 22));
    assert_eq!(count(&cases, Grammar::Valid6, read), (11, 11));
    assert_eq!(count(&cases, Grammar::Invalid6, |case| !read(case)), (1, 1));
    let of = |rfc: &str| cases.iter().filter(|case| case.section.starts_with(rfc)).count();
    assert_eq!((of("RFC 4475"), of("RFC 5118"), of("field")), (49, 12, 19));
}

#[test]
fn what_must_be_read_is_read_or_refused_with_a_name() {
    for case in cases().iter().filter(|case| case.grammar == Grammar::Readable) {
        let refused = match parse(&case.bytes) {
            Ok(_) => None,
            Err(malformed) => malformed.answer().map(|answer| answer.status),
        };
        let named = refused.is_none_or(|status| case.standard.contains(&Answer::Status(status)));
        assert!(named, "{}: {refused:?}", case.name);
    }
}

fn endpoint() -> Endpoint {
    let local = SocketAddr::from(([198, 51, 100, 1], 5060));
    Endpoint::new(Config {
        local,
        advertise: local,
        advertise_tcp: local,
        networks: vec![],
        domain: "clavija.test".into(),
        user_agent: "Clavija/test".into(),
        trunks: vec![Trunk {
            peers: vec!["192.0.2.0/24".parse().unwrap()],
            calls_max: 4,
            ..Trunk::named("carrier")
        }],
        users: vec![User {
            name: "1001".into(),
            password: Some(Secret::new("secret")),
            contact: None,
        }],
        first_leg: 1,
        seed: [1; 32],
        limits: Limits::STANDARD,
    })
}

/// What the message gets from a fresh endpoint, and what is left of it in the end.
fn got(case: &Case, from: ([u8; 4], u16)) -> Answer {
    let mut now = Instant::now();
    let mut endpoint = endpoint();
    let from = SocketAddr::from(from);
    endpoint.handle_datagram(from, &case.bytes, now);
    let mut call = false;
    while let Some(event) = endpoint.poll_event() {
        if let Event::Invited { leg, .. } = event {
            call = true;
            let busy = Refusal { status: 486, retry_after_seconds: None, warning: None };
            endpoint.refuse(leg, busy, now);
        }
    }
    let answers = finals(&mut endpoint, &case.name);
    // Nobody acknowledges: it must be over all the same.
    let end = now + T1_64 + T1_64 + Duration::from_secs(10);
    while let Some((due, _)) = endpoint.poll_timeout().filter(|&(due, _)| due <= end) {
        now = due;
        endpoint.handle_timeout(now);
        finals(&mut endpoint, &case.name);
    }
    assert!(endpoint.is_idle(), "{} leaves something behind", case.name);
    assert_probe(&mut endpoint, end, &case.name);
    match answers[..] {
        _ if call => Answer::Call,
        [] => Answer::Silence,
        [status] => Answer::Status(status),
        _ => panic!("{} got {answers:?}", case.name),
    }
}

/// The final answers it has to send; all it sends can be read.
fn finals(endpoint: &mut Endpoint, name: &str) -> Vec<u16> {
    let sent = std::iter::from_fn(|| endpoint.poll_transmit());
    let read = sent.map(|sent| match parse(&sent.bytes) {
        Ok(Message::Response(response)) => response.status,
        other => panic!("{name}: {other:?} was sent"),
    });
    read.filter(|&status| status >= 200).collect()
}

fn assert_probe(endpoint: &mut Endpoint, now: Instant, name: &str) {
    endpoint.handle_datagram(CARRIER.into(), PROBE.as_bytes(), now);
    assert_eq!(finals(endpoint, name), [200], "after {name}");
}

#[test]
fn every_message_gets_its_answer_from_a_whole_endpoint_and_leaves_nothing_behind() {
    let cases = cases();
    let (mut named, mut exact) = (0, 0);
    for case in &cases {
        let answer = got(case, CARRIER);
        assert_eq!(answer, case.answer, "{}, {}: {}", case.name, case.section, case.why);
        named += usize::from(!case.standard.is_empty());
        exact += usize::from(case.standard.contains(&answer));
    }

    assert!(named >= 35, "{named} cases name an answer");
    assert!(exact * 100 >= named * 90, "{exact} of {named} get what their standard names");
}

#[test]
fn a_stranger_gets_a_challenge_to_a_register_and_silence_for_everything_else() {
    for case in cases() {
        let register = case.bytes.starts_with(b"REGISTER ") && parse(&case.bytes).is_ok();
        let expected = if register { Answer::Status(401) } else { Answer::Silence };
        assert_eq!(got(&case, STRANGER), expected, "{}", case.name);
    }
}

const SITE: &str = r#"
schema = "clavija/v1"

[[trunk]]
name = "carrier"
peers = ["127.0.0.41"]
calls_max = 100

[[agent]]
name = "ana"
extension = "1001"
contact = "sip:1001@127.0.0.42:5062"

[[team]]
name = "support"
agents = ["ana"]
channels = ["sip"]
strategy = "longest-idle"
ring_seconds = 5

[[number]]
number = "+541155550100"
team = "support"
"#;

/// Everything twice, all of it without waiting, from the trunk and from a stranger; then a call.
#[test]
fn the_binary_takes_the_whole_set_and_the_next_call_as_if_nothing_had_been() {
    let appliance = Appliance::on_site(SITE, "13000-13099");
    let carrier = UdpSocket::bind(loopback(41, 5060)).unwrap();
    let stranger = UdpSocket::bind(loopback(43, 5060)).unwrap();
    let cases = cases();
    for case in cases.iter().chain(&cases) {
        carrier.send_to(&case.bytes, appliance.sip()).unwrap();
        stranger.send_to(&case.bytes, appliance.sip()).unwrap();
    }

    let mut caller = Caller { socket: carrier, to: appliance.sip() };
    caller.options();
    caller.call("+541155550100");

    wait::until("every call of the set to be over", || {
        appliance.items("calls?state=active").is_empty().then_some(())
    });
    let strangers = cases.iter().filter(|case| !case.bytes.starts_with(b"REGISTER ")).count() * 2;
    wait::until("the refused ones to be counted", || {
        let metrics = appliance.metrics();
        let errors = metrics.sum("clavija_sip_parse_errors_total", &[]);
        let silent = metrics.sum("clavija_sip_rejected_total", &[("reason", "unknown_source")]);
        (errors >= 44.0 && silent >= f64::from(u32::try_from(strangers).unwrap())).then_some(())
    });
    assert_eq!(appliance.metrics().sum("clavija_panics_total", &[]), 0.0);
    appliance.stop();
}

/// A carrier made of text.
struct Caller {
    socket: UdpSocket,
    to: SocketAddr,
}

impl Caller {
    fn options(&mut self) {
        let request = PROBE.replace('@', "1").replace("192.0.2.1:5060", "127.0.0.41:5060");
        self.ask("CSeq: 1 OPTIONS", &request, 200);
    }

    /// INVITE, 200, ACK, BYE, 200.
    fn call(&mut self, number: &str) {
        let head = |method: &str, branch: u8, sequence: u8, tag: &str| {
            format!(
                "{method} sip:{number}@clavija.test SIP/2.0\r\n\
                 Via: SIP/2.0/UDP 127.0.0.41:5060;branch=z9hG4bKcall{branch};rport\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:+5411@carrier.example>;tag=c\r\n\
                 To: <sip:{number}@clavija.test>{tag}\r\nCall-ID: probe-call@carrier.example\r\n\
                 CSeq: {sequence} {method}\r\nContact: <sip:+5411@127.0.0.41:5060>\r\n"
            )
        };
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.41\r\ns=-\r\nc=IN IP4 127.0.0.41\r\nt=0 0\r\n\
                   m=audio 41000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n";
        let length = sdp.len();
        let invite = head("INVITE", 1, 1, "")
            + &format!("Content-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{sdp}");
        let ok = self.ask("Call-ID: probe-call@", &invite, 200);
        let tag = ok.lines().find_map(|line| line.strip_prefix("To: ")?.split_once(";tag="));
        let tag = format!(";tag={}", tag.expect("a 200 has a tag").1);
        let end = "Content-Length: 0\r\n\r\n";
        let ack = head("ACK", 2, 1, &tag) + end;
        self.socket.send_to(ack.as_bytes(), self.to).unwrap();
        let bye = head("BYE", 3, 2, &tag) + end;
        self.ask("CSeq: 2 BYE", &bye, 200);
    }

    /// Asks until the answer comes; what else comes belongs to the set.
    fn ask(&mut self, sign: &str, request: &str, status: u16) -> String {
        self.socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut others = BTreeMap::<String, u32>::new();
        let answer = wait::within(wait::PATIENCE, || {
            self.socket.send_to(request.as_bytes(), self.to).unwrap();
            let mut buffer = [0; 65_535];
            while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                let first = text.lines().next().unwrap_or_default().to_owned();
                if text.contains(sign) && first.starts_with(&format!("SIP/2.0 {status}")) {
                    return Some(text);
                }
                *others.entry(first).or_default() += 1;
            }
            None
        });
        answer.unwrap_or_else(|| panic!("no {status} with {sign}, only {others:?}"))
    }
}
