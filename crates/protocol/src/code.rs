//! The table of ends: why a connection was refused or closed, and what its client should do.
//!
//! One row per code. The enum, its documentation, the tables in `docs/PROTOCOL.md`, the message in each dialect and the
//! client's action all come from this table, so a code without an action does not compile.

/// What a client should do after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Connect again after a delay, with the same credential.
    Retry,
    /// Connect again only with another credential.
    Credential,
    /// Do not connect again automatically.
    Terminal,
}

/// How an end is announced to the published SDK, which reads neither close codes nor reasons.
///
/// See "The published dialect" in `docs/PROTOCOL.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Published {
    /// A negative `users.auth.ack` with the code `NOT_FOUND`. The SDK reports it and does not connect again.
    NotFound,
    /// A negative `users.auth.ack` with the code `NOT_AUTHORIZED`. The SDK reports it and does not connect again.
    NotAuthorized,
    /// `NOT_AUTHORIZED` with the message `Session Key Invalid`. The SDK connects again with user id and token.
    SessionKeyInvalid,
    /// The close alone. The SDK connects again after a growing delay.
    Silent,
}

impl Published {
    /// Returns the code that the SDK is sent; `None` if it is sent the close alone.
    #[must_use]
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::NotFound => Some("NOT_FOUND"),
            Self::NotAuthorized | Self::SessionKeyInvalid => Some("NOT_AUTHORIZED"),
            Self::Silent => None,
        }
    }

    /// Returns the message that the SDK acts on; `None` if any message will do.
    #[must_use]
    pub const fn message(self) -> Option<&'static str> {
        match self {
            Self::SessionKeyInvalid => Some("Session Key Invalid"),
            Self::NotFound | Self::NotAuthorized | Self::Silent => None,
        }
    }
}

impl Advice {
    /// Returns the advice as it is on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Credential => "credential",
            Self::Terminal => "terminal",
        }
    }

    /// Reads advice from the wire; returns `None` for advice that this version does not know.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        [Self::Retry, Self::Credential, Self::Terminal].into_iter().find(|a| a.as_str() == text)
    }
}

macro_rules! codes {
    ($($name:ident $number:literal $wire:literal $advice:ident $published:ident $reason:literal)+) => {
        /// Why a connection was refused or ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $wire, "`: ", $reason, ".")] $name,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns the code as it is on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }

            /// Returns the WebSocket close code. Clients connect again after 4000 to 4499, and not after 4500 to 4999.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)+ }
            }

            /// Returns the reason for people.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)+ }
            }

            /// Returns what the client should do.
            #[must_use]
            pub const fn advice(self) -> Advice {
                match self { $(Self::$name => Advice::$advice,)+ }
            }

            /// Returns how the published SDK is told.
            #[must_use]
            pub const fn published(self) -> Published {
                match self { $(Self::$name => Published::$published,)+ }
            }
        }
    };
}

codes! {
    HandshakeTimeout    4000 "HANDSHAKE_TIMEOUT"     Retry      Silent            "the handshake did not finish in time"
    IdleTimeout         4001 "IDLE_TIMEOUT"          Retry      Silent            "nothing was heard from the client for too long"
    Overloaded          4002 "OVERLOADED"            Retry      Silent            "the server has too many connections now"
    StoreUnavailable    4003 "STORE_UNAVAILABLE"     Retry      Silent            "the server cannot reach its store now"
    UserLimitReached    4004 "USER_LIMIT_REACHED"    Retry      Silent            "the app has as many users as it may have"
    ShuttingDown        4005 "SHUTTING_DOWN"         Retry      Silent            "the server is shutting down"
    SlowConsumer        4006 "SLOW_CONSUMER"         Retry      Silent            "the client did not read what was sent to it"
    OutOfSequence       4007 "OUT_OF_SEQUENCE"       Retry      Silent            "a message number was skipped"
    Lost                4008 "LOST"                  Retry      Silent            "the connection broke"
    CredentialChanged   4009 "CREDENTIAL_CHANGED"    Retry      Silent            "the user's credentials changed; connect again"
    Reconnect           4010 "RECONNECT"             Retry      Silent            "the app's backend asks the client to connect again"
    ConnectionUnknown   4011 "CONNECTION_UNKNOWN"    Retry      Silent            "this server does not have this connection; one begins with users.auth"
    RateLimited         4012 "RATE_LIMITED"          Retry      Silent            "too many connections or requests in a short time; wait before the next"
    AppNotFound         4500 "APP_NOT_FOUND"         Terminal   NotFound          "no app has this app id; `chatcamp app list` shows those there are"
    AppIdInvalid        4501 "APP_ID_INVALID"        Terminal   NotFound          "an app id is 1 to 64 characters of A-Z a-z 0-9 . _ ~ -, not dots alone"
    UserIdInvalid       4502 "USER_ID_INVALID"       Terminal   NotAuthorized     "a user id is 1 to 255 bytes of UTF-8 without control characters"
    CredentialRefused   4503 "CREDENTIAL_REFUSED"    Credential NotAuthorized     "this app needs a known user id and its access token"
    AccessTokenRequired 4504 "ACCESS_TOKEN_REQUIRED" Credential NotAuthorized     "this user must present an access token"
    AccessTokenInvalid  4505 "ACCESS_TOKEN_INVALID"  Credential NotAuthorized     "the access token is not this user's"
    AccessTokenExpired  4506 "ACCESS_TOKEN_EXPIRED"  Credential NotAuthorized     "the access token has expired"
    SessionKeyInvalid   4507 "SESSION_KEY_INVALID"   Credential SessionKeyInvalid "the session key is unknown, expired or revoked"
    CredentialRevoked   4508 "CREDENTIAL_REVOKED"    Credential NotAuthorized     "the credential of this session was revoked"
    UserSuspended       4509 "USER_SUSPENDED"        Terminal   NotAuthorized     "this user is suspended"
    UserDeleted         4510 "USER_DELETED"          Terminal   NotAuthorized     "this user was deleted"
    Replaced            4511 "REPLACED"              Terminal   NotAuthorized     "the session went on over another connection"
    SessionLimit        4512 "SESSION_LIMIT"         Terminal   NotAuthorized     "the user has as many sessions as it may have"
    QueryInvalid        4513 "QUERY_INVALID"         Terminal   NotAuthorized     "the query string is not percent-encoded UTF-8, or gives a value twice"
    Malformed           4514 "MALFORMED"             Terminal   NotAuthorized     "a message was not what the protocol asks for"
    UnsupportedVersion  4515 "UNSUPPORTED_VERSION"   Terminal   NotAuthorized     "the server speaks version 1 of this protocol"
    Disconnected        4516 "DISCONNECTED"          Terminal   NotAuthorized     "the app's backend ended the session"
    SessionEvicted      4517 "SESSION_EVICTED"       Terminal   NotAuthorized     "a newer session of the user took the place of this one"
    OriginRefused       4518 "ORIGIN_REFUSED"        Terminal   NotAuthorized     "the app does not accept pages of this origin; `chatcamp app origins` changes that"
    ProtocolError       1002 "PROTOCOL_ERROR"        Terminal   Silent            "the WebSocket framing was violated"
    BinaryMessage       1003 "BINARY_MESSAGE"        Terminal   Silent            "messages are text, not binary"
    InvalidText         1007 "INVALID_TEXT"          Terminal   Silent            "a message was not UTF-8"
    MessageTooLarge     1009 "MESSAGE_TOO_LARGE"     Terminal   Silent            "a message was larger than 64 KiB"
}

const _: () = {
    let mut i = 0;
    while i < Code::ALL.len() {
        let code = Code::ALL[i];
        let is_retried = matches!(code.advice(), Advice::Retry);
        let number = code.number();
        assert!(number < 2000 || (number >= 4000 && number < 5000), "private numbers are 4000 to 4999");
        assert!(
            number < 4000 || is_retried == (number < 4500),
            "clients connect again after 4000 to 4499 only"
        );
        assert!(
            !is_retried || matches!(code.published(), Published::Silent),
            "the published SDK connects again only after the close alone"
        );
        i += 1;
    }
};

impl Code {
    /// Reads a code from the wire; returns `None` for a code that this version does not know. Then the advice decides.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.as_str() == text)
    }

    /// Returns the code for a WebSocket close number, for an end that no `session.close` announced.
    ///
    /// Unknown numbers from 4500 to 4999 are [`Malformed`](Self::Malformed); all other numbers that are not in the table
    /// (1000, 1001, 1005, 1006, 1011, …) are [`Lost`](Self::Lost).
    #[must_use]
    pub fn from_number(number: u16) -> Self {
        Self::ALL.iter().copied().find(|c| c.number() == number).unwrap_or(match number {
            4500..=4999 => Self::Malformed,
            _ => Self::Lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_by_name_and_number() {
        for &code in Code::ALL {
            assert_eq!(Code::from_wire(code.as_str()), Some(code));
            assert_eq!(Code::from_number(code.number()), code);
        }
    }

    #[test]
    fn unknown_numbers_follow_their_range() {
        for (number, advice) in
            [(1000, Advice::Retry), (1006, Advice::Retry), (4499, Advice::Retry), (4999, Advice::Terminal)]
        {
            assert_eq!(Code::from_number(number).advice(), advice, "{number}");
        }
    }
}
