//! `features`: checks that transport, client and backend compile with each of their features alone, and with none.

use crate::cargo::{cargo, line, succeed};
use crate::failure::Failure;
use crate::graph::Graph;

const PACKAGES: &[&str] = &["chatcamp-transport", "chatcamp-client", "chatcamp-backend"];

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
    Ok(())
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
    fn every_package_has_its_features() {
        let graph = Graph::of_the_workspace().unwrap();
        let transports: &[_] = &["long-poll", "websocket"];
        for (package, meant) in PACKAGES.iter().zip([transports, transports, &["tls"]]) {
            let features = graph.features(package).unwrap();
            for feature in meant {
                assert!(features.contains(*feature), "{package} has no feature {feature}");
            }
        }
    }
}
