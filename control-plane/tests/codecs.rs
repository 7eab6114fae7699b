//! Offers within a call: when the media plane is given a codec anew, and when it goes on with the one it has.
#![allow(clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

use control_plane::{
    config::{AnswerMode, Destination, NumberRow, Plan, SeatPlan, Team, Trunk},
    exchange::{Exchange, Start},
    ids::{SeatId, TeamId},
    switchboard::Switchboard,
    time::Stamp,
};
use media_core::{
    coder::Command,
    frame::Rate,
    order::{Coding, Opus, Order, PortName},
};
use sip_stack::{
    Config, Limits, Target, User,
    sdp::{codec::Codec, secure::Srtp},
};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

const BOX: &str = "198.51.100.1:5060";
const CARRIER: &str = "192.0.2.1:5060";
const PHONE: &str = "203.0.113.7:5070";

fn exchange(codecs: &[Codec], comfort_noise: bool, now: Instant) -> Exchange {
    let to: SocketAddr = PHONE.parse().unwrap();
    let sip = Config {
        local: BOX.parse().unwrap(),
        advertise: BOX.parse().unwrap(),
        advertise_tcp: BOX.parse().unwrap(),
        domain: "clavija.test".into(),
        user_agent: "x".into(),
        trunks: vec![sip_stack::Trunk {
            name: "carrier".into(),
            peers: vec!["192.0.2.1".parse().unwrap()],
            address: None,
            calls_max: 100,
            calls_per_second_max: None,
        }],
        users: vec![User {
            name: "1003".into(),
            password: None,
            contact: Some(Target { uri: format!("sip:1003@{to}"), to: sip_stack::Flow::udp(to) }),
        }],
        first_leg: 1,
        seed: [1; 32],
        limits: Limits::STANDARD,
    };
    let plan = Plan {
        trunks: vec![Trunk {
            name: "carrier".into(),
            address: None,
            transport: sip_stack::Transport::Udp,
            pstn: true,
            codecs: codecs.to_vec(),
            dtmf: Default::default(),
            comfort_noise,
            srtp: Srtp::Off,
        }],
        seats: vec![SeatPlan {
            name: "desk".into(),
            extension: "1003".into(),
            fixed: true,
            codecs: vec![],
            dtmf: Default::default(),
            comfort_noise: false,
            srtp: Srtp::Off,
        }],
        teams: vec![Team {
            mask_digits: false,
            name: "front".into(),
            seats: vec![SeatId(0)],
            music: None,
            ring: Duration::from_secs(20),
            wrap_up: Duration::ZERO,
            set_aside: None,
            record: false,
            answer: AnswerMode::AtOnce,
        }],
        numbers: vec![NumberRow {
            pattern: "100".into(),
            to: Destination::Team(TeamId(0)),
            from: vec![],
            record: None,
        }],
        gone: Default::default(),
    };
    let start = Start {
        sip,
        board: Switchboard::new(Arc::new(plan)),
        ports: (0..10).map(|pair| PortName(20_000 + 2 * pair)).collect(),
        media_address: "198.51.100.1".parse().unwrap(),
        seed: [2; 32],
        wall: Stamp(1),
        login_key: [3; 32],
        headroom: control_plane::headroom::Limits::USUAL,
        opus_complexity: 8,
        restart: None,
    };
    Exchange::new(start, now)
}

/// The caller's call, who speaks by the carrier.
struct Call {
    exchange: Exchange,
    now: Instant,
    sequence: u32,
    to_tag: String,
}

impl Call {
    fn new(codecs: &[Codec]) -> Self {
        Self::comforted(codecs, false)
    }

    fn comforted(codecs: &[Codec], comfort_noise: bool) -> Self {
        let now = Instant::now();
        Self {
            exchange: exchange(codecs, comfort_noise, now),
            now,
            sequence: 0,
            to_tag: String::new(),
        }
    }

    /// One offer, by this method and from this address: the orders it brings.
    fn offer_by(&mut self, method: &str, address: &str, media: &str) -> Vec<Order> {
        self.sequence += 1;
        let n = self.sequence;
        let sdp = format!(
            "v=0\r\no=- 1 {n} IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{media}"
        );
        let head = |method: &str, branch: &str, to_tag: &str| {
            format!(
                "{method} sip:100@198.51.100.1 SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{branch}{n}\r\nMax-Forwards: 70\r\n\
                 From: <sip:1@192.0.2.1>;tag=f\r\nTo: <sip:100@198.51.100.1>{to_tag}\r\nCall-ID: c\r\n\
                 CSeq: {n} {method}\r\nContact: <sip:{CARRIER}>\r\n"
            )
        };
        let request = format!(
            "{}Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            head(method, "", &self.to_tag),
            sdp.len()
        );
        let from: SocketAddr = CARRIER.parse().unwrap();
        self.exchange.handle_datagram(from, request.as_bytes(), self.now);
        let said: Vec<_> = std::iter::from_fn(|| self.exchange.poll_transmit())
            .map(|transmit| String::from_utf8(transmit.bytes).unwrap())
            .collect();
        let cseq = format!("CSeq: {n} {method}");
        let answer =
            said.iter().rev().find(|text| text.starts_with("SIP/2.0 ") && text.contains(&cseq));
        let answer = answer.unwrap_or_else(|| panic!("{said:?}")).clone();
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
        let (_, tag) = answer.split_once("\r\nTo: <sip:100@198.51.100.1>").unwrap();
        self.to_tag = tag.split_once("\r\n").unwrap().0.to_owned();
        if method == "INVITE" {
            let ack = head("ACK", "a", &self.to_tag) + "Content-Length: 0\r\n\r\n";
            self.exchange.handle_datagram(from, ack.as_bytes(), self.now);
        }
        std::iter::from_fn(|| self.exchange.poll_order()).collect()
    }

    fn offer(&mut self, media: &str) -> Vec<Order> {
        self.offer_by("INVITE", "192.0.2.1", media)
    }
}

/// Coders that are made for these orders.
fn made(orders: &[Order]) -> usize {
    orders.iter().filter(|order| Command::equip(**order).has_coder()).count()
}

/// Orders that tell the media plane where and how the far side listens.
fn told(orders: &[Order]) -> usize {
    let tells = |order: &&Order| matches!(order, Order::Connect { .. } | Order::Renew { .. });
    orders.iter().filter(tells).count()
}

const G722: &str = "m=audio 4000 RTP/AVP 9 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const OPUS: &str = "m=audio 4000 RTP/AVP 107\r\na=rtpmap:107 opus/48000/2\r\n";

#[test]
fn an_offer_that_leaves_the_codec_as_it_is_makes_no_coder() {
    for media in [G722, OPUS] {
        let mut call = Call::new(&[Codec::Opus, Codec::G722]);
        assert_eq!(made(&call.offer(media)), 1, "{media}");

        for (what, direction) in
            [("refresh", ""), ("hold", "a=sendonly\r\n"), ("both", "a=inactive\r\n"), ("back", "")]
        {
            for method in ["INVITE", "UPDATE"] {
                let orders = call.offer_by(method, "192.0.2.1", &format!("{media}{direction}"));
                assert_eq!((made(&orders), told(&orders)), (0, 1), "{what} by {method}");
            }
        }
        let moved = call.offer_by("INVITE", "192.0.2.9", media);
        assert_eq!((made(&moved), told(&moved)), (0, 1), "moved");
        let keys = call.offer(&media.replace("telephone-event", "x"));
        assert_eq!((made(&keys), told(&keys)), (0, 1), "other keys");
    }
}

#[test]
fn whatever_of_the_codec_is_another_makes_a_coder() {
    let mut call = Call::new(&[Codec::Opus, Codec::G722, Codec::Pcma]);
    call.offer(OPUS);

    for (what, media) in [
        ("number", OPUS.replace("107", "108")),
        ("length of packets", format!("{}a=ptime:40\r\n", OPUS.replace("107", "108"))),
        ("wishes", format!("{OPUS}a=fmtp:107 useinbandfec=1\r\n")),
        ("rate", format!("{OPUS}a=fmtp:107 maxplaybackrate=8000\r\n")),
        ("codec", G722.to_owned()),
    ] {
        let orders = call.offer(&media);
        assert_eq!((made(&orders), told(&orders)), (1, 1), "{what}");
        let orders = call.offer(&media);
        assert_eq!((made(&orders), told(&orders)), (0, 1), "{what}, again");
    }
    let orders = call.offer("m=audio 4000 RTP/AVP 8\r\n");
    assert_eq!(made(&orders), 0);
}

/// What the media plane is told of Opus.
fn opus(orders: &[Order]) -> Option<Opus> {
    orders.iter().find_map(|order| match order {
        Order::Connect { codec, .. } => match codec.coding {
            Coding::Opus(opus) => Some(opus),
            _ => None,
        },
        _ => None,
    })
}

#[test]
fn opus_is_spoken_as_wide_as_is_allowed_and_the_far_side_plays() {
    let played = |codec: Codec, most: &str| {
        let media = format!("{OPUS}a=fmtp:107 useinbandfec=1{most}\r\n");
        let opus = opus(&Call::new(&[codec]).offer(&media)).unwrap();
        assert_eq!((opus.complexity, opus.fec), (8, true));
        (opus.rate, opus.bitrate)
    };

    for (most, narrow, full) in [
        ("", (Rate::Hz16000, 24_000), (Rate::Hz48000, 40_000)),
        (";maxplaybackrate=24000", (Rate::Hz16000, 24_000), (Rate::Hz48000, 40_000)),
        (";maxplaybackrate=16000", (Rate::Hz16000, 24_000), (Rate::Hz16000, 24_000)),
        (";maxplaybackrate=8000", (Rate::Hz8000, 16_000), (Rate::Hz8000, 16_000)),
        (";maxaveragebitrate=30000", (Rate::Hz16000, 24_000), (Rate::Hz48000, 30_000)),
    ] {
        assert_eq!(played(Codec::Opus, most), narrow, "{most}");
        assert_eq!(played(Codec::OpusFullband, most), full, "{most}");
    }
}

#[test]
fn comfort_noise_is_sent_where_it_is_agreed_and_as_long_as_it_is() {
    let comfort = |orders: &[Order]| {
        orders.iter().find_map(|order| match order {
            Order::Comfort { sends, .. } => Some(*sends),
            _ => None,
        })
    };
    let with = "m=audio 4000 RTP/AVP 8 13\r\n";
    let mut call = Call::comforted(&[Codec::Pcma], true);

    assert_eq!(comfort(&call.offer(with)), Some(true));
    assert_eq!(comfort(&call.offer(with)), None, "it is said once");
    assert_eq!(comfort(&call.offer("m=audio 4000 RTP/AVP 8\r\n")), Some(false));
    assert_eq!(comfort(&Call::new(&[Codec::Pcma]).offer(with)), None, "not asked for");
}
