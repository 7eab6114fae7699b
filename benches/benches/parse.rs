//! Reading an INVITE: our parser against rsip's on the same bytes, with what each allocates.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use clavija_benches::{allocations, race};
use rsip::prelude::{HeadersExt, ToTypedHeader};
use sip_stack::wire::{self, Message, NameAddr, Request, Uri, Via};
use std::hint::black_box;

#[global_allocator]
static COUNTING: allocations::Counting = allocations::Counting;

/// As carriers send it, without what rsip cannot read (compact names, folding, several values in
/// a Via line, IPv6).
const INVITE: &str = "\
INVITE sip:+541155550100@198.51.100.1:5060 SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0f3a9c1d77e2;rport\r\n\
Via: SIP/2.0/UDP 192.0.2.77:5060;branch=z9hG4bK5512ab;received=192.0.2.77\r\n\
Record-Route: <sip:192.0.2.1;lr>\r\n\
Max-Forwards: 69\r\n\
From: \"Ana Gomez\" <sip:+541144440001@192.0.2.1>;tag=as6f2c81d0\r\n\
To: <sip:+541155550100@198.51.100.1>\r\n\
Contact: <sip:+541144440001@192.0.2.1:5060>\r\n\
Call-ID: 2f1d6e7049c34a75@192.0.2.1\r\n\
CSeq: 102 INVITE\r\n\
User-Agent: Carrier SBC 7.4\r\n\
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, INFO, UPDATE\r\n\
Supported: timer, replaces\r\n\
P-Asserted-Identity: <sip:+541144440001@192.0.2.1>\r\n\
Content-Type: application/sdp\r\n\
Content-Length: 222\r\n\
\r\n\
v=0\r\n\
o=- 20518 20518 IN IP4 192.0.2.1\r\n\
s=-\r\n\
c=IN IP4 192.0.2.1\r\n\
t=0 0\r\n\
m=audio 16384 RTP/AVP 8 0 101\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-15\r\n\
a=ptime:20\r\n\
a=sendrecv\r\n";

/// What a call needs of its INVITE.
struct Ours {
    uri: Uri,
    via: Via,
    from: NameAddr,
    to: NameAddr,
    contacts: Vec<NameAddr>,
    sequence: u32,
}

struct Theirs {
    via: rsip::typed::Via,
    from: rsip::typed::From,
    to: rsip::typed::To,
    contact: rsip::typed::Contact,
    cseq: rsip::typed::CSeq,
}

/// As many callers as no cache holds, each with names of its own.
const CALLERS: usize = 4_096;

fn parse_ours() -> Request {
    parse_this(INVITE.as_bytes())
}

fn parse_this(bytes: &[u8]) -> Request {
    match wire::parse(bytes) {
        Ok(Message::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

fn parse_theirs() -> rsip::Request {
    match rsip::SipMessage::try_from(INVITE.as_bytes()) {
        Ok(rsip::SipMessage::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// Our parser has judged these already; here they are also handed over.
fn fields_ours() -> (Request, Ours) {
    let request = parse_ours();
    let headers = &request.headers;
    let ours = Ours {
        uri: Uri::parse(&request.uri).expect("parsed"),
        via: headers.top_via().expect("parsed"),
        from: headers.from().expect("parsed"),
        to: headers.to().expect("parsed"),
        contacts: headers.contacts().expect("parsed"),
        sequence: headers.cseq().expect("parsed").0,
    };
    (request, ours)
}

fn fields_theirs() -> (rsip::Request, Theirs) {
    let request = parse_theirs();
    let theirs = Theirs {
        via: request.via_header().and_then(|header| header.typed()).expect("a Via"),
        from: request.from_header().and_then(|header| header.typed()).expect("a From"),
        to: request.to_header().and_then(|header| header.typed()).expect("a To"),
        contact: request.contact_header().and_then(|header| header.typed()).expect("a Contact"),
        cseq: request.cseq_header().and_then(|header| header.typed()).expect("a CSeq"),
    };
    (request, theirs)
}

/// The same INVITE from so many callers.
fn callers() -> Vec<String> {
    let told_apart = |caller| {
        let number = format!("{caller:06}");
        INVITE.replace("440001", &number).replace("7049c3", &number).replace("c1d77e", &number)
    };
    (0..CALLERS).map(told_apart).collect()
}

/// Two that read different things cannot be compared.
fn check_that_both_read_the_same() {
    let ((own, ours), (other, theirs)) = (fields_ours(), fields_theirs());
    assert_eq!(own.body, other.body);
    assert_eq!(own.headers.len(), other.headers.iter().count());
    assert_eq!(ours.uri.user(), other.uri.user());
    assert_eq!(ours.from.tag(), theirs.from.tag().map(|tag| tag.value()));
    assert_eq!(ours.to.tag().is_none(), theirs.to.tag().is_none());
    assert_eq!(ours.via.branch.as_deref(), theirs.via.branch().map(|branch| branch.value()));
    assert_eq!(ours.contacts[0].uri, theirs.contact.uri.to_string());
    assert_eq!(ours.sequence, theirs.cseq.seq);
}

fn print_allocations() {
    assert_eq!(allocations::count(|| black_box(Box::new(7))), 1, "the allocator does not count");
    println!("\nallocations for one INVITE of {} bytes", INVITE.len());
    println!("  parse           ours {:>4}", allocations::count(parse_ours));
    println!("  parse           rsip {:>4}", allocations::count(parse_theirs));
    println!("  parse + fields  ours {:>4}", allocations::count(fields_ours));
    println!("  parse + fields  rsip {:>4}\n", allocations::count(fields_theirs));
}

fn main() {
    let mut criterion = race::criterion();
    check_that_both_read_the_same();
    let callers = callers();
    let mut turns = callers.iter().cycle();
    let mut next = || turns.next().expect("a cycle has no end");
    race::Race::new("parse an INVITE")
        .add("rsip 0.4.0, its lines told apart", parse_theirs)
        .add("ours, every field judged", parse_ours)
        .add("ours, 4,096 callers in turn", || parse_this(next().as_bytes()))
        .run(&mut criterion);
    race::Race::new("parse an INVITE and take out what a call needs")
        .add("rsip 0.4.0, typed headers", fields_theirs)
        .add("ours", fields_ours)
        .run(&mut criterion);
    print_allocations();
    criterion.final_summary();
}
