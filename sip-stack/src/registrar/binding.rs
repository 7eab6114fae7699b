//! One place where a phone says it is.

use crate::{
    event::Target,
    note::BindingNote,
    wire::{Malformed, Scheme, Uri, Via},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// RFC 3261 §19.1.2.
const DEFAULT_PORT: u16 = 5060;
/// Seconds. Shorter would cost more than it tells.
pub(super) const EXPIRES_MIN: u32 = 10;
pub(super) const EXPIRES_MAX: u32 = 3600;
/// §10.2.1.1: for who asks for nothing.
pub(super) const EXPIRES_DEFAULT: u32 = 3600;
/// Of one user.
pub(super) const BINDINGS_MAX: usize = 10;

#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// As registered: the Request-URI of what we send there.
    pub(super) uri: Uri,
    /// Where that is sent.
    pub(super) to: SocketAddr,
    /// Where the REGISTER came from.
    pub(super) source: SocketAddr,
    pub(super) call_id: String,
    pub(super) sequence: u32,
    pub(super) expires_at: Instant,
}

impl Binding {
    pub(super) fn note(&self) -> BindingNote {
        BindingNote {
            uri: self.uri.to_string(),
            to: self.to,
            source: self.source,
            call_id: self.call_id.clone(),
            sequence: self.sequence,
            expires_at: self.expires_at,
        }
    }

    /// `None`: this version cannot send there.
    pub(super) fn restored(note: &BindingNote) -> Option<Self> {
        Some(Self {
            uri: Uri::parse(&note.uri).ok().filter(is_usable)?,
            to: note.to,
            source: note.source,
            call_id: note.call_id.clone(),
            sequence: note.sequence,
            expires_at: note.expires_at,
        })
    }

    pub(super) fn target(&self) -> Target {
        Target { uri: self.uri.to_string(), to: self.to }
    }

    /// A Contact value of the 200. Rounded up: nobody is told 0 for a binding that lives.
    pub(super) fn listed(&self, now: Instant) -> String {
        let left = self.expires_at.saturating_duration_since(now) + Duration::from_millis(999);
        format!("<{}>;expires={}", self.uri, left.as_secs())
    }
}

/// §10.2.1: what requests can be sent to over UDP, and that can stand as a Request-URI.
pub(super) fn is_usable(uri: &Uri) -> bool {
    let udp = uri.param("transport").flatten().is_none_or(|name| name.eq_ignore_ascii_case("udp"));
    uri.scheme == Scheme::Sip && !uri.has_headers() && udp
}

/// Where a phone with this contact is reached. Its Via shows whether a NAT stands between: then,
/// and if the contact is elsewhere than its packets come from, only the way back leads there.
pub(super) fn reach(uri: &Uri, via: &Result<Via, Malformed>, from: SocketAddr) -> SocketAddr {
    let sent_by = via.as_ref().ok().is_some_and(|via| {
        let host = via.host.parse().is_ok_and(|host: std::net::IpAddr| host == from.ip());
        host && via.port.unwrap_or(DEFAULT_PORT) == from.port()
    });
    match uri.host_ip() {
        Some(host) if host == from.ip() && sent_by => {
            SocketAddr::new(host, uri.port.unwrap_or(DEFAULT_PORT))
        }
        Some(_) | None => from,
    }
}
