//! Runs simulations: `chatcamp-simulation [--seed N | --seeds N | --seconds N] [--from N] [--planted NAME]`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people talks on the terminal")]

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use chatcamp_simulation::{Outcome, Planted, Simulation};

const USAGE: &str =
    "usage: chatcamp-simulation [--seed N | --seeds N | --seconds N] [--from N] [--steps N] [--planted NAME]

  --seed N        replay one seed and show its last steps
  --seeds N       run N seeds (1000 unless told otherwise), up to the first that fails
  --seconds N     run as many seeds as fit into N seconds
  --from N        begin with seed N (1 unless told otherwise)
  --steps N       show the last N steps of a failure (400 unless told otherwise)
  --planted NAME  plant a fault, which is to be found";

/// What is asked for.
struct Wanted {
    seed: Option<u64>,
    seeds: u64,
    time: Option<Duration>,
    from: u64,
    steps: Option<usize>,
    planted: Option<Planted>,
}

fn main() -> ExitCode {
    match wanted() {
        Ok(wanted) => run(&wanted),
        Err(what) => {
            eprintln!("{what}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn wanted() -> Result<Wanted, String> {
    let mut wanted = Wanted { seed: None, seeds: 1000, time: None, from: 1, steps: None, planted: None };
    let mut args = env::args().skip(1);
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{option} {value}: not a number"));
        match option.as_str() {
            "--seed" => wanted.seed = Some(number()?),
            "--seeds" => wanted.seeds = number()?,
            "--seconds" => wanted.time = Some(Duration::from_secs(number()?)),
            "--from" => wanted.from = number()?,
            "--steps" => wanted.steps = usize::try_from(number()?).ok(),
            "--planted" => wanted.planted = Some(planted(&value)?),
            _ => return Err(format!("{option}: no such option")),
        }
    }
    Ok(wanted)
}

fn planted(name: &str) -> Result<Planted, String> {
    let names = || Planted::ALL.iter().map(|planted| format!("{planted:?}")).collect::<Vec<_>>().join(", ");
    let found = Planted::ALL.iter().find(|planted| format!("{planted:?}") == name);
    found.copied().ok_or_else(|| format!("{name}: no such fault; there are {}", names()))
}

fn run(wanted: &Wanted) -> ExitCode {
    let simulate = |seed| {
        let simulation = wanted.steps.into_iter().fold(Simulation::new(seed), Simulation::keep_steps);
        wanted.planted.into_iter().fold(simulation, Simulation::plant).run()
    };
    if let Some(seed) = wanted.seed {
        let outcome = simulate(seed);
        show(&outcome);
        return verdict(&outcome);
    }
    let (began, mut steps, mut elapsed) = (Instant::now(), 0, Duration::ZERO);
    let mut seeds = 0;
    let goes_on = |seeds| match wanted.time {
        Some(time) => began.elapsed() < time,
        None => seeds < wanted.seeds,
    };
    while goes_on(seeds) {
        let outcome = simulate(wanted.from + seeds);
        seeds += 1;
        (steps, elapsed) = (steps + outcome.steps, elapsed + outcome.elapsed);
        if outcome.violation.is_some() {
            show(&outcome);
            println!("after {seeds} seeds; replay it with `cargo xtask simulate --seed {}`", outcome.seed);
            return verdict(&outcome);
        }
    }
    println!(
        "{seeds} seeds in {:.1} s, {steps} steps, {:.1} h of their time: everything held",
        began.elapsed().as_secs_f64(),
        elapsed.as_secs_f64() / 3600.0
    );
    ExitCode::SUCCESS
}

fn show(outcome: &Outcome) {
    outcome.last_steps.iter().for_each(|step| println!("{step}"));
    match &outcome.violation {
        Some(violation) => println!("\nseed {} broke {violation}", outcome.seed),
        None => println!("\nseed {}: everything held", outcome.seed),
    }
    println!("{} steps, digest {:016x}", outcome.steps, outcome.digest);
}

fn verdict(outcome: &Outcome) -> ExitCode {
    if outcome.violation.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
