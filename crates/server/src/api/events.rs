//! What a backend says to live sessions: an event for them, or their end.

use chatcamp_protocol::UserId;
use serde::Serialize;
use serde_json::Value;

use super::{
    Call,
    answer::{Code, Refusal},
    body::Fields,
};
use crate::{PublishError, Recipients};

/// Users that one event can name.
const NAMED: usize = 1000;

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

/// `users.publish`: an event to a user, to several, or to all who are there.
pub(super) async fn publish(call: &Call<'_>, mut fields: Fields) -> Result<PublishBody, Refusal> {
    let missing = |what| Refusal::new(Code::MissingField, what);
    let kind = fields.text("type")?.ok_or_else(|| missing("type: what kind of event it is, is missing"))?;
    let data = fields.value("data").unwrap_or(Value::Null);
    let to = recipients(&mut fields)?;
    match call.shared.publish(&call.app.id, &to, &kind, &data).await {
        Ok(delivered) => Ok(PublishBody { delivered }),
        Err(why @ PublishError::InvalidType) => Err(Refusal::invalid("type", why)),
        Err(why @ PublishError::TooLarge) => Err(Refusal::new(Code::ValueTooLong, why.to_string())),
    }
}

/// Exactly one of `id`, `ids` and `to` says whom.
fn recipients(fields: &mut Fields) -> Result<Recipients, Refusal> {
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
        None if everybody => Ok(Recipients::All),
        Some(_) if everybody => Err(Refusal::invalid("to", "it stands beside id or ids")),
        None => Err(Refusal::new(Code::MissingField, "id, ids or to: for whom it is, is missing")),
        Some(ids) if ids.len() > NAMED => {
            Err(Refusal::invalid("ids", format!("these are more than {NAMED}")))
        }
        Some(ids) => {
            let ids = ids.into_iter().map(UserId::new).collect::<Result<_, _>>();
            Ok(Recipients::Users(ids.map_err(|why| Refusal::invalid("ids", why))?))
        }
    }
}

/// `users.disconnect`: ends a user's sessions, to come back or not.
pub(super) fn disconnect(call: &Call<'_>, mut fields: Fields) -> Result<DisconnectBody, Refusal> {
    let id = super::users::id(&mut fields)?;
    let come_back = fields.flag("come_back")?.unwrap_or(false);
    Ok(DisconnectBody { ended: call.shared.end_sessions(&call.app.id, &id, come_back) })
}
