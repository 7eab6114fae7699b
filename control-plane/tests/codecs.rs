//! Offers within a call: when the media plane is given a codec anew, and when it goes on with the one it has.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

mod common;

use common::{CARRIER, address, desk, said, sip, user};
use control_plane::{exchange::Exchange, switchboard::Switchboard};
use media_core::{
    coder::Command,
    frame::Rate,
    order::{Coding, Opus, Order},
};
use sip_stack::sdp::codec::Codec;
use std::{sync::Arc, time::Instant};

fn exchange(codecs: &[Codec], comfort_noise: bool, now: Instant) -> Exchange {
    let mut plan = common::plan(vec![desk()]);
    plan.trunks[0].codecs = codecs.to_vec();
    plan.trunks[0].comfort_noise = comfort_noise;
    let board = Switchboard::new(Arc::new(plan));
    let start = common::start(sip(vec![user()], 1), board, 10, None);
    Exchange::new(control_plane::exchange::Start { opus_complexity: 8, ..start }, now)
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
    fn offer_by(&mut self, method: &str, host: &str, media: &str) -> Vec<Order> {
        self.sequence += 1;
        let n = self.sequence;
        let sdp =
            format!("v=0\r\no=- 1 {n} IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n{media}");
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
        let from = address(CARRIER);
        self.exchange.handle_datagram(from, request.as_bytes(), self.now);
        let said = said(&mut self.exchange);
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
    orders.iter().find_map(|order| {
        let Order::Connect { codec, .. } = order else { return None };
        let Coding::Opus(opus) = codec.coding else { return None };
        Some(opus)
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
        orders.iter().find_map(|order| {
            let Order::Comfort { sends, .. } = order else { return None };
            Some(*sends)
        })
    };
    let with = "m=audio 4000 RTP/AVP 8 13\r\n";
    let mut call = Call::comforted(&[Codec::Pcma], true);

    assert_eq!(comfort(&call.offer(with)), Some(true));
    assert_eq!(comfort(&call.offer(with)), None, "it is said once");
    assert_eq!(comfort(&call.offer("m=audio 4000 RTP/AVP 8\r\n")), Some(false));
    assert_eq!(comfort(&Call::new(&[Codec::Pcma]).offer(with)), None, "not asked for");
}
