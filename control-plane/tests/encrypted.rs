//! Calls whose audio is encrypted: which keys the media plane is given, when they change, and where they never stand.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]
#![expect(clippy::disallowed_methods, reason = "an epoch takes one clock read")]

mod common;

use common::{CARRIER, desk, said};
use control_plane::exchange::Exchange;
use media_core::{
    order::Order,
    srtp::{Keys, MasterKey, Suite},
};
use sip_stack::sdp::secure::Srtp;
use std::time::Instant;

const PLAIN: &str = "m=audio 4000 RTP/AVP 8\r\n";
/// 30 and other 30 bytes.
const ONE: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd";
const OTHER: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9";

fn encrypted(key: &str) -> String {
    format!(
        "m=audio 4000 RTP/SAVP 8\r\na=crypto:1 F8_128_HMAC_SHA1_80 inline:{OTHER}\r\n\
         a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:{key}|2^31\r\n"
    )
}

fn exchange(trunk: Srtp, seat: Srtp, now: Instant) -> Exchange {
    let mut plan = common::plan(vec![desk()]);
    plan.trunks[0].srtp = trunk;
    plan.seats[0].srtp = seat;
    common::exchange(plan, 10, now)
}

/// An INVITE of one call; the first one if the box has not named its end yet.
fn invite(media: &str, sequence: u32, to_tag: &str) -> String {
    let sdp = format!(
        "v=0\r\no=- 1 {sequence} IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{media}"
    );
    format!(
        "INVITE sip:100@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{sequence}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:1@192.0.2.1>;tag=f\r\nTo: <sip:100@198.51.100.1>{to_tag}\r\n\
         Call-ID: c\r\nCSeq: {sequence} INVITE\r\nContact: <sip:{CARRIER}>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    )
}

/// The caller's call: the answer to one INVITE, and the keys the media plane is given before it is
/// connected, if any.
struct Call {
    exchange: Exchange,
    now: Instant,
    sequence: u32,
    to_tag: String,
}

impl Call {
    fn new(trunk: Srtp, seat: Srtp) -> Self {
        let now = Instant::now();
        let exchange = exchange(trunk, seat, now);
        Self { exchange, now, sequence: 0, to_tag: String::new() }
    }

    fn offer(&mut self, media: &str) -> (String, Option<Option<Keys>>) {
        self.sequence += 1;
        let invite = invite(media, self.sequence, &self.to_tag);
        self.exchange.handle_datagram(CARRIER.parse().unwrap(), invite.as_bytes(), self.now);
        let said = said(&mut self.exchange);
        let cseq = format!("CSeq: {} INVITE", self.sequence);
        let last =
            said.iter().rev().find(|text| text.starts_with("SIP/2.0") && text.contains(&cseq));
        let answer = last.unwrap_or_else(|| panic!("{said:?}")).clone();
        if let Some((_, tag)) = answer.split_once("\r\nTo: <sip:100@198.51.100.1>") {
            self.to_tag = tag.split_once("\r\n").unwrap().0.to_owned();
        }
        let ack = format!(
            "ACK sip:100@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bKa{n}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:1@192.0.2.1>;tag=f\r\nTo: <sip:100@198.51.100.1>{to}\r\n\
             Call-ID: c\r\nCSeq: {n} ACK\r\nContent-Length: 0\r\n\r\n",
            n = self.sequence,
            to = self.to_tag,
        );
        self.exchange.handle_datagram(CARRIER.parse().unwrap(), ack.as_bytes(), self.now);
        (answer, self.keys())
    }

    /// The last keys that were ordered; a connect without them before it is plain.
    fn keys(&mut self) -> Option<Option<Keys>> {
        let mut keys = None;
        let mut connected = false;
        while let Some(order) = self.exchange.poll_order() {
            if let Order::Secure { keys: given, .. } = order {
                assert!(!connected, "keys come before the connection");
                keys = Some(given);
            }
            connected |= matches!(order, Order::Connect { .. });
        }
        keys
    }
}

fn theirs(first: u8) -> MasterKey {
    let bytes: Vec<u8> = (first..).take(30).collect();
    MasterKey::new(Suite::AesCm128HmacSha1_80, &bytes).unwrap()
}

#[test]
fn a_session_refreshed_keeps_its_keys_and_a_new_key_of_theirs_brings_a_new_one_of_ours() {
    let mut call = Call::new(Srtp::Optional, Srtp::Off);

    let (answer, first) = call.offer(&encrypted(ONE));
    let first = first.unwrap().unwrap();
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    assert!(
        answer.contains("RTP/SAVP 8\r\n")
            && answer.contains("a=crypto:7 AES_CM_128_HMAC_SHA1_80 inline:")
    );
    assert!(!answer.contains(ONE), "our own key is another one");
    assert_eq!(first.receive, theirs(0));
    assert_ne!(first.send, first.receive);

    let (_, again) = call.offer(&encrypted(ONE));
    assert_eq!(again, Some(Some(first)), "the same keys, so the media plane goes on");

    let (_, rekeyed) = call.offer(&encrypted(OTHER));
    let rekeyed = rekeyed.unwrap().unwrap();
    assert_eq!(rekeyed.receive, theirs(0x20));
    assert_ne!(rekeyed.send, first.send);

    let (answer, plain) = call.offer(PLAIN);
    assert!(answer.contains("RTP/AVP 8\r\n"), "{answer}");
    assert_eq!(plain, Some(None), "the media plane is told that it is plain");

    let (_, back) = call.offer(&encrypted(OTHER));
    assert_ne!(back.unwrap().unwrap().send, rekeyed.send, "no key of ours counts twice");
}

#[test]
fn no_key_is_journaled_and_none_stands_in_an_order_that_is_printed() {
    let mut call = Call::new(Srtp::Required, Srtp::Off);
    let (answer, keys) = call.offer(&encrypted(ONE));
    let ours = answer.split("inline:").nth(1).unwrap().split("\r\n").next().unwrap();

    let mut written = format!("{keys:?}");
    while let Some(record) = call.exchange.poll_record() {
        written += &format!("{record:?}");
    }
    while let Some(note) = call.exchange.poll_note() {
        written += &format!("{note:?}");
    }
    while let Some(fact) = call.exchange.poll_fact() {
        written += &format!("{fact:?}");
    }

    assert!(written.contains("AesCm128HmacSha1_80") && written.contains("Arrived"), "{written}");
    for secret in [ONE, OTHER, ours, "inline"] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
}

#[test]
fn who_must_encrypt_and_does_not_is_refused_and_who_must_not_too() {
    for (trunk, media, warning) in [
        (Srtp::Required, PLAIN.to_owned(), "RTP/AVP offered, RTP/SAVP allowed"),
        (Srtp::Off, encrypted(ONE), "RTP/SAVP offered, RTP/AVP allowed"),
        (
            Srtp::Required,
            "m=audio 4000 RTP/SAVP 8\r\n".to_owned(),
            "no usable key for SRTP: there is no a=crypto line",
        ),
    ] {
        let (answer, keys) = Call::new(trunk, Srtp::Off).offer(&media);

        assert!(answer.starts_with("SIP/2.0 488 "), "{answer}");
        assert!(answer.contains(warning), "{answer}");
        assert_eq!(keys, None);
    }
}

#[test]
fn a_phone_is_offered_what_its_agent_must_have() {
    for (seat, profile, lines) in
        [(Srtp::Off, "RTP/AVP", 0), (Srtp::Optional, "RTP/AVP", 0), (Srtp::Required, "RTP/SAVP", 2)]
    {
        let now = Instant::now();
        let mut exchange = exchange(Srtp::Off, seat, now);
        let call = invite(PLAIN, 1, "");
        exchange.handle_datagram(CARRIER.parse().unwrap(), call.as_bytes(), now);

        let said = said(&mut exchange);
        let invite = said.iter().find(|text| text.starts_with("INVITE ")).expect("the desk rings");
        assert!(invite.contains(&format!(" {profile} ")), "{seat:?}: {invite}");
        assert_eq!(invite.matches("a=crypto:").count(), lines, "{seat:?}");
    }
}
