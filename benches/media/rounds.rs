//! One round: everybody in turn.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use crate::{
    codec, engine,
    rows::{
        CLAVIJA, COUNTS, EVERY_MS, HOLD, LIBOPUS, ON_HOLD, PER_PACKET, RECORDED, RTPENGINE,
        SECURED, TALKS, TIMED_TALKS, TRANSCODED, WAITING, in_words,
    },
    table::Table,
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

const OPUS: [Format; 2] = [Format::Opus, Format::G711];
const G722: [Format; 2] = [Format::G722, Format::G711];
const PLAIN: [Format; 2] = [Format::G711; 2];
/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) whole_box: bool,
    /// Who waits, beside a bridged call.
    pub(crate) hold: bool,
    thread: bool,
    codec: bool,
}

impl Plan {
    pub(crate) fn of(words: &[String]) -> Option<Self> {
        let known = ["box", "hold", "thread", "codec"];
        let all = words.is_empty();
        let has = |word: &str| all || words.iter().any(|said| said == word);
        let plan = Self {
            whole_box: has("box"),
            hold: has("hold"),
            thread: has("thread"),
            codec: has("codec"),
        };
        words.iter().all(|word| known.contains(&word.as_str())).then_some(plan)
    }
}

pub(crate) fn run(table: &mut Table, plan: Plan, window: Duration) -> Outcome<()> {
    if plan.whole_box {
        for count in COUNTS {
            box_round(table, count, window)?;
        }
    }
    if plan.hold {
        if !plan.whole_box {
            for count in COUNTS {
                bridged_round(table, count, window)?;
                waiting_round(table, count, window)?;
            }
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
    bridged_round(table, count, window)?;
    for (who, between) in [
        (RTPENGINE, Between::Box(Kind::Rtpengine)),
        (EVERY_MS, Between::Bare(Wakes::PerMillisecond)),
        (PER_PACKET, Between::Bare(Wakes::PerPacket)),
        (RECORDED, Between::Box(Kind::RECORDED)),
        (SECURED, Between::Box(Kind::SECURED)),
    ]
    .map(|(who, who_is)| (who, between(who_is)))
    {
        let (run, valid) = on_time(table, who, count, between)?;
        say_run(table, who, count, &run, valid);
    }
    waiting_round(table, count, window)?;
    if count == COUNTS[0] {
        let (run, valid) =
            on_time(table, TRANSCODED, count, || runs::bridged(Kind::TALKS, OPUS, count, window))?;
        say_run(table, TRANSCODED, count, &run, valid);
    }
    Ok(())
}

fn bridged_round(table: &mut Table, count: u16, window: Duration) -> Outcome<()> {
    let bridged = || runs::talk(Between::Box(Kind::TALKS), count, window);
    let (run, valid) = on_time(table, CLAVIJA, count, bridged)?;
    say_run(table, CLAVIJA, count, &run, valid);
    Ok(())
}

fn waiting_round(table: &mut Table, count: u16, window: Duration) -> Outcome<()> {
    let waiting = || runs::waiting(Format::G711, count, window);
    let (run, valid) = on_time(table, WAITING, count, waiting)?;
    say_run(table, WAITING, count, &run, valid);
    Ok(())
}

fn hold_round(table: &mut Table, window: Duration) -> Outcome<()> {
    for (name, format) in HOLD {
        let who = format!("on hold, {name}");
        let (run, valid) =
            on_time(table, &who, ON_HOLD, || runs::waiting(format, ON_HOLD, window))?;
        say_run(table, &who, ON_HOLD, &run, valid);
        table.add(&in_words(&who, ON_HOLD, "encoded"), run.encoded_per_second(), valid);
    }
    Ok(())
}

fn thread_round(table: &mut Table, window: Duration) -> Outcome<()> {
    for (name, scene) in [
        ("G.711", Scene::Bridge(PLAIN)),
        ("conference", Scene::Conference),
        ("Opus", Scene::Bridge(OPUS)),
        ("G.722", Scene::Bridge(G722)),
        ("SRTP", Scene::Secured),
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
    let lost = if run.seen.heard > 0 { format!(", {} lost", run.seen.lost) } else { String::new() };
    println!(
        "  {who}, {count}: {us_per_packet:.2} us a packet, {} came{lost}; the generator {:.0} % of its core",
        run.seen.came,
        100.0 * run.generator_core()
    );
    if run.seen.unopened > 0 {
        let unopened = run.seen.unopened;
        table.note(format!("{who}, {count}: {unopened} came that the keys do not open"));
    }
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
