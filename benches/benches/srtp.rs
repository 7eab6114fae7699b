//! Packets of a call protected and opened in place, beside `rtc-srtp`, which makes a new packet of each.

#![expect(clippy::unwrap_used, reason = "what should be there and is not fails the test")]

use clavija_benches::{cpu, race::Race};
use criterion::{Criterion, criterion_group, criterion_main};
use media_core::srtp::{GROWTH_MAX, MasterKey, Receiver, Sender, Suite};
use rtc_srtp::{context::Context, protection_profile::ProtectionProfile};
use std::{hint::black_box, time::Duration};

/// 20 ms of G.711 with its header.
const PACKET_BYTES: usize = 172;
/// Packets that are prepared at a time: each can be opened once only.
const BATCH: u16 = 1_000;

type Buffer = [u8; PACKET_BYTES + GROWTH_MAX];

fn profile(suite: Suite) -> ProtectionProfile {
    match suite {
        Suite::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
        Suite::AesCm128HmacSha1_32 => ProtectionProfile::Aes128CmHmacSha1_32,
        Suite::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Suite::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
    }
}

fn keys(suite: Suite) -> Vec<u8> {
    (1..).take(suite.key_bytes() + suite.salt_bytes()).collect()
}

fn master(suite: Suite) -> MasterKey {
    MasterKey::new(suite, &keys(suite)).unwrap()
}

fn theirs(suite: Suite) -> Context {
    let bytes = keys(suite);
    let (key, salt) = bytes.split_at(suite.key_bytes());
    let provider = rtc_crypto::default_provider().unwrap();
    Context::new(key, salt, profile(suite), None, None, provider.crypto()).unwrap()
}

fn packets() -> Vec<Buffer> {
    let packet = |sequence: u16| {
        let mut packet = [0x55; PACKET_BYTES + GROWTH_MAX];
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet
    };
    (0..BATCH).map(packet).collect()
}

/// So many packets, a fresh context and fresh packets for each batch; only the work is counted.
fn batches<C>(
    times: u64,
    context: impl Fn() -> C,
    from: &[Buffer],
    mut work: impl FnMut(&mut C, &mut Buffer),
) -> Duration {
    let mut left = usize::try_from(times).unwrap();
    let mut taken = Duration::ZERO;
    while left > 0 {
        let mut packets = from[..left.min(from.len())].to_vec();
        let mut context = context();
        taken += cpu::span(|| packets.iter_mut().for_each(|packet| work(&mut context, packet)));
        left -= packets.len();
    }
    taken
}

fn srtp(criterion: &mut Criterion) {
    let plain = packets();
    for suite in Suite::ALL {
        let mut sender = Sender::new(&master(suite));
        let mut sealed = plain.clone();
        let mut length = 0;
        for packet in &mut sealed {
            length = sender.protect_rtp(packet, PACKET_BYTES).unwrap();
        }
        let [protect, unprotect] = titles(suite);
        Race::new(protect)
            .add_timed("rtc-srtp", |times| {
                batches(
                    times,
                    || theirs(suite),
                    &plain,
                    |context, packet| {
                        black_box(context.encrypt_rtp(&packet[..PACKET_BYTES])).unwrap();
                    },
                )
            })
            .add_timed("in place", |times| {
                batches(
                    times,
                    || Sender::new(&master(suite)),
                    &plain,
                    |sender, packet| {
                        black_box(sender.protect_rtp(packet, PACKET_BYTES)).unwrap();
                    },
                )
            })
            .run(criterion);
        Race::new(unprotect)
            .add_timed("rtc-srtp", |times| {
                batches(
                    times,
                    || theirs(suite),
                    &sealed,
                    |context, packet| {
                        black_box(context.decrypt_rtp(&packet[..length])).unwrap();
                    },
                )
            })
            .add_timed("in place", |times| {
                batches(
                    times,
                    || Receiver::new(&master(suite)),
                    &sealed,
                    |receiver, packet| {
                        black_box(receiver.unprotect_rtp(&mut packet[..length])).unwrap();
                    },
                )
            })
            .run(criterion);
    }
}

fn titles(suite: Suite) -> [&'static str; 2] {
    match suite {
        Suite::AesCm128HmacSha1_80 => ["protect AES_CM_128_80", "unprotect AES_CM_128_80"],
        Suite::AesCm128HmacSha1_32 => ["protect AES_CM_128_32", "unprotect AES_CM_128_32"],
        Suite::AeadAes128Gcm => ["protect AES_128_GCM", "unprotect AES_128_GCM"],
        Suite::AeadAes256Gcm => ["protect AES_256_GCM", "unprotect AES_256_GCM"],
    }
}

criterion_group!(benches, srtp);
criterion_main!(benches);
