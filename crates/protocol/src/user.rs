//! The user object, as its owner sees it and as other users see it.

use serde::{Deserialize, Serialize};

use crate::{AccessToken, UserId, limits};

/// The fields of a user that the user or its backend sets. A value that is not set is empty, as in the published SDK.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Profile {
    /// The name that other users see; at most 255 bytes.
    pub display_name: String,
    /// The first name; visible to the owner and the backend.
    pub first_name: String,
    /// The last name; visible to the owner and the backend.
    pub last_name: String,
    /// The e-mail address; visible to the owner and the backend.
    pub email: String,
    /// The phone number; visible to the owner and the backend.
    pub phone_number: String,
    /// The URL of a page about the user. Not validated: do not render it as a link unchecked.
    pub profile_url: String,
    /// The URL of a picture of the user. Not validated.
    pub avatar_url: String,
    /// Text that the application chooses; at most 4 KiB.
    pub data: String,
    /// An object that the application chooses; at most 4 KiB as JSON; visible to the owner and the backend.
    pub metadata: serde_json::Map<String, serde_json::Value>,
}

/// The fields that a client may change of its own user. Fields that are `None` stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProfileUpdate {
    /// The new display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The new URL of a page about the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_url: Option<String>,
    /// The new URL of a picture of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The new text of the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// The new object of the application; replaces the old one entirely.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<serde_json::Map<String, serde_json::Value>>,
}

/// A value of a profile exceeds its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverLimit {
    /// The value is too long.
    #[error("{field} is longer than {limit} bytes")]
    Long {
        /// The name of the field on the wire.
        field: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The metadata is nested too deeply.
    #[error("metadata is nested deeper than {} levels", limits::METADATA_DEPTH)]
    Deep,
}

/// A text of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProfileText<'a> {
    /// The name of the field on the wire.
    pub field: &'static str,
    /// The text; empty if it is not set.
    pub text: &'a str,
    /// The maximum length of the text, in bytes.
    pub limit: usize,
}

impl Profile {
    /// Returns every field except `metadata`, in the order of the fields: the one table of their names and limits.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_protocol::Profile;
    ///
    /// let profile = Profile { email: "alice@shop.example".into(), ..Profile::default() };
    /// let set = profile.texts().into_iter().filter(|text| !text.text.is_empty());
    /// assert_eq!(set.map(|text| text.field).collect::<Vec<_>>(), ["email"]);
    /// ```
    #[must_use]
    pub fn texts(&self) -> [ProfileText<'_>; 8] {
        // Names every field, so that a new field does not compile until it is in the table.
        let Self {
            display_name,
            first_name,
            last_name,
            email,
            phone_number,
            profile_url,
            avatar_url,
            data,
            metadata: _,
        } = self;
        [
            ("display_name", display_name, limits::DISPLAY_NAME),
            ("first_name", first_name, limits::PROFILE_FIELD),
            ("last_name", last_name, limits::PROFILE_FIELD),
            ("email", email, limits::PROFILE_FIELD),
            ("phone_number", phone_number, limits::PROFILE_FIELD),
            ("profile_url", profile_url, limits::PROFILE_URL),
            ("avatar_url", avatar_url, limits::PROFILE_URL),
            ("data", data, limits::METADATA),
        ]
        .map(|(field, text, limit)| ProfileText { field, text, limit })
    }

    /// Checks every value against its limit.
    ///
    /// # Errors
    /// [`OverLimit`] with the first field that exceeds its limit.
    pub fn check(&self) -> Result<(), OverLimit> {
        if self.metadata.values().any(|value| !is_nested_within(value, limits::METADATA_DEPTH - 1)) {
            return Err(OverLimit::Deep);
        }
        if let Some(long) = self.texts().iter().find(|text| text.text.len() > text.limit) {
            return Err(OverLimit::Long { field: long.field, limit: long.limit });
        }
        if !self.metadata.is_empty() && json_len(&self.metadata) > limits::METADATA {
            return Err(OverLimit::Long { field: "metadata", limit: limits::METADATA });
        }
        Ok(())
    }

    /// Sets the fields that `update` has.
    pub fn apply(&mut self, update: ProfileUpdate) {
        fn set<T>(value: &mut T, new: Option<T>) {
            if let Some(new) = new {
                *value = new;
            }
        }
        let ProfileUpdate { display_name, profile_url, avatar_url, data, metadata } = update;
        set(&mut self.display_name, display_name);
        set(&mut self.profile_url, profile_url);
        set(&mut self.avatar_url, avatar_url);
        set(&mut self.data, data);
        set(&mut self.metadata, metadata);
    }
}

fn is_nested_within(value: &serde_json::Value, levels: usize) -> bool {
    use serde_json::Value::{Array, Object};
    match value {
        Array(_) | Object(_) if levels == 0 => false,
        Array(values) => values.iter().all(|value| is_nested_within(value, levels - 1)),
        Object(fields) => fields.values().all(|value| is_nested_within(value, levels - 1)),
        _ => true,
    }
}

fn json_len(map: &serde_json::Map<String, serde_json::Value>) -> usize {
    serde_json::to_vec(map).map_or(usize::MAX, |json| json.len())
}

/// A user as its owner sees it, with every field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct User {
    /// The id.
    pub id: UserId,
    /// The profile.
    #[serde(flatten)]
    pub profile: Profile,
    /// The time the user was last connected, in Unix seconds; 0 if never.
    #[serde(default)]
    pub last_seen: u64,
    /// Whether the user has a live session.
    #[serde(default)]
    pub is_online: bool,
    /// Whether the backend has suspended the user.
    #[serde(default)]
    pub is_suspended: bool,
    /// Whether the user must present an access token.
    #[serde(default)]
    pub check_access_token: bool,
    /// The access token that this session presented; absent if it presented none.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        serialize_with = "AccessToken::expose_optional"
    )]
    pub access_token: Option<AccessToken>,
}

/// A user as other users see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PublicUser {
    /// The id.
    pub id: UserId,
    /// The name that other users see.
    #[serde(default)]
    pub display_name: String,
    /// The URL of a picture of the user. Not validated.
    #[serde(default)]
    pub avatar_url: String,
    /// The URL of a page about the user. Not validated.
    #[serde(default)]
    pub profile_url: String,
    /// Whether the user has a live session.
    #[serde(default)]
    pub is_online: bool,
    /// The time the user was last connected, in Unix seconds; 0 if never.
    #[serde(default)]
    pub last_seen: u64,
}

impl From<User> for PublicUser {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            display_name: user.profile.display_name,
            avatar_url: user.profile.avatar_url,
            profile_url: user.profile.profile_url,
            is_online: user.is_online,
            last_seen: user.last_seen,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn profile() -> Profile {
        Profile { display_name: "Alice".into(), email: "a@b.example".into(), ..Profile::default() }
    }

    #[test]
    fn the_owner_sees_every_field_and_the_presented_token() {
        let user = User {
            id: UserId::new("alice").unwrap(),
            profile: profile(),
            last_seen: 5,
            is_online: true,
            is_suspended: false,
            check_access_token: true,
            access_token: Some(AccessToken::from("t")),
        };
        let text = serde_json::to_string(&user).unwrap();
        assert_eq!(serde_json::from_str::<User>(&text).unwrap(), user);
        for field in [
            "first_name",
            "last_name",
            "email",
            "phone_number",
            "profile_url",
            "avatar_url",
            "metadata",
            "data",
        ] {
            assert!(text.contains(&format!("\"{field}\":")), "{field}");
        }
        let without = serde_json::to_value(User { access_token: None, ..user }).unwrap();
        assert!(without.get("access_token").is_none(), "absent, not null");
    }

    #[test]
    fn others_see_six_fields() {
        let public = PublicUser {
            id: UserId::new("alice").unwrap(),
            display_name: "Alice".into(),
            avatar_url: String::new(),
            profile_url: String::new(),
            is_online: false,
            last_seen: 0,
        };
        let Value::Object(fields) = serde_json::to_value(public).unwrap() else { panic!("an object") };
        let mut names: Vec<_> = fields.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["avatar_url", "display_name", "id", "is_online", "last_seen", "profile_url"]);
    }

    #[test]
    fn an_update_leaves_absent_fields_as_they_are() {
        let mut profile = profile();
        let update: ProfileUpdate = serde_json::from_value(
            json!({"avatar_url": "//x", "email": "evil@b.example", "is_suspended": true}),
        )
        .unwrap();
        profile.apply(update);
        assert_eq!((profile.avatar_url.as_str(), profile.email.as_str()), ("//x", "a@b.example"));
        assert_eq!(profile.display_name, "Alice");
    }

    #[test]
    fn the_table_of_texts_has_the_names_on_the_wire_in_their_order() {
        let filled = Profile {
            display_name: "a".into(),
            first_name: "b".into(),
            last_name: "c".into(),
            email: "d".into(),
            phone_number: "e".into(),
            profile_url: "f".into(),
            avatar_url: "g".into(),
            data: "h".into(),
            metadata: serde_json::Map::new(),
        };
        let texts = filled.texts().map(|text| format!("\"{}\":\"{}\"", text.field, text.text)).join(",");
        assert_eq!(serde_json::to_string(&filled).unwrap(), format!("{{{texts},\"metadata\":{{}}}}"));
    }

    #[test]
    fn limits_name_the_field() {
        let long = Profile { data: "x".repeat(4097), ..Profile::default() };
        assert_eq!(long.check().unwrap_err().to_string(), "data is longer than 4096 bytes");
        let mut metadata = serde_json::Map::new();
        metadata.insert("k".into(), Value::String("x".repeat(4090)));
        let long = Profile { metadata, ..Profile::default() };
        assert_eq!(long.check().unwrap_err().to_string(), "metadata is longer than 4096 bytes");
    }

    #[test]
    fn metadata_is_nested_no_deeper_than_every_client_can_read() {
        for (levels, fits) in [(1, true), (32, true), (33, false), (100, false)] {
            let text = format!("{}1{}", r#"{"k":"#.repeat(levels), "}".repeat(levels));
            let profile = Profile { metadata: serde_json::from_str(&text).unwrap(), ..Profile::default() };
            assert_eq!(profile.check().is_ok(), fits, "{levels}");
        }
    }
}
