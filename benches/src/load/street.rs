//! One socket that many telephones share: packets go out and come in by the batch, each with where it goes
//! to or comes from, and the kernel's stamp of when it came.

use nix::{
    errno::Errno,
    sys::{
        socket::{
            ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg,
            setsockopt,
            sockopt::{RcvBuf, RcvBufForce, ReceiveTimestampns},
        },
        time::TimeSpec,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{SocketAddrV4, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

/// Packets of one system call.
pub(super) const BATCH: usize = 64;
/// Room for one: the largest that is sent has 20 ms of Opus.
pub(super) const ROOM: usize = 512;
/// What waits while the generator is not on its core, a second of a thousand legs, is not lost here.
const BUFFER_BYTES: usize = 64 << 20;
/// Batches of one look: who sends faster than it can be read is looked at again in the next.
const BATCHES: usize = 16;

pub(super) struct Street {
    rtp: UdpSocket,
    /// Open so that reports find somebody; never read.
    _rtcp: UdpSocket,
    out: Out,
    incoming: MultiHeaders<SockaddrIn>,
    rooms: Vec<[u8; ROOM]>,
    came: Vec<Came>,
}

/// Packets that wait for the system call.
struct Out {
    headers: MultiHeaders<SockaddrIn>,
    rooms: Vec<[u8; ROOM]>,
    lengths: Vec<usize>,
    to: Vec<Option<SockaddrIn>>,
}

#[derive(Clone, Copy)]
struct Came {
    from: SocketAddrV4,
    at: Duration,
    length: usize,
}

impl Street {
    pub(super) fn open(address: SocketAddrV4) -> io::Result<Self> {
        let open = |port| {
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}:{port}: {error}", address.ip()))
            };
            UdpSocket::bind((*address.ip(), port)).map_err(named)
        };
        let (rtp, rtcp) = (open(address.port())?, open(address.port() + 1)?);
        setsockopt(&rtp, ReceiveTimestampns, &true)?;
        if setsockopt(&rtp, RcvBufForce, &BUFFER_BYTES).is_err() {
            // Who is not root has what the system allows.
            setsockopt(&rtp, RcvBuf, &BUFFER_BYTES)?;
        }
        Ok(Self {
            rtp,
            _rtcp: rtcp,
            out: Out {
                headers: MultiHeaders::preallocate(BATCH, None),
                rooms: vec![[0; ROOM]; BATCH],
                lengths: Vec::with_capacity(BATCH),
                to: Vec::with_capacity(BATCH),
            },
            incoming: MultiHeaders::preallocate(BATCH, Some(nix::cmsg_space!(TimeSpec))),
            rooms: vec![[0; ROOM]; BATCH],
            came: Vec::with_capacity(BATCH),
        })
    }

    /// A packet for the next [`send`](Self::send); `write` says how long it is. How many went before it
    /// because there was no more room.
    pub(super) fn post(
        &mut self,
        to: SocketAddrV4,
        write: impl FnOnce(&mut [u8; ROOM]) -> usize,
    ) -> io::Result<u64> {
        let sent = if self.out.to.len() == BATCH { self.send()? } else { 0 };
        let room = &mut self.out.rooms[self.out.to.len()];
        self.out.lengths.push(write(room));
        self.out.to.push(Some(to.into()));
        Ok(sent)
    }

    /// Sends what was posted. How many the kernel took.
    pub(super) fn send(&mut self) -> io::Result<u64> {
        let Out { headers, rooms, lengths, to } = &mut self.out;
        if to.is_empty() {
            return Ok(0);
        }
        let slices: Vec<_> = rooms
            .iter()
            .zip(&*lengths)
            .map(|(room, &length)| [IoSlice::new(&room[..length])])
            .collect();
        let sent = sendmmsg(self.rtp.as_raw_fd(), headers, &slices, &to, [], MsgFlags::empty());
        let sent = sent.map(Iterator::count);
        lengths.clear();
        to.clear();
        Ok(sent? as u64)
    }

    /// Takes what has come and never waits: where from, when, what. True: there may be more.
    pub(super) fn receive(
        &mut self,
        mut take: impl FnMut(SocketAddrV4, Duration, &mut [u8]),
    ) -> io::Result<bool> {
        for _ in 0..BATCHES {
            let count = self.receive_batch()?;
            for (came, room) in self.came.iter().zip(&mut self.rooms) {
                take(came.from, came.at, &mut room[..came.length]);
            }
            if count < BATCH {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn receive_batch(&mut self) -> io::Result<usize> {
        self.came.clear();
        let mut slices: Vec<_> =
            self.rooms.iter_mut().map(|room| [IoSliceMut::new(room)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let fd = self.rtp.as_raw_fd();
        let came = match recvmmsg(fd, &mut self.incoming, &mut slices, flags, None) {
            Ok(came) => came,
            Err(Errno::EAGAIN | Errno::ECONNREFUSED) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        for message in came {
            let from = message.address.ok_or(io::ErrorKind::InvalidData)?;
            let at = message.cmsgs()?.find_map(|said| {
                let ControlMessageOwned::ScmTimestampns(at) = said else { return None };
                Some(Duration::from(at))
            });
            self.came.push(Came {
                from: SocketAddrV4::new(from.ip(), from.port()),
                at: at.unwrap_or_default(),
                length: message.bytes.min(ROOM),
            });
        }
        Ok(self.came.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(last: u8) -> SocketAddrV4 {
        SocketAddrV4::new(Ipv4Addr::new(127, 88, 3, last), 20_000)
    }

    #[test]
    fn more_than_a_batch_goes_out_and_comes_in_whole_in_order_and_stamped() {
        let mut one = Street::open(address(1)).expect("two ports");
        let mut other = Street::open(address(2)).expect("two ports");
        let mut sent = 0;
        for n in 0..200_u8 {
            let write = |room: &mut [u8; ROOM]| {
                room[..3].fill(n);
                1 + usize::from(n) % 3
            };
            sent += one.post(address(2), write).expect("loopback");
        }
        sent += one.send().expect("loopback");

        let mut came = vec![];
        other
            .receive(|from, at, bytes| {
                assert_eq!(from, address(1));
                assert!(at > Duration::from_secs(1_000_000_000), "no stamp: {at:?}");
                came.push((bytes[0], bytes.len()));
            })
            .expect("loopback");

        assert_eq!(sent, 200);
        let wanted: Vec<_> = (0..200).map(|n| (n, 1 + usize::from(n) % 3)).collect();
        assert_eq!(came, wanted);
    }

    #[test]
    fn nothing_posted_is_nothing_sent_and_nobody_waits_for_what_has_not_come() {
        let mut street = Street::open(address(3)).expect("two ports");

        assert_eq!(street.send().expect("nothing to do"), 0);
        street.receive(|_, _, _| panic!("nobody spoke")).expect("nothing came");
    }
}
