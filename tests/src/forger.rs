//! Somebody who hears every datagram and writes new ones with the right ids: BYE, CANCEL, re-INVITE
//! and answers for other people's calls, and digests that were good once. Wherever they come from,
//! if it is not the peer itself, they must have no effect.

use crate::{
    dice::Dice,
    net::Datagram,
    sip_text::{self, Request, Text},
};
use std::{collections::VecDeque, net::SocketAddr};

/// Messages remembered of each kind.
const REMEMBERED: usize = 8;
/// Far above any number of the dialog, so that the order of requests is no excuse.
const SKIPPED: u32 = 1_000;

/// What is forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    /// The peer's 200 or 486 to a call of the box.
    Answer {
        status: u16,
    },
    Bye,
    Cancel,
    Reinvite,
    /// A REGISTER with a digest that was good, for another place.
    Replay,
    /// Bytes of a call, cut off somewhere.
    Torn,
}

impl Forgery {
    pub const ALL: [Self; 8] = [
        Self::Answer { status: 200 },
        Self::Answer { status: 486 },
        Self::Bye,
        Self::Bye,
        Self::Cancel,
        Self::Reinvite,
        Self::Replay,
        Self::Torn,
    ];
}

/// What was overheard, newest last.
#[derive(Debug)]
pub struct Forger {
    exchange: SocketAddr,
    dice: Dice,
    /// INVITEs of peers, and of the box.
    invites: VecDeque<Datagram>,
    rings: VecDeque<Datagram>,
    /// ACKs in both directions: their dialogs are up.
    acks: VecDeque<Datagram>,
    registers: VecDeque<Datagram>,
}

impl Forger {
    pub fn new(exchange: SocketAddr, dice: Dice) -> Self {
        Self {
            exchange,
            dice,
            invites: VecDeque::new(),
            rings: VecDeque::new(),
            acks: VecDeque::new(),
            registers: VecDeque::new(),
        }
    }

    /// What has arrived: nobody can tell who was first to say what never came.
    pub fn overhear(&mut self, datagram: &Datagram) {
        let is = |start: &[u8]| datagram.bytes.starts_with(start);
        let into = if is(b"INVITE ") && datagram.from == self.exchange {
            &mut self.rings
        } else if is(b"INVITE ") {
            &mut self.invites
        } else if is(b"ACK ") {
            &mut self.acks
        } else if is(b"REGISTER ") && datagram.bytes.windows(13).any(|at| at == b"Authorization") {
            &mut self.registers
        } else {
            return;
        };
        if into.len() == REMEMBERED {
            into.pop_front();
        }
        into.push_back(datagram.clone());
    }

    /// A forgery that looks as if it came from a peer, which is told with it. `media`: where the
    /// forger wants to hear others.
    pub fn forge(&mut self, what: Forgery, media: SocketAddr) -> Option<(SocketAddr, Vec<u8>)> {
        match what {
            Forgery::Answer { status } => self.answer(status, media),
            Forgery::Bye => self.in_dialog("BYE", media),
            Forgery::Cancel => self.cancel(),
            Forgery::Reinvite => self.in_dialog("INVITE", media),
            Forgery::Replay => self.replay(media),
            Forgery::Torn => self.torn(),
        }
    }

    fn answer(&mut self, status: u16, media: SocketAddr) -> Option<(SocketAddr, Vec<u8>)> {
        let ring = pick(&self.rings, &mut self.dice)?;
        let text = Text::read(&ring.bytes)?;
        let more = format!("Contact: <sip:forged@{media}>\r\n");
        let body = sip_text::sdp(media, 1, "8", "sendrecv");
        let body = if status == 200 { body } else { String::new() };
        Some((ring.to, sip_text::response(&text, status, "forged", &more, &body)))
    }

    fn in_dialog(&mut self, method: &str, media: SocketAddr) -> Option<(SocketAddr, Vec<u8>)> {
        let ack = pick(&self.acks, &mut self.dice)?;
        let text = Text::read(&ack.bytes)?;
        let ours = ack.from == self.exchange;
        let (peer, from, to) = match ours {
            true => (ack.to, text.header("To")?, text.header("From")?),
            false => (ack.from, text.header("From")?, text.header("To")?),
        };
        let body = sip_text::sdp(media, 9, "8", "sendrecv");
        let request = Request {
            method,
            uri: &format!("sip:{}", self.exchange),
            via: peer,
            branch: &format!("z9hG4bKforged{}", self.dice.number(0..u64::MAX)),
            from,
            to,
            call_id: text.call_id(),
            cseq: text.cseq().0 + SKIPPED,
            more: &format!("Contact: <sip:forged@{media}>\r\n"),
            body: if method == "INVITE" { &body } else { "" },
        };
        Some((peer, request.to_bytes()))
    }

    fn cancel(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let invite = pick(&self.invites, &mut self.dice)?;
        let text = Text::read(&invite.bytes)?;
        let request = Request {
            method: "CANCEL",
            uri: text.start.split(' ').nth(1)?,
            via: invite.from,
            branch: text.branch(),
            from: text.header("From")?,
            to: text.header("To")?,
            call_id: text.call_id(),
            cseq: text.cseq().0,
            more: "",
            body: "",
        };
        Some((invite.from, request.to_bytes()))
    }

    /// The digest does not cover the Contact: as it was, or with another place in it.
    fn replay(&mut self, media: SocketAddr) -> Option<(SocketAddr, Vec<u8>)> {
        let register = pick(&self.registers, &mut self.dice)?;
        let text = str::from_utf8(&register.bytes).ok()?;
        let (start, rest) = text.split_once("Contact: <")?;
        let (_, rest) = rest.split_once('>')?;
        let (_, branch) = start.split_once("branch=")?;
        let branch = branch.split(';').next()?;
        let start = start.replace(branch, &format!("{branch}again"));
        let replayed = format!("{start}Contact: <sip:1001@{media}>{rest}");
        Some((register.from, replayed.into_bytes()))
    }

    /// What follows the cut is missing, so it is nothing.
    fn torn(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let invite = pick(&self.invites, &mut self.dice)?;
        let head = invite.bytes.windows(4).position(|at| at == b"\r\n\r\n")?;
        let cut = self.dice.place(head);
        Some((invite.from, invite.bytes[..cut].to_vec()))
    }
}

fn pick(from: &VecDeque<Datagram>, dice: &mut Dice) -> Option<Datagram> {
    (!from.is_empty()).then(|| from[dice.place(from.len())].clone())
}
