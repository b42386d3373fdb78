//! The table as a block of `docs/ARCHITECTURE.md`.

use std::fmt::Write as _;
use std::fs;

use crate::cargo::root;
use crate::failure::Failure;

const DOCUMENT: &str = "docs/ARCHITECTURE.md";
const BEGIN: &str = "<!-- modules: written by `cargo xtask layers --write` -->\n";
const END: &str = "<!-- end of modules -->\n";

/// Checks that the document shows `table`.
///
/// # Errors
///
/// If it shows something else.
pub(crate) fn check(table: &[(&str, &[&str])]) -> Result<(), Failure> {
    let document = fs::read_to_string(root().join(DOCUMENT))?;
    if replaced(&document, table)? == document {
        return Ok(());
    }
    Err(format!("{DOCUMENT} does not show the table of modules: run `cargo xtask layers --write`").into())
}

/// Writes `table` into the document.
///
/// # Errors
///
/// If the document cannot be read or written, or has no place for the block.
pub(crate) fn write(table: &[(&str, &[&str])]) -> Result<(), Failure> {
    let path = root().join(DOCUMENT);
    let document = fs::read_to_string(&path)?;
    Ok(fs::write(path, replaced(&document, table)?)?)
}

fn replaced(document: &str, table: &[(&str, &[&str])]) -> Result<String, Failure> {
    let parts = document.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = parts.ok_or_else(|| format!("{DOCUMENT} needs the lines\n{BEGIN}{END}"))?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", block(table)))
}

fn block(table: &[(&str, &[&str])]) -> String {
    let mut block = "| crate | modules, from the top layer to the bottom layer |\n|---|---|\n".to_owned();
    for (package, layers) in table {
        let order = layers.join(" → ");
        let package = package.strip_prefix("chatcamp-").unwrap_or(package);
        writeln!(block, "| `{package}` | {order} |").expect("a string takes all text");
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::table::TABLE;

    #[test]
    fn the_document_shows_the_table() {
        check(TABLE).unwrap();
    }

    #[test]
    fn only_the_block_is_replaced() {
        let table: [(&str, &[&str]); 2] = [("chatcamp-a", &["b, c", "d"]), ("e", &["f", "g"])];
        let document = replaced(&format!("before\n{BEGIN}old\n{END}after\n"), &table).unwrap();
        assert_eq!(
            document,
            format!(
                "before\n{BEGIN}| crate | modules, from the top layer to the bottom layer |\n|---|---|\n\
                 | `a` | b, c → d |\n| `e` | f → g |\n{END}after\n"
            )
        );
        assert!(replaced("no block\n", &table).is_err());
    }
}
