//! What media costs here and beside it in one run: bridged calls, recordings, music, conferences, codecs;
//! delay, spacing, memory. Everybody once a round, and each target beside its figure.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

mod codec;
mod engine;
mod rounds;
mod rows;
mod table;
mod thread;

use clavija_benches::load::{runs, target::Kind};
use rounds::Plan;
use std::{env, error::Error, fs, path::Path};
use table::Table;

const USAGE: &str = "usage: bench-media [box|hold|thread|codec]…
Words name what is measured; without any, all. BENCH_SECONDS is the length of a window (5), BENCH_ROUNDS how
many rounds (5), CLAVIJA_BIN another binary than the one beside this program.";

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = env::args().skip(1).collect();
    let plan = Plan::of(&words).ok_or(USAGE)?;
    if plan.whole_box || plan.hold {
        for kind in [Kind::TALKS, Kind::Rtpengine] {
            println!("{}", kind.version()?);
        }
    }
    println!("load before: {}", fs::read_to_string("/proc/loadavg")?.trim());
    runs::take_our_core()?;
    let mut table = Table::default();
    let count = clavija_benches::rounds();
    for round in 1..=count {
        println!("round {round} of {count}");
        table.begin_round();
        rounds::run(&mut table, plan, clavija_benches::window())?;
    }
    let printed = table.print(&rows::rows());
    println!("\n{printed}");
    let me = env::current_exe()?;
    let file = me.ancestors().nth(2).unwrap_or_else(|| Path::new(".")).join("bench-media.md");
    fs::write(&file, printed)?;
    println!("written to {}", file.display());
    Ok(())
}
