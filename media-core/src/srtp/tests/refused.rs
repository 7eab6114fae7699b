//! What is refused, by name, and that it leaves nothing behind.

use super::*;
use crate::srtp::sources::RETIRED_MAX;

#[test]
fn one_bit_changed_anywhere_is_refused() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let sealed = Bytes::rtp(9, 500).protected(&mut sender);
        let report = Bytes::rtcp(9).protected_report(&mut sender);
        for bit in 0..sealed.length * 8 {
            let mut forged = sealed.clone();
            forged.buffer[bit / 8] ^= 1 << (bit % 8);
            let before = forged.clone();
            assert!(forged.clone().opened(&mut receiver).is_err(), "{suite:?} bit {bit}");
            let mut bytes = forged.bytes().to_vec();
            _ = receiver.unprotect_rtp(&mut bytes);
            assert_eq!(bytes, before.bytes(), "a refused packet stays as it was");
        }
        for bit in 0..report.length * 8 {
            let mut forged = report.clone();
            forged.buffer[bit / 8] ^= 1 << (bit % 8);
            assert!(forged.opened_report(&mut receiver).is_err(), "{suite:?} RTCP bit {bit}");
        }
        assert!(sealed.opened(&mut receiver).is_ok());
        assert!(report.opened_report(&mut receiver).is_ok());
    }
}

#[test]
fn every_length_but_the_whole_is_refused() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let sealed = Bytes::rtp(9, 500).protected(&mut sender);
        let report = Bytes::rtcp(9).protected_report(&mut sender);
        for length in 0..sealed.length {
            let cut = Bytes { length, ..sealed.clone() };
            assert!(cut.opened(&mut receiver).is_err(), "{suite:?} {length}");
        }
        for length in 0..report.length {
            let cut = Bytes { length, ..report.clone() };
            assert!(cut.opened_report(&mut receiver).is_err(), "{suite:?} RTCP {length}");
        }
        let longer = Bytes { length: sealed.length + 1, ..sealed.clone() };
        assert_eq!(longer.opened(&mut receiver).err(), Some(Refused::Tag));
        assert!(sealed.opened(&mut receiver).is_ok());
    }
}

#[test]
fn headers_that_lie_about_their_length_are_short() {
    let (mut sender, mut receiver) = pair(Suite::AeadAes128Gcm);
    for lie in ["8F080001 00000000 00000009", "90080001 00000000 00000009 BEDEFFFF 00", "00080001"]
    {
        let mut bytes = hex(lie);
        bytes.resize(60, 0);
        let packet = Bytes::of(&bytes);
        assert_eq!(packet.opened(&mut receiver).err(), Some(Refused::Short), "{lie}");
        let mut buffer = [bytes, vec![0; GROWTH_MAX]].concat();
        assert_eq!(sender.protect_rtp(&mut buffer, 60), Err(Refused::Short), "{lie}");
    }
    assert_eq!(Bytes::of(&[0x80; 7]).opened_report(&mut receiver).err(), Some(Refused::Short));
}

#[test]
fn forged_sources_cost_nothing() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    let real = Bytes::rtp(0, 7).protected(&mut sender);
    for ssrc in 1..10_000_u32 {
        let mut forged = real.clone();
        forged.buffer[8..12].copy_from_slice(&ssrc.to_be_bytes());
        assert_eq!(forged.opened(&mut receiver).err(), Some(Refused::Tag));
    }
    assert!(real.opened(&mut receiver).is_ok());
}

#[test]
fn a_forged_number_does_not_move_the_window() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_32);
    assert!(Bytes::rtp(1, 100).protected(&mut sender).opened(&mut receiver).is_ok());
    let next = Bytes::rtp(1, 101).protected(&mut sender);
    for sequence in (102..32_768_u16).step_by(97) {
        let mut forged = next.clone();
        forged.buffer[2..4].copy_from_slice(&sequence.to_be_bytes());
        assert_eq!(forged.opened(&mut receiver).err(), Some(Refused::Tag));
    }
    assert!(next.opened(&mut receiver).is_ok());
}

#[test]
fn a_source_that_was_left_cannot_come_again_and_their_number_has_an_end() {
    let suite = Suite::AeadAes128Gcm;
    let mut receiver = Receiver::new(&master(suite));
    let from = |ssrc| Bytes::rtp(ssrc, 1).protected(&mut Sender::new(&master(suite)));
    let most = u32::try_from(RETIRED_MAX).unwrap() + 4;
    for ssrc in 0..most {
        assert!(from(ssrc).opened(&mut receiver).is_ok(), "{ssrc}");
    }

    assert_eq!(from(0).opened(&mut receiver).err(), Some(Refused::Sources));
    assert_eq!(from(most).opened(&mut receiver).err(), Some(Refused::Sources));
    assert_eq!(from(most - 1).opened(&mut receiver).err(), Some(Refused::Replayed));
}

#[test]
fn a_sender_sends_no_number_twice_and_no_other_source() {
    let mut sender = Sender::new(&master(Suite::AeadAes128Gcm));
    let mut send = |packet: Bytes| {
        let mut buffer = packet.buffer;
        sender.protect_rtp(&mut buffer, packet.length).map(|_| ())
    };

    assert_eq!(send(Bytes::rtp(1, 65_535)), Ok(()));
    assert_eq!(send(Bytes::rtp(1, 65_535)), Err(Refused::Sent));
    assert_eq!(send(Bytes::rtp(1, 0)), Ok(()));
    assert_eq!(send(Bytes::rtp(1, 65_535)), Err(Refused::Sent));
    assert_eq!(send(Bytes::rtp(1, 0xFFF0)), Err(Refused::Sent));
    assert_eq!(send(Bytes::rtp(2, 1)), Err(Refused::Sent));
    assert_eq!(send(Bytes::rtp(1, 1)), Ok(()));
}

#[test]
fn without_room_nothing_is_protected_and_no_number_used() {
    for suite in Suite::ALL {
        let mut sender = Sender::new(&master(suite));
        let packet = Bytes::rtp(1, 1);
        let mut tight = packet.bytes().to_vec();
        assert_eq!(sender.protect_rtp(&mut tight, packet.length), Err(Refused::Room));
        assert_eq!(tight, packet.bytes());
        assert_eq!(sender.protect_rtp(&mut tight, packet.length + 1), Err(Refused::Room));
        let report = Bytes::rtcp(1);
        assert_eq!(
            sender.protect_rtcp(&mut report.bytes().to_vec(), report.length),
            Err(Refused::Room)
        );
        let mut exact = [packet.bytes(), &[0; GROWTH_MAX]].concat();
        assert!(sender.protect_rtp(&mut exact, packet.length).is_ok());
    }
}

#[test]
fn a_report_that_is_not_encrypted_is_refused_even_with_a_right_tag() {
    let (mut sender, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    let mut report = Bytes::rtcp(9).protected_report(&mut sender);
    let word = report.length - 14;
    report.buffer[word] &= 0x7F;

    assert_eq!(report.opened_report(&mut receiver).err(), Some(Refused::Unencrypted));
}

#[test]
fn keys_of_another_length_are_refused_by_number() {
    for suite in Suite::ALL {
        let wanted = suite.key_bytes() + suite.salt_bytes();
        for given in (0..60).filter(|given| *given != wanted) {
            let refused = MasterKey::new(suite, &vec![1; given]).unwrap_err();
            assert_eq!(refused, WrongLength { given, wanted });
        }
    }
}

#[test]
fn no_debug_output_shows_a_key() {
    let (sender, receiver) = pair(Suite::AesCm128HmacSha1_80);
    let master = master(Suite::AesCm128HmacSha1_80);

    assert_eq!(format!("{master:?}"), "MasterKey(AesCm128HmacSha1_80)");
    assert_eq!(format!("{sender:?} {receiver:?}"), "Sender { ssrc: None, .. } Receiver { .. }");
}
