//! The fields of odd messages, line by line. The whole messages of RFC 4475 and RFC 5118 stand in
//! `tests/corpus/torture` and are held there to their answers; here is what is read out of them.

use super::*;

/// Lines to a message: CRLF line ends, `{len}` is the length of what follows the empty line.
pub(super) fn message(text: &str) -> Vec<u8> {
    let whole = text.trim_end_matches('\n');
    let (head, body) = text.split_once("\n\n").unwrap_or((whole, ""));
    let body = body.replace('\n', "\r\n");
    let head = head.replace("{len}", &body.len().to_string()).replace('\n', "\r\n");
    [head.as_bytes(), b"\r\n\r\n", body.as_bytes()].concat()
}

fn request(text: &str) -> Request {
    match parse(&message(text)) {
        Ok(Message::Request(request)) => request,
        other => panic!("not a request: {other:?}\n{text}"),
    }
}

fn refused(text: &str) -> (&'static str, Option<u16>) {
    let malformed = parse(&message(text)).expect_err(text);
    (malformed.reason(), malformed.answer().map(|answer| answer.status))
}

/// A request with these lines in place of those of the same name.
fn options(replaced: &str) -> String {
    let mut text = "OPTIONS sip:user@example.com SIP/2.0\n".to_owned();
    for line in [
        "Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdj.1",
        "To: <sip:user@example.com>",
        "From: <sip:caller@example.org>;tag=323",
        "Call-ID: torture.1@example.org",
        "CSeq: 60 OPTIONS",
        "Max-Forwards: 70",
    ] {
        let name = line.split(':').next().unwrap();
        if !replaced.lines().any(|other| other.split(':').next() == Some(name)) {
            text.push_str(line);
            text.push('\n');
        }
    }
    let last = if replaced.is_empty() { "" } else { "\n" };
    text + replaced + last + "Content-Length: 0\n\n"
}

/// RFC 4475 §3.1.1.1.
const TORTUOUS: &[u8] = include_bytes!("../../../tests/corpus/torture/wsinv.sip");

fn whole(bytes: &[u8]) -> Request {
    match parse(bytes) {
        Ok(Message::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

#[test]
fn a_short_tortuous_invite_is_read_field_by_field() {
    let invite = whole(TORTUOUS);
    let headers = &invite.headers;

    assert_eq!(invite.method, Method::Invite);
    assert_eq!((invite.body.len(), invite.body.get(..5)), (150, Some(&b"v=0\r\n"[..])));
    assert_eq!(headers.to().unwrap().tag(), Some("1918181833n"));
    let from = headers.from().unwrap();
    assert_eq!(from.display.as_deref(), Some(r#"J Rosenberg \""#));
    assert_eq!((from.uri.as_str(), from.tag()), ("sip:jdrosen@example.com", Some("98asjd8")));
    assert_eq!(headers.max_forwards(), Ok(Some(68)));
    assert_eq!(headers.cseq(), Ok((9, Method::Invite)));
    assert_eq!(headers.get("Subject"), Some(&b""[..]));
    assert_eq!(
        headers.text("newfangledheader"),
        Some("newfangled value continued newfangled value")
    );
    assert_eq!(headers.list("Via").len(), 3);
    let via = headers.top_via().unwrap();
    assert_eq!((via.host.as_str(), via.branch.as_deref()), ("192.0.2.2", Some("390skdjuw")));
    assert_eq!(via.rport, None);
    let contact = &headers.contacts().unwrap()[0];
    assert_eq!(contact.display.as_deref(), Some(r#"Quoted string """#));
    assert_eq!(contact.param("newparam"), Some(Some("newvalue")));
    assert_eq!(contact.param("secondparam"), Some(None));
    assert!(
        Uri::parse(&NameAddr::parse(headers.list("Route")[0]).unwrap().uri)
            .unwrap()
            .is_loose_route()
    );
}

/// RFC 4475 §3.1.1.2.
const WIDE: &[u8] = include_bytes!("../../../tests/corpus/torture/intmeth.sip");

#[test]
fn every_character_that_is_legal_somewhere_is_taken_there() {
    let odd = whole(WIDE);

    let uri = Uri::parse(&odd.uri).unwrap();
    assert_eq!(uri.user(), Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"));
    assert_eq!((uri.host.as_str(), uri.to_string()), ("example.com", odd.uri.clone()));
    assert_eq!(odd.method.label(), "OTHER");
    let to = odd.headers.to().unwrap();
    assert_eq!(to.display.as_deref(), Some("BEL: NUL: DEL:"));
    let from = odd.headers.from().unwrap();
    assert_eq!(from.tag(), Some("_token~1'+`*%!-."));
    assert_eq!(from.param("fromParam''~+*_!.-%"), Some(Some("работающий")));
    assert_eq!(odd.headers.text("extensionHeader-!.%*+_`'~"), Some("\u{feff}大停電"));
}

#[test]
fn a_quoted_nul_leaves_as_it_came() {
    let answer = response_to(&whole(WIDE), 501, Some("x")).to_bytes();

    assert!(answer.windows(6).any(|bytes| bytes == b"NUL:\\\0"));
}

#[test]
fn odd_but_legal_lines_are_accepted() {
    for line in [
        // §3.1.1.10: no blank between display name and bracket.
        "From: caller<sip:caller@example.org>;tag=323",
        // §3.1.1.6: a NUL, escaped.
        "To: sip:null-%00-null@example.com",
        "Contact: <sip:%00@host5.example.com>,<sip:%00%00@host5.example.com>",
        // §3.1.1.5: no escape outside URIs.
        "To: \"%Z%45\" <sip:resource@example.com>",
        // §3.1.1.4: escaped names and values of parameters.
        "Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>",
        // §3.1.1.8 and others: names as tokens, hosts of every kind.
        "Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw, SIP/2.0/UNKNOWN t2.example.com:5062 ",
        "Via: SIP/2.0/UDP [2001:db8::9:1]:6050;received=[2001:db8::9:255];branch=z9hG4bKas3-111",
        "v: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;branch=z9hG4bKas3-111",
        "Via: SIP/2.0/UDP 192.0.2.1 : 5060 ;branch=z9hG4bK",
        "Contact: sip:user@example.com;+sip.instance=\"<urn:uuid:00000000,1;2>\";expires=5",
        "Contact: \"Quoted, <string>\" <sip:a@[2001:db8::1]:5070;transport=udp>;q=0.7",
        "Contact: *",
        // §3.3.14: headers in a Contact, in brackets.
        "Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>",
        "From: 1001@pbx <sip:1001@example.org>;tag=1",
        "To: isbn:2983792873",
        "From: <http://www.example.com>;tag=3234233",
        "To: <tel:+54-11-5555-0100;phone-context=example.com>",
        "From: Ventas (Norte) <sip:caller@example.org>;tag=1",
        "From: \"\" <sip:caller@example.org>;tag=1",
        "From: sip:caller@example.org",
        "Accept: text/* , application/sdp",
        "Date: Sat, 01 Jan 2000 16:00:00 GMT",
        "Supported:",
        "Authorization: NoOneKnowsThisScheme opaque-data=here",
        "Expires: 10000000000000000000000000000000",
        "Max-Forwards: 0",
        "Record-Route: <sip:UserB@example.com;maddr=ss1.example.com>, \"x\" <sip:b;lr>",
        "Warning: 1812 overture \"In Progress\"",
    ] {
        let text = options(line);
        assert!(parse(&message(&text)).is_ok(), "{line}: {:?}", parse(&message(&text)));
    }
}

#[test]
fn bytes_that_are_no_text_are_kept() {
    let mut bytes = message(&options("Subject: x"));
    let at = bytes.windows(2).position(|pair| pair == b"x\r").unwrap();
    bytes[at] = 0xe9;

    let Ok(Message::Request(request)) = parse(&bytes) else { panic!("refused") };

    assert_eq!(request.headers.get("s"), Some(&[0xe9][..]));
    assert_eq!(request.headers.text("s"), None);
    assert!(
        request
            .to_bytes()
            .windows(11)
            .any(|line| line == b"Subject: \xe9\r" || line.starts_with(b"Subject: \xe9\r"))
    );
}

#[test]
fn a_display_name_in_latin_1_is_read() {
    let mut bytes = message(&options("From: \"Jos#\" <sip:caller@example.org>;tag=1"));
    let at = bytes.iter().position(|&byte| byte == b'#').unwrap();
    bytes[at] = 0xe9;

    let Ok(Message::Request(request)) = parse(&bytes) else { panic!("refused") };

    assert_eq!(request.headers.from().unwrap().display.as_deref(), Some("Jos\u{fffd}"));
}

#[test]
fn broken_lines_are_refused_by_name_and_answered() {
    for (line, reason, status) in [
        // §3.1.2.1
        ("Contact: \"Joe\" <sip:joe@example.org>;;;;", "contact", 400),
        ("Via: SIP/2.0/UDP 192.0.2.15;;,;,,", "via", 400),
        // §3.1.2.4
        ("CSeq: 36893488147419103232 OPTIONS", "cseq", 400),
        ("CSeq: 2147483648 OPTIONS", "cseq", 400),
        ("CSeq: -1 OPTIONS", "cseq", 400),
        ("CSeq: OPTIONS", "cseq", 400),
        ("Max-Forwards: 300", "max_forwards", 400),
        ("Max-Forwards: seventy", "max_forwards", 400),
        // §3.1.2.6
        ("To: \"Mr. J. User <sip:j.user@example.com>", "to", 400),
        // §3.1.2.12
        ("Date: Fri, 01 Jan 2010 16:00:00 EST", "date", 400),
        // §3.1.2.13
        ("Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E", "contact", 400),
        // §3.1.2.14
        ("To: \"Watson, Thomas\" < sip:t.watson@example.org >", "to", 400),
        // §3.1.2.15
        ("From: Bell, Alexander <sip:a.g.bell@example.com>;tag=43", "from", 400),
        // §3.1.2.17
        ("CSeq: 8 INVITE", "cseq_method", 400),
        // §3.3.8
        ("To: <sip:a@example.com>\nTo: <sip:b@example.com>", "repeated", 400),
        ("CSeq: 5 OPTIONS\nCSeq: 59 INVITE", "repeated", 400),
        // §3.3.9
        ("Content-Length: 1", "content_length", 400),
        // §3.1.2.3
        ("l: -999", "content_length", 400),
        ("Content-Length: 99999999999999999999999", "content_length", 400),
        ("Content-Length: 0x0", "content_length", 400),
        ("Content-Length: ", "content_length", 400),
        // Others.
        ("Contact: *, <sip:a@example.com>", "contact", 400),
        ("From: <sip:caller@example.org>;tag=", "from", 400),
        ("From: <sip:caller@example.org", "from", 400),
        ("From: <>;tag=1", "from", 400),
        ("From:", "from", 400),
        ("To: <sip:user@exa mple.com>", "to", 400),
        ("To: <sip:user@[2001:db8::g]>", "to", 400),
        ("To: <sip:user@2001:db8::1>", "to", 400),
        ("To: <sip:user@300.0.0.1>", "to", 400),
        ("To: <sip:user@-example.com>", "to", 400),
        ("To: <sip:user@example.com:65536>", "to", 400),
        ("To: <sip:%4@example.com>", "to", 400),
        ("Call-ID:", "call_id", 400),
        ("Call-ID: a b", "call_id", 400),
        ("To: <sip:user@example.com>;tag=a\"b", "to", 400),
        ("Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bK=1", "via", 400),
        ("Route: sip:example.com", "route", 400),
        ("no colon here", "header_line", 400),
        ("two words: x", "header_line", 400),
        (": x", "header_line", 400),
        ("Subject: a\0b", "control_byte", 400),
        ("Subject: a\rb", "control_byte", 400),
        ("Subject: a\u{7}b", "control_byte", 400),
        ("Subject: \"a\\\u{7}\u{7f}\"", "control_byte", 400),
        ("To: <sip:user@example.com>;tag=é", "to", 400),
    ] {
        assert_eq!(refused(&options(line)), (reason, Some(status)), "{line}");
    }
}

#[test]
fn broken_first_lines_are_refused_by_name_and_answered() {
    for (line, reason, status) in [
        // §3.1.2.7 to §3.1.2.11
        ("OPTIONS <sip:user@example.com> SIP/2.0", "request_uri", 400),
        ("OPTIONS sip:user@example.com; lr SIP/2.0", "request_line", 400),
        ("OPTIONS  sip:user@example.com  SIP/2.0", "request_line", 400),
        ("OPTIONS sip:user@example.com SIP/2.0  ", "request_line", 400),
        ("OPTIONS sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0", "request_uri", 400),
        // §3.1.2.16
        ("OPTIONS sip:user@example.com SIP/7.0", "version", 505),
        ("OPTIONS sip:user@example.com SIP/2.1", "version", 505),
        ("OPTIONS sip:user@example.com SIP/2", "request_line", 400),
        ("OPT(IONS sip:user@example.com SIP/2.0", "request_line", 400),
        ("OPTIONS user SIP/2.0", "request_uri", 400),
        ("OPTIONS sip: SIP/2.0", "request_uri", 400),
        ("OPTIONS sip:@example.com SIP/2.0", "request_uri", 400),
        ("OPTIONS tel:abc-x SIP/2.0", "request_uri", 400),
        ("OPTIONS SIP/2.0", "request_line", 400),
        // §3.1.2.18: unknown method, and the CSeq of another.
        ("NEWMETHOD sip:user@example.com SIP/2.0", "cseq_method", 501),
    ] {
        let text = options("").replacen("OPTIONS sip:user@example.com SIP/2.0", line, 1);
        assert_eq!(refused(&text), (reason, Some(status)), "{line}");
    }
}

#[test]
fn an_unknown_scheme_is_for_the_endpoint_to_refuse() {
    for uri in ["nobodyKnowsThisScheme:totallyopaquecontent", "soap.beep://192.0.2.103:3002"] {
        let text = options("").replacen("sip:user@example.com", uri, 1);
        let scheme = Uri::parse(&request(&text).uri).unwrap().scheme;
        assert!(matches!(scheme, Scheme::Other(_)), "{uri}");
    }
}

#[test]
fn missing_headers_are_answered_as_far_as_they_are_there() {
    for (name, reason) in [("To", "to"), ("From", "from"), ("Call-ID", "call_id"), ("CSeq", "cseq")]
    {
        let text: Vec<_> = options("").lines().map(str::to_owned).collect();
        let text: Vec<_> = text.into_iter().filter(|line| !line.starts_with(name)).collect();
        assert_eq!(refused(&(text.join("\n") + "\n")), (reason, Some(400)));
    }
}

#[test]
fn nothing_is_answered_that_has_no_usable_via_or_wants_no_answer() {
    let without_via =
        options("").replace("Via: SIP/2.0/UDP host1.example.com;branch=z9hG4bKkdj.1\n", "");
    let bad_ack = options("Max-Forwards: x").replace("OPTIONS", "ACK");
    for (text, reason) in [
        (without_via, "via"),
        (options("Via: HTTP/1.1 x"), "via"),
        (options("From: <sip:a@b>;tag=1\r\r\n\0"), "control_byte"),
        (bad_ack, "max_forwards"),
        // §3.1.2.19, and other responses.
        ("SIP/2.0 4294967301 better not break the receiver\n".to_owned(), "status_line"),
        ("SIP/2.0 99 x\n".to_owned(), "status_line"),
        ("SIP/2.0 700 x\n".to_owned(), "status_line"),
        ("SIP/3.0 200 OK\n".to_owned(), "status_line"),
        ("SIP/2.0 200 OK\n".to_owned(), "via"),
        ("GET / HTTP/1.1\nHost: x\n".to_owned(), "not_sip"),
    ] {
        let (found, status) = refused(&text);
        assert_eq!(found, reason, "{text}");
        assert_eq!(status, None, "{text}");
    }
}

#[test]
fn a_line_feed_alone_ends_no_line_and_is_never_echoed() {
    for (line, answered) in [("From: <sip:a@b>;tag=1#Via: x", None), ("Subject: a#b", Some(400))] {
        let mut bytes = message(&options(line));
        let at = bytes.iter().position(|&byte| byte == b'#').unwrap();
        bytes[at] = b'\n';

        let malformed = parse(&bytes).unwrap_err();

        assert_eq!(malformed.reason(), "control_byte");
        assert_eq!(malformed.answer().map(|answer| answer.status), answered);
    }
}

#[test]
fn keep_alives_and_noise_are_told_from_messages() {
    for (bytes, reason) in [
        (&b""[..], "empty"),
        (b"\r\n\r\n", "empty"),
        (b"\0\x01\0\0\x21\x12\xa4\x42", "not_sip"),
        (b"hello", "not_sip"),
        (b"\r\n\r\nINVITE sip:x SIP/2.0", "header_end"),
    ] {
        assert_eq!(parse(bytes).map_err(|bad| bad.reason()), Err(reason));
    }
}

#[test]
fn responses_are_read_whatever_their_phrase() {
    for (line, status, reason) in [
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 100", 100, ""),
        (
            "sip/2.0 200 = 2**3 * 5**2 но сто девяносто девять",
            200,
            "= 2**3 * 5**2 но сто девяносто девять",
        ),
        ("SIP/2.0 699 x", 699, "x"),
    ] {
        let text = options("").replacen("OPTIONS sip:user@example.com SIP/2.0", line, 1);
        match parse(&message(&text)) {
            Ok(Message::Response(response)) => {
                assert_eq!((response.status, response.reason.as_str()), (status, reason));
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn content_length_cuts_the_body_and_its_absence_takes_all() {
    let with = |line: &str| options("").replace("Content-Length: 0", line) + "0123456789";
    let body = |line: &str| request(&with(line)).body;

    assert_eq!(body("Content-Length: 4"), b"0123");
    assert_eq!(body("l: 4\nContent-Length: 04"), b"0123");
    assert_eq!(body("X: 1"), b"0123456789");
    assert_eq!(refused(&with("Content-Length: 11")), ("body_short", Some(400)));
    assert_eq!(refused(&with("l: 4\nl: 5")), ("content_length", Some(400)));
}

#[test]
fn limits_hold_exactly() {
    let lines = |count| options(&vec!["X: y"; count].join("\n"));
    assert!(parse(&message(&lines(HEADERS_MAX - 7))).is_ok());
    assert_eq!(refused(&lines(HEADERS_MAX - 6)), ("header_count", Some(513)));

    let value = |bytes| options(&format!("Subject: {}", "x".repeat(bytes)));
    assert!(parse(&message(&value(HEADER_BYTES_MAX))).is_ok());
    assert_eq!(refused(&value(HEADER_BYTES_MAX + 1)), ("header_size", Some(513)));
    // Without all of its Via a request cannot be answered.
    let long = "x".repeat(HEADER_BYTES_MAX + 1);
    let via = options(&format!("Via: SIP/2.0/UDP a;branch=1\nv: {long}"));
    assert_eq!(refused(&via), ("header_size", None));

    // Nor is one answered whose echo would be over our own limit.
    let to = |bytes, tag| {
        let spaces = " ".repeat(bytes - "\"\" <sip:a@b>".len());
        options(&format!("To: \"{spaces}\" <sip:a@b>{tag}"))
    };
    assert!(parse(&message(&to(HEADER_BYTES_MAX - 256, ""))).is_ok());
    assert_eq!(refused(&to(HEADER_BYTES_MAX - 255, "")), ("header_size", None));
    assert!(parse(&message(&to(HEADER_BYTES_MAX - 256, ";tag=ours"))).is_ok());
    let via = |bytes| {
        let branch = "b".repeat(bytes - "SIP/2.0/UDP a;branch=".len());
        options(&format!("Via: SIP/2.0/UDP a;branch={branch}"))
    };
    assert!(parse(&message(&via(HEADER_BYTES_MAX - 256))).is_ok());

    let uri =
        |bytes: usize| options("").replacen("sip:user@", &format!("sip:{}@", "x".repeat(bytes)), 1);
    let rest = "sip:@example.com".len();
    assert!(parse(&message(&uri(URI_BYTES_MAX - rest))).is_ok());
    assert_eq!(refused(&uri(URI_BYTES_MAX - rest + 1)), ("request_uri_size", Some(414)));

    let mut bytes = message(&options("").replace("Content-Length: 0\n", ""));
    bytes.resize(MESSAGE_BYTES_MAX, b'x');
    assert!(parse(&bytes).is_ok());
    bytes.push(b'x');
    let malformed = parse(&bytes).unwrap_err();
    assert_eq!((malformed.reason(), malformed.answer().unwrap().status), ("message_size", 513));
}

#[test]
fn an_answer_to_what_is_malformed_is_itself_well_formed() {
    for line in [
        "Via: SIP/2.0/UDP 192.0.2.15;;,;,,",
        "Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bK1;=x;a=\"b;c",
        "Via: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bK1, SIP/2.0/UDP x;branch=",
        "From: <sip:a@example.com",
        "From:",
        "To: \"Mr. J. User <sip:j.user@example.com>",
        "To: <sip:a@example.com>;tag=é",
        "Call-ID: a b",
        "CSeq: 36893488147419103232 OPTIONS",
        "CSeq: OPTIONS",
        "Max-Forwards: x",
        "Date: now",
        "Contact: ;;",
        "Route: x",
    ] {
        let malformed = parse(&message(&options(line))).unwrap_err();
        let mut answer = malformed.answer().unwrap().clone();
        stamp_via(&mut answer.headers, "198.51.100.7:5099".parse().unwrap());
        match parse(&answer.to_bytes()) {
            Ok(Message::Response(read)) => {
                assert_eq!(read.status, 400, "{line}");
                assert!(read.headers.to().unwrap().tag().is_some(), "{line}");
            }
            other => panic!("{line}: {other:?}"),
        }
    }
}

#[test]
fn an_answer_to_a_request_without_most_of_its_headers_has_them_all() {
    let text =
        "OPTIONS sip:user@example.com SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.15;branch=z9hG4bK1\n\n";

    let malformed = parse(&message(text)).unwrap_err();

    let answer = malformed.answer().unwrap();
    assert!(matches!(parse(&answer.to_bytes()), Ok(Message::Response(_))), "{answer:?}");
    assert_eq!(answer.headers.text("CSeq"), Some("0 OPTIONS"));
    assert_eq!(answer.headers.text("From"), Some("<sip:missing.invalid>"));
}

#[test]
fn an_answer_to_a_repeated_malformed_request_has_the_same_tag() {
    let bytes = message(&options("Date: now"));

    assert_eq!(parse(&bytes).unwrap_err().answer(), parse(&bytes).unwrap_err().answer());
}

/// A small generator, so that the mutants are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit.max(1)
    }
}

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    const PIECES: [&[u8]; 12] =
        [b"\r\n", b"\0", b"\"", b"<", b">", b";", b",", b"\\", b"%", b"[", b"\r\n ", b"\xff"];
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        let piece = PIECES[dice.below(PIECES.len())];
        match dice.below(4) {
            0 => _ = bytes.splice(at..at, piece.iter().copied()),
            1 => bytes.truncate(at),
            2 => _ = bytes.drain(at..(at + dice.below(20)).min(bytes.len())),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = u8::try_from(dice.below(256)).unwrap();
                }
            }
        }
    }
}

#[test]
fn mutants_never_panic_and_what_is_accepted_is_written_as_it_was_read() {
    let seeds = [
        TORTUOUS.to_vec(),
        WIDE.to_vec(),
        message(&options("Contact: <sip:a@b:5060;lr>;expires=3, \"x\" <tel:+1>")),
    ];
    let (mut dice, mut accepted, mut answered) = (Dice(7), 0, 0);
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        mutate(&mut bytes, &mut dice);
        match parse(&bytes) {
            Ok(Message::Request(request)) => {
                accepted += 1;
                assert_eq!(
                    parse(&request.to_bytes()).map(again),
                    Ok(again(Message::Request(request)))
                );
            }
            Ok(Message::Response(_)) => accepted += 1,
            Err(malformed) => answered += usize::from(malformed.answer().is_some()),
        }
    }
    assert!(accepted > 1_000 && answered > 1_000, "{accepted} accepted, {answered} answered");
}

/// A message without its Content-Length, which we write ourselves.
fn again(message: Message) -> Message {
    match message {
        Message::Request(mut request) => {
            request.headers.remove("Content-Length");
            Message::Request(request)
        }
        response @ Message::Response(_) => response,
    }
}
