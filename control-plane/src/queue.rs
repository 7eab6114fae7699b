//! Who waits for a team, in order of arrival. An offer that comes to nothing does not cost the
//! caller their place: the order is that of arrival, not of insertion.

use crate::{ids::CallId, time::Stamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The callers waiting for one team.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Queue {
    waiting: BTreeSet<(Stamp, CallId)>,
}

impl Queue {
    pub fn insert(&mut self, arrived: Stamp, call: CallId) {
        self.waiting.insert((arrived, call));
    }

    pub fn remove(&mut self, arrived: Stamp, call: CallId) {
        self.waiting.remove(&(arrived, call));
    }

    /// Who is served next.
    pub fn head(&self) -> Option<(Stamp, CallId)> {
        self.waiting.first().copied()
    }

    /// Everybody, in their order.
    pub fn calls(&self) -> Vec<CallId> {
        self.waiting.iter().map(|(_, call)| *call).collect()
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_back_from_an_offer_is_still_before_who_came_later() {
        let mut queue = Queue::default();
        queue.insert(Stamp(1), CallId(7));
        queue.insert(Stamp(2), CallId(8));

        queue.remove(Stamp(1), CallId(7));
        queue.insert(Stamp(1), CallId(7));

        assert_eq!(queue.head(), Some((Stamp(1), CallId(7))));
    }
}
