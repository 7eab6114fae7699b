//! A whole endpoint and a row of datagrams from a trunk, a phone and a stranger, with time between
//! them: no panic, bounded state, nothing left in the end, what it sends can be read.

use sip_stack::{
    Config, Endpoint, Event, Flow, HangUp, Limits, Secret, Target, Trunk, User, Way, sdp,
    wire::{Message, parse},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Separates two datagrams; no line of SIP can hold it.
const NEXT: u8 = 0x1e;
/// More would only be slower.
const DATAGRAMS_MAX: usize = 64;
const OURS: &[u8] =
    b"v=0\r\no=- 1 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
    m=audio 20000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n";

/// Each piece's first byte says who sends it and how much time passes before.
///
/// # Panics
/// Where something is sent that cannot be read, a limit is passed, or state is left behind.
pub fn endpoint(bytes: &[u8]) {
    let mut now = Instant::now();
    let mut endpoint = Endpoint::new(config());
    for piece in bytes.split(|&byte| byte == NEXT).take(DATAGRAMS_MAX) {
        let Some((how, datagram)) = piece.split_first() else { continue };
        now = pass(&mut endpoint, now, Duration::from_millis(u64::from(how >> 2) * 500));
        let from = match how & 3 {
            0 | 1 => SocketAddr::from(([192, 0, 2, 1], 5060)),
            2 => SocketAddr::from(([203, 0, 113, 7], 5070)),
            _ => SocketAddr::from(([100, 64, 0, 1], 5060)),
        };
        endpoint.handle_datagram(from, datagram, now);
        settle(&mut endpoint, now, datagram.len());
        assert!(endpoint.legs() <= LEGS_MAX);
    }
    // Whatever it was, it ends: 64*T1 for everybody to hear of it, and once more for the BYE.
    pass(&mut endpoint, now, Duration::from_secs(600));
    assert!(endpoint.is_idle(), "something is left behind: {} legs", endpoint.legs());
}

const LEGS_MAX: usize = 8;

pub(crate) fn config() -> Config {
    let local = SocketAddr::from(([198, 51, 100, 1], 5060));
    let contact = Target {
        uri: "sip:1003@203.0.113.7:5070".into(),
        to: Flow::udp(SocketAddr::from(([203, 0, 113, 7], 5070))),
    };
    Config {
        local,
        advertise: local,
        advertise_tcp: local,
        networks: vec![],
        domain: "clavija.test".into(),
        user_agent: "Clavija/probe".into(),
        trunks: vec![Trunk {
            peers: "192.0.2.0/24".parse().into_iter().collect(),
            calls_max: 4,
            ..Trunk::named("carrier")
        }],
        users: vec![
            User { name: "1001".into(), password: Some(Secret::new("secret")), contact: None },
            User { name: "1003".into(), password: None, contact: Some(contact) },
        ],
        first_leg: 1,
        seed: [7; 32],
        limits: Limits { legs_max: LEGS_MAX, transactions_max: 64, ..Limits::STANDARD },
    }
}

/// Time passes, every deadline at its moment; in the end the calls are hung up.
fn pass(endpoint: &mut Endpoint, from: Instant, span: Duration) -> Instant {
    let end = from + span;
    let mut now = from;
    while let Some((due, why)) = endpoint.poll_timeout().filter(|&(due, _)| due <= end) {
        now = now.max(due);
        endpoint.handle_timeout(now);
        settle(endpoint, now, 0);
        let again = endpoint.poll_timeout().is_some_and(|(next, _)| next <= now);
        assert!(!again, "{why}, handled, is due again at once");
    }
    end
}

/// Takes every call, answers it, and hangs up once it is established.
fn settle(endpoint: &mut Endpoint, now: Instant, came: usize) {
    while let Some(event) = endpoint.poll_event() {
        match event {
            Event::Invited { leg, offer, .. } => {
                answerable(offer.as_ref());
                endpoint.ring(leg, now);
                endpoint.answer(leg, OURS.to_vec(), now);
            }
            Event::Reoffered { leg, .. } => endpoint.answer_reoffer(leg, Ok(OURS.to_vec()), now),
            Event::Established { leg, .. } => endpoint.hang_up(leg, HangUp::Normal, now),
            Event::Answered { .. }
            | Event::Checked { .. }
            | Event::Pressed { .. }
            | Event::Ended { .. }
            | Event::Left { .. }
            | Event::Probed { .. }
            | Event::Registered { .. }
            | Event::Ringing { .. }
            | Event::Unregistered { .. } => {}
        }
    }
    let mut sent = 0;
    while let Some(transmit) = endpoint.poll_transmit() {
        // A peer may name TCP in its Contact; here nobody connects.
        if matches!(transmit.way, Way::Connect(_) | Way::Close(_)) {
            continue;
        }
        sent += 1;
        match parse(&transmit.bytes) {
            Ok(Message::Request(_) | Message::Response(_)) => {}
            Err(why) => {
                // What a peer put into its headers comes back to it, and with ours it may be long.
                let long = transmit.bytes.len() > 8 * 1024 || came > 8 * 1024;
                assert!(long, "{why}: {}", String::from_utf8_lossy(&transmit.bytes));
            }
        }
    }
    assert!(sent <= 64, "{sent} messages for one");
}

fn answerable(offer: Option<&sdp::Session>) {
    assert!(offer.is_none_or(|offer| offer.media.len() <= sdp::MEDIA_MAX));
}
