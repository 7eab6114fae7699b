//! Contenders that do the same work in turns: criterion watches each, and each is a ratio to the
//! first, the floor.
#![expect(clippy::print_stdout, reason = "a bench says what it measured")]

use crate::cpu;
use criterion::Criterion;
use std::{env, hint::black_box, time::Duration};

/// Turns each contender gets for its ratio.
const ROUNDS: usize = 51;

/// CPU time of one turn, at least: a thousand times what reading the clock costs.
const TURN: Duration = Duration::from_millis(2);

/// Several ways to do the same.
pub struct Race<'a> {
    title: &'static str,
    contenders: Vec<Contender<'a>>,
}

struct Contender<'a> {
    name: &'static str,
    /// Does it so many times and says what CPU time that took.
    run: Box<dyn FnMut(u64) -> Duration + 'a>,
}

impl<'a> Race<'a> {
    pub fn new(title: &'static str) -> Self {
        Self { title, contenders: Vec::new() }
    }

    /// One more contender; the first is the floor.
    #[must_use]
    pub fn add<T>(self, name: &'static str, mut work: impl FnMut() -> T + 'a) -> Self {
        self.add_timed(name, move |times| {
            cpu::span(|| {
                for _ in 0..times {
                    black_box(work());
                }
            })
        })
    }

    /// One that prepares something between, which is not to be counted, and takes its own time.
    #[must_use]
    pub fn add_timed(mut self, name: &'static str, run: impl FnMut(u64) -> Duration + 'a) -> Self {
        self.contenders.push(Contender { name, run: Box::new(run) });
        self
    }

    /// Criterion's figures for each, then the ratios.
    pub fn run(mut self, criterion: &mut Criterion) {
        let mut group = criterion.benchmark_group(self.title);
        for contender in &mut self.contenders {
            group.bench_function(contender.name, |bencher| {
                bencher.iter_custom(|times| (contender.run)(times));
            });
        }
        group.finish();
        // Without the argument criterion only tries whether everything runs, and so do we.
        if env::args().any(|argument| argument == "--bench") {
            self.print_ratios();
        }
    }

    fn print_ratios(&mut self) {
        let turns: Vec<u64> = self.contenders.iter_mut().map(Contender::times_in_a_turn).collect();
        let mut each_ns = vec![Vec::with_capacity(ROUNDS); self.contenders.len()];
        for round in 0..ROUNDS {
            for place in 0..turns.len() {
                // Another one begins each round: what a neighbour leaves in the caches is shared.
                let place = (place + round) % turns.len();
                let took = (self.contenders[place].run)(turns[place]);
                each_ns[place].push(took.as_secs_f64() * 1e9 / turns[place] as f64);
            }
        }
        println!("\n{}, CPU time", self.title);
        println!("  {:<44} {:>10}   ratio (middle 80 %)", "", "ns");
        for (contender, own_ns) in self.contenders.iter().zip(&each_ns) {
            let mut ratios: Vec<f64> =
                own_ns.iter().zip(&each_ns[0]).map(|(own, floor)| own / floor).collect();
            let [low, middle, high] = spread(&mut ratios);
            let [_, ns, _] = spread(&mut own_ns.clone());
            println!("  {:<44} {ns:>10.1}   {middle:.2} ({low:.2}-{high:.2})", contender.name);
        }
        println!();
    }
}

impl Contender<'_> {
    fn times_in_a_turn(&mut self) -> u64 {
        let mut times = 1;
        while (self.run)(times) < TURN {
            times *= 2;
        }
        times
    }
}

/// The tenth, the median and the ninetieth of a hundred.
fn spread(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [10, 50, 90].map(|percent| values[(values.len() - 1) * percent / 100])
}

/// Few samples of short spans: what counts is the ratio, and it has turns of its own.
pub fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .nresamples(5_000)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_000))
        .configure_from_args()
}
