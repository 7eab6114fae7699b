//! Who calls whom and speaks what: the words of callers and callees.

use super::call::Call;
use crate::load::sip::{self, Crypto, Format, KEY_BYTES, Request, Text};
use std::net::SocketAddr;

pub(super) struct Parties {
    pub(super) caller: SocketAddr,
    pub(super) callee: SocketAddr,
    /// Who stands between them.
    pub(super) target: SocketAddr,
    /// Where the audio of a call's two ends is wanted: of call n, the n-th, round and round.
    pub(super) audio: Vec<[SocketAddr; 2]>,
    /// What callers and callees speak.
    pub(super) formats: [Format; 2],
    pub(super) encrypt: bool,
    /// They call a team nobody is there of, and wait.
    pub(super) wait: bool,
}

/// What an end was told of where it speaks to.
#[derive(Clone, Copy)]
pub struct Told {
    pub audio: SocketAddr,
    /// What is said to it is encrypted with this.
    pub key_and_salt: Option<[u8; KEY_BYTES]>,
}

/// The two ends of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Caller,
    Callee,
}

/// What this end encrypts with. A secret of nobody: any that is no other end's will do.
pub fn own_key(number: usize, side: Side) -> [u8; KEY_BYTES] {
    let mut key = [1 + side as u8; KEY_BYTES];
    key[..8].copy_from_slice(&(number as u64).to_be_bytes());
    key
}

impl Told {
    fn by(message: &Text<'_>) -> Option<Self> {
        let key_and_salt = message.crypto().map(|crypto| crypto.key_and_salt);
        Some(Self { audio: message.audio()?, key_and_salt })
    }
}

impl Parties {
    /// Whom the caller of this call dials.
    pub(super) fn dialled(&self, number: usize) -> String {
        let row = if self.wait { 8 } else { 9 };
        format!("sip:{row}{number:06}@{}", self.target)
    }

    /// None of who encrypts and was given no key, or the other way round.
    pub(super) fn told(&self, message: &Text<'_>) -> Option<Told> {
        Told::by(message).filter(|told| told.key_and_salt.is_some() == self.encrypt)
    }

    fn description(&self, number: usize, side: Side, tag: u8) -> String {
        let [caller, callee] = self.audio[number % self.audio.len()];
        let (audio, format) = match side {
            Side::Caller => (caller, self.formats[0]),
            Side::Callee => (callee, self.formats[1]),
        };
        let crypto = Crypto { tag, key_and_salt: own_key(number, side) };
        sip::description(audio, format, self.encrypt.then_some(&crypto))
    }

    pub(super) fn invite(&self, number: usize, call: &Call) -> Vec<u8> {
        let contact = format!("Contact: <sip:a@{}>\r\n", self.caller);
        let branch = format!("INVITE{number}");
        self.request(
            "INVITE",
            number,
            call,
            &branch,
            &contact,
            &self.description(number, Side::Caller, 1),
        )
    }

    pub(super) fn ack(&self, number: usize, call: &Call) -> Vec<u8> {
        self.request("ACK", number, call, &format!("ACK{number}"), "", "")
    }

    /// To what is no 2xx, the ACK belongs to the INVITE (RFC 3261 §17.1.1.3).
    pub(super) fn ack_of_refusal(&self, number: usize, call: &Call) -> Vec<u8> {
        self.request("ACK", number, call, &format!("INVITE{number}"), "", "")
    }

    pub(super) fn bye(&self, number: usize, call: &Call) -> Vec<u8> {
        self.request("BYE", number, call, &format!("BYE{number}"), "", "")
    }

    fn request(
        &self,
        method: &str,
        number: usize,
        call: &Call,
        branch: &str,
        more: &str,
        body: &str,
    ) -> Vec<u8> {
        let dialled = self.dialled(number);
        let request = Request {
            method,
            uri: if call.remote.is_empty() { &dialled } else { &call.remote },
            via: self.caller,
            branch,
            call_id: &format!("{number}-{}", self.caller),
            from: &format!("<sip:+54114444{number:06}@{}>;tag=a{number}", self.caller.ip()),
            to: &call.to,
            sequence: if method == "BYE" { 2 } else { 1 },
            more: &(call.routes.clone() + more),
            body,
        };
        request.to_bytes()
    }

    /// The 180 and the 200 of who is called.
    pub(super) fn answers(&self, number: usize, invite: &Text<'_>) -> [Vec<u8>; 2] {
        let (tag, contact) =
            (format!("b{number}"), format!("Contact: <sip:b@{}>\r\n", self.callee));
        // The answer names the line that was taken (RFC 4568 §5.1.2).
        let line = invite.crypto().map_or(1, |crypto| crypto.tag);
        let description = self.description(number, Side::Callee, line);
        [
            sip::response(invite, "180 Ringing", &tag, &contact, ""),
            sip::response(invite, "200 OK", &tag, &contact, &description),
        ]
    }
}
