//! The system calls that neither `nix` nor `socket2` offers without allocating: datagrams in
//! batches, and a thread's real-time priority. All `unsafe` of this crate is here.
#![expect(unsafe_code, reason = "recvmmsg, sendmmsg and sched_setscheduler are C interfaces")]

use std::{
    hint::black_box,
    io, iter, mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    os::fd::{AsRawFd, BorrowedFd},
    ptr,
    time::Duration,
};

use nix::{
    getsockopt_impl,
    sys::socket::{
        GetSockOpt, setsockopt,
        sockopt::{GetStruct, ReceiveTimestampns},
    },
};
use socket2::{SockAddr, Socket};

/// Datagrams taken from one socket by one call.
pub(crate) const BATCH: usize = 64;

/// Longer datagrams are cut by the kernel, and dropped by us: no RTP packet of a telephone call
/// comes near.
pub(crate) const DATAGRAM_BYTES: usize = 2048;

/// Room for one batch of datagrams that came in, taken once.
pub(crate) struct Inbox {
    bodies: Box<[[u8; DATAGRAM_BYTES]]>,
    names: Box<[libc::sockaddr_storage]>,
    pieces: Box<[libc::iovec]>,
    stamps: Box<[Stamp]>,
    headers: Box<[libc::mmsghdr]>,
    count: usize,
}

// SAFETY: the raw pointers in `pieces` and `headers` point only into the other boxes of this value
// (or are null), which move with it, and are written anew before every use.
unsafe impl Send for Inbox {}

impl Inbox {
    pub(crate) fn new() -> Self {
        // SAFETY: all three are plain C structures of integers and pointers, for which all bits
        // zero is a value.
        let (name, piece, header) = unsafe { (mem::zeroed(), mem::zeroed(), mem::zeroed()) };
        let mut bodies = vec![[0; DATAGRAM_BYTES]; BATCH];
        // Zeroes cost no page until somebody writes to it.
        black_box(&mut bodies).iter_mut().for_each(|body| body.fill(0));
        Self {
            bodies: bodies.into(),
            names: vec![name; BATCH].into(),
            pieces: vec![piece; BATCH].into(),
            stamps: vec![Stamp([0; STAMP_BYTES]); BATCH].into(),
            headers: iter::repeat_n(header, BATCH).collect(),
            count: 0,
        }
    }

    /// Takes what the socket has, up to `most` datagrams and [`BATCH`], and never waits. The count is
    /// also how many [`datagrams`](Self::datagrams) will give.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        self.receive_with(socket, most, false)
    }

    /// As [`receive`](Self::receive), and each datagram says when it came, if its socket was told to ([`stamp`]).
    pub(crate) fn receive_stamped(
        &mut self,
        socket: BorrowedFd<'_>,
        most: usize,
    ) -> io::Result<usize> {
        self.receive_with(socket, most, true)
    }

    fn receive_with(
        &mut self,
        socket: BorrowedFd<'_>,
        most: usize,
        stamped: bool,
    ) -> io::Result<usize> {
        self.count = 0;
        let most = most.min(BATCH);
        self.aim(most, stamped);
        let (headers, length) = (self.headers.as_mut_ptr(), small(most));
        // SAFETY: `headers` has BATCH elements, and `aim` has just pointed the first `most` at a buffer, an address
        // and room for a stamp of this value with their true lengths; nothing else uses them during the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers,
                length,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        // Negative means that it failed.
        self.count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(self.count)
    }

    /// What the last [`receive`](Self::receive) took.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> {
        (0..self.count).map(|place| self.datagram(place))
    }

    fn datagram(&self, place: usize) -> Datagram<'_> {
        let header = &self.headers[place];
        let length = usize::try_from(header.msg_len).unwrap_or(DATAGRAM_BYTES);
        Datagram {
            from: socket_addr(&self.names[place]),
            bytes: &self.bodies[place][..length.min(DATAGRAM_BYTES)],
            cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            came: came(&header.msg_hdr),
        }
    }

    /// Points the first headers at their buffers and addresses.
    fn aim(&mut self, most: usize, stamped: bool) {
        let rooms = self.bodies.iter_mut().zip(&mut self.names).zip(&mut self.pieces);
        let rooms = rooms.zip(&mut self.stamps);
        for ((((body, name), piece), stamp), header) in rooms.zip(&mut self.headers).take(most) {
            piece.iov_base = body.as_mut_ptr().cast();
            piece.iov_len = DATAGRAM_BYTES;
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = length_of::<libc::sockaddr_storage>();
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
            let (stamp, room) = match stamped {
                true => (stamp.0.as_mut_ptr().cast(), STAMP_BYTES),
                false => (ptr::null_mut(), 0),
            };
            header.msg_hdr.msg_control = stamp;
            header.msg_hdr.msg_controllen = room as _;
        }
    }
}

/// Room for a control message that says when a datagram came, aligned as one is.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Stamp([u8; STAMP_BYTES]);

/// A control message of a `timespec` takes 32.
const STAMP_BYTES: usize = 64;

/// When a datagram came, since 1970, as the kernel wrote behind it.
fn came(header: &libc::msghdr) -> Option<Duration> {
    // SAFETY: `msg_control` is null or points at the room that `aim` gave and `msg_controllen` is how much of it the
    // kernel wrote: control messages with their true lengths. That room is aligned as a `cmsghdr` is.
    let message = unsafe { libc::CMSG_FIRSTHDR(header).as_ref() }?;
    let wanted = (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS);
    if (message.cmsg_level, message.cmsg_type) != wanted {
        return None;
    }
    // SAFETY: behind a message of this type lies a `timespec`, which may be read from anywhere.
    let at = unsafe { libc::CMSG_DATA(message).cast::<libc::timespec>().read_unaligned() };
    Some(Duration::new(u64::try_from(at.tv_sec).ok()?, u32::try_from(at.tv_nsec).ok()?))
}

/// From now on the kernel keeps when each datagram came.
pub(crate) fn stamp(socket: &Socket) -> io::Result<()> {
    Ok(setsockopt(socket, ReceiveTimestampns, &true)?)
}

/// One datagram that came in.
pub(crate) struct Datagram<'a> {
    /// None if the kernel named no internet address.
    pub(crate) from: Option<SocketAddr>,
    pub(crate) bytes: &'a [u8],
    /// It was longer than [`DATAGRAM_BYTES`].
    pub(crate) cut: bool,
    /// By the system's clock, since 1970. None: nobody asked.
    pub(crate) came: Option<Duration>,
}

/// Datagrams one call sends.
pub(crate) const SEND_BATCH: usize = 16;

/// One datagram to send.
pub(crate) struct Parcel {
    pub(crate) to: SockAddr,
    /// How much of `body` it is; never more than all.
    pub(crate) length: usize,
    pub(crate) body: [u8; DATAGRAM_BYTES],
}

impl Parcel {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.body[..self.length.min(DATAGRAM_BYTES)]
    }
}

/// Sends these datagrams by one call and never waits. Returns how many the kernel took, which may
/// be fewer; an error is the first one's.
pub(crate) fn send_many(socket: BorrowedFd<'_>, run: &[Parcel]) -> io::Result<usize> {
    // SAFETY: plain C structures of integers and pointers, for which all bits zero is a value.
    let mut pieces: [libc::iovec; SEND_BATCH] = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; SEND_BATCH] = unsafe { mem::zeroed() };
    let count = run.len().min(SEND_BATCH);
    for (parcel, (piece, header)) in run.iter().zip(pieces.iter_mut().zip(&mut headers)) {
        piece.iov_base = parcel.bytes().as_ptr().cast_mut().cast();
        piece.iov_len = parcel.bytes().len();
        header.msg_hdr.msg_name = parcel.to.as_ptr().cast_mut().cast();
        header.msg_hdr.msg_namelen = parcel.to.len();
        header.msg_hdr.msg_iov = piece;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers point at addresses and bytes that `run` borrows for longer
    // than this call, with their true lengths; the kernel only reads them.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            small(count),
            libc::MSG_DONTWAIT as _,
        )
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// How many datagrams the kernel has dropped at this socket since it was made, modulo 2^32: those that found its buffer
/// full, those a filter kept out, and those whose checksum was wrong. None: it does not say (before Linux 4.12).
pub(crate) fn dropped(socket: &Socket) -> Option<u32> {
    let words = MemoryInfo.get(socket).ok()?;
    words.get(usize::try_from(libc::SK_MEMINFO_DROPS).ok()?).copied()
}

/// Nine words about a socket, which `nix` has no name for. It takes no lock of the socket's.
#[derive(Clone, Copy)]
struct MemoryInfo;

getsockopt_impl!(MemoryInfo, libc::SOL_SOCKET, libc::SO_MEMINFO, [u32; 9], GetStruct<[u32; 9]>);

/// Puts the calling thread under SCHED_FIFO.
pub(crate) fn be_real_time(priority: i32) -> io::Result<()> {
    // SAFETY: a plain C structure of integers, for which all bits zero is a value.
    let mut wish: libc::sched_param = unsafe { mem::zeroed() };
    wish.sched_priority = priority;
    // SAFETY: 0 names the calling thread; `wish` lives for the call and is only read.
    let done = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &wish) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn socket_addr(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the storage is large and aligned enough for the address of any family, and
            // its family says which one the kernel wrote.
            let v4 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let v6 = unsafe { &*ptr::from_ref(name).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            let port = u16::from_be(v6.sin6_port);
            Some(SocketAddrV6::new(ip, port, v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn length_of<T>() -> libc::socklen_t {
    small(size_of::<T>())
}

fn small(count: usize) -> u32 {
    u32::try_from(count).expect("batches and addresses are shorter than 4 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::UdpSocket, os::fd::AsFd};

    fn pair() -> (UdpSocket, UdpSocket) {
        let [a, b] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        (a, b)
    }

    #[test]
    fn a_batch_gives_every_datagram_whole_and_in_order_with_its_sender() {
        let (from, to) = pair();
        let mut inbox = Inbox::new();
        for length in 0..100_usize {
            from.send_to(&vec![7; length], to.local_addr().unwrap()).unwrap();
        }

        let mut lengths = vec![];
        while inbox.receive(to.as_fd(), BATCH).is_ok() {
            for datagram in inbox.datagrams() {
                assert_eq!(datagram.from, Some(from.local_addr().unwrap()));
                assert!(!datagram.cut && datagram.bytes.iter().all(|&byte| byte == 7));
                lengths.push(datagram.bytes.len());
            }
        }

        assert_eq!(lengths, (0..100).collect::<Vec<_>>());
        assert_eq!(inbox.datagrams().count(), 0, "nothing is left of an earlier batch");
    }

    #[test]
    fn a_datagram_says_when_it_came_to_a_socket_that_was_told_to_and_to_no_other() {
        let real = || std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        let (from, to) = pair();
        let mut inbox = Inbox::new();
        let mut came = |to: &Socket, stamped: bool| {
            let before = real();
            from.send_to(&[7; 100], to.local_addr().unwrap().as_socket().unwrap()).unwrap();
            let after = real();
            let count = match stamped {
                true => inbox.receive_stamped(to.as_fd(), BATCH),
                false => inbox.receive(to.as_fd(), BATCH),
            };
            assert_eq!(count.unwrap(), 1);
            let datagram = inbox.datagrams().next().unwrap();
            assert_eq!((datagram.bytes, datagram.cut), ([7; 100].as_slice(), false));
            datagram.came.map(|came| before <= came && came <= after)
        };
        let to = Socket::from(to);
        assert_eq!(came(&to, true), None);

        stamp(&to).unwrap();

        assert_eq!(came(&to, true), Some(true));
        assert_eq!(came(&to, false), None, "nobody asked");
        assert_eq!(came(&to, true), Some(true));
    }

    #[test]
    fn a_datagram_longer_than_the_room_says_that_it_was_cut() {
        let (from, to) = pair();
        let mut inbox = Inbox::new();
        from.send_to(&[1; DATAGRAM_BYTES + 1], to.local_addr().unwrap()).unwrap();
        from.send_to(&[2; DATAGRAM_BYTES], to.local_addr().unwrap()).unwrap();

        inbox.receive(to.as_fd(), BATCH).unwrap();

        let cut: Vec<bool> = inbox.datagrams().map(|datagram| datagram.cut).collect();
        assert_eq!(cut, [true, false]);
    }

    #[test]
    fn addresses_of_version_six_come_through() {
        let Ok(to) = UdpSocket::bind("[::1]:0") else {
            return; // A machine without IPv6 has none to read.
        };
        let from = UdpSocket::bind("[::1]:0").unwrap();
        from.send_to(b"x", to.local_addr().unwrap()).unwrap();
        let mut inbox = Inbox::new();

        inbox.receive(to.as_fd(), BATCH).unwrap();

        let senders: Vec<_> = inbox.datagrams().map(|datagram| datagram.from).collect();
        assert_eq!(senders, [Some(from.local_addr().unwrap())]);
    }

    #[test]
    fn many_datagrams_to_several_places_leave_by_one_call() {
        let (from, a) = pair();
        let b = UdpSocket::bind("127.0.0.1:0").unwrap();
        let parcel = |socket: &UdpSocket, text: &[u8]| {
            let mut body = [0; DATAGRAM_BYTES];
            body[..text.len()].copy_from_slice(text);
            Parcel { to: socket.local_addr().unwrap().into(), length: text.len(), body }
        };

        let run = [parcel(&a, b"one"), parcel(&b, b"two"), parcel(&a, b"three")];
        assert_eq!(send_many(from.as_fd(), &run).unwrap(), 3);

        let mut inbox = Inbox::new();
        inbox.receive(a.as_fd(), BATCH).unwrap();
        let heard: Vec<_> = inbox.datagrams().map(|datagram| datagram.bytes.to_vec()).collect();
        assert_eq!(heard, [b"one".to_vec(), b"three".to_vec()]);
        inbox.receive(b.as_fd(), BATCH).unwrap();
        assert_eq!(inbox.datagrams().count(), 1);
    }
}
