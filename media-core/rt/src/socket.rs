//! The thread's sockets: which of them listen, and which have something to read.

use std::{os::fd::AsFd, sync::Arc};

use media_core::{
    engine::Channel,
    order::{LegName, PortName},
};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;

use crate::{
    counters::Counter,
    ports::{Pair, Pairs, close_ears, open_ears},
    sys::{BATCH, Inbox},
    unheard::{Unheard, Wait},
};

/// The pairs of this thread's legs are watched; what others have is theirs, and the rest keeps nothing.
pub(crate) struct Sockets {
    pairs: Arc<Pairs>,
    epoll: Epoll,
    ready: Vec<EpollEvent>,
    /// How many of `ready` this look told.
    told: usize,
    looks: u32,
    /// The look at which a socket was last asked, by its pair's place and its channel.
    asked: Vec<[u32; 2]>,
    /// Sockets that were not emptied, at the look before and at this one: nobody tells of them again.
    left: [Vec<Name>; 2],
    unheard: Unheard,
    /// Those who waited until this look.
    waited: Vec<Name>,
    /// Who of this thread has which pair.
    taken: Vec<(LegName, PortName)>,
    /// Datagrams the kernel dropped at the sockets of pairs that were taken.
    dropped: Counter,
}

/// What a socket is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// What it was told for.
    Told,
    /// All that lies in it.
    Left,
    /// All that waits in it, and when it came.
    Waited,
}

impl Ask {
    /// How many datagrams it is worth.
    pub(crate) const fn worth(self) -> usize {
        match self {
            Self::Told => 1,
            Self::Left | Self::Waited => BATCH,
        }
    }
}

/// One socket of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) port: PortName,
    pub(crate) channel: Channel,
}

impl Sockets {
    pub(crate) fn new(pairs: Arc<Pairs>) -> nix::Result<Self> {
        Ok(Self {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            ready: vec![EpollEvent::empty(); pairs.len() * 2],
            told: 0,
            looks: 1,
            asked: vec![[0; 2]; pairs.len()],
            left: [(); 2].map(|()| Vec::with_capacity(pairs.len() * 2)),
            unheard: Unheard::new(pairs.len()),
            waited: Vec::with_capacity(pairs.len()),
            taken: Vec::with_capacity(pairs.len()),
            dropped: Counter::default(),
            pairs,
        })
    }

    /// Makes a pair listen. What lay in it is thrown away first. False: no such port, somebody
    /// has it, or the system refused.
    pub(crate) fn open(&mut self, leg: LegName, port: PortName, inbox: &mut Inbox) -> bool {
        let Some(pair) = self.pairs.get(port).filter(|pair| pair.take()) else {
            return false;
        };
        let opened = [&pair.rtp, &pair.rtcp].into_iter().all(|socket| {
            drain(socket, inbox);
            open_ears(socket).is_ok()
        });
        // What was said to a pair at rest is dropped too, and is nothing this leg missed.
        let _nobodys = pair.newly_dropped();
        if opened && self.watch(pair) {
            self.taken.push((leg, port));
            return true;
        }
        self.rest(pair, inbox);
        false
    }

    /// Lets what the leg opened keep nothing again.
    pub(crate) fn close(&mut self, leg: LegName, inbox: &mut Inbox) {
        while let Some(port) = self.forget(leg) {
            if let Some(pair) = self.pairs.get(port) {
                self.rest(pair, inbox);
            }
        }
    }

    /// No longer watches what the leg opened, which goes on keeping what comes: another thread will
    /// read it. False: it has opened none.
    pub(crate) fn let_go(&mut self, leg: LegName) -> bool {
        let Some(port) = self.forget(leg) else { return false };
        if let Some(pair) = self.pairs.get(port) {
            self.unwatch(pair);
        }
        true
    }

    /// Watches a pair that another thread has let go. False: the system refused, and it is at rest.
    pub(crate) fn take_over(&mut self, leg: LegName, port: PortName, inbox: &mut Inbox) -> bool {
        let Some(pair) = self.pairs.get(port) else { return false };
        if self.watch(pair) {
            self.taken.push((leg, port));
            return true;
        }
        self.rest(pair, inbox);
        false
    }

    /// Lets a pair rest that another thread has let go and that nobody takes over.
    pub(crate) fn abandon(&self, port: PortName, inbox: &mut Inbox) {
        if let Some(pair) = self.pairs.get(port) {
            self.rest(pair, inbox);
        }
    }

    fn forget(&mut self, leg: LegName) -> Option<PortName> {
        let place = self.taken.iter().position(|&(who, _)| who == leg)?;
        let port = self.taken.swap_remove(place).1;
        for left in &mut self.left {
            left.retain(|name| name.port != port);
        }
        let _waited = self.rouse(port);
        Some(port)
    }

    /// Looks which listening sockets something has come to, without waiting. Returns how many are worth asking; each
    /// is told by [`ready`](Self::ready). A socket is told once for what comes between two looks, and the kernel
    /// does not look at it again: whoever does not empty it says so by [`leave`](Self::leave).
    pub(crate) fn look(&mut self) -> usize {
        self.looks = self.looks.wrapping_add(1);
        let Self { left: [before, now], unheard, waited, pairs, looks, .. } = self;
        std::mem::swap(before, now);
        now.clear();
        waited.clear();
        // Each once, for which there is room.
        while waited.len() < waited.capacity()
            && let Some(port) = unheard.due(*looks, |port| pairs.place(port))
        {
            waited.push(Name { port, channel: Channel::Rtp });
        }
        // One entry a socket, so that a flood at one cannot keep another out of the list.
        self.told = self.epoll.wait(&mut self.ready, EpollTimeout::ZERO).unwrap_or(0);
        let waited = self.left[0].len() + self.waited.len();
        waited + self.told + usize::from(!self.taken.is_empty())
    }

    /// One that is worth asking, and what for: one datagram, which is what a voice sends in 10 ms or more, and a
    /// batch of one that was not emptied. To ask a socket in vain for a second datagram costs about a quarter of
    /// reading the first, and to have the kernel look whether there is one about a twelfth of all that a relayed
    /// packet costs (measured); it is rarely there, and the datagram itself tells when it is ([`Behind`]).
    ///
    /// [`Behind`]: media_core::engine::Behind
    pub(crate) fn ready(&mut self, place: usize) -> Option<(Name, Ask)> {
        // What was left comes first: told of again, it would be asked for one.
        let waited = place.checked_sub(self.left[0].len());
        let told = waited.and_then(|waited| waited.checked_sub(self.waited.len()));
        let (name, ask) = match (waited, told) {
            (None, _) => (*self.left[0].get(place)?, Ask::Left),
            (Some(waited), None) => (*self.waited.get(waited)?, Ask::Waited),
            (Some(_), Some(told)) if told < self.told => {
                (Name::from_token(self.ready.get(told)?.data())?, Ask::Told)
            }
            (Some(_), Some(_)) => (self.in_turn()?, Ask::Left),
        };
        let pair = self.pairs.place(name.port)?;
        let [rtp, rtcp] = self.asked.get_mut(pair)?;
        let asked = match name.channel {
            Channel::Rtp => rtp,
            Channel::Rtcp => rtcp,
        };
        if std::mem::replace(asked, self.looks) == self.looks {
            return None;
        }
        if name.channel == Channel::Rtcp || ask == Ask::Waited {
            return Some((name, ask));
        }
        match self.unheard.wait(pair, name.port, self.looks, ask == Ask::Told) {
            Wait::No => Some((name, ask)),
            Wait::Yes => None,
            Wait::Enough => Some((name, Ask::Waited)),
        }
    }

    /// Nobody hears what came last: what comes next waits for those behind it.
    pub(crate) fn let_wait(&mut self, name: Name) {
        if let Some(place) = self.pairs.place(name.port) {
            self.unheard.may_wait(place);
        }
    }

    /// What comes waits no longer. True: something may lie there that has waited.
    pub(crate) fn rouse(&mut self, port: PortName) -> bool {
        self.pairs.place(port).is_some_and(|place| self.unheard.rouse(place))
    }

    /// It may have more: it is asked at the next look.
    pub(crate) fn leave(&mut self, name: Name) {
        let [_, now] = &mut self.left;
        // Once a look and socket, for which there is room.
        if now.len() < now.capacity() {
            now.push(name);
        }
    }

    /// One a look, whatever is told of it: the last words of a voice that came two at once are not left lying. The kernel
    /// is asked too what it has dropped at the pair.
    fn in_turn(&self) -> Option<Name> {
        let place = usize::try_from(self.looks).ok()?.checked_rem(self.taken.len())?;
        let (_, port) = self.taken.get(place)?;
        self.dropped.add(self.pairs.get(*port)?.newly_dropped());
        Some(Name { port: *port, channel: Channel::Rtp })
    }

    /// How many datagrams the kernel is known to have dropped while a leg had their pair.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.read()
    }

    pub(crate) fn socket(&self, name: Name) -> Option<&Socket> {
        let pair = self.pairs.get(name.port)?;
        Some(match name.channel {
            Channel::Rtp => &pair.rtp,
            Channel::Rtcp => &pair.rtcp,
        })
    }

    fn watch(&self, pair: &Pair) -> bool {
        [(&pair.rtp, Channel::Rtp), (&pair.rtcp, Channel::Rtcp)].into_iter().all(
            |(socket, channel)| {
                let name = Name { port: pair.name, channel };
                let flags = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
                self.epoll.add(socket, EpollEvent::new(flags, name.token())).is_ok()
            },
        )
    }

    fn unwatch(&self, pair: &Pair) {
        for socket in [&pair.rtp, &pair.rtcp] {
            let _unwatched = self.epoll.delete(socket);
        }
    }

    /// No call of these can be helped if it fails: a socket that is not watched gets what its
    /// receive buffer holds and no more, and `open` throws that away.
    fn rest(&self, pair: &Pair, inbox: &mut Inbox) {
        self.unwatch(pair);
        // While it still listens: from then on the kernel drops all that comes.
        self.dropped.add(pair.newly_dropped());
        for socket in [&pair.rtp, &pair.rtcp] {
            let _deaf = close_ears(socket);
            drain(socket, inbox);
        }
        pair.give_back();
    }
}

impl Name {
    fn token(self) -> u64 {
        match self.channel {
            Channel::Rtp => u64::from(self.port.0),
            Channel::Rtcp => u64::from(self.port.0) + 1,
        }
    }

    fn from_token(token: u64) -> Option<Self> {
        let port = u16::try_from(token).ok()?;
        let channel = if port % 2 == 0 { Channel::Rtp } else { Channel::Rtcp };
        Some(Self { port: PortName(port & !1), channel })
    }
}

/// Throws away what a call before left. Bounded: a resting socket's buffer holds a few hundred.
fn drain(socket: &Socket, inbox: &mut Inbox) {
    const ROUNDS: usize = 32;
    for _ in 0..ROUNDS {
        if inbox.receive(socket.as_fd(), BATCH).unwrap_or(0) < BATCH {
            return;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
