//! The dependency graph, as cargo resolves it: what ships, so without dev-dependencies.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use serde::Deserialize;

use crate::Failure;
use crate::cargo::cargo;

/// Packages by id, each with the ids that it depends on.
pub(crate) struct Graph {
    names: HashMap<String, String>,
    edges: HashMap<String, BTreeSet<String>>,
    features: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    /// The graph of this workspace: every feature, every platform, normal and build dependencies.
    ///
    /// # Errors
    ///
    /// If `cargo metadata` fails or prints something else than metadata.
    pub(crate) fn of_the_workspace() -> Result<Self, Failure> {
        let metadata =
            cargo(&["metadata", "--format-version", "1", "--all-features", "--locked"]).output()?;
        if !metadata.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&metadata.stderr)).into());
        }
        Self::parse(&metadata.stdout)
    }

    /// Reads what `cargo metadata` printed.
    ///
    /// # Errors
    ///
    /// If it is not metadata with a resolved graph.
    pub(crate) fn parse(metadata: &[u8]) -> Result<Self, Failure> {
        let Metadata { packages, resolve } = serde_json::from_slice(metadata)?;
        let mut graph = Self { names: HashMap::new(), edges: HashMap::new(), features: BTreeMap::new() };
        for package in packages {
            let features = package.features.into_keys().collect();
            graph.features.insert(package.name.clone(), features);
            graph.names.insert(package.id, package.name);
        }
        for node in resolve.nodes {
            let ships = |dep: &Dep| dep.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"));
            graph.edges.insert(node.id, node.deps.into_iter().filter(ships).map(|dep| dep.pkg).collect());
        }
        Ok(graph)
    }

    /// The shortest way from one package to another through dependencies, both ends included.
    ///
    /// # Errors
    ///
    /// If there is no package `from`.
    pub(crate) fn path(&self, from: &str, to: &str) -> Result<Option<Vec<&str>>, Failure> {
        let start = self.id(from)?;
        let mut came_from: HashMap<&str, &str> = HashMap::new();
        let mut next = VecDeque::from([start]);
        while let Some(id) = next.pop_front() {
            if id != start && self.names[id] == to {
                return Ok(Some(self.unwind(id, &came_from)));
            }
            for dependency in self.edges.get(id).into_iter().flatten() {
                if dependency != start && !came_from.contains_key(dependency.as_str()) {
                    came_from.insert(dependency, id);
                    next.push_back(dependency);
                }
            }
        }
        Ok(None)
    }

    /// The features that `package` declares, `default` among them.
    ///
    /// # Errors
    ///
    /// If there is no such package.
    pub(crate) fn features(&self, package: &str) -> Result<&BTreeSet<String>, Failure> {
        self.features.get(package).ok_or_else(|| no_package(package))
    }

    fn id(&self, name: &str) -> Result<&str, Failure> {
        let (id, _) = self.names.iter().find(|(_, named)| *named == name).ok_or_else(|| no_package(name))?;
        Ok(id)
    }

    fn unwind<'a>(&'a self, end: &'a str, came_from: &HashMap<&'a str, &'a str>) -> Vec<&'a str> {
        let mut ids = vec![end];
        while let Some(id) = came_from.get(ids[ids.len() - 1]) {
            ids.push(id);
        }
        ids.iter().rev().map(|id| self.names[*id].as_str()).collect()
    }
}

fn no_package(name: &str) -> Failure {
    format!("there is no package {name} in the workspace or below it").into()
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dep>,
}

#[derive(Deserialize)]
struct Dep {
    pkg: String,
    dep_kinds: Vec<DepKind>,
}

#[derive(Deserialize)]
struct DepKind {
    kind: Option<String>,
}

/// A made-up graph: each edge is `(from, to, kind)`, the kinds as in metadata, `"normal"` for none.
#[cfg(test)]
pub(crate) fn made_up(edges: &[(&str, &str, &str)]) -> Graph {
    use serde_json::json;

    let names: BTreeSet<&str> = edges.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
    let kind = |kind: &str| if kind == "normal" { json!(null) } else { json!(kind) };
    let deps = |name: &str| -> Vec<_> {
        let own = edges.iter().filter(|(from, ..)| *from == name);
        own.map(|(_, to, k)| json!({ "pkg": format!("id of {to}"), "dep_kinds": [{ "kind": kind(k) }] }))
            .collect()
    };
    let packages: Vec<_> =
        names.iter().map(|name| json!({ "id": format!("id of {name}"), "name": name })).collect();
    let nodes: Vec<_> =
        names.iter().map(|name| json!({ "id": format!("id of {name}"), "deps": deps(name) })).collect();
    let metadata = json!({ "packages": packages, "resolve": { "nodes": nodes } });
    Graph::parse(metadata.to_string().as_bytes()).expect("made up in the form of metadata")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_the_shortest_of_several() {
        let graph = made_up(&[
            ("a", "b", "normal"),
            ("b", "c", "normal"),
            ("c", "d", "normal"),
            ("b", "d", "normal"),
            ("d", "a", "normal"),
        ]);
        assert_eq!(graph.path("a", "d").unwrap(), Some(vec!["a", "b", "d"]));
    }

    #[test]
    fn normal_and_build_dependencies_count_and_dev_dependencies_do_not() {
        for (kind, expected) in
            [("normal", Some(vec!["a", "b"])), ("build", Some(vec!["a", "b"])), ("dev", None)]
        {
            let graph = made_up(&[("a", "b", kind)]);
            assert_eq!(graph.path("a", "b").unwrap(), expected, "{kind}");
        }
    }

    #[test]
    fn a_dependency_that_is_dev_and_normal_counts() {
        let graph = Graph::parse(
            br#"{"packages":[{"id":"1","name":"a"},{"id":"2","name":"b"}],"resolve":{"nodes":[
                {"id":"1","deps":[{"pkg":"2","dep_kinds":[{"kind":"dev"},{"kind":null}]}]},{"id":"2","deps":[]}]}}"#,
        )
        .unwrap();
        assert_eq!(graph.path("a", "b").unwrap(), Some(vec!["a", "b"]));
    }

    #[test]
    fn a_package_that_is_not_there_is_an_error_and_not_a_pass() {
        let graph = made_up(&[("a", "b", "normal")]);
        assert!(graph.path("renamed", "b").is_err());
        assert!(graph.features("renamed").is_err());
    }
}
