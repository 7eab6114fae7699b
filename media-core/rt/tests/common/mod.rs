//! Two parties on sockets of their own, the media plane between them, and what each should hear.

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

use media_core::{
    codec::g711,
    engine::EngineConfig,
    order::{Codec, Event, Law, LegName, Order, PortName, Remote, Source, Stream, TalkName},
};
use media_rt::{
    handle::{Media, MediaConfig, RingSizes},
    ports::PortPool,
    recorder::{Format, RecorderConfig, RecorderEvent, Seal},
};

pub(crate) const CALLER: LegName = LegName(11);
pub(crate) const OTHER: LegName = LegName(12);
pub(crate) const TALK: TalkName = TalkName(29);

/// A folder for one test, gone when the test is.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("media-rt-{name}-{}", process::id()));
        let _from_before = fs::remove_dir_all(&path);
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// The media plane on a loopback address of its own, with four pairs from 21000.
pub(crate) fn media(threads: usize, address: IpAddr, folder: &Folder) -> Media {
    media_with(threads, address, folder, 21_000..=21_007)
}

pub(crate) fn media_with(
    threads: usize,
    address: IpAddr,
    folder: &Folder,
    ports: RangeInclusive<u16>,
) -> Media {
    let ports = PortPool::open(address, ports).unwrap();
    let engine = EngineConfig {
        legs_max: ports.names().len().max(8),
        talks_max: 4,
        silent_after: Duration::from_secs(30),
        tunes: Vec::new(),
        rtcp_interval: Duration::from_secs(5),
        cname: "tests".into(),
        shared: vec![],
        ntp_epoch: 0,
    };
    let name = |talk: TalkName| format!("call-{:08x}", talk.0);
    let dir = folder.path().to_path_buf();
    let recorder = RecorderConfig { dir, name, format: Format::Wav, seal: Seal::Off };
    let rings = RingSizes::USUAL;
    Media::start(MediaConfig {
        ports,
        engine,
        recorder,
        rings,
        real_time: false,
        threads,
        cores: vec![],
    })
    .unwrap()
}

/// One party: says its own tone in A-law and keeps what it hears.
pub(crate) struct Party {
    socket: UdpSocket,
    media: SocketAddr,
    hertz: f64,
    ssrc: u32,
    said: u32,
    pub(crate) heard: Vec<i16>,
}

impl Party {
    pub(crate) fn new(media: SocketAddr, hertz: f64, ssrc: u32) -> Self {
        let socket = UdpSocket::bind((media.ip(), 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, media, hertz, ssrc, said: 0, heard: Vec::new() }
    }

    /// Its leg, opened and connected, for a talk of its own: with several media threads each leg begins on
    /// another.
    pub(crate) fn orders(&self, leg: LegName) -> [Order; 3] {
        let rtp = self.socket.local_addr().unwrap();
        let remote =
            Remote { rtp, rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1), signalling: rtp.ip() };
        let codec = Codec::g711(Law::A, 8);
        let stream = Stream { ssrc: self.ssrc + 1_000, sequence: 65_530, timestamp: 7 };
        [
            Order::Open { leg, port: PortName(self.media.port()), stream, talk: TalkName(leg.0) },
            Order::Connect {
                leg,
                remote,
                codec,
                telephone_event: None,
                sends: true,
                receives: true,
            },
            Order::Hear { leg, source: Source::Silence },
        ]
    }

    /// From now on it says this tone.
    pub(crate) fn hertz(&mut self, hertz: f64) {
        self.hertz = hertz;
    }

    /// Twenty milliseconds: one packet said, and all that came in heard.
    pub(crate) fn step(&mut self) {
        let mut packet = [0; 172];
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[2..4].copy_from_slice(&u16::try_from(self.said % 65_536).unwrap().to_be_bytes());
        packet[4..8].copy_from_slice(&(self.said * 160).to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        for (at, code) in packet[12..].iter_mut().enumerate() {
            let seconds = f64::from(self.said * 160 + u32::try_from(at).unwrap()) / 8_000.0;
            let sample = 8_000.0 * (std::f64::consts::TAU * self.hertz * seconds).sin();
            #[expect(clippy::cast_possible_truncation, reason = "8,000 at most")]
            let sample = sample as i16;
            *code = g711::encode(Law::A, sample);
        }
        self.said += 1;
        self.socket.send_to(&packet, self.media).unwrap();
        self.listen();
    }

    pub(crate) fn listen(&mut self) {
        let mut packet = [0; 2_048];
        while let Ok((length, from)) = self.socket.recv_from(&mut packet) {
            assert_eq!((from, length, packet[1] & 0x7F), (self.media, 172, 8));
            self.heard.extend(packet[12..172].iter().map(|&code| g711::decode(Law::A, code)));
        }
    }
}

/// Share of the power that is at this frequency (Goertzel), 0 to 1.
pub(crate) fn share(samples: &[i16], hertz: f64) -> f64 {
    let turn = 2.0 * (std::f64::consts::TAU * hertz / 8_000.0).cos();
    let (mut one, mut two, mut power) = (0.0, 0.0, 0.0);
    for &sample in samples {
        let sample = f64::from(sample);
        (one, two) = (sample + turn * one - two, one);
        power += sample * sample;
    }
    let count = f64::from(u32::try_from(samples.len()).unwrap());
    2.0 * (one * one + two * two - turn * one * two) / (count * power.max(1.0))
}

/// What the media plane has said so far.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) events: Vec<Event>,
    pub(crate) recorder: Vec<RecorderEvent>,
}

impl Said {
    pub(crate) fn poll(&mut self, media: &mut Media) {
        self.events.extend(std::iter::from_fn(|| media.poll_event()));
        self.recorder.extend(std::iter::from_fn(|| media.poll_recorder_event()));
    }

    /// Polls until it has been said. The bound is only there so that a fault is not a hang.
    pub(crate) fn wait(&mut self, media: &mut Media, what: &str, there: impl Fn(&Self) -> bool) {
        self.wait_for(media, what, |_, said| there(said));
    }

    pub(crate) fn wait_for(
        &mut self,
        media: &mut Media,
        what: &str,
        there: impl Fn(&Media, &Self) -> bool,
    ) {
        let give_up = Instant::now() + Duration::from_secs(20);
        loop {
            self.poll(media);
            if there(media, self) {
                return;
            }
            assert!(Instant::now() < give_up, "no {what}: {:?} {:?}", self.events, self.recorder);
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub(crate) fn closed(&self, leg: LegName) -> bool {
        let is = |event: &&Event| matches!(event, Event::Closed { leg: one, .. } if *one == leg);
        self.events.iter().filter(is).count() == 1
    }

    pub(crate) fn finished(&self) -> Option<&RecorderEvent> {
        self.recorder.iter().find(|event| matches!(event, RecorderEvent::Finished { .. }))
    }
}

/// The two talk for so many frames of 20 ms, in real time.
pub(crate) fn talk(media: &mut Media, said: &mut Said, parties: [&mut Party; 2], frames: u32) {
    let [caller, other] = parties;
    let begun = Instant::now();
    for frame in 1..=frames {
        caller.step();
        other.step();
        said.poll(media);
        let next = begun + Duration::from_millis(20) * frame;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

pub(crate) fn give(media: &mut Media, orders: impl IntoIterator<Item = Order>) {
    orders.into_iter().for_each(|order| media.push(order).unwrap());
}
