//! What a page says once, after a form was sent.

use zeroize::Zeroizing;

use crate::fields::Fields;

/// What came of a form, for the page that follows it.
pub(crate) struct Note {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// Something that is shown now or never, with its name.
    pub(crate) secret: Option<(&'static str, Zeroizing<String>)>,
    /// What was filled in, so that it need not be typed again.
    pub(crate) kept: Option<Fields>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Done,
    Refused,
}

impl Note {
    pub(crate) fn done(text: impl Into<String>) -> Self {
        Self { kind: Kind::Done, text: text.into(), secret: None, kept: None }
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self { kind: Kind::Refused, text: text.into(), secret: None, kept: None }
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
