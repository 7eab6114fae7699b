//! Packets that are lost, late, doubled or lies.

use super::*;

fn opus() -> Codec {
    coded(Coding::Opus(opus_at(Rate::Hz16000)), 111, 20)
}

fn talk(codec: Codec, lose: fn(u16) -> bool) -> (Bench, u16, u16) {
    let mut bench = Bench::new();
    let (one, two) =
        (bench.party(codec, 440.0), bench.party(coded(Coding::L16(Rate::Hz16000), 96, 20), 900.0));
    bench.far[0].lose = lose;
    bench.bridge(one, two);
    (bench, one, two)
}

#[test]
fn a_packet_of_opus_that_never_came_is_told_by_the_one_behind_it() {
    let (mut bench, one, two) = talk(opus(), |sequence| sequence % 10 == 3);
    (bench.far[0].speaks, bench.far[0].hertz) = (Speaks::Voice, 130.0);

    bench.run(12_000);

    let report = bench.close(one);
    assert!(report.frames_recovered > 40, "{report:?}");
    assert!(report.frames_concealed < report.frames_recovered, "{report:?}");
    bench.assert_whole(two);
}

#[test]
fn what_is_lost_of_every_codec_is_made_up_and_counted() {
    for codec in all_codecs().into_iter().filter(|codec| codec.bare().is_none()) {
        let (mut bench, one, two) = talk(codec, |sequence| sequence % 20 == 3);

        bench.run(4_000);

        let heard = bench.far(two).share(440.0);
        let report = bench.close(one);
        assert!(report.packets_lost > 2, "{codec:?}: {report:?}");
        // Ten milliseconds are no half of a frame.
        let least = if codec.packet_ms > 10 { 3 } else { 0 };
        assert!(
            report.frames_concealed + report.frames_recovered >= least,
            "{codec:?}: {report:?}"
        );
        assert!(heard > 0.8, "{codec:?}: {heard}");
        bench.assert_whole(two);
    }
}

#[test]
fn who_says_nothing_for_a_second_is_silence_and_comes_back_whole() {
    for codec in all_codecs().into_iter().filter(|codec| codec.bare().is_none()) {
        let (mut bench, one, two) = talk(codec, |_| false);
        bench.run(1_000);

        bench.far[0].lose = |_| true;
        bench.run(1_000);
        let rate = bench.far(two).codec.coding.rate().hertz() as usize;
        let quiet = &bench.far(two).heard[bench.far(two).heard.len() - rate / 2..];
        let loudest = quiet.iter().map(|sample| sample.unsigned_abs()).max().unwrap();
        bench.far[0].lose = |_| false;
        bench.run(2_000);

        assert!(loudest < 400, "{codec:?}: {loudest}");
        assert!(bench.far(two).share(440.0) > 0.95, "{codec:?}");
        bench.assert_whole(two);
        let _ = one;
    }
}

#[test]
fn a_sender_that_pauses_by_dtx_is_heard_when_it_speaks_and_nothing_is_counted_lost() {
    let codec = coded(Coding::Opus(Opus { dtx: true, ..opus_at(Rate::Hz16000) }), 111, 20);
    let (mut bench, one, two) = talk(codec, |_| false);
    bench.run(1_000);
    bench.far[0].speaks = Speaks::Nothing;
    bench.run(3_000);
    bench.far[0].speaks = Speaks::Tone;
    bench.run(2_000);

    let heard = bench.far(two).share(440.0);
    let report = bench.close(one);
    assert!(report.packets_received < 250, "it did pause: {report:?}");
    assert_eq!((report.packets_lost, report.packets_late), (0, 0), "{report:?}");
    assert!(report.frames_concealed < 12, "{report:?}");
    assert!(heard > 0.9, "{heard}");
}

#[test]
fn we_pause_by_dtx_towards_who_asks_for_it() {
    let codec = coded(Coding::Opus(Opus { dtx: true, ..opus_at(Rate::Hz16000) }), 111, 20);
    let mut bench = Bench::new();
    let (one, two) = (bench.party(codec, 440.0), bench.party(Codec::g711(Law::A, 8), 900.0));
    bench.far[1].speaks = Speaks::Nothing;
    bench.bridge(one, two);

    bench.run(4_000);

    let sent = &bench.far(one).sent;
    assert!((8..120).contains(&sent.len()), "{}", sent.len());
    for pair in sent.windows(2) {
        assert_eq!(pair[1].0.sequence, pair[0].0.sequence.wrapping_add(1));
        let way = pair[1].0.timestamp.wrapping_sub(pair[0].0.timestamp);
        assert!(way.is_multiple_of(960) && way > 0, "{way}");
    }
}

#[test]
fn lies_and_rubbish_in_place_of_packets_are_counted_and_reach_nobody() {
    for codec in all_codecs().into_iter().filter(|codec| codec.bare().is_none()) {
        let (mut bench, one, two) = talk(codec, |_| true);
        bench.run(200);
        let mut state = 7_u32;
        for n in 0..400_usize {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let length = [0, 1, 2, 3, 40, 333, 1_275, 1_276, 1_440, 9_000][n % 10];
            let mut header = bench.far(one).next;
            header.sequence = header.sequence.wrapping_add(u16::try_from(n).unwrap());
            header.timestamp = header.timestamp.wrapping_add(u32::try_from(n).unwrap() * 960);
            let mut packet = header.bytes().to_vec();
            packet.extend((0..length).map(|n| (state >> (n % 24)).to_le_bytes()[0]));
            let Bench { engine, wire, now, .. } = &mut bench;
            engine.handle_packet(port(one), Channel::Rtp, address(one), &packet, *now, wire);
            bench.run(3);
        }
        bench.run(1_000);

        bench.assert_whole(two);
        let dropped = bench.close(one).packets_dropped;
        assert!(dropped >= 40, "{codec:?}: {dropped}");
    }
}

#[test]
fn a_source_that_begins_anew_under_another_name_goes_on_at_once() {
    for codec in all_codecs().into_iter().filter(|codec| codec.bare().is_none()) {
        let (mut bench, one, two) = talk(codec, |_| false);
        bench.run(1_500);

        let far = &mut bench.far[0];
        (far.next.ssrc, far.next.sequence, far.next.timestamp) = (4_711, 3, 900_000_000);
        bench.run(2_000);

        assert!(bench.far(two).share(440.0) > 0.95, "{codec:?}");
        let report = bench.close(one);
        assert!(report.frames_concealed < 15, "{codec:?}: {report:?}");
    }
}
