//! RFC 3711 appendix B, RFC 6188 §7.2, RFC 7714 §16 and §17, byte for byte.

use super::*;
use crate::srtp::{
    cipher::{Cipher, Place},
    derive::{Kind, SessionKeys, derive},
    envelope::Envelope,
    sender::{rtcp_place, rtp_place},
};
use zeroize::Zeroizing;

fn session(key: &str, salt: &str) -> SessionKeys {
    let mut keys = SessionKeys {
        key: Zeroizing::new([0; 32]),
        auth: Zeroizing::new([0; 20]),
        salt: Zeroizing::new([0; 14]),
    };
    keys.key[..hex(key).len()].copy_from_slice(&hex(key));
    keys.salt[..hex(salt).len()].copy_from_slice(&hex(salt));
    keys
}

#[test]
fn the_key_stream_is_that_of_rfc_3711_b_2() {
    let keys = session("2B7E151628AED2A6ABF7158809CF4F3C", "F0F1F2F3F4F5F6F7F8F9FAFBFCFD");
    let cipher = Cipher::new(Suite::AesCm128HmacSha1_80, Kind::Rtp, &keys);
    // As long as a datagram can be: the RFC's own sample goes on to block 0xFF01.
    let mut stream = vec![0; 0xFFF0];
    cipher.seal(&mut stream, &Place { ssrc: 0, index: 0, clear: 0, word: [0; 4] }).unwrap();

    assert_eq!(stream[..16], hex("E03EAD0935C95E80E166B16DD92B4EB4"));
    assert_eq!(stream[16..32], hex("D23513162B02D0F72A43A2FE4A5F97AB"));
    assert_eq!(stream[32..48], hex("41E95B3BB0A2E8DD477901E4FCA894C0"));
}

#[test]
fn session_keys_are_those_of_rfc_3711_b_3() {
    let bytes = hex("E1F97A0D3E018BE0D64FA32C06DE4139 0EC675AD498AFEEBB6960B3AABE6");
    let master = MasterKey::new(Suite::AesCm128HmacSha1_80, &bytes).unwrap();
    let keys = SessionKeys::of(&master, Kind::Rtp);

    assert_eq!(keys.key[..16], hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(keys.salt[..], hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(keys.auth[..], hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
    let mut long = [0; 32];
    derive(&master, 1, &mut long);
    assert_eq!(long[20..], hex("8F0A0ACF3C34E2359E6CDBCE"));
}

#[test]
fn session_keys_of_256_bits_are_those_of_rfc_6188_7_2() {
    // The RFC's salt has 14 bytes, ours of this suite 12: only the derivation is the same.
    let mut master = master(Suite::AeadAes256Gcm);
    let key = hex("f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6");
    master.key.copy_from_slice(&key);
    master.salt.copy_from_slice(&hex("3b04803de51ee7c96423ab5b78d2"));
    let derived = |label, length| {
        let mut bytes = vec![0; length];
        derive(&master, label, &mut bytes);
        bytes
    };

    let key = hex("5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4");
    assert_eq!(derived(0, 32), key);
    assert_eq!(derived(1, 20), hex("fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"));
    assert_eq!(derived(2, 14), hex("fa31791685ca444a9e07c6c64e93"));
}

const SALT: &str = "517569642070726f2071756f";
const KEY_128: &str = "000102030405060708090a0b0c0d0e0f";
const KEY_256: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Seals, compares, opens again.
fn check(suite: Suite, kind: Kind, key: &str, place: &Place, plain: &str, sealed: &str) {
    let cipher = Cipher::new(suite, kind, &session(key, SALT));
    let mut packet = hex(plain);
    let tag = cipher.seal(&mut packet, place).unwrap();

    assert_eq!([&packet, tag.bytes()].concat(), hex(sealed));
    assert!(cipher.open(&mut packet, place, tag.bytes()));
    assert_eq!(packet, hex(plain));
}

#[test]
fn rtp_under_gcm_is_that_of_rfc_7714_16() {
    let plain = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973
                 20646976 69736120 696e2070 61727465 73207472 6573";
    let place = rtp_place(&Envelope::of(&hex(plain)).unwrap(), 0xf17b);

    check(
        Suite::AeadAes128Gcm,
        Kind::Rtp,
        KEY_128,
        &place,
        plain,
        "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5
         0d294e6f 42a5f47a 51c7d19b 36de3adf 8833 899d7f27 beb16a91 52cf765e e4390cce",
    );
    check(
        Suite::AeadAes256Gcm,
        Kind::Rtp,
        KEY_256,
        &place,
        plain,
        "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238
         9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b 7aa3db36 dfffd6b0 f9bb7878 d7a76c13",
    );
}

#[test]
fn rtcp_under_gcm_is_that_of_rfc_7714_17() {
    let plain = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61
                 deadbeef deadbeef deadbeef deadbeef deadbeef";
    let place = rtcp_place(0x4d61_7273, 0x5d4);
    assert_eq!(place.word, [0x80, 0, 0x05, 0xd4]);

    check(
        Suite::AeadAes128Gcm,
        Kind::Rtcp,
        KEY_128,
        &place,
        plain,
        "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1
         730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade",
    );
    check(
        Suite::AeadAes256Gcm,
        Kind::Rtcp,
        KEY_256,
        &place,
        plain,
        "81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1
         110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c b26ac3be",
    );
}
