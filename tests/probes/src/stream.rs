//! A TCP connection whose bytes come cut anywhere: the same messages whatever the cuts, no more held than
//! one message, and an endpoint that counts the same.

use crate::endpoint;
use sip_stack::{
    Counters, Endpoint, Way,
    wire::{
        Fault,
        stream::{Framer, Piece},
    },
};
use std::{net::SocketAddr, time::Instant};

/// Small, so that what is too long is found soon.
const MESSAGE_BYTES_MAX: usize = 2_048;
/// What is cut into smaller parts than these takes longer and shows no more.
const CUT_BYTES_MAX: usize = 97;

/// The first byte says how the rest is cut.
///
/// # Panics
/// Where cuts change what is read, more is held than may be, or a stream that broke goes on.
pub fn stream(bytes: &[u8]) {
    let Some((&how, stream)) = bytes.split_first() else { return };
    let whole = framed([stream].into_iter());
    same(&whole, &framed(parts(stream, how)), stream.len());
    same(&whole, &framed(stream.chunks(1)), stream.len());

    let (at_once, cut) = (counted([stream].into_iter()), counted(parts(stream, how)));
    assert_eq!(at_once.requests_in, cut.requests_in, "requests, cut by {how}");
    assert_eq!(at_once.responses_in, cut.responses_in, "responses, cut by {how}");
    assert_eq!(at_once.parse_errors, cut.parse_errors, "faults, cut by {how}");
    assert_eq!(at_once.keep_alives, cut.keep_alives, "pings, cut by {how}");
}

/// A stream in parts of lengths that nobody would choose, the same for the same number.
fn parts(stream: &[u8], how: u8) -> impl Iterator<Item = &[u8]> {
    let (mut rest, mut dice) = (stream, u32::from(how) | 0x100);
    std::iter::from_fn(move || {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + usize::try_from(dice >> 16).unwrap_or_default() % CUT_BYTES_MAX;
        let (part, left) = rest.split_at(length.min(rest.len()));
        rest = left;
        (!part.is_empty()).then_some(part)
    })
}

fn framed<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Vec<Piece> {
    let mut framer = Framer::new(MESSAGE_BYTES_MAX);
    let mut pieces = vec![];
    for part in parts {
        framer.push(part);
        while let Some(piece) = framer.next() {
            pieces.push(piece);
        }
        assert!(framer.held() <= MESSAGE_BYTES_MAX, "{} bytes are held", framer.held());
    }
    let broken = pieces.iter().position(|piece| matches!(piece, Piece::Broken { .. }));
    assert!(broken.is_none_or(|at| at + 1 == pieces.len()), "it goes on after it broke");
    pieces
}

/// What is over the bound may be found so by one part or by another, and is called accordingly.
fn same(whole: &[Piece], cut: &[Piece], bytes: usize) {
    assert_eq!(whole.len(), cut.len(), "{whole:?} and {cut:?}");
    for pair in whole.iter().zip(cut) {
        match pair {
            (Piece::Broken { fault: one, .. }, Piece::Broken { fault: other, .. })
                if bytes >= MESSAGE_BYTES_MAX =>
            {
                let of_length = |fault: &Fault| *fault == Fault::HeaderSize;
                assert!(one == other || of_length(other), "{one:?} and {other:?}");
            }
            (one, other) => assert_eq!(one, other),
        }
    }
}

/// What an endpoint made of it, from a trunk.
fn counted<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Counters {
    let now = Instant::now();
    let mut endpoint = Endpoint::new(endpoint::config());
    let conn = endpoint.handle_accepted(SocketAddr::from(([192, 0, 2, 1], 40_000)), now);
    let conn = conn.expect("the first connection has room");
    for part in parts {
        endpoint.handle_stream(conn, part, now);
        while let Some(transmit) = endpoint.poll_transmit() {
            let mine = matches!(transmit.way, Way::Stream(by) | Way::Close(by) if by == conn);
            assert!(
                mine || transmit.way == Way::Datagram || matches!(transmit.way, Way::Connect(_))
            );
        }
        while endpoint.poll_event().is_some() {}
    }
    endpoint.counters().clone()
}
