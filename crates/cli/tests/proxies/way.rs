//! The ways to reach a server, each a section of `docs/PROXIES.md`.

use crate::page;

/// A way to reach the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ServerAlone,
    Nginx,
    Caddy,
    Haproxy,
    HaproxyPassThrough,
}

impl Way {
    pub(crate) const ALL: [Self; 5] =
        [Self::ServerAlone, Self::Nginx, Self::Caddy, Self::Haproxy, Self::HaproxyPassThrough];

    /// Whether the proxy ends TLS. The server alone does not offer HTTP/2.
    pub(crate) fn ends_tls(self) -> bool {
        !matches!(self, Self::ServerAlone | Self::HaproxyPassThrough)
    }

    /// The title of its section.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::ServerAlone => "The server alone",
            Self::Nginx => "nginx",
            Self::Caddy => "Caddy",
            Self::Haproxy => "HAProxy",
            Self::HaproxyPassThrough => "HAProxy, TLS passed through",
        }
    }

    /// The arguments of `chatcamp` in its section.
    pub(crate) fn arguments(self) -> impl Iterator<Item = &'static str> {
        let mut words = page::words(page::block(self.title(), "sh"));
        assert_eq!(words.next(), Some("chatcamp"));
        words
    }
}

/// The path below which a server is reached.
pub(crate) const PATH: &str = "/talk";

/// What a proxy does with [`PATH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathStyle {
    PassesOn,
    Removes,
}
