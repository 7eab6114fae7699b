//! A simulated day at the box: virtual time, dice, the real exchange, peers that behave and peers
//! that do not, and the promises checked after every step.
//!
//! Four kinds of check, all needed: safety (nobody gets two), leaks (idle at the end), liveness
//! (when faults stop, everybody is served) and progress (a handled timer is not due again).

mod checks;
mod clocks;
mod crash;
mod day;
mod evening;
mod hostile;
mod load;
mod reached;
mod site;
mod turn;

pub use reached::Reached;

use crate::{
    dice::Dice,
    forger::Forger,
    ladder::Ladder,
    media_model::MediaModel,
    model::{MORNING, Model},
    net::{Datagram, Fate, Faults, Net},
    sim_phone::SimPhone,
    sip_peer::{Note, SipPeer, habits::Act},
    sip_text::Text,
};
use control_plane::{
    cdr::CallRecord,
    exchange::{Exchange, Restart},
    switchboard::Switchboard,
    time::Ahead,
};
use crash::Journal;
use day::Deed;
use media_core::order::Event;
use site::Site;
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long things go wrong.
const STORM: Duration = Duration::from_secs(150);
/// In how long everybody still waiting must be served once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(300);
/// More than two times 64*T1: whatever was pending has been given up.
const SETTLED: Duration = Duration::from_secs(110);
/// A seat whose call is over comes back within a late provisional answer (32 s), the CANCEL's wait
/// (32 s) and the BYE of a late 200 (32 s).
const SEAT_BACK: Duration = Duration::from_secs(100);
/// What one input may bring about at most; the whole queue may move at once.
const OUTPUTS_MAX: usize = 500;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub seed: u64,
    pub after: Duration,
    pub promise: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, after, promise } = self;
        write!(f, "seed {seed}, after {:.6} s: {promise}", after.as_secs_f64())
    }
}

/// Who lives at an address.
#[derive(Clone, Copy, Debug)]
enum Party {
    Carrier(usize),
    Phone(usize),
}

/// Where the next thing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Box,
    Carrier(usize),
    Deed,
    Media,
    Net,
    Phone(usize),
    Thief,
}

/// One day.
pub struct World {
    seed: u64,
    epoch: Instant,
    now: Instant,
    site: Site,
    exchange: Exchange,
    net: Net,
    carriers: Vec<SipPeer>,
    phones: Vec<SimPhone>,
    parties: BTreeMap<SocketAddr, Party>,
    /// Who tries passwords, on some days.
    thief: Option<SimPhone>,
    forger: Forger,
    media: MediaModel,
    model: Model,
    deeds: BTreeMap<(Instant, u64), Deed>,
    deeds_planned: u64,
    /// Nothing goes wrong any more.
    calm: bool,
    /// Which carrier and which of its calls a caller's number belongs to.
    callers: BTreeMap<String, (usize, String)>,
    dice: Dice,
    ladder: Ladder,
    reached: Reached,
    cdrs: Vec<(CallRecord, Instant)>,
    journal: Option<Journal>,
    /// How far somebody has set the wall clock ahead.
    ahead: Ahead,
    /// The box is dead until then.
    down_until: Option<Instant>,
    /// When the box's process last began, if it is not its first.
    restarted: Option<Instant>,
    /// The box dies in the middle of the next turn in which it has something to say.
    doomed: bool,
}

impl World {
    /// `epoch`: any instant; the day is the same for each.
    pub fn new(seed: u64, epoch: Instant) -> Self {
        let mut dice = Dice::new(seed, 0);
        // With dice of its own: the other days stay as they were.
        let site = Site::new(&mut dice, Dice::new(seed, 6).percent(30));
        let exchange = site.exchange(dice.seed(), epoch);
        let faults = Faults::of_the_day(&mut dice);
        let carriers = site.carriers(seed, &mut dice);
        let phones = site.phones(seed, epoch);
        let places = |party: fn(usize) -> Party| move |(place, address)| (address, party(place));
        let addresses: Vec<_> = carriers.iter().map(|peer| peer.address).collect();
        let phone_addresses: Vec<_> = phones.iter().map(|phone| phone.peer.address).collect();
        let parties = addresses.iter().copied().enumerate().map(places(Party::Carrier));
        let phone_parties = phone_addresses.iter().copied().enumerate().map(places(Party::Phone));
        let mut world = Self {
            seed,
            epoch,
            now: epoch,
            exchange,
            net: Net::new(Dice::new(seed, 1), faults),
            parties: parties.chain(phone_parties).collect(),
            thief: None,
            forger: Forger::new(site.address, Dice::new(seed, 3)),
            media: MediaModel::new(Dice::new(seed, 2)),
            model: Model::new(epoch, site::number, phone_addresses, [site::STRANGER, site::THIEF]),
            carriers,
            phones,
            site,
            deeds: BTreeMap::new(),
            deeds_planned: 0,
            calm: false,
            callers: BTreeMap::new(),
            dice,
            ladder: Ladder::default(),
            reached: Reached::default(),
            cdrs: vec![],
            journal: None,
            ahead: Ahead::default(),
            down_until: None,
            restarted: None,
            doomed: false,
        };
        world.plan_the_day();
        world
    }

    /// Keeps one line for everything that happens.
    #[must_use]
    pub fn with_ladder(mut self) -> Self {
        self.ladder = Ladder::kept();
        self
    }

    /// Keeps what the box would have on its disk.
    #[must_use]
    pub fn with_journal(mut self) -> Self {
        self.keep_a_journal();
        self
    }

    /// The box's process lives as long as the day.
    #[must_use]
    pub fn without_crashes(mut self) -> Self {
        self.deeds.retain(|_, deed| !matches!(deed, Deed::Crash { .. }));
        self
    }

    /// The process that goes on from a journal of such a day.
    pub fn next_process(board: Switchboard, restart: Restart, seed: u64, now: Instant) -> Exchange {
        Site::process(board, Some(restart), Dice::new(seed, 3).seed(), MORNING, now)
    }

    /// The whole day: things go wrong, then they stop, then everybody goes home.
    pub fn live(&mut self) -> Result<(), Broken> {
        let whole = self.live_on();
        self.reached.add_seen(&self.model.seen);
        whole.map_err(|promise| Broken { seed: self.seed, after: self.now - self.epoch, promise })
    }

    pub fn ladder(&self) -> &Ladder {
        &self.ladder
    }

    pub fn reached(&self) -> &Reached {
        &self.reached
    }

    /// The records of the day, in their order.
    pub fn cdrs(&self) -> impl Iterator<Item = &CallRecord> {
        self.cdrs.iter().map(|(cdr, _)| cdr)
    }

    /// What the box wrote down: a segment for each of its processes.
    pub fn journal(&self) -> &[Vec<u8>] {
        self.journal.as_ref().map_or(&[], |journal| &journal.segments)
    }

    fn live_on(&mut self) -> Result<(), String> {
        self.drain()?;
        self.pass_until(self.epoch + STORM)?;
        self.note(|| "-- the storm is over".to_owned());
        self.doomed = false;
        if self.down_until.is_some() {
            self.restart()?;
        }
        self.check_known_over()?;
        self.check_orphans()?;
        self.calm_down()?;
        let queued = self.in_the_queue();
        self.serve_everybody()?;
        self.check_served(&queued)?;
        self.note(|| "-- everybody goes home".to_owned());
        self.go_home();
        self.pass_until(self.now + SETTLED)?;
        self.end_what_nobody_can()?;
        self.check_nothing_left()
    }

    /// Lives until this moment.
    fn pass_until(&mut self, end: Instant) -> Result<(), String> {
        while let Some((at, turn)) = self.next_turn().filter(|(at, _)| *at <= end) {
            self.now = self.now.max(at);
            self.step(turn)?;
        }
        self.now = self.now.max(end);
        Ok(())
    }

    /// Who is next. What happens in the same microsecond happens in any order.
    fn next_turn(&mut self) -> Option<(Instant, Turn)> {
        let carriers = self.carriers.iter().enumerate();
        let phones = self.phones.iter().enumerate();
        let peers = carriers.map(|(place, peer)| (peer.poll_timeout(), Turn::Carrier(place)));
        let peers = peers.chain(phones.map(|(place, p)| (p.poll_timeout(), Turn::Phone(place))));
        let ours = [
            (self.box_is_due(), Turn::Box),
            (self.deeds.first_key_value().map(|(&(at, _), _)| at), Turn::Deed),
            (self.media.poll_timeout(), Turn::Media),
            (self.net.poll_timeout(), Turn::Net),
            (self.thief.as_ref().and_then(SimPhone::poll_timeout), Turn::Thief),
        ];
        let box_last = self.dice.percent(50);
        peers
            .chain(ours)
            .filter_map(|(at, turn)| Some((at?, turn)))
            .min_by_key(|&(at, turn)| (at, (turn == Turn::Box) == box_last))
    }

    fn step(&mut self, turn: Turn) -> Result<(), String> {
        self.reached.steps += 1;
        match turn {
            Turn::Box => self.wake_the_box()?,
            Turn::Carrier(place) => {
                self.carriers[place].handle_timeout(self.now);
                self.flush(Party::Carrier(place));
            }
            Turn::Deed => {
                if let Some((_, deed)) = self.deeds.pop_first() {
                    self.carry_out(deed)?;
                }
            }
            Turn::Media => {
                while let Some(event) = self.media.poll_event(self.now) {
                    self.note(|| format!("media     {}", said(&event)));
                    self.exchange.handle_media(event, self.now);
                    self.drain()?;
                }
            }
            Turn::Net => {
                if let Some(datagram) = self.net.poll_arrival(self.now) {
                    self.deliver(&datagram)?;
                }
            }
            Turn::Phone(place) => {
                self.phones[place].handle_timeout(self.now);
                self.flush(Party::Phone(place));
            }
            Turn::Thief => {
                if let Some(thief) = &mut self.thief {
                    thief.handle_timeout(self.now);
                }
                self.flush_thief();
            }
        }
        self.model.check_owed(self.now)
    }

    fn box_is_due(&self) -> Option<Instant> {
        let works = || self.exchange.poll_timeout().map(|(at, _)| at.max(self.now));
        self.down_until.or_else(works)
    }

    fn wake_the_box(&mut self) -> Result<(), String> {
        if self.down_until.is_some() {
            return self.restart();
        }
        let Some((_, why)) = self.exchange.poll_timeout() else { return Ok(()) };
        self.exchange.handle_timeout(self.now);
        self.drain()?;
        match self.exchange.poll_timeout().filter(|_| self.down_until.is_none()) {
            Some((next, again)) if next <= self.now => {
                Err(format!("`{why}`, handled, and `{again}` is due at once"))
            }
            Some(_) | None => Ok(()),
        }
    }

    fn deliver(&mut self, datagram: &Datagram) -> Result<(), String> {
        let Datagram { from, to, bytes } = datagram;
        let text = Text::read(bytes);
        self.forger.overhear(datagram);
        if *to == self.site.address && self.down_until.is_some() {
            self.note(|| format!("{} -> nobody {}", self.name(*from), short(text.as_ref())));
            return Ok(());
        }
        if *to == self.site.address {
            self.note(|| format!("{} -> box   {}", self.name(*from), short(text.as_ref())));
            if let Some(text) = &text {
                self.model.reached(text, *from, self.now);
            }
            self.exchange.handle_datagram(*from, bytes, self.now);
            return self.drain();
        }
        self.note(|| format!("      {} gets {}", self.name(*to), short(text.as_ref())));
        if let Some(thief) = self.thief.as_mut().filter(|_| *to == site::THIEF) {
            thief.handle_datagram(bytes, self.now);
            self.flush_thief();
        }
        let Some(&party) = self.parties.get(to) else { return Ok(()) };
        if let Some(text) = &text {
            self.model.arrives(text, self.now);
        }
        match party {
            Party::Carrier(place) => self.carriers[place].handle_datagram(bytes, self.now),
            Party::Phone(place) => self.phones[place].handle_datagram(bytes, self.now),
        }
        self.flush(party);
        match party {
            Party::Carrier(_) => Ok(()),
            Party::Phone(place) => self.check_agent(self.site.seat_of(place)),
        }
    }

    /// Sends what a peer has to send, and lets the world hear of it.
    fn flush(&mut self, party: Party) {
        let from = match party {
            Party::Carrier(place) => self.carriers[place].address,
            Party::Phone(place) => self.phones[place].peer.address,
        };
        loop {
            let note = match party {
                Party::Carrier(place) => self.carriers[place].poll_note(),
                Party::Phone(place) => self.phones[place].poll_note(),
            };
            let Some(note) = note else { break };
            self.heed(note, party);
        }
        loop {
            let bytes = match party {
                Party::Carrier(place) => self.carriers[place].poll_transmit(),
                Party::Phone(place) => self.phones[place].poll_transmit(),
            };
            let Some(bytes) = bytes else { break };
            self.send(Datagram { from, to: self.site.address, bytes });
        }
    }

    fn flush_thief(&mut self) {
        while let Some(bytes) = self.thief.as_mut().and_then(SimPhone::poll_transmit) {
            self.send(Datagram { from: site::THIEF, to: self.site.address, bytes });
        }
    }

    fn heed(&mut self, note: Note, party: Party) {
        match (note, party) {
            (Note::FellSilent(rtp), _) => self.media.falls_silent(rtp, self.now),
            (Note::Speaks(rtp), _) => self.media.speaks(rtp, self.now),
            (Note::Dead, Party::Phone(place)) => {
                self.reached.phone_died_in_a_call += 1;
                self.lose_power(place);
            }
            (Note::Answering { from_user }, _) => self.perhaps_leave(from_user),
            (Note::SignsOff { forgets }, Party::Phone(place)) => {
                match forgets {
                    true => self.phones[place].forget_to_register(),
                    false => self.plan(self.now, Deed::Sign { phone: place, signed_in: false }),
                }
                let back = self.now + self.dice.millis(5_000..60_000);
                self.plan(back, Deed::Sign { phone: place, signed_in: true });
            }
            (Note::Dead | Note::SignsOff { .. }, Party::Carrier(_)) => {}
        }
    }

    fn send(&mut self, datagram: Datagram) {
        let start = match self.ladder_is_kept() {
            true => Text::read(&datagram.bytes).map(|text| text.short()).unwrap_or_default(),
            false => String::new(),
        };
        let (from, to) = (datagram.from, datagram.to);
        let is_bye = datagram.bytes.starts_with(b"BYE ");
        if self.net.send(datagram, self.now) == Fate::Lost {
            self.reached.lost_bye += u64::from(is_bye);
            self.note(|| format!("      lost: {} -> {}  {start}", self.name(from), self.name(to)));
        }
    }

    fn name(&self, address: SocketAddr) -> &str {
        match self.parties.get(&address) {
            Some(Party::Carrier(place)) => &self.carriers[*place].name,
            Some(Party::Phone(place)) => &self.phones[*place].peer.name,
            None if address == self.site.address => "box",
            None if address == site::THIEF => "thief",
            None if address == site::ROGUE => "rogue",
            None => "stranger",
        }
    }

    fn ladder_is_kept(&self) -> bool {
        self.ladder.is_kept()
    }

    fn lose_power(&mut self, place: usize) {
        self.note(|| format!("      {} loses its power", self.phones[place].peer.name));
        self.phones[place].die();
        self.flush(Party::Phone(place));
        // Soon enough that nobody has missed it, or not.
        let boots = match self.dice.percent(60) {
            true => self.dice.millis(300..5_000),
            false => self.dice.millis(5_000..50_000),
        };
        self.plan(self.now + boots, Deed::Boot(place));
    }

    /// Seldom, a caller leaves in the very moment in which somebody answers.
    fn perhaps_leave(&mut self, from_user: String) {
        if !self.calm && self.dice.percent(12) {
            let at = self.now + self.dice.millis(0..60);
            self.plan(at, Deed::Leave { from_user });
        }
    }

    fn leave(&mut self, from_user: &str) {
        if let Some((place, call_id)) = self.callers.get(from_user).cloned() {
            self.carriers[place].act(&call_id, Act::HangUp, self.now);
            self.flush(Party::Carrier(place));
        }
    }
}

/// Without the instants: those differ from one run to the next.
fn said(event: &Event) -> String {
    match event {
        Event::Bridged { talk, at: _ } => format!("{talk:?} is bridged"),
        Event::TalkEnded { talk, at: _, recorded } => format!("{talk:?} has ended: {recorded:?}"),
        Event::Closed { leg, report: _ } => format!("{leg:?} is closed"),
        Event::Silent { leg, at: _ } => format!("{leg:?} is silent"),
        Event::Heard { leg, at: _ } => format!("{leg:?} is heard"),
        Event::Digit { leg, digit, duration, at: _ } => {
            format!("{leg:?} pressed {} for {duration:?}", digit.key())
        }
        Event::OneWay { leg, since: _ } => format!("{leg:?} alone is not heard"),
        Event::PromptEnded { leg, prompt, how } => format!("{leg:?}: {prompt:?} ended: {how:?}"),
        Event::BothWays { leg, at: _ } => format!("{leg:?} is heard again"),
        Event::Tell { leg, digit, duration } => {
            format!("{leg:?} is to be told {} for {duration:?}", digit.key())
        }
        Event::Refused { leg, what } => format!("{leg:?}: {what}"),
    }
}

fn short(text: Option<&Text<'_>>) -> String {
    text.map_or_else(|| "something that is not SIP".to_owned(), Text::short)
}
