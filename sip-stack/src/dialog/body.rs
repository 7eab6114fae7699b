//! What a message carries for us: one session description, or a reason to refuse it.

use crate::{
    keys::{self, NoKey, Press},
    sdp,
    wire::Headers,
};
use std::fmt;

/// The one type of body we read.
pub(crate) const SDP: &str = "application/sdp";

/// Why a body cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// RFC 3261 §21.4.13.
    Type,
    /// The sender takes no body that we have to give (RFC 3261 §21.4.7).
    NotAccepted,
    /// It says it is a session description and is none, or more than we take.
    Malformed(sdp::Malformed),
}

impl Unusable {
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Type => 415,
            Self::NotAccepted => 406,
            Self::Malformed(why) => why.status(),
        }
    }

    /// Label out of a closed set, for metrics.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::Type => "body_type",
            Self::NotAccepted => "accept",
            Self::Malformed(why) => why.reason(),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type => f.write_str("no session description"),
            Self::NotAccepted => f.write_str("no session description accepted"),
            Self::Malformed(why) => why.fmt(f),
        }
    }
}

/// A key, if there is one in it (RFC 6086 §9.1: what was sent before there were packages).
pub(crate) fn key(headers: &Headers, body: &[u8]) -> Result<Option<Press>, NoKey> {
    if body.is_empty() {
        return Ok(None);
    }
    if !is_plain(headers) {
        return Err(NoKey::Type);
    }
    keys::read(&media_type(headers.text("Content-Type").unwrap_or_default()), body)
}

/// The session description, if there is any body.
pub(crate) fn session(headers: &Headers, body: &[u8]) -> Result<Option<sdp::Session>, Unusable> {
    if body.is_empty() {
        return Ok(None);
    }
    if !is_plain(headers) || !is_sdp(headers) {
        return Err(Unusable::Type);
    }
    sdp::parse(body).map(Some).map_err(Unusable::Malformed)
}

/// The same of an INVITE: its sender must take our answer (§13.3.1, §20.1).
pub(crate) fn offer(headers: &Headers, body: &[u8]) -> Result<Option<sdp::Session>, Unusable> {
    let accept = headers.list("Accept");
    let silent = headers.get("Accept").is_none();
    let takes = |range: &[u8]| {
        let range = media_type(&String::from_utf8_lossy(range));
        [SDP, "application/*", "*/*"].contains(&range.as_str())
    };
    if !silent && !accept.into_iter().any(takes) {
        return Err(Unusable::NotAccepted);
    }
    session(headers, body)
}

/// Nothing has to be unpacked.
fn is_plain(headers: &Headers) -> bool {
    let encoding = headers.text("Content-Encoding").unwrap_or("identity").trim();
    encoding.eq_ignore_ascii_case("identity")
}

fn is_sdp(headers: &Headers) -> bool {
    media_type(headers.text("Content-Type").unwrap_or_default()) == SDP
}

/// Media types compare without case; parameters do not matter to us.
fn media_type(value: &str) -> String {
    let media_type = value.split(';').next().unwrap_or_default();
    // `application / sdp` is legal (§25.1, SLASH).
    let parts: Vec<_> = media_type.split('/').map(str::trim).collect();
    parts.join("/").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_no_session_description_is_not_called_into_one() {
        let asked = |accept: &[&str]| {
            let mut headers = Headers::new();
            accept.iter().for_each(|value| headers.push("Accept", *value));
            offer(&headers, b"")
        };

        for accept in [&[][..], &["text/html, application / SDP;level=1"], &["x/y", "*/*;q=0.1"]] {
            assert_eq!(asked(accept), Ok(None), "{accept:?}");
        }
        for accept in [&["text/nobodyKnowsThis"][..], &[""], &["application/sdpx"]] {
            assert_eq!(asked(accept), Err(Unusable::NotAccepted), "{accept:?}");
        }
        assert_eq!(
            (Unusable::NotAccepted.status(), Unusable::NotAccepted.reason()),
            (406, "accept")
        );
    }

    fn headers(content_type: &str) -> Headers {
        let mut headers = Headers::new();
        headers.push("Content-Type", content_type);
        headers
    }

    #[test]
    fn only_session_descriptions_are_read() {
        assert_eq!(session(&Headers::new(), b""), Ok(None));
        assert_eq!(session(&headers("text/plain"), b"v=0"), Err(Unusable::Type));
        assert_eq!(session(&Headers::new(), b"v=0"), Err(Unusable::Type));
        assert_eq!(
            session(&headers("application/sdp"), b"x"),
            Err(Unusable::Malformed(sdp::Malformed::Version))
        );
    }

    #[test]
    fn the_type_may_be_written_as_the_grammar_allows() {
        let body = b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                     m=audio 4000 RTP/AVP 8\r\n";

        for written in ["application/sdp", "Application/SDP;charset=utf-8", "application / sdp"] {
            assert!(session(&headers(written), body).is_ok_and(|read| read.is_some()), "{written}");
        }
    }

    #[test]
    fn a_packed_body_is_not_unpacked() {
        let mut packed = headers("application/sdp");
        packed.push("Content-Encoding", "gzip");

        assert_eq!(session(&packed, b"v=0"), Err(Unusable::Type));
    }
}
