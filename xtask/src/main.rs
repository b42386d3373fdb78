//! What the project does to itself: `cargo xtask VERB`, one module per verb.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a tool for people talks on the terminal")]

mod cargo;
mod ci;
mod features;
mod graph;
mod hygiene;
mod layers;
mod restart;
mod test;

use std::process::ExitCode;
use std::{env, fmt};

/// What a verb returns when it fails: what is wrong, for people.
type Failure = Box<dyn std::error::Error>;

/// A failure that has been told on the terminal already.
#[derive(Debug)]
struct Reported;

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed, as reported")
    }
}

impl std::error::Error for Reported {}

type Verb = (&'static str, &'static str, fn() -> Result<(), Failure>);

const VERBS: &[Verb] = &[
    ("ci", "run every stage, in order, and stop at the first that fails", ci::run),
    ("layers", "check that no crate depends on what its layer must not know", layers::run),
    ("features", "check that transport and client compile with each feature alone, and none", features::run),
    ("restart", "start a server anew under 5,000 clients, and draw when they come back", restart::run),
    ("hygiene", "check that committed files name no registry host and no path of one machine", hygiene::run),
];

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let wanted = match args.as_slice() {
        [verb] => VERBS.iter().find(|(name, ..)| name == verb),
        _ => None,
    };
    let Some((name, _, run)) = wanted else {
        eprintln!("usage: cargo xtask VERB\n");
        for (name, about, _) in VERBS {
            eprintln!("  {name:<10} {about}");
        }
        return ExitCode::from(2);
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) if why.is::<Reported>() => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{name}: {why}");
            ExitCode::FAILURE
        }
    }
}
