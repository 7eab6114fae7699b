//! Keys read and told, packet by packet.

use super::*;

fn told(timestamp: u32, event: u8, duration: u16, end: bool) -> Told {
    Told { ssrc: 1, timestamp, event, end, duration, longest: u16::MAX }
}

/// Feeds packets 20 ms apart and lets half a second pass: what was said.
fn read(packets: impl IntoIterator<Item = Told>) -> String {
    let (mut reader, mut now) = (Reader::NEW, Instant::now());
    let mut said = String::new();
    let mut say = |key: Option<Key>| match key {
        Some(Key::Down(digit)) => said.push_str(&format!("{}(", digit.key())),
        Some(Key::Up(Pressed { duration, .. })) => {
            said.push_str(&format!("{})", duration.as_millis()));
        }
        None => {}
    };
    for packet in packets {
        reader.take(packet, now).unwrap_or_default().into_iter().for_each(&mut say);
        say(reader.poll(now));
        now += Duration::from_millis(20);
    }
    (0..30).for_each(|n| say(reader.poll(now + Duration::from_millis(n * 20))));
    said
}

/// A press of 100 ms as most send it: five packets, the last three times.
fn press(timestamp: u32, event: u8) -> Vec<Told> {
    let mut packets: Vec<_> = (1..5).map(|n| told(timestamp, event, n * 160, false)).collect();
    packets.extend([told(timestamp, event, 800, true); 3]);
    packets
}

#[test]
fn a_press_is_one_key_whatever_is_lost_or_said_again() {
    let whole = press(1_000, 5);
    assert_eq!(read(whole.clone()), "5(100)");
    assert_eq!(read(whole[4..].to_vec()), "5(100)", "the start was lost");
    assert_eq!(read(whole[6..].to_vec()), "5(100)", "all but the last was lost");
    assert_eq!(read(whole[..4].to_vec()), "5(80)", "all ends were lost");
    assert_eq!(read([&whole[..3], &whole[1..2], &whole[3..]].concat()), "5(100)", "reordered");
    assert_eq!(read([&whole[..], &whole[..]].concat()), "5(100)", "every packet twice");
}

#[test]
fn the_next_key_ends_one_whose_ends_were_lost() {
    let both = [&press(1_000, 5)[..3], &press(3_000, 5)[..], &press(5_000, 15)[..]].concat();
    assert_eq!(read(both), "5(60)5(100)D(100)");
}

#[test]
fn who_begins_at_the_same_time_stamp_with_every_key_is_understood_after_a_second() {
    let (mut reader, now) = (Reader::NEW, Instant::now());
    let mut take = |ms| reader.take(told(24_000, 7, 800, true), now + Duration::from_millis(ms));
    let keys =
        |taken: Result<[Option<Key>; 3], NoKey>| taken.unwrap().into_iter().flatten().count();

    assert_eq!(keys(take(0)), 2);
    assert_eq!(keys(take(40)), 0);
    assert_eq!(keys(take(900)), 0);
    assert_eq!(keys(take(1_900)), 2);
}

#[test]
fn other_keys_at_one_frozen_time_stamp_are_all_read() {
    let pause = |event| (0..15).map(move |n| told(9, event, 800 - n % 2 * 160, n % 2 == 0));
    let keys: Vec<_> =
        [1, 2, 3, 4].iter().flat_map(|e| press(9, *e).into_iter().chain(pause(*e))).collect();
    assert_eq!(read(keys), "1(100)2(100)3(100)4(100)");
}

#[test]
fn the_beginning_of_a_key_does_not_lengthen_the_memory_of_the_one_before() {
    let (mut reader, now) = (Reader::NEW, Instant::now());
    let mut news = |ms, duration, end| {
        let taken = reader.take(told(9, 7, duration, end), now + Duration::from_millis(ms));
        taken.unwrap().into_iter().flatten().count()
    };

    assert_eq!(news(0, 800, true), 2);
    assert_eq!(news(980, 160, false), 0);
    assert_eq!(news(1_000, 320, false), 1);
}

#[test]
fn a_key_held_longer_than_a_packet_can_say_is_one_key() {
    // RFC 4733 §2.5.1.3: the next part begins where the one before could count no further.
    let part = |from: u32, to: u16| (1..=to).step_by(3_200).map(move |n| told(from, 11, n, false));
    let parts =
        part(0, u16::MAX).chain(part(65_535, u16::MAX)).chain([told(131_070, 11, 800, true)]);
    assert_eq!(read(parts), "#(16483)");
}

#[test]
fn a_key_held_for_seconds_on_a_clock_of_48_khz_is_one_key() {
    // There a packet can say 1.4 s.
    let long = |part: u32, to: u16, end: bool| {
        let told = told(0, 5, to, end).at_8_khz(6);
        Told { timestamp: part * 65_535 / 6, ..told }
    };
    let part = |part: u32| (1..=u16::MAX).step_by(9_600).map(move |n| long(part, n, false));
    let parts = (0..3).flat_map(part).chain([long(3, 4_800, true)]);

    assert_eq!(read(parts), "5(4195)");
}

#[test]
fn flash_and_tones_are_no_keys_and_nobody_presses_a_hundred_a_second() {
    let (mut reader, now) = (Reader::NEW, Instant::now());
    assert_eq!(reader.take(told(0, 16, 160, false), now), Err(NoKey));

    let believed = (0..200).filter(|n| reader.take(told(n * 10, 1, 1, true), now).is_ok()).count();
    assert_eq!(believed, 16);
    let later = now + Duration::from_secs(1);
    let believed = (200..400).filter(|n| reader.take(told(n * 10, 1, 1, true), later).is_ok());
    assert_eq!(believed.count(), 16);
}

#[test]
fn keys_are_told_with_growing_durations_a_marked_start_and_a_pause_between() {
    let mut teller = Teller::NEW;
    let keys = ['4', '#'].map(|key| Digit::try_from(key).unwrap());
    assert!(teller.tell(&Digits::new(&keys).unwrap()));

    let mut say = || {
        let said = teller.next();
        if said.is_none() {
            teller.rested();
        }
        said
    };
    let said: Vec<_> = (0..14).map(|_| say()).collect();

    let payloads: Vec<_> = said.iter().map(|say| say.map(|say| say.payload)).collect();
    let key = |event: u8, frames: u16, end: u8| {
        let [high, low] = (frames * 160).to_be_bytes();
        Some([event, end | 10, high, low])
    };
    assert_eq!(payloads[..5], [1, 2, 3, 4, 5].map(|n| key(4, n, if n == 5 { 0x80 } else { 0 })));
    assert_eq!(payloads[5..8], [None; 3]);
    assert_eq!(payloads[8], key(11, 1, 0));
    let marks: Vec<_> = said.iter().flatten().map(|say| (say.first, say.last)).collect();
    assert_eq!(
        marks[..5],
        [(true, false), (false, false), (false, false), (false, false), (false, true)]
    );
    assert!(!teller.is_busy());
}

#[test]
fn a_key_that_is_held_down_is_told_until_it_is_let_go() {
    let mut teller = Teller::NEW;
    assert!(teller.down(Digit::try_from('9').unwrap()));
    assert!((0..20).all(|_| teller.next().is_some_and(|say| !say.last)));

    teller.up(Duration::from_millis(400));

    assert!(teller.next().is_some_and(|say| say.last));
    assert_eq!(teller.next(), None);
}

#[test]
fn a_key_ends_with_its_next_frame_where_somebody_else_is_heard() {
    let mut teller = Teller::NEW;
    assert!(['9', '1', '2'].iter().all(|key| teller.down(Digit::try_from(*key).unwrap())));
    assert!((0..5).all(|_| teller.next().is_some_and(|say| !say.last)));

    assert_eq!(teller.stop(), 2);

    let said = teller.next().unwrap();
    assert_eq!((said.payload, said.last), ([9, 0x8A, 3, 0xC0], true));
    (0..10).for_each(|_| teller.rested());
    assert!(teller.next().is_none() && !teller.is_busy());
}

#[test]
fn what_a_packet_claims_is_believed_for_half_a_second_only() {
    let mut teller = Teller::NEW;
    assert!(teller.down(Digit::try_from('9').unwrap()));
    teller.up(Duration::from_secs(8));

    assert_eq!((0..100).filter(|_| teller.next().is_some()).count(), 25);
}

#[test]
fn more_keys_than_may_wait_are_refused_whole() {
    let mut teller = Teller::NEW;
    let keys = Digits::new(&[Digit::try_from('1').unwrap(); Digits::MAX]).unwrap();

    assert_eq!([0; 3].map(|_| teller.tell(&keys)), [true, true, false]);
    assert_eq!(Digits::new(&[Digit::try_from('1').unwrap(); Digits::MAX + 1]), None);
}

#[test]
fn keys_are_those_of_a_telephone() {
    let keys: String = (0..=16).filter_map(Digit::from_event).map(Digit::key).collect();
    assert_eq!(keys, "0123456789*#ABCD");
    assert_eq!(Digit::try_from('b').map(Digit::event), Ok(13));
    assert!(Digit::try_from('E').is_err());
}
