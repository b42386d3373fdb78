//! `layers`: no crate depends on what its layer must not know, and no module imports from its own layer or one above.

mod crates;
mod document;
mod imports;
mod modules;
mod table;

use crate::failure::Failure;
use crate::graph::Graph;

/// Checks the dependencies of the crates, the imports between the modules of each, and the document that shows them.
///
/// With `--write`, writes the table of modules into the document first.
///
/// # Errors
///
/// Names everything that breaks a rule.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    match args {
        [] => {}
        [write] if write == "--write" => document::write(table::TABLE)?,
        _ => return Err("the only argument is --write".into()),
    }
    let graph = Graph::of_the_workspace()?;
    crates::check(&graph, crates::RULES)?;
    modules::check(&graph, table::TABLE)?;
    document::check(table::TABLE)
}
