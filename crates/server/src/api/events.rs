//! What a backend says to live sessions: an event for them, or their end.

use std::{sync::Arc, time::Duration};

use chatcamp_protocol::{Code as End, UserId, envelope, limits};
use serde::Serialize;
use serde_json::Value;

use super::{
    Call,
    answer::{Code, Refusal},
    body::Fields,
};
use crate::{random, session::Session};

/// Users that one event can name.
const NAMED: usize = 1000;
/// Sessions that are told before other tasks get their turn.
const BATCH: usize = 256;
/// How long a client that is to come back waits first; spread up to twice this.
const COME_BACK: Duration = Duration::from_millis(500);

#[derive(Serialize)]
pub(super) struct PublishBody {
    /// Sessions that have the event, or have it queued.
    delivered: usize,
}

#[derive(Serialize)]
pub(super) struct DisconnectBody {
    /// Sessions that were ended.
    ended: usize,
}

/// `app.event.pub`, as clients get it.
#[derive(Serialize)]
struct Event<'a> {
    ok: bool,
    r#type: &'a str,
    data: &'a Value,
}

/// `users.publish`: an event to a user, to several, or to all who are there.
pub(super) async fn publish(call: &Call<'_>, mut fields: Fields) -> Result<PublishBody, Refusal> {
    let missing = |what| Refusal::new(Code::MissingField, what);
    let kind = fields.text("type")?.ok_or_else(|| missing("type: what kind of event it is, is missing"))?;
    let is_good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if kind.is_empty() || kind.len() > limits::EVENT_TYPE || !kind.bytes().all(is_good) {
        let why = format!("this is not 1 to {} characters of a-z 0-9 . _ -", limits::EVENT_TYPE);
        return Err(Refusal::invalid("type", why));
    }
    let data = fields.value("data").unwrap_or(Value::Null);
    let text = envelope::push("app.event.pub", &Event { ok: true, r#type: &kind, data: &data });
    if text.len() > limits::EVENT {
        return Err(Refusal::new(
            Code::ValueTooLong,
            format!("an event has at most {} bytes", limits::EVENT),
        ));
    }
    let mut delivered = 0;
    for (told, session) in (1..).zip(recipients(call, &mut fields)?) {
        delivered += usize::from(call.shared.push(&session, &text));
        if told % BATCH == 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(PublishBody { delivered })
}

/// Exactly one of `id`, `ids` and `to` says whom; each session is told once, in the order they joined.
fn recipients(call: &Call<'_>, fields: &mut Fields) -> Result<Vec<Arc<Session>>, Refusal> {
    let (app, registry) = (&call.app.id, &call.shared.registry);
    let everybody = match fields.object("to")? {
        None => false,
        Some(to) if to.len() == 1 && to.get("all") == Some(&Value::Bool(true)) => true,
        Some(_) => return Err(Refusal::invalid("to", "this is not {\"all\": true}")),
    };
    let mut ids = fields.texts("ids")?;
    if let Some(id) = fields.text("id")? {
        ids.get_or_insert_default().push(id);
    }
    match ids {
        None if everybody => Ok(registry.all().into_iter().filter(|session| session.app == *app).collect()),
        Some(_) if everybody => Err(Refusal::invalid("to", "it stands beside id or ids")),
        None => Err(Refusal::new(Code::MissingField, "id, ids or to: for whom it is, is missing")),
        Some(ids) if ids.len() > NAMED => {
            Err(Refusal::invalid("ids", format!("these are more than {NAMED}")))
        }
        Some(mut ids) => {
            ids.sort_unstable();
            ids.dedup();
            let mut sessions = Vec::new();
            for id in ids {
                let id = UserId::new(id).map_err(|why| Refusal::invalid("ids", why))?;
                sessions.extend(registry.of_user(app, &id));
            }
            Ok(sessions)
        }
    }
}

/// `users.disconnect`: ends a user's sessions, to come back or not.
pub(super) fn disconnect(call: &Call<'_>, mut fields: Fields) -> Result<DisconnectBody, Refusal> {
    let id = super::users::id(&mut fields)?;
    let (end, after) = match fields.flag("come_back")? {
        Some(true) => (End::Reconnect, Some(random::spread(COME_BACK))),
        Some(false) | None => (End::Disconnected, None),
    };
    let sessions = call.shared.registry.of_user(&call.app.id, &id);
    for session in &sessions {
        call.shared.end(session, end, after);
    }
    Ok(DisconnectBody { ended: sessions.len() })
}
