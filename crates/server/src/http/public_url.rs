//! The address at which browsers and clients reach a server, which may have a path.

use std::{fmt, str::FromStr};

use chatcamp_protocol::{ServerUrl, url::UrlFlaw};

/// Paths of pages for people: an address that ends in one of them was copied from the browser.
const PAGES: [&str; 2] = ["/dashboard", "/try"];

/// The address at which browsers and clients reach a server, such as `https://chat.example.com`, or `https://example.com/talk`
/// if a proxy serves the server under a path.
///
/// The proxy may remove the path from the requests that it passes on, or leave it: the server answers both.
///
/// # Examples
/// ```
/// use chatcamp_server::PublicUrl;
///
/// let url: PublicUrl = "https://Example.com:443/talk/".parse()?;
/// assert_eq!((url.origin().as_str(), url.path()), ("https://example.com", "/talk"));
/// assert!("example.com/talk".parse::<PublicUrl>().is_err());
/// # Ok::<(), chatcamp_server::InvalidPublicUrl>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(ServerUrl);

/// The reason a text is not the public address of a server. Does not contain the text, which the caller knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidPublicUrl {
    /// The text is not the URL of a server.
    #[error("{0}; an example is https://example.com/talk")]
    Url(UrlFlaw),
    /// The path has characters that programs write in different ways, such as `%`, or an empty, `.` or `..` segment.
    #[error(
        "its path may have only letters, digits, - . _ ~ and single slashes, as in https://example.com/talk"
    )]
    Path,
    /// The path ends with that of a page.
    #[error("it ends in {0}, a page of the server; remove {0} from its end")]
    Page(&'static str),
}

impl FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    /// Parses a URL with `https://` or `http://`; a slash at its end is removed.
    ///
    /// # Errors
    /// [`InvalidPublicUrl`] says what to change.
    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url = ServerUrl::parse(text).map_err(|invalid| InvalidPublicUrl::Url(invalid.flaw))?;
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let is_segment = |text: &str| !["", ".", ".."].contains(&text) && text.bytes().all(is_plain);
        if !url.path().split('/').skip(1).all(is_segment) {
            return Err(InvalidPublicUrl::Path);
        }
        match PAGES.into_iter().find(|page| url.path().ends_with(page)) {
            Some(page) => Err(InvalidPublicUrl::Page(page)),
            None => Ok(Self(url)),
        }
    }
}

impl PublicUrl {
    /// Returns the origin of the server's web pages, as a browser sends it: `https://host[:port]`.
    #[must_use]
    pub fn origin(&self) -> String {
        self.0.origin()
    }

    /// Returns the path in front of the server's own paths: `/talk`, or empty. It does not end in a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// Returns whether the address begins with `https://`.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.0.is_tls()
    }

    /// Returns what follows the public path in a request's path or target: text that begins with a slash or is empty. Returns
    /// `None` if the public path is empty or the request does not have it.
    pub(crate) fn remainder<'t>(&self, target: &'t str) -> Option<&'t str> {
        if self.path().is_empty() {
            return None;
        }
        target.strip_prefix(self.path()).filter(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Writes the URL without a slash at its end.
impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_url_is_refused_with_what_to_change() {
        for (text, advice) in [
            ("example.com/talk", "https://"),
            ("https://example.com/talk?a=b", "query"),
            ("https://example.com/talk#top", "fragment"),
            ("https://user:secret@example.com/talk", "user name"),
            ("https://example.com/a%20b", "letters, digits"),
            ("https://example.com/a//b", "single slashes"),
            ("https://example.com/../a", "letters, digits"),
            ("https://example.com/talk/dashboard/", "remove /dashboard"),
            ("https://example.com/try", "remove /try"),
            ("https://example.com/api/2.0", "/api/2.0"),
        ] {
            let why = text.parse::<PublicUrl>().unwrap_err().to_string();
            assert!(why.contains(advice) && !why.contains("secret"), "{text}: {why}");
        }
    }

    #[test]
    fn only_whole_segments_of_a_path_are_removed() {
        let url: PublicUrl = "https://example.com/a/talk/".parse().unwrap();
        assert_eq!(url.to_string(), "https://example.com/a/talk");
        for (path, rest) in [
            ("/a/talk/chat/2.0?x", Some("/chat/2.0?x")),
            ("/a/talk//api/1.0/x", Some("//api/1.0/x")),
            ("/a/talk", Some("")),
            ("/a/talks/x", None),
            ("/talk/x", None),
        ] {
            assert_eq!(url.remainder(path), rest, "{path}");
        }
        let root: PublicUrl = "https://example.com/".parse().unwrap();
        assert_eq!(root.remainder("/chat/2.0"), None);
    }
}
