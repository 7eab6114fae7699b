//! The media plane as the world has it: carries out orders, refuses senseless ones, says what the
//! real one would say a little later, and knows who hears whom.

use crate::dice::Dice;
use control_plane::ports::REST;
use media_core::order::{
    Event, LegName, LegReport, Order, PortName, PromptEnd, PromptName, Recorded, Source, TalkName,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

/// How long a running stream may pause before the media plane says so.
const SILENT_AFTER: Duration = Duration::from_secs(6);
/// Less than this after the first `Connect` nothing can have been heard.
const FIRST_PACKET: Duration = Duration::from_millis(20);

/// How long what is said to one leg is.
const MESSAGE: Duration = Duration::from_secs(3);

/// What happened is said so much later at most.
pub const WORD_MAX: Duration = Duration::from_millis(WORD_MAX_MS);
const WORD_MAX_MS: u64 = 25;

/// Two who hear each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    pub talk: TalkName,
    pub caller: PortName,
    pub other: PortName,
}

/// All legs and talks.
#[derive(Debug)]
pub struct MediaModel {
    dice: Dice,
    open: BTreeMap<LegName, Leg>,
    closing: BTreeMap<LegName, PortName>,
    ever_opened: BTreeSet<LegName>,
    /// Ports that are open or closing.
    in_use: BTreeSet<PortName>,
    closed_at: BTreeMap<PortName, Instant>,
    talks: BTreeMap<TalkName, Talk>,
    /// In order: the real events come through one ring.
    events: VecDeque<(Instant, Event)>,
    silences: BTreeMap<(Instant, LegName), SocketAddr>,
    /// What is said to whom, and until when.
    prompts: BTreeMap<(Instant, LegName), PromptName>,
    /// Who sends nothing: said once per silence.
    mute: BTreeSet<SocketAddr>,
    /// Who was said to be silent.
    silent: BTreeSet<LegName>,
}

#[derive(Clone, Copy, Debug)]
struct Leg {
    port: PortName,
    remote: Option<(SocketAddr, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Talk {
    caller: LegName,
    other: LegName,
    bridged: bool,
    since: Instant,
    record: bool,
    ended: bool,
}

impl MediaModel {
    pub fn new(dice: Dice) -> Self {
        Self {
            dice,
            open: BTreeMap::new(),
            closing: BTreeMap::new(),
            ever_opened: BTreeSet::new(),
            in_use: BTreeSet::new(),
            closed_at: BTreeMap::new(),
            talks: BTreeMap::new(),
            events: VecDeque::new(),
            silences: BTreeMap::new(),
            prompts: BTreeMap::new(),
            mute: BTreeSet::new(),
            silent: BTreeSet::new(),
        }
    }

    /// The error says which promise the order breaks.
    pub fn handle_order(&mut self, order: Order, now: Instant) -> Result<(), String> {
        match order {
            Order::Open { leg, port, stream: _, talk: _ } => self.open(leg, port, now)?,
            Order::Renew { leg, .. } if self.leg(leg, order)?.remote.is_none() => {
                return Err(format!("{order:?}: it was never connected"));
            }
            Order::Connect { leg, remote, .. } | Order::Renew { leg, remote, .. } => {
                let leg = self.leg(leg, order)?;
                let since = leg.remote.map_or(now, |(_, since)| since);
                leg.remote = Some((remote.rtp, since));
            }
            Order::Hear { leg, source: Source::Music(_) | Source::Nothing | Source::Silence } => {
                self.leg(leg, order)?;
            }
            Order::Comfort { leg, sends: _ }
            | Order::Rate { leg, tells: _ }
            | Order::Digits { leg, digits: _ }
            | Order::Keys { leg, .. } => _ = self.leg(leg, order)?,
            Order::Pressed { leg, digit, duration } => {
                self.leg(leg, order)?;
                self.say(Event::Digit { leg, digit, duration, at: now }, now);
            }
            Order::Play { leg, prompt, tune: _, on_digit: _ } => {
                // Nothing is heard where nobody listens yet.
                self.leg(leg, order)?;
                self.prompts.insert((now + MESSAGE, leg), prompt);
            }
            Order::StopPrompts { leg } => _ = self.leg(leg, order)?,
            Order::Secure { leg, keys: _ } => _ = self.leg(leg, order)?,
            Order::Bridge { talk, caller, other, record } => {
                self.leg(caller, order)?;
                self.leg(other, order)?;
                self.bridge(talk, caller, other, record, now)?;
            }
            // No call has more than two yet.
            Order::Join { .. } | Order::Leave { .. } => {
                return Err(format!("{order:?}: nobody joins a talk"));
            }
            Order::Part { talk, .. } => match self.talks.get_mut(&talk) {
                Some(of) if !of.ended => of.bridged = false,
                Some(_) | None => return Err(format!("{talk:?} never was, and is parted")),
            },
            Order::RecordPause { talk } | Order::RecordResume { talk } => {
                match self.talks.get(&talk) {
                    Some(of) if of.record && !of.ended => {}
                    Some(_) | None => return Err(format!("{order:?}: it is not recorded")),
                }
            }
            Order::EndTalk { talk } => self.end_talk(talk, now)?,
            Order::Close { leg } => self.close(leg, now)?,
        }
        Ok(())
    }

    /// Its process is gone, and with it every leg, talk and port; peers go on as they were.
    pub fn die(&mut self) {
        self.open.clear();
        self.closing.clear();
        self.in_use.clear();
        self.closed_at.clear();
        self.talks.clear();
        self.events.clear();
        self.silences.clear();
        self.prompts.clear();
        self.silent.clear();
    }

    /// Who hears whom at this moment.
    pub fn pairs(&self) -> impl Iterator<Item = Pair> {
        self.talks.iter().filter(|(_, of)| of.bridged).filter_map(|(&talk, of)| {
            let port = |leg| self.open.get(&leg).map(|leg| leg.port);
            Some(Pair { talk, caller: port(of.caller)?, other: port(of.other)? })
        })
    }

    /// A peer stops sending, for whatever reason.
    pub fn falls_silent(&mut self, rtp: SocketAddr, now: Instant) {
        if !self.mute.insert(rtp) {
            return;
        }
        let heard_from = |leg: &Leg| {
            leg.remote.is_some_and(|(remote, since)| remote == rtp && since + FIRST_PACKET <= now)
        };
        let legs: Vec<_> =
            self.open.iter().filter(|(_, leg)| heard_from(leg)).map(|(&leg, _)| leg).collect();
        for leg in legs {
            self.silences.insert((now + SILENT_AFTER, leg), rtp);
        }
    }

    pub fn speaks(&mut self, rtp: SocketAddr, now: Instant) {
        self.mute.remove(&rtp);
        self.silences.retain(|_, from| *from != rtp);
        let is_there = |leg: &Leg| leg.remote.is_some_and(|(remote, _)| remote == rtp);
        let there = self.open.iter().filter(|(_, leg)| is_there(leg)).map(|(&leg, _)| leg);
        for leg in there.collect::<Vec<_>>() {
            if self.silent.remove(&leg) {
                self.say(Event::Heard { leg, at: now }, now);
            }
        }
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let event = self.events.front().map(|&(at, _)| at);
        let silence = self.silences.first_key_value().map(|(&(at, _), _)| at);
        let prompt = self.prompts.first_key_value().map(|(&(at, _), _)| at);
        [event, silence, prompt].into_iter().flatten().min()
    }

    /// What is to be said by now.
    pub fn poll_event(&mut self, now: Instant) -> Option<Event> {
        while let Some(first) = self.silences.first_entry().filter(|first| first.key().0 <= now) {
            let ((at, leg), _) = first.remove_entry();
            if self.open.contains_key(&leg) {
                self.silent.insert(leg);
                self.say(Event::Silent { leg, at }, now);
            }
        }
        while let Some(first) = self.prompts.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, leg), prompt) = first.remove_entry();
            self.say(Event::PromptEnded { leg, prompt, how: PromptEnd::Played }, now);
        }
        let &(at, event) = self.events.front().filter(|(at, _)| *at <= now)?;
        self.events.pop_front();
        if let Event::Closed { leg, .. } = event
            && let Some(port) = self.closing.remove(&leg)
        {
            self.in_use.remove(&port);
            self.closed_at.insert(port, at);
        }
        Some(event)
    }

    /// Nothing open, nothing to say.
    pub fn is_idle(&self) -> bool {
        let silent = self.events.is_empty() && self.pairs().next().is_none();
        self.open.is_empty() && self.closing.is_empty() && silent
    }

    fn open(&mut self, leg: LegName, port: PortName, now: Instant) -> Result<(), String> {
        if !self.ever_opened.insert(leg) {
            return Err(format!("{leg:?} is opened twice"));
        }
        if !self.in_use.insert(port) {
            return Err(format!("{port:?} is opened for {leg:?} and still in use"));
        }
        match self.closed_at.get(&port) {
            Some(&closed) if now < closed + REST => {
                Err(format!("{port:?} is used again {:?} after it was closed", now - closed))
            }
            Some(_) | None => {
                self.open.insert(leg, Leg { port, remote: None });
                Ok(())
            }
        }
    }

    fn bridge(
        &mut self,
        talk: TalkName,
        caller: LegName,
        other: LegName,
        record: bool,
        now: Instant,
    ) -> Result<(), String> {
        let taken = |leg| {
            let uses = |of: &Talk| of.bridged && (of.caller == leg || of.other == leg);
            self.talks.iter().find(|(name, of)| **name != talk && uses(of))
        };
        if let Some((with, _)) = taken(caller).or_else(|| taken(other)) {
            return Err(format!("{caller:?} and {other:?} meet, and one of them is in {with:?}"));
        }
        let before = self.talks.get(&talk).copied();
        if before.is_some_and(|of| of.ended || of.caller != caller) {
            return Err(format!("{talk:?} is over or another caller's, and is bridged"));
        }
        if before.is_some_and(|of| of.bridged) {
            return Err(format!("{talk:?} is bridged twice"));
        }
        let since = before.map_or(now, |of| of.since);
        let record = record || before.is_some_and(|of| of.record);
        let bridged = Talk { caller, other, bridged: true, since, record, ended: false };
        self.talks.insert(talk, bridged);
        self.say(Event::Bridged { talk, at: now }, now);
        Ok(())
    }

    fn end_talk(&mut self, talk: TalkName, now: Instant) -> Result<(), String> {
        let of = self.talks.get_mut(&talk);
        let mut recorded = None;
        if let Some(of) = of {
            if of.ended {
                return Err(format!("{talk:?} ends twice"));
            }
            (of.ended, of.bridged) = (true, false);
            let frames = u64::try_from((now - of.since).as_millis() / 20).unwrap_or(u64::MAX);
            recorded = of.record.then_some(Recorded { frames, lost: 0, paused: 0 });
        }
        self.say(Event::TalkEnded { talk, at: now, recorded }, now);
        Ok(())
    }

    fn close(&mut self, name: LegName, now: Instant) -> Result<(), String> {
        let Some(leg) = self.open.remove(&name) else {
            return Err(format!("{name:?} is closed and is not open"));
        };
        for talk in self.talks.values_mut() {
            talk.bridged &= talk.caller != name && talk.other != name;
        }
        self.silences.retain(|(_, silent), _| *silent != name);
        let of_leg = self.prompts.iter().find(|((_, leg), _)| *leg == name);
        if let Some((&key, &prompt)) = of_leg {
            self.prompts.remove(&key);
            self.say(Event::PromptEnded { leg: name, prompt, how: PromptEnd::Left }, now);
        }
        self.closing.insert(name, leg.port);
        let packets = u64::from(leg.remote.is_some());
        let report = LegReport { packets_received: packets, ..LegReport::default() };
        self.say(Event::Closed { leg: name, report }, now);
        Ok(())
    }

    fn leg(&mut self, leg: LegName, order: Order) -> Result<&mut Leg, String> {
        self.open.get_mut(&leg).ok_or_else(|| format!("{leg:?} is not open: {order:?}"))
    }

    fn say(&mut self, event: Event, now: Instant) {
        let at = now + self.dice.millis(1..WORD_MAX_MS);
        let last = self.events.back().map_or(at, |&(last, _)| last);
        self.events.push_back((at.max(last), event));
    }
}
