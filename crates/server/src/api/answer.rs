//! Answers: successes, refusals with their codes, and the id that every one carries.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use chatcamp_store::StoreError;
use data_encoding::HEXLOWER;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, RETRY_AFTER},
};
use http_body_util::Full;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::{AccountError, BusError, random};

/// Says that an answer was given before.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Names one request in its answer and in the log.
#[derive(Clone)]
pub(super) struct RequestId(String);

/// An answer with the id in it. It may show a secret, so that it shows itself to nobody.
#[derive(Clone)]
pub(super) struct Answer {
    /// Why it is a refusal, if it is one.
    refused: Option<Code>,
    pub(super) body: Bytes,
    id: RequestId,
    /// It was given before, to the same idempotency key.
    is_replayed: bool,
}

/// Why a request was not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: Cow<'static, str>,
}

/// A method was carried out.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "{T}Answer")]
pub(super) struct Success<'a, T> {
    ok: True,
    #[serde(flatten)]
    body: T,
    /// Names the request; the header `x-request-id` has it too.
    request_id: &'a str,
}

/// A method was not carried out, and nothing was changed, unless the code is `STORE_UNAVAILABLE`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Refusal")]
pub(super) struct Refused<'a> {
    ok: False,
    error: Detail<'a>,
    /// Names the request; the header `x-request-id` has it too.
    request_id: &'a str,
}

#[derive(Serialize, JsonSchema)]
#[schemars(inline)]
struct Detail<'a> {
    /// For programs.
    code: &'a str,
    /// For people; it may be worded differently tomorrow.
    message: &'a str,
}

/// Always true.
pub(super) struct True;
/// Always false.
struct False;

macro_rules! always {
    ($name:ident, $value:literal) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bool($value)
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "boolean", "const": $value })
            }
        }
    };
}

always!(True, true);
always!(False, false);

/// The codes, each with its status and its meaning: the table in `docs/PROTOCOL.md`, "Platform API".
macro_rules! codes {
    ($($variant:ident $status:literal $name:literal $meaning:literal)*) => {
        /// The reasons that callers tell apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Code {
            $($variant,)*
        }

        impl Code {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$variant,)*];

            pub(super) fn status(self) -> u16 {
                match self {
                    $(Self::$variant => $status,)*
                }
            }

            pub(super) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(super) fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => $meaning,)*
                }
            }
        }
    };
}

codes! {
    InvalidBody 400 "INVALID_BODY" "The body is not a JSON object or a form, not UTF-8, or did not come whole."
    MissingField 400 "MISSING_FIELD" "A field that the method needs is missing; the message names it."
    InvalidField 400 "INVALID_FIELD" "A field has a value of the wrong kind; the message names it."
    ValueTooLong 400 "VALUE_TOO_LONG" "A value is longer, or nested deeper, than its limit."
    InvalidIdempotencyKey 400 "INVALID_IDEMPOTENCY_KEY" "`Idempotency-Key` is not 1 to 255 visible characters of ASCII, or is there twice."
    ApiKeyRequired 401 "API_KEY_REQUIRED" "There is no `x-api-key`."
    ApiKeyInvalid 401 "API_KEY_INVALID" "The key is unknown or revoked."
    AppMismatch 403 "APP_MISMATCH" "`x-app-id` is not the app of the key."
    UserLimitReached 403 "USER_LIMIT_REACHED" "The app has as many users as it may have."
    ApiKeyLimitReached 403 "API_KEY_LIMIT_REACHED" "The app has as many API keys as it may have."
    NotFound 404 "NOT_FOUND" "The path is not `/api/1.0/METHOD` or `/api/2.0/METHOD`."
    UnknownMethod 404 "UNKNOWN_METHOD" "The server does not know the method."
    UserNotFound 404 "USER_NOT_FOUND" "The app has no user with this id."
    ApiKeyNotFound 404 "API_KEY_NOT_FOUND" "The app has no API key with this id."
    MethodNotAllowed 405 "METHOD_NOT_ALLOWED" "Every method is a POST."
    UserExists 409 "USER_EXISTS" "There is such a user, and none to be claimed."
    LastApiKey 409 "LAST_API_KEY" "The app's last API key is not revoked over this API."
    RequestInProgress 409 "REQUEST_IN_PROGRESS" "The first request with this idempotency key is still being carried out; `Retry-After` says when to ask again."
    BodyTooLarge 413 "BODY_TOO_LARGE" "The body has more than 64 KiB."
    UnsupportedContentType 415 "UNSUPPORTED_CONTENT_TYPE" "The body is neither of the two."
    IdempotencyKeyReused 422 "IDEMPOTENCY_KEY_REUSED" "The idempotency key was given to another request: of another method, or with another body."
    Overloaded 503 "OVERLOADED" "Too much is being asked of this server now; try again later."
    StoreUnavailable 503 "STORE_UNAVAILABLE" "The store cannot answer now; try again later."
}

impl RequestId {
    pub(super) fn new() -> Self {
        Self(HEXLOWER.encode(&random::bytes::<12>()))
    }

    pub(super) fn success(&self, body: impl Serialize) -> Answer {
        self.answer(None, &Success { ok: True, body, request_id: &self.0 })
    }

    fn answer(&self, refused: Option<Code>, body: &impl Serialize) -> Answer {
        let body = serde_json::to_vec(body).expect("bodies of this API have text keys").into();
        Answer { refused, body, id: self.clone(), is_replayed: false }
    }

    /// Renders JSON with the headers that every answer has.
    pub(super) fn render(&self, status: u16, body: Bytes) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).expect("the codes have valid statuses");
        let id = HeaderValue::from_str(&self.0).expect("hexadecimal digits are a header value");
        let headers = response.headers_mut();
        headers.insert("x-request-id", id);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Many an answer has a token in it: nothing keeps it.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        response
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Answer {
    /// The same answer to the same request, once more.
    pub(super) fn replayed(&self) -> Self {
        Self { is_replayed: true, ..self.clone() }
    }

    /// Whether the same request may be answered otherwise in a moment.
    pub(super) fn is_passing(&self) -> bool {
        self.refused.is_some_and(Code::is_retried)
    }

    pub(super) fn render(self) -> Response<Full<Bytes>> {
        let mut response = self.id.render(self.refused.map_or(200, Code::status), self.body);
        let mut set =
            |name: HeaderName, value| response.headers_mut().insert(name, HeaderValue::from_static(value));
        match self.refused {
            Some(code) if code.is_retried() => set(RETRY_AFTER, "1"),
            Some(Code::MethodNotAllowed) => set(ALLOW, "POST"),
            _ => None,
        };
        if self.is_replayed {
            set(REPLAYED, "true");
        }
        response
    }
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn invalid(field: &str, why: impl fmt::Display) -> Self {
        Self::new(Code::InvalidField, format!("{field}: {why}"))
    }

    pub(super) fn answer(&self, id: &RequestId) -> Answer {
        let error = Detail { code: self.code.as_str(), message: &self.message };
        id.answer(Some(self.code), &Refused { ok: False, error, request_id: &id.0 })
    }
}

impl Code {
    /// Whether the same request may be answered otherwise in a moment.
    pub(super) fn is_retried(self) -> bool {
        matches!(self, Self::RequestInProgress | Self::Overloaded | Self::StoreUnavailable)
    }
}

impl From<BusError> for Refusal {
    fn from(error: BusError) -> Self {
        Self::new(Code::Overloaded, error.to_string())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        AccountError::from(error).into()
    }
}

impl From<AccountError> for Refusal {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::NoUser(_) => Self::new(Code::UserNotFound, error.to_string()),
            AccountError::UserExists(_) => Self::new(Code::UserExists, error.to_string()),
            AccountError::NoApiKey(_) => Self::new(Code::ApiKeyNotFound, error.to_string()),
            AccountError::OverLimit(over) => Self::new(Code::ValueTooLong, over.to_string()),
            AccountError::InvalidToken(why) => Self::invalid("access_token", why),
            AccountError::InvalidName => Self::invalid("name", error),
            AccountError::InvalidField(_) => Self::new(Code::InvalidField, error.to_string()),
            AccountError::Store(StoreError::UserLimit) => {
                Self::new(Code::UserLimitReached, "the app has as many users as it may have")
            }
            AccountError::Store(error @ StoreError::Nul { .. }) => {
                Self::new(Code::InvalidField, error.to_string())
            }
            // An app is not deleted, so that the others are the store's too.
            error => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, source, "the store failed a request of a backend");
                Self::new(Code::StoreUnavailable, "the server cannot reach its store now; try again later")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_code_is_documented() {
        let mut table = "| status | code | meaning |\n|---|---|---|\n".to_owned();
        for code in Code::ALL {
            writeln!(table, "| {} | `{}` | {} |", code.status(), code.as_str(), code.meaning()).unwrap();
        }
        let document = include_str!("../../../../docs/PROTOCOL.md");
        let (start, end) = ("<!-- api errors -->\n", "<!-- /api errors -->");
        let from = document.find(start).unwrap() + start.len();
        let to = document.find(end).unwrap();
        assert!(
            document[from..to] == *table,
            "between the markers of api errors docs/PROTOCOL.md is to have:\n{table}"
        );
    }
}
