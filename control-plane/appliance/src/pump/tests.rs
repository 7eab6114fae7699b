//! The loop when the media plane dies or has much to say.

use super::*;
use control_plane::{
    cdr::Ledger,
    config::Plan,
    exchange::Start,
    headroom::Limits,
    journal::{Memory, Moment},
    switchboard::Switchboard,
    time::Stamp,
};
use media_core::{
    engine::EngineConfig,
    order::{LegName, Source},
};
use media_rt::{
    handle::{MediaConfig, RingSizes},
    ports::PortPool,
    recorder::{Format, RecorderConfig, Seal},
};
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process,
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

/// A pump on an address of the test's own, in a box without trunks, agents and numbers.
struct Bench {
    pump: Pump,
    handle: Handle,
    udp: udp::Bound,
    tcp: tcp::Bound,
    dir: PathBuf,
    /// What the follower would hear.
    _turns: Receiver<Turn>,
}

impl Bench {
    fn new(last: u8) -> Self {
        let address = IpAddr::from([127, 77, 9, last]);
        let dir = std::env::temp_dir().join(format!("clavija-pump-{}-{last}", process::id()));
        drop(fs::remove_dir_all(&dir));
        let plan = Plan {
            trunks: vec![],
            seats: vec![],
            teams: vec![],
            numbers: vec![],
            ..Plan::default()
        };
        let plan = Arc::new(plan);
        let ledger = Ledger::new(Arc::clone(&plan));
        let board = Switchboard::new(plan);
        let journal = Arc::new(StoreCounts::default());
        let memory = Memory::default();
        let moment = Moment { board: &board, ledger: &ledger, memory: &memory };
        let store = Store::begin(&dir, moment, Arc::clone(&journal)).unwrap();
        let udp = udp::bind(SocketAddr::new(address, 21_100)).unwrap();
        let tcp = tcp::bind(SocketAddr::new(address, 21_100)).unwrap();
        let ports = PortPool::open(address, 21_000..=21_007).unwrap();
        let start = Start {
            sip: sip(SocketAddr::new(address, 21_100)),
            board,
            ports: ports.names(),
            media_address: address,
            networks: vec![],
            seed: [1; 32],
            wall: Stamp(1),
            login_key: [1; 32],
            headroom: Limits::USUAL,
            opus_complexity: 5,
            restart: None,
        };
        let recorder = RecorderConfig {
            dir: dir.join("recordings"),
            name: |_| String::new(),
            format: Format::Wav,
            seal: Seal::Off,
        };
        let media = MediaConfig {
            ports,
            engine: engine(),
            recorder,
            rings: RingSizes::USUAL,
            real_time: false,
            threads: 1,
            cores: vec![],
        };
        let media = Media::start(media).unwrap();
        let (turns, _turns) = sync_channel(16);
        let exchange = Exchange::new(start, Instant::now());
        let view = Arc::new(RwLock::new(View::new(Arc::clone(exchange.plan()))));
        let (pump, handle) = Pump::new(exchange, store, media, turns, view, journal);
        Self { pump, handle, udp, tcp, dir, _turns }
    }

    /// Until it ends by a fault or every handle is gone.
    fn run(self) -> io::Result<()> {
        drop(self.handle);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = runtime.unwrap().block_on(self.pump.run(vec![(self.udp, self.tcp)]));
        drop(fs::remove_dir_all(&self.dir));
        ended
    }
}

fn sip(local: SocketAddr) -> sip_stack::Config {
    sip_stack::Config {
        local,
        advertise: local,
        advertise_tcp: local,
        networks: vec![],
        domain: "clavija.test".to_owned(),
        user_agent: "test".to_owned(),
        trunks: vec![],
        users: vec![],
        first_leg: 1,
        seed: [1; 32],
        limits: sip_stack::Limits::STANDARD,
    }
}

fn engine() -> EngineConfig {
    EngineConfig {
        legs_max: 4,
        talks_max: 4,
        silent_after: Duration::from_secs(20),
        tunes: vec![],
        rtcp_interval: Duration::from_secs(5),
        cname: "test".to_owned(),
        shared: vec![],
        ntp_epoch: 0,
    }
}

/// It began on the first of January 1970.
#[test]
fn the_loop_finds_out_that_its_clock_was_never_set() {
    let bench = Bench::new(4);
    let (journal, running) = (bench.dir.clone(), bench.handle.clone());
    let is_told = move || {
        let mut segments = fs::read_dir(&journal).into_iter().flatten().flatten();
        segments.any(|segment| {
            let text = fs::read(segment.path()).unwrap_or_default();
            text.windows(9).any(|word| word == b"WallClock")
        })
    };
    let asker = thread::spawn(move || {
        let patience = Instant::now() + Duration::from_secs(20);
        let mut told = is_told();
        while !told && Instant::now() < patience {
            thread::sleep(Duration::from_millis(20));
            told = is_told();
        }
        // Nobody holds the pump any more.
        drop(running);
        told
    });

    bench.run().unwrap();

    assert!(asker.join().unwrap(), "it still goes by 1970");
}

#[test]
fn a_media_plane_that_has_ended_ends_the_pump_with_an_error() {
    let mut bench = Bench::new(1);
    bench.pump.media.stop();

    assert!(bench.run().unwrap_err().to_string().contains("has ended"));
}

#[test]
fn a_media_thread_that_does_not_tick_is_noticed_after_twenty_looks() {
    let mut bench = Bench::new(2);
    while bench.pump.media.counters().ticks == 0 {
        thread::yield_now();
    }
    bench.pump.show_counts(None);
    assert_eq!(bench.pump.ticks[0].1, 0);
    bench.pump.media.stop();

    (0..=LOOKS_WITHOUT_TICK).for_each(|_| bench.pump.show_counts(None));

    assert_eq!(bench.pump.ticks[0].1, LOOKS_WITHOUT_TICK);
}

#[test]
fn events_beyond_one_turn_are_heard_without_another_stroke_of_the_bell() {
    const EVENTS: u64 = 3 * EVENTS_PER_TURN as u64;
    let mut bench = Bench::new(3);
    for leg in 1..=EVENTS {
        let order = Order::Hear { leg: LegName(leg), source: Source::Silence };
        bench.pump.media.push(order).unwrap();
    }
    // All are refused and rung for before the pump first looks: 64 orders a tick.
    let told = bench.pump.media.counters().ticks + 2 * EVENTS / 64;
    while bench.pump.media.counters().ticks < told {
        thread::yield_now();
    }
    let handle = bench.handle.clone();
    let pump = thread::spawn(move || bench.run());

    let deadline = Instant::now() + Duration::from_secs(10);
    while handle.counts().media_refusals < EVENTS && Instant::now() < deadline {
        thread::yield_now();
    }

    assert_eq!(handle.counts().media_refusals, EVENTS);
    drop(handle);
    pump.join().unwrap().unwrap();
}
