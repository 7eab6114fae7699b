//! URIs: sip, sips and tel in full, any other scheme by its name only (RFC 3261 §19.1, RFC 3966).

use super::{Malformed, fault::Fault, lex};
use std::{borrow::Cow, fmt, net::IpAddr, str};

/// Name and value of a URI parameter, as written.
type Param = (String, Option<String>);

/// What kind of URI it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    /// In lower case; such a URI has nothing but this and its text.
    Other(String),
}

/// A URI taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    pub scheme: Scheme,
    /// User part, or the number of a tel URI. Escapes are undone where they stand for printable
    /// text; `%00` and the like stay as written.
    pub user: Option<String>,
    /// Name or address, an IPv6 address without brackets; empty for tel and unknown schemes.
    pub host: String,
    pub port: Option<u16>,
    pub params: Vec<Param>,
    /// User part with its password, or the whole of an unknown URI, as written.
    written: Option<String>,
    /// What follows the question mark.
    headers: Option<String>,
}

impl Uri {
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Self::read(text).ok_or_else(|| Fault::Uri.into())
    }

    fn read(text: &str) -> Option<Self> {
        Some(match Parts::read(text)? {
            Parts::Sip { scheme, userinfo, host, port, params, headers } => Self {
                user: userinfo.map(user_of).map(unescape),
                port,
                params: owned_params(params),
                written: userinfo.map(str::to_owned),
                headers: headers.map(str::to_owned),
                ..Self::bare(scheme, host.into_owned())
            },
            Parts::Tel { number, params } => Self {
                user: Some(number.to_owned()),
                params: owned_params(params),
                written: Some(number.to_owned()),
                ..Self::bare(Scheme::Tel, String::new())
            },
            Parts::Other { scheme, rest } => {
                Self { written: Some(rest.to_owned()), ..Self::bare(scheme, String::new()) }
            }
        })
    }

    fn bare(scheme: Scheme, host: String) -> Self {
        let (user, port, params, written, headers) = (None, None, vec![], None, None);
        Self { scheme, user, host, port, params, written, headers }
    }

    /// A sip URI of ours.
    pub fn new(user: Option<&str>, host: &str, port: Option<u16>) -> Self {
        Self { user: user.map(str::to_owned), port, ..Self::bare(Scheme::Sip, host.to_owned()) }
    }

    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The address, if the host is one.
    pub fn host_ip(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// A parameter; `Some(None)` if it has no value.
    pub fn param(&self, name: &str) -> Option<Option<&str>> {
        let found = self.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(found.1.as_deref())
    }

    /// RFC 3261 §19.1.1 `lr`.
    pub fn is_loose_route(&self) -> bool {
        self.param("lr").is_some()
    }

    /// As it may stand in a request line.
    pub(crate) fn without_headers(self) -> Self {
        Self { headers: None, ..self }
    }

    /// Header fields behind a question mark, which a Request-URI must not have (§19.1.1).
    pub fn has_headers(&self) -> bool {
        self.headers.is_some()
    }

    /// Equal by RFC 3261 §19.1.4, as a registrar compares bindings.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        let headers = |uri: &Self| {
            let mut list: Vec<_> =
                uri.headers.iter().flat_map(|all| all.split('&')).map(folded).collect();
            list.sort();
            list
        };
        self.scheme == other.scheme
            && self.user == other.user
            && self.password() == other.password()
            && self.host.eq_ignore_ascii_case(&other.host)
            && self.port == other.port
            && self.params_agree(other)
            && other.params_agree(self)
            && headers(self) == headers(other)
            && (!matches!(self.scheme, Scheme::Other(_)) || self.written == other.written)
    }

    /// A parameter in both must agree; these few must not be in one alone.
    fn params_agree(&self, other: &Self) -> bool {
        const SIGNIFICANT: [&str; 5] = ["maddr", "method", "transport", "ttl", "user"];
        self.params.iter().all(|(name, value)| match other.param(name) {
            Some(theirs) => folded(value.as_deref().unwrap_or("")) == folded(theirs.unwrap_or("")),
            None => !SIGNIFICANT.contains(&folded(name).as_str()),
        })
    }

    /// As it was read, unless somebody has given the URI another user.
    fn written_user(&self) -> Option<Cow<'_, str>> {
        match (&self.written, &self.user) {
            (Some(written), Some(user)) if unescape(user_of(written)) != *user => {
                Some(escape(user).into())
            }
            (Some(written), _) if written.is_ascii() => Some(written.into()),
            // What may only stand escaped leaves so, however it came.
            (Some(written), _) => Some(escape_foreign(written).into()),
            (None, user) => user.as_deref().map(|user| escape(user).into()),
        }
    }

    fn password(&self) -> Option<String> {
        let (_, password) = self.written.as_deref()?.split_once(':')?;
        Some(unescape(password))
    }
}

/// A URI told apart and found whole, not copied: most are only judged.
pub(super) enum Parts<'a> {
    Sip {
        scheme: Scheme,
        userinfo: Option<&'a str>,
        host: Cow<'a, str>,
        port: Option<u16>,
        params: Option<&'a str>,
        headers: Option<&'a str>,
    },
    Tel {
        number: &'a str,
        params: Option<&'a str>,
    },
    Other {
        scheme: Scheme,
        rest: &'a str,
    },
}

impl<'a> Parts<'a> {
    /// `None`: no URI.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let bad = |byte: u8| byte.is_ascii_control() || b" <>\"\\^`{|}".contains(&byte);
        let (scheme, rest) = text.split_once(':')?;
        if text.bytes().any(bad) || rest.is_empty() {
            return None;
        }
        match scheme_of(scheme)? {
            Scheme::Tel => Self::tel(rest),
            scheme @ Scheme::Other(_) => Some(Self::Other { scheme, rest }),
            scheme @ (Scheme::Sip | Scheme::Sips) => Self::sip(scheme, rest),
        }
    }

    /// `[userinfo "@"] hostport params [headers]`. The user part may hold `;`, `?` and `/`, but
    /// nothing after it may hold an `@`, so there is one at most.
    fn sip(scheme: Scheme, rest: &'a str) -> Option<Self> {
        let (userinfo, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (rest, headers) = match rest.split_once('?') {
            Some((rest, headers)) => (rest, Some(headers)),
            None => (rest, None),
        };
        let (hostport, params) = match rest.split_once(';') {
            Some((hostport, params)) => (hostport, Some(params)),
            None => (rest, None),
        };
        let (host, port) = host_port(hostport)?;
        let user = userinfo.map(user_of);
        let escaped = [userinfo, params, headers].into_iter().flatten().all(escapes_are_whole);
        let plain = [rest, headers.unwrap_or("")].iter().all(|part| part.is_ascii());
        if !escaped || !plain || user.is_some_and(str::is_empty) {
            return None;
        }
        params.is_none_or(params_are_whole).then_some(())?;
        Some(Self::Sip { scheme, userinfo, host, port, params, headers })
    }

    /// RFC 3966 §3: digits and visual separators, a plus sign in front if global.
    fn tel(rest: &'a str) -> Option<Self> {
        let (number, params) = match rest.split_once(';') {
            Some((number, params)) => (number, Some(params)),
            None => (rest, None),
        };
        let digits = number.strip_prefix('+').unwrap_or(number);
        let legal = |byte: u8| byte.is_ascii_hexdigit() || b"*#-.()".contains(&byte);
        let some = digits.bytes().any(|byte| byte.is_ascii_hexdigit() || b"*#".contains(&byte));
        if !some || !digits.bytes().all(legal) {
            return None;
        }
        params.is_none_or(params_are_whole).then_some(Self::Tel { number, params })
    }

    /// As [`Uri::has_headers`].
    pub(super) fn has_headers(&self) -> bool {
        matches!(self, Self::Sip { headers: Some(_), .. })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scheme {
            Scheme::Sip => f.write_str("sip:")?,
            Scheme::Sips => f.write_str("sips:")?,
            Scheme::Tel => f.write_str("tel:")?,
            Scheme::Other(name) => write!(f, "{name}:")?,
        }
        let after_user = if matches!(self.scheme, Scheme::Sip | Scheme::Sips) { "@" } else { "" };
        if let Some(user) = self.written_user() {
            write!(f, "{user}{after_user}")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        for (name, value) in &self.params {
            write!(f, ";{name}")?;
            if let Some(value) = value {
                write!(f, "={value}")?;
            }
        }
        if let Some(headers) = &self.headers {
            write!(f, "?{headers}")?;
        }
        Ok(())
    }
}

fn scheme_of(name: &str) -> Option<Scheme> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    let alphabetic = name.bytes().next()?.is_ascii_alphabetic();
    (alphabetic && name.bytes().all(legal)).then_some(())?;
    let known = [("sip", Scheme::Sip), ("sips", Scheme::Sips), ("tel", Scheme::Tel)];
    let known = known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
    Some(known.map_or_else(|| Scheme::Other(name.to_ascii_lowercase()), |(_, scheme)| scheme))
}

/// Without the password.
fn user_of(userinfo: &str) -> &str {
    userinfo.split_once(':').map_or(userinfo, |(user, _)| user)
}

/// `host [":" port]` without blanks.
fn host_port(text: &str) -> Option<(Cow<'_, str>, Option<u16>)> {
    let after_bracket = text.find(']').unwrap_or(0);
    let Some(colon) = text.get(after_bracket..)?.find(':') else {
        return Some((host(text)?, None));
    };
    let (name, port) = text.split_at_checked(after_bracket + colon)?;
    let port = lex::number(port.as_bytes().get(1..)?).filter(|&port| port > 0)?;
    Some((host(name)?, Some(port)))
}

/// A name, an IPv4 address, or an IPv6 address in brackets, which are left out.
pub(super) fn host(text: &str) -> Option<Cow<'_, str>> {
    if let Some(inside) = text.strip_prefix('[') {
        let inside = inside.strip_suffix(']')?;
        let address = |text: &str| text.parse::<std::net::Ipv6Addr>().is_ok();
        // RFC 5118 §4.10: the grammar of RFC 3261 has a colon too many before an IPv4 tail, and
        // both forms must be tolerated.
        if address(inside) {
            return Some(inside.into());
        }
        let mended = inside.replacen(":::", "::", 1);
        return (inside.contains('.') && address(&mended)).then(|| mended.into());
    }
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let digits = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let named = !text.is_empty() && text.bytes().all(legal) && !text.starts_with(['.', '-']);
    let usable = named && !text.contains("..");
    // A top label starts with a letter, so figures alone must be an address.
    let address = || !text.bytes().all(digits) || text.parse::<std::net::Ipv4Addr>().is_ok();
    (usable && address()).then(|| text.into())
}

/// `name[=value]` between semicolons, none of them empty.
fn params_are_whole(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$%".contains(&byte);
    let whole = |part: &str| !part.is_empty() && part.bytes().all(legal);
    split_params(text).all(|(name, value)| whole(name) && value.is_none_or(whole))
}

fn split_params(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(';').map(|param| match param.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (param, None),
    })
}

fn owned_params(text: Option<&str>) -> Vec<Param> {
    let params = text.into_iter().flat_map(split_params);
    params.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).collect()
}

fn folded(text: &str) -> String {
    unescape(text).to_ascii_lowercase()
}

fn escapes_are_whole(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| hex_pair(rest.as_bytes()).is_some())
}

fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// Undoes `%XX`, unless that gives a control character or bytes that are no text: such a user
/// part can only be compared as it is written.
fn unescape(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let Some(byte) = hex_pair(piece.as_bytes()) else { return text.to_owned() };
        bytes.push(byte);
        bytes.extend(piece.bytes().skip(2));
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|clear| !clear.chars().any(char::is_control))
        .unwrap_or_else(|| text.to_owned())
}

/// RFC 3261 §25.1: `unreserved` and `user-unreserved` stay, the rest becomes `%XX`.
pub(super) fn escape(user: &str) -> String {
    let mut written = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            written.push(char::from(byte));
        } else {
            written.push_str(&format!("%{byte:02X}"));
        }
    }
    written
}

fn escape_foreign(written: &str) -> String {
    written.bytes().fold(String::with_capacity(written.len()), |mut text, byte| {
        if byte.is_ascii() {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        Uri::parse(text).expect(text)
    }

    #[test]
    fn parts_are_told_apart() {
        let whole =
            uri("sips:al%69ce:pa%3Ass@[2001:DB8::1]:5071;transport=tcp;lr?subject=a%20b&x=");

        assert_eq!((&whole.scheme, whole.user()), (&Scheme::Sips, Some("alice")));
        assert_eq!((whole.host.as_str(), whole.port), ("2001:DB8::1", Some(5071)));
        assert_eq!(whole.host_ip(), Some("2001:db8::1".parse().unwrap()));
        assert_eq!(whole.param("TRANSPORT"), Some(Some("tcp")));
        assert!(whole.is_loose_route() && whole.has_headers());
    }

    #[test]
    fn a_user_may_hold_separators_and_an_escaped_at_sign() {
        assert_eq!(
            uri("sip:user;par=u%40example.net@example.com").user(),
            Some("user;par=u@example.net")
        );
        assert_eq!(
            uri("sip:sips%3Auser%40example.com@example.net").user(),
            Some("sips:user@example.com")
        );
        assert_eq!(uri("sip:*31#5551234@10.0.0.1").user(), Some("*31#5551234"));
        assert_eq!(uri("sip:example.com").user(), None);
    }

    #[test]
    fn escapes_that_make_no_printable_text_stay_as_written() {
        assert_eq!(uri("sip:null-%00-null@example.com").user(), Some("null-%00-null"));
        assert_eq!(uri("sip:%0d%0aVia@example.com").user(), Some("%0d%0aVia"));
        assert_eq!(uri("sip:%ff@example.com").user(), Some("%ff"));
        assert_eq!(uri("sip:%25%34%31@example.com").user(), Some("%41"));
    }

    #[test]
    fn numbers_stand_where_users_stand() {
        let tel = uri("tel:+54-11-5555-0100;phone-context=example.com");

        assert_eq!((&tel.scheme, tel.user()), (&Scheme::Tel, Some("+54-11-5555-0100")));
        assert_eq!(
            (tel.host.as_str(), tel.param("phone-context")),
            ("", Some(Some("example.com")))
        );
    }

    #[test]
    fn what_was_read_is_written_again_byte_for_byte() {
        for text in [
            "sip:alice@example.com",
            "sip:al%69ce:p%40ss@Example.COM:5061;Transport=UDP;x=%41?a=b",
            "sip:[2001:db8::1]",
            "sip:%00@10.0.0.1;lr",
            "sips:1@[::ffff:192.0.2.1]:5061",
            "tel:+5411",
            "tel:*31#;phone-context=+54",
            "urn:service:sos",
        ] {
            assert_eq!(uri(text).to_string(), text);
        }
    }

    #[test]
    fn a_user_that_came_without_its_escapes_leaves_with_them() {
        assert_eq!(uri("sip:jos\u{e9}:p@10.0.0.1;lr").to_string(), "sip:jos%C3%A9:p@10.0.0.1;lr");
    }

    #[test]
    fn a_user_of_ours_is_escaped() {
        assert_eq!(
            Uri::new(Some("a b@c%:+1"), "::1", Some(5060)).to_string(),
            "sip:a%20b%40c%25%3A+1@[::1]:5060"
        );
        let mut other = uri("sip:old@example.com");
        other.user = Some("new one".to_owned());
        assert_eq!(other.to_string(), "sip:new%20one@example.com");
    }

    #[test]
    fn what_is_no_uri_is_refused() {
        for text in [
            "",
            "sip",
            "sip:",
            ":x",
            "1sip:x",
            "sip:a@",
            "sip:@b",
            "sip:a@b@c",
            "sip:a b@c",
            "sip:a@b:0",
            "sip:a@b:65536",
            "sip:a@b:x",
            "sip:a@b:",
            "sip:a@b;",
            "sip:a@b;;x",
            "sip:a@b;x=",
            "sip:a@b;=x",
            "sip:%zz@b",
            "sip:a%2@b",
            "sip:a@1.2.3",
            "sip:a@256.1.1.1",
            "sip:a@[::1",
            "sip:a@[1.2.3.4]",
            "sip:a@::1",
            "sip:a@b..c",
            "sip:a@b/c",
            "sip:a@é.com",
            "<sip:a@b>",
            "sip:a\r\nb@c",
            "tel:",
            "tel:+",
            "tel:12x",
            "tel:+1@b",
            "sip:a@b;x=\"y\"",
        ] {
            assert!(Uri::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn equivalence_follows_the_examples_of_the_rfc() {
        // RFC 3261 §19.1.4.
        for (a, b) in [
            ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
            (
                "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
                "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
            ),
        ] {
            assert!(uri(a).is_equivalent(&uri(b)) && uri(b).is_equivalent(&uri(a)), "{a} {b}");
        }
        for (a, b) in [
            ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
            ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
            ("sip:bob@biloxi.com", "sip:bob:x@biloxi.com"),
            ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
            ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
            ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
            ("sip:%00@a.com", "sip:%00%00@a.com"),
            ("urn:a", "urn:b"),
        ] {
            assert!(!uri(a).is_equivalent(&uri(b)) && !uri(b).is_equivalent(&uri(a)), "{a} {b}");
        }
    }
}
