//! A leg: one INVITE and every dialog that comes of it, until nothing of it is left anywhere.
//!
//! Early, confirmed, ended; 2xx until ACK; CANCEL; BYE; what a fork leaves behind. After every
//! call its events are in the desk, and `poll_timeout` may have changed.

mod kept;
mod placed;

use super::{
    Dialog, NewCall,
    desk::Desk,
    session_timer::Asks,
    setup::{Alerting, Calling, Due, Setup},
    talk::{Acked, Talk},
};
use crate::{
    event::{Cause, Event, HangUp, Invite, Refusal},
    flow::{Flow, Host},
    guard::bucket::Bucket,
    ids::{LegId, TrunkId},
    keys::Press,
    trunk::Trunks,
    txn::{Told, TxnId, What, timers::GIVE_UP},
    wire::{Method, Request, Response},
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// Requests a second inside one call, and twice as many at once. Keys sent as INFO, session timers
/// and OPTIONS together make a tenth of it.
const REQUESTS_PER_SECOND: u32 = 20;

#[derive(Debug)]
pub(crate) struct Leg {
    id: LegId,
    peer: Peer,
    call_id: String,
    local_tag: String,
    setup: Setup,
    /// Theirs: one. Ours: one for each fork that said 2xx, and the first is the call.
    talks: Vec<Talk>,
    /// The INVITE we sent, to make a dialog of every 2xx. `None`: it was theirs.
    placed: Option<Request>,
    /// What we offered in it, and asked of the session's life.
    offer: Vec<u8>,
    asks: Asks,
    /// What `Ended` says or will say; the first reason holds.
    cause: Option<Cause>,
    /// Why we hang up, for the `Reason` of a late BYE.
    why: HangUp,
    ended: bool,
    /// `Left` has been said.
    left: bool,
    /// A leg of ours stays to ACK and end a late 2xx.
    linger_until: Option<Instant>,
    /// Of another process; nobody wants it any more.
    orphan: Option<Orphan>,
    /// Up to which CSeq the processes before may have gone in any dialog of it, also in one that is
    /// not known here any more.
    sequence_used: u32,
    /// What the far side asks in its dialogs.
    pace: Bucket,
    /// The branch by which their INVITE came, as long as it has not been accepted.
    unaccepted: Option<String>,
}

/// An INVITE of theirs, as it is known again.
#[derive(Debug)]
pub(crate) struct MadeBy {
    pub(crate) call_id: String,
    pub(crate) from_tag: String,
    /// The highest that was heard in the call.
    pub(crate) sequence: u32,
    /// By which it came, if it was refused; `None`: it was accepted, by whichever way it comes.
    pub(crate) branch: Option<String>,
    pub(crate) host: IpAddr,
}

/// What becomes of a leg that another process left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orphan {
    /// So far everything that was asked of the far side was answered.
    Answering,
    /// It was silent until a transaction's timer.
    Silent,
}

/// Whom the leg leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    /// `None`: a phone.
    pub(crate) trunk: Option<TrunkId>,
    /// The way the INVITE went or came. Transport and address are worth a journal; the connection
    /// ends with the process.
    pub(crate) flow: Flow,
}

impl Peer {
    /// Whether a packet from here may act on the leg: all ids right from elsewhere is a forgery.
    pub(crate) fn permits(&self, from: Host, trunks: &Trunks) -> bool {
        let owned = self.trunk.is_some_and(|trunk| trunks.owns(trunk, from));
        owned || from.to_canonical() == self.flow.host().to_canonical()
    }

    /// Where a request inside the dialog goes: to nobody who may not speak in it. A phone may be
    /// behind a NAT: its packets' address is the only one that leads back.
    ///
    /// A connection that leads to that host is used whatever the address says (RFC 5626 §5.3): often
    /// there is no other way back.
    pub(super) fn hop(&self, dialog: &Dialog, trunks: &Trunks) -> Flow {
        let named = self.trunk.and_then(|_| dialog.next_hop());
        let here = |hop: SocketAddr| Host { ip: hop.ip(), network: self.flow.network };
        let Some((address, transport)) = named.filter(|(hop, _)| self.permits(here(*hop), trunks))
        else {
            return self.flow;
        };
        let flow = match self.flow.conn {
            Some(conn) if address.ip() == self.flow.remote.ip() => Flow::on(conn, address),
            Some(_) | None => Flow::new(transport.unwrap_or(self.flow.transport), address),
        };
        flow.within(self.flow.network)
    }

    /// The far side speaks by another connection than it did: it may have lost the first.
    fn follow(&mut self, from: Flow) {
        if from.conn.is_some() && from.host() == self.flow.host() {
            self.flow = from;
        }
    }
}

impl Leg {
    // ---- beginnings ----

    /// Places a call.
    pub(crate) fn place(id: LegId, invite: &Invite, desk: &mut Desk<'_>) -> Self {
        let (call_id, local_tag) = (desk.dice.call_id(), desk.dice.tag());
        let asks = Asks::default();
        let new = NewCall { invite, call_id: &call_id, local_tag: &local_tag, asks };
        let flow = invite.target.to;
        let mut request = new.request(&mut desk.stationery(flow.transport));
        let peer = Peer { trunk: invite.trunk, flow };
        let txn = desk.request(request.clone(), flow, id);
        let offer = std::mem::take(&mut request.body);
        Self {
            id,
            peer,
            call_id,
            local_tag,
            setup: Setup::Calling(Calling::new(txn)),
            talks: vec![],
            placed: Some(request),
            offer,
            asks,
            cause: None,
            why: HangUp::Normal,
            ended: false,
            left: false,
            linger_until: None,
            orphan: None,
            sequence_used: 0,
            pace: Bucket::default(),
            unaccepted: None,
        }
    }

    /// Takes a call that came; its 100 is sent at once (§17.2.1). `None` if it names no Contact.
    pub(crate) fn take(
        id: LegId,
        peer: Peer,
        invite: &Request,
        txn: TxnId,
        local_tag: &str,
        desk: &mut Desk<'_>,
    ) -> Option<Self> {
        let dialog = Dialog::called_by(invite, local_tag)?;
        let call_id = invite.headers.call_id().ok()?.to_owned();
        desk.reply(txn, invite, 100, local_tag);
        Some(Self {
            id,
            peer,
            call_id,
            local_tag: local_tag.to_owned(),
            setup: Setup::Alerting(Alerting::new(txn, invite.clone())),
            talks: vec![Talk::new(id, peer, dialog, local_tag)],
            placed: None,
            offer: vec![],
            asks: Asks::default(),
            cause: None,
            why: HangUp::Normal,
            ended: false,
            left: false,
            linger_until: None,
            orphan: None,
            sequence_used: 0,
            pace: Bucket::default(),
            unaccepted: Some(branch(invite)),
        })
    }

    /// Whether this request, or one after it, made the call. Once it is refused a proxy may send the
    /// same INVITE anew, by another branch and perhaps to another number (§16.7: forking one after
    /// the other): that is another call.
    pub(crate) fn began_with(&self, invite: &Request) -> bool {
        let theirs = self.talks.first().filter(|_| self.placed.is_none());
        let refused = match &self.setup {
            Setup::Alerting(alerting) => alerting.refused.is_some(),
            Setup::Calling(_) | Setup::Done => true,
        };
        let by = self.unaccepted.as_ref().filter(|_| refused);
        theirs.is_some_and(|talk| {
            talk.dialog.remote_tag() == from_tag(invite)
                && talk.dialog.has_seen(invite)
                && by.is_none_or(|by| *by == branch(invite))
        })
    }

    pub(crate) fn id(&self) -> LegId {
        self.id
    }

    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }

    /// What requests to us are found by: Call-ID and our tag.
    pub(crate) fn key(&self) -> (String, String) {
        (self.call_id.clone(), self.local_tag.clone())
    }

    /// The INVITE that made the call, if it was theirs, to be known again once the call is over.
    pub(crate) fn made_by(&self) -> Option<MadeBy> {
        let dialog = &self.talks.first().filter(|_| self.placed.is_none())?.dialog;
        Some(MadeBy {
            call_id: self.call_id.clone(),
            from_tag: dialog.remote_tag().to_owned(),
            sequence: dialog.remote_sequence()?,
            branch: self.unaccepted.clone(),
            host: self.peer.flow.remote.ip(),
        })
    }

    /// `Ended` has been said.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Nothing can come for it any more.
    pub(crate) fn is_over(&self) -> bool {
        let done = matches!(self.setup, Setup::Done) && self.talks.iter().all(Talk::is_over);
        self.ended && done && self.linger_until.is_none()
    }

    // ---- commands ----

    pub(crate) fn ring(&mut self, desk: &mut Desk<'_>) {
        if let Setup::Alerting(alerting) = &mut self.setup {
            alerting.ring(&self.local_tag, desk);
        }
    }

    /// 183: what the caller hears before the answer.
    pub(crate) fn progress(&mut self, session: Vec<u8>, desk: &mut Desk<'_>) {
        if let Setup::Alerting(alerting) = &mut self.setup {
            alerting.progress(session, &self.local_tag, desk);
        }
    }

    pub(crate) fn answer(&mut self, session: Vec<u8>, desk: &mut Desk<'_>) {
        let Setup::Alerting(Alerting { txn, invite, refused: None, .. }) = &self.setup else {
            return;
        };
        for talk in &mut self.talks {
            talk.accept(invite, *txn, session.clone(), desk);
        }
        self.unaccepted = None;
        self.setup = Setup::Done;
    }

    /// 4xx to 6xx. A trunk has nothing left of the call from here on, and whoever forges its address
    /// must not fill it with refusals; a phone still calls until its ACK has come.
    pub(crate) fn refuse(&mut self, refusal: &Refusal, desk: &mut Desk<'_>) {
        let Setup::Alerting(alerting) = &mut self.setup else { return };
        if alerting.refused.is_some() {
            return;
        }
        alerting.refuse(refusal.status);
        let response = refusal_response(desk, &alerting.invite, &self.local_tag, refusal);
        desk.respond(alerting.txn, &response);
        self.cause.get_or_insert(Cause::Released);
        if self.peer.trunk.is_some() {
            self.say_ended(desk);
        }
    }

    pub(crate) fn hang_up(&mut self, why: HangUp, desk: &mut Desk<'_>) {
        if self.cause.is_some() {
            return;
        }
        self.why = why;
        match &mut self.setup {
            Setup::Calling(calling) => calling.withdraw(self.id, self.peer, why, desk),
            Setup::Alerting(_) => return self.refuse(&UNAVAILABLE, desk),
            Setup::Done => {}
        }
        self.cause = Some(Cause::Released);
        self.hang_up_talks(desk);
    }

    /// BYE wherever one may be sent; §15.1.1 makes the others wait for their ACK.
    fn hang_up_talks(&mut self, desk: &mut Desk<'_>) {
        for talk in self.talks.iter_mut().filter(|talk| !talk.awaits_first_ack()) {
            talk.hang_up(self.why, desk);
        }
    }

    pub(crate) fn answer_reoffer(&mut self, answer: Result<Vec<u8>, Refusal>, desk: &mut Desk<'_>) {
        if let Some(talk) = self.talks.first_mut() {
            talk.answer_reoffer(answer, desk);
        }
    }

    pub(crate) fn check(&mut self, desk: &mut Desk<'_>) {
        if let Some(talk) = self.talks.first_mut().filter(|_| self.cause.is_none()) {
            talk.check(desk);
        }
    }

    /// Tells the far side a key by INFO.
    pub(crate) fn tell_key(&mut self, press: Press, desk: &mut Desk<'_>) {
        match self.talks.first_mut().filter(|_| self.cause.is_none()) {
            Some(talk) => talk.tell_key(press, desk),
            None => desk.counters.keys_failed += 1,
        }
    }

    // ---- what comes in ----

    /// Whether another request inside the call is listened to. Its end always is.
    pub(crate) fn takes(&mut self, request: &Request, now: Instant) -> bool {
        request.method == Method::Bye
            || self.pace.take(REQUESTS_PER_SECOND, REQUESTS_PER_SECOND * 2, now)
    }

    /// A request with our tag that is no ACK and no CANCEL.
    pub(crate) fn handle_request(
        &mut self,
        request: Request,
        from: Flow,
        txn: TxnId,
        desk: &mut Desk<'_>,
    ) {
        self.peer.follow(from);
        self.talks.iter_mut().for_each(|talk| talk.peer.follow(from));
        let remote_tag = from_tag(&request);
        let found = self.talks.iter_mut().find(|talk| talk.dialog.remote_tag() == remote_tag);
        let Some(talk) = found else {
            return self.handle_unknown_dialog(&request, &remote_tag, txn, desk);
        };
        if let Some(cause) = talk.handle_request(request, from.remote, txn, desk) {
            self.handle_bye(cause, desk);
        }
    }

    /// The callee may hang up before its 200 has reached us; anything else is too early.
    fn handle_unknown_dialog(
        &mut self,
        request: &Request,
        remote_tag: &str,
        txn: TxnId,
        desk: &mut Desk<'_>,
    ) {
        let status = match (&mut self.setup, &request.method) {
            (Setup::Calling(calling), Method::Bye) => {
                calling.remember_gone(remote_tag);
                200
            }
            // §14.2: our own INVITE is pending.
            (Setup::Calling(_), Method::Invite | Method::Update) => 491,
            (Setup::Calling(_) | Setup::Alerting(_) | Setup::Done, _) => 481,
        };
        desk.reply(txn, request, status, &self.local_tag);
    }

    fn handle_bye(&mut self, cause: Cause, desk: &mut Desk<'_>) {
        if let Setup::Alerting(alerting) = &self.setup {
            // §15.1.2: the INVITE still owes its final answer.
            if alerting.refused.is_none() {
                desk.reply(alerting.txn, &alerting.invite, 487, &self.local_tag);
            }
            self.setup = Setup::Done;
            self.cause.get_or_insert(Cause::Cancelled);
        }
        // Only the first dialog is the call; a fork that ends by itself is what we want.
        if self.talks.first().is_some_and(Talk::is_over) {
            self.cause.get_or_insert(cause);
            self.hang_up_talks(desk);
        }
        self.conclude(desk);
    }

    pub(crate) fn handle_ack(&mut self, ack: &Request, desk: &mut Desk<'_>) {
        let remote_tag = from_tag(ack);
        let found = self.talks.iter_mut().find(|talk| talk.dialog.remote_tag() == remote_tag);
        match found.map_or(Acked::Stray, |talk| talk.handle_ack(ack, desk)) {
            Acked::Stray => self.handle_stray_ack(ack, desk),
            Acked::Done if self.cause.is_some() => self.hang_up_talks(desk),
            Acked::Done => {}
            Acked::Unusable => {
                self.cause.get_or_insert(Cause::Failed);
                self.why = HangUp::Failed;
                self.hang_up_talks(desk);
            }
        }
    }

    /// The ACK of a refusal has the INVITE's branch (§17.1.1.3), which its transaction knows it
    /// by. Some callers give it one of its own; it is as good, and ends the repeats.
    fn handle_stray_ack(&mut self, ack: &Request, desk: &mut Desk<'_>) {
        let sequence = |request: &Request| request.headers.cseq().map(|(sequence, _)| sequence);
        match &self.setup {
            Setup::Alerting(alerting)
                if alerting.refused.is_some() && sequence(ack) == sequence(&alerting.invite) =>
            {
                _ = desk.txns.handle_ack(alerting.txn, desk.now);
            }
            Setup::Calling(_) | Setup::Alerting(_) | Setup::Done => desk.counters.stray_acks += 1,
        }
    }

    /// §9.2: only an INVITE without a final answer can be withdrawn.
    pub(crate) fn handle_cancel(&mut self, desk: &mut Desk<'_>) {
        let Setup::Alerting(alerting) = &self.setup else { return };
        if alerting.refused.is_some() {
            return;
        }
        desk.reply(alerting.txn, &alerting.invite, 487, &self.local_tag);
        self.cause.get_or_insert(Cause::Cancelled);
        self.finish_setup(desk);
    }

    /// What a transaction of ours has to say; `from`: where its response came from.
    pub(crate) fn handle_told(
        &mut self,
        told: Told,
        from: Option<SocketAddr>,
        desk: &mut Desk<'_>,
    ) {
        if told.what == What::TimedOut {
            self.fall_silent();
        }
        match &self.setup {
            Setup::Alerting(alerting) if alerting.txn == told.txn => {
                return self.finish_setup(desk);
            }
            Setup::Calling(_) | Setup::Alerting(_) | Setup::Done => {}
        }
        let invited = told.what.is_of(&Method::Invite);
        if self.talks.iter().any(|talk| talk.refreshing.asked(told.txn)) {
            return self.handle_talk_told(&told, desk);
        }
        match told.what {
            What::Response(response) if invited => {
                self.handle_invite_response(response, from, desk)
            }
            What::TimedOut if self.is_calling(told.txn) => {
                self.cause.get_or_insert(Cause::Lost);
                self.setup = Setup::Done;
                self.conclude(desk);
            }
            What::Response(_) | What::TimedOut | What::Unreachable | What::Acked => {
                self.handle_talk_told(&told, desk);
            }
        }
    }

    fn is_calling(&self, txn: TxnId) -> bool {
        matches!(&self.setup, Setup::Calling(calling) if calling.txn == txn)
    }

    fn handle_talk_told(&mut self, told: &Told, desk: &mut Desk<'_>) {
        let mut lost = false;
        for talk in &mut self.talks {
            if let Some(cause) = talk.handle_told(told, desk) {
                self.cause.get_or_insert(cause);
                lost = matches!(told.what, What::TimedOut | What::Unreachable);
            }
        }
        // A BYE is on its way, in case the far side comes back; only a phone is waited for.
        if lost && self.peer.trunk.is_some() {
            self.say_ended(desk);
        }
        self.conclude(desk);
    }

    /// The refusal is acknowledged, or the caller has withdrawn: nothing was ever talked.
    fn finish_setup(&mut self, desk: &mut Desk<'_>) {
        self.setup = Setup::Done;
        self.talks.iter_mut().for_each(|talk| talk.close(desk));
        self.conclude(desk);
    }

    // ---- time ----

    pub(crate) fn handle_timeout(&mut self, desk: &mut Desk<'_>) {
        match &mut self.setup {
            Setup::Calling(calling) => match calling.due(desk.now) {
                Some(Due::RangTooLong) => {
                    self.cause.get_or_insert(Cause::Lost);
                    calling.withdraw(self.id, self.peer, self.why, desk);
                }
                Some(Due::CancelUnheard) => {
                    desk.txns.abandon(calling.txn);
                    self.setup = Setup::Done;
                    self.fall_silent();
                }
                None => {}
            },
            Setup::Alerting(alerting) => alerting.handle_timeout(&self.local_tag, desk),
            Setup::Done => {}
        }
        self.handle_talk_timeouts(desk);
        if self.linger_until.is_some_and(|until| until <= desk.now) {
            self.linger_until = None;
        }
        self.conclude(desk);
    }

    /// Whose ACK never came gets a BYE. A trunk is not waited for any longer: who is silent for
    /// 64*T1 would be silent for the BYE's as well. A phone is, whoever called: see `Event::Ended`.
    fn handle_talk_timeouts(&mut self, desk: &mut Desk<'_>) {
        let mut lost = None;
        for talk in &mut self.talks {
            lost = talk.handle_timeout(desk).or(lost);
        }
        if let Some(cause) = lost {
            self.cause.get_or_insert(cause);
            self.hang_up_talks(desk);
            if self.placed.is_none() && self.peer.trunk.is_some() {
                self.say_ended(desk);
            }
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        let setup = match &self.setup {
            Setup::Calling(calling) => calling.poll_timeout(),
            Setup::Alerting(alerting) => alerting.poll_timeout(),
            Setup::Done => None,
        };
        let talks = self.talks.iter().filter_map(Talk::poll_timeout);
        talks.chain(setup).chain(self.linger_until).min()
    }

    // ---- the end ----

    /// Says `Ended` once nothing is left on the other side; until then that the far side has left, if
    /// it has.
    fn conclude(&mut self, desk: &mut Desk<'_>) {
        let settled = matches!(self.setup, Setup::Done);
        if settled && self.talks.iter().all(Talk::is_over) {
            self.say_ended(desk);
        }
        if self.ended || self.left || !settled {
            return;
        }
        if let Some(cause @ (Cause::Bye | Cause::Lost | Cause::Failed)) = self.cause {
            self.left = true;
            desk.say(Event::Left { leg: self.id, cause });
        }
    }

    fn say_ended(&mut self, desk: &mut Desk<'_>) {
        if self.ended {
            return;
        }
        self.ended = true;
        // A 2xx may still be on its way, or its ACK may get lost.
        self.linger_until = self.placed.as_ref().map(|_| desk.now + GIVE_UP);
        if let Some(trunk) = self.peer.trunk {
            desk.trunks.give_call_back(trunk);
        }
        desk.say(Event::Ended { leg: self.id, cause: self.cause.unwrap_or(Cause::Lost) });
    }
}

/// A leg nobody wants to answer.
const UNAVAILABLE: Refusal = Refusal { status: 480, retry_after_seconds: None, warning: None };

/// Of the topmost Via; empty where the sender knows of none.
pub(crate) fn branch(request: &Request) -> String {
    request.headers.top_via().ok().and_then(|via| via.branch).unwrap_or_default()
}

fn from_tag(request: &Request) -> String {
    let from = request.headers.from().ok();
    from.as_ref().and_then(|from| from.tag()).unwrap_or_default().to_owned()
}

/// RFC 3326.
pub(super) const fn reason(why: HangUp) -> &'static str {
    match why {
        HangUp::Normal => "Q.850;cause=16;text=\"Normal call clearing\"",
        HangUp::ElsewhereAnswered => "SIP;cause=200;text=\"Call completed elsewhere\"",
        HangUp::Failed => "Q.850;cause=41;text=\"Temporary failure\"",
    }
}

/// A "no" with what the layer above wants said.
pub(super) fn refusal_response(
    desk: &Desk<'_>,
    request: &Request,
    local_tag: &str,
    refusal: &Refusal,
) -> Response {
    let status = refusal.status.clamp(400, 699);
    let mut response = desk.response(request, status, local_tag);
    if let Some(seconds) = refusal.retry_after_seconds {
        response.headers.push("Retry-After", seconds.to_string());
    }
    if let Some((code, text)) = &refusal.warning {
        let (host, text) = (&desk.ours.domain, super::quoted(text));
        response.headers.push("Warning", format!("{code} {host} \"{text}\""));
    }
    response
}

impl What {
    fn is_of(&self, method: &Method) -> bool {
        match self {
            Self::Response(response) => {
                response.headers.cseq().is_ok_and(|(_, its)| its == *method)
            }
            Self::TimedOut | Self::Unreachable | Self::Acked => false,
        }
    }
}
