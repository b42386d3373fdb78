//! Requests about the session itself, in the native dialect only.

use serde::{Deserialize, Serialize};

use super::{Empty, Request};
use crate::AccessToken;

/// Keeps the connection alive and acknowledges every message up to the number `seen`. Native dialect only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ping {
    /// The highest sequence number that the client has received.
    #[serde(default)]
    pub seen: u64,
}

impl Request for Ping {
    const TYPE: &'static str = "ping";
    type Response = Empty;
}

/// Replaces the access token of the session. Native dialect only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RefreshCredential {
    /// The new access token.
    #[serde(serialize_with = "AccessToken::serialize_exposed")]
    pub access_token: AccessToken,
    /// The user of the token; must be the session's own user.
    // Text, because an invalid id is refused like the id of another user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

impl Request for RefreshCredential {
    const TYPE: &'static str = "users.refresh";
    type Response = RefreshResponse;
}

/// The response to [`RefreshCredential`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RefreshResponse {
    /// Seconds until the new token expires; absent if it does not expire.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires_in: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_of_an_older_client_has_no_fields() {
        assert_eq!(serde_json::from_str::<Ping>("{}").unwrap(), Ping { seen: 0 });
    }

    #[test]
    fn a_refresh_writes_its_token_and_does_not_print_it() {
        let request = RefreshCredential { access_token: "hunter2".into(), user_id: None };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"access_token":"hunter2"}"#);
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
