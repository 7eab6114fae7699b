//! RTCP as others read it, and what the engine tells the layer above.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::*;
use media_core::{
    counters::Dropped,
    engine::Channel,
    order::{Event, Law, LegReport, Order, PortName, Source, TalkName, TuneId},
    rtp::{
        header::Header,
        rtcp::{Compound, LastSender, SenderInfo},
        stats::Reception,
    },
};
use rtcp::{
    goodbye::Goodbye, receiver_report::ReceiverReport, sender_report::SenderReport,
    source_description::SourceDescription,
};
use std::net::SocketAddr;

const MUSIC: Source = Source::Music(TuneId(0));

fn read(bytes: &[u8]) -> Vec<Box<dyn rtcp::packet::Packet + Send + Sync>> {
    rtcp::packet::unmarshal(&mut &bytes[..]).unwrap()
}

fn rtcp_of(n: u16) -> SocketAddr {
    SocketAddr::new(phone(n).ip(), 4001)
}

fn closed(bench: &mut Bench, n: u16) -> LegReport {
    bench.order(Order::Close { leg: leg(n) });
    match bench.events.last() {
        Some(Event::Closed { report, .. }) => *report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sender_report_says_what_the_stream_has_come_to() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, MUSIC);
    let mut phone_says = Speaker::new(1, Law::A);
    bench.run(12_000, |bench, ms| {
        if ms % 20 == 2 {
            if ms % 200 == 2 {
                phone_says.next();
            } else {
                phone_says.say(bench, 1, 1);
            }
        }
    });

    let reports = bench.reports(1);
    assert_eq!(reports.len(), 3);
    assert!(reports.windows(2).all(|pair| pair[1].at_ms - pair[0].at_ms == 5_000));
    assert_eq!(reports[0].to, rtcp_of(1));
    let packets = read(&reports[1].bytes);
    let sr = packets[0].as_any().downcast_ref::<SenderReport>().unwrap();
    let at = reports[1].at_ms;
    assert_eq!(sr.ssrc, stream(1).ssrc);
    assert_eq!(sr.ntp_time, NTP_EPOCH + (at << 32) / 1000);
    assert!(u64::from(sr.packet_count).abs_diff(at / 20) <= 2);
    assert_eq!(sr.octet_count, sr.packet_count * 160);
    let elapsed = sr.rtp_time.wrapping_sub(stream(1).timestamp);
    assert!(u64::from(elapsed).abs_diff(at * 8) <= 160, "{elapsed} in {at} ms");
    let block = &sr.reports[0];
    assert_eq!((block.ssrc, block.fraction_lost), (0xB001, 25));
    assert!(u64::from(block.total_lost).abs_diff(at / 200) <= 1);
    assert_eq!(block.jitter, 0);
    let cname = packets[1].as_any().downcast_ref::<SourceDescription>().unwrap();
    assert_eq!(cname.chunks[0].items[0].text, "media@192.0.2.100".as_bytes());
}

#[test]
fn who_sends_nothing_reports_as_receiver_and_who_is_not_connected_not_at_all() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.order(Order::Open { leg: leg(2), port: port(2), stream: stream(2), talk: TalkName(0) });
    let mut phone_says = Speaker::new(1, Law::A);
    bench.run(12_000, |bench, ms| {
        if ms % 20 == 2 {
            phone_says.say(bench, 1, 1);
        }
    });

    let packets = read(&bench.reports(1)[1].bytes);
    let rr = packets[0].as_any().downcast_ref::<ReceiverReport>().unwrap();
    assert_eq!((rr.ssrc, rr.reports[0].ssrc), (stream(1).ssrc, 0xB001));
    assert!(bench.reports(2).is_empty());
}

#[test]
fn a_leg_that_sent_says_bye_when_it_closes_and_never_before() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    bench.hear(1, MUSIC);
    bench.run_ms(6_000);
    bench.order(Order::Close { leg: leg(1) });
    bench.order(Order::Close { leg: leg(2) });
    bench.run_ms(2);

    let (last, others) = bench.reports(1).split_last().map(|(l, o)| (*l, o.len())).unwrap();
    assert_eq!(others, 1);
    let packets = read(&last.bytes);
    let bye = packets[2].as_any().downcast_ref::<Goodbye>().unwrap();
    assert_eq!(bye.sources, [stream(1).ssrc]);
    let farewells = bench.reports(2).iter().filter(|sent| read(&sent.bytes).len() == 3).count();
    assert_eq!(farewells, 0);
    assert!(bench.engine.is_idle());
}

#[test]
fn round_trip_and_far_loss_are_in_the_report_and_the_next_one_answers_the_far_side() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, MUSIC);
    let mut phone_says = Speaker::new(1, Law::A);
    phone_says.say(&mut bench, 1, 1);
    while bench.reports(1).is_empty() {
        bench.run_ms(1);
    }
    let ours = read(&bench.reports(1)[0].bytes);
    let sr = ours[0].as_any().downcast_ref::<SenderReport>().unwrap();
    let lsr = u32::try_from((sr.ntp_time >> 16) & 0xFFFF_FFFF).unwrap();

    // 40 ms to the phone and back, 500 ms in its hands.
    bench.run_ms(539);
    let block =
        Reception { ssrc: stream(1).ssrc, fraction_lost: 3, lost: 11, highest: 9, jitter: 4 };
    let last = LastSender { lsr, delay: 32_768 };
    let info = SenderInfo { ntp: 0x0102_0304_0506_0708, timestamp: 0, packets: 1, octets: 160 };
    let mut answer = Compound::new();
    answer.sender(0xB001, &info, Some((&block, last)));
    answer.canonical_name(0xB001, "phone");
    bench.datagram(1, Channel::Rtcp, rtcp_of(1), answer.bytes());
    bench.run_ms(5_000);

    let ours = read(&bench.reports(1)[1].bytes);
    let sr = ours[0].as_any().downcast_ref::<SenderReport>().unwrap();
    assert_eq!(sr.reports[0].last_sender_report, 0x0304_0506);
    assert!((290_000..296_000).contains(&sr.reports[0].delay), "{}", sr.reports[0].delay);
    let report = closed(&mut bench, 1);
    let trip = report.round_trip_us.unwrap();
    assert!((39_000..=41_000).contains(&trip), "{trip}");
    assert_eq!(report.far_packets_lost, Some(11));
}

#[test]
fn forged_reports_change_nothing() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, MUSIC);
    let mut phone_says = Speaker::new(1, Law::A);
    phone_says.say(&mut bench, 1, 1);
    let block =
        Reception { ssrc: stream(1).ssrc, fraction_lost: 255, lost: 99, highest: 9, jitter: 4 };
    let report = |ssrc| {
        let mut compound = Compound::new();
        compound.receiver(ssrc, Some((&block, LastSender { lsr: 1, delay: 1 })));
        compound
    };

    bench.datagram(1, Channel::Rtcp, "203.0.113.5:4001".parse().unwrap(), report(0xB001).bytes());
    bench.datagram(1, Channel::Rtcp, rtcp_of(1), report(0xBAD).bytes());
    bench.datagram(1, Channel::Rtcp, rtcp_of(1), b"hello");
    bench.datagram(9, Channel::Rtcp, rtcp_of(1), report(0xB001).bytes());

    let counters = bench.engine.counters();
    assert_eq!((counters.reports_in, counters.reports_refused), (4, 2));
    assert_eq!(counters.reports_malformed, 1);
    let report = closed(&mut bench, 1);
    assert_eq!((report.far_packets_lost, report.round_trip_us), (None, None));
}

#[test]
fn a_leg_report_counts_what_it_went_through() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, MUSIC);
    let mut phone_says = Speaker::new(1, Law::A);
    bench.run(2_000, |bench, ms| {
        // Every second packet 5 ms late; every tenth said twice; the 50th never.
        if ms % 40 == 0 || ms % 40 == 25 {
            if phone_says.header.sequence == 150 {
                phone_says.next();
            }
            let again = phone_says.header;
            phone_says.say(bench, 1, 1);
            if again.sequence.is_multiple_of(10) {
                bench.rtp(1, &again, &[1; 160]);
            }
        }
    });
    bench.datagram(1, Channel::Rtp, phone(1), b"noise");

    let report = closed(&mut bench, 1);
    assert_eq!(report.packets_received, 100 + report.packets_duplicate);
    assert_eq!((report.packets_lost, report.packets_reordered), (1, 0));
    assert!((9..=10).contains(&report.packets_duplicate));
    assert_eq!(report.packets_dropped, report.packets_duplicate + 1);
    assert_eq!((report.packets_sent, report.frames_inserted), (100, 0));
    assert!((4_000..7_000).contains(&report.jitter_us), "{}", report.jitter_us);
}

#[test]
fn a_silence_is_told_once_and_its_end_too() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.run_ms(15_000);
    assert!(bench.events.is_empty(), "who has not spoken yet has longer");
    let mut phone_says = Speaker::new(1, Law::A);
    phone_says.say(&mut bench, 1, 1);
    bench.run_ms(30_000);
    phone_says.say(&mut bench, 1, 1);
    let heard_at = bench.now;
    bench.run_ms(5_000);

    let [Event::Silent { leg: l1, at: silent }, Event::Heard { leg: l2, at: heard }] =
        bench.events[..]
    else {
        panic!("{:?}", bench.events)
    };
    assert_eq!((l1, l2, heard), (leg(1), leg(1), heard_at));
    let after_ms = (silent - bench.epoch).as_millis();
    assert!((25_000..=25_020).contains(&after_ms), "{after_ms}");
}

#[test]
fn who_never_says_anything_is_silent_in_the_end() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);

    bench.run_ms(40_000);

    let [Event::Silent { leg: silent, at }] = bench.events[..] else {
        panic!("{:?}", bench.events)
    };
    let after_ms = (at - bench.epoch).as_millis();
    assert!(silent == leg(1) && (30_000..=30_020).contains(&after_ms), "{after_ms}");
}

#[test]
fn rtcp_alone_is_a_sign_of_life_and_a_stranger_is_not() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    Speaker::new(1, Law::A).say(&mut bench, 1, 1);
    let mut report = Compound::new();
    report.receiver(0xB001, None);
    for n in 0..60 {
        if n < 30 {
            bench.datagram(1, Channel::Rtcp, rtcp_of(1), report.bytes());
        } else {
            bench.datagram(1, Channel::Rtcp, "203.0.113.5:9".parse().unwrap(), report.bytes());
        }
        bench.run_ms(1_000);
    }

    assert_eq!(bench.events.len(), 1, "{:?}", bench.events);
}

#[test]
fn orders_that_cannot_be_carried_out_are_refused_in_words() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    let open =
        |l, p| Order::Open { leg: leg(l), port: PortName(p), stream: stream(l), talk: TalkName(0) };
    let bridge = |caller, other| Order::Bridge {
        talk: TalkName(1),
        caller: leg(caller),
        other: leg(other),
        record: true,
    };
    let part = |talk| Order::Part {
        talk: TalkName(talk),
        caller_hears: MUSIC,
        other_hears: Source::Silence,
    };

    for (order, expected) in [
        (open(1, 20_100), "open: this leg is open"),
        (open(3, port(1).0), "open: this port is in use"),
        (open(3, 20_101), "open: a pair begins with an even port"),
        (connect(3, Law::A), "connect: no such leg"),
        (Order::Hear { leg: leg(3), source: MUSIC }, "hear: no such leg"),
        (
            Order::Hear { leg: leg(1), source: Source::Music(TuneId(9)) },
            "hear: no such tune, silence instead",
        ),
        (bridge(1, 3), "bridge: no such other leg"),
        (bridge(3, 1), "bridge: no such caller's leg"),
        (bridge(1, 1), "bridge: a leg with itself"),
        (part(1), "part: no such talk"),
    ] {
        bench.order(order);
        match bench.events.pop() {
            Some(Event::Refused { what, .. }) => assert_eq!(what, expected),
            other => panic!("{order:?}: {other:?}"),
        }
    }
    bench.order(bridge(1, 2));
    bench.order(Order::Hear { leg: leg(1), source: MUSIC });
    assert!(matches!(bench.events.last(), Some(Event::Refused { .. })));
}

#[test]
fn a_full_house_is_refused_and_every_close_is_answered_even_if_nobody_listens() {
    let mut bench = Bench::new();
    for round in 0..3_u64 {
        for n in 0..100 {
            let leg = media_core::order::LegName(round * 100 + n);
            let port = PortName(20_000 + u16::try_from(n).unwrap() * 2);
            let order = Order::Open { leg, port, stream: stream(1), talk: TalkName(0) };
            bench.engine.handle_order(order, bench.now);
        }
        assert_eq!(bench.engine.legs(), if round == 0 { 40 } else { 0 });
        for n in 0..40 {
            let leg = media_core::order::LegName(round * 100 + n);
            bench.engine.handle_order(Order::Close { leg }, bench.now);
        }
    }
    bench.run_ms(1);

    let closed = |name| {
        let is = |event: &&Event| matches!(event, Event::Closed { leg, .. } if leg.0 == name);
        bench.events.iter().filter(is).count()
    };
    assert!((0..40).all(|name| closed(name) == 1));
    assert!(bench.events.iter().any(|event| matches!(event, Event::Refused { .. })));
    assert!(bench.engine.is_idle());
}

#[test]
fn a_talk_that_never_met_ends_with_an_answer_too() {
    let mut bench = Bench::new();
    bench.order(Order::EndTalk { talk: TalkName(99) });
    bench.order(Order::Close { leg: leg(99) });

    assert!(matches!(bench.events[0], Event::TalkEnded { talk: TalkName(99), recorded: None, .. }));
    assert_eq!(bench.events[1], Event::Closed { leg: leg(99), report: LegReport::default() });
}

#[test]
fn closing_one_of_two_leaves_the_other_in_silence_and_the_port_free() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    bench.bridge(1, 2, false);
    let mut agent = Speaker::new(2, Law::A);
    bench.run(400, |bench, ms| {
        if ms % 20 == 0 {
            agent.say(bench, 2, 5);
        }
    });
    bench.order(Order::Close { leg: leg(2) });
    bench.run(400, |bench, ms| {
        if ms % 20 == 0 {
            agent.say(bench, 2, 5);
        }
    });

    let heard = bench.heard(1);
    assert_one_stream(1, &heard);
    assert!(heard[21..].iter().all(|(_, _, said)| *said == [0xD5; 160]));
    assert_eq!(bench.engine.counters().dropped(Dropped::NoLeg), 20);
    bench.order(Order::Open { leg: leg(3), port: port(2), stream: stream(3), talk: TalkName(0) });
    assert!(!matches!(bench.events.last(), Some(Event::Refused { .. })));
}

#[test]
fn what_nobody_can_play_is_in_the_report_unless_it_stands_beside_the_audio() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    bench.bridge(1, 2, false);
    let mut caller = Speaker::new(1, Law::A);
    let (mut beside, mut number) = (Speaker::new(1, Law::A), 2);
    (beside.header.ssrc, beside.header.payload_type) = (9, 97);
    bench.run(2_000, |bench, ms| {
        if ms % 20 != 3 {
            return;
        }
        number += 1;
        let header = caller.next();
        match number % 10 {
            0 => bench.rtp(1, &header, &[9; 640]),
            1 => bench.rtp(1, &Header { payload_type: 111, ..header }, &[9; 160]),
            2 => bench.rtp(1, &header, &[]),
            _ => bench.rtp(1, &header, &[9; 160]),
        }
        // As SIPp fills the time around its keys.
        beside.say(bench, 1, 0);
    });

    let report = closed(&mut bench, 1);
    assert_eq!((report.packets_received, report.packets_unplayable), (200, 30));
    let dropped = |reason| bench.engine.counters().dropped(reason);
    assert_eq!((dropped(Dropped::Length), dropped(Dropped::PayloadType)), (20, 110));
    assert_eq!(report.packets_lost, 0);
}
