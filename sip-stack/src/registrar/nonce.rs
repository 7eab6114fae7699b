//! Nonces without memory: a time and a keyed hash, so that a stranger's REGISTER costs no state.

use crate::dice::hex;
use sha2::{Digest, Sha256};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long a phone may answer to a nonce.
const VALID: Duration = Duration::from_secs(300);
/// Hexadecimal digits of the time.
const TIME_DIGITS: usize = 16;

#[derive(Debug)]
pub(super) struct Nonces {
    key: [u8; 32],
    epoch: Option<Instant>,
}

/// What a nonce is that somebody answered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonce {
    Fresh,
    /// Ours no longer, or never: of another address, or from before a restart.
    Stale,
}

impl Nonces {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, epoch: None }
    }

    /// Bound to the address, so that an overheard answer is of no use elsewhere.
    pub(super) fn issue(&mut self, to: IpAddr, now: Instant) -> String {
        let seconds = self.seconds(now);
        self.nonce(seconds, to)
    }

    pub(super) fn check(&mut self, nonce: &str, from: IpAddr, now: Instant) -> Nonce {
        let time = nonce.get(..TIME_DIGITS).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let Some(issued) = time.filter(|&issued| self.nonce(issued, from) == nonce) else {
            return Nonce::Stale;
        };
        let age = self.seconds(now).checked_sub(issued);
        match age {
            Some(age) if age <= VALID.as_secs() => Nonce::Fresh,
            Some(_) | None => Nonce::Stale,
        }
    }

    fn seconds(&mut self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_insert(now);
        now.saturating_duration_since(epoch).as_secs()
    }

    fn nonce(&self, seconds: u64, address: IpAddr) -> String {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(seconds.to_be_bytes());
        hash.update(address.to_canonical().to_string());
        // Half of the hash: what is not shown cannot be extended.
        let shown: Vec<u8> = hash.finalize().iter().copied().take(16).collect();
        format!("{seconds:016x}{}", hex(&shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_five_minutes_at_its_own_address() {
        let start = Instant::now();
        let (here, there) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut nonces = Nonces::new([7; 32]);
        let nonce = nonces.issue(here, start);

        assert_eq!(nonces.check(&nonce, here, start + VALID), Nonce::Fresh);
        assert_eq!(nonces.check(&nonce, here, start + VALID * 2), Nonce::Stale);
        assert_eq!(nonces.check(&nonce, there, start), Nonce::Stale);
    }

    #[test]
    fn made_up_nonces_are_not_ours() {
        let now = Instant::now();
        let here = "192.0.2.1".parse().unwrap();
        let mut nonces = Nonces::new([7; 32]);
        let mut foreign = Nonces::new([8; 32]);

        for nonce in ["", "0", "é".repeat(24).as_str(), foreign.issue(here, now).as_str()] {
            assert_eq!(nonces.check(nonce, here, now), Nonce::Stale);
        }
    }
}
