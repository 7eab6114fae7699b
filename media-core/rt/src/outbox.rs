//! Packets on their way out, in runs.

use std::{net::SocketAddr, os::fd::AsFd, time::Instant};

use socket2::Socket;

use crate::{
    counters::MediaCount,
    socket::{Name, Sockets},
    sys::{DATAGRAM_BYTES, Parcel, SEND_BATCH, send_many},
};

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
    use crate::socket::tests::{PORT, sockets};
    use media_core::engine::Channel;
    use media_core::order::PortName;

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
