//! The table of ends: why a connection was refused or closed, and what its client should do.
//!
//! One row a code. The enum, the documentation (`docs/PROTOCOL.md`), the way each dialect says it and the
//! client's action all come from this table, so a code without an action does not compile.

use serde::Serialize;

/// What a client should do after an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Come back after a while, with what it has.
    Retry,
    /// Come back only with another credential.
    Credential,
    /// Do not come back by itself.
    Terminal,
}

/// How an end is said to a published SDK, which reads neither close codes nor reasons
/// (wire document, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Published {
    /// A negative `users.auth.ack` with code `NOT_FOUND`: it tells the application and goes quiet.
    NotFound,
    /// The same with code `NOT_AUTHORIZED`.
    NotAuthorized,
    /// `NOT_AUTHORIZED` with the message `Session Key Invalid`: it comes back with user id and token.
    SessionKeyInvalid,
    /// Nothing but the close: it comes back with a growing delay.
    Silent,
}

impl Advice {
    /// The advice as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Credential => "credential",
            Self::Terminal => "terminal",
        }
    }

    /// Reads the advice from the wire.
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
            /// Every code there is, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code as it stands on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)+ }
            }

            /// The WebSocket close code: 4000 to 4499 come back, 4500 to 4999 do not.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)+ }
            }

            /// The reason, for people.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)+ }
            }

            /// What the client should do.
            #[must_use]
            pub const fn advice(self) -> Advice {
                match self { $(Self::$name => Advice::$advice,)+ }
            }

            /// How a published SDK is told.
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
    ProtocolError       1002 "PROTOCOL_ERROR"        Terminal   Silent            "the WebSocket framing was violated"
    BinaryMessage       1003 "BINARY_MESSAGE"        Terminal   Silent            "messages are text, not binary"
    InvalidText         1007 "INVALID_TEXT"          Terminal   Silent            "a message was not UTF-8"
    MessageTooLarge     1009 "MESSAGE_TOO_LARGE"     Terminal   Silent            "a message was larger than 64 KiB"
}

const _: () = {
    let mut i = 0;
    while i < Code::ALL.len() {
        let code = Code::ALL[i];
        let comes_back = matches!(code.advice(), Advice::Retry);
        let number = code.number();
        assert!(number < 2000 || (number >= 4000 && number < 5000), "private numbers are 4000 to 4999");
        assert!(number < 4000 || comes_back == (number < 4500), "below 4500 means: come back");
        assert!(
            !comes_back || matches!(code.published(), Published::Silent),
            "a published SDK comes back only unasked"
        );
        i += 1;
    }
};

impl Code {
    /// Reads a code from the wire; `None` for one this version does not know, whose advice then decides.
    #[must_use]
    pub fn from_wire(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.as_str() == text)
    }

    /// The code for a WebSocket close number, when no `session.close` explained the end.
    ///
    /// Numbers of nobody's table (1000, 1001, 1005, 1006, 1011 and unknown ones below 4500) are [`Lost`](Self::Lost).
    #[must_use]
    pub fn from_number(number: u16) -> Self {
        Self::ALL.iter().copied().find(|c| c.number() == number).unwrap_or(match number {
            4500..=4999 => Self::Malformed,
            _ => Self::Lost,
        })
    }
}

/// The body of `session.close`, which a native client gets before every end the server decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct SessionClose {
    /// The code, see [`Code`].
    pub code: String,
    /// The reason, for people.
    pub reason: String,
    /// The advice, see [`Advice`].
    pub advice: String,
    /// With advice `retry`: how long to wait first, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl SessionClose {
    /// The type of this message.
    pub const TYPE: &str = "session.close";

    /// The announcement of `code`.
    #[must_use]
    pub fn new(code: Code, retry_after_ms: Option<u64>) -> Self {
        Self {
            code: code.as_str().into(),
            reason: code.reason().into(),
            advice: code.advice().as_str().into(),
            retry_after_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_again_by_name_and_number() {
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

    #[test]
    fn an_announcement_carries_code_reason_and_advice() {
        let text = serde_json::to_string(&SessionClose::new(Code::ShuttingDown, Some(1500))).unwrap();
        assert_eq!(
            text,
            r#"{"code":"SHUTTING_DOWN","reason":"the server is shutting down","advice":"retry","retry_after_ms":1500}"#
        );
    }
}
