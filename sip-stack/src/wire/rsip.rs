//! The one file that knows the `rsip` crate: its vocabulary, conversions to and from its types,
//! and, in tests, its parser as an oracle.
//!
//! Nothing here touches network bytes: `rsip` does not read compact names, folding, IPv6 hosts
//! or `tel:`, and prints bodies and URIs differently from how it read them.

use super::{Headers, Message, Method, Request, Response};
use rsip::{Error, StatusCode};
use std::str::FromStr;

/// The method of exactly this name; `rsip` itself would not mind the case.
pub(super) fn known_method(name: &str) -> Option<Method> {
    let known = Method::from(rsip::Method::from_str(name).ok()?);
    (known.as_str() == name).then_some(known)
}

/// The reason phrase for a status: `rsip`'s name for it, spelled as RFC 3261 §21 does.
pub(super) fn reason_phrase(status: u16) -> String {
    match status {
        200 => "OK".to_owned(),
        414 => "Request-URI Too Long".to_owned(),
        416 => "Unsupported URI Scheme".to_owned(),
        417 => "Unknown Resource-Priority".to_owned(),
        481 => "Call/Transaction Does Not Exist".to_owned(),
        504 => "Server Time-out".to_owned(),
        606 => "Not Acceptable".to_owned(),
        _ => match StatusCode::from(status).to_string().split_once(' ') {
            Some((_, name)) if name != "Other" => spaced(name),
            Some(_) | None => class_phrase(status).to_owned(),
        },
    }
}

/// §8.1.3.2: a status nobody knows means what its class means.
fn class_phrase(status: u16) -> &'static str {
    match status {
        100..200 => "Session Progress",
        200..300 => "OK",
        300..400 => "Redirected",
        400..500 => "Bad Request",
        500..600 => "Server Internal Error",
        _ => "Busy Everywhere",
    }
}

/// `BusyHere` to `Busy Here`.
fn spaced(name: &str) -> String {
    let mut phrase = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !phrase.is_empty() {
            phrase.push(' ');
        }
        phrase.push(letter);
    }
    phrase
}

impl From<rsip::Method> for Method {
    fn from(method: rsip::Method) -> Self {
        match method {
            rsip::Method::Ack => Self::Ack,
            rsip::Method::Bye => Self::Bye,
            rsip::Method::Cancel => Self::Cancel,
            rsip::Method::Info => Self::Info,
            rsip::Method::Invite => Self::Invite,
            rsip::Method::Message => Self::Message,
            rsip::Method::Notify => Self::Notify,
            rsip::Method::Options => Self::Options,
            rsip::Method::PRack => Self::Prack,
            rsip::Method::Publish => Self::Publish,
            rsip::Method::Refer => Self::Refer,
            rsip::Method::Register => Self::Register,
            rsip::Method::Subscribe => Self::Subscribe,
            rsip::Method::Update => Self::Update,
        }
    }
}

impl TryFrom<&Request> for rsip::Request {
    type Error = Error;

    fn try_from(request: &Request) -> Result<Self, Error> {
        Self::try_from(request.to_bytes())
    }
}

impl TryFrom<&Response> for rsip::Response {
    type Error = Error;

    fn try_from(response: &Response) -> Result<Self, Error> {
        Self::try_from(response.to_bytes())
    }
}

impl From<rsip::Request> for Request {
    fn from(request: rsip::Request) -> Self {
        Self {
            method: request.method.into(),
            uri: request.uri.to_string(),
            headers: headers_of(request.headers),
            body: request.body,
        }
    }
}

impl From<rsip::Response> for Response {
    fn from(response: rsip::Response) -> Self {
        let status = response.status_code.code();
        Self {
            status,
            reason: reason_phrase(status),
            headers: headers_of(response.headers),
            body: response.body,
        }
    }
}

impl From<rsip::SipMessage> for Message {
    fn from(message: rsip::SipMessage) -> Self {
        match message {
            rsip::SipMessage::Request(request) => Self::Request(request.into()),
            rsip::SipMessage::Response(response) => Self::Response(response.into()),
        }
    }
}

/// `rsip` gives name and value of a header only by printing it.
fn headers_of(lines: rsip::Headers) -> Headers {
    let mut headers = Headers::new();
    for line in lines {
        let line = line.to_string();
        let (name, value) = line.split_once(':').unwrap_or((&line, ""));
        headers.push(name, value.trim());
    }
    headers
}

#[cfg(test)]
mod tests;
