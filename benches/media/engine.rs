//! A bridge in the engine alone, without sockets and threads: CPU of 20 ms of a call.

use crate::thread::{connect, leg, media_codec, port};
use clavija_benches::{
    cpu,
    load::{sip::Format, voice::Canned},
};
use media_core::{
    coder::Command,
    engine::{Channel, Engine, EngineConfig, Out},
    order::{Order, PortName, RecordFrame, TalkName},
};
use std::{
    error::Error,
    hint::black_box,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

/// Calls at once; half a minute of them.
const CALLS: u16 = 10;
const FRAMES: u32 = 200;

struct Sink;

impl Out for Sink {
    fn send(&mut self, _: PortName, _: Channel, _: SocketAddr, bytes: &[u8]) {
        black_box(bytes);
    }

    fn record(&mut self, frame: &RecordFrame) -> bool {
        black_box(frame);
        true
    }
}

struct Bench {
    engine: Engine,
    now: Instant,
    canned: [Arc<Canned>; 2],
    formats: [Format; 2],
    frame: u32,
}

/// CPU time of 20 ms of a call between these, in nanoseconds.
pub(crate) fn bridge_ns(formats: [Format; 2]) -> Result<f64, Box<dyn Error>> {
    let now = Instant::now();
    let config = EngineConfig {
        legs_max: usize::from(2 * CALLS),
        talks_max: usize::from(CALLS),
        silent_after: Duration::from_secs(30),
        tunes: vec![],
        shared: vec![],
        rtcp_interval: Duration::from_secs(5),
        cname: "media@192.0.2.100".to_owned(),
        ntp_epoch: 0,
    };
    let canned = [Canned::speech(formats[0])?, Canned::speech(formats[1])?];
    let mut bench = Bench { engine: Engine::new(config, now), now, canned, formats, frame: 0 };
    for number in 0..2 * CALLS {
        let codec = media_codec(formats[usize::from(number % 2)]);
        for order in connect(number, codec, phone(number), phone(number)) {
            bench.engine.handle_order(Command::equip(order), now);
        }
    }
    for call in 0..CALLS {
        let (talk, caller, other) = (TalkName(u64::from(call)), leg(2 * call), leg(2 * call + 1));
        bench.engine.handle_order(Order::Bridge { talk, caller, other, record: false }, now);
    }
    bench.talk(FRAMES / 4);
    let used = cpu::span(|| bench.talk(FRAMES));
    Ok(used.as_secs_f64() * 1e9 / f64::from(FRAMES) / f64::from(CALLS))
}

impl Bench {
    fn talk(&mut self, frames: u32) {
        let mut packet = Vec::with_capacity(400);
        for _ in 0..frames {
            for ms in 0..20 {
                for number in (0..2 * CALLS).filter(|number| number % 20 == ms) {
                    self.say(number, &mut packet);
                }
                self.engine.tick(self.now, &mut Sink);
                while self.engine.poll_event().is_some() {}
                self.now += Duration::from_millis(1);
            }
            self.frame += 1;
        }
    }

    fn say(&mut self, number: u16, packet: &mut Vec<u8>) {
        let side = usize::from(number % 2);
        let format = self.formats[side];
        let packets = self.canned[side].packets();
        packet.clear();
        packet.extend([0x80, format.payload_type()]);
        packet.extend(&self.frame.to_be_bytes()[2..]);
        packet.extend(self.frame.wrapping_mul(format.step()).to_be_bytes());
        packet.extend(u32::from(number).to_be_bytes());
        packet.extend(&packets[self.frame as usize % packets.len()]);
        let (port, from) = (port(number), phone(number));
        self.engine.handle_packet(port, Channel::Rtp, from, packet, self.now, &mut Sink);
    }
}

fn phone(number: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 4_000 + 2 * number))
}
