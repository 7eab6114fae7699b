//! A SIP user agent of the world: a carrier's side of its calls, or an agent's phone. Polite, slow
//! or broken, by habit and by plan. Own small machines over text; no sockets, no clock.

pub mod dialog;
pub mod habits;
mod sending;

use crate::{
    dice::Dice,
    sip_text::{self, Text},
};
use dialog::{Dialog, Role, Stage};
use habits::{Acks, Act, CallPlan, Habits, Offer, Words};
use sending::cancel_name;
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// RFC 3261 §17: first gap between repeats, longest gap, and when it is given up.
const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);
const GIVE_UP: Duration = Duration::from_secs(32);

/// How the tags of another branch of a fork begin.
const FORK: &str = "fork";

/// One user agent at one address.
#[derive(Debug)]
pub struct SipPeer {
    pub name: String,
    pub address: SocketAddr,
    pub habits: Habits,
    exchange: SocketAddr,
    /// How long it thinks before it sends anything.
    lag: Duration,
    dice: Dice,
    dialogs: Vec<Dialog>,
    by_call_id: BTreeMap<String, usize>,
    agenda: BTreeMap<(Instant, u64), Due>,
    out: VecDeque<Vec<u8>>,
    notes: VecDeque<Note>,
    /// For branches, tags, ports and places in the agenda.
    counter: u64,
    /// Where its audio lives; the port counts on with each dialog.
    next_rtp: u16,
}

/// What the rest of the world should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Somebody at this peer wants to answer exactly now; seldom, the caller leaves exactly now.
    Answering { from_user: String },
    /// The whole peer is gone: power cut.
    Dead,
    /// No audio comes from here any more.
    FellSilent(SocketAddr),
    /// The agent goes, and the phone says so or lets its registration run out.
    SignsOff { forgets: bool },
    /// Audio comes again.
    Speaks(SocketAddr),
}

#[derive(Debug)]
enum Due {
    Do(usize, Act),
    /// Nobody waits for the end of this one any longer.
    Forget(usize),
    Repeat(usize, u64),
    Send(Vec<u8>),
}

impl SipPeer {
    pub fn new(
        name: &str,
        address: SocketAddr,
        exchange: SocketAddr,
        lag: Duration,
        habits: Habits,
        dice: Dice,
    ) -> Self {
        Self {
            name: name.to_owned(),
            address,
            habits,
            exchange,
            lag,
            dice,
            dialogs: vec![],
            by_call_id: BTreeMap::new(),
            agenda: BTreeMap::new(),
            out: VecDeque::new(),
            notes: VecDeque::new(),
            counter: 0,
            next_rtp: 30_000,
        }
    }

    /// Places a call; gives its Call-ID.
    pub fn dial(&mut self, plan: &CallPlan, now: Instant) -> String {
        let tag = self.count();
        let call_id = format!("{}{tag}@{}", self.name, self.address.ip());
        let rtp = self.next_rtp();
        let number = &plan.number;
        let mut dialog = Dialog::calling(&call_id, rtp, &plan.from_user, plan.words);
        dialog.local = format!("<sip:{}@{}>;tag=t{tag}", plan.from_user, self.address.ip());
        dialog.remote = format!("<sip:{number}@{}>", self.exchange.ip());
        dialog.target = format!("sip:{number}@{}", self.exchange);
        dialog.dialled.clone_from(number);
        let place = self.add(dialog);
        let body = plan.offer.sdp(rtp, 1);
        self.request(place, "INVITE", &body, now);
        for (after, act) in &plan.acts {
            self.later(now + *after, Due::Do(place, *act));
        }
        call_id
    }

    /// Lets a call do something now, if it is still there.
    pub fn act(&mut self, call_id: &str, act: Act, now: Instant) {
        if let Some(&place) = self.by_call_id.get(call_id) {
            self.carry_out(place, act, now);
        }
    }

    pub fn handle_datagram(&mut self, bytes: &[u8], now: Instant) {
        let Some(text) = Text::read(bytes) else { return };
        match text.method() {
            Some(method) => self.handle_request(&text, method, now),
            None => self.handle_response(&text, now),
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(first) = self.agenda.first_entry() {
            if first.key().0 > now {
                return;
            }
            match first.remove() {
                Due::Do(place, act) => self.carry_out(place, act, now),
                Due::Forget(place) => self.dialogs[place].leave(Stage::Over),
                Due::Repeat(place, token) => self.repeat(place, token, now),
                Due::Send(bytes) => self.out.push_back(bytes),
            }
        }
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    pub fn poll_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.agenda.first_key_value().map(|(&(at, _), _)| at)
    }

    pub fn dialogs(&self) -> &[Dialog] {
        &self.dialogs
    }

    pub fn dialog(&self, call_id: &str) -> Option<&Dialog> {
        self.by_call_id.get(call_id).map(|&place| &self.dialogs[place])
    }

    /// Power cut: what was said and planned is gone.
    pub fn die(&mut self) {
        for dialog in &mut self.dialogs {
            if !dialog.is_over() {
                self.notes.push_back(Note::FellSilent(dialog.rtp));
            }
            dialog.leave(Stage::Over);
        }
        self.by_call_id.clear();
        self.agenda.clear();
        self.out.clear();
    }

    /// Whoever talks here hangs up soon, and nobody plans to leave before.
    pub fn calm_down(&mut self, now: Instant) {
        let planned = |due: &Due| match due {
            Due::Do(_, act) => act.is_whim(),
            Due::Forget(_) | Due::Repeat(..) | Due::Send(_) => false,
        };
        self.agenda.retain(|_, due| !planned(due));
        self.habits = Habits::Eager;
        for place in 0..self.dialogs.len() {
            let dialog = &mut self.dialogs[place];
            dialog.words = Words::default();
            if dialog.role == Role::Called && !dialog.is_over() {
                let answered = dialog.stage == Stage::Answered;
                self.later(
                    now + Duration::from_millis(400),
                    Due::Do(place, Act::Answer(Offer::Both)),
                );
                let after = if answered { 1_000 } else { 3_000 };
                self.later(now + Duration::from_millis(after), Due::Do(place, Act::HangUp));
            }
        }
    }

    /// Everybody here goes home.
    pub fn hang_up_all(&mut self, now: Instant) {
        for place in 0..self.dialogs.len() {
            self.carry_out(place, Act::HangUp, now);
        }
    }

    fn handle_request(&mut self, text: &Text<'_>, method: &str, now: Instant) {
        let Some(&place) = self.by_call_id.get(text.call_id()) else {
            match method {
                "INVITE" if text.to_tag().is_none() => self.called(text, now),
                "ACK" => {}
                _ => self.respond(text, 481, now),
            }
            return;
        };
        if self.dialogs[place].words.deaf {
            return;
        }
        if text.to_tag().is_some_and(|tag| tag.starts_with(FORK)) {
            if method != "ACK" {
                self.respond(text, 200, now);
            }
            return;
        }
        match method {
            "INVITE" => self.repeat_answer(place, now),
            "ACK" => self.dialogs[place].pending.retain(|pending| !pending.is_answer),
            "CANCEL" => self.cancelled(place, text, now),
            "BYE" => {
                self.silence(place);
                self.respond(text, 200, now);
                self.dialogs[place].leave(Stage::Over);
            }
            _ if self.dialogs[place].is_over() => self.respond(text, 481, now),
            _ => self.respond(text, 200, now),
        }
    }

    /// The box rings here.
    fn called(&mut self, invite: &Text<'_>, now: Instant) {
        let rtp = self.next_rtp();
        let tag = self.count();
        let mut dialog = Dialog::called(invite, rtp, format!("t{tag}"));
        dialog.hears = invite.audio_port();
        let place = self.add(dialog);
        for (after, act) in self.habits.on_called(&mut self.dice) {
            self.later(now + after, Due::Do(place, act));
        }
    }

    fn cancelled(&mut self, place: usize, cancel: &Text<'_>, now: Instant) {
        self.respond(cancel, 200, now);
        if self.dialogs[place].stage == Stage::Ringing {
            self.answer_invite(place, 487, String::new(), now);
            self.dialogs[place].leave(Stage::Over);
        }
    }

    fn handle_response(&mut self, text: &Text<'_>, now: Instant) {
        let Some(&place) = self.by_call_id.get(text.call_id()) else { return };
        let Some(status) = text.status() else { return };
        let dialog = &mut self.dialogs[place];
        if dialog.words.deaf && dialog.is_over() {
            return;
        }
        let (cseq, method) = text.cseq();
        if method == "INVITE" {
            return match dialog.role {
                Role::Calling if cseq == dialog.invite_cseq => {
                    self.handle_invite_response(place, text, status, now);
                }
                Role::Calling | Role::Called if status >= 300 => {
                    dialog.settle(text.branch());
                    self.ack_refusal(place, text, cseq, now);
                }
                Role::Calling | Role::Called if status >= 200 => {
                    dialog.settle(text.branch());
                    self.ack(place, text, cseq, now);
                }
                Role::Calling | Role::Called => {}
            };
        }
        if status < 200 {
            return;
        }
        match method {
            "CANCEL" => dialog.settle(&cancel_name(text.branch())),
            _ => dialog.settle(text.branch()),
        }
        if method == "BYE" && dialog.stage == Stage::Leaving {
            dialog.leave(Stage::Over);
        }
    }

    fn handle_invite_response(&mut self, place: usize, text: &Text<'_>, status: u16, now: Instant) {
        let dialog = &mut self.dialogs[place];
        let invite_branch = dialog.invite_branch.clone();
        dialog.settle(&invite_branch);
        match status {
            100..200 => {
                dialog.progress(status);
                if dialog.cancel_wanted {
                    self.cancel(place, now);
                }
            }
            200..300 => self.answered(place, text, now),
            _ => {
                dialog.final_status.get_or_insert(status);
                dialog.leave(Stage::Over);
                let cseq = dialog.invite_cseq;
                self.ack_refusal(place, text, cseq, now);
            }
        }
    }

    fn answered(&mut self, place: usize, text: &Text<'_>, now: Instant) {
        let dialog = &mut self.dialogs[place];
        let first = !dialog.heard_200;
        dialog.heard_200 = true;
        dialog.final_status.get_or_insert(200);
        dialog.hears = text.audio_port().or(dialog.hears);
        if let Some(to) = text.header("To") {
            to.clone_into(&mut dialog.remote);
        }
        if let Some(contact) = text.contact() {
            contact.clone_into(&mut dialog.target);
        }
        let (stage, words) = (dialog.stage, dialog.words);
        if words.acks != Acks::Never || stage != Stage::Dialling && stage != Stage::Ringing {
            let cseq = self.dialogs[place].invite_cseq;
            self.ack(place, text, cseq, now);
        }
        match stage {
            Stage::Dialling | Stage::Ringing => {
                self.dialogs[place].stage = Stage::Answered;
                self.notes.push_back(Note::Speaks(self.dialogs[place].rtp));
            }
            // The 200 crossed our CANCEL, or comes after we gave up: the call is there and must
            // be ended properly (§9.1).
            Stage::Leaving | Stage::Over if first => self.bye(place, now),
            Stage::Answered | Stage::Leaving | Stage::Over => {}
        }
    }

    fn carry_out(&mut self, place: usize, act: Act, now: Instant) {
        let stage = self.dialogs[place].stage;
        let role = self.dialogs[place].role;
        match (act, role, stage) {
            (Act::Ring, Role::Called, Stage::Ringing) => self.ring(place, now),
            (Act::Answer(offer), Role::Called, Stage::Ringing) => self.answer(place, offer, now),
            (Act::AnswerElsewhere, Role::Called, Stage::Answered) => self.fork(place, 200, now),
            (Act::RingElsewhere, Role::Called, Stage::Ringing) => self.fork(place, 180, now),
            (Act::AnswerAgain, Role::Called, Stage::Answered) => self.repeat_answer(place, now),
            (Act::StaleBye, Role::Calling, Stage::Answered) => self.stale_bye(place, now),
            (Act::SignOff { forgets }, _, _) => self.notes.push_back(Note::SignsOff { forgets }),
            (Act::Refuse(status), Role::Called, Stage::Ringing) => {
                self.answer_invite(place, status, String::new(), now);
                self.dialogs[place].leave(Stage::Over);
            }
            (Act::HangUp, _, _) => self.hang_up(place, now),
            (Act::Die, _, Stage::Answered) => self.notes.push_back(Note::Dead),
            (Act::Vanish, _, _) => {
                self.silence(place);
                self.dialogs[place].words.deaf = true;
                self.dialogs[place].vanished = true;
                self.dialogs[place].leave(Stage::Over);
            }
            (Act::RepeatInvite, Role::Calling, Stage::Dialling | Stage::Ringing) => {
                let invite = self.dialogs[place].invite.clone();
                self.transmit(invite, now);
            }
            (Act::LateCancel, Role::Calling, Stage::Answered) => self.cancel(place, now),
            (Act::Ask(method), _, Stage::Answered) => self.request(place, method, "", now),
            (Act::Reinvite { direction }, _, Stage::Answered) => {
                let rtp = self.dialogs[place].rtp;
                let body = sip_text::sdp(rtp, 2, "8 0 101", direction);
                self.request(place, "INVITE", &body, now);
            }
            (Act::ReinviteWithoutOffer, _, Stage::Answered) => {
                self.request(place, "INVITE", "", now);
            }
            (Act::Mute, _, Stage::Answered) => {
                self.notes.push_back(Note::FellSilent(self.dialogs[place].rtp));
            }
            (Act::Unmute, _, Stage::Answered) => {
                self.notes.push_back(Note::Speaks(self.dialogs[place].rtp));
            }
            (Act::WrongBye, _, Stage::Answered) => self.wrong_bye(place, now),
            // Its moment has passed.
            (
                Act::Answer(_)
                | Act::AnswerAgain
                | Act::AnswerElsewhere
                | Act::Ask(_)
                | Act::Die
                | Act::LateCancel
                | Act::Mute
                | Act::Refuse(_)
                | Act::Reinvite { .. }
                | Act::ReinviteWithoutOffer
                | Act::RepeatInvite
                | Act::Ring
                | Act::RingElsewhere
                | Act::StaleBye
                | Act::Unmute
                | Act::WrongBye,
                ..,
            ) => {}
        }
    }

    fn ring(&mut self, place: usize, now: Instant) {
        self.dialogs[place].progress(180);
        self.answer_invite(place, 180, String::new(), now);
    }

    fn answer(&mut self, place: usize, offer: Offer, now: Instant) {
        let dialog = &mut self.dialogs[place];
        dialog.stage = Stage::Answered;
        let (rtp, from_user) = (dialog.rtp, dialog.from_user.clone());
        self.notes.push_back(Note::Answering { from_user });
        self.notes.push_back(Note::Speaks(rtp));
        self.answer_invite(place, 200, offer.sdp(rtp, 1), now);
    }

    /// Leaves, whatever the moment asks for.
    fn hang_up(&mut self, place: usize, now: Instant) {
        self.silence(place);
        let dialog = &mut self.dialogs[place];
        match (dialog.role, dialog.stage) {
            (_, Stage::Answered) => self.bye(place, now),
            (Role::Calling, Stage::Dialling) => {
                // §9.1: no CANCEL before a provisional answer.
                dialog.cancel_wanted = true;
                dialog.stage = Stage::Leaving;
                self.later(now + GIVE_UP * 2, Due::Forget(place));
                if self.dialogs[place].heard_100 {
                    self.cancel(place, now);
                }
            }
            (Role::Calling, Stage::Ringing) => {
                dialog.stage = Stage::Leaving;
                self.later(now + GIVE_UP * 2, Due::Forget(place));
                self.cancel(place, now);
            }
            (Role::Called, Stage::Dialling | Stage::Ringing) => {
                self.answer_invite(place, 480, String::new(), now);
                self.dialogs[place].leave(Stage::Over);
            }
            (_, Stage::Leaving | Stage::Over) => {}
        }
    }

    fn silence(&mut self, place: usize) {
        if self.dialogs[place].stage == Stage::Answered {
            self.notes.push_back(Note::FellSilent(self.dialogs[place].rtp));
        }
    }

    fn later(&mut self, at: Instant, due: Due) {
        let count = self.count();
        self.agenda.insert((at, count), due);
    }

    fn add(&mut self, dialog: Dialog) -> usize {
        let place = self.dialogs.len();
        self.by_call_id.insert(dialog.call_id.clone(), place);
        self.dialogs.push(dialog);
        place
    }

    fn next_rtp(&mut self) -> SocketAddr {
        self.next_rtp += 2;
        SocketAddr::new(self.address.ip(), self.next_rtp)
    }

    fn count(&mut self) -> u64 {
        self.counter += 1;
        self.counter
    }
}
