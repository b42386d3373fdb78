//! Live sessions: who is there, an event for them, their end.

use chatcamp_protocol::UserId;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value};

use super::{
    Call,
    answer::{Code, Refusal},
    kinds::{AnyText, EventType, Flag, Id},
    users::Named,
};
use crate::{PublishError, Recipients, SessionInfo, bus::EndMode};

/// Users that one event can name.
const NAMED: usize = 1000;

/// An event and whom it is for: exactly one of `id`, `ids` and `to`.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [
    { "required": ["id"], "properties": { "id": { "not": { "type": "null" } } } },
    { "required": ["ids"], "properties": { "ids": { "not": { "type": "null" } } } },
    { "required": ["to"], "properties": { "to": { "not": { "type": "null" } } } },
]))]
pub(super) struct Publish {
    /// What kind of event it is.
    #[serde(rename = "type")]
    #[schemars(with = "EventType")]
    kind: String,
    /// Whatever the application wants; the event as a whole has at most 32 KiB.
    #[serde(default)]
    data: Value,
    /// A user.
    #[schemars(with = "Option<Id>")]
    id: Option<UserId>,
    /// Up to 1,000 users.
    #[schemars(with = "Option<Vec<Id>>", length(max = NAMED))]
    ids: Option<Vec<UserId>>,
    /// Everybody who is there.
    to: Option<Everybody>,
}

/// `{"all": true}`.
#[derive(JsonSchema)]
struct Everybody {
    #[schemars(rename = "all", with = "super::answer::True")]
    _all: (),
}

#[derive(Serialize, JsonSchema)]
pub(super) struct PublishBody {
    /// Sessions that have the event, or have it queued: none of an unknown user.
    delivered: usize,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct SessionsBody {
    sessions: Vec<Shown>,
}

/// A live session.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct Shown {
    /// Names it for as long as it lives.
    id: String,
    /// Such as `websocket`.
    transport: &'static str,
    /// The network address it comes from, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// When it began, in Unix seconds.
    since: u64,
    /// When its client was last heard, in Unix seconds.
    last_seen: u64,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Disconnect {
    /// The user.
    #[schemars(with = "Id")]
    id: UserId,
    /// The one session that is to end; all of them if absent.
    #[schemars(with = "Option<AnyText>")]
    session: Option<String>,
    /// Whether the clients are to connect again; default false.
    #[schemars(with = "Option<Flag>")]
    come_back: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct DisconnectBody {
    /// Sessions that were ended.
    ended: usize,
}

/// `users.publish`: an event to a user, to several, or to all who are there.
pub(super) async fn publish(call: &Call, event: Publish) -> Result<PublishBody, Refusal> {
    let Publish { kind, data, id, ids, to } = event;
    let to = recipients(id, ids, to)?;
    match call.api.operations.publish(&call.app.id, &to, &kind, &data).await {
        Ok(delivered) => Ok(PublishBody { delivered }),
        Err(why @ PublishError::InvalidType) => Err(Refusal::invalid("type", why)),
        Err(why @ PublishError::TooLarge) => Err(Refusal::new(Code::ValueTooLong, why.to_string())),
        Err(PublishError::Bus(error)) => Err(error.into()),
    }
}

fn recipients(
    id: Option<UserId>,
    ids: Option<Vec<UserId>>,
    to: Option<Everybody>,
) -> Result<Recipients, Refusal> {
    match (id, ids, to) {
        (Some(id), None, None) => Ok(Recipients::Users(vec![id])),
        (None, Some(ids), None) if ids.len() <= NAMED => Ok(Recipients::Users(ids)),
        (None, Some(_), None) => Err(Refusal::invalid("ids", format!("these are more than {NAMED}"))),
        (None, None, Some(_)) => Ok(Recipients::All),
        (None, None, None) => {
            Err(Refusal::new(Code::MissingField, "id, ids or to: for whom it is, is missing"))
        }
        (id, ..) => {
            let named = if id.is_some() { "id" } else { "ids" };
            Err(Refusal::invalid(named, "this stands beside another of id, ids and to"))
        }
    }
}

/// `users.sessions`: a user's live sessions.
pub(super) async fn list(call: &Call, Named { id }: Named) -> Result<SessionsBody, Refusal> {
    let sessions = of_user(call, &id).await?.into_iter().map(Shown::from).collect();
    Ok(SessionsBody { sessions })
}

/// `users.disconnect`: ends a user's sessions, or one of them, to come back or not.
pub(super) async fn disconnect(call: &Call, end: Disconnect) -> Result<DisconnectBody, Refusal> {
    let live = of_user(call, &end.id).await?;
    let (operations, app) = (&call.api.operations, &call.app.id);
    let mode = EndMode::new(end.come_back.unwrap_or(false));
    let ended = match end.session {
        None => operations.end_sessions(app, &end.id, mode).await?,
        Some(session) => {
            let is_theirs = live.iter().any(|live| live.id == session);
            usize::from(is_theirs && operations.end_session(app, &session, mode).await?)
        }
    };
    Ok(DisconnectBody { ended })
}

/// The user's live sessions. The store is asked only of who has none, so that all else goes on without it.
async fn of_user(call: &Call, id: &UserId) -> Result<Vec<SessionInfo>, Refusal> {
    let live = call.api.operations.sessions(&call.app.id, Some(id), usize::MAX).await?.newest;
    if live.is_empty() {
        call.accounts().user(&call.app.id, id).await?;
    }
    Ok(live)
}

impl From<SessionInfo> for Shown {
    fn from(info: SessionInfo) -> Self {
        Self {
            id: info.id,
            transport: info.transport,
            address: info.address.map(|address| address.to_string()),
            since: info.since,
            last_seen: info.last_seen,
        }
    }
}

impl<'de> Deserialize<'de> for Everybody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Map::deserialize(deserializer)?.get("all") {
            Some(Value::Bool(true)) => Ok(Self { _all: () }),
            _ => Err(D::Error::custom("this is not {\"all\": true}")),
        }
    }
}
