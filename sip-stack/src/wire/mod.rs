//! The bytes of SIP: requests and responses as we hold them, and the one way in and out.
//!
//! Header values stay bytes until somebody asks for a field; what we do not change leaves as it
//! came (RFC 3261 §7). No sockets, no clock, no randomness.

mod fault;
mod fields;
mod headers;
pub(crate) mod lex;
mod method;
mod parse;
mod rsip;
pub mod stream;
mod uri;
mod write;

#[cfg(test)]
mod torture;

pub use fault::{Fault, Malformed};
pub use fields::{NameAddr, Params, Via};
pub use headers::Headers;
pub(crate) use lex::{is_token, number, split_list, split_once, trim};
pub use method::Method;
pub use parse::{HEADER_BYTES_MAX, HEADERS_MAX, MESSAGE_BYTES_MAX, URI_BYTES_MAX, parse};
pub use uri::{Scheme, Uri};
pub use write::{
    ack_for_failure, add_received, cancel_for, reason_phrase, response_destination, response_to,
    stamp_via,
};

/// One SIP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Request(Request),
    Response(Response),
}

/// A request; the version is always SIP/2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// The Request-URI as written: printable ASCII, or UTF-8 in the user part.
    pub uri: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// A response; the version is always SIP/2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 100 to 699.
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}
