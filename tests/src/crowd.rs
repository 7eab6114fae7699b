//! Many calls at once in one exchange, without anybody's time passing: for what must be quick with many.

use crate::dice::Dice;
use control_plane::{
    config::{Destination, NumberRow, Plan, Trunk},
    exchange::{Exchange, Restart, Start},
    headroom,
    journal::{Log, Past},
    switchboard::Switchboard,
    time::Stamp,
};
use media_core::order::PortName;
use sip_stack::{Config, Limits, ids::TrunkId};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

const BOX: &str = "198.51.100.1:5060";
const CARRIER: &str = "192.0.2.1:5060";
const PBX: &str = "192.0.2.2:5080";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 8\r\n";

/// A box that passes calls from a carrier on to a PBX, and its journal.
pub struct Crowd {
    pub exchange: Exchange,
    pub log: Log,
    now: Instant,
}

impl Crowd {
    /// So many calls, each talked between two.
    ///
    /// # Panics
    /// If one of them does not come about.
    pub fn talking(calls: u32, now: Instant) -> Self {
        let past = Past::none(&plan());
        let log = Log::begin(past.moment());
        let mut crowd = Self { exchange: exchange(past.board, None, now), log, now };
        for call in 0..calls {
            crowd.connect(call);
        }
        crowd
    }

    /// What a process that begins with this journal is.
    ///
    /// # Panics
    /// If the journal cannot be read.
    pub fn next_process(journal: &[u8], now: Instant) -> Exchange {
        let segment = control_plane::journal::read(journal).expect("it begins with a snapshot");
        let past = control_plane::journal::replay(segment);
        let (board, restart) = past.restart(plan(), std::collections::BTreeMap::new());
        exchange(board, Some(restart), now)
    }

    /// The journal as the segment that begins now would have it.
    pub fn snapshot(&self) -> Log {
        Log::begin(control_plane::journal::Moment {
            board: self.exchange.board(),
            ledger: self.exchange.ledger(),
            memory: &self.exchange.memory(self.now),
        })
    }

    fn connect(&mut self, call: u32) {
        // A thousand calls a second: more at once would be a flood, and refused.
        self.now += Duration::from_millis(1);
        let invite = request("INVITE", call, "", SDP);
        let passed_on = self.feed(CARRIER, &invite);
        let passed_on = passed_on.iter().find(|text| text.starts_with("INVITE "));
        let answer = answer(passed_on.expect("the call is passed on"), call);
        let answered = self.feed(PBX, &answer);
        let ok = answered.iter().find(|text| text.starts_with("SIP/2.0 200 "));
        let to = header(ok.expect("the caller is answered"), "To");
        let tag = to.split(";tag=").nth(1).expect("a 200 has a tag");
        self.feed(CARRIER, &request("ACK", call, tag, ""));
    }

    fn feed(&mut self, from: &str, text: &str) -> Vec<String> {
        self.exchange.handle_datagram(address(from), text.as_bytes(), self.now);
        self.log.take_turn(&mut self.exchange);
        while self.exchange.poll_order().is_some() {}
        while self.exchange.poll_fact().is_some() {}
        let said = std::iter::from_fn(|| self.exchange.poll_transmit());
        said.map(|transmit| String::from_utf8_lossy(&transmit.bytes).into_owned()).collect()
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address of this file")
}

fn plan() -> Arc<Plan> {
    let trunk = |name: &str, address, pstn| Trunk { address, pstn, ..Trunk::named(name) };
    Arc::new(Plan {
        trunks: vec![trunk("carrier", None, true), trunk("pbx", Some(address(PBX)), false)],
        seats: vec![],
        teams: vec![],
        numbers: vec![NumberRow::new("9*", Destination::Trunk(TrunkId(1)))],
        ..Plan::default()
    })
}

fn exchange(board: Switchboard, restart: Option<Restart>, now: Instant) -> Exchange {
    let trunk = |name: &str, peer: &str, address| sip_stack::Trunk {
        peers: vec![peer.parse().expect("one address is a network")],
        address,
        calls_max: 1_000_000,
        ..sip_stack::Trunk::named(name)
    };
    let sip = Config {
        local: address(BOX),
        advertise: address(BOX),
        advertise_tcp: address(BOX),
        networks: vec![],
        domain: "clavija.test".to_owned(),
        user_agent: "clavija".to_owned(),
        trunks: vec![
            trunk("carrier", "192.0.2.1", None),
            trunk("pbx", "192.0.2.2", Some(address(PBX))),
        ],
        users: vec![],
        first_leg: 1,
        seed: Dice::new(1, 0).seed(),
        limits: Limits { transactions_max: 1_000_000, legs_max: 1_000_000, ..Limits::STANDARD },
    };
    let start = Start {
        sip,
        board,
        ports: (1_024..64_000).map(PortName).collect(),
        media_address: address(BOX).ip(),
        networks: vec![],
        seed: Dice::new(2, 0).seed(),
        wall: Stamp(1_800_000_000_000_000),
        login_key: [3; 32],
        headroom: headroom::Limits::USUAL,
        opus_complexity: 5,
        restart,
    };
    Exchange::new(start, now)
}

fn request(method: &str, call: u32, to_tag: &str, body: &str) -> String {
    let tag = if to_tag.is_empty() { String::new() } else { format!(";tag={to_tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "{method} sip:900001@198.51.100.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{method}{call};rport\r\nMax-Forwards: 70\r\n\
         From: \"A caller\" <sip:+541144440000@192.0.2.1>;tag=from{call}\r\n\
         To: <sip:900001@198.51.100.1>{tag}\r\nCall-ID: call{call}@192.0.2.1\r\nCSeq: 1 {method}\r\n\
         Contact: <sip:{CARRIER}>\r\n{kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn answer(invite: &str, call: u32) -> String {
    let copied = ["Via", "From", "Call-ID", "CSeq"].map(|name| header(invite, name));
    let [via, from, call_id, sequence] = copied;
    format!(
        "SIP/2.0 200 OK\r\nVia: {via}\r\nFrom: {from}\r\nTo: {};tag=pbx{call}\r\n\
         Call-ID: {call_id}\r\nCSeq: {sequence}\r\nContact: <sip:{PBX}>\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{SDP}",
        header(invite, "To"),
        SDP.len()
    )
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    let lines = message.lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.next().expect("every message has it")
}
