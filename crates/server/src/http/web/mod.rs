//! Files for web pages: the client of this project, its types, both as a package, and the script for pages with the published SDK.
//!
//! Pages of any origin may load them. They read no cookie and contain no secret.

#[cfg(feature = "web")]
mod package;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::LazyLock,
};

use bytes::Bytes;

/// A file and its headers.
#[derive(Debug)]
pub(crate) struct File {
    path: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// Identifies the content, so that a browser that has it need not download it again.
    pub(crate) etag: String,
}

impl File {
    /// Returns the file at a path, or `None` if there is no file.
    pub(crate) fn at(path: &str) -> Option<&'static Self> {
        FILES.iter().find(|file| file.path == path)
    }

    fn new(path: &'static str, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        Self { path, content_type, body, etag: format!("\"{:016x}\"", hasher.finish()) }
    }
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    if !cfg!(feature = "web") {
        return Vec::new();
    }
    let script = "text/javascript; charset=utf-8";
    Vec::from([
        File::new("/chatcamp.js", script, include_str!("chatcamp.js")),
        File::new("/chatcamp.d.ts", "text/plain; charset=utf-8", include_str!("chatcamp.d.ts")),
        #[cfg(feature = "web")]
        File::new("/chatcamp.tgz", "application/gzip", package::tarball()),
        File::new("/compat.js", script, include_str!("compat.js")),
    ])
});

#[cfg(test)]
#[cfg(feature = "web")]
mod tests {
    use chatcamp_protocol::{Code, limits};

    use super::*;

    fn text(path: &str) -> &'static str {
        std::str::from_utf8(&File::at(path).unwrap().body).unwrap()
    }

    /// Returns the value of a numeric constant of the module.
    fn constant(name: &str) -> u64 {
        let line = format!("const {name} = ");
        let value = text("/chatcamp.js").split(&line).nth(1).unwrap().split(';').next().unwrap();
        value.replace('_', "").parse().unwrap()
    }

    #[test]
    fn the_web_client_knows_every_code_with_its_number_and_advice() {
        let table = text("/chatcamp.js").split("CODES = Object.freeze({\n").nth(1).unwrap();
        let rows: Vec<_> = table.split("});").next().unwrap().lines().map(str::trim).collect();
        let codes = Code::ALL.iter();
        let expected: Vec<_> = codes
            .map(|code| format!("{}: [{}, \"{}\"],", code.as_str(), code.number(), code.advice().as_str()))
            .collect();
        assert_eq!(rows, expected);
    }

    #[test]
    fn the_types_list_every_error_of_the_web_client() {
        let literals = text("/chatcamp.js").split("ChatCampError(\"").skip(1);
        let mut used: Vec<_> = literals.map(|rest| rest.split('"').next().unwrap()).collect();
        used.push("INVALID_ANSWER");
        used.retain(|code| Code::from_wire(code).is_none());
        used.sort_unstable();
        used.dedup();
        let types = text("/chatcamp.d.ts").split("ClientCode =").nth(1).unwrap().split(';').next().unwrap();
        let listed: Vec<_> = types.split("| ").skip(1).map(|code| code.trim().trim_matches('"')).collect();
        assert_eq!(listed, used);
    }

    #[test]
    fn the_web_client_has_the_limits_of_the_protocol() {
        let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap();
        for (name, value) in [
            ("MESSAGE_BYTES", u64::try_from(limits::MESSAGE).unwrap()),
            ("USER_ID_BYTES", u64::try_from(limits::USER_ID).unwrap()),
            ("HEARTBEAT_MS", ms(limits::HEARTBEAT)),
            ("SILENCE_MS", ms(limits::SILENCE)),
            ("CLOSING_MS", ms(limits::CLOSING)),
            ("ACKNOWLEDGED_MESSAGES", limits::ACKNOWLEDGE_MESSAGES),
        ] {
            assert_eq!(constant(name), value, "{name}");
        }
    }

    #[test]
    fn the_web_client_has_the_version_of_this_crate() {
        assert!(text("/chatcamp.js").contains(&format!("VERSION = \"{}\"", env!("CARGO_PKG_VERSION"))));
    }

    #[test]
    fn every_file_has_its_own_etag() {
        let mut tags: Vec<_> = FILES.iter().map(|file| &file.etag).collect();
        tags.dedup();
        assert_eq!(tags.len(), FILES.len());
    }
}
