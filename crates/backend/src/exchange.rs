//! One HTTP request and its answer.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use chatcamp_runtime::network_cause;
#[cfg(feature = "tls")]
use chatcamp_tls::{Tls, TlsError};
use reqwest::{
    Client, Response,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect, retry,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{ApiKey, BuildError, Error, Refusal, address::Address};

/// Maximum size of a request body, in bytes: the limit of the server.
const REQUEST_LIMIT: usize = 64 * 1024;
/// Maximum size of an answer body, in bytes: fits a thousand users of the maximum size.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// Maximum length of a text of a refusal, in characters; longer texts are cut.
const TEXT_LIMIT: usize = 500;
/// Time limit for opening a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept; servers and proxies keep it longer.
const POOL_IDLE: Duration = Duration::from_secs(5);

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// HTTP/1.1 to one server, with keep-alive, without redirects and cookies.
pub(crate) struct Exchange {
    client: Client,
    address: Address,
    key: ApiKey,
}

/// A request, identical at each attempt.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) body: Bytes,
    /// Lets the server recognize a retry.
    pub(crate) idempotency_key: Option<HeaderValue>,
}

/// The field that every answer has.
#[derive(Deserialize)]
struct AnswerStatus {
    ok: bool,
}

/// The body of a refusal.
#[derive(Deserialize)]
struct RefusalBody {
    error: ErrorBody,
    #[serde(default)]
    request_id: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    code: String,
    message: String,
}

impl Exchange {
    pub(crate) fn new(
        address: Address,
        key: ApiKey,
        #[cfg(feature = "tls")] tls: &Tls,
    ) -> Result<Self, BuildError> {
        let mut value = HeaderValue::from_str(key.expose()).map_err(|_| BuildError::ApiKey)?;
        if key.expose().is_empty() || key.expose().contains(char::is_whitespace) {
            return Err(BuildError::ApiKey);
        }
        value.set_sensitive(true);
        let mut headers = HeaderMap::from_iter([(API_KEY, value)]);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut builder = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("chatcamp-backend/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .redirect(redirect::Policy::none())
            // `retry::Policy` decides what is retried.
            .retry(retry::never());
        #[cfg(feature = "tls")]
        {
            builder = builder.tls_backend_preconfigured((**tls.config()).clone());
        }
        if address.is_loopback() {
            // For a proxy, a loopback address means its own machine.
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|error| BuildError::Client(describe(error)))?;
        Ok(Self { client, address, key })
    }

    /// Sends the request once and reads the answer.
    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        request: &Request,
        time: Duration,
    ) -> Result<T, Error> {
        match tokio::time::timeout(time, self.answer(request)).await {
            Ok(result) => result,
            Err(_) => Err(Error::TimedOut(time)),
        }
    }

    async fn answer<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Error> {
        let mut post = self.client.post(self.address.of(request.method)).body(request.body.clone());
        if let Some(key) = &request.idempotency_key {
            post = post.header(IDEMPOTENCY_KEY, key);
        }
        let mut response = post.send().await.map_err(|error| self.failed(error))?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = read(&mut response).await?;
        let not_the_api = |at| Error::NotTheApi { url: self.address.to_string(), status, at, retry_after };
        let body = body.ok_or_else(|| not_the_api(None))?;
        if status == 200 {
            // The parser's message may quote the answer.
            let invalid = |error: serde_json::Error| not_the_api(Some((error.line(), error.column())));
            if serde_json::from_slice::<AnswerStatus>(&body).map_err(invalid)?.ok {
                return serde_json::from_slice(&body).map_err(invalid);
            }
        }
        #[cfg(feature = "tls")]
        if !self.address.is_tls() {
            if let Some(cause) = TlsError::of_plain_response(status, &body) {
                return Err(Error::Tls(cause));
            }
        }
        let RefusalBody { error: ErrorBody { code, message }, request_id } =
            serde_json::from_slice(&body).map_err(|_| not_the_api(None))?;
        let [code, message, request_id] = [code, message, request_id].map(|text| self.clean(&text));
        let may_have_run_before = false;
        Err(Refusal { status, code, message, request_id, retry_after, may_have_run_before }.into())
    }

    /// Returns why no answer was received.
    fn failed(&self, error: reqwest::Error) -> Error {
        #[cfg(feature = "tls")]
        if error.is_connect() {
            if let Some(cause) = TlsError::of_handshake(&error) {
                return Error::Tls(cause);
            }
        }
        if !error.is_connect() {
            return broken(error);
        }
        Error::Unreachable(format!("{}: {}", self.address.origin(), describe(error)))
    }

    /// Makes a text of the server safe for a log: bounded, on one line, without the API key.
    fn clean(&self, text: &str) -> String {
        let text = text.replace(self.key.expose(), "…");
        text.chars().filter(|c| !c.is_control()).take(TEXT_LIMIT).collect()
    }
}

/// Reads the body. Returns `None` if it is too long.
async fn read(response: &mut Response) -> Result<Option<Bytes>, Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

/// Checks the size of a request body.
pub(crate) fn check_length(body: &[u8]) -> Result<(), Error> {
    match body.len() {
        bytes if bytes > REQUEST_LIMIT => Err(Error::TooLarge { bytes, limit: REQUEST_LIMIT }),
        _ => Ok(()),
    }
}

/// Returns the value of `Retry-After`: seconds, or a date, which is compared with the clock of the server.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = asked.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(asked).ok()?;
    let now = text(DATE).and_then(|date| httpdate::parse_http_date(date).ok());
    Some(until.duration_since(now.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

fn broken(error: reqwest::Error) -> Error {
    Error::Broken(describe(error))
}

/// Returns the cause on one line, without the URL.
fn describe(error: reqwest::Error) -> String {
    network_cause(&error.without_url())
}

/// Does not show the API key.
impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        for (asked, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, HeaderValue::from_static(date));
            headers.insert(RETRY_AFTER, HeaderValue::from_static(asked));
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{asked}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
