//! Questions to trunks whether they are there, and who waits for what becomes of them.

use super::RequestError;
use control_plane::exchange::Exchange;
use sip_stack::{Flow, ProbeId, Probed, TrunkId};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// Questions at once: one takes up to 32 s over UDP, and nobody needs more answers than that.
const PROBES_MAX: usize = 64;

/// What became of a question to a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tested {
    /// Where it was sent.
    pub to: Flow,
    pub outcome: Probed,
    /// From the question to the answer, or to when it was given up.
    pub after: Duration,
}

/// Who asked; nothing comes when nothing comes back in time.
pub(super) type Answer = oneshot::Sender<Result<(Flow, oneshot::Receiver<Tested>), RequestError>>;

struct Asked {
    to: Flow,
    at: Instant,
    answer: oneshot::Sender<Tested>,
}

/// All that have no answer yet.
#[derive(Default)]
pub(super) struct Probes {
    asked: BTreeMap<ProbeId, Asked>,
}

impl Probes {
    /// Where the question goes, and where its answer will come.
    pub(super) fn ask(
        &mut self,
        trunk: TrunkId,
        exchange: &mut Exchange,
        now: Instant,
    ) -> Result<(Flow, oneshot::Receiver<Tested>), RequestError> {
        if self.asked.len() >= PROBES_MAX {
            return Err(RequestError::Busy);
        }
        let known = exchange.plan().trunks.get(usize::from(trunk.0));
        let to = known.and_then(control_plane::config::Trunk::flow);
        let probe = to.and_then(|to| Some((exchange.probe(trunk, now)?, to)));
        let (probe, to) = probe.ok_or(RequestError::NoAddress)?;
        let (answer, answered) = oneshot::channel();
        self.asked.insert(probe, Asked { to, at: now, answer });
        Ok((to, answered))
    }

    /// Tells who asked what has become of it.
    pub(super) fn answer(&mut self, exchange: &mut Exchange, now: Instant) {
        while let Some((probe, outcome)) = exchange.poll_probed() {
            let Some(Asked { to, at, answer }) = self.asked.remove(&probe) else { continue };
            // Whoever asked may have gone.
            let _gone = answer.send(Tested { to, outcome, after: now.duration_since(at) });
        }
    }
}
