//! Telephones without a call: each speaks on a socket of its own, every 20 ms at its own phase,
//! and counts what it hears.

use crate::{clock, cpu::Thread};
use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
    time::Duration,
};

/// One packet of G.711: 12 bytes of header, 20 ms of audio.
pub const PACKET_BYTES: usize = 172;

/// How often each speaks.
const FRAME: Duration = Duration::from_millis(20);

/// All of them, served by one thread.
#[derive(Debug)]
pub struct Callers {
    callers: Vec<Caller>,
    /// Takes the reports that media planes send, and nobody reads it.
    reports: UdpSocket,
    heard: u64,
    said: u64,
}

#[derive(Debug)]
struct Caller {
    socket: UdpSocket,
    /// Where it speaks to.
    to: SocketAddr,
    packet: [u8; PACKET_BYTES],
    sequence: u16,
    timestamp: u32,
}

/// What happened in a span of time.
#[derive(Clone, Debug)]
pub struct Measured {
    /// CPU time of each thread that was watched.
    pub cpu: Vec<Duration>,
    pub said: u64,
    pub heard: u64,
}

impl Callers {
    pub fn new(address: IpAddr, count: u16) -> io::Result<Self> {
        let callers = (0..count).map(|number| Caller::new(address, number));
        let reports = UdpSocket::bind((address, 0))?;
        Ok(Self { callers: callers.collect::<io::Result<_>>()?, reports, heard: 0, said: 0 })
    }

    pub fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        self.callers.iter().map(|caller| caller.socket.local_addr()).collect()
    }

    /// Where reports about any of them may be sent.
    pub fn reports_to(&self) -> io::Result<SocketAddr> {
        self.reports.local_addr()
    }

    /// Tells each where it speaks to.
    pub fn aim(&mut self, targets: &[SocketAddr]) {
        for (caller, target) in self.callers.iter_mut().zip(targets) {
            caller.to = *target;
        }
    }

    /// All speak and listen for so long, while these threads are watched.
    pub fn talk(&mut self, span: Duration, watched: &[Thread]) -> Measured {
        let read_cpu = || watched.iter().map(|thread| thread.cpu()).collect::<Vec<_>>();
        let (before, said, heard) = (read_cpu(), self.said, self.heard);
        self.talk_until(clock::now() + span);
        let used = read_cpu().into_iter().zip(before).map(|(after, before)| after - before);
        Measured { cpu: used.collect(), said: self.said - said, heard: self.heard - heard }
    }

    fn talk_until(&mut self, end: Duration) {
        let gap = FRAME / u32::try_from(self.callers.len().max(1)).unwrap_or(u32::MAX);
        let mut due = clock::now();
        while due < end {
            for caller in &mut self.callers {
                clock::wait_until(due);
                self.said += u64::from(caller.speak());
                // After its own packet and never woken by one: nobody who sends here pays for it.
                self.heard += caller.listen();
                due += gap;
            }
        }
    }
}

impl Caller {
    fn new(address: IpAddr, number: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind((address, 0))?;
        socket.set_nonblocking(true)?;
        let mut packet = [0xD5; PACKET_BYTES];
        packet[..12].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet[10..12].copy_from_slice(&number.to_be_bytes());
        let nowhere = SocketAddr::new(address, 9);
        Ok(Self { socket, to: nowhere, packet, sequence: 0, timestamp: 0 })
    }

    fn speak(&mut self) -> bool {
        self.packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        self.packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        self.socket.send_to(&self.packet, self.to).is_ok()
    }

    fn listen(&self) -> u64 {
        let mut packet = [0; 2 * PACKET_BYTES];
        let mut heard = 0;
        while self.socket.recv(&mut packet).is_ok() {
            heard += 1;
        }
        heard
    }
}
