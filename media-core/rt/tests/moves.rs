//! A leg goes to and fro between two media threads a thousand times while everybody talks: no packet is
//! lost, none comes twice, and nobody's stream has a gap.
#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

#[expect(dead_code, reason = "shared with tests that also look at the recording")]
mod common;

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use common::{Folder, Said, give, media};
use media_core::order::{
    Codec, Event, Law, LegName, LegReport, Order, PortName, Remote, Source, Stream, TalkName,
};

const MOVES: usize = 1_000;

/// The caller and the talk of each of the two threads.
const HOMES: [(LegName, TalkName); 2] = [(LegName(1), TalkName(101)), (LegName(2), TalkName(102))];
const TRAVELLER: LegName = LegName(3);
const FRAME: Duration = Duration::from_millis(20);

#[test]
fn a_leg_moves_a_thousand_times_between_threads_and_nobody_loses_a_packet() {
    let folder = Folder::new("moves");
    let address = IpAddr::from([127, 77, 6, 1]);
    let mut media = media(2, address, &folder);
    let mut said = Said::default();
    let mut parties: Vec<_> = (0..3).map(|n| Talker::new(address, n)).collect();
    for (party, talk) in parties.iter().zip([101, 102, 103].map(TalkName)) {
        give(&mut media, party.orders(talk));
    }
    // Once all are heard of all ports listen.
    while parties.iter().any(|party| party.heard.is_empty()) {
        parties.iter_mut().for_each(Talker::listen);
        std::thread::sleep(Duration::from_millis(1));
    }
    let begun = Instant::now();
    let mut spoken = 0;

    for number in 0..MOVES {
        let (caller, talk) = HOMES[number % 2];
        give(&mut media, [Order::Bridge { talk, caller, other: TRAVELLER, record: false }]);
        // The bound is only there so that a fault is not a hang.
        let give_up = Instant::now() + Duration::from_secs(20);
        while bridged(&said) <= number {
            assert!(Instant::now() < give_up, "{} of {number}: {:?}", bridged(&said), said.events);
            if begun + FRAME * spoken <= Instant::now() {
                spoken += 1;
                parties.iter_mut().for_each(Talker::speak);
            }
            parties.iter_mut().for_each(Talker::listen);
            said.poll(&mut media);
            std::thread::sleep(Duration::from_micros(300));
        }
    }

    let legs = [HOMES[0].0, HOMES[1].0, TRAVELLER];
    give(&mut media, HOMES.map(|(_, talk)| Order::EndTalk { talk }));
    // What was said last is read before the legs close.
    let all = u64::from(spoken) * 3;
    said.wait_for(&mut media, "last packet", |media, _| media.counters().engine.packets_in == all);
    give(&mut media, legs.map(|leg| Order::Close { leg }));
    said.wait(&mut media, "end", |said| legs.iter().all(|leg| said.closed(*leg)));

    let refused = said.events.iter().filter(|event| matches!(event, Event::Refused { .. }));
    assert_eq!(refused.count(), 0);
    let counters = media.counters();
    assert_eq!((counters.ports_refused, counters.send_errors, counters.panics), (0, 0, 0));
    for (party, leg) in parties.iter_mut().zip(legs) {
        party.listen();
        let report = report(&said, leg);
        assert_eq!(report.packets_received, u64::from(spoken), "{leg:?}");
        assert_eq!((report.packets_lost, report.packets_duplicate), (0, 0), "{leg:?}");
        assert_eq!(report.packets_sent, party.heard.len() as u64, "{leg:?}");
        party.check_stream(counters.engine.stalls == 0);
    }
}

fn bridged(said: &Said) -> usize {
    said.events.iter().filter(|event| matches!(event, Event::Bridged { .. })).count()
}

fn report(said: &Said, leg: LegName) -> LegReport {
    let found = said.events.iter().find_map(|event| {
        let Event::Closed { leg: closed, report } = event else { return None };
        (*closed == leg).then_some(*report)
    });
    found.unwrap()
}

/// One party: numbers what it says, and keeps the head of what it hears.
struct Talker {
    number: u16,
    socket: UdpSocket,
    media: SocketAddr,
    said: u16,
    /// Sequence, time stamp and SSRC.
    heard: Vec<(u16, u32, u32)>,
}

impl Talker {
    fn new(address: IpAddr, number: u16) -> Self {
        let socket = UdpSocket::bind((address, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let media = SocketAddr::new(address, 21_000 + 2 * number);
        Self { number, socket, media, said: 0, heard: Vec::new() }
    }

    fn orders(&self, talk: TalkName) -> [Order; 3] {
        let leg = LegName(u64::from(self.number) + 1);
        let rtp = self.socket.local_addr().unwrap();
        let remote = Remote { rtp, rtcp: rtp, signalling: rtp.ip() };
        let stream = Stream { ssrc: u32::from(self.number), sequence: 65_000, timestamp: 7 };
        let codec = Codec::g711(Law::A, 8);
        let (sends, receives) = (true, true);
        [
            Order::Open { leg, port: PortName(self.media.port()), stream, talk },
            Order::Connect { leg, remote, codec, telephone_event: None, sends, receives },
            Order::Hear { leg, source: Source::Silence },
        ]
    }

    fn speak(&mut self) {
        let mut packet = [0x55; 172];
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[2..4].copy_from_slice(&self.said.to_be_bytes());
        packet[4..8].copy_from_slice(&(u32::from(self.said) * 160).to_be_bytes());
        packet[8..12].copy_from_slice(&(1_000 + u32::from(self.number)).to_be_bytes());
        self.said += 1;
        self.socket.send_to(&packet, self.media).unwrap();
    }

    fn listen(&mut self) {
        let mut packet = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut packet) {
            // Reports come from the other port of the pair.
            if from != self.media {
                continue;
            }
            assert_eq!(length, 172);
            let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
            let sequence = u16::from_be_bytes(packet[2..4].try_into().unwrap());
            self.heard.push((sequence, word(4), word(8)));
        }
    }

    fn check_stream(&self, even: bool) {
        assert!(self.heard.len() > 50, "{}", self.heard.len());
        for pair in self.heard.windows(2) {
            let ((before, then, ssrc), (after, now, also)) = (pair[0], pair[1]);
            assert_eq!((after, also), (before.wrapping_add(1), ssrc), "party {}", self.number);
            let step = now.wrapping_sub(then);
            // Only a thread that stood still for 100 ms leaves time out.
            assert!(step == 160 || !even && step % 160 == 0, "party {}: {step}", self.number);
        }
    }
}
