//! `users.*`: users and their access tokens.

use std::time::Duration;

use chatcamp_protocol::{AccessToken, User, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Backend, Error, code, retry::Repeat};

/// Fields of a user. `None` leaves a field unchanged; in a new user it is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UserFields {
    /// The name that others see; at most 255 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// First name; visible to the user and the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name; visible to the user and the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// E-mail address; visible to the user and the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Phone number; visible to the user and the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// URL of a page about the user; visible to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_url: Option<String>,
    /// URL of a picture of the user; visible to others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// Free text of the application; at most 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Free object of the application; at most 4 KiB as JSON. Replaces the old object as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Whether the user must present its token to connect; true by default for a new user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_access_token: Option<bool>,
    /// Whether the user is suspended: it cannot connect, and its sessions end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_suspended: Option<bool>,
    /// A token chosen by the backend, 16 to 512 bytes; replaces the current token. For a new user, the server makes a token by
    /// default.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "AccessToken::expose_optional")]
    pub access_token: Option<AccessToken>,
}

/// A new or claimed user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Created {
    /// The user.
    pub user: User,
    /// The token to store and to give to the user's app.
    pub access_token: AccessToken,
    /// Whether the user was auto-created by a connect without a token and has now been claimed.
    #[serde(default)]
    pub claimed: bool,
}

/// A user with its token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// The user, without its `access_token`, which is a field of its own.
    pub user: User,
    /// The token, if the server made it or this call set it.
    #[serde(default)]
    pub access_token: Option<AccessToken>,
    /// Whether the user has a valid token.
    #[serde(default)]
    pub access_token_set: bool,
    /// The expiry time of the token in Unix seconds, or `None` if it does not expire.
    #[serde(default)]
    pub access_token_expires_at: Option<u64>,
}

/// A newly issued token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Issued {
    /// The user.
    pub user: User,
    /// The token to store and to give to the user's app.
    pub access_token: AccessToken,
    /// The expiry time in Unix seconds, or `None` if the token does not expire.
    #[serde(default, rename = "access_token_expires_at")]
    pub expires_at: Option<u64>,
}

/// Options of a new token. By default it does not expire, and the previous token is invalid at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenFields {
    /// The lifetime, at least one second; `None` for a token that does not expire.
    pub expires_in: Option<Duration>,
    /// How long the previous token stays valid.
    pub grace: Duration,
}

#[derive(Serialize)]
pub(crate) struct WithId<'a, T> {
    pub(crate) id: &'a UserId,
    #[serde(flatten)]
    pub(crate) fields: T,
}

#[derive(Serialize)]
pub(crate) struct NoFields {}

/// An answer without fields.
#[derive(Deserialize)]
pub(crate) struct Done {}

#[derive(Serialize)]
struct TokenTimes {
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    grace: u64,
}

impl Backend {
    /// Creates a user with an access token, or claims an auto-created user that never had a token.
    ///
    /// The request has an idempotency key: a retry does not create the user twice.
    ///
    /// # Errors
    /// [`USER_EXISTS`](code::USER_EXISTS) for any other existing id; the user does not change.
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may or may not be created.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_backend::UserFields;
    ///
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let created = chat.create_user("alice", UserFields::default()).await?;
    /// println!("created {}; store created.access_token.expose()", created.user.id);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_user(&self, id: impl AsRef<str>, fields: UserFields) -> Result<Created, Error> {
        let id = UserId::new(id)?;
        self.call("users.create", Repeat::WithKey, &WithId { id: &id, fields }).await
    }

    /// Creates or claims a user like [`create_user`](Self::create_user), or changes the given fields of an existing user.
    ///
    /// # Errors
    /// Those of every call; see [`Error`]. An existing id is not an error.
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may or may not be written.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_backend::UserFields;
    ///
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let fields = UserFields { display_name: Some("Alice".into()), ..UserFields::default() };
    /// let account = chat.upsert_user("alice", fields).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn upsert_user(&self, id: impl AsRef<str>, fields: UserFields) -> Result<Account, Error> {
        let id = UserId::new(id)?;
        self.call("users.upsert", Repeat::WithKey, &WithId { id: &id, fields }).await
    }

    /// Changes the given fields of a user. Its live sessions are notified, or end if they are no longer allowed.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](code::USER_NOT_FOUND).
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may or may not be changed.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_backend::UserFields;
    ///
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let fields = UserFields { is_suspended: Some(true), ..UserFields::default() };
    /// let account = chat.update_user("alice", fields).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update_user(&self, id: impl AsRef<str>, fields: UserFields) -> Result<Account, Error> {
        let id = UserId::new(id)?;
        self.call("users.update", Repeat::Idempotent, &WithId { id: &id, fields }).await
    }

    /// Returns a user, with its token if the server can show it, or `None` if the user does not exist.
    ///
    /// # Errors
    /// Those of every call; see [`Error`].
    ///
    /// # Cancel safety
    /// Cancel safe: the call only reads.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// if let Some(account) = chat.user("alice").await? {
    ///     println!("{} has a token: {}", account.user.id, account.access_token_set);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn user(&self, id: impl AsRef<str>) -> Result<Option<Account>, Error> {
        let id = UserId::new(id)?;
        match self.call("users.get", Repeat::Idempotent, &WithId { id: &id, fields: NoFields {} }).await {
            Ok(account) => Ok(Some(account)),
            Err(error) if error.code() == Some(code::USER_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes a user and ends its sessions. A user created later with the same id is a different user.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](code::USER_NOT_FOUND).
    ///
    /// # Cancel safety
    /// If the future is dropped, the user may or may not be deleted.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// chat.delete_user("alice").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn delete_user(&self, id: impl AsRef<str>) -> Result<(), Error> {
        let id = UserId::new(id)?;
        let fields = WithId { id: &id, fields: NoFields {} };
        self.try_call::<Done>("users.delete", Repeat::Idempotent, &fields).await.deleted(code::USER_NOT_FOUND)
    }

    /// Issues a new token for a user.
    ///
    /// The request has an idempotency key: a retry does not issue a second token.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](code::USER_NOT_FOUND); [`INVALID_FIELD`](code::INVALID_FIELD) for times out of range.
    ///
    /// # Cancel safety
    /// If the future is dropped, the previous token may or may not be invalid.
    ///
    /// # Examples
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use chatcamp_backend::TokenFields;
    ///
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let day = Duration::from_secs(24 * 60 * 60);
    /// let fields = TokenFields { expires_in: Some(day), grace: Duration::from_secs(60) };
    /// let issued = chat.issue_token("alice", fields).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn issue_token(&self, id: impl AsRef<str>, fields: TokenFields) -> Result<Issued, Error> {
        let id = UserId::new(id)?;
        let TokenFields { expires_in, grace } = fields;
        let fields = TokenTimes { expires_in: expires_in.map(|time| time.as_secs()), grace: grace.as_secs() };
        self.call("users.issue_token", Repeat::WithKey, &WithId { id: &id, fields }).await
    }

    /// Revokes every token and session key of a user and ends the sessions opened with them.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](code::USER_NOT_FOUND).
    ///
    /// # Cancel safety
    /// If the future is dropped, the tokens may or may not be revoked.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// chat.revoke_tokens("alice").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoke_tokens(&self, id: impl AsRef<str>) -> Result<Account, Error> {
        let id = UserId::new(id)?;
        self.call("users.revoke_tokens", Repeat::Idempotent, &WithId { id: &id, fields: NoFields {} }).await
    }
}
