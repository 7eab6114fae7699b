//! Our SRTP against one that others wrote (`rtc-srtp`): each opens what the other protected, all suites.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use media_core::{
    rtp::header::Header,
    srtp::{GROWTH_MAX, MasterKey, Receiver, Sender, Suite},
};
use rtc_srtp::{context::Context, protection_profile::ProtectionProfile};

fn profile(suite: Suite) -> ProtectionProfile {
    match suite {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    }
}

fn keys(suite: Suite) -> Vec<u8> {
    (0..)
        .map(|n: u8| n.wrapping_mul(37) ^ 0xA5)
        .take(suite.key_bytes() + suite.salt_bytes())
        .collect()
}

fn theirs(suite: Suite) -> Context {
    let bytes = keys(suite);
    let (key, salt) = bytes.split_at(suite.key_bytes());
    let provider = rtc_crypto::default_provider().unwrap();
    Context::new(key, salt, profile(suite), None, None, provider.crypto()).unwrap()
}

fn ours(suite: Suite) -> MasterKey {
    MasterKey::new(suite, &keys(suite)).unwrap()
}

/// Packets of every length, some with a source and an extension, over a wrap.
fn packets() -> impl Iterator<Item = Vec<u8>> {
    (0..400_usize).map(|n| {
        let sequence = 65_400_u16.wrapping_add(u16::try_from(n).unwrap());
        let header =
            Header { marker: n % 7 == 0, payload_type: 96, sequence, timestamp: 7, ssrc: 0xBEEF };
        let mut packet = header.bytes().to_vec();
        if n % 3 == 1 {
            packet[0] |= 0x11;
            packet.extend([1, 2, 3, 4, 0xBE, 0xDE, 0, 1, 0x10, 5, 0, 0]);
        }
        packet.extend((0..n).map(|at| at.to_le_bytes()[0]));
        packet
    })
}

fn report(blocks: u8) -> Vec<u8> {
    let words = 1 + 6 * blocks;
    let mut report = vec![0x80 | blocks, 201, 0, words, 0, 0, 0xBE, 0xEF];
    report.extend(vec![blocks; 24 * usize::from(blocks)]);
    report
}

#[test]
fn what_we_protect_they_open() {
    for suite in Suite::ALL {
        let (mut sender, mut opener) = (Sender::new(&ours(suite)), theirs(suite));
        for plain in packets() {
            let mut buffer = [&plain[..], &[0; GROWTH_MAX]].concat();
            let length = sender.protect_rtp(&mut buffer, plain.len()).unwrap();
            let opened = opener.decrypt_rtp(&buffer[..length]).unwrap();
            assert_eq!(opened[..], plain, "{suite:?}, {} bytes", plain.len());
        }
        for blocks in 0..31 {
            let plain = report(blocks);
            let mut buffer = [&plain[..], &[0; GROWTH_MAX]].concat();
            let length = sender.protect_rtcp(&mut buffer, plain.len()).unwrap();
            assert_eq!(opener.decrypt_rtcp(&buffer[..length]).unwrap()[..], plain, "{suite:?}");
        }
    }
}

#[test]
fn what_they_protect_we_open() {
    for suite in Suite::ALL {
        let (mut sealer, mut receiver) = (theirs(suite), Receiver::new(&ours(suite)));
        for plain in packets() {
            let mut sealed = sealer.encrypt_rtp(&plain).unwrap().to_vec();
            let length = receiver.unprotect_rtp(&mut sealed).unwrap();
            assert_eq!(sealed[..length], plain, "{suite:?}, {} bytes", plain.len());
        }
        for blocks in 0..31 {
            let plain = report(blocks);
            let mut sealed = sealer.encrypt_rtcp(&plain).unwrap().to_vec();
            let length = receiver.unprotect_rtcp(&mut sealed).unwrap();
            assert_eq!(sealed[..length], plain, "{suite:?}");
        }
    }
}
