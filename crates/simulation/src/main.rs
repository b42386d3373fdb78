//! Runs simulations and reports the first seed that breaks an invariant.
#![allow(clippy::print_stdout, reason = "results of a command-line tool go to standard output")]

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use chatcamp_simulation::{Outcome, Planted, Simulation};
use clap::Parser;

/// Run seeded simulations of the client and the server
#[derive(Debug, Parser)]
#[command(name = "chatcamp-simulation", disable_version_flag = true)]
struct Options {
    /// Replay one seed and show its last steps
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "seconds", "from"])]
    seed: Option<u64>,
    /// Run this many seeds, up to the first that fails
    #[arg(long, value_name = "N", default_value_t = 1000, conflicts_with = "seconds")]
    seeds: u64,
    /// Run as many seeds as fit into this many seconds
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Start with this seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    from: u64,
    /// Show this many of the last steps of a failure
    #[arg(long, value_name = "N", default_value_t = 400)]
    steps: usize,
    /// Plant this fault, which the simulation must find
    #[arg(long, value_name = "NAME", value_parser = planted)]
    planted: Option<Planted>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.seed {
        Some(seed) => {
            let outcome = options.simulate(seed);
            show(&outcome);
            exit_code(&outcome)
        }
        None => run_many(&options),
    }
}

/// Reads the name of a planted fault.
fn planted(name: &str) -> Result<Planted, String> {
    let found = Planted::ALL.iter().find(|planted| format!("{planted:?}") == name);
    found.copied().ok_or_else(|| {
        let names: Vec<_> = Planted::ALL.iter().map(|planted| format!("{planted:?}")).collect();
        format!("no planted fault has this name; use one of {}", names.join(", "))
    })
}

impl Options {
    fn simulate(&self, seed: u64) -> Outcome {
        let simulation = Simulation::new(seed).keep_steps(self.steps);
        match self.planted {
            Some(fault) => simulation.plant(fault).run(),
            None => simulation.run(),
        }
    }
}

fn run_many(options: &Options) -> ExitCode {
    let began = Instant::now();
    let time = options.seconds.map(Duration::from_secs);
    let mut seeds = 0;
    let mut steps = 0;
    let mut elapsed = Duration::ZERO;
    while time.map_or(seeds < options.seeds, |time| began.elapsed() < time) {
        let outcome = options.simulate(options.from + seeds);
        seeds += 1;
        steps += outcome.steps;
        elapsed += outcome.elapsed;
        if outcome.violation.is_some() {
            show(&outcome);
            println!(
                "failed after {seeds} seeds; replay with `cargo xtask simulate --seed {}`",
                outcome.seed
            );
            return exit_code(&outcome);
        }
    }
    println!(
        "{seeds} seeds in {:.1} s, {steps} steps, {:.1} h of simulated time: every invariant held",
        began.elapsed().as_secs_f64(),
        elapsed.as_secs_f64() / 3600.0
    );
    ExitCode::SUCCESS
}

fn show(outcome: &Outcome) {
    for step in &outcome.last_steps {
        println!("{step}");
    }
    match &outcome.violation {
        Some(violation) => println!("\nseed {} broke {violation}", outcome.seed),
        None => println!("\nseed {}: every invariant held", outcome.seed),
    }
    println!("{} steps, digest {:016x}", outcome.steps, outcome.digest);
}

fn exit_code(outcome: &Outcome) -> ExitCode {
    if outcome.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
