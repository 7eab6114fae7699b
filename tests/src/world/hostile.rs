//! What the network and bad people do in a day: cut cables, floods, forgeries, guessed passwords.

use super::{Party, World, day::Deed, site};
use crate::{
    forger::Forgery,
    net::{Datagram, Way},
    sip_peer::dialog::Stage,
    sip_text::Request,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Messages of one flood.
const FLOOD: std::ops::Range<u64> = 20..60;

impl World {
    pub(super) fn plan_cuts(&mut self) {
        // The box's own link.
        if self.dice.percent(20) {
            let (at, span) = (self.some_moment(130_000), self.dice.millis(500..10_001));
            self.plan(at, Deed::Cut { host: None, way: Way::Both, span });
        }
        if !self.dice.percent(50) {
            return;
        }
        let hosts: Vec<_> = self.parties.keys().map(SocketAddr::ip).collect();
        for _ in 0..self.dice.number(1..5) {
            let (at, host) = (self.some_moment(130_000), self.dice.pick(&hosts));
            let way = self.dice.pick(&[Way::Both, Way::From, Way::To]);
            // Longer than anything is repeated, sometimes.
            let span = match self.dice.percent(15) {
                true => self.dice.millis(30_000..60_000),
                false => self.dice.millis(500..20_000),
            };
            self.plan(at, Deed::Cut { host: Some(host), way, span });
        }
    }

    pub(super) fn plan_forgeries(&mut self) {
        if !self.dice.percent(40) {
            return;
        }
        for _ in 0..self.dice.number(2..12) {
            let (at, what) = (self.some_moment(140_000), self.dice.pick(&Forgery::ALL));
            self.plan(at, Deed::Forge(what));
        }
        if self.dice.percent(40) {
            let (at, from) =
                (self.some_moment(130_000), self.dice.pick(&[site::STRANGER, site::ROGUE]));
            self.plan(at, Deed::Flood { from });
        }
        if self.dice.percent(20) {
            self.thief = Some(self.site.thief(self.seed, self.epoch));
        }
    }

    pub(super) fn cut(&mut self, host: Option<IpAddr>, way: Way, span: Duration) {
        let talks = |party: &Party| {
            let peer = match *party {
                Party::Carrier(place) => &self.carriers[place],
                Party::Phone(place) => &self.phones[place].peer,
            };
            peer.dialogs().iter().any(|dialog| dialog.stage == Stage::Answered)
        };
        let mut cut_off = self.parties.iter().filter(|(address, party)| {
            host.is_none_or(|host| host == address.ip()) && talks(party)
        });
        self.reached.partition_in_a_call += u64::from(cut_off.next().is_some());
        self.net.cut(host, way, self.now, self.now + span);
    }

    /// With the right ids, from anywhere but the right place; a digest and torn bytes come from
    /// the right place too.
    pub(super) fn forge(&mut self, what: Forgery) {
        let Some((victim, bytes)) = self.forger.forge(what, site::STRANGER) else { return };
        let others: Vec<_> =
            self.parties.keys().copied().filter(|other| other.ip() != victim.ip()).collect();
        let from = match (what, self.dice.number(0..3)) {
            (Forgery::Torn, _) | (Forgery::Replay, 0) => victim,
            (_, 1) => self.dice.pick(&others),
            _ => site::STRANGER,
        };
        self.note(|| {
            format!("      forged: {what:?}, {} as {}", self.name(from), self.name(victim))
        });
        self.reached.forged += 1;
        self.send(Datagram { from, to: self.site.address, bytes });
    }

    pub(super) fn flood(&mut self, from: SocketAddr) {
        self.reached.flood += 1;
        for _ in 0..self.dice.number(FLOOD) {
            let bytes = match self.dice.number(0..4) {
                0 => self.call_that_leads_nowhere(from),
                1 => {
                    let len = self.dice.place(600);
                    self.dice.bytes(len)
                }
                _ if from == site::ROGUE => self.call_that_leads_nowhere(from),
                _ => self.strange_invite("stranger", from),
            };
            self.send(Datagram { from, to: self.site.address, bytes });
        }
    }

    fn call_that_leads_nowhere(&mut self, from: SocketAddr) -> Vec<u8> {
        let id = self.dice.number(0..u64::MAX);
        let number = self.dice.pick(&["0900555555", "1001", "*", "541199999999"]);
        Request {
            method: "INVITE",
            uri: &format!("sip:{number}@{}", self.site.address),
            via: from,
            branch: &format!("z9hG4bKn{id}"),
            from: &format!("<sip:rogue@{}>;tag=n{id}", from.ip()),
            to: &format!("<sip:{number}@{}>", self.site.address.ip()),
            call_id: &format!("nowhere{id}@{}", from.ip()),
            cseq: 1,
            more: &format!("Contact: <sip:rogue@{from}>\r\n"),
            body: &crate::sip_text::sdp(from, 1, "8", "sendrecv"),
        }
        .to_bytes()
    }
}
