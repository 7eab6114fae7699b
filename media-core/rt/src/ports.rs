//! The pool of port pairs: opened whole at start, so that a call never waits for a port and a
//! taken one is known by name before the first call.

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use media_core::order::PortName;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::sys;

/// Every even/odd pair of a range that could be bound, each with a filter that keeps nothing.
#[derive(Debug)]
pub struct PortPool {
    pairs: Vec<Pair>,
    taken: Vec<Taken>,
}

/// Ports of one network: bound to its address, and to its interface if it has one of its own.
#[derive(Clone, Debug)]
pub struct Share {
    pub address: IpAddr,
    pub interface: Option<String>,
    pub range: RangeInclusive<u16>,
}

impl PortPool {
    /// Binds the range. A pair of which one port is taken is left out and named in
    /// [`taken`](Self::taken); fewer than the two pairs a call needs is an error.
    pub fn open(address: IpAddr, range: RangeInclusive<u16>) -> Result<Self, PortError> {
        Self::open_shares(&[Share { address, interface: None, range }])
    }

    /// The same of several networks, whose ranges have no port in common: each has its two pairs at
    /// least, or there is no pool.
    pub fn open_shares(shares: &[Share]) -> Result<Self, PortError> {
        let all: Vec<Vec<PortName>> =
            shares.iter().map(|share| pair_names(&share.range).collect()).collect();
        let pairs = all.iter().map(Vec::len).sum();
        for (Share { range, .. }, names) in shares.iter().zip(&all) {
            let (first, last) = (*range.start(), *range.end());
            if names.len() < PAIRS_MIN {
                return Err(PortError::TooSmall { first, last, pairs: names.len() });
            }
        }
        let accepted = raise_descriptor_limit();
        let first = shares.iter().map(|share| *share.range.start()).min().unwrap_or_default();
        let last = shares.iter().map(|share| *share.range.end()).max().unwrap_or_default();
        check_descriptors(first, last, pairs, accepted)?;
        let mut pool = Self { pairs: Vec::with_capacity(pairs), taken: Vec::new() };
        for (share, names) in shares.iter().zip(all) {
            let (pairs, taken) = (pool.pairs.len(), pool.taken.len());
            for name in names {
                pool.add(share, name)?;
            }
            let free = pool.pairs.len() - pairs;
            if free < PAIRS_MIN {
                let (first, last) = (*share.range.start(), *share.range.end());
                let taken = List(pool.taken.split_off(taken));
                return Err(PortError::Taken { first, last, free, taken });
            }
        }
        Ok(pool)
    }

    /// The pairs that may be used, in ascending order.
    pub fn names(&self) -> Vec<PortName> {
        self.pairs.iter().map(|pair| pair.name).collect()
    }

    /// The pairs somebody else has, for one warning.
    pub fn taken(&self) -> &[Taken] {
        &self.taken
    }

    pub(crate) fn into_pairs(self) -> Pairs {
        Pairs::new(self.pairs)
    }

    fn add(&mut self, share: &Share, name: PortName) -> Result<(), PortError> {
        let bound = bind(share, name.0).and_then(|rtp| Ok((rtp, bind(share, name.0 + 1)?)));
        match bound {
            Ok((rtp, rtcp)) => {
                let (taken, drops) = (AtomicBool::new(false), <[AtomicU32; 2]>::default());
                self.pairs.push(Pair { name, rtp, rtcp, taken, drops });
            }
            Err(Failed::Taken(port, source)) => {
                self.taken.push(Taken { port, why: source.to_string() });
            }
            Err(Failed::Socket(source)) => {
                return Err(PortError::Socket { address: share.address, source });
            }
            Err(Failed::Interface(source)) => {
                let interface = share.interface.clone().unwrap_or_default();
                return Err(PortError::Interface { interface, source });
            }
        }
        Ok(())
    }
}

/// Two sockets: RTP on the even port, RTCP on the next.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) name: PortName,
    pub(crate) rtp: Socket,
    pub(crate) rtcp: Socket,
    /// A leg of some media thread has it.
    taken: AtomicBool,
    /// How many datagrams the kernel had dropped at either when it was asked last. They go with the pair from thread
    /// to thread, and only who has it writes them.
    drops: [AtomicU32; 2],
}

impl Pair {
    /// False: somebody has it already.
    pub(crate) fn take(&self) -> bool {
        !self.taken.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn give_back(&self) {
        self.taken.store(false, Ordering::Release);
    }

    /// How many datagrams the kernel has dropped at both since this was asked last.
    pub(crate) fn newly_dropped(&self) -> u64 {
        let sockets = [&self.rtp, &self.rtcp].into_iter().zip(&self.drops);
        let new = sockets.map(|(socket, before)| {
            let Some(now) = sys::dropped(socket) else { return 0 };
            let new = now.wrapping_sub(before.load(Ordering::Relaxed));
            before.store(now, Ordering::Relaxed);
            u64::from(new)
        });
        new.sum()
    }
}

/// All pairs of the pool, found by name: of all media threads, of which each listens to its own legs'.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    pairs: Vec<Pair>,
    /// Place in `pairs` by half the distance from the first port.
    places: Vec<Option<usize>>,
    first: u16,
}

impl Pairs {
    fn new(pairs: Vec<Pair>) -> Self {
        let first = pairs.iter().map(|pair| pair.name.0).min().unwrap_or(0);
        let last = pairs.iter().map(|pair| pair.name.0).max().unwrap_or(0);
        let mut places = vec![None; usize::from((last - first) / 2) + 1];
        for (place, pair) in pairs.iter().enumerate() {
            places[usize::from((pair.name.0 - first) / 2)] = Some(place);
        }
        Self { pairs, places, first }
    }

    pub(crate) fn len(&self) -> usize {
        self.pairs.len()
    }

    pub(crate) fn get(&self, port: PortName) -> Option<&Pair> {
        self.pairs.get(self.place(port)?).filter(|pair| pair.name == port)
    }

    /// Where a pair stands among them, below [`len`](Self::len).
    pub(crate) fn place(&self, port: PortName) -> Option<usize> {
        let distance = port.0.checked_sub(self.first)?;
        *self.places.get(usize::from(distance / 2))?
    }
}

/// A port somebody else has, and what the system said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub port: u16,
    pub why: String,
}

/// Why there is no pool. Each says what would be accepted.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error(
        "media.ports {first}-{last}: {pairs} even/odd pairs, and a call of two parties takes 2; \
         write a range with at least {} ports that begins with an even one",
        2 * PAIRS_MIN
    )]
    TooSmall { first: u16, last: u16, pairs: usize },
    #[error(
        "media.ports {first}-{last}: {free} even/odd pairs are free, and a call of two parties \
         takes 2; taken are {taken}; write a range nobody else uses"
    )]
    Taken { first: u16, last: u16, free: usize, taken: List },
    #[error(
        "media.ports {first}-{last}: {needed} open files are needed and {accepted} allowed; raise \
         the hard limit (LimitNOFILE=, `ulimit -Hn`) or write a range of at most {fits} ports"
    )]
    Descriptors { first: u16, last: u16, needed: u64, accepted: u64, fits: u64 },
    #[error("media.address {address}: {source}; write an address of this host")]
    Socket { address: IpAddr, source: io::Error },
    #[error("network.interface {interface}: {source}; write one that `ip link` shows")]
    Interface { interface: String, source: io::Error },
}

/// What is taken, in a line: the first few by name and how many more.
#[derive(Debug)]
pub struct List(Vec<Taken>);

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMED: usize = 4;
        for (place, taken) in self.0.iter().take(NAMED).enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            write!(f, "{comma}{} ({})", taken.port, taken.why)?;
        }
        match self.0.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// Makes a socket keep nothing: a classic BPF program of one instruction that returns 0 bytes.
/// Bytes sent to a port at rest cost no memory and cannot be taken for the next call's.
pub(crate) fn close_ears(socket: &Socket) -> io::Result<()> {
    const BPF_RET: u16 = 0x06;
    socket.attach_filter(&[SockFilter::new(BPF_RET, 0, 0, 0)])
}

pub(crate) fn open_ears(socket: &Socket) -> io::Result<()> {
    socket.detach_filter()
}

/// One call has two parties.
const PAIRS_MIN: usize = 2;

/// What the process opens besides: signalling, HTTP, journal, libraries.
const OTHER_DESCRIPTORS: u64 = 256;

/// Some 200 datagrams of a telephone call: a flood at one port costs no more than this.
const RECEIVE_BUFFER_BYTES: usize = 128 * 1024;

/// DSCP EF (RFC 3246) in the upper six bits.
const EXPEDITED_FORWARDING: u32 = 0xB8;

fn pair_names(range: &RangeInclusive<u16>) -> impl Iterator<Item = PortName> + use<> {
    let last = *range.end();
    range.clone().filter(move |port| port % 2 == 0 && *port > 0 && *port < last).map(PortName)
}

enum Failed {
    Taken(u16, io::Error),
    Socket(io::Error),
    Interface(io::Error),
}

fn bind(Share { address, interface, .. }: &Share, port: u16) -> Result<Socket, Failed> {
    let to = SocketAddr::new(*address, port);
    let socket = Socket::new(Domain::for_address(to), Type::DGRAM, Some(Protocol::UDP))
        .and_then(|socket| prepare(socket, *address))
        .map_err(Failed::Socket)?;
    if let Some(interface) = interface {
        // Before the bind: from then on only the privileged may (Linux 5.7).
        socket.bind_device(Some(interface.as_bytes())).map_err(Failed::Interface)?;
    }
    match socket.bind(&to.into()) {
        Ok(()) => Ok(socket),
        Err(error) if belongs_to_another(&error) => Err(Failed::Taken(port, error)),
        Err(error) => Err(Failed::Socket(error)),
    }
}

fn belongs_to_another(error: &io::Error) -> bool {
    // The second for ports below 1024, which only a privileged process may have.
    error.kind() == io::ErrorKind::AddrInUse || error.kind() == io::ErrorKind::PermissionDenied
}

fn prepare(socket: Socket, address: IpAddr) -> io::Result<Socket> {
    socket.set_nonblocking(true)?;
    // Before the bind, so that there is no instant at which it hears.
    close_ears(&socket)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    // Of all of them and for good: with the first and the last socket that wants it the kernel rewrites its code.
    sys::stamp(&socket)?;
    // A network without priorities carries calls too, so a refusal is no fault.
    let _marked = if address.is_ipv4() {
        socket.set_tos_v4(EXPEDITED_FORWARDING)
    } else {
        socket.set_only_v6(true)?;
        socket.set_tclass_v6(EXPEDITED_FORWARDING)
    };
    Ok(socket)
}

/// Soft limit to hard limit. Returns how many descriptors this process may have.
fn raise_descriptor_limit() -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((0, 0));
    let raised = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    if raised.is_ok() { hard } else { soft }
}

/// Two sockets a pair; a recording has two pairs and one file.
fn check_descriptors(first: u16, last: u16, pairs: usize, accepted: u64) -> Result<(), PortError> {
    let pairs = u64::try_from(pairs).unwrap_or(u64::MAX);
    let needed = pairs * 2 + pairs / 2 + OTHER_DESCRIPTORS;
    if needed <= accepted {
        return Ok(());
    }
    let fits = accepted.saturating_sub(OTHER_DESCRIPTORS) * 2 / 5 * 2;
    Err(PortError::Descriptors { first, last, needed, accepted, fits })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// A loopback address of the test's own: nobody else's ports are in the way.
    fn own(last: u8) -> IpAddr {
        IpAddr::from([127, 77, 1, last])
    }

    #[test]
    fn every_even_odd_pair_of_the_range_is_opened_and_odd_ends_are_left_out() {
        let pool = PortPool::open(own(1), 21_001..=21_008).unwrap();

        assert_eq!(pool.names(), [PortName(21_002), PortName(21_004), PortName(21_006)]);
        assert_eq!(pool.taken(), []);
    }

    #[test]
    fn a_pair_with_a_taken_port_is_left_out_and_named() {
        let _other = UdpSocket::bind((own(2), 21_003)).unwrap();

        let pool = PortPool::open(own(2), 21_000..=21_005).unwrap();

        assert_eq!(pool.names(), [PortName(21_000), PortName(21_004)]);
        assert_eq!(pool.taken().len(), 1);
        assert_eq!(pool.taken()[0].port, 21_003);
        let again = UdpSocket::bind((own(2), 21_002));
        assert!(again.is_ok(), "the free half of a taken pair is not kept");
    }

    #[test]
    fn a_range_of_one_pair_is_refused_with_the_smallest_that_would_do() {
        let error = PortPool::open(own(3), 20_000..=20_001).unwrap_err().to_string();

        assert!(error.starts_with("media.ports 20000-20001: 1 even/odd pairs"), "{error}");
        assert!(error.contains("at least 4 ports"), "{error}");
    }

    #[test]
    fn a_range_somebody_else_has_is_refused_with_the_names_of_the_ports() {
        let _others: Vec<_> =
            [21_000, 21_003].map(|port| UdpSocket::bind((own(4), port)).unwrap()).into();

        let error = PortPool::open(own(4), 21_000..=21_005).unwrap_err().to_string();

        assert!(error.contains("1 even/odd pairs are free"), "{error}");
        assert!(error.contains("21000 (") && error.contains("21003 ("), "{error}");
    }

    #[test]
    fn each_network_has_its_ports_at_its_own_address() {
        let share = |last, range| Share { address: own(last), interface: None, range };

        let pool = PortPool::open_shares(&[share(7, 21_000..=21_003), share(8, 21_004..=21_009)]);

        let pool = pool.unwrap();
        let bound = |pair: &Pair| pair.rtp.local_addr().unwrap().as_socket().unwrap();
        let bound: Vec<SocketAddr> = pool.pairs.iter().map(bound).collect();
        let at = |last, port| SocketAddr::new(own(last), port);
        let wanted = [at(7, 21_000), at(7, 21_002), at(8, 21_004), at(8, 21_006), at(8, 21_008)];
        assert_eq!(bound, wanted);
        let pairs = pool.into_pairs();
        assert!(
            (0..5).all(|place| pairs.place(PortName(21_000 + 2 * place)) == Some(place.into()))
        );
    }

    #[test]
    fn a_network_that_has_too_few_ports_left_is_refused_with_its_own_range() {
        let _other = UdpSocket::bind((own(10), 21_004)).unwrap();
        let share = |last, range| Share { address: own(last), interface: None, range };

        let shares = [share(9, 21_000..=21_003), share(10, 21_004..=21_007)];
        let error = PortPool::open_shares(&shares).unwrap_err().to_string();

        assert!(error.starts_with("media.ports 21004-21007: 1 even/odd pairs are free"), "{error}");
    }

    #[test]
    fn an_interface_that_is_not_there_is_refused_by_name() {
        let interface = Some("nowhere0".to_owned());
        let share = Share { address: own(11), interface, range: 21_000..=21_003 };

        let error = PortPool::open_shares(&[share]).unwrap_err().to_string();

        assert!(error.starts_with("network.interface nowhere0: "), "{error}");
    }

    #[test]
    fn an_address_of_another_host_is_refused_by_name() {
        let foreign = "192.0.2.7".parse().unwrap();

        let error = PortPool::open(foreign, 21_000..=21_009).unwrap_err().to_string();

        assert!(error.starts_with("media.address 192.0.2.7: "), "{error}");
    }

    #[test]
    fn too_few_descriptors_are_refused_with_a_range_that_would_fit() {
        let error = check_descriptors(20_000, 29_999, 5_000, 4_096).unwrap_err();

        let PortError::Descriptors { needed, accepted, fits, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((needed, accepted, fits), (12_756, 4_096, 3_072));
        let pairs = usize::try_from(fits / 2).unwrap();
        assert!(check_descriptors(20_000, 23_071, pairs, accepted).is_ok());
    }

    #[test]
    fn an_idle_port_keeps_nothing_of_what_is_sent_to_it() {
        let pool = PortPool::open(own(5), 21_000..=21_003).unwrap();
        let stranger = UdpSocket::bind((own(5), 0)).unwrap();
        for port in 21_000..21_004 {
            stranger.send_to(b"is anybody there", (own(5), port)).unwrap();
        }
        // Loopback delivers in order: when this one is here the others have been judged.
        stranger.send_to(b"last", stranger.local_addr().unwrap()).unwrap();
        stranger.recv(&mut [0; 4]).unwrap();

        for pair in &pool.pairs {
            for socket in [&pair.rtp, &pair.rtcp] {
                open_ears(socket).unwrap();
                let heard = socket.recv(&mut [std::mem::MaybeUninit::uninit(); 64]);
                assert_eq!(heard.unwrap_err().kind(), io::ErrorKind::WouldBlock);
            }
        }
    }

    #[test]
    fn a_port_that_listens_hears_what_is_sent_to_it() {
        let pool = PortPool::open(own(6), 21_000..=21_003).unwrap();
        let stranger = UdpSocket::bind((own(6), 0)).unwrap();
        open_ears(&pool.pairs[0].rtp).unwrap();

        stranger.send_to(b"hello", (own(6), 21_000)).unwrap();

        let heard = pool.pairs[0].rtp.recv(&mut [std::mem::MaybeUninit::uninit(); 64]);
        assert_eq!(heard.unwrap(), 5);
    }
}
