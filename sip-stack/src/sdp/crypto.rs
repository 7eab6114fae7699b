//! `a=crypto` lines (RFC 4568): keys for SRTP in a session description, read, written and chosen.

mod base64;

use crate::wire::{number, trim};
use std::{fmt, str};

/// Most lines of one stream that are looked at.
pub const LINES_MAX: usize = 16;
/// Longest key and salt together, bytes.
pub(super) const KEY_MAX: usize = 32 + 12;
/// RFC 3711 §9.2: a key serves at most 2^48 packets.
const LIFETIME_BITS_MAX: u8 = 48;

/// A session description without its keys, to be written down.
pub(crate) fn without_keys(session: &[u8]) -> Vec<u8> {
    let lines = session.split_inclusive(|byte| *byte == b'\n');
    lines.filter(|line| !line.starts_with(b"a=crypto")).flatten().copied().collect()
}

/// The crypto suites we know (RFC 4568 §6.2, RFC 7714 §14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    AesCm128HmacSha1_80,
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

    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// Bytes of a master key and its salt together.
    pub const fn key_bytes(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 => 16 + 14,
            Self::AeadAes128Gcm => 16 + 12,
            Self::AeadAes256Gcm => 32 + 12,
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name().eq_ignore_ascii_case(name))
    }
}

/// A master key and its salt, which no log can print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key {
    suite: Suite,
    bytes: [u8; KEY_MAX],
}

impl Key {
    /// `None`: not as long as the suite wants.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Option<Self> {
        let mut bytes = [0; KEY_MAX];
        if key_and_salt.len() != suite.key_bytes() {
            return None;
        }
        bytes.get_mut(..suite.key_bytes())?.copy_from_slice(key_and_salt);
        Some(Self { suite, bytes })
    }

    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// The key followed by its salt.
    pub fn reveal(&self) -> &[u8] {
        self.bytes.get(..self.suite.key_bytes()).unwrap_or_default()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ***", self.suite.name())
    }
}

/// One line that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crypto {
    /// Up to nine digits; an answer repeats that of the line it takes (§5.1.2).
    pub tag: u32,
    pub key: Key,
}

/// Why a line cannot be used. None says anything of the key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unusable {
    #[error("there is no a=crypto line")]
    Missing,
    #[error("a=crypto is not tag, suite and key")]
    Syntax,
    /// Or one that is not allowed here.
    #[error("unknown crypto suite")]
    Suite,
    #[error("the key is not given inline")]
    Method,
    #[error("the key is not base64")]
    Base64,
    #[error("key and salt of {given} bytes, {} has {}", suite.name(), suite.key_bytes())]
    KeyLength { suite: Suite, given: usize },
    #[error("more than one key")]
    SeveralKeys,
    #[error("a master key identifier (MKI)")]
    Mki,
    #[error("a key lifetime of 0 or of more than 2^48 packets")]
    Lifetime,
    #[error("a key derivation rate (KDR)")]
    Kdr,
    #[error("UNENCRYPTED_SRTP")]
    UnencryptedSrtp,
    #[error("UNENCRYPTED_SRTCP")]
    UnencryptedSrtcp,
    #[error("UNAUTHENTICATED_SRTP")]
    UnauthenticatedSrtp,
    #[error("FEC_ORDER or FEC_KEY")]
    Fec,
    #[error("an unknown session parameter")]
    Parameter,
}

/// Reads what stands behind `a=crypto:`.
pub fn parse(value: &[u8]) -> Result<Crypto, Unusable> {
    let text = str::from_utf8(trim(value)).map_err(|_| Unusable::Syntax)?;
    let mut words = text.split([' ', '\t']).filter(|word| !word.is_empty());
    let (Some(tag), Some(suite), Some(keys)) = (words.next(), words.next(), words.next()) else {
        return Err(Unusable::Syntax);
    };
    let digits = tag.len() <= 9 && tag.bytes().all(|byte| byte.is_ascii_digit());
    let tag = number(tag.as_bytes()).filter(|_| digits).ok_or(Unusable::Syntax)?;
    let suite = Suite::from_name(suite).ok_or(Unusable::Suite)?;
    let key = read_key(suite, keys)?;
    words.try_for_each(check_parameter)?;
    Ok(Crypto { tag, key })
}

/// The first line we can use and allow, in the order of whoever offers them (§5.1.2). If there is
/// none: why not the first whose suite would do.
pub fn choose(lines: &[Result<Crypto, Unusable>], allowed: &[Suite]) -> Result<Crypto, Unusable> {
    let mut why = if lines.is_empty() { Unusable::Missing } else { Unusable::Suite };
    for line in lines {
        match line {
            Ok(crypto) if allowed.contains(&crypto.key.suite) => return Ok(*crypto),
            Err(reason) if why == Unusable::Suite => why = *reason,
            Ok(_) | Err(_) => {}
        }
    }
    Err(why)
}

/// Which of our lines an answer takes, and the peer's own key (§5.1.3): one line, with the tag and
/// suite of one of ours.
pub fn taken(
    offered: &[Crypto],
    answer: &[Result<Crypto, Unusable>],
) -> Result<(Crypto, Crypto), Unusable> {
    let theirs = choose(answer, &Suite::ALL)?;
    let ours =
        offered.iter().find(|ours| ours.tag == theirs.tag && ours.key.suite == theirs.key.suite);
    ours.map(|ours| (*ours, theirs)).ok_or(Unusable::Suite)
}

/// The attribute as it stands in a description, without its end of line. The one place where a key
/// is written.
impl fmt::Display for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base64::encode(self.key.reveal());
        write!(f, "a=crypto:{} {} inline:{key}", self.tag, self.key.suite.name())
    }
}

/// `inline:key||salt[|lifetime][|MKI:length]` (§6.1); several would be told apart by their MKI.
fn read_key(suite: Suite, keys: &str) -> Result<Key, Unusable> {
    if keys.contains(';') {
        return Err(Unusable::SeveralKeys);
    }
    let (method, info) = keys.split_once(':').ok_or(Unusable::Syntax)?;
    if !method.eq_ignore_ascii_case("inline") {
        return Err(Unusable::Method);
    }
    let mut parts = info.split('|');
    let bytes = base64::decode(parts.next().unwrap_or_default()).ok_or(Unusable::Base64)?;
    for (place, part) in (0..).zip(parts) {
        if part.contains(':') {
            return Err(Unusable::Mki);
        }
        if place > 0 {
            return Err(Unusable::Syntax);
        }
        check_lifetime(part)?;
    }
    Key::new(suite, &bytes).ok_or(Unusable::KeyLength { suite, given: bytes.len() })
}

/// `2^20`, or a number of packets. Whoever wrote it is the only one who sends with this key, so it
/// is theirs to renew it in time.
fn check_lifetime(text: &str) -> Result<(), Unusable> {
    let fits = match text.strip_prefix("2^") {
        Some(bits) => number::<u8>(bits.as_bytes()).ok_or(Unusable::Syntax)? <= LIFETIME_BITS_MAX,
        None => {
            let packets = number::<u64>(text.as_bytes()).ok_or(Unusable::Syntax)?;
            (1..=1 << LIFETIME_BITS_MAX).contains(&packets)
        }
    };
    fits.then_some(()).ok_or(Unusable::Lifetime)
}

/// §6.3: what changes the packets is refused by name, what is only said is taken.
fn check_parameter(word: &str) -> Result<(), Unusable> {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    match name.to_ascii_uppercase().as_str() {
        "KDR" if value == "0" => Ok(()),
        "KDR" => Err(Unusable::Kdr),
        "UNENCRYPTED_SRTP" => Err(Unusable::UnencryptedSrtp),
        "UNENCRYPTED_SRTCP" => Err(Unusable::UnencryptedSrtcp),
        "UNAUTHENTICATED_SRTP" => Err(Unusable::UnauthenticatedSrtp),
        "FEC_ORDER" | "FEC_KEY" => Err(Unusable::Fec),
        // A hint at the receiver's window (§6.3.5); ours is wider than what is asked for anywhere.
        "WSH" => Ok(()),
        // §6.3.7: a stranger may be passed over only where it says so itself.
        _ if name.starts_with('-') => Ok(()),
        _ => Err(Unusable::Parameter),
    }
}

#[cfg(test)]
mod tests;
