//! One far side's packets, put and taken by hand.

use super::*;
use crate::order::Law;

/// A-law, so that a packet's code words say which it was.
fn hearing() -> Hearing {
    Hearing::new(Coding::G711(Law::A)).unwrap()
}

fn packet(n: u32) -> [u8; 160] {
    [g711::encode(Law::A, i16::try_from(n * 500).unwrap()); 160]
}

struct Bench(Hearing, Delay);

impl Bench {
    fn put(&mut self, n: u32, order: Order, late: u32) -> Put {
        let arrival = 5_000 + n * 160 + late;
        let speech = Speech { timestamp: n * 160, payload: &packet(n), arrival, order };
        let put = self.0.put(&speech, &mut self.1);
        self.1.take(n * 160, arrival);
        put
    }

    /// What is heard at this packet's time, behind by so much.
    fn take(&mut self, n: u32, target: u32) -> (Kind, i16) {
        let mut frame = [0; SAMPLES];
        let kind = self.0.take(&self.1, target, 5_000 + n * 160 + target, &mut frame);
        (kind, frame[80] / 490)
    }
}

fn bench() -> Bench {
    Bench(hearing(), Delay::default())
}

const NEXT: Order = Order::Next { lost: 0 };

#[test]
fn packets_out_of_order_are_heard_in_order() {
    let mut bench = bench();
    bench.put(1, Order::First, 0);
    bench.put(3, Order::Next { lost: 1 }, 0);
    bench.put(2, Order::Behind, 200);
    bench.put(4, NEXT, 0);

    let heard: Vec<_> = (1..5).map(|n| bench.take(n, 400)).collect();

    assert_eq!(heard, [1, 2, 3, 4].map(|n| (Kind::Said, n)));
}

#[test]
fn what_comes_when_its_time_has_passed_is_late() {
    let mut bench = bench();
    bench.put(1, Order::First, 0);
    bench.put(3, Order::Next { lost: 1 }, 0);
    (1..4).for_each(|n| _ = bench.take(n, 320));

    assert_eq!(bench.put(2, Order::Behind, 900), Put::Late);
}

/// Twenty milliseconds a packet, and just before each is heard 26 more of 60 ms behind it, one sample apart.
#[test]
fn packets_that_say_the_same_moments_are_not_all_decoded() {
    let Bench(mut hearing, mut delay) = bench();
    let mut kept = 0;
    for n in 0..50_u32 {
        let (timestamp, arrival) = (n * 160, n * 160);
        let order = if n == 0 { Order::First } else { Order::Next { lost: 29 } };
        let payload = packet(n);
        hearing.put(&Speech { timestamp, payload: &payload, arrival, order }, &mut delay);
        delay.take(timestamp, arrival);
        for at in 0..26 {
            let Some(next) = hearing.line.map(|line| line.next) else { continue };
            let timestamp = (next + 1 + at).wrapping_sub(480);
            let order = Order::Behind;
            let put = hearing
                .put(&Speech { timestamp, payload: &[0xD5; 480], arrival, order }, &mut delay);
            kept += usize::from(put == Put::Kept);
        }
        hearing.take(&delay, 800, arrival, &mut [0; SAMPLES]);
    }

    assert!(kept < 2, "{kept} kept");
}

#[test]
fn a_packet_that_is_missing_is_made_up_and_the_next_stands_in_its_own_time() {
    let mut bench = bench();
    for n in [1, 2, 3, 4, 6, 7] {
        let order = if n == 1 { Order::First } else { Order::Next { lost: u16::from(n == 6) } };
        bench.put(n, order, 0);
    }

    let heard: Vec<_> = (1..8).map(|n| bench.take(n, 1_200)).collect();

    assert_eq!(heard[4].0, Kind::Concealed);
    assert_eq!((heard[3], heard[5], heard[6]), ((Kind::Said, 4), (Kind::Said, 6), (Kind::Said, 7)));
}

#[test]
fn nothing_for_ever_fades_and_is_silence() {
    let mut bench = bench();
    bench.put(1, Order::First, 0);
    bench.put(2, NEXT, 0);

    let heard: Vec<_> = (1..9).map(|n| bench.take(n, 160)).collect();

    assert_eq!(heard[..2], [(Kind::Said, 1), (Kind::Said, 2)]);
    assert!(heard[2..4].iter().all(|(kind, _)| *kind == Kind::Concealed), "{heard:?}");
    assert!(heard[5..].iter().all(|heard| *heard == (Kind::Silent, 0)), "{heard:?}");
}

#[test]
fn a_flood_of_packets_of_no_length_worth_speaking_of_takes_no_more_than_its_places() {
    let mut hearing = hearing();
    let mut delay = Delay::default();
    let puts: Vec<_> = (0..500_u32)
        .map(|n| {
            let order = if n == 0 { Order::First } else { NEXT };
            let speech = Speech { timestamp: n, payload: &[0x55], arrival: n, order };
            hearing.put(&speech, &mut delay)
        })
        .collect();

    assert!(puts.iter().filter(|put| **put == Put::Crowded).count() > 400);
    let mut frame = [0; SAMPLES];
    (0..20).for_each(|n| _ = hearing.take(&delay, 160, 500 + n * 160, &mut frame));
}

#[test]
fn lengths_that_no_decoder_takes_have_no_duration() {
    let l16 = Hearing::new(Coding::L16(crate::frame::Rate::Hz16000)).unwrap();
    assert_eq!(l16.duration(&[0; 640]), Some(160));
    assert_eq!([l16.duration(&[0; 641]), l16.duration(&[]), l16.duration(&[0; 1_444])], [None; 3]);
    let law = hearing();
    assert_eq!((law.duration(&[0; 480]), law.duration(&[0; 481])), (Some(480), None));
}

#[test]
fn who_is_further_behind_than_needed_for_a_second_is_brought_nearer_and_not_too_near() {
    let Bench(mut hearing, mut delay) = bench();
    let (target, spare) = (160, 164);
    let hum: Vec<u8> = (0..160_u32)
        .map(|n| g711::encode(Law::A, if n % 40 < 20 { 3_000 } else { -3_000 }))
        .collect();
    let mut behind = vec![];
    for n in 0..300 {
        let arrival = 5_000 + n * 160;
        let order = if n == 0 { Order::First } else { NEXT };
        hearing.put(&Speech { timestamp: n * 160, payload: &hum, arrival, order }, &mut delay);
        delay.take(n * 160, arrival);
        if n < 2 {
            continue;
        }
        let now = arrival + target + spare - 2 * 160;
        let mut frame = [0; SAMPLES];
        let kind = hearing.take(&delay, target, now, &mut frame);
        assert_eq!(kind, Kind::Said, "frame {n}");
        let left = hearing.there(&hearing.line.unwrap());
        behind.push(left);
    }

    assert!(behind[..48].iter().all(|left| *left == 320), "{behind:?}");
    let last = *behind.last().unwrap();
    assert!((160..200).contains(&last), "{behind:?}");
}
