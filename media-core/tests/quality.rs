//! What a leg says of how its party is heard, to us and to its far side.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::*;
use media_core::{
    engine::Channel,
    order::{Event, FarVoice, Law, LegReport, Order},
    quality::{Band, Sound},
};
use rtcp::{
    extended_report::{ExtendedReport, VoIPMetricsReportBlock},
    receiver_report::ReceiverReport,
};
use std::net::SocketAddr;
use webrtc_util::marshal::Marshal;

fn extended(bytes: &[u8]) -> Option<(u32, VoIPMetricsReportBlock)> {
    let packets = rtcp::packet::unmarshal(&mut &bytes[..]).unwrap();
    let report = packets.iter().find_map(|p| p.as_any().downcast_ref::<ExtendedReport>())?;
    assert_eq!(report.reports.len(), 1);
    let block = report.reports[0].as_any().downcast_ref::<VoIPMetricsReportBlock>().unwrap();
    Some((report.sender_ssrc, block.clone()))
}

fn closed(bench: &mut Bench, n: u16) -> LegReport {
    bench.order(Order::Close { leg: leg(n) });
    match bench.events.last() {
        Some(Event::Closed { report, .. }) => *report,
        other => panic!("{other:?}"),
    }
}

/// Two who talk; of the first one's packets `fate` says: it comes so many ms late, or never.
fn talk(bench: &mut Bench, ms: u64, mut fate: impl FnMut(u64) -> Option<u64>) {
    (1..=2).for_each(|n| bench.party(n, Law::A));
    bench.bridge(1, 2, false);
    let (mut one, mut two) = (Speaker::new(1, Law::A), Speaker::new(2, Law::A));
    let mut under_way = vec![];
    bench.run(ms, |bench, at| {
        if at % 20 == 3 {
            two.say(bench, 2, 2);
            let header = one.next();
            if let Some(late) = fate(at / 20) {
                under_way.push((at + late, header));
            }
        }
        under_way.sort_by_key(|&(due, _)| due);
        while under_way.first().is_some_and(|&(due, _)| due <= at) {
            let (_, header) = under_way.remove(0);
            bench.rtp(1, &header, &[0x31; 160]);
        }
    });
}

#[test]
fn a_far_side_is_told_how_its_voice_sounds_only_once_it_has_asked() {
    let mut bench = Bench::new();
    talk(&mut bench, 12_000, |n| (n % 20 != 7).then_some(0));
    assert!(!bench.reports(1).is_empty());
    assert!(bench.reports(1).iter().all(|sent| extended(&sent.bytes).is_none()));

    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.order(Order::Rate { leg: leg(1), tells: true });
    bench.order(Order::Close { leg: leg(1) });
    bench.run_ms(50);
    bench.order(Order::Open {
        leg: leg(1),
        port: port(1),
        stream: stream(1),
        talk: media_core::order::TalkName(7),
    });
    bench.order(Order::Rate { leg: leg(1), tells: true });
    talk(&mut bench, 12_000, |n| (n % 20 != 7).then_some(0));

    let (ssrc, block) = extended(&bench.reports(1).last().unwrap().bytes).unwrap();
    assert_eq!((ssrc, block.ssrc), (stream(1).ssrc, 0xB001));
    // One in twenty: 12 of 256.
    assert!((11..=13).contains(&block.loss_rate), "{block:?}");
    assert_eq!((block.discard_rate, block.gmin), (0, 16));
    assert_eq!((block.signal_level, block.noise_level, block.rerl), (127, 127, 127));
    // Alone, further apart than sixteen: no burst, one gap.
    assert_eq!((block.burst_density, block.burst_duration), (0, 0));
    assert!((11..=13).contains(&block.gap_density), "{block:?}");
    assert_eq!((block.rfactor, block.mos_cq), (127, 127), "no round trip is known");
    assert_eq!(block.mos_lq, 39);
    // A frame and a little more, as packets are lost.
    assert_eq!((block.jb_nominal, block.jb_maximum, block.jb_abs_max), (22, 200, 200));
    assert!(bench.reports(2).iter().all(|sent| extended(&sent.bytes).is_none()));
}

#[test]
fn what_a_far_side_says_of_our_voice_is_in_the_report_of_its_leg() {
    let mut bench = Bench::new();
    talk(&mut bench, 1_000, |_| Some(0));
    let from = SocketAddr::new(phone(1).ip(), 4001);
    let block = VoIPMetricsReportBlock {
        ssrc: stream(1).ssrc,
        loss_rate: 5,
        discard_rate: 2,
        round_trip_delay: 70,
        end_system_delay: 90,
        signal_level: 127,
        rfactor: 88,
        mos_lq: 42,
        mos_cq: 127,
        ..Default::default()
    };
    let mut say = |sender_ssrc, block: &VoIPMetricsReportBlock| {
        let receiver = ReceiverReport { ssrc: sender_ssrc, ..Default::default() };
        let report = ExtendedReport { sender_ssrc, reports: vec![Box::new(block.clone())] };
        let bytes = [receiver.marshal().unwrap(), report.marshal().unwrap()].concat();
        bench.datagram(1, Channel::Rtcp, from, &bytes);
    };

    say(0xB001, &block);
    // Of another stream, by somebody else: not believed.
    say(0xB001, &VoIPMetricsReportBlock { ssrc: 99, rfactor: 1, ..block.clone() });
    say(0xB009, &VoIPMetricsReportBlock { rfactor: 2, ..block.clone() });
    // What cannot be is not known.
    say(0xB001, &VoIPMetricsReportBlock { mos_lq: 120, rfactor: 130, ..block });

    assert_eq!(bench.engine.counters().reports_impossible, 2);
    let told = FarVoice {
        loss_rate: 5,
        discard_rate: 2,
        round_trip_ms: 70,
        end_system_ms: 90,
        r_factor: None,
        mos_lq: None,
        mos_cq: None,
    };
    assert_eq!(closed(&mut bench, 1).far_voice, Some(told));
    assert_eq!(closed(&mut bench, 2).far_voice, None);
}

#[test]
fn loss_in_bursts_is_told_from_random_loss_of_the_same_size() {
    let report = |lost: fn(u64) -> bool| {
        let mut bench = Bench::new();
        talk(&mut bench, 60_000, |n| (!lost(n)).then_some(0));
        closed(&mut bench, 1)
    };

    let (alone, bursts) = (report(|n| n % 20 == 7), report(|n| n % 80 < 4 && n >= 80));

    assert_eq!((alone.packets_missed, alone.loss_runs), (150, 150));
    assert_eq!(bursts.packets_missed, bursts.loss_runs * 4);
    let (alone, bursts) = (Sound::of(&alone), Sound::of(&bursts));
    assert!((alone.loss_ratio - bursts.loss_ratio).abs() < 0.003);
    assert_eq!(alone.burst_ratio, 1.0);
    assert!((3.7..=4.0).contains(&bursts.burst_ratio), "{bursts:?}");
    assert!(bursts.mos.unwrap().lq < alone.mos.unwrap().lq - 0.05);
}

#[test]
fn a_packet_that_comes_after_its_time_is_lost_to_the_ear_and_one_out_of_order_is_not() {
    let report = |every: u64, late_ms: u64| {
        let mut bench = Bench::new();
        talk(&mut bench, 60_000, |n| Some(if n % every == every - 5 { late_ms } else { 0 }));
        closed(&mut bench, 1)
    };

    // So few that nothing waits for them, and so many that what comes next does.
    let (late, swapped) = (report(700, 400), report(10, 30));

    assert_eq!((late.packets_lost, late.packets_reordered, late.packets_late), (0, 4, 4));
    assert_eq!((late.packets_missed, late.loss_runs), (4, 4));
    assert!(Sound::of(&late).discard_ratio > 0.001);
    assert_eq!((swapped.packets_lost, swapped.packets_reordered), (0, 300));
    assert!(swapped.packets_late <= 3, "{swapped:?}");
    assert_eq!(swapped.packets_missed, swapped.packets_late);
}

#[test]
fn a_sender_that_pauses_has_lost_nothing() {
    let mut bench = Bench::new();
    (1..=2).for_each(|n| bench.party(n, Law::A));
    bench.bridge(1, 2, false);
    let (mut one, mut two) = (Speaker::new(1, Law::A), Speaker::new(2, Law::A));
    bench.run(20_000, |bench, ms| {
        if ms % 20 == 3 {
            two.say(bench, 2, 2);
            if ms % 1_000 < 500 {
                one.say(bench, 1, 0x31);
            } else {
                // Time passes, no number does.
                one.header.timestamp += 160;
            }
        }
    });

    let report = closed(&mut bench, 1);

    assert!(report.frames_concealed >= 40, "{report:?}");
    assert_eq!(report.frames_concealed, report.frames_paused, "{report:?}");
    let sound = Sound::of(&report);
    assert_eq!(sound.concealed_ratio, 0.0);
    assert_eq!(sound.mos.unwrap().band, Band::VerySatisfied);
}

#[test]
fn our_own_lateness_is_told_apart_from_the_networks() {
    let mut bench = Bench::new();
    talk(&mut bench, 2_000, |_| Some(0));
    let well = closed(&mut bench, 2);
    bench.stall_ms(130);
    bench.run_ms(40);
    let late = closed(&mut bench, 1);

    assert_eq!((well.late_us, well.stalls), (0, 0));
    assert!((110_000..=131_000).contains(&late.late_us), "{late:?}");
    assert_eq!(late.stalls, 1);
    assert_eq!(late.packets_lost, 0, "the network lost nothing");
}
