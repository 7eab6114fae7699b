//! Symmetric RTP (RFC 4961), guarded: which source is a leg's own, and where we send.
//!
//! The address of the SDP is heard at once. Behind a NAT the stream comes from another port or
//! host: it is learned only from the host of the SDP or of the signalling, only within a window,
//! only after three packets in order, and not while the SDP's own address speaks. From then on nobody else is heard.

use super::header::Header;
use crate::order::Remote;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// What a source may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is heard.
    Own,
    /// It may become the leg's own; not heard yet.
    Learning,
    /// The leg's source is another one.
    Locked,
    /// It has no part in this call.
    Stranger,
}

/// Which source one leg listens to.
#[derive(Clone, Copy, Debug)]
pub struct Latch {
    remote: Remote,
    learn_until: Instant,
    exact: Option<Run>,
    learned: Option<Run>,
    locked: Option<SocketAddr>,
}

impl Latch {
    pub fn new(remote: Remote, now: Instant) -> Self {
        let learn_until = now + LEARNING;
        Self { remote, learn_until, exact: None, learned: None, locked: None }
    }

    /// The far side was connected anew and did not move. Who has not proved itself may do so now: an
    /// answer after minutes of early media is the moment at which many first speak.
    pub fn renew(&mut self, now: Instant) {
        if self.locked.is_none() {
            self.learn_until = now + LEARNING;
        }
    }

    /// What the SDP and the signalling said.
    pub const fn remote(&self) -> &Remote {
        &self.remote
    }

    /// It comes from a host that has any part in this call.
    pub fn is_near(&self, from: SocketAddr) -> bool {
        let Remote { rtp, rtcp, signalling } = self.remote;
        let locked = self.locked.is_some_and(|locked| locked.ip() == from.ip());
        locked || [rtp.ip(), rtcp.ip(), signalling].contains(&from.ip())
    }

    /// Judges a packet that can be read. `plausible`: its payload type was agreed.
    pub fn judge(
        &mut self,
        from: SocketAddr,
        header: &Header,
        plausible: bool,
        now: Instant,
    ) -> Verdict {
        if self.locked.is_some_and(|locked| locked == from) {
            return Verdict::Own;
        }
        if from == self.remote.rtp {
            return self.judge_exact(from, header, plausible, now);
        }
        // A single datagram under that name is not somebody who speaks.
        let exact_speaks =
            self.exact.is_some_and(|run| now.saturating_duration_since(run.heard) < SILENT);
        if self.locked.is_some() || exact_speaks {
            return Verdict::Locked;
        }
        let known = from.ip() == self.remote.rtp.ip() || from.ip() == self.remote.signalling;
        if !known || !plausible || now > self.learn_until {
            return Verdict::Stranger;
        }
        if Run::proves(&mut self.learned, from, header, now) {
            self.locked = Some(from);
            return Verdict::Own;
        }
        Verdict::Learning
    }

    /// Where audio goes: to the source that proved itself, until then to the SDP's address.
    pub fn rtp(&self) -> SocketAddr {
        self.locked.unwrap_or(self.remote.rtp)
    }

    /// Where reports go: beside a learned source, else to the SDP's address.
    pub fn rtcp(&self) -> SocketAddr {
        match self.locked {
            Some(learned) if learned != self.remote.rtp => {
                SocketAddr::new(learned.ip(), learned.port().saturating_add(1))
            }
            Some(_) | None => self.remote.rtcp,
        }
    }

    /// Reports are believed from the host of the leg's own source only.
    pub fn believes_report(&self, from: SocketAddr) -> bool {
        from == self.remote.rtcp || from.ip() == self.rtp().ip()
    }

    /// The SDP's own address wins within the window, even over a source that was quicker: a
    /// stranger on the same host must not take a call by hurrying.
    fn judge_exact(
        &mut self,
        from: SocketAddr,
        header: &Header,
        plausible: bool,
        now: Instant,
    ) -> Verdict {
        if self.locked.is_some() && now > self.learn_until {
            return Verdict::Locked;
        }
        if plausible && Run::proves(&mut self.exact, from, header, now) {
            self.locked = Some(from);
        }
        if self.locked.is_some_and(|locked| locked != from) {
            return Verdict::Locked;
        }
        Verdict::Own
    }
}

/// Packets in order, of one SSRC, from one source.
#[derive(Clone, Copy, Debug)]
struct Run {
    from: SocketAddr,
    ssrc: u32,
    next: u16,
    length: u8,
    /// When the last of them came.
    heard: Instant,
}

impl Run {
    /// Takes a packet in; true once [`PROOF`] have come in a row.
    fn proves(run: &mut Option<Self>, from: SocketAddr, header: &Header, now: Instant) -> bool {
        let before = run
            .filter(|run| run.from == from && run.ssrc == header.ssrc)
            .filter(|run| run.next == header.sequence)
            .map_or(0, |run| run.length);
        let length = before.saturating_add(1);
        let next = header.sequence.wrapping_add(1);
        *run = Some(Self { from, ssrc: header.ssrc, next, length, heard: now });
        length >= PROOF
    }
}

/// How long after an answer a source may still be learned.
const LEARNING: Duration = Duration::from_secs(5);

/// Who has said nothing for so long does not speak: longer than most pauses of who sends none of them, and short enough for
/// another to be learned within the window.
const SILENT: Duration = Duration::from_secs(1);

/// Packets in order that make a source the leg's own.
const PROOF: u8 = 3;

#[cfg(test)]
mod tests {
    use super::{Verdict::*, *};

    const SDP: &str = "192.0.2.1:4000";
    const NAT: &str = "198.51.100.7:61000";

    struct Bench {
        latch: Latch,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            let now = Instant::now();
            let remote = Remote {
                rtp: SDP.parse().unwrap(),
                rtcp: "192.0.2.1:4001".parse().unwrap(),
                signalling: "198.51.100.7".parse().unwrap(),
            };
            Self { latch: Latch::new(remote, now), now }
        }

        fn hear(&mut self, from: &str, ssrc: u32, sequence: u16) -> Verdict {
            let header = Header { marker: false, payload_type: 0, sequence, timestamp: 0, ssrc };
            self.latch.judge(from.parse().unwrap(), &header, true, self.now)
        }
    }

    #[test]
    fn the_address_of_the_sdp_is_heard_at_once_and_locks_after_three() {
        let mut bench = Bench::new();

        assert_eq!([1, 2, 3].map(|n| bench.hear(SDP, 1, n)), [Own; 3]);
        assert_eq!([1, 2, 3].map(|n| bench.hear(NAT, 1, n)), [Locked; 3]);
        assert_eq!(bench.latch.rtp().to_string(), SDP);
        assert_eq!(bench.latch.rtcp().to_string(), "192.0.2.1:4001");
    }

    #[test]
    fn the_host_of_the_signalling_is_learned_after_three_in_order() {
        let mut bench = Bench::new();

        assert_eq!([5, 7, 8].map(|n| bench.hear(NAT, 1, n)), [Learning; 3]);
        assert_eq!(bench.latch.rtp().to_string(), SDP);
        assert_eq!(bench.hear(NAT, 1, 9), Own);
        assert_eq!(bench.latch.rtp().to_string(), NAT);
        assert_eq!(bench.latch.rtcp().to_string(), "198.51.100.7:61001");
    }

    #[test]
    fn a_change_of_ssrc_begins_the_proof_anew() {
        let mut bench = Bench::new();

        for (ssrc, n) in [(1, 1), (1, 2), (2, 3), (2, 4)] {
            assert_eq!(bench.hear(NAT, ssrc, n), Learning);
        }
        assert_eq!(bench.hear(NAT, 2, 5), Own);
    }

    #[test]
    fn a_stranger_is_never_learned() {
        let mut bench = Bench::new();

        for n in 0..50 {
            assert_eq!(bench.hear("203.0.113.9:4000", 1, n), Stranger);
        }
        assert_eq!(bench.latch.rtp().to_string(), SDP);
    }

    #[test]
    fn nothing_is_learned_after_the_window_but_the_sdp_is_still_heard() {
        let mut bench = Bench::new();
        bench.now += Duration::from_millis(5_001);

        assert_eq!([1, 2, 3].map(|n| bench.hear(NAT, 1, n)), [Stranger; 3]);
        assert_eq!(bench.hear(SDP, 1, 1), Own);
    }

    #[test]
    fn the_sdp_takes_the_leg_back_from_a_quicker_source_within_the_window_only() {
        let mut bench = Bench::new();
        assert_eq!([1, 2, 3].map(|n| bench.hear("192.0.2.1:9999", 6, n))[2], Own);

        assert_eq!([1, 2, 3].map(|n| bench.hear(SDP, 1, n)), [Locked, Locked, Own]);
        assert_eq!(bench.hear("192.0.2.1:9999", 6, 4), Locked);

        let mut late = Bench::new();
        assert_eq!([1, 2, 3].map(|n| late.hear(NAT, 6, n))[2], Own);
        late.now += Duration::from_secs(6);
        assert_eq!([1, 2, 3, 4].map(|n| late.hear(SDP, 1, n)), [Locked; 4]);
    }

    #[test]
    fn one_datagram_under_the_sdps_address_does_not_keep_out_who_speaks() {
        let mut bench = Bench::new();
        assert_eq!(bench.hear(SDP, 9, 700), Own);
        assert_eq!([1, 2, 3].map(|n| bench.hear(NAT, 1, n)), [Locked; 3], "it may be who speaks");

        bench.now += Duration::from_millis(1_001);
        assert_eq!([4, 5, 6].map(|n| bench.hear(NAT, 1, n)), [Learning, Learning, Own]);
        assert_eq!(bench.latch.rtp().to_string(), NAT);
    }

    #[test]
    fn an_implausible_packet_proves_nothing() {
        let mut bench = Bench::new();
        for sequence in 0..10 {
            let header =
                Header { marker: false, payload_type: 99, sequence, timestamp: 0, ssrc: 1 };
            let verdict = bench.latch.judge(NAT.parse().unwrap(), &header, false, bench.now);
            assert_eq!(verdict, Stranger);
        }
    }

    #[test]
    fn reports_are_believed_from_the_host_of_the_own_source_only() {
        let mut bench = Bench::new();
        let believes =
            |bench: &Bench, from: &str| bench.latch.believes_report(from.parse().unwrap());

        assert!(believes(&bench, "192.0.2.1:4001"));
        assert!(!believes(&bench, "198.51.100.7:61001"));
        assert_eq!([1, 2, 3].map(|n| bench.hear(NAT, 1, n))[2], Own);
        assert!(believes(&bench, "198.51.100.7:61001"));
        assert!(!believes(&bench, "203.0.113.9:4001"));
    }
}
