//! Bytes to a [`Session`] (RFC 8866 §5, §9). Linear in the length; unknown attributes are ignored.

use super::{Codec, Connection, Direction, Media, Origin, Session, crypto};
use crate::wire::{is_token, number, trim};
use std::{collections::BTreeMap, net::IpAddr, str};

/// Most `m=` lines.
pub const MEDIA_MAX: usize = 128;

/// Why a description cannot be used; the names are metric labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Malformed {
    #[error("not lines of the form x=value")]
    Line,
    #[error("v= is not 0 or not first")]
    Version,
    #[error("bad or missing o=")]
    Origin,
    #[error("missing s=")]
    Name,
    #[error("bad or missing t=")]
    Time,
    #[error("bad c=, or a stream without one")]
    Connection,
    #[error("bad m=")]
    Media,
    #[error("more than {MEDIA_MAX} m= lines")]
    MediaCount,
    #[error("bad value of an attribute")]
    Attribute,
    #[error("unknown type letter")]
    Type,
}

impl Malformed {
    /// Label out of a closed set, for metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Line => "sdp_line",
            Self::Version => "sdp_version",
            Self::Origin => "sdp_origin",
            Self::Name => "sdp_name",
            Self::Time => "sdp_time",
            Self::Connection => "sdp_connection",
            Self::Media => "sdp_media",
            Self::MediaCount => "sdp_media_count",
            Self::Attribute => "sdp_attribute",
            Self::Type => "sdp_type",
        }
    }

    /// A body that cannot be read is a bad request (RFC 3261 §21.4.1); one that is merely more
    /// than we take is not acceptable here.
    pub fn status(self) -> u16 {
        match self {
            Self::MediaCount => 488,
            Self::Line
            | Self::Version
            | Self::Origin
            | Self::Name
            | Self::Time
            | Self::Connection
            | Self::Media
            | Self::Attribute
            | Self::Type => 400,
        }
    }
}

/// One session description, complete or refused.
pub fn parse(bytes: &[u8]) -> Result<Session, Malformed> {
    let mut lines = lines(bytes);
    if lines.next() != Some(Ok((b'v', b"0"))) {
        return Err(Malformed::Version);
    }
    let Some(Ok((b'o', origin))) = lines.next() else { return Err(Malformed::Origin) };
    let origin = read_origin(origin).ok_or(Malformed::Origin)?;
    let mut reader = Reader::new(Session {
        origin,
        connection: None,
        direction: None,
        voip_metrics: false,
        media: vec![],
    });
    for line in lines {
        let (letter, value) = line?;
        reader.line(letter, value)?;
    }
    reader.finish()
}

/// Lines end with CRLF; LF alone is accepted (§5), and so are empty lines at the end.
fn lines(bytes: &[u8]) -> impl Iterator<Item = Result<(u8, &[u8]), Malformed>> {
    let end = bytes.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |at| at + 1);
    bytes.get(..end).unwrap_or_default().split(|&byte| byte == b'\n').map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            [letter, b'=', value @ ..] if !value.iter().any(|byte| matches!(byte, b'\r' | 0)) => {
                Ok((*letter, value))
            }
            _ => Err(Malformed::Line),
        }
    })
}

struct Reader {
    session: Session,
    named: bool,
    timed: bool,
}

impl Reader {
    fn new(session: Session) -> Self {
        Self { session, named: false, timed: false }
    }

    fn line(&mut self, letter: u8, value: &[u8]) -> Result<(), Malformed> {
        let in_media = !self.session.media.is_empty();
        match letter {
            b's' if !in_media && !self.named => self.named = true,
            b't' if !in_media => {
                self.timed = true;
                is_time(value).then_some(()).ok_or(Malformed::Time)?;
            }
            b'c' => {
                let connection = Some(read_connection(value).ok_or(Malformed::Connection)?);
                match self.session.media.last_mut() {
                    // Several are the layers of a multicast (§5.7); we would use the first.
                    Some(media) => media.connection = media.connection.take().or(connection),
                    None => self.session.connection = connection,
                }
            }
            b'm' => {
                if self.session.media.len() >= MEDIA_MAX {
                    return Err(Malformed::MediaCount);
                }
                self.session.media.push(read_media(value).ok_or(Malformed::Media)?);
            }
            b'a' => self.attribute(value).ok_or(Malformed::Attribute)?,
            b'i' | b'b' | b'k' => {}
            b'u' | b'e' | b'p' | b'r' | b'z' if !in_media => {}
            b'v' => return Err(Malformed::Version),
            b'o' => return Err(Malformed::Origin),
            b's' => return Err(Malformed::Name),
            b't' => return Err(Malformed::Time),
            _ => return Err(Malformed::Type),
        }
        Ok(())
    }

    /// `None`: an attribute we know has a value that it cannot have.
    fn attribute(&mut self, attribute: &[u8]) -> Option<()> {
        let attribute = trim(attribute);
        let colon = attribute.iter().position(|&byte| byte == b':').unwrap_or(attribute.len());
        let (name, value) = attribute.split_at_checked(colon)?;
        let value = value.get(1..).unwrap_or_default();
        if let Some(direction) = Direction::from_name(name) {
            match self.session.media.last_mut() {
                Some(media) => media.direction = Some(direction),
                None => self.session.direction = Some(direction),
            }
            return Some(());
        }
        if name == b"rtcp-xr" {
            let asked = match self.session.media.last_mut() {
                Some(media) => &mut media.voip_metrics,
                None => &mut self.session.voip_metrics,
            };
            *asked |= asks_for_voip_metrics(value);
            return Some(());
        }
        let Some(media) = self.session.media.last_mut() else { return Some(()) };
        match name {
            // We never take such a stream, and peers write maps without a clock there (RFC 4475
            // itself does): not ours to judge.
            _ if media.kind != "audio" => {}
            b"rtpmap" if media.is_rtp() => {
                let (payload_type, codec) = read_rtpmap(value)?;
                media.codecs.entry(payload_type).or_insert(codec);
            }
            b"fmtp" if media.is_rtp() => {
                // What a format's parameters are is its own; what we cannot read is a wish not heard.
                if let Some((payload_type, parameters)) = read_fmtp(value) {
                    media.parameters.entry(payload_type).or_insert(parameters);
                }
            }
            b"maxptime" => media.ptime_ms_max = read_ptime(value),
            b"ptime" => media.ptime_ms = Some(read_ptime(value)?),
            b"rtcp" => media.rtcp = Some(read_rtcp(value)?),
            // A bad line is no fault of the description: another one may be good.
            b"crypto" if media.crypto.len() < crypto::LINES_MAX => {
                media.crypto.push(crypto::parse(value));
            }
            _ => {}
        }
        Some(())
    }

    fn finish(self) -> Result<Session, Malformed> {
        self.named.then_some(()).ok_or(Malformed::Name)?;
        self.timed.then_some(()).ok_or(Malformed::Time)?;
        let session = self.session;
        // §5.7: one for all, or one for each; a refused stream needs none.
        let whole = session.connection.is_some()
            || session.media.iter().all(|media| media.connection.is_some() || media.port == 0);
        whole.then_some(session).ok_or(Malformed::Connection)
    }
}

impl Direction {
    fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"sendrecv" => Some(Self::SendRecv),
            b"sendonly" => Some(Self::SendOnly),
            b"recvonly" => Some(Self::RecvOnly),
            b"inactive" => Some(Self::Inactive),
            _ => None,
        }
    }
}

/// The words of a line that must be text.
fn words(value: &[u8]) -> Option<impl Iterator<Item = &str>> {
    Some(str::from_utf8(value).ok()?.split([' ', '\t']).filter(|word| !word.is_empty()))
}

/// `username sess-id sess-version IN IP4 address` (§5.2).
fn read_origin(value: &[u8]) -> Option<Origin> {
    let value = String::from_utf8_lossy(value);
    let fields: Vec<_> = value.split_ascii_whitespace().collect();
    let [username, session_id, version, "IN", "IP4" | "IP6", _address] = fields[..] else {
        return None;
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(session_id) && digits(version)).then(|| Origin {
        username: username.to_owned(),
        session_id: session_id.to_owned(),
        version: version.to_owned(),
    })
}

/// `IN IP4 address[/ttl[/count]]` (§5.7).
fn read_connection(value: &[u8]) -> Option<Connection> {
    let mut words = words(value)?;
    let (net, family, text) = (words.next()?, words.next()?, words.next()?);
    let text = text.split('/').next()?;
    if net != "IN" || words.next().is_some() {
        return None;
    }
    address(family, text).or_else(|| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
        // Figures alone are an address that is none, not a name.
        let name = text.bytes().all(legal) && text.bytes().any(|byte| byte.is_ascii_alphabetic());
        let family = matches!(family, "IP4" | "IP6");
        (name && family).then(|| Connection::Name(text.to_owned()))
    })
}

fn address(family: &str, text: &str) -> Option<Connection> {
    let address = text.parse::<IpAddr>().ok()?;
    let right = matches!((family, address), ("IP4", IpAddr::V4(_)) | ("IP6", IpAddr::V6(_)));
    right.then_some(Connection::Address(address))
}

/// `start stop` in seconds since 1900 (§5.9).
fn is_time(value: &[u8]) -> bool {
    let digits = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    words(value).is_some_and(|words| {
        let words: Vec<_> = words.take(3).collect();
        words.len() == 2 && words.into_iter().all(digits)
    })
}

/// `media port[/count] protocol format...` (§5.14).
fn read_media(value: &[u8]) -> Option<Media> {
    let mut words = words(value)?;
    let kind = words.next().filter(|kind| is_token(kind.as_bytes()))?.to_owned();
    let port = words.next()?;
    let (port, count) = port.split_once('/').unwrap_or((port, "1"));
    number::<u16>(count.as_bytes()).filter(|&count| count > 0)?;
    let protocol = words.next()?;
    let legal = protocol.split('/').all(|part| is_token(part.as_bytes()));
    let media = Media {
        kind,
        port: number(port.as_bytes())?,
        protocol: legal.then(|| protocol.to_owned())?,
        formats: words.map(str::to_owned).collect(),
        connection: None,
        direction: None,
        codecs: BTreeMap::new(),
        parameters: BTreeMap::new(),
        ptime_ms: None,
        ptime_ms_max: None,
        rtcp: None,
        voip_metrics: false,
        crypto: vec![],
    };
    let payloads = || media.formats.iter().all(|format| payload_type(format).is_some());
    let tokens = media.formats.iter().all(|format| is_format(format));
    let usable = !media.formats.is_empty() && tokens && (!media.is_rtp() || payloads());
    usable.then_some(media)
}

/// A token; `*` of BFCP is one.
fn is_format(format: &str) -> bool {
    format.bytes().all(|byte| byte.is_ascii_graphic())
}

/// RFC 3550: seven bits.
pub(super) fn payload_type(format: &str) -> Option<u8> {
    number::<u8>(format.as_bytes()).filter(|number| *number < 128)
}

/// `96 telephone-event/8000[/1]` (§6.6).
fn read_rtpmap(value: &[u8]) -> Option<(u8, Codec)> {
    let mut words = words(value)?;
    let number_of = payload_type(words.next()?)?;
    let mut parts = words.next()?.split('/');
    let name = parts.next().filter(|name| is_token(name.as_bytes()))?.to_owned();
    let clock_hz = number(parts.next()?.as_bytes()).filter(|&clock| clock > 0)?;
    // For what is no audio the third part is something else; such a stream is refused anyway.
    let channels = parts.next().map_or(Some(1), |channels| number(channels.as_bytes()))?;
    Some((number_of, Codec { name, clock_hz, channels }))
}

/// `111 minptime=10;useinbandfec=1` (§6.15).
fn read_fmtp(value: &[u8]) -> Option<(u8, String)> {
    let text = str::from_utf8(value).ok()?.trim_start();
    let (format, parameters) = text.split_once([' ', '\t'])?;
    Some((payload_type(format)?, parameters.trim().to_owned()))
}

/// Milliseconds, not zero, perhaps with a fraction, which is left out (§6.4).
fn read_ptime(value: &[u8]) -> Option<u16> {
    let text = str::from_utf8(value).ok()?.trim();
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    number::<u16>(fraction.as_bytes())?;
    number(whole.as_bytes()).filter(|&ptime| ptime > 0)
}

/// `port [IN IP4 address]` (RFC 3605 §2.1).
fn read_rtcp(value: &[u8]) -> Option<(u16, Option<IpAddr>)> {
    let mut words = words(value)?;
    let port = number(words.next()?.as_bytes()).filter(|&port| port > 0)?;
    let address = match (words.next(), words.next(), words.next()) {
        (None, ..) => None,
        (Some("IN"), Some(family), Some(text)) => match address(family, text)? {
            Connection::Address(address) => Some(address),
            Connection::Name(_) => None,
        },
        (Some(_), ..) => return None,
    };
    Some((port, address))
}

/// RFC 3611 §5.1: one of the formats is `voip-metrics`. Formats that nobody knows are no fault.
fn asks_for_voip_metrics(value: &[u8]) -> bool {
    value.split(u8::is_ascii_whitespace).any(|format| format.eq_ignore_ascii_case(b"voip-metrics"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "v=0\no=- 1 2 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n";

    fn read(text: &str) -> Result<Session, Malformed> {
        parse(text.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn a_full_description_is_read() {
        let text = "v=0
o=jdoe 2890844526 99999999999999999999 IN IP4 10.47.16.5
s=SDP Seminar \u{e9}
i=A Seminar
u=http://www.example.com/seminars/sdp.pdf
e=j.doe@example.com (Jane Doe)
p=+1 617 555-6011
c=IN IP4 224.2.17.12/127
b=AS:64
t=2873397496 2873404696
r=7d 1h 0 25h
z=2882844526 -1h
k=clear:x
a=recvonly
m=audio 49170/2 RTP/AVP 0 96 101
i=voice
c=IN IP6 2001:db8::1
b=AS:64
k=prompt
a=rtpmap:96 L16/44100/2
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20.5
a=rtcp:53020 IN IP4 126.16.64.4
a=sendonly
m=video 51372 RTP/SAVPF 99
a=rtpmap:99 h263-1998/90000
m=application 0 UDP/BFCP *
";
        let session = read(text).unwrap();

        assert_eq!(session.origin.version, "99999999999999999999");
        assert_eq!(session.direction, Some(Direction::RecvOnly));
        let [audio, video, other] = &session.media[..] else { panic!("{session:?}") };
        assert_eq!((audio.port, audio.formats.join(" ")), (49170, "0 96 101".to_owned()));
        assert_eq!(audio.connection, Some(Connection::Address("2001:db8::1".parse().unwrap())));
        let codec =
            |name: &str, clock_hz, channels| Codec { name: name.into(), clock_hz, channels };
        assert_eq!(audio.codecs[&96], codec("L16", 44_100, 2));
        assert_eq!(audio.codecs[&101], codec("telephone-event", 8_000, 1));
        assert_eq!((audio.ptime_ms, audio.direction), (Some(20), Some(Direction::SendOnly)));
        assert_eq!(audio.rtcp, Some((53020, Some("126.16.64.4".parse().unwrap()))));
        assert_eq!((video.protocol.as_str(), video.direction), ("RTP/SAVPF", None));
        assert_eq!((other.port, &other.formats[..]), (0, &["*".to_owned()][..]));
    }

    #[test]
    fn lines_may_end_with_lf_alone_and_empty_lines_may_follow() {
        let text = format!("{HEAD}m=audio 4000 RTP/AVP 0\n");

        assert!(parse(text.as_bytes()).is_ok());
        assert!(read(&format!("{text}\n\n")).is_ok());
        assert!(parse(text.trim_end().as_bytes()).is_ok());
    }

    #[test]
    fn odd_but_legal_lines_are_accepted() {
        for lines in [
            "m=audio 4000 RTP/AVP 0 \na=rtpmap:0 PCMU/8000/1\n",
            "m=audio 4000 RTP/AVP 0\na=rtpmap: 0  PCMU/8000 \na=sendrecv \n",
            "a=group:BUNDLE a\na=ice-lite\nm=audio 4000 RTP/AVP 0\na=candidate:1 1 UDP 1 10.0.0.1 1 typ host\n",
            "m=audio 4000 RTP/AVP 0\na=rtpmap:77 what-is-not-offered/8000\n",
            "m=audio 4000 RTP/AVP 0\nc=IN IP4 media.example.com\n",
            "m=image 4000 udptl t38\na=T38FaxVersion:0\n",
            "m=audio 0 RTP/AVP 0\n",
            "m=audio 4000 RTP/AVP 0\na=rtcp:4001\n",
            "",
        ] {
            assert!(read(&format!("{HEAD}{lines}")).is_ok(), "{lines}");
        }
        let per_media = HEAD.replace("c=IN IP4 192.0.2.1\n", "")
            + "m=video 0 RTP/AVP 9\nm=audio 4 RTP/AVP 0\nc=IN IP4 0.0.0.0\n";
        assert!(read(&per_media).is_ok());
        assert!(read(&HEAD.replace("s=-", "s=")).is_ok());
    }

    #[test]
    fn broken_descriptions_are_refused_by_name() {
        let media = "m=audio 4000 RTP/AVP 0\n";
        let head = |from: &str, to: &str| format!("{}{media}", HEAD.replacen(from, to, 1));
        let line = |line: &str| format!("{HEAD}{media}{line}\n");
        for (text, why) in [
            (String::new(), Malformed::Version),
            ("garbage".to_owned(), Malformed::Version),
            (head("v=0", "v=1"), Malformed::Version),
            (head("v=0\n", ""), Malformed::Version),
            (head("o=- 1 2 IN IP4 192.0.2.1\n", ""), Malformed::Origin),
            (head("o=- 1 2 IN IP4 192.0.2.1", "o=- 1 2 IN IP4"), Malformed::Origin),
            (head("o=- 1 2", "o=- x 2"), Malformed::Origin),
            (head("o=- 1 2", "o=- 1 -2"), Malformed::Origin),
            (head("IN IP4 192.0.2.1\ns", "IN IP5 192.0.2.1\ns"), Malformed::Origin),
            (head("s=-\n", ""), Malformed::Name),
            (head("s=-", "s=-\ns=-"), Malformed::Name),
            (head("t=0 0\n", ""), Malformed::Time),
            (head("t=0 0", "t=0"), Malformed::Time),
            (head("t=0 0", "t=now later"), Malformed::Time),
            (head("c=IN IP4 192.0.2.1\n", ""), Malformed::Connection),
            (head("c=IN IP4 192.0.2.1", "c=IN IP4 192.0.2.256"), Malformed::Connection),
            (head("c=IN IP4 192.0.2.1", "c=IN IP6 192.0.2.1"), Malformed::Connection),
            (head("c=IN IP4 192.0.2.1", "c=IN IP4"), Malformed::Connection),
            (head("c=IN IP4 192.0.2.1", "c=ATM IP4 192.0.2.1"), Malformed::Connection),
            (line("no equals sign"), Malformed::Line),
            (line(" a=x"), Malformed::Line),
            (line("\na=x"), Malformed::Line),
            (line("a=x\0"), Malformed::Line),
            (line("j=what"), Malformed::Type),
            (line("t=0 0"), Malformed::Time),
            (line("o=- 1 2 IN IP4 192.0.2.1"), Malformed::Origin),
            (line("m=audio"), Malformed::Media),
            (line("m=audio 4000 RTP/AVP"), Malformed::Media),
            (line("m=audio 70000 RTP/AVP 0"), Malformed::Media),
            (line("m=audio -1 RTP/AVP 0"), Malformed::Media),
            (line("m=audio x RTP/AVP 0"), Malformed::Media),
            (line("m=audio 4000/0 RTP/AVP 0"), Malformed::Media),
            (line("m=audio 4000 RTP/AVP 128"), Malformed::Media),
            (line("m=audio 4000 RTP/AVP zero"), Malformed::Media),
            (line("m=audio 4000 RTP/ 0"), Malformed::Media),
            (line("a=rtpmap:96"), Malformed::Attribute),
            (line("a=rtpmap:x PCMU/8000"), Malformed::Attribute),
            (line("a=rtpmap:200 PCMU/8000"), Malformed::Attribute),
            (line("a=rtpmap:96 PCMU"), Malformed::Attribute),
            (line("a=rtpmap:96 PCMU/0"), Malformed::Attribute),
            (line("a=rtpmap:96 PCMU/99999999999"), Malformed::Attribute),
            (line("a=ptime:0"), Malformed::Attribute),
            (line("a=ptime:-20"), Malformed::Attribute),
            (line("a=rtcp:0"), Malformed::Attribute),
            (line("a=rtcp:5 IN IP4"), Malformed::Attribute),
            (line(media.repeat(MEDIA_MAX).trim_end()), Malformed::MediaCount),
        ] {
            assert_eq!(read(&text), Err(why), "{text}");
        }
    }

    #[test]
    fn a_refusal_has_a_label_and_a_status() {
        assert_eq!((Malformed::Media.reason(), Malformed::Media.status()), ("sdp_media", 400));
        assert_eq!(Malformed::MediaCount.status(), 488);
    }

    #[test]
    fn no_prefix_and_no_changed_byte_makes_the_parser_panic() {
        let whole = format!(
            "{HEAD}m=audio 4000/2 RTP/AVP 0 101\na=rtpmap:101 telephone-event/8000/1\na=ptime:20.5\na=rtcp:5 IN IP6 ::1\n"
        );
        let mut read = [0, 0];
        for at in 0..whole.len() {
            _ = parse(&whole.as_bytes()[..at]);
            for byte in [0, b'\n', b' ', b'/', b':', b'=', b'9', 0xff] {
                let mut changed = whole.clone().into_bytes();
                changed[at] = byte;
                read[usize::from(parse(&changed).is_ok())] += 1;
            }
        }
        assert!(read[0] > 100 && read[1] > 100, "{read:?}");
    }

    #[test]
    fn who_wants_voip_metrics_says_so_for_a_stream_or_for_all() {
        let of = |session: &str, media: &str| {
            let audio = "m=audio 4000 RTP/AVP 8\n";
            let read = read(&format!("{HEAD}{session}{audio}{media}")).unwrap();
            (read.voip_metrics, read.media[0].voip_metrics)
        };

        assert_eq!(of("", ""), (false, false));
        assert_eq!(of("a=rtcp-xr:voip-metrics\n", ""), (true, false));
        let many = "a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,jitt Voip-Metrics\n";
        assert_eq!(of("", many), (false, true));
        // Two lines are one list, and what nobody knows is no fault.
        assert_eq!(of("", "a=rtcp-xr:voip-metrics\na=rtcp-xr:\n"), (false, true));
        for other in ["a=rtcp-xr\n", "a=rtcp-xr:\n", "a=rtcp-xr:xvoip-metrics voip-metrics=1\n"] {
            assert_eq!(of("", other), (false, false), "{other}");
        }
    }

    #[test]
    fn lines_with_keys_are_kept_in_their_order_and_bad_ones_spoil_nothing() {
        let good =
            "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";
        let text = format!("{HEAD}m=audio 4000 RTP/SAVP 8\na=crypto:rubbish\n{good}\n");
        let media = &read(&text).unwrap().media[0];
        assert_eq!(media.crypto[0], Err(crypto::Unusable::Syntax));
        assert_eq!(media.crypto[1].map(|crypto| crypto.tag), Ok(1));

        let many = format!("{HEAD}m=audio 4000 RTP/SAVP 8\n{}", format!("{good}\n").repeat(100));
        assert_eq!(read(&many).unwrap().media[0].crypto.len(), crypto::LINES_MAX);
    }
}
