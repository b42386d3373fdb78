//! Parts of documents that are generated from this crate. Tests fail when they differ.
//!
//! With `CHATCAMP_WRITE_DOCUMENTS=1` the same tests write the documents.

mod codes;
mod requests;
mod tables;

use std::{env, fs, path::Path, sync::Mutex};

/// The document for people.
const PROTOCOL: &str = "docs/PROTOCOL.md";
/// The types of the client for web pages.
const WEB_TYPES: &str = "crates/server/src/http/web/chatcamp.d.ts";
/// The environment variable that makes the tests write the documents.
const WRITE: &str = "CHATCAMP_WRITE_DOCUMENTS";

/// Held while a document is read and written: several tests write to one document.
static WRITING: Mutex<()> = Mutex::new(());

/// Asserts that a document has `text` between the markers of this name.
fn assert_generated(document: &str, name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(document);
    let (start, end) = if document == WEB_TYPES {
        (format!("// <{name}>\n"), format!("// </{name}>\n"))
    } else {
        (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"))
    };
    let _guard = WRITING.lock().unwrap();
    let old = fs::read_to_string(&path).unwrap();
    let from = old.find(&start).unwrap_or_else(|| panic!("{document} has no marker {start}")) + start.len();
    let to = old.find(&end).unwrap_or_else(|| panic!("{document} has no marker {end}"));
    if env::var_os(WRITE).is_some() {
        fs::write(&path, [&old[..from], text, &old[to..]].concat()).unwrap();
    } else {
        assert!(
            old[from..to] == *text,
            "{document} differs between the markers of {name}; run the tests with {WRITE}=1 to write:\n{text}"
        );
    }
}
