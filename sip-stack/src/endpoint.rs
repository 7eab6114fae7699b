//! One door: datagrams, streams, commands and the time in; bytes to send, events and deadlines out.
//!
//! Owns the legs, the transactions, the registrations, the connections and their deadlines. After every
//! `handle_*` and every command drain `poll_transmit` and `poll_event`, then sleep until
//! `poll_timeout`.

mod connections;
mod finished;
mod incoming;
mod legs;
mod memory;
mod probes;
mod streams;

use crate::{
    config::{Config, Guests, Limits},
    counters::Counters,
    dialog::{
        desk::{Desk, Letterheads, Ours},
        invite::Leg,
    },
    dice::Dice,
    event::{Cause, Contact, Event, HangUp, Invite, Limit, Refusal, Source, Target, Transmit},
    flow::{Far, Flow},
    guard::{Guard, bans::Ban},
    ids::{LegId, NetworkId, TrunkId, UserId},
    keys::Press,
    registrar::Registrar,
    trunk::{TrunkLoad, Trunks},
    txn::{Owner, Transactions},
};
use connections::Connections;
use legs::Legs;
use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

#[derive(Debug)]
pub struct Endpoint {
    ours: Letterheads,
    limits: Limits,
    dice: Dice,
    counters: Counters,
    guard: Guard,
    trunks: Trunks,
    registrar: Registrar,
    txns: Transactions,
    legs: Legs,
    connections: Connections,
    events: VecDeque<Event>,
    transmits: VecDeque<Transmit>,
    next_leg: u64,
    next_probe: u64,
    draining: bool,
    /// Let in for a self-test.
    guests: Option<Guests>,
}

impl Endpoint {
    pub fn new(config: Config) -> Self {
        let mut dice = Dice::new(config.seed);
        let others = config.networks.iter().flat_map(|other| [other.advertise, other.local]);
        let own_hosts = [config.advertise, config.local].into_iter().chain(others);
        let registrar = Registrar::new(
            config.users,
            &config.domain,
            own_hosts.map(|own| own.ip()).collect(),
            dice.key(),
            config.limits.wrong_passwords_max,
        );
        let [k0, k1, k2, k3, k4, k5, k6, k7, ..] = dice.key();
        let guard_key = u64::from_be_bytes([k0, k1, k2, k3, k4, k5, k6, k7]);
        let first = Ours {
            advertise: config.advertise,
            advertise_tcp: config.advertise_tcp,
            domain: config.domain,
            user_agent: config.user_agent,
        };
        Self {
            ours: Letterheads::new(first, &config.networks),
            limits: config.limits,
            guard: Guard::new(&config.limits, guard_key),
            dice,
            counters: Counters::default(),
            trunks: Trunks::new(config.trunks),
            registrar,
            txns: Transactions::default(),
            legs: Legs::default(),
            connections: Connections::new(config.limits),
            events: VecDeque::new(),
            transmits: VecDeque::new(),
            next_leg: config.first_leg,
            next_probe: 0,
            draining: false,
            guests: None,
        }
    }

    // ---- what happened ----

    /// One datagram of the first network, whatever it is. `from`: the address it really came from.
    pub fn handle_datagram(&mut self, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.handle_datagram_of(from.into(), bytes, now);
    }

    /// The same of any network.
    pub fn handle_datagram_of(&mut self, from: Far, bytes: &[u8], now: Instant) {
        let Far { network, address } = from;
        self.receive(Flow::udp(address).within(network), bytes, now);
        self.settle(Some(address), now);
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        self.handle_connection_timeouts(now);
        self.txns.handle_timeout(now);
        self.settle(None, now);
        while let Some(leg) = self.legs.take_due(now) {
            self.with_leg(leg, now, |leg, desk| leg.handle_timeout(desk));
        }
        self.settle(None, now);
        self.registrar.handle_timeout(now, &mut self.events);
        self.send_keep_alives();
    }

    // ---- polls ----

    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Somebody who may be reached elsewhere than before: ask [`Self::contacts`].
    pub fn poll_moved(&mut self) -> Option<UserId> {
        self.registrar.take_moved()
    }

    /// When to call [`Self::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Instant, &'static str)> {
        let legs = self.legs.poll_timeout().map(|at| (at, "a leg waits"));
        let bindings = self.registrar.poll_timeout().map(|at| (at, "a registration waits"));
        let connections = self.connections.poll_timeout().map(|at| (at, "a connection waits"));
        let all = [self.txns.poll_timeout(), legs, bindings, connections];
        all.into_iter().flatten().min_by_key(|&(at, _)| at)
    }

    // ---- commands: legal at any instant, without effect where they make no sense ----

    /// Places a call. Over a limit it ends at once with [`Cause::Full`].
    pub fn invite(&mut self, invite: Invite, now: Instant) -> LegId {
        let id = self.new_leg_id();
        if let Some(limit) = self.limit_reached(invite.trunk, now) {
            self.counters.reject(limit.label());
            self.events.push_back(Event::Ended { leg: id, cause: Cause::Full { limit } });
            return id;
        }
        let network = invite.target.to.network;
        let leg = Leg::place(id, &invite, &mut self.desk(network, now));
        self.legs.insert(leg, now);
        self.settle(None, now);
        id
    }

    /// Says 180 to the caller.
    pub fn ring(&mut self, leg: LegId, now: Instant) {
        self.command(leg, now, |leg, desk| leg.ring(desk));
    }

    /// Says 183 with this session description: early media. The 200 must carry the same one.
    pub fn progress(&mut self, leg: LegId, sdp: Vec<u8>, now: Instant) {
        self.command(leg, now, |leg, desk| leg.progress(sdp, desk));
    }

    /// Says 200 with this session description, until the ACK comes.
    pub fn answer(&mut self, leg: LegId, sdp: Vec<u8>, now: Instant) {
        self.command(leg, now, |leg, desk| leg.answer(sdp, desk));
    }

    /// A call of this trunk came to nothing: nobody of ours has talked to its caller. Where too many do,
    /// new ones are put off.
    pub fn note_fruitless(&mut self, trunk: TrunkId, now: Instant) {
        self.trunks.note_fruitless(trunk, now);
    }

    /// Says no to a caller who has no final answer yet.
    pub fn refuse(&mut self, leg: LegId, refusal: Refusal, now: Instant) {
        self.command(leg, now, |leg, desk| leg.refuse(&refusal, desk));
    }

    /// CANCEL, BYE, 480 or a late ACK and BYE: whatever the moment asks for. Idempotent.
    pub fn hang_up(&mut self, leg: LegId, why: HangUp, now: Instant) {
        self.command(leg, now, |leg, desk| leg.hang_up(why, desk));
    }

    /// The answer to [`Event::Reoffered`].
    pub fn answer_reoffer(&mut self, leg: LegId, answer: Result<Vec<u8>, Refusal>, now: Instant) {
        self.command(leg, now, |leg, desk| leg.answer_reoffer(answer, desk));
    }

    /// Tells the far side a key by INFO, one after the other.
    pub fn tell_key(&mut self, leg: LegId, press: Press, now: Instant) {
        self.command(leg, now, |leg, desk| leg.tell_key(press, desk));
    }

    /// Asks the far side whether it still knows of the call: [`Event::Checked`], or
    /// [`Event::Ended`] with [`Cause::Lost`].
    pub fn check(&mut self, leg: LegId, now: Instant) {
        self.command(leg, now, |leg, desk| leg.check(desk));
    }

    /// Lets in a caller and a phone of the box's own, or out again. Who sends from exactly that
    /// socket is that trunk; whatever its address may otherwise be.
    pub fn admit(&mut self, guests: Option<Guests>) {
        let before = std::mem::replace(&mut self.guests, guests);
        if let Some(before) = before {
            self.registrar.fix_contact(before.user, None);
        }
        if let Some(guests) = &self.guests {
            self.registrar.fix_contact(guests.user, Some(guests.phone.clone()));
        }
    }

    /// While draining, calls that come are refused with 503; the others go on.
    pub fn set_draining(&mut self, draining: bool) {
        self.draining = draining;
    }

    /// From now on these trunks, users and limits, each at the id it has; the rest of `config` is
    /// taken at the start only. Calls go on, with the peers they began with.
    pub fn reconfigure(&mut self, config: Config) {
        self.trunks.reconfigure(config.trunks);
        self.registrar.reconfigure(config.users, &mut self.events);
        self.limits = config.limits;
        self.connections.set_limits(config.limits);
        if let Some(guests) = &self.guests {
            self.registrar.fix_contact(guests.user, Some(guests.phone.clone()));
        }
    }

    /// The loop round this endpoint was so late: far behind, it takes no new calls for a moment.
    pub fn was_late(&mut self, late: Duration, now: Instant) {
        self.guard.was_late(late, now);
    }

    /// Hears a source again as if it had never been heard. Whether it was banned.
    pub fn lift_ban(&mut self, address: IpAddr, now: Instant) -> bool {
        self.registrar.forget_guesses(address);
        self.guard.lift(address, now)
    }

    // ---- questions ----

    /// Sources that are not heard at this moment, by address.
    pub fn bans(&self, now: Instant) -> Vec<Ban> {
        self.guard.bans.list(now)
    }

    /// Bans there have ever been.
    pub fn bans_total(&self) -> u64 {
        self.guard.bans.serial()
    }

    /// Where this user can be reached: every live binding, newest first, or the fixed contact.
    pub fn contacts(&self, user: UserId) -> Vec<Target> {
        self.registrar.contacts(user)
    }

    /// The same for an operator: where they came from, and for how long.
    pub fn listed(&self, user: UserId) -> Vec<Contact> {
        self.registrar.listed(user)
    }

    /// TCP connections that stand or are being made.
    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    /// In which of our networks this leg's far side is.
    pub fn network(&self, leg: LegId) -> NetworkId {
        self.legs.get(leg).map(|leg| leg.peer().flow.network).unwrap_or_default()
    }

    /// Each trunk's calls, by its id; as its limit counts them.
    pub fn trunk_loads(&self) -> Vec<TrunkLoad> {
        self.trunks.loads()
    }

    /// Nothing is left of any call: no leg, no transaction. Registrations and connections do not
    /// count.
    pub fn is_idle(&self) -> bool {
        self.legs.is_empty() && self.txns.is_empty()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Legs whose [`Event::Ended`] has not been said.
    pub fn legs(&self) -> usize {
        self.legs.live()
    }

    // ---- inside ----

    /// Whose phone or trunk speaks from there.
    fn source(&self, from: Flow, name: &str) -> Option<Source> {
        let phone = self.registrar.user_at(from, name).map(Source::Phone);
        phone.or_else(|| self.trunk_at(from).map(Source::Trunk))
    }

    /// Whose trunk sends from there; a guest's socket is known to the port.
    fn trunk_at(&self, from: Flow) -> Option<TrunkId> {
        let guest = self.guests.as_ref().filter(|guests| Flow::udp(guests.caller) == from);
        guest.map(|guests| guests.trunk).or_else(|| self.trunks.of(from.host()))
    }

    /// Why one more call is not placed; otherwise the trunk counts it from here on.
    fn limit_reached(&mut self, trunk: Option<TrunkId>, now: Instant) -> Option<Limit> {
        if self.legs.live() >= self.limits.legs_max {
            return Some(Limit::Legs);
        }
        let trunk = trunk?;
        if !self.trunks.take_turn(trunk, now) {
            return Some(Limit::TrunkRate);
        }
        (!self.trunks.take_call(trunk)).then_some(Limit::TrunkCalls)
    }

    fn new_leg_id(&mut self) -> LegId {
        let id = LegId(self.next_leg);
        self.next_leg += 1;
        id
    }

    fn desk(&mut self, network: NetworkId, now: Instant) -> Desk<'_> {
        Desk {
            txns: &mut self.txns,
            events: &mut self.events,
            dice: &mut self.dice,
            counters: &mut self.counters,
            trunks: &mut self.trunks,
            ours: self.ours.of(network),
            now,
        }
    }

    fn command(&mut self, leg: LegId, now: Instant, act: impl FnOnce(&mut Leg, &mut Desk<'_>)) {
        self.with_leg(leg, now, act);
        self.settle(None, now);
    }

    fn with_leg(&mut self, leg: LegId, now: Instant, act: impl FnOnce(&mut Leg, &mut Desk<'_>)) {
        let network = self.network(leg);
        let mut desk = Desk {
            txns: &mut self.txns,
            events: &mut self.events,
            dice: &mut self.dice,
            counters: &mut self.counters,
            trunks: &mut self.trunks,
            ours: self.ours.of(network),
            now,
        };
        self.legs.with(leg, now, |leg| act(leg, &mut desk));
    }

    /// Finds every message its way and hands what the transactions have to say to their owners,
    /// until nobody says anything.
    fn settle(&mut self, from: Option<SocketAddr>, now: Instant) {
        loop {
            self.route(now);
            let Some(told) = self.txns.poll_event() else { break };
            match told.owner {
                Owner::Leg(leg) => {
                    self.with_leg(leg, now, |leg, desk| leg.handle_told(told, from, desk));
                }
                Owner::Probe(probe) => self.probed(probe, told.what),
                Owner::Nobody => {}
            }
        }
        self.counters.retransmissions += std::mem::take(&mut self.txns.retransmissions);
        self.counters.stray_responses += std::mem::take(&mut self.txns.stray_responses);
    }
}

#[cfg(test)]
mod tests;
