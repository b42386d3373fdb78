//! The server's half of the opening handshake, without I/O.

use tungstenite::handshake::derive_accept_key;

use super::head::names_token;

/// An accepted upgrade request.
///
/// ```
/// use chatcamp_transport::websocket::Upgrade;
///
/// let upgrade = Upgrade::from_headers([
///     ("Connection", "keep-alive, Upgrade"),
///     ("Upgrade", "websocket"),
///     ("Sec-WebSocket-Version", "13"),
///     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
/// ])?;
/// assert_eq!(upgrade.accept_key(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// # Ok::<(), chatcamp_transport::websocket::UpgradeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upgrade {
    accept_key: String,
}

/// Why an upgrade request is rejected, and the status of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// The request does not ask for a WebSocket. Status 426.
    #[error("this endpoint accepts only WebSocket connections")]
    NotWebSocket,
    /// The request asks for a version other than 13. Status 426.
    #[error("this endpoint supports only WebSocket version 13")]
    UnsupportedVersion,
    /// The header `Upgrade` is present, but `Connection` does not name it. Status 400.
    #[error("the header Connection does not name Upgrade")]
    NotConnection,
    /// `Sec-WebSocket-Key` is missing, repeated, or not 16 bytes in base64. Status 400.
    #[error("the header Sec-WebSocket-Key is missing, repeated or invalid")]
    BadKey,
}

impl Upgrade {
    /// Checks the headers of a request; the caller has checked that it is an HTTP/1.1 GET.
    ///
    /// # Errors
    /// [`UpgradeError`] has the status of the answer.
    pub fn from_headers<N, V>(headers: impl IntoIterator<Item = (N, V)>) -> Result<Self, UpgradeError>
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let (mut connection, mut upgrade) = (false, false);
        let (mut version, mut key) = (Once::Missing, Once::Missing);
        for (name, value) in headers {
            let (name, value) = (name.as_ref(), value.as_ref());
            if name.eq_ignore_ascii_case(b"connection") {
                connection |= names_token(value, "upgrade");
            } else if name.eq_ignore_ascii_case(b"upgrade") {
                upgrade |= names_token(value, "websocket");
            } else if name.eq_ignore_ascii_case(b"sec-websocket-version") {
                version = version.and(value.trim_ascii() == b"13");
            } else if name.eq_ignore_ascii_case(b"sec-websocket-key") {
                let value = value.trim_ascii();
                key = key.and(is_key(value).then(|| derive_accept_key(value)));
            }
        }
        match (upgrade, version, connection, key) {
            (false, ..) => Err(UpgradeError::NotWebSocket),
            (_, Once::Missing | Once::Repeated | Once::Value(false), ..) => {
                Err(UpgradeError::UnsupportedVersion)
            }
            (_, _, false, _) => Err(UpgradeError::NotConnection),
            (_, _, _, Once::Value(Some(accept_key))) => Ok(Self { accept_key }),
            _ => Err(UpgradeError::BadKey),
        }
    }

    /// Returns the value of `Sec-WebSocket-Accept`, for an HTTP server that writes the answer itself.
    #[must_use]
    pub fn accept_key(&self) -> &str {
        &self.accept_key
    }

    /// Returns the whole answer, with status 101.
    #[must_use]
    pub fn response(&self) -> Vec<u8> {
        [
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ",
            &self.accept_key,
            "\r\n\r\n",
        ]
        .concat()
        .into_bytes()
    }
}

impl UpgradeError {
    /// Returns the HTTP status of the answer: 400 or 426.
    ///
    /// An answer of 426 carries `Upgrade: websocket` and `Sec-WebSocket-Version: 13`.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::NotWebSocket | Self::UnsupportedVersion => 426,
            Self::NotConnection | Self::BadKey => 400,
        }
    }
}

/// Returns the value of a header that must occur exactly once.
enum Once<T> {
    Missing,
    Value(T),
    Repeated,
}

impl<T> Once<T> {
    fn and(self, value: T) -> Self {
        match self {
            Self::Missing => Self::Value(value),
            Self::Value(_) | Self::Repeated => Self::Repeated,
        }
    }
}

/// Returns whether `value` is the base64 of 16 bytes.
fn is_key(value: &[u8]) -> bool {
    value.len() == 24
        && value.ends_with(b"==")
        && value[..22].iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: (&str, &str) = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    const VERSION: (&str, &str) = ("Sec-WebSocket-Version", "13");
    const CONNECTION: (&str, &str) = ("Connection", "Upgrade");
    const UPGRADE: (&str, &str) = ("Upgrade", "websocket");

    #[test]
    fn a_request_is_granted_or_told_why_not() {
        use UpgradeError::*;

        type Headers<'h> = &'h [(&'h str, &'h str)];
        let table: [(Headers<'_>, Result<(), UpgradeError>); 16] = [
            (&[UPGRADE, CONNECTION, VERSION, KEY], Ok(())),
            (&[("uPGRADE", "WebSocket"), ("CONNECTION", " keep-alive , uPgrade"), VERSION, KEY], Ok(())),
            (&[UPGRADE, ("Connection", "keep-alive"), CONNECTION, VERSION, KEY], Ok(())),
            (&[UPGRADE, CONNECTION, VERSION, KEY, ("Sec-WebSocket-Protocol", "chat")], Ok(())),
            (&[], Err(NotWebSocket)),
            (&[CONNECTION, VERSION, KEY], Err(NotWebSocket)),
            (&[("Upgrade", "h2c"), CONNECTION, VERSION, KEY], Err(NotWebSocket)),
            (&[UPGRADE, CONNECTION, KEY], Err(UnsupportedVersion)),
            (&[UPGRADE, CONNECTION, ("Sec-WebSocket-Version", "8"), KEY], Err(UnsupportedVersion)),
            (&[UPGRADE, CONNECTION, VERSION, VERSION, KEY], Err(UnsupportedVersion)),
            (&[UPGRADE, VERSION, KEY], Err(NotConnection)),
            (&[UPGRADE, ("Connection", "upgraded"), VERSION, KEY], Err(NotConnection)),
            (&[UPGRADE, CONNECTION, VERSION], Err(BadKey)),
            (&[UPGRADE, CONNECTION, VERSION, KEY, KEY], Err(BadKey)),
            (&[UPGRADE, CONNECTION, VERSION, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ")], Err(BadKey)),
            (
                &[UPGRADE, CONNECTION, VERSION, ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25j\u{20}Q==")],
                Err(BadKey),
            ),
        ];
        for (headers, expected) in table {
            let judged = Upgrade::from_headers(headers.iter().copied());
            assert_eq!(judged.map(drop), expected, "{headers:?}");
        }
    }

    #[test]
    fn the_answer_names_no_protocol_and_no_extension() {
        let upgrade = Upgrade::from_headers([UPGRADE, CONNECTION, VERSION, KEY]).unwrap();
        let answer = String::from_utf8(upgrade.response()).unwrap();
        assert_eq!(
            answer,
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
        );
    }
}
