//! One direction of a G.711 call through the media engine with a clock turned by hand: speech in, and what
//! the far party hears of it out. What the network does to each packet is given, so that others hear the same.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use media_core::{
    codec::g711,
    engine::{Channel, Engine, EngineConfig, Out},
    order::{Codec, Law, LegName, Order, PortName, RecordFrame, Remote, Source, Stream, TalkName},
};
use std::{
    env,
    error::Error,
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

const USAGE: &str = "usage: speech SAID NETWORK HEARD
SAID: 16 bits at 8 kHz, no header. NETWORK: a line for each packet of 20 ms, when it arrives in milliseconds
from the first one's departure, or `-`: never. HEARD is written as SAID.";

const FRAME: usize = 160;
const HEADER_BYTES: usize = 12;
const LAW: Law = Law::Mu;
/// The far party is heard on for so long, in milliseconds.
const TAIL_MS: u64 = 400;

/// What the far party's phone gets.
#[derive(Default)]
struct Phone {
    heard: Vec<i16>,
    packets: u64,
}

impl Out for Phone {
    fn send(&mut self, port: PortName, channel: Channel, _: SocketAddr, bytes: &[u8]) {
        if port == self::port(1) && channel == Channel::Rtp {
            let audio = bytes.get(HEADER_BYTES..).unwrap_or_default();
            self.heard.extend(audio.iter().map(|code| g711::decode(LAW, *code)));
            self.packets += 1;
        }
    }

    fn record(&mut self, _: &RecordFrame) -> bool {
        true
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [said, network, heard] = &words[..] else { return Err(USAGE.into()) };
    let said = samples(&fs::read(said)?);
    let network = fs::read_to_string(network)?;
    let arrivals: Vec<Option<u64>> = network.lines().map(|line| line.trim().parse().ok()).collect();
    let phone = call(&said, &arrivals);
    println!("{} packets sent, {} heard", said.len() / FRAME, phone.packets);
    let bytes: Vec<u8> = phone.heard.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    Ok(fs::write(heard, bytes)?)
}

fn call(said: &[i16], arrivals: &[Option<u64>]) -> Phone {
    let start = Instant::now();
    let mut engine = bridge(start);
    let mut phone = Phone::default();
    let mut due: Vec<(u64, usize)> =
        arrivals.iter().enumerate().filter_map(|(n, at)| Some(((*at)?, n))).collect();
    due.sort_unstable();
    let mut due = due.into_iter().peekable();
    let mut turn = 0;
    let last_ms = 20 * (said.len() / FRAME) as u64 + TAIL_MS;
    for ms in 0..last_ms {
        let now = start + Duration::from_millis(ms);
        while let Some((_, number)) = due.next_if(|(at, _)| *at <= ms) {
            if let Some(frame) = said.chunks_exact(FRAME).nth(number) {
                let packet = packet(number, frame);
                engine.handle_packet(port(0), Channel::Rtp, street(0), &packet, now, &mut phone);
            }
        }
        if ms % 20 == 7 {
            let quiet = packet(turn, &[0; FRAME]);
            turn += 1;
            engine.handle_packet(port(1), Channel::Rtp, street(1), &quiet, now, &mut phone);
        }
        engine.tick(now, &mut phone);
        while engine.poll_event().is_some() {}
    }
    phone
}

fn bridge(now: Instant) -> Engine {
    let config = EngineConfig {
        legs_max: 2,
        talks_max: 1,
        silent_after: Duration::from_secs(30),
        tunes: vec![],
        shared: vec![],
        rtcp_interval: Duration::from_secs(5),
        cname: "media@192.0.2.100".to_owned(),
        ntp_epoch: 0,
    };
    let mut engine = Engine::new(config, now);
    for number in 0..2 {
        let (leg, rtp) = (LegName(number.into()), street(number));
        let stream = Stream { ssrc: 1 + u32::from(number), sequence: 1, timestamp: 1 };
        let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
        let remote = Remote { rtp, rtcp, signalling: rtp.ip() };
        let (codec, telephone_event) = (Codec::g711(LAW, 0), None);
        for order in [
            Order::Open { leg, port: port(number), stream, talk: TalkName(1) },
            Order::Connect { leg, remote, codec, telephone_event, sends: true, receives: true },
            Order::Hear { leg, source: Source::Nothing },
        ] {
            engine.handle_order(order, now);
        }
    }
    let (talk, caller, other) = (TalkName(1), LegName(0), LegName(1));
    engine.handle_order(Order::Bridge { talk, caller, other, record: false }, now);
    engine
}

fn packet(number: usize, frame: &[i16]) -> Vec<u8> {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    let mut packet = vec![0x80, 0];
    packet.extend_from_slice(&number.to_be_bytes()[2..]);
    packet.extend(number.wrapping_mul(160).to_be_bytes());
    packet.extend(7_u32.to_be_bytes());
    packet.extend(frame.iter().map(|sample| g711::encode(LAW, *sample)));
    packet
}

fn samples(bytes: &[u8]) -> Vec<i16> {
    bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
}

fn street(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000 + 2 * number))
}

const fn port(number: u16) -> PortName {
    PortName(20_000 + 2 * number)
}
