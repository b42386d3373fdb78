//! `features`: checks that transport, client, backend and server compile with each of their features alone, and with none,
//! and that the server without features needs no C compiler.

use crate::cargo::{cargo, line, succeed};
use crate::failure::Failure;
use crate::graph::Graph;

const PACKAGES: &[&str] = &["chatcamp-transport", "chatcamp-client", "chatcamp-backend", "chatcamp-server"];

/// Packages that the server without features must not depend on, because they compile C.
const COMPILE_C: &[&str] = &["cc", "libsqlite3-sys"];

/// Runs clippy on each combination, so that code that one feature alone leaves unused is an error.
///
/// # Errors
///
/// If a combination does not compile without warnings; the first one ends the run.
pub(crate) fn run() -> Result<(), Failure> {
    let graph = Graph::of_the_workspace()?;
    for package in PACKAGES {
        for feature in none_and_each(graph.features(package)?.iter().map(String::as_str)) {
            let mut clippy = cargo(&["clippy", "--quiet", "--lib", "-p", package, "--no-default-features"]);
            if let Some(feature) = feature {
                clippy.args(["--features", feature]);
            }
            clippy.args(["--", "-D", "warnings"]);
            println!("{}", line(&clippy));
            succeed(clippy)?;
        }
    }
    compiles_no_c()
}

/// Reads the packages of the server without features as `cargo tree` resolves them, for every platform.
fn compiles_no_c() -> Result<(), Failure> {
    let mut tree = cargo(&["tree", "--locked", "-p", "chatcamp-server", "--no-default-features"]);
    tree.args(["--edges", "normal,build", "--target", "all", "--prefix", "none", "--format", "{p}"]);
    println!("{}", line(&tree));
    let output = tree.output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", line(&tree), String::from_utf8_lossy(&output.stderr)).into());
    }
    let packages = String::from_utf8(output.stdout)?;
    let found = compiling_c(&packages)?;
    if found.is_empty() {
        return Ok(());
    }
    let found = found.join(", ");
    Err(format!("chatcamp-server without features depends on {found}: put the dependency behind a feature")
        .into())
}

/// Returns which of [`COMPILE_C`] are among the packages that `cargo tree` printed.
///
/// # Errors
///
/// If the server itself is not among them.
fn compiling_c(tree: &str) -> Result<Vec<&str>, Failure> {
    let mut names = tree.lines().filter_map(|line| line.split(' ').next());
    if names.next() != Some("chatcamp-server") {
        return Err(format!("expected the packages of chatcamp-server, cargo tree printed: {tree}").into());
    }
    Ok(names.filter(|name| COMPILE_C.contains(name)).collect())
}

fn none_and_each<'a>(features: impl Iterator<Item = &'a str>) -> Vec<Option<&'a str>> {
    std::iter::once(None).chain(features.filter(|feature| *feature != "default").map(Some)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_feature_and_each_but_default_are_tried() {
        let tried = none_and_each(["default", "memory", "websocket"].into_iter());
        assert_eq!(tried, [None, Some("memory"), Some("websocket")]);
    }

    #[test]
    fn packages_that_compile_c_are_found_by_their_whole_names() {
        let tree =
            "chatcamp-server v0.1.0 (/a)\nlibc v0.2.1\nlibsqlite3-sys v0.35.0\ncc v1.2.0 (*)\nccx v1.0.0\n";
        assert_eq!(compiling_c(tree).unwrap(), ["libsqlite3-sys", "cc"]);
        assert!(compiling_c("cc v1.2.0\n").is_err(), "of another package");
    }

    #[test]
    fn every_package_has_its_features() {
        let graph = Graph::of_the_workspace().unwrap();
        let transports: &[_] = &["long-poll", "tls", "websocket"];
        for (package, meant) in
            PACKAGES.iter().zip([transports, transports, &["tls"], &["api", "data-dir", "web"]])
        {
            let features = graph.features(package).unwrap();
            for feature in meant {
                assert!(features.contains(*feature), "{package} has no feature {feature}");
            }
        }
    }
}
