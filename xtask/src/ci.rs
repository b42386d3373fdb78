//! `ci`: runs every stage in order and prints its seconds; the first failure ends the run.

use std::io;
use std::time::Instant;

use crate::cargo::{cargo, line, succeed};
use crate::failure::{Failure, Reported};
use crate::test::{self, Ran};
use crate::{features, hygiene, layers, simulate, tools};

struct Stage {
    name: &'static str,
    run: fn(&mut Ran) -> Result<(), Failure>,
    /// What to do when it fails.
    remedy: &'static str,
}

const STAGES: &[Stage] = &[
    Stage {
        name: "tools",
        run: |_| tools::check(),
        remedy: "install the programs that are named above; `.ci/run` does so on Debian",
    },
    Stage { name: "fmt", run: |_| command(&["fmt", "--all", "--check"]), remedy: "run `cargo fmt --all`" },
    Stage {
        name: "hygiene",
        run: |_| hygiene::run(),
        remedy: "remove the text that is named above from those lines",
    },
    Stage {
        name: "layers",
        run: |_| layers::run(&[]),
        remedy: "remove the dependency or import that is named above, or move the code to a layer that may have it",
    },
    Stage {
        name: "clippy",
        run: |_| {
            command(&["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"])
        },
        remedy: "fix what clippy reports; silence a lint only with a reason",
    },
    Stage { name: "doc", run: |_| doc(), remedy: "fix what rustdoc reports" },
    Stage {
        name: "features",
        run: |_| features::run(),
        remedy: "make the crate compile, without warnings, with the features printed last",
    },
    Stage {
        name: "examples",
        run: |_| command(&["test", "-p", "chatcamp-examples", "--quiet"]),
        remedy: "make every program in examples/ run to its end, and the Rust in the documents compile",
    },
    Stage { name: "test", run: test_plain, remedy: "make `cargo test --workspace` pass" },
    Stage {
        name: "simulate",
        run: |_| simulate::for_a_minute(),
        remedy: "replay the seed with `cargo xtask simulate --seed N` and fix what breaks the invariant",
    },
    Stage {
        name: "test-outside",
        run: test_ignored,
        remedy: "make `cargo test --workspace -- --ignored` pass; each test names the outside part it needs",
    },
];

/// Runs all stages.
///
/// # Errors
///
/// `Reported` if a stage fails. The stage, and what to do, are printed before the counts.
pub(crate) fn run() -> Result<(), Failure> {
    let mut ran = Ran::default();
    let mut seconds = Vec::new();
    let verdict = STAGES.iter().try_for_each(|stage| {
        println!("\n== {}", stage.name);
        let started = Instant::now();
        let outcome = (stage.run)(&mut ran);
        let took = format!("stage {} {:.1} seconds", stage.name, started.elapsed().as_secs_f64());
        println!("{took}");
        seconds.push(took);
        outcome.map_err(|why| format!("stage {} failed: {why}\nwhat to do: {}", stage.name, stage.remedy))
    });

    println!("\n{}", seconds.join("\n"));
    if let Err(why) = &verdict {
        println!("\n{why}");
    }
    // Tools read this line: it must be the last, with an empty line before it.
    if ran != Ran::default() {
        println!("\n{}", ran.counts);
    }
    verdict.map_err(|_| Reported.into())
}

fn command(args: &[&str]) -> Result<(), Failure> {
    let command = cargo(args);
    println!("{}", line(&command));
    succeed(command)
}

fn doc() -> Result<(), Failure> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--all-features"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    println!("RUSTDOCFLAGS=\"-D warnings\" {}", line(&doc));
    succeed(doc)
}

/// Runs the test command of the README.
fn test_plain(ran: &mut Ran) -> Result<(), Failure> {
    let (run, verdict) = test::run(cargo(&["test", "--workspace"]), io::stdout());
    ran.add(run);
    verdict
}

/// Runs only the tests that the plain run skips, because they need an outside part. Skips those whose part is missing.
fn test_ignored(ran: &mut Ran) -> Result<(), Failure> {
    let mut command = cargo(&["test", "--workspace", "--", "--ignored", "--exact"]);
    for (test, reason) in &ran.ignored {
        let missing = tools::missing_of(reason);
        if !missing.is_empty() {
            println!("skipped, without {}: {test}", missing.join(" and "));
            command.args(["--skip", test]);
        }
    }
    let (run, verdict) = test::run(command, io::stdout());
    ran.counts.add_run_of_skipped(run.counts);
    verdict
}
