//! `users.*`: the users of the app, and their tokens.

use chatcamp_protocol::{AccessToken, UserId, user::ProfileUpdate};
use chatcamp_store::{TokenRecord, User};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Call, Done,
    answer::Refusal,
    values::{Id, Text, Token, Whole},
};
use crate::{Accounts, BusError, UserFields, Written, WrittenUser, admission::stays, user_view::own_user};

/// The longest time that a caller may give, in seconds: about three hundred years.
const LONGEST: u64 = 9_999_999_999;

/// The user that a request is about.
#[derive(Deserialize, JsonSchema)]
pub(super) struct Named {
    /// The user's id, 1 to 255 bytes.
    #[schemars(with = "Id")]
    pub(super) id: UserId,
}

/// The fields of a user to write. A field that is absent stays unchanged, or gets its default in a new user.
#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "UserWrite")]
pub(super) struct Write {
    /// The user's id, 1 to 255 bytes.
    #[schemars(with = "Id")]
    id: UserId,
    /// The name that others see, at most 255 bytes.
    #[schemars(with = "Option<Text<255>>")]
    display_name: Option<String>,
    #[schemars(with = "Option<Text<255>>")]
    first_name: Option<String>,
    #[schemars(with = "Option<Text<255>>")]
    last_name: Option<String>,
    #[schemars(with = "Option<Text<255>>")]
    email: Option<String>,
    #[schemars(with = "Option<Text<255>>")]
    phone_number: Option<String>,
    /// Stored unchecked, so check it before you render it as a link.
    #[schemars(with = "Option<Text<2048>>")]
    profile_url: Option<String>,
    /// Stored unchecked.
    #[schemars(with = "Option<Text<2048>>")]
    avatar_url: Option<String>,
    /// Free text for the application.
    #[schemars(with = "Option<Text<4096>>")]
    data: Option<String>,
    /// A free object for the application: at most 4 KiB as JSON, and at most 32 levels deep.
    metadata: Option<Map<String, Value>>,
    /// Whether the user must present its token to connect; true by default in a new user.
    check_access_token: Option<bool>,
    /// Whether the user is suspended and cannot connect.
    is_suspended: Option<bool>,
    /// A token chosen by the backend, 16 to 512 bytes. Without it, the server makes a token for a new user.
    #[schemars(with = "Option<Token>")]
    access_token: Option<AccessToken>,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "TokenIssue")]
pub(super) struct Issue {
    /// The user's id.
    #[schemars(with = "Id")]
    id: UserId,
    /// Seconds for which the new token is valid; without end if absent.
    expires_in: Option<Whole<1, LONGEST>>,
    /// Seconds for which the previous token stays valid; 0 if absent.
    grace: Option<Whole<0, LONGEST>>,
}

/// A user and its token.
#[derive(Serialize, JsonSchema)]
pub(super) struct UserBody {
    user: UserView,
    /// The token, if the server knows it. A token that the caller chose is returned only in the answer to the request that set it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "AccessToken::expose_optional")]
    #[schemars(with = "Option<String>")]
    access_token: Option<AccessToken>,
    /// Whether the user has a valid token.
    access_token_set: bool,
    /// When the token expires, in Unix seconds; absent if it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token_expires_at: Option<u64>,
    /// Whether an auto-created user was claimed; absent if no user was created or claimed.
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed: Option<bool>,
}

/// A user with all its fields, except the token.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "User")]
pub(super) struct UserView {
    #[schemars(with = "String")]
    id: UserId,
    display_name: String,
    first_name: String,
    last_name: String,
    email: String,
    phone_number: String,
    profile_url: String,
    avatar_url: String,
    data: String,
    metadata: Map<String, Value>,
    /// When the user was last connected, in Unix seconds; 0 if never.
    last_seen: u64,
    /// Whether the user has a live session.
    pub(super) is_online: bool,
    is_suspended: bool,
    check_access_token: bool,
}

/// `users.create`: creates a user with a token, or claims an auto-created user.
pub(super) async fn create(call: &Call, user: Write) -> Result<UserBody, Refusal> {
    let (id, fields) = user.into_parts();
    let created = call.accounts().create_user_with(&call.app.id, &id, fields).await?;
    call.written(created).await
}

/// `users.upsert`: does what `users.create` does, or what `users.update` does if the user exists.
pub(super) async fn upsert(call: &Call, user: Write) -> Result<UserBody, Refusal> {
    let (id, fields) = user.into_parts();
    let _lock = call.api.operations.lock_user(&call.app.id, &id).await;
    let written = call.accounts().upsert_user(&call.app.id, &id, fields).await?;
    call.tell(&written);
    call.written(written).await
}

/// `users.update`: changes the given fields.
pub(super) async fn update(call: &Call, user: Write) -> Result<UserBody, Refusal> {
    let (id, fields) = user.into_parts();
    let _lock = call.api.operations.lock_user(&call.app.id, &id).await;
    let written = call.accounts().update_user(&call.app.id, &id, fields).await?;
    call.tell(&written);
    call.written(written).await
}

/// `users.get`: returns a user, with its token if the server can compute it.
pub(super) async fn get(call: &Call, Named { id }: Named) -> Result<UserBody, Refusal> {
    call.user(&id).await
}

/// `users.delete`: deletes a user and ends its sessions.
pub(super) async fn delete(call: &Call, Named { id }: Named) -> Result<Done, Refusal> {
    call.accounts().delete_user(&call.app.id, &id).await?;
    Ok(Done {})
}

/// `users.issue_token`: issues a token; the previous one stays valid for `grace`.
pub(super) async fn issue_token(call: &Call, issue: Issue) -> Result<UserBody, Refusal> {
    let Issue { id, expires_in, grace } = issue;
    let lifetime = expires_in.map(|seconds| seconds.0);
    let grace = grace.map_or(0, |seconds| seconds.0);
    call.accounts().issue_token(&call.app.id, &id, lifetime, grace).await?;
    call.user(&id).await
}

/// `users.revoke_tokens`: revokes every token and session key of a user, and ends the sessions that they opened.
pub(super) async fn revoke_tokens(call: &Call, Named { id }: Named) -> Result<UserBody, Refusal> {
    call.accounts().revoke_tokens(&call.app.id, &id).await?;
    call.user(&id).await
}

impl Write {
    pub(super) fn into_parts(self) -> (UserId, UserFields) {
        let fields = UserFields {
            profile: ProfileUpdate {
                display_name: self.display_name,
                profile_url: self.profile_url,
                avatar_url: self.avatar_url,
                data: self.data,
                metadata: self.metadata,
            },
            first_name: self.first_name,
            last_name: self.last_name,
            email: self.email,
            phone_number: self.phone_number,
            check_access_token: self.check_access_token,
            is_suspended: self.is_suspended,
            access_token: self.access_token,
        };
        (self.id, fields)
    }
}

impl From<chatcamp_protocol::User> for UserView {
    fn from(user: chatcamp_protocol::User) -> Self {
        let profile = user.profile;
        Self {
            id: user.id,
            display_name: profile.display_name,
            first_name: profile.first_name,
            last_name: profile.last_name,
            email: profile.email,
            phone_number: profile.phone_number,
            profile_url: profile.profile_url,
            avatar_url: profile.avatar_url,
            data: profile.data,
            metadata: profile.metadata,
            last_seen: user.last_seen,
            is_online: user.is_online,
            is_suspended: user.is_suspended,
            check_access_token: user.check_access_token,
        }
    }
}

impl Call {
    pub(super) fn accounts(&self) -> &Accounts {
        &self.api.operations.accounts
    }

    /// Returns the users with their presence, as the API returns them.
    pub(super) async fn show(&self, users: &[&User]) -> Result<Vec<UserView>, BusError> {
        let ids: Vec<_> = users.iter().map(|user| &user.id).collect();
        let online = self.api.operations.are_online(&self.app.id, &ids).await?;
        Ok(users.iter().zip(online).map(|(user, is_online)| own_user(user, None, is_online).into()).collect())
    }

    async fn user(&self, id: &UserId) -> Result<UserBody, Refusal> {
        let user = self.accounts().user(&self.app.id, id).await?;
        let access_token = self.accounts().token_of(&user);
        self.body(&user, access_token).await
    }

    async fn written(&self, written: WrittenUser) -> Result<UserBody, Refusal> {
        let claimed = match written.written {
            Written::Created => Some(false),
            Written::Claimed => Some(true),
            Written::Changed | Written::Unchanged => None,
        };
        Ok(UserBody { claimed, ..self.body(&written.user, written.access_token).await? })
    }

    /// Creates the answer about a user. Omits an expired token, because nobody could connect with it.
    async fn body(&self, user: &User, access_token: Option<AccessToken>) -> Result<UserBody, Refusal> {
        let (is_set, expires_at) = match user.token {
            TokenRecord::None => (false, None),
            TokenRecord::Custom { .. } => (true, None),
            TokenRecord::Derived { expires_at } => {
                (expires_at.is_none_or(|end| self.api.clock.now() <= end), expires_at)
            }
        };
        let is_online = self.api.operations.is_online(&user.app, &user.id).await?;
        Ok(UserBody {
            user: own_user(user, None, is_online).into(),
            access_token: access_token.filter(|_| is_set),
            access_token_set: is_set,
            access_token_expires_at: expires_at,
            claimed: None,
        })
    }

    /// Sends the changed user to its sessions that may continue.
    fn tell(&self, written: &WrittenUser) {
        if written.written == Written::Changed {
            let user = &written.user;
            self.api.operations.send_user_change(user, stays(&self.app, user, self.api.clock.now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use chatcamp_protocol::Profile;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_api_returns_a_user_with_all_fields_of_the_protocol_except_the_token() {
        let profile: Profile = serde_json::from_value(json!({
            "display_name": "a", "first_name": "b", "last_name": "c", "email": "d", "phone_number": "e",
            "profile_url": "f", "avatar_url": "g", "data": "h", "metadata": {"i": 1},
        }))
        .unwrap();
        let own = chatcamp_protocol::User {
            id: UserId::new("ann").unwrap(),
            profile,
            last_seen: 5,
            is_online: true,
            is_suspended: true,
            check_access_token: false,
            access_token: None,
        };
        let shown = UserView::from(own.clone());
        assert_eq!(serde_json::to_value(shown).unwrap(), serde_json::to_value(own).unwrap());
    }
}
