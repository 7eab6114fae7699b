//! What passed and what was refused, as plain numbers for the metrics.

use crate::{
    digest::Algorithm,
    wire::{Method, Response},
};
use std::collections::BTreeMap;

/// Every key comes out of a closed set, so the maps are bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// By method.
    pub requests_in: BTreeMap<&'static str, u64>,
    /// By method. Repeats are not counted here.
    pub requests_out: BTreeMap<&'static str, u64>,
    /// By method and status.
    pub responses_in: BTreeMap<(&'static str, u16), u64>,
    /// By method and status. Repeats are not counted here.
    pub responses_out: BTreeMap<(&'static str, u16), u64>,
    /// By reason.
    pub parse_errors: BTreeMap<&'static str, u64>,
    /// Refused or dropped on purpose, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// REGISTERs whose sender proved who they are, by digest algorithm.
    pub proved: BTreeMap<&'static str, u64>,
    /// Keys that were to be told by INFO and were not: refused or not answered, more than wait, or the
    /// call was over.
    pub keys_failed: u64,
    /// Sessions that we refreshed (RFC 4028), each time.
    pub sessions_refreshed: u64,
    /// Sessions that ended because nobody could refresh them.
    pub sessions_expired: u64,
    /// Messages sent again, ours and answers to the peer's repeats.
    pub retransmissions: u64,
    /// Responses that belong to nothing here.
    pub stray_responses: u64,
    /// ACKs that belong to nothing here.
    pub stray_acks: u64,
    /// Datagrams of nothing but line ends, and pings over connections.
    pub keep_alives: u64,
    /// Line ends we sent, to keep the way to a phone behind a NAT open.
    pub keep_alives_sent: u64,
    pub connections_accepted: u64,
    /// Opened by us.
    pub connections_opened: u64,
    /// By reason; refused ones too.
    pub connections_closed: BTreeMap<&'static str, u64>,
}

/// Legs that another process left behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orphans {
    pub found: u64,
    /// Ended, and the far side had said so.
    pub answered: u64,
    /// Ended because the far side was silent until the transaction's timer.
    pub given_up: u64,
}

impl Orphans {
    /// Legs that are still being ended.
    pub fn left(self) -> u64 {
        self.found - self.answered - self.given_up
    }
}

impl Counters {
    pub(crate) fn request_in(&mut self, method: &Method) {
        bump(&mut self.requests_in, method.label());
    }

    pub(crate) fn request_out(&mut self, method: &Method) {
        bump(&mut self.requests_out, method.label());
    }

    pub(crate) fn response_in(&mut self, response: &Response) {
        bump(&mut self.responses_in, (method_of(response), response.status));
    }

    pub(crate) fn response_out(&mut self, response: &Response) {
        bump(&mut self.responses_out, (method_of(response), response.status));
    }

    pub(crate) fn parse_error(&mut self, reason: &'static str) {
        bump(&mut self.parse_errors, reason);
    }

    pub(crate) fn reject(&mut self, reason: &'static str) {
        bump(&mut self.rejected, reason);
    }

    pub(crate) fn proved(&mut self, digest: Algorithm) {
        bump(&mut self.proved, digest.name());
    }

    pub(crate) fn connection_closed(&mut self, reason: &'static str) {
        bump(&mut self.connections_closed, reason);
    }
}

fn bump<K: Ord>(map: &mut BTreeMap<K, u64>, key: K) {
    *map.entry(key).or_default() += 1;
}

fn method_of(response: &Response) -> &'static str {
    response.headers.cseq().map_or("OTHER", |(_, method)| method.label())
}
