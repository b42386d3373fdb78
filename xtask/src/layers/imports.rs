//! Reads from the source which top-level modules of a crate import which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{Attribute, Item, ItemMod, Meta, Token, UseTree, Visibility};

use crate::failure::Failure;

/// The top-level modules of a crate, and which of them import which.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    pub(crate) modules: BTreeSet<String>,
    /// For each pair `(importer, imported)` the first line that does it, as `FILE:LINE`.
    pub(crate) arrows: BTreeMap<(String, String), String>,
}

impl Imports {
    /// Reads the crate whose root file is `root`, following its `mod` declarations.
    ///
    /// An import is any path that starts with `crate::`, or with enough `super::` to reach the root: in a `use`, in
    /// code, or in the arguments of a macro. A name that the root re-exports counts as the module it comes from, and the
    /// re-export itself is not an import. Items that the root file itself defines count as a module named after the file, `lib` or
    /// `main`. Code under `#[cfg(test)]` does not count.
    ///
    /// # Errors
    ///
    /// If a file is missing or is not Rust, or if a module imports all names of the root with `*`.
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let items = parse(root)?;
        let mut reader = Reader { imports: Self::default(), names: names_of_root(&items), root: stem(root) };
        for item in &items {
            if let Item::Mod(module) = item
                && !is_test(module)
            {
                reader.imports.modules.insert(module.ident.to_string());
            }
        }
        reader.items(items, &Here { file: root, folder: folder(root), module: &[] })?;
        let Reader { mut imports, root, .. } = reader;
        if imports.arrows.keys().any(|(from, to)| *from == root || *to == root) {
            imports.modules.insert(root);
        }
        Ok(imports)
    }
}

fn parse(path: &Path) -> Result<Vec<Item>, Failure> {
    let source = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let file = syn::parse_file(&source)
        .map_err(|error| format!("{}:{}: {error}", path.display(), error.span().start().line))?;
    Ok(file.items)
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The folder of the files of the modules that `file` declares.
fn folder(file: &Path) -> PathBuf {
    match stem(file).as_str() {
        "lib" | "main" | "mod" => file.with_file_name(""),
        _ => file.with_extension(""),
    }
}

/// Returns the names that the root declares or imports, each with its top-level module, or `None` if it is of another crate.
fn names_of_root(items: &[Item]) -> BTreeMap<String, Option<String>> {
    let mut names = BTreeMap::new();
    for item in items {
        if let Item::Mod(module) = item {
            names.insert(module.ident.to_string(), Some(module.ident.to_string()));
        }
    }
    let mut used = Vec::new();
    for item in items {
        if let Item::Use(item) = item {
            names_of_use(&item.tree, None, &mut used);
        }
    }
    for (first, name) in used {
        let module = names.get(&first).cloned().flatten();
        names.entry(name).or_insert(module);
    }
    names
}

/// Collects the names that a `use` in the root imports, each with the first segment of its path.
fn names_of_use(tree: &UseTree, first: Option<&Ident>, names: &mut Vec<(String, String)>) {
    let mut add =
        |ident: &Ident, name: &Ident| names.push((first.unwrap_or(ident).to_string(), name.to_string()));
    match tree {
        UseTree::Path(path) => {
            let relative = path.ident == "self" || path.ident == "crate";
            names_of_use(&path.tree, first.or_else(|| (!relative).then_some(&path.ident)), names);
        }
        UseTree::Name(name) => add(&name.ident, &name.ident),
        UseTree::Rename(rename) => add(&rename.ident, &rename.rename),
        UseTree::Group(group) => group.items.iter().for_each(|tree| names_of_use(tree, first, names)),
        UseTree::Glob(_) => {}
    }
}

/// Whether the attributes of an item compile it for tests only.
fn is_test(item: &impl ToTokens) -> bool {
    let attributes = |input: ParseStream<'_>| {
        let attributes = input.call(Attribute::parse_outer)?;
        input.parse::<TokenStream>()?;
        Ok(attributes)
    };
    attributes.parse2(item.to_token_stream()).is_ok_and(|attributes| {
        attributes.iter().any(|attribute| {
            attribute.path().is_ident("cfg")
                && attribute.parse_args().is_ok_and(|condition| needs_test(&condition))
        })
    })
}

fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let inner = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default();
    (list.path.is_ident("all") && inner.iter().any(needs_test))
        || (list.path.is_ident("any") && inner.iter().all(needs_test))
}

/// The place in the crate that is being read.
struct Here<'a> {
    file: &'a Path,
    /// Where the files of its modules are.
    folder: PathBuf,
    /// Its path below the root.
    module: &'a [String],
}

struct Reader {
    imports: Imports,
    names: BTreeMap<String, Option<String>>,
    /// What the root itself counts as.
    root: String,
}

impl Reader {
    fn items(&mut self, items: Vec<Item>, here: &Here<'_>) -> Result<(), Failure> {
        for item in items {
            match item {
                item if is_test(&item) => {}
                Item::Mod(module) => self.module(module, here)?,
                Item::Use(item) if here.module.is_empty() && !matches!(item.vis, Visibility::Inherited) => {}
                Item::Impl(mut item) => {
                    item.items.retain(|item| !is_test(item));
                    self.tokens(item.to_token_stream(), here)?;
                }
                item => self.tokens(item.to_token_stream(), here)?,
            }
        }
        Ok(())
    }

    fn module(&mut self, module: ItemMod, here: &Here<'_>) -> Result<(), Failure> {
        let name = module.ident.to_string();
        let path = [here.module, std::slice::from_ref(&name)].concat();
        if let Some((_, items)) = module.content {
            return self
                .items(items, &Here { file: here.file, folder: here.folder.join(name), module: &path });
        }
        let nested = here.folder.join(&name).join("mod.rs");
        let file = if nested.exists() { nested } else { here.folder.join(name).with_extension("rs") };
        self.items(parse(&file)?, &Here { file: &file, folder: folder(&file), module: &path })
    }

    fn tokens(&mut self, tokens: TokenStream, here: &Here<'_>) -> Result<(), Failure> {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for (at, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) => self.tokens(group.stream(), here)?,
                TokenTree::Ident(ident) if !follows_path(&tokens[..at]) => {
                    let depth = here.module.len();
                    match (ident.to_string().as_str(), after_colons(&tokens[at + 1..])) {
                        ("crate", Some(rest)) => self.path(rest, 0, here)?,
                        ("self", Some(rest)) => self.path(rest, depth, here)?,
                        ("super", Some(rest)) if depth > 0 => self.path(rest, depth - 1, here)?,
                        // In the root, the names of modules and of what was imported from them need no `crate::`.
                        (name, rest)
                            if depth == 0
                                && self.names.contains_key(name)
                                && (rest.is_some() || name.starts_with(char::is_uppercase)) =>
                        {
                            self.arrow(ident, here);
                        }
                        _ => {}
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the rest of a path that so far leads to a module `depth` levels below the root.
    fn path(&mut self, rest: &[TokenTree], depth: usize, here: &Here<'_>) -> Result<(), Failure> {
        match rest.first() {
            Some(TokenTree::Ident(ident)) if ident == "super" && depth > 0 => {
                match after_colons(&rest[1..]) {
                    Some(rest) => self.path(rest, depth - 1, here),
                    None => Ok(()),
                }
            }
            Some(TokenTree::Ident(ident)) if depth == 0 => {
                self.arrow(ident, here);
                Ok(())
            }
            Some(TokenTree::Group(group)) => {
                let trees: Vec<_> = group.stream().into_iter().collect();
                trees.split(|tree| is_punct(tree, ',')).try_for_each(|tree| self.path(tree, depth, here))
            }
            Some(token) if depth == 0 && is_punct(token, '*') => {
                let line = token.span().start().line;
                Err(format!(
                    "{}:{line}: name what is imported from the root instead of `*`",
                    here.file.display()
                )
                .into())
            }
            _ => Ok(()),
        }
    }

    fn arrow(&mut self, name: &Ident, here: &Here<'_>) {
        let to = match self.names.get(&name.to_string()) {
            Some(Some(module)) => module,
            Some(None) => return,
            None => &self.root,
        };
        let from = here.module.first().unwrap_or(&self.root);
        if from != to {
            let place = || format!("{}:{}", here.file.display(), name.span().start().line);
            self.imports.arrows.entry((from.to_owned(), to.to_owned())).or_insert_with(place);
        }
    }
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether what comes next is a later segment of a path, or a field.
fn follows_path(before: &[TokenTree]) -> bool {
    match before {
        [.., first, second] if is_punct(first, ':') && is_punct(second, ':') => true,
        [.., last] => is_punct(last, '.'),
        [] => false,
    }
}

fn after_colons(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [first, second, rest @ ..] if is_punct(first, ':') && is_punct(second, ':') => Some(rest),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Reads a crate of `(file, source)`; the first is the root.
    pub(crate) fn read(files: &[(&str, &str)]) -> Result<Imports, Failure> {
        let folder = tempfile::tempdir()?;
        for (name, source) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.with_file_name(""))?;
            fs::write(path, source)?;
        }
        Imports::read(&folder.path().join(files[0].0))
    }

    fn arrows(files: &[(&str, &str)]) -> Vec<String> {
        read(files).unwrap().arrows.keys().map(|(from, to)| format!("{from} {to}")).collect()
    }

    #[test]
    fn every_form_of_import_is_found() {
        let forms = [
            "use crate::b;",
            "use crate::{a::X, b::{Y, Z}};",
            "use super::b::Y;",
            "use super::{b as c};",
            "pub use crate::b::*;",
            "fn f(y: &crate::b::Y) {}",
            "impl Trait for X { fn f() { crate::b::f() } }",
            "fn f() { println!(\"{}\", crate::b::f()); }",
            "macro_rules! m { () => { $crate::b::f() } }",
            "mod inner { use super::super::b::Y; }",
            "use crate::Y;",
            "use crate::Renamed;",
        ];
        for form in forms {
            let root = ("lib.rs", "mod a;\nmod b;\npub use b::Y;\npub use self::b::Z as Renamed;");
            assert_eq!(arrows(&[root, ("a.rs", form), ("b.rs", "")]), ["a b"], "{form}");
        }
    }

    #[test]
    fn paths_that_import_from_no_other_module_are_ignored() {
        let others = [
            "#[cfg(test)] use crate::b;",
            "#[cfg(test)] mod tests { use crate::b; }",
            "#[cfg(all(test, feature = \"x\"))] mod tests;",
            "impl X { #[cfg(test)] fn f() { crate::b::f() } }",
            "/// See [`crate::b`].\npub(crate) fn f() { \"crate::b\"; }",
            "use crate::a::Y; use self::b::Y; mod b { use super::Y; }",
            "use crate::Bytes;",
        ];
        for other in others {
            let root = ("lib.rs", "mod a;\nmod b;\npub use bytes::Bytes;\n#[cfg(test)] mod c;");
            assert_eq!(arrows(&[root, ("a.rs", other), ("b.rs", "")]), [""; 0], "{other}");
        }
        let ships = "#[cfg(any(test, feature = \"x\"))] use crate::b;";
        assert_eq!(arrows(&[("lib.rs", "mod a; mod b;"), ("a.rs", ships), ("b.rs", "")]), ["a b"]);
    }

    #[test]
    fn nested_files_count_as_their_top_level_module() {
        let files = [
            ("main.rs", "mod a; mod b; fn main() { a::run() }"),
            ("a/mod.rs", "mod deep; use deep::X;"),
            ("a/deep.rs", "mod er;"),
            ("a/deep/er.rs", "use super::super::super::b;"),
            ("b.rs", ""),
        ];
        assert_eq!(arrows(&files), ["a b", "main a"]);
        let place = &read(&files).unwrap().arrows[&("a".to_owned(), "b".to_owned())];
        assert!(place.ends_with("a/deep/er.rs:1"), "{place}");
    }

    #[test]
    fn items_of_the_root_count_as_a_module() {
        let root = "mod a; mod b; pub use a::X; pub trait T { fn f(x: X); } const N: u8 = 1;";
        let files = [("lib.rs", root), ("a.rs", ""), ("b.rs", "use crate::T;")];
        assert_eq!(arrows(&files), ["b lib", "lib a"]);
        assert!(read(&files).unwrap().modules.contains("lib"));
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for (a, expected) in
            [("use crate::*;", "a.rs:1: name what"), ("fn", "a.rs:1: "), ("mod gone;", "gone.rs: ")]
        {
            let error = read(&[("lib.rs", "mod a;"), ("a.rs", a)]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
