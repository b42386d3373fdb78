//! What went wrong, as a page that says what to do.

use chatcamp_server::{AccountError, BusError};
use chatcamp_store::StoreError;
use http::StatusCode;

use crate::{host::Origin, password::PasswordError, reply::Reply};

/// Why a request has no better answer.
pub(crate) struct Fault {
    pub(crate) status: StatusCode,
    pub(crate) title: &'static str,
    pub(crate) advice: String,
}

impl Fault {
    pub(crate) fn new(status: StatusCode, title: &'static str, advice: impl Into<String>) -> Self {
        Self { status, title, advice: advice.into() }
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is no such page", "Start again from the list of your apps.")
    }

    pub(crate) fn bad_request(advice: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "This request makes no sense", advice)
    }

    pub(crate) fn method() -> Self {
        let advice = "This page is read with GET; its forms send POST.";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "Not like this", advice)
    }

    pub(crate) fn signed_out() -> Self {
        let advice = "Nothing was changed. Sign in again, then repeat what you did.";
        Self::new(StatusCode::FORBIDDEN, "You are signed out", advice)
    }

    /// A form that is not one of ours, or of an earlier visit.
    pub(crate) fn foreign_form() -> Self {
        let advice = "Nothing was changed. The form did not come from this page as it is now: go back, reload, and send it \
                      again.";
        Self::new(StatusCode::FORBIDDEN, "This form was not accepted", advice)
    }

    /// A form of a page that believes to be elsewhere: of another site, or of this one behind a proxy that hides its name.
    pub(crate) fn foreign_origin(sender: &str, ours: &Origin) -> Self {
        let advice = format!(
            "Nothing was changed. Your browser sent the form from {sender}, but this server was asked as {ours}. If the first \
             is where you opened the dashboard, there is a proxy in between: it must pass the Host header on as it came \
             (nginx: proxy_set_header Host $http_host), and the server must be started with --dashboard-host {sender}."
        );
        Self::new(StatusCode::FORBIDDEN, "This form was not accepted", advice)
    }

    pub(crate) fn reply(self) -> Reply {
        let methods = (self.status == StatusCode::METHOD_NOT_ALLOWED).then_some("GET, HEAD, POST");
        let reply = Reply::page(self.status, crate::pages::fault(&self));
        methods.into_iter().fold(reply, Reply::allowing)
    }
}

impl From<AccountError> for Fault {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Store(error) => error.into(),
            AccountError::NoApp(_) | AccountError::NoUser(_) | AccountError::NoApiKey(_) => {
                Self::new(StatusCode::NOT_FOUND, "It is not there (any more)", sentence(&error))
            }
            error => Self::new(StatusCode::BAD_REQUEST, "This cannot be done", sentence(&error)),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the dashboard cannot use the store");
        let advice = "The server cannot use its database now; its log says why. Try again in a moment.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "The database does not answer", advice)
    }
}

impl From<BusError> for Fault {
    fn from(error: BusError) -> Self {
        tracing::warn!(%error, "the dashboard cannot ask for live sessions");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Live sessions cannot be read", sentence(&error))
    }
}

impl From<PasswordError> for Fault {
    fn from(error: PasswordError) -> Self {
        tracing::warn!(%error, "the dashboard cannot read the admin password");
        let advice = "The server cannot read the admin password; its log says why. `chatcamp admin password` sets another.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Nobody can sign in now", advice)
    }
}

/// An error's text as a sentence; the name of a field stays as it is.
pub(crate) fn sentence(error: &dyn std::error::Error) -> String {
    let text = error.to_string();
    let is_field = text.split(' ').next().is_some_and(|word| word.contains('_'));
    let mut chars = text.chars();
    match chars.next() {
        Some(first) if !is_field => format!("{}{}.", first.to_uppercase(), chars.as_str()),
        _ => format!("{text}."),
    }
}
