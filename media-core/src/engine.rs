//! The whole of one media thread without IO: orders, datagrams and the time in; datagrams,
//! recorder frames and events out.
//!
//! Call [`Engine::handle_packet`] for all that came, then [`Engine::tick`], every millisecond.
//! All memory is taken, and written to, by [`Engine::new`]; nothing after it allocates or waits.

mod events;
mod keys;
pub mod moving;
mod orders;
mod prompts;
mod rooms;
mod secure;
mod slots;

use self::{
    events::Events,
    secure::{Guarded, Securities},
    slots::{Phases, Ports, Slots},
};
use crate::{
    broadcast::Broadcast,
    clock::{Clock, PHASES},
    coder::Scrap,
    counters::{Counters, Dropped},
    digits::{Key, Pressed, Told, ways::Means},
    jitter::Speech,
    leg::{
        Heard, Leg, Mode,
        prompts::Program,
        send::Wire,
        vigil::{Change, Way},
    },
    music::Tune,
    order::{By, Coding, Effort, Event, LegName, PortName, RecordFrame, TalkName, TuneId},
    record::Tape,
    rtp::rtcp::Compound,
    session::{Pair, Talk},
    touch,
    tunes::Tunes,
};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

/// What an engine is made for.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Legs at a time, those included whose `Closed` nobody has fetched.
    pub legs_max: usize,
    /// Talks at a time, those included whose `TalkEnded` nobody has fetched.
    pub talks_max: usize,
    /// How long nothing may come before a leg is said to be silent.
    pub silent_after: Duration,
    /// What [`crate::order::TuneId`] counts.
    pub tunes: Vec<Arc<Tune>>,
    /// Codings in which music is encoded once for all who wait, those of G.711 aside: 6 kB each and tune for
    /// G.722, 40 kB for Opus.
    pub shared: Vec<Coding>,
    /// Between two RTCP reports of a leg (RFC 3550 §6.2: 5 s).
    pub rtcp_interval: Duration,
    /// Canonical name in reports (RFC 3550 §6.5.1), like `media@192.0.2.1`; 64 bytes at most.
    pub cname: String,
    /// NTP time stamp, 32.32 bits, of the instant given to [`Engine::new`].
    pub ntp_epoch: u64,
}

/// Which port of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Rtp,
    Rtcp,
}

/// What lies behind a datagram in its socket, as far as the datagram tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// It came when it should: whoever sends evenly has sent nothing more.
    Nothing,
    /// The same, and nobody hears it: what comes behind it may wait a little, if it is told when each came.
    Unheard,
    Perhaps,
}

/// Where what an engine says goes at once. Must not wait.
pub trait Out {
    /// Sends a datagram from one port of a pair.
    fn send(&mut self, port: PortName, channel: Channel, to: SocketAddr, bytes: &[u8]);

    /// Takes a step of a recording. False: there is no room, the frame is lost.
    fn record(&mut self, frame: &RecordFrame) -> bool;
}

/// The state of one media thread.
#[derive(Debug)]
pub struct Engine {
    clock: Clock,
    silent_after: Duration,
    rtcp_interval: Duration,
    cname: String,
    tunes: Tunes,
    broadcasts: Vec<Broadcast>,
    legs: Slots<Leg>,
    legs_max: usize,
    ports: Ports,
    /// Legs by phase.
    due_legs: Phases,
    /// The legs that speak SRTP, by port.
    securities: Securities,
    talks: Slots<Talk>,
    talks_max: usize,
    /// Legs in a room, by the phase at which what they say is taken.
    due_voices: Phases,
    /// Talks that are recorded, by phase.
    due_talks: Phases,
    /// Recordings whose talk has ended and whose end the recorder has not taken.
    endings: VecDeque<Ending>,
    /// The last reports of legs that have gone.
    farewells: Vec<Farewell>,
    /// Legs that have come from another engine since the last tick.
    arrived: Vec<usize>,
    events: Events,
    /// Coders, keys and tunes that were left over.
    scrap: Vec<Scrap>,
    effort: Effort,
    /// Over all legs.
    prompts_waiting: usize,
    counters: Counters,
    /// The millisecond that is to be served next.
    next_ms: u64,
}

impl Engine {
    /// Takes all memory. `now` is the epoch of music and of reports.
    pub fn new(config: EngineConfig, now: Instant) -> Self {
        let EngineConfig { legs_max, talks_max, .. } = config;
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let farewell = || Farewell { port: PortName(0), to: nowhere, compound: Compound::new() };
        let ending = || Ending { tape: Tape::new(TalkName(0), now), frames: 0 };
        Self {
            clock: Clock::new(now, config.ntp_epoch),
            silent_after: config.silent_after,
            rtcp_interval: config.rtcp_interval,
            cname: config.cname,
            broadcasts: Broadcast::all(config.tunes.len(), &config.shared),
            tunes: Tunes::new(config.tunes),
            legs: Slots::new(legs_max, Leg::blank),
            legs_max,
            ports: Ports::new(),
            due_legs: Phases::new(legs_max),
            securities: Securities::new(legs_max),
            due_voices: Phases::new(legs_max),
            talks: Slots::new(talks_max, || Talk::blank(now)),
            talks_max,
            due_talks: Phases::new(talks_max),
            endings: touch::queue(VecDeque::with_capacity(talks_max), ending),
            farewells: touch::vec(Vec::with_capacity(legs_max), farewell),
            arrived: touch::vec(Vec::with_capacity(legs_max), Default::default),
            events: Events::new(legs_max, talks_max),
            scrap: Vec::with_capacity(SCRAP_MAX),
            effort: Effort::Usual,
            prompts_waiting: 0,
            counters: Counters::default(),
            next_ms: 0,
        }
    }

    /// Takes one datagram that came on a leg's port; relays it at once where nothing else needs
    /// its samples. Says whether it is worth asking the socket for another. `now` is when it came, which for one that
    /// waited ([`Behind::Unheard`]) is before the last tick.
    pub fn handle_packet(
        &mut self,
        port: PortName,
        channel: Channel,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
        out: &mut impl Out,
    ) -> Behind {
        // What the work below sends is protected on its way out.
        let mut securities = std::mem::take(&mut self.securities);
        // Whoever catches a panic goes on with this engine: without its keys it would speak plainly.
        let handled = catch_unwind(AssertUnwindSafe(|| {
            let mut room;
            let opened = match securities.of(port) {
                None => Ok(bytes),
                Some(_) if !self.is_near(port, from) => Err(Dropped::Source),
                Some(security) => {
                    room = secure::ROOM;
                    security.open(channel, bytes, &mut room)
                }
            };
            let mut out = Guarded { out, securities: &mut securities };
            match (opened, channel) {
                (Ok(bytes), Channel::Rtp) => {
                    return self.handle_rtp(port, from, bytes, now, &mut out);
                }
                (Ok(bytes), Channel::Rtcp) => self.handle_rtcp(port, from, bytes, now),
                (Err(why), Channel::Rtp) => self.refuse_rtp(port, why),
                (Err(_), Channel::Rtcp) => {
                    self.counters.reports_in += 1;
                    self.counters.reports_refused += 1;
                }
            }
            Behind::Perhaps
        }));
        self.take_back(securities);
        handled.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// It comes from a host that this port's leg may be spoken to from: of others no proof is worth its cost.
    fn is_near(&mut self, port: PortName, from: SocketAddr) -> bool {
        let slot = self.ports.slot(port);
        slot.and_then(|slot| self.legs.get_mut(slot)).is_some_and(|leg| leg.is_near(from))
    }

    /// Serves what is due: legs and recordings of the phases that have come since the last call.
    pub fn tick(&mut self, now: Instant, out: &mut impl Out) {
        self.say_farewell(out);
        self.end_recordings(out);
        self.throw_faded(now);
        let mut securities = std::mem::take(&mut self.securities);
        let out = &mut Guarded { out, securities: &mut securities };
        let served = catch_unwind(AssertUnwindSafe(|| self.serve_due(now, out)));
        self.take_back(securities);
        served.unwrap_or_else(|panic| resume_unwind(panic));
    }

    fn serve_due(&mut self, now: Instant, out: &mut impl Out) {
        self.serve_arrived(now, out);
        let last = self.clock.millis(now);
        // Every phase is served once at most: how much is due each leg knows by itself.
        let first = self.next_ms.max((last + 1).saturating_sub(PHASES));
        self.counters.phases_skipped += first - self.next_ms;
        for ms in first..=last {
            self.take_voices(ms % PHASES, now);
            self.serve_legs(ms % PHASES, now, out);
            self.run_tapes(ms % PHASES, now, out);
        }
        self.next_ms = self.next_ms.max(last + 1);
    }

    /// From here on another tune has this number. Who hears it goes on in the stream they have: the old one
    /// fades, the new one is where it would be if it had been there from the start.
    pub fn replace_tune(&mut self, id: TuneId, tune: Arc<Tune>, now: Instant) {
        let left = self.tunes.replace(id, tune, now);
        self.throw(left.map(Scrap::Tune));
    }

    fn throw_faded(&mut self, now: Instant) {
        if self.scrap.len() < SCRAP_MAX {
            let faded = self.tunes.poll_faded(now);
            self.throw(faded.map(Scrap::Tune));
        }
    }

    /// How much encoders may spend from now on: under pressure less, so that everybody is served in time.
    pub fn set_effort(&mut self, effort: Effort) {
        if self.effort == effort {
            return;
        }
        self.effort = effort;
        for coder in self.legs.iter_mut().filter_map(|leg| leg.coder.as_mut()) {
            coder.set_effort(effort);
        }
    }

    /// Where its coder lies: no two that live do so in one place.
    #[cfg(test)]
    pub(crate) fn coder_of(&mut self, name: LegName) -> Option<usize> {
        let slot = self.legs.slot(name.0)?;
        let coder = self.legs.get_mut(slot)?.coder.as_deref()?;
        Some(std::ptr::from_ref(coder).addr())
    }

    #[cfg(test)]
    pub(crate) fn complexity_of(&mut self, name: LegName) -> Option<u8> {
        let slot = self.legs.slot(name.0)?;
        self.legs.get_mut(slot)?.coder.as_ref()?.complexity()
    }

    /// What there is to say. Fetch all of it after every call.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.poll()
    }

    /// Totals since start.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Where a leg's packets come.
    pub fn port(&mut self, leg: LegName) -> Option<PortName> {
        let slot = self.legs.slot(leg.0)?;
        self.legs.get_mut(slot).map(|leg| leg.port)
    }

    /// Legs that are open.
    pub const fn legs(&self) -> usize {
        self.legs.len()
    }

    /// What nobody has a use for any more, to be dropped where memory may be given back. Fetch all of them
    /// after every call.
    pub fn poll_scrap(&mut self) -> Option<Scrap> {
        self.scrap.pop()
    }

    /// Not all has been fetched by [`Engine::poll_scrap`]; the next order is to wait.
    pub const fn has_scrap(&self) -> bool {
        !self.scrap.is_empty()
    }

    /// Nothing is open, nothing is owed to anybody.
    pub fn is_idle(&self) -> bool {
        self.legs.is_empty()
            && self.talks.is_empty()
            && self.endings.is_empty()
            && self.farewells.is_empty()
            && self.events.is_empty()
    }

    fn handle_rtp(
        &mut self,
        port: PortName,
        from: SocketAddr,
        bytes: &[u8],
        now: Instant,
        out: &mut impl Out,
    ) -> Behind {
        let Self { clock, legs, ports, counters, .. } = self;
        counters.packets_in += 1;
        counters.bytes_in += bytes.len() as u64;
        let slot = ports.slot(port);
        let Some((slot, leg)) = slot.and_then(|slot| Some((slot, legs.get_mut(slot)?))) else {
            counters.drop_packet(Dropped::NoLeg);
            return Behind::Perhaps;
        };
        let heard = match leg.hear(from, bytes, clock, now) {
            Ok(heard) => heard,
            Err(reason) => {
                counters.drop_packet(reason);
                return Behind::Perhaps;
            }
        };
        let speech = match heard {
            Heard::Audio(speech) => speech,
            Heard::Digit(told) => {
                self.read_digit(slot, told, now);
                return Behind::Perhaps;
            }
        };
        let behind = match leg.mode {
            _ if !leg.receive.is_punctual(&speech) => Behind::Perhaps,
            // Tones are heard by the clock.
            Mode::Hear(_) if !leg.keys.hears() => Behind::Unheard,
            Mode::Hear(_) | Mode::Bridged { .. } | Mode::Room { .. } => Behind::Nothing,
        };
        if leg.keys.hears() {
            self.take_tones(slot, &speech, now, out);
        } else {
            self.take_audio(slot, &speech, now, out);
        }
        behind
    }

    /// Audio that is a leg's own. Inlined, as [`crate::session::Pair`] says.
    #[inline]
    fn take_audio(&mut self, slot: usize, speech: &Speech<'_>, now: Instant, out: &mut impl Out) {
        let Self { clock, legs, talks, counters, .. } = self;
        let Some(leg) = legs.get_mut(slot) else { return };
        let (peer, talk, side) = match leg.mode {
            Mode::Bridged { peer, talk, side } => (peer, talk, side),
            Mode::Room { talk } => {
                // What is not kept says nothing of when there is something to take.
                if leg.put_by(speech, counters) && !leg.voice.placed {
                    self.place_voice(slot, now);
                    self.align(talk);
                }
                return;
            }
            Mode::Hear(_) => return,
        };
        let Some((speaker, listener)) = legs.pair_mut(slot, peer) else { return };
        let tape = talks.get_mut(talk).and_then(Talk::tape);
        Pair { speaker, listener, side, tape }.pass_audio(
            speech,
            clock,
            now,
            &mut Wire { out, counters },
        );
    }

    /// A packet of a key. In a bridge it goes on as a key, not as a packet.
    fn read_digit(&mut self, slot: usize, told: Told, now: Instant) {
        let Some(leg) = self.legs.get_mut(slot) else { return };
        let (keys, mode) = (leg.reader.take(told, now), leg.mode);
        let peer = match mode {
            Mode::Bridged { peer, .. } => Some(peer),
            Mode::Room { talk } => self.only_other(talk, slot),
            Mode::Hear(_) => None,
        };
        let goes_on =
            peer.is_none_or(|peer| self.legs.get_mut(peer).is_some_and(|leg| leg.can_be_told()));
        if keys.is_err() || !goes_on {
            if let Some(leg) = self.legs.get_mut(slot) {
                leg.count_dropped();
            }
            self.counters.drop_packet(Dropped::TelephoneEvent);
        }
        for key in keys.into_iter().flatten().flatten() {
            self.pass_key(slot, key, Means::Events, now);
        }
    }

    /// Says a key above once it is up, and passes it to the other side of a bridge. Unless it has come in
    /// another way before.
    fn pass_key(&mut self, slot: usize, key: Key, way: Means, now: Instant) {
        let Some(leg) = self.legs.get_mut(slot) else { return };
        let (name, mode, masked) = (leg.name, leg.mode, leg.keys.masked);
        if masked && matches!(key, Key::Down(_)) {
            self.hush(slot);
        }
        let Some(leg) = self.legs.get_mut(slot) else { return };
        if !leg.keys.once.is_news(way, &key, now) {
            self.counters.digits_doubled += u64::from(matches!(key, Key::Down(_)));
            return;
        }
        // Whoever hears the tones themselves is not told them.
        let heard = way == Means::Tones && !masked;
        match mode {
            Mode::Bridged { peer, .. } => self.pass_key_to(peer, key, heard),
            // There the tones are taken out for all.
            Mode::Room { talk } => match self.only_other(talk, slot) {
                Some(other) => self.pass_key_to(other, key, false),
                None => self.pass_key_round(talk, slot, key),
            },
            Mode::Hear(_) => self.interrupt_prompts(slot, key),
        }
        if let Key::Up(Pressed { digit, duration, at }) = key {
            self.counters.digits_in += 1;
            self.tell(Event::Digit { leg: name, digit, duration, at });
        }
    }

    fn pass_key_to(&mut self, peer: usize, key: Key, heard: bool) {
        let Some(leg) = self.legs.get_mut(peer) else { return };
        match (leg.keys.told_by, key) {
            (By::Signalling, Key::Down(_)) => {}
            (By::Signalling, Key::Up(Pressed { digit, duration, .. })) => {
                let name = leg.name;
                self.tell_above(name, digit, duration);
            }
            (By::Tones, _) if heard => {}
            (By::Events | By::Tones, _) => {
                if leg.takes_keys() {
                    leg.send.pass_key(key, &mut self.counters);
                }
            }
        }
    }

    fn handle_rtcp(&mut self, port: PortName, from: SocketAddr, bytes: &[u8], now: Instant) {
        self.counters.reports_in += 1;
        let slot = self.ports.slot(port);
        let Some(leg) = slot.and_then(|slot| self.legs.get_mut(slot)) else {
            self.counters.reports_refused += 1;
            return;
        };
        if !leg.believes_report(from, now) {
            self.counters.reports_refused += 1;
            return;
        }
        match leg.hear_report(bytes, &self.clock, now) {
            Some(impossible) => self.counters.reports_impossible += impossible,
            None => self.counters.reports_malformed += 1,
        }
    }

    fn serve_legs(&mut self, phase: u64, now: Instant, out: &mut impl Out) {
        let mut n = 0;
        while let Some(slot) = self.due_legs.get(phase, n) {
            self.watch(slot, now);
            self.feed(slot, now, out);
            self.report(slot, now, out);
            n += 1;
        }
    }

    fn watch(&mut self, slot: usize, now: Instant) {
        let Some(leg) = self.legs.get_mut(slot) else { return };
        leg.serve(now);
        let (name, mode) = (leg.name, leg.mode);
        let key = leg.reader.poll(now);
        let tones = if leg.keys.hears() { leg.keys.poll(now) } else { None };
        match leg.vigil.poll(self.silent_after, now) {
            Some(Change::Silent) => self.tell(Event::Silent { leg: name, at: now }),
            Some(Change::Heard(at)) => self.tell(Event::Heard { leg: name, at }),
            None => {}
        }
        if let Some(key) = key {
            self.pass_key(slot, key, Means::Events, now);
        }
        if let Some(key) = tones {
            self.pass_key(slot, key, Means::Tones, now);
        }
        let peer = match mode {
            Mode::Bridged { peer, .. } => Some(peer),
            Mode::Room { talk } => self.only_other(talk, slot),
            Mode::Hear(_) => None,
        };
        let Some((leg, other)) = peer.and_then(|peer| self.legs.pair_mut(slot, peer)) else {
            return;
        };
        match leg.vigil.poll_way(&other.vigil, now) {
            Some(Way::One { since }) => self.tell(Event::OneWay { leg: name, since }),
            Some(Way::Both) => self.tell(Event::BothWays { leg: name, at: now }),
            None => {}
        }
    }

    /// Sends a leg the frame that is due: music or silence, or what a bridge is short of.
    fn feed(&mut self, slot: usize, now: Instant, out: &mut impl Out) {
        if let Some(Mode::Room { talk }) = self.legs.get_mut(slot).map(|leg| leg.mode) {
            return self.feed_from_room(slot, talk, now, out);
        }
        let Self { clock, legs, talks, tunes, broadcasts, counters, .. } = self;
        let Some(leg) = legs.get_mut(slot) else { return };
        let mut wire = Wire { out, counters };
        match leg.mode {
            Mode::Hear(source) => {
                let place = clock.frame(leg.phase, now);
                let law = leg.law();
                // Nobody here says anything in what nobody reads.
                match leg.path().filter(|path| !path.codec.is_opaque()) {
                    Some(path) => {
                        let mut prompts = leg.prompts;
                        let mut program = Program { source, prompts: &mut prompts, tunes };
                        if let Some(law) = law {
                            leg.send.play(law, &mut program, place, &path, &mut wire);
                        } else {
                            leg.play_coded(&mut program, broadcasts, place, &path, &mut wire);
                        }
                        leg.prompts = prompts;
                    }
                    None => leg.pause(wire.counters),
                }
                self.tell_heard(slot);
            }
            Mode::Bridged { peer, talk, side } => {
                let Some((listener, speaker)) = legs.pair_mut(slot, peer) else { return };
                let tape = talks.get_mut(talk).and_then(Talk::tape);
                Pair { speaker, listener, side: side.opposite(), tape }.fill(clock, now, &mut wire);
            }
            Mode::Room { .. } => {}
        }
    }

    fn report(&mut self, slot: usize, now: Instant, out: &mut impl Out) {
        let Some(leg) = self.legs.get_mut(slot) else { return };
        let due = leg.poll_report(self.rtcp_interval, &self.cname, &self.clock, now);
        let Some((to, compound)) = due else { return };
        leg.receive.settle(&mut self.counters);
        self.counters.reports_out += 1;
        out.send(leg.port, Channel::Rtcp, to, compound.bytes());
    }

    fn run_tapes(&mut self, phase: u64, now: Instant, out: &mut impl Out) {
        let mut n = 0;
        while let Some(slot) = self.due_talks.get(phase, n) {
            if let Some(tape) = self.talks.get_mut(slot).and_then(Talk::tape) {
                tape.run(now, out, &mut self.counters);
            }
            n += 1;
        }
    }

    /// One ring serves all recordings: where it is full for one it is full for all.
    fn end_recordings(&mut self, out: &mut impl Out) {
        while let Some(ending) = self.endings.front_mut() {
            if !ending.tape.end(ending.frames, out, &mut self.counters) {
                return;
            }
            self.endings.pop_front();
        }
    }

    fn say_farewell(&mut self, out: &mut impl Out) {
        for farewell in self.farewells.drain(..) {
            self.counters.reports_out += 1;
            out.send(farewell.port, Channel::Rtcp, farewell.to, farewell.compound.bytes());
        }
    }

    fn tell(&mut self, event: Event) {
        if !self.events.news(event) {
            self.counters.events_lost += 1;
        }
    }
}

/// Coders, keys and tunes that wait to be fetched: more than an order and the legs that come and go meanwhile leave.
pub(crate) const SCRAP_MAX: usize = 64;

/// A recording whose talk is over.
#[derive(Debug)]
struct Ending {
    tape: Tape,
    /// The length of the whole.
    frames: u64,
}

/// The last report of a leg that has gone.
#[derive(Debug)]
struct Farewell {
    port: PortName,
    to: SocketAddr,
    compound: Compound,
}

/// The talk's millisecond within the frame, rounded up: its frames are complete by then.
fn phase_of(clock: &Clock, start: Instant) -> u64 {
    clock.micros(start).div_ceil(1000) % PHASES
}
