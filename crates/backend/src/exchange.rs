//! One request and its answer, over HTTP.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use bytes::{Bytes, BytesMut};
use reqwest::{
    Client, Response,
    header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER},
    redirect, retry,
};
use serde::{Deserialize, de::DeserializeOwned};

use crate::{ApiKey, BuildError, Error, Refusal, address::Address};

/// Longest body that a server reads, in bytes.
const REQUEST_LIMIT: usize = 64 * 1024;
/// Longest body of an answer that is read, in bytes: a thousand users, each with as much as one can have.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// Longest text of a refusal that is kept, in characters.
const TEXT_LIMIT: usize = 500;
/// Time for a connection to open, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept for the next call, less than servers and proxies keep it.
const POOL_IDLE: Duration = Duration::from_secs(5);

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// HTTP/1.1 to one server, with kept-alive connections, no redirects, no cookies.
pub(crate) struct Exchange {
    client: Client,
    address: Address,
    key: ApiKey,
}

/// A request, the same at each attempt.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: &'static str,
    pub(crate) body: Bytes,
    /// By which the server knows it again.
    pub(crate) idempotency_key: Option<HeaderValue>,
}

/// What every answer says.
#[derive(Deserialize)]
struct Said {
    ok: bool,
}

/// The body of a refusal.
#[derive(Deserialize)]
struct Refused {
    error: Why,
    #[serde(default)]
    request_id: String,
}

#[derive(Deserialize)]
struct Why {
    code: String,
    message: String,
}

impl Exchange {
    pub(crate) fn new(address: Address, key: ApiKey) -> Result<Self, BuildError> {
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
            // What is tried again is decided elsewhere.
            .retry(retry::never());
        #[cfg(feature = "tls")]
        if !address.is_tls() {
            // The system's certificates take a while to load, and there may be none.
            builder = builder.tls_certs_only([]);
        }
        if address.is_loopback() {
            // A proxy would look for this machine elsewhere.
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
        let mut response = post.send().await.map_err(failed)?;
        let (status, retry_after) = (response.status().as_u16(), retry_after(response.headers()));
        let body = read(&mut response).await?;
        let not_the_api = |at| Error::NotTheApi { status, at, retry_after };
        let body = body.ok_or_else(|| not_the_api(None))?;
        if status == 200 {
            // The parser's own words may repeat what stands in the answer.
            let unlike = |error: serde_json::Error| not_the_api(Some((error.line(), error.column())));
            if serde_json::from_slice::<Said>(&body).map_err(unlike)?.ok {
                return serde_json::from_slice(&body).map_err(unlike);
            }
        }
        let Refused { error: Why { code, message }, request_id } =
            serde_json::from_slice(&body).map_err(|_| not_the_api(None))?;
        let [code, message, request_id] = [code, message, request_id].map(|text| self.clean(&text));
        let may_have_run_before = false;
        Err(Refusal { status, code, message, request_id, retry_after, may_have_run_before }.into())
    }

    /// A server's text, fit for a log: of bounded length, on one line, without the key.
    fn clean(&self, text: &str) -> String {
        let text = text.replace(self.key.expose(), "…");
        text.chars().filter(|c| !c.is_control()).take(TEXT_LIMIT).collect()
    }
}

/// Reads the body; nothing of one that is too long.
async fn read(response: &mut Response) -> Result<Option<Bytes>, Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > ANSWER_LIMIT {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body.freeze()))
}

/// Whether a body is as long as a server reads.
pub(crate) fn check_length(body: &[u8]) -> Result<(), Error> {
    match body.len() {
        bytes if bytes > REQUEST_LIMIT => Err(Error::TooLarge { bytes, limit: REQUEST_LIMIT }),
        _ => Ok(()),
    }
}

/// How long an answer asks to wait, in seconds or until a date; that is measured by the clock of who sent it.
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

fn failed(error: reqwest::Error) -> Error {
    if error.is_connect() { Error::Unreachable(describe(error)) } else { Error::Broken(describe(error)) }
}

/// The error and its causes in one line, without the URL.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}

/// Leaves the key out.
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
