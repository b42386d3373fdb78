//! A credential provider that asks the app's own backend.

use std::{fmt, net::IpAddr, time::Duration};

use async_trait::async_trait;
use chatcamp_auth::{
    Credential, CredentialProvider,
    credential::{CredentialReason, Unavailable},
};
use chatcamp_protocol::{AccessToken, secret};
use chatcamp_runtime::network_cause;
#[cfg(feature = "tls")]
use chatcamp_tls::{RootsError, Tls, TlsError};
use reqwest::{
    Client, Url,
    header::{ACCEPT, HeaderMap, HeaderName, HeaderValue},
    redirect, retry,
};
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Handle;

/// Maximum size of an answer, in bytes.
const MAX_ANSWER: usize = 16 * 1024;

/// Asks a URL of the app's backend for the access token of the signed-in user.
///
/// Each request is a POST of `{"why":"initial"}`, or `reconnect`, `expiring`, `rejected`, the last with the `code` of the
/// refusal. The answer has status 200 and a JSON object with `access_token` and, if known, `expires_in` in seconds; other
/// fields are ignored. Send what the backend needs to identify the user as a [`header`](Self::header).
///
/// Needs a tokio runtime. Does not follow redirects. `Debug` shows only the URL, without its query.
pub struct HttpProvider {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

/// Why a provider cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProvider {
    /// The URL is invalid, or does not begin with `http://` or, with the feature `tls`, `https://`.
    #[error("invalid URL of the backend: {0}")]
    Url(&'static str),
    /// The operating system has no root certificates.
    #[cfg(feature = "tls")]
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// Tokens would be sent unencrypted.
    #[error("http:// to another machine is not encrypted: use https://")]
    Exposed,
    /// The name or value of a header is invalid.
    #[error(
        "the header is invalid: check its name, and remove line breaks and other control characters from its value"
    )]
    Header,
    /// The HTTP client cannot be created.
    #[error("cannot create an HTTP client: {0}")]
    Client(String),
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(
        "the tokio runtime is missing: use the provider within a tokio runtime whose I/O and timer are enabled"
    )]
    NoRuntime,
    #[error("cannot reach the backend at {url}: {why}")]
    Unreachable { url: String, why: String },
    #[cfg(feature = "tls")]
    #[error("cannot connect to the backend at {url}: {why}")]
    Tls { url: String, why: TlsError },
    #[error("the backend answered with status {0}")]
    Status(u16),
    #[error("the backend's answer is larger than {MAX_ANSWER} bytes")]
    TooLarge,
    #[error("the backend's answer is not a JSON object with an access_token")]
    Answer,
}

#[derive(Deserialize)]
struct Answer {
    access_token: AccessToken,
    /// May be a fraction: JSON has only one kind of number.
    expires_in: Option<f64>,
}

impl HttpProvider {
    /// Creates a provider that asks `url`. Over `https://` it trusts the certificates that the operating system trusts.
    ///
    /// # Errors
    /// [`InvalidProvider`]; `http://` is allowed only for this machine.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_client::HttpProvider;
    ///
    /// # fn main() -> Result<(), chatcamp_client::http_provider::InvalidProvider> {
    /// let provider = HttpProvider::new("http://127.0.0.1:8080/token")?.header("authorization", "Bearer key")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(url: &str) -> Result<Self, InvalidProvider> {
        let url = check(url)?;
        #[cfg(feature = "tls")]
        let tls = match url.scheme() {
            "https" => Tls::platform()?,
            // Not the root certificates of the system: loading them takes time and may fail.
            _ => Tls::without_roots(),
        };
        Self::build(
            url,
            #[cfg(feature = "tls")]
            &tls,
        )
    }

    /// Creates a provider like [`new`](Self::new) that uses `tls` for `https://`.
    ///
    /// # Errors
    /// [`InvalidProvider`]; `http://` is allowed only for this machine.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_client::{HttpProvider, Tls};
    ///
    /// # fn main() -> Result<(), chatcamp_client::http_provider::InvalidProvider> {
    /// let tls = Tls::without_roots(); // or `Tls::with_roots(pem)`
    /// let provider = HttpProvider::with_tls("https://backend.example/token", &tls)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn with_tls(url: &str, tls: &Tls) -> Result<Self, InvalidProvider> {
        Self::build(check(url)?, tls)
    }

    fn build(url: Url, #[cfg(feature = "tls")] tls: &Tls) -> Result<Self, InvalidProvider> {
        let mut client = Client::builder().redirect(redirect::Policy::none()).retry(retry::never());
        #[cfg(feature = "tls")]
        {
            client = client.tls_backend_preconfigured((**tls.config()).clone());
        }
        if is_loopback(&url) {
            // For a proxy, a loopback address means its own machine.
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| InvalidProvider::Client(describe(error)))?;
        Ok(Self { client, url, headers: HeaderMap::new() })
    }

    /// Sends this header with every request, such as the app's own `authorization`; removes white space around the value.
    ///
    /// # Errors
    /// [`InvalidProvider::Header`] if the name or the value is invalid.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidProvider> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| InvalidProvider::Header)?;
        let mut value = HeaderValue::from_str(secret::trim(value)).map_err(|_| InvalidProvider::Header)?;
        value.set_sensitive(true);
        self.headers.append(name, value);
        Ok(self)
    }

    async fn ask(&self, why: CredentialReason) -> Result<Credential, Failure> {
        Handle::try_current().map_err(|_| Failure::NoRuntime)?;
        let request = match why {
            CredentialReason::Initial => json!({ "why": "initial" }),
            CredentialReason::Reconnect => json!({ "why": "reconnect" }),
            CredentialReason::Expiring => json!({ "why": "expiring" }),
            CredentialReason::Rejected(code) => json!({ "why": "rejected", "code": code.as_str() }),
            _ => json!({}),
        };
        let post = self.client.post(self.url.clone()).headers(self.headers.clone());
        let post = post.header(ACCEPT, "application/json").json(&request);
        let mut response = post.send().await.map_err(|error| self.failed(error))?;
        let status = response.status().as_u16();
        #[cfg(feature = "tls")]
        if status == 400 && self.url.scheme() == "http" {
            let beginning = response.chunk().await.map_err(|error| self.failed(error))?.unwrap_or_default();
            if let Some(cause) = TlsError::of_plain_response(status, &beginning) {
                return Err(Failure::Tls { url: self.shown(), why: cause });
            }
        }
        if status != 200 {
            return Err(Failure::Status(status));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_ANSWER {
                return Err(Failure::TooLarge);
            }
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| Failure::Answer)?;
        let lifetime = answer.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok(Credential { token: Some(answer.access_token), lifetime })
    }

    /// Returns why no answer was received.
    fn failed(&self, error: reqwest::Error) -> Failure {
        #[cfg(feature = "tls")]
        if error.is_connect() {
            if let Some(why) = TlsError::of_handshake(&error) {
                return Failure::Tls { url: self.shown(), why };
            }
        }
        Failure::Unreachable { url: self.shown(), why: describe(error) }
    }

    /// Returns the URL without its user name and query, which may contain secrets.
    fn shown(&self) -> String {
        format!("{}{}", self.url.origin().ascii_serialization(), self.url.path())
    }
}

#[async_trait]
impl CredentialProvider for HttpProvider {
    /// Asks the backend once.
    ///
    /// # Errors
    /// [`Unavailable`] with the cause, such as a status other than 200.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the request.
    async fn credential(&self, why: CredentialReason) -> Result<Credential, Unavailable> {
        self.ask(why).await.map_err(|failure| Unavailable(Box::new(failure)))
    }
}

impl fmt::Debug for HttpProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpProvider({})", self.shown())
    }
}

/// Parses the URL of a backend and rejects one that would send tokens unencrypted.
fn check(url: &str) -> Result<Url, InvalidProvider> {
    let url = Url::parse(url)
        .map_err(|_| InvalidProvider::Url("expected a URL such as https://backend.example/chat"))?;
    if url.fragment().is_some() {
        return Err(InvalidProvider::Url("remove the fragment, which begins with #"));
    }
    match url.scheme() {
        "http" if !is_loopback(&url) => Err(InvalidProvider::Exposed),
        "http" => Ok(url),
        "https" if cfg!(feature = "tls") => Ok(url),
        "https" => {
            Err(InvalidProvider::Url("https:// needs TLS: enable the feature `tls` of chatcamp-client"))
        }
        _ => Err(InvalidProvider::Url("it must begin with https:// or http://")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn describe(error: reqwest::Error) -> String {
    network_cause(&error.without_url())
}
