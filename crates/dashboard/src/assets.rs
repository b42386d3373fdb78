//! Style sheet, script and icon. Their paths contain a digest of the content, so that browsers can cache them without revalidation.

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
    fn new(name: &str, extension: &str, content_type: &'static str, content: &'static [u8]) -> Self {
        let digest = HEXLOWER.encode(&Sha256::digest(content)[..6]);
        Self { path: format!("/dashboard/{name}-{digest}.{extension}"), content_type, content }
    }
}

/// Returns the file at a path.
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
