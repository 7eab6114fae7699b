//! `rsip` as an oracle: where the two parsers agree, and the list of where they do not.

use super::*;
use crate::wire::{parse, torture};
use rsip::prelude::*;

/// Of the plain kind: what both are made for.
const PLAIN: [&str; 5] = [
    "INVITE sip:bob@biloxi.example.com SIP/2.0
Via: SIP/2.0/UDP pc33.atlanta.example.com:5066;branch=z9hG4bK776asdhds
Max-Forwards: 70
To: Bob <sip:bob@biloxi.example.com>
From: Alice <sip:alice@atlanta.example.com>;tag=1928301774
Call-ID: a84b4c76e66710@pc33.atlanta.example.com
CSeq: 314159 INVITE
Contact: <sip:alice@pc33.atlanta.example.com>
Content-Type: application/sdp
Content-Length: {len}

v=0
o=- 1 1 IN IP4 192.0.2.1
",
    "REGISTER sip:registrar.example.com SIP/2.0
Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bKnashds7
Max-Forwards: 70
To: <sip:1001@example.com>
From: <sip:1001@example.com>;tag=456248
Call-ID: 843817637684230@998sdasdh09
CSeq: 1826 REGISTER
Contact: <sip:1001@192.0.2.4>;expires=60
Expires: 7200
Content-Length: 0
",
    "SIP/2.0 200 OK
Via: SIP/2.0/UDP server10.example.com;branch=z9hG4bK4b43c2ff8.1
Via: SIP/2.0/UDP pc33.example.com;branch=z9hG4bK776asdhds
To: <sip:bob@biloxi.example.com>;tag=a6c85cf
From: <sip:alice@atlanta.example.com>;tag=1928301774
Call-ID: a84b4c76e66710
CSeq: 314159 INVITE
Contact: <sip:bob@192.0.2.4>
Content-Length: 0
",
    "SIP/2.0 486 Busy Here
Via: SIP/2.0/UDP 192.0.2.4:5060;branch=z9hG4bK1
To: <sip:bob@biloxi.example.com>;tag=a
From: <sip:alice@atlanta.example.com>;tag=b
Call-ID: c
CSeq: 1 INVITE
Retry-After: 5
Content-Length: 0
",
    "BYE sip:alice@192.0.2.3:5070 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.4;branch=z9hG4bKnashds10
Max-Forwards: 69
From: <sip:bob@biloxi.example.com>;tag=a6c85cf
To: <sip:alice@atlanta.example.com>;tag=1928301774
Call-ID: a84b4c76e66710
CSeq: 231 BYE
Content-Length: 0
",
];

#[test]
fn plain_messages_are_the_same_to_both_parsers() {
    for text in PLAIN {
        let bytes = torture::message(text);
        let ours = parse(&bytes).expect(text);
        let theirs = rsip::SipMessage::try_from(bytes.as_slice()).expect(text);
        assert!(agree(&ours, theirs.clone()), "{ours:?}\n{theirs:?}");
    }
}

#[test]
fn fields_of_plain_messages_are_the_same_to_both_parsers() {
    for text in PLAIN {
        let bytes = torture::message(text);
        let theirs = rsip::SipMessage::try_from(bytes.as_slice()).expect(text);
        let headers = match parse(&bytes).expect(text) {
            Message::Request(request) => request.headers,
            Message::Response(response) => response.headers,
        };

        let (sequence, method) = headers.cseq().unwrap();
        let cseq = theirs.cseq_header().unwrap().typed().unwrap();
        assert_eq!((sequence, method), (cseq.seq, cseq.method.into()));
        let via = theirs.via_header().unwrap().typed().unwrap();
        let branch = via.branch().map(ToString::to_string);
        assert_eq!(headers.top_via().unwrap().branch, branch);
        let from = theirs.from_header().unwrap().typed().unwrap();
        let ours = headers.from().unwrap();
        assert_eq!(ours.tag(), from.tag().map(|tag| tag.value()));
        assert_eq!((ours.uri, ours.display), (from.uri.to_string(), from.display_name));
    }
}

#[test]
fn conversions_of_plain_messages_lose_nothing() {
    for text in PLAIN {
        match parse(&torture::message(text)).expect(text) {
            Message::Request(request) => {
                let theirs = rsip::Request::try_from(&request).expect(text);
                assert_eq!(Request::from(theirs), request);
            }
            Message::Response(response) => {
                let theirs = rsip::Response::try_from(&response).expect(text);
                assert_eq!(Response::from(theirs), response);
            }
        }
    }
}

/// The same message, and `rsip` finds the headers in it that every message has.
fn agree(ours: &Message, theirs: rsip::SipMessage) -> bool {
    theirs.call_id_header().is_ok() && theirs.to_header().is_ok() && *ours == theirs.into()
}

/// Where the two differ, and the reason why `rsip` reads nothing that comes from the network.
/// A line that starts to agree fails here, and leaves the list.
#[test]
fn known_disagreements_are_exactly_these() {
    let plain = PLAIN[1];
    let to = "To: <sip:1001@example.com>";
    for (what, text) in [
        ("compact names", plain.replace("Call-ID:", "i:")),
        ("folding", plain.replace(to, "To:\n <sip:1001@example.com>")),
        ("a blank before the colon", plain.replace("To:", "To :")),
        ("IPv6 hosts", plain.replacen("registrar.example.com", "[2001:db8::1]", 1)),
        ("tel URIs", plain.replacen("sip:registrar.example.com", "tel:+5411", 1)),
        ("unknown methods", plain.replace("REGISTER", "NEWMETHOD")),
        ("case of a value", plain.replacen(".com SIP", ".com;transport=udp SIP", 1)),
        ("bytes behind the body", format!("{plain}\nx")),
        ("leading line ends", format!("\n{plain}")),
    ] {
        let bytes = match text.strip_prefix('\n') {
            Some(text) => [b"\r\n", torture::message(text).as_slice()].concat(),
            None => torture::message(&text),
        };
        let ours = parse(&bytes).expect(what);
        let theirs = rsip::SipMessage::try_from(bytes.as_slice());
        assert!(!theirs.is_ok_and(|theirs| agree(&ours, theirs)), "{what}");
    }
    for (what, text) in [
        ("no To", plain.replace(to, "X: y")),
        ("methods that differ", plain.replace("1826 REGISTER", "1826 INVITE")),
        ("a sequence number that is none", plain.replace("1826 REGISTER", "x REGISTER")),
        ("a body that is not there", plain.replace("Content-Length: 0", "Content-Length: 9")),
    ] {
        let bytes = torture::message(&text);
        assert!(parse(&bytes).is_err(), "{what}");
        assert!(rsip::SipMessage::try_from(bytes.as_slice()).is_ok(), "{what}");
    }
}

#[test]
fn every_method_of_the_vocabulary_is_known_by_its_name() {
    for method in rsip::Method::all() {
        let ours = Method::from(method);
        assert_eq!(ours.as_str(), method.to_string());
        assert_eq!(known_method(ours.as_str()), Some(ours.clone()));
        assert_eq!(known_method(&ours.as_str().to_lowercase()), None);
    }
    assert_eq!(known_method(" BYE"), None);
}

#[test]
fn reason_phrases_are_spelled_as_the_rfc_does() {
    for (status, phrase) in [
        (100, "Trying"),
        (180, "Ringing"),
        (183, "Session Progress"),
        (200, "OK"),
        (202, "OK"),
        (302, "Moved Temporarily"),
        (405, "Method Not Allowed"),
        (407, "Proxy Authentication Required"),
        (408, "Request Timeout"),
        (413, "Request Entity Too Large"),
        (420, "Bad Extension"),
        (481, "Call/Transaction Does Not Exist"),
        (486, "Busy Here"),
        (487, "Request Terminated"),
        (488, "Not Acceptable Here"),
        (491, "Request Pending"),
        (499, "Bad Request"),
        (503, "Service Unavailable"),
        (504, "Server Time-out"),
        (505, "Version Not Supported"),
        (513, "Message Too Large"),
        (603, "Decline"),
        (606, "Not Acceptable"),
    ] {
        assert_eq!(reason_phrase(status), phrase);
    }
}
