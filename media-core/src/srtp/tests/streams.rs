//! Streams that live long: wraps, losses, disorder, duplicates, new sources.

use super::*;

/// Random numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// Protects `count` packets from `first` on and gives them to a receiver late, twice or never.
fn rough(suite: Suite, first: u16, count: u64, seed: u64) {
    let (mut sender, mut receiver) = pair(suite);
    let mut dice = Dice(seed);
    // What is on its way, by the number sent: late by up to 100 places.
    let mut under_way: Vec<(u64, Bytes, Bytes)> = vec![];
    let (mut taken, mut lost) = (0, 0);
    for number in 0..count {
        let sequence = first.wrapping_add(u16::try_from(number & 0xFFFF).unwrap());
        let plain = Bytes::rtp(9, sequence);
        let sealed = plain.clone().protected(&mut sender);
        if number > 0 && dice.below(20) == 0 {
            lost += 1;
        } else {
            let late = if number > 0 && dice.below(10) == 0 { dice.below(100) } else { 0 };
            under_way.push((number + late, plain, sealed));
        }
        let mut at = 0;
        while at < under_way.len() {
            if under_way[at].0 > number {
                at += 1;
                continue;
            }
            let (_, plain, sealed) = under_way.swap_remove(at);
            let opened = sealed.clone().opened(&mut receiver).unwrap();
            assert_eq!(opened.bytes(), plain.bytes(), "{suite:?} {number}");
            taken += 1;
            if dice.below(10) == 0 {
                assert_eq!(sealed.opened(&mut receiver).err(), Some(Refused::Replayed));
            }
        }
    }
    assert_eq!(taken + lost + u64::try_from(under_way.len()).unwrap(), count);
    assert!(lost > count / 40);
}

#[test]
fn three_rounds_of_sequence_numbers_survive_loss_disorder_and_duplicates() {
    for (seed, suite) in (1..).zip(Suite::ALL) {
        rough(suite, 60_000, 3 << 16, seed);
    }
}

#[test]
fn a_stream_may_begin_on_the_last_number_of_a_round() {
    for first in [0, 1, 32_767, 32_768, 65_534, 65_535] {
        rough(Suite::AeadAes128Gcm, first, 300, u64::from(first));
    }
}

#[test]
fn a_stream_whose_beginning_was_missed_is_heard_after_its_wrap() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    let missed = Bytes::rtp(1, 65_535).protected(&mut sender);
    let heard = Bytes::rtp(1, 0).protected(&mut sender);
    let next = Bytes::rtp(1, 1).protected(&mut sender);

    assert!(heard.clone().opened(&mut receiver).is_ok());
    assert!(next.opened(&mut receiver).is_ok());
    // What comes late from before the wrap is known for what it is.
    assert!(missed.opened(&mut receiver).is_ok());
    assert_eq!(heard.opened(&mut receiver).err(), Some(Refused::Replayed));
}

#[test]
fn a_loss_of_half_a_round_is_survived() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_32);
    for sequence in [100, 100 + 0x7FFF, 64, 64 + 0x7FFF, 5] {
        let sealed = Bytes::rtp(1, sequence).protected(&mut sender);
        assert!(sealed.opened(&mut receiver).is_ok(), "{sequence}");
    }
}

#[test]
fn a_new_source_begins_without_rollovers_and_the_old_one_is_still_known() {
    let suite = Suite::AeadAes256Gcm;
    let (mut old, mut receiver) = pair(suite);
    for sequence in [40_000, 65_535, 10] {
        assert!(Bytes::rtp(1, sequence).protected(&mut old).opened(&mut receiver).is_ok());
    }
    let mut new = Sender::new(&master(suite));
    let first = Bytes::rtp(2, 30_000).protected(&mut new);

    assert!(first.clone().opened(&mut receiver).is_ok());
    assert_eq!(first.opened(&mut receiver).err(), Some(Refused::Replayed));
    assert!(Bytes::rtp(1, 11).protected(&mut old).opened(&mut receiver).is_ok());
}

#[test]
fn reports_are_numbered_and_each_is_taken_once() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let sealed: Vec<_> =
            (0..200).map(|_| Bytes::rtcp(5).protected_report(&mut sender)).collect();
        let (early, late) = (&sealed[150], &sealed[..150]);

        assert_eq!(
            early.clone().opened_report(&mut receiver).unwrap().bytes(),
            Bytes::rtcp(5).bytes()
        );
        assert_eq!(early.clone().opened_report(&mut receiver).err(), Some(Refused::Replayed));
        for (number, report) in late.iter().enumerate() {
            let again = report.clone().opened_report(&mut receiver);
            let expected = if number <= 150 - 128 { Some(Refused::Late) } else { None };
            assert_eq!(again.err(), expected, "{suite:?} {number}");
        }
    }
}

#[test]
fn sources_extensions_and_padding_are_carried() {
    let mut packet = hex("B2080001 000000A0 00000009 11111111 22222222 BEDE0001 AABBCCDD");
    packet.extend([0x5A; 40]);
    packet.extend([0, 0, 3]);
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let sealed = Bytes::of(&packet).protected(&mut sender);
        assert_eq!(sealed.bytes()[..28], packet[..28], "the open part stays open");
        assert_ne!(sealed.bytes()[28..60], packet[28..60]);
        assert_eq!(sealed.opened(&mut receiver).unwrap().bytes(), packet);

        let (mut sender, mut receiver) = pair(suite);
        let empty = Bytes::of(&packet[..28]).protected(&mut sender);
        assert_eq!(empty.opened(&mut receiver).unwrap().bytes(), &packet[..28]);
    }
}
