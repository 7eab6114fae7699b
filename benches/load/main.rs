//! Calls and their audio on the box and on its peers in one run: CPU per call beside Kamailio, per
//! packet beside rtpengine and a bare relay, and what the box carries without a failure.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

mod programme;

use clavija_benches::{
    floor::Wakes,
    load::{
        runs::{self, Between},
        sip::Format,
        target::Kind,
    },
};
use std::{env, error::Error, time::Duration};

const USAGE: &str = "usage: load
       load calls RATE SECONDS clavija|kamailio
       load memory CALLS RATE clavija|kamailio
       load talk CALLS SECONDS clavija|recorded|secured|rtpengine|relay|epoll
       load wait CALLERS SECONDS g711|g722|opus
The first measures everything in turns; BENCH_SECONDS is the length of one window (5).";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    runs::take_our_core()?;
    match words[..] {
        [] => programme::run(),
        ["calls", rate, seconds, who] => {
            let kind = match between(who).ok_or(USAGE)? {
                Between::Box(Kind::TALKS) => Kind::CALLS,
                Between::Box(kind) => kind,
                Between::Bare(_) => return Err(USAGE.into()),
            };
            let run = runs::calls(kind, rate.parse()?, Duration::from_secs(seconds.parse()?))?;
            println!("{}", programme::say_calls(who, rate.parse()?, &run));
            Ok(())
        }
        ["memory", calls, rate, who] => {
            let kind = match between(who).ok_or(USAGE)? {
                Between::Box(Kind::TALKS) => Kind::CALLS,
                Between::Box(kind) => kind,
                Between::Bare(_) => return Err(USAGE.into()),
            };
            let run = runs::memory(kind, rate.parse()?, calls.parse()?)?;
            println!("{}", programme::say_memory(who, calls.parse()?, &run));
            Ok(())
        }
        ["talk", calls, seconds, who] => {
            let between = between(who).ok_or(USAGE)?;
            let run = runs::talk(between, calls.parse()?, Duration::from_secs(seconds.parse()?))?;
            println!("{}", programme::say_talk(who, calls.parse()?, &run));
            Ok(())
        }
        ["wait", callers, seconds, format] => {
            let format = match format {
                "g711" => Format::G711,
                "g722" => Format::G722,
                "opus" => Format::Opus,
                _ => return Err(USAGE.into()),
            };
            let seconds = Duration::from_secs(seconds.parse()?);
            let run = runs::waiting(format, callers.parse()?, seconds)?;
            println!("{}", programme::say_wait(callers.parse()?, &run));
            Ok(())
        }
        _ => Err(USAGE.into()),
    }
}

fn between(word: &str) -> Option<Between> {
    Some(match word {
        "clavija" => Between::Box(Kind::TALKS),
        "recorded" => Between::Box(Kind::RECORDED),
        "secured" => Between::Box(Kind::SECURED),
        "kamailio" => Between::Box(Kind::Kamailio),
        "rtpengine" => Between::Box(Kind::Rtpengine),
        "relay" => Between::Bare(Wakes::PerMillisecond),
        "epoll" => Between::Bare(Wakes::PerPacket),
        _ => return None,
    })
}
