//! `app.keys.*`: the API keys of the app.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Call, Done, Nothing,
    answer::{Code, Refusal},
    kinds::{AnyText, Name},
};

/// Keys an app may have before this API makes no more.
const MOST: usize = 100;

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "KeyCreate")]
pub(super) struct Create {
    /// A name for people, 1 to 255 bytes, with something to see and no control characters; spaces around it are dropped.
    #[schemars(with = "Name<255>")]
    name: String,
}

#[derive(Deserialize, JsonSchema)]
#[schemars(rename = "KeyRevoke")]
pub(super) struct Revoke {
    /// The public id of the key.
    #[schemars(with = "AnyText")]
    id: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct NewKeyBody {
    /// The public id, by which the key is revoked.
    id: String,
    /// The key, shown this once.
    key: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct KeysBody {
    /// Eldest first.
    keys: Vec<Shown>,
}

/// An API key without its text, which is not kept.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Key")]
struct Shown {
    id: String,
    name: String,
    /// Unix seconds.
    created_at: u64,
}

/// `app.keys.create`: one more key.
pub(super) async fn create(call: &Call, Create { name }: Create) -> Result<NewKeyBody, Refusal> {
    let accounts = call.accounts();
    let _turn = call.api.keys.lock().await;
    if accounts.api_keys(&call.app.id).await?.len() >= MOST {
        let message = format!("an app has at most {MOST} API keys; revoke one that is no longer used");
        return Err(Refusal::new(Code::ApiKeyLimitReached, message));
    }
    let new = accounts.create_api_key(&call.app.id, &name).await?;
    Ok(NewKeyBody { id: new.id, key: new.key })
}

/// `app.keys.list`: the keys there are.
pub(super) async fn list(call: &Call, Nothing {}: Nothing) -> Result<KeysBody, Refusal> {
    let keys = call.accounts().api_keys(&call.app.id).await?;
    let shown =
        |key: chatcamp_store::ApiKey| Shown { id: key.id, name: key.name, created_at: key.created_at };
    Ok(KeysBody { keys: keys.into_iter().map(shown).collect() })
}

/// `app.keys.revoke`: a key is good no longer; be it the one that asks, but never the last.
pub(super) async fn revoke(call: &Call, Revoke { id }: Revoke) -> Result<Done, Refusal> {
    let accounts = call.accounts();
    // Two at once would each leave the other's key, and together none.
    let _turn = call.api.keys.lock().await;
    let keys = accounts.api_keys(&call.app.id).await?;
    if keys.len() == 1 && keys[0].id == id {
        let message = "this is the app's last API key; create another one first";
        return Err(Refusal::new(Code::LastApiKey, message));
    }
    accounts.revoke_api_key(&call.app.id, &id).await?;
    Ok(Done {})
}
