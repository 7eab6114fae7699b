//! Calls whose codec nobody here speaks: passed through where both sides name it, refused where somebody of ours
//! would have to speak or hear.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

mod common;

use common::{BOX, CARRIER, DESK, PBX, address, desk, said, sip, user};
use control_plane::{
    config::{AnswerMode, Destination, NumberRow, Plan},
    exchange::{Exchange, Problem, Request},
    fact::{AgentState, Fact},
    ids::{CallId, SeatId, TeamId},
    switchboard::Switchboard,
};
use media_core::order::{self, Coding, LegName, Opaque, Order};
use sip_stack::{TrunkId, sdp::codec::Codec};
use std::{sync::Arc, time::Instant};

/// A further trunk to the same switch, that names neither.
fn plan() -> Plan {
    let mut plan = common::plan(vec![desk()]);
    let passed = vec![Codec::Pcma, Codec::G729, Codec::AmrWb];
    for trunk in &mut plan.trunks {
        trunk.codecs.clone_from(&passed);
        trunk.pstn = false;
    }
    let mut plain = plan.trunks[1].clone();
    (plain.name, plain.codecs) = ("plain".into(), vec![Codec::Pcma]);
    plan.trunks.push(plain);
    plan.seats[0].codecs = vec![Codec::Pcma, Codec::G729];
    plan.teams[0].answer = AnswerMode::WithAgent;
    let row = |pattern: &str, to, record| NumberRow {
        from: vec![TrunkId(0)],
        record,
        ..NumberRow::new(pattern, to)
    };
    plan.numbers = vec![
        row("100", Destination::Team(TeamId(0)), None),
        row("200", Destination::Seat(SeatId(0)), None),
        row("201", Destination::Seat(SeatId(0)), Some(true)),
        row("900", Destination::Trunk(TrunkId(1)), None),
        row("901", Destination::Trunk(TrunkId(2)), None),
    ];
    plan
}

fn exchange(now: Instant) -> Exchange {
    let mut sip = sip(vec![user()], 1);
    let mut plain = sip.trunks[1].clone();
    (plain.name, plain.peers) = ("plain".into(), vec![]);
    sip.trunks.push(plain);
    Exchange::new(common::start(sip, Switchboard::new(Arc::new(plan())), 10, None), now)
}

struct Call {
    exchange: Exchange,
    now: Instant,
    number: String,
    sequence: u32,
    to_tag: String,
}

impl Call {
    fn to(number: &str) -> Self {
        let now = Instant::now();
        let (number, to_tag) = (number.to_owned(), String::new());
        Self { exchange: exchange(now), now, number, sequence: 0, to_tag }
    }

    /// An INVITE of the caller's with this audio: what leaves because of it.
    fn offer(&mut self, media: &str) -> Vec<String> {
        self.sequence += 1;
        let (n, number) = (self.sequence, &self.number);
        let sdp = sdp("192.0.2.1", media);
        let invite = format!(
            "INVITE sip:{number}@198.51.100.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:1@192.0.2.1>;tag=f\r\nTo: <sip:{number}@198.51.100.1>{}\r\nCall-ID: c\r\n\
             CSeq: {n} INVITE\r\nContact: <sip:{CARRIER}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            self.to_tag,
            sdp.len()
        );
        self.hear(CARRIER, &invite)
    }

    fn hear(&mut self, from: &str, text: &str) -> Vec<String> {
        self.exchange.handle_datagram(address(from), text.as_bytes(), self.now);
        said(&mut self.exchange)
    }

    /// The one who is called answers this INVITE with this audio.
    fn answer(&mut self, from: &str, invite: &str, media: &str) -> Vec<String> {
        let sdp = sdp("192.0.2.2", media);
        let copied = ["Via: ", "From: ", "Call-ID: ", "CSeq: "].map(|name| {
            invite.lines().find(|line| line.starts_with(name)).unwrap().to_owned() + "\r\n"
        });
        let to = invite.lines().find(|line| line.starts_with("To: ")).unwrap();
        let ok = format!(
            "SIP/2.0 200 OK\r\n{}{to};tag=b\r\nContact: <sip:{from}>\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            copied.concat(),
            sdp.len()
        );
        self.hear(from, &ok)
    }

    /// The one who is called says no more than this.
    fn refuse(&mut self, from: &str, request: &str, status: u16) -> Vec<String> {
        let copied = ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "].map(|name| {
            request.lines().find(|line| line.starts_with(name)).unwrap().to_owned() + "\r\n"
        });
        let copied = copied.concat();
        self.hear(from, &format!("SIP/2.0 {status} x\r\n{copied}Content-Length: 0\r\n\r\n"))
    }

    /// Set up with this audio of both sides; the INVITE that the other one got.
    fn talking(number: &str, callee: &str, offer: &str, answer: &str) -> (Self, String) {
        let mut call = Self::to(number);
        let said = call.offer(offer);
        let invite = one(&said, "INVITE ").to_owned();
        let said = call.answer(callee, &invite, answer);
        let ok = one(&said, "SIP/2.0 200 ");
        let to = ok.lines().find(|line| line.starts_with("To: ")).unwrap();
        call.to_tag = format!(";tag={}", to.split_once(";tag=").unwrap().1);
        call.acknowledge();
        (call, invite)
    }

    /// A request of the one who was called by this INVITE, in the call, with this audio if any.
    fn callee_says(&mut self, method: &str, n: u32, invite: &str, media: &str) -> Vec<String> {
        let line = |name: &str| {
            let line = invite.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once(": ").unwrap().1.to_owned()
        };
        let (from, to, call_id) = (line("To: "), line("From: "), line("Call-ID: "));
        let sdp = if media.is_empty() { String::new() } else { sdp("192.0.2.2", media) };
        let request = format!(
            "{method} sip:{BOX} SIP/2.0\r\nVia: SIP/2.0/UDP {PBX};branch=z9hG4bK{method}{n}\r\n\
             Max-Forwards: 70\r\nFrom: {from};tag=b\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {n} {method}\r\nContact: <sip:{PBX}>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        self.hear(PBX, &request)
    }

    /// The caller's side has the 200 of its last offer.
    fn acknowledge(&mut self) {
        let (n, number, to_tag) = (self.sequence, &self.number, &self.to_tag);
        let ack = format!(
            "ACK sip:{number}@198.51.100.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP {CARRIER};branch=z9hG4bKa{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:1@192.0.2.1>;tag=f\r\nTo: <sip:{number}@198.51.100.1>{to_tag}\r\n\
             Call-ID: c\r\nCSeq: {n} ACK\r\nContent-Length: 0\r\n\r\n"
        );
        self.hear(CARRIER, &ack);
    }

    /// What the journal makes of the agent and of everything that was so.
    fn replayed(&mut self) -> (AgentState, Vec<Fact>) {
        let mut board = Switchboard::new(Arc::new(plan()));
        while let Some(record) = self.exchange.poll_record() {
            let written = serde_json::to_string(&record.input).unwrap();
            board.handle(&serde_json::from_str(&written).unwrap(), record.seq, record.at);
            while board.poll_output().is_some() {}
        }
        let facts = std::iter::from_fn(|| board.poll_fact()).collect();
        (board.seat_view(SeatId(0)).state, facts)
    }

    fn orders(&mut self) -> Vec<Order> {
        std::iter::from_fn(|| self.exchange.poll_order()).collect()
    }
}

fn facts(exchange: &mut Exchange) -> Vec<Fact> {
    std::iter::from_fn(|| exchange.poll_fact()).collect()
}

fn sdp(address: &str, media: &str) -> String {
    format!("v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{media}")
}

fn one<'a>(said: &'a [String], begins: &str) -> &'a str {
    let found = said.iter().find(|text| text.starts_with(begins));
    found.unwrap_or_else(|| panic!("no {begins} in {said:?}"))
}

const G729: &str = "m=audio 4000 RTP/AVP 18 101\r\na=rtpmap:101 telephone-event/8000\r\n\
                    a=fmtp:18 annexb=yes\r\n";
const G729_BY_96: &str =
    "m=audio 5000 RTP/AVP 96\r\na=rtpmap:96 G729/8000\r\na=fmtp:96 annexb=no\r\n";

#[test]
fn a_codec_of_both_sides_passes_through_to_a_trunk_and_to_an_agent() {
    for (number, callee) in [("900", PBX), ("200", DESK)] {
        let mut call = Call::to(number);
        let said = call.offer(G729);
        let invite = one(&said, "INVITE ").to_owned();
        assert!(
            invite.contains(" RTP/AVP 18 101\r\n") && invite.contains("a=fmtp:18 annexb=yes\r\n")
        );
        assert!(!said.iter().any(|text| text.starts_with("SIP/2.0 200 ")), "nobody has answered");

        let said = call.answer(callee, &invite, G729_BY_96);

        let ok = one(&said, "SIP/2.0 200 ");
        assert!(
            ok.contains(" RTP/AVP 18 101\r\na=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\n"),
            "{ok}"
        );
        let orders = call.orders();
        let connected: Vec<_> = orders
            .iter()
            .filter_map(|order| {
                let Order::Connect { codec, .. } = order else { return None };
                Some((codec.coding, codec.payload_type))
            })
            .collect();
        let opaque = Coding::Opaque(Opaque::G729);
        assert_eq!(connected, [(opaque, 96), (opaque, 18)], "{number}");
        let bridge = orders.iter().find(|order| matches!(order, Order::Bridge { .. }));
        assert!(matches!(bridge, Some(Order::Bridge { record: false, .. })), "{orders:?}");
        let hears = |order: &Order| matches!(order, Order::Hear { .. } | Order::Play { .. });
        assert!(!orders.iter().any(hears), "nobody here says anything");
    }
}

#[test]
fn where_both_speak_what_is_spoken_here_nothing_passes_through() {
    let mut call = Call::to("900");
    let said = call.offer("m=audio 4000 RTP/AVP 18 8\r\n");
    let invite = one(&said, "INVITE ");

    assert!(invite.contains(" RTP/AVP 8 101\r\n"), "{invite}");
}

#[test]
fn a_call_that_cannot_pass_is_refused_with_both_sides_named_before_anybody_is_rung() {
    for (number, media, says) in [
        ("100", G729, "a queue has music"),
        ("201", G729, "it is to be recorded"),
        ("901", G729, "who is called has it not"),
        ("200", "m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 AMR-WB/16000\r\n", "the agent has not"),
        (
            "900",
            "m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 AMR/8000\r\n",
            "the caller's trunk has not",
        ),
    ] {
        let said = Call::to(number).offer(media);

        let no = one(&said, "SIP/2.0 488 ");
        assert!(no.contains("Warning: 305 ") && no.contains("we allow PCMA"), "{says}: {no}");
        assert!(!said.iter().any(|text| text.starts_with("INVITE ")), "{says}");
    }
}

#[test]
fn in_a_call_that_passes_through_nobody_is_held_by_us_and_no_offer_brings_another_codec() {
    let (mut call, _) = Call::talking("900", PBX, G729, G729_BY_96);
    call.orders();

    let held = call.exchange.handle_request(Request::Hold(CallId(1)), call.now);
    assert_eq!(held, Err(Problem::PassesThrough));
    assert_eq!(call.orders(), []);

    let said = call.offer(&format!("{G729}a=sendonly\r\n"));
    assert!(one(&said, "SIP/2.0 200 ").contains("a=recvonly\r\n"));
    let orders = call.orders();
    assert!(matches!(orders[0], Order::Renew { sends: false, .. }), "{orders:?}");
    call.acknowledge();
    let said = call.offer("m=audio 4000 RTP/AVP 8\r\n");
    let no = one(&said, "SIP/2.0 488 ");
    assert!(no.contains("they offer PCMA, we allow G729 (annexb=no) passed through"), "{no}");
    assert_eq!(call.orders(), []);
}

const AMR_WB: &str = "m=audio 4000 RTP/AVP 97\r\na=rtpmap:97 AMR-WB/16000\r\n";

fn amr_wb(parameters: &str) -> String {
    format!("{AMR_WB}a=fmtp:97 {parameters}\r\n")
}

#[test]
fn an_answer_in_another_form_ends_both_sides() {
    let mut call = Call::to("900");
    let said = call.offer(&amr_wb("octet-align=1"));
    let invite = one(&said, "INVITE ").to_owned();
    assert!(invite.contains("a=rtpmap:98 AMR-WB/16000\r\na=fmtp:98 octet-align=1\r\n"), "{invite}");
    assert!(invite.contains("a=rtpmap:103 telephone-event/16000\r\n"), "{invite}");

    let said = call.answer(PBX, &invite, &amr_wb("octet-align=0"));

    assert!(said.iter().any(|text| text.starts_with("BYE ")), "{said:?}");
    let no = one(&said, "SIP/2.0 488 ");
    assert!(no.contains("they offer AMR-WB/16000, we allow PCMA"), "{no}");
    assert!(no.contains("we allow AMR-WB (octet-align=1) passed through"), "{no}");
    assert!(!call.orders().iter().any(|order| matches!(order, Order::Bridge { .. })));
}

#[test]
fn a_caller_whose_parameters_a_phone_does_not_take_costs_the_agent_nothing() {
    let state = |call: &Call| call.exchange.board().seat_view(SeatId(0)).state;
    for status in [415, 488, 606] {
        let mut call = Call::to("200");
        let said = call.offer(G729);
        let invite = one(&said, "INVITE ").to_owned();

        let said = call.refuse(DESK, &invite, status);

        let no = one(&said, "SIP/2.0 488 ");
        assert!(no.contains("Warning: 305 ") && no.contains("they offer G729, "), "{no}");
        assert!(no.contains(&format!("who is called refuses it ({status})")), "{no}");
        assert_eq!(state(&call), AgentState::Available, "{status}");
    }

    // One of several phones, picked up: nobody is rung on.
    let mut call = Call::to("200");
    let said = call.offer(G729);
    let invite = one(&said, "INVITE ").to_owned();
    let said = call.answer(DESK, &invite, "m=audio 5000 RTP/AVP 8\r\n");
    let no = one(&said, "SIP/2.0 488 ");
    assert!(no.contains("Warning: 305 ") && no.contains("they offer PCMA, we allow G729"), "{no}");
    let bye = one(&said, "BYE ").to_owned();
    assert_eq!(state(&call), AgentState::Offered, "the phone may have something of it left");
    call.refuse(DESK, &bye, 200);
    assert_eq!(state(&call), AgentState::Available);
    assert_eq!(call.replayed(), (AgentState::Available, facts(&mut call.exchange)));

    // What has nothing to do with the codec is the phone's own.
    let mut call = Call::to("200");
    let said = call.offer(G729);
    let invite = one(&said, "INVITE ").to_owned();
    one(&call.refuse(DESK, &invite, 500), "SIP/2.0 480 ");
    assert_eq!(state(&call), AgentState::Paused);
}

#[test]
fn the_first_codec_of_the_caller_that_the_other_side_names_is_taken_in_every_form() {
    let both = "m=audio 4000 RTP/AVP 97 18\r\na=rtpmap:97 AMR-WB/16000\r\n";
    let (_, invite) = Call::talking("200", DESK, both, G729_BY_96);
    assert!(invite.contains(" RTP/AVP 18 101\r\n"), "the agent has no AMR-WB: {invite}");
    let (_, invite) = Call::talking("900", PBX, both, AMR_WB);
    assert!(invite.contains(" RTP/AVP 98 103\r\n"), "{invite}");
    let no = Call::to("901").offer(both);
    assert!(one(&no, "SIP/2.0 488 ").contains("AMR-WB passes through to one who has it too"));

    let forms = "m=audio 4000 RTP/AVP 110 111\r\na=rtpmap:110 AMR-WB/16000\r\n\
                 a=rtpmap:111 AMR-WB/16000\r\na=fmtp:111 octet-align=1\r\n";
    let mut call = Call::to("900");
    let said = call.offer(forms);
    let invite = one(&said, "INVITE ").to_owned();
    let said = call.answer(PBX, &invite, &amr_wb("octet-align=1; mode-set=2"));
    let ok = one(&said, "SIP/2.0 200 ");
    assert!(ok.contains("a=fmtp:111 octet-align=1; mode-set=2\r\n"), "{ok}");
}

#[test]
fn each_side_is_told_what_the_other_has_said_and_says_nothing_new_afterwards() {
    let (mut call, invite) = Call::talking("900", PBX, G729, G729_BY_96);
    call.orders();

    let said = call.callee_says("INVITE", 1, &invite, G729_BY_96);
    let ok = one(&said, "SIP/2.0 200 ");
    assert!(ok.contains("a=rtpmap:96 G729/8000\r\na=fmtp:96 annexb=yes\r\n"), "{ok}");
    call.callee_says("ACK", 1, &invite, "");
    let said = call.callee_says("INVITE", 2, &invite, "");
    let ok = one(&said, "SIP/2.0 200 ");
    assert!(ok.contains(" RTP/AVP 96 101\r\na=rtpmap:96 G729/8000\r\n"), "its own number: {ok}");
    assert!(ok.contains("a=fmtp:96 annexb=yes\r\n"), "{ok}");
    call.orders();
    assert_eq!(call.callee_says("ACK", 2, &invite, G729_BY_96), [""; 0]);
    assert!(matches!(call.orders()[0], Order::Renew { .. }));

    let (mut call, invite) =
        Call::talking("900", PBX, &amr_wb("octet-align=1"), &amr_wb("octet-align=1"));
    call.orders();
    let moved = amr_wb("octet-align=1;mode-set=0");
    let said = call.callee_says("INVITE", 1, &invite, &moved);
    let no = one(&said, "SIP/2.0 488 ");
    assert!(no.contains("they offer AMR-WB (octet-align=1;mode-set=0), we allow AMR-WB"), "{no}");
    assert_eq!(call.orders(), [], "the call goes on as it was");
    let said = call.offer(&moved);
    one(&said, "SIP/2.0 488 ");
    assert!(call.exchange.board().call(CallId(1)).is_some());
}

#[test]
fn after_a_refusal_of_the_media_plane_the_next_offer_connects_anew() {
    let (mut call, _) = Call::talking("900", PBX, G729, G729_BY_96);
    let caller = |order: &Order| {
        let Order::Connect { leg, codec, .. } = order else { return None };
        (codec.payload_type == 18).then_some(*leg)
    };
    let leg: LegName = call.orders().iter().find_map(caller).unwrap();
    let what = "connect: not the coder of this codec";
    call.exchange.handle_media(order::Event::Refused { leg, what }, call.now);

    call.offer(G729);

    let orders = call.orders();
    assert!(matches!(orders[0], Order::Connect { .. }), "{orders:?}");
}
