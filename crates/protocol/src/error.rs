//! The codes with which one request fails while the connection lives on.

use serde::Serialize;

macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $name:ident = $wire:literal,)+) => {
        /// Why a request was not carried out, as `d.error.code` of a negative acknowledgement.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $name,)+
        }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as it stands on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }

            /// What it means, for people and for `docs/PROTOCOL.md`.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

errors! {
    /// The server does not know the request's type.
    UnknownType = "UNKNOWN_TYPE",
    /// The body lacks a field or has one of the wrong type.
    InvalidBody = "INVALID_BODY",
    /// A value is longer, or nested deeper, than its limit.
    ValueTooLong = "VALUE_TOO_LONG",
    /// A client may change its own user only.
    NotOwnUser = "NOT_OWN_USER",
    /// The app has no user with this id.
    UserNotFound = "USER_NOT_FOUND",
    /// The app does not let clients list or count its users.
    DirectoryOff = "DIRECTORY_OFF",
    /// The token of a refresh is refused; the session goes on with the credential it has.
    TokenRefused = "TOKEN_REFUSED",
    /// A client may not block its own user.
    OwnUser = "OWN_USER",
    /// The user blocks as many others as it may; unblock one first.
    TooManyBlocks = "TOO_MANY_BLOCKS",
    /// The store cannot answer now; try the request again later.
    StoreUnavailable = "STORE_UNAVAILABLE",
}

/// The body of a negative acknowledgement: `{"ok":false,"error":{"code":…,"message":…}}`.
#[derive(Debug, Serialize)]
pub struct Failure<'a> {
    ok: bool,
    error: FailureDetail<'a>,
}

#[derive(Debug, Serialize)]
struct FailureDetail<'a> {
    code: &'static str,
    message: &'a str,
}

impl<'a> Failure<'a> {
    /// A failure with `code` for programs and `message` for people.
    #[must_use]
    pub fn new(code: ErrorCode, message: &'a str) -> Self {
        Self { ok: false, error: FailureDetail { code: code.as_str(), message } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_shape_of_the_wire_document() {
        let body = serde_json::to_string(&Failure::new(ErrorCode::UnknownType, "no x.y here")).unwrap();
        assert_eq!(body, r#"{"ok":false,"error":{"code":"UNKNOWN_TYPE","message":"no x.y here"}}"#);
    }

    #[test]
    fn meanings_are_sentences() {
        for code in ErrorCode::ALL {
            assert!(code.meaning().ends_with('.'), "{}", code.as_str());
        }
    }
}
