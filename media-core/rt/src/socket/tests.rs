//! Which sockets listen, and which are worth asking for what.

use super::*;
use crate::ports::PortPool;
use std::net::{IpAddr, UdpSocket};

const LEG: LegName = LegName(7);
pub(crate) const PORT: PortName = PortName(21_000);

/// A loopback address of the test's own: nobody else's ports are in the way.
pub(crate) fn sockets(last: u8) -> (Sockets, IpAddr, UdpSocket) {
    let address = IpAddr::from([127, 77, 2, last]);
    let pool = PortPool::open(address, 21_000..=21_007).unwrap();
    let peer = UdpSocket::bind((address, 0)).unwrap();
    peer.set_nonblocking(true).unwrap();
    (Sockets::new(Arc::new(pool.into_pairs())).unwrap(), address, peer)
}

/// What one look at the sockets gives: which had something, and how many datagrams. `more`: one is not all.
fn heard_if(sockets: &mut Sockets, inbox: &mut Inbox, more: bool) -> Vec<(Name, usize)> {
    let mut heard = vec![];
    for place in 0..sockets.look() {
        let Some((name, ask)) = sockets.ready(place) else { continue };
        let (socket, most) = (sockets.socket(name).unwrap(), ask.worth());
        let mut count = inbox.receive(socket.as_fd(), most).unwrap_or(0);
        if most == 1 && more {
            count += inbox.receive(socket.as_fd(), BATCH - 1).unwrap_or(0);
        }
        if count == BATCH {
            sockets.leave(name);
        }
        heard.extend((count > 0).then_some((name, count)));
    }
    heard
}

fn heard(sockets: &mut Sockets, inbox: &mut Inbox) -> Vec<(Name, usize)> {
    heard_if(sockets, inbox, true)
}

#[test]
fn an_open_pair_hears_from_then_on_and_a_closed_one_nothing() {
    let (mut sockets, address, peer) = sockets(1);
    let mut inbox = Inbox::new();
    let mut says = |sockets: &mut Sockets, port| {
        peer.send_to(b"packet", (address, port)).unwrap();
        heard(sockets, &mut inbox)
    };
    assert_eq!(says(&mut sockets, 21_000), []);

    assert!(sockets.open(LEG, PORT, &mut Inbox::new()));
    let (rtp, rtcp) = (Channel::Rtp, Channel::Rtcp);
    assert_eq!(says(&mut sockets, 21_000), [(Name { port: PORT, channel: rtp }, 1)]);
    assert_eq!(says(&mut sockets, 21_001), [(Name { port: PORT, channel: rtcp }, 1)]);
    assert_eq!(says(&mut sockets, 21_002), []);

    sockets.close(LEG, &mut Inbox::new());
    assert_eq!(says(&mut sockets, 21_000), []);
    assert!(sockets.open(LegName(8), PORT, &mut Inbox::new()), "it can be used again");
    assert_eq!(heard(&mut sockets, &mut Inbox::new()), [], "and says nothing of before");
}

#[test]
fn what_a_call_left_unread_is_not_heard_by_the_next() {
    let (mut sockets, address, peer) = sockets(2);
    assert!(sockets.open(LEG, PORT, &mut Inbox::new()));
    for _ in 0..100 {
        peer.send_to(b"old", (address, 21_000)).unwrap();
    }
    let socket = Name { port: PORT, channel: Channel::Rtp };
    sockets.close(LEG, &mut Inbox::new());

    let left = sockets.socket(socket).unwrap().recv(&mut [std::mem::MaybeUninit::uninit(); 8]);
    assert_eq!(left.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "no memory is held");
    assert!(sockets.open(LegName(8), PORT, &mut Inbox::new()));
    assert_eq!(heard(&mut sockets, &mut Inbox::new()), []);
}

#[test]
fn a_port_that_is_taken_or_not_in_the_pool_is_refused() {
    let (mut sockets, ..) = sockets(3);
    let mut inbox = Inbox::new();
    assert!(sockets.open(LEG, PORT, &mut inbox));

    for port in [21_000, 21_001, 20_998, 21_008, 0, u16::MAX] {
        assert!(!sockets.open(LegName(8), PortName(port), &mut inbox), "{port}");
    }
}

#[test]
fn a_pair_changes_hands_with_what_lies_in_it_and_listens_all_the_while() {
    let (mut from, address, peer) = sockets(8);
    let mut to = Sockets::new(Arc::clone(&from.pairs)).unwrap();
    let mut inbox = Inbox::new();
    assert!(from.open(LEG, PORT, &mut inbox));
    assert!(!to.open(LegName(8), PORT, &mut inbox), "it is somebody's, whichever thread's");
    peer.send_to(b"before", (address, 21_000)).unwrap();

    assert!(from.let_go(LEG) && !from.let_go(LEG));
    peer.send_to(b"between", (address, 21_000)).unwrap();
    assert_eq!(heard(&mut from, &mut inbox), []);
    assert!(!from.open(LegName(8), PORT, &mut inbox), "nor is it nobody's on the way");
    assert!(to.take_over(LEG, PORT, &mut inbox));
    peer.send_to(b"after", (address, 21_000)).unwrap();

    let rtp = Name { port: PORT, channel: Channel::Rtp };
    assert_eq!(heard(&mut to, &mut inbox), [(rtp, 3)]);
    to.close(LEG, &mut inbox);
    assert!(from.open(LegName(8), PORT, &mut inbox), "anybody may have it again");
}

#[test]
fn a_socket_is_told_once_for_what_came_and_what_nobody_asked_for_is_found_in_turn() {
    let (mut sockets, address, peer) = sockets(9);
    let mut inbox = Inbox::new();
    assert!(sockets.open(LEG, PORT, &mut inbox));
    assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
    let rtp = Name { port: PORT, channel: Channel::Rtp };
    // The turn is at the second of the two now.
    sockets.looks = 2;
    let mut says = |many: usize| {
        for _ in 0..many {
            peer.send_to(b"packet", (address, 21_000)).unwrap();
        }
        heard_if(&mut sockets, &mut inbox, false)
    };

    assert_eq!(says(5), [(rtp, 1)]);
    assert_eq!(says(0), [(rtp, 4)], "its turn");
    assert_eq!(says(0), []);
    assert_eq!(says(1), [(rtp, 1)], "asked once, although it is its turn too");
    assert_eq!(says(0), []);
}

#[test]
fn what_was_left_in_a_socket_is_asked_for_at_the_next_look_unless_another_thread_has_it() {
    let (mut sockets, address, peer) = sockets(10);
    let mut inbox = Inbox::new();
    assert!(sockets.open(LEG, PORT, &mut inbox));
    assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
    sockets.looks = 2;
    for _ in 0..3 {
        peer.send_to(b"packet", (address, 21_000)).unwrap();
    }
    let rtp = Name { port: PORT, channel: Channel::Rtp };
    assert_eq!(heard_if(&mut sockets, &mut inbox, false), [(rtp, 1)]);

    sockets.leave(rtp);
    assert!(sockets.let_go(LEG));

    assert_eq!(heard(&mut sockets, &mut inbox), [], "neither at once");
    assert_eq!(heard(&mut sockets, &mut inbox), [], "nor in turn");
}

#[test]
fn what_nobody_hears_waits_sixty_looks_and_is_read_at_once_and_sooner_if_it_is_roused() {
    let (mut sockets, address, peer) = sockets(14);
    let mut inbox = Inbox::new();
    assert!(sockets.open(LEG, PORT, &mut inbox));
    let rtp = Name { port: PORT, channel: Channel::Rtp };
    let says = |port| peer.send_to(b"packet", (address, port)).unwrap();
    let looks = |sockets: &mut Sockets, inbox: &mut Inbox, count: u32| -> Vec<_> {
        (0..count).flat_map(|_| heard(sockets, inbox)).collect()
    };
    assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
    // After 60 looks it is the second's turn.
    sockets.looks = 2;
    sockets.let_wait(rtp);

    for _ in 0..3 {
        says(21_000);
        assert_eq!(looks(&mut sockets, &mut inbox, 20), []);
    }
    assert_eq!(looks(&mut sockets, &mut inbox, 1), [(rtp, 3)]);
    says(21_000);
    assert_eq!(looks(&mut sockets, &mut inbox, 1), [(rtp, 1)], "somebody may hear it");

    sockets.let_wait(rtp);
    let mut flood = (0..9).map(|_| {
        says(21_000);
        looks(&mut sockets, &mut inbox, 1)
    });
    assert!(flood.by_ref().take(8).all(|heard| heard.is_empty()));
    assert_eq!(flood.next().unwrap(), [(rtp, 9)], "a voice says less");

    sockets.let_wait(rtp);
    says(21_000);
    says(21_001);
    let rtcp = Name { channel: Channel::Rtcp, ..rtp };
    assert_eq!(looks(&mut sockets, &mut inbox, 2), [(rtcp, 1)], "a report does not wait");
    assert!(sockets.rouse(PORT) && !sockets.rouse(PORT));
    assert_eq!(looks(&mut sockets, &mut inbox, 2), [(rtp, 1)], "at its turn of all");
    assert_eq!(looks(&mut sockets, &mut inbox, 100), []);
}

/// Says more to a port than a socket's buffer takes.
fn overfill(peer: &UdpSocket, address: IpAddr, port: u16) {
    for _ in 0..OVERFULL {
        peer.send_to(&[0; 1_000], (address, port)).unwrap();
    }
}

const OVERFULL: u64 = 300;

/// What the kernel tells everybody that it has dropped at a port: the last word of the socket's line.
fn dropped_at(address: IpAddr, port: u16) -> u64 {
    let IpAddr::V4(address) = address else { panic!("of version four") };
    let name = format!("{:08X}:{port:04X}", u32::from_ne_bytes(address.octets()));
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let line = table.lines().find(|line| line.split_whitespace().nth(1) == Some(&name));
    line.unwrap().split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn what_finds_a_full_socket_is_counted_once_when_its_turn_comes() {
    let (mut sockets, address, peer) = sockets(11);
    let mut inbox = Inbox::new();
    assert!(sockets.open(LEG, PORT, &mut inbox));
    assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
    overfill(&peer, address, 21_000);
    overfill(&peer, address, 21_001);
    // The turn is at the second of the two now.
    sockets.looks = 2;
    let mut read = heard(&mut sockets, &mut inbox);
    assert_eq!(sockets.dropped(), 0);
    read.extend(heard(&mut sockets, &mut inbox));
    let dropped = sockets.dropped();
    for _ in 0..8 {
        read.extend(heard(&mut sockets, &mut inbox));
    }

    assert_eq!(sockets.dropped(), dropped, "once");
    let of = |port| dropped_at(address, port);
    assert_eq!(dropped, of(21_000) + of(21_001));
    for (channel, port) in [(Channel::Rtp, 21_000), (Channel::Rtcp, 21_001)] {
        let read = read.iter().filter(|(name, _)| *name == Name { port: PORT, channel });
        let read: usize = read.map(|(_, count)| count).sum();
        assert_eq!(read as u64 + of(port), OVERFULL);
        assert!(of(port) > 0, "{port}");
    }
}

#[test]
fn what_a_pair_at_rest_did_not_hear_is_no_loss_of_a_leg_and_what_a_leg_lost_last_is_counted_at_its_end()
 {
    let (mut sockets, address, peer) = sockets(12);
    let mut inbox = Inbox::new();
    let mut lost = 0;
    for round in 0..2 {
        let before = dropped_at(address, 21_000);
        overfill(&peer, address, 21_000);
        let at_rest = dropped_at(address, 21_000);
        assert_eq!(at_rest - before, OVERFULL, "nothing is kept at rest");
        assert!(sockets.open(LEG, PORT, &mut inbox));
        heard(&mut sockets, &mut inbox);
        assert_eq!(sockets.dropped(), lost, "{round}");

        overfill(&peer, address, 21_000);
        lost += dropped_at(address, 21_000) - at_rest;
        sockets.close(LEG, &mut inbox);
        assert_eq!(sockets.dropped(), lost, "{round}");
    }
    assert!(lost > 0);
}

#[test]
fn what_a_pair_on_its_way_did_not_hear_is_counted_by_who_gets_it_and_by_nobody_else() {
    let (mut from, address, peer) = sockets(13);
    let mut to = Sockets::new(Arc::clone(&from.pairs)).unwrap();
    let mut inbox = Inbox::new();
    let overfill = || {
        overfill(&peer, address, 21_000);
        dropped_at(address, 21_000)
    };
    assert!(from.open(LEG, PORT, &mut inbox));
    let first = overfill();
    heard(&mut from, &mut inbox);
    assert!(from.let_go(LEG) && first > 0);
    let second = overfill();
    assert!(to.take_over(LEG, PORT, &mut inbox) && second > first);
    heard(&mut to, &mut inbox);
    heard(&mut from, &mut inbox);
    assert_eq!((from.dropped(), to.dropped()), (first, second - first));

    assert!(to.let_go(LEG));
    let third = overfill();
    from.abandon(PORT, &mut inbox);
    assert_eq!((from.dropped(), to.dropped()), (first + third - second, second - first));
    assert!(third > second);
}

#[test]
fn a_flood_at_one_port_takes_one_batch_a_wake_and_leaves_the_others_theirs() {
    let (mut sockets, address, peer) = sockets(4);
    let mut inbox = Inbox::new();
    assert!(sockets.open(LEG, PORT, &mut inbox));
    assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
    for _ in 0..3 * BATCH / 2 {
        peer.send_to(b"flood", (address, 21_000)).unwrap();
    }
    peer.send_to(b"voice", (address, 21_002)).unwrap();

    let mut counts = || -> Vec<usize> {
        heard(&mut sockets, &mut inbox).iter().map(|(_, count)| *count).collect()
    };
    assert_eq!(counts(), [BATCH, 1]);
    assert_eq!(counts(), [BATCH / 2]);
    assert_eq!(counts(), [0; 0]);
}
