//! SIP as the generator reads and writes it: text, line by line. It shares nothing with the stack
//! it measures, and knows no more than two honest parties need.

use std::{fmt::Write as _, net::SocketAddr};

/// One message, not copied.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    start: &'a str,
    head: &'a str,
    body: &'a str,
}

impl<'a> Text<'a> {
    pub fn read(bytes: &'a [u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        let (start, head) = head.split_once("\r\n")?;
        Some(Self { start, head, body })
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&'a str> {
        let word = self.start.split(' ').next()?;
        (!word.starts_with("SIP/")).then_some(word)
    }

    /// The code of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// User part of the request URI.
    pub fn dialled(&self) -> Option<&'a str> {
        let (_, uri) = self.start.split_once(" sip:")?;
        uri.split_once('@').map(|(user, _)| user)
    }

    fn headers(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.head.split("\r\n").filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.trim_end().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers(name).next()
    }

    /// The method a response is about.
    pub fn answers(&self) -> &'a str {
        self.header("CSeq").and_then(|value| value.split_once(' ')).map_or("", |(_, method)| method)
    }

    pub fn tag_of_to(&self) -> Option<&'a str> {
        let (_, tag) = self.header("To")?.split_once(";tag=")?;
        tag.split(';').next()
    }

    /// The URI of Contact, without brackets.
    pub fn contact(&self) -> Option<&'a str> {
        let value = self.header("Contact")?;
        match value.split_once('<') {
            Some((_, uri)) => uri.split_once('>').map(|(uri, _)| uri),
            None => value.split(';').next(),
        }
    }

    /// Route lines for the requests of who got this response: Record-Route turned round (RFC 3261
    /// §12.1.2).
    pub fn routes(&self) -> String {
        let listed = self.headers("Record-Route").flat_map(|line| line.split(','));
        let mut routes: Vec<&str> = listed.map(str::trim).collect();
        routes.reverse();
        routes.iter().fold(String::new(), |lines, route| lines + "Route: " + route + "\r\n")
    }

    /// Where the writer of the session description wants its audio.
    pub fn audio(&self) -> Option<SocketAddr> {
        audio(self.body)
    }
}

/// Where the writer of a session description wants its audio.
pub fn audio(description: &str) -> Option<SocketAddr> {
    let line = |start| description.split("\r\n").find_map(|line| line.strip_prefix(start));
    let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
    let address = line("c=IN IP4 ")?.split('/').next()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// A request of the caller.
pub struct Request<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    pub via: SocketAddr,
    pub branch: &'a str,
    pub call_id: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub sequence: u32,
    /// Whole lines, each with its CRLF.
    pub more: &'a str,
    pub body: &'a str,
}

impl Request<'_> {
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { method, uri, via, branch, call_id, from, to, sequence, more, body } = self;
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bK{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {sequence} {method}\r\n{more}"
        );
        finish(&mut text, body);
        text.into_bytes()
    }
}

/// The answer to a request, with our tag behind To unless it has one.
pub fn response(request: &Text<'_>, status: &str, tag: &str, more: &str, body: &str) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for value in request.headers(name) {
            let ours = name == "To" && request.tag_of_to().is_none();
            let (mark, tag) = if ours { (";tag=", tag) } else { ("", "") };
            // Writing to a String cannot fail.
            _ = write!(text, "{name}: {value}{mark}{tag}\r\n");
        }
    }
    text.push_str(more);
    finish(&mut text, body);
    text.into_bytes()
}

fn finish(text: &mut String, body: &str) {
    if !body.is_empty() {
        text.push_str("Content-Type: application/sdp\r\n");
    }
    // Writing to a String cannot fail.
    _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
}

/// What an end speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    G711,
    G722,
    Opus,
}

impl Format {
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::G711 => 8,
            Self::G722 => 9,
            Self::Opus => 96,
        }
    }

    /// Units of the RTP time stamp in 20 ms.
    pub const fn step(self) -> u32 {
        match self {
            Self::G711 | Self::G722 => 160,
            Self::Opus => 960,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::G711 => "PCMA/8000",
            Self::G722 => "G722/8000",
            Self::Opus => "opus/48000/2",
        }
    }
}

/// A session description: one format and keys, here.
pub fn description(audio: SocketAddr, format: Format) -> String {
    let (address, port) = (audio.ip(), audio.port());
    let (payload_type, name) = (format.payload_type(), format.name());
    format!(
        "v=0\r\no=- {port} 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {payload_type} 101\r\na=rtpmap:{payload_type} {name}\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_carries_what_its_request_had_and_tells_the_way_back() {
        let here = SocketAddr::from(([127, 88, 0, 2], 5060));
        let request = Request {
            method: "INVITE",
            uri: "sip:97@127.88.0.1",
            via: here,
            branch: "i7",
            call_id: "7-x",
            from: "<sip:7@127.88.0.2>;tag=a7",
            to: "<sip:97@127.88.0.1>",
            sequence: 1,
            more: "Record-Route: <sip:one;lr>, <sip:two;lr>\r\nRecord-Route: <sip:three;lr>\r\n",
            body: &description(here, Format::G711),
        };
        let request = request.to_bytes();
        let request = Text::read(&request).expect("whole");
        let answer = response(&request, "200 OK", "b7", "Contact: <sip:b@x:1>;y\r\n", "");
        let answer = Text::read(&answer).expect("whole");

        assert_eq!((request.method(), request.dialled()), (Some("INVITE"), Some("97")));
        assert_eq!((request.tag_of_to(), request.audio()), (None, Some(here)));
        assert_eq!((answer.status(), answer.answers()), (Some(200), "INVITE"));
        assert_eq!((answer.tag_of_to(), answer.contact()), (Some("b7"), Some("sip:b@x:1")));
        let routes = "Route: <sip:three;lr>\r\nRoute: <sip:two;lr>\r\nRoute: <sip:one;lr>\r\n";
        assert_eq!(answer.routes(), routes);
        assert_eq!((answer.method(), answer.audio()), (None, None));
    }
}
