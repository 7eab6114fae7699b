//! What passes the door of the box, in both directions.

use super::{Answer, Dialog, GIVE_UP, LAST_WORDS, Model, Number};
use crate::sip_text::Text;
use media_core::order::PortName;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Instant,
};

impl Model {
    /// The box sends this.
    pub fn sent(&mut self, text: &Text<'_>, to: SocketAddr, now: Instant) -> Result<(), String> {
        // Who wants to register is asked who they are, and nothing else.
        let challenge = text.status() == Some(401) && text.cseq().1 == "REGISTER";
        if self.strangers.contains(&to) && !challenge {
            return Err(format!("a stranger is answered: {}", text.short()));
        }
        check_form(text)?;
        self.check_sequence(text)?;
        match (text.method(), text.status()) {
            (Some("INVITE"), _) if text.to_tag().is_none() => return self.invites(text, to, now),
            (Some("CANCEL"), _) => {
                if let Some(dialog) = self.dialog(text) {
                    dialog.cancel_sent = true;
                    dialog.dismissed.get_or_insert(now);
                    if dialog.gone.is_none() {
                        dialog.gone = Some(("the box sent CANCEL", now));
                    }
                }
            }
            (Some("ACK"), _) => self.goes_on(text, |answer| answer.acked = true),
            (Some("BYE"), _) => {
                self.goes_on(text, |answer| answer.ended = true);
                if let Some(dialog) = self.dialog(text) {
                    dialog.dismissed.get_or_insert(now);
                }
                self.is_dismissed(text, now);
            }
            (None, Some(status)) => {
                self.check_load(text, status)?;
                self.responds(text, status, now);
            }
            _ => {}
        }
        Ok(())
    }

    /// Who calls while there is no room hears no promise, and is not kept from the next box.
    fn check_load(&mut self, text: &Text<'_>, status: u16) -> Result<(), String> {
        let promise = text.cseq().1 == "INVITE" && (101..300).contains(&status);
        let came = self.dialog(text).is_some_and(|dialog| dialog.came_under_load);
        if came && promise {
            return Err(format!("promised without room for it: {}", text.short()));
        }
        let first = |dialog: &&mut Dialog| dialog.refused.is_none();
        if came && status == 503 && self.dialog(text).as_ref().is_some_and(first) {
            self.seen.refused_for_load += 1;
            if text.header("Retry-After").is_none() {
                return Err(format!("refused for want of room without a time: {}", text.short()));
            }
        }
        Ok(())
    }

    /// This reaches a peer.
    pub fn arrives(&mut self, text: &Text<'_>, now: Instant) {
        let told = matches!(text.method(), Some("CANCEL" | "BYE")) || text.status() >= Some(300);
        if let Some(dialog) = self.dialog(text).filter(|_| told) {
            dialog.told |= dialog.dismissed.is_none_or(|at| now <= at + GIVE_UP);
        }
    }

    /// This reaches the box.
    pub fn reached(&mut self, text: &Text<'_>, from: SocketAddr, now: Instant) {
        if self.is_forged(text, from) {
            return;
        }
        self.note_request(text, from);
        match (text.method(), text.status()) {
            (Some("INVITE"), _) if text.to_tag().is_none() => {
                let died = self.died();
                let known = self.dialog(text).is_some_and(|dialog| {
                    let open = dialog.answered.is_none() && dialog.refused.is_none();
                    let cut_off = open && died.is_some_and(|died| dialog.invited <= died);
                    let over = dialog.dismissed.is_some() || dialog.gone.is_some();
                    // The box knows it again for as long as its sender may repeat it, from the end on.
                    let ended = dialog.dismissed.max(dialog.gone.map(|(_, at)| at));
                    let ended = ended.unwrap_or(dialog.invited);
                    let straggler = over && now > ended + GIVE_UP;
                    !straggler && !cut_off
                });
                if known {
                    self.seen.duplicate_invite += 1;
                    let loaded = self.loaded;
                    // A phone that was not signed in yet was not heard at the first try.
                    if let Some(dialog) = self.dialog(text).filter(|dialog| dialog.phone) {
                        dialog.came_under_load &= dialog.heard || loaded;
                    }
                } else if !self.strangers.contains(&from) {
                    self.add(text, from, false, now);
                }
            }
            (Some("ACK"), _) => {
                if let Some(dialog) = self.dialog(text) {
                    dialog.confirmed |= dialog.answered.is_some();
                }
            }
            (Some("CANCEL"), _) => {
                if let Some(dialog) = self.dialog(text) {
                    dialog.cancel_heard = true;
                    let crossed = dialog.answered.is_some();
                    self.seen.callers_cancel_crossed_200 += u64::from(crossed);
                }
            }
            (Some("BYE"), _) => {
                if let Some(dialog) = self.dialog(text) {
                    dialog.byes.insert(text.branch().to_owned());
                }
            }
            (None, Some(status)) if text.cseq().1 == "INVITE" => {
                self.is_answered(text, status, now);
            }
            _ => {}
        }
    }

    fn invites(&mut self, text: &Text<'_>, to: SocketAddr, now: Instant) -> Result<(), String> {
        if self.by_call_id.contains_key(text.call_id()) {
            return Ok(());
        }
        let place = self.add(text, to, true, now);
        self.name_port(text, place);
        let number = self.dialogs[place].number;
        if number.queue && self.phones.contains(&to) {
            self.check_order(text.from_user(), number, now)?;
        }
        Ok(())
    }

    /// Who came first is served first: nobody who came earlier may be left waiting now.
    fn check_order(&self, from_user: &str, number: Number, now: Instant) -> Result<(), String> {
        let Some(&served) = self.callers.get(from_user) else { return Ok(()) };
        let served = &self.dialogs[served];
        let earlier = self.callers.iter().find(|(from, place)| {
            let other = &self.dialogs[**place];
            let waits = other.number.queue && other.welcomed && other.gone.is_none();
            let rung = self.rang_for.get(*from).map_or(&[][..], Vec::as_slice);
            let busy = rung.iter().any(|&rung| self.dialogs[rung].may_engage(number.ring, now));
            waits && other.invited < served.invited && !busy
        });
        match earlier {
            Some((other, _)) => {
                Err(format!("{from_user} is served before {other}, who came first"))
            }
            None => Ok(()),
        }
    }

    /// The box's requests in a dialog count up (RFC 3261 §12.2.1.1).
    fn check_sequence(&mut self, text: &Text<'_>) -> Result<(), String> {
        let (cseq, method) = text.cseq();
        let own = text.method().is_some_and(|method| !matches!(method, "ACK" | "CANCEL"));
        let Some(dialog) = self.dialog(text).filter(|_| own) else { return Ok(()) };
        let tag = text.to_tag().unwrap_or_default().to_owned();
        let (last, branches) = dialog.sequences.entry(tag).or_default();
        if branches.iter().any(|branch| branch == text.branch()) {
            return Ok(()); // A repeat, perhaps overtaken by a later request.
        }
        if cseq <= *last {
            return Err(format!("CSeq {cseq} {method} after {last}"));
        }
        *last = cseq;
        branches.push(text.branch().to_owned());
        Ok(())
    }

    fn goes_on(&mut self, text: &Text<'_>, with: impl FnOnce(&mut Answer)) {
        let tag = text.to_tag().unwrap_or_default();
        if let Some(answer) = self.dialog(text).and_then(|dialog| dialog.answers.get_mut(tag)) {
            with(answer);
        }
    }

    /// All ids may be right: it does not come from whom the call is with.
    fn is_forged(&self, text: &Text<'_>, from: SocketAddr) -> bool {
        let place = self.by_call_id.get(text.call_id());
        place.is_some_and(|&place| self.dialogs[place].peer.ip() != from.ip())
    }

    fn note_request(&mut self, text: &Text<'_>, from: SocketAddr) {
        let Some(method) = text.method().filter(|method| *method != "ACK") else { return };
        // A phone that is not signed in is a stranger to the box.
        let unknown = matches!(method, "INVITE" | "CANCEL") && self.phones.contains(&from);
        if !unknown && !self.strangers.contains(&from) {
            let name = (text.branch().to_owned(), method.to_owned());
            self.requests.entry(name).or_insert_with(|| Some(text.call_id().to_owned()));
        }
    }

    fn add(&mut self, invite: &Text<'_>, peer: SocketAddr, called: bool, now: Instant) -> usize {
        let place = self.dialogs.len();
        self.by_call_id.insert(invite.call_id().to_owned(), place);
        let from_user = invite.from_user().to_owned();
        if called {
            self.rang_for.entry(from_user).or_default().push(place);
        } else if from_user.starts_with('+') {
            self.callers.insert(from_user, place);
        }
        let invited = self.died().filter(|_| self.first_turn).unwrap_or(now);
        self.dialogs.push(Dialog {
            called,
            peer,
            phone: self.phones.contains(&peer),
            from_user: invite.from_user().to_owned(),
            invited,
            number: (self.number)(invite.to_user()),
            heard: false,
            welcomed: false,
            came_under_load: !called && self.loaded,
            answered: None,
            confirmed: false,
            declined: false,
            sequences: BTreeMap::new(),
            answers: BTreeMap::new(),
            gone: None,
            dismissed: None,
            told: false,
            byes: BTreeSet::new(),
            cancel_heard: false,
            left: None,
            cancel_sent: false,
            crossed: false,
            bridged: None,
            refused: None,
            call: None,
        });
        place
    }

    fn responds(&mut self, text: &Text<'_>, status: u16, now: Instant) {
        let (_, method) = text.cseq();
        let name = (text.branch().to_owned(), method.to_owned());
        self.requests.insert(name, None);
        let Some(&place) = self.by_call_id.get(text.call_id()) else { return };
        let called = self.dialogs[place].called;
        self.dialogs[place].welcomed |= method == "INVITE" && (101..300).contains(&status);
        match (method, status) {
            ("INVITE", 200..300) => {
                self.dialogs[place].answered.get_or_insert(now);
                // An answer of the process before is repeated; there is no media behind it.
                if !self.is_of_before(&self.dialogs[place]) {
                    self.name_port(text, place);
                }
            }
            ("INVITE", 300..) if !called && self.dialogs[place].answered.is_none() => {
                self.dialogs[place].refused.get_or_insert(status);
                self.dialogs[place].dismissed.get_or_insert(now);
                self.leaves(text, "the box refused", now);
            }
            ("BYE", 200..300) => {
                if self.dialogs[place].byes.contains(text.branch()) {
                    self.dialogs[place].left.get_or_insert(now);
                }
                self.leaves(text, "the box answered a BYE", now);
            }
            ("CANCEL", 200..300) if self.dialogs[place].cancel_heard => {
                let dialog = &mut self.dialogs[place];
                if dialog.answered.is_none() && dialog.refused.is_none() {
                    dialog.left.get_or_insert(now);
                }
            }
            _ => {}
        }
    }

    /// The box sent BYE.
    fn is_dismissed(&mut self, text: &Text<'_>, now: Instant) {
        let Some(&place) = self.by_call_id.get(text.call_id()) else { return };
        let dialog = &self.dialogs[place];
        if dialog.answers.len() > 1 && dialog.bridged.is_some() {
            return; // The BYE to another branch of a fork ends only that.
        }
        if !dialog.called && dialog.phone && !dialog.confirmed {
            // The phone never had our 200: it may not know of the call, and its seat is kept until
            // it has answered the BYE. So long the other side hears nothing, and nobody else.
            self.owed.insert((now + GIVE_UP + LAST_WORDS, place));
            return;
        }
        self.leaves(text, "the box sent BYE", now);
    }

    fn leaves(&mut self, text: &Text<'_>, why: &'static str, now: Instant) {
        if let Some(&place) = self.by_call_id.get(text.call_id()) {
            self.goes(place, why, now);
        }
    }

    fn is_answered(&mut self, text: &Text<'_>, status: u16, now: Instant) {
        let Some(dialog) = self.dialog(text).filter(|dialog| dialog.called) else { return };
        dialog.heard |= now < dialog.invited + GIVE_UP;
        dialog.declined |= status >= 300;
        let given_up = dialog.dismissed.is_some_and(|at| now >= at + GIVE_UP) && !dialog.told;
        if (200..300).contains(&status) && dialog.heard && !given_up {
            let tag = text.to_tag().unwrap_or_default().to_owned();
            let forked = !dialog.answers.is_empty() && !dialog.answers.contains_key(&tag);
            dialog.answers.entry(tag).or_default();
            self.seen.fork_with_two_2xx += u64::from(forked);
        }
        let Some(dialog) = self.dialog(text) else { return };
        if (200..300).contains(&status) && dialog.cancel_sent && !dialog.crossed {
            dialog.crossed = true;
            self.seen.cancel_crossed_200 += 1;
        }
    }

    fn name_port(&mut self, text: &Text<'_>, place: usize) {
        if let Some(port) = text.audio_port() {
            self.by_port.insert(PortName(port), place);
        }
    }

    fn dialog(&mut self, text: &Text<'_>) -> Option<&mut Dialog> {
        let &place = self.by_call_id.get(text.call_id())?;
        Some(&mut self.dialogs[place])
    }

    pub(super) fn goes(&mut self, place: usize, why: &'static str, now: Instant) {
        let dialog = &mut self.dialogs[place];
        if dialog.gone.is_none() {
            dialog.gone = Some((why, now));
            if !dialog.called {
                self.owed.insert((now + LAST_WORDS, place));
            }
        }
    }
}

/// What every message of the box must have (RFC 3261 §8.1.1, §20.14).
fn check_form(text: &Text<'_>) -> Result<(), String> {
    if text.status() == Some(400) {
        return Ok(()); // Made of what could be read.
    }
    let missing = ["Via", "From", "To", "Call-ID", "CSeq", "Content-Length"]
        .into_iter()
        .find(|name| text.header(name).is_none());
    if let Some(name) = missing {
        return Err(format!("no {name} in {}", text.short()));
    }
    let length = text.header("Content-Length").and_then(|length| length.parse().ok());
    if length != Some(text.body.len()) {
        return Err(format!("Content-Length {length:?}, {} bytes of body", text.body.len()));
    }
    let (_, named) = text.cseq();
    match text.method() {
        Some(method) if method != named => Err(format!("{method} with CSeq {named}")),
        Some(_) if text.header("Max-Forwards").is_none() => Err("no Max-Forwards".to_owned()),
        Some(_) | None => Ok(()),
    }
}
