//! The UDP listener: bound before the runtime runs, read in batches, never waited for when sending.

use sip_stack::event::Transmit;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    os::fd::AsRawFd,
    task::{Context, Poll},
};
use tokio::net::UdpSocket;

/// Bytes asked of the kernel for each direction; it gives what its limits allow. A second of a
/// thousand calls' signalling is some 8 MiB.
const BUFFER_BYTES: usize = 8 << 20;
/// The longest datagram there is (RFC 768: a 16-bit length).
const DATAGRAM_BYTES: usize = 65_535;
/// DSCP CS3 in the upper six bits (RFC 4594 §4.2, signalling).
const SIGNALLING_TOS: u32 = 24 << 2;

/// Why the listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{address}: {source}; write a free address of this host")]
pub struct BindError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// What the kernel gave and took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounts {
    /// Bytes of the receive buffer, as the kernel counts them: twice what was asked.
    pub buffer_bytes: u32,
    /// Datagrams that found it full.
    pub dropped: u32,
}

impl UdpCounts {
    /// Of two listeners: the smaller buffer, and what both have dropped.
    pub fn with(self, other: Self) -> Self {
        let one = [self.buffer_bytes, other.buffer_bytes].into_iter().filter(|bytes| *bytes > 0);
        Self {
            buffer_bytes: one.min().unwrap_or_default(),
            dropped: self.dropped.wrapping_add(other.dropped),
        }
    }
}

/// A bound listener that nobody reads yet.
#[derive(Debug)]
pub struct Bound {
    socket: std::net::UdpSocket,
    address: SocketAddr,
}

/// Binds a listener. Only this address: a wildcard must be asked for.
pub fn bind(address: SocketAddr) -> Result<Bound, BindError> {
    bind_to(address, None)
}

/// The same, hearing and speaking by this interface alone.
pub fn bind_to(address: SocketAddr, interface: Option<&str>) -> Result<Bound, BindError> {
    let fail = |source| BindError { address, source };
    let socket = open(address, interface).map_err(fail)?;
    let address = socket.local_addr().map_err(fail)?;
    Ok(Bound { socket, address })
}

fn open(address: SocketAddr, interface: Option<&str>) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    // Both are wishes: a smaller buffer or an unmarked packet still carries calls.
    for wish in [
        socket.set_recv_buffer_size(BUFFER_BYTES),
        socket.set_send_buffer_size(BUFFER_BYTES),
        mark(&socket, address.is_ipv4()),
    ] {
        if let Err(error) = wish {
            tracing::debug!(%address, %error, "a socket option was refused");
        }
    }
    // Two networks may have an address each of both families.
    if address.is_ipv6() && !address.ip().is_unspecified() {
        socket.set_only_v6(true)?;
    }
    bind_device(&socket, interface)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket.into())
}

/// Before the bind: from then on only the privileged may (Linux 5.7).
pub(crate) fn bind_device(socket: &Socket, interface: Option<&str>) -> io::Result<()> {
    match interface {
        Some(interface) => socket.bind_device(Some(interface.as_bytes())).map_err(|source| {
            io::Error::new(source.kind(), format!("interface {interface}: {source}"))
        }),
        None => Ok(()),
    }
}

pub(crate) fn mark(socket: &Socket, v4: bool) -> io::Result<()> {
    if v4 { socket.set_tos_v4(SIGNALLING_TOS) } else { socket.set_tclass_v6(SIGNALLING_TOS) }
}

impl Bound {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hands the socket to the runtime this is called in.
    pub fn listen(self) -> io::Result<Udp> {
        let sender = self.socket.try_clone()?;
        let socket = UdpSocket::from_std(self.socket)?;
        Ok(Udp { socket, sender, buffer: vec![0; DATAGRAM_BYTES] })
    }
}

/// A listener that is read.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    /// The same socket, asked directly: the runtime lets nobody send before it has seen the socket
    /// writable.
    sender: std::net::UdpSocket,
    buffer: Vec<u8>,
}

impl Udp {
    /// Until there may be something to receive.
    pub async fn readable(&self) -> io::Result<()> {
        poll_fn(|context| self.poll_readable(context)).await
    }

    /// The same for who waits for several: only the last task that asked is woken.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_recv_ready(context)
    }

    /// Gives what has come, at most `most` datagrams, and returns how many.
    pub fn receive(&mut self, most: usize, mut each: impl FnMut(SocketAddr, &[u8])) -> usize {
        for taken in 0..most {
            match self.socket.try_recv_from(&mut self.buffer) {
                Ok((bytes, from)) => each(from, &self.buffer[..bytes]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                // The far side's ICMP about something we sent earlier; its transaction's timer
                // will tell.
                Err(_) => {}
            }
        }
        most
    }

    /// What the kernel gave and took; zeros where it does not say.
    pub fn counts(&self) -> UdpCounts {
        let info = memory_info(&self.sender);
        let word = |at: i32| usize::try_from(at).ok().and_then(|at| info.get(at)).copied();
        UdpCounts {
            buffer_bytes: word(libc::SK_MEMINFO_RCVBUF).unwrap_or(0),
            dropped: word(libc::SK_MEMINFO_DROPS).unwrap_or(0),
        }
    }

    /// Sends without waiting. A full buffer or an unreachable host is an error; what matters is
    /// sent again by its transaction.
    pub fn try_send(&self, transmit: &Transmit) -> io::Result<()> {
        self.sender.send_to(&transmit.bytes, transmit.to).map(drop)
    }
}

/// `SO_MEMINFO` (Linux 4.12): nine words about the socket, zeros if the kernel does not know it.
fn memory_info(socket: &std::net::UdpSocket) -> [u32; 9] {
    let mut words = [0_u32; 9];
    let mut length = libc::socklen_t::try_from(size_of_val(&words)).unwrap_or(0);
    #[expect(unsafe_code, reason = "no crate of ours asks for this option")]
    // SAFETY: the descriptor is open as long as `socket` is borrowed, and the kernel writes at most
    // `length` bytes into `words`, which has that many.
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            words.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if failed == 0 { words } else { [0; 9] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip_stack::{NetworkId, event::Way};

    #[tokio::test]
    async fn what_finds_the_buffer_full_is_counted() {
        let (ours, theirs) = (loopback(), loopback());
        let to = ours.address();
        let (ours, theirs) = (ours.listen().unwrap(), theirs.listen().unwrap());
        let before = ours.counts();
        assert!(before.buffer_bytes > 0 && before.dropped == 0, "{before:?}");

        for _ in 0..2_000 {
            let (bytes, way) = (vec![b'x'; 32_000], Way::Datagram);
            theirs.try_send(&Transmit { to, bytes, way, network: NetworkId::FIRST }).unwrap();
        }

        assert!(ours.counts().dropped > 0, "{:?}", ours.counts());
    }

    fn loopback() -> Bound {
        bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
    }

    #[tokio::test]
    async fn datagrams_arrive_with_their_source_and_at_most_as_many_as_asked() {
        let (ours, theirs) = (loopback(), loopback());
        let (to, from) = (ours.address(), theirs.address());
        let (mut ours, theirs) = (ours.listen().unwrap(), theirs.listen().unwrap());
        for text in ["one", "two", "three"] {
            let way = Way::Datagram;
            theirs
                .try_send(&Transmit { to, bytes: text.into(), way, network: NetworkId::FIRST })
                .unwrap();
        }

        let mut heard = Vec::new();
        ours.readable().await.unwrap();
        ours.receive(2, |from, bytes| heard.push((from, bytes.to_vec())));
        assert_eq!(heard, [(from, b"one".to_vec()), (from, b"two".to_vec())]);
        ours.receive(9, |from, bytes| heard.push((from, bytes.to_vec())));
        assert_eq!(heard.len(), 3);
    }

    #[test]
    fn an_interface_that_is_not_there_is_named() {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));

        let refused = bind_to(address, Some("nowhere0")).unwrap_err().to_string();

        assert!(refused.contains("interface nowhere0: "), "{refused}");
    }

    #[test]
    fn a_taken_address_is_named() {
        let first = loopback();

        let refused = bind(first.address()).unwrap_err().to_string();

        assert!(refused.starts_with(&first.address().to_string()), "{refused}");
        assert!(refused.contains("free address"), "{refused}");
    }
}
