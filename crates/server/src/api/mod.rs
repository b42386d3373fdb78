//! The Platform API: what backends ask for, at `/api/1.0/METHOD` and `/api/2.0/METHOD` (wire document, section 10).
//!
//! A request is a POST with an API key. It is answered by a JSON object with `ok` and `request_id`; one that fails by
//! `error.code` and `error.message` too, with a fitting status, having changed nothing. Two of published callers' habits
//! count: a doubled slash before `api`, and no body at all where there is nothing to say.
//!
//! The rules are those of [`Accounts`](crate::Accounts): here is HTTP only. No answer names an origin, so that no page of
//! another site reads one.

mod answer;
mod app;
mod auth;
mod body;
mod events;
mod users;

use std::sync::Arc;

use bytes::Bytes;
use chatcamp_store::App;
use http::{Method, Request, Response, header::CONTENT_TYPE, request::Parts};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use serde::Serialize;

use self::{
    answer::{Code, Refusal, RequestId},
    body::Fields,
};
use crate::{endpoint::Answer, server::Shared};
pub(crate) use auth::Slowed;

/// Largest body of a request, in bytes.
const BODY_LIMIT: usize = 64 * 1024;

/// A request whose key is good.
struct Call<'a> {
    shared: &'a Shared,
    /// The app that the key speaks for.
    app: Arc<App>,
}

/// Whether the API is what a path asks for.
pub(crate) fn is_at(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("//api/")
}

/// Answers a request for the API.
pub(crate) async fn serve(shared: &Shared, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let id = RequestId::new();
    let (head, body) = request.into_parts();
    let answer = match answer(shared, &id, &head, body).await {
        Ok(answer) => answer,
        Err(refusal) => {
            tracing::debug!(request = %id, code = refusal.code.as_str(), "refused a request of a backend");
            refusal.answer(&id)
        }
    };
    id.stamp(answer)
}

async fn answer(shared: &Shared, id: &RequestId, head: &Parts, body: Incoming) -> Result<Answer, Refusal> {
    let method = method(head.uri.path())?;
    if head.method != Method::POST {
        return Err(Refusal::new(Code::MethodNotAllowed, "every method of this API is a POST"));
    }
    let call = Call { shared, app: auth::app(shared, &head.headers).await? };
    let body = read(body).await?;
    let fields = Fields::parse(head.headers.get(CONTENT_TYPE).map(|value| value.as_bytes()), &body)?;
    match method {
        "users.create" => id.success(users::create(&call, fields).await?),
        "users.upsert" => id.success(users::upsert(&call, fields).await?),
        "users.update" => id.success(users::update(&call, fields).await?),
        "users.get" => id.success(users::get(&call, fields).await?),
        "users.list" => id.success(users::list(&call, fields).await?),
        "users.delete" => id.success(users::delete(&call, fields).await?),
        "users.issue_token" => id.success(users::issue_token(&call, fields).await?),
        "users.revoke_tokens" => id.success(users::revoke_tokens(&call, fields).await?),
        "users.publish" => id.success(events::publish(&call, fields).await?),
        "users.disconnect" => id.success(events::disconnect(&call, fields)?),
        "app.get" => id.success(app::get(&call)),
        "app.update" => id.success(app::update(&call, fields).await?),
        other => {
            let shown: String = other.chars().take(100).collect();
            Err(Refusal::new(Code::UnknownMethod, format!("this server does not know the method {shown}")))
        }
    }
}

/// The method that a path names. The two versions are one.
fn method(path: &str) -> Result<&str, Refusal> {
    let path = path.strip_prefix('/').map_or(path, |rest| if rest.starts_with('/') { rest } else { path });
    path.strip_prefix("/api/1.0/")
        .or_else(|| path.strip_prefix("/api/2.0/"))
        .filter(|method| !method.is_empty())
        .ok_or_else(|| Refusal::new(Code::NotFound, "methods are at /api/2.0/METHOD, such as users.get"))
}

/// Reads the body, as far as it may be long.
async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let too_large =
        || Refusal::new(Code::BodyTooLarge, format!("a request's body has at most {BODY_LIMIT} bytes"));
    // Of what says its length too long nothing is read.
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(too_large());
    }
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(Refusal::new(Code::InvalidBody, "the body broke off")),
    }
}

/// The body of a success that has nothing to say.
#[derive(Serialize)]
struct Done {}

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
