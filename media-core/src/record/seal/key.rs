//! The master key, and the name by which a file says which one it needs.

use sha2::{Digest, Sha256};
use std::fmt;

/// 256 random bits. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

/// Tells master keys apart; of a random key it tells nothing else.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

/// The text is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not 64 hexadecimal digits, as `openssl rand -hex 32` gives them")]
pub struct NotAKey;

impl SealKey {
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub fn from_hex(text: &str) -> Result<Self, NotAKey> {
        let mut key = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != key.len() || !rest.is_empty() {
            return Err(NotAKey);
        }
        for (byte, &[high, low]) in key.iter_mut().zip(pairs) {
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Ok(Self(key))
    }

    pub fn id(&self) -> KeyId {
        let hash =
            Sha256::new().chain_update(b"clavija seal key\0").chain_update(self.0).finalize();
        let mut id = [0; 8];
        id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        KeyId(id)
    }

    pub(super) fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

fn digit(of: u8) -> Result<u8, NotAKey> {
    let value = char::from(of).to_digit(16).ok_or(NotAKey)?;
    u8::try_from(value).map_err(|_| NotAKey)
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.id())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
