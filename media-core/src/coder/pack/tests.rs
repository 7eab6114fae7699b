//! Packets of every length out of frames of 20 ms.

use super::*;
use crate::order::{Law, Opus};

fn packer(coding: Coding, packet_ms: u8) -> Packer {
    let codec = Codec { coding, payload_type: 99, packet_ms, event_factor: 1 };
    Packer::new(Encoder::new(coding).unwrap(), codec)
}

/// Where packets begin, in samples of 8 kHz from the first frame's beginning, and how long they are.
fn packed(coding: Coding, packet_ms: u8, frames: i32) -> Vec<(i32, usize)> {
    let mut packer = packer(coding, packet_ms);
    let frame = vec![100; coding.rate().samples()];
    let mut all = vec![];
    for n in 0..frames {
        packer.take(&frame, |packet| all.push((n * 160 - packet.before, packet.payload.len())));
    }
    all
}

#[test]
fn packets_follow_each_other_without_a_hole_at_every_length() {
    let law = Coding::G711(Law::A);
    assert_eq!(packed(law, 10, 2), [(0, 80), (80, 80), (160, 80), (240, 80)]);
    assert_eq!(packed(law, 20, 2), [(0, 160), (160, 160)]);
    assert_eq!(packed(law, 30, 3), [(0, 240), (240, 240)]);
    assert_eq!(packed(Coding::G722, 50, 5), [(0, 400), (400, 400)]);
    assert_eq!(packed(law, 60, 6), [(0, 480), (480, 480)]);
}

#[test]
fn what_a_codec_cannot_write_or_a_datagram_cannot_hold_is_cut_to_what_can() {
    let opus = Opus { rate: Rate::Hz8000, bitrate: 16_000, fec: false, dtx: false, complexity: 0 };
    let starts = |packet_ms| -> Vec<_> {
        packed(Coding::Opus(opus), packet_ms, 6).into_iter().map(|(at, _)| at).collect()
    };
    assert_eq!(starts(30), [0, 160, 320, 480, 640, 800]);
    assert_eq!(starts(50), [0, 320, 640]);
    assert_eq!(packed(Coding::L16(Rate::Hz48000), 60, 1), [(0, 960), (80, 960)]);
    assert_eq!(packed(Coding::L16(Rate::Hz16000), 60, 2), [(0, 1_280)]);
    assert_eq!(packed(Coding::G711(Law::A), 200, 3), [(0, 480)], "never more than 60 ms");
}

#[test]
fn what_was_gathered_before_a_key_is_left_out_and_the_next_packet_begins_anew() {
    let mut packer = packer(Coding::G711(Law::A), 40);
    packer.take(&[1; 160], |_| panic!("not yet"));

    packer.leave_out();
    let mut before = vec![];
    packer.take(&[2; 160], |_| panic!("not yet"));
    packer.take(&[3; 160], |packet| before.push(packet.before));

    assert_eq!(before, [160]);
}
