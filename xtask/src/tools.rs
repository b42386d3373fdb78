//! The programs that tests need from outside, and whether they are here.
//!
//! A test that needs one says so: `#[ignore = "needs php: apt-get install php-cli"]`.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;

use crate::cargo::root;
use crate::failure::Failure;
use crate::git::tracked;

/// Where Debian installs servers; not in the path of every user.
const SERVERS: &str = "/usr/sbin";

/// The needs of tests that are not programs.
const NOT_PROGRAMS: &[&str] = &["root", "namespaces"];

/// Names the programs that tests need and that are missing.
///
/// # Errors
///
/// In continuous integration, if one is missing. Elsewhere its tests are skipped.
pub(crate) fn check() -> Result<(), Failure> {
    let mut missing = BTreeMap::new();
    for path in tracked()?.iter().filter(|path| path.ends_with(".rs")) {
        let Ok(content) = fs::read_to_string(root().join(path)) else { continue };
        for reason in content.lines().filter_map(reason) {
            missing.extend(
                missing_of(reason).into_iter().map(|program| (program.to_owned(), reason.to_owned())),
            );
        }
    }
    for (program, reason) in &missing {
        println!("{program} is missing: tests that need it are skipped ({reason})");
    }
    if missing.is_empty() || env::var_os("CI").is_none() {
        return Ok(());
    }
    Err("continuous integration runs every test, and a program is missing".into())
}

/// Returns the programs named by the reason of an ignored test that are not installed.
pub(crate) fn missing_of(reason: &str) -> Vec<&str> {
    let Some((programs, _)) = reason.strip_prefix("needs ").and_then(|needs| needs.split_once(':')) else {
        return Vec::new();
    };
    let programs = programs.split([',', ' ']).filter(|word| !word.is_empty() && *word != "and");
    programs.filter(|program| !NOT_PROGRAMS.contains(program) && !is_installed(program)).collect()
}

/// Returns the reason in a line of the form `#[ignore = "REASON"]`.
fn reason(line: &str) -> Option<&str> {
    line.trim().strip_prefix("#[ignore = \"")?.strip_suffix("\"]")
}

fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([Path::new(SERVERS).to_owned()])
        .any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_programs_of_a_reason_are_named() {
        let line =
            "        #[ignore = \"needs sh, no-such-proxy and no-such-browser: apt-get install them\"]";
        assert_eq!(missing_of(reason(line).unwrap()), ["no-such-proxy", "no-such-browser"]);
        assert_eq!(missing_of("needs root: gives a folder to another user"), [""; 0]);
        assert_eq!(missing_of("a measurement: needs patience"), [""; 0]);
    }
}
