//! Requests about users: reading, changing, listing and counting them.

use std::num::NonZeroU64;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::Request;
use crate::{
    User, UserId,
    user::{ProfileUpdate, PublicUser},
};

/// Reads a user: the session's own user in full, any other user as others see it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GetUser {
    /// The user to read; the session's own user if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<UserId>,
}

impl Request for GetUser {
    const TYPE: &'static str = "users.get";
    type Response = UserResponse<VisibleUser>;
}

/// Changes the session's own user: fields that are absent stay as they are. The user's other sessions get the same
/// acknowledgement without `to`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UpdateUser {
    /// The user to change; must be the session's own user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<UserId>,
    /// The new values.
    #[serde(flatten)]
    pub update: ProfileUpdate,
}

impl Request for UpdateUser {
    const TYPE: &'static str = "users.update";
    type Response = UserResponse<User>;
}

/// Lists the users of the app that match every filter, in pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListUsers {
    /// The length of the page: 20 if absent, 100 at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<NonZeroU64>,
    /// The id after which the page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<UserId>,
    /// Lists these users only, at most 1,000; ids of no user are skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_ids: Option<Vec<UserId>>,
    /// Lists users whose display name or id begins with this text of at most 255 bytes, ignoring case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name_search: Option<String>,
    /// The filters that lists and counts have in common.
    #[serde(flatten)]
    pub filters: UserFilters,
}

impl Request for ListUsers {
    const TYPE: &'static str = "users.list";
    type Response = UserPage;
}

/// Counts the users of the app that match every filter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CountUsers {
    /// The filters.
    pub filters: UserFilters,
}

impl Request for CountUsers {
    const TYPE: &'static str = "users.list_count";
    type Response = CountResponse;
}

/// The filters that lists and counts have in common.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UserFilters {
    /// Selects users by presence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_online_filter: Option<PresenceFilter>,
    /// Selects nothing: suspended users are never listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_active_filter: Option<ActiveFilter>,
    /// Selects nothing: whether a user must present a token is not disclosed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_check_access_token_filter: Option<TokenFilter>,
}

/// Selects users by presence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub enum PresenceFilter {
    /// All users.
    #[default]
    All,
    /// Users with a live session.
    Online,
    /// Users without a live session.
    Offline,
}

/// Exists for the published SDK, which sends it. Both values select the same users.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub enum ActiveFilter {
    /// Users who are not suspended.
    #[default]
    All,
    /// Users who are not suspended.
    Active,
}

/// Exists for the published SDK, which sends it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub enum TokenFilter {
    /// All users.
    #[default]
    All,
}

/// A response with one user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UserResponse<U> {
    /// The user.
    pub user: U,
}

/// A user as the session that asks may see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
pub enum VisibleUser {
    /// The session's own user, in full.
    Own(Box<User>),
    /// Another user.
    Other(PublicUser),
}

impl<'de> Deserialize<'de> for VisibleUser {
    /// Reads a user with `check_access_token` as the own user, because other users do not have the field.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if value.get("check_access_token").is_some() {
            serde_json::from_value(value).map(Self::Own).map_err(de::Error::custom)
        } else {
            serde_json::from_value(value).map(Self::Other).map_err(de::Error::custom)
        }
    }
}

/// A page of users, in the byte order of their ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UserPage {
    /// The users as others see them, the session's own user included.
    pub users: Vec<PublicUser>,
    /// The `reference` of the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<UserId>,
}

/// The response to [`CountUsers`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CountResponse {
    /// The count.
    pub users: UserCount,
}

/// The number of users that match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct UserCount {
    /// The number of users.
    pub count: u64,
    /// True if the app has more users than one request looks at, so that not all were counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_partial: bool,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_without_fields_is_an_empty_object() {
        assert_eq!(serde_json::to_value(GetUser::default()).unwrap(), json!({}));
        assert_eq!(serde_json::to_value(UpdateUser::default()).unwrap(), json!({}));
        assert_eq!(serde_json::to_value(ListUsers::default()).unwrap(), json!({}));
        assert_eq!(serde_json::to_value(CountUsers::default()).unwrap(), json!({}));
    }

    #[test]
    fn an_optional_field_that_is_null_counts_as_absent() {
        let request: ListUsers = serde_json::from_value(json!({
            "limit": null, "reference": null, "user_ids": null, "display_name_search": null,
            "is_online_filter": null, "is_active_filter": null, "is_check_access_token_filter": null,
            "order": "name", "custom_filter": {},
        }))
        .unwrap();
        assert_eq!(request, ListUsers::default());
    }

    #[test]
    fn limits_and_filters_have_their_values_only() {
        for bad in [
            json!({"limit": 0}),
            json!({"limit": -1}),
            json!({"limit": 1.5}),
            json!({"limit": "1"}),
            json!({"is_online_filter": "online"}),
            json!({"is_active_filter": "INACTIVE"}),
            json!({"is_check_access_token_filter": "ACTIVE"}),
            json!({"user_ids": [""]}),
        ] {
            assert!(serde_json::from_value::<ListUsers>(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn own_and_other_users_are_distinguished() {
        let own = json!({"id": "a", "display_name": "A", "check_access_token": false});
        let VisibleUser::Own(user) = serde_json::from_value(own).unwrap() else { panic!("one's own") };
        assert_eq!(user.profile.display_name, "A");
        let other = json!({"id": "b", "display_name": "B", "is_online": true});
        let VisibleUser::Other(user) = serde_json::from_value(other).unwrap() else { panic!("another") };
        assert_eq!((user.display_name.as_str(), user.is_online), ("B", true));
    }

    #[test]
    fn a_count_says_partial_only_if_it_is() {
        let count = |is_partial| CountResponse { users: UserCount { count: 3, is_partial } };
        assert_eq!(serde_json::to_value(count(false)).unwrap(), json!({"users": {"count": 3}}));
        assert_eq!(
            serde_json::to_value(count(true)).unwrap(),
            json!({"users": {"count": 3, "is_partial": true}})
        );
    }
}
