//! What the journal remembers besides the board: every dialog that is up somewhere, and where
//! phones have registered. The newest note about a thing is what is so.

use crate::time::{Clock, Stamp};
use serde::{Deserialize, Serialize};
use sip_stack::{
    flow::Flow,
    ids::LegId,
    note::{BindingNote, LegNote},
};
use std::collections::BTreeMap;

/// A line of the journal that is no input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Note {
    /// The process lived at this moment, and had calls.
    Alive(Stamp),
    Leg(Box<LegNote>),
    /// Nothing of this leg is left anywhere.
    LegGone(LegId),
    /// Where an agent's phones are now.
    Registered {
        agent: String,
        at: Registered,
    },
}

/// Where an agent's phones have registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The name they registered with.
    pub extension: String,
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

/// All that is remembered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    #[serde(with = "in_order")]
    legs: BTreeMap<LegId, LegNote>,
    /// By the agent's name.
    registered: BTreeMap<String, Registered>,
}

impl Memory {
    pub fn take(&mut self, note: Note) {
        match note {
            Note::Alive(_) => {}
            Note::Leg(note) => _ = self.legs.insert(note.leg, *note),
            Note::LegGone(leg) => _ = self.legs.remove(&leg),
            Note::Registered { agent, at } if at.bindings.is_empty() => {
                self.registered.remove(&agent);
            }
            Note::Registered { agent, at } => _ = self.registered.insert(agent, at),
        }
    }

    pub fn legs(&self) -> impl Iterator<Item = &LegNote> {
        self.legs.values()
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
