//! A dialog: who talks with whom, in which order, by which way (RFC 3261 §12).
//!
//! It builds requests and checks them. What a request means for the call is `invite.rs`.

pub(crate) mod body;
pub(crate) mod desk;
pub(crate) mod invite;
mod refresh;
pub(crate) mod session_timer;
mod setup;
mod talk;
mod telling;

use crate::{
    dialog::{
        desk::{Ours, Stationery},
        session_timer::Asks,
    },
    flow::Transport,
    note::{DialogNote, StageNote, Text},
    wire::{Headers, Method, NameAddr, Request, Response, Uri},
};
use std::net::{IpAddr, SocketAddr};

/// RFC 3261 §19.1.2.
const DEFAULT_PORT: u16 = 5060;

/// One dialog, early or confirmed.
#[derive(Debug)]
pub(crate) struct Dialog {
    call_id: String,
    /// From of what we send, our tag included.
    local: Vec<u8>,
    /// To of what we send, the peer's tag included.
    remote: Vec<u8>,
    remote_tag: String,
    local_sequence: u32,
    remote_sequence: Option<u32>,
    /// Values of Route, nearest first.
    routes: Vec<Vec<u8>>,
    target: String,
}

/// A request that is older than one we have seen.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

impl Dialog {
    /// Of an INVITE that came (§12.1.1). `None` without a Contact to send requests to.
    pub(crate) fn called_by(invite: &Request, local_tag: &str) -> Option<Self> {
        let headers = &invite.headers;
        let to = headers.get("To")?;
        Some(Self {
            call_id: headers.call_id().ok()?.to_owned(),
            local: [to, b";tag=", local_tag.as_bytes()].concat(),
            remote: headers.get("From")?.to_vec(),
            remote_tag: headers.from().ok()?.tag().unwrap_or_default().to_owned(),
            local_sequence: 0,
            remote_sequence: Some(headers.cseq().ok()?.0),
            routes: headers.list("Record-Route").into_iter().map(<[u8]>::to_vec).collect(),
            target: contact_uri(headers)?,
        })
    }

    /// Of a 2xx to our INVITE (§12.1.2). A peer without a Contact is reached as it was called.
    /// `used`: numbers up to this one may have been used in it before (§12.2.1.1).
    pub(crate) fn accepted_by(invite: &Request, response: &Response, used: u32) -> Option<Self> {
        let headers = &response.headers;
        Some(Self {
            call_id: invite.headers.call_id().ok()?.to_owned(),
            local: invite.headers.get("From")?.to_vec(),
            remote: headers.get("To")?.to_vec(),
            remote_tag: headers.to().ok()?.tag().unwrap_or_default().to_owned(),
            local_sequence: invite.headers.cseq().ok()?.0.max(used),
            remote_sequence: None,
            routes: headers.list("Record-Route").into_iter().rev().map(<[u8]>::to_vec).collect(),
            target: contact_uri(headers).unwrap_or_else(|| invite.uri.clone()),
        })
    }

    /// One that another process had, which may have used numbers up to `used`.
    pub(crate) fn restored(call_id: &str, note: &DialogNote, used: u32) -> Self {
        Self {
            call_id: call_id.to_owned(),
            local: note.local.0.clone(),
            remote: note.remote.0.clone(),
            remote_tag: note.remote_tag.clone(),
            local_sequence: note.local_sequence.max(used),
            remote_sequence: note.remote_sequence,
            routes: note.routes.iter().map(|route| route.0.clone()).collect(),
            target: note.target.clone(),
        }
    }

    pub(crate) fn note(&self, stage: StageNote) -> DialogNote {
        DialogNote {
            local: Text(self.local.clone()),
            remote: Text(self.remote.clone()),
            remote_tag: self.remote_tag.clone(),
            local_sequence: self.local_sequence,
            remote_sequence: self.remote_sequence,
            routes: self.routes.iter().cloned().map(Text).collect(),
            target: self.target.clone(),
            stage,
        }
    }

    pub(crate) fn remote_tag(&self) -> &str {
        &self.remote_tag
    }

    /// Where its requests are addressed to.
    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    /// The number of our latest request.
    pub(crate) fn local_sequence(&self) -> u32 {
        self.local_sequence
    }

    /// The highest number of the peer's requests.
    pub(crate) fn remote_sequence(&self) -> Option<u32> {
        self.remote_sequence
    }

    /// The next request inside the dialog (§12.2.1.1).
    pub(crate) fn request(&mut self, method: Method, desk: &mut Stationery<'_>) -> Request {
        self.local_sequence += 1;
        self.write(method, self.local_sequence, desk)
    }

    /// The ACK of a 2xx, which has the number of its INVITE (§13.2.2.4).
    pub(crate) fn ack(&self, sequence: u32, desk: &mut Stationery<'_>) -> Request {
        self.write(Method::Ack, sequence, desk)
    }

    fn write(&self, method: Method, sequence: u32, desk: &mut Stationery<'_>) -> Request {
        let mut headers = Headers::new();
        headers.push("Via", desk.via());
        let (uri, routes) = self.way();
        for route in routes {
            headers.push("Route", route);
        }
        headers.push("Max-Forwards", "70");
        headers.push("From", self.local.clone());
        headers.push("To", self.remote.clone());
        headers.push("Call-ID", self.call_id.as_str());
        headers.push("CSeq", format!("{sequence} {method}"));
        // §20, Table 2: a BYE has none.
        if method != Method::Bye {
            headers.push("Contact", desk.contact());
        }
        headers.push("User-Agent", desk.ours.user_agent.as_str());
        Request { method, uri, headers, body: vec![] }
    }

    /// Request-URI and Route. If the first proxy is a strict router, its address stands in the
    /// Request-URI and the target goes to the end of the route (§12.2.1.1).
    fn way(&self) -> (String, Vec<Vec<u8>>) {
        match self.first_route() {
            Some(uri) if !uri.is_loose_route() => {
                let target = format!("<{}>", self.target).into_bytes();
                let rest = self.routes.iter().skip(1).cloned().chain([target]).collect();
                (uri.without_headers().to_string(), rest)
            }
            Some(_) | None => (self.target.clone(), self.routes.clone()),
        }
    }

    fn first_route(&self) -> Option<Uri> {
        Uri::parse(&NameAddr::parse(self.routes.first()?)?.uri).ok()
    }

    /// Where requests go: the first proxy, else the target; and by what, if it says so. `None` if
    /// that is a name: we resolve none.
    pub(crate) fn next_hop(&self) -> Option<(SocketAddr, Option<Transport>)> {
        let uri = match self.first_route() {
            Some(uri) => uri,
            None => Uri::parse(&self.target).ok()?,
        };
        let address = uri.host_ip().filter(|address: &IpAddr| !address.is_unspecified())?;
        let transport = uri.param("transport").flatten().and_then(Transport::from_name);
        Some((SocketAddr::new(address, uri.port.unwrap_or(DEFAULT_PORT)), transport))
    }

    /// §12.2.2: the order of the peer's requests.
    pub(crate) fn check_order(&mut self, request: &Request) -> Result<(), OutOfOrder> {
        let sequence = request.headers.cseq().map_or(0, |(sequence, _)| sequence);
        if self.remote_sequence.is_some_and(|last| sequence < last) {
            return Err(OutOfOrder);
        }
        self.remote_sequence = Some(sequence);
        Ok(())
    }

    /// It, or a later request, has been here.
    pub(crate) fn has_seen(&self, request: &Request) -> bool {
        let sequence = request.headers.cseq().map_or(0, |(sequence, _)| sequence);
        self.remote_sequence.is_some_and(|last| sequence <= last)
    }

    /// §12.2.2: re-INVITE and UPDATE may move the peer's target; the route stays.
    pub(crate) fn refresh_target(&mut self, headers: &Headers) {
        if let Some(target) = contact_uri(headers) {
            self.target = target;
        }
    }
}

/// The URI of the one Contact a dialog may have (§8.1.1.8).
fn contact_uri(headers: &Headers) -> Option<String> {
    let contacts = headers.contacts().ok()?;
    let uri = Uri::parse(&contacts.into_iter().next()?.uri).ok()?;
    // It becomes a Request-URI, and none has headers (§19.1.1).
    Some(uri.without_headers().to_string())
}

/// A call we place, before it is a dialog (§8.1.1).
pub(crate) struct NewCall<'a> {
    pub(crate) invite: &'a crate::event::Invite,
    pub(crate) call_id: &'a str,
    pub(crate) local_tag: &'a str,
    pub(crate) asks: Asks,
}

impl NewCall<'_> {
    pub(crate) fn request(&self, desk: &mut Stationery<'_>) -> Request {
        let Ours { domain, user_agent, .. } = desk.ours;
        let mut headers = Headers::new();
        headers.push("Via", desk.via());
        headers.push("Max-Forwards", self.invite.max_forwards.to_string());
        headers.push("From", self.from(domain));
        headers.push("To", format!("<{}>", self.to_uri()));
        headers.push("Call-ID", self.call_id);
        headers.push("CSeq", "1 INVITE");
        headers.push("Contact", desk.contact());
        headers.push("User-Agent", user_agent.as_str());
        headers.push("Allow", desk::ALLOW);
        headers.push("Supported", desk::SUPPORTED);
        self.asks.write(&mut headers);
        if let Some(name) = self.invite.call_name.as_ref().filter(|name| is_token(name)) {
            headers.push("X-Clavija-Call", name.as_str());
        }
        headers.push("Content-Type", body::SDP);
        Request {
            method: Method::Invite,
            uri: self.invite.target.uri.clone(),
            headers,
            body: self.invite.offer.clone(),
        }
    }

    fn from(&self, domain: &str) -> String {
        let uri = Uri::new(user(&self.invite.from_user), domain, None);
        let tag = self.local_tag;
        match self.invite.from_display.as_deref().map(quoted) {
            Some(display) if !display.is_empty() => format!("\"{display}\" <{uri}>;tag={tag}"),
            Some(_) | None => format!("<{uri}>;tag={tag}"),
        }
    }

    /// The number called at the host called; the target's own parameters stay with the target.
    fn to_uri(&self) -> Uri {
        let target = Uri::parse(&self.invite.target.uri).ok();
        let (host, port) = target.map_or_else(
            || (self.invite.target.to.remote.ip().to_string(), None),
            |uri| (uri.host, uri.port),
        );
        Uri::new(user(&self.invite.to_user), &host, port)
    }
}

fn user(name: &str) -> Option<&str> {
    Some(name).filter(|name| !name.is_empty())
}

/// The inside of a quoted string (§25.1), without what no display shows.
fn quoted(display: &str) -> String {
    let visible = display.chars().filter(|character| !character.is_control());
    visible.fold(String::new(), |mut text, character| {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
        text
    })
}

fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

#[cfg(test)]
mod tests;
