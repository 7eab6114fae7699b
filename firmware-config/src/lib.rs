//! What the operator writes: read, checked whole, or refused with place, value and choices.
//!
//! Raw is private, valid is public: if you hold a [`Config`], every name in it is resolved, every
//! tune is decoded and every secret is read; but for [`Missing`], which only a box that ran before does
//! without.

mod address;
mod agent;
mod calendar;
mod check;
mod closed;
mod codec;
mod demo;
mod dtmf;
mod fault;
mod file;
mod glimpse;
mod host;
mod keys;
mod limits;
mod mask;
mod music;
mod nearest;
mod network;
mod node;
mod number;
mod reader;
mod render;
mod schema;
mod secret;
mod site;
mod srtp;
mod team;
mod trunk;
mod zone;

pub use address::{Host, Peer};
pub use agent::{Agent, Contact};
pub use calendar::Hours;
pub use closed::Closed;
pub use codec::Codec;
pub use demo::{Demo, demo_text};
pub use dtmf::Dtmf;
pub use fault::{Fault, Missing, Warning};
pub use file::{
    Source, Sources, check_bytes, from_sources, from_sources_without, from_strings, load, sources,
};
pub use glimpse::{Glimpse, glimpse, glimpse_file};
pub use host::{Finding, FolderFacts, HostFacts, Verdict, evaluate};
pub use keys::Change;
pub use limits::Limits;
pub use mask::masked;
pub use music::{Music, import_music};
pub use nearest::nearest;
pub use network::Network;
pub use node::{Http, Media, Node, Recording, RecordingFormat, Sip};
pub use number::{Destination, Number};
pub use render::{Difference, diff, render};
pub use schema::schema;
pub use secret::Secret;
pub use srtp::Srtp;
pub use team::{Answer, Channel, Strategy, Team};
pub use trunk::Trunk;
pub use zone::{KNOWN_AHEAD, Zone, moment};

use std::ops::RangeInclusive;

/// Both halves, valid as a whole.
#[derive(Clone, Debug)]
pub struct Config {
    pub node: Node,
    pub sip: Sip,
    pub media: Media,
    pub http: Http,
    pub recording: Recording,
    pub limits: Limits,
    /// The first is what `sip` and `media` say.
    pub networks: Vec<Network>,
    pub trunks: Vec<Trunk>,
    pub agents: Vec<Agent>,
    pub music: Vec<Music>,
    pub hours: Vec<Hours>,
    pub teams: Vec<Team>,
    /// In the order of the file; which row wins is the router's to say.
    pub numbers: Vec<Number>,
}

impl Config {
    /// The ports of the network at this place: each has an equal share of `media.ports`, in their
    /// order, from an even port to an odd one.
    pub fn ports_of(&self, network: usize) -> RangeInclusive<u16> {
        let share = network::share_of(&self.media, self.networks.len()).unwrap_or_default() * 2;
        let first = usize::from(*self.media.ports.start()) + network * share;
        let port = |port: usize| u16::try_from(port).unwrap_or(u16::MAX);
        port(first)..=port((first + share).saturating_sub(1))
    }
}

/// A configuration and what its operator should look at.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub warnings: Vec<Warning>,
}
