//! What the journal remembers besides the board: every dialog that is up somewhere, and where
//! phones have registered. The newest note about a thing is what is so.

use crate::time::{Clock, Stamp};
use serde::{Deserialize, Serialize};
use sip_stack::{
    flow::Flow,
    ids::LegId,
    note::{BindingNote, FINISHED_FOR, FinishedNote, LegNote, MovedNote},
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr},
};

/// A line of the journal that is no input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Note {
    /// The process lived at this moment, and had calls.
    Alive(Stamp),
    Leg(Box<LegNote>),
    /// The far side of a leg is reached elsewhere.
    LegMoved(MovedNote),
    /// A leg has ended; a late answer to its INVITE may still come.
    LegOver(LegId),
    /// Nothing of this leg is left anywhere.
    LegGone(LegId),
    /// The call that an INVITE made is over.
    Finished(Finished),
    /// Where an agent's phones are now.
    Registered {
        agent: String,
        at: Registered,
    },
}

/// An INVITE whose call is over: until then one like it is no new call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    pub call_id: String,
    pub from_tag: String,
    pub sequence: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// Not in journals before it was noted.
    #[serde(default = "nowhere")]
    pub host: IpAddr,
    pub until: Stamp,
}

fn nowhere() -> IpAddr {
    IpAddr::V4(Ipv4Addr::UNSPECIFIED)
}

impl Finished {
    pub(crate) fn of(note: FinishedNote, clock: Clock) -> Self {
        let FinishedNote { call_id, from_tag, sequence, branch, host, until } = note;
        Self { call_id, from_tag, sequence, branch, host, until: clock.stamp(until) }
    }

    pub(crate) fn note(&self, clock: Clock) -> FinishedNote {
        FinishedNote {
            call_id: self.call_id.clone(),
            from_tag: self.from_tag.clone(),
            sequence: self.sequence,
            branch: self.branch.clone(),
            host: self.host,
            until: clock.instant(self.until),
        }
    }
}

/// Where an agent's phones have registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The name they registered with.
    pub extension: String,
    /// The name and the password, as only this box can compare them: see
    /// [`crate::exchange::Start::login_key`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// Newest first.
    pub bindings: Vec<Binding>,
}

/// A place where a phone registered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub uri: String,
    pub to: Flow,
    /// Where the REGISTER came from.
    pub source: Flow,
    pub call_id: String,
    pub sequence: u32,
    pub expires: Stamp,
}

impl Binding {
    pub(crate) fn of(note: BindingNote, clock: Clock) -> Self {
        let BindingNote { uri, to, source, call_id, sequence, expires_at } = note;
        Self { uri, to, source, call_id, sequence, expires: clock.stamp(expires_at) }
    }

    pub(crate) fn note(&self, clock: Clock) -> BindingNote {
        BindingNote {
            uri: self.uri.clone(),
            to: self.to,
            source: self.source,
            call_id: self.call_id.clone(),
            sequence: self.sequence,
            expires_at: clock.instant(self.expires),
        }
    }
}

impl Note {
    pub(crate) fn is_sound(&self) -> bool {
        match self {
            Self::Alive(at) => at.is_sound(),
            Self::Leg(note) => Stamp(note.leg.0).is_sound(),
            Self::LegGone(_) | Self::LegMoved(_) | Self::LegOver(_) => true,
            Self::Finished(finished) => finished.until.is_sound(),
            Self::Registered { at, .. } => at.bindings.iter().all(|b| b.expires.is_sound()),
        }
    }
}

/// All that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    #[serde(with = "in_order")]
    legs: BTreeMap<LegId, LegNote>,
    /// By the agent's name.
    registered: BTreeMap<String, Registered>,
    /// In the order in which they run out.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    finished: VecDeque<Finished>,
}

impl Memory {
    pub fn take(&mut self, note: Note) {
        match note {
            Note::Alive(_) => {}
            Note::Leg(note) => _ = self.legs.insert(note.leg, *note),
            Note::LegMoved(moved) => {
                if let Some(leg) = self.legs.get_mut(&moved.leg) {
                    leg.follow(moved);
                }
            }
            Note::LegOver(leg) => {
                if let Some(leg) = self.legs.get_mut(&leg) {
                    leg.end();
                }
            }
            Note::Finished(finished) => {
                // When it was written those had run out: a long journal is no longer a memory.
                let now = finished.until - FINISHED_FOR;
                while self.finished.front().is_some_and(|oldest| oldest.until <= now) {
                    self.finished.pop_front();
                }
                self.finished.push_back(finished);
            }
            Note::LegGone(leg) => _ = self.legs.remove(&leg),
            Note::Registered { agent, at } if at.bindings.is_empty() => {
                self.registered.remove(&agent);
            }
            Note::Registered { agent, at } => _ = self.registered.insert(agent, at),
        }
    }

    pub(crate) fn is_sound(&self) -> bool {
        let mut bindings = self.registered.values().flat_map(|at| &at.bindings);
        self.legs.keys().all(|leg| Stamp(leg.0).is_sound())
            && bindings.all(|binding| binding.expires.is_sound())
            && self.finished.iter().all(|finished| finished.until.is_sound())
    }

    pub fn legs(&self) -> impl Iterator<Item = &LegNote> {
        self.legs.values()
    }

    /// INVITEs whose calls are over, in the order in which they run out.
    pub fn finished(&self) -> impl Iterator<Item = &Finished> {
        self.finished.iter()
    }

    /// By the agent's name.
    pub fn registered(&self) -> &BTreeMap<String, Registered> {
        &self.registered
    }
}

/// A list in the file: every note names its leg itself.
mod in_order {
    use super::{BTreeMap, LegId, LegNote};
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        legs: &BTreeMap<LegId, LegNote>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(legs.values())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<LegId, LegNote>, D::Error> {
        let legs = Vec::<LegNote>::deserialize(deserializer)?;
        Ok(legs.into_iter().map(|note| (note.leg, note)).collect())
    }
}
