//! Flash messages: shown once, by the page that follows a form.

use zeroize::Zeroizing;

use crate::fields::Fields;

/// The outcome of a form, for the page that follows it.
pub(crate) struct FlashMessage {
    pub(crate) kind: FlashKind,
    pub(crate) text: String,
    /// A secret that is shown only this once, with its name.
    pub(crate) secret: Option<(&'static str, Zeroizing<String>)>,
    /// The submitted fields, to fill in the form again.
    pub(crate) kept: Option<Fields>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlashKind {
    Success,
    Rejected,
}

impl FlashMessage {
    pub(crate) fn success(text: impl Into<String>) -> Self {
        Self { kind: FlashKind::Success, text: text.into(), secret: None, kept: None }
    }

    pub(crate) fn rejected(text: impl Into<String>) -> Self {
        Self { kind: FlashKind::Rejected, text: text.into(), secret: None, kept: None }
    }

    pub(crate) fn with_secret(mut self, name: &'static str, secret: impl Into<String>) -> Self {
        self.secret = Some((name, Zeroizing::new(secret.into())));
        self
    }

    pub(crate) fn keeping(mut self, fields: Fields) -> Self {
        self.kept = Some(fields);
        self
    }
}
