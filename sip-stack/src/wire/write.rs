//! Messages to bytes, and the messages that follow from another: responses, ACK, CANCEL
//! (RFC 3261 §7, §8.2.6, §9.1, §17.1.1.3, §18.2).

use super::{Headers, Method, Request, Response, Via, lex, rsip};
use std::net::SocketAddr;

/// Where SIP listens if nobody says otherwise (RFC 3261 §19.1.2).
const DEFAULT_PORT: u16 = 5060;

impl Request {
    /// As it is sent: CRLF line ends, the true Content-Length, and that last.
    pub fn to_bytes(&self) -> Vec<u8> {
        let start = [self.method.as_str(), " ", &self.uri, " SIP/2.0"].concat();
        message_bytes(&start, &self.headers, &self.body)
    }
}

impl Response {
    /// As it is sent: CRLF line ends, the true Content-Length, and that last.
    pub fn to_bytes(&self) -> Vec<u8> {
        let start = format!("SIP/2.0 {:03} {}", self.status, self.reason);
        message_bytes(&start, &self.headers, &self.body)
    }
}

fn message_bytes(start: &str, headers: &Headers, body: &[u8]) -> Vec<u8> {
    let lines = headers.iter().map(|(name, value)| name.len() + value.len() + 4);
    let most = start.len() + lines.sum::<usize>() + LENGTH_BYTES_MAX + body.len();
    let mut bytes = Vec::with_capacity(most);
    push_line(&mut bytes, &[start.as_bytes()]);
    for (name, value) in headers.iter_except("Content-Length") {
        push_line(&mut bytes, &[name.as_bytes(), b": ", value]);
    }
    push_line(&mut bytes, &[format!("Content-Length: {}", body.len()).as_bytes()]);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// The line with the length, its end, and the empty line and the start line's end.
const LENGTH_BYTES_MAX: usize = 48;

/// A line of ours, in parts, ends where we end it: what would end it sooner becomes a blank.
fn push_line(bytes: &mut Vec<u8>, parts: &[&[u8]]) {
    let from = bytes.len();
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    let line = &mut bytes[from..];
    if lex::has_bare_control(line) {
        for byte in line.iter_mut().filter(|byte| byte.is_ascii_control() && **byte != b'\t') {
            *byte = b' ';
        }
    }
    bytes.extend_from_slice(b"\r\n");
}

/// A response as RFC 3261 §8.2.6 and §12.1.1 build it. `to_tag` is used if To has none and the
/// status is not 100.
pub fn response_to(request: &Request, status: u16, to_tag: Option<&str>) -> Response {
    let mut headers = Headers::new();
    copy(&request.headers, &mut headers, "Via");
    if request.method == Method::Invite && (101..300).contains(&status) {
        copy(&request.headers, &mut headers, "Record-Route");
    }
    copy(&request.headers, &mut headers, "From");
    copy(&request.headers, &mut headers, "To");
    if let Some(tag) = to_tag.filter(|_| status != 100) {
        add_to_tag(&mut headers, tag);
    }
    copy(&request.headers, &mut headers, "Call-ID");
    copy(&request.headers, &mut headers, "CSeq");
    if status == 100 {
        copy(&request.headers, &mut headers, "Timestamp"); // §8.2.6.1
    }
    Response { status, reason: reason_phrase(status), headers, body: vec![] }
}

/// What is said for this status.
pub fn reason_phrase(status: u16) -> String {
    rsip::reason_phrase(status)
}

fn copy(from: &Headers, to: &mut Headers, name: &str) {
    from.all(name).for_each(|value| to.push(name, value));
}

fn add_to_tag(headers: &mut Headers, tag: &str) {
    let tagged = headers.to().is_ok_and(|to| to.tag().is_some());
    if let Some(to) = headers.get("To").filter(|_| !tagged) {
        let to = [to, b";tag=", tag.as_bytes()].concat();
        headers.set("To", to);
    }
}

/// Stands in an answer where the request had no From, To or Call-ID that can be read (RFC 2606).
const MISSING: &str = "missing.invalid";

/// The answer to a request that could not be parsed: what could be read of it comes back as it
/// was, and nothing malformed leaves because it came. The sender knows the answer by its branch
/// (§17.1.3). `None` without a usable Via or any name of the method. Without state, so the tag follows from the request
/// (§8.2.7).
pub(super) fn answer_malformed(
    read: &Headers,
    method: &Method,
    status: u16,
    phrase: &str,
) -> Option<Response> {
    let mut headers = Headers::new();
    for via in read.elements("Via").filter_map(Via::readable_part) {
        headers.push("Via", via);
    }
    headers.get("Via")?;
    let names_method = read.cseq().is_ok() || lex::is_token(method.as_str().as_bytes());
    names_method.then_some(())?;
    let uri = format!("<sip:{MISSING}>");
    let number = format!("0 {method}");
    push_read(&mut headers, read, "From", read.from().is_ok(), &uri);
    push_read(&mut headers, read, "To", read.to().is_ok(), &uri);
    push_read(&mut headers, read, "Call-ID", read.call_id().is_ok(), MISSING);
    push_read(&mut headers, read, "CSeq", read.cseq().is_ok(), &number);
    let tag = stateless_tag(&headers);
    add_to_tag(&mut headers, &tag);
    Some(Response { status, reason: phrase.to_owned(), headers, body: vec![] })
}

fn push_read(to: &mut Headers, read: &Headers, name: &str, readable: bool, instead: &str) {
    let value = read.get(name).filter(|_| readable);
    to.push(name, value.unwrap_or(instead.as_bytes()));
}

/// FNV-1a over what identifies the request: equal for its retransmissions.
fn stateless_tag(headers: &Headers) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in headers.iter().flat_map(|(_, value)| value) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("bad{hash:016x}")
}

/// The ACK for a final response from 300 on (§17.1.1.3).
pub fn ack_for_failure(invite: &Request, response: &Response) -> Request {
    let mut ack = same_hop(invite, Method::Ack);
    if let Some(to) = response.headers.get("To") {
        ack.headers.set("To", to);
    }
    ack
}

/// The CANCEL for a request of ours (§9.1).
pub fn cancel_for(invite: &Request) -> Request {
    same_hop(invite, Method::Cancel)
}

/// What ACK and CANCEL share: the identity of the request they belong to, and its top Via alone.
fn same_hop(request: &Request, method: Method) -> Request {
    let mut headers = Headers::new();
    if let Some(via) = request.headers.elements("Via").next() {
        headers.push("Via", via);
    }
    copy(&request.headers, &mut headers, "Route");
    headers.push("Max-Forwards", "70");
    for name in ["From", "To", "Call-ID"] {
        copy(&request.headers, &mut headers, name);
    }
    let sequence = request.headers.cseq().map_or(0, |(sequence, _)| sequence);
    headers.push("CSeq", format!("{sequence} {method}"));
    Request { method, uri: request.uri.clone(), headers, body: vec![] }
}

/// Writes into the top Via where the request really came from: `received` (§18.2.1) and, if it
/// asks for that, `rport` (RFC 3581 §4).
pub fn add_received(request: &mut Request, from: SocketAddr) {
    stamp_via(&mut request.headers, from);
}

/// [`add_received`] for the headers of [`super::Malformed::answer`].
pub fn stamp_via(headers: &mut Headers, from: SocketAddr) {
    let mut values: Vec<Vec<u8>> = headers
        .get("Via")
        .into_iter()
        .flat_map(|line| lex::split_list(line, b','))
        .map(<[u8]>::to_vec)
        .collect();
    if let Some(top) = values.first_mut() {
        *top = stamped(top, from);
        headers.set_first("Via", values.join(&b", "[..]));
    }
}

fn stamped(via: &[u8], from: SocketAddr) -> Vec<u8> {
    let named = Via::parse_sent_by(via).is_some_and(|(via, _)| {
        via.host.parse().is_ok_and(|host: std::net::IpAddr| host == from.ip())
    });
    let (mut parts, mut asked) = (Vec::new(), false);
    for part in lex::split_list(via, b';') {
        let name = lex::split_once(part, b'=').map_or(part, |(name, _)| name);
        match lex::trim(name).to_ascii_lowercase().as_slice() {
            b"received" => {}
            b"rport" => {
                asked = true;
                parts.push(format!("rport={}", from.port()).into_bytes());
            }
            _ => parts.push(part.to_vec()),
        }
    }
    // RFC 3581 §4: with rport always, even if it says what sent-by says.
    if asked || !named {
        parts.push(format!("received={}", from.ip()).into_bytes());
    }
    parts.join(&b";"[..])
}

/// Where a response goes (§18.2.2, RFC 3581 §4): back to the address the request came from, on
/// the port it came from if rport was asked for, else on the port of sent-by. `maddr` is not
/// followed, so nobody can aim our answers at somebody else.
pub fn response_destination(headers: &Headers, from: SocketAddr) -> SocketAddr {
    let port = match headers.top_via() {
        Ok(Via { rport: Some(_), .. }) | Err(_) => from.port(),
        Ok(Via { rport: None, port, .. }) => port.unwrap_or(DEFAULT_PORT),
    };
    SocketAddr::new(from.ip(), port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Message, parse, torture};

    const INVITE: &str = "\
INVITE sip:+541155550100@203.0.113.1 SIP/2.0
Via: SIP/2.0/UDP 10.0.0.9:5062;branch=z9hG4bKtop;rport, SIP/2.0/UDP two.example.com;branch=z9hG4bK2
Via: SIP/2.0/UDP three.example.com;branch=z9hG4bK3
Record-Route: <sip:p1.example.com;lr>
Record-Route: <sip:p2.example.com;lr>
Route: <sip:edge.example.com;lr>
From: \"A\" <sip:a@example.com>;tag=fromtag
To: <sip:+541155550100@203.0.113.1>
Call-ID: id1@10.0.0.9
CSeq: 7 INVITE
Timestamp: 54
Contact: <sip:a@10.0.0.9:5062>
Content-Length: {len}

v=0
";

    fn invite() -> Request {
        match parse(&torture::message(INVITE)) {
            Ok(Message::Request(request)) => request,
            other => panic!("{other:?}"),
        }
    }

    fn from() -> SocketAddr {
        "198.51.100.7:40000".parse().unwrap()
    }

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_response_echoes_what_the_rfc_names_and_nothing_else() {
        let written = text(response_to(&invite(), 180, Some("totag")).to_bytes());

        assert_eq!(
            written,
            "SIP/2.0 180 Ringing\r\n\
             Via: SIP/2.0/UDP 10.0.0.9:5062;branch=z9hG4bKtop;rport, SIP/2.0/UDP two.example.com;branch=z9hG4bK2\r\n\
             Via: SIP/2.0/UDP three.example.com;branch=z9hG4bK3\r\n\
             Record-Route: <sip:p1.example.com;lr>\r\n\
             Record-Route: <sip:p2.example.com;lr>\r\n\
             From: \"A\" <sip:a@example.com>;tag=fromtag\r\n\
             To: <sip:+541155550100@203.0.113.1>;tag=totag\r\n\
             Call-ID: id1@10.0.0.9\r\n\
             CSeq: 7 INVITE\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_100_has_no_tag_and_no_route_but_the_timestamp() {
        let trying = response_to(&invite(), 100, Some("totag")).headers;

        assert_eq!(trying.to().unwrap().tag(), None);
        assert_eq!((trying.get("Record-Route"), trying.text("Timestamp")), (None, Some("54")));
    }

    #[test]
    fn routes_are_recorded_only_where_a_dialog_begins() {
        let mut request = invite();
        assert_eq!(response_to(&request, 486, None).headers.get("Record-Route"), None);
        assert_eq!(response_to(&request, 200, None).headers.all("Record-Route").count(), 2);

        request.method = Method::Options;
        assert_eq!(response_to(&request, 200, None).headers.get("Record-Route"), None);
    }

    #[test]
    fn a_tag_that_is_there_stays() {
        let mut request = invite();
        request.headers.set("To", "<sip:b@c>;tag=old");

        let response = response_to(&request, 200, Some("new"));

        assert_eq!(response.headers.to().unwrap().tag(), Some("old"));
    }

    #[test]
    fn the_ack_of_a_refusal_shares_the_hop_of_its_invite() {
        let busy = response_to(&invite(), 486, Some("totag"));

        let ack = text(ack_for_failure(&invite(), &busy).to_bytes());

        assert_eq!(
            ack,
            "ACK sip:+541155550100@203.0.113.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.9:5062;branch=z9hG4bKtop;rport\r\n\
             Route: <sip:edge.example.com;lr>\r\n\
             Max-Forwards: 70\r\n\
             From: \"A\" <sip:a@example.com>;tag=fromtag\r\n\
             To: <sip:+541155550100@203.0.113.1>;tag=totag\r\n\
             Call-ID: id1@10.0.0.9\r\n\
             CSeq: 7 ACK\r\n\
             Content-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn a_cancel_is_its_invite_without_a_body() {
        let cancel = cancel_for(&invite());

        assert_eq!(cancel.headers.top_via(), invite().headers.top_via());
        assert_eq!(cancel.headers.all("Via").count(), 1);
        assert_eq!(cancel.headers.cseq(), Ok((7, Method::Cancel)));
        assert_eq!(cancel.headers.get("To"), invite().headers.get("To"));
        assert!(
            cancel.body.is_empty() && matches!(parse(&cancel.to_bytes()), Ok(Message::Request(_)))
        );
    }

    #[test]
    fn the_top_via_learns_where_the_request_came_from() {
        let mut request = invite();

        add_received(&mut request, from());

        let vias = request.headers.list("Via");
        assert_eq!(
            vias[0],
            b"SIP/2.0/UDP 10.0.0.9:5062;branch=z9hG4bKtop;rport=40000;received=198.51.100.7"
        );
        assert_eq!((vias.len(), vias[1]), (3, &b"SIP/2.0/UDP two.example.com;branch=z9hG4bK2"[..]));
    }

    #[test]
    fn received_is_ours_to_write_and_left_out_where_it_says_nothing() {
        for (via, stamped) in [
            ("SIP/2.0/UDP 198.51.100.7;branch=1", "SIP/2.0/UDP 198.51.100.7;branch=1"),
            ("SIP/2.0/UDP x;received=1.2.3.4", "SIP/2.0/UDP x;received=198.51.100.7"),
            (
                "SIP/2.0/UDP 198.51.100.7;RPORT=1",
                "SIP/2.0/UDP 198.51.100.7;rport=40000;received=198.51.100.7",
            ),
        ] {
            let mut request = invite();
            request.headers.set("Via", via);
            add_received(&mut request, from());
            assert_eq!(request.headers.text("Via"), Some(stamped));
        }
    }

    #[test]
    fn responses_go_back_to_where_the_request_came_from_and_nowhere_else() {
        for (via, to) in [
            ("SIP/2.0/UDP 10.0.0.9:5062;rport=40000;received=198.51.100.7", "198.51.100.7:40000"),
            ("SIP/2.0/UDP 10.0.0.9:5062;received=198.51.100.7", "198.51.100.7:5062"),
            ("SIP/2.0/UDP 10.0.0.9;maddr=192.0.2.66", "198.51.100.7:5060"),
            ("unusable", "198.51.100.7:40000"),
        ] {
            let mut request = invite();
            request.headers.set("Via", via);
            assert_eq!(
                response_destination(&request.headers, from()),
                to.parse().unwrap(),
                "{via}"
            );
        }
    }

    #[test]
    fn what_we_write_cannot_end_a_line_early() {
        let mut request = invite();
        request.uri = "sip:a\r\nEvil: 1".to_owned();
        request.headers.push("X", "a\r\nEvil: 2\0");
        request.headers.push("Content-Length", "999");

        let written = text(request.to_bytes());

        assert!(written.starts_with("INVITE sip:a  Evil: 1 SIP/2.0\r\n"));
        assert!(written.contains("X: a  Evil: 2 \r\n"));
        assert!(written.ends_with("Content-Length: 5\r\n\r\nv=0\r\n") && !written.contains("999"));
    }
}
