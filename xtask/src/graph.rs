//! The dependency graph of what ships, as cargo resolves it: without dev-dependencies.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;

use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package};

use crate::cargo::root;
use crate::failure::Failure;

/// Packages by id, each with the ids that it depends on.
pub(crate) struct Graph {
    names: HashMap<String, String>,
    edges: HashMap<String, BTreeSet<String>>,
    features: BTreeMap<String, BTreeSet<String>>,
    roots: BTreeMap<String, PathBuf>,
}

impl Graph {
    /// Reads the graph of this workspace: every feature, every platform, normal and build dependencies.
    ///
    /// # Errors
    ///
    /// If `cargo metadata` fails.
    pub(crate) fn of_the_workspace() -> Result<Self, Failure> {
        let mut command = MetadataCommand::new();
        command.current_dir(root()).features(CargoOpt::AllFeatures).other_options(["--locked".to_owned()]);
        Ok(Self::from_metadata(command.exec()?))
    }

    fn from_metadata(metadata: Metadata) -> Self {
        let members = metadata.workspace_packages().into_iter();
        let roots =
            members.filter_map(|package| Some((package.name.to_string(), root_file(package)?))).collect();
        let resolved = metadata.resolve.expect("cargo metadata resolves unless it is told not to");
        let edges = resolved.nodes.into_iter().map(|node| {
            let shipped =
                node.deps.into_iter().filter(|dep| dep.dep_kinds.iter().any(|kind| ships(kind.kind)));
            (node.id.repr, shipped.map(|dep| dep.pkg.repr).collect())
        });
        let mut graph =
            Self { names: HashMap::new(), edges: edges.collect(), features: BTreeMap::new(), roots };
        for package in metadata.packages {
            graph.features.insert(package.name.to_string(), package.features.into_keys().collect());
            graph.names.insert(package.id.repr, package.name.to_string());
        }
        graph
    }

    /// The packages of the workspace, each with the root file of its library, or of its program if it has no library.
    pub(crate) fn roots(&self) -> &BTreeMap<String, PathBuf> {
        &self.roots
    }

    /// Returns the shortest path from one package to another through dependencies, both ends included.
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

    /// Returns the features that `package` declares, including `default`.
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

fn root_file(package: &Package) -> Option<PathBuf> {
    let targets = &package.targets;
    let target = targets
        .iter()
        .find(|target| target.is_lib())
        .or_else(|| targets.iter().find(|target| target.is_bin()))?;
    Some(target.src_path.clone().into())
}

fn ships(kind: DependencyKind) -> bool {
    kind != DependencyKind::Development
}

fn no_package(name: &str) -> Failure {
    format!("no package {name} in the workspace or its dependencies: correct the name in xtask").into()
}

/// Builds a graph from edges `(from, to, kind)`.
#[cfg(test)]
pub(crate) fn made_up(edges: &[(&str, &str, DependencyKind)]) -> Graph {
    let mut graph = Graph {
        names: HashMap::new(),
        edges: HashMap::new(),
        features: BTreeMap::new(),
        roots: BTreeMap::new(),
    };
    for (from, to, kind) in edges {
        for name in [from, to] {
            graph.names.insert(format!("id of {name}"), (*name).to_owned());
        }
        if ships(*kind) {
            graph.edges.entry(format!("id of {from}")).or_default().insert(format!("id of {to}"));
        }
    }
    graph
}

#[cfg(test)]
mod tests {
    use cargo_metadata::DependencyKind::{Build, Development, Normal};

    use super::*;

    #[test]
    fn path_is_the_shortest_of_several() {
        let graph = made_up(&[
            ("a", "b", Normal),
            ("b", "c", Normal),
            ("c", "d", Normal),
            ("b", "d", Normal),
            ("d", "a", Normal),
        ]);
        assert_eq!(graph.path("a", "d").unwrap(), Some(vec!["a", "b", "d"]));
    }

    #[test]
    fn normal_and_build_dependencies_count_and_dev_dependencies_do_not() {
        for (kinds, expected) in [
            (&[Normal][..], Some(vec!["a", "b"])),
            (&[Build], Some(vec!["a", "b"])),
            (&[Development], None),
            (&[Development, Normal], Some(vec!["a", "b"])),
        ] {
            let edges: Vec<_> = kinds.iter().map(|kind| ("a", "b", *kind)).collect();
            assert_eq!(made_up(&edges).path("a", "b").unwrap(), expected, "{kinds:?}");
        }
    }

    #[test]
    fn dev_dependencies_of_the_workspace_are_left_out() {
        let graph = Graph::of_the_workspace().unwrap();
        assert!(graph.path("chatcamp-backend", "chatcamp-protocol").unwrap().is_some());
        assert_eq!(graph.path("chatcamp-backend", "chatcamp-client").unwrap(), None);
    }

    #[test]
    fn an_unknown_package_is_an_error() {
        let graph = made_up(&[("a", "b", Normal)]);
        assert!(graph.path("renamed", "b").is_err());
        assert!(graph.features("renamed").is_err());
    }
}
