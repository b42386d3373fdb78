//! The Platform API for backends, at `/api/1.0/METHOD` and `/api/2.0/METHOD` (`docs/PROTOCOL.md`, "Platform API").
//!
//! A request is a POST with an API key. The answer is a JSON object with `ok` and `request_id`. A failed request changes
//! nothing; its answer also has `error.code` and `error.message`, and a matching status. Two habits of published callers are
//! accepted: a doubled slash before `api`, and an empty body where no field is needed.
//!
//! This module maps HTTP to [`Accounts`](crate::Accounts) and the other operations, which hold the rules. No answer grants an
//! origin access, so pages of other sites cannot read one.
//!
//! ```text
//!  path ─> key's app ─> method ─> body ─> fields ─> idempotency key? ─> typed request ─> handler ─> typed answer
//!                       └ methods: the one table, of which /api/openapi.json is made too
//! ```

mod answer;
mod app;
mod auth;
mod body;
mod call_rate;
mod fields;
mod idempotency;
mod ignored_field;
mod imported_user;
mod keys;
mod known_fields;
mod list;
mod methods;
mod openapi;
mod run_to_end;
mod service;
mod sessions;
mod state;
mod users;
mod values;

use std::{net::IpAddr, sync::Arc};

use bytes::Bytes;
use chatcamp_protocol::{ApiCode, AppId};
use chatcamp_store::App;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE, request::Parts};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::{
    answer::{ApiAnswer, Refusal, RequestId},
    call_rate::Counted,
    fields::Fields,
    idempotency::Attempt,
    known_fields::nearest,
    methods::Method,
    run_to_end::RunToEnd,
    state::SMALLEST_BODY,
};
use crate::{activity, admission::PendingConnection, bodies::BodyRoom};
pub use service::ApiService;
pub(crate) use state::Api;

/// The largest body of a request, in bytes.
const BODY_LIMIT: usize = 64 * 1024;
/// The longest idempotency key, in characters.
const KEY_LIMIT: usize = 255;

/// An authenticated request.
struct Call {
    api: Arc<Api>,
    /// The app of the API key.
    app: Arc<App>,
    id: RequestId,
}

/// The request of a method without fields.
#[derive(Deserialize, JsonSchema)]
struct Nothing {}

/// The body of a success without fields.
#[derive(Serialize, JsonSchema)]
struct Done {}

/// Returns whether a path belongs to the API.
pub(crate) fn is_at(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("//api/")
}

/// Answers a request for the API.
///
/// A client may close the connection once it has sent its request: the request still runs to its end, and a shutdown waits for
/// it. `address` is the client's; `None` if it is unknown.
pub(crate) async fn serve<B>(
    api: &Arc<Api>,
    request: Request<B>,
    address: Option<IpAddr>,
) -> Response<Full<Bytes>>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let id = RequestId::new();
    let (head, body) = request.into_parts();
    if let Some(document) = openapi::answer(api, &head, &id) {
        return document;
    }
    let task = api.shutdown.enter();
    let call_api = api.clone();
    let call_id = id.clone();
    let answer = RunToEnd::new(async move {
        let _task = task;
        let mut counted = None;
        let answer = answer(&call_api, &call_id, &head, body, &mut counted).await;
        (answer, counted)
    });
    let (answer, counted) = answer.await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(refusal) => {
            let refusal = auth::delayed(api, refusal, address).await;
            activity::request_refused(&id, refusal.code.as_str(), &refusal.message);
            refusal.answer(&id)
        }
    };
    let mut response = answer.render();
    if let Some(counted) = counted {
        counted.write(response.headers_mut());
    }
    response
}

/// Carries out a request. Once its key is known, the call is `counted`.
async fn answer<B>(
    api: &Arc<Api>,
    id: &RequestId,
    head: &Parts,
    body: B,
    counted: &mut Option<Counted>,
) -> Result<ApiAnswer, Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let name = method(head.uri.path())?;
    if head.method != http::Method::POST {
        return Err(Refusal::new(ApiCode::MethodNotAllowed, "every method of this API is a POST"));
    }
    let (app, api_key) = auth::app(api, &head.headers).await?;
    if let Some(connection) = head.extensions.get::<PendingConnection>() {
        connection.mark_authenticated();
    }
    if let Some(rate) = &api.call_rate {
        counted.insert(rate.count(api_key)).check()?;
    }
    let Some(method) = Method::named(name) else {
        return Err(Refusal::new(ApiCode::UnknownMethod, unknown_method(name)));
    };
    let key = if method.takes_key { idempotency_key(&head.headers)? } else { None };
    // This is the only limit on requests whose clients have closed their connections.
    let Ok(_running) = api.running.try_acquire() else {
        return Err(Refusal::new(ApiCode::Overloaded, "too many requests are being carried out now"));
    };
    let (body, _room) = read(api, &app.id, body).await?;
    let fields = Fields::parse(head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes()), &body)?;
    let call = Call { api: api.clone(), app, id: id.clone() };
    match key {
        None => method.run(&call, fields).await,
        Some(key) => once(call, method, key, &body, fields).await,
    }
}

/// Returns the message for a method that does not exist, with the nearest method if one is similar.
fn unknown_method(name: &str) -> String {
    let shown: String = name.chars().take(100).collect();
    let suggestion = match nearest(&shown.replace('/', "."), Method::names()) {
        Some(known) => format!("did you mean {known}?"),
        None => "docs/PROTOCOL.md and /api/openapi.json list the methods".to_owned(),
    };
    format!("this server does not know the method {shown}; {suggestion}")
}

/// Runs a request with an idempotency key, or returns the answer to the first request with this key.
async fn once(
    call: Call,
    method: &'static Method,
    key: &str,
    body: &[u8],
    fields: Fields,
) -> Result<ApiAnswer, Refusal> {
    let fingerprint = idempotency::fingerprint(method.name, body);
    let first = match call.api.idempotency.begin(&call.app.id, key, fingerprint, call.api.clock.now())? {
        Attempt::Repeated(answer) => return Ok(answer),
        Attempt::First(first) => first,
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
        Refusal::new(ApiCode::InvalidIdempotencyKey, message)
    })
}

/// Returns the name of the method in a path; both versions of the API have the same methods.
fn method(path: &str) -> Result<&str, Refusal> {
    path_of(path)
        .strip_prefix("/api/1.0/")
        .or_else(|| path_of(path).strip_prefix("/api/2.0/"))
        .filter(|method| !method.is_empty())
        .ok_or_else(|| Refusal::new(ApiCode::NotFound, "methods are at /api/2.0/METHOD, such as users.get"))
}

/// Returns the path without a doubled slash at its beginning.
fn path_of(path: &str) -> &str {
    path.strip_prefix('/').filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// Reads the body, and reserves memory for it.
///
/// # Errors
/// The body is too large, incomplete or late, or all bodies together are too large now.
async fn read<B>(api: &Api, app: &AppId, body: B) -> Result<(Bytes, BodyRoom<AppId>), Refusal>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large =
        || Refusal::new(ApiCode::BodyTooLarge, format!("a request's body has at most {BODY_LIMIT} bytes"));
    let hint = body.size_hint();
    // Read nothing of a body whose stated length is too large.
    if hint.lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    let length = hint.upper().and_then(|length| usize::try_from(length).ok()).unwrap_or(BODY_LIMIT);
    let reserved = if length == 0 { 0 } else { length.clamp(SMALLEST_BODY, BODY_LIMIT) };
    let room = api
        .bodies
        .reserve(Some(app.clone()), reserved)
        .ok_or_else(|| Refusal::new(ApiCode::Overloaded, "too much is being sent to this server now"))?;
    match tokio::time::timeout(api.body_timeout, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok((body.to_bytes(), room)),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) | Err(_) => Err(Refusal::new(ApiCode::InvalidBody, "the body did not come whole")),
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
