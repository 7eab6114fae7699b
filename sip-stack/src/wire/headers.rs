//! Header lines in their order, with their values as bytes (RFC 3261 §7.3).

use super::{
    Malformed, Method,
    fault::Fault,
    fields::{NameAddr, Via},
    lex,
};
use std::{borrow::Cow, fmt};

/// RFC 3261 §8.1.1.5: a sequence number is below 2^31.
const CSEQ_MAX: u32 = (1 << 31) - 1;

/// Lines of an INVITE with a few headers of its carrier's own.
const USUAL_LINES: usize = 16;

/// Header lines in their order. Names compare without case, a compact name equals its long form;
/// both leave as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Eq)]
struct Line {
    name: Cow<'static, str>,
    value: Vec<u8>,
}

impl Line {
    fn new(name: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { name: spelling(name), value: value.into() }
    }

    fn is(&self, name: &str) -> bool {
        long_name(&self.name).eq_ignore_ascii_case(long_name(name))
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.name, String::from_utf8_lossy(&self.value))
    }
}

impl Headers {
    pub fn new() -> Self {
        Self::default()
    }

    /// With room for as many lines as most messages have.
    pub(super) fn roomy() -> Self {
        Self { lines: Vec::with_capacity(USUAL_LINES) }
    }

    /// Adds a line at the end.
    pub fn push(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.lines.push(Line::new(name, value));
    }

    /// Adds a line before all others.
    pub fn push_front(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.lines.insert(0, Line::new(name, value));
    }

    /// Gives the first line of that name this value and removes the others; adds one if there
    /// is none.
    pub fn set(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        let Some(first) = self.lines.iter().position(|line| line.is(name)) else {
            return self.push(name, value);
        };
        self.set_first(name, value);
        let mut at = 0;
        self.lines.retain(|line| {
            at += 1;
            at - 1 <= first || !line.is(name)
        });
    }

    /// Gives the first line of that name this value and leaves the others alone.
    pub(super) fn set_first(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.is(name)) {
            line.value = value.into();
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.lines.retain(|line| !line.is(name));
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Every line: name as written, value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.lines.iter().map(|line| (&*line.name, line.value.as_slice()))
    }

    /// Every line but those of that name.
    pub(super) fn iter_except(&self, name: &str) -> impl Iterator<Item = (&str, &[u8])> {
        let others = self.lines.iter().filter(move |line| !line.is(name));
        others.map(|line| (&*line.name, line.value.as_slice()))
    }

    /// Value of the first line of that name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.lines.iter().find(|line| line.is(name)).map(|line| line.value.as_slice())
    }

    /// The same, if it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// Values of all lines of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.lines.iter().filter(move |line| line.is(name)).map(|line| line.value.as_slice())
    }

    /// All values of all lines of that name, split at commas outside quotes and `<>`; empty ones
    /// are left out. For Via, Route, Record-Route, Contact, Require, Supported, Allow.
    pub fn list<'a>(&'a self, name: &'a str) -> Vec<&'a [u8]> {
        self.elements(name).filter(|element| !element.is_empty()).collect()
    }

    /// [`Self::list`] with the empty ones.
    pub(super) fn elements<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.all(name).flat_map(|line| lex::split_list(line, b','))
    }

    /// The Via the response goes back to.
    pub fn top_via(&self) -> Result<Via, Malformed> {
        let top = self.elements("Via").next().ok_or(Fault::Via)?;
        Via::parse(top).ok_or_else(|| Fault::Via.into())
    }

    pub fn from(&self) -> Result<NameAddr, Malformed> {
        self.name_addr("From").ok_or_else(|| Fault::From.into())
    }

    pub fn to(&self) -> Result<NameAddr, Malformed> {
        self.name_addr("To").ok_or_else(|| Fault::To.into())
    }

    fn name_addr(&self, name: &str) -> Option<NameAddr> {
        NameAddr::parse(self.get(name)?)
    }

    /// RFC 3261 §25.1 wants a word, or two with an at sign between them; peers write more. It is
    /// only compared and given back, so whatever is visible will do.
    pub fn call_id(&self) -> Result<&str, Malformed> {
        self.text("Call-ID")
            .filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| Fault::CallId.into())
    }

    /// Sequence number, below 2^31, and method.
    pub fn cseq(&self) -> Result<(u32, Method), Malformed> {
        self.read_cseq().ok_or_else(|| Fault::CSeq.into())
    }

    fn read_cseq(&self) -> Option<(u32, Method)> {
        let value = self.get("CSeq")?;
        let blank = value.iter().position(|byte| matches!(byte, b' ' | b'\t'))?;
        let (digits, method) = value.split_at_checked(blank)?;
        let (digits, method) = (lex::number(digits)?, lex::trim(method));
        let method = std::str::from_utf8(method).ok().filter(|name| lex::is_token(name.as_bytes()));
        (digits <= CSEQ_MAX).then_some((digits, Method::from_name(method?)))
    }

    /// Every Contact with an address; none for `Contact: *`.
    pub fn contacts(&self) -> Result<Vec<NameAddr>, Malformed> {
        if self.is_star_contact() {
            return Ok(vec![]);
        }
        let contacts: Option<_> = self.elements("Contact").map(NameAddr::parse).collect();
        contacts.ok_or_else(|| Fault::Contact.into())
    }

    /// `Contact: *`, which removes every binding (RFC 3261 §10.2.2). Alone, or it is malformed.
    pub fn is_star_contact(&self) -> bool {
        self.elements("Contact").eq([b"*".as_slice()])
    }

    /// `None` if there is no such header: it is optional where RFC 2543 is spoken.
    pub fn max_forwards(&self) -> Result<Option<u8>, Malformed> {
        let Some(value) = self.get("Max-Forwards") else { return Ok(None) };
        lex::number(value).map(Some).ok_or_else(|| Fault::MaxForwards.into())
    }

    /// Seconds. Digits that do not fit are as good as for ever; anything else is no value.
    pub fn expires(&self) -> Option<u32> {
        delta_seconds(self.get("Expires")?)
    }
}

/// RFC 3261 §25.1 `delta-seconds`.
pub(super) fn delta_seconds(digits: &[u8]) -> Option<u32> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| lex::number(digits).unwrap_or(u32::MAX))
}

/// As written. Nearly every line has one of these names, and so needs no memory for it.
fn spelling(name: &str) -> Cow<'static, str> {
    const USUAL: [&str; 26] = [
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Max-Forwards",
        "Content-Length",
        "Content-Type",
        "Route",
        "Record-Route",
        "Allow",
        "Supported",
        "User-Agent",
        "Server",
        "Require",
        "Expires",
        "Authorization",
        "WWW-Authenticate",
        "Accept",
        "Retry-After",
        "Warning",
        "Reason",
        "Date",
        "Session-Expires",
        "P-Asserted-Identity",
    ];
    match USUAL.iter().find(|usual| **usual == name) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(name.to_owned()),
    }
}

/// The long form of a compact name (RFC 3261 §7.3.3, and the RFCs that added to it).
fn long_name(name: &str) -> &str {
    let &[letter] = name.as_bytes() else { return name };
    match letter.to_ascii_lowercase() {
        b'a' => "Accept-Contact",
        b'b' => "Referred-By",
        b'c' => "Content-Type",
        b'd' => "Request-Disposition",
        b'e' => "Content-Encoding",
        b'f' => "From",
        b'i' => "Call-ID",
        b'j' => "Reject-Contact",
        b'k' => "Supported",
        b'l' => "Content-Length",
        b'm' => "Contact",
        b'n' => "Identity-Info",
        b'o' => "Event",
        b'r' => "Refer-To",
        b's' => "Subject",
        b't' => "To",
        b'u' => "Allow-Events",
        b'v' => "Via",
        b'x' => "Session-Expires",
        b'y' => "Identity",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        lines.iter().for_each(|(name, value)| headers.push(name, *value));
        headers
    }

    fn names(headers: &Headers) -> Vec<&str> {
        headers.iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn names_match_without_case_and_in_either_form() {
        let headers = headers(&[("i", "one"), ("x-OTHER", "two")]);

        assert_eq!(headers.text("CALL-ID"), Some("one"));
        assert_eq!(headers.text("I"), Some("one"));
        assert_eq!(headers.text("X-other"), Some("two"));
        assert_eq!(headers.text("x"), None);
        assert_eq!(names(&headers), ["i", "x-OTHER"]);
    }

    #[test]
    fn every_compact_name_stands_for_its_long_one() {
        let long = [
            "Accept-Contact",
            "Referred-By",
            "Content-Type",
            "Request-Disposition",
            "Content-Encoding",
            "From",
            "Call-ID",
            "Reject-Contact",
            "Supported",
            "Content-Length",
            "Contact",
            "Identity-Info",
            "Event",
            "Refer-To",
            "Subject",
            "To",
            "Allow-Events",
            "Via",
            "Session-Expires",
            "Identity",
        ];

        for (letter, name) in "abcdefijklmnorstuvxy".chars().zip(long) {
            for written in [letter, letter.to_ascii_uppercase()] {
                assert_eq!(headers(&[(&written.to_string(), "1")]).text(name), Some("1"), "{name}");
            }
        }
    }

    #[test]
    fn setting_keeps_the_place_of_the_first_and_drops_the_rest() {
        let mut headers = headers(&[("A", "1"), ("v", "2"), ("B", "3"), ("Via", "4")]);

        headers.set("Via", "5");
        headers.set("C", "6");

        assert_eq!(names(&headers), ["A", "v", "B", "C"]);
        assert_eq!(headers.text("Via"), Some("5"));
    }

    #[test]
    fn lines_are_added_at_both_ends_and_removed_by_name() {
        let mut headers = headers(&[("Via", "1")]);

        headers.push_front("Via", "0");
        headers.push("To", "x");
        assert_eq!(headers.all("v").collect::<Vec<_>>(), [b"0", b"1"]);

        headers.remove("v");
        assert_eq!((names(&headers), headers.len(), headers.is_empty()), (vec!["To"], 1, false));
    }

    #[test]
    fn a_list_is_all_values_of_all_lines() {
        let headers =
            headers(&[("k", "100rel, timer"), ("Supported", ""), ("Supported", "path ,")]);

        assert_eq!(headers.list("Supported"), [&b"100rel"[..], b"timer", b"path"]);
    }

    #[test]
    fn a_star_is_a_contact_only_alone() {
        assert!(headers(&[("m", " *")]).is_star_contact());
        assert_eq!(headers(&[("m", "*")]).contacts(), Ok(vec![]));
        assert!(headers(&[("m", "*"), ("m", "<sip:a@b>")]).contacts().is_err());
        assert!(!headers(&[]).is_star_contact());
    }

    #[test]
    fn sequence_numbers_end_below_two_to_the_31st() {
        let cseq = |value| headers(&[("CSeq", value)]).cseq().ok();

        assert_eq!(cseq("2147483647\tBYE"), Some((2_147_483_647, Method::Bye)));
        assert_eq!(cseq("2147483648 BYE"), None);
        assert_eq!(cseq("1  bye"), Some((1, Method::Other("bye".into()))));
        assert_eq!(
            (cseq("1 BYE x"), cseq("1"), cseq("1 "), cseq("+1 BYE")),
            (None, None, None, None)
        );
    }

    #[test]
    fn expiry_that_does_not_fit_is_for_ever_and_nonsense_is_none() {
        let expires = |value| headers(&[("Expires", value)]).expires();

        assert_eq!((expires("0"), expires("3600")), (Some(0), Some(3600)));
        assert_eq!(expires("99999999999999999999"), Some(u32::MAX));
        assert_eq!((expires("soon"), expires("-1"), expires("")), (None, None, None));
    }

    #[test]
    fn max_forwards_may_be_missing_but_not_wrong() {
        assert_eq!(headers(&[]).max_forwards(), Ok(None));
        assert_eq!(headers(&[("Max-Forwards", "0")]).max_forwards(), Ok(Some(0)));
        assert!(headers(&[("Max-Forwards", "256")]).max_forwards().is_err());
    }
}
