//! `sim SEED`: lives one simulated day again and prints its ladder; exit 1 with the broken promise.
//! `sim FROM TO`: lives all of these days and prints a line for each that breaks one.

use clavija_tests::world::{Reached, World};
use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

fn main() -> io::Result<ExitCode> {
    match run() {
        // Whoever has seen enough needs no error; but not every day was lived.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::FAILURE),
        done => done,
    }
}

fn run() -> io::Result<ExitCode> {
    let seeds: Option<Vec<u64>> = env::args().skip(1).map(|text| text.parse().ok()).collect();
    match seeds.as_deref() {
        Some(&[seed]) => one(seed),
        Some(&[from, to]) => many(from, to),
        Some(_) | None => {
            writeln!(io::stderr(), "usage: sim SEED [TO], whole numbers")?;
            Ok(ExitCode::from(2))
        }
    }
}

fn one(seed: u64) -> io::Result<ExitCode> {
    let mut world = World::new(seed, Instant::now()).with_ladder();
    let (end, code) = match world.live() {
        Ok(()) => (format!("seed {seed}: every promise held"), ExitCode::SUCCESS),
        Err(broken) => (format!("BROKEN: {broken}"), ExitCode::FAILURE),
    };
    match tell_day(&mut io::stdout().lock(), &world, &end) {
        // `sim 42 | head`: the day was lived all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(code),
        told => told.map(|()| code),
    }
}

fn tell_day(out: &mut impl Write, world: &World, end: &str) -> io::Result<()> {
    write!(out, "{}", world.ladder())?;
    tell(out, world.reached())?;
    writeln!(out, "{end}")
}

fn many(from: u64, to: u64) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    let (mut reached, mut broken) = (Reached::default(), 0);
    for seed in from..to {
        let mut world = World::new(seed, Instant::now());
        if let Err(why) = world.live() {
            broken += 1;
            writeln!(out, "BROKEN: {why}")?;
        }
        reached += *world.reached();
    }
    tell(&mut out, &reached)?;
    writeln!(out, "{broken} of {} seeds broke a promise", to.saturating_sub(from))?;
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(out: &mut impl Write, reached: &Reached) -> io::Result<()> {
    reached.all().iter().try_for_each(|(name, count)| writeln!(out, "{count:>9}  {name}"))
}
