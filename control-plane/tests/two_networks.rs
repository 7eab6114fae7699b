//! A box with an IPv4 network and an IPv6 one: legs of both meet, and each is told of its own alone.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

mod common;

use common::{CARRIER, SDP, address, invite};
use control_plane::{
    exchange::{Exchange, MediaNetwork, Start},
    switchboard::Switchboard,
};
use media_core::order::{Order, PortName, Remote};
use sip_stack::{Far, Network, NetworkId};
use std::{net::SocketAddr, sync::Arc, time::Instant};

const SIX: NetworkId = NetworkId(1);
/// Where we are there, and where the PBX is.
const BOX_SIX: &str = "[2001:db8::1]:5060";
const PBX_SIX: &str = "[2001:db8::2]:5080";

/// The carrier is in the first network and the PBX, which 9* leads to, in the second, with so many
/// pairs of ports.
fn exchange(pairs: u16, now: Instant) -> Exchange {
    let mut plan = common::plan(vec![common::desk()]);
    (plan.trunks[1].network, plan.trunks[1].address) = (SIX, Some(address(PBX_SIX)));
    let mut sip = common::sip(vec![common::user()], 1);
    let local = address(BOX_SIX);
    sip.networks = vec![Network { local, advertise: local, advertise_tcp: local }];
    (sip.trunks[1].network, sip.trunks[1].address) = (SIX, Some(address(PBX_SIX)));
    sip.trunks[1].peers = vec!["2001:db8::2".parse().unwrap()];
    let ports = (0..pairs).map(|pair| PortName(30_000 + 2 * pair)).collect();
    let networks = vec![MediaNetwork { address: local.ip(), ports }];
    let start = common::start(sip, Switchboard::new(Arc::new(plan)), 10, None);
    Exchange::new(Start { networks, ..start }, now)
}

/// What the box has sent, and by which network; nothing that is said in one names an address of
/// the other.
fn said(exchange: &mut Exchange) -> Vec<(NetworkId, String)> {
    let all = std::iter::from_fn(|| exchange.poll_transmit());
    let told = |transmit: sip_stack::Transmit| {
        let text = String::from_utf8(transmit.bytes).unwrap();
        let foreign = if transmit.network == SIX { "198.51.100.1" } else { "2001:db8::1" };
        assert!(!text.contains(foreign), "{text}");
        (transmit.network, text)
    };
    all.map(told).collect()
}

/// The PBX's 200 to this INVITE of ours.
fn ok(invite: &str) -> String {
    let kept = |name: &str| {
        let line = invite.split("\r\n").find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name} is not in {invite}")).to_owned()
    };
    let sdp = "v=0\r\no=- 1 1 IN IP6 2001:db8::2\r\ns=-\r\nc=IN IP6 2001:db8::2\r\nt=0 0\r\n\
               m=audio 6000 RTP/AVP 8\r\n";
    format!(
        "SIP/2.0 200 OK\r\n{}\r\n{}\r\n{};tag=pbx\r\n{}\r\n{}\r\nContact: <sip:{PBX_SIX}>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        kept("Via: "),
        kept("From: "),
        kept("To: "),
        kept("Call-ID: "),
        kept("CSeq: "),
        sdp.len()
    )
}

#[test]
fn a_caller_over_ipv4_and_a_trunk_over_ipv6_are_bridged_and_neither_hears_of_the_others_network() {
    let now = Instant::now();
    let mut exchange = exchange(2, now);

    exchange.handle_datagram(address(CARRIER), invite("9001", 1, 70, SDP).as_bytes(), now);

    let passed_on = said(&mut exchange);
    let placed = passed_on.iter().find(|(_, text)| text.starts_with("INVITE "));
    let (network, placed) = placed.expect("the call is passed on");
    assert_eq!(*network, SIX);
    assert!(placed.starts_with("INVITE sip:9001@[2001:db8::2]:5080 "), "{placed}");
    assert!(placed.contains("\r\nVia: SIP/2.0/UDP [2001:db8::1]:5060;"), "{placed}");
    assert!(placed.contains("c=IN IP6 2001:db8::1\r\n"), "{placed}");
    assert!(placed.contains("m=audio 30000 "), "{placed}");
    let from = Far { network: SIX, address: address(PBX_SIX) };
    exchange.handle_datagram_of(from, ok(placed).as_bytes(), now);
    let answered = said(&mut exchange);
    let answer = answered.iter().find(|(_, text)| text.starts_with("SIP/2.0 200 "));
    let (network, answer) = answer.expect("the caller is answered");
    assert_eq!(*network, NetworkId::FIRST);
    assert!(answer.contains("c=IN IP4 198.51.100.1\r\n"), "{answer}");
    assert!(answer.contains("m=audio 20000 "), "{answer}");
    let mut bridged = false;
    let mut connected: Vec<SocketAddr> = vec![];
    while let Some(order) = exchange.poll_order() {
        bridged |= matches!(order, Order::Bridge { .. });
        if let Order::Connect { remote: Remote { rtp, .. }, .. } = order {
            connected.push(rtp);
        }
    }
    connected.sort();
    assert_eq!(connected, [address("192.0.2.1:4000"), address("[2001:db8::2]:6000")]);
    assert!(bridged);
}

#[test]
fn a_network_without_a_free_port_takes_none_of_another() {
    let now = Instant::now();
    let mut exchange = exchange(1, now);
    for at in 1..3 {
        exchange.handle_datagram(address(CARRIER), invite("9001", at, 70, SDP).as_bytes(), now);
    }

    let said = said(&mut exchange);

    let placed = said.iter().filter(|(_, text)| text.starts_with("INVITE "));
    assert_eq!(placed.count(), 1, "{said:?}");
    let refused = |text: &str| text.starts_with("SIP/2.0 503 ") || text.starts_with("SIP/2.0 480 ");
    assert!(said.iter().any(|(_, text)| refused(text)), "{said:?}");
}
