//! Flash messages: shown once, by the page that follows a form.

use zeroize::Zeroizing;

use crate::fields::Fields;

/// The outcome of a form, for the page that follows it.
pub(crate) struct FlashMessage {
    pub(crate) kind: FlashKind,
    pub(crate) text: String,
    /// A secret that is shown only this once, with its name.
    pub(crate) secret: Option<(&'static str, Zeroizing<String>)>,
    /// What the page needs to fill in the form again.
    pub(crate) kept: Kept,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlashKind {
    Success,
    Rejected,
}

/// The submitted fields of a form, and which of them was rejected.
#[derive(Default)]
pub(crate) struct Kept {
    fields: Fields,
    /// The name of the rejected field, and the reason.
    invalid: Option<(&'static str, String)>,
}

impl FlashMessage {
    pub(crate) fn success(text: impl Into<String>) -> Self {
        Self { kind: FlashKind::Success, text: text.into(), secret: None, kept: Kept::default() }
    }

    pub(crate) fn rejected(text: impl Into<String>) -> Self {
        Self { kind: FlashKind::Rejected, ..Self::success(text) }
    }

    pub(crate) fn with_secret(mut self, name: &'static str, secret: impl Into<String>) -> Self {
        self.secret = Some((name, Zeroizing::new(secret.into())));
        self
    }

    pub(crate) fn keeping(mut self, fields: Fields) -> Self {
        self.kept.fields = fields;
        self
    }

    /// Shows the message beside this field too.
    pub(crate) fn about(mut self, field: &'static str) -> Self {
        self.kept.invalid = Some((field, self.text.clone()));
        self
    }
}

impl Kept {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name)
    }

    /// Returns a field's value, or an empty text if the field is missing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.fields.text(name)
    }

    /// Returns why the value of a field was rejected; `None` if it was not.
    pub(crate) fn reason(&self, field: &str) -> Option<&str> {
        self.invalid.as_ref().filter(|(name, _)| *name == field).map(|(_, reason)| reason.as_str())
    }
}
