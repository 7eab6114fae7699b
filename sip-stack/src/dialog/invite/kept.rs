//! A leg as it is written down, and as the next process takes it up to end it.

use super::{
    super::{
        Dialog,
        desk::Desk,
        setup::{Alerting, Calling, Setup},
        talk::{Stage, Talk},
    },
    Leg, Orphan, Peer, refusal_response,
};
use crate::{
    event::{Cause, HangUp, Refusal},
    ids::TrunkId,
    note::{InviteNote, LegNote, SetupNote, StageNote},
    trunk::Trunks,
};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Seconds of Retry-After in a 503 that another process had given: it is up again.
const RETRY_SECONDS: u32 = 5;

impl Leg {
    /// What the next process must know; `None`: nothing is left of it anywhere.
    pub(crate) fn note(&self, trunks: &Trunks) -> Option<LegNote> {
        if self.is_done() {
            return None;
        }
        let setup = match &self.setup {
            Setup::Calling(calling) => SetupNote::Calling { heard: calling.is_heard() },
            Setup::Alerting(alerting) => SetupNote::Alerting {
                invite: InviteNote::of(&alerting.invite),
                refused: alerting.refused,
            },
            Setup::Done => SetupNote::Done,
        };
        Some(LegNote {
            leg: self.id,
            trunk: self.peer.trunk.and_then(|trunk| trunks.name(trunk)).map(str::to_owned),
            address: self.peer.flow,
            call_id: self.call_id.clone(),
            local_tag: self.local_tag.clone(),
            setup,
            placed: self.placed.as_ref().map(InviteNote::of),
            dialogs: self.talks.iter().filter_map(Talk::note).collect(),
            ended: self.ended,
        })
    }

    /// Differs when the note does.
    pub(crate) fn mark(&self) -> u64 {
        let mut mark = DefaultHasher::new();
        let setup = match &self.setup {
            Setup::Calling(calling) => (0_u16, u16::from(calling.is_heard())),
            Setup::Alerting(alerting) => (1, alerting.refused.unwrap_or(0)),
            Setup::Done => (2, 0),
        };
        (setup, self.ended).hash(&mut mark);
        self.talks.iter().for_each(|talk| talk.mark(&mut mark));
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
            cause: None,
            why: HangUp::Failed,
            ended: note.ended,
            left: false,
            linger_until: None,
            orphan: Some(Orphan::Answering),
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
            let restored = Dialog::restored(&leg.call_id, dialog);
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

    /// Something asked of the far side found no answer in time.
    pub(super) fn fall_silent(&mut self) {
        if self.orphan.is_some() {
            self.orphan = Some(Orphan::Silent);
        }
    }
}
