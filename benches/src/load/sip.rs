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

    /// The key its writer encrypts with, of the one suite the generator knows.
    pub fn crypto(&self) -> Option<Crypto> {
        self.body.split("\r\n").find_map(Crypto::read)
    }
}

/// Where the writer of a session description wants its audio.
pub fn audio(description: &str) -> Option<SocketAddr> {
    let line = |start| description.split("\r\n").find_map(|line| line.strip_prefix(start));
    let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
    let address = line("c=IN IP4 ")?.split('/').next()?.parse().ok()?;
    Some(SocketAddr::new(address, port))
}

/// A key told in a session description (RFC 4568), and under which number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Crypto {
    pub tag: u8,
    pub key_and_salt: [u8; KEY_BYTES],
}

/// AES_CM_128_HMAC_SHA1_80: a key of 16 bytes and a salt of 14.
pub const KEY_BYTES: usize = 30;
const SUITE: &str = "AES_CM_128_HMAC_SHA1_80";

impl Crypto {
    fn read(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("a=crypto:")?.split(' ');
        let tag = words.next()?.parse().ok()?;
        let key = words.next().filter(|&suite| suite == SUITE).and_then(|_| words.next())?;
        let key_and_salt = unbase64(key.strip_prefix("inline:")?.split('|').next()?)?;
        Some(Self { tag, key_and_salt })
    }

    fn line(&self) -> String {
        format!("a=crypto:{} {SUITE} inline:{}\r\n", self.tag, base64(&self.key_and_salt))
    }
}

/// RFC 4648 §4. Neither of a key's 240 bits and 40 letters is left over.
const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(key: &[u8; KEY_BYTES]) -> String {
    let letters = key.chunks_exact(3).flat_map(|three| {
        let bits = three.iter().fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        [18, 12, 6, 0].map(|at| char::from(LETTERS[bits >> at & 63]))
    });
    letters.collect()
}

fn unbase64(text: &str) -> Option<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    if text.len() != KEY_BYTES / 3 * 4 {
        return None;
    }
    for (three, four) in key.chunks_exact_mut(3).zip(text.as_bytes().chunks_exact(4)) {
        let mut bits = 0;
        for letter in four {
            bits = bits << 6 | LETTERS.iter().position(|known| known == letter)?;
        }
        three.copy_from_slice(&bits.to_be_bytes()[size_of::<usize>() - 3..]);
    }
    Some(key)
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

/// A session description: one format and keys of the telephone, here; encrypted if there is a key.
pub fn description(audio: SocketAddr, format: Format, crypto: Option<&Crypto>) -> String {
    let (address, port) = (audio.ip(), audio.port());
    let (payload_type, name) = (format.payload_type(), format.name());
    let (profile, crypto) = match crypto {
        Some(crypto) => ("RTP/SAVP", crypto.line()),
        None => ("RTP/AVP", String::new()),
    };
    format!(
        "v=0\r\no=- {port} 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n\
         m=audio {port} {profile} {payload_type} 101\r\na=rtpmap:{payload_type} {name}\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\n{crypto}a=sendrecv\r\n"
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
            body: &description(here, Format::G711, None),
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

    #[test]
    fn a_key_is_read_back_as_it_was_told_and_one_of_another_suite_is_passed_over() {
        let here = SocketAddr::from(([127, 88, 0, 2], 5060));
        let crypto = Crypto { tag: 3, key_and_salt: std::array::from_fn(|n| [9, 18, 27][n % 3]) };
        let told = description(here, Format::G711, Some(&crypto));
        assert!(told.contains("RTP/SAVP 8"));

        let other = "a=crypto:1 AEAD_AES_128_GCM inline:AAAA\r\n".to_owned() + &told;
        let text = ["SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n", &other].concat();
        let read = Text::read(text.as_bytes()).and_then(|text| text.crypto());

        assert!(read == Some(crypto), "tag {:?}", read.map(|read| read.tag));
    }
}
