//! What the next process has to know: the identity of every dialog, and where phones registered.
//!
//! Plain data for a journal. [`crate::Endpoint::poll_note`] says what has changed, before the bytes
//! that depend on it are polled; [`crate::Endpoint::restore_legs`] takes it all back after a crash.
//! No session, no key, no digest is in it.

use crate::{
    event::{Place, Target},
    flow::Flow,
    ids::{LegId, UserId},
    txn::timers::GIVE_UP,
    wire::{Headers, Method, Request},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// For how long an INVITE is known again after its call: as long as its sender may repeat it.
pub const FINISHED_FOR: Duration = GIVE_UP;

/// Something that must be written down.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A leg as it is now; what was noted of it before is void.
    Leg(Box<LegNote>),
    /// The far side of a leg's dialog is reached there from now on (RFC 3261 §12.2.2); the rest of
    /// what was noted holds.
    LegMoved(MovedNote),
    /// The leg has ended and nothing of ours waits for an answer; a late 2xx to its INVITE may
    /// still come.
    LegOver(LegId),
    /// Nothing of this leg is left anywhere.
    LegGone(LegId),
    /// The call that an INVITE made is over.
    Finished(FinishedNote),
    /// All bindings of a user as they are now, newest first.
    Bindings { user: UserId, bindings: Vec<BindingNote> },
}

/// A leg: one INVITE and the dialogs that came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LegNote {
    pub leg: LegId,
    /// By name: the next process may count its trunks otherwise. `None`: a phone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trunk: Option<String>,
    /// Where its INVITE went to or came from; a connection is not kept, because none survives.
    pub address: Flow,
    pub call_id: String,
    pub local_tag: String,
    pub setup: SetupNote,
    /// The INVITE we sent: its branch for CANCEL and for every 2xx that is still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placed: Option<InviteNote>,
    /// Those that are not over. Of a call that came and has no final answer there is none yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dialogs: Vec<DialogNote>,
    /// Its end has been said; what is left of it here concerns nobody else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ended: bool,
    /// No request in any of its dialogs has had a CSeq above this one, whether it stands here or not.
    #[serde(default)]
    pub sequence_max: u32,
}

impl LegNote {
    /// What [`Note::LegMoved`] says of it.
    pub fn follow(&mut self, moved: MovedNote) {
        let of = self.dialogs.iter_mut().find(|dialog| dialog.remote_tag == moved.remote_tag);
        if let Some(dialog) = of {
            dialog.target = moved.target;
        }
    }

    /// What [`Note::LegOver`] says of it.
    pub fn end(&mut self) {
        self.ended = true;
        self.setup = SetupNote::Done;
        self.dialogs.clear();
    }
}

/// Where the far side of a dialog is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedNote {
    pub leg: LegId,
    pub remote_tag: String,
    pub target: String,
}

/// An INVITE whose call is over: if it comes again before `until`, it is no new call (RFC 3261
/// §8.2.2.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedNote {
    pub call_id: String,
    pub from_tag: String,
    /// The highest CSeq that was heard in the call.
    pub sequence: u32,
    /// By which it came, if it was refused: by another one it is another call (§16.7).
    pub branch: Option<String>,
    /// Where it came from.
    pub host: IpAddr,
    pub until: Instant,
}

impl LegNote {
    /// The telephone that has this leg; `None`: a trunk has it, or nothing of it is left there.
    pub fn place(&self) -> Option<Place> {
        if self.trunk.is_some() || self.ended {
            return None;
        }
        // A phone that called us names itself in its Contact, as it does when it registers.
        let theirs = || Some(self.dialogs.first()?.target.clone());
        let uri = self.placed.as_ref().map(|invite| invite.uri.clone()).or_else(theirs);
        let target = uri.map(|uri| Target { uri, to: self.address });
        Some(target.map_or_else(|| Place::at(self.address.far()), |target| target.place()))
    }
}

/// How far the making of the call has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetupNote {
    /// Ours, without a final answer. `heard`: there was a provisional one, so a CANCEL may go
    /// (RFC 3261 §9.1).
    Calling {
        heard: bool,
    },
    /// Theirs. `refused`: the status of a final answer that has no ACK yet.
    Alerting {
        invite: InviteNote,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<u16>,
    },
    Done,
}

/// A dialog (RFC 3261 §12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogNote {
    /// From of what we send, our tag included.
    pub local: Text,
    /// To of what we send, the peer's tag included.
    pub remote: Text,
    pub remote_tag: String,
    /// When this was written; see [`LegNote::sequence_max`].
    pub local_sequence: u32,
    /// When this was written: what came since has not been written, and a dialog that is taken up
    /// again is ended whatever comes in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_sequence: Option<u32>,
    /// Values of Route, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Text>,
    pub target: String,
    pub stage: StageNote,
}

/// Where a dialog is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StageNote {
    /// Our 200 to this INVITE, with this session description, has no ACK yet.
    Unacked {
        invite: InviteNote,
        session: Text,
    },
    Up,
    /// Our BYE has no answer yet.
    Ending,
}

/// What a transaction and a dialog need of an INVITE; without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteNote {
    pub uri: String,
    pub headers: Vec<(String, Text)>,
}

/// Headers that responses, ACK, CANCEL, BYE and the matching of transactions are made of. None of
/// them carries a secret.
const KEPT: [&str; 9] =
    ["Via", "Route", "Record-Route", "Max-Forwards", "From", "To", "Call-ID", "CSeq", "Contact"];

impl InviteNote {
    pub(crate) fn of(invite: &Request) -> Self {
        let kept = |name: &'static str| invite.headers.all(name).map(move |value| (name, value));
        let headers = KEPT.into_iter().flat_map(kept);
        let headers = headers.map(|(name, value)| (name.to_owned(), Text(value.to_vec())));
        Self { uri: invite.uri.clone(), headers: headers.collect() }
    }

    pub(crate) fn request(&self) -> Request {
        let mut headers = Headers::new();
        for (name, Text(value)) in &self.headers {
            headers.push(name, value.clone());
        }
        Request { method: Method::Invite, uri: self.uri.clone(), headers, body: vec![] }
    }
}

/// A place where a phone registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingNote {
    /// As registered: the Request-URI of what is sent there.
    pub uri: String,
    /// Where that is sent.
    pub to: Flow,
    /// Where the REGISTER came from.
    pub source: Flow,
    pub call_id: String,
    pub sequence: u32,
    pub expires_at: Instant,
}

/// Bytes of a message, which are text nearly always. Written one character a byte, so that an
/// operator can read them and none is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(pub Vec<u8>);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) if text.is_ascii() => serializer.serialize_str(text),
            Ok(_) | Err(_) => {
                let characters: String = self.0.iter().copied().map(char::from).collect();
                serializer.serialize_str(&characters)
            }
        }
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_ascii() {
            return Ok(Self(text.into_bytes()));
        }
        // Only what a byte can be was written.
        let byte = |character| u8::try_from(character).map_err(D::Error::custom);
        text.chars().map(byte).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::{IntoDeserializer, value};

    #[test]
    fn every_byte_survives_being_written_as_text() {
        let all = Text((0..=255).collect());
        let written: String = all.0.iter().copied().map(char::from).collect();

        let read: Result<Text, value::Error> = Text::deserialize(written.into_deserializer());

        assert_eq!(read, Ok(all));
    }

    #[test]
    fn what_no_byte_can_be_is_no_text_of_a_message() {
        let read: Result<Text, value::Error> = Text::deserialize("\u{20ac}".into_deserializer());

        assert!(read.is_err());
    }
}
