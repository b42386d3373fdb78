//! Errors that are shown as a page, with what to do.

use chatcamp_server::{AccountError, BusError};
use chatcamp_store::StoreError;
use http::StatusCode;

use crate::{access::PasswordError, host::Origin};

/// Why a request has no other answer.
pub(crate) struct PageError {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) advice: String,
}

impl PageError {
    pub(crate) fn new(status: StatusCode, title: &'static str, advice: impl Into<String>) -> Self {
        Self { status, title, advice: advice.into() }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "Page not found",
            "The address is wrong, or what it showed was deleted.",
        )
    }

    pub(crate) fn bad_request(advice: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "Invalid request", advice)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let advice = "Pages are read with GET; forms are sent with POST.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Method not allowed", advice)
    }

    /// The request names a host that is not this server's.
    pub(crate) fn wrong_host() -> Self {
        let advice = "The dashboard answers only to localhost and to the address it listens on, so that no other site can \
                      direct a browser to it. To reach it by another name, start the server with --public-url URL, or with \
                      --dashboard-host NAME for a further name.";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "This server does not have that name", advice)
    }

    pub(crate) fn signed_out() -> Self {
        let advice = "Nothing was changed. Sign in again, then repeat the action.";
        Self::new(StatusCode::FORBIDDEN, "You are signed out", advice)
    }

    /// The form was sent by another site, or belongs to an earlier session.
    pub(crate) fn foreign_form() -> Self {
        let advice = "Nothing was changed. The form was not sent from the current version of this page: go back, reload the \
                      page and send the form again.";
        Self::new(StatusCode::FORBIDDEN, "The form was not accepted", advice)
    }

    /// The form was sent by a page of another origin: another site, or this one behind a proxy that changes the host.
    pub(crate) fn foreign_origin(sender: &str, ours: &Origin) -> Self {
        let advice = format!(
            "Nothing was changed. Your browser sent the form from {sender}, but the request reached this server as {ours}. If \
             you opened the dashboard at {sender}, a proxy in between changed the Host header: start the server with \
             --public-url and the address at which browsers reach it, such as {sender}. Or let the proxy pass the header on \
             unchanged (nginx: proxy_set_header Host $http_host), and start the server with --dashboard-host {sender}."
        );
        Self::new(StatusCode::FORBIDDEN, "The form was not accepted", advice)
    }
}

impl From<AccountError> for PageError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error @ StoreError::Nul { .. }) => {
                Self::new(StatusCode::BAD_REQUEST, "This cannot be done", sentence(&error))
            }
            AccountError::Store(error) => error.into(),
            AccountError::NoApp(_) | AccountError::NoUser(_) | AccountError::NoApiKey(_) => {
                Self::new(StatusCode::NOT_FOUND, "Not found", sentence(&error))
            }
            error => Self::new(StatusCode::BAD_REQUEST, "This cannot be done", sentence(&error)),
        }
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "the dashboard cannot use the store");
        let advice = "The server cannot use its database. The reason is in its log. Try again in a moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Database unavailable", advice)
    }
}

impl From<BusError> for PageError {
    fn from(error: BusError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "the dashboard cannot access live sessions");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Live sessions are unavailable", sentence(&error))
    }
}

impl From<PasswordError> for PageError {
    fn from(error: PasswordError) -> Self {
        tracing::warn!(error = &error as &dyn std::error::Error, "cannot read the admin password");
        let advice = "The server cannot read the admin password. The reason is in its log. `chatcamp admin password` sets a \
                      new one.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Sign-in is unavailable", advice)
    }
}

/// Returns an error's message as a sentence. If it starts with the name of a field, the name keeps its case.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let is_field = text.split(' ').next().is_some_and(|word| word.contains('_'));
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !is_field => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        _ => format!("{text}."),
    }
}
