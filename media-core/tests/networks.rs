//! Bad networks: what is lost, late, twice, out of order or from a clock that is off, and what
//! the other side and the recording hear of it.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

mod bench;

use bench::{
    speech::{segmental_snr_db, spectral_distance_db, speech},
    *,
};
use media_core::{
    codec::g711,
    counters::Dropped,
    engine::{Behind, Channel},
    order::{By, Event, Law, LegReport, Order, RecordFrame, RecordKind, Source},
    record::unpack,
    rtp::header::Header,
};

/// What a network does to each packet, at random from a seed.
struct Network {
    dice: Dice,
    /// Of 1,000.
    lost: u64,
    twice: u64,
    /// Base, and how much more at most, in milliseconds.
    delay: (u64, u64),
    flying: Vec<(u64, Header, Vec<u8>)>,
}

impl Network {
    fn new(seed: u64, lost: u64, twice: u64, delay: (u64, u64)) -> Self {
        Self { dice: Dice(seed), lost, twice, delay, flying: vec![] }
    }

    fn send(&mut self, now_ms: u64, header: Header, payload: Vec<u8>) {
        let copies = 1 + u8::from(self.dice.roll(1_000) < self.twice);
        for _ in 0..copies {
            if self.dice.roll(1_000) >= self.lost {
                let (base, more) = self.delay;
                let late = base + if more > 0 { self.dice.roll(more + 1) } else { 0 };
                self.flying.push((now_ms + late, header, payload.clone()));
            }
        }
    }

    fn arrive(&mut self, bench: &mut Bench, n: u16, now_ms: u64) {
        let due: Vec<_> = self.flying.extract_if(.., |(due, ..)| *due <= now_ms).collect();
        due.iter().for_each(|(_, header, payload)| bench.rtp(n, header, payload));
    }
}

fn bridged(record: bool) -> (Bench, Speaker) {
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    bench.bridge(1, 2, record);
    (bench, Speaker::new(1, Law::A))
}

fn packed(samples: &[i16]) -> Vec<u8> {
    samples.iter().map(|sample| g711::encode(Law::A, *sample)).collect()
}

fn decoded(heard: &[(u64, Header, Vec<u8>)]) -> Vec<i16> {
    let codes = heard.iter().flat_map(|(_, _, said)| said);
    codes.map(|code| g711::decode(Law::A, *code)).collect()
}

/// Speaks for so many milliseconds through a network, the caller to the agent.
fn talk(bench: &mut Bench, caller: &mut Speaker, network: &mut Network, ms: u64, said: &[i16]) {
    let mut packets = said.chunks_exact(caller.samples as usize);
    let every = u64::from(caller.samples / 8);
    bench.run(ms, |bench, now| {
        if now % every == 3 {
            let payload =
                packets.next().map_or_else(|| vec![0xD5; caller.samples as usize], packed);
            network.send(now, caller.next(), payload);
        }
        network.arrive(bench, 1, now);
    });
}

fn closed(bench: &mut Bench, n: u16) -> LegReport {
    bench.order(Order::Close { leg: leg(n) });
    match bench.events.last() {
        Some(Event::Closed { report, .. }) => *report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn concealment_is_far_better_than_silence_at_5_and_10_percent_loss() {
    // Silence never contradicts a waveform, so the signal-to-noise ratio may not gain; the spectrum
    // is what is heard.
    for (lost, snr_cost_db) in [(50, 1.5), (100, 3.0)] {
        let said: Vec<i16> =
            packed(&speech(8_000 * 60, 7)).iter().map(|code| g711::decode(Law::A, *code)).collect();
        let (mut bench, mut caller) = bridged(false);
        let mut network = Network::new(lost, lost, 0, (0, 0));
        let mut without = vec![];
        let mut packets = said.chunks_exact(160);
        bench.run(60_000, |bench, ms| {
            if let Some(packet) = packets.next_if_due(ms) {
                network.send(ms, caller.next(), packed(packet));
                let come = !network.flying.is_empty();
                without.extend(packet.iter().map(|s| if come { *s } else { 0 }));
            }
            network.arrive(bench, 1, ms);
        });

        let heard = decoded(&bench.heard(2));
        // Once a frame more is waited for, all is heard so much later.
        let late = later(&said[16_000..], &heard[16_000..]);
        let length = said.len() - 16_000 - late;
        let (said, without) = (&said[16_000..][..length], &without[16_000..][..length]);
        let heard = &heard[16_000 + late..][..length];
        let snr = (segmental_snr_db(said, heard), segmental_snr_db(said, without));
        let far = (spectral_distance_db(said, heard), spectral_distance_db(said, without));
        assert!(snr.0 > snr.1 - snr_cost_db, "{lost}: {snr:?}");
        assert!(far.0 < far.1 / 2.0, "{lost}: {far:?}");
    }
}

/// By how many samples, 60 ms at most, one of them is later.
fn later(said: &[i16], heard: &[i16]) -> usize {
    let product = |late: usize| -> f64 {
        heard[late..].iter().zip(said).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    (0..480).max_by(|one, other| product(*one).total_cmp(&product(*other))).unwrap()
}

trait Due<'a> {
    fn next_if_due(&mut self, ms: u64) -> Option<&'a [i16]>;
}

impl<'a> Due<'a> for std::slice::ChunksExact<'a, i16> {
    fn next_if_due(&mut self, ms: u64) -> Option<&'a [i16]> {
        if ms % 20 == 3 { self.next() } else { None }
    }
}

#[test]
fn an_even_network_adds_no_delay_whatever_the_packet_time() {
    for samples in [80, 160, 240, 320, 480] {
        let (mut bench, mut caller) = bridged(false);
        caller.samples = samples;
        let said = speech(8_000 * 6, 3);
        talk(&mut bench, &mut caller, &mut Network::new(1, 0, 0, (0, 0)), 6_000, &said);

        let heard = bench.heard(2);
        assert_one_stream(2, &heard);
        let heard_samples = decoded(&heard);
        let exact: Vec<i16> =
            packed(&said).iter().map(|code| g711::decode(Law::A, *code)).collect();
        let length = heard_samples.len().min(exact.len());
        assert!(length + 480 >= exact.len(), "{samples}: {length}");
        assert!(heard_samples[..length] == exact[..length], "{samples}: unchanged");
        // Every frame left in the millisecond in which the packet came that completed it.
        let every = u64::from(samples / 8);
        assert!(heard.iter().all(|(at, ..)| at % every == 3), "{samples}");
    }
}

#[test]
fn a_bad_network_adds_no_gap_over_60_ms_and_loses_no_time() {
    for seed in 0..8 {
        let (mut bench, mut caller) = bridged(true);
        let said = speech(8_000 * 20, seed);
        // 200 ms, 50 more or less for each packet by itself; 3 % lost, 5 % twice.
        let mut network = Network::new(seed, 30, 50, (150, 100));
        talk(&mut bench, &mut caller, &mut network, 20_000, &said);

        let heard = bench.heard(2);
        assert_one_stream(2, &heard);
        assert!(longest_gap_ms(&heard) <= 60, "seed {seed}: {}", longest_gap_ms(&heard));
        assert!(heard.len().abs_diff(1_000) <= 4, "seed {seed}: {}", heard.len());
        let report = closed(&mut bench, 1);
        let missed = report.frames_concealed as f64 / report.frames_heard as f64;
        assert!(missed < 0.07, "seed {seed}: {missed} {report:?}");
        assert!(report.packets_late < 25, "seed {seed}: {report:?}");
        assert!((80_000..=200_000).contains(&report.delay_us), "{report:?}");
    }
}

/// Left and right of every audio frame of a recording.
fn tracks(recorded: &[RecordFrame]) -> [Vec<i16>; 2] {
    let audio = recorded.iter().filter(|frame| frame.kind == RecordKind::Audio);
    let pairs: Vec<[i16; 2]> = audio.flat_map(|frame| unpack(&frame.tracks)).collect();
    [0, 1].map(|side: usize| pairs.iter().map(|pair| pair[side]).collect())
}

#[test]
fn a_recording_is_as_long_as_the_talk_and_holds_what_the_other_side_heard() {
    for seed in 0..4 {
        let (mut bench, mut caller) = bridged(true);
        let said = speech(8_000 * 21, seed);
        // 20 % lost, 10 % twice, and up to 60 ms apart; half way the sender starts anew.
        let mut network = Network::new(seed, 200, 100, (20, 60));
        talk(&mut bench, &mut caller, &mut network, 10_000, &said);
        caller.header.ssrc ^= 0xFFFF;
        caller.header.sequence = 40_000;
        caller.header.timestamp = 77;
        talk(&mut bench, &mut caller, &mut network, 9_993, &said);
        bench.order(Order::EndTalk { talk: media_core::order::TalkName(7) });
        bench.run_ms(50);

        let [left, right] = tracks(&bench.wire.recorded);
        assert_eq!(left.len(), 1_000 * 160, "seed {seed}: 19.993 s");
        assert!(right.iter().all(|sample| sample.abs() <= 8), "A-law's silence");
        let heard = decoded(&bench.heard(2));
        let aligned = (0..4).any(|ahead: usize| {
            let length = heard.len().min(left.len()) - 5 * 160;
            heard[..length] == left[ahead * 160..ahead * 160 + length]
                || heard[ahead * 160..ahead * 160 + length] == left[..length]
        });
        assert!(aligned, "seed {seed}: recorded is what was heard");
        assert!(longest_gap_ms(&bench.heard(2)) <= 60, "seed {seed}");
    }
}

#[test]
fn bursts_of_loss_and_an_outage_cost_what_was_lost_and_no_more() {
    let (mut bench, mut caller) = bridged(true);
    let said = speech(8_000 * 20, 9);
    let mut packets = said.chunks_exact(160);
    bench.run(20_000, |bench, ms| {
        if let Some(packet) = packets.next_if_due(ms) {
            let header = caller.next();
            // Ten packets in a row every two seconds, and once five seconds of nothing.
            let lost = (ms / 20) % 100 < 10 || (8_000..13_000).contains(&ms);
            if !lost {
                bench.rtp(1, &header, &packed(packet));
            }
        }
    });

    let heard = bench.heard(2);
    assert_one_stream(2, &heard);
    assert!(longest_gap_ms(&heard) <= 60, "{}", longest_gap_ms(&heard));
    assert!(heard.len().abs_diff(1_000) <= 4, "{}", heard.len());
    let waited = closed(&mut bench, 1).delay_us;
    assert_eq!(waited, 0, "an outage is nothing to wait for");
}

#[test]
fn while_packets_are_lost_a_frame_more_is_waited_for_and_no_longer() {
    let (mut bench, mut caller) = bridged(true);
    let said = speech(8_000 * 40, 11);
    let mut packets = said.chunks_exact(160);
    bench.run(40_000, |bench, ms| {
        if let Some(packet) = packets.next_if_due(ms) {
            let header = caller.next();
            // One packet in twenty-five, for the second ten seconds.
            if !(10_000..20_000).contains(&ms) || ms / 20 % 25 != 7 {
                bench.rtp(1, &header, &packed(packet));
            }
        }
    });

    let heard = bench.heard(2);
    assert_one_stream(2, &heard);
    assert!(heard.len().abs_diff(2_000) <= 2, "{}", heard.len());
    let exact = |from: u64, until: u64| {
        let within: Vec<_> = heard.iter().filter(|(at, ..)| (from..until).contains(at)).collect();
        let at_once = within.iter().filter(|(at, _, codes)| {
            let place = usize::try_from(at / 20).unwrap() * 160;
            at % 20 == 3 && *codes == packed(&said[place..place + 160])
        });
        (at_once.count(), within.len())
    };
    // Before anything is lost, and once nothing has been for ten seconds and what waited is caught up, a frame
    // leaves in the millisecond its packet comes in.
    assert_eq!(exact(0, 10_000), (500, 500));
    assert_eq!(exact(36_000, 40_000), (200, 200));
    let between: Vec<u64> =
        heard.iter().map(|(at, ..)| *at).filter(|at| (11_500..20_000).contains(at)).collect();
    assert!(between.windows(2).all(|two| two[1] - two[0] == 20), "evenly all the while");
    let late: Vec<f64> =
        (600..980).step_by(20).filter_map(|n| delay_ms(&said, &heard, n)).collect();
    assert!(late.len() > 5 && late.iter().all(|late| (15.0..=55.0).contains(late)), "{late:?}");
    let report = closed(&mut bench, 1);
    assert!((20..=22).contains(&report.frames_concealed), "{report:?}");
    assert_eq!((report.packets_lost, report.delay_us), (20, 0), "{report:?}");
}

#[test]
fn jumps_of_ssrc_sequence_and_time_stamp_make_no_gap_over_60_ms() {
    let (mut bench, mut caller) = bridged(false);
    let said = speech(8_000 * 12, 5);
    let mut packets = said.chunks_exact(160);
    bench.run(12_000, |bench, ms| {
        if let Some(packet) = packets.next_if_due(ms) {
            match ms / 1_000 {
                1 if ms % 1_000 == 3 => caller.header.ssrc = 99,
                3 if ms % 1_000 == 3 => caller.header.sequence ^= 0x7F00,
                5 if ms % 1_000 == 3 => caller.header.timestamp ^= 0x7F00_0000,
                7 if ms % 1_000 == 3 => {
                    caller.header.timestamp = caller.header.timestamp.wrapping_sub(9_000)
                }
                9 if ms % 1_000 == 3 => {
                    (caller.header.ssrc, caller.header.sequence) = (100, 3);
                    caller.header.timestamp = 0;
                }
                _ => {}
            }
            let header = caller.next();
            bench.rtp(1, &header, &packed(packet));
        }
    });

    let heard = bench.heard(2);
    assert_one_stream(2, &heard);
    assert!(longest_gap_ms(&heard) <= 60, "{}", longest_gap_ms(&heard));
    assert!(heard.len().abs_diff(600) <= 3, "{}", heard.len());
    let report = closed(&mut bench, 1);
    assert!(report.frames_concealed + 600 - report.frames_heard <= 4, "{report:?}");
}

#[test]
fn a_sender_that_pauses_is_heard_at_once_when_it_speaks_again() {
    for comforts in [false, true] {
        let (mut bench, mut caller) = bridged(false);
        bench.run(12_000, |bench, ms| {
            if ms % 20 != 3 {
                return;
            }
            let mut header = caller.next();
            if (ms / 1_500) % 2 == 0 {
                header.marker = ms % 1_500 < 20;
                bench.rtp(1, &header, &[0x21; 160]);
            } else if comforts && ms % 1_500 < 20 {
                header.payload_type = 13;
                bench.rtp(1, &header, &[60]);
            } else {
                caller.header.sequence = header.sequence;
            }
        });

        let heard = bench.heard(2);
        assert_one_stream(2, &heard);
        assert!(heard.len().abs_diff(600) <= 3, "{}", heard.len());
        assert!(longest_gap_ms(&heard) <= 60);
        for (at, speaks) in
            [(3_100, true), (6_100, true), (9_100, true), (2_000, false), (8_000, false)]
        {
            let frame = heard.iter().find(|(ms, ..)| *ms >= at).unwrap();
            assert_eq!(frame.2[159] == 0x21, speaks, "{at} ms");
        }
        assert!(closed(&mut bench, 1).packets_lost == 0);
    }
}

#[test]
fn comfort_noise_is_heard_as_loud_as_it_was_told_and_ends_with_speech() {
    let (mut bench, mut caller) = bridged(false);
    bench.run(4_000, |bench, ms| {
        if ms % 20 != 3 {
            return;
        }
        let mut header = caller.next();
        match ms {
            0..1_000 | 3_000.. => bench.rtp(1, &header, &[0x21; 160]),
            1_000..1_020 => {
                header.payload_type = 13;
                bench.rtp(1, &header, &[30]);
            }
            _ => caller.header.sequence = header.sequence,
        }
    });

    let heard = bench.heard(2);
    assert_one_stream(2, &heard);
    let level = |from: u64, until: u64| {
        let codes = heard.iter().filter(|(ms, ..)| (from..until).contains(ms)).flat_map(|h| &h.2);
        let samples: Vec<_> = codes.map(|code| f64::from(g711::decode(Law::A, *code))).collect();
        let power: f64 = samples.iter().map(|sample| (sample / 32_768.0).powi(2)).sum();
        -10.0 * (power / samples.len() as f64).log10()
    };
    let noise = level(1_300, 2_900);
    assert!((noise - 30.0).abs() < 2.0, "{noise:.1} dB below full scale");
    assert!((level(3_200, 3_900) - level(200, 900)).abs() < 0.1);
}

#[test]
fn clocks_that_are_off_by_a_thousandth_change_neither_length_nor_delay() {
    let said = speech(8_000 * 130, 4);
    for period_us in [19_980_u64, 19_996, 20_004, 20_020] {
        let (mut bench, mut caller) = bridged(false);
        let mut packets = said.chunks_exact(160);
        let mut next_us = 0;
        bench.run(120_000, |bench, ms| {
            while next_us <= ms * 1_000 {
                let header = caller.next();
                bench.rtp(1, &header, &packed(packets.next().unwrap()));
                next_us += period_us;
            }
        });

        let heard = bench.heard(2);
        assert_one_stream(2, &heard);
        assert!(heard.len().abs_diff(6_000) <= 5, "{period_us}: {}", heard.len());
        assert!(longest_gap_ms(&heard) <= 60, "{period_us}");
        assert_eq!(bench.engine.counters().dropped(Dropped::Ahead), 0);
        // What was said last is heard now.
        let report = closed(&mut bench, 1);
        assert!(report.frames_concealed <= 8, "{period_us}: {report:?}");
    }
}

#[test]
fn a_session_that_is_refreshed_as_it_was_is_not_heard() {
    let said = speech(8_000 * 10, 6);
    let [left_alone, refreshed] = [false, true].map(|refresh| {
        let (mut bench, mut caller) = bridged(false);
        let mut network = Network::new(5, 0, 0, (10, 60));
        let mut packets = said.chunks_exact(160);
        bench.run(8_000, |bench, ms| {
            if refresh && ms == 5_000 {
                bench.order(connect(1, Law::A));
            }
            if let Some(packet) = packets.next_if_due(ms) {
                network.send(ms, caller.next(), packed(packet));
            }
            network.arrive(bench, 1, ms);
        });
        bench.heard(2)
    });

    assert!(left_alone == refreshed);
}

#[test]
fn jitter_is_evened_out_once_it_is_known() {
    let (mut bench, mut caller) = bridged(false);
    let said = speech(8_000 * 20, 6);
    let mut network = Network::new(5, 0, 0, (10, 60));
    talk(&mut bench, &mut caller, &mut network, 20_000, &said);

    let heard = bench.heard(2);
    let steady: Vec<_> = heard.iter().filter(|(at, ..)| *at > 3_000).cloned().collect();
    let uneven = steady.windows(2).filter(|two| two[1].0 - two[0].0 != 20).count();
    assert!(uneven <= 2, "{uneven} of {}", steady.len());
    let report = closed(&mut bench, 1);
    assert!(report.frames_concealed <= 12, "{report:?}");
    assert!((50_000..=70_000).contains(&report.delay_us), "{report:?}");
}

/// By how many milliseconds 400 ms that begin with this frame are later than they were said: where
/// they are most like it. None: next to nothing was said.
fn delay_ms(said: &[i16], heard: &[(u64, Header, Vec<u8>)], frame: usize) -> Option<f64> {
    let at = usize::try_from(heard[frame].0 - 3).unwrap() * 8;
    let window = decoded(&heard[frame..frame + 20]);
    let product = |one: &[i16], other: &[i16]| -> f64 {
        let pairs = one.iter().zip(other).step_by(4);
        pairs.map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
    };
    let likeness = |late: usize| {
        let there = &said[at.checked_sub(late)?..][..window.len()];
        Some((product(&window, there) / product(there, there).max(1.0).sqrt(), late))
    };
    let places = (0..8 * 350).step_by(2).filter_map(likeness);
    let (likeness, late) = places.max_by(|one, other| one.0.total_cmp(&other.0))?;
    let loud = product(&window, &window).sqrt();
    (loud > 10_000.0 && likeness > loud / 2.0).then_some(late as f64 / 8.0)
}

#[test]
fn the_delay_that_is_added_is_bounded_by_the_jitter_there_is_and_goes_when_it_goes() {
    // How much later than the quickest a packet may be, in the first 15, the next 10 and the last
    // 25 seconds, and of 1,000 how many are lost.
    for (calm, burst, lost) in
        [(0, 0, 0), (10, 10, 30), (0, 60, 0), (0, 120, 50), (30, 100, 30), (0, 400, 0)]
    {
        let said = speech(8_000 * 52, burst + lost);
        let (mut bench, mut caller) = bridged(false);
        let mut network = Network::new(7, lost, 10, (40, 0));
        for (ms, more) in [(15_000, calm), (10_000, burst), (25_000, calm)] {
            network.delay.1 = more;
            let at = usize::try_from(bench.now_ms()).unwrap() * 8;
            talk(&mut bench, &mut caller, &mut network, ms, &said[at..]);
        }

        let heard = bench.heard(2);
        assert_one_stream(2, &heard);
        // A frame, a quarter of one that is borne, and what the slowest may be above the measured.
        let bound = |more: u64| f64::from(u32::try_from(more.min(200)).unwrap()) + 50.0;
        let mut greatest = [0.0_f64; 3];
        for frame in (50..heard.len() - 20).step_by(40) {
            let Some(late) = delay_ms(&said, &heard, frame) else { continue };
            let added = late - 40.0;
            let allowed = match heard[frame].0 {
                // What was slow is forgotten after five to ten seconds, then time is caught up.
                ..15_000 | 40_000.. => calm,
                15_000..40_000 => burst,
            };
            assert!(added <= bound(allowed), "{calm} {burst}: {added} at {}", heard[frame].0);
            let part =
                usize::from(heard[frame].0 >= 15_000) + usize::from(heard[frame].0 >= 40_000);
            greatest[part] = greatest[part].max(added);
        }
        // It is the delay that was measured: none where nothing asks for it, some where jitter does.
        assert!(calm > 0 || greatest[0] <= 20.0, "{burst}: {greatest:?}");
        assert!(burst < 60 || greatest[1] >= 40.0, "{burst}: {greatest:?}");
    }
}

#[test]
fn a_packet_tells_that_nothing_lies_behind_it_only_if_it_is_the_next_and_came_when_it_should() {
    let (mut bench, mut caller) = bridged(false);
    let put = |bench: &mut Bench, header: &Header| {
        let bytes = [&header.bytes(), [0xD5; 160].as_slice()].concat();
        bench.datagram(1, Channel::Rtp, phone(1), &bytes)
    };
    let say = |bench: &mut Bench, caller: &mut Speaker| put(bench, &caller.next());

    assert_eq!(say(&mut bench, &mut caller), Behind::Perhaps, "nothing is known of it");
    for n in 1..50 {
        bench.run_ms(20);
        assert_eq!(say(&mut bench, &mut caller), Behind::Nothing, "packet {n}");
    }
    bench.run_ms(24);
    assert_eq!(say(&mut bench, &mut caller), Behind::Nothing, "a little late");
    bench.run_ms(22);
    assert_eq!(say(&mut bench, &mut caller), Behind::Perhaps, "6 ms late");
    bench.run_ms(14);
    assert_eq!(say(&mut bench, &mut caller), Behind::Nothing);
    assert_eq!(say(&mut bench, &mut caller), Behind::Nothing, "20 ms early");
    bench.run_ms(20);
    let again = Header { sequence: caller.header.sequence.wrapping_sub(1), ..caller.header };
    assert_eq!(put(&mut bench, &again), Behind::Perhaps, "twice");
    let _lost = caller.next();
    bench.run_ms(20);
    let next = caller.next();
    assert_eq!(put(&mut bench, &next), Behind::Perhaps, "one is missing");
    bench.run_ms(20);
    let key = Header { payload_type: 101, ..caller.next() };
    assert_eq!(put(&mut bench, &key), Behind::Perhaps, "a key is told several times at once");
    let unknown = Header { payload_type: 77, ..caller.next() };
    assert_eq!(put(&mut bench, &unknown), Behind::Perhaps);
    assert_eq!(bench.datagram(9, Channel::Rtp, phone(9), &[0; 40]), Behind::Perhaps, "nobody's");
    assert_eq!(bench.datagram(1, Channel::Rtcp, phone(1), &[0; 8]), Behind::Perhaps);
}

/// A packet of a caller's that came so many milliseconds ago.
fn came(bench: &mut Bench, caller: &mut Speaker, ms_ago: u64) -> Behind {
    let bytes = [&caller.next().bytes(), [0xD5; 160].as_slice()].concat();
    bench.datagram_of(ms_ago, 1, Channel::Rtp, phone(1), &bytes)
}

#[test]
fn what_nobody_hears_may_wait_for_what_comes_behind_it_but_not_where_it_is_heard_or_its_tones_are()
{
    let mut bench = Bench::new();
    bench.party(1, Law::A);
    bench.party(2, Law::A);
    let mut caller = Speaker::new(1, Law::A);
    let mut say = |bench: &mut Bench| {
        bench.run_ms(20);
        came(bench, &mut caller, 0)
    };
    assert_eq!(say(&mut bench), Behind::Perhaps, "nothing is known of it");
    assert_eq!(say(&mut bench), Behind::Unheard);
    let keys =
        |hears_tones| Order::Keys { leg: leg(1), hears_tones, told_by: By::Events, masked: false };
    bench.order(keys(true));
    assert_eq!(say(&mut bench), Behind::Nothing);
    bench.order(keys(false));
    assert_eq!(say(&mut bench), Behind::Unheard);
    bench.bridge(1, 2, false);
    assert_eq!(say(&mut bench), Behind::Nothing);
    bench.part(Source::Silence);
    assert_eq!(say(&mut bench), Behind::Unheard);
    bench.run_ms(6);
    assert_eq!(say(&mut bench), Behind::Perhaps, "6 ms late");
}

#[test]
fn packets_that_waited_are_measured_by_when_they_came() {
    let jitter = |waited: bool| {
        let mut bench = Bench::new();
        bench.party(1, Law::A);
        let mut caller = Speaker::new(1, Law::A);
        for _ in 0..100 {
            bench.run_ms(60);
            for ms_ago in [40, 20, 0] {
                came(&mut bench, &mut caller, if waited { ms_ago } else { 0 });
            }
        }
        let report = closed(&mut bench, 1);
        assert_eq!((report.packets_received, report.packets_lost), (300, 0));
        report.jitter_us
    };

    assert_eq!(jitter(true), 0);
    assert!(jitter(false) > 10_000, "as they were read they came three at once");
}
