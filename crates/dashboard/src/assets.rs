//! The files of the pages. A path names a version, so that browsers keep what they have.

use std::sync::LazyLock;

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use crate::reply::Reply;

static FILES: LazyLock<[File; 3]> = LazyLock::new(|| {
    [
        File::new("style", "css", "text/css; charset=utf-8", include_bytes!("assets/style.css")),
        File::new("script", "js", "text/javascript; charset=utf-8", include_bytes!("assets/script.js")),
        File::new("icon", "svg", "image/svg+xml", include_bytes!("assets/icon.svg")),
    ]
});

struct File {
    path: String,
    content_type: &'static str,
    content: &'static [u8],
}

impl File {
    fn new(name: &str, ending: &str, content_type: &'static str, content: &'static [u8]) -> Self {
        let version = HEXLOWER.encode(&Sha256::digest(content)[..6]);
        Self { path: format!("/dashboard/{name}-{version}.{ending}"), content_type, content }
    }
}

/// The file at a path.
pub(crate) fn at(path: &str) -> Option<Reply> {
    let file = FILES.iter().find(|file| file.path == path)?;
    Some(Reply::file(file.content_type, file.content))
}

pub(crate) fn style() -> &'static str {
    &FILES[0].path
}

pub(crate) fn script() -> &'static str {
    &FILES[1].path
}

pub(crate) fn icon() -> &'static str {
    &FILES[2].path
}
