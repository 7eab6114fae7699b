//! Streams cut anywhere, joined, lying about their lengths, and endless.

use super::*;

const MAX: usize = 4096;

fn message(method: &str, length: &str, body: &str) -> String {
    format!("{method} sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP c;branch=z9hG4bK1\r\n{length}\r\n{body}")
}

fn options() -> String {
    message("OPTIONS", "Content-Length: 0\r\n", "")
}

fn invite() -> String {
    message("INVITE", "l :  4\r\n", "v=0\r")
}

fn pieces(framer: &mut Framer) -> Vec<Piece> {
    std::iter::from_fn(|| framer.next()).collect()
}

fn cut(bytes: &[u8]) -> Vec<Piece> {
    let mut framer = Framer::new(MAX);
    framer.push(bytes);
    pieces(&mut framer)
}

fn whole(text: &str) -> Piece {
    Piece::Message(text.into())
}

fn fault(bytes: &str) -> Fault {
    match cut(bytes.as_bytes()).as_slice() {
        [Piece::Broken { fault, .. }] => *fault,
        other => panic!("{bytes:?} gave {other:?}"),
    }
}

#[test]
fn a_stream_gives_the_same_pieces_wherever_it_is_cut() {
    let stream = format!("\r\n\r\n{}{}\r\n{}\r\n\r\n", options(), invite(), options());
    let expected =
        [Piece::Ping, whole(&options()), whole(&invite()), whole(&options()), Piece::Ping];
    assert_eq!(cut(stream.as_bytes()), expected);

    for at in 0..=stream.len() {
        let (first, second) = stream.as_bytes().split_at(at);
        let mut framer = Framer::new(MAX);
        framer.push(first);
        let mut got = pieces(&mut framer);
        framer.push(second);
        got.extend(pieces(&mut framer));
        assert_eq!(got, expected, "cut at {at}");
    }
    let mut framer = Framer::new(MAX);
    let mut got = vec![];
    for byte in stream.bytes() {
        framer.push(&[byte]);
        got.extend(pieces(&mut framer));
    }
    assert_eq!(got, expected, "byte by byte");
}

#[test]
fn one_line_end_between_messages_is_nothing_and_two_are_a_ping() {
    assert_eq!(cut(b"\r\n"), []);
    assert_eq!(cut(b"\r\n\r\n\r\n\r\n\r\n"), [Piece::Ping, Piece::Ping]);
    assert_eq!(cut(format!("\r\n{}", options()).as_bytes()), [whole(&options())]);
}

#[test]
fn a_length_that_is_missing_or_no_number_breaks_the_stream() {
    for length in [
        "",
        "Content-Length: -1\r\n",
        "Content-Length: +4\r\n",
        "Content-Length: 4 4\r\n",
        "Content-Length: 4, 4\r\n",
        "Content-Length: \r\n",
        "Content-Length: 0x4\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length: 4\r\nl: 5\r\n",
        "Content-Length: \r\n\t-4\r\n",
    ] {
        let text = message("INVITE", length, "v=0\r");
        assert_eq!(fault(&text), Fault::ContentLength, "{length:?}");
    }
}

#[test]
fn a_length_may_be_folded_short_or_said_twice_the_same() {
    for length in [
        "Content-Length:\r\n 4\r\n",
        "L:4\r\n",
        "Content-Length: 4\r\nl: 4\r\n",
        "cONTENT-lENGTH\t: 04\r\n",
    ] {
        let text = message("INVITE", length, "v=0\r");
        assert_eq!(cut(text.as_bytes()), [whole(&text)], "{length:?}");
    }
}

#[test]
fn what_is_too_long_is_refused_with_its_header_before_the_body_is_held() {
    let text = message("INVITE", "Content-Length: 4050\r\n", "");
    assert_eq!(
        cut(text.as_bytes()),
        [Piece::Broken { fault: Fault::MessageSize, head: Some(text.clone().into()) }]
    );
    let largest = message("INVITE", &format!("Content-Length: {}\r\n", usize::MAX), "");
    assert_eq!(fault(&largest), Fault::MessageSize);
}

#[test]
fn a_header_without_end_is_broken_at_the_bound_and_nothing_of_it_is_kept() {
    let mut framer = Framer::new(MAX);
    framer.push(b"INVITE sip:a@b SIP/2.0\r\n");
    let mut lines = 0;
    let broken = loop {
        framer.push(b"X-Endless: and on and on\r\n");
        lines += 1;
        if let Some(piece) = framer.next() {
            break piece;
        }
        assert!(lines < MAX, "never refused");
    };

    assert_eq!(broken, Piece::Broken { fault: Fault::HeaderSize, head: None });
    framer.push(options().as_bytes());
    assert_eq!(framer.next(), None);
    assert!(framer.buffer.is_empty());
}

#[test]
fn another_protocol_is_known_by_its_first_line() {
    assert_eq!(fault("GET / HTTP/1.1\r\nHost: x\r\n"), Fault::NotSip);
    assert_eq!(fault("\u{16}\u{3}\u{1}\u{2}\r\n"), Fault::NotSip);
    assert_eq!(fault("\r\nv=0\r\n"), Fault::NotSip);
}

#[test]
fn a_message_has_begun_with_its_first_byte_and_not_with_a_line_end() {
    let mut framer = Framer::new(MAX);
    framer.push(b"\r\n");
    assert_eq!((framer.next(), framer.is_within_message()), (None, false));
    framer.push(b"\r");
    assert_eq!((framer.next(), framer.is_within_message()), (None, false));
    framer.push(b"\nO");
    assert_eq!((framer.next(), framer.next()), (Some(Piece::Ping), None));
    assert!(framer.is_within_message());
}

#[test]
fn a_body_is_not_searched_for_the_end_of_a_header() {
    let text = message("INVITE", "Content-Length: 9\r\n", "a\r\n\r\nb\r\n\r");
    let stream = format!("{text}{}", options());

    assert_eq!(cut(stream.as_bytes()), [whole(&text), whole(&options())]);
}

#[test]
fn any_bytes_in_any_portions_end_in_pieces_and_never_hold_more_than_allowed() {
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut roll = |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % sides
    };
    let alphabet: [&[u8]; 9] =
        [b"\r\n", b"\r", b"\n", b"SIP/2.0", b"Content-Length: 3", b":", b" ", b"\0\xff", b"l:1"];
    for _ in 0..2_000 {
        let mut framer = Framer::new(64);
        for _ in 0..roll(60) {
            framer.push(alphabet[roll(alphabet.len())]);
            while framer.next().is_some() {}
            assert!(framer.buffer.len() <= 64 + 17);
        }
    }
}
