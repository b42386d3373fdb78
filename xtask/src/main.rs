//! Checks and tools of the project: `cargo xtask VERB`, one module per verb.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool prints")]

mod cargo;
mod ci;
mod failure;
mod features;
mod git;
mod graph;
mod hygiene;
mod layers;
mod restart;
mod simulate;
mod test;
mod tools;

use std::env;
use std::process::ExitCode;

use failure::{Failure, Reported};

type Verb = (&'static str, &'static str, fn(&[String]) -> Result<(), Failure>);

const VERBS: &[Verb] = &[
    ("ci", "run every stage in order, and stop at the first failure", |_| ci::run()),
    (
        "layers",
        "check who may depend on whom, crates and modules; --write puts the modules into the docs",
        layers::run,
    ),
    (
        "features",
        "check that crates compile with each feature alone and with none, and what the server needs",
        |_| features::run(),
    ),
    ("hygiene", "check that committed files name no registry host and no path of one machine", |_| {
        hygiene::run()
    }),
    ("tools", "name the programs that tests need and that are missing", |_| tools::check()),
    ("restart", "restart a server under 5,000 clients, and draw when they reconnect", |_| restart::run()),
    (
        "simulate",
        "run client and server under seeded schedules: --seeds N, --seconds N, --seed N to replay one",
        simulate::run,
    ),
];

/// The verbs with arguments of their own.
const WITH_ARGUMENTS: &[&str] = &["layers", "simulate"];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let wanted = match args.as_slice() {
        [verb, rest @ ..] if rest.is_empty() || WITH_ARGUMENTS.contains(&verb.as_str()) => {
            VERBS.iter().find(|(name, ..)| name == verb).map(|verb| (verb, rest))
        }
        _ => None,
    };
    let Some(((name, _, run), rest)) = wanted else {
        eprintln!("usage: cargo xtask VERB\n");
        for (name, about, _) in VERBS {
            eprintln!("  {name:<10} {about}");
        }
        return ExitCode::from(2);
    };
    match run(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) if why.is::<Reported>() => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{name}: {why}");
            ExitCode::FAILURE
        }
    }
}
