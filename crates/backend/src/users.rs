//! `users.*`: users and their access tokens.

use std::time::Duration;

use chatcamp_protocol::{AccessToken, User, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Backend, Error, code, retry::Repeat};

/// What a backend says of a user. What is absent stays as it is, or is empty in a new user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct UserFields {
    /// The name others see; at most 255 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// First name; the user and the backend see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_name: Option<String>,
    /// Last name; the user and the backend see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_name: Option<String>,
    /// E-mail address; the user and the backend see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Phone number; the user and the backend see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone_number: Option<String>,
    /// A page about the user; others see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile_url: Option<String>,
    /// A picture of the user; others see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// Free text of the application; at most 4 KiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
    /// Free object of the application; at most 4 KiB as JSON. Replaces the whole of the old one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Whether the user must present its token to connect; true in a new user unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_access_token: Option<bool>,
    /// Whether the user is shut out; its sessions end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_suspended: Option<bool>,
    /// A token of the backend's choice, 16 to 512 bytes, in place of any there is; a new user without one gets one of
    /// the server's.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "AccessToken::expose_optional")]
    pub access_token: Option<AccessToken>,
}

/// A user that was just created, or claimed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Created {
    /// The user.
    pub user: User,
    /// The token to keep and to hand to the user's app.
    pub access_token: AccessToken,
    /// Whether the user had merely come by, by id alone, and is the backend's now.
    #[serde(default)]
    pub claimed: bool,
}

/// A user with its token.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Account {
    /// The user. Its `access_token` is never there: it stands beside it.
    pub user: User,
    /// The token, if it is one of the server's, or was given in this very call.
    #[serde(default)]
    pub access_token: Option<AccessToken>,
    /// Whether there is a token that is good.
    #[serde(default)]
    pub access_token_set: bool,
    /// When the token ends, in Unix seconds, where it has an end.
    #[serde(default)]
    pub access_token_expires_at: Option<u64>,
}

/// A token that was just issued.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Issued {
    /// The user.
    pub user: User,
    /// The token to keep and to hand to the user's app.
    pub access_token: AccessToken,
    /// When it ends, in Unix seconds, where it has an end.
    #[serde(default, rename = "access_token_expires_at")]
    pub expires_at: Option<u64>,
}

/// What a new token is to be like. By default it is good for ever, and the one before is void at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TokenFields {
    /// How long it is good, one second or more; for ever if absent.
    pub expires_in: Option<Duration>,
    /// How long the one before stays good.
    pub grace: Duration,
}

#[derive(Serialize)]
pub(crate) struct Of<'a, T> {
    pub(crate) id: &'a UserId,
    #[serde(flatten)]
    pub(crate) fields: T,
}

#[derive(Serialize)]
pub(crate) struct Nothing {}

/// An answer that says no more than that it is done.
#[derive(Deserialize)]
pub(crate) struct Done {}

#[derive(Serialize)]
struct TokenTimes {
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
    grace: u64,
}

impl Backend {
    /// Creates a user with an access token, or claims one who merely came by, by id alone, and never had a token.
    ///
    /// It carries an idempotency key: tried again, it creates the user once.
    ///
    /// # Errors
    /// [`USER_EXISTS`](code::USER_EXISTS) for any other existing id, nothing changed.
    ///
    /// # Cancel safety
    /// Dropped, the user may be created or not.
    pub async fn create_user(&self, id: impl AsRef<str>, fields: UserFields) -> Result<Created, Error> {
        let id = UserId::new(id)?;
        self.call("users.create", Repeat::Keyed, &Of { id: &id, fields }).await
    }

    /// Creates or claims a user as [`create_user`](Self::create_user) does, or else changes what is given of it.
    ///
    /// # Errors
    /// Those of every call; an existing id is none.
    ///
    /// # Cancel safety
    /// Dropped, the user may be written or not.
    pub async fn upsert_user(&self, id: impl AsRef<str>, fields: UserFields) -> Result<Account, Error> {
        let id = UserId::new(id)?;
        self.call("users.upsert", Repeat::Keyed, &Of { id: &id, fields }).await
    }

    /// Changes what is given of a user; its live sessions hear of it, or end where they no longer may stay.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](code::USER_NOT_FOUND).
    ///
    /// # Cancel safety
    /// Dropped, the user may be changed or not.
    pub async fn update_user(&self, id: impl AsRef<str>, fields: UserFields) -> Result<Account, Error> {
        let id = UserId::new(id)?;
        self.call("users.update", Repeat::AsItIs, &Of { id: &id, fields }).await
    }

    /// Finds a user, with its token where that can be known; nothing where there is no such user.
    ///
    /// # Errors
    /// Those of every call.
    ///
    /// # Cancel safety
    /// It only reads.
    pub async fn user(&self, id: impl AsRef<str>) -> Result<Option<Account>, Error> {
        let id = UserId::new(id)?;
        match self.call("users.get", Repeat::AsItIs, &Of { id: &id, fields: Nothing {} }).await {
            Ok(account) => Ok(Some(account)),
            Err(error) if error.code() == Some(code::USER_NOT_FOUND) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Forgets a user and ends its sessions. A user of the same id created later is another.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](code::USER_NOT_FOUND).
    ///
    /// # Cancel safety
    /// Dropped, the user may be deleted or not.
    pub async fn delete_user(&self, id: impl AsRef<str>) -> Result<(), Error> {
        let id = UserId::new(id)?;
        let fields = Of { id: &id, fields: Nothing {} };
        self.try_call::<Done>("users.delete", Repeat::AsItIs, &fields).await.gone(code::USER_NOT_FOUND)
    }

    /// Gives a user a new token.
    ///
    /// It carries an idempotency key: tried again, it issues one token.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](code::USER_NOT_FOUND); [`INVALID_FIELD`](code::INVALID_FIELD) for times out of range.
    ///
    /// # Cancel safety
    /// Dropped, the token before may be void or not.
    pub async fn issue_token(&self, id: impl AsRef<str>, fields: TokenFields) -> Result<Issued, Error> {
        let id = UserId::new(id)?;
        let TokenFields { expires_in, grace } = fields;
        let fields = TokenTimes { expires_in: expires_in.map(|time| time.as_secs()), grace: grace.as_secs() };
        self.call("users.issue_token", Repeat::Keyed, &Of { id: &id, fields }).await
    }

    /// Voids every token and session key of a user, and ends the sessions they opened.
    ///
    /// # Errors
    /// [`USER_NOT_FOUND`](code::USER_NOT_FOUND).
    ///
    /// # Cancel safety
    /// Dropped, the tokens may be void or not.
    pub async fn revoke_tokens(&self, id: impl AsRef<str>) -> Result<Account, Error> {
        let id = UserId::new(id)?;
        self.call("users.revoke_tokens", Repeat::AsItIs, &Of { id: &id, fields: Nothing {} }).await
    }
}
