//! One place where a phone says it is.

use crate::{
    digest::Algorithm,
    event::{Contact, Target},
    flow::{ConnId, Flow, Transport},
    note::BindingNote,
    wire::{Headers, Malformed, NameAddr, Scheme, Uri, Via},
};
use std::{
    net::{IpAddr, SocketAddr},
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
/// How often a phone behind a NAT hears from us over UDP. RFC 4787 §4.3 lets a NAT forget after two
/// minutes; many do after 30 s (RFC 5626 §4.4.2 asks for 24 to 29 s).
pub(super) const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(24);
/// Longest name of a phone we tell apart; a URN of a UUID has 45.
const INSTANCE_BYTES_MAX: usize = 128;
/// Of what a phone says it is; an operator needs no more.
const USER_AGENT_BYTES_MAX: usize = 128;

#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// As registered: the Request-URI of what we send there.
    pub(super) uri: Uri,
    /// Where that is sent.
    pub(super) to: Flow,
    /// Where the REGISTER came from. A restart of the box ends its connection.
    pub(super) source: Flow,
    /// Which phone it is.
    pub(super) phone: Option<Phone>,
    /// When the NAT in between must be reminded.
    pub(super) keep_alive_at: Option<Instant>,
    pub(super) call_id: String,
    pub(super) sequence: u32,
    pub(super) expires_at: Instant,
    /// Who it says it is, and how it proved whose it is; not known of a process before.
    pub(super) user_agent: Option<String>,
    pub(super) digest: Option<Algorithm>,
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
    /// A phone behind a NAT is reminded at once; what it called itself it says when it comes again.
    pub(super) fn restored(note: &BindingNote, now: Instant) -> Option<Self> {
        let mut binding = Self {
            uri: Uri::parse(&note.uri).ok().filter(is_usable)?,
            to: note.to,
            source: note.source,
            call_id: note.call_id.clone(),
            sequence: note.sequence,
            expires_at: note.expires_at,
            phone: None,
            keep_alive_at: None,
            user_agent: None,
            digest: None,
        };
        if binding.is_only_flow() && !binding.to.is_reliable() {
            binding.keep_alive_at = Some(now);
        }
        Some(binding)
    }

    pub(super) fn target(&self) -> Target {
        Target { uri: self.uri.to_string(), to: self.to }
    }

    /// It is called by the flow of its REGISTER and no other way.
    pub(super) fn is_only_flow(&self) -> bool {
        self.to == self.source && self.uri.host_ip() != Some(self.to.remote.ip())
    }

    /// The next thing it waits for.
    pub(super) fn due(&self) -> Instant {
        self.keep_alive_at.map_or(self.expires_at, |at| at.min(self.expires_at))
    }

    /// Its connection is gone. A phone that listens where it says is called there; any other cannot
    /// be reached until it comes back (RFC 5626 §5.3).
    pub(super) fn without_conn(mut self, conn: ConnId) -> Option<Self> {
        if self.source.conn == Some(conn) {
            self.source = self.source.without_conn();
        }
        if self.to.conn == Some(conn) {
            let listens = self.phone.as_ref().is_none_or(|phone| phone.reg_id.is_none())
                && uri_transport(&self.uri) == Some(Transport::Tcp)
                && self.uri.host_ip() == Some(self.to.remote.ip());
            self.to = listens.then_some(self.to.without_conn())?;
        }
        Some(self)
    }

    pub(super) fn contact(&self) -> Contact {
        Contact {
            uri: self.uri.to_string(),
            to: self.to,
            source: Some(self.source.remote),
            expires_at: Some(self.expires_at),
            behind_nat: self.keep_alive_at.is_some() || self.is_only_flow(),
            user_agent: self.user_agent.clone(),
            digest: self.digest,
        }
    }

    /// A Contact value of the 200. Rounded up: nobody is told 0 for a binding that lives.
    pub(super) fn listed(&self, now: Instant) -> String {
        let left = self.expires_at.saturating_duration_since(now) + Duration::from_millis(999);
        let mut listed = format!("<{}>;expires={}", self.uri, left.as_secs());
        if let Some(phone) = &self.phone {
            listed += &format!(";+sip.instance=\"{}\"", phone.instance);
            if let Some(reg_id) = phone.reg_id {
                listed += &format!(";reg-id={reg_id}");
            }
        }
        listed
    }
}

/// A phone and one of its ways to us (RFC 5626 §4.1, §4.2). The same way, registered anew, takes
/// the old one's place, whatever address it has now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Phone {
    pub(super) instance: String,
    /// `None`: it did not ask for RFC 5626, it only says who it is.
    pub(super) reg_id: Option<u32>,
}

impl Phone {
    pub(super) fn of(contact: &NameAddr) -> Option<Self> {
        let plain = |text: &&str| {
            text.len() <= INSTANCE_BYTES_MAX
                && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
        };
        let instance = contact.param("+sip.instance").flatten().filter(plain)?.to_owned();
        let reg_id = contact.param("reg-id").flatten().and_then(|digits| digits.parse().ok());
        Some(Self { instance, reg_id })
    }
}

/// What a phone says it is, as text that does no harm where it is shown.
pub(super) fn user_agent(headers: &Headers) -> Option<String> {
    let said = headers.text("User-Agent")?;
    let plain = said.chars().map(|c| if c.is_control() { ' ' } else { c });
    let fits = plain.scan(0, |bytes, c| {
        *bytes += c.len_utf8();
        (*bytes <= USER_AGENT_BYTES_MAX).then_some(c)
    });
    Some(fits.collect())
}

/// What a contact asks to be called by; `None` for what we do not speak.
fn uri_transport(uri: &Uri) -> Option<Transport> {
    uri.param("transport").flatten().map_or(Some(Transport::Udp), Transport::from_name)
}

/// §10.2.1: what requests can be sent to by what we speak, and that can stand as a Request-URI.
pub(super) fn is_usable(uri: &Uri) -> bool {
    uri.scheme == Scheme::Sip && !uri.has_headers() && uri_transport(uri).is_some()
}

/// Where a phone with this contact is reached, and whether only the way back leads there. Its Via
/// shows whether a NAT stands between: then, and if the contact is elsewhere than its packets come
/// from, nothing but the flow of its REGISTER is of use.
pub(super) fn reach(uri: &Uri, via: &Result<Via, Malformed>, from: Flow) -> (Flow, bool) {
    let source = from.remote;
    let sent_by = via.as_ref().ok().is_some_and(|via| {
        let host = via.host.parse().is_ok_and(|host: IpAddr| host == source.ip());
        // A connection has a port of its own.
        host && (from.is_reliable() || via.port.unwrap_or(DEFAULT_PORT) == source.port())
    });
    let named = uri.host_ip().filter(|&host| host == source.ip() && sent_by);
    let Some(host) = named else { return (from, true) };
    let address = SocketAddr::new(host, uri.port.unwrap_or(DEFAULT_PORT));
    match (from.transport, uri_transport(uri).unwrap_or(Transport::Udp)) {
        // RFC 5626 §5.3: by the connection it has made, while that stands.
        (Transport::Tcp, _) => (Flow { remote: address, ..from }, false),
        (Transport::Udp, transport) => (Flow::new(transport, address).within(from.network), false),
    }
}
