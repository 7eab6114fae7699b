//! One question to a trunk: is it there, and does it answer?

use super::Endpoint;
use crate::{
    dialog::{body, desk::Stationery},
    event::{Event, ProbeId, Probed},
    flow::Flow,
    txn::{Owner, What},
    wire::{Headers, Method, Request, Uri},
};
use std::time::Instant;

impl Endpoint {
    /// Sends an OPTIONS (RFC 3261 §11.1); [`Event::Probed`] says what became of it.
    pub fn probe(&mut self, to: Flow, now: Instant) -> ProbeId {
        self.next_probe += 1;
        let probe = ProbeId(self.next_probe);
        let request = self.options(to);
        self.counters.request_out(&request.method);
        self.txns.request(request, to, Owner::Probe(probe), now);
        self.settle(None, now);
        probe
    }

    fn options(&mut self, to: Flow) -> Request {
        let mut desk = Stationery {
            ours: self.ours.of(to.network),
            dice: &mut self.dice,
            transport: to.transport,
        };
        let uri = Uri::new(None, &to.remote.ip().to_string(), Some(to.remote.port()));
        let mut headers = Headers::new();
        headers.push("Via", desk.via());
        headers.push("Max-Forwards", "70");
        headers.push("From", format!("<sip:{}>;tag={}", desk.ours.domain, desk.dice.tag()));
        headers.push("To", format!("<{uri}>"));
        headers.push("Call-ID", desk.dice.call_id());
        headers.push("CSeq", "1 OPTIONS");
        headers.push("Contact", desk.contact());
        headers.push("Accept", body::SDP);
        headers.push("User-Agent", desk.ours.user_agent.as_str());
        Request { method: Method::Options, uri: uri.to_string(), headers, body: vec![] }
    }

    pub(super) fn probed(&mut self, probe: ProbeId, what: What) {
        let outcome = match what {
            What::Response(response) => Probed::Answered { status: response.status },
            What::TimedOut | What::Acked => Probed::Silent,
            What::Unreachable => Probed::Unreachable,
        };
        self.events.push_back(Event::Probed { probe, outcome });
    }
}
