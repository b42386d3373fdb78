//! A credential provider that asks the app's own backend.

use std::{error::Error as _, fmt, net::IpAddr, time::Duration};

use async_trait::async_trait;
use chatcamp_auth::{
    Credential, CredentialProvider,
    credential::{CredentialReason, Unavailable},
};
use chatcamp_protocol::{AccessToken, secret};
use reqwest::{
    Client, Url,
    header::{ACCEPT, HeaderMap, HeaderName, HeaderValue},
    redirect, retry,
};
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Handle;

/// Largest answer, in bytes.
const ANSWER: usize = 16 * 1024;

/// Asks an address of the app's backend for the access token of whoever is signed in there.
///
/// Each question is a POST of `{"why":"initial"}`, or `reconnect`, `expiring`, `rejected`, the last with the `code` of the
/// refusal. The answer is 200 and a JSON object with `access_token`, and `expires_in`, in seconds, where that is known; other
/// fields are ignored. How the backend knows who is signed in is its own affair: give it what it needs as a
/// [`header`](Self::header).
///
/// Needs a tokio runtime. A redirect is not followed. Nothing of it is printed but the address.
pub struct HttpProvider {
    client: Client,
    url: Url,
    headers: HeaderMap,
}

/// Why a provider cannot be made of what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProvider {
    /// The address is none of `http://` or, with the feature `tls`, `https://`.
    #[error("invalid URL of the backend: {0}")]
    Url(&'static str),
    /// Tokens would be readable on their way.
    #[error("others can read what is sent by http:// to another machine: use https://")]
    Exposed,
    /// The name or value of a header cannot be sent.
    #[error(
        "the header cannot be sent: its name is invalid, or its value has a line break or another control character in it"
    )]
    Header,
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(String),
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("no tokio runtime: the provider must be asked within one, its I/O and timer enabled")]
    NoRuntime,
    #[error("the backend cannot be asked: {0}")]
    Unreachable(String),
    #[error("the backend answered with status {0}")]
    Status(u16),
    #[error("the backend's answer is larger than {ANSWER} bytes")]
    TooLarge,
    #[error("the backend's answer is no JSON object with an access_token")]
    Answer,
}

#[derive(Deserialize)]
struct Answer {
    access_token: AccessToken,
    /// Whole or not, as JSON knows one kind of number.
    expires_in: Option<f64>,
}

impl HttpProvider {
    /// Asks at `url`.
    ///
    /// # Errors
    /// [`InvalidProvider`]; `http://` is for this machine only.
    pub fn new(url: &str) -> Result<Self, InvalidProvider> {
        let url = Url::parse(url)
            .map_err(|_| InvalidProvider::Url("it is not a URL such as https://backend.example/chat"))?;
        if url.fragment().is_some() {
            return Err(InvalidProvider::Url("remove the fragment, which begins with #"));
        }
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        match url.scheme() {
            "http" if !is_here => return Err(InvalidProvider::Exposed),
            "http" => {}
            "https" if cfg!(feature = "tls") => {}
            "https" => return Err(InvalidProvider::Url("https:// needs the feature tls")),
            _ => return Err(InvalidProvider::Url("it must begin with https:// or http://")),
        }
        let mut client = Client::builder().redirect(redirect::Policy::none()).retry(retry::never());
        if is_here {
            // A proxy would look for this machine elsewhere.
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| InvalidProvider::Client(describe(error)))?;
        Ok(Self { client, url, headers: HeaderMap::new() })
    }

    /// Sends this header with every question, such as the app's own `authorization`; white space at the ends of its value is
    /// removed.
    ///
    /// # Errors
    /// [`InvalidProvider::Header`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidProvider> {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| InvalidProvider::Header)?;
        let mut value = HeaderValue::from_str(secret::trim(value)).map_err(|_| InvalidProvider::Header)?;
        value.set_sensitive(true);
        self.headers.append(name, value);
        Ok(self)
    }

    async fn ask(&self, why: CredentialReason) -> Result<Credential, Failure> {
        Handle::try_current().map_err(|_| Failure::NoRuntime)?;
        let question = match why {
            CredentialReason::Initial => json!({ "why": "initial" }),
            CredentialReason::Reconnect => json!({ "why": "reconnect" }),
            CredentialReason::Expiring => json!({ "why": "expiring" }),
            CredentialReason::Rejected(code) => json!({ "why": "rejected", "code": code.as_str() }),
            _ => json!({}),
        };
        let post = self.client.post(self.url.clone()).headers(self.headers.clone());
        let post = post.header(ACCEPT, "application/json").json(&question);
        let unreachable = |error| Failure::Unreachable(describe(error));
        let mut response = post.send().await.map_err(unreachable)?;
        if response.status() != 200 {
            return Err(Failure::Status(response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER {
                return Err(Failure::TooLarge);
            }
        }
        let answer: Answer = serde_json::from_slice(&body).map_err(|_| Failure::Answer)?;
        let lifetime = answer.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        Ok(Credential { token: Some(answer.access_token), lifetime })
    }
}

#[async_trait]
impl CredentialProvider for HttpProvider {
    /// Asks the backend once.
    ///
    /// # Errors
    /// [`Unavailable`] with what went wrong; a status other than 200 too.
    ///
    /// # Cancel safety
    /// Dropping the future abandons the question.
    async fn credential(&self, why: CredentialReason) -> Result<Credential, Unavailable> {
        self.ask(why).await.map_err(|failure| Unavailable(Box::new(failure)))
    }
}

/// Shows where it asks, without what may be secret there.
impl fmt::Debug for HttpProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpProvider({}{})", self.url.origin().ascii_serialization(), self.url.path())
    }
}

/// The error and its causes in one line, without the URL.
fn describe(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
