//! The session descriptions of audio calls (RFC 8866), only what audio needs.

pub mod answer;
pub mod codec;
pub mod crypto;
mod parse;
pub mod passed;
pub mod secure;
mod write;

pub use parse::{MEDIA_MAX, Malformed, parse};

use std::{collections::BTreeMap, net::IpAddr};

/// One session description.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub origin: Origin,
    /// For every stream that has none of its own.
    pub connection: Option<Connection>,
    /// For every stream that has none of its own.
    pub direction: Option<Direction>,
    /// `a=rtcp-xr` with `voip-metrics` (RFC 3611 §5.1), for every stream.
    pub voip_metrics: bool,
    /// In their order, those we cannot use included: an answer has as many.
    pub media: Vec<Media>,
}

/// `o=`: who made the description, and which version of it this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub username: String,
    /// Digits, as written: they may be more than any integer holds.
    pub session_id: String,
    pub version: String,
}

/// `c=`: where the media goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// An unspecified address (0.0.0.0) is the hold of RFC 2543.
    Address(IpAddr),
    /// A name, which we do not resolve.
    Name(String),
}

/// Who sends, seen from whoever wrote the description (RFC 8866 §6.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

/// One `m=` line and what follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// `audio`, `video`, `image`, ...
    pub kind: String,
    /// 0: refused or not wanted.
    pub port: u16,
    /// `RTP/AVP`, ...
    pub protocol: String,
    /// As written; payload numbers where the protocol is RTP.
    pub formats: Vec<String>,
    pub connection: Option<Connection>,
    pub direction: Option<Direction>,
    /// `a=rtpmap` by payload number.
    pub codecs: BTreeMap<u8, Codec>,
    /// `a=fmtp` by payload number, as written.
    pub parameters: BTreeMap<u8, String>,
    pub ptime_ms: Option<u16>,
    /// The most that fits into one packet of who wrote this.
    pub ptime_ms_max: Option<u16>,
    /// `a=rtcp` (RFC 3605).
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// `a=rtcp-xr` with `voip-metrics` (RFC 3611 §5.1).
    pub voip_metrics: bool,
    /// `a=crypto` (RFC 4568) in their order, those we cannot use included; at most
    /// [`crypto::LINES_MAX`].
    pub crypto: Vec<Result<crypto::Crypto, crypto::Unusable>>,
}

/// What an `a=rtpmap` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codec {
    pub name: String,
    pub clock_hz: u32,
    pub channels: u8,
}
