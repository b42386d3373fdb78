//! The table of methods: name, summary, request, answer and errors of each.
//!
//! Requests are dispatched by this table and the OpenAPI document is generated from it, so the two cannot differ.

use std::pin::Pin;

use chatcamp_protocol::ApiCode;
use schemars::{Schema, SchemaGenerator};

use super::{
    Call, Done, Nothing,
    answer::{ApiAnswer, Refusal, Success},
    app,
    fields::Fields,
    keys,
    known_fields::names_of,
    list, sessions, users,
};

/// A method of the API.
pub(super) struct Method {
    pub(super) name: &'static str,
    /// A summary in one line.
    pub(super) does: &'static str,
    /// Whether it accepts an idempotency key, because it creates or publishes something.
    pub(super) takes_key: bool,
    /// The codes of its errors, besides those of every method.
    pub(super) refuses: &'static [ApiCode],
    /// The body of an example request.
    pub(super) example: &'static str,
    pub(super) request: fn(&mut SchemaGenerator) -> Schema,
    pub(super) answer: fn(&mut SchemaGenerator) -> Schema,
    run: Run,
}

type Run = for<'a> fn(&'a Call, Fields) -> Running<'a>;
type Running<'a> = Pin<Box<dyn Future<Output = Result<ApiAnswer, Refusal>> + Send + 'a>>;

/// The codes of errors that every method can have.
pub(super) const REFUSED_BY_ALL: &[ApiCode] = &[
    ApiCode::InvalidBody,
    ApiCode::ApiKeyRequired,
    ApiCode::ApiKeyInvalid,
    ApiCode::AppMismatch,
    ApiCode::BodyTooLarge,
    ApiCode::UnsupportedContentType,
    ApiCode::RateLimited,
    ApiCode::Overloaded,
    ApiCode::StoreUnavailable,
];
/// The codes of errors that a method with an idempotency key can have too.
pub(super) const REFUSED_BY_KEY: &[ApiCode] =
    &[ApiCode::InvalidIdempotencyKey, ApiCode::RequestInProgress, ApiCode::IdempotencyKeyReused];

macro_rules! methods {
    ($($name:literal $does:literal
        $handler:path: $request:ty => $body:ty, takes key: $takes_key:literal, refuses $($code:ident)*;
        $example:literal
    )*) => {
        pub(super) const ALL: &[Method] = &[$(Method {
            name: $name,
            does: $does,
            takes_key: $takes_key,
            refuses: &[$(ApiCode::$code),*],
            example: $example,
            request: |schemas| schemas.subschema_for::<$request>(),
            answer: |schemas| schemas.subschema_for::<Success<'_, $body>>(),
            run: |call, fields| Box::pin(async move {
                let ignored = fields.ignored(names_of::<$request>());
                let result: Result<$body, Refusal> = match fields.read::<$request>() {
                    Ok(request) => $handler(call, request).await,
                    Err(refusal) => Err(refusal),
                };
                match result {
                    Ok(body) => Ok(call.id.success(body, ignored)),
                    Err(refusal) => Err(refusal.naming(&ignored)),
                }
            }),
        }),*];
    };
}

methods! {
    "users.create" "Creates a user with a token, or claims an auto-created user."
    users::create: users::Write => users::UserBody, takes key: true,
    refuses MissingField InvalidField ValueTooLong UserLimitReached UserExists;
    r#"{"id": "alice", "display_name": "Alice"}"#

    "users.upsert" "Creates or claims a user, or changes the given fields."
    users::upsert: users::Write => users::UserBody, takes key: true,
    refuses MissingField InvalidField ValueTooLong UserLimitReached;
    r#"{"id": "alice", "display_name": "Alice", "metadata": {"plan": "pro"}}"#

    "users.update" "Changes the given fields of a user."
    users::update: users::Write => users::UserBody, takes key: false,
    refuses MissingField InvalidField ValueTooLong UserNotFound;
    r#"{"id": "alice", "avatar_url": "//shop.example/alice.png"}"#

    "users.get" "Returns a user, with its token if the server knows it."
    users::get: users::Named => users::UserBody, takes key: false,
    refuses MissingField InvalidField UserNotFound;
    r#"{"id": "alice"}"#

    "users.list" "Lists all users or those that match a search, page by page."
    list::list: list::List => list::PageBody, takes key: false,
    refuses InvalidField;
    r#"{"prefix": "al", "online": true, "limit": 20}"#

    "users.delete" "Deletes a user and ends its sessions."
    users::delete: users::Named => Done, takes key: false,
    refuses MissingField InvalidField UserNotFound;
    r#"{"id": "bob"}"#

    "users.issue_token" "Issues a new token for a user."
    users::issue_token: users::Issue => users::UserBody, takes key: true,
    refuses MissingField InvalidField UserNotFound;
    r#"{"id": "alice", "expires_in": 86400, "grace": 60}"#

    "users.revoke_tokens" "Revokes every token of a user and ends the sessions that they opened."
    users::revoke_tokens: users::Named => users::UserBody, takes key: false,
    refuses MissingField InvalidField UserNotFound;
    r#"{"id": "alice"}"#

    "users.sessions" "Lists the live sessions of a user."
    sessions::list: users::Named => sessions::SessionsBody, takes key: false,
    refuses MissingField InvalidField UserNotFound;
    r#"{"id": "alice"}"#

    "users.disconnect" "Ends one session or all sessions of a user."
    sessions::disconnect: sessions::Disconnect => sessions::DisconnectBody, takes key: false,
    refuses MissingField InvalidField UserNotFound;
    r#"{"id": "alice", "come_back": true}"#

    "users.publish" "Publishes an event to the live sessions of users."
    sessions::publish: sessions::Publish => sessions::PublishBody, takes key: true,
    refuses MissingField InvalidField ValueTooLong;
    r#"{"id": "alice", "type": "order.shipped", "data": {"order": 17}}"#

    "app.get" "Returns the app and its settings."
    app::get: Nothing => app::AppBody, takes key: false,
    refuses;
    "{}"

    "app.update" "Changes the given settings of the app."
    app::update: app::Update => app::AppBody, takes key: false,
    refuses InvalidField;
    r#"{"name": "Shop", "policy": "open"}"#

    "app.keys.create" "Creates an API key, which is shown only once."
    keys::create: keys::Create => keys::NewKeyBody, takes key: true,
    refuses MissingField InvalidField ApiKeyLimitReached;
    r#"{"name": "the shop's backend"}"#

    "app.keys.list" "Lists the API keys of the app, without their text."
    keys::list: Nothing => keys::KeysBody, takes key: false,
    refuses;
    "{}"

    "app.keys.revoke" "Revokes an API key, but not the last one."
    keys::revoke: keys::Revoke => Done, takes key: false,
    refuses MissingField InvalidField ApiKeyNotFound LastApiKey;
    r#"{"id": "0123abcd"}"#
}

impl Method {
    /// Returns the method with this name, or `None`.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|method| method.name == name)
    }

    /// Returns the names of all methods.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        ALL.iter().map(|method| method.name)
    }

    /// Runs a request.
    pub(super) async fn run(&self, call: &Call, fields: Fields) -> Result<ApiAnswer, Refusal> {
        (self.run)(call, fields).await.inspect_err(|refusal| {
            debug_assert!(self.refusals().contains(&refusal.code), "{}: {:?}", self.name, refusal.code);
        })
    }

    /// Returns the codes of all its errors, in the order of their statuses.
    pub(super) fn refusals(&self) -> Vec<ApiCode> {
        let by_key = if self.takes_key { REFUSED_BY_KEY } else { &[] };
        let mut all = [REFUSED_BY_ALL, self.refuses, by_key].concat();
        all.sort_by_key(|code| code.status());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_methods_are_those_of_the_table() {
        let document = include_str!("../../../../docs/PROTOCOL.md");
        let api = &document
            [document.find("\n## Platform API\n").unwrap()..document.find("\n## Secrets\n").unwrap()];
        let rows = api.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
        let names: Vec<_> = rows.map(|(name, _)| name).filter(|name| name.contains('.')).collect();
        assert_eq!(names, ALL.iter().map(|method| method.name).collect::<Vec<_>>());
    }

    #[test]
    fn methods_that_create_or_publish_accept_an_idempotency_key() {
        let names: Vec<_> = ALL.iter().filter(|method| method.takes_key).map(|method| method.name).collect();
        assert_eq!(
            names,
            ["users.create", "users.upsert", "users.issue_token", "users.publish", "app.keys.create"]
        );
    }
}
