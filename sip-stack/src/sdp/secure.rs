//! Whether a stream is encrypted: by whose wish, in which profile, under which keys (RFC 4568 §5, RFC 3264).

use super::{
    Media,
    answer::NoAnswer,
    crypto::{self, Crypto, Key, Suite},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What an operator wants of a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Srtp {
    /// Never.
    #[default]
    Off,
    /// Where the peer offers it; what we offer is plain.
    Optional,
    /// Always.
    Required,
}

/// Our own keys on one leg, one for each suite; random, and never printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct OwnKeys([[u8; crypto::KEY_MAX]; Suite::ALL.len()]);

impl OwnKeys {
    /// From a generator that nobody can guess.
    pub fn draw(mut fill: impl FnMut(&mut [u8])) -> Self {
        let mut keys = [[0; crypto::KEY_MAX]; Suite::ALL.len()];
        keys.iter_mut().for_each(|key| fill(key));
        Self(keys)
    }

    /// `None` is no suite's.
    fn key(&self, suite: Suite) -> Option<Key> {
        let at = Suite::ALL.iter().position(|known| *known == suite)?;
        Key::new(suite, self.0.get(at)?.get(..suite.key_bytes())?)
    }
}

impl fmt::Debug for OwnKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is wanted of one leg, and with which keys of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Security {
    pub srtp: Srtp,
    pub own: OwnKeys,
    /// What we offer in the middle of a call: the suite it has. None: what we always offer.
    pub only: Option<Suite>,
}

impl Security {
    /// Never encrypted.
    pub const OFF: Self = Self {
        srtp: Srtp::Off,
        own: OwnKeys([[0; crypto::KEY_MAX]; Suite::ALL.len()]),
        only: None,
    };

    /// The lines of our offer, the quicker suite first; none if it is plain.
    pub(super) fn offered(&self) -> Vec<Crypto> {
        let suites = match (self.srtp, &self.only) {
            (Srtp::Off | Srtp::Optional, _) => &[][..],
            (Srtp::Required, Some(only)) => std::slice::from_ref(only),
            (Srtp::Required, None) => &OFFERED[..],
        };
        let line = |(tag, suite): (u32, &Suite)| Some(Crypto { tag, key: self.own.key(*suite)? });
        (1..).zip(suites).filter_map(line).collect()
    }
}

/// What we offer: a suite that is quick, and the one everybody has.
const OFFERED: [Suite; 2] = [Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80];

/// The keys that were agreed. Who answers repeats the tag of the line that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Secured {
    pub ours: Crypto,
    pub theirs: Crypto,
}

/// Who wrote the description that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The peer offers.
    AsOffer,
    /// The peer answers an offer of ours.
    AsAnswer,
}

/// Whether a stream's profile may be, and its keys if it is encrypted.
pub(super) fn agree(
    media: &Media,
    security: &Security,
    written: Written,
) -> Result<Option<Secured>, NoAnswer> {
    let (plain, safe) = match (security.srtp, written) {
        (Srtp::Off, _) | (Srtp::Optional, Written::AsAnswer) => (true, false),
        (Srtp::Optional, Written::AsOffer) => (true, true),
        (Srtp::Required, _) => (false, true),
    };
    match media.protocol.as_str() {
        "RTP/AVP" | "RTP/AVPF" if plain => Ok(None),
        "RTP/SAVP" | "RTP/SAVPF" if safe => {
            let secured = match written {
                Written::AsOffer => take(media, security),
                Written::AsAnswer => crypto::taken(&security.offered(), &media.crypto)
                    .map(|(ours, theirs)| Secured { ours, theirs }),
            };
            secured.map(Some).map_err(|why| NoAnswer::NoKey { why })
        }
        offered => {
            let allowed = match (plain, safe) {
                (true, true) => "RTP/AVP or RTP/SAVP",
                (false, true) => "RTP/SAVP",
                (true | false, false) => "RTP/AVP",
            };
            Err(NoAnswer::Protocol { offered: super::answer::shortened(offered), allowed })
        }
    }
}

fn take(media: &Media, security: &Security) -> Result<Secured, crypto::Unusable> {
    let theirs = crypto::choose(&media.crypto, &Suite::ALL)?;
    let key = security.own.key(theirs.key.suite()).ok_or(crypto::Unusable::Suite)?;
    Ok(Secured { ours: Crypto { tag: theirs.tag, key }, theirs })
}

#[cfg(test)]
mod tests;
