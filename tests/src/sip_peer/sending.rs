//! What a peer sends, and how it is repeated until it is answered (RFC 3261 §17, §13.3.1.4).

use super::{
    Due, FORK, GIVE_UP, SipPeer, T1, T2,
    dialog::{Pending, Role, Stage},
    habits::{Acks, Offer},
};
use crate::sip_text::{self, Request, Text};
use std::time::{Duration, Instant};

impl SipPeer {
    pub(super) fn bye(&mut self, place: usize, now: Instant) {
        self.dialogs[place].leave(Stage::Leaving);
        self.request(place, "BYE", "", now);
    }

    pub(super) fn wrong_bye(&mut self, place: usize, now: Instant) {
        let right = self.dialogs[place].remote.clone();
        self.dialogs[place].remote = format!("{right}x");
        let bytes = self.make(place, "BYE", "");
        self.dialogs[place].remote = right;
        self.transmit(bytes, now);
    }

    /// Its number was used by the INVITE, or before it.
    pub(super) fn stale_bye(&mut self, place: usize, now: Instant) {
        let branch = format!("z9hG4bK{}s", self.count());
        let to = self.dialogs[place].remote.clone();
        let bytes = self.in_dialog("BYE", place, &branch, 0, &to, "");
        self.transmit(bytes, now);
    }

    pub(super) fn cancel(&mut self, place: usize, now: Instant) {
        self.dialogs[place].cancel_wanted = false;
        let dialog = &self.dialogs[place];
        let (branch, cseq) = (dialog.invite_branch.clone(), dialog.invite_cseq);
        let bytes = self.in_dialog("CANCEL", place, &branch, cseq, &dialog.invite_to, "");
        self.reliably(place, &cancel_name(&branch), bytes, T2, false, now);
    }

    /// A request of its own in the dialog, repeated until a final answer comes.
    pub(super) fn request(&mut self, place: usize, method: &'static str, body: &str, now: Instant) {
        let bytes = self.make(place, method, body);
        let dialog = &mut self.dialogs[place];
        let branch = dialog.last_branch.clone();
        let first = method == "INVITE" && dialog.invite.is_empty();
        if first {
            dialog.invite.clone_from(&bytes);
            dialog.invite_branch.clone_from(&branch);
            dialog.invite_cseq = dialog.cseq;
            dialog.invite_to.clone_from(&dialog.remote);
        }
        if method == "INVITE" && body.is_empty() {
            dialog.offerless.push(dialog.cseq);
        }
        let cap = if method == "INVITE" { GIVE_UP } else { T2 };
        self.reliably(place, &branch, bytes, cap, false, now);
    }

    pub(super) fn make(&mut self, place: usize, method: &str, body: &str) -> Vec<u8> {
        let branch = format!("z9hG4bK{}p{}", self.count(), self.address.port());
        let dialog = &mut self.dialogs[place];
        dialog.cseq += 1;
        dialog.last_branch.clone_from(&branch);
        let (cseq, to) = (dialog.cseq, dialog.remote.clone());
        self.in_dialog(method, place, &branch, cseq, &to, body)
    }

    pub(super) fn in_dialog(
        &self,
        method: &str,
        place: usize,
        branch: &str,
        cseq: u32,
        to: &str,
        body: &str,
    ) -> Vec<u8> {
        let dialog = &self.dialogs[place];
        let routed = dialog.words.record_routes && dialog.invite.is_empty() && method == "INVITE";
        let route = match routed {
            true => format!("Record-Route: <sip:{};lr>\r\n", self.address),
            false => String::new(),
        };
        let more = format!("{route}Contact: <sip:{}@{}>\r\n", self.name, self.address);
        Request {
            method,
            uri: &dialog.target,
            via: self.address,
            branch,
            from: &dialog.local,
            to,
            call_id: &dialog.call_id,
            cseq,
            more: &more,
            body,
        }
        .to_bytes()
    }

    /// §13.2.2.4: each 2xx gets its ACK, the repeated ones too.
    pub(super) fn ack(&mut self, place: usize, ok: &Text<'_>, cseq: u32, now: Instant) {
        let dialog = &self.dialogs[place];
        let body = match dialog.offerless.contains(&cseq) && !ok.body.is_empty() {
            true => Offer::Both.sdp(dialog.rtp, 1),
            false => String::new(),
        };
        let to = match dialog.role {
            Role::Calling => ok.header("To").unwrap_or_default().to_owned(),
            Role::Called => dialog.remote.clone(),
        };
        let branch = format!("z9hG4bK{}a", self.count());
        let ack = self.in_dialog("ACK", place, &branch, cseq, &to, &body);
        match self.dialogs[place].words.acks {
            Acks::Late(after) => self.later(now + after, Due::Send(ack)),
            Acks::AtOnce | Acks::Never => self.transmit(ack, now),
        }
    }

    /// §17.1.1.3: it belongs to the transaction of its INVITE.
    pub(super) fn ack_refusal(&mut self, place: usize, text: &Text<'_>, cseq: u32, now: Instant) {
        let to = text.header("To").unwrap_or_default();
        let ack = self.in_dialog("ACK", place, text.branch(), cseq, to, "");
        self.transmit(ack, now);
    }

    /// What the INVITE gets; a final answer is repeated until its ACK.
    pub(super) fn answer_invite(&mut self, place: usize, status: u16, body: String, now: Instant) {
        let dialog = &self.dialogs[place];
        let Some(invite) = Text::read(&dialog.invite) else { return };
        let more = format!("Contact: <sip:{}@{}>\r\n", self.name, self.address);
        let bytes = sip_text::response(&invite, status, &dialog.tag, &more, &body);
        self.dialogs[place].last_answer.clone_from(&bytes);
        if status >= 200 {
            self.dialogs[place].final_status.get_or_insert(status);
            self.reliably(place, "answer", bytes, T2, true, now);
        } else {
            self.transmit(bytes, now);
        }
    }

    pub(super) fn repeat_answer(&mut self, place: usize, now: Instant) {
        let answer = self.dialogs[place].last_answer.clone();
        if !answer.is_empty() {
            self.transmit(answer, now);
        }
    }

    /// Once, and with a tag of its own.
    pub(super) fn fork(&mut self, place: usize, status: u16, now: Instant) {
        let dialog = &mut self.dialogs[place];
        dialog.forks += 1;
        let Some(invite) = Text::read(&dialog.invite) else { return };
        let more = format!("Contact: <sip:{}@{}>\r\n", self.name, self.address);
        let tag = format!("{FORK}{}{}", dialog.forks, dialog.tag);
        let body = if status == 200 { Offer::Both.sdp(dialog.rtp, 1) } else { String::new() };
        let bytes = sip_text::response(&invite, status, &tag, &more, &body);
        self.transmit(bytes, now);
    }

    pub(super) fn respond(&mut self, request: &Text<'_>, status: u16, now: Instant) {
        let bytes = sip_text::response(request, status, "stray", "", "");
        self.transmit(bytes, now);
    }

    pub(super) fn reliably(
        &mut self,
        place: usize,
        branch: &str,
        bytes: Vec<u8>,
        gap_max: Duration,
        is_answer: bool,
        now: Instant,
    ) {
        let token = self.count();
        let until = now + GIVE_UP;
        let pending =
            Pending { token, branch: branch.to_owned(), bytes, gap: T1, gap_max, until, is_answer };
        let bytes = pending.bytes.clone();
        self.dialogs[place].pending.push(pending);
        self.later(now + T1, Due::Repeat(place, token));
        self.transmit(bytes, now);
    }

    pub(super) fn repeat(&mut self, place: usize, token: u64, now: Instant) {
        let dialog = &mut self.dialogs[place];
        let Some(at) = dialog.pending.iter().position(|pending| pending.token == token) else {
            return;
        };
        if dialog.pending[at].until <= now {
            let given_up = dialog.pending.remove(at);
            return self.give_up(place, given_up.is_answer, now);
        }
        let pending = &mut dialog.pending[at];
        pending.gap = (pending.gap * 2).min(pending.gap_max);
        let (next, bytes) = (now + pending.gap, pending.bytes.clone());
        let next = next.min(pending.until);
        self.later(next, Due::Repeat(place, token));
        self.transmit(bytes, now);
    }

    /// §13.3.1.4: a 200 without its ACK is followed by a BYE; anything else just ends.
    pub(super) fn give_up(&mut self, place: usize, is_answer: bool, now: Instant) {
        let answered = self.dialogs[place].stage == Stage::Answered;
        match is_answer && answered {
            true => self.bye(place, now),
            false if is_answer => {}
            false => self.dialogs[place].leave(Stage::Over),
        }
    }

    pub(super) fn transmit(&mut self, bytes: Vec<u8>, now: Instant) {
        if self.lag.is_zero() {
            self.out.push_back(bytes);
        } else {
            let lag = self.dice.span(Duration::ZERO..self.lag);
            self.later(now + lag, Due::Send(bytes));
        }
    }
}

/// What a CANCEL is called among the pending: its branch is the INVITE's (§9.1).
pub(super) fn cancel_name(branch: &str) -> String {
    format!("{branch}/CANCEL")
}
