//! One run: a target started, the generator on it for a steady window, what both used and saw.

use crate::load::{
    calls::{Calls, Side, Tally, Told, own_key},
    sip::{self, Format},
    talk::{Seen, Talk},
    target::{self, BOX, CALLEE, CALLER, Counters, Kind, SIP_PORT, Target, Used},
    voice::{Canned, Voice},
};
use crate::{
    cpu::Thread,
    floor::{Floor, Wakes},
};
use media_core::srtp::{MasterKey, Suite};
use std::{
    collections::BTreeMap,
    error::Error,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread::JoinHandle,
    time::Duration,
};

/// How long a call of a signalling run lasts.
pub const HOLD: Duration = Duration::from_secs(1);
/// Calls a second while those that talk are set up and torn down.
const SET_UP_RATE: u32 = 200;
/// Before a window: until as many calls end as begin, and until sources are known.
pub const WARM_UP: Duration = Duration::from_millis(1_500);
/// Until it has forgotten that it was asked for its counters.
const SETTLE: Duration = Duration::from_millis(300);
/// Where the phone of an agent is whom nobody can reach; site.toml names it too.
const DEAF_PORT: u16 = 5_999;
/// The ends of talking calls have their ports from here on.
const FIRST_PORT: u16 = 30_000;

/// The generator itself was late: 99 of 100 of its calls, and of its packets, were on time by this.
const CALL_LATE_MS: f64 = 2.0;
const PACKET_LATE_MS: f64 = 1.0;
/// And none was later than this.
const STALL_MS: f64 = 20.0;
/// Who evens out jitter remembers for ten seconds what was later than a frame.
const REMEMBERED: Duration = Duration::from_millis(15);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Calls placed at a steady rate.
pub struct CallRun {
    pub tally: Tally,
    pub used: Used,
    /// Memory before the first call and at the end of the window, in KiB.
    pub resident_kib: [u64; 2],
}

/// Calls that talk.
pub struct TalkRun {
    pub seen: Seen,
    pub used: Used,
    pub window: Duration,
    /// What the target's own counters grew by in the window.
    pub counted: Counters,
    /// Memory before the first call and with all of them, in KiB.
    pub resident_kib: [u64; 2],
    /// Calls that were never set up or not torn down, by kind.
    pub failed: BTreeMap<String, u64>,
}

/// Who stands between the two ends of a talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Between {
    Box(Kind),
    /// A bare relay with a socket a leg.
    Bare(Wakes),
}

/// This many calls a second on one target.
pub fn calls(kind: Kind, per_second: u32, window: Duration) -> Result<CallRun> {
    let target = Target::start(kind)?;
    let fresh_kib = target.resident_kib();
    // Whoever speaks unasked fills these and then nothing: nobody reads them.
    let sinks = [sink(CALLER)?, sink(CALLEE)?];
    let audio = [sinks[0][0].local_addr()?, sinks[1][0].local_addr()?];
    let mut calls = Calls::new(ends(), SocketAddr::new(BOX, SIP_PORT), vec![audio])?;
    calls.pace(per_second, Some(HOLD), usize::MAX);
    calls.run_for(WARM_UP)?;
    calls.measure();
    let before = target.used();
    calls.run_for(window)?;
    let used = target.used().since(&before);
    let resident_kib = [fresh_kib, target.resident_kib()];
    calls.stop_placing();
    calls.run_until_over()?;
    Ok(CallRun { tally: calls.tally().clone(), used, resident_kib })
}

/// Memory over many calls that come and go, in KiB.
pub struct MemoryRun {
    /// Before the first call, after so many, and after as many more.
    pub resident_kib: [u64; 3],
    pub failed: BTreeMap<String, u64>,
}

/// So many calls at this rate, and as many more: what does not come back. The first ones fill what is bounded: ten thousand calls that
/// may be asked about, the pages of every port.
pub fn memory(kind: Kind, per_second: u32, count: usize) -> Result<MemoryRun> {
    let target = Target::start(kind)?;
    let fresh = target.resident_kib();
    let sinks = [sink(CALLER)?, sink(CALLEE)?];
    let audio = [sinks[0][0].local_addr()?, sinks[1][0].local_addr()?];
    let mut calls = Calls::new(ends(), SocketAddr::new(BOX, SIP_PORT), vec![audio])?;
    let mut so_many = || -> Result<u64> {
        calls.pace(per_second, Some(HOLD), count);
        calls.run_for(Duration::from_secs(1) * u32::try_from(count)? / per_second)?;
        calls.run_until_over()?;
        calls.run_for(FORGOTTEN)?;
        Ok(target.resident_kib())
    };
    let resident_kib = [fresh, so_many()?, so_many()?];
    Ok(MemoryRun { resident_kib, failed: calls.tally().failed.clone() })
}

/// What a call leaves for repeats and late packets has gone by then: 64 times T1 (RFC 3261 §17.1.1.2), and its ports have rested.
const FORGOTTEN: Duration = Duration::from_secs(35);

/// This many calls that talk through it.
pub fn talk(between: Between, count: u16, window: Duration) -> Result<TalkRun> {
    match between {
        Between::Bare(wakes) => bare(wakes, count, window),
        Between::Box(Kind::Rtpengine) => by_offer_and_answer(count, window),
        Between::Box(kind) => bridged(kind, [Format::G711; 2], count, window),
    }
}

fn bare(wakes: Wakes, count: u16, window: Duration) -> Result<TalkRun> {
    let mut talk = Talk::new(CALLER, count, FIRST_PORT)?;
    let floor = Floor::start(BOX, &talk.addresses(), wakes)?;
    place(floor.thread(), target::TARGET_CORE, 5)?;
    talk.aim(floor.targets().iter().copied())?;
    talk.warm_up(WARM_UP)?;
    let used = || Used { all: floor.thread().cpu(), ..Used::default() };
    let ([before, after], seen) = talk.measure(window, used)?;
    Ok(TalkRun {
        seen,
        used: after.since(&before),
        window,
        counted: Counters::new(),
        resident_kib: [0, 0],
        failed: BTreeMap::new(),
    })
}

fn by_offer_and_answer(count: u16, window: Duration) -> Result<TalkRun> {
    let target = Target::start(Kind::Rtpengine)?;
    let fresh_kib = target.resident_kib();
    let mut talk = Talk::new(CALLER, count, FIRST_PORT)?;
    let mut ng = target::ng()?;
    let mut targets = Vec::new();
    for (number, [caller, callee]) in pairs(&talk).into_iter().enumerate() {
        let call = format!("call-{number}");
        let to_callee = ng.offer(&call, &sip::description(caller, Format::G711, None))?;
        let to_caller = ng.answer(&call, &sip::description(callee, Format::G711, None))?;
        for description in [to_caller, to_callee] {
            targets.push(sip::audio(&description).ok_or("a description without audio")?);
        }
    }
    talk.aim(targets)?;
    let run = watched(&mut talk, &target, fresh_kib, window)?;
    for number in 0..count {
        ng.delete(&format!("call-{number}"))?;
    }
    Ok(run)
}

/// Calls through the box between ends that speak these.
pub fn bridged(kind: Kind, formats: [Format; 2], count: u16, window: Duration) -> Result<TalkRun> {
    let target = Target::start(kind)?;
    let fresh_kib = target.resident_kib();
    let mut talk = Talk::new(CALLER, count, FIRST_PORT)?;
    if formats != [Format::G711; 2] {
        let voice =
            |format| Ok::<_, Box<dyn Error>>((format, Voice::Canned(Canned::speech(format)?)));
        talk.voices(&[voice(formats[0])?, voice(formats[1])?]);
    }
    let mut calls = Calls::new(ends(), SocketAddr::new(BOX, SIP_PORT), pairs(&talk))?;
    calls.speak(formats);
    if kind == Kind::SECURED {
        calls.encrypt();
    }
    calls.pace(SET_UP_RATE, None, count.into());
    calls.run_until_talking()?;
    let told: Option<Vec<_>> = calls.told().into_iter().collect();
    let told = told.filter(|told| told.len() == usize::from(count));
    let told = told.ok_or_else(|| format!("not every call talks: {:?}", calls.tally().failed))?;
    talk.aim(told.iter().flatten().map(|told| told.audio))?;
    if let Some(keys) = keys(&told)? {
        talk.encrypt(keys);
    }
    let mut run = watched(&mut talk, &target, fresh_kib, window)?;
    calls.hang_up_all(SET_UP_RATE);
    calls.run_until_over()?;
    run.failed.clone_from(&calls.tally().failed);
    Ok(run)
}

/// Callers who wait for an agent nobody has, and hear music.
pub fn waiting(format: Format, count: u16, window: Duration) -> Result<TalkRun> {
    let target = Target::start(Kind::TALKS)?;
    let fresh_kib = target.resident_kib();
    let mut talk = Talk::new(CALLER, count / 2, FIRST_PORT)?;
    talk.voices(&[(format, Voice::Canned(Canned::speech(format)?))]);
    // The phone of the one agent: it is called, and says nothing.
    let _phone = UdpSocket::bind((CALLEE, DEAF_PORT))?;
    let audio: Vec<_> = talk.addresses().into_iter().map(|end| [end, end]).collect();
    let count = audio.len();
    let mut calls = Calls::new(ends(), SocketAddr::new(BOX, SIP_PORT), audio)?;
    calls.speak([format; 2]);
    calls.wait();
    calls.pace(SET_UP_RATE, None, count);
    calls.run_until_talking()?;
    let told: Option<Vec<_>> = calls.callers_told().into_iter().collect();
    let told = told.filter(|told| told.len() == count);
    let told = told.ok_or_else(|| format!("not everybody waits: {:?}", calls.tally().failed))?;
    talk.aim(told)?;
    let mut run = watched(&mut talk, &target, fresh_kib, window)?;
    calls.hang_up_all(SET_UP_RATE);
    calls.run_until_over()?;
    run.failed.clone_from(&calls.tally().failed);
    Ok(run)
}

/// Where the two ends of each call want to be spoken to.
fn pairs(talk: &Talk) -> Vec<[SocketAddr; 2]> {
    talk.addresses().chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()
}

/// What each end encrypts with and is spoken to in; none where nobody was told a key.
fn keys(told: &[[Told; 2]]) -> Result<Option<Vec<[MasterKey; 2]>>> {
    let mut keys = Vec::new();
    for (number, told) in told.iter().enumerate() {
        for (side, told) in [Side::Caller, Side::Callee].into_iter().zip(told) {
            let Some(theirs) = &told.key_and_salt else { return Ok(None) };
            let key = |bytes: &[u8]| MasterKey::new(Suite::AesCm128HmacSha1_80, bytes);
            keys.push([key(&own_key(number, side))?, key(theirs)?]);
        }
    }
    Ok(Some(keys))
}

fn watched(talk: &mut Talk, target: &Target, fresh_kib: u64, window: Duration) -> Result<TalkRun> {
    talk.warm_up(WARM_UP)?;
    let counters = target.counters();
    // Asked outside the window: to be asked costs the target time.
    talk.warm_up(SETTLE)?;
    let ([before, after], seen) = talk.measure(window, || target.used())?;
    let resident_kib = [fresh_kib, target.resident_kib()];
    let before_window = heard(counters)?;
    let grown = heard(target.counters())?.into_iter().map(|(name, value)| {
        let earlier = before_window.get(&name).copied().unwrap_or(0.0);
        (name, value - earlier)
    });
    let (counted, failed) = (grown.collect(), BTreeMap::new());
    Ok(TalkRun { seen, used: after.since(&before), window, counted, resident_kib, failed })
}

fn heard(counters: JoinHandle<io::Result<Counters>>) -> Result<Counters> {
    Ok(counters.join().map_err(|_| "asking for counters panicked")??)
}

/// The generator has a core of its own and runs before everything usual there.
pub fn take_our_core() -> Result<()> {
    place(Thread::this(), target::GENERATOR_CORE, 10)
}

/// A core of its own, before everything usual there.
pub fn place(thread: Thread, core: usize, priority: u8) -> Result<()> {
    thread.pin(core).map_err(|error| format!("core {core}: {error}; two are needed"))?;
    if target::may_be_real_time() {
        thread.be_real_time(priority)?;
    }
    Ok(())
}

fn ends() -> [SocketAddr; 2] {
    [CALLER, CALLEE].map(|address| SocketAddr::new(address.into(), SIP_PORT))
}

/// A pair of ports.
fn sink(address: Ipv4Addr) -> io::Result<[UdpSocket; 2]> {
    Ok([UdpSocket::bind((address, 29_000))?, UdpSocket::bind((address, 29_001))?])
}

impl CallRun {
    pub fn cpu_ms_per_call(&self) -> f64 {
        1_000.0 * self.used.all.as_secs_f64() / (self.tally.placed.max(1) as f64)
    }

    /// Of the target's threads, each one's share.
    pub fn thread_ms_per_call(&self) -> Vec<(&str, f64)> {
        let calls = self.tally.placed.max(1) as f64;
        let ms = |time: &Duration| 1_000.0 * time.as_secs_f64() / calls;
        self.used.threads.iter().map(|(name, time)| (name.as_str(), ms(time))).collect()
    }

    /// Nobody waited for the generator.
    pub fn is_valid(&self) -> bool {
        on_time(&self.tally.late, CALL_LATE_MS)
    }

    pub fn failures(&self) -> u64 {
        self.tally.failed.values().sum()
    }
}

impl MemoryRun {
    /// Of each call of the second half, in bytes.
    pub fn grown_bytes(&self, count: usize) -> f64 {
        let [_, half, all] = self.resident_kib;
        1_024.0 * (all as f64 - half as f64) / count.max(1) as f64
    }
}

impl TalkRun {
    pub fn cpu_ns_per_packet(&self) -> f64 {
        1e9 * self.used.all.as_secs_f64() / (self.seen.heard.max(1) as f64)
    }

    /// Of its own core, what the generator used.
    pub fn generator_core(&self) -> f64 {
        self.seen.own.as_secs_f64() / self.window.as_secs_f64()
    }

    /// Of one core, of all threads together.
    pub fn core(&self) -> f64 {
        self.used.all.as_secs_f64() / self.window.as_secs_f64()
    }

    /// Of one core, of the media threads.
    pub fn media_core(&self) -> f64 {
        let media = self.used.threads.iter().filter(|(name, _)| name.starts_with("media-"));
        media.map(|(_, time)| time.as_secs_f64()).sum::<f64>() / self.window.as_secs_f64()
    }

    /// How many frames the target's encoders wrote in a second, by its own count.
    pub fn encoded_per_second(&self) -> f64 {
        let frames = self.counted.get("clavija_rtp_frames_encoded_total").copied().unwrap_or(0.0);
        // The counters are read a moment before and after the window.
        frames / (self.window + SETTLE).as_secs_f64()
    }

    /// From the start, for each of so many.
    pub fn grown_kib(&self, count: u16) -> f64 {
        let [before, after] = self.resident_kib;
        after.saturating_sub(before) as f64 / f64::from(count)
    }

    pub fn is_valid(&self) -> bool {
        packets_on_time(&self.seen)
    }

    /// What the target itself says it lost: packets, ticks, frames of recordings.
    pub fn confessed(&self) -> Vec<(&str, f64)> {
        const LOSSES: [&str; 5] = [
            "clavija_rtp_dropped_total",
            "clavija_rtp_frames_inserted_total",
            "clavija_media_socket_errors_total",
            "clavija_recording_frames_dropped_total",
            "clavija_recordings_failed_total",
        ];
        let grown = LOSSES.iter().filter_map(|&name| Some((name, *self.counted.get(name)?)));
        grown.filter(|(_, count)| *count > 0.0).collect()
    }
}

/// Nobody's packets waited for the generator; nor did anybody learn before that packets come late, and
/// wait for them still.
pub fn packets_on_time(seen: &Seen) -> bool {
    on_time(&seen.late, PACKET_LATE_MS) && seen.late_before < REMEMBERED
}

/// Whether the generator was: 99 of 100 by this many milliseconds, and never much later.
fn on_time(late: &crate::load::delays::Delays, ms: f64) -> bool {
    late.ms([0.99, 1.0]).is_some_and(|[p99, longest]| p99 <= ms && longest <= STALL_MS)
}
