//! Packets in, frames out: order, holes, new time lines, and the distance that is kept.

use super::*;

const LAW: Law = Law::A;

/// A source whose samples count: the code word of sample n of a ramp.
struct Bench {
    jitter: Jitter,
    delay: Delay,
}

impl Bench {
    fn new() -> Self {
        Self { jitter: Jitter::EMPTY, delay: Delay::default() }
    }

    fn put(&mut self, timestamp: u32, arrival: u32, length: usize, order: Order, byte: u8) -> Put {
        let payload = vec![byte; length];
        let speech = Speech { timestamp, payload: &payload, arrival, order };
        let put = self.jitter.put(LAW, &speech, &mut self.delay, true);
        self.delay.take(timestamp, arrival);
        put
    }

    /// All that is ready: the last code word of each frame, and whether it was said.
    fn ready(&mut self) -> Vec<(u8, Kind)> {
        let now = self.jitter.line.map_or(0, |line| line.arrival);
        let mut frame = [0; SAMPLES];
        let mut ready = vec![];
        while let Some(kind) = self.jitter.next_at_once(LAW, &self.delay, now, &mut frame) {
            ready.push((frame[159], kind));
        }
        ready
    }
}

const NEXT: Order = Order::Next { lost: 0 };

#[test]
fn frames_of_an_even_source_pass_without_being_kept() {
    let mut bench = Bench::new();
    assert_eq!(bench.put(0, 0, 160, Order::First, 1), Put::Kept);
    assert_eq!(bench.ready(), [(1, Kind::Said)]);

    assert!((1..50).all(|n| bench.put(n * 160, n * 160, 160, NEXT, 2) == Put::Passes));
    assert_eq!(bench.ready(), []);
}

#[test]
fn any_packet_time_becomes_frames_of_20_ms() {
    let mut bench = Bench::new();
    let mut at = 0;
    let mut heard = vec![];
    for (n, length) in (1..).zip([80, 80, 240, 240, 480, 1, 159_usize]) {
        let order = if at == 0 { Order::First } else { NEXT };
        bench.put(at, at, length, order, n);
        heard.extend(bench.ready());
        at += low(length);
    }

    assert_eq!(heard.iter().map(|frame| frame.0).collect::<Vec<_>>(), [2, 3, 4, 4, 5, 5, 5, 7]);
    assert!(heard.iter().all(|frame| frame.1 == Kind::Said));
}

#[test]
fn a_hole_of_any_length_is_made_up_for_60_ms_and_jumped() {
    for (lost, made_up) in [(1, 1), (3, 3), (7, 3)] {
        let mut bench = Bench::new();
        bench.put(0, 0, 160, Order::First, 1);
        bench.ready();

        let at = (lost + 1) * 160;
        bench.put(at, at, 160, Order::Next { lost: u16::try_from(lost).unwrap() }, 2);

        let ready = bench.ready();
        assert_eq!(ready.len(), made_up + 1, "{lost}");
        assert_eq!(ready.last(), Some(&(2, Kind::Said)));
        assert!(ready[..made_up].iter().all(|frame| frame.1 != Kind::Said));
    }
}

#[test]
fn what_was_made_up_while_nothing_came_is_not_made_up_again() {
    let mut bench = Bench::new();
    let mut frame = [0; SAMPLES];
    bench.put(0, 0, 160, Order::First, 1);
    bench.ready();
    assert_eq!(bench.jitter.build(LAW, &mut frame), Kind::Concealed);

    bench.put(320, 320, 160, Order::Next { lost: 1 }, 3);

    assert_eq!(bench.ready(), [(3, Kind::Said)]);
}

#[test]
fn what_has_come_behind_a_hole_is_heard_as_it_was_said_and_fades_in_where_it_came_later() {
    let tone = |from: u32| -> Vec<u8> {
        let sample = |n| f64::from(n) * std::f64::consts::TAU / 61.0;
        #[expect(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
        let code = |n| g711::encode(LAW, (sample(n).sin() * 9_000.0) as i16);
        // Of another phase behind the hole.
        (from..from + 160).map(|n| if n < 320 { code(n) } else { code(n + 25) }).collect()
    };
    for came_in_time in [true, false] {
        let mut bench = Bench::new();
        let mut frame = [0; SAMPLES];
        for n in 0..2 {
            let order = if n == 0 { Order::First } else { NEXT };
            let payload = tone(n * 160);
            let speech = Speech { timestamp: n * 160, payload: &payload, arrival: n * 160, order };
            bench.jitter.put(LAW, &speech, &mut bench.delay, false);
            bench.ready();
        }
        let behind = tone(480);
        let order = Order::Next { lost: 1 };
        let speech = Speech { timestamp: 480, payload: &behind, arrival: 480, order };
        if came_in_time {
            bench.jitter.put(LAW, &speech, &mut bench.delay, false);
        }
        assert_eq!(bench.jitter.build(LAW, &mut frame), Kind::Concealed);
        if !came_in_time {
            bench.jitter.put(LAW, &speech, &mut bench.delay, false);
        }

        assert_eq!(bench.jitter.build(LAW, &mut frame), Kind::Said);
        assert_eq!(frame[..] == behind[..], came_in_time);
        assert_eq!(frame[80..], behind[80..]);
    }
}

#[test]
fn a_packet_that_is_late_but_missed_by_nobody_yet_is_heard() {
    let mut bench = Bench::new();
    bench.put(0, 0, 160, Order::First, 1);
    bench.ready();
    bench.put(320, 320, 160, Order::Next { lost: 1 }, 3);
    assert_eq!(bench.put(160, 321, 160, Order::Behind, 2), Put::Kept);

    let heard: Vec<u8> = bench.ready().iter().map(|frame| frame.0).collect();

    assert_eq!(heard, [2, 3]);
    assert_eq!(bench.put(160, 322, 160, Order::Behind, 2), Put::Late);
}

#[test]
fn a_pause_of_the_sender_is_silence_and_not_loss() {
    let mut bench = Bench::new();
    let mut frame = [0; SAMPLES];
    bench.put(0, 0, 160, Order::First, 0x20);
    bench.ready();
    // 2 s later, of which the listener's clock has made up all but 40 ms.
    (0..98).for_each(|_| _ = bench.jitter.build(LAW, &mut frame));
    bench.put(16_160, 16_160, 160, NEXT, 2);

    assert_eq!(bench.ready(), [(0xD5, Kind::Said), (0xD5, Kind::Said), (2, Kind::Said)]);
}

/// Samples of noise that were made between two states of it.
fn noise(mut before: Comfort, after: Comfort) -> u32 {
    let mut made = 0;
    while before != after {
        before.code(LAW);
        made += 1;
    }
    made
}

#[test]
fn who_jumps_ahead_with_every_packet_has_no_more_noise_made_than_time_passes() {
    // Sixty-four packets a millisecond for half a second, each of one sample and 200 ms after the one before;
    // now in numbers without a hole, now as a source that begins anew.
    for again in [u32::MAX, 2, 3] {
        let mut bench = Bench::new();
        bench.jitter.take_comfort(&[5, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let before = bench.jitter.comfort;
        for n in 0..32_000_u32 {
            let order = if n % again == 0 { Order::First } else { NEXT };
            bench.put(n.wrapping_mul(1_600), n / 64 * 8, 1, order, 1);
        }

        let made = noise(before, bench.jitter.comfort);
        assert!((1_000..4_000 + 1_600).contains(&made), "{made}");
    }
}

#[test]
fn a_pause_may_be_a_little_longer_than_the_time_that_passed_again_and_again() {
    let mut bench = Bench::new();
    bench.put(0, 0, 160, Order::First, 1);
    let mut at = 160;
    for n in 1..50 {
        // 100 ms too early after every other pause of a second, 100 ms too late after the others.
        at += 8_000;
        let arrival = if n % 2 == 0 { at + 800 } else { at - 800 };
        let line = bench.jitter.line.unwrap();
        bench.put(at, arrival, 160, NEXT, 2);
        at += 160;

        let after = bench.jitter.line.unwrap();
        assert_ne!(after.cursor, at - 160, "{n}: the same line goes on");
        assert_eq!(after.end.wrapping_sub(line.end), 8_160);
    }
}

#[test]
fn a_jump_of_the_time_stamp_a_new_source_and_a_restart_are_heard_at_once() {
    for (timestamp, order) in
        [(900_000, NEXT), (u32::MAX - 50, NEXT), (5_000, Order::First), (160, Order::First)]
    {
        let mut bench = Bench::new();
        bench.put(0, 0, 160, Order::First, 1);
        bench.put(160, 160, 160, NEXT, 1);
        bench.ready();

        bench.put(timestamp, 320, 160, order, 2);

        assert_eq!(bench.ready(), [(2, Kind::Said)], "{timestamp}");
        assert_eq!(bench.put(timestamp.wrapping_add(160), 480, 160, NEXT, 3), Put::Passes);
    }
}

#[test]
fn the_oldest_makes_room_where_more_comes_than_may_wait() {
    let mut bench = Bench::new();
    bench.put(0, 0, 160, Order::First, 1);
    let puts: Vec<_> =
        (1..50_u8).map(|n| bench.put(u32::from(n) * 160, n.into(), 160, NEXT, n)).collect();

    assert_eq!(puts.iter().filter(|put| **put == Put::Crowded).count(), 50 - CAPACITY / 160);
    let heard: Vec<u8> = bench.ready().iter().map(|frame| frame.0).collect();
    assert_eq!(heard.last(), Some(&49));
    assert!(heard.is_sorted() && heard.len() <= CAPACITY / 160, "{heard:?}");
}

/// Plays a source by the listener's clock for so many frames; `late` is how late packet n comes.
/// Gives what kind of frame was heard when, and how long the last one had waited.
fn play(
    bench: &mut Bench,
    frames: std::ops::Range<u32>,
    late: impl Fn(u32) -> u32,
) -> (Vec<Kind>, i32) {
    let mut kinds = vec![];
    let mut frame = [0; SAMPLES];
    let (mut sent, mut highest) = (frames.start, frames.start);
    let mut flying: Vec<(u32, u32)> = vec![];
    for now in (frames.start * 160..frames.end * 160).step_by(8) {
        while sent * 160 <= now {
            flying.push((now + late(sent), sent));
            sent += 1;
        }
        for (_, n) in flying.extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>() {
            let order = if n == 0 {
                Order::First
            } else if n < highest {
                Order::Behind
            } else {
                Order::Next { lost: u16::try_from(n - highest).unwrap() }
            };
            highest = highest.max(n + 1);
            bench.put(n * 160, 7_000 + now, 160, order, 0x20);
        }
        if now % 160 == 80 && bench.delay.target() > 0 {
            kinds.push(bench.jitter.next_in_time(
                LAW,
                &bench.delay,
                bench.delay.target(),
                7_000 + now,
                &mut frame,
            ));
        } else if bench.delay.target() == 0 {
            kinds.extend(bench.ready().iter().map(|frame| frame.1));
        }
    }
    let cursor = bench.jitter.line.map_or(0, |line| line.cursor);
    (kinds, bench.delay.waited(cursor, 7_000 + frames.end * 160))
}

#[test]
fn the_distance_grows_with_the_jitter_within_a_second_and_nothing_is_missed_after() {
    let mut bench = Bench::new();
    let shuffled = |n: u32| (n * 7_919) % 101 * 8;
    play(&mut bench, 0..150, shuffled);

    let (kinds, waited) = play(&mut bench, 150..500, shuffled);

    let missed = kinds.iter().filter(|kind| **kind != Kind::Said).count();
    assert!(missed <= 4, "{missed} of {}", kinds.len());
    assert!((700..=1_400).contains(&waited), "{waited}");
}

#[test]
fn the_distance_shrinks_again_when_the_jitter_is_over() {
    let mut bench = Bench::new();
    play(&mut bench, 0..300, |n| (n * 7_919) % 101 * 8);

    let (_, still) = play(&mut bench, 300..500, |_| 0);
    let (kinds, waited) = play(&mut bench, 500..1_800, |_| 0);

    assert!(still > 600, "{still}: not at once");
    assert!(waited < 400, "{waited}");
    assert!(kinds.iter().all(|kind| *kind == Kind::Said));
}

#[test]
fn in_loud_noise_what_need_not_wait_is_cut_out_all_the_same() {
    let (mut jitter, mut delay) = (Jitter::EMPTY, Delay::default());
    let (mut frame, mut dice) = ([0; SAMPLES], 1_u32);
    let mut waited = vec![];
    for n in 0..600_u16 {
        let payload: Vec<u8> = (0..SAMPLES)
            .map(|_| {
                dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                g711::encode(LAW, i16::try_from(dice >> 18).unwrap() - 8_192)
            })
            .collect();
        let at = u32::from(n) * 160;
        let order = if n == 0 { Order::First } else { NEXT };
        let speech = Speech { timestamp: at, payload: &payload, arrival: at, order };
        jitter.put(LAW, &speech, &mut delay, false);
        delay.take(at, at);
        // 140 ms wait from some jitter that is over.
        if n >= 7 {
            _ = jitter.next_at_once(LAW, &delay, at, &mut frame);
            waited.push(jitter.line.map_or(0, |line| delay.waited(line.cursor, at)));
        }
    }

    assert_eq!(delay.target(), 0);
    assert!(waited[100] > 900, "{}: not at once", waited[100]);
    assert!(waited[592] <= EXCESS, "{}", waited[592]);
}
