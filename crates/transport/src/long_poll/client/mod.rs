//! The client's side, in the native dialect: the first POST opens the connection.

mod carrier;
mod exchange;
mod http;

use std::{fmt, fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::NAME;
use crate::{ConnectError, Connection, ConnectionInfo, url::Url};
#[cfg(feature = "tls")]
use crate::{Tls, tls};
use carrier::{Carrier, Wire};
use http::Http;

pub use exchange::{Exchange, ExchangeAnswer, ExchangeError, ExchangeRequest};

/// Dials one URL by HTTP requests.
///
/// Connecting sends nothing: the first message opens the connection, and a missing server is reported only then, as
/// [`Closed::Unreachable`](crate::Closed::Unreachable) or [`Closed::Refused`](crate::Closed::Refused).
/// Needs a tokio runtime.
#[derive(Clone)]
pub struct Transport {
    exchange: Arc<dyn Exchange>,
    target: Arc<str>,
}

impl Transport {
    /// Creates a transport that dials `url`: `https://host[:port]/path?query`, port 443 by default, or `http://` without TLS, port
    /// 80 by default. `wss://` and `ws://` mean the same.
    ///
    /// Over `https://` it trusts the certificates that the operating system trusts; [`with_tls`](Self::with_tls) changes that.
    ///
    /// # Errors
    /// [`ConnectError::Invalid`] if `url` has another form, if it needs TLS and the feature `tls` is disabled, or if the
    /// operating system has no root certificates.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_transport::long_poll;
    ///
    /// # fn main() -> Result<(), chatcamp_transport::ConnectError> {
    /// let transport = long_poll::Transport::new("http://127.0.0.1:9080/chat/2.0")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        let url = Url::parse(url)?;
        let target = url.target.to_string();
        #[cfg(feature = "tls")]
        let tls = tls::platform(&url)?;
        let http = Http::new(
            url,
            #[cfg(feature = "tls")]
            tls.as_ref(),
        )?;
        Ok(Self::over(http, &target))
    }

    /// Creates a transport like [`new`](Self::new) that uses `tls` if `url` needs TLS.
    ///
    /// # Errors
    /// [`ConnectError::Invalid`] if `url` has another form.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_transport::{Tls, long_poll};
    ///
    /// # fn main() -> Result<(), chatcamp_transport::ConnectError> {
    /// let tls = Tls::without_roots(); // or `Tls::with_roots(pem)`
    /// let transport = long_poll::Transport::with_tls("https://chat.example/chat/2.0", &tls)?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "tls")]
    pub fn with_tls(url: &str, tls: &Tls) -> Result<Self, ConnectError> {
        let url = Url::parse(url)?;
        let target = url.target.to_string();
        Ok(Self::over(Http::new(url, Some(tls))?, &target))
    }

    /// Creates a transport that uses your own HTTP client; `target` is the path with its query.
    pub fn over(exchange: impl Exchange + 'static, target: &str) -> Self {
        Self { exchange: Arc::new(exchange), target: target.into() }
    }
}

#[async_trait]
impl crate::Transport for Transport {
    async fn connect(&self) -> Result<Connection, ConnectError> {
        let runtime = Handle::try_current().map_err(|error| ConnectError::Invalid(error.to_string()))?;
        let wire = Wire {
            exchange: Arc::clone(&self.exchange),
            target: Arc::clone(&self.target),
            id: draw_id()?.into(),
            runtime,
        };
        let info = ConnectionInfo { encrypted: self.exchange.is_encrypted(), ..ConnectionInfo::new(NAME) };
        Ok(Connection::new(Carrier::new(wire), info))
    }

    fn is_exposed(&self) -> bool {
        self.exchange.is_exposed()
    }

    fn url(&self) -> Option<String> {
        self.exchange.url()
    }
}

/// Does not show the query: it may contain a token.
impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

/// Returns 128 random bits. They are a secret: with them, others could send on the connection.
fn draw_id() -> Result<String, ConnectError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| ConnectError::unreachable(error.to_string()))?;
    Ok(random.iter().fold(String::new(), |mut id, byte| {
        write!(id, "{byte:02x}").expect("writing to a string cannot fail");
        id
    }))
}
