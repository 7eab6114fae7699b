//! SIP as pure state machines: bytes, commands and the time in; bytes, events and deadlines out.
//!
//! No sockets, no clock, no threads. What is random (tags, branches, nonces) comes from a
//! generator the shell seeds. This crate does not know what an agent, a queue or a call is.
#![cfg_attr(test, allow(clippy::disallowed_methods))] // Tests need one clock read for an epoch.

mod config;
mod counters;
mod dialog;
mod dice;
pub mod digest;
mod endpoint;
pub mod event;
pub mod flow;
mod guard;
pub mod ids;
pub mod keys;
pub mod note;
mod registrar;
pub mod sdp;
mod trunk;
pub mod txn;
pub mod wire;

pub use config::{Config, Guests, Limits, Network, Secret, User};
pub use counters::{Counters, Orphans};
pub use endpoint::Endpoint;
pub use event::{
    Cause, Closed, Contact, Event, HangUp, Invite, Limit, Place, ProbeId, Probed, Refusal, Source,
    Target, Transmit, Way,
};
pub use flow::{ConnId, Far, Flow, Transport};
pub use guard::bans::{Ban, Misdeed};
pub use ids::{LegId, NetworkId, TrunkId, UserId};
pub use trunk::{BadCidr, Cidr, Trunk, TrunkLoad};
