//! What must hold for any bytes at all: one function for each reader of foreign bytes.
//!
//! `tests/fuzz` looks for bytes that break them, `tests/corpora.rs` replays what it found. A new
//! reader gets a row in [`PROBES`], a target of the same name and a folder in `tests/corpus/fuzz`.

mod config;
mod digest;
mod endpoint;
mod journal;
mod keys;
mod media;
mod message;
mod ogg;
mod sdp;
mod seal;
mod srtp;
mod stream;
mod talk;

pub use config::config;
pub use digest::digest;
pub use endpoint::endpoint;
pub use journal::{journal, lived_on as journal_lived_on};
pub use keys::keys;
pub use media::{rtcp, rtp, tune};
pub use message::message;
pub use ogg::ogg;
pub use sdp::sdp;
pub use seal::seal;
pub use srtp::{crypto, srtp};
pub use stream::stream;
pub use talk::talk;

/// A probe: panics where a promise is broken.
pub type Probe = fn(&[u8]);

/// Every probe by the name of its target and of its corpus.
pub const PROBES: [(&str, Probe); 16] = [
    ("config", config),
    ("crypto", crypto),
    ("digest", digest),
    ("endpoint", endpoint),
    ("journal", journal),
    ("keys", keys),
    ("message", message),
    ("ogg", ogg),
    ("rtcp", rtcp),
    ("rtp", rtp),
    ("sdp", sdp),
    ("seal", seal),
    ("srtp", srtp),
    ("stream", stream),
    ("talk", talk),
    ("tune", tune),
];
