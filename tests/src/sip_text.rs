//! SIP as the world's peers read and write it: plain text, line by line. It shares nothing with
//! the stack under test, so that both cannot be wrong in the same way.

use std::{fmt::Write as _, net::SocketAddr};

/// One message, not copied.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    /// `INVITE sip:… SIP/2.0` or `SIP/2.0 200 OK`.
    pub start: &'a str,
    head: &'a str,
    pub body: &'a str,
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

    pub fn headers(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.head.split("\r\n").filter_map(move |line| {
            let (found, value) = line.split_once(':')?;
            found.trim_end().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers(name).next()
    }

    pub fn call_id(&self) -> &'a str {
        self.header("Call-ID").unwrap_or_default()
    }

    /// Number and method.
    pub fn cseq(&self) -> (u32, &'a str) {
        let value = self.header("CSeq").unwrap_or_default();
        let (number, method) = value.split_once(' ').unwrap_or_default();
        (number.parse().unwrap_or_default(), method.trim())
    }

    /// Of the topmost Via.
    pub fn branch(&self) -> &'a str {
        self.header("Via").and_then(|via| param(via, "branch")).unwrap_or_default()
    }

    pub fn to_tag(&self) -> Option<&'a str> {
        after_uri(self.header("To")?).and_then(|params| param(params, "tag"))
    }

    /// User part of From.
    pub fn from_user(&self) -> &'a str {
        self.header("From").map_or("", user)
    }

    /// User part of To.
    pub fn to_user(&self) -> &'a str {
        self.header("To").map_or("", user)
    }

    /// The URI of Contact, without brackets.
    pub fn contact(&self) -> Option<&'a str> {
        let value = self.header("Contact")?;
        match value.split_once('<') {
            Some((_, uri)) => uri.split_once('>').map(|(uri, _)| uri),
            None => value.split(';').next(),
        }
    }

    /// Where the writer of the session description wants its audio.
    pub fn audio_port(&self) -> Option<u16> {
        let line = self.body.split("\r\n").find_map(|line| line.strip_prefix("m=audio "))?;
        line.split(' ').next()?.parse().ok()
    }

    /// One line for a ladder.
    pub fn short(&self) -> String {
        match self.method() {
            Some(method) => format!("{method} [{}]", self.call_id()),
            None => {
                let (_, method) = self.cseq();
                format!("{} ({method}) [{}]", self.status().unwrap_or_default(), self.call_id())
            }
        }
    }
}

/// `;name=value` anywhere in the text.
fn param<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(';').skip(1).find_map(|part| {
        let (found, value) = part.split_once('=')?;
        (found.trim() == name).then(|| value.trim())
    })
}

fn user(value: &str) -> &str {
    let uri = value.split_once("sip:").map_or("", |(_, uri)| uri);
    uri.split_once('@').map_or("", |(user, _)| user)
}

fn after_uri(value: &str) -> Option<&str> {
    match value.find('>') {
        Some(end) => value.get(end..),
        None => Some(value),
    }
}

/// A request under construction.
pub struct Request<'a> {
    pub method: &'a str,
    pub uri: &'a str,
    pub via: SocketAddr,
    pub branch: &'a str,
    pub from: &'a str,
    pub to: &'a str,
    pub call_id: &'a str,
    pub cseq: u32,
    /// Whole lines, each with its CRLF.
    pub more: &'a str,
    pub body: &'a str,
}

impl Request<'_> {
    pub fn to_bytes(&self) -> Vec<u8> {
        let Self { method, uri, via, branch, from, to, call_id, cseq, more, body } = self;
        // ACK and CANCEL carry the number of the INVITE, but their own name.
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch={branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: {from}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\n{more}"
        );
        finish(&mut text, body);
        text.into_bytes()
    }
}

/// The answer to a request, with our tag on To unless it has one.
pub fn response(request: &Text<'_>, status: u16, tag: &str, more: &str, body: &str) -> Vec<u8> {
    let mut text = format!("SIP/2.0 {status} Said\r\n");
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for value in request.headers(name) {
            let tag = match name == "To" && request.to_tag().is_none() && status != 100 {
                true => format!(";tag={tag}"),
                false => String::new(),
            };
            let _ = write!(text, "{name}: {value}{tag}\r\n");
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
    let _ = write!(text, "Content-Length: {}\r\n\r\n{body}", body.len());
}

/// A session description with one audio stream. `codecs`: payload numbers, best first.
pub fn sdp(rtp: SocketAddr, version: u32, codecs: &str, direction: &str) -> String {
    let (ip, port) = (rtp.ip(), rtp.port());
    format!(
        "v=0\r\no=- {port} {version} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP {codecs}\r\na=rtpmap:18 G729/8000\r\na=rtpmap:101 telephone-event/8000\r\n\
         a={direction}\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_read_back_as_it_was_written() {
        let request = Request {
            method: "INVITE",
            uri: "sip:1001@10.0.0.9:5060",
            via: "10.1.0.1:5060".parse().expect("an address"),
            branch: "z9hG4bK7",
            from: "\"Ana\" <sip:+54114444@10.1.0.1>;tag=a",
            to: "<sip:1001@10.0.0.9>",
            call_id: "c1@x",
            cseq: 7,
            more: "",
            body: "",
        };
        let request = request.to_bytes();
        let request = Text::read(&request).expect("whole");
        let rtp = "10.1.0.1:40000".parse().expect("an address");

        let answer = response(&request, 200, "b", "", &sdp(rtp, 1, "8 101", "sendrecv"));
        let answer = Text::read(&answer).expect("whole");

        assert_eq!(request.to_tag(), None);
        assert_eq!((answer.status(), answer.cseq()), (Some(200), (7, "INVITE")));
        assert_eq!((answer.to_tag(), answer.branch()), (Some("b"), "z9hG4bK7"));
        assert_eq!((answer.from_user(), answer.audio_port()), ("+54114444", Some(40000)));
    }
}
