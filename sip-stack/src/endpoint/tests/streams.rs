//! The endpoint over TCP: connections, the way back, what is repeated and what is not, and who may stay.

use super::*;
use crate::{
    digest::Algorithm,
    event::{Closed, Contact, ProbeId, Probed, Way},
    flow::{ConnId, Transport},
};

const SECOND: Duration = Duration::from_secs(1);

/// What left, in order.
#[derive(Debug, PartialEq, Eq)]
enum Left {
    Datagram(SocketAddr),
    Stream(ConnId, String),
    Connect(ConnId, SocketAddr),
    Close(ConnId),
}

impl Bench {
    fn connect(&mut self, from: &str) -> ConnId {
        self.endpoint.handle_accepted(address(from), self.now).expect("there is room")
    }

    fn stream(&mut self, conn: ConnId, text: &str) -> Vec<Message> {
        self.endpoint.handle_stream(conn, text.as_bytes(), self.now);
        let sent = self.left();
        sent.iter()
            .map(|left| match left {
                Left::Stream(by, text) if *by == conn => parse(text.as_bytes()).unwrap(),
                Left::Datagram(_) | Left::Stream(..) | Left::Connect(..) | Left::Close(_) => {
                    panic!("{left:?} is not on {conn}")
                }
            })
            .collect()
    }

    fn left(&mut self) -> Vec<Left> {
        let all = std::iter::from_fn(|| self.endpoint.poll_transmit());
        let told = |transmit: Transmit| match transmit.way {
            Way::Datagram => Left::Datagram(transmit.to),
            Way::Stream(conn) => Left::Stream(conn, String::from_utf8(transmit.bytes).unwrap()),
            Way::Connect(conn) => Left::Connect(conn, transmit.to),
            Way::Close(conn) => Left::Close(conn),
        };
        all.map(told).collect()
    }

    fn gone(&mut self, conn: ConnId) {
        self.endpoint.handle_closed(conn, Closed::ByPeer, self.now);
    }

    /// A call of the carrier by this connection, answered and acknowledged; and our tag.
    fn established_by(&mut self, conn: ConnId) -> (LegId, String) {
        self.stream(conn, &over_tcp(&invite()));
        let Event::Invited { leg, .. } = self.event() else { panic!("no call") };
        self.endpoint.answer(leg, SDP.into(), self.now);
        let sent = self.left();
        let [Left::Stream(_, ok)] = sent.as_slice() else { panic!("{sent:?}") };
        let tag = to_tag(&response_in(&[parse(ok.as_bytes()).unwrap()]));
        self.stream(conn, &over_tcp(&in_dialog("ACK", &tag, 1, "")));
        self.events();
        (leg, tag)
    }

    /// Time passes without anything being sent but what is given.
    fn pass_left(&mut self, span: Duration) -> Vec<Left> {
        let end = self.now + span;
        let mut all = vec![];
        while let Some((due, _)) = self.endpoint.poll_timeout().filter(|&(due, _)| due <= end) {
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            all.extend(self.left());
        }
        self.now = end;
        all
    }

    fn closed(&self, reason: &str) -> u64 {
        self.endpoint.counters().connections_closed.get(reason).copied().unwrap_or_default()
    }

    /// Registers 1001 by this connection, with this contact.
    fn register_by(&mut self, conn: ConnId, contact: &str, lines: &str) -> Response {
        let register = |authorization: &str, sequence: u32| {
            format!(
                "REGISTER sip:clavija.test SIP/2.0\r\n\
                 Via: SIP/2.0/TCP 203.0.113.9:5060;branch=z9hG4bKr{sequence}\r\n\
                 From: <sip:1001@clavija.test>;tag=f\r\nTo: <sip:1001@clavija.test>\r\n\
                 Call-ID: r1\r\nCSeq: {sequence} REGISTER\r\nContact: {contact}\r\n{lines}\
                 {authorization}Content-Length: 0\r\n\r\n"
            )
        };
        let challenged = response_in(&self.stream(conn, &register("", 1)));
        let offered = challenged.headers.text("WWW-Authenticate").unwrap().to_owned();
        let answer = signed(&offered);
        response_in(&self.stream(conn, &register(&format!("Authorization: {answer}\r\n"), 2)))
    }
}

/// 1001's answer to this challenge.
fn signed(challenge: &str) -> String {
    let (_, rest) = challenge.split_once("nonce=\"").unwrap();
    let nonce = rest.split('"').next().unwrap();
    let bare = format!(
        "Digest username=\"1001\", realm=\"clavija.test\", nonce=\"{nonce}\", uri=\"sip:clavija.test\""
    );
    let unsigned = crate::digest::Credentials::parse(&format!("{bare}, response=\"\"")).unwrap();
    format!("{bare}, response=\"{}\"", unsigned.expected_response("REGISTER", "secret", b""))
}

fn over_tcp(text: &str) -> String {
    text.replace("SIP/2.0/UDP", "SIP/2.0/TCP")
}

const TCP_PHONE: &str = "203.0.113.9:40001";
const CONTACT: &str = "<sip:1001@203.0.113.9:5060;transport=tcp>";

#[test]
fn a_call_over_tcp_stays_on_its_connection_and_says_so() {
    let mut bench = Bench::new();
    let conn = bench.connect("192.0.2.1:41000");
    let sent = bench.stream(conn, &over_tcp(&invite()));
    assert_eq!(statuses(&sent), [100]);
    let Event::Invited { leg, from, .. } = bench.event() else { panic!("no call") };
    assert_eq!(from, address("192.0.2.1:41000"));

    bench.endpoint.answer(leg, SDP.into(), bench.now);

    let sent = bench.left();
    let [Left::Stream(by, ok)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(*by, conn);
    assert!(ok.contains("\r\nContact: <sip:198.51.100.1:5060;transport=tcp>\r\n"), "{ok}");
    let tag = to_tag(&response_in(&[parse(ok.as_bytes()).unwrap()]));
    bench.stream(conn, &over_tcp(&in_dialog("ACK", &tag, 1, "")));
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    let sent = bench.left();
    let [Left::Stream(by, bye)] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(*by == conn && bye.starts_with("BYE ") && bye.contains("\r\nVia: SIP/2.0/TCP 198.51."));
}

#[test]
fn a_message_may_come_in_any_pieces_and_several_at_once() {
    let options = |n: u32| over_tcp(&request("OPTIONS", &format!("o{n}"), "", n, ""));
    let stream = format!("\r\n\r\n{}{}", options(1), options(2));
    for at in 1..stream.len() {
        let mut bench = Bench::new();
        let conn = bench.connect("192.0.2.1:41000");
        let (first, second) = stream.split_at(at);
        bench.endpoint.handle_stream(conn, first.as_bytes(), bench.now);
        bench.endpoint.handle_stream(conn, second.as_bytes(), bench.now);

        let said = bench.left();
        let says = |wanted: &str| {
            let said = said.iter().filter(
                |left| matches!(left, Left::Stream(by, text) if *by == conn && text.starts_with(wanted)),
            );
            said.count()
        };
        assert_eq!([says("SIP/2.0 200 OK"), says("\r\n")], [2, 1], "cut at {at}: {said:?}");
    }
}

#[test]
fn a_ping_gets_its_pong() {
    let mut bench = Bench::new();
    let conn = bench.connect(CARRIER);
    bench.endpoint.handle_stream(conn, b"\r\n\r\n", bench.now);

    assert_eq!(bench.left(), [Left::Stream(conn, "\r\n".into())]);
    assert_eq!(bench.endpoint.counters().keep_alives, 1);
}

#[test]
fn over_tcp_only_the_2xx_is_sent_again() {
    let mut bench = Bench::new();
    let conn = bench.connect(CARRIER);
    bench.stream(conn, &over_tcp(&invite()));
    let Event::Invited { leg, .. } = bench.event() else { panic!("no call") };
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    bench.left();
    let again = bench.pass_left(4 * SECOND);
    assert!(again.len() >= 3, "§13.3.1.4: {again:?}");

    let mut bench = Bench::new();
    let conn = bench.connect(CARRIER);
    bench.stream(conn, &over_tcp(&invite()));
    let Event::Invited { leg, .. } = bench.event() else { panic!("no call") };
    let refusal = Refusal { status: 486, retry_after_seconds: None, warning: None };
    bench.endpoint.refuse(leg, refusal, bench.now);
    assert_eq!(bench.left().len(), 1);
    assert_eq!(bench.pass_left(31 * SECOND), []);
}

#[test]
fn an_invite_over_tcp_connects_goes_once_and_cancels_by_the_same_connection() {
    let mut bench = Bench::new();
    let mut call = call_to(CARRIER, Some(TrunkId(0)));
    call.target.to = Flow::tcp(address(CARRIER));
    let leg = bench.endpoint.invite(call, bench.now);

    let sent = bench.left();
    let [Left::Connect(conn, to), Left::Stream(by, invite)] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    let conn = *conn;
    assert_eq!((*to, *by), (address(CARRIER), conn));
    assert!(invite.contains("\r\nVia: SIP/2.0/TCP 198.51.100.1:5060;branch="), "{invite}");
    assert!(invite.contains("\r\nContact: <sip:198.51.100.1:5060;transport=tcp>\r\n"), "{invite}");
    bench.endpoint.handle_connected(conn, bench.now);
    assert_eq!(bench.pass_left(5 * SECOND), [], "nothing is sent again");

    let Ok(Message::Request(invite)) = parse(invite.as_bytes()) else { panic!() };
    let ringing = crate::wire::response_to(&invite, 180, Some("theirs")).to_bytes();
    bench.stream(conn, std::str::from_utf8(&ringing).unwrap());
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    let sent = bench.left();
    assert!(
        matches!(sent.as_slice(), [Left::Stream(by, cancel)] if *by == conn && cancel.starts_with("CANCEL ")),
        "{sent:?}"
    );
}

#[test]
fn a_call_that_cannot_connect_is_refused_like_a_503() {
    let mut bench = Bench::new();
    let mut call = call_to(CARRIER, Some(TrunkId(0)));
    call.target.to = Flow::tcp(address(CARRIER));
    let leg = bench.endpoint.invite(call.clone(), bench.now);
    let sent = bench.left();
    let [Left::Connect(conn, _), _] = sent.as_slice() else { panic!("{sent:?}") };
    bench.endpoint.handle_closed(*conn, Closed::Refused, bench.now);
    assert_eq!(bench.event(), Event::Ended { leg, cause: Cause::Refused { status: 503 } });

    // Nobody says no, and nobody says yes.
    let leg = bench.endpoint.invite(call, bench.now);
    bench.pass_left(11 * SECOND);
    assert_eq!(bench.event(), Event::Ended { leg, cause: Cause::Refused { status: 503 } });
    bench.assert_idle_after(40 * SECOND);
    assert_eq!(bench.endpoint.connections(), 0);
}

#[test]
fn a_request_whose_connection_died_unheard_goes_once_more_by_a_new_one() {
    let mut bench = Bench::new();
    let mut call = call_to(CARRIER, Some(TrunkId(0)));
    call.target.to = Flow::tcp(address(CARRIER));
    let leg = bench.endpoint.invite(call, bench.now);
    let sent = bench.left();
    let [Left::Connect(conn, _), Left::Stream(_, first)] = sent.as_slice() else { panic!() };
    bench.endpoint.handle_connected(*conn, bench.now);
    bench.gone(*conn);

    let sent = bench.left();
    let [Left::Close(_), Left::Connect(second, _), Left::Stream(_, again)] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!(first, again);
    bench.endpoint.handle_connected(*second, bench.now);
    bench.gone(*second);
    assert_eq!(bench.event(), Event::Ended { leg, cause: Cause::Refused { status: 503 } });
}

#[test]
fn an_answer_whose_connection_is_gone_goes_to_the_port_of_sent_by() {
    let mut bench = Bench::new();
    let conn = bench.connect("192.0.2.1:41000");
    bench.stream(conn, &over_tcp(&invite()));
    let Event::Invited { leg, .. } = bench.event() else { panic!("no call") };
    bench.gone(conn);
    bench.left();

    bench.endpoint.answer(leg, SDP.into(), bench.now);

    let sent = bench.left();
    let [Left::Connect(second, to), Left::Stream(by, ok)] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert!(second == by && ok.starts_with("SIP/2.0 200 "), "{ok}");
    assert_eq!(*to, address("192.0.2.1:5060"), "§18.2.2: the Via's port, not that of the source");
}

#[test]
fn inside_a_dialog_the_far_side_may_come_back_by_another_connection() {
    let mut bench = Bench::new();
    let first = bench.connect("192.0.2.1:41000");
    let (leg, tag) = bench.established_by(first);
    bench.gone(first);
    bench.left();
    let second = bench.connect("192.0.2.1:41001");
    bench.stream(second, &over_tcp(&in_dialog("OPTIONS", &tag, 2, "")));

    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);

    let sent = bench.left();
    assert!(
        matches!(sent.as_slice(), [.., Left::Stream(by, bye)] if *by == second && bye.starts_with("BYE ")),
        "{sent:?}"
    );
}

#[test]
fn a_length_that_cannot_be_right_is_told_and_ends_the_connection() {
    for (length, status) in [
        ("", "400 Bad Content-Length"),
        ("Content-Length: -1\r\n", "400 Bad Content-Length"),
        ("Content-Length: +1\r\n", "400 Bad Content-Length"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", "400 Bad Content-Length"),
        ("Content-Length: 99999999\r\n", "513 Message Too Large"),
    ] {
        let mut bench = Bench::new();
        let conn = bench.connect(CARRIER);
        let text = over_tcp(&request("OPTIONS", "o", "", 1, ""));
        let text = text.replace("Content-Length: 0\r\n", length);
        bench.endpoint.handle_stream(conn, text.as_bytes(), bench.now);

        let sent = bench.left();
        let [Left::Stream(_, said), Left::Close(closed)] = sent.as_slice() else {
            panic!("{length:?}: {sent:?}")
        };
        assert!(said.starts_with(&format!("SIP/2.0 {status}\r\n")), "{length:?}: {said}");
        assert_eq!((*closed, bench.closed("unreadable")), (conn, 1));
    }
}

#[test]
fn a_stranger_may_register_and_nothing_else_and_not_for_long() {
    let mut bench = Bench::new();
    let talks = bench.connect(STRANGER);
    bench.endpoint.handle_stream(talks, over_tcp(&invite()).as_bytes(), bench.now);
    assert_eq!(bench.left(), [Left::Close(talks)]);
    assert_eq!(bench.endpoint.counters().rejected["unknown_source"], 1);

    let garbles = bench.connect(STRANGER);
    bench.endpoint.handle_stream(garbles, b"GET / HTTP/1.1\r\n", bench.now);
    assert_eq!(bench.left(), [Left::Close(garbles)]);

    let silent = bench.connect(STRANGER);
    // Pings keep nobody here whom we do not know.
    bench.pass_left(20 * SECOND);
    bench.endpoint.handle_stream(silent, b"\r\n\r\n", bench.now);
    bench.left();
    assert_eq!(bench.pass_left(10 * SECOND), [Left::Close(silent)]);
    assert_eq!((bench.closed("stranger"), bench.endpoint.connections()), (2, 0));
}

#[test]
fn half_a_message_is_waited_for_for_20_s_and_a_trunk_in_silence_for_10_min() {
    let mut bench = Bench::new();
    let slow = bench.connect(CARRIER);
    let text = over_tcp(&invite());
    let mut closed_after = None;
    for (second, byte) in text.bytes().enumerate() {
        bench.endpoint.handle_stream(slow, &[byte], bench.now);
        if bench.pass_left(SECOND).contains(&Left::Close(slow)) {
            closed_after = Some(second + 1);
            break;
        }
    }
    assert_eq!(closed_after, Some(20), "however it drips");

    let silent = bench.connect(CARRIER);
    assert_eq!(bench.pass_left(599 * SECOND), []);
    assert_eq!(bench.pass_left(SECOND), [Left::Close(silent)]);
    assert_eq!((bench.closed("half_message"), bench.closed("idle")), (1, 1));
}

#[test]
fn a_connection_with_a_call_on_it_may_be_silent() {
    let mut bench = Bench::new();
    let conn = bench.connect("192.0.2.1:41000");
    let (leg, _) = bench.established_by(conn);

    assert_eq!(bench.pass_left(1_900 * SECOND), []);

    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    assert!(matches!(bench.left().as_slice(), [Left::Stream(by, _)] if *by == conn));
}

#[test]
fn connections_are_bounded_in_all_by_source_and_for_strangers() {
    let mut bench = Bench::new();
    let now = bench.now;
    let mut config = config(BOX, "192.0.2.0/24", 1);
    config.limits.connections_max = 6;
    config.limits.connections_per_source = 3;
    config.limits.strange_connections_max = 2;
    config.limits.strange_connections_per_source = 1;
    bench.endpoint = Endpoint::new(config);
    let mut accept = |from: &str| bench.endpoint.handle_accepted(address(from), now);

    let first = accept("100.64.0.1:1").unwrap();
    assert_eq!(accept("100.64.0.1:2"), None, "one a source");
    accept("100.64.0.2:1").unwrap();
    accept("100.64.0.3:1").unwrap();
    for port in 1..=3 {
        assert!(accept(&format!("192.0.2.1:{port}")).is_some());
    }
    assert_eq!(accept("192.0.2.1:4"), None, "three a source");
    assert!(accept("192.0.2.2:1").is_some());
    assert_eq!(accept("192.0.2.3:1"), None, "six in all");

    assert_eq!(bench.left(), [Left::Close(first)], "the oldest stranger makes room");
    assert_eq!(
        ["crowded_out", "source_max", "connections_max"].map(|why| bench.closed(why)),
        [1, 2, 1]
    );
}

#[test]
fn who_is_banned_has_no_connection_until_the_ban_is_lifted() {
    let mut bench = Bench::new();
    for _ in 0..2_000 {
        bench.feed("100.64.0.9:5060", "NONSENSE");
    }
    let now = bench.now;
    let from = address("100.64.0.9:40000");

    assert_eq!(bench.endpoint.bans(now).len(), 1);
    assert_eq!(bench.endpoint.handle_accepted(from, now), None);
    assert_eq!(bench.closed("banned"), 1);
    assert!(bench.endpoint.handle_accepted(address("100.64.0.8:40000"), now).is_some());
    assert!(bench.endpoint.lift_ban(from.ip(), now));
    assert!(bench.endpoint.handle_accepted(from, now).is_some());
}

#[test]
fn a_phone_is_called_by_the_connection_it_registered_by_and_signs_out_with_it() {
    let mut bench = Bench::new();
    let conn = bench.connect(TCP_PHONE);
    // Behind a NAT: it is not where it says.
    let ok = bench.register_by(conn, "<sip:1001@10.0.0.5:5060;transport=tcp>", "");
    assert_eq!(ok.status, 200);
    assert_eq!(bench.events(), [Event::Registered { user: UserId(0), contacts: 1 }]);
    let [target] = <[Target; 1]>::try_from(bench.endpoint.contacts(UserId(0))).unwrap();
    assert_eq!(target.to.conn, Some(conn));
    // It stays, however long it is silent.
    assert_eq!(bench.pass_left(700 * SECOND), []);

    let call = Invite { target, ..call_to(PHONE, None) };
    let leg = bench.endpoint.invite(call, bench.now);
    let sent = bench.left();
    assert!(matches!(sent.as_slice(), [Left::Stream(by, _)] if *by == conn), "{sent:?}");

    bench.gone(conn);
    let ended = bench.events();
    assert!(ended.contains(&Event::Unregistered { user: UserId(0) }), "{ended:?}");
    assert!(bench.endpoint.contacts(UserId(0)).is_empty());
    // It may have rung; its INVITE is tried where it was, and then it is over.
    bench.pass_left(12 * SECOND);
    let ended = bench.events();
    assert_eq!(ended, [Event::Ended { leg, cause: Cause::Refused { status: 503 } }]);
}

#[test]
fn a_phone_that_listens_where_it_says_is_called_there_when_its_connection_is_gone() {
    let mut bench = Bench::new();
    let conn = bench.connect(TCP_PHONE);
    bench.register_by(conn, CONTACT, "");
    bench.events();
    bench.gone(conn);
    bench.left();
    assert_eq!(bench.events(), [], "it may be called still");

    let target = bench.endpoint.contacts(UserId(0)).remove(0);
    assert_eq!(target.to, Flow::tcp(address("203.0.113.9:5060")));
    bench.endpoint.invite(Invite { target, ..call_to(PHONE, None) }, bench.now);
    let sent = bench.left();
    let [Left::Connect(second, to), _] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(*to, address("203.0.113.9:5060"));

    // Nobody listens there: it is not called again.
    bench.endpoint.handle_closed(*second, Closed::Refused, bench.now);
    assert!(bench.events().contains(&Event::Unregistered { user: UserId(0) }));
}

#[test]
fn a_phone_that_asked_for_outbound_is_promised_it_and_replaced_by_itself_only() {
    let mut bench = Bench::new();
    let first = bench.connect(TCP_PHONE);
    let phone = |port: u16| {
        format!(
            "<sip:1001@203.0.113.9:{port};transport=tcp>;+sip.instance=\"<urn:uuid:1>\";reg-id=1"
        )
    };
    let ok = bench.register_by(first, &phone(5060), "Supported: path, outbound\r\n");
    assert_eq!(ok.headers.text("Require"), Some("outbound"));
    let listed = ok.headers.text("Contact").unwrap();
    assert!(listed.contains(";+sip.instance=\"<urn:uuid:1>\";reg-id=1"), "{listed}");

    // It restarts and comes back with another address, before we have noticed.
    let second = bench.connect("203.0.113.9:40002");
    bench.register_by(second, &phone(5070), "Supported: outbound\r\n");
    let contacts = bench.endpoint.contacts(UserId(0));
    assert_eq!(contacts.len(), 1, "{contacts:?}");
    assert_eq!(contacts[0].to.conn, Some(second));

    // Its flow is the only way to it.
    bench.events();
    bench.gone(first);
    assert_eq!(bench.events(), []);
    bench.gone(second);
    assert_eq!(bench.events(), [Event::Unregistered { user: UserId(0) }]);
}

#[test]
fn what_was_not_asked_for_or_is_not_true_is_not_promised() {
    let mut bench = Bench::new();
    let conn = bench.connect(TCP_PHONE);
    let ok = bench.register_by(conn, CONTACT, "Supported: outbound\r\n");

    assert_eq!(ok.headers.text("Require"), None);
}

#[test]
fn an_operator_sees_where_a_phone_is_and_how_it_is_reached() {
    let mut bench = Bench::new();
    let conn = bench.connect(TCP_PHONE);
    bench.register_by(conn, CONTACT, "Expires: 300\r\nUser-Agent: Phone 1.0\r\n");
    bench.now += 10 * SECOND;

    let [listed] = <[Contact; 1]>::try_from(bench.endpoint.listed(UserId(0))).unwrap();

    assert_eq!(listed.uri, "sip:1001@203.0.113.9:5060;transport=tcp");
    let expires_at = Some(bench.now + 290 * SECOND);
    assert_eq!((listed.to.transport, listed.expires_at), (Transport::Tcp, expires_at));
    assert_eq!(listed.digest, Some(Algorithm::Md5));
    assert_eq!(listed.user_agent.as_deref(), Some("Phone 1.0"));
    assert_eq!((listed.source, listed.behind_nat), (Some(address(TCP_PHONE)), false));
    let fixed = &bench.endpoint.listed(UserId(1))[0];
    assert_eq!((fixed.source, fixed.expires_at), (None, None));
}

#[test]
fn a_phone_behind_a_nat_hears_line_ends_from_us_every_24_s() {
    let mut bench = Bench::new();
    let register = |authorization: &str, sequence: u32| {
        format!(
            "REGISTER sip:clavija.test SIP/2.0\r\n\
             Via: SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bKr{sequence}\r\n\
             From: <sip:1001@clavija.test>;tag=f\r\nTo: <sip:1001@clavija.test>\r\n\
             Call-ID: r1\r\nCSeq: {sequence} REGISTER\r\nContact: <sip:1001@10.0.0.5:5060>\r\n\
             Expires: 60\r\n{authorization}Content-Length: 0\r\n\r\n"
        )
    };
    let challenged = response_in(&bench.feed("203.0.113.9:40001", &register("", 1)));
    let offered = challenged.headers.text("WWW-Authenticate").unwrap();
    let answer = signed(offered);
    let answer = format!("Authorization: {answer}\r\n");
    assert_eq!(response_in(&bench.feed("203.0.113.9:40001", &register(&answer, 2))).status, 200);

    let heard = bench.pass_left(120 * SECOND);

    let phone = address("203.0.113.9:40001");
    assert_eq!(heard, [Left::Datagram(phone), Left::Datagram(phone)], "until it expires");
    assert_eq!(bench.endpoint.counters().keep_alives_sent, 2);
}

#[test]
fn a_trunk_that_only_is_called_may_answer_a_probe_and_nothing_else() {
    let mut bench = Bench::new();
    bench.endpoint = Endpoint::new(config(BOX, "198.51.100.0/24", 1));
    let probe = bench.endpoint.probe(Flow::udp(address(CARRIER)), bench.now);
    let sent = bench.sent();
    let [Message::Request(options)] = sent.as_slice() else { panic!("{sent:?}") };
    let answer = crate::wire::response_to(options, 200, Some("t")).to_bytes();

    bench.feed(CARRIER, std::str::from_utf8(&answer).unwrap());

    let outcome = Probed::Answered { status: 200 };
    assert_eq!(bench.event(), Event::Probed { probe, outcome });
    assert_eq!(bench.feed(CARRIER, &invite()), []);
    assert_eq!(bench.events(), []);
}

#[test]
fn a_probe_says_what_became_of_it() {
    let mut bench = Bench::new();
    let to = Flow::udp(address(CARRIER));
    let probe = bench.endpoint.probe(to, bench.now);
    let sent = bench.sent();
    let Message::Request(options) = &sent[0] else { panic!("{sent:?}") };
    assert_eq!((options.method.as_str(), options.uri.as_str()), ("OPTIONS", "sip:192.0.2.1:5060"));
    let answer = crate::wire::response_to(options, 404, Some("t")).to_bytes();
    bench.feed(CARRIER, std::str::from_utf8(&answer).unwrap());
    let outcome = Probed::Answered { status: 404 };
    assert_eq!(bench.event(), Event::Probed { probe, outcome });

    let probe = bench.endpoint.probe(to, bench.now);
    bench.pass(32 * SECOND);
    assert_eq!(bench.event(), Event::Probed { probe, outcome: Probed::Silent });

    let probe = bench.endpoint.probe(Flow::tcp(address(CARRIER)), bench.now);
    let sent = bench.left();
    let [Left::Connect(conn, _), _] = sent.as_slice() else { panic!("{sent:?}") };
    bench.endpoint.handle_closed(*conn, Closed::Refused, bench.now);
    let outcome = Probed::Unreachable;
    assert_eq!((bench.event(), probe), (Event::Probed { probe, outcome }, ProbeId(3)));
}
