//! What a leg keeps of its far side where that is refreshed, and forgets where it moved.

use super::*;
use crate::jitter::Order;

fn remote(n: u8) -> Remote {
    let rtp = SocketAddr::from(([192, 0, 2, n], 4_000));
    Remote { rtp, rtcp: rtp, signalling: rtp.ip() }
}

fn agreed() -> Agreed {
    let codec =
        Codec { coding: Coding::G722, payload_type: 9, packet_ms: 20, ..Codec::g711(Law::A, 9) };
    Agreed { codec, telephone_event: None, sends: true, receives: true }
}

fn connected(n: u8, now: Instant) -> Leg {
    let mut leg = Leg::blank();
    let coder = Coder::new(agreed().codec).unwrap();
    assert!(leg.connect(remote(n), agreed(), coder, now).is_none());
    leg
}

/// Takes packet n in, and what is heard then.
fn heard(leg: &mut Leg, n: u32) -> Vec<i16> {
    let coder = leg.coder.as_mut().unwrap();
    let mut payload = [0; SAMPLES];
    for (byte, place) in payload.iter_mut().zip(n * 160..) {
        *byte = place.wrapping_mul(0x9E37_79B9).to_be_bytes()[0];
    }
    let order = if n == 0 { Order::First } else { Order::Next { lost: 0 } };
    let (timestamp, arrival) = (n * 160, n * 160);
    let speech = Speech { timestamp, payload: &payload, arrival, order };
    leg.receive.put_coded(&mut coder.hearing, &speech);
    let mut frame = vec![0; coder.rate().samples()];
    assert_eq!(leg.receive.next_coded(&mut coder.hearing, arrival + 20, &mut frame), Kind::Said);
    frame
}

#[test]
fn a_decoder_goes_on_where_a_session_is_refreshed_and_begins_anew_where_the_far_side_moved() {
    let now = Instant::now();
    let [mut anew, mut refreshed, mut moved] = [2, 1, 1].map(|n| connected(n, now));
    for leg in [&mut refreshed, &mut moved] {
        (0..50).for_each(|n| _ = heard(leg, n));
    }
    refreshed.renew(remote(1), agreed(), now);
    moved.renew(remote(2), agreed(), now);

    let fresh = heard(&mut anew, 50);

    assert!(heard(&mut moved, 50) == fresh);
    assert!(heard(&mut refreshed, 50) != fresh);
}
