//! The thread's sockets: which of them listen, which have something to read, and sending in runs.

use std::{net::SocketAddr, os::fd::AsFd, sync::Arc, time::Instant};

use media_core::{
    engine::Channel,
    order::{LegName, PortName},
};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::Socket;

use crate::{
    counters::{Counter, MediaCount},
    ports::{Pair, Pairs, close_ears, open_ears},
    sys::{BATCH, DATAGRAM_BYTES, Inbox, Parcel, SEND_BATCH, send_many},
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

/// Packets on their way out. Those that follow each other from one socket leave by one call.
pub(crate) struct Outbox {
    run: Vec<Parcel>,
    count: usize,
    from: Option<Name>,
    /// When the packets of this run were read, if they are relayed.
    read_at: Option<Instant>,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        let parcel = || Parcel {
            to: SocketAddr::from(([0, 0, 0, 0], 0)).into(),
            length: 0,
            body: [0; DATAGRAM_BYTES],
        };
        Self {
            run: std::iter::repeat_with(parcel).take(SEND_BATCH).collect(),
            count: 0,
            from: None,
            read_at: None,
        }
    }

    /// Puts a packet behind the others; sends those first that have another origin.
    pub(crate) fn put(
        &mut self,
        from: Name,
        to: SocketAddr,
        bytes: &[u8],
        read_at: Option<Instant>,
        sockets: &Sockets,
        counters: &MediaCount,
    ) {
        if self.from != Some(from) || self.read_at != read_at || self.count == self.run.len() {
            self.flush(sockets, counters);
        }
        // After a flush there is always room for one more; it may only be too long.
        let Some(parcel) = self.run.get_mut(self.count) else { return };
        let Some(body) = parcel.body.get_mut(..bytes.len()) else {
            counters.send_errors.bump();
            return;
        };
        body.copy_from_slice(bytes);
        parcel.length = bytes.len();
        parcel.to = to.into();
        self.count += 1;
        (self.from, self.read_at) = (Some(from), read_at);
    }

    /// Sends what waits. Never waits itself: what the kernel does not take is counted and gone.
    pub(crate) fn flush(&mut self, sockets: &Sockets, counters: &MediaCount) {
        let count = std::mem::take(&mut self.count);
        let Some(socket) = self.from.take().and_then(|name| sockets.socket(name)) else {
            counters.send_errors.add(count as u64);
            return;
        };
        let sent = send_run(socket, &self.run[..count]);
        counters.datagrams_sent.add(sent);
        counters.send_errors.add(count as u64 - sent);
        if let Some(read_at) = self.read_at.take() {
            counters.forward_latency.observe(read_at.elapsed(), sent);
        }
    }
}

/// Returns how many the kernel took. One that it refuses does not stop those behind it.
fn send_run(socket: &Socket, mut run: &[Parcel]) -> u64 {
    let mut sent = 0;
    while let Some(first) = run.first() {
        let taken = if run.len() == 1 {
            socket.send_to(first.bytes(), &first.to).map(|_| 1)
        } else {
            send_many(socket.as_fd(), run)
        };
        let taken = taken.unwrap_or(0);
        sent += taken as u64;
        run = &run[taken.max(1).min(run.len())..];
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::PortPool;
    use std::net::{IpAddr, UdpSocket};

    const LEG: LegName = LegName(7);
    const PORT: PortName = PortName(21_000);

    /// A loopback address of the test's own: nobody else's ports are in the way.
    fn sockets(last: u8) -> (Sockets, IpAddr, UdpSocket) {
        let address = IpAddr::from([127, 77, 2, last]);
        let pool = PortPool::open(address, 21_000..=21_007).unwrap();
        let peer = UdpSocket::bind((address, 0)).unwrap();
        peer.set_nonblocking(true).unwrap();
        (Sockets::new(Arc::new(pool.into_pairs())).unwrap(), address, peer)
    }

    /// What one look at the sockets gives: which had something, and how many datagrams. `more`: one is not all.
    fn heard_if(sockets: &mut Sockets, inbox: &mut Inbox, more: bool) -> Vec<(Name, usize)> {
        let mut heard = vec![];
        for place in 0..sockets.look() {
            let Some((name, ask)) = sockets.ready(place) else { continue };
            let (socket, most) = (sockets.socket(name).unwrap(), ask.worth());
            let mut count = inbox.receive(socket.as_fd(), most).unwrap_or(0);
            if most == 1 && more {
                count += inbox.receive(socket.as_fd(), BATCH - 1).unwrap_or(0);
            }
            if count == BATCH {
                sockets.leave(name);
            }
            heard.extend((count > 0).then_some((name, count)));
        }
        heard
    }

    fn heard(sockets: &mut Sockets, inbox: &mut Inbox) -> Vec<(Name, usize)> {
        heard_if(sockets, inbox, true)
    }

    #[test]
    fn an_open_pair_hears_from_then_on_and_a_closed_one_nothing() {
        let (mut sockets, address, peer) = sockets(1);
        let mut inbox = Inbox::new();
        let mut says = |sockets: &mut Sockets, port| {
            peer.send_to(b"packet", (address, port)).unwrap();
            heard(sockets, &mut inbox)
        };
        assert_eq!(says(&mut sockets, 21_000), []);

        assert!(sockets.open(LEG, PORT, &mut Inbox::new()));
        let (rtp, rtcp) = (Channel::Rtp, Channel::Rtcp);
        assert_eq!(says(&mut sockets, 21_000), [(Name { port: PORT, channel: rtp }, 1)]);
        assert_eq!(says(&mut sockets, 21_001), [(Name { port: PORT, channel: rtcp }, 1)]);
        assert_eq!(says(&mut sockets, 21_002), []);

        sockets.close(LEG, &mut Inbox::new());
        assert_eq!(says(&mut sockets, 21_000), []);
        assert!(sockets.open(LegName(8), PORT, &mut Inbox::new()), "it can be used again");
        assert_eq!(heard(&mut sockets, &mut Inbox::new()), [], "and says nothing of before");
    }

    #[test]
    fn what_a_call_left_unread_is_not_heard_by_the_next() {
        let (mut sockets, address, peer) = sockets(2);
        assert!(sockets.open(LEG, PORT, &mut Inbox::new()));
        for _ in 0..100 {
            peer.send_to(b"old", (address, 21_000)).unwrap();
        }
        let socket = Name { port: PORT, channel: Channel::Rtp };
        sockets.close(LEG, &mut Inbox::new());

        let left = sockets.socket(socket).unwrap().recv(&mut [std::mem::MaybeUninit::uninit(); 8]);
        assert_eq!(left.unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "no memory is held");
        assert!(sockets.open(LegName(8), PORT, &mut Inbox::new()));
        assert_eq!(heard(&mut sockets, &mut Inbox::new()), []);
    }

    #[test]
    fn a_port_that_is_taken_or_not_in_the_pool_is_refused() {
        let (mut sockets, ..) = sockets(3);
        let mut inbox = Inbox::new();
        assert!(sockets.open(LEG, PORT, &mut inbox));

        for port in [21_000, 21_001, 20_998, 21_008, 0, u16::MAX] {
            assert!(!sockets.open(LegName(8), PortName(port), &mut inbox), "{port}");
        }
    }

    #[test]
    fn a_pair_changes_hands_with_what_lies_in_it_and_listens_all_the_while() {
        let (mut from, address, peer) = sockets(8);
        let mut to = Sockets::new(Arc::clone(&from.pairs)).unwrap();
        let mut inbox = Inbox::new();
        assert!(from.open(LEG, PORT, &mut inbox));
        assert!(!to.open(LegName(8), PORT, &mut inbox), "it is somebody's, whichever thread's");
        peer.send_to(b"before", (address, 21_000)).unwrap();

        assert!(from.let_go(LEG) && !from.let_go(LEG));
        peer.send_to(b"between", (address, 21_000)).unwrap();
        assert_eq!(heard(&mut from, &mut inbox), []);
        assert!(!from.open(LegName(8), PORT, &mut inbox), "nor is it nobody's on the way");
        assert!(to.take_over(LEG, PORT, &mut inbox));
        peer.send_to(b"after", (address, 21_000)).unwrap();

        let rtp = Name { port: PORT, channel: Channel::Rtp };
        assert_eq!(heard(&mut to, &mut inbox), [(rtp, 3)]);
        to.close(LEG, &mut inbox);
        assert!(from.open(LegName(8), PORT, &mut inbox), "anybody may have it again");
    }

    #[test]
    fn a_socket_is_told_once_for_what_came_and_what_nobody_asked_for_is_found_in_turn() {
        let (mut sockets, address, peer) = sockets(9);
        let mut inbox = Inbox::new();
        assert!(sockets.open(LEG, PORT, &mut inbox));
        assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
        let rtp = Name { port: PORT, channel: Channel::Rtp };
        // The turn is at the second of the two now.
        sockets.looks = 2;
        let mut says = |many: usize| {
            for _ in 0..many {
                peer.send_to(b"packet", (address, 21_000)).unwrap();
            }
            heard_if(&mut sockets, &mut inbox, false)
        };

        assert_eq!(says(5), [(rtp, 1)]);
        assert_eq!(says(0), [(rtp, 4)], "its turn");
        assert_eq!(says(0), []);
        assert_eq!(says(1), [(rtp, 1)], "asked once, although it is its turn too");
        assert_eq!(says(0), []);
    }

    #[test]
    fn what_was_left_in_a_socket_is_asked_for_at_the_next_look_unless_another_thread_has_it() {
        let (mut sockets, address, peer) = sockets(10);
        let mut inbox = Inbox::new();
        assert!(sockets.open(LEG, PORT, &mut inbox));
        assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
        sockets.looks = 2;
        for _ in 0..3 {
            peer.send_to(b"packet", (address, 21_000)).unwrap();
        }
        let rtp = Name { port: PORT, channel: Channel::Rtp };
        assert_eq!(heard_if(&mut sockets, &mut inbox, false), [(rtp, 1)]);

        sockets.leave(rtp);
        assert!(sockets.let_go(LEG));

        assert_eq!(heard(&mut sockets, &mut inbox), [], "neither at once");
        assert_eq!(heard(&mut sockets, &mut inbox), [], "nor in turn");
    }

    #[test]
    fn what_nobody_hears_waits_sixty_looks_and_is_read_at_once_and_sooner_if_it_is_roused() {
        let (mut sockets, address, peer) = sockets(14);
        let mut inbox = Inbox::new();
        assert!(sockets.open(LEG, PORT, &mut inbox));
        let rtp = Name { port: PORT, channel: Channel::Rtp };
        let says = |port| peer.send_to(b"packet", (address, port)).unwrap();
        let looks = |sockets: &mut Sockets, inbox: &mut Inbox, count: u32| -> Vec<_> {
            (0..count).flat_map(|_| heard(sockets, inbox)).collect()
        };
        assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
        // After 60 looks it is the second's turn.
        sockets.looks = 2;
        sockets.let_wait(rtp);

        for _ in 0..3 {
            says(21_000);
            assert_eq!(looks(&mut sockets, &mut inbox, 20), []);
        }
        assert_eq!(looks(&mut sockets, &mut inbox, 1), [(rtp, 3)]);
        says(21_000);
        assert_eq!(looks(&mut sockets, &mut inbox, 1), [(rtp, 1)], "somebody may hear it");

        sockets.let_wait(rtp);
        let mut flood = (0..9).map(|_| {
            says(21_000);
            looks(&mut sockets, &mut inbox, 1)
        });
        assert!(flood.by_ref().take(8).all(|heard| heard.is_empty()));
        assert_eq!(flood.next().unwrap(), [(rtp, 9)], "a voice says less");

        sockets.let_wait(rtp);
        says(21_000);
        says(21_001);
        let rtcp = Name { channel: Channel::Rtcp, ..rtp };
        assert_eq!(looks(&mut sockets, &mut inbox, 2), [(rtcp, 1)], "a report does not wait");
        assert!(sockets.rouse(PORT) && !sockets.rouse(PORT));
        assert_eq!(looks(&mut sockets, &mut inbox, 2), [(rtp, 1)], "at its turn of all");
        assert_eq!(looks(&mut sockets, &mut inbox, 100), []);
    }

    /// Says more to a port than a socket's buffer takes.
    fn overfill(peer: &UdpSocket, address: IpAddr, port: u16) {
        for _ in 0..OVERFULL {
            peer.send_to(&[0; 1_000], (address, port)).unwrap();
        }
    }

    const OVERFULL: u64 = 300;

    /// What the kernel tells everybody that it has dropped at a port: the last word of the socket's line.
    fn dropped_at(address: IpAddr, port: u16) -> u64 {
        let IpAddr::V4(address) = address else { panic!("of version four") };
        let name = format!("{:08X}:{port:04X}", u32::from_ne_bytes(address.octets()));
        let table = std::fs::read_to_string("/proc/net/udp").unwrap();
        let line = table.lines().find(|line| line.split_whitespace().nth(1) == Some(&name));
        line.unwrap().split_whitespace().last().unwrap().parse().unwrap()
    }

    #[test]
    fn what_finds_a_full_socket_is_counted_once_when_its_turn_comes() {
        let (mut sockets, address, peer) = sockets(11);
        let mut inbox = Inbox::new();
        assert!(sockets.open(LEG, PORT, &mut inbox));
        assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
        overfill(&peer, address, 21_000);
        overfill(&peer, address, 21_001);
        // The turn is at the second of the two now.
        sockets.looks = 2;
        let mut read = heard(&mut sockets, &mut inbox);
        assert_eq!(sockets.dropped(), 0);
        read.extend(heard(&mut sockets, &mut inbox));
        let dropped = sockets.dropped();
        for _ in 0..8 {
            read.extend(heard(&mut sockets, &mut inbox));
        }

        assert_eq!(sockets.dropped(), dropped, "once");
        let of = |port| dropped_at(address, port);
        assert_eq!(dropped, of(21_000) + of(21_001));
        for (channel, port) in [(Channel::Rtp, 21_000), (Channel::Rtcp, 21_001)] {
            let read = read.iter().filter(|(name, _)| *name == Name { port: PORT, channel });
            let read: usize = read.map(|(_, count)| count).sum();
            assert_eq!(read as u64 + of(port), OVERFULL);
            assert!(of(port) > 0, "{port}");
        }
    }

    #[test]
    fn what_a_pair_at_rest_did_not_hear_is_no_loss_of_a_leg_and_what_a_leg_lost_last_is_counted_at_its_end()
     {
        let (mut sockets, address, peer) = sockets(12);
        let mut inbox = Inbox::new();
        let mut lost = 0;
        for round in 0..2 {
            let before = dropped_at(address, 21_000);
            overfill(&peer, address, 21_000);
            let at_rest = dropped_at(address, 21_000);
            assert_eq!(at_rest - before, OVERFULL, "nothing is kept at rest");
            assert!(sockets.open(LEG, PORT, &mut inbox));
            heard(&mut sockets, &mut inbox);
            assert_eq!(sockets.dropped(), lost, "{round}");

            overfill(&peer, address, 21_000);
            lost += dropped_at(address, 21_000) - at_rest;
            sockets.close(LEG, &mut inbox);
            assert_eq!(sockets.dropped(), lost, "{round}");
        }
        assert!(lost > 0);
    }

    #[test]
    fn what_a_pair_on_its_way_did_not_hear_is_counted_by_who_gets_it_and_by_nobody_else() {
        let (mut from, address, peer) = sockets(13);
        let mut to = Sockets::new(Arc::clone(&from.pairs)).unwrap();
        let mut inbox = Inbox::new();
        let overfill = || {
            overfill(&peer, address, 21_000);
            dropped_at(address, 21_000)
        };
        assert!(from.open(LEG, PORT, &mut inbox));
        let first = overfill();
        heard(&mut from, &mut inbox);
        assert!(from.let_go(LEG) && first > 0);
        let second = overfill();
        assert!(to.take_over(LEG, PORT, &mut inbox) && second > first);
        heard(&mut to, &mut inbox);
        heard(&mut from, &mut inbox);
        assert_eq!((from.dropped(), to.dropped()), (first, second - first));

        assert!(to.let_go(LEG));
        let third = overfill();
        from.abandon(PORT, &mut inbox);
        assert_eq!((from.dropped(), to.dropped()), (first + third - second, second - first));
        assert!(third > second);
    }

    #[test]
    fn a_flood_at_one_port_takes_one_batch_a_wake_and_leaves_the_others_theirs() {
        let (mut sockets, address, peer) = sockets(4);
        let mut inbox = Inbox::new();
        assert!(sockets.open(LEG, PORT, &mut inbox));
        assert!(sockets.open(LegName(8), PortName(21_002), &mut inbox));
        for _ in 0..3 * BATCH / 2 {
            peer.send_to(b"flood", (address, 21_000)).unwrap();
        }
        peer.send_to(b"voice", (address, 21_002)).unwrap();

        let mut counts = || -> Vec<usize> {
            heard(&mut sockets, &mut inbox).iter().map(|(_, count)| *count).collect()
        };
        assert_eq!(counts(), [BATCH, 1]);
        assert_eq!(counts(), [BATCH / 2]);
        assert_eq!(counts(), [0; 0]);
    }

    #[test]
    fn packets_leave_in_order_and_one_the_kernel_refuses_stops_no_other() {
        let (sockets, _, peer) = sockets(5);
        let (mut outbox, counters) = (Outbox::new(), MediaCount::default());
        let (here, nowhere) = (peer.local_addr().unwrap(), SocketAddr::from(([0, 0, 0, 0], 0)));
        let from = Name { port: PORT, channel: Channel::Rtp };
        for number in 0..40 {
            let to = if number % 10 == 3 { nowhere } else { here };
            outbox.put(from, to, &[number], None, &sockets, &counters);
        }
        outbox.flush(&sockets, &counters);

        let mut body = [0; 8];
        let arrived: Vec<u8> =
            std::iter::from_fn(|| peer.recv(&mut body).ok().map(|_| body[0])).collect();
        assert_eq!(arrived, (0..40).filter(|number| number % 10 != 3).collect::<Vec<_>>());
        assert_eq!((counters.read().datagrams_sent, counters.read().send_errors), (36, 4));
    }

    #[test]
    fn each_packet_leaves_by_the_socket_it_was_put_to_and_relayed_ones_are_timed() {
        let (sockets, address, peer) = sockets(6);
        let (mut outbox, counters) = (Outbox::new(), MediaCount::default());
        let here = peer.local_addr().unwrap();
        for (port, channel) in [(21_000, Channel::Rtp), (21_002, Channel::Rtcp)] {
            let from = Name { port: PortName(port), channel };
            outbox.put(from, here, b"x", Some(Instant::now()), &sockets, &counters);
        }
        outbox.flush(&sockets, &counters);

        let sender = || peer.recv_from(&mut [0; 8]).unwrap().1;
        let expected = [(address, 21_000), (address, 21_003)].map(SocketAddr::from);
        assert_eq!([sender(), sender()], expected);
        assert_eq!(counters.read().forward_latency.counts.iter().sum::<u64>(), 2);
    }

    #[test]
    fn a_packet_too_long_to_be_ours_is_counted_and_not_sent() {
        let (sockets, _, peer) = sockets(7);
        let (mut outbox, counters) = (Outbox::new(), MediaCount::default());
        let from = Name { port: PORT, channel: Channel::Rtp };

        let long = [0; DATAGRAM_BYTES + 1];
        outbox.put(from, peer.local_addr().unwrap(), &long, None, &sockets, &counters);
        outbox.flush(&sockets, &counters);

        assert_eq!((counters.read().datagrams_sent, counters.read().send_errors), (0, 1));
    }
}
