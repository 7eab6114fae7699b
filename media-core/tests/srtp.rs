//! Legs that speak SRTP: opened before anything is believed, protected whatever they are sent.

#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use media_core::{
    coder::Command,
    counters::Dropped,
    engine::{Channel, Engine, EngineConfig, Out},
    order::{
        Codec, Coding, Event, Law, LegName, Order, PortName, RecordFrame, Remote, Source, Stream,
        TalkName,
    },
    rtp::{
        header::{Header, Packet},
        rtcp,
    },
    srtp::{Keys, MasterKey, Receiver, Refused, Sender, Suite},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

const SAFE: LegName = LegName(1);
const PLAIN: LegName = LegName(2);
/// The phone that speaks SRTP, the one that does not, and somebody who has no part in this.
const PHONES: [&str; 3] = ["192.0.2.1:4000", "192.0.2.2:4000", "192.0.2.3:4000"];

#[derive(Default)]
struct Sent(Vec<(PortName, Channel, Vec<u8>)>);

impl Out for Sent {
    fn send(&mut self, port: PortName, channel: Channel, _: SocketAddr, bytes: &[u8]) {
        self.0.push((port, channel, bytes.to_vec()));
    }

    fn record(&mut self, _: &RecordFrame) -> bool {
        true
    }
}

struct Bench {
    engine: Engine,
    now: Instant,
    sent: Sent,
    /// The phone's two halves.
    sender: Sender,
    receiver: Receiver,
}

fn phone(n: usize) -> SocketAddr {
    PHONES[n].parse().unwrap()
}

fn port(leg: LegName) -> PortName {
    PortName(20_000 + 2 * u16::try_from(leg.0).unwrap())
}

fn master(suite: Suite, byte: u8) -> MasterKey {
    MasterKey::new(suite, &vec![byte; suite.key_bytes() + suite.salt_bytes()]).unwrap()
}

fn keys(suite: Suite, ours: u8, theirs: u8) -> Keys {
    Keys { send: master(suite, ours), receive: master(suite, theirs) }
}

impl Bench {
    /// A leg with keys and one without, bridged.
    fn new(suite: Suite) -> Self {
        let now = Instant::now();
        let config = EngineConfig {
            legs_max: 4,
            talks_max: 2,
            silent_after: Duration::from_secs(60),
            shared: vec![],
            tunes: vec![],
            rtcp_interval: Duration::from_secs(1),
            cname: "media@192.0.2.100".into(),
            ntp_epoch: 0,
        };
        let engine = Engine::new(config, now);
        let mut bench = Self {
            engine,
            now,
            sent: Sent::default(),
            sender: Sender::new(&master(suite, 2)),
            receiver: Receiver::new(&master(suite, 1)),
        };
        for (leg, ssrc) in [(SAFE, 100), (PLAIN, 101)] {
            let stream = Stream { ssrc, sequence: 65_500, timestamp: 1 };
            bench.order(Order::Open { leg, port: port(leg), stream, talk: TalkName(1) });
        }
        bench.order(Order::Secure { leg: SAFE, keys: Some(keys(suite, 1, 2)) });
        for (leg, n) in [(SAFE, 0), (PLAIN, 1)] {
            bench.connect(leg, n);
        }
        let talk = TalkName(1);
        bench.order(Order::Bridge { talk, caller: SAFE, other: PLAIN, record: false });
        bench
    }

    fn order(&mut self, order: Order) {
        self.engine.handle_order(Command::equip(order), self.now);
        while self.engine.poll_scrap().is_some() {}
    }

    fn connect(&mut self, leg: LegName, n: usize) {
        let rtcp = SocketAddr::new(phone(n).ip(), 4001);
        let remote = Remote { rtp: phone(n), rtcp, signalling: phone(n).ip() };
        let codec =
            Codec { coding: Coding::G711(Law::A), payload_type: 8, packet_ms: 20, event_factor: 1 };
        let telephone_event = None;
        let (sends, receives) = (true, true);
        self.order(Order::Connect { leg, remote, codec, telephone_event, sends, receives });
    }

    fn hear(&mut self, leg: LegName, from: usize, channel: Channel, bytes: &[u8]) {
        let (now, sent) = (self.now, &mut self.sent);
        self.engine.handle_packet(port(leg), channel, phone(from), bytes, now, sent);
    }

    /// 20 ms, in which the plain phone speaks and the other one what it is given.
    fn frame(&mut self, number: u16, safe: &[u8]) {
        self.hear(SAFE, 0, Channel::Rtp, safe);
        self.hear(PLAIN, 1, Channel::Rtp, &packet(9, number));
        for _ in 0..20 {
            self.now += Duration::from_millis(1);
            self.engine.tick(self.now, &mut self.sent);
        }
    }

    fn protected(&mut self, number: u16) -> Vec<u8> {
        let mut bytes = packet(7, number);
        bytes.resize(bytes.len() + 20, 0);
        let length = self.sender.protect_rtp(&mut bytes, 172).unwrap();
        bytes.truncate(length);
        bytes
    }

    /// What left for a leg since this was asked last.
    fn taken(&mut self, leg: LegName, channel: Channel) -> Vec<Vec<u8>> {
        let all = std::mem::take(&mut self.sent.0);
        let (of, others) = all.into_iter().partition(|(p, c, _)| *p == port(leg) && *c == channel);
        self.sent.0 = others;
        of.into_iter().map(|(_, _, bytes)| bytes).collect()
    }

    fn dropped(&self, why: Dropped) -> u64 {
        self.engine.counters().dropped(why)
    }
}

fn packet(ssrc: u32, number: u16) -> Vec<u8> {
    let timestamp = u32::from(number) * 160;
    let header = Header {
        marker: false,
        payload_type: 8,
        sequence: 65_530_u16.wrapping_add(number),
        timestamp,
        ssrc,
    };
    [&header.bytes()[..], &[number.to_be_bytes()[1]; 160]].concat()
}

#[test]
fn a_bridge_opens_what_one_says_and_protects_what_it_hears() {
    for suite in Suite::ALL {
        let mut bench = Bench::new(suite);
        for number in 0..100 {
            let safe = bench.protected(number);
            bench.frame(number, &safe);
        }

        let to_plain = bench.taken(PLAIN, Channel::Rtp);
        assert!(to_plain.len() >= 99, "{suite:?}: {}", to_plain.len());
        let heard: Vec<_> =
            to_plain.iter().map(|bytes| Packet::parse(bytes).unwrap().payload[0]).collect();
        assert_eq!(heard[..90], (0..90).collect::<Vec<u8>>(), "{suite:?}");
        let mut to_safe = bench.taken(SAFE, Channel::Rtp);
        assert!(to_safe.len() >= 99, "{suite:?}: {}", to_safe.len());
        for (number, bytes) in (0..90).zip(&mut to_safe) {
            let length = bench.receiver.unprotect_rtp(bytes).unwrap();
            assert_eq!(
                Packet::parse(&bytes[..length]).unwrap().payload,
                [number; 160],
                "{suite:?}"
            );
        }
        let mut reports = bench.taken(SAFE, Channel::Rtcp);
        assert!(!reports.is_empty());
        for report in &mut reports {
            let length = bench.receiver.unprotect_rtcp(report).unwrap();
            assert!(rtcp::parse(&report[..length]).is_ok());
        }
        for report in bench.taken(PLAIN, Channel::Rtcp) {
            assert!(rtcp::parse(&report).is_ok(), "the other leg stays plain");
        }
    }
}

#[test]
fn what_the_keys_do_not_prove_is_counted_and_opens_nothing() {
    let mut bench = Bench::new(Suite::AesCm128HmacSha1_80);
    let real = bench.protected(0);
    // A stranger who is first, in plain and with a wrong tag; the right source in plain; a report.
    let mut forged = real.clone();
    *forged.last_mut().unwrap() ^= 1;
    for (from, bytes) in [(2, packet(7, 0)), (2, forged.clone()), (0, packet(7, 0)), (0, forged)] {
        bench.hear(SAFE, from, Channel::Rtp, &bytes);
    }
    bench.hear(SAFE, 0, Channel::Rtcp, &[0x80, 201, 0, 1, 0, 0, 0, 7]);
    bench.hear(SAFE, 0, Channel::Rtp, &[0x80; 3_000]);
    // Of a host that has no part in the call nothing is worth the work of a proof.
    assert_eq!(bench.dropped(Dropped::Source), 2);
    assert_eq!(bench.dropped(Dropped::SrtpAuth), 2);
    assert_eq!(bench.dropped(Dropped::Malformed), 1);
    assert_eq!(bench.engine.counters().reports_refused, 1);

    bench.frame(0, &real);
    bench.hear(SAFE, 0, Channel::Rtp, &real);
    bench.hear(SAFE, 2, Channel::Rtp, &real);

    assert_eq!(bench.dropped(Dropped::Replay), 1);
    assert_eq!(bench.dropped(Dropped::Source), 3);
    let heard = bench.taken(PLAIN, Channel::Rtp);
    assert_eq!(heard.len(), 1, "only what was proved is heard");
    bench.order(Order::Close { leg: SAFE });
    let mut events = std::iter::from_fn(|| bench.engine.poll_event());
    let report = events.find_map(|event| {
        if let Event::Closed { leg: SAFE, report } = event { Some(report) } else { None }
    });
    assert_eq!(report.unwrap().packets_dropped, 7);
}

#[test]
fn a_session_refreshed_under_the_same_keys_keeps_its_state_and_new_keys_start_anew() {
    let suite = Suite::AeadAes128Gcm;
    let mut bench = Bench::new(suite);
    // Both streams wrap.
    let first = bench.protected(0);
    bench.frame(0, &first);
    for number in 1..60 {
        let safe = bench.protected(number);
        bench.frame(number, &safe);
    }
    for mut bytes in bench.taken(SAFE, Channel::Rtp) {
        bench.receiver.unprotect_rtp(&mut bytes).unwrap();
    }

    bench.order(Order::Secure { leg: SAFE, keys: Some(keys(suite, 1, 2)) });
    bench.connect(SAFE, 0);
    bench.hear(SAFE, 0, Channel::Rtp, &first);
    assert_eq!(bench.dropped(Dropped::Replay), 1, "what was seen is still known");
    let safe = bench.protected(60);
    bench.frame(60, &safe);
    for mut bytes in bench.taken(SAFE, Channel::Rtp) {
        bench.receiver.unprotect_rtp(&mut bytes).unwrap();
    }

    bench.order(Order::Secure { leg: SAFE, keys: Some(keys(suite, 3, 4)) });
    bench.connect(SAFE, 0);
    bench.sender = Sender::new(&master(suite, 4));
    let mut anew = Receiver::new(&master(suite, 3));
    let safe = bench.protected(61);
    bench.frame(61, &safe);
    let sent = bench.taken(SAFE, Channel::Rtp);
    assert!(!sent.is_empty());
    for bytes in sent {
        assert!(bench.receiver.unprotect_rtp(&mut bytes.clone()).is_err());
        anew.unprotect_rtp(&mut bytes.clone()).unwrap();
    }
    assert_eq!(bench.dropped(Dropped::SrtpAuth), 0);
}

#[test]
fn the_last_report_of_a_leg_is_protected_too() {
    let suite = Suite::AesCm128HmacSha1_32;
    let mut bench = Bench::new(suite);
    for number in 0..20 {
        let safe = bench.protected(number);
        bench.frame(number, &safe);
    }
    bench.sent.0.clear();
    bench.order(Order::Close { leg: SAFE });
    bench.now += Duration::from_millis(1);
    bench.engine.tick(bench.now, &mut bench.sent);

    let mut farewell = bench.taken(SAFE, Channel::Rtcp);
    assert_eq!(farewell.len(), 1);
    let length = bench.receiver.unprotect_rtcp(&mut farewell[0]).unwrap();
    assert_eq!(farewell[0][length - 7], 203, "a BYE");
    assert_eq!(bench.receiver.unprotect_rtcp(&mut farewell[0]), Err(Refused::Replayed));
}

#[test]
fn a_leg_whose_keys_do_not_come_with_their_order_says_and_hears_nothing() {
    let suite = Suite::AesCm128HmacSha1_80;
    let mut bench = Bench::new(suite);
    // Not equipped.
    let order = Order::Secure { leg: PLAIN, keys: Some(keys(suite, 5, 6)) };
    bench.engine.handle_order(order, bench.now);
    bench.order(Order::Hear { leg: PLAIN, source: Source::Silence });
    let refused = std::iter::from_fn(|| bench.engine.poll_event())
        .any(|event| matches!(event, Event::Refused { leg: PLAIN, .. }));
    assert!(refused);

    for number in 0..20 {
        let safe = bench.protected(number);
        bench.frame(number, &safe);
    }
    bench.order(Order::Close { leg: PLAIN });
    bench.now += Duration::from_millis(1);
    bench.engine.tick(bench.now, &mut bench.sent);

    assert_eq!(bench.taken(PLAIN, Channel::Rtp).len(), 0, "nothing leaves unprotected");
    assert_eq!(bench.taken(PLAIN, Channel::Rtcp).len(), 0);
    assert!(bench.dropped(Dropped::SrtpAuth) > 20);
}
