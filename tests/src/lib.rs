//! The world, the peers and the promises: what every test of the whole box stands on.

pub mod appliance;
pub mod baresip;
pub mod crowd;
pub mod dice;
pub mod flood;
pub mod folder;
pub mod forger;
pub mod kamailio;
pub mod ladder;
pub mod linphone;
pub mod media_model;
pub mod metrics;
pub mod model;
pub mod namespace;
pub mod net;
pub mod party;
pub mod rtp_peer;
pub mod sim_phone;
pub mod sip_peer;
pub mod sip_text;
pub mod sipp;
pub mod tone;
pub mod torture;
pub mod trace;
pub mod wait;
pub mod world;
