//! The Platform API: what backends ask for, at `/api/1.0/METHOD` and `/api/2.0/METHOD` (wire document, section 10).
//!
//! A request is a POST with an API key. It is answered by a JSON object with `ok` and `request_id`; one that fails by
//! `error.code` and `error.message` too, with a fitting status, having changed nothing. Two of published callers' habits
//! count: a doubled slash before `api`, and no body at all where there is nothing to say.
//!
//! The rules are those of [`Accounts`](crate::Accounts): here is HTTP only. No answer names an origin, so that no page of
//! another site reads one.
//!
//! ```text
//!  path ─> key's app ─> method ─> body ─> fields ─> idempotency key? ─> typed request ─> handler ─> typed answer
//!                       └ methods: the one table, of which /api/openapi.json is made too
//! ```

mod answer;
mod app;
mod auth;
mod body;
mod carried_out;
mod fields;
mod imported_user;
mod keys;
mod kinds;
mod list;
mod methods;
mod openapi;
mod repeats;
mod service;
mod sessions;
mod state;
mod users;

use std::sync::Arc;

use bytes::Bytes;
use chatcamp_protocol::AppId;
use chatcamp_store::App;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE, request::Parts};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    answer::{Answer, Code, Refusal, RequestId},
    carried_out::CarriedOut,
    fields::Fields,
    methods::Method,
    repeats::Begun,
};
use crate::{admission::PendingConnection, bodies::BodyRoom};
pub use service::ApiService;
pub(crate) use state::Api;

/// Largest body of a request, in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// Longest idempotency key, in characters.
const KEY_LIMIT: usize = 255;

/// A request whose key is good.
struct Call {
    api: Arc<Api>,
    /// The app that the key speaks for.
    app: Arc<App>,
    id: RequestId,
}

/// The request of a method that takes nothing.
#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// The body of a success that has nothing to say.
#[derive(Serialize, JsonSchema)]
struct Done {}

/// Whether the API is what a path asks for.
pub(crate) fn is_at(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("//api/")
}

/// Answers a request for the API.
///
/// A client that has sent its request may close the connection at once: the request is carried out, and a shutdown waits for it.
pub(crate) async fn serve<B>(api: &Arc<Api>, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let id = RequestId::new();
    let (head, body) = request.into_parts();
    if let Some(document) = openapi::answer(&head, &id) {
        return document;
    }
    let (api, task, of_call) = (api.clone(), api.shutdown.enter(), id.clone());
    let answer = CarriedOut::new(async move {
        let _task = task;
        answer(&api, &of_call, &head, body).await
    });
    let answer = answer.await.unwrap_or_else(|refusal| {
        tracing::debug!(request = %id, code = refusal.code.as_str(), "refused a request of a backend");
        refusal.answer(&id)
    });
    answer.render()
}

async fn answer<B>(api: &Arc<Api>, id: &RequestId, head: &Parts, body: B) -> Result<Answer, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let name = method(head.uri.path())?;
    if head.method != http::Method::POST {
        return Err(Refusal::new(Code::MethodNotAllowed, "every method of this API is a POST"));
    }
    let app = auth::app(api, &head.headers).await?;
    if let Some(connection) = head.extensions.get::<PendingConnection>() {
        connection.mark_authenticated();
    }
    let Some(method) = Method::named(name) else {
        let shown: String = name.chars().take(100).collect();
        return Err(Refusal::new(
            Code::UnknownMethod,
            format!("this server does not know the method {shown}"),
        ));
    };
    let key = if method.takes_key { idempotency_key(&head.headers)? } else { None };
    // Requests whose clients close their connections at once are bounded by nothing else.
    let Ok(_running) = api.running.try_acquire() else {
        return Err(Refusal::new(Code::Overloaded, "too many requests are being carried out now"));
    };
    let (body, _room) = read(api, &app.id, body).await?;
    let fields = Fields::parse(head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes()), &body)?;
    let call = Call { api: api.clone(), app, id: id.clone() };
    match key {
        None => method.run(&call, fields).await,
        Some(key) => once(call, method, key, &body, fields).await,
    }
}

/// Carries a request out, unless it is a repeated one.
async fn once(
    call: Call,
    method: &'static Method,
    key: &str,
    body: &[u8],
    fields: Fields,
) -> Result<Answer, Refusal> {
    let fingerprint = repeats::fingerprint(method.name, body);
    let first = match call.api.repeats.begin(&call.app.id, key, fingerprint, call.api.clock.now())? {
        Begun::Repeated(answer) => return Ok(answer),
        Begun::First(first) => first,
    };
    let answer = method.run(&call, fields).await.unwrap_or_else(|refusal| refusal.answer(&call.id));
    first.answered(&answer, call.api.clock.now());
    Ok(answer)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(key) = auth::single(headers, "idempotency-key") else { return Ok(None) };
    let is_good =
        |key: &&str| (1..=KEY_LIMIT).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    key.filter(is_good).map(Some).ok_or_else(|| {
        let message = format!("an idempotency key is 1 to {KEY_LIMIT} visible characters of ASCII");
        Refusal::new(Code::InvalidIdempotencyKey, message)
    })
}

/// The method that a path names. The two versions are one.
fn method(path: &str) -> Result<&str, Refusal> {
    path_of(path)
        .strip_prefix("/api/1.0/")
        .or_else(|| path_of(path).strip_prefix("/api/2.0/"))
        .filter(|method| !method.is_empty())
        .ok_or_else(|| Refusal::new(Code::NotFound, "methods are at /api/2.0/METHOD, such as users.get"))
}

/// The path without a doubled slash at its beginning.
fn path_of(path: &str) -> &str {
    path.strip_prefix('/').filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// Reads the body, as far as it may be long, if there is room for it, and it comes in time.
async fn read<B>(api: &Api, app: &AppId, body: B) -> Result<(Bytes, BodyRoom<AppId>), Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large =
        || Refusal::new(Code::BodyTooLarge, format!("a request's body has at most {BODY_LIMIT} bytes"));
    let hint = body.size_hint();
    // Of what says its length too long nothing is read.
    if hint.lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    let most = hint.upper().and_then(|most| usize::try_from(most).ok()).unwrap_or(BODY_LIMIT);
    let room = api
        .bodies
        .reserve(Some(app.clone()), most.min(BODY_LIMIT))
        .ok_or_else(|| Refusal::new(Code::Overloaded, "too much is being sent to this server now"))?;
    match tokio::time::timeout(api.body_timeout, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok((body.to_bytes(), room)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) | Err(_) => Err(Refusal::new(Code::InvalidBody, "the body did not come whole")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_and_a_doubled_slash_are_the_same_method() {
        for (path, expected) in [
            ("/api/1.0/users.get", Some("users.get")),
            ("/api/2.0/users.get", Some("users.get")),
            ("//api/1.0/users.get", Some("users.get")),
            ("//api/2.0/app.get", Some("app.get")),
            ("/api/3.0/users.get", None),
            ("/api/users.get", None),
            ("/api/2.0/", None),
            ("/api/", None),
            ("//api//2.0/users.get", None),
        ] {
            assert!(is_at(path), "{path}");
            assert_eq!(method(path).ok(), expected, "{path}");
        }
        for path in ["/", "/api", "///api/2.0/users.get", "/chat/2.0", "/apis/2.0/x", "/x/api/2.0/users.get"]
        {
            assert!(!is_at(path), "{path}");
        }
    }
}
