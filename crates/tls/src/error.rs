//! Why a TLS handshake failed.

use std::{
    error::Error,
    fmt::Write as _,
    io,
    time::{Duration, SystemTime},
};

use httpdate::fmt_http_date;
use rustls::{CertificateError, InvalidMessage, pki_types::UnixTime};

/// Maximum number of names of a certificate in an error.
const MAX_NAMES: usize = 8;
/// Maximum length of such a name, in characters.
const MAX_NAME: usize = 100;
/// What servers answer, with status 400, to a request without TLS on a port for TLS.
const TLS_EXPECTED: [&str; 4] = [
    "this port expects TLS",                              // ChatCamp
    "The plain HTTP request was sent to HTTPS port",      // nginx
    "Client sent an HTTP request to an HTTPS server",     // Caddy, and others in Go
    "speaking plain HTTP to an SSL-enabled server port.", // Apache httpd
];
/// The beginning of a body in which such a text is searched, in bytes.
const SEARCHED: usize = 1024;

/// Why TLS failed. Except for [`Required`](Self::Required), no application data was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The server's certificate has expired. Its operator must renew it.
    #[error("the server's certificate {}: its operator must renew it", expired(*.not_after))]
    Expired {
        /// The end of its validity, if known.
        not_after: Option<SystemTime>,
    },
    /// The server's certificate is not valid yet. Usually the clock of this machine is wrong.
    #[error("the server's certificate is not valid {}: check the clock", not_yet(*.not_before, *.clock))]
    NotYetValid {
        /// The beginning of its validity, if known.
        not_before: Option<SystemTime>,
        /// The time by the clock of this machine.
        clock: SystemTime,
    },
    /// No trusted authority has signed the server's certificate.
    #[error(
        "the server's certificate is not signed by a trusted authority: check the URL, \
         or give the certificate of the authority as a root certificate"
    )]
    UnknownAuthority,
    /// The server's certificate is for other names.
    #[error("the server's certificate {}: check the URL", other_names(.expected.as_deref(), .names))]
    WrongName {
        /// The host that was dialled, if known.
        expected: Option<String>,
        /// Up to eight names in the certificate; empty if they are unknown.
        names: Vec<String>,
    },
    /// The server's certificate is invalid for another reason, such as a revocation.
    #[error("the server's certificate is invalid: {0}")]
    Certificate(String),
    /// The server answered something other than TLS, such as plain HTTP.
    #[error(
        "the server does not use TLS on this port: check the port, \
         or begin the URL with http:// or ws:// if the server has no TLS"
    )]
    NotTls,
    /// The client did not use TLS, and the server answered that this port is only for TLS. The request crossed the network
    /// unencrypted.
    #[error("the server expects TLS on this port: begin the URL with https:// or wss://")]
    Required,
    /// The connection ended during the handshake. Another attempt may succeed.
    #[error("the connection ended during the TLS handshake: check that the server uses TLS on this port")]
    Cut,
    /// The two sides have no TLS version or algorithm in common, or one of them violated the protocol.
    #[error("the TLS handshake failed: {0}")]
    Failed(String),
}

impl TlsError {
    /// Finds why a handshake failed in an error of it and in the sources of that error.
    ///
    /// Returns `None` if the cause is not TLS, for example if no connection was opened.
    ///
    /// # Examples
    /// ```
    /// use std::io;
    /// use chatcamp_tls::TlsError;
    ///
    /// let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    /// assert_eq!(TlsError::of_handshake(&reset), Some(TlsError::Cut));
    /// assert_eq!(TlsError::of_handshake(&io::Error::from(io::ErrorKind::ConnectionRefused)), None);
    /// ```
    #[must_use]
    pub fn of_handshake(error: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref() {
            return Some(Self::of(error));
        }
        let Some(error) = error.downcast_ref::<io::Error>() else {
            return error.source().and_then(Self::of_handshake);
        };
        // The source of an I/O error is the source of what it wraps, not what it wraps.
        let wrapped = error.get_ref().and_then(|wrapped| Self::of_handshake(wrapped));
        wrapped.or_else(|| is_cut(error.kind()).then_some(Self::Cut))
    }

    /// Finds in the HTTP response to a request without TLS that the server expects TLS: [`Required`](Self::Required).
    ///
    /// Only the beginning of the body matters: 1 KiB. Recognizes the responses of ChatCamp, nginx, Caddy and Apache httpd.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_tls::TlsError;
    ///
    /// let body = b"Client sent an HTTP request to an HTTPS server.";
    /// assert_eq!(TlsError::of_plain_response(400, body), Some(TlsError::Required));
    /// assert_eq!(TlsError::of_plain_response(400, b"Bad Request"), None);
    /// ```
    #[must_use]
    pub fn of_plain_response(status: u16, body: &[u8]) -> Option<Self> {
        let body = String::from_utf8_lossy(&body[..body.len().min(SEARCHED)]);
        let is_required = status == 400 && TLS_EXPECTED.iter().any(|text| body.contains(text));
        is_required.then_some(Self::Required)
    }

    /// Returns whether another attempt may succeed within seconds.
    ///
    /// The other errors remain until an operator, the user or the network changes something.
    ///
    /// # Examples
    /// ```
    /// use chatcamp_tls::TlsError;
    ///
    /// assert!(TlsError::Cut.is_transient());
    /// assert!(!TlsError::UnknownAuthority.is_transient());
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Cut)
    }

    fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::of_certificate(error),
            rustls::Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            error => Self::Failed(error.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::Expired => Self::Expired { not_after: None },
            CertificateError::ExpiredContext { not_after, .. } => {
                Self::Expired { not_after: Some(time(*not_after)) }
            }
            CertificateError::NotValidYet => Self::NotYetValid { not_before: None, clock: SystemTime::now() },
            CertificateError::NotValidYetContext { time: clock, not_before } => {
                Self::NotYetValid { not_before: Some(time(*not_before)), clock: time(*clock) }
            }
            // The last two: the authority has the name of a trusted one, but another key or another type of key.
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Self::UnknownAuthority
            }
            CertificateError::NotValidForName => Self::WrongName { expected: None, names: Vec::new() },
            CertificateError::NotValidForNameContext { expected, presented } => Self::WrongName {
                expected: Some(expected.to_str().into_owned()),
                names: presented.iter().take(MAX_NAMES).map(|name| clean(name)).collect(),
            },
            CertificateError::Other(other) if is_authority(&*other.0) => Self::Certificate(
                "it is the certificate of an authority (CA:TRUE); issue one with CA:FALSE for the server"
                    .into(),
            ),
            error => Self::Certificate(error.to_string()),
        }
    }
}

/// Returns whether this kind of I/O error, after the connection was opened, means that the peer or the network ended it.
fn is_cut(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}

/// Returns whether the server uses the certificate of an authority as its own. `openssl req -x509` makes such certificates.
fn is_authority(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    matches!(error.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

fn time(time: UnixTime) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time.as_secs())
}

/// Returns a name such as `DnsName("a.example")` or `IpAddress(192.0.2.1)` without its type, on one line and of limited length.
fn clean(name: &str) -> String {
    let bare = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    bare.trim_matches('"').chars().take(MAX_NAME).flat_map(char::escape_default).collect()
}

fn expired(not_after: Option<SystemTime>) -> String {
    match not_after {
        Some(end) => format!("expired on {}", fmt_http_date(end)),
        None => "has expired".to_owned(),
    }
}

fn not_yet(not_before: Option<SystemTime>, clock: SystemTime) -> String {
    let begins =
        not_before.map_or_else(|| "yet".to_owned(), |begin| format!("before {}", fmt_http_date(begin)));
    format!("{begins}, and the clock of this machine says {}", fmt_http_date(clock))
}

fn other_names(expected: Option<&str>, names: &[String]) -> String {
    let mut text = match (names, expected) {
        ([], None) => return "is for another name".to_owned(),
        ([], Some(_)) => "contains no name in subjectAltName".to_owned(),
        (names, _) => format!("is for {}", names.join(", ")),
    };
    if let Some(expected) = expected {
        write!(text, ", not for {expected}").expect("a string takes all text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn the_text_says_what_is_wrong_and_what_to_do() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        for (error, text) in [
            (
                TlsError::Expired { not_after: Some(at(784_111_777)) },
                "the server's certificate expired on Sun, 06 Nov 1994 08:49:37 GMT: its operator must renew it",
            ),
            (
                TlsError::Expired { not_after: None },
                "the server's certificate has expired: its operator must renew it",
            ),
            (
                TlsError::NotYetValid { not_before: Some(at(784_111_777)), clock: at(0) },
                "the server's certificate is not valid before Sun, 06 Nov 1994 08:49:37 GMT, \
                 and the clock of this machine says Thu, 01 Jan 1970 00:00:00 GMT: check the clock",
            ),
            (
                TlsError::WrongName { expected: Some("a".into()), names: names(&["b", "c"]) },
                "the server's certificate is for b, c, not for a: check the URL",
            ),
            (
                TlsError::WrongName { expected: Some("a".into()), names: names(&[]) },
                "the server's certificate contains no name in subjectAltName, not for a: check the URL",
            ),
            (
                TlsError::WrongName { expected: None, names: names(&[]) },
                "the server's certificate is for another name: check the URL",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn only_the_beginning_of_a_plain_response_is_searched() {
        for text in TLS_EXPECTED {
            for (status, before, expected) in [(400, 0, true), (400, SEARCHED, false), (200, 0, false)] {
                let body = "x".repeat(before) + text;
                let found = TlsError::of_plain_response(status, body.as_bytes());
                assert_eq!(found.is_some(), expected, "{status} {before} {text}");
            }
        }
    }

    #[test]
    fn an_authority_with_the_name_and_not_the_key_of_a_trusted_one_is_unknown() {
        for error in [
            CertificateError::BadSignature,
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: Vec::new(),
                public_key_algorithm_id: Vec::new(),
            },
        ] {
            assert_eq!(TlsError::of_certificate(&error), TlsError::UnknownAuthority);
        }
    }

    #[test]
    fn names_in_a_certificate_are_cleaned() {
        for (name, expected) in [
            ("DnsName(\"*.example\")", "*.example"),
            ("IpAddress(::1)", "::1"),
            ("DnsName(\"a\r\nb\u{202e}\")", "a\\r\\nb\\u{202e}"),
            ("odd", "odd"),
        ] {
            assert_eq!(clean(name), expected);
        }
        assert_eq!(clean(&"x".repeat(1000)).len(), MAX_NAME);
    }
}
