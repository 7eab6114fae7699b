//! Nonces without memory: a time and a keyed hash, so that a stranger's REGISTER costs no state.

use crate::{
    dice::hex,
    digest::{Credentials, Qop},
    ids::UserId,
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// How long a phone may answer to a nonce.
const VALID: Duration = Duration::from_secs(300);
/// Hexadecimal digits of the time, and of the number.
const DIGITS: usize = 16;
/// Used nonces remembered of one user; no honest phone uses so many while they are valid.
const USED_MAX: usize = 256;

/// When it was issued, in seconds, and which it was.
type Name = (u64, u64);

#[derive(Debug)]
pub(super) struct Nonces {
    key: [u8; 32],
    epoch: Option<Instant>,
    issued: u64,
    /// Of who has proved who they are: a stranger adds nothing.
    used: BTreeMap<UserId, Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// The highest count of each.
    counts: BTreeMap<Name, u32>,
    /// Up to here all are used up: what they were is forgotten.
    forgotten: Name,
}

/// What a nonce is that somebody answered to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nonce {
    Fresh(Name),
    /// Ours no longer, or never: of another address, or from before a restart.
    Stale,
}

impl Nonces {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self { key, epoch: None, issued: 0, used: BTreeMap::new() }
    }

    /// Bound to the address, so that an overheard answer is of no use elsewhere. No two are equal:
    /// phones behind one address do not spend each other's.
    pub(super) fn issue(&mut self, to: IpAddr, now: Instant) -> String {
        self.issued += 1;
        let seconds = self.seconds(now);
        self.nonce((seconds, self.issued), to)
    }

    pub(super) fn check(&mut self, nonce: &str, from: IpAddr, now: Instant) -> Nonce {
        let Some(name) = name_of(nonce).filter(|&name| self.nonce(name, from) == nonce) else {
            return Nonce::Stale;
        };
        let age = self.seconds(now).checked_sub(name.0);
        match age {
            Some(age) if age <= VALID.as_secs() => Nonce::Fresh(name),
            Some(_) | None => Nonce::Stale,
        }
    }

    /// Whether this right answer is the first of its count (RFC 7616 §3.4): an overheard one is of
    /// no use at the same address either. Without qop there is no count, and one use.
    pub(super) fn spend(
        &mut self,
        name: Name,
        user: UserId,
        answer: &Credentials,
        now: Instant,
    ) -> bool {
        let seconds = self.seconds(now);
        let count = match &answer.qop {
            Qop::None => u32::MAX,
            Qop::Auth { nc, .. } | Qop::AuthInt { nc, .. } => nc.value,
        };
        let Used { counts, forgotten } = self.used.entry(user).or_default();
        counts.retain(|&(issued, _), _| seconds.saturating_sub(issued) <= VALID.as_secs());
        let last = counts.get(&name).copied();
        if name <= *forgotten || last.unwrap_or(0) >= count {
            return false;
        }
        counts.insert(name, count);
        if counts.len() > USED_MAX {
            *forgotten =
                counts.pop_first().map_or(*forgotten, |(oldest, _)| oldest.max(*forgotten));
        }
        true
    }

    fn seconds(&mut self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_insert(now);
        now.saturating_duration_since(epoch).as_secs()
    }

    fn nonce(&self, (seconds, number): Name, address: IpAddr) -> String {
        let mut hash = Sha256::new();
        hash.update(self.key);
        hash.update(seconds.to_be_bytes());
        hash.update(number.to_be_bytes());
        hash.update(address.to_canonical().to_string());
        // Half of the hash: what is not shown cannot be extended.
        let shown: Vec<u8> = hash.finalize().iter().copied().take(16).collect();
        format!("{seconds:016x}{number:016x}{}", hex(&shown))
    }
}

fn name_of(nonce: &str) -> Option<Name> {
    let number = |at: usize| u64::from_str_radix(nonce.get(at..at + DIGITS)?, 16).ok();
    Some((number(0)?, number(DIGITS)?))
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

        assert!(matches!(nonces.check(&nonce, here, start + VALID), Nonce::Fresh(_)));
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

    fn answer(count: &str) -> Credentials {
        let bare = r#"Digest username="a", realm="r", nonce="n", uri="u", response="f""#;
        Credentials::parse(&format!("{bare}{count}")).unwrap()
    }

    fn counted(count: u32) -> Credentials {
        answer(&format!(", qop=auth, cnonce=x, nc={count:08x}"))
    }

    #[test]
    fn a_count_is_good_once_and_only_upwards() {
        let now = Instant::now();
        let mut nonces = Nonces::new([7; 32]);
        let mut good = |answer: &Credentials| nonces.spend((0, 1), UserId(0), answer, now);

        let counts = [0, 1, 1, 3, 2, 4];
        assert_eq!(
            counts.map(|count| good(&counted(count))),
            [false, true, false, true, false, true]
        );
        assert!(good(&answer("")) && !good(&answer("")) && !good(&counted(9)));
    }

    #[test]
    fn no_two_nonces_are_equal() {
        let now = Instant::now();
        let here = "192.0.2.1".parse().unwrap();
        let mut nonces = Nonces::new([7; 32]);

        assert_ne!(nonces.issue(here, now), nonces.issue(here, now));
    }

    #[test]
    fn what_is_forgotten_is_as_good_as_used() {
        let now = Instant::now();
        let mut nonces = Nonces::new([7; 32]);
        let most = u64::try_from(USED_MAX).unwrap();
        for number in 1..=most + 1 {
            assert!(nonces.spend((0, number), UserId(0), &counted(1), now));
        }

        assert_eq!(nonces.used[&UserId(0)].counts.len(), USED_MAX);
        assert!(!nonces.spend((0, 1), UserId(0), &counted(2), now));
        assert!(nonces.spend((0, 1), UserId(1), &counted(1), now), "each user has their own");
    }
}
