//! Bare relays: what the kernel alone asks for moving packets between two sockets. No signalling,
//! no RTP, no counters: the floor a media plane stands on.

use crate::{clock, cpu::Thread};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// When a bare relay looks at its sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wakes {
    /// The kernel wakes it when something has come.
    PerPacket,
    /// It looks every millisecond.
    PerMillisecond,
}

/// One thread, a socket for each leg, epoll. Dropping it stops it.
#[derive(Debug)]
pub struct Floor {
    targets: Vec<SocketAddr>,
    thread: Thread,
    stop: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

impl Floor {
    /// Relays between the first and the second, the third and the fourth, and so on.
    pub fn start(address: IpAddr, parties: &[SocketAddr], wakes: Wakes) -> io::Result<Self> {
        let relay = Relay::new(address, parties)?;
        let targets = relay.sockets.iter().map(UdpSocket::local_addr).collect::<io::Result<_>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, (say, heard)) = (stop.clone(), mpsc::channel());
        let handle = thread::Builder::new().name("floor".to_owned()).spawn(move || {
            // Nobody listens only if this bench has failed already.
            _ = say.send(Thread::this());
            relay.run(wakes, &stopped);
        })?;
        let thread = heard.recv().map_err(io::Error::other)?;
        Ok(Self { targets, thread, stop, handle: Some(handle) })
    }

    /// Where each party speaks to.
    pub fn targets(&self) -> &[SocketAddr] {
        &self.targets
    }

    pub fn thread(&self) -> Thread {
        self.thread
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(handle) = self.handle.take() {
            // A panic of it has been printed.
            drop(handle.join());
        }
    }
}

struct Relay {
    sockets: Vec<UdpSocket>,
    parties: Vec<SocketAddr>,
    epoll: Epoll,
}

impl Relay {
    fn new(address: IpAddr, parties: &[SocketAddr]) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut sockets = Vec::with_capacity(parties.len());
        for place in 0..parties.len() {
            let socket = UdpSocket::bind((address, 0))?;
            socket.set_nonblocking(true)?;
            epoll.add(&socket, EpollEvent::new(EpollFlags::EPOLLIN, place as u64))?;
            sockets.push(socket);
        }
        Ok(Self { sockets, parties: parties.to_vec(), epoll })
    }

    fn run(&self, wakes: Wakes, stop: &AtomicBool) {
        let mut ready = vec![EpollEvent::empty(); self.sockets.len()];
        let mut deadline = clock::now();
        while !stop.load(Ordering::Acquire) {
            let timeout = match wakes {
                Wakes::PerPacket => EpollTimeout::from(100_u8),
                Wakes::PerMillisecond => {
                    // After a stall the grid begins anew, so that it is not followed by a burst.
                    deadline = (deadline + TICK).max(clock::now().saturating_sub(TICK));
                    clock::wait_until(deadline);
                    EpollTimeout::ZERO
                }
            };
            let count = self.epoll.wait(&mut ready, timeout).unwrap_or(0);
            for event in &ready[..count] {
                self.pass_on(usize::try_from(event.data()).unwrap_or(usize::MAX));
            }
        }
    }

    /// One packet, out by the other socket of the pair. Another one is told by the next look.
    fn pass_on(&self, place: usize) {
        let mut packet = [0; 2_048];
        let other = place ^ 1;
        let (Some(from), Some(by)) = (self.sockets.get(place), self.sockets.get(other)) else {
            return;
        };
        if let Ok((length, _)) = from.recv_from(&mut packet) {
            // What the kernel does not take is missing from what is heard.
            _ = by.send_to(&packet[..length], self.parties[other]);
        }
    }
}

const TICK: Duration = Duration::from_millis(1);
