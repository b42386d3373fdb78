//! `app.*`: the app of the API key, and its keys.

use chatcamp_protocol::AppId;
use serde::{Deserialize, Serialize};

use crate::{
    ApiKey, Backend, Error, code,
    retry::Repeat,
    users::{Done, NoFields},
};

/// An app and its settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct App {
    /// The id, for `new ChatCamp({appId})` and the Rust client's builder.
    pub id: AppId,
    /// The display name.
    pub name: String,
    /// What users must present to connect.
    pub policy: AppPolicy,
    /// Whether clients may list the users.
    pub directory: bool,
    /// Maximum number of users.
    pub max_users: u64,
    /// Maximum number of sessions per user: `unlimited`, `reject_new:N` or `evict_oldest:N`.
    pub sessions: String,
    /// The origins of the web pages that may connect; empty for pages of every origin.
    #[serde(default)]
    pub origins: Vec<String>,
    /// Whether clients that send no header `Origin` are refused: all but browsers.
    #[serde(default)]
    pub require_origin: bool,
    /// The creation time, in Unix seconds.
    pub created_at: u64,
}

/// What users of an app must present to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppPolicy {
    /// The user id, and a token only if the user is locked. Unknown users are created.
    Open,
    /// Always a token.
    Token,
}

/// Changes of an app. `None` leaves a field unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AppFields {
    /// The display name, 1 to 255 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What users must present; [`AppPolicy::Token`] ends every session that was opened without a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<AppPolicy>,
    /// Whether clients may list the users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<bool>,
    /// Maximum number of sessions per user, N from 1 to 100: `unlimited`, `reject_new:N` or `evict_oldest:N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<String>,
    /// The origins of the web pages that may connect, such as `https://shop.example`, or `https://*.shop.example` for all
    /// subdomains, at most 100. An empty list accepts pages of every origin. Sessions that are connected continue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origins: Option<Vec<String>>,
    /// Whether clients that send no header `Origin` are refused: all but browsers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_origin: Option<bool>,
}

/// An API key without its text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct KeyInfo {
    /// The id, with which the key is revoked.
    pub id: String,
    /// The display name.
    pub name: String,
    /// The creation time, in Unix seconds.
    pub created_at: u64,
}

/// A new API key. The server never shows its text again.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct NewKey {
    /// The id, with which the key is revoked.
    pub id: String,
    /// The text of the key.
    pub key: ApiKey,
}

#[derive(Deserialize)]
struct AppBody {
    app: App,
}

#[derive(Deserialize)]
struct Keys {
    keys: Vec<KeyInfo>,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct KeyId<'a> {
    id: &'a str,
}

impl Backend {
    /// Returns the app and its settings.
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
    /// let app = chat.app().await?;
    /// println!("{} has up to {} users", app.id, app.max_users);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn app(&self) -> Result<App, Error> {
        let AppBody { app } = self.call("app.get", Repeat::Idempotent, &NoFields {}).await?;
        Ok(app)
    }

    /// Changes the given fields of the app.
    ///
    /// # Errors
    /// [`INVALID_FIELD`](code::INVALID_FIELD) for a name that is not 1 to 255 bytes long.
    ///
    /// # Cancel safety
    /// If the future is dropped, the app may or may not be changed.
    ///
    /// # Examples
    /// ```no_run
    /// use chatcamp_backend::{AppFields, AppPolicy};
    ///
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let fields = AppFields { policy: Some(AppPolicy::Token), ..AppFields::default() };
    /// let app = chat.update_app(fields).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn update_app(&self, fields: AppFields) -> Result<App, Error> {
        let AppBody { app } = self.call("app.update", Repeat::Idempotent, &fields).await?;
        Ok(app)
    }

    /// Lists the API keys of the app, oldest first.
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
    /// for key in chat.api_keys().await? {
    ///     println!("{} {}", key.id, key.name);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn api_keys(&self) -> Result<Vec<KeyInfo>, Error> {
        let Keys { keys } = self.call("app.keys.list", Repeat::Idempotent, &NoFields {}).await?;
        Ok(keys)
    }

    /// Creates another API key. To replace a key, create one, use it everywhere, then revoke the old one.
    ///
    /// The request has an idempotency key: a retry does not create a second key.
    ///
    /// # Errors
    /// [`INVALID_FIELD`](code::INVALID_FIELD) for a name that is not 1 to 255 bytes long,
    /// [`API_KEY_LIMIT_REACHED`](code::API_KEY_LIMIT_REACHED) if the app has the maximum number of keys.
    ///
    /// # Cancel safety
    /// If the future is dropped, an unused key may exist; [`api_keys`](Self::api_keys) lists it.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let new = chat.create_api_key("worker").await?;
    /// println!("created {}; store new.key.expose()", new.id);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn create_api_key(&self, name: &str) -> Result<NewKey, Error> {
        self.call("app.keys.create", Repeat::WithKey, &Named { name }).await
    }

    /// Revokes an API key by its id. It is invalid at once.
    ///
    /// # Errors
    /// [`API_KEY_NOT_FOUND`](code::API_KEY_NOT_FOUND), [`LAST_API_KEY`](code::LAST_API_KEY).
    ///
    /// # Cancel safety
    /// If the future is dropped, the key may or may not be revoked.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn example(chat: chatcamp_backend::Backend) -> Result<(), chatcamp_backend::Error> {
    /// let old = chat.api_keys().await?.remove(0);
    /// chat.revoke_api_key(&old.id).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn revoke_api_key(&self, id: &str) -> Result<(), Error> {
        let outcome = self.try_call::<Done>("app.keys.revoke", Repeat::Idempotent, &KeyId { id }).await;
        outcome.deleted(code::API_KEY_NOT_FOUND)
    }
}
