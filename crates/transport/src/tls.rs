//! TLS below the built-in transports.

use chatcamp_tls::Tls;
#[cfg(feature = "websocket")]
use chatcamp_tls::TlsError;
#[cfg(feature = "websocket")]
use tokio::io::{AsyncRead, AsyncWrite};
#[cfg(feature = "websocket")]
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

use crate::{ConnectError, url::Url};

/// Returns the configuration that trusts what the operating system trusts, or `None` if `url` does not need TLS.
pub(crate) fn platform(url: &Url) -> Result<Option<Tls>, ConnectError> {
    let load = || Tls::platform().map_err(|error| ConnectError::Invalid(error.to_string()));
    url.is_tls.then(load).transpose()
}

/// Performs the handshake over `stream`, which is connected to `host`. Long-poll leaves this to its HTTP client.
#[cfg(feature = "websocket")]
pub(crate) async fn connect<S>(tls: &Tls, host: &str, stream: S) -> Result<TlsStream<S>, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(|_| {
        ConnectError::Invalid("the host in the URL cannot be the name of a TLS server".to_owned())
    })?;
    let connected = TlsConnector::from(tls.config().clone()).connect(name, stream).await;
    connected.map_err(|error| match TlsError::of_handshake(&error) {
        Some(cause) => ConnectError::Tls(cause),
        None => ConnectError::unreachable(error),
    })
}
