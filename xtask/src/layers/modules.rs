//! Checks the imports between the top-level modules of each crate against the table.

use std::collections::{BTreeMap, BTreeSet};

use super::imports::Imports;
use crate::failure::Failure;
use crate::graph::Graph;

/// Checks every crate of the workspace and every entry of the table.
///
/// # Errors
///
/// Names each import, module and entry that breaks the rule, and what to do about it.
pub(crate) fn check(graph: &Graph, table: &[(&str, &[&str])]) -> Result<(), Failure> {
    let mut problems = Vec::new();
    for (package, root) in graph.roots() {
        let imports = Imports::read(root)?;
        let found = match table.iter().find(|(listed, _)| listed == package) {
            Some((_, layers)) => violations(layers, &imports),
            None if imports.modules.len() < 2 => Vec::new(),
            None => vec![format!("is missing from the table: add {}", suggestion(&imports))],
        };
        problems.extend(found.into_iter().map(|problem| format!("{package}: {problem}")));
    }
    for (package, _) in table.iter().filter(|(package, _)| !graph.roots().contains_key(*package)) {
        problems.push(format!("{package}: is not a crate of the workspace: remove it from the table"));
    }
    if problems.is_empty() { Ok(()) } else { Err(problems.join("\n").into()) }
}

fn violations(layers: &[&str], imports: &Imports) -> Vec<String> {
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
        problems.push(format!("module `{module}` is missing from the table: add it to a layer"));
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

/// Returns an entry for the table that allows all imports. Modules in an import cycle share a layer.
fn suggestion(imports: &Imports) -> String {
    let mut layers: Vec<Vec<&str>> = Vec::new();
    let mut left: BTreeSet<&str> = imports.modules.iter().map(String::as_str).collect();
    while !left.is_empty() {
        let imported = |module: &&str| {
            imports.arrows.keys().any(|(from, to)| left.contains(from.as_str()) && to == module)
        };
        let mut top: Vec<_> = left.iter().copied().filter(|module| !imported(module)).collect();
        if top.is_empty() {
            top.extend(&left);
        }
        left.retain(|module| !top.contains(module));
        layers.push(top);
    }
    let layers: Vec<_> = layers.into_iter().map(|layer| layer.join(", ")).collect();
    format!("&{layers:?}")
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
        let layers = ["a, b", "c"];
        assert_eq!(violations(&layers, &imports("use crate::c;", "", "")), [""; 0]);
        for (from, to, files) in
            [("a", "b", ["use crate::b;", "", ""]), ("c", "b", ["", "", "use crate::b;"])]
        {
            let problems = violations(&layers, &imports(files[0], files[1], files[2]));
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
            let problems = violations(layers, &imports("", "", ""));
            assert!(problems.len() == 1 && problems[0].contains(expected), "{problems:?}");
        }
    }

    #[test]
    fn a_suggestion_puts_an_import_cycle_into_one_layer() {
        assert_eq!(suggestion(&imports("use crate::b;", "use crate::c;", "")), r#"&["a", "b", "c"]"#);
        let circle = imports("use crate::b;", "use crate::c;", "use crate::b;");
        assert_eq!(suggestion(&circle), r#"&["a", "b, c"]"#);
        assert_eq!(violations(&["a", "b, c"], &circle).len(), 2);
    }

    #[test]
    fn crates_that_only_the_table_or_only_the_workspace_has_are_reported() {
        let graph = Graph::of_the_workspace().unwrap();
        let error = check(&graph, &[("renamed", &[])]).unwrap_err().to_string();
        assert!(error.contains("chatcamp-server: is missing from the table: add &["), "{error}");
        assert!(error.contains("renamed: is not a crate of the workspace"), "{error}");
    }
}
