//! Anything at all on the ports of a talk, in every coding: packets, reports, orders and time in any order.
//!
//! The first byte says who speaks what; then each step is an operation byte and what it needs. So a fuzzer finds
//! streams, not only packets.

use media_core::{
    coder::Command,
    engine::{Channel, Engine, EngineConfig, Out},
    frame::Rate,
    music::Tune,
    order::{
        Codec, Coding, Law, LegName, Opus, Order, PortName, RecordFrame, Remote, Role, Source,
        Stream, TalkName, TuneId,
    },
    rtp::header::{Header, Packet},
};
use std::{
    net::SocketAddr,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

/// Every way to speak: the payload type is 96 and the place in this list.
const CODINGS: [(Coding, u8); 7] = [
    (Coding::G711(Law::A), 20),
    (Coding::G711(Law::Mu), 30),
    (Coding::G722, 20),
    (Coding::L16(Rate::Hz16000), 40),
    (Coding::Opus(opus(Rate::Hz16000, true)), 20),
    (Coding::Opus(opus(Rate::Hz8000, false)), 60),
    (Coding::Opus(opus(Rate::Hz48000, true)), 10),
];

const fn opus(rate: Rate, fec: bool) -> Opus {
    Opus { rate, bitrate: 24_000, fec, dtx: !fec, complexity: 0 }
}

/// Parties of the talk; the third has joined it.
const PARTIES: u16 = 3;
const TALK: TalkName = TalkName(1);
const STEPS_MAX: usize = 2_000;

static TUNE: LazyLock<Arc<Tune>> = LazyLock::new(|| Arc::new(Tune::test_tone()));

/// What left: each port's stream must be one stream.
#[derive(Default)]
struct Streams {
    next: [Option<u16>; PARTIES as usize],
    recorded: u64,
}

impl Out for Streams {
    fn send(&mut self, port: PortName, channel: Channel, _: SocketAddr, bytes: &[u8]) {
        if channel == Channel::Rtcp {
            return;
        }
        let Packet { header, .. } = Packet::parse(bytes).expect("we send no broken packet");
        let party = (port.0 - 20_000) / 2;
        assert_eq!(header.ssrc, 100 + u32::from(party), "one name for the whole call");
        if let Some(next) = self.next.get_mut(usize::from(party)) {
            assert!(next.is_none_or(|next| next == header.sequence), "no number is left out");
            *next = Some(header.sequence.wrapping_add(1));
        }
    }

    fn record(&mut self, _: &RecordFrame) -> bool {
        self.recorded += 1;
        true
    }
}

struct Talk {
    engine: Engine,
    now: Instant,
    out: Streams,
}

/// A talk of three, and what is done to it.
///
/// # Panics
/// Where a stream of ours breaks, or something is left over when all have gone.
pub fn talk(bytes: &[u8]) {
    let Some((&who, steps)) = bytes.split_first() else { return };
    let mut talk = Talk::new(who);
    let mut rest = steps;
    for _ in 0..STEPS_MAX {
        let Some(after) = talk.step(rest) else { break };
        rest = after;
    }
    talk.end();
}

impl Talk {
    fn new(who: u8) -> Self {
        let now = Instant::now();
        let config = EngineConfig {
            legs_max: PARTIES.into(),
            talks_max: 2,
            silent_after: Duration::from_secs(1),
            tunes: vec![Arc::clone(&TUNE)],
            shared: vec![Coding::G722],
            rtcp_interval: Duration::from_secs(5),
            cname: "media@192.0.2.1".into(),
            ntp_epoch: 1 << 40,
        };
        let mut talk = Self { engine: Engine::new(config, now), now, out: Streams::default() };
        for n in 0..PARTIES {
            let (leg, port) = (leg(n), port(n));
            let stream = Stream { ssrc: 100 + u32::from(n), sequence: 65_530, timestamp: 9 };
            talk.order(Order::Open { leg, port, stream, talk: TALK });
            talk.connect(n, usize::from(who) + usize::from(n) * 3);
        }
        let (caller, other) = (leg(0), leg(1));
        talk.order(Order::Bridge { talk: TALK, caller, other, record: true });
        talk
    }

    fn connect(&mut self, n: u16, coding: usize) {
        let place = coding % CODINGS.len();
        let Some(&(coding, packet_ms)) = CODINGS.get(place) else { return };
        let payload_type = 96 + u8::try_from(place).unwrap_or(0);
        let event_factor = if matches!(coding, Coding::Opus(_)) { 6 } else { 1 };
        let codec = Codec { coding, payload_type, packet_ms, event_factor };
        let (rtp, signalling) = (address(n), address(n).ip());
        let remote = Remote { rtp, rtcp: rtp, signalling };
        let (leg, telephone_event) = (leg(n), Some(126));
        let (sends, receives) = (true, true);
        self.order(Order::Connect { leg, remote, codec, telephone_event, sends, receives });
    }

    fn order(&mut self, order: Order) {
        self.engine.handle_order(Command::equip(order), self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while self.engine.poll_event().is_some() {}
        while self.engine.poll_scrap().is_some() {}
    }

    /// One operation; what follows it. None: nothing follows.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (&operation, rest) = bytes.split_first()?;
        let n = u16::from(operation >> 4) % PARTIES;
        match operation & 0x0F {
            // A packet of its own codec, or with any byte in its place: number and time stamp as given.
            0..=8 => {
                let [high, low, a, b, length, rest @ ..] = rest else { return None };
                let length = usize::from(*length) * if operation & 1 == 0 { 1 } else { 6 };
                let (payload, after) = rest.split_at(length.min(rest.len()));
                let payload_type =
                    if operation & 0x0F == 8 { 126 } else { 96 + (operation & 7) % 7 };
                let header = Header {
                    marker: false,
                    payload_type,
                    sequence: u16::from_be_bytes([*high, *low]),
                    // The top byte moves with the second: stamps half a clock apart come together.
                    timestamp: u32::from_be_bytes([*b & 0x81, *a, *b, 0]),
                    ssrc: u32::from(operation & 8),
                };
                self.packet(n, Channel::Rtp, &[&header.bytes()[..], payload].concat());
                Some(after)
            }
            9 | 10 => {
                let (&length, rest) = rest.split_first()?;
                let (bytes, after) = rest.split_at(usize::from(length).min(rest.len()));
                let channel = if operation & 1 == 0 { Channel::Rtp } else { Channel::Rtcp };
                self.packet(n, channel, bytes);
                Some(after)
            }
            11 => {
                let (&ms, rest) = rest.split_first()?;
                self.pass(u64::from(ms));
                Some(rest)
            }
            12 => {
                let (&coding, rest) = rest.split_first()?;
                self.connect(n, coding.into());
                Some(rest)
            }
            13 => {
                let role = match n {
                    0 => Role::Speaks,
                    1 => Role::Listens,
                    _ => Role::Whispers { to: leg(0) },
                };
                self.order(Order::Join { talk: TALK, leg: leg(2), role });
                Some(rest)
            }
            14 => {
                let (caller_hears, other_hears) = (Source::Music(TuneId(0)), Source::Silence);
                self.order(Order::Part { talk: TALK, caller_hears, other_hears });
                Some(rest)
            }
            _ => {
                let (caller, other) = (leg(n), leg((n + 1) % PARTIES));
                self.order(Order::Bridge { talk: TALK, caller, other, record: false });
                Some(rest)
            }
        }
    }

    fn packet(&mut self, n: u16, channel: Channel, bytes: &[u8]) {
        self.engine.handle_packet(port(n), channel, address(n), bytes, self.now, &mut self.out);
        self.drain();
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms {
            self.now += Duration::from_millis(1);
            self.engine.tick(self.now, &mut self.out);
            self.drain();
        }
    }

    fn end(mut self) {
        self.order(Order::EndTalk { talk: TALK });
        (0..PARTIES).for_each(|n| self.order(Order::Close { leg: leg(n) }));
        self.pass(100);
        assert!(self.engine.is_idle(), "something is left over");
    }
}

fn leg(n: u16) -> LegName {
    LegName(u64::from(n) + 1)
}

fn port(n: u16) -> PortName {
    PortName(20_000 + 2 * n)
}

fn address(n: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1 + u8::try_from(n).unwrap_or(0)], 4_000))
}
