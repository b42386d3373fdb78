//! The options of `serve` for proxies in front of it.

use chatcamp_server::{FrontDoor, Proxies, ProxyHeader};
use clap::{ArgAction, Args, ValueEnum, builder::BoolishValueParser};
use ipnet::IpNet;

use crate::{failure::Failure, network::parse_network};

/// The options that name proxies.
#[derive(Args)]
pub(crate) struct ProxyOptions {
    /// The address or network of a reverse proxy or load balancer in front of this server, such as 192.0.2.7 or 10.0.0.0/8. May be given
    /// several times, or as a list with commas. The address of a client is then the one that the proxy names; headers of other
    /// peers are ignored. Name only proxies that set the header themselves or send the PROXY protocol: through any other, clients
    /// could choose their address.
    #[arg(long, value_name = "CIDR", env = "CHATCAMP_TRUSTED_PROXY", value_delimiter = ',', value_parser = parse_network)]
    trusted_proxy: Vec<IpNet>,
    /// The header in which the trusted proxies name the address of a client; the other is ignored. By default x-forwarded-for, with
    /// X-Forwarded-Proto for the scheme.
    #[arg(long, value_name = "HEADER", env = "CHATCAMP_PROXY_HEADER")]
    proxy_header: Option<HeaderName>,
    /// Expects the PROXY protocol, version 2, at the beginning of each connection to --listen, before TLS. Only trusted proxies may
    /// connect then; use it behind a balancer that passes connections on without reading them.
    #[arg(long, env = "CHATCAMP_PROXY_PROTOCOL", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    proxy_protocol: bool,
    /// Expects the PROXY protocol, as --proxy-protocol does, on the connections to --admin-listen.
    #[arg(long, env = "CHATCAMP_ADMIN_PROXY_PROTOCOL", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    admin_proxy_protocol: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum HeaderName {
    XForwardedFor,
    Forwarded,
}

impl ProxyOptions {
    /// Returns the trusted proxies.
    pub(crate) fn proxies(&self) -> Result<Proxies, Failure> {
        let needs_proxy = [
            ("--proxy-header", self.proxy_header.is_some()),
            ("--proxy-protocol", self.proxy_protocol),
            ("--admin-proxy-protocol", self.admin_proxy_protocol),
        ];
        if self.trusted_proxy.is_empty()
            && let Some((option, _)) = needs_proxy.into_iter().find(|(_, is_given)| *is_given)
        {
            return Err(Failure::usage(format!(
                "{option} needs a trusted proxy; add --trusted-proxy CIDR with the address of the proxy, such as 127.0.0.1"
            )));
        }
        if let Some(everyone) = self.trusted_proxy.iter().find(|network| network.prefix_len() == 0) {
            tracing::warn!(
                "--trusted-proxy {everyone} trusts every peer: whoever reaches this server without a proxy can choose their address"
            );
        }
        let header = match self.proxy_header {
            None | Some(HeaderName::XForwardedFor) => ProxyHeader::XForwardedFor,
            Some(HeaderName::Forwarded) => ProxyHeader::Forwarded,
        };
        Ok(Proxies::trusting(self.trusted_proxy.iter().copied()).with_header(header))
    }

    /// Returns how the front door of --listen begins its connections.
    pub(crate) fn listen(&self) -> Preface {
        Preface(self.proxy_protocol)
    }

    /// Returns how the front door of --admin-listen begins its connections; `is_used` says whether there is one.
    pub(crate) fn admin_listen(&self, is_used: bool) -> Result<Preface, Failure> {
        if self.admin_proxy_protocol && !is_used {
            return Err(Failure::usage("--admin-proxy-protocol needs --admin-listen ADDR"));
        }
        Ok(Preface(self.admin_proxy_protocol))
    }
}

/// Whether the connections to an address begin with the PROXY protocol.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Preface(bool);

impl Preface {
    pub(crate) fn apply(self, door: FrontDoor) -> FrontDoor {
        if self.0 { door.proxy_protocol() } else { door }
    }
}
