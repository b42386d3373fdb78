//! The codes with which a single request fails; the session goes on.

macro_rules! errors {
    ($($(#[doc = $doc:literal])+ $name:ident = $wire:literal,)+) => {
        /// Why a request was not carried out: `d.error.code` of a negative acknowledgement.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $name,)+
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the code as it is on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }

            /// Returns what the code means, for people and for `docs/PROTOCOL.md`.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

errors! {
    /// The server does not know the type of the request.
    UnknownType = "UNKNOWN_TYPE",
    /// A field of the body is missing or has the wrong type.
    InvalidBody = "INVALID_BODY",
    /// A value is longer or nested deeper than its limit.
    ValueTooLong = "VALUE_TOO_LONG",
    /// A client may change its own user only.
    NotOwnUser = "NOT_OWN_USER",
    /// The app has no user with this id.
    UserNotFound = "USER_NOT_FOUND",
    /// The app does not let clients list or count its users.
    DirectoryOff = "DIRECTORY_OFF",
    /// The server refused the new token; the session keeps its old credential.
    TokenRefused = "TOKEN_REFUSED",
    /// A client may not block its own user.
    OwnUser = "OWN_USER",
    /// The user blocks as many others as it may; unblock one first.
    TooManyBlocks = "TOO_MANY_BLOCKS",
    /// The session sends too many requests; send this one again after `error.retry_after_ms`.
    RateLimited = "RATE_LIMITED",
    /// The server cannot reach its store; try the request again later.
    StoreUnavailable = "STORE_UNAVAILABLE",
}

impl ErrorCode {
    /// Returns whether the same request may succeed later. It was not carried out.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::StoreUnavailable)
    }

    /// Reads a code from the wire; returns `None` for a code that this version does not know.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_they_are_written() {
        for &code in ErrorCode::ALL {
            assert_eq!(ErrorCode::from_wire(code.as_str()), Some(code));
        }
        assert_eq!(ErrorCode::from_wire("unknown_type"), None);
    }

    #[test]
    fn meanings_are_sentences() {
        for code in ErrorCode::ALL {
            assert!(code.meaning().ends_with('.'), "{}", code.as_str());
        }
    }
}
