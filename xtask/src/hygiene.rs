//! `hygiene`: checks that committed files name no registry host and no path of one machine, and are no fetched packages.

use std::fs;

use crate::cargo::root;
use crate::failure::Failure;
use crate::git::tracked;

/// Texts that a committed file must not contain, and why. Split, so that this file passes.
const FORBIDDEN: &[(&str, &str)] = &[
    (concat!("crates", ".io"), "names a registry host: readers may use another"),
    (concat!("registry", ".npmjs.org"), "names a registry host: readers may use another"),
    (concat!("registry", ".yarnpkg.com"), "names a registry host: readers may use another"),
    (concat!("/wo", "rk/"), "is a path of one machine"),
    (concat!("/ro", "ot/"), "is a path of one machine"),
    (concat!("/tmp", "/target"), "is a path of one machine"),
];

/// The only line of `Cargo.lock` that may name the registry.
const LOCKED_SOURCE: &str =
    concat!("source = \"registry+https://github.com/rust-lang/", "crates", ".io-index\"");

/// Checks every file that git tracks.
///
/// # Errors
///
/// Names each file and line that breaks a rule.
pub(crate) fn run() -> Result<(), Failure> {
    let mut found = Vec::new();
    for path in tracked()? {
        if path.split('/').any(|folder| folder == "node_modules") {
            found.push(format!("{path}: belongs to a fetched package"));
        }
        // A tracked file may be deleted in the working tree.
        let Ok(content) = fs::read(root().join(&path)) else { continue };
        found.extend(offences(&path, &String::from_utf8_lossy(&content)));
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n").into()) }
}

fn offences(path: &str, content: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(content.lines()) {
        if path == "Cargo.lock" && line == LOCKED_SOURCE {
            continue;
        }
        for (forbidden, why) in FORBIDDEN {
            if line.contains(forbidden) {
                found.push(format!("{path}:{number}: `{forbidden}` {why}"));
            }
        }
        if path.ends_with("package-lock.json") && line.contains("\"resolved\"") {
            found.push(format!("{path}:{number}: `resolved` ties the lock to one registry: remove it"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offences_are_found_with_their_line() {
        let index = LOCKED_SOURCE;
        let elsewhere = format!("see {}/crates/x", concat!("crates", ".io"));
        let machine = concat!("cd /wo", "rk/main");
        let cases = [
            ("docs/A.md", "fine\n".to_owned() + machine, 1),
            ("docs/A.md", concat!("/ro", "ot/.cargo and /tmp", "/target-x").to_owned(), 2),
            ("README.md", elsewhere.clone(), 1),
            ("README.md", index.to_owned(), 1),
            ("Cargo.lock", index.to_owned(), 0),
            ("Cargo.lock", elsewhere, 1),
            ("a/package-lock.json", "\"resolved\": \"https://x\"".to_owned(), 1),
            ("a/notes.json", "\"resolved\": true".to_owned(), 0),
            ("docs/workflows.md", "a workflow, at /workflows/x and /rooted".to_owned(), 0),
        ];
        for (path, content, expected) in cases {
            assert_eq!(offences(path, &content).len(), expected, "{path}: {content}");
        }
        assert!(offences("docs/A.md", &format!("fine\n{machine}"))[0].starts_with("docs/A.md:2:"));
    }
}
