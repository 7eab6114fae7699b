//! What a party hears: one stream for its whole life, whatever feeds it.

mod bench;

use bench::*;
use media_core::{
    codec::g711,
    counters::Dropped,
    engine::Channel,
    music::Tune,
    order::{Event, Law, Order, Role, Source, TalkName, TuneId},
    rtp::header::Header,
};
use std::net::SocketAddr;

const MUSIC: Source = Source::Music(TuneId(0));

/// A caller and an agent in a bridge, both heard.
fn bridged(caller: Law, agent: Law) -> (Bench, Speaker, Speaker) {
    let mut bench = Bench::new();
    bench.party(1, caller);
    bench.party(2, agent);
    bench.bridge(1, 2, false);
    (bench, Speaker::new(1, caller), Speaker::new(2, agent))
}

#[test]
fn one_stream_goes_on_through_music_bridge_hold_and_bridge() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    let (mut one, mut two) = (Speaker::new(1, Law::A), Speaker::new(2, Law::A));
    let mut speak = move |bench: &mut Bench, ms: u64| {
        if ms % 20 == 3 {
            one.say(bench, 1, 1);
        }
        if ms % 20 == 14 {
            two.say(bench, 2, 2);
        }
    };

    bench.hear(1, MUSIC);
    bench.run(2_000, &mut speak);
    bench.bridge(1, 2, false);
    bench.run(2_000, &mut speak);
    bench.part(MUSIC);
    bench.run(2_000, &mut speak);
    bench.bridge(1, 2, false);
    bench.run(2_000, &mut speak);

    let heard = bench.heard(1);
    assert_one_stream(1, &heard);
    assert!((399..=402).contains(&heard.len()), "{} packets in 8 s", heard.len());
    assert!(longest_gap_ms(&heard) <= 40);
    let tune = Tune::test_tone();
    let music = |packet: &(u64, Header, Vec<u8>)| {
        (0..tune.frames()).any(|n| tune.frame(Law::A, n)[..] == packet.2[..])
    };
    assert!(heard[..98].iter().all(music) && heard[202..298].iter().all(music));
    assert!(heard[102..198].iter().chain(&heard[302..398]).all(|(_, _, said)| *said == [2; 160]));
    assert_one_stream(2, &bench.heard(2));
    assert_eq!(bench.engine.counters().frames_inserted, 0);
}

#[test]
fn all_who_wait_hear_the_same_place_of_the_tune() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, MUSIC);
    bench.run_ms(1_000);
    bench.party(2, Law::A);
    bench.hear(2, MUSIC);
    bench.run_ms(1_000);

    let (early, late) = (bench.heard(1), bench.heard(2));
    let tune = Tune::test_tone();
    let place = |said: &[u8]| (0..200).find(|&n| tune.frame(Law::A, n)[..] == *said).unwrap();
    assert_eq!(place(&late[0].2), place(&early[50].2));
    assert_eq!(place(&early[99].2), 100);
}

#[test]
fn a_bridge_passes_a_packet_on_at_once_and_unchanged() {
    let (mut bench, mut caller, _) = bridged(Law::Mu, Law::Mu);
    bench.run_ms(7);

    let header = caller.next();
    let said: Vec<u8> = (0..160).collect();
    bench.rtp(1, &header, &said);

    let heard = bench.heard(2);
    assert_eq!((heard.len(), heard[0].0), (1, 7));
    assert_eq!(heard[0].2, said);
    assert_eq!((heard[0].1.ssrc, heard[0].1.payload_type), (stream(2).ssrc, 0));
    assert_eq!(bench.wire.sent[0].to, phone(2));
}

#[test]
fn laws_that_differ_are_translated_by_table() {
    let (mut bench, mut caller, mut agent) = bridged(Law::Mu, Law::A);
    let said: Vec<u8> = (0..160).collect();

    let header = caller.next();
    bench.rtp(1, &header, &said);
    let header = agent.next();
    bench.rtp(2, &header, &said);

    let through = |from, to| -> Vec<u8> {
        let table = g711::translation(from, to).unwrap();
        said.iter().map(|code| table[usize::from(*code)]).collect()
    };
    assert_eq!(bench.heard(2)[0].2, through(Law::Mu, Law::A));
    assert_eq!(bench.heard(1)[0].2, through(Law::A, Law::Mu));
    assert_eq!(bench.heard(2)[0].1.payload_type, 8);
}

#[test]
fn any_packet_time_is_heard_in_frames_of_20_ms() {
    for packet_ms in [10, 30, 40, 60] {
        let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
        caller.samples = packet_ms * 8;
        bench.run(6_000, |bench, ms| {
            if ms % u64::from(packet_ms) == 5 {
                caller.say(bench, 1, 9);
            }
        });

        let heard = bench.heard(2);
        assert_one_stream(2, &heard);
        assert!((297..=303).contains(&heard.len()), "{packet_ms} ms: {}", heard.len());
        assert!(heard.iter().all(|(_, _, said)| said.len() == 160));
        let spoken = heard.iter().filter(|(_, _, said)| *said == [9; 160]).count();
        assert_eq!(spoken, heard.len(), "{packet_ms} ms");
        assert_eq!(bench.engine.counters().dropped(Dropped::Ahead), 0, "{packet_ms} ms");
    }
}

#[test]
fn who_says_nothing_is_heard_as_silence_in_time() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
    bench.run(1_000, |bench, ms| {
        if ms % 20 == 0 {
            caller.say(bench, 1, 9);
        }
    });
    bench.run_ms(2_000);
    bench.run(1_000, |bench, ms| {
        if ms % 20 == 0 {
            caller.say(bench, 1, 9);
        }
    });

    let heard = bench.heard(2);
    assert_one_stream(2, &heard);
    assert!((198..=202).contains(&heard.len()), "{}", heard.len());
    assert!(longest_gap_ms(&heard) <= 60, "{}", longest_gap_ms(&heard));
    let silent = heard.iter().filter(|(_, _, said)| *said == [0xD5; 160]).count();
    assert!((94..=99).contains(&silent), "{silent}");
    bench.order(Order::Close { leg: leg(2) });
    let Some(Event::Closed { report, .. }) = bench.events.last() else { panic!() };
    let fading = report.frames_inserted - silent as u64;
    assert!((3..=4).contains(&fading), "{fading} frames fade out");
}

#[test]
fn a_lost_packet_is_made_up_in_its_place() {
    let (mut bench, mut caller, _) = bridged(Law::Mu, Law::Mu);
    bench.run(12_000, |bench, ms| {
        if ms % 20 == 11 {
            if [20, 550, 551].contains(&(ms / 20)) {
                caller.next();
            } else {
                caller.say(bench, 1, 9);
            }
        }
    });

    let heard = bench.heard(2);
    assert_one_stream(2, &heard);
    let changed: Vec<_> = (0..heard.len()).filter(|&n| heard[n].2 != [9; 160]).collect();
    assert_eq!(
        changed,
        [20, 550, 551],
        "made up from both sides, so that what is behind stays as it was"
    );
    assert!(changed.iter().all(|n| heard[*n].2[..40].iter().all(|code| *code < 32)));
    bench.order(Order::Close { leg: leg(1) });
    let Some(Event::Closed { report, .. }) = bench.events.last() else { panic!() };
    assert_eq!((report.packets_received, report.packets_lost), (597, 3));
    assert_eq!((report.frames_heard, report.frames_concealed), (600, 3));
    assert_eq!(bench.engine.counters().packets_lost, 3);
}

#[test]
fn duplicates_and_late_packets_are_counted_and_not_heard() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
    let [first, second, third] = [0; 3].map(|_| caller.next());
    for (header, byte) in [(first, 1), (third, 3), (third, 4), (second, 2)] {
        bench.rtp(1, &header, &[byte; 160]);
        bench.run_ms(20);
    }

    let heard = bench.heard(2);
    assert_eq!([heard[0].2[159], heard[2].2[159]], [1, 3]);
    assert!(heard[1].2 != [2; 160] && heard[3..].iter().all(|(_, _, said)| said[0] != 2));
    let counters = bench.engine.counters();
    assert_eq!((counters.dropped(Dropped::Duplicate), counters.dropped(Dropped::Late)), (1, 1));
    bench.order(Order::Close { leg: leg(1) });
    let Some(Event::Closed { report, .. }) = bench.events.last() else { panic!() };
    let counted = (report.packets_duplicate, report.packets_reordered, report.packets_late);
    assert_eq!(counted, (1, 1, 1));
}

#[test]
fn a_burst_is_cut_where_it_would_run_ahead_of_real_time() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
    bench.run_ms(1);
    (0..50).for_each(|_| caller.say(&mut bench, 1, 9));

    let at_once = bench.heard(2).len();
    assert!((2..=4).contains(&at_once), "the frame that is due and three ahead: {at_once}");
    let dropped = bench.engine.counters().dropped(Dropped::Ahead);
    assert!((24..=27).contains(&dropped), "{dropped}: more than 430 ms wait for nobody");
    bench.run_ms(10_000);
    let heard = bench.heard(2);
    assert_one_stream(2, &heard);
    assert!((497..=503).contains(&heard.len()), "{}", heard.len());
}

#[test]
fn a_sender_whose_clock_is_fast_or_slow_stays_in_time() {
    for (period_us, expected) in [(19_900, 500), (20_100, 500)] {
        let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
        let mut next_us = 0;
        bench.run(10_000, |bench, ms| {
            while next_us <= ms * 1000 {
                caller.say(bench, 1, 9);
                next_us += period_us;
            }
        });

        let heard = bench.heard(2);
        assert_one_stream(2, &heard);
        assert!(heard.len().abs_diff(expected) <= 4, "{period_us}: {}", heard.len());
        let silent = heard.iter().filter(|(_, _, said)| said[0] != 9).count();
        assert!(bench.engine.counters().dropped(Dropped::Ahead) == 0 && silent <= 6, "{silent}");
    }
}

#[test]
fn after_a_stall_time_is_skipped_and_the_stream_goes_on_without_a_break() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, MUSIC);
    bench.run_ms(1_000);
    let before = bench.heard(1).len();

    bench.stall_ms(700);
    bench.tick();

    assert_eq!(bench.heard(1).len() - before, 1, "no burst");
    assert_eq!(bench.engine.counters().stalls, 1);
    bench.run_ms(1_000);
    assert_one_stream(1, &bench.heard(1));
    assert!((100..=102).contains(&bench.heard(1).len()));
    assert_eq!(bench.engine.counters().stalls, 1);
}

#[test]
fn a_short_delay_of_the_thread_is_made_up_for() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, MUSIC);
    for _ in 0..20 {
        bench.run_ms(100);
        bench.stall_ms(50);
    }
    bench.run_ms(200);

    let heard = bench.heard(1);
    assert_one_stream(1, &heard);
    assert_eq!(bench.engine.counters().stalls, 0);
    assert!((159..=161).contains(&heard.len()), "{} in 3.2 s", heard.len());
}

#[test]
fn a_held_party_is_sent_nothing_and_its_stream_goes_on_afterwards() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.hear(1, MUSIC);
    bench.run_ms(1_000);
    let Order::Connect { leg, remote, codec, telephone_event, receives, .. } = connect(1, Law::A)
    else {
        unreachable!()
    };
    let sends = |sends| Order::Connect { leg, remote, codec, telephone_event, sends, receives };

    bench.order(sends(false));
    let before = bench.heard(1).len();
    bench.run_ms(3_000);
    assert_eq!(bench.heard(1).len(), before);
    bench.order(sends(true));
    bench.run_ms(1_000);

    let heard = bench.heard(1);
    assert_one_stream(1, &heard);
    assert!((99..=101).contains(&heard.len()));
    assert_eq!(bench.engine.counters().stalls, 0);
}

#[test]
fn a_far_side_that_gave_no_address_is_sent_nothing() {
    let mut bench = Bench::new();
    bench.order(Order::Open { leg: leg(1), port: port(1), stream: stream(1), talk: TalkName(0) });
    let Order::Connect { leg, mut remote, codec, telephone_event, sends, receives } =
        connect(1, Law::A)
    else {
        unreachable!()
    };
    remote.rtp = "0.0.0.0:4000".parse().unwrap();
    remote.rtcp = "192.0.2.1:0".parse().unwrap();
    bench.order(Order::Connect { leg, remote, codec, telephone_event, sends, receives });
    bench.hear(1, MUSIC);
    bench.run_ms(11_000);

    assert!(bench.wire.sent.is_empty());
}

#[test]
fn nothing_is_sent_before_there_is_something_to_hear() {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.run_ms(500);
    assert!(bench.heard(1).is_empty());

    bench.hear(1, Source::Silence);
    bench.run_ms(100);
    bench.hear(1, Source::Nothing);
    bench.run_ms(100);

    let heard = bench.heard(1);
    assert_eq!(heard.len(), 10, "a running stream turns silent, it does not stop");
    assert!(heard.iter().all(|(_, _, said)| *said == [0xD5; 160]));
}

#[test]
fn a_stranger_is_never_heard_and_never_answered() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
    bench.run_ms(200);
    let stranger: SocketAddr = "203.0.113.66:4000".parse().unwrap();
    let mut forged = Speaker::new(1, Law::A);
    for _ in 0..100 {
        let header = forged.next();
        bench.rtp_from(stranger, 1, &header, &[6; 160]);
        bench.run_ms(20);
        caller.say(&mut bench, 1, 9);
    }

    assert!(bench.heard(2).iter().all(|(_, _, said)| said[0] != 6));
    assert!(bench.wire.sent.iter().all(|sent| sent.to.ip() != stranger.ip()));
    let counters = bench.engine.counters();
    assert_eq!(counters.dropped(Dropped::Source) + counters.dropped(Dropped::SourceLock), 100);
}

#[test]
fn behind_a_nat_the_source_is_learned_and_answered() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
    let nat: SocketAddr = "192.0.2.1:61234".parse().unwrap();
    for _ in 0..10 {
        let header = caller.next();
        bench.rtp_from(nat, 1, &header, &[9; 160]);
        bench.run_ms(20);
    }

    let heard = bench.heard(2).iter().filter(|(_, _, said)| said[0] == 9).count();
    assert_eq!(heard, 8, "the first two only prove the source");
    assert_eq!(bench.engine.counters().dropped(Dropped::Learning), 2);
    let last = bench.wire.sent.iter().rfind(|sent| sent.port == port(1)).unwrap();
    assert_eq!(last.to, nat);
}

#[test]
fn who_first_speaks_at_the_answer_after_long_early_media_is_still_learned() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
    let nat: SocketAddr = "192.0.2.1:61234".parse().unwrap();
    bench.run_ms(30_000);

    bench.order(connect(1, Law::A));
    for _ in 0..10 {
        let header = caller.next();
        bench.rtp_from(nat, 1, &header, &[9; 160]);
        bench.run_ms(20);
    }

    let heard = bench.heard(2).iter().filter(|(_, _, said)| said[0] == 9).count();
    assert_eq!(heard, 8, "the first two only prove the source");
}

#[test]
fn a_reinvite_that_moves_nothing_keeps_the_learned_source_and_one_that_moves_learns_anew() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
    let nat: SocketAddr = "192.0.2.1:61234".parse().unwrap();
    let mut speak = |bench: &mut Bench, packets: usize| {
        for _ in 0..packets {
            let header = caller.next();
            bench.rtp_from(nat, 1, &header, &[9; 160]);
            bench.run_ms(20);
        }
    };
    speak(&mut bench, 5);
    bench.order(connect(1, Law::A));
    speak(&mut bench, 5);
    assert_eq!(bench.engine.counters().dropped(Dropped::Learning), 2);

    let Order::Connect { leg, mut remote, codec, telephone_event, sends, receives } =
        connect(1, Law::A)
    else {
        unreachable!()
    };
    remote.rtp = "192.0.2.1:7000".parse().unwrap();
    bench.order(Order::Connect { leg, remote, codec, telephone_event, sends, receives });
    bench.run_ms(200);
    let last = bench.wire.sent.iter().rfind(|sent| sent.port == port(1)).unwrap();
    assert_eq!(last.to, remote.rtp);
    speak(&mut bench, 5);
    assert_eq!(bench.engine.counters().dropped(Dropped::Learning), 4);
    assert_one_stream(1, &bench.heard(1));
}

#[test]
fn a_new_ssrc_of_the_same_source_is_heard_from_its_second_packet_on() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
    for n in 0..20 {
        if n == 10 {
            caller.header.ssrc = 77;
            caller.header.sequence = 40_000;
        }
        caller.say(&mut bench, 1, 9);
        bench.run_ms(20);
    }

    let heard = bench.heard(2);
    assert_eq!(heard.iter().filter(|(_, _, said)| said[0] == 9).count(), 19);
    assert_eq!(bench.engine.counters().dropped(Dropped::SequenceJump), 1);
    bench.order(Order::Close { leg: leg(1) });
    let Some(Event::Closed { report, .. }) = bench.events.last() else { panic!() };
    assert_eq!((report.packets_received, report.packets_lost), (20, 0));
}

#[test]
fn what_is_no_audio_of_this_call_is_dropped_by_reason() {
    let (mut bench, mut caller, _) = bridged(Law::A, Law::A);
    let mut drop = |bench: &mut Bench, payload_type: u8, payload: &[u8], reason: Dropped| {
        let mut header = caller.next();
        header.payload_type = payload_type;
        let before = bench.engine.counters().dropped(reason);
        bench.rtp(1, &header, payload);
        assert_eq!(bench.engine.counters().dropped(reason), before + 1, "{reason:?}");
    };

    drop(&mut bench, 13, &[40], Dropped::ComfortNoise);
    drop(&mut bench, 0, &[1; 160], Dropped::PayloadType);
    drop(&mut bench, 8, &[], Dropped::Length);
    drop(&mut bench, 8, &[1; 481], Dropped::Length);
    drop(&mut bench, 101, &[1; 3], Dropped::Malformed);
    bench.datagram(1, Channel::Rtp, phone(1), &[0x80, 200, 0, 6, 0, 0, 0, 1]);
    bench.datagram(1, Channel::Rtp, phone(1), b"GET / HTTP/1.1");
    bench.datagram(9, Channel::Rtp, phone(1), &[0; 172]);
    bench.order(Order::Open { leg: leg(3), port: port(3), stream: stream(3), talk: TalkName(0) });
    bench.datagram(3, Channel::Rtp, phone(3), &[0x80; 172]);

    let counters = bench.engine.counters();
    assert_eq!(counters.dropped(Dropped::RtcpOnRtp), 1);
    assert_eq!(counters.dropped(Dropped::Malformed), 2);
    assert_eq!(counters.dropped(Dropped::NoLeg), 1);
    assert_eq!(counters.dropped(Dropped::NotConnected), 1);
    assert!(bench.heard(2).is_empty());
}

#[test]
fn whatever_is_ordered_streams_stay_whole_and_everything_is_given_back() {
    let (mut bridges, mut joins, mut refused) = (0, 0, 0);
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let mut bench = Bench::new();
        let mut speakers: Vec<Speaker> = (0..4).map(|n| Speaker::new(n, Law::A)).collect();
        (0..4).for_each(|n| bench.party(n, if n % 2 == 0 { Law::A } else { Law::Mu }));
        for n in (1..4).step_by(2) {
            speakers[n].header.payload_type = 0;
        }
        for _ in 0..60 {
            let any = |dice: &mut Dice| u16::try_from(dice.roll(5)).unwrap();
            let talk = TalkName(dice.roll(3));
            match dice.roll(10) {
                7 | 8 => {
                    let role = match dice.roll(3) {
                        0 => Role::Speaks,
                        1 => Role::Listens,
                        _ => Role::Whispers { to: leg(any(&mut dice)) },
                    };
                    bench.order(Order::Join { talk, leg: leg(any(&mut dice)), role });
                    joins += 1;
                }
                9 => bench.order(Order::Leave { leg: leg(any(&mut dice)), hears: MUSIC }),
                0 => bench.hear(any(&mut dice), MUSIC),
                1 | 2 => {
                    let (caller, other) = (leg(any(&mut dice)), leg(any(&mut dice)));
                    bench.order(Order::Bridge { talk, caller, other, record: true });
                }
                3 => bench.order(Order::Part {
                    talk,
                    caller_hears: MUSIC,
                    other_hears: Source::Silence,
                }),
                4 => bench.order(Order::EndTalk { talk }),
                5 => bench.stall_ms(dice.roll(300)),
                _ => bench.order(connect(any(&mut dice), Law::A)),
            }
            let talkative = dice.roll(16);
            bench.run(dice.roll(200), |bench, ms| {
                for n in (0..4_u16).filter(|n| talkative & (1 << n) != 0) {
                    if ms % 20 == u64::from(n) * 3 {
                        speakers[usize::from(n)].say(bench, n, 9);
                    }
                }
            });
        }
        for n in 0..4 {
            assert_one_stream(n, &bench.heard(n));
            bench.order(Order::Close { leg: leg(n) });
        }
        (0..3).for_each(|talk| bench.order(Order::EndTalk { talk: TalkName(talk) }));
        bench.run_ms(200);
        assert!(bench.engine.is_idle(), "seed {seed}");
        bridges += bench.events.iter().filter(|e| matches!(e, Event::Bridged { .. })).count();
        let no = |e: &&Event| matches!(e, Event::Refused { what, .. } if what.starts_with("join"));
        refused += bench.events.iter().filter(no).count();
    }
    assert!(bridges > 1_000, "{bridges}");
    assert!(joins - refused > 200, "{joins} less {refused}");
}
