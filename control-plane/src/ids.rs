//! Names of what the control plane owns.

use serde::{Deserialize, Serialize};
use std::{fmt, num::ParseIntError, str::FromStr};

/// One conversation, from first ring to the end. Never reused on this box, restarts included:
/// the journal continues the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId(pub u64);

impl CallId {
    /// Of a leg nobody knows the call of; calls are counted from one.
    pub(crate) const NOBODYS: Self = Self(0);

    /// What may be shown: a call that has a name.
    pub(crate) fn known(self) -> Option<Self> {
        (self != Self::NOBODYS).then_some(self)
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "call-{:08x}", self.0)
    }
}

/// Not the name of a call; one is written like `call-0000001d`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a call id; write it like call-0000001d")]
pub struct NotACallId(String);

impl FromStr for CallId {
    type Err = NotACallId;

    fn from_str(text: &str) -> Result<Self, NotACallId> {
        let digits = text.strip_prefix("call-").filter(|digits| digits.len() >= 8);
        let parse = |digits| -> Result<u64, ParseIntError> { u64::from_str_radix(digits, 16) };
        match digits.map(parse) {
            Some(Ok(number)) => Ok(Self(number)),
            Some(Err(_)) | None => Err(NotACallId(text.to_owned())),
        }
    }
}

/// One attempt to reach a party for a call: an agent's seat with all their phones, or a trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OfferId(pub u64);

/// The chair an agent signs in to, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SeatId(pub u16);

/// A team and its queue, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TeamId(pub u16);

/// A calendar, by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HoursId(pub u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_id_reads_back_as_it_is_written() {
        for number in [0, 29, u64::MAX] {
            assert_eq!(CallId(number).to_string().parse(), Ok(CallId(number)));
        }
    }

    #[test]
    fn what_is_no_call_id_is_refused_with_an_example() {
        for text in ["", "call-", "call-1", "call-0000000g", "leg-00000001", "0000001d"] {
            let refused = text.parse::<CallId>().unwrap_err();
            assert!(refused.to_string().contains("call-0000001d"), "{refused}");
        }
    }
}
