//! A hundred bridged G.711 calls through the real media thread over loopback, against bare relays
//! in the same run. CPU time of the relaying thread alone; the callers live on the other core.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use clavija_benches::{
    callers::{Callers, Measured},
    cpu::Thread,
    floor::{Floor, Wakes},
};
use media_core::{
    engine::EngineConfig,
    music::Tune,
    order::{Codec, Law, LegName, Order, PortName, Remote, Source, Stream, TalkName, TuneId},
};
use media_rt::{
    counters::MediaCounters,
    handle::{Media, MediaConfig, RingSizes},
    ports::PortPool,
    recorder::{Format, RecorderConfig, Seal},
};
use std::{
    env,
    error::Error,
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process, thread,
    time::Duration,
};

const CALLS: u16 = 100;
const PARTIES: u16 = 2 * CALLS;

/// Addresses of this bench's own: nobody else's ports are in the way.
const BOX: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 78, 0, 1));
const STREET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 78, 0, 2));
const FIRST_PORT: u16 = 21_000;

const RELAY_CORE: usize = 0;
const CALLERS_CORE: usize = 1;

/// Who stands between the parties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bare(Wakes),
    Bridged {
        record: bool,
    },
    /// Callers who hear music, and no agents.
    OnHold,
}

/// One way to pass on what so many parties say.
struct Contender {
    name: &'static str,
    kind: Kind,
    parties: u16,
    /// What its ratios are to: places in [`CONTENDERS`].
    floors: &'static [usize],
}

const PER_PACKET: usize = 0;
const EVERY_MS: usize = 1;
const BRIDGED: usize = 2;
const RECORDED: usize = 3;
const HALF_EVERY_MS: usize = 4;

const CONTENDERS: [Contender; 6] = [
    Contender {
        name: "bare relay, wakes for each packet",
        kind: Kind::Bare(Wakes::PerPacket),
        parties: PARTIES,
        floors: &[],
    },
    Contender {
        name: "bare relay, drained every 1 ms",
        kind: Kind::Bare(Wakes::PerMillisecond),
        parties: PARTIES,
        floors: &[PER_PACKET],
    },
    Contender {
        name: "media thread, 100 calls",
        kind: Kind::Bridged { record: false },
        parties: PARTIES,
        floors: &[PER_PACKET, EVERY_MS],
    },
    Contender {
        name: "media thread, 100 calls, recorded",
        kind: Kind::Bridged { record: true },
        parties: PARTIES,
        floors: &[PER_PACKET, EVERY_MS, BRIDGED],
    },
    Contender {
        name: "bare relay, 50 calls, every 1 ms",
        kind: Kind::Bare(Wakes::PerMillisecond),
        parties: CALLS,
        floors: &[],
    },
    // As many packets come and go as with 50 calls.
    Contender {
        name: "media thread, 100 callers on hold",
        kind: Kind::OnHold,
        parties: CALLS,
        floors: &[HALF_EVERY_MS],
    },
];

/// How long, how often.
#[derive(Clone, Copy)]
struct Effort {
    warm_up: Duration,
    span: Duration,
    rounds: usize,
}

/// One run.
#[derive(Clone, Debug)]
struct Run {
    /// CPU time of the relaying thread for each packet that came out, in nanoseconds.
    packet_ns: f64,
    /// The same of the recorder's thread.
    recorder_ns: f64,
    /// Share of one core that the relaying thread takes.
    core: f64,
    /// Packets heard for each said.
    passed: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    // As criterion does: without the argument only try whether everything runs.
    let measured = env::args().any(|argument| argument == "--bench");
    let effort = if measured {
        Effort { warm_up: Duration::from_secs(1), span: clavija_benches::window(), rounds: 3 }
    } else {
        let moment = Duration::from_millis(200);
        Effort { warm_up: moment, span: moment, rounds: 1 }
    };
    let mut rounds = Vec::new();
    for _ in 0..effort.rounds {
        let round: Result<Vec<Run>, _> =
            CONTENDERS.iter().map(|contender| run(contender, effort)).collect();
        rounds.push(round?);
    }
    print(&rounds);
    Ok(())
}

fn run(contender: &Contender, effort: Effort) -> Result<Run, Box<dyn Error>> {
    let Contender { kind, parties, .. } = *contender;
    let mut callers = Callers::new(STREET, parties)?;
    let measured = match kind {
        Kind::Bare(wakes) => {
            let floor = Floor::start(BOX, &callers.addresses()?, wakes)?;
            callers.aim(floor.targets());
            measure(&mut callers, effort.warm_up, &[floor.thread()])?;
            measure(&mut callers, effort.span, &[floor.thread()])?
        }
        Kind::Bridged { .. } | Kind::OnHold => {
            let folder = Folder::new();
            let mut media = start_media(&folder)?;
            let ports: Vec<_> = (0..parties).map(|n| SocketAddr::new(BOX, port(n).0)).collect();
            callers.aim(&ports);
            for order in orders(kind, &callers)? {
                media.push(order).map_err(|order| format!("the ring is full: {order:?}"))?;
            }
            let threads = [Thread::named("media-0")?, Thread::named("recorder")?];
            measure(&mut callers, effort.warm_up, &threads)?;
            let before = media.counters();
            let measured = measure(&mut callers, effort.span, &threads)?;
            check(contender, &media, &before);
            measured
        }
    };
    Ok(Run::new(&measured, effort.span))
}

impl Run {
    fn new(measured: &Measured, span: Duration) -> Self {
        let ns = |place: usize| measured.cpu.get(place).map_or(0.0, Duration::as_secs_f64) * 1e9;
        let heard = measured.heard as f64;
        Self {
            packet_ns: ns(0) / heard,
            recorder_ns: ns(1) / heard,
            core: ns(0) / 1e9 / span.as_secs_f64(),
            passed: heard / measured.said as f64,
        }
    }
}

/// The callers speak from a thread of their own that runs before everything usual; the recorder,
/// if there is one, runs where there is room.
fn measure(callers: &mut Callers, span: Duration, watched: &[Thread]) -> Result<Measured, String> {
    let relay = watched[0];
    relay.pin(RELAY_CORE).map_err(|error| format!("two cores are needed: {error}"))?;
    let urgent = relay.be_real_time(5).is_ok();
    thread::scope(|scope| {
        let talk = scope.spawn(|| {
            let own = Thread::this();
            let pinned = own.pin(CALLERS_CORE).is_ok();
            if !(urgent && pinned && own.be_real_time(10).is_ok()) {
                println!("not real-time: run as root on a machine with two cores");
            }
            callers.talk(span, watched)
        });
        talk.join().map_err(|_| "the callers' thread panicked".to_owned())
    })
}

fn start_media(folder: &Folder) -> Result<Media, Box<dyn Error>> {
    let last = FIRST_PORT + 2 * PARTIES - 1;
    let engine = EngineConfig {
        legs_max: usize::from(PARTIES),
        talks_max: usize::from(CALLS),
        silent_after: Duration::from_secs(30),
        tunes: vec![std::sync::Arc::new(Tune::test_tone())],
        rtcp_interval: Duration::from_secs(5),
        cname: "media@127.78.0.1".to_owned(),
        shared: vec![],
        ntp_epoch: 0,
    };
    let name = |talk: TalkName| format!("call-{:08x}", talk.0);
    Ok(Media::start(MediaConfig {
        ports: PortPool::open(BOX, FIRST_PORT..=last)?,
        engine,
        recorder: RecorderConfig {
            dir: folder.0.clone(),
            name,
            format: Format::Wav,
            seal: Seal::Off,
        },
        rings: RingSizes::USUAL,
        real_time: false,
        threads: 1,
        cores: vec![],
    })?)
}

/// Everybody connected; two and two bridged, or all with music.
fn orders(kind: Kind, callers: &Callers) -> Result<Vec<Order>, Box<dyn Error>> {
    let rtcp = callers.reports_to()?;
    let mut orders = Vec::new();
    for (number, rtp) in (0_u16..).zip(callers.addresses()?) {
        let (leg, port) = (leg(number), port(number));
        let stream = Stream { ssrc: 5_000 + u32::from(number), sequence: 1, timestamp: 1 };
        let codec = Codec::g711(Law::A, 8);
        let remote = Remote { rtp, rtcp, signalling: rtp.ip() };
        let source = match kind {
            Kind::OnHold => Source::Music(TuneId(0)),
            Kind::Bare(_) | Kind::Bridged { .. } => Source::Silence,
        };
        orders.extend([
            Order::Open { leg, port, stream, talk: TalkName(0) },
            Order::Connect {
                leg,
                remote,
                codec,
                telephone_event: None,
                sends: true,
                receives: true,
            },
            Order::Hear { leg, source },
        ]);
    }
    if let Kind::Bridged { record } = kind {
        orders.extend((0..CALLS).map(|call| Order::Bridge {
            talk: TalkName(u64::from(call) + 1),
            caller: leg(2 * call),
            other: leg(2 * call + 1),
            record,
        }));
    }
    Ok(orders)
}

/// A relay that dropped or a recorder that lost would only look cheap.
fn check(contender: &Contender, media: &Media, before: &MediaCounters) {
    let after = media.counters();
    assert!(media.is_alive() && after.panics == 0);
    assert_eq!((after.send_errors, after.ports_refused), (0, 0), "{after:?}");
    let recorded = media.recorder_counters().frames_written > 0;
    assert_eq!(recorded, contender.kind == Kind::Bridged { record: true });
    let more = |count: fn(&MediaCounters) -> u64| count(&after) - count(before);
    let inserted = more(|counters| counters.engine.frames_inserted);
    let lost = more(|counters| counters.engine.record_frames_lost);
    let skipped = more(|counters| counters.ticks_skipped);
    if inserted + lost + skipped > 0 {
        println!(
            "disturbed ({}): {inserted} frames inserted, {lost} lost to the recorder, \
             {skipped} ticks skipped",
            contender.name
        );
    }
}

fn print(rounds: &[Vec<Run>]) {
    println!("\nCPU time of the relaying thread; min, median and max of the rounds");
    for (place, contender) in CONTENDERS.iter().enumerate() {
        let [low, middle, high] = spread(rounds, |round| round[place].packet_ns);
        let [_, core, _] = spread(rounds, |round| round[place].core * 100.0);
        let [_, passed, _] = spread(rounds, |round| round[place].passed);
        println!("{}", contender.name);
        println!("  ns for each packet out {low:.0} {middle:.0} {high:.0}");
        println!("  of one core {core:.1} %; out for each in {passed:.4}");
        for &floor in contender.floors {
            let ratio = |round: &Vec<Run>| round[place].packet_ns / round[floor].packet_ns;
            println!("  ratio {} to: {}", three(spread(rounds, ratio)), CONTENDERS[floor].name);
        }
    }
    let whole = |round: &Vec<Run>| {
        (round[RECORDED].packet_ns + round[RECORDED].recorder_ns) / round[BRIDGED].packet_ns
    };
    println!(
        "recorded, ratio {} to: media thread, 100 calls; with the recorder's own thread",
        three(spread(rounds, whole))
    );
}

fn spread(rounds: &[Vec<Run>], figure: impl Fn(&Vec<Run>) -> f64) -> [f64; 3] {
    let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    [0, figures.len() / 2, figures.len() - 1].map(|place| figures[place])
}

fn three([low, middle, high]: [f64; 3]) -> String {
    format!("{low:.2} {middle:.2} {high:.2}")
}

fn leg(number: u16) -> LegName {
    LegName(u64::from(number) + 1)
}

fn port(number: u16) -> PortName {
    PortName(FIRST_PORT + 2 * number)
}

/// Where recordings go, gone when this is.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(env::temp_dir().join(format!("clavija-bench-{}", process::id())))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing is there unless something was recorded.
        _ = fs::remove_dir_all(&self.0);
    }
}
