//! `app.*`: the app that the key speaks for, and its keys.

use chatcamp_protocol::AppId;
use serde::{Deserialize, Serialize};

use crate::{
    ApiKey, Backend, Error, code,
    retry::Repeat,
    users::{Done, Nothing},
};

/// The app.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct App {
    /// Its id, for `new ChatCamp({appId})` and the Rust client's builder.
    pub id: AppId,
    /// Its name, for people.
    pub name: String,
    /// What its users must present.
    pub policy: AppPolicy,
    /// Whether clients may list the users.
    pub directory: bool,
    /// Users it may have.
    pub max_users: u64,
    /// Sessions a user may have: `unlimited`, `reject_new:N` or `evict_oldest:N`.
    pub sessions: String,
    /// Unix seconds.
    pub created_at: u64,
}

/// What users of an app must present.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppPolicy {
    /// Their id, and a token only if they are locked; unknown users are created.
    Open,
    /// A token, always.
    Token,
}

/// What is to change of the app. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AppFields {
    /// A name for people, 1 to 255 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What users must present; [`AppPolicy::Token`] ends every session opened by user id alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<AppPolicy>,
    /// Whether clients may list the users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<bool>,
    /// Sessions a user may have, N from 1 to 100: `unlimited`, `reject_new:N` or `evict_oldest:N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions: Option<String>,
}

/// An API key as the server knows it, without its text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct KeyInfo {
    /// By which it is revoked.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// Unix seconds.
    pub created_at: u64,
}

/// A new API key: its text is shown now or never.
#[derive(Debug, Clone, Deserialize)]
#[non_exhaustive]
pub struct NewKey {
    /// By which it is revoked.
    pub id: String,
    /// The key.
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
    /// Shows the app, with its settings.
    ///
    /// # Errors
    /// Those of every call.
    ///
    /// # Cancel safety
    /// It only reads.
    pub async fn app(&self) -> Result<App, Error> {
        let AppBody { app } = self.call("app.get", Repeat::AsItIs, &Nothing {}).await?;
        Ok(app)
    }

    /// Changes what is given of the app.
    ///
    /// # Errors
    /// [`INVALID_FIELD`](code::INVALID_FIELD) for a name of another length.
    ///
    /// # Cancel safety
    /// Dropped, the app may be changed or not.
    pub async fn update_app(&self, fields: AppFields) -> Result<App, Error> {
        let AppBody { app } = self.call("app.update", Repeat::AsItIs, &fields).await?;
        Ok(app)
    }

    /// Lists the API keys of the app, eldest first.
    ///
    /// # Errors
    /// Those of every call.
    ///
    /// # Cancel safety
    /// It only reads.
    pub async fn api_keys(&self) -> Result<Vec<KeyInfo>, Error> {
        let Keys { keys } = self.call("app.keys.list", Repeat::AsItIs, &Nothing {}).await?;
        Ok(keys)
    }

    /// Creates another API key; to change keys, create one, use it everywhere, and revoke the old one.
    ///
    /// It carries an idempotency key: tried again, it creates one key.
    ///
    /// # Errors
    /// [`INVALID_FIELD`](code::INVALID_FIELD) for a name that is not 1 to 255 bytes,
    /// [`API_KEY_LIMIT_REACHED`](code::API_KEY_LIMIT_REACHED).
    ///
    /// # Cancel safety
    /// Dropped, there may be a key that nobody has seen: [`api_keys`](Self::api_keys) shows it.
    pub async fn create_api_key(&self, name: &str) -> Result<NewKey, Error> {
        self.call("app.keys.create", Repeat::Keyed, &Named { name }).await
    }

    /// Revokes an API key by its id: it is good for nothing from now on.
    ///
    /// # Errors
    /// [`API_KEY_NOT_FOUND`](code::API_KEY_NOT_FOUND), [`LAST_API_KEY`](code::LAST_API_KEY).
    ///
    /// # Cancel safety
    /// Dropped, the key may be revoked or not.
    pub async fn revoke_api_key(&self, id: &str) -> Result<(), Error> {
        let outcome = self.try_call::<Done>("app.keys.revoke", Repeat::AsItIs, &KeyId { id }).await;
        outcome.gone(code::API_KEY_NOT_FOUND)
    }
}
