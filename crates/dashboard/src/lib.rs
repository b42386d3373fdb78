//! The dashboard: apps, users and live sessions in a browser, rendered by the server.
//!
//! [`Dashboard`] serves the paths below `/dashboard`, and a redirect from `/`. A [`FrontDoor`](chatcamp_server::FrontDoor)
//! mounts it. An [`AdminPassword`] protects it. Pages are templates that are checked at compile time and escape their values;
//! with one style sheet and one script they are part of the binary. Forms work without the script.
//!
//! The dashboard contains no rules about apps, users and sessions: [`Accounts`](chatcamp_server::Accounts) and
//! [`Server`](chatcamp_server::Server) decide.
//!
//! ```text
//!  request -> Host header names this server?     -> otherwise 421
//!          -> `/`                                -> redirect to `/dashboard/`
//!          -> path of a style sheet or script    -> the file
//!          -> POST: Origin header is ours?       -> otherwise 403
//!          -> sign-in, one-time link             -> reads a small form
//!          -> cookie of a browser session?       -> otherwise redirect to the sign-in page
//!          -> POST: form token of the session?   -> reads a large form; otherwise 403
//!          -> pages (GET) or actions (POST, then a redirect to a page)
//! ```
//!
//! | module | contents |
//! |---|---|
//! | `dashboard`, `router` | the public type, and the checks above |
//! | `sign_in`, `access` | sign-in and sign-out; the password, one-time links and sessions of browsers |
//! | `pages`, `actions` | what is shown, and what forms change |
//! | `request`, `flash`, `error` | what pages and actions receive, and what they return |
//! | `host`, `body`, `fields`, `reply`, `paths`, `assets`, `visible_text` | parts of requests and answers |
//! | `try_page` | [`TryPage`], the page at `/try` |
//!
//! Modules import only modules further down in this list, and none imports the crate root: `dashboard`; `router`; `actions`,
//! `sign_in`; `pages`; `request`; `error`; `access`; `flash`. The modules of the last but one row may be imported by all.

mod access;
mod actions;
mod assets;
mod body;
mod dashboard;
mod error;
mod fields;
mod flash;
mod host;
mod pages;
mod paths;
mod reply;
mod request;
mod router;
mod sign_in;
mod try_page;
mod visible_text;

pub use self::{
    access::{AdminPassword, PasswordError},
    dashboard::Dashboard,
    host::{HostName, InvalidHostName},
    try_page::TryPage,
};
