//! Checks that no crate depends on what its layer must not know.

use crate::failure::Failure;
use crate::graph::Graph;

/// Packages that do I/O, or bring a runtime, a clock or randomness.
const WORLD: &[&str] = &[
    "axum",
    "async-std",
    "getrandom",
    "hyper",
    "libsqlite3-sys",
    "mio",
    "reqwest",
    "rusqlite",
    "smol",
    "socket2",
    "tokio",
    "tungstenite",
];

/// A crate, the packages that it must not depend on, and why.
pub(crate) struct Rule {
    package: &'static str,
    never: &'static [&'static str],
    why: &'static str,
}

pub(crate) const RULES: &[Rule] = &[
    Rule { package: "chatcamp-protocol", never: WORLD, why: "the protocol does no I/O and reads no clock" },
    Rule { package: "chatcamp-auth", never: WORLD, why: "the handshake does no I/O and reads no clock" },
    Rule {
        package: "chatcamp-protocol",
        never: &[
            "chatcamp-auth",
            "chatcamp-transport",
            "chatcamp-client",
            "chatcamp-server",
            "chatcamp-store",
        ],
        why: "the protocol is a leaf",
    },
    Rule {
        package: "chatcamp-transport",
        never: &[
            "chatcamp-protocol",
            "chatcamp-auth",
            "chatcamp-client",
            "chatcamp-server",
            "chatcamp-store",
        ],
        why: "a transport that cannot parse an envelope cannot depend on its version",
    },
    Rule {
        package: "chatcamp-tls",
        never: &[
            "chatcamp-protocol",
            "chatcamp-auth",
            "chatcamp-transport",
            "chatcamp-client",
            "chatcamp-server",
            "chatcamp-store",
        ],
        why: "TLS is a leaf",
    },
    Rule {
        package: "chatcamp-auth",
        never: &["chatcamp-transport", "chatcamp-client", "chatcamp-server", "chatcamp-store"],
        why: "the handshake needs no other crate of ours but the protocol",
    },
    Rule {
        package: "chatcamp-store",
        never: &["chatcamp-auth", "chatcamp-transport", "chatcamp-client", "chatcamp-server"],
        why: "the store keeps data and does not authenticate",
    },
    Rule {
        package: "chatcamp-client",
        never: &["chatcamp-server", "chatcamp-store"],
        why: "client and server never depend on each other",
    },
    Rule {
        package: "chatcamp-backend",
        never: &[
            "chatcamp-auth",
            "chatcamp-transport",
            "chatcamp-client",
            "chatcamp-server",
            "chatcamp-store",
        ],
        why: "a backend uses HTTP and needs only the protocol, TLS and the runtime's back-off",
    },
    Rule {
        package: "chatcamp-server",
        never: &["chatcamp-client"],
        why: "client and server never depend on each other",
    },
    Rule {
        package: "chatcamp-server",
        never: &["chatcamp-dashboard"],
        why: "pages are mounted into a server, which does not know them",
    },
    Rule {
        package: "chatcamp-dashboard",
        never: &["chatcamp-client", "chatcamp-backend"],
        why: "the dashboard shows what the server reports",
    },
];

/// Checks the rules against the graph.
///
/// # Errors
///
/// Names every forbidden path, from the crate to what it must not reach.
pub(crate) fn check(graph: &Graph, rules: &[Rule]) -> Result<(), Failure> {
    let mut broken = Vec::new();
    for rule in rules {
        for never in rule.never {
            if let Some(path) = graph.path(rule.package, never)? {
                broken.push(format!(
                    "{} must not depend on {never}: {}\n  because {}",
                    rule.package,
                    path.join(" -> "),
                    rule.why
                ));
            }
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken.join("\n").into()) }
}

#[cfg(test)]
mod tests {
    use cargo_metadata::DependencyKind::{Build, Development, Normal};

    use super::*;
    use crate::graph::made_up;

    const RULE: &[Rule] = &[Rule { package: "auth", never: &["tokio"], why: "auth does no I/O" }];

    #[test]
    fn a_forbidden_dependency_several_steps_down_is_found_and_its_path_is_named() {
        let graph = made_up(&[
            ("auth", "protocol", Normal),
            ("protocol", "helper", Build),
            ("helper", "tokio", Normal),
        ]);
        let error = check(&graph, RULE).unwrap_err().to_string();
        assert!(error.contains("auth -> protocol -> helper -> tokio"), "{error}");
        assert!(error.contains("auth does no I/O"), "{error}");
    }

    #[test]
    fn dev_dependencies_and_those_of_other_crates_are_allowed() {
        let graph = made_up(&[
            ("auth", "protocol", Normal),
            ("auth", "tokio", Development),
            ("server", "auth", Normal),
            ("server", "tokio", Normal),
        ]);
        check(&graph, RULE).unwrap();
    }

    #[test]
    fn a_rule_about_a_crate_that_was_renamed_fails() {
        assert!(check(&made_up(&[("login", "protocol", Normal)]), RULE).is_err());
    }

    #[test]
    fn every_broken_rule_is_reported_at_once() {
        let rules = [
            Rule { package: "client", never: &["server"], why: "sides" },
            Rule { package: "transport", never: &["protocol"], why: "leaf" },
        ];
        let graph = made_up(&[("client", "server", Normal), ("transport", "protocol", Normal)]);
        let error = check(&graph, &rules).unwrap_err().to_string();
        assert!(error.contains("client -> server") && error.contains("transport -> protocol"), "{error}");
    }
}
