//! The header fields we look into: Via and everything shaped like From (RFC 3261 §20, §25.1).

use super::{headers::delta_seconds, lex, uri::Parts};
use std::{
    borrow::Cow,
    fmt::{self, Write},
    net::IpAddr,
};

/// Parameters in their order: name in lower case, value without quotes.
pub type Params = Vec<(String, Option<String>)>;

/// One of them, not copied.
type Param<'a> = (&'a str, Option<Cow<'a, str>>);

/// What follows a value: nothing, or `;name=value` any number of times.
fn split_params(bytes: &[u8]) -> Option<impl Iterator<Item = Option<Param<'_>>>> {
    let bytes = lex::trim(bytes);
    let some = if bytes.is_empty() { None } else { Some(bytes.strip_prefix(b";")?) };
    Some(some.into_iter().flat_map(|params| lex::split_list(params, b';')).map(param))
}

fn read_params(bytes: &[u8]) -> Option<Params> {
    let owned = |(name, value): Param<'_>| (name.to_ascii_lowercase(), value.map(Cow::into_owned));
    split_params(bytes)?.map(|param| param.map(owned)).collect()
}

fn params_are_whole(bytes: &[u8]) -> bool {
    split_params(bytes).is_some_and(|mut params| params.all(|param| param.is_some()))
}

/// `None`: no such parameter. `Some(None)`: it has no value.
fn find<'a>(params: &'a Params, name: &str) -> Option<Option<&'a str>> {
    let found = params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
    Some(found.1.as_deref())
}

fn param(bytes: &[u8]) -> Option<Param<'_>> {
    let (name, value) = match lex::split_once(bytes, b'=') {
        Some((name, value)) => (lex::trim(name), Some(param_value(lex::trim(value))?)),
        None => (bytes, None),
    };
    let name = std::str::from_utf8(name).ok().filter(|name| lex::is_token(name.as_bytes()))?;
    Some((name, value))
}

/// `gen-value`: a token, a host (IPv6 brackets included) or a quoted string.
fn param_value(bytes: &[u8]) -> Option<Cow<'_, str>> {
    if bytes.starts_with(b"\"") {
        let whole = lex::quoted(bytes).filter(|(_, rest)| rest.is_empty());
        return whole.map(|(text, _)| text.into());
    }
    std::str::from_utf8(bytes).ok().filter(|text| is_plain(text)).map(Cow::Borrowed)
}

/// Can stand without quotes. The grammar has tokens and hosts here; peers write addresses into tags
/// and branches, an IPv6 address without its brackets included (RFC 5118 §4.5), and must get back
/// what they wrote. So: whatever is visible and separates nothing.
fn is_plain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>,;=\\".contains(&byte);
    !text.is_empty() && text.bytes().all(plain)
}

/// Parameters looked at in a Via that cannot be read: branch and rport stand first everywhere.
const SALVAGED_MAX: usize = 16;

/// One Via value (RFC 3261 §20.42, RFC 3581).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `UDP`, in capitals.
    pub transport: String,
    /// Name or address of sent-by; an IPv6 address without its brackets.
    pub host: String,
    pub port: Option<u16>,
    pub branch: Option<String>,
    /// `Some(None)`: asked for. `Some(Some(port))`: filled in.
    pub rport: Option<Option<u16>>,
    pub received: Option<IpAddr>,
    pub maddr: Option<String>,
    pub params: Params,
}

impl Via {
    /// One value, not a list of them.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (mut via, params) = Self::parse_sent_by(bytes)?;
        via.params = read_params(params)?;
        via.branch = find(&via.params, "branch").flatten().map(str::to_owned);
        via.maddr = find(&via.params, "maddr").flatten().map(str::to_owned);
        via.received = match find(&via.params, "received").flatten() {
            Some(text) => Some(received(text)?),
            None => None,
        };
        via.rport = match find(&via.params, "rport") {
            Some(Some(port)) => Some(Some(lex::number(port.as_bytes())?)),
            asked => asked.map(|_| None),
        };
        Some(via)
    }

    /// Whether [`parse`](Self::parse) would read it: the same questions, nothing kept.
    pub(super) fn is_whole(bytes: &[u8]) -> bool {
        let params = SentBy::read(bytes).and_then(|(_, params)| split_params(params));
        let (mut first_received, mut first_rport) = (true, true);
        params.is_some_and(|mut params| {
            params.all(|param| {
                let Some((name, value)) = param else { return false };
                let is_first = |known, first: &mut bool| {
                    name.eq_ignore_ascii_case(known) && std::mem::take(first)
                };
                let good_received = !is_first("received", &mut first_received)
                    || value.as_deref().is_none_or(|text| received(text).is_some());
                let good_rport = !is_first("rport", &mut first_rport)
                    || value.is_none_or(|port| lex::number::<u16>(port.as_bytes()).is_some());
                good_received && good_rport
            })
        })
    }

    /// The value, or what can be read of its first parameters; `None` if no address can.
    pub(super) fn readable_part(bytes: &[u8]) -> Option<Vec<u8>> {
        if Self::parse(bytes).is_some() {
            return Some(bytes.to_vec());
        }
        let mut parts = lex::split_list(bytes, b';');
        let mut kept = parts.next().filter(|sent_by| Self::parse(sent_by).is_some())?.to_vec();
        for param in parts.take(SALVAGED_MAX) {
            if Self::parse(&[b"SIP/2.0/UDP x;", param].concat()).is_some() {
                kept.extend_from_slice(&[b";", param].concat());
            }
        }
        Some(kept)
    }

    /// Protocol and sent-by, and the parameters unread: enough to send something back.
    pub(super) fn parse_sent_by(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (SentBy { transport, host, port }, params) = SentBy::read(bytes)?;
        let via = Self {
            transport: transport.to_ascii_uppercase(),
            host: host.into_owned(),
            port,
            branch: None,
            rport: None,
            received: None,
            maddr: None,
            params: vec![],
        };
        Some((via, params))
    }
}

/// The beginning of a Via, not copied.
struct SentBy<'a> {
    transport: &'a str,
    host: Cow<'a, str>,
    port: Option<u16>,
}

impl<'a> SentBy<'a> {
    /// And the parameters unread.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (name, rest) = lex::split_once(bytes, b'/')?;
        let (version, rest) = lex::split_once(rest, b'/')?;
        // §25.1: the version is any token here; that of the request line says what we speak.
        let sip = lex::trim(name).eq_ignore_ascii_case(b"SIP") && lex::is_token(lex::trim(version));
        let rest = lex::trim(rest);
        let blank = rest.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
        let (transport, rest) = rest.split_at_checked(blank)?;
        let end = rest.iter().position(|&byte| byte == b';').unwrap_or(rest.len());
        let (sent_by, params) = rest.split_at_checked(end)?;
        let (host, port) = sent_by_parts(std::str::from_utf8(sent_by).ok()?)?;
        let transport = std::str::from_utf8(transport).ok()?;
        let good = sip && lex::is_token(transport.as_bytes());
        good.then_some((Self { transport, host, port }, params))
    }
}

/// RFC 5118 §4.5: with brackets and without.
fn received(text: &str) -> Option<IpAddr> {
    text.trim_matches(['[', ']']).parse().ok()
}

/// `host [":" port]`; the colon may have blanks around it here, unlike in a URI.
fn sent_by_parts(text: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    let after_bracket = text.find(']').unwrap_or(0);
    match text.get(after_bracket..)?.find(':') {
        Some(colon) => {
            let (host, port) = text.split_at_checked(after_bracket + colon)?;
            let port = lex::number(lex::trim(port.as_bytes().get(1..)?)).filter(|&port| port > 0);
            Some((super::uri::host(host.trim())?, Some(port?)))
        }
        None => Some((super::uri::host(text.trim())?, None)),
    }
}

/// From, To, Contact, Route, Record-Route, Refer-To: an address with a name and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// Without quotes, escapes and control characters; `None` if nothing is left.
    pub display: Option<String>,
    /// As written between the brackets; [`super::Uri::parse`] reads it.
    pub uri: String,
    pub params: Params,
}

impl NameAddr {
    /// `name-addr` or `addr-spec` (RFC 3261 §20.10), one value.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (display, uri, params) = Self::parts(bytes)?;
        Some(Self { display, uri: uri.to_owned(), params: read_params(params)? })
    }

    /// Whether [`parse`](Self::parse) would read it: the same questions, nothing kept.
    pub(super) fn is_whole(bytes: &[u8]) -> bool {
        Self::parts(bytes).is_some_and(|(_, _, params)| params_are_whole(params))
    }

    /// Name, URI, and the parameters unread.
    fn parts(bytes: &[u8]) -> Option<(Option<String>, &str, &[u8])> {
        let bytes = lex::trim(bytes);
        if bytes.starts_with(b"\"") {
            let (mut display, rest) = lex::quoted(bytes)?;
            display.retain(|letter| !letter.is_control());
            let display = (!display.trim().is_empty()).then_some(display);
            return Self::bracketed(display, lex::trim(rest));
        }
        // A bracket behind the scheme's colon belongs to a parameter: `sip:a;x="<urn:b>"`.
        let first = bytes.iter().position(|byte| b"<:".contains(byte))?;
        let (display, rest) = bytes.split_at_checked(first)?;
        if rest.starts_with(b"<") {
            Self::bracketed(unquoted_display(lex::trim(display))?, rest)
        } else {
            Self::bare(bytes)
        }
    }

    fn bracketed(display: Option<String>, bytes: &[u8]) -> Option<(Option<String>, &str, &[u8])> {
        let (uri, rest) = lex::split_once(bytes.strip_prefix(b"<")?, b'>')?;
        Some((display, uri_text(uri)?, rest))
    }

    /// Without brackets everything from the first semicolon on belongs to the header, and there
    /// can be no comma and no question mark (§20.10).
    fn bare(bytes: &[u8]) -> Option<(Option<String>, &str, &[u8])> {
        let end = bytes.iter().position(|&byte| byte == b';').unwrap_or(bytes.len());
        let (uri, rest) = bytes.split_at_checked(end)?;
        let plain = !uri.iter().any(|byte| b"?,".contains(byte));
        let uri = plain.then(|| uri_text(lex::trim(uri)))??;
        Some((None, uri, rest))
    }

    /// A parameter; `Some(None)` if it has no value.
    pub fn param(&self, name: &str) -> Option<Option<&str>> {
        find(&self.params, name)
    }

    pub fn tag(&self) -> Option<&str> {
        self.param("tag").flatten()
    }

    /// Seconds of a Contact's `expires`, read as [`super::Headers::expires`] is.
    pub fn expires(&self) -> Option<u32> {
        delta_seconds(self.param("expires")??.as_bytes())
    }
}

impl fmt::Display for NameAddr {
    /// In brackets always; the display name as a quoted string.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", Quoted(display))?;
        }
        write!(f, "<{}>", self.uri)?;
        for (name, value) in &self.params {
            match value {
                Some(value) if is_plain(value) => write!(f, ";{name}={value}")?,
                Some(value) => write!(f, ";{name}={}", Quoted(value))?,
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for letter in self.0.chars().filter(|letter| !letter.is_control()) {
            if matches!(letter, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(letter)?;
        }
        f.write_char('"')
    }
}

fn uri_text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| Parts::read(text).is_some())
}

/// Tokens and blanks by the grammar; we also take what cannot be misread (`Sales (North)`).
fn unquoted_display(bytes: &[u8]) -> Option<Option<String>> {
    let clear = |byte: &u8| !byte.is_ascii_control() && !b"\"\\,;>:".contains(byte);
    let text = String::from_utf8_lossy(bytes).into_owned();
    let display = (!text.is_empty()).then_some(text);
    bytes.iter().all(|byte| *byte == b'\t' || clear(byte)).then_some(display)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_is_read_with_its_response_parameters() {
        let via = Via::parse(b"SIP/2.0/udp [2001:db8::9]:6050;rport=5099;received=192.0.2.1;maddr=x;ttl=3;branch=z9hG4bK1").unwrap();

        assert_eq!(
            (via.transport.as_str(), via.host.as_str(), via.port),
            ("UDP", "2001:db8::9", Some(6050))
        );
        assert_eq!(
            (via.rport, via.received),
            (Some(Some(5099)), Some("192.0.2.1".parse().unwrap()))
        );
        assert_eq!((via.maddr.as_deref(), via.branch.as_deref()), (Some("x"), Some("z9hG4bK1")));
    }

    #[test]
    fn what_is_no_via_is_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0 UDP x",
            "SIP/2 0/UDP x",
            "SIP//UDP x",
            "SIP/2.0/U,P x",
            "SIP/2.0/UDP x:0",
            "SIP/2.0/UDP x:70000",
            "SIP/2.0/UDP x y",
            "SIP/2.0/UDP x;;branch=1",
            "SIP/2.0/UDP x;received=nowhere",
            "SIP/2.0/UDP x;rport=x",
            "SIP/2.0/UDP [::1;branch=1",
        ] {
            assert_eq!(Via::parse(text.as_bytes()), None, "{text}");
        }
    }

    /// Every text, cut off anywhere, and with any one byte become another.
    fn variants<'a>(texts: &'a [&str]) -> impl Iterator<Item = Vec<u8>> + 'a {
        texts.iter().flat_map(|text| {
            let cut = (0..=text.len()).map(|end| text.as_bytes()[..end].to_vec());
            let changed = (0..text.len()).flat_map(move |at| {
                b";=\"<>@:?,%[] .a0\xff".iter().map(move |&byte| {
                    let mut bytes = text.as_bytes().to_vec();
                    bytes[at] = byte;
                    bytes
                })
            });
            cut.chain(changed)
        })
    }

    #[test]
    fn what_is_judged_whole_is_what_can_be_read() {
        let vias = [
            "SIP/2.0/UDP [2001:db8::9]:6050;rport=5099;received=192.0.2.1;branch=z9hG4bK1",
            "SIP / 2.0 / tcp host.example : 5060 ;rport;received=[::1];x=\"a;b\";received=no",
        ];
        let addresses = [
            r#""A \"B\" \\" <sip:a%20b@b:5061;lr=1?x=y>;tag=1;x="a;b";lr"#,
            "Sales <tel:+54-11;phone-context=x>;expires=7",
            "sips:a@[::1]:5061;tag=x",
        ];

        for bytes in variants(&vias) {
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(Via::is_whole(&bytes), Via::parse(&bytes).is_some(), "{text}");
        }
        for bytes in variants(&addresses) {
            let text = String::from_utf8_lossy(&bytes);
            assert_eq!(NameAddr::is_whole(&bytes), NameAddr::parse(&bytes).is_some(), "{text}");
        }
    }

    #[test]
    fn an_address_is_written_so_that_it_reads_the_same() {
        for text in [
            r#""A \"B\" \\" <sip:a@b;lr>;tag=1;x="a;b";lr"#,
            "<sip:a@b>",
            r#""Señora" <tel:+54>;tag=x"#,
        ] {
            assert_eq!(NameAddr::parse(text.as_bytes()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_name_of_blanks_is_none() {
        for text in [r#""" <sip:a@b>"#, r#""  " <sip:a@b>"#, " <sip:a@b>"] {
            assert_eq!(NameAddr::parse(text.as_bytes()).unwrap().display, None);
        }
    }

    #[test]
    fn a_display_name_cannot_end_its_line() {
        let address = NameAddr {
            display: Some("a\r\nVia: x\0".to_owned()),
            uri: "sip:a@b".to_owned(),
            params: vec![],
        };

        assert_eq!(address.to_string(), r#""aVia: x" <sip:a@b>"#);
    }

    #[test]
    fn expiry_of_a_contact_is_its_own() {
        let expires = |text: &str| NameAddr::parse(text.as_bytes()).unwrap().expires();

        assert_eq!(expires("<sip:a@b;expires=1>;Expires=60"), Some(60));
        assert_eq!(expires("<sip:a@b>;expires=280297596632815"), Some(u32::MAX));
        assert_eq!((expires("<sip:a@b>"), expires("<sip:a@b>;expires=x")), (None, None));
    }
}
