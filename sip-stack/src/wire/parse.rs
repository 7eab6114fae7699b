//! One datagram to one message, or to what is wrong with it (RFC 3261 §7, §18.3, RFC 4475).
//!
//! Total and linear: every byte string gives a value or a [`Malformed`], no length from the wire
//! is an index, and reading goes on behind a fault only to learn where the answer goes.

use super::{
    Headers, Malformed, Message, Method, NameAddr, Request, Response, Via, fault::Fault, lex,
    uri::Parts, write,
};
use std::borrow::Cow;

/// Longest message, its body included.
pub const MESSAGE_BYTES_MAX: usize = 65_535;
/// Most header lines, folded ones counted once.
pub const HEADERS_MAX: usize = 256;
/// Longest value of one header line.
pub const HEADER_BYTES_MAX: usize = 8 * 1024;
/// What a topmost Via and a To without a tag have to stay below that in a request.
const ECHO_ROOM_BYTES: usize = 256;
/// Longest Request-URI.
pub const URI_BYTES_MAX: usize = 8 * 1024;

/// What comes back in a response, so what must be clean before anything is answered.
const ECHOED: [&str; 6] = ["Via", "From", "To", "Call-ID", "CSeq", "Record-Route"];
/// Headers that may stand once only, and matter to us.
const SINGLE: [&str; 5] = ["From", "To", "Call-ID", "CSeq", "Max-Forwards"];

/// One datagram. CRLFs in front are skipped; Content-Length cuts the body, and without one the
/// body is the rest of the datagram (§18.3).
pub fn parse(datagram: &[u8]) -> Result<Message, Malformed> {
    let mut text = datagram;
    while let Some(rest) = text.strip_prefix(b"\r\n") {
        text = rest;
    }
    if text.is_empty() {
        return Err(Fault::Empty.into());
    }
    let (line, rest) = split_line(text);
    let start = StartLine::read(line)?;
    let mut head = Head { headers: Headers::roomy(), ..Head::default() };
    let rest = head.read(rest);
    if datagram.len() > MESSAGE_BYTES_MAX {
        head.blame(Fault::MessageSize);
    }
    head.blame_if(start.check());
    match start {
        StartLine::Request { method, uri, .. } => {
            let body = head.finish(Some(&method), rest)?;
            let uri = String::from_utf8_lossy(uri).into_owned();
            Ok(Message::Request(Request { method, uri, headers: head.headers, body }))
        }
        StartLine::Response { status, reason } => {
            let body = head.finish(None, rest)?;
            let reason = String::from_utf8_lossy(reason).into_owned();
            let status = status.ok_or(Fault::StatusLine)?;
            Ok(Message::Response(Response { status, reason, headers: head.headers, body }))
        }
    }
}

/// The first line, so far as it can be told apart.
enum StartLine<'a> {
    Request { method: Method, uri: &'a [u8], fault: Option<Fault> },
    Response { status: Option<u16>, reason: &'a [u8] },
}

impl<'a> StartLine<'a> {
    fn read(line: &'a [u8]) -> Result<Self, Malformed> {
        let version = line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"));
        if version {
            return Ok(Self::response(line));
        }
        let names_sip = line.windows(4).any(|window| window.eq_ignore_ascii_case(b"SIP/"));
        names_sip.then(|| Self::request(line)).ok_or_else(|| Fault::NotSip.into())
    }

    /// `SIP/2.0 200 OK`: three digits from 100 to 699; the phrase may be anything (§7.2).
    fn response(line: &'a [u8]) -> Self {
        let (version, rest) = lex::split_once(line, b' ').unwrap_or((line, &[]));
        let (code, reason) = lex::split_once(rest, b' ').unwrap_or((rest, &[]));
        let three = version.eq_ignore_ascii_case(b"SIP/2.0") && code.len() == 3;
        let status = lex::number(code).filter(|status| three && (100..700).contains(status));
        let clean = !lex::has_bare_control(line);
        Self::Response { status: status.filter(|_| clean), reason }
    }

    /// `METHOD URI SIP/2.0` with one blank each (§7.1).
    fn request(line: &'a [u8]) -> Self {
        let (method, rest) = lex::split_once(line, b' ').unwrap_or((line, &[]));
        let (uri, version) = lex::split_once(rest, b' ').unwrap_or((rest, &[]));
        let named = lex::is_token(method);
        let fault = if lex::has_bare_control(line) {
            Some(Fault::ControlByte)
        } else if !named || uri.is_empty() || !is_version(version) {
            Some(Fault::RequestLine)
        } else if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            Some(Fault::Version)
        } else {
            uri_fault(uri)
        };
        let method = Method::from_name(&String::from_utf8_lossy(method));
        Self::Request { method, uri, fault }
    }

    fn check(&self) -> Option<Fault> {
        match self {
            Self::Request { fault, .. } => *fault,
            Self::Response { status: None, .. } => Some(Fault::StatusLine),
            Self::Response { status: Some(_), .. } => None,
        }
    }
}

/// `SIP/` digits `.` digits, ours or not.
fn is_version(bytes: &[u8]) -> bool {
    let digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    bytes.split_at_checked(4).is_some_and(|(name, number)| {
        let whole = lex::split_once(number, b'.').is_some_and(|(a, b)| digits(a) && digits(b));
        name.eq_ignore_ascii_case(b"SIP/") && whole
    })
}

/// §19.1.1: no headers in a Request-URI. A scheme we do not know is the endpoint's matter (416).
fn uri_fault(uri: &[u8]) -> Option<Fault> {
    if uri.len() > URI_BYTES_MAX {
        return Some(Fault::RequestUriSize);
    }
    match std::str::from_utf8(uri).ok().and_then(Parts::read) {
        Some(uri) if !uri.has_headers() => None,
        Some(_) | None => Some(Fault::RequestUri),
    }
}

/// The header as far as it was read, and the first thing that was wrong.
#[derive(Default)]
struct Head {
    headers: Headers,
    fault: Option<Fault>,
    /// Something that a response would echo holds a control byte, or cannot be told apart.
    tainted: bool,
}

impl Head {
    fn blame(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
    }

    fn blame_if(&mut self, fault: Option<Fault>) {
        // The start line comes first, whatever else is wrong.
        self.fault = fault.or(self.fault);
    }

    /// Reads up to the empty line and gives what follows it.
    fn read<'a>(&mut self, mut rest: &'a [u8]) -> &'a [u8] {
        loop {
            if let Some(body) = rest.strip_prefix(b"\r\n") {
                return body;
            }
            if rest.is_empty() {
                self.blame(Fault::HeaderEnd);
                return rest;
            }
            if self.headers.len() >= HEADERS_MAX {
                self.blame(Fault::HeaderCount);
                return &[];
            }
            rest = self.read_line(rest);
        }
    }

    /// One header with its folded lines (§7.3.1).
    fn read_line<'a>(&mut self, rest: &'a [u8]) -> &'a [u8] {
        let (first, mut rest) = split_line(rest);
        let mut line = Cow::Borrowed(first);
        while rest.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
            let (more, after) = split_line(rest);
            line.to_mut().push(b' ');
            line.to_mut().extend_from_slice(lex::trim(more));
            rest = after;
        }
        self.keep(&line);
        rest
    }

    fn keep(&mut self, line: &[u8]) {
        let parts = lex::split_once(line, b':').map(|(name, value)| (trim_end(name), value));
        let Some((name, value)) = parts.filter(|(name, _)| lex::is_token(name)) else {
            self.tainted |= lex::has_bare_control(line);
            return self.blame(Fault::HeaderLine);
        };
        let (name, value) = (String::from_utf8_lossy(name), lex::trim(value));
        if value.len() > HEADER_BYTES_MAX {
            self.tainted |= is_echoed(&name);
            return self.blame(Fault::HeaderSize);
        }
        if lex::has_bare_control(value) {
            self.tainted |= is_echoed(&name);
            return self.blame(Fault::ControlByte);
        }
        self.headers.push(&name, value);
    }

    /// Checks what every message must have, and cuts the body; `method` is the request's.
    fn finish(&mut self, method: Option<&Method>, rest: &[u8]) -> Result<Vec<u8>, Malformed> {
        if method.is_some() && !self.leaves_room() {
            self.tainted = true;
            self.blame(Fault::HeaderSize);
        }
        let checked = match self.fault {
            Some(fault) => Err(fault),
            None => self.check(method).and_then(|()| self.body(rest)),
        };
        checked.map_err(|fault| Malformed::with_answer(fault, self.answer(fault, method)))
    }

    /// What an answer adds to what it echoes (§18.2.1, §8.2.6.2) does not take it over the limit that we
    /// have ourselves: a To with our tag comes back with every request of the call.
    fn leaves_room(&self) -> bool {
        let long = |value: &[u8]| value.len() > HEADER_BYTES_MAX - ECHO_ROOM_BYTES;
        let tagged = || self.headers.to().is_ok_and(|to| to.tag().is_some());
        let via = self.headers.get("Via").is_some_and(long);
        !via && (!self.headers.get("To").is_some_and(long) || tagged())
    }

    fn check(&self, method: Option<&Method>) -> Result<(), Fault> {
        let headers = &self.headers;
        if SINGLE.iter().any(|name| headers.all(name).nth(1).is_some()) {
            return Err(Fault::Repeated);
        }
        let every = |name: &str, good: fn(&[u8]) -> bool| headers.elements(name).all(good);
        let vias = headers.get("Via").is_some() && every("Via", Via::is_whole);
        vias.then_some(()).ok_or(Fault::Via)?;
        let whole = |name| headers.get(name).is_some_and(NameAddr::is_whole);
        whole("From").then_some(()).ok_or(Fault::From)?;
        whole("To").then_some(()).ok_or(Fault::To)?;
        headers.call_id().map_err(|_| Fault::CallId)?;
        let (_, named) = headers.cseq().map_err(|_| Fault::CSeq)?;
        // A response that is odd elsewhere still ends a transaction.
        let Some(method) = method else { return Ok(()) };
        if *method != named {
            return Err(Fault::CSeqMethod);
        }
        let contacts = headers.is_star_contact() || every("Contact", NameAddr::is_whole);
        contacts.then_some(()).ok_or(Fault::Contact)?;
        let routes = every("Route", is_route) && every("Record-Route", is_route);
        routes.then_some(()).ok_or(Fault::Route)?;
        headers.max_forwards().map_err(|_| Fault::MaxForwards)?;
        headers.all("Date").all(is_date).then_some(()).ok_or(Fault::Date)
    }

    /// §18.3 for datagrams: what is behind the body is discarded, a body cut short is an error.
    fn body(&self, rest: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut lengths = self.headers.all("Content-Length").map(lex::number::<usize>);
        let Some(first) = lengths.next() else { return Ok(rest.to_vec()) };
        let length = first.filter(|_| lengths.all(|other| other == first));
        let length = length.ok_or(Fault::ContentLength)?;
        rest.get(..length).map(<[u8]>::to_vec).ok_or(Fault::BodyShort)
    }

    fn answer(&self, fault: Fault, method: Option<&Method>) -> Option<Response> {
        let method = method.filter(|method| !self.tainted && **method != Method::Ack)?;
        let status = match (fault, method) {
            // RFC 4475 §3.1.2.18: that we do not know the method is the better news.
            (Fault::CSeqMethod, Method::Other(_)) => 501,
            _ => fault.status(),
        };
        write::answer_malformed(&self.headers, method, status, fault.phrase())
    }
}

fn is_echoed(name: &str) -> bool {
    let mut one = Headers::new();
    one.push(name, []);
    ECHOED.iter().any(|echoed| one.get(echoed).is_some())
}

/// §20.30, §20.34: routes are always in brackets.
fn is_route(bytes: &[u8]) -> bool {
    bytes.contains(&b'<') && NameAddr::is_whole(bytes)
}

/// §20.17: SIP knows no zone but GMT.
fn is_date(bytes: &[u8]) -> bool {
    bytes.ends_with(b" GMT")
}

fn trim_end(name: &[u8]) -> &[u8] {
    // A name must not be preceded by blanks: that is a folded line.
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let blanks = name.iter().rev().take_while(blank).count();
    name.get(..name.len() - blanks).unwrap_or_default()
}

/// Up to the next CRLF, and what follows it; all of it if there is none.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut from = 0;
    while let Some(at) = bytes.get(from..).and_then(|rest| rest.iter().position(|&b| b == b'\r')) {
        let end = from + at;
        if let (Some(line), Some([b'\n', rest @ ..])) = (bytes.get(..end), bytes.get(end + 1..)) {
            return (line, rest);
        }
        from = end + 1;
    }
    (bytes, &[])
}
