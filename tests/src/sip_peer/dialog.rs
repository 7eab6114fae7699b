//! One call as a peer sees it.

use super::habits::{Acks, Words};
use crate::sip_text::Text;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Well before an ACK is given up.
const IN_TIME: Duration = Duration::from_secs(20);

/// Who sent the INVITE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The box did.
    Called,
    /// This peer did.
    Calling,
}

/// Where the call is, for the person at this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Dialling,
    Ringing,
    Answered,
    /// Has hung up here; the box is still being told.
    Leaving,
    Over,
}

/// A message that is sent again until it is answered.
#[derive(Debug)]
pub struct Pending {
    pub(super) token: u64,
    pub(super) branch: String,
    pub(super) bytes: Vec<u8>,
    pub(super) gap: Duration,
    pub(super) gap_max: Duration,
    pub(super) until: Instant,
    /// A final answer to an INVITE: its ACK settles it.
    pub(super) is_answer: bool,
}

/// One call.
#[derive(Debug)]
pub struct Dialog {
    pub call_id: String,
    pub role: Role,
    pub stage: Stage,
    /// User part of From in the INVITE.
    pub from_user: String,
    /// The number, if this end dialled it.
    pub dialled: String,
    /// `X-Clavija-Call` of the INVITE, if the box sent it.
    pub call_name: Option<String>,
    /// Where this end wants its audio; no other dialog of the world has it.
    pub rtp: SocketAddr,
    /// The port of the box, as its session description said here.
    pub hears: Option<u16>,
    /// The first final answer to the INVITE, heard or said.
    pub final_status: Option<u16>,
    /// Gone without a word.
    pub vanished: bool,
    pub(super) words: Words,
    /// Numbers of INVITEs sent without an offer: their ACK carries the answer.
    pub(super) offerless: Vec<u32>,
    /// From and To of requests of this end.
    pub(super) local: String,
    pub(super) remote: String,
    pub(super) target: String,
    pub(super) tag: String,
    pub(super) cseq: u32,
    /// The INVITE as sent or received.
    pub(super) invite: Vec<u8>,
    pub(super) invite_branch: String,
    pub(super) invite_cseq: u32,
    /// To of the INVITE as sent, for CANCEL.
    pub(super) invite_to: String,
    pub(super) last_branch: String,
    pub(super) last_answer: Vec<u8>,
    pub(super) pending: Vec<Pending>,
    pub(super) heard_100: bool,
    pub(super) heard_200: bool,
    pub(super) cancel_wanted: bool,
    /// Other branches that have answered.
    pub(super) forks: u32,
}

impl Dialog {
    pub(super) fn calling(call_id: &str, rtp: SocketAddr, from_user: &str, words: Words) -> Self {
        Self {
            call_id: call_id.to_owned(),
            role: Role::Calling,
            stage: Stage::Dialling,
            from_user: from_user.to_owned(),
            dialled: String::new(),
            call_name: None,
            rtp,
            hears: None,
            final_status: None,
            vanished: false,
            words,
            offerless: vec![],
            local: String::new(),
            remote: String::new(),
            target: String::new(),
            tag: String::new(),
            cseq: 0,
            invite: vec![],
            invite_branch: String::new(),
            invite_cseq: 0,
            invite_to: String::new(),
            last_branch: String::new(),
            last_answer: vec![],
            pending: vec![],
            heard_100: false,
            heard_200: false,
            cancel_wanted: false,
            forks: 0,
        }
    }

    pub(super) fn called(invite: &Text<'_>, rtp: SocketAddr, tag: String) -> Self {
        let text = |name| invite.header(name).unwrap_or_default().to_owned();
        let mut dialog = Self::calling(invite.call_id(), rtp, invite.from_user(), Words::default());
        dialog.role = Role::Called;
        dialog.stage = Stage::Ringing;
        dialog.call_name = invite.header("X-Clavija-Call").map(str::to_owned);
        dialog.local = format!("{};tag={tag}", text("To"));
        dialog.remote = text("From");
        dialog.target = invite.contact().unwrap_or_default().to_owned();
        dialog.tag = tag;
        dialog.cseq = 100;
        dialog.invite = whole(invite);
        dialog
    }

    /// Nothing is left of it at this end, or at least nobody holds the receiver.
    pub fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Leaving | Stage::Over)
    }

    /// Somebody at this end is being rung or talks.
    pub fn is_alive(&self) -> bool {
        match (self.role, self.stage) {
            (Role::Called, Stage::Dialling | Stage::Ringing) | (_, Stage::Answered) => true,
            // A call of one's own is one only once the box has taken it.
            (Role::Calling, Stage::Ringing) => true,
            (Role::Calling, Stage::Dialling) | (_, Stage::Leaving | Stage::Over) => false,
        }
    }

    /// Confirms what it is told, in time for RFC 3261 §13.3.1.4.
    pub fn acks(&self) -> bool {
        let acks = match self.words.acks {
            Acks::AtOnce => true,
            Acks::Late(after) => after < IN_TIME,
            Acks::Never => false,
        };
        acks && !self.words.deaf
    }

    /// What is being repeated stops, but for a final answer that still waits for its ACK.
    pub(super) fn leave(&mut self, stage: Stage) {
        self.stage = stage;
        let deaf = self.words.deaf;
        self.pending.retain(|pending| pending.is_answer && !deaf);
    }

    pub(super) fn progress(&mut self, status: u16) {
        self.heard_100 = true;
        if status > 100 && self.stage == Stage::Dialling {
            self.stage = Stage::Ringing;
        }
    }

    /// The request of this branch has its answer.
    pub(super) fn settle(&mut self, branch: &str) {
        self.pending.retain(|pending| pending.is_answer || pending.branch != branch);
    }
}

/// The head is all that answers are made from.
fn whole(invite: &Text<'_>) -> Vec<u8> {
    let mut text = format!("{}\r\n", invite.start);
    for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
        for value in invite.headers(name) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    text.push_str("\r\n");
    text.into_bytes()
}
