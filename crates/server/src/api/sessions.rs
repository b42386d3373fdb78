//! Live sessions: lists them, publishes events to them, ends them.

use std::slice;

use chatcamp_protocol::{ApiCode, UserId, event::AppEvent};
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::{Map, Value, json};

use super::{
    Call,
    answer::Refusal,
    users::Named,
    values::{EventType, Id},
};
use crate::{PublishError, PublishOutcome, Recipients, SessionInfo, bus::EndMode};

/// The fields that name recipients, of which a request has one; and the name of the schema of such a request.
const RECIPIENTS: [(&str, &str); 3] =
    [("id", "PublishToUser"), ("ids", "PublishToUsers"), ("to", "PublishToAll")];
/// The maximum number of users that one event can name.
const NAMED: usize = 1000;

/// An event and its recipients: exactly one of `id`, `ids` and `to`.
#[derive(Deserialize, JsonSchema)]
#[schemars(transform = with_one_recipient)]
pub(super) struct Publish {
    /// The type of the event.
    #[serde(rename = "type")]
    #[schemars(with = "EventType")]
    kind: String,
    /// Data of the application. The whole event has at most 32 KiB.
    #[serde(default)]
    data: Value,
    /// One user.
    #[schemars(with = "Option<Id>")]
    id: Option<UserId>,
    /// Up to 1,000 users.
    #[schemars(with = "Option<Vec<Id>>", length(max = NAMED))]
    ids: Option<Vec<UserId>>,
    /// All connected users.
    to: Option<Everybody>,
}

/// Makes the schema of [`Publish`] a choice of three objects, from which clients with types are generated.
fn with_one_recipient(schema: &mut Schema) {
    let Some(mut fields) = schema.get("properties").and_then(Value::as_object).cloned() else { return };
    // `data` is optional: its default is not a value that a client should send.
    fields.get_mut("data").and_then(Value::as_object_mut).and_then(|data| data.remove("default"));
    let choices = RECIPIENTS.map(|(recipient, title)| {
        let mut fields = fields.clone();
        fields.retain(|name, _| RECIPIENTS.iter().all(|(other, _)| name != other) || name == recipient);
        json!({ "title": title, "type": "object", "properties": fields, "required": ["type", recipient] })
    });
    *schema = json_schema!({ "description": schema.get("description"), "oneOf": choices });
}

/// `{"all": true}`.
#[derive(JsonSchema)]
struct Everybody {
    #[schemars(rename = "all", with = "super::answer::True")]
    _all: (),
}

#[derive(Serialize, JsonSchema)]
pub(super) struct PublishBody {
    /// Sessions with an open connection, to which the event was handed. Their clients may not have read it yet.
    delivered: usize,
    /// Detached sessions, which keep the event for a client that may come back. A user without sessions counts in neither number,
    /// and does not get the event later.
    queued: usize,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct SessionsBody {
    sessions: Vec<SessionView>,
}

/// A live session.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Session")]
struct SessionView {
    /// Identifies the session while it lives.
    id: String,
    /// Such as `websocket`.
    transport: &'static str,
    /// The network address of the client, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    /// When the session began, in Unix seconds.
    since: u64,
    /// When the client last sent a message, in Unix seconds.
    last_seen: u64,
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Disconnect {
    /// The user.
    #[schemars(with = "Id")]
    id: UserId,
    /// The session to end; all sessions of the user if absent.
    session: Option<String>,
    /// Whether the clients should reconnect; default false.
    come_back: Option<bool>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct DisconnectBody {
    /// The number of sessions that were ended.
    ended: usize,
}

/// `users.publish`: sends an event to one user, several users or all connected users.
pub(super) async fn publish(call: &Call, event: Publish) -> Result<PublishBody, Refusal> {
    let Publish { kind, data, id, ids, to } = event;
    let to = recipients(id, ids, to)?;
    let event = AppEvent { kind: kind.into(), data: &data };
    let published = call.api.operations.publish(&call.app.id, &to, slice::from_ref(&event)).await;
    let PublishOutcome { delivered, queued } = published.map_err(|error| match error {
        PublishError::InvalidType => Refusal::invalid("type", error),
        PublishError::TooLarge => Refusal::new(ApiCode::ValueTooLong, error.to_string()),
        PublishError::Bus(error) => error.into(),
    })?;
    Ok(PublishBody { delivered, queued })
}

fn recipients(
    id: Option<UserId>,
    ids: Option<Vec<UserId>>,
    to: Option<Everybody>,
) -> Result<Recipients, Refusal> {
    match (id, ids, to) {
        (Some(id), None, None) => Ok(Recipients::Users(vec![id])),
        (None, Some(ids), None) if ids.len() <= NAMED => Ok(Recipients::Users(ids)),
        (None, Some(_), None) => Err(Refusal::invalid("ids", format!("at most {NAMED} users may be named"))),
        (None, None, Some(_)) => Ok(Recipients::All),
        (None, None, None) => Err(Refusal::new(
            ApiCode::MissingField,
            "the recipient is missing: one of id, ids and to is required",
        )),
        (id, ..) => {
            let named = if id.is_some() { "id" } else { "ids" };
            Err(Refusal::invalid(named, "only one of id, ids and to may be given"))
        }
    }
}

/// `users.sessions`: returns the live sessions of a user.
pub(super) async fn list(call: &Call, Named { id }: Named) -> Result<SessionsBody, Refusal> {
    let sessions = of_user(call, &id).await?.into_iter().map(SessionView::from).collect();
    Ok(SessionsBody { sessions })
}

/// `users.disconnect`: ends one session or all sessions of a user, and tells the clients whether to reconnect.
pub(super) async fn disconnect(call: &Call, end: Disconnect) -> Result<DisconnectBody, Refusal> {
    let live = of_user(call, &end.id).await?;
    let operations = &call.api.operations;
    let app = &call.app.id;
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

/// Returns the live sessions of the user. Asks the store only about users without sessions, so that the others can be listed while
/// the store fails.
async fn of_user(call: &Call, id: &UserId) -> Result<Vec<SessionInfo>, Refusal> {
    let live = call.api.operations.sessions(&call.app.id, Some(id), usize::MAX).await?.newest;
    if live.is_empty() {
        call.accounts().user(&call.app.id, id).await?;
    }
    Ok(live)
}

impl From<SessionInfo> for SessionView {
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
