//! `app.keys.*`: the API keys of the app.

use chatcamp_protocol::ApiCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Done, Nothing, answer::Refusal, values::Name};

/// The maximum number of API keys of an app.
const MOST: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "KeyCreate")]
pub(super) struct Create {
    /// A name for people: 1 to 255 bytes, with a visible character and without control characters. Spaces around it are removed.
    #[schemars(with = "Name<255>")]
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "KeyRevoke")]
pub(super) struct Revoke {
    /// The public id of the key.
    id: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct NewKeyBody {
    /// The public id, for revoking the key.
    id: String,
    /// The key, which is shown only once.
    key: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct KeysBody {
    /// Oldest first.
    keys: Vec<KeyView>,
}

/// An API key without its text, which the server does not store.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Key")]
struct KeyView {
    id: String,
    name: String,
    /// Unix seconds.
    created_at: u64,
}

/// `app.keys.create`: creates an API key.
pub(super) async fn create(call: &Call, Create { name }: Create) -> Result<NewKeyBody, Refusal> {
    let accounts = call.accounts();
    let _lock = call.api.keys.lock().await;
    if accounts.api_keys(&call.app.id).await?.len() >= MOST {
        let message = format!("an app has at most {MOST} API keys; revoke one that is no longer used");
        return Err(Refusal::new(ApiCode::ApiKeyLimitReached, message));
    }
    let new = accounts.create_api_key(&call.app.id, &name).await?;
    Ok(NewKeyBody { id: new.id, key: new.key })
}

/// `app.keys.list`: returns the API keys of the app.
pub(super) async fn list(call: &Call, Nothing {}: Nothing) -> Result<KeysBody, Refusal> {
    let keys = call.accounts().api_keys(&call.app.id).await?;
    let shown =
        |key: chatcamp_store::ApiKey| KeyView { id: key.id, name: key.name, created_at: key.created_at };
    Ok(KeysBody { keys: keys.into_iter().map(shown).collect() })
}

/// `app.keys.revoke`: revokes an API key, even that of the request, but not the last one.
pub(super) async fn revoke(call: &Call, Revoke { id }: Revoke) -> Result<Done, Refusal> {
    let accounts = call.accounts();
    // Without the lock, two concurrent requests could each revoke the other's key and leave none.
    let _lock = call.api.keys.lock().await;
    let keys = accounts.api_keys(&call.app.id).await?;
    if keys.len() == 1 && keys[0].id == id {
        let message = "this is the app's last API key; create another one first";
        return Err(Refusal::new(ApiCode::LastApiKey, message));
    }
    accounts.revoke_api_key(&call.app.id, &id).await?;
    Ok(Done {})
}
