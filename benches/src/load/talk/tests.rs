//! Two ends that speak to each other with nobody between them: what the generator says it heard is what was said.

use super::*;
use crate::callers::PACKET_BYTES;
use media_core::srtp::Suite;
use std::net::UdpSocket;

/// One call of two ends that are told to speak to each other, with nobody between them.
fn direct(last: u8) -> Talk {
    let mut talk = Talk::new(Ipv4Addr::new(127, 88, 1, last), 1, 20_000).expect("four ports");
    let [a, b] = talk.addresses()[..] else { panic!("two ends") };
    talk.aim([b, a]).expect("two addresses");
    talk
}

fn key(byte: u8) -> MasterKey {
    MasterKey::new(Suite::AesCm128HmacSha1_80, &[byte; 30]).expect("16 and 14 bytes")
}

#[test]
fn what_two_ends_say_to_each_other_is_all_heard_and_silence_put_in_is_told_apart() {
    let mut talk = direct(1);
    let stranger = UdpSocket::bind("127.88.1.2:0").expect("a port is free");
    stranger.send_to(&[0x80; PACKET_BYTES], talk.addresses()[0]).expect("loopback");

    let ([before, after], seen) = talk.measure(Duration::from_millis(100), || 7).expect("measured");

    assert_eq!((before, after), (7, 7));
    assert_eq!((seen.sent, seen.heard, seen.lost, seen.put_in), (10, 10, 0, 1));
    assert_eq!((seen.doubled, seen.overtaken, seen.gaps), (0, 0, 0));
    assert!(seen.latency.ms([1.0]).is_some(), "each was timed");
}

#[test]
fn who_is_not_passed_on_is_lost() {
    let mut talk = direct(3);
    talk.ends[0].to = Some(SocketAddrV4::new(Ipv4Addr::new(127, 88, 1, 2), 9));

    let (_, seen) = talk.measure(Duration::from_millis(60), || ()).expect("measured");

    assert_eq!((seen.sent, seen.heard, seen.lost), (6, 3, 3));
}

#[test]
fn what_is_encrypted_is_heard_with_its_key_and_with_no_other() {
    let mut talk = direct(4);
    talk.encrypt([[key(1), key(2)], [key(2), key(1)]]);
    let (_, seen) = talk.measure(Duration::from_millis(60), || ()).expect("measured");
    assert_eq!((seen.sent, seen.heard, seen.unopened), (6, 6, 0));

    let mut talk = direct(5);
    talk.encrypt([[key(1), key(2)], [key(2), key(3)]]);
    let (_, seen) = talk.measure(Duration::from_millis(60), || ()).expect("measured");
    assert_eq!((seen.sent, seen.heard), (6, 3));
    assert!(seen.unopened >= 3, "{}", seen.unopened);
}

#[test]
fn two_ends_of_a_socket_cannot_be_told_apart_where_they_hear_from_one_address() {
    let mut talk = Talk::new(Ipv4Addr::new(127, 88, 1, 6), 2, 20_000).expect("four ports");
    let there = SocketAddr::from(([127, 88, 1, 7], 9));

    assert!(talk.aim([there, there, there, there]).is_err());
}
