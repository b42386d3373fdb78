//! Paths that several modules name, and links to them.

/// The list of apps. All other paths of the dashboard are below it.
pub(crate) const HOME: &str = "/dashboard/";
/// The sign-in page and its form.
pub(crate) const SIGN_IN: &str = "/dashboard/sign-in";
/// The form that signs out.
pub(crate) const SIGN_OUT: &str = "/dashboard/sign-out";
/// The form that uses a one-time link.
pub(crate) const USE_LINK: &str = "/dashboard/enter";
/// The page of a one-time link; the link's secret follows.
pub(crate) const LINK_PREFIX: &str = "/dashboard/enter/";
/// The table of live sessions alone, which the script inserts into pages: it is as deep as these, so that its links lead to the same
/// pages.
pub(crate) const LIVE_ROWS: &str = "/dashboard/live-sessions";

/// The greatest depth that links are made for, in folders. Pages that exist are less deep. Links from a page that is as deep as a path can
/// be would make an answer many times as long as its request.
const MAX_DEPTH: usize = 16;

/// The way from a requested page to the root of the server. Links and redirects are relative, because a proxy may serve the server
/// under a path that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    /// The number of folders to go up.
    depth: usize,
}

impl Root {
    /// Returns the way from the page at `path`, which begins with a slash.
    pub(crate) fn from(path: &str) -> Self {
        let slashes = path.bytes().filter(|&b| b == b'/').take(MAX_DEPTH + 1).count();
        Self { depth: slashes.saturating_sub(1) }
    }

    /// Returns the relative link to `path`, which begins with a slash and may have a query.
    pub(crate) fn to(self, path: &str) -> String {
        let up = if self.depth == 0 { "./".to_owned() } else { "../".repeat(self.depth) };
        up + path.trim_start_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_to_the_requested_page() {
        for (from, link) in [
            ("/", "./dashboard/"),
            ("/dashboard", "./dashboard/"),
            ("/dashboard/", "../dashboard/"),
            ("/dashboard/app", "../dashboard/"),
            ("/dashboard/user/create", "../../dashboard/"),
            ("/dashboard/a/b/", "../../../dashboard/"),
        ] {
            assert_eq!(Root::from(from).to(HOME), link, "{from}");
        }
        assert_eq!(Root::from("/dashboard/app").to("//evil.example"), "../evil.example");
    }

    #[test]
    fn a_path_of_slashes_does_not_make_a_link_long() {
        let path = format!("/dashboard/enter/{}", "/".repeat(16_000));
        assert!(Root::from(&path).to(HOME).len() < 100);
    }
}
