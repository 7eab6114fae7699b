//! Session keys of a master key (RFC 3711 §4.3, RFC 6188 §3), derivation rate 0.

use super::{MasterKey, Suite};
use aes::{
    Aes128Enc, Aes256Enc, Block,
    cipher::{BlockCipherEncrypt, KeyInit},
};
use zeroize::Zeroizing;

/// What a session key is for. RTP and RTCP have keys of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Rtp,
    Rtcp,
}

/// Bytes of an HMAC-SHA1 key (§5.2).
const AUTH_BYTES: usize = 20;

/// The keys of one kind and direction.
pub(super) struct SessionKeys {
    /// As long as the suite says; zeros after.
    pub(super) key: Zeroizing<[u8; super::KEY_MAX]>,
    pub(super) auth: Zeroizing<[u8; AUTH_BYTES]>,
    pub(super) salt: Zeroizing<[u8; super::SALT_MAX]>,
}

impl SessionKeys {
    pub(super) fn of(master: &MasterKey, kind: Kind) -> Self {
        // §4.3.1, §4.3.2: labels 0 to 2 for RTP, 3 to 5 for RTCP.
        let first = match kind {
            Kind::Rtp => 0,
            Kind::Rtcp => 3,
        };
        let mut keys = Self {
            key: Zeroizing::new([0; super::KEY_MAX]),
            auth: Zeroizing::new([0; AUTH_BYTES]),
            salt: Zeroizing::new([0; super::SALT_MAX]),
        };
        let (key, _) = keys.key.split_at_mut(master.suite.key_bytes());
        derive(master, first, key);
        derive(master, first + 1, &mut *keys.auth);
        let (salt, _) = keys.salt.split_at_mut(master.suite.salt_bytes());
        derive(master, first + 2, salt);
        keys
    }
}

/// AES in counter mode over `(label ∥ r) XOR salt`, shifted by 16 bits (§4.3.3).
pub(super) fn derive(master: &MasterKey, label: u8, into: &mut [u8]) {
    let (short, _) = master.key.split_at(16);
    let mut counter = Block::default();
    for (at, byte) in master.salt.iter().enumerate() {
        counter[at] = if at == 7 { byte ^ label } else { *byte };
    }
    match master.suite {
        Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 | Suite::AeadAes128Gcm => {
            let mut key = aes::cipher::Key::<Aes128Enc>::default();
            key.copy_from_slice(short);
            stream(&Aes128Enc::new(&key), counter, into);
        }
        Suite::AeadAes256Gcm => {
            stream(&Aes256Enc::new(&master.key.into()), counter, into);
        }
    }
}

fn stream(
    aes: &impl BlockCipherEncrypt<BlockSize = aes::cipher::consts::U16>,
    counter: Block,
    into: &mut [u8],
) {
    for (number, piece) in (0_u16..).zip(into.chunks_mut(16)) {
        let mut block = counter;
        let [high, low] = number.to_be_bytes();
        (block[14], block[15]) = (high, low);
        aes.encrypt_block(&mut block);
        for (byte, random) in piece.iter_mut().zip(&block) {
            *byte = *random;
        }
    }
}
