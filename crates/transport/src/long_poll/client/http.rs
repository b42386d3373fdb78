//! The built-in exchange, on reqwest.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chatcamp_runtime::network_cause;
#[cfg(feature = "tls")]
use chatcamp_tls::{Tls, TlsError};
use reqwest::{Client, header::CONTENT_TYPE, redirect, retry};

use super::exchange::{ANSWER_LIMIT, Exchange, ExchangeAnswer, ExchangeError, ExchangeRequest};
use crate::{
    ConnectError,
    long_poll::{ID_HEADER, Method},
    url::Url,
};

/// HTTP/1.1 to one host, with keep-alive, without redirects, cookies or retries.
pub(super) struct Http {
    client: Client,
    url: Url,
}

/// How long an idle connection is kept for the next request.
const POOL_IDLE: Duration = Duration::from_secs(5);

impl Http {
    /// Creates the exchange. `tls` is not needed if `url` does not need TLS.
    pub(super) fn new(url: Url, #[cfg(feature = "tls")] tls: Option<&Tls>) -> Result<Self, ConnectError> {
        let mut builder =
            Client::builder().http1_only().redirect(redirect::Policy::none()).retry(retry::never());
        // A server closes idle connections after a while; a request sent at that moment would be lost.
        builder = builder.pool_idle_timeout(POOL_IDLE);
        #[cfg(feature = "tls")]
        {
            // Without this, a client for plain HTTP would load the root certificates of the system.
            let tls = tls.cloned().unwrap_or_else(Tls::without_roots);
            builder = builder.tls_backend_preconfigured((**tls.config()).clone());
        }
        if url.is_loopback() {
            // A proxy would connect to its own machine.
            builder = builder.no_proxy();
        }
        let client =
            builder.build().map_err(|error| ConnectError::Invalid(network_cause(&error.without_url())))?;
        Ok(Self { client, url })
    }

    fn scheme(&self) -> &'static str {
        if self.url.is_tls { "https" } else { "http" }
    }

    /// Returns why no answer was received.
    fn failed(&self, error: reqwest::Error) -> ExchangeError {
        #[cfg(feature = "tls")]
        if self.url.is_tls && error.is_connect() {
            if let Some(cause) = TlsError::of_handshake(&error) {
                return ExchangeError::Tls(cause);
            }
        }
        ExchangeError::Failed(network_cause(&error.without_url()))
    }

    async fn request(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, reqwest::Error> {
        let url = format!("{}://{}{}", self.scheme(), self.url.authority, request.target);
        let builder = match request.method {
            Method::Get => self.client.get(url),
            Method::Post => self.client.post(url).header(CONTENT_TYPE, "application/json").body(request.body),
        };
        let mut response = builder.header(ID_HEADER, &*request.id).send().await?;
        let status = response.status().as_u16();
        let mut body = Bytes::new();
        while let Some(chunk) = response.chunk().await? {
            if body.is_empty() {
                body = chunk;
            } else {
                let mut longer = BytesMut::from(body);
                longer.extend_from_slice(&chunk);
                body = longer.freeze();
            }
            if body.len() > ANSWER_LIMIT {
                break;
            }
        }
        Ok(ExchangeAnswer { status, body })
    }
}

#[async_trait]
impl Exchange for Http {
    async fn exchange(&self, request: ExchangeRequest) -> Result<ExchangeAnswer, ExchangeError> {
        let answer = self.request(request).await.map_err(|error| self.failed(error))?;
        if answer.body.len() > ANSWER_LIMIT { Err(ExchangeError::TooLarge) } else { Ok(answer) }
    }

    fn is_exposed(&self) -> bool {
        self.url.is_exposed()
    }

    fn url(&self) -> Option<String> {
        Some(self.url.shown())
    }

    fn is_encrypted(&self) -> bool {
        self.url.is_tls
    }
}

/// Does not show the query: it may contain a token.
impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Http({})", self.url.shown())
    }
}
