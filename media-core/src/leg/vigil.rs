//! Watches a far side: one that fell silent, never spoke, or is not heard while the other is.

use std::time::{Duration, Instant};

/// When what came of one far side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Vigil {
    connected: Option<Instant>,
    /// Anything at all, reports included.
    last: Option<Instant>,
    silent: bool,
    /// Audio, keys or comfort noise.
    spoke: Option<Instant>,
    /// Its last word was comfort noise (RFC 3389): it says when it says nothing.
    comforted: bool,
    /// The far side asked to be sent nothing: it holds, and may send nothing itself.
    holds: bool,
    /// It was agreed that the far side sends nothing (`a=recvonly`, `a=inactive`).
    listens_only: bool,
    bridged: Option<Instant>,
    one_way: bool,
}

/// What changed in whether anything comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Silent,
    Heard(Instant),
}

/// What changed in whether it is heard while the other side is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    One { since: Instant },
    Both,
}

impl Vigil {
    pub(crate) fn connected(&mut self, sends: bool, receives: bool, now: Instant) {
        self.connected.get_or_insert(now);
        if (self.holds || self.listens_only) && sends && receives {
            // It was allowed to be silent: it is waited for anew.
            self.bridged = self.bridged.map(|_| now);
        }
        (self.holds, self.listens_only) = (!sends, !receives);
    }

    /// Two hear each other from now on, or no more.
    pub(crate) const fn bridged(&mut self, since: Option<Instant>) {
        self.bridged = since;
        self.one_way = false;
    }

    pub(crate) const fn sign_of_life(&mut self, now: Instant) {
        self.last = Some(now);
    }

    pub(crate) const fn spoke(&mut self, now: Instant) {
        (self.last, self.spoke) = (Some(now), Some(now));
        self.comforted = false;
    }

    pub(crate) const fn comforted(&mut self, now: Instant) {
        self.spoke(now);
        self.comforted = true;
    }

    /// Whether a silence has begun or ended since the last call.
    pub(crate) fn poll(&mut self, silent_after: Duration, now: Instant) -> Option<Change> {
        let (last, patience) = match self.last {
            Some(last) => (last, silent_after),
            None => (self.connected?, silent_after * NEVER_SPOKE),
        };
        let silent = now.saturating_duration_since(last) >= patience;
        if silent == self.silent {
            return None;
        }
        self.silent = silent;
        Some(if silent { Change::Silent } else { Change::Heard(last) })
    }

    /// Whether one-way audio has begun or ended since the last call. `other`: the other side's
    /// vigil.
    pub(crate) fn poll_way(&mut self, other: &Self, now: Instant) -> Option<Way> {
        let bridged = self.bridged?;
        let since = self.spoke.map_or(bridged, |spoke| spoke.max(bridged));
        let missed = now.saturating_duration_since(since) >= MISSED_AFTER && !self.excused();
        if self.one_way {
            self.one_way = missed;
            return (!missed).then_some(Way::Both);
        }
        let other_is_heard = other.spoke.is_some_and(|spoke| {
            spoke > since && now.saturating_duration_since(spoke) < HEARD_WITHIN
        });
        self.one_way = missed && other_is_heard && !other.holds;
        self.one_way.then_some(Way::One { since })
    }

    /// It was agreed, or said, that nothing comes.
    const fn excused(&self) -> bool {
        self.holds || self.listens_only || self.comforted
    }
}

/// How many times longer a far side may take for its first word than between two.
const NEVER_SPOKE: u32 = 3;

/// Who is not heard for so long is missed: said within 3 s.
const MISSED_AFTER: Duration = Duration::from_millis(2_500);

/// Who was heard within that long is being heard.
const HEARD_WITHIN: Duration = Duration::from_millis(500);
