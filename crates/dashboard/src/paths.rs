//! Paths that several modules name.

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
/// The table of live sessions alone, which the script reloads.
pub(crate) const LIVE_ROWS: &str = "/dashboard/live/sessions";
