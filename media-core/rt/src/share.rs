//! How much of what came one wake takes: a datagram of every socket that has one, and a bounded number beyond.

use media_core::engine::Behind;

use crate::sys::BATCH;

/// What one wake may still take beyond a datagram of each socket, so that floods at many ports at once make nobody's
/// frame late.
pub(crate) struct Share {
    spare: usize,
}

impl Share {
    pub(crate) const fn new() -> Self {
        Self { spare: BEYOND_MAX }
    }

    /// For how many datagrams to ask a socket that is worth this many.
    pub(crate) fn first(&self, worth: usize) -> usize {
        worth.min(1 + self.spare)
    }

    /// After `count` came of the `asked`: what to do about what may still be there. `worth` is what [`first`](Self::first)
    /// was told, `behind` what the last one told.
    pub(crate) fn then(
        &mut self,
        worth: usize,
        asked: usize,
        count: usize,
        behind: Behind,
    ) -> Then {
        self.spare -= count.saturating_sub(1).min(self.spare);
        if count < asked || worth == 1 && behind != Behind::Perhaps {
            return Then::Done;
        }
        match (BATCH - count.min(BATCH)).min(self.spare) {
            0 => Then::Leave,
            more => Then::More(more),
        }
    }

    /// After `count` more of the `asked` came.
    pub(crate) fn at_last(&mut self, asked: usize, count: usize) -> Then {
        self.spare -= count.min(self.spare);
        if count < asked { Then::Done } else { Then::Leave }
    }
}

/// What a socket may still have.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing, or nobody knows of anything.
    Done,
    /// Something worth asking for at once: so many.
    More(usize),
    /// Something for the next look.
    Leave,
}

/// Refused by the engine they cost about 0.3 us each to read and to refuse (measured): a tenth of a tick.
const BEYOND_MAX: usize = 4 * BATCH;

#[cfg(test)]
mod tests {
    use super::{Behind::*, Then::*, *};

    #[test]
    fn an_even_voice_is_asked_for_one_and_who_may_have_more_for_a_batch_together() {
        let mut share = Share::new();

        assert_eq!(share.first(1), 1);
        assert_eq!(share.then(1, 1, 0, Nothing), Done, "there was none");
        assert_eq!(share.then(1, 1, 1, Nothing), Done);
        assert_eq!(share.then(1, 1, 1, Unheard), Done);
        assert_eq!(share.then(1, 1, 1, Perhaps), More(BATCH - 1));
        assert_eq!(share.at_last(BATCH - 1, 5), Done, "it is empty");
        assert_eq!(share.at_last(BATCH - 1, BATCH - 1), Leave);
    }

    #[test]
    fn a_full_batch_is_left_for_the_next_look_whatever_its_last_datagram_tells() {
        let mut share = Share::new();

        assert_eq!(share.first(BATCH), BATCH);
        assert_eq!(share.then(BATCH, BATCH, BATCH, Nothing), Leave);
        assert_eq!(share.then(BATCH, BATCH, BATCH - 1, Perhaps), Done);
    }

    #[test]
    fn floods_at_many_ports_get_four_batches_a_wake_and_a_voice_beside_them_its_datagram() {
        let mut share = Share::new();
        let mut taken = 0;
        for _ in 0..50 {
            let asked = share.first(BATCH);
            taken += asked;
            assert_eq!(share.then(BATCH, asked, asked, Perhaps), Leave);
        }

        assert_eq!(taken, 4 * BATCH + 50, "one of each beyond the batches");
        assert_eq!(share.first(1), 1);
        assert_eq!(share.then(1, 1, 1, Nothing), Done);
        assert_eq!(share.then(1, 1, 1, Perhaps), Leave, "at the next look");
    }
}
