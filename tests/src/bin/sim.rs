//! `sim SEED`: lives one simulated day again and prints its ladder; exit 1 with the broken promise.

use clavija_tests::world::World;
use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

fn main() -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let Some(seed) = env::args().nth(1).and_then(|text| text.parse().ok()) else {
        writeln!(io::stderr(), "usage: sim SEED, a whole number")?;
        return Ok(ExitCode::from(2));
    };
    let mut world = World::new(seed, Instant::now()).with_ladder();
    let lived = world.live();
    write!(out, "{}", world.ladder())?;
    for (name, count) in world.reached().all() {
        writeln!(out, "{count:>8}  {name}")?;
    }
    match lived {
        Ok(()) => {
            writeln!(out, "seed {seed}: every promise held")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(broken) => {
            writeln!(out, "BROKEN: {broken}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}
