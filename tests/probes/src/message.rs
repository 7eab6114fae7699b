//! One SIP datagram: read within limits, written as it was read, refused with a readable answer.

use sip_stack::wire::{
    HEADER_BYTES_MAX, HEADERS_MAX, Headers, MESSAGE_BYTES_MAX, Message, Method, NameAddr,
    URI_BYTES_MAX, Uri, add_received, parse, response_destination, response_to, stamp_via,
};
use std::net::SocketAddr;

/// # Panics
/// Where a message is read that is over a limit or is written otherwise than it was read, or where
/// the answer to a malformed one cannot be read.
pub fn message(bytes: &[u8]) {
    match parse(bytes) {
        Ok(message) => {
            assert!(bytes.len() <= MESSAGE_BYTES_MAX, "a message over the limit is accepted");
            accepted(message);
        }
        Err(malformed) => {
            let Some(answer) = malformed.answer() else { return };
            let mut answer = answer.clone();
            stamp_via(&mut answer.headers, from());
            let written = answer.to_bytes();
            assert!(matches!(parse(&written), Ok(Message::Response(_))), "{answer:?}");
            // An answer reflects: it must not multiply.
            assert!(written.len() <= bytes.len() + 1024, "{} of {}", written.len(), bytes.len());
        }
    }
}

fn accepted(message: Message) {
    let (headers, body, written) = match &message {
        Message::Request(request) => {
            assert!(request.uri.len() <= URI_BYTES_MAX);
            (&request.headers, &request.body, request.to_bytes())
        }
        Message::Response(response) => {
            assert!((100..700).contains(&response.status));
            (&response.headers, &response.body, response.to_bytes())
        }
    };
    assert!(headers.len() <= HEADERS_MAX, "{} headers", headers.len());
    assert!(headers.iter().all(|(_, value)| value.len() <= HEADER_BYTES_MAX));
    ask_everything(headers);
    let tail = written.get(written.len() - body.len()..);
    assert_eq!(tail, Some(body.as_slice()), "the body leaves as it came");
    // What we add may take a message over the limit it was under.
    if written.len() <= MESSAGE_BYTES_MAX && headers.len() < HEADERS_MAX {
        assert_eq!(parse(&written).map(without_length), Ok(without_length(message.clone())));
    }
    if let Message::Request(request) = message {
        answered(request);
    }
}

/// Whatever is asked of a header that was accepted has an answer.
fn ask_everything(headers: &Headers) {
    let top = headers.top_via().expect("a message without a usable Via is not accepted");
    assert!(!top.host.is_empty());
    assert!(headers.from().is_ok() && headers.to().is_ok());
    assert!(headers.call_id().is_ok() && headers.cseq().is_ok());
    for name in ["Via", "Route", "Record-Route", "Contact", "Require", "Supported", "Allow", "x"] {
        for value in headers.list(name) {
            if let Some(address) = NameAddr::parse(value)
                && let Ok(uri) = Uri::parse(&address.uri)
            {
                let (_, _, _) = (uri.user(), uri.host_ip(), uri.is_loose_route());
                let again = Uri::parse(&uri.to_string()).map(|again| again.to_string());
                assert_eq!(again, Ok(uri.to_string()), "a URI is written as it was read");
            }
        }
    }
    let _ = (headers.expires(), headers.is_star_contact(), headers.contacts());
}

/// Any request that is accepted can be answered, and the answer can be read.
fn answered(mut request: sip_stack::wire::Request) {
    add_received(&mut request, from());
    let to = response_destination(&request.headers, from());
    assert_eq!(to.ip(), from().ip(), "an answer goes to who asked");
    if request.method == Method::Ack {
        return;
    }
    let written = response_to(&request, 486, Some("tag")).to_bytes();
    if written.len() <= MESSAGE_BYTES_MAX {
        assert!(matches!(parse(&written), Ok(Message::Response(_))));
    }
}

/// We write Content-Length ourselves.
fn without_length(mut message: Message) -> Message {
    match &mut message {
        Message::Request(request) => request.headers.remove("Content-Length"),
        Message::Response(response) => response.headers.remove("Content-Length"),
    }
    message
}

fn from() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], 5099))
}
