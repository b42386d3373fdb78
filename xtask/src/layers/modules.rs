//! Checks the imports between the top-level modules of each crate against the table.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Imports;
use super::table::Order;
use crate::failure::Failure;
use crate::graph::Graph;

/// Checks every crate of the workspace and every entry of the table.
///
/// # Errors
///
/// Names each import, module and entry that breaks the rule, and what to do about it.
pub(crate) fn check(graph: &Graph, table: &[(&str, Order)]) -> Result<(), Failure> {
    let mut problems = Vec::new();
    for (package, root) in graph.roots() {
        let imports = Imports::read(root)?;
        let found = match table.iter().find(|(listed, _)| listed == package) {
            Some((_, order)) => against(order, &imports),
            None if imports.modules.len() < 2 => Vec::new(),
            None => vec![format!("is missing in the table: add {}", suggestion(&imports))],
        };
        problems.extend(found.into_iter().map(|problem| format!("{package}: {problem}")));
    }
    for (package, _) in table.iter().filter(|(package, _)| !graph.roots().contains_key(*package)) {
        problems.push(format!("{package}: is not a crate of the workspace: remove it from the table"));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

fn against(order: &Order, imports: &Imports) -> Vec<String> {
    match *order {
        Order::Layers(layers) => against_layers(layers, imports),
        Order::Circles(allowed) => {
            let modules = in_circles(imports);
            let (now, names) = (modules.len(), modules.into_iter().collect::<Vec<_>>().join(", "));
            match now.cmp(&allowed) {
                _ if now == 0 => {
                    vec![format!("has no circle any more: replace its entry by {}", suggestion(imports))]
                }
                std::cmp::Ordering::Less => {
                    vec![format!("fewer modules are in circles: write `Circles({now})`")]
                }
                std::cmp::Ordering::Equal => Vec::new(),
                std::cmp::Ordering::Greater => {
                    vec![format!("{now} modules are in circles, {allowed} are allowed: {names}")]
                }
            }
        }
    }
}

fn against_layers(layers: &[&str], imports: &Imports) -> Vec<String> {
    let mut depths = BTreeMap::new();
    let mut problems = Vec::new();
    for (depth, layer) in layers.iter().enumerate() {
        for module in layer.split(", ") {
            if depths.insert(module, depth).is_some() {
                problems.push(format!("`{module}` is in the table twice"));
            }
        }
    }
    for module in depths.keys().filter(|module| !imports.modules.contains(**module)) {
        problems.push(format!("there is no module `{module}`: remove it from the table"));
    }
    for module in imports.modules.iter().filter(|module| !depths.contains_key(module.as_str())) {
        problems.push(format!("module `{module}` is missing in the table: add it to a layer"));
    }
    for ((from, to), place) in &imports.arrows {
        if let (Some(above), Some(below)) = (depths.get(from.as_str()), depths.get(to.as_str()))
            && above >= below
        {
            problems
                .push(format!("`{from}` must not import `{to}`, which is not in a layer below it: {place}"));
        }
    }
    problems
}

/// Returns the modules that import themselves through others.
fn in_circles(imports: &Imports) -> BTreeSet<&str> {
    let mut reached: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, to) in imports.arrows.keys() {
        reached.entry(from).or_default().insert(to);
    }
    let modules: Vec<_> = reached.keys().copied().collect();
    for via in &modules {
        let further = reached[via].clone();
        for from in &modules {
            if reached[from].contains(via) {
                reached.entry(from).or_default().extend(&further);
            }
        }
    }
    modules.into_iter().filter(|module| reached[module].contains(module)).collect()
}

/// Returns an entry for the table that holds today.
fn suggestion(imports: &Imports) -> String {
    let circles = in_circles(imports).len();
    if circles > 0 {
        return format!("Order::Circles({circles})");
    }
    let mut layers: Vec<Vec<&str>> = Vec::new();
    let mut left: BTreeSet<&str> = imports.modules.iter().map(String::as_str).collect();
    while !left.is_empty() {
        let imported = |module: &&str| {
            imports.arrows.keys().any(|(from, to)| left.contains(from.as_str()) && to == module)
        };
        let top: Vec<_> = left.iter().copied().filter(|module| !imported(module)).collect();
        left.retain(|module| !top.contains(module));
        layers.push(top);
    }
    let layers: Vec<_> = layers.into_iter().map(|layer| layer.join(", ")).collect();
    format!("Order::Layers(&{layers:?})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::imports::tests::read;

    fn imports(a: &str, b: &str, c: &str) -> Imports {
        read(&[("lib.rs", "mod a; mod b; mod c;"), ("a.rs", a), ("b.rs", b), ("c.rs", c)]).unwrap()
    }

    #[test]
    fn only_imports_from_a_lower_layer_are_allowed() {
        let layers = Order::Layers(&["a, b", "c"]);
        assert_eq!(against(&layers, &imports("use crate::c;", "", "")), [""; 0]);
        for (from, to, files) in
            [("a", "b", ["use crate::b;", "", ""]), ("c", "b", ["", "", "use crate::b;"])]
        {
            let problems = against(&layers, &imports(files[0], files[1], files[2]));
            let [problem] = &problems[..] else { panic!("{problems:?}") };
            assert!(problem.starts_with(&format!("`{from}` must not import `{to}`")), "{problem}");
            assert!(problem.ends_with(&format!("{from}.rs:1")), "{problem}");
        }
    }

    #[test]
    fn the_table_lists_each_module_once() {
        for (layers, expected) in [
            (&["a", "b"][..], "module `c` is missing"),
            (&["a", "b", "c", "d"], "there is no module `d`"),
            (&["a, b", "c, a"], "`a` is in the table twice"),
        ] {
            let problems = against(&Order::Layers(layers), &imports("", "", ""));
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
        }
    }

    #[test]
    fn an_exemption_is_exact() {
        let circle = imports("use crate::b;", "use crate::c;", "use crate::a;");
        for (allowed, expected) in [
            (2, vec!["3 modules are in circles, 2 are allowed: a, b, c"]),
            (3, vec![]),
            (4, vec!["fewer modules are in circles: write `Circles(3)`"]),
        ] {
            assert_eq!(against(&Order::Circles(allowed), &circle), expected);
        }
        let problems = against(&Order::Circles(3), &imports("use crate::b;", "use crate::c;", ""));
        assert_eq!(
            problems,
            [r#"has no circle any more: replace its entry by Order::Layers(&["a", "b", "c"])"#]
        );
    }

    #[test]
    fn a_crate_is_missing_in_the_table_and_one_of_the_table_in_the_workspace() {
        let graph = Graph::of_the_workspace().unwrap();
        let error = check(&graph, &[("renamed", Order::Circles(0))]).unwrap_err().to_string();
        assert!(error.contains("chatcamp-server: is missing in the table: add Order::"), "{error}");
        assert!(error.contains("renamed: is not a crate of the workspace"), "{error}");
    }
}
