//! SRTP and SRTCP (RFC 3711, RFC 7714) in place: master keys in, packets protected and opened where they lie.
//!
//! Where the keys come from (SDES, DTLS) is not known here. Nothing allocates once a context is made.

mod cipher;
mod context;
mod derive;
mod envelope;
mod receiver;
mod sender;
mod sources;
mod window;

pub use context::Context;
pub use receiver::Receiver;
pub use sender::Sender;

use std::fmt;

/// Most bytes that protecting adds to a packet: the tag of GCM and the index of SRTCP.
pub const GROWTH_MAX: usize = 20;

/// Longest master key, bytes.
const KEY_MAX: usize = 32;
/// Longest master salt, bytes (RFC 3711 §8.2).
const SALT_MAX: usize = 14;

/// How packets are encrypted and authenticated; the names are those of RFC 4568 §6.2 and RFC 7714 §14.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    AesCm128HmacSha1_80,
    /// Its SRTCP has tags of 80 bits all the same (RFC 4568 §6.2.2).
    AesCm128HmacSha1_32,
    AeadAes128Gcm,
    AeadAes256Gcm,
}

impl Suite {
    pub const ALL: [Self; 4] = [
        Self::AesCm128HmacSha1_80,
        Self::AesCm128HmacSha1_32,
        Self::AeadAes128Gcm,
        Self::AeadAes256Gcm,
    ];

    /// Bytes of a master key, and of a session's.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of a master salt, and of a session's.
    pub const fn salt_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 14,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
        }
    }
}

/// The master key and salt of one direction, never printed. It crosses a ring by value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct MasterKey {
    suite: Suite,
    key: [u8; KEY_MAX],
    salt: [u8; SALT_MAX],
}

/// A key or salt that is not of its suite's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given} bytes of key and salt, {wanted} wanted")]
pub struct WrongLength {
    pub given: usize,
    pub wanted: usize,
}

impl MasterKey {
    /// The key followed by its salt, as SDES writes them (RFC 4568 §6.1).
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Result<Self, WrongLength> {
        let (given, wanted) = (key_and_salt.len(), suite.key_bytes() + suite.salt_bytes());
        match key_and_salt.split_at_checked(suite.key_bytes()) {
            Some((key, salt)) if given == wanted => Ok(Self {
                suite,
                key: std::array::from_fn(|at| key.get(at).copied().unwrap_or(0)),
                // RFC 7714 §11: a shorter salt is followed by zeros.
                salt: std::array::from_fn(|at| salt.get(at).copied().unwrap_or(0)),
            }),
            Some(_) | None => Err(WrongLength { given, wanted }),
        }
    }

    pub const fn suite(&self) -> Suite {
        self.suite
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({:?})", self.suite)
    }
}

/// The master keys of both directions of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Ours.
    pub send: MasterKey,
    /// The far side's.
    pub receive: MasterKey,
}

/// Why a packet is not protected or not opened. Nothing has changed then, neither packet nor context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("shorter than its header, index and tag, or not version 2")]
    Short,
    #[error("the tag does not fit the packet and the key")]
    Tag,
    #[error("this packet was here before")]
    Replayed,
    #[error("too old to tell whether it was here before")]
    Late,
    /// RFC 3711 §3.4: the E bit is not set.
    #[error("an SRTCP packet that is not encrypted")]
    Unencrypted,
    /// More streams than one key ever needs, or one that was left long ago.
    #[error("too many sources under one key")]
    Sources,
    /// 2^48 RTP or 2^31 RTCP packets: the key must not be used again (RFC 3711 §9.2).
    #[error("the key has served as many packets as it may")]
    Exhausted,
    /// To send a number twice would give the key stream away.
    #[error("a number that was sent before, or another source")]
    Sent,
    #[error("no room behind the packet")]
    Room,
}

#[cfg(test)]
mod tests;
