//! The transforms: AES in counter mode with HMAC-SHA1 (RFC 3711 §4), AES-GCM (RFC 7714 §8, §9).

use super::{
    Suite,
    derive::{Kind, SessionKeys},
    envelope::RTCP_CLEAR,
};
use aes::{
    Aes128Enc, Aes256Enc,
    cipher::{InnerIvInit, KeyInit, StreamCipherCore, consts::U12},
};
use aes_gcm::{AeadInOut, AesGcm};
use ctr::{CtrCore, flavors::Ctr32BE};
use hmac::{Hmac, Mac};
use sha1::Sha1;
use zeroize::Zeroizing;

/// Longest tag, bytes.
const TAG_MAX: usize = 16;

/// One session key of one kind, ready to use.
pub(super) struct Cipher {
    core: Core,
    kind: Kind,
    tag_bytes: usize,
    /// As long as the suite says; zeros after.
    salt: Zeroizing<[u8; super::SALT_MAX]>,
}

/// A packet as the transforms see it.
pub(super) struct Place {
    pub(super) ssrc: u32,
    /// Of 48 bits for RTP, of 31 for RTCP.
    pub(super) index: u64,
    /// Bytes that stay open.
    pub(super) clear: usize,
    /// RTP: the rollovers. RTCP: the E bit and the index.
    pub(super) word: [u8; 4],
}

/// The bytes that prove a packet.
pub(super) struct Tag {
    bytes: [u8; TAG_MAX],
    length: usize,
}

impl Tag {
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

#[expect(clippy::large_enum_variant, reason = "a context is boxed whole, once for a leg")]
enum Core {
    Counter { aes: Aes128Enc, mac: Hmac<Sha1> },
    Gcm128(AesGcm<Aes128Enc, U12>),
    Gcm256(AesGcm<Aes256Enc, U12>),
}

impl Cipher {
    pub(super) fn new(suite: Suite, kind: Kind, keys: &SessionKeys) -> Self {
        let mut short = Zeroizing::new([0; 16]);
        short.copy_from_slice(keys.key.split_at(16).0);
        let core = match suite {
            Suite::AesCm128HmacSha1_80 | Suite::AesCm128HmacSha1_32 => {
                Core::Counter { aes: Aes128Enc::new(&(*short).into()), mac: keyed(&*keys.auth) }
            }
            Suite::AeadAes128Gcm => Core::Gcm128(AesGcm::new(&(*short).into())),
            Suite::AeadAes256Gcm => Core::Gcm256(AesGcm::new(&(*keys.key).into())),
        };
        let tag_bytes = match (suite, kind) {
            (Suite::AesCm128HmacSha1_32, Kind::Rtp) => 4,
            (Suite::AesCm128HmacSha1_32, Kind::Rtcp) | (Suite::AesCm128HmacSha1_80, _) => 10,
            (Suite::AeadAes128Gcm | Suite::AeadAes256Gcm, _) => 16,
        };
        Self { core, kind, tag_bytes, salt: keys.salt.clone() }
    }

    pub(super) const fn tag_bytes(&self) -> usize {
        self.tag_bytes
    }

    /// Whether the tag stands before the index of SRTCP (RFC 7714 §9) or after it (RFC 3711 §3.4).
    pub(super) const fn tag_before_index(&self) -> bool {
        match self.core {
            Core::Counter { .. } => false,
            Core::Gcm128(_) | Core::Gcm256(_) => true,
        }
    }

    /// Encrypts what lies behind the clear part and gives the tag; none for a packet no cipher takes.
    pub(super) fn seal(&self, packet: &mut [u8], place: &Place) -> Option<Tag> {
        let mut bytes = [0; TAG_MAX];
        match &self.core {
            Core::Counter { aes, mac } => {
                self.run(aes, packet, place)?;
                let full = self.mac(mac, packet, place).finalize().into_bytes();
                for (byte, proof) in bytes.iter_mut().zip(full.iter().take(self.tag_bytes)) {
                    *byte = *proof;
                }
            }
            Core::Gcm128(aead) => bytes = self.seal_gcm(aead, packet, place)?,
            Core::Gcm256(aead) => bytes = self.seal_gcm(aead, packet, place)?,
        }
        Some(Tag { bytes, length: self.tag_bytes })
    }

    /// Decrypts what lies behind the clear part if the tag is right; otherwise nothing changes. Tags
    /// are compared in constant time.
    pub(super) fn open(&self, packet: &mut [u8], place: &Place, tag: &[u8]) -> bool {
        match &self.core {
            Core::Counter { aes, mac } => {
                tag.len() == self.tag_bytes
                    && self.mac(mac, packet, place).verify_truncated_left(tag).is_ok()
                    && self.run(aes, packet, place).is_some()
            }
            Core::Gcm128(aead) => self.open_gcm(aead, packet, place, tag).is_some(),
            Core::Gcm256(aead) => self.open_gcm(aead, packet, place, tag).is_some(),
        }
    }

    /// RFC 3711 §4.1.1. No packet has 2^16 blocks, so the counter never reaches the packet's number.
    fn run(&self, aes: &Aes128Enc, packet: &mut [u8], place: &Place) -> Option<()> {
        let [.., n0, n1, n2, n3, n4, n5] = place.index.to_be_bytes();
        let [s0, s1, s2, s3] = place.ssrc.to_be_bytes();
        let number = [0, 0, 0, 0, s0, s1, s2, s3, n0, n1, n2, n3, n4, n5];
        let mut iv = aes::Block::default();
        for (at, (salt, number)) in self.salt.iter().zip(number).enumerate() {
            iv[at] = salt ^ number;
        }
        let body = packet.get_mut(place.clear..)?;
        if body.len() > usize::from(u16::MAX) {
            return None;
        }
        CtrCore::<&Aes128Enc, Ctr32BE>::inner_iv_init(aes, &iv)
            .apply_keystream_partial(body.into());
        Some(())
    }

    /// RFC 3711 §4.2: the packet, then the rollovers or the index.
    fn mac(&self, mac: &Hmac<Sha1>, packet: &[u8], place: &Place) -> Hmac<Sha1> {
        let mut mac = mac.clone();
        mac.update(packet);
        mac.update(&place.word);
        mac
    }

    fn seal_gcm<A: AeadInOut<NonceSize = U12, TagSize = aes::cipher::consts::U16>>(
        &self,
        aead: &A,
        packet: &mut [u8],
        place: &Place,
    ) -> Option<[u8; TAG_MAX]> {
        let nonce = self.nonce(place).into();
        let (clear, body) = packet.split_at_mut_checked(place.clear)?;
        let sealed = match self.kind {
            Kind::Rtp => aead.encrypt_inout_detached(&nonce, clear, body.into()),
            Kind::Rtcp => {
                aead.encrypt_inout_detached(&nonce, &with_word(clear, place)?, body.into())
            }
        };
        sealed.ok().map(Into::into)
    }

    fn open_gcm<A: AeadInOut<NonceSize = U12, TagSize = aes::cipher::consts::U16>>(
        &self,
        aead: &A,
        packet: &mut [u8],
        place: &Place,
        tag: &[u8],
    ) -> Option<()> {
        let nonce = self.nonce(place).into();
        let tag = <[u8; TAG_MAX]>::try_from(tag).ok()?.into();
        let (clear, body) = packet.split_at_mut_checked(place.clear)?;
        let opened = match self.kind {
            Kind::Rtp => aead.decrypt_inout_detached(&nonce, clear, body.into(), &tag),
            Kind::Rtcp => {
                aead.decrypt_inout_detached(&nonce, &with_word(clear, place)?, body.into(), &tag)
            }
        };
        opened.ok()
    }

    /// RFC 7714 §8.1, §9.1: both are the source and an index of 48 bits, salted.
    fn nonce(&self, place: &Place) -> [u8; 12] {
        let [.., n0, n1, n2, n3, n4, n5] = place.index.to_be_bytes();
        let [s0, s1, s2, s3] = place.ssrc.to_be_bytes();
        let mut nonce = [0, 0, s0, s1, s2, s3, n0, n1, n2, n3, n4, n5];
        for (byte, salt) in nonce.iter_mut().zip(self.salt.iter()) {
            *byte ^= salt;
        }
        nonce
    }
}

/// RFC 2104 §2: a key shorter than a block is followed by zeros.
fn keyed(key: &[u8]) -> Hmac<Sha1> {
    let mut block = Zeroizing::new([0; 64]);
    for (at, byte) in block.iter_mut().zip(key) {
        *at = *byte;
    }
    <Hmac<Sha1> as KeyInit>::new(&(*block).into())
}

/// RFC 7714 §9.2: the open part and the index are authenticated together.
fn with_word(clear: &[u8], place: &Place) -> Option<[u8; RTCP_CLEAR + 4]> {
    let [h0, h1, h2, h3, h4, h5, h6, h7] = *clear else { return None };
    let [w0, w1, w2, w3] = place.word;
    Some([h0, h1, h2, h3, h4, h5, h6, h7, w0, w1, w2, w3])
}
