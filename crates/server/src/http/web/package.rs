//! `/chatcamp.tgz`: the client for web pages as a package that npm and other package managers install from its URL.

use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};

/// The line of `chatcamp.js` that says where the file comes from, and the same line in the package.
const SERVED: &str = "const IS_SERVED = true;";
const PACKAGED: &str = "const IS_SERVED = false;";

/// Returns the package. It is the same in every process, so that lock files with its hash stay valid.
pub(super) fn tarball() -> Vec<u8> {
    compressed().expect("writing to memory succeeds")
}

fn compressed() -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    gzip.write_all(&archive()?)?;
    gzip.finish()
}

fn archive() -> io::Result<Vec<u8>> {
    let script = include_str!("chatcamp.js").replace(SERVED, PACKAGED);
    let mut archive = tar::Builder::new(Vec::new());
    for (path, content) in [
        ("package/package.json", include_str!("package/package.json")),
        ("package/README.md", include_str!("package/README.md")),
        ("package/chatcamp.js", script.as_str()),
        ("package/chatcamp.d.ts", include_str!("chatcamp.d.ts")),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_size(u64::try_from(content.len()).expect("the length of a file fits"));
        archive.append_data(&mut header, path, content.as_bytes())?;
    }
    archive.into_inner()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use flate2::read::GzDecoder;

    use super::*;

    fn files() -> BTreeMap<String, String> {
        let (tarball, mut files) = (tarball(), BTreeMap::new());
        for entry in tar::Archive::new(GzDecoder::new(tarball.as_slice())).entries().unwrap() {
            let (mut entry, mut text) = (entry.unwrap(), String::new());
            entry.read_to_string(&mut text).unwrap();
            files.insert(entry.path().unwrap().display().to_string(), text);
        }
        files
    }

    #[test]
    fn the_package_has_the_client_its_types_and_its_version() {
        let files = files();
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        let expected = ["README.md", "chatcamp.d.ts", "chatcamp.js", "package.json"];
        assert_eq!(names, expected.map(|name| format!("package/{name}")));
        let manifest: serde_json::Value = serde_json::from_str(&files["package/package.json"]).unwrap();
        assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(manifest["license"], "MIT OR Apache-2.0");
        assert_eq!(manifest["exports"]["."]["types"], "./chatcamp.d.ts");
    }

    #[test]
    fn the_packaged_client_knows_that_it_is_packaged() {
        let served = include_str!("chatcamp.js");
        let packaged = &files()["package/chatcamp.js"];
        let changed: Vec<_> = served.lines().zip(packaged.lines()).filter(|(a, b)| a != b).collect();
        assert_eq!(changed, [(SERVED, PACKAGED)]);
    }

    #[test]
    fn the_package_is_the_same_each_time() {
        assert_eq!(tarball(), tarball());
    }
}
