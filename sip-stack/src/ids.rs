//! Names by which the layers above speak of what this crate owns.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One party's connection: one INVITE dialog (or the attempt at one). Never reused on this box,
/// restarts included: the layer above says where the counter goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LegId(pub u64);

impl fmt::Display for LegId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "leg-{:08x}", self.0)
    }
}

/// One of the networks the box stands in, by its place in the configuration: the first is that of
/// [`crate::Config::advertise`], the others follow in [`crate::Config::networks`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct NetworkId(pub u8);

impl NetworkId {
    /// The only one of most boxes.
    pub const FIRST: Self = Self(0);

    pub fn is_first(&self) -> bool {
        *self == Self::FIRST
    }
}

/// A trunk, by its place in [`crate::Config::trunks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TrunkId(pub u16);

/// Somebody whose phone registers here or has a fixed contact, by their place in
/// [`crate::Config::users`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UserId(pub u16);
