//! The lines of the table: which figure stands beside which, and what is asked of it.

use crate::table::{Against, Row};
use clavija_benches::load::sip::Format;

pub(crate) const COUNTS: [u16; 2] = [100, 400];
/// A hundred in Opus would be all of a core.
pub(crate) const TALKS: u16 = 50;
/// Few, so that their delay is the box's and not a queue's.
pub(crate) const TIMED_TALKS: u16 = 20;
pub(crate) const ON_HOLD: u16 = 1_000;

pub(crate) const CLAVIJA: &str = "clavija";
pub(crate) const RECORDED: &str = "clavija, recorded";
pub(crate) const SECURED: &str = "clavija, SRTP";
pub(crate) const TRANSCODED: &str = "clavija, Opus to G.711";
pub(crate) const WAITING: &str = "clavija, waiting";
pub(crate) const RTPENGINE: &str = "rtpengine";
pub(crate) const EVERY_MS: &str = "bare relay, every 1 ms";
pub(crate) const PER_PACKET: &str = "bare relay, wakes for each packet";
pub(crate) const LIBOPUS: &str = "libopus alone";

pub(crate) const HOLD: [(&str, Format); 3] =
    [("G.711", Format::G711), ("G.722", Format::G722), ("Opus", Format::Opus)];

/// A figure's name, which is also what the table calls it.
pub(crate) fn in_words(who: &str, count: u16, what: &str) -> String {
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
            ratio(
                &calls("SRTP on both sides, all threads"),
                "%",
                at(SECURED, "call"),
                at(CLAVIJA, "call"),
                None,
            ),
            ratio(
                &calls("SRTP on both sides, media thread"),
                "%",
                at(SECURED, "media"),
                at(CLAVIJA, "media"),
                None,
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
            row(&calls("memory per call, Opus to G.711"), at(TRANSCODED, "memory"), "KiB", None),
            row(
                &calls("CPU per packet, Opus to G.711, whole box"),
                at(TRANSCODED, "packet"),
                "us",
                None,
            ),
            row(&calls("memory per call, rtpengine"), at(RTPENGINE, "memory"), "KiB", None),
        ]);
    }
    for (name, _) in HOLD {
        let at = |what: &str| in_words(&format!("on hold, {name}"), ON_HOLD, what);
        rows.push(ratio(
            &format!("1,000 on hold, {name}: a caller over a bridged call (of 400)"),
            "% of a core",
            at("call"),
            in_words(CLAVIJA, COUNTS[1], "call"),
            Some(0.5),
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
