//! The media side of legs: ports, the one outgoing stream, and the last word about a call.

use crate::{
    fact::{Quality, Side},
    ids::CallId,
    ports::Ports,
    switchboard::Input,
    time::Stamp,
};
use media_core::order::{LegName, LegReport, Order, PortName, Recorded, Stream, TalkName};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sip_stack::{
    ids::NetworkId,
    sdp::secure::{OwnKeys, Security, Srtp},
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

/// All media legs and what is still owed about them.
pub(crate) struct MediaLegs {
    /// By network.
    ports: Vec<Ports>,
    random: ChaCha20Rng,
    open: BTreeMap<LegName, Open>,
    closing: BTreeMap<LegName, Open>,
    /// The legs of both, by call: a call that ends must not look at all the others'.
    by_call: BTreeSet<(CallId, LegName)>,
    endings: BTreeMap<CallId, Ending>,
    /// What legs said that closed before their call ended.
    earlier: BTreeMap<CallId, Vec<Quality>>,
    orders: VecDeque<Order>,
    /// Calls that have not ended and for which a leg was opened.
    had_media: BTreeSet<CallId>,
}

#[derive(Clone, Copy)]
struct Open {
    port: PortName,
    network: NetworkId,
    call: CallId,
    side: Side,
}

/// A call whose media was told to end.
#[derive(Default)]
struct Ending {
    due: BTreeSet<LegName>,
    talk: Option<(Stamp, Option<Recorded>)>,
    quality: Vec<Quality>,
}

impl MediaLegs {
    pub(crate) fn new(ports: Vec<Ports>, seed: [u8; 32]) -> Self {
        Self {
            ports,
            random: ChaCha20Rng::from_seed(seed),
            open: BTreeMap::new(),
            closing: BTreeMap::new(),
            by_call: BTreeSet::new(),
            endings: BTreeMap::new(),
            earlier: BTreeMap::new(),
            orders: VecDeque::new(),
            had_media: BTreeSet::new(),
        }
    }

    /// A port pair, to be opened for a leg at once; `None`: no port is free.
    pub(crate) fn take_port(&mut self, network: NetworkId, now: Instant) -> Option<PortName> {
        self.ports_of(network)?.take(now)
    }

    /// The same for a caller, who must leave some for the agents' phones.
    pub(crate) fn take_port_for_caller(
        &mut self,
        network: NetworkId,
        now: Instant,
    ) -> Option<PortName> {
        self.ports_of(network)?.take_for_caller(now)
    }

    pub(crate) fn has_port_for_caller(&mut self, network: NetworkId, now: Instant) -> bool {
        self.ports_of(network).is_some_and(|ports| ports.left_for_callers(now))
    }

    fn ports_of(&mut self, network: NetworkId) -> Option<&mut Ports> {
        self.ports.get_mut(usize::from(network.0))
    }

    /// The numeric name of a session description (RFC 8866 §5.2); random, so that nobody counts
    /// our calls.
    pub(crate) fn session_id(&mut self) -> u64 {
        self.random.random::<u32>().into()
    }

    /// What is wanted of one leg, with keys of our own if it may need them.
    pub(crate) fn security(&mut self, srtp: Srtp) -> Security {
        match srtp {
            Srtp::Off => Security::OFF,
            Srtp::Optional | Srtp::Required => {
                let own = OwnKeys::draw(|key| self.random.fill_bytes(key));
                Security { srtp, own, only: None }
            }
        }
    }

    pub(crate) fn open(
        &mut self,
        leg: LegName,
        (network, port): (NetworkId, PortName),
        call: CallId,
        side: Side,
    ) {
        let stream = Stream {
            ssrc: self.random.random(),
            // RFC 3711 §3.3.1: below 2^15, so that a receiver who misses the first packets of an
            // encrypted stream still knows its round.
            sequence: self.random.random::<u16>() >> 1,
            timestamp: self.random.random(),
        };
        self.had_media.insert(call);
        self.open.insert(leg, Open { port, network, call, side });
        self.by_call.insert((call, leg));
        self.orders.push_back(Order::Open { leg, port, stream, talk: TalkName(call.0) });
    }

    pub(crate) fn is_open(&self, leg: LegName) -> bool {
        self.open.contains_key(&leg)
    }

    pub(crate) fn order(&mut self, order: Order) {
        self.orders.push_back(order);
    }

    pub(crate) fn poll_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// From here on this leg hears and says nothing.
    pub(crate) fn close(&mut self, leg: LegName) {
        if let Some(open) = self.open.remove(&leg) {
            self.closing.insert(leg, open);
            self.orders.push_back(Order::Close { leg });
        }
    }

    /// The call is over: its talk ends first, so that the recording does, then its legs. A call that
    /// never had media has its last word at once.
    pub(crate) fn end(&mut self, call: CallId, now: Stamp) -> Option<Input> {
        let had_media = self.had_media.remove(&call);
        if !had_media {
            return Some(Input::MediaEnded { call, at: now, recorded: None, quality: Vec::new() });
        }
        self.orders.push_back(Order::EndTalk { talk: TalkName(call.0) });
        let of_call = (call, LegName(0))..=(call, LegName(u64::MAX));
        let due: BTreeSet<_> = self.by_call.range(of_call).map(|&(_, leg)| leg).collect();
        for &leg in &due {
            self.close(leg);
        }
        let quality = self.earlier.remove(&call).unwrap_or_default();
        self.endings.insert(call, Ending { due, talk: None, quality });
        None
    }

    pub(crate) fn talk_ended(
        &mut self,
        talk: TalkName,
        at: Stamp,
        recorded: Option<Recorded>,
    ) -> Option<Input> {
        let call = CallId(talk.0);
        self.endings.get_mut(&call)?.talk = Some((at, recorded));
        self.last_word(call)
    }

    pub(crate) fn closed(
        &mut self,
        leg: LegName,
        report: LegReport,
        now: Instant,
    ) -> Option<Input> {
        let open = self.closing.remove(&leg)?;
        self.by_call.remove(&(open.call, leg));
        if let Some(ports) = self.ports_of(open.network) {
            ports.give_back(open.port, now);
        }
        let call = open.call;
        let quality = Quality { side: open.side, report };
        match self.endings.get_mut(&call) {
            Some(ending) => {
                ending.due.remove(&leg);
                ending.quality.push(quality);
            }
            // A phone that only rang has nothing to say.
            None if report.packets_received == 0 => {}
            None => self.earlier.entry(call).or_default().push(quality),
        }
        self.last_word(call)
    }

    fn last_word(&mut self, call: CallId) -> Option<Input> {
        let ending = self.endings.get(&call)?;
        let (at, recorded) = ending.talk.filter(|_| ending.due.is_empty())?;
        let mut quality = self.endings.remove(&call)?.quality;
        quality.sort_by_key(|quality| quality.side != Side::Caller);
        Some(Input::MediaEnded { call, at, recorded, quality })
    }

    /// Nothing open, nothing owed.
    pub(crate) fn is_idle(&self) -> bool {
        let nothing_owed =
            self.endings.is_empty() && self.earlier.is_empty() && self.had_media.is_empty();
        self.open.is_empty() && self.closing.is_empty() && nothing_owed && self.ports_taken() == 0
    }

    /// So many agents may have to be reached while callers wait.
    pub(crate) fn set_phones(&mut self, phones: usize) {
        self.ports.iter_mut().for_each(|ports| ports.set_phones(phones));
    }

    /// In all networks together.
    pub(crate) fn ports_taken(&self) -> usize {
        self.ports.iter().map(Ports::taken).sum()
    }
}
