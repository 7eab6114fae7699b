//! One dialog of a leg, as a conversation: its BYE, the peer's re-INVITEs and UPDATEs, our 2xx
//! until its ACK, and whether the far side is still there.

use super::{
    Dialog, body,
    desk::{ALLOW, Desk, refuse_body, refuse_brief},
    invite::{Peer, reason, refusal_response},
    refresh::Refreshing,
    session_timer,
    telling::Telling,
};
use crate::{
    event::{Cause, Event, HangUp, Refusal},
    flow::Flow,
    ids::LegId,
    note::{DialogNote, InviteNote, StageNote, Text},
    sdp::{self, crypto},
    txn::{
        Told, TxnId, What,
        timers::{GIVE_UP, T1, slower},
    },
    wire::{Method, Request, Response},
};
use std::{
    hash::{Hash, Hasher},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Where the dialog is (RFC 3261 §12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Ours to answer.
    Early,
    Up,
    /// Our BYE waits for its answer.
    Ending(TxnId),
    Over,
}

#[derive(Debug)]
pub(super) struct Talk {
    pub(super) leg: LegId,
    pub(super) dialog: Dialog,
    pub(super) stage: Stage,
    pub(super) peer: Peer,
    pub(super) local_tag: String,
    /// We made the call.
    pub(super) is_placed: bool,
    /// For every repeat of the peer's 2xx to the INVITE of this number (§13.2.2.4).
    ack: Option<(u32, Flow, Vec<u8>)>,
    unacked: Option<Unacked>,
    owed: Option<Owed>,
    check: Option<TxnId>,
    pub(super) telling: Telling,
    pub(super) refreshing: Refreshing,
}

/// Our 2xx to an INVITE, sent until its ACK comes (§13.3.1.4).
#[derive(Debug)]
struct Unacked {
    txn: TxnId,
    /// The INVITE it answers; noted for the call's first alone, whose ACK our BYE waits for.
    invite: Option<InviteNote>,
    response: Response,
    sequence: u32,
    again_at: Instant,
    gap: Duration,
    give_up_at: Instant,
    session: Offer,
    which: Which,
}

/// Whose offer the exchange began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Theirs,
    /// In our 2xx; the answer comes with the ACK.
    Ours,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Which {
    First,
    Again,
}

/// A re-INVITE or UPDATE that the layer above has to answer.
#[derive(Debug)]
struct Owed {
    txn: TxnId,
    request: Request,
}

/// What an ACK or its absence means for the leg.
#[derive(Debug, PartialEq)]
pub(super) enum Acked {
    /// It acknowledges nothing that we wait for.
    Stray,
    /// The session goes on.
    Done,
    /// It owed an answer that cannot be used.
    Unusable,
}

impl Talk {
    pub(super) fn new(leg: LegId, peer: Peer, dialog: Dialog, local_tag: &str) -> Self {
        Self {
            leg,
            dialog,
            stage: Stage::Early,
            peer,
            local_tag: local_tag.to_owned(),
            is_placed: false,
            ack: None,
            unacked: None,
            owed: None,
            check: None,
            telling: Telling::default(),
            refreshing: Refreshing::default(),
        }
    }

    /// What the next process must know; `None`: nothing, or not yet.
    pub(super) fn note(&self) -> Option<DialogNote> {
        let first =
            self.unacked.as_ref().and_then(|unacked| Some((unacked, unacked.invite.as_ref()?)));
        let stage = match (self.stage, first) {
            (Stage::Early | Stage::Over, _) => return None,
            (Stage::Ending(_), _) => StageNote::Ending,
            (Stage::Up, None) => StageNote::Up,
            (Stage::Up, Some((unacked, invite))) => StageNote::Unacked {
                invite: invite.clone(),
                // The next process has none of the media: its 200 only has to end in a BYE.
                session: Text(crypto::without_keys(&unacked.response.body)),
            },
        };
        Some(self.dialog.note(stage))
    }

    /// What of a note changes and must be written whole, for finding out whether it has.
    pub(super) fn mark(&self, into: &mut impl Hasher) {
        let stage = match self.stage {
            Stage::Early | Stage::Over => 0,
            Stage::Up if self.awaits_first_ack() => 1_u8,
            Stage::Up => 2,
            Stage::Ending(_) => 3,
        };
        stage.hash(into);
    }

    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// §15.1.1: whoever was called sends no BYE before the ACK.
    pub(super) fn awaits_first_ack(&self) -> bool {
        self.unacked.as_ref().is_some_and(|unacked| unacked.which == Which::First)
    }

    // ---- what we do ----

    /// The ACK of the peer's 2xx, the first time or again.
    pub(super) fn acknowledge(&mut self, sequence: u32, desk: &mut Desk<'_>) {
        let before = self.ack.take().filter(|(its, ..)| *its == sequence);
        let (_, to, bytes) = before.unwrap_or_else(|| {
            let to = self.hop(desk);
            let ack = self.dialog.ack(sequence, &mut desk.stationery(to.transport));
            (sequence, to, ack.to_bytes())
        });
        desk.acknowledge(to, bytes.clone());
        self.ack = Some((sequence, to, bytes));
    }

    /// 200 with our session description to the INVITE that made the dialog.
    pub(super) fn accept(
        &mut self,
        invite: &Request,
        txn: TxnId,
        session: Vec<u8>,
        desk: &mut Desk<'_>,
    ) {
        self.stage = Stage::Up;
        self.send_success(invite, txn, session, Which::First, desk);
    }

    fn send_success(
        &mut self,
        invite: &Request,
        txn: TxnId,
        session: Vec<u8>,
        which: Which,
        desk: &mut Desk<'_>,
    ) {
        let mut response = desk.response(invite, 200, &self.local_tag);
        self.agree(invite, &mut response, session, desk);
        desk.respond(txn, &response);
        let offer = if invite.body.is_empty() { Offer::Ours } else { Offer::Theirs };
        self.unacked = Some(Unacked {
            txn,
            invite: (which == Which::First).then(|| InviteNote::of(invite)),
            response,
            sequence: invite.headers.cseq().map_or(0, |(sequence, _)| sequence),
            again_at: desk.now + T1,
            gap: T1,
            give_up_at: desk.now + GIVE_UP,
            session: offer,
            which,
        });
    }

    /// Into our 2xx to an offer of theirs, or to an INVITE without one: what holds from now on.
    fn agree(
        &mut self,
        request: &Request,
        response: &mut Response,
        session: Vec<u8>,
        desk: &Desk<'_>,
    ) {
        let refreshing = &mut self.refreshing;
        refreshing.hear_allowed(&request.headers);
        refreshing.timer.answer(&request.headers, &mut response.headers, desk.now);
        refreshing.session.clone_from(&session);
        refreshing.remote.clone_from(&request.body);
        response.headers.push("Content-Type", body::SDP);
        response.body = session;
    }

    /// Their request, or our 2xx to it, is under way.
    pub(super) fn is_busy(&self) -> bool {
        self.owed.is_some() || self.unacked.is_some()
    }

    pub(super) fn hang_up(&mut self, why: HangUp, desk: &mut Desk<'_>) {
        if self.stage != Stage::Up {
            return;
        }
        self.refreshing.timer.stop();
        self.drop_debts(desk);
        self.telling.forget(desk);
        let to = self.hop(desk);
        let mut bye = self.dialog.request(Method::Bye, &mut desk.stationery(to.transport));
        bye.headers.push("Reason", reason(why));
        self.stage = Stage::Ending(desk.request(bye, to, self.leg));
    }

    /// In-dialog OPTIONS: a peer that has lost the call says 481 (§12.2.1.2).
    pub(super) fn check(&mut self, desk: &mut Desk<'_>) {
        if self.stage != Stage::Up || self.check.is_some() || self.awaits_first_ack() {
            return;
        }
        let to = self.hop(desk);
        let mut options = self.dialog.request(Method::Options, &mut desk.stationery(to.transport));
        options.headers.push("Accept", body::SDP);
        options.headers.push("Allow", ALLOW);
        self.check = Some(desk.request(options, to, self.leg));
    }

    pub(super) fn answer_reoffer(&mut self, answer: Result<Vec<u8>, Refusal>, desk: &mut Desk<'_>) {
        let Some(Owed { txn, request }) = self.owed.take() else { return };
        match answer {
            Ok(session) if request.method == Method::Invite => {
                self.send_success(&request, txn, session, Which::Again, desk);
            }
            Ok(session) => {
                let mut response = desk.response(&request, 200, &self.local_tag);
                self.agree(&request, &mut response, session, desk);
                desk.respond(txn, &response);
            }
            Err(refusal) => {
                let response = refusal_response(desk, &request, &self.local_tag, &refusal);
                desk.respond(txn, &response);
            }
        }
    }

    /// Nothing is left of the dialog; whatever we owed is said.
    pub(super) fn close(&mut self, desk: &mut Desk<'_>) {
        self.telling.forget(desk);
        self.refreshing.timer.stop();
        self.drop_debts(desk);
        self.stage = Stage::Over;
    }

    /// §15.1.2: what is pending when the dialog ends gets 487; nothing is sent again.
    fn drop_debts(&mut self, desk: &mut Desk<'_>) {
        self.unacked = None;
        if let Some(Owed { txn, request }) = self.owed.take() {
            desk.reply(txn, &request, 487, &self.local_tag);
        }
    }

    pub(super) fn hop(&self, desk: &Desk<'_>) -> Flow {
        self.peer.hop(&self.dialog, desk.trunks)
    }

    // ---- what comes in ----

    /// A request inside the dialog that is no ACK and no CANCEL. `Some`: it ends the dialog.
    pub(super) fn handle_request(
        &mut self,
        request: Request,
        from: SocketAddr,
        txn: TxnId,
        desk: &mut Desk<'_>,
    ) -> Option<Cause> {
        let status = match (self.stage, &request.method) {
            (Stage::Over, _) => 481,
            _ if self.dialog.check_order(&request).is_err() => 500, // §12.2.2
            (_, Method::Bye) => {
                desk.reply(txn, &request, 200, &self.local_tag);
                self.close(desk);
                return Some(Cause::Bye);
            }
            (Stage::Ending(_), Method::Invite | Method::Update) => 481,
            (_, Method::Invite | Method::Update) => {
                self.handle_reoffer(request, from, txn, desk);
                return None;
            }
            (_, Method::Info) => return self.handle_info(&request, txn, desk),
            (_, Method::Options) => 200,
            (_, Method::Prack) => 481, // RFC 3262 §3: we sent nothing reliable.
            (_, Method::Other(_)) => 501,
            (
                _,
                Method::Ack
                | Method::Cancel
                | Method::Message
                | Method::Notify
                | Method::Publish
                | Method::Refer
                | Method::Register
                | Method::Subscribe,
            ) => 405,
        };
        desk.reply(txn, &request, status, &self.local_tag);
        None
    }

    /// §14.2, RFC 3311 §5.2. Whoever has to wait is told so; the rest goes up.
    fn handle_reoffer(
        &mut self,
        request: Request,
        from: SocketAddr,
        txn: TxnId,
        desk: &mut Desk<'_>,
    ) {
        let offer = match body::session(&request.headers, &request.body) {
            Ok(offer) => offer,
            Err(why) => {
                desk.counters.parse_error(why.reason());
                let response = refuse_body(desk.ours, &request, why, &self.local_tag);
                return desk.respond(txn, &response);
            }
        };
        if session_timer::check(&request.headers).is_err() {
            desk.counters.reject("session_expires");
            let response = refuse_brief(desk.ours, &request, &self.local_tag);
            return desk.respond(txn, &response);
        }
        let invite = request.method == Method::Invite;
        if !invite && offer.is_none() {
            self.dialog.refresh_target(&request.headers);
            let mut response = desk.response(&request, 200, &self.local_tag);
            if self.stage == Stage::Up {
                self.refreshing.hear_allowed(&request.headers);
                self.refreshing.timer.answer(&request.headers, &mut response.headers, desk.now);
            }
            return desk.respond(txn, &response);
        }
        if self.owed.is_some() || self.stage == Stage::Early {
            return desk.ask_again(txn, &request, &self.local_tag);
        }
        if self.unacked.is_some() || self.refreshing.is_inviting() {
            return desk.reply(txn, &request, 491, &self.local_tag);
        }
        if invite {
            desk.reply(txn, &request, 100, &self.local_tag);
        }
        self.dialog.refresh_target(&request.headers);
        desk.say(Event::Reoffered { leg: self.leg, from, offer });
        self.owed = Some(Owed { txn, request });
    }

    pub(super) fn handle_ack(&mut self, ack: &Request, desk: &mut Desk<'_>) -> Acked {
        let sequence = ack.headers.cseq().map_or(0, |(sequence, _)| sequence);
        let Some(unacked) = self.unacked.take_if(|unacked| unacked.sequence == sequence) else {
            return Acked::Stray;
        };
        let first = unacked.which == Which::First;
        let answer = match unacked.session {
            Offer::Theirs => None,
            Offer::Ours => match body::session(&ack.headers, &ack.body) {
                Ok(Some(answer)) => Some(answer),
                Ok(None) | Err(_) => return Acked::Unusable,
            },
        };
        if first || answer.is_some() {
            desk.say(Event::Established { leg: self.leg, answer });
        }
        self.tell_next(desk);
        Acked::Done
    }

    /// The answer to our BYE or OPTIONS. `Some`: the dialog is lost.
    pub(super) fn handle_told(&mut self, told: &Told, desk: &mut Desk<'_>) -> Option<Cause> {
        if self.stage == Stage::Ending(told.txn) {
            self.stage = Stage::Over;
            return None;
        }
        if self.handle_key_told(told, desk) {
            return None;
        }
        if self.refreshing.asked(told.txn) {
            return self.handle_refreshed(told, desk);
        }
        if self.check != Some(told.txn) {
            return None;
        }
        self.check = None;
        if self.stage != Stage::Up {
            return None;
        }
        if is_alive(&told.what) {
            desk.say(Event::Checked { leg: self.leg });
            return None;
        }
        if says_gone(&told.what) {
            self.close(desk);
        } else {
            self.hang_up(HangUp::Failed, desk);
        }
        Some(Cause::Lost)
    }

    // ---- time ----

    /// `Some`: an ACK never came, or the session's life is over.
    pub(super) fn handle_timeout(&mut self, desk: &mut Desk<'_>) -> Option<Cause> {
        self.handle_unacked_timeout(desk).or_else(|| self.handle_session_timeout(desk))
    }

    /// Sends the 2xx again. `Some`: its ACK never came (§13.3.1.4).
    fn handle_unacked_timeout(&mut self, desk: &mut Desk<'_>) -> Option<Cause> {
        let unacked = self.unacked.as_mut()?;
        if unacked.give_up_at <= desk.now {
            self.unacked = None;
            return Some(Cause::Lost);
        }
        if unacked.again_at <= desk.now {
            unacked.gap = slower(unacked.gap);
            unacked.again_at = desk.now + unacked.gap;
            desk.counters.retransmissions += 1;
            desk.txns.respond(unacked.txn, &unacked.response, desk.now);
        }
        None
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let unacked = self.unacked.as_ref();
        let unacked = unacked.map(|unacked| unacked.again_at.min(unacked.give_up_at));
        unacked.into_iter().chain(self.refreshing.timer.poll_timeout()).min()
    }
}

/// §12.2.1.2: 408, 481 and silence say that the dialog is gone; any other answer that it is not.
fn is_alive(what: &What) -> bool {
    match what {
        What::Response(response) => !matches!(response.status, 408 | 481),
        What::TimedOut | What::Unreachable | What::Acked => false,
    }
}

/// Whoever says 481 needs no BYE.
pub(super) fn says_gone(what: &What) -> bool {
    matches!(what, What::Response(response) if response.status == 481)
}

/// What a 2xx to our INVITE brings, if its session description can be used.
pub(super) fn usable_answer(
    response: &Response,
    early: Option<sdp::Session>,
) -> Option<sdp::Session> {
    match body::session(&response.headers, &response.body) {
        Ok(answer) => answer.or(early),
        Err(_) => None,
    }
}
