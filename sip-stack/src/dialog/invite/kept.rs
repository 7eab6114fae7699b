//! A leg as it is written down, and as the next process takes it up to end it.

use super::{
    super::{
        Dialog,
        desk::Desk,
        session_timer::Asks,
        setup::{Alerting, Calling, Setup},
        talk::{Stage, Talk},
    },
    Leg, Orphan, Peer, branch, refusal_response,
};
use crate::{
    event::{Cause, HangUp, Refusal},
    guard::bucket::Bucket,
    ids::TrunkId,
    note::{InviteNote, LegNote, MovedNote, SetupNote, StageNote},
    trunk::Trunks,
    txn::timers::GIVE_UP,
};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Seconds of Retry-After in a 503 that another process had given: it is up again.
const RETRY_SECONDS: u32 = 5;

/// Numbers of our requests that are written down at once, ahead of their use: a note of its own for
/// each would be most of the journal.
const SEQUENCES_AT_ONCE: u32 = 32;

impl Leg {
    /// What the next process must know.
    pub(crate) fn note(&self, trunks: &Trunks) -> LegNote {
        let setup = match &self.setup {
            Setup::Calling(calling) => SetupNote::Calling { heard: calling.is_heard() },
            Setup::Alerting(alerting) => SetupNote::Alerting {
                invite: InviteNote::of(&alerting.invite),
                refused: alerting.refused,
            },
            Setup::Done => SetupNote::Done,
        };
        LegNote {
            leg: self.id,
            trunk: self.peer.trunk.and_then(|trunk| trunks.name(trunk)).map(str::to_owned),
            address: self.peer.flow,
            call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
            setup,
            placed: self.placed.as_ref().map(InviteNote::of),
            dialogs: self.talks.iter().filter_map(Talk::note).collect(),
            ended: self.ended,
            sequence_max: self.sequence_max(),
        }
    }

    /// No request of ours will have a higher CSeq until another one is written down.
    fn sequence_max(&self) -> u32 {
        let used = self.talks.iter().map(|talk| talk.dialog.local_sequence()).max();
        let used = used.unwrap_or(0).max(self.sequence_used);
        (used / SEQUENCES_AT_ONCE + 1).saturating_mul(SEQUENCES_AT_ONCE)
    }

    /// Differs when the note does, apart from where the far side is reached and from numbers that
    /// need not be written.
    pub(crate) fn mark(&self) -> u64 {
        let mut mark = DefaultHasher::new();
        let setup = match &self.setup {
            Setup::Calling(calling) => (0_u16, u16::from(calling.is_heard())),
            Setup::Alerting(alerting) => (1, alerting.refused.unwrap_or(0)),
            Setup::Done => (2, 0),
        };
        (setup, self.asks.raises(), self.ended, self.sequence_max()).hash(&mut mark);
        self.talks.iter().for_each(|talk| talk.mark(&mut mark));
        mark.finish()
    }

    /// Where the far side of the one dialog that is up is reached. Any other dialog is being ended,
    /// and its target does not change any more.
    pub(crate) fn moved(&self) -> Option<MovedNote> {
        let up = &self.talks.iter().find(|talk| talk.stage == Stage::Up)?.dialog;
        let (remote_tag, target) = (up.remote_tag().to_owned(), up.target().to_owned());
        Some(MovedNote { leg: self.id, remote_tag, target })
    }

    /// Differs when [`Self::moved`] does.
    pub(crate) fn moved_mark(&self) -> u64 {
        let mut mark = DefaultHasher::new();
        let up = self.talks.iter().find(|talk| talk.stage == Stage::Up);
        up.map(|talk| talk.dialog.target()).hash(&mut mark);
        mark.finish()
    }

    /// Its end was said and no message of ours waits for an answer; it may linger for theirs.
    pub(crate) fn is_done(&self) -> bool {
        self.ended && matches!(self.setup, Setup::Done) && self.talks.iter().all(Talk::is_over)
    }

    /// Takes up what another process has left: transactions as far as they had come, and everything
    /// that was being ended is ended anew. The rest waits for `hang_up` or `refuse`.
    pub(crate) fn restore(note: &LegNote, trunk: Option<TrunkId>, desk: &mut Desk<'_>) -> Self {
        let peer = Peer { trunk, flow: note.address };
        let placed = note.placed.as_ref().map(InviteNote::request);
        let mut leg = Self {
            id: note.leg,
            peer,
            call_id: note.call_id.clone(),
            local_tag: note.local_tag.clone(),
            setup: Setup::Done,
            talks: vec![],
            placed,
            offer: vec![],
            asks: Asks::default(),
            cause: None,
            why: HangUp::Failed,
            ended: note.ended,
            left: false,
            linger_until: None,
            orphan: Some(Orphan::Answering),
            sequence_used: note.sequence_max,
            pace: Bucket::default(),
            unaccepted: None,
        };
        if let Some(trunk) = trunk.filter(|_| !note.ended) {
            desk.trunks.retake_call(trunk);
        }
        match &note.setup {
            SetupNote::Calling { heard } => leg.call_on(*heard, desk),
            SetupNote::Alerting { invite, refused } => leg.alert_on(invite, *refused, desk),
            SetupNote::Done => {}
        }
        for dialog in &note.dialogs {
            let restored = Dialog::restored(&leg.call_id, dialog, leg.sequence_used);
            let mut talk = Talk::new(leg.id, peer, restored, &leg.local_tag);
            talk.stage = Stage::Up;
            match &dialog.stage {
                StageNote::Unacked { invite, session } => {
                    let invite = invite.request();
                    let to = peer.flow.way_back(&invite.headers);
                    let txn = desk.txns.accept(&invite, to, Some(leg.id));
                    talk.accept(&invite, txn, session.0.clone(), desk);
                }
                StageNote::Up => {}
                StageNote::Ending => leg.cause = Some(Cause::Released),
            }
            leg.talks.push(talk);
        }
        if leg.cause.is_some() {
            leg.hang_up_talks(desk);
        }
        leg.conclude(desk);
        if note.ended {
            leg.linger_until = leg.placed.as_ref().map(|_| desk.now + GIVE_UP);
            // It only listens for a late 2xx: nothing is to be ended.
            leg.orphan = leg.orphan.filter(|_| !leg.is_done());
        }
        leg
    }

    fn call_on(&mut self, heard: bool, desk: &mut Desk<'_>) {
        let Some(invite) = self.placed.clone() else { return };
        let txn = desk.txns.resume(invite, self.peer.flow, self.id, heard, desk.now);
        self.setup = Setup::Calling(Calling::restored(txn, heard, desk.now));
    }

    fn alert_on(&mut self, invite: &InviteNote, refused: Option<u16>, desk: &mut Desk<'_>) {
        let invite = invite.request();
        let to = self.peer.flow.way_back(&invite.headers);
        let txn = desk.txns.accept(&invite, to, Some(self.id));
        let dialog = Dialog::called_by(&invite, &self.local_tag);
        self.talks
            .extend(dialog.map(|dialog| Talk::new(self.id, self.peer, dialog, &self.local_tag)));
        self.unaccepted = Some(branch(&invite));
        let mut alerting = Alerting::new(txn, invite);
        if let Some(status) = refused {
            let retry_after_seconds = (status == 503).then_some(RETRY_SECONDS);
            let refusal = Refusal { status, retry_after_seconds, warning: None };
            let response = refusal_response(desk, &alerting.invite, &self.local_tag, &refusal);
            desk.respond(txn, &response);
            alerting.refuse(status);
            self.cause = Some(Cause::Released);
        }
        self.setup = Setup::Alerting(alerting);
    }

    pub(crate) fn orphan(&self) -> Option<Orphan> {
        self.orphan
    }

    /// It has been ended: from here on it is one of ours.
    pub(crate) fn take_orphan(&mut self) -> Option<Orphan> {
        self.orphan.take()
    }

    /// Something asked of the far side found no answer in time.
    pub(super) fn fall_silent(&mut self) {
        if self.orphan.is_some() {
            self.orphan = Some(Orphan::Silent);
        }
    }
}
