//! One box in two networks: an answer leaves by the network of its request, and an address means
//! nothing in the other one.

use super::*;
use crate::{
    config::Network,
    event::{ProbeId, Probed, Way},
    flow::{Far, Transport},
    ids::NetworkId,
    note::BindingNote,
};

/// Where the box is in the second network: behind a NAT that gives each port its own.
const BOUND: &str = "10.9.9.2:5070";
const OTHER: &str = "203.0.113.99:5070";
/// Our addresses, by network.
const OURS: [&[&str]; 2] = [&["198.51.100.1"], &["203.0.113.99", "10.9.9.2"]];
const BACK: NetworkId = NetworkId(1);

fn in_two() -> Bench {
    let first = config(BOX, "192.0.2.0/24", 1);
    let networks = vec![Network {
        local: address(BOUND),
        advertise: address(OTHER),
        advertise_tcp: address(OTHER),
    }];
    let there = Trunk { network: BACK, name: "office".into(), ..first.trunks[0].clone() };
    let trunks = vec![first.trunks[0].clone(), there];
    Bench { endpoint: Endpoint::new(Config { networks, trunks, ..first }), now: Instant::now() }
}

impl Bench {
    /// From the second network; whatever leaves then leaves by it, and names none of the first.
    fn feed_there(&mut self, from: &str, text: &str) -> Vec<Message> {
        let from = Far { network: BACK, address: address(from) };
        self.endpoint.handle_datagram_of(from, text.as_bytes(), self.now);
        self.sent_by(BACK)
    }

    fn sent_by(&mut self, network: NetworkId) -> Vec<Message> {
        let all: Vec<_> = std::iter::from_fn(|| self.endpoint.poll_transmit()).collect();
        let others = OURS[1 - usize::from(network.0)];
        let read = |transmit: Transmit| {
            let text = String::from_utf8(transmit.bytes).unwrap();
            assert_eq!(transmit.network, network, "{text}");
            assert!(!others.iter().any(|other| text.contains(other)), "{text}");
            parse(text.as_bytes()).unwrap()
        };
        all.into_iter().map(read).collect()
    }
}

fn contact(message: &Message) -> Option<&str> {
    match message {
        Message::Request(request) => request.headers.text("Contact"),
        Message::Response(response) => response.headers.text("Contact"),
    }
}

fn there(text: &str) -> String {
    text.replace("198.51.100.1", "203.0.113.99")
}

#[test]
fn a_call_from_another_network_is_answered_there_and_names_no_address_of_the_first() {
    let mut bench = in_two();

    let trying = bench.feed_there(CARRIER, &there(&invite()));

    assert_eq!(statuses(&trying), [100]);
    let Event::Invited { leg, source, .. } = bench.event() else { panic!("no call") };
    assert_eq!(source, Source::Trunk(TrunkId(1)), "the same address is another trunk there");
    assert_eq!(bench.endpoint.network(leg), BACK);
    bench.endpoint.ring(leg, bench.now);
    let ringing = bench.sent_by(BACK);
    assert_eq!(contact(&ringing[0]), Some("<sip:203.0.113.99:5070>"));
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    let ok = bench.sent_by(BACK);
    assert_eq!(contact(&ok[0]), Some("<sip:203.0.113.99:5070>"));
    let tag = to_tag(&response_in(&ok));
    bench.feed_there(CARRIER, &there(&in_dialog("ACK", &tag, 1, "")));
    bench.events();
    bench.endpoint.hang_up(leg, HangUp::Normal, bench.now);
    let bye = request_in(&bench.sent_by(BACK), "BYE");
    let via = bye.headers.text("Via").unwrap();
    assert!(via.starts_with("SIP/2.0/UDP 203.0.113.99:5070;"), "{via}");
    bench.feed_there(CARRIER, &answer_to(&bye, 200, "theirs", ""));
    assert!(matches!(bench.event(), Event::Ended { cause: Cause::Released, .. }));
}

#[test]
fn a_trunks_call_leaves_by_its_network_and_an_answer_from_another_is_a_forgery() {
    let mut bench = in_two();
    let mut invite = call_to(CARRIER, Some(TrunkId(1)));
    invite.target.to = invite.target.to.within(BACK);

    let leg = bench.endpoint.invite(invite, bench.now);

    let invite = request_in(&bench.sent_by(BACK), "INVITE");
    assert_eq!(invite.headers.text("Contact"), Some("<sip:203.0.113.99:5070>"));
    bench.feed(CARRIER, &answer_to(&invite, 486, "theirs", ""));
    assert_eq!(bench.events(), []);
    assert_eq!(bench.endpoint.counters().rejected["forged_response"], 1);
    bench.feed_there(CARRIER, &answer_to(&invite, 486, "theirs", ""));
    assert_eq!(bench.event(), Event::Ended { leg, cause: Cause::Refused { status: 486 } });
}

#[test]
fn the_same_address_in_another_network_ends_no_call() {
    let mut bench = in_two();
    bench.feed_there(CARRIER, &there(&invite()));
    let Event::Invited { leg, .. } = bench.event() else { panic!("no call") };
    bench.endpoint.answer(leg, SDP.into(), bench.now);
    let tag = to_tag(&response_in(&bench.sent_by(BACK)));
    bench.feed_there(CARRIER, &there(&in_dialog("ACK", &tag, 1, "")));
    bench.events();

    let from_here = bench.feed(CARRIER, &in_dialog("BYE", &tag, 2, ""));

    assert_eq!(statuses(&from_here), [481], "it is somebody we know, and no call of theirs");
    assert_eq!(bench.events(), []);
    bench.feed_there(CARRIER, &there(&in_dialog("BYE", &tag, 3, "")));
    assert!(matches!(bench.events().as_slice(), [.., Event::Ended { cause: Cause::Bye, .. }]));
}

#[test]
fn what_is_a_trunk_in_one_network_is_a_stranger_in_another() {
    let mut bench = in_two();
    let elsewhere = Far { network: NetworkId(2), address: address(CARRIER) };

    bench.endpoint.handle_datagram_of(elsewhere, invite().as_bytes(), bench.now);

    assert_eq!((bench.sent(), bench.events()), (vec![], vec![]));
    assert_eq!(bench.endpoint.counters().rejected["unknown_source"], 1);
}

#[test]
fn phones_with_one_address_in_two_networks_are_two_and_each_is_called_in_its_own() {
    let mut bench = in_two();
    let phone = |network| BindingNote {
        uri: "sip:1001@10.0.0.7:5060".into(),
        to: Flow::udp(address("10.0.0.7:5060")).within(network),
        source: Flow::udp(address("10.0.0.7:5060")).within(network),
        call_id: format!("of {network:?}"),
        sequence: 1,
        expires_at: bench.now + Duration::from_secs(60),
    };
    let notes = [NetworkId::FIRST, BACK, NetworkId(9)].map(phone);

    bench.endpoint.restore_bindings(UserId(0), &notes, bench.now);

    let contacts = bench.endpoint.contacts(UserId(0));
    let networks: Vec<_> = contacts.iter().map(|contact| contact.to.network).collect();
    assert_eq!(networks, [NetworkId::FIRST, BACK], "the third network is no longer there");
    let places: BTreeSet<_> = contacts.iter().map(Target::place).collect();
    assert_eq!(places.len(), 2, "{places:?}");
}

#[test]
fn who_registers_hears_of_the_phones_in_their_own_network_alone() {
    let mut bench = in_two();
    let first = sources::register("", 1).replace("100.64.0.1", "100.64.0.9");
    let challenge = response_in(&bench.feed("100.64.0.9:5060", &first));
    let signed = sources::signed(&challenge, "").replace("100.64.0.1", "100.64.0.9");
    assert_eq!(response_in(&bench.feed("100.64.0.9:5060", &signed)).status, 200);

    let own = |text: String| text.replace("reg1", "reg2").replace("z9hG4bKr", "z9hG4bKt");
    let challenge = response_in(&bench.feed_there(STRANGER, &own(sources::register("", 1))));
    let ok = bench.feed_there(STRANGER, &own(sources::signed(&challenge, "")));

    let ok = response_in(&ok);
    let listed: Vec<_> = ok.headers.all("Contact").collect();
    assert_eq!(listed, [b"<sip:1001@100.64.0.1:5060>;expires=3600"]);
    assert_eq!(bench.endpoint.contacts(UserId(0)).len(), 2, "both ring");
}

#[test]
fn over_tcp_a_connection_is_made_and_used_in_the_network_it_is_for() {
    let mut bench = in_two();
    let to = Flow::new(Transport::Tcp, address(CARRIER));

    bench.endpoint.probe(to, bench.now);
    bench.endpoint.probe(to.within(BACK), bench.now);

    let left: Vec<_> = std::iter::from_fn(|| bench.endpoint.poll_transmit()).collect();
    let connects = left.iter().filter(|left| matches!(left.way, Way::Connect(_)));
    let networks: Vec<_> = connects.map(|left| left.network).collect();
    assert_eq!(networks, [NetworkId::FIRST, BACK], "one each, though the address is the same");
    let text = String::from_utf8(left[3].bytes.clone()).unwrap();
    assert!(text.contains("Via: SIP/2.0/TCP 203.0.113.99:5070;"), "{text}");
}

#[test]
fn what_is_for_a_network_that_is_gone_goes_by_no_other() {
    let mut bench = in_two();
    let gone = Flow::udp(address(CARRIER)).within(NetworkId(5));

    bench.endpoint.probe(gone, bench.now);

    assert_eq!(bench.sent(), []);
    assert_eq!(bench.event(), Event::Probed { probe: ProbeId(1), outcome: Probed::Unreachable });
}
