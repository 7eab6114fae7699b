//! What `make bench` measures, in turns: everybody once a round, so that what else the machine does
//! hits all alike, and ratios are taken within a round.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use clavija_benches::{
    floor::Wakes,
    load::{
        delays::Delays,
        report::{Report, short},
        runs::{self, Between, CallRun, MemoryRun, TalkRun},
        target::{Kind, Ports},
    },
};
use std::{
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const ROUNDS: usize = 3;
/// A run in which the generator was late is done again, so often.
const TRIES: usize = 3;
/// Calls a second that every target must carry.
const STEADY_RATE: u32 = 100;
/// And those that are tried until one fails.
const CLIMB: [u32; 6] = [200, 300, 500, 700, 1_000, 1_300];
/// Calls of which nothing may be left after as many before them, and how many a second.
const MEMORY_CALLS: usize = 20_000;
const MEMORY_RATE: u32 = 300;
/// Bridged calls.
const TALKS: [u16; 2] = [100, 200];
/// The longest anybody waits for the 180 at a rate that counts as clean.
const CLEAN_RING_MS: f64 = 50.0;

/// What the pages of the project show of it all.
const SHOWN: [&str; 9] = [
    "ratio",
    "CPU per",
    "INVITE to 180, p99",
    "clean rate",
    "for ever",
    "failed",
    "lost",
    "latency p99",
    "memory",
];

type Outcome<T> = Result<T, Box<dyn Error>>;

pub(crate) fn run() -> Outcome<()> {
    let window = clavija_benches::window();
    let mut report = Report::default();
    describe(&mut report, window)?;
    for round in 1..=ROUNDS {
        println!("round {round} of {ROUNDS}");
        call_round(&mut report, window)?;
        for count in TALKS {
            talk_round(&mut report, count, window)?;
        }
    }
    climb(&mut report, window)?;
    memory(&mut report)?;
    ratios(&mut report);
    println!("\n{}", report.table());
    let file = target_folder().join("load.json");
    fs::write(&file, format!("{:#}\n", report.json()))?;
    let page = file.with_extension("md");
    fs::write(&page, report.rows(&SHOWN))?;
    println!("written to {} and {}", file.display(), page.display());
    Ok(())
}

/// Who is here, on what. A peer that is missing is named before anything is measured.
fn describe(report: &mut Report, window: Duration) -> Outcome<()> {
    for (name, kind) in
        [("clavija", Kind::CALLS), ("kamailio", Kind::Kamailio), ("rtpengine", Kind::Rtpengine)]
    {
        report.fact(name, kind.version()?);
    }
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':']));
    report.fact("cpu", model);
    report.fact("cores", std::thread::available_parallelism()?.get());
    report.fact("kernel", fs::read_to_string("/proc/sys/kernel/osrelease")?.trim());
    report.fact("load_before", fs::read_to_string("/proc/loadavg")?.trim());
    report.fact("seconds", window.as_secs());
    report.fact("at", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    Ok(())
}

fn call_round(report: &mut Report, window: Duration) -> Outcome<()> {
    for (who, kind) in [("clavija", Kind::CALLS), ("kamailio", Kind::Kamailio)] {
        let run = on_time(report, who, CallRun::is_valid, || {
            let run = runs::calls(kind, STEADY_RATE, window)?;
            println!("{}", say_calls(who, STEADY_RATE, &run));
            Ok(run)
        })?;
        let name = |what: &str| format!("{who}, {STEADY_RATE} calls/s: {what}");
        report.add(&name("CPU per call"), "ms", run.cpu_ms_per_call());
        for (what, delays) in [
            ("INVITE to INVITE", &run.tally.passed_on),
            ("INVITE to 180", &run.tally.ring),
            ("INVITE to 200", &run.tally.answer),
            ("BYE to 200", &run.tally.bye),
        ] {
            let Some([p50, p99]) = delays.ms([0.5, 0.99]) else { continue };
            report.add(&name(&format!("{what}, p50")), "ms", p50);
            report.add(&name(&format!("{what}, p99")), "ms", p99);
        }
        if let Some([p99]) = run.tally.late.ms([0.99]) {
            report.add(&name("the generator itself late, p99"), "ms", p99);
        }
        report.add(&name("calls"), "", run.tally.placed as f64);
        report.add(&name("calls that failed"), "", run.failures() as f64);
        report.add(&name("said again by us"), "", run.tally.said_again as f64);
    }
    Ok(())
}

/// What twenty thousand calls leave behind beyond what twenty thousand before them took.
fn memory(report: &mut Report) -> Outcome<()> {
    for (who, kind) in [("clavija", Kind::CALLS), ("kamailio", Kind::Kamailio)] {
        let run = runs::memory(kind, MEMORY_RATE, MEMORY_CALLS)?;
        println!("{}", say_memory(who, MEMORY_CALLS, &run));
        let name = format!("{who}, {MEMORY_CALLS} calls: memory that each leaves");
        report.add(&name, "bytes", run.grown_bytes(MEMORY_CALLS));
        let failed: u64 = run.failed.values().sum();
        report.add(&format!("{who}, {MEMORY_CALLS} calls: failed"), "", failed as f64);
    }
    Ok(())
}

fn talk_round(report: &mut Report, count: u16, window: Duration) -> Outcome<()> {
    for (who, between) in [
        ("clavija", Between::Box(Kind::TALKS)),
        ("rtpengine", Between::Box(Kind::Rtpengine)),
        ("bare relay every 1 ms", Between::Bare(Wakes::PerMillisecond)),
        ("clavija, recorded", Between::Box(Kind::RECORDED)),
    ] {
        let run = on_time(report, who, TalkRun::is_valid, || {
            let run = runs::talk(between, count, window)?;
            println!("{}", say_talk(who, count, &run));
            Ok(run)
        })?;
        let name = |what: &str| format!("{who}, {count} talks: {what}");
        report.add(&name("CPU per packet"), "ns", run.cpu_ns_per_packet());
        if let Some([p50, p99, p999]) = run.seen.latency.ms([0.5, 0.99, 0.999]) {
            report.add(&name("latency p50"), "ms", p50);
            report.add(&name("latency p99"), "ms", p99);
            report.add(&name("latency p99.9"), "ms", p999);
        }
        if let Some([p99]) = run.seen.late.ms([0.99]) {
            report.add(&name("the generator itself late, p99"), "ms", p99);
        }
        report.add(&name("packets"), "", run.seen.sent as f64);
        report.add(&name("packets lost inside"), "", run.seen.lost as f64);
        let grown_kib = run.resident_kib[1].saturating_sub(run.resident_kib[0]);
        if run.resident_kib[0] > 0 {
            report.add(&name("memory per call"), "KiB", grown_kib as f64 / f64::from(count));
        }
        if between != Between::Bare(Wakes::PerMillisecond)
            && between != Between::Box(Kind::Rtpengine)
        {
            let confessed = run.confessed().iter().fold(0.0, |sum, (_, count)| sum + count);
            report.add(&name("lost by its own count"), "", confessed);
            report.add(&name("calls that failed"), "", run.failed.values().sum::<u64>() as f64);
        }
    }
    Ok(())
}

/// Faster and faster until calls fail or wait too long.
fn climb(report: &mut Report, window: Duration) -> Outcome<()> {
    println!("how many calls a second");
    let mut cleanest = STEADY_RATE;
    // All calls of a run, because the ports of those that ended rest for longer than a run lasts.
    let calls_max = Ports::Many.pairs()? / 2 - 50;
    report.add(
        "clavija: calls/s for ever with its ports, of 1 s",
        "calls/s",
        (calls_max / 6) as f64,
    );
    for rate in CLIMB {
        let all = Duration::from_secs(calls_max) / rate;
        let window = window.min(all.saturating_sub(runs::WARM_UP));
        let run = on_time(report, "clavija", CallRun::is_valid, || {
            let run = runs::calls(Kind::CALLS, rate, window)?;
            println!("{}", say_calls("clavija", rate, &run));
            Ok(run)
        })?;
        let ring = run.tally.ring.ms([0.99]).map_or(f64::INFINITY, |[p99]| p99);
        if run.failures() > 0 || ring > CLEAN_RING_MS {
            report.fact("first rate that was not clean", rate);
            break;
        }
        cleanest = rate;
        report.add(&format!("clavija, {rate} calls/s: CPU per call"), "ms", run.cpu_ms_per_call());
        report.add(&format!("clavija, {rate} calls/s: INVITE to 180, p99"), "ms", ring);
    }
    report.add("clavija: highest clean rate", "calls/s", cleanest.into());
    Ok(())
}

fn ratios(report: &mut Report) {
    let at = |who: &str| format!("{who}, {STEADY_RATE} calls/s: CPU per call");
    report.ratio("ratio: CPU per call, clavija to kamailio", &at("clavija"), &at("kamailio"));
    for count in TALKS {
        let at = |who: &str| format!("{who}, {count} talks: CPU per packet");
        for (of, to) in [
            ("clavija", "rtpengine"),
            ("clavija", "bare relay every 1 ms"),
            ("clavija, recorded", "clavija"),
        ] {
            let name = format!("ratio: CPU per packet, {count} talks, {of} to {to}");
            report.ratio(&name, &at(of), &at(to));
        }
    }
}

/// A run in which the generator was on time, or the last of those that were not.
fn on_time<T>(
    report: &mut Report,
    who: &str,
    is_valid: impl Fn(&T) -> bool,
    mut run: impl FnMut() -> Outcome<T>,
) -> Outcome<T> {
    for _ in 1..TRIES {
        let done = run()?;
        if is_valid(&done) {
            return Ok(done);
        }
        report.set_aside(format!("{who}: the generator was late; done again"));
    }
    let last = run()?;
    if !is_valid(&last) {
        report
            .set_aside(format!("{who}: the generator was late {TRIES} times; the last one counts"));
    }
    Ok(last)
}

/// What one run of calls gave, in a line or two.
pub(crate) fn say_calls(who: &str, rate: u32, run: &CallRun) -> String {
    let tally = &run.tally;
    let mut said = format!(
        "  {who}, {rate} calls/s: {} placed, {} whole, {} failed; {:.3} ms CPU per call",
        tally.placed,
        tally.whole,
        run.failures(),
        run.cpu_ms_per_call(),
    );
    for (name, ms) in run.thread_ms_per_call() {
        if ms >= 0.005 {
            // Writing to a String cannot fail.
            _ = write!(said, " {name} {ms:.3}");
        }
    }
    said += "\n   ";
    for (what, delays) in [
        ("passed on", &tally.passed_on),
        ("180", &tally.ring),
        ("200", &tally.answer),
        ("BYE", &tally.bye),
        ("ourselves late", &tally.late),
    ] {
        said += &format!(" {what} {};", percentiles(delays));
    }
    said += &format!(" said again {}, heard again {}", tally.said_again, tally.heard_again);
    said += &format!("; RSS {} to {} KiB", run.resident_kib[0], run.resident_kib[1]);
    for (why, count) in &tally.failed {
        said += &format!("\n    failed: {count} {why}");
    }
    if !run.is_valid() {
        said += "\n    NOT VALID: the generator was late";
    }
    said
}

/// What one run of talks gave.
pub(crate) fn say_talk(who: &str, count: u16, run: &TalkRun) -> String {
    let seen = &run.seen;
    let mut said =
        format!("  {who}, {count} talks: {:.0} ns CPU per packet", run.cpu_ns_per_packet());
    for (name, used) in &run.used.threads {
        let share = 100.0 * used.as_secs_f64() / run.window.as_secs_f64();
        if share >= 0.1 {
            said += &format!(" {name} {share:.1}%");
        }
    }
    said += &format!(
        "\n    sent {} lost {} doubled {} overtaken {} gaps {} put in {}; latency {}; ourselves late {}, {:.0} % of a core",
        seen.sent,
        seen.lost,
        seen.doubled,
        seen.overtaken,
        seen.gaps,
        seen.put_in,
        percentiles(&seen.latency),
        percentiles(&seen.late),
        100.0 * run.generator_core(),
    );
    said += &format!("; RSS {} to {} KiB", run.resident_kib[0], run.resident_kib[1]);
    for (what, count) in run.confessed() {
        said += &format!("\n    its own count: {what} {}", short(count));
    }
    for (why, count) in &run.failed {
        said += &format!("\n    failed: {count} {why}");
    }
    if !run.is_valid() {
        said += "\n    NOT VALID: the generator was late";
    }
    said
}

/// What one run of callers who wait gave.
pub(crate) fn say_memory(who: &str, count: usize, run: &MemoryRun) -> String {
    let [fresh, half, all] = run.resident_kib;
    format!(
        "  {who}: {fresh} KiB at the start, {half} after {count} calls, {all} after {count} more: {:.0} bytes for each \
         of these; failed {:?}",
        run.grown_bytes(count),
        run.failed,
    )
}

pub(crate) fn say_wait(count: u16, run: &TalkRun) -> String {
    let seen = &run.seen;
    let each = 100.0 * run.core() / f64::from(count);
    let mut said = format!(
        "  {count} wait: {each:.4} % of a core each; {} came, {:.0} frames encoded a second",
        seen.came,
        run.encoded_per_second(),
    );
    said += &format!(
        "\n    spacing {}; ourselves late {}, {:.0} % of a core",
        percentiles(&seen.spacing),
        percentiles(&seen.late),
        100.0 * run.generator_core(),
    );
    for (what, count) in run.confessed() {
        said += &format!("\n    its own count: {what} {}", short(count));
    }
    if !run.is_valid() {
        said += "\n    NOT VALID: the generator was late";
    }
    said
}

fn percentiles(delays: &Delays) -> String {
    let Some([p50, p99, p999, longest]) = delays.ms([0.5, 0.99, 0.999, 1.0]) else {
        return "-".to_owned();
    };
    format!("{p50:.2}/{p99:.2}/{p999:.2}/{longest:.1} ms")
}

/// Where cargo puts what it builds: this program lies in `target/PROFILE`.
fn target_folder() -> PathBuf {
    let me = env::current_exe().unwrap_or_default();
    me.ancestors().nth(2).unwrap_or_else(|| Path::new(".")).to_owned()
}
