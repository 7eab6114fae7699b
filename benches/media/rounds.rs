//! One round: everybody in turn; and the rows their figures make.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use crate::{
    codec, engine,
    table::{Against, Row, Table},
    thread::{self, Scene},
};
use clavija_benches::{
    floor::Wakes,
    load::{
        delays::Delays,
        runs::{self, Between, TalkRun},
        sip::Format,
        target::Kind,
    },
};
use std::{error::Error, time::Duration};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A run in which the generator was late is done again, so often.
const TRIES: usize = 3;
const COUNTS: [u16; 2] = [100, 400];
/// A hundred in Opus would be all of a core.
const TALKS: u16 = 50;
/// Few, so that their delay is the box's and not a queue's.
const TIMED_TALKS: u16 = 20;
const ON_HOLD: u16 = 1_000;
/// Those speak once a second: a thousand voices beside a thousand tunes would measure the generator.
const ON_HOLD_EVERY: u32 = 50;

const CLAVIJA: &str = "clavija";
const RECORDED: &str = "clavija, recorded";
const WAITING: &str = "clavija, waiting";
const RTPENGINE: &str = "rtpengine";
const EVERY_MS: &str = "bare relay, every 1 ms";
const PER_PACKET: &str = "bare relay, wakes for each packet";
const LIBOPUS: &str = "libopus alone";

const OPUS: [Format; 2] = [Format::Opus, Format::G711];
const G722: [Format; 2] = [Format::G722, Format::G711];
const PLAIN: [Format; 2] = [Format::G711; 2];
const HOLD: [(&str, Format); 3] =
    [("G.711", Format::G711), ("G.722", Format::G722), ("Opus", Format::Opus)];

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) whole_box: bool,
    thread: bool,
    codec: bool,
}

impl Plan {
    pub(crate) fn of(words: &[String]) -> Option<Self> {
        let known = ["box", "thread", "codec"];
        let all = words.is_empty();
        let has = |word: &str| all || words.iter().any(|said| said == word);
        let plan = Self { whole_box: has("box"), thread: has("thread"), codec: has("codec") };
        words.iter().all(|word| known.contains(&word.as_str())).then_some(plan)
    }
}

pub(crate) fn run(table: &mut Table, plan: Plan, window: Duration) -> Outcome<()> {
    if plan.whole_box {
        for count in COUNTS {
            box_round(table, count, window)?;
        }
        hold_round(table, window)?;
    }
    if plan.codec || plan.thread {
        table.add(&in_words(LIBOPUS, 0, "a frame each way"), codec::opus_ns()? / 1e3, true);
    }
    if plan.codec {
        for (name, formats) in [("G.711", PLAIN), ("Opus", OPUS), ("G.722", G722)] {
            let us = engine::bridge_ns(formats)? / 1e3;
            println!("  engine, {name} to G.711: {us:.2} us for 20 ms of a call");
            table.add(&in_words("engine", 0, name), us, true);
        }
    }
    if plan.thread {
        thread_round(table, window)?;
    }
    Ok(())
}

fn box_round(table: &mut Table, count: u16, window: Duration) -> Outcome<()> {
    let between = |between| move || runs::talk(between, count, window);
    for (who, between) in [
        (CLAVIJA, Between::Box(Kind::TALKS)),
        (RTPENGINE, Between::Box(Kind::Rtpengine)),
        (EVERY_MS, Between::Bare(Wakes::PerMillisecond)),
        (PER_PACKET, Between::Bare(Wakes::PerPacket)),
        (RECORDED, Between::Box(Kind::RECORDED)),
    ]
    .map(|(who, who_is)| (who, between(who_is)))
    {
        let (run, valid) = on_time(table, who, count, between)?;
        say_run(table, who, count, &run, valid);
    }
    let (run, valid) =
        on_time(table, WAITING, count, || runs::waiting(Format::G711, count, 1, window))?;
    say_run(table, WAITING, count, &run, valid);
    if count == COUNTS[0] {
        let who = "clavija, Opus to G.711";
        let (run, valid) =
            on_time(table, who, count, || runs::bridged(Kind::TALKS, OPUS, count, window))?;
        say_run(table, who, count, &run, valid);
    }
    Ok(())
}

fn hold_round(table: &mut Table, window: Duration) -> Outcome<()> {
    for (name, format) in HOLD {
        let who = format!("on hold, {name}");
        let (run, valid) = on_time(table, &who, ON_HOLD, || {
            runs::waiting(format, ON_HOLD, ON_HOLD_EVERY, window)
        })?;
        say_run(table, &who, ON_HOLD, &run, valid);
        let frames = run.counted.get("clavija_rtp_frames_encoded_total").copied().unwrap_or(0.0);
        // The counters are read a moment before and after the window.
        let seconds = run.window.as_secs_f64() + runs::SETTLE.as_secs_f64();
        table.add(&in_words(&who, ON_HOLD, "encoded"), frames / seconds, valid);
    }
    Ok(())
}

fn thread_round(table: &mut Table, window: Duration) -> Outcome<()> {
    for (name, scene) in [
        ("G.711", Scene::Bridge(PLAIN)),
        ("conference", Scene::Conference),
        ("Opus", Scene::Bridge(OPUS)),
        ("G.722", Scene::Bridge(G722)),
    ] {
        let (run, valid) = thread_on_time(table, name, scene, TALKS, false, window)?;
        let us = run.core * 20_000.0;
        println!("  media thread, {name}: {us:.2} us for 20 ms of a talk, {} came", run.seen.came);
        table.add(&in_words("media thread", TALKS, name), us, valid);
    }
    for (name, scene) in [("conference", Scene::Conference), ("Opus", Scene::Bridge(OPUS))] {
        let (run, valid) = thread_on_time(table, name, scene, TIMED_TALKS, true, window)?;
        let who = format!("media thread, {name}, timed");
        println!("  {who}: {} impulses, {} packets came", run.seen.travel.count(), run.seen.came);
        delays(table, &in_words(&who, TIMED_TALKS, "travel"), &run.seen.travel, valid);
        delays(table, &in_words(&who, TIMED_TALKS, "spacing"), &run.seen.spacing, valid);
    }
    Ok(())
}

/// All that a run of a program gives, and what it lost, said at once.
fn say_run(table: &mut Table, who: &str, count: u16, run: &TalkRun, valid: bool) {
    let mut add = |what: &str, value| table.add(&in_words(who, count, what), value, valid);
    let packets = run.seen.came.max(1) as f64;
    let us_per_packet = 1e6 * run.core() * run.window.as_secs_f64() / packets;
    add("packet", us_per_packet);
    add("call", 100.0 * run.core() / f64::from(count));
    add("media", 100.0 * run.media_core() / f64::from(count));
    // Only what is stamped can be missed.
    if run.seen.heard > 0 {
        add("lost", run.seen.lost as f64);
    }
    add("memory", run.grown_kib(count));
    delays(table, &in_words(who, count, "latency"), &run.seen.latency, valid);
    delays(table, &in_words(who, count, "spacing"), &run.seen.spacing, valid);
    println!(
        "  {who}, {count}: {us_per_packet:.2} us a packet, {} came, {} lost",
        run.seen.came, run.seen.lost
    );
    for (what, number) in run.confessed() {
        table.note(format!("{who}, {count}: its own count says {what} {number}"));
    }
    for (why, number) in &run.failed {
        table.note(format!("{who}, {count}: {number} failed: {why}"));
    }
}

fn delays(table: &mut Table, name: &str, delays: &Delays, valid: bool) {
    if let Some([p50, p99]) = delays.ms([0.5, 0.99]) {
        table.add(&format!("{name} p50"), p50, valid);
        table.add(&format!("{name} p99"), p99, valid);
    }
}

fn on_time(
    table: &mut Table,
    who: &str,
    count: u16,
    mut run: impl FnMut() -> Outcome<TalkRun>,
) -> Outcome<(TalkRun, bool)> {
    let mut last = run()?;
    for _ in 1..TRIES {
        if last.is_valid() {
            return Ok((last, true));
        }
        table.set_aside(&format!("{who}, {count}"));
        last = run()?;
    }
    let valid = last.is_valid();
    if !valid {
        table.set_aside(&format!("{who}, {count}, for the last time"));
    }
    Ok((last, valid))
}

fn thread_on_time(
    table: &mut Table,
    name: &str,
    scene: Scene,
    talks: u16,
    impulses: bool,
    window: Duration,
) -> Outcome<(thread::Run, bool)> {
    let mut last = thread::run(scene, talks, impulses, window)?;
    for _ in 1..TRIES {
        if last.valid {
            return Ok((last, true));
        }
        table.set_aside(&format!("media thread, {name}, {talks}"));
        last = thread::run(scene, talks, impulses, window)?;
    }
    let valid = last.valid;
    if !valid {
        table.set_aside(&format!("media thread, {name}, {talks}, for the last time"));
    }
    Ok((last, valid))
}

/// A figure's name, which is also what the table calls it.
fn in_words(who: &str, count: u16, what: &str) -> String {
    if count == 0 { format!("{who}, {what}") } else { format!("{who}, {count}, {what}") }
}

fn row(name: &str, here: String, unit: &'static str, target: Option<f64>) -> Row {
    Row { name: name.to_owned(), here, unit, against: Against::Nothing, target }
}

fn ratio(name: &str, unit: &'static str, here: String, to: String, target: Option<f64>) -> Row {
    Row { name: name.to_owned(), here, unit, against: Against::Figure(to), target }
}

/// Every line of the table, in its order.
pub(crate) fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for count in COUNTS {
        let at = |who: &str, what: &str| in_words(who, count, what);
        let calls = |what: &str| format!("{what}, {count} calls");
        let packet = |who: &str| at(who, "packet");
        for (to, target) in [(EVERY_MS, Some(1.25)), (RTPENGINE, Some(0.45)), (PER_PACKET, None)] {
            let name = calls("CPU per bridged packet");
            rows.push(ratio(&name, "us", packet(CLAVIJA), packet(to), target));
        }
        rows.extend([
            row(
                &calls("of a core per bridged call, media thread"),
                at(CLAVIJA, "media"),
                "%",
                None,
            ),
            ratio(
                &calls("recorded, all threads"),
                "%",
                at(RECORDED, "call"),
                at(CLAVIJA, "call"),
                Some(1.25),
            ),
            ratio(
                &calls("recorded, media thread"),
                "%",
                at(RECORDED, "media"),
                at(CLAVIJA, "media"),
                Some(1.10),
            ),
            row(
                &calls("packets lost inside, recorded"),
                at(RECORDED, "lost"),
                "",
                (count == 400).then_some(0.0),
            ),
            ratio(
                &calls("a caller who waits to music, over"),
                "% of a core",
                at(WAITING, "call"),
                at(CLAVIJA, "call"),
                Some(0.5),
            ),
            row(&calls("added delay, relayed, p50"), at(CLAVIJA, "latency p50"), "ms", None),
            row(&calls("added delay, relayed, p99"), at(CLAVIJA, "latency p99"), "ms", Some(1.2)),
            row(&calls("the same, rtpengine"), at(RTPENGINE, "latency p99"), "ms", None),
            row(
                &calls("spacing of packets relayed, p99"),
                at(CLAVIJA, "spacing p99"),
                "ms",
                Some(1.0),
            ),
            row(&calls("the same, bare relay every 1 ms"), at(EVERY_MS, "spacing p99"), "ms", None),
            row(
                &calls("spacing of packets made here (music), p99"),
                at(WAITING, "spacing p99"),
                "ms",
                Some(0.3),
            ),
            row(&calls("memory per bridged call"), at(CLAVIJA, "memory"), "KiB", Some(64.0)),
            row(
                &calls("memory per bridged call, recorded"),
                at(RECORDED, "memory"),
                "KiB",
                Some(64.0),
            ),
            row(
                &calls("memory per call, Opus to G.711"),
                at("clavija, Opus to G.711", "memory"),
                "KiB",
                None,
            ),
            row(
                &calls("CPU per packet, Opus to G.711, whole box"),
                at("clavija, Opus to G.711", "packet"),
                "us",
                None,
            ),
            row(&calls("memory per call, rtpengine"), at(RTPENGINE, "memory"), "KiB", None),
        ]);
    }
    for (name, _) in HOLD {
        let at = |what: &str| in_words(&format!("on hold, {name}"), ON_HOLD, what);
        rows.push(row(
            &format!("1,000 on hold, {name}: of a core per caller"),
            at("call"),
            "%",
            None,
        ));
        rows.push(row(
            &format!("1,000 on hold, {name}: frames encoded a second"),
            at("encoded"),
            "",
            None,
        ));
    }
    let thread = |what: &str| in_words("media thread", TALKS, what);
    let engine = |what: &str| in_words("engine", 0, what);
    let libopus = in_words(LIBOPUS, 0, "a frame each way");
    let timed = |name: &str, what: &str| {
        in_words(&format!("media thread, {name}, timed"), TIMED_TALKS, what)
    };
    rows.extend([
        ratio(
            "conference of three over a bridge, media thread",
            "us in 20 ms",
            thread("conference"),
            thread("G.711"),
            Some(2.0),
        ),
        ratio(
            "Opus to G.711 over the codec, engine",
            "us in 20 ms",
            engine("Opus"),
            libopus.clone(),
            Some(1.3),
        ),
        ratio(
            "Opus to G.711 over the codec, media thread",
            "us in 20 ms",
            thread("Opus"),
            libopus,
            Some(1.3),
        ),
        ratio(
            "Opus to G.711 over a bridge, media thread",
            "us in 20 ms",
            thread("Opus"),
            thread("G.711"),
            None,
        ),
        ratio(
            "G.722 to G.711 over a bridge, engine",
            "us in 20 ms",
            engine("G.722"),
            engine("G.711"),
            None,
        ),
        ratio(
            "G.722 to G.711 over a bridge, media thread",
            "us in 20 ms",
            thread("G.722"),
            thread("G.711"),
            None,
        ),
        // Measured as soon as a scene of the media thread has it: the figure's name is all there is to agree on.
        ratio(
            "SRTP over a bridge, media thread",
            "us in 20 ms",
            thread("SRTP"),
            thread("G.711"),
            None,
        ),
    ]);
    for name in ["conference", "Opus"] {
        rows.push(row(
            &format!("added delay, mixed ({name}), p50"),
            timed(name, "travel p50"),
            "ms",
            None,
        ));
        rows.push(row(
            &format!("added delay, mixed ({name}), p99"),
            timed(name, "travel p99"),
            "ms",
            Some(21.5),
        ));
        rows.push(row(
            &format!("spacing of packets mixed ({name}), p99"),
            timed(name, "spacing p99"),
            "ms",
            Some(0.3),
        ));
    }
    rows
}
