//! The real media thread by its own handle, for talks no verb of the product makes yet: conferences, and
//! bridges of any two codecs with nothing around them.

use clavija_benches::{
    cpu::Thread,
    load::{
        runs,
        sip::Format,
        talk::{Seen, Talk},
        target::TARGET_CORE,
        voice::{Canned, Voice},
    },
};
use media_core::{
    engine::EngineConfig,
    frame::Rate,
    order::{
        Codec, Coding, Law, LegName, Opus, Order, PortName, Remote, Role, Source, Stream, TalkName,
    },
    srtp::{Keys, MasterKey, Suite},
};
use media_rt::{
    handle::{Media, MediaConfig, RingSizes},
    ports::PortPool,
    recorder::{self, RecorderConfig, Seal},
};
use std::{
    env,
    error::Error,
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process,
    time::Duration,
};

/// Addresses of this bench's own: nobody else's ports are in the way.
const BOX: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 89, 0, 1));
const STREET: Ipv4Addr = Ipv4Addr::new(127, 89, 0, 2);
const FIRST_PORT: u16 = 21_000;
const STREET_PORT: u16 = 30_000;
/// As the targets that are programs have it.
const PRIORITY: u8 = 5;

/// Whose of a leg's two keys it is, in their first byte.
const OURS: u8 = 1;
const THEIRS: u8 = 2;

/// Who talks with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scene {
    Bridge([Format; 2]),
    /// The same in G.711, both sides encrypted.
    Secured,
    /// Three who all speak G.711.
    Conference,
}

pub(crate) struct Run {
    pub(crate) seen: Seen,
    /// CPU time of the media thread for each talk, as a share of one core.
    pub(crate) core: f64,
    pub(crate) valid: bool,
}

/// So many talks for so long. With impulses their way is timed; else they say speech.
pub(crate) fn run(
    scene: Scene,
    talks: u16,
    impulses: bool,
    window: Duration,
) -> Result<Run, Box<dyn Error>> {
    let each = scene.parties();
    // An even number of ends; the last may have nobody to talk to.
    let mut talk = Talk::new(STREET, (talks * each).div_ceil(2), STREET_PORT)?;
    talk.voices(&scene.voices(impulses)?);
    talk.group(usize::from(each));
    if scene == Scene::Secured {
        talk.encrypt((0..talks * each).map(|number| [key(number, THEIRS), key(number, OURS)]));
    }
    let ends = talk.addresses();
    let mut media = start(talks * each, talks)?;
    for order in scene.orders(talks, &ends) {
        media.push(order).map_err(|order| format!("the ring is full: {order:?}"))?;
    }
    talk.aim((0..talks * each).map(|number| SocketAddr::new(BOX, port(number).0)))?;
    let thread = Thread::named("media-0")?;
    runs::place(thread, TARGET_CORE, PRIORITY)?;
    talk.warm_up(runs::WARM_UP)?;
    let ([before, after], seen) = talk.measure(window, || thread.cpu())?;
    let core = (after - before).as_secs_f64() / window.as_secs_f64() / f64::from(talks);
    let valid = runs::packets_on_time(&seen);
    Ok(Run { seen, core, valid })
}

impl Scene {
    const fn parties(self) -> u16 {
        match self {
            Self::Bridge(_) | Self::Secured => 2,
            Self::Conference => 3,
        }
    }

    const fn format(self, place: u16) -> Format {
        match self {
            Self::Bridge([caller, other]) => {
                if place == 0 {
                    caller
                } else {
                    other
                }
            }
            Self::Secured | Self::Conference => Format::G711,
        }
    }

    /// Only the first of a talk has impulses: the others are silent and listen.
    fn voices(self, impulses: bool) -> Result<Vec<(Format, Voice)>, Box<dyn Error>> {
        let voice = |place| {
            let format = self.format(place);
            let canned = match (impulses, place) {
                (true, 0) => Canned::impulses(format)?,
                (true, _) => Canned::silence(format)?,
                (false, _) => Canned::speech(format)?,
            };
            Ok((format, Voice::Canned(canned)))
        };
        (0..self.parties()).map(voice).collect()
    }

    fn orders(self, talks: u16, ends: &[SocketAddr]) -> Vec<Order> {
        let each = self.parties();
        let mut orders = Vec::new();
        for (number, &rtp) in (0..talks * each).zip(ends) {
            let rtcp = SocketAddr::new(rtp.ip(), rtp.port() + 1);
            let [open, connect, hear] =
                connect(number, media_codec(self.format(number % each)), rtp, rtcp);
            let secure = (self == Self::Secured).then(|| Order::Secure {
                leg: leg(number),
                keys: Some(Keys { send: key(number, OURS), receive: key(number, THEIRS) }),
            });
            orders.push(open);
            orders.extend(secure);
            orders.extend([connect, hear]);
        }
        for number in 0..talks {
            let talk = TalkName(u64::from(number) + 1);
            let (caller, other) = (leg(number * each), leg(number * each + 1));
            orders.push(Order::Bridge { talk, caller, other, record: false });
            let others = (2..each).map(|place| leg(number * each + place));
            orders.extend(others.map(|leg| Order::Join { talk, leg, role: Role::Speaks }));
        }
        orders
    }
}

/// A leg opened and connected, and silence until it talks.
pub(crate) fn connect(number: u16, codec: Codec, rtp: SocketAddr, rtcp: SocketAddr) -> [Order; 3] {
    let (leg, port) = (leg(number), port(number));
    let stream = Stream { ssrc: 5_000 + u32::from(number), sequence: 1, timestamp: 1 };
    let remote = Remote { rtp, rtcp, signalling: rtp.ip() };
    let (sends, receives, telephone_event) = (true, true, None);
    [
        // One thread: whose call it is decides nothing.
        Order::Open { leg, port, stream, talk: TalkName(0) },
        Order::Connect { leg, remote, codec, telephone_event, sends, receives },
        Order::Hear { leg, source: Source::Silence },
    ]
}

/// As the appliance agrees on it with who wishes for nothing.
pub(crate) fn media_codec(format: Format) -> Codec {
    let coding = match format {
        Format::G711 => Coding::G711(Law::A),
        Format::G722 => Coding::G722,
        Format::Opus => Coding::Opus(Opus {
            rate: Rate::Hz16000,
            bitrate: 24_000,
            fec: false,
            dtx: false,
            complexity: 5,
        }),
    };
    Codec { coding, ..Codec::g711(Law::A, format.payload_type()) }
}

fn key(number: u16, whose: u8) -> MasterKey {
    let mut key = [whose; 30];
    key[1..3].copy_from_slice(&number.to_be_bytes());
    MasterKey::new(Suite::AesCm128HmacSha1_80, &key).expect("a key of 16 bytes and a salt of 14")
}

pub(crate) fn leg(number: u16) -> LegName {
    LegName(u64::from(number) + 1)
}

pub(crate) fn port(number: u16) -> PortName {
    PortName(FIRST_PORT + 2 * number)
}

fn start(legs: u16, talks: u16) -> Result<Media, Box<dyn Error>> {
    let dir = env::temp_dir().join(format!("clavija-bench-media-{}", process::id()));
    let engine = EngineConfig {
        legs_max: legs.into(),
        talks_max: talks.into(),
        silent_after: Duration::from_secs(30),
        tunes: Vec::new(),
        shared: Vec::new(),
        rtcp_interval: Duration::from_secs(5),
        cname: "media@127.89.0.1".to_owned(),
        ntp_epoch: 0,
    };
    let name = |talk: TalkName| format!("call-{:08x}", talk.0);
    let media = Media::start(MediaConfig {
        ports: PortPool::open(BOX, FIRST_PORT..=FIRST_PORT + 2 * legs - 1)?,
        engine,
        recorder: RecorderConfig {
            dir: dir.clone(),
            name,
            format: recorder::Format::Wav,
            seal: Seal::Off,
        },
        rings: RingSizes::USUAL,
        real_time: false,
        threads: 1,
        cores: vec![],
    })?;
    // Nothing is recorded here: the folder is empty, and was there only to be checked.
    _ = fs::remove_dir_all(dir);
    Ok(media)
}
